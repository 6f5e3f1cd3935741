//! Lines of a file with a bound on memory, however long a line is.
//!
//! What counts as a line: bytes up to `\n` or the file's end; a `\r` before the `\n` is no part of it, nor is a byte
//! order mark at the file's beginning. Every line has a number, as in an editor; blank lines have one too.

use memchr::memchr;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line that is read, without its line break. Larger than any text worth one object (Weaviate's own
/// batches rarely exceed it), small enough that a worker holds a few of them.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// UTF-8's byte order mark, which some editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine {
    /// From 1, as an editor counts.
    pub number: u64,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is with its line break, in bytes.
    pub length: u64,
    /// Whether a line break ends it; otherwise the file does, perhaps in its midst.
    pub is_ended: bool,
    /// Its bytes without line break and byte order mark; `None` when there are more than [`MAX_LINE_BYTES`].
    pub body: Option<Vec<u8>>,
}

impl RawLine {
    /// Whether nothing but white space is in it: such a line is skipped and not counted.
    pub fn is_blank(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.trim_ascii().is_empty())
    }
}

/// Reads lines one after the other and hashes every byte on the way.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    limit: usize,
    offset: u64,
    number: u64,
    hasher: Sha256,
    /// Where reading ends although the file may go on.
    end: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// From the beginning of a file.
    pub fn new(reader: R) -> Self {
        Self::with_limit(reader, MAX_LINE_BYTES)
    }

    /// With another bound than [`MAX_LINE_BYTES`].
    pub fn with_limit(reader: R, limit: usize) -> Self {
        Self { reader, limit, offset: 0, number: 0, hasher: Sha256::new(), end: u64::MAX }
    }

    /// Reads no further than this: what lies behind is as if it were not there.
    pub fn end_at(&mut self, end: u64) {
        self.end = end;
    }

    /// Behind what was read earlier: so many bytes and lines, with this hash.
    pub fn resumed(reader: R, offset: u64, number: u64, hasher: Sha256) -> Self {
        Self { reader, limit: MAX_LINE_BYTES, offset, number, hasher, end: u64::MAX }
    }

    /// Where the lines come from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Bytes that were read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Lines that were read, blank ones too.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The hash of the bytes that were read, to be finished or fed.
    pub fn hasher(&self) -> &Sha256 {
        &self.hasher
    }

    /// Hashes the first `bytes` of the file without looking at them and numbers on from `line`. Answers how many bytes
    /// were there: fewer, when the file is shorter.
    pub async fn skip(&mut self, bytes: u64, line: u64) -> std::io::Result<u64> {
        let end = self.offset.saturating_add(bytes);
        let begin = self.offset;
        while self.offset < end {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                break;
            }
            let wanted = usize::try_from(end - self.offset).unwrap_or(usize::MAX).min(chunk.len());
            self.hasher.update(&chunk[..wanted]);
            self.reader.consume(wanted);
            self.offset += wanted as u64;
        }
        self.number = line;
        Ok(self.offset - begin)
    }

    /// Whether there is anything behind what was read.
    pub async fn has_more(&mut self) -> std::io::Result<bool> {
        Ok(!self.reader.fill_buf().await?.is_empty())
    }

    /// The next line, or `None` at the file's end. A last line without a line break is a line.
    pub async fn next(&mut self) -> std::io::Result<Option<RawLine>> {
        // The line break and a byte order mark do not count, and only what counts is bounded.
        let kept_at_most = self.limit + BYTE_ORDER_MARK.len() + b"\r\n".len();
        let begin = self.offset;
        let mut body = Vec::new();
        let mut overflowed = false;
        let mut is_ended = false;
        while !is_ended {
            let chunk = self.reader.fill_buf().await?;
            let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let chunk = &chunk[..chunk.len().min(left)];
            if chunk.is_empty() {
                break;
            }
            let line_break = memchr(b'\n', chunk);
            let used = line_break.map_or(chunk.len(), |at| at + 1);
            self.hasher.update(&chunk[..used]);
            overflowed = overflowed || body.len() + used > kept_at_most;
            if overflowed {
                body = Vec::new();
            } else {
                body.extend_from_slice(&chunk[..used]);
            }
            self.reader.consume(used);
            self.offset += used as u64;
            is_ended = line_break.is_some();
        }
        if self.offset == begin {
            return Ok(None);
        }
        self.number += 1;
        let body = if overflowed { None } else { Some(trim(body, begin == 0)) };
        let body = body.filter(|body| body.len() <= self.limit);
        Ok(Some(RawLine { number: self.number, offset: begin, length: self.offset - begin, is_ended, body }))
    }
}

/// The line without its break and, at a file's beginning, without a byte order mark.
fn trim(mut body: Vec<u8>, at_beginning: bool) -> Vec<u8> {
    if body.ends_with(b"\n") {
        body.pop();
        if body.ends_with(b"\r") {
            body.pop();
        }
    }
    if at_beginning && body.starts_with(BYTE_ORDER_MARK) {
        body.drain(..BYTE_ORDER_MARK.len());
    }
    body
}

#[cfg(test)]
mod tests;
