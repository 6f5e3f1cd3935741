//! What the calls answer, in Weaviate's shapes.

use serde_json::{Value, json};
use uuid::Uuid;

use super::references;
use super::routes::Asked;
use super::state::{Class, Operation, Reply, State, refusal};

/// The version that the fake claims to be; its answers were recorded from it.
pub(super) const VERSION: &str = "1.38.2";

/// When every object was written last: the fake has no clock.
const UPDATED: i64 = 1_800_000_000_000;

pub(super) fn nodes(state: &State, asked: &Asked<'_>) -> Reply {
    let live = state.nodes.iter().filter(|node| !state.is_missing(node));
    let nodes = live.map(|node| {
        let mut node_status =
            json!({ "name": node, "status": "HEALTHY", "version": VERSION, "operationalMode": "ReadWrite", "shards": null });
        if asked.query("output") == Some("verbose") {
            let shards = state.classes.values().flat_map(|class| class.shards.values());
            let held = shards.filter(|replicas| replicas.contains_key(node)).count();
            node_status["shards"] = held_shards(state, node, None).into();
            node_status["stats"] = json!({ "objectCount": 0, "shardCount": held });
        }
        node_status
    });
    (200, Some(json!({ "nodes": nodes.collect::<Vec<_>>() })))
}

/// Every live node with its shards of a class. The counts are exact here; a real server's are late.
pub(super) fn node_shards(state: &State, class: &str) -> Reply {
    if !state.classes.contains_key(class) {
        return (404, None);
    }
    let live = state.nodes.iter().filter(|node| !state.is_missing(node));
    let nodes = live.map(|node| {
        json!({
            "name": node, "status": "HEALTHY", "version": VERSION, "operationalMode": "ReadWrite",
            "shards": held_shards(state, node, Some(class)),
        })
    });
    (200, Some(json!({ "nodes": nodes.collect::<Vec<_>>() })))
}

fn held_shards(state: &State, node: &str, class: Option<&str>) -> Vec<Value> {
    let classes = state.classes.iter().filter(|(name, _)| class.is_none_or(|class| class == name.as_str()));
    let shards = classes.flat_map(|(class, body)| body.shards.iter().map(move |(name, held)| (class, name, held)));
    let held = shards.filter_map(|(class, name, replicas)| Some((class, name, replicas.get(node)?)));
    let shard = held.map(|(class, name, replica)| {
        let status = if replica.read_only { "READONLY" } else { "READY" };
        json!({
            "class": class, "name": name, "objectCount": replica.ids.len(), "vectorIndexingStatus": status,
            "vectorQueueLength": 0, "compressed": false, "loaded": true,
        })
    });
    shard.collect()
}

/// `{Aggregate{Class{meta{count}}}}`, the one query that is understood.
pub(super) fn aggregate(state: &State, asked: &Asked<'_>) -> Reply {
    let query = asked.body["query"].as_str().unwrap_or_default();
    let inner = query.strip_prefix("{Aggregate{").unwrap_or_default();
    let name: String = inner.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let fault = |message: String| (200, Some(json!({ "data": null, "errors": [{ "message": message }] })));
    let Some(class) = state.classes.get(&name) else {
        return fault(format!("Cannot query field \"{name}\" on type \"AggregateObjectsObj\"."));
    };
    if class.is_multi_tenant() {
        return fault(format!("class {name} has multi-tenancy enabled, but request was without tenant"));
    }
    let count = seen(state, class, asked.node, None).count();
    (200, Some(json!({ "data": { "Aggregate": { name: [{ "meta": { "count": count } }] } } })))
}

