//! The harness: random actions against the shipped receiver, each answer and each file held
//! against an oracle.
//!
//! Guarantees: one body for every engine that draws bytes, and for every storage. Refuses to
//! know: where the bytes come from.

pub mod action;
pub mod lying;
pub mod memory;
pub mod oracle;
pub mod power;
mod run;
pub mod sequential;
pub mod subject;

pub use action::{Action, Word};
pub use run::{Bed, Failure, FileBed, MemoryBed, Observer, Rigged, Seen, run, run_protocol, run_receiver, run_subject};

use std::sync::Arc;

use snapshot_receiver::protocol::{Envelope, Limits};

/// Longest chunk of a harness's receiver, in bytes.
pub const CHUNK_BYTES_MAX: usize = 8;
/// Longest snapshot of a harness's receiver, in bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 40;
/// Bytes between two reports of a harness's receiver.
pub const REPORT_BYTES: u64 = 4;
/// Places for running transfers of a harness's receiver.
pub const TRANSFERS_MAX: usize = 2;

/// What long enough random actions see in all: every kind of answer, every reason, every operation that
/// can fail. A generator gone stale sees less.
pub const ANSWERS: [&str; 21] = [
    "aborted",
    "chunk_too_large",
    "committed",
    "crc_mismatch",
    "failed",
    "failed create",
    "failed publish",
    "failed remove",
    "failed sync",
    "failed sync_directory",
    "failed write",
    "identity_mismatch",
    "invalid_cluster_id",
    "invalid_database_id",
    "length_mismatch",
    "length_overrun",
    "offset_mismatch",
    "pending",
    "snapshot_too_large",
    "stale_snapshot",
    "too_many_transfers",
];

/// The limits of a harness's receiver: small enough that each is met.
pub const LIMITS: Limits = Limits {
    chunk_bytes_max: CHUNK_BYTES_MAX as u64,
    snapshot_bytes_max: SNAPSHOT_BYTES_MAX,
    report_bytes: REPORT_BYTES,
};

/// An envelope, as plain values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    /// Source cluster id.
    pub cluster: String,
    /// Source database id.
    pub database: String,
    /// Snapshot LSN.
    pub lsn: u64,
    /// Total bytes.
    pub total: u64,
    /// Total CRC32C.
    pub crc: u32,
    /// Offset.
    pub offset: u64,
    /// Payload.
    pub data: Vec<u8>,
    /// Whether it ends the snapshot.
    pub done: bool,
}

impl Sent {
    /// The envelope.
    #[must_use]
    pub fn envelope(&self) -> Envelope<Vec<u8>> {
        Envelope {
            source_cluster_id: Arc::from(self.cluster.as_str()),
            source_database_id: Arc::from(self.database.as_str()),
            snapshot_lsn: self.lsn,
            total_bytes: self.total,
            total_crc32c: self.crc,
            offset: self.offset,
            data: self.data.clone(),
            done: self.done,
        }
    }

    fn same_snapshot(&self, other: &Self) -> bool {
        let key = |sent: &Self| (sent.cluster.clone(), sent.lsn, sent.total, sent.crc);
        key(self) == key(other)
    }

    fn repeated_by(&self, other: &Self) -> bool {
        let key = |sent: &Self| (sent.offset, sent.data.len(), sent.done);
        self.same_snapshot(other) && key(self) == key(other)
    }
}

/// An answer, as plain values; reasons by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Bytes done.
    Pending(u64),
    /// LSN.
    Committed(u64),
    /// Not admitted, or a verdict.
    Rejected {
        /// The reason's name.
        reason: &'static str,
        /// Expected and actual, where the reason has them.
        values: Option<(u64, u64)>,
        /// Where the source can go on.
        resume: u64,
    },
    /// A storage operation failed.
    Failed,
}

impl Answer {
    /// What kind of answer it is; a rejection's reason.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Committed(_) => "committed",
            Self::Rejected { reason, .. } => reason,
            Self::Failed => "failed",
        }
    }

    fn rejected(reason: &'static str, values: Option<(u64, u64)>, resume: u64) -> Self {
        Self::Rejected { reason, values, resume }
    }
}
