//! The ledger in its `ConfigMap`.

use elysia_engine::category::Category;
use elysia_engine::ledger::Ledger;
use elysia_engine::ports::{LedgerStore, PortError, SaveError, Stored};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{LEDGER_KEY, chain};

/// The largest ledger that is written. An object may have 1 MiB; three quarters of it leave room for what else is in it.
/// Without records of files a ledger stays far below; a thousand records take about 350 KiB.
const LEDGER_BYTES: usize = 768 << 10;

const CONFLICT: u16 = 409;
const TOO_MANY_REQUESTS: u16 = 429;

/// A ledger in a `ConfigMap` that the operator made.
pub(super) struct ConfigMapLedger {
    api: Api<ConfigMap>,
    name: String,
}

impl ConfigMapLedger {
    pub(super) fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    fn error(&self, action: &str, error: &kube::Error) -> PortError {
        let (category, retryable) = match error {
            kube::Error::Api(status) => {
                (Category::Unknown, status.code >= 500 || [CONFLICT, TOO_MANY_REQUESTS].contains(&status.code))
            }
            _ => (Category::Network, true),
        };
        let message = format!("failed to {action} ConfigMap {}: {}", self.name, chain(error));
        PortError { category, retryable, message }
    }

    fn unfit(&self, problem: &str) -> PortError {
        let message = format!("ConfigMap {}: {problem}", self.name);
        PortError { category: Category::Encoding, retryable: false, message }
    }
}

impl LedgerStore for ConfigMapLedger {
    async fn load(&self) -> Result<Stored, PortError> {
        let found = self.api.get(&self.name).await.map_err(|error| self.error("read", &error))?;
        let text = found.data.and_then(|mut data| data.remove(LEDGER_KEY)).filter(|text| !text.is_empty());
        let ledger = text.map(|text| serde_json::from_str(&text)).transpose();
        let ledger =
            ledger.map_err(|error| self.unfit(&format!("holds no ledger ({error}); delete it to begin anew")))?;
        Ok(Stored { ledger, version: found.metadata.resource_version.unwrap_or_default() })
    }

    async fn save(&self, ledger: &Ledger, version: &str) -> Result<String, SaveError> {
        let text = serde_json::to_string(ledger).map_err(|error| self.unfit(&error.to_string()))?;
        if text.len() > LEDGER_BYTES {
            return Err(self.unfit(&format!("the ledger has {} bytes, over {LEDGER_BYTES}", text.len())).into());
        }
        // With the version in it, the patch is refused when anybody wrote in between.
        let patch = json!({"metadata": {"resourceVersion": version}, "data": {LEDGER_KEY: text}});
        match self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(written) => Ok(written.metadata.resource_version.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => Err(SaveError::Conflict),
            Err(error) => Err(self.error("write", &error).into()),
        }
    }
}
