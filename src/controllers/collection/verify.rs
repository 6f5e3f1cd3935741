//! Compares sampled objects at each replica, a round at a time. Decisions are `core::verification`'s; here is reading,
//! chance, and the memory between rounds. Nothing that is read here repairs anything.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use elysia_api::ElysiaCollection;
use elysia_api::collection::{ElysiaCollectionStatus, ShardReplicas};
use elysia_core::cluster::spec::DEFAULT_SAMPLE;
use elysia_core::collection::{ClusterSight, CollectionSpec, OperationState, schema};
use elysia_core::schedule::Timetable;
use elysia_core::verification::look::{self, Ended, Look, Outcome, Request};
use elysia_core::verification::{Answer, ObjectKey, Placement, Reading, due, sample};
use elysia_core::{condition, recommendations};
use elysia_weaviate::{ActivityStatus, AtReplica, Client, Page, SchemaRead, WeaviateError};
use futures::{FutureExt as _, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use kube::core::ResourceExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::connect::ClusterClients;
use super::super::context::Context;
use super::observe::{Scene, cluster_of};

/// Reads of one object at one node that run at the same time. An answer has at most 4 MiB, usually some KiB.
const READS: usize = 12;

/// Objects between two looks at the clock.
const CHUNK: usize = 48;

/// How long one round may take. What was not read by then is not part of the sample.
const ROUND: Duration = Duration::from_secs(30);

/// How long a node may take that surely holds the object.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a node may take that perhaps holds no replica of the object's shard: 1.38 tries for 5 to 10 s before it says
/// so, and a healthy answer takes some milliseconds.
const GUESSING_PATIENCE: Duration = Duration::from_secs(1);

/// How soon to try again when other collections are being compared.
const TURN: SignedDuration = SignedDuration::from_secs(5);

/// Comparisons between their rounds, by the uid of the object. Losing them costs a sample.
#[derive(Default)]
pub(in crate::controllers) struct Looks(Mutex<BTreeMap<String, Look>>);

impl Looks {
    fn take(&self, uid: &str) -> Option<Look> {
        self.0.lock().ok()?.remove(uid)
    }

    fn keep(&self, uid: &str, look: Look) {
        if let Ok(mut looks) = self.0.lock() {
            looks.insert(uid.to_owned(), look);
        }
    }
}

/// What a round of comparing came to.
#[derive(Debug, Default)]
pub(super) struct Verified {
    ended: Option<Ended>,
    /// Whether somebody wants to know: by schedule or by annotation.
    asked: bool,
    /// Why nothing is compared at present.
    why_not: Option<String>,
    /// When to go on.
    recheck: Option<SignedDuration>,
}

/// One round, if it is time for one.
pub(super) async fn verify(
    spec: &CollectionSpec,
    object: &ElysiaCollection,
    scene: &Scene,
    context: &Context,
) -> Verified {
    let now = (context.now)();
    let before = object.status.clone().unwrap_or_default();
    let (timetable, sample) = settings(spec, context);
    let handled = before.last_handled.as_ref().and_then(|handled| handled.run_now.as_deref());
    let mut verified = Verified { asked: timetable.is_some(), ..Verified::default() };
    let pending = context.looks.take(&spec.uid);
    let since = object.creation_timestamp().map_or(now, |time| time.0);
    let request = match &pending {
        Some(look) => Some(look.request.clone()),
        None => due(timetable.as_ref(), spec.run_now.as_deref(), handled, before.verification.as_ref(), since, now),
    };
    verified.recheck = timetable.and_then(|timetable| timetable.next(now)).map(|next| next.duration_since(now));
    let Some(request) = request else { return verified };
    let (clients, shards) = match ready(scene) {
        Ok(ready) => ready,
        // What was begun is forgotten: by the time the servers are well again the sample is old.
        Err(why) => {
            verified.asked = true;
            verified.why_not = Some(why);
            return verified;
        }
    };
    let placement = Placement::new(shards, scene.observed.version);
    let class = scene.observed.class.seen().and_then(Option::as_ref);
    let multi_tenant = class.is_some_and(schema::is_multi_tenant);
    let reader = Reader { spec, clients, placement, multi_tenant, until: Instant::now() + ROUND };
    let outcome = match pending {
        Some(look) if look.next() > now => {
            verified.recheck = Some(look.next().duration_since(now));
            context.looks.keep(&spec.uid, look);
            return verified;
        }
        Some(look) => {
            let Some(readings) = reader.take_turn(context, look.suspects().cloned().collect()).await else {
                verified.recheck = Some(TURN);
                context.looks.keep(&spec.uid, look);
                return verified;
            };
            look.again(readings, placement, (context.now)())
        }
        None => match begin(&reader, request, &before, sample, context).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                verified.recheck = Some(TURN);
                return verified;
            }
            Err(why) => {
                verified.asked = true;
                verified.why_not = Some(why);
                return verified;
            }
        },
    };
    match outcome {
        Outcome::Again(look) => {
            verified.recheck = Some(look.next().duration_since((context.now)()));
            context.looks.keep(&spec.uid, *look);
        }
        Outcome::Ended(ended) => verified.ended = Some(ended),
    }
    verified
}

