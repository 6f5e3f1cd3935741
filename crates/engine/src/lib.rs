//! Feeds of change lines, indexed into a collection: bounded streams over ports.
//!
//! ```text
//! Source ─▶ feed ─▶ line ─▶ step ─▶ window ─▶ flight ─▶ plan ─▶ commit ─▶ Sink        several windows at once
//!           files   JSON    what    some      which     pure    puts,
//!           lines   rules   it does lines     may go            deletes, and of long documents tail: piece by piece
//!                                                         settle ─▶ LedgerStore        one after the other
//! ```
//!
//! The engine knows no server, no cluster and no clock: [`ports`] names what it needs, [`memory`] has small real
//! implementations. It is exact: [`window`] says why a crash at any moment changes neither objects nor counts, and the
//! property tests of [`run`] try to break it.

mod ahead;
pub mod backup;
mod begin;
pub mod breaker;
pub mod category;
pub mod checkpoint;
pub mod chunk;
mod commit;
pub mod compression;
pub mod copy;
pub mod counts;
pub mod feed;
pub mod flight;
pub mod follow;
pub mod guard;
pub mod identity;
mod keeper;
pub mod ledger;
pub mod line;
pub mod mapping;
pub mod memory;
pub mod object;
mod overlay;
pub mod pace;
pub mod partition;
pub mod ports;
pub mod progress;
pub mod put_away;
pub mod reader;
pub mod rejection;
pub mod rejects;
pub mod replay;
pub mod retry;
pub mod run;
mod same;
mod settle;
pub mod step;
mod tail;
pub mod validation;
pub mod vectorizers;
pub mod window;
