//! Migration of a collection that holds objects: a new class beside the old one, a copy that catches up, a freeze of
//! seconds to minutes, a comparison of every object, and one switch of the alias.
//!
//! Which class is live is said by the alias, and by nothing else. The journal says what is under way; both together are
//! enough to go on after any crash. Until the switch the old class is the live one and whole; whatever goes wrong before it
//! makes that one writable again. What is acknowledged is never lost: writes are refused from the freeze on, those in flight
//! are waited out (`weaviate-lab` §12), and only then the last pass is copied and compared.

mod journal;
mod standing;
mod switch;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod transform;
pub mod versions;

use std::collections::BTreeMap;

use elysia_api::names;
use elysia_api::restore::TransformStep;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::recreate::TenantState;
use super::schema::{self, Measure};
use super::spec::CollectionSpec;
use crate::copy::ledger::CopyLedger;
use crate::feed::JobView;
use crate::sight::{BlindnessKind, Sight};
use crate::version::ServerVersion;
use elysia_api::collection::{ShardReplicas, Verdict};

pub use journal::{HISTORY, Journal, Past, Phase};
pub use standing::{Standing, job, standing};
pub use switch::{Moved, next};
pub use tenants::{Roll, Tenants};

/// The first servers that have aliases.
pub const FIRST_VERSION: ServerVersion = ServerVersion::minor(32);

/// The first servers that answer for each write of a batch that a read-only shard refuses. Where a shard has one replica, those
/// of before answer FAILED for one of them and SUCCESS for the others, and write none (seen on 1.38.2).
pub const REFUSES_EACH: ServerVersion = ServerVersion { major: 1, minor: 38, patch: 10 };

/// The one after them that answers as those of before.
const REFUSES_ONE: ServerVersion = ServerVersion::minor(39);

/// How often is caught up with what was written meanwhile, while a plan waits for its approval. A pass asks the servers for
/// all that is new; what is left when the switch is approved takes the last pass, while nobody can write.
pub const CATCH_UP: SignedDuration = SignedDuration::from_secs(300);

/// How long after an order that failed the next one is given.
pub const RETRY: SignedDuration = SignedDuration::from_secs(30);

/// The same for one that would fail alike until a person changes something: now and then it is tried all the same.
pub const RETRY_LATER: SignedDuration = SignedDuration::from_secs(600);

/// How long the shards may take to be seen read-only, or a step of the switch to be seen at every node.
pub const STEP_PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Longest time that the old class is frozen before the switch. Writers get errors all the while; a comparison that takes
/// longer is not worth that, and the old class is made writable again.
pub const FROZEN_AT_MOST: SignedDuration = SignedDuration::from_mins(15);

/// How long an order may take that is not the last: days, of a large collection whose vectors are indexed as they come.
pub const COPY_DEADLINE: SignedDuration = SignedDuration::from_hours(144);

/// What `spec.migration` says, with every default in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The alias.
    pub alias: String,
    /// Whether the switch waits for nobody.
    pub is_automatic: bool,
    /// How long the old class is kept; `None`: until a person removes it.
    pub window: Option<SignedDuration>,
    /// How many old classes may be there at a time. Above one a migration begins although one is kept.
    pub keep: usize,
    /// What these settings are called.
    pub schema_version: Option<String>,
    /// What becomes of objects on their way into a new class.
    pub transform: Vec<TransformStep>,
}

impl Wanted {
    /// Reads the field; the error says what is wrong with it.
    pub fn parse(migration: &elysia_api::collection::Migration) -> Result<Self, String> {
        let elysia_api::collection::Migration { alias, approval, rollback_window, keep, schema_version, transform } =
            migration;
        let window = |text: &String| {
            window(text)
                .ok_or_else(|| format!("spec.migration.rollbackWindow: {text:?} is not a time such as 72h or 7d"))
        };
        Ok(Self {
            alias: alias.clone(),
            is_automatic: *approval == elysia_api::collection::MigrationApproval::Auto,
            window: rollback_window.as_ref().map(window).transpose()?,
            keep: keep.and_then(|keep| usize::try_from(keep).ok()).unwrap_or(1),
            schema_version: schema_version.clone(),
            transform: transform.clone(),
        })
    }
}

/// `72h`, `7d`.
fn window(text: &str) -> Option<SignedDuration> {
    let (number, hours) =
        text.strip_suffix('h').map(|number| (number, 1)).or(text.strip_suffix('d').map(|number| (number, 24)))?;
    let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
    Some(SignedDuration::from_hours(number.checked_mul(hours)?))
}

