//! Policies that are refused, and why.

use elysia_api::CollectionBackup;
use serde_json::{Value, json};

use super::BackupSpec;

/// Why such a policy is refused.
fn refused(spec: &Value) -> String {
    let mut object = json!({
        "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup", "metadata": {"name": "nightly"},
        "spec": {"clusterRef": {"name": "search"}, "store": {"s3": {"bucket": "b", "prefix": "p"}}},
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let object: CollectionBackup = serde_json::from_value(object).unwrap();
    BackupSpec::validate(&object).err().unwrap_or_default()
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (spec, why) in [
        (json!({"compression": "Lz4"}), "compression: Gzip and Lz4 go with format: Jsonl"),
        (json!({"compression": "Lz4", "format": "Jsonl"}), ""),
        (
            json!({"compression": "Lz4", "format": "Jsonl", "compressionLevel": 1}),
            "compressionLevel is 1 to 19 of Zstd",
        ),
        (
            json!({"compression": "Gzip", "format": "Jsonl", "compressionLevel": 10}),
            "compressionLevel is 1 to 19 of Zstd",
        ),
        (json!({"compression": "Gzip", "format": "Jsonl", "compressionLevel": 9}), ""),
        (json!({"compressionLevel": 19}), ""),
        (json!({"compressionLevel": 20}), "spec.compressionLevel: 20 is no level of Zstd"),
        (json!({"mode": "SchemaOnly"}), ""),
        (json!({"mode": "SchemaOnly", "filter": "a"}), "mode: SchemaOnly writes no objects"),
        (json!({"mode": "SchemaOnly", "incremental": {"fullEvery": 7}}), "mode: SchemaOnly writes no objects"),
        (json!({"mode": "Full", "filter": "a", "incremental": {"fullEvery": 7}}), ""),
        (json!({"incremental": {"fullEvery": 1}}), "spec.incremental.fullEvery: 1 is not between 2 and 31"),
    ] {
        let said = refused(&spec);
        assert!(said.contains(why) && said.is_empty() == why.is_empty(), "{spec}: {said}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (what, spec, words) in [
        (
            "no store",
            json!({"clusterRef": {"name": "w"}, "store": {}}),
            "exactly one of store.s3, store.gcs, store.azure and store.volume",
        ),
        (
            "two stores",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}, "volume": {"claimName": "c"}}}),
            "exactly one of store.s3, store.gcs, store.azure and store.volume",
        ),
        (
            "two buckets",
            json!({"clusterRef": {"name": "w"}, "store": {
                "gcs": {"bucket": "bucket"}, "azure": {"account": "account", "container": "backups"}}}),
            "exactly one of store.s3, store.gcs, store.azure and store.volume",
        ),
        (
            "files of the servers in a bucket of Google",
            json!({"clusterRef": {"name": "w"}, "store": {"gcs": {"bucket": "bucket"}}, "engine": "Native"}),
            "its modules for Google and Azure the operator does not drive; use engine: Portable",
        ),
        (
            "gzip in Parquet",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}}, "compression": "Gzip"}),
            "Gzip and Lz4 go with format: Jsonl",
        ),
        (
            "files of the servers on a volume",
            json!({"clusterRef": {"name": "w"}, "store": {"volume": {"claimName": "c"}}, "engine": "Native"}),
            "engine: Native goes with store.s3",
        ),
        (
            "files of the servers in a format",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}}, "engine": "Native", "format": "Jsonl"}),
            "engine: Native has no format",
        ),
        (
            "files of tenants that are woken",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}}, "engine": "Native", "coldTenants": "Wake"}),
            "coldTenants: Wake goes with engine: Portable",
        ),
        (
            "what is asked of the servers, of the operator",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}}, "native": {"cpuPercentage": 20}}),
            "native goes with engine: Native",
        ),
        (
            "a retention of nothing",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}}, "retention": {}}),
            "retention needs at least one",
        ),
        (
            "a deadline beyond a week",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}}, "deadline": "999h"}),
            "longer than 144 hours",
        ),
        (
            "no such zone",
            json!({"clusterRef": {"name": "w"}, "store": {"s3": {"bucket": "b"}},
                "schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Roma"}}),
            "spec.schedule.timeZone",
        ),
    ] {
        let object: CollectionBackup = serde_json::from_value(json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "CollectionBackup",
            "metadata": {"name": "n", "namespace": "ai"}, "spec": spec,
        }))
        .unwrap();
        let error = BackupSpec::validate(&object).unwrap_err();
        assert!(error.contains(words), "{what}: {error}");
    }
}
