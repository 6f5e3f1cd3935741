//! Two clusters in one memory. Each call of the copier takes a minute, in which a writer does what its script says next.

mod at;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use elysia_engine::backup::manifest::SourceNote;
use elysia_engine::backup::memory::MemoryStore;
use elysia_engine::backup::ports::{Described, ObjectSource, Page, Stretch, TenantState};
use elysia_engine::category::Category;
use elysia_engine::copy::ports::Side;
use elysia_engine::copy::state::State;
use elysia_engine::copy::{Copier, CopyError, Order, Progress};
use elysia_engine::memory::Fuse;
use elysia_engine::object::{Object, Vector};
use elysia_engine::ports::{Clock, PortError};
use elysia_engine::retry::{Retry, Stop};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::at::At;

/// A minute, in milliseconds.
const MINUTE: i64 = 60_000;
/// When the world begins: not so near to 1970 that clocks which are behind would say an earlier time.
const BEGINNING: i64 = 1_700_000_000_000;

/// What a writer does to the source, with a clock that is so many seconds off.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Put {
        tenant: &'static str,
        id: u8,
        content: u8,
        skew: i64,
    },
    /// With what [`leads`] says.
    PutLinked {
        id: u8,
        content: u8,
    },
    Delete {
        tenant: &'static str,
        id: u8,
    },
    AddTenant {
        tenant: &'static str,
    },
    RemoveTenant {
        tenant: &'static str,
    },
    /// Lets an alias lead to the target, and writes by it.
    Switch {
        alias: &'static str,
        id: u8,
    },
    Rest {
        tenant: &'static str,
    },
}

/// What becomes of a call that adds references.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// Nobody hears of it, and the server carries it out when the next one comes.
    Late,
    /// A replica that was away does not know the first object.
    NotFound,
}

/// Objects of a tenant, each with when it was written.
type Objects = BTreeMap<Uuid, (Object, i64)>;

/// A class with its tenants and objects; those of no tenant under the empty name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    pub(crate) schema: Value,
    pub(crate) identity: u64,
    pub(crate) tenants: BTreeMap<String, String>,
    pub(crate) objects: BTreeMap<String, Objects>,
    /// Aliases that lead to it.
    pub(crate) aliases: Vec<String>,
}

impl Class {
    fn has_tenants(&self) -> bool {
        self.schema["multiTenancyConfig"]["enabled"] == true
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) now: i64,
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) script: VecDeque<Act>,
    /// Calls between two acts.
    pub(crate) every: u32,
    pub(crate) calls: u32,
    /// Ids that listings leave out, and that are there all the same.
    pub(crate) hidden: BTreeSet<Uuid>,
    /// Ids of the target of which one replica holds something else, until they are written anew.
    pub(crate) unlike: BTreeSet<Uuid>,
    /// What becomes of the next calls that add references.
    pub(crate) fates: VecDeque<Fate>,
    /// What an earlier call still does.
    late: Vec<(Uuid, String, String)>,
    /// Ids that were removed from the target, or tenants.
    pub(crate) removed: Vec<String>,
    anew: u64,
    /// No class is made.
    pub(crate) refuses_classes: bool,
}

/// The world as one copier sees it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) inner: Arc<Mutex<Inner>>,
    pub(crate) states: MemoryStore,
    fuse: Fuse,
    tells_times: bool,
}

pub(crate) fn id(number: u8) -> Uuid {
    Uuid::from_u128((u128::from(number.wrapping_mul(151)) << 120) | u128::from(number))
}

pub(crate) fn object(number: u8, content: u8) -> Object {
    Object {
        id: id(number),
        properties: json!({"text": format!("content {content}"), "n": content}).as_object().unwrap().clone(),
        vectors: [("v".to_owned(), Vector::Single(vec![f32::from(content), 0.5]))].into(),
    }
}

