//! What happened to a policy between two looks, for its Events. A happening is told once; how things stand is told by
//! conditions. All of it follows from the status before, compared with the one after.

use elysia_api::backup::{BackupRun, BackupState, CollectionBackupStatus, DrillState};
use elysia_api::condition::Reason;

use super::ledger::BackupLedger;

/// Kinds of happenings. Their names are the `reason` of Events, on which alerts and people build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Happened {
    /// A run began.
    BackupStarted,
    /// A run is complete.
    BackupSucceeded,
    /// There is no run.
    BackupFailed,
    /// A run lacks what the one before it had.
    BackupSuspect,
    /// A run is not what was written.
    VerificationFailed,
    /// A restore drill found what was backed up.
    DrillPassed,
    /// A restore drill found something else, or the run could not be restored.
    DrillFailed,
    /// A restore drill could not be done.
    DrillUnfinished,
    /// Runs were retired.
    Retired,
}

impl Happened {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::BackupStarted,
        Self::BackupSucceeded,
        Self::BackupFailed,
        Self::BackupSuspect,
        Self::VerificationFailed,
        Self::DrillPassed,
        Self::DrillFailed,
        Self::DrillUnfinished,
        Self::Retired,
    ];

    /// The name as it stands in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackupStarted => "BackupStarted",
            Self::BackupSucceeded => "BackupSucceeded",
            Self::BackupFailed => "BackupFailed",
            Self::BackupSuspect => "BackupSuspect",
            Self::VerificationFailed => "VerificationFailed",
            Self::DrillPassed => "DrillPassed",
            Self::DrillFailed => "DrillFailed",
            Self::DrillUnfinished => "DrillUnfinished",
            Self::Retired => "Retired",
        }
    }

    /// Whether a person should look.
    pub fn warns(self) -> bool {
        match self {
            Self::BackupFailed
            | Self::BackupSuspect
            | Self::VerificationFailed
            | Self::DrillFailed
            | Self::DrillUnfinished => true,
            Self::BackupStarted | Self::BackupSucceeded | Self::DrillPassed | Self::Retired => false,
        }
    }

    /// The reasons of Ready that say the same: while this is told, a transition to them is not.
    fn covers(self) -> &'static [Reason] {
        match self {
            Self::BackupStarted => &[Reason::Running],
            Self::BackupSucceeded => &[Reason::Complete, Reason::Scheduled],
            Self::BackupFailed => &[Reason::RunFailed, Reason::NotOwner],
            Self::BackupSuspect => &[Reason::Suspect],
            Self::VerificationFailed => &[Reason::VerificationFailed],
            Self::DrillFailed => &[Reason::DrillFailed],
            Self::DrillUnfinished => &[Reason::DrillUnfinished],
            Self::DrillPassed | Self::Retired => &[],
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
pub fn happened(
    before: &CollectionBackupStatus,
    after: &CollectionBackupStatus,
    ledger: Option<&BackupLedger>,
) -> Vec<Happening> {
    let mut happenings: Vec<Happening> = drilled(before, after).into_iter().collect();
    let (Some(run), was) = (&after.run, before.run.as_ref()) else { return happenings };
    let ended = |run: &BackupRun| !matches!(run.state, BackupState::Pending | BackupState::Running);
    let is_same = was.is_some_and(|was| (ended(was), &was.id, was.state) == (ended(run), &run.id, run.state));
    let had_begun = was.is_some_and(|was| !ended(was));
    let what = match run.state {
        BackupState::Pending | BackupState::Running => (!had_begun).then_some(Happened::BackupStarted),
        BackupState::Succeeded => Some(Happened::BackupSucceeded),
        BackupState::Failed => Some(Happened::BackupFailed),
        BackupState::Suspect if is_damaged(ledger, run) => Some(Happened::VerificationFailed),
        BackupState::Suspect => Some(Happened::BackupSuspect),
    };
    if let Some(what) = what.filter(|_| !is_same) {
        happenings.push(Happening { what, message: about(run, what) });
    }
    let retired = ledger.and_then(|ledger| ledger.attempt.as_ref()).map_or(&[][..], |attempt| &attempt.retired);
    if ended(run) && !retired.is_empty() && !was.is_some_and(ended) {
        let message = format!("{} runs were retired: {}", retired.len(), retired.join(", "));
        happenings.push(Happening { what: Happened::Retired, message });
    }
    happenings
}

/// A drill that ended since.
fn drilled(before: &CollectionBackupStatus, after: &CollectionBackupStatus) -> Option<Happening> {
    let drill = after.last_drill.as_ref().filter(|drill| before.last_drill.as_ref() != Some(drill))?;
    let run = drill.run.as_deref().unwrap_or("of this policy");
    let said = drill.message.as_deref().unwrap_or_default();
    let (what, message) = match drill.state {
        DrillState::Passed => {
            let overlap = drill.overlap.map(|overlap| format!(", searches find {overlap} %")).unwrap_or_default();
            (Happened::DrillPassed, format!("run {run} was restored and compared: {} objects{overlap}", drill.objects))
        }
        DrillState::Failed => (Happened::DrillFailed, format!("run {run}: {said}")),
        DrillState::Unfinished => (Happened::DrillUnfinished, format!("run {run}: {said}")),
    };
    Some(Happening { what, message })
}

fn is_damaged(ledger: Option<&BackupLedger>, run: &BackupRun) -> bool {
    let note = ledger.and_then(|ledger| ledger.runs.iter().find(|note| Some(&note.id) == run.id.as_ref()));
    note.is_some_and(|note| note.is_damaged)
}

fn about(run: &BackupRun, what: Happened) -> String {
    let id = run.id.as_deref().unwrap_or("of this policy");
    let said = run.message.as_deref().unwrap_or_default();
    match what {
        Happened::BackupStarted => match &run.job {
            Some(job) => format!("a run begins: Job {job}"),
            None => "a run begins".to_owned(),
        },
        Happened::BackupSucceeded => {
            let verified = if run.verified_at.is_some() { ", read back" } else { "" };
            format!("run {id}: {} objects in {} bytes{verified}", run.objects, run.bytes)
        }
        Happened::BackupFailed
        | Happened::BackupSuspect
        | Happened::VerificationFailed
        | Happened::DrillPassed
        | Happened::DrillFailed
        | Happened::DrillUnfinished
        | Happened::Retired => format!("run {id}: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: BackupState, id: Option<&str>) -> CollectionBackupStatus {
        let run = BackupRun {
            id: id.map(str::to_owned),
            state,
            job: None,
            objects: 7,
            bytes: 70,
            progress: None,
            started_at: None,
            finished_at: None,
            verified_at: None,
            message: None,
        };
        CollectionBackupStatus { run: Some(run), ..CollectionBackupStatus::default() }
    }

    #[test]
    fn each_transition_is_told_once() {
        use BackupState::{Failed, Pending, Running, Succeeded, Suspect};
        let none = CollectionBackupStatus::default;
        for (before, after, told) in [
            (none(), status(Pending, None), Some(Happened::BackupStarted)),
            (status(Pending, None), status(Running, Some("a")), None),
            (status(Running, Some("a")), status(Running, Some("b")), None),
            (status(Running, Some("a")), status(Succeeded, Some("a")), Some(Happened::BackupSucceeded)),
            (status(Succeeded, Some("a")), status(Succeeded, Some("a")), None),
            (status(Succeeded, Some("a")), status(Pending, None), Some(Happened::BackupStarted)),
            (status(Running, Some("b")), status(Suspect, Some("b")), Some(Happened::BackupSuspect)),
            (status(Suspect, Some("b")), status(Suspect, Some("b")), None),
            (status(Running, Some("c")), status(Failed, Some("c")), Some(Happened::BackupFailed)),
            (status(Failed, Some("c")), status(Running, Some("c")), Some(Happened::BackupStarted)),
            // The operator was away for a whole run.
            (status(Succeeded, Some("a")), status(Succeeded, Some("b")), Some(Happened::BackupSucceeded)),
        ] {
            let happenings = happened(&before, &after, None);
            assert_eq!(happenings.first().map(|it| it.what), told, "{before:?} {after:?}");
        }
    }

    /// The rows of the table of Events.
    #[test]
    fn every_happening_is_documented_and_nothing_else() {
        let text = include_str!("../../../../docs/events.md");
        let (_, text) = text.split_once("## What happened to a backup\n").unwrap();
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
