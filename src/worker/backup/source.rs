//! Collections of a Weaviate cluster as the engine's source.
//!
//! Objects are listed by a cursor at each node's own address, all nodes at once, and laid side by side: what one replica
//! lacks another one gives, and what they say of one another goes into the manifest ([`replicas`]). gRPC is asked, which
//! sends vectors as they are kept; measured on 1.38.2, it answers every property type as REST does. References alone are
//! asked for by REST, beside it ([`linked`]).
//!
//! A listing at a node that holds no replica of a shard has that shard from another node, and is silently without it
//! once that one has left gossip (`weaviate-lab` §0.2). So either every shard has a node among those that are asked, or
//! the asked one must name all holders as its neighbours both before and after: see [`WeaviateSource::witness`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use elysia_engine::backup::filter::Times;
use elysia_engine::backup::manifest::SourceNote;
use elysia_engine::backup::ports::{Described, ObjectSource, Page, Stretch, TenantState};
use elysia_engine::backup::references::References;
use elysia_engine::category::Category;
use elysia_engine::object::{Object, Vector, Vectors};
use elysia_engine::ports::PortError;
use elysia_weaviate::{
    ActivityStatus, Client, Consistency, FetchedObject, NamedVector, NodeStatus, Page as Query, SchemaRead, Selection,
    Tenant, WeaviateError,
};
use futures::future::try_join_all;
use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::linked::{self, Unlisted};
use super::paging::{Paging, Whole};
use super::replicas::{self, Listing, Seen};
use super::ways::{Node, Ways};
use super::work::CompareWork;
use crate::runtime::patience::patience;
use crate::worker::sink::port;

/// Objects for which another stretch is worth its part: reading one takes some tenths of a second. What is read in one
/// stretch is read by one node at a time, while the others wait.
const STRETCH_OBJECTS: u64 = 2_000;
/// Stretches for each node: two, so that it reads one from its disk while it sends another.
const STRETCHES_PER_NODE: usize = 2;

/// Before it is asked a second time: a write that the majority has confirmed reaches the others within milliseconds.
const SETTLE: Duration = Duration::from_millis(300);

/// How long a page may take that rests on who the neighbours are: a node that dies is among them for about 5 s, in which
/// the listing fails, and none is back sooner than it was missed (`weaviate-lab` §0.2, §11).
const WITNESSED: Duration = patience(Duration::from_secs(4));

/// How old an answer of a node may be that stands for one before a listing: a page that follows another begins behind the
/// answer that closed that one. Whatever its age, [`WITNESSED`] counts from when it was asked.
const RECENT: Duration = patience(Duration::from_secs(1));

/// How long a tenant may take to wake: its files are opened by every replica.
const WAKE: Duration = Duration::from_secs(60);
/// Between two looks at it.
const POLL: Duration = Duration::from_millis(200);

/// A cluster that is read.
pub(crate) struct WeaviateSource {
    ways: Ways,
    compare: CompareWork,
    /// Whether every holder has to live: what one alone has that is away would be taken for deleted.
    needs_every_holder: bool,
    classes: Mutex<BTreeMap<String, Arc<Class>>>,
}

/// What is remembered of a class.
pub(super) struct Class {
    /// Every property, blobs too.
    pub(super) selection: Selection,
    /// Those that are references, which are asked for beside it.
    pub(super) references: References,
    /// Nodes that hold a replica of each shard.
    shards: BTreeMap<String, BTreeSet<String>>,
    /// Holders that live, as far as the cluster says.
    live: BTreeSet<String>,
    /// How many objects the next page has.
    pages: Paging,
    /// Whom a node named as its neighbours last, and when it was asked.
    witnessed: Mutex<BTreeMap<String, (Instant, BTreeSet<String>)>>,
}

/// Who is asked for a page.
pub(super) struct Sides<'a> {
    /// The first is the one that is read.
    pub(super) nodes: Vec<(&'a str, &'a Client)>,
    /// Whether these are all replicas.
    is_every_replica: bool,
    /// Nodes that the first must name as its neighbours, where its listing rests on them.
    neighbours: BTreeSet<&'a str>,
}

impl WeaviateSource {
    pub(crate) fn new(ways: Ways, compare: CompareWork) -> Self {
        Self { ways, compare, needs_every_holder: false, classes: Mutex::default() }
    }

    /// The same, for work after which nothing is looked at again: no node that holds a replica may be away.
    pub(crate) fn with_every_holder(self, needs_every_holder: bool) -> Self {
        Self { needs_every_holder, ..self }
    }

