//! The bounds of the protocol.
//!
//! Guarantees: each bound is a number with a default and a reason. Refuses to know: how many
//! transfers run (the shell counts those and says so in the event).

/// Default of [`Limits::chunk_bytes_max`]: 16 MiB, so that 64 transfers with a chunk each in
/// hand stay near 1 GiB.
pub const CHUNK_BYTES_MAX: u64 = 16 << 20;

/// Default of [`Limits::snapshot_bytes_max`]: 16 TiB, the largest file of ext4 with 4 KiB
/// blocks.
pub const SNAPSHOT_BYTES_MAX: u64 = 16 << 40;

/// Default of [`Limits::report_bytes`]: 1 MiB (SR-PRG-001).
pub const PROGRESS_REPORT_CHUNK_BYTES: u64 = 1 << 20;

/// What [`step`](super::step) accepts and how often it reports. The same for every transfer of
/// a receiver, so no part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Longest payload of one chunk, in bytes (SR-ADM-002).
    pub chunk_bytes_max: u64,
    /// Longest snapshot a start may declare, in bytes (SR-ADM-002).
    pub snapshot_bytes_max: u64,
    /// Bytes that arrive between two reports, at least; 0 reports each chunk that carries bytes
    /// (SR-PRG-001).
    pub report_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chunk_bytes_max: CHUNK_BYTES_MAX,
            snapshot_bytes_max: SNAPSHOT_BYTES_MAX,
            report_bytes: PROGRESS_REPORT_CHUNK_BYTES,
        }
    }
}
