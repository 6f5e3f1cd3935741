//! Any bytes, handed out in pieces of any size, are the lines that one gets by splitting them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use elysia_engine::checkpoint::Digest;
use elysia_engine::reader::{Lines, RawLine};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::block_on;
use super::dice::Dice;

/// Sizes of pieces, taken by turns.
const PIECES: usize = 8;

/// Hands out bytes in pieces.
struct Pieces<'a> {
    left: &'a [u8],
    sizes: Vec<usize>,
    /// How much is left of the piece that is handed out, and which is the next.
    piece: usize,
    turn: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl AsyncBufRead for Pieces<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let pieces = self.get_mut();
        if pieces.piece == 0 {
            pieces.piece = pieces.sizes[pieces.turn % pieces.sizes.len()];
            pieces.turn += 1;
        }
        pieces.piece = pieces.piece.min(pieces.left.len());
        Poll::Ready(Ok(&pieces.left[..pieces.piece]))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let pieces = self.get_mut();
        pieces.left = &pieces.left[amount..];
        pieces.piece -= amount;
    }
}

/// Splits what is behind the choices.
pub(super) fn check(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let limit = dice.below(64);
    let sizes: Vec<usize> = (0..PIECES).map(|_| 1 + dice.below(40)).collect();
    let (end, from) = (dice.below(1 << 16), dice.below(256));
    let text = dice.rest();
    let pieces = |text| Pieces { left: text, sizes: sizes.clone(), piece: 0, turn: 0 };
    let whole = split(text, limit);
    assert_eq!(read(Lines::with_limit(pieces(text), limit), text), whole);

    // No further than this, as if the file ended there.
    let end = end % (text.len() + 1);
    let mut lines = Lines::with_limit(pieces(text), limit);
    lines.end_at(end as u64);
    assert_eq!(read(lines, &text[..end]), split(&text[..end], limit));

    // Behind what was read before: hashed again, or taken up with its hash.
    let whole = split(text, elysia_engine::reader::MAX_LINE_BYTES);
    let (offset, number) = if from == 0 {
        (0, 0)
    } else {
        whole.get(from - 1).map_or((0, 0), |line| (line.offset + line.length, line.number))
    };
    let start = usize::try_from(offset).expect("an offset in a slice");
    let left: Vec<RawLine> = whole.into_iter().filter(|line| line.offset >= offset).collect();
    let mut skipping = Lines::new(pieces(text));
    assert_eq!(block_on(skipping.skip(offset, number)).expect("no error"), offset);
    let hasher = skipping.hasher().clone();
    assert_eq!(Digest::finish(hasher.clone()), Digest::of(&text[..start]));
    assert_eq!(read(skipping, text), left);
    assert_eq!(read(Lines::resumed(pieces(&text[start..]), offset, number, hasher), text), left);
}

/// Reads to the end; offset and hash are right behind every line.
fn read(mut lines: Lines<Pieces<'_>>, text: &[u8]) -> Vec<RawLine> {
    let mut found = Vec::new();
    while let Some(line) = block_on(lines.next()).expect("no error") {
        let behind = usize::try_from(lines.offset()).expect("an offset in a slice");
        assert_eq!((lines.offset(), lines.number()), (line.offset + line.length, line.number));
        assert_eq!(Digest::finish(lines.hasher().clone()), Digest::of(&text[..behind]));
        found.push(line);
    }
    assert_eq!(lines.offset(), text.len() as u64);
    found
}

/// The same slowly: by hand, with all of it at once.
fn split(text: &[u8], limit: usize) -> Vec<RawLine> {
    let (mut offset, mut lines) = (0, Vec::new());
    for (index, part) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let is_ended = part.ends_with(b"\n");
        let mut body = part;
        if let Some(before) = body.strip_suffix(b"\n") {
            body = before.strip_suffix(b"\r").unwrap_or(before);
        }
        if index == 0 {
            body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        }
        lines.push(RawLine {
            number: index as u64 + 1,
            offset,
            length: part.len() as u64,
            is_ended,
            body: (body.len() <= limit).then(|| body.to_vec()),
        });
        offset += part.len() as u64;
    }
    lines
}
