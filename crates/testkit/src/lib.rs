//! Test doubles.

pub mod weaviate;
