//! Why there is no run.

use uuid::Uuid;

use crate::backup::columns::Unwritable;
use crate::backup::filter::FilterError;
use crate::backup::level::NoLevel;
use crate::backup::manifest::Owner;
use crate::backup::part::EncodeError;
use crate::backup::seal::SealError;
use crate::backup::stored::StoredError;
use crate::backup::write::Cold;
use crate::ports::PortError;

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The prefix is somebody else's.
    #[error("the prefix belongs to {owner}, not to {asked}: use another prefix, or say whose it is")]
    NotOwner {
        /// Whose it is.
        owner: Box<Owner>,
        /// Who asked.
        asked: Box<Owner>,
    },
    /// There is a run of that id, or the beginning of one.
    #[error("run {0} was begun before")]
    RunExists(String),
    /// The beginning of the run was removed, or is another's by now.
    #[error("the beginning of run {0} was removed while it was written; there is no run")]
    Removed(String),
    /// What the run builds on is not what it was any more.
    #[error("run {0}, on which this one builds, was removed while it was written; there is no run")]
    BaseRemoved(String),
    /// A name that no class has.
    #[error("there is no collection {0}")]
    NoCollection(String),
    /// A collection that cannot be written.
    #[error("collection {collection}: {why}")]
    Unwritable {
        /// Which.
        collection: String,
        /// Why.
        why: Unwritable,
    },
    /// Tenants whose objects cannot be read as they are.
    #[error(
        "collection {collection}: {count} tenants are not active ({}): wake them, have them woken for the run, or leave \
         them out", .first.join(", ")
    )]
    Asleep {
        /// Of which collection.
        collection: String,
        /// How many.
        count: usize,
        /// The first of them.
        first: Vec<String>,
    },
    /// Its index would be one that nobody reads.
    #[error(
        "collection {collection} has too many parts and tenants for one run, of whose index readers would say: {reason}; back up a part of it, by a \
         filter, or move tenants into another collection"
    )]
    TooMuch {
        /// Which.
        collection: String,
        /// What is too much.
        reason: String,
    },
    /// The class is not what it was when reading began.
    #[error("collection {0} was changed while it was read: its parts do not fit together; begin another run")]
    Changed(String),
    /// Restores wrote into every collection.
    #[error("nothing is left to back up; collection {collection}: {why}")]
    Restored {
        /// The first of them.
        collection: String,
        /// Which restore.
        why: String,
    },
    /// The source broke its promise.
    #[error("collection {collection}: object {id} does not come after the one before it")]
    Disorder {
        /// Of which collection.
        collection: String,
        /// The object.
        id: Uuid,
    },
    /// A filter that does not fit a collection.
    #[error("collection {collection}: the filter does not fit: {source}")]
    Filter {
        /// Which.
        collection: String,
        /// What is wrong.
        source: FilterError,
    },
    /// A level that the format does not have.
    #[error(transparent)]
    Level(#[from] NoLevel),
    /// The run to build on cannot be built on.
    #[error("cannot build on run {run}: {reason}; write a run that builds on none")]
    Base {
        /// Which.
        run: String,
        /// Why.
        reason: String,
    },
    /// A file cannot be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// An object that cannot be written.
    #[error("collection {collection}: an object cannot be written")]
    Encode {
        /// Of which collection.
        collection: String,
        /// Why.
        source: EncodeError,
    },
    /// A file of the store is not what it should be.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It was asked to stop.
    #[error("stopped as asked; there is no run")]
    Stopped,
}

impl WriteError {
    /// Why a collection can be in no run as it is, whenever that begins; `None` where the class is not what is wrong.
    pub(super) fn of_its_class(&self, cold: Cold) -> Option<String> {
        match self {
            Self::Unwritable { why, .. } => Some(why.to_string()),
            // Who has resting tenants refused wants to hear of them. Who has them woken cannot have offloaded ones woken.
            Self::Asleep { count, first, .. } if cold == Cold::Wake => Some(format!(
                "{count} tenants are offloaded ({}), and nobody wakes those for a run: load them again, or have tenants \
                 that are at rest left out",
                first.join(", ")
            )),
            _ => None,
        }
    }
}
