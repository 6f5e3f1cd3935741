//! What a run says of itself, for this program and for others that read the files.
//!
//! ```text
//! manifest.json ─▶ index/COLLECTION.json ─▶ data/…/part-…     each names the next with its size and its SHA-256
//! ```
//!
//! The manifest is small and is written last; it has totals, the indexes have the parts. Fields are only ever added
//! within a version; a reader refuses a higher one.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::columns::Columns;
use super::digest::Contents;
use crate::checkpoint::Digest;

/// The version that is written, and the highest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// What `format` says in every file, so that a stray JSON file is not taken for one of ours.
pub const FORMAT: &str = "elysia-backup";

/// The largest manifest, index or marker that is read: an index of 100,000 parts has 40 MiB.
pub const DOCUMENT_BYTES: u64 = 64 << 20;

/// Who may write below a prefix.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The cluster that is backed up.
    pub cluster: String,
    /// The policy that backs it up; of a run that a person made, what they called it.
    pub policy: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {}", self.policy, self.cluster)
    }
}

/// `owner.json`: whose prefix it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Whose.
    pub owner: Owner,
    /// Since when.
    pub since: Timestamp,
}

/// `begun.json`: a run that has this and no manifest was cut off, or is under way.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Whose.
    pub owner: Owner,
    /// Since when.
    pub at: Timestamp,
}

/// How parts are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DataFormat {
    /// Apache Parquet, compressed with zstd.
    Parquet,
    /// JSON Lines, compressed with zstd.
    JsonlZstd,
    /// JSON Lines, compressed with gzip.
    JsonlGzip,
}

impl DataFormat {
    /// What part names end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::JsonlZstd => "jsonl.zst",
            Self::JsonlGzip => "jsonl.gz",
        }
    }
}

/// Another file of the run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileNote {
    /// Its key, below the run.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// `manifest.json`: the run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// The run's id, which is its folder's name.
    pub run: String,
    /// Who made it.
    pub owner: Owner,
    /// When reading began.
    pub started_at: Timestamp,
    /// When the last part was written.
    pub finished_at: Timestamp,
    /// Where the objects were read.
    pub source: SourceNote,
    /// Which program wrote it.
    pub tool: String,
    /// How parts are written.
    pub data: DataFormat,
    /// The collections, by name.
    pub collections: Vec<CollectionNote>,
}

impl Manifest {
    /// Objects of all collections.
    pub fn objects(&self) -> u64 {
        self.collections.iter().map(|collection| collection.contents.objects).sum()
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.collections.iter().map(|collection| collection.bytes).sum()
    }

    /// The note of a collection.
    pub fn collection(&self, name: &str) -> Option<&CollectionNote> {
        self.collections.iter().find(|collection| collection.name == name)
    }
}

/// Where objects were read.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceNote {
    /// The servers' version.
    pub weaviate: String,
    /// Nodes that were read at their own addresses; 0: only the common one was known.
    pub nodes: usize,
}

/// What the manifest says of a collection.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectionNote {
    /// Its name in Weaviate.
    pub name: String,
    /// What was read.
    #[serde(flatten)]
    pub contents: Contents,
    /// Parts.
    pub parts: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Tenants; absent where the collection has no tenancy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<usize>,
    /// Tenants that were left out, as was asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// What the replicas said of one another.
    pub replicas: ReplicasNote,
    /// Everything else.
    pub index: FileNote,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What the replicas of a collection said of one another while it was read.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicasNote {
    /// Whether every replica was listed.
    pub compared: bool,
    /// Objects of which replicas said different things, also when asked a second time.
    pub differing: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<Difference>,
}

/// How many differences a manifest names.
pub const DIFFERENCES: usize = 20;

impl ReplicasNote {
    /// With what another part of the collection showed.
    pub fn join(&mut self, other: Self) {
        self.compared &= other.compared;
        self.differing += other.differing;
        self.first.extend(other.first);
        self.first.sort();
        self.first.truncate(DIFFERENCES);
    }
}

/// An object of which replicas say different things.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The object.
    pub id: Uuid,
    /// Nodes that hold what was written into the backup.
    pub held: Vec<String>,
    /// Nodes that lack the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// Nodes that hold something else under its id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<String>,
}

/// `index/COLLECTION.json`: one collection of the run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Its name in Weaviate.
    pub collection: String,
    /// The class as Weaviate answered it.
    pub schema: Value,
    /// Aliases that led to it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Columns of its Parquet parts.
    pub columns: Columns,
    /// Its tenants; absent where it has no tenancy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<TenantNote>>,
    /// Its parts.
    pub parts: Vec<Part>,
}

/// One tenant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantNote {
    /// Its name.
    pub name: String,
    /// `HOT`, `COLD` or `FROZEN`, as it was before it was read.
    pub activity: String,
    /// What was read; absent: it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// One file of objects: of one collection and one tenant, ascending by id.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The file.
    #[serde(flatten)]
    pub file: FileNote,
    /// What is in it.
    #[serde(flatten)]
    pub contents: Contents,
    /// The lowest id.
    pub first: Uuid,
    /// The highest.
    pub last: Uuid,
}

/// `verified.json`: the run was read back as a whole.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// SHA-256 of the manifest that was verified.
    pub manifest: Digest,
}

/// The tenants that parts speak of.
pub fn tenants_of(parts: &[Part]) -> BTreeSet<&str> {
    parts.iter().filter_map(|part| part.tenant.as_deref()).collect()
}
