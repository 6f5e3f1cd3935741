//! Retention of the runs of a store: which go, by `elysia_core::retention`, and their going.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::retention::shrink::{Shrunk, judged};
use elysia_core::retention::{Retention, Why, decide};
use elysia_engine::backup::manifest::Owner;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::retire::{ABANDONED, remove_runs};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::failure::Failure;
use super::runs::{RunState, RunSummary};

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
    let (judged, shrunk): (Vec<_>, Vec<Option<Shrunk>>) = judged(&sized, max_shrink).into_iter().unzip();
    let suspect: BTreeMap<&str, String> = judged
        .iter()
        .zip(&shrunk)
        .filter_map(|(run, shrunk)| Some((run.id.as_str(), shrunk.as_ref()?.to_string())))
        .collect();
    let decisions: BTreeMap<String, Vec<&'static str>> = decide(&judged, rules, zone, now)
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
            Verdict { suspect: suspect.get(run.id.as_str()).cloned(), kept, run }
        })
        .collect()
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
