//! Retention of the runs of a store: which go, by `elysia_core::retention`, and their going.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::backup::ledger::DrillNote;
use elysia_core::retention::breadth::{Breadth, stands_in};
use elysia_core::retention::shrink::{Shrunk, judged};
use elysia_core::retention::{Retention, Run, Why, decide};
use elysia_engine::backup::manifest::Owner;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::retire::{ABANDONED, remove_runs};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::drilled;
use super::failure::Failure;
use super::runs::{RunState, RunSummary};
use crate::worker::jobs::judged::{Holding, Judged, lacking, last_holders};

/// What becomes of a run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The run.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Why it stays; none of these: it goes.
    pub kept: Vec<&'static str>,
    /// Why it is Suspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
}

impl Verdict {
    /// Whether it goes.
    pub fn is_retired(&self) -> bool {
        self.kept.is_empty()
    }
}

/// What was taken away.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Retired {
    /// The runs.
    pub runs: Vec<String>,
    /// Their files.
    pub files: u64,
}

/// What becomes of each run, the newest first. Runs of others stay, and so does what cannot be read; what was begun and
/// never finished goes when it is so old that nobody writes it any more.
pub fn retirement(
    runs: Vec<RunSummary>,
    owner: &Owner,
    rules: &Retention,
    max_shrink: Option<u8>,
    zone: &TimeZone,
    now: Timestamp,
) -> Vec<Verdict> {
    let ours = |run: &&RunSummary| run.owner.as_ref() == Some(owner);
    let sized: Vec<_> = runs.iter().filter(ours).filter_map(RunSummary::sized).collect();
    let (mut compared, shrunk): (Vec<_>, Vec<Option<Shrunk>>) = judged(&sized, max_shrink).into_iter().unzip();
    let holding = holding(&runs, &compared);
    let holders = last_holders(&holding);
    let suspect = suspect(&runs, &compared, &shrunk, &lacking(&holding));
    for run in &mut compared {
        let Some(told) = runs.iter().find(|told| told.id == run.id) else { continue };
        run.is_suspect = suspect.contains_key(&run.id);
        match &told.drilled {
            Some(drilled) if drilled.has_failed() => run.is_verified = false,
            Some(drilled) => run.is_verified |= drilled.has_passed(),
            None => {}
        }
        // One that leaves something out does not stand in for a whole one.
        run.is_verified &= told.judged.as_ref().is_none_or(|it| !it.is_damaged && it.left_out.is_empty());
        run.is_in_use = told.is_in_use;
        run.is_last_holder = holders.contains(&run.id);
    }
    let breadth = |run: &Run| runs.iter().find(|told| told.id == run.id).map(|told| told.breadth);
    // One that nobody read back is no reason to let the last verified one go.
    let verified: Vec<Breadth> =
        compared.iter().filter(|run| run.is_verified && !run.is_suspect).filter_map(breadth).collect();
    for run in &mut compared {
        run.is_verified &= breadth(run).is_some_and(|breadth| stands_in(breadth, verified.iter().copied()));
    }
    // Retention stops at what cannot be read, wherever that is among the others.
    compared.extend(runs.iter().filter(|run| run.state == RunState::Unreadable).map(|run| Run {
        id: run.id.clone(),
        finished_at: now,
        is_suspect: true,
        is_verified: false,
        is_in_use: false,
        is_last_holder: false,
        bases: Vec::new(),
    }));
    let decisions: BTreeMap<String, Vec<&'static str>> = decide(&compared, rules, zone, now)
        .into_iter()
        .map(|decision| (decision.id, decision.kept.into_iter().map(Why::as_str).collect()))
        .collect();
    // A run that is under way needs what it builds on as much as one that is kept.
    let is_begun = |run: &&RunSummary| run.state == RunState::Unfinished && !is_abandoned(run, now);
    let needed: BTreeSet<String> = runs.iter().filter(ours).filter(is_begun).flat_map(|it| it.bases.clone()).collect();
    runs.into_iter()
        .map(|run| {
            let is_old = is_abandoned(&run, now);
            let kept = match run.state {
                _ if run.owner.as_ref() != Some(owner) && run.state != RunState::Unreadable => vec!["of another owner"],
                RunState::Complete => {
                    let mut kept = decisions.get(&run.id).cloned().unwrap_or_default();
                    kept.extend((kept.is_empty() && needed.contains(&run.id)).then_some(Why::Base.as_str()));
                    kept
                }
                RunState::Unfinished if is_old => Vec::new(),
                RunState::Unfinished => vec!["may be under way"],
                RunState::Unreadable => vec!["unreadable"],
            };
            Verdict { suspect: suspect.get(&run.id).cloned(), kept, run }
        })
        .collect()
}

