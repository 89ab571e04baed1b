//! A disk some of whose operations fail.
//!
//! Guarantees: one operation fails, with as much effect as it is told; a failed sync marks the pages
//! clean whatever it did. Refuses to know: which operation a world wants to fail.

use snapshot_receiver::executor::{Directory, Found, Storage, StorageError};
use snapshot_receiver::protocol::{DatabaseId, FailureKind, Verified};

use super::{Disk, Durability, Handle};

/// How much of a failing operation took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Nothing.
    Nothing,
    /// All, or half of a write: the caller is told of a failure all the same.
    Done,
}

/// A disk some of whose next operations fail: for one that fails, and for a power loss in the
/// middle of an opening.
#[derive(Debug)]
pub struct Failing<'a> {
    /// The disk.
    pub disk: &'a mut Disk,
    /// Operations that succeed first.
    pub after: u8,
    /// What happens to the one after those.
    pub damage: Damage,
    /// What happens to all further ones.
    pub then: Then,
    /// What the caller is told.
    pub kind: FailureKind,
}

/// What a [`Failing`] disk does after its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// It works again.
    Works,
    /// Nothing has an effect any more: the power is gone.
    Stops,
}

impl Failing<'_> {
    fn attempt<R>(
        &mut self,
        whole: impl FnOnce(&mut Disk) -> Result<R, StorageError>,
        damaged: impl FnOnce(&mut Disk) -> Result<(), StorageError>,
    ) -> Result<R, StorageError> {
        if let Some(left) = self.after.checked_sub(1) {
            self.after = left;
            return whole(self.disk);
        }
        match self.damage {
            Damage::Nothing => {}
            Damage::Done => damaged(self.disk)?,
        }
        match self.then {
            Then::Works => self.after = u8::MAX,
            Then::Stops => self.damage = Damage::Nothing,
        }
        Err(self.kind.into())
    }
}

impl Storage<u8> for Failing<'_> {
    type Partial = Handle;

    fn create(&mut self, database: &DatabaseId<u8>) -> Result<Handle, StorageError> {
        self.attempt(|disk| disk.create(database), |disk| disk.create(database).map(drop))
    }

    fn write_at(&mut self, partial: &mut Handle, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let mut handle = *partial;
        self.attempt(
            |disk| disk.write_at(partial, offset, data),
            |disk| disk.write_at(&mut handle, offset, &data[..data.len().div_ceil(2)]),
        )
    }

    fn sync(&mut self, partial: &mut Handle) -> Result<(), StorageError> {
        let handle = *partial;
        let lose = |disk: &mut Disk| {
            disk.open(handle)?.durability = Durability::Lost;
            Ok(())
        };
        if self.after == 0 && self.damage == Damage::Nothing {
            // Whatever a failed sync did, the pages are clean now.
            lose(self.disk)?;
        }
        self.attempt(|disk| disk.sync(partial), lose)
    }

    fn publish(&mut self, partial: Handle, verified: &Verified<u8>) -> Result<(), StorageError> {
        self.attempt(
            |disk| disk.publish(partial, verified),
            |disk| disk.publish(partial, verified),
        )
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        self.attempt(
            |disk| disk.sync_directory(directory),
            |disk| disk.sync_directory(directory),
        )
    }

    fn remove(&mut self, database: &DatabaseId<u8>) -> Result<(), StorageError> {
        self.attempt(|disk| disk.remove(database), |disk| disk.remove(database))
    }

    fn list(&mut self) -> Result<Vec<Found<u8>>, StorageError> {
        self.attempt(Disk::list, |_| Ok(()))
    }
}
