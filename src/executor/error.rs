//! What a caller is told when it does not get what it asked for.
//!
//! Guarantees: a source's fault, a full disk and another storage failure are told apart by type,
//! and both sides of a mismatch are named. Refuses to know: how errors are logged or sent.

use std::io;
use std::path::PathBuf;

use super::recovery::RecoveryError;
use super::storage::StorageError;
use super::transfer::Answer;
use crate::protocol::{DatabaseId, Failure, FailureKind, Operation, Rejection, Reply, Text};

/// Why a chunk was not taken, or an abort not completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The source is at fault. Unless the rejection is a verdict on length or checksum, nothing
    /// changed (SR-ADM-004).
    #[error("rejected: {rejection}; next: offset {resume_offset}{}", beside(.removal_failed))]
    Rejected {
        /// The first rule broken.
        rejection: Rejection,
        /// The next expected offset of the envelope's own running transfer, else 0.
        resume_offset: u64,
        /// After a verdict: why the partial could not be removed, if it could not (SR-ERR-005).
        removal_failed: Option<StorageError>,
    },
    /// Storage is at fault, or a panic. The attempt has ended: start again from offset 0
    /// (SR-ERR-001).
    #[error("{}: {source}{}", what(*operation), beside(.removal_failed))]
    Storage {
        /// The operation that failed first.
        operation: Operation,
        /// How it failed.
        source: StorageError,
        /// Why the partial could not be removed either, if it could not (SR-ERR-005).
        removal_failed: Option<StorageError>,
    },
    /// The receiver is closed. Nothing changed.
    #[error("the receiver is closed")]
    Closed,
    /// The runtime shut down before the call began. Nothing changed.
    #[error("the runtime shut down before the call began")]
    Cancelled,
}

fn what(operation: Operation) -> String {
    match operation {
        Operation::Panic => "the call did not end well".to_owned(),
        Operation::Create
        | Operation::Write
        | Operation::Sync
        | Operation::Publish
        | Operation::SyncDirectory
        | Operation::Remove => format!("{operation} failed"),
    }
}

fn beside(removal_failed: &Option<StorageError>) -> String {
    removal_failed
        .as_ref()
        .map(|error| format!("; the partial could not be removed: {error}"))
        .unwrap_or_default()
}

impl ReceiveError {
    /// Whether the source is at fault: what it sent was wrong at this moment, and
    /// `resume_offset` says where it can go on. That all places are taken is not its fault.
    #[must_use]
    pub fn is_source_fault(&self) -> bool {
        match self {
            Self::Rejected { rejection, .. } => !matches!(rejection, Rejection::TooManyTransfers { .. }),
            Self::Storage { .. } | Self::Closed | Self::Cancelled => false,
        }
    }

    /// Whether the disk, or the quota, is full: freeing space will help (SR-ERR-001).
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::Storage { source, .. } => source.kind == FailureKind::Full,
            Self::Rejected { .. } | Self::Closed | Self::Cancelled => false,
        }
    }
}

/// What came of an event, before it is told as an outcome of the call.
pub(super) enum Told {
    Pending { bytes_done: u64 },
    Committed { snapshot_lsn: u64 },
    Aborted,
}

impl From<Rejection> for ReceiveError {
    /// A rejection that no transfer was asked about.
    fn from(rejection: Rejection) -> Self {
        Self::Rejected {
            rejection,
            resume_offset: 0,
            removal_failed: None,
        }
    }
}

impl Answer<Text> {
    pub(super) fn into_result(self) -> Result<Told, ReceiveError> {
        match self.reply {
            Reply::Pending { bytes_done } => Ok(Told::Pending { bytes_done }),
            Reply::Committed { snapshot_lsn } => Ok(Told::Committed { snapshot_lsn }),
            Reply::Aborted | Reply::NothingRan => Ok(Told::Aborted),
            Reply::Rejected {
                rejection,
                resume_offset,
                removal_failed,
            } => Err(ReceiveError::Rejected {
                rejection,
                resume_offset,
                removal_failed: with_detail(removal_failed, self.removal),
            }),
            // An abort has no cause of its own: what failed is the removal.
            Reply::Failed {
                failure,
                removal_failed,
            } => Err(match (self.cause, with_detail(removal_failed, self.removal)) {
                (Some(source), removal_failed) => storage_error(failure, source, removal_failed),
                (None, Some(source)) => storage_error(failure, source, None),
                (None, None) => storage_error(failure, failure.kind.into(), None),
            }),
            Reply::OutOfTurn => {
                let source = io::Error::other("an event came out of turn").into();
                Err(ReceiveError::Storage {
                    operation: Operation::Panic,
                    source,
                    removal_failed: None,
                })
            }
        }
    }
}

fn with_detail(kind: Option<FailureKind>, error: Option<StorageError>) -> Option<StorageError> {
    kind.map(|kind| error.unwrap_or_else(|| kind.into()))
}

fn storage_error(failure: Failure, source: StorageError, removal_failed: Option<StorageError>) -> ReceiveError {
    ReceiveError::Storage {
        operation: failure.operation,
        source,
        removal_failed,
    }
}

/// Why an abort of all transfers did not end clean: each transfer has ended, but these partials
/// could not be removed (SR-ABT-001, SR-ERR-005).
#[derive(Debug, thiserror::Error)]
#[error("{} of the aborts failed, the first for {}: {}", .failures.len(), .failures[0].0, .failures[0].1)]
pub struct AbortError {
    /// One per database, never empty.
    pub failures: Vec<(DatabaseId, ReceiveError)>,
}

/// Why a receiver could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The data directory, its parent or the receive directory is missing and cannot be made, is
    /// no directory, is a symbolic link where none may be, or may not be written.
    #[error("cannot use {}: {source}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another receiver, in this process or another, has the directory (SR-REC-002).
    #[error("{} is in use by another receiver", .path.display())]
    InUse {
        /// The receive directory.
        path: PathBuf,
    },
    /// The lock cannot be taken for another reason.
    #[error("cannot lock {}: {source}", .path.display())]
    Lock {
        /// The receive directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Orphans cannot be listed, or what is visible cannot be made durable.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The thread that ends idle transfers cannot be started.
    #[error("cannot start the expiry thread: {0}")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// The failed operation's name: `lock` or `open`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::InUse { .. } | Self::Lock { .. } => "lock",
            Self::Directory { .. } | Self::Recovery(_) | Self::Thread(_) => "open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutants: the source is never at fault; only where all places are taken; a disk is always full.
    #[test]
    fn a_sources_fault_a_full_disk_and_all_else_are_told_apart() {
        let storage = |kind: FailureKind| ReceiveError::Storage {
            operation: Operation::Write,
            source: kind.into(),
            removal_failed: None,
        };
        let (expected, actual) = (0, 3);
        let late = Rejection::OffsetMismatch { expected, actual };
        let told = [
            (late.into(), true, false),
            (Rejection::TooManyTransfers { transfers_max: 1 }.into(), false, false),
            (storage(FailureKind::Full), false, true),
            (storage(FailureKind::Other), false, false),
            (ReceiveError::Closed, false, false),
            (ReceiveError::Cancelled, false, false),
        ];
        for (error, is_source_fault, is_storage_full) in told {
            assert_eq!(error.is_source_fault(), is_source_fault, "{error}");
            assert_eq!(error.is_storage_full(), is_storage_full, "{error}");
        }
    }
}
