//! How a feed cuts texts.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Into which chunks texts are cut: at the last empty line, line break or space in a chunk's second half, at the latest
/// after `size` characters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("!has(self.overlap) || self.overlap * 2 <= self.size")
    .message("chunking.overlap must be at most half of chunking.size"))]
#[serde(rename_all = "camelCase")]
pub struct Chunking {
    /// Characters of a chunk, at most, e.g. 1000.
    #[schemars(range(min = 100, max = 16_777_216))]
    pub size: i32,
    /// Characters of the chunk before it that a chunk begins with, at most, e.g. 100; 0 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 8_388_608))]
    pub overlap: Option<i32>,
}
