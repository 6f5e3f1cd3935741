//! Buckets of Google Cloud Storage, by its XML API: how they are opened, and what their answers mean.
//!
//! Codes: <https://cloud.google.com/storage/docs/xml-api/reference-status>.

use std::path::PathBuf;

use elysia_engine::category::Category;
use elysia_engine::ports::PortError;
use elysia_engine::rejection::one_line;
use object_store::Error;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::Hand;
use super::server::REQUEST_TIMEOUT;
use crate::worker::backup::failure::Failure;
use crate::worker::backup::work::GcsWork;
use crate::worker::chain;
use crate::worker::s3::failure::{CA, CA_BY_HAND, WORDS, by_kind, element};
use crate::worker::s3::{client_options, retry_config};

/// Google's own address.
const ADDRESS: &str = "https://storage.googleapis.com";

/// What a key has to be allowed to. A file that is written anew is deleted by that, as Google sees it.
const RIGHTS: &str = "list the bucket, read its objects, and write and delete them where that is meant: role Storage Object \
    User (roles/storage.objectUser) on the bucket";

/// What opens a bucket of Google.
pub(crate) enum GcsKey {
    /// The text of a service account's key file.
    ServiceAccount(SecretString),
    /// The file in which `gcloud auth application-default login` left what a person may.
    User(PathBuf),
}

/// Where a person mends what is wrong.
struct Words {
    bucket: &'static str,
    key: &'static str,
    no_key: &'static str,
    ca: &'static str,
}

impl Words {
    const fn of(hand: Hand) -> Self {
        match hand {
            Hand::Worker => Self {
                bucket: "bucket in the spec",
                key: "serviceAccountKey in the Secret",
                no_key: ", or set credentialsSecretRef",
                ca: CA,
            },
            Hand::Person => Self {
                bucket: "--store",
                key: "the file of GOOGLE_APPLICATION_CREDENTIALS",
                no_key: ", or leave --anonymous out",
                ca: CA_BY_HAND,
            },
        }
    }
}

/// A way to the bucket; no call is made yet.
pub(super) fn connect(work: &GcsWork, key: Option<GcsKey>, hand: Hand) -> Result<GoogleCloudStorage, Failure> {
    let options = client_options(work.endpoint.as_deref(), work.authorities.as_deref(), REQUEST_TIMEOUT);
    // Always an address: a key file may name another one, and would be obeyed.
    let address = work.endpoint.as_deref().unwrap_or(ADDRESS).trim_end_matches('/');
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&work.bucket)
        .with_base_url(address)
        .with_client_options(options.map_err(|error| Failure::permanent(chain(&error)))?)
        .with_retry(retry_config(hand.retries()));
    let words = Words::of(hand);
    let (builder, problem) = match key {
        Some(GcsKey::ServiceAccount(text)) => {
            let text = text.expose_secret();
            service_account(text).map_err(|problem| Failure::permanent(format!("{}: {problem}", words.key)))?;
            (builder.with_service_account_key(text), "the private key in it is none in PEM; make a new key")
        }
        Some(GcsKey::User(file)) => {
            let builder = builder.with_application_credentials(file.to_string_lossy());
            (builder, "it is not what gcloud writes; log in again: gcloud auth application-default login")
        }
        // Something has to stand there, or it is looked for in files and at the machine.
        None => (builder.with_bearer_token("").with_skip_signature(true), "no way to it"),
    };
    // What is wrong with a key is said without the key.
    builder.build().map_err(|_| Failure::permanent(format!("{}: {problem}", words.key)))
}

/// Whether a text is the key file of a service account; the error says what it is instead, and nothing of what is in it.
pub(crate) fn service_account(text: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct KeyFile {
        #[serde(default)]
        r#type: Option<String>,
        #[serde(default)]
        private_key: Option<String>,
        #[serde(default)]
        private_key_id: Option<String>,
        #[serde(default)]
        client_email: Option<String>,
    }
    let how =
        "it has to be the JSON key file of a service account, as `gcloud iam service-accounts keys create` writes it";
    let file: KeyFile = serde_json::from_str(text).map_err(|_| format!("no JSON; {how}"))?;
    if let Some(kind) = file.r#type.filter(|kind| kind != "service_account") {
        return Err(format!("credentials of type {}; {how}", one_line(&kind, WORDS)));
    }
    for (name, member) in [
        ("private_key", file.private_key),
        ("private_key_id", file.private_key_id),
        ("client_email", file.client_email),
    ] {
        if member.is_none_or(|text| text.is_empty()) {
            return Err(format!("it lacks {name}; {how}"));
        }
    }
    Ok(())
}

/// What happened, from the code in the answer, else from the kind of error. `object` is the key that was asked for.
pub(super) fn explain(error: &Error, work: &GcsWork, hand: Hand, object: Option<&str>) -> PortError {
    let text = chain(error);
    let words = Words::of(hand);
    let (category, retryable, problem) = match element(&text, "Code") {
        Some(code) => by_code(code, &text, work, &words),
        None => without_code(error, &text, work, &words),
    };
    let server = work.endpoint.as_deref().unwrap_or("Google Cloud Storage");
    let below = object.unwrap_or(&work.prefix);
    PortError { category, retryable, message: format!("bucket {}/{below} at {server}: {problem}", work.bucket) }
}

