//! Reading objects by id, or page by page.

use serde_json::{Map, Value};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use super::delete::with_ids;
use super::messages::{ConsistencyLevel, MetadataRequest, ObjectPropertiesRequest, PropertiesRequest, SearchRequest};
use super::results::{SearchReply, SearchResult};
use super::{Method, Vectors, checked, values, vectors};
use crate::client::Client;
use crate::error::{Call, WeaviateError};
use crate::objects::{Consistency, Page};

/// An object as a search answers it.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchedObject {
    /// Its id.
    pub id: Uuid,
    /// Its properties, as REST would write them. References are not among them.
    pub properties: Map<String, Value>,
    /// Its vectors, when they were asked for.
    pub vectors: Vectors,
    /// When it was made, in milliseconds since 1970.
    pub created: Option<i64>,
    /// When it was written last, in milliseconds since 1970. The server's own comparison of replicas is by this.
    pub updated: Option<i64>,
}

/// Which properties a search answers.
///
/// "All" leaves out **blobs**, also nested ones (`parse_search_request.go`, `getAllNonRefNonBlobProperties`; seen on both
/// versions): a true copy of a class names its properties, by [`Selection::of_class`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    request: Option<PropertiesRequest>,
    references: Vec<String>,
}

impl Selection {
    /// All but blobs and references.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every property of this class, blobs too; `class` is Weaviate's own JSON. References cannot be selected.
    pub fn of_class(class: &Value) -> Self {
        let Selected { plain, objects, references } = select(class.get("properties"));
        let nothing = plain.is_empty() && objects.is_empty();
        let request = PropertiesRequest { plain, objects, all: nothing };
        Self { request: Some(request), references }
    }

    /// No property at all.
    pub fn none() -> Self {
        Self { request: Some(PropertiesRequest::default()), references: vec![] }
    }

    /// The properties of the class that are references, and so will be missing in what is fetched.
    pub fn references(&self) -> &[String] {
        &self.references
    }

    fn request(&self) -> PropertiesRequest {
        let all = || PropertiesRequest { all: true, ..PropertiesRequest::default() };
        self.request.clone().unwrap_or_else(all)
    }
}

#[derive(Default)]
struct Selected {
    plain: Vec<String>,
    objects: Vec<ObjectPropertiesRequest>,
    references: Vec<String>,
}

fn select(properties: Option<&Value>) -> Selected {
    let mut selected = Selected::default();
    for property in properties.and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = property.get("name").and_then(Value::as_str).map(str::to_owned) else {
            continue;
        };
        match property.pointer("/dataType/0").and_then(Value::as_str) {
            Some("object" | "object[]") => {
                let below = select(property.get("nestedProperties"));
                let (primitive_properties, object_properties) = (below.plain, below.objects);
                selected.objects.push(ObjectPropertiesRequest {
                    prop_name: name,
                    primitive_properties,
                    object_properties,
                });
            }
            // Data types begin small; what begins large is the class that is referred to.
            Some(kind) if kind.starts_with(|first: char| first.is_uppercase()) => {
                selected.references.push(name);
            }
            _ => selected.plain.push(name),
        }
    }
    selected
}

impl Client {
    /// The objects with these ids, in no promised order, **without blobs**; ids that do not exist are left out. At most
    /// `QUERY_MAXIMUM_RESULTS` (10,000) per call.
    pub async fn fetch_by_ids(
        &self,
        class: &str,
        tenant: Option<&str>,
        ids: &[Uuid],
        with_vectors: bool,
        consistency: Consistency,
    ) -> Result<Vec<FetchedObject>, WeaviateError> {
        self.fetch_selected(class, tenant, ids, &Selection::all(), with_vectors, consistency).await
    }

    /// [`Client::fetch_by_ids`] with a choice of properties.
    pub async fn fetch_selected(
        &self,
        class: &str,
        tenant: Option<&str>,
        ids: &[Uuid],
        selection: &Selection,
        with_vectors: bool,
        consistency: Consistency,
    ) -> Result<Vec<FetchedObject>, WeaviateError> {
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let page = Page { class, tenant, after: None, limit: ids.len() };
        let request = request(page, selection, with_vectors, consistency);
        self.search(SearchRequest { after: String::new(), filters: Some(with_ids(ids)), ..request }).await
    }

    /// One page by gRPC `Search` with a cursor, ascending: with ONE the asked node's own, as [`Client::list_objects`],
    /// but with vectors as bytes. QUORUM and ALL **repair** what they read.
    pub async fn fetch_page(
        &self,
        page: Page<'_>,
        selection: &Selection,
        with_vectors: bool,
        consistency: Consistency,
    ) -> Result<Vec<FetchedObject>, WeaviateError> {
        self.search(request(page, selection, with_vectors, consistency)).await
    }

    pub(super) async fn search(&self, request: SearchRequest) -> Result<Vec<FetchedObject>, WeaviateError> {
        let call = self.grpc_call(Method::Search);
        let request = checked(call.clone(), request)?;
        let codec = ProstCodec::<SearchRequest, SearchReply>::new();
        let reply = self.unary(Method::Search, codec, request).await?;
        reply.results.into_iter().map(|result| fetched(&call, result)).collect()
    }
}

/// A page of a walk. A cursor must not be empty: it begins at the nil id, which therefore no object may have.
pub(super) fn request(
    page: Page<'_>,
    selection: &Selection,
    with_vectors: bool,
    consistency: Consistency,
) -> SearchRequest {
    SearchRequest {
        collection: page.class.to_owned(),
        tenant: page.tenant.unwrap_or_default().to_owned(),
        consistency_level: Some(ConsistencyLevel::from(consistency).into()),
        properties: Some(selection.request()),
        metadata: Some(MetadataRequest {
            uuid: true,
            vector: with_vectors,
            creation_time: true,
            last_update_time: true,
        }),
        limit: u32::try_from(page.limit).unwrap_or(u32::MAX),
        after: page.after.unwrap_or(Uuid::nil()).to_string(),
        filters: None,
        near_vector: None,
        uses_127_api: true,
    }
}

fn fetched(call: &Call, result: SearchResult) -> Result<FetchedObject, WeaviateError> {
    let malformed = |reason: &str| WeaviateError::Malformed { call: call.clone(), reason: reason.to_owned() };
    let metadata = result.metadata.ok_or_else(|| malformed("an object without metadata"))?;
    let properties = result.properties.and_then(|properties| properties.non_ref_props).unwrap_or_default();
    Ok(FetchedObject {
        id: metadata.id.parse().map_err(|_| malformed("an object without an id"))?,
        properties: values::decode(properties).ok_or_else(|| malformed("properties of no known kind"))?,
        created: metadata.has_creation_time.then_some(metadata.creation_time),
        updated: metadata.has_last_update_time.then_some(metadata.last_update_time),
        vectors: vectors::decode(&metadata.vector_bytes, &metadata.vectors)
            .ok_or_else(|| malformed("vectors that are no vectors"))?,
    })
}
