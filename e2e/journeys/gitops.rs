//! A GitOps tool applies the same manifests again and again: nothing moves. An approval that is committed with them is
//! consumed once, and pruning deletes no data.
//!
//! Between two rounds the operator looks at least once, seen by its own count of rounds; `cargo xtask soak gitops` does
//! the same with ten seconds between them.

use std::collections::BTreeMap;

use elysia_api::{ElysiaCollection, NOT_OBSERVED, names};
use elysia_e2e::gitops;
use elysia_e2e::ground::{self, Ground, Kubectl, Paths};
use elysia_weaviate::SchemaRead;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::support::{Nodes, PATIENCE, Stage, collection, version};

/// The shortest interval that a cluster may have: the more the operator looks, the more it could touch.
const INTERVAL: &str = "5s";

fn wanted() -> Value {
    json!({
        "vectorizer": "none",
        "shardingConfig": {"desiredCount": 3},
        "properties": [{"name": "title", "dataType": ["text"]}],
    })
}

/// What lies in the repository: a cluster, a collection, and one whose recreate may be approved.
fn manifests(approval: Option<(&str, &str)>) -> Vec<Value> {
    let cluster = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster", "metadata": {"name": "search"},
        "spec": {
            "managed": {"version": version(), "replicas": 3, "storage": {"size": "1Gi"}},
            "verify": {"interval": INTERVAL},
        },
    });
    let mut articles = collection("articles", "Articles", &json!({"vectorizer": "none"}));
    let mut notes = collection("notes", "Notes", &wanted());
    if let Some((hash, user)) = approval {
        notes["metadata"]["annotations"] =
            json!({names::APPROVE_ANNOTATION: hash, names::APPROVED_BY_ANNOTATION: user});
    }
    for object in [&mut articles, &mut notes] {
        object["apiVersion"] = json!("elysia.dev/v1alpha1");
        object["kind"] = json!("ElysiaCollection");
    }
    vec![cluster, articles, notes]
}

#[tokio::test]
async fn the_same_manifests_again_and_again_change_nothing() {
    let stage = Stage::set_alone("gitops").await;
    let tool = Tool { namespace: stage.namespace.clone() };

    // Before the operator has looked, nobody takes an object for current.
    let mut draft = manifests(None).remove(1);
    draft["spec"]["clusterRef"]["name"] = json!("nowhere");
    let answered = tool.apply(vec![draft]).await.remove(0);
    assert_eq!(answered["status"], json!({"observedGeneration": NOT_OBSERVED}));
    assert_eq!(tool.judged(answered).await, ("InProgress".to_owned(), "Progressing".to_owned()));
    tool.prune("elysiacollection/articles").await;

    let mut files = manifests(None);
    let unapproved = files.remove(2);
    tool.apply(files).await;
    tool.ready(&["weaviatecluster/search", "elysiacollection/articles"]).await;
    let nodes = stage.nodes("search").await;
    let ids = nodes.fill("Articles", 10).await;

    // An empty class with another number of shards: a plan that waits for a commit.
    nodes.create("Notes", 1, 3).await;
    tool.apply(vec![unapproved]).await;
    let first = waiting_plan(&stage).await;
    assert_eq!(tool.judged(tool.get("notes").await).await, ("Failed".to_owned(), "Suspended".to_owned()));
    let approved = manifests(Some((&first, &stage.user().await)));
    tool.apply(approved.clone()).await;
    tool.ready(&["elysiacollection/notes"]).await;
    assert_eq!(live_shards(&nodes).await, Some(3));
    assert_eq!(tool.judged(tool.get("notes").await).await, ("Current".to_owned(), "Healthy".to_owned()));

    // The count of objects is of the last look before they came; auto-schema comes back after a recreate.
    stage
        .wait("the cluster and the count to settle", PATIENCE, async || {
            let before = tool.versions().await;
            looks_again(&stage, &Looks::count(&stage).await).await;
            gitops::moved(&before, &tool.versions().await).is_empty().then_some(())
        })
        .await;
    let before = tool.versions().await;
    let started = Looks::count(&stage).await;
    for round in 1..=gitops::ROUNDS {
        let looks = Looks::count(&stage).await;
        tool.apply(approved.clone()).await;
        looks_at_any(&stage, &looks).await;
        let moved = gitops::moved(&before, &tool.versions().await);
        assert!(moved.is_empty(), "round {round} moved {moved:?}");
    }
    looks_again(&stage, &Looks::count(&stage).await).await;
    let moved = gitops::moved(&before, &tool.versions().await);
    assert!(moved.is_empty(), "after the rounds {moved:?} moved");
    stage.say(&format!("{} objects still after {} rounds", before.len(), gitops::ROUNDS));
    stage.say(&format!("looks meanwhile: {:?}", Looks::count(&stage).await.since(&started)));

    // The same drift again: the approval is still in the repository, and approves nothing.
    stage.annotate::<ElysiaCollection>("notes", names::PAUSED_ANNOTATION, "true").await;
    stage.collection_says("notes", "Stalled", "True", "Paused").await;
    nodes.first().delete_class("Notes").await.unwrap();
    nodes.create("Notes", 1, 3).await;
    stage.annotate::<ElysiaCollection>("notes", names::PAUSED_ANNOTATION, "false").await;
    let second = waiting_plan(&stage).await;
    assert_ne!(first, second, "the consumed approval would approve this plan");
    for _ in 0..3 {
        let looks = Looks::count(&stage).await;
        tool.apply(approved.clone()).await;
        looks_again(&stage, &looks).await;
        assert_eq!(waiting_plan(&stage).await, second);
        assert_eq!(live_shards(&nodes).await, Some(1), "the consumed approval approved another plan");
    }

    // Taken out of the repository.
    for name in ["elysiacollection/articles", "elysiacollection/notes"] {
        tool.prune(name).await;
    }
    looks_at_any(&stage, &Looks::count(&stage).await).await;
    nodes.assert_all_hold("Articles", &ids).await;
    nodes.assert_replicated("Articles", 3).await;
    assert_eq!(live_shards(&nodes).await, Some(1));
    stage.strike().await;
}

