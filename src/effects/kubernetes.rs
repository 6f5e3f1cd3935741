//! Writes to Kubernetes: apply what differs, create what must be made once, report a status.

use elysia_api::names;
use elysia_core::covers::covers;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::ResourceExt as _;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

use super::EffectError;

/// The API server's word for an object that its rules forbid.
const INVALID: u16 = 422;

/// Applies the object if the live one does not say the same already, owned by `owner`.
///
/// The look first keeps an object at rest from being written at every round.
pub async fn apply<K, O>(client: &Client, mut object: K, owner: Option<&O>) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    O: Resource<DynamicType = ()>,
{
    if let Some(owner) = owner.and_then(|owner| owner.controller_owner_ref(&())) {
        object.meta_mut().owner_references = Some(vec![owner]);
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let what = || format!("apply {} {namespace}/{name}", K::kind(&()));
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let wanted = typed(&object);
    if let Some(live) = api.get_opt(&name).await.map_err(EffectError::kubernetes(what()))?
        && covers(&typed(&live), &wanted)
    {
        return Ok(false);
    }
    let parameters = PatchParams::apply(names::OPERATOR_MANAGER).force();
    match api.patch(&name, &parameters, &Patch::Apply(&wanted)).await {
        Ok(now) if covers(&typed(&now), &wanted) => {}
        // An apply keeps the entries that another hand added to a list, and a list with both may be invalid. A merge
        // puts the list in its place; without it the object would be written at every round and never be as wanted.
        Ok(_) => merge(&api, &name, &wanted).await.map_err(EffectError::kubernetes(what()))?,
        Err(kube::Error::Api(status)) if status.code == INVALID => {
            merge(&api, &name, &wanted).await.map_err(EffectError::kubernetes(what()))?;
        }
        Err(error) => return Err(EffectError::kubernetes(what())(error)),
    }
    tracing::info!(kind = %K::kind(&()), namespace, name, "applied");
    Ok(true)
}

async fn merge<K>(api: &Api<K>, name: &str, wanted: &Value) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let parameters = PatchParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PatchParams::default() };
    api.patch(name, &parameters, &Patch::Merge(wanted)).await.map(|_| ())
}

/// The object as JSON with its kind, which lists and typed objects leave out.
fn typed<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(K::api_version(&())));
        map.insert("kind".to_owned(), json!(K::kind(&())));
    }
    value
}

/// Creates the object unless one of that name is there; it is never changed afterwards.
pub async fn create_once<K>(client: &Client, object: &K) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, object).await {
        Ok(_) => {
            tracing::info!(kind = %K::kind(&()), namespace, name, "created");
            Ok(true)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(EffectError::kubernetes(format!("create {} {namespace}/{name}", K::kind(&())))(error)),
    }
}

/// Creates the object, owned by `owner`, unless one of that name is there; it is never changed afterwards.
pub async fn create_once_owned<K, O>(client: &Client, mut object: K, owner: &O) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    O: Resource<DynamicType = ()>,
{
    object.meta_mut().owner_references = owner.controller_owner_ref(&()).map(|owner| vec![owner]);
    create_once(client, &object).await
}

/// Creates the Secret with a new random API key, unless it is there. It has no owner: it outlives the cluster's object
/// together with the volumes that were written under it.
pub async fn create_api_key(client: &Client, namespace: &str, name: &str, cluster: &str) -> Result<(), EffectError> {
    // Two random UUIDs: 244 bits from the system's generator.
    let key = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {(names::CLUSTER_LABEL): cluster, "app.kubernetes.io/managed-by": names::OPERATOR_MANAGER},
        },
        "type": "Opaque",
        "stringData": {(names::API_KEY): key},
    }))
    .map_err(|error| EffectError::Refused(format!("the Secret {name} could not be written down: {error}")))?;
    create_once(client, &secret).await.map(|_| ())
}

/// Deletes this very pod; one that was made anew under the name meanwhile is left alone.
pub async fn restart_pod(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), EffectError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &parameters).await {
        Ok(_) => {
            tracing::warn!(namespace, name, "restarted a node that started alone");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(EffectError::kubernetes(format!("delete Pod {namespace}/{name}"))(error)),
    }
}

/// Deletes an ended Job and its pods.
pub async fn forget_job(client: &Client, namespace: &str, name: &str) -> Result<(), EffectError> {
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(EffectError::kubernetes(format!("delete Job {namespace}/{name}"))(error)),
    }
}

/// Writes the status if it differs from the one that the object has.
pub async fn report<K, S>(client: &Client, object: &K, before: Option<&S>, status: &S) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    S: PartialEq + Serialize,
{
    if before == Some(status) {
        return Ok(false);
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid keeps a status from landing in an object that was made anew under the name.
        "metadata": {"name": name, "uid": object.uid()},
        "status": status,
    });
    let parameters = PatchParams::apply(names::OPERATOR_MANAGER).force();
    match api.patch_status(&name, &parameters, &Patch::Apply(&body)).await {
        Ok(_) => Ok(true),
        // Deleted meanwhile, or made anew: there is nobody to report to.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(error) => {
            Err(EffectError::kubernetes(format!("report the status of {} {namespace}/{name}", K::kind(&())))(error))
        }
    }
}

/// Writes a ConfigMap whole. `version`: the resourceVersion that was read, so that a second writer is refused; `None`
/// creates it.
pub async fn write_config_map(
    client: &Client,
    mut config: ConfigMap,
    version: Option<String>,
) -> Result<(), EffectError> {
    let (namespace, name) = (config.namespace().unwrap_or_default(), config.name_any());
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PostParams::default() };
    let written = match version {
        None => api.create(&parameters, &config).await,
        Some(version) => {
            config.metadata.resource_version = Some(version);
            api.replace(&name, &parameters, &config).await
        }
    };
    written.map(|_| ()).map_err(EffectError::kubernetes(format!("write ConfigMap {namespace}/{name}")))
}
