//! The laws of copies, against a world in memory in which others write meanwhile and the copier is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod guarded;
mod interleaved;
mod killed;
mod linked;
mod world;
