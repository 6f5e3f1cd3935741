//! Everything that stands in the way of a restore, before its first write.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::class::class_for;
use super::receipt::Receipt;
use super::{Conflict, Order};
use crate::backup::columns::Columns;
use crate::backup::manifest::{Index, Manifest, Part, tenants_of};
use crate::backup::ports::{Store, Target, TenantState};
use crate::backup::stored::{self, StoredError};
use crate::backup::verify::{self, Depth, Fault};
use crate::ports::PortError;

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
    /// There are objects already.
    #[error("{into} has objects already{}: say what becomes of those whose ids are taken", in_tenant(.tenant.as_deref()))]
    NotEmpty {
        /// The collection.
        into: String,
        /// The tenant that has.
        tenant: Option<String>,
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

/// What was found before the first write.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// The run; `None` where a blocker says why.
    pub manifest: Option<Manifest>,
    /// The collection in it.
    pub index: Option<Index>,
    /// The class that has to be made; `None` where there is one.
    pub class: Option<Value>,
    /// Tenants that have to be made.
    pub tenants: Vec<String>,
    /// The receipt, as it is to be.
    pub receipt: Receipt,
    /// Whether there was none.
    pub is_new: bool,
    /// Everything that stands in the way.
    pub blockers: Vec<Blocker>,
}

/// Looks at everything, writes nothing. Parts that a receipt calls done are not looked at again.
pub async fn preflight<S: Store, R: Store, T: Target>(
    store: &S,
    receipts: &R,
    target: &T,
    order: &Order,
    now: Timestamp,
) -> Result<Preflight, StoredError> {
    let found = stored::read::<Receipt, _>(receipts, &order.receipt).await?.map(|(receipt, _)| receipt);
    let is_new = found.is_none();
    let receipt = found.unwrap_or_else(|| Receipt::begin(order, now));
    let mut out = Preflight {
        manifest: None,
        index: None,
        class: None,
        tenants: Vec::new(),
        receipt,
        is_new,
        blockers: Vec::new(),
    };
    if !out.receipt.is_of(order) {
        let Receipt { run, into, target, .. } = out.receipt.clone();
        out.receipt = Receipt::begin(order, now);
        out.blockers.push(Blocker::OtherReceipt { run, into, target });
        return Ok(out);
    }
    let class = target.class().await?;
    if class.is_none() {
        // Whatever was written went with it.
        out.receipt.forget();
    }
    backup(store, order, &mut out).await?;
    if let Some(index) = out.index.take() {
        standing(target, class, order, &index, &mut out).await?;
        out.index = Some(index);
    }
    Ok(out)
}

/// The backup's side.
async fn backup<S: Store>(store: &S, order: &Order, out: &mut Preflight) -> Result<(), PortError> {
    let damaged = |fault| Blocker::Damaged { fault };
    let manifest = match verify::manifest(store, &order.run).await? {
        Ok(manifest) => manifest,
        Err(fault) => {
            out.blockers.push(damaged(fault));
            return Ok(());
        }
    };
    let Some(note) = manifest.collection(&order.collection) else {
        let has = manifest.collections.iter().map(|collection| collection.name.clone()).collect();
        let (run, collection) = (order.run.clone(), order.collection.clone());
        out.blockers.push(Blocker::NoCollection { run, collection, has });
        return Ok(());
    };
    let is_left = |part: &Part| !out.receipt.done.contains(&part.file.key);
    let findings = verify::verify_parts(store, &manifest, note, Depth::Hashes, &is_left, &|_| {}).await?;
    out.blockers.extend(findings.faults.into_iter().map(damaged));
    if let Ok(index) = verify::index(store, &manifest.run, note).await? {
        let mut left_out = index.tenants.iter().flatten().filter(|tenant| tenant.contents.is_none());
        if let Some(first) = left_out.next() {
            out.blockers.push(Blocker::LeftOut { count: left_out.count() + 1, tenant: first.name.clone() });
        }
        out.index = Some(index);
    }
    out.manifest = Some(manifest);
    Ok(())
}

