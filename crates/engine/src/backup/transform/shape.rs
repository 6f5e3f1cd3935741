//! The class, as the steps leave it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{How, Problem, Ready, Script, Step, TargetType, convert};
use crate::backup::references::type_text;

/// Where modules name the properties that vectors are made from.
const SOURCES: [&str; 9] = [
    "properties",
    "sourceProperties",
    "textFields",
    "imageFields",
    "audioFields",
    "videoFields",
    "imuFields",
    "thermalFields",
    "depthFields",
];

/// The longest name of a property.
const NAME_LETTERS: usize = 231;

/// A class, and where those of its properties went that are gone.
pub(super) struct Shape {
    class: Value,
    gone: BTreeMap<String, String>,
}

/// The type of a property, as the class spells it; of a cross-reference all classes that it leads to.
pub(in crate::backup) fn property_type(class: &Value, name: &str) -> Option<String> {
    let mut properties = class["properties"].as_array().into_iter().flatten();
    properties.find(|property| property["name"] == name).map(type_text)
}

impl Shape {
    pub(super) fn new(class: &Value) -> Self {
        Self { class: class.clone(), gone: BTreeMap::new() }
    }

    pub(super) fn into_class(self) -> Value {
        self.class
    }

    /// Leaves these properties.
    pub(super) fn select(&mut self, selected: &BTreeSet<String>) -> Vec<Problem> {
        let is_missing = |name: &&String| property_type(&self.class, name).is_none();
        let unknown = |property: &String| Problem::UnknownProperty { at: 0, property: property.clone() };
        let problems = selected.iter().filter(is_missing).map(unknown).collect();
        let all = self.class["properties"].as_array().into_iter().flatten();
        let all: Vec<String> = all.filter_map(|property| property["name"].as_str()).map(str::to_owned).collect();
        for name in all.iter().filter(|name| !selected.contains(*name)) {
            self.remove(name, "is not selected".to_owned());
        }
        problems
    }

    /// Carries a step out on the class.
    pub(super) fn step(&mut self, step: &Step, at: usize) -> Result<Ready, Problem> {
        Ok(match step {
            Step::Rename { from, to } => {
                self.known(from, at)?;
                self.free(from, to, at)?;
                self.rename(from, to, at);
                Ready::Rename { from: from.clone(), to: to.clone() }
            }
            Step::Convert { property, to, on_error } => {
                let from = self.known(property, at)?;
                if !convert::can_be(&from, *to) {
                    let (property, to) = (property.clone(), to.to_string());
                    return Err(Problem::Conversion { at, property, from, to });
                }
                self.convert(property, *to);
                Ready::Convert { property: property.clone(), to: *to, on_error: *on_error, at }
            }
            Step::Drop { property } => {
                self.known(property, at)?;
                self.remove(property, format!("was dropped by transformation {at}"));
                Ready::Drop { property: property.clone() }
            }
            Step::Set { property, value } => {
                let data_type = self.known(property, at)?;
                if !value.is_null() && !convert::fits(&data_type, value) {
                    return Err(Problem::Value { at, property: property.clone(), data_type });
                }
                Ready::Set { property: property.clone(), value: value.clone() }
            }
            Step::Mask { property, how } => {
                let data_type = self.known(property, at)?;
                let is_uuid = matches!(data_type.as_str(), "uuid" | "uuid[]");
                let is_text = matches!(data_type.as_str(), "text" | "text[]" | "string" | "string[]");
                let is_maskable = is_text || (is_uuid && matches!(how, How::Hash { .. }));
                if !is_maskable {
                    return Err(Problem::Mask { at, property: property.clone(), data_type });
                }
                Ready::Mask { property: property.clone(), how: how.clone() }
            }
            Step::Script { source, on_error, leaves_out } => {
                let script = Script::of(source, *leaves_out, &self.class);
                let script = script.map_err(|faults| Problem::Script { at, faults })?;
                Ready::Script { script, on_error: *on_error, at }
            }
            Step::Where { filter } => {
                let filter = filter.check(&self.class, false).map_err(|error| Problem::Filter { at, error })?;
                Ready::Where { filter }
            }
        })
    }

    /// The type of a property that there is at this point.
    fn known(&self, name: &str, at: usize) -> Result<String, Problem> {
        let property = || name.to_owned();
        match (property_type(&self.class, name), self.gone.get(name)) {
            (Some(data_type), _) => Ok(data_type),
            (None, Some(how)) => Err(Problem::Gone { at, property: property(), how: how.clone() }),
            (None, None) => Err(Problem::UnknownProperty { at, property: property() }),
        }
    }

