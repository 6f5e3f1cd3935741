//! Whether a backup or a restore runs: half of the proof that a class is empty.

use serde::Deserialize;

use crate::client::Client;
use crate::error::WeaviateError;
use crate::rest::Rest;

/// One backup of `GET /v1/backups/{backend}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct BackupEntry {
    /// Its id.
    pub id: String,
    /// `STARTED`, `TRANSFERRING`, `TRANSFERRED`, `SUCCESS`, `FAILED`, `CANCELED` …
    #[serde(default)]
    pub status: String,
    /// The classes in it.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
}

impl BackupEntry {
    /// Whether it ended, one way or another. A status that we do not know has not.
    pub fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "SUCCESS" | "FAILED" | "CANCELED" | "CANCELLED")
    }
}

/// Modules that can be a backup's backend, and the name of the backend (`modules/backup-*`).
const BACKENDS: [(&str, &str); 4] =
    [("backup-filesystem", "filesystem"), ("backup-s3", "s3"), ("backup-gcs", "gcs"), ("backup-azure", "azure")];

impl Client {
    /// `GET /v1/backups/{backend}`.
    pub async fn backups(&self, backend: &str) -> Result<Vec<BackupEntry>, WeaviateError> {
        self.list(Rest::get(&["backups", backend])).await
    }

    /// Whether a backup runs, as far as the backends of this server know: `Some(false)` when it has none or none of
    /// their backups is under way, `None` when one of them could not be asked.
    ///
    /// The list knows the backend's default bucket and path only, and no restores (adapters/handlers/rest,
    /// `handlers_backup.go)`: `Some(false)` allows nothing that a backup elsewhere would forbid.
    pub async fn backup_in_progress(&self) -> Result<Option<bool>, WeaviateError> {
        let modules = self.meta().await?.modules;
        let backends = BACKENDS.iter().filter(|(module, _)| modules.contains_key(*module));
        let mut unknown = false;
        for (_, backend) in backends {
            match self.backups(backend).await {
                Ok(entries) if entries.iter().all(BackupEntry::is_final) => {}
                Ok(_) => return Ok(Some(true)),
                Err(error) => {
                    tracing::debug!(backend, error = %error, "backups could not be listed");
                    unknown = true;
                }
            }
        }
        Ok((!unknown).then_some(false))
    }
}
