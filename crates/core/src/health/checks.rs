//! The closer look that `health --cluster` and `health --data` take: one line for each thing that was checked.

use std::collections::{BTreeMap, BTreeSet};

use elysia_api::ElysiaCollection;
use elysia_api::collection::{DataVerification, ShardReplicas};
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::Verdict;
use crate::sight::Sight;
use crate::verification::look;

/// One thing that was checked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was checked: `members`, `leader`, `log`, `replicas Articles`, `data articles`.
    pub what: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was seen.
    pub message: String,
    /// The next command to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Check {
    /// A check.
    pub fn new(what: impl Into<String>, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { what: what.into(), verdict, message: message.into(), next: None }
    }

    fn next(self, command: impl Into<String>) -> Self {
        Self { next: Some(command.into()), ..self }
    }
}

/// All that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// The worst of them: a fault outweighs what is unknown.
    pub verdict: Verdict,
    /// Each.
    pub checks: Vec<Check>,
    /// Of the collections that were compared: what was found, by the name of the object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, DataVerification>,
}

impl Checks {
    /// Sums up. Nothing that was checked is nothing known.
    pub fn of(checks: Vec<Check>, data: BTreeMap<String, DataVerification>) -> Self {
        let has = |verdict| checks.iter().any(|check| check.verdict == verdict);
        let verdict = if has(Verdict::Fault) {
            Verdict::Fault
        } else if has(Verdict::Unknown) || checks.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Healthy
        };
        Self { verdict, checks, data }
    }
}

/// What one node says at its own address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeView {
    /// The members that it sees alive.
    pub members: Option<Vec<String>>,
    /// The RAFT leader that it follows.
    pub leader: Option<String>,
    /// The last entry of the log that it has applied.
    pub applied: Option<u64>,
}

/// Do the nodes answer, see each other, follow one leader and have the same log?
pub fn of_members(wanted: &[String], views: &BTreeMap<String, Sight<NodeView>>) -> Vec<Check> {
    let mut checks = Vec::new();
    let silent: Vec<String> = wanted
        .iter()
        .filter_map(|node| match views.get(node) {
            Some(Sight::Seen(_)) => None,
            Some(Sight::Unseen(why)) => Some(format!("{node}: {}", why.message)),
            None => Some(format!("{node} has no address")),
        })
        .collect();
    checks.push(if wanted.is_empty() {
        Check::new("nodes", Verdict::Unknown, "no node has an address of its own: name them in spec.external.nodes")
    } else if silent.is_empty() {
        Check::new(
            "nodes",
            Verdict::Healthy,
            format!("{} of {} answer at their own addresses", wanted.len(), wanted.len()),
        )
    } else {
        Check::new("nodes", Verdict::Fault, silent.join("; ")).next("kubectl elysia health -v")
    });
    let seen: BTreeMap<&str, &NodeView> =
        views.iter().filter_map(|(node, view)| Some((node.as_str(), view.seen()?))).collect();
    checks.push(members(wanted, &seen));
    checks.push(leader(&seen));
    checks.push(log(&seen));
    checks
}

fn members(wanted: &[String], seen: &BTreeMap<&str, &NodeView>) -> Check {
    let mut troubles = Vec::new();
    let mut unknown = Vec::new();
    for (node, view) in seen {
        match &view.members {
            None => unknown.push(*node),
            Some(members) => {
                let away: Vec<&str> =
                    wanted.iter().map(String::as_str).filter(|other| !members.iter().any(|one| one == other)).collect();
                if !away.is_empty() {
                    troubles.push(format!("{node} does not see {}", away.join(", ")));
                }
            }
        }
    }
    if !troubles.is_empty() {
        return Check::new("members", Verdict::Fault, troubles.join("; "));
    }
    if !unknown.is_empty() || seen.is_empty() {
        let message =
            if seen.is_empty() { "no node said".to_owned() } else { format!("{} did not say", unknown.join(", ")) };
        return Check::new("members", Verdict::Unknown, message);
    }
    Check::new("members", Verdict::Healthy, format!("each of {} sees all the others", seen.len()))
}

