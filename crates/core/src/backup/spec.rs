//! A checked policy.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::backup::{
    BackupStore, ColdTenants, Compression, Engine, Format, MOST_FILTER_LETTERS, Mode, NativeOptions, ReplicaComparison,
};
use elysia_api::common::SecretKeyReference;
use elysia_api::{CollectionBackup, Rules as _, names};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use kube::core::ResourceExt as _;
use serde::{Deserialize, Serialize};

use super::suspicion::MAX_SHRINK;
use crate::cluster::spec::matches_pattern;
use crate::fingerprint;
use crate::retention::Retention;
use crate::schedule::Timetable;

/// How long a run may take when the policy says nothing: a day is more than any nightly backup should.
pub const DEADLINE: SignedDuration = SignedDuration::from_hours(24);

/// The longest deadline. What was cut off is taken for abandoned after seven days, so a Job must be gone by then.
const LONGEST_DEADLINE: SignedDuration = SignedDuration::from_hours(6 * 24);

/// Runs of which each builds on the one before, at most: a run names 30 others, and a restore reads them all.
pub const MOST_CHAIN: u32 = 31;

/// A checked policy and what else the object itself says.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupSpec {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Identity of the object.
    pub uid: String,
    /// Name of the WeaviateCluster.
    pub cluster: String,
    /// The collections that are backed up: those that are declared, with what is live in the place of what was migrated;
    /// empty: all.
    pub collections: BTreeSet<String>,
    /// Patterns of collections that are left out of all.
    pub exclude: BTreeSet<String>,
    /// Declared collections in whose place another class is live, and which.
    pub migrated: BTreeMap<String, String>,
    /// Who writes the backup.
    pub engine: Engine,
    /// What is asked of the servers where they write it.
    pub native: NativeOptions,
    /// How objects are written.
    pub format: Format,
    /// How parts are compressed.
    pub compression: Compression,
    /// How hard parts are compressed.
    pub level: Option<u8>,
    /// What runs hold.
    pub mode: Mode,
    /// Which objects, as it was written: what reads it is not here.
    pub filter: Option<String>,
    /// Of so many runs the first stands for itself, and the others build on it; `None`: all do.
    pub full_every: Option<u32>,
    /// Where the key stands that runs are encrypted with.
    pub key: Option<SecretKeyReference>,
    /// What becomes of tenants that are at rest.
    pub cold_tenants: ColdTenants,
    /// What is asked of the replicas that are not read.
    pub compare: ReplicaComparison,
    /// Where runs are written.
    pub store: BackupStore,
    /// When runs begin; `None`: once.
    pub timetable: Option<Box<Timetable>>,
    /// Time zone in which days begin, as the IANA database names it; UTC when absent.
    pub time_zone: Option<String>,
    /// How long runs are kept.
    pub retention: Retention,
    /// By how many of a hundred objects a collection may have shrunk.
    pub max_shrink: u8,
    /// Whether each run is read back when it is written.
    pub verify_after_run: bool,
    /// Restore drills; `None`: none.
    pub drill: Option<DrillSpec>,
    /// How long a run may take.
    pub deadline: SignedDuration,
    /// Stretches that are read at once.
    pub parallelism: Option<u32>,
    /// When the object was made.
    pub created: Timestamp,
    /// Value of `elysia.dev/run-now`.
    pub run_now: Option<String>,
    /// Value of `elysia.dev/approve`.
    pub approve: Option<String>,
    /// Whether `elysia.dev/paused` is `"true"`.
    pub paused: bool,
}

/// Restore drills.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillSpec {
    /// When they begin.
    pub timetable: Box<Timetable>,
    /// Name of the WeaviateCluster that they are done in.
    pub cluster: String,
    /// Objects of a collection that are compared one by one, about.
    pub sample: u32,
    /// Searches in a collection.
    pub searches: u32,
    /// Of a hundred nearest objects, so many must be found.
    pub minimum_overlap: u8,
    /// Replicas of scratch collections; as many as the collections had when absent.
    pub factor: Option<u32>,
}

/// Objects of the sample of a drill: a fault in one of a hundred is found nearly for sure (1 - 0.99^1000).
pub const SAMPLE: u32 = 1_000;

/// Searches of a drill in one collection.
pub const SEARCHES: u32 = 20;

/// What the searches of a drill must find of a hundred: an index that is whole finds nearly all, compressed vectors nine of
/// ten, and one with a wrong distance or half of its vectors far less.
pub const MINIMUM_OVERLAP: u8 = 80;

