//! Files as they are stored, read as the text that is in them: plain, gzip or zstd, told apart by their first bytes.
//!
//! A name may lie and a `ConfigMap` has none that ends in `.gz`, so names are not asked. No line of a feed can begin with
//! any of these marks: a line is a JSON object.
//!
//! Memory is bounded whatever the archive says: gzip has a window of 32 KiB, and a zstd frame that asks for more than
//! [`ZSTD_WINDOW_LOG`] is refused before it gets it. How much comes out is no concern: it is read as a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _, BufReader, ReadBuf};

use crate::checkpoint::Digest;

/// The largest window of a zstd frame, as a power of two: 8 MiB, what RFC 8878 asks every decoder for, and what `zstd`
/// up to `-19` needs. `--ultra` and `--long` go beyond it, and a worker has 128 MiB for everything.
pub const ZSTD_WINDOW_LOG: u32 = 23;

/// How much of a file is read at once: fewer calls to the kernel, little to hold.
const READ_BYTES: usize = 256 << 10;

/// How many bytes tell a kind apart.
const MARK_BYTES: usize = 6;

/// How a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Compression {
    /// By the first bytes of a file, of which there may be fewer than six; `Err` = an archive of a kind that is not read.
    fn of(mark: &[u8]) -> Result<Self, &'static str> {
        match mark {
            [0x1F, 0x8B, ..] => Ok(Self::Gzip),
            // A frame, or one to skip: pzstd begins a file with such a one.
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Ok(Self::Zstd),
            [0xFD, b'7', b'z', b'X', b'Z', 0] => Err("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A'] => Err("bzip2"),
            [b'P', b'K', 3, 4, ..] => Err("zip"),
            [0x04, 0x22, 0x4D, 0x18, ..] => Err("lz4"),
            _ => Ok(Self::Plain),
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read at this moment.
    #[error("failed to read: {0}")]
    Failed(#[source] io::Error),
    /// What is stored is no archive of its kind from here on.
    #[error("the {kind} archive {problem} at byte {at} of the file: {advice}")]
    Damaged {
        /// Which kind.
        kind: &'static str,
        /// What is wrong with it.
        problem: String,
        /// Up to which byte of the file, as it is stored, it was read.
        at: u64,
        /// What to do.
        advice: &'static str,
    },
    /// What is stored ends in the midst of the archive: it was cut, or it is still being copied.
    #[error("the {kind} archive ends in its midst at byte {at} of the file: copy it again as a whole")]
    Cut {
        /// Which kind.
        kind: &'static str,
        /// Up to which byte of the file, as it is stored, it was read.
        at: u64,
    },
    /// An archive of a kind that is not read.
    #[error("the file is a {0} archive, which is not read: store it plain, or compress it with gzip or zstd")]
    Unsupported(&'static str),
}

/// The bytes of a file as they are stored: counted, and hashed where that is wanted.
#[derive(Debug)]
struct Stored<R> {
    head: [u8; MARK_BYTES],
    /// Where in the head reading stands and ends.
    given: usize,
    known: usize,
    inner: R,
    bytes: u64,
    hasher: Option<Sha256>,
    failed: bool,
}

impl<R: AsyncRead + Unpin> AsyncRead for Stored<R> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if self.given < self.known {
            let count = into.remaining().min(self.known - self.given);
            into.put_slice(&self.head[self.given..self.given + count]);
            self.given += count;
        } else if let Err(error) = ready!(Pin::new(&mut self.inner).poll_read(context, into)) {
            self.failed = true;
            return Poll::Ready(Err(error));
        }
        let fresh = &into.filled()[before..];
        self.bytes += fresh.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(fresh);
        }
        Poll::Ready(Ok(()))
    }
}

/// What is in a file, whichever way it is stored.
#[derive(Debug)]
pub struct Decoded<R>(Kind<R>);

#[derive(Debug)]
enum Kind<R> {
    Plain(BufReader<Stored<R>>),
    Gzip(BufReader<GzipDecoder<BufReader<Stored<R>>>>),
    Zstd(BufReader<ZstdDecoder<BufReader<Stored<R>>>>),
}

