//! What a look at a restore gives.

use elysia_api::backup::BackupStore;
use elysia_api::common::SecretKeyReference;
use elysia_api::condition::Reason;
use elysia_api::{CollectionBackup, CollectionRestore, names};
use elysia_core::cluster::ClusterSpec;
use elysia_core::collection::ClusterSight;
use elysia_core::restore::ledger::{RestoreLedger, Stage};
use elysia_core::restore::{Missing, Observed, RestoreSpec};
use elysia_core::sight::Sight;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, ListParams};
use kube::core::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::super::ReconcileError;
use super::super::backup::observe::{into, is_unfinished};
use super::super::collection::{cluster_of, exists, open};
use super::super::context::Context;
use super::super::feed::jobs;
use super::super::store_jobs::{self, Beside, Way};
use super::super::store_place;
use super::chosen::salts;

/// What was seen, and where a worker would read and write.
pub(super) struct Scene {
    pub(super) observed: Observed,
    pub(super) way: Way,
    /// The store that is read.
    pub(super) store: Option<BackupStore>,
    /// Where the key stands that the run is encrypted with.
    pub(super) key: Option<SecretKeyReference>,
}

/// One look.
pub(super) async fn observe(spec: &RestoreSpec, context: &Context, now: Timestamp) -> Result<Scene, ReconcileError> {
    let label = (names::RESTORE_LABEL, spec.name.as_str());
    let jobs = jobs::labelled(&spec.namespace, label, &spec.uid, context).await?;
    let others = at_work(&spec.namespace, context).await?;
    let name = names::restore_ledger(&spec.name);
    let Beside { ledger, keeps_notes, failed, intent: _ } =
        store_jobs::beside(&spec.namespace, &name, &spec.uid, context).await;
    let way = store_jobs::way(&spec.namespace, &spec.cluster, context);
    let (store, key, sight) = match resolve(spec, context) {
        Err(missing) => (None, None, Sight::Seen(Err(missing))),
        Ok((store, key)) => {
            let sight = store_place::store(&spec.namespace, &store, context).await;
            let missing = |message| Missing { reason: Reason::StoreMissing, message };
            let mut sight = sight.map(|found| found.map_err(missing));
            if sight == Sight::Seen(Ok(())) {
                sight = secrets(spec, key.as_ref(), context).await;
            }
            (Some(store), key, sight)
        }
    };
    let cluster_uid = Some(way.uid.clone()).filter(|uid| !uid.is_empty());
    let is_done =
        |ledger: &RestoreLedger| ledger.stage == Stage::Done && spec.is_told_by(ledger, cluster_uid.as_deref());
    let is_done = ledger.seen().and_then(Option::as_ref).is_some_and(is_done);
    let is_there = if is_done { is_there(spec, &way, context).await } else { None };
    let observed = Observed {
        cluster: way.cluster.clone(),
        cluster_uid,
        is_there,
        store: sight,
        ledger,
        keeps_notes,
        failed,
        jobs,
        rival: rival(spec, &others, context),
        backing_up: backing_up(spec, &others, context),
        now,
    };
    Ok(Scene { observed, way, store, key })
}

/// Whether the collection that was restored is there. A cluster that does not serve is not asked.
async fn is_there(spec: &RestoreSpec, way: &Way, context: &Context) -> Option<bool> {
    if way.cluster != ClusterSight::Fit {
        return None;
    }
    let cluster = cluster_of(&spec.namespace, &spec.cluster, context)?;
    let clients = open(&cluster, &ClusterSpec::validate(&cluster).ok()?, context).await.ok()?;
    exists(&clients.common, &spec.into).await.seen().copied()
}

/// Whether the Secrets are there that the work needs beside those of cluster and store.
async fn secrets(
    spec: &RestoreSpec,
    key: Option<&SecretKeyReference>,
    context: &Context,
) -> Sight<Result<(), Missing>> {
    let missing = |message| Missing { reason: Reason::SecretMissing, message };
    let mut sight = store_jobs::encryption_key(&spec.namespace, key, context).await;
    for (_, salt) in salts(spec) {
        if sight == Sight::Seen(Ok(())) {
            sight = store_jobs::has_text(&spec.namespace, &salt, context).await;
        }
    }
    sight.map(|found| found.map_err(missing))
}

