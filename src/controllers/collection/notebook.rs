//! Where journals stand: each in a ConfigMap of its own, without an owner, because it has to outlive its object.

use std::collections::BTreeMap;

use elysia_api::names::{self, JOURNAL_KEY};
use elysia_core::sight::{BlindnessKind, Sight};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use serde::de::DeserializeOwned;

use super::super::context::Context;
use crate::effects::{EffectError, chain, kubernetes};

/// Where a journal stands, and of what it speaks.
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

/// Reads a journal and the version of its ConfigMap. One that cannot be read is unknown, and nothing is done.
pub(super) async fn read<J: DeserializeOwned>(
    namespace: &str,
    name: &str,
    context: &Context,
) -> (Sight<Option<J>>, Option<String>) {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), namespace);
    let unseen = |message: String| (Sight::unseen(BlindnessKind::Failed, message), None);
    let config = match api.get_opt(name).await {
        Ok(Some(config)) => config,
        Ok(None) => return (Sight::Seen(None), None),
        Err(error) => return unseen(format!("ConfigMap {name} could not be read: {}", chain(&error))),
    };
    let text = config.data.as_ref().and_then(|data| data.get(JOURNAL_KEY)).map(String::as_str).unwrap_or_default();
    match serde_json::from_str(text) {
        Ok(journal) => (Sight::Seen(Some(journal)), config.metadata.resource_version),
        Err(error) => unseen(format!("ConfigMap {name} holds no journal ({error}); mend or delete it by hand")),
    }
}

/// Writes a journal to its place, with more labels if there are any; a second writer is refused by the version.
pub(super) async fn write(
    place: &Place<'_>,
    labels: &[(&str, &str)],
    text: serde_json::Result<String>,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let text = text.map_err(|error| EffectError::Refused(format!("the journal could not be written down: {error}")))?;
    let always = [
        (names::CLUSTER_LABEL, place.cluster),
        (names::COLLECTION_LABEL, place.object),
        ("app.kubernetes.io/managed-by", names::OPERATOR_MANAGER),
    ];
    let labels = always.iter().chain(labels).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let config = ConfigMap {
        metadata: ObjectMeta {
            name: Some(place.name.to_owned()),
            namespace: Some(place.namespace.to_owned()),
            labels: Some(labels.collect()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(JOURNAL_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    };
    kubernetes::write_config_map(&context.kube, config, version).await
}
