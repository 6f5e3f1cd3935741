//! One object at one replica, without any effect, and the writes of the operator's own probe.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Client, ID_RESPONSE_BYTES};
use crate::error::WeaviateError;
use crate::objects::{Consistency, Object};
use crate::rest::Rest;

/// What one node answered for one object.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AtReplica {
    /// It holds the object.
    Held {
        /// SHA-256 over id, properties and vectors in canonical form; no timestamps.
        digest: String,
        /// `lastUpdateTimeUnix`, in milliseconds.
        updated: Option<i64>,
    },
    /// It has no such object. Up to 1.35 this is also what a node says that holds no replica of the object's shard.
    Absent,
    /// It holds no replica of the object's shard, which it names. 1.38 says so, after 5 to 10 s of trying.
    NotHere {
        /// The shard.
        shard: String,
    },
}

impl Client {
    /// `GET /v1/objects/{class}/{id}?node_name=&include=vector`: exactly this node's replica, and nothing is repaired.
    /// It may be asked at any address. An object beyond [`ID_RESPONSE_BYTES`] is [`WeaviateError::TooLarge`].
    ///
    /// A class whose shards have one replica each ignores `node_name`: the one replica answers.
    pub async fn object_at(
        &self,
        class: &str,
        tenant: Option<&str>,
        id: Uuid,
        node: &str,
    ) -> Result<AtReplica, WeaviateError> {
        let id = id.to_string();
        let rest = Rest::get(&["objects", class, &id])
            .query("node_name", node)
            .query("include", "vector")
            .maybe("tenant", tenant)
            .limit(ID_RESPONSE_BYTES);
        let answer = self.answer(rest).await?;
        if answer.is_success() {
            let object: Object = answer.parse()?;
            return Ok(AtReplica::Held { digest: object.digest(), updated: object.last_update_time });
        }
        if let Some(shard) = shard_elsewhere(&answer.message()) {
            return Ok(AtReplica::NotHere { shard });
        }
        let error = answer.into_error();
        if error.is_not_found() { Ok(AtReplica::Absent) } else { Err(error) }
    }

    /// `POST /v1/batch/objects` of one object: writes it, or writes over it. `PUT /v1/objects/{class}/{id}` does not
    /// create (`no object with id`, 1.38.2).
    pub async fn put_object(&self, object: &Object, consistency: Consistency) -> Result<(), WeaviateError> {
        let body = json!({ "objects": [
            { "id": object.id, "class": object.class, "properties": object.properties, "tenant": object.tenant },
        ]});
        let rest = Rest::new(Method::POST, &["batch", "objects"]).query("consistency_level", consistency.as_str());
        let call = crate::error::Call { what: rest.what(), address: self.address() };
        let results: Vec<Value> = self.list(rest.body(&body)).await?;
        // The call is a success although no object may have been stored.
        let result = results.first().map_or(&Value::Null, |first| &first["result"]);
        if let Some(message) = result.pointer("/errors/error/0/message").and_then(Value::as_str) {
            return Err(WeaviateError::from_status(call, 500, crate::words::bounded(message.to_owned())));
        }
        match result["status"].as_str() {
            Some("SUCCESS") => Ok(()),
            other => {
                let reason = format!("the object's status is {other:?}");
                Err(WeaviateError::Malformed { call, reason })
            }
        }
    }
}

/// The shard in `… shard "idqi1RVu7joe" does not exist locally`, as 1.38.2 says it.
fn shard_elsewhere(message: &str) -> Option<String> {
    let before = message.split("\" does not exist locally").next().filter(|before| before.len() < message.len())?;
    let (_, shard) = before.rsplit_once("shard \"")?;
    Some(shard.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_is_read_from_the_servers_words() {
        let message = "repo: object by id: search index h: status code: 500, error: shard \"idqi1RVu7joe\" does not exist locally\n";
        assert_eq!(shard_elsewhere(message).as_deref(), Some("idqi1RVu7joe"));
        for other in ["", "cannot resolve node name: w-9", "does not exist locally", "shard \"x\" is loading"] {
            assert_eq!(shard_elsewhere(other), None, "{other}");
        }
    }
}
