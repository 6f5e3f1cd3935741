//! The Job of a restore. No client here: what goes in decides what comes out.

use elysia_api::backup::BackupStore;
use elysia_api::common::SecretKeyReference;
use elysia_api::names;
use elysia_api::restore::Conflict;
use elysia_core::restore::{Approval, RestoreSpec};
use elysia_engine::backup::restore::Conflict as EngineConflict;

use super::super::context::Context;
use super::super::feed::observe::Target;
use super::super::store_jobs::{self, Doing, Objects, Way};
use super::super::store_place;
use super::chosen;
use crate::worker::ENCRYPTION_KEY_VARIABLE;
use crate::worker::backup::RESTORE_WORK_VARIABLE;
use crate::worker::backup::work::RestoreWork;
use crate::worker::jobs::work::{ApprovalWork, RestoreJob};
use crate::worker::work::PatienceWork;

/// What a restore's worker holds at once, counted as stretches of a backup: a part, decoded group by group.
const LANES: u32 = 3;

/// Whose the objects are, and their names.
pub(super) fn holder(spec: &RestoreSpec) -> store_jobs::Owner<'_> {
    store_jobs::Owner {
        namespace: &spec.namespace,
        name: &spec.name,
        label: names::RESTORE_LABEL,
        account: names::restore_account(&spec.name),
        ledger: names::restore_ledger(&spec.name),
    }
}

/// What is read, with which key, and where it goes.
pub(super) struct From<'a> {
    pub(super) store: &'a BackupStore,
    pub(super) key: Option<&'a SecretKeyReference>,
    pub(super) target: &'a Target,
}

/// The objects; the error says what could not be written down.
pub(super) fn objects(
    spec: &RestoreSpec,
    order: &str,
    approval: Option<&Approval>,
    from: &From<'_>,
    way: &Way,
    context: &Context,
) -> Result<Objects, String> {
    let From { store, key, target } = *from;
    let ledger = names::restore_ledger(&spec.name);
    let number = |count: Option<i32>| count.and_then(|count| u64::try_from(count).ok());
    let job = RestoreJob {
        restore: RestoreWork {
            namespace: spec.namespace.clone(),
            name: spec.name.clone(),
            uid: spec.uid.clone(),
            run: spec.from.run.clone(),
            collection: spec.collection.clone(),
            into: spec.into.clone(),
            conflict: match spec.conflict {
                Conflict::Fail => EngineConflict::Fail,
                Conflict::Skip => EngineConflict::Skip,
                Conflict::Overwrite => EngineConflict::Overwrite,
                Conflict::Merge => EngineConflict::Merge,
            },
            factor: number(spec.factor),
            shards: number(spec.shards),
            receipt: spec.receipt_of(&way.uid),
            target: spec.target(&way.uid),
            endpoints: store_jobs::endpoints(target),
            store: store_place::store_work(store),
            receipts: None,
            patience: PatienceWork::default(),
        },
        known_as: spec.known_as(&way.uid),
        protection: way.protection(&spec.into),
        chosen: chosen::chosen(spec)?,
        order: order.to_owned(),
        run_now: spec.run_now.clone(),
        ledger: ledger.clone(),
        // A volume may be a snapshot, or mounted by many: it is only read.
        keeps_receipt: store.volume.is_some(),
        approval: approval.map(|Approval { hash, run }| ApprovalWork { hash: hash.clone(), run: run.clone() }),
        deadline_seconds: store_jobs::seconds(spec.deadline),
    };
    let text = serde_json::to_string(&job).map_err(|error| format!("the work could not be written down: {error}"))?;
    let salts = chosen::salts(spec);
    let doing = Doing {
        name: spec.job(order),
        command: "restore",
        work: (RESTORE_WORK_VARIABLE, text),
        store,
        is_read_only: true,
        target,
        secrets: key.map(|key| (ENCRYPTION_KEY_VARIABLE.to_owned(), key.clone())).into_iter().chain(salts).collect(),
        deadline: spec.deadline,
        lanes: LANES,
    };
    holder(spec).objects(&doing, context)
}
