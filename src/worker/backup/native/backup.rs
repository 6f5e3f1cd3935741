//! One backup by the servers: started once, whatever dies, and written down when it is whole.

use std::sync::atomic::Ordering;

use elysia_api::backup::{NativeCompression, NativeOptions};
use elysia_core::backup::native::{self, QUIET, Verdict, Watched, Word};
use elysia_engine::backup::catalogue;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{Manifest, Owner, SourceNote};
use elysia_engine::backup::native::{Catalogue, Descriptor, MOST_FILES, NativeOrder, claim, describe};
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::write::Progress;
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::Stop;
use elysia_weaviate::{BackupOptions, BackupPhase, BackupStanding, WeaviateError};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::{info, warn};

use super::look::{self, collections, servers};
use super::{Pace, Place, cancel, failed, pause, speaker};
use crate::worker::backup::failure::Failure;
use crate::worker::backup::ways::Ways;
use crate::worker::backup::work::StoreWork;
use crate::worker::clock::SystemClock;

/// What is to be done.
pub(crate) struct NativeBackup<'a> {
    /// Id of the run, if no earlier worker began one that goes on.
    pub(crate) run: String,
    /// Runs that earlier workers of the same order began and did not finish, the newest first.
    pub(crate) begun: Vec<String>,
    /// Whose.
    pub(crate) owner: &'a Owner,
    /// Where to.
    pub(crate) place: &'a StoreWork,
    /// The collections.
    pub(crate) collections: Vec<String>,
    /// What is asked of the servers.
    pub(crate) options: NativeOptions,
    /// Whether tenants that the servers leave out are left out knowingly.
    pub(crate) skip: bool,
    /// Whether every file is read for its hash.
    pub(crate) hash: bool,
    /// How often it is looked.
    pub(crate) pace: Pace,
}

/// A backup that the servers are at, or are to begin.
struct Begun {
    order: NativeOrder,
    place: Place,
    /// Whether the servers know of it.
    is_known: bool,
}

/// Backs up, or goes on watching what an earlier worker began.
pub(crate) async fn back_up<S: Store>(
    work: &NativeBackup<'_>,
    ways: &Ways,
    store: &S,
    stop: &Stop,
    progress: &Progress,
) -> Result<Manifest, Failure> {
    let begun = find(work, ways, store).await?;
    let names = match describe(store, &begun.order.run, &begun.order.id).await? {
        // What it is of was decided when it began.
        Ok(Some(descriptor)) if begun.is_known => taken(&descriptor),
        _ => work.collections.clone(),
    };
    let servers = servers(ways).await?;
    let seen = collections(ways, &names).await?;
    if !begun.is_known {
        let asked = seen.iter().map(|(name, seen)| (name.clone(), seen.as_ref().map(|seen| seen.collection.clone())));
        let obstacles = native::before_backup(&servers, &asked.collect(), work.skip);
        if !obstacles.is_empty() {
            let is_permanent = obstacles.iter().any(native::Obstacle::is_permanent);
            let message = format!("nothing was begun: {}", native::told(&obstacles));
            return Err(Failure { message, is_permanent });
        }
    }
    let mut held = look::held(ways, &servers, seen).await?;
    progress.objects.store(held.iter().map(|held| held.objects).sum(), Ordering::Relaxed);
    let begun_at = claim(store, &begun.order, SystemClock.now()).await?;
    let is_own = if begun.is_known { false } else { start(work, &begun, ways, &names).await? };
    let descriptor = watch(work, &begun, is_own, ways, store, stop).await?;
    info!(run = begun.order.run, "the servers' backup is complete; its files are written down");
    // What a restore wrote into meanwhile is half of one state and half of another.
    let restored = catalogue::restored(store, &work.owner.cluster, begun_at).await?;
    held.retain(|held| !restored.contains_key(&held.name));
    let source = SourceNote { weaviate: descriptor.server_version.clone(), nodes: descriptor.node_names().len() };
    let written = Catalogue {
        store,
        order: &begun.order,
        begun_at,
        descriptor: &descriptor,
        collections: &held,
        source,
        hash: work.hash,
        read: &progress.bytes,
    };
    tokio::select! {
        written = written.write(SystemClock.now()) => Ok(written?),
        // The next worker finds the backup complete, and writes it down.
        () = stop.wait() => Err(Failure { message: "stopped as asked, while files were read".to_owned(), is_permanent: false }),
    }
}

fn taken(descriptor: &Descriptor) -> Vec<String> {
    let mut names: Vec<String> =
        descriptor.nodes.values().flat_map(|node| node.classes.clone().unwrap_or_default()).collect();
    names.sort();
    names.dedup();
    names
}

