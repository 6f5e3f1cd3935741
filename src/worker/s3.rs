//! Objects of a bucket as a source.
//!
//! An object's `ETag` and size are its version. Every request asks for that very `ETag`, so bytes of two versions are never
//! joined; and the engine compares the versions again when it has read all.

mod connection;
pub(super) mod failure;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use elysia_engine::category::Category;
use elysia_engine::ports::{FileEntry, PortError, Source};
use futures::TryStreamExt as _;
use globset::{GlobBuilder, GlobMatcher};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

pub(crate) use self::connection::authorities;
pub(super) use self::connection::{client_options, retry_config};
use self::failure::explain;
use super::work::S3Work;

/// Bytes of one request. A request ends soon then, however long the object is and however long the lines in it take: no
/// connection waits open for the indexing, and what fails is asked again alone. Two or three parts are in memory.
const PART_BYTES: u64 = 4 << 20;

/// Objects of one feed, at most: a list of so many takes some 20 MiB of the worker's memory.
pub(super) const OBJECTS: usize = 100_000;

/// How long one request may take: a part at 70 KB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts at a request, beside the time for them in [`retry_config`].
pub(super) const RETRIES: usize = 12;
/// Attempts at a part whose bytes broke off in the middle, each with the retries above.
const PART_ATTEMPTS: u32 = 4;

/// What most servers other than Amazon's are content with.
const REGION: &str = "us-east-1";

/// The key of an object store.
pub(crate) struct S3Key {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) token: Option<SecretString>,
}

/// Objects below a prefix that match a pattern.
pub(super) struct S3Source {
    store: Arc<dyn ObjectStore>,
    work: Arc<S3Work>,
}

impl S3Source {
    /// No call is made yet.
    pub(super) fn connect(work: S3Work, key: Option<S3Key>) -> Result<Self, object_store::Error> {
        Self::build(work, key, RETRIES)
    }

    fn build(work: S3Work, key: Option<S3Key>, retries: usize) -> Result<Self, object_store::Error> {
        let store = bucket(&work, key, REQUEST_TIMEOUT, retries)?;
        Ok(Self::over(Arc::new(store), work))
    }

    fn over(store: Arc<dyn ObjectStore>, work: S3Work) -> Self {
        Self { store, work: Arc::new(work) }
    }

    fn pattern(&self) -> Result<GlobMatcher, PortError> {
        let pattern = GlobBuilder::new(&self.work.pattern).literal_separator(true).build();
        let pattern = pattern.map_err(|error| refused(format!("pattern {}: {error}", self.work.pattern)))?;
        Ok(pattern.compile_matcher())
    }

    fn read(&self, file: &FileEntry, offset: u64) -> Result<S3Reader, PortError> {
        let path = Path::parse(&file.name).map_err(|error| refused(format!("{}: {error}", file.name)))?;
        let (sender, parts) = mpsc::channel(1);
        let (store, work, file) = (self.store.clone(), self.work.clone(), file.clone());
        // It ends when the reader is dropped: nobody takes the next part then.
        tokio::spawn(async move {
            let mut begin = offset;
            while begin < file.size {
                let end = file.size.min(begin + PART_BYTES);
                let part = part(&*store, &work, &path, &file, begin..end).await;
                let is_last = part.is_err();
                if sender.send(part).await.is_err() || is_last {
                    return;
                }
                begin = end;
            }
        });
        Ok(S3Reader { parts, part: Bytes::new() })
    }
}

/// A way to a bucket; no call is made yet.
pub(super) fn bucket(
    work: &S3Work,
    key: Option<S3Key>,
    timeout: Duration,
    retries: usize,
) -> Result<AmazonS3, object_store::Error> {
    let options = client_options(work.endpoint.as_deref(), work.authorities.as_deref(), timeout)?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&work.bucket)
        .with_region(work.region.as_deref().unwrap_or(REGION))
        .with_client_options(options)
        .with_retry(retry_config(retries));
    if let Some(endpoint) = &work.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    builder = match key {
        Some(key) => {
            let builder =
                builder.with_access_key_id(key.id).with_secret_access_key(key.secret.expose_secret().to_owned());
            match key.token {
                Some(token) => builder.with_token(token.expose_secret().to_owned()),
                None => builder,
            }
        }
        None => builder.with_skip_signature(true),
    };
    builder.build()
}

