//! What a run contains while others write, as `docs/backups.md` states it: writers add, change and delete objects between
//! pages and between the replicas of a page, and their writes reach one replica after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use elysia_engine::backup::manifest::{DataFormat, ReplicasNote, SourceNote};
use elysia_engine::backup::memory::{MemoryCluster, MemoryStore, times_of};
use elysia_engine::backup::ports::{Described, ObjectSource, Page, Stretch, TenantState};
use elysia_engine::backup::restore::Conflict;
use elysia_engine::backup::write::{Order, Progress};
use elysia_engine::memory::FixedClock;
use elysia_engine::object::{Object, Vector};
use elysia_engine::ports::PortError;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::world::{class, id, order, restore, restore_order, sound, write_with};

/// Ids that writers know.
const IDS: u8 = 40;

const TENANTS: [&str; 2] = ["a", "b"];

/// Who is asked for a page.
const REPLICAS: usize = 3;

/// A tenant, or none under the empty name, and an object.
type Place = (String, Uuid);

/// An object in one of its states: what is half of one state and half of another is neither.
fn state(id: Uuid, content: u16) -> Object {
    let properties = json!({"title": format!("content {content}"), "count": content});
    let vectors = [("title".to_owned(), Vector::Single(vec![f32::from(content); 4]))].into();
    Object { id, properties: properties.as_object().unwrap().clone(), vectors }
}

/// One write of somebody; `None` deletes.
#[derive(Clone, Debug)]
struct Act {
    place: Place,
    content: Option<u16>,
    /// Which replica it reaches first.
    first: usize,
    /// So many steps of others come before each of the next replicas.
    lag: usize,
}

/// One replica learns of one act.
#[derive(Clone, Copy, Debug)]
struct Step {
    act: usize,
    replica: usize,
}

#[derive(Clone, Debug, Default)]
struct Replica {
    objects: BTreeMap<Place, Object>,
    /// The last act that it knows of each object: an older one that comes later changes nothing.
    known: BTreeMap<Place, usize>,
}

#[derive(Debug)]
struct State {
    replicas: Vec<Replica>,
    acts: Vec<Act>,
    steps: std::collections::VecDeque<Step>,
    /// Steps that are done at each moment at which somebody may write, over and over.
    pace: Vec<u8>,
    moments: usize,
}

impl State {
    /// Somebody may write now.
    fn moment(&mut self) {
        let steps = self.pace[self.moments % self.pace.len()];
        self.moments += 1;
        for _ in 0..steps {
            let Some(Step { act: number, replica }) = self.steps.pop_front() else { return };
            let act = &self.acts[number];
            let replica = &mut self.replicas[replica];
            if replica.known.get(&act.place).is_some_and(|known| *known > number) {
                continue;
            }
            replica.known.insert(act.place.clone(), number);
            match act.content {
                Some(content) => drop(replica.objects.insert(act.place.clone(), state(act.place.1, content))),
                None => drop(replica.objects.remove(&act.place)),
            }
        }
    }

    /// Of each replica its own, beside the number of the act that it is of.
    fn of(&self, place: &Place) -> Vec<(Option<usize>, Object)> {
        let of = |replica: &Replica| Some((replica.known.get(place).copied(), replica.objects.get(place)?.clone()));
        self.replicas.iter().filter_map(of).collect()
    }

    /// What a run that begins now may hold of each object, and whether it must hold it.
    fn promised(&self) -> BTreeMap<Place, (Vec<Object>, bool)> {
        let pending: BTreeSet<usize> = self.steps.iter().map(|step| step.act).collect();
        let pending: Vec<&Act> = pending.into_iter().map(|number| &self.acts[number]).collect();
        let held = self.replicas.iter().flat_map(|replica| replica.objects.keys());
        let places: BTreeSet<&Place> = held.chain(pending.iter().map(|act| &act.place)).collect();
        let promise = |place: &Place| {
            let touching: Vec<_> = pending.iter().filter(|act| act.place == *place).collect();
            let mut held = self.of(place);
            let was_there = !held.is_empty();
            if touching.is_empty() {
                // As it was: what the newest write made of it, whichever replica missed that.
                held.sort_by_key(|(known, _)| *known);
                held.drain(..held.len().saturating_sub(1));
            }
            let written = touching.iter().filter_map(|act| act.content).map(|content| state(place.1, content));
            let states = held.into_iter().map(|(_, object)| object).chain(written).collect();
            (states, was_there && touching.iter().all(|act| act.content.is_some()))
        };
        places.into_iter().map(|place| (place.clone(), promise(place))).collect()
    }
}