impl DrillSpec {
    fn of(drill: &elysia_api::backup::Drill, cluster: &str) -> Result<Self, String> {
        let elysia_api::backup::Drill { schedule, sample, searches, minimum_overlap, cluster_ref, replication_factor } =
            drill;
        let timetable = Timetable::parse(schedule).map_err(|error| format!("spec.verify.drill.schedule.{error}"))?;
        let number = |number: &Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        Ok(Self {
            timetable: Box::new(timetable),
            cluster: cluster_ref.as_ref().map_or(cluster, |named| named.name.as_str()).to_owned(),
            sample: number(sample).unwrap_or(SAMPLE),
            searches: number(searches).unwrap_or(SEARCHES),
            minimum_overlap: minimum_overlap.and_then(|of| u8::try_from(of).ok()).unwrap_or(MINIMUM_OVERLAP),
            factor: number(replication_factor),
        })
    }
}

impl BackupSpec {
    /// Checks the spec of an object; the error says which rule does not hold.
    pub fn validate(backup: &CollectionBackup) -> Result<Self, String> {
        backup.check_rules().map_err(|errors| errors.to_string())?;
        let spec = &backup.spec;
        let engine = spec.engine.unwrap_or_default();
        let annotation = |key: &str| backup.annotations().get(key).cloned();
        let timetable = spec.schedule.as_ref().map(Timetable::parse).transpose();
        Ok(Self {
            namespace: backup.namespace().unwrap_or_default(),
            name: backup.name_any(),
            uid: backup.uid().unwrap_or_default(),
            cluster: spec.cluster_ref.name.clone(),
            collections: spec.collections.iter().cloned().collect(),
            exclude: spec.exclude.iter().cloned().collect(),
            migrated: BTreeMap::new(),
            engine,
            native: spec.native.unwrap_or_default(),
            format: spec.format.unwrap_or_default(),
            compression: spec.compression.unwrap_or_default(),
            level: level(spec.compression.unwrap_or_default(), spec.compression_level)?,
            mode: spec.mode.unwrap_or_default(),
            filter: spec.filter.as_ref().map(|text| bounded("spec.filter", text)).transpose()?,
            full_every: full_every(spec.incremental.as_ref().map(|it| it.full_every))?,
            key: spec.encryption.as_ref().map(|encryption| encryption.key_secret_ref.clone()),
            cold_tenants: spec.cold_tenants.unwrap_or(match engine {
                Engine::Portable => ColdTenants::default(),
                // Nobody wakes them, and servers of before 1.37 leave them out without a word.
                Engine::Native => ColdTenants::Refuse,
            }),
            compare: spec.compare.unwrap_or_default(),
            store: spec.store.clone(),
            timetable: timetable.map_err(|error| format!("spec.schedule.{error}"))?.map(Box::new),
            time_zone: spec.schedule.as_ref().and_then(|schedule| schedule.time_zone.clone()),
            retention: retention(spec.retention.as_ref())?,
            max_shrink: spec.max_shrink.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(MAX_SHRINK),
            verify_after_run: spec.verify.after_run.unwrap_or(true),
            drill: spec.verify.drill.as_ref().map(|drill| DrillSpec::of(drill, &spec.cluster_ref.name)).transpose()?,
            deadline: deadline(spec.deadline.as_deref())?,
            parallelism: spec.parallelism.and_then(|lanes| u32::try_from(lanes).ok()),
            created: backup.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            run_now: annotation(names::RUN_NOW_ANNOTATION),
            approve: annotation(names::APPROVE_ANNOTATION),
            paused: annotation(names::PAUSED_ANNOTATION).as_deref() == Some("true"),
        })
    }

    /// With the live class in the place of each declared one that was migrated: what is kept of the former is frozen, stale,
    /// and deleted one day. `live`: by the collection that is declared. Orders have the names that they had.
    #[must_use]
    pub fn following(mut self, live: &BTreeMap<String, String>) -> Self {
        let named = live.iter().filter(|(declared, live)| self.collections.contains(*declared) && declared != live);
        self.migrated = named.map(|(declared, live)| (declared.clone(), live.clone())).collect();
        for declared in self.migrated.keys() {
            self.collections.remove(declared);
        }
        self.collections.extend(self.migrated.values().cloned());
        let is_excluded = |name: &str| self.exclude.iter().any(|pattern| matches_pattern(pattern, name));
        let excluded: Vec<String> =
            live.iter().filter(|(declared, _)| is_excluded(declared)).map(|(_, live)| live.clone()).collect();
        self.exclude.extend(excluded);
        self
    }

