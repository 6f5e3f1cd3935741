//! A backup of a size that no machine here has: `cargo xtask soak backup-scale`.
//!
//! Objects are made when they are asked for, and made again when a part is read back ([`world`]): vectors that no
//! compression shortens, so parts are as many and as large as those of models' vectors. What is real is everything else:
//! lanes, encoder, parts, indexes, manifest, catalogue, verification and what a restore looks at before its first write.
//! What is watched is what must not grow with the data: memory, calls at once, calls in all, and the size of documents.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::print_stdout, reason = "somebody waits for it")]

#[path = "../support/random.rs"]
mod random;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;
use std::{env, fs};

use elysia_engine::backup::catalogue::{self, LATEST, State};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DOCUMENT_BYTES, Manifest, Owner};
use elysia_engine::backup::memory::MemoryCluster;
use elysia_engine::backup::restore::{self, Conflict, preflight};
use elysia_engine::backup::transform::Select;
use elysia_engine::backup::verify::{Depth, verify};
use elysia_engine::backup::write::{LANES, Order, Progress, THREADS_BESIDE, Writer};
use elysia_engine::memory::FixedClock;
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::{Retry, Stop};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use world::{Kind, Remade, Scale, Vast};

/// As the worker's own.
#[global_allocator]
static ALLOCATOR: elysia_allocator::MiMalloc = elysia_allocator::MiMalloc;

/// What is simulated with every other test: this share of a thousand collections and 100 GB.
const SHARE: u64 = 10_000;
/// What a worker's container has for everything.
const MEMORY: u64 = 256 << 20;
/// What makes a part again while it is read back, as bytes that come from elsewhere: the part, and the columns and the page
/// that it is made of. None of it is a worker's.
const MAKING: u64 = 48 << 20;
/// Bytes of the manifest for each collection, at most: a page of them is far from [`DOCUMENT_BYTES`].
const NOTE_BYTES: u64 = 1_000;
/// Parts that are read at once when a run is read back.
const READS: u64 = 2;
const RUN: &str = "20261130T000000Z-scale";

/// What is done with a run, one after another. Each has a process of its own, as a worker has: what one of them leaves in
/// its allocator is not the next one's.
const PHASES: [&str; 5] = ["write", "catalogue", "verify", "plan of the largest", "plan of many tenants"];
/// Says to a process which phase it is.
const PHASE: &str = "ELYSIA_SCALE_PHASE";
/// Where documents of the run lie between phases, and what each took.
const FOLDER: &str = "ELYSIA_SCALE_FOLDER";

/// The most memory and the most calls of a phase.
struct Phase {
    started: Instant,
    requests: u64,
}

impl Phase {
    fn begin(store: &Remade) -> Self {
        store.most_at_once();
        Self { started: Instant::now(), requests: store.requests() }
    }

    /// What it took.
    fn end(self, store: &Remade) -> Value {
        let (requests, at_once) = (store.requests() - self.requests, store.most_at_once());
        let seconds = self.started.elapsed().as_secs_f64();
        json!({"seconds": seconds, "store requests": requests, "store requests at once": at_once})
    }
}

/// Most memory of this process so far.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_share_of_it_is_exact_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    for name in PHASES {
        lived(name, SHARE, folder.path()).await;
    }
}

/// Everything, or the share that `ELYSIA_SOAK_SHARE` says: 50 is a fiftieth.
#[test]
#[ignore = "long: `cargo xtask soak backup-scale`"]
fn memory_and_calls_do_not_grow_with_the_data() {
    // As the worker's.
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).max_blocking_threads(THREADS_BESIDE).enable_all().build().unwrap();
    runtime.block_on(every_phase());
}