    pub(super) fn ways(&self) -> &Ways {
        &self.ways
    }

    pub(super) async fn class(&self, name: &str) -> Result<Arc<Class>, PortError> {
        let known = self.classes.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(class) = known {
            return Ok(class);
        }
        let schema = self.ways.common.class(name, SchemaRead::Leader).await.map_err(|error| port(&error))?;
        let schema = schema.ok_or_else(|| refused(format!("there is no collection {name}")))?;
        self.learn(name, &schema).await
    }

    /// Where the replicas are. A shard without any living one ends it, or, where every holder is needed, one of which a
    /// replica does not live: objects would be missing without a word.
    async fn learn(&self, name: &str, schema: &serde_json::Value) -> Result<Arc<Class>, PortError> {
        let common = &self.ways.common;
        let shards = match common.sharding_state(name).await {
            Ok(None) => return Err(later(format!("nobody says where the shards of {name} are"))),
            Ok(Some(state)) => {
                state.shards.into_iter().map(|it| (it.shard, it.replicas.into_iter().collect())).collect()
            }
            // Without replica movement the living nodes are asked what they hold.
            Err(WeaviateError::NotSupported { .. }) => {
                let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for node in common.node_shards(Some(name)).await.map_err(|error| port(&error))? {
                    for shard in node.shards.into_iter().filter(|shard| shard.class == name) {
                        shards.entry(shard.name).or_default().insert(node.name.clone());
                    }
                }
                shards
            }
            Err(error) => return Err(port(&error)),
        };
        let nodes = common.nodes().await.map_err(|error| port(&error))?;
        let live: BTreeSet<String> = nodes.into_iter().filter(NodeStatus::is_healthy).map(|node| node.name).collect();
        if let Some(why) = unanswered(name, &shards, &live, self.needs_every_holder) {
            return Err(later(why));
        }
        let class = Class {
            selection: Selection::of_class(schema),
            references: References::of_class(schema),
            live: shards.values().flatten().filter(|node| live.contains(*node)).cloned().collect(),
            shards,
            pages: Paging::default(),
            witnessed: Mutex::default(),
        };
        let class = Arc::new(class);
        self.classes.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), class.clone());
        Ok(class)
    }

    /// Who is asked, beginning with the node whose turn it is.
    pub(super) fn sides<'a>(&'a self, class: &'a Class, tenant: Option<&str>, turn: usize) -> Sides<'a> {
        let shards: Vec<&BTreeSet<String>> = match tenant {
            Some(tenant) => class.shards.get(tenant).into_iter().collect(),
            None => class.shards.values().collect(),
        };
        let holders: BTreeSet<&str> = shards.iter().copied().flatten().map(String::as_str).collect();
        let live = |name: &str| class.live.contains(name);
        let mut asked: Vec<&Node> =
            self.ways.nodes.iter().filter(|node| holders.contains(node.name.as_str()) && live(&node.name)).collect();
        let is_every_replica = !holders.is_empty() && asked.len() == holders.len();
        if !asked.is_empty() {
            let turn = turn % asked.len();
            asked.rotate_left(turn);
        }
        let is_alone = shards.iter().all(|holders| holders.len() <= 1);
        if is_alone || self.compare == CompareWork::None {
            asked.truncate(1);
        }
        let nodes: Vec<(&str, &Client)> = if asked.is_empty() {
            vec![("the cluster", &self.ways.common)]
        } else {
            asked.iter().map(|node| (node.name.as_str(), &node.client)).collect()
        };
        let is_own = |holders: &BTreeSet<String>| asked.iter().any(|node| holders.contains(&node.name));
        let is_whole = !shards.is_empty() && shards.iter().all(|holders| is_own(holders));
        let neighbours =
            if is_whole { BTreeSet::new() } else { holders.into_iter().filter(|name| live(name)).collect() };
        Sides { nodes, is_every_replica: is_every_replica && self.compare != CompareWork::None, neighbours }
    }

    /// The asked node must name every living holder as its neighbour.
    pub(super) async fn witness(&self, sides: &Sides<'_>) -> Result<BTreeSet<String>, PortError> {
        let Some((name, client)) = sides.nodes.first().filter(|_| !sides.neighbours.is_empty()) else {
            return Ok(BTreeSet::new());
        };
        let nodes = client.nodes().await.map_err(|error| PortError { retryable: true, ..port(&error) })?;
        let named: BTreeSet<String> = nodes.into_iter().filter(NodeStatus::is_healthy).map(|node| node.name).collect();
        match sides.neighbours.iter().find(|neighbour| !named.contains(**neighbour)) {
            None => Ok(named),
            Some(missing) => Err(later(format!("{name} cannot reach {missing}, whose objects its listing would lack"))),
        }
    }

    /// A witness that a listing can begin behind, and when it was asked: one that closed another listing a moment ago, or
    /// a new one.
    async fn witnessed(&self, class: &Class, sides: &Sides<'_>) -> Result<Instant, PortError> {
        let Some((node, _)) = sides.nodes.first() else { return Ok(Instant::now()) };
        let last = class.witnessed.lock().unwrap_or_else(PoisonError::into_inner).get(*node).cloned();
        let is_named = |named: &BTreeSet<String>| sides.neighbours.iter().all(|it| named.contains(*it));
        match last {
            Some((at, named)) if at.elapsed() <= RECENT && is_named(&named) => Ok(at),
            _ => self.witness_anew(class, sides).await,
        }
    }

    async fn witness_anew(&self, class: &Class, sides: &Sides<'_>) -> Result<Instant, PortError> {
        let at = Instant::now();
        let named = self.witness(sides).await?;
        if let Some((node, _)) = sides.nodes.first().filter(|_| !named.is_empty()) {
            class.witnessed.lock().unwrap_or_else(PoisonError::into_inner).insert((*node).to_owned(), (at, named));
        }
        Ok(at)
    }

    /// What each of them lists. The others than the first may be asked for stamps alone.
    async fn listings(
        &self,
        class: &Class,
        stretch: Stretch<'_>,
        sides: &Sides<'_>,
        others_whole: bool,
    ) -> Result<Vec<Listing>, PortError> {
        let whole = if others_whole { Whole::All } else { Whole::First };
        self.listed(class, stretch, sides, whole).await
    }

    /// What each of them lists: objects, or stamps alone.
    pub(super) async fn listed(
        &self,
        class: &Class,
        stretch: Stretch<'_>,
        sides: &Sides<'_>,
        whole: Whole,
    ) -> Result<Vec<Listing>, PortError> {
        let limit_of = class.pages.limit(whole);
        loop {
            let most = limit_of.load(Ordering::Relaxed).max(1);
            let limit = class.pages.within(stretch, most);
            let begun = self.witnessed(class, sides).await?;
            let none = Selection::none();
            let lists = sides.nodes.iter().enumerate().map(|(at, (node, client))| {
                let is_whole = match whole {
                    Whole::All => true,
                    Whole::First => at == 0,
                    Whole::None => false,
                };
                let selection = if is_whole { &class.selection } else { &none };
                let references = Some(&class.references).filter(|references| is_whole && !references.is_empty());
                list(node, client, stretch, limit, (selection, is_whole), references)
            });
            match try_join_all(lists).await {
                Ok(listings) => {
                    self.witness_anew(class, sides).await?;
                    if sides.neighbours.is_empty() || begun.elapsed() <= WITNESSED {
                        class.pages.space(&listings, stretch);
                        if whole != Whole::None {
                            class.pages.adapt(&listings);
                        }
                        return Ok(listings);
                    }
                }
                Err(Unlisted::Port(error)) => return Err(error),
                Err(Unlisted::Weaviate(WeaviateError::TooLarge { .. })) if limit > 1 => {}
                Err(Unlisted::Weaviate(error)) => {
                    if matches!(error, WeaviateError::Timeout { .. }) {
                        limit_of.store((limit / 2).max(1), Ordering::Relaxed);
                    }
                    return Err(port(&error));
                }
            }
            if limit == 1 {
                return Err(later(format!("an object of {} takes too long to be listed", stretch.collection)));
            }
            limit_of.store(limit / 2, Ordering::Relaxed);
        }
    }
}

