//! Everything that stands in the way of a copy, before its first write and whenever one goes on.

use jiff::Timestamp;
use serde_json::Value;

use super::class::{demands, misfits, unlisted, unwritten};
use super::ports::{Mirror, Side};
use super::state::{Holding, State};
use super::{Blocker, Order};
use crate::backup::ports::{Described, Named, Store};
use crate::backup::references::References;
use crate::backup::restore::class_for;
use crate::backup::stored::{self, StoredError};
use crate::backup::transform::{Select, Transformation};
use crate::ports::PortError;

/// What was found.
#[derive(Clone, Debug)]
pub struct Look {
    /// The copy, as it is to be noted.
    pub state: State,
    /// Whether nothing is noted yet.
    pub is_new: bool,
    /// The class that has to be made; `None` where there is one.
    pub class: Option<Value>,
    /// What is made of class and objects; `None` where a blocker says why.
    pub transformation: Option<Transformation>,
    /// Objects of the source, about.
    pub objects: Option<u64>,
    /// Tenants of the source; `None` where it has no tenancy.
    pub tenants: Option<usize>,
    /// Aliases that lead to the source. They are named, not moved.
    pub aliases: Vec<String>,
    /// Everything that stands in the way.
    pub blockers: Vec<Blocker>,
}

/// Looks at everything, writes nothing.
pub async fn look<R: Store, S: Side, M: Mirror>(
    states: &R,
    source: &S,
    mirror: &M,
    order: &Order,
    now: Timestamp,
) -> Result<Look, StoredError> {
    let found = stored::read::<State, _>(states, &order.state).await?.map(|(state, _)| state);
    let found = found.filter(|state| state.copy == order.copy);
    let is_new = found.is_none();
    let state = found.unwrap_or_else(|| State::begin(order, now));
    let mut out = Look {
        state,
        is_new,
        class: None,
        transformation: None,
        objects: None,
        tenants: None,
        aliases: Vec::new(),
        blockers: Vec::new(),
    };
    if !out.state.is_of(order) {
        let State { from, source: source_cluster, into, target, .. } = out.state.clone();
        out.blockers.push(Blocker::OtherCopy { from, source_cluster, into, target });
        return Ok(out);
    }
    out.state.go_on(order);
    if order.is_within && order.from == order.into {
        out.blockers.push(Blocker::Itself { into: order.into.clone() });
        return Ok(out);
    }
    let Some(described) = source.describe(&order.from).await? else {
        let (collection, cluster) = (order.from.clone(), order.source.clone());
        out.blockers.push(Blocker::NoSource { collection, cluster });
        return Ok(out);
    };
    out.objects = source.count(&order.from).await?;
    readable(&described, order, &mut out);
    standing(mirror, order, &mut out).await?;
    Ok(out)
}

/// The source's side.
fn readable(described: &Described, order: &Order, out: &mut Look) {
    let collection = || order.from.clone();
    if let Some(reason) = unlisted(&described.schema) {
        out.blockers.push(Blocker::Unreadable { collection: collection(), reason });
    }
    let cannot = |tenant: &&crate::backup::ports::TenantState| !tenant.is_awake() && !tenant.is_cold();
    let mut offloaded = described.tenants.iter().flatten().filter(cannot);
    if let Some(first) = offloaded.next() {
        let (tenant, activity) = (first.name.clone(), first.activity.clone());
        let count = offloaded.count() + 1;
        out.blockers.push(Blocker::Offloaded { collection: collection(), count, tenant, activity });
    }
    match Transformation::of(&described.schema, &Select::default(), &order.transform) {
        Ok(transformation) => {
            let transformation = transformation.into_collection(&order.from, &order.into);
            let reason = unwritten(transformation.class());
            out.blockers.extend(reason.map(|reason| Blocker::Unreadable { collection: collection(), reason }));
            out.transformation = Some(transformation);
        }
        Err(problems) => out.blockers.extend(problems.into_iter().map(|problem| Blocker::Transform { problem })),
    }
    out.tenants = described.tenants.as_ref().map(Vec::len);
    out.aliases.clone_from(&described.aliases);
}

