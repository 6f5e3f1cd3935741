//! A live copy of one collection into another.

pub mod work;

/// Environment variable with a copy's work as JSON: [`work::CopyWork`].
pub const COPY_WORK_VARIABLE: &str = "ELYSIA_COPY_WORK";
/// Environment variable with the API key of the cluster that is copied to, where that is another one. The key of the one
/// that is read comes in the variable of all workers.
pub const TARGET_API_KEY_VARIABLE: &str = "ELYSIA_TARGET_WEAVIATE_API_KEY";
