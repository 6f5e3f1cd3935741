//! Is auto-schema on? Weaviate tells nobody, so it is asked with an object that it can never store.

use reqwest::Method;
use serde_json::json;

use crate::client::Client;
use crate::error::WeaviateError;
use crate::rest::Rest;

/// A class name that no class can have: it begins with a digit (entities/schema/validation.go).
const PROBE_CLASS: &str = "9-elysia-probe";

/// The name of the property that cannot be.
const PROBE_PROPERTY: &str = "probe";

impl Client {
    /// Whether auto-schema is on **at this node**, now. `None` when the node answered something that we do not know:
    /// unknown, never "off"; without a RAFT leader the node does not answer in time, which is unknown as well. Nothing is stored and no class is made, whatever the answer.
    ///
    /// The object has two faults, and which of them the server names tells whether auto-schema looked at it:
    ///
    /// | auto-schema | answer, measured on 1.35.2 and 1.38.2 |
    /// |---|---|
    /// | on | 500 `… property 'probe' on class '9-elysia-probe': element [1]: mismatched data type …` |
    /// | off | 422 `… class "9-elysia-probe" not found in schema` |
    ///
    /// With auto-schema on, the types are judged **before** the class would be made (`usecases/objects/auto_schema.go`,
    /// `getProperties` before `createClass`); and were it not so, the class's name is refused, too. The switch is read
    /// anew for every object, so a runtime override `autoschema_enabled` shows here as soon as the node has read it.
    pub async fn auto_schema_probe(&self) -> Result<Option<bool>, WeaviateError> {
        let body = json!({ "class": PROBE_CLASS, "properties": { PROBE_PROPERTY: [1, "text"] } });
        let answer = self.answer(Rest::new(Method::POST, &["objects"]).body(&body)).await?;
        let message = answer.message();
        match answer.status {
            401 | 403 => Err(answer.into_error()),
            400..600 => Ok(verdict(&message)),
            _ => Ok(None),
        }
    }
}

/// Only the two texts that are known count.
fn verdict(message: &str) -> Option<bool> {
    let names_class = message.contains(PROBE_CLASS);
    if names_class && message.contains("mismatched data type") {
        return Some(true);
    }
    (names_class && message.contains("not found in schema")).then_some(false)
}
