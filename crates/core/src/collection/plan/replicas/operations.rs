//! Operations that the servers know of, ours and others': ended ones are forgotten, stuck ones dealt with.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::condition::Reason;
use jiff::SignedDuration;

use super::super::super::observed::{Operation, OperationState, Stage};
use super::super::super::repair::{HANGS, INTEGRATES, Restarter, STUCK, TROUBLED};
use super::super::{Part, Planner, RECHECK, RECHECK_LATER, Step};
use crate::sight::Sight;

/// What the servers say of a full disk: Go's text of `ENOSPC`, inside their own.
const NO_SPACE: &str = "no space left on device";

/// What is done about one operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Deal {
    /// Nothing.
    Leave,
    /// It is cancelled, cleaned up, and its record goes.
    Forget,
    /// Its record goes, without any cleaning: nobody is there to do it.
    Drop,
    /// A person should know.
    Tell(Reason, String),
    /// Its target does not do what it is asked to: that node has to be restarted.
    Hung,
}

/// Who is who.
pub(super) struct Who<'a> {
    /// Members that are alive.
    pub(super) members: &'a [String],
    /// Nodes that should exist.
    pub(super) declared: &'a [String],
    /// Names in the RAFT configuration, if it was asked.
    pub(super) raft: &'a [String],
    /// Copies that get on, to each node.
    pub(super) busy: &'a BTreeMap<String, usize>,
}

impl Who<'_> {
    fn is_alive(&self, node: &str) -> bool {
        self.members.iter().any(|member| member == node)
    }

    /// Neither alive nor declared: it will not come.
    fn is_nobody(&self, node: &str) -> bool {
        !self.is_alive(node) && !self.declared.iter().any(|declared| declared == node)
    }

    fn absent(&self) -> Vec<&str> {
        let mut absent: Vec<&str> =
            self.raft.iter().chain(self.declared).map(String::as_str).filter(|node| !self.is_alive(node)).collect();
        absent.sort_unstable();
        absent.dedup();
        absent
    }
}

/// Whether this is the server's word for a full disk.
pub fn is_no_space(error: &str) -> bool {
    error.contains(NO_SPACE)
}

/// What is done about an operation that has stood where it is for this long.
///
/// A left-over record can keep a server from starting again (`weaviate-lab` §0.6), so each goes at once. Somebody's move
/// that runs is never touched.
pub(super) fn deal(operation: &Operation, age: SignedDuration, who: &Who<'_>) -> Deal {
    let Operation { shard, source, target, .. } = operation;
    match operation.state {
        OperationState::Ready | OperationState::Cancelled if !operation.dropping => return Deal::Forget,
        OperationState::Ready | OperationState::Cancelled if age > STUCK => return Deal::Drop,
        OperationState::Ready | OperationState::Cancelled => return Deal::Leave,
        OperationState::Active if operation.moves => return Deal::Leave,
        OperationState::Active => {}
    }
    if operation.stage == Stage::Integrating {
        if age <= INTEGRATES {
            return Deal::Leave;
        }
        let absent = who.absent();
        let message = if absent.is_empty() {
            // So it was while the replication engine of a third node hung.
            format!(
                "the copy of shard {shard} to {target} waits for every member of RAFT, and one of them does not answer for it although all are alive: the replication engine of one may hang, which the next copy to it shows"
            )
        } else {
            format!(
                "the copy of shard {shard} to {target} waits for every member of RAFT, and {} is away: start it, or take a node that is gone for ever out of the WeaviateCluster's nodes",
                absent.join(", ")
            )
        };
        return Deal::Tell(Reason::CopyStuck, message);
    }
    if operation.dropping {
        // A target that is there deletes within seconds (`weaviate-lab` §7); for one that is not, nobody does. To drop the
        // record of one that is there would hide that it hangs: the next copy to it would not be taken up either.
        return match who.is_alive(target) {
            true if age > HANGS => Deal::Hung,
            false if age > STUCK => Deal::Drop,
            _ => Deal::Leave,
        };
    }
    if operation.error.as_deref().is_some_and(is_no_space) {
        return Deal::Forget;
    }
    if age > STUCK && (who.is_nobody(target) || !who.is_alive(source)) {
        return Deal::Forget;
    }
    if age > STUCK && !who.is_alive(target) {
        return Deal::Tell(
            Reason::CopyStuck,
            format!("the copy of shard {shard} waits for its target {target}: start it"),
        );
    }
    if age > TROUBLED && operation.error.is_some() && who.is_alive(target) {
        return Deal::Forget;
    }
    if age > STUCK && operation.stage == Stage::Registered {
        // Others get on there: it may only wait for its turn, 10 run at a time.
        if who.busy.get(target).is_some_and(|copies| *copies > 0) {
            let message = format!("{target} has not taken up the copy of shard {shard}, but carries out others");
            return Deal::Tell(Reason::CopyStuck, message);
        }
        return Deal::Forget;
    }
    Deal::Leave
}

