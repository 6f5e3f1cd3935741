//! The Job of one run. No client here: what goes in decides what comes out.

use elysia_api::backup::{ColdTenants, Compression, Engine, Format, Mode, ReplicaComparison};
use elysia_api::names;
use elysia_core::backup::{BackupSpec, Intent, Task};
use elysia_engine::backup::filter::{Expression, FilterError};
use elysia_engine::backup::level::Level;
use elysia_engine::backup::manifest::{DataFormat, Owner, RunMode};

use super::super::context::Context;
use super::super::feed::observe::Target;
use super::super::store_jobs::{self, Doing, Objects};
use super::super::store_place;
use super::observe::runs_in_use;
use crate::worker::ENCRYPTION_KEY_VARIABLE;
use crate::worker::backup::BACKUP_WORK_VARIABLE;
use crate::worker::backup::work::{BackupHow, BackupWork, ColdWork, CompareWork};
use crate::worker::jobs::work::{BackupJob, ChoiceWork, DrillWork, RetentionWork};
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

/// What runs hold and build on; the error says which field cannot be understood, and where.
pub(super) fn choice(spec: &BackupSpec) -> Result<ChoiceWork, String> {
    let filter = spec.filter.as_ref().map(|text| text.parse::<Expression>()).transpose();
    Ok(ChoiceWork {
        mode: match spec.mode {
            Mode::Full => RunMode::Full,
            Mode::SchemaOnly => RunMode::SchemaOnly,
        },
        filter: filter.map_err(|error: FilterError| format!("spec.filter: {error}"))?,
        full_every: spec.full_every,
        is_encrypted: spec.key.is_some(),
        level: match (spec.compression, spec.level) {
            (Compression::Auto, _) => Level::Auto,
            (_, Some(level)) => Level::At(level),
            (_, None) => Level::Usual,
        },
    })
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
    let lanes = match spec.engine {
        Engine::Portable => spec.parallelism.unwrap_or(LANES),
        // The servers do the work; files are read for their hashes, a few MiB of each at once.
        Engine::Native => 1,
    };
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
            exclude: spec.exclude.iter().cloned().collect(),
            endpoints: store_jobs::endpoints(target),
            store: store_place::store_work(&spec.store),
            how: BackupHow {
                data: match (spec.format, spec.compression) {
                    (Format::Parquet, Compression::Zstd | Compression::Gzip | Compression::Lz4 | Compression::Auto) => {
                        DataFormat::Parquet
                    }
                    (Format::Jsonl, Compression::Zstd | Compression::Auto) => DataFormat::JsonlZstd,
                    (Format::Jsonl, Compression::Gzip) => DataFormat::JsonlGzip,
                    (Format::Jsonl, Compression::Lz4) => DataFormat::JsonlLz4,
                },
                cold: match spec.cold_tenants {
                    ColdTenants::Refuse => ColdWork::Refuse,
                    ColdTenants::Wake => ColdWork::Wake,
                    ColdTenants::Skip => ColdWork::Skip,
                },
                compare: match spec.compare {
                    ReplicaComparison::Contents => CompareWork::Contents,
                    ReplicaComparison::Stamps => CompareWork::Stamps,
                    ReplicaComparison::None => CompareWork::None,
                },
                lanes: usize::try_from(lanes).ok(),
            },
            patience: PatienceWork::default(),
        },
        choice: choice(spec)?,
        order: intent.order.clone(),
        ledger: ledger.clone(),
        native: (spec.engine == Engine::Native).then_some(spec.native),
        accept,
        drill,
        left_out,
        in_use: runs_in_use(context),
        now: Some((context.now)()),
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
        secrets: spec.key.iter().map(|key| (ENCRYPTION_KEY_VARIABLE.to_owned(), key.clone())).collect(),
        deadline: spec.deadline,
        lanes,
    };
    holder(spec).objects(&doing, context)
}

#[cfg(test)]
mod tests {
    use elysia_api::CollectionBackup;

    use super::*;

    #[test]
    fn the_example_is_understood() {
        let text = include_str!("../../../examples/backup-incremental-encrypted.yaml");
        let backup: CollectionBackup = serde_yaml::from_str(text.rsplit("\n---\n").next().unwrap()).unwrap();
        let spec = BackupSpec::validate(&backup).unwrap();
        let choice = choice(&spec).unwrap();
        assert_eq!(choice.level, Level::Usual);
        let auto = BackupSpec { compression: Compression::Auto, ..spec.clone() };
        assert_eq!(super::choice(&auto).unwrap().level, Level::Auto);
        assert_eq!((choice.full_every, choice.filter.is_some(), spec.key.is_some()), (Some(7), true, true));
    }
}
