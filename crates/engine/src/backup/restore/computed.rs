//! Vectors that nobody backed up and that the servers compute all the same.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::backup::manifest::Index;
use crate::vectorizers::computed_vectors;

/// A vector that objects of a backup lack, and that the servers compute as these are written: by a call of the module for
/// each of them, which may cost money. Where the module does not answer the objects are refused.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Computed {
    /// The vector; the one without a name has the empty name.
    pub vector: String,
    /// What computes it.
    pub module: String,
    /// How many objects of the whole collection lack it. A selection may take fewer.
    pub objects: u64,
}

impl fmt::Display for Computed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vector, module, objects } = self;
        let name = if vector.is_empty() { String::new() } else { format!(" `{vector}`") };
        write!(
            f,
            "{objects} objects have no vector{name} in the backup: module {module} computes it as they are written"
        )
    }
}

/// Those of the class that is restored into.
pub(super) fn computed(class: &Value, index: &Index) -> Vec<Computed> {
    let all = || -> u64 {
        let parts = if index.roll.is_empty() { &index.parts } else { &index.roll };
        parts.iter().map(|part| part.contents.objects).sum()
    };
    let lacking = |vector: &str| {
        let is_known = index.columns.vectors.iter().any(|column| column.vector == vector);
        if is_known { index.lacking.get(vector).copied().unwrap_or(0) } else { all() }
    };
    let vectors = computed_vectors(class).into_iter();
    let vectors = vectors.map(|(vector, module)| Computed { objects: lacking(&vector), vector, module });
    vectors.filter(|computed| computed.objects > 0).collect()
}
