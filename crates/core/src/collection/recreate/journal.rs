//! What is written down before the first step, and all that is needed to go on after any crash.

use elysia_api::collection::ShardReplicas;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Cursor;

/// Tenants that a proof can speak of. Each one is listed twice at each node within [`super::PROOF_HOLDS`], and written
/// down: three real nodes on two processors answered about 1,500 such lists a second.
pub const MOST_TENANTS: usize = 500;

/// Largest journal that is begun: the API server takes objects of up to 1 MiB, and the journal still grows by reasons.
pub const JOURNAL_BYTES: usize = 900_000;

/// Requests to clear that are remembered, so that each is dealt with once, also when an older value comes back.
pub const CLEARED_KEPT: usize = 20;

/// Longest word that tells one request to clear from another.
const REQUEST_BYTES: usize = 63;

/// What the collection is deleted for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// An immutable setting of an empty collection differs.
    #[default]
    Recreate,
    /// A person asked to have all objects removed.
    Clear(ClearRequest),
}

impl Purpose {
    /// The word that plans and journals show.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Recreate => "Recreate",
            Self::Clear(_) => "Clear",
        }
    }
}

/// The value of `elysia.dev/clear`: `COUNT/REQUEST`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClearRequest {
    /// The number of objects that the person saw, and the most that are removed.
    pub count: i64,
    /// A new word for each request.
    pub request: String,
}

impl ClearRequest {
    /// Reads the annotation; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("elysia.dev/clear {why}: it is COUNT/REQUEST, the number of objects that you saw and any new word")
        };
        let Some((count, request)) = text.split_once('/') else {
            return Err(wrong("has no slash"));
        };
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let Some(count) = digits.then(|| count.parse().ok()).flatten() else {
            return Err(wrong("does not begin with a number"));
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if request.is_empty() || request.len() > REQUEST_BYTES || !request.bytes().all(plain) {
            return Err(wrong("needs a word of 1 to 63 letters, digits, '-', '_', '.' or ':' after the slash"));
        }
        Ok(Self { count, request: request.to_owned() })
    }
}

/// The servers that a journal speaks of. Another cluster of the same name, or the same one at another address, may hold
/// a collection of the same name that nobody approved anything for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name of the WeaviateCluster.
    pub cluster: String,
    /// Its identity.
    pub uid: String,
    /// Its common address, then those of its nodes where the spec names them.
    pub addresses: Vec<String>,
}

/// One tenant.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantState {
    /// Its name, which is its shard's too.
    pub name: String,
    /// `HOT`, `COLD`, `FROZEN`, or what else the server says.
    pub status: String,
}

impl TenantState {
    /// Whether it can be asked. A tenant that is not must not be asked for the state of its shard either: with
    /// `autoTenantActivation` the question alone wakes it (1.35.2, 1.38.2).
    pub fn is_hot(&self) -> bool {
        self.status == "HOT"
    }
}

/// What is written down before the first step, and all that is needed to go on after any crash. Fields that older
/// journals lack have defaults.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Hash of the approved plan.
    pub hash: String,
    /// Who approved it, as the object said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Number of journals of this object, this one included. Part of the next plan's hash, so that one approval
    /// serves one plan.
    pub attempts: i64,
    /// What the collection is deleted for.
    #[serde(default)]
    pub purpose: Purpose,
    /// The servers; `None` in a journal of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Name of the collection.
    pub collection: String,
    /// The class as it was, from the server.
    pub live_schema: Value,
    /// The class as it will be.
    pub wanted_schema: Value,
    /// Where the replicas were.
    pub placement: Vec<ShardReplicas>,
    /// The tenants as they were; `None` when the collection has no tenancy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<TenantState>>,
    /// Aliases that led to the collection. They stay, dangling, while it is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Shards that somebody had made read-only before: they stay so when it is called off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_only_before: Vec<String>,
    /// Since when every shard has been seen to be read-only at every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_since: Option<Timestamp>,
    /// How far it is.
    pub cursor: Cursor,
    /// Since when it is there.
    pub since: Timestamp,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Requests to clear that were dealt with, the last one at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cleared: Vec<String>,
    /// The last request to clear that was refused before anything was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_refused: Option<ClearRefusal>,
}

/// A request to clear that was refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClearRefusal {
    /// Its word.
    pub request: String,
    /// Why.
    pub why: String,
}

impl Journal {
    /// The journal after the server refused for good to create the wanted class: the old one is made again, so that
    /// nobody is left without the collection. `None` when it is the old one already that is refused.
    pub fn with_old_schema(&self, refusal: &str, now: Timestamp) -> Option<Self> {
        let old = creatable(&self.live_schema);
        (self.cursor == Cursor::Create && self.wanted_schema != old).then(|| Self {
            wanted_schema: old,
            stopped: Some(format!(
                "the server refused the new settings, so the old collection was made again: {refusal}"
            )),
            since: now,
            ..self.clone()
        })
    }

