//! What is said of a copy.

use std::fmt::Write as _;

use elysia_engine::copy::state::{Comparison, State};
use elysia_engine::copy::{Blocker, Look, Order};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::printer::{BAD, DOUBTFUL, GOOD, Printer, paint, plain};
use crate::cli::session::Stop;
use crate::cli::{Exit, Output, encode};

/// What became of a copy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    from: &'a str,
    source: &'a str,
    into: &'a str,
    target: &'a str,
    passes: u32,
    written: u64,
    removed: u64,
    /// Objects of the target that the source has no more, and that are left because the target was there before.
    left: u64,
    behind: Option<u64>,
    caught_up_to: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<&'a Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_same: Option<bool>,
}

impl<'a> Report<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        Self {
            from: &state.from,
            source: &state.source,
            into: &state.into,
            target: &state.target,
            passes: state.passes,
            written: state.written,
            removed: state.removed,
            left: state.left,
            behind: state.behind,
            caught_up_to: state.caught_up_to,
            compared: state.compared.as_ref(),
            is_same: state.compared.as_ref().map(Comparison::is_same),
        }
    }
}

pub(super) fn render(state: &State) -> String {
    let State { from, source, into, target, passes, written, removed, left, .. } = state;
    let mut text = format!(
        "from       {} at {}\ninto       {} at {}\nobjects    {written} written and {removed} removed in {passes} passes\n",
        plain(from),
        plain(source),
        plain(into),
        plain(target),
    );
    // Writing to a String cannot fail.
    if let Some(until) = state.caught_up_to {
        let behind = state.behind.unwrap_or_default();
        writeln!(text, "caught up  to {until}; the last pass had {behind} objects to do").ok();
    }
    if *left > 0 {
        let word = paint(DOUBTFUL, "left");
        writeln!(text, "{word}       {left} objects are in {} alone, which was there before the copy", plain(into))
            .ok();
    }
    if let Some(compared) = &state.compared {
        let Comparison { source, target, differing, tenants, at: _ } = compared;
        let word = if compared.is_same() { paint(GOOD, "the same") } else { paint(BAD, "not the same") };
        writeln!(text, "compared   {word}: {source} objects there, {target} in the copy, {differing} differ").ok();
        for row in tenants {
            let (name, source, target, differing) = (plain(&row.tenant), row.source, row.target, row.differing);
            writeln!(text, "  tenant {name}: {source} objects there, {target} in the copy, {differing} differ").ok();
        }
    }
    text
}

/// What would be done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned<'a> {
    from: &'a str,
    into: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<usize>,
    creates_collection: bool,
    state: &'static str,
    aliases: &'a [String],
    blockers: &'a [Blocker],
}

pub(super) fn plan(output: Output, order: &Order, look: &Look, printer: Printer) -> Result<Exit, Stop> {
    let planned = Planned {
        from: &order.from,
        into: &order.into,
        target: &order.target,
        objects: look.objects,
        tenants: look.tenants,
        creates_collection: look.class.is_some(),
        state: if look.is_new { "new" } else { "goes on" },
        aliases: &look.aliases,
        blockers: &look.blockers,
    };
    let text = match output {
        Output::Table => render_plan(&planned),
        output => encode(&planned, output)?,
    };
    printer.data(&text)?;
    Ok(if look.blockers.is_empty() { Exit::Healthy } else { Exit::Fault })
}

fn render_plan(planned: &Planned<'_>) -> String {
    let Planned { from, into, target, objects, tenants, creates_collection, state, aliases, blockers } = planned;
    let objects = objects.map_or_else(|| "?".to_owned(), |objects| objects.to_string());
    let tenants = tenants.map(|tenants| format!(" in {tenants} tenants")).unwrap_or_default();
    let made = if *creates_collection { "is made" } else { "is there" };
    let mut text = format!(
        "from       {}, about {objects} objects{tenants}\ninto       {} at {}, which {made}\ncopy       {state}\n",
        plain(from),
        plain(into),
        plain(target),
    );
    // Writing to a String cannot fail.
    if !aliases.is_empty() {
        writeln!(text, "aliases    {} lead to {} and stay", plain(&aliases.join(", ")), plain(from)).ok();
    }
    if blockers.is_empty() {
        writeln!(text, "{}: nothing stands in the way", paint(GOOD, "ok")).ok();
    }
    for blocker in *blockers {
        writeln!(text, "{}: {}", paint(BAD, "blocked"), plain(&blocker.to_string())).ok();
    }
    text
}
