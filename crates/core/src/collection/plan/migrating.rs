//! Migration: what begins one, what goes on beside the rest, and what its conditions say.

mod beginning;
mod keeping;
mod showing;

use elysia_api::condition::Reason;
use serde_json::{Value, json};

use self::showing::left_out;
use super::super::migration::{self, Act, Journal, Live, Look, Moved, Phase, Standing, Tenants, Wanted};
use super::super::observed::ClusterSight;
use super::super::schema::Difference;
use super::shown::{approval_command, findings};
use super::{Part, Plan, Planner, RECHECK, RECHECK_LATER, Step, Unsettled, has_active_copies, measure};
use crate::sight::{BlindnessKind, Sight};

impl<'a> Planner<'a> {
    fn wanted(&self) -> Option<&'a Wanted> {
        self.spec.migration.as_ref()
    }

    fn migration(&self) -> Option<&'a Journal> {
        self.observed.migration.as_ref()?.journal.seen()?.as_ref()
    }

    /// The migration by which shards may be read-only.
    pub(super) fn frozen_migration(&self) -> Option<&'a Journal> {
        migration::frozen(self.observed)
    }

    fn acts(&mut self, acts: impl IntoIterator<Item = Act>) {
        self.steps.extend(acts.into_iter().map(|act| Step::Migration(Box::new(act))));
        self.recheck = Some(RECHECK);
    }

    /// Why nothing at all can be done: which class is live is not known.
    pub(super) fn not_to_migrate(&self, look: &Look) -> Option<Part> {
        let wanted = self.wanted()?;
        if let Some(version) = self.observed.version.filter(|version| *version < migration::FIRST_VERSION) {
            return Some(Part::Stuck(
                Reason::MigrationBlocked,
                format!(
                    "spec.migration needs aliases, which Weaviate has since {}; the servers run {version}",
                    migration::FIRST_VERSION
                ),
            ));
        }
        if let (Some(target), Some(journal)) = (&self.observed.target, self.migration())
            && let Err(message) = journal.is_of(target, &self.spec.migration_journal())
        {
            return Some(Part::Stuck(Reason::JournalElsewhere, message));
        }
        match migration::live_amid_switch(&self.spec.declared, &wanted.alias, look) {
            Live::Class(_) => None,
            Live::Unclear(why) => Some(Part::Stuck(Reason::MigrationBlocked, why)),
            Live::Unseen(kind, why) => {
                let reason = match kind {
                    BlindnessKind::Unreachable => Reason::Unreachable,
                    BlindnessKind::Unauthorized => Reason::Unauthorized,
                    BlindnessKind::Unsupported | BlindnessKind::Failed => Reason::Unknown,
                };
                Some(Part::Unknown(reason, why))
            }
        }
    }

    /// Whether an immutable difference is migrated, and nothing else.
    pub(super) fn migrates(&self) -> bool {
        let is_tenanted =
            matches!(&self.observed.class, Sight::Seen(Some(class)) if super::super::schema::is_multi_tenant(class));
        let has_objects = match &self.observed.holder {
            Some(Sight::Seen(holder)) => holder.is_some(),
            // Tenants at rest, or very many, are not proved empty, and what they hold is copied.
            Some(Sight::Unseen(blindness)) => is_tenanted && blindness.kind == BlindnessKind::Unsupported,
            None => false,
        };
        let is_active = self.migration().is_some_and(|journal| journal.phase.is_active());
        self.wanted().is_some() && (is_active || has_objects)
    }

    /// An immutable setting of a collection with objects differs.
    pub(super) fn migrate(&mut self, class: &Value, what: &str, copying: bool) -> Part {
        if let Some(pattern) = &self.observed.protection {
            return Part::Stuck(Reason::Protected, format!("{what}, and {pattern} protects it from being migrated"));
        }
        let Some(look) = &self.observed.migration else {
            return Part::Unknown(Reason::Unknown, format!("{what}; its alias was not looked at"));
        };
        let Some((name, other)) = &look.other else {
            return Part::Unknown(Reason::Unknown, format!("{what}; the class beside it was not looked at"));
        };
        let other = match other {
            Sight::Seen(other) => other.as_ref(),
            Sight::Unseen(blindness) => {
                self.recheck = Some(RECHECK_LATER);
                return Part::Unknown(Reason::Unknown, format!("{what}; {}", blindness.message));
            }
        };
        match self.migration().filter(|journal| journal.phase.is_active()) {
            None => self.begin(class, (name, other), look, what, copying),
            Some(journal) if journal.from != self.spec.collection => {
                self.call_off(journal, look, "another class is live by now");
                Part::Working(Reason::Migrating, format!("{what}; the migration of {} is ended", journal.from))
            }
            Some(journal) if !journal.is_rollback && self.transforms_otherwise(journal) => {
                self.call_off(journal, look, "the spec asks for other transformations by now");
                Part::Working(Reason::Migrating, format!("{what}; the migration to {} is ended", journal.to))
            }
            Some(journal) if !self.fits(other.unwrap_or(&journal.wanted_schema)) => {
                self.call_off(journal, look, "the spec asks for other settings by now");
                Part::Working(Reason::Migrating, format!("{what}; the migration to {} is ended", journal.to))
            }
            Some(journal) => {
                let journal = journal.clone();
                self.proceed(class, &journal, other, look, what)
            }
        }
    }

    fn fits(&self, class: &Value) -> bool {
        migration::fits(&self.spec.settings, self.spec.steps(), class, &measure(self.spec, self.observed))
    }

    fn transforms_otherwise(&self, journal: &Journal) -> bool {
        self.wanted().is_some_and(|wanted| wanted.transform != journal.transform)
    }

    /// The next act of a migration that has begun and froze nothing yet.
    fn proceed(&mut self, class: &Value, journal: &Journal, other: Option<&Value>, look: &Look, what: &str) -> Part {
        let called_off = self.spec.rollback.as_deref() == Some(&journal.hash);
        let waits = |planner: &mut Self, message: String| {
            planner.show(journal, true);
            let warning = planner.stop_writers(&journal.from).map_or_else(String::new, |why| format!("; {why}"));
            if called_off {
                let message = format!(
                    "{what}; the plan {} was called off by elysia.dev/rollback. Remove that annotation to have it back",
                    journal.hash
                );
                return Part::Stuck(Reason::NeedsApproval, message);
            }
            let stopped = journal
                .stopped
                .as_ref()
                .map_or_else(String::new, |why| format!(" The last attempt was stopped: {why}."));
            let command = approval_command(&planner.spec.name, &journal.hash);
            Part::Stuck(
                Reason::NeedsApproval,
                format!("{what}; {message}{warning}.{stopped} Look at status.plan, then: {command}"),
            )
        };
        if let (true, Some(_)) = (journal.is_rollback, other)
            && let Some(part) = self.made_anew(
                (&journal.from, &journal.shards),
                (&journal.to, &journal.kept_shards),
                &journal.alias,
                look,
                what,
            )
        {
            return part;
        }
        if journal.phase == Phase::Approve {
            // Also with `approval: Auto`: it writes over what is kept, and removes from it.
            if called_off || !self.approves(&journal.hash) {
                if other.is_some() && self.observed.cluster == ClusterSight::Fit {
                    self.keep_read_only(&journal.to, &journal.kept_shards, look);
                }
                return waits(self, format!("{} is kept and has these settings, so it can go back to it", journal.to));
            }
            self.show(journal, false);
            let next = Journal {
                approved: true,
                approved_by: self.spec.approved_by.clone(),
                // From here on it may be written to.
                compared: None,
                ..journal.at(Phase::Create, self.now)
            };
            self.acts([Act::Write(Box::new(next))]);
            return Part::Working(Reason::Migrating, format!("{what}; it goes back to {}", journal.to));
        }
        self.show(journal, false);
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::Migrating, format!("{what}; {wait}"));
        }
        if journal.phase == Phase::Create {
            return self.create(journal, other, look, what);
        }
        let Some(other) = other else {
            // Somebody deleted it: it is made again, and copied anew.
            let next = Journal { pass: journal.pass + 1, begun: self.now, ..journal.at(Phase::Create, self.now) };
            self.acts([Act::Write(Box::new(next))]);
            return Part::Working(Reason::Migrating, format!("{what}; {} is gone and is made again", journal.to));
        };
        let missing = migration::left_properties(class, other, &journal.transform);
        if let Some(why) = migration::leads_to_itself(&self.spec.declared, &json!({"properties": missing})) {
            return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and it cannot be migrated: {why}"));
        }
        if !missing.is_empty() {
            let to = &journal.to;
            self.acts(missing.into_iter().map(|property| Act::AddProperty { class: to.clone(), property }));
            return Part::Working(
                Reason::Migrating,
                format!("{what}; {to} gets the properties that were added meanwhile"),
            );
        }
        self.recheck = Some(RECHECK_LATER);
        match migration::standing(journal, self.spec, look) {
            Standing::Unseen(why) => Part::Unknown(Reason::Unknown, format!("{what}; {why}")),
            Standing::NotBegun => {
                self.acts([Act::Copy(Box::new(journal.clone()))]);
                Part::Working(Reason::Migrating, format!("{what}; {} is being copied to {}", journal.from, journal.to))
            }
            Standing::Disturbed(job) => {
                self.acts([Act::EndJob(job.clone())]);
                Part::Working(Reason::Migrating, format!("{what}; Job {job} of another order is ended first"))
            }
            Standing::Running(how) => Part::Working(Reason::Migrating, format!("{what}; {how}")),
            Standing::Failed { at, why, is_permanent } => {
                let since = at.map_or(journal.since, |at| at.max(journal.since));
                let pause = if is_permanent { migration::RETRY_LATER } else { migration::RETRY };
                if self.now.duration_since(since) >= pause {
                    self.acts([Act::Write(Box::new(Journal {
                        pass: journal.pass + 1,
                        ..journal.at(Phase::Copy, self.now)
                    }))]);
                }
                let message = format!("{what}; the copy to {} failed and is tried again: {why}", journal.to);
                if is_permanent {
                    Part::Stuck(Reason::MigrationBlocked, message)
                } else {
                    Part::Working(Reason::Migrating, message)
                }
            }
            Standing::Done(ledger) => {
                let left_out = left_out(journal, &ledger);
                self.show_with(journal, left_out.as_deref(), false);
                if (journal.approved || self.may_switch(journal)) && !called_off {
                    return self.freeze(class, journal, look, what);
                }
                let at = ledger.finished_at.unwrap_or(ledger.updated_at);
                if self.now.duration_since(at.max(journal.since)) >= migration::CATCH_UP {
                    self.acts([Act::Write(Box::new(Journal {
                        pass: journal.pass + 1,
                        ..journal.at(Phase::Copy, self.now)
                    }))]);
                }
                let part = waits(self, format!("its objects are copied to {} and are caught up with", journal.to));
                self.show_with(journal, left_out.as_deref(), true);
                part
            }
        }
    }

    /// Whether the present attempt is approved: by its hash, or by the spec as long as none was stopped.
    fn may_switch(&self, journal: &Journal) -> bool {
        // The live name loses what is left out: that is a person's to say.
        let is_automatic = self.wanted().is_some_and(|wanted| wanted.is_automatic)
            && journal.stopped.is_none()
            // Its writers would be told that writes succeeded which are lost.
            && self.stop_writers(&journal.from).is_none()
            && !migration::transform::leaves_objects_out(&journal.transform);
        (is_automatic || self.approves(&journal.hash)) && self.spec.rollback.as_deref() != Some(&journal.hash)
    }

    /// What a person has to see to before this class is made read-only.
    pub(super) fn stop_writers(&self, class: &str) -> Option<String> {
        migration::stop_writers(class, self.observed.version, &self.observed.placement)
    }

    fn create(&mut self, journal: &Journal, other: Option<&Value>, look: &Look, what: &str) -> Part {
        let to = &journal.to;
        let Some(other) = other else {
            if journal.is_rollback {
                return Part::Stuck(
                    Reason::MigrationBlocked,
                    format!(
                        "{what}, and {to}, to which it was to go back, is gone; declare the settings that are live"
                    ),
                );
            }
            if let Some(why) = &look.uncopied {
                return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and it cannot be migrated: {why}"));
            }
            self.acts([Act::CreateTarget(journal.wanted_schema.clone())]);
            return Part::Working(Reason::Migrating, format!("{what}; {to} is created"));
        };
        if journal.is_rollback {
            let unknown = self.observed.nodes.iter().find(|node| !matches!(look.read_only.get(*node), Some(Some(_))));
            if let Some(node) = unknown {
                return Part::Working(
                    Reason::Migrating,
                    format!("{what}; waiting for {node} to say what is read-only"),
                );
            }
            let mut shards: Vec<String> = look.read_only.values().flatten().flatten().cloned().collect();
            shards.sort();
            shards.dedup();
            if !shards.is_empty() {
                self.acts([Act::SetReadOnly { class: to.clone(), read_only: false, shards }]);
                return Part::Working(Reason::Migrating, format!("{what}; {to} is made writable"));
            }
        } else if !self.is_as_wanted(journal, other) {
            return Part::Stuck(
                Reason::MigrationBlocked,
                format!(
                    "{what}, and somebody made {to} meanwhile, with other settings: delete it, DELETE /v1/schema/{to}"
                ),
            );
        }
        self.acts([Act::Write(Box::new(journal.at(Phase::Copy, self.now)))]);
        Part::Working(Reason::Migrating, format!("{what}; {to} is there"))
    }

    /// Whether a class is the one that the journal wants.
    fn is_as_wanted(&self, journal: &Journal, class: &Value) -> bool {
        let mut settings = journal.wanted_schema.as_object().cloned().unwrap_or_default();
        settings.remove("class");
        settings.remove("replicationConfig");
        migration::fits(&settings, &[], class, &measure(self.spec, self.observed))
    }

    /// From here on nobody writes until the alias is switched.
    fn freeze(&mut self, class: &Value, journal: &Journal, look: &Look, what: &str) -> Part {
        // Made while the plan waited.
        if let Some(part) = self.led_from(look, what) {
            return part;
        }
        if has_active_copies(self.observed) {
            return Part::Working(
                Reason::Migrating,
                format!("{what}; approved, and the copies of its replicas come first"),
            );
        }
        let has_tenants = journal.tenants.is_some();
        if has_tenants {
            match self.tenants_in_the_way() {
                Ok(None) => {}
                Ok(Some(why)) => return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and {why}")),
                Err(why) => return Part::Unknown(Reason::Unknown, format!("{what}; {why}")),
            }
        }
        // Those of tenants have their names, and are called when writing creates none any more.
        let shards = if has_tenants { Vec::new() } else { self.live_shards().unwrap_or_default() };
        if shards.is_empty() && !has_tenants {
            return Part::Unknown(Reason::Unknown, format!("{what}; the placement of its shards is not known"));
        }
        if let Some(why) = self.stranger() {
            return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and it cannot be made read-only: {why}"));
        }
        // The last pass takes what any replica lists: one that missed a deletion would bring the object back.
        if let Some(Unsettled { why, stuck }) = &self.unsettled {
            let message = format!("{what}; approved, and its replicas come first: {why}");
            return stuck
                .map_or(Part::Working(Reason::Migrating, message.clone()), |reason| Part::Stuck(reason, message));
        }
        let next = Journal {
            approved: true,
            approved_by: journal.approved_by.clone().or_else(|| self.spec.approved_by.clone()),
            shards,
            read_only_before: None,
            freezing_since: None,
            frozen_since: None,
            tenants: journal
                .tenants
                .as_ref()
                .map(|_| Tenants { tenancy: Some(class["multiTenancyConfig"].clone()), roll: None }),
            ..journal.at(Phase::Freeze, self.now)
        };
        self.acts([Act::Write(Box::new(next))]);
        Part::Working(
            Reason::Migrating,
            format!("{what}; approved, and {} is made read-only for the switch", journal.from),
        )
    }

    fn call_off(&mut self, journal: &Journal, look: &Look, why: &str) {
        let mut acts = vec![Act::Write(Box::new(journal.called_off(why, self.now)))];
        let jobs = look.jobs.seen().into_iter().flatten();
        let running = jobs.filter(|job| job.state == crate::feed::JobState::Active);
        acts.extend(running.map(|job| Act::EndJob(job.name.clone())));
        self.acts(acts);
    }

    /// What a migration has to do although no immutable setting differs: the alias is made, a migration that nobody wants
    /// any more is ended, and a class that was kept for long enough is deleted.
    pub(super) fn beside_migration(&mut self, drift: &[Difference], schema: Part) -> Part {
        let (Some(wanted), Some(look)) = (self.wanted(), &self.observed.migration) else { return schema };
        if self.observed.cluster != ClusterSight::Fit {
            return schema;
        }
        if look.alias == Sight::Seen(None) {
            self.acts([Act::MakeAlias { alias: wanted.alias.clone(), class: self.spec.collection.clone() }]);
            return match schema {
                Part::InSync(_) => Part::Working(
                    Reason::Migrating,
                    format!("alias {} is made, leading to {}", wanted.alias, self.spec.collection),
                ),
                schema => schema,
            };
        }
        let Some(journal) = self.migration() else { return schema };
        let differs = drift.iter().any(|difference| difference.verdict == elysia_api::collection::Verdict::Recreate);
        if journal.phase.is_active() && !differs {
            self.call_off(journal, look, "the live class has the declared settings");
        }
        if let (Phase::Kept, Part::InSync(_), Some(first)) = (journal.phase, &schema, journal.strayed.first())
            && self.is_live(journal, look)
            && let Some((name, Sight::Seen(former))) = &look.other
            && *name == journal.from
        {
            if former.is_none() {
                self.acts([Act::Write(Box::new(journal.at(Phase::Over, self.now)))]);
                return schema;
            }
            let (from, to) = (&journal.from, &journal.to);
            return Part::Stuck(
                Reason::MigrationBlocked,
                format!(
                    "{} tenants, {first} among them, were created in {from} at the very moment of the switch, and what was written to them is not in {to}. Write it to {to} by hand, then delete {from}: DELETE /v1/schema/{from}",
                    journal.strayed.len()
                ),
            );
        }
        if journal.phase == Phase::Kept && differs && self.is_kept(journal, look) {
            let is_gone_back_to =
                matches!(&look.other, Some((_, Sight::Seen(Some(kept)))) if self.goes_back_to(journal, kept));
            if is_gone_back_to {
                self.keep_read_only(&journal.from, &journal.shards, look);
            } else {
                // What waits for it to go is said by the obstacle, not here.
                self.let_go(journal, look, wanted);
            }
        }
        if journal.phase == Phase::Kept
            && !differs
            && let (Some(why), Part::InSync(message)) = (self.let_go(journal, look, wanted), &schema)
        {
            return Part::InSync(format!("{message}; {why}"));
        }
        schema
    }

    fn migration_called_off(&self, look: &Look, journal: &Journal) -> Option<String> {
        if let Some(why) = &self.spec.invalid {
            return Some(format!("the spec is not valid any more: {why}"));
        }
        if let Some(older) = &self.observed.conflict {
            return Some(format!("{older} is older and claims the collection as well"));
        }
        if self.spec.paused {
            return Some("elysia.dev/paused was set".to_owned());
        }
        if self.spec.rollback.as_deref() == Some(&journal.hash) {
            return Some("elysia.dev/rollback called it off".to_owned());
        }
        if let Some(pattern) = &self.observed.protection {
            return Some(format!("{pattern} protects the collection now"));
        }
        if !journal.is_rollback && self.transforms_otherwise(journal) {
            return Some("the spec asks for other transformations by now".to_owned());
        }
        // When it was frozen nothing led there; what is not seen for the moment stops nothing.
        if let (true, Some(Sight::Seen(leading))) = (self.spec.collection == journal.from, &look.led_from)
            && let Some(why) = migration::led_from(&journal.from, leading)
        {
            return Some(why);
        }
        match &look.other {
            Some((_, Sight::Seen(Some(target)))) if self.fits(target) => None,
            Some((_, Sight::Seen(Some(_)))) => Some("the spec asks for other settings by now".to_owned()),
            Some((name, Sight::Seen(None))) => Some(format!("{name} is gone")),
            Some((_, Sight::Unseen(_))) | None => None,
        }
    }

    /// While shards are read-only nothing else is done to the collection.
    pub(super) fn switching(mut self, look: &Look, journal: &Journal) -> Plan {
        self.recheck = Some(RECHECK);
        let called_off = self.migration_called_off(look, journal);
        let nodes = &self.observed.nodes;
        let members = self.observed.members.seen();
        let alive: Vec<String> =
            nodes.iter().filter(|node| members.is_none_or(|members| members.contains(node))).cloned().collect();
        let live_shards = if self.observed.class == Sight::Seen(None) { Some(Vec::new()) } else { self.live_shards() };
        let moved = migration::next(journal, self.spec, look, (nodes, &alive), live_shards, called_off, self.now);
        let doing = match journal.phase {
            Phase::Thaw => format!("{} is made writable again", journal.from),
            Phase::Verify => format!("alias {} leads to {}", journal.alias, journal.to),
            _ => format!("{} is read-only until alias {} leads to {}", journal.from, journal.alias, journal.to),
        };
        let message = match moved {
            Moved::Acts(acts) => {
                self.acts(acts);
                doing
            }
            Moved::Wait(what) => format!("{doing}; waiting for {what}"),
        };
        self.show(journal, false);
        let part = Part::Working(Reason::Migrating, message);
        let findings = findings(&part, &part, Some("the collection can be read; writes are refused for the moment"));
        self.finish(findings, Vec::new())
    }
}
