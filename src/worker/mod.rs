//! The long work of Jobs: the operator's own image, started with `worker`.
//!
//! A worker joins the engine with files, Weaviate and a ledger; it writes only data and its ledger. Its configuration
//! comes in one environment variable without secrets ([`work::IndexWork`]), the API key in another.

pub mod backup;
mod class;
mod clock;
mod config_map;
pub mod copy;
mod direct;
mod file_ledger;
mod files;
mod index;
pub mod jobs;
mod nodes;
mod profile;
mod put_away;
mod receive;
mod s3;
mod sink;
mod source;
pub(crate) mod steps;
pub mod work;

pub(crate) use class::computes_vectors;
pub(crate) use direct::index_here;
pub(crate) use s3::{S3Key, authorities};

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use elysia_engine::rejection::one_line;
use tracing::{error, info};

/// Key of the ledger in its `ConfigMap`.
pub const LEDGER_KEY: &str = "ledger.json";
/// Environment variable with the work as JSON: [`work::IndexWork`].
pub const WORK_VARIABLE: &str = "ELYSIA_INDEX_WORK";
/// Environment variable with the API key of Weaviate; absent where none is asked for.
pub const API_KEY_VARIABLE: &str = "ELYSIA_WEAVIATE_API_KEY";
/// Environment variable with the key that a backup's runs are encrypted with, as text.
pub const ENCRYPTION_KEY_VARIABLE: &str = "ELYSIA_ENCRYPTION_KEY";
/// Environment variable with the salt of a transformation of a restore; its number stands behind it.
pub const MASK_SALT_VARIABLE: &str = "ELYSIA_MASK_SALT_";
/// Environment variable with the id of an object store's key; absent for a bucket that anybody may read.
pub const S3_ACCESS_KEY_ID_VARIABLE: &str = "ELYSIA_S3_ACCESS_KEY_ID";
/// Environment variable with that key itself.
pub const S3_SECRET_ACCESS_KEY_VARIABLE: &str = "ELYSIA_S3_SECRET_ACCESS_KEY";
/// Environment variable with the token of a temporary key.
pub const S3_SESSION_TOKEN_VARIABLE: &str = "ELYSIA_S3_SESSION_TOKEN";
/// Environment variable with the key file of a service account of Google.
pub const GCS_SERVICE_ACCOUNT_KEY_VARIABLE: &str = "ELYSIA_GCS_SERVICE_ACCOUNT_KEY";
/// Environment variable with a key of a storage account of Azure; absent where a signature is there.
pub const AZURE_ACCOUNT_KEY_VARIABLE: &str = "ELYSIA_AZURE_ACCOUNT_KEY";
/// Environment variable with a shared access signature of Azure.
pub const AZURE_SAS_TOKEN_VARIABLE: &str = "ELYSIA_AZURE_SAS_TOKEN";
/// Environment variable with certificates of authorities, in PEM, that an object store's is trusted by as well.
pub const STORE_CA_VARIABLE: &str = "ELYSIA_STORE_CA";

/// Environment variable with the index of a pod of an indexed Job, set by Kubernetes.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// Exit code when another attempt would fail alike until somebody changes something: the Job gives up at once.
pub const EXIT_PERMANENT: i32 = 3;

/// Where Kubernetes reads why a container ended.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The longest message there: Kubernetes keeps 4 KiB, and a person reads less.
const TERMINATION_BYTES: usize = 2048;

/// What a worker is to do.
#[derive(Args)]
pub struct WorkerArgs {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Index a feed, as told by the environment
    Index(IndexArgs),
    /// Back up collections, as told by the environment
    Backup,
    /// Restore a collection, as told by the environment
    Restore,
    /// Copy a collection into another, as told by the environment
    Copy,
    /// Write standard input to a file, whole or not at all
    Receive(ReceiveArgs),
}

#[derive(Args)]
struct IndexArgs {
    /// Which of several workers this is, from 0; the pod's completion index when left out
    #[arg(long, requires = "partitions", value_name = "INDEX")]
    partition: Option<u32>,
    /// How many workers share the lines; as told by the environment when left out
    #[arg(long, requires = "partition", value_name = "NUMBER")]
    partitions: Option<u32>,
}

#[derive(Args)]
struct ReceiveArgs {
    /// The file; folders above it are made
    path: PathBuf,
    /// How many bytes must come: a connection that broke is then told from the end
    #[arg(long)]
    bytes: Option<u64>,
}

/// Why a worker ends without success.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    /// Another attempt may succeed.
    #[error("{0}")]
    Again(String),
    /// Another attempt would fail alike.
    #[error("{0}")]
    Permanent(String),
}

/// Does the work. Exit code 0 when it is done (also with rejected lines), 1 when another attempt may do it, and
/// [`EXIT_PERMANENT`].
pub async fn run(arguments: WorkerArgs) -> ExitCode {
    let done = match arguments.task {
        Task::Index(IndexArgs { partition, partitions }) => {
            index::index_from_environment(partition.zip(partitions)).await
        }
        Task::Backup => jobs::backup_from_environment().await,
        Task::Restore => jobs::restore_from_environment().await,
        Task::Copy => jobs::copy_from_environment().await,
        Task::Receive(ReceiveArgs { path, bytes }) => receive::receive(&mut tokio::io::stdin(), &path, bytes).await,
    };
    let Err(failure) = done else { return ExitCode::SUCCESS };
    let message = one_line(&failure.to_string(), TERMINATION_BYTES);
    error!(message, "worker failed");
    if let Err(error) = tokio::fs::write(TERMINATION_LOG, &message).await {
        info!(%error, path = TERMINATION_LOG, "termination message was not written");
    }
    match failure {
        WorkerError::Again(_) => ExitCode::FAILURE,
        WorkerError::Permanent(_) => u8::try_from(EXIT_PERMANENT).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

/// An error and all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
