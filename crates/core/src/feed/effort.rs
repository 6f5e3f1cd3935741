//! How hard a worker tries.

use elysia_api::index_source::IndexSourceSpec;
use jiff::SignedDuration;

/// How much a worker sends at once, and with what it meets failures. What is absent is the worker's to choose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Effort {
    /// Batches under way at once.
    pub parallelism: Option<i32>,
    /// Objects of one batch.
    pub batch_objects: Option<i32>,
    /// Bytes of one batch.
    pub batch_bytes: Option<i32>,
    /// Attempts of one call.
    pub attempts: Option<i32>,
    /// The longest wait after the first failure.
    pub retry_base: Option<SignedDuration>,
    /// The longest wait of all.
    pub retry_cap: Option<SignedDuration>,
    /// Failures in a row at which the circuit breaker opens.
    pub breaker_failures: Option<i32>,
    /// How long it stays open.
    pub breaker_cooldown: Option<SignedDuration>,
}

impl Effort {
    pub(super) fn of(spec: &IndexSourceSpec) -> Result<Self, String> {
        let time = |field: &str, text: Option<&String>| {
            let read =
                |text: &String| wait(text).ok_or_else(|| format!("spec.{field}: {text} is no time such as 200ms"));
            text.map(read).transpose()
        };
        Ok(Self {
            parallelism: spec.parallelism,
            batch_objects: spec.batch.objects,
            batch_bytes: spec.batch.bytes,
            attempts: spec.retry.max,
            retry_base: time("retry.base", spec.retry.base.as_ref())?,
            retry_cap: time("retry.cap", spec.retry.cap.as_ref())?,
            breaker_failures: spec.circuit_breaker.failures,
            breaker_cooldown: time("circuitBreaker.cooldown", spec.circuit_breaker.cooldown.as_ref())?,
        })
    }
}

/// `200ms`, `20s`, `1m`.
pub(super) fn wait(text: &str) -> Option<SignedDuration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number = number.parse::<i64>().ok()?;
    let milliseconds = match unit {
        "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    Some(SignedDuration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_is_read_from_its_fields() {
        let spec: IndexSourceSpec = serde_json::from_value(serde_json::json!({
            "clusterRef": {"name": "search"}, "collection": "Articles", "source": {"configMap": {"name": "feed"}},
            "parallelism": 3, "batch": {"objects": 100, "bytes": 65536},
            "retry": {"max": 4, "base": "50ms", "cap": "2s"}, "circuitBreaker": {"failures": 2, "cooldown": "1m"},
        }))
        .unwrap();
        let effort = Effort::of(&spec).unwrap();
        let wanted = Effort {
            parallelism: Some(3),
            batch_objects: Some(100),
            batch_bytes: Some(65_536),
            attempts: Some(4),
            retry_base: Some(SignedDuration::from_millis(50)),
            retry_cap: Some(SignedDuration::from_secs(2)),
            breaker_failures: Some(2),
            breaker_cooldown: Some(SignedDuration::from_secs(60)),
        };
        assert_eq!(effort, wanted);
        for text in ["", "ms", "5", "5h", "-5s", "99999999999999999999s"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}
