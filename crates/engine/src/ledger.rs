//! What is persisted of a run: counts, checkpoint, and deletes that are still to be done. One write moves all of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::category::{Category, Tally};
use crate::checkpoint::{Checkpoint, Misjoined};
use crate::chunk::MOST_CHUNKS;
use crate::counts::Counts;
use crate::follow::{Followed, Record};
use crate::guard::Guarded;
use crate::pace::{Pace, Sent};
use crate::partition::Partition;
use crate::progress::Left;
use crate::rejection::DeadLetter;
use crate::rejects::{Reject, Rejects};
use crate::window::Gone;

/// How many rejected lines a ledger keeps, the first ones: every list in a status holds at most as many.
pub const DEAD_LETTERS: usize = 20;

/// The ledger's own version; one of another version is refused, not guessed at.
pub const LEDGER_VERSION: u32 = 1;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Under way, or stopped and to be resumed.
    Running,
    /// Nothing was written: the files would delete more than the guard allows, and a person has not approved it.
    Waiting,
    /// Every line is counted.
    Succeeded,
    /// Stopped by what another attempt may or may not overcome; the checkpoint stands.
    Failed,
}

/// Why a run failed. Stable words, for conditions and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// A file is not the one for which the run was made, or was replaced while the run read it.
    ContentChanged,
    /// What was indexed of a file is no longer what it begins with.
    FileRewritten,
    /// A compressed file is damaged, or of a kind that is not read.
    FileDamaged,
    /// A file appeared among those that are done, or went.
    FileListChanged,
    /// More files than a followed feed may have.
    TooManyFiles,
    /// More lines were rejected than allowed.
    TooManyRejected,
    /// The collection cannot take a feed: it lacks a property, or has what a feed cannot keep.
    CollectionUnfit,
    /// A file could not be listed or read.
    SourceFailed,
    /// The collection could not be read or written, also after retries.
    SinkFailed,
    /// The ledger could not be read or written, or somebody else writes it.
    LedgerFailed,
}

impl FailureReason {
    /// Whether another worker would fail alike until somebody changes the files, the collection or the feed.
    pub fn is_permanent(self) -> bool {
        match self {
            Self::ContentChanged
            | Self::FileRewritten
            | Self::FileDamaged
            | Self::FileListChanged
            | Self::TooManyFiles
            | Self::TooManyRejected
            | Self::CollectionUnfit => true,
            Self::SourceFailed | Self::SinkFailed | Self::LedgerFailed => false,
        }
    }
}

/// Progress by one window: everything that one write of the ledger adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    /// Where it begins.
    pub from: Checkpoint,
    /// Where it ends.
    pub to: Checkpoint,
    /// What became of its lines.
    pub counts: Counts,
    /// The kinds of its rejections.
    pub errors: Tally,
    /// Its rejected lines, as many as the ledger has room for.
    pub dead_letters: Vec<DeadLetter>,
    /// Bytes of its lines.
    #[serde(default)]
    pub bytes: u64,
    /// What is left to be read behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// Files of a followed feed that end in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<(String, Record)>,
    /// Its rejected lines once more, the last ones, to be carried out again some day. Without a number: rejected for the
    /// first time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<Reject>,
    /// Earlier rejected lines, by number, for whose documents a line of it was carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<u64>,
    /// Rejected lines, by number, that it carries out again: they were counted once, and are counted anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replayed: Vec<u64>,
}

/// What came of carrying rejected lines out again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replayed {
    /// The word by which it was asked for: asked for once, it is done once.
    pub word: String,
    /// Lines that are indexed now.
    pub indexed: u64,
    /// Lines that were rejected again.
    pub rejected: u64,
    /// Lines that were left alone: a later line was carried out for their document.
    pub superseded: u64,
    /// Lines that can never be carried out as they are: no change can be read from them.
    pub unreadable: u64,
    /// Lines that are not in their file any more.
    pub missing: u64,
}

/// A window whose puts are confirmed while what its renames moved away is still there: a replay would read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What was moved away and is to be deleted before the window counts.
    pub deletes: Vec<Uuid>,
    /// How many chunks those of them have that have more than one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chunks: BTreeMap<Uuid, u64>,
    /// What it counts then.
    pub delta: Delta,
}