/// The target's side.
async fn standing<T: Target>(
    target: &T,
    class: Option<Value>,
    order: &Order,
    index: &Index,
    out: &mut Preflight,
) -> Result<(), PortError> {
    let wanted: Vec<&str> = index.tenants.iter().flatten().map(|tenant| tenant.name.as_str()).collect();
    let Some(class) = class else {
        let class = class_for(&index.schema, &order.into, order.factor, order.shards);
        let factor = class["replicationConfig"]["factor"].as_u64().unwrap_or(1);
        let nodes = target.nodes().await?;
        if usize::try_from(factor).is_ok_and(|factor| factor > nodes) {
            out.blockers.push(Blocker::TooFewNodes { factor, nodes });
        }
        out.class = Some(class);
        out.tenants = wanted.into_iter().map(str::to_owned).collect();
        return Ok(());
    };
    let has_tenants = class["multiTenancyConfig"]["enabled"] == true;
    if has_tenants != index.tenants.is_some() {
        let (some, none) = ("has tenants", "has no tenants");
        let (found, wanted) = if has_tenants { (some, none) } else { (none, some) };
        out.blockers.push(Blocker::Tenancy { into: order.into.clone(), found, wanted });
        return Ok(());
    }
    out.blockers.extend(unlike(&class, index, &order.into));
    let there = if has_tenants { target.tenants().await? } else { Vec::new() };
    let find = |name: &str| there.iter().find(|tenant: &&TenantState| tenant.name == name);
    // A tenant whose parts are all done may have been put to rest already.
    let left: Vec<Part> =
        index.parts.iter().filter(|part| !out.receipt.done.contains(&part.file.key)).cloned().collect();
    let resting = tenants_of(&left).into_iter().filter_map(find).filter(|tenant| !tenant.is_awake());
    out.blockers.extend(resting.map(|it| Blocker::Asleep {
        into: order.into.clone(),
        tenant: it.name.clone(),
        activity: it.activity.clone(),
    }));
    out.tenants = wanted.iter().filter(|name| find(name).is_none()).map(|name| (*name).to_owned()).collect();
    // What a restore that was cut off has written is its own.
    if order.conflict == Conflict::Fail && out.is_new {
        let looked: Vec<Option<&str>> = if has_tenants {
            let awake = |name: &&&str| find(name).is_some_and(TenantState::is_awake);
            wanted.iter().filter(awake).map(|name| Some(*name)).collect()
        } else {
            vec![None]
        };
        for tenant in looked {
            if target.has_objects(tenant).await? {
                let (into, tenant) = (order.into.clone(), tenant.map(str::to_owned));
                out.blockers.push(Blocker::NotEmpty { into, tenant });
                break;
            }
        }
    }
    Ok(())
}

/// Properties and vectors of the backup that the class lacks, or has of another kind.
fn unlike(class: &Value, index: &Index, into: &str) -> Vec<Blocker> {
    let kind = |class: &Value, name: &str| {
        let mut properties = class["properties"].as_array().into_iter().flatten();
        let found = properties.find(|property| property["name"] == name);
        found.map_or_else(|| "missing".to_owned(), |it| it["dataType"][0].as_str().unwrap_or("unknown").to_owned())
    };
    let mut blockers = Vec::new();
    for column in &index.columns.properties {
        let (wanted, found) = (kind(&index.schema, &column.property), kind(class, &column.property));
        if wanted != found {
            let (into, property) = (into.to_owned(), column.property.clone());
            blockers.push(Blocker::Property { into, property, wanted, found });
        }
    }
    let there = Columns::of_class(class).map(|columns| columns.vectors).unwrap_or_default();
    for column in &index.columns.vectors {
        let found = match there.iter().find(|there| there.vector == column.vector) {
            Some(there) if there.multi == column.multi => continue,
            Some(there) if there.multi => "a list of vectors",
            Some(_) => "one vector",
            None => "missing",
        };
        let (into, vector, found) = (into.to_owned(), column.vector.clone(), found.to_owned());
        blockers.push(Blocker::Vector { into, vector, found });
    }
    blockers
}
