//! The JSON files of a store: read with a bound, believed only when they say what they are.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::manifest::{DOCUMENT_BYTES, FORMAT, FORMAT_VERSION};
use super::ports::{Got, Store};
use crate::ports::PortError;

/// A file of the store is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoredError {
    /// It is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// It is larger than any such file.
    #[error("{key} has {bytes} bytes, more than such a file can have")]
    TooLarge {
        /// Which.
        key: String,
        /// Its size.
        bytes: u64,
    },
    /// It is no JSON, or lacks what it should say.
    #[error("{key} cannot be read: {reason}")]
    Unreadable {
        /// Which.
        key: String,
        /// The parser's words.
        reason: String,
    },
    /// It is of a newer version of this format.
    #[error(
        "{key} is of version {version} of the format, and this program reads up to {FORMAT_VERSION}: use a newer one"
    )]
    Newer {
        /// Which.
        key: String,
        /// Its version.
        version: u64,
    },
    /// The store could not be asked.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A file as it is written.
pub(crate) fn document<T: Serialize>(value: &T) -> Bytes {
    // Nothing of ours has keys that are no texts, which is all that JSON cannot hold.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// A file of ours, with its bytes; `None` when it is not there.
pub async fn read<T: DeserializeOwned, S: Store>(store: &S, key: &str) -> Result<Option<(T, Bytes)>, StoredError> {
    match store.get(key, DOCUMENT_BYTES).await? {
        Got::Absent => Ok(None),
        Got::TooLarge(bytes) => Err(StoredError::TooLarge { key: key.to_owned(), bytes }),
        Got::Bytes(bytes) => parse(key, &bytes).map(|value| Some((value, bytes))),
    }
}

/// Whether there is a file of this name, whatever it says.
pub(super) async fn exists<S: Store>(store: &S, key: &str) -> Result<bool, PortError> {
    Ok(store.get(key, 0).await? != Got::Absent)
}

/// What these bytes say.
pub(super) fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StoredError> {
    let unreadable = |reason: String| StoredError::Unreadable { key: key.to_owned(), reason };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    if value["format"] != FORMAT {
        return Err(unreadable("it is no file of a backup".to_owned()));
    }
    match value["version"].as_u64() {
        Some(version) if version <= u64::from(FORMAT_VERSION) => {}
        Some(version) => return Err(StoredError::Newer { key: key.to_owned(), version }),
        None => return Err(unreadable("it has no version".to_owned())),
    }
    serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
}
