//! One tenant of a collection: read as it is, or woken for it and put back to rest.

use super::lane::Read;
use super::objects::{Base, sum};
use super::{Cold, Job, Reading, WriteError, woken};
use crate::backup::manifest::{RunMode, TenantNote};
use crate::backup::ports::{ObjectSource, Store, TenantState};
use crate::ports::Clock;

/// A tenant's note, and what was read of it.
type Noted = (TenantNote, Read);

impl<S: Store, O: ObjectSource, C: Clock> Job<'_, '_, S, O, C> {
    /// `tenant` is as the collection was described when its reading began. `None`: somebody removed it before it was read.
    pub(super) async fn tenant(
        &self,
        reading: &Reading<'_>,
        base: Option<&Base<'_>>,
        tenant: TenantState,
    ) -> Result<Option<Noted>, WriteError> {
        let order = self.writer.order;
        let is_full = order.mode == RunMode::Full;
        if is_full && tenant.is_awake() {
            return self.awake(reading, base, tenant).await.map(Some);
        }
        if is_full && tenant.is_cold() && order.cold == Cold::Wake {
            return self.resting(reading, base, tenant).await;
        }
        Ok(Some((TenantNote { name: tenant.name, activity: tenant.activity, contents: None }, Read::nothing())))
    }

    async fn awake(
        &self,
        reading: &Reading<'_>,
        base: Option<&Base<'_>>,
        tenant: TenantState,
    ) -> Result<Noted, WriteError> {
        let read = self.objects(reading, base, Some(&tenant.name)).await?;
        Ok(self.noted(tenant, read))
    }

    fn noted(&self, tenant: TenantState, read: Read) -> Noted {
        let contents = if self.base.is_some() { sum(&read.roll) } else { sum(&read.parts) };
        (TenantNote { name: tenant.name, activity: tenant.activity, contents: Some(contents) }, read)
    }

    /// One that was at rest when reading began, which may be hours ago: one that somebody has come to use since is theirs,
    /// and stays awake.
    async fn resting(
        &self,
        reading: &Reading<'_>,
        base: Option<&Base<'_>>,
        tenant: TenantState,
    ) -> Result<Option<Noted>, WriteError> {
        let (source, collection, name) = (self.writer.source, reading.name, tenant.name.as_str());
        let (store, order, clock) = (self.writer.store, self.writer.order, self.writer.clock);
        let waking = self.lanes.waking.lock().await;
        self.lanes.alive()?;
        let Some(now) = self.writer.call(async || source.tenant(collection, name).await).await? else {
            return Ok(None);
        };
        if now.is_awake() {
            drop(waking);
            return self.awake(reading, base, now).await.map(Some);
        }
        if !now.is_cold() {
            let first = vec![format!("{name} is {} by now", now.activity)];
            return Err(WriteError::Asleep { collection: collection.to_owned(), count: 1, first });
        }
        // Whoever comes after a worker that dies from here on knows that it was at rest.
        let run = order.run.as_str();
        self.writer.call(async || woken::note(store, &order.owner, run, (collection, name), clock.now()).await).await?;
        let read = match self.writer.call(async || source.set_awake(collection, name, true).await).await {
            Ok(()) => self.objects(reading, base, Some(name)).await,
            Err(error) => Err(error.into()),
        };
        // Also when waking or reading it failed.
        self.writer.call(async || source.rest(collection, name).await).await?;
        self.writer.call(async || woken::forget(store, run).await).await?;
        drop(waking);
        Ok(Some(self.noted(now, read?)))
    }
}
