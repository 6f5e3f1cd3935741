//! Advice about what works and could be better. Nothing here is acted upon; each says why and what to do.

use elysia_api::STATUS_LIST_LIMIT;
use elysia_api::collection::ShardReplicas;
use serde_json::Value;

use crate::collection::schema;
use crate::version::ServerVersion;

/// Collections that Elysia keeps for itself.
pub const SYSTEM_COLLECTIONS: [&str; 4] =
    ["ELYSIA_CONFIG__", "ELYSIA_FEEDBACK__", "ELYSIA_METADATA__", "ELYSIA_TREES__"];

/// Nodes from which on one replica is too few: with three, one may be lost.
const ENOUGH_NODES: usize = 3;

/// Vectors from which on memory without a quantiser is worth a word: a million of 1536 dimensions are 6 GB in each
/// replica's memory, eight bits make them 1.5 GB.
const MANY_OBJECTS: i64 = 1_000_000;

/// First version in which replicas heal each other whatever `asyncEnabled` says (`weaviate-lab` §0.8).
const HEALS_ALWAYS: ServerVersion = ServerVersion::minor(38);

/// What is known of a collection.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Name of the object, for the commands.
    pub object: &'a str,
    /// The live class.
    pub class: &'a Value,
    /// Where its replicas are, if that is known.
    pub placement: Option<&'a [ShardReplicas]>,
    /// Its objects, if they were counted.
    pub objects: Option<i64>,
    /// Members of the cluster, if they are known.
    pub nodes: Option<usize>,
    /// Version of the servers.
    pub version: Option<ServerVersion>,
    /// Factor of the collection of chunks that Elysia derived from this one, if there is one.
    pub chunked_factor: Option<i64>,
}

/// Name of the collection of chunks that Elysia derives; those of two names that differ only in case are one.
pub fn chunked_name(collection: &str) -> String {
    format!("ELYSIA_CHUNKED_{}__", collection.to_lowercase())
}

/// Whether Elysia has derived chunks from this class: it adds the property `isChunked` to it.
pub fn is_chunked(class: &Value) -> bool {
    let properties = class["properties"].as_array();
    properties.is_some_and(|properties| properties.iter().any(|property| property["name"] == "isChunked"))
}

/// The advice for one collection, sorted, at most as much as a status holds.
pub fn of_collection(known: &Known<'_>) -> Vec<String> {
    let Known { object, class, placement, objects, nodes, version, chunked_factor } = *known;
    let factor = schema::class_factor(class);
    let multi_tenant = schema::is_multi_tenant(class);
    let edit = format!("kubectl edit ecol {object}");
    let name = class["class"].as_str().unwrap_or_default();
    let mut advice = Vec::new();
    if nodes.is_some_and(|nodes| nodes >= ENOUGH_NODES) && factor == 1 {
        advice.push(format!(
            "factor 1 on {} nodes: the node that holds a shard takes it along when it goes; set spec.replication.factor to 3: {edit}",
            nodes.unwrap_or_default()
        ));
    }
    if let (Some([_]), Some(nodes), Some(objects)) = (placement, nodes, objects)
        && !multi_tenant
        && nodes >= ENOUGH_NODES
        && objects >= MANY_OBJECTS
    {
        advice.push(format!(
            "one shard on {nodes} nodes holds {objects} objects: each import runs on one processor set; the number of shards is fixed at creation, so declare a second collection with shardingConfig.desiredCount {nodes} and move over"
        ));
    }
    if objects.is_some_and(|objects| objects >= MANY_OBJECTS) && is_unquantised_hnsw(class) {
        advice.push(format!(
            "{} objects in hnsw without a quantiser: every vector is in memory at full size; add one to vectorIndexConfig, e.g. rq with enabled true: {edit}",
            objects.unwrap_or_default()
        ));
    }
    let replication = &class["replicationConfig"];
    let heals = version.is_some_and(|version| version >= HEALS_ALWAYS);
    if factor > 1 && version.is_some() && !heals && replication["asyncEnabled"] != true {
        advice.push(format!(
            "replicationConfig.asyncEnabled is not true and the servers are older than 1.38: replicas that miss a write stay behind until somebody reads the object; upgrade to 1.38, or set it by PUT /v1/schema/{name}"
        ));
    }
    if factor > 1 && replication["deletionStrategy"] == "NoAutomatedResolution" {
        advice.push(format!(
            "deletionStrategy NoAutomatedResolution: an object that one replica deleted and another still has stays both; set spec.replication.deletionStrategy to TimeBasedResolution: {edit}"
        ));
    }
    if let Some(chunks) = chunked_factor.filter(|chunks| *chunks < factor) {
        let name = chunked_name(name);
        advice.push(format!(
            "{name}, which Elysia derived, has factor {chunks} and this collection {factor}: its chunks are lost before their documents; drop it in Elysia, which makes it anew, or declare an ElysiaCollection for it with factor {factor}"
        ));
    }
    advice.sort();
    advice.truncate(STATUS_LIST_LIMIT);
    advice
}

