//! A lab lived through once: `cargo run -p elysia-e2e --example servers -- VERSION…`. Every fault that a lab can stage,
//! with the time each step took.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use elysia_e2e::ground::{elapsed, say, wait_for_every};
use elysia_e2e::servers::{Consistency, Data, Servers, ServersOptions};
use serde_json::json;

/// Time in which a replica that lost everything is filled again: 23-33 s when measured (`weaviate-lab` §3).
const REFILL: Duration = Duration::from_secs(180);

fn main() -> Result<()> {
    for version in std::env::args().skip(1) {
        live_through(&version)?;
    }
    Ok(())
}

fn live_through(version: &str) -> Result<()> {
    let started = Instant::now();
    let servers = Servers::start(ServersOptions {
        version: version.to_owned(),
        data: Data::SmallDisk { node: "w-2".to_owned(), mebibytes: 256 },
        ..ServersOptions::default()
    })?;
    say(format!("{version}: three nodes ready after {}, {:?} leads", elapsed(started), servers.leader()));
    servers.create_class(
        "w-0",
        &json!({
            "class": "Articles",
            "vectorizer": "none",
            "replicationConfig": {"factor": 3, "asyncEnabled": true, "deletionStrategy": "TimeBasedResolution"},
            "properties": [{"name": "title", "dataType": ["text"]}],
        }),
    )?;
    let wanted = servers.put_objects("w-0", "Articles", 0..300, Consistency::All)?;
    for node in servers.names() {
        ensure!(servers.ids(&node, "Articles", None)?.ids == wanted, "{node} lists other objects");
    }

    let step = Instant::now();
    servers.kill("w-1")?;
    servers.start_node("w-1")?;
    servers.wait_ready()?;
    say(format!("{version}: killed and back after {}", elapsed(step)));

    let step = Instant::now();
    servers.stop("w-1")?;
    say(format!("{version}: stopped after {}", elapsed(step)));
    servers.wait_ready()?;
    say(format!("{version}: gone from the others' lists after {}", elapsed(step)));
    servers.start_node("w-1")?;
    servers.wait_ready()?;
    say(format!("{version}: stopped and back after {}", elapsed(step)));

    let step = Instant::now();
    servers.kill("w-2")?;
    servers.wipe("w-2")?;
    servers.start_node("w-2")?;
    servers.wait_ready()?;
    say(format!("{version}: killed, wiped and back after {}", elapsed(step)));
    wait_for_every(Duration::from_secs(1), "w-2 to be filled again", REFILL, || {
        Ok(servers.ids("w-2", "Articles", None).is_ok_and(|list| list.ids == wanted).then_some(()))
    })?;
    say(format!("{version}: filled again after {}", elapsed(step)));

    let step = Instant::now();
    let added = servers.add()?;
    servers.wait_ready()?;
    say(format!("{version}: {added} joined after {}", elapsed(step)));
    say(format!("{version}: {:?}", servers.sharding_state(&added, "Articles")?));

    let step = Instant::now();
    servers.set_auto_schema(false)?;
    let mut probes = 0;
    wait_for_every(Duration::from_millis(100), "auto-schema to be off", Duration::from_secs(10), || {
        // A class of its own for each: one that auto-schema made before is there.
        probes += 1;
        let class = format!("Unknown{probes}");
        Ok(servers.put_objects("w-0", &class, 0..1, Consistency::One).is_err().then_some(()))
    })?;
    say(format!("{version}: auto-schema off after {}", elapsed(step)));
    servers.kill(&added)?;
    servers.remove_from_raft("w-0", &added)?;
    servers.wait_ready()?;
    let step = Instant::now();
    drop(servers);
    say(format!("{version}: gone after {}", elapsed(step)));
    Ok(())
}