/// The store that is named, or that of the policy that is named; and the key, likewise.
fn resolve(spec: &RestoreSpec, context: &Context) -> Result<(BackupStore, Option<SecretKeyReference>), Missing> {
    if let Some(store) = &spec.from.store {
        return Ok((store.clone(), spec.key.clone()));
    }
    let name = spec.from.backup_ref.as_ref().map(|reference| reference.name.as_str()).unwrap_or_default();
    let backup = context.stores.backups.get(&ObjectRef::<CollectionBackup>::new(name).within(&spec.namespace));
    let policys = |backup: &CollectionBackup| backup.spec.encryption.as_ref().map(|it| it.key_secret_ref.clone());
    let found = backup.map(|backup| (backup.spec.store.clone(), spec.key.clone().or_else(|| policys(&backup))));
    found.ok_or_else(|| Missing {
        reason: Reason::BackupMissing,
        message: format!(
            "CollectionBackup {name} does not exist in namespace {}; create it, or name its store in another CollectionRestore's from.store",
            spec.namespace
        ),
    })
}

/// Every Job of the namespace that may be at work.
async fn at_work(namespace: &str, context: &Context) -> Result<Vec<Job>, ReconcileError> {
    let api: Api<Job> = Api::namespaced(context.kube.clone(), namespace);
    let selected = ListParams::default().labels("app.kubernetes.io/name=elysia-backup");
    let found = api.list(&selected).await.map_err(ReconcileError::read("the Jobs of backups and restores"))?;
    Ok(found.items.into_iter().filter(jobs::is_at_work).collect())
}

fn label<'a>(job: &'a Job, label: &str) -> Option<&'a str> {
    job.labels().get(label).map(String::as_str)
}

/// A Job that backs this cluster up. That of a policy that is gone may be of any cluster.
fn backing_up(spec: &RestoreSpec, at_work: &[Job], context: &Context) -> Option<String> {
    let is_of_it = |policy: &str| {
        let reference = ObjectRef::<CollectionBackup>::new(policy).within(&spec.namespace);
        context.stores.backups.get(&reference).is_none_or(|policy| policy.spec.cluster_ref.name == spec.cluster)
    };
    let found = at_work.iter().find(|job| label(job, names::BACKUP_LABEL).is_some_and(is_of_it));
    found.map(kube::ResourceExt::name_any)
}

/// Another restore into the same collection that may still write: an older one, or any that has a Job at work. That of a
/// restore that is gone may be into any collection.
fn rival(spec: &RestoreSpec, at_work: &[Job], context: &Context) -> Option<String> {
    let has_job = |name: &str| at_work.iter().any(|job| label(job, names::RESTORE_LABEL) == Some(name));
    let age = |restore: &CollectionRestore| {
        (restore.metadata.creation_timestamp.clone().map(|time| time.0), restore.name_any())
    };
    let own = (Some(spec.created), spec.name.clone());
    let is_rival = |restore: &CollectionRestore| {
        restore.namespace().as_deref() == Some(&spec.namespace)
            && restore.spec.cluster_ref.name == spec.cluster
            && restore.uid().as_deref() != Some(&spec.uid)
            && into(restore) == spec.into
            && ((is_unfinished(restore) && age(restore) < own) || has_job(&restore.name_any()))
    };
    let restores = context.stores.restores.state();
    let mut rivals: Vec<_> = restores.iter().filter(|restore| is_rival(restore)).collect();
    rivals.sort_by_key(|restore| age(restore));
    let is_gone = |name: &&str| {
        let reference = ObjectRef::<CollectionRestore>::new(name).within(&spec.namespace);
        **name != spec.name && context.stores.restores.get(&reference).is_none()
    };
    let gone = || at_work.iter().filter_map(|job| label(job, names::RESTORE_LABEL)).find(is_gone);
    rivals.first().map(|restore| restore.name_any()).or_else(|| gone().map(str::to_owned))
}
