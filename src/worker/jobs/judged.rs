//! What was found of a run beside the one before it, in the store: later runs and other clusters go by it, whatever the
//! policy says by then.

use std::collections::{BTreeMap, BTreeSet};

use elysia_core::backup::ledger::{DrillNote, RunNote, TOLD_LEFT_OUT, TOLD_REASONS};
use elysia_core::backup::suspicion::{Contents, Expectation, Past, baseline, judge};
use elysia_core::retention::breadth::{Breadth, stands_in};
use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{CollectionNote, FORMAT, FORMAT_VERSION, Manifest, Owner, RunMode};
use elysia_engine::backup::ports::{Mode, Store};
use elysia_engine::backup::retire;
use elysia_engine::backup::stamp;
use elysia_engine::backup::stored::{self, StoredError};
use elysia_engine::ports::PortError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::worker::backup::{Failure, drilled};
use crate::worker::chain;

/// Beside a run's manifest.
const JUDGED: &str = "judged.json";

/// Notes that are read at once: they are small.
const READS: usize = 32;

/// `judged.json`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Judged {
    format: String,
    version: u32,
    /// When.
    at: Timestamp,
    /// The good run that it was compared with.
    #[serde(default)]
    against: Option<String>,
    /// Why it is Suspect.
    #[serde(default)]
    pub(crate) suspect: Vec<String>,
    /// Whether it is not what was written.
    #[serde(default)]
    pub(crate) is_damaged: bool,
    /// Whether a person accepted it all the same.
    #[serde(default)]
    pub(crate) is_accepted: bool,
    /// Collections that it leaves out, and why.
    #[serde(default)]
    pub(crate) left_out: BTreeMap<String, String>,
    /// Collections that runs before it held and that it was not asked for: it says nothing of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    not_asked: BTreeSet<String>,
}

impl Judged {
    /// Whether it was compared, is complete, and nothing is wrong with it.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_suspect() && self.left_out.is_empty()
    }

    /// Nothing is found.
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            at,
            against: None,
            suspect: Vec::new(),
            is_damaged: false,
            is_accepted: false,
            left_out: BTreeMap::new(),
            not_asked: BTreeSet::new(),
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.is_damaged || (!self.is_accepted && !self.suspect.is_empty())
    }
}

/// A run with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) manifest: Manifest,
    pub(super) verified_at: Option<Timestamp>,
    /// `None`: nobody has compared it yet.
    pub(super) judged: Option<Judged>,
    /// What its last drill found.
    pub(super) drilled: Option<DrillNote>,
    /// Why nobody can go by what is known of it: a note of the store cannot be read.
    pub(super) doubt: Option<String>,
}

impl Known {
    pub(super) fn is_suspect(&self) -> bool {
        self.doubt.is_some() || self.judged.as_ref().is_some_and(Judged::is_suspect)
    }

    /// Whether it was read back or restored by a drill, and no drill found something else since.
    pub(super) fn is_verified(&self) -> bool {
        match &self.drilled {
            Some(drilled) if drilled.has_failed() => false,
            Some(drilled) if drilled.has_passed() => true,
            Some(_) | None => self.verified_at.is_some(),
        }
    }

    /// Whether it is not what was written, or nobody knows.
    pub(super) fn is_damaged(&self) -> bool {
        self.doubt.is_some() || self.judged.as_ref().is_some_and(|judged| judged.is_damaged)
    }

    /// Whether something else came back than was backed up when it was drilled last.
    pub(super) fn has_failed_drill(&self) -> bool {
        self.drilled.as_ref().is_some_and(DrillNote::has_failed)
    }

    /// Whether later runs are compared with it: it is complete and nothing is wrong with it.
    pub(super) fn is_good(&self) -> bool {
        self.doubt.is_none() && self.judged.as_ref().is_some_and(Judged::is_whole)
    }

    /// As later runs are compared with it. What was not counted is no measure: it has none then.
    fn past(&self, not_asked: bool) -> Past {
        let judged = self.judged.as_ref().filter(|_| not_asked);
        let not_asked = judged.into_iter().flat_map(|judged| &judged.not_asked);
        Past {
            contents: contents(&self.manifest, 0),
            silent: self.manifest.lacks.keys().chain(not_asked).cloned().collect(),
        }
    }

