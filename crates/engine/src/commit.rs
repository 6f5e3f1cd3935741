//! One window: read, planned, put, and all of it deleted that no replay would miss. Several at once, each for itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::category::Category;
use crate::category::Tally;
use crate::chunk::Cutting;
use crate::counts::Counts;
use crate::ledger::{DEAD_LETTERS, FailureReason};
use crate::object::Object;
use crate::overlay::{Base, Question};
use crate::pace::Pace;
use crate::ports::{Clock, PortError, Refusal, Sink};
use crate::rejection::{DeadLetter, Rejection};
use crate::rejects::Reject;
use crate::retry::{Patience, with_retry};
use crate::run::RunError;
use crate::step::Step;
use crate::window::{Gone, Outcome, Place, Plan, Put, Refused, Window};

/// Documents that are looked for by one call: what is asked again when one of them fails.
const LOOKED_FOR_AT_ONCE: usize = 500;

/// Carries windows out.
pub(crate) struct Committer<'a, K, C> {
    pub(crate) sink: &'a K,
    pub(crate) patience: Patience<'a, C>,
    pub(crate) pace: &'a Pace,
    pub(crate) computed_vectors: &'a BTreeSet<String>,
    /// How texts are cut, in a feed that is.
    pub(crate) cutting: Option<&'a Cutting>,
    /// Room for pieces of documents that are cut.
    pub(crate) pieces: Semaphore,
}

/// A window whose effects are confirmed, but for what its renames moved away.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    /// What became of its lines.
    pub(crate) counts: Counts,
    /// The kinds of its rejections.
    pub(crate) errors: Tally,
    /// Its first rejected lines, at most as many as a ledger keeps.
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// All of its rejected lines.
    pub(crate) rejects: Vec<Reject>,
    /// What lines touched that were not rejected.
    pub(crate) touched: BTreeSet<Uuid>,
    /// What is to be deleted once the ledger knows.
    pub(crate) moved: Vec<Gone>,
}

impl Carried {
    fn reject(&mut self, place: &Place, rejection: &Rejection, step: Option<&Step>) {
        self.errors.count(rejection.category);
        let letter = place.dead_letter(rejection);
        if self.dead_letters.len() < DEAD_LETTERS {
            self.dead_letters.push(letter.clone());
        }
        let documents = step.map_or_else(|| rejection.documents.clone(), |step| step.touched().collect());
        self.rejects.push(Reject { number: 0, letter, documents, is_superseded: false });
    }

    /// A line was carried out: what was rejected before it for the same document is out of date.
    fn touch(&mut self, step: &Step) {
        for document in step.touched() {
            self.touched.insert(document);
            for reject in self.rejects.iter_mut().filter(|reject| reject.documents.contains(&document)) {
                reject.is_superseded = true;
            }
        }
    }
}

