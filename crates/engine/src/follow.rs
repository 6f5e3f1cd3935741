//! A feed that is followed: each run reads what came since the last one, and nothing twice.
//!
//! For each file a [`Record`] says how much of it is indexed, and what those bytes hash to. A look compares the records
//! with what is there:
//!
//! | the file                                    | what happens                                    |
//! |---------------------------------------------|-------------------------------------------------|
//! | has the version that the record has         | is not opened                                   |
//! | begins with what is indexed, and goes on    | is read on behind it                            |
//! | begins with what is indexed, and ends there | its new version is noted                        |
//! | begins otherwise, or is shorter             | is *rewritten*                                  |
//! | is in no record                             | is read from its beginning                      |
//!
//! What a rewritten or a vanished file held may lie under another name now: rotated. A new or rewritten file that begins
//! with it takes its record over, and the file that was rotated away from under its name is a new one. Where a rewritten
//! file's old content is nowhere, a person decides: reading it again is never done in silence.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{Checkpoint, Digest, Midstate, Position};
use crate::compression::{Compression, Decoded, ReadError};
use crate::feed::{FeedError, no_name_twice, reopen, unreadable, verify_expected};
use crate::ports::{FileEntry, Source};
use crate::put_away::Leaving;
use crate::reader::Lines;

/// Files of one followed feed, at most: their records are written with every checkpoint, and all of them together stay
/// within what a `ConfigMap` may hold.
pub const MAX_FILES: usize = 1_000;

/// How long an archive that ends in its midst may stay as it is before it is damaged: longer than a copy rests.
const INCOMPLETE_FOR: SignedDuration = SignedDuration::from_mins(10);

fn is_over(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) >= INCOMPLETE_FOR
}

/// What is wrong with an archive whose end never came.
const CUT_FOR_GOOD: &str =
    "the archive ends in its midst, and has not changed for ten minutes: copy it again as a whole";

/// What a file is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Waiting {
    /// The end of its last line.
    Line,
    /// The rest of an archive that ends in its midst, of which this version was seen first then.
    Archive {
        /// When.
        since: Timestamp,
    },
    /// An archive that ends before what is indexed of it: it may be copied anew.
    Copy {
        /// Since when.
        since: Timestamp,
    },
}

/// How much of one file is indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Bytes of its text that are indexed.
    pub offset: u64,
    /// Lines of it that are indexed, blank ones too.
    pub line: u64,
    /// The sha256 of those bytes.
    pub sha256: Digest,
    /// Its version when it was read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The hash before its end, for reading on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub midstate: Option<Midstate>,
    /// Whether it was left in its midst.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// Whether its last line had no line break yet: what comes next of it belongs to that line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_open: bool,
    /// Whether an earlier look found no file of this name. Its content may come back under the name, but another file
    /// that holds the same is another file: a snapshot that is as it was two days ago has to be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_gone: bool,
    /// What of it is not read, because it may still be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Of files that are gone: the larger, the later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
}

impl Record {
    /// Where reading goes on.
    pub(crate) fn position(&self, file: &str) -> Position {
        Position {
            file: file.to_owned(),
            offset: self.offset,
            line: self.line - u64::from(self.is_open && self.line > 0),
            sha256: self.sha256,
            version: self.version.clone(),
            midstate: self.midstate.clone(),
        }
    }
}

/// What a followed feed keeps from run to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Followed {
    /// What the records were made under. Under another one every file is read again.
    pub basis: String,
    /// By file.
    pub files: BTreeMap<String, Record>,
    /// Rejected lines before the present run: `max_rejected` is a run's.
    #[serde(default)]
    pub rejected_before: u64,
    /// The last number that was given to a rejected line before the present run, see [`crate::rejects::Reject::number`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejects_before: u64,
    /// Rewritten files that were read again, as the feed allows.
    #[serde(default)]
    pub reread: u64,
    /// Files that are about to leave their place, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leaving: BTreeMap<String, Leaving>,
    /// Files that left it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub put_away: u64,
    /// Whether a run has begun to read what a look found, and is not at its end; absent in ledgers of former releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_reading: Option<bool>,
    /// When every line was last dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<Timestamp>,
    /// The person's wish that was followed last, see [`Follow::run_now`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_now: Option<String>,
    /// What is new and waits, because it is too little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_off: Option<PutOff>,
}

/// Lines that are new, and too few for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutOff {
    /// How many.
    pub lines: u64,
    /// How many it takes.
    pub least: u64,
    /// Since when some wait.
    pub since: Timestamp,
    /// Identifies what was counted, where the source has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Digest>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Followed {
    /// Whether the line with this number was rejected before the present run; 0 is that of a line which has none yet.
    pub(crate) fn was_before(&self, number: u64) -> bool {
        number > 0 && number <= self.rejects_before
    }

    /// The part of a file that a run left in its midst becomes a record like any other: the next run may read other files
    /// before it.
    pub(crate) fn fold(&mut self, checkpoint: &mut Checkpoint) {
        if let Some(Position { file, offset, line, sha256, version, midstate }) = checkpoint.current.take() {
            let record = Record { offset, line, sha256, version, midstate, is_partial: true, ..Record::default() };
            self.files.insert(file, record);
        }
    }
}

