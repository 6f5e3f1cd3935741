//! What happened to a collection in a round, for its Events, its metrics and its audit: a happening is told once, a state
//! is told by conditions.
//!
//! Most of it follows from the steps that were really carried out. Only what nobody does, and what shows in two looks
//! alone (settings that differ, a rival that is gone), is found by comparing the status before with the one after.

mod looks;
mod migration;
mod steps;

use elysia_api::collection::{DriftEntry, ElysiaCollectionStatus, Verdict};
use elysia_api::condition::Reason;
use jiff::Timestamp;

pub use looks::{of_looks, of_verification, repaired};
pub use steps::{changed, of_steps};

use super::observed::Observed;
use super::plan::{PATIENCE, Plan};
use super::spec::CollectionSpec;
use crate::condition;

/// Things that one message names: the note of an Event has 1,023 bytes, and a person reads the first few.
const NAMED: usize = 5;

/// Longest text that is taken over from a server or a person into a message, in bytes.
const WORDS_BYTES: usize = 400;

/// Kinds of happenings. Their names are the `reason` of Events, on which alerts and people build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Happened {
    /// The collection was created.
    Created,
    /// Declared settings were written to the server.
    SettingsPutBack,
    /// The factor of the class was raised or lowered.
    FactorSet,
    /// Settings differ that did not differ before.
    DriftFound,
    /// Settings that differed do not differ any more.
    DriftGone,
    /// A plan is shown and waits for its approval.
    NeedsApproval,
    /// An approval was taken up into a journal, and serves no more.
    ApprovalConsumed,
    /// Copies of replicas were started.
    CopiesStarted,
    /// Copies of replicas have ended, and their records were deleted.
    CopiesEnded,
    /// Copies of replicas were cancelled or given up.
    CopiesFailed,
    /// Records of copies were dropped whose nodes are gone.
    CopyRecordsDropped,
    /// Tenants that were woken for their copies were put back to rest.
    TenantsRested,
    /// Replicas were taken away.
    ReplicasRemoved,
    /// A dead node was taken out of RAFT.
    MemberRemoved,
    /// An approved repair has reached its end.
    RepairEnded,
    /// An approved repair was stopped.
    RepairStopped,
    /// A recreation was begun.
    RecreationBegun,
    /// A recreation was stopped by what was seen.
    RecreationVoided,
    /// The collection was recreated.
    Recreated,
    /// A recreation that was stopped is over; the shards are writable.
    RecreationEnded,
    /// An approved plan was called off by a person.
    RolledBack,
    /// The server refused the new settings, and the old collection is there again.
    OldCollectionBack,
    /// Emptying was begun.
    ClearBegun,
    /// Emptying was stopped by what was seen.
    ClearVoided,
    /// The collection was emptied.
    Cleared,
    /// A request to empty the collection was refused.
    ClearRefused,
    /// Emptying that was stopped is over; the shards are writable.
    ClearEnded,
    /// The alias of a collection was made.
    AliasMade,
    /// A migration was begun: its journal is written.
    MigrationBegun,
    /// The old class is made read-only for the switch.
    WritesHeld,
    /// The alias leads to the new class.
    Migrated,
    /// A migration was stopped before the switch.
    MigrationStopped,
    /// The class was deleted at the servers.
    CollectionDeleted,
    /// A comparison of sampled objects found nothing wrong.
    Verified,
    /// A comparison of sampled objects found something wrong.
    ObjectsDiffer,
    /// No older resource claims the collection any more.
    ConflictWon,
    /// The collection is not changed although it differs: protected, with data, or forbidden by the spec.
    Refused,
    /// A journal whose object is gone was brought to its end.
    OrphanEnded,
    /// The CollectionRestore that the collection begins with was made.
    BootstrapBegun,
    /// The collection that began with a backup is there, restored.
    Bootstrapped,
    /// `restoreFrom` had nothing to do: the collection was there.
    BootstrapSkipped,
}

