//! The way to the Weaviate servers of a cluster, with the user's own rights.
//!
//! A managed cluster is reached through the API server's port-forward: for each pod a listener on 127.0.0.1 pipes what
//! it accepts to the pod, so that the client for Weaviate works as it does everywhere. An external cluster is asked at
//! the addresses of its spec. Nothing here is asked of the operator.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use elysia_api::{WeaviateCluster, names};
use elysia_core::cluster::{ClusterSpec, Kind};
use elysia_core::health::{Sighted, Unread};
use elysia_weaviate::{Client, WeaviateError};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::client::UpgradeConnectionError;
use kube::{Api, ResourceExt as _};
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use super::client::{Question, REQUEST_TIMEOUT, Reader, chain};
use crate::runtime::patience::options;

/// A cluster whose servers can be asked. Dropping it closes the way.
pub(super) struct OpenedCluster {
    /// The object that was opened.
    pub(super) object: WeaviateCluster,
    /// Its checked spec: node names, protected names.
    pub(super) spec: ClusterSpec,
    /// Version that the server behind [`Self::common`] says.
    pub(super) version: String,
    /// A server that answered, or the cluster's common address.
    pub(super) common: Client,
    /// Each node at its own address; a node without one is missing. That it stands here does not say that it answers.
    pub(super) nodes: BTreeMap<String, Client>,
    tunnels: BTreeMap<String, Tunnel>,
}

impl fmt::Debug for OpenedCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OpenedCluster")
            .field("name", &self.spec.name)
            .field("nodes", &self.nodes.keys())
            .finish_non_exhaustive()
    }
}

impl OpenedCluster {
    /// Why a call to a node failed: what the client says, and what the way there had to say.
    pub(super) fn explain(&self, node: &str, error: &WeaviateError) -> String {
        let text = chain(error);
        match self.tunnels.get(node).and_then(Tunnel::trouble) {
            Some(trouble) => format!("{text}: {}", trouble.message),
            None => text,
        }
    }
}

impl OpenedCluster {
    /// The nodes that take batches at addresses of their own.
    pub(super) fn nodes_with_grpc(&self) -> Vec<Client> {
        self.nodes.values().filter(|node| node.has_grpc()).cloned().collect()
    }

    /// Which ways could not be gone the last time, and why.
    pub(super) fn troubles(&self) -> impl Iterator<Item = String> {
        self.tunnels.values().filter_map(Tunnel::trouble).map(|trouble| trouble.message)
    }
}

/// One connection to a pod.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to a port of a pod. Tests have one of their own.
pub(super) type Dial = Arc<dyn Fn(String, u16) -> BoxFuture<'static, Result<Box<dyn Stream>, Unread>> + Send + Sync>;

/// The cluster that is meant: the named one, or the only one in the namespace.
pub(super) async fn choose(reader: &Reader, namespace: &str, name: Option<&str>) -> Result<WeaviateCluster, Unread> {
    let list = format!("kubectl get weaviateclusters -n {namespace}");
    if let Some(name) = name {
        let api: Api<WeaviateCluster> = Api::namespaced(reader.client.clone(), namespace);
        let question = Question::new::<WeaviateCluster>("get", Some(namespace));
        return reader.ask(&question, api.get_opt(name)).await?.ok_or_else(|| Unread {
            message: format!("no WeaviateCluster {name} in namespace {namespace}"),
            next: list,
        });
    }
    let clusters = match reader.list::<WeaviateCluster>(Some(namespace)).await {
        Sighted::Seen(clusters) => clusters,
        Sighted::Unreadable(unread) => return Err(unread),
    };
    let mut found = Vec::new();
    for cluster in clusters {
        match cluster {
            Ok(cluster) => found.push(cluster),
            // It might be the one that is meant.
            Err(odd) => {
                let message = format!("WeaviateCluster {} cannot be read: {}", odd.name, odd.message);
                return Err(Unread { message, next: list });
            }
        }
    }
    match found.len() {
        0 => Err(Unread { message: format!("no WeaviateCluster in namespace {namespace}"), next: list }),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<String> = found.iter().map(kube::ResourceExt::name_any).collect();
            let message = format!("namespace {namespace} has several clusters: {}; name one", names.join(", "));
            Err(Unread { message, next: format!("add --cluster {}", names[0]) })
        }
    }
}

