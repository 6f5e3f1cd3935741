//! What a look at a migration gives, its journal, and the Job that copies.

use elysia_api::backup::BackupStore;
use elysia_api::{ElysiaCollection, names};
use elysia_core::collection::migration::{self, Act, Journal, Live, Look, Phase};
use elysia_core::collection::recreate::creates_tenants;
use elysia_core::collection::{CollectionSpec, schema};
use elysia_core::copy::ledger::CopyLedger;
use elysia_core::sight::{BlindnessKind, Sight};
use elysia_core::version::ServerVersion;
use elysia_engine::copy::uncopied;
use elysia_weaviate::SchemaRead;
use futures::future::join_all;
use serde_json::Value;

use super::super::connect::{ClusterClients, sight, started_after};
use super::super::context::Context;
use super::super::feed::jobs;
use super::super::restore::chosen;
use super::super::store_jobs::{self, Doing};
use super::notebook::{self, Place};
use super::{claims, emptiness, fresh};
use crate::effects::{EffectError, kubernetes, migration as effects, weaviate};
use crate::worker::backup::drill::is_scratch;
use crate::worker::copy::COPY_WORK_VARIABLE;
use crate::worker::copy::work::CopyWork;
use crate::worker::steps;
use crate::worker::work::PatienceWork;

/// On a journal: whether shards may be read-only by it. The cluster's round looks for it when the object is gone.
pub(in crate::controllers) const HOLDS_READ_ONLY: &str = "elysia.dev/holds-read-only";

/// What a copy's worker holds at once, counted as stretches of a backup: a page that is read and one that is written.
const LANES: u32 = 4;

/// Reads the journal and the version of its ConfigMap.
pub(super) async fn read(spec: &CollectionSpec, context: &Context) -> (Sight<Option<Journal>>, Option<String>) {
    notebook::read(&spec.namespace, &spec.migration_journal(), context).await
}

/// Writes the journal; a second writer is refused by the version.
async fn write(
    spec: &CollectionSpec,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let name = spec.migration_journal();
    let place = Place { namespace: &spec.namespace, name: &name, cluster: &spec.cluster, object: &spec.name };
    write_at(&place, journal, version, context).await
}

/// Writes a journal to its place.
pub(in crate::controllers) async fn write_at(
    place: &Place<'_>,
    journal: &Journal,
    version: Option<String>,
    context: &Context,
) -> Result<(), EffectError> {
    let holds = (HOLDS_READ_ONLY, if journal.phase.is_frozen() { "true" } else { "false" });
    notebook::write(place, &[holds], serde_json::to_string_pretty(journal), version, context).await?;
    tracing::info!(
        from = journal.from,
        to = journal.to,
        phase = journal.phase.as_str(),
        stopped = journal.stopped,
        "wrote journal of a migration"
    );
    Ok(())
}

/// Which class is live: the first thing to be known of a collection that has an alias.
pub(super) async fn resolve(
    spec: &CollectionSpec,
    clients: &ClusterClients,
    context: &Context,
) -> (Option<Box<Look>>, Option<String>, Live) {
    let Some(wanted) = &spec.migration else { return (None, None, Live::Class(spec.declared.clone())) };
    let ((journal, version), alias) = futures::join!(read(spec, context), clients.common.alias(&wanted.alias));
    let mut look = Look { journal, alias: sight(alias), ..Look::default() };
    if (&look.alias, &look.journal) == (&Sight::Seen(None), &Sight::Seen(None)) {
        look.generations = Some(generations(spec, clients).await);
    }
    let live = migration::live(&spec.declared, &wanted.alias, &look);
    (Some(Box::new(look)), version, live)
}

/// Classes whose names are generations of the collection.
async fn generations(spec: &CollectionSpec, clients: &ClusterClients) -> Sight<Vec<String>> {
    sight(clients.common.classes().await).map(|classes| {
        let names = classes.iter().filter_map(|class| class["class"].as_str());
        let own = names.filter(|name| names::generation_of(&spec.declared, name).is_some());
        own.map(str::to_owned).collect()
    })
}

