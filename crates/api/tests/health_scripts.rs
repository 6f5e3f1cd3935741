//! The health checks for Argo CD speak of conditions and reasons that exist, and all kinds have the same one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::names;

/// The script of a kind without its first line, which names the kind.
fn script(kind: &str) -> String {
    let path = format!("../../charts/elysia-operator/argocd/elysia.dev/{kind}/health.lua");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(first.contains(kind), "{first}");
    rest.to_owned()
}

/// What stands in quotes after each of these beginnings.
fn quoted<'a>(text: &'a str, beginnings: &[&str]) -> Vec<&'a str> {
    let after = |beginning: &&str| text.split(*beginning).skip(1).collect::<Vec<_>>();
    beginnings.iter().flat_map(after).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn all_kinds_have_the_same_script() {
    let cluster = script("WeaviateCluster");
    for kind in ["ElysiaCollection", "IndexSource", "CollectionBackup", "CollectionRestore"] {
        assert!(script(kind) == cluster, "the health.lua of {kind} is not that of WeaviateCluster");
    }
}

#[test]
fn a_script_knows_no_condition_and_no_reason_that_does_not_exist() {
    let script = script("ElysiaCollection");
    let conditions = [ConditionType::Ready, ConditionType::Stalled, ConditionType::Reconciling];
    assert_eq!(quoted(&script, &["condition(\""]), conditions.map(ConditionType::as_str));
    let reasons = quoted(&script, &[".reason == \""]);
    assert!(!reasons.is_empty());
    for reason in reasons {
        assert_eq!(reason, Reason::NeedsApproval.as_str(), "a reason that decides: is it in the enum, and why?");
    }
    assert_eq!(quoted(&script, &[".annotations or {})[\""]), [names::PAUSED_ANNOTATION]);
}
