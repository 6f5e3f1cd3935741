//! Replicas that are taken away, by approved plans: too many, of a node that is gone, or lacking objects.

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::collection::ShardReplicas;
use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::super::copies::{self, Copy, Replica};
use super::super::super::recreate;
use super::super::super::repair::{self, Action, Activity, Journal, PATIENCE, VICTIMS};
use super::super::super::schema;
use super::super::shown::{approval_command, shown_plan};
use super::super::{Part, Planner, RECHECK, RECHECK_LATER, Removal, Step};
use super::{Progress, pace};
use crate::fingerprint;
use crate::sight::Sight;

/// Replicas that are taken away in one round, one after another; each is proved to be no loss by itself.
pub(super) const REMOVALS: usize = 10;

fn reason(action: Action) -> Reason {
    match action {
        Action::Remove => Reason::Removing,
        Action::Replace => Reason::NodeGone,
        Action::Rebuild => Reason::Rebuilding,
    }
}

impl Planner<'_> {
    /// More replicas than wanted.
    pub(super) fn remove(&mut self, class: &Value, placement: &[ShardReplicas], above: i64) -> Part {
        let what = format!("{above} of {} shards have more than {} replicas", placement.len(), self.spec.factor);
        if let Some(why) = self.without_tenants(class) {
            return Part::Working(Reason::TooManyReplicas, format!("{what}; {why}"));
        }
        let members = self.members();
        let all = copies::surplus(placement, &members, self.spec.factor);
        // What cannot be listed cannot be shown to be no loss.
        let (living, dead): (Vec<Replica>, Vec<Replica>) =
            all.into_iter().partition(|victim| members.contains(&victim.node));
        if living.is_empty()
            && let Some(first) = dead.first()
        {
            let message = format!(
                "{what}; {} is not alive, so nobody can compare what it holds of shard {} with the others, and it is not taken away. Bring that node back; or, if it is gone for ever, name the nodes that are left, and not this one, in spec.external.nodes of the WeaviateCluster: then a plan that replaces it is shown",
                first.node, first.shard
            );
            return Part::Stuck(Reason::TooManyReplicas, message);
        }
        // Nobody is woken to be listed.
        let is_hot = |victim: &Replica| self.activity(class, &victim.shard) == Some(Activity::Hot);
        let victims: Vec<Replica> = living.into_iter().filter(is_hot).collect();
        if victims.is_empty() {
            let message = format!(
                "{what}; they are tenants that are not active, whose objects cannot be compared: activate them, or raise replication.factor to keep the replicas"
            );
            return Part::Stuck(Reason::TenantsUnavailable, message);
        }
        self.offer(class, placement, Action::Remove, victims, &[], &what)
    }

    /// Shows a plan that takes replicas away; when it is approved, writes its journal.
    pub(super) fn offer(
        &mut self,
        class: &Value,
        placement: &[ShardReplicas],
        action: Action,
        mut victims: Vec<Replica>,
        gone: &[String],
        what: &str,
    ) -> Part {
        if !self.removes() {
            let version = self.observed.version.map_or_else(String::new, |version| format!(" {version}"));
            let message = format!(
                "{what}; Weaviate{version} has no call that takes a replica away (1.35 and newer have): upgrade it, and the plan is shown"
            );
            let reason = if action == Action::Remove { Reason::TooManyReplicas } else { reason(action) };
            return Part::Stuck(reason, message);
        }
        victims.truncate(VICTIMS);
        let last = self.observed.repair.journal.seen().and_then(Option::as_ref);
        let attempts = last.map_or(0, |journal| journal.attempts);
        let stopped = last.and_then(|journal| journal.stopped.as_ref());
        let stopped = stopped.map_or_else(String::new, |why| format!(" The last plan was stopped: {why}."));
        let spec = self.spec;
        let settings = class.get("replicationConfig");
        let hash = fingerprint::short(&(
            action,
            &spec.uid,
            self.behind_since(),
            &victims,
            gone,
            (spec.factor, settings, placement),
            attempts,
        ));
        let approved = self.approves(&hash);
        let steps = self.steps_of(class, placement, action, &victims, gone);
        let total = victims.len().saturating_add(steps.len().saturating_sub(victims.len().min(STATUS_LIST_LIMIT)));
        let mut shown = shown_plan(&hash, action.as_str(), true, steps, !approved);
        shown.total_steps = i64::try_from(total).unwrap_or(i64::MAX);
        self.shown = Some(shown);
        if !approved {
            let warning = if action == Action::Replace {
                " The dead node must never come back with its old disk: delete that first."
            } else {
                ""
            };
            let message =
                format!("{what}.{stopped}{warning} Look at status.plan, then: {}", approval_command(&spec.name, &hash));
            return Part::Stuck(Reason::NeedsApproval, message);
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(reason(action), format!("approved; {wait}"));
        }
        self.recheck = Some(RECHECK);
        self.steps.push(Step::WriteRepair(Box::new(Journal {
            hash,
            attempts: attempts + 1,
            action,
            target: self.observed.target.clone(),
            collection: spec.collection.clone(),
            factor: spec.factor,
            victims,
            gone: gone.to_vec(),
            cursor: 0,
            removed: false,
            since: self.now,
            over: false,
            stopped: None,
        })));
        Part::Working(reason(action), "approved; the journal is written first".to_owned())
    }

    fn steps_of(
        &self,
        class: &Value,
        placement: &[ShardReplicas],
        action: Action,
        victims: &[Replica],
        gone: &[String],
    ) -> Vec<String> {
        let (factor, live) = (self.spec.factor, schema::class_factor(class));
        let mut steps = Vec::new();
        let shown = victims.iter().take(STATUS_LIST_LIMIT);
        let take = |victim: &Replica| format!("take the replica of shard {} at {} away", victim.shard, victim.node);
        if live > factor {
            steps.push(format!("lower the factor of the class from {live} to {factor}"));
        }
        match action {
            Action::Remove => {
                steps.extend(shown.map(|victim| format!("{}, if every other one has its objects", take(victim))));
            }
            Action::Replace => {
                let missing = self.missing(class, placement, gone).copies;
                steps.extend(
                    missing
                        .iter()
                        .take(STATUS_LIST_LIMIT / 2)
                        .map(|copy| format!("copy shard {} from {} to {}", copy.shard, copy.source, copy.target)),
                );
                steps.extend(shown.map(take));
                steps.extend(gone.iter().map(|node| format!("take {node} out of RAFT, if no collection needs it")));
            }
            Action::Rebuild => {
                steps.push(format!("lower the factor of the class to {}", factor - 1));
                steps.extend(
                    shown.map(|victim| {
                        format!("{}, if every other one has its objects, and copy it anew", take(victim))
                    }),
                );
                steps.push(format!("raise the factor of the class to {factor}"));
            }
        }
        steps
    }

    /// Goes on with an approved plan. Where it is is asked of the servers at each step.
    pub(super) fn repairing(&mut self, class: &Value, placement: &[ShardReplicas], journal: &Journal) -> Part {
        self.unproved = true;
        let of_them = |target| recreate::is_of(journal.target.as_ref(), target, &self.spec.repair_journal());
        if let Some(Err(message)) = self.observed.target.as_ref().map(of_them) {
            self.recheck = Some(RECHECK_LATER);
            return Part::Stuck(Reason::JournalElsewhere, message);
        }
        self.recheck = Some(pace(placement));
        let left = placement
            .iter()
            .flat_map(|shard| shard.replicas.iter().map(move |node| (&shard.shard, node)))
            .filter(|(shard, node)| {
                journal.victims.iter().any(|victim| (&victim.shard, &victim.node) == (*shard, *node))
            })
            .count();
        let running = i64::try_from(self.active()).unwrap_or(i64::MAX);
        self.progress = Some(Progress { left: i64::try_from(left).unwrap_or(i64::MAX), running });
        let steps = self.steps_of(class, placement, journal.action, &journal.victims, &journal.gone);
        self.shown = Some(shown_plan(&journal.hash, journal.action.as_str(), true, steps, false));
        let why = reason(journal.action);
        if let Some(contradiction) = journal.contradicts(self.spec) {
            return self.end(journal, Some(contradiction.to_owned()));
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(why, format!("an approved plan is under way; {wait}"));
        }
        if let Some(wait) = self.without_tenants(class) {
            return Part::Working(why, format!("an approved plan is under way; {wait}"));
        }
        if schema::class_factor(class) > self.spec.factor {
            self.put_factor(class, self.spec.factor);
            return Part::Working(why, format!("the factor of the class is lowered to {}", self.spec.factor));
        }
        match journal.action {
            Action::Remove => self.removing(class, placement, journal),
            Action::Replace => self.replacing(class, placement, journal),
            Action::Rebuild => self.rebuilding(class, placement, journal),
        }
    }

    pub(super) fn end(&mut self, journal: &Journal, stopped: Option<String>) -> Part {
        let message = stopped.clone().unwrap_or_else(|| "the approved plan is done".to_owned());
        self.recheck = Some(RECHECK);
        self.steps.push(Step::WriteRepair(Box::new(journal.ended(stopped, self.now))));
        Part::Working(reason(journal.action), message)
    }

    /// Whether operations of the collection are still listed: while any runs the servers refuse to take replicas away,
    /// and the record of one that ended goes first.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(&self.observed.operations, Sight::Seen(operations) if operations.is_empty())
    }

    fn removing(&mut self, class: &Value, placement: &[ShardReplicas], journal: &Journal) -> Part {
        if self.is_busy() {
            return Part::Working(Reason::Removing, "waiting until no copy of the collection is listed".to_owned());
        }
        let is_listed = |victim: &Replica| {
            placement.iter().any(|shard| shard.shard == victim.shard && shard.replicas.contains(&victim.node))
        };
        let rest = journal.victims.iter().enumerate().skip(journal.cursor).find(|(_, victim)| is_listed(victim));
        let Some((at, _)) = rest else { return self.end(journal, None) };
        let mut journal = journal.clone();
        if at > journal.cursor {
            journal = Journal { cursor: at, since: self.now, ..journal };
            self.steps.push(Step::WriteRepair(Box::new(journal.clone())));
        }
        if self.now.duration_since(journal.since) > PATIENCE {
            let why =
                "the replica could not be shown to be no loss for 10 minutes; see the condition before".to_owned();
            return self.end(&journal, Some(why));
        }
        let members = self.members();
        let needed = usize::try_from(self.spec.factor).unwrap_or(usize::MAX).max(1);
        let mut seen: Vec<&str> = Vec::new();
        for victim in journal.victims.iter().skip(at).filter(|victim| is_listed(victim)).take(REMOVALS) {
            // Of one shard only one replica a round: the next starts from what is left then.
            if seen.contains(&victim.shard.as_str()) {
                continue;
            }
            seen.push(&victim.shard);
            let keepers = repair::keepers(placement, victim, &members);
            if keepers.len() < needed {
                let why =
                    format!("shard {} would be left with {} living replicas of {needed}", victim.shard, keepers.len());
                return self.end(&journal, Some(why));
            }
            if !members.contains(&victim.node) {
                let why = format!(
                    "{} is not alive, so what it holds of shard {} cannot be compared with the others",
                    victim.node, victim.shard
                );
                return self.end(&journal, Some(why));
            }
            if self.activity(class, &victim.shard) != Some(Activity::Hot) {
                let why = format!("tenant {} is not active, so its objects cannot be compared", victim.shard);
                return self.end(&journal, Some(why));
            }
            self.steps.push(Step::RemoveReplica(Removal {
                victim: victim.clone(),
                keepers,
                compared: true,
                tenant: schema::is_multi_tenant(class),
                needed,
            }));
        }
        Part::Working(Reason::Removing, "replicas that are more than wanted are being taken away".to_owned())
    }

    fn rebuilding(&mut self, class: &Value, placement: &[ShardReplicas], journal: &Journal) -> Part {
        let live = schema::class_factor(class);
        let Some(victim) = journal.victim() else {
            if self.is_busy() {
                return Part::Working(Reason::Rebuilding, "waiting until the last copy has ended".to_owned());
            }
            if live < self.spec.factor {
                return self.factor(class);
            }
            return self.end(journal, None);
        };
        if self.now.duration_since(journal.since) > PATIENCE && !journal.removed {
            let why = format!("shard {} at {} could not be made anew for 10 minutes", victim.shard, victim.node);
            return self.end(journal, Some(why));
        }
        let text = format!("{} of {} replicas that lack objects were made anew", journal.cursor, journal.victims.len());
        let operations = self.observed.operations.seen().cloned().unwrap_or_default();
        if self.is_busy() {
            return Part::Working(Reason::Rebuilding, text);
        }
        let Some(shard) = placement.iter().find(|shard| shard.shard == victim.shard) else {
            self.steps.push(Step::WriteRepair(Box::new(journal.next(self.now))));
            return Part::Working(Reason::Rebuilding, text);
        };
        let is_listed = shard.replicas.contains(&victim.node);
        let members = self.members();
        let keepers = repair::keepers(placement, victim, &members);
        match (journal.removed, is_listed) {
            (true, true) => self.steps.push(Step::WriteRepair(Box::new(journal.next(self.now)))),
            (false, false) => {
                self.steps.push(Step::WriteRepair(Box::new(Journal {
                    removed: true,
                    since: self.now,
                    ..journal.clone()
                })));
            }
            (true, false) => {
                let none = self.observed.repair.full.get(&victim.node);
                if let Some(words) = none {
                    let message =
                        format!("{} has no room for shard {}: {words}; enlarge its volume", victim.node, victim.shard);
                    return Part::Stuck(Reason::NoRoom, message);
                }
                let Some(source) = keepers.first() else {
                    return self.end(journal, Some(format!("no living node holds shard {}", victim.shard)));
                };
                if operations.is_empty() {
                    self.steps.push(Step::Copy(Copy {
                        shard: victim.shard.clone(),
                        source: source.clone(),
                        target: victim.node.clone(),
                    }));
                }
            }
            (false, true) => {
                let lowered = self.spec.factor - 1;
                if live > lowered {
                    self.put_factor(class, lowered);
                    return Part::Working(
                        Reason::Rebuilding,
                        format!("the factor of the class is lowered to {lowered}"),
                    );
                }
                let needed = usize::try_from(lowered).unwrap_or(usize::MAX).max(1);
                if keepers.len() < needed {
                    let why = format!("shard {} would be left with {} living replicas", victim.shard, keepers.len());
                    return self.end(journal, Some(why));
                }
                self.steps.push(Step::RemoveReplica(Removal {
                    victim: victim.clone(),
                    keepers,
                    compared: true,
                    tenant: schema::is_multi_tenant(class),
                    needed,
                }));
                self.steps.push(Step::WriteRepair(Box::new(Journal {
                    removed: true,
                    since: self.now,
                    ..journal.clone()
                })));
            }
        }
        Part::Working(Reason::Rebuilding, text)
    }
}
