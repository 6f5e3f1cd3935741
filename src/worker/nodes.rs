//! All nodes of a cluster by turns: what one cannot be asked, the next one is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elysia_engine::ports::PortError;
use elysia_weaviate::{Client, ErrorCategory, WeaviateError};
use tokio::time::Instant;
use tracing::warn;

use super::sink::port;

/// How long a node that could not be reached is passed over: about the time in which one restarts, and short beside a
/// call that waits for a node that is gone.
const PASSED_OVER: Duration = Duration::from_secs(5);

/// The nodes, and since when which of them cannot be reached.
pub(super) struct Nodes {
    clients: Vec<Client>,
    passed_over_until: Mutex<Vec<Option<Instant>>>,
    turn: AtomicUsize,
}

impl Nodes {
    /// At least one node.
    pub(super) fn new(clients: Vec<Client>) -> Self {
        let passed_over_until = Mutex::new(vec![None; clients.len()]);
        Self { clients, passed_over_until, turn: AtomicUsize::new(0) }
    }

    /// Asks one node after the other until one can be asked: the node whose turn it is, then the others. Only a broken
    /// or impossible connection moves on; any answer is an answer, and a call that got none in time is not sent again
    /// here, because it may still be carried out.
    pub(super) async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, WeaviateError>>,
    {
        let mut last = None;
        for node in self.order(self.turn.fetch_add(1, Ordering::Relaxed), Instant::now()) {
            let Some(client) = self.clients.get(node) else { continue };
            match call(client.clone()).await {
                Ok(value) => {
                    self.lock()[node] = None;
                    return Ok(value);
                }
                Err(error) if error.category() == ErrorCategory::Network => {
                    if self.lock()[node].replace(Instant::now() + PASSED_OVER).is_none() {
                        warn!(node = client.address(), error = super::chain(&error), "node cannot be reached");
                    }
                    last = Some(port(&error));
                }
                Err(error) => return Err(port(&error)),
            }
        }
        Err(last.unwrap_or_else(nobody))
    }

    /// Asks one node and no other: for what must not be carried out twice, and may have been when a connection breaks.
    pub(super) async fn once<T, F>(&self, call: impl FnOnce(Client) -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, WeaviateError>>,
    {
        let order = self.order(self.turn.fetch_add(1, Ordering::Relaxed), Instant::now());
        let Some((node, client)) = order.first().and_then(|node| Some((*node, self.clients.get(*node)?))) else {
            return Err(nobody());
        };
        let done = call(client.clone()).await;
        self.lock()[node] = match &done {
            Err(error) if error.category() == ErrorCategory::Network => Some(Instant::now() + PASSED_OVER),
            Ok(_) | Err(_) => None,
        };
        done.map_err(|error| port(&error))
    }

    /// All nodes, from the one whose turn it is; those that could not be reached a moment ago last.
    fn order(&self, turn: usize, now: Instant) -> Vec<usize> {
        let count = self.clients.len().max(1);
        let passed_over = self.lock();
        let mut order = (0..self.clients.len()).map(|step| turn.wrapping_add(step) % count).collect::<Vec<_>>();
        order.sort_by_key(|node| passed_over.get(*node).is_some_and(|until| until.is_some_and(|until| until > now)));
        order
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.passed_over_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nobody() -> PortError {
    PortError {
        category: elysia_engine::category::Category::Unknown,
        retryable: false,
        message: "there is no node to ask".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use elysia_engine::category::Category;
    use elysia_testkit::weaviate::FakeWeaviate;

    use super::*;
    use crate::runtime::patience::options;

    fn client(url: &str) -> Client {
        Client::new(options(url.parse().unwrap())).unwrap()
    }

    /// An address where nobody listens, and nobody begins to: a port that is given out again is another test's.
    const NOBODY: &str = "http://127.0.0.1:1";

    #[tokio::test]
    async fn a_node_that_is_gone_is_passed_over_and_the_others_take_its_turns() {
        let servers = FakeWeaviate::start(&["w-0", "w-1"]).await.unwrap();
        let begun = Instant::now();
        let nodes = [NOBODY.to_owned(), servers.address("w-0"), servers.address("w-1")];
        let nodes = Nodes::new(nodes.iter().map(|url| client(url)).collect());
        for _ in 0..6 {
            nodes.call(async |node: Client| node.meta().await).await.unwrap();
        }
        assert!(nodes.lock()[0].is_some());
        assert_eq!((0..3).map(|turn| nodes.order(turn, begun)).collect::<Vec<_>>(), [[1, 2, 0], [1, 2, 0], [2, 1, 0]]);
    }

    #[tokio::test]
    async fn with_nobody_left_the_failure_says_so() {
        let nodes = Nodes::new(vec![client(NOBODY), client(NOBODY)]);
        let asked = AtomicUsize::new(0);
        let error = nodes.call(async |node: Client| {
            asked.fetch_add(1, Ordering::Relaxed);
            node.meta().await
        });
        let error = error.await.unwrap_err();
        assert_eq!((error.category, error.retryable, asked.into_inner()), (Category::Network, true, 2));
    }
}
