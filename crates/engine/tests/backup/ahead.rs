//! What is done beside what: pages ahead of parts, tenants beside tenants, batches of one part beside those of another.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DataFormat, Index, SourceNote};
use elysia_engine::backup::memory::{MemoryClass, MemoryCluster, MemoryStore};
use elysia_engine::backup::ports::{Described, Named, ObjectSource, Page, Store as _, Stretch, Target, TenantState};
use elysia_engine::backup::references::References;
use elysia_engine::backup::restore::{Conflict, Progress as Restored, Receipt};
use elysia_engine::backup::write::{Order, Progress, WriteError};
use elysia_engine::memory::FixedClock;
use elysia_engine::object::Object;
use elysia_engine::ports::{PortError, Refusal};
use serde_json::Value;
use tokio::sync::{Barrier, Notify};
use uuid::Uuid;

use super::world::{class, cluster, objects, order, restore_order, restore_with, sound, write, write_with};

/// Longer than any of these takes, unless something waits for what never comes.
const LONG: Duration = Duration::from_secs(600);

/// A cluster in which so many pages of tenants are answered at once, and none sooner; it counts those under way.
struct Together<'a> {
    cluster: &'a MemoryCluster,
    barrier: Option<Barrier>,
    now: AtomicUsize,
    most: AtomicUsize,
    awake: Mutex<(BTreeSet<String>, usize)>,
    broken: Option<&'a str>,
}

impl<'a> Together<'a> {
    fn new(cluster: &'a MemoryCluster, barrier: Option<usize>) -> Self {
        let (now, most, awake) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::default());
        Self { cluster, barrier: barrier.map(Barrier::new), now, most, awake, broken: None }
    }

    async fn write(&self, store: &MemoryStore, order: &Order) -> Result<(), WriteError> {
        let (clock, progress) = (FixedClock::default(), Progress::default());
        let writing = write_with(store, self, order, (&clock, &progress));
        tokio::time::timeout(LONG, writing).await.expect("nothing waits for ever").map(drop)
    }
}

impl ObjectSource for Together<'_> {
    async fn about(&self) -> Result<SourceNote, PortError> {
        self.cluster.about().await
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        self.cluster.describe(collection).await
    }

    async fn slices(&self, _: &str, _: Option<&str>) -> Result<usize, PortError> {
        Ok(1)
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        if self.broken == stretch.tenant && self.broken.is_some() {
            let message = "the disk is broken".to_owned();
            let category = elysia_engine::category::Category::Weaviate;
            return Err(PortError { category, retryable: false, message });
        }
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        if let Some(barrier) = self.barrier.as_ref().filter(|_| stretch.after.is_none()) {
            barrier.wait().await;
        }
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.cluster.page(stretch).await
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        {
            let mut woken = self.awake.lock().unwrap();
            if awake {
                woken.0.insert(tenant.to_owned());
            } else {
                woken.0.remove(tenant);
            }
            woken.1 = woken.1.max(woken.0.len());
        }
        self.cluster.set_awake(collection, tenant, awake).await
    }
}

/// `Notes` with so many tenants, all with this activity.
fn tenants(count: u32, activity: &str) -> MemoryCluster {
    let cluster = MemoryCluster::new(7, 1);
    let names = || (0..count).map(|number| format!("tenant-{number:02}"));
    let notes = MemoryClass {
        schema: class("Notes", true),
        tenants: names().map(|name| (name, activity.to_owned())).collect(),
        objects: names().zip(1..).map(|(name, number)| (name, objects(0..number))).collect(),
        ..MemoryClass::default()
    };
    cluster.set("Notes", notes);
    cluster
}

fn of_notes(lanes: usize) -> Order {
    Order { collections: vec!["Notes".to_owned()], lanes, ..order("one", DataFormat::Parquet) }
}

#[tokio::test]
async fn tenants_are_read_side_by_side_and_written_in_their_order() {
    let cluster = tenants(8, "HOT");
    // As many as there are lanes are answered together: one after the other they would wait for ever.
    let (store, together) = (MemoryStore::default(), Together::new(&cluster, Some(4)));
    together.write(&store, &of_notes(4)).await.unwrap();
    assert_eq!(together.most.load(Ordering::SeqCst), 4, "no more than there are lanes");
    let (alone, one_by_one) = (MemoryStore::default(), Together::new(&cluster, None));
    one_by_one.write(&alone, &of_notes(1)).await.unwrap();
    assert_eq!(one_by_one.most.load(Ordering::SeqCst), 1);
    assert_eq!(store.files(), alone.files(), "law 12: the same, however many lanes there are");
    assert!(sound(&store, "one").await.is_sound());
}

