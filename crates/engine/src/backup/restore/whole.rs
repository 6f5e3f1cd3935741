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
}

/// Asks for the first object of each part that is done, and where that may have been left out for any object.
pub(super) async fn kept<T: Target>(
    target: &T,
    class: &Value,
    order: &Order,
    (chain, indexes): (&Chain, &[(usize, Index)]),
    receipt: &Receipt,
) -> Result<Kept, PortError> {
    let has_tenants = class["multiTenancyConfig"]["enabled"] == true;
    let first = firsts(order, (chain, indexes), receipt);
    // One that has tenants in place of one that has none is told as what stands in the way.
    if first.is_empty() || indexes.first().is_some_and(|(_, own)| own.tenants.is_some() != has_tenants) {
        return Ok(Kept::All);
    }
    let tenants = if has_tenants { target.tenants().await? } else { Vec::new() };
    let tenants: BTreeMap<&str, bool> = tenants.iter().map(|it| (it.name.as_str(), it.is_awake())).collect();
    let counts = receipt.counts;
    let (mut is_any, mut lacks) = (counts.written + counts.skipped + counts.merged == 0, false);
    for (tenant, ids) in first {
        match tenant.map(|tenant| tenants.get(tenant)) {
            Some(None) => {
                lacks = true;
                continue;
            }
            // It cannot be asked.
            Some(Some(false)) => {
                is_any = true;
                continue;
            }
            None | Some(Some(true)) => {}
        }
        for ids in ids.chunks(IDS) {
            let found: BTreeSet<Uuid> = target.fetch(tenant, ids).await?.into_iter().map(|it| it.id).collect();
            is_any |= !found.is_empty();
            lacks |= ids.iter().any(|id| !found.contains(id));
        }
        if ids.is_empty() {
            is_any = is_any || target.has_objects(tenant).await?;
        }
    }
    Ok(match (is_any, lacks) {
        (false, _) => Kept::Nothing,
        (true, true) => Kept::Some,
        (true, false) => Kept::All,
    })
}

/// The first ids of the parts that are done, by tenant. A selection or transformation may have left an object out, and of a
/// base's part the object may not live any more: of such a part there is none.
fn firsts<'a>(
    order: &Order,
    (chain, indexes): (&Chain, &'a [(usize, Index)]),
    receipt: &Receipt,
) -> BTreeMap<Option<&'a str>, Vec<Uuid>> {
    let is_plain = identity(&order.select, &order.transform).is_none();
    let mut first: BTreeMap<Option<&str>, Vec<Uuid>> = BTreeMap::new();
    for (place, index) in indexes {
        let run = &chain.runs()[*place].manifest.run;
        let is_done = |name: &str| receipt.done.contains(&part_name(*place, run, name));
        let chosen = index.parts.iter().filter(|part| is_chosen(&order.select, part));
        for part in chosen.filter(|part| is_done(&part.file.key)) {
            let ids = first.entry(part.tenant.as_deref()).or_default();
            if is_plain && *place == 0 {
                ids.push(part.first);
            }
        }
    }
    first
}
