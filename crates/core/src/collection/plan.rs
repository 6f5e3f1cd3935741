//! What is done about a collection now, and what its status says of it.

use elysia_api::collection::{
    CopyPolicy, ElysiaCollectionStatus, PlanStatus, Proof, RecreatePolicy, ShardReplicas, Verdict,
};
use elysia_api::condition::{ConditionType, Reason};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use super::copies::{self, COPIES_AT_ONCE, Copy};
use super::observed::{ClusterSight, Observed, OperationState};
use super::recreate::{self, Act, Cursor, Journal};
use super::schema::{self, Difference};
use super::spec::CollectionSpec;
use crate::condition::{self, Finding, whole_seconds};
use crate::fingerprint;
use crate::sight::{BlindnessKind, Sight};

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
}

/// What to do with a collection now.
#[derive(Clone, Debug, PartialEq)]
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
    /// A proof that was made in this round.
    pub proved: Option<Proof>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create the class.
    CreateClass(Value),
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
    /// Write the journal.
    WriteJournal(Box<Journal>),
    /// Make every shard read-only (`true`) or writable.
    SetReadOnly(bool),
    /// Prove emptiness and delete at once, by this journal.
    ProveAndDelete(Box<Journal>),
}

/// What has to be asked, from a first look.
pub fn questions(spec: &CollectionSpec, observed: &Observed, before: &ElysiaCollectionStatus) -> Questions {
    if let Some(journal) = active_journal(observed) {
        return Questions { recreate: recreate::wants(journal.cursor), ..Questions::default() };
    }
    let (Sight::Seen(Some(class)), Sight::Seen(placement)) = (&observed.class, &observed.placement) else {
        return Questions::default();
    };
    let in_place = copies::lowest(placement).is_none_or(|lowest| lowest >= spec.factor)
        && schema::class_factor(class) == spec.factor
        && !has_active_copies(observed);
    Questions {
        replicas: in_place && needs_proof(spec, observed, class, placement, before),
        holder: schema::differences(&spec.settings, class)
            .iter()
            .any(|difference| difference.verdict == Verdict::Recreate),
        recreate: recreate::Wants::default(),
    }
}

