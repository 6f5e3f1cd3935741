//! Runs and restores by the thousand over ports that fail: how many succeed, and whether any of them is not what was backed
//! up. `cargo xtask soak backup` runs it at its end.
//!
//! What fails is what fails in clusters: calls that are refused, answers that are lost after the effect, outages that last
//! longer than a worker's patience, and workers that are killed. A run has as many workers as its Job has pods. What no
//! retry mends, such as a damaged store, is told elsewhere (`faults`); here everything heals in time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use elysia_engine::backup::manifest::{DataFormat, SourceNote};
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{
    Described, Got, Mode, Named, ObjectSource, Page, Put, Store, Stretch, Target, TenantState,
};
use elysia_engine::backup::references::References;
use elysia_engine::backup::restore::{self, Conflict, RestoreError, State};
use elysia_engine::backup::verify::{Depth, verify};
use elysia_engine::backup::write::{self, WriteError, put_back, woken};
use elysia_engine::category::Category;
use elysia_engine::memory::{FixedClock, Fuse};
use elysia_engine::object::Object;
use elysia_engine::ports::{Clock, PortError, Refusal};
use elysia_engine::retry::{OUTAGE, Retry, Stop};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{cluster, order, owner, restore_order, restore_with, write_with};
use crate::random::Random;

/// Runs, each with a restore; `ELYSIA_SOAK_RUNS` asks for more.
const RUNS: u64 = 1_000;
/// Workers of one Job: its first pod, and those that follow when one fails.
const WORKERS: u64 = 5;
/// Objects of the largest collection of a run, at most.
const OBJECTS: u64 = 120;
/// Of a thousand runs and of a hundred restores, those that have to succeed.
const BACKUPS_OF_A_THOUSAND: u64 = 999;
const RESTORES_OF_A_HUNDRED: u64 = 95;

/// How the calls of one run fail, whoever makes them.
#[derive(Debug)]
struct Weather {
    random: Random,
    /// Of a hundred calls, those that fail.
    failing: u64,
    /// After so many calls an outage begins, and how many calls it lasts.
    outage: Option<(u64, u64)>,
    calls: u64,
    failed: u64,
}

/// Ports in bad weather.
#[derive(Clone)]
struct Flaky<P> {
    port: P,
    weather: Arc<Mutex<Weather>>,
}

fn unavailable(what: &str) -> PortError {
    PortError { category: Category::Network, retryable: true, message: format!("503: {what}") }
}

impl<P> Flaky<P> {
    /// Whether the call fails before it has an effect, and whether its answer is lost.
    fn fate(&self) -> (bool, bool) {
        let mut weather = self.weather.lock().unwrap();
        weather.calls += 1;
        let calls = weather.calls;
        let is_out = weather.outage.is_some_and(|(begin, calls_of_it)| (begin..begin + calls_of_it).contains(&calls));
        let failing = weather.failing;
        let is_failing = is_out || weather.random.below(100) < failing;
        let is_lost = is_failing && !is_out && weather.random.below(2) == 0;
        weather.failed += u64::from(is_failing);
        (is_failing && !is_lost, is_lost)
    }

    async fn through<T>(&self, what: &str, call: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        let (fails, is_lost) = self.fate();
        if fails {
            return Err(unavailable(what));
        }
        let done = call.await;
        if is_lost { Err(unavailable("the answer was lost")) } else { done }
    }
}

impl<P: Store> Store for Flaky<P> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        self.through("put", self.port.put(key, bytes, mode)).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        self.through("get", self.port.get(key, most)).await
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.through("folders", self.port.folders(folder)).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        self.through("files", self.port.files(folder, most)).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.through("remove", self.port.remove(keys)).await
    }
}

impl<P: ObjectSource> ObjectSource for Flaky<P> {
    async fn about(&self) -> Result<SourceNote, PortError> {
        self.through("about", self.port.about()).await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        self.through("describe", self.port.describe(collection)).await
    }

    async fn slices(&self, collection: &str, tenant: Option<&str>) -> Result<usize, PortError> {
        self.through("slices", self.port.slices(collection, tenant)).await
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        self.through("page", self.port.page(stretch)).await
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        self.through("set_awake", self.port.set_awake(collection, tenant, awake)).await
    }
}

