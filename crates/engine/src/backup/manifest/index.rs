//! What the index of one collection says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{FileNote, ReplicasNote};
use crate::backup::columns::Columns;
use crate::backup::digest::Contents;
use crate::object::{Vector, Vectors};

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
    /// The roll of a run that builds on others: each object that it stands for, and whose parts hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roll: Vec<Part>,
    /// Ids that the base has and that are no longer there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<GonePart>,
    /// How many numbers its vectors have, by their names: as many of them as were met, the first [`DIMENSIONS`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: Dimensions,
    /// How many objects lack a vector that the class has, by its name; those that none lacks are not named, and runs of
    /// older workers name none. What a restore makes of them the servers decide: a vector that they compute they compute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacking: BTreeMap<String, u64>,
    /// Which objects were meant, as the canonical text; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What the replicas said of one another; of an encrypted run alone, whose manifest has the numbers of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicasNote>,
}

/// Numbers of dimensions by vectors' names.
pub type Dimensions = BTreeMap<String, BTreeSet<usize>>;

/// Numbers of dimensions that are noted for one vector: a server has one for each.
pub const DIMENSIONS: usize = 8;

/// Notes the dimensions of these vectors.
pub fn note_dimensions(dimensions: &mut Dimensions, vectors: &Vectors) {
    for (name, vector) in vectors {
        let lengths: &mut dyn Iterator<Item = usize> = match vector {
            Vector::Single(numbers) => &mut std::iter::once(numbers.len()),
            Vector::Multi(lists) => &mut lists.iter().map(Vec::len),
        };
        // Most objects bring nothing new, and no name needs to be copied for them.
        for length in lengths {
            match dimensions.get_mut(name) {
                Some(known) if known.len() >= DIMENSIONS || known.contains(&length) => {}
                Some(known) => drop(known.insert(length)),
                None => drop(dimensions.insert(name.clone(), BTreeSet::from([length]))),
            }
        }
    }
}

/// What is noted of the vectors of objects that were read.
#[derive(Clone, Debug, Default)]
pub(in crate::backup) struct VectorNotes {
    /// [`Index::dimensions`].
    pub(in crate::backup) dimensions: Dimensions,
    /// [`Index::lacking`].
    pub(in crate::backup) lacking: BTreeMap<String, u64>,
}

impl VectorNotes {
    /// Notes those of one object of a collection with these columns.
    pub(in crate::backup) fn note(&mut self, columns: &Columns, vectors: &Vectors) {
        note_dimensions(&mut self.dimensions, vectors);
        for column in columns.vectors.iter().filter(|column| !vectors.contains_key(&column.vector)) {
            match self.lacking.get_mut(&column.vector) {
                Some(count) => *count += 1,
                None => drop(self.lacking.insert(column.vector.clone(), 1)),
            }
        }
    }

    /// Adds those of others.
    pub(in crate::backup) fn join(&mut self, other: Self) {
        let Self { dimensions, lacking } = other;
        for (name, lengths) in dimensions {
            self.dimensions.entry(name).or_default().extend(lengths);
        }
        for (name, count) in lacking {
            *self.lacking.entry(name).or_default() += count;
        }
    }
}

/// Ids of one tenant that are no longer there: a text with one on each line, ascending.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GonePart {
    /// Its tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The file.
    #[serde(flatten)]
    pub file: FileNote,
    /// How many.
    pub ids: u64,
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

/// The tenants that parts speak of.
pub fn tenants_of(parts: &[Part]) -> BTreeSet<&str> {
    parts.iter().filter_map(|part| part.tenant.as_deref()).collect()
}

/// Parts by their tenants: of tens of thousands of them nobody wants to look through all for each.
pub(in crate::backup) type ByTenant<'a> = BTreeMap<Option<&'a str>, Vec<&'a Part>>;

/// Parts by their tenants, those of each in their order.
pub(in crate::backup) fn by_tenant(parts: &[Part]) -> ByTenant<'_> {
    let mut all = ByTenant::new();
    for part in parts {
        all.entry(part.tenant.as_deref()).or_default().push(part);
    }
    all
}
