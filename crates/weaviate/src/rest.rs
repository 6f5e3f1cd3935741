//! The plumbing of REST: one request, one bounded answer, one error.

use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::client::{Client, RESPONSE_BYTES, address};
use crate::error::{Call, WeaviateError};
use crate::words;

/// One request below `/v1`.
pub(crate) struct Rest<'a> {
    method: Method,
    segments: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    header: Option<(&'static str, &'static str)>,
    body: Option<&'a Value>,
    limit: usize,
}

impl<'a> Rest<'a> {
    pub(crate) fn new(method: Method, segments: &[&'a str]) -> Self {
        Self { method, segments: segments.to_vec(), query: vec![], header: None, body: None, limit: RESPONSE_BYTES }
    }

    pub(crate) fn get(segments: &[&'a str]) -> Self {
        Self::new(Method::GET, segments)
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn maybe(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(crate) fn body(mut self, body: &'a Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Reads at most this much of the answer instead of [`RESPONSE_BYTES`].
    pub(crate) fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn what(&self) -> String {
        format!("{} /v1/{}", self.method, self.segments.join("/"))
    }
}

/// Status and body of one answer.
pub(crate) struct Answer {
    pub(crate) call: Call,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn message(&self) -> String {
        words::of_body(&self.body)
    }

    pub(crate) fn into_error(self) -> WeaviateError {
        let message = self.message();
        WeaviateError::from_status(self.call, self.status, message)
    }

    pub(crate) fn parse<T: DeserializeOwned>(self) -> Result<T, WeaviateError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| WeaviateError::Malformed { call: self.call, reason: error.to_string() })
    }
}

impl Client {
    /// Sends; whatever the status is, it is an answer.
    pub(crate) async fn answer(&self, rest: Rest<'_>) -> Result<Answer, WeaviateError> {
        let call = Call { what: rest.what(), address: address(&self.shared.options.rest) };
        let mut url = self.shared.options.rest.clone();
        url.set_query(None);
        if !rest.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&rest.query);
        }
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("v1").extend(&rest.segments);
        }

        let mut request = self.shared.http.request(rest.method, url);
        if let Some((name, value)) = rest.header {
            request = request.header(name, value);
        }
        if let Some(body) = rest.body {
            request = request.json(body);
        }

        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(broken(call, error)),
        };
        let status = response.status().as_u16();
        tracing::trace!(call = %call.what, address = %call.address, status, "answered");
        let (call, body) = read(call, response, rest.limit).await?;
        Ok(Answer { call, status, body })
    }

    /// An answer that must be a success.
    pub(crate) async fn success(&self, rest: Rest<'_>) -> Result<Answer, WeaviateError> {
        let answer = self.answer(rest).await?;
        if answer.is_success() { Ok(answer) } else { Err(answer.into_error()) }
    }

    /// A success whose body is thrown away.
    pub(crate) async fn done(&self, rest: Rest<'_>) -> Result<(), WeaviateError> {
        self.success(rest).await.map(drop)
    }

    /// A success with a body.
    pub(crate) async fn json<T: DeserializeOwned>(&self, rest: Rest<'_>) -> Result<T, WeaviateError> {
        self.success(rest).await?.parse()
    }

    /// A success with a list; Go writes an empty one as `null` when it feels like it.
    pub(crate) async fn list<T: DeserializeOwned>(&self, rest: Rest<'_>) -> Result<Vec<T>, WeaviateError> {
        self.json::<Option<Vec<T>>>(rest).await.map(Option::unwrap_or_default)
    }

    /// A success with a body, or 404.
    pub(crate) async fn optional<T: DeserializeOwned>(&self, rest: Rest<'_>) -> Result<Option<T>, WeaviateError> {
        match self.success(rest).await {
            Ok(answer) => answer.parse().map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// For a field that may be `null`, which is Go's empty list or map.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The body, of which no more than the bound is ever held.
async fn read(call: Call, mut response: Response, limit: usize) -> Result<(Call, Vec<u8>), WeaviateError> {
    // An answer that says so itself need not be read to be too large; one that says nothing grows as it comes.
    let length = response.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > limit) {
        return Err(WeaviateError::TooLarge { call, limit });
    }
    let mut body = Vec::with_capacity(length.unwrap_or_default());
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(WeaviateError::TooLarge { call, limit });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok((call, body)),
            Err(error) => return Err(broken(call, error)),
        }
    }
}

/// A failed transport. The URL is taken out of the source: it may carry a user and a password.
fn broken(call: Call, error: reqwest::Error) -> WeaviateError {
    let error = error.without_url();
    if error.is_connect() {
        return WeaviateError::Unreachable { call, source: error.into() };
    }
    if error.is_timeout() {
        return WeaviateError::Timeout { call };
    }
    WeaviateError::Interrupted { call, source: error.into() }
}
