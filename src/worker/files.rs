//! Mounted files as a source.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use elysia_engine::category::Category;
use elysia_engine::ports::{FileEntry, PortError, PutAway, Source};
use globset::{GlobBuilder, GlobMatcher};
use tokio::fs::File;
use tokio::io::AsyncRead;

use super::put_away;
use super::work::{ConfigMapWork, SourceWork, VolumeWork};

/// How deep folders are searched: deeper than any sane feed, so that a loop of mounts ends.
const DEPTH: usize = 32;

/// Standard input, as a file's name.
const STDIN: &str = "-";

/// Files below a mount. What a link leads out of the mount is refused: the feed may be written by somebody who may not
/// read what else this container sees.
pub(super) struct FileSource {
    work: SourceWork,
    is_stdin_read: AtomicBool,
}

impl FileSource {
    pub(super) fn new(work: SourceWork) -> Self {
        Self { work, is_stdin_read: AtomicBool::new(false) }
    }

    fn entries(&self) -> Result<Vec<FileEntry>, PortError> {
        match &self.work {
            SourceWork::ConfigMaps(maps) => {
                let several = maps.len() > 1;
                let entries = maps.iter().flat_map(|map| map.files.iter().map(move |file| (map, file)));
                let entry = |(map, file): (&ConfigMapWork, &super::work::FileWork)| {
                    let (_, size) = inside(Path::new(&map.mount_path), Path::new(&file.path))?;
                    let name = if several { format!("{}/{}", map.name, file.path) } else { file.path.clone() };
                    Ok(FileEntry { name, size, version: None, expected: Some(file.sha256) })
                };
                entries.map(entry).collect()
            }
            SourceWork::Volume(volume) => volume_entries(volume),
            SourceWork::Here(files) => files.iter().map(|file| file_here(file)).collect(),
            SourceWork::S3(_) => Err(no_files()),
        }
    }

    /// The volume whose files leave their place.
    fn processed_volume(&self) -> Option<&VolumeWork> {
        match &self.work {
            SourceWork::Volume(volume) => Some(volume).filter(|volume| volume.processed.is_some()),
            SourceWork::ConfigMaps(_) | SourceWork::Here(_) | SourceWork::S3(_) => None,
        }
    }

    fn locate(&self, name: &str) -> Result<PathBuf, PortError> {
        let (mount, path) = match &self.work {
            SourceWork::Volume(volume) => (volume.mount_path.as_str(), name),
            SourceWork::Here(_) => return Ok(PathBuf::from(name)),
            SourceWork::ConfigMaps(maps) => {
                let (map, key) = match name.split_once('/') {
                    Some((map, key)) => (maps.iter().find(|found| found.name == map), key),
                    None => (maps.first(), name),
                };
                let map = map.ok_or_else(|| refused(format!("{name}: no such file in this run")))?;
                (map.mount_path.as_str(), key)
            }
            SourceWork::S3(_) => return Err(no_files()),
        };
        inside(Path::new(mount), Path::new(path)).map(|(path, _)| path)
    }
}

impl Source for FileSource {
    type Reader = Box<dyn AsyncRead + Send + Unpin>;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        self.entries()
    }

    async fn open(&self, file: &FileEntry) -> Result<Self::Reader, PortError> {
        let name = file.name.as_str();
        if matches!(self.work, SourceWork::Here(_)) && name == STDIN {
            if self.is_stdin_read.swap(true, Ordering::Relaxed) {
                return Err(refused("standard input cannot be read a second time".to_owned()));
            }
            return Ok(Box::new(tokio::io::stdin()));
        }
        let path = self.locate(name)?;
        let file = File::open(&path).await.map_err(|error| failed("open", &path, &error))?;
        Ok(Box::new(file))
    }

    fn puts_away(&self) -> bool {
        self.processed_volume().is_some()
    }

    async fn destination(&self, file: &str) -> Result<Option<String>, PortError> {
        self.processed_volume().map_or(Ok(None), |volume| put_away::destination(volume, file, SystemTime::now()))
    }

    async fn put_away(&self, file: &str, version: &str, to: &str) -> Result<PutAway, PortError> {
        let volume = self.processed_volume();
        volume.map_or(Ok(PutAway::Changed), |volume| put_away::put_away(volume, file, version, to))
    }
}

