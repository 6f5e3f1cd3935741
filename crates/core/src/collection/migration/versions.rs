//! A list of versions of the settings, `spec.migrations`: which of them the live class has, and which one is declared next.
//!
//! ```text
//! recorded ─▶ next ─▶ an ordinary declaration: settings and transformations of one step, or of none
//! ```
//!
//! Nothing else is decided here: how a collection comes from the settings that it has to those that are declared is the same
//! as without the list. The version that a class has stands in its own description. So it is true at every moment: a new
//! class is made with it and becomes live by the one call that switches the alias, and where no new class is needed it is
//! put with the last of the settings, in one call. A crash in between neither repeats a step nor leaves one out.

use elysia_api::collection::{DriftAction, ElysiaCollectionSpec, ElysiaCollectionStatus};
use elysia_api::restore::TransformStep;
use serde_json::{Map, Value};

use super::super::schema::Measure;
use super::super::spec::CollectionSpec;
use super::{Journal, Look, fits, transform};
use crate::sight::Sight;
use crate::version::ServerVersion;

/// What stands before the version in a description that nothing else is declared for, and with it in brackets behind one.
const MARK: &str = "schema version ";

/// The setting that the version stands in.
const DESCRIPTION: &str = "description";

/// One version of the settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    /// What it is called.
    pub name: String,
    /// Its settings, without `class`, and with the version in the description.
    pub settings: Map<String, Value>,
    /// What becomes of objects of the version before it.
    pub transform: Vec<TransformStep>,
}

/// The versions in their order, and the one that is asked for. There is at least one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Versions {
    list: Vec<Version>,
    target: usize,
}

/// What is known of the class that is live.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// Its name.
    pub name: &'a str,
    /// The class; `None` when there is none.
    pub class: Option<&'a Value>,
    /// The journal of the last migration.
    pub journal: Option<&'a Journal>,
    /// The status of before.
    pub before: &'a ElysiaCollectionStatus,
}

/// What is declared for now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Next {
    /// The version that the live class has; `None` when there is no class, or nothing says which.
    pub at: Option<String>,
    /// The version that is declared; `None` when none is.
    pub version: Option<String>,
    /// The versions after that one, up to the one that is asked for.
    pub then: Vec<String>,
    /// Its settings.
    pub settings: Map<String, Value>,
    /// What becomes of the objects on the way to it.
    pub transform: Vec<TransformStep>,
    /// Why it does not go on from there, if so; a person has to change something.
    pub refused: Option<String>,
}

/// A description with a version in it.
pub fn marked(description: Option<&str>, version: &str) -> String {
    match description.filter(|text| !text.is_empty()) {
        None => format!("{MARK}{version}"),
        Some(text) => format!("{text} ({MARK}{version})"),
    }
}

/// The version that stands in the description of a class.
pub fn recorded(class: &Value) -> Option<&str> {
    let text = class.get(DESCRIPTION)?.as_str()?;
    // Behind a description of somebody's own first: that one may look like ours.
    let behind = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    let version = behind.and_then(|(_, last)| last.strip_prefix(MARK)).or_else(|| text.strip_prefix(MARK))?;
    let is_name = |version: &str| {
        !version.is_empty()
            && version.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
    };
    is_name(version).then_some(version)
}

impl Versions {
    /// Reads `spec.migrations` and `spec.schemaVersion`; `None` without them. The error says what is wrong with them.
    pub fn parse(spec: &ElysiaCollectionSpec) -> Result<Option<Self>, String> {
        let Some(end) = spec.migrations.len().checked_sub(1) else { return Ok(None) };
        let hides = |path: &str| matches!(path, DESCRIPTION | "*");
        if let Some(rule) =
            spec.drift_policy.iter().find(|rule| hides(&rule.path) && rule.action != DriftAction::Revert)
        {
            return Err(format!(
                "spec.driftPolicy leaves {} as it is, but the version of spec.migrations that the class has stands in its description: take that rule out",
                rule.path
            ));
        }
        let mut list = Vec::new();
        for migration in &spec.migrations {
            let mut settings: Map<String, Value> = migration.schema.settings.clone().into_iter().collect();
            let name = &migration.version;
            if let Some(why) = transform::contradiction(&settings, &migration.transform) {
                return Err(format!("spec.migrations, version {name}: {why}"));
            }
            let description = settings.get(DESCRIPTION).and_then(Value::as_str);
            let description = marked(description, name);
            settings.insert(DESCRIPTION.to_owned(), Value::from(description));
            list.push(Version { name: name.clone(), settings, transform: migration.transform.clone() });
        }
        let target = match &spec.schema_version {
            None => end,
            Some(wanted) => list
                .iter()
                .position(|version| version.name == *wanted)
                .ok_or_else(|| format!("spec.schemaVersion: {wanted} is not a version of spec.migrations"))?,
        };
        Ok(Some(Self { list, target }))
    }

    /// The version that is asked for.
    pub fn target(&self) -> &Version {
        &self.list[self.target]
    }

    /// Every version in its order.
    pub fn list(&self) -> &[Version] {
        &self.list
    }

