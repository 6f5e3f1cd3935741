//! How far a feed is indexed, and the proof that what was indexed is still what lies there.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

/// The sha256 of some bytes; printed and stored as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of everything a hasher was fed.
    pub fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

/// A digest of bytes that come piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hashing(Sha256);

impl Hashing {
    /// With some more bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> Digest {
        Digest::finish(self.0)
    }
}

impl Default for Digest {
    /// The digest of no bytes at all.
    fn default() -> Self {
        Self::of(&[])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A text that is no sha256.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no sha256: 64 hexadecimal digits are")]
pub struct NoDigest(String);

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let refuse = || NoDigest(text.to_owned());
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<Self, NoDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Where in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The file's name in the source.
    pub file: String,
    /// Bytes of it that are indexed.
    pub offset: u64,
    /// Lines of it that are indexed, blank ones too.
    pub line: u64,
    /// The sha256 of those bytes: reading goes on only where it still fits.
    pub sha256: Digest,
    /// The file's version when they were read, where the source knows versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// That hash before its end, of a file that is not compressed and has a version: while the version is the same,
    /// those bytes need not be read again to hash on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub midstate: Option<Midstate>,
}

/// A hash that is not finished, to be fed on later.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Midstate(SerializedState<Sha256>);

impl Midstate {
    /// The state of this hash.
    pub fn of(hasher: &Sha256) -> Self {
        Self(hasher.serialize())
    }

    /// The hash at that state; `None` when it is no state of this hash.
    pub fn hasher(&self) -> Option<Sha256> {
        Sha256::deserialize(&self.0).ok()
    }
}

impl fmt::Debug for Midstate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Midstate")
    }
}

impl From<Midstate> for String {
    fn from(midstate: Midstate) -> Self {
        BASE64.encode(midstate.0)
    }
}

/// A text that is no state of a hash.
#[derive(Debug, thiserror::Error)]
#[error("this is no state of a sha256")]
pub struct NoMidstate;

impl TryFrom<String> for Midstate {
    type Error = NoMidstate;

    fn try_from(text: String) -> Result<Self, NoMidstate> {
        let bytes = BASE64.decode(text).map_err(|_| NoMidstate)?;
        SerializedState::<Sha256>::try_from(bytes.as_slice()).map(Self).map_err(|_| NoMidstate)
    }
}

/// How far a feed is indexed: whole files, then a part of one, in the order of the source.
///
/// Finished files are kept as a number and a chain over their names, so a checkpoint is small however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Files that are indexed to their end.
    pub files: u64,
    /// The chain over their names: a file that appeared among them, or went, does not go unnoticed.
    pub names: Digest,
    /// The part of the next file that is indexed. Absent at a file's beginning.
    pub current: Option<Position>,
}

/// The chain over names, one link longer; the version of the file is a part of its link, where it has one.
pub fn chain_name(names: Digest, name: &str, version: Option<&str>) -> Digest {
    let mut hasher = Sha256::new_with_prefix(names.0);
    hasher.update(name.as_bytes());
    if let Some(version) = version {
        hasher.update(b"\0");
        hasher.update(version.as_bytes());
    }
    Digest::finish(hasher)
}

/// Progress that begins elsewhere than where the checkpoint stands.
#[derive(Debug, thiserror::Error)]
#[error("progress from {from:?} does not join the checkpoint at {reached:?}")]
pub struct Misjoined {
    /// Where the checkpoint stands.
    pub reached: Box<Checkpoint>,
    /// Where the progress begins.
    pub from: Box<Checkpoint>,
}

impl Checkpoint {
    /// Moves on from `from` to `to`, or refuses and stays where it is.
    ///
    /// | reached | progress |                                              |
    /// |---------|----------|----------------------------------------------|
    /// | `a`     | `a → b`  | moves to `b`                                 |
    /// | `a`     | `<a → b` | refused: those lines would be counted twice  |
    /// | `a`     | `>a → b` | refused: the gap would be lost for ever      |
    pub fn advance(&mut self, from: &Self, to: Self) -> Result<(), Misjoined> {
        if self != from {
            return Err(Misjoined { reached: Box::new(self.clone()), from: Box::new(from.clone()) });
        }
        *self = to;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Checkpoint {
        let position = Position { file: "a".to_owned(), offset, line: 1, ..Position::default() };
        Checkpoint { current: Some(position), ..Checkpoint::default() }
    }

    #[test]
    fn progress_joins_or_is_refused() {
        let mut checkpoint = at(5);
        checkpoint.advance(&at(4), at(9)).unwrap_err();
        checkpoint.advance(&at(6), at(9)).unwrap_err();
        assert_eq!(checkpoint, at(5), "a refusal leaves it where it was");
        checkpoint.advance(&at(5), at(9)).unwrap();
        assert_eq!(checkpoint, at(9));
    }

    #[test]
    fn a_digest_is_text_and_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        "ba78".parse::<Digest>().unwrap_err();
        "é".repeat(32).parse::<Digest>().unwrap_err();
    }

    #[test]
    fn the_chain_tells_names_and_their_order_apart() {
        let chain = |names: &[&str]| names.iter().fold(Digest::default(), |chain, name| chain_name(chain, name, None));
        assert_ne!(chain(&["a", "b"]), chain(&["b", "a"]));
        assert_ne!(chain(&["a", "b"]), chain(&["ab"]));
        assert_ne!(chain(&["a"]), chain(&["a", "b"]));
        let version = |version| chain_name(Digest::default(), "a", version);
        assert_ne!(version(Some("1")), version(Some("2")));
        assert_ne!(version(Some("1")), version(None));
    }

    #[test]
    fn a_hash_goes_on_from_its_text() {
        let midstate = Midstate::of(&Sha256::new_with_prefix("first, "));
        let text = serde_json::to_string(&midstate).unwrap();
        let mut hasher = serde_json::from_str::<Midstate>(&text).unwrap().hasher().unwrap();
        hasher.update("second");
        assert_eq!(Digest::finish(hasher), Digest::of(b"first, second"));
        serde_json::from_str::<Midstate>("\"aGFsZg\"").unwrap_err();
    }
}
