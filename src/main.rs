//! The operator, and the worker that its Jobs run: one binary, one image.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use elysia_engine::backup::write::THREADS_BESIDE;
use elysia_operator::controllers::Context;
use elysia_operator::controllers::context::{Stores, WorkerImage};
use elysia_operator::controllers::run::{self, Scope};
use elysia_operator::effects::chain;
use elysia_operator::runtime::leadership::Candidate;
use elysia_operator::runtime::metrics::Metrics;
use elysia_operator::runtime::readiness::Readiness;
use elysia_operator::runtime::{logging, server};
use elysia_operator::worker;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A worker allocates each text of a feed and gives it back a second later, on several threads.
#[global_allocator]
static ALLOCATOR: elysia_allocator::MiMalloc = elysia_allocator::MiMalloc;

/// Kubernetes operator for Weaviate clusters and the Elysia AI service
#[derive(Parser)]
#[command(name = "elysia-operator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Reconcile the resources of elysia.dev
    Operator(Operator),
    /// Do the long work of one Job
    Worker(worker::WorkerArgs),
}

#[derive(clap::Args)]
struct Operator {
    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "ELYSIA_LISTEN", default_value = "[::]:8080")]
    listen: String,
    /// Namespace of the operator, which holds its Lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "elysia-system")]
    namespace: String,
    /// Name under which the Lease is held; another one for each process
    #[arg(long, env = "POD_NAME")]
    name: String,
    /// Namespace whose objects alone are watched and reconciled; all namespaces when absent or empty
    #[arg(long, env = "ELYSIA_WATCH_NAMESPACE")]
    watch_namespace: Option<String>,
    /// Image of the Jobs, which is the operator's own
    #[arg(long, env = "ELYSIA_WORKER_IMAGE")]
    worker_image: String,
    /// When the image of the Jobs is pulled
    #[arg(long, env = "ELYSIA_WORKER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    worker_image_pull_policy: String,
}

fn main() -> ExitCode {
    // Before anything opens a connection: the process has one provider of cryptography.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::FAILURE;
    }
    let arguments = Arguments::parse();
    logging::start();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Command::Worker(_) = &arguments.command {
        builder.max_blocking_threads(THREADS_BESIDE);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(error = chain(&error), "failed to start");
            return ExitCode::FAILURE;
        }
    };
    match arguments.command {
        Command::Operator(operator) => {
            let outcome = runtime.block_on(operate(operator));
            // Waits for nothing: what still runs must not outlive the lease.
            runtime.shutdown_background();
            match outcome {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "failed");
                    ExitCode::FAILURE
                }
            }
        }
        Command::Worker(arguments) => runtime.block_on(worker::run(arguments)),
    }
}

async fn operate(arguments: Operator) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    let client = kube::Client::try_default().await?;
    let metrics = Metrics::new()?;
    let readiness = Readiness::default();
    let listener = listen(&arguments.listen).await?;
    let scope = Scope::of(arguments.watch_namespace.clone());
    let stores = run::start_caches(&client, &scope, &readiness, &stop);
    // Served until everything else has ended: rounds under way are still alive, and counted.
    let close = CancellationToken::new();
    let numbers = {
        let (stores, metrics) = (stores.clone(), metrics.clone());
        move || {
            stores.forget_gone(&metrics);
            metrics.text(Timestamp::now())
        }
    };
    let mut serving = tokio::spawn(server::serve(listener, readiness.clone(), numbers, close.clone()));
    let watches = arguments.watch_namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("all namespaces");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), name = arguments.name, watches, "started");
    tokio::select! {
        led = lead(arguments, scope, client, stores, metrics, readiness, stop) => led?,
        // Nobody could see any more how the process is.
        ended = &mut serving => {
            ended??;
            anyhow::bail!("the server of the probes ended by itself");
        }
    }
    close.cancel();
    if let Ok(ended) = tokio::time::timeout(CLOSE, serving).await {
        ended??;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Leads when it can, until stopped. An error means that the process has to end at once, to be started again as a
/// candidate: its rounds may still write, or nobody does them any more.
async fn lead(
    arguments: Operator,
    scope: Scope,
    client: kube::Client,
    stores: Stores,
    metrics: Metrics,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if !run::caches_are_filled(&stores, &readiness, &stop).await {
        anyhow::ensure!(stop.is_cancelled(), "a cache ended by itself");
        return Ok(());
    }
    let mut candidate = Candidate::new(client.clone(), &arguments.namespace, &arguments.name);
    if !candidate.acquire(&stop).await {
        return Ok(());
    }
    metrics.leads(true);
    let worker = WorkerImage { image: arguments.worker_image, pull_policy: arguments.worker_image_pull_policy };
    let (now, stopwatch) = (Timestamp::now, std::time::Instant::now);
    let context = Arc::new(Context::new(client, stores, metrics.clone(), worker, now, stopwatch, candidate.leading()));
    let controllers = tokio::spawn(run::run(context, scope, stop.clone()));
    let held = candidate.hold_during(controllers, &stop, GRACE).await;
    metrics.leads(false);
    // Not after an error: a lease given back while rounds are under way would let another operator write beside them.
    held?;
    candidate.release().await;
    Ok(())
}

/// How long rounds under way may take after the signal to stop; less than the pod's grace period of 30 s.
const GRACE: std::time::Duration = std::time::Duration::from_secs(20);
/// How long answers under way may take after that.
const CLOSE: std::time::Duration = std::time::Duration::from_secs(2);

/// Listens on IPv6 and IPv4; where the kernel has no IPv6, on IPv4 alone.
async fn listen(address: &str) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(_) if address.starts_with("[::]:") => TcpListener::bind(address.replace("[::]", "0.0.0.0")).await,
        Err(error) => Err(error),
    }
}

fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
