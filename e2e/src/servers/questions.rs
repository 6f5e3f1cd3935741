//! Where the servers are, and what they are asked and told.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Child;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Servers;
use super::ports::Ports;
use super::rest::{Consistency, Listing};

impl Servers {
    /// Version of the servers.
    pub fn version(&self) -> &str {
        &self.options.version
    }

    /// Where the servers' logs are.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// The folder of a node's data.
    pub fn data_folder(&self, node: &str) -> Result<PathBuf> {
        Ok(self.data(self.number(node)?))
    }

    /// Where a node listens.
    pub fn ports(&self, node: &str) -> Result<Ports> {
        Ok(self.block.ports(self.number(node)?))
    }

    /// REST address of one node, without a slash at its end.
    pub fn rest(&self, node: &str) -> Result<String> {
        Ok(format!("http://{}:{}", self.options.host, self.ports(node)?.rest))
    }

    /// gRPC address of one node.
    pub fn grpc(&self, node: &str) -> Result<String> {
        Ok(format!("http://{}:{}", self.options.host, self.ports(node)?.grpc))
    }

    /// Address at which the nodes talk to each other. `/v1/cluster/remove` lives there, from 1.35 on.
    pub fn data_url(&self, node: &str) -> Result<String> {
        Ok(format!("http://{}:{}", self.options.host, self.ports(node)?.data))
    }

    /// Number of the process of a running node.
    pub fn pid(&self, node: &str) -> Result<u32> {
        let number = self.number(node)?;
        self.lock()[number].as_ref().map(Child::id).with_context(|| format!("{node} does not run"))
    }

    /// Takes a node out of the RAFT configuration, asked at `by`. The servers say 200 to a name that nobody has.
    pub fn remove_from_raft(&self, by: &str, node: &str) -> Result<()> {
        self.number(node)?;
        let body = json!({"node": node});
        let url = format!("{}/v1/cluster/remove", self.data_url(by)?);
        let (status, answer) = self.rest.post(&url, &body)?;
        if status == 404 {
            // 1.31 and 1.32 answer it where everybody can ask.
            return self.rest.send(&format!("{}/v1/cluster/remove", self.rest(by)?), &body).map(drop);
        }
        ensure!(status == 200, "POST {url}: {status} {answer}");
        Ok(())
    }

    /// Creates a class as given, asked at one node.
    pub fn create_class(&self, node: &str, class: &Value) -> Result<()> {
        self.rest.send(&format!("{}/v1/schema", self.rest(node)?), class).map(drop)
    }

    /// Status and body of a GET of a path such as `/v1/schema` at one node.
    pub fn get(&self, node: &str, path: &str) -> Result<(u16, Value)> {
        self.rest.get(&format!("{}{path}", self.rest(node)?))
    }

    /// The body of a POST to a path of one node, which must be answered by 200.
    pub fn post(&self, node: &str, path: &str, body: &Value) -> Result<Value> {
        self.rest.send(&format!("{}{path}", self.rest(node)?), body)
    }

    /// The body of a PUT to a path of one node, which must be answered by 200.
    pub fn put(&self, node: &str, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.rest.put(&format!("{}{path}", self.rest(node)?), body)?;
        ensure!(status == 200, "PUT {path} at {node}: {status} {answer}");
        Ok(answer)
    }

    /// Writes whole objects through one node, as one batch.
    pub fn put_batch(&self, node: &str, objects: &[Value], consistency: Consistency) -> Result<()> {
        self.rest.put_batch(&self.rest(node)?, objects, consistency)
    }

    /// Writes the objects with these numbers through one node. The same number is always the same object.
    pub fn put_objects(
        &self,
        node: &str,
        class: &str,
        numbers: Range<u32>,
        consistency: Consistency,
    ) -> Result<Vec<Uuid>> {
        self.rest.put_objects(&self.rest(node)?, class, None, numbers, consistency)
    }

    /// The same for one tenant.
    pub fn put_tenant_objects(
        &self,
        node: &str,
        class: &str,
        tenant: &str,
        numbers: Range<u32>,
        consistency: Consistency,
    ) -> Result<Vec<Uuid>> {
        self.rest.put_objects(&self.rest(node)?, class, Some(tenant), numbers, consistency)
    }

    /// What a node lists at its own address: what its replicas hold, as far as it has one of every shard.
    pub fn ids(&self, node: &str, class: &str, tenant: Option<&str>) -> Result<Listing> {
        self.rest.list(&self.rest(node)?, class, tenant)
    }

    /// The replicas of each shard as this node says them, sorted; `None` when there is no such class.
    pub fn sharding_state(&self, node: &str, class: &str) -> Result<Option<BTreeMap<String, Vec<String>>>> {
        self.rest.sharding_state(&self.rest(node)?, class)
    }

    /// A `WeaviateCluster` object that knows these servers, each with its own address.
    pub fn manifest(&self, name: &str) -> Result<Value> {
        let names = self.names();
        let first = names.first().context("a lab has a node")?;
        let nodes = names
            .iter()
            .map(|node| Ok(json!({"name": node, "url": self.rest(node)?, "dataUrl": self.data_url(node)?})));
        Ok(json!({
            "apiVersion": "elysia.dev/v1alpha1",
            "kind": "WeaviateCluster",
            "metadata": {"name": name},
            "spec": {
                "external": {
                    "url": self.rest(first)?,
                    "grpc": self.grpc(first)?,
                    "nodes": nodes.collect::<Result<Vec<_>>>()?,
                },
            },
        }))
    }
}
