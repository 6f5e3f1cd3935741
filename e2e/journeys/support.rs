//! The stage of a journey: a namespace, a client, and waiting with a reason.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use elysia_api::{ElysiaCollection, IndexSource, IndexSourceStatus, WeaviateCluster, names};
use elysia_weaviate::{Client as Weaviate, ClientOptions};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ResourceExt as _;
use kube::{Client, Resource};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use crate::nodes::Nodes;
use crate::turns::{Turn, recycle_volumes};

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(250);

/// Nodes of a journey's cluster.
pub(crate) const NODES: usize = 3;

/// How long what has to come is waited for. Who sees it goes on at once, so only a failure costs this long; and a machine
/// of two cores, on which another journey runs and kills the operator meanwhile, needs several times what a quiet one does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(420);

/// Time in which a cluster of three nodes comes up from nothing: the promise of the README.
pub(crate) const COLD_START: Duration = Duration::from_secs(90);

/// A namespace and what is needed to act in it.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    _turn: Turn,
}

impl Stage {
    /// An empty namespace of this name; what an earlier run left in it is gone first. Other journeys run beside it.
    pub(crate) async fn set(name: &str) -> Self {
        Self::set_in_turn(name, Turn::beside_others().await).await
    }

    /// The same, while no other journey runs: for one that takes the operator away, or that a time is promised.
    pub(crate) async fn set_alone(name: &str) -> Self {
        Self::set_in_turn(name, Turn::alone().await).await
    }

    async fn set_in_turn(name: &str, turn: Turn) -> Self {
        // The second journey of the process finds it installed, which is no error.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_default().await.expect("KUBECONFIG names no cluster; run `cargo xtask up` first");
        let stage = Self { client, namespace: format!("journey-{name}"), _turn: turn };
        stage.strike().await;
        let api: Api<Namespace> = Api::all(stage.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": stage.namespace}})).unwrap();
        api.create(&PostParams::default(), &namespace).await.unwrap();
        stage.say("begins");
        stage
    }

    /// Tells which of the journeys that run beside each other says this.
    pub(crate) fn say(&self, what: &str) {
        println!("   {}: {what}", self.namespace);
    }

    /// Deletes the namespace and gives its volumes back.
    pub(crate) async fn strike(&self) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        if api.get_opt(&self.namespace).await.unwrap().is_none() {
            return;
        }
        self.end_pods().await;
        api.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
        self.wait("the namespace to go", PATIENCE, async || {
            api.get_opt(&self.namespace).await.unwrap().is_none().then_some(())
        })
        .await;
        match on_a_thread(recycle_volumes).await {
            Ok(_) => {}
            // Another cluster than the ground has a provisioner of its own.
            Err(error) => self.say(&format!("volumes were not recycled: {error:#}")),
        }
    }

