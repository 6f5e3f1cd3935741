//! What the worker of a backup says of its runs, in a ConfigMap beside the policy. The operator does not read the store,
//! which may be a volume; this is what it knows of it. Any later run writes it anew from the store: losing it costs time.

use std::collections::BTreeMap;

use elysia_api::backup::DrillState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pace::Pace;
use crate::profile::WorkProfile;

/// Runs that the ledger tells of, the newest.
pub const TOLD_RUNS: usize = 10;

/// Reasons that are told of one Suspect run: where there are so many, the next one tells nothing new.
pub const TOLD_REASONS: usize = 5;

/// Collections that are told to be left out of one run.
pub const TOLD_LEFT_OUT: usize = 20;

/// Collections that are told of a drill, the worst first.
pub const TOLD_COLLECTIONS: usize = 20;

/// Scratch collections that the ledger names: one is made at a time, and more than one is left over only where their
/// clusters could not be asked for that long.
pub const MOST_SCRATCH: usize = 20;

/// The ledger of a policy.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupLedger {
    /// The work under way, or the last that was begun.
    pub attempt: Option<Attempt>,
    /// The last runs of the store, the newest first; at most [`TOLD_RUNS`].
    pub runs: Vec<RunNote>,
    /// All runs of the store.
    pub totals: Totals,
    /// When the newest good run was finished.
    pub last_success: Option<Timestamp>,
    /// When a run was verified last.
    pub last_verified: Option<Timestamp>,
    /// The last drill that came to a verdict.
    pub last_drill: Option<DrillNote>,
    /// A drill since then that could not be done.
    pub undone_drill: Option<UndoneDrill>,
    /// Collections that a drill has made or is about to make: named here before each is made, and taken off once it is
    /// gone. At most [`MOST_SCRATCH`].
    pub scratch: Vec<ScratchNote>,
}

/// A drill that came to a verdict.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillNote {
    /// What asked for it; of one that a person made, a word of its own.
    pub order: String,
    /// The run that was restored.
    pub run: String,
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub state: DrillState,
    /// Objects that were found.
    pub objects: i64,
    /// Of a hundred nearest objects, those that the searches found, in the collection with the fewest.
    #[serde(default)]
    pub overlap: Option<i32>,
    /// The largest distance of any collection's; see [`DrilledCollection::distance`].
    #[serde(default)]
    pub distance: Option<String>,
    /// Collections, the worst first; at most [`TOLD_COLLECTIONS`].
    #[serde(default)]
    pub collections: Vec<DrilledCollection>,
    /// All of them.
    #[serde(default)]
    pub total_collections: i64,
    /// What is wrong.
    #[serde(default)]
    pub message: Option<String>,
}

impl DrillNote {
    /// Whether the run is not what was backed up, or cannot be restored.
    pub fn has_failed(&self) -> bool {
        self.state == DrillState::Failed
    }

    /// Whether everything was restored and is what was backed up.
    pub fn has_passed(&self) -> bool {
        self.state == DrillState::Passed
    }
}

/// One collection of a drill.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrilledCollection {
    /// Its name.
    pub name: String,
    /// Objects that it should have.
    pub wanted: i64,
    /// Those that were found.
    pub found: i64,
    /// Tenants that hold something else than they should, or the collection itself.
    pub unequal: i64,
    /// Objects of the sample that are missing or different.
    pub differing: i64,
    /// Of a hundred nearest objects, those that the searches found.
    #[serde(default)]
    pub overlap: Option<i32>,
    /// The largest distance of a vector of the sample from the one that was backed up, of 1 - cosine, with six decimals;
    /// `2.000000` where it is no vector of the same shape. Absent where nothing was sampled.
    #[serde(default)]
    pub distance: Option<String>,
    /// What is wrong; absent: nothing.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A drill that could not be done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UndoneDrill {
    /// What asked for it.
    pub order: String,
    /// The run that was to be restored, if it came so far.
    #[serde(default)]
    pub run: Option<String>,
    /// When it ended.
    pub at: Timestamp,
    /// Why.
    pub message: String,
}

