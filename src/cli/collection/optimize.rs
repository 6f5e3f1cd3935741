//! `optimize`: advice, drawn from settings and size.

use serde::Serialize;
use serde_json::Value;

use super::catalogue::{Entry, Freshness};
use super::look::{entry, live};
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

/// Vectors above which the memory of an index without compression is worth a word.
const MANY_VECTORS: i64 = 100_000;

#[derive(Debug, clap::Args)]
pub(super) struct OptimizeArgs {
    /// Name of the collection
    name: String,
    /// Also say what each advice was drawn from
    #[arg(long)]
    analyze: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// One piece of advice.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advice {
    advice: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

pub(super) async fn optimize(args: &OptimizeArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let one = live(session, &opened, &args.name, Freshness::Cached).await?;
    let (entry, _) = entry(&opened, &one).await;
    let status = one.object.as_ref().and_then(|object| object.status.as_ref());
    let mut advice: Vec<Advice> = status
        .iter()
        .flat_map(|status| &status.recommendations)
        .map(|text| Advice { advice: text.clone(), because: Some("the operator's status".to_owned()) })
        .collect();
    advice.extend(advise(&entry, one.class.as_ref().unwrap_or(&Value::Null), opened.spec.node_names().len()));
    if !args.analyze {
        for advice in &mut advice {
            advice.because = None;
        }
    }
    let text = match args.output {
        Output::Table if advice.is_empty() => format!("no advice for {}\n", one.name),
        Output::Table => advice.iter().fold(String::new(), |text, advice| {
            let because = advice.because.as_ref().map(|because| format!("\n    because {because}")).unwrap_or_default();
            format!("{text}- {}{because}\n", advice.advice)
        }),
        output => encode(&advice, output)?,
    };
    session.printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// What can be said from settings and size alone. Nothing of it is certain enough to be done by itself.
pub(super) fn advise(entry: &Entry, class: &Value, nodes: usize) -> Vec<Advice> {
    let mut all = Vec::new();
    let mut say =
        |advice: &str, because: String| all.push(Advice { advice: advice.to_owned(), because: Some(because) });
    let factor = entry.factor.unwrap_or(1);
    if factor == 1 && nodes >= 3 {
        say(
            "raise the replication factor to 3: now the loss of any node loses objects",
            format!("the factor is 1 and there are {nodes} nodes"),
        );
    }
    if factor > 1 && factor % 2 == 0 {
        say(
            "use an odd replication factor: an even one survives no more nodes at QUORUM than the one below it",
            format!("the factor is {factor}"),
        );
    }
    if factor > 1 && class["replicationConfig"]["asyncEnabled"] == Value::Bool(false) {
        say(
            "switch replicationConfig.asyncEnabled on, so that replicas heal without being read",
            format!("it is off and the factor is {factor}"),
        );
    }
    let configs =
        class["vectorConfig"].as_object().map(|configs| configs.values().collect::<Vec<_>>()).unwrap_or_default();
    let configs = if configs.is_empty() { vec![class] } else { configs };
    let quantised = |config: &&Value| {
        ["pq", "bq", "sq", "rq"].iter().any(|kind| config["vectorIndexConfig"][kind]["enabled"] == Value::Bool(true))
    };
    let plain = configs.iter().any(|config| config["vectorIndexType"] == "hnsw" && !quantised(config));
    if let Some(objects) = entry.objects.filter(|objects| plain && *objects > MANY_VECTORS) {
        say(
            "consider a quantiser (rq or bq) for the hnsw index: it holds every vector in memory",
            format!("{objects} objects and no quantiser"),
        );
    }
    if entry.multi_tenant && configs.iter().any(|config| config["vectorIndexType"] == "hnsw") {
        say(
            "consider vectorIndexType dynamic or flat: most tenants are too small for hnsw",
            "the collection has tenants and an hnsw index".to_owned(),
        );
    }
    all
}