fn needs_proof(
    spec: &CollectionSpec,
    observed: &Observed,
    class: &Value,
    placement: &[ShardReplicas],
    before: &ElysiaCollectionStatus,
) -> bool {
    let proved = before.replication.as_ref().and_then(|replication| replication.proved.as_ref());
    spec.factor > 1
        && !schema::is_multi_tenant(class)
        && !observed.nodes.is_empty()
        && proved.is_none_or(|proof| proof.placement != fingerprint::of(&placement))
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
    Planner { spec, observed, before, now, steps: Vec::new(), recheck: None, shown: None, proved: None }.run()
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
            Sight::Seen(None) => self.creating(),
            Sight::Seen(Some(class)) => {
                let class = class.clone();
                self.existing(&class)
            }
        }
    }

    /// A plan in which nothing else can be said than this one thing.
    fn only(self, part: &Part) -> Plan {
        let findings = findings(part, part, None);
        self.finish(findings, Vec::new())
    }

    fn finish(self, findings: Vec<Finding>, drift: Vec<Difference>) -> Plan {
        let Self { mut steps, recheck, shown, proved, spec, observed, .. } = self;
        // What a journal has begun is brought to an end all the same.
        if spec.paused && active_journal(observed).is_none() {
            steps.clear();
        }
        Plan { steps, recheck, findings, shown, drift, proved }
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
        let drift = schema::differences(&self.spec.settings, class);
        self.forget_ended_copies();
        let replicas = self.replicas(class);
        let schema = self.schema(class, &drift, matches!(replicas, Part::Working(..)));
        let unserved = self.unserved();
        let mut findings = findings(&schema, &replicas, unserved.is_none().then_some("the collection serves"));
        if let Some(message) = unserved {
            findings[1] = Finding::fails(ConditionType::Available, Reason::NodesMissing, message);
        }
        self.finish(findings, drift)
    }

    /// A shard that no living node holds; `None` when each has one, or when the members could not be seen.
    fn unserved(&self) -> Option<String> {
        let (members, placement) = (self.observed.members.seen()?, self.observed.placement.seen()?);
        let dead = placement.iter().find(|shard| !shard.replicas.iter().any(|node| members.contains(node)))?;
        Some(format!("no node that holds shard {} is there: {}", dead.shard, dead.replicas.join(", ")))
    }

    /// A record left in the list can keep a server from starting again (`weaviate-lab` §0.6), so each goes at once.
    fn forget_ended_copies(&mut self) {
        if self.observed.cluster != ClusterSight::Fit {
            return;
        }
        for operation in self.observed.operations.seen().into_iter().flatten() {
            if operation.state != OperationState::Active {
                self.steps.push(Step::ForgetOperation(operation.id.clone()));
                self.recheck = Some(RECHECK);
            }
        }
    }

    fn replicas(&mut self, class: &Value) -> Part {
        let placement = match &self.observed.placement {
            Sight::Seen(placement) => placement,
            Sight::Unseen(blindness) if blindness.kind == BlindnessKind::Unsupported => {
                let message = "replica movement is switched off at the servers (REPLICA_MOVEMENT_ENABLED), so replicas cannot be seen or copied; switch it on at every node".to_owned();
                return Part::Stuck(Reason::CopyUnsupported, message);
            }
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, blindness.message.clone());
            }
        };
        let (behind, _) = copies::behind(placement, self.spec.factor);
        if behind > 0 {
            return self.behind(class, placement, behind);
        }
        if has_active_copies(self.observed) {
            self.recheck = Some(RECHECK);
            return Part::Working(Reason::Copying, "the last copies are ending".to_owned());
        }
        // Before the factor: lowering it would take from what is there its repair and its new tenants' replicas.
        let most = placement.iter().map(|shard| shard.replicas.len()).max().unwrap_or(0);
        if i64::try_from(most).is_ok_and(|most| most > self.spec.factor) {
            let message = format!(
                "a shard has {most} replicas, {} are declared; removing replicas is not done by this release: raise replication.factor to keep them",
                self.spec.factor
            );
            return Part::Stuck(Reason::TooManyReplicas, message);
        }
        if schema::class_factor(class) != self.spec.factor {
            return self.factor(class);
        }
        self.proof(class, placement)
    }

    fn behind(&mut self, class: &Value, placement: &[ShardReplicas], behind: i64) -> Part {
        let summary = format!("{behind} of {} shards have fewer than {} replicas", placement.len(), self.spec.factor);
        if schema::is_multi_tenant(class) {
            let message = format!(
                "{summary}; tenants are not copied by this release: copy each one with POST /v1/replication/replicate, or lower replication.factor"
            );
            return Part::Stuck(Reason::CopyUnsupported, message);
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ReplicasBehind, format!("{summary}; {wait}"));
        }
        let members = self.observed.members.seen().cloned().unwrap_or_default();
        if let Some(problem) = self.too_few(members.len()) {
            return Part::Stuck(Reason::InvalidSpec, format!("{summary}; {problem}"));
        }
        let operations = match &self.observed.operations {
            Sight::Seen(operations) => operations.clone(),
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, format!("{summary}; {}", blindness.message));
            }
        };
        let missing = copies::missing(placement, &operations, &members, self.spec.factor);
        let active = operations.iter().filter(|operation| operation.state == OperationState::Active).count();
        let ended: Vec<&str> = operations
            .iter()
            .filter(|operation| operation.state != OperationState::Active)
            .map(|operation| operation.shard.as_str())
            .collect();
        let trouble = operations.iter().find_map(|operation| operation.error.as_ref());
        let trouble = trouble.map_or_else(String::new, |error| format!("; the servers say: {error}"));
        let hash = copy_hash(self.spec, placement, self.behind_since());
        match self.spec.copy {
            CopyPolicy::Off => {
                Part::Stuck(Reason::CopyOff, format!("{summary}; repair.copy is Off: set it to Auto or Approve"))
            }
            CopyPolicy::Approve if !self.approves(&hash) => {
                self.show_copies(&hash, &missing, true);
                let message = format!(
                    "{summary}; approve the copies: kubectl annotate --overwrite elysiacollection {} elysia.dev/approve={hash}",
                    self.spec.name,
                );
                Part::Stuck(Reason::NeedsApproval, message)
            }
            CopyPolicy::Auto | CopyPolicy::Approve => {
                self.show_copies(&hash, &missing, false);
                // The record of an ended copy has to be gone before the next one of that shard (`weaviate-lab` §7).
                let now = missing.iter().filter(|copy| !ended.contains(&copy.shard.as_str()));
                let room = COPIES_AT_ONCE.saturating_sub(active);
                self.steps.extend(now.take(room).cloned().map(Step::Copy));
                self.recheck = Some(RECHECK);
                let message = format!("{summary}; {active} copies run, {} wait{trouble}", missing.len());
                Part::Working(Reason::Copying, message)
            }
        }
    }

    /// The second since which the replicas are not in sync: part of the hash, so that an approval holds for the whole
    /// of this repair and for no later one.
    fn behind_since(&self) -> i64 {
        let in_sync = condition::find(&self.before.conditions, ConditionType::ReplicasInSync);
        match in_sync {
            Some(condition) if condition.status == "False" => condition.last_transition_time.0.as_second(),
            _ => self.now.as_second(),
        }
    }

    fn approves(&self, hash: &str) -> bool {
        self.spec.approved.as_deref() == Some(hash)
    }

    fn show_copies(&mut self, hash: &str, missing: &[Copy], waits: bool) {
        let steps: Vec<String> = missing
            .iter()
            .map(|copy| format!("copy shard {} from {} to {}", copy.shard, copy.source, copy.target))
            .chain([
                format!("raise the factor of the class to {}", self.spec.factor),
                "compare the ids at every node".to_owned(),
            ])
            .collect();
        self.shown = Some(shown_plan(hash, "Copy", false, steps, waits));
    }

    fn factor(&mut self, class: &Value) -> Part {
        let live = schema::class_factor(class);
        let message = format!("the class declares factor {live}, {} is wanted", self.spec.factor);
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::ReplicasBehind, format!("{message}; {wait}"));
        }
        self.recheck = Some(RECHECK);
        let body = schema::reverted(class, &[], &replication(self.spec));
        self.steps.push(Step::UpdateClass { base: class.clone(), class: body });
        Part::Working(Reason::ReplicasBehind, message)
    }

    fn proof(&mut self, class: &Value, placement: &[ShardReplicas]) -> Part {
        let shards = placement.len();
        let factor = self.spec.factor;
        if schema::is_multi_tenant(class) {
            return Part::InSync(format!("{shards} tenants have {factor} replicas; what is in them was not compared"));
        }
        if factor <= 1 {
            return Part::InSync(format!("{shards} shards have 1 replica"));
        }
        if self.observed.nodes.is_empty() {
            return Part::InSync(format!(
                "{shards} shards have {factor} replicas; not compared: no node has an address of its own"
            ));
        }
        if !needs_proof(self.spec, self.observed, class, placement, self.before) {
            return Part::InSync(proved_text(shards, factor, self.proof_before()));
        }
        let lists = match &self.observed.replicas {
            Some(Sight::Seen(lists)) => lists,
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Working(
                    Reason::Proving,
                    format!("the replicas could not be compared: {}", blindness.message),
                );
            }
            None => {
                self.recheck = Some(RECHECK);
                return Part::Working(Reason::Proving, "the replicas are being compared".to_owned());
            }
        };
        let mut views = lists.values();
        let first = views.next();
        if let Some(first) = first
            && views.all(|view| view == first)
        {
            let proof = Proof {
                at: Time(whole_seconds(self.now)),
                objects: first.count,
                nodes: i64::try_from(lists.len()).unwrap_or(i64::MAX),
                digest: first.digest.clone(),
                placement: fingerprint::of(&placement),
            };
            let text = proved_text(shards, factor, Some(&proof));
            self.proved = Some(proof);
            return Part::InSync(text);
        }
        self.recheck = Some(RECHECK_DIFFERENT);
        let counts: Vec<String> = lists.iter().map(|(node, view)| format!("{node} lists {}", view.count)).collect();
        Part::Working(
            Reason::ReplicasDiffer,
            format!(
                "the nodes list different objects ({}); writers may be at work, it is compared again",
                counts.join(", ")
            ),
        )
    }

    fn proof_before(&self) -> Option<&Proof> {
        self.before.replication.as_ref()?.proved.as_ref()
    }

    fn schema(&mut self, class: &Value, drift: &[Difference], copying: bool) -> Part {
        let names = |verdict| {
            let paths: Vec<String> =
                drift.iter().filter(|difference| difference.verdict == verdict).map(Difference::dotted).collect();
            paths.join(", ")
        };
        if drift.iter().any(|difference| difference.verdict == Verdict::Recreate) {
            return self.immutable(class, drift, &names(Verdict::Recreate), copying);
        }
        let strategy = class.pointer("/replicationConfig/deletionStrategy").and_then(Value::as_str);
        let strategy_differs = strategy.is_some_and(|live| live != self.spec.deletion_strategy.as_str());
        if drift.iter().any(|difference| difference.verdict == Verdict::Revert) || strategy_differs {
            return self.revert(class, drift, &names(Verdict::Revert));
        }
        let reported = names(Verdict::Report);
        if reported.is_empty() {
            return Part::InSync("every declared setting is live".to_owned());
        }
        Part::InSync(format!(
            "every setting that this release knows is live; {reported} differ and are not known to it"
        ))
    }

    fn revert(&mut self, class: &Value, drift: &[Difference], names: &str) -> Part {
        let message =
            format!("put back: {}", if names.is_empty() { "replicationConfig.deletionStrategy" } else { names });
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::SchemaDrift, format!("{message}; {wait}"));
        }
        self.recheck = Some(RECHECK);
        let (added, changed): (Vec<&Difference>, Vec<&Difference>) = drift
            .iter()
            .filter(|difference| difference.verdict == Verdict::Revert)
            .partition(|difference| difference.is_new_property());
        // One kind of change a round: each PUT starts from what the server said last.
        if added.is_empty() {
            let mut settings = replication(self.spec);
            // The factor has its own step, after the copies.
            settings.remove("factor");
            let changed: Vec<Difference> = changed.into_iter().cloned().collect();
            let body = schema::reverted(class, &changed, &settings);
            self.steps.push(Step::UpdateClass { base: class.clone(), class: body });
            // A server may be told to keep its own value; it is not asked every second.
            self.recheck = Some(RECHECK_LATER);
        } else {
            self.steps.extend(added.into_iter().map(|difference| Step::AddProperty(difference.wanted.clone())));
        }
        Part::Working(Reason::SchemaDrift, message)
    }

    fn immutable(&mut self, class: &Value, drift: &[Difference], names: &str, copying: bool) -> Part {
        let what = format!("{names} cannot be changed on an existing collection");
        if let Some(pattern) = &self.observed.protection {
            return Part::Stuck(Reason::Protected, format!("{what}, and {pattern} protects it from being recreated"));
        }
        if self.spec.recreate == RecreatePolicy::Off {
            return Part::Stuck(Reason::RecreateOff, format!("{what}; repair.recreate is Off"));
        }
        if schema::is_multi_tenant(class) {
            let message = format!("{what}, and whether its tenants are empty is not looked at by this release");
            return Part::Stuck(Reason::RefusedNotProvablyEmpty, message);
        }
        if let Sight::Unseen(blindness) = &self.observed.placement {
            return Part::Stuck(Reason::RefusedNotProvablyEmpty, format!("{what}; {}", blindness.message));
        }
        if copying {
            return Part::Working(Reason::SchemaDrift, format!("{what}; the replicas come first"));
        }
        match &self.observed.holder {
            Some(Sight::Seen(None)) => self.recreate(class, drift, &what),
            Some(Sight::Seen(Some(node))) => Part::Stuck(
                Reason::RefusedHasData,
                format!(
                    "{what}, and {node} lists objects of it: it is not recreated. Create another collection with the new settings, copy the objects into it and switch an alias, or take the old setting back into the spec"
                ),
            ),
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                Part::Stuck(
                    Reason::RefusedNotProvablyEmpty,
                    format!("{what}, and that it is empty cannot be shown: {}", blindness.message),
                )
            }
            None => {
                self.recheck = Some(RECHECK);
                Part::Working(Reason::SchemaDrift, format!("{what}; whether it is empty is being looked at"))
            }
        }
    }

    fn recreate(&mut self, class: &Value, drift: &[Difference], what: &str) -> Part {
        // What could not be created again must not be deleted. While a node is away its number says nothing.
        if self.observed.cluster == ClusterSight::Fit
            && let Some(problem) = self.observed.members.seen().and_then(|members| self.too_few(members.len()))
        {
            return Part::Stuck(Reason::InvalidSpec, format!("{what}; {problem}"));
        }
        let placement = self.observed.placement.seen().cloned().unwrap_or_default();
        let last = self.observed.journal.seen().and_then(Option::as_ref);
        let attempts = last.map_or(0, |journal| journal.attempts);
        let since = first_seen(drift, self.before).unwrap_or(self.now.as_second());
        let hash = recreate_hash(self.spec, class, drift, &placement, since, attempts);
        let stopped = last
            .and_then(|journal| journal.stopped.as_ref())
            .map_or_else(String::new, |why| format!(" The last attempt was stopped: {why}."));
        let approved = self.approves(&hash);
        self.shown =
            Some(shown_plan(&hash, "Recreate", true, recreate_steps(self.spec, self.observed, &placement), !approved));
        if !approved {
            let message = format!(
                "{what}; it lists no objects and can be recreated.{stopped} Look at status.plan, then: kubectl annotate --overwrite elysiacollection {} elysia.dev/approve={hash}",
                self.spec.name
            );
            return Part::Stuck(Reason::NeedsApproval, message);
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::Recreating, format!("approved; {wait}"));
        }
        self.recheck = Some(RECHECK);
        self.steps.push(Step::WriteJournal(Box::new(Journal {
            hash,
            attempts: attempts + 1,
            collection: self.spec.collection.clone(),
            live_schema: class.clone(),
            wanted_schema: self.spec.class(),
            placement,
            cursor: Cursor::AutoSchemaOff,
            since: self.now,
            stopped: None,
        })));
        Part::Working(Reason::Recreating, "approved; the journal is written first".to_owned())
    }

    /// Why an approved plan may not go on, asked until the delete; after it, only going on gives the collection back.
    fn called_off(&self, journal: &Journal) -> Option<String> {
        if journal.cursor > Cursor::Delete {
            return None;
        }
        if journal.collection != self.spec.collection {
            return Some(format!("the journal speaks of another collection, {}", journal.collection));
        }
        if self.spec.paused {
            return Some("elysia.dev/paused was set".to_owned());
        }
        if self.spec.recreate == RecreatePolicy::Off {
            return Some("repair.recreate was set to Off".to_owned());
        }
        self.observed.protection.as_ref().map(|pattern| format!("{pattern} protects the collection now"))
    }

    /// The nodes that have to be seen. Once the collection is deleted, or is being thawed, a node that stays away for
    /// long must not keep everybody else without it: its own memory of the freeze is gone when it comes back.
    fn nodes_to_wait_for(&self, journal: &Journal) -> Vec<String> {
        let nodes = &self.observed.nodes;
        let late = self.now.duration_since(journal.since) > recreate::STEP_PATIENCE;
        match &self.observed.members {
            Sight::Seen(members) if late && journal.cursor > Cursor::Delete => {
                nodes.iter().filter(|node| members.contains(node)).cloned().collect()
            }
            _ => nodes.clone(),
        }
    }

    fn recreating(mut self, journal: &Journal) -> Plan {
        self.recheck = Some(RECHECK);
        let act = if let Some(why) = self.called_off(journal) {
            Act::Move { cursor: Cursor::Thaw, stopped: Some(why) }
        } else {
            let nodes = self.nodes_to_wait_for(journal);
            recreate::next(journal, &self.observed.class, &nodes, &self.observed.recreate, self.now)
        };
        let mut message = format!("{:?}", journal.cursor);
        match act {
            Act::Move { cursor, stopped } => {
                let stopped = stopped.or_else(|| journal.stopped.clone());
                self.steps.push(Step::WriteJournal(Box::new(Journal {
                    cursor,
                    stopped,
                    since: self.now,
                    ..journal.clone()
                })));
            }
            Act::MakeOld(old) => self.steps.push(Step::WriteJournal(old)),
            Act::Freeze => self.steps.push(Step::SetReadOnly(true)),
            Act::Thaw => self.steps.push(Step::SetReadOnly(false)),
            Act::ProveAndDelete => self.steps.push(Step::ProveAndDelete(Box::new(journal.clone()))),
            Act::Create => {
                self.steps.push(Step::CreateClass(journal.wanted_schema.clone()));
                self.steps.push(Step::WriteJournal(Box::new(Journal {
                    cursor: Cursor::Verify,
                    since: self.now,
                    ..journal.clone()
                })));
            }
            Act::Wait(what) => message = format!("{message}: waiting for {what}"),
        }
        let placement = &journal.placement;
        let steps = recreate_steps(self.spec, self.observed, placement);
        self.shown = Some(shown_plan(&journal.hash, "Recreate", true, steps, false));
        let available = !journal.cursor.is_past_delete();
        let part = Part::Working(Reason::Recreating, message);
        let findings = findings(&part, &part, available.then_some("the collection is there"));
        self.finish(findings, Vec::new())
    }
}

