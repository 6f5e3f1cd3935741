//! One collection of a run: its objects into parts, its index behind them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::base::BaseStream;
use super::lane::{Lane, Read, unencoded};
use super::{Job, MOST_SLICES, Reading, WriteError, beside, bounds};
use crate::backup::columns::Columns;
use crate::backup::digest::{Contents, object_digest};
use crate::backup::filter::{Filter, Times};
use crate::backup::layout;
use crate::backup::manifest::{
    ByTenant, CollectionNote, FORMAT, FORMAT_VERSION, Index, Part, REFERENCES_VERSION, ReplicasNote, RunMode,
    VectorNotes, by_tenant,
};
use crate::backup::opened::OpenRun;
use crate::backup::ports::{Described, ObjectSource, Page, Store, Stretch};
use crate::backup::roll::{GoneWriter, Record, RollWriter};
use crate::backup::stored::{document, too_much};
use crate::object::Object;
use crate::ports::Clock;

/// The base of one collection.
pub(super) struct Base<'a> {
    run: &'a OpenRun,
    index: &'a Index,
    /// Its roll, or its parts.
    files: ByTenant<'a>,
}

impl<'a> Base<'a> {
    fn new(run: &'a OpenRun, index: &'a Index) -> Self {
        let files = by_tenant(if run.manifest.base.is_empty() { &index.parts } else { &index.roll });
        Self { run, index, files }
    }
}

impl<S: Store, O: ObjectSource, C: Clock> Job<'_, '_, S, O, C> {
    pub(super) async fn collection(&self, reading: Reading<'_>, was: Described) -> Result<CollectionNote, WriteError> {
        let reading = &reading;
        let found = self.base_of(reading).await?;
        let base = found.as_ref().map(|(run, index)| Base::new(run, index));
        let base = base.as_ref();
        let mut read = Read::nothing();
        let mut notes = None;
        match was.tenants {
            None => read.join(self.objects(reading, base, None).await?),
            Some(tenants) => {
                let notes = notes.insert(Vec::new());
                let units = tenants.into_iter().map(|tenant| self.tenant(reading, base, tenant));
                let take = |found: Option<_>| {
                    if let Some((note, part)) = found {
                        notes.push(note);
                        read.join(part);
                    }
                };
                self.side_by_side(units, take).await?;
            }
        }
        if self.writer.order.mode == RunMode::Full {
            self.unchanged(reading).await?;
        }
        for (name, lengths) in base.into_iter().flat_map(|base| &base.index.dimensions) {
            read.vectors.dimensions.entry(name.clone()).or_default().extend(lengths);
        }
        let Read { parts, roll, gone, replicas, vectors: VectorNotes { dimensions, lacking } } = read;
        let is_sealed = self.sealer.is_some();
        let index = Index {
            format: FORMAT.to_owned(),
            version: if reading.columns.have_references() { REFERENCES_VERSION } else { FORMAT_VERSION },
            collection: reading.name.to_owned(),
            schema: was.schema,
            aliases: was.aliases,
            columns: (*reading.columns).clone(),
            tenants: notes,
            parts,
            roll,
            gone,
            dimensions,
            lacking,
            filter: self.writer.order.filter.as_ref().map(ToString::to_string),
            replicas: is_sealed.then(|| replicas.clone()),
        };
        self.close_collection(index, replicas).await
    }

    /// The index is written, and the manifest is told.
    async fn close_collection(&self, index: Index, mut replicas: ReplicasNote) -> Result<CollectionNote, WriteError> {
        if self.sealer.is_some() {
            // Ids and tenants are for those who have the key.
            replicas.first.clear();
        }
        let written = sum(&index.parts);
        let is_full = self.writer.order.mode == RunMode::Full;
        let left_out = index.tenants.iter().flatten().filter(|tenant| is_full && tenant.contents.is_none()).count();
        let text = document(&index);
        if let Some(reason) = too_much(&text) {
            return Err(WriteError::TooMuch { collection: index.collection, reason });
        }
        let note = self.file(layout::index(&index.collection), text.into()).await?;
        Ok(CollectionNote {
            contents: if self.base.is_some() { sum(&index.roll) } else { written },
            written: self.base.is_some().then_some(written),
            gone: index.gone.iter().map(|part| part.ids).sum(),
            parts: index.parts.len(),
            bytes: index.parts.iter().map(|part| part.file.bytes).sum(),
            tenants: index.tenants.as_ref().map(Vec::len),
            left_out,
            replicas,
            name: index.collection,
            index: note,
        })
    }

    async fn base_of(&self, reading: &Reading<'_>) -> Result<Option<(&OpenRun, Index)>, WriteError> {
        let Some(chain) = &self.base else { return Ok(None) };
        let run = chain.own();
        let Some(note) = run.manifest.collection(reading.name) else { return Ok(None) };
        let index = self.writer.call(async || run.index(self.writer.store, note).await).await?;
        index.map(|index| Some((run, index))).map_err(|fault| self.unusable(&fault))
    }

