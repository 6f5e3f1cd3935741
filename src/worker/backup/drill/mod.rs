//! A restore drill of one collection: it is restored under a name of its own, compared with the run, and deleted.
//!
//! ```text
//! class is there? ─▶ of a drill that was cut off: deleted     anybody else's: the drill ends
//! restore into the scratch collection, its mark in the description
//! read back: counts and sums of every tenant, a sample, searches
//! the mark is read again ─▶ delete
//! ```
//!
//! Nothing is ever deleted but a class of that very name whose description is the mark of that very drill, which no
//! other class has: the mark carries policy, order and name. Whoever calls this keeps the name in a ledger meanwhile.

mod ground;
#[cfg(test)]
pub(crate) mod memory;
mod references;
mod scratch;

use elysia_core::backup::ledger::DrilledCollection;
use elysia_engine::backup::catalogue::{self, State};
use elysia_engine::backup::columns::hashed;
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{Manifest, RunMode};
use elysia_engine::backup::opened::OpenRun;
use elysia_engine::backup::ports::{Store, Target as _};
use elysia_engine::backup::restore::{self, Blocker, Conflict, RestoreError, Restorer};
use elysia_engine::backup::seal::Key;
use elysia_engine::backup::transform::{Select, Step};
use elysia_engine::backup::verify::Fault;
use elysia_engine::backup::verify::compare::Sampled;
use elysia_engine::backup::verify::drill::{Drill, DrillError, Plan, ReadBack};
use elysia_engine::ports::{Clock as _, PortError};
use elysia_engine::retry::{Retry, Stop};

pub(crate) use self::ground::{Ground, WeaviateGround};
use self::references::Led;
pub(crate) use self::scratch::{NAME_LETTERS, Scratch, is_scratch};
use self::scratch::{Receipts, ScratchTarget};
use super::failure::Failure;
use crate::worker::clock::SystemClock;

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Closeness {
    /// Objects that are compared one by one, about.
    pub(crate) sample: u64,
    /// Searches.
    pub(crate) searches: usize,
    /// Of a hundred nearest objects, so many must be found.
    pub(crate) minimum_overlap: u8,
}

/// What a drill of one collection is done with.
pub(crate) struct Rehearsal<'a, S, G> {
    /// Where the run lies.
    pub(crate) store: &'a S,
    /// Where it is restored.
    pub(crate) ground: &'a G,
    /// The run.
    pub(crate) manifest: &'a Manifest,
    /// With what it is encrypted.
    pub(crate) key: Option<&'a Key>,
    /// Replicas of the scratch collection; as many as the collection had when absent.
    pub(crate) factor: Option<u64>,
    /// How closely it is looked.
    pub(crate) closeness: Closeness,
    /// With what failed calls are met.
    pub(crate) retry: Retry,
    /// Ends it early.
    pub(crate) stop: &'a Stop,
    /// How far the restore is.
    pub(crate) progress: &'a restore::Progress,
}

/// What became of a scratch collection that was to go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Removed {
    /// There was none.
    Nothing,
    /// It was deleted.
    Deleted,
    /// A class of that name is there that no drill of ours made: it stays.
    Strange,
}

/// Deletes a scratch collection, if it is the drill's own. Also while the worker is asked to stop.
pub(crate) async fn remove<G: Ground>(ground: &G, scratch: &Scratch, retry: Retry) -> Result<Removed, Failure> {
    let mut failures = 0;
    loop {
        // Looked at anew before each attempt: after an answer that was lost the name may be another's.
        match remove_once(ground, scratch).await {
            Err(error) if error.retryable && failures + 1 < retry.attempts => {
                failures += 1;
                SystemClock.sleep(retry.delay(failures, SystemClock.chance())).await;
            }
            done => return Ok(done?),
        }
    }
}

async fn remove_once<G: Ground>(ground: &G, scratch: &Scratch) -> Result<Removed, PortError> {
    match ground.target(&scratch.name).class().await? {
        None => Ok(Removed::Nothing),
        Some(class) if scratch.is_of(&class) => {
            ground.delete(&scratch.name).await?;
            Ok(Removed::Deleted)
        }
        Some(_) => Ok(Removed::Strange),
    }
}

/// Why a drill came to no verdict, or to a bad one.
enum Ended {
    /// The run is not what it should be, or cannot be restored here.
    Bad(String),
    /// Nothing is known.
    Undone(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Undone(failure)
    }
}

