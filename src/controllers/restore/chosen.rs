//! What a restore takes of a run and makes of it, as the engine knows it.

use elysia_api::common::SecretKeyReference;
use elysia_api::restore::{self as api, AliasPolicy, TransformStep};
use elysia_core::restore::RestoreSpec;
use elysia_engine::backup::transform::Select;
use uuid::Uuid;

use crate::worker::MASK_SALT_VARIABLE;
use crate::worker::jobs::work::ChosenWork;
use crate::worker::steps::{expression, steps};

/// What is taken and made; the error says which field cannot be understood, and where. Salts are left open.
pub(super) fn chosen(spec: &RestoreSpec) -> Result<ChosenWork, String> {
    let select = spec.select.as_ref().map(select).transpose()?.unwrap_or_default();
    let transform = steps("spec.transform", &spec.transform)?;
    Ok(ChosenWork {
        select,
        transform,
        skip_schema: spec.skip_schema,
        aliases: spec.aliases.map(|policy| match policy {
            AliasPolicy::Restore => true,
            AliasPolicy::Skip => false,
        }),
    })
}

/// Where the salts stand, with the variables that they come in.
pub(super) fn salts(spec: &RestoreSpec) -> Vec<(String, SecretKeyReference)> {
    salts_of(&spec.transform)
}

/// The same of these steps.
pub(in crate::controllers) fn salts_of(transform: &[TransformStep]) -> Vec<(String, SecretKeyReference)> {
    let salt = |(at, step): (usize, &TransformStep)| {
        let hash = step.mask.as_ref()?.how.hash.as_ref()?;
        Some((format!("{MASK_SALT_VARIABLE}{}", at + 1), hash.salt_secret_ref.clone()))
    };
    transform.iter().enumerate().filter_map(salt).collect()
}

fn select(select: &api::Select) -> Result<Select, String> {
    let api::Select { ids, properties, tenants, filter } = select;
    let id = |id: &String| id.parse::<Uuid>().map_err(|_| format!("spec.select.ids: {id:?} is no id"));
    let all = |names: &Vec<String>| names.iter().cloned().collect();
    Ok(Select {
        ids: ids.as_ref().map(|ids| ids.iter().map(id).collect::<Result<_, _>>()).transpose()?,
        properties: properties.as_ref().map(all),
        tenants: tenants.as_ref().map(all),
        filter: filter.as_ref().map(|text| expression("spec.select.filter", text)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use elysia_api::CollectionRestore;
    use elysia_engine::backup::transform::Step;
    use serde_json::{Value, json};

    use super::*;

    fn spec(select: &Value, transform: &Value) -> RestoreSpec {
        let restore: CollectionRestore = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore", "metadata": {"name": "back"},
            "spec": {
                "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
                "collection": "Articles", "select": select, "transform": transform, "skipSchema": true,
            },
        }))
        .unwrap();
        RestoreSpec::validate(&restore).unwrap()
    }

    #[test]
    fn every_step_is_what_the_plug_in_reads_from_its_file() {
        let salt = json!({"saltSecretRef": {"name": "salts", "key": "mail"}});
        let steps = |hash: &Value| {
            json!([
                {"rename": {"from": "a", "to": "b"}},
                {"convert": {"property": "n", "to": "int[]", "onError": "SkipObject"}},
                {"convert": {"property": "m", "to": "date"}},
                {"drop": {"property": "c"}},
                {"set": {"property": "d", "value": [1, 2]}},
                {"set": {"property": "e", "value": null}},
                {"mask": {"property": "mail", "how": {"hash": hash}}},
                {"mask": {"property": "phone", "how": {"keepLast": {"characters": 4}}}},
                {"mask": {"property": "name", "how": {"redact": {}}}},
                {"script": {"source": "object.b = id;"}},
                {"script": {"source": "object.b != ()", "onError": "SkipObject", "leavesOut": true}},
                {"where": {"filter": "b = 'x'"}},
            ])
        };
        let id = "0000000a-0000-0000-0000-000000000001";
        let select = json!({
            "ids": [id], "properties": ["a", "mail"], "tenants": ["acme"], "filter": "a is null",
        });
        let spec = spec(&select, &steps(&salt));
        let made = chosen(&spec).unwrap();
        let wanted: Vec<Step> = serde_json::from_value(steps(&json!({"salt": ""}))).unwrap();
        assert_eq!((made.transform.clone(), made.skip_schema), (wanted, true));
        assert_eq!(serde_json::to_value(&made.select).unwrap(), select);
        let secret = SecretKeyReference { name: "salts".to_owned(), key: "mail".to_owned() };
        assert_eq!(salts(&spec), [("ELYSIA_MASK_SALT_7".to_owned(), secret)]);
        assert_eq!(made.salted().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn what_cannot_be_understood_is_told_with_its_place() {
        for (select, transform, wrong) in [
            (json!({"filter": "a = "}), json!([]), "spec.select.filter: column "),
            (json!({"ids": ["x"]}), json!([]), "spec.select.ids: \"x\" is no id"),
            (
                Value::Null,
                json!([{"drop": {"property": "a"}}, {"where": {"filter": "("}}]),
                "spec.transform[1].where.filter: column",
            ),
            (
                Value::Null,
                json!([{"convert": {"property": "a", "to": "blob"}}]),
                "spec.transform[0].convert.to: \"blob\" is no type",
            ),
            (
                Value::Null,
                json!([{"mask": {"property": "a", "how": {"keepLast": {"characters": -1}}}}]),
                "spec.transform[0].mask.how.keepLast.characters: -1",
            ),
            (
                Value::Null,
                json!([{"drop": {"property": "a"}}, {"script": {"source": "object.a = 1;\nobject.b = now();"}}]),
                "spec.transform[1].script.source: line 2, column 12: there is no function `now` in scripts",
            ),
        ] {
            let error = chosen(&spec(&select, &transform)).unwrap_err();
            assert!(error.starts_with(wrong), "{error}");
        }
    }

    #[test]
    fn the_example_is_understood() {
        let text = include_str!("../../../examples/restore-chosen.yaml");
        let restore: CollectionRestore = serde_yaml::from_str(text.rsplit("\n---\n").next().unwrap()).unwrap();
        let spec = RestoreSpec::validate(&restore).unwrap();
        let made = chosen(&spec).unwrap();
        assert_eq!((made.transform.len(), salts(&spec).len(), made.select.filter.is_some()), (4, 1, true));
    }
}