impl NativeBackup<'_> {
    fn named(&self, run: &str, is_known: bool) -> Result<Begun, Failure> {
        let place = Place::of(self.place, run)?;
        let order = NativeOrder { run: run.to_owned(), id: place.id.clone(), owner: self.owner.clone() };
        Ok(Begun { order, place, is_known })
    }

    fn options(&self) -> BackupOptions<'static> {
        let NativeOptions { compression_level, cpu_percentage } = self.options;
        BackupOptions {
            compression: compression_level.map(|level| match level {
                NativeCompression::Default => "DefaultCompression",
                NativeCompression::BestSpeed => "BestSpeed",
                NativeCompression::BestCompression => "BestCompression",
            }),
            cpu_percentage: cpu_percentage.and_then(|percentage| u8::try_from(percentage).ok()),
        }
    }
}

/// What an earlier worker of this order began and the servers know, or else what is to be begun. An id that ended without
/// a backup is never used again: the servers refuse it for ever.
async fn find<S: Store>(work: &NativeBackup<'_>, ways: &Ways, store: &S) -> Result<Begun, Failure> {
    for run in &work.begun {
        let begun = work.named(run, true)?;
        let whole = describe(store, run, &begun.order.id).await?;
        if matches!(&whole, Ok(Some(descriptor)) if descriptor.is_success()) {
            info!(run, "an earlier worker's backup is complete");
            return Ok(begun);
        }
        let standing = speaker(ways).backup_standing(&begun.place.name()).await.map_err(|error| failed(&error))?;
        match standing.map(|standing| standing.phase) {
            Some(BackupPhase::Running(_) | BackupPhase::Success) => {
                info!(run, "an earlier worker's backup goes on");
                return Ok(begun);
            }
            Some(BackupPhase::Failed | BackupPhase::Canceled) => {}
            None => {
                // It died before it asked, or its asking was lost: under the same id the servers begin it once at most.
                if is_bare(store, run).await? {
                    return Ok(Begun { is_known: false, ..begun });
                }
            }
        }
    }
    work.named(&work.run, false)
}

/// Whether nothing of a run is there but its beginning.
async fn is_bare<S: Store>(store: &S, run: &str) -> Result<bool, Failure> {
    Ok(store.files(layout::in_run(run, "").trim_end_matches('/'), 2).await?.len() < 2)
}

/// Asks the servers to begin. Answers whether they said that they did; where no answer came they may have.
async fn start(work: &NativeBackup<'_>, begun: &Begun, ways: &Ways, names: &[String]) -> Result<bool, Failure> {
    let place = &begun.place;
    match speaker(ways).create_backup(&place.name(), names, work.options()).await {
        Ok(standing) if place.is_elsewhere(&standing) => {
            let ended = cancel(ways, place, work.pace).await;
            Err(elsewhere(place, &standing.path, &ended))
        }
        Ok(_) => {
            info!(id = place.id, "the servers back up");
            Ok(true)
        }
        Err(WeaviateError::Interrupted { .. } | WeaviateError::Timeout { .. }) => {
            warn!(id = place.id, "no answer came, so the servers may have begun the backup or not");
            Ok(false)
        }
        Err(error) => {
            let text = crate::worker::chain(&error);
            if text.contains("already exists") {
                return Ok(false);
            }
            if text.contains("already in progress") {
                if text.contains(place.id.as_str()) {
                    return Ok(false);
                }
                let message = format!("nothing was begun: {}: {text}", native::Obstacle::Busy);
                return Err(Failure { message, is_permanent: false });
            }
            Err(Failure { message: format!("the servers refuse to begin: {text}"), ..failed(&error) })
        }
    }
}

fn elsewhere(place: &Place, path: &str, ended: &str) -> Failure {
    Failure::permanent(format!(
        "the servers write to {path} and not to {}: they are too old to be told where to, so use engine: Portable or newer servers; {ended}",
        place.address()
    ))
}

