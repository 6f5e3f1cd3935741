//! `kubectl elysia`: what people ask about their Weaviate clusters.

use std::process::ExitCode;

use elysia_engine::backup::write::THREADS_BESIDE;
use elysia_operator::cli;

/// As the operator's own binary: it indexes files too.
#[global_allocator]
static ALLOCATOR: elysia_allocator::MiMalloc = elysia_allocator::MiMalloc;

fn main() -> ExitCode {
    elysia_allocator::keep_freed();
    // Two crypto providers are compiled in by nobody; naming the one keeps it that way. Installed twice is no harm.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.max_blocking_threads(THREADS_BESIDE).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cli::refuse(&format!("cannot start: {error}")),
    };
    let exit = runtime.block_on(cli::run(std::env::args_os()));
    // A name that is still being resolved after its timeout must not hold up the prompt.
    runtime.shutdown_background();
    exit.into()
}
