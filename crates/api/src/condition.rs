//! Types and reasons of conditions. Both are closed sets: alerts, GitOps health checks and people build on them.

use std::fmt;

/// Type of a condition.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ConditionType {
    /// As declared.
    Ready,
    /// Serves.
    Available,
    /// Work is under way. Present only while True.
    Reconciling,
    /// Nothing will move without a person. Present only while True.
    Stalled,
    /// Every setting of the collection is as declared.
    SchemaInSync,
    /// Every shard has the declared number of replicas and they were proved.
    ReplicasInSync,
    /// Sampled objects were the same at every replica; of a cluster: a written object came back from every node.
    /// Present only when `verify.data`, or `elysia.dev/run-now`, asks for it.
    DataVerified,
    /// All members of the cluster see each other and agree on one leader.
    ClusterVerified,
    /// Every line of the present content was dealt with.
    CaughtUp,
    /// A run is under way. Present only while True.
    Running,
    /// The feed's sink accepts work.
    CircuitClosed,
    /// The last run of a backup was read back, and nothing was wrong with it.
    Verified,
}

impl ConditionType {
    /// The name as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::SchemaInSync => "SchemaInSync",
            Self::ReplicasInSync => "ReplicasInSync",
            Self::DataVerified => "DataVerified",
            Self::ClusterVerified => "ClusterVerified",
            Self::CaughtUp => "CaughtUp",
            Self::Running => "Running",
            Self::CircuitClosed => "CircuitClosed",
            Self::Verified => "Verified",
        }
    }

    /// Whether the condition is left out instead of being False, as kstatus expects of abnormal ones.
    pub fn present_only_while_true(self) -> bool {
        matches!(self, Self::Reconciling | Self::Stalled | Self::Running)
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a condition has its value. One enum for all kinds, so that a reason means one thing everywhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// Everything is as declared.
    AsDeclared,
    /// The object carries `elysia.dev/paused: "true"`.
    Paused,
    /// The spec cannot be honoured; the message says which field and why.
    InvalidSpec,
    /// A plan waits for `elysia.dev/approve`.
    NeedsApproval,
    /// Nodes have not all come up yet.
    Starting,
    /// At least one node is missing or does not answer.
    NodesMissing,
    /// No address of the cluster answered.
    Unreachable,
    /// The servers refused the key.
    Unauthorized,
    /// No RAFT leader, or the nodes name different ones.
    NoLeader,
    /// The nodes do not all see the same members.
    MembersDiffer,
    /// Pods run an older template than declared; they are restarted by a person.
    RestartRequired,
    /// A Secret that the spec names is not there or lacks the key.
    SecretMissing,
    /// The WeaviateCluster that the spec names does not exist.
    ClusterMissing,
    /// The cluster is there but not fit for what is to be done.
    ClusterNotReady,
    /// Another, older resource claims the same collection.
    Conflict,
    /// The collection's name is protected.
    Protected,
    /// The collection is being created.
    Creating,
    /// Shards have fewer replicas than wanted and copies run or wait to run.
    ReplicasBehind,
    /// Copies are under way.
    Copying,
    /// Replicas are being compared at each node's own address.
    Proving,
    /// Replicas list different objects.
    ReplicasDiffer,
    /// The server cannot copy replicas, or its replica movement is switched off.
    CopyUnsupported,
    /// The server copies, but refuses to raise the factor of an existing class.
    FactorFixed,
    /// Copies are needed and `repair.copy` is `Off`.
    CopyOff,
    /// More replicas than wanted; removing them is destructive and not done here.
    TooManyReplicas,
    /// A copy ended in failure; the message carries the server's words.
    CopyFailed,
    /// Live settings differ from the declared ones.
    SchemaDrift,
    /// An immutable setting differs and the collection holds objects.
    RefusedHasData,
    /// An immutable setting differs and it could not be proved that the collection is empty.
    RefusedNotProvablyEmpty,
    /// An immutable setting differs and `repair.recreate` is `Off`.
    RecreateOff,
    /// The collection is being deleted and created again by an approved plan.
    Recreating,
    /// The node that is to get a replica has no room on its disk; or the volume of a backup's store has none for the next run,
    /// of which nothing was written, and it is tried again.
    NoRoom,
    /// No living node holds the shard: there is nothing to copy from.
    SourceLost,
    /// A node that holds replicas is no longer part of the cluster.
    NodeGone,
    /// A copy does not get on; the message says what holds it.
    CopyStuck,
    /// Replicas that are not wanted are being removed by an approved plan.
    Removing,
    /// Replicas that lack objects are being made again from others, by an approved plan.
    Rebuilding,
    /// Tenants that are offloaded cannot be copied or looked at.
    TenantsUnavailable,
    /// The collection is being emptied on request.
    Clearing,
    /// The collection was not emptied as `elysia.dev/clear` asked; the message says why.
    ClearRefused,
    /// The journal of a plan speaks of other servers than the object leads to.
    JournalElsewhere,
    /// The collection is being migrated into a new class; the alias is switched at the end.
    Migrating,
    /// A migration cannot begin or go on; the message says what is in its way.
    MigrationBlocked,
    /// The collection is being deleted with its object.
    Deleting,
    /// The object is gone, and the collection stays although `deletionPolicy` is `Delete`; the message says why.
    DeletionRefused,
    /// Sampled objects are the same at every replica.
    Verified,
    /// Sampled objects are missing or different at some replica.
    ObjectsDiffer,
    /// The observation could not be made; nothing is known and nothing is done.
    Unknown,
    /// The collection that a feed writes to does not exist.
    CollectionMissing,
    /// What the source names does not exist.
    SourceMissing,
    /// The source holds no lines.
    NoChanges,
    /// Fewer lines are new than `minChanges` asks for.
    TooFewChanges,
    /// A run is under way.
    Running,
    /// A run is due at its time.
    Scheduled,
    /// A worker looks for what is new.
    Watching,
    /// The last run dealt with every line.
    Complete,
    /// The last run dealt with every line; some of them were rejected.
    CompleteWithRejects,
    /// The last run failed; the message carries the cause.
    RunFailed,
    /// One call after the other failed: a worker leaves the collection alone for a while, then tries again.
    CircuitOpen,
    /// The worker's calls succeed.
    CircuitClosed,
    /// The volume or the Secret of a backup's store is not there.
    StoreMissing,
    /// The place where a backup writes belongs to another policy or another cluster.
    NotOwner,
    /// The last run of a backup lacks what the run before it had; nothing is retired until that is approved.
    Suspect,
    /// The last run of a backup was not read back.
    NotVerified,
    /// The last run of a backup is not what was written.
    VerificationFailed,
    /// What a restore drill restored is not what was backed up, or the run could not be restored.
    DrillFailed,
    /// The last restore drill could not be done, which says nothing about the run.
    DrillUnfinished,
    /// There is no run of the backup yet.
    NoRun,
    /// A collection is left alone because a restore into it is not finished.
    RestoreUnfinished,
    /// The CollectionBackup that a restore names does not exist.
    BackupMissing,
    /// A restore cannot begin; nothing was written, and the message names every blocker.
    Blocked,
    /// The restore is done.
    Restored,
    /// The restore was done once, and its collection does not exist any more.
    CollectionGone,
    /// The collection is being made from a backup, as `restoreFrom` says.
    Restoring,
    /// The restore by which the collection is to be made needs a person.
    RestoreStalled,
}

