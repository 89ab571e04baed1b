//! What a step must be answered, as a value.
//!
//! Guarantees: the words are the wire protocol's. Refuses to know: how an answer comes about.

use snapshot_receiver::protocol::{Failure, Operation, Rejection};

use super::calls::kind_word;

/// What must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `opened`
    Opened,
    /// `pending`
    Pending(u64),
    /// `committed`
    Committed {
        /// The LSN.
        lsn: u64,
        /// The path, relative to the data directory.
        path: String,
    },
    /// `rejected`
    Rejected {
        /// The reason's name.
        reason: &'static str,
        /// Expected and actual, where the reason has them.
        values: Option<(u64, u64)>,
        /// Where the source can go on.
        resume: u64,
    },
    /// `failed`, with one of these operations; any where there is none.
    Failed {
        /// The operations' names.
        operations: &'static [&'static str],
        /// The kind; either where there is none.
        kind: Option<&'static str>,
    },
    /// `aborted`
    Aborted,
    /// `closed`
    Closed,
    /// `errored`: the request was none.
    Errored,
    /// Nothing: the receiver was ended.
    Nothing,
}

/// A rejection of the protocol.
pub(super) fn rejected(rejection: &Rejection, resume: u64) -> Expected {
    Expected::Rejected {
        reason: rejection.reason(),
        values: rejection.expected_and_actual(),
        resume,
    }
}

/// A failure of the protocol.
pub(super) fn failed(failure: Failure) -> Expected {
    let operations: &[_] = match failure.operation {
        Operation::Create => &["create"],
        Operation::Write => &["write"],
        Operation::Sync => &["sync"],
        Operation::Publish => &["publish"],
        Operation::SyncDirectory => &["sync_directory"],
        Operation::Remove => &["remove"],
        Operation::Panic => &["panic"],
    };
    Expected::Failed {
        operations,
        kind: Some(kind_word(failure.kind)),
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Opened => write!(f, "opened"),
            Self::Pending(bytes) => write!(f, "pending {bytes}"),
            Self::Committed { lsn, path } => write!(f, "committed LSN {lsn} at {path}"),
            Self::Rejected { reason, values, resume } => {
                write!(f, "rejected {reason}")?;
                if let Some((expected, actual)) = values {
                    write!(f, ", expected {expected}, actual {actual}")?;
                }
                write!(f, ", resume at {resume}")
            }
            Self::Failed { operations, kind } => {
                let any = if operations.is_empty() {
                    "any operation".to_owned()
                } else {
                    operations.join(" or ")
                };
                write!(f, "failed {any}")?;
                kind.map_or(Ok(()), |kind| write!(f, " ({kind})"))
            }
            Self::Aborted => write!(f, "aborted"),
            Self::Closed => write!(f, "closed"),
            Self::Errored => write!(f, "errored"),
            Self::Nothing => write!(f, "nothing"),
        }
    }
}
