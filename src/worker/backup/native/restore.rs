//! Files put back by the servers: everything that stands in the way is told first, the receipt is written before the
//! servers are asked, and whoever comes later finds out whether the collection is there.

use std::time::Duration;

use elysia_core::backup::native::{self, Held, Servers, Wanted};
use elysia_engine::backup::manifest::{Manifest, NativeNote};
use elysia_engine::backup::native::{begin_receipt, save_receipt, verify};
use elysia_engine::backup::opened::OpenRun;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::restore::{Conflict, Order, Receipt, State};
use elysia_engine::backup::verify::Fault;
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::Stop;
use elysia_weaviate::{BackupOptions, BackupPhase, BackupStanding, SchemaRead, WeaviateError};
use tokio::time::Instant;
use tracing::{info, warn};

use super::look::{counted, servers};
use super::{Pace, Place, failed, pause, speaker};
use crate::worker::backup::failure::Failure;
use crate::worker::backup::ways::Ways;
use crate::worker::backup::work::StoreWork;
use crate::worker::clock::SystemClock;

/// How long a collection may take to be seen once the servers say that it is restored: it comes by RAFT.
const SEEN: Duration = Duration::from_secs(60);

/// What is to be done.
pub(crate) struct NativeRestore<'a> {
    /// The run.
    pub(crate) manifest: &'a Manifest,
    /// What the servers wrote of it.
    pub(crate) native: &'a NativeNote,
    /// Where it lies.
    pub(crate) place: &'a StoreWork,
    /// What is asked for.
    pub(crate) order: &'a Order,
    /// The receipt of an earlier attempt.
    pub(crate) receipt: Option<Receipt>,
    /// How often it is looked.
    pub(crate) pace: Pace,
}

/// Restores, or goes on watching what an earlier worker began.
pub(crate) async fn restore<S: Store, R: Store>(
    work: &NativeRestore<'_>,
    ways: &Ways,
    store: &S,
    receipts: &R,
    stop: &Stop,
) -> Result<Receipt, Failure> {
    let NativeRestore { manifest, order, .. } = work;
    let place = Place::of(work.place, &manifest.run)?;
    if manifest.collection(&order.collection).is_none() {
        let has: Vec<&str> = manifest.collections.iter().map(|note| note.name.as_str()).collect();
        let message =
            format!("nothing was written: run {} has no {}; it has {}", manifest.run, order.collection, has.join(", "));
        return Err(Failure::permanent(message));
    }
    let mut receipt = match &work.receipt {
        // It was to begin. Whether it did, and whether what is there is what was put back, the servers alone know.
        Some(receipt) if receipt.has_written() => {
            let phase = standing(ways, &place).await?.map(|standing| standing.phase);
            let runs = phase.as_ref().is_some_and(|phase| !phase.is_final());
            if !runs && exists(ways, &order.into).await? {
                if !matches!(phase, Some(BackupPhase::Success)) {
                    return Err(Failure::permanent(format!(
                        "{} is there, and the servers do not say that they restored it: look at it, delete it, apply again",
                        order.into
                    )));
                }
                return done(work, ways, receipts, receipt.clone()).await;
            }
            if runs {
                info!(run = manifest.run, "an earlier worker's restore goes on");
                watch(work, &place, ways, stop).await?;
                return done(work, ways, receipts, receipt.clone()).await;
            }
            receipt.clone()
        }
        Some(receipt) => receipt.clone(),
        None => begin_receipt(order, SystemClock.now()),
    };
    let servers = servers(ways).await?;
    let held = held(work, store).await?;
    look(work, held, &servers, ways).await?;
    let findings = verify(store, &manifest.run, Some(&order.collection)).await?;
    if let Some(fault) = findings.faults.first() {
        return Err(damaged(fault, findings.faults.len() - 1));
    }
    if stop.is_set() {
        return Err(Failure { message: "stopped as asked; nothing was written".to_owned(), is_permanent: false });
    }
    // Reading all files back takes a while, in which somebody may have made a collection of the name.
    look(work, held, &servers, ways).await?;
    (receipt.has_written, receipt.updated_at) = (Some(true), SystemClock.now());
    save_receipt(receipts, &order.receipt, &receipt).await?;
    let restored = async {
        start(order, &place, ways).await?;
        watch(work, &place, ways, stop).await
    };
    if let Err(failure) = restored.await {
        // What was only stopped may still come.
        if !stop.is_set() && matches!(exists(ways, &order.into).await, Ok(false)) {
            // Whoever makes a collection of the name from here on is somebody else.
            receipt.has_written = Some(false);
            save_receipt(receipts, &order.receipt, &receipt).await?;
        }
        return Err(failure);
    }
    done(work, ways, receipts, receipt).await
}

fn damaged(fault: &Fault, more: usize) -> Failure {
    let more = if more > 0 { format!(", and {more} more faults") } else { String::new() };
    Failure::permanent(format!("nothing was written: the backup is damaged: {fault}{more}"))
}

/// Replicas and shards of the class as it was backed up.
async fn held<S: Store>(work: &NativeRestore<'_>, store: &S) -> Result<Held, Failure> {
    let NativeRestore { manifest, order, .. } = work;
    // That it has the collection was looked at.
    let Some(note) = manifest.collection(&order.collection) else { return Ok(Held::default()) };
    let index = match OpenRun::open(store, &manifest.run, None).await? {
        Ok(opened) => opened.index(store, note).await?,
        Err(fault) => Err(fault),
    };
    index.map(|index| Held::of(&index.schema)).map_err(|fault| damaged(&fault, 0))
}

