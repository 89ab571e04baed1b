//! A disk in memory, and one whose next operation fails.
//!
//! The contract: one partial and one snapshot per database. A created file is empty and new; a
//! write lands at its offset; a sync makes what was written durable; a rename replaces the
//! snapshot whole; a directory sync makes renames durable. A failing operation may have had no
//! effect, or its whole effect, or, for a write, half of it.
//!
//! Guarantees: the same `Storage` as the real files. Refuses to know: power loss; what is not
//! durable is marked, so that a property can forbid an answer that relies on it.

use arrayvec::ArrayVec;
use snapshot_receiver::executor::{Directory, Found, FoundKind, Storage, StorageError};
use snapshot_receiver::protocol::{DatabaseId, FailureKind, Verified};

use crate::system::{DATABASES_MAX, SNAPSHOT_BYTES_MAX};

/// The bytes of a file.
pub type Content = ArrayVec<u8, SNAPSHOT_BYTES_MAX>;

/// All files of the receive directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// By database number.
    pub databases: [Files; DATABASES_MAX],
}

/// The files of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Files {
    /// Under the partial's name.
    pub partial: Option<File>,
    /// Under the snapshot's name.
    pub snapshot: Option<File>,
    /// Whether the directory was synced since the snapshot got its name.
    pub snapshot_name_is_durable: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct File {
    /// What reading it shows.
    pub bytes: Content,
    /// Whether it was synced since the last write.
    pub bytes_are_durable: bool,
}

/// An open partial. Which one is clear from the database, because a transfer has one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    database: u8,
}

impl Disk {
    /// The files of a database.
    #[must_use]
    pub fn files(&self, database: &DatabaseId<u8>) -> &Files {
        &self.databases[usize::from(database.number())]
    }

    fn files_mut(&mut self, database: u8) -> &mut Files {
        &mut self.databases[usize::from(database)]
    }

    fn open(&mut self, handle: Handle) -> Result<&mut File, StorageError> {
        let files = self.files_mut(handle.database);
        files.partial.as_mut().ok_or_else(|| FailureKind::Other.into())
    }
}

impl Storage<u8> for Disk {
    type Partial = Handle;

    fn create(&mut self, database: &DatabaseId<u8>) -> Result<Handle, StorageError> {
        let database = database.number();
        self.files_mut(database).partial = Some(File::default());
        Ok(Handle { database })
    }

    fn write_at(&mut self, partial: &mut Handle, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let file = self.open(*partial)?;
        let start = usize::try_from(offset).map_err(|_| FailureKind::Other)?;
        let end = start.checked_add(data.len()).filter(|end| *end <= SNAPSHOT_BYTES_MAX);
        let end = end.ok_or(FailureKind::Full)?;
        while file.bytes.len() < end {
            file.bytes.push(0);
        }
        file.bytes[start..end].copy_from_slice(data);
        file.bytes_are_durable = false;
        Ok(())
    }

    fn sync(&mut self, partial: &mut Handle) -> Result<(), StorageError> {
        self.open(*partial)?.bytes_are_durable = true;
        Ok(())
    }

    fn publish(&mut self, partial: Handle, verified: &Verified<u8>) -> Result<(), StorageError> {
        let to = verified.database().number();
        let file = self.files_mut(partial.database).partial.take();
        let files = self.files_mut(to);
        files.snapshot = Some(file.ok_or(FailureKind::Other)?);
        files.snapshot_name_is_durable = false;
        Ok(())
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        match directory {
            Directory::Receive => {
                for files in &mut self.databases {
                    // Only where there is a name: no bit that nothing reads.
                    files.snapshot_name_is_durable = files.snapshot.is_some();
                }
            }
            Directory::Data | Directory::Parent => {}
        }
        Ok(())
    }

    fn remove(&mut self, database: &DatabaseId<u8>) -> Result<(), StorageError> {
        self.files_mut(database.number()).partial = None;
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Found<u8>>, StorageError> {
        let numbered = (0u8..).zip(&self.databases);
        let partials = numbered.filter(|(_, files)| files.partial.is_some());
        Ok(partials
            .map(|(number, _)| Found {
                database: DatabaseId::numbered(number),
                kind: FoundKind::File,
            })
            .collect())
    }
}

/// How much of a failing operation took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Nothing.
    Nothing,
    /// All, or half of a write: the caller is told of a failure all the same.
    Done,
}

/// A disk whose next operation fails.
#[derive(Debug)]
pub struct Failing<'a> {
    /// The disk.
    pub disk: &'a mut Disk,
    /// What happens to it.
    pub damage: Damage,
    /// What the caller is told.
    pub kind: FailureKind,
}

impl Failing<'_> {
    fn fail<R>(&mut self, operation: impl FnOnce(&mut Disk) -> Result<R, StorageError>) -> Result<R, StorageError> {
        match self.damage {
            Damage::Nothing => {}
            Damage::Done => drop(operation(self.disk)?),
        }
        Err(self.kind.into())
    }
}

impl Storage<u8> for Failing<'_> {
    type Partial = Handle;

    fn create(&mut self, database: &DatabaseId<u8>) -> Result<Handle, StorageError> {
        self.fail(|disk| disk.create(database))
    }

    fn write_at(&mut self, partial: &mut Handle, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        self.fail(|disk| disk.write_at(partial, offset, &data[..data.len().div_ceil(2)]))
    }

    fn sync(&mut self, partial: &mut Handle) -> Result<(), StorageError> {
        self.fail(|disk| disk.sync(partial))
    }

    fn publish(&mut self, partial: Handle, verified: &Verified<u8>) -> Result<(), StorageError> {
        self.fail(|disk| disk.publish(partial, verified))
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        self.fail(|disk| disk.sync_directory(directory))
    }

    fn remove(&mut self, database: &DatabaseId<u8>) -> Result<(), StorageError> {
        self.fail(|disk| disk.remove(database))
    }

    fn list(&mut self) -> Result<Vec<Found<u8>>, StorageError> {
        self.fail(Disk::list)
    }
}
