//! `clear`: all objects go, settings and tenants stay.
//!
//! With an ElysiaCollection the operator does it, by its journal. Without one it is done here: the schema into a file,
//! every shard frozen at every node, counted once more, deleted, gone at every node, and made again.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::{ActivityStatus, SchemaRead, ShardStatus, Tenant};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::catalogue::Freshness;
use super::look::{self, One};
use super::{ChangeArgs, ConsentArgs, change};
use crate::cli::audit::{self, Change};
use crate::cli::client::{Question, chain};
use crate::cli::forward::OpenedCluster;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

/// Key of the operator's journal in its ConfigMap.
const JOURNAL: &str = "journal.json";

#[derive(Debug, clap::Args)]
pub(super) struct ClearArgs {
    /// Name of the collection
    name: String,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    change: ChangeArgs,
    /// Where the schema is kept while the collection is made again, if nobody declares it; `NAME.schema.json` when
    /// left out
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
}

pub(super) async fn clear(args: &ClearArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let one = look::live(session, &opened, &args.name, Freshness::Latest).await?;
    change::guard_protection(session, &opened, &args.name, &args.consent).await?;
    let user = session.user().await;
    let count = change::count(&opened, &one).await;
    if let Some(blind) = count.blind.first() {
        let message = format!("objects of {} could not all be counted: {blind}; nothing was changed", args.name);
        return Err(Stop::unknown(message, look::health_of(&opened)));
    }
    let request = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    let patch = one.object.as_ref().map(|object| {
        let mut annotations = change::override_annotation(&args.consent);
        annotations[names::CLEAR_ANNOTATION] = json!(format!("{}/{request}", count.objects));
        annotations[names::APPROVED_BY_ANNOTATION] = json!(user);
        change::patch_of(object, &annotations, &json!({}))
    });
    if let (Some(object), Some(patch)) = (&one.object, &patch) {
        change::guard_owner(session, object, &args.consent, patch)?;
    }
    session.printer.note(&format!("This deletes all {} objects of collection {}.\n", count.objects, args.name));
    if args.change.dry_run {
        return rehearse(session, &one, patch.as_ref()).await;
    }
    if !args.consent.yes {
        let question = format!("Type the number of objects, {}, to clear {}: ", count.objects, args.name);
        session.demand(&question, &count.objects.to_string())?;
    }
    let done = match (&one.object, &patch) {
        (Some(object), Some(patch)) => {
            if user.is_none() {
                let message = "the API server does not say who you are, and a clearing has to be signed";
                return Err(Stop::unknown(message, "kubectl auth whoami"));
            }
            by_object(args, session, object, patch, &request).await
        }
        _ => by_hand(args, session, &opened, &one, count.objects).await,
    };
    let outcome = match &done {
        Ok(word) => (*word).to_owned(),
        Err(Stop::Said { message, .. }) => format!("failed: {message}"),
        Err(Stop::Output(error)) => format!("failed: {error}"),
    };
    let reason = if done.is_ok() { "Cleared" } else { "ClearFailed" };
    let note = format!("collection {} cleared of {} objects: {outcome}", args.name, count.objects);
    let event = Change { reason, action: "col clear", note, failed: done.is_err() };
    match &one.object {
        Some(object) => audit::record(session, object, user.as_deref(), event).await,
        None => audit::record(session, &opened.object, user.as_deref(), event).await,
    }
    session.printer.note(&format!("{} {}\n", args.name, done?));
    Ok(Exit::Healthy)
}

async fn rehearse(session: &Session, one: &One, patch: Option<&Value>) -> Result<Exit, Stop> {
    let (Some(object), Some(patch)) = (&one.object, patch) else {
        let text = format!("would freeze, delete and make again class {} on the servers (dry run)\n", one.name);
        session.printer.data(&text)?;
        return Ok(Exit::Healthy);
    };
    send(session, object, patch, true).await?;
    session.printer.data(&encode(patch, Output::Yaml)?)?;
    Ok(Exit::Healthy)
}

async fn send(session: &Session, object: &ElysiaCollection, patch: &Value, dry_run: bool) -> Result<(), Stop> {
    let name = object.name_any();
    let mut pinned = patch.clone();
    pinned["metadata"]["uid"] = json!(object.uid());
    let manager = Some(names::PLUGIN_MANAGER.to_owned());
    let parameters = PatchParams { field_manager: manager, dry_run, ..PatchParams::default() };
    let question = Question::named::<ElysiaCollection>("patch", Some(&session.namespace), &name);
    let api = session.api::<ElysiaCollection>();
    session.reader.ask(&question, api.patch(&name, &parameters, &Patch::Merge(&pinned))).await?;
    Ok(())
}

