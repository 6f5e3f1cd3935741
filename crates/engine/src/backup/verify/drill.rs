//! Reads a restored collection back and compares it with the run that it was restored from: a restore drill.
//!
//! The run is read once, with the same selection and transformations as the restore, and the collection once. Numbers and
//! sums of digests say of each tenant whether everything is there and nothing else; a sample says what is wrong; and
//! searches say whether the servers find what is nearest. At no time more is held than a part, a page and a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Fault;
use super::compare::{Metric, Nearest, Sampled, sampled};
use crate::backup::digest::Contents;
use crate::backup::living::{Broken, Group, LivingPart};
use crate::backup::manifest::{ByTenant, Index, Part, by_tenant};
use crate::backup::opened::Chain;
use crate::backup::part::open;
use crate::backup::patient::Patient;
use crate::backup::ports::{ObjectSource, Store, Target};
use crate::backup::restore::{Order, contents, is_chosen, transformed};
use crate::backup::transform::{Problem, Transformation, Unconverted};
use crate::backup::write::beside;
use crate::object::{Object, Vector};
use crate::ports::{Clock, PortError};
use crate::retry::{Stop, patiently};

/// Searches in the restored collection.
pub trait Searcher: Sync {
    /// The ids of the nearest objects to `to` by a vector of this name, the nearest first.
    fn nearest(
        &self,
        tenant: Option<&str>,
        vector: &str,
        to: &[f32],
        most: usize,
    ) -> impl Future<Output = Result<Vec<Uuid>, PortError>> + Send;
}

/// How closely it is looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Objects that are compared one by one, about.
    pub sample: u64,
    /// Searches, in one tenant.
    pub searches: usize,
    /// Of each search so many of the nearest.
    pub top: usize,
}

impl Default for Plan {
    /// A fault in one object of a hundred is found by the sample nearly for sure (1 - 0.99^1000); the sums find every one.
    fn default() -> Self {
        Self { sample: 1_000, searches: 20, top: 10 }
    }
}

/// Objects of the sample that are fetched at once.
const BATCH: usize = 100;

/// Tenants that are named, those with the largest difference first.
const NAMED: usize = 20;

/// A tenant, or the collection where there are none, that holds something else than it should.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unequal {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Objects that it should have.
    pub wanted: u64,
    /// Those that it has. As many: they are others.
    pub found: u64,
}

/// What a drill found.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadBack {
    /// Objects that should be there.
    pub wanted: u64,
    /// Objects that are there.
    pub found: u64,
    /// Tenants that hold something else than they should.
    pub unequal: usize,
    /// The worst of them.
    pub worst: Vec<Unequal>,
    /// Tenants at rest, of which nothing is known.
    pub unread: usize,
    /// What the sample showed.
    pub sampled: Sampled,
    /// Searches that were made.
    pub searches: usize,
    /// How much of the nearest they found, from 0 to 1, on average; 1 without a search.
    pub overlap: f64,
}

impl ReadBack {
    /// Whether everything that was read is what it should be. How much searches find is for the reader to judge: they are
    /// approximate, and a fresh index may still be at work.
    pub fn is_same(&self) -> bool {
        self.unequal == 0 && self.sampled.is_same()
    }
}

/// Why a drill found nothing out.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The run is not whole.
    #[error("the backup is damaged: {0}")]
    Damaged(Fault),
    /// The run has no such collection.
    #[error("the run has no collection {0}")]
    NoCollection(String),
    /// Selection and transformations do not fit it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Transform(Vec<Problem>),
    /// A value that cannot be converted.
    #[error(transparent)]
    Unconverted(#[from] Unconverted),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// It was asked to stop.
    #[error("stopped as asked")]
    Stopped,
}

/// What a drill is done with.
pub struct Drill<'a, S, T, O, N, C> {
    /// Where the run lies.
    pub store: &'a S,
    /// What was restored into.
    pub target: &'a T,
    /// The same, to be read.
    pub source: &'a O,
    /// The same, to be searched.
    pub searcher: &'a N,
    /// The time.
    pub clock: &'a C,
    /// Ends it early.
    pub stop: &'a Stop,
    /// What was restored.
    pub order: &'a Order,
    /// How closely it is looked.
    pub plan: Plan,
}

/// What the run has, as far as it was read.
#[derive(Default)]
struct Wanted {
    tenants: BTreeMap<Option<String>, Contents>,
    objects: u64,
    sampled: Sampled,
    /// The tenant that is searched.
    searched: Option<String>,
    searches: Vec<Nearest>,
}

