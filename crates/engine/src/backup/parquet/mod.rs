//! Parts as Apache Parquet, written column by column: `arrow` is not needed for it.
//!
//! One leaf of the schema is one [`Leaf`]: values with the levels that say where rows and lists begin. The order of leaves
//! is that of [`schema`], in writing and in reading.

mod leaf;
mod read;
mod schema;
mod write;

pub(super) use read::read;
pub(super) use write::Writer;