/// The real place and the size of a file below a mount.
pub(super) fn inside(mount: &Path, path: &Path) -> Result<(PathBuf, u64), PortError> {
    let top = mount.canonicalize().map_err(|error| failed("find", mount, &error))?;
    let asked = mount.join(path);
    let found = asked.canonicalize().map_err(|error| failed("find", &asked, &error))?;
    if !found.starts_with(&top) {
        return Err(refused(format!("{} leads out of {}", asked.display(), mount.display())));
    }
    let size = found.metadata().map_err(|error| failed("look at", &found, &error))?.len();
    Ok((found, size))
}

/// A file of this machine; how much standard input has, nobody knows.
fn file_here(name: &str) -> Result<FileEntry, PortError> {
    let size = if name == STDIN {
        0
    } else {
        let path = Path::new(name);
        path.metadata().map_err(|error| failed("look at", path, &error))?.len()
    };
    Ok(FileEntry { name: name.to_owned(), size, version: None, expected: None })
}

/// The files of a volume by their paths on it, in the order of those.
fn volume_entries(volume: &VolumeWork) -> Result<Vec<FileEntry>, PortError> {
    let mount = Path::new(&volume.mount_path);
    // One file that left its place is no more there to be listed.
    if volume.processed.is_some() && !mount.join(&volume.path).exists() {
        return Ok(Vec::new());
    }
    let (top, size) = inside(mount, Path::new(&volume.path))?;
    let mut found = BTreeMap::new();
    if top.is_file() {
        found.insert(volume.path.clone(), size);
    } else {
        let pattern = GlobBuilder::new(&volume.pattern).literal_separator(true).build();
        let pattern = pattern.map_err(|error| refused(format!("pattern {}: {error}", volume.pattern)))?;
        let walk = Walk { mount, folder: Path::new(&volume.path), pattern: pattern.compile_matcher() };
        walk.visit(Path::new(""), DEPTH, &mut found)?;
    }
    found.retain(|name, _| !put_away::is_put_away(volume, name));
    if found.is_empty() && !volume.is_followed {
        return Err(refused(format!(
            "no file matches {} below {}",
            volume.pattern,
            mount.join(&volume.path).display()
        )));
    }
    let entry = |(name, size): (String, u64)| {
        let version = if volume.is_followed {
            let (path, _) = inside(mount, Path::new(&name))?;
            Some(version(&path.metadata().map_err(|error| failed("look at", &path, &error))?))
        } else {
            None
        };
        Ok(FileEntry { name, size, version, expected: None })
    };
    found.into_iter().map(entry).collect()
}

/// What changes with the content of a file: its size, and the time of its last change, which no program can set. Only for
/// leaving a file alone that is indexed; and for reading on in one whose beginning was hashed a moment ago.
pub(super) fn version(metadata: &Metadata) -> String {
    format!("{} {}.{:09} {}", metadata.len(), metadata.ctime(), metadata.ctime_nsec(), metadata.ino())
}

struct Walk<'a> {
    mount: &'a Path,
    folder: &'a Path,
    pattern: GlobMatcher,
}

impl Walk<'_> {
    /// Looks below `relative`, a path below the folder. Links to folders are not followed, links to files are where
    /// they stay on the mount. A file whose name begins with a dot is one that is still being written.
    fn visit(&self, relative: &Path, depth: usize, found: &mut BTreeMap<String, u64>) -> Result<(), PortError> {
        let folder = self.mount.join(self.folder).join(relative);
        let entries = folder.read_dir().map_err(|error| failed("list", &folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", &folder, &error))?;
            let below = relative.join(entry.file_name());
            let kind = entry.file_type().map_err(|error| failed("look at", &entry.path(), &error))?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if kind.is_dir() && !is_hidden && depth > 0 {
                self.visit(&below, depth - 1, found)?;
            } else if !kind.is_dir() && !is_hidden && self.pattern.is_match(&below) {
                let path = self.folder.join(&below);
                let (real, size) = inside(self.mount, &path)?;
                if real.is_file() {
                    let name = path.to_str().ok_or_else(|| refused(format!("{} is no UTF-8 name", path.display())))?;
                    found.insert(name.to_owned(), size);
                }
            }
        }
        Ok(())
    }
}

/// What is not there is not there the next moment either; everything else may pass.
pub(super) fn failed(action: &str, path: &Path, error: &io::Error) -> PortError {
    let message = format!("failed to {action} {}: {error}", path.display());
    PortError { category: Category::FileSystem, retryable: error.kind() != io::ErrorKind::NotFound, message }
}

/// Only a defect of ours leads here.
fn no_files() -> PortError {
    refused("a bucket holds no files".to_owned())
}

pub(super) fn refused(message: String) -> PortError {
    PortError { category: Category::FileSystem, retryable: false, message }
}

#[cfg(test)]
mod tests;
