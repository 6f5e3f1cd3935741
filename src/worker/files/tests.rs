use std::fs;
use std::os::unix::fs::symlink;

use elysia_engine::checkpoint::Digest;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use super::super::work::FileWork;
use super::*;

fn volume(files: &[&str]) -> TempDir {
    let mount = TempDir::new().unwrap();
    for file in files {
        let path = mount.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    mount
}

fn names(mount: &TempDir, path: &str, pattern: &str) -> Result<Vec<String>, String> {
    let mount_path = mount.path().to_str().unwrap().to_owned();
    let volume = VolumeWork {
        mount_path,
        path: path.to_owned(),
        pattern: pattern.to_owned(),
        is_followed: false,
        processed: None,
    };
    let entries = FileSource::new(SourceWork::Volume(volume)).entries().map_err(|error| error.message)?;
    Ok(entries.into_iter().map(|entry| entry.name).collect())
}

#[test]
fn patterns_find_files_in_the_order_of_their_names() {
    let mount =
        volume(&["b.jsonl", "a.jsonl", "c.txt", "sub/d.jsonl", "sub/deep/e.jsonl", ".half.jsonl", ".x/f.jsonl"]);
    assert_eq!(names(&mount, "", "*.jsonl").unwrap(), ["a.jsonl", "b.jsonl"]);
    assert_eq!(names(&mount, "", "**/*.jsonl").unwrap(), ["a.jsonl", "b.jsonl", "sub/d.jsonl", "sub/deep/e.jsonl"]);
    assert_eq!(names(&mount, "sub", "*.jsonl").unwrap(), ["sub/d.jsonl"]);
    assert_eq!(names(&mount, "c.txt", "*.jsonl").unwrap(), ["c.txt"], "a file that is named needs no pattern");
    assert!(names(&mount, "", "*.gz").unwrap_err().contains("no file matches *.gz"));
    assert!(names(&mount, "", "[").unwrap_err().contains("pattern ["));
    assert!(names(&mount, "none", "*").unwrap_err().contains("No such file"));
}

#[test]
fn what_leads_out_of_the_mount_is_refused() {
    let outside = volume(&["secret.jsonl"]);
    let mount = volume(&["a.jsonl"]);
    assert!(names(&mount, "../", "*").unwrap_err().contains("leads out of"));
    symlink(mount.path().join("a.jsonl"), mount.path().join("b.jsonl")).unwrap();
    symlink(outside.path(), mount.path().join("folder")).unwrap();
    assert_eq!(names(&mount, "", "**/*.jsonl").unwrap(), ["a.jsonl", "b.jsonl"], "a link to a folder is not followed");
    symlink(outside.path().join("secret.jsonl"), mount.path().join("c.jsonl")).unwrap();
    assert!(names(&mount, "", "*.jsonl").unwrap_err().contains("leads out of"));
}

#[tokio::test]
async fn the_files_of_a_config_map_keep_their_order_and_are_read_through_its_links() {
    // As the kubelet lays it out: key → ..data/key, ..data → ..stamp.
    let mount = volume(&["..stamp/z.jsonl", "..stamp/a.jsonl"]);
    symlink("..stamp", mount.path().join("..data")).unwrap();
    for key in ["z.jsonl", "a.jsonl"] {
        symlink(Path::new("..data").join(key), mount.path().join(key)).unwrap();
    }
    let files = ["z.jsonl", "a.jsonl"].map(|path| FileWork { path: path.to_owned(), sha256: Digest::default() });
    let mount_path = mount.path().to_str().unwrap().to_owned();
    let map = ConfigMapWork { name: "feed".to_owned(), mount_path, files: files.into() };
    let source = FileSource::new(SourceWork::ConfigMaps(vec![map]));
    let entries = source.list().await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["z.jsonl", "a.jsonl"]);
    let mut text = String::new();
    source.open(&entries[1]).await.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "..stamp/a.jsonl");
}
