//! Why an envelope is refused, or a finished snapshot not believed.
//!
//! Guarantees: one variant per rule, each with both sides of the mismatch (SR-ADM-005); no
//! text and no operating-system error inside. Refuses to know: who is told, and how.

use super::id::{ClusterId, DatabaseId, InvalidId, Text};

/// The first rule that an envelope breaks, in the order of judgement.
///
/// All but the last two leave everything unchanged (SR-ADM-004); the two verdicts end the
/// attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection<T = Text> {
    /// SR-ADM-001.
    #[error("invalid database id: {0}")]
    InvalidDatabaseId(InvalidId),
    /// SR-ADM-001.
    #[error("invalid cluster id: {0}")]
    InvalidClusterId(InvalidId),
    /// SR-ADM-002: one chunk is longer than `chunk_bytes_max`.
    #[error("chunk of {actual} bytes, more than the limit of {limit}")]
    ChunkTooLarge {
        /// `chunk_bytes_max`.
        limit: u64,
        /// The chunk's length in bytes.
        actual: u64,
    },
    /// SR-ADM-002: a start declares more than `snapshot_bytes_max`.
    #[error("snapshot of {actual} bytes, more than the limit of {limit}")]
    SnapshotTooLarge {
        /// `snapshot_bytes_max`.
        limit: u64,
        /// The declared total in bytes.
        actual: u64,
    },
    /// SR-ADM-003: the chunk reaches past the declared total.
    #[error("chunk ends at {end}, past the declared total of {total_bytes} bytes")]
    LengthOverrun {
        /// The declared total in bytes.
        total_bytes: u64,
        /// Offset plus length; `u64::MAX` where that does not fit.
        end: u64,
    },
    /// SR-IDN-004: a start is older than what it would replace.
    #[error("snapshot LSN {actual} is older than {newest}")]
    StaleSnapshot {
        /// The LSN it is measured against.
        newest: u64,
        /// The LSN sent.
        actual: u64,
    },
    /// SR-CON-005: every place for a running transfer is taken.
    #[error("{transfers_max} transfers are running, no more are allowed")]
    TooManyTransfers {
        /// The limit.
        transfers_max: u64,
    },
    /// SR-IDN-001: a continuation belongs to another snapshot than the transfer.
    #[error("not the running transfer's snapshot: {0}")]
    IdentityMismatch(IdentityMismatch<T>),
    /// SR-OFF-002 (no transfer running: expected 0) and SR-OFF-003.
    #[error("offset {actual}, expected {expected}")]
    OffsetMismatch {
        /// The next expected offset.
        expected: u64,
        /// The offset sent.
        actual: u64,
    },
    /// SR-LEN-001: `done` came too early. Ends the attempt.
    #[error("done after {received_bytes} bytes of {total_bytes}")]
    LengthMismatch {
        /// The declared total in bytes.
        total_bytes: u64,
        /// Bytes received.
        received_bytes: u64,
    },
    /// SR-CRC-002: the bytes are not the ones declared. Ends the attempt.
    #[error("CRC32C of the received bytes is {computed:#010x}, declared {declared:#010x}")]
    CrcMismatch {
        /// The declared CRC32C.
        declared: u32,
        /// The CRC32C of the bytes received.
        computed: u32,
    },
}

impl<T> Rejection<T> {
    /// The reason's name in messages and traces.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::InvalidDatabaseId(_) => "invalid_database_id",
            Self::InvalidClusterId(_) => "invalid_cluster_id",
            Self::ChunkTooLarge { .. } => "chunk_too_large",
            Self::SnapshotTooLarge { .. } => "snapshot_too_large",
            Self::LengthOverrun { .. } => "length_overrun",
            Self::StaleSnapshot { .. } => "stale_snapshot",
            Self::TooManyTransfers { .. } => "too_many_transfers",
            Self::IdentityMismatch(_) => "identity_mismatch",
            Self::OffsetMismatch { .. } => "offset_mismatch",
            Self::LengthMismatch { .. } => "length_mismatch",
            Self::CrcMismatch { .. } => "crc_mismatch",
        }
    }

    /// The numbers expected and found, where the reason has two.
    #[must_use]
    pub fn expected_and_actual(&self) -> Option<(u64, u64)> {
        match *self {
            Self::ChunkTooLarge { limit, actual } | Self::SnapshotTooLarge { limit, actual } => Some((limit, actual)),
            Self::LengthOverrun { total_bytes, end } => Some((total_bytes, end)),
            Self::StaleSnapshot { newest, actual } => Some((newest, actual)),
            Self::OffsetMismatch { expected, actual } => Some((expected, actual)),
            Self::LengthMismatch {
                total_bytes,
                received_bytes,
            } => Some((total_bytes, received_bytes)),
            Self::CrcMismatch { declared, computed } => Some((u64::from(declared), u64::from(computed))),
            Self::InvalidDatabaseId(_)
            | Self::InvalidClusterId(_)
            | Self::TooManyTransfers { .. }
            | Self::IdentityMismatch(_) => None,
        }
    }

    /// Whether it is a verdict on a finished snapshot, which ends the attempt; every other
    /// rejection leaves all as it was (SR-ADM-004).
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        match self {
            Self::LengthMismatch { .. } | Self::CrcMismatch { .. } => true,
            Self::InvalidDatabaseId(_)
            | Self::InvalidClusterId(_)
            | Self::ChunkTooLarge { .. }
            | Self::SnapshotTooLarge { .. }
            | Self::LengthOverrun { .. }
            | Self::StaleSnapshot { .. }
            | Self::TooManyTransfers { .. }
            | Self::IdentityMismatch(_)
            | Self::OffsetMismatch { .. } => false,
        }
    }
}

/// The first field in which a continuation differs from the running transfer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IdentityMismatch<T = Text> {
    /// Another database: the shell routed the chunk to the wrong transfer.
    #[error("database {actual:?}, expected {expected:?}")]
    Database {
        /// The transfer's.
        expected: DatabaseId<T>,
        /// The chunk's.
        actual: DatabaseId<T>,
    },
    /// Another cluster.
    #[error("cluster {actual:?}, expected {expected:?}")]
    Cluster {
        /// The transfer's.
        expected: ClusterId<T>,
        /// The chunk's.
        actual: ClusterId<T>,
    },
    /// Another log sequence number.
    #[error("snapshot LSN {actual}, expected {expected}")]
    SnapshotLsn {
        /// The transfer's.
        expected: u64,
        /// The chunk's.
        actual: u64,
    },
    /// Another total length.
    #[error("total of {actual} bytes, expected {expected}")]
    TotalBytes {
        /// The transfer's.
        expected: u64,
        /// The chunk's.
        actual: u64,
    },
    /// Another declared checksum.
    #[error("declared CRC32C {actual:#010x}, expected {expected:#010x}")]
    TotalCrc32c {
        /// The transfer's.
        expected: u32,
        /// The chunk's.
        actual: u32,
    },
}
