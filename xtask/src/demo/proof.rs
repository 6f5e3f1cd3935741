//! What every node of a cluster really holds, asked of Weaviate itself.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::rest::{Objects, Rest};
use super::stage::Stage;

/// Proves that a class has factor 3, every shard a replica at every node, and every node exactly these objects; returns
/// the number of shards.
pub(super) fn of_class(stage: &Stage, nodes: &[String], class: &str, wanted: &Objects) -> Result<usize> {
    let mut shards = 0;
    for node in nodes {
        let rest = Rest::connect(stage, &format!("pod/{node}"))?;
        let path = format!("/v1/replication/sharding-state?collection={class}");
        let sharding = rest.get(&path)?.with_context(|| format!("{node} knows no {class}"))?;
        shards = replicated(&sharding, nodes).with_context(|| format!("{class}, by {node}"))?;
        let live = rest.get(&format!("/v1/schema/{class}"))?.with_context(|| format!("{node} knows no {class}"))?;
        let factor = &live["replicationConfig"]["factor"];
        ensure!(*factor == nodes.len(), "{class} has factor {factor}, by {node}");
        let held = rest.list(class)?;
        if let Some(difference) = difference(wanted, &held) {
            anyhow::bail!("{node} does not hold the objects of {class}: {difference}");
        }
    }
    Ok(shards)
}

/// The number of shards, each of which must have a replica at each of the nodes.
fn replicated(state: &Value, nodes: &[String]) -> Result<usize> {
    let shards = state["shardingState"]["shards"].as_array().context("no sharding state")?;
    ensure!(!shards.is_empty(), "no shards");
    for shard in shards {
        let replicas = shard["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
        let everywhere = nodes.iter().all(|node| replicas.iter().any(|replica| replica == node.as_str()));
        ensure!(everywhere && replicas.len() == nodes.len(), "{} is at {}", shard["shard"], shard["replicas"]);
    }
    Ok(shards.len())
}

fn difference(wanted: &Objects, held: &Objects) -> Option<String> {
    if wanted == held {
        return None;
    }
    let missing = wanted.keys().filter(|id| !held.contains_key(id)).count();
    let extra = held.keys().filter(|id| !wanted.contains_key(id)).count();
    let mut differing = wanted.iter().filter(|(id, properties)| held.get(id).is_some_and(|held| held != *properties));
    let example = differing.next().map(|(id, _)| format!(", such as {id}")).unwrap_or_default();
    let differing = differing.count() + usize::from(!example.is_empty());
    Some(format!("{missing} missing, {extra} too many, {differing} other than they should be{example}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shard_that_lacks_a_node_is_named() {
        let nodes = ["a".to_owned(), "b".to_owned()];
        let state = |replicas: Value| json!({"shardingState": {"shards": [{"shard": "s", "replicas": replicas}]}});
        assert_eq!(replicated(&state(json!(["b", "a"])), &nodes).unwrap(), 1);
        assert!(replicated(&state(json!(["b"])), &nodes).is_err());
        assert!(replicated(&state(json!(["b", "b"])), &nodes).is_err());
        assert!(replicated(&json!({"shardingState": {"shards": []}}), &nodes).is_err());
    }

    #[test]
    fn a_difference_is_counted() {
        let objects = |list: &[(u128, &str)]| -> Objects {
            let object = |(id, text): &(u128, &str)| {
                (uuid::Uuid::from_u128(*id), serde_json::Map::from_iter([("text".into(), json!(text))]))
            };
            list.iter().map(object).collect()
        };
        let wanted = objects(&[(1, "a"), (2, "b"), (3, "c")]);
        assert_eq!(difference(&wanted, &wanted), None);
        let held = objects(&[(1, "a"), (2, "B"), (4, "d")]);
        let told = difference(&wanted, &held).unwrap();
        assert!(told.starts_with("1 missing, 1 too many, 1 other"), "{told}");
    }
}