pub(crate) fn class(name: &str, tenants: bool) -> Value {
    json!({
        "class": name,
        "properties": [{"name": "text", "dataType": ["text"]}, {"name": "n", "dataType": ["int"]}],
        "vectorConfig": {"v": {"vectorizer": {"none": {}}}},
        "replicationConfig": {"factor": 1},
        "multiTenancyConfig": {"enabled": tenants},
    })
}

/// What an object of this content leads to: some to nothing, some twice, and one to another of its collection.
pub(crate) fn leads(own: &str, number: u8, content: u8) -> Map<String, Value> {
    let to = |class: &str, number: u8| json!({"beacon": format!("weaviate://localhost/{class}/{}", id(number))});
    let people: Vec<Value> = [3, 1, 3].into_iter().take(usize::from(content % 4)).map(|it| to("P", it)).collect();
    let all = json!({"toP": people, "toA": [to(own, number.wrapping_add(1))]});
    all.as_object()
        .unwrap()
        .iter()
        .filter(|(_, list)| **list != json!([]))
        .map(|(name, list)| (name.clone(), list.clone()))
        .collect()
}

pub(crate) fn refuse(message: &str) -> PortError {
    PortError { category: Category::Weaviate, retryable: false, message: message.to_owned() }
}

impl World {
    /// `A` with so many objects, in each of these tenants.
    pub(crate) fn new(count: u8, tenants: &[(&str, &str)]) -> Self {
        let world =
            Self { inner: Arc::default(), states: MemoryStore::default(), fuse: Fuse::none(), tells_times: true };
        {
            let mut inner = world.lock();
            (inner.now, inner.every) = (BEGINNING, 1);
            let objects: Objects = (0..count).map(|it| (id(it), (object(it, it), BEGINNING - MINUTE))).collect();
            let names: Vec<&str> = if tenants.is_empty() { vec![""] } else { tenants.iter().map(|it| it.0).collect() };
            let class = Class {
                schema: class("A", !tenants.is_empty()),
                tenants: tenants.iter().map(|(name, activity)| ((*name).to_owned(), (*activity).to_owned())).collect(),
                objects: names.into_iter().map(|name| (name.to_owned(), objects.clone())).collect(),
                ..Class::default()
            };
            inner.classes.insert("A".to_owned(), class);
        }
        world
    }

    /// Objects of `A` lead to `P`, which is there, and to one another.
    pub(crate) fn linked(count: u8) -> Self {
        let world = Self::new(count, &[]);
        {
            let mut inner = world.lock();
            let a = inner.classes.get_mut("A").unwrap();
            let properties = a.schema["properties"].as_array_mut().unwrap();
            properties.extend(["P", "A"].map(|to| json!({"name": format!("to{to}"), "dataType": [to]})));
            for number in 0..count {
                let (object, _) = a.objects.get_mut("").unwrap().get_mut(&id(number)).unwrap();
                object.properties.extend(leads("A", number, number));
            }
            inner.classes.insert("P".to_owned(), Class { schema: class("P", false), ..Class::default() });
        }
        world
    }

