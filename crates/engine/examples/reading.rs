//! How fast lines are read on one core, stage by stage: `cargo run --release -p elysia-engine --example reading`.
//!
//! The input lies in memory, so that no disk is measured, and what counts is the processor's time of this thread alone, so
//! that whatever else the machine does counts little (Linux). Each stage does all of the one before it: the differences tell
//! where the time goes. Prints the JSON of a bench: a median of rounds that take turns, with least and most.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement, run by hand"
)]

use std::hint::black_box;

use elysia_engine::compression::Decoded;
use elysia_engine::line;
use elysia_engine::mapping::{DataType, Mapping, Unmapped};
use elysia_engine::reader::Lines;
use elysia_engine::step::Step;
use serde_json::json;

/// Bytes of each input: many times a processor's caches, and a round takes well under a second.
const INPUT_BYTES: usize = 128 << 20;
/// Rounds of each stage.
const ROUNDS: usize = 7;

/// What is measured, each with all before it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Lines,
    Parse,
    Step,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let text = |name: &str| (name.to_owned(), DataType::parse("text"));
    let size = ("size".to_owned(), DataType::parse("int"));
    let properties = ["repo", "path", "content", "author"].map(text).into_iter().chain([size]);
    let mapping = Mapping::new(properties, Unmapped::Reject).unwrap();
    let mut rows = Vec::new();
    for (condition, least, most) in
        [("source files of 2 to 8 KiB", 2048, 8192), ("short texts of 40 to 120 bytes", 40, 120)]
    {
        let input = input(least, most);
        let mut rounds = [(Stage::Lines, vec![]), (Stage::Parse, vec![]), (Stage::Step, vec![])];
        for _ in 0..ROUNDS {
            for (stage, found) in &mut rounds {
                let started = processor_seconds();
                let lines = runtime.block_on(read(&input, &mapping, *stage));
                let seconds = processor_seconds() - started;
                found.push((input.len() as f64 / 1e6 / seconds, lines as f64 / seconds));
            }
        }
        for (stage, found) in rounds {
            rows.push(row(stage, condition, "MB/s", found.iter().map(|(megabytes, _)| *megabytes)));
            rows.push(row(stage, condition, "lines/s", found.iter().map(|(_, lines)| *lines)));
        }
    }
    println!("{:#}", json!({"name": "reading", "inputBytes": INPUT_BYTES, "rounds": ROUNDS, "rows": rows}));
}

/// How long this thread was on a processor.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn row(stage: Stage, condition: &str, unit: &str, found: impl Iterator<Item = f64>) -> serde_json::Value {
    let mut sorted = found.map(f64::round).collect::<Vec<_>>();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    let what = format!("{stage:?}").to_lowercase();
    json!({"what": what, "condition": condition, "unit": unit, "value": sorted[sorted.len() / 2], "spread": [least, most]})
}

async fn read(input: &[u8], mapping: &Mapping, stage: Stage) -> u64 {
    let mut lines = Lines::new(Decoded::open(input, false).await.unwrap());
    let mut count = 0;
    while let Some(line) = lines.next().await.unwrap() {
        count += 1;
        match stage {
            Stage::Lines => drop(black_box(line)),
            Stage::Parse => drop(black_box(line::read(&line).unwrap())),
            Stage::Step => {
                let change = line::read(&line).unwrap();
                drop(black_box(Step::new("Articles", mapping, change).unwrap()));
            }
        }
    }
    black_box(lines.hasher());
    count
}

/// Lines as a git history gives them: text with line breaks, quotes, tabs and a few letters beyond ASCII.
fn input(least: usize, most: usize) -> Vec<u8> {
    // About one escape in thirty characters, as in source code.
    const WORDS: [&str; 16] = [
        "fn window_limits(",
        "let value = ",
        "self.ledger",
        "return Ok(",
        " \"feed\" ",
        ") -> Result<Self, Error> {\n    ",
        ";\n        ",
        "entries",
        "// größer als das Fenster\n    ",
        "match outcome ",
        "Some(delta)",
        "0x1F",
        " + ",
        "window",
        "checkpoint.advance",
        " && !line.is_blank()",
    ];
    // A generator of its own (xorshift), so that the input is the same on every machine.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % bound as u64).unwrap()
    };
    let mut out = Vec::with_capacity(INPUT_BYTES + most);
    let mut number = 0_u64;
    while out.len() < INPUT_BYTES {
        let wanted = least + next(most - least);
        let mut content = String::new();
        while content.len() < wanted {
            content.push_str(WORDS[next(WORDS.len())]);
        }
        number += 1;
        let path = format!("crates/engine/src/module_{}/file_{number}.rs", number % 97);
        let metadata = json!({"author": "Ada Lovelace", "size": content.len()});
        let line = json!({"repo": "elysia", "op": "add", "path": path, "content": content, "metadata": metadata});
        out.extend_from_slice(line.to_string().as_bytes());
        out.push(b'\n');
    }
    out
}
