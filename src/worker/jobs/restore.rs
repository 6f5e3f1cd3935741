//! The Job of a restore: finds the run, asks for a person's word before it writes over anything, restores, and says so.
//!
//! It is started again after any crash and does nothing twice: the receipt, written before the first object, says what
//! is done. A receipt that is done ends the work, whatever became of the collection since.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use elysia_api::restore::{LeftAlias, RestoredAliases};
use elysia_core::restore::ledger::{Guarded, RestoreLedger, Stage};
use elysia_engine::backup::catalogue::{self, LATEST};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{Index, Manifest};
use elysia_engine::backup::opened::OpenRun;
use elysia_engine::backup::patient::Patient;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::restore::{AliasState, Conflict, Progress, Receipt, State};
use elysia_engine::backup::retire;
use elysia_engine::backup::stored;
use elysia_engine::backup::transform::identity;
use elysia_engine::ports::Clock as _;
use tracing::{info, warn};

use super::backup::{Hands, TOLD_EVERY};
use super::board::{Board, ReceiptBoard, RestoreBoard, load, save};
use super::rate::{Rate, pace};
use super::work::{ApprovalWork, ChosenWork, RestoreJob};
use crate::worker::backup::latest::{Latest, latest};
use crate::worker::backup::work::RestoreWork;
use crate::worker::backup::{
    Chosen, Failure, Occupied, collection_exists, occupied, restore_chosen, restore_native, retry,
};
use crate::worker::clock::SystemClock;
use crate::worker::profile;

/// Aliases of which the status says why they were left: as every list in a status.
const MOST_REASONS: usize = 20;

/// Does the work, or as much of it as needs no person; a failure is in the ledger before the Job ends.
pub(super) async fn run<S: Store, B: Board>(job: &RestoreJob, hands: &Hands<'_, S, B>) -> Result<(), Failure> {
    let former: Option<RestoreLedger> = load(hands.board).await?;
    let former = former.filter(|former| former.receipt == job.known_as);
    // What was used up by other work approves nothing again.
    let is_spent = |approval: &ApprovalWork| {
        former.as_ref().is_some_and(|it| it.order != job.order && it.approved.as_ref() == Some(&approval.hash))
    };
    let approval = job.approval.as_ref().filter(|approval| !is_spent(approval));
    let now = SystemClock.now();
    let mut ledger = RestoreLedger {
        receipt: job.known_as.clone(),
        order: job.order.clone(),
        run_now: job.run_now.clone(),
        run: former.as_ref().and_then(|former| former.run.clone()),
        passed_over: former.as_ref().and_then(|former| former.passed_over.clone()),
        stage: Stage::Looking,
        total: 0,
        done: 0,
        written: 0,
        skipped: 0,
        unchanged: 0,
        merged: 0,
        unselected: 0,
        unconverted: 0,
        dropped: 0,
        aliases: None,
        pace: None,
        has_begun: former.as_ref().is_some_and(|former| former.has_begun),
        started_at: former.as_ref().filter(|former| former.has_begun).map_or(now, |former| former.started_at),
        updated_at: now,
        finished_at: None,
        message: None,
        is_permanent: false,
        guarded: former.as_ref().and_then(|former| former.guarded.clone()),
        approved: former.and_then(|former| former.approved),
        profile: None,
    };
    save(hands.board, &ledger).await?;
    let done = placed(job, hands, approval, &mut ledger).await;
    if let Err(failure) = &done {
        ledger.stage = Stage::Failed;
        ledger.message = Some(failure.message.clone());
        ledger.is_permanent = failure.is_permanent;
    }
    ledger.updated_at = SystemClock.now();
    match (done, save(hands.board, &ledger).await) {
        (Err(failure), saved) => {
            if let Err(error) = saved {
                warn!(%error, "the ledger does not say that the restore failed");
            }
            Err(failure)
        }
        (Ok(()), saved) => saved,
    }
}

/// The work, with the receipt where it may lie: a stranger writes nothing beside the runs of another cluster.
async fn placed<S: Store, B: Board>(
    job: &RestoreJob,
    hands: &Hands<'_, S, B>,
    approval: Option<&ApprovalWork>,
    ledger: &mut RestoreLedger,
) -> Result<(), Failure> {
    let first = hands.patient_at_first(job.restore.patience);
    let is_strange = retire::owner(&first).await?.is_some_and(|owner| owner.cluster != job.restore.target);
    if job.keeps_receipt || is_strange {
        let is_of = |receipt: &Receipt| is_of(job, receipt);
        let board = RestoreBoard { board: ReceiptBoard(hands.board), known_as: &job.known_as, is_of: &is_of };
        return Work { job, hands, receipts: &board, approval }.carry_out(ledger).await;
    }
    Work { job, hands, receipts: hands.store, approval }.carry_out(ledger).await
}

