//! What a feed needs to know of a collection, from its schema.

use std::collections::{BTreeMap, BTreeSet};

use elysia_engine::chunk::Chunking;
use elysia_engine::mapping::{ClassVectors, DataType, Mapping, Unmapped};
use elysia_engine::vectorizers::{computed_vectors, has_unnamed};
use serde_json::Value;

/// A collection as far as a feed is concerned.
#[derive(Debug)]
pub(super) struct Class {
    /// How lines become properties.
    pub(super) mapping: Mapping,
    /// Vectors that the server computes; the one without a name under the empty name.
    pub(super) computed_vectors: BTreeSet<String>,
}

/// From Weaviate's own JSON; the error says why this collection cannot take a feed, and what to do.
pub(super) fn read(
    class: &Value,
    unmapped: Unmapped,
    names: &BTreeMap<String, String>,
    chunking: Option<Chunking>,
) -> Result<Class, String> {
    if class["multiTenancyConfig"]["enabled"] == true {
        return Err("the collection has tenants, which a feed cannot name yet".to_owned());
    }
    let mut properties = Vec::new();
    for property in class["properties"].as_array().into_iter().flatten() {
        let name = property["name"].as_str().unwrap_or_default().to_owned();
        let word = property["dataType"][0].as_str().unwrap_or_default();
        if word.starts_with(|first: char| first.is_ascii_uppercase()) {
            return Err(format!(
                "property `{name}` is a cross-reference, which modify and rename would lose: index into a collection \
                 without references"
            ));
        }
        properties.push((name, DataType::parse(word)));
    }
    let mapping = Mapping::with_chunking(properties, unmapped, names, chunking).map_err(|error| error.to_string())?;
    Ok(Class {
        mapping: mapping.with_vectors(vectors(class)),
        computed_vectors: computed_vectors(class).into_keys().collect(),
    })
}

fn vectors(class: &Value) -> ClassVectors {
    let named: BTreeSet<String> =
        class["vectorConfig"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    ClassVectors { unnamed: has_unnamed(class), named }
}

/// Whether the server computes vectors of what is written.
pub(crate) fn computes_vectors(class: &Value) -> bool {
    !computed_vectors(class).is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(extra: &Value) -> Value {
        let property = |name: &str| json!({"name": name, "dataType": ["text"]});
        let mut class = json!({"class": "A", "properties": [property("repo"), property("path"), property("content")]});
        for (key, value) in extra.as_object().unwrap() {
            class[key] = value.clone();
        }
        class
    }

    fn computed(extra: &Value) -> Vec<String> {
        read(&class(extra), Unmapped::Reject, &BTreeMap::new(), None).unwrap().computed_vectors.into_iter().collect()
    }

    #[test]
    fn vectors_with_a_vectorizer_are_the_servers() {
        assert_eq!(computed(&json!({"vectorizer": "none"})), [""; 0]);
        assert_eq!(computed(&json!({"vectorizer": "text2vec-ollama"})), [""]);
        let named = json!({"vectorConfig": {
            "own": {"vectorizer": {"none": {}}},
            "text": {"vectorizer": {"text2vec-ollama": {"model": "m"}}},
        }});
        assert_eq!(computed(&named), ["text"]);
    }

    #[test]
    fn a_line_may_bring_the_vectors_that_the_class_has() {
        let known = |extra: &Value| {
            let ClassVectors { unnamed, named } = vectors(&class(extra));
            (unnamed, named.into_iter().collect::<Vec<_>>())
        };
        let one = json!({"own": {"vectorizer": {"none": {}}}});
        assert_eq!(known(&json!({"vectorIndexConfig": {}})), (true, vec![]));
        assert_eq!(known(&json!({"vectorConfig": one})), (false, vec!["own".to_owned()]));
        assert_eq!(known(&json!({"vectorConfig": one, "vectorIndexConfig": {}})), (true, vec!["own".to_owned()]));
    }

    #[test]
    fn what_cannot_take_a_feed_is_refused_with_the_reason() {
        let refused = |class: &Value| read(class, Unmapped::Drop, &BTreeMap::new(), None).unwrap_err();
        assert!(refused(&class(&json!({"multiTenancyConfig": {"enabled": true}}))).contains("tenants"));
        assert!(refused(&class(&json!({"properties": []}))).contains("`repo`"));
        let cut = read(&class(&json!({})), Unmapped::Drop, &BTreeMap::new(), Some(Chunking::new(1000, 0)));
        assert!(cut.unwrap_err().contains("no property `chunks` of type int for a document's number of chunks"));
        let reference = json!({"properties": [{"name": "by", "dataType": ["Person"]}]});
        assert!(refused(&class(&reference)).contains("cross-reference"));
    }
}