/// A collection on three replicas that others write.
#[derive(Debug)]
struct Restless {
    state: Mutex<State>,
    tenants: bool,
    page: usize,
    slices: usize,
}

impl Restless {
    fn name(&self) -> &'static str {
        if self.tenants { "Notes" } else { "Articles" }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// What each replica lists behind this id, one after the other.
    fn listings(&self, tenant: &str, slice: usize, after: Option<Uuid>) -> Vec<Vec<(Option<usize>, Object)>> {
        let list = |turn: usize| {
            self.with(|state| {
                state.moment();
                let replica = &state.replicas[(slice + turn) % REPLICAS];
                let of_tenant = replica.objects.iter().filter(|((of, _), _)| of == tenant);
                let behind = of_tenant.filter(|((_, id), _)| after.is_none_or(|after| *id > after));
                behind.take(self.page).map(|(place, it)| (replica.known.get(place).copied(), it.clone())).collect()
            })
        };
        (0..REPLICAS).map(list).collect()
    }
}

impl ObjectSource for Restless {
    async fn about(&self) -> Result<SourceNote, PortError> {
        Ok(SourceNote { weaviate: "1.38.2".to_owned(), nodes: REPLICAS })
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        let tenant = |name: &&str| TenantState { name: (*name).to_owned(), activity: "HOT".to_owned() };
        let tenants = self.tenants.then(|| TENANTS.iter().map(tenant).collect());
        Ok(Some(Described { schema: class(collection, self.tenants), aliases: Vec::new(), tenants }))
    }

    async fn slices(&self, _collection: &str, _tenant: Option<&str>) -> Result<usize, PortError> {
        Ok(self.slices)
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        let mut after = stretch.after;
        loop {
            let listings = self.listings(stretch.tenant.unwrap_or_default(), stretch.slice, after);
            // The last id of which all of them speak.
            let full = listings.iter().filter(|listing| listing.len() == self.page);
            let reach = full.filter_map(|listing| listing.last()).map(|(_, object)| object.id).min();
            let mut newest: BTreeMap<Uuid, (Option<usize>, Object)> = BTreeMap::new();
            let within = |id: Uuid| reach.is_none_or(|reach| id <= reach) && stretch.until.is_none_or(|end| id < end);
            for (known, object) in listings.into_iter().flatten().filter(|(_, object)| within(object.id)) {
                match newest.get(&object.id) {
                    Some((other, _)) if *other >= known => {}
                    _ => drop(newest.insert(object.id, (known, object))),
                }
            }
            match reach {
                Some(reach) if newest.is_empty() && stretch.until.is_none_or(|until| reach < until) => {
                    after = Some(reach);
                }
                _ => {
                    let objects: Vec<Object> = newest.into_values().map(|(_, object)| object).collect();
                    let times = objects.iter().map(|object| times_of(object.id)).collect();
                    // Two stretches of one collection are read by turns.
                    tokio::task::yield_now().await;
                    return Ok(Page {
                        unlike: Vec::new(),
                        objects,
                        times,
                        replicas: ReplicasNote { compared: true, ..Default::default() },
                        is_last: false,
                    });
                }
            }
        }
    }

    async fn set_awake(&self, _collection: &str, _tenant: &str, _awake: bool) -> Result<(), PortError> {
        Ok(())
    }
}

/// What a run holds, by restoring it.
async fn restored(store: &MemoryStore, run: &str, collection: &str) -> BTreeMap<Place, Object> {
    let target = MemoryCluster::new(7, 1);
    let mut order = restore_order(collection, "Copy", Conflict::Fail);
    run.clone_into(&mut order.run);
    order.receipt = format!("restores/{run}.json");
    restore(store, &target, &order).await.unwrap();
    let objects = target.get("Copy").unwrap().objects;
    let of_tenant = |(tenant, objects): (String, BTreeMap<Uuid, Object>)| {
        objects.into_iter().map(move |(id, object)| ((tenant.clone(), id), object)).collect::<Vec<_>>()
    };
    objects.into_iter().flat_map(of_tenant).collect()
}

