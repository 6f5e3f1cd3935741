use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use elysia_engine::ports::{FileEntry, Source as _};
use tempfile::TempDir;

use super::super::files::FileSource;
use super::super::work::SourceWork;
use super::*;

struct Scene {
    mount: TempDir,
    volume: VolumeWork,
}

impl Scene {
    fn new(path: &str, pattern: &str, processed: ProcessedWork) -> Self {
        let mount = TempDir::new().unwrap();
        let volume = VolumeWork {
            mount_path: mount.path().to_str().unwrap().to_owned(),
            path: path.to_owned(),
            pattern: pattern.to_owned(),
            is_followed: true,
            processed: Some(processed),
        };
        Self { mount, volume }
    }

    fn renaming() -> Self {
        Self::new("", "**", ProcessedWork::Rename { suffix: ".processed".to_owned() })
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.mount.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.mount.path().join(name)).ok()
    }

    async fn listed(&self) -> Vec<FileEntry> {
        FileSource::new(SourceWork::Volume(self.volume.clone())).list().await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        self.listed().await.into_iter().map(|file| file.name).collect()
    }

    async fn version(&self, name: &str) -> String {
        self.listed().await.into_iter().find(|file| file.name == name).unwrap().version.unwrap()
    }

    fn destination(&self, name: &str) -> Option<String> {
        let later = SystemTime::now() + Duration::from_secs(60);
        destination(&self.volume, name, later).unwrap()
    }

    fn goes(&self, name: &str, version: &str, to: &str) -> PutAway {
        put_away(&self.volume, name, version, to).unwrap()
    }
}

#[tokio::test]
async fn a_file_gets_another_name_and_is_not_listed_any_more() {
    let scene = Scene::renaming();
    for round in 0..3 {
        scene.write("sub/a.jsonl", &format!("{round}"));
        assert_eq!(scene.names().await, ["sub/a.jsonl"], "nor are those of earlier rounds");
        let to = scene.destination("sub/a.jsonl").unwrap();
        assert_eq!(to, ["sub/a.jsonl.processed", "sub/a.jsonl.1.processed", "sub/a.jsonl.2.processed"][round]);
        let version = scene.version("sub/a.jsonl").await;
        assert_eq!(scene.goes("sub/a.jsonl", &version, &to), PutAway::Done);
        assert_eq!(scene.goes("sub/a.jsonl", &version, &to), PutAway::Done, "found out by the next worker");
        assert_eq!(scene.read(&to), Some(format!("{round}")));
        assert_eq!(scene.names().await, Vec::<String>::new());
    }
    assert_eq!(scene.destination("sub/a.jsonl"), None, "it is not there");
}

#[tokio::test]
async fn a_file_goes_into_a_folder_of_the_volume() {
    let scene = Scene::new("in", "**/*.jsonl", ProcessedWork::Move { path: "in/done".to_owned() });
    scene.write("in/day/a.jsonl", "x");
    let version = scene.version("in/day/a.jsonl").await;
    let to = scene.destination("in/day/a.jsonl").unwrap();
    assert_eq!(to, "in/done/day/a.jsonl");
    assert_eq!(scene.goes("in/day/a.jsonl", &version, &to), PutAway::Done);
    assert_eq!(scene.names().await, Vec::<String>::new(), "although the pattern finds it");
    scene.write("in/day/a.jsonl", "y");
    assert_eq!(scene.destination("in/day/a.jsonl").unwrap(), "in/done/day/a.jsonl.1");
    // Another file came under the name before the worker that put the first one away had said so.
    assert_eq!(scene.goes("in/day/a.jsonl", &version, &to), PutAway::Done);
    assert_eq!((scene.read("in/day/a.jsonl"), scene.read(&to)), (Some("y".to_owned()), Some("x".to_owned())));
}

#[tokio::test]
async fn nothing_is_written_over_and_what_changed_stays() {
    let scene = Scene::renaming();
    scene.write("a.jsonl", "one");
    let version = scene.version("a.jsonl").await;
    scene.write("a.jsonl.processed", "other");
    assert_eq!(scene.goes("a.jsonl", &version, "a.jsonl.processed"), PutAway::Occupied);
    fs::remove_file(scene.mount.path().join("a.jsonl.processed")).unwrap();
    let mut file = OpenOptions::new().append(true).open(scene.mount.path().join("a.jsonl")).unwrap();
    file.write_all(b" more").unwrap();
    assert_eq!(scene.goes("a.jsonl", &version, "a.jsonl.processed"), PutAway::Changed);
    assert_eq!(scene.read("a.jsonl").as_deref(), Some("one more"));
    assert_eq!(scene.goes("gone.jsonl", &version, "gone.jsonl.processed"), PutAway::Changed);
    // Written to behind the look, and the worker died before it could take it back.
    let version = scene.version("a.jsonl").await;
    fs::rename(scene.mount.path().join("a.jsonl"), scene.mount.path().join("a.jsonl.processed")).unwrap();
    file.write_all(b" and more").unwrap();
    assert_eq!(scene.goes("a.jsonl", &version, "a.jsonl.processed"), PutAway::Changed);
    assert_eq!(scene.names().await, ["a.jsonl"]);
}

#[test]
fn a_file_rests_before_it_goes() {
    let scene = Scene::renaming();
    scene.write("a.jsonl", "one");
    let after =
        |seconds| destination(&scene.volume, "a.jsonl", SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    assert_eq!(after(0), None);
    assert_eq!(after(60).as_deref(), Some("a.jsonl.processed"));
}

#[tokio::test]
async fn two_names_of_one_file_become_one() {
    let scene = Scene::renaming();
    scene.write("a.jsonl", "one");
    let version = scene.version("a.jsonl").await;
    let (from, to) = (scene.mount.path().join("a.jsonl"), scene.mount.path().join("a.jsonl.processed"));
    fs::hard_link(&from, &to).unwrap();
    assert_eq!(scene.goes("a.jsonl", &version, "a.jsonl.processed"), PutAway::Done);
    assert_eq!((scene.read("a.jsonl"), scene.read("a.jsonl.processed").as_deref()), (None, Some("one")));
}

#[tokio::test]
async fn links_stay_and_lead_nowhere_else() {
    let scene = Scene::new("", "*.jsonl", ProcessedWork::Move { path: "done".to_owned() });
    scene.write("a.jsonl", "x");
    std::os::unix::fs::symlink("a.jsonl", scene.mount.path().join("b.jsonl")).unwrap();
    assert_eq!(scene.destination("b.jsonl"), None);
    let elsewhere = TempDir::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), scene.mount.path().join("done")).unwrap();
    let version = scene.version("a.jsonl").await;
    let error = put_away(&scene.volume, "a.jsonl", &version, "done/a.jsonl").unwrap_err();
    assert!(error.message.contains("leads out of"), "{error}");
    assert_eq!(scene.read("a.jsonl").as_deref(), Some("x"));
}
