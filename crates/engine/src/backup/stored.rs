//! The JSON files of a store: read with a bound, believed only when they say what they are.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use tokio::sync::Mutex;

use super::manifest::{DOCUMENT_BYTES, FORMAT, HIGHEST_VERSION};
use super::ports::{Got, Store};
use crate::ports::PortError;

/// Files that are read side by side have at most so many bytes: a manifest of some hundred collections. A larger one is
/// read for itself.
const SMALL_BYTES: u64 = 256 << 10;

/// Values that a file may have. An index of 100,000 parts has about a million; a value takes a reader up to a hundred bytes.
const MOST_VALUES: usize = 2_000_000;

/// Held by whoever reads a large file. So whoever reads in a stream reads nothing beside it in its loop.
static LARGE: Mutex<()> = Mutex::const_new(());

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
        "{key} is of version {version} of the format, and this program reads up to {HIGHEST_VERSION}: use a newer one"
    )]
    Newer {
        /// Which.
        key: String,
        /// Its version.
        version: u64,
    },
    /// There is more of its kind than a reader takes into its memory.
    #[error(
        "{key} is not read: the files of its kind in this store have more than {limit} bytes together; remove runs, or give each policy a prefix of its own"
    )]
    Crowded {
        /// Which.
        key: String,
        /// As many as are read.
        limit: u64,
    },
    /// The store could not be asked.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Why no reader would take this file: known before it is written, for it is too late when it is needed.
pub(super) fn too_much(bytes: &[u8]) -> Option<String> {
    if u64::try_from(bytes.len()).is_ok_and(|bytes| bytes > DOCUMENT_BYTES) {
        return Some(format!("it would have {} bytes, and readers take {DOCUMENT_BYTES}", bytes.len()));
    }
    (!has_few_values(bytes))
        .then(|| format!("it would have more than {MOST_VALUES} values, which is what readers take"))
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
    let found = match store.get(key, SMALL_BYTES).await? {
        Got::TooLarge(bytes) if bytes <= DOCUMENT_BYTES => {
            // Whoever reads many files at once holds one large one at a time.
            let _alone = LARGE.lock().await;
            return taken(key, store.get(key, DOCUMENT_BYTES).await?);
        }
        found => found,
    };
    taken(key, found)
}

/// The same of a file of at most so many bytes that is read for itself.
pub async fn read_within<T: DeserializeOwned, S: Store>(
    store: &S,
    key: &str,
    most: u64,
) -> Result<Option<(T, Bytes)>, StoredError> {
    taken(key, store.get(key, most).await?)
}

fn taken<T: DeserializeOwned>(key: &str, found: Got) -> Result<Option<(T, Bytes)>, StoredError> {
    match found {
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
    let stray = || unreadable("it is no file of a backup".to_owned());
    if !has_few_values(bytes) {
        return Err(unreadable(format!("it has more than {MOST_VALUES} values, which no file of a backup has")));
    }
    // The head alone: whatever else is in the file is looked at, and not kept.
    let head: Head<'_> = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => stray(),
        Category::Io | Category::Syntax | Category::Eof => unreadable(error.to_string()),
    })?;
    if head.format.as_deref() != Some(FORMAT) {
        return Err(stray());
    }
    match head.version {
        Some(version) if version <= u64::from(HIGHEST_VERSION) => {}
        Some(version) => return Err(StoredError::Newer { key: key.to_owned(), version }),
        None => return Err(unreadable("it has no version".to_owned())),
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))
}

/// What every file of ours says.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    format: Option<Cow<'a, str>>,
    #[serde(default)]
    version: Option<u64>,
}

/// Whether the file has at most [`MOST_VALUES`] values: what it can make a reader allocate is bounded by their number, not
/// by its bytes. Counted without keeping anything: in JSON a value follows a comma, a bracket or a brace.
fn has_few_values(bytes: &[u8]) -> bool {
    let (mut values, mut is_text, mut is_escaped) = (0, false, false);
    for byte in bytes {
        if is_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_text = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => is_text = true,
                b',' | b'[' | b'{' => values += 1,
                _ => {}
            }
        }
    }
    values <= MOST_VALUES
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Begun, Manifest};
    use super::super::memory::MemoryStore;
    use super::super::ports::Mode;
    use super::*;

    fn reason<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        parse::<T>("k", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_none_of_ours_is_told_from_what_is_broken() {
        let stray = "k cannot be read: it is no file of a backup";
        for text in ["[]", "7", "\"x\"", "{}", r#"{"format":7}"#, r#"{"format":"other","version":1}"#] {
            assert_eq!(reason::<Begun>(text), stray, "{text}");
        }
        assert_eq!(reason::<Begun>(r#"{"format":"elysia-backup"}"#), "k cannot be read: it has no version");
        assert!(reason::<Begun>(r#"{"format":"elysia-backup","version":99}"#).contains("version 99"));
        assert!(reason::<Begun>("{").contains("EOF"));
        assert!(reason::<Begun>(r#"{"format":"elysia-backup","version":1}"#).contains("missing field"));
    }

    /// A few megabytes of text that would become a hundred times as much memory, wherever they stand.
    #[test]
    fn a_file_of_very_many_values_is_refused_before_it_is_read() {
        let zeros = "0,".repeat(MOST_VALUES);
        let deep = "[".repeat(100_000);
        let lists = "[],".repeat(MOST_VALUES);
        for junk in [format!("[{zeros}0]"), format!("[{lists}0]")] {
            for text in [
                format!(r#"{{"format":"elysia-backup","version":1,"junk":{junk}}}"#),
                format!(r#"{{"format":"elysia-backup","version":1,"collections":[{{"junk":{junk}}}]}}"#),
            ] {
                assert!(reason::<Manifest>(&text).contains("more than 2000000 values"));
                assert!(too_much(text.as_bytes()).is_some_and(|reason| reason.contains("more than 2000000 values")));
            }
        }
        let deep = format!("{deep}{}", "]".repeat(100_000));
        let nested = format!(r#"{{"format":"elysia-backup","version":1,"run":{deep}}}"#);
        assert!(reason::<Manifest>(&nested).contains("invalid type"), "no recursion over what is not wanted");
        let large = vec![b' '; usize::try_from(DOCUMENT_BYTES).unwrap() + 1];
        assert!(too_much(&large).is_some_and(|reason| reason.contains("bytes")) && too_much(&large[1..]).is_none());
        // Commas in texts are no values.
        assert!(has_few_values(format!(r#"{{"a":"\\\"{}"}}"#, ",".repeat(MOST_VALUES * 2)).as_bytes()));
    }

    #[tokio::test]
    async fn a_large_file_is_read_and_one_that_is_too_large_is_not() {
        let store = MemoryStore::default();
        let begun = |pad: usize| {
            let pad = "x".repeat(pad);
            format!(
                r#"{{"format":"elysia-backup","version":1,"owner":{{"cluster":"c","policy":"p"}},"at":"2026-01-01T00:00:00Z","pad":"{pad}"}}"#
            )
        };
        for (key, pad) in [("small", 1), ("large", 1 << 20)] {
            store.put(key, begun(pad).into(), Mode::Create).await.unwrap();
            assert!(read::<Begun, _>(&store, key).await.unwrap().is_some(), "{key}");
        }
        let most = usize::try_from(DOCUMENT_BYTES).unwrap();
        store.put("huge", begun(most).into(), Mode::Create).await.unwrap();
        let error = read::<Begun, _>(&store, "huge").await.unwrap_err();
        assert!(matches!(error, StoredError::TooLarge { .. }), "{error}");
    }
}
