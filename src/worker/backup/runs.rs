//! What runs there are, in a few numbers: for a status, a table, and retention.

use std::collections::BTreeMap;

use elysia_core::backup::ledger::DrillNote;
use elysia_core::retention::breadth::Breadth;
use elysia_core::retention::shrink::Sized as SizedRun;
use elysia_engine::backup::catalogue::{self, Entry, State};
use elysia_engine::backup::manifest::{Manifest, Owner};
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::restore::State as Restored;
use elysia_engine::ports::PortError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::drilled;
use super::failure::Failure;
use crate::worker::jobs::judged::{self, Judged};

/// Notes that are read at once: they are small.
const READS: usize = 32;

/// What a folder of runs holds under one id.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RunState {
    /// A run.
    Complete,
    /// It was cut off, or is under way.
    Unfinished,
    /// It has a manifest that cannot be read.
    Unreadable,
}

/// A run in a few numbers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// Its id.
    pub id: String,
    /// What it is.
    pub state: RunState,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// When it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its last part was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When it was read back as a whole, and nothing was found, then or since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Objects of each collection.
    pub collections: BTreeMap<String, u64>,
    /// Objects of all.
    pub objects: u64,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Objects of which replicas said different things.
    pub differing: u64,
    /// Tenants that were left out.
    pub left_out: usize,
    /// Collections that a run of all lacks, since they cannot be written, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacks: BTreeMap<String, String>,
    /// What it was to hold, where that is not everything: only runs with the same can be compared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub choice: String,
    /// The runs that it builds on, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
    /// Why it cannot be read, or one of the notes beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What a policy's worker found of it.
    #[serde(skip)]
    pub(crate) judged: Option<Judged>,
    /// What its last restore drill found.
    #[serde(skip)]
    pub(crate) drilled: Option<DrillNote>,
    /// Whether a restore that is not over reads it.
    #[serde(skip)]
    pub(crate) is_in_use: bool,
    /// How much it was to hold.
    #[serde(skip)]
    pub(crate) breadth: Breadth,
}

impl RunSummary {
    pub(crate) fn empty(id: String, state: RunState) -> Self {
        Self {
            id,
            state,
            owner: None,
            started_at: None,
            finished_at: None,
            verified_at: None,
            collections: BTreeMap::new(),
            objects: 0,
            bytes: 0,
            differing: 0,
            left_out: 0,
            lacks: BTreeMap::new(),
            choice: String::new(),
            bases: Vec::new(),
            problem: None,
            judged: None,
            drilled: None,
            is_in_use: false,
            breadth: Breadth::default(),
        }
    }

    /// Of a run that is there.
    pub fn of(manifest: &Manifest, verified_at: Option<Timestamp>) -> Self {
        let notes = &manifest.collections;
        Self {
            owner: Some(manifest.owner.clone()),
            started_at: Some(manifest.started_at),
            finished_at: Some(manifest.finished_at),
            verified_at,
            collections: notes.iter().map(|note| (note.name.clone(), note.contents.objects)).collect(),
            objects: manifest.objects(),
            bytes: manifest.bytes(),
            differing: notes.iter().map(|note| note.replicas.differing).sum(),
            left_out: notes.iter().map(|note| note.left_out).sum(),
            lacks: manifest.lacks.clone(),
            choice: manifest.choice(),
            breadth: judged::breadth(manifest),
            bases: manifest.base.iter().map(|base| base.run.clone()).collect(),
            ..Self::empty(manifest.run.clone(), RunState::Complete)
        }
    }

    /// As retention sees it; `None` for what is no run.
    pub fn sized(&self) -> Option<SizedRun> {
        Some(SizedRun {
            id: self.id.clone(),
            finished_at: self.finished_at.filter(|_| self.state == RunState::Complete)?,
            collections: self.collections.clone(),
            lacks: self.lacks.keys().cloned().collect(),
            is_verified: self.verified_at.is_some(),
            choice: self.choice.clone(),
            bases: self.bases.clone(),
        })
    }
}

/// One entry of the catalogue in a few numbers.
pub fn summary(entry: Entry) -> RunSummary {
    let Entry { run, state } = entry;
    match state {
        // What a manifest says of itself is not believed where it lies in another's folder.
        State::Run { manifest, .. } if manifest.run != run => RunSummary {
            problem: Some(format!("the manifest in its folder is that of run {}", manifest.run)),
            ..RunSummary::empty(run, RunState::Unreadable)
        },
        State::Run { manifest, verified, doubt } => RunSummary {
            problem: doubt.map(|error| crate::worker::chain(&error)),
            ..RunSummary::of(&manifest, verified.map(|verified| verified.at))
        },
        State::Unfinished(begun) => RunSummary {
            owner: begun.as_ref().map(|begun| begun.owner.clone()),
            started_at: begun.as_ref().map(|begun| begun.at),
            bases: begun.map(|begun| begun.base).unwrap_or_default(),
            ..RunSummary::empty(run, RunState::Unfinished)
        },
        State::Unreadable(error) => {
            RunSummary { problem: Some(crate::worker::chain(&error)), ..RunSummary::empty(run, RunState::Unreadable) }
        }
    }
}

/// Every run of a store, the newest first, as its own files have it.
pub async fn runs<S: Store>(store: &S) -> Result<Vec<RunSummary>, Failure> {
    // What cannot be read of the restores may name any of the runs.
    let receipts = catalogue::receipts(store).await?;
    let is_in_use = |run: &str| {
        receipts.iter().any(|(_, receipt)| match receipt {
            Ok(receipt) => receipt.state == Restored::Running && receipt.run == run,
            Err(_) => true,
        })
    };
    let mut runs = with_notes(store, catalogue::list(store).await?).await?;
    for run in &mut runs {
        run.is_in_use = is_in_use(&run.id);
    }
    Ok(runs)
}

/// Some of them, as their own files have them; nobody asked the restores whether they read one.
pub(super) async fn read<S: Store>(store: &S, runs: Vec<String>) -> Result<Vec<RunSummary>, PortError> {
    with_notes(store, catalogue::read(store, runs).await?).await
}

async fn with_notes<S: Store>(store: &S, entries: Vec<Entry>) -> Result<Vec<RunSummary>, PortError> {
    let look = |entry: Entry| async move {
        let mut run = summary(entry);
        if run.state == RunState::Complete {
            // At once: of a bucket each answer takes its time.
            let (judged, drilled) = futures::join!(judged::of_run(store, &run.id), drilled::of_run(store, &run.id));
            match judged? {
                Ok(judged) => run.judged = judged,
                Err(error) => run.problem = run.problem.or_else(|| Some(crate::worker::chain(&error))),
            }
            // It was read back before it was damaged.
            run.verified_at = run.verified_at.filter(|_| !run.judged.as_ref().is_some_and(|judged| judged.is_damaged));
            match drilled? {
                Ok(drilled) => run.drilled = drilled,
                Err(error) => run.problem = run.problem.or_else(|| Some(crate::worker::chain(&error))),
            }
        }
        Ok::<_, PortError>(run)
    };
    stream::iter(entries).map(look).buffered(READS).try_collect().await
}
