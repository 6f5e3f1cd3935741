//! The limit for the reading half of `cargo xtask bench backup`: reads every object of a collection with its vectors,
//! several stretches of ids at once, and keeps none.
//! `read_all COLLECTION STRETCHES REST GRPC…`, and prints seconds, seconds of processor, objects.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use elysia_weaviate::{Client, ClientOptions, Consistency, Page, SchemaRead, Selection};
use serde_json::json;
use uuid::Uuid;

type Failure = Box<dyn Error + Send + Sync>;

/// Bytes of a page, about: what is measured beside this one has the same.
const PAGE_BYTES: usize = 4 << 20;
/// Objects of a page, at most, and of the first one.
const MOST_OBJECTS: usize = 1000;
const FIRST_PAGE: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &str| arguments.next().ok_or(format!("{name} is missing"));
    let (collection, stretches, rest) = (next("COLLECTION")?, next("STRETCHES")?.parse::<u32>()?, next("REST")?);
    let clients = arguments
        .map(|grpc| Ok(Client::new(ClientOptions::new(rest.parse()?).grpc(grpc.parse()?))?))
        .collect::<Result<Vec<_>, Failure>>()?;
    let first = clients.first().ok_or("GRPC is missing")?;
    let class = first.class(&collection, SchemaRead::Leader).await?.ok_or("there is no such collection")?;
    let selection = Selection::of_class(&class);

    let (started, processor) = (Instant::now(), processor_seconds()?);
    let mut readers = Vec::new();
    for stretch in 0..stretches {
        let client = clients[usize::try_from(stretch)? % clients.len()].clone();
        let (collection, selection) = (collection.clone(), selection.clone());
        readers.push(tokio::spawn(async move { read(&client, &collection, &selection, stretch, stretches).await }));
    }
    let mut objects = 0;
    for reader in readers {
        objects += reader.await??;
    }
    let (seconds, processor) = (started.elapsed().as_secs_f64(), processor_seconds()? - processor);
    let figures = json!({"seconds": seconds, "processor": processor, "objects": objects});
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}

/// The ids of stretch `number` of so many begin here.
fn bound(number: u32, of: u32) -> Uuid {
    Uuid::from_u128(u128::MAX / u128::from(of) * u128::from(number))
}

async fn read(client: &Client, class: &str, selection: &Selection, number: u32, of: u32) -> Result<usize, Failure> {
    let until = (number + 1 < of).then(|| bound(number + 1, of));
    let mut after = (number > 0).then(|| bound(number, of));
    let (mut objects, mut limit) = (0, FIRST_PAGE);
    loop {
        let page = Page { class, tenant: None, after, limit };
        let read = client.fetch_page(page, selection, true, Consistency::One).await?;
        let within = read.iter().filter(|object| until.is_none_or(|until| object.id < until)).count();
        objects += within;
        let Some(last) = read.last().filter(|_| within == read.len()) else { return Ok(objects) };
        after = Some(last.id);
        let numbers = last.vectors.unnamed.as_ref().map_or(0, Vec::len);
        let text = last.properties.values().map(|value| value.as_str().map_or(8, str::len)).sum::<usize>();
        limit = (PAGE_BYTES / (numbers * size_of::<f32>() + text).max(1)).clamp(1, MOST_OBJECTS);
    }
}

/// Seconds of processor that this process used: fields 14 and 15 of `/proc/self/stat` in hundredths (`USER_HZ`).
fn processor_seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    let ticks = |index: usize| fields.get(index).ok_or("no such field").map(|field| field.parse::<f64>());
    Ok((ticks(11)?? + ticks(12)??) / 100.0)
}