    fn unusable(&self, fault: &dyn std::fmt::Display) -> WriteError {
        let run = self.writer.order.base.clone().unwrap_or_default();
        WriteError::Base { run, reason: fault.to_string() }
    }

    /// The class must be what the parts were written by. Its settings may have changed, its properties and vectors not.
    async fn unchanged(&self, reading: &Reading<'_>) -> Result<(), WriteError> {
        let now = self.writer.call(async || self.writer.source.describe(reading.name).await).await?;
        let columns = now.and_then(|now| Columns::of_class(&now.schema).ok());
        if columns.as_ref() == Some(&*reading.columns) {
            Ok(())
        } else {
            Err(WriteError::Changed(reading.name.to_owned()))
        }
    }

    /// All objects of one tenant, several stretches at once.
    pub(super) async fn objects(
        &self,
        reading: &Reading<'_>,
        base: Option<&Base<'_>>,
        tenant: Option<&str>,
    ) -> Result<Read, WriteError> {
        let mut all = Read::nothing();
        if self.writer.order.mode != RunMode::Full {
            return Ok(all);
        }
        let slices = self.call(async || self.writer.source.slices(reading.name, tenant).await).await?;
        let slices = evenly(slices.clamp(1, MOST_SLICES), self.lanes.most());
        let stretches = (0..slices).map(|slice| self.stretch(reading, base, tenant, slice, slices));
        self.side_by_side(stretches, |read| all.join(read)).await?;
        Ok(all)
    }

    async fn stretch(
        &self,
        reading: &Reading<'_>,
        base: Option<&Base<'_>>,
        tenant: Option<&str>,
        slice: usize,
        slices: usize,
    ) -> Result<Read, WriteError> {
        let _lane = self.lanes.take().await?;
        let (mut after, until) = bounds(slice, slices);
        let store = self.writer.store;
        let base = base.map(|base| {
            let files = base.files.get(&tenant).map(Vec::as_slice).unwrap_or_default();
            BaseStream::new(store, base.run, &base.index.columns, files, (after, until))
        });
        let mut lane = Lane {
            tenant,
            slice,
            base,
            part: None,
            roll: RollWriter::default(),
            gone: GoneWriter::default(),
            read: Read::nothing(),
        };
        let source = self.writer.source;
        let page = async |after| {
            self.lanes.alive()?;
            let stretch = Stretch { collection: reading.name, tenant, slice, after, until };
            let page = self.call(async || source.page(stretch).await);
            Ok::<_, WriteError>(self.writer.progress.reading.of(self.writer.clock, page).await?)
        };
        let mut next = Some(page(after).await?);
        while let Some(Page { objects, times, replicas, is_last, unlike: _ }) = next.take() {
            lane.read.replicas.join(replicas);
            let Some(last) = objects.last().map(|object| object.id) else { break };
            for (before, object) in std::iter::once(after).chain(objects.iter().map(|it| Some(it.id))).zip(&objects) {
                if before.is_some_and(|before| object.id <= before) || until.is_some_and(|until| object.id >= until) {
                    return Err(WriteError::Disorder { collection: reading.name.to_owned(), id: object.id });
                }
            }
            self.writer.progress.objects.fetch_add(objects.len() as u64, Ordering::Relaxed);
            let bytes = objects.iter().map(Object::bytes).sum::<usize>();
            self.writer.progress.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            after = Some(last);
            let keep = async {
                if self.base.is_none() {
                    return self.append_chosen(reading, &mut lane, objects, times).await;
                }
                let chosen = self.choose(reading, &mut lane, objects, times).await?;
                let changed = self.compare(reading, &mut lane, chosen).await?;
                self.append(reading, &mut lane, changed).await
            };
            // The servers read the next page while this one is hashed and compressed.
            let ahead = async { if is_last { Ok(None) } else { page(after).await.map(Some) } };
            ((), next) = futures::try_join!(keep, ahead)?;
        }
        while let Some(record) = self.next_of_base(&mut lane).await? {
            self.vanished(reading, &mut lane, record).await?;
        }
        self.close_part(reading, &mut lane).await?;
        self.close_roll(reading, &mut lane).await?;
        self.close_gone(reading, &mut lane).await?;
        Ok(lane.read)
    }

    /// Those that are meant, with their digests. That and encoding take milliseconds for a page: they are done beside the
    /// threads that wait for answers.
    async fn choose(
        &self,
        reading: &Reading<'_>,
        lane: &mut Lane<'_, S>,
        objects: Vec<Object>,
        times: Vec<Times>,
    ) -> Result<Vec<(Object, [u8; 32])>, WriteError> {
        let mut choice = Choice::of(reading, lane);
        let chosen = beside(move || {
            let mut times = times.into_iter();
            let choose = |object| choice.digest(&object, times.next()).map(|digest| (object, digest));
            let chosen: Vec<_> = objects.into_iter().filter_map(choose).collect();
            (chosen, choice.vectors)
        });
        let (chosen, vectors) = self.writer.progress.encoding.of(self.writer.clock, chosen).await?;
        lane.read.vectors = vectors;
        Ok(chosen)
    }