    /// The same journal, further on.
    #[must_use]
    pub fn at(&self, cursor: Cursor, now: Timestamp) -> Self {
        let mut next = Self { cursor, since: now, ..self.clone() };
        if cursor == Cursor::Thaw && self.cursor < Cursor::Freeze {
            // Nothing was frozen yet: what is read-only is a person's, and stays so.
            next.read_only_before = self.shards();
        }
        next
    }

    /// The shards that were frozen by this journal, and are thawed by it.
    pub fn own_shards(&self) -> Vec<String> {
        let shards = self.placement.iter().map(|shard| &shard.shard);
        shards.filter(|shard| !self.read_only_before.contains(shard)).cloned().collect()
    }

    /// Every shard.
    pub fn shards(&self) -> Vec<String> {
        self.placement.iter().map(|shard| shard.shard.clone()).collect()
    }

    /// The tenants that a class of these settings gets.
    pub fn tenants_of(&self, class: &Value) -> &[TenantState] {
        match &self.tenants {
            Some(tenants) if super::schema::is_multi_tenant(class) => tenants,
            _ => &[],
        }
    }

    /// The tenants of these settings that are not there yet.
    pub fn missing_tenants(&self, class: &Value, there: &[TenantState]) -> Vec<TenantState> {
        let is_there = |tenant: &&TenantState| there.iter().any(|other| other.name == tenant.name);
        self.tenants_of(class).iter().filter(|tenant| !is_there(tenant)).cloned().collect()
    }

    /// Whether a request to clear was dealt with.
    pub fn has_cleared(&self, request: &str) -> bool {
        self.cleared.iter().any(|handled| handled == request)
    }

    /// Whether this journal speaks of these servers; the error says what to do.
    pub fn is_of(&self, target: &Target, name: &str) -> Result<(), String> {
        is_of(self.target.as_ref(), target, name)
    }

    /// The bytes that it takes as it is stored.
    pub fn bytes(&self) -> usize {
        serde_json::to_string_pretty(self).map_or(usize::MAX, |text| text.len())
    }
}

/// Whether a journal, which speaks of its `own` servers, speaks of these; the error says what to do. Journals of older releases
/// name none.
pub fn is_of(own: Option<&Target>, target: &Target, name: &str) -> Result<(), String> {
    let Some(own) = own.filter(|own| *own != target) else { return Ok(()) };
    let (theirs, ours) = (own.addresses.join(", "), target.addresses.join(", "));
    Err(format!(
        "ConfigMap {name} is the journal of WeaviateCluster {} (uid {}) at {theirs}, but the object leads to {} (uid {}) at {ours}, where nothing of it is done. Put the address back; or, if these are the same servers, write the new uid and addresses into the journal's \"target\": kubectl edit configmap {name}",
        own.cluster, own.uid, target.cluster, target.uid
    ))
}

/// Why nothing can be proved of these tenants, if so.
pub fn unprovable(tenants: &[TenantState]) -> Option<String> {
    let total = tenants.len();
    let asleep: Vec<&TenantState> = tenants.iter().filter(|tenant| !tenant.is_hot()).collect();
    if let Some(first) = asleep.first() {
        return Some(format!(
            "{} of its {total} tenants are not active, so what they hold cannot be seen, e.g. {} ({}): activate them, or delete those that are not needed",
            asleep.len(),
            first.name,
            first.status
        ));
    }
    (total > MOST_TENANTS).then(|| {
        format!(
            "it has {total} tenants, more than the {MOST_TENANTS} that can be looked at before a look is too old: delete those that are not needed, or create another collection"
        )
    })
}

/// A class as the server answered it, in a form that the server also takes.
///
/// Of a multi-tenant class it answers a `shardingConfig`, and refuses to create a class with one: "cannot have both
/// shardingConfig and multiTenancyConfig" (1.35.2, 1.38.2).
pub fn creatable(class: &Value) -> Value {
    let mut class = class.clone();
    if super::schema::is_multi_tenant(&class)
        && let Some(class) = class.as_object_mut()
    {
        class.remove("shardingConfig");
    }
    class
}

/// The class with tenants that nobody creates or wakes by writing: neither of the two is a proof of emptiness then.
pub fn without_tenant_creation(class: &Value) -> Value {
    with_tenancy(class, &json!({"autoTenantCreation": false, "autoTenantActivation": false}))
}

/// The class with what `before` says about creating and waking tenants.
pub fn with_tenant_creation_of(class: &Value, before: &Value) -> Value {
    with_tenancy(class, &before["multiTenancyConfig"])
}

fn with_tenancy(class: &Value, from: &Value) -> Value {
    let mut class = class.clone();
    for key in TENANT_CREATION {
        class["multiTenancyConfig"][key] = json!(from[key].as_bool().unwrap_or(false));
    }
    class
}

/// What creates or wakes a tenant without being told to.
const TENANT_CREATION: [&str; 2] = ["autoTenantCreation", "autoTenantActivation"];

/// Whether writing may create or wake a tenant.
pub fn creates_tenants(class: &Value) -> bool {
    TENANT_CREATION.iter().any(|key| class["multiTenancyConfig"][key] == json!(true))
}
