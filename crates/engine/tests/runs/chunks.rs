//! Feeds whose texts are cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use elysia_engine::category::Category;
use elysia_engine::chunk::chunk_id;
use elysia_engine::guard::{Guard, Limits};
use elysia_engine::identity::document_id;
use elysia_engine::ledger::State;
use elysia_engine::memory::{FixedClock, Fuse, MemoryLedger, MemorySource};
use elysia_engine::object::{Object, Vector};
use elysia_engine::ports::{PortError, Refusal, Sink};
use elysia_engine::retry::Stop;
use elysia_engine::run::{Ports, RunError, run};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Scene, block_on};

fn line(op: &str, path: &str, more: &Value) -> String {
    let mut line = json!({"repo": "r", "op": op, "path": path});
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    format!("{line}\n")
}

fn add(path: &str, text: &str) -> String {
    line("add", path, &json!({"content": text}))
}

fn cut(text: &str) -> Scene {
    Scene { chunks: Some((4, 0)), ..Scene::of(text) }
}

/// The next run of another feed over the same collection.
fn then(scene: Scene, text: &str) -> Scene {
    Scene { source: MemorySource::of("feed.jsonl", text), name: Some("then"), ..scene }
}

/// `path: text|of|chunks`, by head.
fn pictures(scene: &Scene) -> Vec<String> {
    let objects = scene.sink.objects();
    let mut found = BTreeSet::new();
    let mut pictures = Vec::new();
    for path in ["a", "b", "c"] {
        let id = document_id("Articles", "r", path);
        let Some(head) = objects.get(&id) else { continue };
        found.insert(id);
        assert_eq!(head.properties["chunk"], 0, "the head of {path} is whole");
        let mut texts = vec![head.properties["content"].as_str().unwrap()];
        for number in 1..head.properties["chunks"].as_u64().unwrap() {
            let chunk = objects.get(&chunk_id(id, number));
            texts.push(chunk.map_or("-", |chunk| chunk.properties["content"].as_str().unwrap()));
            if let Some(chunk) = chunk {
                found.insert(chunk.id);
                assert_eq!((&chunk.properties["path"], &chunk.properties["chunk"]), (&json!(path), &json!(number)));
                assert_eq!(chunk.properties.get("k"), head.properties.get("k"));
            }
        }
        pictures.push(format!("{path}: {}", texts.join("|")));
    }
    assert_eq!(found, objects.keys().copied().collect(), "no chunk without a head");
    pictures
}

#[test]
fn chunks_go_where_their_document_goes() {
    let rename = |path: &str, to: &str, more: &Value| {
        let mut more = more.clone();
        more["new_path"] = json!(to);
        line("rename", path, &more)
    };
    let key = json!({"metadata": {"k": "1"}});
    let cases = [
        ("longer", add("a", "one2two3thr4x"), vec!["a: one2|two3|thr4|x", "b: bbbb|bb"]),
        ("shorter", add("a", "one"), vec!["a: one", "b: bbbb|bb"]),
        ("changed by metadata alone", line("modify", "a", &key), vec!["a: aaaa|aaaa|a", "b: bbbb|bb"]),
        ("changed in its text", line("modify", "a", &json!({"content": "12345"})), vec!["a: 1234|5", "b: bbbb|bb"]),
        ("gone", line("delete", "a", &json!({})), vec!["b: bbbb|bb"]),
        ("moved", rename("a", "c", &key), vec!["b: bbbb|bb", "c: aaaa|aaaa|a"]),
        ("moved over a shorter one", rename("a", "b", &key), vec!["b: aaaa|aaaa|a"]),
        ("moved over a longer one", rename("b", "a", &json!({})), vec!["a: bbbb|bb"]),
        ("moved with another text", rename("a", "b", &json!({"content": "x"})), vec!["b: x"]),
        ("moved on", rename("a", "b", &json!({})) + rename("b", "c", &key).as_str(), vec!["c: aaaa|aaaa|a"]),
        (
            "moved away and made anew",
            rename("a", "c", &json!({})) + add("a", "12345").as_str(),
            vec!["a: 1234|5", "b: bbbb|bb", "c: aaaa|aaaa|a"],
        ),
    ];
    for (case, text, expected) in cases {
        let first = cut(&(add("a", "aaaaaaaaa") + add("b", "bbbbbb").as_str()));
        first.run(&Fuse::none()).unwrap();
        let scene = then(first, &text);
        let counts = scene.run(&Fuse::none()).unwrap().counts;
        assert_eq!((counts.lines, counts.rejected), (text.lines().count() as u64, 0), "{case}: lines are counted");
        assert_eq!(pictures(&scene), expected, "{case}");
    }
}

