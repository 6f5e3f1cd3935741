//! A ground in memory, whose searches look at every object.

use elysia_engine::backup::memory::MemoryCluster;
use elysia_engine::backup::verify::compare::{Metric, Nearest};
use elysia_engine::backup::verify::drill::Searcher;
use elysia_engine::ports::PortError;
use uuid::Uuid;

use super::Ground;

/// A cluster in memory, and what becomes of a collection behind everybody's back between its restore and its comparison.
pub(crate) struct MemoryGround {
    pub(crate) cluster: MemoryCluster,
    pub(crate) meddle: fn(&MemoryCluster, &str),
    /// Of each search so many are found.
    pub(crate) finds: usize,
}

impl MemoryGround {
    pub(crate) fn new(cluster: MemoryCluster) -> Self {
        Self { cluster, meddle: |_, _| {}, finds: usize::MAX }
    }
}

pub(crate) struct Exact {
    cluster: MemoryCluster,
    name: String,
    finds: usize,
}

impl Ground for MemoryGround {
    type Target = MemoryCluster;
    type Source = MemoryCluster;
    type Searcher = Exact;

    fn target(&self, name: &str) -> MemoryCluster {
        self.cluster.collection(name)
    }

    fn source(&self) -> MemoryCluster {
        for name in self.cluster.names().iter().filter(|name| name.contains("_drill_")) {
            (self.meddle)(&self.cluster, name);
        }
        self.cluster.clone()
    }

    fn searcher(&self, name: &str) -> Exact {
        Exact { cluster: self.cluster.clone(), name: name.to_owned(), finds: self.finds }
    }

    async fn delete(&self, name: &str) -> Result<(), PortError> {
        self.cluster.delete(name)
    }
}

impl Searcher for Exact {
    async fn nearest(
        &self,
        tenant: Option<&str>,
        vector: &str,
        to: &[f32],
        most: usize,
    ) -> Result<Vec<Uuid>, PortError> {
        let mut nearest = Nearest::new(vector.to_owned(), to.to_vec(), Metric::Cosine, most);
        let class = self.cluster.get(&self.name).unwrap_or_default();
        let objects = class.objects.get(tenant.unwrap_or_default()).into_iter().flatten();
        objects.for_each(|(_, object)| nearest.look(object));
        let mut found = nearest.ids();
        found.truncate(self.finds);
        Ok(found)
    }
}
