//! One collection of a run: its index, its parts, and those of the runs that it builds on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use uuid::Uuid;

use super::{Depth, Fault, Findings};
use crate::backup::columns::Columns;
use crate::backup::digest::Contents;
use crate::backup::manifest::{ByTenant, CollectionNote, DataFormat, GonePart, Index, Part, TenantNote, by_tenant};
use crate::backup::opened::{Chain, OpenRun};
use crate::backup::part::open;
use crate::backup::ports::Store;
use crate::backup::roll::{self, RollCursor};
use crate::backup::tally::Tally;
use crate::backup::write::beside;
use crate::ports::PortError;

/// Parts that are read at once; each is held whole.
const READS: usize = 2;

/// A look at one collection of a run.
pub(in crate::backup) struct Look<'a, S> {
    pub(in crate::backup) store: &'a S,
    pub(in crate::backup) chain: &'a Chain,
    pub(in crate::backup) note: &'a CollectionNote,
    /// As [`Chain::indexes`] answers them.
    pub(in crate::backup) indexes: &'a [(usize, Index)],
    pub(in crate::backup) depth: Depth,
}

/// What one part holds of what lives.
type Living = Vec<(Uuid, [u8; 32])>;

impl<S: Store> Look<'_, S> {
    /// Everything, or of the parts those that are chosen, by their run's place in the chain.
    pub(in crate::backup) async fn all(
        &self,
        chosen: &(dyn Fn(usize, &Part) -> bool + Sync),
        told: &(dyn Fn(&Part) + Sync),
    ) -> Result<Findings, PortError> {
        let mut findings = Findings::default();
        let Some((_, own)) = self.indexes.first() else { return Ok(findings) };
        for (place, _) in self.indexes {
            let note = self.chain.runs()[*place].manifest.collection(&self.note.name);
            findings.files += 1;
            findings.bytes += note.map_or(0, |note| note.index.bytes);
        }
        findings.faults.extend(disagreements(self.note, own, self.chain.is_incremental()));
        findings.join(self.roll(own).await?);
        for part in &own.gone {
            findings.join(self.gone(part).await?);
        }
        let roll = by_tenant(&own.roll);
        let mut living = Contents::default();
        let mut is_whole = true;
        for (place, index) in self.indexes {
            let columns = Arc::new(index.columns.clone());
            let parts = index.parts.iter().filter(|part| {
                let is_chosen = chosen(*place, part);
                is_whole &= is_chosen;
                is_chosen
            });
            let parts: Vec<&Part> = parts.collect();
            let read = |part| self.part(*place, &roll, columns.clone(), part, told);
            let mut reads = stream::iter(parts).map(read).buffered(READS);
            while let Some(read) = reads.next().await {
                let (found, contents) = read?;
                findings.join(found);
                living.join(&contents);
            }
        }
        let is_read = self.chain.is_incremental() && is_whole && self.depth == Depth::Objects;
        if is_read && findings.is_sound() && living != self.note.contents {
            let (wanted, found) = (self.note.contents.objects, living.objects);
            findings.join(Findings::of(Fault::Roll { collection: self.note.name.clone(), wanted, found }));
        }
        Ok(findings)
    }

    fn own(&self) -> &OpenRun {
        self.chain.own()
    }

    /// The files of the roll.
    async fn roll(&self, own: &Index) -> Result<Findings, PortError> {
        let mut findings = Findings::default();
        let bases = self.chain.runs().len() - 1;
        for file in &own.roll {
            findings.files += 1;
            findings.bytes += file.file.bytes;
            let records = match roll::load(self.store, self.own(), file).await? {
                Ok(records) => records,
                Err(fault) => {
                    findings.join(Findings::of(fault));
                    continue;
                }
            };
            let (mut contents, mut last) = (Contents::default(), None);
            let mut fault = None;
            for record in records {
                let is_out = last.is_some_and(|last| record.id <= last)
                    || !(file.first..=file.last).contains(&record.id)
                    || usize::from(record.holder) > bases;
                if is_out {
                    fault = Some(Fault::Order { key: file.file.key.clone(), id: record.id });
                    break;
                }
                last = Some(record.id);
                contents.add_digest(&record.digest);
            }
            let is_other = fault.is_none() && contents != file.contents;
            findings.faults.extend(fault.or_else(|| is_other.then(|| Fault::Objects { key: file.file.key.clone() })));
        }
        Ok(findings)
    }

    async fn gone(&self, part: &GonePart) -> Result<Findings, PortError> {
        let bytes = match self.own().file(self.store, &part.file).await? {
            Ok(bytes) => bytes,
            Err(fault) => return Ok(Findings::of(fault)),
        };
        let is_list = roll::count_gone(&bytes) == Some(part.ids);
        let fault = (!is_list).then(|| Fault::GoneList { key: part.file.key.clone(), wanted: part.ids });
        Ok(Findings { files: 1, bytes: part.file.bytes, objects: 0, faults: fault.into_iter().collect() })
    }

    /// One part, and what it holds of what lives.
    async fn part(
        &self,
        place: usize,
        roll: &ByTenant<'_>,
        columns: Arc<Columns>,
        part: &Part,
        told: &(dyn Fn(&Part) + Sync),
    ) -> Result<(Findings, Contents), PortError> {
        let run = &self.chain.runs()[place];
        let bytes = match run.file(self.store, &part.file).await? {
            Ok(bytes) => bytes,
            Err(fault) => {
                told(part);
                return Ok((Findings::of(fault), Contents::default()));
            }
        };
        let mut findings = Findings { files: 1, bytes: part.file.bytes, ..Findings::default() };
        let mut living = Contents::default();
        if self.depth == Depth::Objects {
            let is_incremental = self.chain.is_incremental();
            let (data, also) = (run.manifest.data, part.clone());
            let (objects, fault, digests) =
                beside(move || decode(bytes, data, &columns, &also, is_incremental)).await?;
            findings.objects = objects;
            findings.faults.extend(fault);
            match self.living(place, roll, part, &digests).await? {
                Ok(found) => living = found,
                Err(fault) => findings.join(Findings::of(fault)),
            }
        }
        told(part);
        Ok((findings, living))
    }

    /// Those of a part that the roll says are held by it, as the roll says they are.
    async fn living(
        &self,
        place: usize,
        roll: &ByTenant<'_>,
        part: &Part,
        digests: &Living,
    ) -> Result<Result<Contents, Fault>, PortError> {
        let files = roll.get(&part.tenant.as_deref()).into_iter().flatten().copied();
        let mut cursor = RollCursor::new(self.store, self.own(), files, part.first);
        let mut contents = Contents::default();
        for (id, digest) in digests {
            match cursor.find(*id).await? {
                Ok(Some(record)) if usize::from(record.holder) == place && record.digest == *digest => {
                    contents.add_digest(digest);
                }
                Ok(_) => {}
                Err(fault) => return Ok(Err(fault)),
            }
        }
        Ok(Ok(contents))
    }
}

