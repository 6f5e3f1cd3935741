//! Whose plan a command is about: a collection's or a feed's.

use std::fmt;

use elysia_api::collection::PlanStatus;
use elysia_api::names::APPROVE_ANNOTATION;
use elysia_api::{ElysiaCollection, IndexSource};
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
}

impl Kind {
    /// As kubectl knows it.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Collection => "ecol",
            Self::Feed => "isrc",
        }
    }
}

/// What a person typed: `NAME`, `collection/NAME` or `feed/NAME`.
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
            Some(kind) => return Err(format!("{kind} has no plans: say collection or feed")),
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
            Some(Kind::Collection) => write!(formatter, "collection/{}", self.name),
            Some(Kind::Feed) => write!(formatter, "feed/{}", self.name),
        }
    }
}

/// An object that may have a plan, whatever its kind.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Owner {
    pub(super) kind: Kind,
    pub(super) metadata: ObjectMeta,
    /// The collection in Weaviate.
    pub(super) collection: String,
    pub(super) plan: Option<PlanStatus>,
    pub(super) conditions: Vec<Condition>,
}

impl From<ElysiaCollection> for Owner {
    fn from(object: ElysiaCollection) -> Self {
        let status = object.status.unwrap_or_default();
        Self {
            kind: Kind::Collection,
            metadata: object.metadata,
            collection: object.spec.collection,
            plan: status.plan,
            conditions: status.conditions,
        }
    }
}

impl From<IndexSource> for Owner {
    fn from(object: IndexSource) -> Self {
        let status = object.status.unwrap_or_default();
        Self {
            kind: Kind::Feed,
            metadata: object.metadata,
            collection: object.spec.collection,
            plan: status.plan,
            conditions: status.conditions,
        }
    }
}

impl Owner {
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
            Kind::Feed => format!("feed/{}", self.name),
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.plan.waiting_for.is_some()
    }
}

/// The object that is meant. Of a collection and a feed of one name it is the feed only where that alone has a plan that
/// waits.
pub(super) async fn owner(session: &Session, asked: &Asked) -> Result<Owner, Stop> {
    let mut found = None;
    if asked.may_be(Kind::Collection) {
        found = get::<ElysiaCollection>(session, &asked.name).await?;
    }
    let waits = |owner: &Owner| owner.plan.as_ref().is_some_and(|plan| plan.waiting_for.is_some());
    if asked.may_be(Kind::Feed) && !found.as_ref().is_some_and(waits) {
        let feed = get::<IndexSource>(session, &asked.name).await?;
        found = match (found, feed) {
            (Some(collection), Some(feed)) if waits(&feed) => {
                debug_assert!(!waits(&collection), "it was looked at before");
                Some(feed)
            }
            (found, feed) => found.or(feed),
        };
    }
    found.ok_or_else(|| {
        let kinds = match asked.kind {
            None => "ElysiaCollection or IndexSource",
            Some(Kind::Collection) => "ElysiaCollection",
            Some(Kind::Feed) => "IndexSource",
        };
        let message = format!("there is no {kinds} {} in namespace {}", asked.name, session.namespace);
        Stop::refused(message, "kubectl get ecol,isrc -A")
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
