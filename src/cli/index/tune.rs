//! `index tune`: which `parallelism` and `batch` are best on one's own cluster, by trying.
//!
//! Each trial indexes the adds of a sample, under repositories of its own, into a collection that is made like the
//! wanted one, and is deleted at the end. Nothing is written into the wanted one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use elysia_engine::compression::Decoded;
use elysia_engine::ledger::Ledger;
use elysia_engine::line::{self, Action};
use elysia_engine::reader::Lines;
use elysia_engine::retry::Stop as Halt;
use elysia_weaviate::SchemaRead;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::client::chain;
use super::super::columns;
use super::super::printer::Printer;
use super::super::session::Stop;
use super::super::way::{self, Way};
use super::super::{Exit, Output, Target, encode};
use super::direct::{DirectArgs, work};
use crate::worker::index_here;

/// Batches in flight that are tried, at [`BATCH`] objects each.
const PARALLELISM: [u16; 5] = [1, 2, 4, 6, 10];
/// Objects of a batch that are tried, at the best of those.
const BATCHES: [u16; 4] = [100, 250, 1000, 2000];
/// What a worker uses when nothing is said.
const BATCH: u16 = 500;
/// See [`BATCH`].
const IN_FLIGHT: u16 = 6;
/// A setting this close to the best is as good: two runs of one setting differ by as much.
const AS_GOOD: f64 = 0.95;
/// The most bytes of a sample that are held: the trials send it over and over.
const SAMPLE_BYTES: usize = 64 << 20;

/// Arguments of `index tune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Makes a collection ELYSIA_TUNE_… like the wanted one, and deletes it at the end")]
pub(super) struct TuneArgs {
    /// A sample of what is indexed: its adds are taken
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    file: String,
    /// Collection that is to be indexed into; it is read, and not written
    #[arg(long, value_name = "COLLECTION", value_parser = NonEmptyStringValueParser::new())]
    collection: String,
    /// Objects of one trial
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..=50_000))]
    objects: u32,
    /// Trials of each setting; the median counts
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=15))]
    rounds: u32,
    /// Also where the server computes vectors: each trial has them computed, which may cost money
    #[arg(long)]
    embed: bool,
    #[command(flatten)]
    direct: Box<DirectArgs>,
}

/// One setting.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Setting {
    parallelism: u16,
    batch: u16,
}

const DEFAULT: Setting = Setting { parallelism: IN_FLIGHT, batch: BATCH };

/// What trials of one setting came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trial {
    parallelism: u16,
    batch_objects: u16,
    /// Median.
    objects_per_second: f64,
    slowest: f64,
    fastest: f64,
    /// Mean time of a call in the median trial.
    call_milliseconds: u64,
    failed_calls: u64,
}

/// What came out.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Advice {
    trials: Vec<Trial>,
    parallelism: u16,
    batch_objects: u16,
    /// Its rate beside that of the settings a worker uses when nothing is said.
    gain: f64,
}

pub(super) async fn run(args: &TuneArgs, target: &Target, printer: Printer) -> Result<Exit, Stop> {
    let sample = sample(&args.file, args.objects).await?;
    let way = way::open(&args.direct.way, target, printer).await?;
    let class = class(args, &way).await?;
    let scratch = format!("ELYSIA_TUNE_{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    printer.note(&format!(
        "{} objects a trial, {} trials of each setting, into {scratch}\n",
        sample.len(),
        args.rounds
    ));
    let made = way.common.create_class(&scratch_class(class, &scratch)).await;
    made.map_err(|error| {
        Stop::unknown(format!("{scratch} could not be made: {}", chain(&error)), "kubectl elysia col ls")
    })?;
    let tried = tokio::select! {
        tried = Bench { args, way: &way, sample: &sample, scratch: &scratch, printer, begun: 0 }.find() => tried,
        _ = tokio::signal::ctrl_c() => Err(Stop::unknown("ended before all settings were tried", "")),
    };
    if let Err(error) = way.common.delete_class(&scratch).await {
        printer
            .complain(&format!("{scratch} could not be deleted: {}; kubectl elysia col rm {scratch}", chain(&error)));
    }
    let advice = tried?;
    let text = match args.direct.output {
        Output::Table => render(&advice),
        output => encode(&advice, output)?,
    };
    printer.data(&text)?;
    Ok(Exit::Healthy)
}

/// Adds of a file, at most this many; of a smaller file again and again, at other paths.
async fn sample(file: &str, objects: u32) -> Result<Vec<Value>, Stop> {
    let refused =
        |why: String| Stop::refused(format!("{file}: {why}"), format!("kubectl elysia index validate {file}"));
    let opened = tokio::fs::File::open(file).await.map_err(|error| refused(error.to_string()))?;
    let decoded = Decoded::open(opened, false).await.map_err(|error| refused(error.to_string()))?;
    let mut lines = Lines::new(decoded);
    let (mut adds, mut bytes) = (Vec::new(), 0);
    let most = usize::try_from(objects).unwrap_or(usize::MAX);
    while adds.len() < most && bytes < SAMPLE_BYTES {
        let Some(found) = lines.next().await.map_err(|error| refused(error.to_string()))? else { break };
        let is_add = line::read(&found).is_ok_and(|change| matches!(change.action, Action::Add(_)));
        if let (true, Some(body)) = (is_add, &found.body) {
            bytes += body.len();
            adds.extend(serde_json::from_slice::<Value>(body));
        }
    }
    if adds.is_empty() {
        return Err(refused("there is no valid add to try with".to_owned()));
    }
    let known = adds.len();
    let each = bytes / known;
    for number in known..most.min(SAMPLE_BYTES / each.max(1)) {
        let mut add = adds[number % known].clone();
        let path = add["path"].as_str().unwrap_or_default().to_owned();
        add["path"] = json!(format!("{}/{path}", number / known));
        adds.push(add);
    }
    Ok(adds)
}

