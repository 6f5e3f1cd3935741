//! How an `IndexSource` stands.

use std::collections::BTreeMap;

use elysia_api::IndexSource;
use elysia_api::condition::ConditionType;
use elysia_api::index_source::{CheckpointStatus, Counts, DeadLetter, RunStatus};
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::standing::is;
use super::{Malformed, Standing, next};

/// One feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the collection in Weaviate; empty when the object could not be understood.
    pub collection: String,
    /// Name of its cluster; empty when the object could not be understood.
    pub cluster: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Lines of the present run and what became of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Whether every line of the present content was dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<bool>,
    /// The present or last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// How far it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// Rejected lines and failed calls by category.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, i64>,
    /// The first rejected lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dead_letter: Vec<DeadLetter>,
}

/// Judges one feed by its conditions. Rejected lines are a warning: the feed did with them what it was told to.
pub fn of_feed(feed: &IndexSource) -> Standing {
    let status = feed.status.as_ref();
    let observed = status.and_then(|status| status.observed_generation);
    let conditions = status.map_or(&[][..], |status| &status.conditions);
    let mut standing = Standing::read(feed, observed, conditions);
    let counts = status.and_then(|status| status.counts.as_ref());
    if let Some(counts) = counts.filter(|counts| counts.rejected > 0) {
        standing.warnings.push(format!("{} of {} lines were rejected", counts.rejected, counts.lines));
    }
    let command = next::for_feed(feed, &standing);
    standing.advise(command);
    standing
}

impl FeedReport {
    pub(super) fn of(listed: &Result<IndexSource, Malformed>) -> Self {
        let feed = match listed {
            Ok(feed) => feed,
            Err(malformed) => return Self::malformed(malformed),
        };
        let status = feed.status.clone().unwrap_or_default();
        Self {
            namespace: next::namespace(feed),
            name: feed.name_any(),
            collection: feed.spec.collection.clone(),
            cluster: feed.spec.cluster_ref.name.clone(),
            standing: of_feed(feed),
            counts: status.counts,
            caught_up: is(&status.conditions, ConditionType::CaughtUp),
            run: status.run,
            checkpoint: status.checkpoint,
            errors: status.errors,
            dead_letter: status.dead_letter,
        }
    }

    fn malformed(object: &Malformed) -> Self {
        Self {
            namespace: object.namespace.clone(),
            name: object.name.clone(),
            collection: String::new(),
            cluster: String::new(),
            standing: Standing::malformed(object),
            counts: None,
            caught_up: None,
            run: None,
            checkpoint: None,
            errors: BTreeMap::new(),
            dead_letter: Vec::new(),
        }
    }
}
