//! What surrounds the controllers: leadership, probes, metrics, logs, patience.

pub mod leadership;
pub mod logging;
pub mod metrics;
pub mod patience;
pub mod readiness;
pub mod server;