async fn class(args: &TuneArgs, way: &Way) -> Result<Value, Stop> {
    let name = &args.collection;
    let read = way.common.class(name, SchemaRead::Leader).await;
    let read = read.map_err(|error| {
        Stop::unknown(format!("collection {name} cannot be read: {}", way.explain(&chain(&error))), "")
    })?;
    let class = read.ok_or_else(|| Stop::refused(format!("there is no collection {name}"), "kubectl elysia col ls"))?;
    if crate::worker::computes_vectors(&class) && !args.embed {
        return Err(Stop::refused(
            format!("the server computes vectors of {name}: each trial would have {} computed anew", args.objects),
            "add --embed if that may cost what it costs",
        ));
    }
    Ok(class)
}

fn scratch_class(mut class: Value, name: &str) -> Value {
    class["class"] = json!(name);
    class
}

struct Bench<'a> {
    args: &'a TuneArgs,
    way: &'a Way,
    sample: &'a [Value],
    scratch: &'a str,
    printer: Printer,
    begun: u32,
}

impl Bench<'_> {
    async fn find(mut self) -> Result<Advice, Stop> {
        // Files, caches and connections come into being; nobody's time.
        self.try_once(DEFAULT).await?;
        let first: Vec<Setting> =
            PARALLELISM.iter().map(|parallelism| Setting { parallelism: *parallelism, batch: BATCH }).collect();
        let mut trials = self.try_all(&first).await?;
        let best = best(&trials);
        let second: Vec<Setting> =
            BATCHES.iter().map(|batch| Setting { parallelism: best.parallelism, batch: *batch }).collect();
        trials.extend(self.try_all(&second).await?);
        Ok(advise(trials))
    }

    /// All of them by turns, so that a moment of trouble hits every setting alike.
    async fn try_all(&mut self, settings: &[Setting]) -> Result<Vec<Trial>, Stop> {
        let mut tried: Vec<Vec<(f64, u64, u64)>> = vec![Vec::new(); settings.len()];
        for _ in 0..self.args.rounds {
            for (setting, results) in settings.iter().zip(&mut tried) {
                results.push(self.try_once(*setting).await?);
            }
        }
        Ok(settings.iter().zip(tried).map(|(setting, results)| trial(*setting, results)).collect())
    }

    /// Objects in a second, mean milliseconds of a call, and calls that failed.
    async fn try_once(&mut self, setting: Setting) -> Result<(f64, u64, u64), Stop> {
        self.begun += 1;
        let mut file = tempfile::Builder::new().prefix("elysia-tune-").suffix(".jsonl").tempfile()?;
        for add in self.sample {
            let mut add = add.clone();
            add["repo"] = json!(format!("tune {}", self.begun));
            writeln!(file, "{add}")?;
        }
        file.flush()?;
        let path = file.path().to_string_lossy().into_owned();
        let mut work = work(&[path], self.scratch, &self.args.direct, &self.way.address)?;
        work.ledger_file = None;
        work.pace.parallelism = Some(usize::from(setting.parallelism));
        work.pace.batch_objects = Some(usize::from(setting.batch));
        let (told, _hears) = watch::channel(None);
        let begun = Instant::now();
        let ran = index_here(work, self.way.common.clone(), self.way.nodes.clone(), &Halt::default(), &told).await;
        let seconds = begun.elapsed().as_secs_f64();
        let ledger = ran.map_err(|error| Stop::unknown(self.way.explain(&error.to_string()), ""))?;
        let Ledger { counts, traffic, dead_letters, .. } = ledger;
        if let Some(letter) = dead_letters.first() {
            let next = format!("kubectl elysia index validate {}", self.args.file);
            return Err(Stop::refused(format!("a line was rejected: {}", letter.reason), next));
        }
        let rate = f64::from(u32::try_from(counts.added).unwrap_or(u32::MAX)) / seconds;
        let Setting { parallelism, batch } = setting;
        self.printer.note(&format!("{parallelism} in flight, {batch} objects each: {rate:.0} objects/s\n"));
        Ok((rate, traffic.milliseconds.checked_div(traffic.calls).unwrap_or_default(), traffic.failed))
    }
}

