//! `migrate status` and `migrate validate`: they change nothing.

use std::fmt::Write as _;

use elysia_api::collection::Verdict;
use elysia_api::condition::{ConditionType, Reason};
use elysia_api::{ElysiaCollection, names};
use elysia_core::collection::migration::versions::{Live, Version, Versions};
use elysia_core::collection::migration::{self, Journal};
use elysia_core::collection::schema::{self, Measure};
use elysia_core::condition;
use elysia_core::version::ServerVersion;
use elysia_engine::copy::uncopied;
use elysia_weaviate::{SchemaRead, WeaviateError};
use kube::core::ResourceExt as _;
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::client::chain;
use super::super::forward::OpenedCluster;
use super::super::printer::{BAD, DOUBTFUL, GOOD, HEADING, paint, plain};
use super::super::session::{Session, Stop};
use super::super::{Exit, Output, encode};
use super::versions::{Stage, stages};
use super::{MIGRATE, StatusArgs, ValidateArgs, change, get, hand, journal};
use crate::worker::backup::drill::is_scratch;
use crate::worker::steps::{steps as steps_of, unfit};

/// How the migration of a collection stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    name: String,
    alias: String,
    live: Option<String>,
    /// Whether the last migration did not let the alias lead to the class that is live.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_moved_by_hand: bool,
    schema_version: Option<String>,
    migration: Option<elysia_api::collection::MigrationStatus>,
    waits_for: Option<String>,
    /// What is in its way, as the operator says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<String>,
    /// Those of `spec.migrations`, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    versions: Vec<Stage>,
    journal: Option<Journal>,
}

impl Standing {
    pub(super) fn of(object: &ElysiaCollection, journal: Option<Journal>) -> Option<Self> {
        let declared = object.spec.migration.as_ref()?;
        let status = object.status.clone().unwrap_or_default();
        let plan = status.plan.filter(|plan| plan.action == MIGRATE);
        let listed = Versions::parse(&object.spec).ok().flatten();
        let versions = listed.as_ref().map(|listed| stages(listed, object, journal.as_ref())).unwrap_or_default();
        let blocked = condition::find(&status.conditions, ConditionType::Stalled);
        let blocked = blocked.filter(|stalled| stalled.reason == Reason::MigrationBlocked.as_str());
        Some(Self {
            name: object.name_any(),
            alias: declared.alias.clone(),
            is_moved_by_hand: journal.as_ref().is_some_and(|journal| hand::moved(object, journal).is_some()),
            live: status.live,
            blocked: blocked.map(|stalled| stalled.message.clone()),
            schema_version: listed
                .map(|listed| listed.target().name.clone())
                .or_else(|| declared.schema_version.clone()),
            migration: status.migration,
            waits_for: plan.and_then(|plan| plan.waiting_for),
            versions,
            journal,
        })
    }

    pub(super) fn render(&self) -> String {
        let mut text = format!("{}\n", paint(HEADING, &plain(&format!("migration of {}", self.name))));
        let mut line = |key: &str, value: &str| {
            // Writing to a String cannot fail.
            writeln!(text, "{key:<10} {}", plain(value)).ok();
        };
        let serving = self.live.as_deref().unwrap_or("not known yet");
        line("alias", &format!("{} → {serving}", self.alias));
        if self.is_moved_by_hand {
            line(
                "by hand",
                &format!("the last migration did not let the alias lead there: {serving} is live all the same"),
            );
        }
        if let Some(version) = &self.schema_version {
            line("declared", &format!("version {version}"));
        }
        for stage in &self.versions {
            line("version", &format!("{} {}", stage.version, stage.state));
        }
        match &self.migration {
            None => line("migration", "none so far"),
            Some(migration) => {
                let version =
                    migration.schema_version.as_ref().map_or_else(String::new, |of| format!(", version {of}"));
                line("migration", &format!("{} → {}{version}", migration.from, migration.to));
                let meaning = if self.is_moved_by_hand { meaning_by_hand } else { meaning };
                line("phase", &format!("{}: {}", migration.phase, meaning(&migration.phase)));
                if let Some(objects) = migration.objects {
                    let behind = migration.behind.map_or_else(String::new, |behind| format!(", {behind} behind"));
                    line("copied", &format!("{objects} objects{behind}"));
                }
                // What a person let the alias lead away from is not deleted.
                if let Some(until) = migration.rollback_until.as_ref().filter(|_| !self.is_moved_by_hand) {
                    line("kept", &format!("{} until {}", migration.from, until.0));
                }
                if let Some(message) = &migration.message {
                    line("stopped", message);
                }
            }
        }
        if let Some(waits) = &self.waits_for {
            line("waits for", waits);
        }
        if let Some(blocked) = &self.blocked {
            line("blocked", blocked);
        }
        for past in self.journal.iter().flat_map(|journal| &journal.history) {
            let how = match (&past.switched_at, &past.stopped) {
                (Some(at), _) => format!("switched {at}"),
                (None, why) => format!("stopped: {}", why.as_deref().unwrap_or("nobody wanted it any more")),
            };
            let version = past.schema_version.as_ref().map_or_else(String::new, |of| format!(", version {of}"));
            line("before", &format!("{} → {}{version}, {how}", past.from, past.to));
        }
        text
    }
}

