//! Files on a volume that leave their place once every line of them is counted: renamed, or moved into a folder. Operator
//! and workers are killed on the way; no file is lost, none is read twice.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use elysia_api::{ElysiaCollection, IndexSource, names};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::core::ResourceExt as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::feed::notes;
use crate::feed_s3::{adds, ids};
use crate::operator_killed::kill_operator;
use crate::support::{Nodes, PATIENCE, Stage, is};

/// Lines of the large file: a worker takes some seconds for it with the small batches that the feed asks for.
const LINES: usize = 6_000;

/// A feed that watches a folder of a volume, and that folder as this machine sees it.
struct Scene {
    stage: Stage,
    nodes: Nodes,
    folder: PathBuf,
    /// Paths of all documents that were ever added.
    paths: BTreeSet<String>,
    lines: i64,
}

impl Scene {
    async fn set(name: &str, processed: &Value) -> Self {
        let stage = Stage::set(name).await;
        let nodes = stage.cluster("search").await;
        stage.apply::<ElysiaCollection>(notes()).await;
        stage.collection_says("notes", "Ready", "True", "").await;
        let folder = claimed_folder(&stage, "files").await.join("in");
        fs::create_dir(&folder).unwrap();
        // The worker is another user than the one who made it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        stage
            .apply::<IndexSource>(json!({
                "metadata": {"name": "files"},
                "spec": {
                    "clusterRef": {"name": "search"},
                    "collection": "Notes",
                    "source": {"volume": {"claimName": "files", "path": "in", "processed": processed}},
                    "run": {"watch": {"interval": "1s"}},
                    "parallelism": 1,
                    "batch": {"objects": 50},
                },
            }))
            .await;
        Self { stage, nodes, folder, paths: BTreeSet::new(), lines: 0 }
    }

    /// A file appears, whole.
    fn write(&mut self, name: &str, prefix: &str, count: usize) {
        let hidden = self.folder.join(format!(".{name}"));
        fs::write(&hidden, adds(prefix, count, "x")).unwrap();
        fs::rename(hidden, self.folder.join(name)).unwrap();
        self.paths.extend((0..count).map(|number| format!("{prefix}{number}")));
        self.lines += i64::try_from(count).unwrap();
    }

    /// Waits until every line is counted once.
    async fn caught_up(&self) {
        let api = self.stage.api::<IndexSource>();
        let wanted = self.lines;
        self.stage
            .wait(&format!("{wanted} lines to be counted"), PATIENCE, async || {
                let status = api.get("files").await.unwrap().status?;
                let counts = status.counts?;
                let sum = counts.added
                    + counts.modified
                    + counts.deleted
                    + counts.renamed
                    + counts.unchanged
                    + counts.rejected;
                assert_eq!(counts.lines, sum, "{counts:?}");
                assert!(counts.lines <= wanted, "{counts:?}: something was read twice");
                (is(&status.conditions, "CaughtUp", "True") && counts.lines == wanted).then_some(())
            })
            .await;
    }

    /// Waits until so many lines are counted that some are left.
    async fn under_way(&self) {
        let api = self.stage.api::<IndexSource>();
        let begun = self.lines - i64::try_from(LINES).unwrap() + 100;
        self.stage
            .wait("the large file to be under way", PATIENCE, async || {
                let lines = api.get("files").await.unwrap().status?.counts?.lines;
                (lines >= begun).then_some(())
            })
            .await;
    }

    /// Waits until nothing but these files is where the feed reads.
    async fn left(&self, names: &[&str], is_put_away: impl Fn(&str) -> bool) {
        self.stage
            .wait(&format!("only {names:?} to be left"), PATIENCE, async || {
                let left = files(&self.folder).into_iter().filter(|name| !is_put_away(name)).collect::<Vec<_>>();
                (left == names).then_some(())
            })
            .await;
    }

    async fn assert_all_hold(&self) {
        self.nodes.assert_all_hold("Notes", &ids(self.paths.iter().cloned())).await;
    }
}

/// Volumes are chosen by one journey at a time: until a claim is bound its volume looks free to the next one.
static CHOICE: Mutex<()> = Mutex::const_new(());

/// Claims a volume of the ground under this name, before there is a pod for it. Where it is on this machine: the ground's
/// volumes are folders of it.
pub(crate) async fn claimed_folder(stage: &Stage, claim_name: &str) -> PathBuf {
    let _choice = CHOICE.lock().await;
    stage
        .apply::<PersistentVolumeClaim>(json!({
            "metadata": {"name": claim_name},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                // A claim that names no volume waits for its first pod, and files shall be there before.
                "volumeName": free_volume(stage).await,
            },
        }))
        .await;
    folder_of(stage, claim_name).await
}

