//! Any storage against the crash model: does a power loss leave only what the modelled disk may leave?
//!
//! The gate explores the receiver exhaustively on the modelled disk ([`Disk`](crate::disk)). What it
//! shows holds on a storage of your own as far as that keeps the same contract: after every operation it
//! shows what the modelled disk shows, and whatever a power loss leaves of it is among the states that
//! the contract allows. This runs the shipped receiver on the storage, asks after every operation, and
//! after every loss runs the recovery.
//!
//! Guarantees: a storage that loses what it said was durable, publishes a part, or brings back what was
//! removed, is told with the operation after which it did, if one of the draws shows it. Refuses to
//! know: how the storage works, and operations that fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snapshot_receiver::executor::{Directory, Found, Storage, StorageError, recover};
use snapshot_receiver::protocol::{DatabaseId, Envelope, Verified};
use snapshot_receiver::{Options, Receiver};

use super::memory::Files;
use crate::disk::{Disk, Handle, Persistence};

/// A storage that can tell what a power loss would leave of it.
pub trait PowerLoss: Storage {
    /// What stands under a database's two names.
    fn files(&self, database: &DatabaseId) -> Files;
    /// A storage as it is found after a power loss now. `draw` chooses among what may be left: every
    /// number from 0 is asked for, and the same number always gives the same.
    #[must_use]
    fn after_power_loss(&self, draw: u64) -> Self;
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Runs of the receiver.
    pub runs: usize,
    /// Operations of the storage.
    pub operations: usize,
    /// Power losses, each with a recovery after it.
    pub losses: usize,
}

/// What the contract does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after {after}: {what}")]
pub struct Illegal {
    /// The operations so far, the last at the end.
    pub after: String,
    /// What was found, and what would be allowed.
    pub what: String,
}

/// Longest snapshot of a run.
const BYTES: usize = 8;

/// Runs the shipped receiver on the storage, with so many draws at each power loss.
///
/// # Errors
/// [`Illegal`]: the storage does not keep the contract; or an operation of it failed.
pub fn check<S>(mut fresh: impl FnMut() -> S, draws: u64) -> Result<Checked, Illegal>
where
    S: PowerLoss<Partial: Send> + Send + 'static,
{
    let mut checked = Checked::default();
    for run in RUNS {
        let watched = Watched::new(fresh(), draws);
        let receiver = Receiver::with_storage(watched.clone(), "", Options::default().idle_timeout(None));
        let receiver = receiver.map_err(|error| watched.found(&format!("the receiver does not open: {error}")))?;
        for step in *run {
            let failed = match step {
                Chunk(database, lsn, bytes, from, to) => {
                    let sent = receiver.handle_chunk(envelope(database, *lsn, bytes, *from, *to));
                    // A refusal is a part of the run.
                    sent.err()
                        .filter(|error| !error.is_source_fault())
                        .map(|error| error.to_string())
                }
                Abort(database) => receiver.abort_database(database).err().map(|error| error.to_string()),
            };
            watched.verdict()?;
            if let Some(failed) = failed {
                return Err(watched.found(&failed));
            }
        }
        let seen = watched.seen();
        checked.runs += 1;
        checked.operations += seen.operations.len();
        checked.losses += seen.losses;
    }
    Ok(checked)
}

/// One step of a run: a database, an LSN, its bytes, and which of them this chunk has.
enum Do {
    Chunk(&'static str, u64, &'static [u8], usize, usize),
    Abort(&'static str),
}
use Do::{Abort, Chunk};

/// Runs that between them have every operation in every place.
const RUNS: &[&[Do]] = &[
    &[
        Chunk("a", 1, b"one", 0, 3),
        Chunk("a", 2, b"newer", 0, 2),
        Chunk("a", 2, b"newer", 2, 5),
    ],
    &[Chunk("a", 1, b"", 0, 0), Chunk("a", 1, b"again", 0, 5)],
    &[
        Chunk("a", 1, b"abcd", 0, 2),
        Chunk("b", 1, b"wxyz", 0, 3),
        Chunk("a", 1, b"abcd", 2, 4),
        Chunk("b", 1, b"wxyz", 3, 4),
    ],
    &[
        Chunk("a", 1, b"abcd", 0, 2),
        Abort("a"),
        Chunk("a", 1, b"ab", 0, 2),
        Abort("a"),
    ],
    &[
        Chunk("a", 1, b"abcd", 0, 3),
        Chunk("a", 1, b"abcd", 0, 2),
        Chunk("a", 1, b"abcd", 2, 4),
    ],
    &[
        Chunk("a", 2, b"old", 0, 3),
        Chunk("a", 3, b"newer", 0, 4),
        Chunk("a", 1, b"x", 0, 1),
        Abort("a"),
    ],
];

fn envelope(database: &str, lsn: u64, bytes: &[u8], from: usize, to: usize) -> Envelope<Vec<u8>> {
    Envelope {
        source_cluster_id: "cluster".into(),
        source_database_id: database.into(),
        snapshot_lsn: lsn,
        total_bytes: bytes.len() as u64,
        total_crc32c: crc32c::crc32c(bytes),
        offset: from as u64,
        data: bytes[from..to].to_vec(),
        done: to == bytes.len(),
    }
}

/// The storage and the modelled disk, doing the same.
struct Watched<S>(Arc<Mutex<Seen<S>>>);

struct Seen<S> {
    own: S,
    disk: Disk<BYTES>,
    /// By the number that the modelled disk knows them under.
    databases: Vec<DatabaseId>,
    draws: u64,
    operations: Vec<String>,
    losses: usize,
    illegal: Option<Illegal>,
}

impl<S> Clone for Watched<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: PowerLoss> Watched<S> {
    fn new(own: S, draws: u64) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            own,
            disk: Disk::new(Persistence::Weak),
            databases: Vec::new(),
            draws,
            operations: Vec::new(),
            losses: 0,
            illegal: None,
        })))
    }

    fn seen(&self) -> MutexGuard<'_, Seen<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn verdict(&self) -> Result<(), Illegal> {
        self.seen().illegal.clone().map_or(Ok(()), Err)
    }

    fn found(&self, what: &str) -> Illegal {
        let seen = self.seen();
        seen.illegal.clone().unwrap_or_else(|| seen.illegal(what.to_owned()))
    }
}

