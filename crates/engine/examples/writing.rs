//! How fast objects with vectors become a part of a backup, and objects again, on one core and stage by stage:
//! `cargo run --release -p elysia-engine --example writing`.
//!
//! What counts is the processor's time of this thread alone, so that whatever else the machine does counts little (Linux).
//! Prints the JSON of a bench: a median of rounds that take turns, with least and most.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement, run by hand"
)]

use std::hint::black_box;
use std::sync::Arc;

use elysia_engine::backup::columns::Columns;
use elysia_engine::backup::digest::object_digest;
use elysia_engine::backup::manifest::DataFormat;
use elysia_engine::backup::part::{PartWriter, open};
use elysia_engine::object::{Object, Vector};
use serde_json::json;
use uuid::Uuid;

/// Rounds of each stage.
const ROUNDS: usize = 7;

/// What is measured, each for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Digest,
    Encode,
    Decode,
}

fn main() {
    let class = json!({
        "class": "Articles",
        "properties": [
            {"name": "repo", "dataType": ["text"]},
            {"name": "path", "dataType": ["text"]},
            {"name": "content", "dataType": ["text"]},
            {"name": "size", "dataType": ["int"]},
        ],
        "vectorConfig": {"default": {"vectorIndexType": "hnsw", "vectorizer": {"none": {}}}},
    });
    let columns = Arc::new(Columns::of_class(&class).unwrap());
    let mut rows = Vec::new();
    for (dimensions, count) in [(384, 8_000), (1536, 2_000)] {
        let objects = objects(dimensions, count);
        let part = encoded(objects.clone(), &columns);
        let condition = format!("{dimensions} dimensions");
        let mut rounds = [(Stage::Digest, vec![]), (Stage::Encode, vec![]), (Stage::Decode, vec![])];
        for _ in 0..ROUNDS {
            for (stage, found) in &mut rounds {
                // Encoding takes them over.
                let mut own = if *stage == Stage::Encode { objects.clone() } else { Vec::new() };
                let started = processor_seconds();
                match stage {
                    Stage::Digest => {
                        for object in &objects {
                            black_box(object_digest(object));
                        }
                    }
                    Stage::Encode => drop(black_box(encoded(std::mem::take(&mut own), &columns))),
                    Stage::Decode => {
                        let groups = open(part.clone().into(), DataFormat::Parquet, &columns).unwrap();
                        groups.for_each(|group| drop(black_box(group.unwrap())));
                    }
                }
                found.push((processor_seconds() - started) * 1e6 / count as f64);
            }
        }
        for (stage, found) in rounds {
            rows.push(row(stage, &condition, found));
        }
        let raw: usize = objects.iter().map(Object::bytes).sum();
        let share = part.len() as f64 / raw as f64;
        rows.push(json!({"what": "bytes / raw", "condition": condition, "unit": "of 1", "value": share}));
    }
    println!("{:#}", json!({"name": "writing", "rounds": ROUNDS, "rows": rows}));
}

/// How long this thread was on a processor.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn row(stage: Stage, condition: &str, mut found: Vec<f64>) -> serde_json::Value {
    found.sort_by(f64::total_cmp);
    let what = format!("{stage:?}").to_lowercase();
    let (least, most) = (found[0], found[found.len() - 1]);
    json!({"what": what, "condition": condition, "unit": "us/object", "value": found[found.len() / 2], "spread": [least, most]})
}

/// All of them as one part, with what its index says of it.
fn encoded(objects: Vec<Object>, columns: &Arc<Columns>) -> Vec<u8> {
    let mut part = PartWriter::new(DataFormat::Parquet, columns).unwrap();
    for object in objects {
        part.push(object).unwrap();
    }
    part.finish().unwrap().unwrap().bytes
}

/// Objects with vectors of length one, as models make them, the same on every machine.
fn objects(dimensions: usize, count: usize) -> Vec<Object> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let mut objects = Vec::with_capacity(count);
    for number in 0..count {
        // Sums of several numbers fall as those of models do: most of them near nothing.
        let mut numbers: Vec<f32> = (0..dimensions).map(|_| (0..4).map(|_| next()).sum::<f32>() - 2.0).collect();
        let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
        for number in &mut numbers {
            *number /= length;
        }
        let properties = json!({
            "repo": "elysia",
            "path": format!("crates/engine/src/module_{}/file_{number}.rs", number % 97),
            "content": format!("{number} lines of the same sort, some hundred bytes of them. ").repeat(8),
            "size": number,
        });
        objects.push(Object {
            id: Uuid::from_u128((number as u128) << 96 | 7),
            properties: properties.as_object().unwrap().clone(),
            vectors: [("default".to_owned(), Vector::Single(numbers))].into(),
        });
    }
    objects
}
