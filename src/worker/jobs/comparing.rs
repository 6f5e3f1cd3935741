//! What a policy's Job finds of runs that nobody has compared yet.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::backup::suspicion::Expectation;
use elysia_core::cluster::spec::matches_pattern;
use elysia_engine::backup::catalogue;
use elysia_engine::backup::ports::Store;
use elysia_engine::ports::Clock as _;

use super::backup::Hands;
use super::board::Board;
use super::judged::{self, Shelf};
use super::work::BackupJob;
use crate::worker::backup::Failure;
use crate::worker::clock::SystemClock;

/// A run that nobody compared would count as a good one.
pub(super) fn written_is_listed(shelf: &Shelf, run: &str) -> Result<(), Failure> {
    if shelf.runs.iter().any(|known| known.manifest.run == run) {
        return Ok(());
    }
    let message =
        format!("run {run} was written, and the store does not list it: either it lags, or somebody removed it");
    Err(Failure { message, is_permanent: false })
}

/// Compares every run that nobody has compared yet, the oldest first, so that each is a measure for the next: this Job's own,
/// that of a worker which died before it had compared it, and what a person wrote for this policy.
pub(super) async fn compare<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    shelf: &mut Shelf,
) -> Result<(), Failure> {
    let is_new = |known: &&judged::Known| known.judged.is_none() && known.doubt.is_none();
    let new: Vec<String> = shelf.runs.iter().rev().filter(is_new).map(|known| known.manifest.run.clone()).collect();
    for run in new {
        compare_one(job, hands, shelf, &run).await?;
    }
    Ok(())
}

async fn compare_one<S: Store, B: Board>(
    job: &BackupJob,
    hands: &Hands<'_, S, B>,
    shelf: &mut Shelf,
    run: &str,
) -> Result<(), Failure> {
    let Some(known) = shelf.runs.iter().find(|known| known.manifest.run == run) else { return Ok(()) };
    let manifest = &known.manifest;
    let store = &hands.patient(job.backup.patience);
    let restored = catalogue::restored(store, &manifest.owner.cluster, manifest.started_at).await?;
    let mut left_out: BTreeMap<_, _> =
        restored.iter().map(|(name, restoring)| (name.clone(), restoring.why())).collect();
    left_out.extend(job.left_out.clone());
    let declared: BTreeSet<_> = job.backup.collections.iter().flatten().cloned().collect();
    let is_excluded = |name: &&str| job.backup.exclude.iter().any(|pattern| matches_pattern(pattern, name));
    // Only what the run was to hold and really lacks was left out.
    left_out.retain(|name, _| {
        manifest.collection(name).is_none()
            && !manifest.lacks.contains_key(name)
            && !is_excluded(&name.as_str())
            && (job.left_out.contains_key(name) || declared.is_empty() || declared.contains(name))
    });
    // What is excluded, or cannot be written, nobody expects.
    let names = shelf.runs.iter().flat_map(|known| &known.manifest.collections).map(|note| note.name.as_str());
    let excluded: BTreeSet<_> = names.filter(is_excluded).map(str::to_owned).collect();
    // What the operator knows of ends, or is told of there. Of what a receipt alone says nobody may hear, for ever.
    let is_interrupted =
        |name: &str| !job.left_out.contains_key(name) && restored.get(name).is_some_and(|restoring| !restoring.is_over);
    let (interrupted, expected): (BTreeMap<_, _>, BTreeMap<_, _>) =
        left_out.clone().into_iter().partition(|(name, _)| is_interrupted(name));
    let left_out_names =
        job.left_out.keys().chain(expected.keys()).chain(manifest.lacks.keys()).chain(&excluded).cloned().collect();
    let expected = Expectation { max_shrink: job.max_shrink, declared, left_out: left_out_names, interrupted };
    judged::compare(store, shelf, run, &expected, &left_out, SystemClock.now()).await
}
