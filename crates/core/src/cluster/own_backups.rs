//! What lets the servers of a managed cluster write backups of their own.

use elysia_api::common::S3Store;
use elysia_api::names;
use k8s_openapi::api::core::v1::EnvVar;

use super::desired::{secret_variable, variable};
use super::spec::MODULES_VARIABLE;

/// The module by which servers back up into a bucket themselves.
pub const BACKUP_MODULE: &str = "backup-s3";

/// Switches the module on, beside those that are named already, and tells it its bucket.
pub(super) fn own_backups(bucket: &S3Store, environment: &mut Vec<EnvVar>) {
    // A certificate of one's own is refused by the kind.
    let S3Store { bucket, prefix, endpoint, region, credentials_secret_ref, ca_secret_ref: _ } = bucket;
    match environment.iter_mut().find(|known| known.name == MODULES_VARIABLE) {
        None => environment.push(variable(MODULES_VARIABLE, BACKUP_MODULE)),
        Some(modules) => {
            let named = modules.value.clone().unwrap_or_default();
            let mut all: Vec<&str> = named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            if !all.contains(&BACKUP_MODULE) {
                all.push(BACKUP_MODULE);
                modules.value = Some(all.join(","));
            }
        }
    }
    environment.push(variable("BACKUP_S3_BUCKET", bucket.as_str()));
    if !prefix.is_empty() {
        environment.push(variable("BACKUP_S3_PATH", prefix.as_str()));
    }
    if let Some(endpoint) = endpoint {
        // Host and port alone; whether it is encrypted says another variable.
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        environment.push(variable("BACKUP_S3_ENDPOINT", host.trim_end_matches('/')));
        environment.push(variable("BACKUP_S3_USE_SSL", if scheme == "http" { "false" } else { "true" }));
    }
    if let Some(region) = region {
        environment.push(variable("AWS_REGION", region.as_str()));
    } else if endpoint.is_some() {
        // Without one the server is asked where the bucket lies, which not every server answers.
        environment.push(variable("AWS_REGION", "us-east-1"));
    }
    if let Some(secret) = credentials_secret_ref {
        let key = |name: &str, key: &str| secret_variable(name, secret.name.clone(), key.to_owned());
        environment.push(key("AWS_ACCESS_KEY_ID", names::S3_ACCESS_KEY_ID));
        environment.push(key("AWS_SECRET_ACCESS_KEY", names::S3_SECRET_ACCESS_KEY));
        let mut token = key("AWS_SESSION_TOKEN", names::S3_SESSION_TOKEN);
        if let Some(reference) = token.value_from.as_mut().and_then(|from| from.secret_key_ref.as_mut()) {
            reference.optional = Some(true);
        }
        environment.push(token);
    }
}

#[cfg(test)]
mod tests {
    use elysia_api::WeaviateCluster;
    use k8s_openapi::api::core::v1::Container;
    use serde_json::{Value, json};

    use crate::cluster::desired::objects;
    use crate::cluster::spec::{ClusterSpec, Kind};

    fn validated(edit: impl FnOnce(&mut Value)) -> Result<ClusterSpec, String> {
        let mut object = json!({
            "apiVersion": "elysia.dev/v1alpha1", "kind": "WeaviateCluster",
            "metadata": {"name": "search", "namespace": "ai"},
            "spec": {"managed": {"version": "1.38.2", "replicas": 3, "storage": {"size": "1Gi"}}},
        });
        edit(&mut object);
        let cluster: WeaviateCluster = serde_json::from_value(object).unwrap();
        ClusterSpec::validate(&cluster).map_err(|error| error.to_string())
    }

