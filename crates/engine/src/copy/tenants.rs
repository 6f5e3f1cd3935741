//! Tenants of both sides: made and removed at the target, woken while they are dealt with, and put back to rest.

use std::collections::BTreeSet;

use super::pass::{Kit, Presence, Unit};
use super::ports::{Mirror, Side};
use super::state::{Holding, Kind};
use super::{Blocker, Copier, CopyError};
use crate::backup::ports::{Store, TenantState};
use crate::ports::Clock;

impl<R: Store, S: Side, T: Side, M: Mirror, C: Clock> Copier<'_, R, S, T, M, C> {
    /// Tenants that an attempt which was killed has left awake.
    pub(super) async fn put_to_rest(&self) -> Result<(), CopyError> {
        for tenant in self.progress.with(|state| state.woken.clone())? {
            self.rest(&tenant).await?;
        }
        Ok(())
    }

    /// Gives the target the tenants of the source; answers those that it has then.
    pub(super) async fn mirror_tenants(
        &self,
        kind: Kind,
        source: &[TenantState],
        mut target: Vec<TenantState>,
    ) -> Result<Vec<TenantState>, CopyError> {
        if kind == Kind::Compare {
            return Ok(target);
        }
        let names = |tenants: &[TenantState]| tenants.iter().map(|it| it.name.clone()).collect::<BTreeSet<_>>();
        let (wanted, there) = (names(source), names(&target));
        let vanished: Vec<String> = there.difference(&wanted).cloned().collect();
        if !vanished.is_empty() && self.progress.with(|state| state.holding)? == Holding::Own {
            if wanted.is_empty() {
                // More likely somebody's mistake than somebody's wish; and the copy may be all that is left.
                let collection = self.order.from.clone();
                return Err(CopyError::Blocked(vec![Blocker::NoTenants { collection }]));
            }
            self.are_the_same().await?;
            self.call(async || self.mirror.remove_tenants(&vanished).await).await?;
            target.retain(|tenant| wanted.contains(&tenant.name));
        }
        let missing: Vec<String> = wanted.difference(&there).cloned().collect();
        if !missing.is_empty() {
            self.call(async || self.mirror.create_tenants(&missing).await).await?;
            // Where they are is learned anew: they are read at every node.
            self.call(async || self.mirrored.describe(&self.order.into).await).await?;
            target.extend(missing.into_iter().map(|name| TenantState { name, activity: "HOT".to_owned() }));
        }
        Ok(target)
    }

    /// One unit, with its tenant awake on both sides. A tenant that somebody removes meanwhile is dealt with by the next
    /// pass; one that somebody puts to rest is woken.
    pub(super) async fn unit(&self, kit: &Kit, kind: Kind, unit: &Unit) -> Result<(), CopyError> {
        let slice = unit.slice;
        let is_done = self.progress.with(|state| {
            state.pass.as_mut().is_none_or(|pass| pass.position(unit.tenant.as_deref(), slice).is_done)
        })?;
        if is_done {
            // Killed before it was put to rest, perhaps.
            return match &unit.tenant {
                Some(tenant) => self.rest_target(unit, tenant).await,
                None => Ok(()),
            };
        }
        let Some(tenant) = &unit.tenant else { return self.stretch(kit, kind, unit).await };
        let error = match self.awake(kit, kind, unit, tenant).await {
            Ok(()) => return Ok(()),
            Err(error @ CopyError::Port(_)) => error,
            Err(error) => return Err(error),
        };
        let described = self.call(async || self.source.describe(&self.order.from).await).await?;
        let Some(tenants) = described.and_then(|described| described.tenants) else { return Err(error) };
        match tenants.iter().find(|found| found.name == *tenant) {
            None if unit.source.is_there() => self.finish(unit),
            Some(found) if found.is_cold() && unit.source == Presence::Awake => {
                let unit = Unit { source: Presence::AtRest, ..unit.clone() };
                self.awake(kit, kind, &unit, tenant).await
            }
            _ => Err(error),
        }
    }

    async fn awake(&self, kit: &Kit, kind: Kind, unit: &Unit, tenant: &str) -> Result<(), CopyError> {
        let wakes_source = unit.source == Presence::AtRest && self.still_rests(tenant).await?;
        if wakes_source {
            // Noted first: whoever comes after a kill puts it back to rest.
            self.progress.with(|state| state.woken.insert(tenant.to_owned()))?;
            self.save().await?;
            self.call(async || self.source.set_awake(&self.order.from, tenant, true).await).await?;
        }
        let done = self.both(kit, kind, unit, tenant).await;
        if wakes_source {
            // Also when it failed.
            self.rest(tenant).await?;
        }
        done
    }

    /// Whether a tenant that was at rest when this pass began is so still. One that somebody woke since is theirs, and stays
    /// awake; one that was offloaded since would be loaded back, and left in another place than they put it.
    async fn still_rests(&self, tenant: &str) -> Result<bool, CopyError> {
        match self.call(async || self.source.tenant(&self.order.from, tenant).await).await? {
            Some(found) if !found.is_awake() && !found.is_cold() => {
                let (collection, activity) = (self.order.from.clone(), found.activity);
                let blocker = Blocker::Offloaded { collection, count: 1, tenant: found.name, activity };
                Err(CopyError::Blocked(vec![blocker]))
            }
            Some(found) => Ok(found.is_cold()),
            // Removed: the call that reads it says so.
            None => Ok(false),
        }
    }

    async fn both(&self, kit: &Kit, kind: Kind, unit: &Unit, tenant: &str) -> Result<(), CopyError> {
        if unit.target == Presence::AtRest {
            self.call(async || self.mirrored.set_awake(&self.order.into, tenant, true).await).await?;
        }
        let done = self.stretch(kit, kind, unit).await;
        self.rest_target(unit, tenant).await?;
        done
    }

    /// As it is at the source, whatever it was.
    async fn rest_target(&self, unit: &Unit, tenant: &str) -> Result<(), CopyError> {
        let wanted = if unit.source.is_there() { unit.source } else { unit.target };
        if unit.target.is_there() && wanted == Presence::AtRest {
            let names = [tenant.to_owned()];
            self.call(async || self.mirror.rest_tenants(&names).await).await?;
        }
        Ok(())
    }

    /// Puts a tenant of the source back to rest, if it is still awake.
    async fn rest(&self, tenant: &str) -> Result<(), CopyError> {
        self.call(async || self.source.rest(&self.order.from, tenant).await).await?;
        self.progress.with(|state| state.woken.remove(tenant))?;
        Ok(())
    }
}
