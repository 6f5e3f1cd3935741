//! The limit for `cargo xtask bench index`: reads a feed of adds, encodes all of it, and only then looks at the clock
//! and sends what is ready.
//! `replay FILE COLLECTION BATCH IN_FLIGHT GRPC…`, and prints seconds, seconds of processor, objects.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use elysia_weaviate::{BatchEncoder, BatchObject, Client, ClientOptions, Consistency, EncodedBatch, Vectors};
use serde_json::{Map, Value, json};
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

/// The engine's own bound on one message.
const BATCH_BYTES: usize = 4 << 20;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or(format!("{name} is missing"));
    let (file, collection) = (next("FILE")?, next("COLLECTION")?);
    let (batch, in_flight): (usize, usize) = (next("BATCH")?.parse()?, next("IN_FLIGHT")?.parse()?);
    let clients = arguments
        .map(|grpc| Ok(Client::new(ClientOptions::new(grpc.parse()?).grpc(grpc.parse()?))?))
        .collect::<Result<Vec<_>, Failure>>()?;
    let batches = Arc::new(encode(&file, &collection, batch)?);
    let objects = batches.iter().map(EncodedBatch::len).sum::<usize>();

    let (started, processor) = (Instant::now(), processor_seconds()?);
    let taken = Arc::new(AtomicUsize::new(0));
    let mut senders = Vec::new();
    for sender in 0..in_flight {
        let (batches, taken) = (batches.clone(), taken.clone());
        let client = clients.get(sender % clients.len().max(1)).ok_or("GRPC is missing")?.clone();
        senders.push(tokio::spawn(async move {
            while let Some(batch) = batches.get(taken.fetch_add(1, Ordering::Relaxed)) {
                let outcome = client.send_batch(batch.clone()).await?;
                if let Some(error) = outcome.errors.first() {
                    return Err::<(), Failure>(error.message.clone().into());
                }
            }
            Ok(())
        }));
    }
    for sender in senders {
        sender.await??;
    }
    let (seconds, processor) = (started.elapsed().as_secs_f64(), processor_seconds()? - processor);
    let figures = json!({"seconds": seconds, "processor": processor, "objects": objects});
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}

fn encode(file: &str, collection: &str, most: usize) -> Result<Vec<EncodedBatch>, Failure> {
    let mut batches = Vec::new();
    let mut encoder = BatchEncoder::new();
    for line in BufReader::new(std::fs::File::open(file)?).lines() {
        encoder.push(&object(collection, &serde_json::from_str(&line?)?)?)?;
        if encoder.len() >= most || encoder.bytes() >= BATCH_BYTES {
            batches.push(std::mem::take(&mut encoder).finish(Consistency::Quorum));
        }
    }
    if !encoder.is_empty() {
        batches.push(encoder.finish(Consistency::Quorum));
    }
    Ok(batches)
}

fn object(collection: &str, line: &Value) -> Result<BatchObject, Failure> {
    let text = |name: &str| line[name].as_str().ok_or(format!("a line without {name}"));
    let (repo, path) = (text("repo")?, text("path")?);
    let mut properties = Map::from_iter(["repo", "path", "content"].map(|name| (name.to_owned(), line[name].clone())));
    properties.extend(line["metadata"].as_object().cloned().unwrap_or_default());
    let unnamed = match &line["vector"] {
        Value::Null => None,
        vector => Some(serde_json::from_value(vector.clone())?),
    };
    Ok(BatchObject {
        id: Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("{collection}{repo}:{path}").as_bytes()),
        class: collection.to_owned(),
        tenant: None,
        properties,
        vectors: Vectors { unnamed, named: BTreeMap::new() },
    })
}

/// Seconds of processor that this process used: fields 14 and 15 of `/proc/self/stat` in hundredths (`USER_HZ`).
fn processor_seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    let ticks = |index: usize| fields.get(index).ok_or("no such field").map(|field| field.parse::<f64>());
    Ok((ticks(11)?? + ticks(12)??) / 100.0)
}