fn meaning(phase: &str) -> &'static str {
    match phase {
        "Approve" => "a person is asked before the kept class is written over",
        "Create" => "the new class is made",
        "Copy" => "objects are copied and caught up with; the old class is live",
        "Freeze" | "Settle" => "the old class is read-only, and what was in flight is waited out",
        "Final" => "both classes are compared; nobody can write",
        "Switch" | "Verify" => "the alias is switched",
        "Kept" => "the new class is live, the old one is kept for going back",
        "Over" => "the new class is live, the old one is gone",
        "Thaw" => "it was stopped, and the old class is made writable again",
        "Stopped" => "it was stopped; the old class is live",
        _ => "",
    }
}

/// The same where the alias was let lead elsewhere than the migration did.
fn meaning_by_hand(phase: &str) -> &'static str {
    match phase {
        "Approve" | "Create" | "Copy" | "Freeze" | "Settle" | "Final" | "Switch" => {
            "the operator ends it, since another class is live"
        }
        "Verify" => "it waits until the alias leads to the new class",
        "Kept" => "it is over; no class of it is deleted or gone back to by itself",
        "Over" => "it is over, and the old class is gone",
        "Thaw" => "it was stopped, and the old class is made writable again",
        "Stopped" => "it was stopped",
        _ => "",
    }
}

pub(super) async fn status(args: &StatusArgs, session: &Session) -> Result<Exit, Stop> {
    let object = get(session, &args.name).await?;
    let journal = journal(session, &object).await?;
    let Some(standing) = Standing::of(&object, journal) else {
        session.printer.note(&format!("{} declares no spec.migration\n", args.name));
        return Ok(Exit::Healthy);
    };
    let text = match args.output {
        Output::Table => standing.render(),
        output => encode(&standing, output)?,
    };
    session.printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// What other settings would change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outlook {
    class: String,
    changes: Vec<Change>,
    /// Whether objects have to be migrated for it.
    needs_migration: bool,
    /// What is in the way of that.
    obstacles: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    path: String,
    live: Option<String>,
    wanted: Option<String>,
    verdict: Verdict,
}

impl Outlook {
    /// From the class as it is live, and what is known of the servers. `all`: their classes, without those of drills.
    pub(super) fn of(
        object: &ElysiaCollection,
        settings: &Map<String, Value>,
        (name, class): (&str, &Value),
        (version, nodes): (Option<ServerVersion>, usize),
        protection: Option<&str>,
        all: &[Value],
    ) -> Self {
        let measure = Measure { version, policy: &object.spec.drift_policy };
        let steps = object.spec.migration.as_ref().map_or(&[][..], |migration| &migration.transform);
        let differences = migration::transform::differences(settings, steps, class, &measure);
        let needs_migration = differences.iter().any(|difference| difference.verdict == Verdict::Recreate);
        let wanted = Value::Object(settings.clone());
        let mut obstacles = Vec::new();
        if needs_migration {
            if object.spec.migration.is_none() {
                obstacles.push("spec.migration is not declared".to_owned());
            }
            if let Some(version) = version.filter(|version| *version < migration::FIRST_VERSION) {
                obstacles.push(format!("the servers run {version}; aliases need {}", migration::FIRST_VERSION));
            }
            if nodes == 0 {
                obstacles.push("the WeaviateCluster names no node addresses (spec.external.nodes)".to_owned());
            }
            obstacles.extend(migration::tenants::changes_tenancy(class, &wanted));
            obstacles.extend(migration::transform::contradiction(settings, steps));
            obstacles.extend(unfit("spec.migration.transform", class, steps));
            let made = migration::with_left_properties(wanted, class, steps);
            let nowhere = || migration::leads_nowhere(&made, all);
            obstacles.extend(migration::leads_to_itself(&object.spec.collection, &made).or_else(nowhere));
            obstacles.extend(migration::led_from(name, &migration::leading_to(name, all)));
            obstacles.extend(uncopied(class, &made));
            if let Some(pattern) = protection {
                obstacles.push(format!("{pattern} protects it"));
            }
        }
        let changes = differences.into_iter().filter(|difference| difference.verdict != Verdict::Adopt);
        let changes = changes.map(|difference| Change {
            path: difference.dotted(),
            live: difference.live.as_ref().map(schema::shown),
            wanted: (!difference.wanted.is_null()).then(|| schema::shown(&difference.wanted)),
            verdict: difference.verdict,
        });
        Self { class: name.to_owned(), changes: changes.collect(), needs_migration, obstacles }
    }

