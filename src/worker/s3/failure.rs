//! What an object store refused, in words: what is wrong, where, and what to do.
//!
//! The server's own answer is never repeated whole: to a wrong signature it holds what was signed.

use elysia_engine::category::Category;
use elysia_engine::ports::PortError;
use elysia_engine::rejection::one_line;
use object_store::Error;

use crate::worker::chain;
use crate::worker::work::S3Work;

/// The longest piece of a server's own words, in bytes.
pub(in crate::worker) const WORDS: usize = 300;

/// Where a person mends what is wrong.
pub(in crate::worker) struct Words {
    bucket: &'static str,
    id: &'static str,
    secret: &'static str,
    token: &'static str,
    region: &'static str,
    no_key: &'static str,
    rights: &'static str,
    ca: &'static str,
}

/// Of a feed.
const FEED: Words = Words {
    bucket: "bucket in the spec",
    id: "accessKeyId in the Secret",
    secret: "secretAccessKey in the Secret",
    token: "sessionToken in the Secret",
    region: "region in the spec",
    no_key: ", or set credentialsSecretRef",
    rights: "list the bucket (s3:ListBucket) and read its objects (s3:GetObject)",
    ca: CA,
};

/// Of a backup or a restore that is declared.
pub(in crate::worker) const BACKUP: Words = Words { rights: BACKUP_RIGHTS, ..FEED };

/// Of the plug-in.
pub(in crate::worker) const BY_HAND: Words = Words {
    bucket: "--store",
    id: "AWS_ACCESS_KEY_ID",
    secret: "AWS_SECRET_ACCESS_KEY",
    token: "AWS_SESSION_TOKEN",
    region: "--region",
    no_key: ", or leave --anonymous out",
    rights: BACKUP_RIGHTS,
    ca: CA_BY_HAND,
};

/// Where certificates of authorities stand, of what is declared.
pub(in crate::worker) const CA: &str = "caSecretRef in the spec";
/// The same of the plug-in.
pub(in crate::worker) const CA_BY_HAND: &str = "--store-ca";

const BACKUP_RIGHTS: &str = "list the bucket (s3:ListBucket), read its objects (s3:GetObject), and write and delete them where \
    that is meant (s3:PutObject, s3:DeleteObject)";

/// What happened, from the code in the answer, else from the kind of error. `object` is the key that was asked for.
pub(super) fn explain(error: &Error, work: &S3Work, object: Option<&str>) -> PortError {
    explain_in(&FEED, error, work, object)
}

/// The same in other words.
pub(in crate::worker) fn explain_in(words: &Words, error: &Error, work: &S3Work, object: Option<&str>) -> PortError {
    let text = chain(error);
    let (category, retryable, problem) = match element(&text, "Code") {
        Some(code) => by_code(code, &text, work, words),
        None => without_code(error, &text, work, words),
    };
    let place = place(work, object);
    PortError { category, retryable, message: format!("{place}: {problem}") }
}

fn place(work: &S3Work, object: Option<&str>) -> String {
    let server = work.endpoint.as_deref().unwrap_or("Amazon S3");
    let below = object.unwrap_or(&work.prefix);
    format!("bucket {}/{below} at {server}", work.bucket)
}

