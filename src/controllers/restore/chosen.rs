//! What a restore takes of a run and makes of it, as the engine knows it.

use elysia_api::common::SecretKeyReference;
use elysia_api::restore::{self as api, AliasPolicy, TransformStep};
use elysia_core::backup::bounded;
use elysia_core::restore::RestoreSpec;
use elysia_engine::backup::filter::{Expression, FilterError};
use elysia_engine::backup::transform::{How, OnError, Salt, Select, Step};
use serde_json::Value;
use uuid::Uuid;

use crate::worker::MASK_SALT_VARIABLE;
use crate::worker::jobs::work::ChosenWork;

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

/// What is made of objects; the error says which part of this field cannot be understood. Salts are left open.
pub(in crate::controllers) fn steps(field: &str, transform: &[TransformStep]) -> Result<Vec<Step>, String> {
    let steps = transform.iter().enumerate();
    steps.map(|(at, one)| step(one).map_err(|error| format!("{field}[{at}].{error}"))).collect()
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

fn expression(field: &str, text: &str) -> Result<Expression, String> {
    bounded(field, text)?.parse().map_err(|error: FilterError| format!("{field}: {error}"))
}

fn step(step: &TransformStep) -> Result<Step, String> {
    let TransformStep { rename, convert, drop, set, mask, keep } = step;
    let made = [
        rename.clone().map(|api::Rename { from, to }| Ok(Step::Rename { from, to })),
        convert.as_ref().map(convert_step),
        drop.clone().map(|api::Drop { property }| Ok(Step::Drop { property })),
        set.clone().map(|api::Set { property, value }| Ok(Step::Set { property, value: value.unwrap_or(Value::Null) })),
        mask.as_ref().map(mask_step),
        keep.as_ref().map(|api::Where { filter }| Ok(Step::Where { filter: expression("where.filter", filter)? })),
    ];
    let mut made = made.into_iter().flatten();
    match (made.next(), made.next()) {
        (Some(only), None) => only,
        // The definition says so as well, unless it is older.
        _ => Err("exactly one of rename, convert, drop, set, mask and where must be set".to_owned()),
    }
}

fn convert_step(convert: &api::Convert) -> Result<Step, String> {
    let api::Convert { property, to, on_error } = convert;
    let wanted = serde_json::from_value(Value::from(to.as_str()));
    Ok(Step::Convert {
        property: property.clone(),
        to: wanted.map_err(|_| {
            format!("convert.to: {to:?} is no type; text, int, number, boolean, date and uuid are, and each with []")
        })?,
        on_error: match on_error.unwrap_or_default() {
            api::OnError::Fail => OnError::Fail,
            api::OnError::DropProperty => OnError::DropProperty,
            api::OnError::SkipObject => OnError::SkipObject,
        },
    })
}

fn mask_step(mask: &api::Mask) -> Result<Step, String> {
    let api::Mask { property, how } = mask;
    let how = match how {
        api::How { hash: Some(_), redact: None, keep_last: None } => How::Hash { salt: Salt(String::new()) },
        api::How { hash: None, redact: Some(_), keep_last: None } => How::Redact {},
        api::How { hash: None, redact: None, keep_last: Some(api::KeepLast { characters }) } => {
            let kept = usize::try_from(*characters);
            How::KeepLast {
                characters: kept
                    .map_err(|_| format!("mask.how.keepLast.characters: {characters} is less than none"))?,
            }
        }
        _ => return Err("mask.how: exactly one of hash, redact and keepLast must be set".to_owned()),
    };
    Ok(Step::Mask { property: property.clone(), how })
}

#[cfg(test)]
mod tests {
    use elysia_api::CollectionRestore;
    use serde_json::json;

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
