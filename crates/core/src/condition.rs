//! Conditions: findings of the present look, merged with what the object says already.

use elysia_api::condition::{ConditionType, Reason};
use elysia_api::names;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::ResourceExt;

/// Longest message of a condition, in characters. The API server allows 32 KiB; a person reads a few lines.
pub const MESSAGE_LIMIT: usize = 1024;

/// Value of a condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be told.
    Unknown,
}

impl Value {
    /// As it stands in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One condition as the present look finds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which condition.
    pub kind: ConditionType,
    /// Whether it holds.
    pub value: Value,
    /// Why, for programs.
    pub reason: Reason,
    /// Why and what to do next, for people.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(kind: ConditionType, value: Value, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, value, reason, message: message.into() }
    }

    /// It holds.
    pub fn holds(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(kind, Value::True, reason, message)
    }

    /// It does not hold.
    pub fn fails(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(kind, Value::False, reason, message)
    }

    /// It could not be told.
    pub fn unknown(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(kind, Value::Unknown, reason, message)
    }
}

/// Of an object whose spec cannot be honoured. One that is paused says so as everywhere: `Stalled` with the reason `Paused` is
/// what GitOps tools take for suspended.
pub fn of_invalid(object: &impl ResourceExt, message: &str) -> [Finding; 2] {
    let is_paused = object.annotations().get(names::PAUSED_ANNOTATION).is_some_and(|value| value == "true");
    let stalled = if is_paused {
        let message = format!("elysia.dev/paused is true: nothing is changed; {message}");
        Finding::holds(ConditionType::Stalled, Reason::Paused, message)
    } else {
        Finding::holds(ConditionType::Stalled, Reason::InvalidSpec, message)
    };
    [Finding::fails(ConditionType::Ready, Reason::InvalidSpec, message), stalled]
}

/// The conditions of an object after this look.
///
/// A transition time moves only when the value changes, so that an object at rest is never written. Conditions that
/// exist only while True are left out otherwise.
pub fn merge(before: &[Condition], findings: &[Finding], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    findings
        .iter()
        .filter(|finding| finding.value == Value::True || !finding.kind.present_only_while_true())
        .map(|finding| {
            let unchanged = before.iter().find(|condition| {
                condition.type_ == finding.kind.as_str() && condition.status == finding.value.as_str()
            });
            Condition {
                type_: finding.kind.as_str().to_owned(),
                status: finding.value.as_str().to_owned(),
                reason: finding.reason.as_str().to_owned(),
                message: clipped(&finding.message),
                observed_generation: generation,
                last_transition_time: unchanged
                    .map_or_else(|| Time(whole_seconds(now)), |condition| condition.last_transition_time.clone()),
            }
        })
        .collect()
}

/// Whether the object's condition of this type is True.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// The object's condition of this type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// The time without its fraction: what an object can hold, so that reading it back gives the same.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The text cut to [`MESSAGE_LIMIT`] characters.
pub fn clipped(text: &str) -> String {
    if text.chars().count() <= MESSAGE_LIMIT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MESSAGE_LIMIT - 1).collect();
    short.push('…');
    short
}

/// The text cut to this many bytes, at a character.
pub fn clipped_to_bytes(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit.saturating_sub('…'.len_utf8())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_value() {
        let ready = |value| vec![Finding::new(ConditionType::Ready, value, Reason::Starting, "x")];
        let first = merge(&[], &ready(Value::False), Some(1), at(10));
        let second = merge(&first, &ready(Value::False), Some(2), at(20));
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!(second[0].observed_generation, Some(2));
        let third = merge(&second, &ready(Value::True), Some(2), at(30));
        assert_eq!(third[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn what_is_paused_says_so_however_its_spec_is() {
        let object =
            serde_json::json!({"metadata": {}, "spec": {"clusterRef": {"name": "search"}, "collection": "Articles"}});
        let mut object: elysia_api::ElysiaCollection = serde_json::from_value(object).unwrap();
        for (annotation, reason) in
            [(None, Reason::InvalidSpec), (Some("false"), Reason::InvalidSpec), (Some("true"), Reason::Paused)]
        {
            let annotations = annotation.map(|value| (names::PAUSED_ANNOTATION.to_owned(), value.to_owned()));
            object.metadata.annotations = Some(annotations.into_iter().collect());
            let [ready, stalled] = of_invalid(&object, "no such mode");
            assert_eq!((ready.value, ready.reason), (Value::False, Reason::InvalidSpec), "{annotation:?}");
            assert_eq!((stalled.value, stalled.reason), (Value::True, reason), "{annotation:?}");
            assert!(stalled.message.contains("no such mode"));
        }
    }

    #[test]
    fn stalled_exists_only_while_true() {
        let findings = [Finding::fails(ConditionType::Stalled, Reason::AsDeclared, "")];
        assert!(merge(&[], &findings, None, at(1)).is_empty());
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let text = "é".repeat(MESSAGE_LIMIT + 5);
        assert_eq!(clipped(&text).chars().count(), MESSAGE_LIMIT);
        for limit in [3, 10, 11, 1023] {
            let short = clipped_to_bytes(&text, limit);
            assert!(short.len() <= limit && short.ends_with('…'), "{limit}: {short}");
        }
        assert_eq!(clipped_to_bytes("short", 5), "short");
    }
}