/// What the present phase wants to know. `spec`: with the live class in it.
pub(super) async fn look(
    spec: &CollectionSpec,
    object: &ElysiaCollection,
    clients: &ClusterClients,
    context: &Context,
    (live, server): (&Sight<Option<Value>>, Option<ServerVersion>),
    look: &mut Look,
) {
    let Some(wanted) = &spec.migration else { return };
    let journal = look.journal.seen().and_then(Option::as_ref);
    let wants = migration::wants(journal);
    let measure = schema::Measure { version: server, policy: &spec.drift_policy };
    // Only a class that is to be made anew begins another migration.
    let begins = matches!(live, Sight::Seen(Some(class)) if {
        !migration::fits(&spec.settings, spec.steps(), class, &measure)
    });
    let mut name = migration::other(&spec.declared, &spec.collection, journal, begins);
    let mut other = sight(clients.common.class(&name, SchemaRead::Leader).await);
    if let (true, Sight::Seen(Some(kept))) = (begins, &other)
        && let Some(next) = migration::beyond(spec, journal, kept, &measure)
    {
        // How many are there already is looked at, and not reckoned: a person deletes them.
        look.generations = Some(generations(spec, clients).await);
        other = sight(clients.common.class(&next, SchemaRead::Leader).await);
        name = next;
    }
    look.rival = claims::claimant(object, &name, context);
    if let (true, Sight::Seen(Some(class))) = (begins, live) {
        look.unfit = steps::unfit("spec.migration.transform", class, spec.steps());
        let made = migration::target_class(spec, class, &name);
        let classes = sight(clients.common.classes().await).map(lasting);
        let is_made = other == Sight::Seen(None);
        let nowhere = || migration::leads_nowhere(&made, classes.seen().filter(|_| is_made)?);
        look.uncopied = uncopied(class, &made).or_else(nowhere);
        look.led_from = Some(classes.map(|classes| migration::leading_to(&spec.collection, &classes)));
    }
    if wants.other_shards {
        look.other_shards = Some(sight(effects::shard_names(&clients.common, &name).await));
    }
    look.other = Some((name, other));
    if let Some(class) = &wants.read_only {
        look.read_only = emptiness::read_only(clients, class).await;
    }
    if let Some(class) = &wants.makes_tenants {
        let asked = clients.nodes.iter().map(async |(node, client)| {
            let local = weaviate::local_class(client, class).await.ok().flatten();
            (node.clone(), local.map(|class| creates_tenants(&class)))
        });
        look.makes_tenants = join_all(asked).await.into_iter().collect();
    }
    for class in &wants.tenants {
        look.tenants.insert(class.clone(), sight(effects::tenants(&clients.common, class).await));
    }
    if let Some(since) = wants.restarted_since {
        look.restarted = started_after(since, &spec.namespace, &spec.cluster, context);
    }
    if wants.alias_at {
        let asked = clients
            .nodes
            .iter()
            .map(async |(node, client)| (node.clone(), client.local_alias(&wanted.alias).await.ok()));
        look.alias_at = join_all(asked).await.into_iter().collect();
    }
    if wants.copy {
        // The Jobs before the ledger: a worker writes it before it ends.
        let label = (names::MIGRATION_LABEL, spec.name.as_str());
        look.jobs = match jobs::labelled(&spec.namespace, label, &spec.uid, context).await {
            Ok(jobs) => Sight::Seen(jobs),
            Err(error) => Sight::unseen(BlindnessKind::Failed, crate::effects::chain(&error)),
        };
        let ledger = names::copy_ledger(&spec.name);
        look.ledger = store_jobs::beside::<CopyLedger>(&spec.namespace, &ledger, &spec.uid, context).await.ledger;
    }
}

/// Classes without those of restore drills, which are gone when the drill is, and what they lead to with them.
fn lasting(mut classes: Vec<Value>) -> Vec<Value> {
    classes.retain(|class| !is_scratch(class));
    classes
}

/// Carries out one act.
pub(super) async fn act(
    act: &Act,
    spec: &CollectionSpec,
    object: &ElysiaCollection,
    version: Option<String>,
    clients: &ClusterClients,
    context: &Context,
) -> Result<(), EffectError> {
    let common = &clients.common;
    match act {
        Act::Write(journal) => write(spec, journal, version, context).await,
        Act::MakeAlias { alias, class } => effects::make_alias(common, alias, class).await,
        Act::CreateTarget(class) => weaviate::create_class(common, class).await,
        Act::AddProperty { class, property } => weaviate::add_property(common, class, property).await,
        Act::SetReadOnly { class, read_only, shards } => {
            let _alone = context.destructive.lock().await;
            context.must_lead()?;
            weaviate::set_read_only(common, class, shards, *read_only).await
        }
        Act::HoldTenants(class) => {
            context.must_lead()?;
            effects::hold_tenants(common, class).await
        }
        Act::ReleaseTenants { class, tenancy } => {
            context.must_lead()?;
            effects::release_tenants(common, class, tenancy).await
        }
        Act::WakeTenants { class, tenants } => {
            context.must_lead()?;
            effects::wake_tenants(common, class, tenants).await
        }
        Act::RestTenants { class, tenants } => effects::rest_tenants(common, class, tenants).await,
        Act::Copy(journal) => {
            if journal.is_rollback {
                effects::are_of_the_switch(common, journal).await?;
            }
            start(journal, spec, object, context).await
        }
        Act::EndJob(name) => kubernetes::end_job(&context.kube, &spec.namespace, name).await,
        Act::Switch(journal) => {
            // Nothing thaws in between, and nobody else leads.
            let _alone = context.destructive.lock().await;
            let since = journal.frozen_since.unwrap_or(journal.since);
            let restarted = || started_after(since, &spec.namespace, &spec.cluster, context);
            effects::switch_alias(common, &clients.nodes, journal, restarted, || context.leading.is_certain()).await
        }
        Act::RemoveFormer(journal) => {
            let _alone = context.destructive.lock().await;
            // That may have taken a while.
            if let Some(rival) = claims::claimant(object, &journal.from, context) {
                return Err(EffectError::Changed(format!("{rival} claims {} by now", journal.from)));
            }
            removes_still(journal, spec, clients, context).await?;
            effects::remove_former(common, &clients.nodes, journal, || context.leading.is_certain()).await
        }
    }
}

