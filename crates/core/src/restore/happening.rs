//! What happened to a restore between two looks, for its Events.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::restore::{CollectionRestoreStatus, PassedOverRun, RestorePhase};

use crate::condition;

/// Kinds of happenings. Their names are the `reason` of Events, on which alerts and people build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Happened {
    /// A worker was asked to begin.
    RestoreStarted,
    /// Newer runs than the one that it restores were passed over.
    RunsPassedOver,
    /// It is done.
    RestoreSucceeded,
    /// It ended before the last object.
    RestoreFailed,
    /// It would write over objects.
    NeedsApproval,
}

impl Happened {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::RestoreStarted, Self::RunsPassedOver, Self::RestoreSucceeded, Self::RestoreFailed, Self::NeedsApproval];

    /// The name as it stands in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RestoreStarted => "RestoreStarted",
            Self::RunsPassedOver => "RunsPassedOver",
            Self::RestoreSucceeded => "RestoreSucceeded",
            Self::RestoreFailed => "RestoreFailed",
            Self::NeedsApproval => "NeedsApproval",
        }
    }

    /// Whether a person should look.
    pub fn warns(self) -> bool {
        matches!(self, Self::RunsPassedOver | Self::RestoreFailed | Self::NeedsApproval)
    }

    fn covers(self) -> &'static [Reason] {
        match self {
            Self::RestoreStarted => &[Reason::Running],
            Self::RunsPassedOver => &[],
            Self::RestoreSucceeded => &[Reason::Restored, Reason::CollectionGone],
            Self::RestoreFailed => &[Reason::RunFailed, Reason::Blocked],
            Self::NeedsApproval => &[Reason::NeedsApproval],
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happening {
    /// What.
    pub what: Happened,
    /// For people.
    pub message: String,
}

/// Whether a transition of Ready to this reason is already told by one of these.
pub fn says(happenings: &[Happening], reason: &str) -> bool {
    happenings.iter().any(|happening| happening.what.covers().iter().any(|covered| covered.as_str() == reason))
}

/// What happened between these two statuses.
pub fn happened(before: &CollectionRestoreStatus, after: &CollectionRestoreStatus) -> Vec<Happening> {
    passed_over(before, after).into_iter().chain(moved(before, after)).collect()
}

/// That newer runs were passed over. Once for each run that is restored instead.
fn passed_over(before: &CollectionRestoreStatus, after: &CollectionRestoreStatus) -> Option<Happening> {
    let now = after.passed_over.as_ref()?;
    if before.run == after.run && before.passed_over.is_some() {
        return None;
    }
    let run = after.run.as_deref().unwrap_or("an older one");
    let named = now.runs.iter().map(|PassedOverRun { run, why }| format!("{run}, since {why}"));
    let named = named.collect::<Vec<_>>().join("; ");
    let more = usize::try_from(now.total).unwrap_or(usize::MAX).saturating_sub(now.runs.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = format!("run {run} is restored; newer ones were passed over: {named}{more}");
    Some(Happening { what: Happened::RunsPassedOver, message })
}

/// That it has come to another phase, or waits for another approval.
fn moved(before: &CollectionRestoreStatus, after: &CollectionRestoreStatus) -> Option<Happening> {
    let hash = |status: &CollectionRestoreStatus| status.plan.as_ref().map(|plan| plan.hash.clone());
    if before.phase == after.phase && hash(before) == hash(after) {
        return None;
    }
    let what = match after.phase {
        None | Some(RestorePhase::Pending) => return None,
        Some(RestorePhase::Running) => Happened::RestoreStarted,
        Some(RestorePhase::Succeeded) => Happened::RestoreSucceeded,
        Some(RestorePhase::Failed) => Happened::RestoreFailed,
        Some(RestorePhase::NeedsApproval) => Happened::NeedsApproval,
    };
    let ready = condition::find(&after.conditions, ConditionType::Ready);
    Some(Happening { what, message: ready.map(|ready| ready.message.clone()).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use elysia_api::restore::PassedOverRuns;

    use super::*;

    #[test]
    fn each_phase_is_told_once() {
        let status = |phase| CollectionRestoreStatus { phase: Some(phase), ..CollectionRestoreStatus::default() };
        for (before, after, told) in [
            (CollectionRestoreStatus::default(), status(RestorePhase::Pending), None),
            (status(RestorePhase::Pending), status(RestorePhase::Running), Some(Happened::RestoreStarted)),
            (status(RestorePhase::Running), status(RestorePhase::Running), None),
            (status(RestorePhase::Running), status(RestorePhase::NeedsApproval), Some(Happened::NeedsApproval)),
            (status(RestorePhase::Running), status(RestorePhase::Succeeded), Some(Happened::RestoreSucceeded)),
            (status(RestorePhase::Running), status(RestorePhase::Failed), Some(Happened::RestoreFailed)),
            (status(RestorePhase::Failed), status(RestorePhase::Failed), None),
        ] {
            let happenings = happened(&before, &after);
            assert_eq!(happenings.first().map(|it| it.what), told, "{before:?} {after:?}");
        }
    }

    #[test]
    fn runs_that_were_passed_over_are_told_once_for_each_run_that_is_restored() {
        let named = |number: u32| PassedOverRun { run: format!("r{number}"), why: "it is Suspect".to_owned() };
        let status = |run: &str, total: i64| CollectionRestoreStatus {
            phase: Some(RestorePhase::Running),
            run: Some(run.to_owned()),
            passed_over: Some(PassedOverRuns { total, runs: vec![named(3), named(2)] }),
            ..CollectionRestoreStatus::default()
        };
        let begun =
            CollectionRestoreStatus { phase: Some(RestorePhase::Running), ..CollectionRestoreStatus::default() };
        let told = |before: &CollectionRestoreStatus, after: &CollectionRestoreStatus| -> Vec<String> {
            happened(before, after).into_iter().map(|it| format!("{} {}", it.what.as_str(), it.message)).collect()
        };
        assert_eq!(
            told(&begun, &status("r1", 2)),
            [
                "RunsPassedOver run r1 is restored; newer ones were passed over: r3, since it is Suspect; r2, since it is Suspect"
            ]
        );
        assert_eq!(told(&status("r1", 2), &status("r1", 2)), [""; 0]);
        let more = told(&status("r1", 2), &status("r0", 9));
        assert!(more[0].ends_with("; and 7 more"), "{more:?}");
        assert_eq!(told(&status("r1", 2), &CollectionRestoreStatus { run: Some("r4".to_owned()), ..begun }), [""; 0]);
    }

    /// The rows of the table of Events.
    #[test]
    fn every_happening_is_documented_and_nothing_else() {
        let text = include_str!("../../../../docs/events.md");
        let (_, text) = text.split_once("## What happened to a restore\n").unwrap();
        let (text, _) = text.split_once("\n## ").unwrap();
        let rows: Vec<(String, bool)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .map(|row| {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                (cells[0].trim_end_matches('`').to_owned(), cells[1] == "Warning")
            })
            .collect();
        let known: Vec<(String, bool)> = Happened::ALL.map(|what| (what.as_str().to_owned(), what.warns())).to_vec();
        assert_eq!(rows, known);
    }
}
