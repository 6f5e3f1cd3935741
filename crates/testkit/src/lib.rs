//! Test doubles.

pub mod kubernetes;
pub mod weaviate;
