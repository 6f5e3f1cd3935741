//! Weaviate's own backup into a bucket, driven as a run: looked at before it is asked for, started once, watched, cancelled
//! when its time is over, and catalogued by what the store holds.
//!
//! ```text
//! look ─▶ core's obstacles ─▶ claim ─▶ POST ─▶ watch ─▶ the engine's catalogue      backup
//! look ─▶ core's obstacles ─▶ files ─▶ receipt ─▶ POST ─▶ watch ─▶ receipt          restore
//! ```
//!
//! The servers are told bucket and folder with every call, and the folder is that of the run. So nothing depends on what
//! they are set to beyond the module, the server of the bucket and a key, and whoever removes the run removes their files.

mod backup;
mod look;
mod restore;

use std::time::Duration;

use elysia_engine::backup::layout;
use elysia_engine::backup::native::NativeError;
use elysia_engine::retry::Stop;
use elysia_weaviate::{BackupName, BackupPhase, BackupStanding, Client, WeaviateError};

pub(crate) use self::backup::{NativeBackup, back_up};
pub(crate) use self::restore::{NativeRestore, restore};
use super::failure::Failure;
use super::ways::Ways;
use super::work::{BucketWork, StoreWork};

/// What backups into buckets are called.
const BACKEND: &str = "s3";

/// How often it is looked, and how long is waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two looks at what the servers say: they look at one another every ten seconds.
    pub(crate) look: Duration,
    /// Between two looks at what changes in the store: a list of all files.
    pub(crate) glance: Duration,
    /// How long the beginning may not be seen in the store: the servers write it before they answer.
    pub(crate) unseen: Duration,
    /// How long a cancelled one may go on: less than a pod has to end.
    pub(crate) cancel: Duration,
}

impl Pace {
    /// As in production.
    pub(crate) const USUAL: Self = Self {
        look: Duration::from_secs(5),
        glance: Duration::from_secs(60),
        unseen: Duration::from_secs(60),
        cancel: Duration::from_secs(40),
    };
}

/// Where the servers' files of a run lie.
#[derive(Clone, Debug)]
pub(super) struct Place {
    bucket: String,
    path: String,
    id: String,
}

impl Place {
    fn of(store: &StoreWork, run: &str) -> Result<Self, Failure> {
        let StoreWork::S3(BucketWork { bucket, prefix, .. }) = store else {
            return Err(Failure::permanent("Weaviate's own backups lie in buckets: store.s3 is needed"));
        };
        Ok(Self::below(bucket, prefix, run))
    }

    fn below(bucket: &str, prefix: &str, run: &str) -> Self {
        let below = layout::in_run(run, layout::NATIVE);
        let prefix = prefix.trim_matches('/');
        let path = if prefix.is_empty() { below } else { format!("{prefix}/{below}") };
        Self { bucket: bucket.to_owned(), path, id: layout::native_id(run) }
    }

    fn name(&self) -> BackupName<'_> {
        BackupName { backend: BACKEND, id: &self.id, bucket: &self.bucket, path: &self.path }
    }

    /// As the servers say it.
    fn address(&self) -> String {
        format!("s3://{}/{}/{}", self.bucket, self.path, self.id)
    }

    /// Whether the servers mean another place: older ones silently ignore what they are told.
    fn is_elsewhere(&self, standing: &BackupStanding) -> bool {
        !standing.path.is_empty() && standing.path.trim_end_matches('/') != self.address()
    }
}

/// The node that is asked to coordinate, and about how it is: of no other can more be heard than what it wrote.
fn speaker(ways: &Ways) -> &Client {
    ways.nodes.first().map_or(&ways.common, |node| &node.client)
}

fn failed(error: &WeaviateError) -> Failure {
    super::super::sink::port(error).into()
}

impl From<NativeError> for Failure {
    fn from(error: NativeError) -> Self {
        match error {
            NativeError::Stored(error) => error.into(),
            NativeError::Port(error) => error.into(),
            // The next attempt makes another backup.
            NativeError::Changed(_)
            | NativeError::Removed(_)
            | NativeError::Missing { .. }
            | NativeError::Skipped { .. } => Self { message: error.to_string(), is_permanent: false },
            NativeError::NotOwner { .. }
            | NativeError::RunExists(_)
            | NativeError::Lacking { .. }
            | NativeError::TooManyFiles { .. } => Self::permanent(error.to_string()),
        }
    }
}

/// Waits, or less long when it is to stop.
async fn pause(stop: &Stop, time: Duration) {
    tokio::select! {
        () = stop.wait() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// Asks the servers to stop, and waits until they have. Says how it ended.
async fn cancel(ways: &Ways, place: &Place, times: Pace) -> String {
    let name = place.name();
    let mut last = match speaker(ways).cancel_backup(&name).await {
        Ok(()) => String::new(),
        // The node that coordinates may be the one that is gone: any node tells all others.
        Err(first) => match ways.common.cancel_backup(&name).await {
            Ok(()) => String::new(),
            Err(_) => crate::worker::chain(&first),
        },
    };
    let until = tokio::time::Instant::now() + times.cancel;
    while tokio::time::Instant::now() < until {
        match speaker(ways).backup_standing(&name).await {
            Ok(Some(standing)) => match standing.phase {
                BackupPhase::Canceled | BackupPhase::Failed => return format!("backup {} was cancelled", place.id),
                BackupPhase::Success => {
                    return format!("backup {} was complete before it could be cancelled", place.id);
                }
                BackupPhase::Running(word) => last = format!("the servers call it {word}"),
            },
            Ok(None) => return format!("the servers know no backup {}", place.id),
            Err(error) => last = crate::worker::chain(&error),
        }
        tokio::time::sleep(times.look.min(Duration::from_secs(1))).await;
    }
    format!(
        "backup {} was to be cancelled, and {} s later it was not: {last}. It is no run; when the node that coordinates it has died the servers say so for ever, and begin another one all the same",
        place.id,
        times.cancel.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_the_folder_of_the_run_and_known_by_it() {
        let place = Place::below("b", "/weaviate/search/", "20261129T161553Z-003f");
        assert_eq!(place.path, "weaviate/search/runs/20261129T161553Z-003f/native");
        assert_eq!(place.address(), format!("s3://b/{}/20261129t161553z-003f", place.path));
        assert_eq!(Place::below("b", "", "R").path, "runs/R/native");
        let says = |path: &str| {
            let standing = BackupStanding { phase: BackupPhase::Success, error: String::new(), path: path.to_owned() };
            place.is_elsewhere(&standing)
        };
        assert!(!says("") && !says(&place.address()) && says("s3://b/20261129t161553z-003f"));
        assert!(Place::of(&StoreWork::Folder("/backups".to_owned()), "r").is_err());
    }
}
