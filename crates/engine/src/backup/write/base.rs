//! What the base has, object by object: its roll where it has one, else what its parts hold.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec;

use uuid::Uuid;

use super::beside;
use crate::backup::columns::Columns;
use crate::backup::digest::object_digest;
use crate::backup::manifest::Part;
use crate::backup::opened::OpenRun;
use crate::backup::part::{DecodeError, Groups, open};
use crate::backup::ports::Store;
use crate::backup::roll::{Record, RollCursor};
use crate::backup::verify::Fault;
use crate::ports::PortError;

/// Stretches that are read at once, at most, beside a base without a roll: each holds a part of it as well.
pub(super) const LANES_BESIDE_PARTS: usize = 2;

/// Records of the base within one stretch, ascending. Holders are counted from the run that is written.
pub(super) struct BaseStream<'a, S> {
    from: From<'a, S>,
    after: Option<Uuid>,
    until: Option<Uuid>,
}

enum From<'a, S> {
    Roll(RollCursor<'a, S>),
    Parts(Parts<'a, S>),
}

/// Parts that are decoded, one at a time.
struct Parts<'a, S> {
    store: &'a S,
    run: &'a OpenRun,
    columns: Arc<Columns>,
    files: VecDeque<Part>,
    groups: Option<(String, Groups)>,
    records: vec::IntoIter<Record>,
    next: Option<Record>,
}

impl<'a, S: Store> BaseStream<'a, S> {
    /// `files` are those of the tenant: of the roll where the run builds on others, else its parts.
    pub(super) fn new(
        store: &'a S,
        run: &'a OpenRun,
        columns: &Columns,
        files: &[&Part],
        (after, until): (Option<Uuid>, Option<Uuid>),
    ) -> Self {
        let is_within =
            |part: &&&Part| after.is_none_or(|after| part.last > after) && until.is_none_or(|until| part.first < until);
        let mut files: Vec<&Part> = files.iter().filter(is_within).copied().collect();
        files.sort_by_key(|part| part.first);
        let from = if run.manifest.base.is_empty() {
            let files = files.into_iter().cloned().collect();
            let (columns, records) = (Arc::new(columns.clone()), Vec::new().into_iter());
            From::Parts(Parts { store, run, columns, files, groups: None, records, next: None })
        } else {
            From::Roll(RollCursor::new(store, run, files.into_iter(), after.unwrap_or_default()))
        };
        Self { from, after, until }
    }

    /// The next record, if it is at hand.
    pub(super) fn now(&mut self) -> Option<Record> {
        loop {
            let record = match &mut self.from {
                From::Roll(roll) => roll.now()?,
                From::Parts(parts) => {
                    parts.next = parts.next.or_else(|| parts.records.next());
                    parts.next?
                }
            };
            if self.after.is_some_and(|after| record.id <= after) {
                self.pass();
                continue;
            }
            let is_within = self.until.is_none_or(|until| record.id < until);
            return is_within.then_some(Record { holder: record.holder.saturating_add(1), ..record });
        }
    }

    /// Goes on behind the next record.
    pub(super) fn pass(&mut self) {
        match &mut self.from {
            From::Roll(roll) => roll.pass(),
            From::Parts(parts) => parts.next = None,
        }
    }

    /// Reads on; whether there was more to read. After an error of the store it may be tried again.
    pub(super) async fn fill(&mut self) -> Result<Result<bool, Fault>, PortError> {
        match &mut self.from {
            // A record beyond the stretch stays the next: nothing behind it belongs here either.
            From::Roll(roll) => {
                if roll.now().is_some() {
                    return Ok(Ok(false));
                }
                roll.fill().await
            }
            From::Parts(parts) if parts.next.is_some() => Ok(Ok(false)),
            From::Parts(parts) => parts.fill().await,
        }
    }
}

impl<S: Store> Parts<'_, S> {
    async fn fill(&mut self) -> Result<Result<bool, Fault>, PortError> {
        let undecodable = |key: String, error: DecodeError| Fault::Undecodable { key, reason: error.to_string() };
        if let Some((key, mut groups)) = self.groups.take() {
            let (groups, records) = beside(move || {
                let records =
                    groups.next().map(|group| group.map(|objects| objects.iter().map(record).collect::<Vec<_>>()));
                (groups, records)
            })
            .await?;
            match records {
                Some(Ok(records)) => {
                    self.records = records.into_iter();
                    self.groups = Some((key, groups));
                    return Ok(Ok(true));
                }
                Some(Err(error)) => return Ok(Err(undecodable(key, error))),
                None => {}
            }
        }
        let Some(part) = self.files.front() else { return Ok(Ok(false)) };
        let bytes = match self.run.file(self.store, &part.file).await? {
            Ok(bytes) => bytes,
            Err(fault) => return Ok(Err(fault)),
        };
        let key = part.file.key.clone();
        self.files.pop_front();
        match open(bytes, self.run.manifest.data, &self.columns) {
            Ok(groups) => {
                self.groups = Some((key, groups));
                Ok(Ok(true))
            }
            Err(error) => Ok(Err(undecodable(key, error))),
        }
    }
}

fn record(object: &crate::object::Object) -> Record {
    Record { id: object.id, digest: object_digest(object), holder: 0 }
}
