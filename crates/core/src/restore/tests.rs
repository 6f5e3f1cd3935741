use elysia_api::CollectionRestore;
use serde_json::{Value, json};

use super::*;
use crate::condition::Value as Truth;

/// What is the matter, how that looks, and what the conditions say.
type Case = (&'static str, fn(&mut Observed), &'static str);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn restore(edit: impl FnOnce(&mut Value)) -> RestoreSpec {
    let mut object = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore",
        "metadata": {
            "name": "back", "namespace": "ai", "uid": "u", "generation": 1, "annotations": {},
            "creationTimestamp": "2026-05-01T12:00:00Z",
        },
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles", "into": "Restored", "conflict": "Overwrite",
        },
    });
    edit(&mut object);
    let object: CollectionRestore = serde_json::from_value(object).unwrap();
    RestoreSpec::validate(&object).unwrap()
}

fn annotated(key: &str, value: &str) -> RestoreSpec {
    restore(|object| object["metadata"]["annotations"][key] = json!(value))
}

fn observed() -> Observed {
    Observed {
        cluster: ClusterSight::Fit,
        cluster_uid: Some("c".to_owned()),
        is_there: None,
        store: Sight::Seen(Ok(())),
        ledger: Sight::Seen(None),
        keeps_notes: true,
        failed: None,
        jobs: Vec::new(),
        rival: None,
        backing_up: None,
        now: at("2026-05-01T12:00:10Z"),
    }
}

fn ledger(spec: &RestoreSpec, order: &str, stage: Stage) -> RestoreLedger {
    RestoreLedger {
        receipt: spec.known_as("c"),
        order: order.to_owned(),
        run_now: spec.run_now.clone(),
        run: Some("r1".to_owned()),
        passed_over: None,
        stage,
        total: 9,
        done: 4,
        written: 4,
        skipped: 0,
        unchanged: 0,
        merged: 0,
        unselected: 0,
        unconverted: 0,
        dropped: 0,
        aliases: None,
        pace: None,
        has_begun: stage == Stage::Writing,
        started_at: at("2026-05-01T12:00:05Z"),
        updated_at: at("2026-05-01T12:00:06Z"),
        finished_at: None,
        message: (stage == Stage::Failed).then(|| "the backup is damaged".to_owned()),
        is_permanent: false,
        guarded: None,
        approved: None,
        profile: None,
    }
}

fn shown(plan: &Plan) -> String {
    let word = |finding: &Finding| {
        let sign = match finding.value {
            Truth::True => "",
            Truth::False => "!",
            Truth::Unknown => "?",
        };
        format!("{sign}{}:{}", finding.kind, finding.reason)
    };
    let words = plan.findings.iter().map(word).collect::<Vec<_>>().join(" ");
    format!("{:?} {words}", plan.phase)
}

fn order_of(plan: &Plan) -> (String, Option<Approval>) {
    match &plan.step {
        Some(Step::Start { order, approval }) => (order.clone(), approval.clone()),
        step => panic!("{step:?}"),
    }
}

fn job(spec: &RestoreSpec, order: &str, state: JobState) -> JobView {
    JobView { name: spec.job(order), state, watches: false, idle_since: None }
}

#[test]
fn it_runs_once_and_never_again() {
    let spec = restore(|_| {});
    let mut seen = observed();
    let first = plan(&spec, &seen);
    let (order, approval) = order_of(&first);
    assert_eq!(approval, None);
    assert_eq!(shown(&first), "Running !Ready:Running Running:Running Reconciling:Running");
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    assert_eq!(plan(&spec, &seen).step, None);
    seen.ledger = Sight::Seen(Some(ledger(&spec, &order, Stage::Done)));
    seen.jobs = vec![job(&spec, &order, JobState::Succeeded)];
    let done = plan(&spec, &seen);
    assert_eq!((done.step.clone(), shown(&done).as_str()), (None, "Succeeded Ready:Restored"));
    // Neither another word nor another uid makes it run again.
    for again in [annotated("elysia.dev/run-now", "1"), restore(|object| object["metadata"]["uid"] = json!("v"))] {
        assert_eq!(plan(&again, &seen).step, None);
    }
    // The ledger is lost: the worker comes again, and finds the receipt.
    seen.ledger = Sight::Seen(None);
    assert_eq!(plan(&spec, &seen).step, Some(Step::ForgetJob { name: spec.job(&order) }));
    seen.jobs.clear();
    assert_eq!(order_of(&plan(&spec, &seen)).0, order);
    seen.ledger = Sight::Seen(Some(ledger(&spec, &order, Stage::Gone)));
    let gone = plan(&spec, &seen);
    assert_eq!((gone.step.clone(), shown(&gone).as_str()), (None, "Succeeded Ready:CollectionGone"));
    // A ledger of another restore under the same name says nothing.
    let other = restore(|object| object["spec"]["into"] = json!("Elsewhere"));
    assert!(plan(&other, &seen).step.is_some());
}