/// What becomes of a rewritten file whose old content is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rewritten {
    /// The run fails before it reads anything.
    #[default]
    Refuse,
    /// It is read from its beginning, like a new one.
    ReadAgain,
}

/// How a feed is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// See [`Followed::basis`].
    pub basis: String,
    /// What becomes of rewritten files.
    pub rewritten: Rewritten,
    /// How many lines must be new for a run to read them; `None` = one.
    pub min_changes: Option<u64>,
    /// A person's wish for a run, whatever is new: followed once, when it is another one than the last.
    pub run_now: Option<String>,
}

/// A file with something to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which.
    pub file: FileEntry,
    /// What of it is indexed; `None` when nothing is.
    pub from: Option<Record>,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What there is to read, in the order of the source.
    pub readings: Vec<Reading>,
    /// The records as they are from now on, before anything is read.
    pub files: BTreeMap<String, Record>,
    /// Rewritten files that are read again.
    pub reread: u64,
}

impl Look {
    /// Identifies what there is to read; `None` where a file has no version.
    pub(crate) fn identity(&self) -> Option<Digest> {
        let mut hasher = Sha256::new();
        for Reading { file, from } in &self.readings {
            // Each part has one length, so no two lists make one text.
            hasher.update(Sha256::digest(&file.name));
            hasher.update(Sha256::digest(file.version.as_ref()?));
            hasher.update(from.as_ref().map_or(0, |record| record.offset).to_be_bytes());
        }
        Some(Digest::finish(hasher))
    }
}

enum Verdict {
    Unchanged,
    GoesOn(Box<Record>),
    /// Nothing that is indexed is in it.
    Stranger,
}

/// Compares what is there with what is known.
pub async fn look<S: Source>(
    source: &S,
    known: &BTreeMap<String, Record>,
    rewritten: Rewritten,
    now: Timestamp,
) -> Result<Look, FeedError> {
    let listed = source.list().await?;
    no_name_twice(&listed)?;
    let mut files = known.clone();
    let mut verdicts = Vec::new();
    for file in listed {
        verify_expected(source, &file).await?;
        let verdict = match known.get(&file.name) {
            None => Verdict::Stranger,
            Some(record) if !record.is_partial && record.version.is_some() && record.version == file.version => {
                if let Some(Waiting::Archive { since }) = record.waiting
                    && is_over(since, now)
                {
                    return Err(FeedError::FileDamaged { file: file.name, problem: CUT_FOR_GOOD.to_owned() });
                }
                Verdict::Unchanged
            }
            Some(record) => compare(source, &file, record, &mut files, now).await?,
        };
        verdicts.push((file, verdict));
    }
    let mut lost = lost(known, &verdicts);
    for (file, verdict) in &mut verdicts {
        if !matches!(verdict, Verdict::Stranger) || lost.is_empty() {
            continue;
        }
        let Some(old) = moved_from(source, file, &lost).await? else { continue };
        let Some(record) = lost.remove(&old) else { continue };
        tracing::info!(from = old, to = file.name, "a file that is indexed has another name");
        if files.get(&old) == Some(&record) {
            files.remove(&old);
        }
        files.insert(file.name.clone(), record.clone());
        *verdict = compare(source, file, &record, &mut files, now).await?;
    }
    let present = verdicts.iter().map(|(file, _)| file.name.clone()).collect::<BTreeSet<_>>();
    let mut gone = files.values().filter_map(|record| record.gone).max().unwrap_or_default();
    for (name, record) in &mut files {
        record.is_gone = !present.contains(name);
        if !record.is_gone {
            record.gone = None;
        } else if record.gone.is_none() {
            gone += 1;
            record.gone = Some(gone);
        }
    }
    let mut look = Look { readings: Vec::new(), files, reread: 0 };
    for (file, verdict) in verdicts {
        let from = match verdict {
            Verdict::Unchanged => continue,
            Verdict::GoesOn(record) => Some(*record),
            Verdict::Stranger => {
                if let Some(record) = lost.get(&file.name) {
                    if rewritten == Rewritten::Refuse {
                        return Err(FeedError::FileRewritten { file: file.name, offset: record.offset });
                    }
                    tracing::warn!(file = file.name, "a rewritten file is read again, as the feed allows");
                    look.reread += 1;
                }
                look.files.remove(&file.name);
                if file.size == 0 {
                    continue;
                }
                None
            }
        };
        look.readings.push(Reading { file, from });
    }
    bound(look)
}

/// Records whose content is not under their name any more.
fn lost(known: &BTreeMap<String, Record>, verdicts: &[(FileEntry, Verdict)]) -> BTreeMap<String, Record> {
    let kept =
        |name: &str| verdicts.iter().any(|(file, verdict)| file.name == name && !matches!(verdict, Verdict::Stranger));
    let lost = known.iter().filter(|(name, record)| record.offset > 0 && !record.is_gone && !kept(name));
    lost.map(|(name, record)| (name.clone(), record.clone())).collect()
}

