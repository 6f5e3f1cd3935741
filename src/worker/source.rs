//! Whatever a run reads from: mounted files or a bucket.

use elysia_engine::ports::{FileEntry, PortError, PutAway, Source};
use tokio::io::AsyncRead;

use super::files::FileSource;
use super::s3::{S3Key, S3Source};
use super::work::{S3Work, SourceWork};
use super::{
    S3_ACCESS_KEY_ID_VARIABLE, S3_SECRET_ACCESS_KEY_VARIABLE, S3_SESSION_TOKEN_VARIABLE, STORE_CA_VARIABLE, chain,
};

/// One of the two.
pub(super) enum WorkSource {
    /// Mounted files.
    Files(FileSource),
    /// Objects in a bucket.
    S3(S3Source),
}

impl WorkSource {
    /// What the work names; the key of a bucket comes from the environment.
    pub(super) fn new(work: SourceWork) -> Result<Self, String> {
        let SourceWork::S3(work) = work else { return Ok(Self::Files(FileSource::new(work))) };
        let key = if work.anonymous { None } else { Some(key()?) };
        let work = S3Work { authorities: work.authorities.or_else(authorities), ..work };
        let source = S3Source::connect(work, key).map_err(|error| chain(&error))?;
        Ok(Self::S3(source))
    }
}

/// Certificates of authorities, as the operator hands them to a worker.
pub(super) fn authorities() -> Option<String> {
    read(STORE_CA_VARIABLE)
}

/// An environment variable in which something stands.
pub(super) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The key of a bucket, as the operator hands it to a worker.
pub(super) fn key() -> Result<S3Key, String> {
    let missing = |name: &str| format!("environment variable {name} is not set");
    Ok(S3Key {
        id: read(S3_ACCESS_KEY_ID_VARIABLE).ok_or_else(|| missing(S3_ACCESS_KEY_ID_VARIABLE))?,
        secret: read(S3_SECRET_ACCESS_KEY_VARIABLE).ok_or_else(|| missing(S3_SECRET_ACCESS_KEY_VARIABLE))?.into(),
        token: read(S3_SESSION_TOKEN_VARIABLE).map(Into::into),
    })
}

impl Source for WorkSource {
    type Reader = Box<dyn AsyncRead + Unpin + Send>;

    async fn list(&self) -> Result<Vec<FileEntry>, PortError> {
        match self {
            Self::Files(files) => files.list().await,
            Self::S3(bucket) => bucket.list().await,
        }
    }

    async fn open(&self, file: &FileEntry) -> Result<Self::Reader, PortError> {
        Ok(match self {
            Self::Files(files) => Box::new(files.open(file).await?),
            Self::S3(bucket) => Box::new(bucket.open(file).await?),
        })
    }

    async fn open_at(&self, file: &FileEntry, offset: u64) -> Result<Option<Self::Reader>, PortError> {
        Ok(match self {
            Self::Files(files) => files.open_at(file, offset).await?.map(|reader| Box::new(reader) as Self::Reader),
            Self::S3(bucket) => bucket.open_at(file, offset).await?.map(|reader| Box::new(reader) as Self::Reader),
        })
    }

    fn puts_away(&self) -> bool {
        match self {
            Self::Files(files) => files.puts_away(),
            Self::S3(bucket) => bucket.puts_away(),
        }
    }

    async fn destination(&self, file: &str) -> Result<Option<String>, PortError> {
        match self {
            Self::Files(files) => files.destination(file).await,
            Self::S3(bucket) => bucket.destination(file).await,
        }
    }

    async fn put_away(&self, file: &str, version: &str, to: &str) -> Result<PutAway, PortError> {
        match self {
            Self::Files(files) => files.put_away(file, version, to).await,
            Self::S3(bucket) => bucket.put_away(file, version, to).await,
        }
    }
}