/// The same words in the round of the proof and in every one after it, so that nothing is written at rest.
fn proved_text(shards: usize, factor: i64, proof: Option<&Proof>) -> String {
    let (objects, nodes) = proof.map_or((0, 0), |proof| (proof.objects, proof.nodes));
    format!("{shards} shards have {factor} replicas; when compared, {nodes} nodes listed the same {objects} objects")
}

/// `replicationConfig` as it is to be, for a class that exists.
fn replication(spec: &CollectionSpec) -> Map<String, Value> {
    let mut settings = Map::new();
    settings.insert("factor".to_owned(), json!(spec.factor));
    settings.insert("deletionStrategy".to_owned(), json!(spec.deletion_strategy.as_str()));
    if spec.factor > 1 {
        settings.insert("asyncEnabled".to_owned(), json!(true));
    }
    settings
}

fn copy_hash(spec: &CollectionSpec, placement: &[ShardReplicas], since: i64) -> String {
    // The shards without their replicas, which change with every copy.
    let shards: Vec<&str> = placement.iter().map(|shard| shard.shard.as_str()).collect();
    fingerprint::short(&("Copy", &spec.uid, spec.factor, since, shards))
}

/// Covers the object, when the difference was first seen, the settings as they are and as they will be, the placement,
/// and how often it was done already.
fn recreate_hash(
    spec: &CollectionSpec,
    class: &Value,
    drift: &[Difference],
    placement: &[ShardReplicas],
    since: i64,
    attempts: i64,
) -> String {
    let immutable: Vec<&Difference> =
        drift.iter().filter(|difference| difference.verdict == Verdict::Recreate).collect();
    fingerprint::short(&("Recreate", &spec.uid, since, &immutable, class, spec.class(), placement, attempts))
}

