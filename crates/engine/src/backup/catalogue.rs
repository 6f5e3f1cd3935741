//! The store is the catalogue: whoever can read it can list, show, verify and restore.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use super::layout;
use super::manifest::{Begun, Manifest, Verified};
use super::ports::Store;
use super::restore::{Receipt, State as Restored};
use super::stored::{self, StoredError};
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// Manifests that are asked for at once: they are small, and a store answers each after some milliseconds.
const READS: usize = 32;

/// Runs that are listed, the newest: far more than any retention keeps.
pub const MOST_RUNS: usize = 10_000;

/// Bytes of manifests, or of receipts, that are kept in memory at once. As values they take two or three times as much, and
/// a worker has 256 MiB and more; a thousand runs of fifty collections have 40 MiB.
pub const CATALOGUE_BYTES: u64 = 64 << 20;

/// A folder below `runs`.
#[derive(Debug)]
pub struct Entry {
    /// The run's id.
    pub run: String,
    /// What it is.
    pub state: State,
}

/// What a folder below `runs` is.
#[derive(Debug)]
pub enum State {
    /// A run.
    Run {
        /// What it says.
        manifest: Box<Manifest>,
        /// That it was read back, if this very manifest was.
        verified: Option<Verified>,
        /// Why nobody can tell whether it was read back: its note is there and says nothing.
        doubt: Option<StoredError>,
    },
    /// The beginning of one: it was cut off, or is under way.
    Unfinished(Option<Begun>),
    /// Something that is there and cannot be read.
    Unreadable(StoredError),
}

/// Every run, the newest first. A store that cannot be asked about one of them is an error: what is not known is not
/// absent.
pub async fn list<S: Store>(store: &S) -> Result<Vec<Entry>, PortError> {
    let mut runs = names(store).await?;
    runs.truncate(MOST_RUNS);
    read(store, runs).await
}

/// What could be runs: the names of folders, the newest first. One that has no manifest is none.
pub async fn names<S: Store>(store: &S) -> Result<Vec<String>, PortError> {
    let mut runs = store.folders(layout::RUNS).await?;
    // Their ids begin with their times.
    runs.sort_by(|one, other| other.cmp(one));
    Ok(runs)
}

/// Several, in the order in which they are named.
pub async fn read<S: Store>(store: &S, runs: Vec<String>) -> Result<Vec<Entry>, PortError> {
    list_within(store, runs, CATALOGUE_BYTES).await
}

async fn list_within<S: Store>(store: &S, runs: Vec<String>, limit: u64) -> Result<Vec<Entry>, PortError> {
    let look = |run: String| async move { Ok::<_, PortError>((sized(store, &run).await?, run)) };
    let looks = stream::iter(runs).map(look).buffered(READS);
    let mut looks = std::pin::pin!(looks);
    let (mut entries, mut total) = (Vec::new(), 0u64);
    while let Some(((state, bytes), run)) = looks.try_next().await? {
        total = total.saturating_add(bytes);
        // What is not kept is not taken for absent: nothing is retired from a store of which not all is known.
        let state = if total > limit {
            State::Unreadable(StoredError::Crowded { key: layout::in_run(&run, layout::MANIFEST), limit })
        } else {
            state
        };
        entries.push(Entry { run, state });
    }
    Ok(entries)
}

/// One of them.
pub async fn look<S: Store>(store: &S, run: &str) -> Result<State, PortError> {
    Ok(sized(store, run).await?.0)
}

/// What it is, and how large its manifest.
async fn sized<S: Store>(store: &S, run: &str) -> Result<(State, u64), PortError> {
    let (manifest, verified) = (layout::in_run(run, layout::MANIFEST), layout::in_run(run, layout::VERIFIED));
    // At once: most runs have both, and of a bucket each answer takes its time.
    let (manifest, verified) =
        futures::join!(stored::read::<Manifest, _>(store, &manifest), stored::read::<Verified, _>(store, &verified));
    let manifest = match answered(manifest)? {
        Ok(found) => found,
        Err(error) => return Ok((State::Unreadable(error), 0)),
    };
    let Some((manifest, bytes)) = manifest else {
        let begun = answered(stored::read::<Begun, _>(store, &layout::in_run(run, layout::BEGUN)).await)?;
        return Ok((State::Unfinished(begun.ok().flatten().map(|(begun, _)| begun)), 0));
    };
    let (verified, doubt) = match answered(verified)? {
        Ok(verified) => (verified.map(|(verified, _)| verified), None),
        Err(error) => (None, Some(error)),
    };
    // A note about another manifest says nothing of this one.
    let verified = verified.filter(|verified| verified.manifest == Digest::of(&bytes));
    Ok((State::Run { manifest: Box::new(manifest), verified, doubt }, bytes.len() as u64))
}