/// What a look at a migration gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Where the alias leads; `Seen(None)` when there is none of that name.
    pub alias: Sight<Option<String>>,
    /// The journal.
    pub journal: Sight<Option<Journal>>,
    /// Classes whose names are generations of the collection, asked when there is neither alias nor journal.
    pub generations: Option<Sight<Vec<String>>>,
    /// The class that [`other`] names.
    pub other: Option<(String, Sight<Option<Value>>)>,
    /// The shards of that class, sorted; none when it is not there, `None` when they were not asked for.
    pub other_shards: Option<Sight<Vec<String>>>,
    /// Another resource that claims that class.
    pub rival: Option<String>,
    /// The shards of the class in question that are read-only, at each node; `None` when that node could not be asked.
    pub read_only: BTreeMap<String, Option<Vec<String>>>,
    /// The tenants of the classes that were asked for, sorted by name.
    pub tenants: BTreeMap<String, Sight<Vec<TenantState>>>,
    /// Whether writing creates or wakes tenants of the old class, by each node's own word; `None` when that node could not be
    /// asked.
    pub makes_tenants: BTreeMap<String, Option<bool>>,
    /// Where the alias leads by each node's own word; the outer `None` when that node could not be asked.
    pub alias_at: BTreeMap<String, Option<Option<String>>>,
    /// Servers that were started after the shards were frozen.
    pub restarted: Vec<String>,
    /// What the worker says.
    pub ledger: Sight<Option<CopyLedger>>,
    /// The Jobs of this object's migrations.
    pub jobs: Sight<Vec<JobView>>,
    /// What about the transformations that are declared does not fit the live class, as the engine says it.
    pub unfit: Vec<String>,
    /// Why objects of the live class cannot be copied, or not into the one that is to be made, as the engine says it; or why
    /// that one cannot be made.
    pub uncopied: Option<String>,
    /// Properties of other classes that lead to the live one, each as `CLASS.PROPERTY`; asked when another class is to be
    /// made.
    pub led_from: Option<Sight<Vec<String>>>,
    /// What `spec.migrations` declares for now; `None` without that list, or while the live class is not seen.
    pub versions: Option<versions::Next>,
}

impl Default for Look {
    fn default() -> Self {
        fn not_asked<T>() -> Sight<T> {
            Sight::unseen(BlindnessKind::Failed, "not asked")
        }
        Self {
            alias: not_asked(),
            journal: not_asked(),
            generations: None,
            other: None,
            other_shards: None,
            rival: None,
            read_only: BTreeMap::new(),
            tenants: BTreeMap::new(),
            makes_tenants: BTreeMap::new(),
            alias_at: BTreeMap::new(),
            restarted: Vec::new(),
            ledger: not_asked(),
            jobs: not_asked(),
            unfit: Vec::new(),
            uncopied: None,
            led_from: None,
            versions: None,
        }
    }
}

/// The journal of a migration by which shards of the live class may be read-only.
pub fn frozen(observed: &super::Observed) -> Option<&Journal> {
    observed.migration.as_ref()?.journal.seen()?.as_ref().filter(|journal| journal.phase.is_frozen())
}

/// What is to be looked at, from alias and journal.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wants {
    /// The shards of this class at each node.
    pub read_only: Option<String>,
    /// Where the alias leads at each node.
    pub alias_at: bool,
    /// Servers that were started after this time.
    pub restarted_since: Option<Timestamp>,
    /// The ledger and the Jobs.
    pub copy: bool,
    /// The shards of the class beside the live one.
    pub other_shards: bool,
    /// The tenants of these classes.
    pub tenants: Vec<String>,
    /// Whether writing creates or wakes tenants of this class, at each node.
    pub makes_tenants: Option<String>,
}

/// What the present phase wants to know.
pub fn wants(journal: Option<&Journal>) -> Wants {
    let Some(journal) = journal else { return Wants::default() };
    let of = |class: &String| Some(class.clone());
    let wants = of_phase(journal);
    if journal.tenants.is_none() || !journal.phase.is_frozen() {
        return wants;
    }
    if journal.phase == Phase::Verify {
        return Wants { tenants: vec![journal.from.clone(), journal.to.clone()], ..wants };
    }
    Wants { tenants: vec![journal.from.clone()], makes_tenants: of(&journal.from), ..wants }
}

