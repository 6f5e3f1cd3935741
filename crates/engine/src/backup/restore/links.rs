//! References of a restore: written behind the objects that have them.
//!
//! Servers refuse an object with a reference to one that is not there yet, so no order of objects would do. Each object is
//! written without references, and gets them then:
//!
//! - with the batch that it is in, where servers ask for no target. Whatever `conflict` says then also holds for them;
//! - where a class has tenants, or a property is deferred ([`super::leading`]), once all objects are written, part by part,
//!   which the receipt notes. What is there must have been written by this restore then: `Conflict::Fail`.
//!
//! References are only ever added, so that a call whose answer is lost may have added them or not. Whoever cannot know what
//! is there looks first, writes objects with others than they should have anew without any, and looks again in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::leading::has_property;
use super::{Receipt, RestoreError, Restorer};
use crate::backup::ports::{Named, Store, Target};
use crate::backup::references::References;
use crate::category::Category;
use crate::object::Object;
use crate::ports::{Clock, PortError, Refusal};

/// How references are written.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// Which properties are references.
    pub(super) references: References,
    /// Properties that the class lacks while objects are written.
    pub(super) deferred: BTreeSet<String>,
    /// Whether they are written once all objects are.
    pub(super) is_after: bool,
    /// Whether no attempt before this one can have written any.
    pub(super) is_sure: bool,
}

impl Links {
    /// An object as it is written before its references are.
    pub(super) fn bare(&self, object: &Object, pass: Pass) -> Object {
        let mut bare = self.references.without(object);
        if pass == Pass::Objects {
            self.deferred.iter().for_each(|property| drop(bare.properties.remove(property)));
        }
        bare
    }

    /// Whether that is not the object itself.
    pub(super) fn is_bare_else(&self, object: &Object) -> bool {
        !self.deferred.is_empty() || self.references.has(object)
    }

    /// Whether an object has a list of none in a property that was not there yet when it was written.
    fn is_incomplete(&self, object: &Object) -> bool {
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        self.deferred.iter().any(|property| object.properties.get(property).is_some_and(is_empty))
    }
}

/// What is done with parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pass {
    /// Objects are written, and their references unless those come behind all of them.
    Objects,
    /// References of objects that are there.
    References,
}

/// What is wrong with the references of an object that is there.
struct Unlinked<'a> {
    object: &'a Object,
    /// Whether it has to be written anew before any are added.
    is_anew: bool,
}

impl<S: Store, R: Store, T: Target, C: Clock> Restorer<'_, S, R, T, C> {
    /// Gives these objects, which are there, what was deferred: lists of none, and references.
    pub(super) async fn link_behind(
        &self,
        tenant: Option<&str>,
        objects: &[Object],
        links: &Links,
    ) -> Result<(), RestoreError> {
        let incomplete: Vec<&Object> = objects.iter().filter(|object| links.is_incomplete(object)).collect();
        self.put(tenant, &incomplete, links, Pass::References).await?;
        self.link(tenant, &objects.iter().collect::<Vec<_>>(), links).await
    }

    /// Gives these objects, which are there, their references.
    pub(super) async fn link(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        links: &Links,
    ) -> Result<(), RestoreError> {
        let objects: Vec<&Object> = objects.iter().copied().filter(|object| links.references.has(object)).collect();
        if objects.is_empty() {
            return Ok(());
        }
        let mut is_sure = links.is_sure;
        let mut refused = None;
        let link = async || {
            let mut left = objects.clone();
            if !is_sure {
                let found = self.unlinked(tenant, &objects, links).await?;
                let anew: Vec<Object> =
                    found.iter().filter(|it| it.is_anew).map(|it| links.bare(it.object, Pass::References)).collect();
                if !anew.is_empty() {
                    refused = firm(self.target.put(tenant, &anew.iter().collect::<Vec<_>>()).await?)?;
                }
                left = found.into_iter().map(|it| it.object).collect();
            }
            if left.is_empty() || refused.is_some() {
                return Ok(());
            }
            let was_sure = std::mem::replace(&mut is_sure, false);
            refused = firm(self.target.add_references(tenant, &left, &links.references).await?)?;
            if refused.is_some() || was_sure || self.unlinked(tenant, &objects, links).await?.is_empty() {
                return Ok(());
            }
            Err(later("references are not yet what they should be".to_owned()))
        };
        self.call(link).await?;
        match refused {
            Some(Refusal { id, error }) => Err(RestoreError::Unlinked { id, reason: error.message }),
            None => Ok(()),
        }
    }

    /// Those of these objects that have other references than they should.
    async fn unlinked<'o>(
        &self,
        tenant: Option<&str>,
        objects: &[&'o Object],
        links: &Links,
    ) -> Result<Vec<Unlinked<'o>>, PortError> {
        let ids: Vec<Uuid> = objects.iter().map(|object| object.id).collect();
        let there = self.target.fetch(tenant, &ids).await?;
        let there: BTreeMap<Uuid, Object> = there.into_iter().map(|object| (object.id, object)).collect();
        let mut out = Vec::new();
        for object in objects {
            let was = there.get(&object.id);
            if was.is_none_or(|was| !links.references.of(was).eq(links.references.of(object))) {
                let is_anew = was.is_none_or(|was| links.references.has(was));
                out.push(Unlinked { object, is_anew });
            }
        }
        Ok(out)
    }

    /// Adds the properties that were deferred, whose classes are there by now.
    pub(super) async fn add_deferred(&self, class: &Value, receipt: &Receipt) -> Result<(), RestoreError> {
        if receipt.deferred.is_empty() {
            return Ok(());
        }
        let there = self.call(async || self.target.class().await).await?.unwrap_or_default();
        let references = References::of_class(class);
        for property in class["properties"].as_array().into_iter().flatten() {
            let name = property["name"].as_str().unwrap_or_default();
            if !receipt.deferred.contains(name) || has_property(&there, name) {
                continue;
            }
            let targets = references.targets().filter(|(other, _)| *other == name).flat_map(|(_, targets)| targets);
            for target in targets.filter(|target| **target != self.order.into) {
                if self.call(async || self.target.named(target).await).await? != Named::Collection {
                    let (property, class) = (name.to_owned(), target.clone());
                    return Err(RestoreError::Waits { property, class });
                }
            }
            self.call(async || self.target.add_property(property).await).await?;
        }
        Ok(())
    }
}

/// The first refusal that stays one; an error where all may be tried again.
pub(super) fn firm(refusals: Vec<Refusal>) -> Result<Option<Refusal>, PortError> {
    let count = refusals.len();
    match refusals.into_iter().find(|refusal| !refusal.error.retryable) {
        None if count > 0 => Err(later(format!("{count} objects were refused for now"))),
        refusal => Ok(refusal),
    }
}

fn later(message: String) -> PortError {
    PortError { category: Category::Weaviate, retryable: true, message }
}
