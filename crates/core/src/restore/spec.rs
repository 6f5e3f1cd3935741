//! A checked restore.

use elysia_api::common::SecretKeyReference;
use elysia_api::restore::{AliasPolicy, Conflict, RestoreFrom, Select, TransformStep};
use elysia_api::{CollectionRestore, Rules as _, names};
use jiff::{SignedDuration, Timestamp};
use kube::core::ResourceExt as _;

use super::ledger::{Guarded, RestoreLedger};
use crate::backup;
use crate::fingerprint;

/// Steps of a transformation: far more than properties that people change at once, and a Job has room for them.
const MOST_STEPS: usize = 50;

/// A checked restore and what else the object itself says.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreSpec {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Identity of the object.
    pub uid: String,
    /// Name of the WeaviateCluster.
    pub cluster: String,
    /// Which run.
    pub from: RestoreFrom,
    /// The collection in it.
    pub collection: String,
    /// The collection that it becomes.
    pub into: String,
    /// What becomes of objects whose ids are taken.
    pub conflict: Conflict,
    /// Replicas of a collection that has to be made.
    pub factor: Option<i32>,
    /// Shards of a collection that has to be made.
    pub shards: Option<i32>,
    /// What is taken of it; everything when absent.
    pub select: Option<Select>,
    /// What is made of it.
    pub transform: Vec<TransformStep>,
    /// Where the key stands that the run is encrypted with; that of the policy when absent.
    pub key: Option<SecretKeyReference>,
    /// Whether the collection must be there already.
    pub skip_schema: bool,
    /// What becomes of aliases, if that is said.
    pub aliases: Option<AliasPolicy>,
    /// How long the work may take.
    pub deadline: SignedDuration,
    /// When the object was made.
    pub created: Timestamp,
    /// Value of `elysia.dev/run-now`.
    pub run_now: Option<String>,
    /// Value of `elysia.dev/approve`.
    pub approve: Option<String>,
    /// Whether `elysia.dev/paused` is `"true"`.
    pub paused: bool,
}

/// Whether aliases of the backup are made. Where nothing is said: under another name nobody expects them to lead to what is
/// restored beside the collection, and a class that is somebody else's gets none.
pub fn makes_aliases(asked: Option<bool>, collection: &str, into: &str, skip_schema: bool) -> bool {
    asked.unwrap_or(collection == into && !skip_schema)
}

impl RestoreSpec {
    /// Checks the spec of an object; the error says which rule does not hold.
    pub fn validate(restore: &CollectionRestore) -> Result<Self, String> {
        restore.check_rules().map_err(|errors| errors.to_string())?;
        let spec = &restore.spec;
        if spec.transform.len() > MOST_STEPS {
            return Err(format!(
                "spec.transform: it has {} steps, and at most {MOST_STEPS} are done",
                spec.transform.len()
            ));
        }
        let annotation = |key: &str| restore.annotations().get(key).cloned();
        Ok(Self {
            namespace: restore.namespace().unwrap_or_default(),
            name: restore.name_any(),
            uid: restore.uid().unwrap_or_default(),
            cluster: spec.cluster_ref.name.clone(),
            from: spec.from.clone(),
            collection: spec.collection.clone(),
            into: spec.into.clone().unwrap_or_else(|| spec.collection.clone()),
            conflict: spec.conflict.unwrap_or_default(),
            factor: spec.replication_factor,
            shards: spec.shards,
            select: spec.select.clone(),
            transform: spec.transform.clone(),
            key: spec.encryption.as_ref().map(|encryption| encryption.key_secret_ref.clone()),
            skip_schema: spec.skip_schema.unwrap_or(false),
            aliases: spec.aliases,
            deadline: backup::deadline(spec.deadline.as_deref())?,
            created: restore.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            run_now: annotation(names::RUN_NOW_ANNOTATION),
            approve: annotation(names::APPROVE_ANNOTATION),
            paused: annotation(names::PAUSED_ANNOTATION).as_deref() == Some("true"),
        })
    }

    /// What the ledger calls it. No uid of the object: manifests that are applied again restore nothing twice. But what comes
    /// from elsewhere, is written otherwise, or goes to a cluster that was made anew is another restore, of which the ledger
    /// says nothing.
    pub fn known_as(&self, cluster_uid: &str) -> String {
        format!("{}-{}", self.wherever(), fingerprint::short(&cluster_uid))
    }

    /// The same, wherever it goes.
    fn wherever(&self) -> String {
        let RestoreFrom { backup_ref, store, run: _ } = &self.from;
        fingerprint::short(&(self.receipt(), backup_ref, store, &self.collection, self.conflict))
    }

    /// Whether a ledger speaks of this restore. Of a cluster that is not there nobody knows the uid: then that does not count.
    pub fn is_told_by(&self, ledger: &RestoreLedger, cluster_uid: Option<&str>) -> bool {
        let is_known = match cluster_uid {
            Some(uid) => ledger.receipt == self.known_as(uid),
            None => ledger.receipt.split_once('-').is_some_and(|(wherever, _)| wherever == self.wherever()),
        };
        // As ledgers were called before.
        is_known || ledger.receipt == self.receipt()
    }

    /// What a receipt beside the runs goes by. What takes or makes something else of the run is another restore.
    pub fn receipt(&self) -> String {
        let own = ("receipt", &self.namespace, &self.name, &self.cluster, &self.into, &self.from.run);
        let Self { select, transform, .. } = self;
        if select.is_none() && transform.is_empty() {
            return fingerprint::short(&own);
        }
        fingerprint::short(&(own, select, transform))
    }

    /// Id of its receipt in the store, which other clusters may read as well, with equal names in them: so the cluster's uid
    /// is in it.
    pub fn receipt_of(&self, cluster_uid: &str) -> String {
        fingerprint::short(&(self.receipt(), cluster_uid))
    }

    /// Where it goes, as the receipt says it, and as the owner of a prefix is called.
    pub fn target(&self, cluster_uid: &str) -> String {
        format!("{}/{} ({cluster_uid})", self.namespace, self.cluster)
    }

    /// Name of the Job of an order.
    pub fn job(&self, order: &str) -> String {
        format!("{}-{order}", self.name)
    }

    /// What the work is called; after an approval it is called otherwise.
    pub(super) fn order(&self, approved: Option<&str>) -> String {
        fingerprint::short(&("restore", &self.uid, &self.run_now, approved))
    }

    /// Covers what would be written over what, and when that was found. It is the same when it is found again.
    pub(super) fn hash(&self, guarded: &Guarded) -> String {
        let Guarded { run, tenant: _, protection: _, since } = guarded;
        let parts = (&self.uid, run, &self.collection, &self.cluster, &self.into);
        fingerprint::short(&("overwrite", parts, format!("{:?}", self.conflict), since.as_millisecond()))
    }
}
