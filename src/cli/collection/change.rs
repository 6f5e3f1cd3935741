//! What `rm` and `clear` share: how many objects there are, and whether the person may and means it.

use elysia_api::{ElysiaCollection, names};
use elysia_weaviate::ActivityStatus;
use futures::stream::{self, StreamExt as _};
use kube::ResourceExt as _;
use serde_json::Value;

use super::ConsentArgs;
use super::look::One;
use crate::cli::client::chain;
use crate::cli::forward::OpenedCluster;
use crate::cli::owner;
use crate::cli::session::{Session, Stop};

/// Ids in one page of a walk.
const PAGE: usize = 1000;
/// Tenants that are counted at the same time.
const TENANTS_AT_ONCE: usize = 8;

/// What is known of the number of objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Count {
    /// Objects at the node with the most.
    pub(super) objects: u64,
    /// What could not be counted, in words.
    pub(super) blind: Vec<String>,
}

/// Counts at every node's own address, and takes the most: replicas may lag, and one that lags must not make a
/// collection look smaller than it is.
pub(super) async fn count(opened: &OpenedCluster, one: &One) -> Count {
    let tenancy = one.class.as_ref().is_some_and(|class| class["multiTenancyConfig"]["enabled"] == Value::Bool(true));
    if tenancy {
        return count_tenants(opened, &one.name).await;
    }
    let mut clients: Vec<(&str, _)> = opened.nodes.iter().map(|(name, client)| (name.as_str(), client)).collect();
    if clients.is_empty() {
        clients.push(("the cluster", &opened.common));
    }
    let asked = stream::iter(clients)
        .map(async |(node, client)| (node, client.object_count(&one.name).await))
        .buffered(TENANTS_AT_ONCE);
    let mut count = Count { objects: 0, blind: Vec::new() };
    for (node, answer) in asked.collect::<Vec<_>>().await {
        match answer {
            Ok(Ok(objects)) => count.objects = count.objects.max(objects),
            Ok(Err(why)) => count.blind.push(format!("{node}: {why}")),
            Err(error) => count.blind.push(format!("{node}: {}", opened.explain(node, &error))),
        }
    }
    for node in opened.spec.node_names().iter().filter(|node| !opened.nodes.contains_key(*node)) {
        count.blind.push(format!("{node}: it is not running"));
    }
    count
}

async fn count_tenants(opened: &OpenedCluster, name: &str) -> Count {
    let mut count = Count { objects: 0, blind: Vec::new() };
    let tenants = match opened.common.tenants(name).await {
        Ok(tenants) => tenants,
        Err(error) => {
            count.blind.push(chain(&error));
            return count;
        }
    };
    let (awake, asleep): (Vec<_>, Vec<_>) =
        tenants.iter().partition(|tenant| tenant.activity_status == ActivityStatus::Hot);
    if !asleep.is_empty() {
        count.blind.push(format!("{} tenants are asleep, e.g. {}", asleep.len(), asleep[0].name));
    }
    let walks = stream::iter(awake).map(async |tenant| (&tenant.name, walk(opened, name, &tenant.name).await));
    for (tenant, walked) in walks.buffered(TENANTS_AT_ONCE).collect::<Vec<_>>().await {
        match walked {
            Ok(objects) => count.objects += objects,
            Err(why) => count.blind.push(format!("tenant {tenant}: {why}")),
        }
    }
    count
}

/// Objects of one tenant by their ids.
async fn walk(opened: &OpenedCluster, class: &str, tenant: &str) -> Result<u64, String> {
    let (mut after, mut objects) = (None, 0);
    loop {
        let page = elysia_weaviate::Page { class, tenant: Some(tenant), after, limit: PAGE };
        let ids = opened.common.list_ids(page).await.map_err(|error| chain(&error))?;
        let Some(last) = ids.last() else { return Ok(objects) };
        objects += ids.len() as u64;
        after = Some(*last);
    }
}

/// Refuses what is protected, unless the person overrides it and has the right to.
pub(super) async fn guard_protection(
    session: &Session,
    opened: &OpenedCluster,
    name: &str,
    consent: &ConsentArgs,
) -> Result<(), Stop> {
    let Some(pattern) = opened.spec.protection(name) else { return Ok(()) };
    if !consent.override_protection {
        return Err(Stop::refused(
            format!("{name} is protected by {pattern}; nothing was changed"),
            "add --override-protection if you are sure",
        ));
    }
    if session.may("override-protection").await {
        return Ok(());
    }
    Err(Stop::refused(
        format!("{name} is protected by {pattern}, and your account lacks the verb `override-protection`"),
        format!("kubectl auth can-i override-protection elysiacollections.elysia.dev -n {}", session.namespace),
    ))
}

/// Where Argo CD or Flux owns the object: prints what has to be changed in its source, and refuses.
pub(super) fn guard_owner(
    session: &Session,
    object: &ElysiaCollection,
    consent: &ConsentArgs,
    patch: &Value,
) -> Result<(), Stop> {
    let Some(owner) = owner::of(&object.metadata).filter(|_| !consent.force) else { return Ok(()) };
    let text = serde_yaml::to_string(patch).map_err(std::io::Error::other)?;
    session.printer.data(&text)?;
    let name = object.name_any();
    Err(Stop::refused(
        format!("elysiacollection {name} is owned by {owner}, which would put it back; nothing was changed"),
        "make this change where it reads the manifest, or add --force",
    ))
}

/// The patch of metadata and spec that names the object it is meant for.
pub(super) fn patch_of(object: &ElysiaCollection, annotations: &Value, spec: &Value) -> Value {
    let mut patch = serde_json::json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "ElysiaCollection",
        "metadata": {"name": object.name_any(), "namespace": object.namespace()},
    });
    if annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
        patch["metadata"]["annotations"] = annotations.clone();
    }
    if spec.as_object().is_some_and(|spec| !spec.is_empty()) {
        patch["spec"] = spec.clone();
    }
    patch
}

/// The annotation of the override, where it was asked for.
pub(super) fn override_annotation(consent: &ConsentArgs) -> Value {
    if consent.override_protection {
        serde_json::json!({ (names::OVERRIDE_PROTECTION_ANNOTATION): "true" })
    } else {
        serde_json::json!({})
    }
}
