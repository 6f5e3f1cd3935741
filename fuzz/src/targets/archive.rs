//! Files that are archives, whole, damaged and made up: what is in them, or an error that names the place.

use std::io::Cursor;

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use elysia_engine::checkpoint::Digest;
use elysia_engine::compression::{Compression, Decoded, ReadError};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::block_on;
use super::dice::Dice;

/// More than this is not read of what may be a bomb.
const MOST_TEXT: usize = 4 << 20;
/// Changes of an archive that was whole.
const MOST_CHANGES: usize = 4;

/// Reads the bytes as they are, or what they are put into.
pub(super) fn check(bytes: &[u8]) {
    let mut dice = Dice::new(bytes);
    let kind = dice.below(6);
    let changes = dice.below(MOST_CHANGES + 1);
    let places: Vec<(usize, u8, u8)> = (0..changes).map(|_| (dice.below(1 << 16), dice.byte(), dice.byte())).collect();
    let repeats = dice.below(3);
    let cut = dice.below(1 << 16);
    let text = dice.rest();
    if kind < 2 {
        drop(read(text));
        return;
    }
    let (first, second) = text.split_at(cut % (text.len() + 1));
    // Of two parts, as `cat a.gz b.gz` makes them.
    let mut stored = [packed(kind, first), packed(kind, second)].concat();
    let mut whole = text.to_vec();
    for _ in 0..repeats {
        stored.extend(packed(kind, text));
        whole.extend(text);
    }
    let expected = if kind < 4 { Compression::Gzip } else { Compression::Zstd };
    let (found, read_whole) = read(&stored).expect("a whole archive");
    assert_eq!((found, read_whole.as_slice()), (expected, whole.as_slice()));
    for (place, what, byte) in places {
        change(&mut stored, place, what, byte);
    }
    drop(read(&stored));
}

fn packed(kind: usize, text: &[u8]) -> Vec<u8> {
    if kind < 4 { all(GzipEncoder::new(text)) } else { all(ZstdEncoder::new(text)) }
}

fn all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    block_on(reader.read_to_end(&mut bytes)).expect("memory takes everything");
    bytes
}

fn change(stored: &mut Vec<u8>, place: usize, what: u8, byte: u8) {
    let place = place % (stored.len() + 1);
    match what % 4 {
        0 => stored.truncate(place),
        1 => stored.insert(place, byte),
        2 => drop((place < stored.len()).then(|| stored.remove(place))),
        _ => stored.iter_mut().skip(place).take(1).for_each(|old| *old ^= byte),
    }
}

/// What is in it, up to [`MOST_TEXT`].
fn read(stored: &[u8]) -> Result<(Compression, Vec<u8>), ReadError> {
    let outcome = block_on(async {
        let mut decoded = Decoded::open(Cursor::new(stored), true).await?;
        let mut text = Vec::new();
        let result = (&mut decoded).take(MOST_TEXT as u64).read_to_end(&mut text).await;
        assert!(text.len() <= MOST_TEXT);
        if let Err(error) = result {
            return Err(decoded.explain(error));
        }
        if text.len() < MOST_TEXT {
            assert_eq!(decoded.stored_digest(), Some(Digest::of(stored)), "every stored byte is hashed once");
        }
        Ok((decoded.compression(), text))
    });
    match &outcome {
        Err(ReadError::Damaged { kind, problem, at, advice }) => {
            assert!(["gzip", "zstd"].contains(kind) && !problem.is_empty() && !advice.is_empty());
            assert!(*at <= stored.len() as u64, "byte {at} of {}", stored.len());
        }
        Err(ReadError::Cut { kind, at }) => {
            assert!(["gzip", "zstd"].contains(kind));
            assert!(*at <= stored.len() as u64, "byte {at} of {}", stored.len());
        }
        Err(ReadError::Unsupported(kind)) => assert!(!kind.is_empty()),
        Err(ReadError::Failed(error)) => panic!("reading memory failed: {error}"),
        Ok((Compression::Plain, text)) => assert!(stored.starts_with(text)),
        Ok(_) => {}
    }
    outcome
}
