//! Whose plan a command is about: a collection's, a feed's, a backup's or a restore's.

use std::fmt;

use elysia_api::collection::PlanStatus;
use elysia_api::names::APPROVE_ANNOTATION;
use elysia_api::{CollectionBackup, CollectionRestore, ElysiaCollection, IndexSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::super::client::Question;
use super::super::session::{Session, Stop};

/// The kinds that have plans.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Collection,
    Feed,
    Backup,
    Restore,
}

/// In the order in which a name alone is looked for.
const KINDS: [Kind; 4] = [Kind::Collection, Kind::Feed, Kind::Backup, Kind::Restore];

impl Kind {
    /// As kubectl knows it.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Collection => "ecol",
            Self::Feed => "isrc",
            Self::Backup => "cbak",
            Self::Restore => "crst",
        }
    }

    /// As the kind is called.
    fn long(self) -> &'static str {
        match self {
            Self::Collection => "ElysiaCollection",
            Self::Feed => "IndexSource",
            Self::Backup => "CollectionBackup",
            Self::Restore => "CollectionRestore",
        }
    }

    /// As people type it before a name.
    fn prefix(self) -> &'static str {
        match self {
            Self::Collection => "collection",
            Self::Feed => "feed",
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// What a person typed: `NAME`, or `KIND/NAME`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    /// Absent = whichever of that name there is.
    pub(super) kind: Option<Kind>,
    pub(super) name: String,
}

impl Asked {
    /// For the command line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => (Some(kind.to_lowercase()), name),
        };
        let kind = match kind.as_deref() {
            None => None,
            Some("collection" | "col" | "ecol" | "elysiacollection" | "elysiacollections") => Some(Kind::Collection),
            Some("feed" | "isrc" | "indexsource" | "indexsources") => Some(Kind::Feed),
            Some("backup" | "cbak" | "collectionbackup" | "collectionbackups") => Some(Kind::Backup),
            Some("restore" | "crst" | "collectionrestore" | "collectionrestores") => Some(Kind::Restore),
            Some(kind) => return Err(format!("{kind} has no plans: say collection, feed, backup or restore")),
        };
        if name.is_empty() {
            return Err("a name is missing".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }

    pub(super) fn may_be(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|asked| asked == kind)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            None => formatter.write_str(&self.name),
            Some(kind) => write!(formatter, "{}/{}", kind.prefix(), self.name),
        }
    }
}

/// An object that may have a plan, whatever its kind.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Owner {
    pub(super) kind: Kind,
    pub(super) metadata: ObjectMeta,
    /// The collection in Weaviate; of a backup those that it names, and none where it means all.
    pub(super) collection: String,
    pub(super) plan: Option<PlanStatus>,
    pub(super) conditions: Vec<Condition>,
}

impl From<ElysiaCollection> for Owner {
    fn from(object: ElysiaCollection) -> Self {
        let status = object.status.unwrap_or_default();
        Self::new(Kind::Collection, object.metadata, object.spec.collection, (status.plan, status.conditions))
    }
}

impl From<IndexSource> for Owner {
    fn from(object: IndexSource) -> Self {
        let status = object.status.unwrap_or_default();
        Self::new(Kind::Feed, object.metadata, object.spec.collection, (status.plan, status.conditions))
    }
}

impl From<CollectionBackup> for Owner {
    fn from(object: CollectionBackup) -> Self {
        let status = object.status.unwrap_or_default();
        let collections = object.spec.collections.join(", ");
        Self::new(Kind::Backup, object.metadata, collections, (status.plan, status.conditions))
    }
}

impl From<CollectionRestore> for Owner {
    fn from(object: CollectionRestore) -> Self {
        let status = object.status.unwrap_or_default();
        let into = object.spec.into.unwrap_or(object.spec.collection);
        Self::new(Kind::Restore, object.metadata, into, (status.plan, status.conditions))
    }
}

impl Owner {
    fn new(
        kind: Kind,
        metadata: ObjectMeta,
        collection: String,
        (plan, conditions): (Option<PlanStatus>, Vec<Condition>),
    ) -> Self {
        Self { kind, metadata, collection, plan, conditions }
    }

    pub(super) fn name(&self) -> String {
        self.metadata.name.clone().unwrap_or_default()
    }
}

/// A plan with whose it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Planned {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) collection: String,
    /// Whether the object carries this plan's hash.
    pub(super) approved: bool,
    #[serde(flatten)]
    pub(super) plan: PlanStatus,
}

impl Planned {
    pub(super) fn of(owner: &Owner) -> Option<Self> {
        let plan = owner.plan.clone()?;
        let metadata = &owner.metadata;
        let annotation = metadata.annotations.as_ref().and_then(|annotations| annotations.get(APPROVE_ANNOTATION));
        Some(Self {
            kind: owner.kind,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            collection: owner.collection.clone(),
            approved: annotation == Some(&plan.hash),
            plan,
        })
    }

    /// The name as other commands understand it.
    pub(super) fn word(&self) -> String {
        match self.kind {
            Kind::Collection => self.name.clone(),
            kind => format!("{}/{}", kind.prefix(), self.name),
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.plan.waiting_for.is_some()
    }
}

/// The object that is meant. Of several kinds of one name it is the first whose plan waits, and where none does the first
/// of all: collections, feeds, backups, restores.
pub(super) async fn owner(session: &Session, asked: &Asked) -> Result<Owner, Stop> {
    let waits = |owner: &Owner| owner.plan.as_ref().is_some_and(|plan| plan.waiting_for.is_some());
    let mut first = None;
    for kind in KINDS.into_iter().filter(|kind| asked.may_be(*kind)) {
        let found = match kind {
            Kind::Collection => get::<ElysiaCollection>(session, &asked.name).await?,
            Kind::Feed => get::<IndexSource>(session, &asked.name).await?,
            Kind::Backup => get::<CollectionBackup>(session, &asked.name).await?,
            Kind::Restore => get::<CollectionRestore>(session, &asked.name).await?,
        };
        match found {
            Some(found) if waits(&found) => return Ok(found),
            found => first = first.or(found),
        }
    }
    first.ok_or_else(|| {
        let kinds = match asked.kind {
            None => "ElysiaCollection, IndexSource, CollectionBackup or CollectionRestore",
            Some(kind) => kind.long(),
        };
        let message = format!("there is no {kinds} {} in namespace {}", asked.name, session.namespace);
        Stop::refused(message, "kubectl get ecol,isrc,cbak,crst -A")
    })
}

async fn get<K>(session: &Session, name: &str) -> Result<Option<Owner>, Stop>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + fmt::Debug
        + Into<Owner>
        + for<'de> Deserialize<'de>,
{
    let question = Question::named::<K>("get", Some(&session.namespace), name);
    let found = session.reader.ask(&question, session.api::<K>().get_opt(name)).await?;
    Ok(found.map(Into::into))
}
