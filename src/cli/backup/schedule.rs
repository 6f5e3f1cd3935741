//! `backup schedule`: a CollectionBackup that runs at times, made or changed through the API server.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, ValueEnum};
use elysia_api::CollectionBackup;
use elysia_api::names::PLUGIN_MANAGER;
use elysia_core::backup::BackupSpec;
use elysia_engine::backup::filter::Expression;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::ResourceExt;
use serde_json::{Map, Value, json};

use self::place::PlaceArgs;
use super::create::expression;
use crate::cli::client::{Question, Reader, complaint};
use crate::cli::forward;
use crate::cli::owner;
use crate::cli::printer::Printer;
use crate::cli::session::{Session, Stop};
use crate::cli::{Exit, Output, Target, encode};

/// Arguments of `backup schedule`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("when"))]
#[command(after_help = "What is not said stays as it is. A new policy needs a time and --store.")]
pub(super) struct ScheduleArgs {
    /// Name of the CollectionBackup; the only one of the namespace when left out
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Collections; of a new policy all of them when left out
    #[arg(value_name = "COLLECTION")]
    collections: Vec<String>,
    /// Of all collections, leave out those of this name or pattern, e.g. `Scratch*`; may be said more than once
    #[arg(long, value_name = "PATTERN", conflicts_with = "collections")]
    exclude: Vec<String>,
    /// Every day at this time, e.g. `03:00`; at 02:00 when no time is said
    #[arg(long, value_name = "TIME", group = "when", num_args = 0..=1, default_missing_value = DAILY, value_parser = clock)]
    daily: Option<Clock>,
    /// Every week at this day and time, e.g. `sun@03:00`
    #[arg(long, value_name = "DAY@TIME", group = "when", value_parser = weekly)]
    weekly: Option<(Day, Clock)>,
    /// At these times, five fields as in crontab(5), e.g. `0 3 * * *`
    #[arg(long, value_name = "FIELDS", group = "when", value_parser = NonEmptyStringValueParser::new())]
    cron: Option<String>,
    /// Time zone of the times and of days in retention, e.g. `Europe/Rome`; UTC when left out
    #[arg(long, value_name = "ZONE", value_parser = NonEmptyStringValueParser::new())]
    time_zone: Option<String>,
    /// Start nothing, or with `false` start again
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, default_missing_value = "true")]
    suspend: Option<bool>,
    /// Keep this many of the newest runs
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    retain: Option<i32>,
    /// Keep the newest run of each of the last so many days that have one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    keep_daily: Option<i32>,
    /// The same for weeks
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    keep_weekly: Option<i32>,
    /// The same for months
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    keep_monthly: Option<i32>,
    /// Objects of a hundred that a collection may have lost since the last good run
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(i32).range(0..=100))]
    max_shrink: Option<i32>,
    /// Restore drills at these times, five fields as in crontab(5), e.g. `0 4 1 * *`
    #[arg(long, value_name = "FIELDS", value_parser = NonEmptyStringValueParser::new())]
    drill: Option<String>,
    /// WeaviateCluster to drill in; the one that is backed up when left out
    #[arg(long, value_name = "CLUSTER", value_parser = NonEmptyStringValueParser::new())]
    drill_cluster: Option<String>,
    /// Objects of each collection that a drill compares one by one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=100_000))]
    drill_sample: Option<i32>,
    /// Searches of a drill in each collection
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..=1000))]
    drill_searches: Option<i32>,
    /// Keep no run that is older, e.g. `90d`
    #[arg(long, value_name = "TIME", value_parser = NonEmptyStringValueParser::new())]
    max_age: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Of so many runs the first is whole, and the others hold what is new
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(2..=31))]
    full_every: Option<i32>,
    /// Only objects of which this is true
    #[arg(long, value_name = "EXPRESSION", value_parser = expression)]
    filter: Option<Expression>,
    /// Secret and key with what runs are encrypted with, e.g. `backup-key/key`
    #[arg(long, value_name = "SECRET/KEY", value_parser = secret_key)]
    encrypt_with: Option<(String, String)>,
    /// WeaviateCluster; needed for a new policy where the namespace has several
    #[arg(long, value_name = "CLUSTER", value_parser = NonEmptyStringValueParser::new())]
    cluster: Option<String>,
    /// Let the API server check it, print the manifest, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the manifest, for a repository or another hand, and change nothing
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
    /// Change the object here although a GitOps tool owns it
    #[arg(long)]
    force: bool,
}

/// When `--daily` says no time: most people are asleep, and a run of some hours is over before they are not.
const DAILY: &str = "02:00";

