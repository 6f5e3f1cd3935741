//! A feed whose vectors a real model made, and backups opened by the programs that people open Parquet with. Random
//! numbers say nothing of sizes: no compression finds anything in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::python::Python;

const EMBED: &str = include_str!("embed.py");
const OPEN: &str = include_str!("open_part.py");

/// Vectors of the model, and what is told of them.
pub(super) struct RealFeed {
    pub(super) file: PathBuf,
    /// Model, texts, their number and the SHA-256 of all: two runs with the same were measured on the same.
    pub(super) about: Value,
}

impl RealFeed {
    /// Computes so many vectors, which takes a minute or two, or takes those that were computed before by the same script.
    pub(super) fn prepare(python: &Python, target: &Path, documents: &Path, objects: usize) -> Result<Self> {
        let folder = target.join("bench");
        let file = folder.join("embeddings.jsonl");
        let (told, made_by) = (folder.join("embeddings.json"), folder.join("embeddings.made-by"));
        let wanted = format!("{objects} objects\n{EMBED}");
        let is_made = fs::read_to_string(&made_by).is_ok_and(|text| text == wanted) && file.exists();
        if !is_made {
            println!("computing {objects} embeddings: a minute or two, once");
            let _ = fs::remove_file(&made_by);
            let arguments = [&file.display().to_string(), &objects.to_string(), &documents.display().to_string()];
            let about = python.run(EMBED, &arguments.map(String::as_str), &[])?;
            fs::write(&told, serde_json::to_vec_pretty(&about)?)?;
            // Last: before it is there nothing is.
            fs::write(&made_by, wanted)?;
        }
        let about = serde_json::from_slice(&fs::read(&told)?).context("what is told of the embeddings is no JSON")?;
        Ok(Self { file, about })
    }
}

/// Opens the parts below a store's `runs` by pandas and `DuckDB`, and compares all of it with the feed it came from.
pub(super) fn open(python: &Python, runs: &Path, feed: &Path) -> Result<Value> {
    python
        .run(OPEN, &[&runs.display().to_string(), &feed.display().to_string()], &[])
        .context("pandas and DuckDB do not read what was backed up")
}