fn by_code(code: &str, text: &str, work: &GcsWork, words: &Words) -> (Category, bool, String) {
    let file = Category::FileSystem;
    match code {
        "NoSuchBucket" => (file, false, format!("there is no such bucket; create it, or correct {}", words.bucket)),
        "NoSuchKey" => (file, true, "the object was deleted since it was listed".to_owned()),
        "AccessDenied" | "Forbidden" => (file, false, denied(work, words)),
        "AuthenticationRequired" | "InvalidAuthentication" | "InvalidSecurity" | "ExpiredToken" | "TokenExpired" => {
            (file, false, unknown(work, words))
        }
        "RetentionPolicyNotMet" | "ObjectUnderActiveHold" => (
            file,
            false,
            "the bucket's retention policy or a hold keeps the object; retention cannot delete it before that ends"
                .to_owned(),
        ),
        "UserProjectMissing" => (
            file,
            false,
            "the bucket bills whoever asks (requester pays), which is not offered; switch that off".to_owned(),
        ),
        "SlowDown" | "TooManyRequests" | "RateLimitExceeded" => {
            (Category::RateLimit, true, "the server asks to slow down".to_owned())
        }
        code => {
            let said = element(text, "Message").unwrap_or("no reason given");
            (file, true, one_line(&format!("the server answered {code}: {said}"), WORDS))
        }
    }
}

fn without_code(error: &Error, text: &str, work: &GcsWork, words: &Words) -> (Category, bool, String) {
    match error {
        // A HEAD has no body.
        Error::PermissionDenied { .. } => (Category::FileSystem, false, denied(work, words)),
        Error::Unauthenticated { .. } => (Category::FileSystem, false, unknown(work, words)),
        _ => by_kind(error, text, words.ca),
    }
}

fn denied(work: &GcsWork, words: &Words) -> String {
    let (who, set) = if work.anonymous { ("anybody", words.no_key) } else { ("this service account", "") };
    format!("access is denied; let {who} {RIGHTS}{set}")
}

fn unknown(work: &GcsWork, words: &Words) -> String {
    if work.anonymous {
        return denied(work, words);
    }
    format!(
        "the key is not accepted: it was deleted, its service account is disabled, or this node's clock is wrong; correct {}",
        words.key
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> GcsWork {
        GcsWork { bucket: "backups".to_owned(), prefix: "wiki".to_owned(), ..GcsWork::default() }
    }

    fn answered(body: &str) -> Error {
        Error::Generic { store: "GCS", source: body.to_owned().into() }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_next_step() {
        for (code, words, retryable) in [
            ("NoSuchBucket", "there is no such bucket; create it, or correct bucket in the spec", false),
            ("AccessDenied", "let this service account list the bucket", false),
            ("AuthenticationRequired", "correct serviceAccountKey in the Secret", false),
            ("RetentionPolicyNotMet", "retention cannot delete it", false),
            ("SlowDown", "asks to slow down", true),
            ("InternalError", "answered InternalError: M", true),
        ] {
            let error = answered(&format!("<Error><Code>{code}</Code><Message>M</Message></Error>"));
            let failure = explain(&error, &work(), Hand::Worker, None);
            assert!(failure.message.contains(words), "{code}: {}", failure.message);
            assert!(
                failure.message.starts_with("bucket backups/wiki at Google Cloud Storage: "),
                "{}",
                failure.message
            );
            assert_eq!(failure.retryable, retryable, "{code}");
        }
        let anonymous = GcsWork { anonymous: true, ..work() };
        let denied = Error::Unauthenticated { path: "p".to_owned(), source: "401".into() };
        let failure = explain(&denied, &anonymous, Hand::Person, Some("wiki/owner.json"));
        assert!(failure.message.ends_with("or leave --anonymous out"), "{}", failure.message);
    }

    #[test]
    fn what_is_no_key_file_is_told_without_its_text() {
        for (text, words) in [
            ("hush", "no JSON"),
            (r#"{"type": "authorized_user", "refresh_token": "hush"}"#, "credentials of type authorized_user"),
            (r#"{"type": "service_account", "private_key": "hush"}"#, "it lacks private_key_id"),
            (r#"{"client_email": "a@b", "private_key_id": "1"}"#, "it lacks private_key;"),
        ] {
            let error = service_account(text).unwrap_err();
            assert!(error.contains(words) && !error.contains("hush"), "{text}: {error}");
        }
        let broken = r#"{"client_email": "a@b", "private_key_id": "1", "private_key": "hush"}"#;
        let failure = connect(&work(), Some(GcsKey::ServiceAccount(broken.into())), Hand::Worker).unwrap_err();
        assert!(failure.is_permanent && failure.message.contains("none in PEM"), "{failure}");
        assert!(!failure.message.contains("hush"), "{failure}");
    }
}
