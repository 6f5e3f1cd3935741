//! A policy that a command makes or changes.

use clap::Parser as _;
use elysia_testkit::kubernetes::KubernetesApi;

use super::*;
use crate::cli::client::REQUEST_TIMEOUT;

#[derive(clap::Parser)]
struct Schedule {
    #[command(flatten)]
    args: ScheduleArgs,
}

fn parsed(line: &str) -> Result<ScheduleArgs, String> {
    let words = ["schedule", "nightly"].into_iter().chain(line.split_whitespace());
    Schedule::try_parse_from(words).map(|parsed| parsed.args).map_err(|error| error.to_string())
}

async fn run(api: &KubernetesApi, line: &str) -> Result<Exit, String> {
    let session = Session::answering(Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT), "search", None);
    schedule(&parsed(line)?, &session).await.map_err(|stop| match stop {
        Stop::Said { message, .. } => message,
        Stop::Output(error) => error.to_string(),
    })
}

fn spec(api: &KubernetesApi) -> Option<Value> {
    let object: CollectionBackup = api.object("search", "nightly")?;
    serde_json::to_value(object.spec).ok()
}

const NEW: &str = "--cluster wiki --daily 03:05 --store s3://backups/wiki --credentials bucket-key --retain 14";

#[test]
fn times_are_fields_of_crontab() {
    for (line, cron) in [
        ("--daily 03:05", "5 3 * * *"),
        ("--daily --retain 7", "0 2 * * *"),
        ("--retain 7 --daily", "0 2 * * *"),
        ("--weekly sun@23:59", "59 23 * * 0"),
        ("--weekly SAT@00:00", "0 0 * * 6"),
        ("--time-zone Europe/Rome", ""),
    ] {
        assert_eq!(parsed(line).unwrap().cron().unwrap_or_default(), cron, "{line}");
    }
    for line in [
        "--daily 3",
        "--daily 24:00",
        "--daily 3:5",
        "--daily +3:05",
        "--weekly sunday",
        "--weekly x@03:00",
        "--daily 03:00 --weekly sun@03:00",
        "--encrypt-with key",
        "--filter lang=",
        "--endpoint http://s3:9000",
        "--full-every 1",
        "Articles --exclude Notes",
        "--max-shrink 101",
        "--keep-daily 0",
    ] {
        assert!(parsed(line).is_err(), "{line}");
    }
}

#[tokio::test]
async fn it_is_made_once_and_then_only_what_is_said_is_changed() {
    let api = KubernetesApi::new();
    run(&api, NEW).await.unwrap();
    let made = spec(&api).unwrap();
    assert_eq!(made["schedule"]["cron"], "5 3 * * *");
    assert_eq!((&made["clusterRef"]["name"], &made["retention"]), (&json!("wiki"), &json!({"last": 14})));
    let store = json!({"bucket": "backups", "prefix": "wiki", "credentialsSecretRef": {"name": "bucket-key"}});
    assert_eq!(made["store"]["s3"], store);
    run(&api, "--weekly mon@04:00 --full-every 7 --encrypt-with backup-key/key --suspend").await.unwrap();
    let changed = spec(&api).unwrap();
    assert_eq!(changed["schedule"], json!({"cron": "0 4 * * 1", "suspend": true}));
    assert_eq!((&changed["store"], &changed["retention"]), (&made["store"], &made["retention"]));
    assert_eq!(changed["encryption"], json!({"keySecretRef": {"name": "backup-key", "key": "key"}}));
    run(&api, "--suspend false --max-age 90d").await.unwrap();
    let woken = spec(&api).unwrap();
    assert_eq!(
        (&woken["schedule"]["suspend"], &woken["retention"]),
        (&json!(false), &json!({"last": 14, "maxAge": "90d"}))
    );
}

