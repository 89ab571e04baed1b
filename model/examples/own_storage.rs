//! A storage of your own, checked against the crash model: here, files in memory with a journal.
//!
//! Guarantees: what `sync` and `sync_directory` said is durable outlives a power loss. Refuses to know:
//! real disks.
//!
//! `cargo run -p snapshot-receiver-model --example own_storage`

use std::collections::BTreeMap;

use snapshot_receiver::executor::{Directory, Found, FoundKind, Storage, StorageError};
use snapshot_receiver::protocol::{DatabaseId, FailureKind, Verified};
use snapshot_receiver_model::harness::memory::Files;
use snapshot_receiver_model::harness::power::{PowerLoss, check};

/// A name: a database's partial, or its snapshot.
type Name = (DatabaseId, bool);

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many of them outlive a power loss.
    synced: usize,
}

/// Names lead to files by number; the journal has the names that are not durable yet, in order.
#[derive(Clone, Debug, Default)]
struct Journaled {
    files: Vec<Content>,
    durable: BTreeMap<Name, usize>,
    journal: Vec<(Name, Option<usize>)>,
    /// A mistake, to see it found: the directory's sync does nothing.
    forgets_names: bool,
}

impl Journaled {
    fn names(&self, entries: usize) -> BTreeMap<Name, usize> {
        let mut names = self.durable.clone();
        for (name, file) in &self.journal[..entries] {
            match file {
                Some(file) => drop(names.insert(name.clone(), *file)),
                None => drop(names.remove(name)),
            }
        }
        names
    }

    fn visible(&self) -> BTreeMap<Name, usize> {
        self.names(self.journal.len())
    }
}

impl Storage for Journaled {
    type Partial = usize;

    fn create(&mut self, database: &DatabaseId) -> Result<usize, StorageError> {
        self.files.push(Content::default());
        let file = self.files.len() - 1;
        self.journal.push(((database.clone(), true), Some(file)));
        Ok(file)
    }

    fn write_at(&mut self, file: &mut usize, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let start = usize::try_from(offset).map_err(|_| FailureKind::Full)?;
        let bytes = &mut self.files[*file].bytes;
        bytes.resize(bytes.len().max(start + data.len()), 0);
        bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self, file: &mut usize) -> Result<(), StorageError> {
        let content = &mut self.files[*file];
        content.synced = content.bytes.len();
        Ok(())
    }

    fn publish(&mut self, file: usize, verified: &Verified) -> Result<(), StorageError> {
        let database = verified.database();
        self.journal.push(((database.clone(), false), Some(file)));
        self.journal.push(((database.clone(), true), None));
        Ok(())
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        if directory == Directory::Receive && !self.forgets_names {
            self.durable = self.visible();
            self.journal.clear();
        }
        Ok(())
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.journal.push(((database.clone(), true), None));
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        let partials = self.visible().into_keys().filter(|(_, is_partial)| *is_partial);
        let found = |(database, _)| Found {
            database,
            kind: FoundKind::File,
        };
        Ok(partials.map(found).collect())
    }
}

impl PowerLoss for Journaled {
    fn files(&self, database: &DatabaseId) -> Files {
        let visible = self.visible();
        let bytes = |is_partial| {
            let file = visible.get(&(database.clone(), is_partial))?;
            Some(self.files[*file].bytes.clone())
        };
        Files {
            partial: bytes(true),
            snapshot: bytes(false),
        }
    }

    /// The journal is written out up to any entry; of each file, any part of what was not synced.
    fn after_power_loss(&self, draw: u64) -> Self {
        let written = usize::try_from(draw).unwrap_or(0) % (self.journal.len() + 1);
        let mut left = self.clone();
        left.durable = self.names(written);
        left.journal.clear();
        for content in &mut left.files {
            let unsynced = content.bytes.len() - content.synced;
            content
                .bytes
                .truncate(content.synced + usize::try_from(draw / 7).unwrap_or(0) % (unsynced + 1));
            content.synced = content.bytes.len();
        }
        left
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let checked = check(Journaled::default, 64)?;
    println!("it keeps the contract: {checked:?}");
    let flawed = || Journaled {
        forgets_names: true,
        ..Journaled::default()
    };
    let found = check(flawed, 64).err().ok_or("a lost snapshot must be found")?;
    println!("without the directory's sync, {found}");
    Ok(())
}
