//! Objects from random places, read at each of their replicas. Shared by the operator and the plug-in; decisions are
//! `elysia_core::verification`'s. Nothing that is read here repairs anything.

use std::collections::BTreeMap;
use std::time::Duration;

use elysia_core::verification::{Answer, ObjectKey, Placement, Reading, sample};
use elysia_weaviate::{ActivityStatus, AtReplica, Client, Page, Tenant, WeaviateError};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;
use uuid::Uuid;

use crate::runtime::patience::patience;

/// Reads of one object at one node that run at the same time. An answer has at most 4 MiB, usually some KiB.
const READS: usize = 12;

/// Objects between two looks at the clock.
const CHUNK: usize = 48;

/// How long a node may take that surely holds the object.
const PATIENCE: Duration = patience(Duration::from_secs(5));

/// How long a node may take that perhaps holds no replica of the object's shard: 1.38 tries for 5 to 10 s before it says
/// so, and a healthy answer takes some milliseconds.
const GUESSING_PATIENCE: Duration = patience(Duration::from_secs(1));

/// Reads objects at their replicas.
pub struct Reader<'a> {
    /// Name of the collection in Weaviate.
    pub collection: &'a str,
    /// The cluster's common address.
    pub common: &'a Client,
    /// Each node's own; a node without one is missing.
    pub nodes: &'a BTreeMap<String, Client>,
    /// Where the replicas are.
    pub placement: Placement<'a>,
    /// Whether the collection keeps a shard for each tenant.
    pub multi_tenant: bool,
    /// When reading ends, wherever it is.
    pub until: Instant,
}

