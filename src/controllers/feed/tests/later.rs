//! What happens to a feed behind its runs: failures that outlive their Jobs, rejected lines that are carried out again,
//! files that are put away.

use super::*;

#[tokio::test]
async fn a_job_that_failed_without_a_word_is_not_made_again_when_it_is_cleared_away() {
    let mut world = world().await;
    world.docs().await;
    let job = world.jobs().remove(0);
    world.end_job(&job, "Failed", "BackoffLimitExceeded");
    world.docs().await;
    world.api.remove::<Job>(NAMESPACE, &job);
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| drop(docs.as_object_mut().unwrap().remove("status")));
    world.restart();
    for _ in 0..3 {
        advance(3600);
        world.docs().await;
        assert_eq!(world.jobs(), Vec::<String>::new());
    }
    assert!(world.feed_conditions().starts_with("Ready=False RunFailed: Job docs-"), "{}", world.feed_conditions());
    world.transcript();
    world.annotate::<IndexSource>("docs", "elysia.dev/run-now", "1");
    let transcript = world.docs().await;
    assert!(transcript.contains("PATCH configmaps/docs-ledger merge"), "the note is taken away: {transcript}");
    let ledger: ConfigMap = world.get("docs-ledger");
    assert_eq!(ledger.metadata.annotations.unwrap_or_default().len(), 0);
    assert_eq!(world.jobs().len(), 1);
}

fn work(world: &World, job: &str) -> IndexWork {
    let jobs = world.api.objects::<Job>();
    let job = jobs.iter().find(|other| other.metadata.name.as_deref() == Some(job)).unwrap();
    let job = serde_json::to_value(job).unwrap();
    let text = job.pointer("/spec/template/spec/containers/0/env/0/value").unwrap().as_str().unwrap();
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn rejected_lines_are_carried_out_again_once_by_a_job_of_their_own() {
    let mut world = world().await;
    world.docs().await;
    let first = world.jobs().remove(0);
    world.succeed(&first);
    world.docs().await;
    world.annotate::<IndexSource>("docs", "elysia.dev/replay", "please");
    let transcript = world.docs().await;
    assert!(transcript.contains("POST jobs/docs-"), "{transcript}");
    let job = world.jobs().into_iter().find(|job| *job != first).unwrap();
    let told = work(&world, &job);
    assert_eq!((told.replay.as_deref(), told.run), (Some("please"), work(&world, &first).run), "the same run's ledger");
    assert!(world.feed_conditions().contains("carries rejected lines out again"), "{}", world.feed_conditions());
    assert_eq!(world.docs().await, "", "one Job");
    // The worker writes that it is done, and ends.
    world.api.edit::<ConfigMap>(NAMESPACE, "docs-ledger", |config| {
        let text = config["data"][crate::worker::LEDGER_KEY].as_str().unwrap();
        let mut ledger: Ledger = serde_json::from_str(text).unwrap();
        ledger.replayed = Some(elysia_engine::ledger::Replayed { word: "please".to_owned(), ..Default::default() });
        config["data"] = json!({crate::worker::LEDGER_KEY: serde_json::to_string(&ledger).unwrap()});
    });
    world.end_job(&job, "Complete", "");
    let transcript = world.docs().await;
    assert!(transcript.contains(&format!("DELETE jobs/{job}")), "{transcript}");
    assert!(world.feed_conditions().starts_with("Ready=True Complete"), "{}", world.feed_conditions());
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| drop(docs.as_object_mut().unwrap().remove("status")));
    world.restart();
    world.docs().await;
    assert_eq!(world.jobs(), [first]);
}

#[tokio::test]
async fn a_volume_is_mounted_for_writing_only_where_files_are_put_away() {
    for (processed, read_only) in [
        (json!(null), true),
        (json!({"rename": {"suffix": ".processed"}}), false),
        (json!({"move": {"path": "done"}}), false),
    ] {
        let mut world = scheduled().await;
        world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| {
            if !processed.is_null() {
                docs["spec"]["source"]["volume"]["processed"] = processed.clone();
            }
        });
        world.docs().await;
        let job = world.jobs().remove(0);
        let told = serde_json::to_value(work(&world, &job).source).unwrap();
        assert_eq!(told["volume"]["processed"], processed);
        let pod = world.api.objects::<Job>().remove(0).spec.unwrap().template.spec.unwrap();
        let mounts = pod.containers[0].volume_mounts.clone().unwrap();
        assert_eq!(mounts[0].read_only, Some(read_only));
    }
}

#[test]
fn what_becomes_of_files_is_one_thing_and_for_feeds_that_go_on() {
    let feed = |run: serde_json::Value, processed: serde_json::Value| -> Result<(), String> {
        let feed: IndexSource = manifest(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "IndexSource",
            "metadata": {"name": "docs", "namespace": NAMESPACE, "uid": "u"},
            "spec": {
                "clusterRef": {"name": "search"}, "collection": "Articles",
                "source": {"volume": {"claimName": "files", "processed": processed}}, "run": run,
            },
        }));
        elysia_core::feed::FeedSpec::validate(&feed).map(|_| ())
    };
    let (watch, rename) = (json!({"watch": {}}), json!({"rename": {"suffix": ".done"}}));
    feed(watch.clone(), rename.clone()).unwrap();
    feed(json!({"schedule": {"cron": "* * * * *"}}), json!({"move": {"path": "done"}})).unwrap();
    assert!(feed(json!({"once": {}}), rename.clone()).unwrap_err().contains("is for run.schedule and run.watch"));
    assert!(feed(json!(null), rename).unwrap_err().contains("is for run.schedule and run.watch"));
    let both = json!({"rename": {"suffix": ".done"}, "move": {"path": "done"}});
    assert!(feed(watch.clone(), both).unwrap_err().contains("exactly one of processed"));
    assert!(feed(watch, json!({})).unwrap_err().contains("exactly one of processed"));
}
