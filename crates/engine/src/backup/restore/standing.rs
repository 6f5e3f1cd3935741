//! What stands in the way at the target.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::class::{class_for, needed};
use super::computed::computed;
use super::preflight::{Preflight, is_chosen};
use super::{Blocker, Conflict, Order, version};
use crate::backup::columns::Columns;
use crate::backup::manifest::{Dimensions, Index, Part, TenantNote, note_dimensions, tenants_of};
use crate::backup::ports::{Health, Target, TenantState};
use crate::backup::transform::property_type;
use crate::ports::PortError;

/// The target's side.
/// `made` is the class as selection and transformations leave it.
pub(super) async fn standing<T: Target>(
    target: &T,
    class: Option<Value>,
    order: &Order,
    index: &Index,
    made: &Value,
    out: &mut Preflight,
) -> Result<(), PortError> {
    let wanted = index.tenants.iter().flatten().map(|tenant| tenant.name.as_str());
    let wanted: Vec<&str> = wanted.filter(|name| order.select.takes_tenant(name)).collect();
    let Some(class) = class else {
        if order.skip_schema {
            out.blockers.push(Blocker::NoClass { into: order.into.clone() });
            return Ok(());
        }
        if let Some(found) = target.version().await? {
            out.blockers.extend(version::unknown_to(&found, made));
        }
        let class = class_for(made, &order.into, order.factor, order.shards);
        let modules = target.modules().await?;
        let is_missing = |module: &String| modules.as_ref().is_some_and(|modules| !modules.contains(module));
        out.blockers.extend(needed(&class).into_iter().filter(is_missing).map(|module| Blocker::Module { module }));
        out.blockers.extend(room(target.health().await?, &class));
        out.computed = computed(&class, index);
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
    out.blockers.extend(unlike(&class, made, &order.into));
    out.computed = computed(&class, index);
    let there = if has_tenants { target.tenants().await? } else { Vec::new() };
    let there: BTreeMap<&str, &TenantState> = there.iter().map(|tenant| (tenant.name.as_str(), tenant)).collect();
    let find = |name: &str| there.get(name).copied();
    // A tenant that this restore made may have been put to rest already: it is done then. What others made is asked for.
    let has_any = |tenant: &&TenantNote| tenant.contents.is_some_and(|contents| contents.objects > 0);
    let filled: BTreeSet<&str> =
        index.tenants.iter().flatten().filter(has_any).map(|tenant| tenant.name.as_str()).collect();
    let left: Vec<Part> = (index.parts.iter())
        .filter(|part| is_chosen(&order.select, part) && !out.receipt.done.contains(&part.file.key))
        .cloned()
        .collect();
    let written = tenants_of(&left);
    let is_written = |name: &&str| {
        if index.roll.is_empty() {
            written.contains(*name)
        } else {
            filled.contains(*name) && !out.receipt.made.contains(*name)
        }
    };
    let resting = wanted.iter().copied().filter(|name| is_written(name)).filter_map(find);
    let resting: Vec<_> = resting.filter(|tenant| !tenant.is_awake()).collect();
    let resting = resting.into_iter();
    let is_meant = |shard: &String| !has_tenants || is_written(&shard.as_str()) && wanted.contains(&shard.as_str());
    let read_only: Vec<String> = target.read_only().await?.into_iter().filter(is_meant).collect();
    if let Some(shard) = read_only.first().filter(|_| !left.is_empty() || !index.roll.is_empty()) {
        let (into, shard) = (order.into.clone(), shard.clone());
        out.blockers.push(Blocker::ReadOnly { into, count: read_only.len(), shard });
    }
    out.blockers.extend(resting.map(|it| Blocker::Asleep {
        into: order.into.clone(),
        tenant: it.name.clone(),
        activity: it.activity.clone(),
    }));
    out.tenants = wanted.iter().filter(|name| find(name).is_none()).map(|name| (*name).to_owned()).collect();
    let awake = |name: &&&str| find(name).is_some_and(TenantState::is_awake);
    let beside: Vec<Option<&str>> =
        if has_tenants { wanted.iter().filter(awake).map(|name| Some(*name)).collect() } else { vec![None] };
    if let Some(tenant) = beside.first() {
        out.blockers.extend(dimensions(target, *tenant, index, &order.into).await?);
    }
    // What a restore that was cut off has written is its own.
    if (order.conflict == Conflict::Fail || order.must_be_empty) && !out.receipt.has_written() {
        let into = order.into.clone();
        match taken(target, beside).await? {
            Some(tenant) => out.blockers.push(Blocker::NotEmpty { into, tenant }),
            // It was cut off between the class that it makes and the note that it writes: what is there is most likely its
            // own, and of each object a majority is asked before it is written.
            None if out.receipt.makes_class && !target.asks_every_node().await? => out.is_guarded = true,
            // One replica that lost its volume answers for all where it alone is asked.
            None if !target.asks_every_node().await? => out.blockers.push(Blocker::NotProvedEmpty { into }),
            None => {}
        }
    }
    Ok(())
}

/// Whether there are nodes for all replicas of a class that has to be made.
fn room(health: Health, class: &Value) -> Option<Blocker> {
    let factor = class["replicationConfig"]["factor"].as_u64().unwrap_or(1);
    let Health { nodes, unhealthy } = health;
    let is_more_than = |nodes: usize| usize::try_from(factor).is_ok_and(|factor| factor > nodes);
    if is_more_than(nodes) {
        return Some(Blocker::TooFewNodes { factor, nodes });
    }
    is_more_than(nodes.saturating_sub(unhealthy.len())).then_some(Blocker::Unhealthy { factor, nodes, unhealthy })
}

/// The first of these tenants that has objects.
async fn taken<T: Target>(target: &T, tenants: Vec<Option<&str>>) -> Result<Option<Option<String>>, PortError> {
    for tenant in tenants {
        if target.has_objects(tenant).await? {
            return Ok(Some(tenant.map(str::to_owned)));
        }
    }
    Ok(None)
}

/// What new objects have another number of dimensions than.
async fn dimensions<T: Target>(
    target: &T,
    tenant: Option<&str>,
    index: &Index,
    into: &str,
) -> Result<Vec<Blocker>, PortError> {
    let there = target.any_object(tenant).await?;
    let mut found = Dimensions::new();
    if let Some(object) = &there {
        note_dimensions(&mut found, &object.vectors);
    }
    let unlike = |(vector, found): (String, BTreeSet<usize>)| {
        let wanted = index.dimensions.get(&vector)?;
        let other = found.into_iter().find(|found| !wanted.contains(found))?;
        let wanted = wanted.iter().copied().collect();
        Some(Blocker::Dimensions { into: into.to_owned(), vector, wanted, found: other })
    };
    Ok(found.into_iter().filter_map(unlike).collect())
}

/// Properties and vectors of the backup, as they are to be written, that the class lacks, or has of another kind.
pub(crate) fn unlike(class: &Value, made: &Value, into: &str) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for property in made["properties"].as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()) {
        let kind = |class| property_type(class, property).unwrap_or_else(|| "missing".to_owned());
        let (wanted, found) = (kind(made), kind(class));
        if wanted != found {
            let (into, property) = (into.to_owned(), property.to_owned());
            blockers.push(Blocker::Property { into, property, wanted, found });
        }
    }
    let vectors = |class| Columns::laid_out(class).vectors;
    let there = vectors(class);
    for column in vectors(made) {
        let found = match there.iter().find(|there| there.vector == column.vector) {
            Some(there) if there.multi == column.multi => continue,
            Some(there) if there.multi => "a list of vectors",
            Some(_) => "one vector",
            None => "missing",
        };
        let (into, vector, found) = (into.to_owned(), column.vector, found.to_owned());
        blockers.push(Blocker::Vector { into, vector, found });
    }
    blockers
}
