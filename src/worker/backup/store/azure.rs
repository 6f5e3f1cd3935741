//! Containers of Azure Blob Storage: how they are opened, and what their answers mean.
//!
//! Codes: <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes> and
//! <https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes>.

use elysia_engine::category::Category;
use elysia_engine::ports::PortError;
use elysia_engine::rejection::one_line;
use object_store::Error;
use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use secrecy::{ExposeSecret as _, SecretString};

use super::Hand;
use super::server::REQUEST_TIMEOUT;
use crate::worker::backup::failure::Failure;
use crate::worker::backup::work::AzureWork;
use crate::worker::chain;
use crate::worker::s3::failure::{CA, CA_BY_HAND, WORDS, by_kind, element};
use crate::worker::s3::{client_options, retry_config};

/// What a signature has to allow.
const RIGHTS: &str = "list (l) and read (r) blobs, and create (c), write (w) and delete (d) them where that is meant";

/// What opens a container.
pub(crate) enum AzureKey {
    /// A key of the storage account.
    Account(SecretString),
    /// A shared access signature.
    Signature(SecretString),
}

/// Where a person mends what is wrong.
struct Words {
    account: &'static str,
    container: &'static str,
    key: &'static str,
    signature: &'static str,
    either: &'static str,
    no_key: &'static str,
    ca: &'static str,
}

impl Words {
    const fn of(hand: Hand) -> Self {
        match hand {
            Hand::Worker => Self {
                account: "account in the spec",
                container: "container in the spec",
                key: "accountKey in the Secret",
                signature: "sasToken in the Secret",
                either: "accountKey or sasToken in the Secret",
                no_key: "; or set credentialsSecretRef",
                ca: CA,
            },
            Hand::Person => Self {
                account: "--account",
                container: "--store",
                key: "AZURE_STORAGE_KEY",
                signature: "AZURE_STORAGE_SAS_TOKEN",
                either: "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN",
                no_key: "; or leave --anonymous out",
                ca: CA_BY_HAND,
            },
        }
    }
}

/// A way to the container; no call is made yet.
pub(super) fn connect(work: &AzureWork, key: Option<AzureKey>, hand: Hand) -> Result<MicrosoftAzure, Failure> {
    let options = client_options(work.endpoint.as_deref(), work.authorities.as_deref(), REQUEST_TIMEOUT);
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&work.account)
        .with_container_name(&work.container)
        .with_client_options(options.map_err(|error| Failure::permanent(chain(&error)))?)
        .with_retry(retry_config(hand.retries()));
    if let Some(endpoint) = &work.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let words = Words::of(hand);
    let (builder, problem) = match key {
        Some(AzureKey::Account(key)) => {
            let builder = builder.with_access_key(key.expose_secret().trim());
            (builder, format!("{} is no key of a storage account: those are base64", words.key))
        }
        Some(AzureKey::Signature(token)) => {
            let builder = builder.with_config(AzureConfigKey::SasKey, token.expose_secret().trim());
            (builder, format!("{} is no shared access signature: those begin with sv= or ?sv=", words.signature))
        }
        // Something has to stand there, or the machine is asked for its rights.
        None => (builder.with_bearer_token_authorization("").with_skip_signature(true), "no way to it".to_owned()),
    };
    // What is wrong with a key is said without the key.
    builder.build().map_err(|_| Failure::permanent(problem))
}

/// What happened, from the code in the answer, else from the kind of error. `object` is the blob that was asked for.
pub(super) fn explain(error: &Error, work: &AzureWork, hand: Hand, object: Option<&str>) -> PortError {
    let text = chain(error);
    let words = Words::of(hand);
    let (category, retryable, problem) = match element(&text, "Code").or_else(|| in_brackets(&text)) {
        Some(code) => by_code(code, &text, work, &words),
        None => without_code(error, &text, work, &words),
    };
    let AzureWork { account, container, prefix, .. } = work;
    let server = work.endpoint.as_deref().unwrap_or("Azure");
    let below = object.unwrap_or(prefix);
    let message = format!("container {container}/{below} of account {account} at {server}: {problem}");
    PortError { category, retryable, message }
}

/// The status of one of many blobs that were to be deleted at once, as the client says it.
fn in_brackets(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("(code: ")?;
    rest.split_once(')').map(|(code, _)| code).filter(|code| !code.is_empty())
}

