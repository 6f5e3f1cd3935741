//! The crate graph keeps the arrows of ARCHITECTURE.md, and what comes from outside keeps the rules of `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{Paths, cargo};
use serde_json::Value;

/// Which crate of the workspace may use which others outside of tests.
const ARROWS: [(&str, &[&str]); 9] = [
    ("elysia-allocator", &[]),
    ("elysia-api", &[]),
    ("elysia-core", &["elysia-api"]),
    ("elysia-weaviate", &["elysia-core"]),
    ("elysia-engine", &["elysia-core"]),
    ("elysia-testkit", &["elysia-api", "elysia-core"]),
    ("elysia-operator", &["elysia-allocator", "elysia-api", "elysia-core", "elysia-engine", "elysia-weaviate"]),
    ("elysia-e2e", &[]),
    ("xtask", &["elysia-e2e"]),
];

/// What would let the pure crates look at the outside world.
const NOT_IN_CORE: [&str; 8] = ["tokio", "hyper", "reqwest", "kube-client", "kube-runtime", "tonic", "axum", "rand"];

/// What may be in nobody's closure: a second TLS, an archived YAML, a second runtime.
const NOWHERE: [&str; 4] = ["openssl", "native-tls", "serde_yml", "async-std"];

/// Licences that may be shipped.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Fails with every arrow, crate and licence that breaks a rule.
pub(crate) fn check(paths: &Paths) -> Result<()> {
    let output =
        cargo(paths).args(["metadata", "--format-version=1", "--locked"]).output().context("failed to start cargo")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let graph = Graph::read(&metadata);
    let mut broken = graph.broken_arrows();
    for pure in ["elysia-api", "elysia-core"] {
        let closure = closure(paths, pure)?;
        broken.extend(
            NOT_IN_CORE.iter().filter(|name| closure.contains(**name)).map(|name| format!("{pure} reaches {name}")),
        );
    }
    let all = closure(paths, "elysia-operator")?;
    broken.extend(NOWHERE.iter().filter(|name| all.contains(**name)).map(|name| format!("{name} is in the operator")));
    broken.extend(foreign(&metadata));
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    println!("{} crates in the operator, all arrows and licences in order", all.len());
    Ok(())
}

/// Names and what each uses outside of tests.
struct Graph {
    uses: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let dependencies = list(&node["deps"])
                .into_iter()
                .filter(|dependency| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()))
                .filter_map(|dependency| names.get(&text(&dependency["pkg"])).cloned());
            let name = names.get(&text(&node["id"])).cloned().unwrap_or_default();
            uses.entry(name).or_default().extend(dependencies);
        }
        Self { uses }
    }

    fn broken_arrows(&self) -> Vec<String> {
        let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
        let mut broken = Vec::new();
        for (name, allowed) in ARROWS {
            let used = self.uses.get(name).into_iter().flatten().map(String::as_str).filter(|used| ours.contains(used));
            broken.extend(used.filter(|used| !allowed.contains(used)).map(|used| format!("{name} uses {used}")));
        }
        broken
    }
}

/// Everything that a crate is built with outside of tests and build scripts, with the features that it asks for itself:
/// `cargo metadata` would answer with those of the whole workspace.
fn closure(paths: &Paths, name: &str) -> Result<BTreeSet<String>> {
    let arguments = ["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let output = cargo(paths).args(arguments).output().context("failed to start cargo")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|used| *used != name).map(str::to_owned).collect())
}

/// Packages from elsewhere than crates.io, and packages under another licence than the allowed ones.
fn foreign(metadata: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(source) = package["source"].as_str() else { continue };
        if !source.starts_with("registry+") {
            broken.push(format!("{name} comes from {source}"));
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence) {
            broken.push(format!("{name} is under `{licence}`"));
        }
    }
    broken
}

/// Whether an expression can be satisfied: one side of each OR, both sides of each AND. A version "or later" is met by that
/// version.
fn is_allowed(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|one| LICENCES.contains(&one.trim().trim_end_matches('+'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences() {
        assert!(is_allowed("MIT OR Apache-2.0"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("MPL-2.0+") && !is_allowed("GPL-3.0+"));
        assert!(is_allowed("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(!is_allowed("GPL-3.0"));
        assert!(!is_allowed("MIT AND GPL-3.0"));
        assert!(!is_allowed(""));
    }

    #[test]
    fn an_arrow_against_the_rule_is_found() {
        let uses = [("elysia-engine".to_owned(), BTreeSet::from(["elysia-weaviate".to_owned()]))].into();
        assert_eq!(Graph { uses }.broken_arrows(), ["elysia-engine uses elysia-weaviate"]);
    }

    #[test]
    fn this_checkout_keeps_its_rules() {
        check(&Paths::from_environment()).unwrap();
    }
}
