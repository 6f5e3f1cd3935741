//! One index run: joins files, Weaviate and the ledger.

use std::time::{Duration, Instant};

use elysia_api::names;
use elysia_engine::breaker::BreakerPolicy;
use elysia_engine::chunk::Chunking;
use elysia_engine::flight::FlightLimits;
use elysia_engine::follow::{Follow, Rewritten};
use elysia_engine::guard::{Guard, Limits};
use elysia_engine::ledger::{FailureReason, Ledger, State};
use elysia_engine::mapping::Unmapped;
use elysia_engine::pace::BatchLimits;
use elysia_engine::partition::{Partition, finish_former};
use elysia_engine::ports::LedgerStore;
use elysia_engine::replay::replay;
use elysia_engine::retry::{Retry, Stop};
use elysia_engine::run::{Ports, RunError, Settings, refuse, run};
use elysia_engine::window::WindowLimits;
use elysia_weaviate::{Client, Consistency, SchemaRead, WeaviateError};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use url::Url;

use super::class::{self, Class};
use super::clock::SystemClock;
use super::config_map::ConfigMapLedger;
use super::file_ledger::FileLedger;
use super::sink::{WeaviateSink, port};
use super::source::WorkSource;
use super::work::{ChunkingWork, ConsistencyWork, DeleteGuardWork, IndexWork, PaceWork, PatienceWork, UnmappedWork};
use super::{API_KEY_VARIABLE, INDEX_VARIABLE, WORK_VARIABLE, WorkerError, chain};
use crate::runtime::patience::options;

/// How long one worker watches. The next one has the operator's present image, key and settings.
const WATCH_LIFE: Duration = Duration::from_secs(3600);

