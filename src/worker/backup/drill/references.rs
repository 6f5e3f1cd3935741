//! Which references a drill restores and compares.
//!
//! Servers ask for no target of a reference whose class has no tenants, so references of such a class come back wherever the
//! classes are there that they lead to; those to the collection itself lead to the scratch collection. Where a class has
//! tenants servers look for the very objects, which are other tenants' or not there: its references are left out on both sides.

use std::collections::BTreeSet;

use elysia_engine::backup::patient::Patient;
use elysia_engine::backup::ports::{Named, Store, Target as _};
use elysia_engine::backup::references::References;
use elysia_engine::ports::PortError;
use serde_json::Value;

use super::{Ground, Rehearsal};
use crate::worker::clock::SystemClock;

/// What becomes of the references of a collection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Led {
    /// Properties that are left out on both sides.
    pub(super) left_out: BTreeSet<String>,
    /// Other classes that those lead to which are restored.
    pub(super) targets: BTreeSet<String>,
}

fn has_tenants(class: &Value) -> bool {
    class["multiTenancyConfig"]["enabled"] == true
}

impl<S: Store, G: Ground> Rehearsal<'_, S, G> {
    /// Looks where the references of a class lead.
    pub(super) async fn led(&self, collection: &str, class: &Value) -> Result<Led, PortError> {
        let mut out = Led::default();
        for (property, classes) in References::of_class(class).targets() {
            let others: BTreeSet<&String> = classes.iter().filter(|target| *target != collection).collect();
            let mut is_led = !has_tenants(class);
            for target in &others {
                is_led = is_led && (out.targets.contains(*target) || self.can_be_led_to(target).await?);
            }
            if is_led {
                out.targets.extend(others.into_iter().cloned());
            } else {
                out.left_out.insert(property.to_owned());
            }
        }
        Ok(out)
    }

    /// The first of these classes that cannot be led to any more.
    pub(super) async fn gone<'t>(&self, targets: &'t BTreeSet<String>) -> Result<Option<&'t str>, PortError> {
        for target in targets {
            if !self.can_be_led_to(target).await? {
                return Ok(Some(target));
            }
        }
        Ok(None)
    }

    /// Whether a class without tenants may lead to this one: it is a class and no alias, and has no tenants either.
    async fn can_be_led_to(&self, name: &str) -> Result<bool, PortError> {
        let target = self.ground.target(name);
        let target = Patient::new(&target, (self.retry, &SystemClock, self.stop));
        if target.named(name).await? != Named::Collection {
            return Ok(false);
        }
        Ok(target.class().await?.is_some_and(|class| !has_tenants(&class)))
    }
}

#[cfg(test)]
mod tests;
