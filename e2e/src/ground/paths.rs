//! Where everything is. Nothing of a running ground lies under a checkout, but the file that a shell sources.

use std::env;
use std::path::{Path, PathBuf};

/// The folders of the ground. Two environment variables move them, so that a test may have its own.
#[derive(Clone, Debug)]
pub struct Paths {
    /// What is built once: survives `down`, `cargo clean` and other checkouts.
    pub cache: PathBuf,
    /// What runs: processes, logs, keys, data. One for each machine.
    pub state: PathBuf,
    /// The root of this checkout.
    pub checkout: PathBuf,
    /// Cargo's target folder of this checkout.
    pub target: PathBuf,
}

impl Paths {
    /// The folders for this process' environment.
    pub fn from_environment() -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let checkout = manifest.parent().unwrap_or(manifest).to_path_buf();
        let variable = |name: &str, default: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| default.into()));
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout.join("target"), PathBuf::from);
        Self {
            cache: variable("ELYSIA_GROUND_CACHE", "/var/cache/elysia-ground"),
            state: variable("ELYSIA_GROUND_STATE", "/var/lib/elysia-ground"),
            checkout,
            target,
        }
    }

    /// The pinned Go modules of this checkout.
    pub(crate) fn modules(&self) -> PathBuf {
        self.checkout.join("e2e/ground/modules")
    }

    /// The source of our own pause program.
    pub(crate) fn pause_source(&self) -> PathBuf {
        self.checkout.join("e2e/ground/pause")
    }

    /// The source of what GitOps tools say of objects.
    pub(crate) fn judge_source(&self) -> PathBuf {
        self.checkout.join("e2e/judge")
    }

    /// The source of what evaluates alerts.
    pub(crate) fn alerts_source(&self) -> PathBuf {
        self.checkout.join("e2e/alerts")
    }

    /// The source of the server that speaks as Google Cloud Storage does.
    pub(crate) fn gcs_source(&self) -> PathBuf {
        self.checkout.join("e2e/gcs")
    }

    /// What npm needs to install the emulator of Azure's storage.
    pub(crate) fn azurite_source(&self) -> PathBuf {
        self.checkout.join("e2e/ground/azurite")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.state.join("log").join(format!("{name}.log"))
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    /// The administrator's kubeconfig: what `KUBECONFIG` in the env file names.
    pub fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// What a shell sources to reach the ground: see [`super::Ground::write_environment`].
    pub fn environment_file(&self) -> PathBuf {
        self.target.join("ground/env")
    }
}
