//! The Job of a copy: copies, and says how far it is. It is started again after any crash and does nothing twice: the
//! state, beside the ledger, says what is done.

use elysia_core::copy::ledger::{Compared, CopyLedger, DifferingTenant, Stage, TOLD_TENANTS};
use elysia_engine::copy::Progress;
use elysia_engine::copy::state::{Comparison, Holding, Kind, State};
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::Stop;
use tracing::warn;

use super::backup::TOLD_EVERY;
use super::board::{Board, ReceiptBoard, load, save};
use crate::worker::backup::Failure;
use crate::worker::backup::ways::Ways;
use crate::worker::clock::SystemClock;
use crate::worker::copy::work::CopyWork;
use crate::worker::copy::{copy_over, order};

/// What the Job works with.
pub(super) struct CopyHands<'a, B> {
    /// The cluster that is read.
    pub(super) source: &'a Ways,
    /// The cluster that is written.
    pub(super) target: &'a Ways,
    pub(super) board: &'a B,
    pub(super) stop: &'a Stop,
}

/// Does the work; a failure is in the ledger before the Job ends.
pub(super) async fn run<B: Board>(work: &CopyWork, hands: &CopyHands<'_, B>) -> Result<(), Failure> {
    let former: Option<CopyLedger> = load(hands.board).await?;
    let mut ledger = begun(work, former);
    save(hands.board, &ledger).await?;
    let done = copied(work, hands, &mut ledger).await;
    ledger.updated_at = SystemClock.now();
    match &done {
        Ok(()) => ledger.finished_at = Some(ledger.updated_at),
        Err(failure) => {
            ledger.stage = Stage::Failed;
            ledger.message = Some(failure.message.clone());
            ledger.is_permanent = failure.is_permanent;
        }
    }
    match (done, save(hands.board, &ledger).await) {
        (Err(failure), saved) => {
            if let Err(error) = saved {
                warn!(%error, "the ledger does not say that the copy failed");
            }
            Err(failure)
        }
        (Ok(()), saved) => saved,
    }
}

/// The ledger at the beginning of an attempt: what is known of the copy stays, what an earlier order or attempt said of
/// itself does not.
fn begun(work: &CopyWork, former: Option<CopyLedger>) -> CopyLedger {
    let now = SystemClock.now();
    let blank = CopyLedger {
        copy: work.copy.clone(),
        order: work.order.clone(),
        stage: Stage::Looking,
        pass: 0,
        total: 0,
        done: 0,
        written: 0,
        removed: 0,
        behind: None,
        left_out: None,
        caught_up_to: None,
        compared: None,
        has_begun: false,
        started_at: now,
        updated_at: now,
        finished_at: None,
        message: None,
        is_permanent: false,
    };
    let Some(former) = former.filter(|former| former.copy == work.copy) else { return blank };
    let is_same_order = former.order == work.order;
    CopyLedger {
        order: work.order.clone(),
        stage: Stage::Looking,
        compared: former.compared.filter(|_| is_same_order),
        updated_at: now,
        finished_at: None,
        message: None,
        is_permanent: false,
        ..former
    }
}

