//! From a log of real calls to what a power loss may leave after each: the model's disk, taken along.
//!
//! Guarantees: the same `CrashDisk` that the gate explores, with room for longer files; what has to
//! survive is noted beside it from the answers. Refuses to know: how a state is tried.

use std::collections::BTreeMap;

use snapshot_receiver::DatabaseId;
use snapshot_receiver::executor::Storage;
use snapshot_receiver_model::disk::{Disk, Durability, Handle, Persistence, evidence};

use crate::log::{Call, Entry, Extent, Outcome};

/// Bytes of a snapshot, at most: a byte of the disk stands for what one call writes.
pub(crate) const BYTES: usize = 12;

/// A disk of which power losses are enumerated.
pub(crate) type CrashDisk = Disk<BYTES>;

/// The databases of a run, by their number on the disk.
pub(crate) const DATABASES: [&str; 2] = ["db0", "db1"];

pub(crate) fn database(number: usize) -> DatabaseId {
    DatabaseId::new(DATABASES[number]).expect("a valid id")
}

fn number(database: &DatabaseId) -> u8 {
    let found = (0u8..).zip(DATABASES).find(|(_, name)| *name == database.as_str());
    found.expect("a database of the run").0
}

/// What one database may show after a power loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owed {
    /// What was acknowledged, or was visible when an opening returned.
    pub(crate) acknowledged: Option<Vec<u8>>,
    /// Whole snapshots whose rename was begun since: one of them may stand there.
    pub(crate) begun: Vec<Vec<u8>>,
    /// Whole ones that were there before.
    pub(crate) older: Vec<Vec<u8>>,
    /// Whether it was visible when an opening returned, rather than acknowledged.
    pub(crate) was_found: bool,
}

impl Owed {
    fn acknowledge(&mut self, bytes: Option<Vec<u8>>, was_found: bool) {
        self.was_found = was_found && self.acknowledged != bytes;
        self.older.extend(self.acknowledged.take());
        self.older.append(&mut self.begun);
        self.acknowledged = bytes;
    }
}

/// The disk after some calls of a run.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) disk: CrashDisk,
    pub(crate) owed: [Owed; 2],
    sending: BTreeMap<DatabaseId, Vec<u8>>,
}

impl Moment {
    pub(crate) fn new(disk: CrashDisk, owed: [Owed; 2]) -> Self {
        let sending = BTreeMap::new();
        Self { disk, owed, sending }
    }

    /// A fresh place, or one with an old snapshot of the first database and an orphan beside it.
    pub(crate) fn first(persistence: Persistence, old: Option<&[u8]>) -> Self {
        let mut moment = Self::new(CrashDisk::new(persistence), <[Owed; 2]>::default());
        if let Some(bytes) = old {
            moment.disk.put_old(0, bytes, 0);
            moment.owed[0].acknowledged = Some(bytes.to_vec());
        }
        moment
    }

    /// Takes one line of the log.
    pub(crate) fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Call(call, Outcome::Done) => self.call(call, true),
            Entry::Call(call, Outcome::Failed { extent, .. }) => {
                if let Call::Publish(database) = call {
                    self.begin(database);
                }
                match extent {
                    Extent::Nothing => {}
                    Extent::Part => self.call(call, false),
                    Extent::Whole => self.call(call, true),
                }
                match (call, extent) {
                    // Whatever a failed sync or write-back did, the pages are clean now.
                    (Call::Sync(database), _) | (Call::Write { database, .. }, Extent::Whole) => {
                        if let Some(file) = &mut self.disk.files_mut(number(database)).partial {
                            file.durability = Durability::Lost;
                        }
                    }
                    _ => {}
                }
            }
            Entry::Sending(database, bytes) => drop(self.sending.insert(database.clone(), bytes.clone())),
            Entry::Committed(database, bytes) => {
                self.owed[usize::from(number(database))].acknowledge(Some(bytes.clone()), false);
            }
            Entry::Opened => {
                for (files, owed) in self.disk.databases.iter().zip(&mut self.owed) {
                    // SR-PUB-005: what is visible is durable.
                    owed.acknowledge(files.snapshot().map(|file| file.bytes.to_vec()), true);
                }
            }
        }
    }

    fn begin(&mut self, database: &DatabaseId) {
        let begun = &mut self.owed[usize::from(number(database))].begun;
        let sending = self.sending.get(database).filter(|bytes| !begun.contains(bytes));
        begun.extend(sending.cloned());
    }

    /// What the call does, on the model's disk; of a write that is cut short, the first half.
    fn call(&mut self, call: &Call, whole: bool) {
        let disk = &mut self.disk;
        let done = match call {
            Call::Create(database) => {
                let database = DatabaseId::<u8>::numbered(number(database));
                disk.create(&database).map(drop)
            }
            Call::Write { database, offset, data } => {
                let length = if whole { data.len() } else { data.len().div_ceil(2) };
                disk.write_at(&mut Handle::of(number(database)), *offset, &data[..length])
            }
            Call::Sync(database) => disk.sync(&mut Handle::of(number(database))),
            Call::Publish(database) => {
                let number = number(database);
                let done = disk.publish(Handle::of(number), &evidence(DatabaseId::<u8>::numbered(number), b""));
                if whole {
                    self.begin(database);
                }
                done
            }
            Call::SyncDirectory(directory) => disk.sync_directory(*directory),
            Call::Remove(database) => disk.remove(&DatabaseId::<u8>::numbered(number(database))),
            Call::List => Ok(()),
            Call::UnlinkSnapshot(database) => {
                disk.files_mut(number(database)).lose_snapshot();
                Ok(())
            }
            Call::SyncSnapshot(database) => {
                if let Some(file) = disk.files_mut(number(database)).snapshot_mut() {
                    file.durability = Durability::Synced;
                }
                Ok(())
            }
        };
        done.unwrap_or_else(|error| panic!("the model's disk cannot take {call:?}: {error}"));
    }
}