/// What a table makes of a spec.
type Edit = fn(&mut Value);

/// Each is applied under the name of one that was done: its ledger, which nobody deletes, says nothing of them.
#[test]
fn what_was_done_answers_for_no_other_restore() {
    let former = restore(|_| {});
    let mut seen = observed();
    let done = ledger(&former, "o", Stage::Done);
    seen.ledger = Sight::Seen(Some(done.clone()));
    assert_eq!(shown(&plan(&former, &seen)), "Succeeded Ready:Restored");
    let edits: [(&str, Edit); 6] = [
        ("another policy", |it| it["spec"]["from"]["backupRef"]["name"] = json!("weekly")),
        ("another store", |it| {
            it["spec"]["from"] = json!({"store": {"s3": {"bucket": "b", "prefix": "p"}}, "run": "latest"});
        }),
        ("another collection", |it| it["spec"]["collection"] = json!("Notes")),
        ("another target", |it| it["spec"]["into"] = json!("Elsewhere")),
        ("another conflict", |it| it["spec"]["conflict"] = json!("Skip")),
        ("another run", |it| it["spec"]["from"]["run"] = json!("r2")),
    ];
    for (what, edit) in edits {
        let spec = restore(edit);
        let found = plan(&spec, &seen);
        assert!(matches!(found.step, Some(Step::Start { .. })), "{what}: {found:?}");
        assert!(shown(&found).starts_with("Running !Ready:Running"), "{what}: {found:?}");
    }
    // The cluster was made anew and is empty.
    seen.cluster_uid = Some("d".to_owned());
    assert!(matches!(plan(&former, &seen).step, Some(Step::Start { .. })));
    // It is gone: what was done was done.
    (seen.cluster, seen.cluster_uid) = (ClusterSight::Missing, None);
    assert_eq!(shown(&plan(&former, &seen)), "Succeeded Ready:Restored");
    // A ledger of before is believed as it was.
    seen.cluster_uid = Some("d".to_owned());
    seen.ledger = Sight::Seen(Some(RestoreLedger { receipt: former.receipt(), ..done }));
    assert_eq!(shown(&plan(&former, &seen)), "Succeeded Ready:Restored");
}

#[test]
fn a_collection_that_is_gone_is_not_said_to_be_restored() {
    let spec = restore(|_| {});
    let mut seen = observed();
    seen.ledger = Sight::Seen(Some(ledger(&spec, "o", Stage::Done)));
    for (is_there, expected) in [
        (Some(true), "Succeeded Ready:Restored"),
        (Some(false), "Succeeded Ready:CollectionGone"),
        (None, "Succeeded Ready:Restored"),
    ] {
        seen.is_there = is_there;
        let found = plan(&spec, &seen);
        assert_eq!((shown(&found).as_str(), found.step), (expected, None), "{is_there:?}");
    }
}

