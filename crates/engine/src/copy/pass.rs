//! One pass over the source: begun, carried out stretch by stretch, and closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::ports::{Mirror, Side};
use super::state::{Comparison, Kind, Pass, Tally};
use super::{Blocker, Copier, CopyError};
use crate::backup::ports::{Store, TenantState};
use crate::backup::references::References;
use crate::backup::transform::Transformation;
use crate::backup::write::MOST_SLICES;
use crate::ports::Clock;
use crate::vectorizers::computed_vectors;

/// What objects are turned into, and compared by.
pub(super) struct Kit {
    pub(super) transformation: Arc<Transformation>,
    /// Vectors that the target's servers compute where an object does not bring them.
    pub(super) computed: Arc<BTreeSet<String>>,
    /// Properties of the target that are references.
    pub(super) references: References,
}

impl Kit {
    pub(super) fn new(transformation: Transformation, mirror: &Value) -> Self {
        let computed = computed_vectors(mirror).into_keys().collect();
        let references = References::of_class(mirror);
        Self { transformation: Arc::new(transformation), computed: Arc::new(computed), references }
    }
}

/// What is dealt with at once: a tenant, or a stretch of a collection that has none.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) tenant: Option<String>,
    pub(super) slice: usize,
    pub(super) slices: usize,
    /// How the tenant is at the source.
    pub(super) source: Presence,
    /// How it is at the target.
    pub(super) target: Presence,
}

/// How a tenant is on one side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presence {
    /// There is none of that name.
    Absent,
    /// It is active; or there are no tenants.
    Awake,
    /// It has to be woken.
    AtRest,
}

impl Presence {
    fn of(tenant: &TenantState) -> Self {
        if tenant.is_awake() { Self::Awake } else { Self::AtRest }
    }

    pub(super) fn is_there(self) -> bool {
        self != Self::Absent
    }
}

impl<R: Store, S: Side, T: Side, M: Mirror, C: Clock> Copier<'_, R, S, T, M, C> {
    pub(super) async fn pass(&self, kit: &Kit, kind: Kind) -> Result<(), CopyError> {
        self.alive()?;
        self.are_the_same().await?;
        let order = self.order;
        // Before anything is listed: what was confirmed until then is seen.
        let now = self.clock.now();
        let source = self.call(async || self.source.describe(&order.from).await).await?.ok_or_else(|| {
            let (collection, cluster) = (order.from.clone(), order.source.clone());
            CopyError::Blocked(vec![Blocker::NoSource { collection, cluster }])
        })?;
        let target = self.call(async || self.mirrored.describe(&order.into).await).await?;
        let target = target.ok_or_else(|| CopyError::Blocked(vec![Blocker::Gone { into: order.into.clone() }]))?;
        if self.progress.with(|state| state.pass.is_none())? {
            let total = self.call(async || self.source.count(&order.from).await).await?.unwrap_or_default();
            let slices = if source.tenants.is_some() {
                1
            } else {
                self.call(async || self.source.slices(&order.from, None).await).await?.clamp(1, MOST_SLICES)
            };
            self.progress.with(|state| {
                state.pass = Some(Pass {
                    kind,
                    began_at: now,
                    total,
                    slices,
                    passed: None,
                    at: Vec::new(),
                    tally: Tally::default(),
                    differing: Vec::new(),
                });
                if kind != Kind::Compare {
                    state.passes += 1;
                    state.order_passes += 1;
                }
            })?;
            self.save().await?;
        }
        let units = match source.tenants {
            None => {
                let slices = self.progress.with(|state| state.pass.as_ref().map_or(1, |pass| pass.slices))?;
                (0..slices).map(|slice| Unit::of_slice(slice, slices)).collect()
            }
            Some(tenants) => {
                let there = self.mirror_tenants(kind, &tenants, target.tenants.unwrap_or_default()).await?;
                let passed = self.progress.with(|state| state.pass.as_ref().and_then(|pass| pass.passed.clone()))?;
                let mut units = of_tenants(&tenants, &there);
                units.retain(|unit| passed.is_none() || unit.tenant > passed);
                units
            }
        };
        let done = stream::iter(units).map(|unit| async move {
            self.unit(kit, kind, &unit).await?;
            Ok::<_, CopyError>(unit)
        });
        let mut done = std::pin::pin!(done.buffered(order.lanes.max(1)));
        while let Some(unit) = done.try_next().await? {
            if let Some(tenant) = &unit.tenant {
                self.progress.with(|state| {
                    if let Some(pass) = &mut state.pass {
                        pass.pass(tenant);
                    }
                })?;
            }
        }
        self.close().await
    }

    async fn close(&self) -> Result<(), CopyError> {
        self.progress.with(|state| {
            let Some(pass) = state.pass.take() else { return };
            let Tally { read, written, removed, left, source, target, differing } = pass.all();
            match pass.kind {
                Kind::First => state.left_out = Some(read.saturating_sub(written)),
                Kind::Contents | Kind::Compare => state.left_out = Some(read.saturating_sub(source)),
                // Only what was changed was read, and nothing is left out by a transformation that allows such a pass.
                Kind::Stamps => {}
            }
            if pass.kind == Kind::Compare {
                let (at, tenants) = (pass.began_at, pass.differing);
                state.compared = Some(Comparison { source, target, differing, at, tenants });
                state.order_comparisons += 1;
                return;
            }
            state.written += written;
            state.removed += removed;
            state.left = left;
            state.behind = Some(written + removed);
            state.caught_up_to = Some(pass.began_at);
            state.compared = None;
        })?;
        self.save().await
    }
}

impl Unit {
    fn of_slice(slice: usize, slices: usize) -> Self {
        Self { tenant: None, slice, slices, source: Presence::Awake, target: Presence::Awake }
    }
}

/// Every tenant that either side has, by name.
fn of_tenants(source: &[TenantState], target: &[TenantState]) -> Vec<Unit> {
    let mut units: BTreeMap<&str, Unit> = BTreeMap::new();
    let blank = |tenant: &TenantState| Unit {
        tenant: Some(tenant.name.clone()),
        source: Presence::Absent,
        target: Presence::Absent,
        ..Unit::of_slice(0, 1)
    };
    for tenant in source {
        units.entry(&tenant.name).or_insert_with(|| blank(tenant)).source = Presence::of(tenant);
    }
    for tenant in target {
        units.entry(&tenant.name).or_insert_with(|| blank(tenant)).target = Presence::of(tenant);
    }
    units.into_values().collect()
}