impl Reason {
    /// The name as it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsDeclared => "AsDeclared",
            Self::Paused => "Paused",
            Self::InvalidSpec => "InvalidSpec",
            Self::NeedsApproval => "NeedsApproval",
            Self::Starting => "Starting",
            Self::NodesMissing => "NodesMissing",
            Self::Unreachable => "Unreachable",
            Self::Unauthorized => "Unauthorized",
            Self::NoLeader => "NoLeader",
            Self::MembersDiffer => "MembersDiffer",
            Self::RestartRequired => "RestartRequired",
            Self::SecretMissing => "SecretMissing",
            Self::ClusterMissing => "ClusterMissing",
            Self::ClusterNotReady => "ClusterNotReady",
            Self::Conflict => "Conflict",
            Self::Protected => "Protected",
            Self::Creating => "Creating",
            Self::ReplicasBehind => "ReplicasBehind",
            Self::Copying => "Copying",
            Self::Proving => "Proving",
            Self::ReplicasDiffer => "ReplicasDiffer",
            Self::CopyUnsupported => "CopyUnsupported",
            Self::FactorFixed => "FactorFixed",
            Self::CopyOff => "CopyOff",
            Self::TooManyReplicas => "TooManyReplicas",
            Self::CopyFailed => "CopyFailed",
            Self::SchemaDrift => "SchemaDrift",
            Self::RefusedHasData => "RefusedHasData",
            Self::RefusedNotProvablyEmpty => "RefusedNotProvablyEmpty",
            Self::RecreateOff => "RecreateOff",
            Self::Recreating => "Recreating",
            Self::NoRoom => "NoRoom",
            Self::SourceLost => "SourceLost",
            Self::NodeGone => "NodeGone",
            Self::CopyStuck => "CopyStuck",
            Self::Removing => "Removing",
            Self::Rebuilding => "Rebuilding",
            Self::TenantsUnavailable => "TenantsUnavailable",
            Self::Clearing => "Clearing",
            Self::ClearRefused => "ClearRefused",
            Self::JournalElsewhere => "JournalElsewhere",
            Self::Migrating => "Migrating",
            Self::MigrationBlocked => "MigrationBlocked",
            Self::Deleting => "Deleting",
            Self::DeletionRefused => "DeletionRefused",
            Self::Verified => "Verified",
            Self::ObjectsDiffer => "ObjectsDiffer",
            Self::Unknown => "Unknown",
            Self::CollectionMissing => "CollectionMissing",
            Self::SourceMissing => "SourceMissing",
            Self::NoChanges => "NoChanges",
            Self::TooFewChanges => "TooFewChanges",
            Self::Running => "Running",
            Self::Scheduled => "Scheduled",
            Self::Watching => "Watching",
            Self::Complete => "Complete",
            Self::CompleteWithRejects => "CompleteWithRejects",
            Self::RunFailed => "RunFailed",
            Self::CircuitOpen => "CircuitOpen",
            Self::CircuitClosed => "CircuitClosed",
            Self::StoreMissing => "StoreMissing",
            Self::NotOwner => "NotOwner",
            Self::Suspect => "Suspect",
            Self::NotVerified => "NotVerified",
            Self::VerificationFailed => "VerificationFailed",
            Self::DrillFailed => "DrillFailed",
            Self::DrillUnfinished => "DrillUnfinished",
            Self::NoRun => "NoRun",
            Self::RestoreUnfinished => "RestoreUnfinished",
            Self::BackupMissing => "BackupMissing",
            Self::Blocked => "Blocked",
            Self::Restored => "Restored",
            Self::CollectionGone => "CollectionGone",
            Self::Restoring => "Restoring",
            Self::RestoreStalled => "RestoreStalled",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
