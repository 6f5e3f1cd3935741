//! The ways to a cluster: the common address, and each node's own.

use elysia_weaviate::Client;
use secrecy::SecretString;
use url::Url;

use super::failure::Failure;
use crate::runtime::patience::options;
use crate::worker::chain;
use crate::worker::work::Endpoints;

/// A node at its own address.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name, as Weaviate says it.
    pub(crate) name: String,
    /// Bound to its own address.
    pub(crate) client: Client,
}

/// Open ways.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    /// Any node.
    pub(crate) common: Client,
    /// Each node that can be asked at its own address; none where those are not known.
    pub(crate) nodes: Vec<Node>,
}

impl Ways {
    /// The clients of the nodes.
    pub(super) fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }
}

/// Opens the ways that the work names; nothing is sent yet.
pub(crate) fn ways(endpoints: &Endpoints, api_key: Option<&SecretString>) -> Result<Ways, Failure> {
    let common = connect(&endpoints.rest, &endpoints.grpc, api_key)?;
    let node = |node: &crate::worker::work::NodeEndpoints| {
        Ok(Node { name: node.name.clone(), client: connect(&node.rest, &node.grpc, api_key)? })
    };
    let nodes = endpoints.nodes.iter().map(node).collect::<Result<_, Failure>>()?;
    Ok(Ways { common, nodes })
}

fn connect(rest: &str, grpc: &str, api_key: Option<&SecretString>) -> Result<Client, Failure> {
    let options = options(address(rest)?).grpc(address(grpc)?);
    let options = match api_key {
        Some(key) => options.api_key(key.clone()),
        None => options,
    };
    Client::new(options).map_err(|error| Failure::permanent(chain(&error)))
}

fn address(text: &str) -> Result<Url, Failure> {
    text.parse().map_err(|error| Failure::permanent(format!("`{text}` is no address: {error}")))
}
