//! What objects are, as a number: equal digests mean equal objects.
//!
//! An object's digest is SHA-256 over its id, its properties in canonical JSON, and its vectors by name, each number as
//! the four bytes that the server keeps. The digest of a set is the sum of its objects' digests, modulo 2^256: the order
//! does not show, so that parts, tenants and copies that were read in any order can be added up and compared. It finds
//! accidents, not somebody who looks for two sets with one sum; against those the parts' own hashes stand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::mapping::Properties;
use crate::object::{Object, Vector};

/// Words of a sum, the least one first.
const WORDS: usize = 4;

/// What the JSON of an object has room for from the beginning: most are shorter.
const TEXT_ROOM: usize = 1 << 10;

/// Numbers that are hashed at once: 4 KiB.
const FLOATS: usize = 1024;

/// How many objects, and what they are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Contents {
    /// Objects.
    pub objects: u64,
    /// The sum of their digests.
    pub digest: Sum,
}

impl Contents {
    /// With one more object.
    pub fn add(&mut self, object: &Object) {
        self.add_digest(&object_digest(object));
    }

    /// With one more object, of which this is the digest.
    pub fn add_digest(&mut self, digest: &[u8; 32]) {
        self.objects += 1;
        self.digest.add(digest);
    }

    /// With all objects of another set.
    pub fn join(&mut self, other: &Self) {
        self.objects += other.objects;
        self.digest = self.digest.plus(&other.digest);
    }

    /// Of these objects.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut contents = Self::default();
        objects.into_iter().for_each(|object| contents.add(object));
        contents
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} objects {}", self.objects, self.digest)
    }
}

/// A sum of digests.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum([u64; WORDS]);

impl Sum {
    fn add(&mut self, digest: &[u8; 32]) {
        let (words, _) = digest.as_chunks::<8>();
        let mut other = [0; WORDS];
        for (word, bytes) in other.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        *self = self.plus(&Self(other));
    }

    fn plus(&self, other: &Self) -> Self {
        let mut out = [0; WORDS];
        let mut carry = false;
        for ((out, one), other) in out.iter_mut().zip(self.0).zip(other.0) {
            let (sum, first) = one.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            *out = sum;
            carry = first || second;
        }
        Self(out)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(formatter, "{word:016x}"))
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.to_string()
    }
}

/// A text that is no digest of a set.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no digest: 64 hexadecimal digits are")]
pub struct NoSum(String);

impl FromStr for Sum {
    type Err = NoSum;

    fn from_str(text: &str) -> Result<Self, NoSum> {
        let no = || NoSum(text.chars().take(80).collect());
        if text.len() != WORDS * 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(no());
        }
        let mut out = [0; WORDS];
        for (at, word) in out.iter_mut().rev().enumerate() {
            *word = u64::from_str_radix(&text[at * 16..(at + 1) * 16], 16).map_err(|_| no())?;
        }
        Ok(Self(out))
    }
}

impl TryFrom<String> for Sum {
    type Error = NoSum;

    fn try_from(text: String) -> Result<Self, NoSum> {
        text.parse()
    }
}

/// The digest of one object.
pub fn object_digest(object: &Object) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(object.id.as_bytes());
    let mut text = Vec::with_capacity(TEXT_ROOM);
    canonical(&mut text, &object.properties);
    part(&mut hash, &text);
    for (name, vector) in &object.vectors {
        part(&mut hash, name.as_bytes());
        match vector {
            Vector::Single(numbers) => floats(&mut hash, b's', numbers),
            Vector::Multi(lists) => {
                hash.update(b"m");
                hash.update((lists.len() as u64).to_le_bytes());
                for numbers in lists {
                    floats(&mut hash, b's', numbers);
                }
            }
        }
    }
    hash.finalize().into()
}

fn floats(hash: &mut Sha256, kind: u8, numbers: &[f32]) {
    hash.update([kind]);
    hash.update((numbers.len() as u64).to_le_bytes());
    // Into slots that are there already: this becomes a plain copy, where appending asks for room at each number.
    let mut bytes = [[0; size_of::<f32>()]; FLOATS];
    for some in numbers.chunks(FLOATS) {
        for (slot, number) in bytes.iter_mut().zip(some) {
            *slot = number.to_le_bytes();
        }
        hash.update(bytes[..some.len()].as_flattened());
    }
}

