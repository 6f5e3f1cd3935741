//! A collection with another schema, by way of a backup: the very commands of docs/plugin.md, one after the other.

use std::io::Write as _;
use std::process::{Command, Stdio};

use elysia_weaviate::SchemaRead;

use crate::support::{Stage, plug_in_path};

const DOCUMENT: &str = include_str!("../../docs/plugin.md");
const OBJECTS: u32 = 7;
/// Where a person changes the file: what no server changes in place.
const CHANGE: &str = "# change it";
const CHANGED: &str = r#"
python3 - <<'END'
import json
schema = json.load(open("articles.json"))
for text in schema["properties"]:
    text["tokenization"] = "field"
json.dump(schema, open("articles.json", "w"))
END"#;
/// Where there is no jq: the two things that are asked of it.
const JQ: &str = r#"
command -v jq > /dev/null || jq() {
    python3 -c 'import json, sys
name, file = (sys.argv[-1], sys.stdin) if sys.argv[1] == "-r" else (sys.argv[1], open(sys.argv[2]))
found = json.load(file)[name[1:]]
print(found if isinstance(found, str) else json.dumps(found))' "$@"
}"#;

/// The commands of the document, for one namespace.
fn script(namespace: &str) -> String {
    let (_, behind) = DOCUMENT.split_once("Another schema, where the old collection goes first").unwrap();
    let (_, block) = behind.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let block = block.replace(CHANGE, CHANGED);
    let plug_in = format!("'{}' --namespace {namespace}", plug_in_path().display());
    format!("set -euo pipefail\nset -x\n{JQ}\n{}", block.replace("kubectl elysia", &plug_in))
}

#[tokio::test]
async fn the_documented_way() {
    let stage = Stage::set("schema-update").await;
    let nodes = stage.cluster("search").await;
    nodes.create("Articles", 1, 3).await;
    let ids = nodes.fill("Articles", OBJECTS).await;

    let folder = std::env::temp_dir().join(format!("journey-schema-update-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("backups")).unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", &script(&stage.namespace)]).current_dir(&folder).env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // What `col rm` asks for.
        child.stdin.take().unwrap().write_all(format!("{OBJECTS}\n").as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = run.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    std::fs::remove_dir_all(&folder).unwrap();

    let class = nodes.first().class("Articles", SchemaRead::Leader).await.unwrap().unwrap();
    assert_eq!(class["properties"][0]["tokenization"], "field", "{text}");
    for (node, found) in nodes.ids("Articles").await {
        assert_eq!(found.len(), ids.len(), "{node}: {text}");
    }
    stage.strike().await;
}
