//! A restored collection is read back: equal, or with what is wrong with it.

use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore};
use elysia_engine::backup::restore::{self, Conflict};
use elysia_engine::backup::verify::compare::{Metric, Nearest};
use elysia_engine::backup::verify::drill::{Drill, DrillError, Plan, ReadBack, Searcher, Unequal};
use elysia_engine::backup::write::Order;
use elysia_engine::memory::FixedClock;
use elysia_engine::object::Vector;
use elysia_engine::ports::PortError;
use elysia_engine::retry::Stop;
use serde_json::json;
use uuid::Uuid;

use super::world::{cluster, id, order, restore, restore_order, write};

/// Looks at every object.
struct Exact(MemoryCluster);

impl Searcher for Exact {
    async fn nearest(
        &self,
        tenant: Option<&str>,
        vector: &str,
        to: &[f32],
        most: usize,
    ) -> Result<Vec<Uuid>, PortError> {
        let mut nearest = Nearest::new(vector.to_owned(), to.to_vec(), Metric::Cosine, most);
        let class = self.0.get("Copy").unwrap();
        class.objects[tenant.unwrap_or_default()].values().for_each(|object| nearest.look(object));
        Ok(nearest.ids())
    }
}

async fn drill(store: &MemoryStore, cluster: &MemoryCluster, order: &restore::Order) -> Result<ReadBack, DrillError> {
    let (clock, stop, searcher) = (FixedClock::default(), Stop::default(), Exact(cluster.clone()));
    let target = cluster.collection("Copy");
    let plan = Plan { sample: 30, searches: 5, top: 10 };
    let (source, target) = (cluster, &target);
    Drill { store, target, source, searcher: &searcher, clock: &clock, stop: &stop, order, plan }.read_back().await
}

/// Two runs, the second of which builds on the first, and what was restored of it.
async fn restored(collection: &str, transform: serde_json::Value) -> (MemoryStore, MemoryCluster, restore::Order) {
    let (store, source) = (MemoryStore::default(), cluster(60));
    write(&store, &source, &order("zero", DataFormat::Parquet)).await.unwrap();
    let mut class = source.get("Articles").unwrap();
    class.objects.get_mut("").unwrap().remove(&id(3));
    class.objects.get_mut("").unwrap().get_mut(&id(4)).unwrap().properties.insert("title".to_owned(), "new".into());
    source.set("Articles", class);
    let next = Order { base: Some("zero".to_owned()), ..order("one", DataFormat::Parquet) };
    write(&store, &source, &next).await.unwrap();
    let order = restore::Order {
        transform: serde_json::from_value(transform).unwrap(),
        ..restore_order(collection, "Copy", Conflict::Fail)
    };
    let target = MemoryCluster::new(5, 1);
    restore(&store, &target, &order).await.unwrap();
    (store, target, order)
}

#[tokio::test]
async fn what_was_restored_is_the_same_and_is_found() {
    for transform in
        [json!([]), json!([{"rename": {"from": "title", "to": "name"}}, {"where": {"filter": "count < 50"}}])]
    {
        let (store, target, order) = restored("Articles", transform.clone()).await;
        let found = drill(&store, &target, &order).await.unwrap();
        let objects = if transform == json!([]) { 59 } else { 49 };
        assert_eq!((found.wanted, found.found, found.unequal), (objects, objects, 0));
        assert!(found.is_same() && found.sampled.objects >= 30 && found.searches == 5, "{found:?}");
        assert!((found.overlap - 1.0).abs() < 1e-9, "{found:?}");
    }
}

#[tokio::test]
async fn tenants_at_rest_are_not_called_equal() {
    let (store, target, order) = restored("Notes", json!([])).await;
    let found = drill(&store, &target, &order).await.unwrap();
    assert_eq!((found.wanted, found.found, found.unread), (30, 30, 1));
    assert!(found.is_same());
}

#[tokio::test]
async fn each_fault_shows_in_its_own_number() {
    let (store, whole, order) = restored("Articles", json!([])).await;
    let class = whole.get("Copy").unwrap();
    let changed = async |change: &dyn Fn(&mut std::collections::BTreeMap<Uuid, elysia_engine::object::Object>)| {
        let mut class = class.clone();
        change(class.objects.get_mut("").unwrap());
        let target = MemoryCluster::new(5, 1);
        target.set("Copy", class);
        let found = drill(&store, &target, &order).await.unwrap();
        assert!(!found.is_same(), "{found:?}");
        found
    };
    // Every second one, so that whatever a search asks for is missed there.
    let fewer = changed(&|objects| (0..60).step_by(2).for_each(|number| drop(objects.remove(&id(number))))).await;
    assert_eq!(fewer.worst, [Unequal { tenant: None, wanted: 59, found: 29 }]);
    assert!(fewer.sampled.missing > 5 && fewer.sampled.differing == 0 && fewer.overlap < 0.9, "{fewer:?}");

    let more = changed(&|objects| objects.extend(super::world::objects(100..101))).await;
    assert_eq!((more.unequal, more.sampled.is_same()), (1, true));

    // Vectors of others: as many objects, and other sums.
    let swapped = changed(&|objects| {
        let first = objects[&id(10)].vectors.clone();
        for object in objects.values_mut() {
            object.vectors = first.clone();
        }
    })
    .await;
    assert_eq!(swapped.worst[0].wanted, swapped.worst[0].found);
    assert!(swapped.sampled.differing > 20 && swapped.sampled.distance > 0.0, "{swapped:?}");

    let turned = changed(&|objects| {
        for object in objects.values_mut() {
            let Some(Vector::Single(numbers)) = object.vectors.get_mut("title") else { panic!() };
            numbers.reverse();
        }
    })
    .await;
    assert!(turned.sampled.missing == 0 && turned.sampled.distance > 0.0, "{turned:?}");
}

#[tokio::test]
async fn a_run_that_is_damaged_is_no_fault_of_the_collection() {
    let (store, target, mut order) = restored("Articles", json!([])).await;
    let part = store.files().keys().find(|key| key.contains("runs/zero/data/Articles")).unwrap().clone();
    store.tamper(&part, None);
    assert!(matches!(drill(&store, &target, &order).await, Err(DrillError::Damaged(_))));
    order.collection = "Nothing".to_owned();
    assert!(matches!(drill(&store, &target, &order).await, Err(DrillError::NoCollection(_))));
}