    /// Appends those that are meant, where nothing is built on: each is hashed and encoded while it is at hand, and let go.
    async fn append_chosen(
        &self,
        reading: &Reading<'_>,
        lane: &mut Lane<'_, S>,
        objects: Vec<Object>,
        times: Vec<Times>,
    ) -> Result<(), WriteError> {
        let mut choice = Choice::of(reading, lane);
        let mut part = self.part(reading, lane);
        let encode = move || {
            let mut times = times.into_iter();
            for object in objects {
                if let Some(digest) = choice.digest(&object, times.next()) {
                    part.push(object, &digest)?;
                }
            }
            Ok((part.writer, choice.vectors))
        };
        let encoded = self.writer.progress.encoding.of(self.writer.clock, beside(encode)).await?;
        let (part, vectors) = encoded.map_err(|source| unencoded(reading, source))?;
        lane.read.vectors = vectors;
        lane.part = part;
        self.close_full(reading, lane).await
    }

    /// Those that are not as the base has them. All of them go into the roll.
    async fn compare(
        &self,
        reading: &Reading<'_>,
        lane: &mut Lane<'_, S>,
        chosen: Vec<(Object, [u8; 32])>,
    ) -> Result<Vec<(Object, [u8; 32])>, WriteError> {
        if self.base.is_none() {
            return Ok(chosen);
        }
        let mut changed = Vec::new();
        for (object, digest) in chosen {
            let mut holder = 0;
            while let Some(record) = self.next_of_base(lane).await?.filter(|record| record.id <= object.id) {
                if record.id == object.id {
                    pass(lane);
                    holder = if record.digest == digest { record.holder } else { 0 };
                    break;
                }
                self.vanished(reading, lane, record).await?;
            }
            lane.roll.push(&Record { id: object.id, digest, holder });
            if lane.roll.is_full() {
                self.close_roll(reading, lane).await?;
            }
            if holder == 0 {
                changed.push((object, digest));
            }
        }
        Ok(changed)
    }

    async fn next_of_base(&self, lane: &mut Lane<'_, S>) -> Result<Option<Record>, WriteError> {
        let Some(base) = &mut lane.base else { return Ok(None) };
        loop {
            if let Some(record) = base.now() {
                return Ok(Some(record));
            }
            let filled = self.call(async || base.fill().await).await?;
            if !filled.map_err(|fault| self.unusable(&fault))? {
                return Ok(None);
            }
        }
    }

    async fn vanished(&self, reading: &Reading<'_>, lane: &mut Lane<'_, S>, record: Record) -> Result<(), WriteError> {
        pass(lane);
        lane.gone.push(record.id);
        if lane.gone.is_full() {
            self.close_gone(reading, lane).await?;
        }
        Ok(())
    }
}

/// Which objects of a page are meant, and what is noted of their vectors.
struct Choice {
    filter: Option<Arc<Filter>>,
    columns: Arc<Columns>,
    vectors: VectorNotes,
}

impl Choice {
    /// Takes what the lane has noted so far, which comes back to it.
    fn of<S>(reading: &Reading<'_>, lane: &mut Lane<'_, S>) -> Self {
        let vectors = std::mem::take(&mut lane.read.vectors);
        Self { filter: reading.filter.clone(), columns: reading.columns.clone(), vectors }
    }

    /// The object's digest; `None` when it is not meant.
    fn digest(&mut self, object: &Object, times: Option<Times>) -> Option<[u8; 32]> {
        if self.filter.as_ref().is_some_and(|filter| !filter.holds(object, times)) {
            return None;
        }
        self.vectors.note(&self.columns, &object.vectors);
        Some(object_digest(object))
    }
}

/// As many stretches that no lane has one more than the others, behind which they would wait: stretches are equally long.
fn evenly(slices: usize, lanes: usize) -> usize {
    if slices > lanes { slices - slices % lanes } else { slices }
}

fn pass<S: Store>(lane: &mut Lane<'_, S>) {
    if let Some(base) = &mut lane.base {
        base.pass();
    }
}

pub(super) fn sum(parts: &[Part]) -> Contents {
    let mut contents = Contents::default();
    for part in parts {
        contents.join(&part.contents);
    }
    contents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_have_equally_much_to_read() {
        let all = [(1, 4), (3, 4), (4, 4), (5, 4), (6, 4), (8, 4), (20, 4), (6, 1), (7, 2)];
        assert_eq!(all.map(|(slices, lanes)| evenly(slices, lanes)), [1, 3, 4, 4, 4, 8, 20, 6, 6]);
    }
}
