//! The ledgers of a feed, as its workers wrote them.

use std::collections::BTreeMap;

use elysia_api::index_source::{CheckpointStatus, Counts, DeadLetter, Lag, RunState, Throughput};
use elysia_api::names;
use elysia_core::feed::{Content, FailedRun, FeedSpec, Guarded, LedgerView, Limits, OpenCircuit, PutOff, partitions};
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_engine::category::Category;
use elysia_engine::ledger::{FailureReason, Ledger, State, Traffic};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;

use super::super::context::Context;
use super::job;
use super::observe::unreadable;
use crate::effects::{EffectError, kubernetes};

/// The ledger and what stands beside it.
pub(super) struct Beside {
    /// What the worker wrote; of several partitions what they say together.
    pub(super) ledger: Sight<Option<LedgerView>>,
    /// The time for which the present run is meant.
    pub(super) intent: Option<Timestamp>,
    /// Whether the object is there on which notes stand: see [`job::notes`].
    pub(super) keeps_notes: bool,
    /// Whether an object of a ledger is missing.
    pub(super) lacks_ledger: bool,
    /// The run whose Job failed without a word of its worker, as it is noted there.
    pub(super) failed: Option<FailedRun>,
}

impl Beside {
    fn new(ledger: Sight<Option<LedgerView>>, config: Option<&ConfigMap>, lacks_ledger: bool) -> Self {
        let note = |key: &str| config.and_then(|config| config.annotations().get(key));
        let intent = note(names::INTENT_ANNOTATION).and_then(|time| time.parse().ok());
        let failed = note(names::FAILED_ANNOTATION).and_then(|note| serde_json::from_str(note).ok());
        Self { ledger, intent, keeps_notes: config.is_some(), lacks_ledger, failed }
    }
}

/// Looks at the ledgers.
pub(super) async fn observe(spec: &FeedSpec, held: &Sight<Result<Content, String>>, context: &Context) -> Beside {
    if spec.partitions > 1 {
        let run = held.seen().and_then(|content| content.as_ref().ok()).map(|content| spec.run_id(content));
        return divided(spec, run.as_deref(), context).await;
    }
    let name = job::notes(spec);
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let config = match api.get_opt(&name).await {
        Ok(config) => config,
        Err(error) => return Beside::new(unreadable("ConfigMap", &name, &error), None, false),
    };
    Beside::new(ledger_in(spec, &name, config.clone()), config.as_ref(), config.is_none())
}

/// What the ledgers of partitions say together. One that cannot be read leaves nothing known.
async fn divided(spec: &FeedSpec, run: Option<&str>, context: &Context) -> Beside {
    match labelled(spec, context).await {
        Ok(found) => {
            let notes = found.get(&job::notes(spec)).cloned();
            let lacks_ledger = job::ledgers(spec).iter().any(|name| !found.contains_key(name));
            Beside::new(joined(spec, run, found), notes.as_ref(), lacks_ledger)
        }
        Err(error) => Beside::new(unreadable("the ledgers of", &spec.name, &error), None, false),
    }
}

fn joined(spec: &FeedSpec, run: Option<&str>, mut found: BTreeMap<String, ConfigMap>) -> Sight<Option<LedgerView>> {
    let mut ledgers = Vec::new();
    for name in job::ledgers(spec) {
        match ledger_in(spec, &name, found.remove(&name)) {
            Sight::Seen(ledger) => ledgers.push(ledger),
            Sight::Unseen(blindness) => return Sight::Unseen(blindness),
        }
    }
    Sight::Seen(partitions::join(&ledgers, run))
}

/// Everything with the feed's label, by name.
async fn labelled(spec: &FeedSpec, context: &Context) -> Result<BTreeMap<String, ConfigMap>, kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.kube.clone(), &spec.namespace);
    let selector = format!("{}={}", names::FEED_LABEL, spec.name);
    let found = api.list(&ListParams::default().labels(&selector)).await?;
    Ok(found.items.into_iter().map(|config| (config.name_any(), config)).collect())
}

