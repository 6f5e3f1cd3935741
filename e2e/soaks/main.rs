//! The long tests that need a real cluster. Run by `cargo xtask soak NAME`; nothing here runs by itself.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "tests tell their story to a person")]

mod adversary;
mod collections;
mod feeds;
#[path = "../journeys/nodes.rs"]
#[allow(dead_code, reason = "the journeys use the rest of it")]
mod nodes;
mod oracle;
#[path = "../journeys/support.rs"]
#[allow(dead_code, reason = "the journeys use the rest of it")]
mod support;
#[path = "../journeys/turns.rs"]
mod turns;