impl<S: PowerLoss> Seen<S> {
    fn number(&mut self, database: &DatabaseId) -> u8 {
        let known = self.databases.iter().position(|known| known == database);
        let place = known.unwrap_or_else(|| {
            self.databases.push(database.clone());
            self.databases.len() - 1
        });
        // The runs have two databases.
        u8::try_from(place).unwrap_or(u8::MAX)
    }

    fn illegal(&self, what: String) -> Illegal {
        let after = self.operations.join(", ");
        Illegal { after, what }
    }

    /// An operation is done: what is visible, and what would a power loss leave now?
    fn look(&mut self, operation: String) {
        self.operations.push(operation);
        if self.illegal.is_none() {
            let what = self.visible().or_else(|| self.lost());
            self.illegal = what.map(|what| self.illegal(what));
        }
    }

    fn visible(&self) -> Option<String> {
        let shown = self.shown(&self.own);
        let expected = self.modelled(&self.disk);
        (shown != expected).then(|| format!("it shows {shown:?}, and the modelled disk {expected:?}"))
    }

    fn lost(&mut self) -> Option<String> {
        // A partial's bytes are left open: nothing reads them after a loss.
        let names = |all: Vec<Files>| -> Vec<(bool, Option<Vec<u8>>)> {
            all.into_iter()
                .map(|files| (files.partial.is_some(), files.snapshot))
                .collect()
        };
        let legal: Vec<_> = self
            .disk
            .after_crash()
            .iter()
            .map(|disk| names(self.modelled(&disk)))
            .collect();
        for draw in 0..self.draws {
            let mut left = self.own.after_power_loss(draw);
            self.losses += 1;
            let found = names(self.shown(&left));
            if !legal.contains(&found) {
                return Some(format!(
                    "draw {draw} of a power loss leaves {found:?}, which the contract does not allow"
                ));
            }
            let refused = recover(&mut left)
                .err()
                .map(|error| format!("draw {draw}: the recovery fails: {error}"));
            if refused.is_some() {
                return refused;
            }
            let after: Vec<_> = found.into_iter().map(|(_, snapshot)| (false, snapshot)).collect();
            let recovered = names(self.shown(&left));
            if recovered != after {
                return Some(format!("draw {draw}: the recovery leaves {recovered:?}, not {after:?}"));
            }
        }
        None
    }

    fn shown(&self, storage: &S) -> Vec<Files> {
        self.databases.iter().map(|database| storage.files(database)).collect()
    }

    fn modelled(&self, disk: &Disk<BYTES>) -> Vec<Files> {
        let numbers = (0u8..).take(self.databases.len());
        let of = |number: u8| {
            let files = disk.files(number);
            Files {
                partial: files.partial.as_ref().map(|file| file.bytes.to_vec()),
                snapshot: files.snapshot().map(|file| file.bytes.to_vec()),
            }
        };
        numbers.map(of).collect()
    }
}

impl<S: PowerLoss> Storage for Watched<S> {
    type Partial = (S::Partial, DatabaseId);

    fn create(&mut self, database: &DatabaseId) -> Result<Self::Partial, StorageError> {
        let mut seen = self.seen();
        let partial = seen.own.create(database)?;
        let number = DatabaseId::<u8>::numbered(seen.number(database));
        seen.disk.create(&number)?;
        seen.look(format!("create {database}"));
        Ok((partial, database.clone()))
    }

    fn write_at(&mut self, partial: &mut Self::Partial, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let mut seen = self.seen();
        seen.own.write_at(&mut partial.0, offset, data)?;
        let mut handle = Handle::of(seen.number(&partial.1));
        seen.disk.write_at(&mut handle, offset, data)?;
        seen.look(format!("write {} bytes of {} at {offset}", data.len(), partial.1));
        Ok(())
    }

    fn sync(&mut self, partial: &mut Self::Partial) -> Result<(), StorageError> {
        let mut seen = self.seen();
        seen.own.sync(&mut partial.0)?;
        let mut handle = Handle::of(seen.number(&partial.1));
        seen.disk.sync(&mut handle)?;
        seen.look(format!("sync {}", partial.1));
        Ok(())
    }

    fn publish(&mut self, partial: Self::Partial, verified: &Verified) -> Result<(), StorageError> {
        let mut seen = self.seen();
        seen.own.publish(partial.0, verified)?;
        let number = seen.number(&partial.1);
        seen.disk.rename(Handle::of(number), number)?;
        seen.look(format!("publish {}", partial.1));
        Ok(())
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        let mut seen = self.seen();
        seen.own.sync_directory(directory)?;
        seen.disk.sync_directory(directory)?;
        seen.look(format!("sync the directory {directory:?}"));
        Ok(())
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        let mut seen = self.seen();
        seen.own.remove(database)?;
        let number = DatabaseId::<u8>::numbered(seen.number(database));
        seen.disk.remove(&number)?;
        seen.look(format!("remove {database}"));
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        self.seen().own.list()
    }
}
