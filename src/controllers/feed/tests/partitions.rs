//! Rounds over a feed that several pods share.

use elysia_engine::ledger::Pending;
use elysia_engine::partition::Partition;
use k8s_openapi::api::rbac::v1::Role;
use kube::core::ResourceExt as _;

use super::*;

async fn divided() -> World {
    let world = world().await;
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| docs["spec"]["partitions"] = json!(3));
    world
}

/// What a worker of this partition wrote.
fn ledger(run: &str, index: u32, count: u32) -> Ledger {
    let at = Timestamp::from_second(1_800_000_000).unwrap();
    let mut ledger = Ledger::begin(run, "Articles", at);
    ledger.partition = Partition::new(index, count);
    ledger.counts.lines = 10;
    ledger.counts.added = 10;
    ledger
}

fn write(world: &World, name: &str, ledger: &Ledger) {
    let text = serde_json::to_string(ledger).unwrap();
    world.api.edit::<ConfigMap>(NAMESPACE, name, |config| {
        config["data"] = json!({crate::worker::LEDGER_KEY: text});
    });
}

#[tokio::test]
async fn each_partition_has_a_ledger_and_the_status_has_their_sum() {
    let mut world = divided().await;
    let transcript = world.docs().await;
    for index in 0..3 {
        assert!(transcript.contains(&format!("POST configmaps/docs-ledger-{index}")), "{transcript}");
    }
    let job = world.api.objects::<Job>().remove(0);
    let name = job.metadata.name.clone().unwrap();
    let run = name.trim_start_matches("docs-");
    let spec = job.spec.unwrap();
    assert_eq!(spec.completion_mode.as_deref(), Some("Indexed"));
    assert_eq!((spec.completions, spec.parallelism, spec.backoff_limit), (Some(3), Some(3), None));
    assert_eq!((spec.backoff_limit_per_index, spec.max_failed_indexes), (Some(10), Some(0)));
    let rule = world.api.objects::<Role>().remove(0).rules.unwrap().remove(0);
    assert_eq!(rule.resource_names.unwrap(), ["docs-ledger-0", "docs-ledger-1", "docs-ledger-2"]);

    for index in 0..3 {
        let mut ledger = ledger(run, index, 3);
        ledger.succeed(Timestamp::from_second(1_800_000_060).unwrap());
        write(&world, &format!("docs-ledger-{index}"), &ledger);
        world.docs().await;
        let status = world.get::<IndexSource>("docs").status.unwrap();
        assert_eq!(status.counts.unwrap().lines, 10 * (i64::from(index) + 1));
        assert_eq!(status.partitions.unwrap().succeeded, i64::from(index) + 1);
        assert_eq!(world.feed_conditions().contains("CaughtUp=True"), index == 2, "{}", world.feed_conditions());
    }
    assert!(world.feed_conditions().starts_with("Ready=True Complete: 30 lines"), "{}", world.feed_conditions());
}

#[tokio::test]
async fn another_number_of_partitions_begins_behind_the_job_at_work_and_finishes_what_it_left() {
    let mut world = divided().await;
    world.docs().await;
    let job = world.jobs()[0].clone();
    let mut half_done = ledger(job.trim_start_matches("docs-"), 2, 3);
    half_done.pending =
        Some(Pending { deletes: Vec::new(), chunks: [].into(), delta: elysia_engine::ledger::Delta::default() });
    write(&world, "docs-ledger-2", &half_done);
    world.api.edit::<IndexSource>(NAMESPACE, "docs", |docs| docs["spec"]["partitions"] = json!(2));
    world.docs().await;
    assert_eq!(world.jobs(), std::slice::from_ref(&job), "one run at a time");
    world.end_job(&job, "Failed", "BackoffLimitExceeded");
    world.docs().await;
    let jobs = world.api.objects::<Job>();
    let next = jobs.iter().find(|next| next.metadata.name.as_ref() != Some(&job)).unwrap();
    let text = serde_json::to_string(next).unwrap();
    assert!(text.contains(r#"\"formerLedgers\":[\"docs-ledger-2\"]"#), "{text}");
    let rule = world.api.objects::<Role>().remove(0).rules.unwrap().remove(0);
    assert_eq!(rule.resource_names.unwrap(), ["docs-ledger-0", "docs-ledger-1", "docs-ledger-2"]);
    // Were there three again, nobody would believe what the old ledgers say: it was written over meanwhile.
    let left =
        world.api.objects::<ConfigMap>().into_iter().find(|config| config.name_any() == "docs-ledger-2").unwrap();
    let left: Ledger = serde_json::from_str(&left.data.unwrap()[crate::worker::LEDGER_KEY]).unwrap();
    assert_eq!((left.run.as_str(), left.pending), ("", half_done.pending));
}
