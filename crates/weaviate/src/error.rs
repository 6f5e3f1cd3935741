//! What can go wrong, to which server, in whose words, and whether trying again can help.

use std::fmt;

use crate::words::{self, Meaning};

/// How much of a server's answer an error repeats. Enough for Weaviate's longest known message, small enough for a
/// status condition and a log line.
pub const MESSAGE_BYTES: usize = 512;

/// The nine kinds of trouble that counters and statuses know.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ErrorCategory {
    /// The other side could not be reached, or the connection broke.
    Network,
    /// Weaviate answered, and its answer was a failure of its own.
    Weaviate,
    /// A file could not be read or written.
    FileSystem,
    /// Too many calls: slower, please.
    RateLimit,
    /// Somebody ran out of memory.
    Memory,
    /// Bytes that are not what they should be.
    Encoding,
    /// No answer in time.
    Timeout,
    /// The request itself is wrong and will stay wrong.
    Validation,
    /// None of the others.
    Unknown,
}

impl ErrorCategory {
    /// Every category, in the order in which statuses and tables print them.
    pub const ALL: [Self; 9] = [
        Self::Network,
        Self::Weaviate,
        Self::FileSystem,
        Self::RateLimit,
        Self::Memory,
        Self::Encoding,
        Self::Timeout,
        Self::Validation,
        Self::Unknown,
    ];

    /// The name as a status and a metric label spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Weaviate => "weaviate",
            Self::FileSystem => "fileSystem",
            Self::RateLimit => "rateLimit",
            Self::Memory => "memory",
            Self::Encoding => "encoding",
            Self::Timeout => "timeout",
            Self::Validation => "validation",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ErrorCategory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One call as errors name it: what was asked of which address. Never carries a query, a header or a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// `GET /v1/schema/Articles` or `gRPC BatchObjects`.
    pub what: String,
    /// `http://search-0.search-nodes:8080`, without user, password and query.
    pub address: String,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at {}", self.what, self.address)
    }
}

/// A part of Weaviate that a server may lack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Feature {
    /// `/v1/replication/*`: answers 501 unless `REPLICA_MOVEMENT_ENABLED=true` on the node that is asked.
    ReplicaMovement,
    /// Anything else that answered "not implemented".
    Other,
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ReplicaMovement => "replica movement (REPLICA_MOVEMENT_ENABLED)",
            Self::Other => "this call",
        })
    }
}

