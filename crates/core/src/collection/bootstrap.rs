//! `spec.restoreFrom`: a collection that begins with a backup. A CollectionRestore of a name that follows from the object's
//! does the work; it never runs twice, so neither does this.
//!
//! What has become of it is known by that CollectionRestore, without it by the ledger of its worker, which has no owner, and
//! without both by the receipt in the store, which the worker of a CollectionRestore that is made again finds.

use elysia_api::collection::{BootstrapPhase, BootstrapStatus, ElysiaCollectionStatus};
use elysia_api::condition::ConditionType;
use elysia_api::restore::{Conflict, PassedOverRuns, RestorePhase};
use elysia_api::{CollectionRestore, ElysiaCollection, names};
use kube::core::ResourceExt as _;
use serde_json::json;

use super::observed::Observed;
use super::spec::CollectionSpec;
use crate::condition;
use crate::fingerprint;
use crate::restore::RestoreSpec;
use crate::restore::ledger::{RestoreLedger, Stage};
use crate::sight::Sight;

/// Longest name of a CollectionRestore: Jobs and the ledger are named after it.
const NAME_LIMIT: usize = 40;

/// What the name of the CollectionRestore ends with.
const SUFFIX: &str = "-bootstrap";

/// Name of the CollectionRestore of the ElysiaCollection of this name. No uid is in it: an object that is applied again
/// finds what was done.
pub fn restore_name(collection: &str) -> String {
    let whole = format!("{collection}{SUFFIX}");
    if whole.len() <= NAME_LIMIT {
        return whole;
    }
    let hash = fingerprint::short(&collection);
    let room = NAME_LIMIT.saturating_sub(SUFFIX.len() + hash.len() + 1);
    // A name of Kubernetes is ASCII, and no part of one ends with a dot or a hyphen.
    let head: String = collection.chars().take(room).collect();
    format!("{}-{hash}{SUFFIX}", head.trim_end_matches(['.', '-']))
}

/// What was seen of it, before the class was asked for: a class that is seen afterwards and that no restore had begun is
/// none of its making.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The CollectionRestore, if this object made one.
    pub restore: Sight<Option<RestoreView>>,
    /// What its worker wrote, if that was asked for.
    pub ledger: Sight<Option<RestoreLedger>>,
    /// Identity of the cluster; `None` where there is none.
    pub cluster_uid: Option<String>,
}

impl Default for Look {
    fn default() -> Self {
        Self { restore: Sight::Seen(None), ledger: Sight::Seen(None), cluster_uid: None }
    }
}

/// The CollectionRestore as its own controller tells of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RestoreView {
    /// How far it is.
    pub phase: Option<RestorePhase>,
    /// Whether it may have written.
    pub has_begun: bool,
    /// Whether it needs a person.
    pub is_stalled: bool,
    /// Whether it is being deleted.
    pub is_going: bool,
    /// The run.
    pub run: Option<String>,
    /// Newer ones that were passed over for it.
    pub passed_over: Option<PassedOverRuns>,
    /// What its Ready says.
    pub message: String,
}

impl RestoreView {
    /// The view of one; `None` when the object of this uid did not make it.
    pub fn of(restore: &CollectionRestore, owner: &str) -> Option<Self> {
        let mut owners = restore.owner_references().iter();
        if !owners.any(|reference| reference.controller == Some(true) && reference.uid == owner) {
            return None;
        }
        let status = restore.status.clone().unwrap_or_default();
        let ready = condition::find(&status.conditions, ConditionType::Ready);
        let stalled = condition::find(&status.conditions, ConditionType::Stalled);
        let told = stalled.filter(|stalled| stalled.status == "True").or(ready);
        Some(Self {
            phase: status.phase,
            has_begun: status.started_at.is_some(),
            is_stalled: condition::is_true(&status.conditions, ConditionType::Stalled),
            is_going: restore.metadata.deletion_timestamp.is_some(),
            message: told.map(|told| told.message.clone()).unwrap_or_default(),
            run: status.run,
            passed_over: status.passed_over,
        })
    }
}

