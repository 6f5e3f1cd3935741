//! Writes to Kubernetes: apply what differs, create what must be made once, report a status.

use elysia_api::{CollectionRestore, names};
use elysia_core::covers::covers;
use elysia_core::fingerprint;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
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

/// Hash of what was applied last, on the object itself. A comparison with the live object cannot see a field that is
/// wanted no more: the server adds fields of its own.
const APPLIED_ANNOTATION: &str = "elysia.dev/applied";
/// Label of everything that is made by an operator, with its name.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Whose an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Holder {
    /// This very owner's.
    Ours,
    /// Made by this operator, and its owner let go of it: `kubectl delete --cascade=orphan`.
    Nobody,
    /// Of an owner of the same name that is gone; the garbage collector will remove it.
    Former,
    /// Somebody else's.
    Stranger,
}

fn holder(live: &ObjectMeta, owner: &OwnerReference) -> Holder {
    let controller = live.owner_references.iter().flatten().find(|reference| reference.controller == Some(true));
    let label = live.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY_LABEL)).map(String::as_str);
    match controller {
        Some(controller) if controller.uid == owner.uid => Holder::Ours,
        Some(controller)
            if (&controller.api_version, &controller.kind, &controller.name)
                == (&owner.api_version, &owner.kind, &owner.name) =>
        {
            Holder::Former
        }
        None if label == Some(names::OPERATOR_MANAGER) => Holder::Nobody,
        Some(_) | None => Holder::Stranger,
    }
}

fn owner_reference<O: Resource<DynamicType = ()>>(owner: &O) -> Result<OwnerReference, EffectError> {
    owner
        .controller_owner_ref(&())
        .ok_or_else(|| EffectError::Refused(format!("a {} without a name and a uid owns nothing", O::kind(&()))))
}

/// Why the object of this name is left alone. It must not be overwritten, nor be owned: it would go with our objects.
fn stranger<K: Resource<DynamicType = ()>>(name: &str) -> EffectError {
    EffectError::Refused(format!("{} {name} exists and is not ours; rename one of the two", K::kind(&())))
}

/// Why to wait. What the garbage collector is about to remove cannot be kept.
fn being_removed<K: Resource<DynamicType = ()>>(name: &str) -> EffectError {
    EffectError::Changed(format!("the former {} {name} is being removed", K::kind(&())))
}

/// An object that was compared with the live one and may be applied.
pub struct Allowed<K> {
    api: Api<K>,
    namespace: String,
    name: String,
    wanted: Value,
    is_there: bool,
}

/// Looks whether the object, owned by `owner`, may be applied: whether nobody else has one of that name. What consists
/// of several objects is asked for as a whole before the first of them is written.
pub async fn may_apply<K, O>(client: &Client, mut object: K, owner: &O) -> Result<Allowed<K>, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    O: Resource<DynamicType = ()>,
{
    let owner = owner_reference(owner)?;
    object.meta_mut().owner_references = Some(vec![owner.clone()]);
    let applied = fingerprint::short(&typed(&object));
    object.annotations_mut().insert(APPLIED_ANNOTATION.to_owned(), applied);
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let wanted = typed(&object);
    let what = || format!("read {} {namespace}/{name}", K::kind(&()));
    let live = api.get_opt(&name).await.map_err(EffectError::kubernetes(what()))?;
    match live.as_ref().map(|live| holder(live.meta(), &owner)) {
        None | Some(Holder::Ours | Holder::Nobody) => {}
        Some(Holder::Former) => return Err(being_removed::<K>(&name)),
        Some(Holder::Stranger) => return Err(stranger::<K>(&name)),
    }
    // The look first keeps an object at rest from being written at every round.
    let is_there = live.is_some_and(|live| covers(&typed(&live), &wanted));
    Ok(Allowed { api, namespace, name, wanted, is_there })
}

