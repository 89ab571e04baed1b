//! What a source sends.
//!
//! Guarantees: a [`Chunk`] has valid ids; one identity means one snapshot of one database.
//! Refuses to know: how an envelope travels or is encoded, and who holds its payload.

use super::id::{ClusterId, DatabaseId, Text};
use super::rejection::Rejection;

/// One chunk as it came, its ids not yet checked.
///
/// `B` is the payload (`Bytes`, `Vec<u8>`, an array of a model): it is moved, never copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope<B> {
    /// The cluster that sends. Valid: 1 to 200 bytes of UTF-8.
    pub source_cluster_id: Text,
    /// The database this is a snapshot of. Valid: see [`DatabaseId`].
    pub source_database_id: Text,
    /// The log sequence number that the snapshot is consistent at; a larger one is newer.
    pub snapshot_lsn: u64,
    /// Bytes of the whole snapshot.
    pub total_bytes: u64,
    /// CRC32C (Castagnoli) of the whole snapshot.
    pub total_crc32c: u32,
    /// Where `data` belongs, in bytes from the snapshot's start. 0 starts a new attempt.
    pub offset: u64,
    /// The bytes; may be empty. Looked at more than once: they must not change meanwhile.
    pub data: B,
    /// Whether this chunk ends the snapshot.
    pub done: bool,
}

impl<B> Envelope<B> {
    /// Checks both ids, the database's first (order of judgement, SR-ADM-001).
    ///
    /// # Errors
    /// [`Rejection::InvalidDatabaseId`] or [`Rejection::InvalidClusterId`].
    pub fn into_chunk(self) -> Result<Chunk<Text, B>, Rejection> {
        let database = DatabaseId::new(self.source_database_id).map_err(Rejection::InvalidDatabaseId)?;
        let cluster = ClusterId::new(self.source_cluster_id).map_err(Rejection::InvalidClusterId)?;
        let identity = Identity {
            cluster,
            database,
            snapshot_lsn: self.snapshot_lsn,
            total_bytes: self.total_bytes,
            total_crc32c: self.total_crc32c,
        };
        Ok(Chunk::new(identity, self.offset, self.data, self.done))
    }
}

/// What every chunk of one snapshot has in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity<T = Text> {
    /// The cluster that sends.
    pub cluster: ClusterId<T>,
    /// The database it is a snapshot of.
    pub database: DatabaseId<T>,
    /// The log sequence number of the snapshot.
    pub snapshot_lsn: u64,
    /// Bytes of the whole snapshot.
    pub total_bytes: u64,
    /// The declared CRC32C of the whole snapshot.
    pub total_crc32c: u32,
}

/// One chunk whose ids are valid: what the transition function is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chunk<T, B> {
    /// Which snapshot this is a part of.
    pub identity: Identity<T>,
    /// Where `data` belongs, in bytes from the snapshot's start.
    pub offset: u64,
    /// Whether this chunk ends the snapshot.
    pub done: bool,
    /// The bytes; may be empty. Not to be exchanged once they are hashed.
    data: B,
    /// Their own CRC32C, where it was computed before the step.
    payload_crc32c: Option<u32>,
}

impl<T, B> Chunk<T, B> {
    /// A chunk whose payload [`step`](super::step) looks at itself.
    #[must_use]
    pub const fn new(identity: Identity<T>, offset: u64, data: B, done: bool) -> Self {
        Self {
            identity,
            offset,
            done,
            data,
            payload_crc32c: None,
        }
    }

    /// The bytes.
    #[must_use]
    pub const fn data(&self) -> &B {
        &self.data
    }

    /// The bytes, to be changed: a checksum computed ahead is forgotten.
    pub const fn data_mut(&mut self) -> &mut B {
        self.payload_crc32c = None;
        &mut self.data
    }

    /// With the checksum of its payload as it was computed elsewhere in this crate.
    #[cfg(feature = "tokio")]
    pub(crate) fn with_payload_crc32c(self, crc32c: u32) -> Self {
        let payload_crc32c = Some(crc32c);
        Self { payload_crc32c, ..self }
    }

    /// With its payload wrapped into another type that shows the same bytes.
    #[cfg(feature = "tokio")]
    pub(crate) fn map_data<C>(self, wrap: impl FnOnce(B) -> C) -> Chunk<T, C> {
        Chunk {
            identity: self.identity,
            offset: self.offset,
            done: self.done,
            data: wrap(self.data),
            payload_crc32c: self.payload_crc32c,
        }
    }

    /// The bytes, taken out.
    #[must_use]
    pub fn into_data(self) -> B {
        self.data
    }

    /// The payload's CRC32C, if it was computed ahead.
    #[must_use]
    pub const fn payload_crc32c(&self) -> Option<u32> {
        self.payload_crc32c
    }
}

impl<T, B: AsRef<[u8]>> Chunk<T, B> {
    /// Computes the payload's checksum ahead, on whatever thread has time: the step then combines it
    /// with that of the bytes before, and need not look at the payload.
    #[must_use]
    pub fn hashed(self) -> Self {
        let payload_crc32c = Some(crc32c::crc32c(self.data.as_ref()));
        Self { payload_crc32c, ..self }
    }

    /// Length of the payload in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        // A slice is at most isize::MAX bytes, which every u64 holds.
        self.data.as_ref().len() as u64
    }

    /// The first offset after the payload; `None` past `u64`.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length())
    }
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;
    use crate::protocol::{ClusterId, DatabaseId};

    /// Mutant: a checksum computed piece by piece is forgotten.
    #[test]
    fn a_checksum_computed_piece_by_piece_goes_with_the_bytes() {
        let identity = Identity {
            cluster: ClusterId::<u8>::numbered(1),
            database: DatabaseId::<u8>::numbered(0),
            snapshot_lsn: 1,
            total_bytes: 3,
            total_crc32c: 0,
        };
        let chunk = Chunk::new(identity, 0, b"abc", true).with_payload_crc32c(7);
        assert_eq!(chunk.map_data(|bytes| *bytes).payload_crc32c(), Some(7));
    }
}
