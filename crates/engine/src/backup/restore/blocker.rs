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

fn in_tenant(tenant: Option<&str>) -> String {
    tenant.map(|tenant| format!(" in tenant {tenant}")).unwrap_or_default()
}
