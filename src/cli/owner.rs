//! Who else writes an object: what a GitOps tool owns is changed in its repository, not here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Labels by which GitOps tools mark what they applied, with the tool's name.
const LABELS: [(&str, &str); 3] = [
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
];

/// Annotations by which they mark it.
const ANNOTATIONS: [(&str, &str); 1] = [("argocd.argoproj.io/tracking-id", "Argo CD")];

/// Field managers under which they apply.
const MANAGERS: [(&str, &str); 4] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
];

/// The GitOps tool that owns the object, if one does.
pub(super) fn gitops(object: &ObjectMeta) -> Option<&'static str> {
    let marked = |marks: &[(&str, &'static str)], on: &Option<std::collections::BTreeMap<String, String>>| {
        marks.iter().find(|(mark, _)| on.as_ref().is_some_and(|on| on.contains_key(*mark))).map(|(_, tool)| *tool)
    };
    let managers = object.managed_fields.iter().flatten().filter_map(|entry| entry.manager.as_deref());
    let managing =
        || managers.into_iter().find_map(|name| MANAGERS.iter().find(|(manager, _)| *manager == name)).map(|it| it.1);
    marked(&LABELS, &object.labels).or_else(|| marked(&ANNOTATIONS, &object.annotations)).or_else(managing)
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
            (json!({"labels": {"argocd.argoproj.io/instance": "search"}}), Some("Argo CD")),
            (json!({"annotations": {"argocd.argoproj.io/tracking-id": "search:x"}}), Some("Argo CD")),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "search"}}), Some("Flux")),
            (json!({"managedFields": [{"manager": "kubectl"}, {"manager": "helm-controller"}]}), Some("Flux")),
        ] {
            let metadata: ObjectMeta = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(gitops(&metadata), owner, "{object}");
        }
    }
}
