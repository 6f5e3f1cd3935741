//! How many objects a class has, to show it to people. Never to allow anything: see [`Client::object_count`].

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::WeaviateError;
use crate::rest::Rest;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    errors: Option<Vec<Fault>>,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
}

impl Client {
    /// The bare GraphQL Aggregate count of a class; `Err` with the server's words when it could not count.
    ///
    /// 1.38 answers with what most replicas say, 1.35 with what this one says, and both count only the shards that
    /// answered once a dead node has left gossip (`weaviate-lab` §0.1, §0.2): never too many. So it is a number for a
    /// status, and for a guard that a smaller number makes stricter; it may forbid a delete and never prove emptiness.
    pub async fn object_count(&self, class: &str) -> Result<Result<u64, String>, WeaviateError> {
        self.count_by(class, "").await
    }

    /// As [`Client::object_count`], of the objects that have this number in an int property.
    pub async fn object_count_where(
        &self,
        class: &str,
        property: &str,
        number: i64,
    ) -> Result<Result<u64, String>, WeaviateError> {
        let filter = format!("(where:{{path:[\"{property}\"],operator:Equal,valueInt:{number}}})");
        self.count_by(class, &filter).await
    }

    async fn count_by(&self, class: &str, filter: &str) -> Result<Result<u64, String>, WeaviateError> {
        // Names of classes and properties hold letters, digits and underscores only: they cannot break out of the query.
        let query = format!("{{Aggregate{{{class}{filter}{{meta{{count}}}}}}}}");
        let body = json!({ "query": query });
        let answer: Answer = self.json(Rest::new(Method::POST, &["graphql"]).body(&body)).await?;
        if let Some(fault) = answer.errors.unwrap_or_default().into_iter().next() {
            return Ok(Err(fault.message));
        }
        let count =
            answer.data.as_ref().and_then(|data| data.pointer(&format!("/Aggregate/{class}/0/meta/count"))?.as_u64());
        Ok(count.ok_or_else(|| "the answer holds no count".to_owned()))
    }
}
