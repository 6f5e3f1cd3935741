//! What is done about a collection now, and what its status says of it.

mod beginning;
mod clear;
mod migrating;
mod recreation;
mod replicas;
mod settings;
mod shown;

use elysia_api::CollectionRestore;
use elysia_api::collection::{ElysiaCollectionStatus, PlanStatus, Proof, Verdict};
use elysia_api::condition::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::bootstrap;
use super::copies::{self, Copy};
use super::migration;
use super::observed::{ClusterSight, Observed, OperationState};
use super::recreate::{self, Journal, TenantState};
use super::repair;
use super::schema::{self, Difference, Measure};
use super::spec::CollectionSpec;
use crate::condition::Finding;
use crate::sight::{BlindnessKind, Sight};
use shown::findings;

pub use super::repair::Removal;
pub use recreation::called_off;
pub use replicas::{Progress, is_no_space};
pub use settings::PATIENCE;

/// How soon to look again while something is under way.
pub const RECHECK: SignedDuration = SignedDuration::from_secs(1);
/// How soon to look again when something outside has to change first.
pub const RECHECK_LATER: SignedDuration = SignedDuration::from_secs(5);

/// How soon to compare replicas again that listed different objects. Listing every id of a large collection costs the
/// servers much, and while writers are at work the lists differ in any case.
pub const RECHECK_DIFFERENT: SignedDuration = SignedDuration::from_secs(30);

/// What is to be looked at besides what every look takes; each of these costs the servers something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Questions {
    /// List the ids at each node.
    pub replicas: bool,
    /// Find the first node that lists any object.
    pub holder: bool,
    /// What the journal's present step wants.
    pub recreate: recreate::Wants,
    /// What the repair of replicas wants.
    pub repair: repair::Wants,
}

/// What to do with a collection now.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each says something else of the look")]
pub struct Plan {
    /// The steps in order. The first that fails ends the round.
    pub steps: Vec<Step>,
    /// When to look again; `None`: at the cluster's interval.
    pub recheck: Option<SignedDuration>,
    /// What the conditions say.
    pub findings: Vec<Finding>,
    /// What is shown of the plan.
    pub shown: Option<PlanStatus>,
    /// Settings that differ.
    pub drift: Vec<Difference>,
    /// Whether the settings were compared: if not, that none differs is not known.
    pub compared: bool,
    /// A proof that was made in this round.
    pub proved: Option<Proof>,
    /// How far a repair of replicas is; `None` when none runs.
    pub progress: Option<Progress>,
    /// Tenants that have to be put back to rest.
    pub cooling: Vec<String>,
    /// Whether replicas lack objects that others have.
    pub differ: bool,
    /// Whether what was proved before is void: replicas are being taken away and made.
    pub unproved: bool,
    /// Whether the number of objects of before is kept beside a smaller one, so that the loss stays visible.
    pub keep_count: bool,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create the class.
    CreateClass(Value),
    /// Make the CollectionRestore that the collection begins with, unless it is there.
    StartRestore(Box<CollectionRestore>),
    /// Add a property to the class.
    AddProperty(Value),
    /// Put the class, made from what the server said.
    UpdateClass {
        /// What the server said. If it says something else by now, nothing is put.
        base: Value,
        /// What is put.
        class: Value,
    },
    /// Copy one replica.
    Copy(Copy),
    /// Delete the record of a copy that has ended.
    ForgetOperation(String),
    /// Drop the record of a copy that nobody is there to clean up after.
    DropOperation(String),
    /// Put tenants back to rest.
    CoolTenants(Vec<String>),
    /// Take one replica away, after a last look.
    RemoveReplica(Removal),
    /// Take a dead node out of RAFT, after a last look.
    RemoveMember(String),
    /// Write the journal of a plan that takes replicas away.
    WriteRepair(Box<repair::Journal>),
    /// Write the journal.
    WriteJournal(Box<Journal>),
    /// Make shards read-only or writable.
    SetReadOnly {
        /// Read-only, or writable.
        read_only: bool,
        /// Which.
        shards: Vec<String>,
    },
    /// Create tenants.
    CreateTenants(Vec<TenantState>),
    /// Prove emptiness and delete at once, by this journal.
    ProveAndDelete(Box<Journal>),
    /// An act of a migration.
    Migration(Box<migration::Act>),
}

