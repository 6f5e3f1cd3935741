//! Collections with cross-references: to themselves, to one another in a circle, to either of two, twice, to what is gone,
//! and within tenants.

use anyhow::{Result, ensure};
use elysia_e2e::servers::Servers;
use serde_json::{Value, json};

use super::objects::{id, plain};
use super::source::put;

/// Leads to itself and to [`PERSON`].
pub(super) const LINKED: &str = "Linked";
/// Leads to [`LINKED`].
pub(super) const PERSON: &str = "Person";
/// Tenants whose objects lead to one another.
pub(super) const ROOMS: &str = "Rooms";
/// The two that lead to one another: neither can be made whole before the other.
pub(super) const CIRCLE: [&str; 2] = [LINKED, PERSON];

const OBJECTS: [(&str, u32); 2] = [(LINKED, 400), (PERSON, 200)];
const TENANTS: [(&str, u32); 2] = [("east", 100), ("west", 60)];
/// References in one call.
const BATCH: usize = 500;

/// Whether a copy of it leads to itself, where the collection leads to itself: then it is not the same.
pub(super) fn leads_to_itself(collection: &str) -> bool {
    matches!(collection, LINKED | ROOMS)
}

/// Makes and fills them.
pub(super) fn fill(servers: &Servers, factor: usize) -> Result<()> {
    let reference = |name: &str, targets: &[&str]| json!({"name": name, "dataType": targets});
    let class = |name: &str, references: &[Value], has_tenants: bool| {
        let mut properties = vec![json!({"name": "title", "dataType": ["text"]})];
        properties.extend_from_slice(references);
        json!({
            "class": name, "properties": properties,
            "replicationConfig": {"factor": factor, "asyncEnabled": true},
            "multiTenancyConfig": {"enabled": has_tenants},
            "vectorConfig": {"small": {"vectorizer": {"none": {}}, "vectorIndexType": "hnsw"}},
        })
    };
    servers.create_class("w-0", &class(PERSON, &[], false))?;
    let own = [reference("next", &[LINKED]), reference("by", &[PERSON]), reference("about", &[LINKED, PERSON])];
    servers.create_class("w-0", &class(LINKED, &own, false))?;
    servers.post("w-0", &format!("/v1/schema/{PERSON}/properties"), &reference("wrote", &[LINKED]))?;
    servers.create_class("w-0", &class(ROOMS, &[reference("door", &[ROOMS])], true))?;
    servers.post(
        "w-0",
        &format!("/v1/schema/{ROOMS}/tenants"),
        &json!(TENANTS.map(|(name, _)| json!({"name": name}))),
    )?;

    for (class, count) in OBJECTS {
        put(servers, &(0..count).map(|number| plain(class, None, number)).collect::<Vec<_>>())?;
        let of = (0..count).flat_map(|number| if class == LINKED { of_linked(number) } else { of_person(number) });
        add(servers, &of.collect::<Vec<_>>())?;
    }
    for (tenant, count) in TENANTS {
        put(servers, &(0..count).map(|number| plain(ROOMS, Some(tenant), number)).collect::<Vec<_>>())?;
        let doors = (0..count).map(|number| {
            let mut door = new(ROOMS, number, "door", ROOMS, (number * 7 + 1) % count);
            door["tenant"] = tenant.into();
            door
        });
        add(servers, &doors.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Some lead nowhere, some to what is gone, some twice to the same; their order is no order of ids.
fn of_linked(number: u32) -> Vec<Value> {
    let to = |property: &str, class: &str, other: u32| new(LINKED, number, property, class, other);
    match number % 5 {
        0 => vec![],
        1 => vec![to("next", LINKED, number)],
        2 => vec![to("by", PERSON, 10_000 + number), to("by", PERSON, number % 200)],
        3 => {
            (0..4).map(|at| to("about", if at % 2 == 0 { LINKED } else { PERSON }, (number * 31 + at) % 200)).collect()
        }
        _ => vec![
            to("about", PERSON, 7),
            to("next", LINKED, 399 - number),
            to("about", LINKED, 7),
            to("about", PERSON, 7),
        ],
    }
}

fn of_person(number: u32) -> Vec<Value> {
    (0..number % 4).map(|at| new(PERSON, number, "wrote", LINKED, (number * 13 + at) % 400)).collect()
}

fn new(class: &str, number: u32, property: &str, target: &str, other: u32) -> Value {
    json!({
        "from": format!("weaviate://localhost/{class}/{}/{property}", id(number)),
        "to": format!("weaviate://localhost/{target}/{}", id(other)),
    })
}

fn add(servers: &Servers, references: &[Value]) -> Result<()> {
    for batch in references.chunks(BATCH) {
        let answer = servers.post("w-0", "/v1/batch/references?consistency_level=ALL", &json!(batch))?;
        let answers = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let refused = answers.iter().find(|answer| answer["result"]["status"] != "SUCCESS");
        ensure!(answers.len() == batch.len() && refused.is_none(), "references were refused: {refused:?}");
    }
    Ok(())
}
