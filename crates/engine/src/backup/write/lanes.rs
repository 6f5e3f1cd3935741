//! How many stretches are read at once, whatever they are of: collections, tenants and stretches share the lanes of a run.
//!
//! What is read at once is what takes memory, so it has one bound for the whole run. What was read is put together in the
//! order in which it was asked for: the same cluster gives the same index, whoever was faster.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt as _, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::base::LANES_BESIDE_PARTS;
use super::{Job, Reading, WriteError};
use crate::backup::manifest::CollectionNote;
use crate::backup::opened::Chain;
use crate::backup::ports::{Described, ObjectSource, Store};
use crate::ports::{Clock, PortError};
use crate::retry::{Stop, patiently};

/// Collections are written side by side where they have so many tenants together at most: what is known of each tenant is
/// kept until its collection is written, a kilobyte or so.
const FEW_TENANTS: usize = 10_000;

/// The lanes of a run.
pub(super) struct Lanes {
    most: usize,
    free: Semaphore,
    /// Held by whoever woke a tenant: a run wakes one at a time, so that its one note says which.
    pub(super) waking: tokio::sync::Mutex<()>,
    /// Set with that of the run, and by the first failure.
    stop: Stop,
    failure: Mutex<Option<WriteError>>,
}

impl Lanes {
    pub(super) fn new(lanes: usize, base: Option<&Chain>, stop: &Stop) -> Self {
        let reads_parts = base.is_some_and(|base| base.own().manifest.base.is_empty());
        let most = lanes.clamp(1, if reads_parts { LANES_BESIDE_PARTS } else { Semaphore::MAX_PERMITS });
        let (free, waking, failure) = (Semaphore::new(most), tokio::sync::Mutex::default(), Mutex::default());
        Self { most, free, waking, stop: stop.child(), failure }
    }

    /// How many there are.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Waits for a lane.
    pub(super) async fn take(&self) -> Result<SemaphorePermit<'_>, WriteError> {
        // Nobody closes it.
        self.free.acquire().await.map_err(|_| WriteError::Stopped)
    }

    /// All of these, some at once; `take` gets them in their order. After a failure nothing new begins, and what is under
    /// way comes to its end: whoever woke a tenant puts it back to rest. Why it failed says [`Lanes::reason`].
    pub(super) async fn all<T, F: Future<Output = Result<T, WriteError>>>(
        &self,
        units: impl Iterator<Item = F>,
        most: usize,
        mut take: impl FnMut(T),
    ) -> Result<(), WriteError> {
        let units = units.map(|unit| async move {
            self.alive()?;
            unit.await.map_err(|error| self.fail(error))
        });
        let mut units = stream::iter(units).buffered(most);
        let mut ended = Ok(());
        while let Some(done) = units.next().await {
            match done {
                Ok(done) => take(done),
                Err(error) => ended = Err(error),
            }
        }
        ended
    }

    pub(super) fn alive(&self) -> Result<(), WriteError> {
        if self.stop.is_set() { Err(WriteError::Stopped) } else { Ok(()) }
    }

    /// Notes the first failure, which ends the others.
    fn fail(&self, error: WriteError) -> WriteError {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        self.stop.set();
        WriteError::Stopped
    }

    /// What went wrong first.
    fn reason(&self, stopped: WriteError) -> WriteError {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(stopped)
    }
}

impl<S: Store, O: ObjectSource, C: Clock> Job<'_, '_, S, O, C> {
    /// All collections. What is known of one is in memory until it is written, so many large ones come one by one.
    pub(super) async fn collections(
        &self,
        described: Vec<(Reading<'_>, Described)>,
    ) -> Result<Vec<CollectionNote>, WriteError> {
        let tenants: usize =
            described.iter().filter_map(|(_, described)| described.tenants.as_ref()).map(Vec::len).sum();
        let most = if self.base.is_none() && tenants <= FEW_TENANTS { self.lanes.most } else { 1 };
        let units = described.into_iter().map(|(reading, described)| self.collection(reading, described));
        let mut notes = Vec::new();
        let done = self.lanes.all(units, most, |note| notes.push(note)).await;
        done.map_err(|stopped| self.lanes.reason(stopped))?;
        Ok(notes)
    }

    /// As many at once as there are lanes.
    pub(super) async fn side_by_side<T, F: Future<Output = Result<T, WriteError>>>(
        &self,
        units: impl Iterator<Item = F>,
        take: impl FnMut(T),
    ) -> Result<(), WriteError> {
        self.lanes.all(units, self.lanes.most, take).await
    }

    /// As [`super::Writer::call`], and no longer tried when something else has failed.
    pub(super) async fn call<T>(&self, call: impl AsyncFnMut() -> Result<T, PortError>) -> Result<T, PortError> {
        patiently((self.writer.order.retry, self.writer.clock, &self.lanes.stop), call).await
    }
}
