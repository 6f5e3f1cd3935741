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
use std::fs;
use std::sync::atomic::Ordering;
use std::time::Instant;

use elysia_engine::backup::catalogue::{self, LATEST, State};
use elysia_engine::backup::layout;
use elysia_engine::backup::manifest::{DOCUMENT_BYTES, Manifest, Owner};
use elysia_engine::backup::memory::MemoryCluster;
use elysia_engine::backup::restore::{self, Conflict, preflight};
use elysia_engine::backup::transform::Select;
use elysia_engine::backup::verify::{Depth, verify};
use elysia_engine::backup::write::{LANES, Order, Progress, Writer};
use elysia_engine::memory::FixedClock;
use elysia_engine::ports::Clock as _;
use elysia_engine::retry::{Retry, Stop};
use serde_json::{Value, json};

use world::{Kind, Remade, Scale, Vast};

/// As the worker's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// The most memory of a phase, from its own beginning on.
struct Phase {
    started: Instant,
    requests: u64,
}

impl Phase {
    fn begin(store: &Remade) -> Self {
        // 5: the peak is that of now.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        store.most_at_once();
        Self { started: Instant::now(), requests: store.requests() }
    }

    /// What it took; it fails where that is more than a worker has.
    fn end(self, name: &str, store: &Remade, most: u64) -> Value {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
        let (requests, at_once) = (store.requests() - self.requests, store.most_at_once());
        let seconds = self.started.elapsed().as_secs_f64();
        println!("{name}: {seconds:.0} s, {} MiB, {requests} requests, {at_once} at once", peak >> 20);
        assert!(peak <= most, "{name} took {} MiB, and has {}", peak >> 20, most >> 20);
        json!({"seconds": seconds, "peak bytes": peak, "store requests": requests, "store requests at once": at_once})
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_share_of_it_is_exact_and_bounded() {
    simulated(SHARE).await;
}

/// Everything, or the share that `ELYSIA_SOAK_SHARE` says: 50 is a fiftieth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `cargo xtask soak backup-scale`"]
async fn memory_and_calls_do_not_grow_with_the_data() {
    let figures = simulated(std::env::var("ELYSIA_SOAK_SHARE").map_or(1, |text| text.parse().unwrap())).await;
    println!("{figures:#}");
    if let Some(file) = std::env::var_os("ELYSIA_SOAK_FIGURES") {
        fs::write(file, figures.to_string()).unwrap();
    }
}

/// Writes, lists, reads back and plans, and answers the figures.
async fn simulated(share: u64) -> Value {
    let scale = Scale::of(share);
    let (source, store) = (Vast::new(scale.clone()), Remade::new(scale.clone()));
    let (collections, objects, bytes) = (scale.names().len(), scale.objects(), scale.bytes());
    println!("{collections} collections, {objects} objects, {} MB of vectors", bytes / 1_000_000);
    let mut phases = BTreeMap::new();

    let phase = Phase::begin(&store);
    let manifest = written(&source, &store, &scale).await;
    phases.insert("write", phase.end("write", &store, MEMORY));
    is_exact(&manifest, &source, &store, &scale);

    let phase = Phase::begin(&store);
    let entries = catalogue::list(&store).await.unwrap();
    assert!(
        matches!(&entries[..], [entry] if matches!(&entry.state, State::Run { manifest: found, .. } if **found == manifest))
    );
    assert_eq!(catalogue::find(&store, LATEST).await.unwrap().as_ref(), Some(&manifest));
    phases.insert("catalogue", phase.end("catalogue", &store, MEMORY));

    let phase = Phase::begin(&store);
    let findings = verify(&store, RUN, Depth::Objects, &|_| {}).await.unwrap();
    assert_eq!((findings.faults, findings.objects), (vec![], scale.objects()));
    let parts: u64 = manifest.collections.iter().map(|note| note.parts as u64).sum();
    assert_eq!(findings.files, parts + scale.names().len() as u64);
    let verified = phase.end("verify", &store, MEMORY + MAKING);
    // Each file once, and the manifest, which is asked for as a small one first.
    let others = verified["store requests"].as_u64().unwrap() - parts - scale.names().len() as u64;
    assert!((1..=2).contains(&others), "{others} requests too many");
    assert!(verified["store requests at once"].as_u64().unwrap() <= READS);
    phases.insert("verify", verified);

    for (name, kind) in [("plan of the largest", Kind::Large), ("plan of many tenants", Kind::Tenants)] {
        let phase = Phase::begin(&store);
        planned(&store, kind, &scale).await;
        phases.insert(name, phase.end(name, &store, MEMORY + MAKING));
    }

    json!({
        "name": "backup-scale", "nodes": world::NODES, "collections": collections, "objects": objects,
        "objects of the largest": scale.count(Kind::Large), "tenants": scale.tenants, "bytes of vectors": bytes,
        "parts": parts, "bytes of parts": manifest.bytes(), "bytes of the manifest": store.size(layout::MANIFEST),
        "bytes of the largest index": store.largest_index(), "pages": source.pages.load(Ordering::Relaxed),
        "pages at once": source.open.most(), "phases": phases,
    })
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
    let parts: u64 = manifest.collections.iter().map(|note| note.parts as u64).sum();
    assert!(store.most_parts_at_once() <= lanes, "{} parts at once, and {lanes} lanes", store.most_parts_at_once());
    // Besides parts and indexes: whose place it is, twice; the beginning, twice; restores; the manifest.
    assert!(store.requests() <= parts + scale.names().len() as u64 + 6, "{} requests", store.requests());
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