fn leader(seen: &BTreeMap<&str, &NodeView>) -> Check {
    let leaders: BTreeSet<&str> = seen.values().filter_map(|view| view.leader.as_deref()).collect();
    let without: Vec<&str> = seen.iter().filter(|(_, view)| view.leader.is_none()).map(|(node, _)| *node).collect();
    match (leaders.len(), without.is_empty()) {
        (0, _) => Check::new("leader", Verdict::Fault, "no node knows a RAFT leader"),
        (1, true) => {
            let leader = leaders.first().copied().unwrap_or_default();
            Check::new("leader", Verdict::Healthy, format!("{leader}, for every node"))
        }
        (1, false) => Check::new("leader", Verdict::Fault, format!("{} know no leader", without.join(", "))),
        _ => {
            let leaders: Vec<&str> = leaders.into_iter().collect();
            Check::new("leader", Verdict::Fault, format!("the nodes follow different ones: {}", leaders.join(", ")))
        }
    }
}

/// Different logs at one instant are what a schema change looks like; so they are unknown, and never a fault.
fn log(seen: &BTreeMap<&str, &NodeView>) -> Check {
    let said: Vec<String> = seen
        .iter()
        .map(|(node, view)| format!("{node} {}", view.applied.map_or("?".to_owned(), |applied| applied.to_string())))
        .collect();
    let applied: BTreeSet<Option<u64>> = seen.values().map(|view| view.applied).collect();
    match applied.first() {
        Some(Some(applied_by_all)) if applied.len() == 1 => {
            Check::new("log", Verdict::Healthy, format!("every node has applied entry {applied_by_all}"))
        }
        _ => Check::new(
            "log",
            Verdict::Unknown,
            format!("applied: {}; look again when no schema is written", said.join(", ")),
        ),
    }
}

/// Has each shard of a class as many replicas as the class declares? By the sharding state: what the class says of
/// itself is what was wished.
pub fn of_replicas(class: &str, factor: i64, placement: &Sight<Vec<ShardReplicas>>, live: &BTreeSet<String>) -> Check {
    let what = format!("replicas {class}");
    let shards = match placement {
        Sight::Seen(shards) => shards,
        Sight::Unseen(why) => return Check::new(what, Verdict::Unknown, why.message.clone()),
    };
    let replicas = |shard: &ShardReplicas| shard.replicas.iter().filter(|node| live.contains(*node)).count();
    let fewest = shards.iter().map(replicas).min();
    let short = shards.iter().filter(|shard| i64::try_from(replicas(shard)).is_ok_and(|found| found < factor)).count();
    let next = "kubectl elysia health -v";
    match fewest {
        Some(0) => Check::new(what, Verdict::Fault, "a shard has no replica on any node that is there").next(next),
        Some(fewest) if short > 0 => Check::new(
            what,
            Verdict::Fault,
            format!(
                "{short} of {} shards have fewer replicas than the factor {factor}; the worst has {fewest}",
                shards.len()
            ),
        )
        .next(next),
        Some(_) => Check::new(what, Verdict::Healthy, format!("{} shards have {factor} replicas", shards.len())),
        None => Check::new(what, Verdict::Healthy, "no shards, as a collection has whose tenants are yet to come"),
    }
}

/// What the last comparison of a collection's objects gave.
pub fn of_data(collection: &ElysiaCollection) -> Check {
    let name = collection.name_any();
    let namespace = collection.namespace().unwrap_or_default();
    let again = format!("kubectl annotate ecol {name} -n {namespace} --overwrite elysia.dev/run-now=$(date +%s)");
    match collection.status.as_ref().and_then(|status| status.verification.as_ref()) {
        Some(report) => of_report(&name, &namespace, report, again),
        None => Check::new(format!("data {name}"), Verdict::Unknown, "its objects were never compared").next(again),
    }
}

/// What a comparison gave that was made just now, also of a collection that nobody declares.
pub fn of_comparison(name: &str, namespace: &str, report: &DataVerification) -> Check {
    of_report(name, namespace, report, format!("kubectl elysia health --data --collection {name} -n {namespace}"))
}

