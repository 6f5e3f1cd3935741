//! Cross-references: what they look like in objects and classes, and what becomes of them. Pure.
//!
//! A property whose data type is one or several classes holds a list of references, each a beacon:
//! `[{"beacon": "weaviate://localhost/Person/00000000-0000-0000-0000-000000000001"}]`. So they stand in objects here and in
//! JSON Lines; a column of Parquet has the beacons alone. The list is kept as it is: Weaviate keeps its order, and one
//! reference may stand in it twice.
//!
//! How servers behave, from the source of 1.35.2 and 1.38.2 and seen on 1.38.2:
//!
//! | | |
//! |---|---|
//! | REST | answers every reference as it is kept, also one to an object that is gone, with `href` beside the beacon |
//! | gRPC `Search` | follows references, and leaves out those to objects that are gone (`refcache/resolver.go`): nobody can copy by it |
//! | an object with references, by `BatchObjects`, `POST` or `PUT` | is refused when one of them leads to no object (`usecases/objects/validation`, `ValidateExistence`) |
//! | `POST /v1/batch/references` | adds behind those that are there, in the order of the call (`shard_write_merge.go`), and asks for no target; where the class has tenants, target and source must be there (`batch_references_add.go`) |
//! | the same, to a property with a list of none, or that is no reference | is answered by an error, and written all the same |
//! | a class | is refused when a property leads to a class that is not there, but for itself (`FindPropertyDataTypeWithRefsAndAuth`); the property can be added once it is |
//! | a class without tenants | cannot lead to one with tenants; the other way round it can |
//! | a beacon without a class | gets that of its property when it is written, where that has one (`autodetectToClass`) |
//!
//! So a restore writes objects without references first, and adds those behind them ([`super::restore`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::object::Object;

/// How every beacon begins.
const HOST: &str = "weaviate://localhost/";

const BEACON: &str = "beacon";

/// Where REST answers leave the address of a target: made up for each answer, and not kept.
const HREF: &str = "href";

/// Whether a data type is a class: those of values begin small.
pub fn is_class(data_type: &str) -> bool {
    data_type.starts_with(|first: char| first.is_ascii_uppercase())
}

/// A reference with this beacon and nothing else.
pub(super) fn reference(beacon: &str) -> Value {
    json!({ BEACON: beacon })
}

/// The beacon of a reference that has nothing else.
pub(super) fn only_beacon(reference: &Value) -> Option<&str> {
    let members = reference.as_object().filter(|members| members.len() == 1)?;
    members.get(BEACON)?.as_str()
}

/// The properties of a class that are references, each with the classes that it leads to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct References {
    targets: BTreeMap<String, Vec<String>>,
}

/// A reference that cannot be copied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "property `{property}` of object {id} has a reference with more than its beacon (a classification, perhaps), which no \
     server takes back"
)]
pub struct Uncopied {
    /// Which.
    pub property: String,
    /// The object.
    pub id: uuid::Uuid,
}

impl References {
    /// Those of a class, Weaviate's own JSON.
    pub fn of_class(class: &Value) -> Self {
        let mut targets = BTreeMap::new();
        for property in class["properties"].as_array().into_iter().flatten() {
            let Some(name) = property["name"].as_str() else { continue };
            let types = property["dataType"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let types: Vec<String> = types.filter(|word| is_class(word)).map(str::to_owned).collect();
            if !types.is_empty() {
                targets.insert(name.to_owned(), types);
            }
        }
        Self { targets }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The properties, by name, with the classes that each leads to.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.targets.iter().map(|(property, targets)| (property.as_str(), targets.as_slice()))
    }

    /// With those of another class.
    pub fn join(&mut self, other: Self) {
        self.targets.extend(other.targets);
    }

    /// Makes of what REST answers what is kept: without addresses, and with the class that a server adds to a beacon of an
    /// old version as soon as it is written again.
    pub fn settle(&self, object: &mut Object) -> Result<(), Uncopied> {
        for (property, targets) in &self.targets {
            let Some(Value::Array(references)) = object.properties.get_mut(property) else { continue };
            for reference in references {
                if let Some(members) = reference.as_object_mut() {
                    members.remove(HREF);
                }
                let Some(beacon) = only_beacon(reference) else {
                    return Err(Uncopied { property: property.clone(), id: object.id });
                };
                if let ([target], Some((None, id))) = (targets.as_slice(), parts(beacon)) {
                    *reference = self::reference(&format!("{HOST}{target}/{id}"));
                }
            }
        }
        Ok(())
    }

    /// The references of an object, property by property, each in its order.
    pub fn of<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.targets.keys().flat_map(move |property| {
            let references = object.properties.get(property).and_then(Value::as_array).into_iter().flatten();
            references.filter_map(move |reference| Some((property.as_str(), reference[BEACON].as_str()?)))
        })
    }

    /// Whether an object has any.
    pub fn has(&self, object: &Object) -> bool {
        self.of(object).next().is_some()
    }

