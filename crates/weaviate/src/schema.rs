//! Classes, shards and tenants. A class is Weaviate's own JSON: this crate does not model it.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::{Call, WeaviateError};
use crate::rest::{Rest, or_default};

/// Whose schema is read: header `consistency` (`handlers_schema.go`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SchemaRead {
    /// Through the RAFT leader: what the cluster agreed on.
    Leader,
    /// The asked node's own: what it acts by at this moment.
    Local,
}

impl SchemaRead {
    fn header(self) -> (&'static str, &'static str) {
        match self {
            Self::Leader => ("consistency", "true"),
            Self::Local => ("consistency", "false"),
        }
    }
}

/// A shard as the asked node sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShardInfo {
    /// The shard's name; in a multi-tenant class the tenant's.
    pub name: String,
    /// Its status.
    #[serde(default)]
    pub status: ShardStatus,
    /// Vectors that wait to be indexed (asynchronous indexing).
    #[serde(default)]
    pub vector_queue_size: i64,
}

/// What a shard may do.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(from = "String")]
pub enum ShardStatus {
    /// `READY`: reads and writes.
    Ready,
    /// `READONLY`: frozen. In memory only: a restart thaws it (lab 12).
    ReadOnly,
    /// `INDEXING`, `LOADING`, `LAZY_LOADING` and whatever comes later.
    Other(String),
    /// The server did not say.
    #[default]
    Unknown,
}

impl ShardStatus {
    /// As Weaviate spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ready => "READY",
            Self::ReadOnly => "READONLY",
            Self::Other(text) => text,
            Self::Unknown => "",
        }
    }
}

impl From<String> for ShardStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "READY" => Self::Ready,
            "READONLY" => Self::ReadOnly,
            "" => Self::Unknown,
            _ => Self::Other(text),
        }
    }
}

/// One tenant.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its name, which is its shard's too.
    pub name: String,
    /// Whether it can be asked.
    #[serde(default)]
    pub activity_status: ActivityStatus,
}

/// How awake a tenant is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(from = "String")]
pub enum ActivityStatus {
    /// `HOT` or `ACTIVE`: can be asked.
    Hot,
    /// `COLD` or `INACTIVE`: on disk; its objects cannot be seen, so it is never provably empty.
    Cold,
    /// `FROZEN` or `OFFLOADED`: in an object store.
    Frozen,
    /// On its way from one to another, or unknown.
    Other(String),
    /// The server did not say.
    #[default]
    Unknown,
}

impl ActivityStatus {
    /// As Weaviate spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Hot => "HOT",
            Self::Cold => "COLD",
            Self::Frozen => "FROZEN",
            Self::Other(text) => text,
            Self::Unknown => "",
        }
    }
}

impl From<String> for ActivityStatus {
    fn from(text: String) -> Self {
        match text.as_str() {
            "HOT" | "ACTIVE" => Self::Hot,
            "COLD" | "INACTIVE" => Self::Cold,
            "FROZEN" | "OFFLOADED" => Self::Frozen,
            "" => Self::Unknown,
            _ => Self::Other(text),
        }
    }
}

/// `PUT /v1/schema/{class}/tenants` takes at most this many (openapi-specs, tenants update).
const TENANTS_PER_CALL: usize = 100;

#[derive(Deserialize)]
struct Schema {
    #[serde(default, deserialize_with = "or_default")]
    classes: Vec<Value>,
}

impl Client {
    /// `GET /v1/schema` through the leader: every class, sorted by name. Without a leader it does not answer: after
    /// [`crate::CALL_TIMEOUT`] this is a timeout (seen on both versions, two of three voters killed).
    pub async fn classes(&self) -> Result<Vec<Value>, WeaviateError> {
        let Schema { mut classes } = self.json(Rest::get(&["schema"])).await?;
        classes.sort_by(|left, right| class_name(left).cmp(class_name(right)));
        Ok(classes)
    }

