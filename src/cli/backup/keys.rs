//! What opens a bucket, from the environment, where the tools of its maker look for it as well.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::Value;

use crate::cli::session::Stop;
use crate::worker::S3Key;
use crate::worker::backup::store::{AzureKey, GcsKey};

/// An environment variable in which something stands.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

pub(super) fn s3_key() -> Result<S3Key, Stop> {
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    let missing = |name: &str| unset(name, &format!("export {id} and {secret}"));
    Ok(S3Key {
        id: variable(id).ok_or_else(|| missing(id))?,
        secret: SecretString::from(variable(secret).ok_or_else(|| missing(secret))?),
        token: variable("AWS_SESSION_TOKEN").map(Into::into),
    })
}

pub(super) fn gcs_key() -> Result<GcsKey, Stop> {
    let name = "GOOGLE_APPLICATION_CREDENTIALS";
    let next =
        "name in it the JSON key file of a service account, or what `gcloud auth application-default login` wrote";
    let file = PathBuf::from(variable(name).ok_or_else(|| unset(name, next))?);
    let refuse = |problem: String| Stop::refused(format!("{name}={}: {problem}", file.display()), next);
    let text = std::fs::read_to_string(&file).map_err(|error| refuse(error.to_string()))?;
    let content: Value = serde_json::from_str(&text).map_err(|_| refuse("no JSON".to_owned()))?;
    match content["type"].as_str() {
        Some("authorized_user") => Ok(GcsKey::User(file)),
        Some("service_account") | None => Ok(GcsKey::ServiceAccount(text.into())),
        Some(other) => Err(refuse(format!("credentials of type {other} are not offered"))),
    }
}

pub(super) fn azure_key() -> Result<AzureKey, Stop> {
    let (account, signature) = ("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN");
    match (variable(account), variable(signature)) {
        (Some(key), None) => Ok(AzureKey::Account(key.into())),
        (None, Some(token)) => Ok(AzureKey::Signature(token.into())),
        (Some(_), Some(_)) => Err(Stop::refused(
            format!("both {account} and {signature} are set; nothing was asked"),
            format!("unset {account}, or unset {signature}"),
        )),
        (None, None) => Err(unset(account, &format!("export {account} or {signature}"))),
    }
}

fn unset(name: &str, next: &str) -> Stop {
    Stop::refused(
        format!("environment variable {name} is not set; nothing was asked"),
        format!("{next}, or say --anonymous for a bucket that anybody may read"),
    )
}
