//! One stretch of a pass: listed, compared, written and cleared, page by page.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::join::{Behind, Disordered, Listed, Pair, pairs};
use super::pass::{Kit, Unit};
use super::ports::{Mirror, Side};
use super::state::{Holding, Kind, Tally};
use super::{Copier, CopyError, before, class};
use crate::backup::digest::object_digest;
use crate::backup::ports::{Store, Stretch};
use crate::backup::restore::batches;
use crate::backup::transform::{Made, Unconverted};
use crate::backup::write::{beside, bounds};
use crate::category::Category;
use crate::object::Object;
use crate::ports::{Clock, PortError, Refusal};

/// Objects that are asked for by their ids at once, at most.
const FETCHED: usize = 100;
/// Objects that are asked for first, when nothing is known of their size.
const FETCHED_FIRST: usize = 8;
/// Bytes of the objects that are asked for at once, about: each replica of both sides answers with as many, in every lane.
const FETCHED_BYTES: usize = 1 << 20;

/// Of an object that a replica does not have (1.38.2, `adapters/repos/db/shard_write_batch_references.go`).
const NOT_FOUND: &str = "not found";

fn later(message: String) -> PortError {
    PortError { category: Category::Weaviate, retryable: true, message }
}

/// What is to be done with objects, and what they are beside that.
#[derive(Debug, Default)]
struct Doings {
    puts: Vec<Object>,
    /// Ids that the target has and the source does not.
    vanished: Vec<Uuid>,
    /// Ids that the target has, and of which the transformation leaves nothing.
    dropped: Vec<Uuid>,
    tally: Tally,
}

