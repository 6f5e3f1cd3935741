//! How a run begins: what a crash left half done is finished, the ledger becomes this run's, and the feed stands where
//! reading goes on.

use jiff::Timestamp;
use tracing::info;

use crate::checkpoint::Checkpoint;
use crate::feed::{Feed, FeedError};
use crate::follow::{self, Follow, Followed, Look, PutOff, Reading, Record};
use crate::ledger::{Ledger, State};
use crate::ports::{Clock, LedgerStore, Sink, Source};
use crate::run::{RunError, Settings};
use crate::settle::Settler;

/// Finishes what a crash left half done, and makes the ledger this run's. Its write also shows any other worker that it
/// is no longer alone.
pub(crate) async fn begin<K: Sink, L: LedgerStore, C: Clock>(
    settings: &Settings,
    settler: &mut Settler<'_, K, L, C>,
    clock: &C,
) -> Result<(), RunError> {
    let Settings { run, collection, .. } = settings;
    let same_collection = settler.ledger().collection == *collection;
    if same_collection {
        settler.finish_pending().await?;
    }
    let ledger = &mut settler.keeper.ledger;
    if same_collection && ledger.run == *run {
        ledger.resume();
    } else {
        *ledger = Ledger::begin_after(run, collection, clock.now(), ledger);
    }
    // Also of a ledger that begins with this run.
    ledger.partition = settings.partition;
    info!(%run, %collection, checkpoint = ?ledger.checkpoint, "run begins");
    settler.save().await?;
    settler.check_rejected()
}

/// As [`begin`], for a feed that goes on from run to run: looks what there is, and answers `None` when that is nothing
/// new. Nothing is written then, unless the look learnt something.
pub(crate) async fn begin_to_follow<'s, S: Source, K: Sink, L: LedgerStore, C: Clock>(
    settings: &Settings,
    follow: &Follow,
    settler: &mut Settler<'_, K, L, C>,
    source: &'s S,
    clock: &C,
) -> Result<Option<Feed<'s, S>>, RunError> {
    let Settings { run, collection, .. } = settings;
    if settler.ledger().collection == *collection {
        settler.finish_pending().await?;
    }
    let ledger = &mut settler.keeper.ledger;
    let is_known = ledger.followed.as_ref().is_some_and(|followed| followed.basis == follow.basis);
    if ledger.collection != *collection || !is_known {
        *ledger = Ledger::begin_after(run, collection, clock.now(), ledger);
        ledger.followed = Some(Followed { basis: follow.basis.clone(), ..Followed::default() });
    }
    let is_interrupted = ledger.run == *run && ledger.state != State::Succeeded;
    // A run that ended before it read anything interrupted nothing.
    let is_reading = ledger.followed.as_ref().and_then(|followed| followed.is_reading);
    let is_interrupted = is_interrupted && is_reading != Some(false);
    if ledger.run != *run {
        run.clone_into(&mut ledger.run);
        ledger.started_at = clock.now();
        ledger.resume();
    }
    settler.finish_leaving(source).await?;
    let ledger = &mut settler.keeper.ledger;
    let mut followed = ledger.followed.take().unwrap_or_default();
    followed.fold(&mut ledger.checkpoint);
    let look = follow::look(source, &followed.files, follow.rewritten, clock.now()).await;
    ledger.followed = Some(followed);
    let look = look?;
    let Some(followed) = &mut ledger.followed else { return Ok(None) };
    if put_off(follow, followed, &ledger.checkpoint, &look, source, clock.now()).await? {
        info!(%run, put_off = ?followed.put_off, "too few lines are new");
        return Ok(None);
    }
    let was_put_off = followed.put_off.take().is_some();
    followed.files.clone_from(&look.files);
    followed.reread += look.reread;
    followed.run_now.clone_from(&follow.run_now);
    followed.is_reading = Some(is_interrupted || !look.readings.is_empty());
    if !is_interrupted && !look.readings.is_empty() {
        followed.rejected_before = ledger.counts.rejected;
        followed.rejects_before = ledger.rejects.seen;
        ledger.dead_letters.clear();
    }
    if look.readings.is_empty() {
        if was_put_off {
            // What waited went away: the feed has caught up at this moment.
            ledger.resume();
        }
        return Ok(None);
    }
    info!(%run, %collection, files = look.readings.len(), "what is new is read");
    ledger.resume();
    let feed = Feed::follow(source, &ledger.checkpoint, look, clock.now());
    ledger.left = Some(feed.left());
    settler.save().await?;
    settler.check_rejected()?;
    Ok(Some(feed))
}

/// Whether what a look found waits for more. A run that has begun to read goes on, and one that a person asked for reads
/// whatever there is. Each look that finds as much as the one before counts nothing.
async fn put_off<S: Source>(
    follow: &Follow,
    followed: &mut Followed,
    checkpoint: &Checkpoint,
    look: &Look,
    source: &S,
    now: Timestamp,
) -> Result<bool, FeedError> {
    let is_asked_for = follow.run_now.is_some() && follow.run_now != followed.run_now;
    let Some(least) = follow.min_changes.filter(|_| !is_asked_for && followed.is_reading != Some(true)) else {
        return Ok(false);
    };
    if look.readings.is_empty() {
        return Ok(false);
    }
    let (of, before) = (look.identity(), followed.put_off.take());
    let known = before.as_ref().filter(|before| of.is_some() && before.of == of && before.lines < least);
    let lines = match known {
        Some(before) => before.lines,
        None => count(source, checkpoint, look.clone(), least, now).await?,
    };
    // What holds no whole line waits for nothing: it is looked at, so that its record says how it stands.
    if lines >= least || lines == 0 {
        return Ok(false);
    }
    let since = before.map_or(now, |before| before.since);
    followed.put_off = Some(PutOff { lines, least, since, of });
    followed.files.clone_from(&look.files);
    followed.reread += look.reread;
    for Reading { file, from } in &look.readings {
        // What was hashed to find the end of what is indexed need not be hashed again.
        if let Some(record) = from.as_ref().filter(|record| record.midstate.is_some()) {
            followed.files.insert(file.name.clone(), Record { is_partial: true, ..record.clone() });
        }
    }
    Ok(true)
}

/// How many lines the look would have read, counted no further than `most`.
async fn count<S: Source>(
    source: &S,
    checkpoint: &Checkpoint,
    look: Look,
    most: u64,
    now: Timestamp,
) -> Result<u64, FeedError> {
    let mut feed = Feed::follow(source, checkpoint, look, now);
    let mut lines = 0;
    while lines < most && feed.next().await?.is_some() {
        lines += 1;
    }
    Ok(lines)
}
