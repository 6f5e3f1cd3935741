//! Everything that stands in the way of a restore, before its first write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::receipt::{Receipt, State};
use super::whole::{Kept, Sameness, kept, sameness};
use super::{AliasState, Blocker, Computed, Conflict, Order, aliases, leading, standing};
use crate::backup::columns::hashed;
use crate::backup::manifest::{Index, Manifest, Part, RunMode};
use crate::backup::opened::{Chain, part_name};
use crate::backup::ports::{Store, Target};
use crate::backup::references::References;
use crate::backup::stored::{self, StoredError};
use crate::backup::transform::{Select, Transformation};
use crate::backup::verify::{Depth, Fault, Look};
use crate::category::Category;
use crate::ports::PortError;

/// What was found before the first write.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// The run; `None` where a blocker says why.
    pub manifest: Option<Manifest>,
    /// The collection in it.
    pub index: Option<Index>,
    /// What is made of class and objects; `None` where a blocker says why.
    pub transformation: Option<Transformation>,
    /// The class that has to be made; `None` where there is one.
    pub class: Option<Value>,
    /// Tenants that have to be made.
    pub tenants: Vec<String>,
    /// Aliases that led to the collection when it was backed up, and how they stand. What is absent is made.
    pub aliases: BTreeMap<String, AliasState>,
    /// Vectors that objects lack and that the servers compute as these are written.
    pub computed: Vec<Computed>,
    /// The receipt, as it is to be.
    pub receipt: Receipt,
    /// Whether there was none.
    pub is_new: bool,
    /// Whether it says something else than what is stored: what does not count any more must not count for the next one
    /// either, which may find other things there.
    pub is_changed: bool,
    /// Whether objects that are there are somebody else's unless they are what the restore writes: it was cut off before it
    /// could note a part, and nothing tells the class from another one that was made and filled under its name since.
    pub is_guarded: bool,
    /// Properties that are references, in what is written or in what is there.
    pub references: References,
    /// Everything that stands in the way.
    pub blockers: Vec<Blocker>,
}

/// What is restored from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The run, and those that it builds on.
    pub(super) chain: Chain,
    /// The collection in each of them, with its place in the chain.
    pub(super) indexes: Vec<(usize, Index)>,
}

/// Looks at everything, writes nothing. Parts that a receipt calls done are not looked at again.
pub async fn preflight<S: Store, R: Store, T: Target>(
    store: &S,
    receipts: &R,
    target: &T,
    order: &Order,
    now: Timestamp,
) -> Result<Preflight, StoredError> {
    look(store, receipts, target, order, now).await.map(|(found, _)| found)
}

/// The same, with what is restored from.
pub(super) async fn look<S: Store, R: Store, T: Target>(
    store: &S,
    receipts: &R,
    target: &T,
    order: &Order,
    now: Timestamp,
) -> Result<(Preflight, Option<Origin>), StoredError> {
    let found = stored::read::<Receipt, _>(receipts, &order.receipt).await?.map(|(receipt, _)| receipt);
    let is_new = found.is_none();
    let receipt = found.clone().unwrap_or_else(|| Receipt::begin(order, now));
    let mut out = Preflight {
        manifest: None,
        index: None,
        transformation: None,
        class: None,
        tenants: Vec::new(),
        aliases: BTreeMap::new(),
        computed: Vec::new(),
        receipt,
        is_new,
        is_changed: is_new,
        is_guarded: false,
        references: References::default(),
        blockers: Vec::new(),
    };
    if !out.receipt.is_of(order) {
        let Receipt { run, into, target, .. } = out.receipt.clone();
        out.receipt = Receipt::begin(order, now);
        out.blockers.push(Blocker::OtherReceipt { run, into, target });
        return Ok((out, None));
    }
    if let Some(leads_to) = target.own_alias().await? {
        // Its class is another's. One that leads nowhere keeps the name from being a class's all the same.
        out.blockers.push(Blocker::IntoAlias { into: order.into.clone(), leads_to });
        return Ok((out, None));
    }
    let before = target.class().await?;
    if before.is_none() {
        // Whatever was written went with it.
        out.receipt.forget();
    }
    let origin = backup(store, target, before.as_ref(), order, &mut out).await?;
    // To hash every part takes its time: somebody may have made the class meanwhile, or deleted it.
    let class = target.class().await?;
    if before.is_some() && class.is_none() && out.receipt.state == State::Running {
        if !out.receipt.done.is_empty() {
            let message = format!("collection {} was deleted while the backup was looked at", order.into);
            return Err(PortError { category: Category::Weaviate, retryable: true, message }.into());
        }
        out.receipt.forget();
    }
    if class.is_some() && out.receipt.state == State::Running && out.receipt.has_written() {
        // Or deleted it and made another one.
        if sameness(target, &out.receipt).await? == Sameness::Other {
            let message = format!("collection {} was made again while the backup was looked at", order.into);
            return Err(PortError { category: Category::Weaviate, retryable: true, message }.into());
        }
    }
    let own = origin.as_ref().and_then(|origin| origin.indexes.first()).map(|(_, own)| own);
    if let (Some(origin), Some(index), Some(transformation)) = (&origin, own, out.transformation.take()) {
        let made = transformation.class();
        standing::standing(target, class.clone(), order, index, made, &mut out).await?;
        if out.receipt.state == State::Running {
            leading::look(store, target, order, origin, (class.as_ref(), made), &mut out).await?;
        }
        out.transformation = Some(transformation);
        named(target, &index.aliases, order, &mut out).await?;
    }
    out.index = own.cloned();
    out.is_changed = found.is_none_or(|found| found != out.receipt);
    Ok((out, origin))
}