pub(super) fn statistics(state: &State) -> Reply {
    let member = |node: &String| json!({ "id": node, "address": "127.0.0.1:8300", "suffrage": 0 });
    let members = state.nodes.iter().map(member).collect::<Vec<_>>();
    let live = state.nodes.iter().filter(|node| !state.is_missing(node)).collect::<Vec<_>>();
    let leader = live.first().map_or("", |node| node.as_str());
    let statistics = live.iter().map(|node| {
        let raft = if node.as_str() == leader { "Leader" } else { "Follower" };
        json!({
            "name": node, "status": "HEALTHY", "isVoter": true, "leaderId": leader, "ready": true, "open": true,
            "dbLoaded": true,
            "raft": { "state": raft, "term": "2", "appliedIndex": "11", "latestConfiguration": members },
        })
    });
    (
        200,
        Some(json!({ "statistics": statistics.collect::<Vec<_>>(), "synchronized": live.len() == state.nodes.len() })),
    )
}

pub(super) fn add_property(state: &mut State, name: &str, property: &Value) -> Reply {
    if state.leads_nowhere(name, std::iter::once(property)) {
        let cause = "reference property to nonexistent class";
        let (word, types) = (property["name"].as_str().unwrap_or_default(), &property["dataType"]);
        let types: Vec<_> = types.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        return refusal(422, format!("property '{word}': invalid dataType: [{}]: {cause}", types.join(" ")));
    }
    let Some(class) = state.classes.get_mut(name) else {
        return (404, None);
    };
    let Some(properties) = class.body["properties"].as_array_mut() else {
        return refusal(422, "no properties");
    };
    if properties.iter().any(|has| has["name"] == property["name"]) {
        let message = format!("class \"{name}\": conflict for property {}: already in use", property["name"]);
        return refusal(422, message);
    }
    properties.push(property.clone());
    (200, Some(property.clone()))
}

/// This node's own status where it holds the shard, the first other replica's where it does not.
pub(super) fn shards(state: &State, asked: &Asked<'_>, name: &str) -> Reply {
    let Some(class) = state.classes.get(name) else {
        return (404, None);
    };
    if let Some((cold, _)) =
        class.tenants.iter().find(|(_, status)| *status != "HOT").filter(|_| asked.query("tenant").is_none())
    {
        return refusal(500, format!("shard {cold}: status code: 500 body: (local {cold} shard not found\n)"));
    }
    let wanted = class.shards.iter().filter(|(shard, _)| asked.query("tenant").is_none_or(|tenant| tenant == *shard));
    let shards = wanted.map(|(shard, replicas)| {
        let replica = replicas.get(asked.node).or_else(|| replicas.values().next());
        let frozen = replica.is_some_and(|replica| replica.read_only);
        json!({ "name": shard, "status": if frozen { "READONLY" } else { "READY" }, "vectorQueueSize": 0 })
    });
    (200, Some(shards.collect()))
}

/// Freezes or thaws every replica that is there.
pub(super) fn set_status(state: &mut State, name: &str, shard: &str, body: &Value) -> Reply {
    let Some(class) = state.classes.get_mut(name) else {
        return (404, None);
    };
    for replica in class.shards.get_mut(shard).into_iter().flat_map(|shard| shard.values_mut()) {
        replica.read_only = body["status"] == "READONLY";
    }
    (200, Some(body.clone()))
}

pub(super) fn tenants(state: &State, name: &str) -> Reply {
    match state.classes.get(name) {
        Some(class) if class.is_multi_tenant() => {
            let tenants = class.tenants.iter().map(|(name, status)| json!({ "name": name, "activityStatus": status }));
            (200, Some(tenants.collect()))
        }
        Some(_) => refusal(422, format!("multi-tenancy is not enabled for class \"{name}\"")),
        None => (404, None),
    }
}

/// Creates tenants, or sets how active they are: creating one that is there changes nothing, and one that is put to rest
/// is writable when it wakes (1.35.2, 1.38.2).
pub(super) fn set_tenants(state: &mut State, name: &str, body: &Value, create: bool) -> Reply {
    for (at, tenant) in body.as_array().into_iter().flatten().enumerate() {
        let Some(class) = state.classes.get_mut(name) else {
            return (404, None);
        };
        let shard = tenant["name"].as_str().unwrap_or_default();
        let status = tenant["activityStatus"].as_str().unwrap_or("HOT").to_owned();
        if create && class.tenants.contains_key(shard) {
            continue;
        }
        if status != "HOT" {
            class.shards.get_mut(shard).into_iter().flatten().for_each(|(_, replica)| replica.read_only = false);
        }
        class.tenants.insert(shard.to_owned(), status);
        if !class.shards.contains_key(shard) {
            let factor = class.factor();
            let replicas = state.turn(at, factor);
            state.place(name, shard, replicas.into_iter());
        }
    }
    (200, Some(body.clone()))
}

