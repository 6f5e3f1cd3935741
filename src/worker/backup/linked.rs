//! References of what gRPC lists. A search follows them, and so leaves out those that lead to no object; REST answers them
//! as they are kept, and lacks named vectors of shards that the asked node does not hold. So both are asked, and an object
//! is what both say of it where they say the same time of its last change: what adds or removes a reference sets that.
//! One that was changed between the two is asked for again by its id.

use std::collections::BTreeMap;

use elysia_engine::backup::references::References;
use elysia_engine::category::Category;
use elysia_engine::ports::PortError;
use elysia_weaviate::{Client, Consistency, FetchedObject, KeptReferences, Page as Query, Selection, WeaviateError};
use uuid::Uuid;

use super::replicas::Seen;
use super::source::{later, whole};

/// How often an object that is changed all the while is asked for: two calls lie some milliseconds apart.
const ATTEMPTS: usize = 8;

/// Why there is no listing.
#[derive(Debug)]
pub(super) enum Unlisted {
    /// A call failed.
    Weaviate(WeaviateError),
    /// What was answered cannot be used.
    Port(PortError),
}

impl From<WeaviateError> for Unlisted {
    fn from(error: WeaviateError) -> Self {
        Self::Weaviate(error)
    }
}

/// Gives objects of a page their references. One that the majority has no more is left out.
pub(super) async fn join(
    client: &Client,
    query: Query<'_>,
    selection: &Selection,
    references: &References,
    seen: Vec<Seen>,
) -> Result<Vec<Seen>, Unlisted> {
    let kept = client.page_references(query, selection.references()).await?;
    let (mut out, left) = paired(seen, kept, references)?;
    let rest = with_ids(client, (query.class, query.tenant), &left, selection, references, Absent::AtQuorum).await?;
    out.extend(rest.into_iter().map(|seen| (seen.object.id, seen)));
    Ok(out.into_values().collect())
}

/// When an object that the asked node does not answer is taken for one that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Absent {
    /// At once: what others have of it they are asked for themselves.
    AtOnce,
    /// When a majority says so as well: what one replica lacks is not gone, it may be late, and another one than was listed.
    AtQuorum,
}

/// Objects with these ids and their references, as this node has them. Those that are not there are left out.
pub(super) async fn with_ids(
    client: &Client,
    (class, tenant): (&str, Option<&str>),
    ids: &[Uuid],
    selection: &Selection,
    references: &References,
    absent: Absent,
) -> Result<Vec<Seen>, Unlisted> {
    let (mut out, mut left) = (BTreeMap::new(), ids.to_vec());
    for _ in 0..ATTEMPTS {
        if left.is_empty() {
            return Ok(out.into_values().collect());
        }
        let found = client.fetch_selected(class, tenant, &left, selection, true, Consistency::One).await?;
        let mut found: BTreeMap<Uuid, FetchedObject> = found.into_iter().map(|it| (it.id, it)).collect();
        let (mut there, mut kept, mut again) = (Vec::new(), BTreeMap::new(), Vec::new());
        for id in left {
            let fetched = found.remove(&id);
            if fetched.is_none() && absent == Absent::AtOnce {
                continue;
            }
            let consistency = if fetched.is_some() { Consistency::One } else { Consistency::Quorum };
            let answer = client.object_references(class, tenant, id, selection.references(), consistency).await?;
            match (fetched, answer) {
                (Some(fetched), Some(answer)) => {
                    kept.insert(id, answer);
                    there.push(whole(fetched, true));
                }
                (None, None) => {}
                (Some(_), None) | (None, Some(_)) => again.push(id),
            }
        }
        let (settled, unlike) = paired(there, kept, references)?;
        out.extend(settled);
        again.extend(unlike);
        left = again;
    }
    match left.first() {
        None => Ok(out.into_values().collect()),
        Some(id) => Err(Unlisted::Port(later(format!("object {id} of {class} is changed all the while")))),
    }
}

/// Objects of which both say the same time, and the ids of the others.
fn paired(
    seen: Vec<Seen>,
    mut kept: BTreeMap<Uuid, KeptReferences>,
    references: &References,
) -> Result<(BTreeMap<Uuid, Seen>, Vec<Uuid>), Unlisted> {
    let (mut out, mut left) = (BTreeMap::new(), Vec::new());
    for seen in seen {
        let id = seen.object.id;
        match kept.remove(&id).filter(|kept| kept.updated == seen.updated) {
            Some(kept) => drop(out.insert(id, linked(seen, kept, references)?)),
            None => left.push(id),
        }
    }
    Ok((out, left))
}

fn linked(mut seen: Seen, kept: KeptReferences, references: &References) -> Result<Seen, Unlisted> {
    seen.object.properties.extend(kept.properties.into_iter().filter(|(_, value)| !value.is_null()));
    references.settle(&mut seen.object).map_err(|error| {
        let message = error.to_string();
        Unlisted::Port(PortError { category: Category::Weaviate, retryable: false, message })
    })?;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use elysia_engine::object::{Object, Vectors};
    use serde_json::{Value, json};

    use super::*;

    fn seen(id: u128, updated: i64) -> Seen {
        let properties = json!({"title": "x"}).as_object().unwrap().clone();
        let object = Object { id: Uuid::from_u128(id), properties, vectors: Vectors::new() };
        Seen { object, created: Some(0), updated: Some(updated), is_whole: true }
    }

    fn kept(id: u128, updated: i64, by: Value) -> (Uuid, KeptReferences) {
        let properties = [("by".to_owned(), by)].into();
        (Uuid::from_u128(id), KeptReferences { updated: Some(updated), properties })
    }

    #[test]
    fn an_object_is_what_both_say_of_one_change() {
        let references = References::of_class(&json!({"properties": [{"name": "by", "dataType": ["Person"]}]}));
        let beacon = format!("weaviate://localhost/Person/{}", Uuid::from_u128(9));
        let by = json!([{"beacon": beacon, "href": "/v1/objects/Person/9"}]);
        let all = [kept(1, 5, by.clone()), kept(2, 6, by.clone()), kept(4, 5, by), kept(5, 5, Value::Null)].into();
        let listed = vec![seen(1, 5), seen(2, 5), seen(3, 5), seen(5, 5)];
        let (settled, left) = paired(listed, all, &references).unwrap();
        // The second was changed in between, the third deleted, the fourth added.
        assert_eq!(left, [2, 3].map(Uuid::from_u128));
        let found: Vec<_> = settled.into_values().map(|seen| Value::Object(seen.object.properties)).collect();
        assert_eq!(found, [json!({"title": "x", "by": [{"beacon": beacon}]}), json!({"title": "x"})]);
    }

    #[test]
    fn a_reference_that_no_server_takes_back_ends_the_run() {
        let references = References::of_class(&json!({"properties": [{"name": "by", "dataType": ["Person"]}]}));
        let by = json!([{"beacon": "weaviate://localhost/Person/9", "classification": {"overallCount": 3}}]);
        let error = paired(vec![seen(1, 5)], [kept(1, 5, by)].into(), &references).unwrap_err();
        assert!(matches!(error, Unlisted::Port(error) if !error.retryable && error.message.contains("classification")));
    }
}
