//! Who else writes an object: what a GitOps tool owns is changed where the tool reads it, not here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

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

/// The tool that owns the object, if one does, with the name that the tool gave to what it applied.
pub(super) fn of(object: &ObjectMeta) -> Option<String> {
    let value = |key: &str| {
        let maps = [&object.annotations, &object.labels];
        maps.into_iter().flatten().find_map(|map| map.get(key))
    };
    let marked = MARKS.iter().find_map(|(key, tool)| {
        let name = value(key)?.split(':').next().unwrap_or_default();
        Some(format!("{tool} ({name})"))
    });
    let mut managers = object.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    let owner = |manager: &str| MANAGERS.iter().find(|(name, _)| manager.starts_with(name)).map(|(_, tool)| *tool);
    marked.or_else(|| managers.find_map(owner).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gitops_tools_are_known_by_their_marks() {
        for (object, owner) in [
            (json!({}), None),
            (json!({"labels": {"app": "x"}, "managedFields": [{"manager": "kubectl-client-side-apply"}]}), None),
            (json!({"labels": {"argocd.argoproj.io/instance": "search"}}), Some("Argo CD (search)")),
            (json!({"annotations": {"argocd.argoproj.io/tracking-id": "search:x"}}), Some("Argo CD (search)")),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "search"}}), Some("Flux (search)")),
            (json!({"managedFields": [{"manager": "kubectl"}, {"manager": "helm-controller"}]}), Some("Flux")),
        ] {
            let metadata: ObjectMeta = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(of(&metadata).as_deref(), owner, "{object}");
        }
    }
}
