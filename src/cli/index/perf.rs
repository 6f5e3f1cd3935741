//! `index perf`: how fast the feeds are, what that costs the servers, and what holds them up.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use elysia_api::IndexSource;
use elysia_api::condition::ConditionType;
use elysia_api::index_source::{RunState, Throughput};
use elysia_core::condition;
use jiff::Timestamp;
use kube::core::ResourceExt as _;
use serde::Serialize;

use super::super::client::Reader;
use super::super::columns::{self, or_unknown};
use super::super::health::duration;
use super::super::printer::{Printer, can_redraw};
use super::super::session::{Session, Stop};
use super::super::{Exit, Output, Target, encode};
use super::{find, status};

/// Arguments of `index perf`.
#[derive(Debug, clap::Args)]
pub(super) struct PerfArgs {
    /// IndexSource; all of them when left out
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Look again and again until Ctrl-C, and tell the rate since the last look
    #[arg(short, long)]
    watch: bool,
    /// Time between two looks
    #[arg(long, requires = "watch", value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    interval: Duration,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// One feed's speed. What the operator has not said yet is absent, never zero.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Speed {
    namespace: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<RunState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<i64>,
    /// Since the last look; absent at the first one, and where another run began in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines_per_second_now: Option<i64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    throughput: Option<Throughput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<i64>,
    /// False while the worker leaves the servers alone because one call after the other failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_closed: Option<bool>,
}

impl Speed {
    pub(super) fn of(feed: &IndexSource) -> Self {
        let status = status::current(feed);
        let run = status.and_then(|status| status.run.as_ref());
        let counts = status.and_then(|status| status.counts.as_ref());
        let circuit = status.and_then(|status| condition::find(&status.conditions, ConditionType::CircuitClosed));
        Self {
            namespace: feed.namespace().unwrap_or_default(),
            name: feed.name_any(),
            state: run.map(|run| run.state),
            run: run.map(|run| run.id.clone()),
            lines: counts.map(|counts| counts.lines),
            lines_per_second_now: None,
            throughput: status.and_then(|status| status.throughput.clone()),
            rejected: counts.map(|counts| counts.rejected),
            circuit_closed: circuit.map(|condition| condition.status == "True"),
        }
    }

    /// With the rate since another look.
    fn since(mut self, before: Option<&Self>, elapsed: Duration) -> Self {
        let Some(before) = before.filter(|before| before.run == self.run) else { return self };
        let milliseconds = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX).max(1);
        self.lines_per_second_now = match (self.lines, before.lines) {
            (Some(now), Some(then)) => Some((now - then).max(0).saturating_mul(1_000) / milliseconds),
            _ => None,
        };
        self
    }
}

pub(super) async fn run(args: &PerfArgs, target: &Target, reader: Reader, printer: Printer) -> Result<Exit, Stop> {
    let enough = tokio::signal::ctrl_c();
    tokio::pin!(enough);
    let mut before: BTreeMap<(String, String), Speed> = BTreeMap::new();
    let mut looked = Timestamp::now();
    loop {
        let feeds = match &args.name {
            Some(name) => vec![find::one(&Session::new(reader.clone(), target, printer)?, name).await?],
            None => find::all(target, &reader, printer).await?,
        };
        let now = Timestamp::now();
        let elapsed = now.duration_since(looked).unsigned_abs();
        looked = now;
        let key = |feed: &IndexSource| (feed.namespace().unwrap_or_default(), feed.name_any());
        let speeds: Vec<Speed> =
            feeds.iter().map(|feed| Speed::of(feed).since(before.get(&key(feed)), elapsed)).collect();
        let text = match args.output {
            Output::Table if speeds.is_empty() => "there is no IndexSource\n".to_owned(),
            Output::Table => table(&speeds),
            output => encode(&speeds, output)?,
        };
        let is_read = if args.watch && args.output == Output::Table && can_redraw() {
            printer.redraw(&text)?
        } else {
            printer.block(&text)?
        };
        let is_known = speeds.iter().all(|speed| speed.throughput.is_some());
        let exit = if is_known { Exit::Healthy } else { Exit::Unknown };
        if !args.watch || !is_read {
            return Ok(exit);
        }
        before = feeds.iter().map(key).zip(speeds).collect();
        tokio::select! {
            () = tokio::time::sleep(args.interval) => {}
            _ = &mut enough => return Ok(exit),
        }
    }
}

