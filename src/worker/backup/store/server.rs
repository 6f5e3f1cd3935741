//! Which server a bucket is on, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use elysia_engine::ports::PortError;
use object_store::{Error, ObjectStore};

use super::{Hand, StoreKey, azure, google};
use crate::worker::backup::failure::Failure;
use crate::worker::backup::work::{AzureWork, BucketWork, GcsWork, StoreWork};
use crate::worker::chain;
use crate::worker::s3;
use crate::worker::s3::failure::{BACKUP, BY_HAND, element, explain_in};
use crate::worker::work::S3Work;

/// How long one request may take: a part of 16 MiB at 55 KB/s.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Codes of answers that say that there is no bucket.
const NO_BUCKET: [&str; 4] = ["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"];

/// Codes of a conflict by which Azure says that the object is there; its other conflicts are about the container.
const OBJECT_THERE: [&str; 4] =
    ["BlobAlreadyExists", "ConditionNotMet", "BlobImmutableDueToPolicy", "UnauthorizedBlobOverwrite"];

/// A server, the place on it, and who is told what is wrong.
#[derive(Clone, Debug)]
pub(super) enum Server {
    S3(S3Work, Hand),
    Gcs(GcsWork, Hand),
    Azure(AzureWork, Hand),
}

impl Server {
    /// The server of a work that names one, and the way there; no call is made yet.
    pub(super) fn connect(
        work: &StoreWork,
        key: Option<StoreKey>,
        hand: Hand,
    ) -> Result<(Arc<dyn ObjectStore>, Self), Failure> {
        let failed = |error: Error| Failure::permanent(chain(&error));
        let other = || Failure::permanent("the key is that of another kind of store");
        let retries = hand.retries();
        Ok(match work {
            StoreWork::S3(work) => {
                let key = match key {
                    Some(StoreKey::S3(key)) => Some(key),
                    None => None,
                    Some(StoreKey::Gcs(_) | StoreKey::Azure(_)) => return Err(other()),
                };
                let work = described(work);
                let store = s3::bucket(&work, key, REQUEST_TIMEOUT, retries).map_err(failed)?;
                (shared(store), Self::S3(work, hand))
            }
            StoreWork::Gcs(work) => {
                let key = match key {
                    Some(StoreKey::Gcs(key)) => Some(key),
                    None => None,
                    Some(StoreKey::S3(_) | StoreKey::Azure(_)) => return Err(other()),
                };
                (shared(google::connect(work, key, hand)?), Self::Gcs(work.clone(), hand))
            }
            StoreWork::Azure(work) => {
                let key = match key {
                    Some(StoreKey::Azure(key)) => Some(key),
                    None => None,
                    Some(StoreKey::S3(_) | StoreKey::Gcs(_)) => return Err(other()),
                };
                (shared(azure::connect(work, key, hand)?), Self::Azure(work.clone(), hand))
            }
            StoreWork::Folder(_) => return Err(Failure::permanent("a folder is no bucket")),
        })
    }

    #[cfg(test)]
    pub(super) fn in_memory(prefix: &str) -> Self {
        let work = BucketWork { bucket: "backups".to_owned(), prefix: prefix.to_owned(), ..BucketWork::default() };
        Self::S3(described(&work), Hand::Person)
    }

    /// The folder that is meant, without slashes around it.
    pub(super) fn prefix(&self) -> &str {
        let prefix = match self {
            Self::S3(work, _) => &work.prefix,
            Self::Gcs(work, _) => &work.prefix,
            Self::Azure(work, _) => &work.prefix,
        };
        prefix.trim_matches('/')
    }

    /// Whether it may not know the condition of a write of what is not there: then it has to be written without.
    pub(super) fn may_lack_conditions(&self) -> bool {
        matches!(self, Self::S3(..))
    }

    /// What happened, in words. `object` is the key that was asked for.
    pub(super) fn explain(&self, error: &Error, object: Option<&str>) -> PortError {
        match self {
            Self::S3(work, Hand::Worker) => explain_in(&BACKUP, error, work, object),
            Self::S3(work, Hand::Person) => explain_in(&BY_HAND, error, work, object),
            Self::Gcs(work, hand) => google::explain(error, work, *hand, object),
            Self::Azure(work, hand) => azure::explain(error, work, *hand, object),
        }
    }

    /// Whether the answer to a write of what is not there says that it is there.
    pub(super) fn has_object(&self, error: &Error) -> bool {
        match (self, error) {
            (
                Self::Azure(..),
                Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::PermissionDenied { .. },
            ) => {
                let text = chain(error);
                match element(&text, "Code") {
                    Some(code) => OBJECT_THERE.contains(&code),
                    None => !matches!(error, Error::PermissionDenied { .. }),
                }
            }
            (_, Error::AlreadyExists { .. } | Error::Precondition { .. }) => true,
            _ => false,
        }
    }
}

fn shared(store: impl ObjectStore) -> Arc<dyn ObjectStore> {
    Arc::new(store)
}

/// As S3's own code has it.
fn described(work: &BucketWork) -> S3Work {
    S3Work {
        bucket: work.bucket.clone(),
        prefix: work.prefix.clone(),
        pattern: String::new(),
        endpoint: work.endpoint.clone(),
        region: work.region.clone(),
        anonymous: work.anonymous,
        authorities: work.authorities.clone(),
        is_followed: false,
    }
}

/// Whether the answer says that the bucket is not there, rather than the object.
pub(super) fn lacks_bucket(error: &Error) -> bool {
    let text = chain(error);
    element(&text, "Code").is_some_and(|code| NO_BUCKET.contains(&code))
}
