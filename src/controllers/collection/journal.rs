//! The journal of an approved recreation.

use elysia_core::collection::{CollectionSpec, Journal};
use elysia_core::sight::Sight;

use super::super::cluster::HOLDS_AUTO_SCHEMA_OFF;
use super::super::context::Context;
use super::notebook::{self, Place};
use crate::effects::EffectError;

/// Reads the journal of this object and the version of its ConfigMap.
pub(super) async fn read(spec: &CollectionSpec, context: &Context) -> (Sight<Option<Journal>>, Option<String>) {
    notebook::read(&spec.namespace, &spec.journal(), context).await
}

/// Writes the journal; a second writer is refused by the version.
pub(super) async fn write(
    spec: &CollectionSpec,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let place = Place { namespace: &spec.namespace, name: &spec.journal(), cluster: &spec.cluster, object: &spec.name };
    write_at(&place, journal, version, context).await
}

/// Writes a journal to its place.
pub(in crate::controllers) async fn write_at(
    place: &Place<'_>,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let holds = (HOLDS_AUTO_SCHEMA_OFF, if journal.cursor.is_over() { "false" } else { "true" });
    notebook::write(place, &[holds], serde_json::to_string_pretty(journal), version, context).await?;
    tracing::info!(collection = journal.collection, cursor = ?journal.cursor, stopped = journal.stopped, "wrote journal");
    Ok(())
}