fn of_phase(journal: &Journal) -> Wants {
    let of = |class: &String| Some(class.clone());
    match journal.phase {
        Phase::Create if journal.is_rollback => {
            Wants { read_only: of(&journal.to), other_shards: true, ..Wants::default() }
        }
        // It stays as it was kept until it is approved.
        Phase::Approve => Wants { read_only: of(&journal.to), copy: true, other_shards: true, ..Wants::default() },
        Phase::Create | Phase::Copy => Wants { copy: true, other_shards: journal.is_rollback, ..Wants::default() },
        Phase::Freeze | Phase::Thaw => Wants { read_only: of(&journal.from), copy: true, ..Wants::default() },
        Phase::Settle | Phase::Final | Phase::Switch => Wants {
            read_only: of(&journal.from),
            restarted_since: journal.frozen_since.or(journal.freezing_since),
            copy: true,
            // Those of tenants have the tenants' names, by which no class is known again.
            other_shards: journal.phase != Phase::Settle && journal.tenants.is_none(),
            ..Wants::default()
        },
        Phase::Verify => Wants { alias_at: true, ..Wants::default() },
        Phase::Kept => Wants { read_only: of(&journal.from), other_shards: true, ..Wants::default() },
        Phase::Over | Phase::Stopped => Wants::default(),
    }
}

/// The names of the shards, sorted: by them a class is told from another one of its name.
pub fn shard_names(placement: &[ShardReplicas]) -> Vec<String> {
    sorted(placement.iter().map(|shard| shard.shard.clone()).collect())
}

