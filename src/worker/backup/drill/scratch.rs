//! The collection that a drill restores into: its name, its mark, and what is different about it.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use elysia_engine::backup::ports::{Got, Health, Mode, Named, Put, Store, Target, TenantState};
use elysia_engine::backup::references::References;
use elysia_engine::object::Object;
use elysia_engine::ports::{PortError, Refusal};
use elysia_engine::vectorizers::without_vectorizers;
use serde_json::Value;
use uuid::Uuid;

/// The longest name of a collection (`usecases/schema`, `ClassNameMaxLength`).
pub(crate) const NAME_LETTERS: usize = 255;

/// Between the collection's name and the order.
const INFIX: &str = "_drill_";

/// How every mark begins.
const MARK: &str = "scratch collection of a restore drill, deleted when it ends: ";

/// A scratch collection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Scratch {
    /// Its name.
    pub(crate) name: String,
    /// Who drills: the policy with its uid, as an owner of a prefix is written.
    pub(crate) policy: String,
    /// What asked for the drill.
    pub(crate) order: String,
}

impl Scratch {
    /// Of this collection.
    pub(crate) fn new(collection: &str, policy: &str, order: &str) -> Self {
        let room = NAME_LETTERS.saturating_sub(INFIX.len() + order.len());
        // Letters, digits and underscores alone: each is one byte.
        let head: String = collection.chars().take(room).collect();
        Self { name: format!("{head}{INFIX}{order}"), policy: policy.to_owned(), order: order.to_owned() }
    }

    /// What its description says. No other class has it: not even a copy of this one, whose name is another.
    pub(crate) fn mark(&self) -> String {
        format!("{MARK}{} of order {} by {}", self.name, self.order, self.policy)
    }

    /// Whether a class is this one.
    pub(super) fn is_of(&self, class: &Value) -> bool {
        class["class"] == *self.name && class["description"] == *self.mark()
    }
}

/// Whether a class was made by a drill, whosever.
pub(crate) fn is_scratch(class: &Value) -> bool {
    let (name, description) = (class["class"].as_str(), class["description"].as_str());
    name.is_some_and(|name| description.is_some_and(|mark| mark.starts_with(&format!("{MARK}{name} of order "))))
}

/// A scratch collection that is restored into. It bears its mark from its first moment; its objects have no time to live,
/// which would begin anew with the restore or be over already; its tenants stay awake, so that all of them are compared; and
/// nobody computes its vectors: an object that was backed up without one has none either, and no module is called.
pub(super) struct ScratchTarget<T> {
    inner: T,
    mark: String,
}

impl<T> ScratchTarget<T> {
    pub(super) fn new(inner: T, mark: String) -> Self {
        Self { inner, mark }
    }
}

impl<T: Target> Target for ScratchTarget<T> {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        self.inner.class().await
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        self.inner.nodes().await
    }

    async fn health(&self) -> Result<Health, PortError> {
        self.inner.health().await
    }

    async fn modules(&self) -> Result<Option<Vec<String>>, PortError> {
        self.inner.modules().await
    }

    async fn read_only(&self) -> Result<Vec<String>, PortError> {
        self.inner.read_only().await
    }

    async fn own_alias(&self) -> Result<Option<String>, PortError> {
        self.inner.own_alias().await
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        self.inner.named(name).await
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.inner.make_alias(alias).await
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        self.inner.tenants().await
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        self.inner.has_objects(tenant).await
    }

    async fn asks_every_node(&self) -> Result<bool, PortError> {
        self.inner.asks_every_node().await
    }

    async fn identity(&self) -> Result<Option<String>, PortError> {
        self.inner.identity().await
    }

    async fn any_object(&self, tenant: Option<&str>) -> Result<Option<Object>, PortError> {
        self.inner.any_object(tenant).await
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        self.inner.version().await
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        let mut class = without_vectorizers(class);
        class["description"] = self.mark.as_str().into();
        if let Some(members) = class.as_object_mut() {
            members.remove("objectTtlConfig");
        }
        self.inner.create(&class).await
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.inner.create_tenants(tenants).await
    }

    async fn rest_tenants(&self, _: &[String]) -> Result<(), PortError> {
        Ok(())
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.inner.fetch(tenant, ids).await
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        self.inner.put(tenant, objects).await
    }

    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        self.inner.add_references(tenant, objects, references).await
    }

    async fn add_property(&self, property: &Value) -> Result<(), PortError> {
        self.inner.add_property(property).await
    }
}

/// The place of a drill's receipt: a drill that is cut off begins again, so nobody needs it later.
#[derive(Debug, Default)]
pub(super) struct Receipts(Mutex<Option<Bytes>>);

impl Store for Receipts {
    async fn put(&self, _: &str, bytes: Bytes, _: Mode) -> Result<Put, PortError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        Ok(Put::Written)
    }

    async fn get(&self, _: &str, most: u64) -> Result<Got, PortError> {
        Ok(match self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Got::Absent,
            Some(bytes) if bytes.len() as u64 > most => Got::TooLarge(bytes.len() as u64),
            Some(bytes) => Got::Bytes(bytes),
        })
    }

    async fn folders(&self, _: &str) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    async fn files(&self, _: &str, _: usize) -> Result<Vec<String>, PortError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &[String]) -> Result<(), PortError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_bounded_and_its_mark_is_no_others() {
        let scratch = Scratch::new("Articles", "ai/nightly (u)", "0123456789ab");
        assert_eq!(scratch.name, "Articles_drill_0123456789ab");
        let long = Scratch::new(&"A".repeat(255), "p", "0123456789ab");
        assert_eq!(long.name.len(), 255);
        assert!(long.name.ends_with("_drill_0123456789ab"));

        let own = json!({"class": scratch.name, "description": scratch.mark()});
        assert!(scratch.is_of(&own) && is_scratch(&own));
        for (what, class) in [
            ("a copy under another name", json!({"class": "Articles_drill_2", "description": scratch.mark()})),
            ("without a mark", json!({"class": scratch.name})),
            ("with a person's words", json!({"class": scratch.name, "description": "mine"})),
        ] {
            assert!(!scratch.is_of(&class) && !is_scratch(&class), "{what}");
        }
        for other in [
            Scratch::new("Articles", "ai/nightly (v)", "0123456789ab"),
            Scratch { order: "x".to_owned(), ..scratch.clone() },
        ] {
            assert!(!other.is_of(&own), "{other:?}");
        }
    }
}
