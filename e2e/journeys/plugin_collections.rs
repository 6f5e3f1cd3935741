//! `kubectl elysia col`: a collection's whole life by hand, and what is refused on the way.

use std::io::Write as _;
use std::process::{Command, Stdio};

use elysia_api::ElysiaCollection;
use serde_json::Value;

use crate::support::{Stage, plug_in_path};

#[tokio::test]
async fn a_life_by_hand() {
    let stage = Stage::set("plugin-collections").await;
    let nodes = stage.cluster("search").await;

    let (code, text) = stage.plug_in(&["col", "create", "Notes", "--from-template", "standard", "--wait"]).await;
    assert_eq!(code, 0, "{text}");
    stage.collection_says("notes", "Ready", "True", "").await;
    nodes.create("Loose", 1, 3).await;
    nodes.fill("Loose", 7).await;

    let (code, text) = stage.plug_in(&["col", "ls", "-o", "json"]).await;
    let listed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let names: Vec<_> = listed.as_array().unwrap().iter().filter_map(|entry| entry["name"].as_str()).collect();
    assert_eq!(code, 0);
    assert!(names.contains(&"Loose") && names.contains(&"Notes"), "{text}");
    for arguments in [&["col", "show", "Notes", "--schema", "--shards", "--stats"][..], &["col", "stats", "Loose"]] {
        let (code, text) = stage.plug_in(arguments).await;
        assert_eq!(code, 0, "{text}");
    }
    let (code, text) = stage.plug_in(&["col", "health", "Loose", "--detailed"]).await;
    assert_eq!(code, 0, "{text}");

    // A wrong count, and nobody who answers: nothing happens.
    let file = std::env::temp_dir().join(format!("journey-loose-{}.json", std::process::id()));
    let clear = ["col", "clear", "Loose", "--backup", file.to_str().unwrap()];
    for wrong in ["6\n", "yes\n", ""] {
        let (code, text) = typing(&stage, &clear, wrong).await;
        assert_eq!(code, 1, "{text}");
        let (code, text) = typing(&stage, &["col", "rm", "Loose"], wrong).await;
        assert_eq!(code, 1, "{text}");
    }
    assert!(nodes.ids("Loose").await.values().all(|ids| ids.len() == 7));

    // The right one: the objects go and the collection stays, with its replicas.
    let (code, text) = typing(&stage, &clear, "7\n").await;
    assert_eq!(code, 0, "{text}");
    std::fs::remove_file(&file).unwrap();
    assert!(nodes.ids("Loose").await.values().all(Vec::is_empty));
    nodes.assert_replicated("Loose", 3).await;

    let (code, text) = typing(&stage, &["col", "rm", "Loose"], "0\n").await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = typing(&stage, &["col", "rm", "Notes", "--wait"], "0\n").await;
    assert_eq!(code, 0, "{text}");
    assert!(stage.api::<ElysiaCollection>().get_opt("notes").await.unwrap().is_none());
    let (code, text) = stage.plug_in(&["col", "ls", "--filter", "[LN]o*"]).await;
    assert_eq!((code, text.as_str()), (0, "no collections\n"));

    // All of it can be read afterwards.
    let (code, text) = stage.plug_in(&["audit"]).await;
    assert_eq!(code, 0, "{text}");
    for word in ["Created", "Cleared", "Removed"] {
        assert!(text.contains(word), "{text}");
    }
    stage.strike().await;
}

/// Runs the plug-in with this on its stdin.
async fn typing(stage: &Stage, arguments: &[&str], typed: &str) -> (i32, String) {
    let mut command = Command::new(plug_in_path());
    command.args(arguments).args(["--namespace", &stage.namespace]).env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let typed = typed.to_owned();
    let run = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // It may have been refused before it read anything.
        let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = run.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}