/// A line for each feed.
pub(super) fn table(speeds: &[Speed]) -> String {
    let head = [
        "NAMESPACE",
        "NAME",
        "RUN",
        "LINES",
        "NOW/S",
        "LINES/S",
        "OBJECTS/CALL",
        "CALL",
        "BATCH",
        "IN FLIGHT",
        "FAILED",
        "REJECTED",
        "CIRCUIT",
    ];
    let row = |speed: &Speed| {
        let of = |read: fn(&Throughput) -> i64| or_unknown(speed.throughput.as_ref().map(read));
        let circuit = speed.circuit_closed.map(|closed| if closed { "closed" } else { "open" });
        let call = speed.throughput.as_ref().map(|throughput| format!("{}ms", throughput.call_milliseconds));
        vec![
            speed.namespace.clone(),
            speed.name.clone(),
            speed.state.map_or_else(|| "-".to_owned(), |state| format!("{state:?}")),
            or_unknown(speed.lines),
            speed.lines_per_second_now.map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
            of(|throughput| throughput.lines_per_second),
            of(|throughput| throughput.objects.checked_div(throughput.calls).unwrap_or_default()),
            or_unknown(call),
            of(|throughput| throughput.batch_objects),
            of(|throughput| throughput.parallelism),
            of(|throughput| throughput.failed_calls),
            or_unknown(speed.rejected),
            or_unknown(circuit),
        ]
    };
    columns::render(&head, &speeds.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(run: &str, lines: Option<i64>) -> Speed {
        Speed {
            namespace: "search".to_owned(),
            name: "docs".to_owned(),
            state: Some(RunState::Running),
            run: Some(run.to_owned()),
            lines,
            lines_per_second_now: None,
            throughput: None,
            rejected: Some(0),
            circuit_closed: None,
        }
    }

    #[test]
    fn a_rate_needs_two_looks_at_one_run() {
        let two_seconds = Duration::from_secs(2);
        let now = |before: Option<&Speed>| speed("a", Some(500)).since(before, two_seconds).lines_per_second_now;
        assert_eq!(now(None), None);
        assert_eq!(now(Some(&speed("b", Some(100)))), None);
        assert_eq!(now(Some(&speed("a", None))), None);
        assert_eq!(now(Some(&speed("a", Some(100)))), Some(200));
    }

    #[test]
    fn what_is_not_known_is_a_question_mark() {
        let known = Throughput {
            lines_per_second: 640,
            bytes: 1_048_576,
            calls: 12,
            objects: 5_400,
            call_milliseconds: 310,
            failed_calls: 2,
            batch_objects: 500,
            parallelism: 6,
        };
        let running = Speed { throughput: Some(known), circuit_closed: Some(true), ..speed("a", Some(5_120)) };
        let running = running.since(Some(&speed("a", Some(4_120))), Duration::from_secs(2));
        let text = table(&[running, speed("b", None)]);
        insta::assert_snapshot!(anstream::adapter::strip_str(&text).to_string(), @r"
        NAMESPACE   NAME   RUN       LINES   NOW/S   LINES/S   OBJECTS/CALL   CALL    BATCH   IN FLIGHT   FAILED   REJECTED   CIRCUIT
        search      docs   Running   5120    500     640       450            310ms   500     6           2        0          closed
        search      docs   Running   ?       -       ?         ?              ?       ?       ?           ?        0          ?
        ");
    }
}