    /// Where a version is in the list.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|version| version.name == name)
    }

    /// The first version behind `to`, up to `from`, that objects were transformed for: from it nobody goes back by copying.
    pub fn one_way(&self, from: usize, to: usize) -> Option<&Version> {
        let passed = self.list.get(to.saturating_add(1)..from.saturating_add(1)).unwrap_or_default();
        passed.iter().find(|version| !version.transform.is_empty())
    }

    /// What is declared for now.
    pub fn next(&self, live: &Live<'_>, measure: &Measure<'_>) -> Next {
        let Some(class) = live.class else {
            // It is created as it is to be.
            return self.declared(None, self.target, false);
        };
        let at = match self.at(live, class, measure) {
            Ok(at) => at,
            Err(why) => return Next { refused: Some(why), ..Next::default() },
        };
        let Some(at) = at else {
            // An existing collection that is as the first version is called so from now on.
            return self.declared(None, 0, false);
        };
        let stay = |why: String| Next { refused: Some(why), ..self.declared(Some(at), at, false) };
        if self.target < at {
            let (here, there) = (&self.list[at].name, &self.target().name);
            return match self.one_way(at, self.target) {
                // In one step: what lies between says nothing of the settings of either.
                None => self.declared(Some(at), self.target, false),
                Some(version) => stay(format!(
                    "spec.schemaVersion {there} is before version {here}, which the collection has, and on the way to version {} objects were transformed: to copy them back would not give back what was taken from them. Ask for {here} or a later one; what is to be otherwise is a new version behind them",
                    version.name
                )),
            };
        }
        if self.target == at {
            // What was transformed is not transformed again.
            return self.declared(Some(at), at, false);
        }
        let step = &self.list[at + 1];
        if transform::is_pending(&step.transform, class) && fits(&step.settings, &step.transform, class, measure) {
            return stay(format!(
                "version {} of spec.migrations transforms objects, and nothing in it needs a new class, into which they would be transformed on the way: mask, set, script, where and convert alone begin no migration. Change a setting with it that Weaviate takes at creation only, or drop or rename a property that the class has",
                step.name
            ));
        }
        self.declared(Some(at), at + 1, true)
    }

    fn declared(&self, at: Option<usize>, step: usize, transforms: bool) -> Next {
        let version = &self.list[step];
        let then = self.list.get(step.saturating_add(1)..=self.target).unwrap_or_default();
        Next {
            at: at.map(|at| self.list[at].name.clone()),
            version: Some(version.name.clone()),
            then: then.iter().map(|version| version.name.clone()).collect(),
            settings: version.settings.clone(),
            transform: if transforms { version.transform.clone() } else { Vec::new() },
            refused: None,
        }
    }

    /// Which version the live class has; `None` when it has none yet and is as the first one. The error says why it is not
    /// known.
    fn at(&self, live: &Live<'_>, class: &Value, measure: &Measure<'_>) -> Result<Option<usize>, String> {
        let name = live.name;
        if let Some(version) = recorded(class) {
            return self.position(version).map(Some).ok_or_else(|| {
                format!(
                    "class {name} has version {version}, as its description says, and spec.migrations has none of that name: put that version back into the list"
                )
            });
        }
        // Somebody changed the description. What was seen last is believed only of a class that is as it says.
        let before = live.before.schema_version.as_deref().filter(|_| live.before.live.as_deref() == Some(name));
        let remembered = before.or_else(|| live.journal.and_then(|journal| version_of(journal, name)));
        let is_as = |version: &Version| fits(&version.settings, &[], class, measure);
        match remembered.and_then(|version| self.position(version)) {
            Some(at) if is_as(&self.list[at]) => Ok(Some(at)),
            Some(at) => Err(format!(
                "the description of class {name} says no version any more, and it is not as version {}, which it had. Write \"{MARK}VERSION\" into its description, with the version that it has: PUT /v1/schema/{name}",
                self.list[at].name
            )),
            None if is_as(&self.list[0]) => Ok(None),
            None => Err(format!(
                "the description of class {name} says no version, and it is not as version {}, the first of spec.migrations. Write the settings that it has as the first version, before the others",
                self.list[0].name
            )),
        }
    }
}

/// The version that a class had at the end of this migration, or before it.
fn version_of<'a>(journal: &'a Journal, class: &str) -> Option<&'a str> {
    if class == journal.to && journal.phase.has_switched() {
        return journal.schema_version.as_deref();
    }
    journal.former_version.as_deref().filter(|_| class == journal.from)
}

/// Puts what is declared for now into the spec, where `spec.migrations` says it: from here on it is an ordinary one. `None`
/// without that list, or when the live class could not be seen.
pub fn declare(
    spec: &mut CollectionSpec,
    class: &Sight<Option<Value>>,
    look: &Look,
    before: &ElysiaCollectionStatus,
    version: Option<ServerVersion>,
) -> Option<Next> {
    let (versions, Sight::Seen(class)) = (spec.versions.as_ref()?, class) else { return None };
    let journal = look.journal.seen().and_then(Option::as_ref);
    let live = Live { name: &spec.collection, class: class.as_ref(), journal, before };
    let next = versions.next(&live, &Measure { version, policy: &spec.drift_policy });
    spec.settings.clone_from(&next.settings);
    if let Some(migration) = &mut spec.migration {
        migration.schema_version.clone_from(&next.version);
        migration.transform.clone_from(&next.transform);
    }
    Some(next)
}

#[cfg(test)]
mod tests;
