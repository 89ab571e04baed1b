//! The state of one database's transfer, one struct per phase.
//!
//! Guarantees: what a phase does not have, it cannot name; `Hash`, `Eq` and `Clone` are
//! derived, so what a checker compares is what the code reads. Refuses to know: payloads,
//! paths, open files, clocks.

use super::digest::{Crc32c, Digest};
use super::effect::{Effects, Reply};
use super::envelope::Identity;
use super::event::{Failure, FailureKind};
use super::id::{ClusterId, Symbol, Text};
use super::limits::Limits;
use super::rejection::Rejection;

/// One database's transfer, named for what it awaits.
///
/// *At rest* it is in one of the first two phases; the last two exist only while one event's
/// effects are performed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State<T = Text, D = Crc32c> {
    /// No transfer runs.
    AwaitingStart(AwaitingStart<T>),
    /// A transfer runs; its partial holds the bytes received.
    AwaitingChunk(AwaitingChunk<T, D>),
    /// Every byte is checked; the snapshot is on its way to its name.
    AwaitingPublication(AwaitingPublication<T>),
    /// The attempt has ended; its partial is on its way out.
    AwaitingRemoval(AwaitingRemoval<T>),
}

/// What [`step`](super::step) returns: the next state and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "the effects have to be performed, and the state kept"]
pub struct Step<T, B, D> {
    /// The next state.
    pub state: State<T, D>,
    /// What to do, in this order; never empty.
    pub effects: Effects<T, B>,
}

/// See [`State::AwaitingStart`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitingStart<T> {
    /// The latest commit since the receiver was opened (SR-IDN-004).
    pub latest: Option<Commit<T>>,
    /// What the last attempt left to remember.
    pub memory: Memory<T>,
}

/// See [`State::AwaitingChunk`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitingChunk<T, D> {
    /// The latest commit since the receiver was opened.
    pub latest: Option<Commit<T>>,
    /// The snapshot that the running transfer receives.
    pub identity: Identity<T>,
    /// Bytes received; also the next expected offset.
    pub received_bytes: u64,
    /// `received_bytes` at the attempt's last progress report.
    pub reported_bytes: u64,
    /// The checksum of the bytes received.
    pub digest: D,
}

/// See [`State::AwaitingPublication`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitingPublication<T> {
    /// The latest commit before this one.
    pub latest: Option<Commit<T>>,
    /// The chunk that ended the snapshot.
    pub final_chunk: FinalChunk<T>,
}

/// See [`State::AwaitingRemoval`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitingRemoval<T> {
    /// The latest commit since the receiver was opened.
    pub latest: Option<Commit<T>>,
    /// Why the attempt ended: the answer, once the partial is dealt with.
    pub ending: Ending<T>,
    /// Whose file may stand under the partial's name.
    pub standing: Standing,
}

/// Whose file may stand under the partial's name when it is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// One of ours: if it cannot be removed, that stays owed (SR-ERR-005).
    Ours,
    /// Nothing of ours: the attempt was over before its file was made. Whatever else stands there
    /// goes all the same (SR-SEC-002), but is not owed.
    NotOurs,
}

/// What a later start is measured against (SR-IDN-004).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit<T> {
    /// The cluster it came from; LSNs of different clusters do not compare.
    pub cluster: ClusterId<T>,
    /// Its log sequence number.
    pub snapshot_lsn: u64,
}

/// What an ended attempt leaves behind. The three exclude each other: a removal can only be
/// owed after a start, and a start ends the repeated answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Memory<T> {
    /// Nothing.
    Nothing,
    /// It was committed by this chunk, which is answered again if it comes again (SR-IDN-003).
    CommittedBy(FinalChunk<T>),
    /// Its partial could not be removed; the next start or abort tries again (SR-ERR-005).
    RemovalOwed,
}

/// A chunk that ended a snapshot: what makes a repeated one recognisable (SR-IDN-003).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FinalChunk<T> {
    /// The snapshot.
    pub identity: Identity<T>,
    /// The chunk's offset in bytes.
    pub offset: u64,
    /// The chunk's length in bytes.
    pub length: u64,
}

/// Why an attempt ended without a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending<T> {
    /// An abort, or an expiry.
    Aborted,
    /// A verdict on length or checksum.
    Rejected(Rejection<T>),
    /// A failing effect.
    Failed(Failure),
}

impl<T> Ending<T> {
    /// The answer, where the partial was removed (`None`) or could not be (`Some`). The first
    /// cause stays the answer; an abort has none but the removal's failure (SR-ERR-005).
    pub(super) fn into_reply(self, removal: Option<Failure>) -> Reply<T> {
        let removal_failed = removal.map(|failure| failure.kind);
        match (self, removal) {
            (Self::Aborted, None) => Reply::Aborted,
            (Self::Aborted, Some(failure)) => Reply::Failed {
                failure,
                removal_failed,
            },
            (Self::Rejected(rejection), _) => Reply::Rejected {
                rejection,
                resume_offset: 0,
                removal_failed,
            },
            (Self::Failed(failure), _) => Reply::Failed {
                failure,
                removal_failed,
            },
        }
    }
}

impl Failure {
    /// Whether the failure itself shows that no partial of ours stands under the name: there
    /// is nothing to remove, and nothing is owed.
    pub(super) fn leaves_no_partial(self) -> bool {
        use super::event::Operation::{Create, Panic, Publish, Remove, Sync, SyncDirectory, Write};
        match self.operation {
            Create => self.kind == FailureKind::DirectoryInTheWay,
            Write | Sync | Publish | SyncDirectory | Remove | Panic => false,
        }
    }
}

