//! Cross-references, as 1.38.2 keeps and answers them (recorded on it).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::state::{Class, Reply, State};

const HOST: &str = "weaviate://localhost/";

/// `POST /v1/batch/references`: each reference has its own word, and the call is a success.
pub(super) fn batch(state: &mut State, body: &Value) -> Reply {
    let mut answers = Vec::new();
    for reference in body.as_array().into_iter().flatten() {
        let result = match add(state, reference) {
            Ok(()) => json!({ "status": "SUCCESS" }),
            Err(message) => json!({ "errors": { "error": [{ "message": message }] }, "status": "FAILED" }),
        };
        answers.push(json!({ "from": reference["from"], "to": reference["to"], "result": result }));
    }
    (200, Some(Value::Array(answers)))
}

/// Adds a reference behind those that are there, whatever it leads to; where the source's class has tenants, both objects
/// must be there.
fn add(state: &mut State, reference: &Value) -> Result<(), String> {
    let path = |key: &str| reference[key].as_str().and_then(|beacon| beacon.strip_prefix(HOST)).unwrap_or_default();
    let (from, to) = (path("from").to_owned(), path("to").to_owned());
    let mut parts = from.split('/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (class, id, property) = (part(), part(), part());
    let (target, target_id) = to.split_once('/').unwrap_or_default();
    let id: Uuid = id.parse().map_err(|_| format!("invalid id {id}"))?;
    let tenant = reference["tenant"].as_str();
    let (Some(source), Some(leads_to)) = (state.classes.get(&class), state.classes.get(target)) else {
        // The real one names the source here as well.
        return Err(format!("target class \"{class}\" not found in schema"));
    };
    match (source.is_multi_tenant(), leads_to.is_multi_tenant()) {
        (false, true) => {
            let words = "cannot reference a multi-tenant enabled class from a non multi-tenant enabled class";
            return Err(format!("invalid reference: {words}"));
        }
        (true, has_tenants) => {
            let of_target = tenant.filter(|_| has_tenants);
            let is_there = target_id.parse().is_ok_and(|id| holds(leads_to, of_target, id));
            for (what, class, is_there, id, tenant) in [
                ("source", &class, holds(source, tenant, id), id.to_string(), tenant),
                ("target", &target.to_owned(), is_there, target_id.to_owned(), of_target),
            ] {
                if !is_there {
                    let tenant = tenant.unwrap_or_default();
                    return Err(format!("{what}: object {class}/{id} not found for tenant \"{tenant}\""));
                }
            }
        }
        (false, false) => {}
    }
    if !holds(source, tenant, id) {
        return Err(format!("ref batch: object with id {id} not found"));
    }
    let shards = state.classes.get_mut(&class).into_iter().flat_map(|class| class.shards.values_mut());
    for replica in shards.flat_map(|replicas| replicas.values_mut()).filter(|replica| replica.ids.contains(&id)) {
        let properties = replica.properties.entry(id).or_insert_with(|| json!({}));
        let list = &mut properties[property.as_str()];
        if !list.is_array() {
            *list = json!([]);
        }
        list.as_array_mut().into_iter().for_each(|list| list.push(json!({ "beacon": reference["to"] })));
    }
    Ok(())
}

fn holds(class: &Class, tenant: Option<&str>, id: Uuid) -> bool {
    let shards = class.shards.iter().filter(|(shard, _)| tenant.is_none_or(|tenant| tenant == *shard));
    shards.flat_map(|(_, replicas)| replicas.values()).any(|replica| replica.ids.contains(&id))
}

/// The properties of an object of a list.
pub(super) fn of(class: &Class, node: &str, id: Uuid) -> Value {
    let replicas = class.shards.values().filter_map(|replicas| {
        let holding = || replicas.values().find(|replica| replica.ids.contains(&id));
        replicas.get(node).filter(|replica| replica.ids.contains(&id)).or_else(holding)
    });
    let mut kept = replicas.filter_map(|replica| replica.properties.get(&id));
    with_addresses(kept.next().cloned().unwrap_or_else(|| json!({})))
}

/// As they are answered: each reference with the address of what it leads to, made up from its beacon.
pub(super) fn with_addresses(mut properties: Value) -> Value {
    let all = properties.as_object_mut().into_iter().flat_map(Map::values_mut);
    for reference in all.filter_map(Value::as_array_mut).flatten() {
        let path = reference["beacon"].as_str().and_then(|beacon| beacon.strip_prefix(HOST)).map(str::to_owned);
        if let Some(path) = path {
            reference["href"] = format!("/v1/objects/{path}").into();
        }
    }
    properties
}
