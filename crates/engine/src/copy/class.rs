//! What the two classes say of one another: pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Blocker;
use crate::backup::columns::{Unwritable, hashed};
use crate::backup::references::References;
use crate::backup::restore::{Blocker as OfRestore, needed, unknown_to, unlike};
use crate::object::Object;

/// What a class asks of servers: modules, features of their version, nodes.
pub(super) fn demands(class: &Value, modules: Option<&[String]>, version: Option<&str>, nodes: usize) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    if let Some(version) = version {
        blockers.extend(unknown_to(version, class).into_iter().filter_map(translated));
    }
    let missing = |module: &String| modules.is_some_and(|modules| !modules.contains(module));
    blockers.extend(needed(class).into_iter().filter(missing).map(|module| Blocker::Module { module }));
    let factor = class["replicationConfig"]["factor"].as_u64().unwrap_or(1);
    if usize::try_from(factor).is_ok_and(|factor| factor > nodes) {
        blockers.push(Blocker::TooFewNodes { factor, nodes });
    }
    blockers
}

/// What objects of the source, as they are to be written, do not fit in the target.
/// `made` is the source's class as the transformation leaves it.
pub(super) fn misfits(target: &Value, made: &Value, into: &str) -> Vec<Blocker> {
    let has_tenants = |class: &Value| class["multiTenancyConfig"]["enabled"] == true;
    if has_tenants(target) != has_tenants(made) {
        let (some, none) = ("has tenants", "has no tenants");
        let (found, wanted) = if has_tenants(target) { (some, none) } else { (none, some) };
        return vec![Blocker::Tenancy { into: into.to_owned(), found, wanted }];
    }
    unlike(target, made, into).into_iter().filter_map(translated).collect()
}

/// The same thing in the words of a copy.
fn translated(blocker: OfRestore) -> Option<Blocker> {
    match blocker {
        OfRestore::Property { into, property, wanted, found } => {
            Some(Blocker::Property { into, property, wanted, found })
        }
        OfRestore::Vector { into, vector, found } => Some(Blocker::Vector { into, vector, found }),
        OfRestore::Version { feature, needs, found } => Some(Blocker::Version { feature, needs, found }),
        _ => None,
    }
}

/// Whether objects can be listed whole, which both sides have to be.
pub(super) fn unlisted(class: &Value) -> Option<String> {
    Unwritable::of_class(class).map(|error| error.to_string())
}

/// Whether objects come out of a copy as others, or cannot be written at all. `made` is the source's class as the
/// transformation leaves it.
pub(super) fn unwritten(made: &Value) -> Option<String> {
    hashed(made).next().map(|property| again(&property)).or_else(|| unlinked(made))
}

/// Of a tenant's objects servers take a reference only when its target is there: a copy could end at any object whose target is
/// gone.
fn unlinked(made: &Value) -> Option<String> {
    let references = References::of_class(made);
    let (property, _) = references.targets().next().filter(|_| made["multiTenancyConfig"]["enabled"] == true)?;
    Some(format!(
        "property `{property}` is a cross-reference of a class with tenants, whose references servers take only where the \
         target is there. Copy without it (transform: [{{drop: {{property: {property}}}}}])"
    ))
}

fn again(property: &str) -> String {
    format!(
        "property `{property}` is blobHash: of the hash that is read the servers would make another one. Copy without it \
         (transform: [{{drop: {{property: {property}}}}}])"
    )
}

/// Why objects of a class, Weaviate's own JSON, cannot be copied into one of these settings, as far as both are known before
/// the copy.
pub fn uncopied(class: &Value, wanted: &Value) -> Option<String> {
    let is_kept = |name: &String| hashed(class).any(|other| other == *name);
    let is_hashed = || hashed(wanted).find(is_kept).map(|name| again(&name));
    unlisted(class).or_else(|| unlisted(wanted)).or_else(is_hashed).or_else(|| unlinked(wanted))
}

/// The target's object without what its servers have computed beyond what it was given.
pub(super) fn as_given(mut found: Object, wanted: &Object, computed: &BTreeSet<String>) -> Object {
    found.vectors.retain(|name, _| wanted.vectors.contains_key(name) || !computed.contains(name));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(blockers: &[Blocker]) -> Vec<String> {
        blockers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_that_cannot_take_the_class_are_named() {
        let class = json!({
            "class": "A", "replicationConfig": {"factor": 3}, "objectTtlConfig": {"enabled": true},
            "vectorConfig": {"a": {"vectorizer": {"text2vec-ollama": {}}}, "b": {"vectorizer": {"none": {}}}},
            "moduleConfig": {"generative-openai": {}},
        });
        let modules = ["text2vec-ollama".to_owned()];
        assert_eq!(
            words(&demands(&class, Some(&modules[..]), Some("1.34.0"), 1)),
            [
                "objects with a time to live needs servers of version 1.35, and there are some of 1.34.0",
                "the class needs module generative-openai, which the servers of the target do not have",
                "3 replicas need 3 nodes, and there are 1: ask for fewer replicas",
            ]
        );
        assert_eq!(demands(&class, None, None, 3), []);
    }

    #[test]
    fn what_cannot_be_listed_or_is_hashed_again_is_not_copied() {
        let expiring = json!({"objectTtlConfig": {"enabled": true, "filterExpiredObjects": true}});
        let hash = json!({"properties": [{"name": "photo", "dataType": ["blobHash"]}]});
        let plain = json!({"properties": [{"name": "photo", "dataType": ["blob"]}]});
        for (class, wanted, why) in [
            (&plain, &plain, None),
            (&expiring, &plain, Some("filterExpiredObjects")),
            (&plain, &expiring, Some("filterExpiredObjects")),
            (&hash, &hash, Some("`photo` is blobHash")),
            // It is dropped, or new.
            (&hash, &json!({}), None),
            (&json!({}), &hash, None),
        ] {
            let found = uncopied(class, wanted);
            assert_eq!(found.is_some(), why.is_some(), "{class} {wanted}: {found:?}");
            assert!(found.is_none_or(|found| why.is_some_and(|why| found.contains(why))), "{class} {wanted}");
        }
        assert!(unlisted(&expiring).is_some() && unlisted(&hash).is_none() && unwritten(&hash).is_some());
    }

    #[test]
    fn references_are_copied_but_those_of_tenants() {
        let mut class = json!({"properties": [{"name": "by", "dataType": ["Person"]}]});
        assert_eq!((unwritten(&class), uncopied(&class, &class)), (None, None));
        class["multiTenancyConfig"] = json!({"enabled": true});
        for why in [unwritten(&class), uncopied(&json!({}), &class)] {
            assert!(why.as_ref().is_some_and(|why| why.contains("{drop: {property: by}}")), "{why:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named_in_words_of_a_copy() {
        let property = |name: &str, kind: &str| json!({"name": name, "dataType": [kind]});
        let own = json!({"v": {"vectorizer": {"none": {}}}});
        let source = json!({"properties": [property("a", "int"), property("b", "text")], "vectorConfig": own});
        let target = json!({"properties": [property("a", "text")], "vectorConfig": {"w": {}}});
        assert_eq!(
            words(&misfits(&target, &source, "B")),
            [
                "property `a` is int in the source and text in B: convert or drop it by a transformation",
                "property `b` is text in the source and missing in B: convert or drop it by a transformation",
                "vector `v` of the source is missing in B",
            ]
        );
        let tenants = json!({"multiTenancyConfig": {"enabled": true}});
        assert_eq!(words(&misfits(&tenants, &source, "B")), ["B has tenants, and the source has no tenants"]);
        assert_eq!(misfits(&source, &source, "B"), []);
    }
}
