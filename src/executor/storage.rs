//! What the executor needs of a disk.
//!
//! Guarantees: every operation that a transfer needs is here, and no other; the real files and
//! the model's disk implement the same trait. Refuses to know: phases, checksums, replies.

use std::fmt::Debug;
use std::io;

use crate::protocol::{DatabaseId, FailureKind, Text, Verified};

/// A directory of partials and snapshots. `&mut self` because a modelled disk is a value; a
/// shared one implements it on a handle that clones.
pub trait Storage<T = Text> {
    /// A partial held open.
    type Partial: Debug;

    /// Unlinks whatever stands under the partial's name and creates a new, empty file
    /// (SR-SEC-002).
    ///
    /// # Errors
    /// [`FailureKind::DirectoryInTheWay`] where a directory has the name; nothing was created
    /// then. Any other failure may have created the file.
    fn create(&mut self, database: &DatabaseId<T>) -> Result<Self::Partial, StorageError>;

    /// Writes all of `data` at `offset`; a short or interrupted write is continued (SR-ERR-003).
    ///
    /// # Errors
    /// Any part of `data` may have been written.
    fn write_at(&mut self, partial: &mut Self::Partial, offset: u64, data: &[u8]) -> Result<(), StorageError>;

    /// Makes every byte written to the partial durable.
    ///
    /// # Errors
    /// Any part may be durable, and a later success would prove nothing: never called again for
    /// this partial (SR-ERR-002).
    fn sync(&mut self, partial: &mut Self::Partial) -> Result<(), StorageError>;

    /// Renames the partial to the snapshot's name, if that name still leads to the open file
    /// (SR-PUB-004, SR-SEC-004).
    ///
    /// # Errors
    /// The rename may have happened.
    fn publish(&mut self, partial: Self::Partial, verified: &Verified<T>) -> Result<(), StorageError>;

    /// Makes a directory's entries durable.
    ///
    /// # Errors
    /// Any of the entries may be durable.
    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError>;

    /// Unlinks the partial's name; that nothing stands there is success.
    ///
    /// # Errors
    /// Something may still stand there.
    fn remove(&mut self, database: &DatabaseId<T>) -> Result<(), StorageError>;

    /// Lists what stands under the name of any partial.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&mut self) -> Result<Vec<Found<T>>, StorageError>;
}

/// The directories whose entries have to be durable (SR-PUB-001, SR-PUB-005).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directory {
    /// `recv_snapshots`, which holds the partials and the snapshots.
    Receive,
    /// The data directory, which holds `recv_snapshots`.
    Data,
    /// The data directory's parent.
    Parent,
}

/// Something under a partial's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found<T = Text> {
    /// The database that the name belongs to.
    pub database: DatabaseId<T>,
    /// What it is.
    pub kind: FoundKind,
}

/// What stands under a partial's name (SR-REC-001).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A symbolic link, wherever it leads.
    SymbolicLink,
    /// A directory.
    Directory,
    /// A pipe, a socket or a device.
    Special,
}

/// A storage operation's failure: the kind that decides what happens next, and what the
/// operating system said.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(*.kind, .source.as_ref()))]
pub struct StorageError {
    /// What a caller does differently about it.
    pub kind: FailureKind,
    /// What the operating system said, where it said anything.
    pub source: Option<io::Error>,
}

fn said(kind: FailureKind, source: Option<&io::Error>) -> String {
    match (kind, source) {
        (FailureKind::Full, None) => "no space is left, or no quota".to_owned(),
        (kind, None) => kind.to_string(),
        // The operating system's words say all there is to say.
        (FailureKind::Other | FailureKind::Full, Some(error)) => error.to_string(),
        (FailureKind::DirectoryInTheWay, Some(error)) => format!("{kind}: {error}"),
    }
}

impl From<FailureKind> for StorageError {
    fn from(kind: FailureKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<io::Error> for StorageError {
    /// No space and no quota are [`FailureKind::Full`]; all else is [`FailureKind::Other`].
    fn from(error: io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self {
            kind: if full { FailureKind::Full } else { FailureKind::Other },
            source: Some(error),
        }
    }
}
