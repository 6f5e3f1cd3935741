//! What begins a migration, and what is in the way of one.

use elysia_api::condition::Reason;
use serde_json::Value;

use super::super::super::migration::{self, Act, Journal, Look, Phase};
use super::super::super::schema;
use super::super::{Part, Planner};

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
        let kept = last.filter(|last| last.phase == Phase::Kept && other.is_some());
        let is_rollback = kept.is_some() && other.is_some_and(|kept| self.fits(kept));
        let is_resumed = |last: &&Journal| {
            last.phase == Phase::Stopped && last.to == name && last.from == self.spec.collection && other.is_some()
        };
        let resumed = last.filter(is_resumed);
        if let Some(kept) = kept.filter(|_| is_rollback)
            && let Some(part) =
                self.made_anew((&kept.to, &kept.to_shards), (&kept.from, &kept.shards), &kept.alias, look, what)
        {
            return part;
        }
        if let Some(why) = self.obstacle(class, (name, other), look, (kept.filter(|_| !is_rollback), resumed)) {
            return Part::Stuck(Reason::MigrationBlocked, format!("{what}, and it cannot be migrated: {why}"));
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
            former_version: last.filter(|last| last.live() == self.spec.collection).and_then(|last| {
                if last.phase.has_switched() { last.schema_version.clone() } else { last.former_version.clone() }
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
            stopped: resumed.and_then(|last| last.stopped.clone()),
            history: last.map_or_else(Vec::new, Journal::with_itself),
        };
        let journal = Journal { hash: journal.hash_of(&self.spec.uid), ..journal };
        let to = journal.to.clone();
        self.show(&journal, is_rollback);
        self.acts([Act::Write(Box::new(journal))]);
        Part::Working(Reason::Migrating, format!("{what}; it is migrated to {to}, and the journal is written first"))
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
                "{} of the migration before it is still kept for going back. It goes when its spec.migration.rollbackWindow is over; or delete it, if nobody goes back any more: DELETE /v1/schema/{}",
                kept.from, kept.from
            ));
        }
        if schema::is_multi_tenant(class) || schema::is_multi_tenant(&Value::Object(self.spec.settings.clone())) {
            return Some("a collection with tenants is not migrated".to_owned());
        }
        if let Some(property) = migration::cross_reference(class)
            .or_else(|| migration::cross_reference(&Value::Object(self.spec.settings.clone())))
        {
            return Some(format!(
                "property {property} is a cross-reference, which leads to a class and not to an alias"
            ));
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
        if other.is_some() && resumed.is_none() && self.migration().is_none_or(|last| last.phase != Phase::Kept) {
            return Some(format!(
                "there is a class {name} already, and nothing says that it is this collection's. If nobody needs it, delete it: DELETE /v1/schema/{name}"
            ));
        }
        let members = self.observed.members.seen().map_or(usize::MAX, Vec::len);
        self.too_few(members)
    }
}