    /// Name of the Job of an order.
    pub fn job(&self, order: &str) -> String {
        format!("{}-{order}", self.name)
    }

    /// What the one run of a policy without a schedule is called.
    pub(super) fn once(&self) -> String {
        fingerprint::short(&("backup", &self.uid, "once"))
    }

    /// What the run for this time is called.
    pub(super) fn at(&self, due: Timestamp) -> String {
        fingerprint::short(&("backup", &self.uid, "at", due.as_second()))
    }

    /// What the run for this value of `elysia.dev/run-now` is called.
    pub(super) fn now(&self, word: &str) -> String {
        fingerprint::short(&("backup", &self.uid, "now", word))
    }

    /// What the drill for this time is called.
    pub(super) fn drilling(&self, due: Timestamp) -> String {
        fingerprint::short(&("backup", &self.uid, "drill", due.as_second()))
    }

    /// Whether this work is a drill.
    pub(super) fn is_drill(&self, intent: &Intent) -> bool {
        intent.drilled.is_some_and(|due| self.drilling(due) == intent.order)
    }

    /// What the acceptance of a Suspect run is called.
    pub(super) fn accepting(&self, hash: &str) -> String {
        fingerprint::short(&("backup", &self.uid, "accept", hash))
    }
}

/// The zone in which days, weeks and months begin.
pub fn zone(name: Option<&str>) -> TimeZone {
    name.and_then(|name| TimeZoneDatabase::bundled().get(name).ok()).unwrap_or(TimeZone::UTC)
}

/// What a Job is made for. It stands beside the ledger before the Job is made.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Intent {
    /// Names the work: the same for the same policy and the same cause, whatever was lost in between.
    pub order: String,
    /// The time of the schedule that was served last.
    pub due: Option<Timestamp>,
    /// The value of `elysia.dev/run-now` that was served last.
    pub run_now: Option<String>,
    /// The time of the drills' schedule that was served last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drilled: Option<Timestamp>,
}

fn retention(rules: Option<&elysia_api::backup::Retention>) -> Result<Retention, String> {
    let Some(rules) = rules else { return Ok(Retention::default()) };
    let elysia_api::backup::Retention { last, daily, weekly, monthly, max_age } = rules;
    let number = |rule: Option<i32>| rule.and_then(|number| u32::try_from(number).ok());
    let age = |text: &String| {
        span(text).ok_or_else(|| format!("spec.retention.maxAge: {text:?} is not a time such as 36h or 90d"))
    };
    Ok(Retention {
        last: number(*last),
        daily: number(*daily),
        weekly: number(*weekly),
        monthly: number(*monthly),
        max_age: max_age.as_ref().map(age).transpose()?,
    })
}

/// A filter's text, which a definition that is older than this program may have let through.
pub fn bounded(field: &str, text: &str) -> Result<String, String> {
    let letters = text.chars().count();
    if usize::try_from(MOST_FILTER_LETTERS).is_ok_and(|most| letters > most) {
        return Err(format!("{field}: it has {letters} letters, and at most {MOST_FILTER_LETTERS} are read"));
    }
    Ok(text.to_owned())
}

fn level(compression: Compression, level: Option<i32>) -> Result<Option<u8>, String> {
    let most = match compression {
        // Beyond 19 whoever reads a part needs more memory than a worker has.
        Compression::Zstd => 19,
        Compression::Gzip => 9,
        Compression::Lz4 | Compression::Auto => 0,
    };
    match level {
        Some(level) if !(1..=most).contains(&level) => Err(format!(
            "spec.compressionLevel: {level} is no level of {compression:?}: Zstd has 1 to 19, Gzip 1 to 9, Lz4 and Auto none"
        )),
        level => Ok(level.and_then(|level| u8::try_from(level).ok())),
    }
}

fn full_every(number: Option<i32>) -> Result<Option<u32>, String> {
    let Some(number) = number else { return Ok(None) };
    let known = u32::try_from(number).ok().filter(|number| (2..=MOST_CHAIN).contains(number));
    let wrong = || format!("spec.incremental.fullEvery: {number} is not between 2 and {MOST_CHAIN}");
    known.map(Some).ok_or_else(wrong)
}

/// How long work may take.
pub fn deadline(text: Option<&str>) -> Result<SignedDuration, String> {
    let Some(text) = text else { return Ok(DEADLINE) };
    match span(text) {
        Some(time) if time <= LONGEST_DEADLINE => Ok(time),
        Some(_) => Err(format!("spec.deadline: {text} is longer than {} hours", LONGEST_DEADLINE.as_hours())),
        None => Err(format!("spec.deadline: {text:?} is not a time such as 30m or 6h")),
    }
}

