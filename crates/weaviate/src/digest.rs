//! What one replica holds, as a count and a hash: equal digests mean equal replicas.

use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::client::Client;
use crate::error::WeaviateError;
use crate::objects::{Object, Page};

/// Ids per page. REST cannot leave the properties out, so a page of ids is a page of objects on the wire; of objects
/// over 4 KiB fewer are asked for, by the bound on answers.
pub const ID_PAGE: usize = 1000;

/// Objects with vectors per page: 100 objects of 1536 dimensions are 3 MB of JSON.
pub const OBJECT_PAGE: usize = 100;

/// What a replica holds.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ReplicaDigest {
    /// Objects that were listed.
    pub count: u64,
    /// SHA-256, in lower-case hexadecimal.
    pub digest: String,
}

impl ReplicaDigest {
    /// Whether nothing was listed. One half of "empty": see the design's law 1 for the other.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for ReplicaDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} objects {}", self.count, self.digest)
    }
}

impl Client {
    /// The digest of the ids at this address: SHA-256 over their 16 bytes each, ascending.
    ///
    /// Speaks of one replica only when this client is bound to one node **and** that node holds every shard of the class
    /// (see [`Client::list_ids`]). A walk over a class that is written meanwhile is not a snapshot.
    pub async fn replica_digest(&self, class: &str, tenant: Option<&str>) -> Result<ReplicaDigest, WeaviateError> {
        let mut walk = Walk::new(class, tenant, ID_PAGE);
        let mut hash = Sha256::new();
        while let Some(ids) = walk.step(|page| self.list_ids(page), |id| *id).await? {
            for id in ids {
                hash.update(id.as_bytes());
            }
        }
        Ok(walk.digest(hash))
    }

    /// The digest of whole objects: id, properties and vectors in canonical form; no timestamps, which differ between
    /// replicas that were repaired.
    pub async fn object_digest(&self, class: &str, tenant: Option<&str>) -> Result<ReplicaDigest, WeaviateError> {
        let mut walk = Walk::new(class, tenant, OBJECT_PAGE);
        let mut hash = Sha256::new();
        while let Some(objects) = walk.step(|page| self.list_objects(page, true), |object| object.id).await? {
            for object in &objects {
                hash_object(&mut hash, object);
            }
        }
        Ok(walk.digest(hash))
    }
}

/// A walk through one class, a page at a time.
pub(crate) struct Walk<'a> {
    class: &'a str,
    tenant: Option<&'a str>,
    after: Option<Uuid>,
    limit: usize,
    count: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(class: &'a str, tenant: Option<&'a str>, limit: usize) -> Self {
        Self { class, tenant, after: None, limit, count: 0 }
    }

    /// The next page; `None` after the last. A page that is larger than the bound on answers is asked for again in
    /// halves, so that neither large objects nor a large page break the walk.
    pub(crate) async fn step<T, F>(
        &mut self,
        fetch: impl Fn(Page<'a>) -> F,
        id: impl Fn(&T) -> Uuid,
    ) -> Result<Option<Vec<T>>, WeaviateError>
    where
        F: Future<Output = Result<Vec<T>, WeaviateError>>,
    {
        loop {
            let page = Page { class: self.class, tenant: self.tenant, after: self.after, limit: self.limit };
            match fetch(page).await {
                Ok(items) => {
                    self.after = items.last().map(&id).or(self.after);
                    self.count += items.len() as u64;
                    return Ok((!items.is_empty()).then_some(items));
                }
                Err(WeaviateError::TooLarge { .. }) if self.limit > 1 => self.limit /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    fn digest(&self, hash: Sha256) -> ReplicaDigest {
        ReplicaDigest { count: self.count, digest: hexadecimal(&hash.finalize()) }
    }
}

impl Object {
    /// The digest of this one object: its id, properties and vectors; no timestamps.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash_object(&mut hash, self);
        hexadecimal(&hash.finalize())
    }
}

fn hash_object(hash: &mut Sha256, object: &Object) {
    let mut text = String::new();
    canonical(&mut text, object.properties.iter());
    hash.update(object.id.as_bytes());
    part(hash, text.as_bytes());

    let vector = object.vector.iter().flatten().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    part(hash, &vector);

    let mut text = String::new();
    canonical(&mut text, object.vectors.iter());
    part(hash, text.as_bytes());
}

/// Length first, so that no two objects run into one another.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// JSON with sorted keys, whatever map `serde_json` was built with.
fn canonical<'a>(out: &mut String, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    let mut members = members.collect::<Vec<_>>();
    members.sort_by_key(|(key, _)| key.as_str());
    out.push('{');
    for (key, value) in members {
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        canonical_value(out, value);
        out.push(',');
    }
    out.push('}');
}

fn canonical_value(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => canonical(out, members.iter()),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical_value(out, item);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Call;

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_in_halves() {
        let ids = (1..=10).map(Uuid::from_u128).collect::<Vec<_>>();
        let fetch = |page: Page<'static>| {
            let rest = ids.iter().copied().filter(|id| page.after.is_none_or(|after| *id > after));
            let page = rest.take(page.limit).collect::<Vec<_>>();
            let call = Call { what: String::new(), address: String::new() };
            let fits = page.len() <= 3;
            std::future::ready(if fits { Ok(page) } else { Err(WeaviateError::TooLarge { call, limit: 3 }) })
        };

        let mut walk = Walk::new("Articles", None, 8);
        let mut seen = vec![];
        while let Some(page) = walk.step(&fetch, |id| *id).await.expect("a page") {
            seen.extend(page);
        }
        assert_eq!((seen, walk.count, walk.limit), (ids, 10, 2));
    }

    #[test]
    fn the_order_of_keys_does_not_show() {
        let text = |value: Value| {
            let mut out = String::new();
            canonical_value(&mut out, &value);
            out
        };
        assert_eq!(text(json!({ "b": [1, { "y": 1, "x": 2 }], "a": null })), r#"{"a":null,"b":[1,{"x":2,"y":1,},],}"#);
    }

    #[test]
    fn objects_do_not_run_into_one_another() {
        let digest = |objects: &[(&str, &str)]| {
            let mut hash = Sha256::new();
            for (name, value) in objects {
                let properties = json!({ *name: value }).as_object().cloned().expect("an object");
                let object = json!({ "id": Uuid::nil(), "class": "A", "properties": properties });
                hash_object(&mut hash, &serde_json::from_value(object).expect("an object"));
            }
            hexadecimal(&hash.finalize())
        };
        assert_eq!(digest(&[("a", "1")]), digest(&[("a", "1")]));
        assert_ne!(digest(&[("a", "1"), ("b", "2")]), digest(&[("b", "2"), ("a", "1")]));
    }
}