    /// `NAME=value`, or `NAME<secret/key`, of each variable that has to do with backups.
    fn told(edit: impl FnOnce(&mut Value)) -> Vec<String> {
        let spec = validated(edit).unwrap();
        let Kind::Managed(managed) = &spec.kind else { panic!("it is managed") };
        let pod = objects(&spec, managed, 3, true).stateful_set.spec.unwrap().template.spec.unwrap();
        let Container { env, .. } = pod.containers.into_iter().next().unwrap();
        let is_meant = |name: &str| ["ENABLE_MODULES", "BACKUP_", "AWS_"].iter().any(|word| name.starts_with(word));
        let variables = env.unwrap().into_iter().filter(|variable| is_meant(&variable.name));
        let line = |variable: k8s_openapi::api::core::v1::EnvVar| match (variable.value, variable.value_from) {
            (Some(value), _) => format!("{}={value}", variable.name),
            (None, from) => {
                let key = from.and_then(|from| from.secret_key_ref).unwrap();
                let optional = if key.optional == Some(true) { "?" } else { "" };
                format!("{}<{}/{}{optional}", variable.name, key.name, key.key)
            }
        };
        variables.map(line).collect()
    }

    fn s3(bucket: Value) -> impl FnOnce(&mut Value) {
        move |object| object["spec"]["managed"]["backup"] = json!({"s3": bucket})
    }

    #[test]
    fn the_servers_are_told_their_bucket_and_nothing_without_one() {
        assert_eq!(told(|_| {}), [""; 0], "an operator that is upgraded restarts no pod");
        let whole = json!({
            "bucket": "own", "prefix": "a/b", "endpoint": "http://minio.storage.svc:9000/", "region": "eu-south-1",
            "credentialsSecretRef": {"name": "key"},
        });
        assert_eq!(
            told(s3(whole)),
            [
                "ENABLE_MODULES=backup-s3",
                "BACKUP_S3_BUCKET=own",
                "BACKUP_S3_PATH=a/b",
                "BACKUP_S3_ENDPOINT=minio.storage.svc:9000",
                "BACKUP_S3_USE_SSL=false",
                "AWS_REGION=eu-south-1",
                "AWS_ACCESS_KEY_ID<key/accessKeyId",
                "AWS_SECRET_ACCESS_KEY<key/secretAccessKey",
                "AWS_SESSION_TOKEN<key/sessionToken?",
            ]
        );
        assert_eq!(told(s3(json!({"bucket": "own"}))), ["ENABLE_MODULES=backup-s3", "BACKUP_S3_BUCKET=own"]);
        let encrypted = told(s3(json!({"bucket": "own", "endpoint": "https://s3.example"})));
        assert!(encrypted.contains(&"BACKUP_S3_USE_SSL=true".to_owned()), "{encrypted:?}");
        assert!(encrypted.contains(&"AWS_REGION=us-east-1".to_owned()), "{encrypted:?}");
    }

    #[test]
    fn modules_that_are_named_stay() {
        for (named, expected) in [
            ("text2vec-ollama", "text2vec-ollama,backup-s3"),
            ("a, b ,", "a,b,backup-s3"),
            ("backup-s3", "backup-s3"),
            ("", "backup-s3"),
        ] {
            let modules = told(|object| {
                s3(json!({"bucket": "own"}))(object);
                object["spec"]["managed"]["env"] = json!([{"name": "ENABLE_MODULES", "value": named}]);
            });
            assert_eq!(modules[0], format!("ENABLE_MODULES={expected}"), "{named:?}");
            assert_eq!(modules.len(), 2, "{modules:?}");
        }
    }

    #[test]
    fn what_the_operator_sets_nobody_else_sets() {
        for (variable, words) in [
            (
                json!({"name": "BACKUP_S3_BUCKET", "value": "other"}),
                "BACKUP_S3_BUCKET is set by the operator because of",
            ),
            (
                json!({"name": "ENABLE_MODULES", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}),
                "valueFrom",
            ),
        ] {
            let error = validated(|object| {
                s3(json!({"bucket": "own"}))(object);
                object["spec"]["managed"]["env"] = json!([variable]);
            });
            assert!(error.clone().unwrap_err().contains(words), "{error:?}");
            validated(|object| object["spec"]["managed"]["env"] = json!([variable])).unwrap();
        }
    }
}
