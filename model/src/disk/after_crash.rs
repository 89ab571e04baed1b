//! What a crash may leave: the table of the contract (`disk`), worked out.
//!
//! Guarantees: every state that the contract allows, once, always in the same order. Refuses to know:
//! what a receiver makes of it.

use std::sync::Arc;

use super::{Disk, Durability, File, Files, HISTORY_MAX, NAMES, Name, Persistence, durable_file};
use crate::system::{DATABASES_MAX, SNAPSHOT_BYTES_MAX};

/// Every state that a crash may leave of a disk: each combination of what it may leave of each
/// database, told apart by a number and made only when it is asked for.
#[derive(Clone, Debug)]
pub struct AfterCrash<const BYTES: usize = SNAPSHOT_BYTES_MAX> {
    killed: Disk<BYTES>,
    lost: [Arc<[Arc<Files<BYTES>>]>; DATABASES_MAX],
}

impl<const BYTES: usize> AfterCrash<BYTES> {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let without_directory = u64::from(!self.killed.directories_are_durable());
        1 + self.combinations() + without_directory
    }

    fn combinations(&self) -> u64 {
        self.lost.iter().map(|lost| lost.len() as u64).product()
    }

    /// The state of that number; 0 is a process that is killed: the disk is as it was, and nothing
    /// became durable.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Disk<BYTES>> {
        let Some(mut combination) = number.checked_sub(1) else {
            return Some(self.killed.clone());
        };
        if combination >= self.combinations() {
            return (number + 1 == self.count()).then(|| Disk::new(self.killed.persistence));
        }
        let mut disk = self.killed.clone();
        for (files, lost) in disk.databases.iter_mut().zip(&self.lost).rev() {
            let count = lost.len() as u64;
            let place = usize::try_from(combination % count).ok()?;
            files.clone_from(lost.get(place)?);
            combination /= count;
        }
        // What is found after a power loss was on the disk.
        (disk.receive_is_durable, disk.data_is_durable) = (true, true);
        Some(disk)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Disk<BYTES>> + '_ {
        (0..self.count()).filter_map(|number| self.get(number))
    }
}

impl<const BYTES: usize> Disk<BYTES> {
    /// Every state that a killed process (the first) and a power loss may leave, always in the same
    /// order.
    #[must_use]
    pub fn after_crash(&self) -> AfterCrash<BYTES> {
        self.after_crash_of(|files| files.after_crash(self.persistence))
    }

    /// The same, with what a power loss leaves of each database's files.
    pub(crate) fn after_crash_of(
        &self,
        mut each: impl FnMut(&Files<BYTES>) -> Arc<[Arc<Files<BYTES>>]>,
    ) -> AfterCrash<BYTES> {
        AfterCrash {
            killed: self.clone(),
            lost: self.databases.each_ref().map(|files| each(files)),
        }
    }
}

impl<const BYTES: usize> Files<BYTES> {
    /// What a power loss may leave of these files, without repetition.
    pub(crate) fn after_crash(&self, persistence: Persistence) -> Arc<[Arc<Self>]> {
        let mut left = Vec::new();
        for name in NAMES {
            for (place, snapshot) in self.snapshots.iter().enumerate() {
                let possible = match persistence {
                    Persistence::Ordered => self.names.has(name, place),
                    Persistence::Weak => {
                        (0..HISTORY_MAX).any(|other| self.names.has(name, other))
                            && NAMES.into_iter().any(|other| self.names.has(other, place))
                    }
                };
                if !possible {
                    continue;
                }
                for partial in self.partial_after_crash(name) {
                    for snapshot in file_after_crash(snapshot.as_ref(), persistence) {
                        let files = Self::durable(partial.clone(), snapshot);
                        if !left.contains(&files) {
                            left.push(files);
                        }
                    }
                }
            }
        }
        left.into_iter().map(Arc::new).collect()
    }

    fn partial_after_crash(&self, name: Name) -> Vec<Option<File<BYTES>>> {
        match name {
            Name::Absent => vec![None],
            // By prefix in both models: nothing reads them, and an opening unlinks them.
            Name::Current => file_after_crash(self.partial.as_ref(), Persistence::Ordered),
            Name::Older => vec![Some(durable_file(b"?", None))],
        }
    }
}

fn file_after_crash<const BYTES: usize>(
    file: Option<&File<BYTES>>,
    persistence: Persistence,
) -> Vec<Option<File<BYTES>>> {
    let Some(file) = file else { return vec![None] };
    match file.durability {
        Durability::Synced => vec![Some(file.clone())],
        Durability::Unsynced | Durability::Lost => {
            let contents: Vec<Vec<u8>> = (0..=file.bytes.len())
                .flat_map(|length| match persistence {
                    Persistence::Ordered => vec![file.bytes[..length].to_vec()],
                    Persistence::Weak => mixtures(&file.bytes[..length]),
                })
                .collect();
            let as_file = |bytes: &Vec<u8>| Some(durable_file(bytes, file.published_as));
            contents.iter().map(as_file).collect()
        }
    }
}

/// Every way in which each byte is new, zero or stale.
fn mixtures(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some((first, rest)) = bytes.split_first() else {
        return vec![Vec::new()];
    };
    let rests = mixtures(rest);
    let with = |byte: u8| rests.iter().map(move |rest| [&[byte], rest.as_slice()].concat());
    with(*first).chain(with(0)).chain(with(b'#')).collect()
}