#[test]
fn to_write_over_objects_needs_one_approval() {
    let spec = restore(|_| {});
    let (order, _) = order_of(&plan(&spec, &observed()));
    let mut waiting = ledger(&spec, &order, Stage::Waiting);
    let guarded = Guarded { run: "r1".to_owned(), tenant: None, protection: None, since: at("2026-05-01T12:00:05Z") };
    waiting.guarded = Some(guarded.clone());
    let mut seen = observed();
    seen.jobs = vec![job(&spec, &order, JobState::Succeeded)];
    seen.ledger = Sight::Seen(Some(waiting.clone()));
    let asks = plan(&spec, &seen);
    assert_eq!(
        (asks.step.clone(), shown(&asks).as_str()),
        (None, "NeedsApproval !Ready:NeedsApproval Stalled:NeedsApproval")
    );
    let hash = asks.shown.clone().unwrap().hash;
    assert_eq!(plan(&annotated("elysia.dev/approve", "0123456789ab"), &seen).step, None);
    let approved = annotated("elysia.dev/approve", &hash);
    let (second, approval) = order_of(&plan(&approved, &seen));
    assert_eq!(approval, Some(Approval { hash: hash.clone(), run: "r1".to_owned() }));
    assert_ne!(second, order, "its Job has a name of its own");
    // It was used up: it approves nothing again.
    let mut spent = waiting.clone();
    spent.approved = Some(hash.clone());
    let seen_spent = Observed { ledger: Sight::Seen(Some(spent)), ..seen.clone() };
    assert_eq!(
        (plan(&approved, &seen_spent).step.clone(), plan(&approved, &seen_spent).phase),
        (None, RestorePhase::NeedsApproval)
    );
    // It has begun; the annotation is taken away, and nothing else begins.
    let mut begun = ledger(&spec, &second, Stage::Writing);
    begun.approved = Some(hash.clone());
    seen.ledger = Sight::Seen(Some(begun));
    seen.jobs = vec![job(&spec, &second, JobState::Active)];
    for spec in [&approved, &spec] {
        assert_eq!(plan(spec, &seen).step, None);
    }
    // Another uid, run or time of finding is another plan.
    let other = restore(|object| object["metadata"]["uid"] = json!("v"));
    assert_ne!(other.hash(&guarded), hash);
    assert_ne!(spec.hash(&Guarded { run: "r2".to_owned(), ..guarded.clone() }), hash);
    assert_ne!(spec.hash(&Guarded { since: at("2026-05-02T12:00:05Z"), ..guarded }), hash);
}

#[test]
fn what_failed_waits_for_a_word() {
    let spec = restore(|_| {});
    let (order, _) = order_of(&plan(&spec, &observed()));
    let mut seen = observed();
    seen.ledger = Sight::Seen(Some(ledger(&spec, &order, Stage::Failed)));
    let blocked = plan(&spec, &seen);
    assert_eq!((blocked.step.clone(), shown(&blocked).as_str()), (None, "Failed !Ready:Blocked Stalled:Blocked"));
    let mut begun = ledger(&spec, &order, Stage::Failed);
    begun.has_begun = true;
    seen.ledger = Sight::Seen(Some(begun));
    assert_eq!(shown(&plan(&spec, &seen)), "Failed !Ready:RunFailed Stalled:RunFailed");
    // The Job still tries.
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    assert!(shown(&plan(&spec, &seen)).starts_with("Running"));
    seen.jobs.clear();
    let again = annotated("elysia.dev/run-now", "1");
    assert_ne!(order_of(&plan(&again, &seen)).0, order);
    // Its Job was given up and cleared away, and the worker had said nothing.
    seen.ledger = Sight::Seen(None);
    seen.jobs = vec![job(&spec, &order, JobState::Failed("deadline".to_owned()))];
    let Some(Step::NoteFailure(failed)) = plan(&spec, &seen).step else { panic!("nothing is noted") };
    seen.failed = Some(failed);
    seen.jobs.clear();
    let noted = plan(&spec, &seen);
    assert_eq!((noted.step.clone(), noted.phase), (None, RestorePhase::Failed));
}

#[test]
fn a_ledger_that_is_deleted_under_a_worker_is_made_anew() {
    let spec = restore(|_| {});
    let (order, _) = order_of(&plan(&spec, &observed()));
    let mut seen = Observed { keeps_notes: false, ..observed() };
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    assert_eq!(plan(&spec, &seen).step, Some(Step::MakeLedger));
    seen.keeps_notes = true;
    assert_eq!(plan(&spec, &seen).step, None);
}

