//! What a GitOps tool does to a namespace, by kubectl: it applies the same manifests again and again, and prunes.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::ground::Kubectl;

/// Times that the same manifests are applied.
pub const ROUNDS: usize = 20;

/// The field manager of Argo CD's server-side apply.
const MANAGER: &str = "--field-manager=argocd";

/// Our kinds and all that the operator makes of them, pods and volumes too: nothing of it may be touched by an apply of
/// what is there already. `kube-root-ca.crt` and the account `default` are in it, and never move either.
const WATCHED: &str = "weaviateclusters,elysiacollections,indexsources,collectionbackups,collectionrestores,\
                       statefulsets,services,secrets,configmaps,\
                       serviceaccounts,poddisruptionbudgets,persistentvolumeclaims,pods,jobs";

/// Applies manifests as Argo CD and Flux do, and gives back what the API server answered. Without `--force-conflicts`,
/// which they use: so a conflict tells that somebody else claims a field of a user's.
pub fn apply(kubectl: &Kubectl, namespace: &str, manifests: &[Value]) -> Result<Vec<Value>> {
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": manifests});
    let arguments = ["apply", "--server-side", MANAGER, "--namespace", namespace, "--filename=-", "--output=json"];
    let answer = kubectl.exchange(&arguments, &list.to_string())?;
    let answer: Value = serde_json::from_str(&answer).context("kubectl printed no JSON")?;
    // One object is printed as it is, several as a list.
    Ok(answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer]))
}

/// The resourceVersion of everything that the operator made or watches in a namespace, by `Kind/name`.
pub fn versions(kubectl: &Kubectl, namespace: &str) -> Result<BTreeMap<String, String>> {
    let found = kubectl.get(&[WATCHED, "--namespace", namespace])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let named = found["items"].as_array().into_iter().flatten().map(|item| {
        let name = format!("{}/{}", text(&item["kind"]), text(&item["metadata"]["name"]));
        (name, text(&item["metadata"]["resourceVersion"]))
    });
    Ok(named.collect())
}

/// What moved, came or went between two looks.
pub fn moved(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let all = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    all.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

/// Waits as `kubectl wait` does, by nothing but the condition Ready.
pub fn wait_until_ready(kubectl: &Kubectl, namespace: &str, objects: &[&str], timeout: &str) -> Result<()> {
    let fixed = ["wait", "--for=condition=Ready", "--namespace", namespace, timeout];
    kubectl.run(&[&fixed, objects].concat()).map(drop)
}

/// Deletes an object as Argo CD's prune does: in the foreground.
pub fn prune(kubectl: &Kubectl, namespace: &str, object: &str) -> Result<()> {
    kubectl.run(&["delete", object, "--cascade=foreground", "--namespace", namespace, "--timeout=30s"]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_came_or_went_is_named() {
        let look = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
        };
        let before = look(&[("A/gone", "1"), ("A/moved", "1"), ("A/still", "1")]);
        let after = look(&[("A/came", "1"), ("A/moved", "2"), ("A/still", "1")]);
        assert_eq!(moved(&before, &after), ["A/gone", "A/moved", "A/came"]);
        assert!(moved(&before, &before).is_empty());
    }
}