/// Ledgers of another division of the feed in which deletes are left to do: a run finishes them first.
pub(super) async fn former(spec: &FeedSpec, context: &Context) -> Result<Vec<String>, EffectError> {
    let found = labelled(spec, context).await;
    let found = found.map_err(EffectError::kubernetes(format!("list the ledgers of {}", spec.name)))?;
    let is_former = |config: &ConfigMap| {
        let text = config.data.as_ref().and_then(|data| data.get(crate::worker::LEDGER_KEY));
        let ledger = text.and_then(|text| serde_json::from_str::<Ledger>(text).ok());
        ledger.is_some_and(|ledger| {
            let count = ledger.partition.map_or(1, |partition| partition.count);
            ledger.pending.is_some() && ledger.collection == spec.collection && count != spec.partitions
        })
    };
    Ok(found.into_iter().filter(|(_, config)| is_former(config)).map(|(name, _)| name).collect())
}

/// Ledgers of another division of the feed speak of no run any more once one of this division begins: what they say was
/// written over. What is left to do of them stays in them. No worker is at work now.
pub(super) async fn void_others(spec: &FeedSpec, context: &Context) -> Result<(), EffectError> {
    let found = labelled(spec, context).await;
    let found = found.map_err(EffectError::kubernetes(format!("list the ledgers of {}", spec.name)))?;
    for mut config in found.into_values() {
        let text = config.data.as_ref().and_then(|data| data.get(crate::worker::LEDGER_KEY));
        let Some(mut ledger) = text.and_then(|text| serde_json::from_str::<Ledger>(text).ok()) else { continue };
        let count = ledger.partition.map_or(1, |partition| partition.count);
        if count == spec.partitions || ledger.run.is_empty() {
            continue;
        }
        ledger.run.clear();
        let text = serde_json::to_string(&ledger).map_err(|error| EffectError::Refused(error.to_string()))?;
        config.data.get_or_insert_default().insert(crate::worker::LEDGER_KEY.to_owned(), text);
        let version = config.resource_version();
        kubernetes::write_config_map(&context.kube, config, version).await?;
    }
    Ok(())
}

fn ledger_in(spec: &FeedSpec, name: &str, config: Option<ConfigMap>) -> Sight<Option<LedgerView>> {
    // What a deleted object of this name left goes with its worker: to go on with it would be to write beside it.
    if config.as_ref().is_some_and(|config| is_of_another(config.metadata.owner_references.as_deref(), spec)) {
        let message = format!("the ledger of the former IndexSource {} is still being removed", spec.name);
        return Sight::unseen(BlindnessKind::Failed, message);
    }
    let text = config.and_then(|config| config.data?.remove(crate::worker::LEDGER_KEY));
    match text.as_deref() {
        None | Some("") => Sight::Seen(None),
        Some(text) => match serde_json::from_str::<Ledger>(text) {
            Ok(ledger) => Sight::Seen(Some(view(&ledger))),
            Err(error) => Sight::unseen(
                BlindnessKind::Failed,
                format!("ConfigMap {name} holds no ledger ({error}); delete it to begin anew"),
            ),
        },
    }
}

