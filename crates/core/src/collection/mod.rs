//! `ElysiaCollection`: how a collection differs from what is declared, and what may be done about it.

pub mod bootstrap;
pub mod claims;
pub mod copies;
pub mod deletion;
pub mod happening;
pub mod judge;
pub mod migration;
pub mod observed;
pub mod plan;
pub mod recreate;
pub mod repair;
pub mod schema;
pub mod spec;

pub use observed::{ClusterSight, Observed, Operation, OperationState, ReplicaView, Stage};
pub use plan::{Plan, Questions, Step, called_off, over_at_once, plan, plan_of_invalid, questions};
pub use recreate::{Cursor, Evidence, Journal, Purpose};
pub use spec::CollectionSpec;
