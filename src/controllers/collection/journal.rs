//! The journal of an approved plan: a ConfigMap without an owner, because it has to outlive the object.

use std::collections::BTreeMap;

use elysia_api::names;
use elysia_core::collection::{CollectionSpec, Journal};
use elysia_core::sight::{BlindnessKind, Sight};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;

use super::super::cluster::HOLDS_AUTO_SCHEMA_OFF;
use super::super::context::Context;
use crate::effects::{EffectError, chain, kubernetes};

/// Key of the journal in its ConfigMap.
pub(in crate::controllers) const KEY: &str = "journal.json";

/// A journal and the version of the ConfigMap that it stands in.
pub(super) struct Stored {
    /// The journal.
    pub(super) journal: Journal,
    /// resourceVersion.
    pub(super) version: String,
}

/// Reads the journal of this object. One that cannot be read is unknown, and nothing is done.
pub(super) async fn read(spec: &CollectionSpec, context: &Context) -> Sight<Option<Stored>> {
    let name = spec.journal();
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let config = match api.get_opt(&name).await {
        Ok(config) => config,
        Err(error) => {
            return Sight::unseen(
                BlindnessKind::Failed,
                format!("ConfigMap {name} could not be read: {}", chain(&error)),
            );
        }
    };
    let Some(config) = config else {
        return Sight::Seen(None);
    };
    let text = config.data.as_ref().and_then(|data| data.get(KEY)).map(String::as_str).unwrap_or_default();
    match serde_json::from_str(text) {
        Ok(journal) => {
            let version = config.metadata.resource_version.unwrap_or_default();
            Sight::Seen(Some(Stored { journal, version }))
        }
        Err(error) => Sight::unseen(
            BlindnessKind::Failed,
            format!("ConfigMap {name} holds no journal ({error}); mend or delete it by hand"),
        ),
    }
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

/// Where a journal stands.
pub(in crate::controllers) struct Place<'a> {
    /// Namespace of the ConfigMap.
    pub(in crate::controllers) namespace: &'a str,
    /// Its name.
    pub(in crate::controllers) name: &'a str,
    /// The cluster that it speaks of.
    pub(in crate::controllers) cluster: &'a str,
    /// The object whose plan it is.
    pub(in crate::controllers) object: &'a str,
}

/// Writes a journal to its place.
pub(in crate::controllers) async fn write_at(
    place: &Place<'_>,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let text = serde_json::to_string_pretty(journal)
        .map_err(|error| EffectError::Refused(format!("the journal could not be written down: {error}")))?;
    let labels = [
        (names::CLUSTER_LABEL, place.cluster),
        (names::COLLECTION_LABEL, place.object),
        ("app.kubernetes.io/managed-by", names::OPERATOR_MANAGER),
        (HOLDS_AUTO_SCHEMA_OFF, if journal.cursor.is_over() { "false" } else { "true" }),
    ];
    let config = ConfigMap {
        metadata: ObjectMeta {
            name: Some(place.name.to_owned()),
            namespace: Some(place.namespace.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
        ..ConfigMap::default()
    };
    kubernetes::write_config_map(&context.kube, config, version).await?;
    tracing::info!(collection = journal.collection, cursor = ?journal.cursor, stopped = journal.stopped, "wrote journal");
    Ok(())
}