impl<K: Sink, C: Clock> Committer<'_, K, C> {
    /// Carries a window out. After an error any part of it may be done.
    pub(crate) async fn carry_out(&self, window: &Window) -> Result<Carried, RunError> {
        let (mut plan, base) = self.put(window).await?;
        if let Some(cutting) = self.cutting {
            for (line, rejection) in self.put_tails(&mut plan, &base, cutting).await? {
                plan.outcomes[line] = Outcome::Rejected(rejection);
            }
        }
        drop(base);
        let Plan { deletes, moved, outcomes, .. } = plan;
        self.delete(&deletes.iter().map(|gone| gone.id).collect::<Vec<_>>()).await?;
        let mut carried = Carried { moved, ..Carried::default() };
        for (entry, outcome) in window.entries().iter().zip(&outcomes) {
            carried.counts.count(outcome);
            match (outcome, &entry.step) {
                (Outcome::Rejected(rejection), step) => carried.reject(&entry.place, rejection, step.as_ref().ok()),
                (_, Ok(step)) => carried.touch(step),
                (_, Err(_)) => {}
            }
        }
        Ok(carried)
    }

    /// How many of these documents are there.
    pub(crate) async fn present(&self, ids: &BTreeSet<Uuid>) -> Result<u64, RunError> {
        let ids = ids.iter().copied().collect::<Vec<_>>();
        let mut there = 0;
        for some in ids.chunks(LOOKED_FOR_AT_ONCE) {
            let found = with_retry(&self.patience, async || self.sink.present(some).await).await;
            there += found.map_err(|error| self.sink_failed("read", &error))?.len() as u64;
        }
        Ok(there)
    }

    /// How many documents the collection has; `None` = it could not say.
    pub(crate) async fn count(&self) -> Result<Option<u64>, RunError> {
        let documents = self.cutting.map(|cutting| cutting.chunk.as_str());
        let counted = with_retry(&self.patience, async || self.sink.count(documents).await).await;
        counted.map_err(|error| self.sink_failed("count", &error))
    }

    /// Deletes these objects.
    pub(crate) async fn delete(&self, ids: &[Uuid]) -> Result<(), RunError> {
        if ids.is_empty() {
            return Ok(());
        }
        let deleted = with_retry(&self.patience, async || {
            let _turn = self.pace.turn().await;
            self.sink.delete(ids).await.inspect_err(|error| self.pace.failed(error))
        });
        deleted.await.map_err(|error| self.sink_failed("delete from", &error))
    }

    /// Puts what the window comes to, of documents that are cut their heads. A line whose object the server refuses is rejected, and the window is planned
    /// again as if the line were not there: so a refused rename does not delete its source.
    async fn put(&self, window: &Window) -> Result<(Plan, Base), RunError> {
        let mut base = Base::default();
        let mut asked = BTreeSet::new();
        let mut refused = Refused::new();
        let mut confirmed = BTreeMap::new();
        loop {
            self.read(&mut base, &mut asked, window.reads(&refused)).await?;
            self.read_counts(&mut base, &asked, window).await?;
            let mut plan = self.plan(window, &mut base, &refused).await?;
            let wanted = plan.puts.iter().map(|(id, put)| (*id, self.opening(put)));
            let outstanding = wanted.filter(|(id, object)| confirmed.get(id) != Some(object.as_ref()));
            let outstanding = outstanding.collect::<BTreeMap<_, _>>();
            let refusals = self.put_objects(outstanding.values().map(Cow::as_ref).collect()).await?;
            if refusals.is_empty() {
                drop(outstanding);
                return Ok((plan, base));
            }
            let mut put =
                outstanding.into_iter().map(|(id, object)| (id, object.into_owned())).collect::<BTreeMap<_, _>>();
            for Refusal { id, error } in refusals {
                // A sink that refuses what it was not given would have us plan for ever.
                let Put { writer, .. } = plan.puts.remove(&id).ok_or_else(|| {
                    RunError::failed(FailureReason::SinkFailed, format!("object {id} was refused but never sent"))
                })?;
                put.remove(&id);
                let reason = format!("the server refused the object: {}", error.message);
                refused.insert(writer, Rejection::new(error.category, reason));
            }
            confirmed.extend(put);
        }
    }

    /// Plans, once everything is known that has to be.
    async fn plan(&self, window: &Window, base: &mut Base, refused: &Refused) -> Result<Plan, RunError> {
        loop {
            let plan = window.plan(base, refused, self.computed_vectors);
            let Some(cutting) = self.cutting.filter(|_| !plan.questions.is_empty()) else { return Ok(plan) };
            for question in plan.questions {
                let Question { document, line } = question;
                let holds = match window.text(line) {
                    Some(cut) => self.holds(document, cut, base, cutting).await?,
                    None => false,
                };
                base.answers.insert(question, holds);
            }
        }
    }

    /// What is put first of a document: its object, or an open head.
    fn opening<'p>(&self, put: &'p Put) -> Cow<'p, Object> {
        match self.cutting.filter(|_| put.is_opened()) {
            Some(cutting) => Cow::Owned(cutting.opened(&put.object, put.most())),
            None => Cow::Borrowed(&*put.object),
        }
    }

    async fn read(&self, base: &mut Base, asked: &mut BTreeSet<Uuid>, wanted: BTreeSet<Uuid>) -> Result<(), RunError> {
        let missing = wanted.difference(asked).copied().collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        let fetched = self.fetch(&missing).await?;
        for object in fetched {
            if let Some(cutting) = self.cutting {
                base.counts.insert(object.id, cutting.count(&object));
            }
            base.read.insert(object.id, object);
        }
        asked.extend(missing);
        Ok(())
    }

    /// Of a feed that is cut, learns how many chunks each document has that the window touches: what it replaces or
    /// deletes takes its chunks along. Asked once: what the window itself puts is no answer.
    async fn read_counts(&self, base: &mut Base, asked: &BTreeSet<Uuid>, window: &Window) -> Result<(), RunError> {
        let Some(cutting) = self.cutting.filter(|_| !base.is_counted) else { return Ok(()) };
        let touched = window.touched().into_iter().filter(|id| !asked.contains(id)).collect::<Vec<_>>();
        for some in touched.chunks(LOOKED_FOR_AT_ONCE) {
            let counts = with_retry(&self.patience, async || self.sink.chunk_counts(some, &cutting.chunks).await).await;
            base.counts.extend(counts.map_err(|error| self.sink_failed("read", &error))?);
        }
        base.is_counted = true;
        Ok(())
    }

    pub(crate) async fn fetch(&self, ids: &[Uuid]) -> Result<Vec<Object>, RunError> {
        let fetched = with_retry(&self.patience, async || self.sink.fetch(ids).await).await;
        fetched.map_err(|error| self.sink_failed("read", &error))
    }

    /// Puts objects of different ids, several batches at once, and answers what was refused for good. Every batch is
    /// waited for, also when another failed: what was sent must not arrive after what somebody writes next.
    pub(crate) async fn put_objects(&self, objects: Vec<&Object>) -> Result<Vec<Refusal>, RunError> {
        let batches = batches(objects, self.pace.objects(), self.pace.bytes());
        let outcomes = join_all(batches.into_iter().map(|batch| self.put_batch(batch))).await;
        let mut refusals = Vec::new();
        for outcome in outcomes {
            refusals.extend(outcome.map_err(|error| self.sink_failed("write", &error))?);
        }
        Ok(refusals)
    }

    async fn put_batch(&self, mut outstanding: Vec<&Object>) -> Result<Vec<Refusal>, PortError> {
        let mut refused = Vec::new();
        let attempt = async || {
            while !outstanding.is_empty() {
                let turn = self.pace.turn().await;
                // The pace may have slowed since the batch was made.
                let sent = outstanding.len().min(self.pace.objects());
                let before = self.patience.clock.now();
                let refusals = self.sink.put(&outstanding[..sent]).await;
                let took = self.patience.clock.now().duration_since(before).unsigned_abs();
                drop(turn);
                let refusals = refusals.inspect_err(|error| self.pace.failed(error))?;
                let (objects_fault, servers_fault) = refusals.into_iter().partition::<Vec<_>, _>(is_objects_fault);
                refused.extend(objects_fault);
                let failed = servers_fault.iter().map(|refusal| refusal.id).collect::<BTreeSet<_>>();
                let mut index = 0;
                outstanding.retain(|object| {
                    index += 1;
                    index > sent || failed.contains(&object.id)
                });
                // Only what failed is sent again. One that can never succeed ends the run: it is not the line's fault.
                if let Some(refusal) = servers_fault.into_iter().min_by_key(|refusal| refusal.error.retryable) {
                    self.pace.failed(&refusal.error);
                    return Err(refusal.error);
                }
                self.pace.confirmed(sent, took);
            }
            Ok(())
        };
        with_retry(&self.patience, attempt).await?;
        Ok(refused)
    }

    fn sink_failed(&self, action: &str, error: &PortError) -> RunError {
        if self.patience.stop.is_set() {
            return RunError::Stopped;
        }
        RunError::failed(FailureReason::SinkFailed, format!("failed to {action} the collection: {error}"))
    }
}