/// Whether the controller is another object, such as a former one of the same name.
fn is_of_another(owners: Option<&[OwnerReference]>, spec: &FeedSpec) -> bool {
    owners.unwrap_or_default().iter().any(|owner| owner.controller == Some(true) && owner.uid != spec.uid)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn view(ledger: &Ledger) -> LedgerView {
    let counts = &ledger.counts;
    let current = ledger.checkpoint.current.as_ref();
    let put_off = ledger.followed.as_ref().and_then(|followed| followed.put_off.as_ref());
    LedgerView {
        run: ledger.run.clone(),
        state: match ledger.state {
            State::Running => RunState::Running,
            State::Waiting => RunState::Waiting,
            State::Succeeded if put_off.is_some() => RunState::Skipped,
            State::Succeeded => RunState::Succeeded,
            State::Failed => RunState::Failed,
        },
        message: ledger.message.clone(),
        guarded: ledger.guarded.map(guarded),
        is_permanent: ledger.reason.is_some_and(FailureReason::is_permanent),
        partitions: None,
        put_off: put_off.map(|put_off| PutOff { lines: number(put_off.lines), least: number(put_off.least) }),
        caught_up_at: ledger.followed.as_ref().and_then(|followed| followed.caught_up_at),
        counts: Counts {
            lines: number(counts.lines),
            added: number(counts.added),
            modified: number(counts.modified),
            deleted: number(counts.deleted),
            renamed: number(counts.renamed),
            unchanged: number(counts.unchanged),
            rejected: number(counts.rejected),
        },
        errors: Category::ALL
            .into_iter()
            .map(|category| (category.as_str().to_owned(), number(ledger.errors.of(category))))
            .filter(|(_, count)| *count > 0)
            .collect(),
        checkpoint: CheckpointStatus {
            file: current.map(|position| position.file.clone()),
            offset: current.map_or(0, |position| number(position.offset)),
            files_done: number(ledger.checkpoint.files),
        },
        throughput: throughput(ledger),
        call_milliseconds: number(ledger.traffic.milliseconds),
        lag: ledger.left.map(|left| Lag { files: number(left.files), bytes: number(left.bytes) }),
        breaker: ledger.breaker.as_ref().map(|breaker| OpenCircuit {
            since: breaker.since,
            failures: i64::from(breaker.failures),
            message: breaker.message.clone(),
        }),
        replayed: ledger.replayed.as_ref().map(|replayed| replayed.word.clone()),
        dead_letters: ledger.dead_letters.iter().map(dead_letter).collect(),
        started_at: ledger.started_at,
        finished_at: ledger.finished_at,
    }
}

fn throughput(ledger: &Ledger) -> Throughput {
    let Traffic { calls, objects, milliseconds, failed, batch_objects, in_flight } = ledger.traffic;
    let elapsed = ledger.updated_at.duration_since(ledger.started_at).as_millis();
    // Of less than a second nothing can be said.
    let per_second = |count: u64| if elapsed < 1_000 { 0 } else { i128::from(count) * 1_000 / elapsed };
    Throughput {
        lines_per_second: i64::try_from(per_second(ledger.counts.lines)).unwrap_or(i64::MAX),
        bytes: number(ledger.bytes),
        calls: number(calls),
        objects: number(objects),
        call_milliseconds: number(milliseconds.checked_div(calls).unwrap_or_default()),
        failed_calls: number(failed),
        batch_objects: number(batch_objects),
        parallelism: number(in_flight),
    }
}

fn guarded(guarded: elysia_engine::guard::Guarded) -> Guarded {
    let elysia_engine::guard::Guarded { content, deletes, objects, limits, since, approved: _ } = guarded;
    let limits = Limits { objects: limits.objects, percent: limits.percent };
    Guarded { content: content.to_string(), deletes, objects, limits, since }
}

fn dead_letter(letter: &elysia_engine::rejection::DeadLetter) -> DeadLetter {
    DeadLetter {
        file: letter.file.clone(),
        line: number(letter.line),
        offset: number(letter.offset),
        length: number(letter.length),
        category: letter.category.as_str().to_owned(),
        reason: letter.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use elysia_api::IndexSource;
    use serde_json::{Value, json};

    use super::*;

    fn spec() -> FeedSpec {
        let feed: IndexSource = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
            "metadata": {"name": "docs", "namespace": "n", "uid": "new"},
            "spec": {"clusterRef": {"name": "w"}, "collection": "A", "source": {"configMap": {"name": "lines"}}},
        }))
        .unwrap();
        FeedSpec::validate(&feed).unwrap()
    }

    fn owners(uid: &str) -> Value {
        json!([{"apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource", "name": "docs", "uid": uid, "controller": true}])
    }

    #[test]
    fn a_ledger_of_a_former_object_of_the_name_is_not_gone_on_with() {
        let is_of_another = |owners: Value| {
            let owners: Vec<OwnerReference> = serde_json::from_value(owners).unwrap();
            is_of_another(Some(&owners), &spec())
        };
        assert!(is_of_another(owners("old")));
        assert!(!is_of_another(owners("new")));
        assert!(!is_of_another(json!([])));
    }
}
