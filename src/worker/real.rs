#![allow(clippy::all, clippy::pedantic, clippy::unwrap_used)]
use std::collections::BTreeMap;
use elysia_engine::identity::document_id;
use elysia_engine::mapping::Unmapped;
use elysia_engine::memory::*;
use elysia_engine::object::*;
use elysia_engine::ports::*;
use elysia_engine::retry::*;
use elysia_engine::run::*;
use elysia_engine::window::WindowLimits;
use elysia_weaviate::*;
use serde_json::{Value, json};
use super::sink::WeaviateSink;

async fn go(sink: &WeaviateSink, class: &Value, name: &str, text: &str, store: &MemoryLedger, lines: usize) -> Result<elysia_engine::ledger::Ledger, RunError> {
    let class = super::class::read(class, Unmapped::Reject).unwrap();
    let source = MemorySource::of("f", text);
    let clock = super::clock::SystemClock;
    let ports = Ports { source: &source, sink, store, clock: &clock };
    let settings = Settings { run: name.into(), collection: "Real".into(), mapping: class.mapping, computed_vectors: class.computed_vectors,
        max_rejected: None, window: WindowLimits { lines, ..WindowLimits::default() }, retry: Retry::default() };
    run(&settings, &ports, &Stop::default()).await
}

#[tokio::test]
async fn real() {
    let Ok(rest) = std::env::var("REAL_REST") else { return };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let options = ClientOptions::new(rest.parse().unwrap()).grpc(std::env::var("REAL_GRPC").unwrap().parse().unwrap());
    let client = Client::new(options).unwrap();
    let p = |n: &str, t: &str| json!({"name": n, "dataType": [t]});
    let class = json!({"class": "Real", "vectorizer": "none", "properties": [p("repo","text"),p("path","text"),p("content","text"),p("author","text"),
      p("tags","text[]"),p("size","int"),p("sizes","int[]"),p("score","number"),p("scores","number[]"),p("bin","boolean"),p("bins","boolean[]"),p("when","date"),p("whens","date[]"),p("commit","uuid"),p("place","geoCoordinates"),p("data","blob")]});
    let _ = client.delete_class("Real").await;
    client.create_class(&class).await.unwrap();
    let live = client.class("Real", SchemaRead::Leader).await.unwrap().unwrap();
    let sink = WeaviateSink::new(client.clone(), "Real", Consistency::Quorum);
    let store = MemoryLedger::default();
    // types
    let meta = json!({"author":"a","tags":["x","y"],"size":9007199254740991i64,"sizes":[1,2],"score":1.5,"scores":[1.5,2.0],"bin":true,"bins":[true,false],
      "when":"2026-11-21T10:00:00.123456+01:00","whens":["2026-11-21T10:00:00Z"],"commit":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","place":{"latitude":1.5,"longitude":2.5},"data":"aGk="});
    let text = format!("{}\n{}\n", json!({"repo":"r","op":"add","path":"p","content":"c","metadata":meta}), json!({"repo":"r","op":"modify","path":"unknown","metadata":{"size":1}}));
    let l = go(&sink, &live, "1", &text, &store, 1000).await.unwrap();
    println!("{:?} {:?}", l.counts, l.dead_letters);
    let id = document_id("Real", "r", "p");
    let first = sink.fetch(&[id]).await.unwrap().pop().unwrap();
    println!("{}", Value::Object(first.properties.clone()));
    let l = go(&sink, &live, "2", &json!({"repo":"r","op":"modify","path":"p","metadata":{"author":"b","tags":[]}}).to_string(), &store, 1000).await.unwrap();
    println!("{:?} {:?}", l.counts, l.dead_letters);
    let mut second = sink.fetch(&[id]).await.unwrap().pop().unwrap();
    println!("{}", Value::Object(second.properties.clone()));
    assert_eq!(second.properties.remove("author"), Some(json!("b")));
    second.properties.remove("tags");
    let mut expect = first.clone(); expect.properties.remove("author"); expect.properties.remove("tags");
    assert_eq!(second, expect);
    // vectors and rename
    let mut o = first.clone(); o.vectors = Vectors::from([(String::new(), Vector::Single(vec![0.1, 0.2, 3.0e-8]))]);
    assert!(sink.put(&[o.clone()]).await.unwrap().is_empty());
    let l = go(&sink, &live, "3", &json!({"repo":"r","op":"rename","path":"p","new_path":"q"}).to_string(), &store, 1000).await.unwrap();
    println!("{:?} {:?}", l.counts, l.dead_letters);
    assert!(sink.fetch(&[id]).await.unwrap().is_empty());
    let q = sink.fetch(&[document_id("Real", "r", "q")]).await.unwrap().pop().unwrap();
    o.id = q.id; o.properties.insert("path".into(), json!("q"));
    assert_eq!(q, o);
    // a refused object: vector of another length
    let mut bad = o.clone(); bad.id = uuid::Uuid::new_v4(); bad.vectors.insert(String::new(), Vector::Single(vec![1.0]));
    println!("refusals {:?}", sink.put(&[bad, o.clone()]).await);
    // random feed
    let mut seed = 12345u64;
    let mut next = |n: u64| { seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (seed >> 33) % n };
    let mut text = String::new(); let mut map: BTreeMap<String, (Option<String>, Option<u64>)> = BTreeMap::new(); let mut rejected = 0;
    for i in 0..4000u64 {
        let path = format!("d/{}", next(300)); let c = format!("text {i}");
        let line = match next(10) {
            0..=3 => { map.insert(path.clone(), (Some(c.clone()), None)); json!({"repo":"x:y","op":"add","path":path,"content":c}) }
            4..=6 => { let e = map.entry(path.clone()).or_default(); e.1 = Some(i); json!({"repo":"x:y","op":"modify","path":path,"metadata":{"size":i}}) }
            7 => { map.remove(&path); json!({"repo":"x:y","op":"delete","path":path}) }
            _ => { let n = format!("d/{}", next(300)); if n == path || !map.contains_key(&path) { rejected += 1; } else { let v = map.remove(&path).unwrap(); map.insert(n.clone(), v); } json!({"repo":"x:y","op":"rename","path":path,"new_path":n}) }
        };
        text += &line.to_string(); text.push('\n');
    }
    let started = std::time::Instant::now();
    let mut kills = 0;
    let ledger = loop {
        let fuse = Fuse::after(3 + next(40));
        match go(&sink, &live, "4", &text, &store.with_fuse(fuse), 37).await { Ok(l) => break l, Err(e) => { kills += 1; assert!(kills < 200, "{e}"); } }
    };
    println!("kills {kills} {:?} {:?}", started.elapsed(), ledger.counts);
    assert_eq!(ledger.counts.rejected, rejected); assert_eq!(ledger.counts.lines, 4000);
    let ids: Vec<_> = (0..300).map(|n| document_id("Real", "x:y", &format!("d/{n}"))).collect();
    let found: BTreeMap<String, (Option<String>, Option<u64>)> = sink.fetch(&ids).await.unwrap().into_iter().map(|o| (o.properties["path"].as_str().unwrap().to_owned(),
        (o.properties.get("content").map(|c| c.as_str().unwrap().to_owned()), o.properties.get("size").map(|c| c.as_f64().unwrap() as u64)))).collect();
    assert_eq!(found, map);
    let all = client.list_ids(Page { class: "Real", tenant: None, after: None, limit: 1000 }).await.unwrap();
    assert_eq!(all.len(), map.len() + 2);
    let started = std::time::Instant::now();
    let l = go(&sink, &live, "5", &(0..5000).map(|n| json!({"repo":"s","op":"add","path":n.to_string(),"content":"x".repeat(300)}).to_string() + "\n").collect::<String>(), &store, 1000).await.unwrap();
    println!("5000 adds {:?} {:?}", started.elapsed(), l.counts);
}
