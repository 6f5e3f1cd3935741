//! What a migration's transformations do to the class: which properties they take away, and which they still have to.

use elysia_api::collection::Verdict;
use elysia_api::restore::{OnError, OnFault, TransformStep};
use serde_json::{Map, Value, json};

use super::super::schema::{self, Difference, Measure};

/// Settings of a property that another type may not have.
const OF_ITS_TYPE: [&str; 4] = ["tokenization", "indexSearchable", "indexRangeFilters", "nestedProperties"];

/// Properties as these steps leave them, in their order. Only the class is looked at: whether the steps fit is said by the
/// copy before its first write.
pub fn transformed(properties: &[Value], steps: &[TransformStep]) -> Vec<Value> {
    let mut properties = properties.to_vec();
    for step in steps {
        // A script changes objects, and no class.
        let TransformStep { rename, convert, drop, set: _, mask: _, script: _, keep: _ } = step;
        if let Some(rename) = rename
            && let Some(property) = find(&mut properties, &rename.from)
        {
            property["name"] = json!(rename.to);
        }
        if let Some(convert) = convert
            && let Some(property) = find(&mut properties, &convert.property)
        {
            property["dataType"] = json!([convert.to]);
            if let Some(settings) = property.as_object_mut() {
                for key in OF_ITS_TYPE {
                    settings.remove(key);
                }
            }
        }
        if let Some(drop) = drop {
            properties.retain(|property| !is_named(property, &drop.property));
        }
    }
    properties
}

fn find<'a>(properties: &'a mut [Value], name: &str) -> Option<&'a mut Value> {
    properties.iter_mut().find(|property| is_named(property, name))
}

fn is_named(property: &Value, name: &str) -> bool {
    schema::property_name(property) == spelled(name)
}

/// As the servers spell a property.
fn spelled(name: &str) -> String {
    schema::property_name(&json!({"name": name}))
}

/// Whether objects may be left out on the way: the live name loses them then.
pub fn leaves_objects_out(steps: &[TransformStep]) -> bool {
    steps.iter().any(|step| {
        let skips = |convert: &elysia_api::restore::Convert| convert.on_error == Some(OnError::SkipObject);
        let leaves = |script: &elysia_api::restore::Script| {
            script.leaves_out == Some(true) || script.on_error == Some(OnFault::SkipObject)
        };
        step.keep.is_some() || step.convert.as_ref().is_some_and(skips) || step.script.as_ref().is_some_and(leaves)
    })
}

