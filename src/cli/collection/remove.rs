//! `rm`: the collection and all its objects.

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::SchemaRead;
use globset::Glob;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::catalogue::{self, Freshness};
use super::look::{self, One};
use super::{ChangeArgs, ConsentArgs, change};
use crate::cli::audit::{self, Change};
use crate::cli::client::{Question, chain};
use crate::cli::forward::OpenedCluster;
use crate::cli::owner;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, encode};

#[derive(Debug, clap::Args)]
pub(super) struct RmArgs {
    /// Name of the collection
    #[arg(required_unless_present = "filter", conflicts_with = "filter")]
    name: Option<String>,
    /// Every collection whose name matches, e.g. `test_*`; each is asked for
    #[arg(long, value_name = "GLOB", value_parser = look::glob)]
    filter: Option<Glob>,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn rm(args: &RmArgs, session: &Session, cluster: Option<&str>) -> Result<Exit, Stop> {
    let opened = session.open(cluster).await?;
    let names = match (&args.name, &args.filter) {
        (Some(name), _) => vec![name.clone()],
        (None, Some(glob)) => matching(session, &opened, glob).await?,
        (None, None) => Vec::new(),
    };
    if names.is_empty() {
        session.printer.note("no collection matches\n");
    }
    let mut refused = None;
    for name in names {
        match remove(args, session, &opened, &name).await {
            Ok(()) => {}
            // The others are asked for all the same.
            Err(stop) if args.filter.is_some() => {
                let exit = crate::cli::session::end(Err(stop), session.printer)?;
                refused.get_or_insert(exit);
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(refused.unwrap_or(Exit::Healthy))
}

async fn matching(session: &Session, opened: &OpenedCluster, glob: &Glob) -> Result<Vec<String>, Stop> {
    let seen = catalogue::read(&session.reader, opened, Freshness::Latest).await?;
    // Without the objects a declared collection would be deleted as if nobody declared it, and be made again.
    if let Some(missing) = seen.missing.first() {
        return Err(Stop::unknown(missing.clone(), look::health_of(opened)));
    }
    let matcher = glob.compile_matcher();
    let entries = catalogue::join(&seen, &opened.spec);
    Ok(entries.into_iter().map(|entry| entry.name).filter(|name| matcher.is_match(name)).collect())
}

async fn remove(args: &RmArgs, session: &Session, opened: &OpenedCluster, name: &str) -> Result<(), Stop> {
    let one = look::one(session, opened, name, Freshness::Latest).await?;
    change::guard_protection(session, opened, name, &args.consent).await?;
    let patch = one.object.as_ref().map(|object| {
        let spec = json!({"deletionPolicy": "Delete"});
        change::patch_of(object, &change::override_annotation(&args.consent), &spec)
    });
    if let (Some(object), Some(patch)) = (&one.object, &patch) {
        change::guard_owner(session, object, &args.consent, patch)?;
    }
    let count = match &one.class {
        Some(_) => change::count(opened, &one).await,
        None => change::Count { objects: 0, blind: Vec::new() },
    };
    session.printer.note(&warning(&one, &count));
    if args.change.dry_run {
        return rehearse(session, &one, patch.as_ref()).await;
    }
    if !args.consent.yes {
        let question = format!("Type the number of objects, {}, to delete {name}: ", count.objects);
        session.demand(&question, &count.objects.to_string())?;
    }
    let user = session.user().await;
    let done = match (&one.object, &patch) {
        (Some(object), Some(patch)) => by_object(args, session, opened, object, patch).await,
        _ => by_hand(opened, name).await,
    };
    let outcome = match &done {
        Ok(()) => "done".to_owned(),
        Err(Stop::Said { message, .. }) => format!("failed: {message}"),
        Err(Stop::Output(error)) => format!("failed: {error}"),
    };
    let reason = if done.is_ok() { "Removed" } else { "RemoveFailed" };
    let note = format!("collection {name} with {} objects removed: {outcome}", count.objects);
    let event = Change { reason, action: "col rm", note, failed: done.is_err() };
    match &one.object {
        Some(object) => audit::record(session, object, user.as_deref(), event).await,
        None => audit::record(session, &opened.object, user.as_deref(), event).await,
    }
    done?;
    let is_over = args.change.wait || one.object.is_none();
    session.printer.note(&format!("{name} {}\n", if is_over { "deleted" } else { "is being deleted by the operator" }));
    Ok(())
}

pub(super) fn warning(one: &One, count: &change::Count) -> String {
    let mut lines = vec![format!("This deletes collection {} and all its objects:", one.name)];
    let class = one.class.as_ref().unwrap_or(&Value::Null);
    lines.push(format!("  objects   {}", count.objects));
    lines.extend(count.blind.iter().map(|blind| format!("  not counted: {blind}")));
    lines.push(format!("  replicas  {}", class["replicationConfig"]["factor"].as_i64().unwrap_or(1)));
    match &one.object {
        None => lines.push("  declared  no: Weaviate does not say when it was created".to_owned()),
        Some(object) => {
            let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
            lines.push(format!(
                "  declared  elysiacollection/{}, created {}",
                object.name_any(),
                created.unwrap_or_default()
            ));
            if let Some(owner) = owner::of(&object.metadata) {
                lines.push(format!("  owner     {owner}"));
            }
        }
    }
    lines.join("\n") + "\n"
}

async fn rehearse(session: &Session, one: &One, patch: Option<&Value>) -> Result<(), Stop> {
    let (Some(object), Some(patch)) = (&one.object, patch) else {
        session.printer.data(&format!("would delete class {} on the servers (dry run)\n", one.name))?;
        return Ok(());
    };
    let name = object.name_any();
    let question = Question::named::<ElysiaCollection>("patch", Some(&session.namespace), &name);
    let parameters = PatchParams { dry_run: true, ..parameters() };
    let api = session.api::<ElysiaCollection>();
    session.reader.ask(&question, api.patch(&name, &parameters, &Patch::Merge(patch))).await?;
    let question = Question::named::<ElysiaCollection>("delete", Some(&session.namespace), &name);
    session.reader.ask(&question, api.delete(&name, &DeleteParams::default().dry_run())).await?;
    session.printer.data(&encode(patch, Output::Yaml)?)?;
    session.printer.data(&format!("would delete elysiacollection/{name} after that (dry run)\n"))?;
    Ok(())
}

fn parameters() -> PatchParams {
    PatchParams { field_manager: Some(names::PLUGIN_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Lets the operator delete it: with a policy that says so, and its finalizer in place.
async fn by_object(
    args: &RmArgs,
    session: &Session,
    opened: &OpenedCluster,
    object: &ElysiaCollection,
    patch: &Value,
) -> Result<(), Stop> {
    let name = object.name_any();
    let uid = object.uid();
    let api = session.api::<ElysiaCollection>();
    let get = Question::named::<ElysiaCollection>("get", Some(&session.namespace), &name);
    let question = Question::named::<ElysiaCollection>("patch", Some(&session.namespace), &name);
    // A stranger of the same name is not what was shown.
    let mut pinned = patch.clone();
    pinned["metadata"]["uid"] = json!(uid);
    session.reader.ask(&question, api.patch(&name, &parameters(), &Patch::Merge(&pinned))).await?;
    // Without it the object would be gone before the operator had heard of the new policy, and the data would stay.
    let next = format!("kubectl elysia health -n {}", session.namespace);
    let held = async || {
        let object = session.reader.ask(&get, api.get(&name)).await?;
        Ok(object.finalizers().iter().any(|finalizer| finalizer == names::COLLECTION_FINALIZER).then_some(()))
    };
    let what = format!(
        "the operator to take up deletionPolicy: Delete, which elysiacollection {name} has from now on; it was not deleted"
    );
    session.wait(&what, &next, args.change.timeout, held).await?;
    let question = Question::named::<ElysiaCollection>("delete", Some(&session.namespace), &name);
    let precondition = Preconditions { uid: uid.clone(), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(precondition), ..DeleteParams::default() };
    session.reader.ask(&question, api.delete(&name, &parameters)).await?;
    if args.change.wait {
        let next = format!("kubectl describe elysiacollection {name} -n {}", session.namespace);
        let gone = async || {
            let object = session.reader.ask(&get, api.get_opt(&name)).await?;
            Ok(object.is_none_or(|object| object.uid() != uid).then_some(()))
        };
        session.wait(&format!("elysiacollection {name} to go"), &next, args.change.timeout, gone).await?;
        let left = opened.common.class(&object.spec.collection, SchemaRead::Leader).await;
        if !matches!(left, Ok(None)) {
            let message = format!("elysiacollection {name} is gone, but collection {} is not", object.spec.collection);
            return Err(Stop::refused(message, format!("kubectl elysia audit {name} -n {}", session.namespace)));
        }
    }
    Ok(())
}

/// Nobody declares it: the class is deleted on the servers, now.
async fn by_hand(opened: &OpenedCluster, name: &str) -> Result<(), Stop> {
    let failed = |why: String| Stop::refused(format!("{name} could not be deleted: {why}"), look::health_of(opened));
    opened.common.delete_class(name).await.map_err(|error| failed(chain(&error)))?;
    match opened.common.class(name, SchemaRead::Leader).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(failed("it is still there; a writer may have made it again".to_owned())),
        Err(error) => Err(failed(chain(&error))),
    }
}
