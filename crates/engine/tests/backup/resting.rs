//! Tenants at rest that a run wakes, while others wake them, put them to rest, offload and remove them.

use std::sync::Mutex;

use elysia_engine::backup::manifest::{DataFormat, Index, Manifest, SourceNote};
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{Described, ObjectSource, Page, Stretch, TenantState};
use elysia_engine::backup::write::{Order, Progress, WriteError, Writer};
use elysia_engine::category::Category;
use elysia_engine::memory::FixedClock;
use elysia_engine::ports::PortError;
use elysia_engine::retry::Stop;

use super::world::{cluster, order};

/// A cluster in which something happens right before a call about the tenant at rest. Calls are noted.
struct Lively<'a> {
    cluster: &'a MemoryCluster,
    before: &'a (dyn Fn(&MemoryCluster, &str) + Sync),
    calls: Mutex<Vec<String>>,
}

const COLD: &str = "cold";

impl Lively<'_> {
    fn called(&self, call: &str) {
        (self.before)(self.cluster, call);
        self.calls.lock().unwrap().push(call.to_owned());
    }
}

impl ObjectSource for Lively<'_> {
    async fn about(&self) -> Result<SourceNote, PortError> {
        self.cluster.about().await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        self.cluster.describe(collection).await
    }

    async fn tenant(&self, collection: &str, tenant: &str) -> Result<Option<TenantState>, PortError> {
        let is_first = !self.calls.lock().unwrap().iter().any(|call| call == "look");
        self.called(if is_first { "look" } else { "look again" });
        self.cluster.tenant(collection, tenant).await
    }

    async fn slices(&self, _: &str, _: Option<&str>) -> Result<usize, PortError> {
        Ok(1)
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        if stretch.tenant == Some(COLD) && stretch.after.is_none() {
            self.called("read");
        }
        self.cluster.page(stretch).await
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        let call = if awake { "wake" } else { "rest" };
        self.cluster.set_awake(collection, tenant, awake).await?;
        self.called(call);
        // As one does of whose replicas not every one says that it is awake.
        let is_slow = self.cluster.tenant(collection, "slow").await?.is_some();
        let message = "not every node says so".to_owned();
        if awake && is_slow {
            Err(PortError { category: Category::Weaviate, retryable: true, message })
        } else {
            Ok(())
        }
    }
}

/// What a run came to, what the tenant is then, and the calls that it took.
struct Ended {
    run: Result<Manifest, WriteError>,
    store: MemoryStore,
    activity: Option<String>,
    calls: Vec<String>,
}

impl Ended {
    /// The tenant as the run notes it, with the number of its objects.
    fn noted(&self) -> Option<(String, Option<u64>)> {
        let index: Index = serde_json::from_slice(&self.store.files()["runs/one/index/Notes.json"]).unwrap();
        let tenant = index.tenants.unwrap().into_iter().find(|tenant| tenant.name == COLD)?;
        Some((tenant.activity, tenant.contents.map(|contents| contents.objects)))
    }
}

fn put(cluster: &MemoryCluster, tenant: &str, activity: Option<&str>) {
    let mut class = cluster.get("Notes").unwrap();
    match activity {
        Some(activity) => drop(class.tenants.insert(tenant.to_owned(), activity.to_owned())),
        None => drop(class.tenants.remove(tenant)),
    }
    cluster.set("Notes", class);
}

async fn run(before: &(dyn Fn(&MemoryCluster, &str) + Sync)) -> Ended {
    let (store, cluster) = (MemoryStore::default(), cluster(30));
    let source = Lively { cluster: &cluster, before, calls: Mutex::default() };
    let order = Order { collections: vec!["Notes".to_owned()], lanes: 1, ..order("one", DataFormat::Parquet) };
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), Progress::default());
    let writer =
        Writer { store: &store, source: &source, clock: &clock, stop: &stop, progress: &progress, order: &order };
    let run = writer.write().await;
    let notes = store.files().keys().filter(|key| key.starts_with("woken/")).count();
    assert_eq!(notes, 0, "nobody after this run has anything to put to rest");
    let activity = cluster.get("Notes").unwrap().tenants.get(COLD).cloned();
    Ended { run, store, activity, calls: source.calls.into_inner().unwrap() }
}

/// Does this before that call.
fn at(wanted: &str, activity: Option<&'static str>) -> impl Fn(&MemoryCluster, &str) + Sync {
    move |cluster, call| {
        if call == wanted {
            put(cluster, COLD, activity);
        }
    }
}

#[tokio::test]
async fn what_the_run_woke_is_put_back_to_rest() {
    let ended = run(&|_, _| {}).await;
    assert_eq!(ended.calls, ["look", "wake", "read", "look again", "rest"]);
    assert_eq!((ended.activity.as_deref(), ended.noted()), (Some("COLD"), Some(("COLD".to_owned(), Some(10)))));
}

#[tokio::test]
async fn what_somebody_has_come_to_use_is_read_as_it_is_and_stays_awake() {
    let ended = run(&at("look", Some("HOT"))).await;
    assert_eq!(ended.calls, ["look", "read"]);
    assert_eq!((ended.activity.as_deref(), ended.noted()), (Some("HOT"), Some(("HOT".to_owned(), Some(10)))));
}

#[tokio::test]
async fn what_was_removed_is_no_part_of_the_run() {
    let ended = run(&at("look", None)).await;
    assert_eq!((ended.calls.len(), ended.activity.as_deref(), ended.noted()), (1, None, None));
    assert_eq!(ended.run.unwrap().collection("Notes").unwrap().tenants, Some(1));
}

#[tokio::test]
async fn what_was_offloaded_is_left_where_it_was_put() {
    let ended = run(&at("look", Some("FROZEN"))).await;
    assert_eq!((ended.calls.len(), ended.activity.as_deref()), (1, Some("FROZEN")));
    let error = ended.run.unwrap_err().to_string();
    assert!(error.contains("cold is FROZEN by now"), "{error}");
}

#[tokio::test]
async fn what_others_do_with_it_while_it_is_awake_stays_done() {
    for activity in [Some("COLD"), Some("FROZEN"), None] {
        let ended = run(&at("look again", activity)).await;
        assert_eq!(ended.calls, ["look", "wake", "read", "look again"], "{activity:?}");
        assert_eq!((ended.activity.as_deref(), ended.run.is_ok()), (activity, true));
    }
    // While it is read: the run fails, and touches it no more.
    let ended = run(&at("read", Some("FROZEN"))).await;
    assert_eq!((ended.activity.as_deref(), ended.run.is_err()), (Some("FROZEN"), true));
    assert!(!ended.calls.contains(&"rest".to_owned()), "{:?}", ended.calls);
}

#[tokio::test]
async fn what_could_be_woken_only_in_part_is_put_back_to_rest() {
    let ended = run(&|cluster, call| {
        if call == "look" {
            put(cluster, "slow", Some("HOT"));
        }
    })
    .await;
    assert_eq!((ended.activity.as_deref(), ended.run.is_err()), (Some("COLD"), true));
    assert_eq!(ended.calls, ["look", "wake", "look again", "rest"]);
}