/// Indexes what the environment says. `share`: the index and the number of workers, where they are said.
pub(super) async fn index_from_environment(share: Option<(u32, u32)>) -> Result<(), WorkerError> {
    let text = std::env::var(WORK_VARIABLE)
        .map_err(|error| WorkerError::Permanent(format!("environment variable {WORK_VARIABLE}: {error}")))?;
    let mut work: IndexWork = serde_json::from_str(&text)
        .map_err(|error| WorkerError::Permanent(format!("environment variable {WORK_VARIABLE}: {error}")))?;
    let api_key = std::env::var(API_KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(SecretString::from);
    let stop = Stop::default();
    stop_on_signal(stop.clone())?;
    work.partition = partition(share, &work)?;
    if let Some(file) = work.ledger_file.clone() {
        return index(work, api_key, &FileLedger::new(file), &[], &stop).await;
    }
    let kube = kube::Client::try_default().await;
    let kube = kube.map_err(|error| WorkerError::Again(format!("no way to Kubernetes: {}", chain(&error))))?;
    let ledger = match work.partition {
        Some(partition) => names::partition_ledger(&work.name, partition.index),
        None => work.ledger.clone(),
    };
    let open = |name: &str| ConfigMapLedger::new(kube.clone(), &work.namespace, name);
    let former = work.former_ledgers.iter().map(|name| open(name)).collect::<Vec<_>>();
    let store = open(&ledger);
    index(work, api_key, &store, &former, &stop).await
}

/// Whose lines are dealt with: as the arguments say, or else as the pod of an indexed Job.
fn partition(share: Option<(u32, u32)>, work: &IndexWork) -> Result<Option<Partition>, WorkerError> {
    let (index, count) = match (share, work.partitions) {
        (Some(share), _) => share,
        (None, Some(count)) if count > 1 => {
            let index = std::env::var(INDEX_VARIABLE).ok().and_then(|index| index.parse().ok());
            let missing = || WorkerError::Permanent(format!("environment variable {INDEX_VARIABLE} holds no index"));
            (index.ok_or_else(missing)?, count)
        }
        (None, Some(_) | None) => return Ok(None),
    };
    let unfit = || WorkerError::Permanent(format!("there is no partition {index} among {count}"));
    Partition::new(index, count).map(Some).ok_or_else(unfit)
}

/// What workers of another division of the feed left half done comes first.
async fn finish<L: LedgerStore>(
    work: &IndexWork,
    client: &Client,
    former: &[L],
    stop: &Stop,
) -> Result<(), WorkerError> {
    let sink = WeaviateSink::new(client.clone(), Vec::new(), &work.collection, consistency(work.consistency));
    for former in former {
        let finished = finish_former(work.partition, &work.collection, &sink, former, &SystemClock, stop).await;
        if !finished.map_err(|error| ended(&error))? {
            let message = "waits for partition 0 to finish what an earlier division of the feed left half done";
            return Err(WorkerError::Again(message.to_owned()));
        }
    }
    Ok(())
}

/// Runs one feed to its end, or goes on with it.
async fn index<L: LedgerStore>(
    work: IndexWork,
    api_key: Option<SecretString>,
    store: &L,
    former: &[L],
    stop: &Stop,
) -> Result<(), WorkerError> {
    info!(namespace = work.namespace, feed = work.name, run = work.run, collection = work.collection, "indexing");
    let follow = work.follow.as_ref().filter(|_| work.replay.is_none());
    let interval = follow.and_then(|follow| follow.watch_seconds).map(Duration::from_secs);
    // Others wait for what is left over, and files that did not leave their place are tried again.
    let is_all = former.is_empty() && !work.source.is_processed();
    if interval.is_none() && work.replay.is_none() && is_all && is_done(store, &work.run).await? {
        info!("this run succeeded before");
        return Ok(());
    }
    let client = connect(&work.endpoints.rest, &work.endpoints.grpc, api_key.as_ref())?;
    let nodes = work.endpoints.nodes.iter().map(|node| connect(&node.rest, &node.grpc, api_key.as_ref()));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    finish(&work, &client, former, stop).await?;
    let begun = Instant::now();
    loop {
        let indexed = index_feed(work.clone(), client.clone(), nodes.clone(), store, stop).await;
        let ledger = indexed.map_err(|error| ended(&error))?;
        let Some(interval) = interval else {
            info!(counts = ?ledger.counts, "indexed");
            return Ok(());
        };
        tokio::select! {
            () = tokio::time::sleep(interval.min(WATCH_LIFE.saturating_sub(begun.elapsed()))) => {}
            () = stop.wait() => return Err(ended(&RunError::Stopped)),
        }
        if begun.elapsed() >= WATCH_LIFE {
            info!("this worker has looked long enough: the next one goes on");
            return Ok(());
        }
    }
}

/// Runs one feed to its end, or goes on with it, over ways that are there: `client` asks the cluster, `nodes` are its
/// nodes' own addresses, if they are known.
pub(super) async fn index_feed<L: LedgerStore>(
    work: IndexWork,
    client: Client,
    nodes: Vec<Client>,
    store: &L,
    stop: &Stop,
) -> Result<Ledger, RunError> {
    let class = match read_class(&client, &work).await {
        Ok(class) => class,
        // What was indexed stays indexed, whatever keeps rejected lines from being carried out again.
        Err(error) if work.replay.is_some() => return Err(error),
        Err(error) => return Err(refuse(&work.run, &work.collection, store, &SystemClock, error).await),
    };
    let sink = WeaviateSink::new(client, nodes, &work.collection, consistency(work.consistency));
    let source = match WorkSource::new(work.source) {
        Ok(source) => source,
        Err(problem) => {
            let error = RunError::failed(FailureReason::SourceFailed, problem);
            if work.replay.is_some() {
                return Err(error);
            }
            return Err(refuse(&work.run, &work.collection, store, &SystemClock, error).await);
        }
    };
    let ports = Ports { source: &source, sink: &sink, store, clock: &SystemClock };
    let settings = Settings {
        run: work.run,
        collection: work.collection,
        mapping: class.mapping,
        computed_vectors: class.computed_vectors,
        max_rejected: work.max_rejected,
        guard: work.delete_guard.map(guard),
        skip_unchanged: work.skip_unchanged,
        partition: work.partition,
        follow: work.follow.map(|follow| Follow {
            basis: follow.basis,
            rewritten: if follow.reread_rewritten { Rewritten::ReadAgain } else { Rewritten::Refuse },
            min_changes: follow.min_changes,
            run_now: follow.run_now,
        }),
        window: WindowLimits::default(),
        flight: FlightLimits::default(),
        batch: batch_limits(work.pace),
        retry: retry(work.patience),
        breaker: breaker(work.patience),
    };
    match work.replay {
        Some(request) => replay(&settings, &ports, &request, stop).await,
        None => run(&settings, &ports, stop).await,
    }
}

fn connect(rest: &str, grpc: &str, api_key: Option<&SecretString>) -> Result<Client, WorkerError> {
    let options = options(address(rest)?).grpc(address(grpc)?);
    let options = match api_key {
        Some(key) => options.api_key(key.clone()),
        None => options,
    };
    Client::new(options).map_err(|error| WorkerError::Permanent(chain(&error)))
}

fn guard(work: DeleteGuardWork) -> Guard {
    let DeleteGuardWork { objects, percent, approval } = work;
    Guard { limits: Limits { objects, percent }, approval }
}

fn batch_limits(pace: PaceWork) -> BatchLimits {
    let BatchLimits { objects, bytes, in_flight } = BatchLimits::default();
    BatchLimits {
        objects: pace.batch_objects.unwrap_or(objects),
        bytes: pace.batch_bytes.unwrap_or(bytes),
        in_flight: pace.parallelism.unwrap_or(in_flight),
    }
}

pub(super) fn retry(patience: PatienceWork) -> Retry {
    let Retry { attempts, base, cap, outage } = Retry::default();
    Retry {
        outage: patience.outage_milliseconds.map_or(outage, Duration::from_millis),
        attempts: patience.attempts.unwrap_or(attempts),
        base: patience.base_milliseconds.map_or(base, Duration::from_millis),
        cap: patience.cap_milliseconds.map_or(cap, Duration::from_millis),
    }
}

fn breaker(patience: PatienceWork) -> BreakerPolicy {
    let BreakerPolicy { failures, cooldown } = BreakerPolicy::default();
    BreakerPolicy {
        failures: patience.breaker_failures.unwrap_or(failures),
        cooldown: patience.breaker_cooldown_milliseconds.map_or(cooldown, Duration::from_millis),
    }
}

fn address(text: &str) -> Result<Url, WorkerError> {
    text.parse().map_err(|error| WorkerError::Permanent(format!("`{text}` is no address: {error}")))
}

/// A run that succeeded is not asked again, not even whether Weaviate is there.
async fn is_done<L: LedgerStore>(store: &L, run: &str) -> Result<bool, WorkerError> {
    let stored = store.load().await.map_err(|error| WorkerError::Again(error.message))?;
    Ok(stored.ledger.is_some_and(|ledger| ledger.run == run && ledger.state == State::Succeeded))
}

async fn read_class(client: &Client, work: &IndexWork) -> Result<Class, RunError> {
    let found = match client.class(&work.collection, SchemaRead::Leader).await {
        // Written through the alias, whichever class it leads to by then.
        Err(WeaviateError::IsAlias { target, .. }) => client.class(&target, SchemaRead::Leader).await,
        found => found,
    };
    let found = found.map_err(|error| {
        RunError::failed(FailureReason::SinkFailed, format!("failed to read the schema: {}", port(&error).message))
    })?;
    let collection = &work.collection;
    let class = found.ok_or_else(|| {
        let message = format!("collection {collection} does not exist: declare it as an ElysiaCollection");
        RunError::failed(FailureReason::SinkFailed, message)
    })?;
    let chunking = work.chunking.map(|ChunkingWork { size, overlap }| Chunking::new(size, overlap.unwrap_or_default()));
    class::read(&class, unmapped(work.unmapped), &work.properties, chunking).map_err(|problem| {
        RunError::failed(
            FailureReason::CollectionUnfit,
            format!("collection {collection} cannot take a feed: {problem}"),
        )
    })
}

fn ended(error: &RunError) -> WorkerError {
    let message = error.to_string();
    match error {
        RunError::Failed { reason, .. } if reason.is_permanent() => WorkerError::Permanent(message),
        RunError::Failed { .. } | RunError::Stopped => WorkerError::Again(message),
    }
}

fn unmapped(unmapped: UnmappedWork) -> Unmapped {
    match unmapped {
        UnmappedWork::Reject => Unmapped::Reject,
        UnmappedWork::Drop => Unmapped::Drop,
    }
}

fn consistency(consistency: ConsistencyWork) -> Consistency {
    match consistency {
        ConsistencyWork::One => Consistency::One,
        ConsistencyWork::Quorum => Consistency::Quorum,
        ConsistencyWork::All => Consistency::All,
    }
}

/// The window in flight ends, the next one does not begin.
pub(super) fn stop_on_signal(stop: Stop) -> Result<(), WorkerError> {
    let failed = |error: std::io::Error| WorkerError::Again(format!("failed to listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping after the window in flight");
        stop.set();
    });
    Ok(())
}
