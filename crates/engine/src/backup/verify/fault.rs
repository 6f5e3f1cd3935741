//! What can be wrong with a run.

use serde::Serialize;
use uuid::Uuid;

use crate::checkpoint::Digest;

/// What is wrong. Each fault has its own word.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "camelCase")]
pub enum Fault {
    /// No run of that id.
    #[error("run {run} has no manifest: it was cut off, or never begun")]
    NoManifest {
        /// Which.
        run: String,
    },
    /// The manifest, or an index, is not to be read.
    #[error("{reason}")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// The manifest is of another run.
    #[error("the manifest in the folder of {run} is that of run {says}")]
    WrongManifest {
        /// Whose folder it is.
        run: String,
        /// What it says.
        says: String,
    },
    /// It is encrypted, and no key was given.
    #[error("run {run} is encrypted with key {wanted}: give that key")]
    NoKey {
        /// Which run.
        run: String,
        /// The fingerprint of its key.
        wanted: String,
    },
    /// It is encrypted with another key than was given.
    #[error("run {run} is encrypted with key {wanted}, and the key that was given is {given}")]
    WrongKey {
        /// Which run.
        run: String,
        /// The fingerprint of its key.
        wanted: String,
        /// That of the key that was given.
        given: String,
    },
    /// A file that has its hash and was not sealed under its name with this key.
    #[error("{key} is not what was encrypted under this name: it was exchanged, or made without the key")]
    Forged {
        /// Which.
        key: String,
    },
    /// A backup that the servers wrote themselves.
    #[error(
        "run {run} is Weaviate's own backup, of nodes {}: files of the servers and no objects. It goes back by a CollectionRestore, under the collection's own name, into a cluster that has nodes of these names",
        .nodes.join(", ")
    )]
    Native {
        /// Which.
        run: String,
        /// The nodes that wrote it.
        nodes: Vec<String>,
    },
    /// A run that it builds on is not there.
    #[error("run {run} builds on run {base}, which has no manifest any more")]
    BaseMissing {
        /// Which run.
        run: String,
        /// What it builds on.
        base: String,
    },
    /// A run that it builds on is not what it was.
    #[error("run {run} builds on run {base}, whose manifest is not the one that it was built on")]
    BaseChanged {
        /// Which run.
        run: String,
        /// What it builds on.
        base: String,
    },
    /// The roll names objects that no part of the run or its bases holds.
    #[error("collection {collection}: of {wanted} objects on the roll the parts hold {found} as they should be")]
    Roll {
        /// Which.
        collection: String,
        /// As many as the roll names.
        wanted: u64,
        /// As many as were found.
        found: u64,
    },
    /// A list of what is gone that does not have as many ids as the index says, or is none.
    #[error("{key} is no list of {wanted} ids")]
    GoneList {
        /// Which.
        key: String,
        /// As the index says.
        wanted: u64,
    },
    /// A file is not there.
    #[error("{key} is missing")]
    Missing {
        /// Which.
        key: String,
    },
    /// A file is too short or too long.
    #[error("{key} has {found} bytes, not {wanted}: it is cut off, or was written over")]
    Size {
        /// Which.
        key: String,
        /// As the manifest or the index says.
        wanted: u64,
        /// As it is.
        found: u64,
    },
    /// A file of the right size with other bytes.
    #[error("{key} has other bytes than were written: {found} instead of {wanted}")]
    Changed {
        /// Which.
        key: String,
        /// Its hash, as the manifest or the index says.
        wanted: Digest,
        /// As it is.
        found: Digest,
    },
    /// A part that has its hash and cannot be read.
    #[error("{key} cannot be read: {reason}")]
    Undecodable {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// A part with more or fewer objects than the index says.
    #[error("{key} has {found} objects, not {wanted}")]
    Count {
        /// Which.
        key: String,
        /// As the index says.
        wanted: u64,
        /// As it is.
        found: u64,
    },
    /// A part with as many objects, which are others.
    #[error("{key} holds other objects, properties or vectors than were read")]
    Objects {
        /// Which.
        key: String,
    },
    /// A part whose ids are not ascending, or not within its bounds.
    #[error("{key}: object {id} is out of order")]
    Order {
        /// Which.
        key: String,
        /// The first such object.
        id: Uuid,
    },
    /// A tenant whose parts are not listed, or hold something else than the tenant had.
    #[error("collection {collection}: the parts of tenant {tenant} hold {found} objects, not {wanted}")]
    Tenant {
        /// Of which collection.
        collection: String,
        /// Which.
        tenant: String,
        /// As the index says of the tenant.
        wanted: u64,
        /// As its parts say.
        found: u64,
    },
    /// A part of a tenant that the index does not know.
    #[error("collection {collection}: {key} belongs to tenant {tenant}, which is not listed")]
    UnknownTenant {
        /// Of which collection.
        collection: String,
        /// Which.
        tenant: String,
        /// The part.
        key: String,
    },
    /// An index whose parts are not what the manifest says of the collection.
    #[error("collection {collection}: the index lists {found}, the manifest says {wanted}")]
    Totals {
        /// Which.
        collection: String,
        /// As the manifest says.
        wanted: String,
        /// As the index adds up to.
        found: String,
    },
}

impl Fault {
    /// Whether the key is what is wrong: of the run itself it says nothing.
    pub fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey { .. } | Self::WrongKey { .. })
    }
}