/// Signs the request; the operator's journal says what became of it.
async fn by_object(
    args: &ClearArgs,
    session: &Session,
    object: &ElysiaCollection,
    patch: &Value,
    request: &str,
) -> Result<&'static str, Stop> {
    send(session, object, patch, false).await?;
    if !args.change.wait {
        return Ok("is being cleared by the operator");
    }
    let journal = names::journal(&object.name_any(), &object.uid().unwrap_or_default());
    let question = Question::named::<ConfigMap>("get", Some(&session.namespace), &journal);
    let api = session.api::<ConfigMap>();
    let next = format!("kubectl describe elysiacollection {} -n {}", object.name_any(), session.namespace);
    let look = async || {
        let config = session.reader.ask(&question, api.get_opt(&journal)).await?;
        let text = config.and_then(|config| config.data).and_then(|mut data| data.remove(JOURNAL));
        match outcome(&text.unwrap_or_default(), request) {
            None => Ok(None),
            Some(Ok(())) => Ok(Some(())),
            Some(Err(why)) => {
                Err(Stop::refused(format!("the operator did not clear {}: {why}", args.name), next.clone()))
            }
        }
    };
    session.wait("the operator to clear it", &next, args.change.timeout, look).await?;
    Ok("is cleared")
}

/// What a journal says of a request; `None`: nothing yet.
pub(super) fn outcome(journal: &str, request: &str) -> Option<Result<(), String>> {
    let journal: Value = serde_json::from_str(journal).ok()?;
    if journal["cleared"].as_array().is_some_and(|cleared| cleared.iter().any(|done| done == request)) {
        // It is remembered when it begins; it is over with the cursor, or with the reason why it was stopped.
        if let Some(why) = journal["stopped"].as_str() {
            return Some(Err(why.to_owned()));
        }
        return match journal["cursor"].as_str() {
            Some("Done") => Some(Ok(())),
            Some("Stopped") => Some(Err("it was stopped; the collection is as it was".to_owned())),
            _ => None,
        };
    }
    let refused = &journal["clearRefused"];
    (refused["request"] == request).then(|| Err(refused["why"].as_str().unwrap_or_default().to_owned()))
}

