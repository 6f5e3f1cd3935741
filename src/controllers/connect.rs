//! Clients of Weaviate: the cluster's common address and each node's own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::{ClusterSpec, Kind};
use elysia_core::fingerprint;
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_weaviate::{Client, WeaviateError};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::Api;
use kube::core::ResourceExt as _;
use secrecy::SecretString;
use url::Url;

use super::context::{Context, Stores};
use crate::effects::chain;
use crate::runtime::patience::{options, patience};

/// How long a node gets to answer a probe. A node that is slower is in trouble, and health must name a lost node
/// within 10 s.
const PROBE_TIMEOUT: Duration = patience(Duration::from_secs(3));

/// Clients that are kept. Each holds a pool of connections; a cluster of 100 nodes needs 101.
const CLIENT_LIMIT: usize = 1024;

/// How long a key is used before its Secret is read again. A thousand collections of one cluster would read the same
/// Secret a thousand times; a key that was changed is known this much later.
const KEY_AGE: SignedDuration = SignedDuration::from_secs(10);

/// Where a key lies: namespace, Secret and key in it.
type KeyPlace = (String, String, String);

/// Clients by address and key, so that connections live longer than one round; and the keys, with when they were read.
#[derive(Default)]
pub struct Connections {
    clients: Mutex<BTreeMap<(String, String, Duration), Client>>,
    keys: Mutex<BTreeMap<KeyPlace, (Timestamp, SecretString)>>,
    /// Addresses that lead elsewhere: those of pods and Services lead nowhere in tests.
    #[cfg(test)]
    pub(in crate::controllers) redirects: Mutex<BTreeMap<String, String>>,
}

/// Clients of one cluster.
#[derive(Clone)]
pub struct ClusterClients {
    /// The common address.
    pub common: Client,
    /// Each node's own address; a node without one is missing.
    pub nodes: BTreeMap<String, Client>,
    /// Each node's cluster data port, which asks for no key and is sent none; a node of which it is not known is missing.
    pub data: BTreeMap<String, Client>,
}

/// The API key, or why it could not be had.
pub enum Key {
    /// The servers ask for none.
    None,
    /// This one.
    Some(SecretString),
    /// The Secret does not exist.
    NoSecret(String),
    /// The Secret could not be read, or lacks the key.
    Unreadable(String),
}

/// Reads the API key by the name of its Secret; Secrets are never listed or watched.
pub async fn api_key(kube: &kube::Client, cluster: &WeaviateCluster) -> Key {
    let Some((name, key)) = names::api_key_secret(cluster) else {
        return Key::None;
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(kube.clone(), &namespace);
    match api.get_opt(&name).await {
        Ok(Some(secret)) => {
            let bytes = secret.data.as_ref().and_then(|data| data.get(&key));
            match bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()) {
                Some(text) if !text.trim().is_empty() => Key::Some(SecretString::from(text.trim().to_owned())),
                _ => Key::Unreadable(format!("Secret {name} has no key {key}, or it is empty; add it")),
            }
        }
        Ok(None) => Key::NoSecret(format!("Secret {name} does not exist; create it with the key {key}")),
        Err(error) => Key::Unreadable(format!("Secret {name} could not be read: {}", chain(&error))),
    }
}

impl Connections {
    /// The API key as it was read a moment ago, or is read now.
    pub async fn api_key(&self, kube: &kube::Client, cluster: &WeaviateCluster, now: Timestamp) -> Key {
        let Some((name, key)) = names::api_key_secret(cluster) else {
            return Key::None;
        };
        let id = (cluster.namespace().unwrap_or_default(), name, key);
        let known = self.keys.lock().ok().and_then(|mut keys| {
            keys.retain(|_, (at, _)| now.duration_since(*at) < KEY_AGE);
            keys.get(&id).map(|(_, key)| key.clone())
        });
        if let Some(key) = known {
            return Key::Some(key);
        }
        let answer = api_key(kube, cluster).await;
        if let (Key::Some(key), Ok(mut keys)) = (&answer, self.keys.lock()) {
            keys.insert(id, (now, key.clone()));
        }
        answer
    }

    /// Clients of this cluster. `timeout`: for probes; `None` for work.
    pub fn open(
        &self,
        spec: &ClusterSpec,
        stores: &Stores,
        key: Option<&SecretString>,
        probe: bool,
    ) -> Result<ClusterClients, String> {
        let timeout = if probe { PROBE_TIMEOUT } else { patience(elysia_weaviate::CALL_TIMEOUT) };
        let common = self.client(&spec.rest(), key, timeout)?;
        let mut nodes = BTreeMap::new();
        for (name, url) in addresses(spec, stores) {
            nodes.insert(name, self.client(&url, key, timeout)?);
        }
        let mut data = BTreeMap::new();
        for (name, url) in data_addresses(spec, stores) {
            data.insert(name, self.client(&url, None, timeout)?);
        }
        Ok(ClusterClients { common, nodes, data })
    }

    fn client(&self, address: &str, key: Option<&SecretString>, timeout: Duration) -> Result<Client, String> {
        use secrecy::ExposeSecret as _;
        #[cfg(test)]
        let redirected = self.redirects.lock().ok().and_then(|redirects| redirects.get(address).cloned());
        #[cfg(test)]
        let address = redirected.as_deref().unwrap_or(address);
        let key_print = key.map(|key| fingerprint::of_bytes(key.expose_secret().as_bytes())).unwrap_or_default();
        let id = (address.to_owned(), key_print, timeout);
        let mut clients = self.clients.lock().map_err(|_| "the clients are gone after a panic".to_owned())?;
        if let Some(client) = clients.get(&id) {
            return Ok(client.clone());
        }
        let url: Url = address.parse().map_err(|error| format!("{address} is not an address: {error}"))?;
        let mut options = options(url);
        options.api_key = key.cloned();
        options.call_timeout = timeout;
        let client = Client::new(options).map_err(|error| chain(&error))?;
        if clients.len() >= CLIENT_LIMIT {
            // Pods come and go with new addresses; whoever is still needed is opened again.
            clients.clear();
        }
        clients.insert(id, client.clone());
        Ok(client)
    }
}