pub(super) fn aliases(state: &State, class: Option<&str>) -> Reply {
    // Those of a class that is gone are listed without the filter only.
    let wanted = state
        .aliases
        .iter()
        .filter(|(_, target)| class.is_none_or(|class| class == target.as_str() && state.classes.contains_key(class)));
    let aliases = wanted.map(|(alias, class)| json!({ "alias": alias, "class": class }));
    (200, Some(json!({ "aliases": aliases.collect::<Vec<_>>() })))
}

pub(super) fn alias(state: &State, name: &str) -> Reply {
    state.aliases.get(name).map_or((404, None), |class| (200, Some(json!({ "alias": name, "class": class }))))
}

pub(super) fn sharding_state(state: &State, name: &str) -> Reply {
    let Some(class) = state.classes.get(name) else {
        return (404, None);
    };
    let shards = class
        .shards
        .iter()
        .map(|(shard, replicas)| json!({ "shard": shard, "replicas": replicas.keys().collect::<Vec<_>>() }));
    (200, Some(json!({ "shardingState": { "collection": name, "shards": shards.collect::<Vec<_>>() } })))
}

fn record(operation: &Operation) -> Value {
    let errors: Vec<Value> = operation.error.iter().map(|error| json!({ "message": error })).collect();
    json!({
        "id": operation.id, "collection": operation.collection, "shard": operation.shard, "type": operation.kind,
        "scheduledForDelete": operation.dropping,
        "sourceNode": operation.source, "targetNode": operation.target,
        "status": { "errors": errors, "state": operation.state }, "statusHistory": null,
        "uncancelable": matches!(operation.state, "INTEGRATING" | "READY"),
    })
}

pub(super) fn operations(state: &State, collection: Option<&str>) -> Reply {
    let wanted = state.operations.iter().filter(|operation| collection.is_none_or(|name| name == operation.collection));
    (200, Some(wanted.map(record).collect()))
}

pub(super) fn operation(state: &State, id: &str) -> Reply {
    let operation = state.operations.iter().find(|operation| operation.id.to_string() == id);
    operation.map_or((404, None), |operation| (200, Some(record(operation))))
}

/// Cancels; with `forget` the record goes as well. What has joined and is not READY can do neither.
pub(super) fn cancel(state: &mut State, id: &str, forget: bool) -> Reply {
    let Some(at) = state.operations.iter().position(|operation| operation.id.to_string() == id) else {
        return if forget { (204, None) } else { (404, None) };
    };
    match (state.operations[at].state, forget) {
        ("INTEGRATING", _) | ("READY", false) => return (409, None),
        // Only the target deletes; one that nobody is does nothing (lab 7).
        ("REGISTERED", true) if !state.nodes.contains(&state.operations[at].target) => {
            state.operations[at].dropping = true;
        }
        (_, true) if state.hung.contains(&state.operations[at].target) => state.operations[at].dropping = true,
        (_, true) => drop(state.operations.remove(at)),
        (_, false) => state.operations[at].state = "CANCELLED",
    }
    (204, None)
}