impl<R: AsyncRead + Unpin> Decoded<R> {
    /// Looks at the first bytes. With `hash_stored`, [`Decoded::stored_digest`] has an answer.
    pub async fn open(mut reader: R, hash_stored: bool) -> Result<Self, ReadError> {
        let mut head = [0; MARK_BYTES];
        let mut known = 0;
        while known < MARK_BYTES {
            match reader.read(&mut head[known..]).await.map_err(ReadError::Failed)? {
                0 => break,
                count => known += count,
            }
        }
        let hasher = hash_stored.then(Sha256::new);
        let stored = Stored { head, given: 0, known, inner: reader, bytes: 0, hasher, failed: false };
        let stored = BufReader::with_capacity(READ_BYTES, stored);
        Ok(Self(match Compression::of(&head[..known]).map_err(ReadError::Unsupported)? {
            Compression::Plain => Kind::Plain(stored),
            Compression::Gzip => {
                let mut decoder = GzipDecoder::new(stored);
                decoder.multiple_members(true);
                Kind::Gzip(BufReader::with_capacity(READ_BYTES, decoder))
            }
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_params(stored, &[DParameter::window_log_max(ZSTD_WINDOW_LOG)]);
                decoder.multiple_members(true);
                Kind::Zstd(BufReader::with_capacity(READ_BYTES, decoder))
            }
        }))
    }

    /// A file that is known to be plain, read from somewhere in its midst: its next bytes tell nothing.
    pub fn plain(reader: R) -> Self {
        let head = [0; MARK_BYTES];
        let stored = Stored { head, given: 0, known: 0, inner: reader, bytes: 0, hasher: None, failed: false };
        Self(Kind::Plain(BufReader::with_capacity(READ_BYTES, stored)))
    }

    /// How the file is stored.
    pub fn compression(&self) -> Compression {
        match &self.0 {
            Kind::Plain(_) => Compression::Plain,
            Kind::Gzip(_) => Compression::Gzip,
            Kind::Zstd(_) => Compression::Zstd,
        }
    }

    /// The digest of what was read so far of the stored bytes; `None` when it was not asked for.
    pub fn stored_digest(&self) -> Option<Digest> {
        self.stored().get_ref().hasher.clone().map(Digest::finish)
    }

    /// What an error of reading means.
    pub fn explain(&self, error: io::Error) -> ReadError {
        let stored = self.stored();
        if stored.get_ref().failed || self.compression() == Compression::Plain {
            return ReadError::Failed(error);
        }
        let at = stored.get_ref().bytes - stored.buffer().len() as u64;
        let kind = self.compression().as_str();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return ReadError::Cut { kind, at };
        }
        let (problem, advice) = explain(&error);
        ReadError::Damaged { kind, problem, at, advice }
    }

    fn stored(&self) -> &BufReader<Stored<R>> {
        match &self.0 {
            Kind::Plain(reader) => reader,
            Kind::Gzip(reader) => reader.get_ref().get_ref(),
            Kind::Zstd(reader) => reader.get_ref().get_ref(),
        }
    }
}

/// What is wrong, from the words of the decoder, and what to do about it.
fn explain(error: &io::Error) -> (String, &'static str) {
    /// In libzstd's words (`ZSTD_error_frameParameter_windowTooLarge`).
    const WINDOW: &str = "requires too much memory";
    let words = error.to_string();
    if words.contains(WINDOW) {
        let window = (1_u64 << ZSTD_WINDOW_LOG) >> 20;
        return (format!("needs a window of more than {window} MiB"), "compress it without --ultra and --long");
    }
    (format!("is damaged ({words})"), "make it again, and put nothing else into the file")
}

impl<R: AsyncRead + Unpin> AsyncRead for Decoded<R> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(reader) => Pin::new(reader).poll_read(context, into),
            Kind::Gzip(reader) => Pin::new(reader).poll_read(context, into),
            Kind::Zstd(reader) => Pin::new(reader).poll_read(context, into),
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for Decoded<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        match &mut self.get_mut().0 {
            Kind::Plain(reader) => Pin::new(reader).poll_fill_buf(context),
            Kind::Gzip(reader) => Pin::new(reader).poll_fill_buf(context),
            Kind::Zstd(reader) => Pin::new(reader).poll_fill_buf(context),
        }
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        match &mut self.0 {
            Kind::Plain(reader) => Pin::new(reader).consume(amount),
            Kind::Gzip(reader) => Pin::new(reader).consume(amount),
            Kind::Zstd(reader) => Pin::new(reader).consume(amount),
        }
    }
}

#[cfg(test)]
mod tests;