/// The second at which an immutable difference was seen first; `None` when it was not seen before.
fn first_seen(drift: &[Difference], before: &ElysiaCollectionStatus) -> Option<i64> {
    drift
        .iter()
        .filter(|difference| difference.verdict == Verdict::Recreate)
        .filter_map(|difference| {
            let path = difference.dotted();
            before.drift.iter().find(|entry| entry.path == path).map(|entry| entry.since.0.as_second())
        })
        .min()
}

fn recreate_steps(spec: &CollectionSpec, observed: &Observed, placement: &[ShardReplicas]) -> Vec<String> {
    let (collection, nodes) = (&spec.collection, observed.nodes.len());
    vec![
        format!("keep the live schema in ConfigMap {}", spec.journal()),
        format!("switch auto-schema off and see it off at {nodes} nodes"),
        format!("make {} shards of {collection} read-only and see it at {nodes} nodes", placement.len()),
        format!("wait {} s for writes in flight", recreate::SETTLE.as_secs()),
        format!("list the ids of {collection} at each of {nodes} nodes, twice, and stop if there is any"),
        format!("delete {collection}"),
        format!("wait until {collection} is gone at {nodes} nodes"),
        format!("create {collection} as declared, with factor {}", spec.factor),
        format!("see {collection} at {nodes} nodes and set auto-schema back"),
    ]
}

