//! Where runs lie: a bucket or a folder, as the engine's store.

mod bucket;
mod folder;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::checkpoint::Digest;
use elysia_engine::ports::PortError;

use self::bucket::Bucket;
use self::folder::Folder;
use super::failure::Failure;
use super::work::StoreWork;
use crate::worker::chain;
use crate::worker::s3::failure::{BACKUP, BY_HAND, Words};
use crate::worker::s3::{RETRIES, S3Key};
use crate::worker::source;

/// One of the two.
#[derive(Clone, Debug)]
pub(crate) enum AnyStore {
    /// A folder of a bucket.
    Bucket(Bucket),
    /// A folder of this machine.
    Folder(Folder),
}

/// Opens what the work names; the key of a bucket comes from the environment, as the operator hands it to a worker. No
/// call is made yet.
pub(crate) fn open(work: &StoreWork) -> Result<AnyStore, Failure> {
    let key = match work {
        StoreWork::S3(bucket) if !bucket.anonymous => Some(source::key().map_err(Failure::permanent)?),
        StoreWork::S3(_) | StoreWork::Folder(_) => None,
    };
    open_with(work, key, &BACKUP, RETRIES)
}

/// The same of a person, with the key that they gave.
pub(crate) fn open_by_hand(work: &StoreWork, key: Option<S3Key>) -> Result<AnyStore, Failure> {
    open_with(work, key, &BY_HAND, RETRIES_BY_HAND)
}

/// Retries of one request while a person waits: a few seconds. What writes many files tries each of them again by itself.
const RETRIES_BY_HAND: usize = 3;

fn open_with(work: &StoreWork, key: Option<S3Key>, words: &'static Words, retries: usize) -> Result<AnyStore, Failure> {
    match work {
        StoreWork::S3(work) => {
            let bucket = Bucket::connect(work, key, words, retries);
            let bucket = bucket.map_err(|error| Failure::permanent(chain(&error)))?;
            Ok(AnyStore::Bucket(bucket))
        }
        StoreWork::Folder(path) => Ok(AnyStore::Folder(Folder::new(path))),
    }
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