impl<P: Target> Target for Flaky<P> {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        self.through("class", self.port.class()).await
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        self.through("nodes", self.port.nodes()).await
    }

    async fn own_alias(&self) -> Result<Option<String>, PortError> {
        self.through("own_alias", self.port.own_alias()).await
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        self.through("named", self.port.named(name)).await
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.through("make_alias", self.port.make_alias(alias)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        self.through("tenants", self.port.tenants()).await
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        self.through("has_objects", self.port.has_objects(tenant)).await
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        self.through("create", self.port.create(class)).await
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.through("create_tenants", self.port.create_tenants(tenants)).await
    }

    async fn rest_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.through("rest_tenants", self.port.rest_tenants(tenants)).await
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.through("fetch", self.port.fetch(tenant, ids)).await
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        self.through("put", self.port.put(tenant, objects)).await
    }

    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        self.through("add references", self.port.add_references(tenant, objects, references)).await
    }

    async fn add_property(&self, property: &Value) -> Result<(), PortError> {
        self.through("add property", self.port.add_property(property)).await
    }
}

/// Waits for nothing: a thousand runs wait for days together.
#[derive(Default)]
struct NoWait(AtomicU64);

impl Clock for NoWait {
    fn now(&self) -> Timestamp {
        FixedClock::default().now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.fetch_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

/// What became of all of them.
#[derive(Debug, Default)]
struct Told {
    runs: u64,
    backups: u64,
    restores: u64,
    kills: u64,
    calls: u64,
    failed_calls: u64,
    outages: u64,
    workers: u64,
    waited: u64,
    objects: u64,
    /// Why workers ended that did not do what they were to do.
    ended: BTreeMap<String, u64>,
}

/// One worker of a backup, which is killed at its `fuse`.
async fn back_up(
    (store, source): (&MemoryStore, &MemoryCluster),
    weather: &Arc<Mutex<Weather>>,
    run: &str,
    fuse: Fuse,
    clock: &NoWait,
) -> Result<(), WriteError> {
    let store = Flaky { port: store.with_fuse(fuse.clone()), weather: weather.clone() };
    let source = Flaky { port: source.with_fuse(fuse), weather: weather.clone() };
    // As the worker does: what an earlier one left awake goes to rest first.
    let (retry, stop) = (patience(), Stop::default());
    for woken in woken(&store, &owner("nightly"), (retry, clock, &stop)).await? {
        put_back(&store, &source, &woken, (retry, clock, &stop)).await?;
    }
    let order = write::Order { retry, ..order(run, DataFormat::Parquet) };
    write_with(&store, &source, &order, (clock, &write::Progress::default())).await.map(drop)
}

/// That of a Job.
fn patience() -> Retry {
    Retry::default().through_outages()
}

/// One worker of a restore.
async fn bring_back(
    (store, target): (&MemoryStore, &MemoryCluster),
    weather: &Arc<Mutex<Weather>>,
    run: &str,
    fuse: Fuse,
    clock: &NoWait,
) -> Result<(), RestoreError> {
    let store = Flaky { port: store.with_fuse(fuse.clone()), weather: weather.clone() };
    let mut order = restore_order("Notes", "Copy", Conflict::Fail);
    (order.run, order.retry) = (run.to_owned(), patience());
    let target = Flaky { port: target.with_fuse(fuse).collection(&order.into), weather: weather.clone() };
    let receipt = restore_with(&store, &target, &order, (clock, &restore::Progress::default())).await?;
    assert_eq!(receipt.state, State::Done);
    Ok(())
}

/// Why a worker ended, without what tells one run from another.
fn ended(work: &str, error: &dyn std::error::Error) -> String {
    let words = error.to_string();
    let words: Vec<&str> = words.split_whitespace().filter(|word| !word.contains("run-")).collect();
    format!("{work}: {}", words.join(" "))
}

/// Every third worker dies somewhere; the last one of a Job is left alone, for a node does not die each time.
fn fuse(random: &mut Random, worker: u64, told: &mut Told) -> Fuse {
    if worker + 1 == WORKERS || random.below(3) > 0 {
        return Fuse::none();
    }
    told.kills += 1;
    Fuse::after(random.below(OBJECTS))
}

fn weather(random: &mut Random, told: &mut Told) -> Arc<Mutex<Weather>> {
    let failing = [0, 1, 5, 20][usize::try_from(random.below(4)).unwrap()];
    let outage = (random.below(5) == 0).then(|| (random.below(60), 5 + random.below(25)));
    told.outages += u64::from(outage.is_some());
    let random = Random::of(random.next());
    Arc::new(Mutex::new(Weather { random, failing, outage, calls: 0, failed: 0 }))
}

async fn once(number: u64, random: &mut Random, told: &mut Told) {
    let clock = NoWait::default();
    let (store, source) = (MemoryStore::default(), cluster(u32::try_from(1 + random.below(OBJECTS)).unwrap()));
    let was = source.get("Notes").unwrap();
    let sky = weather(random, told);
    let mut made = None;
    for worker in 0..WORKERS {
        told.workers += 1;
        // What was begun is never gone on with: each worker has an id of its own.
        let run = format!("run-{worker}");
        match back_up((&store, &source), &sky, &run, fuse(random, worker, told), &clock).await {
            Ok(()) => {
                made = Some(run);
                break;
            }
            Err(error) => *told.ended.entry(ended("backup", &error)).or_default() += 1,
        }
    }
    told.runs += 1;
    if let Some(run) = &made {
        told.backups += 1;
        let findings = verify(&store, run, Depth::Objects, &|_| {}).await.unwrap();
        assert_eq!(findings.faults, vec![], "run {number}");
        let target = MemoryCluster::new(5, 1);
        for worker in 0..WORKERS {
            told.workers += 1;
            let fuse = fuse(random, worker, told);
            if let Err(error) = bring_back((&store, &target), &sky, run, fuse, &clock).await {
                *told.ended.entry(ended("restore", &error)).or_default() += 1;
            } else {
                told.restores += 1;
                let found = target.get("Copy").unwrap();
                // A tenant of which nothing was written has no entry of its own.
                let mut held = was.objects.clone();
                held.retain(|_, objects| !objects.is_empty());
                assert_eq!((found.objects, found.tenants), (held, was.tenants.clone()), "run {number}");
                told.objects += was.objects.values().map(|objects| objects.len() as u64).sum::<u64>();
                break;
            }
        }
    }
    let sky = sky.lock().unwrap();
    told.calls += sky.calls;
    told.failed_calls += sky.failed;
    told.waited += clock.0.load(Ordering::Relaxed);
}

fn bad(seed: u64, failing: u64) -> Arc<Mutex<Weather>> {
    let (random, outage) = (Random::of(seed), Some((5 * seed, 29)));
    Arc::new(Mutex::new(Weather { random, failing, outage, calls: 0, failed: 0 }))
}

#[tokio::test]
async fn one_worker_gets_through_bad_weather() {
    for seed in 0..20 {
        let (store, source, clock, sky) = (MemoryStore::default(), cluster(60), NoWait::default(), bad(seed, 20));
        back_up((&store, &source), &sky, "run", Fuse::none(), &clock).await.unwrap();
        let target = MemoryCluster::new(5, 1);
        let restored = bring_back((&store, &target), &sky, "run", Fuse::none(), &clock).await;
        // A class is refused when it is there, also where the answer to the first attempt was lost: the next worker finds it.
        if let Err(error) = restored {
            assert_eq!(error.to_string(), "the class exists");
            bring_back((&store, &target), &sky, "run", Fuse::none(), &clock).await.unwrap();
        }
        assert_eq!(target.get("Copy").unwrap().objects, source.get("Notes").unwrap().objects);
    }
}

#[tokio::test]
async fn a_worker_waits_a_quarter_of_an_hour_for_what_never_comes_back() {
    let (store, source, clock) = (MemoryStore::default(), cluster(60), NoWait::default());
    let error = back_up((&store, &source), &bad(1, 100), "run", Fuse::none(), &clock).await.unwrap_err();
    assert!(error.to_string().starts_with("503"), "{error}");
    let waited = Duration::from_millis(clock.0.load(Ordering::Relaxed));
    assert!((OUTAGE..OUTAGE + Duration::from_secs(60)).contains(&waited), "{waited:?}");
    assert!(store.files().is_empty());
}

#[tokio::test]
#[ignore = "long: `cargo xtask soak backup`"]
async fn a_thousand_runs_with_faults_succeed_and_lose_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (wanted, seed) = (number("ELYSIA_SOAK_RUNS").unwrap_or(RUNS), number("ELYSIA_SOAK_SEED").unwrap_or(1));
    let started = std::time::Instant::now();
    let (mut random, mut told) = (Random::of(seed), Told::default());
    for number in 0..wanted {
        once(number, &mut random, &mut told).await;
    }
    let figures = json!({
        "name": "backup", "simulated": {
            "seed": seed, "runs": told.runs, "backups that succeeded": told.backups,
            "restores that succeeded": told.restores, "objects compared": told.objects, "differing": 0,
            "workers": told.workers, "kills": told.kills, "outages": told.outages, "calls": told.calls,
            "calls that failed": told.failed_calls, "hours of waiting": told.waited / 3_600_000,
            "workers that ended": told.ended, "seconds": started.elapsed().as_secs_f64(),
        },
    });
    if let Some(file) = std::env::var_os("ELYSIA_SOAK_FIGURES") {
        std::fs::write(file, figures.to_string()).unwrap();
    }
    assert!(
        told.kills > told.runs / 5 && told.failed_calls > told.runs && told.outages > 0,
        "little went wrong: {told:?}"
    );
    assert!(told.backups * 1000 >= told.runs * BACKUPS_OF_A_THOUSAND, "{told:?}");
    assert!(told.restores * 100 >= told.backups * RESTORES_OF_A_HUNDRED, "{told:?}");
}
