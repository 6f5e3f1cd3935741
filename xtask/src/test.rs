//! `test`: every check and test but soak, on a ground of its own.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{self, DeployTarget, Ground, NAMESPACE, Options, Paths, cargo};

use crate::codegen::{self, CodegenArguments};
use crate::{alerts, dependencies, e2e, judge};

/// Lines of the operator's log that a failed journey shows.
const LOG_LINES: &str = "--tail=200";

pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let paths = Paths::from_environment();
    stage("format", || cargo_does(&paths, &["fmt", "--all", "--check"]))?;
    stage("lints", || {
        for targets in [&["--all-targets"][..], &["--test", "journeys", "--test", "soaks"]] {
            cargo_does(&paths, &[&["clippy", "--workspace"], targets, &["--", "--deny", "warnings"]].concat())?;
        }
        Ok(())
    })?;
    judge::forget(&paths)?;
    // Always the whole workspace: with another choice of packages, what they depend on has other features and is
    // compiled anew.
    stage("unit and snapshot tests", || cargo_does(&paths, &["test", "--workspace", "--all-targets"]))?;
    stage("conditions, as GitOps tools see them", || judge::run(&paths))?;
    stage("alerts, as Prometheus evaluates them", || alerts::run(&paths))?;
    stage("documentation tests", || cargo_does(&paths, &["test", "--workspace", "--doc"]))?;
    stage("generated files", || codegen::run(&CodegenArguments { check: true }))?;
    stage("dependencies", || dependencies::check(&paths))?;
    stage("servers of objects, which journeys start", ground::build_object_servers)?;
    let outcome = on_a_ground(&paths);
    // Whatever happened, nothing of ours stays.
    let down = stage("down", ground::down);
    outcome?;
    down?;
    println!("all checks and tests passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The part that needs a cluster. One that runs here already is taken down: tests begin with nothing.
fn on_a_ground(paths: &Paths) -> Result<()> {
    stage("down", ground::down)?;
    let ground = stage("up", || ground::up(&Options { weaviate: vec![ground::DEFAULT_WEAVIATE.to_owned()] }))?;
    stage("chart", || lint_chart(&ground, paths))?;
    stage("deploy", || ground::deploy(&DeployTarget::default()).map(drop))?;
    stage("journeys", || e2e::journeys(paths, None)).inspect_err(|_| tell_state(&ground))
}

fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let started = Instant::now();
    let outcome = work().with_context(|| format!("{name} failed"));
    println!("== {name}: {:.0} s", started.elapsed().as_secs_f64());
    outcome
}

fn cargo_does(paths: &Paths, arguments: &[&str]) -> Result<()> {
    println!("+ cargo {}", arguments.join(" "));
    let mut command = cargo(paths);
    // A snapshot that differs is a failure here, never a new snapshot.
    command.args(arguments).env("INSTA_UPDATE", "no");
    succeed(&mut command)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("failed to start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn lint_chart(ground: &Ground, paths: &Paths) -> Result<()> {
    let chart = paths.checkout.join("charts/elysia-operator");
    succeed(ground.helm().args(["lint", "--strict"]).arg(&chart))?;
    let more = "replicas=2,watchNamespace=search,metrics.serviceMonitor.create=true,prometheusRule.enabled=true,\
        grafanaDashboards.create=true";
    for settings in ["", more] {
        let mut command = ground.helm();
        command.args(["template", "elysia-operator"]).arg(&chart).args(["--kube-version", "1.34.4"]);
        if !settings.is_empty() {
            command.args(["--set", settings]);
        }
        let output = command.output().context("failed to start helm")?;
        ensure!(output.status.success(), "helm template: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// What a person would ask for first after a failed journey.
fn tell_state(ground: &Ground) {
    let questions: [&[&str]; 4] = [
        &["get", "pods", "--all-namespaces", "--output=wide"],
        &[
            "get",
            "weaviateclusters,elysiacollections,indexsources,collectionbackups,collectionrestores",
            "--all-namespaces",
            "--output=wide",
        ],
        &["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"],
        &["logs", "--namespace", NAMESPACE, "deployment/elysia-operator", LOG_LINES],
    ];
    for question in questions {
        println!("+ kubectl {}", question.join(" "));
        match ground.kubectl().run(question) {
            Ok(text) => println!("{text}"),
            Err(error) => println!("{error:#}"),
        }
    }
}
