//! `bench`: figures, side by side. What is compared runs in the same run, by turns, on the same servers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};

mod backup;
mod catalogue;
mod control;
mod index;
mod placement;
mod python;
mod real;
mod stage;

pub(crate) use index::write_feed;

#[derive(Args)]
pub(crate) struct BenchArguments {
    /// What to measure: `backup`, `catalogue` (its last part alone, without servers), `control`, `drift` (its second part alone), `index`
    what: String,
    /// The smallest case: minutes
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(arguments: &BenchArguments) -> Result<()> {
    match arguments.what.as_str() {
        "backup" => backup::run(arguments.quick),
        "catalogue" => catalogue::run(arguments.quick),
        "control" => control::run(arguments.quick),
        "drift" => control::drift(arguments.quick),
        "index" => index::run(arguments.quick),
        other => bail!("there is no bench `{other}`; there are: backup, catalogue, control, drift, index"),
    }
}

/// One figure.
struct Row {
    /// What was measured.
    what: String,
    /// Under which condition.
    condition: String,
    /// The figure: a median where there are several rounds.
    value: f64,
    /// Its unit.
    unit: &'static str,
    /// The least and the most of the rounds.
    spread: [f64; 2],
    /// Each round, in its order.
    rounds: Vec<f64>,
}

impl Row {
    /// The median of the rounds with their spread.
    fn of(what: &str, condition: &str, unit: &'static str, rounds: &[f64]) -> Result<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first().context("no round was measured")?, sorted[sorted.len() - 1]);
        let value = sorted[sorted.len() / 2];
        Ok(Self {
            what: what.to_owned(),
            condition: condition.to_owned(),
            value,
            unit,
            spread: [least, most],
            rounds: rounds.to_vec(),
        })
    }
}

/// Prints the rows as a table and keeps them in `target/bench/NAME.json`.
fn report(target: &Path, name: &str, versions: &Value, rows: &[Row], ratios: &Value) -> Result<()> {
    println!("{:<42} {:<66} {:>10} {:<9} {:>24}", "what", "condition", "median", "unit", "least to most");
    for Row { what, condition, value, unit, spread: [least, most], .. } in rows {
        println!("{what:<42} {condition:<66} {value:>10.3} {unit:<9} {:>24}", format!("{least:.3} to {most:.3}"));
    }
    println!("ratios: {ratios}");
    let rows: Vec<Value> = rows
        .iter()
        .map(|Row { what, condition, value, unit, spread, rounds }| {
            json!({"what": what, "condition": condition, "value": value, "unit": unit, "spread": spread, "rounds": rounds})
        })
        .collect();
    let date = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let figures = json!({"name": name, "date": date, "versions": versions, "rows": rows, "ratios": ratios});
    let folder = target.join("bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, serde_json::to_vec_pretty(&figures)?)
        .with_context(|| format!("failed to write {}", file.display()))
}