/// What is read.
struct Run<'a> {
    chain: &'a Chain,
    roll: &'a ByTenant<'a>,
    transformation: &'a Arc<Transformation>,
}

impl<S: Store, T: Target, O: ObjectSource, N: Searcher, C: Clock> Drill<'_, S, T, O, N, C> {
    /// Compares the collection with the run.
    pub async fn read_back(&self) -> Result<ReadBack, DrillError> {
        let patience = (self.order.retry, self.clock, self.stop);
        let store = &Patient::new(self.store, patience);
        let chain = Chain::open(store, &self.order.run, self.order.key.as_ref()).await?.map_err(DrillError::Damaged)?;
        let name = &self.order.collection;
        let note = chain.own().manifest.collection(name).ok_or_else(|| DrillError::NoCollection(name.clone()))?;
        let indexes = chain.indexes(store, name).await?.map_err(DrillError::Damaged)?;
        let Some((_, own)) = indexes.first() else { return Err(DrillError::NoCollection(name.clone())) };
        let transformation = Transformation::of(&own.schema, &self.order.select, &self.order.transform);
        let transformation = transformation.map_err(DrillError::Transform)?;
        let transformation = Arc::new(transformation.into_collection(name, &self.order.into));

        let asleep = self.asleep(own.tenants.is_some()).await?;
        let mut wanted = Wanted::default();
        let takes = |tenant: &&str| self.order.select.takes_tenant(tenant);
        let tenants = own.tenants.iter().flatten().map(|tenant| tenant.name.as_str()).filter(takes);
        let tenants: Vec<Option<String>> =
            if own.tenants.is_some() { tenants.map(|name| Some(name.to_owned())).collect() } else { vec![None] };
        let (unread, read): (Vec<_>, Vec<_>) =
            tenants.into_iter().partition(|tenant| tenant.as_ref().is_some_and(|tenant| asleep.contains(tenant)));
        wanted.tenants.extend(read.into_iter().map(|tenant| (tenant, Contents::default())));
        let step = (note.contents.objects / self.plan.sample.max(1)).max(1);
        let roll = by_tenant(&own.roll);
        let run = Run { chain: &chain, roll: &roll, transformation: &transformation };
        let all = indexes.iter().flat_map(|(place, index)| index.parts.iter().map(move |part| (*place, index, part)));
        let parts: Vec<_> = all
            .filter(|(_, _, part)| is_chosen(&self.order.select, part) && wanted.tenants.contains_key(&part.tenant))
            .collect();
        let largest = parts.iter().max_by_key(|(_, _, part)| part.contents.objects).filter(|_| self.plan.searches > 0);
        if let Some((place, index, part)) = largest {
            let mut reading = self.open_part(&run, *place, index, part).await?;
            while let Some(objects) = self.next_group(&run, part, &mut reading).await? {
                wanted.searches = queries(&objects, transformation.class(), &self.plan);
                wanted.searched.clone_from(&part.tenant);
                if !wanted.searches.is_empty() {
                    break;
                }
            }
        }
        for (place, index, part) in parts {
            let mut reading = self.open_part(&run, place, index, part).await?;
            while let Some(objects) = self.next_group(&run, part, &mut reading).await? {
                self.look(&mut wanted, part.tenant.as_ref(), &objects, step).await?;
            }
        }
        self.judge(wanted, unread.len()).await
    }

    async fn open_part<'b>(
        &'b self,
        run: &Run<'b>,
        place: usize,
        index: &Index,
        part: &Part,
    ) -> Result<LivingPart<'b, S>, DrillError> {
        let opened = &run.chain.runs()[place];
        let bytes = self.call(async || opened.file(self.store, &part.file).await).await?;
        let bytes = bytes.map_err(DrillError::Damaged)?;
        let groups = open(bytes, opened.manifest.data, &Arc::new(index.columns.clone()));
        let groups = groups.map_err(|error| undecodable(part, &error))?;
        Ok(LivingPart::new(self.store, run.chain, run.roll, place, part, groups))
    }

    /// The next group of a part, as the restore wrote it.
    async fn next_group(
        &self,
        run: &Run<'_>,
        part: &Part,
        reading: &mut LivingPart<'_, S>,
    ) -> Result<Option<Vec<Object>>, DrillError> {
        if self.stop.is_set() {
            return Err(DrillError::Stopped);
        }
        let group = self.call(async || reading.next().await).await?.map_err(|broken| match broken {
            Broken::Fault(fault) => DrillError::Damaged(fault),
            Broken::Undecodable(error) => undecodable(part, &error),
        })?;
        let Some(Group { objects, .. }) = group else { return Ok(None) };
        let transformation = run.transformation.clone();
        let tenant = part.tenant.clone();
        let made = move || transformation.with_stack(|| transformed(&transformation, tenant.as_deref(), objects));
        let (objects, _) = beside(made).await??;
        Ok(Some(objects))
    }

    /// Tenants of the restored collection that cannot be read as they are.
    async fn asleep(&self, has_tenants: bool) -> Result<BTreeSet<String>, DrillError> {
        if !has_tenants {
            return Ok(BTreeSet::new());
        }
        let tenants = self.call(async || self.target.tenants().await).await?;
        Ok(tenants.into_iter().filter(|tenant| !tenant.is_awake()).map(|tenant| tenant.name).collect())
    }

    /// Counts objects of the run, and fetches those of the sample.
    async fn look(
        &self,
        wanted: &mut Wanted,
        tenant: Option<&String>,
        objects: &[Object],
        step: u64,
    ) -> Result<(), DrillError> {
        if wanted.searched.as_ref() == tenant {
            wanted.searches.iter_mut().for_each(|search| objects.iter().for_each(|object| search.look(object)));
        }
        let contents = wanted.tenants.entry(tenant.cloned()).or_default();
        let mut sample = Vec::new();
        for object in objects {
            contents.add(object);
            if wanted.objects.is_multiple_of(step) {
                sample.push(object);
            }
            wanted.objects += 1;
        }
        for batch in sample.chunks(BATCH) {
            let ids: Vec<Uuid> = batch.iter().map(|object| object.id).collect();
            let tenant = tenant.map(String::as_str);
            let found = self.call(async || self.target.fetch(tenant, &ids).await).await?;
            wanted.sampled.join(sampled(batch.iter().copied(), &found));
        }
        Ok(())
    }

    async fn judge(&self, wanted: Wanted, unread: usize) -> Result<ReadBack, DrillError> {
        let Wanted { tenants, objects, sampled, searched, searches } = wanted;
        // Of some thousand pages none may fail if they are tried as one.
        let source = Patient::new(self.source, (self.order.retry, self.clock, self.stop));
        let mut out = ReadBack { wanted: objects, unread, sampled, overlap: 1.0, ..ReadBack::default() };
        for (tenant, wanted) in tenants {
            if self.stop.is_set() {
                return Err(DrillError::Stopped);
            }
            let also = tenant.as_deref();
            let found = contents(&source, &self.order.into, also).await?;
            out.found += found.objects;
            if found != wanted {
                out.unequal += 1;
                out.worst.push(Unequal { tenant, wanted: wanted.objects, found: found.objects });
                out.worst.sort_by_key(|it| std::cmp::Reverse(it.wanted.abs_diff(it.found)));
                out.worst.truncate(NAMED);
            }
        }
        let mut share = 0.0;
        for search in &searches {
            let (vector, to) = search.query();
            let tenant = searched.as_deref();
            let found = self.call(async || self.searcher.nearest(tenant, vector, to, self.plan.top).await).await?;
            share += search.share(&self.call(async || self.target.fetch(tenant, &found).await).await?);
            out.searches += 1;
        }
        if out.searches > 0 {
            #[expect(clippy::cast_precision_loss, reason = "some dozens")]
            let searches = out.searches as f64;
            out.overlap = share / searches;
        }
        Ok(out)
    }

    async fn call<V>(&self, call: impl AsyncFnMut() -> Result<V, PortError>) -> Result<V, PortError> {
        patiently((self.order.retry, self.clock, self.stop), call).await
    }
}

fn undecodable(part: &Part, error: &dyn std::fmt::Display) -> DrillError {
    DrillError::Damaged(Fault::Undecodable { key: part.file.key.clone(), reason: error.to_string() })
}

/// Objects of a group, spread over it, ask for what is near them.
fn queries(objects: &[Object], class: &serde_json::Value, plan: &Plan) -> Vec<Nearest> {
    let step = (objects.len() / plan.searches.max(1)).max(1);
    let query = |object: &Object| {
        let mut vectors = object.vectors.iter();
        vectors.find_map(|(name, vector)| match (vector, Metric::of_class(class, name)) {
            (Vector::Single(numbers), Some(metric)) if !numbers.is_empty() => {
                Some(Nearest::new(name.clone(), numbers.clone(), metric, plan.top))
            }
            _ => None,
        })
    };
    objects.iter().step_by(step).filter_map(query).take(plan.searches).collect()
}