    pub(super) fn holding(&self) -> Holding<'_> {
        Holding {
            run: &self.manifest.run,
            collections: self.manifest.collections.iter().map(|note| note.name.as_str()).collect(),
            judged: self.judged.as_ref(),
            is_good: self.is_good(),
            is_verified: self.is_verified(),
            lacks: self.manifest.lacks.keys().map(String::as_str).collect(),
            breadth: breadth(&self.manifest),
        }
    }

    pub(super) fn note(&self) -> RunNote {
        let mut judged = self.judged.clone().unwrap_or_else(|| Judged::new(self.manifest.finished_at));
        if let Some(doubt) = &self.doubt {
            // Nobody can accept it: a note that is not what was written may have said anything.
            judged.is_damaged = true;
            judged.suspect.insert(0, doubt.clone());
        }
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let left_out: BTreeMap<_, _> = self.manifest.lacks.clone().into_iter().chain(judged.left_out.clone()).collect();
        RunNote {
            id: self.manifest.run.clone(),
            objects: number(self.manifest.objects()),
            bytes: number(self.manifest.bytes()),
            started_at: self.manifest.started_at,
            finished_at: self.manifest.finished_at,
            verified_at: self.verified_at.filter(|_| !judged.is_damaged && !self.has_failed_drill()),
            suspect: if judged.is_suspect() {
                judged.suspect.into_iter().take(TOLD_REASONS).collect()
            } else {
                Vec::new()
            },
            is_damaged: judged.is_damaged,
            total_left_out: i64::try_from(left_out.len()).unwrap_or(i64::MAX),
            left_out: left_out.into_iter().take(TOLD_LEFT_OUT).collect(),
        }
    }
}

/// Every run of this owner, the newest first, and what was begun and never finished.
pub(super) struct Shelf {
    pub(super) runs: Vec<Known>,
    /// Id, and since when.
    pub(super) unfinished: Vec<(String, Timestamp)>,
    /// Runs whose manifests cannot be read, and why: whose they are, and what they build on, nobody knows.
    pub(super) unreadable: Vec<(String, String)>,
}