/// The aliases of the backup. Once objects are written the restore goes on, and tells in the end which it could not make.
async fn named<T: Target>(target: &T, aliases: &[String], order: &Order, out: &mut Preflight) -> Result<(), PortError> {
    if out.receipt.state == State::Done {
        out.aliases.clone_from(&out.receipt.aliases);
        return Ok(());
    }
    out.aliases = aliases::look(target, aliases, order).await?;
    if !out.receipt.has_written() {
        let taken = out.aliases.iter().filter(|(_, state)| **state == AliasState::Taken);
        out.blockers.extend(taken.map(|(alias, _)| Blocker::AliasTaken { alias: alias.clone() }));
    }
    Ok(())
}

/// Whether anything of a part is taken.
pub(in crate::backup) fn is_chosen(select: &Select, part: &Part) -> bool {
    part.tenant.as_deref().is_none_or(|tenant| select.takes_tenant(tenant)) && select.takes_ids(part.first, part.last)
}

/// The backup's side.
async fn backup<S: Store, T: Target>(
    store: &S,
    target: &T,
    class: Option<&Value>,
    order: &Order,
    out: &mut Preflight,
) -> Result<Option<Origin>, PortError> {
    let damaged = |fault| match fault {
        // It is whole, and no objects are to be had of it.
        Fault::Native { .. } => Blocker::Native { fault },
        fault => Blocker::Damaged { fault },
    };
    let chain = match Chain::open(store, &order.run, order.key.as_ref()).await? {
        Ok(chain) => chain,
        Err(fault) => {
            out.blockers.push(damaged(fault));
            return Ok(None);
        }
    };
    let manifest = &chain.own().manifest;
    let Some(note) = manifest.collection(&order.collection) else {
        let has = manifest.collections.iter().map(|collection| collection.name.clone()).collect();
        let (run, collection) = (order.run.clone(), order.collection.clone());
        out.blockers.push(Blocker::NoCollection { run, collection, has });
        return Ok(None);
    };
    let indexes = match chain.indexes(store, &order.collection).await? {
        Ok(indexes) => indexes,
        Err(fault) => {
            out.blockers.push(damaged(fault));
            return Ok(None);
        }
    };
    if let Some(class) = class.filter(|_| out.receipt.state == State::Running) {
        match kept(target, class, order, (&chain, &indexes), &out.receipt).await? {
            Kept::All => {}
            Kept::Begun => {
                out.is_guarded = order.conflict == Conflict::Fail || order.must_be_empty;
                out.receipt.begin_again();
            }
            // Whatever is there is asked for again, as if this restore had never been.
            Kept::Untold if order.conflict == Conflict::Fail || order.must_be_empty => out.receipt.forget(),
            Kept::Some | Kept::Untold => out.receipt.begin_again(),
            Kept::Nothing => out.receipt.forget(),
        }
    }
    let is_left = |place: usize, part: &Part| {
        let name = part_name(place, &chain.runs()[place].manifest.run, &part.file.key);
        is_chosen(&order.select, part) && !out.receipt.done.contains(&name)
    };
    let look = Look { store, chain: &chain, note, indexes: &indexes, depth: Depth::Hashes };
    let findings = look.all(&is_left, &|_| {}).await?;
    out.blockers.extend(findings.faults.into_iter().map(damaged));
    if let Some((_, own)) = indexes.first() {
        taken(own, order, manifest.mode, out);
    }
    out.manifest = Some(manifest.clone());
    Ok(Some(Origin { chain, indexes }))
}

/// What is taken of the collection, and what is made of it.
fn taken(own: &Index, order: &Order, mode: RunMode, out: &mut Preflight) {
    let tenants = || own.tenants.iter().flatten();
    if mode == RunMode::Full {
        let is_left_out = |name: &str| order.select.takes_tenant(name);
        let mut left_out = tenants().filter(|tenant| tenant.contents.is_none() && is_left_out(&tenant.name));
        if let Some(first) = left_out.next() {
            out.blockers.push(Blocker::LeftOut { count: left_out.count() + 1, tenant: first.name.clone() });
        }
    }
    let known: std::collections::BTreeSet<&String> = tenants().map(|tenant| &tenant.name).collect();
    let selected = order.select.tenants.iter().flatten().filter(|name| !known.contains(name));
    out.blockers.extend(selected.map(|tenant| Blocker::UnknownTenant { tenant: tenant.clone() }));
    match Transformation::of(&own.schema, &order.select, &order.transform) {
        Ok(parsed) => {
            // Without objects nothing is hashed, and what is done is done.
            if mode == RunMode::Full && out.receipt.state == State::Running {
                out.blockers.extend(hashed(parsed.class()).map(|property| Blocker::Hashed { property }));
            }
            out.transformation = Some(parsed.into_collection(&order.collection, &order.into));
        }
        Err(problems) => {
            out.blockers.extend(problems.into_iter().map(|problem| Blocker::Transform { problem }));
        }
    }
}
