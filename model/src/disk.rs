//! The modelled disk: what is visible, and what a power loss may leave of it.
//!
//! # The contract
//!
//! Each database has two names, its partial's and its snapshot's. A name leads to a file or to
//! nothing. What a running process sees is the *visible* side: a created file is empty and new, a
//! write lands at its offset, a rename replaces the snapshot whole, an unlink takes the name away.
//!
//! A crash (power loss) leaves, for each database, one combination of
//!
//! - **names**: any that the two names had since the directory was last synced. *Ordered* (ext4 in
//!   its default mode, XFS, btrfs): one moment's combination, since such systems journal directory
//!   operations in order; syncing a file also commits the operations before it. *Weak* (all that
//!   POSIX promises): each name on its own, old or new.
//! - **bytes** of a file: those of the last successful sync, if nothing was written or failed since.
//!   Otherwise *ordered*: any prefix, the empty one included; *weak*: any length up to what was
//!   written, each byte new, zero, or stale. A rename makes no byte durable.
//! - **directories**: until the data directory and its parent were synced, the receive directory may
//!   be gone with all that is in it.
//!
//! A process that is killed leaves the visible side as it was, no more durable than it was.
//!
//! After a power loss, what it left is durable. An earlier partial that was unlinked or replaced, or
//! took the snapshot's name, may stand under its name again; its bytes are not enumerated, because
//! nothing reads a partial (an opening unlinks it), and a rule would catch a receiver that did.
//!
//! A failed operation may have had no effect, or its whole effect, or, for a write, half of it. A
//! failed sync may have made nothing, some or all durable, *and marks the pages clean*: a later
//! successful sync of that file proves nothing. A failed directory sync leaves every combination
//! possible.
//!
//! An early write-back is no operation of its own: a system may write anything back at any time, which the
//! prefixes and holes above are. Its error is that of the write that asked for it, after which the attempt
//! ends (SR-ERR-002); that its pages are marked clean makes no other state of that, because what was written
//! by an attempt that ended is never synced or published. (A receiver that goes on is caught by that failure;
//! `tests/faults` gives it the lost pages as well.)
//!
//! Sources: "All File Systems Are Not Created Equal" (ALICE, OSDI 2014) for what systems reorder;
//! "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing" (CrashMonkey, OSDI 2018) for
//! small workloads being enough; "Can Applications Recover from fsync Failures?" (ATC 2020) for what a
//! failed sync leaves.
//!
//! Guarantees: the same `Storage` as the real files. Refuses to know: torn sectors within a byte, bit
//! rot, and a device that lies about its cache.

mod after_crash;
mod evidence;
mod failing;

use std::sync::Arc;

use arrayvec::ArrayVec;
use snapshot_receiver::executor::{Directory, Found, FoundKind, Storage, StorageError};
use snapshot_receiver::protocol::{DatabaseId, FailureKind, Verified};

pub use self::after_crash::AfterCrash;
pub use self::evidence::evidence;
pub use self::failing::{Damage, Failing, Then};
use crate::system::{DATABASES_MAX, SNAPSHOT_BYTES_MAX};

/// The bytes of a file.
pub type Content<const BYTES: usize = SNAPSHOT_BYTES_MAX> = ArrayVec<u8, BYTES>;

/// What a file system promises about order; see the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// Directory operations in order; bytes of a file by prefix.
    Ordered,
    /// Nothing in any order.
    Weak,
}

/// Names that one database's snapshot may have pending at once: the durable one, one for each rename
/// that took effect and was told as failed, and one on its way.
pub(crate) const HISTORY_MAX: usize = 5;

/// Everything on the disk. `BYTES` is the longest file: the gate's worlds keep it small, the
/// enumeration of power losses on real directories takes longer ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk<const BYTES: usize = SNAPSHOT_BYTES_MAX> {
    /// By database number; shared with other disks.
    pub databases: [Arc<Files<BYTES>>; DATABASES_MAX],
    /// Whether the receive directory's name is durable in the data directory.
    pub receive_is_durable: bool,
    /// Whether the data directory's name is durable in its parent.
    pub data_is_durable: bool,
    persistence: Persistence,
}

/// The files of one database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Files<const BYTES: usize = SNAPSHOT_BYTES_MAX> {
    /// What is visible under the partial's name.
    pub partial: Option<File<BYTES>>,
    /// What the snapshot's name led to since the directory was last synced; the last is visible.
    snapshots: ArrayVec<Option<File<BYTES>>, HISTORY_MAX>,
    names: Names,
}

