//! The ledger in a file: for a run without Kubernetes, from a person's own machine or a bench.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use elysia_engine::category::Category;
use elysia_engine::checkpoint::Digest;
use elysia_engine::ledger::Ledger;
use elysia_engine::ports::{LedgerStore, PortError, SaveError, Stored};

/// A ledger in a file of its own. Two workers with one file notice each other at their next write, as with a
/// `ConfigMap`, but for a moment: whoever starts them sees to it that there is one.
pub(super) struct FileLedger {
    path: PathBuf,
}

impl FileLedger {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn read(&self) -> Result<Option<Vec<u8>>, PortError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &self.path, &error)),
        }
    }

    /// The file appears whole or not at all, and is on the disk when this returns.
    fn write(&self, text: &[u8]) -> Result<(), PortError> {
        let mut partial = self.path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let written = std::fs::File::create(&partial).and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        });
        written.map_err(|error| failed("write", &partial, &error))?;
        std::fs::rename(&partial, &self.path).map_err(|error| failed("rename to", &self.path, &error))
    }
}

/// What names a state of the file; nothing while there is none.
fn version(stored: Option<&[u8]>) -> String {
    stored.map(|bytes| Digest::of(bytes).to_string()).unwrap_or_default()
}

fn failed(action: &str, path: &Path, error: &std::io::Error) -> PortError {
    let message = format!("failed to {action} {}: {error}", path.display());
    PortError { category: Category::FileSystem, retryable: true, message }
}

/// Only a defect of ours leads here.
fn abandoned(path: &Path, error: &tokio::task::JoinError) -> PortError {
    let message = format!("{}: {error}", path.display());
    PortError { category: Category::FileSystem, retryable: true, message }
}

impl LedgerStore for FileLedger {
    async fn load(&self) -> Result<Stored, PortError> {
        let stored = self.read()?;
        let ledger = stored.as_deref().map(serde_json::from_slice).transpose().map_err(|error| PortError {
            category: Category::Encoding,
            retryable: false,
            message: format!("{} holds no ledger ({error}); delete it to begin anew", self.path.display()),
        })?;
        Ok(Stored { ledger, version: version(stored.as_deref()) })
    }

    async fn save(&self, ledger: &Ledger, expected: &str) -> Result<String, SaveError> {
        let text = serde_json::to_vec(ledger).map_err(|error| PortError {
            category: Category::Encoding,
            retryable: false,
            message: format!("{}: {error}", self.path.display()),
        })?;
        // Waiting for the disk keeps nobody else waiting.
        let (store, expected) = (Self { path: self.path.clone() }, expected.to_owned());
        let saved = tokio::task::spawn_blocking(move || {
            if version(store.read()?.as_deref()) != expected {
                return Err(SaveError::Conflict);
            }
            store.write(&text)?;
            Ok(version(Some(&text)))
        });
        saved.await.unwrap_or_else(|error| Err(abandoned(&self.path, &error).into()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_file_is_written_by_one_hand_and_read_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = FileLedger::new(folder.path().join("ledger.json"));
        let empty = store.load().await.unwrap();
        assert_eq!(empty, Stored { ledger: None, version: String::new() });
        let ledger = Ledger::begin("first", "Articles", Timestamp::UNIX_EPOCH);
        let version = store.save(&ledger, &empty.version).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Stored { ledger: Some(ledger.clone()), version: version.clone() });
        assert_eq!(store.save(&ledger, &empty.version).await, Err(SaveError::Conflict));
        let other = Ledger::begin("second", "Articles", Timestamp::UNIX_EPOCH);
        assert_ne!(store.save(&other, &version).await.unwrap(), version);
        std::fs::write(folder.path().join("ledger.json"), "no ledger").unwrap();
        assert!(store.load().await.unwrap_err().message.contains("delete it to begin anew"));
    }
}
