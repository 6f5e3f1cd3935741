//! Those who work against the operator: writers, deleters, makers of drift, an approver of everything, a killer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::{Client as Weaviate, Consistency, Object};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ResourceExt as _;
use serde_json::{Map, Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::oracle::Oracle;
use crate::support::{COLD_START, NODES, Stage};

/// Name of the cluster.
pub(crate) const CLUSTER: &str = "search";

/// What all of them share.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) oracle: Oracle,
    nodes: RwLock<BTreeMap<String, Weaviate>>,
    key: String,
    random: Mutex<fastrand::Rng>,
    /// Collections that writers write to.
    collections: Mutex<Vec<String>>,
    counters: Mutex<BTreeMap<String, u64>>,
    serial: AtomicU64,
    user: String,
}

pub(crate) type Shared = Arc<World>;

impl World {
    pub(crate) async fn new(stage: Stage, seed: u64) -> Shared {
        let nodes = stage.nodes(CLUSTER).await;
        let review = Api::<SelfSubjectReview>::all(stage.client.clone())
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .unwrap();
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap();
        Arc::new(Self {
            key: nodes.key,
            nodes: RwLock::new(nodes.clients),
            stage,
            oracle: Oracle::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            collections: Mutex::default(),
            counters: Mutex::default(),
            serial: AtomicU64::new(1),
            user,
        })
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: usize) -> usize {
        self.random.lock().unwrap().usize(0..limit.max(1))
    }