fn by_code(code: &str, text: &str, work: &S3Work, words: &Words) -> (Category, bool, String) {
    let file = Category::FileSystem;
    match code {
        "NoSuchBucket" => (file, false, format!("there is no such bucket; create it, or correct {}", words.bucket)),
        "NoSuchKey" => (file, true, "the object was deleted since it was listed".to_owned()),
        "AccessDenied" | "AllAccessDisabled" => (file, false, denied(work, words)),
        "InvalidAccessKeyId" => (file, false, format!("the access key is not known there; correct {}", words.id)),
        "SignatureDoesNotMatch" => {
            (file, false, format!("the secret key does not belong to the access key; correct {}", words.secret))
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            (file, false, format!("the session token has ended; renew {}", words.token))
        }
        "RequestTimeTooSkewed" | "RequestExpired" => {
            (file, true, "the clocks of this node and of the server are too far apart; set both by NTP".to_owned())
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "InvalidRegion" => (file, false, wrong_region(work, words, element(text, "Region"))),
        "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" => {
            (Category::RateLimit, true, "the server asks to slow down".to_owned())
        }
        "RequestTimeout" => (Category::Timeout, true, "the server waited too long for the request".to_owned()),
        code => {
            let said = element(text, "Message").unwrap_or("no reason given");
            (file, true, one_line(&format!("the server answered {code}: {said}"), WORDS))
        }
    }
}

fn without_code(error: &Error, text: &str, work: &S3Work, words: &Words) -> (Category, bool, String) {
    match error {
        // A HEAD has no body, and some servers send none.
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            (Category::FileSystem, false, denied(work, words))
        }
        _ if text.contains("redirect without LOCATION") => {
            (Category::FileSystem, false, wrong_region(work, words, None))
        }
        _ => by_kind(error, text, words.ca),
    }
}

/// What is known from the kind of error, whatever the server speaks. `ca`: where authorities can be named.
pub(in crate::worker) fn by_kind(error: &Error, text: &str, ca: &str) -> (Category, bool, String) {
    match error {
        Error::NotFound { .. } => {
            (Category::FileSystem, true, "it is not there; was it deleted since it was listed?".to_owned())
        }
        Error::InvalidPath { source } => {
            let text = format!("a key that is no path: {source}; give the object another key, or make prefix narrower");
            (Category::FileSystem, false, text)
        }
        _ => {
            if let Some(problem) = certificate(text, ca) {
                return (Category::Network, false, problem);
            }
            let is_late = text.contains("timed out") || text.contains("timeout");
            let category = if is_late { Category::Timeout } else { Category::Network };
            (category, true, one_line(&format!("the server cannot be asked: {}", cause(error)), WORDS))
        }
    }
}

/// What is wrong with the certificate that the server shows, and who can do something about it.
fn certificate(text: &str, ca: &str) -> Option<String> {
    let (_, why) = text.split_once("invalid peer certificate: ")?;
    Some(if why.starts_with("UnknownIssuer") {
        format!("the server's certificate is signed by nobody who is trusted; name its authority's certificate in {ca}")
    } else if why.contains("CaUsedAsEndEntity") {
        format!(
            "the server shows the certificate of an authority as its own; have one signed for it (CA:FALSE, with its name), and name the authority's in {ca}"
        )
    } else if why.starts_with("certificate not valid for name") || why.starts_with("NotValidForName") {
        "the server's certificate is for another name; have one signed with the host of the endpoint as a subject alternative name".to_owned()
    } else if why.starts_with("certificate expired") || why.starts_with("Expired") {
        "the server's certificate has ended; renew it".to_owned()
    } else {
        one_line(&format!("the server's certificate is not accepted: {why}"), WORDS)
    })
}

/// The innermost cause: what stands around it names the request, with its address, again and again.
fn cause(error: &Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn denied(work: &S3Work, words: &Words) -> String {
    let who = if work.anonymous { "anybody" } else { "this key" };
    let set = if work.anonymous { words.no_key } else { "" };
    format!("access is denied; let {who} {}{set}", words.rights)
}

fn wrong_region(work: &S3Work, words: &Words, right: Option<&str>) -> String {
    let asked = work.region.as_deref().unwrap_or(super::REGION);
    match right {
        Some(right) => format!("the bucket is in region {right}, not {asked}; set {}", words.region),
        None => format!("the bucket is not in region {asked}; set {} to the one it is in", words.region),
    }
}

/// What is inside this element of an answer in XML.
pub(in crate::worker) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inside.trim()).filter(|inside| !inside.is_empty())
}
