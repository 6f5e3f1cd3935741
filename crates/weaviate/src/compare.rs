//! What replicas lack of each other: their lists of ids walked side by side, a page of each in memory at a time.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::client::Client;
use crate::digest::{ID_PAGE, Walk};
use crate::error::WeaviateError;

/// Ids that one replica did not list although another one did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lacking {
    /// How many.
    pub total: u64,
    /// The first of them.
    pub sample: Vec<Uuid>,
}

struct Side<'a> {
    name: &'a str,
    client: &'a Client,
    walk: Walk<'a>,
    page: VecDeque<Uuid>,
    over: bool,
}

impl Side<'_> {
    /// The next id; `None` after the last.
    async fn next(&mut self) -> Result<Option<Uuid>, WeaviateError> {
        while self.page.is_empty() && !self.over {
            let client = self.client;
            match self.walk.step(|page| client.list_ids(page), |id| *id).await? {
                Some(ids) => self.page = ids.into(),
                None => self.over = true,
            }
        }
        Ok(self.page.front().copied())
    }
}

/// What each of these replicas lacks of what the others list; of each at most `keep` ids are named.
///
/// Each client must be bound to one node (see [`Client::list_ids`]). The lists are no snapshots: what is written or
/// deleted meanwhile may look missing, so ask for the named ids once more by themselves.
pub async fn compare_ids(
    replicas: &BTreeMap<String, Client>,
    class: &str,
    tenant: Option<&str>,
    keep: usize,
) -> Result<BTreeMap<String, Lacking>, WeaviateError> {
    let mut sides: Vec<Side<'_>> = replicas
        .iter()
        .map(|(name, client)| Side {
            name,
            client,
            walk: Walk::new(class, tenant, ID_PAGE),
            page: VecDeque::new(),
            over: false,
        })
        .collect();
    let mut lacking: BTreeMap<String, Lacking> =
        replicas.keys().map(|name| (name.clone(), Lacking::default())).collect();
    loop {
        let mut heads = Vec::with_capacity(sides.len());
        for side in &mut sides {
            heads.push(side.next().await?);
        }
        let Some(least) = heads.iter().flatten().min().copied() else { return Ok(lacking) };
        for (side, head) in sides.iter_mut().zip(heads) {
            if head == Some(least) {
                side.page.pop_front();
            } else if let Some(lacking) = lacking.get_mut(side.name) {
                lacking.total += 1;
                if lacking.sample.len() < keep {
                    lacking.sample.push(least);
                }
            }
        }
    }
}