#[test]
fn another_size_cuts_anew_and_a_document_from_before_has_one_chunk() {
    let whole = Scene::of(&add("a", "aaaaaaaaa"));
    whole.run(&Fuse::none()).unwrap();
    let describe = line("modify", "a", &json!({"metadata": {"k": "1"}}));
    let scene = Scene { chunks: Some((4, 0)), ..then(whole, &describe) };
    scene.run(&Fuse::none()).unwrap();
    assert_eq!(pictures(&scene), ["a: aaaaaaaaa"], "its text did not come again");
    for (run, size, expected) in [("4", 4, "a: bbbb|bbbb|b"), ("3", 3, "a: bbb|bbb|bbb"), ("9", 9, "a: bbbbbbbbb")] {
        let again = Scene { name: Some(run), chunks: Some((size, 0)), ..then_named(&scene, &add("a", "bbbbbbbbb")) };
        again.run(&Fuse::none()).unwrap();
        assert_eq!(pictures(&again), [expected]);
    }
}

fn then_named(scene: &Scene, text: &str) -> Scene {
    Scene { sink: scene.sink.clone(), store: scene.store.clone(), ..Scene::of(text) }
}

#[test]
fn a_refused_chunk_rejects_its_line_and_is_missing_alone() {
    fn bad(object: &Object) -> Option<PortError> {
        let message = "no good".to_owned();
        let error = PortError { category: Category::Validation, retryable: false, message };
        (object.properties["content"] == "bad4").then_some(error)
    }
    let first = cut(&(add("a", "aaaaaaaaa") + add("b", "bbbbbb").as_str()));
    first.run(&Fuse::none()).unwrap();
    let sink = first.sink.clone().refusing(bad);
    let scene = Scene { sink, ..then(first, &(add("a", "one2bad4thr4") + add("b", "2").as_str())) };
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.counts.added, ledger.counts.rejected, ledger.dead_letters.len()), (1, 1, 1));
    let reason = &ledger.dead_letters[0].reason;
    assert_eq!(reason, "the server refused chunk 1, without which the document is: no good");
    assert_eq!(pictures(&scene), ["a: one2|-|thr4", "b: 2"], "not what was there before");
    // The first chunk is as any object: nothing came of the line.
    let scene = Scene { name: Some("head"), ..then_named(&scene, &add("b", "bad4two3")) };
    let scene = Scene { chunks: Some((4, 0)), sink: scene.sink.clone().refusing(bad), ..scene };
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.rejected, 1);
    assert_eq!(pictures(&scene), ["a: one2|-|thr4", "b: 2"]);
}

#[test]
fn a_document_whose_chunk_is_refused_at_its_new_path_stays_at_the_old_one() {
    fn at_c(object: &Object) -> Option<PortError> {
        let message = "no good".to_owned();
        let error = PortError { category: Category::Validation, retryable: false, message };
        (object.properties["path"] == "c" && object.properties.get("chunk") == Some(&json!(2))).then_some(error)
    }
    let first = cut(&add("a", "aaaaaaaaa"));
    first.run(&Fuse::none()).unwrap();
    let sink = first.sink.clone().refusing(at_c);
    let scene = Scene { sink, ..then(first, &line("rename", "a", &json!({"new_path": "c"}))) };
    assert_eq!(scene.run(&Fuse::none()).unwrap().counts.rejected, 1);
    assert_eq!(pictures(&scene), ["a: aaaa|aaaa|a", "c: aaaa|aaaa|-"]);
}

#[test]
fn a_vector_is_that_of_one_chunk_whose_text_is_there() {
    let with = |op: &str, more: &Value| {
        let mut more = more.clone();
        more["vector"] = json!([1.0, 2.0]);
        line(op, "a", &more)
    };
    let text = with("add", &json!({"content": "one"}))
        + with("add", &json!({"content": "one2two3t"})).as_str()
        + with("modify", &json!({})).as_str()
        + with("rename", &json!({"new_path": "c"})).as_str();
    let scene = cut(&text);
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!((ledger.counts.added, ledger.counts.rejected), (1, 3));
    let reasons = ledger.dead_letters.iter().map(|letter| &letter.reason[..39]).collect::<Vec<_>>();
    let without = "a vector without content, in a feed wit";
    assert_eq!(reasons, ["the content makes 3 chunks, and the lin", without, without]);
}