    pub(super) fn render(&self) -> String {
        let mut text = format!("{}\n", paint(HEADING, &plain(&format!("against live class {}", self.class))));
        for Change { path, live, wanted, verdict } in &self.changes {
            let (style, how) = match verdict {
                Verdict::Recreate => (DOUBTFUL, "only a new class has it"),
                Verdict::Revert => (GOOD, "changed in place"),
                Verdict::Report | Verdict::Adopt => (GOOD, "left as it is"),
            };
            let value = |value: &Option<String>| value.as_deref().map_or_else(|| "nothing".to_owned(), plain);
            // Writing to a String cannot fail.
            writeln!(text, "{} {}: {} → {}", paint(style, how), plain(path), value(live), value(wanted)).ok();
        }
        let last = match (self.needs_migration || !self.obstacles.is_empty(), self.obstacles.is_empty()) {
            (false, _) if self.changes.is_empty() => "nothing changes".to_owned(),
            (false, _) => "no migration is needed".to_owned(),
            (true, true) => "its objects are migrated into a new class, if it holds any".to_owned(),
            (true, false) => {
                for obstacle in &self.obstacles {
                    writeln!(text, "{} {}", paint(BAD, "in the way:"), plain(obstacle)).ok();
                }
                "it cannot be migrated".to_owned()
            }
        };
        writeln!(text, "{last}").ok();
        text
    }

    pub(super) fn exit(&self) -> Exit {
        if self.obstacles.is_empty() { Exit::Healthy } else { Exit::Fault }
    }
}

/// What cannot be understood in the transformations of the other versions: theirs is seen before they are reached.
fn later(versions: &Versions, next: Option<&str>) -> Vec<String> {
    let others = versions.list().iter().filter(|version| Some(version.name.as_str()) != next);
    let read = |version: &Version| {
        steps_of(&format!("version {} of spec.migrations: transform", version.name), &version.transform).err()
    };
    others.filter_map(read).collect()
}

/// The class that is live by where the alias leads now.
async fn live(
    object: &ElysiaCollection,
    alias: &str,
    opened: &OpenedCluster,
    session: &Session,
) -> Result<String, Stop> {
    let unseen = |error: WeaviateError| Stop::unknown(opened.explain("the cluster", &error), "");
    let leads_to = opened.common.alias(alias).await.map_err(unseen)?;
    let (mut last, mut generations) = (None, Vec::new());
    if leads_to.is_none() {
        last = journal(session, object).await?;
        let classes = opened.common.classes().await.map_err(unseen)?;
        let names = classes.iter().filter_map(|class| class["class"].as_str());
        let own = names.filter(|name| names::generation_of(&object.spec.collection, name).is_some());
        generations.extend(own.map(str::to_owned));
    }
    hand::judged((&object.spec.collection, alias), leads_to, last, generations).map_err(|why| Stop::refused(why, ""))
}

pub(super) async fn validate(args: &ValidateArgs, session: &Session) -> Result<Exit, Stop> {
    let mut object = get(session, &args.name).await?;
    let mut settings = match &args.schema {
        Some(path) => change::schema(path, &object.spec.collection)?,
        None => object.spec.schema.settings.clone().into_iter().collect(),
    };
    let opened = session.open(Some(&object.spec.cluster_ref.name)).await?;
    let name = match &object.spec.migration {
        None => object.spec.collection.clone(),
        Some(migration) => live(&object, &migration.alias, &opened, session).await?,
    };
    let class = opened.common.class(&name, SchemaRead::Leader).await;
    let Some(class) = class.map_err(|error| Stop::unknown(chain(&error), ""))? else {
        return Err(Stop::refused(format!("there is no class {name} yet; it is created as declared"), ""));
    };
    let version = ServerVersion::parse(&opened.version);
    let nodes = opened.spec.node_names().len();
    let versions = Versions::parse(&object.spec).map_err(|why| Stop::refused(why, ""))?;
    let mut refused = Vec::new();
    if let (Some(versions), None) = (versions, &args.schema) {
        let journal = journal(session, &object).await?;
        let before = object.status.clone().unwrap_or_default();
        let live = Live { name: &name, class: Some(&class), journal: journal.as_ref(), before: &before };
        let next = versions.next(&live, &Measure { version, policy: &object.spec.drift_policy });
        refused.extend(later(&versions, next.version.as_deref()));
        settings = next.settings;
        refused.extend(next.refused);
        if let Some(migration) = &mut object.spec.migration {
            migration.transform = next.transform;
        }
    }
    let mut all = opened.common.classes().await.map_err(|error| Stop::unknown(chain(&error), ""))?;
    // What a restore drill lets lead there is gone when the drill is.
    all.retain(|class| !is_scratch(class));
    let protection = opened.spec.protection(&name);
    let mut outlook = Outlook::of(&object, &settings, (&name, &class), (version, nodes), protection, &all);
    outlook.obstacles.extend(refused);
    let text = match args.output {
        Output::Table => outlook.render(),
        output => encode(&outlook, output)?,
    };
    session.printer.data(&text)?;
    Ok(outlook.exit())
}
