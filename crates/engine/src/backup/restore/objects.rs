//! One part of a restore: what lives in it, what is selected, what becomes of it, and its way to the servers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use uuid::Uuid;

use super::flow::{Beside, Decoded, Manner};
use super::links::{Links, Pass, firm};
use super::preflight::Origin;
use super::{Blocker, Conflict, Counts, RestoreError, Restorer};
use crate::backup::digest::object_digest;
use crate::backup::living::{Broken, Group, LivingPart};
use crate::backup::manifest::{ByTenant, Part};
use crate::backup::part::Groups;
use crate::backup::ports::{Store, Target};
use crate::backup::transform::{Made, Transformation, Unconverted};
use crate::backup::write::beside;
use crate::object::Object;
use crate::ports::Clock;

/// Objects of one batch, and their bytes: of 500 objects in a batch servers took five percent less in a second than of
/// 1,000 (384 dimensions, 1.38.2). About as many are in one group of a part, and a small batch behind it would be waited for.
const BATCH_OBJECTS: usize = 1_200;
const BATCH_BYTES: usize = 4 << 20;

impl<S: Store, R: Store, T: Target, C: Clock> Restorer<'_, S, R, T, C> {
    /// One part, group by group; answers whether anybody wants more.
    pub(super) async fn part(
        &self,
        (origin, roll, pass): (&Origin, &ByTenant<'_>, Pass),
        place: usize,
        part: &Part,
        groups: Groups,
        transformation: &Arc<Transformation>,
        decoded: &mpsc::Sender<Decoded<'_>>,
    ) -> Result<bool, RestoreError> {
        let mut living = LivingPart::new(self.store, &origin.chain, roll, place, part, groups);
        loop {
            let group = self.call(async || living.next().await);
            let group = self.progress.decoding.of(self.clock, group).await?.map_err(|broken| match broken {
                Broken::Fault(fault) => RestoreError::Damaged(fault),
                Broken::Undecodable(source) => RestoreError::Undecodable { key: part.file.key.clone(), source },
            })?;
            let Some(Group { objects, read }) = group else { return Ok(true) };
            let dead = read - objects.len() as u64;
            let transformation = transformation.clone();
            let tenant = part.tenant.clone();
            let made = move || transformation.with_stack(|| transformed(&transformation, tenant.as_deref(), objects));
            let made = beside(made);
            let (objects, made) = self.progress.decoding.of(self.clock, made).await??;
            if pass == Pass::Objects {
                self.progress.objects.fetch_add(dead + made.all(), Ordering::Relaxed);
            }
            if decoded.send(Decoded::Group(objects, made)).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// One call's objects. Where they may be there already as they are to be written, those that are stay untouched.
    pub(super) async fn batch(
        &self,
        tenant: Option<&str>,
        objects: &[Object],
        beside: Beside,
        Manner { pass, links, .. }: Manner<'_>,
    ) -> Result<Counts, RestoreError> {
        if self.stop.is_set() {
            return Err(RestoreError::Stopped);
        }
        if pass == Pass::References {
            self.link_behind(tenant, objects, links).await?;
            return Ok(Counts::default());
        }
        let mut counts = Counts::default();
        let mut mixed: Vec<Object> = Vec::new();
        let mut whole: Vec<&Object> = Vec::with_capacity(objects.len());
        if beside != Beside::Unasked || matches!(self.order.conflict, Conflict::Skip | Conflict::Merge) {
            let ids: Vec<Uuid> = objects.iter().map(|object| object.id).collect();
            let there = self.call(async || self.target.fetch(tenant, &ids).await).await?;
            let there: BTreeMap<_, _> = there.into_iter().map(|it| (it.id, it)).collect();
            for object in objects {
                match there.get(&object.id) {
                    None => whole.push(object),
                    Some(was) if beside == Beside::Guarded => {
                        // It may have been cut off before its references were written.
                        let bare = |object| links.bare(object, Pass::Objects);
                        if !is_equal(&bare(was), &bare(object)) {
                            let (into, tenant) = (self.order.into.clone(), tenant.map(str::to_owned));
                            return Err(RestoreError::Blocked(vec![Blocker::NotEmpty { into, tenant }]));
                        }
                        whole.push(object);
                    }
                    // Cut off before its references were written: nobody else's, or no different from it so far.
                    Some(was) if !links.is_sure && is_begun(was, object, links) => whole.push(object),
                    Some(_) if self.order.conflict == Conflict::Skip => counts.skipped += 1,
                    Some(was) if beside == Beside::Compared && is_equal(was, object) => counts.unchanged += 1,
                    Some(_) if self.order.conflict == Conflict::Overwrite => whole.push(object),
                    Some(was) => mixed.push(merged(was, object)),
                }
            }
        } else {
            whole.extend(objects);
        }
        counts.written = whole.len() as u64;
        counts.merged = mixed.len() as u64;
        whole.extend(&mixed);
        self.put(tenant, &whole, links, pass).await?;
        if !links.is_after {
            self.link(tenant, &whole, links).await?;
        }
        let bytes = whole.iter().map(|object| object.bytes()).sum::<usize>();
        self.progress.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.progress.objects.fetch_add(counts.all(), Ordering::Relaxed);
        Ok(counts)
    }

    /// Writes objects without their references.
    pub(super) async fn put(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        links: &Links,
        pass: Pass,
    ) -> Result<(), RestoreError> {
        if objects.is_empty() {
            return Ok(());
        }
        let other = objects.iter().filter(|object| links.is_bare_else(object));
        let bare: BTreeMap<Uuid, Object> = other.map(|object| (object.id, links.bare(object, pass))).collect();
        let mut left: Vec<&Object> = objects.iter().map(|object| bare.get(&object.id).unwrap_or(object)).collect();
        let mut refused = None;
        let put = async || {
            let refusals = self.target.put(tenant, &left).await?;
            left.retain(|object| refusals.iter().any(|refusal| refusal.id == object.id));
            refused = firm(refusals)?;
            Ok(())
        };
        self.call(put).await?;
        match refused {
            Some(refusal) => Err(RestoreError::Refused { id: refusal.id, reason: refusal.error.message }),
            None => Ok(()),
        }
    }
}

/// Whether nothing would change: properties that are `null` and those that are absent are the same.
fn is_equal(was: &Object, object: &Object) -> bool {
    was == object || object_digest(was) == object_digest(object)
}

/// Whether an object is one that is to be written, with the first of its references, or with none of them, and nothing else.
fn is_begun(was: &Object, object: &Object, links: &Links) -> bool {
    let references = &links.references;
    let (mut there, mut wanted) = (references.of(was), references.of(object));
    let is_beginning = there.all(|reference| wanted.next() == Some(reference));
    is_beginning && wanted.next().is_some() && is_equal(&references.without(was), &references.without(object))
}

/// Objects as they are to be written, and what became of the others.
pub(in crate::backup) fn transformed(
    transformation: &Transformation,
    tenant: Option<&str>,
    objects: Vec<Object>,
) -> Result<(Vec<Object>, Counts), Unconverted> {
    let mut counts = Counts::default();
    let mut out = Vec::with_capacity(objects.len());
    for object in objects {
        match transformation.apply(object, tenant)? {
            Made::Object { object, dropped } => {
                counts.dropped += dropped;
                out.push(object);
            }
            Made::Unselected => counts.unselected += 1,
            Made::Skipped => counts.unconverted += 1,
        }
    }
    Ok((out, counts))
}

fn merged(was: &Object, object: &Object) -> Object {
    let mut out = was.clone();
    let properties = object.properties.iter().filter(|(_, value)| !value.is_null());
    out.properties.extend(properties.map(|(name, value)| (name.clone(), value.clone())));
    out.vectors.extend(object.vectors.iter().map(|(name, vector)| (name.clone(), vector.clone())));
    out
}

/// Cuts objects into batches, in their order, and as evenly as their bytes allow.
pub(crate) fn batches(objects: &[Object]) -> impl Iterator<Item = &[Object]> {
    let most = objects.len().div_ceil(objects.len().div_ceil(BATCH_OBJECTS).max(1));
    let mut rest = objects;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut length = 0;
        for object in rest.iter().take(most) {
            bytes += object.bytes();
            if length > 0 && bytes > BATCH_BYTES {
                break;
            }
            length += 1;
        }
        let (batch, behind) = rest.split_at(length);
        rest = behind;
        (length > 0).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_cut_evenly_and_within_the_bounds() {
        let object = |letters: usize| Object {
            id: Uuid::nil(),
            properties: json!({"text": "x".repeat(letters)}).as_object().cloned().unwrap_or_default(),
            vectors: BTreeMap::new(),
        };
        for (count, letters, wanted) in [
            (0, 1, vec![]),
            (1, 1, vec![1]),
            (1_200, 1, vec![1_200]),
            (1_250, 1, vec![625, 625]),
            (2_401, 1, vec![801, 801, 799]),
            (5, 2 << 20, vec![1, 1, 1, 1, 1]),
            (2, 8 << 20, vec![1, 1]),
        ] {
            let objects = vec![object(letters); count];
            let found: Vec<_> = batches(&objects).map(<[_]>::len).collect();
            assert_eq!(found, wanted, "{count} of {letters}");
        }
    }
}
