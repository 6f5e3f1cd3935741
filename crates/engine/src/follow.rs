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

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{Checkpoint, Digest, Midstate, Position};
use crate::compression::{Compression, Decoded};
use crate::feed::{FeedError, no_name_twice, reopen, unreadable, verify_expected};
use crate::ports::{FileEntry, Source};
use crate::reader::Lines;

/// Files of one followed feed, at most: their records are written with every checkpoint, and all of them together stay
/// within what a `ConfigMap` may hold.
pub const MAX_FILES: usize = 1_000;

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
    /// Rewritten files that were read again, as the feed allows.
    #[serde(default)]
    pub reread: u64,
    /// When every line was last dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up_at: Option<Timestamp>,
    /// Whether a run has begun to read what a look found, and has not come to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_reading: bool,
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

impl Followed {
    /// The part of a file that a run left in its midst becomes a record like any other: the next run may read other files
    /// before it.
    pub(crate) fn fold(&mut self, checkpoint: &mut Checkpoint) {
        if let Some(Position { file, offset, line, sha256, version, midstate }) = checkpoint.current.take() {
            let record =
                Record { offset, line, sha256, version, midstate, is_partial: true, is_open: false, is_gone: false };
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
    GoesOn(Record),
    /// Nothing that is indexed is in it.
    Stranger,
}

/// Compares what is there with what is known.
pub async fn look<S: Source>(
    source: &S,
    known: &BTreeMap<String, Record>,
    rewritten: Rewritten,
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
                Verdict::Unchanged
            }
            Some(record) => compare(source, &file, record, &mut files).await?,
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
        *verdict = compare(source, file, &record, &mut files).await?;
    }
    let present = verdicts.iter().map(|(file, _)| file.name.clone()).collect::<BTreeSet<_>>();
    for (name, record) in &mut files {
        record.is_gone = !present.contains(name);
    }
    let mut look = Look { readings: Vec::new(), files, reread: 0 };
    for (file, verdict) in verdicts {
        let from = match verdict {
            Verdict::Unchanged => continue,
            Verdict::GoesOn(record) => Some(record),
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
    bound(look, &present)
}

/// Records whose content is not under their name any more.
fn lost(known: &BTreeMap<String, Record>, verdicts: &[(FileEntry, Verdict)]) -> BTreeMap<String, Record> {
    let kept =
        |name: &str| verdicts.iter().any(|(file, verdict)| file.name == name && !matches!(verdict, Verdict::Stranger));
    let lost = known.iter().filter(|(name, record)| record.offset > 0 && !record.is_gone && !kept(name));
    lost.map(|(name, record)| (name.clone(), record.clone())).collect()
}

/// What is gone is forgotten only where there is no room for it: a listing may have been short.
fn bound(mut look: Look, present: &BTreeSet<String>) -> Result<Look, FeedError> {
    let fresh = look.readings.iter().filter(|reading| !look.files.contains_key(&reading.file.name)).count();
    if look.files.len() + fresh > MAX_FILES {
        look.files.retain(|name, _| present.contains(name));
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
) -> Result<Verdict, FeedError> {
    let position = record.position(&file.name);
    let mut lines = if let Some(lines) = reopen(source, file, &position).await? {
        lines
    } else {
        let mut lines = open(source, file).await?;
        let skipped = lines.skip(position.offset, position.line).await;
        let skipped = skipped.map_err(|error| unreadable(&file.name, &lines.reader().explain(error)))?;
        if skipped != record.offset || Digest::finish(lines.hasher().clone()) != record.sha256 {
            return Ok(Verdict::Stranger);
        }
        lines
    };
    // Of an archive the offset in its text is none in its bytes: nothing can be skipped there.
    let is_plain = lines.reader().compression() == Compression::Plain;
    let midstate = is_plain.then(|| Midstate::of(lines.hasher()));
    let goes_on = lines.has_more().await;
    let goes_on = goes_on.map_err(|error| unreadable(&file.name, &lines.reader().explain(error)))?;
    let version = file.version.clone();
    if goes_on {
        return Ok(Verdict::GoesOn(Record { version, midstate, is_gone: false, ..record.clone() }));
    }
    files.insert(
        file.name.clone(),
        Record { version, midstate: None, is_partial: false, is_gone: false, ..record.clone() },
    );
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
        let skipped = lines.skip(missing, 0).await;
        let skipped = skipped.map_err(|error| unreadable(&file.name, &lines.reader().explain(error)))?;
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