/// A time of day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Clock {
    hour: u8,
    minute: u8,
}

/// A day of the week, as crontab counts them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Day {
    Sun,
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
}

fn clock(text: &str) -> Result<Clock, String> {
    let wrong = || format!("`{text}` is no time of day: write hours and minutes, e.g. 03:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str, most: u8| {
        let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u8>().ok().filter(|number| is_two && *number <= most)
    };
    let clock = number(hour, 23).zip(number(minute, 59)).map(|(hour, minute)| Clock { hour, minute });
    clock.ok_or_else(wrong)
}

fn weekly(text: &str) -> Result<(Day, Clock), String> {
    let (day, time) = text.split_once('@').ok_or_else(|| format!("`{text}` has no time: write e.g. sun@03:00"))?;
    let day =
        Day::from_str(day, true).map_err(|_| format!("`{day}` is no day: sun, mon, tue, wed, thu, fri and sat are"))?;
    Ok((day, clock(time)?))
}

fn secret_key(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('/').filter(|(secret, key)| !secret.is_empty() && !key.is_empty());
    let (secret, key) = parts.ok_or_else(|| format!("`{text}` is not SECRET/KEY, e.g. backup-key/key"))?;
    Ok((secret.to_owned(), key.to_owned()))
}

impl ScheduleArgs {
    fn cron(&self) -> Option<String> {
        let at = |clock: &Clock| format!("{} {}", clock.minute, clock.hour);
        let daily = self.daily.as_ref().map(|clock| format!("{} * * *", at(clock)));
        let weekly = self.weekly.as_ref().map(|(day, clock)| format!("{} * * {}", at(clock), *day as u8));
        daily.or(weekly).or_else(|| self.cron.clone())
    }

    /// What is said, as a merge patch of the spec: what is not said is not in it.
    fn spec(&self) -> Result<Map<String, Value>, Stop> {
        let mut spec = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                spec.insert(key.to_owned(), value);
            }
        };
        put("clusterRef", self.cluster.as_ref().map(|name| json!({"name": name})));
        put("collections", (!self.collections.is_empty()).then(|| json!(self.collections)));
        put("store", self.place.store()?);
        put(
            "schedule",
            some([
                ("cron", self.cron().map(Value::from)),
                ("timeZone", self.time_zone.clone().map(Value::from)),
                ("suspend", self.suspend.map(Value::from)),
            ]),
        );
        put(
            "retention",
            some([
                ("last", self.retain.map(Value::from)),
                ("daily", self.keep_daily.map(Value::from)),
                ("weekly", self.keep_weekly.map(Value::from)),
                ("monthly", self.keep_monthly.map(Value::from)),
                ("maxAge", self.max_age.clone().map(Value::from)),
            ]),
        );
        put("exclude", (!self.exclude.is_empty()).then(|| json!(self.exclude)));
        put("maxShrink", self.max_shrink.map(Value::from));
        put("verify", self.verify());
        put("incremental", self.full_every.map(|number| json!({"fullEvery": number})));
        put("filter", self.filter.as_ref().map(|filter| Value::from(filter.to_string())));
        let key = |(name, key): &(String, String)| json!({"keySecretRef": {"name": name, "key": key}});
        put("encryption", self.encrypt_with.as_ref().map(key));
        Ok(spec)
    }

    fn verify(&self) -> Option<Value> {
        let drill = some([
            ("schedule", self.drill.as_ref().map(|cron| json!({"cron": cron}))),
            ("clusterRef", self.drill_cluster.as_ref().map(|name| json!({"name": name}))),
            ("sample", self.drill_sample.map(Value::from)),
            ("searches", self.drill_searches.map(Value::from)),
        ]);
        drill.map(|drill| json!({"drill": drill}))
    }

    /// The policy that is meant.
    async fn policy(&self, session: &Session) -> Result<String, Stop> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let question = Question::new::<CollectionBackup>("list", Some(&session.namespace));
        let found =
            session.reader.ask(&question, session.api::<CollectionBackup>().list(&ListParams::default())).await?;
        let names: Vec<String> = found.items.iter().map(ResourceExt::name_any).collect();
        match names.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Stop::usage(format!(
                "there is no CollectionBackup in {} yet: name a new one and where its runs lie, e.g. `backup schedule nightly --daily --retain 7 --store s3://BUCKET/PREFIX`",
                session.namespace
            ))),
            _ => Err(Stop::usage(format!("which one? There are {} in {}", names.join(", "), session.namespace))),
        }
    }
}

/// An object of those members that have a value; `None` where none has.
fn some<const N: usize>(members: [(&str, Option<Value>); N]) -> Option<Value> {
    let members: Map<String, Value> =
        members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

/// What is said over what is there, as RFC 7396 has it; nothing here takes a member away.
fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => under.clone_from(over),
    }
}