/// Tells what the store has not answered from what it has, and that is wrong.
fn answered<T>(read: Result<T, StoredError>) -> Result<Result<T, StoredError>, PortError> {
    match read {
        Err(StoredError::Port(error)) => Err(error),
        read => Ok(read),
    }
}

/// Receipts that are looked at: far more than restores that anybody keeps.
const MOST_RECEIPTS: usize = 10_000;

/// The receipts of restores below a prefix, with their ids, and what cannot be read of them.
pub async fn receipts<S: Store>(store: &S) -> Result<Vec<(String, Result<Receipt, StoredError>)>, PortError> {
    receipts_within(store, CATALOGUE_BYTES).await
}

async fn receipts_within<S: Store>(
    store: &S,
    limit: u64,
) -> Result<Vec<(String, Result<Receipt, StoredError>)>, PortError> {
    let keys = store.files(layout::RESTORES, MOST_RECEIPTS).await?;
    let look = |key: String| async move {
        let id = key.rsplit('/').next().and_then(|name| name.strip_suffix(".json"));
        let Some(id) = id else { return Ok(None) };
        let read = answered(stored::read::<Receipt, _>(store, &key).await)?;
        Ok(read.transpose().map(|receipt| (id.to_owned(), receipt)))
    };
    let looks = stream::iter(keys).map(look).buffered(READS);
    let mut looks = std::pin::pin!(looks);
    let (mut receipts, mut total) = (Vec::new(), 0u64);
    while let Some(found) = looks.try_next().await? {
        let Some((id, receipt)) = found else { continue };
        let receipt = receipt.and_then(|(receipt, bytes)| {
            total = total.saturating_add(bytes.len() as u64);
            let crowded = || StoredError::Crowded { key: layout::receipt(&id), limit };
            if total > limit { Err(crowded()) } else { Ok(receipt) }
        });
        receipts.push((id, receipt));
    }
    Ok(receipts)
}

/// A restore for which a collection is not backed up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restoring {
    /// Id of its receipt.
    pub id: String,
    /// The run that it reads.
    pub run: String,
    /// When it was heard of last.
    pub at: Timestamp,
    /// Whether it is over: else it may go on, or nobody does.
    pub is_over: bool,
}

impl Restoring {
    /// Why a collection is left out, and what to do about it.
    pub fn why(&self) -> String {
        let Self { id, run, at, is_over } = self;
        if *is_over {
            return format!("restore {id} wrote into it meanwhile");
        }
        format!(
            "restore {id} of run {run} wrote into it, was heard of last at {at} and is not over: let it go on, or give it up: kubectl elysia backup abandon {id}"
        )
    }
}

