//! `kubectl elysia why`: from an object's condition down to the cause.

use std::fmt::Write as _;
use std::io;

use clap::builder::NonEmptyStringValueParser;
use elysia_core::health::{Scope, Verdict, Why, judge, why};
use jiff::Timestamp;

use super::client::Reader;
use super::health::sightings;
use super::printer::{ADVICE, BAD, DOUBTFUL, GOOD, Printer, paint, plain};
use super::{Exit, Output, Target, encode};

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub(super) struct WhyArgs {
    /// What to explain: a name, or `KIND/NAME` with `cluster`, `collection`, `feed`, `backup` or `restore`; a collection
    /// also by its name in Weaviate
    #[arg(value_name = "OBJECT", value_parser = NonEmptyStringValueParser::new())]
    object: String,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Reads everything that the object may depend on, and explains.
pub(super) async fn run(args: &WhyArgs, target: &Target, printer: Printer) -> io::Result<Exit> {
    let (kind, name) = match asked(&args.object) {
        Ok(asked) => asked,
        Err(message) => {
            printer.complain(&message);
            return Ok(Exit::Usage);
        }
    };
    let reader = match Reader::connect(target).await {
        Ok(reader) => reader,
        Err(unread) => {
            printer.complain(&format!("{}; next: {}", unread.message, unread.next));
            return Ok(Exit::Unknown);
        }
    };
    let namespace = target.namespace(&reader);
    let sightings = sightings(Scope { namespace, cluster: None }, target, &reader).await;
    let report = judge(&sightings, Timestamp::now());
    let found = why(&report, kind, name);
    if found.is_empty() {
        for unreadable in &report.unreadable {
            printer.complain(&format!("{}: {}; next: {}", unreadable.kind, unreadable.message, unreadable.next));
        }
        let place = sightings.scope.namespace.map_or("any namespace".to_owned(), |name| format!("namespace {name}"));
        printer.complain(&format!("there is no {} in {place}; next: kubectl get elysia", args.object));
        return Ok(if report.unreadable.is_empty() { Exit::Fault } else { Exit::Unknown });
    }
    let text = match args.output {
        Output::Table => found.iter().map(render).collect::<Vec<_>>().join("\n"),
        output => encode(&found, output)?,
    };
    printer.data(&text)?;
    Ok(Verdict::worst(found.iter().map(Why::verdict)).into())
}

/// The kind, if one was said, and the name.
fn asked(object: &str) -> Result<(Option<&'static str>, &str), String> {
    let Some((kind, name)) = object.split_once('/') else {
        return Ok((None, object));
    };
    let kind = match kind.to_lowercase().as_str() {
        "cluster" | "wvc" | "weaviatecluster" | "weaviateclusters" => "cluster",
        "collection" | "col" | "ecol" | "elysiacollection" | "elysiacollections" => "collection",
        "feed" | "isrc" | "indexsource" | "indexsources" => "feed",
        "backup" | "cbak" | "collectionbackup" | "collectionbackups" => "backup",
        "restore" | "crst" | "collectionrestore" | "collectionrestores" => "restore",
        _ => {
            let kinds = "cluster, collection, feed, backup or restore";
            return Err(format!("{kind} is no kind that can be explained: say {kinds}"));
        }
    };
    Ok((Some(kind), name))
}

/// One chain for people: each link below the one that depends on it.
fn render(why: &Why) -> String {
    let mut text = String::new();
    for (depth, link) in why.chain.iter().enumerate() {
        let (indent, arrow) = ("  ".repeat(depth), if depth == 0 { "" } else { "└ " });
        let style = match link.verdict {
            Verdict::Healthy => GOOD,
            Verdict::Fault => BAD,
            Verdict::Unknown => DOUBTFUL,
        };
        let state = paint(style, &format!("{} {}", link.verdict, plain(&link.reason)));
        // Writing to a String cannot fail.
        writeln!(text, "{indent}{arrow}{}: {state}", plain(&link.subject)).ok();
        for line in std::iter::once(&link.message).filter(|message| !message.is_empty()).chain(&link.details) {
            writeln!(text, "{indent}    {}", plain(line)).ok();
        }
    }
    match (&why.cause, &why.next) {
        (None, _) => text.push_str("nothing is wrong\n"),
        (Some(cause), None) => {
            writeln!(text, "cause: {}", plain(cause)).ok();
        }
        (Some(cause), Some(next)) => {
            writeln!(text, "cause: {}\nnext:  {}", plain(cause), paint(ADVICE, &plain(next))).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_understood_as_people_write_them() {
        assert_eq!(asked("articles"), Ok((None, "articles")));
        assert_eq!(asked("ecol/articles"), Ok((Some("collection"), "articles")));
        assert_eq!(asked("WeaviateCluster/search"), Ok((Some("cluster"), "search")));
        assert!(asked("pod/x").unwrap_err().contains("say cluster"));
    }

    #[test]
    fn a_chain_reads_from_the_object_down_to_its_cause() {
        let link =
            |subject: &str, verdict, reason: &str, message: &str, next: Option<&str>| elysia_core::health::Link {
                subject: subject.to_owned(),
                verdict,
                reason: reason.to_owned(),
                message: message.to_owned(),
                details: Vec::new(),
                next: next.map(str::to_owned),
            };
        let chain = vec![
            link("collection ai/articles", Verdict::Fault, "ClusterNotReady", "waiting for cluster search", None),
            link("cluster ai/search", Verdict::Fault, "NodesMissing", "search-2 is not ready", Some("kubectl x")),
        ];
        let cause = Some("cluster ai/search".to_owned());
        let text = render(&Why { chain, cause, next: Some("kubectl x".to_owned()) });
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
        collection ai/articles: fault ClusterNotReady
            waiting for cluster search
          └ cluster ai/search: fault NodesMissing
              search-2 is not ready
        cause: cluster ai/search
        next:  kubectl x
        ");
    }
}
