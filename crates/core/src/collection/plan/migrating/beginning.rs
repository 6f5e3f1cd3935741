//! What begins a migration, and what is in the way of one.

use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::super::migration::{self, Act, Journal, Look, Phase, Tenants};
use super::super::super::schema;
use super::super::{Part, Planner, RECHECK, RECHECK_LATER};
use crate::sight::Sight;

impl Planner<'_> {
    /// The journal of a new migration, if nothing is in its way.
    pub(super) fn begin(
        &mut self,
        class: &Value,
        (name, other): (&str, Option<&Value>),
        look: &Look,
        what: &str,
        copying: bool,
    ) -> Part {
        let last = self.migration();
        // Nothing is copied back into a class with tenants: what tells a class from another one of its name are the names of
        // its shards, and theirs are the tenants' own. With its former settings another one is made.
        let is_kept = |last: &&Journal| last.phase == Phase::Kept && last.tenants.is_none() && name == last.from;
        let kept = last.filter(|last| is_kept(last) && other.is_some());
        let is_rollback = kept.zip(other).is_some_and(|(last, kept)| self.goes_back_to(last, kept));
        let is_resumed = |last: &&Journal| {
            last.phase == Phase::Stopped
                && last.to == name
                && last.from == self.spec.collection
                && last.transform == self.spec.steps()
                && other.is_some()
        };
        let resumed = last.filter(is_resumed);
        // Of a class that the alias was let lead back to by hand nothing is passed over.
        let is_beyond = last.is_some_and(|last| {
            last.phase == Phase::Kept
                && last.tenants.is_none()
                && name != last.from
                && last.from != self.spec.collection
        });
        if is_beyond && let Some(part) = self.too_many_kept(name, look, what) {
            return part;
        }
        if let Some(kept) = kept.filter(|kept| is_rollback && !kept.transform.is_empty()) {
            let steps: Vec<String> = kept.transform.iter().map(migration::transform::words).collect();
            return Part::Stuck(
                Reason::MigrationBlocked,
                format!(
                    "{what}, and it does not go back to {} by itself: objects were transformed on the way ({}), and to copy them back would take from {} what only it still has. To have it live as it was at the switch, without anything that was written since: PUT /v1/aliases/{} with {{\"class\": \"{}\"}}",
                    kept.from,
                    steps.join("; "),
                    kept.from,
                    kept.alias,
                    kept.from
                ),
            );
        }
        if let Some(kept) = kept.filter(|_| is_rollback)
            && let Some(part) =
                self.made_anew((&kept.to, &kept.to_shards), (&kept.from, &kept.shards), &kept.alias, look, what)
        {
            return part;
        }
        if let Some(why) = self.obstacle(class, (name, other), look, (kept.filter(|_| !is_rollback), resumed)) {
            return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and it cannot be migrated: {why}"));
        }
        if let Some(part) = self.led_from(look, what) {
            return part;
        }
        let is_tenanted = schema::is_multi_tenant(class);
        if is_tenanted {
            match self.tenants_in_the_way() {
                Ok(None) => {}
                Ok(Some(why)) => {
                    return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and it cannot be migrated: {why}"));
                }
                Err(why) => return Part::Unknown(Reason::Unknown, format!("{what}; {why}")),
            }
        }
        if copying {
            return Part::Working(Reason::SchemaDrift, format!("{what}; the replicas come first"));
        }
        if let Some(wait) = self.waits_for_cluster() {
            return Part::Working(Reason::Migrating, format!("{what}; {wait}"));
        }
        let wanted_schema = match other {
            Some(other) if is_rollback => other.clone(),
            _ => migration::target_class(self.spec, class, name),
        };
        let wanted = self.wanted().cloned().unwrap_or_default();
        let journal = Journal {
            hash: String::new(),
            attempts: last.map_or(0, |last| last.attempts) + 1,
            target: self.observed.target.clone(),
            alias: wanted.alias,
            from: self.spec.collection.clone(),
            to: name.to_owned(),
            is_rollback,
            former_schema: class.clone(),
            wanted_schema,
            former_version: self.versions().and_then(|next| next.at.clone()).or_else(|| {
                last.filter(|last| last.live() == self.spec.collection).and_then(|last| {
                    if last.phase.has_switched() { last.schema_version.clone() } else { last.former_version.clone() }
                })
            }),
            schema_version: wanted.schema_version,
            approved: false,
            approved_by: None,
            phase: if is_rollback { Phase::Approve } else { Phase::Create },
            since: self.now,
            // The same as before: what was copied already, and what the ledger says of it, goes on counting.
            begun: resumed.map_or(self.now, |last| last.begun),
            pass: resumed.map_or(1, |last| last.pass + 1),
            shards: kept.map_or_else(Vec::new, |kept| kept.to_shards.clone()),
            kept_shards: kept.map_or_else(Vec::new, |kept| kept.shards.clone()),
            to_shards: Vec::new(),
            // Of the kept class, should the way back be called off before it is opened.
            compared: kept.and_then(|kept| kept.compared),
            read_only_before: None,
            freezing_since: None,
            frozen_since: None,
            switched_at: kept.and_then(|kept| kept.switched_at),
            stopped: resumed.and_then(|last| last.stopped.clone()).or_else(|| self.moved_by_hand()),
            transform: if is_rollback { Vec::new() } else { wanted.transform },
            tenants: is_tenanted.then(Tenants::default),
            strayed: Vec::new(),
            history: last.map_or_else(Vec::new, Journal::with_itself),
        };
        let journal = Journal { hash: journal.hash_of(&self.spec.uid), ..journal };
        let to = journal.to.clone();
        self.show(&journal, is_rollback);
        self.acts([Act::Write(Box::new(journal))]);
        Part::Working(Reason::Migrating, format!("{what}; it is migrated to {to}, and the journal is written first"))
    }

    /// That a person let the alias lead elsewhere than the last migration did: it is not undone before a person is asked, also
    /// with `approval: Auto`.
    fn moved_by_hand(&self) -> Option<String> {
        let last = self.migration().filter(|last| last.live() != self.spec.collection)?;
        Some(format!("alias {} was let lead from {} to {} by hand", last.alias, last.live(), self.spec.collection))
    }

    /// Whether the class that is kept of this migration has what is declared, and nothing is to become of objects on the way
    /// into it: it was filled without the steps that are declared by now.
    pub(super) fn goes_back_to(&self, last: &Journal, kept: &Value) -> bool {
        (self.spec.steps().is_empty() || !last.transform.is_empty()) && self.fits(kept)
    }

    /// What about its tenants is in the way; the error says why that is not known.
    pub(super) fn tenants_in_the_way(&mut self) -> Result<Option<String>, String> {
        match &self.observed.recreate.tenants {
            Some(Sight::Seen(tenants)) => Ok(migration::tenants::obstacle(tenants)),
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                Err(blindness.message.clone())
            }
            None => {
                self.recheck = Some(RECHECK);
                Err("its tenants are being looked at".to_owned())
            }
        }
    }

    /// References of other classes lead to a class by its name: an alias that is switched does not take them along.
    pub(super) fn led_from(&mut self, look: &Look, what: &str) -> Option<Part> {
        let unseen = match &look.led_from {
            Some(Sight::Seen(leading)) => {
                let why = migration::led_from(&self.spec.collection, leading)?;
                return Some(Part::Stuck(
                    Reason::MigrationBlocked,
                    format!("{what}, and it cannot be migrated: {why}"),
                ));
            }
            Some(Sight::Unseen(blindness)) => blindness.message.clone(),
            None => "what leads to it was not looked at".to_owned(),
        };
        self.recheck = Some(RECHECK_LATER);
        Some(Part::Unknown(Reason::Unknown, format!("{what}; {unseen}")))
    }

    /// Why no further class is made beside those that are kept, if so.
    fn too_many_kept(&mut self, name: &str, look: &Look, what: &str) -> Option<Part> {
        let keep = self.wanted().map_or(1, |wanted| wanted.keep);
        let there = match &look.generations {
            Some(Sight::Seen(there)) => there,
            Some(Sight::Unseen(blindness)) => {
                self.recheck = Some(RECHECK_LATER);
                return Some(Part::Unknown(Reason::Unknown, format!("{what}; {}", blindness.message)));
            }
            None => {
                return Some(Part::Unknown(
                    Reason::Unknown,
                    format!("{what}; the classes that are kept were not looked at"),
                ));
            }
        };
        let kept: Vec<&String> =
            there.iter().filter(|class| **class != self.spec.collection && class.as_str() != name).collect();
        (kept.len() >= keep).then(|| {
            let names = kept.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ");
            Part::Stuck(
                Reason::MigrationBlocked,
                format!(
                    "{what}, and it cannot be migrated: {names} are kept of the migrations before, and spec.migration.keep is {keep}. Delete those that nobody goes back to: DELETE /v1/schema/CLASS"
                ),
            )
        })
    }

    /// What is in the way of a new migration, and only a person can change.
    fn obstacle(
        &self,
        class: &Value,
        (name, other): (&str, Option<&Value>),
        look: &Look,
        (kept, resumed): (Option<&Journal>, Option<&Journal>),
    ) -> Option<String> {
        if let Some(kept) = kept {
            return Some(format!(
                "{} of the migration before it is still kept for going back. It goes when its spec.migration.rollbackWindow is over; or delete it, if nobody goes back any more: DELETE /v1/schema/{}; or let more than one be there: spec.migration.keep",
                kept.from, kept.from
            ));
        }
        let wanted = Value::Object(self.spec.settings.clone());
        if let Some(why) = migration::tenants::changes_tenancy(class, &wanted) {
            return Some(why);
        }
        if let Some(last) = self.migration().filter(|last| {
            last.live() == self.spec.collection && last.phase.has_switched() && !last.transform.is_empty()
        }) && last.transform == self.spec.steps()
        {
            return Some(format!(
                "spec.migration.transform is what was done on the way to {} already, and would be done once more: remove it, or declare what is to be done now",
                last.to
            ));
        }
        if !look.unfit.is_empty() {
            return Some(format!("its transformations do not fit: {}", look.unfit.join("; ")));
        }
        let made = other.cloned().unwrap_or_else(|| migration::target_class(self.spec, class, name));
        if let Some(why) = migration::leads_to_itself(&self.spec.declared, &made) {
            return Some(why);
        }
        if let Some(why) = &look.uncopied {
            return Some(why.clone());
        }
        if self.observed.nodes.is_empty() {
            return Some(
                "the WeaviateCluster names no node addresses (spec.external.nodes), so no replica can be seen to be read-only"
                    .to_owned(),
            );
        }
        if let Some(why) = self.stranger() {
            return Some(why);
        }
        if let Some(rival) = &look.rival {
            return Some(format!("{rival} claims {name}; rename one of the two"));
        }
        if let (Some(other), Some(_)) = (other, resumed)
            && !self.fits(other)
        {
            return Some(format!(
                "{name}, into which a migration that was stopped copied, has other settings. Nobody uses it: delete it, DELETE /v1/schema/{name}"
            ));
        }
        if other.is_some()
            && resumed.is_none()
            && self
                .migration()
                .is_none_or(|last| last.phase != Phase::Kept || last.tenants.is_some() || name != last.from)
        {
            return Some(format!(
                "there is a class {name} already, and nothing says that it is this collection's. If nobody needs it, delete it: DELETE /v1/schema/{name}"
            ));
        }
        let members = self.observed.members.seen().map_or(usize::MAX, Vec::len);
        self.too_few(members)
    }
}
