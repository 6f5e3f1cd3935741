//! Backups as files that outlive the cluster: written, listed, verified and read back over ports.
//!
//! ```text
//! ObjectSource ─▶ write ─▶ part ─▶ Store ─▶ catalogue     what runs there are
//!                                           ├─▶ retire     takes runs away
//!                          columns, parquet, lines  ├─▶ verify        is a run what was written
//!                          digest                   └─▶ restore ─▶ Target
//! ```
//!
//! A run exists when its manifest does, which is written last ([`write`]). [`manifest`] is the published format;
//! [`layout`] says where its files lie. [`memory`] has the ports in memory, with a fuse that blows at a chosen effect.

pub mod catalogue;
pub mod columns;
pub mod digest;
mod exact;
pub mod layout;
mod lines;
pub mod manifest;
pub mod memory;
mod parquet;
pub mod part;
pub mod ports;
pub mod restore;
pub mod retire;
pub mod stored;
pub mod verify;
pub mod write;
