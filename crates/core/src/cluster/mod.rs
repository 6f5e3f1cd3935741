//! `WeaviateCluster`: which objects it consists of, how it stands, and what brings it nearer to its spec.

pub mod desired;
pub mod engine;
pub mod judge;
pub mod observed;
mod own_backups;
pub mod plan;
pub mod probe;
pub mod spec;

pub use observed::{MemberSight, NodeAnswer, NodeSight, Observed, PodView, StatefulSetView};
pub use own_backups::BACKUP_MODULE;
pub use plan::{Plan, Step, plan};
pub use spec::{ClusterSpec, Kind, NodeAddress, PROTECTED_ALWAYS, SpecError, VerifyData, matches_pattern};
