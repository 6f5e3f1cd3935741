//! A collection of the world, as the copier writes it.

use elysia_engine::backup::ports::{Named, Target, TenantState};
use elysia_engine::backup::references::References;
use elysia_engine::copy::ports::{Mirror, Side as _};
use elysia_engine::object::Object;
use elysia_engine::ports::{PortError, Refusal};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Class, Fate, World, refuse, states};

/// One collection, as it is written.
pub(super) struct At {
    pub(super) world: World,
    pub(super) name: String,
}

impl At {
    fn with<T>(&self, change: impl FnOnce(&mut Class, i64) -> Result<T, PortError>) -> Result<T, PortError> {
        self.world.call(|inner| {
            let now = inner.now;
            change(inner.classes.get_mut(&self.name).ok_or_else(|| refuse("no such class"))?, now)
        })
    }
}

impl Target for At {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        self.world.call(|inner| Ok(inner.classes.get(&self.name).map(|class| class.schema.clone())))
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        Ok(3)
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        self.world.call(|inner| {
            if inner.classes.contains_key(name) {
                return Ok(Named::Collection);
            }
            let is_of = |class: &Class| class.aliases.iter().any(|alias| alias == name);
            let found = inner.classes.iter().find(|(_, class)| is_of(class));
            Ok(found.map_or(Named::Nothing, |(class, _)| Named::Alias(class.clone())))
        })
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.with(|class, _| {
            class.aliases.push(alias.to_owned());
            Ok(())
        })
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        self.with(|class, _| Ok(states(class)))
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        self.with(|class, _| Ok(!class.of(tenant)?.is_empty()))
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        self.world.call(|inner| {
            if inner.refuses_classes {
                return Err(refuse("replication factor 1 is below the minimum"));
            }
            if inner.classes.contains_key(&self.name) {
                return Err(refuse("the class exists"));
            }
            inner.classes.insert(self.name.clone(), Class { schema: class.clone(), ..Class::default() });
            Ok(())
        })
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.with(|class, _| {
            class.tenants.extend(tenants.iter().map(|name| (name.clone(), "HOT".to_owned())));
            Ok(())
        })
    }

    async fn rest_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        self.with(|class, _| {
            class.tenants.extend(tenants.iter().map(|name| (name.clone(), "COLD".to_owned())));
            Ok(())
        })
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.world.whole(&self.name, tenant, ids).await
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        // One by one: killed between two of a batch.
        for object in objects {
            self.with(|class, now| {
                class.of(tenant)?;
                if References::of_class(&class.schema).has(object) {
                    return Err(refuse("it leads to nothing"));
                }
                let all = class.objects.entry(tenant.unwrap_or_default().to_owned()).or_default();
                all.insert(object.id, ((*object).clone(), now));
                Ok(())
            })?;
            self.world.lock().unlike.remove(&object.id);
        }
        Ok(Vec::new())
    }

    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        let all = objects.iter().flat_map(|object| {
            references.of(object).map(|(property, beacon)| (object.id, property.to_owned(), beacon.to_owned()))
        });
        let mut all: Vec<_> = all.collect();
        let fate = self.world.lock().fates.pop_front();
        if fate == Some(Fate::Late) {
            self.world.lock().late = all;
            return Err(PortError { retryable: true, ..refuse("no answer") });
        }
        all.splice(0..0, std::mem::take(&mut self.world.lock().late));
        for (id, property, beacon) in all {
            // One by one, and behind those that are there.
            self.with(|class, now| {
                let all = class.objects.entry(tenant.unwrap_or_default().to_owned()).or_default();
                let Some((object, at)) = all.get_mut(&id) else { return Err(refuse("no such object")) };
                *at = now;
                let list = object.properties.entry(property).or_insert_with(|| json!([]));
                list.as_array_mut().ok_or_else(|| refuse("no list"))?.push(json!({ "beacon": beacon }));
                Ok(())
            })?;
        }
        let first = objects.first().filter(|_| fate == Some(Fate::NotFound));
        Ok(first
            .map(|object| Refusal { id: object.id, error: refuse("object with id x not found") })
            .into_iter()
            .collect())
    }

    async fn add_property(&self, _: &Value) -> Result<(), PortError> {
        Err(refuse("a copy makes whole classes"))
    }
}

impl Mirror for At {
    async fn remove(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<(), PortError> {
        for id in ids {
            self.with(|class, _| {
                class.of(tenant)?;
                Ok(class.objects.entry(tenant.unwrap_or_default().to_owned()).or_default().remove(id))
            })?;
            self.world.lock().removed.push(id.to_string());
        }
        Ok(())
    }

    async fn remove_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        for tenant in tenants {
            self.with(|class, _| Ok((class.tenants.remove(tenant), class.objects.remove(tenant))))?;
            self.world.lock().removed.push(tenant.clone());
        }
        Ok(())
    }
}