/// Whether these steps are over when their calls return, so that a look right after them tells what came of them.
pub fn over_at_once(steps: &[Step]) -> bool {
    let is_over = |step: &Step| match step {
        Step::CreateClass(_) | Step::AddProperty(_) | Step::CreateTenants(_) => true,
        // A factor that is raised makes the servers copy.
        Step::UpdateClass { base, class } => schema::class_factor(base) == schema::class_factor(class),
        _ => false,
    };
    !steps.is_empty() && steps.iter().all(is_over)
}

/// What has to be asked, from a first look.
pub fn questions(spec: &CollectionSpec, observed: &Observed, before: &ElysiaCollectionStatus) -> Questions {
    if let Some(journal) = active_journal(observed) {
        return Questions { recreate: recreate::wants(journal.cursor), ..Questions::default() };
    }
    if !bootstrap::state(spec, observed, before).is_quiet() {
        // Half of a collection is not compared.
        return Questions::default();
    }
    let (Sight::Seen(Some(class)), Sight::Seen(placement)) = (&observed.class, &observed.placement) else {
        return Questions::default();
    };
    let immutable = migration::transform::differences(&spec.settings, spec.steps(), class, &measure(spec, observed))
        .iter()
        .any(|difference| difference.verdict == Verdict::Recreate);
    let recreate =
        if immutable || spec.clear.is_some() { recreate::Wants::of_a_beginning() } else { recreate::Wants::default() };
    let in_place = copies::lowest(placement).is_none_or(|lowest| lowest >= spec.factor)
        && copies::above(placement, spec.factor).0 == 0
        && schema::class_factor(class) == spec.factor
        && !has_active_copies(observed)
        && observed.repair.journal.seen().is_some_and(|journal| journal.as_ref().is_none_or(|journal| journal.over));
    Questions {
        replicas: in_place && replicas::needs_proof(spec, observed, placement, before),
        holder: immutable || replicas::wants_holder(spec, observed, placement),
        recreate,
        repair: replicas::wants(spec, observed, class, before),
    }
}

/// By what differences of this collection are judged.
fn measure<'a>(spec: &'a CollectionSpec, observed: &Observed) -> Measure<'a> {
    Measure { version: observed.version, policy: &spec.drift_policy }
}

fn active_journal(observed: &Observed) -> Option<&Journal> {
    observed.journal.seen()?.as_ref().filter(|journal| !journal.cursor.is_over())
}

fn has_active_copies(observed: &Observed) -> bool {
    observed
        .operations
        .seen()
        .is_some_and(|operations| operations.iter().any(|operation| operation.state == OperationState::Active))
}

/// The plan for this look.
pub fn plan(spec: &CollectionSpec, observed: &Observed, before: &ElysiaCollectionStatus, now: Timestamp) -> Plan {
    planner(spec, observed, before, now).run()
}

/// The plan for this look at a collection whose spec does not hold: what deletes and makes again, and a migration by which
/// shards are read-only, is ended, and nothing else is done. The error says why that cannot be.
pub fn plan_of_invalid(
    spec: &CollectionSpec,
    observed: &Observed,
    before: &ElysiaCollectionStatus,
    now: Timestamp,
) -> Result<Plan, String> {
    if let Some(journal) = active_journal(observed) {
        return Ok(planner(spec, observed, before, now).recreating(journal));
    }
    let Some(look) = &observed.migration else {
        let (unseen, otherwise) = match spec.migration {
            Some(_) => (observed.class.blindness(), "its alias was not looked at"),
            None => (observed.journal.blindness(), "it has ended meanwhile"),
        };
        return Err(unseen.map_or_else(|| otherwise.to_owned(), |blindness| blindness.message.clone()));
    };
    let planner = planner(spec, observed, before, now);
    if let Some(part) = planner.not_to_migrate(look) {
        let (Part::InSync(why) | Part::Working(_, why) | Part::Stuck(_, why) | Part::Unknown(_, why)) = part;
        return Err(why);
    }
    let Some(journal) = planner.frozen_migration().cloned() else {
        return Err("it has ended meanwhile".to_owned());
    };
    Ok(planner.switching(look, &journal))
}

fn planner<'a>(
    spec: &'a CollectionSpec,
    observed: &'a Observed,
    before: &'a ElysiaCollectionStatus,
    now: Timestamp,
) -> Planner<'a> {
    Planner {
        spec,
        observed,
        before,
        now,
        steps: Vec::new(),
        recheck: None,
        shown: None,
        proved: None,
        progress: None,
        cooling: None,
        differ: false,
        unproved: false,
        keep_count: false,
        unsettled: None,
    }
}