#[test]
fn nothing_starts_while_something_is_unknown_or_missing() {
    let spec = restore(|_| {});
    let cases: [Case; 6] = [
        (
            "no cluster",
            |seen| seen.cluster = ClusterSight::Missing,
            "Pending !Ready:ClusterMissing Stalled:ClusterMissing",
        ),
        (
            "no policy",
            |seen| {
                let message = "CollectionBackup nightly does not exist".to_owned();
                seen.store = Sight::Seen(Err(Missing { reason: Reason::BackupMissing, message }));
            },
            "Pending !Ready:BackupMissing Stalled:BackupMissing",
        ),
        (
            "an older restore",
            |seen| seen.rival = Some("first".to_owned()),
            "Pending !Ready:Conflict Reconciling:Conflict",
        ),
        (
            "a backup",
            |seen| seen.backing_up = Some("nightly-1".to_owned()),
            "Pending !Ready:Conflict Reconciling:Conflict",
        ),
        (
            "for longer than its deadline",
            |seen| {
                seen.rival = Some("first".to_owned());
                seen.now = at("2026-05-03T12:00:10Z");
            },
            "Pending !Ready:Conflict Stalled:Conflict",
        ),
        (
            "a ledger that could not be read",
            |seen| seen.ledger = Sight::unseen(crate::sight::BlindnessKind::Failed, "no answer"),
            "Pending ?Ready:Unknown",
        ),
    ];
    for (what, edit, expected) in cases {
        let mut seen = observed();
        edit(&mut seen);
        let plan = plan(&spec, &seen);
        assert_eq!((shown(&plan).as_str(), plan.step.clone()), (expected, None), "{what}");
    }
    assert_eq!(plan(&annotated("elysia.dev/paused", "true"), &observed()).step, None);
}

#[test]
fn clusters_of_equal_names_share_no_receipt() {
    let spec = restore(|_| {});
    assert_ne!(spec.receipt_of("prod"), spec.receipt_of("staging"));
    assert_eq!(spec.receipt_of("prod"), restore(|object| object["metadata"]["uid"] = json!("v")).receipt_of("prod"));
    assert_eq!(spec.target("prod"), "ai/search (prod)");
}

#[test]
fn what_takes_or_makes_something_else_is_another_restore() {
    let plain = restore(|_| {});
    let select = |select: Value| restore(|object| object["spec"]["select"] = select).receipt();
    let drop = |property: &str| {
        restore(|object| object["spec"]["transform"] = json!([{"drop": {"property": property}}])).receipt()
    };
    let all = [
        plain.receipt(),
        select(json!({"tenants": ["acme"]})),
        select(json!({"tenants": ["other"]})),
        select(json!({"filter": "lang = 'en'"})),
        drop("mail"),
        drop("name"),
    ];
    let different: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "{all:?}");
    // Receipts of before there were such fields stay what they are.
    let parts = ("receipt", "ai", "back", "search", "Restored", "latest");
    assert_eq!(plain.receipt(), crate::fingerprint::short(&parts));
    // A ledger of a former object that took something else says nothing about this one.
    let other = restore(|object| object["spec"]["select"] = json!({"tenants": ["acme"]}));
    let mut seen = observed();
    seen.ledger = Sight::Seen(Some(ledger(&plain, "o", Stage::Done)));
    assert!(matches!(plan(&other, &seen).step, Some(Step::Start { .. })));
    assert_eq!(plan(&plain, &seen).step, None);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let one = "each step of transform is exactly one of";
    for (spec, why) in [
        (json!({"select": {}}), "select needs at least one of"),
        (json!({"select": {"filter": "a"}}), ""),
        (json!({"transform": [{}]}), one),
        (json!({"transform": [{"drop": {"property": "a"}}, {"drop": {"property": "b"}}]}), ""),
        (json!({"transform": [{"drop": {"property": "a"}, "where": {"filter": "b"}}]}), one),
        (json!({"transform": [{"script": {"source": "object.a = 1;"}}]}), ""),
        (json!({"transform": [{"drop": {"property": "a"}, "script": {"source": "object.a = 1;"}}]}), one),
        (json!({"transform": [{"mask": {"property": "a", "how": {}}}]}), "exactly one of hash, redact and keepLast"),
        (json!({"transform": vec![json!({"drop": {"property": "a"}}); 51]}), "spec.transform: it has 51 steps"),
        (json!({"skipSchema": true}), ""),
        (json!({"skipSchema": true, "shards": 3}), "skipSchema makes no collection"),
        (json!({"skipSchema": false, "shards": 3}), ""),
    ] {
        let mut object = json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore", "metadata": {"name": "back"},
            "spec": {
                "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
                "collection": "Articles",
            },
        });
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let object: CollectionRestore = serde_json::from_value(object).unwrap();
        let said = RestoreSpec::validate(&object).err().unwrap_or_default();
        assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{spec}: {said}");
    }
}