/// Whether a receipt is of this restore.
fn is_of(job: &RestoreJob, receipt: &Receipt) -> bool {
    let RestoreWork { collection, into, target, conflict, run, .. } = &job.restore;
    receipt.collection == *collection
        && receipt.into == *into
        && receipt.target == *target
        && receipt.conflict == *conflict
        && receipt.selection == identity(&job.chosen.select, &job.chosen.transform)
        && (run == LATEST || receipt.run == *run)
}

/// One piece of work.
struct Work<'a, S, R, B> {
    job: &'a RestoreJob,
    hands: &'a Hands<'a, S, B>,
    /// Where the receipt lies.
    receipts: &'a R,
    /// What a person approved and nothing used up.
    approval: Option<&'a ApprovalWork>,
}

impl<S: Store, R: Store, B: Board> Work<'_, S, R, B> {
    async fn receipt(&self) -> Result<Option<Receipt>, Failure> {
        let patience = (retry(self.job.restore.patience), &SystemClock, self.hands.stop);
        self.receipt_in(&Patient::new(self.receipts, patience)).await
    }

    /// As it is at this moment, for whoever tells how far the restore is: that goes on only when this is over.
    async fn receipt_now(&self) -> Result<Option<Receipt>, Failure> {
        self.receipt_in(self.receipts).await
    }

    async fn receipt_in(&self, receipts: &impl Store) -> Result<Option<Receipt>, Failure> {
        let id = &self.job.restore.receipt;
        let found = stored::read::<Receipt, _>(receipts, &layout::receipt(id)).await?.map(|(receipt, _)| receipt);
        match found {
            Some(receipt) if !is_of(self.job, &receipt) => Err(Failure::permanent(format!(
                "the receipt {id} is that of another restore, of {} into {} at {}; apply this manifest under another metadata.name",
                receipt.run, receipt.into, receipt.target
            ))),
            found => Ok(found),
        }
    }

    async fn carry_out(&self, ledger: &mut RestoreLedger) -> Result<(), Failure> {
        let Self { job, hands, .. } = self;
        let store = hands.patient(job.restore.patience);
        let found = self.receipt().await?;
        ledger.has_begun |= found.is_some();
        if let Some(receipt) = found.as_ref().filter(|receipt| receipt.state == State::Done) {
            info!(run = receipt.run, "this restore was done before");
            count(ledger, receipt);
            let is_there = collection_exists(hands.ways, &job.restore.into).await?;
            ledger.stage = if is_there { Stage::Done } else { Stage::Gone };
            return Ok(());
        }
        let manifest = self.manifest(found.as_ref(), ledger).await?;
        let mut restore = job.restore.clone();
        restore.run.clone_from(&manifest.run);
        ledger.run = Some(manifest.run.clone());
        let note = manifest.collection(&restore.collection);
        ledger.total = note.map_or(0, |note| number(note.contents.objects));
        if manifest.native.is_some() {
            if job.chosen != ChosenWork::default() {
                let message = format!(
                    "run {} was written by the servers themselves, which restore whole collections as they were: leave out select, transform, skipSchema and aliases, or restore a run of the portable engine",
                    manifest.run
                );
                return Err(Failure::permanent(message));
            }
            return self.natively(&restore, &manifest, found, ledger).await;
        }
        let ChosenWork { select, transform, skip_schema, aliases } = job.chosen.clone();
        let key = hands.key.cloned();
        let mut chosen = Chosen { select, transform, skip_schema, aliases, key, ..Chosen::default() };
        if self.is_guarded() {
            let before = found.as_ref().filter(|receipt| self.was_allowed(receipt));
            // What cannot be read is told by the restore itself, with every other blocker.
            if before.is_none()
                && let Some(note) = note
                && let Ok(open) = OpenRun::open(&store, &manifest.run, hands.key).await?
                && let Ok(index) = open.index(&store, note).await?
                && !self.is_allowed(ledger, &index, &manifest.run).await?
            {
                return Ok(());
            }
            let approved = self.approval.filter(|approval| approval.run == manifest.run).map(|it| it.hash.clone());
            chosen.approved = approved.or_else(|| before.and_then(|receipt| receipt.approved.clone()));
            chosen.must_be_empty = chosen.approved.is_none();
        }
        match self.restored(&restore, &chosen, ledger).await {
            Ok(done) => {
                count(ledger, &done);
                ledger.stage = Stage::Done;
                Ok(())
            }
            Err(failure) => {
                // The receipt is written before the first object.
                let has_written = match self.receipt().await {
                    Ok(found) => {
                        ledger.has_begun = found.is_some();
                        found.is_some_and(|receipt| receipt.has_written())
                    }
                    Err(_) => true,
                };
                if chosen.must_be_empty
                    && failure.is_permanent
                    && !has_written
                    && let Ok(Occupied::Yes(tenant)) = occupied(hands.ways, &restore.into, None).await
                {
                    // Objects came while the backup was looked at.
                    waits(ledger, &manifest.run, tenant, None);
                    return Ok(());
                }
                Err(failure)
            }
        }
    }

    /// The servers put back what they wrote themselves. How far they are they do not say.
    async fn natively(
        &self,
        restore: &RestoreWork,
        manifest: &Manifest,
        receipt: Option<Receipt>,
        ledger: &mut RestoreLedger,
    ) -> Result<(), Failure> {
        let Hands { store, ways, board, stop, key: _, pace } = self.hands;
        let restoring = restore_native(restore, (manifest, receipt), ways, *store, self.receipts, stop, *pace);
        tokio::pin!(restoring);
        let restored = loop {
            tokio::select! {
                done = &mut restoring => break done,
                () = tokio::time::sleep(TOLD_EVERY) => {
                    if self.receipt_now().await.is_ok_and(|receipt| receipt.is_some()) {
                        (ledger.stage, ledger.has_begun) = (Stage::Writing, true);
                    }
                    ledger.updated_at = SystemClock.now();
                    if let Err(error) = save(*board, ledger).await {
                        warn!(%error, "the ledger does not say how far the restore is");
                    }
                }
            }
        };
        match restored {
            Ok(done) => {
                count(ledger, &done);
                ledger.stage = Stage::Done;
                Ok(())
            }
            Err(failure) => {
                ledger.has_begun = match self.receipt().await {
                    Ok(found) => found.is_some_and(|receipt| receipt.has_written()),
                    Err(_) => true,
                };
                Err(failure)
            }
        }
    }

    /// Restores, and says now and then how far it is.
    async fn restored(
        &self,
        restore: &RestoreWork,
        chosen: &Chosen,
        ledger: &mut RestoreLedger,
    ) -> Result<Receipt, Failure> {
        let Hands { store, ways, board, stop, key: _, pace: _ } = self.hands;
        let (progress, mut rate) = (Progress::default(), Rate::default());
        let restoring = restore_chosen(restore, chosen, ways, *store, self.receipts, stop, &progress);
        tokio::pin!(restoring);
        let restored = loop {
            tokio::select! {
                done = &mut restoring => break done,
                () = tokio::time::sleep(TOLD_EVERY) => {
                    let Progress { objects, total, bytes, total_bytes, .. } = &progress;
                    let [done, total, bytes, all] =
                        [objects, total, bytes, total_bytes].map(|count| count.load(Ordering::Relaxed));
                    ledger.done = number(done);
                    ledger.pace = (done > 0).then(|| pace(&mut rate, (done, total), (bytes, all)));
                    ledger.profile = Some(profile::of_restore(&progress));
                    if ledger.done > 0 {
                        (ledger.stage, ledger.has_begun) = (Stage::Writing, true);
                        if ledger.aliases.is_none()
                            && let Ok(Some(receipt)) = self.receipt_now().await
                        {
                            ledger.aliases = aliases(&receipt);
                        }
                    }
                    ledger.updated_at = SystemClock.now();
                    if let Err(error) = save(*board, ledger).await {
                        warn!(%error, "the ledger does not say how far the restore is");
                    }
                }
            }
        };
        ledger.done = number(progress.objects.load(Ordering::Relaxed));
        ledger.profile = Some(profile::of_restore(&progress));
        restored
    }

    /// Whether a person has to say that objects may be written over, or that a protected collection may be added to.
    fn is_guarded(&self) -> bool {
        match self.job.restore.conflict {
            Conflict::Overwrite | Conflict::Merge => true,
            Conflict::Skip => self.job.protection.is_some(),
            Conflict::Fail => false,
        }
    }

    /// Whether this very object went on with it before, over what it had written itself or was allowed to.
    fn was_allowed(&self, receipt: &Receipt) -> bool {
        receipt.uid == self.job.restore.uid && (receipt.approved.is_some() || receipt.has_written())
    }

    /// The run: the receipt's, the approved one, or the one that is asked for.
    async fn manifest(&self, receipt: Option<&Receipt>, ledger: &mut RestoreLedger) -> Result<Manifest, Failure> {
        let approved = self.approval.map(|approval| approval.run.as_str());
        let run = receipt.map(|receipt| receipt.run.as_str()).or(approved).unwrap_or(&self.job.restore.run);
        let store = self.hands.patient(self.job.restore.patience);
        if run == LATEST {
            let Latest { manifest, passed_over } = latest(&store, SystemClock.now()).await?;
            if passed_over.total > 0 {
                info!(run = manifest.run, ?passed_over, "newer runs are not good");
            }
            // One that goes on keeps what it said of the run when it was chosen.
            ledger.passed_over = Some(passed_over).filter(|passed_over| passed_over.total > 0);
            return Ok(manifest);
        }
        if ledger.run.as_deref() != Some(run) {
            ledger.passed_over = None;
        }
        let found = catalogue::find(&store, run).await?;
        let none = || format!("the store has no run {run} that is complete; see: kubectl elysia backup ls");
        found.ok_or_else(|| Failure::permanent(none()))
    }

    /// Whether nothing is written over, or a person said that it may be. An approval serves this run and this finding.
    async fn is_allowed(&self, ledger: &mut RestoreLedger, index: &Index, run: &str) -> Result<bool, Failure> {
        if let Some(approval) = self.approval.filter(|approval| approval.run == run) {
            // Used up before the first write, so that no other restore goes by it.
            ledger.approved = Some(approval.hash.clone());
            (ledger.stage, ledger.has_begun, ledger.updated_at) = (Stage::Writing, true, SystemClock.now());
            save(self.hands.board, ledger).await?;
            return Ok(true);
        }
        let RestoreJob { restore, protection, chosen, .. } = self.job;
        if protection.is_some() && collection_exists(self.hands.ways, &restore.into).await? {
            waits(ledger, run, None, protection.clone());
            return Ok(false);
        }
        let tenants = index.tenants.iter().flatten().map(|tenant| tenant.name.clone());
        let tenants: BTreeSet<String> = tenants.filter(|name| chosen.select.takes_tenant(name)).collect();
        let found = occupied(self.hands.ways, &restore.into, Some(&tenants)).await?;
        let Occupied::Yes(tenant) = found else { return Ok(true) };
        waits(ledger, run, tenant, None);
        Ok(false)
    }
}

