//! Objects over gRPC: in batches, by id, by page. Five times less on the wire than REST, because vectors travel as bytes.

mod batch;
mod delete;
mod encoding;
mod messages;
mod nearest;
mod properties;
mod results;
mod search;
mod values;
mod vectors;

use std::time::Duration;

use prost::Message;
use secrecy::ExposeSecret;
use tonic::codec::Codec;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

pub use batch::{BatchEncoder, BatchObject, BatchOutcome, EncodedBatch, ObjectError, ObjectRef, VectorRef};
pub use delete::BatchDeleteOutcome;
pub use nearest::Nearest;
pub use search::{FetchedObject, Selection};
pub use vectors::{NamedVector, Vectors};

use crate::client::{Client, ClientOptions, address, invalid};
use crate::error::{Call, WeaviateError};
use crate::words::{self, Meaning};

/// Largest message, either way: the server's own default (`GRPC_MAX_MESSAGE_SIZE`, usecases/config/environment.go).
pub const GRPC_MESSAGE_BYTES: usize = 104_858_000;

/// How much longer than the call itself its deadline on the wire is: the client's own clock shall decide first.
const DEADLINE_SLACK: Duration = Duration::from_secs(1);

/// The method of the service `weaviate.v1.Weaviate` (grpc/proto/v1/weaviate.proto) that is called.
#[derive(Clone, Copy)]
enum Method {
    BatchObjects,
    BatchDelete,
    Search,
}

impl Method {
    fn what(self) -> &'static str {
        match self {
            Self::BatchObjects => "gRPC BatchObjects",
            Self::BatchDelete => "gRPC BatchDelete",
            Self::Search => "gRPC Search",
        }
    }

    fn path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Self::BatchObjects => "/weaviate.v1.Weaviate/BatchObjects",
            Self::BatchDelete => "/weaviate.v1.Weaviate/BatchDelete",
            Self::Search => "/weaviate.v1.Weaviate/Search",
        })
    }
}

/// A channel that connects on its first call, and again whenever it must.
pub(crate) fn connect(options: &ClientOptions) -> Result<Channel, WeaviateError> {
    let Some(url) = &options.grpc else {
        return Err(invalid("no gRPC address"));
    };
    let mut endpoint = Endpoint::from_shared(address(url))
        .map_err(|_| invalid("the gRPC address is not a URI"))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_adaptive_window(true);
    if url.scheme() == "https" {
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(pem) = &options.ca_certificates {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        endpoint = endpoint.tls_config(tls).map_err(|_| invalid("ca_certificates cannot be used for gRPC"))?;
    }
    Ok(endpoint.connect_lazy())
}

impl Client {
    /// One unary call, within the call timeout.
    async fn unary<C>(&self, method: Method, codec: C, message: C::Encode) -> Result<C::Decode, WeaviateError>
    where
        C: Codec,
        C::Encode: Sync,
        C::Decode: Sync,
    {
        let options = &self.shared.options;
        let call = self.grpc_call(method);
        let mut client = tonic::client::Grpc::new(self.channel()?)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES);

        let mut request = Request::new(message);
        request.set_timeout(options.call_timeout + DEADLINE_SLACK);
        if let Some(key) = &options.api_key {
            let mut bearer = MetadataValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| invalid("the API key has characters that gRPC metadata cannot carry"))?;
            bearer.set_sensitive(true);
            request.metadata_mut().insert("authorization", bearer);
        }

        let exchange = async {
            client.ready().await.map_err(|error| Status::from_error(error.into()))?;
            client.unary(request, method.path(), codec).await
        };
        match tokio::time::timeout(options.call_timeout, exchange).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(from_status(call, status)),
            Err(_) => Err(WeaviateError::Timeout { call }),
        }
    }

    fn grpc_call(&self, method: Method) -> Call {
        let address = self.shared.options.grpc.as_ref().map(address).unwrap_or_default();
        Call { what: method.what().to_owned(), address }
    }
}

/// A message whose size is known to fit.
fn checked<M: Message>(call: Call, message: M) -> Result<M, WeaviateError> {
    if message.encoded_len() > GRPC_MESSAGE_BYTES {
        return Err(WeaviateError::TooLarge { call, limit: GRPC_MESSAGE_BYTES });
    }
    Ok(message)
}

/// Weaviate answers most failures as UNKNOWN, so the words decide before the code does.
fn from_status(call: Call, status: Status) -> WeaviateError {
    let message = words::bounded(status.message().to_owned());
    let code = u16::try_from(i32::from(status.code())).unwrap_or(u16::MAX);
    match (status.code(), words::meaning(&message)) {
        (Code::Unavailable, Meaning::Plain | Meaning::Replicas) if is_connect(&status) => {
            WeaviateError::Unreachable { call, source: status.into() }
        }
        (Code::Unauthenticated | Code::PermissionDenied, _) => WeaviateError::Denied { call, status: code, message },
        (_, Meaning::NoLeader) => WeaviateError::NoLeader { call, message },
        (_, Meaning::Memory) => WeaviateError::NotEnoughMemory { call, message },
        (_, Meaning::ReadOnly) => WeaviateError::ReadOnly { call, message },
        (Code::DeadlineExceeded, _) | (Code::Unknown, Meaning::Timeout) => WeaviateError::Timeout { call },
        (Code::ResourceExhausted | Code::OutOfRange, _) if message.contains("larger than") => {
            WeaviateError::TooLarge { call, limit: GRPC_MESSAGE_BYTES }
        }
        (Code::ResourceExhausted, _) => WeaviateError::RateLimited { call, message },
        (Code::InvalidArgument | Code::OutOfRange, _) => WeaviateError::Invalid { call, message },
        (Code::NotFound, _) => WeaviateError::NotFound { call, message },
        (Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition, _) => {
            WeaviateError::Conflict { call, message }
        }
        (Code::Unimplemented, _) => WeaviateError::NotSupported { call, what: crate::error::Feature::Other },
        (Code::Unavailable | Code::Cancelled, _) if std::error::Error::source(&status).is_some() => {
            WeaviateError::Interrupted { call, source: status.into() }
        }
        _ => WeaviateError::Server { call, status: code, message },
    }
}

/// Whether the connection was never made: then the source chain ends in tonic's `ConnectError`, which is private, or in
/// an I/O error of connecting.
fn is_connect(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
            return matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | TimedOut);
        }
        if error.to_string().contains("dns error") || error.to_string().contains("tcp connect error") {
            return true;
        }
        source = error.source();
    }
    false
}