/// Whether these are the shards that are known of a class. Of a class of which none are known nothing can be said.
pub fn are_the_same(known: &[String], there: &[String]) -> bool {
    !known.is_empty() && sorted(known.to_vec()) == sorted(there.to_vec())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Which class is live, or why that is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Live {
    /// This one.
    Class(String),
    /// It could not be seen.
    Unseen(BlindnessKind, String),
    /// What was seen does not say; nothing is done until a person has looked.
    Unclear(String),
}

/// Which class of the collection is live. The alias says so; where there is none, the journal remembers; where there is
/// neither, it is the first one, if there is no other.
pub fn live(collection: &str, alias: &str, look: &Look) -> Live {
    let journal = match &look.journal {
        Sight::Seen(journal) => journal.as_ref(),
        Sight::Unseen(blindness) => return Live::Unseen(blindness.kind, blindness.message.clone()),
    };
    match &look.alias {
        Sight::Unseen(blindness) => Live::Unseen(blindness.kind, blindness.message.clone()),
        Sight::Seen(Some(class)) if names::generation_of(collection, class).is_some() => Live::Class(class.clone()),
        Sight::Seen(Some(class)) => Live::Unclear(format!(
            "alias {alias} leads to {class}, which is no class of {collection}: nothing is changed. Let it lead to {collection} or one of its generations, or name another alias in another ElysiaCollection"
        )),
        Sight::Seen(None) => match (journal, &look.generations) {
            (Some(journal), _) => Live::Class(journal.live().to_owned()),
            (None, Some(Sight::Seen(classes))) => match classes.iter().find(|class| *class != collection) {
                None => Live::Class(collection.to_owned()),
                Some(class) => Live::Unclear(format!(
                    "there is no alias {alias}, no journal, and beside {collection} there is {class}: which one is live is not known. Make the alias by hand: POST /v1/aliases with {{\"alias\": \"{alias}\", \"class\": ...}}"
                )),
            },
            (None, Some(Sight::Unseen(blindness))) => Live::Unseen(blindness.kind, blindness.message.clone()),
            (None, None) => Live::Unseen(BlindnessKind::Failed, "its classes were not asked for".to_owned()),
        },
    }
}

/// The same in the middle of a switch: whatever somebody lets the alias lead to then, the class that was made read-only is the
/// one that is thawed.
pub fn live_amid_switch(collection: &str, alias: &str, look: &Look) -> Live {
    let journal = look.journal.seen().and_then(Option::as_ref);
    let held = journal.filter(|journal| journal.phase.is_frozen() && !journal.phase.has_switched());
    match (live(collection, alias, look), held) {
        (Live::Unclear(_), Some(journal)) => Live::Class(journal.from.clone()),
        (live, _) => live,
    }
}

/// The class beside the live one that matters now: the one that is migrated to, the one that is kept, or the one that would
/// be made next. `begins`: whether the live class differs in what only a new one can have.
pub fn other(collection: &str, live: &str, journal: Option<&Journal>, begins: bool) -> String {
    let after = |number: u32| names::generation(collection, number);
    // A person may let the alias lead to either class: that one is live then, and no rest of a migration.
    match journal {
        Some(journal) if journal.phase.is_active() => journal.to.clone(),
        // Nothing is ever copied back into a kept class with tenants: another one is made.
        Some(journal)
            if journal.phase == Phase::Kept && journal.from != live && !(begins && journal.tenants.is_some()) =>
        {
            journal.from.clone()
        }
        // What was copied before it was stopped can be gone on with.
        Some(journal) if journal.phase == Phase::Stopped && journal.to != live && !journal.is_rollback => {
            journal.to.clone()
        }
        Some(journal) => unused(collection, live, journal),
        None => after(names::generation_of(collection, live).unwrap_or(1).saturating_add(1)),
    }
}

/// The next generation that no migration has used.
fn unused(collection: &str, live: &str, journal: &Journal) -> String {
    let of_live = names::generation_of(collection, live).unwrap_or(1).saturating_add(1);
    names::generation(collection, journal.next_generation(collection).max(of_live))
}

/// The class that is migrated to in place of a kept one that is not gone back to, where more than one may be there. `kept`: the
/// class that [`other`] named.
pub fn beyond(spec: &CollectionSpec, journal: Option<&Journal>, kept: &Value, measure: &Measure<'_>) -> Option<String> {
    let journal = journal.filter(|journal| journal.phase == Phase::Kept && journal.tenants.is_none())?;
    let is_gone_back_to = spec.steps().is_empty() && fits(&spec.settings, &[], kept, measure);
    let goes_on = spec.migration.as_ref().is_some_and(|wanted| wanted.keep > 1) && !is_gone_back_to;
    goes_on.then(|| unused(&spec.declared, &spec.collection, journal))
}

/// The class that is migrated to: as declared, with the properties that the old one has beside the declared ones, so that no
/// object loses any.
pub fn target_class(spec: &CollectionSpec, live: &Value, name: &str) -> Value {
    let mut class = spec.class();
    class["class"] = Value::from(name);
    let migration = spec.migration.as_ref();
    let version = migration.and_then(|wanted| wanted.schema_version.as_ref());
    if let (Some(version), None) = (version, class.get("description")) {
        // Beside the data as well: the journal goes with the Kubernetes cluster.
        class["description"] = Value::from(format!("schema version {version}"));
    }
    let steps = migration.map(|wanted| wanted.transform.as_slice()).unwrap_or_default();
    with_left_properties(class, live, steps)
}

/// A class with the properties that another one has beside its own, as the transformations leave them.
pub fn with_left_properties(mut class: Value, live: &Value, steps: &[TransformStep]) -> Value {
    for property in left_properties(live, &class, steps) {
        match class.get_mut("properties").and_then(Value::as_array_mut) {
            Some(properties) => properties.push(property),
            None => class["properties"] = Value::Array(vec![property]),
        }
    }
    class
}

/// Properties that one class has, as the transformations leave them, and the other lacks.
pub fn left_properties(of: &Value, lacking: &Value, steps: &[TransformStep]) -> Vec<Value> {
    let properties = of["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    missing_properties(
        &Value::from(Map::from_iter([(
            "properties".to_owned(),
            Value::from(transform::transformed(properties, steps)),
        )])),
        lacking,
    )
}

/// Properties that one class has and the other lacks.
fn missing_properties(of: &Value, lacking: &Value) -> Vec<Value> {
    let names = |class: &Value| -> Vec<String> {
        let properties = class["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
        properties.iter().map(schema::property_name).collect()
    };
    let has = names(lacking);
    let properties = of["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    properties.iter().filter(|property| !has.contains(&schema::property_name(property))).cloned().collect()
}

/// The first property of a class whose references lead to the collection itself, in whichever generation.
fn own_reference(declared: &str, class: &Value) -> Option<String> {
    properties_to(class, |to| names::generation_of(declared, to).is_some()).next()
}

/// What whoever approves a freeze of this class has to see to first, if it takes that: its servers answer SUCCESS for writes that
/// they refuse. What is not known counts as if they did.
pub fn stop_writers(
    class: &str,
    version: Option<ServerVersion>,
    placement: &Sight<Vec<ShardReplicas>>,
) -> Option<String> {
    let is_lone = placement.seen().is_none_or(|placement| placement.iter().any(|shard| shard.replicas.len() < 2));
    let is_unheard = version.is_none_or(|version| version < REFUSES_EACH || version == REFUSES_ONE);
    (is_lone && is_unheard).then(|| {
        format!(
            "stop the writers that send batches before you approve: while {class} is read-only, servers before {REFUSES_EACH}, and {REFUSES_ONE}, answer SUCCESS for writes of a batch that they refuse, where a shard has one replica, and those writes are lost"
        )
    })
}

/// Why references of its own keep a collection from being migrated into this class, if so.
pub fn leads_to_itself(declared: &str, class: &Value) -> Option<String> {
    let property = own_reference(declared, class)?;
    Some(format!(
        "references of property {property} lead to the collection itself, by the name of a class and not by the alias"
    ))
}

/// Why a class cannot be made by where its references lead, if so: servers ask for each class by its name, and let a class
/// without tenants lead to none that has them. Those to the collection itself are for [`leads_to_itself`].
pub fn leads_nowhere(made: &Value, all: &[Value]) -> Option<String> {
    let properties = made["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    properties.iter().find_map(|property| {
        let types = property["dataType"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Other types than classes begin in lower case.
        let classes = types.iter().filter_map(Value::as_str).filter(|name| name.starts_with(char::is_uppercase));
        let why = classes.filter(|to| made["class"] != **to).find_map(|to| {
            match all.iter().find(|class| class["class"] == *to) {
                None => Some(format!("{to}, and there is no class of that name; an alias does not do")),
                Some(class) if schema::is_multi_tenant(class) && !schema::is_multi_tenant(made) => {
                    Some(format!("{to}, which has tenants, and servers let no class without tenants lead to one"))
                }
                Some(_) => None,
            }
        })?;
        Some(format!("references of property {} lead to class {why}", schema::property_name(property)))
    })
}

/// Why references of other classes, each named as [`leading_to`] does, keep it from being migrated, if so.
pub fn led_from(class: &str, leading: &[String]) -> Option<String> {
    let all = leading.join(", ");
    (!leading.is_empty()).then(|| {
        format!(
            "references of {all} lead to class {class} and not to its alias, and would lead to what is left behind. Back those classes up and delete them first; a restore can leave these properties out"
        )
    })
}

/// Properties of other classes whose references lead to this one, each as `CLASS.PROPERTY`.
pub fn leading_to(class: &str, all: &[Value]) -> Vec<String> {
    let others = all.iter().filter_map(|other| Some((other["class"].as_str()?, other)));
    let others = others.filter(|(name, _)| *name != class);
    others
        .flat_map(|(name, other)| properties_to(other, |to| to == class).map(move |it| format!("{name}.{it}")))
        .collect()
}

/// Properties with a data type that is such a class.
fn properties_to(class: &Value, is_meant: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
    let properties = class["properties"].as_array().map(Vec::as_slice).unwrap_or_default();
    let leads = move |property: &&Value| {
        let types = property["dataType"].as_array().map(Vec::as_slice).unwrap_or_default();
        types.iter().filter_map(Value::as_str).any(&is_meant)
    };
    properties.iter().filter(leads).map(schema::property_name)
}

/// Whether a class can be had with these settings, and with these transformations done, without making it anew.
pub fn fits(settings: &Map<String, Value>, steps: &[TransformStep], class: &Value, measure: &Measure<'_>) -> bool {
    transform::differences(settings, steps, class, measure)
        .iter()
        .all(|difference| difference.verdict != Verdict::Recreate)
}

/// One act of a migration.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Write the journal; nothing else happens before it is written.
    Write(Box<Journal>),
    /// Make the alias, leading to the live class.
    MakeAlias {
        /// Its name.
        alias: String,
        /// Where it leads.
        class: String,
    },
    /// Create the class that is migrated to.
    CreateTarget(Value),
    /// Add a property to the class that is migrated to, as the live one has it.
    AddProperty {
        /// The class.
        class: String,
        /// The property.
        property: Value,
    },
    /// Make shards of one class read-only or writable.
    SetReadOnly {
        /// The class.
        class: String,
        /// Read-only, or writable.
        read_only: bool,
        /// Which.
        shards: Vec<String>,
    },
    /// Keep writing from creating and waking tenants of this class.
    HoldTenants(String),
    /// Let writing create and wake tenants of this class as before.
    ReleaseTenants {
        /// The class.
        class: String,
        /// Its `multiTenancyConfig` of before.
        tenancy: Value,
    },
    /// Wake tenants of a class.
    WakeTenants {
        /// The class.
        class: String,
        /// Which.
        tenants: Vec<String>,
    },
    /// Put those of these tenants of a class to rest that are there and awake.
    RestTenants {
        /// The class.
        class: String,
        /// Which.
        tenants: Vec<String>,
    },
    /// Have a worker carry out the present order of this journal.
    Copy(Box<Journal>),
    /// End a Job that nobody needs any more.
    EndJob(String),
    /// Switch the alias, after a last look.
    Switch(Box<Journal>),
    /// Delete the class that was migrated from, after a last look.
    RemoveFormer(Box<Journal>),
}