    pub(crate) fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { fuse: fuse.clone(), states: self.states.with_fuse(fuse.clone()), ..self.clone() }
    }

    pub(crate) fn without_times(&self) -> Self {
        Self { tells_times: false, ..self.clone() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn writes(&self, acts: impl IntoIterator<Item = Act>, every: u32) {
        let mut inner = self.lock();
        inner.script = acts.into_iter().collect();
        inner.every = every.max(1);
    }

    /// The writer does all that is left of its script at once.
    pub(crate) fn writes_the_rest(&self) {
        let mut inner = self.lock();
        while inner.act() {}
    }

    /// The source is deleted, and made again, empty.
    pub(crate) fn make_anew(&self, name: &str) {
        let mut inner = self.lock();
        inner.anew += 1;
        let identity = inner.anew;
        let class = inner.classes.get_mut(name).unwrap();
        class.identity = identity;
        class.objects.clear();
    }

    pub(crate) fn class(&self, name: &str) -> Class {
        self.lock().classes.get(name).cloned().unwrap_or_default()
    }

    /// What a class holds, without times.
    pub(crate) fn contents(&self, name: &str) -> BTreeMap<String, BTreeMap<Uuid, Object>> {
        let class = self.class(name);
        let mut all = BTreeMap::new();
        for (tenant, objects) in &class.objects {
            let is_known = !class.has_tenants() || class.tenants.contains_key(tenant);
            if is_known && !objects.is_empty() {
                let objects = objects.iter().map(|(id, (object, _))| (*id, object.clone())).collect();
                all.insert(tenant.clone(), objects);
            }
        }
        all
    }

    pub(crate) async fn copy(&self, order: &Order) -> Result<State, CopyError> {
        let (stop, progress) = (Stop::default(), Progress::default());
        let mirror = At { world: self.clone(), name: order.into.clone() };
        let copier = Copier {
            states: &self.states,
            source: self,
            mirrored: self,
            mirror: &mirror,
            clock: self,
            stop: &stop,
            progress: &progress,
            order,
        };
        copier.copy().await
    }

    /// A call: it takes a minute, and the writer goes on.
    fn call<T>(&self, call: impl FnOnce(&mut Inner) -> Result<T, PortError>) -> Result<T, PortError> {
        self.fuse.burn()?;
        let mut inner = self.lock();
        inner.now += MINUTE;
        inner.calls += 1;
        if inner.calls.is_multiple_of(inner.every) {
            inner.act();
        }
        call(&mut inner)
    }

    fn read<T>(&self, stretch: Stretch<'_>, take: impl Fn(&Object, i64) -> T) -> Result<Vec<T>, PortError> {
        self.call(|inner| {
            let Inner { classes, hidden, .. } = inner;
            let class = classes.get(stretch.collection).ok_or_else(|| refuse("no such class"))?;
            let objects = class.of(stretch.tenant)?;
            let within = objects.iter().filter(|(id, _)| {
                stretch.after.is_none_or(|after| **id > after)
                    && stretch.until.is_none_or(|until| **id < until)
                    && (stretch.collection != "A" || !hidden.contains(*id))
            });
            Ok(within.take(3).map(|(_, (object, at))| take(object, *at)).collect())
        })
    }
}

impl Class {
    fn of(&self, tenant: Option<&str>) -> Result<&Objects, PortError> {
        static NOTHING: Objects = BTreeMap::new();
        match tenant {
            None => {}
            Some(tenant) => match self.tenants.get(tenant).map(String::as_str) {
                Some("HOT") => {}
                Some(_) => return Err(refuse("tenant is not active")),
                None => return Err(refuse("no such tenant")),
            },
        }
        Ok(self.objects.get(tenant.unwrap_or_default()).unwrap_or(&NOTHING))
    }
}

impl Inner {
    /// The writer's next act; false when there is none.
    fn act(&mut self) -> bool {
        let Some(act) = self.script.pop_front() else { return false };
        let now = self.now;
        let class = self.classes.get_mut("A").unwrap();
        // A tenant that rests cannot be written to.
        let is_open = |class: &Class, tenant: &str| {
            !class.has_tenants() || class.tenants.get(tenant).is_some_and(|it| it == "HOT")
        };
        match act {
            Act::Put { tenant, id: number, content, skew } if is_open(class, tenant) => {
                let all = class.objects.entry(tenant.to_owned()).or_default();
                all.insert(id(number), (object(number, content), now + skew * 1000));
            }
            Act::Delete { tenant, id: number } if is_open(class, tenant) => {
                class.objects.entry(tenant.to_owned()).or_default().remove(&id(number));
            }
            Act::PutLinked { id: number, content } => {
                let mut object = object(number, content);
                object.properties.extend(leads("A", number, content));
                class.objects.entry(String::new()).or_default().insert(id(number), (object, now));
            }
            Act::Put { .. } | Act::Delete { .. } => {}
            Act::AddTenant { tenant } => {
                class.tenants.entry(tenant.to_owned()).or_insert_with(|| "HOT".to_owned());
            }
            Act::RemoveTenant { tenant } => {
                class.tenants.remove(tenant);
                class.objects.remove(tenant);
            }
            Act::Switch { alias, id: number } => {
                let target = self.classes.get_mut("B").unwrap();
                target.aliases.push(alias.to_owned());
                target.objects.entry(String::new()).or_default().insert(id(number), (object(number, 9), now));
            }
            Act::Rest { tenant } => {
                if let Some(activity) = class.tenants.get_mut(tenant) {
                    "COLD".clone_into(activity);
                }
            }
        }
        true
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.lock().now).unwrap()
    }

    async fn sleep(&self, _duration: Duration) {}

    fn chance(&self) -> f64 {
        0.5
    }
}

