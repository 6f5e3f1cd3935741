//! Writes what comes in to a file, whole or not at all.

use std::path::{Path, PathBuf};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{WorkerError, chain};

/// The most that is taken: a stream without end must not fill a volume that others use.
const RECEIVE_BYTES: u64 = 64 << 30;

/// Bytes that are held at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Writes a stream to `path`. The file appears when all of it is on the disk; until then it has a name that begins
/// with a dot, which no feed reads. With `bytes`, any other length leaves the old file as it was.
pub(super) async fn receive(
    input: &mut (impl AsyncRead + Unpin),
    path: &Path,
    bytes: Option<u64>,
) -> Result<(), WorkerError> {
    let name = path.file_name().ok_or_else(|| WorkerError::Permanent(format!("{} names no file", path.display())))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).await.map_err(|error| failed("make", folder, &error))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".partial");
    let partial = folder.join(hidden);
    let written = write(input, &partial, bytes).await;
    if written.is_err() {
        // The reason is what counts; a file that was left behind is overwritten by the next attempt.
        let _ = fs::remove_file(&partial).await;
        return written;
    }
    fs::rename(&partial, path).await.map_err(|error| failed("rename", &partial, &error))?;
    let folder_file = File::open(folder).await.map_err(|error| failed("open", folder, &error))?;
    folder_file.sync_all().await.map_err(|error| failed("write", folder, &error))
}

async fn write(input: &mut (impl AsyncRead + Unpin), path: &PathBuf, bytes: Option<u64>) -> Result<(), WorkerError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(path).await;
    let mut file = file.map_err(|error| failed("open", path, &error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut received = 0;
    loop {
        let count = input.read(&mut chunk).await.map_err(|error| failed("read for", path, &error))?;
        if count == 0 {
            break;
        }
        received += count as u64;
        if received > bytes.unwrap_or(RECEIVE_BYTES) {
            return Err(WorkerError::Permanent(format!("{}: more bytes came than expected", path.display())));
        }
        file.write_all(&chunk[..count]).await.map_err(|error| failed("write", path, &error))?;
    }
    if let Some(expected) = bytes.filter(|expected| *expected != received) {
        return Err(WorkerError::Again(format!("{received} of {expected} bytes came: the connection broke")));
    }
    file.sync_all().await.map_err(|error| failed("write", path, &error))
}

fn failed(action: &str, path: &Path, error: &std::io::Error) -> WorkerError {
    WorkerError::Again(format!("failed to {action} {}: {}", path.display(), chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("sub/feed.jsonl");
        receive(&mut &b"first"[..], &path, None).await.unwrap();
        receive(&mut &b"cut of"[..], &path, Some(9)).await.unwrap_err();
        receive(&mut &b"too long"[..], &path, Some(3)).await.unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        receive(&mut &b"second"[..], &path, Some(6)).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path().join("sub")).unwrap().count(), 1, "nothing is left over");
    }
}
