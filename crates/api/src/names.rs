//! Names that users, charts and other tools build on. Changing one is a breaking change.

use kube::core::ResourceExt as _;

use crate::WeaviateCluster;

/// Approves the plan with this hash; consumed once, then inert.
pub const APPROVE_ANNOTATION: &str = "elysia.dev/approve";
/// Who approved: the admission policy demands that it is the asker.
pub const APPROVED_BY_ANNOTATION: &str = "elysia.dev/approved-by";
/// Empties the collection: `COUNT/REQUEST`, where COUNT is the number of objects that the asker saw and REQUEST any new
/// word. Dealt with once.
pub const CLEAR_ANNOTATION: &str = "elysia.dev/clear";
/// Calls off the approved plan with this hash, as long as nothing was deleted yet.
pub const ROLLBACK_ANNOTATION: &str = "elysia.dev/rollback";
/// Held by an ElysiaCollection whose `deletionPolicy` is `Delete`.
pub const COLLECTION_FINALIZER: &str = "elysia.dev/collection";
/// `"true"` lets the plug-in act on a protected collection; the asker also needs the verb `override-protection`.
pub const OVERRIDE_PROTECTION_ANNOTATION: &str = "elysia.dev/override-protection";
/// `"true"` stops every action on the object; its status goes on being observed.
pub const PAUSED_ANNOTATION: &str = "elysia.dev/paused";
/// Any new value starts one more run of a feed or a backup.
pub const RUN_NOW_ANNOTATION: &str = "elysia.dev/run-now";

/// Any new value has a feed with a schedule or a watch read everything again from the beginning.
pub const RESTART_ANNOTATION: &str = "elysia.dev/restart";
/// Any new value has a feed's rejected lines carried out again that can be. Dealt with once.
pub const REPLAY_ANNOTATION: &str = "elysia.dev/replay";
/// What a person has seen of a feed's faults, as the plug-in wrote it: `index errors` shows only what came since.
pub const ERRORS_SEEN_ANNOTATION: &str = "elysia.dev/errors-seen";
/// On a feed's ledger: the run whose Job failed before its worker wrote anything, and why.
pub const FAILED_ANNOTATION: &str = "elysia.dev/failed-run";
/// On a feed's ledger: the time for which its present run is meant. Written before the run's Job is made.
pub const INTENT_ANNOTATION: &str = "elysia.dev/intended-run";

/// The label that carries the cluster's name on everything made for it.
pub const CLUSTER_LABEL: &str = "elysia.dev/cluster";
/// The label that carries the feed's name on its Jobs and its ledger.
pub const FEED_LABEL: &str = "elysia.dev/index-source";
/// The label on the Job of a feed that watches: it ends when it is ended.
pub const WATCH_LABEL: &str = "elysia.dev/watch";
/// The label that carries the backup policy's name on its Jobs and its ledger.
pub const BACKUP_LABEL: &str = "elysia.dev/collection-backup";
/// The label that carries the restore's name on its Jobs and its ledger.
pub const RESTORE_LABEL: &str = "elysia.dev/collection-restore";
/// The label that carries the collection object's name on its journal.
pub const COLLECTION_LABEL: &str = "elysia.dev/collection";

/// The label that carries the collection object's name on the Jobs and the ledger of a migration.
pub const MIGRATION_LABEL: &str = "elysia.dev/collection-migration";

/// Collection in which the operator writes and reads probe objects; protected like every `ELYSIACTL_*`.
pub const PROBE_COLLECTION: &str = "ELYSIACTL_PROBE";

/// Port of the servers' cluster data API in managed pods. It has no authentication.
pub const DATA_PORT: i32 = 7001;

/// Field manager of everything the operator applies.
pub const OPERATOR_MANAGER: &str = "elysia-operator";
/// Field manager of the plug-in.
pub const PLUGIN_MANAGER: &str = "elysia-plugin";

/// Name of the Lease that the leading operator holds, in the operator's own namespace.
pub const LEASE_NAME: &str = "elysia-operator";

/// Key of the API key in the Secret [`auth_secret`].
pub const API_KEY: &str = "apiKey";

/// Key of the access key's id in the Secret of an object store.
pub const S3_ACCESS_KEY_ID: &str = "accessKeyId";
/// Key of the secret access key there.
pub const S3_SECRET_ACCESS_KEY: &str = "secretAccessKey";
/// Key of the session token there, of temporary credentials.
pub const S3_SESSION_TOKEN: &str = "sessionToken";
/// Key of the key file of a service account of Google in the Secret of a store.
pub const GCS_SERVICE_ACCOUNT_KEY: &str = "serviceAccountKey";
/// Key of a key of a storage account of Azure in the Secret of a store.
pub const AZURE_ACCOUNT_KEY: &str = "accountKey";
/// Key of a shared access signature there.
pub const AZURE_SAS_TOKEN: &str = "sasToken";

/// Port of the REST API on every Weaviate pod and Service.
pub const REST_PORT: i32 = 8080;
/// Port of the gRPC API on every Weaviate pod and Service.
pub const GRPC_PORT: i32 = 50051;

/// Secret with the API key of a managed cluster.
pub fn auth_secret(cluster: &str) -> String {
    format!("{cluster}-auth")
}