/// How the bootstrap stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// There is none.
    Absent,
    /// Nothing has begun.
    NotBegun,
    /// It has begun, and its CollectionRestore is gone: it has to be made again to go on.
    Lost,
    /// It is under way.
    UnderWay {
        /// The run, once it is known.
        run: Option<String>,
        /// How far it is.
        message: String,
    },
    /// It needs a person.
    Stalled {
        /// The run, once it is known.
        run: Option<String>,
        /// Why.
        message: String,
    },
    /// The collection was restored.
    Done {
        /// The run, if it is known.
        run: Option<String>,
    },
    /// The collection was there already.
    Skipped,
    /// It could not be told.
    Unknown(String),
}

impl State {
    /// Whether the collection is treated as any other.
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::Absent | Self::NotBegun | Self::Done { .. } | Self::Skipped)
    }
}

/// Whether the CollectionRestore has to be asked for although the cache has none, and the ledger without it.
pub fn asks(spec: &CollectionSpec, before: &ElysiaCollectionStatus) -> bool {
    spec.restore_from.is_some() && !before.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.phase.is_over())
}

/// How the bootstrap stands.
pub fn state(spec: &CollectionSpec, observed: &Observed, before: &ElysiaCollectionStatus) -> State {
    let is_declared = spec.restore_from.is_some();
    let Look { restore, ledger, cluster_uid } = &observed.bootstrap;
    if is_declared {
        match before.bootstrap.as_ref().map(|bootstrap| (bootstrap.phase, bootstrap.run.clone())) {
            Some((BootstrapPhase::Done, run)) => return State::Done { run },
            Some((BootstrapPhase::Skipped, _)) => return State::Skipped,
            _ => {}
        }
    }
    match restore {
        Sight::Unseen(blindness) if is_declared => State::Unknown(blindness.message.clone()),
        Sight::Unseen(_) => State::Absent,
        Sight::Seen(Some(view)) => of_view(view, is_declared),
        Sight::Seen(None) if !is_declared => State::Absent,
        Sight::Seen(None) => match ledger {
            Sight::Unseen(blindness) => State::Unknown(blindness.message.clone()),
            Sight::Seen(ledger) => of_ledger(spec, cluster_uid.as_deref(), ledger.as_ref()),
        },
    }
}

fn of_view(view: &RestoreView, is_declared: bool) -> State {
    let RestoreView { phase, has_begun, is_stalled, is_going, run, passed_over: _, message } = view;
    let (run, message) = (run.clone(), message.clone());
    match phase {
        Some(RestorePhase::Succeeded) if is_declared => State::Done { run },
        Some(RestorePhase::Succeeded) => State::Absent,
        // Taken back before anything was written.
        Some(RestorePhase::Failed | RestorePhase::NeedsApproval) if !is_declared && !has_begun => State::Absent,
        _ if *is_going => State::UnderWay { run, message: "it is being deleted; it is waited for".to_owned() },
        Some(RestorePhase::Failed | RestorePhase::NeedsApproval) => State::Stalled { run, message },
        None | Some(RestorePhase::Pending | RestorePhase::Running) if *is_stalled => State::Stalled { run, message },
        None | Some(RestorePhase::Pending | RestorePhase::Running) => State::UnderWay { run, message },
    }
}

fn of_ledger(spec: &CollectionSpec, cluster_uid: Option<&str>, ledger: Option<&RestoreLedger>) -> State {
    let restore = restore(spec).and_then(|restore| RestoreSpec::validate(&restore).ok());
    let is_told = |ledger: &&RestoreLedger| restore.as_ref().is_some_and(|it| it.is_told_by(ledger, cluster_uid));
    // That of another restore under the same name says nothing of this one.
    let Some(ledger) = ledger.filter(is_told) else {
        return State::NotBegun;
    };
    match ledger.stage {
        Stage::Done | Stage::Gone => State::Done { run: ledger.run.clone() },
        Stage::Failed | Stage::Waiting if !ledger.has_begun => State::NotBegun,
        Stage::Looking | Stage::Writing | Stage::Failed | Stage::Waiting => State::Lost,
    }
}