/// The combinations of both names since the directory was last synced: a set of pairs of a
/// partial's kind and a place in the snapshots' history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Names(u16);

/// What the partial's name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    Absent = 0,
    /// The file that is visible there.
    Current = 1,
    /// A file that was there.
    Older = 2,
}

const NAMES: [Name; 3] = [Name::Absent, Name::Current, Name::Older];

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct File<const BYTES: usize = SNAPSHOT_BYTES_MAX> {
    /// What reading it shows.
    pub bytes: Content<BYTES>,
    /// What a crash leaves of them.
    pub durability: Durability,
    /// The number of the snapshot that it was published as: noted by the world, read by rules.
    pub published_as: Option<u8>,
    /// Whether the attempt that made it has ended, or nobody knows who made it: noted by the world
    /// while a start is handled, read by rules.
    pub is_left_over: bool,
}

/// What a crash leaves of a file's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Any part: it was never synced since the last write.
    #[default]
    Unsynced,
    /// All.
    Synced,
    /// Any part, for ever: a sync of it failed.
    Lost,
}

/// An open partial. Which one is clear from the database, because a transfer has one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    database: u8,
}

impl Handle {
    /// The handle of a database's open partial.
    #[must_use]
    pub const fn of(database: u8) -> Self {
        Self { database }
    }
}

impl Names {
    /// One combination alone: what is visible is durable.
    fn of<const BYTES: usize>(partial: Option<&File<BYTES>>) -> Self {
        let name = if partial.is_some() { Name::Current } else { Name::Absent };
        let mut names = Self::default();
        names.add(name, 0);
        names
    }

    fn add(&mut self, name: Name, snapshot: usize) {
        self.0 |= 1 << (name as usize * HISTORY_MAX + snapshot);
    }

    fn has(self, name: Name, snapshot: usize) -> bool {
        self.0 & (1 << (name as usize * HISTORY_MAX + snapshot)) != 0
    }

    /// What stood under the partial's name until now is an older file from now on.
    fn age(&mut self) {
        for snapshot in 0..HISTORY_MAX {
            if self.has(Name::Current, snapshot) {
                self.0 &= !(1 << (Name::Current as usize * HISTORY_MAX + snapshot));
                self.add(Name::Older, snapshot);
            }
        }
    }
}

impl<const BYTES: usize> Default for Files<BYTES> {
    fn default() -> Self {
        Self::durable(None, None)
    }
}

impl<const BYTES: usize> Files<BYTES> {
    /// Files whose names are durable.
    fn durable(partial: Option<File<BYTES>>, snapshot: Option<File<BYTES>>) -> Self {
        Self {
            names: Names::of(partial.as_ref()),
            partial,
            snapshots: ArrayVec::from_iter([snapshot]),
        }
    }

    /// What is visible under the snapshot's name.
    #[must_use]
    pub fn snapshot(&self) -> Option<&File<BYTES>> {
        self.snapshots.last().and_then(Option::as_ref)
    }

    /// The same, to be changed.
    pub fn snapshot_mut(&mut self) -> Option<&mut File<BYTES>> {
        self.snapshots.last_mut().and_then(Option::as_mut)
    }

    /// Whether a crash can leave no other snapshot than the visible one, whole.
    #[must_use]
    pub fn snapshot_is_durable(&self) -> bool {
        self.snapshots.len() == 1
            && self
                .snapshot()
                .is_some_and(|file| file.durability == Durability::Synced)
    }

    /// Takes the visible snapshot away, as no receiver should.
    pub fn lose_snapshot(&mut self) {
        *self = Self::durable(self.partial.take(), None);
    }

    fn visible(&self) -> usize {
        self.snapshots.len() - 1
    }

    fn names_are_durable(&self) -> bool {
        self.snapshots.len() == 1 && self.names == Names::of(self.partial.as_ref())
    }

    fn sync_names(&mut self) {
        let snapshot = self.snapshots.pop().flatten();
        *self = Self::durable(self.partial.take(), snapshot);
    }
}

fn durable_file<const BYTES: usize>(bytes: &[u8], published_as: Option<u8>) -> File<BYTES> {
    File {
        bytes: bytes.iter().copied().collect(),
        durability: Durability::Synced,
        published_as,
        is_left_over: false,
    }
}

impl<const BYTES: usize> Disk<BYTES> {
    /// A disk where neither directory is yet.
    #[must_use]
    pub fn new(persistence: Persistence) -> Self {
        Self {
            databases: Default::default(),
            receive_is_durable: false,
            data_is_durable: false,
            persistence,
        }
    }