/// Length first, so that no two parts run into one another.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// JSON with sorted keys. What is `null` at the top is absent: the server does not tell the two apart.
fn canonical(out: &mut Vec<u8>, members: &Properties) {
    // Where maps keep their keys sorted this finds them so.
    let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
    members.sort_by_key(|(name, _)| name.as_str());
    out.push(b'{');
    for (name, value) in members {
        json(out, name.as_str());
        out.push(b':');
        canonical_value(out, value);
        out.push(b',');
    }
    out.push(b'}');
}

fn canonical_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(members) => canonical(out, members),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                canonical_value(out, item);
                out.push(b',');
            }
            out.push(b']');
        }
        plain => json(out, plain),
    }
}

/// JSON without a text of its own.
fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts, numbers and truths can be written, and memory takes them.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::checkpoint::Digest;

    fn object(id: u128, properties: &Value, vectors: &[(&str, Vector)]) -> Object {
        Object {
            id: Uuid::from_u128(id),
            properties: properties.as_object().unwrap().clone(),
            vectors: vectors.iter().map(|(name, vector)| ((*name).to_owned(), vector.clone())).collect(),
        }
    }

    #[test]
    fn whatever_differs_shows() {
        let one = Vector::Single(vec![1.0, 2.0]);
        let objects = [
            object(1, &json!({}), &[]),
            object(2, &json!({}), &[]),
            object(1, &json!({"a": 1}), &[]),
            object(1, &json!({"a": "1"}), &[]),
            object(1, &json!({"a": []}), &[]),
            object(1, &json!({"a": {"b": 1}}), &[]),
            object(1, &json!({}), &[("", one.clone())]),
            object(1, &json!({}), &[("v", one.clone())]),
            object(1, &json!({}), &[("v", Vector::Multi(vec![vec![1.0, 2.0]]))]),
            object(1, &json!({}), &[("v", Vector::Multi(vec![vec![1.0], vec![2.0]]))]),
            object(1, &json!({}), &[("v", Vector::Single(vec![2.0, 1.0]))]),
            object(1, &json!({}), &[("v", Vector::Single(vec![0.0]))]),
            object(1, &json!({}), &[("v", Vector::Single(vec![-0.0]))]),
        ];
        let digests: std::collections::BTreeSet<_> = objects.iter().map(object_digest).collect();
        assert_eq!(digests.len(), objects.len());
    }

    /// Runs of years ago hold it: computed by another program, in Python, from what the head of this file says.
    #[test]
    fn it_stays_what_it_was() {
        let properties = json!({"n": 1.5, "o": {"b": "c"}, "l": [1, true], "a": "x\"ÿ", "gone": null});
        let object = object(1, &properties, &[("", Vector::Single(vec![1.0, -2.5]))]);
        let wanted: Digest = "8b18a6f1f161cae6d9e7fc414e3c7d9a3c67098f192e2becd7f22f46a3d94834".parse().unwrap();
        assert_eq!(&object_digest(&object), wanted.as_bytes());
    }

    #[test]
    fn null_is_absent_and_the_order_of_keys_does_not_show() {
        let one = object(1, &json!({"a": null, "b": 1, "c": 2}), &[]);
        let other = object(1, &json!({"c": 2, "b": 1}), &[]);
        assert_eq!(object_digest(&one), object_digest(&other));
    }

    #[test]
    fn sums_do_not_depend_on_order_and_carry() {
        let objects: Vec<_> = (0..50).map(|id| object(id, &json!({"n": id.to_string()}), &[])).collect();
        let all = Contents::of(&objects);
        assert_eq!(Contents::of(objects.iter().rev()), all);
        let mut joined = Contents::of(&objects[..20]);
        joined.join(&Contents::of(&objects[20..]));
        assert_eq!(joined, all);
        assert_ne!(Contents::of(&objects[1..]).digest, all.digest);

        let most = Sum([u64::MAX; WORDS]);
        assert_eq!(most.plus(&Sum([1, 0, 0, 0])), Sum::default());
        assert_eq!(Sum([u64::MAX, 0, 0, 0]).plus(&Sum([1, 0, 0, 0])), Sum([0, 1, 0, 0]));
        assert_eq!(all.digest.to_string().parse(), Ok(all.digest));
        "zz".parse::<Sum>().unwrap_err();
    }
}