pub(super) async fn run(args: &ScheduleArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    let reader = Reader::connect(target).await?;
    schedule(args, &Session::new(reader, target, printer)?).await
}

pub(super) async fn schedule(args: &ScheduleArgs, session: &Session) -> Result<Exit, Stop> {
    let name = &args.policy(session).await?;
    let api = session.api::<CollectionBackup>();
    let question = Question::named::<CollectionBackup>("get", Some(&session.namespace), name);
    let found = session.reader.ask(&question, api.get_opt(name)).await?;
    let mut spec = args.spec()?;
    if found.is_none() && !spec.contains_key("clusterRef") {
        let cluster = forward::choose(&session.reader, &session.namespace, None).await?;
        spec.insert("clusterRef".to_owned(), json!({"name": cluster.name_any()}));
    }
    let patch = json!({"spec": spec});
    let manifest = manifest(found.as_ref(), name, &session.namespace, &patch)?;
    checked(&manifest, found.is_none())?;
    if let Some(output) = args.output {
        session.printer.data(&encode(&manifest, yaml_for_people(output))?)?;
        return Ok(Exit::Healthy);
    }
    if let Some(found) = &found
        && let Some(tool) = owner::of(&found.metadata).filter(|_| !args.force)
    {
        session.printer.note(&format!(
            "{tool} owns {name} and would undo a change made here. Make it in its repository:\n  kubectl patch cbak {name} -n {} --type merge --patch '{patch}'\nor add --force\n",
            session.namespace
        ));
        return Ok(Exit::Healthy);
    }
    let verb = if found.is_some() { "patch" } else { "create" };
    let sent = async {
        if found.is_some() {
            let parameters = PatchParams {
                field_manager: Some(PLUGIN_MANAGER.to_owned()),
                dry_run: args.dry_run,
                ..PatchParams::default()
            };
            api.patch(name, &parameters, &Patch::Merge(&patch)).await
        } else {
            let object = serde_json::from_value(manifest.clone()).map_err(kube::Error::SerdeError)?;
            let parameters = PostParams { dry_run: args.dry_run, field_manager: Some(PLUGIN_MANAGER.to_owned()) };
            api.create(&parameters, &object).await
        }
    };
    let next = format!("kubectl auth can-i {verb} collectionbackups.elysia.dev -n {}", session.namespace);
    let answer = session.reader.within(sent).await.map_err(|message| Stop::unknown(message, next.clone()))?;
    // The API server says which rule does not hold, in its own words.
    let mut made =
        answer.map_err(|error| Stop::refused(format!("{name} was not changed: {}", complaint(&error)), next))?;
    if args.dry_run {
        made.metadata.managed_fields = None;
        session.printer.data(&encode(&made, Output::Yaml)?)?;
        session.printer.note("dry run: the API server would accept it, and nothing was changed\n");
        return Ok(Exit::Healthy);
    }
    let done = if found.is_some() { "changed" } else { "created" };
    session
        .printer
        .note(&format!("collectionbackup/{name} {done}; next: kubectl elysia health -n {}\n", session.namespace));
    Ok(Exit::Healthy)
}

fn yaml_for_people(output: Output) -> Output {
    if output == Output::Table { Output::Yaml } else { output }
}

/// The object as it is to be: what is there, without what the server wrote, and what is said over it.
fn manifest(found: Option<&CollectionBackup>, name: &str, namespace: &str, patch: &Value) -> Result<Value, Stop> {
    let mut manifest = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
        "metadata": {"name": name, "namespace": namespace},
    });
    if let Some(found) = found {
        manifest["spec"] = serde_json::to_value(&found.spec).map_err(std::io::Error::other)?;
    }
    merge(&mut manifest, patch);
    Ok(manifest)
}

/// What can be told here is told before anything is sent.
fn checked(manifest: &Value, is_new: bool) -> Result<(), Stop> {
    for (field, flag) in [("store", "--store s3://BUCKET/PREFIX"), ("schedule", "--daily, --weekly or --cron")] {
        if is_new && manifest["spec"].get(field).is_none() {
            return Err(Stop::usage(format!("there is no such policy yet, and a new one needs {flag}")));
        }
    }
    let object: CollectionBackup = serde_json::from_value(manifest.clone())
        .map_err(|error| Stop::usage(format!("this is no CollectionBackup: {error}")))?;
    BackupSpec::validate(&object).map(drop).map_err(Stop::usage)
}

mod place;
#[cfg(test)]
mod tests;