#[test]
fn a_guard_counts_documents() {
    let first = cut(&(add("a", "aaaaaaaaaaaaa") + add("b", "bbbbbb").as_str()));
    first.run(&Fuse::none()).unwrap();
    let limits = Limits { objects: Some(5), percent: Some(49) };
    let scene = then(first, &line("delete", "a", &json!({})));
    let scene = Scene { guard: Some(Guard { limits, approval: None }), ..scene };
    let ledger = scene.run(&Fuse::none()).unwrap();
    let guarded = ledger.guarded.unwrap();
    assert_eq!((ledger.state, guarded.deletes, guarded.objects), (State::Waiting, 1, Some(2)));
}

/// A collection of documents of very many chunks, which takes what it is given and keeps nothing.
#[derive(Default)]
struct Huge {
    held: AtomicUsize,
    most: AtomicUsize,
    put: AtomicUsize,
}

const HUGE: u64 = 4_000;

impl Huge {
    async fn hold(&self, objects: usize) {
        let held = self.held.fetch_add(objects, Ordering::SeqCst) + objects;
        self.most.fetch_max(held, Ordering::SeqCst);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.held.fetch_sub(objects, Ordering::SeqCst);
    }
}

impl Sink for Huge {
    async fn fetch(&self, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.hold(ids.len()).await;
        let object = |id: &Uuid| {
            let properties = json!({"path": "p", "content": "x".repeat(4_096), "chunks": HUGE, "chunk": 1});
            let vectors = BTreeMap::from([(String::new(), Vector::Single(vec![0.5; 1_536]))]);
            Object { id: *id, properties: properties.as_object().unwrap().clone(), vectors }
        };
        Ok(ids.iter().map(object).collect())
    }

    async fn present(&self, ids: &[Uuid]) -> Result<Vec<Uuid>, PortError> {
        Ok(ids.to_vec())
    }

    async fn count(&self, _: Option<&str>) -> Result<Option<u64>, PortError> {
        Ok(None)
    }

    async fn chunk_counts(&self, ids: &[Uuid], _: &str) -> Result<Vec<(Uuid, u64)>, PortError> {
        Ok(ids.iter().map(|id| (*id, HUGE)).collect())
    }

    async fn put(&self, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        self.put.fetch_add(objects.len(), Ordering::SeqCst);
        self.hold(objects.len()).await;
        Ok(Vec::new())
    }

    async fn delete(&self, ids: &[Uuid]) -> Result<(), PortError> {
        assert!(ids.len() <= 1_000);
        Ok(())
    }
}

#[test]
fn few_chunks_are_in_memory_however_many_there_are() {
    let rename = |number: usize| line("rename", &format!("{number}"), &json!({"new_path": format!("to {number}")}));
    let scene = cut(&(0..5).map(rename).collect::<String>());
    let (sink, store) = (Huge::default(), MemoryLedger::default());
    let ports = Ports { source: &scene.source, sink: &sink, store: &store, clock: &FixedClock::default() };
    let ledger = block_on(run(&scene.settings(), &ports, &Stop::default())).unwrap();
    assert_eq!(ledger.counts.renamed, 5);
    // Each head twice.
    assert_eq!(sink.put.into_inner(), 5 * 4_001);
    // Four pieces of a MiB, of objects of ten KiB.
    let most = sink.most.into_inner();
    assert!((100..=4 * 102).contains(&most), "{most} at once");
    let pending = store.history().into_iter().find_map(|ledger| ledger.pending).unwrap();
    assert!(serde_json::to_string(&pending).unwrap().len() < 1_500, "it owes counts, not lists of chunks");
}

#[test]
fn a_worker_that_is_asked_to_stop_does_not_end_a_document_of_very_many_chunks() {
    let scene = cut(&line("rename", "a", &json!({"new_path": "c"})));
    let (sink, store, stop) = (Huge::default(), MemoryLedger::default(), Stop::default());
    let ports = Ports { source: &scene.source, sink: &sink, store: &store, clock: &FixedClock::default() };
    let settings = scene.settings();
    let stopping = async {
        while sink.put.load(Ordering::SeqCst) < 500 {
            tokio::task::yield_now().await;
        }
        stop.set();
    };
    let (ended, ()) = block_on(async { futures::join!(run(&settings, &ports, &stop), stopping) });
    assert_eq!(ended.unwrap_err(), RunError::Stopped);
    assert!(sink.put.into_inner() < 1_500);
}
