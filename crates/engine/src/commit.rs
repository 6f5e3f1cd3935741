//! One window, from its plan to the ledger.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::category::{Category, Tally};
use crate::checkpoint::Checkpoint;
use crate::counts::Counts;
use crate::keeper::Keeper;
use crate::ledger::{DEAD_LETTERS, Delta, FailureReason, Pending};
use crate::object::Object;
use crate::ports::{Clock, LedgerStore, PortError, Refusal, Sink};
use crate::rejection::Rejection;
use crate::retry::{Patience, with_retry};
use crate::run::{RunError, ledger_failed};
use crate::window::{Outcome, Plan, Refused, Window};

/// Objects of one put: within 5 % of the best rate that was measured, in calls of a second and a half.
pub const BATCH_OBJECTS: usize = 500;

/// Bytes of one put: large enough that the call is not the cost, small enough that sending it again is cheap.
pub const BATCH_BYTES: usize = 4 << 20;

/// Carries windows out.
pub(crate) struct Committer<'a, K, L, C> {
    pub(crate) sink: &'a K,
    pub(crate) patience: Patience<'a, C>,
    pub(crate) keeper: Keeper<'a, L, C>,
    pub(crate) computed_vectors: &'a BTreeSet<String>,
}

/// What a window builds upon: what was asked for, and what was there.
#[derive(Default)]
struct Base {
    asked: BTreeSet<Uuid>,
    read: BTreeMap<Uuid, Object>,
}

