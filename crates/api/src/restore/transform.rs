//! What a restore makes of the objects of a run. The shape is that of the plug-in's `--transform`, but for the salt, which
//! stands in a Secret here.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Empty, SecretKeyReference};

/// One step: exactly one of these. Steps come in their order, each on what the one before it left. The class that is made
/// follows. Vectors stay as they are, so that a masked text may still be guessed from one that was made of it.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.rename), has(self.convert), has(self.drop), has(self.set), has(self.mask), has(self.script), has(self.where)].exists_one(there, there)")
    .message("each step of transform is exactly one of rename, convert, drop, set, mask, script and where"))]
#[serde(rename_all = "camelCase")]
pub struct TransformStep {
    /// Gives a property another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<Rename>,
    /// Gives a property another type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert: Option<Convert>,
    /// Takes a property away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<Drop>,
    /// Gives a property of every object the same value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<Set>,
    /// Makes the values of a property unreadable: of texts, and by `hash` of ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// Runs a script over each object, which changes its properties: a function of that object alone, written in Rhai
    /// (<https://rhai.rs/book>). It may be run several times for one object: there are no files, no network, no clock and no
    /// random numbers in it, and nothing stays from one object to the next. It is looked through before the first write, and
    /// what is wrong is told with line and column. The class stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Keeps only objects of which something is true, as the steps before it left them.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub keep: Option<Where>,
}

/// Gives a property another name.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rename {
    /// Its name.
    #[schemars(length(min = 1, max = 231))]
    pub from: String,
    /// Its new name.
    #[schemars(length(min = 1, max = 231))]
    pub to: String,
}

/// Gives a property another type.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Convert {
    /// Which.
    #[schemars(length(min = 1, max = 231))]
    pub property: String,
    /// Its new type.
    #[schemars(regex(pattern = r"^(text|int|number|boolean|date|uuid)(\[\])?$"), length(max = 16))]
    pub to: String,
    /// What becomes of a value that cannot be converted; `Fail` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
}

/// What becomes of a value that cannot be converted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnError {
    /// The restore ends, and names the object. What was written before it stays.
    #[default]
    Fail,
    /// The object is written without the property.
    DropProperty,
    /// The object is not written.
    SkipObject,
}

/// Takes a property away.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drop {
    /// Which.
    #[schemars(length(min = 1, max = 231))]
    pub property: String,
}

/// Gives a property of every object the same value.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Set {
    /// Which; the class has it.
    #[schemars(length(min = 1, max = 231))]
    pub property: String,
    /// The value, as the property's type wants it. Left out: the property is taken away from every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "anything")]
    pub value: Option<serde_json::Value>,
}

fn anything(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// Makes the values of a property unreadable.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mask {
    /// Which.
    #[schemars(length(min = 1, max = 231))]
    pub property: String,
    /// How.
    pub how: How,
}

/// How values are made unreadable: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.hash), has(self.redact), has(self.keepLast)].exists_one(there, there)")
    .message("exactly one of hash, redact and keepLast must be set"))]
#[serde(rename_all = "camelCase")]
pub struct How {
    /// As a number that is the same for the same value, so that equal values stay equal: SHA-256 over the salt and the
    /// value, of an id as another id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hash>,
    /// As `[redacted]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redact: Option<Empty>,
    /// As stars, but for the last letters. A text that is no longer than those becomes stars as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<KeepLast>,
}

/// With which salt values are hashed.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hash {
    /// A key of a Secret in the same namespace with any text. Who has it can try values; the same text gives the same
    /// numbers in another restore.
    pub salt_secret_ref: SecretKeyReference,
}

/// How many letters are kept.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepLast {
    /// The last so many.
    #[schemars(range(min = 0, max = 1000))]
    pub characters: i32,
}

/// A script that changes the properties of each object.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// The script. `object` is a map of the properties, as the steps before it left them; one that is absent is `()`, and one
    /// that is set to `()` is taken away. `id` is the id, a text, and `tenant` the tenant, `()` without tenants. What it leaves
    /// in `object` must be of the types of the class. Vectors and cross-references are not in it, and stay. For one object it
    /// may take a million steps, and its values may have 16 MiB of text and 10,000 entries of lists. At most 16 KiB, and 48 KiB
    /// with all scripts of the list.
    #[schemars(length(min = 1, max = 16384))]
    pub source: String,
    /// What becomes of an object at which the script ends with an error, or leaves a value that its property cannot hold; `Fail`
    /// when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnFault>,
    /// Whether the script may leave objects out: those for which its last value is `false`. Without it that is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves_out: Option<bool>,
}

/// What becomes of an object at which the script ends with an error, or leaves a value that its property cannot hold; `Fail`
/// when left out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnFault {
    /// The restore or migration ends, and names the object. What was written before it stays.
    #[default]
    Fail,
    /// The object is not written.
    SkipObject,
}

/// Keeps only objects of which something is true.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Where {
    /// As `select.filter`, on what the steps before it left.
    #[schemars(length(min = 1, max = 4096))]
    pub filter: String,
}
