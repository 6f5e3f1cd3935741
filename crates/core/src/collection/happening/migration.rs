//! What the acts of a migration and the change of its journal amount to.

use super::super::migration::{Act, Journal, Phase};
use super::super::spec::CollectionSpec;
use super::steps::approved_by;
use super::{Happened, Happening, words};

/// What an act tells that was carried out. `before`: the journal before it.
pub(super) fn of_act(act: &Act, before: Option<&Journal>, spec: &CollectionSpec) -> Vec<Happening> {
    match act {
        Act::Write(next) => of_journal(before, next, spec),
        Act::MakeAlias { alias, class } => {
            vec![Happening::new(Happened::AliasMade, format!("made alias {alias}, leading to {class}"))]
        }
        Act::CreateTarget(class) => {
            let name = class["class"].as_str().unwrap_or_default();
            vec![Happening::new(Happened::Created, format!("created {name}, to which {} is migrated", spec.collection))]
        }
        Act::RemoveFormer(journal) => {
            let message = format!(
                "deleted {}, which was migrated to {}: its spec.migration.rollbackWindow is over",
                journal.from, journal.to
            );
            vec![Happening::new(Happened::CollectionDeleted, message)]
        }
        Act::AddProperty { .. }
        | Act::SetReadOnly { .. }
        | Act::HoldTenants(_)
        | Act::ReleaseTenants { .. }
        | Act::WakeTenants { .. }
        | Act::RestTenants { .. }
        | Act::Copy(_)
        | Act::EndJob(_)
        | Act::Switch(_) => Vec::new(),
    }
}

fn of_journal(before: Option<&Journal>, next: &Journal, spec: &CollectionSpec) -> Vec<Happening> {
    let Journal { from, to, alias, hash, .. } = next;
    let why = || next.stopped.as_deref().map(words).unwrap_or_default();
    let same = before.filter(|before| before.begun == next.begun && (&before.from, &before.to) == (from, to));
    let phase = same.map(|before| before.phase);
    let mut told = Vec::new();
    if !same.is_some_and(|before| before.approved) && next.approved {
        let message = format!("the approval of plan {hash}{} was taken up: Migrate", approved_by(spec));
        told.push(Happening::new(Happened::ApprovalConsumed, message));
    }
    let happening = match (phase, next.phase) {
        (None | Some(Phase::Stopped), Phase::Approve | Phase::Create) => Happening::new(
            Happened::MigrationBegun,
            format!(
                "begins to migrate {from} to {to}; ConfigMap {} keeps the schema as it was",
                spec.migration_journal()
            ),
        ),
        (Some(Phase::Copy), Phase::Freeze) => Happening::new(
            Happened::WritesHeld,
            format!("{from} is made read-only, until alias {alias} leads to {to}, plan {hash}"),
        ),
        (Some(Phase::Switch), Phase::Verify) => {
            Happening::new(Happened::Migrated, format!("alias {alias} leads to {to}; {from} is kept, plan {hash}"))
        }
        (Some(phase), Phase::Thaw) if phase != Phase::Thaw => Happening::new(
            Happened::MigrationStopped,
            format!("plan {hash} is stopped, and {from} is made writable again: {}", why()),
        ),
        (phase, Phase::Stopped) if phase != Some(Phase::Stopped) => {
            Happening::new(Happened::MigrationStopped, format!("{from} is not migrated to {to} any more: {}", why()))
        }
        // The way back was called off: the way there is what is told of again.
        (None, Phase::Kept) => Happening::new(
            Happened::MigrationStopped,
            format!("it does not go back to {from} any more; {to} stays live: {}", why()),
        ),
        _ => return told,
    };
    told.push(happening);
    told
}