/// Whether any of the class's vectors is in hnsw with no quantiser enabled. Unknown kinds of index are not.
fn is_unquantised_hnsw(class: &Value) -> bool {
    let bare = |kind: &Value, config: &Value| {
        let quantised = ["pq", "bq", "sq", "rq"].iter().any(|name| config[name]["enabled"] == true);
        *kind == "hnsw" && config.is_object() && !quantised
    };
    let named = class["vectorConfig"].as_object().filter(|named| !named.is_empty());
    match named {
        Some(named) => named.values().any(|one| bare(&one["vectorIndexType"], &one["vectorIndexConfig"])),
        None => bare(&class["vectorIndexType"], &class["vectorIndexConfig"]),
    }
}

/// The advice for a cluster about the collections that Elysia made for itself: name and factor of those that exist.
pub fn of_system_collections(factors: &[(String, i64)], nodes: usize, minimum: i64) -> Vec<String> {
    let wanted = if nodes >= ENOUGH_NODES { minimum.max(3) } else { minimum };
    let mut advice: Vec<String> = factors
        .iter()
        // Two replicas on three nodes are no fault.
        .filter(|(_, factor)| *factor < minimum || (*factor < 2 && nodes >= ENOUGH_NODES))
        .map(|(name, factor)| {
            format!(
                "{name} has factor {factor}: with its node Elysia loses what it holds; declare an ElysiaCollection for it with replication.factor {wanted} (docs/verification.md)"
            )
        })
        .collect();
    advice.sort();
    advice.truncate(STATUS_LIST_LIMIT);
    advice
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shards(count: usize) -> Vec<ShardReplicas> {
        let nodes: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        (0..count).map(|number| ShardReplicas { shard: number.to_string(), replicas: nodes.clone() }).collect()
    }

    fn advice(
        class: &Value,
        objects: Option<i64>,
        nodes: Option<usize>,
        version: &str,
        chunks: Option<i64>,
    ) -> Vec<String> {
        let placement = shards(1);
        of_collection(&Known {
            object: "articles",
            class,
            placement: Some(&placement),
            objects,
            nodes,
            version: ServerVersion::parse(version),
            chunked_factor: chunks,
        })
    }

    fn starts(advice: &[String]) -> Vec<&str> {
        advice.iter().map(|text| text.split([':', ' ']).next().unwrap_or_default()).collect()
    }

    #[test]
    fn what_is_well_gets_no_advice() {
        let class = json!({
            "class": "Articles", "vectorIndexType": "hnsw", "vectorIndexConfig": {"rq": {"enabled": true}},
            "replicationConfig": {"factor": 3, "asyncEnabled": true, "deletionStrategy": "TimeBasedResolution"},
        });
        assert_eq!(advice(&class, Some(10), Some(3), "1.35.2", Some(3)), Vec::<String>::new());
        assert_eq!(advice(&class, None, None, "", None), Vec::<String>::new());
    }

    #[test]
    fn each_flaw_has_its_line() {
        let lone = json!({"class": "Articles", "replicationConfig": {"factor": 1}});
        assert_eq!(starts(&advice(&lone, Some(5), Some(3), "1.38.2", None)), ["factor"]);
        assert!(advice(&lone, Some(5), Some(1), "1.38.2", None).is_empty());
        assert!(advice(&lone, Some(5), None, "1.38.2", None).is_empty(), "unknown is not three");
        let old = json!({
            "class": "Articles", "vectorIndexType": "hnsw", "vectorIndexConfig": {"pq": {"enabled": false}},
            "replicationConfig": {"factor": 3, "asyncEnabled": false, "deletionStrategy": "NoAutomatedResolution"},
        });
        assert_eq!(
            starts(&advice(&old, Some(2_000_000), Some(3), "1.35.2", Some(1))),
            ["2000000", "ELYSIA_CHUNKED_articles__,", "deletionStrategy", "one", "replicationConfig.asyncEnabled"]
        );
        assert_eq!(starts(&advice(&old, Some(2), Some(3), "1.38.2", None)), ["deletionStrategy"]);
    }

    #[test]
    fn system_collections() {
        let factors = [("ELYSIA_TREES__".to_owned(), 1), ("ELYSIA_CONFIG__".to_owned(), 3)];
        assert_eq!(of_system_collections(&factors, 3, 1).len(), 1);
        assert!(of_system_collections(&factors, 1, 1).is_empty());
        assert_eq!(of_system_collections(&factors, 5, 4).len(), 2);
    }

    #[test]
    fn chunks_are_found_by_their_mark() {
        assert!(is_chunked(&json!({"properties": [{"name": "isChunked"}]})));
        assert!(!is_chunked(&json!({"properties": [{"name": "chunked"}]})));
        assert_eq!(chunked_name("ArtiCles"), "ELYSIA_CHUNKED_articles__");
    }
}
