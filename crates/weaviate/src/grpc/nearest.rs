//! Searching by a vector.

use bytes::{BufMut, BytesMut};
use uuid::Uuid;

use super::messages::{NearVector, SearchRequest, Targets, VectorType, WireVector};
use super::search::{Selection, request};
use crate::client::Client;
use crate::error::WeaviateError;
use crate::objects::{Consistency, Page};

/// A search for the objects that are nearest to a vector.
#[derive(Clone, Copy, Debug)]
pub struct Nearest<'a> {
    /// The collection.
    pub class: &'a str,
    /// The tenant, where the class has tenants.
    pub tenant: Option<&'a str>,
    /// Which of the named vectors; empty: the one without a name.
    pub vector: &'a str,
    /// What is near to it.
    pub to: &'a [f32],
    /// So many at most.
    pub limit: usize,
}

impl Client {
    /// The ids of the nearest objects, the nearest first, as the index of whichever replica is asked finds them. It is
    /// approximate, and where the servers index in the background it does not know what waits for that.
    pub async fn nearest(&self, search: Nearest<'_>) -> Result<Vec<Uuid>, WeaviateError> {
        let found = self.search(near(search)).await?;
        Ok(found.into_iter().map(|object| object.id).collect())
    }
}

fn near(search: Nearest<'_>) -> SearchRequest {
    let Nearest { class, tenant, vector, to, limit } = search;
    let mut bytes = BytesMut::with_capacity(size_of_val(to));
    for number in to {
        bytes.put_f32_le(*number);
    }
    let near =
        WireVector { name: vector.to_owned(), vector_bytes: bytes.freeze(), vector_type: VectorType::Single.into() };
    let targets = (!vector.is_empty()).then(|| Targets { target_vectors: vec![vector.to_owned()] });
    let page = Page { class, tenant, after: None, limit };
    SearchRequest {
        // A search has no cursor.
        after: String::new(),
        near_vector: Some(NearVector { targets, vectors: vec![near] }),
        ..request(page, &Selection::none(), false, Consistency::One)
    }
}