    /// An object without its references. A list of none stays: that can be written.
    pub fn without(&self, object: &Object) -> Object {
        let mut object = object.clone();
        for property in self.targets.keys() {
            let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            if object.properties.get(property).is_some_and(|value| !is_empty(value)) {
                object.properties.remove(property);
            }
        }
        object
    }

    /// Lets references to one class lead to another.
    pub fn lead(&self, object: &mut Object, from: &str, to: &str) {
        for property in self.targets.keys() {
            let references = object.properties.get_mut(property).and_then(Value::as_array_mut);
            for reference in references.into_iter().flatten() {
                let Some(id) = only_beacon(reference).and_then(parts).filter(|(class, _)| *class == Some(from)) else {
                    continue;
                };
                *reference = self::reference(&format!("{HOST}{to}/{}", id.1));
            }
        }
    }
}

/// The class of a beacon, if it names one, and the id.
fn parts(beacon: &str) -> Option<(Option<&str>, &str)> {
    let path = beacon.strip_prefix(HOST)?;
    Some(path.split_once('/').map_or((None, path), |(class, id)| (Some(class), id)))
}

/// Lets properties that lead to one class lead to another.
pub fn lead_class(class: &mut Value, from: &str, to: &str) {
    let properties = class.get_mut("properties").and_then(Value::as_array_mut).into_iter().flatten();
    for word in properties.filter_map(|property| property.get_mut("dataType")?.as_array_mut()).flatten() {
        if *word == from {
            *word = to.into();
        }
    }
}

/// The data type of a property as one text: that of several classes has them all, in the order of the alphabet.
pub(super) fn type_text(property: &Value) -> String {
    let types: BTreeSet<&str> =
        property["dataType"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if types.is_empty() { "unknown".to_owned() } else { types.into_iter().collect::<Vec<_>>().join(" or ") }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ID: &str = "00000000-0000-0000-0000-000000000007";

    fn references() -> References {
        References::of_class(&json!({"properties": [
            {"name": "title", "dataType": ["text"]}, {"name": "by", "dataType": ["Person"]},
            {"name": "about", "dataType": ["Person", "Place"]},
        ]}))
    }

    fn object(properties: &Value) -> Object {
        let properties = properties.as_object().unwrap().clone();
        Object { id: Uuid::from_u128(1), properties, vectors: [].into() }
    }

    fn beacon(class: &str) -> Value {
        json!({"beacon": format!("weaviate://localhost/{class}/{ID}")})
    }

    #[test]
    fn what_rest_answers_becomes_what_is_kept() {
        let with_href = json!({"beacon": format!("weaviate://localhost/Person/{ID}"), "href": "/v1/objects/Person/7"});
        let old = json!({"beacon": format!("weaviate://localhost/{ID}")});
        for (what, was, wanted) in [
            ("an address", json!({"by": [with_href]}), Some(json!({"by": [beacon("Person")]}))),
            ("no class", json!({"by": [old.clone()]}), Some(json!({"by": [beacon("Person")]}))),
            ("no class, and two to choose from", json!({"about": [old.clone()]}), Some(json!({"about": [old]}))),
            ("twice", json!({"by": [beacon("Person"), beacon("Person")]}), None),
            ("none", json!({"by": []}), None),
            ("another property", json!({"title": "x"}), None),
        ] {
            let mut found = object(&was);
            references().settle(&mut found).unwrap();
            assert_eq!(Value::Object(found.properties), wanted.unwrap_or(was), "{what}");
        }
        let mut reference = beacon("Person");
        reference["classification"] = json!({"overallCount": 3});
        assert_eq!(
            references().settle(&mut object(&json!({"by": [reference]}))),
            Err(Uncopied { property: "by".to_owned(), id: Uuid::from_u128(1) })
        );
    }

    #[test]
    fn objects_come_apart_into_values_and_references() {
        let whole = object(&json!({"title": "x", "by": [], "about": [beacon("Place"), beacon("Person")]}));
        let found: Vec<_> = references().of(&whole).map(|(name, it)| format!("{name} {it}")).collect();
        let of = |class| format!("about weaviate://localhost/{class}/{ID}");
        assert_eq!(found, [of("Place"), of("Person")], "in their order");
        assert_eq!(references().without(&whole), object(&json!({"title": "x", "by": []})));
        assert!(!references().has(&references().without(&whole)));
    }

    #[test]
    fn references_follow_a_class_to_its_new_name() {
        let mut found = object(&json!({"by": [beacon("Person")], "about": [beacon("Place"), beacon("Person")]}));
        references().lead(&mut found, "Person", "People");
        let wanted = json!({"by": [beacon("People")], "about": [beacon("Place"), beacon("People")]});
        assert_eq!(Value::Object(found.properties), wanted);
        let mut class = json!({"properties": [{"name": "about", "dataType": ["Person", "Place"]}]});
        lead_class(&mut class, "Person", "People");
        assert_eq!(class["properties"][0]["dataType"], json!(["People", "Place"]));
        assert_eq!(type_text(&class["properties"][0]), "People or Place");
        assert_eq!(type_text(&json!({})), "unknown");
    }
}
