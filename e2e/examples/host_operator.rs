//! The operator of the working tree as a process for one namespace, over a lab on 127.0.0.1: a repair that is cut off by
//! SIGKILL and ended by the next process. `cargo run -p elysia-e2e --example host_operator`; needs the ground, and no
//! deployed operator that watches every namespace.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elysia_e2e::ground::{Ground, elapsed, say, wait_for_every};
use elysia_e2e::host_operator::{HostOperator, HostOperatorOptions};
use elysia_e2e::servers::{Consistency, Servers, ServersOptions};
use serde_json::{Value, json};

const NAMESPACE: &str = "lab-host-operator";
const POLL: Duration = Duration::from_millis(250);
/// Copies of three shards took 11 s when measured (`weaviate-lab` §1); another operator's Lease runs out after 15 s.
const REPAIRED: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let ground = Ground::running()?;
    let kubectl = ground.kubectl();
    let options = HostOperatorOptions { namespace: NAMESPACE.to_owned(), beside_deployed: false };
    let mut operator = HostOperator::start(&ground, options)?;
    let servers = Servers::start(ServersOptions::default())?;
    let step = Instant::now();
    operator.wait_leading()?;
    say(format!("the servers are ready, the operator leads after {} more", elapsed(step)));

    servers.create_class(
        "w-0",
        &json!({
            "class": "Articles",
            "vectorizer": "none",
            "shardingConfig": {"desiredCount": 3},
            "replicationConfig": {"factor": 1},
            "properties": [{"name": "title", "dataType": ["text"]}],
        }),
    )?;
    let wanted = servers.put_objects("w-0", "Articles", 0..300, Consistency::All)?;
    let collection = json!({
        "apiVersion": "elysia.dev/v1alpha1",
        "kind": "ElysiaCollection",
        "metadata": {"name": "articles"},
        "spec": {"clusterRef": {"name": "search"}, "collection": "Articles", "schema": {}, "replication": {"factor": 3}},
    });
    for object in [servers.manifest("search")?, collection] {
        let apply = ["apply", "--server-side", "--namespace", NAMESPACE, "--filename=-"];
        kubectl.send(&apply, &object.to_string())?;
    }
    let step = Instant::now();
    let condition = |wanted: &dyn Fn(&Value) -> bool| {
        let object = kubectl.get(&["elysiacollection", "articles", "--namespace", NAMESPACE])?;
        Ok(object["status"]["conditions"].as_array().into_iter().flatten().any(wanted).then_some(()))
    };
    wait_for_every(POLL, "the copies to run", REPAIRED, || {
        condition(&|seen| seen["type"] == "Ready" && seen["reason"] == "Copying")
    })?;
    say(format!("copies run after {}", elapsed(step)));
    operator.restart()?;
    operator.wait_leading()?;
    say(format!("killed, and the next one leads after {}", elapsed(step)));
    wait_for_every(POLL, "the collection to be ready", REPAIRED, || {
        condition(&|seen| seen["type"] == "Ready" && seen["status"] == "True")
    })?;
    say(format!("repaired after {}", elapsed(step)));
    for node in servers.names() {
        ensure!(servers.ids(&node, "Articles", None)?.ids == wanted, "{node} lists other objects");
    }
    kubectl.run(&["delete", "elysiacollections,weaviateclusters", "--all", "--namespace", NAMESPACE])?;
    kubectl.run(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(())
}