    /// Puts a durable snapshot and an orphan partial there, as an earlier receiver left them.
    pub fn put_old(&mut self, database: u8, bytes: &[u8], published_as: u8) {
        let partial = durable_file(b"?", None);
        let snapshot = durable_file(bytes, Some(published_as));
        *self.files_mut(database) = Files::durable(Some(partial), Some(snapshot));
        (self.receive_is_durable, self.data_is_durable) = (true, true);
    }

    /// Whether no crash takes the receive directory away.
    fn directories_are_durable(&self) -> bool {
        self.receive_is_durable && self.data_is_durable
    }

    /// The files of a database.
    #[must_use]
    pub fn files(&self, database: u8) -> &Files<BYTES> {
        &self.databases[usize::from(database)]
    }

    /// The same, to be changed.
    pub fn files_mut(&mut self, database: u8) -> &mut Files<BYTES> {
        Arc::make_mut(&mut self.databases[usize::from(database)])
    }

    fn sync_names(&mut self) {
        for files in &mut self.databases {
            // What is durable stays shared.
            if !files.names_are_durable() {
                Arc::make_mut(files).sync_names();
            }
        }
    }

    /// The open partial takes the name of a database's snapshot.
    ///
    /// # Errors
    /// Nothing stands under the partial's name; or more renames are pending than are modelled.
    pub fn rename(&mut self, partial: Handle, snapshot: u8) -> Result<(), StorageError> {
        let file = self.files_mut(partial.database).partial.take();
        let file = file.ok_or(FailureKind::Other)?;
        let files = self.files_mut(snapshot);
        files.snapshots.try_push(Some(file)).map_err(|_| FailureKind::Full)?;
        files.names.age();
        files.names.add(Name::Absent, files.visible());
        Ok(())
    }

    fn open(&mut self, handle: Handle) -> Result<&mut File<BYTES>, StorageError> {
        let files = self.files_mut(handle.database);
        files.partial.as_mut().ok_or_else(|| FailureKind::Other.into())
    }
}

impl<const BYTES: usize> Storage<u8> for Disk<BYTES> {
    type Partial = Handle;

    fn create(&mut self, database: &DatabaseId<u8>) -> Result<Handle, StorageError> {
        let database = database.number();
        let files = self.files_mut(database);
        files.names.age();
        files.names.add(Name::Current, files.visible());
        files.partial = Some(File::default());
        Ok(Handle { database })
    }

    fn write_at(&mut self, partial: &mut Handle, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let file = self.open(*partial)?;
        let start = usize::try_from(offset).map_err(|_| FailureKind::Other)?;
        let end = start.checked_add(data.len()).filter(|end| *end <= BYTES);
        let end = end.ok_or(FailureKind::Full)?;
        while file.bytes.len() < end {
            file.bytes.push(0);
        }
        file.bytes[start..end].copy_from_slice(data);
        file.durability = match file.durability {
            Durability::Unsynced | Durability::Synced => Durability::Unsynced,
            Durability::Lost => Durability::Lost,
        };
        Ok(())
    }

    fn sync(&mut self, partial: &mut Handle) -> Result<(), StorageError> {
        let file = self.open(*partial)?;
        file.durability = match file.durability {
            Durability::Unsynced | Durability::Synced => Durability::Synced,
            Durability::Lost => Durability::Lost,
        };
        if self.persistence == Persistence::Ordered {
            // The journal is committed up to here.
            self.sync_names();
        }
        Ok(())
    }

    fn publish(&mut self, partial: Handle, verified: &Verified<u8>) -> Result<(), StorageError> {
        self.rename(partial, verified.database().number())
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        match directory {
            Directory::Receive => self.sync_names(),
            Directory::Data => self.receive_is_durable = true,
            Directory::Parent => self.data_is_durable = true,
        }
        Ok(())
    }

    fn remove(&mut self, database: &DatabaseId<u8>) -> Result<(), StorageError> {
        let files = self.files_mut(database.number());
        if files.partial.take().is_some() {
            files.names.age();
            files.names.add(Name::Absent, files.visible());
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Found<u8>>, StorageError> {
        let numbered = (0u8..).zip(&self.databases);
        let partials = numbered.filter(|(_, files)| files.partial.is_some());
        Ok(partials
            .map(|(number, _)| Found {
                database: DatabaseId::<u8>::numbered(number),
                kind: FoundKind::File,
            })
            .collect())
    }
}
