//! Everything that can stand in the way of a restore.

use serde::Serialize;

use crate::backup::transform::Problem;
use crate::backup::verify::Fault;

/// What stands in the way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "blocker", rename_all = "camelCase")]
pub enum Blocker {
    /// The run is not whole.
    #[error("the backup is damaged: {fault}")]
    Damaged {
        /// What is wrong.
        fault: Fault,
    },
    /// The servers wrote the run themselves.
    #[error("{fault}")]
    Native {
        /// In words.
        fault: Fault,
    },
    /// The run has no such collection.
    #[error("run {run} has no collection {collection}; it has {}", .has.join(", "))]
    NoCollection {
        /// The run.
        run: String,
        /// What was asked for.
        collection: String,
        /// What it has.
        has: Vec<String>,
    },
    /// Tenants were left out of the run.
    #[error("{count} tenants were left out of the run, {tenant} among them: they would be made empty")]
    LeftOut {
        /// How many.
        count: usize,
        /// The first.
        tenant: String,
    },
    /// A selection or transformation that does not fit.
    #[error("{problem}")]
    Transform {
        /// What is wrong.
        #[serde(rename = "of")]
        problem: Problem,
    },
    /// A tenant that was selected and is not in the run.
    #[error("the run has no tenant {tenant}")]
    UnknownTenant {
        /// Which.
        tenant: String,
    },
    /// A vector that has another number of dimensions than those that are there.
    #[error(
        "vector `{vector}` has {} dimensions in the backup, and {found} in {into}",
        .wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    )]
    Dimensions {
        /// The collection.
        into: String,
        /// Which.
        vector: String,
        /// As in the backup.
        wanted: Vec<usize>,
        /// As there.
        found: usize,
    },
    /// The servers are older than something that the class has.
    #[error("{feature} needs servers of version {needs}, and there are some of {found}")]
    Version {
        /// What the class has.
        feature: &'static str,
        /// Since when there is such a thing.
        needs: String,
        /// The servers' version.
        found: String,
    },
    /// There is no collection, and none is to be made.
    #[error("there is no collection {into}, and none is to be made: make it first, or let the restore make it")]
    NoClass {
        /// The collection.
        into: String,
    },
    /// There are objects already.
    #[error("{into} has objects already{}: say what becomes of those whose ids are taken", in_tenant(.tenant.as_deref()))]
    NotEmpty {
        /// The collection.
        into: String,
        /// The tenant that has.
        tenant: Option<String>,
    },
    /// There is an alias of the collection's name.
    #[error("{into} is an alias, which leads to {leads_to}: name another collection, or delete the alias")]
    IntoAlias {
        /// The name.
        into: String,
        /// Where it leads.
        #[serde(rename = "leadsTo")]
        leads_to: String,
    },
    /// A collection has the name of an alias that is to be made.
    #[error(
        "alias {alias} cannot be made, since there is a collection of that name: let the restore leave aliases out"
    )]
    AliasTaken {
        /// The alias.
        alias: String,
    },
    /// A module that the servers lack.
    #[error(
        "the class needs module {module}, which not every server has: enable it, or restore into a collection that does without"
    )]
    Module {
        /// Which.
        module: String,
    },
    /// Shards that cannot be written.
    #[error(
        "{count} shards of {into} are read-only, {shard} among them: a full disk does that, as well as whoever froze them; \
         once there is room, set them to READY"
    )]
    ReadOnly {
        /// The collection.
        into: String,
        /// How many.
        count: usize,
        /// The first.
        shard: String,
    },
    /// More replicas than nodes that are well.
    #[error(
        "{factor} replicas need {factor} healthy nodes, and {} of {nodes} are not: wait for them, or ask for fewer replicas",
        .unhealthy.join(", ")
    )]
    Unhealthy {
        /// Replicas.
        factor: u64,
        /// Nodes, whatever they are.
        nodes: usize,
        /// Those that are not healthy.
        unhealthy: Vec<String>,
    },
    /// No objects were found, and not every node could be asked.
    #[error(
        "{into} is there and cannot be shown to be empty, since not every node can be asked at its own address: name the \
         addresses of all nodes, restore under another name, or say what becomes of objects whose ids are taken"
    )]
    NotProvedEmpty {
        /// The collection.
        into: String,
    },
    /// More replicas than nodes.
    #[error("{factor} replicas need {factor} nodes, and there are {nodes}: ask for fewer replicas")]
    TooFewNodes {
        /// Replicas.
        factor: u64,
        /// Nodes.
        nodes: usize,
    },
    /// One has tenants, the other has not.
    #[error("{into} {found}, and the backup {wanted}")]
    Tenancy {
        /// The collection.
        into: String,
        /// What it has.
        found: &'static str,
        /// What the backup has.
        wanted: &'static str,
    },
    /// A property that the collection lacks, or has of another type.
    #[error("property `{property}` is {wanted} in the backup and {found} in {into}")]
    Property {
        /// The collection.
        into: String,
        /// Which.
        property: String,
        /// Its type in the backup.
        wanted: String,
        /// Its type there.
        found: String,
    },
    /// A cross-reference to a class that is not there.
    #[error(
        "property `{property}` leads to collection {class}, which is not there: {}, or restore without the property \
         (transform: drop)",
        if *.is_in_run { "restore it first" } else { "nor is it in the run; make it first" }
    )]
    ReferenceTarget {
        /// Which property.
        property: String,
        /// Where it leads.
        class: String,
        /// Whether the run has it.
        #[serde(rename = "isInRun")]
        is_in_run: bool,
    },
    /// A property whose values come back as others.
    #[error(
        "property `{property}` is blobHash: of the hash that was backed up the servers would make another one. Restore \
         without it (transform: [{{drop: {{property: {property}}}}}])"
    )]
    Hashed {
        /// Which.
        property: String,
    },
    /// References that are written behind all objects, into a collection that may have others.
    #[error(
        "{into} has tenants, or references that can only be written later: they are written behind all objects, into an \
         empty collection. Use conflict Fail, or restore without the properties (transform: drop)"
    )]
    ReferencesBehind {
        /// The collection.
        into: String,
    },
    /// A vector that the collection lacks, or has of another shape.
    #[error("vector `{vector}` of the backup is {found} in {into}")]
    Vector {
        /// The collection.
        into: String,
        /// Which.
        vector: String,
        /// What is there.
        found: String,
    },
    /// A tenant is at rest, and cannot be written.
    #[error("tenant {tenant} of {into} is {activity}: activate it first")]
    Asleep {
        /// The collection.
        into: String,
        /// Which.
        tenant: String,
        /// How it is.
        activity: String,
    },
    /// The receipt belongs to another restore.
    #[error("the receipt is that of another restore, of {run} into {into} at {target}: name another one")]
    OtherReceipt {
        /// Its run.
        run: String,
        /// Its collection.
        into: String,
        /// Its cluster.
        target: String,
    },
}

impl Blocker {
    /// Whether it may be over by itself in a while.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unhealthy { .. })
    }
}

fn in_tenant(tenant: Option<&str>) -> String {
    tenant.map(|tenant| format!(" in tenant {tenant}")).unwrap_or_default()
}
