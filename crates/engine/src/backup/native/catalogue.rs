//! Writes down what the servers wrote. The manifest is last, as everywhere: before it there is no run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::descriptor::Descriptor;
use super::{MOST_FILES, NativeFile, NativeFiles};
use crate::backup::columns::Columns;
use crate::backup::digest::Contents;
use crate::backup::layout;
use crate::backup::manifest::{
    Begun, CollectionNote, DOCUMENT_BYTES, DataFormat, FORMAT, FORMAT_VERSION, FileNote, Index, Manifest, Marker,
    NativeNote, Owner, ReplicasNote, RunMode, SourceNote, TenantNote,
};
use crate::backup::ports::{Got, Mode, Put, Store, TenantState};
use crate::backup::stored::{self, StoredError, document};
use crate::checkpoint::Digest;
use crate::ports::PortError;

/// Files that are read at once; each is read in small pieces.
const READS: usize = 4;

/// Files at the top of a backup that come and go, or are written later: they are none of it.
const PASSING: [&str; 2] = ["access-check", "restore_config.json"];

/// Why a backup of the servers is no run.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// The prefix is somebody else's.
    #[error("the place belongs to {owner}, not to {asked}")]
    NotOwner {
        /// Whose it is.
        owner: Box<Owner>,
        /// Who asked.
        asked: Box<Owner>,
    },
    /// Somebody else's run has this id.
    #[error("run {0} is there already, and is not this one")]
    RunExists(String),
    /// Its beginning was taken away meanwhile.
    #[error("run {0} was removed while it was made")]
    Removed(String),
    /// The servers say that it is done, and this store has nothing of it, or not all.
    #[error(
        "the servers call backup {id} a success, and of node {node} the store has {what}: is the store of this policy the server and bucket that the servers write to?"
    )]
    Lacking {
        /// What the servers call it.
        id: String,
        /// Of which node.
        node: String,
        /// What there is.
        what: String,
    },
    /// More files than are listed.
    #[error("backup {id} has more than {MOST_FILES} files, which are not listed")]
    TooManyFiles {
        /// What the servers call it.
        id: String,
    },
    /// A collection that was asked for and that no node took.
    #[error("backup {id} lacks collection {collection}: no node took anything of it")]
    Missing {
        /// What the servers call it.
        id: String,
        /// Which.
        collection: String,
    },
    /// A node that holds a collection and took nothing of it. Servers that could not find out where its shards are say
    /// nothing of it.
    #[error("backup {id} has nothing of collection {collection} at node {node}, which holds replicas of it")]
    Skipped {
        /// What the servers call it.
        id: String,
        /// Which.
        collection: String,
        /// Where.
        node: String,
    },
    /// A file changed or vanished while it was read.
    #[error("{0} changed while it was read")]
    Changed(String),
    /// A file of the store is not what it should be.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A call failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// Whose run it is, and what it is called.
#[derive(Clone, Debug)]
pub struct NativeOrder {
    /// The run.
    pub run: String,
    /// What the servers call their backup.
    pub id: String,
    /// Whose.
    pub owner: Owner,
}

/// What is known of a collection from before the backup.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its name.
    pub name: String,
    /// The class, the server's own JSON.
    pub schema: Value,
    /// Aliases that led to it.
    pub aliases: Vec<String>,
    /// Its tenants; `None` where it has no tenancy.
    pub tenants: Option<Vec<TenantState>>,
    /// The nodes that hold replicas of it: each of them has to have taken part.
    pub holders: BTreeSet<String>,
    /// Tenants that the servers leave out.
    pub left_out: usize,
    /// Objects, as the servers counted them when the backup began.
    pub objects: u64,
    /// Whether that number is none to compare others with.
    pub is_estimated: bool,
}

