//! What the worker of a restore says, in a ConfigMap beside the object. It has no owner: what was done once is known
//! also to an object that is made again under the name.

use elysia_api::restore::{PassedOverRuns, RestoredAliases};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pace::Pace;
use crate::profile::WorkProfile;

/// The ledger of a restore.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreLedger {
    /// Id of the receipt: a ledger of another restore under the same name says nothing of this one.
    pub receipt: String,
    /// What the worker was asked under.
    pub order: String,
    /// The value of `elysia.dev/run-now` that it was asked under.
    #[serde(default)]
    pub run_now: Option<String>,
    /// The run that is restored, once it is known.
    #[serde(default)]
    pub run: Option<String>,
    /// Newer runs that were passed over for it.
    #[serde(default)]
    pub passed_over: Option<PassedOverRuns>,
    /// How far it is.
    pub stage: Stage,
    /// Objects that the run has of the collection.
    #[serde(default)]
    pub total: i64,
    /// Objects that were dealt with.
    #[serde(default)]
    pub done: i64,
    /// Written as the backup has them.
    #[serde(default)]
    pub written: i64,
    /// Left as they were.
    #[serde(default)]
    pub skipped: i64,
    /// To be written over, and equal to what was there.
    #[serde(default)]
    pub unchanged: i64,
    /// Written over what was there.
    #[serde(default)]
    pub merged: i64,
    /// Not selected.
    #[serde(default)]
    pub unselected: i64,
    /// Not written, since a value could not be converted.
    #[serde(default)]
    pub unconverted: i64,
    /// Properties that were left out because they could not be converted.
    #[serde(default)]
    pub dropped: i64,
    /// Aliases of the backup, and how they stand; absent where there are none, or it is not known yet.
    #[serde(default)]
    pub aliases: Option<RestoredAliases>,
    /// How fast it goes.
    #[serde(default)]
    pub pace: Option<Pace>,
    /// Whether it may have written.
    #[serde(default)]
    pub has_begun: bool,
    /// When the worker began.
    pub started_at: Timestamp,
    /// When this was written.
    pub updated_at: Timestamp,
    /// When it was done.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether another attempt would fail alike until a person changes something.
    #[serde(default)]
    pub is_permanent: bool,
    /// What would be written over.
    #[serde(default)]
    pub guarded: Option<Guarded>,
    /// The hash that a person approved and that was used up.
    #[serde(default)]
    pub approved: Option<String>,
    /// What the work took since the worker began; absent where the servers restore by themselves, or nothing was done.
    #[serde(default)]
    pub profile: Option<WorkProfile>,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stage {
    /// Everything is looked at before the first write.
    Looking,
    /// It would write over objects, and waits for a person.
    Waiting,
    /// It writes.
    Writing,
    /// It is done.
    Done,
    /// It was done before, and its collection is gone.
    Gone,
    /// It ended before the last object.
    Failed,
}

/// What would be written over.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Guarded {
    /// The run.
    pub run: String,
    /// The tenant that has objects; absent where there are none.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The pattern that protects the collection.
    #[serde(default)]
    pub protection: Option<String>,
    /// When it was found first.
    pub since: Timestamp,
}
