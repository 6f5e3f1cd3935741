//! A text cut into chunks: each an object of its own, by rules that any other program can follow.
//!
//! Positions are counted in characters (Unicode scalar values). A chunk begins where the rules say and ends at the last
//! of the best boundary in the **second half of what is new in it**, at the latest after `size` characters:
//!
//! 1. behind an empty line (`\n\n` or `\n\r\n`),
//! 2. behind a line break (`\n`),
//! 3. behind a space or a tab,
//! 4. after `size` characters; between `\r` and `\n`, one before.
//!
//! The next chunk begins `overlap` characters before that end, or at the first word from there on: behind a space, a tab
//! or a line break, and at none. What is left and fits into one chunk is the last one. Nothing is trimmed: without
//! overlap the chunks are the text. An empty text is one empty chunk.
//!
//! The first chunk is in the document's own object, its *head*; number `n` (from 1) is the object `uuid5(document id, n)`.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use crate::mapping::Properties;
use crate::object::{Object, Vectors};
use crate::rejection::Rejection;

/// Chunks of one document: far more than a line of 16 MiB has at any size that helps a search, and a head that somebody
/// else wrote must not make us delete for days.
pub const MOST_CHUNKS: u64 = 100_000;

/// How texts are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Characters of a chunk, at most.
    pub size: usize,
    /// Characters of the chunk before it that a chunk begins with, at most; not more than half of `size`.
    pub overlap: usize,
}

impl Chunking {
    /// Sizes that lead on: a chunk has at least one new character.
    pub fn new(size: usize, overlap: usize) -> Self {
        let size = size.max(2);
        Self { size, overlap: overlap.min(size / 2) }
    }

    /// The chunks of a text, in their order; at least one.
    pub fn cut(self, text: &str) -> Chunks<'_> {
        Chunks { text, chunking: self, next: Some(0) }
    }
}

/// Cuts as it goes: nothing but the text is held.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    text: &'a str,
    chunking: Chunking,
    /// Byte at which the next chunk begins.
    next: Option<usize>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let begin = self.next?;
        let rest = &self.text[begin..];
        let Some(Range { start: next, end }) = boundaries(rest, self.chunking) else {
            self.next = None;
            return Some(rest);
        };
        self.next = Some(begin + next);
        Some(&rest[..end])
    }
}

/// Where the first chunk of a text ends, and before it where the next one begins, in bytes; `None` = it is the last.
fn boundaries(text: &str, chunking: Chunking) -> Option<Range<usize>> {
    let Chunking { size, overlap } = chunking;
    if text.len() <= size {
        return None;
    }
    let (latest, _) = text.char_indices().nth(size)?;
    let earliest = overlap + (size - overlap) / 2;
    let (earliest, _) = text.char_indices().nth(earliest)?;
    let end = end(text.as_bytes(), earliest, latest);
    if overlap == 0 {
        return Some(end..end);
    }
    let (begin, _) = text[..end].char_indices().rev().nth(overlap - 1)?;
    let word = (begin.max(1)..end).find(|at| is_word(text.as_bytes(), *at));
    Some(word.unwrap_or(begin)..end)
}

/// The last of the best boundaries behind `earliest`, up to `latest`. All are bytes that no other character contains.
fn end(text: &[u8], earliest: usize, latest: usize) -> usize {
    let is_line = |at: usize| text[at - 1] == b'\n';
    let is_paragraph = |at: usize| {
        let line = text[..at - 1].strip_suffix(b"\r").unwrap_or(&text[..at - 1]);
        is_line(at) && line.ends_with(b"\n")
    };
    let is_space = |at: usize| matches!(text[at - 1], b' ' | b'\t');
    let last = |is_boundary: &dyn Fn(usize) -> bool| (earliest + 1..=latest).rev().find(|at| is_boundary(*at));
    let splits_line_break = text[latest - 1] == b'\r' && text.get(latest) == Some(&b'\n');
    let whole = if splits_line_break && latest - 1 > earliest { latest - 1 } else { latest };
    last(&is_paragraph).or_else(|| last(&is_line)).or_else(|| last(&is_space)).unwrap_or(whole)
}