impl ObjectSource for World {
    async fn about(&self) -> Result<SourceNote, PortError> {
        Ok(SourceNote { weaviate: "1.38.2".to_owned(), nodes: 1 })
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        self.call(|inner| {
            Ok(inner.classes.get(collection).map(|class| Described {
                schema: class.schema.clone(),
                aliases: class.aliases.clone(),
                tenants: class.has_tenants().then(|| states(class)),
            }))
        })
    }

    async fn slices(&self, _: &str, _: Option<&str>) -> Result<usize, PortError> {
        Ok(2)
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        let objects = self.read(stretch, |object, _| object.clone())?;
        let inner = self.lock();
        let is_unlike = |id: &Uuid| stretch.collection == "B" && inner.unlike.contains(id);
        let unlike = objects.iter().map(|object| object.id).filter(is_unlike).collect();
        Ok(Page { objects, unlike, ..Page::default() })
    }

    fn tells_times(&self) -> bool {
        self.tells_times
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        self.call(|inner| {
            let tenants = inner.classes.get_mut(collection).map(|class| &mut class.tenants);
            let activity = tenants.and_then(|it| it.get_mut(tenant)).ok_or_else(|| refuse("no such tenant"))?;
            if awake { "HOT" } else { "COLD" }.clone_into(activity);
            Ok(())
        })
    }
}

fn states(class: &Class) -> Vec<TenantState> {
    let state = |(name, activity): (&String, &String)| TenantState { name: name.clone(), activity: activity.clone() };
    class.tenants.iter().map(state).collect()
}

impl Side for World {
    async fn stamps(&self, stretch: Stretch<'_>) -> Result<Vec<(Uuid, Timestamp)>, PortError> {
        self.read(stretch, |object, at| (object.id, Timestamp::from_millisecond(at).unwrap()))
    }

    async fn whole(&self, collection: &str, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.call(|inner| {
            let objects = inner.classes.get(collection).ok_or_else(|| refuse("no such class"))?.of(tenant)?;
            Ok(ids.iter().filter_map(|id| objects.get(id).map(|(object, _)| object.clone())).collect())
        })
    }

    async fn present(&self, collection: &str, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        Ok(self.whole(collection, tenant, ids).await?.iter().map(|object| object.id).collect())
    }

    async fn aliases(&self, collection: &str) -> Result<Vec<String>, PortError> {
        self.call(|inner| Ok(inner.classes.get(collection).map(|class| class.aliases.clone()).unwrap_or_default()))
    }

    async fn identity(&self, collection: &str) -> Result<Option<String>, PortError> {
        self.call(|inner| {
            let class = inner.classes.get(collection);
            Ok(class.filter(|class| !class.has_tenants()).map(|class| class.identity.to_string()))
        })
    }
}

/// An order that notes every step, and gives up at the first failure.
pub(crate) fn order(name: &str) -> Order {
    Order {
        few: 0,
        lanes: 2,
        save_each: Duration::ZERO,
        retry: Retry { attempts: 1, ..Retry::default() },
        source: "here".to_owned(),
        target: "here".to_owned(),
        ..Order::new(name, "A", "B", "copies/c.json")
    }
}

pub(crate) fn last(name: &str) -> Order {
    Order { is_final: true, ..order(name) }
}