impl<R: Store, S: Side, T: Side, M: Mirror, C: Clock> Copier<'_, R, S, T, M, C> {
    pub(super) async fn stretch(&self, kit: &Kit, kind: Kind, unit: &Unit) -> Result<(), CopyError> {
        match kind {
            Kind::First => self.first(kit, unit).await?,
            Kind::Stamps => self.by_stamps(kit, unit).await?,
            Kind::Contents | Kind::Compare => self.by_contents(kit, unit, kind == Kind::Compare).await?,
        }
        self.finish(unit)
    }

    /// Every object, whatever the target has.
    async fn first(&self, kit: &Kit, unit: &Unit) -> Result<(), CopyError> {
        if !unit.source.is_there() {
            return Ok(());
        }
        let mut after = self.begins(unit)?;
        loop {
            self.alive()?;
            let page = self.call(async || self.source.page(unit.of(&self.order.from, after)).await).await?;
            let mut listed = Listed::behind(after);
            let ids = page.objects.iter().map(|object| (object.id, ())).collect();
            added(&mut listed, ids, &self.order.from)?;
            let Some(last) = page.objects.last().map(|object| object.id) else { return Ok(()) };
            let mut tally = Tally { read: page.objects.len() as u64, ..Tally::default() };
            let (transformation, all) = (kit.transformation.clone(), kit.transformation.clone());
            let tenant = unit.tenant.clone();
            let made = move || {
                let apply = |object| Ok(transformation.apply(object, tenant.as_deref())?.object());
                let made = page.objects.into_iter().map(apply);
                made.filter_map(Result::transpose).collect::<Result<Vec<_>, Unconverted>>()
            };
            let objects = beside(move || all.with_stack(made)).await??;
            tally.written = self.put(kit, unit, &objects).await?;
            after = Some(last);
            self.advance(unit, after, tally).await?;
        }
    }

    /// What was written since the last pass began, or is missing; and what vanished.
    async fn by_stamps(&self, kit: &Kit, unit: &Unit) -> Result<(), CopyError> {
        let since = self.progress.with(|state| state.caught_up_to)?.map_or(Timestamp::MIN, before);
        let after = self.begins(unit)?;
        let (mut source, mut target) = (unit.source_behind(after), unit.target_behind(after));
        let mut at_once = FETCHED_FIRST;
        loop {
            self.alive()?;
            if let Some(Behind(after)) = source.wants() {
                let stretch = unit.of(&self.order.from, after);
                let page = self.call(async || self.source.stamps(stretch).await).await?;
                added(&mut source, page, &self.order.from)?;
            }
            if let Some(Behind(after)) = target.wants() {
                let stretch = unit.of(&self.order.into, after);
                let page = self.call(async || self.mirrored.stamps(stretch).await).await?;
                added(&mut target, page, &self.order.into)?;
            }
            let (found, bound) = pairs(&mut source, &mut target);
            let read = found.iter().filter(|pair| pair.source.is_some()).count() as u64;
            let mut tally = Tally { read, ..Tally::default() };
            let is_wanted = |pair: &&Pair<Timestamp, Timestamp>| {
                pair.source.is_some_and(|updated| updated >= since || pair.target.is_none())
            };
            let wanted: Vec<(Uuid, bool)> =
                found.iter().filter(is_wanted).map(|pair| (pair.id, pair.target.is_some())).collect();
            let mut wanted = wanted.as_slice();
            while !wanted.is_empty() {
                let (some, rest) = wanted.split_at(at_once.min(wanted.len()));
                let (fetched, largest) = self.fetched(kit, unit, some).await?;
                tally.join(fetched);
                at_once = fitting(at_once, largest);
                wanted = rest;
            }
            let vanished: Vec<Uuid> = found.iter().filter(|pair| pair.source.is_none()).map(|pair| pair.id).collect();
            tally.join(self.clear(unit, &vanished, true).await?);
            self.advance(unit, bound, tally).await?;
            if bound.is_none() {
                return Ok(());
            }
        }
    }

    /// Objects of the source that may have to be written, with whether the target has something under their ids. Answers
    /// what was done and the bytes of the largest.
    async fn fetched(&self, kit: &Kit, unit: &Unit, wanted: &[(Uuid, bool)]) -> Result<(Tally, usize), CopyError> {
        let (from, into, tenant) = (&self.order.from, &self.order.into, unit.tenant.as_deref());
        let ids: Vec<Uuid> = wanted.iter().map(|(id, _)| *id).collect();
        let objects = self.call(async || self.source.whole(from, tenant, &ids).await).await?;
        let there: Vec<Uuid> = wanted.iter().filter(|(_, is_there)| *is_there).map(|(id, _)| *id).collect();
        let there = self.call(async || self.mirrored.whole(into, tenant, &there).await).await?;
        let mut there: BTreeMap<Uuid, Object> = there.into_iter().map(|object| (object.id, object)).collect();
        let largest = objects.iter().chain(there.values()).map(Object::bytes).max().unwrap_or_default();
        // What the source has no more is left to the next pass.
        let found = objects.into_iter().map(|source| {
            let target = there.remove(&source.id);
            Pair { id: source.id, source: Some(source), target }
        });
        let doings = kit.compared(unit, found.collect(), BTreeSet::new()).await?;
        Ok((self.act(kit, unit, doings).await?, largest))
    }

    /// By everything that both sides have; and if it is only to compare them, without any change.
    async fn by_contents(&self, kit: &Kit, unit: &Unit, is_look: bool) -> Result<(), CopyError> {
        let after = self.begins(unit)?;
        let (mut source, mut target) = (unit.source_behind(after), unit.target_behind(after));
        let mut unlike = BTreeSet::new();
        let paired = |objects: Vec<Object>| -> Vec<(Uuid, Object)> {
            objects.into_iter().map(|object| (object.id, object)).collect()
        };
        loop {
            self.alive()?;
            if let Some(Behind(after)) = source.wants() {
                let stretch = unit.of(&self.order.from, after);
                let page = self.call(async || self.source.page(stretch).await).await?;
                added(&mut source, paired(page.objects), &self.order.from)?;
            }
            if let Some(Behind(after)) = target.wants() {
                let stretch = unit.of(&self.order.into, after);
                let page = self.call(async || self.mirrored.page(stretch).await).await?;
                unlike.extend(page.unlike);
                added(&mut target, paired(page.objects), &self.order.into)?;
            }
            let (found, bound) = pairs(&mut source, &mut target);
            let read = found.iter().filter(|pair| pair.source.is_some()).count() as u64;
            // One of its replicas is not what it should be, whichever was listed: it is written anew, to all of them.
            let anew = found.iter().map(|pair| pair.id).filter(|id| unlike.remove(id)).collect();
            let doings = kit.compared(unit, found, anew).await?;
            let mut tally = Tally { read, ..doings.tally };
            if !is_look {
                tally.join(self.act(kit, unit, Doings { tally: Tally::default(), ..doings }).await?);
            }
            self.advance(unit, bound, tally).await?;
            if bound.is_none() {
                return Ok(());
            }
        }
    }

    async fn act(&self, kit: &Kit, unit: &Unit, doings: Doings) -> Result<Tally, CopyError> {
        let Doings { puts, vanished, dropped, tally } = doings;
        let mut tally = Tally { written: self.put(kit, unit, &puts).await?, ..tally };
        tally.join(self.clear(unit, &vanished, true).await?);
        tally.join(self.clear(unit, &dropped, false).await?);
        Ok(tally)
    }

    /// Removes what the source does not have from a target that is this copy's own. `is_asked`: the source is asked for each
    /// of them once more, a majority of its replicas and not a listing: unseen is not gone.
    async fn clear(&self, unit: &Unit, ids: &[Uuid], is_asked: bool) -> Result<Tally, CopyError> {
        let mut tally = Tally::default();
        if ids.is_empty() {
            return Ok(tally);
        }
        if self.progress.with(|state| state.holding)? != Holding::Own {
            tally.left = ids.len() as u64;
            return Ok(tally);
        }
        let tenant = unit.tenant.as_deref();
        for ids in ids.chunks(FETCHED) {
            let mut gone = ids.to_vec();
            if is_asked && unit.source.is_there() {
                let present = self.call(async || self.source.present(&self.order.from, tenant, ids).await).await?;
                gone.retain(|id| !present.contains(id));
            }
            if gone.is_empty() {
                continue;
            }
            // Right before: an emptied source may be one that was made anew.
            self.are_the_same().await?;
            self.call(async || self.mirror.remove(tenant, &gone).await).await?;
            tally.removed += gone.len() as u64;
        }
        Ok(tally)
    }

    async fn put(&self, kit: &Kit, unit: &Unit, objects: &[Object]) -> Result<u64, CopyError> {
        let tenant = unit.tenant.as_deref();
        for batch in batches(objects) {
            self.alive()?;
            let mut left: Vec<&Object> = batch.iter().collect();
            let mut refused = None;
            let mut is_again = false;
            let put = async || {
                let was_again = std::mem::replace(&mut is_again, true);
                let refusals = self.write(kit, tenant, &left).await?;
                let is_refused = |object: &&Object| refusals.iter().any(|refusal| refusal.id == object.id);
                if was_again {
                    let taken: Vec<&Object> = left.iter().copied().filter(|object| !is_refused(object)).collect();
                    self.are_linked(kit, tenant, &taken).await?;
                }
                left.retain(is_refused);
                match refusals.into_iter().find(|refusal| !refusal.error.retryable) {
                    Some(refusal) => refused = Some(refusal),
                    None if left.is_empty() => {}
                    None => return Err(later(format!("{} objects were refused for now", left.len()))),
                }
                Ok(())
            };
            self.call(put).await?;
            if let Some(refusal) = refused {
                return Err(CopyError::Refused { id: refusal.id, reason: refusal.error.message });
            }
        }
        Ok(objects.len() as u64)
    }

    /// Writes objects, and their references behind them: servers refuse an object with one that leads to nothing. After an
    /// error any of it may be done, and all of it is done again: an object that is written anew has no references. What an
    /// earlier call still does at the servers is looked for then ([`Self::are_linked`]).
    ///
    /// A copier that ends between the two leaves objects without references. Its pass goes on in front of them
    /// ([`Copier::copy`]).
    async fn write(&self, kit: &Kit, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        let references = &kit.references;
        if references.is_empty() {
            return self.mirror.put(tenant, objects).await;
        }
        let bare: Vec<Object> = objects.iter().map(|object| references.without(object)).collect();
        let mut refusals = self.mirror.put(tenant, &bare.iter().collect::<Vec<_>>()).await?;
        let is_linked =
            |object: &&Object| references.has(object) && refusals.iter().all(|refusal| refusal.id != object.id);
        let linked: Vec<&Object> = objects.iter().copied().filter(is_linked).collect();
        if !linked.is_empty() {
            let unlinked = self.mirror.add_references(tenant, &linked, references).await?;
            // They were confirmed a moment ago: what says that one is not there is a replica that was away, and writing it
            // anew gives it to that one.
            refusals.extend(unlinked.into_iter().map(|mut refusal| {
                refusal.error.retryable |= refusal.error.message.contains(NOT_FOUND);
                refusal
            }));
        }
        Ok(refusals)
    }

    /// That these objects lead where they should, after calls of which nobody knows what they did.
    async fn are_linked(&self, kit: &Kit, tenant: Option<&str>, objects: &[&Object]) -> Result<(), PortError> {
        let references = &kit.references;
        if references.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = objects.iter().map(|object| object.id).collect();
        let there = self.mirror.fetch(tenant, &ids).await?;
        let there: BTreeMap<Uuid, Object> = there.into_iter().map(|object| (object.id, object)).collect();
        let is_as_wanted = |object: &&&Object| {
            there.get(&object.id).is_some_and(|found| references.of(found).eq(references.of(object)))
        };
        match objects.iter().find(|object| !is_as_wanted(object)) {
            None => Ok(()),
            Some(object) => Err(later(format!("object {} does not yet lead where it should", object.id))),
        }
    }

    /// Behind which id it begins, or goes on.
    fn begins(&self, unit: &Unit) -> Result<Option<Uuid>, CopyError> {
        let (first, _) = bounds(unit.slice, unit.slices);
        let after = self.progress.with(|state| {
            let pass = state.pass.as_mut()?;
            pass.position(unit.tenant.as_deref(), unit.slice).after
        })?;
        Ok(after.or(first))
    }

    /// Everything up to this id is dealt with; `None`: whatever that was before.
    async fn advance(&self, unit: &Unit, after: Option<Uuid>, tally: Tally) -> Result<(), CopyError> {
        let now = self.clock.now();
        let is_due = self.progress.with(|state| {
            if let Some(pass) = &mut state.pass {
                let position = pass.position(unit.tenant.as_deref(), unit.slice);
                position.after = after.or(position.after);
                // Noted with the counts: a stretch that is begun again at its last page would count that once more.
                position.is_done |= after.is_none();
                position.tally.join(tally);
            }
            let is_due = now.duration_since(state.updated_at).unsigned_abs() >= self.order.save_each;
            if is_due {
                state.updated_at = now;
            }
            is_due
        })?;
        if is_due { self.save().await } else { Ok(()) }
    }

    pub(super) fn finish(&self, unit: &Unit) -> Result<(), CopyError> {
        self.progress.with(|state| {
            if let Some(pass) = &mut state.pass {
                pass.position(unit.tenant.as_deref(), unit.slice).is_done = true;
            }
        })
    }
}