async fn every_phase() {
    let share = env::var("ELYSIA_SOAK_SHARE").map_or(1, |text| text.parse().unwrap());
    if let Ok(name) = env::var(PHASE) {
        let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
        let mut figures = lived(&name, share, &folder).await;
        figures["peak bytes"] = json!(peak());
        return fs::write(folder.join(&name), figures.to_string()).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut phases = BTreeMap::new();
    let begin = |name: &'static str| {
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["--ignored", "--nocapture", "--exact", "memory_and_calls_do_not_grow_with_the_data"]);
        (name, process.env(PHASE, name).env(FOLDER, folder.path()).spawn().unwrap())
    };
    let (first, others) = PHASES.split_first().unwrap();
    // The others only read what the first one wrote, so they go side by side: their seconds are those of processes that share
    // the machine.
    for names in [std::slice::from_ref(first), others] {
        let processes: Vec<_> = names.iter().copied().map(begin).collect();
        let ended: Vec<_> = processes.into_iter().map(|(name, mut process)| (name, process.wait().unwrap())).collect();
        for (name, status) in ended {
            assert!(status.success(), "{name} ended with {status}");
            let figures: Value = serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap();
            println!("{name}: {figures}");
            phases.insert(name, figures);
        }
    }
    let scale = Scale::of(share);
    let figures = json!({
        "name": "backup-scale", "nodes": world::NODES, "collections": scale.names().len(), "objects": scale.objects(),
        "objects of the largest": scale.count(Kind::Large), "tenants": scale.tenants, "bytes of vectors": scale.bytes(),
        "phases": phases,
    });
    println!("{figures:#}");
    if let Some(file) = env::var_os("ELYSIA_SOAK_FIGURES") {
        fs::write(file, figures.to_string()).unwrap();
    }
    // All of them are told before one of them fails.
    for (name, figures) in phases {
        let (took, most) = (figures["peak bytes"].as_u64().unwrap(), most_memory(name));
        assert!(took <= most, "{name} took {} MiB, and has {}", took >> 20, most >> 20);
    }
}

/// What a phase may take: where parts are read back, what makes them again takes memory as well.
fn most_memory(phase: &str) -> u64 {
    match phase {
        "write" | "catalogue" => MEMORY,
        _ => MEMORY + MAKING,
    }
}

/// One phase, on what the phases before it have left in the folder. Answers its figures.
async fn lived(name: &str, share: u64, folder: &Path) -> Value {
    let scale = Scale::of(share);
    let store = Remade::opened(scale.clone(), folder);
    let phase = Phase::begin(&store);
    match name {
        "write" => {
            let source = Vast::new(scale.clone());
            println!("{} objects, {} MB of vectors", scale.objects(), scale.bytes() / 1_000_000);
            let manifest = written(&source, &store, &scale).await;
            is_exact(&manifest, &source, &store, &scale);
            let mut figures = phase.end(&store);
            figures["parts"] = json!(parts(&manifest));
            figures["bytes of parts"] = json!(manifest.bytes());
            figures["bytes of the manifest"] = json!(store.size(layout::MANIFEST));
            figures["bytes of the largest index"] = json!(store.largest_index());
            figures["pages"] = json!(source.pages.load(Ordering::Relaxed));
            figures["pages at once"] = json!(source.open.most());
            return figures;
        }
        "catalogue" => {
            let entries = catalogue::list(&store).await.unwrap();
            let latest = catalogue::find(&store, LATEST).await.unwrap().unwrap();
            assert!(
                matches!(&entries[..], [entry] if matches!(&entry.state, State::Run { manifest, .. } if **manifest == latest))
            );
        }
        "verify" => {
            let manifest = catalogue::find(&store, RUN).await.unwrap().unwrap();
            let before = store.requests();
            let findings = verify(&store, RUN, Depth::Objects, &|_| {}).await.unwrap();
            assert_eq!((findings.faults, findings.objects), (vec![], scale.objects()));
            let files = parts(&manifest) + scale.names().len() as u64;
            assert_eq!(findings.files, files);
            // Each file once, and the manifest, which is asked for as a small one first.
            let others = store.requests() - before - files;
            assert!((1..=2).contains(&others), "{others} requests too many");
            let at_once = store.most_at_once();
            assert!(at_once <= READS, "{at_once} requests at once");
        }
        "plan of the largest" => planned(&store, Kind::Large, &scale).await,
        "plan of many tenants" => planned(&store, Kind::Tenants, &scale).await,
        other => panic!("there is no phase {other}"),
    }
    phase.end(&store)
}

