//! A storage that lies: bugs of the code between a receiver and its files.
//!
//! Guarantees: without a bug every call goes through as it is. Refuses to know: faults; they stand
//! below it, and it lies about them.

use snapshot_receiver::executor::{Directory, Found, Storage, StorageError};
use snapshot_receiver::protocol::{DatabaseId, Verified};

use crate::bugs::{Bug, Bugs};

/// A storage with bugs around it.
#[derive(Clone, Debug)]
pub struct Lying<S> {
    inner: S,
    bugs: Bugs,
}

impl<S> Lying<S> {
    /// Puts the bugs around the storage.
    pub fn new(inner: S, bugs: Bugs) -> Self {
        Self { inner, bugs }
    }

    /// What the bug makes of an outcome: success.
    fn forgive(&self, bug: Bug, outcome: Result<(), StorageError>) -> Result<(), StorageError> {
        if self.bugs.has(bug) { Ok(()) } else { outcome }
    }
}

impl<S: Storage> Storage for Lying<S> {
    type Partial = S::Partial;

    fn create(&mut self, database: &DatabaseId) -> Result<S::Partial, StorageError> {
        self.inner.create(database)
    }

    fn write_at(&mut self, partial: &mut S::Partial, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let length = if self.bugs.has(Bug::ShortWriteTaken) {
            data.len() / 2
        } else {
            data.len()
        };
        let written = self.inner.write_at(partial, offset, &data[..length]);
        self.forgive(Bug::WriteFailureIgnored, written)
    }

    fn sync(&mut self, partial: &mut S::Partial) -> Result<(), StorageError> {
        let synced = match self.inner.sync(partial) {
            Err(_) if self.bugs.has(Bug::SyncRetried) => self.inner.sync(partial),
            synced => synced,
        };
        self.forgive(Bug::SyncFailureIgnored, synced)
    }

    fn publish(&mut self, partial: S::Partial, verified: &Verified) -> Result<(), StorageError> {
        self.inner.publish(partial, verified)
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        let synced = self.inner.sync_directory(directory);
        self.forgive(Bug::DirectorySyncFailureIgnored, synced)
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        let removed = self.inner.remove(database);
        self.forgive(Bug::AbortHidesFailure, removed)
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        if self.bugs.has(Bug::RecoveryKeepsOrphans) {
            return Ok(Vec::new());
        }
        self.inner.list()
    }
}
