//! A script as a step: a pure function of one object, compiled once and run for each.
//!
//! ```text
//! source ─▶ compiled, looked through ─▶ object's properties as a map ─▶ run ─▶ what is left of it, checked by the class
//! ```
//!
//! It sees properties, id and tenant. Vectors, references and types that this version does not know are not in the map, and stay.

mod language;
mod looks;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::sync::Arc;

use rhai::{AST, Dynamic, EvalAltResult, Map, Scope};
use serde_json::Value;

use crate::object::Object;
use language::{ID, LANGUAGE, LONGEST_TEXT, MOST_CALLS, MOST_OPERATIONS, MOST_VALUES, OBJECT, TENANT};
use values::Types;

pub(super) use language::with_stack;

/// Bytes of one script: what people read through before they approve it; the definitions say the same.
pub(super) const LARGEST_SOURCE: usize = 16 << 10;
/// Bytes of all scripts of one list of steps. They stand in one variable of a Job's pod, which Linux holds to 128 KiB, and
/// JSON doubles what it escapes.
pub(super) const ALL_SOURCES: usize = 48 << 10;
/// Letters of an error that a script threw, in a message: a sentence or two.
const LONGEST_WORDS: usize = 300;

/// What is wrong in a script, or went wrong in it.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Fault {
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// What.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        formatter.write_str(&self.what)
    }
}

/// Faults as one text.
pub fn told(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads a script of which the class is not known; answers what is wrong with it.
pub fn check(source: &str) -> Result<(), Vec<Fault>> {
    looks::compile(source, None).map(|_| ())
}

/// A script that fits a class.
#[derive(Clone, Debug)]
pub(super) struct Script {
    ast: Arc<AST>,
    types: Arc<Types>,
    leaves_out: bool,
}

impl Script {
    /// For a class, as the steps before leave it.
    pub(super) fn of(source: &str, leaves_out: bool, class: &Value) -> Result<Self, Vec<Fault>> {
        let types = Types::of_class(class);
        let ast = looks::compile(source, Some(&types))?;
        Ok(Self { ast: Arc::new(ast), types: Arc::new(types), leaves_out })
    }

    /// Whether it may leave objects out.
    pub(super) fn leaves_out(&self) -> bool {
        self.leaves_out
    }

    /// Runs it on one object; whether that is kept. One that is not, or at which it ended, is nothing to go on with.
    pub(super) fn run(&self, object: &mut Object, tenant: Option<&str>) -> Result<bool, Fault> {
        let mut scope = Scope::new();
        scope.push(OBJECT, self.types.given(&object.properties)).push_constant(ID, object.id.to_string());
        scope.push_constant_dynamic(TENANT, tenant.map_or(Dynamic::UNIT, Into::into));
        language::begin();
        let result = LANGUAGE.eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast).map_err(|error| fault(*error))?;
        if !self.keeps(&result)? {
            return Ok(false);
        }
        let Some(left) = scope.get_value_ref::<Map>(OBJECT) else {
            return Err(Fault { place: None, what: format!("it made something else than a map of `{OBJECT}`") });
        };
        let taken = self.types.take(left, &mut object.properties);
        taken.map(|()| true).map_err(|misfit| Fault { place: None, what: misfit.into_words() })
    }

    /// What the last value of the script says.
    fn keeps(&self, result: &Dynamic) -> Result<bool, Fault> {
        let wrong = |what: &str| Err(Fault { place: None, what: what.to_owned() });
        match (self.leaves_out, result.as_bool()) {
            (true, Ok(keeps)) => Ok(keeps),
            (true, Err(_)) if result.is_unit() => Ok(true),
            (true, Err(_)) => {
                wrong("its last value is neither true nor false: with `leavesOut` that says what is kept")
            }
            (false, Ok(false)) => wrong(
                "its last value is false, which leaves an object out: say `leavesOut: true` if that is meant, or end the \
                 last line with a semicolon",
            ),
            (false, _) => Ok(true),
        }
    }
}

/// What ended a script, without values of the object: a message is read by others than the data.
fn fault(error: EvalAltResult) -> Fault {
    let place = looks::place(error.position());
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => {
            let inner = fault(*inner);
            Fault { place: inner.place.or(place), ..inner }
        }
        other => Fault { place, what: words(other) },
    }
}

fn words(error: EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorTooManyOperations(_) | EvalAltResult::ErrorTerminated(..) => {
            format!("it takes more than {MOST_OPERATIONS} steps for one object")
        }
        EvalAltResult::ErrorStackOverflow(_) => format!("functions call one another more than {MOST_CALLS} deep"),
        EvalAltResult::ErrorDataTooLarge(..) => {
            format!("a value has more than {LONGEST_TEXT} bytes of text or {MOST_VALUES} values in lists or maps")
        }
        // Behind these stand the numbers and texts themselves.
        EvalAltResult::ErrorArithmetic(text, _) => {
            text.split([':', '\'']).next().unwrap_or_default().trim_end().to_owned()
        }
        EvalAltResult::ErrorIndexNotFound(..) => "there is nothing at this index".to_owned(),
        EvalAltResult::ErrorRuntime(value, _) => bounded(&format!("it threw {value}")),
        mut other => {
            other.clear_position();
            bounded(&other.to_string())
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(LONGEST_WORDS).collect()
}
