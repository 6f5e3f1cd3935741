//! One stretch of a collection that is being read, and the files that it fills.

use std::sync::Arc;

use super::base::BaseStream;
use super::{Job, Reading, WriteError, beside};
use crate::backup::columns::Columns;
use crate::backup::layout;
use crate::backup::manifest::{DataFormat, GonePart, Part, ReplicasNote, VectorNotes};
use crate::backup::part::{EncodeError, Finished, PartWriter};
use crate::backup::ports::{ObjectSource, Store};
use crate::backup::roll::{GoneWriter, RollWriter};
use crate::object::Object;
use crate::ports::Clock;

/// What was read of one stretch or tenant.
pub(super) struct Read {
    pub(super) parts: Vec<Part>,
    pub(super) roll: Vec<Part>,
    pub(super) gone: Vec<GonePart>,
    pub(super) replicas: ReplicasNote,
    pub(super) vectors: VectorNotes,
}

impl Read {
    pub(super) fn nothing() -> Self {
        let replicas = ReplicasNote { compared: true, ..ReplicasNote::default() };
        Self { parts: Vec::new(), roll: Vec::new(), gone: Vec::new(), replicas, vectors: VectorNotes::default() }
    }

    pub(super) fn join(&mut self, other: Self) {
        let Self { parts, roll, gone, replicas, vectors } = other;
        self.parts.extend(parts);
        self.roll.extend(roll);
        self.gone.extend(gone);
        self.replicas.join(replicas);
        self.vectors.join(vectors);
    }
}

/// Where a stretch stands: what it has written, and what it is writing.
pub(super) struct Lane<'a, S> {
    pub(super) tenant: Option<&'a str>,
    pub(super) slice: usize,
    pub(super) base: Option<BaseStream<'a, S>>,
    pub(super) part: Option<PartWriter>,
    pub(super) roll: RollWriter,
    pub(super) gone: GoneWriter,
    pub(super) read: Read,
}

/// A part that has as many objects as were pushed: none has no writer.
pub(super) struct Filling {
    data: DataFormat,
    columns: Arc<Columns>,
    level: u8,
    pub(super) writer: Option<PartWriter>,
}

impl Filling {
    pub(super) fn push(&mut self, object: Object, digest: &[u8; 32]) -> Result<(), EncodeError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(PartWriter::at(self.data, &self.columns, self.level)?),
        };
        writer.push_digested(object, digest)
    }
}

impl<S: Store, O: ObjectSource, C: Clock> Job<'_, '_, S, O, C> {
    pub(super) async fn append(
        &self,
        reading: &Reading<'_>,
        lane: &mut Lane<'_, S>,
        objects: Vec<(Object, [u8; 32])>,
    ) -> Result<(), WriteError> {
        if objects.is_empty() {
            return Ok(());
        }
        let mut part = self.part(reading, lane);
        let encode = move || {
            objects.into_iter().try_for_each(|(object, digest)| part.push(object, &digest))?;
            Ok(part.writer)
        };
        let encoded = self.writer.progress.encoding.of(self.writer.clock, beside(encode)).await?;
        lane.part = encoded.map_err(|source| unencoded(reading, source))?;
        self.close_full(reading, lane).await
    }

    /// The part that is being written; begun with its first object.
    pub(super) fn part(&self, reading: &Reading<'_>, lane: &mut Lane<'_, S>) -> Filling {
        let data = self.writer.order.data;
        let level = self.writer.order.level.of(data, lane.read.parts.len());
        Filling { data, columns: reading.columns.clone(), level, writer: lane.part.take() }
    }

    /// Closes the part if it is time for the next one.
    pub(super) async fn close_full(&self, reading: &Reading<'_>, lane: &mut Lane<'_, S>) -> Result<(), WriteError> {
        let is_full = lane.part.as_ref().is_some_and(PartWriter::is_full);
        if is_full { self.close_part(reading, lane).await } else { Ok(()) }
    }

    pub(super) async fn close_part(&self, reading: &Reading<'_>, lane: &mut Lane<'_, S>) -> Result<(), WriteError> {
        let Some(part) = lane.part.take() else { return Ok(()) };
        let finished = beside(move || part.finish());
        let finished = self.writer.progress.encoding.of(self.writer.clock, finished).await?;
        let finished = finished.map_err(|source| unencoded(reading, source))?;
        let Some(Finished { bytes, contents, first, last }) = finished else { return Ok(()) };
        let key = layout::part(reading.name, lane.tenant, lane.slice, lane.read.parts.len(), self.writer.order.data);
        let file = self.file(key, bytes).await?;
        let tenant = lane.tenant.map(str::to_owned);
        lane.read.parts.push(Part { tenant, file, contents, first, last });
        Ok(())
    }

    pub(super) async fn close_roll(&self, reading: &Reading<'_>, lane: &mut Lane<'_, S>) -> Result<(), WriteError> {
        let roll = std::mem::take(&mut lane.roll);
        let Some(Finished { bytes, contents, first, last }) = roll.finish() else { return Ok(()) };
        let key = layout::roll(reading.name, lane.tenant, lane.slice, lane.read.roll.len());
        let file = self.file(key, bytes).await?;
        let tenant = lane.tenant.map(str::to_owned);
        lane.read.roll.push(Part { tenant, file, contents, first, last });
        Ok(())
    }

    pub(super) async fn close_gone(&self, reading: &Reading<'_>, lane: &mut Lane<'_, S>) -> Result<(), WriteError> {
        let Some((bytes, ids)) = std::mem::take(&mut lane.gone).finish() else { return Ok(()) };
        let key = layout::gone(reading.name, lane.tenant, lane.slice, lane.read.gone.len());
        let file = self.file(key, bytes).await?;
        lane.read.gone.push(GonePart { tenant: lane.tenant.map(str::to_owned), file, ids });
        Ok(())
    }
}

pub(super) fn unencoded(reading: &Reading<'_>, source: EncodeError) -> WriteError {
    WriteError::Encode { collection: reading.name.to_owned(), source }
}
