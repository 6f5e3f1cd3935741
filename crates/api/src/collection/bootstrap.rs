//! A collection that begins with a backup.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backup::{BackupStore, Encryption};
use crate::restore::{AliasPolicy, BackupReference, PassedOverRuns};

/// The backup that a collection begins with: of a policy, or in a store; exactly one of the two.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.backupRef), has(self.store)].exists_one(there, there)")
    .message("exactly one of restoreFrom.backupRef and restoreFrom.store must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// A CollectionBackup in the same namespace: its store is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_ref: Option<BackupReference>,
    /// A store, whoever wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<BackupStore>,
    /// Id of the run, or `latest`: the newest good one when the restore begins.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-_0-9A-Za-z]+$"))]
    pub run: String,
    /// Name of the collection in the run; `spec.collection` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Z][_0-9A-Za-z]*$"))]
    pub collection: Option<String>,
    /// With what the run is encrypted. Left out: with what the policy of `backupRef` encrypts its runs now, or with nothing.
    /// Of a run that is not encrypted no key is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What becomes of the aliases that led to the collection when it was backed up. Left out: `Restore` where `collection`
    /// is left out or the same, else `Skip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aliases: Option<AliasPolicy>,
    /// How long the restore may take, e.g. `6h`; `24h` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,6}[mh]$"))]
    pub deadline: Option<String>,
}

/// What became of `restoreFrom`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapStatus {
    /// How far it is.
    pub phase: BootstrapPhase,
    /// The CollectionRestore that does the work; absent where none is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<String>,
    /// The run that is restored, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Newer runs that were passed over for it, where `run: latest` was asked for; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<PassedOverRuns>,
}

/// How far a bootstrap is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
pub enum BootstrapPhase {
    /// Nothing has begun.
    Pending,
    /// The CollectionRestore is there and not finished.
    Restoring,
    /// It needs a person.
    Stalled,
    /// The collection was restored. It is never done again.
    Done,
    /// The collection was there already: `restoreFrom` had nothing to do, and never will.
    Skipped,
}

impl BootstrapPhase {
    /// Whether nothing more will come of it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}
