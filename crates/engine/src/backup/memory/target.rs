//! A collection in memory that is restored into, as strict about references as servers are.

use std::sync::atomic::Ordering;

use serde_json::Value;
use uuid::Uuid;

use super::{MemoryClass, MemoryCluster, lock, refuse, states};
use crate::backup::ports::{Health, Named, Target, TenantState};
use crate::backup::references::{References, reference};
use crate::object::Object;
use crate::ports::{PortError, Refusal};

impl MemoryCluster {
    /// Every class to which one leads must be there, but for itself.
    fn leads_somewhere(&self, class: &Value) -> Result<(), PortError> {
        let references = References::of_class(class);
        let mut targets = references.targets().flat_map(|(_, targets)| targets);
        match targets.find(|target| **target != self.name && self.get(target).is_none()) {
            None => Ok(()),
            Some(_) => Err(refuse("reference property to nonexistent class".to_owned())),
        }
    }

    /// Whether there is the object of a beacon: of the tenant, or in a class without tenants.
    fn is_there(&self, tenant: Option<&str>, beacon: &str) -> bool {
        let Some((class, id)) = beacon.rsplit_once('/') else { return false };
        let class = class.rsplit('/').next().and_then(|class| self.get(class));
        class.zip(id.parse().ok()).is_some_and(|(class, id): (MemoryClass, Uuid)| {
            let has_tenants = class.schema["multiTenancyConfig"]["enabled"] == true;
            let tenant = tenant.filter(|_| has_tenants).unwrap_or_default();
            class.objects.get(tenant).is_some_and(|all| all.contains_key(&id))
        })
    }
}

impl Target for MemoryCluster {
    async fn class(&self) -> Result<Option<Value>, PortError> {
        self.fuse.alive()?;
        Ok(self.get(&self.name).map(|class| class.schema))
    }

    async fn nodes(&self) -> Result<usize, PortError> {
        Ok(self.nodes)
    }

    async fn health(&self) -> Result<Health, PortError> {
        let unhealthy = (0..self.unhealthy).map(|node| format!("node-{node}")).collect();
        Ok(Health { nodes: self.nodes, unhealthy })
    }

    async fn modules(&self) -> Result<Option<Vec<String>>, PortError> {
        Ok(self.modules.clone())
    }

    async fn read_only(&self) -> Result<Vec<String>, PortError> {
        Ok(self.frozen.clone())
    }

    async fn own_alias(&self) -> Result<Option<String>, PortError> {
        Ok(self.aliases().remove(&self.name))
    }

    async fn named(&self, name: &str) -> Result<Named, PortError> {
        self.fuse.alive()?;
        if lock(&self.classes).contains_key(name) {
            return Ok(Named::Collection);
        }
        Ok(self.aliases().remove(name).map_or(Named::Nothing, Named::Alias))
    }

    async fn make_alias(&self, alias: &str) -> Result<(), PortError> {
        self.fuse.burn()?;
        if self.get(&self.name).is_none() || self.get(alias).is_some() || self.aliases().contains_key(alias) {
            return Err(refuse(format!("alias {alias} cannot be made")));
        }
        self.set_alias(alias, &self.name);
        self.fuse.alive()
    }

    async fn tenants(&self) -> Result<Vec<TenantState>, PortError> {
        self.with(|class| states(class))
    }

    async fn has_objects(&self, tenant: Option<&str>) -> Result<bool, PortError> {
        self.with(|class| class.objects.get(tenant.unwrap_or_default()).is_some_and(|objects| !objects.is_empty()))
    }

    async fn asks_every_node(&self) -> Result<bool, PortError> {
        Ok(!self.is_partly_known)
    }

    async fn identity(&self) -> Result<Option<String>, PortError> {
        self.with(|class| (class.schema["multiTenancyConfig"]["enabled"] != true).then(|| class.number.to_string()))
    }

    async fn any_object(&self, tenant: Option<&str>) -> Result<Option<Object>, PortError> {
        self.with(|class| class.objects.get(tenant.unwrap_or_default()).and_then(|all| all.values().next().cloned()))
    }

    async fn version(&self) -> Result<Option<String>, PortError> {
        Ok(self.version.clone())
    }

