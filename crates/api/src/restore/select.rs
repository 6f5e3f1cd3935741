//! What a restore takes of a run.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What is taken of the run; an object is taken when all that is said here is true of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("has(self.ids) || has(self.properties) || has(self.tenants) || has(self.filter)")
    .message("select needs at least one of ids, properties, tenants and filter; leave it out to take everything"))]
#[serde(rename_all = "camelCase")]
pub struct Select {
    /// Objects with these ids; at most 1000. Parts of the run that hold none of them are not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1000),
        inner(length(max = 36), regex(pattern = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"))
    )]
    pub ids: Option<Vec<String>>,
    /// These properties; at most 500. A collection that is made has no others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 231)))]
    pub properties: Option<Vec<String>>,
    /// Objects of these tenants; at most 500. No others are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 64)))]
    pub tenants: Option<Vec<String>>,
    /// Objects of which this is true, e.g. `lang = 'en' and not draft`, as `--filter` of the plug-in has it. All
    /// properties of the run can be named, also those that are not selected. `_creationTime` and `_lastUpdateTime` are not
    /// in a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub filter: Option<String>,
}