/// Gathers the plan of one look.
struct Planner<'a> {
    spec: &'a CollectionSpec,
    observed: &'a Observed,
    before: &'a ElysiaCollectionStatus,
    now: Timestamp,
    steps: Vec<Step>,
    recheck: Option<SignedDuration>,
    shown: Option<PlanStatus>,
    proved: Option<Proof>,
    progress: Option<Progress>,
    /// `None`: those of before still have to rest.
    cooling: Option<Vec<String>>,
    differ: bool,
    unproved: bool,
    keep_count: bool,
    /// Why the replicas may still lack or keep what others do not, if so.
    unsettled: Option<Unsettled>,
}

/// What replicas wait for.
struct Unsettled {
    why: String,
    /// Why nothing moves without a person, if so.
    stuck: Option<Reason>,
}

/// What replicas wait for before every one of them lists what the others do; `None` also where only a new class helps.
fn unsettled(replicas: &Part) -> Option<Unsettled> {
    let (why, stuck) = match replicas {
        Part::InSync(_) | Part::Stuck(Reason::CopyUnsupported | Reason::CopyOff, _) => return None,
        Part::Stuck(reason, message) => (message, Some(*reason)),
        Part::Working(_, message) | Part::Unknown(_, message) => (message, None),
    };
    Some(Unsettled { why: why.clone(), stuck })
}

/// What one part of the collection amounts to.
enum Part {
    /// As declared.
    InSync(String),
    /// Not as declared, and the operator is at it.
    Working(Reason, String),
    /// Not as declared, and nothing moves without a person.
    Stuck(Reason, String),
    /// It could not be told.
    Unknown(Reason, String),
}

