//! Backups as files that outlive the cluster: written, listed, verified and read back over ports.
//!
//! ```text
//! ObjectSource ─▶ write ─▶ part ─▶ Store ─▶ catalogue     what runs there are
//!                 filter   columns, parquet, lines  ├─▶ retire        takes runs away
//!                          digest, roll, seal       ├─▶ verify        is a run what was written
//!                                                   └─▶ restore ─▶ Target
//!                                                       transform
//! ```
//!
//! Memory is bounded by constants, whatever the sizes of collections: [`write::LANES`] parts of [`part::PART_BYTES`] with
//! a page each are under way when a run is written, half as many beside a base whose parts are read as well; verifying
//! holds two parts, restoring one. Of the roll each of them holds one file, [`roll::ROLL_BYTES`].
//!
//! A run may also be a backup that the servers wrote themselves ([`native`]): it is listed, verified and retired like any
//! other, and nothing here reads what is in it.
//!
//! A run exists when its manifest does, which is written last ([`write`]). Lists are quick because owners note what they
//! say ([`stamp`]), and nothing else goes by that. [`manifest`] is the published format;
//! [`layout`] says where its files lie. [`memory`] has the ports in memory, with a fuse that blows at a chosen effect.

pub mod catalogue;
pub mod columns;
pub mod digest;
mod exact;
pub mod filter;
pub mod layout;
pub mod level;
mod lines;
mod living;
pub mod manifest;
pub mod memory;
pub mod native;
pub mod opened;
mod parquet;
pub mod part;
pub mod patient;
pub mod ports;
pub mod references;
pub mod restore;
pub mod retire;
pub mod roll;
pub mod seal;
pub mod stages;
pub mod stamp;
pub mod stored;
mod tally;
pub mod transform;
pub mod verify;
pub mod write;
