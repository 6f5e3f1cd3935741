//! Where runs lie: whether what the place needs is there, and how a worker is told of it.

use elysia_api::backup::{AzureStore, BackupStore, GcsStore};
use elysia_api::common::{S3Store, SecretKeyReference, SecretReference};
use elysia_api::names;
use elysia_core::sight::Sight;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::{Value, json};

use super::context::Context;
use super::feed::job::s3_key;
use super::feed::observe::{has_key, has_volume, unreadable};
use super::store_jobs::{MOUNT, secret_text};
use crate::worker;
use crate::worker::backup::store::service_account;
use crate::worker::backup::work::{AzureWork, BucketWork, GcsWork, StoreWork};

/// Whether what a store needs is there: a pod without it never starts.
pub(super) async fn store(namespace: &str, store: &BackupStore, context: &Context) -> Sight<Result<(), String>> {
    let BackupStore { s3, gcs, azure, volume } = store;
    if let Some(volume) = volume {
        return has_volume(namespace, &volume.claim_name, context).await;
    }
    if s3.is_none() && gcs.is_none() && azure.is_none() {
        return Sight::Seen(Err("spec.store names nothing".to_owned()));
    }
    let trusted = authorities(namespace, store.ca_secret_ref(), context).await;
    if !matches!(trusted, Sight::Seen(Ok(()))) {
        return trusted;
    }
    if let Some(secret) = s3.as_ref().and_then(|s3| s3.credentials_secret_ref.as_ref()) {
        return has_key(namespace, secret, context).await;
    }
    if let Some(secret) = gcs.as_ref().and_then(|gcs| gcs.credentials_secret_ref.as_ref()) {
        return has_service_account(namespace, secret, context).await;
    }
    if let Some(secret) = azure.as_ref().and_then(|azure| azure.credentials_secret_ref.as_ref()) {
        return has_account_key(namespace, secret, context).await;
    }
    Sight::Seen(Ok(()))
}

/// Whether the certificates that are to be trusted are there, and are some: a worker that finds out only then has failed.
pub(super) async fn authorities(
    namespace: &str,
    reference: Option<&SecretKeyReference>,
    context: &Context,
) -> Sight<Result<(), String>> {
    let Some(reference) = reference else { return Sight::Seen(Ok(())) };
    let SecretKeyReference { name, key } = reference;
    secret_text(namespace, reference, context)
        .await
        .map(|text| worker::authorities(&text?).map_err(|problem| format!("key {key} of Secret {name}: {problem}")))
}

async fn has_service_account(
    namespace: &str,
    secret: &SecretReference,
    context: &Context,
) -> Sight<Result<(), String>> {
    let key = names::GCS_SERVICE_ACCOUNT_KEY;
    let reference = SecretKeyReference { name: secret.name.clone(), key: key.to_owned() };
    secret_text(namespace, &reference, context).await.map(|text| {
        service_account(&text?).map_err(|problem| format!("key {key} of Secret {}: {problem}", secret.name))
    })
}

async fn has_account_key(namespace: &str, secret: &SecretReference, context: &Context) -> Sight<Result<(), String>> {
    let api: Api<Secret> = Api::namespaced(context.kube.clone(), namespace);
    let found = match api.get_opt(&secret.name).await {
        Ok(found) => found,
        Err(error) => return unreadable("Secret", &secret.name, &error),
    };
    let (name, either) = (&secret.name, [names::AZURE_ACCOUNT_KEY, names::AZURE_SAS_TOKEN]);
    let Some(found) = found else {
        let keys = either.join(" or ");
        return Sight::Seen(Err(format!("Secret {name} does not exist; create it with the key {keys}")));
    };
    let data = found.data.unwrap_or_default();
    let there = either.iter().filter(|key| data.get(**key).is_some_and(|value| !value.0.is_empty())).count();
    let [account, signature] = either;
    Sight::Seen(match there {
        0 => Err(format!("Secret {name} has neither the key {account} nor {signature}; add one of them")),
        1 => Ok(()),
        _ => Err(format!(
            "Secret {name} has both {account} and {signature}, and which one is meant nobody knows; remove one"
        )),
    })
}

/// A store as the worker is told of it.
pub(super) fn store_work(store: &BackupStore) -> StoreWork {
    let BackupStore { s3, gcs, azure, volume } = store.clone();
    if let Some(volume) = volume {
        return StoreWork::Folder(format!("{MOUNT}/{}", volume.path).trim_end_matches('/').to_owned());
    }
    if let Some(gcs) = gcs {
        let GcsStore { bucket, prefix, endpoint, credentials_secret_ref, ca_secret_ref: _ } = gcs;
        let anonymous = credentials_secret_ref.is_none();
        return StoreWork::Gcs(GcsWork { bucket, prefix, endpoint, anonymous, authorities: None });
    }
    if let Some(azure) = azure {
        let AzureStore { account, container, prefix, endpoint, credentials_secret_ref, ca_secret_ref: _ } = azure;
        let anonymous = credentials_secret_ref.is_none();
        return StoreWork::Azure(AzureWork { account, container, prefix, endpoint, anonymous, authorities: None });
    }
    let S3Store { bucket, prefix, endpoint, region, credentials_secret_ref, ca_secret_ref: _ } = s3.unwrap_or_default();
    let anonymous = credentials_secret_ref.is_none();
    StoreWork::S3(BucketWork { bucket, prefix, endpoint, region, anonymous, authorities: None })
}

/// The variables with what opens the store and whom it is trusted by: the kubelet reads them, the Job only names them.
pub(super) fn environment(store: &BackupStore) -> Vec<Value> {
    let BackupStore { s3, gcs, azure, volume: _ } = store;
    let mut variables = s3_key(s3.as_ref().and_then(|s3| s3.credentials_secret_ref.as_ref()));
    if let Some(secret) = gcs.as_ref().and_then(|gcs| gcs.credentials_secret_ref.as_ref()) {
        let key = names::GCS_SERVICE_ACCOUNT_KEY;
        variables.push(variable(worker::GCS_SERVICE_ACCOUNT_KEY_VARIABLE, &secret.name, key, false));
    }
    if let Some(secret) = azure.as_ref().and_then(|azure| azure.credentials_secret_ref.as_ref()) {
        variables.push(variable(worker::AZURE_ACCOUNT_KEY_VARIABLE, &secret.name, names::AZURE_ACCOUNT_KEY, true));
        variables.push(variable(worker::AZURE_SAS_TOKEN_VARIABLE, &secret.name, names::AZURE_SAS_TOKEN, true));
    }
    variables.extend(store.ca_secret_ref().map(trusted));
    variables
}

/// The variable with the certificates that are trusted.
pub(super) fn trusted(reference: &SecretKeyReference) -> Value {
    variable(worker::STORE_CA_VARIABLE, &reference.name, &reference.key, false)
}

fn variable(name: &str, secret: &str, key: &str, optional: bool) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": optional}}})
}