fn trial(setting: Setting, mut results: Vec<(f64, u64, u64)>) -> Trial {
    results.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (objects_per_second, call_milliseconds, _) = results[results.len() / 2];
    Trial {
        parallelism: setting.parallelism,
        batch_objects: setting.batch,
        objects_per_second,
        slowest: results[0].0,
        fastest: results[results.len() - 1].0,
        call_milliseconds,
        failed_calls: results.iter().map(|(_, _, failed)| failed).sum(),
    }
}

/// The least that is as good as the best: what asks less of the servers leaves more for others.
fn best(trials: &[Trial]) -> Setting {
    let most = trials.iter().map(|trial| trial.objects_per_second).fold(0.0, f64::max);
    let good = trials.iter().filter(|trial| trial.objects_per_second >= most * AS_GOOD && trial.failed_calls == 0);
    let settings = good.map(|trial| Setting { parallelism: trial.parallelism, batch: trial.batch_objects });
    settings.min().unwrap_or(DEFAULT)
}

fn advise(trials: Vec<Trial>) -> Advice {
    let best = best(&trials);
    let rate = |setting: Setting| {
        let found = trials
            .iter()
            .find(|trial| trial.parallelism == setting.parallelism && trial.batch_objects == setting.batch);
        found.map(|trial| trial.objects_per_second)
    };
    let gain = match (rate(best), rate(DEFAULT)) {
        (Some(best), Some(usual)) if usual > 0.0 => best / usual,
        _ => 1.0,
    };
    Advice { trials, parallelism: best.parallelism, batch_objects: best.batch, gain }
}

fn render(advice: &Advice) -> String {
    let row = |trial: &Trial| {
        vec![
            trial.parallelism.to_string(),
            trial.batch_objects.to_string(),
            format!("{:.0}", trial.objects_per_second),
            format!("{:.0}-{:.0}", trial.slowest, trial.fastest),
            format!("{}ms", trial.call_milliseconds),
            trial.failed_calls.to_string(),
        ]
    };
    let head = ["IN FLIGHT", "BATCH", "OBJECTS/S", "SPREAD", "CALL", "FAILED"];
    let mut text = columns::render(&head, &advice.trials.iter().map(row).collect::<Vec<_>>());
    let Advice { parallelism, batch_objects, gain, .. } = advice;
    // Writing to a String cannot fail.
    if *gain < 1.0 / AS_GOOD && *parallelism == IN_FLIGHT && *batch_objects == BATCH {
        writeln!(text, "what a worker uses by itself is as good as the best").ok();
    } else {
        writeln!(
            text,
            "{:.0} % of the rate of what a worker uses by itself; in the IndexSource:\nspec:\n  parallelism: {parallelism}\n  batch:\n    objects: {batch_objects}",
            gain * 100.0
        )
        .ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(parallelism: u16, batch: u16, rate: f64, failed: u64) -> Trial {
        trial(Setting { parallelism, batch }, vec![(rate + 10.0, 5, 0), (rate - 10.0, 9, failed), (rate, 7, 0)])
    }

    #[test]
    fn the_median_counts_and_failures_are_summed() {
        let trial = tried(2, 100, 500.0, 3);
        assert_eq!((trial.objects_per_second, trial.slowest, trial.fastest), (500.0, 490.0, 510.0));
        assert_eq!((trial.call_milliseconds, trial.failed_calls), (7, 3));
    }

    #[test]
    fn the_least_that_is_as_good_is_best() {
        for (trials, wanted) in [
            (vec![tried(2, 500, 900.0, 0), tried(4, 500, 980.0, 0), tried(6, 500, 1_000.0, 0)], (4, 500)),
            (vec![tried(2, 500, 990.0, 1), tried(6, 500, 1_000.0, 0)], (6, 500)),
            (vec![tried(2, 500, 990.0, 1)], (6, 500)),
            (vec![tried(2, 100, 990.0, 0), tried(2, 500, 1_000.0, 0)], (2, 100)),
        ] {
            let advice = advise(trials);
            assert_eq!((advice.parallelism, advice.batch_objects), wanted, "{advice:?}");
        }
    }

    #[test]
    fn advice_is_what_can_be_written_down() {
        let better = render(&advise(vec![tried(2, 500, 1_500.0, 0), tried(6, 500, 1_000.0, 0)]));
        assert!(better.ends_with("spec:\n  parallelism: 2\n  batch:\n    objects: 500\n"), "{better}");
        let usual = render(&advise(vec![tried(2, 500, 800.0, 0), tried(6, 500, 1_000.0, 0)]));
        assert!(usual.ends_with("what a worker uses by itself is as good as the best\n"), "{usual}");
    }

    #[tokio::test]
    async fn a_small_sample_is_stretched() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(
            b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"x\"}\nnonsense\n{\"repo\":\"r\",\"op\":\"add\",\"path\":\"a\",\"content\":\"t\"}\n",
        )
        .unwrap();
        let adds = sample(file.path().to_str().unwrap(), 3).await.unwrap();
        assert_eq!(adds.iter().map(|add| add["path"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "1/a", "2/a"]);
        std::fs::write(file.path(), "nonsense\n").unwrap();
        let Err(Stop::Said { message, .. }) = sample(file.path().to_str().unwrap(), 3).await else { panic!("no adds") };
        assert!(message.ends_with("there is no valid add to try with"), "{message}");
    }
}
