//! `soak fuzz`: libFuzzer over what reads feeds. `fuzz/src/targets` says what is checked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use elysia_e2e::ground::{Paths, cargo};
use serde_json::{Value, json};

/// Coverage by the compiler's own pass. A nightly compiler would have a switch for it; this is what the switch does.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Every target, by its folder in `fuzz/corpus`.
const TARGETS: [&str; 4] = ["archive", "line", "lines", "resume"];

/// What libFuzzer is told: inputs are small, because a fault that needs a large one has been a rare thing; a window of
/// zstd and what an archive is decoded into fit into the memory several times; an input that does not end is a fault, but
/// on a machine that is busy with other things one of milliseconds may take a minute.
const LIMITS: [&str; 4] = ["-max_len=4096", "-rss_limit_mb=512", "-timeout=600", "-print_final_stats=1"];

pub(super) fn run(minutes: u64, targets: &[String], keep: bool) -> Result<()> {
    let targets: Vec<&str> =
        if targets.is_empty() { TARGETS.to_vec() } else { targets.iter().map(String::as_str).collect() };
    if let Some(unknown) = targets.iter().find(|target| !TARGETS.contains(target)) {
        bail!("there is no target `{unknown}`; there are: {}", TARGETS.join(", "));
    }
    let paths = Paths::from_environment();
    let program = build(&paths)?;
    let folder = paths.target.join("soak/fuzz");
    println!(
        "fuzzing {} for {minutes} minutes, each on one core; logs are in {}",
        targets.join(", "),
        folder.display()
    );
    let mut running = Vec::new();
    for target in targets {
        running.push((target, start(&program, target, &paths.checkout, &folder, minutes)?));
    }
    let (mut rows, mut broken) = (Vec::new(), Vec::new());
    for (target, mut child) in running {
        let ended = child.wait().with_context(|| format!("failed to wait for {target}"))?;
        let log = fs::read_to_string(log(&folder, target)).unwrap_or_default();
        let (inputs, covered) = (figure(&log, "stat::number_of_executed_units:"), covered(&log));
        let grown = fs::read_dir(folder.join(target))?.count();
        println!("{target}: {inputs} inputs, {covered} edges, {grown} inputs grown, ended with {ended}");
        rows.push(json!({
            "what": target, "inputs": inputs, "edges": covered, "grown": grown, "found": !ended.success(),
        }));
        if ended.success() && keep {
            merge(&program, target, &paths.checkout, &folder)?;
        } else if !ended.success() {
            broken.push(target);
        }
    }
    let figures = json!({"name": "fuzz", "minutes": minutes, "rows": rows});
    fs::write(folder.join("fuzz.json"), figures.to_string()).context("failed to write the figures")?;
    ensure!(
        broken.is_empty(),
        "found in {}: the input is beside the log in {}; mend what is wrong and put the input into fuzz/corpus",
        broken.join(", "),
        folder.display()
    );
    Ok(())
}

/// Builds the one program of all targets. Only what is fuzzed is instrumented: with a target that is named, build scripts
/// and macros are not.
fn build(paths: &Paths) -> Result<PathBuf> {
    let told = cargo(paths).args(["version", "--verbose"]).output().context("failed to start cargo")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo does not say its host")?;
    let target = paths.target.join("fuzz");
    let mut command = cargo(paths);
    command.args(["build", "--release", "--locked", "--target", host]);
    command.arg("--manifest-path").arg(paths.checkout.join("fuzz/Cargo.toml"));
    command.env("RUSTFLAGS", COVERAGE.join(" ")).env("CARGO_TARGET_DIR", &target);
    ensure!(command.status().context("failed to start cargo")?.success(), "the targets could not be built");
    Ok(target.join(host).join("release/elysia-fuzz"))
}

fn start(program: &Path, target: &str, checkout: &Path, folder: &Path, minutes: u64) -> Result<Child> {
    fs::create_dir_all(folder.join(target))?;
    let log = File::create(log(folder, target)).context("failed to make the log")?;
    let mut command = fuzzer(program, target);
    command.args(LIMITS).arg(format!("-max_total_time={}", minutes * 60));
    command.arg(format!("-artifact_prefix={}/{target}-", folder.display()));
    // What is found is kept in the first folder; the seeds of the repository are read.
    command.arg(folder.join(target)).arg(seeds(checkout, target));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("failed to start {}", program.display()))
}

/// Puts into the repository what reaches code that none of its seeds does. How often it is reached does not count here:
/// that would be thousands of files.
fn merge(program: &Path, target: &str, checkout: &Path, folder: &Path) -> Result<()> {
    let seeds = seeds(checkout, target);
    let mut command = fuzzer(program, target);
    command.args(LIMITS).args(["-merge=1", "-use_counters=0"]).arg(&seeds).arg(folder.join(target));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ensure!(command.status().context("failed to start the merge")?.success(), "the corpus of {target} was not merged");
    println!("{target}: {} seeds are kept in {}", fs::read_dir(&seeds)?.count(), seeds.display());
    Ok(())
}

fn fuzzer(program: &Path, target: &str) -> Command {
    let mut command = Command::new(program);
    command.env("ELYSIA_FUZZ_TARGET", target);
    command
}

fn seeds(checkout: &Path, target: &str) -> PathBuf {
    checkout.join("fuzz/corpus").join(target)
}

fn log(folder: &Path, target: &str) -> PathBuf {
    folder.join(format!("{target}.log"))
}

/// A number of libFuzzer's last words.
fn figure(log: &str, name: &str) -> Value {
    let found = log.lines().rev().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    found.map_or(Value::Null, Value::from)
}

/// Edges that were covered when it last said so: `#1024 pulse cov: 517 ft: 1090 …`.
fn covered(log: &str) -> Value {
    let said = log.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next()?.parse::<u64>().ok());
    said.map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_last_that_were_said() {
        let log = "#2 INITED cov: 5 ft: 6 corp: 1/1b\n#9 NEW cov: 517 ft: 600 corp: 2/3b\nDone 9 runs\n\
                   stat::number_of_executed_units: 1234\n";
        assert_eq!(figure(log, "stat::number_of_executed_units:"), 1234);
        assert_eq!(covered(log), 517);
        assert_eq!(covered(""), Value::Null);
    }

    #[test]
    fn every_target_has_its_seeds() {
        let paths = Paths::from_environment();
        for target in TARGETS {
            assert!(seeds(&paths.checkout, target).is_dir(), "{target}");
        }
    }
}
