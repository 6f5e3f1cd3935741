//! Drills: a Job of their own in the cluster that they are done in, and what is said of them.

use elysia_api::backup::DrillState;
use elysia_api::{CollectionBackup, WeaviateCluster};
use elysia_core::backup::ledger::{DrillNote, Stage};
use insta::assert_snapshot;
use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use super::super::super::fixture::{NAMESPACE, World, advance, manifest, now};
use super::{lose_status, world};

/// A policy whose one run is done, and a drill is due.
async fn due() -> (World, String) {
    let mut world = world().await;
    world.nightly().await;
    let first = world.backup_jobs()[0].clone();
    world.end_backup(&first, Stage::Done, |_| {});
    world.nightly().await;
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        object["spec"]["verify"] = json!({"drill": {
            "schedule": {"cron": "* * * * *"}, "searches": 5, "minimumOverlap": 90, "replicationFactor": 1,
        }});
    });
    advance(60);
    (world, first)
}

impl World {
    fn drill_job(&self, first: &str) -> String {
        self.backup_jobs().into_iter().find(|name| name != first).expect("the Job of a drill")
    }

    /// The worker of a drill's Job writes what it found.
    fn end_drill(&self, job: &str, state: DrillState) {
        let ended = if state == DrillState::Unfinished { Stage::Failed } else { Stage::Done };
        self.end_backup(job, ended, |ledger| {
            let run = ledger.runs.last().unwrap().id.clone();
            if ended == Stage::Done {
                // It writes no run.
                ledger.runs.remove(0);
                ledger.last_drill = Some(DrillNote {
                    order: job.trim_start_matches("nightly-").to_owned(),
                    run: run.clone(),
                    at: now(),
                    state,
                    objects: 9,
                    overlap: Some(98),
                    distance: None,
                    collections: Vec::new(),
                    total_collections: 1,
                    message: (state == DrillState::Failed).then(|| "Articles: 8 of 9 objects are there".to_owned()),
                });
            }
            if let Some(attempt) = &mut ledger.attempt {
                attempt.run = Some(run);
            }
        });
    }
}

#[tokio::test]
async fn a_drill_is_a_job_of_its_own_and_moves_running_alone() {
    let (mut world, first) = due().await;
    let told = world.nightly().await;
    let job = world.drill_job(&first);
    assert_snapshot!(told.replace(&job, "JOB"), @r"
    POST configmaps/nightly-backups → 409
    PATCH configmaps/nightly-backups merge
    POST jobs/JOB
    PATCH collectionbackups/nightly/status Ready=True Complete
    ");
    let work = world.told_backup(&job);
    let drill = work.drill.unwrap();
    assert_eq!((drill.searches, drill.minimum_overlap, drill.factor), (5, 90, Some(1)));
    assert_eq!(drill.cluster, work.backup.owner.cluster);
    assert_eq!(world.nightly().await, "", "once");
    let before = world.get::<CollectionBackup>("nightly").status.unwrap().run;

    world.end_drill(&job, DrillState::Passed);
    assert_snapshot!(world.nightly().await, @r"
    PATCH collectionbackups/nightly/status Ready=True Complete
    POST events Normal DrillPassed
    ");
    let status = world.get::<CollectionBackup>("nightly").status.unwrap();
    let drill = status.last_drill.unwrap();
    assert_eq!((drill.state, drill.objects, drill.overlap), (DrillState::Passed, 9, Some(98)));
    assert_eq!(status.run, before, "the last run is the last run");
    assert!(status.next_drill.is_some());
    // Status and Jobs are lost: nothing is drilled twice.
    world.api.remove::<Job>(NAMESPACE, &job);
    lose_status(&world);
    world.restart();
    world.nightly().await;
    assert_eq!(world.backup_jobs(), [first]);
}

#[tokio::test]
async fn a_drill_that_finds_something_else_is_said_loudly_and_a_good_one_ends_it() {
    let (mut world, first) = due().await;
    world.nightly().await;
    let job = world.drill_job(&first);
    world.end_drill(&job, DrillState::Failed);
    assert_snapshot!(world.nightly().await, @r"
    PATCH collectionbackups/nightly/status Ready=False DrillFailed
    POST events Warning DrillFailed
    ");
    let conditions = world.backup_conditions();
    assert!(conditions.contains("Verified=False DrillFailed") && conditions.contains("Stalled=True DrillFailed"));
    assert!(conditions.contains("Articles: 8 of 9 objects are there"), "{conditions}");
    world.api.remove::<Job>(NAMESPACE, &job);
    advance(60);
    world.nightly().await;
    let next = world.drill_job(&first);
    world.end_drill(&next, DrillState::Passed);
    assert_snapshot!(world.nightly().await, @r"
    PATCH collectionbackups/nightly/status Ready=True Complete
    POST events Normal DrillPassed
    POST events Normal Complete
    ");
    assert!(world.backup_conditions().contains("Verified=True Verified"));
}

#[tokio::test]
async fn a_drill_that_could_not_be_done_needs_a_person() {
    let (mut world, first) = due().await;
    world.nightly().await;
    let job = world.drill_job(&first);
    world.end_drill(&job, DrillState::Unfinished);
    world.nightly().await;
    let conditions = world.backup_conditions();
    assert!(conditions.starts_with("Ready=False DrillUnfinished"), "{conditions}");
    assert!(conditions.contains("Verified=True Verified"), "the run is as it was: {conditions}");
}

#[tokio::test]
async fn a_drill_in_another_cluster_has_its_addresses_and_no_others() {
    let (mut world, first) = due().await;
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| {
        object["spec"]["verify"]["drill"]["clusterRef"] = json!({"name": "lab"});
    });
    world.nightly().await;
    assert!(world.backup_conditions().contains("WeaviateCluster lab does not exist"), "{}", world.backup_conditions());
    assert_eq!(world.backup_jobs(), std::slice::from_ref(&first));
    let mut lab = serde_json::to_value(world.get::<WeaviateCluster>("search")).unwrap();
    lab["metadata"] = json!({"name": "lab", "namespace": NAMESPACE, "uid": "lab-uid"});
    lab["spec"]["external"]["url"] = json!("http://lab:8080");
    world.api.seed::<WeaviateCluster>(&manifest(lab));
    world.restart();
    world.nightly().await;
    let work = world.told_backup(&world.drill_job(&first));
    assert_eq!(work.backup.endpoints.rest, "http://lab:8080");
    assert!(work.drill.unwrap().cluster.starts_with("ai/lab ("));
    assert!(work.backup.owner.cluster.starts_with("ai/search ("));
}
