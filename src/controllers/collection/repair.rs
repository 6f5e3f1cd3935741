//! The journal of a plan that takes replicas away, so that an approval that was used is not used again.

use elysia_core::collection::CollectionSpec;
use elysia_core::collection::repair::Journal;
use elysia_core::sight::Sight;

use super::super::context::Context;
use super::notebook::{self, Place};
use crate::effects::EffectError;

/// Reads the journal and the version of its ConfigMap. One that cannot be read is unknown, and nothing is done.
pub(super) async fn read(spec: &CollectionSpec, context: &Context) -> (Sight<Option<Journal>>, Option<String>) {
    notebook::read(&spec.namespace, &spec.repair_journal(), context).await
}

/// Writes the journal; a second writer is refused by the version.
pub(super) async fn write(
    spec: &CollectionSpec,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let place =
        Place { namespace: &spec.namespace, name: &spec.repair_journal(), cluster: &spec.cluster, object: &spec.name };
    notebook::write(&place, &[], serde_json::to_string(journal), version, context).await?;
    tracing::info!(
        collection = journal.collection,
        action = journal.action.as_str(),
        cursor = journal.cursor,
        over = journal.over,
        stopped = journal.stopped,
        "wrote journal of a repair"
    );
    Ok(())
}
