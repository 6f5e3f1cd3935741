//! What a run of a policy builds on.

use std::collections::BTreeSet;

use elysia_core::retention::Run;
use elysia_core::retention::build_on::build_on;
use elysia_engine::backup::manifest::{Manifest, RunMode};
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::write::filter_note;

use super::judged::{Known, Shelf};
use super::work::ChoiceWork;

/// The run to build on: the newest, if it is good, complete and was to hold the same under the same key, no run of the chain
/// is damaged or failed its restore drill, and the chain is not over; `None`: the next run stands for itself.
pub(super) fn base(shelf: &Shelf, choice: &ChoiceWork, key: Option<&Key>) -> Option<String> {
    let most = usize::try_from(choice.full_every?).ok()?.saturating_sub(1);
    if choice.mode != RunMode::Full {
        return None;
    }
    // Whatever is built on one of these cannot be restored either.
    let is_bad = |known: &&Known| known.is_damaged() || known.has_failed_drill();
    let bad: BTreeSet<&str> = shelf.runs.iter().filter(is_bad).map(|known| known.manifest.run.as_str()).collect();
    let rests_on_bad = |manifest: &Manifest| {
        bad.contains(manifest.run.as_str()) || manifest.base.iter().any(|base| bad.contains(base.run.as_str()))
    };
    let of = |known: &Known| Run {
        id: known.manifest.run.clone(),
        finished_at: known.manifest.finished_at,
        is_suspect: !known.is_good() || rests_on_bad(&known.manifest) || !is_like(&known.manifest, choice, key),
        is_verified: known.verified_at.is_some(),
        is_in_use: false,
        is_last_holder: false,
        bases: known.manifest.base.iter().map(|base| base.run.clone()).collect(),
    };
    let runs: Vec<Run> = shelf.runs.iter().map(of).collect();
    build_on(&runs, most).map(str::to_owned)
}

/// What the engine asks of a base.
fn is_like(manifest: &Manifest, choice: &ChoiceWork, key: Option<&Key>) -> bool {
    let filter = choice.filter.as_ref().map(|filter| filter_note(filter, key).digest);
    manifest.mode == RunMode::Full
        && manifest.filter.as_ref().map(|filter| filter.digest) == filter
        && manifest.encryption == key.map(Key::note)
}
