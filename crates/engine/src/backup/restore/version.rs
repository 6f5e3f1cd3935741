//! What a class has that older servers do not know.
//!
//! Servers refuse most of it, and drop some of it without a word; so it is told before. From the release notes of each
//! line.

use serde_json::Value;

use super::Blocker;

/// A setting, and the minor version of line 1 that brought it.
struct Rule {
    feature: &'static str,
    minor: u32,
    has: fn(&Value) -> bool,
}

const RULES: [Rule; 9] = [
    Rule { feature: "tenancy", minor: 20, has: |class| class["multiTenancyConfig"]["enabled"] == true },
    Rule { feature: "a property with nested ones", minor: 22, has: has_nested },
    Rule {
        feature: "a named vector",
        minor: 24,
        has: |class| class["vectorConfig"].as_object().is_some_and(|it| !it.is_empty()),
    },
    Rule {
        feature: "a dynamic vector index",
        minor: 25,
        has: |class| any_vector(class, |it| it["vectorIndexType"] == "dynamic"),
    },
    Rule { feature: "scalar quantization", minor: 26, has: |class| any_index(class, "sq") },
    Rule { feature: "a multi-vector", minor: 29, has: |class| any_index(class, "multivector") },
    Rule { feature: "MUVERA encoding", minor: 31, has: has_muvera },
    Rule { feature: "rotational quantization", minor: 32, has: |class| any_index(class, "rq") },
    Rule {
        feature: "objects with a time to live",
        minor: 35,
        has: |class| class["objectTtlConfig"]["enabled"] == true,
    },
];

fn has_nested(class: &Value) -> bool {
    class["properties"].as_array().into_iter().flatten().any(|property| property["nestedProperties"].is_array())
}

fn has_muvera(class: &Value) -> bool {
    any_vector(class, |vector| vector["vectorIndexConfig"]["multivector"]["muvera"]["enabled"] == true)
}

/// The class itself where it has the vector without a name, and each of its named ones.
fn any_vector(class: &Value, is: impl Fn(&Value) -> bool) -> bool {
    is(class) || class["vectorConfig"].as_object().is_some_and(|all| all.values().any(is))
}

/// Whether this is enabled in the index of a vector, or in one of the two that a dynamic one is made of.
fn any_index(class: &Value, setting: &str) -> bool {
    any_vector(class, |vector| {
        let index = &vector["vectorIndexConfig"];
        [index, &index["hnsw"], &index["flat"]].iter().any(|index| index[setting]["enabled"] == true)
    })
}

/// The minor version of line 1 that brought aliases.
const ALIASES: u32 = 32;

/// Whether servers of this version have no aliases yet. Of a version that cannot be read nothing is said.
pub(super) fn before_aliases(version: &str) -> bool {
    minor(version).is_some_and(|minor| minor < ALIASES)
}

/// The minor version, of line 1.
fn minor(version: &str) -> Option<u32> {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(1)), Some(Ok(minor))) => Some(minor),
        _ => None,
    }
}

/// What servers of this version do not know of the class. Of a version that cannot be read nothing is said.
pub(crate) fn unknown_to(version: &str, class: &Value) -> Vec<Blocker> {
    let Some(minor) = minor(version) else { return Vec::new() };
    let unknown = RULES.iter().filter(|rule| rule.minor > minor && (rule.has)(class));
    let blocker = |rule: &Rule| Blocker::Version {
        feature: rule.feature,
        needs: format!("1.{}", rule.minor),
        found: version.to_owned(),
    };
    unknown.map(blocker).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn older_servers_do_not_know_everything() {
        let named =
            |index: Value| json!({"vectorConfig": {"a": {"vectorIndexType": "hnsw", "vectorIndexConfig": index}}});
        for (class, before, since) in [
            (json!({"multiTenancyConfig": {"enabled": true}}), "1.19.8", "1.20.0"),
            (json!({"properties": [{"name": "a", "nestedProperties": []}]}), "1.21.0", "1.22.0"),
            (named(json!({})), "1.23.1", "1.24.0"),
            (json!({"vectorIndexType": "dynamic"}), "1.24.0", "v1.25.0"),
            (named(json!({"sq": {"enabled": true}})), "1.25.9", "1.26.0"),
            (named(json!({"multivector": {"enabled": true}})), "1.28.4", "1.29.0-rc.1"),
            (named(json!({"multivector": {"enabled": true, "muvera": {"enabled": true}}})), "1.30.0", "1.31.0"),
            (json!({"vectorIndexConfig": {"rq": {"enabled": true}}}), "1.31.0", "1.32.0"),
            (
                json!({"vectorIndexType": "dynamic", "vectorIndexConfig": {"flat": {"rq": {"enabled": true}}}}),
                "1.31.0",
                "1.32.0",
            ),
            (json!({"objectTtlConfig": {"enabled": true}}), "1.34.0", "1.35.0"),
        ] {
            assert_eq!(unknown_to(before, &class).len(), 1, "{class} {before}");
            assert_eq!(unknown_to(since, &class), [], "{class} {since}");
        }
        assert_eq!(unknown_to("main", &json!({"objectTtlConfig": {"enabled": true}})), []);
        assert_eq!(unknown_to("1.19.0", &json!({"class": "A", "vectorConfig": {}})), []);
    }
}
