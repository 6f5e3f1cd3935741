//! What surrounds the controllers: leadership, probes, metrics, logs.

pub mod leadership;
pub mod logging;
pub mod metrics;
pub mod readiness;
pub mod server;
