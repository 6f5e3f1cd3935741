//! A collection is copied into another cluster while somebody writes to it, by a person who is killed in the midst of it:
//! both sides are the same in the end, and nothing of anybody else's was touched.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use elysia_e2e::ground::NODE_ADDRESS;
use elysia_e2e::servers::{Servers, ServersOptions};
use elysia_weaviate::{ActivityStatus, Client, Consistency, NewReference, Object, Page, Tenant};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::{NODES, Nodes, PATIENCE, Stage, on_a_thread, plug_in_path, version};

/// Objects of the collection whose copy is killed: it takes some seconds.
const MANY: u32 = 8_000;
/// Objects of each tenant.
const OF_TENANT: u32 = 60;

/// What is written after the copy and before its last pass.
const ROUNDS_AFTER: u32 = 5;

fn id(number: u32) -> Uuid {
    Uuid::from_u128((u128::from(number.wrapping_mul(0x9E37_79B9)) << 96) | (u128::from(number) + 1))
}

fn row(number: u32, content: u32) -> Value {
    let vector: Vec<f32> =
        (0..32).map(|place| f32::from(u16::try_from((number + content + place) % 997).unwrap())).collect();
    let properties = Map::from_iter([("title".to_owned(), json!(format!("content {content} of {number}")))]);
    json!({"class": "Many", "id": id(number), "properties": properties, "vector": vector})
}

fn send(nodes: &Nodes, rows: &[Value]) {
    let address =
        format!("{}/v1/batch/objects?consistency_level=QUORUM", nodes.first().address().trim_end_matches('/'));
    let body = json!({"objects": rows});
    let mut answer =
        ureq::post(&address).header("Authorization", &format!("Bearer {}", nodes.key)).send_json(&body).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    for object in answer.as_array().unwrap() {
        assert_eq!(object["result"]["status"], "SUCCESS", "{object}");
    }
}

/// Adds, modifies and deletes until it is told to stop; `done` counts its rounds.
fn write_on(nodes: &Nodes, stop: &AtomicBool, done: &AtomicU32) {
    let mut rounds = 0;
    while !stop.load(Ordering::SeqCst) {
        rounds += 1;
        let rows: Vec<Value> = (0..20).map(|it| row((rounds * 37 + it * 211) % (MANY + 500), rounds)).collect();
        send(nodes, &rows);
        for it in 0..5 {
            let address = nodes.first().address();
            let gone = id((rounds * 53 + it * 97) % MANY);
            let address = format!("{}/v1/objects/Many/{gone}", address.trim_end_matches('/'));
            // One that is gone already is a 404.
            drop(ureq::delete(&address).header("Authorization", &format!("Bearer {}", nodes.key)).call());
        }
        // Slower than a pass on the slowest machine: else there is no end of catching up.
        std::thread::sleep(Duration::from_millis(300));
        done.store(rounds, Ordering::SeqCst);
    }
}

