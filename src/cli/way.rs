//! The way of `index run FILE`, `sync`, `watch` and `tune`, of `backup`, `restore` and `collection migrate` to the servers:
//! through a WeaviateCluster, or by an address without any Kubernetes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use elysia_core::cluster::{PROTECTED_ALWAYS, matches_pattern};
use elysia_weaviate::{Client, WeaviateError};
use futures::future::try_join_all;
use secrecy::SecretString;
use url::Url;

use super::Target;
use super::client::{Reader, chain};
use super::forward::OpenedCluster;
use super::printer::Printer;
use super::session::{Session, Stop};
use crate::runtime::patience::options;
use crate::worker::backup::ways::{Node, Ways};

/// Environment variable with the API key where no WeaviateCluster names a Secret. Never an argument: everybody on the
/// machine sees those.
const KEY_VARIABLE: &str = "WEAVIATE_API_KEY";
/// The same for servers that are copied to.
const TARGET_KEY_VARIABLE: &str = "WEAVIATE_TARGET_API_KEY";
/// Where Weaviate serves gRPC unless it is told otherwise (`GRPC_PORT`).
const GRPC_PORT: u16 = 50051;

/// How to reach the servers.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Way to the servers")]
pub(super) struct WayArgs {
    /// WeaviateCluster; the only one in the namespace when left out
    #[arg(long, conflicts_with = "url", value_parser = NonEmptyStringValueParser::new())]
    cluster: Option<String>,
    /// Address of a Weaviate server, e.g. `http://localhost:8080`: then no Kubernetes is asked. The API key is read from
    /// the environment variable `WEAVIATE_API_KEY`
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Its address for gRPC; port 50051 of the same host when left out
    #[arg(long, value_name = "URL", requires = "url")]
    grpc: Option<Url>,
    /// A node of it at its own addresses, REST and gRPC; once for each node. Then all of them work, and replicas are compared
    #[arg(long, value_name = "NAME=URL,URL", requires = "url", value_parser = node_address)]
    node: Vec<NodeAddress>,
    /// File with the API key, instead of `WEAVIATE_API_KEY`
    #[arg(long, value_name = "FILE", requires = "url")]
    api_key_file: Option<PathBuf>,
}

impl WayArgs {
    /// The same with this WeaviateCluster, unless another way is said.
    pub(super) fn or_cluster(&self, cluster: Option<&str>) -> Self {
        let is_said = self.cluster.is_some() || self.url.is_some();
        let cluster = if is_said { self.cluster.clone() } else { cluster.map(str::to_owned) };
        Self { cluster, ..self.clone() }
    }

    /// Whether nothing is said.
    pub(super) fn is_default(&self) -> bool {
        let Self { cluster, url, grpc, node, api_key_file } = self;
        cluster.is_none() && url.is_none() && grpc.is_none() && node.is_empty() && api_key_file.is_none()
    }
}

/// An open way. Dropping it closes it.
pub(super) struct Way {
    pub(super) common: Client,
    /// Nodes that take data at their own addresses; empty where those are not known.
    pub(super) nodes: Vec<Client>,
    /// What tells this cluster from others, for people and for the name of a run. No secret is in it.
    pub(super) address: String,
    /// The same for whose a prefix or a receipt is: with the uid of a WeaviateCluster, since another cluster may have equal
    /// names.
    pub(super) identity: String,
    opened: Option<OpenedCluster>,
    /// Nodes that were named on the command line.
    named: Vec<Node>,
}

impl Way {
    /// The pattern that protects a collection. Without a WeaviateCluster only those are known that hold everywhere.
    pub(super) fn protection(&self, collection: &str) -> Option<String> {
        match &self.opened {
            Some(opened) => opened.spec.protection(collection).map(str::to_owned),
            None => {
                PROTECTED_ALWAYS.into_iter().find(|pattern| matches_pattern(pattern, collection)).map(str::to_owned)
            }
        }
    }

    /// The same ways for backups and restores, which tell nodes apart.
    pub(super) fn ways(&self) -> Ways {
        let nodes = self.opened.iter().flat_map(|opened| &opened.nodes).filter(|(_, client)| client.has_grpc());
        let nodes = nodes.map(|(name, client)| Node { name: name.clone(), client: client.clone() });
        Ways { common: self.common.clone(), nodes: nodes.chain(self.named.iter().cloned()).collect() }
    }

