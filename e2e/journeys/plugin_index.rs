//! A feed from a person's own machine: no `IndexSource`, no Job. What was killed goes on where it stopped, and repeating
//! changes nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use elysia_api::ElysiaCollection;
use serde_json::Value;
use uuid::Uuid;

use crate::feed::notes;
use crate::support::{Nodes, PATIENCE, Stage, on_a_thread, plug_in_path};

/// Lines of the feed: enough that it can be killed on its way.
const LINES: usize = 6_000;
/// Paths that are changed over and over.
const PATHS: usize = 2_000;

fn id(path: usize) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notesr:{path}.md").as_bytes())
}

/// Adds, changes and deletes, and the paths that are there at the end.
fn feed() -> (String, BTreeSet<Uuid>) {
    let mut lines = String::new();
    let mut there = BTreeSet::new();
    for number in 0..LINES {
        let path = number * 7 % PATHS;
        if number % 5 == 4 {
            there.remove(&id(path));
            writeln!(lines, r#"{{"repo":"r","op":"delete","path":"{path}.md"}}"#).unwrap();
        } else {
            there.insert(id(path));
            writeln!(lines, r#"{{"repo":"r","op":"add","path":"{path}.md","content":"text {number}"}}"#).unwrap();
        }
    }
    (lines, there)
}

async fn assert_holds(nodes: &Nodes, expected: &BTreeSet<Uuid>) {
    nodes.assert_all_hold("Notes", &expected.iter().copied().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn files_are_indexed_from_here() {
    let stage = Stage::set("plugin-index").await;
    let nodes = stage.cluster("search").await;
    stage.apply::<ElysiaCollection>(notes()).await;
    stage.collection_says("notes", "Ready", "True", "").await;
    let folder = tempfile::tempdir().unwrap();
    let (text, expected) = feed();
    let path = folder.path().join("feed.jsonl");
    std::fs::write(&path, &text).unwrap();
    let (file, ledger) = (path.to_str().unwrap(), folder.path().join("ledger.json"));
    let run = ["index", "run", file, "--collection", "Notes", "--ledger", ledger.to_str().unwrap(), "-o", "json"];

    // Killed without a word, again and again, each time further on.
    for done in [500, 2_500] {
        let mut child = start(&stage, &run);
        stage.wait("the run to get on", PATIENCE, async || (lines_of(&ledger) >= done).then_some(())).await;
        child.kill().unwrap();
        if child.wait().unwrap().code().is_some() {
            // Looked at too late. What is done is not done again, unless it is forgotten.
            stage.say("the run was over before it was killed");
            std::fs::remove_file(&ledger).unwrap();
        }
    }
    let (code, text) = stage.plug_in(&run).await;
    assert_eq!(code, 0, "{text}");
    // Behind it stands what was told of the progress.
    let told = serde_json::Deserializer::from_str(&text).into_iter::<Value>().next().unwrap().unwrap();
    let counts = &told["counts"];
    assert_eq!((counts["lines"].as_u64(), counts["rejected"].as_u64()), (Some(6_000), Some(0)), "{text}");
    let sum: u64 = ["added", "modified", "deleted", "renamed", "unchanged", "rejected"]
        .iter()
        .map(|kind| counts[kind].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 6_000, "{text}");
    assert_holds(&nodes, &expected).await;

    // Done is done; and what was rewritten is not taken for what was indexed.
    let (code, text) = stage.plug_in(&run).await;
    assert!(code == 0 && text.contains("were indexed before"), "{text}");
    let once = ["index", "run", file, "--collection", "Notes"];
    let (code, text) = stage.plug_in(&once).await;
    assert_eq!(code, 0, "{text}");
    assert_holds(&nodes, &expected).await;

    // What would delete more than was said changes nothing.
    let gone = folder.path().join("gone.jsonl");
    let mut lines = String::new();
    for path in 0..20 {
        writeln!(lines, r#"{{"repo":"r","op":"delete","path":"{path}.md"}}"#).unwrap();
    }
    std::fs::write(&gone, lines).unwrap();
    let there = u64::try_from((0..20).filter(|path| expected.contains(&id(*path))).count()).unwrap();
    let few = (there - 1).to_string();
    let delete = ["index", "run", gone.to_str().unwrap(), "--collection", "Notes", "--max-deletes", &few];
    let (code, text) = stage.plug_in(&delete).await;
    assert!(
        code == 1 && text.contains(&format!("{there} documents")) && text.contains("nothing was changed"),
        "{text}"
    );
    assert_holds(&nodes, &expected).await;

    // From a pipe, with bad lines.
    let (code, text) =
        pipe(&stage, "{\"repo\":\"r\",\"op\":\"add\",\"path\":\"p.md\",\"content\":\"x\"}\nnonsense\n").await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2 lines into Notes = 1 added") && text.contains("-:2: validation:"), "{text}");
    let mut more = expected.clone();
    more.insert(Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"Notesr:p.md"));
    assert_holds(&nodes, &more).await;
    // A folder: new files and what is appended, each once; what was rewritten is left alone and named.
    let inbox = folder.path().join("inbox");
    std::fs::create_dir(&inbox).unwrap();
    let add = |path: &str| format!("{{\"repo\":\"r\",\"op\":\"add\",\"path\":\"{path}\",\"content\":\"x\"}}\n");
    let watch = ["index", "watch", inbox.to_str().unwrap(), "--collection", "Notes", "--once"];
    for (text, path) in [(add("q.md"), "q.md"), (add("q.md") + add("s.md").as_str(), "s.md")] {
        std::fs::write(inbox.join("one.jsonl"), text).unwrap();
        let (code, text) = stage.plug_in(&watch).await;
        assert_eq!(code, 0, "{text}");
        more.insert(Uuid::new_v5(&Uuid::NAMESPACE_DNS, format!("Notesr:{path}").as_bytes()));
        assert_holds(&nodes, &more).await;
    }
    std::fs::write(inbox.join("one.jsonl"), add("t.md")).unwrap();
    let (code, text) = stage.plug_in(&watch).await;
    assert!(code == 1 && text.contains("one.jsonl"), "{code} {text}");
    assert_holds(&nodes, &more).await;
    let (code, _) = stage.plug_in(&["index", "run", file, "--collection", "Nowhere"]).await;
    assert_eq!(code, 2);
    stage.strike().await;
}

fn lines_of(ledger: &Path) -> u64 {
    let stored: Option<Value> = std::fs::read(ledger).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    stored.and_then(|ledger| ledger["counts"]["lines"].as_u64()).unwrap_or_default()
}

fn start(stage: &Stage, arguments: &[&str]) -> Child {
    let mut command = Command::new(plug_in_path());
    command.args(arguments).args(["--namespace", &stage.namespace]).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

async fn pipe(stage: &Stage, lines: &str) -> (i32, String) {
    let mut command = Command::new(plug_in_path());
    command.args(["index", "sync", "--stdin", "--collection", "Notes", "--namespace", &stage.namespace]);
    command.env("NO_COLOR", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let lines = lines.to_owned();
    on_a_thread(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code().unwrap_or(-1), text)
    })
    .await
}
