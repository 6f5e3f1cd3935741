//! Holds the Lease, so that one operator at a time writes. The decisions are `elysia_core::lease`.

use std::time::Duration;

use elysia_api::names;
use elysia_core::lease::{self, LeaseView, Memory, Move};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio_util::sync::CancellationToken;

use crate::effects::chain;

/// One candidate.
pub struct Candidate {
    api: Api<Lease>,
    namespace: String,
    name: String,
    memory: Memory,
}

impl Candidate {
    /// A candidate under this name, which must be another one for each process: the pod's.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            memory: Memory::default(),
        }
    }

    /// Returns when this candidate leads, or when stopped: whether it leads.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            if self.round().await == Some(true) {
                tracing::info!(name = self.name, "leading");
                return true;
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause()) => {}
            }
        }
    }

    /// Renews until leadership is lost, or stopped. Whoever comes back from here must not write any more.
    pub async fn hold(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause()) => {}
            }
            if self.round().await == Some(false) {
                tracing::error!(name = self.name, "lost the lease");
                return;
            }
        }
    }

    /// Gives the lease back, so that another may lead at once and health knows that nobody does.
    pub async fn release(&mut self) {
        if self.memory.renewed.is_none() {
            return;
        }
        let Ok(Some(mut lease)) = self.api.get_opt(names::LEASE_NAME).await else {
            return;
        };
        if lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) != Some(self.name.as_str()) {
            return;
        }
        lease.spec.get_or_insert_default().holder_identity = None;
        if let Err(error) = self.api.replace(names::LEASE_NAME, &PostParams::default(), &lease).await {
            tracing::warn!(error = chain(&error), "failed to release the lease");
        }
        self.memory.renewed = None;
    }

    /// One look and the move that follows: `Some(true)` leads, `Some(false)` must stop, `None` nothing changed.
    async fn round(&mut self) -> Option<bool> {
        let bound = Duration::try_from(lease::RENEW_EVERY).unwrap_or_default();
        // A call that hangs must not outlast the lease.
        let read = tokio::time::timeout(bound, self.api.get_opt(names::LEASE_NAME)).await;
        let live = match read {
            Ok(Ok(live)) => Some(live),
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "failed to read the lease");
                None
            }
            Err(_) => {
                tracing::warn!("no answer about the lease in time");
                None
            }
        };
        let view = live.as_ref().map(|live| live.as_ref().map(view));
        let view = view.as_ref().map(Option::as_ref);
        match lease::next(&self.name, view, &mut self.memory, Timestamp::now()) {
            Move::Wait => None,
            Move::StepDown => Some(false),
            Move::Create => self.written(tokio::time::timeout(bound, self.create()).await),
            Move::Write => {
                let live = live.flatten().unwrap_or_default();
                self.written(tokio::time::timeout(bound, self.write(live)).await)
            }
        }
    }

    fn written(
        &mut self,
        outcome: Result<Result<Timestamp, kube::Error>, tokio::time::error::Elapsed>,
    ) -> Option<bool> {
        match outcome {
            Ok(Ok(renewed)) => {
                self.memory = Memory { seen: None, renewed: Some(renewed) };
                Some(true)
            }
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "failed to write the lease");
                None
            }
            Err(_) => {
                tracing::warn!("no answer to the lease's renewal in time");
                None
            }
        }
    }

    async fn create(&self) -> Result<Timestamp, kube::Error> {
        let now = Timestamp::now();
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(names::LEASE_NAME.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec(None, now)),
        };
        self.api.create(&PostParams::default(), &lease).await.map(|_| now)
    }

    /// Replaces what was read: the resourceVersion lets only one candidate win.
    async fn write(&self, mut live: Lease) -> Result<Timestamp, kube::Error> {
        let now = Timestamp::now();
        live.spec = Some(self.spec(live.spec.as_ref(), now));
        self.api.replace(names::LEASE_NAME, &PostParams::default(), &live).await.map(|_| now)
    }

    fn spec(&self, before: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
        let held = before.is_some_and(|before| before.holder_identity.as_deref() == Some(self.name.as_str()));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: i32::try_from(lease::DURATION.as_secs()).ok(),
            acquire_time: match before {
                Some(before) if held => before.acquire_time.clone(),
                _ => Some(MicroTime(now)),
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if held { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

fn pause() -> Duration {
    Duration::try_from(lease::RENEW_EVERY).unwrap_or(Duration::from_secs(4))
}

fn view(lease: &Lease) -> LeaseView {
    let spec = lease.spec.clone().unwrap_or_default();
    LeaseView {
        holder: spec.holder_identity.unwrap_or_default(),
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        duration: SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15))),
    }
}
