//! `index replay`: rejected lines are carried out again, once what refused them was mended.

use std::fmt::Write as _;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use elysia_api::IndexSource;
use elysia_api::names::REPLAY_ANNOTATION;
use elysia_core::feed::FeedSpec;
use elysia_engine::ledger::{Ledger, Replayed};
use elysia_engine::rejects::Reject;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::core::ResourceExt as _;

use super::super::Exit;
use super::super::client::Question;
use super::super::health::duration;
use super::super::printer::plain;
use super::super::session::{Session, Stop};
use super::mark::{self, Mark};
use super::{find, ledger};

/// Arguments of `index replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A line is carried out again where it stands, in its order. One for whose document a later line was\n\
    carried out is left alone: it would put an older state over a newer one. A line that is no change at all, such as\n\
    one that is no JSON, cannot be carried out either: append what is meant to the feed.\n\
    Exit codes: 0 all that could be is indexed, 1 some was rejected again or cannot be, 2 it is not known, 64 wrong usage"
)]
pub(super) struct ReplayArgs {
    /// IndexSource
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Tell what would be carried out, let the API server check the request, and start nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask for it although a GitOps tool owns the object
    #[arg(long)]
    force: bool,
    /// Wait until it is done, and tell what came of it
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// Longest wait
    #[arg(long, requires = "wait", value_name = "TIME", default_value = "1h", value_parser = duration::parse)]
    timeout: Duration,
}

/// What can be carried out again, and what cannot.
fn outlook(ledger: &Ledger) -> (usize, String) {
    let lines = &ledger.rejects.lines;
    let mut text = String::new();
    for Reject { letter, is_superseded, documents, number: _ } in lines {
        let why = match (is_superseded, documents.is_empty()) {
            (true, _) => "a later line was carried out for its document",
            (false, true) => "it is no change; append what is meant to the feed",
            (false, false) => continue,
        };
        // Writing to a String cannot fail.
        writeln!(text, "{}:{}: is left alone: {why}", plain(&letter.file), letter.line).ok();
    }
    let lost = ledger.counts.rejected.saturating_sub(lines.len() as u64);
    if lost > 0 {
        writeln!(text, "{lost} more were rejected before, and are not kept: only reading the feed again brings them")
            .ok();
    }
    (lines.iter().filter(|reject| reject.can_be_replayed()).count(), text)
}

pub(super) async fn run(args: &ReplayArgs, session: &Session) -> Result<Exit, Stop> {
    let feed = find::one(session, &args.name).await?;
    let (name, namespace, printer) = (feed.name_any(), &session.namespace, session.printer);
    let Some(ledger) = ledger::of(session, &feed).await? else {
        let next = format!("kubectl elysia index status {name} -n {namespace}");
        return Err(Stop::unknown(format!("no run of {name} was counted yet"), next));
    };
    if ledger.counts.rejected == 0 {
        printer.note("no line was rejected\n");
        return Ok(Exit::Healthy);
    }
    let (lines, text) = outlook(&ledger);
    printer.note(&text);
    if lines == 0 {
        let next = format!("kubectl elysia index errors {name} -n {namespace} --all");
        return Err(Stop::refused("no rejected line can be carried out again; nothing was changed", next));
    }
    let word = Timestamp::now().to_string();
    let mark = Mark {
        key: REPLAY_ANNOTATION,
        value: &word,
        change: ("ReplayAsked", "ReplayFailed", "index replay"),
        note: format!("asked for {lines} rejected lines to be carried out again: {word}"),
        force: args.force,
        dry_run: args.dry_run,
    };
    if let Some(exit) = mark::write(session, &feed, mark).await? {
        return Ok(exit);
    }
    if !args.wait {
        printer.note(&format!(
            "{lines} rejected lines are carried out again; see: kubectl elysia index errors {name} -n {namespace}\n"
        ));
        return Ok(Exit::Healthy);
    }
    let replayed = ended(args, session, &feed, &word).await?;
    printer.data(&sentence(&replayed))?;
    Ok(if replayed.rejected + replayed.missing == 0 { Exit::Healthy } else { Exit::Fault })
}

fn sentence(replayed: &Replayed) -> String {
    let Replayed { indexed, rejected, superseded, unreadable, missing, word: _ } = replayed;
    format!(
        "{indexed} indexed, {rejected} rejected again, {superseded} left alone behind a later line, {unreadable} no changes, {missing} not found any more\n"
    )
}

/// Waits until the ledger says that this request was dealt with.
async fn ended(args: &ReplayArgs, session: &Session, feed: &IndexSource, word: &str) -> Result<Replayed, Stop> {
    let next = format!("kubectl elysia index status {} -n {}", args.name, session.namespace);
    let job = FeedSpec::validate(feed)
        .map(|spec| spec.replay_job(word))
        .map_err(|message| Stop::unknown(message, next.clone()))?;
    let look = async || {
        let replayed = ledger::of(session, feed).await?.and_then(|ledger| ledger.replayed);
        if let Some(replayed) = replayed.filter(|replayed| replayed.word == word) {
            return Ok(Some(replayed));
        }
        let question = Question::named::<Job>("get", Some(&session.namespace), &job);
        let found = session.reader.ask(&question, session.api::<Job>().get_opt(&job)).await?;
        let conditions = found.and_then(|job| job.status?.conditions).unwrap_or_default();
        match conditions.into_iter().find(|condition| condition.type_ == "Failed" && condition.status == "True") {
            Some(failed) => {
                let next = format!("kubectl logs job/{job} -n {}", session.namespace);
                Err(Stop::refused(format!("Job {job} failed: {}", failed.message.unwrap_or_default()), next))
            }
            None => Ok(None),
        }
    };
    session.wait("the rejected lines to be carried out again", &next, args.timeout, look).await
}

#[cfg(test)]
mod tests {
    use elysia_engine::category::Category;
    use elysia_engine::rejection::DeadLetter;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_cannot_be_carried_out_again_is_told_with_the_reason() {
        let mut ledger = Ledger::begin("run", "Articles", Timestamp::UNIX_EPOCH);
        let letter = |line| DeadLetter {
            file: "a.jsonl".to_owned(),
            line,
            offset: 0,
            length: 9,
            category: Category::Validation,
            reason: "x".to_owned(),
        };
        let document = Uuid::from_u128(1);
        ledger.rejects.lines = vec![
            Reject { number: 7, letter: letter(1), documents: vec![document], is_superseded: false },
            Reject { number: 8, letter: letter(2), documents: vec![document], is_superseded: true },
            Reject { number: 9, letter: letter(3), documents: vec![], is_superseded: false },
        ];
        ledger.counts.rejected = 9;
        let (lines, text) = outlook(&ledger);
        assert_eq!(lines, 1);
        insta::assert_snapshot!(text, @r"
        a.jsonl:2: is left alone: a later line was carried out for its document
        a.jsonl:3: is left alone: it is no change; append what is meant to the feed
        6 more were rejected before, and are not kept: only reading the feed again brings them
        ");
    }
}
