//! Storage for the harness: files in memory, and any storage behind a hook that watches its
//! operations or makes them fail.
//!
//! Guarantees: shared by its clones, like a directory by those who opened it; it outlives a
//! receiver, so that one can be reopened on it. Refuses to know: power loss.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snapshot_receiver::executor::{Directory, Found, FoundKind, Storage, StorageError};
use snapshot_receiver::protocol::{DatabaseId, FailureKind, Operation, Verified};

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: Arc<Mutex<BTreeMap<DatabaseId, Files>>>,
}

/// The files of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Under the partial's name.
    pub partial: Option<Vec<u8>>,
    /// Under the snapshot's name.
    pub snapshot: Option<Vec<u8>>,
}

impl Memory {
    /// A copy of a database's files.
    #[must_use]
    pub fn files(&self, database: &DatabaseId) -> Files {
        locked(&self.files).get(database).cloned().unwrap_or_default()
    }

    fn change<R>(&self, database: &DatabaseId, change: impl FnOnce(&mut Files) -> R) -> R {
        change(locked(&self.files).entry(database.clone()).or_default())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for Memory {
    type Partial = DatabaseId;

    fn create(&mut self, database: &DatabaseId) -> Result<DatabaseId, StorageError> {
        self.change(database, |files| files.partial = Some(Vec::new()));
        Ok(database.clone())
    }

    fn write_at(&mut self, partial: &mut DatabaseId, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let start = usize::try_from(offset).map_err(|_| FailureKind::Full)?;
        self.change(partial, |files| {
            let bytes = files.partial.as_mut().ok_or(FailureKind::Other)?;
            bytes.resize(bytes.len().max(start + data.len()), 0);
            bytes[start..start + data.len()].copy_from_slice(data);
            Ok(())
        })
    }

    fn sync(&mut self, _: &mut DatabaseId) -> Result<(), StorageError> {
        Ok(())
    }

    fn publish(&mut self, partial: DatabaseId, verified: &Verified) -> Result<(), StorageError> {
        let bytes = self.change(&partial, |files| files.partial.take());
        let bytes = bytes.ok_or(FailureKind::Other)?;
        self.change(verified.database(), |files| files.snapshot = Some(bytes));
        Ok(())
    }

    fn sync_directory(&mut self, _: Directory) -> Result<(), StorageError> {
        Ok(())
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.change(database, |files| files.partial = None);
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        let files = locked(&self.files);
        let partials = files.iter().filter(|(_, files)| files.partial.is_some());
        Ok(partials
            .map(|(database, _)| Found {
                database: database.clone(),
                kind: FoundKind::File,
            })
            .collect())
    }
}

/// One call of a storage operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// `create`
    Create,
    /// `write_at`
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: &'a [u8],
    },
    /// `sync`
    Sync,
    /// `publish`
    Publish,
    /// `sync_directory`
    SyncDirectory(Directory),
    /// `remove`
    Remove,
    /// `list`
    List,
}

impl Call<'_> {
    /// The operation that a failure of it is told as; `None` for a listing.
    #[must_use]
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Create => Some(Operation::Create),
            Self::Write { .. } => Some(Operation::Write),
            Self::Sync => Some(Operation::Sync),
            Self::Publish => Some(Operation::Publish),
            Self::SyncDirectory(_) => Some(Operation::SyncDirectory),
            Self::Remove => Some(Operation::Remove),
            Self::List => None,
        }
    }
}

/// What stands between the receiver and a storage: it sees each call before it is made, may make
/// it fail, and may panic.
pub trait Hook {
    /// Called before each operation; a fault makes it fail.
    fn before(&self, call: Call<'_>) -> Option<Fault>;
}

impl<F: Fn(Call<'_>) -> Option<Fault>> Hook for F {
    fn before(&self, call: Call<'_>) -> Option<Fault> {
        self(call)
    }
}

/// A storage behind a hook.
#[derive(Clone)]
pub struct Hooked<S, H> {
    inner: S,
    hook: H,
}

/// A storage whose operations can be made to fail.
pub type Faulty<S> = Hooked<S, Faults>;

impl<S, H> Hooked<S, H> {
    /// Puts the hook before the storage.
    pub fn new(inner: S, hook: H) -> Self {
        Self { inner, hook }
    }
}

impl<S: std::fmt::Debug, H> std::fmt::Debug for Hooked<S, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooked")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The faults of a [`Faulty`] storage: what is to fail, and what has.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Armed>>);

#[derive(Debug, Default)]
struct Armed {
    next: Vec<Fault>,
    fired: Vec<Operation>,
}

/// An operation to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Operations that succeed before it.
    pub after: u8,
    /// What the receiver is told.
    pub kind: FailureKind,
    /// Whether it takes effect all the same; of a write, the first half.
    pub takes_effect: bool,
}

impl Faults {
    /// Makes one further operation fail.
    pub fn arm(&self, fault: Fault) {
        locked(&self.0).next.push(fault);
    }

    /// Makes operations succeed again, and returns those that failed since.
    pub fn disarm(&self) -> Vec<Operation> {
        let mut armed = locked(&self.0);
        armed.next.clear();
        std::mem::take(&mut armed.fired)
    }
}

impl Hook for Faults {
    fn before(&self, call: Call<'_>) -> Option<Fault> {
        let operation = call.operation()?;
        let mut armed = locked(&self.0);
        let fault = armed.next.first_mut()?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        armed.fired.push(operation);
        Some(armed.next.remove(0))
    }
}

impl<S, H: Hook> Hooked<S, H> {
    fn attempt<R>(
        &mut self,
        call: Call<'_>,
        run: impl FnOnce(&mut S, bool) -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        match self.hook.before(call) {
            None => run(&mut self.inner, true),
            Some(fault) => {
                if fault.takes_effect {
                    run(&mut self.inner, false)?;
                }
                Err(fault.kind.into())
            }
        }
    }
}

impl<S: Storage, H: Hook> Storage for Hooked<S, H> {
    type Partial = S::Partial;

    fn create(&mut self, database: &DatabaseId) -> Result<S::Partial, StorageError> {
        self.attempt(Call::Create, |inner, _| inner.create(database))
    }

    fn write_at(&mut self, partial: &mut S::Partial, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        self.attempt(Call::Write { offset, data }, |inner, whole| {
            let length = if whole { data.len() } else { data.len() / 2 };
            inner.write_at(partial, offset, &data[..length])
        })
    }

    fn sync(&mut self, partial: &mut S::Partial) -> Result<(), StorageError> {
        self.attempt(Call::Sync, |inner, _| inner.sync(partial))
    }

    fn publish(&mut self, partial: S::Partial, verified: &Verified) -> Result<(), StorageError> {
        self.attempt(Call::Publish, |inner, _| inner.publish(partial, verified))
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        self.attempt(Call::SyncDirectory(directory), |inner, _| {
            inner.sync_directory(directory)
        })
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.attempt(Call::Remove, |inner, _| inner.remove(database))
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        self.attempt(Call::List, |inner, _| inner.list())
    }
}