/// The target's side.
async fn standing<M: Mirror>(mirror: &M, order: &Order, out: &mut Look) -> Result<(), PortError> {
    let Some(made) = out.transformation.as_ref().map(|it| it.class().clone()) else { return Ok(()) };
    let there = mirror.class().await?;
    if there.is_some() && order.is_made && (order.may_hold || !out.is_new) {
        // Whoever ordered this has noted that it was made for it. Without a state that says what was copied into it, a
        // person may have made and filled one of the same name since.
        out.state.holding = Holding::Own;
    }
    let Some(class) = there else {
        if out.state.holding != Holding::Absent || order.is_made {
            out.blockers.push(Blocker::Gone { into: order.into.clone() });
            return Ok(());
        }
        let class = class_for(order.class.as_ref().unwrap_or(&made), &order.into, order.factor, order.shards);
        let (modules, version, nodes) = (mirror.modules().await?, mirror.version().await?, mirror.nodes().await?);
        out.blockers.extend(demands(&class, modules.as_deref(), version.as_deref(), nodes));
        out.blockers.extend(misfits(&class, &made, &order.into));
        mirrored(&class, order, out);
        leads(mirror, &class, order, out).await?;
        out.class = Some(class);
        return Ok(());
    };
    out.blockers.extend(misfits(&class, &made, &order.into));
    mirrored(&class, order, out);
    if out.state.holding != Holding::Absent {
        return Ok(());
    }
    // Made by this copy, which was killed before it could note that, or for it; or by somebody else.
    let is_ours = !out.is_new || order.is_made;
    match occupant(mirror, &class, !out.is_new).await? {
        Occupant::None => out.state.holding = if is_ours { Holding::Own } else { Holding::Found },
        // This copy notes the target for its own before it makes a tenant or writes an object.
        Occupant::Some(tenant) => out.blockers.push(Blocker::Occupied { into: order.into.clone(), tenant }),
        // Also where this copy was about to make it: a person may have been faster, and what it takes for its own it clears.
        Occupant::Unknown(reason) => out.blockers.push(Blocker::NotProvedEmpty { into: order.into.clone(), reason }),
    }
    Ok(())
}

/// The target is listed like the source, to be compared with it. What is wrong with both was told of the source.
fn mirrored(class: &Value, order: &Order, out: &mut Look) {
    let is_told = out.blockers.iter().any(|blocker| matches!(blocker, Blocker::Unreadable { .. }));
    if let Some(reason) = unlisted(class).filter(|_| !is_told) {
        out.blockers.push(Blocker::Unreadable { collection: order.into.clone(), reason });
    }
}

/// Servers make no class that leads to one that they do not have, but to itself.
async fn leads<M: Mirror>(mirror: &M, class: &Value, order: &Order, out: &mut Look) -> Result<(), PortError> {
    for (property, targets) in References::of_class(class).targets() {
        for to in targets.iter().filter(|to| **to != order.into) {
            if mirror.named(to).await? != Named::Collection {
                let (property, to, cluster) = (property.to_owned(), to.clone(), order.target.clone());
                out.blockers.push(Blocker::LeadsNowhere { property, to, cluster });
            }
        }
    }
    Ok(())
}

/// Whether a collection holds objects.
enum Occupant {
    None,
    Some(Option<String>),
    Unknown(String),
}

/// `any_tenant`: one that has no objects is somebody's as well.
async fn occupant<M: Mirror>(mirror: &M, class: &Value, any_tenant: bool) -> Result<Occupant, PortError> {
    if class["multiTenancyConfig"]["enabled"] == true {
        let mut resting = None;
        for tenant in mirror.tenants().await? {
            if any_tenant {
                return Ok(Occupant::Some(Some(tenant.name)));
            }
            if !tenant.is_awake() {
                resting.get_or_insert(tenant);
            } else if mirror.has_objects(Some(&tenant.name)).await? {
                return Ok(Occupant::Some(Some(tenant.name)));
            }
        }
        if let Some(tenant) = resting {
            return Ok(Occupant::Unknown(format!("tenant {} is {}", tenant.name, tenant.activity)));
        }
    } else if mirror.has_objects(None).await? {
        return Ok(Occupant::Some(None));
    }
    if mirror.sees_every_node().await? {
        return Ok(Occupant::None);
    }
    Ok(Occupant::Unknown("the addresses of its nodes are not known".to_owned()))
}
