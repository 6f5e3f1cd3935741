//! Values that nobody should read.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::How;

/// What a redacted text says.
const REDACTED: &str = "[redacted]";

/// A value that says nothing any more, or little. What is no text, where the class says that texts are, is taken away: it
/// must not get through.
pub(super) fn masked(value: &Value, how: &How) -> Option<Value> {
    let text = |value: &Value| value.as_str().map(|text| Value::String(one(text, how)));
    match value {
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(text).collect())),
        plain => text(plain),
    }
}

fn one(text: &str, how: &How) -> String {
    match how {
        How::Redact {} => REDACTED.to_owned(),
        How::KeepLast { characters } => {
            let length = text.chars().count();
            let hidden = if length > *characters { length - characters } else { length };
            "*".repeat(hidden) + text.chars().skip(hidden).collect::<String>().as_str()
        }
        How::Hash { salt } => {
            let mut hash = Sha256::new();
            // The length first, so that the salt does not run into the text.
            hash.update((salt.0.len() as u64).to_le_bytes());
            hash.update(salt.0.as_bytes());
            hash.update(text.as_bytes());
            let digest: [u8; 32] = hash.finalize().into();
            if text.parse::<Uuid>().is_ok() {
                let (first, _) = digest.as_chunks::<16>();
                // Version 8: one whose bits mean nothing to anybody else.
                return Builder::from_custom_bytes(first[0]).into_uuid().to_string();
            }
            digest.iter().fold(String::with_capacity(64), |text, byte| text + format!("{byte:02x}").as_str())
        }
    }
}