#[tokio::test]
async fn runs_lie_at_google_at_azure_or_behind_a_private_authority() {
    let time = "--cluster wiki --daily 03:05";
    for (line, store) in [
        (
            "--store gs://backups/wiki --credentials google",
            json!({"gcs": {"bucket": "backups", "prefix": "wiki", "credentialsSecretRef": {"name": "google"}}}),
        ),
        (
            "--store az://backups --account shop --credentials azure",
            json!({"azure": {"container": "backups", "account": "shop", "credentialsSecretRef": {"name": "azure"}}}),
        ),
        (
            "--store s3://backups --endpoint https://minio:9000 --store-ca minio-ca/ca.crt",
            json!({"s3": {"bucket": "backups", "endpoint": "https://minio:9000",
                "caSecretRef": {"name": "minio-ca", "key": "ca.crt"}}}),
        ),
    ] {
        let api = KubernetesApi::new();
        run(&api, &format!("{time} {line}")).await.unwrap();
        assert_eq!(spec(&api).unwrap()["store"], store, "{line}");
    }
    for (line, words) in [
        ("--store az://backups/wiki", "needs --account"),
        ("--store gs://backups --account shop", "nothing else has one"),
        ("--store gs://backups --region eu-west-1", "--region is for s3://"),
        ("--store gs://", "names no bucket"),
        ("--store ftp://b/p", "no place that a cluster can write to"),
        ("--store pvc://disk/p --store-ca a/b", "without --endpoint"),
    ] {
        let error = run(&KubernetesApi::new(), &format!("{time} {line}")).await.unwrap_err();
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[tokio::test]
async fn without_a_name_the_only_policy_is_meant() {
    let api = KubernetesApi::new();
    let bare = async |line: &str| {
        let words = ["schedule"].into_iter().chain(line.split_whitespace());
        let args = Schedule::try_parse_from(words).unwrap().args;
        let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
        schedule(&args, &Session::answering(reader, "search", None)).await.map_err(|stop| match stop {
            Stop::Said { message, .. } => message,
            Stop::Output(error) => error.to_string(),
        })
    };
    let error = bare("--daily --retain 7").await.unwrap_err();
    assert!(error.contains("there is no CollectionBackup in search yet: name a new one"), "{error}");
    run(&api, NEW).await.unwrap();
    bare("--daily --retain 7").await.unwrap();
    let changed = spec(&api).unwrap();
    assert_eq!((&changed["schedule"]["cron"], &changed["retention"]["last"]), (&json!("0 2 * * *"), &json!(7)));
    let other = Schedule::try_parse_from(["schedule", "weekly"].into_iter().chain(NEW.split(' '))).unwrap().args;
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    assert!(schedule(&other, &Session::answering(reader, "search", None)).await.is_ok());
    let error = bare("--daily").await.unwrap_err();
    assert_eq!(error, "which one? There are nightly, weekly in search");
}

#[tokio::test]
async fn what_is_kept_left_out_and_drilled_is_said() {
    let api = KubernetesApi::new();
    let more = "--keep-daily 7 --keep-weekly 4 --keep-monthly 12 --max-shrink 20 --exclude Old --exclude Scratch*";
    run(&api, &format!("{NEW} {more} --drill-sample 9")).await.unwrap_err();
    run(&api, &format!("{NEW} {more}")).await.unwrap();
    let made = spec(&api).unwrap();
    assert_eq!(made["retention"], json!({"last": 14, "daily": 7, "weekly": 4, "monthly": 12}));
    assert_eq!((&made["maxShrink"], &made["exclude"]), (&json!(20), &json!(["Old", "Scratch*"])));
    run(&api, "--drill 0/15 --drill-cluster spare").await.unwrap_err();
    let drill = ["schedule", "nightly", "--drill", "0 4 1 * *", "--drill-cluster", "spare", "--drill-searches", "0"];
    let args = Schedule::try_parse_from(drill).unwrap().args;
    let reader = Reader::of(api.client(), "search".to_owned(), REQUEST_TIMEOUT);
    assert!(schedule(&args, &Session::answering(reader, "search", None)).await.is_ok());
    let drill = &spec(&api).unwrap()["verify"]["drill"];
    assert_eq!(drill["schedule"]["cron"], "0 4 1 * *");
    assert_eq!((&drill["clusterRef"]["name"], &drill["searches"]), (&json!("spare"), &json!(0)));
}

#[tokio::test]
async fn what_only_prints_and_what_cannot_be_changes_nothing() {
    let api = KubernetesApi::new();
    run(&api, &format!("{NEW} -o yaml")).await.unwrap();
    for (line, why) in [
        ("--cluster wiki --daily 03:00", "needs --store"),
        ("--cluster wiki --store s3://b/p", "needs --daily"),
        ("--cluster wiki --daily 03:00 --store ./here", "is no place that a cluster can write to"),
        ("--cluster wiki --daily 03:00 --store pvc://claim --credentials s", "a volume is pvc://"),
        ("--cluster wiki --daily 03:00 --store s3:///p", "names no bucket"),
        ("--cluster wiki --cron x --store s3://b/p", "schedule"),
        ("--cluster wiki --daily 03:00 --store s3://b/p --time-zone Mars/Olympus", "timeZone"),
    ] {
        let error = run(&api, line).await.unwrap_err();
        assert!(error.contains(why), "{line}: {error}");
    }
    assert!(!api.transcript().contains("POST") && !api.transcript().contains("PATCH"), "{}", api.transcript());
    assert_eq!(spec(&api), None);
}

#[tokio::test]
async fn what_a_gitops_tool_owns_is_changed_in_its_repository() {
    let api = KubernetesApi::new();
    run(&api, NEW).await.unwrap();
    api.edit::<CollectionBackup>("search", "nightly", |object| {
        object["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "search"});
    });
    run(&api, "--retain 3").await.unwrap();
    assert_eq!(spec(&api).unwrap()["retention"]["last"], 14);
    run(&api, "--retain 3 --force").await.unwrap();
    assert_eq!(spec(&api).unwrap()["retention"]["last"], 3);
}