/// A volume of the ground that nobody claims: the last one, since claims that name none get the first.
async fn free_volume(stage: &Stage) -> String {
    let volumes: Api<PersistentVolume> = Api::all(stage.client.clone());
    let volumes = volumes.list(&ListParams::default()).await.unwrap();
    let is_free = |volume: &PersistentVolume| {
        volume.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Available"))
    };
    volumes.into_iter().rev().find(is_free).expect("the ground has no free volume").name_any()
}

async fn folder_of(stage: &Stage, claim_name: &str) -> PathBuf {
    let claims = stage.api::<PersistentVolumeClaim>();
    let volume = stage
        .wait("the claim to be bound", PATIENCE, async || {
            let claim = claims.get(claim_name).await.unwrap();
            claim.status.filter(|status| status.phase.as_deref() == Some("Bound"))?;
            claim.spec?.volume_name
        })
        .await;
    let volumes: Api<PersistentVolume> = Api::all(stage.client.clone());
    let path = volumes.get(&volume).await.unwrap().spec.unwrap().host_path;
    PathBuf::from(path.expect("this journey needs the ground's own volumes").path)
}

/// Names of the files of a folder that are not hidden.
fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    let names = names.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names = names.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

/// Kills, files of a name that was there before, one whose last line is being written: whatever happens to the files
/// afterwards.
async fn live_through(scene: &mut Scene, is_put_away: impl Fn(&str) -> bool) {
    for name in ["a", "b"] {
        scene.write(&format!("{name}.jsonl"), name, 10);
    }
    scene.write("c.jsonl", "c", LINES);
    scene.under_way().await;
    kill_operator(&scene.stage).await;
    scene.stage.kill_pods(names::FEED_LABEL).await;
    scene.caught_up().await;
    scene.left(&[], &is_put_away).await;

    // Many files are put away one after another, and the worker dies among them.
    for number in 0..60 {
        scene.write(&format!("many-{number:02}.jsonl"), &format!("many{number}-"), 2);
    }
    scene
        .stage
        .wait("the first of many to be put away", PATIENCE, async || {
            let left = files(&scene.folder).into_iter().filter(|name| !is_put_away(name)).count();
            (left < 60).then_some(())
        })
        .await;
    scene.stage.kill_pods(names::FEED_LABEL).await;
    scene.left(&[], &is_put_away).await;
    scene.caught_up().await;

    // Another file of a name that was there before.
    scene.write("a.jsonl", "again", 10);
    scene.caught_up().await;
    scene.left(&[], &is_put_away).await;

    // Its last line is not whole: what is whole of it is indexed, and it stays until the rest has come.
    let growing = scene.folder.join("growing.jsonl");
    let text = adds("grown", 2, "x");
    let (whole, rest) = text.split_at(text.len() - 20);
    fs::write(&growing, whole).unwrap();
    scene.lines += 1;
    scene.caught_up().await;
    scene.write("d.jsonl", "d", 5);
    scene.caught_up().await;
    scene.left(&["growing.jsonl"], &is_put_away).await;
    fs::OpenOptions::new().append(true).open(&growing).unwrap().write_all(rest.as_bytes()).unwrap();
    scene.lines += 1;
    scene.paths.extend(["grown0", "grown1"].map(str::to_owned));
    scene.caught_up().await;
    scene.left(&[], &is_put_away).await;

    // The status is lost; nothing is read again.
    let lost = json!({"status": null});
    let api = scene.stage.api::<IndexSource>();
    api.patch_status("files", &PatchParams::default(), &Patch::Merge(&lost)).await.unwrap();
    scene.caught_up().await;
    scene.assert_all_hold().await;
}

#[tokio::test]
async fn files_that_are_renamed() {
    let mut scene = Scene::set("feed-volume-rename", &json!({"rename": {"suffix": ".processed"}})).await;
    live_through(&mut scene, |name| name.ends_with(".processed")).await;
    let names = files(&scene.folder);
    assert_eq!(names.len(), 3 + 60 + 1 + 2, "{names:?}");
    assert!(names.contains(&"a.jsonl.processed".to_owned()) && names.contains(&"a.jsonl.1.processed".to_owned()));
    scene.stage.strike().await;
}

#[tokio::test]
async fn files_that_are_moved() {
    let mut scene = Scene::set("feed-volume-move", &json!({"move": {"path": "done"}})).await;
    live_through(&mut scene, |_| false).await;
    let names = files(&scene.folder.with_file_name("done"));
    assert_eq!(names.len(), 3 + 60 + 1 + 2, "{names:?}");
    assert!(names.contains(&"a.jsonl".to_owned()) && names.contains(&"a.jsonl.1".to_owned()), "{names:?}");
    scene.stage.strike().await;
}