/// Opens the cluster of this name.
pub(super) async fn open(reader: &Reader, namespace: &str, cluster: &str) -> Result<OpenedCluster, Unread> {
    let object = choose(reader, namespace, Some(cluster)).await?;
    open_object(reader, object).await
}

/// Opens a cluster that was read already.
pub(super) async fn open_object(reader: &Reader, object: WeaviateCluster) -> Result<OpenedCluster, Unread> {
    let dial = through_api_server(reader.client.clone(), object.namespace().unwrap_or_default());
    open_by(reader, object, &dial).await
}

/// Opens a cluster over connections that `dial` makes.
pub(super) async fn open_by(reader: &Reader, object: WeaviateCluster, dial: &Dial) -> Result<OpenedCluster, Unread> {
    let spec = ClusterSpec::validate(&object).map_err(|error| Unread {
        message: format!("WeaviateCluster {}: {error}", object.name_any()),
        next: format!(
            "kubectl edit weaviatecluster {} -n {}",
            object.name_any(),
            object.namespace().unwrap_or_default()
        ),
    })?;
    match &spec.kind {
        Kind::External(_) => open_external(reader, object, spec).await,
        Kind::Managed(_) => open_managed(reader, object, spec, dial).await,
    }
}

async fn open_external(reader: &Reader, object: WeaviateCluster, spec: ClusterSpec) -> Result<OpenedCluster, Unread> {
    let Kind::External(external) = &spec.kind else { unreachable!("the caller looked") };
    let key = api_key(reader, &object).await?;
    let common = client(&external.url, external.grpc.as_deref(), key.as_ref())?;
    let mut nodes = BTreeMap::new();
    for node in &external.nodes {
        nodes.insert(node.name.clone(), client(&node.url, None, key.as_ref())?);
    }
    let version = version(&common).await.map_err(|why| Unread {
        message: format!("cluster {} cannot be asked from here: {why}", spec.name),
        next: format!("curl -i {}/v1/.well-known/ready", external.url),
    })?;
    Ok(OpenedCluster { object, spec, version, common, nodes, tunnels: BTreeMap::new() })
}

async fn open_managed(
    reader: &Reader,
    object: WeaviateCluster,
    spec: ClusterSpec,
    dial: &Dial,
) -> Result<OpenedCluster, Unread> {
    let (key, pods) = futures::join!(api_key(reader, &object), running_pods(reader, &spec));
    let (key, pods) = (key?, pods?);
    let see_pods = format!("kubectl get pods -n {} -l {}={}", spec.namespace, names::CLUSTER_LABEL, spec.name);
    if pods.is_empty() {
        return Err(Unread { message: format!("no pod of cluster {} is running", spec.name), next: see_pods });
    }
    let (mut nodes, mut tunnels) = (BTreeMap::new(), BTreeMap::new());
    for (pod, _) in &pods {
        let tunnel = Tunnel::dig(pod, dial).await.map_err(|error| Unread {
            message: format!("no port of this machine can be listened at: {error}"),
            next: "ulimit -n".to_owned(),
        })?;
        nodes.insert(pod.clone(), client(&tunnel.rest, Some(&tunnel.grpc), key.as_ref())?);
        tunnels.insert(pod.clone(), tunnel);
    }
    // Those that are ready first: the others are asked only when none of them answers.
    let candidates = pods.iter().filter(|(_, ready)| *ready).chain(pods.iter().filter(|(_, ready)| !*ready));
    let mut refusal = None;
    for (pod, _) in candidates {
        let Some(common) = nodes.get(pod) else { continue };
        match version(common).await {
            Ok(version) => {
                let common = common.clone();
                return Ok(OpenedCluster { object, spec, version, common, nodes, tunnels });
            }
            Err(why) => {
                let trouble = tunnels.get(pod).and_then(Tunnel::trouble);
                let forbidden = trouble.as_ref().is_some_and(|trouble| trouble.message.starts_with(FORBIDDEN));
                let named = |why: String| Unread {
                    message: format!("pod {pod} of cluster {} cannot be asked: {why}", spec.name),
                    next: see_pods.clone(),
                };
                let unread = trouble.unwrap_or_else(|| named(why));
                if forbidden {
                    return Err(unread);
                }
                refusal.get_or_insert(unread);
            }
        }
    }
    Err(refusal.unwrap_or(Unread { message: format!("no pod of cluster {} answers", spec.name), next: see_pods }))
}

