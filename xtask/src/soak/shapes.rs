//! Collections with every type of data, of servers of an older and of the newest line, backed up and restored into clusters
//! of other shapes: another number of nodes, another factor, another version. Afterwards every object and every vector at
//! every replica is what it was, bit by bit, as a reader says that shares no code with the product.

mod linked;
mod objects;
mod reading;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elysia_e2e::ground::{DEFAULT_WEAVIATE, Paths, say, wait_for_every};
use elysia_e2e::servers::{Servers, ServersOptions};
use serde_json::{Value, json};

use self::linked::CIRCLE;
use self::reading::{Contents, settings};
use self::source::{ALIAS, COLLECTIONS, EVERYTHING};
use super::programs::{PLUG_IN, Programs, told};

/// An older line that the repository pins, with aliases and every kind of vector.
const OLDER: &str = "1.35.2";
/// Nodes and factor of what is backed up.
const SOURCE: Shape = Shape { nodes: 3, factor: 3 };
/// What is restored into.
const TARGETS: [Shape; 2] = [Shape { nodes: 1, factor: 1 }, Shape { nodes: 5, factor: 3 }];
/// How runs are written.
const FORMATS: [&str; 2] = ["parquet", "jsonl"];
/// Time in which replicas hold the same after the last write: what one missed comes by the servers' own comparison, 23-33 s
/// after it when measured (`weaviate-lab` §3).
const AGREED: Duration = Duration::from_secs(240);
/// Between two looks, each of which reads everything at every node.
const PAUSE: Duration = Duration::from_secs(2);
/// Time in which all nodes have heard of a tenant's other state.
const HEARD: Duration = Duration::from_secs(60);

/// Nodes, and replicas of each shard.
#[derive(Clone, Copy)]
struct Shape {
    nodes: usize,
    factor: usize,
}

impl Shape {
    fn start(self, version: &str) -> Result<Servers> {
        Servers::start(ServersOptions { version: version.to_owned(), nodes: self.nodes, ..ServersOptions::default() })
    }
}

/// Contents of a collection, by tenant; of one without tenants under no name.
type Units = BTreeMap<Option<String>, Contents>;

/// What was backed up, and what was there.
struct Source {
    version: &'static str,
    store: PathBuf,
    /// Format and id.
    runs: Vec<(&'static str, String)>,
    collections: BTreeMap<&'static str, Collection>,
}

/// A collection as it was before it was backed up.
struct Collection {
    class: Value,
    units: Units,
    tenants: Option<BTreeMap<String, String>>,
}

/// One restore of one collection.
struct Row {
    from: String,
    into: String,
    collection: &'static str,
    /// The collection that it became.
    named: String,
    format: &'static str,
    objects: usize,
    tenants: String,
    /// Objects of all replicas.
    replicas: usize,
    digest: String,
    differences: Vec<String>,
}

pub(super) fn run() -> Result<()> {
    let paths = Paths::from_environment();
    let folder = paths.target.join("soak/shapes");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let soak = Soak { programs: Programs::compile(&paths, &folder, &[PLUG_IN])?, folder };
    let started = Instant::now();
    let mut rows = Vec::new();
    for version in [OLDER, DEFAULT_WEAVIATE] {
        let source = soak.source(version)?;
        for shape in TARGETS {
            soak.target(&source, shape, &mut rows)?;
        }
    }
    print(&rows);
    let figures = json!({
        "name": "shapes", "seconds": started.elapsed().as_secs(),
        "versions": {"from": [OLDER, DEFAULT_WEAVIATE], "into": DEFAULT_WEAVIATE, "operator": env!("CARGO_PKG_VERSION")},
        "rows": rows.iter().map(Row::figures).collect::<Vec<_>>(),
    });
    fs::write(paths.target.join("soak/shapes.json"), figures.to_string()).context("failed to write the figures")?;
    let differing = rows.iter().filter(|row| !row.differences.is_empty()).count();
    ensure!(differing == 0, "{differing} of {} restores came to something else", rows.len());
    Ok(())
}

struct Soak {
    programs: Programs,
    folder: PathBuf,
}

impl Drop for Soak {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Soak {
    fn told(&self, servers: Option<&Servers>, arguments: &[&str]) -> Result<Value> {
        let mut command = self.programs.plug_in(servers, arguments)?;
        // Receipts of other clusters' runs would lie in the person's own folder.
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        told(command)
    }