impl Planner<'_> {
    /// What is done about each operation of the collection; nothing while members or operations are not known.
    fn deals(&self) -> Vec<(&Operation, Deal)> {
        let (Sight::Seen(operations), Sight::Seen(members)) = (&self.observed.operations, &self.observed.members)
        else {
            return Vec::new();
        };
        let repair = &self.observed.repair;
        let raft = repair.raft.as_ref().and_then(Sight::seen).map(Vec::as_slice).unwrap_or_default();
        let who = Who { members, declared: &self.observed.nodes, raft, busy: &repair.busy };
        let since = |operation: &Operation| repair.seen.get(&operation.id).copied().unwrap_or(self.now);
        let age = |operation| self.now.duration_since(since(operation));
        operations.iter().map(|operation| (operation, deal(operation, age(operation), &who))).collect()
    }

    /// Nodes whose replication engine hangs. A further copy to one of them would only wait there.
    pub(super) fn hung(&self) -> BTreeSet<String> {
        let hung = self.deals().into_iter().filter(|(_, deal)| *deal == Deal::Hung);
        hung.map(|(operation, _)| operation.target.clone()).collect()
    }

    /// Deals with every operation of the collection; what is to be told of them.
    pub(super) fn operations(&mut self) -> Option<Part> {
        let deals: Vec<(Operation, Deal)> =
            self.deals().into_iter().map(|(operation, deal)| (operation.clone(), deal)).collect();
        let (mut told, mut hung) = (None, None);
        for (operation, deal) in deals {
            match deal {
                Deal::Leave if operation.state == OperationState::Active && !operation.dropping => {}
                Deal::Leave => self.recheck = Some(RECHECK),
                Deal::Forget => {
                    self.steps.push(Step::ForgetOperation(operation.id.clone()));
                    self.recheck = Some(RECHECK);
                }
                Deal::Drop => {
                    self.steps.push(Step::DropOperation(operation.id.clone()));
                    self.recheck = Some(RECHECK);
                }
                Deal::Tell(reason, message) => {
                    self.recheck = Some(RECHECK_LATER);
                    told.get_or_insert(Part::Stuck(reason, message));
                }
                Deal::Hung => {
                    self.recheck = Some(RECHECK_LATER);
                    hung = hung.or_else(|| Some(self.restart_of(&operation)));
                }
            }
        }
        // Before anything else: it holds up whatever is to be copied to that node.
        hung.or(told)
    }

    /// Who restarts the node that does not delete this operation.
    fn restart_of(&self, operation: &Operation) -> Part {
        let Operation { shard, target, .. } = operation;
        let what = format!(
            "{target} has not deleted the copy of shard {shard} for more than {} s: its replication engine hangs, and no copy to it gets on",
            HANGS.as_secs()
        );
        let cluster = &self.spec.cluster;
        match &self.observed.repair.restarter {
            Restarter::Person => Part::Stuck(
                Reason::CopyStuck,
                format!(
                    "{what}. Restart the server {target}, and only that one, by SIGTERM while all others are ready (systemctl restart, kubectl delete pod, docker restart); the copies go on within a minute"
                ),
            ),
            Restarter::Operator(Some(hung)) if hung.node == *target => {
                let why = hung.waiting_for.as_deref().unwrap_or("it is being restarted");
                if hung.needs_person {
                    Part::Stuck(Reason::CopyStuck, format!("{what}. The operator does not restart it: {why}"))
                } else {
                    Part::Working(Reason::CopyStuck, format!("{what}. The operator restarts it: {why}"))
                }
            }
            Restarter::Operator(_) => Part::Working(
                Reason::CopyStuck,
                format!(
                    "{what}. The operator restarts the pod {target}, one at a time: kubectl get weaviatecluster {cluster} --output yaml shows in status.hungEngine what it waits for"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_about_an_operation() {
        let names = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let (members, declared, raft) = (names("ab"), names("abd"), names("abdr"));
        let busy = [("a".to_owned(), 1)].into();
        let who = Who { members: &members, declared: &declared, raft: &raft, busy: &busy };
        // state, stage, source, target, move, dropping, seconds
        let table = [
            ("ready", "", "a", "b", false, false, 0, "forget"),
            ("cancelled", "", "a", "b", false, false, 0, "forget"),
            ("ready", "", "a", "b", true, false, 0, "forget"),
            ("ready", "", "a", "b", false, true, 5, "leave"),
            ("ready", "", "a", "b", false, true, 500, "drop"),
            ("active", "registered", "a", "b", false, false, 60, "leave"),
            ("active", "registered", "a", "b", false, false, 120, "leave"),
            ("active", "registered", "a", "b", false, false, 121, "forget"),
            // It may wait for its turn.
            ("active", "registered", "b", "a", false, false, 500, "tell: a has not taken up the copy of shard s, but"),
            // A target that lives deletes; one that does not hangs.
            ("active", "copying", "a", "b", false, true, 60, "leave"),
            ("active", "copying", "a", "b", false, true, 61, "hung"),
            ("active", "registered", "a", "b", false, true, 5000, "hung"),
            ("active", "registered", "d", "b", false, true, 5000, "hung"),
            // Declared and away: nobody is there to delete.
            ("active", "registered", "a", "d", false, true, 120, "leave"),
            ("active", "registered", "a", "d", false, true, 121, "drop"),
            // With errors.
            ("active", "troubled", "a", "b", false, false, 60, "leave"),
            ("active", "troubled", "a", "b", false, false, 61, "forget"),
            ("active", "troubled", "d", "b", false, false, 61, "forget"),
            ("active", "troubled", "a", "d", false, false, 61, "leave"),
            ("active", "troubled", "a", "d", false, false, 121, "tell: the copy of shard s waits for its target d"),
            ("active", "troubled", "a", "b", true, false, 5000, "leave"),
            ("active", "troubled", "a", "b", false, true, 61, "hung"),
            ("active", "registered", "a", "x", false, false, 60, "leave"),
            ("active", "registered", "a", "x", false, false, 500, "forget"),
            ("active", "registered", "a", "x", false, true, 60, "leave"),
            ("active", "registered", "a", "x", false, true, 500, "drop"),
            // Declared: it may come back.
            ("active", "copying", "a", "d", false, false, 500, "tell: the copy of shard s waits for its target d"),
            ("active", "copying", "d", "b", false, false, 60, "leave"),
            ("active", "copying", "d", "b", false, false, 500, "forget"),
            ("active", "copying", "a", "b", false, false, 5000, "leave"),
            ("active", "integrating", "a", "b", false, false, 10, "leave"),
            (
                "active",
                "integrating",
                "a",
                "b",
                false,
                true,
                500,
                "tell: the copy of shard s to b waits for every member of RAFT, and d, r is away",
            ),
            // Somebody's move is never touched.
            ("active", "registered", "a", "x", true, false, 5000, "leave"),
            ("active", "integrating", "a", "b", true, false, 5000, "leave"),
        ];
        for (state, stage, source, target, moves, dropping, seconds, expected) in table {
            let operation = Operation {
                id: "1".to_owned(),
                shard: "s".to_owned(),
                source: source.to_owned(),
                target: target.to_owned(),
                state: match state {
                    "ready" => OperationState::Ready,
                    "cancelled" => OperationState::Cancelled,
                    _ => OperationState::Active,
                },
                stage: match stage {
                    "registered" => Stage::Registered,
                    "integrating" => Stage::Integrating,
                    "troubled" => Stage::Finalizing,
                    _ => Stage::Copying,
                },
                moves,
                dropping,
                error: (stage == "troubled").then(|| "no active change-capture log for that op-id".to_owned()),
            };
            let dealt = match deal(&operation, SignedDuration::from_secs(seconds), &who) {
                Deal::Leave => "leave".to_owned(),
                Deal::Forget => "forget".to_owned(),
                Deal::Drop => "drop".to_owned(),
                Deal::Tell(_, message) => format!("tell: {message}"),
                Deal::Hung => "hung".to_owned(),
            };
            assert!(dealt.starts_with(expected), "{operation:?} {seconds}: {dealt}");
        }
    }

    #[test]
    fn a_target_without_room_is_given_up() {
        // As 1.38.2 said it.
        let error = r#"failed to download files: writing chunks to file "/d/x.db.tmp": write /d/x.db.tmp: no space left on device"#;
        let operation = Operation { error: Some(error.to_owned()), target: "b".to_owned(), ..Operation::default() };
        let members = ["a".to_owned(), "b".to_owned()];
        let who = Who { members: &members, declared: &members, raft: &[], busy: &BTreeMap::new() };
        assert_eq!(deal(&operation, SignedDuration::ZERO, &who), Deal::Forget);
    }
}
