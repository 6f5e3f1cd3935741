//! Objects, one by one and as the local list of one replica.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::client::{Client, ID_RESPONSE_BYTES, ONE_ID_RESPONSE_BYTES, RESPONSE_BYTES};
use crate::error::{Call, WeaviateError};
use crate::rest::{Rest, or_default};

/// How many replicas must agree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consistency {
    /// One.
    One,
    /// The majority.
    Quorum,
    /// All that gossip can resolve: **not** all that exist (lab 0.12).
    All,
}

impl Consistency {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::One => "ONE",
            Self::Quorum => "QUORUM",
            Self::All => "ALL",
        }
    }
}

/// Who answers a read of one object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadFrom<'a> {
    /// As many replicas as this. QUORUM and ALL **repair** what they touch; ONE does not.
    Replicas(Consistency),
    /// Exactly this node's replica, without repair.
    Node(&'a str),
}

/// An object as REST answers it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Object {
    /// Its id.
    pub id: Uuid,
    /// Its class.
    pub class: String,
    /// Its tenant.
    #[serde(default)]
    pub tenant: Option<String>,
    /// When it was written last, in milliseconds since 1970; replicas that were repaired keep it.
    #[serde(default, rename = "lastUpdateTimeUnix")]
    pub last_update_time: Option<i64>,
    /// Its properties. Integers are what the server kept: above 2^53 they are rounded.
    #[serde(default, deserialize_with = "or_default")]
    pub properties: Map<String, Value>,
    /// The unnamed vector, when it was asked for.
    #[serde(default)]
    pub vector: Option<Vec<f32>>,
    /// Named vectors, when they were asked for: lists of numbers, or lists of such lists.
    #[serde(default, deserialize_with = "or_default")]
    pub vectors: BTreeMap<String, Value>,
}

/// What one page of a listing asks for.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The class; an alias works too.
    pub class: &'a str,
    /// The tenant, of a multi-tenant class.
    pub tenant: Option<&'a str>,
    /// The last id of the page before; `None` begins.
    pub after: Option<Uuid>,
    /// Objects per page. Every page reads this many from **every** shard.
    pub limit: usize,
}

#[derive(Deserialize)]
struct ObjectList<T> {
    objects: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct IdOnly {
    id: Uuid,
}

impl Client {
    /// The ids of one page of `GET /v1/objects?class&after`, ascending. Local: consistency ONE, and the asked node's own
    /// replicas where it has them. A node without a replica of a shard answers for it from another node (lab 2).
    ///
    /// REST sends the properties along: a page beyond [`ID_RESPONSE_BYTES`] fails with
    /// [`WeaviateError::TooLarge`]; ask for fewer.
    pub async fn list_ids(&self, page: Page<'_>) -> Result<Vec<Uuid>, WeaviateError> {
        let limit = if page.limit > 1 { ID_RESPONSE_BYTES } else { ONE_ID_RESPONSE_BYTES };
        let (call, list) = self.page::<IdOnly>(page, false, limit).await?;
        let ids = list.into_iter().map(|object| object.id).collect::<Vec<_>>();
        ascending(&call, page.after, ids.iter())?;
        Ok(ids)
    }

    /// The objects of one page, as [`Client::list_ids`]. Of objects whose shard the asked node does not hold, 1.38.2 leaves
    /// named vectors out (3 shards of factor 3 on five nodes); asked for by its id, or by gRPC, each object has them.
    pub async fn list_objects(&self, page: Page<'_>, with_vectors: bool) -> Result<Vec<Object>, WeaviateError> {
        let (call, objects) = self.page::<Object>(page, with_vectors, RESPONSE_BYTES).await?;
        ascending(&call, page.after, objects.iter().map(|object| &object.id))?;
        Ok(objects)
    }

    /// `GET /v1/objects/{class}/{id}`; `None` when that replica, or those replicas, have none.
    pub async fn object(
        &self,
        class: &str,
        tenant: Option<&str>,
        id: Uuid,
        from: ReadFrom<'_>,
        with_vectors: bool,
    ) -> Result<Option<Object>, WeaviateError> {
        let id = id.to_string();
        let rest = Rest::get(&["objects", class, &id]).maybe("tenant", tenant);
        let rest = match from {
            ReadFrom::Replicas(consistency) => rest.query("consistency_level", consistency.as_str()),
            ReadFrom::Node(node) => rest.query("node_name", node),
        };
        self.optional(rest.maybe("include", with_vectors.then_some("vector"))).await
    }

    /// `POST /v1/objects`: one object, for probes. Refused with 422 when the id exists.
    pub async fn create_object(&self, object: &Object, consistency: Consistency) -> Result<(), WeaviateError> {
        let mut body = json!({ "id": object.id, "class": object.class, "properties": object.properties });
        if let Some(tenant) = &object.tenant {
            body["tenant"] = json!(tenant);
        }
        if let Some(vector) = &object.vector {
            body["vector"] = json!(vector);
        }
        if !object.vectors.is_empty() {
            body["vectors"] = json!(object.vectors);
        }
        let rest = Rest::new(Method::POST, &["objects"]).query("consistency_level", consistency.as_str());
        self.done(rest.body(&body)).await
    }

    async fn page<T: serde::de::DeserializeOwned>(
        &self,
        page: Page<'_>,
        with_vectors: bool,
        limit: usize,
    ) -> Result<(Call, Vec<T>), WeaviateError> {
        let after = page.after.map(|id| id.to_string()).unwrap_or_default();
        let rest = Rest::get(&["objects"])
            .query("class", page.class)
            .query("limit", page.limit.to_string())
            .query("after", after)
            .maybe("tenant", page.tenant)
            .maybe("include", with_vectors.then_some("vector"))
            .limit(limit);
        let call = Call { what: rest.what(), address: self.address() };
        let ObjectList { objects } = self.json(rest).await?;
        Ok((call, objects.unwrap_or_default()))
    }
}

/// The cursor's promise; without it a walk could skip, or go round for ever.
pub(crate) fn ascending<'a>(
    call: &Call,
    after: Option<Uuid>,
    ids: impl Iterator<Item = &'a Uuid>,
) -> Result<(), WeaviateError> {
    let mut last = after;
    for id in ids {
        if last.is_some_and(|last| *id <= last) {
            let reason = format!("id {id} does not come after the one before it");
            return Err(WeaviateError::Malformed { call: call.clone(), reason });
        }
        last = Some(*id);
    }
    Ok(())
}