/// It waits for a person. Found again, it is the same finding, unless that was approved once: that is used up.
fn waits(ledger: &mut RestoreLedger, run: &str, tenant: Option<String>, protection: Option<String>) {
    let is_spent = ledger.approved.take().is_some();
    let before = ledger.guarded.as_ref().filter(|guarded| guarded.run == run && !is_spent);
    let since = before.map_or_else(|| SystemClock.now(), |guarded| guarded.since);
    ledger.guarded = Some(Guarded { run: run.to_owned(), tenant, protection, since });
    ledger.stage = Stage::Waiting;
}

/// How the receipt's aliases stand; `None` where there are none.
fn aliases(receipt: &Receipt) -> Option<RestoredAliases> {
    if receipt.aliases.is_empty() {
        return None;
    }
    let mut out = RestoredAliases::default();
    for (name, state) in &receipt.aliases {
        match state.why_not() {
            None if *state == AliasState::Absent => out.pending += 1,
            None => out.leading += 1,
            Some(why) => {
                out.left += 1;
                if out.reasons.len() < MOST_REASONS {
                    out.reasons.push(LeftAlias { name: name.clone(), why });
                }
            }
        }
    }
    Some(out)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(ledger: &mut RestoreLedger, receipt: &Receipt) {
    let counts = receipt.counts;
    (ledger.unchanged, ledger.pace) = (number(counts.unchanged), None);
    (ledger.written, ledger.skipped, ledger.merged) =
        (number(counts.written), number(counts.skipped), number(counts.merged));
    (ledger.unselected, ledger.unconverted, ledger.dropped) =
        (number(counts.unselected), number(counts.unconverted), number(counts.dropped));
    let left_out = ledger.unselected.saturating_add(ledger.unconverted);
    let kept = ledger.skipped.saturating_add(ledger.unchanged);
    ledger.done = ledger.written.saturating_add(kept).saturating_add(ledger.merged).saturating_add(left_out);
    ledger.total = ledger.total.max(ledger.done);
    ledger.aliases = aliases(receipt);
    ledger.run = Some(receipt.run.clone());
    ledger.has_begun = true;
    ledger.started_at = receipt.started_at;
    ledger.finished_at = Some(receipt.updated_at);
}
