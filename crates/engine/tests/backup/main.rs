//! The laws of backups, against ports in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod ahead;
mod aliases;
mod chosen;
mod computed;
mod drilled;
mod faults;
mod incremental;
mod interleaved;
mod killed;
mod lacking;
mod linked;
mod meddled;
mod profile;
#[path = "../support/random.rs"]
mod random;
mod resting;
mod restored;
mod retired;
mod sealed;
mod soak;
mod world;