/// Each node's own address: a pod's own IP, because the name of a pod that was restarted resolves to its old address
/// until DNS caches expire.
fn addresses(spec: &ClusterSpec, stores: &Stores) -> Vec<(String, String)> {
    match &spec.kind {
        Kind::External(external) => external.nodes.iter().map(|node| (node.name.clone(), node.url.clone())).collect(),
        Kind::Managed(_) => pod_addresses(spec, stores, names::REST_PORT),
    }
}

/// Each node's cluster data port, as far as it is known.
fn data_addresses(spec: &ClusterSpec, stores: &Stores) -> Vec<(String, String)> {
    match &spec.kind {
        Kind::External(external) => {
            external.nodes.iter().filter_map(|node| Some((node.name.clone(), node.data_url.clone()?))).collect()
        }
        Kind::Managed(_) => pod_addresses(spec, stores, names::DATA_PORT),
    }
}

fn pod_addresses(spec: &ClusterSpec, stores: &Stores, port: i32) -> Vec<(String, String)> {
    let wanted = spec.node_names();
    pods(spec, stores)
        .into_iter()
        .filter(|pod| wanted.contains(&pod.name_any()) && pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| {
            let address = pod.status.as_ref()?.pod_ip.as_ref()?;
            let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            Some((pod.name_any(), format!("http://{host}:{port}")))
        })
        .collect()
}

/// The pods of a managed cluster.
pub fn pods(spec: &ClusterSpec, stores: &Stores) -> Vec<std::sync::Arc<Pod>> {
    let mut pods: Vec<_> = stores
        .pods
        .state()
        .into_iter()
        .filter(|pod| {
            pod.namespace().as_deref() == Some(&spec.namespace)
                && pod.labels().get(names::CLUSTER_LABEL) == Some(&spec.name)
                && pod.labels().get("app.kubernetes.io/component").map(String::as_str) == Some("server")
        })
        .collect();
    pods.sort_by_key(|pod| pod.name_any());
    pods
}

/// Nodes of a managed cluster whose server was started after this time.
pub fn started_after(time: Timestamp, namespace: &str, cluster: &str, context: &Context) -> Vec<String> {
    let started = |pod: &Pod| {
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let server = statuses.iter().find(|status| status.name == "weaviate")?;
        Some(server.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)
    };
    let pods = context.stores.pods.state().into_iter().filter(|pod| {
        pod.namespace().as_deref() == Some(namespace)
            && pod.labels().get(names::CLUSTER_LABEL).map(String::as_str) == Some(cluster)
            && pod.labels().get("app.kubernetes.io/component").map(String::as_str) == Some("server")
    });
    // One that does not run now will have been started after any time in the past.
    let mut late: Vec<String> =
        pods.filter(|pod| started(pod).is_none_or(|started| started > time)).map(|pod| pod.name_any()).collect();
    late.sort();
    late
}

/// What a call saw, its error as an observation.
pub fn sight<T>(answer: Result<T, WeaviateError>) -> Sight<T> {
    match answer {
        Ok(value) => Sight::Seen(value),
        Err(error) => {
            let kind = match &error {
                WeaviateError::Unreachable { .. }
                | WeaviateError::Interrupted { .. }
                | WeaviateError::Timeout { .. } => BlindnessKind::Unreachable,
                WeaviateError::Denied { .. } => BlindnessKind::Unauthorized,
                WeaviateError::NotSupported { .. } => BlindnessKind::Unsupported,
                _ => BlindnessKind::Failed,
            };
            Sight::unseen(kind, chain(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use elysia_testkit::kubernetes::KubernetesApi;
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_key_that_was_changed_is_known_a_little_later() {
        let api = KubernetesApi::new();
        let secret = |key: &str| {
            let data = json!({"apiKey": k8s_openapi::ByteString(key.as_bytes().to_vec())});
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k", "namespace": "n"}, "data": data})
        };
        api.seed::<Secret>(&serde_json::from_value(secret("first")).unwrap());
        let cluster: WeaviateCluster = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster", "metadata": {"name": "w", "namespace": "n"},
            "spec": {"external": {
                "url": "http://w:8080", "auth": {"apiKeySecretRef": {"name": "k", "key": "apiKey"}},
            }},
        }))
        .unwrap();
        let connections = Connections::default();
        let read = async |second: i64| {
            let now = Timestamp::from_second(second).unwrap();
            match connections.api_key(&api.client(), &cluster, now).await {
                Key::Some(key) => key.expose_secret().to_owned(),
                Key::NoSecret(why) | Key::Unreadable(why) => why,
                Key::None => "none".to_owned(),
            }
        };
        assert_eq!(read(0).await, "first");
        api.edit::<Secret>("n", "k", |stored| *stored = secret("second"));
        assert_eq!(read(9).await, "first");
        assert_eq!(read(10).await, "second");
        // What could not be read is asked for again at once.
        api.remove::<Secret>("n", "k");
        assert_eq!(read(20).await, "Secret k does not exist; create it with the key apiKey");
        api.seed::<Secret>(&serde_json::from_value(secret("third")).unwrap());
        assert_eq!(read(20).await, "third");
    }
}
