//! What a run says of itself, for this program and for others that read the files.
//!
//! ```text
//! manifest.json ─▶ index/COLLECTION.json ─▶ data/…/part-…     each names the next with its size and its SHA-256
//! ```
//!
//! The manifest is small and is written last; it has totals, the indexes have the parts. Fields are only ever added
//! within a version; a reader refuses a higher one.

mod index;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use index::{ByTenant, VectorNotes, by_tenant};
pub use index::{DIMENSIONS, Dimensions, GonePart, Index, Part, TenantNote, note_dimensions, tenants_of};

use super::digest::Contents;
use crate::checkpoint::Digest;

/// The version that is written.
pub const FORMAT_VERSION: u32 = 1;

/// The version of an index whose collection has references: readers of before would take their column for something else.
pub const REFERENCES_VERSION: u32 = 2;

/// The highest version that is read.
pub const HIGHEST_VERSION: u32 = REFERENCES_VERSION;

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
    /// The runs that it will build on: they are needed while it is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<String>,
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
    /// JSON Lines, compressed with lz4: the fastest, and nearly twice the size.
    JsonlLz4,
    /// No parts: the servers wrote files of their own, which [`Manifest::native`] names.
    Native,
}

impl DataFormat {
    /// What part names end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::JsonlZstd => "jsonl.zst",
            Self::JsonlGzip => "jsonl.gz",
            Self::JsonlLz4 => "jsonl.lz4",
            Self::Native => "native",
        }
    }
}

/// What a run holds of its collections.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum RunMode {
    /// Classes, tenants and objects.
    #[default]
    Full,
    /// Classes, and the names of tenants and aliases: no objects.
    SchemaOnly,
}

impl RunMode {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

/// A run that this one builds on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BaseNote {
    /// Its id.
    pub run: String,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
}

/// Runs that one run builds on, at most: a restore reads them all, and each that is damaged damages those behind it.
pub const MOST_BASES: usize = 30;

/// Which objects were meant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FilterNote {
    /// SHA-256 of its canonical text, so that two runs can be compared; of an encrypted run with its key's mark before it.
    pub digest: Digest,
    /// Its canonical text; absent from an encrypted run, whose indexes have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How files are encrypted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EncryptionNote {
    /// `AES-256-GCM`.
    pub algorithm: String,
    /// The key's fingerprint, which says nothing of the key.
    pub key: String,
}

/// A backup that the servers wrote themselves, below the run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NativeNote {
    /// What Weaviate calls it.
    pub id: String,
    /// The nodes that wrote it: it goes back to nodes of these names alone.
    pub nodes: Vec<String>,
    /// Whether the list of files has their hashes; else only their sizes.
    pub hashed: bool,
    /// Collections of which no exact number of objects was to be had: numbers of them are not compared with other runs'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimated: Vec<String>,
    /// The list of its files.
    pub files: FileNote,
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
    /// What it holds of its collections.
    #[serde(default, skip_serializing_if = "RunMode::is_full")]
    pub mode: RunMode,
    /// Which objects were meant; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<FilterNote>,
    /// The runs that this one builds on, the nearest first; none: it stands for itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base: Vec<BaseNote>,
    /// How parts and indexes are encrypted; absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<EncryptionNote>,
    /// The servers' own backup, of which nothing but its files is known; absent: the run's files are those of this format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<NativeNote>,
    /// Collections that a run of all lacks, since they cannot be written as they are, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacks: BTreeMap<String, String>,
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

    /// Whether its numbers can be compared with another run's: both were to hold the same. Where not, fewer objects say
    /// nothing.
    pub fn is_like(&self, other: &Self) -> bool {
        self.choice() == other.choice()
    }

    /// What it was to hold, as a text that is the same for the same; empty: all of its collections.
    pub fn choice(&self) -> String {
        match (self.mode, &self.filter) {
            (RunMode::SchemaOnly, _) => "schema only".to_owned(),
            (RunMode::Full, Some(filter)) => format!("filter {}", filter.digest),
            (RunMode::Full, None) => String::new(),
        }
    }

    /// Whether the number of a collection's objects can be compared with another run's.
    pub fn is_counted(&self, name: &str) -> bool {
        self.native.as_ref().is_none_or(|native| native.estimated.iter().all(|other| other != name))
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
    /// What it stands for: what was read and meant, whichever run's parts hold it.
    #[serde(flatten)]
    pub contents: Contents,
    /// What its own parts hold; absent where that is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Contents>,
    /// Objects that the base has and that are no longer there.
    #[serde(default, skip_serializing_if = "is_none")]
    pub gone: u64,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_none(number: &u64) -> bool {
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
