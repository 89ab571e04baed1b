//! Small chunks of a stream, put together into one that is worth a write.
//!
//! Guarantees: the joined chunk stands for exactly the chunks that went into it, each of which the
//! transition function would take right after the one before; what it cannot tell so is left alone,
//! for the function to judge. Refuses to know: whether the first of them is admitted.
//!
//! Small payloads are copied into a buffer that is used again, instead of being gathered by a
//! vectored write: a copy of 4 KiB that was just hashed costs as much as its entry in the vector, the
//! storage keeps one kind of write, and a payload that is a slice of a large network buffer does not
//! keep that alive.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::{Chunk, Identity, Limits, Text};

/// Longest payload that is copied, in bytes: longer ones are worth a write of their own.
const COPIED_BYTES_MAX: usize = 32 << 10;

/// A payload: one as it came, or several copied into one buffer.
#[derive(Debug)]
pub(super) enum Piece<B> {
    Whole(B),
    Joined(Buffer),
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Piece<B> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Whole(data) => data.as_ref(),
            Self::Joined(buffer) => &buffer.bytes,
        }
    }
}

/// A buffer that goes back to be used again when its bytes are written.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        spare(&self.home).push(bytes);
    }
}

fn spare(home: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    // A list of buffers is whole between statements.
    home.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts chunks together.
#[derive(Debug)]
pub(super) struct Joiner {
    joined: Option<Joined>,
    home: Arc<Mutex<Vec<Vec<u8>>>>,
    report_bytes: u64,
    bytes_max: usize,
    /// Bytes since the attempt's last progress report, were every chunk so far admitted. A report is
    /// due with the very chunk that completes its bytes (SR-PRG-001), so no joined one goes past it.
    unreported_bytes: u64,
}

#[derive(Debug)]
struct Joined {
    identity: Identity,
    offset: u64,
    buffer: Buffer,
    is_complete: bool,
    done: bool,
}

impl Joiner {
    /// Joins up to `bytes_max` bytes, of an attempt of which `unreported_bytes` arrived since its last
    /// report.
    pub(super) fn new(limits: &Limits, bytes_max: usize, unreported_bytes: u64) -> Self {
        // What is longer is refused, which must not come of joining.
        let chunk_bytes_max = usize::try_from(limits.chunk_bytes_max).unwrap_or(usize::MAX);
        Self {
            joined: None,
            home: Arc::default(),
            report_bytes: limits.report_bytes.max(1),
            bytes_max: bytes_max.min(chunk_bytes_max),
            unreported_bytes,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.joined.is_none()
    }

    /// The longest that a joined chunk gets, in bytes.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Nothing more is to be joined to it.
    pub(super) fn is_complete(&self) -> bool {
        self.joined.as_ref().is_some_and(|joined| joined.is_complete)
    }

    /// Whether the chunk is short enough to be joined to others.
    pub(super) fn is_short<B: AsRef<[u8]>>(&self, chunk: &Chunk<Text, B>) -> bool {
        chunk.data().as_ref().len() <= COPIED_BYTES_MAX.min(self.bytes_max)
    }

    /// Whether [`join`](Self::join) may take the chunk now.
    pub(super) fn takes<B: AsRef<[u8]>>(&self, chunk: &Chunk<Text, B>) -> bool {
        let length = chunk.data().as_ref().len();
        self.is_short(chunk)
            && self.joined.as_ref().is_none_or(|joined| {
                let held = joined.buffer.bytes.len();
                !joined.is_complete
                    && held + length <= self.bytes_max
                    && joined.offset.checked_add(held as u64) == Some(chunk.offset)
                    && chunk.end().is_some_and(|end| end <= joined.identity.total_bytes)
                    && joined.identity == chunk.identity
            })
    }

    /// Puts the chunk behind the others. Only one that [`takes`](Self::takes) says yes to.
    pub(super) fn join<B: AsRef<[u8]>>(&mut self, chunk: &Chunk<Text, B>) {
        let data = chunk.data().as_ref();
        let is_due = self.count(chunk);
        let joined = self.joined.get_or_insert_with(|| Joined {
            identity: chunk.identity.clone(),
            offset: chunk.offset,
            buffer: Buffer {
                bytes: spare(&self.home)
                    .pop()
                    .unwrap_or_else(|| Vec::with_capacity(self.bytes_max)),
                home: Arc::clone(&self.home),
            },
            is_complete: false,
            done: false,
        });
        joined.buffer.bytes.extend_from_slice(data);
        joined.done = chunk.done;
        joined.is_complete = chunk.done || is_due;
    }

    /// Notes a chunk's bytes, also of one that is not joined; whether a report is due with it.
    pub(super) fn count<B: AsRef<[u8]>>(&mut self, chunk: &Chunk<Text, B>) -> bool {
        if chunk.offset == 0 {
            self.unreported_bytes = 0;
        }
        self.unreported_bytes = self.unreported_bytes.saturating_add(chunk.length());
        let is_due = self.unreported_bytes >= self.report_bytes;
        if is_due {
            self.unreported_bytes = 0;
        }
        is_due
    }

    /// What was joined, as one chunk.
    pub(super) fn take<B: AsRef<[u8]>>(&mut self) -> Option<Chunk<Text, Piece<B>>> {
        let joined = self.joined.take()?;
        let piece = Piece::Joined(joined.buffer);
        Some(Chunk::new(joined.identity, joined.offset, piece, joined.done))
    }
}