/// Whether these steps have something to do to objects of a class as it is. What they take away or convert and the class does
/// not have, or has so already, no object has.
pub fn is_pending(steps: &[TransformStep], class: &Value) -> bool {
    let properties = class["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    let there = |name: &str| properties.iter().find(|property| is_named(property, name));
    steps.iter().any(|step| {
        let TransformStep { rename, convert, drop, set, mask, script, keep } = step;
        let is_converted =
            |to: &str, property: &Value| property.pointer("/dataType/0").and_then(Value::as_str) == Some(to);
        set.is_some()
            || mask.is_some()
            || script.is_some()
            || keep.is_some()
            || rename.as_ref().is_some_and(|rename| there(&rename.from).is_some())
            || drop.as_ref().is_some_and(|drop| there(&drop.property).is_some())
            || convert.as_ref().is_some_and(|convert| {
                there(&convert.property).is_some_and(|property| !is_converted(&convert.to, property))
            })
    })
}

/// What a person reads of a step.
pub fn words(step: &TransformStep) -> String {
    let TransformStep { rename, convert, drop, set, mask, script, keep } = step;
    let said = [
        rename.as_ref().map(|it| format!("rename {} to {}", it.from, it.to)),
        convert.as_ref().map(|it| format!("convert {} to {}", it.property, it.to)),
        drop.as_ref().map(|it| format!("drop {}", it.property)),
        set.as_ref().map(|it| format!("set {}", it.property)),
        mask.as_ref().map(|it| format!("mask {}", it.property)),
        script.as_ref().map(|it| format!("run a script of {} lines", it.source.trim().lines().count())),
        keep.as_ref().map(|it| format!("keep only objects where {}", it.filter)),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Differences of a class from the declared settings and from what the transformations are to leave of it. A property that
/// they drop or rename and that is still there is one that only a new class lacks; the new name of one is not added to the
/// class that has the old one.
pub fn differences(
    settings: &Map<String, Value>,
    steps: &[TransformStep],
    class: &Value,
    measure: &Measure<'_>,
) -> Vec<Difference> {
    let mut found = schema::differences(settings, class, measure);
    let live = class["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    let there = |name: &str| live.iter().find(|property| is_named(property, name));
    let mut is_pending = false;
    for step in steps {
        let gone = step.drop.as_ref().map(|drop| &drop.property).or(step.rename.as_ref().map(|rename| &rename.from));
        let Some((name, property)) = gone.and_then(|name| Some((name, there(name)?))) else { continue };
        let path = vec!["properties".to_owned(), spelled(name)];
        if found.iter().all(|difference| difference.path != path) {
            found.push(Difference {
                path,
                live: Some(property.clone()),
                wanted: Value::Null,
                verdict: Verdict::Recreate,
                because: "spec.migration.transform takes it away",
            });
            is_pending = true;
        }
    }
    if is_pending {
        let after = transformed(live, steps);
        let is_made = |name: &String| there(name).is_none() && after.iter().any(|property| is_named(property, name));
        found.retain(|difference| !(difference.is_new_property() && is_made(&difference.path[1])));
    }
    found
}

/// A declared property that these steps take away: no class could be had.
pub fn contradiction(settings: &Map<String, Value>, steps: &[TransformStep]) -> Option<String> {
    let declared = settings.get("properties").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let gone = |step: &TransformStep| {
        let drop = step.drop.as_ref().map(|drop| drop.property.clone());
        drop.or_else(|| step.rename.as_ref().map(|rename| rename.from.clone()))
    };
    let name = steps.iter().filter_map(gone).find(|name| declared.iter().any(|property| is_named(property, name)))?;
    Some(format!(
        "spec.migration.transform takes property {name} away, and spec.schema declares it: leave it out of spec.schema.properties"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(of: &Value) -> Vec<TransformStep> {
        serde_json::from_value(of.clone()).unwrap()
    }

    fn property(name: &str, kind: &str) -> Value {
        json!({"name": name, "dataType": [kind]})
    }

    #[test]
    fn properties_are_what_the_steps_leave() {
        let text = json!({"name": "pages", "dataType": ["text"], "tokenization": "word", "indexSearchable": true});
        let live = [property("title", "text"), text, property("body", "text"), property("mail", "text")];
        let steps = steps(&json!([
            {"rename": {"from": "title", "to": "name"}},
            {"convert": {"property": "pages", "to": "int"}},
            {"drop": {"property": "Body"}},
            {"mask": {"property": "mail", "how": {"redact": {}}}},
            {"rename": {"from": "nothing", "to": "something"}},
        ]));
        assert_eq!(
            transformed(&live, &steps),
            [property("name", "text"), property("pages", "int"), property("mail", "text")]
        );
    }

    #[test]
    fn a_script_is_done_when_something_else_is_a_reason() {
        let class = json!({"class": "A", "properties": [property("title", "text")]});
        let steps = steps(&json!([{"script": {"source": "object.title = \"x\";\nobject.title += \"y\";\n"}}]));
        let settings = json!({"properties": [property("title", "text")]});
        assert_eq!(differences(settings.as_object().unwrap(), &steps, &class, &Measure::default()), []);
        assert!(is_pending(&steps, &class), "and it is not passed over");
        assert_eq!(transformed(&[property("title", "text")], &steps), [property("title", "text")]);
        assert_eq!(words(&steps[0]), "run a script of 2 lines");
    }

    #[test]
    fn what_is_still_to_be_taken_away_asks_for_a_new_class() {
        let class = json!({"class": "A", "properties": [property("title", "text"), property("body", "text")]});
        let settings = json!({"properties": [property("name", "text"), property("more", "text")]});
        let settings = settings.as_object().unwrap();
        let steps = steps(&json!([{"rename": {"from": "title", "to": "name"}}, {"drop": {"property": "body"}}]));
        let told = |class: &Value| -> Vec<(String, Verdict)> {
            let found = differences(settings, &steps, class, &Measure::default());
            let found = found.iter().filter(|difference| difference.verdict != Verdict::Adopt);
            found.map(|difference| (difference.dotted(), difference.verdict)).collect()
        };
        assert_eq!(
            told(&class),
            [
                ("properties.more".to_owned(), Verdict::Revert),
                ("properties.title".to_owned(), Verdict::Recreate),
                ("properties.body".to_owned(), Verdict::Recreate),
            ]
        );
        let done = json!({"class": "A_2", "properties": [property("name", "text"), property("more", "text")]});
        assert_eq!(told(&done), []);
    }

    #[test]
    fn what_is_taken_away_is_not_declared() {
        let settings = json!({"properties": [property("body", "text")]});
        let said = |step: Value| contradiction(settings.as_object().unwrap(), &steps(&json!([step])));
        assert!(said(json!({"drop": {"property": "Body"}})).unwrap().contains("takes property Body away"));
        assert!(said(json!({"rename": {"from": "body", "to": "text"}})).is_some());
        assert_eq!(said(json!({"rename": {"from": "text", "to": "body"}})), None);
        assert_eq!(said(json!({"mask": {"property": "body", "how": {"redact": {}}}})), None);
    }

    #[test]
    fn only_steps_that_choose_leave_objects_out() {
        for (step, expected) in [
            (json!({"where": {"filter": "a = 1"}}), true),
            (json!({"convert": {"property": "a", "to": "int", "onError": "SkipObject"}}), true),
            (json!({"convert": {"property": "a", "to": "int", "onError": "DropProperty"}}), false),
            (json!({"drop": {"property": "a"}}), false),
            (json!({"script": {"source": "false"}}), false),
            (json!({"script": {"source": "false", "leavesOut": false, "onError": "Fail"}}), false),
            (json!({"script": {"source": "false", "leavesOut": true}}), true),
            (json!({"script": {"source": "throw 1", "onError": "SkipObject"}}), true),
        ] {
            assert_eq!(leaves_objects_out(&steps(&json!([step]))), expected, "{step}");
        }
    }
}