/// Headless Service that gives every node its own address.
pub fn nodes_service(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

/// `ConfigMap` with the settings that the servers read while running.
pub fn runtime_config(cluster: &str) -> String {
    format!("{cluster}-runtime")
}

/// Deployment and Service of the Elysia AI service beside a cluster.
pub fn elysia(cluster: &str) -> String {
    format!("{cluster}-elysia")
}

/// `ConfigMap` in which a feed's worker keeps what was counted and how far it came.
pub fn ledger(index_source: &str) -> String {
    format!("{index_source}-ledger")
}

/// The ledger of one of several partitions of a feed, by its index.
pub fn partition_ledger(index_source: &str, index: u32) -> String {
    format!("{}-{index}", ledger(index_source))
}

/// Account under which a feed's worker runs; it may write its own ledger and nothing else.
pub fn worker_account(index_source: &str) -> String {
    format!("{index_source}-index")
}

/// `ConfigMap` in which a backup's worker says how its runs stand.
pub fn backup_ledger(backup: &str) -> String {
    format!("{backup}-backups")
}

/// Account under which a backup's worker runs; it may write that ledger and nothing else.
pub fn backup_account(backup: &str) -> String {
    format!("{backup}-backup")
}

/// `ConfigMap` in which a restore's worker says how it stands. It has no owner: what was done once outlives the object
/// that asked for it.
pub fn restore_ledger(restore: &str) -> String {
    format!("{restore}-restored")
}

/// Account under which a restore's worker runs; it may write that ledger and nothing else.
pub fn restore_account(restore: &str) -> String {
    format!("{restore}-restore")
}

/// `ConfigMap` in which an approved plan is written down before its first destructive step.
///
/// The uid is part of the name, so that an object made again under the same name does not resume a stranger's plan.
pub fn journal(collection: &str, uid: &str) -> String {
    let uid = uid.get(..8).unwrap_or(uid);
    format!("{collection}-journal-{uid}")
}

/// `ConfigMap` in which an approved plan that takes replicas away is written down. Not the same as [`journal`]: the two
/// kinds of plan do not wait for each other.
pub fn repair_journal(collection: &str, uid: &str) -> String {
    let uid = uid.get(..8).unwrap_or(uid);
    format!("{collection}-repair-{uid}")
}

/// `ConfigMap` in which the migration of a collection is written down, from its beginning on.
pub fn migration_journal(collection: &str, uid: &str) -> String {
    let uid = uid.get(..8).unwrap_or(uid);
    format!("{collection}-migration-{uid}")
}

/// `ConfigMap` in which the worker of a migration says how far it is.
pub fn copy_ledger(collection: &str) -> String {
    format!("{collection}-copied")
}

/// Account under which the worker of a migration runs; it may write that ledger and nothing else.
pub fn copy_account(collection: &str) -> String {
    format!("{collection}-copy")
}

/// The class of a collection in this generation: `COLLECTION` itself, then `COLLECTION_2`, `COLLECTION_3` and so on.
pub fn generation(collection: &str, number: u32) -> String {
    if number <= 1 { collection.to_owned() } else { format!("{collection}_{number}") }
}

/// Which generation of a collection a class is by its name; `None` when it is none of them.
pub fn generation_of(collection: &str, class: &str) -> Option<u32> {
    let rest = class.strip_prefix(collection)?;
    if rest.is_empty() {
        return Some(1);
    }
    let digits = rest.strip_prefix('_')?;
    let number: u32 = digits.parse().ok()?;
    // As it is written here and in no other way: `_02` is a stranger's.
    (number > 1 && digits == number.to_string()).then_some(number)
}

/// Name of the pod, and so of the Weaviate node, with this ordinal.
pub fn node(cluster: &str, ordinal: i32) -> String {
    format!("{cluster}-{ordinal}")
}

/// The API key's Secret and key of this cluster; `None` when it is asked without a key.
pub fn api_key_secret(cluster: &WeaviateCluster) -> Option<(String, String)> {
    if let Some(external) = &cluster.spec.external {
        let reference = &external.auth.as_ref()?.api_key_secret_ref;
        return Some((reference.name.clone(), reference.key.clone()));
    }
    let managed = cluster.spec.managed.as_ref()?;
    if managed.auth.anonymous {
        return None;
    }
    match &managed.auth.api_key_secret_ref {
        Some(reference) => Some((reference.name.clone(), reference.key.clone())),
        None => Some((auth_secret(&cluster.name_any()), API_KEY.to_owned())),
    }
}

/// Key under which a journal stands in its `ConfigMap`.
pub const JOURNAL_KEY: &str = "journal.json";

#[cfg(test)]
mod tests {
    use super::{generation, generation_of};

    #[test]
    fn generations_are_known_by_their_names() {
        for (class, number) in [
            ("Articles", Some(1)),
            ("Articles_2", Some(2)),
            ("Articles_13", Some(13)),
            ("Articles_1", None),
            ("Articles_0", None),
            ("Articles_02", None),
            ("Articles_", None),
            ("Articles_x", None),
            ("Articles_+2", None),
            ("Articles2", None),
            ("Other", None),
            ("Articles_99999999999", None),
        ] {
            assert_eq!(generation_of("Articles", class), number, "{class}");
            if let Some(number) = number {
                assert_eq!(generation("Articles", number), class);
            }
        }
    }
}