impl<K> Allowed<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    /// Applies the object if the live one does not say the same already; whether it was written.
    pub async fn apply(self) -> Result<bool, EffectError> {
        let Self { api, namespace, name, wanted, is_there } = self;
        if is_there {
            return Ok(false);
        }
        let what = || format!("apply {} {namespace}/{name}", K::kind(&()));
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

/// Creates the object, owned by `owner`, unless this owner has one of that name; it is never changed afterwards.
pub async fn create_once_owned<K, O>(client: &Client, object: K, owner: &O) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
    O: Resource<DynamicType = ()>,
{
    create_once_under(client, object, owner_reference(owner)?).await
}

/// The same where the owner is known by name and uid.
pub async fn create_once_under<K>(client: &Client, mut object: K, owner: OwnerReference) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize,
{
    object.meta_mut().owner_references = Some(vec![owner.clone()]);
    if create_once(client, &object).await? {
        return Ok(true);
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let what = format!("read {} {namespace}/{name}", K::kind(&()));
    let live = api.get_opt(&name).await.map_err(EffectError::kubernetes(what))?;
    match live.map(|live| holder(live.meta(), &owner)) {
        Some(Holder::Ours) => Ok(false),
        None | Some(Holder::Former) => Err(being_removed::<K>(&name)),
        // It is never changed, so it cannot be made this owner's, and what it holds is another's.
        Some(Holder::Nobody) => Err(EffectError::Refused(format!(
            "{} {name} was left behind by an owner that is gone; delete it",
            K::kind(&())
        ))),
        Some(Holder::Stranger) => Err(stranger::<K>(&name)),
    }
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
            "labels": {(names::CLUSTER_LABEL): cluster, (MANAGED_BY_LABEL): names::OPERATOR_MANAGER},
        },
        "type": "Opaque",
        "stringData": {(names::API_KEY): key},
    }))
    .map_err(|error| EffectError::Refused(format!("the Secret {name} could not be written down: {error}")))?;
    create_once(client, &secret).await.map(|_| ())
}

/// Deletes this very pod, and its server is stopped gracefully; one that was made anew under the name meanwhile is left
/// alone. Whether it was deleted.
pub async fn restart_pod(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<bool, EffectError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &parameters).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(error) => Err(EffectError::kubernetes(format!("delete Pod {namespace}/{name}"))(error)),
    }
}

/// Ends a Job that runs. It is there until its pods are gone, so that whoever looks knows that they may still write.
pub async fn end_job(client: &Client, namespace: &str, name: &str) -> Result<(), EffectError> {
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    match api.delete(name, &DeleteParams::foreground()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(EffectError::kubernetes(format!("end Job {namespace}/{name}"))(error)),
    }
}

/// Sets one annotation of a ConfigMap and leaves everything else of it alone.
pub async fn annotate_config_map(
    client: &Client,
    namespace: &str,
    name: &str,
    key: &str,
    value: Option<&str>,
) -> Result<(), EffectError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let patch = json!({"metadata": {"annotations": {key: value}}});
    let parameters = PatchParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PatchParams::default() };
    let written = api.patch(name, &parameters, &Patch::Merge(&patch)).await;
    written.map(|_| ()).map_err(EffectError::kubernetes(format!("annotate ConfigMap {namespace}/{name}")))
}

/// Deletes this very CollectionRestore, that its controller makes no Job any more; what it wrote stays.
pub async fn delete_restore(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), EffectError> {
    let api: Api<CollectionRestore> = Api::namespaced(client.clone(), namespace);
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(EffectError::kubernetes(format!("delete CollectionRestore {namespace}/{name}"))(error)),
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

/// Whether trying again is of no use until a person changes something: the API server understood what was asked and
/// refused it, or it must not be asked at all.
pub fn is_for_good(error: &EffectError) -> bool {
    match error {
        EffectError::Refused(_) => true,
        EffectError::Kubernetes { source, .. } => match source.as_ref() {
            // Another writer was faster, or there were too many.
            kube::Error::Api(status) => (400..500).contains(&status.code) && !matches!(status.code, 409 | 429),
            _ => false,
        },
        EffectError::Weaviate { .. } | EffectError::Changed(_) | EffectError::NotLeading => false,
    }
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
