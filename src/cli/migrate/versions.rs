//! The versions of `spec.migrations`: which are done, and what it takes to ask for another one.

use elysia_api::ElysiaCollection;
use elysia_core::collection::migration::versions::Versions;
use elysia_core::collection::migration::{Journal, Phase};
use kube::core::ResourceExt as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::session::{Session, Stop};
use super::change::as_seen;
use super::hand;

/// How far one version is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stage {
    pub(super) version: String,
    /// `done`, `live`, `waiting`, `not asked for`, or `running` with its phase.
    pub(super) state: String,
}

/// How far each version is, by what the operator said last.
pub(super) fn stages(versions: &Versions, object: &ElysiaCollection, journal: Option<&Journal>) -> Vec<Stage> {
    let at = live(versions, object).map(|(at, _)| at);
    let target = versions.position(&versions.target().name).unwrap_or_default();
    // One of another class than the live one is ended by the operator.
    let active = journal.filter(|journal| journal.phase.is_active() && hand::moved(object, journal).is_none());
    let running =
        active.and_then(|journal| Some((versions.position(journal.schema_version.as_ref()?)?, journal.phase)));
    let state = |place: usize| match (running, at) {
        (Some((running, phase)), _) if running == place && at != Some(place) => format!("running: {}", phase.as_str()),
        (_, Some(at)) if at == place => "live".to_owned(),
        (_, Some(at)) if place < at && place != target => "done".to_owned(),
        _ if place <= target => "waiting".to_owned(),
        _ => "not asked for".to_owned(),
    };
    let named = versions.list().iter().enumerate();
    named.map(|(place, version)| Stage { version: version.name.clone(), state: state(place) }).collect()
}

/// The version that the live class has, as the operator said last.
fn live<'a>(versions: &Versions, object: &'a ElysiaCollection) -> Option<(usize, &'a str)> {
    let name = object.status.as_ref()?.schema_version.as_deref()?;
    Some((versions.position(name)?, name))
}

/// Why another version is not asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// There is no list.
    NoList,
    /// What the operator has to say first is not known.
    Unknown(String),
    /// It cannot be had: why, and what to do.
    No(String, String),
}

impl Refusal {
    /// As a command ends with it.
    pub(super) fn stop(self, object: &ElysiaCollection, session: &Session) -> Stop {
        let (name, namespace) = (object.name_any(), &session.namespace);
        match self {
            Self::NoList => Stop::refused(
                format!(
                    "{name} declares no spec.migrations, without which the operator knows the settings that are declared and those of one step before, and no others"
                ),
                format!(
                    "kubectl explain elysiacollection.spec.migrations; then: kubectl edit ecol {name} -n {namespace}"
                ),
            ),
            Self::Unknown(why) => Stop::unknown(why, format!("kubectl elysia migrate status {name} -n {namespace}")),
            Self::No(why, next) => Stop::refused(why, next),
        }
    }
}

fn listed(object: &ElysiaCollection) -> Result<Versions, Refusal> {
    match Versions::parse(&object.spec) {
        Ok(Some(versions)) => Ok(versions),
        Ok(None) => Err(Refusal::NoList),
        Err(why) => Err(Refusal::No(why, String::new())),
    }
}

/// The change of a spec that asks for a version.
fn asks_for(object: &ElysiaCollection, version: &str) -> Value {
    let mut operations = as_seen(object);
    operations.push(json!({"op": "add", "path": "/spec/schemaVersion", "value": version}));
    Value::Array(operations)
}

/// Up to a version: the change of the spec, and what it means.
pub(super) fn up(object: &ElysiaCollection, to: &str) -> Result<(Value, String), Refusal> {
    let (versions, name) = (listed(object)?, object.name_any());
    let names = |from: usize, to: usize| -> Vec<&str> {
        let named = versions.list().get(from..=to).unwrap_or_default();
        named.iter().map(|version| version.name.as_str()).collect()
    };
    let Some(target) = versions.position(to) else {
        let known = names(0, versions.list().len().saturating_sub(1)).join(", ");
        return Err(Refusal::No(
            format!("spec.migrations has no version {to}; it has {known}"),
            format!("kubectl edit ecol {name}"),
        ));
    };
    let words = match live(&versions, object) {
        Some((at, here)) if target < at => {
            return Err(Refusal::No(
                format!(
                    "version {to} is before {here}, which the collection has: to go back is another thing than to go up"
                ),
                format!("kubectl elysia migrate rollback {name} --steps {}", at - target),
            ));
        }
        Some((at, here)) if target == at => format!("the collection has version {here} already\n"),
        Some((at, here)) => format!(
            "from version {here} to {}, one after the other; each that needs a new class is copied, shown as a plan and approved by itself\n",
            names(at + 1, target).join(", ")
        ),
        None => format!("which version the collection has was not said yet; it is brought to {to} from there\n"),
    };
    Ok((asks_for(object, to), words))
}