    /// Asks once: what is long and tries again should not begin with a wrong address or key.
    pub(super) async fn reach(&self) -> Result<(), Stop> {
        let unreached = |name: &str, error: &WeaviateError| {
            let next = "see that the address and the key are right, and that the servers run";
            Stop::unknown(format!("{name}{}", self.explain(&chain(error))), next)
        };
        self.common.meta().await.map_err(|error| unreached("", &error))?;
        if self.named.is_empty() {
            return Ok(());
        }
        // Under a name that no node has it would never be asked, and nobody would be told.
        let has = self.common.nodes().await.map_err(|error| unreached("", &error))?;
        let has: BTreeSet<String> = has.into_iter().map(|node| node.name).collect();
        for Node { name, .. } in &self.named {
            if !has.contains(name) {
                let has = has.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(Stop::usage(format!("the cluster has no node {name}; its nodes are {has}")));
            }
        }
        let asked = self.named.iter().map(async |Node { name, client }| {
            client.meta().await.map_err(|error| unreached(&format!("node {name}: "), &error))
        });
        try_join_all(asked).await?;
        Ok(())
    }

    /// A failure in words, with what the forwarding of ports has to say about it.
    pub(super) fn explain(&self, message: &str) -> String {
        let troubles = self.opened.iter().flat_map(OpenedCluster::troubles);
        troubles.fold(message.to_owned(), |text, trouble| format!("{text}; {trouble}"))
    }
}

pub(super) async fn open(args: &WayArgs, target: &Target, printer: Printer) -> Result<Way, Stop> {
    if let Some(url) = &args.url {
        return at(args, url);
    }
    through(args.cluster.as_deref(), target, printer).await
}

async fn through(cluster: Option<&str>, target: &Target, printer: Printer) -> Result<Way, Stop> {
    let reader = Reader::connect(target).await?;
    let session = Session::new(reader, target, printer)?;
    let opened = session.open(cluster).await?;
    let address = format!("{}/{}", opened.spec.namespace, opened.spec.name);
    let identity = format!("{address} ({})", opened.object.metadata.uid.as_deref().unwrap_or_default());
    let common = opened.common.clone();
    let nodes = opened.nodes_with_grpc();
    Ok(Way { common, nodes, address, identity, opened: Some(opened), named: Vec::new() })
}

/// An address as it may be written down: no user, no password, no query.
fn bare(url: &Url) -> String {
    let mut bare = url.clone();
    // One that can have neither has none.
    bare.set_username("").ok();
    bare.set_password(None).ok();
    bare.set_query(None);
    bare.set_fragment(None);
    bare.to_string()
}

fn at(args: &WayArgs, url: &Url) -> Result<Way, Stop> {
    let key = key(args.api_key_file.as_deref(), KEY_VARIABLE)?;
    let common = client(url, args.grpc.as_ref(), key, "--grpc")?;
    let key = || self::key(args.api_key_file.as_deref(), KEY_VARIABLE);
    let named = named(&args.node, key, "--node")?;
    let nodes = named.iter().map(|node| node.client.clone()).collect();
    let address = bare(url);
    Ok(Way { common, nodes, identity: address.clone(), address, opened: None, named })
}

/// Clients of nodes that were named. `option` is what named them.
fn named(
    nodes: &[NodeAddress],
    key: impl Fn() -> Result<Option<SecretString>, Stop>,
    option: &str,
) -> Result<Vec<Node>, Stop> {
    let node = |node: &NodeAddress| {
        let client = client(&node.rest, Some(&node.grpc), key()?, option)?;
        Ok(Node { name: node.name.clone(), client })
    };
    nodes.iter().map(node).collect()
}

/// A client of this address. `option` is what says the address for gRPC.
fn client(url: &Url, grpc: Option<&Url>, key: Option<SecretString>, option: &str) -> Result<Client, Stop> {
    let grpc = if let Some(grpc) = grpc {
        grpc.clone()
    } else {
        let mut grpc = url.clone();
        grpc.set_path("");
        let set = grpc.set_port(Some(GRPC_PORT));
        set.map_err(|()| Stop::usage(format!("{} cannot have a port: say {option} URL", bare(url))))?;
        grpc
    };
    let mut options = options(url.clone()).grpc(grpc);
    if let Some(key) = key {
        options = options.api_key(key);
    }
    Client::new(options).map_err(|error| Stop::usage(chain(&error)))
}

