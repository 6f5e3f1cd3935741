//! Tenants that runs which died have left awake.

use elysia_engine::backup::manifest::Owner;
use elysia_engine::backup::ports::Store;
use elysia_engine::backup::write::{self, Woken};
use elysia_engine::retry::Stop;

use super::source::WeaviateSource;
use super::ways::Ways;
use super::work::CompareWork;
use super::{Failure, retry, with_only_node};
use crate::worker::clock::SystemClock;
use crate::worker::work::PatienceWork;

/// The tenants that runs of this owner woke and have not put back to rest.
pub(crate) async fn left_awake<S: Store>(
    owner: &Owner,
    store: &S,
    patience: PatienceWork,
    stop: &Stop,
) -> Result<Vec<Woken>, Failure> {
    Ok(write::woken(store, owner, (retry(patience), &SystemClock, stop)).await?)
}

/// Puts back to rest the tenants that runs of this owner left awake when they died. None of them may be under way.
pub(crate) async fn rest_woken<S: Store>(
    owner: &Owner,
    ways: &Ways,
    store: &S,
    patience: PatienceWork,
    stop: &Stop,
) -> Result<(), Failure> {
    let left = left_awake(owner, store, patience, stop).await?;
    if left.is_empty() {
        return Ok(());
    }
    let patience = (retry(patience), &SystemClock, stop);
    let source = WeaviateSource::new(with_only_node(ways).await, CompareWork::None);
    for woken in left {
        write::put_back(store, &source, &woken, patience).await?;
    }
    Ok(())
}
