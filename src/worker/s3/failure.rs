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
const WORDS: usize = 300;

/// What happened, from the code in the answer, else from the kind of error. `object` is the key that was asked for.
pub(in crate::worker) fn explain(error: &Error, work: &S3Work, object: Option<&str>) -> PortError {
    let text = chain(error);
    let (category, retryable, problem) = match element(&text, "Code") {
        Some(code) => by_code(code, &text, work),
        None => without_code(error, &text, work),
    };
    let place = place(work, object);
    PortError { category, retryable, message: format!("{place}: {problem}") }
}

fn place(work: &S3Work, object: Option<&str>) -> String {
    let server = work.endpoint.as_deref().unwrap_or("Amazon S3");
    let below = object.unwrap_or(&work.prefix);
    format!("bucket {}/{below} at {server}", work.bucket)
}

fn by_code(code: &str, text: &str, work: &S3Work) -> (Category, bool, String) {
    let file = Category::FileSystem;
    match code {
        "NoSuchBucket" => (file, false, "there is no such bucket; create it, or correct bucket in the spec".to_owned()),
        "NoSuchKey" => (file, true, "the object was deleted since it was listed".to_owned()),
        "AccessDenied" | "AllAccessDisabled" => (file, false, denied(work)),
        "InvalidAccessKeyId" => {
            (file, false, "the access key is not known there; correct accessKeyId in the Secret".to_owned())
        }
        "SignatureDoesNotMatch" => (
            file,
            false,
            "the secret key does not belong to the access key; correct secretAccessKey in the Secret".to_owned(),
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            (file, false, "the session token has ended; renew sessionToken in the Secret".to_owned())
        }
        "RequestTimeTooSkewed" | "RequestExpired" => {
            (file, true, "the clocks of this node and of the server are too far apart; set both by NTP".to_owned())
        }
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "InvalidRegion" => (file, false, wrong_region(work, element(text, "Region"))),
        "SlowDown" | "TooManyRequests" | "RequestLimitExceeded" => {
            (Category::RateLimit, true, "the server asks to slow down".to_owned())
        }
        "RequestTimeout" => (Category::Timeout, true, "the server waited too long for the request".to_owned()),
        code => {
            let words = element(text, "Message").unwrap_or("no reason given");
            (file, true, one_line(&format!("the server answered {code}: {words}"), WORDS))
        }
    }
}

fn without_code(error: &Error, text: &str, work: &S3Work) -> (Category, bool, String) {
    match error {
        // A HEAD has no body, and some servers send none.
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => (Category::FileSystem, false, denied(work)),
        Error::NotFound { .. } => {
            (Category::FileSystem, true, "it is not there; was it deleted since it was listed?".to_owned())
        }
        Error::InvalidPath { source } => {
            let text = format!("a key that is no path: {source}; give the object another key, or make prefix narrower");
            (Category::FileSystem, false, text)
        }
        _ if text.contains("redirect without LOCATION") => (Category::FileSystem, false, wrong_region(work, None)),
        _ => {
            let category = if text.contains("timed out") || text.contains("timeout") {
                Category::Timeout
            } else {
                Category::Network
            };
            (category, true, one_line(&format!("the server cannot be asked: {}", cause(error)), WORDS))
        }
    }
}

/// The innermost cause: what stands around it names the request, with its address, again and again.
fn cause(error: &Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

fn denied(work: &S3Work) -> String {
    let who = if work.anonymous { "anybody" } else { "this key" };
    let set = if work.anonymous { ", or set credentialsSecretRef" } else { "" };
    format!("access is denied; let {who} list the bucket (s3:ListBucket) and read its objects (s3:GetObject){set}")
}

fn wrong_region(work: &S3Work, right: Option<&str>) -> String {
    let asked = work.region.as_deref().unwrap_or(super::REGION);
    match right {
        Some(right) => format!("the bucket is in region {right}, not {asked}; set region in the spec"),
        None => format!("the bucket is not in region {asked}; set region in the spec to the one it is in"),
    }
}

/// What is inside this element of an answer in XML.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inside.trim()).filter(|inside| !inside.is_empty())
}
