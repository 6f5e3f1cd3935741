//! The Jobs of backups, restores and copies: what they do around the work itself, and the ledgers in which they say so.

#[cfg(test)]
mod alias_tests;
mod backup;
mod base;
mod board;
#[cfg(test)]
mod chosen_tests;
mod comparing;
mod copy;
pub(crate) mod drill;
#[cfg(test)]
mod drill_tests;
pub(crate) mod judged;
#[cfg(test)]
mod lacking_tests;
#[cfg(test)]
mod native_tests;
mod rate;
#[cfg(test)]
mod receipts_tests;
mod restore;
#[cfg(test)]
mod restore_tests;
mod retiring;
mod room;
#[cfg(test)]
mod tests;
pub mod work;

use std::time::Duration;

use elysia_engine::backup::seal::{Key, NoKey};
use elysia_engine::retry::Stop;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use self::backup::Hands;
use self::board::ConfigMapBoard;
use self::copy::CopyHands;
use self::work::{BackupJob, RestoreJob};
use super::backup::native::Pace;
use super::backup::{BACKUP_WORK_VARIABLE, RESTORE_WORK_VARIABLE, store, ways};
use super::copy::work::CopyWork;
use super::copy::{COPY_WORK_VARIABLE, TARGET_API_KEY_VARIABLE};
use super::index::stop_on_signal;
use super::{API_KEY_VARIABLE, ENCRYPTION_KEY_VARIABLE, MASK_SALT_VARIABLE, WorkerError, chain};

/// Does the work of a policy's Job.
pub(super) async fn backup_from_environment() -> Result<(), WorkerError> {
    let mut job: BackupJob = told(BACKUP_WORK_VARIABLE)?;
    job.backup.patience = job.backup.patience.through_outages();
    info!(namespace = job.backup.namespace, name = job.backup.name, order = job.order, "backing up");
    let stop = stopping(job.deadline_seconds)?;
    let board = board(&job.backup.namespace, &job.ledger).await?;
    let ways = ways::ways(&job.backup.endpoints, api_key().as_ref())?;
    let store = store::open(&job.backup.store)?;
    let key = encryption_key()?;
    let hands = Hands { store: &store, ways: &ways, board: &board, stop: &stop, key: key.as_ref(), pace: Pace::USUAL };
    Ok(backup::run(&job, &hands).await?)
}

/// Does the work of a restore's Job.
pub(super) async fn restore_from_environment() -> Result<(), WorkerError> {
    let mut job: RestoreJob = told(RESTORE_WORK_VARIABLE)?;
    job.chosen.season(salt).map_err(WorkerError::Permanent)?;
    job.restore.patience = job.restore.patience.through_outages();
    info!(namespace = job.restore.namespace, name = job.restore.name, into = job.restore.into, "restoring");
    let stop = stopping(job.deadline_seconds)?;
    let board = board(&job.restore.namespace, &job.ledger).await?;
    let ways = ways::ways(&job.restore.endpoints, api_key().as_ref())?;
    let store = store::open(&job.restore.store)?;
    let key = encryption_key()?;
    let hands = Hands { store: &store, ways: &ways, board: &board, stop: &stop, key: key.as_ref(), pace: Pace::USUAL };
    Ok(restore::run(&job, &hands).await?)
}

/// Does the work of a copy's Job.
pub(super) async fn copy_from_environment() -> Result<(), WorkerError> {
    let mut work: CopyWork = told(COPY_WORK_VARIABLE)?;
    work::season(&mut work.transform, salt).map_err(WorkerError::Permanent)?;
    info!(namespace = work.namespace, name = work.name, from = work.from, into = work.into, "copying");
    let stop = stopping(work.deadline_seconds)?;
    let board = board(&work.namespace, &work.ledger).await?;
    let source = ways::ways(&work.endpoints, api_key().as_ref())?;
    let target = match &work.target {
        Some(target) => ways::ways(target, key_in(TARGET_API_KEY_VARIABLE).as_ref())?,
        None => source.clone(),
    };
    let hands = CopyHands { source: &source, target: &target, board: &board, stop: &stop };
    Ok(copy::run(&work, &hands).await?)
}

fn told<T: DeserializeOwned>(variable: &str) -> Result<T, WorkerError> {
    let unfit =
        |error: &dyn std::fmt::Display| WorkerError::Permanent(format!("environment variable {variable}: {error}"));
    let text = std::env::var(variable).map_err(|error| unfit(&error))?;
    serde_json::from_str(&text).map_err(|error| unfit(&error))
}

/// The salt of the step of this number.
fn salt(step: usize) -> Option<String> {
    std::env::var(format!("{MASK_SALT_VARIABLE}{step}")).ok()
}

fn api_key() -> Option<SecretString> {
    key_in(API_KEY_VARIABLE)
}

fn key_in(variable: &str) -> Option<SecretString> {
    std::env::var(variable).ok().filter(|key| !key.is_empty()).map(SecretString::from)
}

/// With what runs are encrypted. What is no key is never taken for none: a run must not be written in the clear for it.
fn encryption_key() -> Result<Option<Key>, WorkerError> {
    let Some(text) = std::env::var_os(ENCRYPTION_KEY_VARIABLE) else { return Ok(None) };
    let unfit =
        |error: NoKey| WorkerError::Permanent(format!("environment variable {ENCRYPTION_KEY_VARIABLE}: {error}"));
    text.to_str().unwrap_or_default().parse().map(Some).map_err(unfit)
}

async fn board(namespace: &str, name: &str) -> Result<ConfigMapBoard, WorkerError> {
    let kube = kube::Client::try_default().await;
    let kube = kube.map_err(|error| WorkerError::Again(format!("no way to Kubernetes: {}", chain(&error))))?;
    Ok(ConfigMapBoard::new(kube, namespace, name))
}

/// Set by a signal, and at the deadline: on a node that nobody reaches any more the worker must end by itself, because
/// what it began is removed some time after.
fn stopping(deadline_seconds: u64) -> Result<Stop, WorkerError> {
    let stop = Stop::default();
    stop_on_signal(stop.clone())?;
    let late = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(deadline_seconds)).await;
        warn!(deadline_seconds, "the deadline is over");
        late.set();
    });
    Ok(stop)
}
