//! Where a worker says how it stands: a `ConfigMap` that the operator reads.

#[cfg(test)]
use std::sync::Mutex;

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Mode, Put, Store};
use elysia_engine::backup::restore::Receipt;
use elysia_engine::category::Category;
use elysia_engine::ports::PortError;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::worker::backup::Failure;
use crate::worker::{LEDGER_KEY, chain};

/// Key of a restore's receipt beside its ledger.
const RECEIPT_KEY: &str = "receipt.json";

/// The largest text that is written: an object may have 1 MiB, and a receipt names every part that is done.
const TEXT_BYTES: usize = 768 << 10;

/// A place for two texts: the ledger, and a receipt.
pub(super) trait Board: Sync {
    /// The text under this key.
    fn read(&self, key: &str) -> impl Future<Output = Result<Option<String>, PortError>> + Send;

    /// Writes it over whatever is there.
    fn write(&self, key: &str, text: String) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// A `ConfigMap` that the operator made.
pub(super) struct ConfigMapBoard {
    api: Api<ConfigMap>,
    name: String,
}

impl ConfigMapBoard {
    pub(super) fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    fn error(&self, action: &str, error: &kube::Error) -> PortError {
        let is_retryable = match error {
            kube::Error::Api(status) => status.code >= 500 || [409, 429].contains(&status.code),
            _ => true,
        };
        let message = format!("failed to {action} ConfigMap {}: {}", self.name, chain(error));
        PortError { category: Category::Unknown, retryable: is_retryable, message }
    }
}

impl Board for ConfigMapBoard {
    async fn read(&self, key: &str) -> Result<Option<String>, PortError> {
        let found = self.api.get(&self.name).await.map_err(|error| self.error("read", &error))?;
        Ok(found.data.and_then(|mut data| data.remove(key)).filter(|text| !text.is_empty()))
    }

    async fn write(&self, key: &str, text: String) -> Result<(), PortError> {
        if text.len() > TEXT_BYTES {
            let message = format!("ConfigMap {}: {key} would have {} bytes, over {TEXT_BYTES}", self.name, text.len());
            return Err(PortError { category: Category::Encoding, retryable: false, message });
        }
        let patch = json!({"data": {key: text}});
        let written = self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        written.map(drop).map_err(|error| self.error("write", &error))
    }
}

/// The ledger on a board; `None` when there is none, or none that can be understood: it is made anew from the store.
pub(super) async fn load<T: DeserializeOwned, B: Board>(board: &B) -> Result<Option<T>, Failure> {
    let text = board.read(LEDGER_KEY).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Writes the ledger.
pub(super) async fn save<T: Serialize + Sync, B: Board>(board: &B, ledger: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(ledger).map_err(|error| Failure::permanent(error.to_string()))?;
    Ok(board.write(LEDGER_KEY, text).await?)
}

/// A board as the place of one receipt.
pub(super) struct ReceiptBoard<'a, B>(pub(super) &'a B);

impl<B: Board> Store for ReceiptBoard<'_, B> {
    async fn put(&self, _: &str, bytes: Bytes, _: Mode) -> Result<Put, PortError> {
        self.0.write(RECEIPT_KEY, String::from_utf8_lossy(&bytes).into_owned()).await?;
        Ok(Put::Written)
    }

    async fn get(&self, _: &str, most: u64) -> Result<Got, PortError> {
        Ok(match self.0.read(RECEIPT_KEY).await?.filter(|text| !text.is_empty()) {
            None => Got::Absent,
            Some(text) if text.len() as u64 > most => Got::TooLarge(text.len() as u64),
            Some(text) => Got::Bytes(text.into()),
        })
    }

    async fn folders(&self, _: &str) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    async fn files(&self, _: &str, _: usize) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    /// What is empty is none.
    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        if keys.is_empty() { Ok(()) } else { self.0.write(RECEIPT_KEY, String::new()).await }
    }
}

/// What a receipt on a board says beside what every receipt does: which restore it is of.
const KNOWN_AS: &str = "knownAs";

/// A board as the place of one restore's receipt. That of another one, which was applied under the name before, is not there
/// for it, and is written over.
pub(super) struct RestoreBoard<'a, B> {
    pub(super) board: ReceiptBoard<'a, B>,
    /// What the ledger calls the restore.
    pub(super) known_as: &'a str,
    /// Whether a receipt that does not say so is of it: of before they said so.
    pub(super) is_of: &'a (dyn Fn(&Receipt) -> bool + Sync),
}

impl<B: Board> RestoreBoard<'_, B> {
    /// What cannot be read is told whoever's it is.
    fn is_anothers(&self, bytes: &[u8]) -> bool {
        let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) else { return false };
        let told: Option<Value> = serde_json::from_slice(bytes).ok();
        match told.as_ref().and_then(|told| told.get(KNOWN_AS)?.as_str()) {
            Some(known_as) => known_as != self.known_as,
            None => !(self.is_of)(&receipt),
        }
    }
}

impl<B: Board> Store for RestoreBoard<'_, B> {
    async fn put(&self, key: &str, bytes: Bytes, mode: Mode) -> Result<Put, PortError> {
        let bytes = match serde_json::from_slice(&bytes) {
            Ok(Value::Object(mut receipt)) => {
                receipt.insert(KNOWN_AS.to_owned(), self.known_as.into());
                Value::Object(receipt).to_string().into()
            }
            _ => bytes,
        };
        self.board.put(key, bytes, mode).await
    }

    async fn get(&self, key: &str, most: u64) -> Result<Got, PortError> {
        Ok(match self.board.get(key, most).await? {
            Got::Bytes(bytes) if self.is_anothers(&bytes) => Got::Absent,
            got => got,
        })
    }

    async fn folders(&self, folder: &str) -> Result<Vec<String>, PortError> {
        self.board.folders(folder).await
    }

    async fn files(&self, folder: &str, most: usize) -> Result<Vec<String>, PortError> {
        self.board.files(folder, most).await
    }

    async fn remove(&self, keys: &[String]) -> Result<(), PortError> {
        self.board.remove(keys).await
    }
}

/// A board in memory.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct MemoryBoard(pub(super) Mutex<std::collections::BTreeMap<String, String>>);

#[cfg(test)]
impl Board for MemoryBoard {
    async fn read(&self, key: &str) -> Result<Option<String>, PortError> {
        Ok(self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(key).cloned())
    }

    async fn write(&self, key: &str, text: String) -> Result<(), PortError> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key.to_owned(), text);
        Ok(())
    }
}
