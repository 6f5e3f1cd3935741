//! Whether the store has room for a run, asked before anything of it is written. A bucket has no end that anybody knows.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::backup::ledger::BackupLedger;
use elysia_core::backup::room::{Room, Size, judge};
use elysia_engine::backup::manifest::{Manifest, RunMode};
use elysia_engine::backup::ports::{Store, Target as _};
use elysia_engine::backup::write::filter_note;
use elysia_engine::object::Vector;
use elysia_engine::ports::PortError;
use tracing::{info, warn};

use super::backup::{Hands, tell, trouble};
use super::board::Board;
use super::judged::Shelf;
use super::work::BackupJob;
use crate::worker::backup::ways::Ways;
use crate::worker::backup::work::BackupWork;
use crate::worker::backup::{Choice, Failure, WeaviateTarget};
use crate::worker::sink::port;

/// Collections of which an object is looked at for a first run, those with the most objects: the others are a rest, and
/// what is asked for is a lower bound anyway.
const SAMPLED: usize = 100;

/// Ends the work before anything is written where there is no room for the run.
pub(super) async fn enough_room<S: Store, B: Board>(
    job: &BackupJob,
    choice: &Choice,
    backup: &BackupWork,
    shelf: &Shelf,
    hands: &Hands<'_, S, B>,
    ledger: &mut BackupLedger,
) -> Result<(), Failure> {
    let names = backup.collections.as_deref().unwrap_or_default();
    match room(job, choice, names, shelf, hands.store, hands.ways).await? {
        None | Some(Room::Enough) => {}
        Some(Room::Unknown(said)) => trouble(ledger, said),
        Some(Room::Short(said)) => {
            tell(ledger, |attempt| (attempt.lacks_room, attempt.run) = (true, None));
            return Err(Failure::permanent(said));
        }
    }
    Ok(())
}

/// Whether there is room; `None` where the store cannot tell, or nothing but schemas is written.
async fn room<S: Store>(
    job: &BackupJob,
    choice: &Choice,
    collections: &[String],
    shelf: &Shelf,
    store: &S,
    ways: &Ways,
) -> Result<Option<Room>, PortError> {
    if choice.mode == RunMode::SchemaOnly {
        return Ok(None);
    }
    let Some(free) = store.room().await? else { return Ok(None) };
    let size = match last(job, choice, collections, shelf) {
        Some(bytes) => Size::Last(bytes),
        // What builds on another writes what is new, and what a filter takes nobody knows.
        None if choice.base.is_some() || choice.filter.is_some() => Size::Unknown,
        None => counted(collections, ways).await.map_or(Size::Unknown, Size::Vectors),
    };
    let room = judge(free, size);
    info!(free, ?size, ?room, "looked for room");
    // Whoever builds on a run that is there has it told by that one.
    Ok(Some(room).filter(|room| choice.base.is_none() || !matches!(room, Room::Unknown(_))))
}

/// Bytes that the last run took which is written alike, of the collections that are meant.
fn last(job: &BackupJob, choice: &Choice, collections: &[String], shelf: &Shelf) -> Option<u64> {
    let is_like = |manifest: &Manifest| {
        let filter = choice.filter.as_ref().map(|filter| filter_note(filter, choice.key.as_ref()).digest);
        manifest.mode == choice.mode
            && manifest.data == job.backup.how.data
            && manifest.base.is_empty() == choice.base.is_none()
            && manifest.filter.as_ref().map(|filter| filter.digest) == filter
    };
    let mut runs = shelf.runs.iter().filter(|known| !known.is_suspect()).map(|known| &known.manifest);
    let notes = &runs.find(|manifest| is_like(manifest))?.collections;
    Some(notes.iter().filter(|note| collections.contains(&note.name)).map(|note| note.bytes).sum())
}

/// Bytes of the vectors of these collections, as far as the servers tell; `None` where they tell nothing.
async fn counted(collections: &[String], ways: &Ways) -> Option<u64> {
    match vectors(collections, ways).await {
        // Nothing counted is not nothing there.
        Ok(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
        Err(error) => {
            warn!(error = error.message, "the servers do not say how much there is");
            None
        }
    }
}

async fn vectors(collections: &[String], ways: &Ways) -> Result<u64, PortError> {
    let meant: BTreeSet<&str> = collections.iter().map(String::as_str).collect();
    // Of each shard what the replica has that counts the most.
    let mut shards: BTreeMap<(String, String), u64> = BTreeMap::new();
    for node in ways.common.node_shards(None).await.map_err(|error| port(&error))? {
        for shard in node.shards.into_iter().filter(|shard| meant.contains(shard.class.as_str())) {
            let most = shards.entry((shard.class, shard.name)).or_default();
            *most = u64::try_from(shard.object_count).unwrap_or_default().max(*most);
        }
    }
    // Objects of each, and its largest shard, which is a tenant where it has those.
    let mut classes: BTreeMap<String, (u64, String, u64)> = BTreeMap::new();
    for ((class, shard), objects) in shards {
        let (all, largest, most) = classes.entry(class).or_default();
        *all += objects;
        if objects > *most {
            (*largest, *most) = (shard, objects);
        }
    }
    let mut classes: Vec<_> = classes.into_iter().filter(|(_, (all, ..))| *all > 0).collect();
    classes.sort_by_key(|(_, (all, ..))| std::cmp::Reverse(*all));
    let mut bytes: u64 = 0;
    for (class, (all, largest, _)) in classes.into_iter().take(SAMPLED) {
        let target = WeaviateTarget::new(ways.clone(), &class);
        let schema = target.class().await?.unwrap_or_default();
        let tenant = (schema["multiTenancyConfig"]["enabled"] == true).then_some(largest.as_str());
        let Some(object) = target.any_object(tenant).await? else { continue };
        let floats: usize = object.vectors.values().map(floats).sum();
        bytes = bytes.saturating_add(all.saturating_mul(floats as u64 * 4));
    }
    Ok(bytes)
}

fn floats(vector: &Vector) -> usize {
    match vector {
        Vector::Single(numbers) => numbers.len(),
        Vector::Multi(vectors) => vectors.iter().map(Vec::len).sum(),
    }
}
