//! A folder of a bucket as a store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::category::Category;
use elysia_engine::checkpoint::{Digest, Hashing};
use elysia_engine::ports::PortError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use super::server::{Server, lacks_bucket};

/// Bytes of one request when a file of any size is read for its hash.
const PIECE_BYTES: u64 = 8 << 20;
/// Attempts at a piece whose bytes broke off in the middle, each with the retries of a request.
const PIECE_ATTEMPTS: u32 = 4;

/// Files below a prefix of a bucket.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    server: Arc<Server>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The store knows a key.
        formatter.debug_struct("Bucket").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Below a prefix of what this server has.
    pub(super) fn new(store: Arc<dyn ObjectStore>, server: Server) -> Self {
        Self { store, server: Arc::new(server) }
    }

    #[cfg(test)]
    pub(super) fn in_memory(prefix: &str) -> Self {
        Self::new(Arc::new(object_store::memory::InMemory::new()), Server::in_memory(prefix))
    }

    fn path(&self, key: &str) -> Result<Path, PortError> {
        let whole = match self.server.prefix() {
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
        let prefix = self.server.prefix();
        let below = if prefix.is_empty() { Some(path.as_ref()) } else { path.as_ref().strip_prefix(prefix) };
        below.map(|key| key.trim_start_matches('/').to_owned())
    }

    fn failed(&self, error: &Error, path: &Path) -> PortError {
        self.server.explain(error, Some(path.as_ref()))
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
    /// header (Amazon's, versitygw, `MinIO`, Ceph) nobody can. Google (`x-goog-if-generation-match: 0`) and Azure
    /// (`If-None-Match: *`) promise that of every write.
    async fn create(&self, path: &Path, bytes: Bytes) -> Result<Put, PortError> {
        match self.store.head(path).await {
            Ok(_) => return Ok(Put::Exists),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(self.failed(&error, path)),
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.clone().into(), options).await {
            Ok(_) => Ok(Put::Written),
            Err(error) if self.server.has_object(&error) => Ok(Put::Exists),
            // It says that it cannot do that.
            Err(error) if self.server.may_lack_conditions() && is_unimplemented(&error) => {
                self.store.put(path, bytes.into()).await.map_err(|error| self.failed(&error, path))?;
                Ok(Put::Written)
            }
            Err(error) => Err(self.failed(&error, path)),
        }
    }
}

fn is_unimplemented(error: &Error) -> bool {
    matches!(error, Error::NotImplemented { .. }) || crate::worker::chain(error).contains("<Code>NotImplemented</Code>")
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
            Err(error) if is_absent(&error) => return Ok(Got::Absent),
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
            Err(error) if is_absent(&error) => return Ok(None),
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
                Ok(_) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(self.server.explain(&error, None)),
            }
        }
        Ok(())
    }
}

/// Whether there is no such object. Where it is the bucket that is not there, nothing is known of the object.
fn is_absent(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !lacks_bucket(error)
}
