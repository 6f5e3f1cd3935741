//! The nodes of a journey's cluster, each at its own address: what is done behind the operator's back, and what is there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use elysia_weaviate::{Client as Weaviate, Consistency, Object, Page, WeaviateError};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// How long a write may take to the last replica once a majority has it: milliseconds, and more on a machine that is full.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// The nodes of a cluster, each at its own address.
pub(crate) struct Nodes {
    pub(crate) clients: BTreeMap<String, Weaviate>,
    pub(crate) key: String,
}

impl Nodes {
    pub(crate) fn first(&self) -> &Weaviate {
        self.clients.values().next().unwrap()
    }

    /// Creates a class behind the operator's back.
    pub(crate) async fn create(&self, name: &str, shards: i64, factor: i64) {
        self.try_create(name, shards, factor).await.unwrap();
    }

    async fn try_create(&self, name: &str, shards: i64, factor: i64) -> Result<(), WeaviateError> {
        let class = json!({
            "class": name,
            "vectorizer": "none",
            "shardingConfig": {"desiredCount": shards},
            "replicationConfig": {"factor": factor},
            "properties": [{"name": "title", "dataType": ["text"]}],
        });
        self.first().create_class(&class).await
    }

    /// Deletes a class that an object declares, and makes another one of its name, empty. Where the operator was quicker
    /// and made the declared one in between, it is done once more.
    pub(crate) async fn replace(&self, name: &str, shards: i64, factor: i64) {
        loop {
            self.first().delete_class(name).await.unwrap();
            match self.try_create(name, shards, factor).await {
                Ok(()) => return,
                Err(WeaviateError::Invalid { .. }) => println!("   the operator made {name} first"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Writes objects with ids made from their numbers, acknowledged by every replica.
    pub(crate) async fn fill(&self, class: &str, count: u32) -> Vec<Uuid> {
        self.write(class, None, 0..count, Consistency::All).await
    }

    /// Writes objects with ids made from their numbers through the first node.
    pub(crate) async fn write(
        &self,
        class: &str,
        tenant: Option<&str>,
        numbers: Range<u32>,
        consistency: Consistency,
    ) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for number in numbers {
            let id = Uuid::from_u128(u128::from(number) + 1);
            let properties = Map::from_iter([("title".to_owned(), json!(format!("title {number}")))]);
            let object = Object {
                id,
                class: class.to_owned(),
                tenant: tenant.map(str::to_owned),
                last_update_time: None,
                properties,
                vector: None,
                vectors: BTreeMap::new(),
            };
            self.first().create_object(&object, consistency).await.unwrap();
            ids.push(id);
        }
        ids
    }

    /// The ids that each node lists at its own address.
    pub(crate) async fn ids(&self, class: &str) -> BTreeMap<String, Vec<Uuid>> {
        self.ids_of(class, None).await
    }

    /// The ids of a tenant that each node lists at its own address. Asking wakes a tenant that is at rest.
    pub(crate) async fn ids_of(&self, class: &str, tenant: Option<&str>) -> BTreeMap<String, Vec<Uuid>> {
        let mut lists = BTreeMap::new();
        for (node, client) in &self.clients {
            let mut ids = Vec::new();
            loop {
                let page = Page { class, tenant, after: ids.last().copied(), limit: 500 };
                let more = client.list_ids(page).await.unwrap();
                if more.is_empty() {
                    break;
                }
                ids.extend(more);
            }
            lists.insert(node.clone(), ids);
        }
        lists
    }

    /// The objects that the servers' own statistics count in a class: what `/v1/nodes` says, replica by replica.
    pub(crate) async fn statistics_count(&self, class: &str) -> u64 {
        let url = format!("{}/v1/nodes/{class}?output=verbose", self.first().address().trim_end_matches('/'));
        let authorization = format!("Bearer {}", self.key);
        let answer = tokio::task::spawn_blocking(move || {
            let mut answer = ureq::get(&url).header("Authorization", &authorization).call().unwrap();
            answer.body_mut().read_json::<Value>().unwrap()
        });
        let answer = answer.await.unwrap();
        let shards =
            answer["nodes"].as_array().unwrap().iter().flat_map(|node| node["shards"].as_array().into_iter().flatten());
        shards.map(|shard| shard["objectCount"].as_u64().unwrap_or(0)).sum()
    }

    /// Asserts that every node lists exactly these ids.
    pub(crate) async fn assert_all_hold(&self, class: &str, ids: &[Uuid]) {
        for (node, list) in self.ids(class).await {
            assert_eq!(list.len(), ids.len(), "{node} lists another number of objects of {class}");
            assert_eq!(list, ids, "{node} lists other objects of {class}");
        }
    }

    /// The same behind what a majority confirmed, as a restore writes: the last replica gets it moments later.
    pub(crate) async fn come_to_hold(&self, class: &str, ids: &[Uuid]) {
        let started = Instant::now();
        while started.elapsed() < CATCH_UP && self.ids(class).await.values().any(|list| list != ids) {
            tokio::time::sleep(POLL).await;
        }
        self.assert_all_hold(class, ids).await;
    }

    /// Asserts that every shard has this many replicas and the class this factor.
    pub(crate) async fn assert_replicated(&self, class: &str, factor: usize) {
        let state = self.first().sharding_state(class).await.unwrap().unwrap();
        assert!(!state.shards.is_empty(), "{class} has no shards");
        for shard in &state.shards {
            assert_eq!(shard.replicas.len(), factor, "{}: {:?}", shard.shard, shard.replicas);
        }
        let live = self.first().class(class, elysia_weaviate::SchemaRead::Leader).await.unwrap().unwrap();
        assert_eq!(live["replicationConfig"]["factor"], json!(factor));
    }
}
