//! Where runs lie: a bucket or a folder, as the engine's store.

mod azure;
mod bucket;
mod folder;
mod google;
mod server;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::checkpoint::Digest;
use elysia_engine::ports::PortError;

pub(crate) use self::azure::AzureKey;
use self::bucket::Bucket;
use self::folder::Folder;
pub(crate) use self::google::{GcsKey, service_account};
use self::server::Server;
use super::failure::Failure;
use super::work::StoreWork;
use crate::worker::s3::{RETRIES, S3Key};
use crate::worker::source::{self, read};
use crate::worker::{AZURE_ACCOUNT_KEY_VARIABLE, AZURE_SAS_TOKEN_VARIABLE, GCS_SERVICE_ACCOUNT_KEY_VARIABLE};

/// One of the two.
#[derive(Clone, Debug)]
pub(crate) enum AnyStore {
    /// A folder of a bucket.
    Bucket(Bucket),
    /// A folder of this machine.
    Folder(Folder),
}

/// What opens a bucket.
pub(crate) enum StoreKey {
    /// Of S3.
    S3(S3Key),
    /// Of Google.
    Gcs(GcsKey),
    /// Of Azure.
    Azure(AzureKey),
}

/// Who waits, and is told what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    /// A Job, and whoever reads its message.
    Worker,
    /// A person at a keyboard.
    Person,
}

impl Hand {
    /// Retries of one request. While a person waits, a few seconds: what writes many files tries each of them again by
    /// itself.
    fn retries(self) -> usize {
        match self {
            Self::Worker => RETRIES,
            Self::Person => 3,
        }
    }
}

/// Opens what the work names; the key of a bucket, and authorities, come from the environment, as the operator hands them
/// to a worker. No call is made yet.
pub(crate) fn open(work: &StoreWork) -> Result<AnyStore, Failure> {
    let work = work.clone().trusting(source::authorities());
    let key = match &work {
        StoreWork::S3(work) if !work.anonymous => Some(StoreKey::S3(source::key().map_err(Failure::permanent)?)),
        StoreWork::Gcs(work) if !work.anonymous => {
            let key = read(GCS_SERVICE_ACCOUNT_KEY_VARIABLE).ok_or_else(|| unset(GCS_SERVICE_ACCOUNT_KEY_VARIABLE))?;
            Some(StoreKey::Gcs(GcsKey::ServiceAccount(key.into())))
        }
        StoreWork::Azure(work) if !work.anonymous => {
            let account = read(AZURE_ACCOUNT_KEY_VARIABLE).map(|key| AzureKey::Account(key.into()));
            let key = account.or_else(|| read(AZURE_SAS_TOKEN_VARIABLE).map(|token| AzureKey::Signature(token.into())));
            let key =
                key.ok_or_else(|| unset(&format!("{AZURE_ACCOUNT_KEY_VARIABLE} or {AZURE_SAS_TOKEN_VARIABLE}")))?;
            Some(StoreKey::Azure(key))
        }
        StoreWork::S3(_) | StoreWork::Gcs(_) | StoreWork::Azure(_) | StoreWork::Folder(_) => None,
    };
    open_with(&work, key, Hand::Worker)
}

fn unset(variable: &str) -> Failure {
    Failure::permanent(format!("environment variable {variable} is not set"))
}

/// The same of a person, with the key that they gave.
pub(crate) fn open_by_hand(work: &StoreWork, key: Option<StoreKey>) -> Result<AnyStore, Failure> {
    open_with(work, key, Hand::Person)
}

fn open_with(work: &StoreWork, key: Option<StoreKey>, hand: Hand) -> Result<AnyStore, Failure> {
    if let StoreWork::Folder(path) = work {
        return Ok(AnyStore::Folder(Folder::new(path)));
    }
    let (store, server) = Server::connect(work, key, hand)?;
    Ok(AnyStore::Bucket(Bucket::new(store, server)))
}

impl Store for AnyStore {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        match self {
            Self::Bucket(bucket) => bucket.put(key, bytes, mode).await,
            Self::Folder(folder) => folder.put(key, bytes, mode).await,
        }
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        match self {
            Self::Bucket(bucket) => bucket.get(key, most).await,
            Self::Folder(folder) => folder.get(key, most).await,
        }
    }

    async fn digest(&self, key: &str) -> Result<Option<(u64, Digest)>, PortError> {
        match self {
            Self::Bucket(bucket) => bucket.digest(key).await,
            Self::Folder(folder) => folder.digest(key).await,
        }
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        match self {
            Self::Bucket(bucket) => bucket.folders(folder).await,
            Self::Folder(files) => files.folders(folder).await,
        }
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        match self {
            Self::Bucket(bucket) => bucket.files(folder, most).await,
            Self::Folder(files) => files.files(folder, most).await,
        }
    }

    async fn room(&self) -> Result<Option<u64>, PortError> {
        match self {
            Self::Bucket(bucket) => bucket.room().await,
            Self::Folder(folder) => folder.room().await,
        }
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        match self {
            Self::Bucket(bucket) => bucket.remove(keys).await,
            Self::Folder(folder) => folder.remove(keys).await,
        }
    }
}

/// A bucket in memory.
#[cfg(test)]
pub(super) fn in_memory(prefix: &str) -> AnyStore {
    AnyStore::Bucket(Bucket::in_memory(prefix))
}
