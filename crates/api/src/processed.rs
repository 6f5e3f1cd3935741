//! What becomes of a file on a volume once every line of it is counted.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a file once every line of it is counted: exactly one of the two.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("[has(self.rename), has(self.move)].exists_one(there, there)")
    .message("exactly one of processed.rename and processed.move must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Processed {
    /// It gets another name in its folder. Files with such names are not read, whatever `pattern` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<ProcessedRename>,
    /// It goes into another folder of the volume. Files in it are not read, whatever `pattern` says.
    #[serde(rename = "move", skip_serializing_if = "Option::is_none")]
    pub moved: Option<ProcessedMove>,
}

/// A processed file gets another name.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessedRename {
    /// What is put behind its name, e.g. `.processed`. Where a file of that name is there already, a number goes before
    /// it: `day.jsonl.1.processed`.
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^\.[-._a-zA-Z0-9]*[-_a-zA-Z0-9]$"))]
    pub suffix: String,
}

/// A processed file goes into another folder.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessedMove {
    /// The folder, from the top of the volume; it is made where it is missing. The file keeps its own path below
    /// `source.volume.path`. Where a file is there already, a number goes behind the name: `day.jsonl.1`.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^([^/.]|[^/.][^/]*|\.[^/.][^/]*)(/([^/.]|[^/.][^/]*|\.[^/.][^/]*))*$")
    )]
    pub path: String,
}