/// What was found of a run, if it was compared. One that says nothing is not one that is not there.
pub(crate) async fn of_run<S: Store>(store: &S, run: &str) -> Result<Result<Option<Judged>, StoredError>, PortError> {
    match stored::read::<Judged, _>(store, &layout::in_run(run, JUDGED)).await {
        Ok(found) => Ok(Ok(found.map(|(judged, _)| judged))),
        Err(StoredError::Port(error)) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// Looks at all of them.
pub(super) async fn shelf<S: Store>(store: &S, owner: &Owner) -> Result<Shelf, Failure> {
    let mut found = Vec::new();
    let (mut unfinished, mut unreadable) = (Vec::new(), Vec::new());
    for entry in catalogue::list(store).await? {
        match entry.state {
            State::Run { manifest, verified, doubt } if manifest.owner == *owner && manifest.run == entry.run => {
                found.push((*manifest, verified.map(|verified| verified.at), doubt.map(|error| chain(&error))));
            }
            State::Unfinished(Some(begun)) if begun.owner == *owner => unfinished.push((entry.run, begun.at)),
            State::Unreadable(error) => unreadable.push((entry.run, chain(&error))),
            // A stranger's run stays.
            State::Run { .. } | State::Unfinished(_) => {}
        }
    }
    let look = |(manifest, verified_at, doubt): (Manifest, Option<Timestamp>, Option<String>)| async move {
        let (judged, unreadable) = match of_run(store, &manifest.run).await? {
            Ok(judged) => (judged, None),
            Err(error) => (None, Some(chain(&error))),
        };
        let (drilled, unknown) = match drilled::of_run(store, &manifest.run).await? {
            Ok(drilled) => (drilled, None),
            Err(error) => (None, Some(chain(&error))),
        };
        Ok::<_, PortError>(Known { manifest, verified_at, judged, drilled, doubt: doubt.or(unreadable).or(unknown) })
    };
    let mut runs: Vec<Known> = stream::iter(found).map(look).buffered(READS).try_collect().await?;
    runs.sort_by(|one, other| {
        (other.manifest.finished_at, &other.manifest.run).cmp(&(one.manifest.finished_at, &one.manifest.run))
    });
    Ok(Shelf { runs, unfinished, unreadable })
}

/// A run as far as it is asked what only older ones hold.
pub(crate) struct Holding<'a> {
    /// Its id.
    pub(crate) run: &'a str,
    /// The collections that it holds.
    pub(crate) collections: BTreeSet<&'a str>,
    /// What was found of it.
    pub(crate) judged: Option<&'a Judged>,
    /// Whether it is complete and nothing is wrong with it.
    pub(crate) is_good: bool,
    /// Whether it was read back or restored by a drill.
    pub(crate) is_verified: bool,
    /// Collections that it lacks since they could not be written.
    pub(crate) lacks: BTreeSet<&'a str>,
    /// How much it was to hold.
    pub(crate) breadth: Breadth,
}

/// How much a run was to hold.
pub(crate) fn breadth(manifest: &Manifest) -> Breadth {
    match (manifest.mode, &manifest.filter) {
        (RunMode::SchemaOnly, _) => Breadth::Schema,
        (RunMode::Full, Some(_)) => Breadth::Filtered,
        (RunMode::Full, None) => Breadth::Everything,
    }
}

/// Runs that leave out what older ones hold and no newer one that is good: nobody may take those away for them. They come
/// with the newest first.
pub(crate) fn lacking(runs: &[Holding<'_>]) -> BTreeMap<String, String> {
    let mut newer: BTreeMap<&str, Breadth> = BTreeMap::new();
    let mut lacking = BTreeMap::new();
    for (at, run) in runs.iter().enumerate() {
        // A newer one of schemas alone has the collection, and none of its objects.
        let is_newer = |name: &str| newer.get(name).is_some_and(|newer| *newer >= run.breadth);
        let is_missed =
            |name: &str| !is_newer(name) && runs[at + 1..].iter().any(|older| older.collections.contains(name));
        let left_out = run.judged.filter(|judged| !judged.is_accepted).map(|judged| &judged.left_out);
        if let Some((name, why)) = left_out.into_iter().flatten().find(|(name, _)| is_missed(name)) {
            lacking.insert(run.run.to_owned(), format!("it leaves out collection {name}: {why}"));
        }
        for name in run.collections.iter().filter(|_| run.is_good) {
            let broadest = newer.entry(*name).or_insert(run.breadth);
            *broadest = run.breadth.max(*broadest);
        }
    }
    lacking
}

/// Of each collection that a run lacks, since it could not be written, the newest run before it that holds it, the broadest
/// and a verified one where there is one: nobody may take that away, however long such runs follow. Those that lack it are
/// whole for the rest, so nothing else stays for them. A collection that no older run holds keeps none. They come with the
/// newest first.
pub(crate) fn last_holders(runs: &[Holding<'_>]) -> BTreeSet<String> {
    let mut holders = BTreeSet::new();
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    for (at, run) in runs.iter().enumerate() {
        for name in run.lacks.iter().copied().filter(|name| asked.insert(name)) {
            let is_held = |other: &&Holding<'_>| other.collections.contains(name);
            // It can be written again, and was.
            if runs[..at].iter().any(|newer| newer.is_good && newer.breadth >= run.breadth && is_held(&newer)) {
                continue;
            }
            let older = runs[at + 1..].iter().rev().filter(is_held);
            // Of equal ones the last, which is the newest.
            let best = older.max_by_key(|older| (older.breadth, older.is_good && older.is_verified));
            holders.extend(best.map(|best| best.run.to_owned()));
        }
    }
    holders
}

/// Objects of each collection; `estimated` where nobody counted them exactly.
fn contents(manifest: &Manifest, estimated: u64) -> Contents {
    let count = |note: &CollectionNote| if manifest.is_counted(&note.name) { note.contents.objects } else { estimated };
    manifest.collections.iter().map(|note| (note.name.clone(), count(note))).collect()
}

impl Shelf {
    /// Whether a run stands in for the good ones that were verified when those are to go: it leaves nothing out, and was to
    /// hold as much. One that nobody read back is no reason to let the last verified one go.
    pub(super) fn stands_in(&self, run: &Known) -> bool {
        let good = self.runs.iter().filter(|known| known.is_good() && known.is_verified());
        let good = good.map(|known| breadth(&known.manifest));
        run.judged.as_ref().is_some_and(|judged| !judged.is_damaged && judged.left_out.is_empty())
            && stands_in(breadth(&run.manifest), good)
    }
}

/// Compares this run with the good ones before it, if nobody has yet; how many objects there are with those that were to hold
/// the same.
pub(super) async fn compare<S: Store>(
    store: &S,
    shelf: &mut Shelf,
    run: &str,
    expected: &Expectation,
    left_out: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<(), Failure> {
    let is_new = |known: &Known| known.manifest.run == run && known.judged.is_none() && known.doubt.is_none();
    let Some(at) = shelf.runs.iter().position(is_new) else {
        return Ok(());
    };
    let own = &shelf.runs[at].manifest;
    let good = shelf.runs[at + 1..].iter().filter(|known| known.is_good());
    let like = good.clone().filter(|known| known.manifest.is_like(own));
    let mut judged = Judged::new(now);
    judged.left_out.clone_from(left_out);
    judged.against = like.clone().chain(good.clone()).next().map(|known| known.manifest.run.clone());
    // Whoever takes a collection out of a policy does not miss it; where it is back, it is compared with what it was.
    let before = baseline(good.map(|known| known.past(false)));
    let like = baseline(like.map(|known| known.past(true)));
    // What was not counted did not shrink: it has as many as can be.
    judged.suspect = judge(&before, &like, &contents(own, u64::MAX), expected);
    let is_not_asked = |name: &&String| own.collection(name).is_none() && !expected.expects(name);
    judged.not_asked = before.keys().chain(like.keys()).filter(is_not_asked).cloned().collect();
    put(store, run, &judged).await?;
    shelf.runs[at].judged = Some(judged);
    Ok(())
}

/// Notes that a run is not what was written.
pub(super) async fn damaged<S: Store>(
    store: &S,
    shelf: &mut Shelf,
    run: &str,
    faults: Vec<String>,
    now: Timestamp,
) -> Result<(), Failure> {
    let Some(known) = shelf.runs.iter_mut().find(|known| known.manifest.run == run) else { return Ok(()) };
    known.judged = Some(note_damage(store, run, known.judged.clone(), faults, now).await?);
    Ok(())
}

/// The same of a run that a person read back, for its owner alone. What has no manifest, or one that cannot be read, gets
/// no note: it may be under way, and retention stops at it as it is. Neither does a run whose note cannot be read.
pub(crate) async fn found_damaged<S: Store>(
    store: &S,
    run: &str,
    owner: &Owner,
    faults: Vec<String>,
    now: Timestamp,
) -> Result<(), Failure> {
    if retire::owner(store).await?.as_ref() != Some(owner) {
        return Ok(());
    }
    let State::Run { manifest, .. } = catalogue::look(store, run).await? else { return Ok(()) };
    if manifest.run != run || manifest.owner != *owner {
        return Ok(());
    }
    if let Ok(before) = of_run(store, run).await? {
        note_damage(store, run, before, faults, now).await?;
    }
    Ok(())
}

/// Whatever else was found of the run stays noted.
async fn note_damage<S: Store>(
    store: &S,
    run: &str,
    before: Option<Judged>,
    faults: Vec<String>,
    now: Timestamp,
) -> Result<Judged, Failure> {
    let mut judged = before.unwrap_or_else(|| Judged::new(now));
    judged.is_damaged = true;
    judged.suspect = faults;
    put(store, run, &judged).await?;
    Ok(judged)
}

/// A person accepts this run and the Suspect ones before it. What is not what was written nobody can accept.
pub(super) async fn accept<S: Store>(store: &S, shelf: &mut Shelf, run: &str) -> Result<(), Failure> {
    let Some(at) = shelf.runs.iter().position(|known| known.manifest.run == run) else {
        return Err(Failure::permanent(format!("run {run} is not there any more; nothing was accepted")));
    };
    // The oldest first: whatever stops this, the newest goes on asking.
    for known in shelf.runs[at..].iter_mut().rev() {
        let run = known.manifest.run.clone();
        if let Some(judged) = known.judged.as_mut().filter(|judged| !judged.is_damaged && !judged.is_whole()) {
            judged.is_accepted = true;
            put(store, &run, judged).await?;
        }
    }
    Ok(())
}

async fn put<S: Store>(store: &S, run: &str, judged: &Judged) -> Result<(), Failure> {
    let bytes = serde_json::to_vec_pretty(judged).map_err(|error| Failure::permanent(error.to_string()))?;
    let key = layout::in_run(run, JUDGED);
    stamp::changing(store, run, store.put(&key, bytes.into(), Mode::Overwrite)).await?;
    Ok(())
}
