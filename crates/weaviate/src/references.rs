//! Cross-references: read as they are kept, and added behind those that are there. gRPC does neither: a search follows
//! references and leaves out those that lead to no object (`adapters/repos/db/refcache/resolver.go`, 1.35.2 and 1.38.2).

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::Client;
use crate::error::{Call, WeaviateError};
use crate::grpc::ObjectError;
use crate::objects::{Consistency, Page, ascending};
use crate::rest::{Rest, or_default};
use crate::{refusals, words};

/// One reference that is to be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NewReference<'a> {
    /// The object that it is added to.
    pub id: Uuid,
    /// The property. **It must be a reference of the class**: of one that is not, 1.38.2 answers an error and has written
    /// into the object all the same, over what was there.
    pub property: &'a str,
    /// `weaviate://localhost/CLASS/ID`.
    pub beacon: &'a str,
}

/// The references of an object, as one replica has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptReferences {
    /// When the object was written last, in milliseconds since 1970: what adds a reference sets it as well.
    pub updated: Option<i64>,
    /// Its properties that were asked for, as REST answers them: lists of `{"beacon", "href"}`.
    pub properties: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct ObjectList {
    #[serde(deserialize_with = "or_default")]
    objects: Vec<Listed>,
}

/// What is asked for is not known before it is there, so everything is kept until then.
#[derive(Deserialize)]
struct Listed {
    id: Uuid,
    #[serde(default, rename = "lastUpdateTimeUnix")]
    updated: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    properties: BTreeMap<String, Value>,
}

impl Listed {
    fn kept(self, properties: &[String]) -> KeptReferences {
        let mut all = self.properties;
        let chosen = properties.iter().filter_map(|name| Some((name.clone(), all.remove(name)?)));
        KeptReferences { updated: self.updated, properties: chosen.collect() }
    }
}

/// What became of one reference of a batch.
#[derive(Deserialize)]
struct Added {
    #[serde(default, deserialize_with = "or_default")]
    result: AddedResult,
}

#[derive(Default, Deserialize)]
struct AddedResult {
    #[serde(default)]
    status: String,
    #[serde(default, deserialize_with = "or_default")]
    errors: AddedErrors,
}

#[derive(Default, Deserialize)]
struct AddedErrors {
    #[serde(default, deserialize_with = "or_default")]
    error: Vec<AddedError>,
}

#[derive(Deserialize)]
struct AddedError {
    #[serde(default)]
    message: String,
}

impl Client {
    /// The references of one page of `GET /v1/objects?class&after`, by id: what [`Client::fetch_page`] lacks. Local, as
    /// [`Client::list_objects`].
    pub async fn page_references(
        &self,
        page: Page<'_>,
        properties: &[String],
    ) -> Result<BTreeMap<Uuid, KeptReferences>, WeaviateError> {
        let after = page.after.map(|id| id.to_string()).unwrap_or_default();
        let rest = Rest::get(&["objects"])
            .query("class", page.class)
            .query("limit", page.limit.to_string())
            .query("after", after)
            .maybe("tenant", page.tenant);
        let call = Call { what: rest.what(), address: self.address() };
        let ObjectList { objects } = self.json(rest).await?;
        ascending(&call, page.after, objects.iter().map(|object| &object.id))?;
        Ok(objects.into_iter().map(|object| (object.id, object.kept(properties))).collect())
    }

    /// The references of one object, as so many replicas have them; `None` when they know of none. QUORUM and ALL **repair**
    /// what they read.
    pub async fn object_references(
        &self,
        class: &str,
        tenant: Option<&str>,
        id: Uuid,
        properties: &[String],
        consistency: Consistency,
    ) -> Result<Option<KeptReferences>, WeaviateError> {
        let text = id.to_string();
        let rest = Rest::get(&["objects", class, &text])
            .maybe("tenant", tenant)
            .query("consistency_level", consistency.as_str());
        Ok(self.optional::<Listed>(rest).await?.map(|object| object.kept(properties)))
    }

    /// `POST /v1/batch/references`: adds references behind those that are there, in this order; names those that were
    /// refused, ascending. **Not safe to send again** after a lost answer: they would be there twice. Look first. Nor are
    /// those that were refused: where a shard cannot be written, all are named, and those of other shards were added (module
    /// `refusals`).
    pub async fn add_references(
        &self,
        class: &str,
        tenant: Option<&str>,
        references: &[NewReference<'_>],
        consistency: Consistency,
    ) -> Result<Vec<ObjectError>, WeaviateError> {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let body: Value = references.iter().map(|reference| wire(class, tenant, reference)).collect();
        let rest = Rest::new(Method::POST, &["batch", "references"])
            .query("consistency_level", consistency.as_str())
            .body(&body);
        let call = Call { what: rest.what(), address: self.address() };
        let added: Vec<Added> = self.list(rest).await?;
        if added.len() != references.len() {
            let reason = format!("{} answers to {} references", added.len(), references.len());
            return Err(WeaviateError::Malformed { call, reason });
        }
        let refused = added.into_iter().enumerate().filter(|(_, added)| added.result.status != "SUCCESS");
        let refused = refused.map(|(index, added)| ObjectError { index, message: told(added.result.errors) });
        Ok(refusals::of_all(refused.collect(), references.len()))
    }
}

fn wire(class: &str, tenant: Option<&str>, reference: &NewReference<'_>) -> Value {
    let NewReference { id, property, beacon } = reference;
    let mut wire = json!({ "from": format!("weaviate://localhost/{class}/{id}/{property}"), "to": beacon });
    if let Some(tenant) = tenant {
        wire["tenant"] = tenant.into();
    }
    wire
}

fn told(errors: AddedErrors) -> String {
    let words = errors.error.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ");
    words::bounded(if words.is_empty() { "refused without a word".to_owned() } else { words })
}