#[test]
fn aliases_come_back_under_the_collections_own_name_or_when_asked() {
    for (asked, into, skip_schema, makes) in [
        (None, "Articles", false, true),
        (None, "Restored", false, false),
        (None, "Articles", true, false),
        (Some(true), "Restored", false, true),
        (Some(true), "Articles", true, true),
        (Some(false), "Articles", false, false),
    ] {
        assert_eq!(makes_aliases(asked, "Articles", into, skip_schema), makes, "{asked:?} {into} {skip_schema}");
    }
}

#[test]
fn what_became_of_aliases_is_told() {
    let spec = restore(|_| {});
    let mut seen = observed();
    let left = |name: &str| LeftAlias { name: name.to_owned(), why: "it leads to Newer, and stays so".to_owned() };
    let aliases = RestoredAliases { leading: 2, pending: 0, left: 2, reasons: vec![left("Live"), left("Other")] };
    let done = RestoreLedger { aliases: Some(aliases.clone()), ..ledger(&spec, "o", Stage::Done) };
    seen.ledger = Sight::Seen(Some(done));
    let done = plan(&spec, &seen);
    let message = &done.findings[0].message;
    let wanted =
        "; 2 aliases lead to it; alias Live was left as it is, since it leads to Newer, and stays so, and 1 more";
    assert!(message.ends_with(wanted), "{message}");
    let object: CollectionRestore = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore", "metadata": {"name": "back"},
        "spec": {"clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "n"}, "run": "r"}, "collection": "A"},
    }))
    .unwrap();
    assert_eq!(status(&object, &spec, &seen, &done, None, seen.now).aliases, Some(aliases));
}

#[test]
fn newer_runs_that_were_passed_over_are_told_whatever_comes_of_it() {
    let spec = restore(|_| {});
    let mut seen = observed();
    let (order, _) = order_of(&plan(&spec, &seen));
    let run = |run: &str| PassedOverRun { run: run.to_owned(), why: "it is Suspect".to_owned() };
    let words = "newer run r3 was passed over, since it is Suspect, and 1 more";
    for (stage, is_told) in
        [(Stage::Looking, false), (Stage::Writing, true), (Stage::Waiting, true), (Stage::Done, true)]
    {
        let passed_over = Some(PassedOverRuns { total: 2, runs: vec![run("r3"), run("r2")] });
        let guarded = Guarded { run: "r1".to_owned(), tenant: None, protection: None, since: seen.now };
        let guarded = (stage == Stage::Waiting).then_some(guarded);
        seen.jobs = vec![job(&spec, &order, JobState::Active)];
        seen.ledger = Sight::Seen(Some(RestoreLedger { passed_over, guarded, ..ledger(&spec, &order, stage) }));
        let message = plan(&spec, &seen).findings[0].message.clone();
        assert_eq!(message.contains(words), is_told, "{stage:?}: {message}");
        // A command that a message ends with is still what it ends with.
        assert_eq!(message.ends_with(words), is_told && stage != Stage::Waiting, "{stage:?}: {message}");
    }
}

#[test]
fn how_fast_it_goes_is_told_while_it_writes() {
    let spec = restore(|_| {});
    let object: CollectionRestore = serde_json::from_value(json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionRestore", "metadata": {"name": "back"},
        "spec": {
            "clusterRef": {"name": "search"}, "from": {"backupRef": {"name": "nightly"}, "run": "latest"},
            "collection": "Articles",
        },
    }))
    .unwrap();
    let mut seen = observed();
    let (order, _) = order_of(&plan(&spec, &seen));
    seen.jobs = vec![job(&spec, &order, JobState::Active)];
    for (stage, wanted) in [(Stage::Writing, Some((Some(2), Some(3)))), (Stage::Looking, None), (Stage::Done, None)] {
        let pace = crate::pace::Pace { done: 4, total: Some(9), objects_per_second: Some(2), ..Default::default() };
        seen.ledger = Sight::Seen(Some(RestoreLedger { pace: Some(pace), ..ledger(&spec, &order, stage) }));
        let told = status(&object, &spec, &seen, &plan(&spec, &seen), None, seen.now).progress;
        assert_eq!(told.map(|told| (told.objects_per_second, told.seconds_left)), wanted, "{stage:?}");
    }
}
