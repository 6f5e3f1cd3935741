//! Weaviate's own backups: starting, watching and cancelling them, and whether one runs, which is half of the proof that a
//! class is empty.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

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
        BackupPhase::of(&self.status).is_final()
    }
}

/// How far a backup or a restore is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BackupPhase {
    /// It is under way, whatever the server calls that.
    Running(String),
    /// It is complete.
    Success,
    /// It ended early.
    Failed,
    /// Somebody cancelled it.
    Canceled,
}

impl BackupPhase {
    /// What a server's word means. One that we do not know is not an end.
    fn of(word: &str) -> Self {
        match word {
            "SUCCESS" => Self::Success,
            "FAILED" => Self::Failed,
            "CANCELED" | "CANCELLED" => Self::Canceled,
            other => Self::Running(other.to_owned()),
        }
    }

    /// Whether it ended, one way or another.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Running(_))
    }
}

/// What a server says of one backup or restore.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BackupStanding {
    /// How far it is.
    pub phase: BackupPhase,
    /// Why it failed; empty where it did not.
    pub error: String,
    /// Where it lies, as the server calls it: `s3://bucket/path/id`. Empty where the server does not say.
    pub path: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

impl Answer {
    fn standing(self) -> BackupStanding {
        BackupStanding {
            phase: BackupPhase::of(&self.status.unwrap_or_default()),
            error: self.error.unwrap_or_default(),
            path: self.path.unwrap_or_default(),
        }
    }
}

/// A backup by its id and its place, both of which every call about it needs: a server looks nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct BackupName<'a> {
    /// The backend: `s3`.
    pub backend: &'a str,
    /// Its id: `^[a-z0-9_-]+$`.
    pub id: &'a str,
    /// The bucket, instead of the one that the server is set to.
    pub bucket: &'a str,
    /// The folder in it under which the backup has a folder of its id.
    pub path: &'a str,
}

/// What is asked of a backup or a restore.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupOptions<'a> {
    /// `DefaultCompression`, `BestSpeed`, `BestCompression`; the server's own when absent. Of a backup alone.
    pub compression: Option<&'a str>,
    /// How many of a hundred parts of a server's processors it may take; the server's own when absent.
    pub cpu_percentage: Option<u8>,
}

/// Modules that can be a backup's backend, and the name of the backend (`modules/backup-*`).
const BACKENDS: [(&str, &str); 4] =
    [("backup-filesystem", "filesystem"), ("backup-s3", "s3"), ("backup-gcs", "gcs"), ("backup-azure", "azure")];

impl BackupName<'_> {
    fn config(&self, options: BackupOptions<'_>) -> Value {
        let mut config = json!({"Bucket": self.bucket, "Path": self.path});
        if let Some(level) = options.compression {
            config["CompressionLevel"] = json!(level);
        }
        if let Some(percentage) = options.cpu_percentage {
            config["CPUPercentage"] = json!(percentage);
        }
        config
    }
}

impl Client {
    /// `GET /v1/backups/{backend}`.
    pub async fn backups(&self, backend: &str) -> Result<Vec<BackupEntry>, WeaviateError> {
        self.list(Rest::get(&["backups", backend])).await
    }

    /// `POST /v1/backups/{backend}`: the node that is asked coordinates it. An id that exists at its place is `Invalid`
    /// ("already exists"), also one that was cancelled; so is any while another runs ("already in progress").
    pub async fn create_backup(
        &self,
        name: &BackupName<'_>,
        include: &[String],
        options: BackupOptions<'_>,
    ) -> Result<BackupStanding, WeaviateError> {
        let body = json!({"id": name.id, "include": include, "config": name.config(options)});
        let rest = Rest::new(Method::POST, &["backups", name.backend]).body(&body);
        self.json::<Answer>(rest).await.map(Answer::standing)
    }

    /// `GET /v1/backups/{backend}/{id}`; `None` when there is none at that place. The node that coordinates it says what
    /// it knows; every other one what that node wrote into the store, which is `STARTED` until the end, and for ever when
    /// it died.
    pub async fn backup_standing(&self, name: &BackupName<'_>) -> Result<Option<BackupStanding>, WeaviateError> {
        let rest = placed(Rest::get(&["backups", name.backend, name.id]), name);
        Ok(self.optional::<Answer>(rest).await?.map(Answer::standing))
    }

    /// `DELETE /v1/backups/{backend}/{id}`: asks every node to stop. It answers before they have, and removes no file. Of
    /// one that succeeded it is `Invalid`.
    pub async fn cancel_backup(&self, name: &BackupName<'_>) -> Result<(), WeaviateError> {
        self.done(placed(Rest::new(Method::DELETE, &["backups", name.backend, name.id]), name)).await
    }

    /// `POST /v1/backups/{backend}/{id}/restore`: these classes, none of which may exist, without roles and users.
    pub async fn restore_backup(
        &self,
        name: &BackupName<'_>,
        include: &[String],
        options: BackupOptions<'_>,
    ) -> Result<BackupStanding, WeaviateError> {
        let mut config = name.config(BackupOptions { compression: None, ..options });
        config["rolesOptions"] = json!("noRestore");
        config["usersOptions"] = json!("noRestore");
        let body = json!({"include": include, "config": config});
        let rest = Rest::new(Method::POST, &["backups", name.backend, name.id, "restore"]).body(&body);
        self.json::<Answer>(rest).await.map(Answer::standing)
    }

    /// `GET /v1/backups/{backend}/{id}/restore`; `None` when that backup was never restored. The last restore of it is
    /// meant, whoever asked for it and into whichever cluster: the store remembers one.
    pub async fn restore_standing(&self, name: &BackupName<'_>) -> Result<Option<BackupStanding>, WeaviateError> {
        let rest = placed(Rest::get(&["backups", name.backend, name.id, "restore"]), name);
        Ok(self.optional::<Answer>(rest).await?.map(Answer::standing))
    }

    /// `DELETE /v1/backups/{backend}/{id}/restore`; older servers know no such call, and answer 404 or 405.
    pub async fn cancel_restore(&self, name: &BackupName<'_>) -> Result<(), WeaviateError> {
        self.done(placed(Rest::new(Method::DELETE, &["backups", name.backend, name.id, "restore"]), name)).await
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

fn placed<'a>(rest: Rest<'a>, name: &BackupName<'_>) -> Rest<'a> {
    rest.query("bucket", name.bucket).query("path", name.path)
}
