//! `examples/git-producer`: a list of real repositories becomes files of a feed, once, whatever happens on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// A command without anything of the user's own settings.
fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
        command.env(name, "tester");
    }
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command
}

struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, repository: &str, arguments: &[&str]) {
        let output = command("git").current_dir(self.path(repository)).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn repository(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        self.git(name, &["init", "--quiet", "--initial-branch=main", "."]);
    }

    fn commit(&self, repository: &str, file: &str, text: &str) {
        fs::write(self.path(repository).join(file), text).unwrap();
        self.git(repository, &["add", "--all"]);
        self.git(repository, &["commit", "--quiet", "--message", file]);
    }

    fn address(&self, repository: &str) -> String {
        format!("file://{}", self.path(repository).display())
    }

    fn list(&self, lines: &str) {
        fs::write(self.path("list"), lines).unwrap();
    }

    fn produce(&self, settings: &[(&str, &str)]) -> Output {
        let mut command = command(examples().join("git-producer/git-repositories-to-feed"));
        command.env("REPOSITORIES", self.path("list")).env("FEED", self.path("feed")).env("DONE", self.path("done"));
        command.env("CLONES", self.path("clones")).envs(settings.iter().copied());
        if !settings.iter().any(|(name, _)| *name == "HISTORY") {
            command.env("HISTORY", examples().join("git-history/git-history-to-jsonl"));
        }
        command.output().unwrap()
    }

    fn produced(&self, settings: &[(&str, &str)]) {
        let output = self.produce(settings);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Names and texts of the files of the feed, also of those that were moved away; none is half written.
    fn files(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for folder in ["feed", "done"] {
            for entry in fs::read_dir(self.path(folder)).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                assert!(!name.starts_with('.'), "{name} is left over");
                assert!(files.insert(name, fs::read_to_string(path).unwrap()).is_none());
            }
        }
        files
    }

    /// All lines in the order in which a feed reads them.
    fn lines(&self) -> Vec<Value> {
        let text = self.files().into_values().collect::<String>();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines, replayed, are what is in the repository.
    fn assert_checks(&self, repository: &str) {
        let feed = self.path("all.jsonl");
        fs::write(&feed, self.files().into_values().collect::<String>()).unwrap();
        let history = examples().join("git-history/git-history-to-jsonl");
        let output = command(history).arg(self.path(repository)).arg("--check").arg(&feed).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn what_is_new_becomes_a_file_and_nothing_is_written_twice() {
    let scene = Scene::new();
    scene.repository("one");
    scene.commit("one", "a", "first");
    scene.commit("one", "b", "second");
    scene.list(&format!("# a list\n\n  {}  \r\n{0}\n", scene.address("one")));
    scene.produced(&[]);
    assert_eq!(scene.files().len(), 1, "a line that is there twice is one repository");
    scene.produced(&[]);
    assert_eq!((scene.files().len(), scene.lines().len()), (1, 2));
    assert_eq!(scene.lines()[0]["repo"], scene.path("one").to_str().unwrap().trim_start_matches('/'));
    // The feed read it and moved it away.
    fs::create_dir(scene.path("done")).unwrap();
    for entry in fs::read_dir(scene.path("feed")).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), scene.path("done").join(entry.file_name())).unwrap();
    }
    scene.git("one", &["mv", "a", "c"]);
    scene.commit("one", "b", "changed");
    scene.git("one", &["commit", "--quiet", "--allow-empty", "--message", "nothing"]);
    scene.produced(&[]);
    // The order within a commit is git's, and does not matter.
    let mut operations = scene.lines().iter().map(|line| line["op"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    operations.sort();
    assert_eq!(operations, ["add", "add", "modify", "rename"]);
    assert!(scene.files().keys().last().unwrap().ends_with(".000002.jsonl"));
    scene.assert_checks("one");
    // A commit without a text file is no file.
    scene.git("one", &["commit", "--quiet", "--allow-empty", "--message", "nothing"]);
    scene.produced(&[]);
    assert_eq!(scene.files().len(), 2);
    // A history that was rewritten is told as one step.
    scene.git("one", &["reset", "--quiet", "--hard", "HEAD~3"]);
    scene.commit("one", "z", "another history");
    scene.produced(&[]);
    assert_eq!(scene.files().len(), 3);
    scene.assert_checks("one");
}

#[test]
fn whoever_is_killed_is_followed_by_one_that_finishes() {
    let scene = Scene::new();
    scene.repository("one");
    scene.list(&scene.address("one"));
    // It dies in the middle of a file, and right behind one.
    for behind in [false, true] {
        scene.commit("one", if behind { "c" } else { "a" }, "first");
        let program = scene.path("dies");
        let history = examples().join("git-history/git-history-to-jsonl");
        let whole = format!("{} \"$@\"", history.display());
        let first = if behind { whole } else { "for last; do :; done; printf half > \"$last\"".to_owned() };
        fs::write(&program, format!("#!/bin/sh\n{first}\nkill -9 $PPID\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(scene.produce(&[("HISTORY", program.to_str().unwrap())]).status.code(), Some(1));
        // Meanwhile the repository goes on.
        scene.commit("one", if behind { "d" } else { "b" }, "later");
        scene.produced(&[]);
        scene.assert_checks("one");
        scene.produced(&[]);
        scene.assert_checks("one");
    }
    assert_eq!(scene.lines().len(), 4);
    // The file is there, and that it is was not written down: it is not written again, wherever it is by now.
    scene.commit("one", "e", "last");
    scene.produced(&[]);
    let clone = fs::read_dir(scene.path("clones")).unwrap().next().unwrap().unwrap().path();
    let before = scene.files();
    let number = fs::read_to_string(clone.join("feed-number")).unwrap().trim().parse::<u64>().unwrap();
    fs::write(clone.join("feed-number"), format!("{}\n", number - 1)).unwrap();
    fs::write(clone.join("feed-commit"), "an earlier one\n").unwrap();
    let output = command("git").current_dir(&clone).args(["update-ref", "refs/feed/done", "refs/feed/done~1"]).output();
    assert!(output.unwrap().status.success());
    fs::create_dir_all(scene.path("done")).unwrap();
    let last = before.keys().last().unwrap();
    fs::rename(scene.path("feed").join(last), scene.path("done").join(last)).unwrap();
    scene.produced(&[]);
    assert_eq!(scene.files(), before);
}

#[test]
fn one_repository_that_fails_leaves_the_others_alone() {
    let scene = Scene::new();
    for name in ["one", "two", "three"] {
        scene.repository(name);
        scene.commit(name, "a", name);
        scene.git(name, &["checkout", "--quiet", "-b", "side"]);
        scene.commit(name, "b", "on the side");
        scene.git(name, &["checkout", "--quiet", "main"]);
    }
    let addresses = ["one", "two", "three"].map(|name| scene.address(name));
    scene.list(&format!("{}\nfile://u:secret@/nowhere\n{} side\n{}\n", addresses[0], addresses[1], addresses[2]));
    let output = scene.produce(&[("MAX_CONCURRENT", "3")]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not read: nowhere") && said.contains("the others were"), "{said}");
    assert_eq!((scene.files().len(), scene.lines().len()), (3, 4), "one of them has the branch of its line");
    // As many as were said, and no more.
    let other = Scene::new();
    other.list(&addresses.join("\n"));
    let output = other.produce(&[("MAX_REPOSITORIES", "2"), ("BRANCH", "side")]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("only the first 2 of 3"));
    assert_eq!((other.files().len(), other.lines().len()), (2, 4));
}

#[test]
fn a_shallow_clone_begins_with_its_last_commits_and_goes_on_with_all() {
    let scene = Scene::new();
    scene.repository("one");
    for number in 0..5 {
        scene.commit("one", "a", &number.to_string());
    }
    scene.list(&scene.address("one"));
    scene.produced(&[("CLONE_DEPTH", "2")]);
    assert_eq!(scene.lines().len(), 2);
    for number in 5..9 {
        scene.commit("one", "a", &number.to_string());
    }
    scene.produced(&[("CLONE_DEPTH", "2")]);
    assert_eq!(scene.lines().len(), 6);
    scene.assert_checks("one");
}

#[test]
fn the_example_is_about_these_programs() {
    let text = fs::read_to_string(examples().join("git-producer.yaml")).unwrap();
    let program = fs::read_to_string(examples().join("git-producer/git-repositories-to-feed")).unwrap();
    for setting in
        ["REPOSITORIES", "FEED", "DONE", "CLONES", "BRANCH", "CLONE_DEPTH", "MAX_CONCURRENT", "MAX_REPOSITORIES"]
    {
        assert!(text.contains(&format!("- name: {setting}\n")), "{setting} is not in the example");
        assert!(program.contains(&format!("#   {setting} ")), "{setting} is not in the program's head");
    }
    assert!(text.contains("command: [/programs/git-repositories-to-feed]"));
    assert!(text.contains("--from-file=examples/git-producer/git-repositories-to-feed"));
    assert!(text.contains("--from-file=examples/git-history/git-history-to-jsonl"));
}
