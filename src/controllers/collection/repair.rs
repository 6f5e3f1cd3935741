//! The journal of a plan that takes replicas away: a ConfigMap of its own, without an owner, so that an approval that was
//! used is not used again.

use std::collections::BTreeMap;

use elysia_api::names;
use elysia_core::collection::CollectionSpec;
use elysia_core::collection::repair::Journal;
use elysia_core::sight::{BlindnessKind, Sight};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;

use super::super::context::Context;
use super::journal::KEY;
use crate::effects::{EffectError, chain, kubernetes};

fn name(spec: &CollectionSpec) -> String {
    names::repair_journal(&spec.name, &spec.uid)
}

/// Reads the journal and the version of its ConfigMap. One that cannot be read is unknown, and nothing is done.
pub(super) async fn read(spec: &CollectionSpec, context: &Context) -> (Sight<Option<Journal>>, Option<String>) {
    let name = name(spec);
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let unseen = |message: String| (Sight::unseen(BlindnessKind::Failed, message), None);
    let config = match api.get_opt(&name).await {
        Ok(Some(config)) => config,
        Ok(None) => return (Sight::Seen(None), None),
        Err(error) => return unseen(format!("ConfigMap {name} could not be read: {}", chain(&error))),
    };
    let text = config.data.as_ref().and_then(|data| data.get(KEY)).map(String::as_str).unwrap_or_default();
    match serde_json::from_str(text) {
        Ok(journal) => (Sight::Seen(Some(journal)), config.metadata.resource_version),
        Err(error) => unseen(format!("ConfigMap {name} holds no journal ({error}); mend or delete it by hand")),
    }
}

/// Writes the journal; a second writer is refused by the version.
pub(super) async fn write(
    spec: &CollectionSpec,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let text = serde_json::to_string(journal)
        .map_err(|error| EffectError::Refused(format!("the journal could not be written down: {error}")))?;
    let labels = [
        (names::CLUSTER_LABEL, spec.cluster.as_str()),
        (names::COLLECTION_LABEL, spec.name.as_str()),
        ("app.kubernetes.io/managed-by", names::OPERATOR_MANAGER),
    ];
    let config = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name(spec)),
            namespace: Some(spec.namespace.clone()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
        ..ConfigMap::default()
    };
    kubernetes::write_config_map(&context.kube, config, version).await?;
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
