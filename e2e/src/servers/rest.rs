//! What a test asks and tells the servers, one node at a time. Without the operator's own client: the crate graph keeps
//! the ground and the lab apart from what they test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ureq::Agent;
use uuid::Uuid;

/// A call on a healthy server takes milliseconds; one that was sent while there was no RAFT leader may never come back
/// (`weaviate-lab` §0.17).
const CALL: Duration = Duration::from_secs(15);
/// Objects in one batch.
const BATCH: u32 = 200;
/// Ids in one page of a list.
const PAGE: usize = 500;
/// Numbers in a vector: enough for an index, and small.
const DIMENSIONS: u32 = 8;

/// What one node lists of one collection at its own address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    /// Ascending.
    pub ids: Vec<Uuid>,
    /// SHA-256 over the 16 bytes of each id, ascending: the same as the digest that the operator compares.
    pub digest: String,
}

/// Which replicas must have confirmed a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consistency {
    /// Any one.
    One,
    /// More than half.
    Quorum,
    /// Every one.
    All,
}

impl Consistency {
    fn word(self) -> &'static str {
        match self {
            Self::One => "ONE",
            Self::Quorum => "QUORUM",
            Self::All => "ALL",
        }
    }
}

/// The id of the object with this number.
pub fn object_id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

/// REST with the servers of one lab.
#[derive(Debug)]
pub(crate) struct Rest {
    agent: Agent,
}

impl Rest {
    pub(crate) fn new() -> Self {
        // A proxy of the caller's environment knows nothing of this machine's ports.
        let config = Agent::config_builder().timeout_global(Some(CALL)).http_status_as_error(false).proxy(None).build();
        Self { agent: config.into() }
    }

    /// Status and body of a GET; a body that is no JSON is a string.
    pub(crate) fn get(&self, url: &str) -> Result<(u16, Value)> {
        let answer = self.agent.get(url).call();
        read(answer.with_context(|| format!("GET {url}"))?)
    }

    /// Status and body of a POST.
    pub(crate) fn post(&self, url: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = self.agent.post(url).send_json(body);
        read(answer.with_context(|| format!("POST {url}"))?)
    }

    /// Status and body of a PUT.
    pub(crate) fn put(&self, url: &str, body: &Value) -> Result<(u16, Value)> {
        let answer = self.agent.put(url).send_json(body);
        read(answer.with_context(|| format!("PUT {url}"))?)
    }

    /// The body of a GET that must be answered by 200.
    pub(crate) fn fetch(&self, url: &str) -> Result<Value> {
        let (status, body) = self.get(url)?;
        ensure!(status == 200, "GET {url}: {status} {body}");
        Ok(body)
    }

    /// The body of a POST that must be answered by 200.
    pub(crate) fn send(&self, url: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.post(url, body)?;
        ensure!(status == 200, "POST {url}: {status} {answer}");
        Ok(answer)
    }

    pub(crate) fn is_ready(&self, rest: &str) -> bool {
        self.get(&format!("{rest}/v1/.well-known/ready")).is_ok_and(|(status, _)| status == 200)
    }

    /// The nodes that this one sees, each with its status; `None` while it cannot say.
    pub(crate) fn nodes(&self, rest: &str) -> Option<BTreeMap<String, String>> {
        let body = self.fetch(&format!("{rest}/v1/nodes")).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(body["nodes"].as_array()?.iter().map(|node| (text(&node["name"]), text(&node["status"]))).collect())
    }

    /// The RAFT states of the nodes as this one has them; `None` while it cannot say.
    pub(crate) fn raft_states(&self, rest: &str) -> Option<BTreeMap<String, String>> {
        let body = self.fetch(&format!("{rest}/v1/cluster/statistics")).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(
            body["statistics"]
                .as_array()?
                .iter()
                .map(|one| (text(&one["name"]), text(&one["raft"]["state"])))
                .collect(),
        )
    }

    pub(crate) fn put_objects(
        &self,
        rest: &str,
        class: &str,
        tenant: Option<&str>,
        numbers: Range<u32>,
        consistency: Consistency,
    ) -> Result<Vec<Uuid>> {
        let all = numbers.collect::<Vec<_>>();
        for numbers in all.chunks(BATCH as usize) {
            let objects = numbers.iter().map(|number| object(class, tenant, *number)).collect::<Vec<_>>();
            self.put_batch(rest, &objects, consistency)?;
        }
        Ok(all.into_iter().map(object_id).collect())
    }

    /// One batch of whole objects, each of which has to be stored.
    pub(crate) fn put_batch(&self, rest: &str, objects: &[Value], consistency: Consistency) -> Result<()> {
        let url = format!("{rest}/v1/batch/objects?consistency_level={}", consistency.word());
        let answer = self.send(&url, &json!({"objects": objects}))?;
        let answers = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(answers.len() == objects.len(), "{} answers to {} objects", answers.len(), objects.len());
        // 200 says that the batch was read, not that any object was stored.
        if let Some(refused) = answers.iter().find(|answer| answer["result"]["status"] != "SUCCESS") {
            bail!("{rest} did not store {} of {}: {}", refused["id"], refused["class"], refused["result"]);
        }
        Ok(())
    }

    pub(crate) fn list(&self, rest: &str, class: &str, tenant: Option<&str>) -> Result<Listing> {
        let mut ids: Vec<Uuid> = Vec::new();
        let tenant = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
        loop {
            let after = ids.last().map(Uuid::to_string).unwrap_or_default();
            let url = format!("{rest}/v1/objects?class={class}&limit={PAGE}&after={after}{tenant}");
            let body = self.fetch(&url)?;
            let page = body["objects"].as_array().with_context(|| format!("GET {url}: no list of objects"))?;
            if page.is_empty() {
                break;
            }
            for object in page {
                let id = object["id"].as_str().with_context(|| format!("GET {url}: an object without id"))?;
                ids.push(id.parse()?);
            }
        }
        ids.sort();
        let mut hash = Sha256::new();
        for id in &ids {
            hash.update(id.as_bytes());
        }
        let mut digest = String::new();
        for byte in hash.finalize() {
            let _ = write!(digest, "{byte:02x}");
        }
        Ok(Listing { ids, digest })
    }

    /// The replicas of each shard, sorted; `None` when there is no such class.
    pub(crate) fn sharding_state(&self, rest: &str, class: &str) -> Result<Option<BTreeMap<String, Vec<String>>>> {
        let url = format!("{rest}/v1/replication/sharding-state?collection={class}");
        let (status, body) = self.get(&url)?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "GET {url}: {status} {body}");
        let list = body["shardingState"]["shards"].as_array().with_context(|| format!("GET {url}: {body}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let shards = list.iter().map(|shard| {
            let mut replicas = shard["replicas"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
            replicas.sort();
            (text(&shard["shard"]), replicas)
        });
        Ok(Some(shards.collect()))
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<(u16, Value)> {
    let text = answer.body_mut().read_to_string().context("the answer broke off")?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok((answer.status().as_u16(), body))
}

fn object(class: &str, tenant: Option<&str>, number: u32) -> Value {
    // Any numbers that differ from object to object: searches are not what a lab is for.
    let vector = (0..DIMENSIONS).map(|at| f64::from((number + 1) * (at + 3) % 97) / 97.0).collect::<Vec<_>>();
    let mut object = json!({
        "id": object_id(number),
        "class": class,
        "properties": {"title": format!("title {number}")},
        "vector": vector,
    });
    if let Some(tenant) = tenant {
        object["tenant"] = json!(tenant);
    }
    object
}