    /// Fills servers of this version and backs them up; they are gone when this returns.
    fn source(&self, version: &'static str) -> Result<Source> {
        let servers = SOURCE.start(version)?;
        source::fill(&servers, SOURCE.factor)?;
        say(format!("{version}, {} nodes, factor {}: filled", SOURCE.nodes, SOURCE.factor));
        let mut units = BTreeMap::new();
        for collection in COLLECTIONS {
            let read = read(&servers, collection, SOURCE.factor)?;
            say(format!("  {collection}: {} objects, {}", objects(&read), Contents::digest(read.values())));
            units.insert(collection, read);
        }
        source::rest(&servers)?;
        let mut collections = BTreeMap::new();
        for (collection, units) in units {
            let tenants = source::tenants(&servers, collection)?;
            collections.insert(collection, Collection { class: source::class(&servers, collection)?, units, tenants });
        }
        let store = self.folder.join(format!("store-{version}"));
        fs::create_dir_all(&store)?;
        let mut runs = Vec::new();
        for format in FORMATS {
            runs.push((format, self.backup(&servers, &store, format)?));
            for (name, Collection { tenants, .. }) in &collections {
                let after = source::tenants(&servers, name)?;
                ensure!(after == *tenants, "{name}: a backup made of the tenants {tenants:?}: {after:?}");
            }
        }
        Ok(Source { version, store, runs, collections })
    }

    /// One run of everything, read back from its store.
    fn backup(&self, servers: &Servers, store: &Path, format: &str) -> Result<String> {
        let text = store.display().to_string();
        let made =
            self.told(Some(servers), &["backup", "create", "--store", &text, "--format", format, "--cold", "wake"])?;
        let run = made["id"].as_str().context("a run has an id")?.to_owned();
        self.told(None, &["backup", "verify", &run, "--store", &text])?;
        let index = store.join("runs").join(&run).join("index").join(format!("{EVERYTHING}.json"));
        let index = fs::read(&index).with_context(|| format!("failed to read {}", index.display()))?;
        let index: Value = serde_json::from_slice(&index)?;
        ensure!(index["aliases"] == json!([ALIAS]), "the run names the aliases {}", index["aliases"]);
        say(format!("  run {run}: {format}, {} objects", made["objects"]));
        Ok(run)
    }

    /// Restores every run into servers of this shape, and compares.
    fn target(&self, source: &Source, shape: Shape, rows: &mut Vec<Row>) -> Result<()> {
        let servers = shape.start(DEFAULT_WEAVIATE)?;
        let first = rows.len();
        self.circle(source, &servers, shape, rows)?;
        for (format, run) in &source.runs {
            for collection in source.collections.keys() {
                self.row(
                    source,
                    &servers,
                    shape,
                    (*format, run),
                    [collection, &restored_name(collection, format)],
                    rows,
                );
            }
        }
        self.again(source, &servers, &mut rows[first..])?;
        // Under another name a restore makes none unless it is asked to.
        let (status, aliases) = servers.get("w-0", "/v1/aliases")?;
        ensure!(status == 200 && aliases["aliases"] == json!([]), "a restore made aliases: {aliases}");
        Ok(())
    }

    /// Two collections that lead to one another come back under their own names: the first waits for the other.
    fn circle(&self, source: &Source, servers: &Servers, shape: Shape, rows: &mut Vec<Row>) -> Result<()> {
        let (format, run) = source.runs.first().context("there is a run")?;
        let [first, second] = CIRCLE;
        let waits = self.restored(servers, shape.factor, &[run, first, first], &source.store);
        let words = waits.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(
            words.contains(&format!("waits for collection {second}")),
            "{first} is restored without {second}: {words}"
        );
        for name in [second, first] {
            let (name, _) = source.collections.get_key_value(name).context("it was backed up")?;
            self.row(source, servers, shape, (*format, run), [name, name], rows);
        }
        Ok(())
    }