/// How many objects are asked for next, when the largest of the last ones had so many bytes: at most four times as many as
/// then, since the next ones may be larger.
fn fitting(before: usize, largest: usize) -> usize {
    (FETCHED_BYTES / largest.max(1)).clamp(1, FETCHED.min(before * 4))
}

/// A page was listed. One that is out of order says nothing of what is missing.
fn added<V>(listed: &mut Listed<V>, page: Vec<(Uuid, V)>, collection: &str) -> Result<(), CopyError> {
    let disordered = |Disordered(id)| CopyError::Disorder { collection: collection.to_owned(), id };
    listed.add(page).map_err(disordered)
}

impl Kit {
    /// What is to be done about objects of which both sides have spoken. Hashing takes milliseconds: it is done beside the
    /// threads that wait for answers.
    /// `unlike`: those of which the target's replicas differ from one another.
    async fn compared(
        &self,
        unit: &Unit,
        found: Vec<Pair<Object, Object>>,
        unlike: BTreeSet<Uuid>,
    ) -> Result<Doings, CopyError> {
        let (transformation, computed) = (self.transformation.clone(), self.computed.clone());
        let (all, tenant) = (self.transformation.clone(), unit.tenant.clone());
        let work = move || {
            let mut out = Doings::default();
            for Pair { id, source, target } in found {
                let was_there = source.is_some();
                let made = match source {
                    Some(object) => transformation.apply(object, tenant.as_deref())?.object(),
                    None => None,
                };
                out.tally.source += u64::from(made.is_some());
                out.tally.target += u64::from(target.is_some());
                match (made, target) {
                    (None, None) => continue,
                    (Some(wanted), target) => {
                        let target = target.filter(|_| !unlike.contains(&id));
                        let is_same = target.is_some_and(|target| {
                            object_digest(&class::as_given(target, &wanted, &computed)) == object_digest(&wanted)
                        });
                        if is_same {
                            continue;
                        }
                        out.puts.push(wanted);
                    }
                    (None, Some(_)) if was_there => out.dropped.push(id),
                    (None, Some(_)) => out.vanished.push(id),
                }
                out.tally.differing += 1;
            }
            Ok::<_, Unconverted>(out)
        };
        Ok(beside(move || all.with_stack(work)).await??)
    }
}