/// Marks the prefix and the run as this owner's, before the servers are asked for anything. Answers when the run was
/// begun: what another worker of this very order began goes on.
pub async fn claim<S: Store>(store: &S, order: &NativeOrder, now: Timestamp) -> Result<Timestamp, NativeError> {
    let NativeOrder { run, owner, .. } = order;
    let marker = Marker { format: FORMAT.to_owned(), version: FORMAT_VERSION, owner: owner.clone(), since: now };
    store.put(layout::OWNER, document(&marker), Mode::Create).await?;
    // Read back whatever the answer is: who writes here goes by what the store holds.
    let found = stored::read::<Marker, _>(store, layout::OWNER).await?;
    match found {
        Some((marker, _)) if marker.owner == *owner => {}
        Some((marker, _)) => {
            return Err(NativeError::NotOwner { owner: Box::new(marker.owner), asked: Box::new(owner.clone()) });
        }
        None => return Err(StoredError::Missing(layout::OWNER.to_owned()).into()),
    }
    let key = layout::in_run(run, layout::BEGUN);
    let begun =
        Begun { format: FORMAT.to_owned(), version: FORMAT_VERSION, owner: owner.clone(), at: now, base: Vec::new() };
    store.put(&key, document(&begun), Mode::Create).await?;
    match stored::read::<Begun, _>(store, &key).await? {
        Some((begun, _)) if begun.owner == *owner => Ok(begun.at),
        Some(_) => Err(NativeError::RunExists(run.clone())),
        None => Err(NativeError::Removed(run.clone())),
    }
}

/// What is written down.
pub struct Catalogue<'a, S> {
    /// Where it lies.
    pub store: &'a S,
    /// Whose, and under which names.
    pub order: &'a NativeOrder,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// What the servers say of it: it is complete.
    pub descriptor: &'a Descriptor,
    /// The collections that were asked for.
    pub collections: &'a [Held],
    /// Where it was read.
    pub source: SourceNote,
    /// Whether every file is read for its hash.
    pub hash: bool,
    /// Bytes that were read.
    pub read: &'a AtomicU64,
}

