//! How a policy stands by what its ledger says, whatever is being done.

use elysia_api::collection::PlanStatus;
use elysia_api::condition::{ConditionType, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::ledger::{BackupLedger, RunNote};
use super::{BackupSpec, Observed, Plan, RECHECK_AT_REST, RECHECK_LATER, at_rest, drill};
use crate::condition::{self, Finding};
use crate::fingerprint;

/// Whether the newest run was read back.
pub(super) fn verified(ledger: &BackupLedger) -> Finding {
    let kind = ConditionType::Verified;
    let Some(run) = ledger.runs.first() else {
        return Finding::unknown(kind, Reason::NoRun, "there is no run yet");
    };
    if run.is_damaged {
        return Finding::fails(kind, Reason::VerificationFailed, damaged(run));
    }
    if let Some(finding) = drill::verified(ledger) {
        return finding;
    }
    if let Some(at) = run.verified_at {
        let message = format!("run {} was read back at {}", run.id, condition::whole_seconds(at));
        return Finding::holds(kind, Reason::Verified, message);
    }
    let message = format!(
        "run {} was not read back; see what keeps it: spec.verify.afterRun, or the message of status.run",
        run.id
    );
    Finding::fails(kind, Reason::NotVerified, message)
}

fn damaged(run: &RunNote) -> String {
    format!("run {} is not what was written: {}", run.id, run.suspect.join("; "))
}

/// Nothing is meant yet: the schedule's first time has not come.
pub(super) fn waits_for_run(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> Plan {
    let mut plan = standing(spec, observed, ledger);
    plan.recheck = Some(RECHECK_AT_REST);
    plan
}

/// Ready and Verified, by the newest run.
pub(super) fn standing(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> Plan {
    let mut plan = at_rest(Vec::new(), Some(RECHECK_AT_REST));
    let newest = ledger.runs.first();
    match newest {
        Some(run) if run.is_damaged => {
            let message = format!(
                "{}; restore from an earlier one, and begin another: kubectl annotate --overwrite collectionbackup {} --namespace {} elysia.dev/run-now=$(date +%s)",
                damaged(run),
                spec.name,
                spec.namespace
            );
            plan.findings = stalled(Reason::VerificationFailed, message);
        }
        Some(run) if run.is_suspect() => {
            let (shown, message) = suspect(spec, run);
            plan.findings = stalled(Reason::Suspect, message);
            plan.shown = Some(shown);
            plan.recheck = Some(RECHECK_LATER);
        }
        _ => {
            plan.findings = match drill::failed(ledger) {
                Some(found) => drill::findings(spec, found),
                None => vec![Finding::holds(ConditionType::Ready, reason(spec), message(spec, observed, ledger))],
            };
        }
    }
    plan.findings.insert(1, verified(ledger));
    plan
}

pub(super) fn stalled(reason: Reason, message: String) -> Vec<Finding> {
    vec![
        Finding::fails(ConditionType::Ready, reason, message.clone()),
        Finding::holds(ConditionType::Stalled, reason, message),
    ]
}

fn reason(spec: &BackupSpec) -> Reason {
    if spec.timetable.is_some() { Reason::Scheduled } else { Reason::Complete }
}

fn message(spec: &BackupSpec, observed: &Observed, ledger: &BackupLedger) -> String {
    let mut parts = Vec::new();
    if let Some(run) = ledger.runs.first() {
        parts.push(format!("run {} has {} objects in {} bytes", run.id, run.objects, run.bytes));
        if let Some((name, why)) = run.left_out.first_key_value() {
            parts.push(format!("it leaves out {} collections, {name} because {why}", run.count_left_out()));
        }
        if ledger.totals.suspect > 0 {
            let blocked = "nothing older than a Suspect run is retired: kubectl elysia backup ls";
            parts.push(format!("{} of {} runs are Suspect; {blocked}", ledger.totals.suspect, ledger.totals.runs));
        }
    }
    if let Some(trouble) = ledger.attempt.as_ref().and_then(|attempt| attempt.trouble.as_deref()) {
        parts.push(trouble.to_owned());
    }
    if let Some((declared, live)) = spec.migrated.first_key_value() {
        let more = match spec.migrated.len() - 1 {
            0 => String::new(),
            more => format!(", and so are {more} more"),
        };
        parts.push(format!("{declared} was migrated: {live} is live and backed up in its place{more}"));
    }
    parts.extend(drill::words(ledger));
    parts.extend(drill::leavings(observed, ledger));
    if let Some(timetable) = &spec.timetable {
        parts.push(timetable.next(observed.now).map_or_else(
            || "schedule.suspend is true: no run starts".to_owned(),
            |next| format!("the next run is due at {next}"),
        ));
    }
    parts.join("; ")
}

/// Covers the policy, the run and what is found of it.
fn hash(spec: &BackupSpec, run: &RunNote) -> String {
    fingerprint::short(&("accept", &spec.uid, &run.id, &run.suspect))
}

/// The Suspect run that a person accepts, with the hash; `None` when nobody does.
pub(super) fn accepted(spec: &BackupSpec, ledger: &BackupLedger) -> Option<(String, String)> {
    let run = ledger.runs.first().filter(|run| run.is_suspect() && !run.is_damaged)?;
    let hash = hash(spec, run);
    (spec.approve.as_ref() == Some(&hash)).then(|| (hash, run.id.clone()))
}

fn suspect(spec: &BackupSpec, run: &RunNote) -> (PlanStatus, String) {
    let hash = hash(spec, run);
    let why = run.suspect.join("; ");
    let message = format!(
        "run {} is Suspect: {why}. Nothing is retired meanwhile. Is that as it should be? Then accept it: kubectl annotate --overwrite collectionbackup {} --namespace {} elysia.dev/approve={hash} elysia.dev/approved-by=\"$(kubectl auth whoami --output jsonpath='{{.status.userInfo.username}}')\"",
        run.id, spec.name, spec.namespace,
    );
    let shown = PlanStatus {
        waiting_for: Some(format!("approval: elysia.dev/approve={hash}")),
        hash,
        action: "Accept".to_owned(),
        destructive: true,
        steps: vec![format!("accept run {}, though {why}; runs before it are retired again", run.id)],
        total_steps: 1,
        since: Some(Time(condition::whole_seconds(run.finished_at))),
    };
    (shown, message)
}