    /// `GET /v1/schema/{class}`; `None` when there is none of that name. An alias answers with the class behind it:
    /// that is [`WeaviateError::IsAlias`], never the class.
    pub async fn class(&self, name: &str, read: SchemaRead) -> Result<Option<Value>, WeaviateError> {
        let (header, value) = read.header();
        let rest = Rest::get(&["schema", name]).header(header, value);
        let call = Call { what: rest.what(), address: self.address() };
        let Some(class) = self.optional::<Value>(rest).await? else {
            return Ok(None);
        };

        match class_name(&class) {
            "" => Err(WeaviateError::Malformed { call, reason: "a class without a name".to_owned() }),
            answered if answered == name || answered == upper_first(name) => Ok(Some(class)),
            answered => {
                let target = answered.to_owned();
                Err(WeaviateError::IsAlias { call, asked: name.to_owned(), target })
            }
        }
    }

    /// `POST /v1/schema`. Refused with 422 when the class exists.
    ///
    /// A class that has the vector without a name *and* named ones, which were added to it later, is refused as a whole
    /// ("forbidden", 1.35.2 and 1.38.2). It is made as it came to be: without the named ones, and then
    /// [`Client::add_named_vectors`]. Cut off in between, it lacks them.
    pub async fn create_class(&self, class: &Value) -> Result<(), WeaviateError> {
        let Some(first) = before_named_vectors(class) else {
            return self.done(Rest::new(Method::POST, &["schema"]).body(class)).await;
        };
        self.done(Rest::new(Method::POST, &["schema"]).body(&first)).await?;
        self.add_named_vectors(class).await
    }

    /// Gives the class of that name the named vectors of this one that it lacks, by a PUT of what is there with them. One
    /// that lacks none is left as it is.
    pub async fn add_named_vectors(&self, class: &Value) -> Result<(), WeaviateError> {
        let name = class_name(class);
        // Of a class that is not there the PUT says so.
        let mut there = self.class(name, SchemaRead::Leader).await?.unwrap_or_else(|| class.clone());
        let lacking = lacking_vectors(&there, class);
        if lacking.is_empty() {
            return Ok(());
        }
        for (vector, config) in lacking {
            there["vectorConfig"][vector] = config;
        }
        self.update_class(name, &there).await
    }

    /// `PUT /v1/schema/{class}` with a **whole** class, from a GET: what is left out is reset to defaults, and there is
    /// no version to compare: the last one wins.
    pub async fn update_class(&self, name: &str, class: &Value) -> Result<(), WeaviateError> {
        self.done(Rest::new(Method::PUT, &["schema", name]).body(class)).await
    }

    /// `POST /v1/schema/{class}/properties`: the only way to a new property. Nothing removes one.
    pub async fn add_property(&self, name: &str, property: &Value) -> Result<(), WeaviateError> {
        self.done(Rest::new(Method::POST, &["schema", name, "properties"]).body(property)).await
    }

    /// `DELETE /v1/schema/{class}`: with all objects. Of a missing class, and of an alias, it is a success that deletes
    /// nothing (lab 9).
    pub async fn delete_class(&self, name: &str) -> Result<(), WeaviateError> {
        self.done(Rest::new(Method::DELETE, &["schema", name])).await
    }

    /// `GET /v1/schema/{class}/shards`, sorted: of each shard this node's own status where it holds the shard, another
    /// node's where it does not (adapters/repos/db/index.go, `getShardsStatus`). In a multi-tenant class with a cold tenant
    /// 1.38 answers 500 for the whole, and 1.35 says READY: ask [`Client::tenant_shard_status`] for each tenant.
    pub async fn shard_statuses(&self, name: &str) -> Result<Vec<ShardInfo>, WeaviateError> {
        self.shards(Rest::get(&["schema", name, "shards"])).await
    }

    /// `GET /v1/schema/{class}/shards?tenant=`: one tenant's shard; `None` when the server names none.
    pub async fn tenant_shard_status(&self, name: &str, tenant: &str) -> Result<Option<ShardInfo>, WeaviateError> {
        let shards = self.shards(Rest::get(&["schema", name, "shards"]).query("tenant", tenant)).await?;
        Ok(shards.into_iter().find(|shard| shard.name == tenant))
    }

    async fn shards(&self, rest: Rest<'_>) -> Result<Vec<ShardInfo>, WeaviateError> {
        let mut shards: Vec<ShardInfo> = self.list(rest).await?;
        shards.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(shards)
    }

