//! Bringing the ground up, asking whether it is up, and taking it down.

mod addons;
mod alerts;
mod azurite;
mod build;
mod containerd;
mod control_plane;
mod host;
mod image;
mod judge;
mod kubectl;
mod leavings;
mod modules;
mod network;
mod node;
mod operator;
mod packages;
mod paths;
mod pki;
mod process;
mod progress;
mod up;
mod volumes;

pub use self::alerts::{Alerts, evaluate_alerts, rendered};
pub use self::azurite::azurite;
pub use self::image::{Entry, ImageRecipe};
pub use self::judge::{Judgement, judge};
pub use self::kubectl::Kubectl;
pub use self::modules::downloaded;
pub use self::network::NODE_ADDRESS;
pub use self::operator::{DeployTarget, NAMESPACE, OperatorImage, build_operator_image, cargo, deploy};
pub use self::paths::Paths;
pub use self::pki::server_certificate;
pub use self::progress::{elapsed, say, wait_for_every};
pub use self::up::{
    DEFAULT_WEAVIATE, Ground, Options, TOOLS_IMAGE, build_object_servers, down, gcs_server, s3_server, up,
    weaviate_server,
};

pub(crate) use self::host::{program, tail};
pub(crate) use self::leavings::mounts_under;
pub(crate) use self::operator::compile;
pub(crate) use self::process::{Identity, kill};
pub(crate) use self::progress::wait_for;