    fn free(&self, from: &str, to: &str, at: usize) -> Result<(), Problem> {
        let is_name = to.len() <= NAME_LETTERS
            && to.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && to.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
            && !matches!(to, "id" | "_id" | "_additional");
        if !is_name {
            return Err(Problem::Name { at, property: to.to_owned() });
        }
        let mut properties = self.class["properties"].as_array().into_iter().flatten();
        let taken = properties.find_map(|property| {
            property["name"].as_str().filter(|name| *name != from && name.eq_ignore_ascii_case(to))
        });
        match taken {
            Some(taken) => Err(Problem::Taken { at, property: taken.to_owned() }),
            None => Ok(()),
        }
    }

    fn property(&mut self, name: &str) -> Option<&mut Map<String, Value>> {
        let properties = self.class.get_mut("properties")?.as_array_mut()?;
        properties.iter_mut().find(|property| property["name"] == name)?.as_object_mut()
    }

    fn rename(&mut self, from: &str, to: &str, at: usize) {
        if let Some(property) = self.property(from) {
            property.insert("name".to_owned(), to.into());
        }
        self.sources(from, Some(to));
        self.gone.insert(from.to_owned(), format!("was renamed to `{to}` by transformation {at}"));
        self.gone.remove(to);
    }

    fn remove(&mut self, name: &str, how: String) {
        if let Some(properties) = self.class.get_mut("properties").and_then(Value::as_array_mut) {
            properties.retain(|property| property["name"] != name);
        }
        self.sources(name, None);
        self.gone.insert(name.to_owned(), how);
    }

    /// What the server refuses at a property of the new type goes with the old one.
    fn convert(&mut self, name: &str, to: TargetType) {
        let Some(property) = self.property(name) else { return };
        let word = to.to_string();
        let is_text = word.trim_end_matches("[]") == "text";
        property.remove("nestedProperties");
        if !is_text {
            for key in ["tokenization", "indexSearchable", "moduleConfig"] {
                property.remove(key);
            }
        }
        if !matches!(word.as_str(), "int" | "number" | "date") {
            property.remove("indexRangeFilters");
        }
        property.insert("dataType".to_owned(), json!([word]));
        if !is_text {
            self.sources(name, None);
        }
    }

    /// Vectors are made from the property of the new name from then on, or without it.
    fn sources(&mut self, from: &str, to: Option<&str>) {
        for vector in self.class["vectorConfig"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            let mut modules = vector["vectorizer"].as_object_mut().into_iter().flat_map(|all| all.values_mut());
            // A vector that is made from nothing is nobody's to make: what the backup has of it stays.
            if modules.any(|module| edit(module, from, to)) {
                vector["vectorizer"] = json!({"none": {}});
            }
        }
        let vectorizer = self.class["vectorizer"].as_str().unwrap_or_default().to_owned();
        let modules = self.class.get_mut("moduleConfig").and_then(Value::as_object_mut);
        let mut emptied = Vec::new();
        for (name, module) in modules.into_iter().flatten() {
            if edit(module, from, to) {
                emptied.push(name.clone());
            }
        }
        for name in emptied {
            if let Some(modules) = self.class["moduleConfig"].as_object_mut() {
                modules.remove(&name);
            }
            if name == vectorizer {
                self.class["vectorizer"] = "none".into();
            }
        }
        if self.class["objectTtlConfig"]["deleteOn"] == from {
            match (to, self.class.as_object_mut()) {
                (Some(to), _) => self.class["objectTtlConfig"]["deleteOn"] = to.into(),
                (None, Some(class)) => drop(class.remove("objectTtlConfig")),
                (None, None) => {}
            }
        }
    }
}

/// Renames or removes a property in a module's lists; whether it has no source left that it had.
fn edit(module: &mut Value, from: &str, to: Option<&str>) -> bool {
    let Some(module) = module.as_object_mut() else { return false };
    let mut is_emptied = false;
    for key in SOURCES {
        let Some(list) = module.get_mut(key).and_then(Value::as_array_mut) else { continue };
        let Some(place) = list.iter().position(|name| name == from) else { continue };
        if let Some(to) = to {
            list[place] = to.into();
            continue;
        }
        list.remove(place);
        let is_empty = list.is_empty();
        // Weights stand in the order of the fields.
        if let Some(weights) = module.get_mut("weights").and_then(|weights| weights.get_mut(key)?.as_array_mut())
            && place < weights.len()
        {
            weights.remove(place);
        }
        if is_empty {
            module.remove(key);
            is_emptied = true;
        }
    }
    is_emptied && !SOURCES.iter().any(|key| module.contains_key(*key))
}
