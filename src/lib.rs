//! The operator and the plug-in. `main.rs` and `bin/kubectl-elysia.rs` only start what is here.
//!
//! Reconcile is five words everywhere: observe → plan → act → report → requeue. Only `elysia-core` plans, only
//! [`effects`] writes, and waiting is a requeue.

pub mod cli;
pub mod controllers;
pub mod effects;
pub mod runtime;
pub mod sampling;
pub mod worker;
