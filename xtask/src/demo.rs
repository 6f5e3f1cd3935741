//! `demo`: the story from a bare machine to a repaired collection, in one command.
//!
//! ```text
//! demo ─┬▶ stage      kubectl, `kubectl elysia` and waiting, on the ground or on any other cluster
//!       ├▶ steps      what happens, in plain lines, and how long it took
//!       ├▶ history    change lines made of real repositories
//!       ├▶ volume     a file onto a claim, through a pod of the operator's own image
//!       ├▶ articles   a collection made behind the operator's back
//!       ├▶ replay     what a feed must come to, worked out by hand
//!       └▶ proof      what every node holds, by Weaviate's own REST API (rest, through a forward)
//! ```
//!
//! Nothing here asks the operator whether the operator was right: `proof` uses neither its code nor its statuses.
//! Running it again is fine: objects are applied again, texts and files written again, and all is proved again.

mod advice;
mod articles;
mod forward;
mod history;
mod proof;
mod replay;
mod rest;
mod stage;
mod steps;
mod volume;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use elysia_e2e::ground::{self, DeployTarget, Options};

use self::replay::Replay;
use self::rest::Objects;
use self::stage::{Stage, retry, until};
use self::steps::{Steps, tell};

/// Ninety seconds are promised; a cluster elsewhere may have to pull images.
const CLUSTER: Duration = Duration::from_secs(5 * 60);
const REPAIR: Duration = Duration::from_secs(5 * 60);
const FEED: Duration = Duration::from_secs(5 * 60);
/// A status may be as old as the interval of `examples/cluster.yaml`, which is 30 s.
const HEALTH: Duration = Duration::from_secs(90);

#[derive(Args)]
pub(crate) struct DemoArguments {
    /// A context of your kubeconfig instead of the ground
    #[arg(long)]
    context: Option<String>,
    /// The image of the operator that the cluster can pull
    #[arg(long)]
    image: Option<String>,
}

pub(crate) fn run(arguments: &DemoArguments) -> Result<()> {
    let mut steps = Steps::new(8);
    let stage = if let Some(context) = &arguments.context {
        steps.begin(&format!("using your cluster `{context}`: nothing is brought up on this machine"));
        Stage::elsewhere(context)
    } else {
        steps.begin("bringing up the ground: a real Kubernetes node on this machine");
        Stage::on_ground(&ground::up(&Options::default())?)
    };

    steps.begin("installing the operator by its Helm chart");
    let target = DeployTarget { context: arguments.context.clone(), image: arguments.image.clone(), optimised: false };
    let image = ground::deploy(&target)?;
    if arguments.image.is_some() {
        stage.ensure_plug_in()?;
    }
    stage.ensure_namespace()?;

    steps.begin("declaring a Weaviate cluster of three nodes: examples/cluster.yaml");
    stage.apply_example("cluster.yaml")?;
    let histories = history::write(&stage.paths)?;
    stage.wait_for("weaviatecluster/search", "Ready", CLUSTER)?;

    steps.begin("making a collection behind the operator's back, by Weaviate's REST API");
    let articles = articles::write(&stage, &histories)?;

    steps.begin("declaring it with three replicas: examples/collection.yaml");
    stage.apply_example("collection.yaml")?;
    health_before(&stage)?;

    steps.begin("waiting until every shard has three replicas with all the objects");
    stage.wait_for("elysiacollection/articles", "Ready", REPAIR)?;

    steps.begin("indexing two feeds: twelve changes in a ConfigMap, and real histories on a volume");
    feeds(&stage, &histories, &image)?;

    steps.begin("asking every Weaviate node, by its REST API, what it holds");
    prove(&stage, articles, &histories)?;

    health_after(&stage)?;
    steps.end();
    advice::give(&stage);
    Ok(())
}

/// Shows the first picture in which the operator has an opinion on the new collection.
fn health_before(stage: &Stage) -> Result<()> {
    let health = until("health to tell of the collection", HEALTH, || {
        let health = stage.health()?;
        Ok((health.code != 2).then_some(health))
    })?;
    stage.show(&health);
    if health.code == 0 {
        tell("nothing was missing any more: an earlier demo, or a quick repair");
    }
    Ok(())
}

fn feeds(stage: &Stage, histories: &[PathBuf], image: &str) -> Result<()> {
    for example in ["collection-notes.yaml", "feed-configmap.yaml", "collection-git-history.yaml"] {
        stage.apply_example(example)?;
    }
    // The claim first: a feed that is declared before its files are there would run over nothing.
    let documents = fs::read_to_string(stage.paths.checkout.join("examples/feed-volume.yaml"))?;
    let documents = documents.split("\n---\n").collect::<Vec<_>>();
    let [claim, feed] = documents.as_slice() else {
        bail!("examples/feed-volume.yaml no longer holds a claim and a feed");
    };
    stage.apply(claim)?;
    for history in histories {
        volume::put(stage, image, "git-history", history)?;
    }
    stage.apply_feed("git-history", feed)?;
    stage.wait_for("indexsource/notes", "CaughtUp", FEED)?;
    stage.wait_for("indexsource/git-history", "CaughtUp", FEED)
}

/// Proves what each node holds, and waits until the operator's own figures have come to the same.
fn prove(stage: &Stage, articles: Objects, histories: &[PathBuf]) -> Result<()> {
    let mut git = Replay::default();
    for history in histories {
        git.file(history)?;
    }
    let replayed = "what a replay of the feed by hand gives";
    let wanted = [
        ("articles", articles::CLASS, articles, "what the collection held before"),
        ("notes", "Notes", notes(stage)?.objects("Notes"), replayed),
        ("git-history", "GitHistory", git.objects("GitHistory"), replayed),
    ];
    let nodes = stage.nodes("search")?;
    ensure!(nodes.len() == 3, "the cluster has {} pods, not three", nodes.len());
    for (_, class, objects, what) in &wanted {
        // A demo that runs again may have changed a ConfigMap back, whose run has only begun.
        let shards = retry(HEALTH, || proof::of_class(stage, &nodes, class, objects))?;
        let count = objects.len();
        tell(format!(
            "{class}: factor 3, {shards} shards with 3 replicas; each node holds {count} objects, exactly {what}"
        ));
    }
    // The operator counts when it looks, and it looks every 30 s.
    tell("the operator's own figures may be of a moment before; waiting for its next look");
    for (name, class, objects, _) in &wanted {
        until(&format!("the operator to count {} objects in {class}", objects.len()), HEALTH, || {
            let collection = stage.get(&["elysiacollection", name])?;
            Ok((collection["status"]["objects"]["count"] == objects.len()).then_some(()))
        })?;
    }
    Ok(())
}

/// The feed as it is in the cluster: somebody may have tried to add a line.
fn notes(stage: &Stage) -> Result<Replay> {
    let map = stage.get(&["configmap", "notes-changes"])?;
    let files = map["data"].as_object().context("the ConfigMap notes-changes holds no files")?;
    let mut replay = Replay::default();
    for (_, text) in files.iter().collect::<BTreeMap<_, _>>() {
        replay.lines(text.as_str().unwrap_or_default())?;
    }
    Ok(replay)
}

fn health_after(stage: &Stage) -> Result<()> {
    let mut last = None;
    let healthy = retry(HEALTH, || {
        let health = last.insert(stage.health()?);
        ensure!(health.code == 0, "`kubectl elysia health` finds something wrong");
        Ok(())
    });
    if let Some(health) = last {
        stage.show(&health);
    }
    healthy
}
