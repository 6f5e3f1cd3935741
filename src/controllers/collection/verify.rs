//! Compares sampled objects at each replica, a round at a time. Decisions are `core::verification`'s; here is reading,
//! chance, and the memory between rounds. Nothing that is read here repairs anything.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use elysia_api::ElysiaCollection;
use elysia_api::collection::{ElysiaCollectionStatus, ShardReplicas};
use elysia_core::cluster::spec::DEFAULT_SAMPLE;
use elysia_core::collection::happening::{self, Happening};
use elysia_core::collection::{ClusterSight, CollectionSpec, OperationState, schema};
use elysia_core::schedule::Timetable;
use elysia_core::verification::look::{self, Ended, Look, Outcome, Request};
use elysia_core::verification::{ObjectKey, Placement, Reading, due};
use elysia_core::{condition, recommendations};
use elysia_weaviate::SchemaRead;
use jiff::{SignedDuration, Timestamp};
use kube::core::ResourceExt as _;
use tokio::time::Instant;

use super::super::connect::ClusterClients;
use super::super::context::Context;
use super::observe::{Scene, cluster_of};
use crate::runtime::patience::patience;
use crate::sampling::Reader;

/// How long one round may take. What was not read by then is not part of the sample.
const ROUND: Duration = patience(Duration::from_secs(30));

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
    let until = Instant::now() + ROUND;
    let (common, nodes) = (&clients.common, &clients.nodes);
    let reader = Reader { collection: &spec.collection, common, nodes, placement, multi_tenant, until };
    let outcome = match pending {
        Some(look) if look.next() > now => {
            verified.recheck = Some(look.next().duration_since(now));
            context.looks.keep(&spec.uid, look);
            return verified;
        }
        Some(look) => {
            let Some(readings) = take_turn(&reader, context, look.suspects().cloned().collect()).await else {
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
    let before = before.verification.iter().flat_map(look::named).collect();
    let (readings, asleep) = reader.first(before, size).await.map_err(|error| crate::effects::chain(&error))?;
    Ok(Some(Look::begin(request, readings, asleep, reader.placement, (context.now)())))
}

/// Reads when no more than the allowed comparisons run; `None` when it is not our turn yet.
async fn take_turn(reader: &Reader<'_>, context: &Context, keys: Vec<ObjectKey>) -> Option<Vec<Reading>> {
    let _turn = context.comparisons.try_acquire().ok()?;
    Some(reader.read(keys).await)
}

impl Verified {
    /// When the next look should come, if it is before this.
    pub(super) fn sooner(&self, recheck: SignedDuration) -> SignedDuration {
        let soon = self.recheck.unwrap_or(recheck).max(SignedDuration::from_secs(1));
        let voided = self.ended.as_ref().is_some_and(|ended| voids_proof(&ended.report));
        if voided { SignedDuration::from_secs(1).min(recheck) } else { recheck.min(soon) }
    }

    /// What has to be told of a comparison that has ended.
    pub(super) fn happening(&self, before: &ElysiaCollectionStatus) -> Option<Happening> {
        happening::of_verification(before.verification.as_ref(), self.ended.as_ref()?)
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
