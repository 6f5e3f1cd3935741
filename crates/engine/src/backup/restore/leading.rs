//! Where the references of a collection lead, before the first write: to classes that are there, or to none yet.
//!
//! Servers make no class with a property that leads to a class that is not there. A class that is restored under its name
//! and leads to one that leads back to it could never be made: such properties are deferred. The class is made without
//! them; they are added, and their references written, once the other class is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::preflight::{Origin, Preflight};
use super::{Blocker, Conflict, Order};
use crate::backup::ports::{Named, Store, Target};
use crate::backup::references::References;
use crate::ports::PortError;

/// Looks where the references of the class lead that is restored. `there` is the class as it is, `made` as it is to be.
pub(super) async fn look<S: Store, T: Target>(
    store: &S,
    target: &T,
    order: &Order,
    origin: &Origin,
    (there, made): (Option<&Value>, &Value),
    out: &mut Preflight,
) -> Result<(), PortError> {
    out.references = References::of_class(made);
    if out.references.is_empty() {
        if let Some(there) = there {
            // What is merged with may have some of its own.
            out.references = References::of_class(there);
        }
        return Ok(());
    }
    let lacks = |property: &str| there.is_none_or(|class| !has_property(class, property));
    let mut absent = Absent { target, known: BTreeMap::new() };
    let mut deferred = BTreeSet::new();
    for (property, classes) in out.references.targets() {
        for class in classes {
            if *class == order.into || !absent.is(class).await? {
                continue;
            }
            let is_deferred = match there {
                None => leads_back(store, origin, order, class, &mut absent).await?,
                Some(_) => out.receipt.deferred.contains(property) && lacks(property),
            };
            if is_deferred {
                deferred.insert(property.to_owned());
                continue;
            }
            let is_in_run = origin.chain.own().manifest.collection(class).is_some();
            let (property, class) = (property.to_owned(), class.clone());
            out.blockers.push(Blocker::ReferenceTarget { property, class, is_in_run });
        }
    }
    if there.is_none() {
        out.receipt.deferred = deferred;
    }
    let deferred = &out.receipt.deferred;
    if let Some(properties) = out.class.as_mut().and_then(|class| class.get_mut("properties")?.as_array_mut()) {
        properties.retain(|property| property["name"].as_str().is_none_or(|name| !deferred.contains(name)));
    }
    out.blockers.retain(|blocker| match blocker {
        // It is added behind the objects.
        Blocker::Property { property, .. } => !(deferred.contains(property) && lacks(property)),
        _ => true,
    });
    if is_after(made, deferred) && order.conflict != Conflict::Fail {
        out.blockers.push(Blocker::ReferencesBehind { into: order.into.clone() });
    }
    if let Some(there) = there {
        out.references.join(References::of_class(there));
    }
    Ok(())
}

/// Whether references can be written only once all objects are: servers compare those of a class with tenants with what is
/// there, and what is deferred comes later anyway.
pub(super) fn is_after(class: &Value, deferred: &BTreeSet<String>) -> bool {
    class["multiTenancyConfig"]["enabled"] == true || !deferred.is_empty()
}

pub(super) fn has_property(class: &Value, name: &str) -> bool {
    class["properties"].as_array().into_iter().flatten().any(|property| property["name"] == name)
}

/// Which classes are not there; each is asked for once.
struct Absent<'a, T> {
    target: &'a T,
    known: BTreeMap<String, bool>,
}

impl<T: Target> Absent<'_, T> {
    /// An alias is no class: nothing can lead to one.
    async fn is(&mut self, class: &str) -> Result<bool, PortError> {
        if let Some(known) = self.known.get(class) {
            return Ok(*known);
        }
        let is_absent = self.target.named(class).await? != Named::Collection;
        self.known.insert(class.to_owned(), is_absent);
        Ok(is_absent)
    }
}

/// Whether a class of the run that is not there can only be made once the restored one is: it leads to that one, or to
/// another class that is not there and does.
async fn leads_back<S: Store, T: Target>(
    store: &S,
    origin: &Origin,
    order: &Order,
    class: &str,
    absent: &mut Absent<'_, T>,
) -> Result<bool, PortError> {
    if order.into != order.collection {
        // What leads to the collection of the run does not lead to its copy.
        return Ok(false);
    }
    let own = origin.chain.own();
    let (mut seen, mut next) = (BTreeSet::from([class.to_owned()]), vec![class.to_owned()]);
    while let Some(class) = next.pop() {
        let Some(note) = own.manifest.collection(&class) else { continue };
        // One that cannot be read leads nowhere; whoever restores it hears of it.
        let Ok(index) = own.index(store, note).await? else { continue };
        let references = References::of_class(&index.schema);
        for target in references.targets().flat_map(|(_, targets)| targets) {
            if *target == order.into {
                return Ok(true);
            }
            if absent.is(target).await? && seen.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    Ok(false)
}