async fn list(
    node: &str,
    client: &Client,
    stretch: Stretch<'_>,
    limit: usize,
    (selection, is_whole): (&Selection, bool),
    references: Option<&References>,
) -> Result<Listing, Unlisted> {
    let query = Query { class: stretch.collection, tenant: stretch.tenant, after: stretch.after, limit };
    let fetched = client.fetch_page(query, selection, is_whole, Consistency::One).await?;
    let is_full = fetched.len() >= limit;
    let mut seen: Vec<Seen> = fetched.into_iter().map(|fetched| whole(fetched, is_whole)).collect();
    if stretch.after.is_none() {
        // The cursor begins behind the lowest id there can be.
        let lowest = [Uuid::nil()];
        let (class, tenant) = (stretch.collection, stretch.tenant);
        let first = client.fetch_selected(class, tenant, &lowest, selection, is_whole, Consistency::One).await?;
        seen.splice(0..0, first.into_iter().map(|fetched| whole(fetched, is_whole)));
    }
    if let Some(references) = references {
        seen = linked::join(client, query, selection, references, seen).await?;
        if is_full && seen.is_empty() {
            // A page of none is the last one.
            return Err(Unlisted::Port(later(format!(
                "objects of {} were deleted while they were listed",
                query.class
            ))));
        }
    }
    Ok(Listing { node: node.to_owned(), seen, is_full })
}

