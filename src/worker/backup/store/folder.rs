//! A folder of a machine, or of a volume, as a store.
//!
//! A file appears whole and on the disk, or not at all: it is written under a name that begins with a dot, which is never
//! listed, and gets its own when every byte is there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::category::Category;
use elysia_engine::checkpoint::{Digest, Hashing};
use elysia_engine::ports::PortError;
use rustix::io::Errno;
use uuid::Uuid;

use crate::worker::chain;
use crate::worker::put_away::rename;

/// Bytes that are held when a file of any size is read for its hash.
const PIECE_BYTES: usize = 1 << 20;

/// Files below a folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// It is made with the first file.
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a key lies. Keys are our own words and names that Weaviate allows; anything that would lead elsewhere is
    /// refused all the same.
    fn path(&self, key: &str) -> Result<PathBuf, PortError> {
        let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
        if key.split('/').all(is_plain) {
            return Ok(self.root.join(key));
        }
        let message = format!("`{key}` is no key of a backup");
        Err(PortError { category: Category::FileSystem, retryable: false, message })
    }

    async fn beside<T: Send + 'static>(
        &self,
        key: &str,
        work: impl FnOnce(PathBuf) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let path = self.path(key)?;
        let done = tokio::task::spawn_blocking(move || work(path)).await;
        done.unwrap_or_else(|error| {
            let message = format!("a thread ended: {error}");
            Err(PortError { category: Category::Unknown, retryable: false, message })
        })
    }
}

impl Store for Folder {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        self.beside(key, move |path| put(&path, &bytes, mode).map_err(|error| failed("write", &path, &error))).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.beside(key, move |path| get(&path, most).map_err(|error| failed("read", &path, &error))).await
    }

    async fn digest(&self, key: &str) -> Result<Option<(u64, Digest)>, PortError> {
        self.beside(key, move |path| digest(&path).map_err(|error| failed("read", &path, &error))).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        let list = |path: PathBuf| {
            let entries = entries(&path).map_err(|error| failed("list", &path, &error))?;
            Ok(entries.into_iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| name).collect())
        };
        self.beside(folder, list).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        let key = folder.to_owned();
        let list = move |path: PathBuf| {
            let mut keys = Vec::new();
            walk(&path, &key, most, &mut keys).map_err(|error| failed("list", &path, &error))?;
            Ok(keys)
        };
        self.beside(folder, list).await
    }

    async fn room(&self) -> Result<Option<u64>, PortError> {
        let root = self.root.clone();
        let told = tokio::task::spawn_blocking(move || room(&root).map_err(|error| failed("ask", &root, &error))).await;
        told.unwrap_or(Ok(None))
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        for key in keys {
            let root = self.root.clone();
            self.beside(key, move |path| remove(&path, &root).map_err(|error| failed("remove", &path, &error))).await?;
        }
        Ok(())
    }
}

fn put(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<Put> {
    if mode == Mode::Create && path.try_exists()? {
        return Ok(Put::Exists);
    }
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return Err(ErrorKind::InvalidInput.into()) };
    make(folder)?;
    // Of several pods on one volume each has process 1: only chance tells their unfinished files apart.
    let hidden = folder.join(format!(".{}.{}", name.to_string_lossy(), Uuid::new_v4().simple()));
    let written = write(&hidden, bytes).and_then(|()| match mode {
        Mode::Overwrite => fs::rename(&hidden, path).map(|()| Put::Written),
        Mode::Create => match rename(&hidden, path) {
            Ok(()) => Ok(Put::Written),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Exists),
            Err(error) => Err(error),
        },
    });
    if !matches!(written, Ok(Put::Written)) {
        // The reason is what counts; what stays is never listed.
        let _ = fs::remove_file(&hidden);
    }
    let written = written?;
    File::open(folder)?.sync_all()?;
    Ok(written)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a folder and those above it, each of them on the disk.
fn make(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new(""));
    make(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    File::open(if above.as_os_str().is_empty() { Path::new(".") } else { above })?.sync_all()
}

fn get(path: &Path, most: u64) -> io::Result<Got> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(Got::Absent),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if found.is_dir() {
        return Ok(Got::Absent);
    }
    if found.len() > most {
        return Ok(Got::TooLarge(found.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // It may grow while it is read.
    file.take(most + 1).read_to_end(&mut bytes)?;
    let read = bytes.len() as u64;
    Ok(if read > most { Got::TooLarge(read) } else { Got::Bytes(bytes.into()) })
}

/// Size and hash; none where there is no such file.
fn digest(path: &Path) -> io::Result<Option<(u64, Digest)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.is_dir() {
        return Ok(None);
    }
    let (mut hashing, mut bytes, mut piece) = (Hashing::default(), 0, vec![0; PIECE_BYTES]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Some((bytes, hashing.finish())));
        }
        hashing.feed(&piece[..read]);
        bytes += read as u64;
    }
}

/// Bytes that somebody without privileges can still write into the file system of a folder, or of the first above it that
/// is there.
fn room(folder: &Path) -> io::Result<Option<u64>> {
    let absolute = std::path::absolute(folder)?;
    for folder in absolute.ancestors() {
        match rustix::fs::statvfs(folder) {
            // One that says nothing of its size, such as a bucket that is mounted, says nothing of what is free.
            Ok(found) if found.f_blocks == 0 => return Ok(None),
            Ok(found) => return Ok(Some(found.f_bavail.saturating_mul(found.f_frsize))),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::NOSYS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Names right below, sorted, and which of them are folders; none where there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry?;
        // What is no text is none of ours, and what begins with a dot is not finished.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.starts_with('.') {
            entries.push((name, entry.file_type()?.is_dir()));
        }
    }
    entries.sort();
    Ok(entries)
}

fn walk(folder: &Path, key: &str, most: usize, keys: &mut Vec<String>) -> io::Result<()> {
    for (name, is_folder) in entries(folder)? {
        if keys.len() >= most {
            break;
        }
        let below = format!("{key}/{name}");
        if is_folder {
            walk(&folder.join(&name), &below, most, keys)?;
        } else {
            keys.push(below);
        }
    }
    Ok(())
}

/// Removes a file, and the folders above it that are empty then. The keys of a bucket leave no folders either.
fn remove(path: &Path, root: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => return Err(error),
        _ => {}
    }
    let Some(folder) = path.parent() else { return Ok(()) };
    for folder in folder.ancestors().take_while(|folder| *folder != root && folder.starts_with(root)) {
        // A writer that was killed leaves what it had not finished.
        if entries(folder)?.is_empty() {
            for left in fs::read_dir(folder).into_iter().flatten().flatten() {
                let _ = fs::remove_file(left.path());
            }
        }
        if fs::remove_dir(folder).is_err() {
            return File::open(folder).and_then(|folder| folder.sync_all()).or_else(unless_absent);
        }
    }
    Ok(())
}

fn unless_absent(error: io::Error) -> io::Result<()> {
    if is_absent(&error) { Ok(()) } else { Err(error) }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failed(action: &str, path: &Path, error: &io::Error) -> PortError {
    // A disk that is full, or that nobody may write, stays so.
    let retryable = !matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::InvalidInput
    );
    let message = format!("failed to {action} {}: {}", path.display(), chain(error));
    PortError { category: Category::FileSystem, retryable, message }
}