/// A scratch collection.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScratchNote {
    /// Its name.
    pub name: String,
    /// What asked for it: it is part of its mark.
    pub order: String,
    /// The cluster that it is in, with its uid.
    pub cluster: String,
}

/// Work that a Job was made for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// What asked for it: [`super::Intent::order`].
    pub order: String,
    /// The run's id in the store; absent before there is one.
    #[serde(default)]
    pub run: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// Objects that were read.
    #[serde(default)]
    pub objects: i64,
    /// Bytes of parts that were written.
    #[serde(default)]
    pub bytes: i64,
    /// How fast it goes.
    #[serde(default)]
    pub pace: Option<Pace>,
    /// When the worker began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// Why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether another attempt would fail alike until a person changes something.
    #[serde(default)]
    pub is_permanent: bool,
    /// Whether the place belongs to another policy or cluster.
    #[serde(default)]
    pub is_strangers: bool,
    /// Whether there was no room for the run, so that nothing was written.
    #[serde(default)]
    pub lacks_room: bool,
    /// Runs that this work retired.
    #[serde(default)]
    pub retired: Vec<String>,
    /// What kept it from retiring, or from verifying; the run is there all the same.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What writing the run took; absent where this work wrote none itself.
    #[serde(default)]
    pub profile: Option<WorkProfile>,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stage {
    /// Objects are read and parts written.
    Writing,
    /// The run is read back.
    Verifying,
    /// Runs are retired.
    Retiring,
    /// A run is restored into scratch collections and compared.
    Drilling,
    /// It is done.
    Done,
    /// It ended before its manifest.
    Failed,
}

impl Stage {
    /// For people, behind the name of the Job.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writing => "writes",
            Self::Verifying => "reads the run back",
            Self::Retiring => "retires old runs",
            Self::Drilling => "drills",
            Self::Done => "is done",
            Self::Failed => "has failed",
        }
    }
}

/// A run of the store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunNote {
    /// Its id.
    pub id: String,
    /// Objects of all collections.
    pub objects: i64,
    /// Bytes of all parts.
    pub bytes: i64,
    /// When reading began.
    pub started_at: Timestamp,
    /// When the last part was written.
    pub finished_at: Timestamp,
    /// When it was read back and nothing was wrong with it.
    #[serde(default)]
    pub verified_at: Option<Timestamp>,
    /// Why it is Suspect; none of these: it is not. At most [`TOLD_REASONS`].
    #[serde(default)]
    pub suspect: Vec<String>,
    /// Whether it did not survive its verification: nobody can approve that.
    #[serde(default)]
    pub is_damaged: bool,
    /// Collections that it leaves out, and why: at most [`TOLD_LEFT_OUT`].
    #[serde(default)]
    pub left_out: BTreeMap<String, String>,
    /// All of them.
    #[serde(default)]
    pub total_left_out: i64,
}

impl RunNote {
    /// Collections that it leaves out.
    pub fn count_left_out(&self) -> i64 {
        // A ledger of before says no total.
        self.total_left_out.max(i64::try_from(self.left_out.len()).unwrap_or(i64::MAX))
    }

    /// What it leaves out, in a few words; `None`: nothing.
    pub fn words_left_out(&self) -> Option<String> {
        let (name, why) = self.left_out.first_key_value()?;
        let more = match self.count_left_out() - 1 {
            0 => String::new(),
            more => format!("; {more} more are left out as well"),
        };
        Some(format!("{name} is left out: {why}{more}"))
    }

    /// Whether retention stops at it.
    pub fn is_suspect(&self) -> bool {
        self.is_damaged || !self.suspect.is_empty()
    }
}

/// All runs of the store.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Their number.
    pub runs: i64,
    /// Their bytes.
    pub bytes: i64,
    /// Those that were verified.
    pub verified: i64,
    /// Those that are Suspect.
    pub suspect: i64,
}
