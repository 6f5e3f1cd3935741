//! A folder of a bucket as a store.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::category::Category;
use elysia_engine::checkpoint::{Digest, Hashing};
use elysia_engine::ports::PortError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use crate::worker::backup::work::BucketWork;
use crate::worker::s3::failure::{Words, explain_in};
use crate::worker::s3::{self, S3Key};
use crate::worker::work::S3Work;

/// How long one request may take: a part of 32 MiB at 110 KB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes of one request when a file of any size is read for its hash.
const PIECE_BYTES: u64 = 8 << 20;
/// Attempts at a piece whose bytes broke off in the middle, each with the retries of a request.
const PIECE_ATTEMPTS: u32 = 4;

/// Files below a prefix of a bucket.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    work: Arc<S3Work>,
    words: &'static Words,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The store knows a key.
        formatter.debug_struct("Bucket").field("work", &self.work).finish_non_exhaustive()
    }
}

impl Bucket {
    /// No call is made yet.
    pub(super) fn connect(
        work: &BucketWork,
        key: Option<S3Key>,
        words: &'static Words,
        retries: usize,
    ) -> Result<Self, Error> {
        let work = described(work);
        let store = s3::bucket(&work, key, REQUEST_TIMEOUT, retries)?;
        Ok(Self { store: Arc::new(store), work: Arc::new(work), words })
    }

    #[cfg(test)]
    pub(super) fn in_memory(prefix: &str) -> Self {
        let work = BucketWork {
            bucket: "backups".to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            anonymous: false,
        };
        let store = Arc::new(object_store::memory::InMemory::new());
        Self { store, work: Arc::new(described(&work)), words: &crate::worker::s3::failure::BY_HAND }
    }

    fn path(&self, key: &str) -> Result<Path, PortError> {
        let whole = match self.work.prefix.trim_matches('/') {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        };
        Path::parse(&whole).map_err(|error| PortError {
            category: Category::FileSystem,
            retryable: false,
            message: format!("{whole}: {error}"),
        })
    }

    /// The key as the engine knows it.
    fn key(&self, path: &Path) -> Option<String> {
        let prefix = self.work.prefix.trim_matches('/');
        let below = if prefix.is_empty() { Some(path.as_ref()) } else { path.as_ref().strip_prefix(prefix) };
        below.map(|key| key.trim_start_matches('/').to_owned())
    }

    fn failed(&self, error: &Error, path: &Path) -> PortError {
        explain_in(self.words, error, &self.work, Some(path.as_ref()))
    }

    /// A piece of a file as it was when it was looked at, asked for again when it breaks off.
    async fn piece(&self, path: &Path, meta: &ObjectMeta, range: Range<u64>) -> Result<Bytes, PortError> {
        let wanted = range.end - range.start;
        let mut attempt = 1;
        loop {
            let options = GetOptions {
                if_match: meta.e_tag.clone(),
                range: Some(GetRange::Bounded(range.clone())),
                ..GetOptions::default()
            };
            let failed = match self.store.get_opts(path, options).await {
                Ok(answer) => match answer.bytes().await {
                    Ok(bytes) if bytes.len() as u64 == wanted => return Ok(bytes),
                    Ok(bytes) => PortError {
                        category: Category::Network,
                        retryable: true,
                        message: format!("{path}: {} bytes came instead of {wanted}", bytes.len()),
                    },
                    Err(error) => self.failed(&error, path),
                },
                Err(error) => return Err(self.failed(&error, path)),
            };
            if attempt == PIECE_ATTEMPTS || !failed.retryable {
                return Err(failed);
            }
            attempt += 1;
        }
    }

    /// Writes where there is nothing. It is looked first: a server that does not know `If-None-Match` ignores it and
    /// writes over what is there. Between the look and the write another may come in then; with a server that knows the
    /// header (Amazon's, versitygw, `MinIO`, Ceph) nobody can.
    async fn create(&self, path: &Path, bytes: Bytes) -> Result<Put, PortError> {
        match self.store.head(path).await {
            Ok(_) => return Ok(Put::Exists),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(self.failed(&error, path)),
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.clone().into(), options).await {
            Ok(_) => Ok(Put::Written),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Exists),
            // It says that it cannot do that.
            Err(error) if matches!(error, Error::NotImplemented { .. }) || is_unimplemented(&error) => {
                self.store.put(path, bytes.into()).await.map_err(|error| self.failed(&error, path))?;
                Ok(Put::Written)
            }
            Err(error) => Err(self.failed(&error, path)),
        }
    }
}

fn is_unimplemented(error: &Error) -> bool {
    crate::worker::chain(error).contains("<Code>NotImplemented</Code>")
}

fn described(work: &BucketWork) -> S3Work {
    S3Work {
        bucket: work.bucket.clone(),
        prefix: work.prefix.clone(),
        pattern: String::new(),
        endpoint: work.endpoint.clone(),
        region: work.region.clone(),
        anonymous: work.anonymous,
        is_followed: false,
    }
}

impl Store for Bucket {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        let path = self.path(key)?;
        match mode {
            Mode::Create => self.create(&path, bytes).await,
            Mode::Overwrite => {
                self.store.put(&path, bytes.into()).await.map_err(|error| self.failed(&error, &path))?;
                Ok(Put::Written)
            }
        }
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        let path = self.path(key)?;
        let answer = match self.store.get(&path).await {
            Ok(answer) => answer,
            Err(Error::NotFound { .. }) => return Ok(Got::Absent),
            Err(error) => return Err(self.failed(&error, &path)),
        };
        // The size comes before the bytes, which need not be read then.
        if answer.meta.size > most {
            return Ok(Got::TooLarge(answer.meta.size));
        }
        let bytes = answer.bytes().await.map_err(|error| self.failed(&error, &path))?;
        Ok(Got::Bytes(bytes))
    }

    async fn digest(&self, key: &str) -> Result<Option<(u64, Digest)>, PortError> {
        let path = self.path(key)?;
        let meta = match self.store.head(&path).await {
            Ok(meta) => meta,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(&error, &path)),
        };
        let mut hashing = Hashing::default();
        let mut begin = 0;
        while begin < meta.size {
            let end = meta.size.min(begin + PIECE_BYTES);
            let bytes = self.piece(&path, &meta, begin..end).await?;
            hashing.feed(&bytes);
            begin = end;
        }
        Ok(Some((meta.size, hashing.finish())))
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        let path = self.path(folder)?;
        let listed = self.store.list_with_delimiter(Some(&path)).await.map_err(|error| self.failed(&error, &path))?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        let path = self.path(folder)?;
        let listed = self.store.list(Some(&path)).take(most).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|error| self.failed(&error, &path))?;
        let mut keys: Vec<String> = listed.iter().filter_map(|meta| self.key(&meta.location)).collect();
        keys.sort();
        Ok(keys)
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        let paths = keys.iter().map(|key| self.path(key)).collect::<Result<Vec<_>, _>>()?;
        let mut removed = self.store.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(removed) = removed.next().await {
            match removed {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(explain_in(self.words, &error, &self.work, None)),
            }
        }
        Ok(())
    }
}
