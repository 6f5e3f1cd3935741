//! Rejected lines are carried out again, in their order, once what refused them was mended.
//!
//! Each is read again where it stands, and must stand there as it did: the same number and length, about the same
//! documents. What it comes to now is counted in place of what it came to, in one write of the ledger with everything
//! else, so the sum of the counts stays what it is and the checkpoint where it is. A line for whose document a later
//! one was carried out is left alone ([`crate::rejects`]).
//!
//! Killed anywhere, the next worker carries out again what is not counted yet. Nobody else may write this ledger.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Semaphore;
use tracing::info;

use crate::ahead::entry;
use crate::breaker::Breaker;
use crate::commit::Committer;
use crate::compression::Decoded;
use crate::feed::{FeedError, FeedLine, unreadable, verify_expected};
use crate::flight::Flights;
use crate::keeper::Keeper;
use crate::ledger::{FailureReason, Ledger, Replayed};
use crate::line;
use crate::pace::Pace;
use crate::ports::{Clock, FileEntry, LedgerStore, PortError, Sink, Source};
use crate::reader::Lines;
use crate::rejects::Reject;
use crate::retry::{Faults, Patience, Stop};
use crate::run::{Ports, RunError, Settings, ledger_failed};
use crate::settle::{Again, Reach, Settler};
use crate::step::Step;
use crate::tail::PIECES;
use crate::window::{Entry, Window};

/// Carries out again what was rejected and can be; `word` names the request, which is done once. A ledger of another
/// collection, or none, has nothing to carry out.
pub async fn replay<S, K, L, C>(
    settings: &Settings,
    ports: &Ports<'_, S, K, L, C>,
    word: &str,
    stop: &Stop,
) -> Result<Ledger, RunError>
where
    S: Source,
    K: Sink,
    L: LedgerStore,
    C: Clock,
{
    let faults = Faults::default();
    let patience = Patience { retry: settings.retry, clock: ports.clock, stop, faults: &faults, breaker: None };
    let keeper = Keeper::load(ports.store, patience, &settings.run, &settings.collection).await;
    let keeper = keeper.map_err(|error| ledger_failed(&error, stop))?;
    let is_done = keeper.ledger.replayed.as_ref().is_some_and(|replayed| replayed.word == word);
    if is_done || !keeper.is_stored() || keeper.ledger.collection != settings.collection {
        return Ok(keeper.ledger);
    }
    let breaker = Breaker::new(settings.breaker, keeper.ledger.breaker.clone());
    let (pace, flights) = (Pace::new(settings.batch), Flights::new(settings.flight));
    let patience =
        Patience { retry: settings.retry, clock: ports.clock, stop, faults: &faults, breaker: Some(&breaker) };
    let committer = Committer {
        sink: ports.sink,
        patience,
        pace: &pace,
        computed_vectors: &settings.computed_vectors,
        cutting: settings.mapping.cutting().map(AsRef::as_ref),
        pieces: Semaphore::new(PIECES),
    };
    let settler =
        Settler { keeper, committer: &committer, flights: &flights, breaker: &breaker, stop, max_rejected: None };
    let mut replayer = Replayer { settings, settler, stop, window: None, done: Replayed::default() };
    word.clone_into(&mut replayer.done.word);
    // What a worker before this one did of the same is in the ledger's counts already, and will not be met again.
    let begun = replayer.settler.keeper.ledger.replaying.take().filter(|begun| begun.word == word);
    replayer.done.indexed = begun.map_or(0, |begun| begun.indexed);
    replayer.replay_all(ports.source).await?;
    info!(replayed = ?replayer.done, "rejected lines were carried out again");
    replayer.settler.keeper.ledger.replaying = None;
    replayer.settler.keeper.ledger.replayed = Some(replayer.done);
    replayer.settler.save().await?;
    Ok(replayer.settler.keeper.ledger)
}