/// Asks for a part until it is whole. The engine gives up a file that cannot be read, and the run with it.
async fn part(
    store: &dyn ObjectStore,
    work: &S3Work,
    path: &Path,
    file: &FileEntry,
    range: std::ops::Range<u64>,
) -> Result<Bytes, PortError> {
    let mut attempt = 1;
    loop {
        let options = GetOptions {
            if_match: file.version.as_deref().map(e_tag_of).map(str::to_owned),
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let failed = match store.get_opts(path, options).await {
            // A server that does not know `If-Match` sends what it has.
            Ok(answer) if file.version.is_some() && Some(version(&answer.meta)) != file.version => {
                return Err(replaced(&file.name));
            }
            Ok(answer) => match answer.bytes().await {
                Ok(bytes) if bytes.len() as u64 == range.end - range.start => return Ok(bytes),
                Ok(bytes) => PortError {
                    category: Category::Network,
                    retryable: true,
                    message: format!(
                        "{}: {} bytes came instead of {}",
                        file.name,
                        bytes.len(),
                        range.end - range.start
                    ),
                },
                Err(error) => explain(&error, work, Some(&file.name)),
            },
            Err(object_store::Error::Precondition { .. }) => return Err(replaced(&file.name)),
            Err(error) => return Err(explain(&error, work, Some(&file.name))),
        };
        if attempt == PART_ATTEMPTS || !failed.retryable {
            return Err(failed);
        }
        tracing::warn!(object = file.name, error = failed.message, "a part of an object broke off; asking again");
        attempt += 1;
    }
}

/// What names the content of an object. The size is in it as well: an `ETag` alone is whatever a server takes for one.
fn version(meta: &ObjectMeta) -> String {
    format!("{} {}", meta.size, meta.e_tag.as_deref().unwrap_or_default())
}

fn e_tag_of(version: &str) -> &str {
    version.split_once(' ').map_or(version, |(_, e_tag)| e_tag)
}

impl Source for S3Source {
    type Reader = S3Reader;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        let pattern = self.pattern()?;
        let prefix = Path::parse(&self.work.prefix).map_err(|error| refused(format!("prefix: {error}")))?;
        let below = if self.work.prefix.is_empty() { 0 } else { self.work.prefix.len() + 1 };
        let mut objects = self.store.list(Some(&prefix));
        let mut files = Vec::new();
        while let Some(meta) = objects.try_next().await.map_err(|error| explain(&error, &self.work, None))? {
            let key = meta.location.as_ref();
            if meta.size == 0 || !key.get(below..).is_some_and(|key| pattern.is_match(key)) {
                continue;
            }
            if files.len() == OBJECTS {
                return Err(refused(format!(
                    "more than {OBJECTS} objects match {}: make prefix or pattern of source.s3 narrower, and several feeds \
                     of it",
                    self.work.pattern
                )));
            }
            // Without an ETag nothing would tell one content from another of the same size.
            let version = meta.e_tag.is_some().then(|| version(&meta));
            files.push(FileEntry { name: key.to_owned(), size: meta.size, version, expected: None });
        }
        if files.is_empty() && !self.work.is_followed {
            return Err(refused(format!(
                "no object matches {} below {}/{}",
                self.work.pattern, self.work.bucket, self.work.prefix
            )));
        }
        // The order of keys is not every server's order.
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    async fn open(&self, file: &FileEntry) -> Result<S3Reader, PortError> {
        self.read(file, 0)
    }

    async fn open_at(&self, file: &FileEntry, offset: u64) -> Result<Option<S3Reader>, PortError> {
        if file.version.is_none() {
            return Ok(None);
        }
        self.read(file, offset).map(Some)
    }
}

/// The bytes of an object, part by part; the next part is on its way while one is read.
pub(super) struct S3Reader {
    parts: mpsc::Receiver<Result<Bytes, PortError>>,
    part: Bytes,
}

impl AsyncRead for S3Reader {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.part.is_empty() {
            match ready!(self.parts.poll_recv(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(part)) => self.part = part,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = into.remaining().min(self.part.len());
        into.put_slice(&self.part[..count]);
        self.part.advance(count);
        Poll::Ready(Ok(()))
    }
}

fn replaced(name: &str) -> PortError {
    let message = format!("{name} was replaced while it was read: the next worker looks whether it only grew");
    PortError { category: Category::FileSystem, retryable: true, message }
}

fn refused(message: String) -> PortError {
    PortError { category: Category::FileSystem, retryable: false, message }
}

#[cfg(test)]
mod tests;