impl<S: Store> Catalogue<'_, S> {
    /// Writes it down. It may be done again: what is there already is the same.
    pub async fn write(self, now: Timestamp) -> Result<Manifest, NativeError> {
        let Self { store, order, descriptor, .. } = &self;
        let NativeOrder { run, id, owner } = order;
        if let Some(missing) = self.collections.iter().find(|held| !descriptor.has(&held.name)) {
            return Err(NativeError::Missing { id: id.clone(), collection: missing.name.clone() });
        }
        for held in self.collections {
            if let Some(node) = held.holders.iter().find(|node| !descriptor.has_at(&held.name, node)) {
                let (collection, node) = (held.name.clone(), node.clone());
                return Err(NativeError::Skipped { id: id.clone(), collection, node });
            }
        }
        let files = self.files().await?;
        self.check(&files)?;
        let mut sizes: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
        for (name, bytes) in files.iter().filter_map(|file| Some((file.collection()?, file.bytes))) {
            let (parts, sum) = sizes.entry(name).or_default();
            *parts += 1;
            *sum += bytes;
        }
        let mut collections = Vec::new();
        for held in self.collections {
            let (parts, bytes) = sizes.get(held.name.as_str()).copied().unwrap_or_default();
            collections.push(self.collection(held, parts, bytes).await?);
        }
        collections.sort_by(|one, other| one.name.cmp(&other.name));
        let list = self.put(layout::NATIVE_FILES, &NativeFiles::new(files)).await?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            run: run.clone(),
            owner: owner.clone(),
            started_at: self.begun_at,
            finished_at: now,
            source: self.source.clone(),
            tool: concat!("elysia-operator ", env!("CARGO_PKG_VERSION")).to_owned(),
            data: DataFormat::Native,
            mode: RunMode::Full,
            filter: None,
            base: Vec::new(),
            encryption: None,
            native: Some(NativeNote {
                id: id.clone(),
                nodes: descriptor.node_names(),
                hashed: self.hash,
                estimated: estimated(self.collections),
                files: list,
            }),
            lacks: std::collections::BTreeMap::new(),
            collections,
        };
        // Whoever removed it in the meantime has taken files away, or will.
        let begun = stored::read::<Begun, _>(*store, &layout::in_run(run, layout::BEGUN)).await?;
        if begun.is_none_or(|(begun, _)| begun.owner != *owner) {
            return Err(NativeError::Removed(run.clone()));
        }
        let key = layout::in_run(run, layout::MANIFEST);
        if store.put(&key, document(&manifest), Mode::Create).await? == Put::Exists {
            // Another worker of this order may have been sooner: its manifest names the same files.
            return match stored::read::<Manifest, _>(*store, &key).await? {
                Some((found, _)) if found.owner == *owner && found.native == manifest.native => Ok(found),
                _ => Err(NativeError::RunExists(run.clone())),
            };
        }
        Ok(manifest)
    }

    /// Every file, with its size, and its hash where that is asked for.
    async fn files(&self) -> Result<Vec<NativeFile>, NativeError> {
        let NativeOrder { run, id, .. } = self.order;
        let folder = layout::in_run(run, &layout::native(id));
        let keys = self.store.files(&folder, MOST_FILES + 1).await?;
        if keys.len() > MOST_FILES {
            return Err(NativeError::TooManyFiles { id: id.clone() });
        }
        let below = layout::in_run(run, "");
        let is_passing = |key: &String| PASSING.iter().any(|name| key.ends_with(&format!("/{id}/{name}")));
        let keys: Vec<String> = keys.into_iter().filter(|key| !is_passing(key)).collect();
        let look = |whole: String| {
            let below = &below;
            async move {
                let key = whole.strip_prefix(below).unwrap_or(&whole).to_owned();
                let found = if self.hash {
                    self.store.digest(&whole).await?.map(|(bytes, sha256)| (bytes, Some(sha256)))
                } else {
                    size(self.store, &whole).await?.map(|bytes| (bytes, None))
                };
                let (bytes, sha256) = found.ok_or_else(|| NativeError::Changed(key.clone()))?;
                self.read.fetch_add(bytes, Ordering::Relaxed);
                Ok::<_, NativeError>(NativeFile { key, bytes, sha256 })
            }
        };
        stream::iter(keys).map(look).buffered(READS).try_collect().await
    }

    /// Of each node that holds a collection there must be something of it, and what the node says of itself.
    fn check(&self, files: &[NativeFile]) -> Result<(), NativeError> {
        let NativeOrder { id, .. } = self.order;
        for (node, of_node) in &self.descriptor.nodes {
            let classes: Vec<&String> = of_node.classes.iter().flatten().collect();
            if classes.is_empty() {
                continue;
            }
            let folder = format!("{}/{node}/", layout::native(id));
            let has = |below: &str| files.iter().any(|file| file.key.strip_prefix(&folder) == Some(below));
            let lacks = |what: &str| NativeError::Lacking { id: id.clone(), node: node.clone(), what: what.to_owned() };
            if !files.iter().any(|file| file.key.starts_with(&folder)) {
                return Err(lacks("nothing"));
            }
            if !has("backup.json") {
                return Err(lacks("no backup.json"));
            }
        }
        Ok(())
    }

    async fn collection(&self, held: &Held, parts: usize, bytes: u64) -> Result<CollectionNote, NativeError> {
        let Held { name, schema, aliases, tenants, holders: _, left_out, objects, is_estimated: _ } = held;
        let tenant = |tenant: &TenantState| TenantNote {
            name: tenant.name.clone(),
            activity: tenant.activity.clone(),
            contents: None,
        };
        let index = Index {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            collection: name.clone(),
            schema: schema.clone(),
            aliases: aliases.clone(),
            columns: Columns::default(),
            tenants: tenants.as_ref().map(|tenants| tenants.iter().map(tenant).collect()),
            parts: Vec::new(),
            roll: Vec::new(),
            gone: Vec::new(),
            dimensions: BTreeMap::new(),
            lacking: BTreeMap::new(),
            filter: None,
            replicas: None,
        };
        Ok(CollectionNote {
            name: name.clone(),
            contents: Contents { objects: *objects, ..Contents::default() },
            written: None,
            gone: 0,
            parts,
            bytes,
            tenants: tenants.as_ref().map(Vec::len),
            left_out: *left_out,
            replicas: ReplicasNote::default(),
            index: self.put(&layout::index(name), &index).await?,
        })
    }

    async fn put<T: serde::Serialize>(&self, key: &str, value: &T) -> Result<FileNote, NativeError> {
        let bytes = document(value);
        let note = FileNote { key: key.to_owned(), bytes: bytes.len() as u64, sha256: Digest::of(&bytes) };
        if note.bytes > DOCUMENT_BYTES {
            return Err(StoredError::TooLarge { key: note.key, bytes: note.bytes }.into());
        }
        self.store.put(&layout::in_run(&self.order.run, key), bytes, Mode::Overwrite).await?;
        Ok(note)
    }
}

fn estimated(collections: &[Held]) -> Vec<String> {
    let mut names: Vec<String> =
        collections.iter().filter(|held| held.is_estimated).map(|held| held.name.clone()).collect();
    names.sort();
    names
}

/// How large a file is; `None` where there is none.
pub(super) async fn size<S: Store>(store: &S, key: &str) -> Result<Option<u64>, PortError> {
    Ok(match store.get(key, 0).await? {
        Got::Absent => None,
        Got::TooLarge(bytes) => Some(bytes),
        Got::Bytes(bytes) => Some(bytes.len() as u64),
    })
}
