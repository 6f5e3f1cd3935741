//! Holding an object, and letting it go: the one thing that the operator writes outside of a status.

use std::fmt::Debug;

use elysia_api::names;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, Patch, PatchParams};
use kube::core::ResourceExt as _;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::EffectError;

/// The API server's word for an object that is not as it was read.
const CONFLICT: u16 = 409;

/// Puts the finalizer on the object, or takes it off; whether it was written.
///
/// The patch carries the uid and the resourceVersion that were read, and nothing but the finalizers: it cannot touch a
/// spec, nor an object made anew under the name, nor undo what another hand did to the finalizers meanwhile.
pub async fn set_finalizer<K>(client: &Client, object: &K, finalizer: &str, wanted: bool) -> Result<bool, EffectError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let mut finalizers = object.finalizers().to_vec();
    if finalizers.iter().any(|other| other == finalizer) == wanted {
        return Ok(false);
    }
    if wanted {
        finalizers.push(finalizer.to_owned());
    } else {
        finalizers.retain(|other| other != finalizer);
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({"metadata": {
        "uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": finalizers,
    }});
    let parameters = PatchParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PatchParams::default() };
    let kind = K::kind(&());
    match api.patch(&name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => {
            tracing::info!(kind = %kind, namespace, name, finalizer, wanted, "set finalizer");
            Ok(true)
        }
        // Gone already.
        Err(kube::Error::Api(status)) if status.is_not_found() && !wanted => Ok(false),
        Err(kube::Error::Api(status)) if status.code == CONFLICT => {
            Err(EffectError::Changed(format!("{kind} {namespace}/{name} was changed meanwhile")))
        }
        Err(error) => Err(EffectError::kubernetes(format!("set the finalizers of {kind} {namespace}/{name}"))(error)),
    }
}
