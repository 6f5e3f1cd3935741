//! What a user lives through, on a real cluster: one journey a file. Run by `cargo xtask e2e [FILTER]`.
//!
//! A journey makes a namespace of its own and waits for what it wants to see, never for a time.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "tests tell their story to a person")]

mod approval;
mod backup;
mod backup_chosen;
mod backup_drill;
mod backup_google;
mod backup_native;
mod backup_plugin;
mod backup_references;
mod bootstrap;
mod cold_start;
mod collection_copy;
mod deletion;
mod drift;
mod examples;
mod external;
mod feed;
mod feed_chunks;
mod feed_guard;
mod feed_partitions;
mod feed_s3;
mod feed_volume;
mod feed_watch;
mod gitops;
mod health;
mod migration;
mod nodes;
mod operator_killed;
mod plugin_collections;
mod plugin_index;
mod recreate;
mod replacement;
mod replicas;
mod schema_update;
mod support;
mod turns;
mod verification;
