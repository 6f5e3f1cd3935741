use std::io::Cursor;

use tokio::io::BufReader;

use super::*;
use crate::checkpoint::Digest;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Small, so that chunks end in the middle of lines, line breaks and marks.
const CHUNK: usize = 3;

fn read(bytes: &[u8], limit: usize) -> Vec<RawLine> {
    let reader = BufReader::with_capacity(CHUNK, Cursor::new(bytes.to_vec()));
    let mut lines = Lines::with_limit(reader, limit);
    let mut found = Vec::new();
    while let Some(line) = block_on(lines.next()).unwrap() {
        found.push(line);
    }
    assert_eq!(lines.offset(), bytes.len() as u64);
    assert_eq!(Digest::finish(lines.hasher().clone()), Digest::of(bytes));
    found
}

/// `number@offset+length:body`, `…` for a line that is too long.
fn picture(bytes: &[u8], limit: usize) -> String {
    let show = |line: RawLine| {
        let body = line.body.as_ref().map_or("…".into(), |body| String::from_utf8_lossy(body).into_owned());
        let blank = if line.is_blank() { " blank" } else { "" };
        format!("{}@{}+{}:{body}{blank}", line.number, line.offset, line.length)
    };
    read(bytes, limit).into_iter().map(show).collect::<Vec<_>>().join(" | ")
}

#[test]
fn what_counts_as_a_line() {
    for (bytes, expected) in [
        ("", ""),
        ("a", "1@0+1:a"),
        ("a\n", "1@0+2:a"),
        ("a\nb", "1@0+2:a | 2@2+1:b"),
        ("a\r\nb\r\n", "1@0+3:a | 2@3+3:b"),
        ("\n\na", "1@0+1: blank | 2@1+1: blank | 3@2+1:a"),
        (" \t\r\na", "1@0+4: \t blank | 2@4+1:a"),
        ("a\r", "1@0+2:a\r"),
        ("a\rb\n", "1@0+4:a\rb"),
        ("\u{FEFF}a\nb", "1@0+5:a | 2@5+1:b"),
        ("\u{FEFF}\na", "1@0+4: blank | 2@4+1:a"),
        ("a\n\u{FEFF}b", "1@0+2:a | 2@2+4:\u{FEFF}b"),
        ("a\0b\n", "1@0+4:a\0b"),
    ] {
        assert_eq!(picture(bytes.as_bytes(), 100), expected, "{bytes:?}");
    }
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read() {
    assert_eq!(picture(b"12345678\nab", 8), "1@0+9:12345678 | 2@9+2:ab");
    assert_eq!(picture(b"12345678\r\nab", 8), "1@0+10:12345678 | 2@10+2:ab");
    assert_eq!(picture(b"123456789\nab", 8), "1@0+10:… | 2@10+2:ab");
    assert_eq!(picture(b"123456789", 8), "1@0+9:…");
    assert_eq!(picture("\u{FEFF}12345678\n".as_bytes(), 8), "1@0+12:12345678");
    assert_eq!(picture(&[&[b'x'; 1000][..], b"\nab"].concat(), 8), "1@0+1001:… | 2@1001+2:ab");
}

#[test]
fn skipping_hashes_and_stops_at_the_files_end() {
    let reader = BufReader::with_capacity(CHUNK, Cursor::new(b"a\nbc\nd".to_vec()));
    let mut lines = Lines::new(reader);
    assert_eq!(block_on(lines.skip(5, 2)).unwrap(), 5);
    assert_eq!(Digest::finish(lines.hasher().clone()), Digest::of(b"a\nbc\n"));
    let line = block_on(lines.next()).unwrap().unwrap();
    assert_eq!((line.number, line.offset, line.body), (3, 5, Some(b"d".to_vec())));
    assert_eq!(block_on(lines.skip(u64::MAX, 9)).unwrap(), 0, "nothing is left");
}

proptest::proptest! {
    #[test]
    fn lines_cover_every_byte_once(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), limit in 0_usize..40) {
        let lines = read(&bytes, limit);
        let mut offset = 0;
        for (index, line) in lines.iter().enumerate() {
            proptest::prop_assert_eq!(line.offset, offset);
            proptest::prop_assert_eq!(line.number, index as u64 + 1);
            proptest::prop_assert!(line.body.as_ref().is_none_or(|body| body.len() <= limit));
            offset += line.length;
        }
        proptest::prop_assert_eq!(offset, bytes.len() as u64);
    }
}
