//! Lines are parsed on a thread of their own, a little ahead of the windows that they go into: what encodes and sends
//! does not wait for what parses, nor the other way round. The order of the feed stays.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::feed::{Feed, FeedError, FeedLine, Mark};
use crate::follow::Record;
use crate::ledger::FailureReason;
use crate::line::{self, Change};
use crate::mapping::Mapping;
use crate::partition::Partition;
use crate::ports::Source;
use crate::rejection::Rejection;
use crate::run::RunError;
use crate::step::Step;
use crate::window::{Entry, Place};

/// Lines that are parsed in one go: enough that handing them over is not the cost.
const LINES_AT_ONCE: usize = 256;

/// Their bytes, about; a longer line ends its portion. Two such portions are in memory beside the windows.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// A portion of more bytes has a line of megabytes, each of which is here several times over: as it was read, as it was
/// parsed, and on its way. Nothing is read behind it until it is consumed: its own length takes longer than the wait.
const HEAVY_BYTES: u64 = 2 << 20;

/// What a line becomes: the same for each line of a run.
pub(crate) struct Parser {
    pub(crate) collection: String,
    pub(crate) mapping: Mapping,
    /// Whose lines are dealt with; `None`: everybody's.
    pub(crate) partition: Option<Partition>,
}

/// What comes next in a feed.
pub(crate) enum Next {
    /// A line.
    Line(Entry),
    /// A line that another partition deals with.
    AnotherPartitions,
    /// Nothing: all files are read to their ends.
    End,
}

impl Parser {
    fn parse(&self, line: &FeedLine) -> Next {
        let change = line::read(&line.line);
        let repo = change.as_ref().ok().map(|change| change.repo.as_str());
        if self.partition.is_some_and(|partition| !partition.owns(repo)) {
            return Next::AnotherPartitions;
        }
        Next::Line(entry(&self.collection, &self.mapping, line, change))
    }
}

/// A line as a part of a window.
pub(crate) fn entry(collection: &str, mapping: &Mapping, line: &FeedLine, change: Result<Change, Rejection>) -> Entry {
    let FeedLine { file, line } = line;
    let place = Place { file: file.clone(), line: line.number, offset: line.offset, length: line.length };
    let step = change.and_then(|change| Step::new(collection, mapping, change));
    Entry { place, step }
}

/// A portion that is being parsed, and how far the reading was behind each of its lines.
struct Portion {
    marks: Vec<Mark>,
    bytes: u64,
    lines: JoinHandle<Vec<Next>>,
}

/// The lines of a feed, parsed.
pub(crate) struct Ahead<'a, S: Source> {
    feed: Feed<'a, S>,
    parser: Arc<Parser>,
    parsed: VecDeque<(Next, Mark)>,
    parsing: Option<Portion>,
    /// Why reading ended, once it did: told when all lines before are.
    ended: Option<Result<(), FeedError>>,
    mark: Mark,
}

impl<'a, S: Source> Ahead<'a, S> {
    pub(crate) fn new(feed: Feed<'a, S>, parser: Parser) -> Self {
        let mark = feed.mark();
        Self { feed, parser: Arc::new(parser), parsed: VecDeque::new(), parsing: None, ended: None, mark }
    }

    /// How far the reading is, behind the line that was answered last. What was read ahead is not in it.
    pub(crate) fn mark(&self) -> Mark {
        self.mark.clone()
    }

    /// The files that were finished between two marks.
    pub(crate) fn finished(&self, from: usize, to: usize) -> Vec<(String, Record)> {
        self.feed.finished(from, to)
    }

    /// The next line that is not blank.
    pub(crate) async fn next(&mut self) -> Result<Next, RunError> {
        loop {
            if let Some((line, mark)) = self.parsed.pop_front() {
                self.mark = mark;
                return Ok(line);
            }
            let portion = match self.parsing.take() {
                Some(portion) => portion,
                None => match self.read().await {
                    Some(portion) => portion,
                    None => return self.end(),
                },
            };
            // While this one is parsed, the next is read; while it is consumed, the next is parsed.
            let next = if portion.bytes > HEAVY_BYTES { None } else { self.read().await };
            let Portion { marks, lines, .. } = portion;
            let lines = lines.await.map_err(|error| given_up(&error))?;
            self.parsed.extend(lines.into_iter().zip(marks));
            self.parsing = next;
        }
    }

    /// Reads a portion and begins to parse it; nothing once reading ended.
    async fn read(&mut self) -> Option<Portion> {
        let (mut lines, mut marks, mut bytes) = (Vec::new(), Vec::new(), 0);
        while self.ended.is_none() && lines.len() < LINES_AT_ONCE && bytes < BYTES_AT_ONCE {
            match self.feed.next().await {
                Ok(Some(line)) => {
                    bytes += line.line.length;
                    lines.push(line);
                    marks.push(self.feed.mark());
                }
                Ok(None) => self.ended = Some(Ok(())),
                Err(error) => self.ended = Some(Err(error)),
            }
        }
        if lines.is_empty() {
            return None;
        }
        let parser = self.parser.clone();
        // Each is gone as soon as it is parsed.
        let parse = move || lines.into_iter().map(|line| parser.parse(&line)).collect();
        Some(Portion { marks, bytes, lines: tokio::task::spawn_blocking(parse) })
    }

    fn end(&mut self) -> Result<Next, RunError> {
        if let Some(Err(error)) = self.ended.take() {
            return Err(error.into());
        }
        self.ended = Some(Ok(()));
        self.mark = self.feed.mark();
        Ok(Next::End)
    }
}

/// Only a defect of ours leads here; the run then fails instead of hanging.
fn given_up(error: &tokio::task::JoinError) -> RunError {
    RunError::failed(FailureReason::SourceFailed, format!("lines were given up before they were parsed: {error}"))
}