impl<T, D> Default for State<T, D> {
    /// No transfer, no commit, nothing owed: a database never seen.
    fn default() -> Self {
        Self::AwaitingStart(AwaitingStart {
            latest: None,
            memory: Memory::Nothing,
        })
    }
}

impl<T, D> State<T, D> {
    /// A database whose orphan partial could not be removed at the opening: the removal is owed
    /// (SR-ERR-005, SR-REC-003).
    #[must_use]
    pub fn with_removal_owed() -> Self {
        Self::AwaitingStart(AwaitingStart {
            latest: None,
            memory: Memory::RemovalOwed,
        })
    }

    /// The latest commit since the receiver was opened.
    #[must_use]
    pub fn latest(&self) -> Option<&Commit<T>> {
        match self {
            Self::AwaitingStart(phase) => phase.latest.as_ref(),
            Self::AwaitingChunk(phase) => phase.latest.as_ref(),
            Self::AwaitingPublication(phase) => phase.latest.as_ref(),
            Self::AwaitingRemoval(phase) => phase.latest.as_ref(),
        }
    }

    /// Whether a transfer runs: it holds one of the receiver's places (SR-CON-005). One whose
    /// partial is on its way out has ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match self {
            Self::AwaitingChunk(_) | Self::AwaitingPublication(_) => true,
            Self::AwaitingStart(_) | Self::AwaitingRemoval(_) => false,
        }
    }
}

/// An invariant of the state that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BrokenInvariant {
    /// SR-ADM-002.
    #[error("a transfer of {total_bytes} bytes was admitted, the limit is {limit}")]
    TotalAboveLimit {
        /// Declared.
        total_bytes: u64,
        /// `snapshot_bytes_max`.
        limit: u64,
    },
    /// SR-ADM-003.
    #[error("{received_bytes} bytes received of {total_bytes}")]
    ReceivedAboveTotal {
        /// Received.
        received_bytes: u64,
        /// Declared.
        total_bytes: u64,
    },
    /// SR-PRG-001: a report of the future, or one that is overdue.
    #[error("{reported_bytes} bytes reported of {received_bytes}")]
    ReportOutOfStep {
        /// At the last report.
        reported_bytes: u64,
        /// Received.
        received_bytes: u64,
    },
    /// SR-CRC-001: bytes are in the checksum that were never received.
    #[error("the checksum of no bytes is {value:#010x}")]
    DigestOfNothing {
        /// The checksum.
        value: u32,
    },
    /// SR-LEN-001, SR-IDN-003: a commit by a chunk that does not end at the total, or that
    /// starts at 0 and so could never be told from a start.
    #[error("the final chunk ends at {end}, the total is {total_bytes}")]
    FinalChunkNotAtEnd {
        /// Where the chunk ends.
        end: u64,
        /// Declared.
        total_bytes: u64,
    },
    /// SR-IDN-003 and SR-IDN-004 remember different commits.
    #[error("the final chunk is not of the latest commit")]
    FinalChunkNotOfLatest,
}

/// Checks what must hold of every state, whatever happened before.
///
/// # Errors
/// The first invariant broken.
pub fn invariants<T: Symbol, D: Digest>(limits: &Limits, state: &State<T, D>) -> Result<(), BrokenInvariant> {
    match state {
        State::AwaitingStart(phase) => match &phase.memory {
            Memory::Nothing | Memory::RemovalOwed => Ok(()),
            Memory::CommittedBy(final_chunk) => {
                let of_latest = phase.latest.as_ref().is_some_and(|latest| {
                    latest.cluster == final_chunk.identity.cluster
                        && latest.snapshot_lsn == final_chunk.identity.snapshot_lsn
                });
                if !of_latest || final_chunk.offset == 0 {
                    return Err(BrokenInvariant::FinalChunkNotOfLatest);
                }
                final_chunk_at_end(final_chunk)
            }
        },
        State::AwaitingChunk(phase) => running(limits, phase),
        State::AwaitingPublication(phase) => final_chunk_at_end(&phase.final_chunk),
        State::AwaitingRemoval(_) => Ok(()),
    }
}

fn running<T, D: Digest>(limits: &Limits, phase: &AwaitingChunk<T, D>) -> Result<(), BrokenInvariant> {
    let (received_bytes, reported_bytes) = (phase.received_bytes, phase.reported_bytes);
    let total_bytes = phase.identity.total_bytes;
    if total_bytes > limits.snapshot_bytes_max {
        return Err(BrokenInvariant::TotalAboveLimit {
            total_bytes,
            limit: limits.snapshot_bytes_max,
        });
    }
    if received_bytes > total_bytes {
        return Err(BrokenInvariant::ReceivedAboveTotal {
            received_bytes,
            total_bytes,
        });
    }
    let unreported = received_bytes.checked_sub(reported_bytes);
    // A threshold of 0 reports every chunk with bytes, as one of 1 does.
    if unreported.is_none_or(|bytes| bytes >= limits.report_bytes.max(1)) {
        return Err(BrokenInvariant::ReportOutOfStep {
            reported_bytes,
            received_bytes,
        });
    }
    if received_bytes == 0 && phase.digest != D::default() {
        return Err(BrokenInvariant::DigestOfNothing {
            value: phase.digest.value(),
        });
    }
    Ok(())
}

fn final_chunk_at_end<T>(chunk: &FinalChunk<T>) -> Result<(), BrokenInvariant> {
    let end = chunk.offset.saturating_add(chunk.length);
    if end == chunk.identity.total_bytes {
        Ok(())
    } else {
        Err(BrokenInvariant::FinalChunkNotAtEnd {
            end,
            total_bytes: chunk.identity.total_bytes,
        })
    }
}
