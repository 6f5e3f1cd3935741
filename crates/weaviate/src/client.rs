//! One address, one client.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tonic::transport::Channel;
use url::Url;

use crate::error::WeaviateError;
use crate::grpc;

/// A call that takes longer is given up. Calls that began while RAFT lost its leader never came back within 100 s
/// (lab 0.17), so waiting longer only looks patient.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A pod that is there accepts at once; one that is gone from the network says nothing at all.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest REST answer that is read. A page of 100 objects of 300 kB fits; a server gone mad does not fill our memory.
pub const RESPONSE_BYTES: usize = 64 << 20;

/// Largest answer that is read for a page of ids, of which only the ids are kept. The operator asks every node at once,
/// for several collections, in a pod of 128 MiB; a page that is larger is asked for again in halves.
pub const ID_RESPONSE_BYTES: usize = 4 << 20;

/// Largest answer that is read for the id of one single object, a page that has no halves. A line of a feed may have
/// 16 MiB, and JSON escapes some of it; with a smaller bound a collection with one such object could never be walked.
pub const ONE_ID_RESPONSE_BYTES: usize = 20 << 20;

/// What a client is built from.
#[derive(Clone)]
pub struct ClientOptions {
    /// Base address of REST, e.g. `http://search.shop.svc:8080`. A path in it is kept in front of `/v1`.
    pub rest: Url,
    /// Base address of gRPC, e.g. `http://search.shop.svc:50051`; without it the gRPC calls fail with `Options`.
    pub grpc: Option<Url>,
    /// Sent as `Authorization: Bearer`, over REST and gRPC. A server without any authentication refuses a request with
    /// a key (401): leave it out there.
    pub api_key: Option<SecretString>,
    /// PEM certificates of authorities that are trusted besides the system's.
    pub ca_certificates: Option<Vec<u8>>,
    /// See [`CALL_TIMEOUT`].
    pub call_timeout: Duration,
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
}

impl ClientOptions {
    /// REST alone, without a key, with the usual timeouts.
    pub fn new(rest: Url) -> Self {
        Self {
            rest,
            grpc: None,
            api_key: None,
            ca_certificates: None,
            call_timeout: CALL_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }

    /// With gRPC at this address.
    #[must_use]
    pub fn grpc(self, grpc: Url) -> Self {
        Self { grpc: Some(grpc), ..self }
    }

    /// With this key.
    #[must_use]
    pub fn api_key(self, api_key: SecretString) -> Self {
        Self { api_key: Some(api_key), ..self }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientOptions")
            .field("rest", &address(&self.rest))
            .field("grpc", &self.grpc.as_ref().map(address))
            .field("api_key", &self.api_key.as_ref().map(|_| "redacted"))
            .field("call_timeout", &self.call_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// A client of one Weaviate address: a Service, or one replica's own. Cheap to clone; its connections are shared.
///
/// It never retries: whoever calls knows whether to send again now, to requeue, or to give up.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) options: ClientOptions,
    pub(crate) http: reqwest::Client,
    /// Made on the first gRPC call: a channel can only be made inside a runtime.
    pub(crate) channel: OnceLock<Channel>,
}

impl Client {
    /// Builds the client; nothing is sent yet.
    pub fn new(options: ClientOptions) -> Result<Self, WeaviateError> {
        for url in std::iter::once(&options.rest).chain(&options.grpc) {
            check(url)?;
        }
        let http = http(&options)?;
        Ok(Self { shared: Arc::new(Shared { options, http, channel: OnceLock::new() }) })
    }

    /// The REST address as errors name it.
    pub fn address(&self) -> String {
        address(&self.shared.options.rest)
    }

    /// Whether this client knows a gRPC address.
    pub fn has_grpc(&self) -> bool {
        self.shared.options.grpc.is_some()
    }

    pub(crate) fn channel(&self) -> Result<Channel, WeaviateError> {
        if let Some(channel) = self.shared.channel.get() {
            return Ok(channel.clone());
        }
        let channel = grpc::connect(&self.shared.options)?;
        Ok(self.shared.channel.get_or_init(|| channel).clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("options", &self.shared.options).finish()
    }
}

fn check(url: &Url) -> Result<(), WeaviateError> {
    let known = matches!(url.scheme(), "http" | "https");
    if known && url.has_host() {
        return Ok(());
    }
    let reason = format!("{} is not an http or https address", address(url));
    Err(WeaviateError::Options { reason })
}

fn http(options: &ClientOptions) -> Result<reqwest::Client, WeaviateError> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .timeout(options.call_timeout)
        .default_headers(headers(options)?)
        // A redirect would carry the key to another server.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &options.ca_certificates {
        let certificates =
            reqwest::Certificate::from_pem_bundle(pem).map_err(|_| invalid("ca_certificates is not PEM"))?;
        builder = builder.tls_certs_merge(certificates);
    }
    if options.rest.scheme() == "http" {
        // Reading the system's certificates takes tens of milliseconds, and redirects to https are not followed.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|_| invalid("the HTTP client cannot be built"))
}

fn headers(options: &ClientOptions) -> Result<HeaderMap, WeaviateError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &options.api_key {
        headers.insert(AUTHORIZATION, bearer(key)?);
    }
    Ok(headers)
}

/// `Bearer <key>`, marked sensitive so that no Debug shows it.
fn bearer(key: &SecretString) -> Result<HeaderValue, WeaviateError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
        .map_err(|_| invalid("the API key has characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) fn invalid(reason: &str) -> WeaviateError {
    WeaviateError::Options { reason: reason.to_owned() }
}

/// Scheme, host and port: no user, no password, no query.
pub(crate) fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}
