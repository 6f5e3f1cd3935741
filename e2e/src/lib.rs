//! The ground: a real Kubernetes node on one Linux machine, from real parts, for development, tests and the demo.
//!
//! ```text
//! cargo xtask up ─▶ ground::up ─┬▶ packages, build   what is installed or built once, and kept in the cache
//!                               ├▶ leavings          what an earlier ground left when it was killed: found, removed
//!                               ├▶ network, pki      what this run makes anew
//!                               └▶ node              etcd, control plane, containerd, kubelet, proxy; then addons, volumes
//! ```
//!
//! `servers` is a lab beside it: real Weaviate processes without Kubernetes, as many as are wanted at once; `host_operator` runs the operator as a process
//! beside them, `s3` a server of objects, and `stores` those that speak as Google and Azure do.
//!
//! There is one ground for each machine, not for each checkout: its state is in one folder, and everything of it can
//! be found from there, whoever started it and however it ended. That is what lets `up` work after any kill and lets
//! `down` prove that nothing is left.

#![allow(clippy::print_stdout, reason = "a person waits for these commands: progress is their output")]

pub mod gitops;
pub mod ground;
pub mod host_operator;
pub mod s3;
pub mod servers;
pub mod stores;