fn shown_plan(hash: &str, action: &str, destructive: bool, mut steps: Vec<String>, waits: bool) -> PlanStatus {
    let total_steps = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    steps.truncate(elysia_api::STATUS_LIST_LIMIT);
    PlanStatus {
        hash: hash.to_owned(),
        action: action.to_owned(),
        destructive,
        steps,
        total_steps,
        waiting_for: waits.then(|| format!("approval: elysia.dev/approve={hash}")),
    }
}

fn finding(kind: ConditionType, part: &Part) -> Finding {
    match part {
        Part::InSync(message) => Finding::holds(kind, Reason::AsDeclared, message),
        Part::Working(reason, message) | Part::Stuck(reason, message) => Finding::fails(kind, *reason, message),
        Part::Unknown(reason, message) => Finding::unknown(kind, *reason, message),
    }
}

/// The conditions that follow from the two parts of a collection. `available`: why it serves, if it does.
fn findings(schema: &Part, replicas: &Part, available: Option<&str>) -> Vec<Finding> {
    let rank = |part: &Part| match part {
        Part::Stuck(..) => 0,
        Part::Unknown(..) => 1,
        Part::Working(..) => 2,
        Part::InSync(_) => 3,
    };
    let worst = if rank(schema) <= rank(replicas) { schema } else { replicas };
    let ready = match worst {
        Part::InSync(_) => finding(ConditionType::Ready, replicas),
        part => finding(ConditionType::Ready, part),
    };
    let available = match (available, worst) {
        (Some(message), _) => Finding::holds(ConditionType::Available, Reason::AsDeclared, message),
        (None, part) => finding(ConditionType::Available, part),
    };
    let mut findings = vec![
        ready,
        available,
        finding(ConditionType::SchemaInSync, schema),
        finding(ConditionType::ReplicasInSync, replicas),
    ];
    for part in [schema, replicas] {
        let extra = match part {
            Part::Working(..) => ConditionType::Reconciling,
            Part::Stuck(..) => ConditionType::Stalled,
            Part::InSync(_) | Part::Unknown(..) => continue,
        };
        if findings.iter().all(|finding| finding.kind != extra) {
            let mut finding = finding(extra, part);
            finding.value = crate::condition::Value::True;
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