fn parts(manifest: &Manifest) -> u64 {
    manifest.collections.iter().map(|note| note.parts as u64).sum()
}

fn owner() -> Owner {
    Owner { cluster: "vast".to_owned(), policy: "nightly".to_owned() }
}

async fn written(source: &Vast, store: &Remade, scale: &Scale) -> Manifest {
    let (clock, stop, progress) = (FixedClock::default(), Stop::default(), Progress::default());
    let order = Order { is_all: true, ..Order::new(RUN.to_owned(), owner(), scale.names()) };
    let writer = Writer { store, source, clock: &clock, stop: &stop, progress: &progress, order: &order };
    writer.write().await.unwrap()
}

/// Nothing is missing, nothing is there twice, and nothing was asked more often than it takes.
fn is_exact(manifest: &Manifest, source: &Vast, store: &Remade, scale: &Scale) {
    assert_eq!(manifest.collections.len(), scale.names().len());
    assert!(manifest.lacks.is_empty());
    for note in &manifest.collections {
        let kind = Kind::of(&note.name);
        assert_eq!(note.contents.objects, scale.count(kind), "{}", note.name);
        assert_eq!(note.tenants, (kind == Kind::Tenants).then_some(scale.tenants), "{}", note.name);
    }
    assert_eq!(manifest.source.nodes, world::NODES);
    let lanes = LANES as u64;
    assert!(source.open.most() <= lanes, "{} pages at once, and {lanes} lanes", source.open.most());
    // A page is full, or the last of its stretch.
    let pages = source.pages.load(Ordering::Relaxed);
    let most = scale.full_pages() + scale.stretches();
    assert!(pages <= most, "{pages} pages, and {most} are enough");
    assert!(store.most_parts_at_once() <= lanes, "{} parts at once, and {lanes} lanes", store.most_parts_at_once());
    // Besides parts and indexes: whose place it is, twice; the beginning, twice; restores; the manifest.
    assert!(store.requests() <= parts(manifest) + scale.names().len() as u64 + 6, "{} requests", store.requests());
    let bytes = store.size(layout::MANIFEST);
    assert!(
        bytes <= NOTE_BYTES * (1 + scale.names().len() as u64) && bytes <= DOCUMENT_BYTES,
        "{bytes} of the manifest"
    );
    assert!(store.largest_index() <= DOCUMENT_BYTES);
}

/// What a restore looks at before its first write: every part that it will use.
async fn planned(store: &Remade, kind: Kind, scale: &Scale) {
    let name = kind.name();
    let order = restore::Order {
        run: RUN.to_owned(),
        collection: name.clone(),
        into: format!("{name}Restored"),
        conflict: Conflict::Fail,
        factor: None,
        shards: None,
        skip_schema: false,
        aliases: true,
        select: Select::default(),
        transform: Vec::new(),
        key: None,
        receipt: layout::receipt("scale"),
        target: "vast".to_owned(),
        uid: String::new(),
        approved: None,
        must_be_empty: false,
        retry: Retry::default(),
    };
    let target = MemoryCluster::new(1, 1).with_nodes(world::NODES).collection(&order.into);
    let found = preflight(store, store, &target, &order, FixedClock::default().now()).await.unwrap();
    assert_eq!(found.blockers, vec![]);
    let objects: u64 = found.index.unwrap().parts.iter().map(|part| part.contents.objects).sum();
    assert_eq!(objects, scale.count(kind));
    assert_eq!(found.tenants.len(), if kind == Kind::Tenants { scale.tenants } else { 0 });
}