impl Pending {
    /// These documents are still there, and go before the window counts.
    pub(crate) fn new(gone: &[Gone], delta: Delta) -> Self {
        let chunks = gone.iter().filter(|gone| gone.chunks > 1).map(|gone| (gone.id, gone.chunks)).collect();
        Self { deletes: gone.iter().map(|gone| gone.id).collect(), chunks, delta }
    }

    /// The documents.
    pub(crate) fn gone(&self) -> Vec<Gone> {
        let chunks = |id| self.chunks.get(id).copied().unwrap_or(1).clamp(1, MOST_CHUNKS);
        self.deletes.iter().map(|id| Gone { id: *id, chunks: chunks(id) }).collect()
    }
}

/// A circuit breaker that is open: nobody calls the collection for a while, because one call after the other failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenBreaker {
    /// When it opened.
    pub since: Timestamp,
    /// Failures in a row until now.
    pub failures: u32,
    /// The kind of the failure that opened it.
    pub category: Category,
    /// That failure in words, bounded.
    pub message: String,
}

/// What the collection was asked to write, by all workers of the run, and the pace at present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Traffic {
    /// Calls that wrote objects and were confirmed.
    pub calls: u64,
    /// Objects in them. More than the lines where windows were repeated, fewer where changes of one path came together.
    pub objects: u64,
    /// Time of these calls together, in milliseconds; several are under way at once.
    pub milliseconds: u64,
    /// Calls that failed, whether they were tried again or not.
    pub failed: u64,
    /// Objects of a batch, at most, at present.
    pub batch_objects: u64,
    /// Batches in flight, at most, at present.
    pub in_flight: u64,
}

/// The whole of what is persisted, for one feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// [`LEDGER_VERSION`].
    pub version: u32,
    /// Which run this is; a run with another name begins anew.
    pub run: String,
    /// The collection whose ids are in `pending`.
    pub collection: String,
    /// Whose lines are counted; absent where one worker deals with all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// How the run stands.
    pub state: State,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What became of the lines of this run.
    pub counts: Counts,
    /// The kinds of faults that this run met.
    pub errors: Tally,
    /// How far it is.
    pub checkpoint: Checkpoint,
    /// Bytes of the lines that are counted.
    #[serde(default)]
    pub bytes: u64,
    /// What is left to be read of the files that were listed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// What the collection was asked to write.
    #[serde(default)]
    pub traffic: Traffic,
    /// A window that is half done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// What the guard over deletes counted before the first write; absent where there is no guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarded: Option<Guarded>,
    /// The files of a feed that goes on from run to run; absent where each run reads all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<Followed>,
    /// The circuit breaker while it is open; absent = closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<OpenBreaker>,
    /// The first rejected lines, at most [`DEAD_LETTERS`].
    pub dead_letters: Vec<DeadLetter>,
    /// The last rejected lines, of a feed that goes on from run to run those of all runs.
    #[serde(default, skip_serializing_if = "Rejects::is_empty")]
    pub rejects: Rejects,
    /// What came of the last request to carry them out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Replayed>,
    /// The same while it is under way: how many lines are indexed again by now. Counted in the write that counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaying: Option<Replayed>,
    /// Since when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counting_since: Option<Timestamp>,
    /// When the run began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// When the run succeeded or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

impl Ledger {
    /// A run at its beginning.
    pub fn begin(run: &str, collection: &str, now: Timestamp) -> Self {
        Self {
            version: LEDGER_VERSION,
            run: run.to_owned(),
            collection: collection.to_owned(),
            partition: None,
            state: State::Running,
            reason: None,
            message: None,
            counts: Counts::default(),
            errors: Tally::default(),
            checkpoint: Checkpoint::default(),
            bytes: 0,
            left: None,
            traffic: Traffic::default(),
            pending: None,
            guarded: None,
            followed: None,
            breaker: None,
            dead_letters: Vec::new(),
            rejects: Rejects::default(),
            replayed: None,
            replaying: None,
            counting_since: Some(now),
            started_at: now,
            updated_at: now,
            finished_at: None,
        }
    }

