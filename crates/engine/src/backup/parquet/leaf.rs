//! One leaf of the schema: its values, and the levels that say where they belong.

use std::iter::repeat_n;

use jiff::Timestamp;
use parquet::data_type::ByteArray;
use serde_json::{Number, Value};

/// Above this a double no longer holds every integer (2^53).
const WHOLE_NUMBERS: f64 = 9_007_199_254_740_992.0;

/// Values of one leaf.
#[derive(Debug)]
pub(super) enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Float(Vec<f32>),
    Boolean(Vec<bool>),
}

/// One leaf. A required one has levels too, which are not written.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) definition: Vec<i16>,
    pub(super) repetition: Vec<i16>,
    pub(super) values: Values,
}

impl Leaf {
    pub(super) fn new(values: Values) -> Self {
        Self { definition: Vec::new(), repetition: Vec::new(), values }
    }

    /// Levels for this many places of one kind.
    pub(super) fn level(&mut self, definition: i16, repetition: i16, times: usize) {
        self.definition.extend(repeat_n(definition, times));
        self.repetition.extend(repeat_n(repetition, times));
    }

    /// A row without a value.
    pub(super) fn null(&mut self) {
        self.level(0, 0, 1);
    }

    /// Levels of a row's list, one level deep.
    pub(super) fn list(&mut self, length: usize) {
        match length {
            0 => self.level(1, 0, 1),
            length => {
                self.level(2, 0, 1);
                self.level(2, 1, length - 1);
            }
        }
    }

    /// Empties it, and keeps its memory.
    pub(super) fn clear(&mut self) {
        let Self { definition, repetition, values } = self;
        definition.clear();
        repetition.clear();
        match values {
            Values::Text(values) => values.clear(),
            Values::Int(values) => values.clear(),
            Values::Double(values) => values.clear(),
            Values::Float(values) => values.clear(),
            Values::Boolean(values) => values.clear(),
        }
    }
}

/// A double as the server writes it into JSON: `3`, not `3.0`.
pub(super) fn number(value: f64) -> Value {
    let is_whole = value.fract() == 0.0 && value.abs() < WHOLE_NUMBERS;
    if is_whole && !(value == 0.0 && value.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "the guard is the bound")]
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// A time as the server writes it; `None` where no calendar reaches.
pub(super) fn date(microseconds: i64) -> Option<Value> {
    Timestamp::from_microsecond(microseconds).ok().map(|at| Value::String(at.to_string()))
}
