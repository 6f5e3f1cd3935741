//! What a migration shows before and while it is done: its steps, and what it leaves out.

use elysia_api::collection::PlanStatus;
use elysia_api::condition::Reason;

use super::super::super::migration::{self, Journal, Wanted, versions};
use super::super::super::recreate;
use super::super::shown::shown_plan;
use super::super::{Part, Planner};
use crate::copy::ledger::CopyLedger;

impl Planner<'_> {
    pub(super) fn show(&mut self, journal: &Journal, waits: bool) {
        self.show_with(journal, None, waits);
    }

    pub(super) fn show_with(&mut self, journal: &Journal, left_out: Option<&str>, waits: bool) {
        let mut steps = steps(self.spec.migration.as_ref(), journal, self.observed.nodes.len(), left_out);
        if let Some(way) = self.versions().and_then(|next| way(next, journal)) {
            steps.insert(0, way);
        }
        // The first word: a status shows the first twenty steps.
        if let Some(word) = self.stop_writers(&journal.from).filter(|_| !journal.approved) {
            steps.insert(0, word);
        }
        self.shown = Some(shown(journal, steps, waits));
    }

    /// What `spec.migrations` declares for now.
    pub(super) fn versions(&self) -> Option<&versions::Next> {
        self.observed.migration.as_ref()?.versions.as_ref()
    }

    /// Where the list of versions does not go on, that is what a person has to know; everything else about the collection
    /// goes on as it is.
    pub(in super::super) fn beside_versions(&self, schema: Part) -> Part {
        match (self.versions().and_then(|next| next.refused.as_ref()), schema) {
            (Some(why), Part::InSync(_)) => Part::Stuck(Reason::MigrationBlocked, why.clone()),
            (_, schema) => schema,
        }
    }
}

/// Which step of several a migration is.
fn way(next: &versions::Next, journal: &Journal) -> Option<String> {
    let to = journal.schema_version.as_ref().filter(|to| next.version.as_ref() == Some(*to))?;
    let from = next.at.as_ref().map_or_else(String::new, |at| format!(" from {at}"));
    let then = match next.then.as_slice() {
        [] => String::new(),
        then => format!("; then {}, each with a plan of its own", then.join(", ")),
    };
    Some(format!("bring the collection{from} to schema version {to}{then}"))
}

/// What the copy left out, with its numbers, where it may leave anything out.
pub(super) fn left_out(journal: &Journal, ledger: &CopyLedger) -> Option<String> {
    if !migration::transform::leaves_objects_out(&journal.transform) {
        return None;
    }
    let (from, to) = (&journal.from, &journal.to);
    Some(match ledger.left_out {
        Some(left) => format!(
            "leave {left} of the {} objects of {from} out, as spec.migration.transform says; alias {} leads to the others in {to}",
            ledger.total, journal.alias
        ),
        None => format!("leave objects of {from} out, as spec.migration.transform says; how many is not known"),
    })
}

fn shown(journal: &Journal, steps: Vec<String>, waits: bool) -> PlanStatus {
    // Going back writes over and removes objects of the class that was kept; the live name loses what is left out.
    let is_destructive = journal.is_rollback || migration::transform::leaves_objects_out(&journal.transform);
    shown_plan(&journal.hash, "Migrate", is_destructive, steps, waits)
}

fn steps(wanted: Option<&Wanted>, journal: &Journal, nodes: usize, left_out: Option<&str>) -> Vec<String> {
    let Journal { from, to, alias, .. } = journal;
    let mut steps = if journal.is_rollback {
        vec![
            format!("make {to}, which was kept, writable"),
            format!("write into {to} what was written to {from} since, and remove what was deleted there"),
        ]
    } else {
        vec![
            format!("create {to} with the declared settings"),
            format!("copy the objects of {from} to {to}, and catch up"),
        ]
    };
    steps.extend(journal.transform.iter().map(|step| format!("on the way: {}", migration::transform::words(step))));
    steps.extend(left_out.map(str::to_owned));
    if journal.tenants.is_some() {
        steps.push(format!("let writing create and wake no tenants of {from}, and wake those that are at rest"));
    }
    steps.extend([
        format!("make {from} read-only and see it at {nodes} nodes; writers get errors from here on"),
        format!("wait {} s for writes in flight", recreate::SETTLE.as_secs()),
        format!("copy what is left, and compare every object of {from} and {to}; stop if any differs"),
        format!("let alias {alias} lead to {to}, and see it at {nodes} nodes; writers go on from here"),
    ]);
    if journal.tenants.is_some() {
        steps.push("put the tenants that were at rest back to rest".to_owned());
    }
    steps.push(match wanted.and_then(|wanted| wanted.window).filter(|_| journal.tenants.is_none()) {
        None if journal.tenants.is_some() => format!("keep {from} until a person deletes it"),
        None => format!("keep {from}, read-only, until a person deletes it"),
        Some(window) => {
            format!("keep {from}, read-only, for {} hours, then delete it with its objects", window.as_hours())
        }
    });
    steps
}
