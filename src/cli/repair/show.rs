//! `repair plan`.

use std::fmt::{Debug, Write as _};

use elysia_api::collection::PlanStatus;
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource};
use elysia_core::health::Sighted;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::super::client::Reader;
use super::super::health::duration::age;
use super::super::health::table::Block;
use super::super::printer::{HEADING, Printer, paint, plain};
use super::super::session::Stop;
use super::super::{Exit, Output, Target, encode};
use super::PlanArgs;
use super::find::{Kind, Owner, Planned};

pub(super) async fn run(args: &PlanArgs, target: &Target, reader: &Reader, printer: Printer) -> Result<Exit, Stop> {
    let plans = plans(args, target, reader, printer).await?;
    let now = Timestamp::now();
    let text = match (args.output, &args.name) {
        (Output::Table, Some(_)) => plans.iter().map(|plan| whole(plan, now)).collect::<Vec<_>>().join("\n"),
        (Output::Table, None) => table(&plans, now),
        (output, _) => encode(&plans, output)?,
    };
    printer.data(&text)?;
    if plans.is_empty() {
        printer.note("nothing has a plan\n");
    }
    Ok(Exit::Healthy)
}

async fn plans(args: &PlanArgs, target: &Target, reader: &Reader, printer: Printer) -> Result<Vec<Planned>, Stop> {
    let mut owners = Vec::new();
    let may_be = |kind| args.name.as_ref().is_none_or(|asked| asked.may_be(kind));
    if may_be(Kind::Collection) {
        owners.extend(listed::<ElysiaCollection>(args, target, reader, printer).await?);
    }
    if may_be(Kind::Feed) {
        owners.extend(listed::<IndexSource>(args, target, reader, printer).await?);
    }
    if may_be(Kind::Backup) {
        owners.extend(listed::<CollectionBackup>(args, target, reader, printer).await?);
    }
    if may_be(Kind::Restore) {
        owners.extend(listed::<CollectionRestore>(args, target, reader, printer).await?);
    }
    match &args.name {
        Some(asked) if owners.is_empty() => {
            Err(Stop::refused(format!("there is no {asked} there"), "kubectl get ecol,isrc,cbak,crst -A"))
        }
        _ => Ok(owners.iter().filter_map(Planned::of).collect()),
    }
}

/// All objects of a kind that are meant.
async fn listed<K>(args: &PlanArgs, target: &Target, reader: &Reader, printer: Printer) -> Result<Vec<Owner>, Stop>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Into<Owner>,
{
    let namespace = target.namespace(reader);
    let objects = match reader.list::<K>(namespace.as_deref()).await {
        Sighted::Seen(objects) => objects,
        Sighted::Unreadable(unread) => return Err(unread.into()),
    };
    let mut found = Vec::new();
    for object in objects {
        match object {
            Ok(object) if args.name.as_ref().is_none_or(|asked| asked.name == object.name_any()) => {
                found.push(object.into());
            }
            Ok(_) => {}
            Err(odd) => printer.complain(&format!("{}/{} cannot be read: {}", odd.namespace, odd.name, odd.message)),
        }
    }
    Ok(found)
}

/// All plans, a line each.
pub(super) fn table(plans: &[Planned], now: Timestamp) -> String {
    if plans.is_empty() {
        return String::new();
    }
    let mut block = Block::new(&["NAMESPACE", "NAME", "ACTION", "HASH", "STEPS", "DESTRUCTIVE", "WAITS FOR", "AGE"]);
    for planned in plans {
        let plan = &planned.plan;
        block.row([
            planned.namespace.clone(),
            planned.word(),
            plan.action.clone(),
            plan.hash.clone(),
            plan.total_steps.to_string(),
            if plan.destructive { "yes" } else { "no" }.to_owned(),
            waits(planned),
            since(plan, now),
        ]);
    }
    block.render()
}

fn waits(planned: &Planned) -> String {
    match (&planned.plan.waiting_for, planned.approved) {
        (None, _) => "nothing, it is under way".to_owned(),
        (Some(_), true) => "the operator, it is approved".to_owned(),
        (Some(what), false) => plain(what.split(':').next().unwrap_or_default()),
    }
}

fn since(plan: &PlanStatus, now: Timestamp) -> String {
    plan.since.as_ref().map_or_else(|| "?".to_owned(), |since| age(since.0, now))
}

/// One plan with all that is known of its steps.
pub(super) fn whole(planned: &Planned, now: Timestamp) -> String {
    let Planned { namespace, name, collection, plan, .. } = planned;
    let nature = if plan.destructive { "removes or overwrites something" } else { "removes nothing" };
    let title = match planned.kind {
        Kind::Collection | Kind::Feed => format!("{} of collection {collection} ({namespace}/{name})", plan.action),
        Kind::Backup => format!("{} of the Suspect run of backup {namespace}/{name}", plan.action),
        Kind::Restore => format!("{} of collection {collection} by restore {namespace}/{name}", plan.action),
    };
    // Writing to a String cannot fail.
    let mut text = format!("{}\n", paint(HEADING, &plain(&title)));
    writeln!(text, "hash       {}", plain(&plan.hash)).ok();
    writeln!(text, "nature     {nature}").ok();
    writeln!(text, "waits for  {}", waits(planned)).ok();
    writeln!(text, "shown for  {}", since(plan, now)).ok();
    for (number, step) in plan.steps.iter().enumerate() {
        writeln!(text, "{:>4}. {}", number + 1, plain(step)).ok();
    }
    let rest = plan.total_steps - i64::try_from(plan.steps.len()).unwrap_or(i64::MAX);
    if rest > 0 {
        writeln!(text, "      and {rest} more like these").ok();
    }
    if plan.waiting_for.is_some() && !planned.approved {
        writeln!(text, "approve it: kubectl elysia repair approve {} -n {}", plain(&planned.word()), plain(namespace))
            .ok();
    }
    text
}
