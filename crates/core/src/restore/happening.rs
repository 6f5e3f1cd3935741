//! What happened to a restore between two looks, for its Events.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::restore::{CollectionRestoreStatus, RestorePhase};

use crate::condition;

/// Kinds of happenings. Their names are the `reason` of Events, on which alerts and people build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Happened {
    /// A worker was asked to begin.
    RestoreStarted,
    /// It is done.
    RestoreSucceeded,
    /// It ended before the last object.
    RestoreFailed,
    /// It would write over objects.
    NeedsApproval,
}

impl Happened {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::RestoreStarted, Self::RestoreSucceeded, Self::RestoreFailed, Self::NeedsApproval];

    /// The name as it stands in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RestoreStarted => "RestoreStarted",
            Self::RestoreSucceeded => "RestoreSucceeded",
            Self::RestoreFailed => "RestoreFailed",
            Self::NeedsApproval => "NeedsApproval",
        }
    }

    /// Whether a person should look.
    pub fn warns(self) -> bool {
        matches!(self, Self::RestoreFailed | Self::NeedsApproval)
    }

    fn covers(self) -> &'static [Reason] {
        match self {
            Self::RestoreStarted => &[Reason::Running],
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

/// What happened between these two statuses: one thing at most.
pub fn happened(before: &CollectionRestoreStatus, after: &CollectionRestoreStatus) -> Vec<Happening> {
    let hash = |status: &CollectionRestoreStatus| status.plan.as_ref().map(|plan| plan.hash.clone());
    if before.phase == after.phase && hash(before) == hash(after) {
        return Vec::new();
    }
    let what = match after.phase {
        None | Some(RestorePhase::Pending) => return Vec::new(),
        Some(RestorePhase::Running) => Happened::RestoreStarted,
        Some(RestorePhase::Succeeded) => Happened::RestoreSucceeded,
        Some(RestorePhase::Failed) => Happened::RestoreFailed,
        Some(RestorePhase::NeedsApproval) => Happened::NeedsApproval,
    };
    let ready = condition::find(&after.conditions, ConditionType::Ready);
    vec![Happening { what, message: ready.map(|ready| ready.message.clone()).unwrap_or_default() }]
}

#[cfg(test)]
mod tests {
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