/// Copies, and says now and then how far it is.
async fn copied<B: Board>(work: &CopyWork, hands: &CopyHands<'_, B>, ledger: &mut CopyLedger) -> Result<(), Failure> {
    let CopyHands { source, target, board, stop } = hands;
    let (order, states, progress) = (order(work), ReceiptBoard(*board), Progress::default());
    let copying = copy_over(&order, source, target, &states, stop, &progress);
    tokio::pin!(copying);
    let copied = loop {
        tokio::select! {
            done = &mut copying => break done,
            () = tokio::time::sleep(TOLD_EVERY) => {
                if let Some(state) = progress.state() {
                    tell(ledger, &state);
                }
                ledger.updated_at = SystemClock.now();
                if let Err(error) = save(*board, ledger).await {
                    warn!(%error, "the ledger does not say how far the copy is");
                }
            }
        }
    };
    if let Some(state) = progress.state() {
        tell(ledger, &state);
    }
    copied.map(drop)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What the state of the engine is for whoever reads the ledger.
fn tell(ledger: &mut CopyLedger, state: &State) {
    let now = state.now();
    let kind = state.pass.as_ref().map(|pass| pass.kind);
    ledger.stage = match kind {
        None if state.order_is_done => Stage::Done,
        Some(Kind::Compare) => Stage::Comparing,
        None | Some(Kind::First | Kind::Stamps | Kind::Contents) => Stage::Copying,
    };
    ledger.pass = state.passes;
    if let Some(pass) = &state.pass {
        (ledger.total, ledger.done) = (number(pass.total), number(now.read));
        // Counted before it began, or not to be had.
        ledger.total = ledger.total.max(ledger.done);
    } else if state.order_is_done {
        ledger.done = ledger.total;
    }
    (ledger.written, ledger.removed) = (number(state.written + now.written), number(state.removed + now.removed));
    ledger.behind = state.behind.map(number);
    ledger.left_out = state.left_out.map(number);
    ledger.caught_up_to = state.caught_up_to;
    ledger.compared = state.compared.as_ref().map(compared);
    ledger.has_begun = state.holding == Holding::Own;
    ledger.started_at = state.started_at;
}

fn compared(comparison: &Comparison) -> Compared {
    let Comparison { source, target, differing, at, ref tenants } = *comparison;
    let told = tenants.iter().take(TOLD_TENANTS).map(|row| DifferingTenant {
        tenant: row.tenant.clone(),
        source: number(row.source),
        target: number(row.target),
        differing: number(row.differing),
    });
    Compared {
        source: number(source),
        target: number(target),
        differing: number(differing),
        sampled: number(source.max(target)),
        is_same: comparison.is_same(),
        at,
        tenants: told.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::board::MemoryBoard;
    use super::*;
    use crate::worker::LEDGER_KEY;
    use crate::worker::backup::ways::ways;

    /// An address where nobody listens.
    const NOBODY: &str = "http://127.0.0.1:1";

    fn work(order: &str) -> CopyWork {
        serde_json::from_value(json!({
            "ledger": "l", "copy": "c", "order": order, "from": "A", "into": "B",
            "endpoints": {"rest": NOBODY, "grpc": NOBODY}, "deadlineSeconds": 60, "patience": {"attempts": 1},
        }))
        .unwrap()
    }

    fn state(edit: &serde_json::Value) -> State {
        let mut state = json!({
            "format": "f", "version": 1, "copy": "c", "from": "A", "source": NOBODY, "into": "B", "target": NOBODY,
            "holding": "Own", "startedAt": "2026-11-30T05:00:00Z", "updatedAt": "2026-11-30T05:00:01Z", "order": "o",
        });
        for (key, value) in edit.as_object().unwrap() {
            state[key] = value.clone();
        }
        serde_json::from_value(state).unwrap()
    }

    #[tokio::test]
    async fn a_copy_that_cannot_be_made_says_so_and_keeps_what_is_known() {
        let (board, stop) = (MemoryBoard::default(), Stop::default());
        let nobody = ways(&work("o").endpoints, None).unwrap();
        let mut former = begun(&work("before"), None);
        (former.written, former.has_begun, former.behind) = (7, true, Some(3));
        save(&board, &former).await.unwrap();
        let hands = CopyHands { source: &nobody, target: &nobody, board: &board, stop: &stop };
        run(&work("o"), &hands).await.unwrap_err();
        let ledger: CopyLedger = serde_json::from_str(&board.0.lock().unwrap()[LEDGER_KEY].clone()).unwrap();
        assert_eq!((ledger.stage, ledger.order.as_str(), ledger.is_permanent), (Stage::Failed, "o", false));
        assert_eq!((ledger.written, ledger.has_begun, ledger.behind), (7, true, Some(3)));
        assert!(ledger.message.unwrap().contains("127.0.0.1:1"));
    }

    #[test]
    fn the_ledger_of_another_copy_says_nothing() {
        let other = CopyWork { copy: "d".to_owned(), ..work("o") };
        let mut former = begun(&work("o"), None);
        former.has_begun = true;
        assert!(!begun(&other, Some(former.clone())).has_begun);
        assert!(begun(&work("p"), Some(former)).has_begun);
    }

    #[test]
    fn what_the_engine_knows_is_told() {
        let mut ledger = begun(&work("o"), None);
        let pass = json!({
            "kind": "Stamps", "beganAt": "2026-11-30T05:10:00Z", "total": 100, "slices": 2,
            "at": [{"slice": 0, "tally": {"read": 30, "written": 2}}, {"slice": 1, "tally": {"read": 10, "removed": 1}}],
        });
        let known = json!({
            "pass": pass, "passes": 2, "written": 100, "removed": 0, "behind": 100, "caughtUpTo": "2026-11-30T05:00:00Z",
        });
        tell(&mut ledger, &state(&known));
        assert_eq!((ledger.stage, ledger.pass, ledger.total, ledger.done), (Stage::Copying, 2, 100, 40));
        assert_eq!((ledger.written, ledger.removed, ledger.behind), (102, 1, Some(100)));
        assert!(ledger.has_begun);
        let row = json!({"tenant": "t", "source": 2, "target": 1, "differing": 1});
        let done = json!({
            "holding": "Found", "orderIsDone": true,
            "compared": {"source": 9, "target": 8, "differing": 1, "at": "2026-11-30T05:20:00Z", "tenants": [row]},
        });
        tell(&mut ledger, &state(&done));
        let compared = ledger.compared.unwrap();
        assert_eq!((ledger.stage, ledger.done, ledger.total, ledger.has_begun), (Stage::Done, 100, 100, false));
        assert_eq!((compared.is_same, compared.sampled, compared.tenants.len()), (false, 9, 1));
    }
}