/// Watches until it is whole, and answers what the servers wrote of it.
async fn watch<S: Store>(
    work: &NativeBackup<'_>,
    begun: &Begun,
    is_own: bool,
    ways: &Ways,
    store: &S,
    stop: &Stop,
) -> Result<Descriptor, Failure> {
    let Begun { order, place, .. } = begun;
    let pace = work.pace;
    let watched_since = Instant::now();
    // Where only the common address is known, another node may answer for one that died.
    let mut was_away = !is_own || ways.nodes.is_empty();
    let mut changes = Changes::new(order);
    loop {
        if stop.is_set() {
            let ended = cancel(ways, place, pace).await;
            return Err(Failure { message: format!("stopped as asked: {ended}"), is_permanent: false });
        }
        let standing = match speaker(ways).backup_standing(&place.name()).await {
            Ok(standing) => standing,
            Err(error) => {
                info!(error = %crate::worker::chain(&error), "the server that was asked for the backup does not answer");
                was_away = true;
                None
            }
        };
        let descriptor = describe(store, &order.run, &order.id).await?.unwrap_or_else(|reason| {
            // In the middle of being written.
            info!(reason, "the servers' word in the store cannot be read");
            None
        });
        if descriptor.is_none() && watched_since.elapsed() >= pace.unseen {
            return Err(unseen(work, begun, standing, ways).await);
        }
        let quiet = changes.quiet(store, pace, descriptor.as_ref()).await?;
        let is_whole = descriptor.as_ref().is_some_and(Descriptor::is_success);
        let said = standing.map(word).or_else(|| descriptor.as_ref().and_then(ended));
        match native::judge(&Watched { word: said, is_whole, was_away, quiet }) {
            Verdict::Complete => {
                if let Some(descriptor) = descriptor {
                    return Ok(descriptor);
                }
            }
            Verdict::Over(why) => {
                let message = format!("{why}; backup {} is no run, and the next attempt is another one", place.id);
                return Err(Failure { message, is_permanent: false });
            }
            Verdict::GiveUp(why) => {
                let ended = cancel(ways, place, pace).await;
                return Err(Failure { message: format!("{why}; {ended}"), is_permanent: false });
            }
            Verdict::Wait => {}
        }
        pause(stop, pace.look).await;
    }
}

fn word(standing: BackupStanding) -> Word {
    match standing.phase {
        BackupPhase::Running(_) => Word::Running,
        BackupPhase::Success => Word::Success,
        BackupPhase::Failed => Word::Failed(standing.error),
        BackupPhase::Canceled => Word::Canceled,
    }
}

/// The end of a backup, as the store has it: the server that coordinated it need not be asked for that.
fn ended(descriptor: &Descriptor) -> Option<Word> {
    match descriptor.status.as_str() {
        "FAILED" => Some(Word::Failed(descriptor.error.clone())),
        "CANCELED" | "CANCELLED" => Some(Word::Canceled),
        _ => None,
    }
}

/// Nothing of it is in the store: it never began, or it is written elsewhere.
async fn unseen(work: &NativeBackup<'_>, begun: &Begun, standing: Option<BackupStanding>, ways: &Ways) -> Failure {
    let place = &begun.place;
    let Some(standing) = standing else {
        let message = format!("the servers do not know backup {}: it never began", place.id);
        return Failure { message, is_permanent: false };
    };
    if standing.phase.is_final() && standing.phase != BackupPhase::Success {
        let message = format!("the servers say that backup {} failed: {}", place.id, standing.error);
        return Failure { message, is_permanent: false };
    }
    let ended = cancel(ways, place, work.pace).await;
    Failure::permanent(format!(
        "the servers say that they write to {}, and in store.s3 of the policy there is nothing: it is another server than the one of BACKUP_S3_ENDPOINT of the servers; {ended}",
        place.address()
    ))
}

/// When something changed in the store last.
struct Changes {
    run: String,
    folder: String,
    seen: (usize, Option<String>, Option<Timestamp>),
    since: Instant,
    looked: Option<Instant>,
}

impl Changes {
    fn new(order: &NativeOrder) -> Self {
        let folder = layout::in_run(&order.run, &layout::native(&order.id));
        Self { run: order.run.clone(), folder, seen: (0, None, None), since: Instant::now(), looked: None }
    }

    async fn quiet<S: Store>(
        &mut self,
        store: &S,
        pace: Pace,
        descriptor: Option<&Descriptor>,
    ) -> Result<SignedDuration, Failure> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= pace.glance) {
            let files = store.files(&self.folder, MOST_FILES).await?.len();
            let status = descriptor.map(|descriptor| descriptor.status.clone());
            let at = descriptor.and_then(|descriptor| descriptor.completed_at);
            let seen = (files, status, at);
            if seen != self.seen {
                info!(run = self.run, files, "the servers' files in the store");
                (self.seen, self.since) = (seen, Instant::now());
            }
            self.looked = Some(Instant::now());
        }
        // A duration that does not fit is as long as any.
        Ok(SignedDuration::try_from(self.since.elapsed()).unwrap_or(QUIET))
    }
}