/// Whether the class that was migrated from is still to be deleted, by what the API server says now, and by where references
/// lead.
async fn removes_still(
    journal: &Journal,
    spec: &CollectionSpec,
    clients: &ClusterClients,
    context: &Context,
) -> Result<(), EffectError> {
    let Journal { from, to, .. } = journal;
    let what = format!("delete {from}, which was migrated to {to}");
    let classes = clients.common.classes().await.map_err(EffectError::weaviate(what.clone()))?;
    if let Some(property) = migration::leading_to(from, &lasting(classes)).first() {
        return Err(EffectError::Refused(format!(
            "{what}: references of {property} lead to it; it is left to a person"
        )));
    }
    let object = fresh::standing(spec, context).await?;
    let now = CollectionSpec::validate(&object).map_err(EffectError::Changed)?;
    let protection = fresh::protection(&now, context).await?;
    let why = journal.keeps_former(&now, protection.as_deref(), (context.now)());
    why.map_or(Ok(()), |why| Err(EffectError::Changed(format!("{from} stays: {why}"))))
}

/// Makes the Job of the present order.
async fn start(
    journal: &Journal,
    spec: &CollectionSpec,
    object: &ElysiaCollection,
    context: &Context,
) -> Result<(), EffectError> {
    let way = store_jobs::way(&spec.namespace, &spec.cluster, context);
    let Some(target) = &way.target else {
        return Err(EffectError::Refused(
            "the WeaviateCluster has no gRPC address (spec.external.grpc), by which objects are copied".to_owned(),
        ));
    };
    for (_, salt) in chosen::salts_of(&journal.transform) {
        match store_jobs::has_text(&spec.namespace, &salt, context).await {
            Sight::Seen(Ok(())) => {}
            Sight::Seen(Err(missing)) => {
                return Err(EffectError::Refused(format!("spec.migration.transform: {missing}")));
            }
            Sight::Unseen(blindness) => return Err(EffectError::Refused(blindness.message)),
        }
    }
    let transform = steps::steps("spec.migration.transform", &journal.transform).map_err(EffectError::Refused)?;
    let is_final = journal.phase == Phase::Final;
    let deadline = if is_final { migration::FROZEN_AT_MOST } else { migration::COPY_DEADLINE };
    let order = journal.order(&spec.uid);
    let work = CopyWork {
        namespace: spec.namespace.clone(),
        name: spec.name.clone(),
        uid: spec.uid.clone(),
        ledger: names::copy_ledger(&spec.name),
        copy: journal.copy(&spec.uid),
        order: order.clone(),
        from: journal.from.clone(),
        into: journal.to.clone(),
        endpoints: store_jobs::endpoints(target),
        target: None,
        class: None,
        factor: None,
        shards: None,
        // The journal was written when there was no class of that name; of a kept one a person approved that it is written
        // over, and its shards are those that were kept.
        is_made: true,
        may_hold: journal.is_rollback,
        transform,
        is_final,
        few: None,
        most_passes: None,
        patience: PatienceWork::default(),
        deadline_seconds: store_jobs::seconds(deadline),
    };
    let text = serde_json::to_string(&work)
        .map_err(|error| EffectError::Refused(format!("the work could not be written down: {error}")))?;
    let owner = store_jobs::Owner {
        namespace: &spec.namespace,
        name: &spec.name,
        label: names::MIGRATION_LABEL,
        account: names::copy_account(&spec.name),
        ledger: names::copy_ledger(&spec.name),
    };
    let doing = Doing {
        name: migration::job(&spec.name, &order),
        command: "copy",
        work: (COPY_WORK_VARIABLE, text),
        // It has none: from servers to servers.
        store: &BackupStore::default(),
        is_read_only: true,
        target,
        secrets: chosen::salts_of(&journal.transform),
        deadline,
        lanes: LANES,
    };
    let objects = owner.objects(&doing, context).map_err(EffectError::Refused)?;
    store_jobs::make(objects, object, false, None, false, context).await
}