/// What is gone is forgotten only where there is no room for it, what is gone longest first: a listing may have been
/// short, and a file that comes back under its name is not read again.
fn bound(mut look: Look) -> Result<Look, FeedError> {
    let fresh = look.readings.iter().filter(|reading| !look.files.contains_key(&reading.file.name)).count();
    let mut gone =
        look.files.iter().filter_map(|(name, record)| Some((record.gone?, name.clone()))).collect::<Vec<_>>();
    gone.sort();
    let files = look.files.len() + fresh;
    for (_, name) in gone.into_iter().take(files.saturating_sub(MAX_FILES)) {
        look.files.remove(&name);
    }
    match look.files.len() + fresh {
        files if files > MAX_FILES => Err(FeedError::TooManyFiles { files }),
        _ => Ok(look),
    }
}

/// Whether a file begins with what its record says, and goes on behind it.
async fn compare<S: Source>(
    source: &S,
    file: &FileEntry,
    record: &Record,
    files: &mut BTreeMap<String, Record>,
    now: Timestamp,
) -> Result<Verdict, FeedError> {
    let position = record.position(&file.name);
    let mut lines = if let Some(lines) = reopen(source, file, &position).await? {
        lines
    } else {
        let mut lines = open(source, file).await?;
        let skipped =
            match lines.skip(position.offset, position.line).await.map_err(|error| lines.reader().explain(error)) {
                Ok(skipped) => skipped,
                // Perhaps it is being copied anew.
                Err(ReadError::Cut { .. }) if file.version.is_some() => {
                    let since = match record.waiting {
                        Some(Waiting::Copy { since }) => since,
                        Some(Waiting::Line | Waiting::Archive { .. }) | None => now,
                    };
                    if is_over(since, now) {
                        return Ok(Verdict::Stranger);
                    }
                    let waiting = Some(Waiting::Copy { since });
                    files.insert(file.name.clone(), Record { waiting, ..record.clone() });
                    return Ok(Verdict::Unchanged);
                }
                Err(error) => return Err(unreadable(&file.name, &error)),
            };
        if skipped != record.offset || Digest::finish(lines.hasher().clone()) != record.sha256 {
            return Ok(Verdict::Stranger);
        }
        lines
    };
    // Of an archive the offset in its text is none in its bytes: nothing can be skipped there.
    let is_plain = lines.reader().compression() == Compression::Plain;
    let midstate = is_plain.then(|| Midstate::of(lines.hasher()));
    let goes_on = lines.has_more().await;
    let version = file.version.clone();
    let (offset, line, sha256, is_open) = (record.offset, record.line, record.sha256, record.is_open);
    let known = Record { offset, line, sha256, version, is_open, ..Record::default() };
    let waiting = match goes_on.map_err(|error| lines.reader().explain(error)) {
        Ok(true) => return Ok(Verdict::GoesOn(Box::new(Record { midstate, is_partial: record.is_partial, ..known }))),
        Ok(false) => None,
        Err(ReadError::Cut { .. }) if known.version.is_some() => Some(Waiting::Archive { since: now }),
        Err(error) => return Err(unreadable(&file.name, &error)),
    };
    files.insert(file.name.clone(), Record { waiting, ..known });
    Ok(Verdict::Unchanged)
}

async fn open<S: Source>(source: &S, file: &FileEntry) -> Result<Lines<Decoded<S::Reader>>, FeedError> {
    let reader = source.open(file).await?;
    let decoded = Decoded::open(reader, false).await.map_err(|error| unreadable(&file.name, &error))?;
    Ok(Lines::new(decoded))
}

/// Which lost content this file begins with: the longest one.
async fn moved_from<S: Source>(
    source: &S,
    file: &FileEntry,
    lost: &BTreeMap<String, Record>,
) -> Result<Option<String>, FeedError> {
    let mut candidates = lost.iter().map(|(name, record)| (record.offset, name, record.sha256)).collect::<Vec<_>>();
    candidates.sort();
    let mut lines = open(source, file).await?;
    let mut found = None;
    for (offset, name, sha256) in candidates {
        let missing = offset - lines.offset();
        let skipped = match lines.skip(missing, 0).await.map_err(|error| lines.reader().explain(error)) {
            Ok(skipped) => skipped,
            Err(ReadError::Cut { .. }) => break,
            Err(error) => return Err(unreadable(&file.name, &error)),
        };
        if skipped < missing {
            break;
        }
        let hasher: Sha256 = lines.hasher().clone();
        if Digest::finish(hasher) == sha256 {
            found = Some(name.clone());
        }
    }
    Ok(found)
}

/// Whether a last line without line break is whole: a JSON object that ends cannot go on.
pub(crate) fn is_whole(body: Option<&[u8]>) -> bool {
    body.is_some_and(|body| {
        body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
    })
}