/// Writes a run while others write, and holds it against what is promised.
async fn keeps_its_promise(source: &Restless, store: &MemoryStore, run: &str, base: Option<&str>) {
    let order = Order {
        collections: vec![source.name().to_owned()],
        base: base.map(str::to_owned),
        ..order(run, DataFormat::JsonlZstd)
    };
    let promised = source.with(|state| state.promised());
    let manifest = write_with(store, source, &order, (&FixedClock::default(), &Progress::default())).await.unwrap();
    let findings = sound(store, run).await;
    assert!(findings.is_sound(), "{run}: {:?}", findings.faults);
    let held = restored(store, run, source.name()).await;
    assert_eq!(manifest.objects(), held.len() as u64);
    for (place, object) in &held {
        let (states, _) = promised.get(place).unwrap_or_else(|| panic!("{run}: nobody wrote {place:?}"));
        assert!(states.contains(object), "{run}: {object:?} is none of {states:?}");
    }
    for (place, (states, must_be_there)) in &promised {
        assert!(!must_be_there || held.contains_key(place), "{run}: {place:?} is missing, of {states:?}");
    }
}

fn acts(tenants: bool) -> impl Strategy<Value = Vec<Act>> {
    let act = (0..2_usize, 0..IDS, proptest::option::weighted(0.65, any::<u8>()), 0..REPLICAS, 0..7_usize);
    let act = act.prop_map(move |(tenant, number, content, first, lag)| Act {
        place: place(tenants, tenant, number),
        // No state of the beginning comes again.
        content: content.map(|content| 1000 + u16::from(content)),
        first,
        lag,
    });
    proptest::collection::vec(act, 0..80)
}

fn place(tenants: bool, tenant: usize, number: u8) -> Place {
    let tenant = if tenants { TENANTS[tenant] } else { "" };
    (tenant.to_owned(), id(u32::from(number)))
}

/// Each act reaches its first replica at once, and the others later.
fn steps(acts: &[Act]) -> std::collections::VecDeque<Step> {
    let mut at: Vec<(usize, usize, Step)> = Vec::new();
    for (number, act) in acts.iter().enumerate() {
        for turn in 0..REPLICAS {
            at.push((number + turn * act.lag, number, Step { act: number, replica: (act.first + turn) % REPLICAS }));
        }
    }
    at.sort_by_key(|(time, number, step)| (*time, *number, step.replica));
    at.into_iter().map(|(_, _, step)| step).collect()
}

prop_compose! {
    fn restless(tenants: bool)(
        there in proptest::collection::vec((0..2_usize, 0..IDS), 0..80),
        // Replicas that missed an object long ago.
        missed in proptest::collection::vec((0..REPLICAS, 0..2_usize, 0..IDS), 0..6),
        acts in acts(tenants),
        pace in proptest::collection::vec(0..9_u8, 1..9),
        page in 1..9_usize,
        slices in 1..4_usize,
    ) -> Restless {
        let places = there.into_iter().map(|(tenant, number)| place(tenants, tenant, number));
        let objects: BTreeMap<Place, Object> =
            places.zip(0..).map(|(place, content)| (place.clone(), state(place.1, content))).collect();
        let mut replicas = vec![Replica { objects, known: BTreeMap::new() }; REPLICAS];
        for (replica, tenant, number) in missed {
            let place = place(tenants, tenant, number);
            if replicas.iter().filter(|other| other.objects.contains_key(&place)).count() > 1 {
                replicas[replica].objects.remove(&place);
            }
        }
        let state = State { replicas, steps: steps(&acts), acts, pace, moments: 0 };
        Restless { state: Mutex::new(state), tenants, page, slices }
    }
}

/// A run, and another that builds on it, while the writing goes on.
fn check(source: &Restless) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = MemoryStore::default();
        keeps_its_promise(source, &store, "one", None).await;
        keeps_its_promise(source, &store, "two", Some("one")).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn a_run_holds_what_is_promised_whatever_others_write(source in restless(false)) {
        check(&source);
    }

    #[test]
    fn and_so_it_does_of_each_tenant(source in restless(true)) {
        check(&source);
    }
}

/// The test would see it: a source that forgets an object between two pages breaks the promise.
#[test]
fn a_promise_that_is_broken_is_seen() {
    let place = place(false, 0, 3);
    let replica = Replica { objects: [(place.clone(), state(place.1, 1))].into(), known: BTreeMap::new() };
    let act = Act { place: place.clone(), content: Some(1007), first: 0, lag: 0 };
    let mut state = State {
        replicas: vec![replica; REPLICAS],
        steps: steps(std::slice::from_ref(&act)),
        acts: vec![act],
        pace: vec![1],
        moments: 0,
    };
    let (states, must_be_there) = state.promised().remove(&place).unwrap();
    assert!(must_be_there && states.len() == REPLICAS + 1, "{states:?}");
    (0..REPLICAS).for_each(|_| state.moment());
    let (states, must_be_there) = state.promised().remove(&place).unwrap();
    assert!(must_be_there, "{states:?}");
    assert_eq!(states, [self::state(place.1, 1007)], "it was written before the run begins");
}