impl<S: Store, G: Ground> Rehearsal<'_, S, G> {
    /// Restores a collection of the run into its scratch collection and compares it. The scratch collection is there
    /// afterwards, whatever the answer is: [`remove`] is for whoever calls this.
    pub(crate) async fn collection(&self, name: &str, scratch: &Scratch) -> Result<DrilledCollection, Failure> {
        let wanted = self.manifest.collection(name).map_or(0, |note| number(note.contents.objects));
        let row = DrilledCollection { name: name.to_owned(), wanted, ..DrilledCollection::default() };
        match self.tried(name, scratch).await {
            Ok(found) => Ok(self.judged(row, &found)),
            Err(Ended::Undone(failure)) => Err(failure),
            Err(Ended::Bad(problem)) => {
                // Whoever removes a run takes its manifest first.
                let run = &self.manifest.run;
                match catalogue::look(self.store, run).await? {
                    State::Unfinished(_) => Err(Failure::permanent(format!("run {run} was removed meanwhile"))),
                    State::Run { .. } | State::Unreadable(_) => Ok(DrilledCollection { problem: Some(problem), ..row }),
                }
            }
        }
    }

    async fn tried(&self, name: &str, scratch: &Scratch) -> Result<ReadBack, Ended> {
        match remove(self.ground, scratch, self.retry).await? {
            Removed::Nothing | Removed::Deleted => {}
            Removed::Strange => {
                let message = format!(
                    "collection {} is there and is no scratch collection of this drill: it stays; rename or remove it",
                    scratch.name
                );
                return Err(Failure::permanent(message).into());
            }
        }
        let (order, led) = self.order(name, &scratch.name).await?;
        let target = ScratchTarget::new(self.ground.target(&scratch.name), scratch.mark());
        let receipts = Receipts::default();
        let restorer = Restorer {
            store: self.store,
            receipts: &receipts,
            target: &target,
            clock: &SystemClock,
            stop: self.stop,
            progress: self.progress,
            order: &order,
        };
        if let Err(error) = restorer.restore().await {
            return Err(self.unrestored(error, name, &led).await?);
        }
        let Closeness { sample, searches, minimum_overlap: _ } = self.closeness;
        let drill = Drill {
            store: self.store,
            target: &target,
            source: &self.ground.source(),
            searcher: &self.ground.searcher(&scratch.name),
            clock: &SystemClock,
            stop: self.stop,
            order: &order,
            plan: Plan { sample, searches, ..Plan::default() },
        };
        let found = drill.read_back().await.map_err(drill_ended)?;
        if found.unread > 0 {
            // Whoever put them to rest did so behind the drill's back.
            let message = format!("{} tenants of {} were put to rest meanwhile", found.unread, scratch.name);
            return Err(Failure { message, is_permanent: false }.into());
        }
        Ok(found)
    }

    /// Why a restore ended. What is refused says nothing of the run where a collection that references lead to went meanwhile.
    async fn unrestored(&self, error: RestoreError, collection: &str, led: &Led) -> Result<Ended, Failure> {
        let may_be_gone = match &error {
            RestoreError::Unlinked { .. } | RestoreError::Blocked(_) => true,
            RestoreError::Port(error) => !error.retryable,
            RestoreError::Damaged(_)
            | RestoreError::Undecodable { .. }
            | RestoreError::Unconverted(_)
            | RestoreError::Refused { .. }
            | RestoreError::Waits { .. }
            | RestoreError::Stored(_)
            | RestoreError::Stopped => false,
        };
        if may_be_gone && let Some(gone) = self.gone(&led.targets).await? {
            let message =
                format!("collection {gone}, to which references of {collection} lead, was taken away meanwhile");
            return Ok(Failure { message, is_permanent: false }.into());
        }
        Ok(restore_ended(error))
    }

    /// What is restored: all of it, but for tenants that the run left out, properties of which servers make other values as
    /// they are written, and references that cannot be restored here.
    async fn order(&self, collection: &str, into: &str) -> Result<(restore::Order, Led), Ended> {
        let run = &self.manifest.run;
        let opened = OpenRun::open(self.store, run, self.key).await.map_err(Failure::from)?;
        let opened = opened.map_err(fault_ended)?;
        let Some(note) = opened.manifest.collection(collection) else {
            return Err(Failure::permanent(format!("run {run} has no collection {collection}")).into());
        };
        let index = opened.index(self.store, note).await.map_err(Failure::from)?.map_err(fault_ended)?;
        let tenants = (note.left_out > 0 && opened.manifest.mode == RunMode::Full).then(|| {
            let held = index.tenants.iter().flatten().filter(|tenant| tenant.contents.is_some());
            held.map(|tenant| tenant.name.clone()).collect()
        });
        let led = self.led(collection, &index.schema).await.map_err(Failure::from)?;
        let left_out = led.left_out.iter().cloned().chain(hashed(&index.schema));
        let order = restore::Order {
            run: run.clone(),
            collection: collection.to_owned(),
            into: into.to_owned(),
            conflict: Conflict::Fail,
            factor: self.factor,
            shards: None,
            select: Select { tenants, ..Select::default() },
            transform: left_out.map(|property| Step::Drop { property }).collect(),
            key: self.key.cloned(),
            receipt: layout::receipt("drill"),
            target: String::new(),
            uid: String::new(),
            approved: None,
            must_be_empty: true,
            skip_schema: false,
            // They lead to the collection itself.
            aliases: false,
            retry: self.retry,
        };
        Ok((order, led))
    }

    fn judged(&self, row: DrilledCollection, found: &ReadBack) -> DrilledCollection {
        let overlap = (found.searches > 0).then(|| percent(found.overlap));
        let minimum = i32::from(self.closeness.minimum_overlap);
        let mut problems = Vec::new();
        if let Some(worst) = found.worst.first() {
            let tenant = worst.tenant.as_ref().map(|tenant| format!(" of tenant {tenant}")).unwrap_or_default();
            let others = if worst.wanted == worst.found { ", and they are others" } else { "" };
            let more =
                if found.unequal > 1 { format!(", and {} tenants more", found.unequal - 1) } else { String::new() };
            problems.push(format!("{} of {} objects{tenant} are there{others}{more}", worst.found, worst.wanted));
        }
        if !found.sampled.is_same() {
            let sampled = &found.sampled;
            let (missing, differing) = (sampled.missing, sampled.differing);
            let far = distance(sampled).map(|far| format!(", a vector by {far}")).unwrap_or_default();
            problems.push(format!(
                "of {} sampled objects {missing} are missing and {differing} differ{far}",
                sampled.objects
            ));
        }
        if let Some(overlap) = overlap.filter(|overlap| *overlap < minimum) {
            problems.push(format!("searches find {overlap} % of the nearest objects, less than {minimum} %"));
        }
        DrilledCollection {
            wanted: number(found.wanted),
            found: number(found.found),
            unequal: i64::try_from(found.unequal).unwrap_or(i64::MAX),
            differing: number(found.sampled.missing + found.sampled.differing),
            overlap,
            distance: distance(&found.sampled),
            problem: (!problems.is_empty()).then(|| problems.join("; ")),
            ..row
        }
    }
}

