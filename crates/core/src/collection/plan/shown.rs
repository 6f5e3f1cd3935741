//! What is shown of a plan, and the conditions that follow from it.

use elysia_api::collection::PlanStatus;
use elysia_api::condition::{ConditionType, Reason};

use super::Part;
use crate::condition::Finding;

/// What a person types to approve a plan. The admission policy asks who it is that approves.
pub(super) fn approval_command(name: &str, hash: &str) -> String {
    format!(
        "kubectl elysia repair approve {name}, or: kubectl annotate --overwrite elysiacollection {name} elysia.dev/approve={hash} elysia.dev/approved-by=\"$(kubectl auth whoami --output jsonpath='{{.status.userInfo.username}}')\""
    )
}

pub(super) fn shown_plan(
    hash: &str,
    action: &str,
    destructive: bool,
    mut steps: Vec<String>,
    waits: bool,
) -> PlanStatus {
    let total_steps = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    steps.truncate(elysia_api::STATUS_LIST_LIMIT);
    PlanStatus {
        hash: hash.to_owned(),
        action: action.to_owned(),
        destructive,
        steps,
        total_steps,
        waiting_for: waits.then(|| format!("approval: elysia.dev/approve={hash}")),
        // Known to whoever has the status before.
        since: None,
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
pub(super) fn findings(schema: &Part, replicas: &Part, available: Option<&str>) -> Vec<Finding> {
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