/// The CollectionRestore that this spec asks for; `None` when it asks for none.
pub fn restore(spec: &CollectionSpec) -> Option<CollectionRestore> {
    let from = spec.restore_from.clone()?;
    let shards = spec.settings.get("shardingConfig").and_then(|config| config["desiredCount"].as_i64());
    let shards = shards.and_then(|count| i32::try_from(count).ok()).filter(|count| (1..=MOST_SHARDS).contains(count));
    // As in a manifest: whatever is not named is left out.
    let wanted = json!({
        "clusterRef": {"name": spec.cluster},
        "from": {"backupRef": from.backup_ref, "store": from.store, "run": from.run},
        "collection": from.collection.unwrap_or_else(|| spec.declared.clone()),
        // Not the class that is live by now: what was begun is to be found again.
        "into": spec.declared,
        // Whatever is there meanwhile is somebody's: it is never written over.
        "conflict": Conflict::Fail,
        "replicationFactor": spec.factor,
        "shards": shards,
        "encryption": from.encryption,
        "aliases": from.aliases,
        "deadline": from.deadline,
    });
    let mut restore = CollectionRestore::new(&restore_name(&spec.name), serde_json::from_value(wanted).ok()?);
    restore.metadata.namespace = Some(spec.namespace.clone());
    let label = ("app.kubernetes.io/managed-by".to_owned(), names::OPERATOR_MANAGER.to_owned());
    restore.metadata.labels = Some([label].into());
    Some(restore)
}

/// Most shards that a CollectionRestore makes.
const MOST_SHARDS: i32 = 1000;

/// What the status says of it.
pub fn status(spec: &CollectionSpec, observed: &Observed, before: &ElysiaCollectionStatus) -> Option<BootstrapStatus> {
    // Whose the collection is decides first.
    if observed.conflict.is_some() {
        return before.bootstrap.clone();
    }
    let named = |phase, run: Option<String>| {
        let passed_over = run.as_ref().and_then(|_| passed_over(&observed.bootstrap));
        Some(BootstrapStatus { phase, restore: Some(restore_name(&spec.name)), run, passed_over })
    };
    match state(spec, observed, before) {
        State::Absent => None,
        State::NotBegun => match &observed.class {
            Sight::Seen(Some(_)) => {
                let phase = BootstrapPhase::Skipped;
                Some(BootstrapStatus { phase, restore: None, run: None, passed_over: None })
            }
            Sight::Seen(None) => named(BootstrapPhase::Pending, None),
            Sight::Unseen(_) => before.bootstrap.clone(),
        },
        State::Lost => named(BootstrapPhase::Restoring, None),
        State::UnderWay { run, .. } => named(BootstrapPhase::Restoring, run),
        State::Stalled { run, .. } => named(BootstrapPhase::Stalled, run),
        State::Done { run } => match &before.bootstrap {
            Some(bootstrap) if bootstrap.phase == BootstrapPhase::Done => Some(bootstrap.clone()),
            _ => named(BootstrapPhase::Done, run),
        },
        State::Unknown(_) | State::Skipped => before.bootstrap.clone(),
    }
}

/// Newer runs that were passed over for the one that is restored: as its CollectionRestore says, without it its worker.
fn passed_over(look: &Look) -> Option<PassedOverRuns> {
    match (look.restore.seen(), look.ledger.seen()) {
        (Some(Some(view)), _) => view.passed_over.clone(),
        (_, ledger) => ledger.and_then(|ledger| ledger.as_ref()?.passed_over.clone()),
    }
}

/// Whether a backup has to leave the collection out, since it is not yet what it is to begin with.
pub fn is_unfinished(collection: &ElysiaCollection) -> bool {
    if collection.spec.restore_from.is_none() || collection.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Some(status) = &collection.status else { return true };
    // The collection is another's, who may have it backed up.
    let is_anothers = condition::find(&status.conditions, ConditionType::Ready)
        .is_some_and(|ready| ready.reason == elysia_api::condition::Reason::Conflict.as_str());
    !is_anothers && !status.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.phase.is_over())
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