impl Reader<'_> {
    /// Draws a sample and reads it, after the objects that are named: what was read, and how many tenants were not looked
    /// at because they are at rest.
    pub async fn first(
        &self,
        mut keys: Vec<ObjectKey>,
        size: usize,
    ) -> Result<(Vec<Reading>, Option<i64>), WeaviateError> {
        if self.placement.most_replicas() <= 1 {
            return Ok((Vec::new(), None));
        }
        let mut asleep = None;
        let tenants = if self.multi_tenant {
            let tenants = self.common.tenants(self.collection).await?;
            let is_hot = |tenant: &Tenant| tenant.activity_status == ActivityStatus::Hot;
            let (hot, cold): (Vec<_>, Vec<_>) = tenants.into_iter().partition(is_hot);
            asleep = i64::try_from(cold.len()).ok();
            let hot: Vec<String> = hot.into_iter().map(|tenant| tenant.name).collect();
            keys.retain(|key| key.tenant.as_ref().is_some_and(|tenant| hot.contains(tenant)));
            let dice: Vec<u64> = hot.iter().map(|_| Uuid::new_v4().as_u64_pair().1).collect();
            sample::tenants(&hot, &dice).into_iter().map(Some).collect()
        } else {
            vec![None]
        };
        keys.extend(self.sample(&tenants, size).await);
        keys.truncate(size.max(elysia_api::STATUS_LIST_LIMIT));
        keys.sort();
        keys.dedup();
        Ok((self.read(keys).await, asleep))
    }

    /// Where this node is asked: at its own address, or at the common one, which passes the question on.
    fn client(&self, node: &str) -> &Client {
        self.nodes.get(node).unwrap_or(self.common)
    }

    /// Objects from random places: the same places at each node, so that what only one of them lists is found.
    async fn sample(&self, tenants: &[Option<String>], size: usize) -> Vec<ObjectKey> {
        let nodes = self.placement.nodes();
        // Without addresses of their own the nodes cannot be asked for their lists; then the common one's must do.
        let listers: Vec<(String, &Client)> = if nodes.iter().all(|node| self.nodes.contains_key(*node)) {
            nodes.iter().map(|node| ((*node).to_owned(), self.client(node))).collect()
        } else {
            vec![(String::new(), self.common)]
        };
        let starts = sample::places(size, tenants.len());
        let page = sample::page_size(size, starts * tenants.len());
        let mut places = Vec::new();
        for tenant in tenants {
            for _ in 0..starts {
                places.push(self.place(&listers, tenant.as_deref(), Some(Uuid::new_v4()), page).await);
            }
        }
        let chosen = sample::choose(&places, size);
        if chosen.len() >= size {
            return chosen;
        }
        // Few objects, or ids that are not spread: the places lay behind the last of them.
        for tenant in tenants {
            let page = sample::page_size(size, tenants.len());
            places.push(self.place(&listers, tenant.as_deref(), None, page).await);
        }
        sample::choose(&places, size)
    }

    /// What each node lists from one place on. A list that could not be had is left out.
    async fn place(
        &self,
        listers: &[(String, &Client)],
        tenant: Option<&str>,
        after: Option<Uuid>,
        limit: usize,
    ) -> (Option<String>, BTreeMap<String, sample::Listed>) {
        // Boxed, and not in closures that borrow: the compiler cannot tell otherwise that a round may change threads.
        let mut asked = Vec::with_capacity(listers.len());
        for (_, client) in listers {
            asked.push(self.list(client, tenant, after, limit).boxed());
        }
        let lists = futures::future::join_all(asked).await;
        let nodes = listers.iter().map(|(node, _)| node.clone());
        (tenant.map(str::to_owned), nodes.zip(lists).filter_map(|(node, list)| Some((node, list?))).collect())
    }

    async fn list(
        &self,
        client: &Client,
        tenant: Option<&str>,
        after: Option<Uuid>,
        mut limit: usize,
    ) -> Option<sample::Listed> {
        loop {
            let page = Page { class: self.collection, tenant, after, limit };
            match tokio::time::timeout_at(self.until, client.list_ids(page)).await {
                Ok(Ok(ids)) => {
                    let full = ids.len() >= limit;
                    return Some(sample::Listed { ids: ids.iter().map(Uuid::to_string).collect(), full });
                }
                Ok(Err(WeaviateError::TooLarge { .. })) if limit > 1 => limit /= 2,
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// Reads each object at each of its nodes, until the round's time is over.
    pub async fn read(&self, keys: Vec<ObjectKey>) -> Vec<Reading> {
        let uneven = self.placement.is_uneven();
        let mut readings = Vec::new();
        for chunk in keys.chunks(CHUNK) {
            if Instant::now() >= self.until {
                tracing::debug!(collection = self.collection, read = readings.len(), of = keys.len(), "time is over");
                break;
            }
            let (mut asked, mut questions) = (Vec::new(), Vec::new());
            for (at, key) in chunk.iter().enumerate() {
                let patience = if uneven && key.tenant.is_none() { GUESSING_PATIENCE } else { PATIENCE };
                for node in self.placement.nodes_to_ask(key) {
                    asked.push((at, node.to_owned()));
                    questions.push(self.ask(key, node, patience).boxed());
                }
            }
            let answers: Vec<Answer> = futures::stream::iter(questions).buffered(READS).collect().await;
            let mut chunk: Vec<Reading> =
                chunk.iter().map(|key| Reading { key: key.clone(), answers: BTreeMap::new() }).collect();
            for ((at, node), answer) in asked.into_iter().zip(answers) {
                chunk[at].answers.insert(node, answer);
            }
            readings.append(&mut chunk);
        }
        readings
    }

    async fn ask(&self, key: &ObjectKey, node: &str, patience: Duration) -> Answer {
        let Ok(id) = key.id.parse() else { return Answer::Silent };
        let asked = self.client(node).object_at(self.collection, key.tenant.as_deref(), id, node);
        match tokio::time::timeout(patience, asked).await {
            Ok(Ok(AtReplica::Held { digest, updated })) => Answer::Held { digest, updated },
            Ok(Ok(AtReplica::Absent)) => Answer::Absent,
            Ok(Ok(AtReplica::NotHere { shard })) => Answer::NotHere { shard },
            Ok(Err(_)) | Err(_) => Answer::Silent,
        }
    }
}
