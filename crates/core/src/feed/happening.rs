//! What happened to a feed between two looks, for its Events. A happening is told once; how things stand is told by
//! conditions.
//!
//! All of it follows from the status before, compared with the one after: an operator that was restarted in between finds
//! the former in the object.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::index_source::{Counts, DeadLetter, IndexSourceStatus, RunState};
use jiff::{SignedDuration, Timestamp};

use super::{FeedSpec, When};
use crate::condition;

/// How long a feed that watches was behind before it is worth telling that it has caught up: most of them are behind for
/// a moment with each line that comes.
const LONG_BEHIND: SignedDuration = SignedDuration::from_mins(1);

/// Kinds of happenings. Their names are the `reason` of Events, on which alerts and people build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Happened {
    /// A run began.
    RunStarted,
    /// A run dealt with every line.
    RunSucceeded,
    /// A run ended before the last line.
    RunFailed,
    /// Too few lines were new for a run.
    RunSkipped,
    /// A run would delete more than the guard allows.
    NeedsApproval,
    /// A feed that watches has dealt with every line after it was behind.
    CaughtUp,
    /// One call after the other failed.
    CircuitOpened,
    /// Calls succeed again.
    CircuitClosed,
    /// A line of this run was rejected, the first one.
    LinesRejected,
    /// Fewer lines are counted than were.
    CheckpointLost,
}

