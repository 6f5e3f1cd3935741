//! Who wrote a part of an object, as far as the object itself tells: `metadata.managedFields` names the program that wrote
//! each field last, never the person. Who that was only the API server's audit log knows.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

/// The field manager that wrote the field at this path last. `path`: names of fields, e.g. `metadata`, `annotations`,
/// `elysia.dev/approve`. `None` when nobody is named, as after managed fields were stripped.
pub fn manager<'a>(entries: &'a [ManagedFieldsEntry], path: &[&str]) -> Option<&'a str> {
    entries
        .iter()
        .filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty))
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0, path)))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?
        .manager
        .as_deref()
}

/// Whether what is at this path stands there since `created`, when the object was made: whoever changes a field later takes it
/// over, with a later time. `false` where nobody is named. Times are whole seconds, so what was written within the second of the
/// creation counts as well.
pub fn is_as_old_as(entries: Option<&[ManagedFieldsEntry]>, path: &[&str], created: Timestamp) -> bool {
    entries
        .unwrap_or_default()
        .iter()
        .filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty))
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0, path)))
        .any(|entry| entry.time.as_ref().is_some_and(|time| time.0 <= created))
}

fn owns(fields: &Value, path: &[&str]) -> bool {
    let mut at = fields;
    path.iter().all(|name| match at.get(format!("f:{name}")) {
        Some(below) => {
            at = below;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_who_wrote_a_field_is_named() {
        let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(json!([
            {"manager": "argocd", "operation": "Apply", "time": "2026-01-01T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:schema": {}}, "f:metadata": {"f:annotations": {"f:team": {}}}}},
            {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replication": {"f:factor": {}}}}},
            {"manager": "elysia-plugin", "operation": "Apply", "time": "2026-01-03T00:00:00Z",
             "fieldsV1": {"f:metadata": {"f:annotations": {"f:elysia.dev/approve": {}}}}},
            {"manager": "elysia-operator", "operation": "Apply", "time": "2026-01-04T00:00:00Z",
             "subresource": "status", "fieldsV1": {"f:spec": {}, "f:status": {}}},
        ]))
        .unwrap();
        let table: [(&[&str], Option<&str>); 5] = [
            (&["spec"], Some("kubectl-edit")),
            (&["spec", "schema"], Some("argocd")),
            (&["metadata", "annotations", "elysia.dev/approve"], Some("elysia-plugin")),
            (&["metadata", "annotations", "elysia.dev/clear"], None),
            (&["status"], None),
        ];
        for (path, expected) in table {
            assert_eq!(manager(&entries, path), expected, "{path:?}");
        }
        assert_eq!(manager(&[], &["spec"]), None);
    }

    #[test]
    fn what_was_written_after_the_creation_is_younger_than_the_object() {
        let created = "2026-01-02T03:04:05Z".parse().unwrap();
        let clear = ["metadata", "annotations", "elysia.dev/clear"];
        let entry = |manager: &str, time: &str, key: &str| {
            json!({"manager": manager, "operation": "Update", "time": time,
            "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, (format!("f:{key}")): {}}}, "f:spec": {}}})
        };
        let (born, later) = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z");
        let table = [
            // kubectl replace --force, and an object that brings its managed fields along.
            (vec![entry("kubectl-replace", born, "elysia.dev/clear")], true),
            (vec![entry("kubectl-replace", "2025-12-31T00:00:00Z", "elysia.dev/clear")], true),
            // kubectl annotate and the plug-in take the field over.
            (
                vec![
                    entry("kubectl-client-side-apply", born, "team"),
                    entry("kubectl-annotate", later, "elysia.dev/clear"),
                ],
                false,
            ),
            // Somebody else applies the same value again: it is as old as it was.
            (vec![entry("flux", born, "elysia.dev/clear"), entry("argocd", later, "elysia.dev/clear")], true),
            (vec![entry("flux", later, "elysia.dev/clear")], false),
            (vec![entry("flux", born, "elysia.dev/approve")], false),
            (vec![], false),
        ];
        for (entries, expected) in table {
            let entries: Vec<ManagedFieldsEntry> = serde_json::from_value(json!(entries)).unwrap();
            assert_eq!(is_as_old_as(Some(&entries), &clear, created), expected, "{entries:?}");
        }
        assert!(!is_as_old_as(None, &clear, created));
    }
}
