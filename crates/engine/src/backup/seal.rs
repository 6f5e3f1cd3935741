//! Files that only a key opens: AES-256-GCM, each file with a nonce of its own, bound to its run and its name.
//!
//! ```text
//! key ─▶ HKDF-SHA256, salt = run ─▶ key of the run ─▶ file = ciphertext, tag (16 bytes), nonce (12 bytes)
//! ```
//!
//! What is sealed under one name opens under no other, so that exchanged files are found even by somebody who can write
//! every hash anew. The hashes in index and manifest are of the sealed bytes: a store can be checked by a list of them
//! without the key. Nobody but the holder of the key can make a file that opens.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::manifest::EncryptionNote;
use crate::checkpoint::Digest;

/// What the manifest says.
pub const ALGORITHM: &str = "AES-256-GCM";

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What a file is longer by than what is sealed in it.
pub const OVERHEAD: usize = 16 + NONCE_LEN;

/// A key of 256 bits. It is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Key([u8; KEY_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.fingerprint())
    }
}

/// A text that is no key. It does not show the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "this is no key: 32 random bytes are, as 64 hexadecimal digits or in base64 (`openssl rand -hex 32` makes one)"
)]
pub struct NoKey;

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let text = text.trim();
        if let Ok(digits) = text.parse::<Digest>() {
            // 64 hexadecimal digits, as those of a hash.
            return Ok(Self(*digits.as_bytes()));
        }
        let bytes = STANDARD.decode(text).map_err(|_| NoKey)?;
        bytes.try_into().map(Self).map_err(|_| NoKey)
    }
}

impl From<[u8; KEY_BYTES]> for Key {
    fn from(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }
}

impl Key {
    /// What tells this key from others, and says nothing of it: 64 bits of a hash.
    pub fn fingerprint(&self) -> String {
        let hash = self.hash(b"fingerprint");
        hash.to_string().chars().take(16).collect()
    }

    /// What the manifest says of it.
    pub fn note(&self) -> EncryptionNote {
        EncryptionNote { algorithm: ALGORITHM.to_owned(), key: self.fingerprint() }
    }

    /// A hash of this text that nobody can compute who lacks the key.
    pub(super) fn mark(&self, text: &str) -> Digest {
        let mut hash = Sha256::new_with_prefix(self.hash(b"mark").as_bytes());
        hash.update(text.as_bytes());
        Digest::finish(hash)
    }

    fn hash(&self, what: &[u8]) -> Digest {
        let mut hash = Sha256::new_with_prefix(b"elysia-backup ");
        hash.update(what);
        hash.update([0]);
        hash.update(self.0);
        Digest::finish(hash)
    }
}

/// Why a file was not sealed or opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// It is not what this key sealed under this name.
    #[error("it is not what was sealed under this name with this key")]
    Forged,
    /// The machine has no random numbers, or the library no memory.
    #[error("failed to encrypt")]
    Failed,
}

/// Seals and opens the files of one run.
pub(super) struct Sealer {
    key: LessSafeKey,
    run: String,
}

/// How long a derived key is.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl Sealer {
    pub(super) fn new(key: &Key, run: &str) -> Result<Self, SealError> {
        let failed = |_| SealError::Failed;
        let secret = Salt::new(HKDF_SHA256, run.as_bytes()).extract(&key.0);
        let mut bytes = [0; KEY_BYTES];
        secret.expand(&[b"elysia-backup files"], KeyLength).and_then(|key| key.fill(&mut bytes)).map_err(failed)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(failed)?;
        Ok(Self { key: LessSafeKey::new(key), run: run.to_owned() })
    }

    /// Neither a run's id nor a key has this byte, so that no two pairs are the same text.
    fn bound_to(&self, name: &str) -> Aad<String> {
        Aad::from(format!("{}\0{name}", self.run))
    }

    pub(super) fn seal(&self, name: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let failed = |_| SealError::Failed;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(failed)?;
        bytes.reserve_exact(OVERHEAD);
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, self.bound_to(name), &mut bytes).map_err(failed)?;
        bytes.extend_from_slice(&nonce);
        Ok(bytes)
    }

    pub(super) fn open(&self, name: &str, bytes: Bytes) -> Result<Bytes, SealError> {
        // Without a copy where nobody else holds them.
        let mut bytes: Vec<u8> = bytes.into();
        let end = bytes.len().checked_sub(NONCE_LEN).ok_or(SealError::Forged)?;
        let nonce = Nonce::try_assume_unique_for_key(&bytes[end..]).map_err(|_| SealError::Forged)?;
        bytes.truncate(end);
        let opened = self.key.open_in_place(nonce, self.bound_to(name), &mut bytes).map_err(|_| SealError::Forged)?;
        let length = opened.len();
        bytes.truncate(length);
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key([byte; KEY_BYTES])
    }

    fn sealed(run: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
        Sealer::new(&key(1), run).unwrap().seal(name, bytes.to_vec()).unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else_is() {
        let open = |key: &Key, run: &str, name: &str, bytes: &[u8]| {
            Sealer::new(key, run).unwrap().open(name, Bytes::copy_from_slice(bytes))
        };
        for text in [Vec::new(), vec![b'a'], vec![7; 100_000]] {
            let text = text.as_slice();
            let file = sealed("run", "data/a", text);
            assert_eq!(file.len(), text.len() + OVERHEAD);
            assert_eq!(open(&key(1), "run", "data/a", &file).unwrap(), text);
            assert_eq!(open(&key(2), "run", "data/a", &file), Err(SealError::Forged), "another key");
            assert_eq!(open(&key(1), "nur", "data/a", &file), Err(SealError::Forged), "another run");
            assert_eq!(open(&key(1), "run", "data/b", &file), Err(SealError::Forged), "another name");
            for at in [0, file.len() / 2, file.len() - 1] {
                let mut changed = file.clone();
                changed[at] ^= 1;
                assert_eq!(open(&key(1), "run", "data/a", &changed), Err(SealError::Forged), "byte {at}");
            }
            for length in [0, 5, NONCE_LEN, OVERHEAD - 1, file.len() - 1] {
                assert_eq!(open(&key(1), "run", "data/a", &file[..length]), Err(SealError::Forged), "{length} bytes");
            }
        }
        assert_ne!(sealed("run", "a", b"x"), sealed("run", "a", b"x"), "each with a nonce of its own");
    }

    #[test]
    fn keys_are_read_and_not_shown() {
        let hex = "01".repeat(KEY_BYTES);
        let base64 = STANDARD.encode([1; KEY_BYTES]);
        assert_eq!(format!(" {hex}\n").parse::<Key>().unwrap(), key(1));
        assert_eq!(base64.parse::<Key>().unwrap(), key(1));
        for text in ["", "01", &hex[1..], &base64[4..], "zz"] {
            let error = text.parse::<Key>().unwrap_err();
            assert!(text.is_empty() || !error.to_string().contains(&format!(" {text} ")), "{error}");
        }
        assert_eq!(key(1).fingerprint().len(), 16);
        assert_ne!(key(1).fingerprint(), key(2).fingerprint());
        let shown = format!("{:?} {:?}", key(1), key(1).note());
        assert!(!shown.contains(&hex) && !shown.contains("1, 1"), "{shown}");
        assert_ne!(key(1).mark("a"), key(2).mark("a"));
        assert_ne!(key(1).mark("a"), Digest::of(b"a"));
    }
}