    /// `PUT /v1/schema/{class}/shards/{shard}`. Reaches every replica through RAFT, but not at once: poll
    /// [`Client::shard_statuses`] at every node (lab 12). A shard that does not exist is a success on 1.38.
    pub async fn set_shard_status(&self, name: &str, shard: &str, status: ShardStatus) -> Result<(), WeaviateError> {
        let body = json!({ "status": status.as_str() });
        self.done(Rest::new(Method::PUT, &["schema", name, "shards", shard]).body(&body)).await
    }

    /// `GET /v1/schema/{class}/tenants`: all at once, there is no paging; sorted. 422 when the class has no tenancy.
    pub async fn tenants(&self, name: &str) -> Result<Vec<Tenant>, WeaviateError> {
        let mut tenants: Vec<Tenant> = self.list(Rest::get(&["schema", name, "tenants"])).await?;
        tenants.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(tenants)
    }

    /// `GET /v1/schema/{class}/tenants/{tenant}`: one of them; `None` when there is none of that name, as far as is asked.
    pub async fn tenant(&self, name: &str, tenant: &str, read: SchemaRead) -> Result<Option<Tenant>, WeaviateError> {
        let (header, value) = read.header();
        self.optional(Rest::get(&["schema", name, "tenants", tenant]).header(header, value)).await
    }

    /// `POST /v1/schema/{class}/tenants`: creates what is missing.
    pub async fn create_tenants(&self, name: &str, tenants: &[Tenant]) -> Result<(), WeaviateError> {
        let body = tenants_body(tenants);
        self.done(Rest::new(Method::POST, &["schema", name, "tenants"]).body(&body)).await
    }

    /// `PUT /v1/schema/{class}/tenants`, a hundred per call: sets activity. Needed after a COPY, which wakes what was
    /// cold and leaves it so (lab 5).
    pub async fn update_tenants(&self, name: &str, tenants: &[Tenant]) -> Result<(), WeaviateError> {
        for chunk in tenants.chunks(TENANTS_PER_CALL) {
            let body = tenants_body(chunk);
            self.done(Rest::new(Method::PUT, &["schema", name, "tenants"]).body(&body)).await?;
        }
        Ok(())
    }

    /// `DELETE /v1/schema/{class}/tenants`, a hundred per call: with all their objects. One that is not there is no error.
    pub async fn delete_tenants(&self, name: &str, tenants: &[String]) -> Result<(), WeaviateError> {
        for chunk in tenants.chunks(TENANTS_PER_CALL) {
            let body = json!(chunk);
            self.done(Rest::new(Method::DELETE, &["schema", name, "tenants"]).body(&body)).await?;
        }
        Ok(())
    }
}

fn tenants_body(tenants: &[Tenant]) -> Value {
    let status = |tenant: &Tenant| match tenant.activity_status {
        ActivityStatus::Unknown => json!({ "name": tenant.name }),
        ref status => json!({ "name": tenant.name, "activityStatus": status.as_str() }),
    };
    tenants.iter().map(status).collect()
}

/// What has to be made of a class before its named vectors can be added; `None` when it can be made as it is. With named
/// vectors alone a class has no `vectorIndexConfig` of its own.
fn before_named_vectors(class: &Value) -> Option<Value> {
    let has_both = class["vectorIndexConfig"].is_object() && named_vectors(class).next().is_some();
    let mut first = class.clone();
    first.as_object_mut().filter(|_| has_both)?.remove("vectorConfig");
    Some(first)
}

/// The named vectors that this class has and the one that is there lacks, with their settings.
fn lacking_vectors(there: &Value, class: &Value) -> Vec<(String, Value)> {
    let lacks = |name: &String| there["vectorConfig"].get(name).is_none();
    let lacking = named_vectors(class).filter(|(name, _)| lacks(name));
    lacking.map(|(name, config)| (name.clone(), config.clone())).collect()
}

fn named_vectors(class: &Value) -> impl Iterator<Item = (&String, &Value)> {
    class["vectorConfig"].as_object().into_iter().flatten()
}

/// Whether a class has every named vector of this one.
pub fn has_named_vectors(there: &Value, class: &Value) -> bool {
    lacking_vectors(there, class).is_empty()
}

fn class_name(class: &Value) -> &str {
    class.get("class").and_then(Value::as_str).unwrap_or_default()
}

/// Weaviate upper-cases the first letter of every class name (`UppercaseClassName`).
pub(crate) fn upper_first(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + characters.as_str())
}