    fn seconds(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.lock().unwrap().u64(from * 1000..to * 1000))
    }

    pub(crate) fn count(&self, what: &str) {
        *self.counters.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counters.lock().unwrap().clone()
    }

    fn any_node(&self) -> Weaviate {
        let nodes = self.nodes.read().unwrap();
        let number = self.below(nodes.len());
        nodes.values().nth(number).unwrap().clone()
    }

    fn any_collection(&self) -> Option<String> {
        let collections = self.collections.lock().unwrap();
        let number = self.below(collections.len());
        collections.get(number).cloned()
    }

    /// Pods get a new address with every restart.
    pub(crate) async fn find_nodes(&self) {
        let nodes = self.stage.nodes(CLUSTER).await.clients;
        *self.nodes.write().unwrap() = nodes;
    }

    pub(crate) fn clients(&self) -> BTreeMap<String, Weaviate> {
        self.nodes.read().unwrap().clone()
    }

    /// Creates a class by hand, as a client does, and tries again while servers are away.
    async fn create(&self, name: &str, factor: usize) {
        let class = json!({
            "class": name,
            "vectorizer": "none",
            "shardingConfig": {"desiredCount": 3},
            "replicationConfig": {"factor": factor},
            "properties": [{"name": "title", "dataType": ["text"], "tokenization": "word"}],
        });
        loop {
            match self.any_node().create_class(&class).await {
                Ok(()) => return,
                // An answer that was lost: it is there.
                Err(error) if error.to_string().contains("already exists") => return,
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn declare(&self, name: &str, class: &str, factor: usize, schema: &Value) {
        let object = json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
            "metadata": {"name": name},
            "spec": {
                "clusterRef": {"name": CLUSTER},
                "collection": class,
                "schema": schema,
                "replication": {"factor": factor},
            },
        });
        let parameters = PatchParams::apply("adversary").force();
        let api = self.stage.api::<ElysiaCollection>();
        while let Err(error) = api.patch(name, &parameters, &Patch::Apply(&object)).await {
            println!("   declaring {name}: {error}");
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Writes at QUORUM, for ever.
pub(crate) async fn write(world: Shared) {
    loop {
        let Some(class) = world.any_collection() else {
            sleep(Duration::from_millis(200)).await;
            continue;
        };
        let number = world.serial.fetch_add(1, Ordering::Relaxed);
        let (id, title) = (Uuid::new_v4(), format!("title {number}"));
        let object = Object {
            id,
            class: class.clone(),
            tenant: None,
            properties: Map::from_iter([("title".to_owned(), json!(title))]),
            vector: None,
            vectors: BTreeMap::new(),
            last_update_time: None,
        };
        if world.any_node().create_object(&object, Consistency::Quorum).await.is_ok() {
            world.oracle.stored((class, id), title);
        } else {
            world.oracle.failed();
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Deletes an object now and then.
pub(crate) async fn delete(world: Shared) {
    loop {
        sleep(world.seconds(0, 1)).await;
        let number = world.below(usize::MAX);
        let Some((class, id)) = world.oracle.take(number) else { continue };
        let url = format!(
            "{}/v1/objects/{class}/{id}?consistency_level=QUORUM",
            world.any_node().address().trim_end_matches('/')
        );
        let authorization = format!("Bearer {}", world.key);
        let done = tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent =
                ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(15))).build().into();
            agent.delete(&url).header("Authorization", &authorization).call().is_ok()
        });
        world.count(if done.await.unwrap() { "objects deleted" } else { "deletions without an answer" });
    }
}

/// Makes collections that have drifted: some full, some empty with a setting that cannot be changed. Writers find the
/// empty ones at any moment of their recreation.
pub(crate) async fn drift(world: Shared) {
    for number in 0.. {
        let recreate = number % 2 == 1;
        let (name, class) = (format!("c{number}"), format!("C{number}"));
        world.create(&class, 1).await;
        if recreate {
            let schema = json!({"properties": [{"name": "title", "dataType": ["text"], "tokenization": "field"}]});
            world.declare(&name, &class, NODES, &schema).await;
            world.count("empty collections with another setting");
            let (late, world) = (world.seconds(0, 300), world.clone());
            tokio::spawn(async move {
                sleep(late).await;
                world.collections.lock().unwrap().push(class);
            });
        } else {
            world.collections.lock().unwrap().push(class.clone());
            sleep(world.seconds(2, 10)).await;
            world.declare(&name, &class, NODES, &json!({})).await;
            world.count("full collections at factor 1");
        }
        // Each class is files and memory at three nodes: enough of them to have repairs run at the same time.
        sleep(world.seconds(40, 80)).await;
        let lower = format!("c{}", world.below(number + 1) & !1);
        let factor = 2 + world.below(2);
        let class = lower.to_uppercase();
        world.declare(&lower, &class, factor, &json!({})).await;
        world.count("factors declared anew");
    }
}

/// Approves whatever waits for approval.
pub(crate) async fn approve(world: Shared) {
    let api = world.stage.api::<ElysiaCollection>();
    loop {
        sleep(Duration::from_secs(2)).await;
        let Ok(objects) = api.list(&ListParams::default()).await else { continue };
        for object in objects {
            let Some(plan) = object.status.as_ref().and_then(|status| status.plan.as_ref()) else { continue };
            let approved = object.annotations().get(names::APPROVE_ANNOTATION) == Some(&plan.hash);
            if plan.waiting_for.is_none() || approved {
                continue;
            }
            let patch = json!({"metadata": {"annotations": {
                names::APPROVE_ANNOTATION: plan.hash,
                names::APPROVED_BY_ANNOTATION: world.user,
            }}});
            if api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await.is_ok() {
                world.count(&format!("plans approved: {}", plan.action));
            }
        }
    }
}

/// Kills the operator, or one Weaviate node; never a second one before the first is back.
pub(crate) async fn kill(world: Shared) {
    let operators: Api<Pod> = Api::namespaced(world.stage.client.clone(), "elysia-system");
    let at_once = DeleteParams::default().grace_period(0);
    loop {
        sleep(world.seconds(15, 45)).await;
        if world.below(2) == 0 {
            if operators.delete_collection(&at_once, &ListParams::default()).await.is_ok() {
                world.count("operator killed");
            }
            continue;
        }
        let node = format!("{CLUSTER}-{}", world.below(NODES));
        let Ok(pod) = world.stage.api::<Pod>().get(&node).await else { continue };
        if world.stage.api::<Pod>().delete(&node, &at_once).await.is_err() {
            continue;
        }
        world.count("Weaviate node killed");
        is_back(&world, &node, pod.uid()).await;
    }
}

/// Waits until another pod of this name is ready and every node sees every other.
async fn is_back(world: &Shared, node: &str, killed: Option<String>) {
    let started = Instant::now();
    let pods = world.stage.api::<Pod>();
    loop {
        assert!(started.elapsed() < 2 * COLD_START, "{node} did not come back");
        sleep(Duration::from_millis(500)).await;
        let Ok(pod) = pods.get(node).await else { continue };
        if pod.uid() != killed && is_ready(&pod) {
            world.find_nodes().await;
            if all_see_all(world).await {
                println!("   {node} was away for {:.1} s", started.elapsed().as_secs_f64());
                return;
            }
        }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn all_see_all(world: &Shared) -> bool {
    for client in world.clients().values() {
        let healthy = client.nodes().await.map(|members| members.iter().filter(|member| member.is_healthy()).count());
        if healthy.ok() != Some(NODES) {
            return false;
        }
    }
    true
}
