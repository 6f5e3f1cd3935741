//! What a restore takes of a backup, and what it makes of it: pure functions on the class and on objects.
//!
//! ```text
//! class of the backup ─▶ Select ─▶ step 1 ─▶ step 2 … ─▶ class that is made       every problem is told, not the first
//! object              ─▶ Select ─▶ step 1 ─▶ step 2 … ─▶ object that is written, or none
//! ```
//!
//! Steps come in their order, each on what the one before it left. The class follows: a renamed, converted or dropped
//! property is renamed, converted or dropped in it, and where vectors are made from. Vectors themselves stay as they are,
//! so a masked text may still be guessed from one that was made of it: leave such a vector out of the collection that is
//! restored into where that matters. A script changes objects alone, and never the class.

mod apply;
mod convert;
mod mask;
mod script;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub use apply::{Made, Unconverted};
pub use convert::TargetType;
pub use script::{Fault, check as check_script, told};
pub(in crate::backup) use shape::property_type;

use super::filter::{Expression, Filter, FilterError};
use super::references::{References, lead_class};
use crate::checkpoint::Digest;
use script::{ALL_SOURCES, Script};
use shape::Shape;

/// What is taken of the backup. What is absent selects everything.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Select {
    /// Objects with these ids. Parts that hold none of them are not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<BTreeSet<Uuid>>,
    /// These properties; the class that is made has no others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<BTreeSet<String>>,
    /// Objects of these tenants; no others are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenants: Option<BTreeSet<String>>,
    /// Objects of which this is true, with all their properties, also those that are not selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expression>,
}

impl Select {
    /// Whether objects of this tenant are taken.
    pub fn takes_tenant(&self, tenant: &str) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Whether any id between these two, which count, is taken.
    pub fn takes_ids(&self, first: Uuid, last: Uuid) -> bool {
        // A part whose bounds are turned round is damaged: it is read, and that is found.
        self.ids.as_ref().is_none_or(|ids| first > last || ids.range(first..=last).next().is_some())
    }
}

/// What becomes of a value that cannot be converted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OnError {
    /// The restore ends, and names the object.
    #[default]
    Fail,
    /// The object is written without the property, and counted.
    DropProperty,
    /// The object is not written, and counted.
    SkipObject,
}

/// What becomes of an object at which a script ends with an error.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OnFault {
    /// The restore or copy ends, and names the object.
    #[default]
    Fail,
    /// The object is not written, and counted.
    SkipObject,
}

/// A text that nobody should read: it is not shown.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Salt(pub String);

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(…)")
    }
}

/// How a value is made unreadable.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum How {
    /// As a number that is the same for the same value, so that equal values stay equal: SHA-256 over the salt and the
    /// value, of a uuid as another uuid. Who has the salt can try values.
    Hash {
        /// Any text, kept secret.
        salt: Salt,
    },
    /// As `[redacted]`.
    Redact {},
    /// As stars, but for the last letters. A text that is no longer than those becomes stars as a whole.
    KeepLast {
        /// How many are kept.
        characters: usize,
    },
}

/// One transformation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// Gives a property another name.
    Rename {
        /// Its name.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Gives a property another type.
    Convert {
        /// Which.
        property: String,
        /// Its new type.
        to: TargetType,
        /// What becomes of values that cannot be converted.
        #[serde(default)]
        on_error: OnError,
    },
    /// Takes a property away.
    Drop {
        /// Which.
        property: String,
    },
    /// Gives a property of every object the same value; `null` takes it away from them.
    Set {
        /// Which; the class has it.
        property: String,
        /// The value, as its type wants it.
        value: Value,
    },
    /// Makes the values of a property unreadable.
    Mask {
        /// Which.
        property: String,
        /// How.
        how: How,
    },
    /// Runs a script over each object, which changes its properties.
    Script {
        /// The script.
        source: String,
        /// What becomes of an object at which it ends with an error.
        #[serde(default)]
        on_error: OnFault,
        /// Whether an object is left out when the last value of the script is false.
        #[serde(default)]
        leaves_out: bool,
    },
    /// Keeps objects of which this is true, as the steps before it left them.
    Where {
        /// What is true of them.
        filter: Expression,
    },
}

impl Step {
    fn script_bytes(&self) -> usize {
        if let Self::Script { source, .. } = self { source.len() } else { 0 }
    }
}

/// Whether the scripts of these steps are small enough together to be handed to a worker.
pub fn scripts_fit(steps: &[Step]) -> Result<(), Problem> {
    let bytes = steps.iter().map(Step::script_bytes).sum();
    if bytes > ALL_SOURCES { Err(Problem::Scripts { bytes }) } else { Ok(()) }
}

