//! Which vectors of a collection its servers compute: pure.
//!
//! A class says it in two places, and one to which named vectors were added later in both: `vectorConfig.NAME.vectorizer` is
//! an object with one member, the module; `vectorizer` beside `vectorIndexConfig` is a module's name and speaks of the vector
//! without a name. An object that brings such a vector keeps it as it is; of one that does not the servers compute it as it
//! is written, by a call of the module (`usecases/modules/vectorizer.go`); where that fails they refuse the object. A vector that
//! is added to a class is computed for no object that is there. All of it was seen on 1.38.2.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What stands where no module does.
const NONE: &str = "none";

/// Vectors that the servers compute where an object does not bring them, and the module of each; the one without a name
/// under the empty name. The class is Weaviate's own JSON.
pub fn computed_vectors(class: &Value) -> BTreeMap<String, String> {
    let named = class["vectorConfig"].as_object().into_iter().flatten();
    let mut computed: BTreeMap<String, String> = named
        .filter_map(|(name, vector)| {
            let module = vector["vectorizer"].as_object()?.keys().find(|module| *module != NONE)?;
            Some((name.clone(), module.clone()))
        })
        .collect();
    let own = class["vectorizer"].as_str().filter(|module| has_unnamed(class) && ![NONE, ""].contains(module));
    computed.extend(own.map(|module| (String::new(), module.to_owned())));
    computed
}

/// Whether a class has the vector without a name: unless it has named ones, or has its index beside them.
pub fn has_unnamed(class: &Value) -> bool {
    let is_named = class["vectorConfig"].as_object().is_some_and(|vectors| !vectors.is_empty());
    !is_named || class["vectorIndexConfig"].is_object()
}

/// The same class, none of whose vectors anybody computes. Indexes, distances and everything else stay; what only said how
/// vectors are computed goes with the modules, while modules for other things, such as answers, are kept.
#[must_use]
pub fn without_vectorizers(class: &Value) -> Value {
    let computed = computed_vectors(class);
    let mut bare = class.clone();
    let named = bare.get_mut("vectorConfig").and_then(Value::as_object_mut);
    for vector in named.into_iter().flat_map(Map::values_mut) {
        vector["vectorizer"] = json!({ NONE: {} });
    }
    if has_unnamed(class) {
        // Said also where the class says nothing: servers may have a module for classes that name none.
        bare["vectorizer"] = NONE.into();
    }
    let forget = |settings: &mut Value| {
        let Some(members) = settings.as_object_mut() else { return };
        let Some(modules) = members.get_mut("moduleConfig").and_then(Value::as_object_mut) else { return };
        modules.retain(|module, _| !computed.values().any(|gone| gone == module));
        if modules.is_empty() {
            members.remove("moduleConfig");
        }
    };
    forget(&mut bare);
    bare.get_mut("properties").and_then(Value::as_array_mut).into_iter().flatten().for_each(forget);
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(class: &Value) -> Vec<(String, String)> {
        computed_vectors(class).into_iter().collect()
    }

    fn pair(vector: &str, module: &str) -> (String, String) {
        (vector.to_owned(), module.to_owned())
    }

    #[test]
    fn vectors_with_a_module_are_the_servers() {
        assert_eq!(computed(&json!({"vectorizer": "none", "vectorIndexConfig": {}})), []);
        assert_eq!(computed(&json!({"vectorizer": ""})), []);
        assert_eq!(computed(&json!({"vectorizer": "text2vec-ollama"})), [pair("", "text2vec-ollama")]);
        let named = json!({
            "own": {"vectorizer": {"none": {}}},
            "text": {"vectorizer": {"text2vec-ollama": {"model": "m"}}},
        });
        assert_eq!(computed(&json!({"vectorConfig": named})), [pair("text", "text2vec-ollama")]);
        // Named vectors were added later.
        let both = json!({"vectorConfig": named, "vectorizer": "text2vec-openai", "vectorIndexConfig": {}});
        assert_eq!(computed(&both), [pair("", "text2vec-openai"), pair("text", "text2vec-ollama")]);
    }

    #[test]
    fn a_class_whose_vectors_nobody_computes_is_otherwise_the_same() {
        let of = |own: &str, one: &Value, modules: &Value, settings: &Value| {
            let mut class = json!({
                "class": "A", "vectorizer": own, "vectorIndexType": "flat", "vectorIndexConfig": {"distance": "dot"},
                "vectorConfig": {"one": {
                    "vectorizer": one, "vectorIndexType": "hnsw",
                    "vectorIndexConfig": {"distance": "l2-squared", "multivector": {"enabled": true}},
                }},
                "properties": [{"name": "title", "dataType": ["text"]}, {"name": "count", "dataType": ["int"]}],
            });
            class["moduleConfig"] = modules.clone();
            if !settings.is_null() {
                class["properties"][0]["moduleConfig"] = settings.clone();
            }
            class
        };
        let (skip, model) = (json!({"skip": false}), json!({"model": "m"}));
        let class = of(
            "text2vec-x",
            &json!({"text2colbert-y": model}),
            &json!({"text2vec-x": model, "generative-z": {}}),
            &json!({"text2vec-x": skip, "text2colbert-y": skip}),
        );
        let bare = of("none", &json!({"none": {}}), &json!({"generative-z": {}}), &Value::Null);
        assert_eq!(without_vectorizers(&class), bare);
        assert_eq!(without_vectorizers(&bare), bare, "there is nothing to take away");
        assert_eq!(computed(&bare), []);
        // Servers with DEFAULT_VECTORIZER_MODULE.
        assert_eq!(without_vectorizers(&json!({"class": "A"}))["vectorizer"], "none");
        // One with named vectors alone has no vector without a name, and gets none.
        let named = json!({"vectorConfig": {"one": {"vectorizer": {"text2vec-x": {}}}}});
        assert_eq!(without_vectorizers(&named), json!({"vectorConfig": {"one": {"vectorizer": {"none": {}}}}}));
    }
}
