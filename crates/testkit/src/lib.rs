//! Test doubles.

pub mod conditions;
pub mod kubernetes;
pub mod weaviate;