    /// Restores a collection, and compares it.
    fn row(
        &self,
        source: &Source,
        servers: &Servers,
        shape: Shape,
        (format, run): (&'static str, &str),
        [collection, into]: [&str; 2],
        rows: &mut Vec<Row>,
    ) {
        let Some((&collection, was)) = source.collections.get_key_value(collection) else { return };
        let found = self
            .restored(servers, shape.factor, &[run, collection, into], &source.store)
            .and_then(|written| Found::of(servers, shape.factor, [collection, into], was, written));
        // What cannot be restored is told beside what can.
        let found = found.unwrap_or_else(|error| Found::nothing(&error));
        let row = Row {
            from: format!("{}, {} nodes, factor {}", source.version, SOURCE.nodes, SOURCE.factor),
            into: format!("{DEFAULT_WEAVIATE}, {} nodes, factor {}", shape.nodes, shape.factor),
            collection,
            named: into.to_owned(),
            format,
            objects: objects(&found.units),
            tenants: activities(found.tenants.as_ref()),
            replicas: objects(&found.units) * shape.factor,
            digest: Contents::digest(found.units.values()),
            differences: found.differences,
        };
        say(format!("  {} → {}: {collection} of {format}: {}", row.from, row.into, row.verdict()));
        row.tell();
        rows.push(row);
    }

    /// Backs up what was restored, from nodes of which not each holds every shard: by the product's own digest it is what
    /// the first run is of.
    fn again(&self, source: &Source, servers: &Servers, rows: &mut [Row]) -> Result<()> {
        let place = self.folder.join(format!("again-{}-{}", source.version, servers.running().len()));
        fs::create_dir_all(&place)?;
        let text = place.display().to_string();
        let made = self.told(Some(servers), &["backup", "create", "--store", &text])?;
        let (_, was) = source.runs.first().context("there is a run")?;
        let was = self.notes(&source.store, was)?;
        let is = self.notes(&place, made["id"].as_str().context("a run has an id")?)?;
        for row in rows.iter_mut() {
            let (one, other) = (was.get(row.collection), is.get(&row.named));
            // What leads to itself leads to itself under the new name as well: the objects are not the same.
            let is_other = row.named != row.collection && linked::leads_to_itself(row.collection);
            let is_same = if is_other { one.map(|note| &note[0]) == other.map(|note| &note[0]) } else { one == other };
            if !is_same {
                row.differences.push(format!("backed up again it is {other:?} instead of {one:?}"));
                row.tell();
            }
        }
        say(format!("  backed up again: {} objects", made["objects"]));
        Ok(())
    }

    /// What a run says of its collections: objects, and the digest of all that is in them.
    fn notes(&self, store: &Path, run: &str) -> Result<BTreeMap<String, Value>> {
        let manifest = self.told(None, &["backup", "show", run, "--store", &store.display().to_string()])?;
        let notes = manifest["collections"].as_array().context("a manifest names its collections")?;
        let name = |note: &Value| note["name"].as_str().unwrap_or_default().to_owned();
        Ok(notes.iter().map(|note| (name(note), json!([note["objects"], note["digest"]]))).collect())
    }

    /// Restores a collection of a run into another; how many objects the restore says that it wrote.
    fn restored(
        &self,
        servers: &Servers,
        factor: usize,
        [run, collection, into]: &[&str; 3],
        store: &Path,
    ) -> Result<Option<u64>> {
        let (factor, store) = (factor.to_string(), store.display().to_string());
        // Addresses come again with other servers, and with them the names of receipts.
        let receipt = format!("{into}-{}-{factor}", servers.running().len());
        let words = ["restore", run, collection, "--into", into, "--factor", &factor, "--store", &store];
        let told = self.told(Some(servers), &[&words[..], &["--receipt", &receipt]].concat())?;
        Ok(told["counts"]["written"].as_u64())
    }
}

/// What came of one restore.
struct Found {
    units: Units,
    tenants: Option<BTreeMap<String, String>>,
    differences: Vec<String>,
}

impl Found {
    fn of(
        servers: &Servers,
        factor: usize,
        [collection, into]: [&str; 2],
        was: &Collection,
        written: Option<u64>,
    ) -> Result<Self> {
        let mut differences = Vec::new();
        if written != u64::try_from(objects(&was.units)).ok() {
            differences.push(format!("the restore says that it wrote {written:?}"));
        }
        let tenants = source::tenants(servers, into)?;
        if tenants != was.tenants {
            differences.push(format!("tenants were {:?} and are {tenants:?}", was.tenants));
        }
        let mut class = source::class(servers, into)?;
        let properties = class["properties"].as_array_mut().into_iter().flatten();
        let words = properties.filter_map(|property| property["dataType"].as_array_mut()).flatten();
        words.filter(|word| **word == into).for_each(|word| *word = collection.into());
        if CIRCLE.contains(&into) {
            // What is added afterwards stands behind the others.
            in_order(&mut class);
        }
        let mut wanted = was.class.clone();
        if CIRCLE.contains(&into) {
            in_order(&mut wanted);
        }
        differences.extend(settings(&wanted, &class, factor));
        wake(servers, into, tenants.as_ref())?;
        let units = read(servers, into, factor)?;
        let none = Contents::default();
        for unit in was.units.keys().chain(units.keys()).collect::<BTreeSet<_>>() {
            let named = |difference| match unit {
                Some(tenant) => format!("tenant {tenant}: {difference}"),
                None => difference,
            };
            let (one, other) = (was.units.get(unit).unwrap_or(&none), units.get(unit).unwrap_or(&none));
            differences.extend(one.differences(&other.leading(into, collection)).into_iter().map(named));
        }
        Ok(Self { units, tenants, differences })
    }

