//! What the servers say of a backup in the store itself. It is read there and nowhere else: what this store holds is what
//! a restore will find, whatever a server says of a place of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::backup::layout;
use crate::backup::manifest::DOCUMENT_BYTES;
use crate::backup::ports::{Got, Store};
use crate::ports::PortError;

/// The file that the node which coordinates a backup writes when it begins, and again when it ends.
const GLOBAL: &str = "backup_config.json";

/// `backup_config.json`, as far as anything here depends on it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the servers call it.
    pub id: String,
    /// `STARTED`, `SUCCESS`, `FAILED`, `CANCELED` …
    pub status: String,
    /// The version of the server that coordinated it.
    #[serde(default)]
    pub server_version: String,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it ended; before that a time of the first year.
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default)]
    pub error: String,
    /// The nodes that take part, with the collections of each.
    #[serde(default)]
    pub nodes: BTreeMap<String, Node>,
}

/// A node that takes part.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub struct Node {
    /// The collections of which it holds anything.
    #[serde(default)]
    pub classes: Option<Vec<String>>,
}

impl Node {
    fn has(&self, collection: &str) -> bool {
        self.classes.iter().flatten().any(|name| name == collection)
    }
}

impl Descriptor {
    /// Whether it is complete.
    pub fn is_success(&self) -> bool {
        self.status == "SUCCESS"
    }

    /// Names of the nodes that hold anything of it.
    pub fn node_names(&self) -> Vec<String> {
        let holds = |node: &Node| node.classes.as_ref().is_some_and(|classes| !classes.is_empty());
        self.nodes.iter().filter(|(_, node)| holds(node)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether any node took this collection.
    pub fn has(&self, collection: &str) -> bool {
        self.nodes.values().any(|node| node.has(collection))
    }

    /// Whether this node took it.
    pub fn has_at(&self, collection: &str, node: &str) -> bool {
        self.nodes.get(node).is_some_and(|node| node.has(collection))
    }
}

/// What lies below this run of the backup of this name; `Ok(Ok(None))` where the servers have not written anything there,
/// and `Ok(Err)` where what they wrote cannot be understood, as in the middle of a write.
pub async fn describe<S: Store>(
    store: &S,
    run: &str,
    id: &str,
) -> Result<Result<Option<Descriptor>, String>, PortError> {
    let key = layout::in_run(run, &format!("{}/{GLOBAL}", layout::native(id)));
    Ok(match store.get(&key, DOCUMENT_BYTES).await? {
        Got::Absent => Ok(None),
        Got::TooLarge(bytes) => Err(format!("{key} has {bytes} bytes, more than such a file can have")),
        Got::Bytes(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{key} cannot be read: {error}"))
        }
    })
}
