//! What is said of runs, and what the command line understands.

use std::collections::BTreeMap;

use clap::Parser as _;
use elysia_engine::backup::digest::Contents;
use elysia_engine::backup::manifest::{
    CollectionNote, DataFormat, Difference, FORMAT, FORMAT_VERSION, FileNote, Manifest, NativeNote, Owner,
    ReplicasNote, RunMode, SourceNote,
};
use elysia_engine::backup::restore::{AliasState, Blocker, Computed, Conflict, Receipt};
use elysia_engine::backup::stored::StoredError;
use elysia_engine::backup::verify::{Depth, Fault, Findings};
use elysia_engine::checkpoint::Digest;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::{Cli, exit_of_parser};
use super::abandon;
use super::cleanup::days;
use super::create::doubts;
use super::look::{Asked, read_back, table, whole};
use super::remove::warning;
use super::restore::consent::{Consent, unasked};
use super::restore::{Planned, receipt_id, render_plan};
use super::verify::{render, told_of_native};
use crate::worker::backup::{Chosen, RunState, RunSummary, Verdict};

fn text(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn help(line: &str) -> String {
    Cli::try_parse_from(line.split(' ')).unwrap_err().render().to_string()
}

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn note(name: &str, objects: u64, replicas: ReplicasNote) -> CollectionNote {
    CollectionNote {
        name: name.to_owned(),
        contents: Contents { objects, ..Contents::default() },
        written: None,
        gone: 0,
        parts: 2,
        bytes: objects * 1000,
        tenants: (name == "Notes").then_some(3),
        left_out: usize::from(name == "Notes"),
        replicas,
        index: FileNote { key: format!("index/{name}.json"), bytes: 1, sha256: Digest::of(b"") },
    }
}

pub(super) fn manifest() -> Manifest {
    let difference = Difference {
        tenant: Some("acme".to_owned()),
        id: Uuid::from_u128(7),
        held: vec!["w-0".to_owned(), "w-1".to_owned()],
        lacking: vec!["w-2".to_owned()],
        otherwise: vec![],
    };
    let differing = ReplicasNote { compared: true, differing: 1, first: vec![difference] };
    Manifest {
        format: FORMAT.to_owned(),
        version: FORMAT_VERSION,
        run: "20261129T161553Z-003f".to_owned(),
        owner: Owner { cluster: "shop/search".to_owned(), policy: "by-hand".to_owned() },
        started_at: at("2026-11-29T16:15:53Z"),
        finished_at: at("2026-11-29T16:16:13Z"),
        source: SourceNote { weaviate: "1.38.2".to_owned(), nodes: 3 },
        tool: "elysia-operator 0.0.0".to_owned(),
        data: DataFormat::Parquet,
        mode: RunMode::Full,
        filter: None,
        base: Vec::new(),
        encryption: None,
        native: None,
        lacks: BTreeMap::new(),
        collections: vec![note("Articles", 1250, ReplicasNote::default()), note("Notes", 40, differing)],
    }
}

pub(super) fn summary() -> RunSummary {
    RunSummary::of(&manifest(), Some(at("2026-11-29T17:00:00Z")))
}

fn unfinished() -> RunSummary {
    RunSummary {
        id: "20261128T161553Z-0001".to_owned(),
        state: RunState::Unfinished,
        finished_at: None,
        verified_at: None,
        collections: BTreeMap::new(),
        started_at: Some(at("2026-11-28T16:15:53Z")),
        ..summary()
    }
}

/// Of a restore of `Articles` that was cut off.
pub(super) fn receipt(has_written: bool) -> Receipt {
    serde_json::from_value(serde_json::json!({
        "format": FORMAT, "version": FORMAT_VERSION, "run": "20261128T161553Z-003f", "collection": "Articles",
        "into": "Restored", "target": "ai/search", "conflict": "Fail", "state": "Running", "hasWritten": has_written,
        "startedAt": "2026-11-29T16:15:53Z", "updatedAt": "2026-11-29T16:20:53Z", "done": [],
        "counts": {"written": 9, "skipped": 0, "merged": 0},
    }))
    .unwrap()
}

/// To look at all parts takes long enough for a writer to make the class: nobody agreed that its objects are written over.
#[test]
fn who_is_not_asked_has_agreed_to_no_change_of_what_is_there() {
    for conflict in [Conflict::Overwrite, Conflict::Merge] {
        assert_eq!(unasked(conflict, true, false), Some(Consent::ToNothing), "{conflict:?}");
        assert_eq!(unasked(conflict, false, false), None, "{conflict:?}");
        assert_eq!(unasked(conflict, false, true), Some(Consent::ToChanges), "{conflict:?}");
    }
    for conflict in [Conflict::Fail, Conflict::Skip] {
        assert_eq!(unasked(conflict, false, false), Some(Consent::ToChanges), "{conflict:?}");
    }
}

#[test]
fn a_restore_that_is_to_be_given_up_is_shown_first() {
    let now = at("2026-11-30T16:15:53Z");
    let unread = || StoredError::Missing("restores/c.json".to_owned());
    let found =
        [("a".to_owned(), Ok(receipt(true))), ("b".to_owned(), Ok(receipt(false))), ("c".to_owned(), Err(unread()))];
    insta::assert_snapshot!("abandon_table", text(&abandon::table(&found.iter().collect::<Vec<_>>(), now)));
    let warnings: Vec<String> = found.iter().map(|(id, receipt)| abandon::warning(id, receipt, now)).collect();
    insta::assert_snapshot!("abandon_warning", text(&warnings.join("\n")));
}

#[test]
fn help_reads_like_kubectl() {
    for command in [
        "backup",
        "backup create",
        "backup schedule",
        "backup ls",
        "backup show",
        "backup verify",
        "backup rm",
        "backup cleanup",
        "backup abandon",
        "restore",
    ] {
        let name = format!("help_{}", command.replace(' ', "_"));
        // What stands in the environment of whoever runs this.
        let shown = help(&format!("kubectl-elysia {command} --help"));
        insta::assert_snapshot!(name, shown);
    }
}

#[test]
fn the_older_name_does_the_same() {
    for line in [
        "kubectl-elysia catalog list --store s3://b/p",
        "kubectl-elysia catalog show latest --store /backups",
        "kubectl-elysia catalog verify 20261129T161553Z-003f --store /backups",
        "kubectl-elysia catalog cleanup --older-than 30d --store /backups",
        "kubectl-elysia backup cleanup --keep-last 7 --keep-daily 7 --older-than 30d --yes --store s3://b",
        "kubectl-elysia backup create A B --store /backups --format jsonl --compression gzip --cold wake",
        "kubectl-elysia restore latest A --store /backups --into B --conflict merge --factor 1 --shards 3 --plan",
        "kubectl-elysia restore latest A --store /backups --url http://localhost:8080 --receipts /receipts",
    ] {
        assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
    }
    for line in [
        "kubectl-elysia backup cleanup --store /backups",
        "kubectl-elysia backup cleanup --older-than soon --store /backups",
        "kubectl-elysia backup cleanup --keep-last 1 --time-zone Nowhere --store /backups",
        "kubectl-elysia backup create --format csv --store /backups",
        "kubectl-elysia backup rm --store /backups",
        "kubectl-elysia restore latest --store /backups",
        "kubectl-elysia restore latest A --store /backups --factor 0",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
        assert_eq!(exit_of_parser(&error).code(), 64, "{line}");
    }
}

#[test]
fn what_is_not_known_is_not_zero() {
    let unreadable = RunSummary {
        id: "20261127T161553Z-0001".to_owned(),
        state: RunState::Unreadable,
        owner: None,
        started_at: None,
        finished_at: None,
        problem: Some("manifest.json cannot be read\u{1b}[2J".to_owned()),
        ..unfinished()
    };
    let now = at("2026-11-29T18:00:00Z");
    insta::assert_snapshot!("ls_table", text(&table(&[summary(), unfinished(), unreadable.clone()], now)));
    let aliases = BTreeMap::from([("Articles".to_owned(), vec!["Live".to_owned(), "Papers".to_owned()])]);
    insta::assert_snapshot!("show", text(&whole(&manifest(), "never", &Ok(None), &Ok(aliases))));
    insta::assert_snapshot!("doubts", text(&doubts(&manifest())));
    let warnings = [summary(), unfinished(), unreadable].map(|run| warning(&run, "s3://b/p")).concat();
    insta::assert_snapshot!("rm_warning", text(&warnings));
}

#[test]
fn runs_are_asked_for_by_state() {
    let mut unread = summary();
    unread.verified_at = None;
    let mut doubtful = summary();
    doubtful.problem = Some("judged.json cannot be read".to_owned());
    let unreadable = RunSummary { state: RunState::Unreadable, ..unfinished() };
    let all = [Asked::Complete, Asked::Verified, Asked::Suspect, Asked::Unfinished, Asked::Unreadable];
    for (run, states) in [
        (summary(), &[Asked::Complete, Asked::Verified][..]),
        (unread, &[Asked::Complete]),
        (doubtful, &[Asked::Complete, Asked::Suspect]),
        (unfinished(), &[Asked::Unfinished]),
        (unreadable, &[Asked::Unreadable]),
    ] {
        let found: Vec<Asked> = all.into_iter().filter(|state| state.is(&run)).collect();
        assert_eq!(found, states, "{run:?}");
    }
    assert!(
        Cli::try_parse_from("kubectl-elysia backup ls --since 7d --until 1d --state suspect --store /b".split(' '))
            .is_ok()
    );
}

#[test]
fn what_a_run_lacks_is_said_wherever_it_is_shown() {
    let lacks = BTreeMap::from([("Linked".to_owned(), "its vectors are made of its references".to_owned())]);
    let manifest = Manifest { lacks, ..manifest() };
    let note = "note: Linked is left out: its vectors are made of its references";
    assert!(text(&doubts(&manifest)).contains(note));
    assert!(text(&whole(&manifest, "never", &Ok(None), &Ok(BTreeMap::new()))).contains(note));
    assert_eq!(RunSummary::of(&manifest, None).lacks.len(), 1);
}

#[test]
fn a_run_that_was_damaged_since_it_was_read_back_is_not_called_verified() {
    let found = |edit: serde_json::Value| {
        let mut judged = serde_json::json!({"format": FORMAT, "version": FORMAT_VERSION, "at": "2026-11-29T00:00:00Z"});
        judged.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        Ok(Some(serde_json::from_value(judged).unwrap()))
    };
    let then = Some(at("2026-11-28T00:00:00Z"));
    for (verified, judged, expected) in [
        (None, Ok(None), "never"),
        (then, Ok(None), "2026-11-28T00:00:00Z"),
        (then, found(serde_json::json!({"suspect": ["it shrank"]})), "2026-11-28T00:00:00Z"),
        (
            then,
            found(serde_json::json!({"isDamaged": true, "suspect": ["p.zst is gone"]})),
            "no, it is damaged: p.zst is gone",
        ),
        (None, found(serde_json::json!({"isDamaged": true})), "no, it is damaged"),
        (then, Err("it is no JSON".to_owned()), "nobody knows: it is no JSON"),
    ] {
        assert_eq!(read_back(verified, &judged), expected);
    }
}

#[test]
fn damage_is_named() {
    let sound = Findings { files: 3, bytes: 5000, objects: 40, faults: vec![] };
    let key = "data/Notes/tenant=acme/part-00-00000.parquet".to_owned();
    let changed = Fault::Changed { key: key.clone(), wanted: Digest::of(b"a"), found: Digest::of(b"b") };
    let damaged = Findings { faults: vec![changed, Fault::Missing { key }], ..sound.clone() };
    let told = [render("r", &sound, Depth::Objects), render("r", &damaged, Depth::Hashes)].concat();
    insta::assert_snapshot!("verify", text(&told));
}

#[test]
fn what_weaviate_wrote_itself_is_said_to_be_so() {
    let native = Manifest {
        data: DataFormat::Native,
        native: Some(NativeNote {
            id: "20261129t161553z-003f".to_owned(),
            nodes: vec!["w-0".to_owned(), "w-1".to_owned()],
            hashed: true,
            estimated: Vec::new(),
            files: FileNote { key: "native.json".to_owned(), bytes: 1, sha256: Digest::of(b"") },
        }),
        ..manifest()
    };
    let shown = text(&whole(&native, "never", &Ok(None), &Err("run R is encrypted".to_owned())));
    assert!(shown.contains("aliases cannot be read: run R is encrypted"), "{shown}");
    let line = shown.lines().find(|line| line.starts_with("native ")).unwrap();
    assert!(line.contains("20261129t161553z-003f, of nodes w-0, w-1;"), "{line}");
    assert!(shown.contains("format     Native"), "{shown}");
    assert!(told_of_native(true).contains("only a restore proves") && told_of_native(false).contains("no hashes"));
}

#[test]
fn a_cleanup_says_why_a_run_stays() {
    let verdict = |run: RunSummary, kept: &[&'static str], suspect: Option<&str>| Verdict {
        run,
        kept: kept.to_vec(),
        suspect: suspect.map(str::to_owned),
    };
    let verdicts = [
        verdict(summary(), &["newest", "last"], None),
        verdict(summary(), &["suspect"], Some("collection B of run 2 is not in it")),
        verdict(unfinished(), &[], None),
    ];
    let now = at("2026-11-29T18:00:00Z");
    insta::assert_snapshot!("cleanup_table", text(&super::cleanup::table(&verdicts, now)));
}

#[test]
fn times_are_read_with_days() {
    assert_eq!(days("30d").unwrap().as_hours(), 720);
    assert_eq!(days("1d 6h").unwrap().as_hours(), 30);
    for wrong in ["", "30", "-1d", "0s", "soon"] {
        assert!(days(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_same_restore_has_the_same_receipt_and_no_other_has() {
    let id = |run, into, target, conflict| receipt_id(run, "A", into, target, conflict, &Chosen::default());
    let one = id("r", "B", "shop/search", Conflict::Fail);
    assert_eq!(one, id("r", "B", "shop/search", Conflict::Fail));
    assert!(elysia_engine::backup::layout::is_run_id(&one), "{one}");
    for other in [
        id("r2", "B", "shop/search", Conflict::Fail),
        id("r", "A", "shop/search", Conflict::Fail),
        id("r", "B", "shop/other", Conflict::Fail),
        id("r", "B", "shop/search", Conflict::Merge),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_plan_says_what_becomes_of_each_alias_and_what_is_computed() {
    let elsewhere = AliasState::Elsewhere { collection: "Newer".to_owned() };
    let old = AliasState::Unknown { version: "1.31.0".to_owned() };
    let aliases = [
        ("Live", AliasState::Absent),
        ("Kept", AliasState::Leads),
        ("Moved", elsewhere),
        ("Papers", AliasState::Taken),
        ("Early", old),
        ("Left", AliasState::Skipped),
    ];
    let aliases = aliases.map(|(alias, state)| (alias.to_owned(), state)).into();
    let planned = Planned {
        run: "r1",
        collection: "Articles",
        into: "Articles",
        conflict: Conflict::Fail,
        objects: Some(9),
        creates_collection: true,
        creates_tenants: 0,
        receipt: "abc",
        state: "new",
        aliases: &aliases,
        deferred: &["by".to_owned()].into(),
        computed: &[
            Computed { vector: String::new(), module: "text2vec-x".to_owned(), objects: 3 },
            Computed { vector: "late".to_owned(), module: "text2vec-y".to_owned(), objects: 9 },
        ],
        blockers: &[Blocker::AliasTaken { alias: "Papers".to_owned() }],
    };
    insta::assert_snapshot!(text(&render_plan(&planned)), @r"
    run        r1
    from       Articles, 9 objects
    into       Articles, which is made
    conflict   Fail
    receipt    abc, new
    alias      Early: servers of version 1.31.0 have no aliases
    alias      Kept: leads to it
    alias      Left: the restore leaves aliases out
    alias      Live: is made behind the last object
    alias      Moved: it leads to Newer, and stays so
    alias      Papers: a collection has that name
    property   by: is added behind the objects, once the collection that it leads to is there
    computed   3 objects have no vector in the backup: module text2vec-x computes it as they are written
    computed   9 objects have no vector `late` in the backup: module text2vec-y computes it as they are written
    blocked: alias Papers cannot be made, since there is a collection of that name: let the restore leave aliases out
    ");
}
