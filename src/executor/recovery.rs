//! What an opening does before the first chunk.
//!
//! Guarantees: orphan partials are removed, snapshots never; one that stays stops nothing; then
//! what is visible is made durable (SR-REC-001, SR-REC-003, SR-PUB-005). Refuses to know: how
//! the directories were made and locked.

use super::storage::{Directory, Found, FoundKind, Storage, StorageError};
use crate::protocol::{FailureKind, Symbol, Text};

/// An orphan that an opening could not remove.
#[derive(Debug)]
pub struct OrphanLeft<T = Text> {
    /// What was found.
    pub found: Found<T>,
    /// Why it is still there.
    pub error: StorageError,
}

impl<T> OrphanLeft<T> {
    /// Whether it is a partial whose removal is owed (SR-ERR-005), and not somebody's directory.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        match self.found.kind {
            FoundKind::File | FoundKind::SymbolicLink => true,
            FoundKind::Directory | FoundKind::Special => false,
        }
    }
}

/// Sweeps the orphans, then syncs the directories, innermost first.
///
/// # Errors
/// The directory cannot be listed, or a directory cannot be synced. An orphan that stays is not
/// an error but in the list returned.
pub fn recover<T: Symbol, S: Storage<T>>(storage: &mut S) -> Result<Vec<OrphanLeft<T>>, RecoveryError> {
    let mut left = Vec::new();
    for found in storage.list().map_err(RecoveryError::List)? {
        let removed = match found.kind {
            FoundKind::File | FoundKind::SymbolicLink => storage.remove(&found.database),
            FoundKind::Directory => Err(FailureKind::DirectoryInTheWay.into()),
            // Not a partial of ours; a start would replace it, an opening leaves it.
            FoundKind::Special => Ok(()),
        };
        if let Err(error) = removed {
            left.push(OrphanLeft { found, error });
        }
    }
    for directory in [Directory::Receive, Directory::Data, Directory::Parent] {
        storage
            .sync_directory(directory)
            .map_err(|error| RecoveryError::Sync { directory, error })?;
    }
    Ok(left)
}

/// Why recovery failed.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// `recv_snapshots` cannot be listed.
    #[error("cannot list the receive directory: {0}")]
    List(#[source] StorageError),
    /// What is visible cannot be made durable (SR-PUB-005).
    #[error("cannot sync the {directory:?} directory: {error}")]
    Sync {
        /// Which directory.
        directory: Directory,
        /// Why.
        #[source]
        error: StorageError,
    },
}