#[tokio::test]
async fn small_collections_are_read_side_by_side() {
    let cluster = cluster(0);
    let names: Vec<String> = (0..4).map(|number| format!("Small{number}")).collect();
    for name in &names {
        let objects = [(String::new(), objects(0..3))].into();
        cluster.set(name, MemoryClass { schema: class(name, false), objects, ..MemoryClass::default() });
    }
    let (store, together) = (MemoryStore::default(), Together::new(&cluster, Some(4)));
    let order = Order { collections: names, lanes: 4, ..order("one", DataFormat::Parquet) };
    together.write(&store, &order).await.unwrap();
    assert!(sound(&store, "one").await.is_sound());
}

#[tokio::test]
async fn one_tenant_at_a_time_is_woken_and_put_back_whatever_fails_beside_it() {
    let cluster = tenants(6, "COLD");
    let was = cluster.get("Notes").unwrap().tenants;
    let (store, together) = (MemoryStore::default(), Together::new(&cluster, None));
    together.write(&store, &of_notes(4)).await.unwrap();
    assert_eq!(together.awake.lock().unwrap().1, 1);
    assert_eq!(cluster.get("Notes").unwrap().tenants, was);

    let mut notes = cluster.get("Notes").unwrap();
    notes.tenants.insert("tenant-01".to_owned(), "HOT".to_owned());
    let was = notes.tenants.clone();
    cluster.set("Notes", notes);
    let broken = Together { broken: Some("tenant-01"), ..Together::new(&cluster, None) };
    let store = MemoryStore::default();
    let error = broken.write(&store, &of_notes(4)).await.unwrap_err().to_string();
    assert!(error.contains("the disk is broken"), "{error}");
    assert_eq!(cluster.get("Notes").unwrap().tenants, was);
    assert!(!store.files().keys().any(|key| key.starts_with("woken/")));
}

/// A collection that confirms the objects of one tenant only after it has those of the next.
struct Late<'a> {
    cluster: &'a MemoryCluster,
    next: Notify,
    receipts: &'a MemoryStore,
    seen: Mutex<Vec<String>>,
}

impl Target for Late<'_> {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        Target::class(self.cluster).await
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        self.cluster.nodes().await
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        self.cluster.named(name).await
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.cluster.make_alias(alias).await
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        self.cluster.tenants().await
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        self.cluster.has_objects(tenant).await
    }

    async fn any_object(&self, tenant: Option<&str>) -> Result<Option<Object>, PortError> {
        self.cluster.any_object(tenant).await
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        self.cluster.version().await
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        self.cluster.create(class).await
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.cluster.create_tenants(tenants).await
    }

    async fn rest_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.cluster.rest_tenants(tenants).await
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.cluster.fetch(tenant, ids).await
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        if tenant == Some("tenant-00") {
            self.next.notified().await;
            let elysia_engine::backup::ports::Got::Bytes(receipt) =
                self.receipts.get("restores/r.json", 1 << 20).await.unwrap()
            else {
                panic!("no receipt")
            };
            self.seen.lock().unwrap().push(String::from_utf8(receipt.to_vec()).unwrap());
        }
        let done = self.cluster.put(tenant, objects).await;
        if tenant == Some("tenant-01") {
            self.next.notify_one();
        }
        done
    }

    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        self.cluster.add_references(tenant, objects, references).await
    }

    async fn add_property(&self, property: &Value) -> Result<(), PortError> {
        self.cluster.add_property(property).await
    }
}

#[tokio::test]
async fn a_part_is_done_when_it_is_confirmed_and_the_next_one_does_not_wait_for_it() {
    let (store, source) = (MemoryStore::default(), tenants(3, "HOT"));
    write(&store, &source, &of_notes(1)).await.unwrap();
    let order = restore_order("Notes", "Copy", Conflict::Fail);
    let cluster = MemoryCluster::new(5, 1).collection("Copy");
    let target = Late { cluster: &cluster, next: Notify::new(), receipts: &store, seen: Mutex::default() };
    let (clock, progress) = (FixedClock::default(), Restored::default());
    let restoring = restore_with(&store, &target, &order, (&clock, &progress));
    let receipt = tokio::time::timeout(LONG, restoring).await.expect("nothing waits for ever").unwrap();
    assert_eq!(receipt.counts.written, 1 + 2 + 3);
    assert_eq!(cluster.get("Copy").unwrap().objects, source.get("Notes").unwrap().objects);
    let index: Index = serde_json::from_slice(&store.files()[&layout::in_run("one", &layout::index("Notes"))]).unwrap();
    let first = index.parts.iter().find(|part| part.tenant.as_deref() == Some("tenant-00")).unwrap();
    for before in target.seen.lock().unwrap().iter() {
        let receipt: Receipt = serde_json::from_str(before).unwrap();
        assert!(!receipt.done.contains(&first.file.key), "not done before it is confirmed: {before}");
    }
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!((count(&progress.objects), count(&progress.total)), (6, 6));
    assert_eq!(count(&progress.bytes), count(&progress.total_bytes));
    assert!(count(&progress.bytes) > 0 && receipt.done.len() == 3);
}
