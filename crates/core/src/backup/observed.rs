//! What one look at a policy gives.

use std::collections::BTreeMap;

use elysia_api::backup::Engine;
use elysia_api::condition::Reason;
use jiff::Timestamp;

use super::ledger::BackupLedger;
use super::{BackupSpec, Intent, Task};
use crate::collection::ClusterSight;
use crate::feed::{FailedRun, JobState, JobView};
use crate::sight::Sight;

/// Everything that one look at a policy gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The cluster.
    pub cluster: ClusterSight,
    /// The cluster in which drills are done, where that is another one.
    pub drill_cluster: Option<ClusterSight>,
    /// Whether what the store needs is there, a volume or a Secret; `Seen(Err)` says what is missing.
    pub store: Sight<Result<(), String>>,
    /// Whether the key that runs are encrypted with is there and is one; where none is asked for, it is.
    pub key: Sight<Result<(), String>>,
    /// What keeps the servers from backing up themselves, as far as the cluster's spec says; asked of `engine: Native` alone.
    pub no_module: Option<String>,
    /// What the worker wrote; `Seen(None)` before the first run.
    pub ledger: Sight<Option<BackupLedger>>,
    /// Whether the ledger's object is there: notes stand on it.
    pub keeps_notes: bool,
    /// The work whose Job failed and whose worker did not say so itself, as it is noted there.
    pub failed: Option<FailedRun>,
    /// What the present work is meant for, as it stands there.
    pub intent: Option<Intent>,
    /// The Jobs of the policy.
    pub jobs: Vec<JobView>,
    /// Collections of the cluster into which a restore writes that is not finished, and which restore.
    pub restoring: BTreeMap<String, String>,
    /// The time of the look.
    pub now: Timestamp,
}

impl Observed {
    /// Whether it is known that the ledger's object is not there.
    pub(super) fn lacks_ledger(&self) -> bool {
        !self.keeps_notes && self.ledger.seen().is_some()
    }

    /// Collections that a run leaves out, and why.
    pub(super) fn left_out(&self, spec: &BackupSpec) -> BTreeMap<String, String> {
        let is_meant = |name: &String| spec.collections.is_empty() || spec.collections.contains(name);
        let why = |restore: &String| format!("CollectionRestore {restore} into it is not finished");
        self.restoring
            .iter()
            .filter(|(name, _)| is_meant(name))
            .map(|(name, restore)| (name.clone(), why(restore)))
            .collect()
    }

    /// What keeps work from starting: why, and whether a person has to do something about it.
    pub(super) fn obstacle(&self, spec: &BackupSpec, task: &Task) -> Option<(Reason, String, bool)> {
        if let Some(other) = self.jobs.iter().find(|job| job.state == JobState::Active) {
            let message = format!("Job {} of an earlier run is still at it; one run at a time", other.name);
            return Some((Reason::Running, message, false));
        }
        let drill = spec.drill.as_ref().filter(|_| *task == Task::Drill);
        let cluster = drill.map_or(&spec.cluster, |drill| &drill.cluster);
        match self.drill_cluster.as_ref().filter(|_| drill.is_some()).unwrap_or(&self.cluster) {
            ClusterSight::Missing => {
                let message = format!("WeaviateCluster {cluster} does not exist in this namespace; create it");
                return Some((Reason::ClusterMissing, message, true));
            }
            ClusterSight::Unfit(why) => {
                let message = format!(
                    "waiting for cluster {cluster}: {why}; see: kubectl elysia health {cluster} --namespace {}",
                    spec.namespace
                );
                return Some((Reason::ClusterNotReady, message, false));
            }
            ClusterSight::Fit => {}
        }
        match &self.store {
            Sight::Unseen(blindness) => return Some((Reason::Unknown, blindness.message.clone(), false)),
            Sight::Seen(Err(missing)) => return Some((Reason::StoreMissing, missing.clone(), true)),
            Sight::Seen(Ok(())) => {}
        }
        match &self.key {
            Sight::Unseen(blindness) => return Some((Reason::Unknown, blindness.message.clone(), false)),
            Sight::Seen(Err(missing)) => return Some((Reason::SecretMissing, missing.clone(), true)),
            Sight::Seen(Ok(())) => {}
        }
        if let (Engine::Native, Some(why)) = (spec.engine, &self.no_module) {
            return Some((Reason::StoreMissing, why.clone(), true));
        }
        match task {
            Task::Run { left_out }
                if !spec.collections.is_empty() && spec.collections.iter().all(|name| left_out.contains_key(name)) =>
            {
                let whys: Vec<String> = left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
                let message =
                    format!("there is nothing to back up meanwhile: {}; see: kubectl get crst", whys.join("; "));
                Some((Reason::RestoreUnfinished, message, false))
            }
            Task::Run { .. } | Task::Accept { .. } | Task::Drill => None,
        }
    }
}
