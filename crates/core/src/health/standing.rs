//! How one object stands, read from its conditions.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::names::PAUSED_ANNOTATION;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ResourceExt;
use serde::Serialize;

use super::{Malformed, Verdict};
use crate::condition::find;

/// Reason of an object whose good status is as old as the silence of the operator.
pub(super) const OPERATOR_SILENT: &str = "OperatorSilent";

/// Reasons that a healthy object passes through on its way.
const STAGES: [Reason; 9] = [
    Reason::Starting,
    Reason::Creating,
    Reason::Restoring,
    Reason::ReplicasBehind,
    Reason::Copying,
    Reason::Proving,
    Reason::Recreating,
    Reason::Migrating,
    Reason::Running,
];

/// How one object stands, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Whether it is well.
    pub verdict: Verdict,
    /// One word for why; the reason of the condition that decided, where one did.
    pub reason: String,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Work is under way: the verdict may mend itself.
    #[serde(skip_serializing_if = "is_false")]
    pub reconciling: bool,
    /// Nothing will move without a person.
    #[serde(skip_serializing_if = "is_false")]
    pub stalled: bool,
    /// What a person should know although it is no fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The next command to run; absent where the message already names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The conditions as they stand in the object, sorted by type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Standing {
    /// Reads the conditions of one object.
    ///
    /// | deleted | status of this generation | Stalled        | Ready              | verdict |
    /// |---------|---------------------------|----------------|--------------------|---------|
    /// | yes     |                           |                |                    | unknown |
    /// | no      | none, or of an older spec |                |                    | unknown |
    /// | no      | yes                       | True           |                    | fault   |
    /// | no      | yes                       | no, or Paused  | True               | healthy |
    /// | no      | yes                       | no, or Paused  | False              | fault   |
    /// | no      | yes                       | no, or Paused  | False, for Paused  | unknown |
    /// | no      | yes                       | no, or Paused  | Unknown, or absent | unknown |
    ///
    /// Work under way is a fault, because it is not yet as declared; `reconciling` tells the
    /// difference. Paused is no fault of its own: a person did it, and a warning says so.
    pub(super) fn read(object: &impl ResourceExt, observed: Option<i64>, conditions: &[Condition]) -> Self {
        let generation = object.meta().generation.unwrap_or_default();
        let mut standing = Self::decide(object, generation, observed, conditions);
        standing.conditions = conditions.to_vec();
        standing.conditions.sort_by(|left, right| left.type_.cmp(&right.type_));
        if object.annotations().get(PAUSED_ANNOTATION).is_some_and(|value| value == "true") {
            standing.warnings.push("paused: it is looked at, and nothing is done".to_owned());
        }
        standing
    }

    fn decide(object: &impl ResourceExt, generation: i64, observed: Option<i64>, conditions: &[Condition]) -> Self {
        if object.meta().deletion_timestamp.is_some() {
            return Self::unknown("Deleting", "it is being deleted");
        }
        let Some(observed) = observed else {
            return Self::unknown("NotObserved", "the operator has not looked at it yet");
        };
        let Some(ready) = find(conditions, ConditionType::Ready) else {
            return Self::unknown("NotObserved", "the operator has not said yet whether it is ready");
        };
        let spoken_about = ready.observed_generation.map_or(observed, |of| of.min(observed));
        if spoken_about < generation {
            let message = format!("the status speaks about generation {spoken_about}, the spec is at {generation}");
            return Self::unknown("Outdated", &message);
        }
        let deciding = match find(conditions, ConditionType::Stalled) {
            // Contradiction: the one that needs a person speaks.
            Some(stalled) if stalled.status == "True" && ready.status == "True" && !is_pause(stalled) => stalled,
            _ => ready,
        };
        Self {
            reconciling: is(conditions, ConditionType::Reconciling) == Some(true),
            stalled: is(conditions, ConditionType::Stalled) == Some(true),
            ..Self::new(verdict(ready, conditions), &deciding.reason, &deciding.message)
        }
    }

    /// An object that was listed and could not be understood.
    pub(super) fn malformed(object: &Malformed) -> Self {
        let message = format!("this plug-in cannot read it: {}", object.message);
        let mut standing = Self::unknown("Malformed", &message);
        standing.next = Some("kubectl elysia version".to_owned());
        standing
    }

    /// A standing that no condition decided.
    pub(super) fn new(verdict: Verdict, reason: &str, message: &str) -> Self {
        Self {
            verdict,
            reason: reason.to_owned(),
            message: message.to_owned(),
            reconciling: false,
            stalled: false,
            warnings: Vec::new(),
            next: None,
            conditions: Vec::new(),
        }
    }

    fn unknown(reason: &str, message: &str) -> Self {
        Self::new(Verdict::Unknown, reason, message)
    }

    /// Sets the next command, unless there is nothing to mend or the message already names one.
    pub(super) fn advise(&mut self, command: String) {
        if self.verdict != Verdict::Healthy && !self.message.contains("kubectl ") {
            self.next = Some(command);
        }
    }

    /// The operator is silent: a good word of it is hearsay now. A fault stays one until somebody has seen it mended.
    pub(super) fn doubt_for_silence(&mut self) {
        if self.verdict == Verdict::Healthy {
            self.verdict = Verdict::Unknown;
            self.message = format!("last reported {}; the operator has been silent since", self.reason);
            OPERATOR_SILENT.clone_into(&mut self.reason);
        }
    }

    /// The object's cluster was not there: whatever good its status says is older than that.
    pub(super) fn doubt_for_missing_cluster(&mut self, cluster: &str) {
        if self.verdict == Verdict::Healthy {
            self.verdict = Verdict::Unknown;
            self.message = format!("there is no WeaviateCluster {cluster:?} in its namespace");
            Reason::ClusterMissing.as_str().clone_into(&mut self.reason);
        }
    }

    /// Whether a person has told the operator to keep its hands off.
    pub(super) fn is_paused(&self) -> bool {
        self.conditions.iter().any(|condition| {
            let decides = condition.type_ == ConditionType::Stalled.as_str() && condition.status == "True";
            is_pause(condition) && (decides || condition.type_ == ConditionType::Ready.as_str())
        })
    }

    /// Whether the standing follows from the operator's silence and says nothing of its own.
    pub(super) fn only_doubted(&self) -> bool {
        self.reason == OPERATOR_SILENT
    }

    /// Whether the reason is a stage of ordinary work. A node that is missing is being waited for too, and is no stage.
    fn is_progress(&self) -> bool {
        STAGES.iter().any(|stage| stage.as_str() == self.reason)
    }

    /// One word for people: the verdict, and what kind of fault it is.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Fault if self.stalled => "stalled",
            Verdict::Fault if self.reconciling && self.is_progress() => "working",
            verdict => verdict.as_str(),
        }
    }
}

fn is_pause(condition: &Condition) -> bool {
    condition.reason == Reason::Paused.as_str()
}

fn verdict(ready: &Condition, conditions: &[Condition]) -> Verdict {
    // Who pauses an object knows that it stands still; Ready says whether that has done harm.
    if find(conditions, ConditionType::Stalled).is_some_and(|stalled| stalled.status == "True" && !is_pause(stalled)) {
        return Verdict::Fault;
    }
    match ready.status.as_str() {
        "True" => Verdict::Healthy,
        "False" if is_pause(ready) => Verdict::Unknown,
        "False" => Verdict::Fault,
        _ => Verdict::Unknown,
    }
}

/// Whether a condition is True or False; `None` when it is absent or Unknown.
pub(super) fn is(conditions: &[Condition], wanted: ConditionType) -> Option<bool> {
    match find(conditions, wanted)?.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}