    async fn create(&self, class: &Value) -> Result<(), PortError> {
        self.fuse.burn()?;
        if let Some(class) = &self.preempting {
            if self.has_asked.swap(true, Ordering::Relaxed) {
                return Ok(());
            }
            self.set(&self.name, class.clone());
            return Err(PortError { retryable: true, ..refuse("there is no leader".to_owned()) });
        }
        if self.get(&self.name).is_some() {
            return Err(refuse("the class exists".to_owned()));
        }
        if self.refuses_classes {
            return Err(refuse("the class is not liked".to_owned()));
        }
        self.leads_somewhere(class)?;
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        self.set(&self.name, MemoryClass { schema: class.clone(), number, ..MemoryClass::default() });
        self.fuse.alive()
    }

    async fn create_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        for tenant in tenants {
            self.fuse.burn()?;
            self.with(|class| drop(class.tenants.insert(tenant.clone(), "HOT".to_owned())))?;
        }
        Ok(())
    }

    async fn rest_tenants(&self, tenants: &[String]) -> Result<(), PortError> {
        for tenant in tenants {
            self.fuse.burn()?;
            self.with(|class| drop(class.tenants.insert(tenant.clone(), "COLD".to_owned())))?;
        }
        Ok(())
    }

    async fn fetch(&self, tenant: Option<&str>, ids: &[Uuid]) -> Result<Vec<Object>, PortError> {
        self.with(|class| {
            let objects = class.objects.get(tenant.unwrap_or_default());
            ids.iter().filter_map(|id| objects?.get(id).cloned()).collect()
        })
    }

    async fn put(&self, tenant: Option<&str>, objects: &[&Object]) -> Result<Vec<Refusal>, PortError> {
        let schema = self.with(|class| class.schema.clone())?;
        let references = References::of_class(&schema);
        let mut refused = Vec::new();
        for object in objects {
            self.fuse.burn()?;
            let has =
                |name: &String| schema["properties"].as_array().into_iter().flatten().any(|it| it["name"] == **name);
            let mut lists = object.properties.iter().filter(|(_, value)| value.as_array().is_some_and(Vec::is_empty));
            if let Some((name, _)) = lists.find(|(name, _)| !has(name)) {
                let error = refuse(format!("nobody knows the type of the list `{name}`"));
                return Ok(vec![Refusal { id: object.id, error }]);
            }
            if let Some((property, beacon)) = references.of(object).find(|(_, beacon)| !self.is_there(tenant, beacon)) {
                let error = refuse(format!("invalid cref: 'cref' {}:{property}: no object {beacon} found", self.name));
                return Ok(vec![Refusal { id: object.id, error }]);
            }
            self.with(|class| match self.with_vectors(&class.schema, object) {
                Err(refusal) => refused.push(refusal),
                Ok(object) => {
                    let all = class.objects.entry(tenant.unwrap_or_default().to_owned()).or_default();
                    drop(all.insert(object.id, object));
                }
            })?;
        }
        Ok(refused)
    }

    async fn add_references(
        &self,
        tenant: Option<&str>,
        objects: &[&Object],
        references: &References,
    ) -> Result<Vec<Refusal>, PortError> {
        let mut refusals = Vec::new();
        for object in objects {
            for (property, beacon) in references.of(object) {
                self.fuse.burn()?;
                if tenant.is_some() && !self.is_there(tenant, beacon) {
                    let error = refuse(format!("target: object {beacon} not found for tenant {tenant:?}"));
                    refusals.push(Refusal { id: object.id, error });
                    continue;
                }
                self.with(|class| {
                    let all = class.objects.entry(tenant.unwrap_or_default().to_owned()).or_default();
                    let Some(object) = all.get_mut(&object.id) else { return };
                    let list = object.properties.entry(property.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
                    list.as_array_mut().into_iter().for_each(|list| list.push(reference(beacon)));
                })?;
            }
        }
        self.fuse.alive()?;
        Ok(refusals)
    }

    async fn add_property(&self, property: &Value) -> Result<(), PortError> {
        self.fuse.burn()?;
        self.leads_somewhere(&serde_json::json!({"class": self.name, "properties": [property]}))?;
        self.with(|class| {
            class.schema["properties"].as_array_mut().into_iter().for_each(|all| all.push(property.clone()));
        })
    }
}
