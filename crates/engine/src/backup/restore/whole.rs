//! Whether what a restore has written before it was cut off is still there: the class may have been deleted since, and
//! made again under its name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::preflight::is_chosen;
use super::{Order, Receipt};
use crate::backup::manifest::Index;
use crate::backup::opened::{Chain, part_name};
use crate::backup::ports::Target;
use crate::backup::transform::identity;
use crate::ports::PortError;

/// Objects that are asked for at once.
const IDS: usize = 100;

/// What is left of the parts that are done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    /// Everything, as far as it was asked.
    All,
    /// Some of it.
    Some,
    /// Nothing: what is there is not the restore's.
    Nothing,
    /// No part is done, so nothing of it can be asked for: what is there may be the restore's or somebody else's.
    Begun,
    /// Whatever is there may be the restore's or somebody else's.
    Untold,
}

/// Whether the class is the one that was written into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sameness {
    /// The very same.
    Same,
    /// Another one of its name.
    Other,
    /// Nothing tells.
    Untold,
}

/// Compares the class that is there with the one of the receipt.
pub(super) async fn sameness<T: Target>(target: &T, receipt: &Receipt) -> Result<Sameness, PortError> {
    let Some(written) = &receipt.written_into else { return Ok(Sameness::Untold) };
    Ok(match target.identity().await? {
        None => Sameness::Untold,
        Some(found) if found == *written => Sameness::Same,
        Some(_) => Sameness::Other,
    })
}

/// Asks whether it is the same class, and for the first object of each part that is done. Where nothing tells classes of one
/// name apart, what is found of those objects has to.
pub(super) async fn kept<T: Target>(
    target: &T,
    class: &Value,
    order: &Order,
    (chain, indexes): (&Chain, &[(usize, Index)]),
    receipt: &Receipt,
) -> Result<Kept, PortError> {
    let has_tenants = class["multiTenancyConfig"]["enabled"] == true;
    // One that has tenants in place of one that has none is told as what stands in the way.
    if !receipt.has_written() || indexes.first().is_some_and(|(_, own)| own.tenants.is_some() != has_tenants) {
        return Ok(Kept::All);
    }
    let sameness = sameness(target, receipt).await?;
    if sameness == Sameness::Other {
        return Ok(Kept::Nothing);
    }
    let first = firsts(order, (chain, indexes), receipt);
    if first.is_empty() {
        return Ok(if sameness == Sameness::Same { Kept::All } else { Kept::Begun });
    }
    let tenants = if has_tenants { target.tenants().await? } else { Vec::new() };
    let tenants: BTreeMap<&str, bool> = tenants.iter().map(|it| (it.name.as_str(), it.is_awake())).collect();
    let counts = receipt.counts;
    // Whether one of its objects was found, whether anything that may be one, and whether one is missing.
    let (mut is_seen, mut is_any, mut lacks) = (false, counts.written + counts.skipped + counts.merged == 0, false);
    for (tenant, firsts) in first {
        match tenant.map(|tenant| tenants.get(tenant)) {
            Some(None) => {
                lacks = true;
                continue;
            }
            // It cannot be asked. One that this restore made it has put to rest itself, at its end.
            Some(Some(false)) => {
                is_any = true;
                is_seen |= tenant.is_some_and(|tenant| receipt.made.contains(tenant));
                continue;
            }
            None | Some(Some(true)) => {}
        }
        let found = fetched(target, tenant, &firsts.sure).await?;
        lacks |= found.len() < firsts.sure.len();
        // One look is enough where the others only help to tell whose it is.
        let doubtful =
            if found.is_empty() { fetched(target, tenant, &firsts.doubtful).await? } else { BTreeSet::new() };
        is_seen |= !found.is_empty() || !doubtful.is_empty();
        if firsts.sure.is_empty() {
            is_any = is_any || is_seen || target.has_objects(tenant).await?;
        }
    }
    Ok(match (is_seen || is_any, lacks) {
        (false, _) => Kept::Nothing,
        (true, _) if !is_seen && sameness != Sameness::Same => Kept::Untold,
        (true, true) => Kept::Some,
        (true, false) => Kept::All,
    })
}

/// Those of these ids that are there.
async fn fetched<T: Target>(target: &T, tenant: Option<&str>, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, PortError> {
    let mut found = BTreeSet::new();
    for ids in ids.chunks(IDS) {
        found.extend(target.fetch(tenant, ids).await?.into_iter().map(|it| it.id));
    }
    Ok(found)
}

/// The first ids of a tenant's parts that are done.
#[derive(Debug, Default)]
struct Firsts {
    /// Each of them was written.
    sure: Vec<Uuid>,
    /// A selection or transformation may have left one out, and of a base's part it may not live any more.
    doubtful: Vec<Uuid>,
}

fn firsts<'a>(
    order: &Order,
    (chain, indexes): (&Chain, &'a [(usize, Index)]),
    receipt: &Receipt,
) -> BTreeMap<Option<&'a str>, Firsts> {
    let is_plain = identity(&order.select, &order.transform).is_none();
    let mut first: BTreeMap<Option<&str>, Firsts> = BTreeMap::new();
    for (place, index) in indexes {
        let run = &chain.runs()[*place].manifest.run;
        let is_done = |name: &str| receipt.done.contains(&part_name(*place, run, name));
        let chosen = index.parts.iter().filter(|part| is_chosen(&order.select, part));
        for part in chosen.filter(|part| is_done(&part.file.key)) {
            let ids = first.entry(part.tenant.as_deref()).or_default();
            let ids = if is_plain && *place == 0 { &mut ids.sure } else { &mut ids.doubtful };
            ids.push(part.first);
        }
    }
    first
}
