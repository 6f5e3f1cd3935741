//! Who else writes an object: what Argo CD or Flux owns is changed where they read it.

use elysia_api::ElysiaCollection;
use kube::ResourceExt as _;

/// Labels and annotations that the tools put on what they own.
const MARKS: [(&str, &str); 5] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("configmanagement.gke.io/managed", "Config Sync"),
];

/// Beginnings of the names under which the tools write.
const MANAGERS: [(&str, &str); 3] =
    [("argocd", "Argo CD"), ("kustomize-controller", "Flux"), ("helm-controller", "Flux")];

/// The tool that owns the object, if one does.
pub(super) fn of(object: &ElysiaCollection) -> Option<String> {
    for (key, tool) in MARKS {
        let value = object.annotations().get(key).or_else(|| object.labels().get(key));
        if let Some(value) = value {
            let name = value.split(':').next().unwrap_or(value);
            return Some(format!("{tool} ({name})"));
        }
    }
    let mut managers = object.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
    let owner = |manager: &str| MANAGERS.iter().find(|(name, _)| manager.starts_with(name)).map(|(_, tool)| *tool);
    managers.find_map(owner).map(str::to_owned)
}
