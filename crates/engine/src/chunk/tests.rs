use proptest::prelude::*;

use super::*;

fn cut(size: usize, overlap: usize, text: &str) -> Vec<&str> {
    Chunking::new(size, overlap).cut(text).collect()
}

#[test]
fn where_texts_are_cut() {
    let cases: [(&str, usize, usize, &str, &[&str]); 23] = [
        ("empty", 4, 0, "", &[""]),
        ("shorter", 4, 0, "abc", &["abc"]),
        ("exactly as long", 4, 0, "abcd", &["abcd"]),
        ("one more", 4, 0, "abcde", &["abcd", "e"]),
        ("twice as long", 4, 0, "abcdefgh", &["abcd", "efgh"]),
        ("at a space", 8, 0, "one two three", &["one two ", "three"]),
        ("at a tab", 8, 0, "onetwo\tthree", &["onetwo\t", "three"]),
        ("not at a space in the first half", 8, 0, "one twothree", &["one twot", "hree"]),
        ("a line before a space", 10, 0, "one two\nth ree", &["one two\n", "th ree"]),
        ("a paragraph before a line", 10, 0, "one t\n\nw\nthree", &["one t\n\n", "w\nthree"]),
        ("the last paragraph", 10, 0, "aaaaa\n\nb\n\nccc", &["aaaaa\n\nb\n\n", "ccc"]),
        ("a paragraph with \\r\\n", 10, 0, "one t\r\n\r\nwo three", &["one t\r\n\r\n", "wo three"]),
        ("not between \\r and \\n", 4, 0, "abc\r\ndef", &["abc", "\r\nde", "f"]),
        ("\\r alone is a letter", 4, 0, "abc\rdef", &["abc\r", "def"]),
        ("characters, not bytes", 4, 0, "größe数字", &["größ", "e数字"]),
        ("beyond the first plane", 2, 0, "😀😀😀", &["😀😀", "😀"]),
        ("other spaces are letters", 4, 0, "ab\u{a0}c\u{3000}d", &["ab\u{a0}c", "\u{3000}d"]),
        ("blank", 4, 0, "          ", &["    ", "    ", "  "]),
        ("overlap", 4, 2, "abcdefgh", &["abcd", "cdef", "efgh"]),
        ("overlap from a word on", 10, 5, "one two three four", &["one two ", "two three ", "hree four"]),
        ("overlap of half a word", 8, 3, "one twothree four", &["one twot", "wothree ", "ee four"]),
        ("overlap of wide characters", 4, 2, "ößüäéè", &["ößüä", "üäéè"]),
        ("no overlap before the last that fits", 4, 1, "abcdef", &["abcd", "def"]),
    ];
    for (case, size, overlap, text, expected) in cases {
        assert_eq!(cut(size, overlap, text), expected, "{case}");
    }
}

#[test]
fn sizes_that_would_not_lead_on_are_made_to() {
    assert_eq!(Chunking::new(0, 9), Chunking { size: 2, overlap: 1 });
    assert_eq!(cut(0, 9, "abcd"), ["ab", "bc", "cd"]);
}

/// Computed with Python: `uuid5(UUID(document), str(number))`.
#[test]
fn ids_are_those_of_pythons_uuid5() {
    let document = "1a6d42ea-4b76-5ff6-aef4-c9dfd55339b0".parse().unwrap();
    assert_eq!(chunk_id(document, 1).to_string(), "3f82949b-73d5-56fd-b0b1-900a42c24b5a");
    assert_eq!(chunk_id(document, 4_000).to_string(), "93b4a749-53b9-5369-858b-7230e7d816a8");
}

#[test]
fn a_text_of_too_many_chunks_is_rejected() {
    let text = "x".repeat(200_000);
    assert_eq!(Cut::new(text.clone(), Chunking::new(2, 0)).unwrap().1.count(), 100_000);
    let reason = Cut::new(text + "x", Chunking::new(2, 0)).unwrap_err().reason;
    assert!(reason.starts_with("the content makes more than 100000 chunks of 2 characters"), "{reason}");
}

#[test]
fn a_head_says_how_many_chunks_there_are() {
    use serde_json::json;
    let cases = [
        (json!(3), 3),
        (json!(3.0), 3),
        (json!(0), 1),
        (json!(-1), 1),
        (json!(2.5), 1),
        (json!("3"), 1),
        (json!(1e300), 1),
        (json!(1_000_000), MOST_CHUNKS),
    ];
    for (value, expected) in cases {
        assert_eq!(count(Some(&value)), expected, "{value}");
    }
    assert_eq!(count(None), 1);
}

proptest! {
    /// Nothing is lost or doubled, nothing is too long, and it always leads on.
    #[test]
    fn chunks_are_the_text(text in "[a-c \t\r\nß数😀]{0,80}", size in 2_usize..20, overlap in 0_usize..12) {
        let chunking = Chunking::new(size, overlap);
        let chunks = chunking.cut(&text).collect::<Vec<_>>();
        prop_assert!(chunks.iter().all(|chunk| chunk.chars().count() <= size));
        prop_assert_eq!(Chunking::new(size, 0).cut(&text).collect::<String>(), text.clone());
        let mut end = 0;
        for (index, chunk) in chunks.iter().enumerate() {
            let begin = chunk.as_ptr() as usize - text.as_ptr() as usize;
            prop_assert!(begin <= end, "a gap before chunk {index}");
            prop_assert!(text[begin..end].chars().count() <= chunking.overlap);
            prop_assert!(index == 0 || begin + chunk.len() > end, "chunk {index} says nothing new");
            end = begin + chunk.len();
        }
        prop_assert_eq!(end, text.len());
        let (first, cut) = Cut::new(text.clone(), chunking).unwrap();
        prop_assert_eq!(cut.count(), chunks.len() as u64);
        prop_assert_eq!(first, chunks[0]);
        prop_assert_eq!(cut.others().map(|(_, chunk)| chunk).collect::<Vec<_>>(), &chunks[1..]);
        prop_assert!(cut.others().map(|(number, _)| number).eq(1..cut.count()));
    }
}
