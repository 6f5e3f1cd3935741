//! Keys of parts in a receipt: those that follow one another are written as the first one and their number, so that a receipt
//! of a large collection has room in a `ConfigMap` (1 MiB). Each tenant has a part of its own, which follows none.
//!
//! Receipts of before have every key as a text; they are read as they were.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Keys that a receipt names at most, however it writes them: 16 TB of parts. A text of some bytes must not fill the memory.
const MOST_KEYS: usize = 1 << 20;

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    One(Cow<'a, str>),
    Run(Run<'a>),
}

/// Parts whose numbers follow one another.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Run<'a> {
    /// The key of the first.
    first: Cow<'a, str>,
    /// How many they are.
    parts: usize,
}

pub(super) fn serialize<S: Serializer>(keys: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(entries(keys))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let mut keys = BTreeSet::new();
    for entry in Vec::<Entry<'static>>::deserialize(deserializer)? {
        let Run { first, parts } = match entry {
            Entry::One(key) => Run { first: key, parts: 1 },
            Entry::Run(run) => run,
        };
        if parts > MOST_KEYS.saturating_sub(keys.len()) {
            return Err(D::Error::custom(format!("more than {MOST_KEYS} parts")));
        }
        let mut key = first.into_owned();
        for _ in 1..parts {
            let Some(next) = next(&key) else { return Err(D::Error::custom(format!("no part follows {key}"))) };
            keys.insert(std::mem::replace(&mut key, next));
        }
        if parts > 0 {
            keys.insert(key);
        }
    }
    Ok(keys)
}

fn entries(keys: &BTreeSet<String>) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut keys = keys.iter().peekable();
    while let Some(first) = keys.next() {
        let (mut last, mut parts) = (first, 1);
        while let Some(key) = keys.next_if(|key| next(last).as_ref() == Some(*key)) {
            (last, parts) = (key, parts + 1);
        }
        entries.push(match parts {
            1 => Entry::One(first.into()),
            parts => Entry::Run(Run { first: first.into(), parts }),
        });
    }
    entries
}

/// The key of the part that follows: `…/part-00-00041.parquet` after `…/part-00-00040.parquet`.
fn next(key: &str) -> Option<String> {
    let (stem, name) = key.rsplit_once('-')?;
    let (digits, extension) = name.split_once('.')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = digits.parse::<u32>().ok().filter(|_| is_number)?.checked_add(1)?;
    Some(format!("{stem}-{number:0width$}.{extension}", width = digits.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::backup::layout;
    use crate::backup::manifest::DataFormat;

    fn part(tenant: Option<&str>, slice: usize, number: usize) -> String {
        layout::part("Articles", tenant, slice, number, DataFormat::Parquet)
    }

    fn read(text: Value) -> Result<BTreeSet<String>, String> {
        deserialize(text).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let many = (0..3).flat_map(|slice| (0..50).map(move |number| part(None, slice, number))).collect();
        let holes = [0, 1, 2, 4, 6, 7, 99_998, 99_999, 100_000, 100_001].map(|number| part(None, 0, number)).into();
        let tenants = ["a", "b-1", "b-2"].map(|tenant| part(Some(tenant), 0, 0)).into();
        let strange = ["", "-", "a-1", "a-1.b", "a-01.b", "a-2.b", "a-+3.b", "a-4294967295.b", "a-4294967296.b"]
            .map(str::to_owned)
            .into();
        let based = ["r1/a-00001.p", "r2/a-00001.p", "r2/a-00002.p"].map(str::to_owned).into();
        let cases: [(BTreeSet<String>, usize); 6] =
            [(BTreeSet::new(), 0), (many, 3), (holes, 5), (tenants, 3), (strange, 8), (based, 2)];
        for (keys, entries) in cases {
            let text = json!(super::entries(&keys));
            assert_eq!(text.as_array().map(Vec::len), Some(entries), "{text}");
            assert_eq!(read(text), Ok(keys));
        }
    }

    #[test]
    fn a_receipt_of_many_parts_is_small() {
        let keys = (0..4).flat_map(|slice| (0..25_000).map(move |number| part(None, slice, number))).collect();
        assert!(json!(entries(&keys)).to_string().len() < 1_000);
    }

    #[test]
    fn receipts_of_before_are_read() {
        let keys = [part(None, 0, 0), part(None, 0, 1)];
        assert_eq!(read(json!(keys)), Ok(keys.into()));
    }

    #[test]
    fn what_no_restore_wrote_is_refused() {
        let run = |first: &str, parts: u64| json!([{"first": first, "parts": parts}]);
        for (text, why) in [
            (run("a-0.b", 1 << 21), "more than 1048576 parts"),
            (run("a-0.b", u64::MAX), "more than 1048576 parts"),
            (run("a-4294967295.b", 2), "no part follows a-4294967295.b"),
            (run("a", 2), "no part follows a"),
            (json!([{"first": "a-0.b", "parts": -1}]), "did not match"),
            (json!([{"first": "a-0.b", "parts": 1, "more": 1}]), "did not match"),
            (json!([7]), "did not match"),
        ] {
            let found = read(text.clone());
            assert!(found.as_ref().is_err_and(|error| error.contains(why)), "{text}: {found:?}");
        }
        assert_eq!(read(run("a-0.b", 0)), Ok(BTreeSet::new()));
    }
}