/// Everything that stands in the way, before any call that changes something.
async fn look(work: &NativeRestore<'_>, held: Held, servers: &Servers, ways: &Ways) -> Result<(), Failure> {
    let NativeRestore { manifest, native, order, .. } = work;
    let wanted = Wanted {
        collection: order.collection.clone(),
        into: order.into.clone(),
        merges: order.conflict != Conflict::Fail,
        factor: order.factor,
        shards: order.shards,
        held,
        nodes: native.nodes.clone(),
        version: manifest.source.weaviate.clone(),
    };
    let obstacles = native::before_restore(servers, &wanted, exists(ways, &order.into).await?);
    if obstacles.is_empty() {
        return Ok(());
    }
    let is_permanent = obstacles.iter().any(native::Obstacle::is_permanent);
    Err(Failure { message: format!("nothing was written: {}", native::told(&obstacles)), is_permanent })
}

/// Whether anything of the name is there, a collection or an alias.
async fn exists(ways: &Ways, name: &str) -> Result<bool, Failure> {
    match ways.common.class(name, SchemaRead::Leader).await {
        Ok(class) => Ok(class.is_some()),
        Err(WeaviateError::IsAlias { .. }) => Ok(true),
        Err(error) => Err(failed(&error)),
    }
}

async fn standing(ways: &Ways, place: &Place) -> Result<Option<BackupStanding>, Failure> {
    speaker(ways).restore_standing(&place.name()).await.map_err(|error| failed(&error))
}

async fn start(order: &Order, place: &Place, ways: &Ways) -> Result<(), Failure> {
    let include = [order.collection.clone()];
    match speaker(ways).restore_backup(&place.name(), &include, BackupOptions::default()).await {
        Ok(_) => {
            info!(id = place.id, "the servers restore");
            Ok(())
        }
        Err(WeaviateError::Interrupted { .. } | WeaviateError::Timeout { .. }) => {
            warn!(id = place.id, "no answer came, so the servers may have begun the restore or not");
            Ok(())
        }
        Err(error) => {
            let text = crate::worker::chain(&error);
            let is_busy = text.contains("already in progress");
            let message =
                format!("the servers refuse to restore: {text}; is their key allowed to read {}?", place.address());
            let Failure { is_permanent, .. } = failed(&error);
            Err(Failure { message, is_permanent: is_permanent && !is_busy })
        }
    }
}

/// Watches until the collection is there.
async fn watch(work: &NativeRestore<'_>, place: &Place, ways: &Ways, stop: &Stop) -> Result<(), Failure> {
    let began = Instant::now();
    let mut done_since: Option<Instant> = None;
    loop {
        if stop.is_set() {
            return Err(stopped(place, ways).await);
        }
        let standing = match speaker(ways).restore_standing(&place.name()).await {
            Ok(standing) => standing,
            Err(error) => {
                info!(error = %crate::worker::chain(&error), "the server that was asked for the restore does not answer");
                pause(stop, work.pace.look).await;
                continue;
            }
        };
        let is_there = async || exists(ways, &work.order.into).await;
        match standing.map(|standing| (standing.phase, standing.error)) {
            Some((BackupPhase::Success, _)) => {
                if is_there().await? {
                    return Ok(());
                }
                // What is told may be the restore before this one.
                if done_since.get_or_insert_with(Instant::now).elapsed() >= SEEN.max(work.pace.unseen) {
                    let message = format!(
                        "the servers call the restore of {} a success, and {} is not there",
                        place.id, work.order.into
                    );
                    return Err(Failure { message, is_permanent: false });
                }
            }
            Some((BackupPhase::Failed, error)) => {
                return Err(Failure::permanent(format!("the servers say that the restore failed: {error}")));
            }
            Some((BackupPhase::Canceled, _)) => {
                return Err(Failure::permanent("the servers say that the restore was cancelled"));
            }
            Some((BackupPhase::Running(_), _)) => done_since = None,
            None if began.elapsed() >= work.pace.unseen => {
                let message = format!("the servers know no restore of {}: it never began", place.id);
                return Err(Failure { message, is_permanent: false });
            }
            None => {}
        }
        pause(stop, work.pace.look).await;
    }
}

/// Asks the servers to stop, where they can.
async fn stopped(place: &Place, ways: &Ways) -> Failure {
    let ended = match speaker(ways).cancel_restore(&place.name()).await {
        Ok(()) => "the servers were asked to cancel it".to_owned(),
        Err(error) => format!("the servers cannot cancel it, and go on: {}", crate::worker::chain(&error)),
    };
    Failure { message: format!("stopped as asked: {ended}"), is_permanent: false }
}

/// It is there: the receipt says so, with as many objects as are there now.
async fn done<R: Store>(
    work: &NativeRestore<'_>,
    ways: &Ways,
    receipts: &R,
    mut receipt: Receipt,
) -> Result<Receipt, Failure> {
    let (objects, _) = counted(ways, &work.order.into).await?;
    receipt.counts.written = objects;
    receipt.state = State::Done;
    receipt.updated_at = SystemClock.now();
    save_receipt(receipts, &work.order.receipt, &receipt).await?;
    Ok(receipt)
}
