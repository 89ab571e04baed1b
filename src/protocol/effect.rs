//! What the executor is told to do.
//!
//! Guarantees: effects are in the order of execution, at most [`EFFECTS_MAX`], and a reply is
//! always the last: nothing is answered before it is true. Refuses to know: how any of it is
//! done.

use arrayvec::ArrayVec;

use super::digest::Verified;
use super::event::{Failure, FailureKind};
use super::rejection::Rejection;

/// Longest sequence: create, write, sync, publish, sync the directory.
pub const EFFECTS_MAX: usize = 5;

/// The effects of one step, in the order of execution. The executor stops at the first that
/// fails, drops the rest and reports [`Event::EffectFailed`](super::Event::EffectFailed);
/// where all were performed and none was a reply, it reports
/// [`Event::EffectsPerformed`](super::Event::EffectsPerformed).
pub type Effects<T, B> = ArrayVec<Effect<T, B>, EFFECTS_MAX>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect<T, B> {
    /// Unlink whatever stands under the partial's name and create a new, empty file, never one
    /// that was there (SR-SEC-002). Runs first in an attempt; what was open before is closed.
    Create,
    /// Write all of `data` at `offset` (SR-OFF-004, SR-ERR-003). Promises: the file then ends
    /// at `offset + data.len()`.
    Write {
        /// Where, in bytes from the file's start.
        offset: u64,
        /// What; never empty.
        data: B,
    },
    /// Make every byte written durable. Runs after the last write; its failure is final
    /// (SR-ERR-002).
    Sync,
    /// Rename the partial to the snapshot's name. Runs only after a successful sync of the same
    /// file (SR-PUB-001); carries what was verified (SR-CRC-004).
    Publish(Verified<T>),
    /// Make the rename durable. Runs after it, before any answer.
    SyncDirectory,
    /// Unlink the partial; that it is not there is no failure.
    Remove,
    /// Queue a progress report; it is delivered outside the step (SR-PRG-003).
    Report(Progress),
    /// Answer the caller. Always the last effect.
    Reply(Reply<T>),
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Bytes are arriving (SR-PRG-001).
    Bootstrapping {
        /// Bytes received in this attempt.
        bytes_done: u64,
        /// Bytes declared.
        bytes_total: u64,
    },
    /// The snapshot is committed: the database can follow its source (SR-PRG-002).
    Following,
}

/// The answer to a chunk, an abort or an expiry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply<T> {
    /// The bytes up to `bytes_done` are in the partial; that is the next expected offset
    /// (SR-OFF-005).
    Pending {
        /// Bytes received in this attempt.
        bytes_done: u64,
    },
    /// The snapshot is complete, verified and durable.
    Committed {
        /// The snapshot's log sequence number.
        snapshot_lsn: u64,
    },
    /// The source is at fault.
    Rejected {
        /// The first rule broken.
        rejection: Rejection<T>,
        /// Where the source can go on: the next expected offset of its own running transfer,
        /// else 0 (SR-ADM-005).
        resume_offset: u64,
        /// The partial could not be removed, and why; the removal stays owed (SR-ERR-005).
        removal_failed: Option<FailureKind>,
    },
    /// Storage, or our own code, is at fault; the attempt has ended (SR-ERR-001).
    Failed {
        /// The first cause.
        failure: Failure,
        /// The partial could not be removed either, and why; the removal stays owed
        /// (SR-ERR-005).
        removal_failed: Option<FailureKind>,
    },
    /// Nothing runs any more, and the partial is gone (SR-ABT-001).
    Aborted,
    /// An expiry found no transfer to end; nothing changed, and an owed removal was not tried.
    NothingRan,
    /// The event came out of turn: another while effects were outstanding, or "performed" when
    /// none were. The executor broke its promise to finish one event before the next; nothing
    /// changed. The shipped executor never does.
    OutOfTurn,
}
