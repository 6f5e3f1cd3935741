//! `examples/git-history/git-history-to-jsonl`: a repository of every kind of change, its lines, and its own check.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A repository with nothing of the user's own settings.
struct Repository {
    folder: TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { folder: TempDir::new().unwrap() };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_AUTHOR_DATE", "1700000000 +0530");
        for name in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
            command.env(name, "Ünal \"the\" Tester");
        }
        for name in ["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"] {
            command.env(name, "tester@example.org");
        }
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    fn script(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/git-history/git-history-to-jsonl");
        let mut command = Command::new(script);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        command.arg(self.path()).args(arguments).output().unwrap()
    }

    /// The lines as standard output has them.
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.script(&[&["--repo-name", "tiny"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines without repository and metadata.
    fn changes(&self) -> Vec<Value> {
        let mut lines = self.lines(&[]);
        for line in &mut lines {
            line.as_object_mut().unwrap().remove("metadata");
            assert_eq!(line.as_object_mut().unwrap().remove("repo"), Some(json!("tiny")));
        }
        lines
    }

    fn feed(&self, output: &TempDir) -> PathBuf {
        let file = output.path().join("feed.jsonl");
        let written = self.script(&["--output", file.to_str().unwrap()]);
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        file
    }

    fn check(&self, feed: &Path) -> (Option<i32>, String) {
        let output = self.script(&["--check", feed.to_str().unwrap()]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What the script writes is what its own check accepts.
    fn assert_checks(&self) {
        let folder = TempDir::new().unwrap();
        let (code, said) = self.check(&self.feed(&folder));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with(" 0 problems\n"), "{said}");
    }
}

/// Long enough for git to see that it is the same file.
fn text(first: &str) -> String {
    let rest = (0..40).fold(String::new(), |text, number| text + format!("line {number} stays as it is\n").as_str());
    format!("{first}\n{rest}")
}

#[test]
fn all_four_operations() {
    let repository = Repository::new();
    repository.write("docs/a.md", text("one"));
    repository.commit("first");
    repository.write("docs/a.md", text("two"));
    repository.commit("second");
    fs::rename(repository.path().join("docs/a.md"), repository.path().join("docs/b.md")).unwrap();
    repository.commit("moved as it is");
    fs::rename(repository.path().join("docs/b.md"), repository.path().join("c.md")).unwrap();
    repository.write("c.md", text("three"));
    repository.commit("moved and changed");
    repository.commit("nothing at all");
    fs::remove_file(repository.path().join("c.md")).unwrap();
    repository.commit("gone");

    let wanted = [
        json!({"op": "add", "path": "docs/a.md", "content": text("one")}),
        json!({"op": "modify", "path": "docs/a.md", "content": text("two")}),
        json!({"op": "rename", "path": "docs/a.md", "new_path": "docs/b.md"}),
        json!({"op": "rename", "path": "docs/b.md", "new_path": "c.md", "content": text("three")}),
        json!({"op": "delete", "path": "c.md"}),
    ];
    assert_eq!(repository.changes(), wanted);
    repository.assert_checks();
}

#[test]
fn metadata_is_that_of_the_commit() {
    let repository = Repository::new();
    repository.write("a", "text");
    repository.commit("the subject, with \"quotes\" and \\\n\nand a body");
    let line = repository.lines(&[]).remove(0);
    let head = Command::new("git").current_dir(repository.path()).args(["rev-parse", "HEAD"]).output().unwrap();
    let wanted = json!({
        "commit": String::from_utf8(head.stdout).unwrap().trim(),
        "author": "Ünal \"the\" Tester",
        "date": "2023-11-14T22:13:20Z",
        "message": "the subject, with \"quotes\" and \\",
    });
    assert_eq!(line["metadata"], wanted);
}

#[test]
fn what_is_no_text_does_not_exist() {
    let repository = Repository::new();
    repository.write("picture", [0, 1, 2, 255]);
    repository.write("latin1", [b'c', b'a', b'f', 0xe9]);
    repository.write("large", "x".repeat(200_000));
    repository.write("turns-binary", "text for now");
    repository.write("turns-text", [0; 8]);
    std::os::unix::fs::symlink("turns-binary", repository.path().join("link")).unwrap();
    repository.commit("first");
    repository.write("turns-binary", [0; 9]);
    repository.write("turns-text", "text from now on");
    repository.commit("second");

    let wanted = [
        json!({"op": "add", "path": "turns-binary", "content": "text for now"}),
        json!({"op": "delete", "path": "turns-binary"}),
        json!({"op": "add", "path": "turns-text", "content": "text from now on"}),
    ];
    assert_eq!(repository.changes(), wanted);
    repository.assert_checks();

    let with_large = repository.lines(&["--max-bytes", "200000"]);
    assert!(with_large.iter().any(|line| line["path"] == "large"), "{with_large:?}");
}

#[test]
fn odd_names_are_told_as_they_are() {
    use std::os::unix::ffi::OsStrExt as _;

    let repository = Repository::new();
    let names = [" leading", "-dash", "a\tb", "line\nbreak", "quo\"te", "ümlaut:1", "日本/語", "back\\slash"];
    for name in names {
        repository.write(name, name);
    }
    let unreadable = std::ffi::OsStr::from_bytes(b"not-utf8-\xff");
    fs::write(repository.path().join(unreadable), "nobody can name it").unwrap();
    repository.commit("odd");

    let changes = repository.changes();
    let mut told = changes.iter().map(|line| line["path"].as_str().unwrap()).collect::<Vec<_>>();
    told.sort_unstable();
    let mut wanted = names;
    wanted.sort_unstable();
    assert_eq!(told, wanted);
    assert!(changes.iter().all(|line| line["op"] == "add" && line["content"] == line["path"]));
    repository.assert_checks();
}

#[test]
fn a_merge_is_one_step_of_its_first_parent() {
    let repository = Repository::new();
    repository.write("a", "main");
    repository.commit("first");
    repository.git(&["checkout", "--quiet", "-b", "side"]);
    repository.write("b", "side, not yet");
    repository.commit("on the side");
    repository.write("b", "side");
    repository.commit("on the side again");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("a", "main again");
    repository.commit("second");
    repository.git(&["merge", "--quiet", "--no-ff", "--message", "merged", "side"]);

    let wanted = [
        json!({"op": "add", "path": "a", "content": "main"}),
        json!({"op": "modify", "path": "a", "content": "main again"}),
        json!({"op": "add", "path": "b", "content": "side"}),
    ];
    assert_eq!(repository.changes(), wanted);
    assert_eq!(repository.lines(&["--limit", "2"]).len(), 2);
    assert_eq!(repository.lines(&["--revision", "side"]).len(), 3);
    repository.assert_checks();
}

#[test]
fn settings_of_the_user_change_nothing() {
    let repository = Repository::new();
    repository.write("a", text("one"));
    repository.commit("first");
    fs::rename(repository.path().join("a"), repository.path().join("b")).unwrap();
    repository.commit("second");
    let before = repository.changes();
    for (name, value) in [("diff.renames", "false"), ("log.showSignature", "true"), ("core.quotePath", "false")] {
        repository.git(&["config", name, value]);
    }
    assert_eq!(repository.changes(), before);
}

#[test]
fn a_feed_that_differs_is_found_out() {
    let repository = Repository::new();
    repository.write("a", "one");
    repository.write("b", "one");
    repository.commit("first");
    let folder = TempDir::new().unwrap();
    let feed = repository.feed(&folder);
    let lines = fs::read_to_string(&feed).unwrap();

    let without_last = lines.lines().take(1).collect::<String>() + "\n";
    fs::write(&feed, without_last).unwrap();
    let (code, said) = repository.check(&feed);
    assert_eq!(code, Some(1));
    assert!(said.contains("missing after the replay: 'b'"), "{said}");

    fs::write(&feed, lines.replacen("one", "two", 1)).unwrap();
    let (code, said) = repository.check(&feed);
    assert_eq!(code, Some(1));
    assert!(said.contains("differs from the repository: 'a'"), "{said}");
}

#[test]
fn what_is_no_repository_is_an_error_in_one_line() {
    let repository = Repository { folder: TempDir::new().unwrap() };
    let output = repository.script(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: ") && !said.contains("Traceback"), "{said}");
}
