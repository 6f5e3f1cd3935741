//! Whether what was gathered right before the delete allows it.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::journal::Purpose;

/// Longest time from the first look of the proof to the delete. An operator that was held up in between proves nothing
/// any more: another one may have thawed the shards meanwhile.
pub const PROOF_HOLDS: SignedDuration = SignedDuration::from_secs(10);

/// Longest time from the first look to the delete when objects are counted that a person asked to have removed. They
/// are frozen meanwhile; a collection that takes longer is deleted by hand.
pub const COUNT_HOLDS: SignedDuration = SignedDuration::from_secs(120);

/// What was gathered right before the delete, at each node's own address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Evidence {
    /// The nodes that hold a replica.
    pub holders: Vec<String>,
    /// Nodes whose lists were empty, in the first and in the second round; a node that could not be asked is in neither.
    /// Not asked when objects are counted.
    pub empty: [Vec<String>; 2],
    /// Objects that each node listed; a node that could not be asked is missing. Asked only when objects are counted.
    pub counted: BTreeMap<String, i64>,
    /// Nodes at which every shard was read-only before the first round, and after the second. A restart thaws a shard,
    /// so a node that restarted in between is missing here.
    pub frozen: [Vec<String>; 2],
    /// Nodes at which auto-schema was off after the second round.
    pub auto_schema_off: Vec<String>,
    /// Nodes at which writing created and woke no tenants after the second round; every node for a class without
    /// tenancy.
    pub tenant_creation_off: Vec<String>,
    /// Whether the tenants were the journal's and all of them active, before the first round and after the second.
    pub tenants_unchanged: bool,
    /// The nodes that were to be asked.
    pub nodes: Vec<String>,
    /// Copies of the collection that the servers know of; `None` when they could not say.
    pub operations: Option<usize>,
    /// Whether the placement was still the journal's.
    pub placement_unchanged: bool,
    /// Whether a backup may be running; `None` when the servers could not say.
    pub backup_running: Option<bool>,
    /// Nodes whose server was started after the freeze. A disk may have been replaced, and the freeze replayed.
    pub restarted: Vec<String>,
    /// Time from the first look to the last.
    pub took: SignedDuration,
}

/// Whether the collection is proved to be what the purpose allows to delete; the error says what is missing.
pub fn proof(evidence: &Evidence, purpose: &Purpose) -> Result<(), String> {
    let Evidence { holders, nodes, restarted, took, .. } = evidence;
    if let Some(node) = restarted.first() {
        return Err(format!("{node} restarted after the shards were made read-only"));
    }
    let holds = match purpose {
        Purpose::Recreate => PROOF_HOLDS,
        Purpose::Clear(_) => COUNT_HOLDS,
    };
    if *took > holds {
        return Err(format!("looking took {} s; what was seen first may no longer hold", took.as_secs()));
    }
    if let Some(holder) = holders.iter().find(|holder| !nodes.contains(holder)) {
        return Err(format!("{holder} holds a replica and has no address of its own"));
    }
    if nodes.is_empty() {
        return Err("no node has an address of its own".to_owned());
    }
    for node in nodes {
        proof_of_node(evidence, purpose, node)?;
    }
    match (evidence.operations, evidence.backup_running) {
        (Some(0), Some(false)) => {}
        (Some(0), Some(true)) => return Err("a backup is running".to_owned()),
        (Some(0), None) => {
            return Err("the servers could not say whether a backup is running".to_owned());
        }
        (Some(_), _) => return Err("copies of the collection are under way".to_owned()),
        (None, _) => {
            return Err("the servers could not say whether copies are under way".to_owned());
        }
    }
    if !evidence.tenants_unchanged {
        return Err("tenants were created, removed or put to rest since the plan was made".to_owned());
    }
    if evidence.placement_unchanged {
        Ok(())
    } else {
        Err("the placement changed since the plan was approved".to_owned())
    }
}

fn proof_of_node(evidence: &Evidence, purpose: &Purpose, node: &String) -> Result<(), String> {
    if !evidence.frozen.iter().all(|round| round.contains(node)) {
        return Err(format!("not every shard was read-only at {node}; it may have restarted"));
    }
    match purpose {
        Purpose::Recreate if !evidence.empty.iter().all(|round| round.contains(node)) => {
            return Err(format!("{node} lists objects, or could not be asked"));
        }
        Purpose::Recreate => {}
        Purpose::Clear(request) => match evidence.counted.get(node) {
            None => return Err(format!("the objects at {node} could not be counted")),
            Some(count) if *count > request.count => {
                return Err(format!(
                    "{node} lists {count} objects, more than the {} that were to be removed",
                    request.count
                ));
            }
            Some(_) => {}
        },
    }
    if !evidence.auto_schema_off.contains(node) {
        return Err(format!("auto-schema is not off at {node}: a writer would bring the collection back"));
    }
    if !evidence.tenant_creation_off.contains(node) {
        return Err(format!("at {node} writing still creates or wakes tenants"));
    }
    Ok(())
}