    fn nothing(error: &anyhow::Error) -> Self {
        Self { units: Units::new(), tenants: None, differences: vec![format!("{error:#}")] }
    }
}

impl Row {
    fn tell(&self) {
        self.differences.iter().for_each(|difference| say(format!("    {difference}")));
    }

    fn verdict(&self) -> &'static str {
        if self.differences.is_empty() { "equal" } else { "DIFFERENT" }
    }

    fn figures(&self) -> Value {
        let Self { from, into, collection, named, format, objects, tenants, replicas, digest, differences } = self;
        json!({
            "from": from, "into": into, "collection": collection, "named": named, "format": format, "objects": objects,
            "tenants": tenants, "replicas": replicas, "digest": digest, "differences": differences,
        })
    }
}

fn print(rows: &[Row]) {
    println!(
        "\n{:<26} {:<26} {:<11} {:<8} {:>7} {:<13} {:>8}  {:<16} vectors and properties",
        "from", "into", "collection", "format", "objects", "tenants", "replicas", "digest"
    );
    for row in rows {
        let Row { from, into, collection, format, objects, tenants, replicas, digest, .. } = row;
        let verdict = row.verdict();
        println!(
            "{from:<26} {into:<26} {collection:<11} {format:<8} {objects:>7} {tenants:<13} {replicas:>8}  {digest} {verdict}"
        );
    }
}

/// What all replicas hold, tenant by tenant, once they hold the same.
fn read(servers: &Servers, collection: &str, factor: usize) -> Result<Units> {
    let tenants = source::tenants(servers, collection)?;
    let units = match &tenants {
        None => vec![None],
        Some(tenants) => tenants.keys().map(|tenant| Some(tenant.as_str())).collect(),
    };
    let mut out = Units::new();
    for unit in units {
        let mut why = String::new();
        let contents = wait_for_every(PAUSE, &format!("the replicas of {collection} to agree"), AGREED, || {
            Ok(match Contents::take(servers, collection, unit, factor)? {
                Ok(contents) => Some(contents),
                Err(disagreement) => {
                    if why.is_empty() {
                        say(format!("  {collection}: waiting for its replicas: {disagreement}"));
                    }
                    why = disagreement;
                    None
                }
            })
        });
        out.insert(unit.map(str::to_owned), contents.with_context(|| why)?);
    }
    Ok(out)
}

/// Wakes the tenants that rest, and waits until every node can be asked for each.
fn wake(servers: &Servers, collection: &str, tenants: Option<&BTreeMap<String, String>>) -> Result<()> {
    let resting = tenants.into_iter().flatten().filter(|(_, activity)| *activity != "HOT").collect::<Vec<_>>();
    if resting.is_empty() {
        return Ok(());
    }
    let order = resting.iter().map(|(name, _)| json!({"name": name, "activityStatus": "HOT"})).collect::<Vec<_>>();
    servers.put("w-0", &format!("/v1/schema/{collection}/tenants"), &json!(order))?;
    for (node, tenant) in servers.running().iter().flat_map(|node| resting.iter().map(move |(name, _)| (node, name))) {
        wait_for_every(PAUSE, &format!("{node} to wake {tenant}"), HEARD, || {
            let path = format!("/v1/objects?class={collection}&tenant={tenant}&limit=1");
            Ok(servers.get(node, &path).is_ok_and(|(status, _)| status == 200).then_some(()))
        })?;
    }
    Ok(())
}

/// The properties of a class by name.
fn in_order(class: &mut Value) {
    if let Some(properties) = class["properties"].as_array_mut() {
        properties.sort_by_key(|property| property["name"].as_str().map(str::to_owned));
    }
}

fn restored_name(collection: &str, format: &str) -> String {
    format!("{collection}_{format}")
}

fn objects(units: &Units) -> usize {
    units.values().map(Contents::objects).sum()
}

/// How many tenants there are of each activity.
fn activities(tenants: Option<&BTreeMap<String, String>>) -> String {
    let Some(tenants) = tenants else { return "none".to_owned() };
    let count = |activity: &str| tenants.values().filter(|is| *is == activity).count();
    format!("{} hot, {} cold", count("HOT"), count("COLD"))
}