/// The local list: this node's replicas, and another's for shards that it does not hold.
pub(super) fn objects(state: &State, asked: &Asked<'_>) -> Reply {
    let name = asked.query("class").unwrap_or_default();
    let Some(class) = state.classes.get(name) else {
        return (404, None);
    };
    let tenant = asked.query("tenant");
    if let Some(tenant) = tenant.filter(|tenant| class.tenants.get(*tenant).is_some_and(|status| status != "HOT")) {
        return refusal(422, format!("msg:search index {name} code:422 err:tenant not active: '{tenant}'"));
    }
    let after = asked.query("after").and_then(|id| id.parse::<Uuid>().ok());
    let limit = asked.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(25);
    let mut ids =
        seen(state, class, asked.node, tenant).filter(|id| after.is_none_or(|after| *id > after)).collect::<Vec<_>>();
    ids.sort_unstable();
    let objects = ids.into_iter().take(limit).map(|id| {
        let properties = references::of(class, asked.node, id);
        json!({ "class": name, "id": id, "lastUpdateTimeUnix": UPDATED, "properties": properties })
    });
    (200, Some(json!({ "deprecations": [], "objects": objects.collect::<Vec<_>>() })))
}

fn seen<'a>(
    state: &'a State,
    class: &'a Class,
    node: &'a str,
    tenant: Option<&'a str>,
) -> impl Iterator<Item = Uuid> + 'a {
    let shards = class.shards.iter().filter(move |(shard, _)| tenant.is_none_or(|tenant| tenant == *shard));
    let replica = move |(_, replicas): (_, &'a std::collections::BTreeMap<String, super::state::Replica>)| {
        let live = || replicas.iter().find(|(other, _)| !state.is_missing(other)).map(|(_, replica)| replica);
        replicas.get(node).or_else(live)
    };
    shards.filter_map(replica).flat_map(|replica| replica.ids.iter().copied())
}

/// One object. With `node_name` it is exactly that node's word; of a shard that the node does not hold, 1.38 names the
/// shard in a 500 (after some seconds of trying, which the fake leaves out).
pub(super) fn object(state: &State, asked: &Asked<'_>, name: &str, id: &str) -> Reply {
    let (Some(class), Ok(id)) = (state.classes.get(name), id.parse::<Uuid>()) else {
        return (404, None);
    };
    let tenant = asked.query("tenant");
    let shards = class.shards.iter().filter(|(shard, _)| tenant.is_none_or(|tenant| tenant == *shard));
    let shard = shards.into_iter().find(|(_, replicas)| replicas.values().any(|replica| replica.ids.contains(&id)));
    let Some((shard, replicas)) = shard else {
        return (404, None);
    };
    let replica = match asked.query("node_name") {
        Some(node) if !state.nodes.iter().any(|other| other == node) || state.is_missing(node) => {
            return refusal(500, format!("repo: object by id: search index: cannot resolve node name: {node}"));
        }
        Some(node) if !replicas.contains_key(node) => {
            let words = format!("status code: 500, error: shard \"{shard}\" does not exist locally");
            return refusal(500, format!("repo: object by id: search index: {words}"));
        }
        Some(node) => replicas.get(node),
        None => replicas.get(asked.node).or_else(|| replicas.values().find(|replica| replica.ids.contains(&id))),
    };
    let Some(replica) = replica.filter(|replica| replica.ids.contains(&id)) else {
        return (404, None);
    };
    let properties = replica.properties.get(&id).cloned().unwrap_or_else(|| json!({}));
    let properties = references::with_addresses(properties);
    (200, Some(json!({ "class": name, "id": id, "properties": properties, "lastUpdateTimeUnix": UPDATED })))
}

/// `POST /v1/batch/objects`: each object has its own word, and the call is a success.
pub(super) fn batch(state: &mut State, body: &Value) -> Reply {
    let mut results = Vec::new();
    for object in body["objects"].as_array().into_iter().flatten() {
        let (status, reply) = state.write(object);
        let result = if status == 200 {
            json!({ "status": "SUCCESS" })
        } else {
            let message = reply.as_ref().and_then(|reply| reply.pointer("/error/0/message")).cloned();
            json!({ "status": "FAILED", "errors": { "error": [{ "message": message }] } })
        };
        results.push(json!({ "class": object["class"], "id": object["id"], "result": result }));
    }
    (200, Some(Value::Array(results)))
}
