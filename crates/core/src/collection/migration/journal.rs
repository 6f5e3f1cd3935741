//! What is written down before the first step of a migration, and all that is needed to go on after any crash.

use elysia_api::names;
use elysia_api::restore::TransformStep;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tenants;
use crate::collection::CollectionSpec;
use crate::collection::recreate::Target;
use crate::fingerprint;

/// Migrations of one object that are remembered: more than a person reads, and few enough for a ConfigMap.
pub const HISTORY: usize = 20;

/// How far a migration is. Each name says what is being done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Phase {
    /// Back to a class that is kept: a person is asked before anything in it is written over.
    Approve,
    /// The class that is migrated to is made, or, a kept one, made writable.
    Create,
    /// Objects are copied, and what is written meanwhile is caught up with; the switch waits for its approval.
    Copy,
    /// Every shard of the old class is made read-only and seen to be so at every node.
    Freeze,
    /// What was in flight is waited out.
    Settle,
    /// The last pass is copied, and both classes are compared object by object.
    Final,
    /// The alias is switched.
    Switch,
    /// Every node sees the alias lead to the new class.
    Verify,
    /// Ended: the new class is live, the old one is kept for going back.
    Kept,
    /// Ended: the new class is live, the old one is gone.
    Over,
    /// It was stopped before the switch: the shards of the old class are made writable again.
    Thaw,
    /// Ended: the old class is live, as it was. What was copied stays where it is.
    Stopped,
}

impl Phase {
    /// The word that statuses show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "Approve",
            Self::Create => "Create",
            Self::Copy => "Copy",
            Self::Freeze => "Freeze",
            Self::Settle => "Settle",
            Self::Final => "Final",
            Self::Switch => "Switch",
            Self::Verify => "Verify",
            Self::Kept => "Kept",
            Self::Over => "Over",
            Self::Thaw => "Thaw",
            Self::Stopped => "Stopped",
        }
    }

    /// Whether something is left to do before the new class is live, or the old one as it was.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Kept | Self::Over | Self::Stopped)
    }

    /// Whether shards of the old class may be read-only by this migration. Nothing else is done to the collection then.
    pub fn is_frozen(self) -> bool {
        matches!(self, Self::Freeze | Self::Settle | Self::Final | Self::Switch | Self::Verify | Self::Thaw)
    }

    /// Whether the alias leads to the new class for certain.
    pub fn has_switched(self) -> bool {
        matches!(self, Self::Verify | Self::Kept | Self::Over)
    }
}

/// A migration that is over, as it is remembered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// The class that was migrated from.
    pub from: String,
    /// The class that was migrated to, or was to be.
    pub to: String,
    /// The name of the settings, if they had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// When the alias was switched; `None` when it was stopped before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_at: Option<Timestamp>,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// The journal of a migration. It has no owner: it outlives its object.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Approves the switch.
    pub hash: String,
    /// Attempts to switch of this object, this one included, over all migrations. Part of the hash, so that one approval
    /// serves one attempt.
    pub attempts: i64,
    /// The servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The alias.
    pub alias: String,
    /// The class that is migrated from.
    pub from: String,
    /// The class that it is migrated to. When this journal was first written there was no class of that name, unless it goes
    /// back: whatever is there by now was made by this migration.
    pub to: String,
    /// Whether it goes back to a class that was kept.
    #[serde(default)]
    pub is_rollback: bool,
    /// The class that is migrated from, from the server.
    pub former_schema: Value,
    /// The class that it is migrated to.
    pub wanted_schema: Value,
    /// `spec.migration.schemaVersion` of the settings that are migrated from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_version: Option<String>,
    /// `spec.migration.schemaVersion` of those that are migrated to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// Whether the present attempt was approved, and by whom, as the object said.
    #[serde(default)]
    pub approved: bool,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is there.
    pub since: Timestamp,
    /// When the migration was begun.
    pub begun: Timestamp,
    /// Orders that were given to the worker so far.
    #[serde(default)]
    pub pass: u32,
    /// The shards of the class that is migrated from, by their names, which the servers draw at random for each class: these
    /// are frozen, and by them the class is known again before it is deleted. Of a way back they are known from the
    /// beginning on, else from the freeze on.
    #[serde(default)]
    pub shards: Vec<String>,
    /// The shards of the class that it goes back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_shards: Vec<String>,
    /// The shards of the class that it was migrated to, sorted, as they were when both classes were found the same; none when
    /// it was another one by the time that every node saw the alias lead there, or when that is not known. The other class is
    /// deleted, or written over, only while the live one is still this very class: an alias survives the deletion of its
    /// class, and leads to whatever is made under that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_shards: Vec<String>,
    /// Objects of the class that was migrated from, as they were counted when both classes were the same: one that has
    /// another number by now was written to since, and is not deleted. `None` when it was opened again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<i64>,
    /// Shards that somebody had made read-only before: they stay so. `None` until it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_before: Option<Vec<String>>,
    /// Since when the first shard may be read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freezing_since: Option<Timestamp>,
    /// Since when every shard has been seen to be read-only at every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_since: Option<Timestamp>,
    /// When the alias was seen to be switched; of a way back that has not come so far, when the way there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_at: Option<Timestamp>,
    /// Why the last attempt was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What becomes of objects on their way: `spec.migration.transform` when the migration was begun. Salts stand in Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transform: Vec<TransformStep>,
    /// What is kept of the tenants; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Tenants>,
    /// Tenants that were created in the old class at the very moment of the switch, the first few: what was written to them
    /// is not in the new one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strayed: Vec<String>,
    /// Migrations before this one, the last one at the end; at most [`HISTORY`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Past>,
}

