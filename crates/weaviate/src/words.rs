//! Weaviate's own words: the few texts that mean something which its status codes do not say.

use serde::Deserialize;

use crate::error::{ErrorCategory, MESSAGE_BYTES};

/// What a message means beyond its status code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Meaning {
    /// `cluster/types/errs.go`: `ErrLeaderNotFound`, `ErrNotLeader`, `ErrNotOpen`.
    NoLeader,
    /// `entities/errors/transient.go`: `ErrNotEnoughMemory`, `ErrNotEnoughMappings`.
    Memory,
    /// `entities/storagestate/status.go`: `ErrStatusReadOnly`.
    ReadOnly,
    /// Too few replicas answered: `cannot reach enough replicas`.
    Replicas,
    /// A deadline passed inside the server.
    Timeout,
    /// Nothing that we know.
    Plain,
}

/// Texts in order: the first that is found decides. A frozen shard says "read-only" inside "cannot reach enough
/// replicas", so the cause stands before its wrapping.
///
/// The last ones are gRPC's and Go's words for what happens between the servers: a node that ends cancels what it asked
/// its leader. Seen on 1.38.2 in the error of one object: `failed to execute query: rpc error: code = Canceled desc = grpc:
/// the client connection is closing`.
const TEXTS: [(&str, Meaning); 24] = [
    ("leader not found", Meaning::NoLeader),
    ("not leader", Meaning::NoLeader),
    ("not the leader", Meaning::NoLeader),
    ("store not open", Meaning::NoLeader),
    ("not enough memory", Meaning::Memory),
    ("read-only", Meaning::ReadOnly),
    ("read only", Meaning::ReadOnly),
    ("cannot reach enough replicas", Meaning::Replicas),
    ("cannot achieve consistency level", Meaning::Replicas),
    ("context deadline exceeded", Meaning::Timeout),
    ("deadline exceeded for waiting", Meaning::Timeout),
    ("connection refused", Meaning::Replicas),
    ("rpc error: code = canceled", Meaning::Replicas),
    ("rpc error: code = unavailable", Meaning::Replicas),
    ("rpc error: code = aborted", Meaning::Replicas),
    ("rpc error: code = deadlineexceeded", Meaning::Timeout),
    ("connection is closing", Meaning::Replicas),
    ("connection reset by peer", Meaning::Replicas),
    ("transport is closing", Meaning::Replicas),
    ("broken pipe", Meaning::Replicas),
    ("no such host", Meaning::Replicas),
    ("i/o timeout", Meaning::Timeout),
    ("context canceled", Meaning::Replicas),
    // 1.38.2, `adapters/repos/db/index.go`, `parseDateFieldsInProps`: a node refuses an object with an empty `date[]`, and all
    // that came with it, when another node passes it on. The node that holds the shard takes it.
    ("parse as time array", Meaning::Replicas),
];

/// Words of 1.38.2 that may speak for all that a batch has for one shard, besides those of a read-only one: see the module
/// `refusals`. Lower case.
const OF_SHARD: [&str; 9] = [
    // `adapters/repos/db/shard_lazyloader.go`, `Load`: its memory, its turn, itself.
    "cannot load shard",
    "permit to load shard",
    "unable to load shard",
    // `adapters/repos/db/index.go`, `initShard` and `getOptInitLocalShard`; `shard.go`, `errAlreadyShutdown`.
    "init shard",
    "init local shard",
    "is protected for backup",
    "already shut or dropped",
    // There, `getShardForDirectLocalOperation`.
    "wait for schema version",
    // There, `putObjectBatch`: a panic. Also of one object, by `shard_write_batch_objects.go`; both are the server's fault.
    "an unexpected error occurred",
];

/// Whether a refusal with these words may be that of a whole shard, though one item of a batch bears it.
pub(crate) fn is_of_shard(message: &str) -> bool {
    meaning(message) == Meaning::ReadOnly || is_unopened(message)
}

/// Whether a shard could not be used at all, whatever it was sent.
fn is_unopened(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    OF_SHARD.iter().any(|text| message.contains(text))
}

/// What these words mean.
pub(crate) fn meaning(message: &str) -> Meaning {
    let message = message.to_ascii_lowercase();
    TEXTS.iter().find(|(text, _)| message.contains(text)).map_or(Meaning::Plain, |(_, meaning)| *meaning)
}