fn of_report(name: &str, namespace: &str, report: &DataVerification, again: String) -> Check {
    let what = format!("data {name}");
    let DataVerification { sampled, missing, orphaned, different, unread, .. } = report;
    let counts = format!(
        "{sampled} objects compared at {}: {missing} missing, {different} different, {orphaned} left over, {unread} unread",
        report.at.0
    );
    if !look::is_clean(report) {
        return Check::new(what, Verdict::Fault, counts)
            .next(format!("kubectl elysia health --data --collection {name} -n {namespace} --fix"));
    }
    let verdict = if *unread > 0 { Verdict::Unknown } else { Verdict::Healthy };
    let check = Check::new(what, verdict, counts);
    if verdict == Verdict::Unknown { check.next(again) } else { check }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sight::BlindnessKind;

    fn view(members: &str, leader: &str, applied: u64) -> Sight<NodeView> {
        Sight::Seen(NodeView {
            members: Some(members.split(',').map(str::to_owned).collect()),
            leader: Some(leader.to_owned()).filter(|leader| !leader.is_empty()),
            applied: Some(applied),
        })
    }

    fn told(views: &[(&str, Sight<NodeView>)]) -> Vec<String> {
        let wanted: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let views = views.iter().map(|(node, view)| ((*node).to_owned(), view.clone())).collect();
        let checks = of_members(&wanted, &views);
        checks.into_iter().map(|check| format!("{} {}: {}", check.what, check.verdict, check.message)).collect()
    }

    #[test]
    fn nodes_that_agree() {
        let all = view("a,b,c", "a", 7);
        assert_eq!(
            told(&[("a", all.clone()), ("b", all.clone()), ("c", all)]),
            [
                "nodes healthy: 3 of 3 answer at their own addresses",
                "members healthy: each of 3 sees all the others",
                "leader healthy: a, for every node",
                "log healthy: every node has applied entry 7",
            ]
        );
    }

    #[test]
    fn nodes_that_do_not() {
        let silent = Sight::unseen(BlindnessKind::Unreachable, "connection refused");
        assert_eq!(
            told(&[("a", view("a,b", "a", 7)), ("b", view("a,b,c", "", 8)), ("c", silent)]),
            [
                "nodes fault: c: connection refused",
                "members fault: a does not see c",
                "leader fault: b know no leader",
                "log unknown: applied: a 7, b 8; look again when no schema is written",
            ]
        );
        assert_eq!(told(&[])[1], "members unknown: no node said");
    }

    #[test]
    fn replicas_count_where_somebody_lives() {
        let live: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
        let shard = |replicas: &[&str]| ShardReplicas {
            shard: "s".to_owned(),
            replicas: replicas.iter().map(|node| (*node).to_owned()).collect(),
        };
        let verdict = |shards: Vec<ShardReplicas>| of_replicas("A", 2, &Sight::Seen(shards), &live).verdict;
        assert_eq!(verdict(vec![shard(&["a", "b"])]), Verdict::Healthy);
        assert_eq!(verdict(vec![shard(&["a", "c"])]), Verdict::Fault);
        assert_eq!(verdict(vec![shard(&["c"])]), Verdict::Fault);
        assert_eq!(verdict(vec![]), Verdict::Healthy);
        let unseen = Sight::unseen(BlindnessKind::Failed, "501");
        assert_eq!(of_replicas("A", 2, &unseen, &live).verdict, Verdict::Unknown);
    }

    #[test]
    fn data_is_what_the_report_says() {
        let collection = |verification: serde_json::Value| -> ElysiaCollection {
            serde_json::from_value(json!({
                "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
                "metadata": {"name": "articles", "namespace": "n"},
                "spec": {"clusterRef": {"name": "w"}, "collection": "Articles", "schema": {}},
                "status": {"verification": verification},
            }))
            .unwrap()
        };
        let report = |missing: i64, unread: i64| {
            json!({
                "at": "2026-01-01T00:00:00Z", "sampled": 9, "replicas": 3, "missing": missing, "orphaned": 0,
                "different": 0, "unread": unread,
            })
        };
        let verdict = |verification| of_data(&collection(verification)).verdict;
        assert_eq!(verdict(serde_json::Value::Null), Verdict::Unknown);
        assert_eq!(verdict(report(0, 0)), Verdict::Healthy);
        assert_eq!(verdict(report(0, 1)), Verdict::Unknown);
        assert_eq!(verdict(report(1, 1)), Verdict::Fault);
        assert_eq!(Checks::of(vec![], BTreeMap::new()).verdict, Verdict::Unknown);
    }
}