impl Happened {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::RunStarted,
        Self::RunSucceeded,
        Self::RunFailed,
        Self::RunSkipped,
        Self::NeedsApproval,
        Self::CaughtUp,
        Self::CircuitOpened,
        Self::CircuitClosed,
        Self::LinesRejected,
        Self::CheckpointLost,
    ];

    /// The name as it stands in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunStarted => "RunStarted",
            Self::RunSucceeded => "RunSucceeded",
            Self::RunFailed => "RunFailed",
            Self::RunSkipped => "RunSkipped",
            Self::NeedsApproval => "NeedsApproval",
            Self::CaughtUp => "CaughtUp",
            Self::CircuitOpened => "CircuitOpened",
            Self::CircuitClosed => "CircuitClosed",
            Self::LinesRejected => "LinesRejected",
            Self::CheckpointLost => "CheckpointLost",
        }
    }

    /// Whether a person should look.
    pub fn warns(self) -> bool {
        match self {
            Self::RunFailed
            | Self::NeedsApproval
            | Self::CircuitOpened
            | Self::LinesRejected
            | Self::CheckpointLost => true,
            Self::RunStarted | Self::RunSucceeded | Self::RunSkipped | Self::CaughtUp | Self::CircuitClosed => false,
        }
    }

    /// What was being done, in one word: the `action` of an Event.
    pub fn action(self) -> &'static str {
        match self {
            Self::NeedsApproval => "Approve",
            _ => "Index",
        }
    }

    /// The reasons of Ready that say the same: while this is told, a transition to them is not.
    fn covers(self) -> &'static [Reason] {
        match self {
            Self::RunStarted => &[Reason::Running],
            Self::RunSucceeded => &[Reason::Complete, Reason::CompleteWithRejects],
            Self::RunFailed => &[Reason::RunFailed],
            Self::NeedsApproval => &[Reason::NeedsApproval],
            Self::RunSkipped
            | Self::CaughtUp
            | Self::CircuitOpened
            | Self::CircuitClosed
            | Self::LinesRejected
            | Self::CheckpointLost => &[],
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

/// What of a status is compared: small enough to be remembered of every feed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    run: Option<RunMark>,
    lines: i64,
    rejected: i64,
    has_letters: bool,
    has_waiting: bool,
    plan: Option<String>,
    is_circuit_open: bool,
    behind_since: Option<Timestamp>,
    /// Value and reason of Ready.
    pub ready: Option<(String, String)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct RunMark {
    id: String,
    state: RunState,
    /// Whether a worker has reported: until then counts are those of the run before.
    is_counted: bool,
}

impl Marks {
    /// Of this status.
    pub fn of(status: &IndexSourceStatus) -> Self {
        let find = |kind| condition::find(&status.conditions, kind);
        let counts = status.counts.as_ref();
        Self {
            run: status.run.as_ref().map(|run| RunMark {
                id: run.id.clone(),
                state: run.state,
                is_counted: run.started_at.is_some(),
            }),
            lines: counts.map_or(0, |counts| counts.lines),
            rejected: counts.map_or(0, |counts| counts.rejected),
            has_letters: !status.dead_letter.is_empty(),
            has_waiting: status.waiting_lines.is_some(),
            plan: status.plan.as_ref().map(|plan| plan.hash.clone()),
            is_circuit_open: find(ConditionType::CircuitClosed).is_some_and(|closed| closed.status == "False"),
            behind_since: find(ConditionType::CaughtUp)
                .filter(|caught_up| caught_up.status != "True")
                .map(|caught_up| caught_up.last_transition_time.0),
            ready: find(ConditionType::Ready).map(|ready| (ready.status.clone(), ready.reason.clone())),
        }
    }
}

/// What happened between this status and the one before. `stays`: whether a worker stays and looks again and again.
pub fn happened(
    spec: &FeedSpec,
    stays: bool,
    before: &Marks,
    status: &IndexSourceStatus,
    now: Timestamp,
) -> Vec<Happening> {
    let after = Marks::of(status);
    let mut happenings = Vec::new();
    let mut tell = |what, message: String| happenings.push(Happening { what, message });
    if is_lost(spec, before, &after) {
        tell(Happened::CheckpointLost, lost(before.lines, after.lines));
    }
    if let Some(what) = of_run(stays, before, &after, now) {
        tell(what, about_run(spec, what, status));
    }
    if after.is_circuit_open != before.is_circuit_open {
        let closed = condition::find(&status.conditions, ConditionType::CircuitClosed);
        match closed {
            Some(closed) if after.is_circuit_open => tell(Happened::CircuitOpened, closed.message.clone()),
            Some(closed) if closed.status == "True" => tell(Happened::CircuitClosed, "calls succeed again".to_owned()),
            // The worker is gone; whether the next one can call is not known.
            Some(_) | None => {}
        }
    }
    if let Some(letter) = status.dead_letter.first().filter(|_| is_rejecting(spec, before, &after)) {
        tell(Happened::LinesRejected, rejected(spec, letter, after.rejected));
    }
    happenings
}

fn of_run(stays: bool, before: &Marks, after: &Marks, now: Timestamp) -> Option<Happened> {
    let run = after.run.as_ref()?;
    let former = before.run.as_ref();
    let is_new = former.is_none_or(|former| former.id != run.id);
    let was = former.map(|former| former.state);
    match run.state {
        RunState::Pending | RunState::Running => {
            let had_ended =
                matches!(was, Some(RunState::Succeeded | RunState::Failed | RunState::Waiting | RunState::Skipped));
            // A Job that watches is followed by the next one, which is no news, and its run ends with every look.
            let is_told = if stays { was.is_none_or(|was| was == RunState::Failed) } else { is_new || had_ended };
            is_told.then_some(Happened::RunStarted)
        }
        RunState::Succeeded if stays => {
            let long = |since: Timestamp| now.duration_since(since) >= LONG_BEHIND;
            let is_told = after.behind_since.is_none() && (was.is_none() || before.behind_since.is_some_and(long));
            is_told.then_some(Happened::CaughtUp)
        }
        RunState::Succeeded => (is_new || was != Some(run.state)).then_some(Happened::RunSucceeded),
        RunState::Failed => (is_new || was != Some(run.state)).then_some(Happened::RunFailed),
        // The number grows with each line that comes, and a schedule finds it each time: told once until they are read.
        RunState::Skipped => (!before.has_waiting).then_some(Happened::RunSkipped),
        RunState::Waiting => (after.plan.is_some() && after.plan != before.plan).then_some(Happened::NeedsApproval),
    }
}

fn about_run(spec: &FeedSpec, what: Happened, status: &IndexSourceStatus) -> String {
    let run = status.run.as_ref();
    let id = run.map_or("", |run| run.id.as_str());
    let job = run.and_then(|run| run.job.as_deref()).unwrap_or_default();
    let told = |kind| condition::find(&status.conditions, kind).map_or("", |condition| condition.message.as_str());
    match what {
        Happened::RunStarted => format!("run {id} begins: Job {job}"),
        Happened::RunSucceeded | Happened::CaughtUp => {
            let since = if spec.when == When::Once { "" } else { " since the feed began" };
            format!("run {id}: {}{since}", status.counts.as_ref().map_or_else(String::new, sentence))
        }
        Happened::RunFailed => {
            let why = run.and_then(|run| run.message.as_deref()).unwrap_or("it failed");
            format!("run {id}: {why}; see: kubectl elysia index status {}", spec.name)
        }
        Happened::RunSkipped => told(ConditionType::CaughtUp).to_owned(),
        _ => told(ConditionType::Ready).to_owned(),
    }
}

fn sentence(counts: &Counts) -> String {
    let Counts { lines, added, modified, deleted, renamed, unchanged, rejected } = counts;
    format!(
        "{lines} lines = {added} added + {modified} modified + {deleted} deleted + {renamed} renamed + {unchanged} unchanged + {rejected} rejected"
    )
}

/// Whether counts went back within what they count.
fn is_lost(spec: &FeedSpec, before: &Marks, after: &Marks) -> bool {
    let counted = |marks: &Marks| marks.run.clone().filter(|run| run.is_counted).map(|run| run.id);
    let is_one_count = spec.when != When::Once || (counted(before).is_some() && counted(before) == counted(after));
    is_one_count && after.lines < before.lines
}

fn lost(before: i64, after: i64) -> String {
    format!(
        "{after} lines are counted, and {before} were: the ledger was deleted, or the feed begins anew; lines that are read again change nothing"
    )
}

fn is_rejecting(spec: &FeedSpec, before: &Marks, after: &Marks) -> bool {
    let counted = |marks: &Marks| marks.run.clone().filter(|run| run.is_counted).map(|run| run.id);
    // The letters of a followed feed stay until the next run has something to read.
    let is_another = counted(before) != counted(after) && (spec.when == When::Once || after.rejected > before.rejected);
    counted(after).is_some() && after.has_letters && (!before.has_letters || is_another)
}

fn rejected(spec: &FeedSpec, letter: &DeadLetter, count: i64) -> String {
    let DeadLetter { file, line, category, reason, offset: _, length: _ } = letter;
    format!(
        "{count} lines are rejected by now, the first one {file}:{line}: {category}: {reason}; see: kubectl elysia index errors {}",
        spec.name
    )
}

#[cfg(test)]
#[path = "happening_tests.rs"]
mod tests;