/// As it is told: rounded up, so that none is 0 that is not.
fn distance(sampled: &Sampled) -> Option<String> {
    const STEPS: f64 = 1e6;
    (sampled.objects > 0)
        .then(|| format!("{:.6}", ((sampled.distance.clamp(0.0, 2.0) * STEPS - 1e-6).ceil().max(0.0) / STEPS).abs()))
}

/// Rounded down: 100 is all of them.
fn percent(share: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "between 0 and 100")]
    let percent = (share.clamp(0.0, 1.0) * 100.0 + 1e-9).floor() as i32;
    percent
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A key that is missing says nothing of the run.
fn fault_ended(fault: Fault) -> Ended {
    match fault {
        Fault::NoKey { .. } | Fault::WrongKey { .. } => Failure::permanent(fault.to_string()).into(),
        fault => Ended::Bad(format!("the backup is damaged: {fault}")),
    }
}

fn restore_ended(error: RestoreError) -> Ended {
    match error {
        RestoreError::Blocked(blockers) => {
            let damaged = blockers.into_iter().map(|blocker| match blocker {
                Blocker::Damaged { fault } => fault_ended(fault),
                blocker => Failure::permanent(blocker.to_string()).into(),
            });
            // What is damaged is told before what only stands in the way here.
            let (bad, undone): (Vec<_>, Vec<_>) = damaged.partition(|ended| matches!(ended, Ended::Bad(_)));
            let first = bad.into_iter().chain(undone).next();
            first.unwrap_or_else(|| Failure::permanent("the restore cannot begin").into())
        }
        RestoreError::Damaged(fault) => fault_ended(fault),
        RestoreError::Undecodable { .. }
        | RestoreError::Refused { .. }
        | RestoreError::Unlinked { .. }
        | RestoreError::Unconverted(_) => Ended::Bad(crate::worker::chain(&error)),
        RestoreError::Stored(_) | RestoreError::Port(_) | RestoreError::Waits { .. } | RestoreError::Stopped => {
            Failure::from(error).into()
        }
    }
}

fn drill_ended(error: DrillError) -> Ended {
    match error {
        DrillError::Damaged(fault) => fault_ended(fault),
        DrillError::Port(error) => Failure::from(error).into(),
        DrillError::Stopped => Failure { message: error.to_string(), is_permanent: false }.into(),
        DrillError::NoCollection(_) | DrillError::Transform(_) | DrillError::Unconverted(_) => {
            Failure::permanent(error.to_string()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_that_is_not_none_is_not_told_as_none() {
        for (objects, far, told) in [
            (0, 0.0, None),
            (9, 0.0, Some("0.000000")),
            // What rounding makes of equal vectors.
            (9, 2.2e-16, Some("0.000000")),
            (9, 3.0e-9, Some("0.000001")),
            (9, 0.25, Some("0.250000")),
            (9, 2.0, Some("2.000000")),
        ] {
            let sampled = Sampled { objects, distance: far, ..Sampled::default() };
            assert_eq!(distance(&sampled).as_deref(), told, "{far}");
        }
    }
}