/// Some versions back: the change of the spec, and what it means.
pub(super) fn back(
    object: &ElysiaCollection,
    journal: Option<&Journal>,
    steps: usize,
) -> Result<(Value, String), Refusal> {
    let (versions, name) = (listed(object)?, object.name_any());
    if journal.is_some_and(|journal| journal.phase.is_active()) {
        return Err(Refusal::No(
            "a migration is under way, which is called off before anything is gone back to".to_owned(),
            format!("kubectl elysia migrate rollback {name}"),
        ));
    }
    let Some((at, here)) = live(&versions, object) else {
        return Err(Refusal::Unknown(format!("which version {name} has is not known (status.schemaVersion)")));
    };
    let Some(target) = at.checked_sub(steps) else {
        return Err(Refusal::No(
            format!("the collection has version {here}, and spec.migrations has {at} before it, not {steps}"),
            format!("kubectl elysia migrate status {name}"),
        ));
    };
    if let Some(version) = versions.one_way(at, target) {
        return Err(Refusal::No(
            format!(
                "objects were transformed on the way to version {}, and to copy them back would not give back what was taken from them",
                version.name
            ),
            "add what is to be otherwise as a new version behind the others".to_owned(),
        ));
    }
    let to = versions.list()[target].name.clone();
    let kept = journal.filter(|journal| journal.phase == Phase::Kept && journal.tenants.is_none());
    let moved = kept.and_then(|kept| Some((kept, hand::moved(object, kept)?)));
    if let Some((Journal { alias, from, to: last, .. }, class)) = moved
        && class != from
        && kept.is_some_and(|kept| kept.former_version.as_ref() == Some(&to))
    {
        return Err(Refusal::No(
            format!(
                "alias {alias} was let lead to {class} by hand, which is neither {from} nor {last}: from there nothing is copied back into {from}, which has version {to}"
            ),
            format!(
                "{}, then the same command; or, to have {from} live as it is: {}",
                hand::put(alias, last),
                hand::put(alias, from)
            ),
        ));
    }
    // One that the alias was let lead back to is live, and no class that is kept.
    let kept = kept.filter(|kept| moved.is_none_or(|(_, class)| class != kept.from));
    let words = match kept {
        Some(kept) if kept.former_version.as_ref() == Some(&to) => format!(
            "version {to} is asked for. {} has it and is kept; what was written since is copied to it before the alias leads back, which needs an approval of its own\n",
            kept.from
        ),
        kept => {
            let waits = kept.map_or_else(String::new, |kept| {
                let may_begin = object.spec.migration.as_ref().and_then(|migration| migration.keep).unwrap_or(1) > 1;
                let until = if may_begin {
                    "stays beside it"
                } else {
                    "has to go first, unless spec.migration.keep is more than 1"
                };
                format!(" {}, which is kept of another version, {until}.", kept.from)
            });
            let stays = moved.filter(|(kept, class)| *class == kept.from).map_or_else(String::new, |(kept, class)| {
                format!(
                    " Alias {} was let lead back to {class} by hand, which has version {here}: to stay there, kubectl elysia migrate up {name} --to {here} instead.",
                    kept.alias
                )
            });
            format!(
                "version {to} is asked for, {steps} back, in one step. No class that is kept is gone back to: where a new class is needed it is made with the settings of {to}, and every object of the live one is copied to it, with all that was written since. It takes the disk of another collection, and is approved as spec.migration.approval says.{waits}{stays}\n"
            )
        }
    };
    Ok((asks_for(object, &to), words))
}