fn is_word(text: &[u8], at: usize) -> bool {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    is_blank(&text[at - 1]) && !is_blank(&text[at])
}

/// A text that is cut. Copies share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Empty when the first chunk is all of it.
    text: Arc<String>,
    chunking: Chunking,
    count: u64,
}

impl Cut {
    /// Cuts a text into its first chunk and the others, or says why it cannot be.
    pub fn new(text: String, chunking: Chunking) -> Result<(String, Self), Rejection> {
        let most = usize::try_from(MOST_CHUNKS).unwrap_or(usize::MAX);
        let count = chunking.cut(&text).take(most + 1).count() as u64;
        if count > MOST_CHUNKS {
            return Err(Rejection::validation(format!(
                "the content makes more than {MOST_CHUNKS} chunks of {} characters: cut it into larger ones, or split the \
                 document",
                chunking.size
            )));
        }
        // The first is then all there is: nobody needs a copy.
        let (first, text) = if count > 1 {
            (chunking.cut(&text).next().unwrap_or_default().to_owned(), text)
        } else {
            (text, String::new())
        };
        Ok((first, Self { text: Arc::new(text), chunking, count }))
    }

    /// How many chunks it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All but the first, with their numbers.
    pub fn others(&self) -> impl Iterator<Item = (u64, &str)> + Send {
        (0..).zip(self.chunking.cut(&self.text)).skip(1)
    }
}

/// The id of a document's chunk with this number, from 1.
pub fn chunk_id(document: Uuid, number: u64) -> Uuid {
    Uuid::new_v5(&document, number.to_string().as_bytes())
}

/// How a feed cuts, and the properties of what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cutting {
    /// Into which sizes.
    pub chunking: Chunking,
    /// The property that holds the text.
    pub content: String,
    /// The property of a head that says how many chunks the document has.
    pub chunks: String,
    /// The property that holds a chunk's number, 0 in a head. A head without it is still being written: its document has
    /// at most as many chunks as it says.
    pub chunk: String,
}

impl Cutting {
    /// How many chunks a stored head says that its document has. One from before the feed was cut has one.
    pub fn count(&self, head: &Object) -> u64 {
        count(head.properties.get(&self.chunks))
    }

    /// Makes a head say that its document has so many chunks, and is whole.
    pub(crate) fn close(&self, head: &mut Object, count: u64) {
        head.properties.insert(self.chunks.clone(), count.into());
        head.properties.insert(self.chunk.clone(), 0.into());
    }

    /// The head of a document that is being written and has so many chunks, at most.
    pub(crate) fn opened(&self, head: &Object, most: u64) -> Object {
        let mut head = head.clone();
        head.properties.insert(self.chunks.clone(), most.into());
        head.properties.remove(&self.chunk);
        head
    }

    /// A chunk of a document whose head is this one.
    pub(crate) fn chunk(&self, head: &Object, number: u64, text: &str) -> Object {
        let own = |name: &String| [&self.content, &self.chunks, &self.chunk].contains(&name);
        let shared = head.properties.iter().filter(|(name, _)| !own(name));
        let mut properties = shared.map(|(name, value)| (name.clone(), value.clone())).collect::<Properties>();
        properties.insert(self.content.clone(), text.into());
        properties.insert(self.chunk.clone(), number.into());
        Object { id: chunk_id(head.id, number), properties, vectors: Vectors::new() }
    }
}

/// How many chunks a head's property says that there are, within bounds. Weaviate keeps whole numbers as floats.
pub fn count(value: Option<&Value>) -> u64 {
    let number = value.and_then(|value| value.as_u64().or_else(|| whole(value.as_f64()?)));
    number.unwrap_or(1).clamp(1, MOST_CHUNKS)
}

fn whole(float: f64) -> Option<u64> {
    // Within the bound every whole float is a u64, so the conversion loses nothing.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (float.fract() == 0.0 && (0.0..=1e9).contains(&float)).then_some(float as u64)
}

#[cfg(test)]
mod tests;