impl Journal {
    /// The same journal, further on.
    #[must_use]
    pub fn at(&self, phase: Phase, now: Timestamp) -> Self {
        Self { phase, since: now, ..self.clone() }
    }

    /// The same journal, on its way back to an old class that is writable.
    #[must_use]
    pub fn thawing(&self, why: impl Into<String>, now: Timestamp) -> Self {
        Self { stopped: Some(why.into()), ..self.at(Phase::Thaw, now) }
    }

    /// The next attempt, after one that was stopped: what is copied stays copied, and an approval is asked for anew.
    #[must_use]
    pub fn again(&self, uid: &str, now: Timestamp) -> Self {
        let next = Self {
            attempts: self.attempts + 1,
            approved: false,
            approved_by: None,
            pass: self.pass + 1,
            read_only_before: None,
            freezing_since: None,
            frozen_since: None,
            // Of a comparison that led to no switch.
            to_shards: Vec::new(),
            tenants: self.tenants.as_ref().map(|_| Tenants::default()),
            ..self.at(Phase::Copy, now)
        };
        let hash = next.hash_of(uid);
        Self { hash, ..next }
    }

    /// The journal of a migration that nobody wants any more, before anything was frozen. Of a way back the way there is what
    /// remains: its old class is kept as before.
    #[must_use]
    pub fn called_off(&self, why: &str, now: Timestamp) -> Self {
        let stopped = Some(why.to_owned());
        if !self.is_rollback {
            return Self { stopped, ..self.at(Phase::Stopped, now) };
        }
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            is_rollback: false,
            former_schema: self.wanted_schema.clone(),
            wanted_schema: self.former_schema.clone(),
            former_version: self.schema_version.clone(),
            schema_version: self.former_version.clone(),
            shards: self.kept_shards.clone(),
            kept_shards: Vec::new(),
            to_shards: self.shards.clone(),
            stopped,
            ..self.at(Phase::Kept, now)
        }
    }

    /// The hash of the plan: whose it is, which attempt, from which class to which, and both schemas. No counts and no times.
    pub fn hash_of(&self, uid: &str) -> String {
        let parts = (&self.alias, &self.from, &self.to, &self.former_schema, &self.wanted_schema);
        let plan = ("Migrate", uid, self.begun.as_second(), self.attempts, parts);
        if self.transform.is_empty() { fingerprint::short(&plan) } else { fingerprint::short(&(plan, &self.transform)) }
    }

    /// The class that the alias leads to when nobody else moves it.
    pub fn live(&self) -> &str {
        if self.phase.has_switched() { &self.to } else { &self.from }
    }

    /// Names the copy, the same in all of its orders.
    pub fn copy(&self, uid: &str) -> String {
        let copy = ("copy", uid, &self.from, &self.to, self.begun.as_second());
        // What was transformed otherwise is another copy.
        if self.transform.is_empty() { fingerprint::short(&copy) } else { fingerprint::short(&(copy, &self.transform)) }
    }

    /// Names the present order to the worker. Another attempt and a final pass have others: nothing that an earlier one
    /// said may count for them.
    pub fn order(&self, uid: &str) -> String {
        let is_final = self.phase == Phase::Final;
        fingerprint::short(&("order", self.copy(uid), self.attempts, self.pass, is_final))
    }

    /// The shards that are thawed when it is stopped.
    pub fn own_shards(&self) -> Vec<String> {
        let before = self.read_only_before.as_deref().unwrap_or_default();
        self.shards.iter().filter(|shard| !before.contains(shard)).cloned().collect()
    }

    /// Why the class that was migrated from is not to be deleted, by what its object and a protection of the name say now.
    pub fn keeps_former(&self, spec: &CollectionSpec, protection: Option<&str>, now: Timestamp) -> Option<String> {
        if spec.paused {
            return Some("elysia.dev/paused was set".to_owned());
        }
        if let Some(pattern) = protection {
            return Some(format!("{pattern} protects it"));
        }
        let window = spec.migration.as_ref().and_then(|wanted| wanted.window);
        let is_over =
            window.zip(self.switched_at).is_some_and(|(window, switched)| now.duration_since(switched) >= window);
        (!is_over).then(|| "spec.migration.rollbackWindow is another by now, and not over".to_owned())
    }

    /// The history with this migration behind it.
    pub fn with_itself(&self) -> Vec<Past> {
        let mut history = self.history.clone();
        history.push(Past {
            from: self.from.clone(),
            to: self.to.clone(),
            schema_version: self.schema_version.clone(),
            switched_at: self.switched_at,
            stopped: self.stopped.clone(),
        });
        let surplus = history.len().saturating_sub(HISTORY);
        history.drain(..surplus);
        history
    }

    /// The generation that no migration of this journal has used.
    pub fn next_generation(&self, collection: &str) -> u32 {
        let past = self.history.iter().flat_map(|past| [&past.from, &past.to]);
        let used = past.chain([&self.from, &self.to]).filter_map(|class| names::generation_of(collection, class));
        used.max().unwrap_or(1).saturating_add(1)
    }

    /// Whether this journal speaks of these servers; the error says what to do.
    pub fn is_of(&self, target: &Target, name: &str) -> Result<(), String> {
        match &self.target {
            Some(own) if own != target => Err(format!(
                "ConfigMap {name} is the journal of a migration at {}, but the object leads to {}, where nothing of it is done. Put the address back; or, if these are the same servers, write the new uid and addresses into the journal's \"target\": kubectl edit configmap {name}",
                own.addresses.join(", "),
                target.addresses.join(", ")
            )),
            _ => Ok(()),
        }
    }
}