    /// Ends every pod and what would make new ones. A namespace that is deleted with pods in it waits half of their
    /// grace period, whether they need it or not.
    async fn end_pods(&self) {
        let all = ListParams::default();
        let (later, now) = (DeleteParams::default(), DeleteParams::default().grace_period(0));
        self.api::<WeaviateCluster>().delete_collection(&later, &all).await.unwrap();
        self.wait("the pods to go", PATIENCE, async || {
            self.api::<StatefulSet>().delete_collection(&later, &all).await.unwrap();
            self.api::<Job>().delete_collection(&DeleteParams::background(), &all).await.unwrap();
            self.api::<Pod>().delete_collection(&now, &all).await.unwrap();
            let sets = self.api::<StatefulSet>().list(&all).await.unwrap().items;
            let pods = self.api::<Pod>().list(&all).await.unwrap().items;
            (sets.is_empty() && pods.is_empty()).then_some(())
        })
        .await;
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn apply<K>(&self, mut value: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Serialize + Debug,
    {
        value["apiVersion"] = json!(K::api_version(&()));
        value["kind"] = json!(K::kind(&()));
        let name = value["metadata"]["name"].as_str().unwrap().to_owned();
        let parameters = PatchParams::apply("journey").force();
        self.api::<K>().patch(&name, &parameters, &Patch::Apply(&value)).await.unwrap()
    }

    pub(crate) async fn annotate<K>(&self, name: &str, key: &str, value: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Who these journeys are for the API server.
    pub(crate) async fn user(&self) -> String {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
        review.status.unwrap().user_info.unwrap().username.unwrap()
    }

    /// Approves the plan that is shown, and again if another one takes its place, as a person would who looks: a look
    /// that fell between two changes shows a plan that the next look replaces.
    pub(crate) async fn approve_shown(&self, name: &str) -> String {
        let api = self.api::<ElysiaCollection>();
        let mut approved = String::new();
        let started = Instant::now();
        loop {
            let plan = api.get(name).await.unwrap().status.and_then(|status| status.plan);
            match plan {
                Some(plan) if plan.waiting_for.is_none() && plan.hash == approved => return approved,
                Some(plan) if plan.waiting_for.is_some() && plan.hash != approved => {
                    self.approve(name, &plan.hash).await;
                    approved = plan.hash;
                }
                _ => {}
            }
            assert!(started.elapsed() < PATIENCE, "no plan of {name} was taken up");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Approves a plan in one's own name, as the admission policy asks.
    pub(crate) async fn approve(&self, name: &str, hash: &str) {
        let annotations = json!({names::APPROVE_ANNOTATION: hash, names::APPROVED_BY_ANNOTATION: self.user().await});
        let patch = json!({"metadata": {"annotations": annotations}});
        self.api::<ElysiaCollection>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Waits until `look` sees something; fails with what was waited for.
    pub(crate) async fn wait<T>(&self, what: &str, limit: Duration, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(seen) = look().await {
                self.say(&format!("{what}: {:.1} s", started.elapsed().as_secs_f64()));
                return seen;
            }
            assert!(started.elapsed() < limit, "waited {} s in vain for {what}", limit.as_secs());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Declares a cluster of three nodes.
    pub(crate) async fn declare_cluster(&self, name: &str) {
        self.apply::<WeaviateCluster>(json!({
            "metadata": {"name": name},
            "spec": {
                "managed": {"version": version(), "replicas": NODES, "storage": {"size": "1Gi"}},
                "verify": {"interval": "10s"},
            },
        }))
        .await;
    }

    /// Waits until the cluster is Ready for the present spec.
    pub(crate) async fn cluster_is_ready(&self, name: &str) {
        self.cluster_is_ready_within(name, PATIENCE).await;
    }

    pub(crate) async fn cluster_is_ready_within(&self, name: &str, limit: Duration) {
        self.wait(&format!("cluster {name} to be ready"), limit, async || {
            let cluster = self.api::<WeaviateCluster>().get(name).await.unwrap();
            let status = cluster.status?;
            let ready =
                is(&status.conditions, "Ready", "True") && status.observed_generation == cluster.metadata.generation;
            ready.then_some(())
        })
        .await;
    }

    /// A ready cluster of three nodes and the way to each of them.
    pub(crate) async fn cluster(&self, name: &str) -> Nodes {
        self.declare_cluster(name).await;
        self.cluster_is_ready(name).await;
        self.nodes(name).await
    }

    /// The way to each node of a cluster, by its pod's address.
    pub(crate) async fn nodes(&self, cluster: &str) -> Nodes {
        let secret = self.api::<Secret>().get(&names::auth_secret(cluster)).await.unwrap();
        let key = String::from_utf8(secret.data.unwrap()[names::API_KEY].0.clone()).unwrap();
        let selector = ListParams::default().labels(&format!("{}={cluster}", names::CLUSTER_LABEL));
        let pods = self.api::<Pod>().list(&selector).await.unwrap();
        let mut clients = BTreeMap::new();
        let key_for_requests = key.clone();
        for pod in pods {
            let address = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
            let url = format!("http://{address}:{}", names::REST_PORT).parse().unwrap();
            let options = ClientOptions::new(url).api_key(SecretString::from(key.clone()));
            clients.insert(pod.name_any(), Weaviate::new(options).unwrap());
        }
        Nodes { clients, key: key_for_requests }
    }

    /// Waits until the condition of a collection object has this value and reason.
    pub(crate) async fn collection_says(
        &self,
        name: &str,
        condition: &str,
        value: &str,
        reason: &str,
    ) -> ElysiaCollection {
        self.collection_says_within(name, condition, value, reason, PATIENCE).await
    }

    pub(crate) async fn collection_says_within(
        &self,
        name: &str,
        condition: &str,
        value: &str,
        reason: &str,
        limit: Duration,
    ) -> ElysiaCollection {
        let api = self.api::<ElysiaCollection>();
        let what = format!("{name} to say {condition}={value} {reason}");
        let started = Instant::now();
        loop {
            let object = api.get(name).await.unwrap();
            let status = object.status.clone().unwrap_or_default();
            let current = status.observed_generation == object.metadata.generation;
            let found = status.conditions.iter().any(|seen| {
                seen.type_ == condition && seen.status == value && (reason.is_empty() || seen.reason == reason)
            });
            if current && found {
                self.say(&format!("{what}: {:.1} s", started.elapsed().as_secs_f64()));
                return object;
            }
            let said = || {
                status.conditions.iter().map(|it| format!("{}={} {}: {}", it.type_, it.status, it.reason, it.message))
            };
            let said = || said().collect::<Vec<_>>().join("\n");
            assert!(started.elapsed() < limit, "waited {} s in vain for {what}; it says\n{}", limit.as_secs(), said());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the run of a feed ended, well or not.
    pub(crate) async fn feed_ended(&self, name: &str) -> IndexSource {
        self.feed_ended_within(name, PATIENCE).await
    }

    pub(crate) async fn feed_ended_within(&self, name: &str, limit: Duration) -> IndexSource {
        let api = self.api::<IndexSource>();
        self.wait(&format!("feed {name} to end its run"), limit, async || {
            let object = api.get(name).await.unwrap();
            let status = object.status.clone()?;
            let current = status.observed_generation == object.metadata.generation;
            let ended = is(&status.conditions, "CaughtUp", "True") || is(&status.conditions, "Stalled", "True");
            (current && ended).then_some(object)
        })
        .await
    }

    /// Waits until a feed says that nothing moves without a person.
    pub(crate) async fn feed_ended_stalled(&self, name: &str) -> IndexSourceStatus {
        let api = self.api::<IndexSource>();
        self.wait(&format!("feed {name} to be stalled"), PATIENCE, async || {
            let status = api.get(name).await.unwrap().status?;
            is(&status.conditions, "Stalled", "True").then_some(status)
        })
        .await
    }

    /// Kills the pods with this label that are not at their end. One that ends by itself meanwhile is gone as well.
    pub(crate) async fn kill_pods(&self, label: &str) {
        for pod in self.api::<Pod>().list(&ListParams::default().labels(label)).await.unwrap() {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if matches!(phase, Some("Succeeded" | "Failed")) {
                continue;
            }
            let now = DeleteParams::default().grace_period(0);
            match self.api::<Pod>().delete(&pod.name_any(), &now).await {
                Ok(_) => self.say(&format!("killed {}", pod.name_any())),
                Err(kube::Error::Api(refused)) if refused.code == 404 => {
                    self.say(&format!("{} was gone before it was killed", pod.name_any()));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn config_map(&self, name: &str, data: &BTreeMap<String, String>) {
        self.apply::<ConfigMap>(json!({"metadata": {"name": name}, "data": data})).await;
    }

    /// Runs `kubectl elysia` in this namespace: its exit code and what it printed.
    pub(crate) async fn plug_in(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(plug_in_path());
        command.args(arguments).args(["--namespace", &self.namespace]).env("NO_COLOR", "1");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }

    /// Runs it until it exits like this, and gives what it said then: while the operator is started again, which another
    /// journey may have killed, less is known for a while.
    pub(crate) async fn plug_in_exits(&self, arguments: &[&str], code: i32, limit: Duration) -> String {
        let what = format!("{} to exit with {code}", arguments.join(" "));
        self.wait(&what, limit, async || {
            let (seen, text) = self.plug_in(arguments).await;
            (seen == code).then_some(text)
        })
        .await
    }
}

/// The servers' version: the ground's usual one, or what `ELYSIA_E2E_WEAVIATE` says of those that `up` brought in.
pub(crate) fn version() -> String {
    std::env::var("ELYSIA_E2E_WEAVIATE").unwrap_or_else(|_| elysia_e2e::ground::DEFAULT_WEAVIATE.to_owned())
}

/// The plug-in that is tried.
pub(crate) fn plug_in_path() -> PathBuf {
    std::env::var_os("KUBECTL_ELYSIA").map_or_else(|| PathBuf::from("kubectl-elysia"), PathBuf::from)
}

/// Whether the condition has this value.
pub(crate) fn is(
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    kind: &str,
    value: &str,
) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == value)
}

/// An `ElysiaCollection` of factor 3.
pub(crate) fn collection(name: &str, class: &str, schema: &Value) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "clusterRef": {"name": "search"},
            "collection": class,
            "schema": schema,
            "replication": {"factor": NODES},
        },
    })
}

/// Does what blocks, as the lab of real servers does, beside the client of Kubernetes.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
