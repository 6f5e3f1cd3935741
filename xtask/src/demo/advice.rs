//! What to try while everything is running.

use elysia_e2e::ground::say;

use super::stage::{NAMESPACE, Stage};

const ADVICE: &str = r#"
Everything is left running. Three things to try, in a shell of this folder, after
    PREPARE

1. A node goes, and comes back:
    kubectl delete pod search-1 --namespace NAMESPACE --wait=false
    kubectl elysia health --namespace NAMESPACE --watch

2. Somebody deletes the collection and makes it again, empty and with one replica; within 30 s it is noticed:
    kubectl port-forward service/search 8080 --namespace NAMESPACE > /dev/null & sleep 2
    key=$(kubectl get secret search-auth --namespace NAMESPACE --output go-template='{{.data.apiKey | base64decode}}')
    curl --header "Authorization: Bearer $key" --request DELETE localhost:8080/v1/schema/Articles
    curl --header "Authorization: Bearer $key" --json '{"class": "Articles", "replicationConfig": {"factor": 1},
        "properties": [{"name": "title", "dataType": ["text"]}, {"name": "body", "dataType": ["text"]}]}' \
        localhost:8080/v1/schema > /dev/null
    kill %%; kubectl elysia health --namespace NAMESPACE --watch

3. The small feed gets one more line, and a run starts by itself:
    kubectl patch configmap notes-changes --namespace NAMESPACE --type merge --patch '
    data:
      0002.jsonl: |
        {"repo": "notebook", "op": "modify", "path": "kitchen/bread.md", "metadata": {"stars": 5}}'
    kubectl get indexsource notes --namespace NAMESPACE --watch
"#;

pub(super) fn give(stage: &Stage) {
    let prepare = stage.preparation();
    say(ADVICE.trim_end().replace("PREPARE", &prepare).replace("NAMESPACE", NAMESPACE));
    if stage.is_ground() {
        say("\nIt is taken down by `cargo xtask down`.");
    } else {
        say(format!("\nIt is taken away by `kubectl delete namespace {NAMESPACE}`, which takes some minutes."));
    }
}