/// How a message about a missing right begins.
const FORBIDDEN: &str = "forbidden: ";

/// The version that a server says; an answer proves the way there and the key.
async fn version(client: &Client) -> Result<String, String> {
    match tokio::time::timeout(REQUEST_TIMEOUT, client.meta()).await {
        Ok(Ok(meta)) => Ok(meta.version),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {REQUEST_TIMEOUT:?}")),
    }
}

fn client(rest: &str, grpc: Option<&str>, key: Option<&SecretString>) -> Result<Client, Unread> {
    let parse = |address: &str| {
        address.parse::<Url>().map_err(|error| Unread {
            message: format!("{address} is no address: {error}"),
            next: "kubectl get weaviateclusters -o yaml".to_owned(),
        })
    };
    let mut options = options(parse(rest)?);
    options.grpc = grpc.map(parse).transpose()?;
    options.api_key = key.cloned();
    Client::new(options)
        .map_err(|error| Unread { message: chain(&error), next: "kubectl get weaviateclusters -o yaml".to_owned() })
}

/// The API key, read from its Secret by name; `None` when the servers ask for none.
async fn api_key(reader: &Reader, cluster: &WeaviateCluster) -> Result<Option<SecretString>, Unread> {
    let Some((name, key)) = names::api_key_secret(cluster) else { return Ok(None) };
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(reader.client.clone(), &namespace);
    let question = Question::named::<Secret>("get", Some(&namespace), &name);
    let see = format!("kubectl get secret {name} -n {namespace}");
    let secret = reader.ask(&question, api.get_opt(&name)).await?.ok_or_else(|| Unread {
        message: format!("Secret {name} with the API key does not exist in namespace {namespace}"),
        next: see.clone(),
    })?;
    let bytes = secret.data.as_ref().and_then(|data| data.get(&key));
    match bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok()) {
        Some(text) if !text.trim().is_empty() => Ok(Some(SecretString::from(text.trim().to_owned()))),
        _ => Err(Unread {
            message: format!("Secret {name} in namespace {namespace} has no key {key}, or it is empty"),
            next: see,
        }),
    }
}

/// The running pods of the servers, and whether each says that it is ready; sorted by name.
async fn running_pods(reader: &Reader, spec: &ClusterSpec) -> Result<Vec<(String, bool)>, Unread> {
    let api: Api<Pod> = Api::namespaced(reader.client.clone(), &spec.namespace);
    let question = Question::new::<Pod>("list", Some(&spec.namespace));
    let labels = format!("{}={}", names::CLUSTER_LABEL, spec.name);
    let pods = reader.ask(&question, api.list(&ListParams::default().labels(&labels))).await?;
    // Names and not one more label: the Elysia service's pods carry the cluster's name too.
    let wanted = spec.node_names();
    let mut running: Vec<(String, bool)> = pods
        .into_iter()
        .filter(|pod| wanted.contains(&pod.name_any()) && pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| {
            let status = pod.status.as_ref()?;
            let ready = |kind: &str, value: &str| kind == "Ready" && value == "True";
            let is_ready = status.conditions.iter().flatten().any(|seen| ready(&seen.type_, &seen.status));
            (status.phase.as_deref() == Some("Running")).then(|| (pod.name_any(), is_ready))
        })
        .collect();
    running.sort();
    Ok(running)
}