impl Unit {
    fn of<'a>(&'a self, collection: &'a str, after: Option<Uuid>) -> Stretch<'a> {
        let (_, until) = bounds(self.slice, self.slices);
        Stretch { collection, tenant: self.tenant.as_deref(), slice: self.slice, after, until }
    }

    fn source_behind<V>(&self, after: Option<Uuid>) -> Listed<V> {
        if self.source.is_there() { Listed::behind(after) } else { Listed::nothing() }
    }

    fn target_behind<V>(&self, after: Option<Uuid>) -> Listed<V> {
        if self.target.is_there() { Listed::behind(after) } else { Listed::nothing() }
    }
}

impl Made {
    /// What is to be written, if anything.
    fn object(self) -> Option<Object> {
        match self {
            Self::Object { object, dropped: _ } => Some(object),
            Self::Unselected | Self::Skipped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_objects_are_asked_for_a_few_at_a_time() {
        for (before, largest, wanted) in [
            (FETCHED_FIRST, 100, 32),
            (32, 100, FETCHED),
            (FETCHED, FETCHED_BYTES / 10, 10),
            (10, 50 * FETCHED_BYTES, 1),
            (1, 0, 4),
        ] {
            assert_eq!(fitting(before, largest), wanted, "{before} {largest}");
        }
    }
}