/// Can one object of a batch, refused with these words, succeed when it is sent again?
pub(crate) fn object_retryable(message: &str) -> bool {
    match meaning(message) {
        Meaning::NoLeader | Meaning::Memory | Meaning::Replicas | Meaning::Timeout => true,
        Meaning::ReadOnly => false,
        Meaning::Plain => is_unopened(message),
    }
}

/// The category of the words with which one object of a batch was refused. Words that nobody knows are about the
/// object: Weaviate's validation has hundreds of texts, its failures have few. A shard that could not be used is not the
/// object's fault: all that came with it would be rejected.
pub(crate) fn object_category(message: &str) -> ErrorCategory {
    match meaning(message) {
        Meaning::NoLeader | Meaning::ReadOnly | Meaning::Replicas => ErrorCategory::Weaviate,
        Meaning::Memory => ErrorCategory::Memory,
        Meaning::Timeout => ErrorCategory::Timeout,
        Meaning::Plain if is_unopened(message) => ErrorCategory::Weaviate,
        Meaning::Plain => ErrorCategory::Validation,
    }
}

/// `{"error":[{"message":"..."}]}` (openapi `ErrorResponse`); 401 has `{"code":401,"message":"..."}`.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    error: Vec<ErrorItem>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    message: String,
}

/// The server's words in a failed answer, bounded. Empty when it said nothing.
pub(crate) fn of_body(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error, message }) => {
            let items = error.into_iter().map(|item| item.message).chain(message).collect::<Vec<_>>();
            items.join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    bounded(text)
}

/// Cut to [`MESSAGE_BYTES`] at a character.
pub(crate) fn bounded(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_more_than_statuses() {
        let cases = [
            ("leader not found", Meaning::NoLeader),
            ("cannot reach enough replicas: required 1 replicas, got 0: read only \"abc\"", Meaning::ReadOnly),
            ("store is read-only due to: disk usage too high", Meaning::ReadOnly),
            ("broadcast: cannot reach enough replicas", Meaning::Replicas),
            ("cannot process add object: not enough memory", Meaning::Memory),
            ("deadline exceeded for waiting for update", Meaning::Timeout),
            (
                "failed to execute query: rpc error: code = Canceled desc = grpc: the client connection is closing",
                Meaning::Replicas,
            ),
            ("rpc error: code = Unavailable desc = connection error", Meaning::Replicas),
            ("rpc error: code = DeadlineExceeded desc = stream terminated", Meaning::Timeout),
            ("dial tcp: lookup search-1: no such host", Meaning::Replicas),
            ("rpc error: code = InvalidArgument desc = no such property", Meaning::Plain),
            ("invalid integer property 'whole'", Meaning::Plain),
        ];
        for (text, wanted) in cases {
            assert_eq!(meaning(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_shard_that_cannot_be_used_is_no_fault_of_an_object() {
        use ErrorCategory::{Memory, Timeout, Validation, Weaviate};
        for (text, of_shard, retryable, category) in [
            ("store is read-only due to: manually set by user", true, false, Weaviate),
            ("memory pressure: cannot load shard: not enough memory mappings", true, true, Memory),
            ("acquiring permit to load shard: context deadline exceeded", true, true, Timeout),
            ("Unable to load shard XyZ: no space left on device", true, true, Weaviate),
            ("init shard XyZ of index articles: no space left on device", true, true, Weaviate),
            ("get/init local shard \"XyZ\", no shutdown: shard shutdown in progress", true, true, Weaviate),
            ("shard \"XyZ\" is protected for backup, activation blocked", true, true, Weaviate),
            ("already shut or dropped", true, true, Weaviate),
            ("wait for schema version 7: context deadline exceeded", true, true, Timeout),
            ("an unexpected error occurred: runtime error: index out of range", true, true, Weaviate),
            ("broadcast: cannot reach enough replicas", false, true, Weaviate),
            ("cannot process batch: not enough memory", false, true, Memory),
            ("class \"Articles\" not found in schema", false, false, Validation),
            ("invalid integer property 'whole'", false, false, Validation),
        ] {
            let judged = (is_of_shard(text), object_retryable(text), object_category(text));
            assert_eq!(judged, (of_shard, retryable, category), "{text}");
        }
    }

    #[test]
    fn an_answer_is_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES);
        let message = of_body(long.as_bytes());
        assert!(message.len() <= MESSAGE_BYTES + '…'.len_utf8());
        assert!(message.ends_with('…'));
    }
}