/// Whether the object itself is wrong. Anything else that keeps one object out (no memory, a read-only shard, too few
/// replicas) is no reason to reject a line: the whole feed would end among the dead letters.
fn is_objects_fault(refusal: &Refusal) -> bool {
    let Refusal { error, .. } = refusal;
    !error.retryable && matches!(error.category, Category::Validation | Category::Encoding)
}

/// Splits objects, in their order, into batches within both bounds, of about equal size: a small last one would keep
/// the others waiting for a call that carries little. An object beyond the bounds is a batch of its own.
fn batches(objects: Vec<&Object>, most: usize, most_bytes: usize) -> Vec<Vec<&Object>> {
    let equal = objects.len().div_ceil(objects.len().div_ceil(most).max(1));
    let mut batches: Vec<Vec<&Object>> = Vec::new();
    let mut bytes = 0;
    for object in objects {
        let size = object.bytes();
        match batches.last_mut() {
            Some(batch) if batch.len() < equal && bytes + size <= most_bytes => {
                bytes += size;
                batch.push(object);
            }
            _ => {
                bytes = size;
                batches.push(vec![object]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Properties;

    fn object(bytes: usize) -> Object {
        let properties = Properties::from_iter([("c".to_owned(), "x".repeat(bytes - 1).into())]);
        Object { id: Uuid::nil(), properties, vectors: BTreeMap::new() }
    }

    #[test]
    fn batches_keep_both_bounds() {
        let sizes =
            |objects: &[Object]| batches(objects.iter().collect(), 3, 100).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&vec![object(1); 7]), [3, 3, 1]);
        assert_eq!(sizes(&vec![object(1); 4]), [2, 2]);
        assert_eq!(sizes(&[object(50), object(50), object(1)]), [2, 1]);
        assert_eq!(sizes(&[object(1), object(200), object(1)]), [1, 1, 1]);
    }
}
