//! What the fake cluster knows, and the few rules of Weaviate that controllers depend on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::backups::Backups;

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Answers every request with this status.
    Status(u16),
    /// Out of gossip: no other node lists it. It stays in sharding states and in the RAFT configuration.
    Missing,
    /// Answers, but `/ready` is 503.
    NotReady,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) nodes: Vec<String>,
    pub(super) faults: BTreeMap<String, Fault>,
    pub(super) auto_schema: bool,
    pub(super) replica_movement: bool,
    pub(super) missing_module: Option<String>,
    /// Settings that a PUT leaves as they are.
    pub(super) kept: BTreeSet<String>,
    pub(super) full: BTreeSet<String>,
    pub(super) hung: BTreeSet<String>,
    pub(super) spoilt: BTreeMap<String, String>,
    pub(super) classes: BTreeMap<String, Class>,
    pub(super) aliases: BTreeMap<String, String>,
    pub(super) operations: Vec<Operation>,
    pub(super) backups: Backups,
    pub(super) transcript: Vec<String>,
    /// Requests that were answered by a fault.
    pub(super) refused: usize,
    made: u128,
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) body: Value,
    pub(super) shards: BTreeMap<String, BTreeMap<String, Replica>>,
    pub(super) tenants: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) ids: BTreeSet<Uuid>,
    /// Properties of those that were given any.
    pub(super) properties: BTreeMap<Uuid, Value>,
    pub(super) read_only: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) id: Uuid,
    pub(super) collection: String,
    pub(super) shard: String,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) kind: &'static str,
    pub(super) state: &'static str,
    /// Somebody asked for it to be deleted, and its target has not done so.
    pub(super) dropping: bool,
    pub(super) error: Option<String>,
}

/// A status and a body, as a handler answers them.
pub(super) type Reply = (u16, Option<Value>);

pub(super) fn refusal(status: u16, message: impl Into<String>) -> Reply {
    (status, Some(json!({ "error": [{ "message": message.into() }] })))
}

impl Class {
    pub(super) fn factor(&self) -> usize {
        number(&self.body, "/replicationConfig/factor", 1)
    }

    pub(super) fn is_multi_tenant(&self) -> bool {
        self.body.pointer("/multiTenancyConfig/enabled") == Some(&Value::Bool(true))
    }
}

impl State {
    pub(super) fn new(nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        Self { nodes, auto_schema: true, replica_movement: true, ..Self::default() }
    }

    pub(super) fn is_missing(&self, node: &str) -> bool {
        self.faults.get(node) == Some(&Fault::Missing)
    }

