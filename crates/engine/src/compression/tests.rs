use std::io::Cursor;

use async_compression::Level;
use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;

use super::*;
use crate::reader::Lines;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    block_on(reader.read_to_end(&mut bytes)).unwrap();
    bytes
}

fn gzip(text: &[u8]) -> Vec<u8> {
    all(GzipEncoder::new(text))
}

fn zstd(text: &[u8]) -> Vec<u8> {
    all(ZstdEncoder::with_quality_and_params(text, Level::Default, &[CParameter::checksum_flag(true)]))
}

/// A frame that a decoder passes over: its mark, its length, its bytes.
const SKIPPED: &[u8] = b"\x50\x2A\x4D\x18\x03\x00\x00\x00abc";

/// Gives one byte at a time, as a slow disk may.
struct Dribble(Cursor<Vec<u8>>);

impl AsyncRead for Dribble {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut one = [0; 1];
        let mut small = ReadBuf::new(&mut one[..into.remaining().min(1)]);
        let done = Pin::new(&mut self.0).poll_read(context, &mut small);
        into.put_slice(small.filled());
        done
    }
}

fn read(stored: &[u8]) -> Result<(Compression, Vec<u8>), ReadError> {
    block_on(async {
        let mut decoded = Decoded::open(Dribble(Cursor::new(stored.to_vec())), true).await?;
        let mut text = Vec::new();
        if let Err(error) = decoded.read_to_end(&mut text).await {
            return Err(decoded.explain(error));
        }
        assert_eq!(decoded.stored_digest(), Some(Digest::of(stored)), "every stored byte is hashed once");
        Ok((decoded.compression(), text))
    })
}

#[test]
fn a_file_is_what_its_first_bytes_say() {
    use Compression::{Gzip, Plain, Zstd};
    let (a, b) = (b"one\ntw", b"o\nthree\n");
    for (stored, kind, text) in [
        (vec![], Plain, &b""[..]),
        (b"{".to_vec(), Plain, b"{"),
        (b"\x1F".to_vec(), Plain, b"\x1F"),
        (b"{\"repo\":1}\n".to_vec(), Plain, b"{\"repo\":1}\n"),
        (gzip(a), Gzip, a),
        (gzip(b""), Gzip, b""),
        ([gzip(a), gzip(b)].concat(), Gzip, b"one\ntwo\nthree\n"),
        ([gzip(a), gzip(b""), gzip(b)].concat(), Gzip, b"one\ntwo\nthree\n"),
        (zstd(a), Zstd, a),
        (zstd(b""), Zstd, b""),
        ([zstd(a), zstd(b)].concat(), Zstd, b"one\ntwo\nthree\n"),
        ([SKIPPED, &zstd(a), SKIPPED, &zstd(b), SKIPPED].concat(), Zstd, b"one\ntwo\nthree\n"),
        (gzip(&gzip(a)), Gzip, &gzip(a)),
    ] {
        assert_eq!(read(&stored).unwrap(), (kind, text.to_vec()), "{stored:02x?}");
    }
}

#[test]
fn an_archive_that_was_cut_is_told_from_its_end_wherever_it_was_cut() {
    let text = b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"p\"}\n".repeat(3);
    for (stored, mark) in [(gzip(&text), 2), (zstd(&text), 4), ([zstd(b"x\n"), zstd(&text)].concat(), 4)] {
        let boundary = zstd(b"x\n").len();
        for cut in mark..stored.len() {
            match read(&stored[..cut]) {
                Err(error @ ReadError::Cut { at, .. }) => {
                    assert_eq!(at, cut as u64);
                    assert!(error.to_string().contains("ends in its midst"), "{error}");
                }
                Ok((_, found)) => assert_eq!((cut, found), (boundary, b"x\n".to_vec()), "only between two frames"),
                Err(error) => panic!("cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn an_archive_with_a_wrong_byte_never_reads_as_another_text() {
    let text = b"{\"repo\":\"r\",\"op\":\"delete\",\"path\":\"p\"}\n".repeat(3);
    for stored in [gzip(&text), zstd(&text)] {
        let mut refused = 0;
        for at in 0..stored.len() {
            let mut wrong = stored.clone();
            wrong[at] ^= 0x10;
            match read(&wrong) {
                // A wrong first byte makes it a plain file, whose lines are then rejected.
                Ok((Compression::Plain, found)) => assert_eq!(found, wrong),
                Ok((_, found)) => assert_eq!(found, text, "byte {at} is of no consequence"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > stored.len() / 2, "{refused} of {}", stored.len());
    }
}

#[test]
fn what_is_wrong_with_an_archive_is_said_with_place_and_remedy() {
    let long = |log| {
        let parameters = [CParameter::window_log(log)];
        all(ZstdEncoder::with_quality_and_params(&b"x\n"[..], Level::Default, &parameters))
    };
    assert!(read(&long(ZSTD_WINDOW_LOG)).is_ok());
    for (stored, expected) in [
        (
            [gzip(b"x\n"), b"rubbish".to_vec()].concat(),
            "the gzip archive is damaged (Invalid gzip header) at byte 23 of the file: make it again, and put nothing \
             else into the file",
        ),
        (
            gzip(b"x\n")[..20].to_vec(),
            "the gzip archive ends in its midst at byte 20 of the file: copy it again as a whole",
        ),
        (
            long(ZSTD_WINDOW_LOG + 1),
            "the zstd archive needs a window of more than 8 MiB at byte 0 of the file: compress it without --ultra and \
             --long",
        ),
        (
            b"\xFD7zXZ\0".to_vec(),
            "the file is a xz archive, which is not read: store it plain, or compress it with gzip or zstd",
        ),
        (b"BZh91AY&SY".to_vec(), "the file is a bzip2 archive"),
        (b"PK\x03\x04rest".to_vec(), "the file is a zip archive"),
        (b"\x04\x22\x4D\x18rest".to_vec(), "the file is a lz4 archive"),
    ] {
        let message = read(&stored).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_bomb_is_a_long_line() {
    const BYTES: u64 = 32 << 20;
    let zeros = || BufReader::new(tokio::io::repeat(b'0').take(BYTES));
    for stored in [all(GzipEncoder::new(zeros())), all(ZstdEncoder::new(zeros()))] {
        assert!(stored.len() < 64 << 10, "{}", stored.len());
        let end = b"\n{}\n";
        let stored = match Compression::of(&stored) {
            Ok(Compression::Gzip) => [stored, gzip(end)].concat(),
            _ => [stored, zstd(end)].concat(),
        };
        block_on(async {
            let mut lines = Lines::new(Decoded::open(Cursor::new(stored), false).await.unwrap());
            let line = lines.next().await.unwrap().unwrap();
            assert_eq!((line.length, line.body), (BYTES + 1, None));
            assert_eq!(lines.next().await.unwrap().unwrap().body.unwrap(), b"{}");
        });
    }
}
