//! Everything that can stand in the way of a copy.

use serde::Serialize;

use crate::backup::transform::Problem;

/// What stands in the way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "blocker", rename_all = "camelCase")]
pub enum Blocker {
    /// The collection would be copied into itself.
    #[error("{into} cannot be copied into itself: name another collection, or another cluster")]
    Itself {
        /// Which.
        into: String,
    },
    /// There is nothing to read.
    #[error("there is no collection {collection} in {cluster}")]
    NoSource {
        /// Which.
        collection: String,
        /// Where.
        cluster: String,
    },
    /// Objects that cannot be read as they are.
    #[error("{collection} cannot be copied: {reason}")]
    Unreadable {
        /// Which.
        collection: String,
        /// Why.
        reason: String,
    },
    /// A tenant that is neither active nor at rest.
    #[error(
        "{count} tenants of {collection} cannot be read, {tenant} among them, which is {activity}: activate them first"
    )]
    Offloaded {
        /// The collection.
        collection: String,
        /// How many.
        count: usize,
        /// The first.
        tenant: String,
        /// How it is.
        activity: String,
    },
    /// Transformations that do not fit.
    #[error("{problem}")]
    Transform {
        /// What is wrong.
        #[serde(rename = "of")]
        problem: Problem,
    },
    /// Somebody else's collection with objects.
    #[error("{into} is there and has objects{}, and was not made by this copy: it stays as it is", in_tenant(.tenant.as_deref()))]
    Occupied {
        /// Which.
        into: String,
        /// The tenant that has.
        tenant: Option<String>,
    },
    /// Somebody else's collection, of which it cannot be told whether it has objects.
    #[error("{into} is there, was not made by this copy, and cannot be proved empty: {reason}")]
    NotProvedEmpty {
        /// Which.
        into: String,
        /// Why.
        reason: String,
    },
    /// The target was there, and is gone.
    #[error("{into} was made by this copy and is gone: begin a new copy")]
    Gone {
        /// Which.
        into: String,
    },
    /// Somebody reads and writes the target by an alias.
    #[error(
        "alias {alias} leads to {collection}: what is written by it is not in the source, and a copy would remove it; \
         nothing more is copied as long as it leads there"
    )]
    InUse {
        /// The target.
        collection: String,
        /// The alias.
        alias: String,
    },
    /// One side was made anew under its name since the copy began.
    #[error("{collection} in {cluster} was deleted and made again since this copy began: begin a new copy")]
    MadeAnew {
        /// Which.
        collection: String,
        /// Where.
        cluster: String,
    },
    /// The source has lost all of its tenants.
    #[error(
        "{collection} had tenants when it was copied and has none now: that is not done to the copy; begin a new one"
    )]
    NoTenants {
        /// Which.
        collection: String,
    },
    /// One has tenants, the other has not.
    #[error("{into} {found}, and the source {wanted}")]
    Tenancy {
        /// The target.
        into: String,
        /// What it has.
        found: &'static str,
        /// What the source has.
        wanted: &'static str,
    },
    /// A property that the target lacks, or has of another type.
    #[error(
        "property `{property}` is {wanted} in the source and {found} in {into}: convert or drop it by a transformation"
    )]
    Property {
        /// The target.
        into: String,
        /// Which.
        property: String,
        /// Its type in the source, as the transformation leaves it.
        wanted: String,
        /// Its type there.
        found: String,
    },
    /// A vector that the target lacks, or has of another shape.
    #[error("vector `{vector}` of the source is {found} in {into}")]
    Vector {
        /// The target.
        into: String,
        /// Which.
        vector: String,
        /// What is there.
        found: String,
    },
    /// A class to which references lead, and which is not where the copy goes.
    #[error(
        "property `{property}` leads to collection {to}, which is not in {cluster} (an alias does not do): copy that one \
         first, or drop the property by a transformation"
    )]
    LeadsNowhere {
        /// Which.
        property: String,
        /// The class.
        to: String,
        /// Where it should be.
        cluster: String,
    },
    /// More replicas than nodes.
    #[error("{factor} replicas need {factor} nodes, and there are {nodes}: ask for fewer replicas")]
    TooFewNodes {
        /// Replicas.
        factor: u64,
        /// Nodes.
        nodes: usize,
    },
    /// A module that the servers lack.
    #[error("the class needs module {module}, which the servers of the target do not have")]
    Module {
        /// Which.
        module: String,
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
    /// What is noted is another copy.
    #[error("what is noted under this id is another copy, of {from} in {source_cluster} into {into} in {target}")]
    OtherCopy {
        /// What it reads.
        from: String,
        /// Where.
        source_cluster: String,
        /// What it writes.
        into: String,
        /// Where.
        target: String,
    },
}

fn in_tenant(tenant: Option<&str>) -> String {
    tenant.map(|tenant| format!(" in tenant {tenant}")).unwrap_or_default()
}