pub(super) fn whole(fetched: FetchedObject, is_whole: bool) -> Seen {
    let FetchedObject { id, properties, vectors, created, updated } = fetched;
    let mut all = Vectors::new();
    if let Some(numbers) = vectors.unnamed.filter(|numbers| !numbers.is_empty()) {
        all.insert(String::new(), Vector::Single(numbers));
    }
    for (name, vector) in vectors.named {
        let vector = match vector {
            NamedVector::Single(numbers) => Vector::Single(numbers),
            NamedVector::Multi(lists) => Vector::Multi(lists),
        };
        all.insert(name, vector);
    }
    Seen { object: Object { id, properties, vectors: all }, created, updated, is_whole }
}

impl WeaviateSource {
    /// Aliases that lead to a collection.
    pub(super) async fn leading_to(&self, collection: &str) -> Result<Vec<String>, PortError> {
        match self.ways.common.aliases(collection).await {
            Ok(aliases) => Ok(aliases),
            // Servers below 1.32 have none.
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(port(&error)),
        }
    }
}

impl ObjectSource for WeaviateSource {
    async fn about(&self) -> Result<SourceNote, PortError> {
        let meta = self.ways.common.meta().await.map_err(|error| port(&error))?;
        Ok(SourceNote { weaviate: meta.version, nodes: self.ways.nodes.len() })
    }

    async fn describe(&self, collection: &str) -> Result<Option<Described>, PortError> {
        let common = &self.ways.common;
        let found = common.class(collection, SchemaRead::Leader).await.map_err(|error| port(&error))?;
        let Some(schema) = found else { return Ok(None) };
        self.learn(collection, &schema).await?;
        let aliases = self.leading_to(collection).await?;
        let tenants = if schema["multiTenancyConfig"]["enabled"] == true {
            let tenants = common.tenants(collection).await.map_err(|error| port(&error))?;
            Some(tenants.into_iter().map(|tenant| state(&tenant)).collect())
        } else {
            None
        };
        Ok(Some(Described { schema, aliases, tenants }))
    }

    async fn slices(&self, collection: &str, tenant: Option<&str>) -> Result<usize, PortError> {
        if tenant.is_some() {
            return Ok(1);
        }
        let counted = self.ways.common.object_count(collection).await.map_err(|error| port(&error))?;
        let most = (self.ways.nodes.len().max(1) * STRETCHES_PER_NODE).max(elysia_engine::backup::write::LANES);
        // What could not be counted is not small.
        let worth = counted.map_or(most, |count| usize::try_from(count / STRETCH_OBJECTS).unwrap_or(most));
        Ok(worth.clamp(1, most))
    }

    async fn page(&self, stretch: Stretch<'_>) -> Result<Page, PortError> {
        let class = self.class(stretch.collection).await?;
        let sides = self.sides(&class, stretch.tenant, stretch.slice);
        let is_compared = sides.is_every_replica;
        let mut stretch = stretch;
        loop {
            let whole = self.compare == CompareWork::Contents;
            let mut listings = self.listings(&class, stretch, &sides, whole).await?;
            let mut reach = replicas::reach(&listings);
            let differing = replicas::differing(&listings, reach);
            if !differing.is_empty() {
                // Asked a second time before it counts, and now for everything: the newest is taken.
                tokio::time::sleep(SETTLE).await;
                listings = self.listings(&class, stretch, &sides, true).await?;
                reach = replicas::nearer(reach, replicas::reach(&listings));
            }
            let unlike = replicas::unlike(&listings, reach, &differing);
            let (mut seen, mut replicas) = replicas::judge(listings, reach, &differing, stretch.tenant);
            seen.retain(|seen| stretch.until.is_none_or(|until| seen.object.id < until));
            replicas.compared = is_compared;
            let is_last = reach.is_none_or(|reach| stretch.until.is_some_and(|until| reach >= until));
            match reach {
                // All of them were deleted meanwhile, and there is more behind.
                Some(reach) if seen.is_empty() && stretch.until.is_none_or(|until| reach < until) => {
                    stretch.after = Some(reach);
                }
                _ => {
                    let times = seen.iter().map(times).collect::<Result<_, _>>()?;
                    let objects = seen.into_iter().map(|seen| seen.object).collect();
                    return Ok(Page { objects, times, replicas, unlike, is_last });
                }
            }
        }
    }