/// A call that did not do what it was for. `Display` says what failed and the server's own words; causes below that
/// are in `source()` only, so that a chain printer does not say them twice.
#[derive(Debug, thiserror::Error)]
pub enum WeaviateError {
    /// The client could not be built from its options.
    #[error("invalid client options: {reason}")]
    Options {
        /// Which option, and why.
        reason: String,
    },
    /// No connection: refused, no such host, no route, or TLS failed. The call was certainly not carried out.
    #[error("{call}: cannot connect")]
    Unreachable {
        /// The call.
        call: Call,
        /// What the transport said.
        #[source]
        source: BoxError,
    },
    /// The connection broke while the call was under way. It may have been carried out.
    #[error("{call}: connection broke before the answer was complete")]
    Interrupted {
        /// The call.
        call: Call,
        /// What the transport said.
        #[source]
        source: BoxError,
    },
    /// No answer in time. The call may have been carried out.
    #[error("{call}: no answer in time")]
    Timeout {
        /// The call.
        call: Call,
    },
    /// 401, 403 or their gRPC relatives: the key is wrong or may not do this.
    #[error("{call}: access denied ({status}): {message}")]
    Denied {
        /// The call.
        call: Call,
        /// HTTP status, or gRPC code.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// RAFT has no leader. `GET /v1/schema` says it with 403, schema writes with 422 (`handlers_schema.go`).
    #[error("{call}: cluster has no leader: {message}")]
    NoLeader {
        /// The call.
        call: Call,
        /// The server's words.
        message: String,
    },
    /// 404 where the call has no other meaning for it.
    #[error("{call}: not found: {message}")]
    NotFound {
        /// The call.
        call: Call,
        /// The server's words; many 404s have none.
        message: String,
    },
    /// 400 or 422: the request is refused as it stands.
    #[error("{call}: refused: {message}")]
    Invalid {
        /// The call.
        call: Call,
        /// The server's words.
        message: String,
    },
    /// 409: what is asked contradicts what runs.
    #[error("{call}: conflict: {message}")]
    Conflict {
        /// The call.
        call: Call,
        /// The server's words.
        message: String,
    },
    /// 429.
    #[error("{call}: too many requests: {message}")]
    RateLimited {
        /// The call.
        call: Call,
        /// The server's words.
        message: String,
    },
    /// A shard is READONLY, frozen by us or by a full disk.
    #[error("{call}: shard is read-only: {message}")]
    ReadOnly {
        /// The call.
        call: Call,
        /// The server's words.
        message: String,
    },
    /// The server refuses writes until it has memory again.
    #[error("{call}: server is out of memory: {message}")]
    NotEnoughMemory {
        /// The call.
        call: Call,
        /// The server's words.
        message: String,
    },
    /// Any other failure of the server.
    #[error("{call}: server failed ({status}): {message}")]
    Server {
        /// The call.
        call: Call,
        /// HTTP status, or gRPC code.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// 501: the server was started without this.
    #[error("{call}: {what} is not enabled there")]
    NotSupported {
        /// The call.
        call: Call,
        /// What is missing.
        what: Feature,
    },
    /// The name is an alias: `GET /v1/schema/{alias}` answers with the class behind it.
    #[error("{call}: {asked} is an alias of {target}")]
    IsAlias {
        /// The call.
        call: Call,
        /// The name that was asked.
        asked: String,
        /// The class behind it.
        target: String,
    },
    /// The answer is not what this call answers.
    #[error("{call}: malformed answer: {reason}")]
    Malformed {
        /// The call.
        call: Call,
        /// What was wrong with it.
        reason: String,
    },
    /// The answer, or the request, is larger than the bound.
    #[error("{call}: message is larger than {limit} bytes")]
    TooLarge {
        /// The call.
        call: Call,
        /// The bound that was passed.
        limit: usize,
    },
    /// An object that cannot be put into a message.
    #[error("cannot encode property {property}: {reason}")]
    Encode {
        /// Path of the property.
        property: String,
        /// Why not.
        reason: &'static str,
    },
}

/// Any cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

impl WeaviateError {
    /// Can the same call, sent again later, succeed without anybody changing anything?
    ///
    /// This says nothing about whether it is *safe* to send again: see the table in the crate's documentation.
    /// A read-only shard is not retryable: somebody froze it, or a disk is full.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Timeout { .. }
            | Self::NoLeader { .. }
            | Self::RateLimited { .. }
            | Self::NotEnoughMemory { .. }
            | Self::Conflict { .. }
            | Self::Server { .. } => true,
            Self::Options { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Invalid { .. }
            | Self::ReadOnly { .. }
            | Self::NotSupported { .. }
            | Self::IsAlias { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Encode { .. } => false,
        }
    }

    /// Which counter this belongs to.
    pub fn category(&self) -> ErrorCategory {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } => ErrorCategory::Network,
            Self::Timeout { .. } => ErrorCategory::Timeout,
            Self::RateLimited { .. } => ErrorCategory::RateLimit,
            Self::NotEnoughMemory { .. } => ErrorCategory::Memory,
            Self::Options { .. } | Self::Invalid { .. } | Self::IsAlias { .. } => ErrorCategory::Validation,
            Self::Malformed { .. } | Self::TooLarge { .. } | Self::Encode { .. } => ErrorCategory::Encoding,
            Self::Denied { .. }
            | Self::NoLeader { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::ReadOnly { .. }
            | Self::Server { .. }
            | Self::NotSupported { .. } => ErrorCategory::Weaviate,
        }
    }

    /// Is the answer "this does not exist"? Unlike any other failure it is knowledge.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The error that an HTTP status and the server's words make.
    pub(crate) fn from_status(call: Call, status: u16, message: String) -> Self {
        if status == 501 {
            let replication = call.what.contains("/v1/replication");
            let what = if replication { Feature::ReplicaMovement } else { Feature::Other };
            return Self::NotSupported { call, what };
        }

        match (status, words::meaning(&message)) {
            (401, _) => Self::Denied { call, status, message },
            (404, _) => Self::NotFound { call, message },
            (_, Meaning::NoLeader) => Self::NoLeader { call, message },
            (_, Meaning::Memory) => Self::NotEnoughMemory { call, message },
            (_, Meaning::ReadOnly) => Self::ReadOnly { call, message },
            // A refusal that comes from the state of the cluster, not from the request: 403 and 422 hide many of them.
            (400..500, Meaning::Replicas | Meaning::Timeout) => Self::Server { call, status, message },
            (403, _) => Self::Denied { call, status, message },
            (400 | 405 | 406 | 413..=415 | 422, _) => Self::Invalid { call, message },
            (409, _) => Self::Conflict { call, message },
            (429, _) => Self::RateLimited { call, message },
            (408 | 504, _) => Self::Timeout { call },
            _ => Self::Server { call, status, message },
        }
    }
}
