//! The long work of Jobs.
#![allow(missing_docs)]

pub const LEDGER_KEY: &str = "ledger.json";
pub const WORK_VARIABLE: &str = "ELYSIA_INDEX_WORK";
pub const API_KEY_VARIABLE: &str = "ELYSIA_WEAVIATE_API_KEY";
pub const EXIT_PERMANENT: i32 = 3;

#[derive(clap::Args)]
pub struct WorkerArgs {}

pub async fn run(_: WorkerArgs) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
