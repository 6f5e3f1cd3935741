//! What the engine asks of the world: files, a collection, a place for the ledger, time and chance.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncRead;
use uuid::Uuid;

use crate::category::Category;
use crate::checkpoint::Digest;
use crate::chunk;
use crate::ledger::Ledger;
use crate::object::Object;

/// A call to a port failed. The message says what failed and to which thing, without the engine's knowledge.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct PortError {
    /// The kind of fault.
    pub category: Category,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// What failed, with its causes.
    pub message: String,
}

/// A file of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, by which the ledger knows it.
    pub name: String,
    /// How large it is.
    pub size: u64,
    /// Names what is in it, where the source can tell: as long as it is the same, not a byte has changed.
    pub version: Option<String>,
    /// What it must be, where that was fixed when the run was made.
    pub expected: Option<Digest>,
}

/// What became of a file that was to be put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutAway {
    /// It is where it was to go, by this call or an earlier one.
    Done,
    /// It is not what was counted, or not there: nothing was done.
    Changed,
    /// Something else is where it was to go: nothing was done.
    Occupied,
}

/// Files of lines.
pub trait Source: Sync {
    /// A file that is read from its beginning.
    type Reader: AsyncRead + Unpin + Send;

    /// All files of the feed in the order in which they are read: the same order whenever it is asked.
    fn list(&self) -> impl Future<Output = Result<Vec<FileEntry>, PortError>> + Send;

    /// Opens one of them at its beginning: what a checkpoint covers is hashed before reading goes on behind it.
    fn open(&self, file: &FileEntry) -> impl Future<Output = Result<Self::Reader, PortError>> + Send;

    /// Opens one of them at this byte, if it can see to it that every byte comes from this very version; `None` where it
    /// cannot.
    fn open_at(
        &self,
        file: &FileEntry,
        offset: u64,
    ) -> impl Future<Output = Result<Option<Self::Reader>, PortError>> + Send {
        let _ = (file, offset);
        std::future::ready(Ok(None))
    }

    /// Whether files leave their place once every line of them is counted.
    fn puts_away(&self) -> bool {
        false
    }

    /// The name that this file may have from then on: nothing has it now. `None` for a file that stays.
    fn destination(&self, file: &str) -> impl Future<Output = Result<Option<String>, PortError>> + Send {
        let _ = file;
        std::future::ready(Ok(None))
    }

    /// Gives a file of this version another name, under which it is not listed. Nothing is written over, and what an
    /// earlier call did is found out.
    fn put_away(&self, file: &str, version: &str, to: &str) -> impl Future<Output = Result<PutAway, PortError>> + Send {
        let _ = (file, version, to);
        std::future::ready(Ok(PutAway::Changed))
    }
}

/// One object that the server refused while it took others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub id: Uuid,
    /// In the server's words.
    pub error: PortError,
}

/// The collection.
pub trait Sink: Sync {
    /// The objects with these ids, with properties and vectors, as a majority of replicas knows them. Ids without an
    /// object are left out; an object must never be left out because one replica lacks it.
    fn fetch(&self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Object>, PortError>> + Send;

    /// Which of these ids have an object, as a majority of replicas knows it. One is never left out because one replica
    /// lacks it.
    fn present(&self, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Uuid>, PortError>> + Send;

    /// How many documents the collection has, rather too few than too many; `None` when that cannot be told. All its
    /// objects are documents, or only those that have a 0 in the property `numbered`.
    fn count(&self, numbered: Option<&str>) -> impl Future<Output = Result<Option<u64>, PortError>> + Send;

    /// How many chunks documents say in this property that they have, as a majority of replicas knows it. Those without
    /// an object are left out; one must never be left out because one replica lacks it.
    fn chunk_counts(
        &self,
        ids: &[Uuid],
        property: &str,
    ) -> impl Future<Output = Result<Vec<(Uuid, u64)>, PortError>> + Send {
        async move {
            let found = self.fetch(ids).await?;
            Ok(found.into_iter().map(|head| (head.id, chunk::count(head.properties.get(property)))).collect())
        }
    }

    /// Writes these objects over whatever has their ids. `Ok` names those that were refused; all others are confirmed.
    /// `Err` says nothing about any of them.
    fn put(&self, objects: &[&Object]) -> impl Future<Output = Result<Vec<Refusal>, PortError>> + Send;

    /// Deletes what has these ids; an id without an object is no error. `Ok` = none of them is there any more.
    fn delete(&self, ids: &[Uuid]) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// A ledger as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What is stored; `None` when nothing is yet.
    pub ledger: Option<Ledger>,
    /// Names this state of the store: a write with an older one is a conflict.
    pub version: String,
}

/// The ledger could not be written.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SaveError {
    /// It was written since it was read.
    #[error("the ledger was written by somebody else")]
    Conflict,
    /// It may or may not have been written.
    #[error(transparent)]
    Failed(#[from] PortError),
}

/// Where the ledger lies.
pub trait LedgerStore: Sync {
    /// Reads it.
    fn load(&self) -> impl Future<Output = Result<Stored, PortError>> + Send;

    /// Writes it if the stored version is still this one; answers the new version.
    fn save(&self, ledger: &Ledger, version: &str) -> impl Future<Output = Result<String, SaveError>> + Send;
}

/// Time and chance.
pub trait Clock: Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;

    /// A random number from 0 up to, but not including, 1.
    fn chance(&self) -> f64;
}
