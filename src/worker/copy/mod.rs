//! A live copy of one collection into another: joins the engine with the clusters of both sides.
//!
//! ```text
//! ways of the source ─▶ WeaviateSource ─┐
//! ways of the target ─▶ WeaviateSource ─┼─▶ engine's copy ─▶ state: a ConfigMap beside the ledger, or a file
//!                       WeaviateTarget ─┘
//! ```
//!
//! What calls this, a Job's worker or a person's plug-in, keeps the ledger.

pub mod work;

use elysia_engine::backup::ports::Store;
use elysia_engine::copy::state::State;
use elysia_engine::copy::{self, Copier, Look, Order, Progress};
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::Stop;

use self::work::CopyWork;
use super::backup::ways::Ways;
use super::backup::work::CompareWork;
use super::backup::{Failure, WeaviateSource, WeaviateTarget, retry, with_only_node};
use super::clock::SystemClock;

/// Environment variable with a copy's work as JSON: [`work::CopyWork`].
pub const COPY_WORK_VARIABLE: &str = "ELYSIA_COPY_WORK";
/// Environment variable with the API key of the cluster that is copied to, where that is another one. The key of the one
/// that is read comes in the variable of all workers.
pub const TARGET_API_KEY_VARIABLE: &str = "ELYSIA_TARGET_WEAVIATE_API_KEY";

/// Where the state of a copy of this id lies in a store.
pub(crate) fn state_key(copy: &str) -> String {
    format!("copies/{copy}.json")
}

/// What the engine is asked for.
pub(crate) fn order(work: &CopyWork) -> Order {
    let target = work.target.as_ref().unwrap_or(&work.endpoints);
    let mut order = Order {
        copy: work.copy.clone(),
        source: work.endpoints.rest.clone(),
        target: target.rest.clone(),
        is_within: target.rest == work.endpoints.rest,
        class: work.class.clone(),
        factor: work.factor,
        shards: work.shards,
        is_made: work.is_made,
        may_hold: work.may_hold,
        transform: work.transform.clone(),
        is_final: work.is_final,
        retry: retry(work.patience),
        ..Order::new(&work.order, &work.from, &work.into, &state_key(&work.copy))
    };
    order.few = work.few.unwrap_or(order.few);
    order.most_passes = work.most_passes.map_or(order.most_passes, |most| most.max(1));
    order
}

/// What stands in the way of a copy, and what it would make; nothing is written.
pub(crate) async fn plan_copy<S: Store>(
    order: &Order,
    source: &Ways,
    target: &Ways,
    states: &S,
) -> Result<Look, Failure> {
    let source = WeaviateSource::new(with_only_node(source).await, CompareWork::Contents);
    let mirror = WeaviateTarget::new(with_only_node(target).await, &order.into);
    Ok(copy::look(states, &source, &mirror, order, SystemClock.now()).await?)
}

/// Copies, or goes on with it; an order that is done does nothing.
pub(crate) async fn copy_over<S: Store>(
    order: &Order,
    source: &Ways,
    target: &Ways,
    states: &S,
    stop: &Stop,
    progress: &Progress,
) -> Result<State, Failure> {
    let (source, target) = (with_only_node(source).await, with_only_node(target).await);
    // Nothing is looked at again after a final order. Where no node has an address of its own not much is known in any case.
    let needs_all = |ways: &Ways| order.is_final && !ways.nodes.is_empty();
    let (all_of_source, all_of_target) = (needs_all(&source), needs_all(&target));
    let source = WeaviateSource::new(source, CompareWork::Contents).with_every_holder(all_of_source);
    let mirrored = WeaviateSource::new(target.clone(), CompareWork::Contents).with_every_holder(all_of_target);
    let mirror = WeaviateTarget::new(target, &order.into);
    let copier = Copier {
        states,
        source: &source,
        mirrored: &mirrored,
        mirror: &mirror,
        clock: &SystemClock,
        stop,
        progress,
        order,
    };
    Ok(copier.copy().await?)
}