/// When and how many, by the cluster's spec. One that cannot be honoured shows at the cluster itself.
fn settings(spec: &CollectionSpec, context: &Context) -> (Option<Timetable>, usize) {
    let cluster = cluster_of(&spec.namespace, &spec.cluster, context);
    let data = cluster.as_ref().and_then(|cluster| cluster.spec.verify.as_ref()?.data.as_ref());
    let timetable = data.and_then(|data| Timetable::parse(&data.schedule).ok());
    let sample = data.and_then(|data| usize::try_from(data.sample_size).ok()).unwrap_or(DEFAULT_SAMPLE);
    (timetable, sample)
}

/// What a comparison needs, or why there is none: while nodes are away or replicas are being made, every difference
/// would be an alarm that says nothing.
fn ready(scene: &Scene) -> Result<(&ClusterClients, &[ShardReplicas]), String> {
    let observed = &scene.observed;
    if let ClusterSight::Unfit(why) = &observed.cluster {
        return Err(format!("objects are compared when the cluster is well again: {why}"));
    }
    let clients = scene.clients.as_ref().ok_or("the cluster cannot be asked")?;
    let placement = observed.placement.seen().ok_or("the servers do not say where the replicas are")?;
    let journal = observed.journal.seen().and_then(Option::as_ref);
    if journal.is_some_and(|journal| !journal.cursor.is_over()) {
        return Err("objects are compared when the approved plan is carried out".to_owned());
    }
    let operations = observed.operations.seen().into_iter().flatten();
    if operations.into_iter().any(|operation| operation.state == OperationState::Active) {
        return Err("objects are compared when the copies that run are ready".to_owned());
    }
    Ok((clients, placement))
}

/// The first round; `None` when it is not our turn yet.
async fn begin(
    reader: &Reader<'_>,
    request: Request,
    before: &ElysiaCollectionStatus,
    size: usize,
    context: &Context,
) -> Result<Option<Outcome>, String> {
    let Ok(_turn) = context.comparisons.try_acquire() else { return Ok(None) };
    let mut asleep = None;
    let mut readings = Vec::new();
    if reader.placement.most_replicas() > 1 {
        let multi_tenant = tenants(reader).await?;
        let mut keys: Vec<ObjectKey> = before.verification.iter().flat_map(look::named).collect();
        let tenants = match multi_tenant {
            None => vec![None],
            Some(tenants) => {
                let (hot, cold): (Vec<_>, Vec<_>) = tenants.into_iter().partition(|(_, hot)| *hot);
                asleep = i64::try_from(cold.len()).ok();
                let hot: Vec<String> = hot.into_iter().map(|(name, _)| name).collect();
                keys.retain(|key| key.tenant.as_ref().is_some_and(|tenant| hot.contains(tenant)));
                let dice: Vec<u64> = hot.iter().map(|_| Uuid::new_v4().as_u64_pair().1).collect();
                sample::tenants(&hot, &dice).into_iter().map(Some).collect()
            }
        };
        let sampled = reader.sample(&tenants, size).await;
        keys.extend(sampled);
        keys.truncate(size.max(elysia_api::STATUS_LIST_LIMIT));
        keys.sort();
        keys.dedup();
        readings = reader.read(keys).await;
    }
    Ok(Some(Look::begin(request, readings, asleep, reader.placement, (context.now)())))
}