impl<K: Sink, L: LedgerStore, C: Clock> Committer<'_, K, L, C> {
    /// Carries a window out; afterwards the checkpoint is at its end.
    pub(crate) async fn commit(&mut self, window: &Window, end: Checkpoint) -> Result<(), RunError> {
        let Plan { deletes, outcomes, .. } = self.put(window).await?;
        let delta = self.delta(window, &outcomes, end);
        if window.has_renames() && !deletes.is_empty() {
            // From here on a replay would miss what the renames moved away: the ledger must know first.
            self.keeper.ledger.pending = Some(Pending { deletes, delta });
            self.save().await?;
            return self.settle().await;
        }
        self.delete(&deletes).await?;
        self.count(delta).await
    }

    /// Carries out the deletes that the ledger holds as pending, if it does.
    pub(crate) async fn settle(&mut self) -> Result<(), RunError> {
        let Some(Pending { deletes, delta }) = self.keeper.ledger.pending.clone() else { return Ok(()) };
        self.delete(&deletes).await?;
        self.keeper.ledger.pending = None;
        self.count(delta).await
    }

    /// Writes the ledger as it is in memory.
    pub(crate) async fn save(&mut self) -> Result<(), RunError> {
        self.keeper.save().await.map_err(|error| ledger_failed(&error, self.patience.stop))
    }

    async fn count(&mut self, delta: Delta) -> Result<(), RunError> {
        let joined = self.keeper.ledger.apply(delta);
        joined.map_err(|error| RunError::failed(FailureReason::LedgerFailed, error.to_string()))?;
        self.save().await
    }

    /// Puts what the window comes to. A line whose object the server refuses is rejected, and the window is planned
    /// again as if the line were not there: so a refused rename does not delete its source.
    async fn put(&mut self, window: &Window) -> Result<Plan, RunError> {
        let mut base = Base::default();
        let mut refused = Refused::new();
        let mut confirmed = BTreeMap::new();
        loop {
            self.read(&mut base, window.reads(&refused)).await?;
            let plan = window.plan(&base.read, &refused, self.computed_vectors);
            let refusals = self.put_objects(&plan, &mut confirmed).await?;
            if refusals.is_empty() {
                return Ok(plan);
            }
            for Refusal { id, error } in refusals {
                // A sink that refuses what it was not given would have us plan for ever.
                let put = plan.puts.get(&id).ok_or_else(|| {
                    RunError::failed(FailureReason::SinkFailed, format!("object {id} was refused but never sent"))
                })?;
                let reason = format!("the server refused the object: {}", error.message);
                refused.insert(put.writer, Rejection::new(error.category, reason));
            }
        }
    }

    async fn read(&mut self, base: &mut Base, wanted: BTreeSet<Uuid>) -> Result<(), RunError> {
        let missing = wanted.difference(&base.asked).copied().collect::<Vec<_>>();
        if missing.is_empty() {
            return Ok(());
        }
        let errors = &mut self.keeper.ledger.errors;
        let fetched = with_retry(&self.patience, errors, async || self.sink.fetch(&missing).await).await;
        let fetched = fetched.map_err(|error| self.sink_failed("read", &error))?;
        base.read.extend(fetched.into_iter().map(|object| (object.id, object)));
        base.asked.extend(missing);
        Ok(())
    }

    /// Puts what is not confirmed yet, and answers what was refused for good.
    async fn put_objects(
        &mut self,
        plan: &Plan,
        confirmed: &mut BTreeMap<Uuid, Object>,
    ) -> Result<Vec<Refusal>, RunError> {
        let mut refusals = Vec::new();
        let outstanding = plan.puts.values().map(|put| &put.object);
        let outstanding = outstanding.filter(|object| confirmed.get(&object.id) != Some(object)).cloned();
        for batch in batches(outstanding.collect()) {
            let refused = self.put_batch(&batch).await?;
            let is_refused = |object: &Object| refused.iter().any(|refusal| refusal.id == object.id);
            confirmed.extend(batch.into_iter().filter(|object| !is_refused(object)).map(|object| (object.id, object)));
            refusals.extend(refused);
        }
        Ok(refusals)
    }

    async fn put_batch(&mut self, batch: &[Object]) -> Result<Vec<Refusal>, RunError> {
        let mut outstanding = batch.to_vec();
        let mut refused = Vec::new();
        let attempt = async || {
            let refusals = self.sink.put(&outstanding).await?;
            let (objects_fault, servers_fault) = refusals.into_iter().partition::<Vec<_>, _>(is_objects_fault);
            refused.extend(objects_fault);
            outstanding.retain(|object| servers_fault.iter().any(|refusal| refusal.id == object.id));
            // Only what failed is sent again. One that can never succeed ends the run: it is not the line's fault.
            servers_fault
                .into_iter()
                .map(|refusal| refusal.error)
                .min_by_key(|error| error.retryable)
                .map_or(Ok(()), Err)
        };
        let errors = &mut self.keeper.ledger.errors;
        with_retry(&self.patience, errors, attempt).await.map_err(|error| self.sink_failed("write", &error))?;
        Ok(refused)
    }

    async fn delete(&mut self, ids: &[Uuid]) -> Result<(), RunError> {
        if ids.is_empty() {
            return Ok(());
        }
        let errors = &mut self.keeper.ledger.errors;
        let deleted = with_retry(&self.patience, errors, async || self.sink.delete(ids).await).await;
        deleted.map_err(|error| self.sink_failed("delete from", &error))
    }

    fn delta(&self, window: &Window, outcomes: &[Outcome], to: Checkpoint) -> Delta {
        let from = self.keeper.ledger.checkpoint.clone();
        let mut delta = Delta { from, to, counts: Counts::default(), errors: Tally::default(), dead_letters: vec![] };
        let room = DEAD_LETTERS.saturating_sub(self.keeper.ledger.dead_letters.len());
        for (entry, outcome) in window.entries().iter().zip(outcomes) {
            delta.counts.count(outcome);
            if let Outcome::Rejected(rejection) = outcome {
                delta.errors.count(rejection.category);
                if delta.dead_letters.len() < room {
                    delta.dead_letters.push(entry.place.dead_letter(rejection));
                }
            }
        }
        delta
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

/// Splits objects, in their order, into batches within both bounds; an object beyond them is a batch of its own.
fn batches(objects: Vec<Object>) -> Vec<Vec<Object>> {
    let mut batches: Vec<Vec<Object>> = Vec::new();
    let mut bytes = 0;
    for object in objects {
        let size = object.bytes();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_OBJECTS && bytes + size <= BATCH_BYTES => {
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
        let sizes = |objects: Vec<Object>| batches(objects).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), [0; 0]);
        assert_eq!(sizes(vec![object(1); 2 * BATCH_OBJECTS + 1]), [BATCH_OBJECTS, BATCH_OBJECTS, 1]);
        assert_eq!(sizes(vec![object(BATCH_BYTES / 2), object(BATCH_BYTES / 2), object(1)]), [2, 1]);
        assert_eq!(sizes(vec![object(1), object(2 * BATCH_BYTES), object(1)]), [1, 1, 1]);
    }
}