async fn by_hand(
    args: &ClearArgs,
    session: &Session,
    opened: &OpenedCluster,
    one: &One,
    typed: u64,
) -> Result<&'static str, Stop> {
    let name = one.name.as_str();
    let class = one.class.as_ref().unwrap_or(&Value::Null);
    if opened.nodes.len() < opened.spec.node_names().len() || opened.nodes.is_empty() {
        let message =
            format!("not every node of cluster {} can be asked by itself; nothing was changed", opened.spec.name);
        return Err(Stop::unknown(message, look::health_of(opened)));
    }
    let unknown = |why: String| Stop::unknown(format!("{why}; nothing was changed"), look::health_of(opened));
    let tenancy = class["multiTenancyConfig"]["enabled"] == Value::Bool(true);
    let tenants =
        if tenancy { opened.common.tenants(name).await.map_err(|error| unknown(chain(&error)))? } else { Vec::new() };
    if let Some(asleep) = tenants.iter().find(|tenant| tenant.activity_status != ActivityStatus::Hot) {
        return Err(Stop::refused(
            format!("tenant {} is asleep: it can be neither counted nor frozen; nothing was changed", asleep.name),
            "",
        ));
    }
    let state = opened.common.sharding_state(name).await.map_err(|error| unknown(chain(&error)))?;
    let shards: Vec<String> = state.into_iter().flat_map(|state| state.shards).map(|shard| shard.shard).collect();
    let file = args.backup.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.schema.json")));
    keep(&file, class, &tenants)?;
    session.printer.note(&format!("schema kept in {}\n", file.display()));

    let frozen = freeze(args, session, opened, name, &shards).await;
    let counted = match frozen {
        Ok(()) => change::count(opened, one).await,
        Err(stop) => {
            thaw(session, opened, name, &shards).await;
            return Err(stop);
        }
    };
    if counted.objects > typed || !counted.blind.is_empty() {
        thaw(session, opened, name, &shards).await;
        let why =
            counted.blind.first().cloned().unwrap_or_else(|| format!("there are {} objects now", counted.objects));
        return Err(Stop::refused(
            format!("{name} is not what you saw any more: {why}; nothing was deleted"),
            "run it again",
        ));
    }
    opened.common.delete_class(name).await.map_err(|error| lost(name, &file, &chain(&error)))?;
    let next = format!("kubectl elysia col ls -n {}", session.namespace);
    let gone = async || {
        for client in opened.nodes.values() {
            if !matches!(client.class(name, SchemaRead::Local).await, Ok(None)) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    session
        .wait("the class to be gone at each node", &next, args.change.timeout, gone)
        .await
        .map_err(|_| lost(name, &file, "it was deleted, and is not gone at each node"))?;
    remake(opened, name, class, &tenants).await.map_err(|why| lost(name, &file, &why))?;
    Ok("is cleared")
}

/// Everything is in the file; the person has to know where and what to do with it.
fn lost(name: &str, file: &Path, why: &str) -> Stop {
    let file = file.display();
    Stop::refused(
        format!(
            "{name} could not be made again: {why}; its settings are in {file}, its tenants, if any, in the .tenants.json beside it"
        ),
        format!("kubectl elysia col create {name} --schema-file {file}"),
    )
}

/// The class as it can be created again, and its tenants beside it.
fn keep(file: &Path, class: &Value, tenants: &[Tenant]) -> Result<(), Stop> {
    let mut kept = class.clone();
    if !tenants.is_empty() {
        let tenants: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
        write(&file.with_extension("tenants.json"), &json!(tenants))?;
    }
    creatable(&mut kept);
    write(file, &kept)
}

fn write(file: &Path, value: &Value) -> Result<(), Stop> {
    let written = std::fs::File::create_new(file).and_then(|mut open| {
        open.write_all(encode(value, Output::Json)?.as_bytes())?;
        // Before anything is deleted it must be on the disk.
        open.sync_all()
    });
    written.map_err(|error| {
        Stop::refused(
            format!("{} cannot be written: {error}; nothing was changed", file.display()),
            "add --backup FILE",
        )
    })
}

/// Without what a server says and does not take.
fn creatable(class: &mut Value) {
    if let Some(sharding) = class["shardingConfig"].as_object_mut() {
        for told in ["actualCount", "actualVirtualCount"] {
            sharding.remove(told);
        }
    }
}

async fn freeze(
    args: &ClearArgs,
    session: &Session,
    opened: &OpenedCluster,
    name: &str,
    shards: &[String],
) -> Result<(), Stop> {
    for shard in shards {
        let set = opened.common.set_shard_status(name, shard, ShardStatus::ReadOnly).await;
        set.map_err(|error| {
            Stop::refused(
                format!("{name} could not be frozen: {}; nothing was deleted", chain(&error)),
                look::health_of(opened),
            )
        })?;
    }
    let everywhere = async || {
        for (node, client) in &opened.nodes {
            let statuses = client.shard_statuses(name).await;
            let statuses = statuses.map_err(|error| {
                Stop::unknown(format!("{}; nothing was deleted", opened.explain(node, &error)), look::health_of(opened))
            })?;
            if statuses.len() < shards.len() || statuses.iter().any(|shard| shard.status != ShardStatus::ReadOnly) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    session.wait("every shard to be read-only", &look::health_of(opened), args.change.timeout, everywhere).await
}

async fn thaw(session: &Session, opened: &OpenedCluster, name: &str, shards: &[String]) {
    for shard in shards {
        if let Err(error) = opened.common.set_shard_status(name, shard, ShardStatus::Ready).await {
            session.printer.complain(&format!("shard {shard} of {name} is still read-only: {}", chain(&error)));
        }
    }
}

async fn remake(opened: &OpenedCluster, name: &str, class: &Value, tenants: &[Tenant]) -> Result<(), String> {
    let mut wanted = class.clone();
    creatable(&mut wanted);
    opened.common.create_class(&wanted).await.map_err(|error| chain(&error))?;
    if !tenants.is_empty() {
        opened.common.create_tenants(name, tenants).await.map_err(|error| chain(&error))?;
        let made = opened.common.tenants(name).await.map_err(|error| chain(&error))?;
        if made.len() < tenants.len() {
            return Err(format!("only {} of {} tenants were made", made.len(), tenants.len()));
        }
    }
    let mut made = opened.common.class(name, SchemaRead::Leader).await.map_err(|error| chain(&error))?;
    let made = made.as_mut().ok_or_else(|| "it is not there after its creation".to_owned())?;
    creatable(made);
    if made["replicationConfig"]["factor"] != wanted["replicationConfig"]["factor"]
        || made["properties"] != wanted["properties"]
    {
        return Err("it was made with other settings; a writer may have been faster".to_owned());
    }
    Ok(())
}
