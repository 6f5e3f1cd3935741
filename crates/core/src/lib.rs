//! Decisions as pure functions: what was observed and what is wanted become plans, verdicts and conditions.
//!
//! Nothing here can look at a clock, a network, a file or a dice: the time is an argument and every map is ordered, so
//! the same observation gives the same plan, printed the same. `clippy.toml` beside this crate holds it to that.

pub mod backup;
pub mod cluster;
pub mod collection;
pub mod condition;
pub mod copy;
pub mod covers;
pub mod feed;
pub mod fingerprint;
pub mod health;
pub mod lease;
pub mod pace;
pub mod profile;
pub mod provenance;
pub mod recommendations;
pub mod restore;
pub mod retention;
pub mod schedule;
pub mod sight;
pub mod verification;
pub mod version;