fn command(stage: &Stage, ledger: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(plug_in_path());
    command.args(["collection", "migrate"]).args(arguments).args(["--ledger", ledger.to_str().unwrap()]);
    command.args(["--namespace", &stage.namespace]).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// What the plug-in said, and its exit code.
async fn migrate(stage: &Stage, ledger: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = command(stage, ledger, arguments);
    let output = on_a_thread(move || command.output().unwrap()).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("   migrate {}: {:?}", arguments.join(" "), output.status.code());
    (output.status.code().unwrap_or(-1), text)
}

async fn listed(client: &Client, class: &str) -> Vec<Object> {
    let mut all: Vec<Object> = Vec::new();
    loop {
        let page = Page { class, tenant: None, after: all.last().map(|object| object.id), limit: 500 };
        let more = client.list_objects(page, true).await.unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

#[tokio::test]
async fn a_collection_in_use_is_copied_into_another_cluster() {
    let stage = Stage::set("collection-copy").await;
    let nodes = Arc::new(stage.cluster("search").await);
    nodes.create("Many", 2, i64::try_from(NODES).unwrap()).await;
    let filling = nodes.clone();
    on_a_thread(move || {
        for begin in (0..MANY).step_by(1000) {
            send(&filling, &(begin..begin + 1000).map(|number| row(number, 0)).collect::<Vec<_>>());
        }
    })
    .await;
    let options =
        ServersOptions { version: version(), nodes: 1, host: NODE_ADDRESS.to_owned(), ..ServersOptions::default() };
    let servers = Arc::new(on_a_thread(move || Servers::start(options).unwrap()).await);
    let (url, grpc) = (servers.rest("w-0").unwrap(), servers.grpc("w-0").unwrap());
    let ledger = tempfile::tempdir().unwrap();
    let to: Vec<&str> = vec!["Many", "--cluster", "search", "--to-url", &url, "--to-grpc", &grpc];

    // Three replicas have no place there: said before anything is made.
    let (code, text) = migrate(&stage, ledger.path(), &to).await;
    assert!(code == 1 && text.contains("3 replicas need 3 nodes") && text.contains("--replication-factor 1"), "{text}");
    let to = [&to[..], &["--replication-factor", "1"]].concat();
    let (code, text) = migrate(&stage, ledger.path(), &[&to[..], &["--dry-run"]].concat()).await;
    assert!(code == 0 && text.contains("nothing stands in the way"), "{text}");

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (writing, told, count) = (nodes.clone(), stop.clone(), done.clone());
    let writer = std::thread::spawn(move || write_on(&writing, &told, &count));

    // Killed without a word in the midst of the first pass.
    let mut child = command(&stage, ledger.path(), &to).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let target = Client::new(elysia_weaviate::ClientOptions::new(url.parse().unwrap())).unwrap();
    stage
        .wait("the copy to get on", PATIENCE, async || {
            (target.object_count("Many").await.ok()?.ok()? >= 500).then_some(())
        })
        .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let written = async |rounds: u32| {
        let wanted = done.load(Ordering::SeqCst) + rounds;
        let look = async || (done.load(Ordering::SeqCst) >= wanted).then_some(());
        stage.wait("the writer to go on", PATIENCE, look).await;
    };
    // However fast the rest of the copy is: there is something to catch up with when it begins.
    written(1).await;
    let (code, text) = migrate(&stage, ledger.path(), &to).await;
    assert_eq!(code, 0, "{text}");
    // And enough that only the last pass can take over.
    written(ROUNDS_AFTER).await;
    stop.store(true, Ordering::SeqCst);
    on_a_thread(move || writer.join().unwrap()).await;

    let (code, text) = migrate(&stage, ledger.path(), &[&to[..], &["--final", "-o", "json"]].concat()).await;
    assert_eq!(code, 0, "{text}");
    let told: Value = serde_json::from_str(text.split_inclusive("\n}\n").next().unwrap()).unwrap();
    assert_eq!((told["isSame"].as_bool(), told["compared"]["differing"].as_u64()), (Some(true), Some(0)), "{told}");
    assert!(told["removed"].as_u64() > Some(0), "nothing that was deleted was removed: {told}");
    let (was, is) = (listed(nodes.first(), "Many").await, listed(&target, "Many").await);
    assert_eq!(was.len(), is.len());
    for (was, is) in was.iter().zip(&is) {
        assert_eq!((was.id, &was.properties, &was.vector), (is.id, &is.properties, &is.vector));
    }

    references_are_copied(&stage, &nodes, ledger.path(), (&url, &grpc, &target)).await;
    tenants_are_copied_as_they_are(&stage, &nodes, ledger.path()).await;
    stage.strike().await;
    drop(servers);
}

/// References lead where they led, in their order, also to what is gone; those to the collection itself lead to the copy, which
/// has another name there. What is led to comes first.
async fn references_are_copied(
    stage: &Stage,
    nodes: &Nodes,
    ledger: &Path,
    (url, grpc, target): (&str, &str, &Client),
) {
    let factor = i64::try_from(NODES).unwrap();
    nodes.create("Places", 1, factor).await;
    let places = nodes.fill("Places", 5).await;
    let class = json!({
        "class": "Visits", "vectorizer": "none", "replicationConfig": {"factor": NODES},
        "properties": [
            {"name": "title", "dataType": ["text"]}, {"name": "at", "dataType": ["Places"]},
            {"name": "next", "dataType": ["Visits"]},
        ],
    });
    nodes.first().create_class(&class).await.unwrap();
    let visits = nodes.fill("Visits", OF_TENANT).await;
    let gone = Uuid::from_u128(u128::MAX);
    let leads: Vec<(Uuid, &str, String)> = visits
        .iter()
        .enumerate()
        .flat_map(|(number, id)| {
            let at = [places[number % 5], gone, places[number % 5]].map(|to| ("at", format!("Places/{to}")));
            let next = ("next", format!("Visits/{}", visits[(number * 7 + 1) % visits.len()]));
            at.into_iter().chain([next]).map(|(name, to)| (*id, name, format!("weaviate://localhost/{to}")))
        })
        .collect();
    let new: Vec<_> = leads.iter().map(|(id, property, beacon)| NewReference { id: *id, property, beacon }).collect();
    let refused = nodes.first().add_references("Visits", None, &new, Consistency::All).await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");

    let there = ["--cluster", "search", "--to-url", url, "--to-grpc", grpc, "--replication-factor", "1", "--final"];
    let visits_there = [&["Visits"], &there[..], &["--into", "Journeys"]].concat();
    let (code, text) = migrate(stage, ledger, &visits_there).await;
    assert!(code == 1 && text.contains("property `at` leads to collection Places, which is not in"), "{text}");
    for arguments in [&[&["Places"], &there[..]].concat(), &visits_there] {
        let (code, text) = migrate(stage, ledger, arguments).await;
        assert!(code == 0 && text.contains("the same"), "{text}");
    }
    let kept = async |client: &Client, class: &str| {
        let page = Page { class, tenant: None, after: None, limit: 1000 };
        let found = client.page_references(page, &["at", "next"].map(str::to_owned)).await.unwrap();
        let beacons = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().map(|it| it["beacon"].as_str().unwrap().to_owned()).collect()
        };
        found
            .into_iter()
            .map(|(id, kept)| (id, kept.properties.iter().map(|(name, it)| (name.clone(), beacons(it))).collect()))
            .collect::<BTreeMap<Uuid, BTreeMap<String, Vec<String>>>>()
    };
    let mut wanted = kept(nodes.first(), "Visits").await;
    assert_eq!(wanted.values().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>(), leads.len());
    for beacon in wanted.values_mut().filter_map(|lists| lists.get_mut("next")).flatten() {
        *beacon = beacon.replace("/Visits/", "/Journeys/");
    }
    assert_eq!(kept(target, "Journeys").await, wanted);
}

/// Within one cluster: a tenant at rest is copied and rests on both sides, and what is somebody else's is not touched.
async fn tenants_are_copied_as_they_are(stage: &Stage, nodes: &Nodes, ledger: &Path) {
    let client = nodes.first();
    let class = |name: &str| {
        json!({
            "class": name, "vectorizer": "none", "multiTenancyConfig": {"enabled": true},
            "replicationConfig": {"factor": NODES}, "properties": [{"name": "title", "dataType": ["text"]}],
        })
    };
    client.create_class(&class("Tenanted")).await.unwrap();
    let tenant = |name: &str, activity_status| Tenant { name: name.to_owned(), activity_status };
    let tenants = ["cold", "empty", "warm"].map(|name| tenant(name, ActivityStatus::Hot));
    client.create_tenants("Tenanted", &tenants).await.unwrap();
    for name in ["cold", "warm"] {
        nodes.write("Tenanted", Some(name), 0..OF_TENANT, Consistency::All).await;
    }
    client.update_tenants("Tenanted", &[tenant("cold", ActivityStatus::Cold)]).await.unwrap();

    client.create_class(&class("Taken")).await.unwrap();
    client.create_tenants("Taken", &[tenant("other", ActivityStatus::Hot)]).await.unwrap();
    nodes.write("Taken", Some("other"), 0..3, Consistency::All).await;
    let (code, text) = migrate(stage, ledger, &["Tenanted", "--cluster", "search", "--into", "Taken", "--final"]).await;
    assert!(code == 1 && text.contains("was not made by this copy"), "{text}");
    assert_eq!(
        nodes.ids_of("Taken", Some("other")).await.into_values().map(|ids| ids.len()).collect::<Vec<_>>(),
        [3; NODES]
    );

    let into = ["Tenanted", "--cluster", "search", "--into", "Tenanted_2", "--final"];
    let (code, text) = migrate(stage, ledger, &into).await;
    assert!(code == 0 && text.contains("the same"), "{text}");
    for name in ["Tenanted", "Tenanted_2"] {
        let states: Vec<(String, ActivityStatus)> =
            client.tenants(name).await.unwrap().into_iter().map(|it| (it.name, it.activity_status)).collect();
        let wanted = [
            ("cold".to_owned(), ActivityStatus::Cold),
            ("empty".to_owned(), ActivityStatus::Hot),
            ("warm".to_owned(), ActivityStatus::Hot),
        ];
        assert_eq!(states, wanted, "{name}");
    }
    // Somebody may write to it by now: once more only if that is said.
    let (code, text) = migrate(stage, ledger, &into).await;
    assert!(code == 1 && text.contains("add --again"), "{text}");
    let (code, text) = migrate(stage, ledger, &[&into[..], &["--again"]].concat()).await;
    assert!(code == 0 && text.contains("the same"), "{text}");
}
