//! Test doubles.

pub mod conditions;
pub mod grpc;
pub mod kubernetes;
pub mod weaviate;