    /// `POST /v1/schema`.
    pub(super) fn create(&mut self, body: &Value) -> Reply {
        let name = body.get("class").and_then(Value::as_str).unwrap_or_default();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return refusal(422, format!("'{name}' is not a valid class name"));
        }
        if body.get("shardingConfig").is_some()
            && body.pointer("/multiTenancyConfig/enabled") == Some(&Value::Bool(true))
        {
            return refusal(422, "cannot have both shardingConfig and multiTenancyConfig");
        }
        if self.classes.contains_key(name) {
            return refusal(422, format!("class name {name} already exists"));
        }
        if self.aliases.contains_key(name) {
            return refusal(422, format!("alias name {name} already exists"));
        }
        if let Some(module) = self.missing_module.as_deref().filter(|module| body["vectorizer"] == **module) {
            return refusal(422, format!("vectorizer: no module with name \"{module}\" present"));
        }
        if self.leads_nowhere(name, body["properties"].as_array().into_iter().flatten()) {
            return refusal(422, "bad request: reference property to nonexistent class");
        }
        if number(body, "/replicationConfig/factor", 1) > self.nodes.len() {
            return refusal(422, "could not find enough weaviate nodes for replication");
        }
        self.seed(body);
        (200, self.classes.get(name).map(|class| class.body.clone()))
    }

    /// Whether one of these properties of a class leads to a class that is not there; each may lead to its own.
    pub(super) fn leads_nowhere<'a>(&self, name: &str, mut properties: impl Iterator<Item = &'a Value>) -> bool {
        properties.any(|property| {
            let types = property["dataType"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut targets = types.filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase()));
            targets.any(|target| target != name && !self.classes.contains_key(target))
        })
    }

    /// `POST /v1/aliases`. The statuses were measured on 1.38.2 (`weaviate-lab` §9).
    pub(super) fn make_alias(&mut self, body: &Value) -> Reply {
        let (alias, class) = (body["alias"].as_str().unwrap_or_default(), body["class"].as_str().unwrap_or_default());
        if self.classes.contains_key(alias) {
            return refusal(500, format!("create alias: class with name {alias} already exists"));
        }
        if self.aliases.contains_key(alias) {
            return refusal(422, format!("create alias: {alias}, alias already exists"));
        }
        if !self.classes.contains_key(class) {
            return refusal(422, format!("class {class} does not exist"));
        }
        self.aliases.insert(alias.to_owned(), class.to_owned());
        (200, Some(body.clone()))
    }

    /// `PUT /v1/aliases/{alias}`.
    pub(super) fn switch_alias(&mut self, alias: &str, body: &Value) -> Reply {
        let class = body["class"].as_str().unwrap_or_default();
        if !self.aliases.contains_key(alias) {
            return (404, None);
        }
        if !self.classes.contains_key(class) {
            return refusal(422, format!("class {class} does not exist"));
        }
        self.aliases.insert(alias.to_owned(), class.to_owned());
        (200, Some(json!({ "alias": alias, "class": class })))
    }

    /// Makes the class and places its shards, in turns over the nodes.
    pub(super) fn seed(&mut self, body: &Value) {
        let mut body = body.clone();
        let defaults = json!({
            "replicationConfig": { "factor": 1, "asyncEnabled": true, "deletionStrategy": "TimeBasedResolution" },
            "multiTenancyConfig": { "enabled": false, "autoTenantCreation": false, "autoTenantActivation": false },
            "shardingConfig": { "desiredCount": self.nodes.len() },
            "properties": [], "vectorizer": "none",
        });
        fill(&mut body, &defaults);
        let name = body["class"].as_str().unwrap_or_default().to_owned();
        let class = Class { body, shards: BTreeMap::new(), tenants: BTreeMap::new() };
        let (tenancy, factor) = (class.is_multi_tenant(), class.factor());
        let count = number(&class.body, "/shardingConfig/desiredCount", 1);
        self.classes.insert(name.clone(), class);

        if !tenancy {
            for at in 0..count {
                let replicas = self.turn(at, factor);
                self.place(&name, &format!("shard{at}"), replicas.into_iter());
            }
        }
    }

    pub(super) fn turn(&self, at: usize, factor: usize) -> Vec<String> {
        (0..factor).filter_map(|step| self.nodes.get((at + step) % self.nodes.len()).cloned()).collect()
    }

    pub(super) fn place(&mut self, class: &str, shard: &str, replicas: impl Iterator<Item = String>) {
        if let Some(class) = self.classes.get_mut(class) {
            if class.is_multi_tenant() {
                class.tenants.entry(shard.to_owned()).or_insert_with(|| "HOT".to_owned());
            }
            let replicas = replicas.map(|node| (node, Replica::default())).collect();
            class.shards.insert(shard.to_owned(), replicas);
        }
    }

    pub(super) fn replica_mut(&mut self, class: &str, shard: &str, node: &str) -> Option<&mut Replica> {
        self.classes.get_mut(class)?.shards.get_mut(shard)?.get_mut(node)
    }

    pub(super) fn thaw(&mut self, node: &str) {
        let shards = self.classes.values_mut().flat_map(|class| class.shards.values_mut());
        shards.filter_map(|shard| shard.get_mut(node)).for_each(|replica| replica.read_only = false);
    }

    /// `PUT /v1/schema/{class}`: the factor only rises when every shard has that many replicas already.
    pub(super) fn update(&mut self, name: &str, body: &Value) -> Reply {
        let Some(class) = self.classes.get_mut(name) else {
            return (404, None);
        };
        let wanted = number(body, "/replicationConfig/factor", 1);
        let short = class.shards.iter().find(|(_, replicas)| replicas.len() < wanted);
        if let Some((shard, _)) = short.filter(|_| wanted > class.factor()) {
            let message = format!(
                "not enough replicas in shard \"{shard}\" to increase replication factor to {wanted} for class \"{name}\""
            );
            return refusal(422, message);
        }
        let kept = self.kept.iter().map(|key| (key.clone(), class.body[key].clone())).collect::<Vec<_>>();
        class.body = body.clone();
        for (key, value) in kept {
            class.body[key] = value;
        }
        // What is in the schema is changed all the same, as on 1.35.2 and 1.38.2.
        let frozen = class.shards.iter().find(|(_, replicas)| replicas.values().any(|replica| replica.read_only));
        if let Some((shard, _)) = frozen {
            let cause = format!("shard {shard}: store is read-only due to: manually set by user");
            return refusal(422, format!("updating db: TYPE_UPDATE_CLASS: vector index config update: {cause}"));
        }
        (200, Some(body.clone()))
    }

    /// `POST /v1/objects`: of an unknown class by auto-schema; of a frozen shard refused.
    pub(super) fn write(&mut self, body: &Value) -> Reply {
        let name = body["class"].as_str().unwrap_or_default().to_owned();
        let id = body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_else(|| self.next_id());
        if !self.classes.contains_key(&name)
            && let Some(refused) = self.guess(&name, body)
        {
            return refused;
        }
        let tenant = body["tenant"].as_str();
        self.make_tenant(&name, tenant);
        let Some(class) = self.classes.get_mut(&name) else {
            return (404, None);
        };
        let shard = class.shards.iter_mut().find(|(shard, _)| tenant.is_none_or(|tenant| tenant == *shard));
        let Some((shard, replicas)) = shard else {
            return refusal(422, "tenant not found");
        };
        if replicas.values().any(|replica| replica.read_only) {
            return refusal(500, format!("put object: cannot reach enough replicas: read only \"{shard}\""));
        }
        let faults = &self.faults;
        // What is out of gossip gets nothing, and the majority's word is enough.
        let live = replicas.iter_mut().filter(|(node, _)| faults.get(*node) != Some(&Fault::Missing));
        for (_, replica) in live {
            replica.ids.insert(id);
            replica.properties.insert(id, body["properties"].clone());
        }
        (200, Some(json!({ "class": name, "id": id, "properties": body["properties"] })))
    }

    /// Makes or wakes the tenant of a write, where the class says that writing does so.
    fn make_tenant(&mut self, name: &str, tenant: Option<&str>) {
        let (Some(class), Some(tenant)) = (self.classes.get_mut(name), tenant) else { return };
        let says = |key: &str| class.body["multiTenancyConfig"][key] == Value::Bool(true);
        let (makes, wakes) = (says("autoTenantCreation"), says("autoTenantActivation"));
        match class.tenants.get_mut(tenant) {
            Some(status) if wakes => "HOT".clone_into(status),
            None if makes => {
                let replicas = self.turn(0, self.classes[name].factor());
                self.place(name, tenant, replicas.into_iter());
            }
            _ => {}
        }
    }

    /// Auto-schema: makes the class, or says why not; properties are judged first, as the server does.
    fn guess(&mut self, name: &str, body: &Value) -> Option<Reply> {
        if !self.auto_schema {
            return Some(refusal(422, format!("invalid object: class \"{name}\" not found in schema")));
        }
        let property = body["properties"].as_object().and_then(|all| all.iter().find(|(_, value)| mixed(value)));
        if let Some((property, _)) = property {
            let cause = "element [1]: mismatched data type - 'number' expected, got 'text'";
            return Some(refusal(500, format!("invalid object: property '{property}' on class '{name}': {cause}")));
        }
        let (status, refused) = self.create(&json!({ "class": name }));
        (status != 200).then_some((500, refused))
    }

    /// `POST /v1/replication/replicate`. Like the server it accepts the same copy twice and targets that nobody is.
    pub(super) fn copy(&mut self, body: &Value) -> Reply {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (collection, shard, source, target) =
            (text("collection"), text("shard"), text("sourceNode"), text("targetNode"));
        let Some(class) = self.classes.get(&collection) else {
            let message = format!("invalid request: collection {collection} does not exists: class not found");
            return refusal(422, message);
        };
        let replicas = class.shards.get(&shard);
        let refused = match replicas {
            None => Some("shard not found"),
            Some(_) if source == target => Some("source and target node are the same"),
            Some(replicas) if !replicas.contains_key(&source) => Some("source replica not found"),
            Some(replicas) if replicas.contains_key(&target) => Some("target replica already exists"),
            Some(_) => None,
        };
        if let Some(refused) = refused {
            return refusal(422, format!("invalid request: {refused}: bad request"));
        }
        let id = self.next_id();
        self.operations.push(Operation {
            id,
            collection,
            shard,
            source,
            target,
            kind: "COPY",
            state: "REGISTERED",
            dropping: false,
            error: None,
        });
        (200, Some(json!({ "id": id })))
    }

    pub(super) fn seed_operation(
        &mut self,
        class: &str,
        (shard, source, target): (String, String, String),
        kind: &'static str,
        state: &'static str,
    ) -> Uuid {
        let id = self.next_id();
        let collection = class.to_owned();
        let operation = Operation { id, collection, shard, source, target, kind, state, dropping: false, error: None };
        self.operations.push(operation);
        id
    }

    pub(super) fn advance(&mut self) {
        let whole = !self.nodes.iter().any(|node| self.is_missing(node));
        let mut operations = std::mem::take(&mut self.operations);
        let works = |node: &String| self.nodes.contains(node) && !self.hung.contains(node) && !self.is_missing(node);
        // What its target was asked to delete while it hung or was away.
        operations.retain(|operation| !(operation.dropping && works(&operation.target)));
        let hung = self.hung.clone();
        for operation in operations.iter_mut().filter(|operation| !hung.contains(&operation.target)) {
            operation.state = match operation.state {
                "REGISTERED" if self.nodes.contains(&operation.target) => "HYDRATING",
                "HYDRATING" if self.full.contains(&operation.target) => {
                    operation.error =
                        Some("failed to download files: write /data/x.db.tmp: no space left on device".to_owned());
                    "HYDRATING"
                }
                "HYDRATING" if self.spoilt.contains_key(&operation.source) => {
                    operation.error = self.spoilt.get(&operation.source).cloned();
                    "HYDRATING"
                }
                "HYDRATING" => "FINALIZING",
                "FINALIZING" => {
                    self.join(operation);
                    "INTEGRATING"
                }
                "INTEGRATING" if whole => "READY",
                same => same,
            };
        }
        self.operations = operations;
    }

    fn join(&mut self, operation: &Operation) {
        let class = self.classes.get_mut(&operation.collection);
        if let Some(replicas) = class.and_then(|class| class.shards.get_mut(&operation.shard)) {
            let copy = replicas.get(&operation.source).cloned().unwrap_or_default();
            replicas.insert(operation.target.clone(), copy);
        }
        // A copy wakes its tenant and leaves it awake (lab 5).
        if let Some(class) = self.classes.get_mut(&operation.collection)
            && let Some(status) = class.tenants.get_mut(&operation.shard)
        {
            "HOT".clone_into(status);
        }
    }

    /// `POST /v1/cluster/remove`, as 1.38 does it: the node leaves RAFT and every shard, and where that leaves fewer replicas
    /// than the factor an empty one is added (lab 0.5).
    pub(super) fn remove_member(&mut self, node: &str) -> Reply {
        self.nodes.retain(|member| member != node);
        self.faults.remove(node);
        let nodes = self.nodes.clone();
        for class in self.classes.values_mut() {
            let factor = class.factor();
            for replicas in class.shards.values_mut().filter(|replicas| replicas.contains_key(node)) {
                if replicas.len() <= factor
                    && let Some(free) = nodes.iter().find(|free| !replicas.contains_key(*free))
                {
                    replicas.insert(free.clone(), Replica::default());
                }
                replicas.remove(node);
            }
        }
        (200, None)
    }

    /// `POST /v1/replication/replicate/force-delete`. Without an id it means every operation.
    pub(super) fn force_delete(&mut self, body: &Value) -> Reply {
        let id = body["id"].as_str();
        self.operations.retain(|operation| id.is_some_and(|id| operation.id.to_string() != id));
        (200, Some(json!({ "deleted": null })))
    }

    /// `POST /v1/replication/scale`, removals alone.
    pub(super) fn scale(&mut self, body: &Value) -> Reply {
        let name = body["collection"].as_str().unwrap_or_default();
        let running =
            |operation: &&Operation| operation.collection == name && !matches!(operation.state, "READY" | "CANCELLED");
        if self.operations.iter().any(|operation| running(&operation)) {
            return refusal(500, "cannot scale while there are ongoing replications");
        }
        let Some(class) = self.classes.get_mut(name) else {
            return (404, None);
        };
        let factor = class.factor();
        for (shard, action) in body["shardScaleActions"].as_object().into_iter().flatten() {
            let Some(replicas) = class.shards.get_mut(shard) else {
                continue;
            };
            for node in action["removeNodes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if replicas.len() <= factor {
                    let cause = format!("unable to delete replica from shard, minimum replication factor {factor}");
                    return refusal(500, format!("delete replica \"{node}\" from shard \"{shard}\": {cause}"));
                }
                replicas.remove(node);
            }
        }
        (200, Some(json!({ "collection": name, "operationIds": null, "planId": body["planId"] })))
    }

    fn next_id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(0xe1e1_0000_0000_4000_8000_0000_0000_0000 + self.made)
    }
}

pub(super) fn number(body: &Value, pointer: &str, default: usize) -> usize {
    body.pointer(pointer).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok()).unwrap_or(default)
}

fn mixed(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(Value::is_number) && items.iter().any(Value::is_string))
}

/// Adds what is not there.
fn fill(body: &mut Value, defaults: &Value) {
    let (Some(body), Some(defaults)) = (body.as_object_mut(), defaults.as_object()) else {
        return;
    };
    for (name, default) in defaults {
        fill(body.entry(name.clone()).or_insert_with(|| default.clone()), default);
    }
}