/// Lines on their way, and their numbers by where they stand.
#[derive(Default)]
struct Gathered {
    window: Window,
    numbers: BTreeMap<(String, u64), u64>,
}

struct Replayer<'a, K, L, C> {
    settings: &'a Settings,
    settler: Settler<'a, K, L, C>,
    stop: &'a Stop,
    window: Option<Gathered>,
    done: Replayed,
}

impl<K: Sink, L: LedgerStore, C: Clock> Replayer<'_, K, L, C> {
    async fn replay_all<S: Source>(&mut self, source: &S) -> Result<(), RunError> {
        self.settler.finish_pending().await?;
        // A file that was read again, or has another name by now, may have given one line twice: the last time counts.
        let doubles = doubles(&self.settler.ledger().rejects.lines);
        self.settler.keeper.ledger.rejects.supersede(&doubles);
        let rejects = self.settler.ledger().rejects.lines.clone();
        self.done.superseded = count(&rejects, |reject| reject.is_superseded);
        self.done.unreadable = count(&rejects, |reject| !reject.is_superseded && reject.documents.is_empty());
        let wanted = rejects.into_iter().filter(Reject::can_be_replayed).collect::<Vec<_>>();
        let listed = source.list().await.map_err(FeedError::from)?;
        let listed = listed.into_iter().map(|file| (file.name.clone(), file)).collect::<BTreeMap<_, _>>();
        // A file may have been read in several goes, with others in between.
        for group in wanted
            .chunk_by(|one, other| one.letter.file == other.letter.file && one.letter.offset < other.letter.offset)
        {
            let Some(first) = group.first() else { continue };
            let listed = listed.get(&first.letter.file);
            self.replay_of_file(source, listed, &first.letter.file, group).await?;
        }
        self.carry_out().await
    }

    async fn replay_of_file<S: Source>(
        &mut self,
        source: &S,
        listed: Option<&FileEntry>,
        name: &str,
        rejects: &[Reject],
    ) -> Result<(), RunError> {
        let mut done = 0;
        match self.lines_of_file(source, listed, name, rejects, &mut done).await {
            Ok(()) => Ok(()),
            // Nothing but this file's lines depends on it; what came before the damage is carried out.
            Err(RunError::Failed { reason: FailureReason::FileDamaged | FailureReason::ContentChanged, message }) => {
                info!(file = name, message, "rejected lines of a file that is not what it was are not carried out");
                self.done.missing += (rejects.len() - done) as u64;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Where a file is: one that was put away after it was read is not listed, and may be on its way.
    async fn open<S: Source>(&self, source: &S, name: &str) -> Result<Option<S::Reader>, PortError> {
        let leaving = self.settler.ledger().followed.iter().filter_map(|followed| followed.leaving.get(name));
        for name in std::iter::once(name).chain(leaving.map(|leaving| leaving.to.as_str())) {
            let unlisted = FileEntry { name: name.to_owned(), size: 0, version: None, expected: None };
            match source.open(&unlisted).await {
                Ok(reader) => return Ok(Some(reader)),
                Err(error) if error.retryable => return Err(error),
                Err(error) => info!(file = name, %error, "a file with rejected lines is not there"),
            }
        }
        Ok(None)
    }

    async fn lines_of_file<S: Source>(
        &mut self,
        source: &S,
        listed: Option<&FileEntry>,
        name: &str,
        rejects: &[Reject],
        done: &mut usize,
    ) -> Result<(), RunError> {
        let reader = match listed {
            Some(file) => {
                verify_expected(source, file).await?;
                Some(source.open(file).await.map_err(FeedError::from)?)
            }
            None => self.open(source, name).await.map_err(FeedError::from)?,
        };
        let Some(reader) = reader else {
            self.done.missing += rejects.len() as u64;
            return Ok(());
        };
        let failed = |error| RunError::from(unreadable(name, &error));
        let mut lines = Lines::new(Decoded::open(reader, false).await.map_err(failed)?);
        for reject in rejects {
            let line = loop {
                let line = lines.next().await.map_err(|error| failed(lines.reader().explain(error)))?;
                if line.as_ref().is_none_or(|line| line.offset >= reject.letter.offset) {
                    break line;
                }
            };
            *done += 1;
            let letter = &reject.letter;
            let line = line.filter(|line| {
                (line.offset, line.number) == (letter.offset, letter.line)
                    // Its line break may have come since.
                    && (line.length == letter.length || line.is_ended && line.length <= letter.length + 2)
            });
            let Settings { collection, mapping, .. } = self.settings;
            let entry = line.map(|line| {
                let change = line::read(&line);
                entry(collection, mapping, &FeedLine { file: name.into(), line }, change)
            });
            match entry.filter(|entry| documents(entry) == reject.documents) {
                Some(entry) => self.push(entry, reject.number).await?,
                None => self.done.missing += 1,
            }
        }
        Ok(())
    }

    async fn push(&mut self, entry: Entry, number: u64) -> Result<(), RunError> {
        if self.window.as_ref().is_some_and(|gathered| !gathered.window.admits(&entry, &self.settings.window)) {
            self.carry_out().await?;
        }
        let gathered = self.window.get_or_insert_with(|| Gathered {
            window: Window::new(self.settings.skip_unchanged).cutting(self.settings.mapping.cutting().cloned()),
            numbers: BTreeMap::new(),
        });
        gathered.numbers.insert((entry.place.file.to_string(), entry.place.offset), number);
        gathered.window.push(entry);
        Ok(())
    }

    async fn carry_out(&mut self) -> Result<(), RunError> {
        if self.stop.is_set() {
            return Err(RunError::Stopped);
        }
        let Some(Gathered { window, numbers }) = self.window.take() else { return Ok(()) };
        let mut carried = self.settler.committer.carry_out(&window).await?;
        for reject in &mut carried.rejects {
            let place = (reject.letter.file.clone(), reject.letter.offset);
            reject.number = numbers.get(&place).copied().unwrap_or_default();
        }
        let rejected = carried.rejects.iter().map(|reject| reject.number).collect::<BTreeSet<_>>();
        let mut last = BTreeMap::new();
        for Entry { place, step } in window.entries() {
            let number = numbers.get(&(place.file.to_string(), place.offset)).copied().unwrap_or_default();
            for document in step.iter().filter(|_| !rejected.contains(&number)).flat_map(Step::touched) {
                last.entry(document).and_modify(|last: &mut u64| *last = number.max(*last)).or_insert(number);
            }
        }
        self.done.indexed += carried.counts.lines - carried.counts.rejected;
        self.done.rejected += carried.counts.rejected;
        // In the very write that counts them.
        self.settler.keeper.ledger.replaying = Some(self.done.clone());
        let mut numbers = numbers.into_values().collect::<Vec<_>>();
        numbers.sort_unstable();
        let end = self.settler.ledger().checkpoint.clone();
        let reach = Reach { end, finished: Vec::new(), bytes: 0, left: None };
        self.settler.add(reach, carried, Again { numbers, last }).await?;
        self.settler.save().await
    }
}

/// Numbers of lines that were rejected once more at the same place later on.
fn doubles(rejects: &[Reject]) -> Vec<u64> {
    let mut places = BTreeSet::new();
    let place = |reject: &&Reject| !places.insert((reject.letter.file.clone(), reject.letter.offset));
    rejects.iter().rev().filter(place).map(|reject| reject.number).collect()
}

fn count(rejects: &[Reject], is: impl Fn(&Reject) -> bool) -> u64 {
    rejects.iter().filter(|reject| is(reject)).count() as u64
}

/// What the line is about.
fn documents(entry: &Entry) -> Vec<uuid::Uuid> {
    match &entry.step {
        Ok(step) => step.touched().collect(),
        Err(rejection) => rejection.documents.clone(),
    }
}
