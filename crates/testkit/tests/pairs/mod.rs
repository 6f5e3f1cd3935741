//! Random pairs of what is declared and what is live: the plan's calls are all taken, and after them there is none left.
//!
//! Ten thousand on the simulation, in every run. The same against a real server, which is asked to agree with the
//! simulation as well:
//! `ELYSIA_SCHEMA_SERVER=http://127.0.0.1:8080 cargo test -p elysia-testkit --test schema -- --ignored --nocapture`

mod definitions;

use std::sync::LazyLock;

use elysia_api::ElysiaCollection;
use elysia_api::collection::{ElysiaCollectionStatus, Verdict};
use elysia_core::collection::observed::{ClusterSight, Observed};
use elysia_core::collection::plan::{Step, plan};
use elysia_core::collection::schema::{Measure, differences};
use elysia_core::collection::spec::CollectionSpec;
use elysia_core::sight::Sight;
use elysia_core::version::ServerVersion;
use elysia_testkit::weaviate::{Answer, SchemaServer, VERSIONS};
use elysia_weaviate::{Client, SchemaRead};
use jiff::Timestamp;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use definitions::Pair;

/// Pairs on the simulation; about one in eight is no class that could be live.
const SIMULATED: u32 = 12_000;
/// Pairs on one real server; four versions make 300.
const REAL: usize = 80;
/// A plan adds properties in one round and puts in the next; one more to see that nothing is left.
const ROUNDS: usize = 4;

/// What a plan's calls go to.
trait Server {
    fn version(&self) -> ServerVersion;
    /// Whether a class can be declared like this at all; otherwise a refusal is what a person should be told.
    fn is_valid(&self, class: &Value) -> bool;
    fn create(&mut self, class: &Value) -> Answer;
    fn add_property(&mut self, live: &Value, property: &Value) -> Answer;
    fn update(&mut self, live: &Value, class: &Value) -> Answer;
}

impl Server for SchemaServer {
    fn version(&self) -> ServerVersion {
        SchemaServer::version(self)
    }

    fn is_valid(&self, class: &Value) -> bool {
        SchemaServer::create(self, class).is_ok()
    }

    fn create(&mut self, class: &Value) -> Answer {
        SchemaServer::create(self, class)
    }

    fn add_property(&mut self, live: &Value, property: &Value) -> Answer {
        SchemaServer::add_property(self, live, property)
    }

    fn update(&mut self, live: &Value, class: &Value) -> Answer {
        SchemaServer::update(self, live, class)
    }
}

/// A real server, and what the simulation makes of the same calls.
struct Real {
    runtime: tokio::runtime::Runtime,
    client: Client,
    simulation: SchemaServer,
    calls: usize,
    disagreements: Vec<String>,
}

impl Real {
    fn settle(&mut self, what: &str, real: Result<(), String>, simulated: &Answer) -> Answer {
        self.calls += 1;
        let answer = match real {
            Ok(()) => {
                let class = self.runtime.block_on(self.client.class("A", SchemaRead::Leader));
                Ok(class.map_err(|error| error.to_string())?.ok_or("the class is not there")?)
            }
            Err(error) => Err(error),
        };
        let gap = match (&answer, simulated) {
            (Ok(real), Ok(simulated)) => {
                let mut real = real.clone();
                real["replicationConfig"] = simulated["replicationConfig"].clone();
                super::gap("", simulated, &real)
            }
            (Err(_), Err(_)) => None,
            (Err(error), Ok(_)) => Some(format!("the server refuses it: {error}")),
            (Ok(_), Err(error)) => Some(format!("the simulation refuses it: {error}")),
        };
        self.disagreements.extend(gap.map(|gap| format!("{gap}\n    {what}")));
        answer
    }
}

impl Server for Real {
    fn version(&self) -> ServerVersion {
        self.simulation.version()
    }

    fn is_valid(&self, class: &Value) -> bool {
        self.simulation.create(class).is_ok()
    }

    fn create(&mut self, class: &Value) -> Answer {
        let real = self.runtime.block_on(async {
            self.client.delete_class("A").await?;
            self.client.create_class(class).await
        });
        let simulated = self.simulation.create(class);
        self.settle(&format!("create {class}"), real.map_err(|error| error.to_string()), &simulated)
    }

    fn add_property(&mut self, live: &Value, property: &Value) -> Answer {
        let real = self.runtime.block_on(self.client.add_property("A", property));
        let simulated = self.simulation.add_property(live, property);
        self.settle(&format!("add {property}"), real.map_err(|error| error.to_string()), &simulated)
    }

    fn update(&mut self, live: &Value, class: &Value) -> Answer {
        let real = self.runtime.block_on(self.client.update_class("A", class));
        let simulated = self.simulation.update(live, class);
        self.settle(&format!("put {class} on {live}"), real.map_err(|error| error.to_string()), &simulated)
    }
}

/// What every pair's spec has in common; checking the rules of a spec takes longer than all the rest of a pair.
fn common() -> CollectionSpec {
    let manifest = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"clusterRef": {"name": "w"}, "collection": "A", "replication": {"factor": 1}},
    });
    let collection: ElysiaCollection = serde_json::from_value(manifest).unwrap();
    CollectionSpec::validate(&collection).unwrap()
}

fn spec(pair: &Pair, approval: Option<&str>) -> CollectionSpec {
    static COMMON: LazyLock<CollectionSpec> = LazyLock::new(common);
    let mut settings = pair.wanted.as_object().unwrap().clone();
    settings.remove("class");
    let drift_policy = serde_json::from_value(pair.policy.clone()).unwrap();
    CollectionSpec { settings, drift_policy, approved: approval.map(str::to_owned), ..COMMON.clone() }
}

