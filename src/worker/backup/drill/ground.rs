//! Where a drill is done: a Weaviate cluster.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use elysia_engine::backup::ports::{ObjectSource, Target};
use elysia_engine::backup::verify::drill::Searcher;
use elysia_engine::ports::PortError;
use elysia_weaviate::Nearest;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::source::{WeaviateSource, later};
use super::super::target::WeaviateTarget;
use super::super::ways::Ways;
use super::super::with_only_node;
use super::super::work::CompareWork;
use crate::worker::sink::port;

/// A cluster in which collections are made, filled, read, searched and deleted again.
pub(crate) trait Ground: Sync {
    /// One collection of it, to be written.
    type Target: Target;
    /// All of it, to be read.
    type Source: ObjectSource;
    /// One collection of it, to be searched.
    type Searcher: Searcher;

    /// The collection of this name.
    fn target(&self, name: &str) -> Self::Target;

    /// The cluster.
    fn source(&self) -> Self::Source;

    /// The collection of this name.
    fn searcher(&self, name: &str) -> Self::Searcher;

    /// Deletes the collection of this name with all objects. Who calls this has proved that it is a drill's own.
    fn delete(&self, name: &str) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// A Weaviate cluster.
pub(crate) struct WeaviateGround {
    ways: Ways,
}

impl WeaviateGround {
    /// Of these ways.
    pub(crate) async fn new(ways: &Ways) -> Self {
        Self { ways: with_only_node(ways).await }
    }
}

impl Ground for WeaviateGround {
    type Target = WeaviateTarget;
    type Source = WeaviateSource;
    type Searcher = WeaviateSearcher;

    fn target(&self, name: &str) -> WeaviateTarget {
        WeaviateTarget::new(self.ways.clone(), name)
    }

    fn source(&self) -> WeaviateSource {
        // The newest of what replicas say, as a backup reads.
        WeaviateSource::new(self.ways.clone(), CompareWork::Contents)
    }

    fn searcher(&self, name: &str) -> WeaviateSearcher {
        WeaviateSearcher { ways: self.ways.clone(), name: name.to_owned(), is_indexed: AtomicBool::new(false) }
    }

    async fn delete(&self, name: &str) -> Result<(), PortError> {
        self.ways.common.delete_class(name).await.map_err(|error| port(&error))
    }
}

/// How long an index that is made in the background is waited for before the call is over and begins anew: short, so that
/// a worker that is to stop does.
const INDEX: Duration = Duration::from_secs(20);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(500);

/// One collection of a Weaviate cluster that is searched.
pub(crate) struct WeaviateSearcher {
    ways: Ways,
    name: String,
    is_indexed: AtomicBool,
}

impl WeaviateSearcher {
    /// Waits until nothing waits to be indexed, as far as the servers say.
    async fn indexed(&self) -> Result<(), PortError> {
        let begun = Instant::now();
        while !self.is_indexed.load(Ordering::Relaxed) {
            let nodes = self.ways.common.node_shards(Some(&self.name)).await.map_err(|error| port(&error))?;
            let shards = nodes.iter().flat_map(|node| &node.shards);
            let waiting: i64 = shards.map(|shard| shard.vector_queue_length).sum();
            if waiting == 0 {
                self.is_indexed.store(true, Ordering::Relaxed);
            } else if begun.elapsed() >= INDEX {
                return Err(later(format!("{waiting} vectors of {} wait to be indexed", self.name)));
            } else {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }
}

impl Searcher for WeaviateSearcher {
    async fn nearest(
        &self,
        tenant: Option<&str>,
        vector: &str,
        to: &[f32],
        most: usize,
    ) -> Result<Vec<Uuid>, PortError> {
        self.indexed().await?;
        let search = Nearest { class: &self.name, tenant, vector, to, limit: most };
        self.ways.common.nearest(search).await.map_err(|error| port(&error))
    }
}
