//! The class that a backup becomes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The class of this schema under this name, with these numbers of replicas and shards where they are given. What the
/// server answers and does not take back is left out: how many shards there *are*, and settings of shards where tenants
/// are.
pub fn class_for(schema: &Value, into: &str, factor: Option<u64>, shards: Option<u64>) -> Value {
    let mut class = schema.clone();
    class["class"] = into.into();
    if let Some(factor) = factor {
        class["replicationConfig"]["factor"] = factor.into();
    }
    let has_tenants = class["multiTenancyConfig"]["enabled"] == true;
    let desired = shards.or_else(|| class["shardingConfig"]["desiredCount"].as_u64()).filter(|count| *count > 0);
    if let Some(members) = class.as_object_mut() {
        members.remove("shardingConfig");
        if let Some(desired) = desired.filter(|_| !has_tenants) {
            members.insert("shardingConfig".to_owned(), json!({"desiredCount": desired}));
        }
    }
    class
}

/// Modules that vectors of the class are computed by, and those that it is configured for.
pub(crate) fn needed(class: &Value) -> BTreeSet<String> {
    const NONE: &str = "none";
    let named = class["vectorConfig"].as_object().into_iter().flatten();
    let of_named = named.filter_map(|(_, vector)| vector["vectorizer"].as_object()).flat_map(|it| it.keys().cloned());
    let own = class["vectorizer"].as_str().map(str::to_owned);
    let configured = class["moduleConfig"].as_object().into_iter().flat_map(|modules| modules.keys().cloned());
    let all = of_named.chain(own).chain(configured);
    // Those with other names than their module's are settings of the class, not modules.
    all.filter(|name| name != NONE && name.contains('-')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_changed_and_the_rest_kept() {
        let schema = json!({
            "class": "A", "description": "d", "replicationConfig": {"factor": 3, "asyncEnabled": true},
            "shardingConfig": {"desiredCount": 3, "actualCount": 3, "virtualPerPhysical": 128},
        });
        assert_eq!(
            class_for(&schema, "B", Some(1), None),
            json!({
                "class": "B", "description": "d", "replicationConfig": {"factor": 1, "asyncEnabled": true},
                "shardingConfig": {"desiredCount": 3},
            })
        );
        assert_eq!(class_for(&schema, "A", None, Some(5))["shardingConfig"], json!({"desiredCount": 5}));
        let tenants =
            json!({"class": "A", "multiTenancyConfig": {"enabled": true}, "shardingConfig": {"desiredCount": 0}});
        assert_eq!(class_for(&tenants, "A", None, Some(5)).get("shardingConfig"), None);
    }
}
