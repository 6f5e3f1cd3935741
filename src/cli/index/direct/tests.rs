//! What is told of a run from here, and what names it.

use elysia_engine::category::Category;
use elysia_engine::rejection::DeadLetter;

use super::*;

fn letter(line: u64) -> DeadLetter {
    DeadLetter {
        file: "a\u{1b}.jsonl".to_owned(),
        line,
        offset: 0,
        length: 9,
        category: Category::Validation,
        reason: "`op` is missing".to_owned(),
    }
}

#[test]
fn the_first_rejected_lines_are_shown_and_all_are_counted() {
    let letters: Vec<DeadLetter> = (1..=2).map(letter).collect();
    let counts = Counts { lines: 10, added: 6, rejected: 4, ..Counts::default() };
    let done = Done {
        collection: "Files",
        state: State::Succeeded,
        counts: &counts,
        errors: &elysia_engine::category::Tally::default(),
        seconds: 1.25,
        rejected_lines: &letters,
    };
    insta::assert_snapshot!(render(&done, &["a.jsonl".to_owned()]), @r"
    10 lines into Files = 6 added + 0 modified + 0 deleted + 0 renamed + 0 unchanged + 4 rejected, in 1.2s
    a .jsonl:1: validation: `op` is missing
    a .jsonl:2: validation: `op` is missing
    and 2 more; see: kubectl elysia index validate a.jsonl
    ");
    assert!(render(&done, &["-".to_owned()]).ends_with("and 2 more; see: kubectl elysia index validate FILE\n"));
}

#[test]
fn a_run_is_named_after_what_it_is_and_not_after_how_it_is_done() {
    #[derive(clap::Parser)]
    struct Parsed {
        #[command(flatten)]
        args: DirectArgs,
    }
    let run = |file: &str, collection: &str, line: &str| {
        let parsed: Parsed = clap::Parser::parse_from(std::iter::once("run").chain(line.split_whitespace()));
        work(&[file.to_owned()], collection, &parsed.args, "http://here").unwrap().run
    };
    let one = run("a.jsonl", "Files", "");
    assert_eq!(one, run("./a.jsonl", "Files", "--parallelism 2 --max-rejected 9"));
    for other in [run("b.jsonl", "Files", ""), run("a.jsonl", "Notes", ""), run("a.jsonl", "Files", "--property a=b")] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_ledger_of_another_run_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.json");
    refuse_another(&path, "mine").unwrap();
    let ledger = Ledger::begin("mine", "Files", Timestamp::UNIX_EPOCH);
    std::fs::write(&path, serde_json::to_vec(&ledger).unwrap()).unwrap();
    refuse_another(&path, "mine").unwrap();
    let Err(Stop::Said { message, .. }) = refuse_another(&path, "other") else { panic!("written over") };
    assert!(message.contains("is the ledger of another run, into Files"), "{message}");
}

#[test]
fn sizes_are_known_of_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.jsonl");
    std::fs::write(&file, "12345").unwrap();
    let file = file.to_str().unwrap().to_owned();
    assert_eq!(sizes(&[file.clone(), file.clone()]).unwrap(), Some(10));
    assert_eq!(sizes(&[file, "-".to_owned()]).unwrap(), None);
    for wrong in ["nowhere.jsonl", folder.path().to_str().unwrap()] {
        let Err(Stop::Said { exit, message, .. }) = sizes(&[wrong.to_owned()]) else { panic!("{wrong}") };
        assert!(exit == Exit::Fault && message.ends_with("nothing was changed"), "{message}");
    }
}