    async fn tenant(&self, collection: &str, tenant: &str) -> Result<Option<TenantState>, PortError> {
        let found = self.ways.common.tenant(collection, tenant, SchemaRead::Leader).await;
        found.map(|found| found.as_ref().map(state)).map_err(|error| port(&error))
    }

    fn tells_times(&self) -> bool {
        true
    }

    async fn set_awake(&self, collection: &str, tenant: &str, awake: bool) -> Result<(), PortError> {
        let activity_status = if awake { ActivityStatus::Hot } else { ActivityStatus::Cold };
        let wanted = Tenant { name: tenant.to_owned(), activity_status };
        let set = self.ways.common.update_tenants(collection, std::slice::from_ref(&wanted)).await;
        set.map_err(|error| port(&error))?;
        let begun = Instant::now();
        loop {
            let last = match self.is_so(collection, &wanted).await {
                Ok(true) => return Ok(()),
                Ok(false) => "not every node says so".to_owned(),
                Err(error) => error.message,
            };
            if begun.elapsed() >= WAKE {
                let word = if awake { "awake" } else { "at rest" };
                return Err(later(format!("tenant {tenant} of {collection} is not {word} after {WAKE:?}: {last}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl WeaviateSource {
    /// Whether every node that holds a tenant knows it so, and where it is awake also answers for it.
    async fn is_so(&self, collection: &str, wanted: &Tenant) -> Result<bool, PortError> {
        let class = self.class(collection).await?;
        let holders = class.shards.get(&wanted.name);
        let holds = |node: &&Node| holders.is_none_or(|holders| holders.contains(&node.name));
        let mut clients: Vec<&Client> = self
            .ways
            .nodes
            .iter()
            .filter(holds)
            .filter(|node| class.live.contains(&node.name))
            .map(|it| &it.client)
            .collect();
        if clients.is_empty() {
            clients.push(&self.ways.common);
        }
        for client in clients {
            let found =
                client.tenant(collection, &wanted.name, SchemaRead::Local).await.map_err(|error| port(&error))?;
            if found.is_none_or(|found| found.activity_status != wanted.activity_status) {
                return Ok(false);
            }
            if wanted.activity_status == ActivityStatus::Hot {
                let query = Query { class: collection, tenant: Some(&wanted.name), after: None, limit: 1 };
                let answer = client.fetch_page(query, &Selection::none(), false, Consistency::One).await;
                answer.map_err(|error| port(&error))?;
            }
        }
        Ok(true)
    }
}

/// Why a collection cannot be read whole now, if so.
fn unanswered(
    name: &str,
    shards: &BTreeMap<String, BTreeSet<String>>,
    live: &BTreeSet<String>,
    needs_every_holder: bool,
) -> Option<String> {
    if let Some((shard, holders)) = shards.iter().find(|(_, holders)| holders.is_disjoint(live)) {
        let holders = holders.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Some(format!("no node that holds shard {shard} of {name} can be asked: {holders}"));
    }
    if !needs_every_holder {
        return None;
    }
    let away = |(shard, holders): (&String, &BTreeSet<String>)| {
        Some((shard.clone(), holders.iter().find(|node| !live.contains(*node))?.clone()))
    };
    let (shard, node) = shards.iter().find_map(away)?;
    Some(format!(
        "{node} holds shard {shard} of {name} and cannot be asked: what it alone has would be taken for deleted, and no comparison would tell"
    ))
}

/// When it was made and written last, as the server says.
pub(super) fn times(seen: &Seen) -> Result<Times, PortError> {
    let time = |milliseconds: Option<i64>| milliseconds.and_then(|it| Timestamp::from_millisecond(it).ok());
    match (time(seen.created), time(seen.updated)) {
        (Some(created), Some(updated)) => Ok(Times { created, updated }),
        _ => Err(refused(format!("the server does not say when object {} was written", seen.object.id))),
    }
}

/// As the engine knows it.
pub(super) fn state(tenant: &Tenant) -> TenantState {
    TenantState { name: tenant.name.clone(), activity: tenant.activity_status.as_str().to_owned() }
}

fn refused(message: String) -> PortError {
    PortError { category: Category::Weaviate, retryable: false, message }
}

pub(super) fn later(message: String) -> PortError {
    PortError { category: Category::Weaviate, retryable: true, message }
}

#[cfg(test)]
mod tests;