/// What is wrong with a selection or a step. `at` is the number of the step, from 1; 0 is the selection.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Problem {
    /// A property that the class never had.
    #[error("{}: the backup has no property `{property}`", place(*.at))]
    UnknownProperty {
        /// Where.
        at: usize,
        /// Which.
        property: String,
    },
    /// A property that went before.
    #[error("{}: `{property}` {how}", place(*.at))]
    Gone {
        /// Where.
        at: usize,
        /// Which.
        property: String,
        /// Where it went.
        how: String,
    },
    /// A conversion that cannot be.
    #[error("{}: `{property}` is {from}, and that is never {to}", place(*.at))]
    Conversion {
        /// Where.
        at: usize,
        /// Which.
        property: String,
        /// Its type.
        from: String,
        /// What it should be.
        to: String,
    },
    /// A new name that another property has. Servers do not tell capitals from small letters here.
    #[error("{}: there is a property `{property}` already", place(*.at))]
    Taken {
        /// Where.
        at: usize,
        /// The other one.
        property: String,
    },
    /// A new name that no property can have.
    #[error("{}: `{property}` is no name for a property: letters, digits and _ are, beginning with a letter", place(*.at))]
    Name {
        /// Where.
        at: usize,
        /// The name.
        property: String,
    },
    /// A value that is not of the property's type.
    #[error("{}: `{property}` is {data_type}, and the value is not", place(*.at))]
    Value {
        /// Where.
        at: usize,
        /// Which.
        property: String,
        /// Its type.
        data_type: String,
    },
    /// A property whose values cannot be masked so.
    #[error("{}: `{property}` is {data_type}, which cannot be masked so: drop or set it instead", place(*.at))]
    Mask {
        /// Where.
        at: usize,
        /// Which.
        property: String,
        /// Its type.
        data_type: String,
    },
    /// A script that cannot be run.
    #[error("{}: the script cannot be run: {}", place(*.at), told(.faults))]
    Script {
        /// Where.
        at: usize,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
    /// Scripts that are too large together.
    #[error("the scripts have {bytes} bytes together, and at most {} are taken: make them shorter", ALL_SOURCES)]
    Scripts {
        /// How large they are.
        bytes: usize,
    },
    /// A filter that does not fit.
    #[error("{}: {error}", place(*.at))]
    Filter {
        /// Where.
        at: usize,
        /// What is wrong with it.
        error: FilterError,
    },
}

fn place(at: usize) -> String {
    if at == 0 { "selection".to_owned() } else { format!("transformation {at}") }
}

/// A selection and steps that fit a class.
#[derive(Clone, Debug)]
pub struct Transformation {
    class: Value,
    ids: Option<BTreeSet<Uuid>>,
    properties: Option<BTreeSet<String>>,
    filter: Option<Filter>,
    steps: Vec<Ready>,
    /// Where references lead in the end, which led to the collection itself, and the properties that are references by then.
    leads: Option<(String, String, References)>,
}

/// A step that fits what the ones before it left.
#[derive(Clone, Debug)]
enum Ready {
    Rename { from: String, to: String },
    Convert { property: String, to: TargetType, on_error: OnError, at: usize },
    Drop { property: String },
    Set { property: String, value: Value },
    Mask { property: String, how: How },
    Script { script: Script, on_error: OnFault, at: usize },
    Where { filter: Filter },
}

impl Transformation {
    /// Compares a selection and steps with the class of a backup, Weaviate's own JSON; answers every problem.
    pub fn of(class: &Value, select: &Select, steps: &[Step]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let checked = select.filter.as_ref().map(|filter| filter.check(class, false)).transpose();
        let filter = checked.unwrap_or_else(|error| {
            problems.push(Problem::Filter { at: 0, error });
            None
        });
        let mut shape = Shape::new(class);
        if let Some(properties) = &select.properties {
            problems.extend(shape.select(properties));
        }
        let mut ready = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            match shape.step(step, number + 1) {
                Ok(step) => ready.push(step),
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(scripts_fit(steps).err());
        if !problems.is_empty() {
            return Err(problems);
        }
        let (ids, properties) = (select.ids.clone(), select.properties.clone());
        Ok(Self { class: shape.into_class(), ids, properties, filter, steps: ready, leads: None })
    }

    /// The same for a collection that becomes another one: what in it leads to itself leads to that one.
    #[must_use]
    pub fn into_collection(mut self, collection: &str, into: &str) -> Self {
        if collection != into {
            lead_class(&mut self.class, collection, into);
            let references = References::of_class(&self.class);
            self.leads = (!references.is_empty()).then(|| (collection.to_owned(), into.to_owned(), references));
        }
        self
    }

    /// Whether an object may be left out.
    pub(crate) fn drops_objects(&self) -> bool {
        let drops = |step: &Ready| match step {
            Ready::Where { .. }
            | Ready::Convert { on_error: OnError::SkipObject, .. }
            | Ready::Script { on_error: OnFault::SkipObject, .. } => true,
            Ready::Script { script, on_error: OnFault::Fail, .. } => script.leaves_out(),
            Ready::Rename { .. }
            | Ready::Convert { .. }
            | Ready::Drop { .. }
            | Ready::Set { .. }
            | Ready::Mask { .. } => false,
        };
        self.ids.is_some() || self.filter.is_some() || self.steps.iter().any(drops)
    }

    /// Does what applies this to many objects, where there is as much stack as its scripts may take.
    pub(crate) fn with_stack<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let has_scripts = self.steps.iter().any(|step| matches!(step, Ready::Script { .. }));
        if has_scripts { script::with_stack(work) } else { work() }
    }

    /// The class that objects fit from then on.
    pub fn class(&self) -> &Value {
        &self.class
    }
}

/// What tells this selection and these steps from others; `None` when there are none. It is no secret: a salt cannot be
/// read from it, and can be tried only together with everything else.
pub fn identity(select: &Select, steps: &[Step]) -> Option<Digest> {
    let is_all = *select == Select::default() && steps.is_empty();
    // Nothing of ours has keys that are no texts, which is all that JSON cannot hold.
    (!is_all).then(|| Digest::of(&serde_json::to_vec(&(select, steps)).unwrap_or_default()))
}