/// A fit cluster of one node that holds this class, empty.
fn observed(class: &Value, version: Option<ServerVersion>) -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        version,
        nodes: vec!["w-0".to_owned()],
        members: Sight::Seen(vec!["w-0".to_owned()]),
        class: Sight::Seen(Some(class.clone())),
        placement: Sight::Seen(Vec::new()),
        operations: Sight::Seen(Vec::new()),
        holder: Some(Sight::Seen(None)),
        journal: Sight::Seen(None),
        repair: elysia_core::collection::repair::Look::default(),
        ..Observed::unasked()
    }
}

#[derive(Debug, Default)]
struct Tally {
    pairs: usize,
    calls: usize,
    recreations: usize,
    invalid: usize,
}

/// Carries the plan out until there is none. Everything that is called was planned, and is taken.
fn converges(server: &mut impl Server, pair: &Pair, tally: &mut Tally) {
    let before = ElysiaCollectionStatus::default();
    let version = pair.knows_version.then(|| server.version());
    let Ok(mut live) = server.create(&pair.live) else {
        return;
    };
    tally.pairs += 1;
    let spec_now = spec(pair, None);
    for round in 0.. {
        let planned = plan(&spec_now, &observed(&live, version), &before, Timestamp::UNIX_EPOCH);
        let measure = Measure { version, policy: &spec_now.drift_policy };
        assert_eq!(planned.drift, differences(&spec_now.settings, &live, &measure));
        let stuck = planned.drift.iter().any(|difference| difference.verdict == Verdict::Recreate);
        if stuck {
            assert!(planned.steps.is_empty(), "{:?} is planned beside a recreation of {live}", planned.steps);
            recreation_is_bound_to_what_was_seen(pair, &live, version);
            tally.recreations += 1;
            return;
        }
        if planned.steps.is_empty() {
            assert!(planned.drift.iter().all(|difference| difference.verdict > Verdict::Revert), "{:?}", planned.drift);
            return;
        }
        assert!(round < ROUNDS, "after {round} rounds there is still drift: {:?}", planned.drift);
        for step in &planned.steps {
            tally.calls += 1;
            let answer = match step {
                Step::AddProperty(property) => server.add_property(&live, property),
                Step::UpdateClass { base, class } => {
                    // The effect compares once more, so a change in between would void the step.
                    assert_eq!(*base, live);
                    server.update(&live, class)
                }
                other => panic!("{other:?} is no call of this plan"),
            };
            live = match answer {
                Ok(live) => live,
                Err(_) if !server.is_valid(&pair.wanted) => {
                    tally.invalid += 1;
                    return;
                }
                Err(refused) => panic!("planned for {:?}, refused: {refused}", planned.drift),
            };
        }
    }
}

/// An approval speaks of one live class; of a changed one it says nothing.
fn recreation_is_bound_to_what_was_seen(pair: &Pair, live: &Value, version: Option<ServerVersion>) {
    let before = ElysiaCollectionStatus::default();
    let look = |class: &Value, approval: Option<&str>| {
        plan(&spec(pair, approval), &observed(class, version), &before, Timestamp::UNIX_EPOCH)
    };
    let Some(hash) = look(live, None).shown.map(|shown| shown.hash) else {
        // Of classes with tenants emptiness is not shown.
        return;
    };
    let approved = look(live, Some(&hash));
    assert!(matches!(approved.steps.as_slice(), [Step::WriteJournal(_)]), "{:?}", approved.steps);
    let mut changed = live.clone();
    changed["description"] = json!("changed by somebody else meanwhile");
    let voided = look(&changed, Some(&hash));
    assert!(voided.steps.is_empty(), "an old approval did {:?}", voided.steps);
    assert!(voided.shown.is_none_or(|shown| shown.hash != hash));
}

#[test]
fn every_planned_call_is_taken_and_none_is_left() {
    let config = Config { cases: SIMULATED, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let tally = std::cell::RefCell::new(Tally::default());
    let servers = VERSIONS.map(SchemaServer::new);
    TestRunner::new(config)
        .run(&definitions::pair(), |pair| {
            converges(&mut servers[pair.server].clone(), &pair, &mut tally.borrow_mut());
            Ok(())
        })
        .unwrap();
    let tally = tally.into_inner();
    assert!(tally.pairs >= 10_000 && tally.calls >= 5_000 && tally.recreations >= 1_000, "{tally:?}");
}

#[test]
#[ignore = "needs a real server: ELYSIA_SCHEMA_SERVER names one of the recorded versions"]
fn a_real_server_takes_every_planned_call_and_agrees_with_the_simulation() {
    let (runtime, client, version) = super::real_server();
    let mut server =
        Real { runtime, client, simulation: SchemaServer::new(&version), calls: 0, disagreements: Vec::new() };
    let mut runner = TestRunner::deterministic();
    let mut tally = Tally::default();
    while tally.pairs < REAL {
        let pair = definitions::pair().new_tree(&mut runner).unwrap().current();
        converges(&mut server, &pair, &mut tally);
    }
    server.runtime.block_on(server.client.delete_class("A")).unwrap();
    let wrong = &server.disagreements;
    assert!(wrong.is_empty(), "{} of {} answers: {}", wrong.len(), server.calls, wrong.join("\n"));
    assert!(tally.calls > REAL / 4, "{tally:?}");
    eprintln!("Weaviate {version}: {tally:?}, {} calls in all", server.calls);
}