/// The hash of the plan that waits for a person.
async fn waiting_plan(stage: &Stage) -> String {
    let object = stage.collection_says("notes", "Stalled", "True", "NeedsApproval").await;
    object.status.unwrap().plan.unwrap().hash
}

async fn live_shards(nodes: &Nodes) -> Option<i64> {
    let class = nodes.first().class("Notes", SchemaRead::Leader).await.ok()??;
    class["shardingConfig"]["desiredCount"].as_i64()
}

/// kubectl in the hands of a GitOps tool. It blocks, so each call has a thread of its own.
struct Tool {
    namespace: String,
}

impl Tool {
    async fn does<T: Send + 'static>(&self, work: impl FnOnce(&Kubectl, &str) -> T + Send + 'static) -> T {
        let namespace = self.namespace.clone();
        let work = move || work(&Ground::running().unwrap().kubectl(), &namespace);
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    async fn apply(&self, manifests: Vec<Value>) -> Vec<Value> {
        self.does(move |kubectl, namespace| gitops::apply(kubectl, namespace, &manifests)).await.unwrap()
    }

    async fn prune(&self, object: &'static str) {
        self.does(move |kubectl, namespace| gitops::prune(kubectl, namespace, object)).await.unwrap();
    }

    async fn ready(&self, objects: &'static [&'static str]) {
        let wait = |kubectl: &Kubectl, namespace: &str| {
            gitops::wait_until_ready(kubectl, namespace, objects, "--timeout=300s")
        };
        self.does(wait).await.unwrap();
    }

    async fn versions(&self) -> BTreeMap<String, String> {
        self.does(gitops::versions).await.unwrap()
    }

    async fn get(&self, collection: &'static str) -> Value {
        let get = move |kubectl: &Kubectl, namespace: &str| {
            kubectl.get(&["elysiacollection", collection, "--namespace", namespace])
        };
        self.does(get).await.unwrap()
    }

    /// What kstatus and Argo CD say of an object as the real API server gave it.
    async fn judged(&self, object: Value) -> (String, String) {
        let judge = move |_: &Kubectl, _: &str| ground::judge(&Paths::from_environment(), &[object]);
        let judgement = self.does(judge).await.unwrap().remove(0);
        (judgement.kstatus, judgement.argo)
    }
}

/// Rounds of the operator by kind, as its metrics count them.
#[derive(Clone, Debug, Default)]
struct Looks(BTreeMap<String, u64>);

impl Looks {
    async fn count(stage: &Stage) -> Self {
        let pods: Api<Pod> = Api::namespaced(stage.client.clone(), ground::NAMESPACE);
        let mut counts = BTreeMap::new();
        // Only the leader counts; which one it is does not matter.
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            let Some(address) = pod.status.and_then(|status| status.pod_ip) else { continue };
            let url = format!("http://{address}:8080/metrics");
            let text = tokio::task::spawn_blocking(move || {
                ureq::get(&url).call().map(|mut answer| answer.body_mut().read_to_string().unwrap())
            });
            let Ok(text) = text.await.unwrap() else { continue };
            for line in text.lines().filter_map(|line| line.strip_prefix("elysia_reconcile_total{kind=\"")) {
                let kind = line.split('"').next().unwrap().to_owned();
                let rounds: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rounds")]
                let rounds = rounds as u64;
                *counts.entry(kind).or_insert(0) += rounds;
            }
        }
        Self(counts)
    }

    fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let of = |kind: &String| before.0.get(kind).copied().unwrap_or(0);
        self.0.iter().map(|(kind, count)| (kind.clone(), count.saturating_sub(of(kind)))).collect()
    }
}

/// Waits until the operator has looked at anything since.
async fn looks_at_any(stage: &Stage, before: &Looks) {
    looks(stage, before, |since| since.values().any(|count| *count > 0)).await;
}

/// Waits until the operator has looked at each kind since, at every object of it.
async fn looks_again(stage: &Stage, before: &Looks) {
    let enough = |since: &BTreeMap<String, u64>| {
        let of = |kind: &str| since.get(kind).copied().unwrap_or(0);
        // Three of two collections: one of them may have been under way.
        of("WeaviateCluster") >= 2 && of("ElysiaCollection") >= 3
    };
    looks(stage, before, enough).await;
}

async fn looks(stage: &Stage, before: &Looks, enough: impl Fn(&BTreeMap<String, u64>) -> bool) {
    stage
        .wait("the operator to look", PATIENCE, async || enough(&Looks::count(stage).await.since(before)).then_some(()))
        .await;
}