/// Collections of this cluster that a restore writes into, or did after this moment. One that has written nothing changed
/// nothing: whatever is in its collection is somebody else's.
pub async fn restored<S: Store>(
    store: &S,
    cluster: &str,
    since: Timestamp,
) -> Result<BTreeMap<String, Restoring>, PortError> {
    // A restore knows the cluster by its name alone, an owner may tell its uid as well: `NAME (UID)`.
    let is_here =
        |target: &str| cluster.strip_prefix(target).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("));
    let is_meant = |receipt: &Receipt| {
        is_here(&receipt.target)
            && match receipt.state {
                // Receipts of before this was noted may have written.
                Restored::Running => receipt.has_written != Some(false),
                Restored::Done => receipt.updated_at > since,
            }
    };
    let mut restored: BTreeMap<String, Restoring> = BTreeMap::new();
    for (id, receipt) in receipts(store).await? {
        let Some(receipt) = receipt.ok().filter(is_meant) else { continue };
        let is_over = receipt.state == Restored::Done;
        let restoring = Restoring { id, run: receipt.run, at: receipt.updated_at, is_over };
        // One that is not over says more.
        let kept = restored.entry(receipt.into).or_insert_with(|| restoring.clone());
        if kept.is_over {
            *kept = restoring;
        }
    }
    Ok(restored)
}

/// The run that is meant: this one, or with `latest` the newest that has a manifest.
pub async fn find<S: Store>(store: &S, run: &str) -> Result<Option<Manifest>, StoredError> {
    let runs = if run == LATEST { names(store).await? } else { vec![run.to_owned()] };
    for run in runs.iter().filter(|run| layout::is_run_id(run)) {
        let key = layout::in_run(run, layout::MANIFEST);
        match stored::read::<Manifest, _>(store, &key).await? {
            None => {}
            Some((manifest, _)) if manifest.run == *run => return Ok(Some(manifest)),
            // Whoever asks for one run must not be given another.
            Some((manifest, _)) => {
                let reason = format!("what lies in the folder of {run} is that of run {}", manifest.run);
                return Err(StoredError::Unreadable { key, reason });
            }
        }
    }
    Ok(None)
}

/// Instead of a run's id: the newest.
pub const LATEST: &str = "latest";

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::super::ports::Mode;
    use super::*;

    fn manifest(run: &str, pad: usize) -> String {
        format!(
            r#"{{"format":"elysia-backup","version":1,"run":"{run}","owner":{{"cluster":"c","policy":"p"}},
                "startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:00Z","source":{{"weaviate":"1.38.2","nodes":3}},
                "tool":"t","data":"parquet","collections":[],"pad":"{}"}}"#,
            "x".repeat(pad)
        )
    }

    #[tokio::test]
    async fn a_manifest_in_anothers_folder_is_no_answer() {
        let store = MemoryStore::default();
        let (one, other) = ("20260101T000000Z-aa", "20260101T000001Z-bb");
        let put = async |folder: &str, run: &str| {
            let key = layout::in_run(folder, layout::MANIFEST);
            store.put(&key, manifest(run, 0).into(), Mode::Overwrite).await.unwrap();
        };
        put(one, one).await;
        put(other, other).await;
        for (asked, found) in [(one, one), (other, other), (LATEST, other)] {
            assert_eq!(find(&store, asked).await.unwrap().unwrap().run, found);
        }
        put(one, other).await;
        let error = find(&store, one).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("what lies in the folder of {one} is that of run {other}")), "{error}");
        put(other, one).await;
        assert!(find(&store, LATEST).await.is_err(), "the newest is not known");
    }

    /// A store that was made to harm, or is merely full of large runs: the newest are known, the others are told and not
    /// kept, and none of them counts as absent.
    #[tokio::test]
    async fn manifests_beyond_what_a_reader_takes_are_told_and_not_kept() {
        let store = MemoryStore::default();
        for number in 0..40 {
            let run = format!("20260101T0000{number:02}Z-aa");
            let key = layout::in_run(&run, layout::MANIFEST);
            store.put(&key, manifest(&run, 1000).into(), Mode::Create).await.unwrap();
        }
        let runs = store.folders(layout::RUNS).await.unwrap();
        let newest: Vec<String> = runs.into_iter().rev().collect();
        let listed = list_within(&store, newest, 20 * 1500).await.unwrap();
        assert_eq!(listed.len(), 40);
        let is_known = |entry: &Entry| matches!(entry.state, State::Run { .. });
        let known = listed.iter().filter(|entry| is_known(entry)).count();
        assert!((15..=25).contains(&known), "{known}");
        assert!(listed[..known].iter().all(is_known), "the newest are kept");
        let State::Unreadable(error) = &listed[39].state else { panic!("{:?}", listed[39]) };
        let words = "runs/20260101T000000Z-aa/manifest.json is not read: the files of its kind in this store have more than 30000 bytes together";
        assert!(error.to_string().starts_with(words), "{error}");
    }
}