/// What runs hold, the newest first.
fn holding<'a>(runs: &'a [RunSummary], compared: &[Run]) -> Vec<Holding<'a>> {
    let of = |run: &Run| {
        let RunSummary { id, collections, judged, drilled, problem, lacks, breadth, verified_at, .. } =
            runs.iter().find(|told| told.id == run.id)?;
        let has_failed = drilled.as_ref().is_some_and(DrillNote::has_failed);
        let has_passed = drilled.as_ref().is_some_and(DrillNote::has_passed);
        Some(Holding {
            run: id,
            collections: collections.keys().map(String::as_str).collect(),
            judged: judged.as_ref(),
            is_good: problem.is_none() && judged.as_ref().is_some_and(Judged::is_whole),
            is_verified: has_passed || (verified_at.is_some() && !has_failed),
            lacks: lacks.keys().map(String::as_str).collect(),
            breadth: *breadth,
        })
    };
    compared.iter().rev().filter_map(of).collect()
}

/// Why runs are Suspect: what a policy's worker found of them, which a person may have accepted; of a run that it has not
/// looked at, what it lacks of the one before it.
fn suspect(
    runs: &[RunSummary],
    compared: &[Run],
    shrunk: &[Option<Shrunk>],
    lacking: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let told = |run: &Run| runs.iter().find(|told| told.id == run.id);
    // The newest first.
    let newest_first: Vec<_> = compared.iter().rev().filter_map(&told).collect();
    let stops = drilled::stops(newest_first.iter().map(|run| run.drilled.as_ref()));
    let stops: BTreeSet<&str> =
        newest_first.iter().zip(stops).filter_map(|(run, stops)| stops.then_some(run.id.as_str())).collect();
    let why = |run: &Run, shrunk: &Option<Shrunk>| {
        let told = told(run)?;
        if let Some(problem) = &told.problem {
            return Some(problem.clone());
        }
        if let Some(drilled) = told.drilled.as_ref().filter(|_| stops.contains(run.id.as_str())) {
            let why = drilled.message.as_deref().unwrap_or("something else was restored");
            return Some(format!("its restore drill failed: {why}"));
        }
        match &told.judged {
            Some(judged) if judged.is_suspect() => Some(judged.suspect.join("; ")),
            Some(_) => lacking.get(&run.id).cloned(),
            None => shrunk.as_ref().map(ToString::to_string),
        }
    };
    compared.iter().zip(shrunk).filter_map(|(run, shrunk)| Some((run.id.clone(), why(run, shrunk)?))).collect()
}

fn is_abandoned(run: &RunSummary, now: Timestamp) -> bool {
    run.started_at.is_some_and(|begun| now.duration_since(begun) >= ABANDONED)
}

/// Takes away what goes. Only the owner of the prefix may; a run that is gone already is none the worse.
pub async fn retire<S: Store>(store: &S, owner: &Owner, verdicts: &[Verdict]) -> Result<Retired, Failure> {
    let mut retired = Retired::default();
    let gone: Vec<String> =
        verdicts.iter().filter(|verdict| verdict.is_retired()).map(|verdict| verdict.run.id.clone()).collect();
    if gone.is_empty() {
        return Ok(retired);
    }
    let mut told = |run: &str, _: u64| retired.runs.push(run.to_owned());
    retired.files = remove_runs(store, &gone, owner, &mut told).await?;
    Ok(retired)
}
