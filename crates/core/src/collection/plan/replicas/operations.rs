//! Operations that the servers know of, ours and others': ended ones are forgotten, stuck ones dealt with.

use elysia_api::condition::Reason;
use jiff::{SignedDuration, Timestamp};

use super::super::super::observed::{Operation, OperationState, Stage};
use super::super::super::repair::{INTEGRATES, STUCK};
use super::super::{Planner, RECHECK, RECHECK_LATER, Step};
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
}

/// Who is who.
pub(super) struct Who<'a> {
    /// Members that are alive.
    pub(super) members: &'a [String],
    /// Nodes that should exist.
    pub(super) declared: &'a [String],
    /// Names in the RAFT configuration, if it was asked.
    pub(super) raft: &'a [String],
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
        let whom = if absent.is_empty() { "a member that is not known here".to_owned() } else { absent.join(", ") };
        let message = format!(
            "the copy of shard {shard} to {target} waits for every member of RAFT, and {whom} is away: start it, or take a node that is gone for ever out of the WeaviateCluster's nodes"
        );
        return Deal::Tell(Reason::CopyStuck, message);
    }
    if operation.dropping {
        // A target that is there deletes within seconds (`weaviate-lab` §7); for one that is not, nobody does.
        return if age > STUCK { Deal::Drop } else { Deal::Leave };
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
    if age > STUCK && operation.stage == Stage::Registered {
        let message = format!("{target} has not taken up the copy of shard {shard}: look at its log");
        return Deal::Tell(Reason::CopyStuck, message);
    }
    Deal::Leave
}

impl Planner<'_> {
    /// Deals with every operation of the collection; what a person should know of them.
    pub(super) fn operations(&mut self) -> Option<(Reason, String)> {
        let (Sight::Seen(operations), Sight::Seen(members)) = (&self.observed.operations, &self.observed.members)
        else {
            return None;
        };
        let repair = &self.observed.repair;
        let raft = repair.raft.as_ref().and_then(Sight::seen).map(Vec::as_slice).unwrap_or_default();
        let who = Who { members, declared: &self.observed.nodes, raft };
        let mut told = None;
        for operation in operations {
            let since: Timestamp = repair.seen.get(&operation.id).copied().unwrap_or(self.now);
            match deal(operation, self.now.duration_since(since), &who) {
                Deal::Leave if operation.state == OperationState::Active => {}
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
                    told.get_or_insert((reason, message));
                }
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_about_an_operation() {
        let names = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let (members, declared, raft) = (names("ab"), names("abd"), names("abdr"));
        let who = Who { members: &members, declared: &declared, raft: &raft };
        // state, stage, source, target, move, dropping, seconds
        let table = [
            ("ready", "", "a", "b", false, false, 0, "forget"),
            ("cancelled", "", "a", "b", false, false, 0, "forget"),
            ("ready", "", "a", "b", true, false, 0, "forget"),
            ("ready", "", "a", "b", false, true, 5, "leave"),
            ("ready", "", "a", "b", false, true, 500, "drop"),
            ("active", "registered", "a", "b", false, false, 60, "leave"),
            ("active", "registered", "a", "b", false, false, 500, "tell: b has not taken"),
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
                    _ => Stage::Copying,
                },
                moves,
                dropping,
                error: None,
            };
            let dealt = match deal(&operation, SignedDuration::from_secs(seconds), &who) {
                Deal::Leave => "leave".to_owned(),
                Deal::Forget => "forget".to_owned(),
                Deal::Drop => "drop".to_owned(),
                Deal::Tell(_, message) => format!("tell: {message}"),
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
        let who = Who { members: &members, declared: &members, raft: &[] };
        assert_eq!(deal(&operation, SignedDuration::ZERO, &who), Deal::Forget);
    }
}
