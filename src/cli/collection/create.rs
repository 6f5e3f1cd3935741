//! `create`: one ElysiaCollection, by server-side apply.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use elysia_api::{ElysiaCollection, names};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};

use super::ChangeArgs;
use crate::cli::audit::{self, Change};
use crate::cli::client::Question;
use crate::cli::forward;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// Name of the collection in Weaviate
    name: String,
    /// `standard`, `vectors`, `multi-tenant`, or the name of a ConfigMap that holds one schema
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "schema_file")]
    from_template: Option<String>,
    /// File with the schema as Weaviate's documentation writes it, JSON or YAML; `-` for stdin
    #[arg(long, value_name = "FILE")]
    schema_file: Option<PathBuf>,
    /// Replicas of each shard; 3, or as many as the cluster has nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    replication: Option<i32>,
    #[command(flatten)]
    change: ChangeArgs,
    /// Print the object
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
}

pub(super) async fn create(args: &CreateArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let target = forward::choose(&session.reader, &session.namespace, cluster).await?;
    let schema = schema(args, session).await?;
    let nodes = target.spec.managed.as_ref().map(|managed| managed.replicas);
    let manifest = manifest(&args.name, &target.name_any(), schema, args.replication, nodes)?;
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let api = session.api::<ElysiaCollection>();
    let question = Question::named::<ElysiaCollection>("patch", Some(&session.namespace), &name);
    let mut parameters = PatchParams::apply(names::PLUGIN_MANAGER);
    parameters.dry_run = args.change.dry_run;
    let applied = session.reader.ask(&question, api.patch(&name, &parameters, &Patch::Apply(&manifest))).await?;
    if args.change.dry_run || args.output.is_some() {
        let mut shown = applied.clone();
        shown.metadata.managed_fields = None;
        session.printer.data(&encode(&shown, args.output.unwrap_or(Output::Yaml))?)?;
    }
    if args.change.dry_run {
        return Ok(Exit::Healthy);
    }
    let user = session.user().await;
    let note = format!("collection {} declared for cluster {}", args.name, target.name_any());
    let change = Change { reason: "Created", action: "col create", note, failed: false };
    audit::record(session, &applied, user.as_deref(), change).await;
    session.printer.note(&format!("elysiacollection/{name} applied\n"));
    if args.change.wait {
        ready(session, &name, args.change.timeout).await?;
        session.printer.note(&format!("elysiacollection/{name} is ready\n"));
    }
    Ok(Exit::Healthy)
}

async fn ready(session: &Session, name: &str, limit: Duration) -> Result<(), Stop> {
    let api = session.api::<ElysiaCollection>();
    let question = Question::named::<ElysiaCollection>("get", Some(&session.namespace), name);
    let next = format!("kubectl describe elysiacollection {name} -n {}", session.namespace);
    let look = async || {
        let object = session.reader.ask(&question, api.get(name)).await?;
        let Some(status) = &object.status else { return Ok(None) };
        let says = |kind: &str| {
            let current = status.observed_generation == object.metadata.generation;
            status.conditions.iter().find(|condition| current && condition.type_ == kind && condition.status == "True")
        };
        if let Some(stalled) = says("Stalled") {
            return Err(Stop::refused(format!("{name} is stalled: {}", stalled.message), next.clone()));
        }
        Ok(says("Ready").map(|_| ()))
    };
    session.wait(&format!("{name} to be ready"), &next, limit, look).await
}

/// The object to apply: only what was asked for, so that everything else stays the defaults' and other hands'.
pub(super) fn manifest(
    collection: &str,
    cluster: &str,
    schema: Map<String, Value>,
    replication: Option<i32>,
    nodes: Option<i32>,
) -> Result<Value, Stop> {
    let letters = collection.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !letters || !collection.starts_with(|first: char| first.is_ascii_uppercase()) {
        return Err(Stop::usage(format!(
            "{collection} is no name of a collection: an upper-case letter, then letters, digits and _"
        )));
    }
    let mut schema = schema;
    if let Some(class) = schema.remove("class").filter(|class| class != collection) {
        return Err(Stop::usage(format!("the schema is of class {class}, not of {collection}")));
    }
    // Weaviate writes the factor into the class, the object beside it.
    let own = schema.remove("replicationConfig").and_then(|config| config["factor"].as_i64());
    let factor = replication.map(i64::from).or(own).unwrap_or_else(|| i64::from(nodes.unwrap_or(1).clamp(1, 3)));
    let mut spec = json!({
        "clusterRef": {"name": cluster}, "collection": collection, "replication": {"factor": factor},
    });
    if !schema.is_empty() {
        spec["schema"] = Value::Object(schema);
    }
    Ok(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": object_name(collection)}, "spec": spec,
    }))
}

/// Kubernetes has no upper case and no `_`: `MyDocs_v2` is `mydocs-v2`.
fn object_name(collection: &str) -> String {
    collection.to_ascii_lowercase().replace('_', "-").trim_matches('-').to_owned()
}

async fn schema(args: &CreateArgs, session: &Session) -> Result<Map<String, Value>, Stop> {
    if let Some(path) = &args.schema_file {
        let text = if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.map_err(|error| Stop::unknown(format!("{} cannot be read: {error}", path.display()), ""))?;
        return parse(&path.display().to_string(), &text);
    }
    match args.from_template.as_deref() {
        None => Ok(Map::new()),
        Some(name) => match template(name) {
            Some(Value::Object(schema)) => Ok(schema),
            _ => from_config_map(session, name).await,
        },
    }
}

fn parse(from: &str, text: &str) -> Result<Map<String, Value>, Stop> {
    // Every JSON is YAML.
    serde_yaml::from_str(text).map_err(|error| Stop::refused(format!("{from} holds no schema: {error}"), ""))
}

async fn from_config_map(session: &Session, name: &str) -> Result<Map<String, Value>, Stop> {
    let api = session.api::<ConfigMap>();
    let question = Question::named::<ConfigMap>("get", Some(&session.namespace), name);
    let config = session.reader.ask(&question, api.get_opt(name)).await?;
    let next = format!("use standard, vectors or multi-tenant, or: kubectl get configmaps -n {}", session.namespace);
    let Some(config) = config else {
        let message = format!("no template and no ConfigMap {name} in namespace {}", session.namespace);
        return Err(Stop::refused(message, next));
    };
    let mut data = config.data.unwrap_or_default().into_iter();
    match (data.next(), data.next()) {
        (Some((key, text)), None) => parse(&format!("key {key} of ConfigMap {name}"), &text),
        _ => Err(Stop::refused(format!("ConfigMap {name} must have exactly one key, with the schema"), next)),
    }
}

/// The schemas that are built in.
pub(super) fn template(name: &str) -> Option<Value> {
    let properties = json!([
        {"name": "title", "dataType": ["text"]},
        {"name": "content", "dataType": ["text"]},
        {"name": "createdAt", "dataType": ["date"]},
    ]);
    let own = json!({"none": {}});
    match name {
        "standard" => Some(json!({"vectorizer": "none", "properties": properties})),
        "vectors" => Some(json!({
            "properties": properties,
            "vectorConfig": {
                "title": {"vectorizer": own, "vectorIndexType": "hnsw"},
                "content": {"vectorizer": own, "vectorIndexType": "hnsw"},
            },
        })),
        "multi-tenant" => Some(json!({
            "properties": properties,
            "multiTenancyConfig": {"enabled": true},
            "vectorConfig": {"default": {"vectorizer": own, "vectorIndexType": "flat"}},
        })),
        _ => None,
    }
}