impl Planner<'_> {
    fn run(mut self) -> Plan {
        // Before anything else: what was begun is ended, whoever else claims the collection meanwhile.
        if let Some(journal) = active_journal(self.observed) {
            let journal = journal.clone();
            return self.recreating(&journal);
        }
        if let (Some(look), Some(journal)) = (&self.observed.migration, self.frozen_migration())
            && self.not_to_migrate(look).is_none()
        {
            let journal = journal.clone();
            return self.switching(look, &journal);
        }
        if let Some(older) = &self.observed.conflict {
            let message = format!(
                "{older} is older and claims collection {} of {} as well; delete one of the two, the collection stays",
                self.spec.collection, self.spec.cluster
            );
            return self.only(&Part::Stuck(Reason::Conflict, message));
        }
        if self.observed.cluster == ClusterSight::Missing {
            let message = format!("WeaviateCluster {} does not exist in this namespace", self.spec.cluster);
            self.recheck = None;
            return self.only(&Part::Stuck(Reason::ClusterMissing, message));
        }
        if let Sight::Unseen(blindness) = &self.observed.journal {
            return self.only(&Part::Unknown(Reason::Unknown, blindness.message.clone()));
        }
        if let Some(look) = &self.observed.migration
            && let Some(part) = self.not_to_migrate(look)
        {
            self.recheck = Some(RECHECK_LATER);
            return self.only(&part);
        }
        match &self.observed.class {
            Sight::Unseen(blindness) => {
                let reason = match blindness.kind {
                    BlindnessKind::Unreachable => Reason::Unreachable,
                    BlindnessKind::Unauthorized => Reason::Unauthorized,
                    BlindnessKind::Unsupported | BlindnessKind::Failed => Reason::Unknown,
                };
                self.recheck = Some(RECHECK_LATER);
                self.only(&Part::Unknown(reason, blindness.message.clone()))
            }
            Sight::Seen(class) => {
                let class = class.clone();
                match (self.beginning(class.is_some()), class) {
                    (Some(part), _) => self.only(&part),
                    (None, None) => self.creating(),
                    (None, Some(class)) => self.existing(&class),
                }
            }
        }
    }

    /// A plan in which nothing else can be said than this one thing.
    fn only(self, part: &Part) -> Plan {
        let findings = findings(part, part, None);
        self.finish(findings, Vec::new())
    }

    fn finish(self, findings: Vec<Finding>, drift: Vec<Difference>) -> Plan {
        let Self { steps, recheck, shown, proved, progress, cooling, differ, unproved, keep_count, .. } = self;
        let (spec, observed, mut steps) = (self.spec, self.observed, steps);
        // Whatever else is the matter: a tenant that was woken is not forgotten.
        let cooling = cooling.unwrap_or_else(|| {
            self.before.replication.as_ref().map(|replication| replication.cooling.clone()).unwrap_or_default()
        });
        // What a journal has begun is brought to an end all the same.
        if spec.paused && active_journal(observed).is_none() && migration::frozen(observed).is_none() {
            steps.clear();
        }
        let compared = false;
        Plan {
            steps,
            recheck,
            findings,
            shown,
            drift,
            compared,
            proved,
            progress,
            cooling,
            differ,
            unproved,
            keep_count,
        }
    }

    fn creating(mut self) -> Plan {
        if let Some(wait) = self.waits_for_cluster() {
            return self.only(&Part::Working(Reason::ClusterNotReady, wait));
        }
        let members = self.observed.members.seen().map_or(0, Vec::len);
        if let Some(problem) = self.too_few(members) {
            return self.only(&Part::Stuck(Reason::InvalidSpec, problem));
        }
        self.recheck = Some(RECHECK);
        self.steps.push(Step::CreateClass(self.spec.class()));
        let message = format!(
            "collection {} does not exist; it is created with factor {}",
            self.spec.collection, self.spec.factor
        );
        self.only(&Part::Working(Reason::Creating, message))
    }

    fn too_few(&self, members: usize) -> Option<String> {
        let wanted = usize::try_from(self.spec.factor).unwrap_or(usize::MAX);
        (members < wanted).then(|| {
            format!("replication.factor {} needs as many nodes, the cluster has {members}; lower it", self.spec.factor)
        })
    }

    /// Why nothing may be changed now; `None` when the cluster is fit.
    fn waits_for_cluster(&mut self) -> Option<String> {
        match &self.observed.cluster {
            ClusterSight::Fit => match &self.observed.members {
                Sight::Seen(members) => {
                    let away = self.observed.nodes.iter().find(|node| !members.contains(node));
                    if away.is_some() {
                        self.recheck = Some(RECHECK_LATER);
                    }
                    away.map(|node| format!("waiting for node {node}, which the others do not see"))
                }
                Sight::Unseen(blindness) => {
                    self.recheck = Some(RECHECK_LATER);
                    Some(blindness.message.clone())
                }
            },
            ClusterSight::Missing => Some("the cluster does not exist".to_owned()),
            ClusterSight::Unfit(why) => {
                self.recheck = Some(RECHECK_LATER);
                Some(format!("waiting for cluster {}: {why}", self.spec.cluster))
            }
        }
    }

    fn existing(mut self, class: &Value) -> Plan {
        if let Some(part) = self.clearing(class) {
            let findings = findings(&part, &part, Some("the collection serves"));
            return self.finish(findings, Vec::new());
        }
        let drift = migration::transform::differences(
            &self.spec.settings,
            self.spec.steps(),
            class,
            &measure(self.spec, self.observed),
        );
        let replicas = self.replicas(class);
        self.unsettled = unsettled(&replicas);
        let schema = self.schema(class, &drift, matches!(replicas, Part::Working(..)));
        let schema = self.beside_migration(&drift, schema);
        let schema = self.beside_versions(schema);
        let schema = match (schema, self.clear_word()) {
            (Part::InSync(_), Some(word)) => word,
            (schema, _) => schema,
        };
        let unserved = self.unserved();
        let mut findings = findings(&schema, &replicas, unserved.is_none().then_some("the collection serves"));
        if let Some(message) = unserved {
            findings[1] = Finding::fails(ConditionType::Available, Reason::NodesMissing, message);
        }
        Plan { compared: true, ..self.finish(findings, drift) }
    }

    /// A shard that no living node holds; `None` when each has one, or when the members could not be seen.
    fn unserved(&self) -> Option<String> {
        let (members, placement) = (self.observed.members.seen()?, self.observed.placement.seen()?);
        let dead = placement.iter().find(|shard| !shard.replicas.iter().any(|node| members.contains(node)))?;
        Some(format!("no node that holds shard {} is there: {}", dead.shard, dead.replicas.join(", ")))
    }

    fn approves(&self, hash: &str) -> bool {
        self.spec.approved.as_deref() == Some(hash)
    }
}

#[cfg(test)]
mod tests;
