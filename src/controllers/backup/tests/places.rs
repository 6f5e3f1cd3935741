//! Policies whose runs lie at Google, at Azure, or behind a certificate of a private authority.

use super::*;

/// What stands in a Secret.
fn secret(name: &str, data: &Value) -> Secret {
    manifest(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE},
        "data": data,
    }))
}

/// As `data` has it.
fn encoded(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

/// A policy with this store.
async fn with(store: Value) -> World {
    let world = world().await;
    world.api.edit::<CollectionBackup>(NAMESPACE, "nightly", |object| object["spec"]["store"] = store);
    world
}

/// What the conditions say while this is what stands in the Secret.
async fn said(world: &mut World, name: &str, data: &Value) -> String {
    world.api.seed(&secret(name, data));
    advance(60);
    world.nightly().await;
    assert_eq!(world.backup_jobs(), Vec::<String>::new());
    world.backup_conditions()
}

/// The Secrets that the variables of the only Job come from, but for the key of the servers.
fn variables(world: &World) -> Vec<String> {
    let pod = world.get::<Job>(&world.backup_jobs()[0]).spec.unwrap().template.spec.unwrap();
    let secret = |variable: k8s_openapi::api::core::v1::EnvVar| {
        let from = variable.value_from?.secret_key_ref?;
        if variable.name == crate::worker::API_KEY_VARIABLE {
            return None;
        }
        Some(format!("{}={}/{}", variable.name, from.name, from.key))
    };
    pod.containers[0].env.clone().unwrap().into_iter().filter_map(secret).collect()
}

#[tokio::test]
async fn a_bucket_of_google_is_opened_by_a_service_account() {
    let gcs = json!({"gcs": {"bucket": "backups", "prefix": "search", "credentialsSecretRef": {"name": "google"}}});
    let mut world = with(gcs).await;
    world.nightly().await;
    let conditions = world.backup_conditions();
    assert!(
        conditions.contains("Secret google does not exist; create it with the key serviceAccountKey"),
        "{conditions}"
    );
    let conditions = said(&mut world, "google", &json!({"serviceAccountKey": encoded("hush")})).await;
    assert!(conditions.contains("key serviceAccountKey of Secret google: no JSON; it has to be"), "{conditions}");
    assert!(!conditions.contains("hush"), "{conditions}");
    let key = json!({"type": "service_account", "client_email": "a@b", "private_key": "hush", "private_key_id": "1"});
    world.api.seed(&secret("google", &json!({"serviceAccountKey": encoded(&key.to_string())})));
    advance(60);
    world.nightly().await;
    assert_eq!(variables(&world), ["ELYSIA_GCS_SERVICE_ACCOUNT_KEY=google/serviceAccountKey"]);
    let StoreWork::Gcs(work) = world.told_backup(&world.backup_jobs()[0]).backup.store else { panic!("another store") };
    assert_eq!((work.bucket.as_str(), work.prefix.as_str(), work.anonymous), ("backups", "search", false));
}

#[tokio::test]
async fn a_container_of_azure_is_opened_by_a_key_or_a_signature() {
    let azure =
        json!({"azure": {"account": "shop", "container": "backups", "credentialsSecretRef": {"name": "azure"}}});
    let mut world = with(azure).await;
    let conditions = said(&mut world, "azure", &json!({})).await;
    assert!(conditions.contains("Secret azure has neither the key accountKey nor sasToken"), "{conditions}");
    let both = json!({"accountKey": encoded("hush"), "sasToken": encoded("hush")});
    let conditions = said(&mut world, "azure", &both).await;
    assert!(conditions.contains("Secret azure has both accountKey and sasToken"), "{conditions}");
    world.api.seed(&secret("azure", &json!({"sasToken": encoded("hush")})));
    advance(60);
    world.nightly().await;
    assert_eq!(
        variables(&world),
        ["ELYSIA_AZURE_ACCOUNT_KEY=azure/accountKey", "ELYSIA_AZURE_SAS_TOKEN=azure/sasToken"]
    );
    let StoreWork::Azure(work) = world.told_backup(&world.backup_jobs()[0]).backup.store else {
        panic!("another store")
    };
    assert_eq!((work.account.as_str(), work.container.as_str(), work.anonymous), ("shop", "backups", false));
}

#[tokio::test]
async fn a_private_authority_is_named_by_a_secret() {
    let s3 = json!({"s3": {
        "bucket": "backups", "endpoint": "https://minio:9000", "credentialsSecretRef": {"name": "key"},
        "caSecretRef": {"name": "minio-ca", "key": "ca.crt"},
    }});
    let mut world = with(s3).await;
    let conditions = said(&mut world, "minio-ca", &json!({"tls.crt": encoded("x")})).await;
    assert!(conditions.contains("Secret minio-ca has no key ca.crt; add it"), "{conditions}");
    let conditions = said(&mut world, "minio-ca", &json!({"ca.crt": encoded("x")})).await;
    assert!(conditions.contains("key ca.crt of Secret minio-ca: no certificates in PEM"), "{conditions}");
    world.api.seed(&secret("minio-ca", &json!({"ca.crt": encoded(AUTHORITY)})));
    advance(60);
    world.nightly().await;
    let told = variables(&world);
    assert!(told.contains(&"ELYSIA_STORE_CA=minio-ca/ca.crt".to_owned()), "{told:?}");
}

/// An authority that has signed nothing and never will: its key was thrown away.
const AUTHORITY: &str = include_str!("authority.pem");