impl Happened {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 41] = [
        Self::Created,
        Self::SettingsPutBack,
        Self::FactorSet,
        Self::DriftFound,
        Self::DriftGone,
        Self::NeedsApproval,
        Self::ApprovalConsumed,
        Self::CopiesStarted,
        Self::CopiesEnded,
        Self::CopiesFailed,
        Self::CopyRecordsDropped,
        Self::TenantsRested,
        Self::ReplicasRemoved,
        Self::MemberRemoved,
        Self::RepairEnded,
        Self::RepairStopped,
        Self::RecreationBegun,
        Self::RecreationVoided,
        Self::Recreated,
        Self::RecreationEnded,
        Self::RolledBack,
        Self::OldCollectionBack,
        Self::ClearBegun,
        Self::ClearVoided,
        Self::Cleared,
        Self::ClearRefused,
        Self::ClearEnded,
        Self::AliasMade,
        Self::MigrationBegun,
        Self::WritesHeld,
        Self::Migrated,
        Self::MigrationStopped,
        Self::CollectionDeleted,
        Self::Verified,
        Self::ObjectsDiffer,
        Self::ConflictWon,
        Self::Refused,
        Self::OrphanEnded,
        Self::BootstrapBegun,
        Self::Bootstrapped,
        Self::BootstrapSkipped,
    ];

    /// The name as it stands in an Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::SettingsPutBack => "SettingsPutBack",
            Self::FactorSet => "FactorSet",
            Self::DriftFound => "DriftFound",
            Self::DriftGone => "DriftGone",
            Self::NeedsApproval => "NeedsApproval",
            Self::ApprovalConsumed => "ApprovalConsumed",
            Self::CopiesStarted => "CopiesStarted",
            Self::CopiesEnded => "CopiesEnded",
            Self::CopiesFailed => "CopiesFailed",
            Self::CopyRecordsDropped => "CopyRecordsDropped",
            Self::TenantsRested => "TenantsRested",
            Self::ReplicasRemoved => "ReplicasRemoved",
            Self::MemberRemoved => "MemberRemoved",
            Self::RepairEnded => "RepairEnded",
            Self::RepairStopped => "RepairStopped",
            Self::RecreationBegun => "RecreationBegun",
            Self::RecreationVoided => "RecreationVoided",
            Self::Recreated => "Recreated",
            Self::RecreationEnded => "RecreationEnded",
            Self::RolledBack => "RolledBack",
            Self::OldCollectionBack => "OldCollectionBack",
            Self::ClearBegun => "ClearBegun",
            Self::ClearVoided => "ClearVoided",
            Self::Cleared => "Cleared",
            Self::ClearRefused => "ClearRefused",
            Self::ClearEnded => "ClearEnded",
            Self::AliasMade => "AliasMade",
            Self::MigrationBegun => "MigrationBegun",
            Self::WritesHeld => "WritesHeld",
            Self::Migrated => "Migrated",
            Self::MigrationStopped => "MigrationStopped",
            Self::CollectionDeleted => "CollectionDeleted",
            Self::Verified => "Verified",
            Self::ObjectsDiffer => "ObjectsDiffer",
            Self::ConflictWon => "ConflictWon",
            Self::Refused => "Refused",
            Self::OrphanEnded => "OrphanEnded",
            Self::BootstrapBegun => "BootstrapBegun",
            Self::Bootstrapped => "Bootstrapped",
            Self::BootstrapSkipped => "BootstrapSkipped",
        }
    }

    /// Whether a person should look.
    pub fn warns(self) -> bool {
        matches!(
            self,
            Self::DriftFound
                | Self::NeedsApproval
                | Self::CopiesFailed
                | Self::CopyRecordsDropped
                | Self::RepairStopped
                | Self::RecreationVoided
                | Self::OldCollectionBack
                | Self::ClearVoided
                | Self::ClearRefused
                | Self::MigrationStopped
                | Self::ObjectsDiffer
                | Self::Refused
        )
    }

    /// What was being done, in one word: the `action` of an Event.
    pub fn action(self) -> &'static str {
        match self {
            Self::Created | Self::SettingsPutBack | Self::DriftFound | Self::DriftGone | Self::Refused => "Schema",
            Self::FactorSet
            | Self::CopiesStarted
            | Self::CopiesEnded
            | Self::CopiesFailed
            | Self::CopyRecordsDropped
            | Self::TenantsRested
            | Self::ReplicasRemoved
            | Self::MemberRemoved
            | Self::RepairEnded
            | Self::RepairStopped => "Repair",
            Self::NeedsApproval | Self::ApprovalConsumed => "Approve",
            Self::RecreationBegun
            | Self::RecreationVoided
            | Self::Recreated
            | Self::RecreationEnded
            | Self::RolledBack
            | Self::OldCollectionBack
            | Self::OrphanEnded => "Recreate",
            Self::ClearBegun | Self::ClearVoided | Self::Cleared | Self::ClearRefused | Self::ClearEnded => "Clear",
            Self::AliasMade | Self::MigrationBegun | Self::WritesHeld | Self::Migrated | Self::MigrationStopped => {
                "Migrate"
            }
            Self::CollectionDeleted => "Delete",
            Self::Verified | Self::ObjectsDiffer => "Verify",
            Self::ConflictWon => "Claim",
            Self::BootstrapBegun | Self::Bootstrapped | Self::BootstrapSkipped => "Restore",
        }
    }

    /// The reasons of Ready that say the same: while this is told, a transition to them is not.
    fn covers(self) -> &'static [Reason] {
        match self {
            Self::Created => &[Reason::Creating],
            Self::BootstrapBegun => &[Reason::Restoring],
            Self::SettingsPutBack | Self::DriftFound => &[Reason::SchemaDrift],
            Self::NeedsApproval => &[Reason::NeedsApproval],
            Self::ApprovalConsumed => &[Reason::Removing, Reason::NodeGone, Reason::Rebuilding],
            Self::CopiesStarted => &[Reason::Copying],
            Self::RecreationBegun => &[Reason::Recreating],
            Self::ClearBegun => &[Reason::Clearing],
            Self::ClearRefused => &[Reason::ClearRefused],
            Self::MigrationBegun | Self::WritesHeld => &[Reason::Migrating],
            _ => &[],
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happening {
    /// What.
    pub what: Happened,
    /// To how many things.
    pub count: u64,
    /// For people; bounded.
    pub message: String,
}

impl Happening {
    /// One happening.
    pub fn new(what: Happened, message: impl Into<String>) -> Self {
        Self { what, count: 1, message: message.into() }
    }

    fn many(what: Happened, things: &[String], message: impl FnOnce(&str) -> String) -> Option<Self> {
        (!things.is_empty()).then(|| Self { what, count: number(things.len()), message: message(&named(things)) })
    }
}

/// Whether a transition of Ready to this reason is already told by one of these.
pub fn says(happenings: &[Happening], reason: &str) -> bool {
    happenings.iter().any(|happening| {
        happening.what.as_str() == reason || happening.what.covers().iter().any(|covered| covered.as_str() == reason)
    })
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The first few of these and how many more there are.
fn named(things: &[String]) -> String {
    let first = things.iter().take(NAMED).map(|thing| words(thing)).collect::<Vec<_>>().join(", ");
    match things.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn words(text: &str) -> String {
    condition::clipped_to_bytes(text, WORDS_BYTES)
}

fn plural(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// One round: what it began with, and what it was to do.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// The spec.
    pub spec: &'a CollectionSpec,
    /// What was seen.
    pub observed: &'a Observed,
    /// What was to be done.
    pub plan: &'a Plan,
    /// The status before it.
    pub before: &'a ElysiaCollectionStatus,
    /// The time.
    pub now: Timestamp,
}

impl Round<'_> {
    /// Whether the server takes these settings and keeps its own all the same: they are put again at every interval,
    /// and that is no news.
    fn is_resisted(&self, paths: &[String]) -> bool {
        let old = |entry: &DriftEntry| self.now.duration_since(entry.since.0) >= PATIENCE;
        let covers =
            |entry: &DriftEntry, path: &str| path == entry.path || path.starts_with(&format!("{}.", entry.path));
        let drift = &self.before.drift;
        let mut old = drift.iter().filter(|entry| entry.verdict == Verdict::Revert && old(entry)).peekable();
        old.peek().is_some() && paths.iter().all(|path| old.clone().any(|entry| covers(entry, path)))
    }
}

#[cfg(test)]
#[path = "happening_tests.rs"]
mod tests;
