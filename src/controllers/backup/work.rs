//! The Job of one run. No client here: what goes in decides what comes out.

use elysia_api::backup::{ColdTenants, Compression, Format};
use elysia_api::names;
use elysia_core::backup::{BackupSpec, Intent, Task};
use elysia_engine::backup::manifest::{DataFormat, Owner};

use super::super::context::Context;
use super::super::feed::observe::Target;
use super::super::store_jobs::{self, Doing, Objects};
use crate::worker::backup::BACKUP_WORK_VARIABLE;
use crate::worker::backup::work::{BackupHow, BackupWork, ColdWork, CompareWork};
use crate::worker::jobs::work::{BackupJob, DrillWork, RetentionWork};
use crate::worker::work::PatienceWork;

/// Stretches that are read at once when the policy says nothing.
const LANES: u32 = 4;

/// Who owns a prefix: this policy of this cluster. A cluster that was made anew under its name is another one, and so is
/// a policy: neither must retire what the former wrote.
pub(super) fn owner(spec: &BackupSpec, cluster_uid: &str) -> Owner {
    Owner {
        cluster: identity(spec, &spec.cluster, cluster_uid),
        policy: format!("{}/{} ({})", spec.namespace, spec.name, spec.uid),
    }
}

/// Whose the objects are, and their names.
pub(super) fn holder(spec: &BackupSpec) -> store_jobs::Owner<'_> {
    store_jobs::Owner {
        namespace: &spec.namespace,
        name: &spec.name,
        label: names::BACKUP_LABEL,
        account: names::backup_account(&spec.name),
        ledger: names::backup_ledger(&spec.name),
    }
}

/// Where the work is done.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    /// The cluster that is backed up.
    pub(super) uid: &'a str,
    /// The cluster that drills are done in.
    pub(super) drill_uid: &'a str,
    /// The addresses of whichever of them the work is about.
    pub(super) target: &'a Target,
}

/// A cluster of this policy's namespace, as an owner names it.
fn identity(spec: &BackupSpec, cluster: &str, uid: &str) -> String {
    format!("{}/{cluster} ({uid})", spec.namespace)
}

/// The objects; the error says what could not be written down.
pub(super) fn objects(
    spec: &BackupSpec,
    intent: &Intent,
    task: &Task,
    at: At<'_>,
    context: &Context,
) -> Result<Objects, String> {
    let At { uid, drill_uid, target } = at;
    let lanes = spec.parallelism.unwrap_or(LANES);
    let ledger = names::backup_ledger(&spec.name);
    let (accept, left_out) = match task {
        Task::Run { left_out } => (None, left_out.clone()),
        Task::Accept { run } => (Some(run.clone()), std::collections::BTreeMap::new()),
        Task::Drill => (None, std::collections::BTreeMap::new()),
    };
    let drill = spec.drill.as_ref().filter(|_| *task == Task::Drill).map(|drill| DrillWork {
        cluster: identity(spec, &drill.cluster, drill_uid),
        sample: drill.sample,
        searches: drill.searches,
        minimum_overlap: drill.minimum_overlap,
        factor: drill.factor,
    });
    if drill.is_none() && *task == Task::Drill {
        return Err("spec.verify.drill was taken away".to_owned());
    }
    let job = BackupJob {
        backup: BackupWork {
            namespace: spec.namespace.clone(),
            name: spec.name.clone(),
            uid: spec.uid.clone(),
            run: String::new(),
            owner: owner(spec, uid),
            collections: (!spec.collections.is_empty()).then(|| spec.collections.iter().cloned().collect()),
            endpoints: store_jobs::endpoints(target),
            store: store_jobs::store_work(&spec.store),
            how: BackupHow {
                data: match (spec.format, spec.compression) {
                    (Format::Parquet, Compression::Zstd | Compression::Gzip) => DataFormat::Parquet,
                    (Format::Jsonl, Compression::Zstd) => DataFormat::JsonlZstd,
                    (Format::Jsonl, Compression::Gzip) => DataFormat::JsonlGzip,
                },
                cold: match spec.cold_tenants {
                    ColdTenants::Refuse => ColdWork::Refuse,
                    ColdTenants::Wake => ColdWork::Wake,
                    ColdTenants::Skip => ColdWork::Skip,
                },
                compare: CompareWork::default(),
                lanes: usize::try_from(lanes).ok(),
            },
            patience: PatienceWork::default(),
        },
        order: intent.order.clone(),
        ledger: ledger.clone(),
        accept,
        drill,
        left_out,
        max_shrink: spec.max_shrink,
        verify: spec.verify_after_run,
        retention: RetentionWork::of(&spec.retention),
        zone: spec.time_zone.clone(),
        deadline_seconds: store_jobs::seconds(spec.deadline),
    };
    let text = serde_json::to_string(&job).map_err(|error| format!("the work could not be written down: {error}"))?;
    let doing = Doing {
        name: spec.job(&intent.order),
        command: "backup",
        work: (BACKUP_WORK_VARIABLE, text),
        store: &spec.store,
        is_read_only: false,
        target,
        deadline: spec.deadline,
        lanes,
    };
    holder(spec).objects(&doing, context)
}