    /// Adds a window, if it joins.
    pub fn apply(&mut self, delta: Delta) -> Result<(), Misjoined> {
        let Delta { from, to, counts, errors, dead_letters, bytes, left, finished, rejects, superseded, replayed } =
            delta;
        self.checkpoint.advance(&from, to)?;
        self.bytes += bytes;
        self.left = left.or(self.left);
        if let Some(followed) = &mut self.followed {
            followed.files.extend(finished);
        }
        let again = replayed.len() as u64;
        self.uncount(&replayed.into_iter().collect());
        self.counts.add(&counts);
        self.errors.add(&errors);
        // Those that were rejected again are what they were: of the present run, or of one before.
        if let Some(followed) = &mut self.followed {
            followed.rejected_before +=
                rejects.iter().filter(|reject| followed.was_before(reject.number)).count() as u64;
        }
        self.rejects.supersede(&superseded);
        self.rejects.add(rejects, if again > 0 { 0 } else { counts.rejected });
        self.dead_letters.extend(dead_letters);
        self.dead_letters.truncate(DEAD_LETTERS);
        Ok(())
    }

    /// Rejected lines are carried out again: what they come to now is counted in place of what they came to.
    fn uncount(&mut self, replayed: &BTreeSet<u64>) {
        for Reject { letter, number, .. } in self.rejects.take(replayed) {
            if let Some(followed) = self.followed.as_mut().filter(|followed| followed.was_before(number)) {
                followed.rejected_before = followed.rejected_before.saturating_sub(1);
            }
            self.counts.lines = self.counts.lines.saturating_sub(1);
            self.counts.rejected = self.counts.rejected.saturating_sub(1);
            self.errors.uncount(letter.category);
            self.dead_letters.retain(|other| (&other.file, other.offset) != (&letter.file, letter.offset));
        }
    }

    /// The same at its beginning, for another run: what was asked for once is not done once more.
    #[must_use]
    pub(crate) fn begin_after(run: &str, collection: &str, now: Timestamp, before: &Self) -> Self {
        Self { replayed: before.replayed.clone(), ..Self::begin(run, collection, now) }
    }

    /// Adds what was sent since the last write.
    pub(crate) fn add_traffic(&mut self, pace: &Pace) {
        let Sent { calls, objects, time, failed } = pace.take_sent();
        let traffic = &mut self.traffic;
        traffic.calls += calls;
        traffic.objects += objects;
        traffic.milliseconds += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        traffic.failed += failed;
        traffic.batch_objects = pace.objects() as u64;
        traffic.in_flight = pace.slots() as u64;
    }

    /// The run goes on.
    pub fn resume(&mut self) {
        self.state = State::Running;
        self.reason = None;
        self.message = None;
        self.finished_at = None;
    }

    /// The run waits for a person.
    pub fn wait(&mut self, now: Timestamp) {
        self.breaker = None;
        self.state = State::Waiting;
        self.finished_at = Some(now);
    }

    /// The run is done.
    pub fn succeed(&mut self, now: Timestamp) {
        self.breaker = None;
        self.state = State::Succeeded;
        self.finished_at = Some(now);
    }

    /// The run stops here.
    pub fn fail(&mut self, reason: FailureReason, message: String, now: Timestamp) {
        self.state = State::Failed;
        self.reason = Some(reason);
        self.message = Some(message);
        self.finished_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn what_is_owed_is_a_count_for_each_document_and_absent_where_it_is_one() {
        let one = Gone { id: Uuid::from_u128(1), chunks: 1 };
        let many = Gone { id: Uuid::from_u128(2), chunks: 4_000 };
        let text = serde_json::to_value(Pending::new(&[one, many], Delta::default())).unwrap();
        assert_eq!(text["deletes"], json!([one.id, many.id]));
        assert_eq!(text["chunks"], json!({many.id.to_string(): 4_000}));
        assert_eq!(from_value::<Pending>(text).unwrap().gone(), [one, many]);
        assert_eq!(serde_json::to_value(Pending::new(&[one], Delta::default())).unwrap().get("chunks"), None);
        // As the ledger was before feeds were cut.
        let before = json!({"deletes": [one.id], "delta": Delta::default()});
        assert_eq!(from_value::<Pending>(before).unwrap().gone(), [one]);
    }
}