/// What does not add up, without a look at any part.
fn disagreements(note: &CollectionNote, index: &Index, is_incremental: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let collection = || note.name.clone();
    let mut all = Contents::default();
    let mut written = Contents::default();
    let mut by_tenant: BTreeMap<&str, Contents> = BTreeMap::new();
    let known: BTreeMap<&str, &TenantNote> =
        index.tenants.iter().flatten().map(|tenant| (tenant.name.as_str(), tenant)).collect();
    index.parts.iter().for_each(|part| written.join(&part.contents));
    // What lives is on the roll, or in the parts themselves.
    let lives = if is_incremental { &index.roll } else { &index.parts };
    for part in lives {
        all.join(&part.contents);
        let Some(tenant) = part.tenant.as_deref() else { continue };
        by_tenant.entry(tenant).or_default().join(&part.contents);
    }
    for part in index.parts.iter().chain(&index.roll) {
        let Some(tenant) = part.tenant.as_deref().filter(|tenant| !known.contains_key(tenant)) else { continue };
        let (tenant, key) = (tenant.to_owned(), part.file.key.clone());
        faults.push(Fault::UnknownTenant { collection: collection(), tenant, key });
    }
    for (name, tenant) in &known {
        let found = by_tenant.get(name).copied().unwrap_or_default();
        let wanted = tenant.contents.unwrap_or_default();
        if found != wanted {
            let (tenant, wanted, found) = ((*name).to_owned(), wanted.objects, found.objects);
            faults.push(Fault::Tenant { collection: collection(), tenant, wanted, found });
        }
    }
    let tenants = |count: Option<usize>| count.map(|count| format!(" in {count} tenants")).unwrap_or_default();
    let found = index.tenants.as_ref().map(Vec::len);
    let gone: u64 = index.gone.iter().map(|part| part.ids).sum();
    let wanted_written = note.written.unwrap_or(note.contents);
    let is_same = all == note.contents && written == wanted_written && gone == note.gone;
    if !is_same || found != note.tenants || index.parts.len() != note.parts || index.collection != note.name {
        let more = |written: &Contents, gone: u64| {
            if is_incremental { format!(", {written} of them written and {gone} gone") } else { String::new() }
        };
        let (told, tells) = (more(&wanted_written, note.gone), more(&written, gone));
        let wanted = format!("{}{} in {} parts{told}", note.contents, tenants(note.tenants), note.parts);
        let found = format!("{all}{} in {} parts of {}{tells}", tenants(found), index.parts.len(), index.collection);
        faults.push(Fault::Totals { collection: collection(), wanted, found });
    }
    faults
}

fn decode(
    bytes: Bytes,
    data: DataFormat,
    columns: &Arc<Columns>,
    part: &Part,
    keep: bool,
) -> (u64, Option<Fault>, Living) {
    let undecodable =
        |error: &dyn fmt::Display| Fault::Undecodable { key: part.file.key.clone(), reason: error.to_string() };
    let (mut tally, mut living) = (Tally::of(part), Living::new());
    let groups = match open(bytes, data, columns) {
        Ok(groups) => groups,
        Err(error) => return (0, Some(undecodable(&error)), living),
    };
    for group in groups {
        let added = group.map_err(|error| undecodable(&error)).and_then(|objects| {
            tally.add(&objects, |id, digest| {
                if keep {
                    living.push((id, digest));
                }
            })
        });
        if let Err(fault) = added {
            return (tally.objects(), Some(fault), living);
        }
    }
    (tally.objects(), tally.end().err(), living)
}