fn by_code(code: &str, text: &str, work: &AzureWork, words: &Words) -> (Category, bool, String) {
    let file = Category::FileSystem;
    match code {
        "ContainerNotFound" => {
            (file, false, format!("there is no such container; create it, or correct {}", words.container))
        }
        "ContainerBeingDeleted" | "ContainerDisabled" => {
            (file, true, "the container is being deleted, or was switched off; create it again when it is gone".to_owned())
        }
        "BlobNotFound" => (file, true, "the blob was deleted since it was listed".to_owned()),
        "AuthenticationFailed" if text.contains("in the specified time frame") || text.contains("Signature not valid") => {
            (file, false, format!("the shared access signature has ended, or has not begun; renew {}", words.signature))
        }
        "AuthenticationFailed" | "InvalidAuthenticationInfo" => (file, false, unknown(words)),
        // So Azurite says it.
        "AuthorizationFailure" if text.contains("failed to authenticate the request") => (file, false, unknown(words)),
        "KeyBasedAuthenticationNotPermitted" => {
            (file, false, format!("the account allows no keys (allowSharedKeyAccess); allow them, or put a user delegation signature into {}", words.signature))
        }
        "AuthorizationPermissionMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "InsufficientAccountPermissions"
        | "NoAuthenticationInformation"
        | "PublicAccessNotPermitted"
        | "ResourceNotFound"
        // Of blobs that are deleted many at a time the client says the status alone.
        | "403" => (file, false, denied(work, words)),
        "AuthorizationFailure" if work.anonymous => (file, false, denied(work, words)),
        "AuthorizationFailure" | "AuthorizationSourceIPMismatch" => {
            (file, false, "the account's firewall, or its signature, does not let this address in; allow it under Networking of the account".to_owned())
        }
        "AuthorizationProtocolMismatch" | "AccountRequiresHttps" => {
            (file, false, "the account is to be asked by https:// alone; correct endpoint".to_owned())
        }
        "AccountIsDisabled" => (file, false, format!("the storage account is switched off; switch it on, or correct {}", words.account)),
        "409" | "412" | "BlobImmutableDueToPolicy" | "SnapshotsPresent" | "LeaseIdMissing" => {
            (file, false, format!("the blob is kept by an immutability policy, a hold, a lease or its snapshots ({code}); retention cannot delete it before that ends"))
        }
        "429" | "503" | "ServerBusy" => (Category::RateLimit, true, "the server asks to slow down".to_owned()),
        "OperationTimedOut" => (Category::Timeout, true, "the server took too long for the request".to_owned()),
        code => {
            let said = element(text, "Message").unwrap_or("no reason given");
            // What follows in the message is the number of the request.
            let said = said.lines().next().unwrap_or_default();
            (file, true, one_line(&format!("the server answered {code}: {said}"), WORDS))
        }
    }
}

fn without_code(error: &Error, text: &str, work: &AzureWork, words: &Words) -> (Category, bool, String) {
    match error {
        // A HEAD has no body.
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            (Category::FileSystem, false, denied(work, words))
        }
        _ if text.contains("dns error") || text.contains("failed to lookup address") => {
            let problem = format!("there is no such address; correct {} or endpoint", words.account);
            (Category::Network, true, problem)
        }
        _ => by_kind(error, text, words.ca),
    }
}

fn unknown(words: &Words) -> String {
    format!("the key or signature is not that of this account, or this node's clock is wrong; correct {}", words.either)
}

fn denied(work: &AzureWork, words: &Words) -> String {
    if work.anonymous {
        return format!("access is denied; let anybody {RIGHTS}{}", words.no_key);
    }
    format!("access is denied; correct {}: a signature has to be one that may {RIGHTS}", words.either)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> AzureWork {
        let [account, container, prefix] = ["shop", "backups", "wiki"].map(str::to_owned);
        AzureWork { account, container, prefix, ..AzureWork::default() }
    }

    fn answered(body: &str) -> Error {
        Error::Generic { store: "MicrosoftAzure", source: body.to_owned().into() }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_next_step() {
        for (code, words, retryable) in [
            ("ContainerNotFound", "there is no such container; create it, or correct container in the spec", false),
            ("AuthenticationFailed", "correct accountKey or sasToken in the Secret", false),
            ("KeyBasedAuthenticationNotPermitted", "the account allows no keys", false),
            ("AuthorizationPermissionMismatch", "create (c), write (w) and delete (d)", false),
            ("AuthorizationFailure", "under Networking of the account", false),
            ("BlobImmutableDueToPolicy", "retention cannot delete it", false),
            ("ServerBusy", "asks to slow down", true),
            ("InternalError", "answered InternalError: M", true),
        ] {
            let body = format!(
                "<Error><Code>{code}</Code><Message>M\nRequestId:1</Message><AuthenticationErrorDetail>hush</AuthenticationErrorDetail></Error>"
            );
            let failure = explain(&answered(&body), &work(), Hand::Worker, None);
            assert!(failure.message.contains(words), "{code}: {}", failure.message);
            let place = "container backups/wiki of account shop at Azure: ";
            assert!(failure.message.starts_with(place), "{}", failure.message);
            assert_eq!(failure.retryable, retryable, "{code}");
            assert!(!failure.message.contains("hush") && !failure.message.contains("RequestId"), "{}", failure.message);
        }
        let ended = "<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature not valid in the specified time frame</AuthenticationErrorDetail></Error>";
        let failure = explain(&answered(ended), &work(), Hand::Person, None);
        assert!(failure.message.ends_with("renew AZURE_STORAGE_SAS_TOKEN"), "{}", failure.message);
        let azurite = "<Error><Code>AuthorizationFailure</Code><Message>Server failed to authenticate the request. Make sure</Message></Error>";
        let failure = explain(&answered(azurite), &work(), Hand::Worker, None);
        assert!(failure.message.ends_with("correct accountKey or sasToken in the Secret"), "{}", failure.message);
        let many = answered("Bulk delete request failed for key wiki/a: gone (code: 503)");
        assert!(explain(&many, &work(), Hand::Worker, None).message.ends_with("slow down"));
    }

    #[test]
    fn what_is_no_key_is_told_without_it() {
        let failure = connect(&work(), Some(AzureKey::Account("hush!".into())), Hand::Worker).unwrap_err();
        assert_eq!(failure.message, "accountKey in the Secret is no key of a storage account: those are base64");
        let failure = connect(&work(), Some(AzureKey::Signature("hush".into())), Hand::Person).unwrap_err();
        assert!(failure.message.starts_with("AZURE_STORAGE_SAS_TOKEN is no shared access signature"), "{failure}");
        connect(&work(), None, Hand::Worker).unwrap();
    }
}