/// `30m`, `36h`, `90d`.
fn span(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().next_back()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        'm' => number.checked_mul(60)?,
        'h' => number.checked_mul(3600)?,
        'd' => number.checked_mul(24 * 3600)?,
        _ => return None,
    };
    (seconds > 0).then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, hours) in [("60m", Some(1)), ("36h", Some(36)), ("90d", Some(2160))] {
            assert_eq!(span(text).map(|time| time.as_hours()), hours, "{text}");
        }
        for text in ["", "d", "0h", "-1d", "5s", "5", "é", "99999999999999999999d"] {
            assert_eq!(span(text), None, "{text}");
        }
        assert_eq!(deadline(None), Ok(DEADLINE));
        assert!(deadline(Some("200h")).unwrap_err().contains("longer than 144 hours"));
        assert!(deadline(Some("1w")).unwrap_err().contains("not a time"));
    }

    #[test]
    fn what_is_live_takes_the_place_of_what_was_migrated() {
        for (named, live, wanted) in [
            (&["A", "B"][..], &[("A", "A_2")][..], &["A_2", "B"][..]),
            (&["A", "A_2"], &[("A", "A_2")], &["A_2"]),
            (&["A"], &[("A", "A")], &["A"]),
            (&["B"], &[("A", "A_2")], &["B"]),
            (&["A", "B"], &[("A", "A_3"), ("B", "B_2")], &["A_3", "B_2"]),
            // All are all.
            (&[], &[("A", "A_2")], &[]),
        ] {
            let backup = serde_json::from_value(serde_json::json!({
                "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup", "metadata": {"name": "nightly"},
                "spec": {
                    "clusterRef": {"name": "search"}, "collections": named,
                    "store": {"volume": {"claimName": "disk"}},
                },
            }))
            .unwrap();
            let live = live.iter().map(|(declared, live)| ((*declared).to_owned(), (*live).to_owned())).collect();
            let spec = BackupSpec::validate(&backup).unwrap().following(&live);
            let found: Vec<&str> = spec.collections.iter().map(String::as_str).collect();
            assert_eq!(found, wanted, "{named:?} {live:?}");
        }
    }

    #[test]
    fn what_is_live_in_the_place_of_what_is_excluded_is_excluded() {
        let backup = serde_json::from_value(serde_json::json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup", "metadata": {"name": "nightly"},
            "spec": {
                "clusterRef": {"name": "search"}, "exclude": ["Scratch*"], "store": {"volume": {"claimName": "disk"}},
            },
        }))
        .unwrap();
        let live = [("ScratchPad", "Pad_2"), ("Articles", "Articles_2")];
        let live = live.iter().map(|(declared, live)| ((*declared).to_owned(), (*live).to_owned())).collect();
        let spec = BackupSpec::validate(&backup).unwrap().following(&live);
        assert_eq!(spec.exclude.iter().map(String::as_str).collect::<Vec<_>>(), ["Pad_2", "Scratch*"]);
        assert!(spec.collections.is_empty());
    }

    #[test]
    fn what_a_definition_of_before_let_through_is_refused_here() {
        for (compression, asked, found) in [
            (Compression::Zstd, None, Ok(None)),
            (Compression::Zstd, Some(19), Ok(Some(19))),
            (Compression::Zstd, Some(20), Err(())),
            (Compression::Gzip, Some(9), Ok(Some(9))),
            (Compression::Gzip, Some(10), Err(())),
            (Compression::Gzip, Some(0), Err(())),
            (Compression::Lz4, None, Ok(None)),
            (Compression::Lz4, Some(1), Err(())),
            (Compression::Auto, None, Ok(None)),
            (Compression::Auto, Some(3), Err(())),
        ] {
            assert_eq!(level(compression, asked).map_err(drop), found, "{compression:?} {asked:?}");
        }
        assert_eq!(full_every(None), Ok(None));
        for (asked, is_one) in [(1, false), (2, true), (31, true), (32, false), (-1, false)] {
            assert_eq!(full_every(Some(asked)).is_ok(), is_one, "{asked}");
        }
        assert!(bounded("spec.filter", &"ä".repeat(4096)).is_ok());
        assert!(bounded("spec.filter", &"a".repeat(4097)).unwrap_err().starts_with("spec.filter: it has 4097 letters"));
    }
}
