//! Whether the files of a backup that the servers wrote are what was written. What is in them only a restore proves.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::catalogue::size;
use super::{NativeFile, NativeFiles};
use crate::backup::layout;
use crate::backup::opened::OpenRun;
use crate::backup::ports::Store;
use crate::backup::stored;
use crate::backup::verify::{Fault, Findings};
use crate::ports::PortError;

/// Files that are read at once.
const READS: usize = 4;

/// How closely it is looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Closely {
    /// Sizes: each file was read for its hash a moment ago.
    Sizes,
    /// Hashes, where they are known.
    Hashes,
}

/// Looks at every file of a run, or with a collection at those that its restore needs. A file of which no hash is known
/// has its size compared.
pub async fn verify<S: Store>(store: &S, run: &str, collection: Option<&str>) -> Result<Findings, PortError> {
    look(store, run, collection, Closely::Hashes).await
}

/// The same without a look into any file that the servers wrote: whether each is there, with its size.
pub async fn verify_sizes<S: Store>(store: &S, run: &str) -> Result<Findings, PortError> {
    look(store, run, None, Closely::Sizes).await
}

async fn look<S: Store>(
    store: &S,
    run: &str,
    collection: Option<&str>,
    closely: Closely,
) -> Result<Findings, PortError> {
    let open = match OpenRun::open(store, run, None).await? {
        Ok(open) => open,
        Err(fault) => return Ok(Findings::of(fault)),
    };
    let Some(native) = &open.manifest.native else {
        let reason = format!("run {run} is not one that Weaviate wrote itself");
        return Ok(Findings::of(Fault::Unreadable { key: layout::MANIFEST.to_owned(), reason }));
    };
    let mut findings = Findings::default();
    let is_meant = |name: &str| collection.is_none_or(|collection| collection == name);
    for note in open.manifest.collections.iter().filter(|note| is_meant(&note.name)) {
        match open.index(store, note).await? {
            Ok(_) => {
                findings.files += 1;
                findings.bytes += note.index.bytes;
            }
            Err(fault) => findings.join(Findings::of(fault)),
        }
    }
    let list = match open.file(store, &native.files).await? {
        Ok(bytes) => stored::parse::<NativeFiles>(&native.files.key, &bytes)
            .map_err(|error| Fault::Unreadable { key: native.files.key.clone(), reason: error.to_string() }),
        Err(fault) => Err(fault),
    };
    let list = match list {
        Ok(list) => list.files,
        Err(fault) => {
            findings.join(Findings::of(fault));
            return Ok(findings);
        }
    };
    let meant = list.iter().filter(|file| file.collection().is_none_or(is_meant));
    let compare = |file| async move { one(store, run, file, closely).await };
    let mut compared = stream::iter(meant).map(compare).buffered(READS);
    while let Some(found) = compared.try_next().await? {
        findings.join(found);
    }
    Ok(findings)
}

async fn one<S: Store>(store: &S, run: &str, file: &NativeFile, closely: Closely) -> Result<Findings, PortError> {
    let NativeFile { key, bytes, sha256 } = file;
    let whole = layout::in_run(run, key);
    let wanted = sha256.filter(|_| closely == Closely::Hashes);
    let found = match wanted {
        Some(_) => store.digest(&whole).await?.map(|(bytes, sha256)| (bytes, Some(sha256))),
        None => size(store, &whole).await?.map(|bytes| (bytes, None)),
    };
    let key = || key.clone();
    let fault = match (found, wanted) {
        (None, _) => Some(Fault::Missing { key: key() }),
        (Some((found, _)), _) if found != *bytes => Some(Fault::Size { key: key(), wanted: *bytes, found }),
        (Some((_, Some(found))), Some(wanted)) if found != wanted => Some(Fault::Changed { key: key(), wanted, found }),
        (Some(_), _) => None,
    };
    Ok(Findings { files: 1, bytes: *bytes, objects: 0, faults: fault.into_iter().collect() })
}