/// Names of the tenants and whether each is HOT; `None` when the collection has no tenants.
async fn tenants(reader: &Reader<'_>) -> Result<Option<Vec<(String, bool)>>, String> {
    if !reader.multi_tenant {
        return Ok(None);
    }
    let tenants = reader.clients.common.tenants(&reader.spec.collection).await;
    let tenants = tenants.map_err(|error| crate::effects::chain(&error))?;
    let hot = |status: &ActivityStatus| *status == ActivityStatus::Hot;
    Ok(Some(tenants.into_iter().map(|tenant| (tenant.name, hot(&tenant.activity_status))).collect()))
}

/// Reads objects at their replicas.
struct Reader<'a> {
    spec: &'a CollectionSpec,
    clients: &'a ClusterClients,
    placement: Placement<'a>,
    multi_tenant: bool,
    until: Instant,
}

impl Reader<'_> {
    /// Reads when no more than the allowed comparisons run; `None` when it is not our turn yet.
    async fn take_turn(&self, context: &Context, keys: Vec<ObjectKey>) -> Option<Vec<Reading>> {
        let _turn = context.comparisons.try_acquire().ok()?;
        Some(self.read(keys).await)
    }

    /// Where this node is asked: at its own address, or at the common one, which passes the question on.
    fn client(&self, node: &str) -> &Client {
        self.clients.nodes.get(node).unwrap_or(&self.clients.common)
    }

    /// Objects from random places: the same places at each node, so that what only one of them lists is found.
    async fn sample(&self, tenants: &[Option<String>], size: usize) -> Vec<ObjectKey> {
        let nodes = self.placement.nodes();
        // Without addresses of their own the nodes cannot be asked for their lists; then the common one's must do.
        let listers: Vec<(String, &Client)> = if nodes.iter().all(|node| self.clients.nodes.contains_key(*node)) {
            nodes.iter().map(|node| ((*node).to_owned(), self.client(node))).collect()
        } else {
            vec![(String::new(), &self.clients.common)]
        };
        let starts = sample::places(size, tenants.len());
        let page = sample::page_size(size, starts * tenants.len());
        let mut places = Vec::new();
        for tenant in tenants {
            for _ in 0..starts {
                places.push(self.place(&listers, tenant.as_deref(), Some(Uuid::new_v4()), page).await);
            }
        }
        let chosen = sample::choose(&places, size);
        if chosen.len() >= size {
            return chosen;
        }
        // Few objects, or ids that are not spread: the places lay behind the last of them.
        for tenant in tenants {
            let page = sample::page_size(size, tenants.len());
            places.push(self.place(&listers, tenant.as_deref(), None, page).await);
        }
        sample::choose(&places, size)
    }

    /// What each node lists from one place on. A list that could not be had is left out.
    async fn place(
        &self,
        listers: &[(String, &Client)],
        tenant: Option<&str>,
        after: Option<Uuid>,
        limit: usize,
    ) -> (Option<String>, BTreeMap<String, sample::Listed>) {
        // Boxed, and not in closures that borrow: the compiler cannot tell otherwise that a round may change threads.
        let mut asked = Vec::with_capacity(listers.len());
        for (_, client) in listers {
            asked.push(self.list(client, tenant, after, limit).boxed());
        }
        let lists = futures::future::join_all(asked).await;
        let nodes = listers.iter().map(|(node, _)| node.clone());
        (tenant.map(str::to_owned), nodes.zip(lists).filter_map(|(node, list)| Some((node, list?))).collect())
    }

    async fn list(
        &self,
        client: &Client,
        tenant: Option<&str>,
        after: Option<Uuid>,
        mut limit: usize,
    ) -> Option<sample::Listed> {
        loop {
            let page = Page { class: &self.spec.collection, tenant, after, limit };
            match tokio::time::timeout_at(self.until, client.list_ids(page)).await {
                Ok(Ok(ids)) => {
                    let full = ids.len() >= limit;
                    return Some(sample::Listed { ids: ids.iter().map(Uuid::to_string).collect(), full });
                }
                Ok(Err(WeaviateError::TooLarge { .. })) if limit > 1 => limit /= 2,
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// Reads each object at each of its nodes, until the round's time is over.
    async fn read(&self, keys: Vec<ObjectKey>) -> Vec<Reading> {
        let uneven = self.placement.is_uneven();
        let mut readings = Vec::new();
        for chunk in keys.chunks(CHUNK) {
            if Instant::now() >= self.until {
                tracing::debug!(
                    collection = self.spec.collection,
                    read = readings.len(),
                    of = keys.len(),
                    "time is over"
                );
                break;
            }
            let (mut asked, mut questions) = (Vec::new(), Vec::new());
            for (at, key) in chunk.iter().enumerate() {
                let patience = if uneven && key.tenant.is_none() { GUESSING_PATIENCE } else { PATIENCE };
                for node in self.placement.nodes_to_ask(key) {
                    asked.push((at, node.to_owned()));
                    questions.push(self.ask(key, node, patience).boxed());
                }
            }
            let answers: Vec<Answer> = futures::stream::iter(questions).buffered(READS).collect().await;
            let mut chunk: Vec<Reading> =
                chunk.iter().map(|key| Reading { key: key.clone(), answers: BTreeMap::new() }).collect();
            for ((at, node), answer) in asked.into_iter().zip(answers) {
                chunk[at].answers.insert(node, answer);
            }
            readings.append(&mut chunk);
        }
        readings
    }

    async fn ask(&self, key: &ObjectKey, node: &str, patience: Duration) -> Answer {
        let Ok(id) = key.id.parse() else { return Answer::Silent };
        let asked = self.client(node).object_at(&self.spec.collection, key.tenant.as_deref(), id, node);
        match tokio::time::timeout(patience, asked).await {
            Ok(Ok(AtReplica::Held { digest, updated })) => Answer::Held { digest, updated },
            Ok(Ok(AtReplica::Absent)) => Answer::Absent,
            Ok(Ok(AtReplica::NotHere { shard })) => Answer::NotHere { shard },
            Ok(Err(_)) | Err(_) => Answer::Silent,
        }
    }
}

impl Verified {
    /// When the next look should come, if it is before this.
    pub(super) fn sooner(&self, recheck: SignedDuration) -> SignedDuration {
        let soon = self.recheck.unwrap_or(recheck).max(SignedDuration::from_secs(1));
        let voided = self.ended.as_ref().is_some_and(|ended| voids_proof(&ended.report));
        if voided { SignedDuration::from_secs(1).min(recheck) } else { recheck.min(soon) }
    }

    /// Writes into the status what was found.
    pub(super) fn tell(
        self,
        status: &mut ElysiaCollectionStatus,
        before: &ElysiaCollectionStatus,
        object: &ElysiaCollection,
        now: Timestamp,
    ) {
        if let Some(Ended { request, report }) = self.ended {
            if voids_proof(&report)
                && let Some(replication) = &mut status.replication
            {
                replication.proved = None;
            }
            if request.run_now.is_some() {
                status.last_handled.get_or_insert_default().run_now = request.run_now;
            }
            status.verification = Some(report);
        }
        let report = status.verification.as_ref();
        let name = object.name_any();
        if let Some(finding) = look::finding(report, self.asked, self.why_not.as_deref(), &name) {
            let conditions = condition::merge(&before.conditions, &[finding], object.metadata.generation, now);
            status.conditions.extend(conditions);
        }
    }
}

/// Advice that follows from this look. Whether Elysia derived chunks is asked only where the class carries its mark.
pub(super) async fn recommend(spec: &CollectionSpec, scene: &Scene, status: &mut ElysiaCollectionStatus) {
    let observed = &scene.observed;
    // Not seen now: what was said stays.
    let Some(Some(class)) = observed.class.seen() else { return };
    let mut chunked_factor = None;
    if let Some(clients) = scene.clients.as_ref().filter(|_| recommendations::is_chunked(class)) {
        let name = recommendations::chunked_name(&spec.collection);
        if let Ok(Some(chunks)) = clients.common.class(&name, SchemaRead::Leader).await {
            chunked_factor = Some(schema::class_factor(&chunks));
        }
    }
    status.recommendations = recommendations::of_collection(&recommendations::Known {
        object: &spec.name,
        class,
        placement: observed.placement.seen().map(Vec::as_slice),
        objects: status.objects.as_ref().map(|objects| objects.count),
        nodes: observed.members.seen().map(Vec::len),
        version: observed.version,
        chunked_factor,
    });
}

/// Whether the ids must be compared again: a proof that they are equal everywhere cannot be true any more.
fn voids_proof(report: &elysia_api::collection::DataVerification) -> bool {
    report.missing + report.different > 0
}