fn key(file: Option<&Path>, variable: &str) -> Result<Option<SecretString>, Stop> {
    let text = match file {
        Some(file) => Some(std::fs::read_to_string(file).map_err(|error| {
            Stop::refused(format!("{}: {error}", file.display()), "write the API key into it, and nothing else")
        })?),
        None => std::env::var(variable).ok(),
    };
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    Ok(text.map(SecretString::from))
}

/// How to reach servers that are copied to.
#[expect(clippy::struct_field_names, reason = "they are names of options")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Way to the servers that are copied to; the same servers when left out")]
pub(super) struct ToArgs {
    /// WeaviateCluster that is copied to
    #[arg(long, conflicts_with = "to_url", value_name = "CLUSTER", value_parser = NonEmptyStringValueParser::new())]
    to_cluster: Option<String>,
    /// Its namespace; that of `--namespace` when left out
    #[arg(long, requires = "to_cluster", value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    to_namespace: Option<String>,
    /// Context of the kubeconfig for it; that of `--context` when left out
    #[arg(long, requires = "to_cluster", value_name = "CONTEXT", value_parser = NonEmptyStringValueParser::new())]
    to_context: Option<String>,
    /// Address of a Weaviate server that is copied to: then no Kubernetes is asked for it. The API key is read from the
    /// environment variable `WEAVIATE_TARGET_API_KEY`
    #[arg(long, visible_alias = "target", value_name = "URL")]
    to_url: Option<Url>,
    /// Its address for gRPC; port 50051 of the same host when left out
    #[arg(long, value_name = "URL", requires = "to_url")]
    to_grpc: Option<Url>,
    /// A node of it at its own addresses, REST and gRPC; once for each node
    #[arg(long, value_name = "NAME=URL,URL", requires = "to_url", value_parser = node_address)]
    to_node: Vec<NodeAddress>,
    /// File with its API key, instead of `WEAVIATE_TARGET_API_KEY`
    #[arg(long, value_name = "FILE", requires = "to_url")]
    to_api_key_file: Option<PathBuf>,
}

/// A node and its own addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
struct NodeAddress {
    name: String,
    rest: Url,
    grpc: Url,
}

fn node_address(text: &str) -> Result<NodeAddress, String> {
    let wanted = "write NAME=REST-URL,GRPC-URL";
    let (name, addresses) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or(wanted)?;
    let (rest, grpc) = addresses.split_once(',').ok_or(wanted)?;
    let url = |text: &str| text.parse::<Url>().map_err(|error| format!("`{text}` is no address: {error}"));
    Ok(NodeAddress { name: name.to_owned(), rest: url(rest)?, grpc: url(grpc)? })
}

/// The way to the servers that are copied to; `None`: the same ones.
pub(super) async fn open_target(args: &ToArgs, target: &Target, printer: Printer) -> Result<Option<Way>, Stop> {
    if let Some(cluster) = &args.to_cluster {
        let other = Target {
            namespace: args.to_namespace.clone().or_else(|| target.namespace.clone()),
            context: args.to_context.clone().or_else(|| target.context.clone()),
            ..target.clone()
        };
        return through(Some(cluster), &other, printer).await.map(Some);
    }
    let Some(url) = &args.to_url else { return Ok(None) };
    let key = || key(args.to_api_key_file.as_deref(), TARGET_KEY_VARIABLE);
    let common = client(url, args.to_grpc.as_ref(), key()?, "--to-grpc")?;
    let named = named(&args.to_node, key, "--to-node")?;
    let nodes = named.iter().map(|node| node.client.clone()).collect();
    let address = bare(url);
    Ok(Some(Way { common, nodes, identity: address.clone(), address, opened: None, named }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_has_no_secret() {
        let url: Url = "http://user:s3cret@search:8080/v1?token=s3cret#s3cret".parse().unwrap();
        let args = WayArgs { cluster: None, url: Some(url.clone()), grpc: None, node: Vec::new(), api_key_file: None };
        let way = at(&args, &url).unwrap();
        assert_eq!((way.address.as_str(), way.identity.as_str()), ("http://search:8080/v1", "http://search:8080/v1"));
    }

    #[test]
    fn a_node_has_a_name_and_two_addresses() {
        let node = node_address("w-0=http://w-0:8080,http://w-0:50051").unwrap();
        assert_eq!((node.name.as_str(), node.grpc.port()), ("w-0", Some(50051)));
        for wrong in ["w-0", "=http://a:1,http://a:2", "w-0=http://a:1", "w-0=a,b"] {
            assert!(node_address(wrong).is_err(), "{wrong}");
        }
    }
}
