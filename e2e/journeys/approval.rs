//! Who may approve: the API server asks for a verb of its own, and for the approver's own name.

use std::process::Command;

use elysia_api::ElysiaCollection;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;
use serde_json::json;

use crate::support::{Stage, collection};

/// `kubectl` as somebody else: whether it was let through, and what it said.
async fn kubectl(stage: &Stage, user: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("kubectl");
    command.args(arguments).args(["--as", user, "--namespace", &stage.namespace]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn annotate(stage: &Stage, user: &str, annotations: &[&str]) -> (bool, String) {
    let arguments = [&["annotate", "--overwrite", "elysiacollection", "notes"], annotations].concat();
    kubectl(stage, user, &arguments).await
}

async fn bind(stage: &Stage, name: &str, role: &str, users: &[&str]) {
    let subjects: Vec<_> = users
        .iter()
        .map(|user| json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}))
        .collect();
    stage
        .apply::<RoleBinding>(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": subjects,
        }))
        .await;
}

/// Name of the chart's `ClusterRole` with this ending, whatever the release is called.
async fn role(stage: &Stage, ending: &str) -> String {
    let api: Api<ClusterRole> = Api::all(stage.client.clone());
    let roles = api.list(&ListParams::default().labels("app.kubernetes.io/name=elysia-operator")).await.unwrap();
    roles.into_iter().map(|role| role.name_any()).find(|name| name.ends_with(ending)).unwrap()
}

#[tokio::test]
async fn whoever_edits_does_not_approve_and_whoever_approves_says_so() {
    let stage = Stage::set("approval").await;
    bind(&stage, "readers", &role(&stage, ":view").await, &["ed", "ann"]).await;
    bind(&stage, "editors", &role(&stage, ":edit").await, &["ed", "ann"]).await;
    bind(&stage, "approvers", &role(&stage, ":approve").await, &["ann"]).await;
    stage.apply::<ElysiaCollection>(collection("notes", "Notes", &json!({}))).await;

    let cases: [(&str, &[&str], Option<&str>); 13] = [
        ("ed", &["note=1"], None),
        ("ed", &["elysia.dev/approve=x", "elysia.dev/approved-by=ed"], Some(r#"need the verb "approve""#)),
        ("ed", &["elysia.dev/clear=1/a", "elysia.dev/approved-by=ed"], Some(r#"need the verb "approve""#)),
        ("ann", &["elysia.dev/approve=x"], Some("add elysia.dev/approved-by=ann")),
        ("ann", &["elysia.dev/approve=x", "elysia.dev/approved-by=ed"], Some("add elysia.dev/approved-by=ann")),
        ("ann", &["elysia.dev/approve=x", "elysia.dev/approved-by=ann"], None),
        // What stands there already is free, and nobody else's name is put below it.
        ("ed", &["note=2"], None),
        ("ed", &["elysia.dev/approved-by=ed"], Some(r#"need the verb "approve""#)),
        ("ann", &["elysia.dev/override-protection=true"], Some(r#"needs the verb "override-protection""#)),
        ("ann", &["elysia.dev/clear=1/a"], None),
        ("ed", &["elysia.dev/approve-", "elysia.dev/clear-"], None),
        ("ed", &["elysia.dev/approve=x"], Some(r#"need the verb "approve""#)),
        ("ed", &["elysia.dev/approved-by-"], None),
    ];
    for (user, annotations, refusal) in cases {
        let (passed, said) = annotate(&stage, user, annotations).await;
        assert_eq!(passed, refusal.is_none(), "{user} {annotations:?}: {said}");
        assert!(said.contains(refusal.unwrap_or_default()), "{user} {annotations:?}: {said}");
        stage.say(&format!("{user} {annotations:?}: {}", if passed { "let through" } else { "refused" }));
    }
    stage.strike().await;
}
