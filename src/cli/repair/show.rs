//! `repair plan`.

use std::fmt::Write as _;

use elysia_api::ElysiaCollection;
use elysia_api::collection::PlanStatus;
use elysia_api::names::APPROVE_ANNOTATION;
use elysia_core::health::Sighted;
use jiff::Timestamp;
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::super::client::Reader;
use super::super::health::duration::age;
use super::super::health::table::Block;
use super::super::printer::{HEADING, Printer, paint, plain};
use super::super::session::Stop;
use super::super::{Exit, Output, Target, encode};
use super::PlanArgs;

/// One plan with the object that it is for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) collection: String,
    /// Whether the object carries this plan's hash.
    pub(super) approved: bool,
    #[serde(flatten)]
    pub(super) plan: PlanStatus,
}

impl Planned {
    pub(super) fn of(object: &ElysiaCollection) -> Option<Self> {
        let plan = object.status.as_ref()?.plan.clone()?;
        Some(Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            collection: object.spec.collection.clone(),
            approved: object.annotations().get(APPROVE_ANNOTATION) == Some(&plan.hash),
            plan,
        })
    }
}

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
        printer.note("no collection has a plan\n");
    }
    Ok(Exit::Healthy)
}

async fn plans(args: &PlanArgs, target: &Target, reader: &Reader, printer: Printer) -> Result<Vec<Planned>, Stop> {
    let namespace = target.namespace(reader);
    let objects = match reader.list::<ElysiaCollection>(namespace.as_deref()).await {
        Sighted::Seen(objects) => objects,
        Sighted::Unreadable(unread) => return Err(unread.into()),
    };
    let mut found = Vec::new();
    let mut known = false;
    for object in objects {
        match object {
            Ok(object) if args.name.as_ref().is_none_or(|name| *name == object.name_any()) => {
                known = true;
                found.extend(Planned::of(&object));
            }
            Ok(_) => {}
            Err(odd) => printer.complain(&format!("{}/{} cannot be read: {}", odd.namespace, odd.name, odd.message)),
        }
    }
    match &args.name {
        Some(name) if !known => {
            Err(Stop::refused(format!("there is no ElysiaCollection {name} there"), "kubectl get ecol -A"))
        }
        _ => Ok(found),
    }
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
            planned.name.clone(),
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
    let title = format!("{} of collection {collection} ({namespace}/{name})", plan.action);
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
        writeln!(text, "approve it: kubectl elysia repair approve {} -n {}", plain(name), plain(namespace)).ok();
    }
    text
}
