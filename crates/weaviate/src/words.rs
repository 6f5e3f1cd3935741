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

/// What these words mean.
pub(crate) fn meaning(message: &str) -> Meaning {
    let message = message.to_ascii_lowercase();
    TEXTS.iter().find(|(text, _)| message.contains(text)).map_or(Meaning::Plain, |(_, meaning)| *meaning)
}

/// Can one object of a batch, refused with these words, succeed when it is sent again?
pub(crate) fn object_retryable(message: &str) -> bool {
    match meaning(message) {
        Meaning::NoLeader | Meaning::Memory | Meaning::Replicas | Meaning::Timeout => true,
        Meaning::ReadOnly | Meaning::Plain => false,
    }
}

/// The category of the words with which one object of a batch was refused. Words that nobody knows are about the
/// object: Weaviate's validation has hundreds of texts, its failures have few.
pub(crate) fn object_category(message: &str) -> ErrorCategory {
    match meaning(message) {
        Meaning::NoLeader | Meaning::ReadOnly | Meaning::Replicas => ErrorCategory::Weaviate,
        Meaning::Memory => ErrorCategory::Memory,
        Meaning::Timeout => ErrorCategory::Timeout,
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
    fn an_answer_is_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES);
        let message = of_body(long.as_bytes());
        assert!(message.len() <= MESSAGE_BYTES + '…'.len_utf8());
        assert!(message.ends_with('…'));
    }
}
