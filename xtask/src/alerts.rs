//! `alerts`: the chart's alerts, evaluated by Prometheus' own engine: each fires when it should, for whom it should, and not
//! before; and the expressions of the dashboards, read by its parser.
//!
//! That names and labels are exported ones, a unit test of the operator's metrics says.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::{Paths, evaluate_alerts, rendered};
use serde_json::{Value, json};

/// Ten hours of one value.
const LONG: &str = "x600";

/// One situation.
struct Case {
    alert: &'static str,
    /// What is exported, in promtool's notation: a value each minute.
    series: Vec<String>,
    minute: u32,
    /// Who it fires for: the label `name`, or nothing where it has none.
    firing: &'static [&'static str],
}

/// A series of one object.
fn of(metric: &str, name: &str, labels: &str, values: &str) -> String {
    let more = if labels.is_empty() { String::new() } else { format!(",{labels}") };
    format!(r#"{metric}{{namespace="ai",name="{name}"{more}}} {values}"#)
}

fn always(metric: &str, name: &str, labels: &str, value: u32) -> String {
    of(metric, name, labels, &format!("{value}{LONG}"))
}

fn case(alert: &'static str, minute: u32, firing: &'static [&'static str], series: Vec<String>) -> Case {
    Case { alert, series, minute, firing }
}

/// Every alert at least once firing and once not.
fn cases() -> Vec<Case> {
    [operator(), collections(), feeds(), backups()].into_iter().flatten().collect()
}

fn operator() -> Vec<Case> {
    const ALERT: &str = "ElysiaOperatorHasNoLeader";
    let pod = |pod: &str, values: &str| format!(r#"elysia_leader{{pod="{pod}"}} {values}"#);
    vec![
        case(ALERT, 10, &[""], vec![pod("a", "0x600"), pod("b", "0x600")]),
        // Nothing is scraped at all.
        case(ALERT, 10, &[""], vec![]),
        case(ALERT, 10, &[], vec![pod("a", "0x600"), pod("b", "1x600")]),
        // The next one leads within five minutes.
        case(ALERT, 10, &[], vec![pod("a", "1x5 0x600"), pod("b", "0x8 1x600")]),
    ]
}

fn collections() -> Vec<Case> {
    let replicas = |which: &str, values: &str| {
        of("elysia_collection_replicas", "articles", &format!(r#"which="{which}""#), values)
    };
    let waiting = |value| always("elysia_collection_plan_waiting", "articles", "", value);
    let age = |seconds: u32| always("elysia_collection_plan_age_seconds", "articles", "", seconds);
    let drift = |verdict: &str, value| {
        always("elysia_collection_drift_entries", "articles", &format!(r#"verdict="{verdict}""#), value)
    };
    let unequal = |which: &str, value| {
        always("elysia_collection_verification_objects", "articles", &format!(r#"which="{which}""#), value)
    };
    let stuck = |reason: &str| {
        always("elysia_stalled", "articles", &format!(r#"kind="ElysiaCollection",reason="{reason}""#), 1)
    };
    vec![
        case(
            "ElysiaCollectionReplicasMissing",
            30,
            &["articles"],
            vec![replicas("lowest", "2x600"), replicas("wanted", "3x600")],
        ),
        case(
            "ElysiaCollectionReplicasMissing",
            30,
            &[],
            vec![replicas("lowest", "2x20 3x600"), replicas("wanted", "3x600")],
        ),
        // Unknown is not zero.
        case("ElysiaCollectionReplicasMissing", 30, &[], vec![replicas("wanted", "3x600")]),
        case("ElysiaCollectionPlanWaits", 5, &["articles"], vec![waiting(1), age(90_000)]),
        case("ElysiaCollectionPlanWaits", 5, &[], vec![waiting(1), age(80_000)]),
        case("ElysiaCollectionPlanWaits", 5, &[], vec![waiting(0), age(90_000)]),
        case("ElysiaCollectionDrifted", 30, &["articles"], vec![drift("Report", 2)]),
        case("ElysiaCollectionDrifted", 10, &[], vec![drift("Report", 2)]),
        case("ElysiaCollectionDrifted", 30, &[], vec![drift("Adopt", 2), drift("Revert", 0)]),
        case("ElysiaCollectionObjectsLost", 30, &["articles"], vec![unequal("missing", 1), unequal("sampled", 100)]),
        case("ElysiaCollectionObjectsLost", 30, &[], vec![unequal("missing", 0), unequal("sampled", 100)]),
        case("ElysiaCollectionCopyStuck", 30, &["articles"], vec![stuck("NoRoom")]),
        case("ElysiaCollectionCopyStuck", 30, &[], vec![stuck("NeedsApproval")]),
    ]
}

fn feeds() -> Vec<Case> {
    let own = |metric: &str, value| always(metric, "wiki", r#"collection="Articles""#, value);
    let state = |value| always("elysia_feed_state", "wiki", r#"collection="Articles",state="Failed""#, value);
    let stalled =
        |reason: &str| always("elysia_stalled", "wiki", &format!(r#"kind="IndexSource",reason="{reason}""#), 1);
    vec![
        case("ElysiaFeedCircuitOpen", 30, &["wiki"], vec![own("elysia_feed_circuit_open", 1)]),
        case("ElysiaFeedCircuitOpen", 10, &[], vec![own("elysia_feed_circuit_open", 1)]),
        case("ElysiaFeedFailed", 30, &["wiki"], vec![state(1)]),
        case("ElysiaFeedFailed", 30, &["wiki"], vec![state(0), stalled("NeedsApproval")]),
        case("ElysiaFeedFailed", 30, &[], vec![state(0), stalled("Paused")]),
        case("ElysiaFeedBehind", 5, &["wiki"], vec![own("elysia_feed_behind_seconds", 4000)]),
        case(
            "ElysiaFeedBehind",
            5,
            &[],
            vec![own("elysia_feed_behind_seconds", 4000), own("elysia_feed_waiting_lines", 3)],
        ),
        case("ElysiaFeedBehind", 5, &[], vec![own("elysia_feed_behind_seconds", 3000)]),
    ]
}

fn backups() -> Vec<Case> {
    let state = |state: &str, value| always("elysia_backup_state", "nightly", &format!(r#"state="{state}""#), value);
    let drill =
        |state: &str, value| always("elysia_backup_drill_state", "nightly", &format!(r#"state="{state}""#), value);
    let left_out = |values: &str| of("elysia_backup_collections_left_out", "nightly", "", values);
    let due = |second| always("elysia_backup_due_timestamp_seconds", "nightly", "", second);
    let hourly = |values: &str| of("elysia_backup_due_timestamp_seconds", "nightly", "", values);
    let success = |second| always("elysia_backup_success_timestamp_seconds", "nightly", "", second);
    let memory = |kind: &str, which: &str, value| {
        always(&format!("elysia_{kind}_worker_memory_bytes"), "nightly", &format!(r#"which="{which}""#), value)
    };
    // Seven hours after the first minute.
    let seven = 7 * 60;
    vec![
        case("ElysiaBackupFailed", 10, &["nightly"], vec![state("Suspect", 1), state("Failed", 0)]),
        case("ElysiaBackupFailed", 3, &[], vec![state("Failed", 1)]),
        case("ElysiaBackupFailed", 10, &[], vec![state("Succeeded", 1), state("Failed", 0)]),
        case("ElysiaBackupDrillFailed", 10, &["nightly"], vec![drill("Unfinished", 1), drill("Passed", 0)]),
        case("ElysiaBackupDrillFailed", 10, &[], vec![drill("Unfinished", 0), drill("Passed", 1)]),
        case("ElysiaBackupLeavesOut", 27 * 60, &["nightly"], vec![left_out("2x2000")]),
        // A night's run made way for a restore, and the next one is whole.
        case("ElysiaBackupLeavesOut", 27 * 60, &[], vec![left_out("2x1440 0x600")]),
        case("ElysiaBackupLeavesOut", 20 * 60, &[], vec![left_out("2x2000")]),
        // Due at the beginning, and no good run at all, or only one of before.
        case("ElysiaBackupLate", seven, &["nightly"], vec![due(60)]),
        case("ElysiaBackupLate", seven, &["nightly"], vec![due(60), success(30)]),
        case("ElysiaBackupLate", seven, &[], vec![due(60), success(90)]),
        // One of each hour: what is due moves on while each time has its run, and stays where it was once none comes.
        case(
            "ElysiaBackupLate",
            seven,
            &[],
            vec![hourly("60x60 3660x60 7260x60 10860x60 14460x60 18060x60 21660x240")],
        ),
        case("ElysiaBackupLate", 9 * 60, &["nightly"], vec![hourly("60x60 3660x540"), success(90)]),
        case("ElysiaBackupLate", 5 * 60, &[], vec![due(60)]),
        case(
            "ElysiaRestoreFailed",
            3,
            &["nightly"],
            vec![always("elysia_restore_phase", "nightly", r#"phase="Failed""#, 1)],
        ),
        case("ElysiaRestoreFailed", 3, &[], vec![always("elysia_restore_phase", "nightly", r#"phase="Running""#, 1)]),
        case(
            "ElysiaBackupWorkerMemory",
            3,
            &["nightly"],
            vec![memory("backup", "peak", 95), memory("backup", "limit", 100)],
        ),
        case(
            "ElysiaBackupWorkerMemory",
            3,
            &["nightly"],
            vec![memory("restore", "peak", 95), memory("restore", "limit", 100)],
        ),
        case("ElysiaBackupWorkerMemory", 3, &[], vec![memory("backup", "peak", 85), memory("backup", "limit", 100)]),
        // Without a limit nothing is too much.
        case("ElysiaBackupWorkerMemory", 3, &[], vec![memory("backup", "peak", 95)]),
    ]
}

pub(crate) fn run(paths: &Paths) -> Result<()> {
    let rule = rendered(paths, "prometheusRule.enabled=true", "templates/prometheusrule.yaml")?;
    let expressions = dashboards(paths)?;
    let cases = cases();
    let asked: Vec<Value> = cases
        .iter()
        .map(|Case { alert, series, minute, .. }| json!({"alert": alert, "series": series, "minute": minute}))
        .collect();
    let answer = evaluate_alerts(paths, &json!({"rule": rule, "expressions": expressions, "cases": asked}))?;
    if !answer.faults.is_empty() {
        bail!("Prometheus cannot read:\n{}", answer.faults.join("\n"));
    }
    ensure!(answer.firing.len() == cases.len(), "{} answers to {} cases", answer.firing.len(), cases.len());
    let mut wrong = Vec::new();
    for (Case { alert, series, minute, firing }, found) in cases.iter().zip(&answer.firing) {
        let found: BTreeSet<&str> = found.iter().map(|labels| labels["name"].as_str().unwrap_or_default()).collect();
        let wanted: BTreeSet<&str> = firing.iter().copied().collect();
        if found != wanted {
            wrong.push(format!("{alert} fires for {found:?}, not {wanted:?}, at minute {minute} of {series:?}"));
        }
    }
    for alert in &answer.alerts {
        let of_it = || cases.iter().filter(|case| case.alert == alert);
        if of_it().all(|case| case.firing.is_empty()) || of_it().all(|case| !case.firing.is_empty()) {
            wrong.push(format!("{alert} has no case in which it fires, or none in which it does not"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} alerts in {} cases, {} expressions", answer.alerts.len(), cases.len(), expressions.len());
    Ok(())
}

/// Every expression of the dashboards, with what Grafana puts in for its variables.
fn dashboards(paths: &Paths) -> Result<Vec<String>> {
    let folder = paths.checkout.join("charts/elysia-operator/dashboards");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        let dashboard: Value =
            serde_json::from_slice(&fs::read(&path)?).with_context(|| format!("{} is no JSON", path.display()))?;
        collect(&dashboard, &mut found);
    }
    ensure!(!found.is_empty(), "{} has no expressions", folder.display());
    Ok(found.iter().map(|expression| expression.replace("$__range", "1d").replace("$namespace", ".*")).collect())
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
