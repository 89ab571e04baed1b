//! What can happen to one database's transfer.
//!
//! Guarantees: every fact that a decision needs is in the event or in the state. Refuses to
//! know: clocks (an idle transfer is an event), other databases (a free place is a fact in the
//! event), operating-system errors (a failure is an operation and a kind).

use super::envelope::Chunk;

/// Something that happened, told to [`step`](super::step).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event<T, B> {
    /// A source's chunk came.
    ChunkArrived {
        /// The chunk.
        chunk: Chunk<T, B>,
        /// Whether a new transfer has a place.
        vacancy: Vacancy,
        /// Whether this one start may be older than what it replaces.
        older_start: OlderStart,
    },
    /// Somebody wants the transfer ended.
    AbortRequested,
    /// Nobody continued the transfer for the configured time (SR-CON-006).
    IdleExpired,
    /// All effects of the last step were performed, and none of them was a reply.
    EffectsPerformed,
    /// An effect of the last step failed; those after it were dropped.
    EffectFailed(Failure),
}

/// Whether a start may open one more transfer (SR-CON-005). A start for a database whose
/// transfer runs takes that transfer's place and does not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vacancy {
    /// There is a place.
    Free,
    /// All places are taken.
    Exhausted {
        /// How many there are.
        transfers_max: u64,
    },
}

/// Whether the rule against older snapshots (SR-IDN-004) holds for this start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OlderStart {
    /// It holds.
    #[default]
    Refused,
    /// The caller lifts it for this one start.
    Allowed,
}

/// A storage operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{operation} failed ({kind})")]
pub struct Failure {
    /// Which operation.
    pub operation: Operation,
    /// What kind of failure.
    pub kind: FailureKind,
}

/// The operations that can fail, by the names that messages and traces use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Unlinking what stands under the partial's name and creating a new file.
    Create,
    /// Writing a chunk's bytes.
    Write,
    /// Making the partial's bytes durable.
    Sync,
    /// Renaming the partial to the snapshot's name.
    Publish,
    /// Making the rename durable.
    SyncDirectory,
    /// Unlinking the partial.
    Remove,
    /// Not an operation: code panicked while the call was handled (SR-CON-003).
    Panic,
}

impl Operation {
    /// The operation's name in messages and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Publish => "publish",
            Self::SyncDirectory => "sync_directory",
            Self::Remove => "remove",
            Self::Panic => "panic",
        }
    }
}

impl core::fmt::Display for Operation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a caller does differently about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum FailureKind {
    /// No space or no quota: free some, then start again (SR-ERR-001).
    #[error("full")]
    Full,
    /// A directory stands under the file's name: nothing of ours is there, and somebody has to
    /// move it away (SR-SEC-002).
    #[error("a directory is in the way")]
    DirectoryInTheWay,
    /// Anything else.
    #[error("storage failure")]
    Other,
}