/// Connects by the API server's port-forward.
fn through_api_server(client: kube::Client, namespace: String) -> Dial {
    Arc::new(move |pod, port| {
        let (client, namespace) = (client.clone(), namespace.clone());
        Box::pin(async move {
            let api: Api<Pod> = Api::namespaced(client, &namespace);
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, api.portforward(&pod, &[port])).await;
            let mut forwarder = match answer {
                Ok(Ok(forwarder)) => forwarder,
                Ok(Err(error)) => return Err(unforwarded(&namespace, &pod, &error)),
                Err(_) => return Err(no_stream(&namespace, &pod, &format!("no answer within {REQUEST_TIMEOUT:?}"))),
            };
            let stream = forwarder.take_stream(port);
            let stream = stream.ok_or_else(|| no_stream(&namespace, &pod, "the API server opened no stream"))?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}

fn unforwarded(namespace: &str, pod: &str, error: &kube::Error) -> Unread {
    let status = match error {
        kube::Error::Api(status) => Some(status.code),
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => Some(status.as_u16()),
        _ => None,
    };
    if status == Some(403) {
        // `get` for the upgrade of the connection, and since Kubernetes 1.35 `create` as well.
        return Unread {
            message: format!(
                "{FORBIDDEN}your account lacks the verbs `get` and `create` on `pods/portforward` in namespace {namespace}"
            ),
            next: format!("kubectl auth can-i create pods --subresource=portforward -n {namespace}"),
        };
    }
    no_stream(namespace, pod, &chain(error))
}

fn no_stream(namespace: &str, pod: &str, why: &str) -> Unread {
    Unread {
        message: format!("no port of pod {pod} could be forwarded: {why}"),
        next: format!("kubectl port-forward -n {namespace} pod/{pod} {}", names::REST_PORT),
    }
}

/// Two listeners on this machine, for REST and gRPC, that lead to one pod. Dropping it closes them and what came in.
struct Tunnel {
    rest: String,
    grpc: String,
    trouble: Arc<Mutex<Option<Unread>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Tunnel {
    async fn dig(pod: &str, dial: &Dial) -> io::Result<Self> {
        let trouble = Arc::new(Mutex::new(None));
        let (rest, rest_task) = listen(pod, REST_PORT, dial, &trouble).await?;
        let (grpc, grpc_task) = listen(pod, GRPC_PORT, dial, &trouble).await?;
        Ok(Self { rest, grpc, trouble, tasks: [rest_task, grpc_task] })
    }

    /// Why the last connection could not be made; `None` when it could.
    fn trouble(&self) -> Option<Unread> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// [`names::REST_PORT`] as port-forward takes it.
const REST_PORT: u16 = 8080;
/// [`names::GRPC_PORT`] as port-forward takes it.
const GRPC_PORT: u16 = 50051;

const _: () = assert!(REST_PORT as i32 == names::REST_PORT && GRPC_PORT as i32 == names::GRPC_PORT);

async fn listen(
    pod: &str,
    port: u16,
    dial: &Dial,
    trouble: &Arc<Mutex<Option<Unread>>>,
) -> io::Result<(String, JoinHandle<()>)> {
    // On the loopback alone, at a port that nobody chose: it lives as long as one command.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (pod, dial, trouble) = (pod.to_owned(), Arc::clone(dial), Arc::clone(trouble));
    let task = tokio::spawn(async move {
        // Connections end with the listener: whoever drops the set ends them.
        let mut connections = JoinSet::new();
        while let Ok((near, _)) = listener.accept().await {
            while connections.try_join_next().is_some() {}
            connections.spawn(pipe(near, dial(pod.clone(), port), Arc::clone(&trouble)));
        }
    });
    Ok((address, task))
}

async fn pipe(
    mut near: TcpStream,
    far: BoxFuture<'static, Result<Box<dyn Stream>, Unread>>,
    trouble: Arc<Mutex<Option<Unread>>>,
) {
    let far = far.await;
    let (far, now) = match far {
        Ok(far) => (Some(far), None),
        Err(unread) => (None, Some(unread)),
    };
    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = now;
    if let Some(mut far) = far {
        // A connection that breaks breaks for the client too, which says so.
        copy_bidirectional(&mut near, &mut far).await.ok();
    }
}

#[cfg(test)]
mod tests;
