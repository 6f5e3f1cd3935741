//! Runs that are put off until enough lines wait for them.

use elysia_engine::ledger::State;
use elysia_engine::memory::Fuse;

use super::{Scene, add};

/// Lines that were ever read, and how many wait.
fn waiting(scene: &Scene) -> (u64, Option<u64>) {
    let ledger = scene.run(&Fuse::none()).unwrap();
    assert_eq!(ledger.state, State::Succeeded);
    (ledger.counts.lines, ledger.followed.unwrap().put_off.map(|put_off| put_off.lines))
}

#[test]
fn fewer_lines_than_wanted_wait_for_more() {
    for versions in [true, false] {
        let mut scene = Scene { min_changes: Some(3), ..Scene::new(versions) };
        scene.put("a.jsonl", &(add("a") + "\n" + add("b").as_str()));
        assert_eq!(waiting(&scene), (0, Some(2)), "a blank line is none");
        assert_eq!(scene.store.ledger().unwrap().followed.unwrap().caught_up_at, None);
        let before = scene.store.ledger();
        assert_eq!((waiting(&scene), scene.store.ledger()), ((0, Some(2)), before), "nothing new is written down");
        scene.append("a.jsonl", &add("c")[..20]);
        assert_eq!(waiting(&scene), (0, Some(2)), "a line that is being written is none");
        scene.append("a.jsonl", &add("c")[20..]);
        scene.put("b.jsonl", &add("d"));
        assert_eq!(waiting(&scene), (4, None));
        assert_eq!(scene.sink.objects().len(), 4);
        scene.append("a.jsonl", &add("e"));
        assert_eq!(waiting(&scene), (4, Some(1)));
        scene.run = "second";
        scene.append("b.jsonl", &add("f"));
        assert_eq!(waiting(&scene), (4, Some(2)));
        scene.run = "third";
        scene.append("b.jsonl", &(add("g") + "nonsense\n"));
        assert_eq!(waiting(&scene), (8, None), "each line once");
        assert_eq!(waiting(&scene), (8, None));
    }
}

#[test]
fn what_waits_and_goes_away_is_no_more_waited_for() {
    let mut scene = Scene { min_changes: Some(9), ..Scene::new(true) };
    scene.put("a.jsonl", &add("a"));
    assert_eq!(waiting(&scene), (0, Some(1)));
    scene.source.files.clear();
    assert_eq!(waiting(&scene), (0, None));
    assert!(scene.store.ledger().unwrap().followed.unwrap().caught_up_at.is_some());
}

#[test]
fn a_file_without_a_line_is_not_waited_for() {
    let mut scene = Scene { min_changes: Some(3), ..Scene::new(true) };
    scene.put("a.jsonl", "\n\n");
    assert_eq!(waiting(&scene), (0, None));
    assert_eq!(waiting(&scene), (0, None));
    scene.append("a.jsonl", &add("a"));
    assert_eq!(waiting(&scene), (0, Some(1)));
}

#[test]
fn a_persons_wish_reads_what_there_is_and_serves_once() {
    let mut scene = Scene { min_changes: Some(9), ..Scene::new(true) };
    scene.put("a.jsonl", &add("a"));
    assert_eq!(waiting(&scene), (0, Some(1)));
    (scene.run, scene.run_now) = ("second", Some("now"));
    assert_eq!(waiting(&scene), (1, None));
    scene.append("a.jsonl", &add("b"));
    assert_eq!(waiting(&scene), (1, Some(1)));
    scene.run = "third";
    assert_eq!(waiting(&scene), (1, Some(1)), "it is in the run's work still, and served");
}

#[test]
fn a_run_that_began_to_read_is_not_put_off_for_its_rest() {
    let mut scene = Scene { min_changes: Some(3), ..Scene::new(true) };
    scene.put("a.jsonl", &["a", "b", "c", "d"].map(add).concat());
    let whole = Fuse::none();
    scene.run(&whole).unwrap();
    for effects in 1..whole.spent() {
        let mut scene = Scene { min_changes: Some(3), ..Scene::new(true) };
        scene.put("a.jsonl", &["a", "b", "c", "d"].map(add).concat());
        scene.run(&Fuse::after(effects)).unwrap_err();
        scene.run = "second";
        assert_eq!(waiting(&scene), (4, None), "killed after {effects}");
    }
}

#[test]
fn what_waits_is_not_read_again_and_again() {
    let mut scene = Scene { min_changes: Some(3), ..Scene::new(true) };
    scene.put("a.jsonl", &["a", "b", "c"].map(add).concat());
    assert_eq!(waiting(&scene), (3, None));
    scene.append("a.jsonl", &add("d"));
    assert_eq!(waiting(&scene), (3, Some(1)));
    scene.source.opened.lock().unwrap().clear();
    assert_eq!(waiting(&scene), (3, Some(1)));
    let end = u64::try_from(3 * add("a").len()).unwrap();
    assert_eq!(*scene.source.opened.lock().unwrap(), [("a.jsonl".to_owned(), end)], "opened behind what is indexed");
}
