//! The model's seeded bugs behind the Rust door, on real files.
//!
//! Guarantees: without a bug, the shipped `step` on plain files, and a correct receiver; with one,
//! the same mistake as in the model. Refuses to know: which scenario notices.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use snapshot_receiver::executor::{partial_name, snapshot_name};
use snapshot_receiver::protocol::{
    DatabaseId, Digest, Effect, Ending, Event, Failure, FailureKind, Limits, OlderStart, Operation, Reply as Answer,
    State, Text, Vacancy, needs_place,
};

use super::calls::{Armed, kind_word};
use super::oracle::as_sent;
use super::rust::Receiver;
use super::scenario::Envelope;
use super::talk::{About, Reply};
use crate::bugs::mistakes::step;
use crate::bugs::{Bug, Bugs};

const LIMITS: Limits = Limits {
    chunk_bytes_max: 1 << 20,
    snapshot_bytes_max: 1 << 40,
    report_bytes: 1 << 20,
};
const TRANSFERS_MAX: u64 = 3;

type Performed = Result<(), Failure>;

/// A receiver with bugs.
#[derive(Debug)]
pub struct Seeded<D> {
    bugs: Bugs,
    receive: Option<PathBuf>,
    /// Held for as long as the directory is open.
    lock: Option<Lock>,
    databases: BTreeMap<DatabaseId, Held<D>>,
    next: Option<Armed>,
}

#[derive(Debug)]
struct Held<D> {
    state: State<Text, D>,
    file: Option<File>,
}

impl<D: Digest> Seeded<D> {
    /// With these bugs.
    #[must_use]
    pub const fn new(bugs: Bugs) -> Self {
        Self {
            bugs,
            receive: None,
            lock: None,
            databases: BTreeMap::new(),
            next: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.receive.as_deref().unwrap_or(Path::new("/nonexistent")).join(name)
    }

    fn drive(&mut self, id: &DatabaseId, mut event: Event<Text, Vec<u8>>) -> Answer<Text> {
        let held = self.databases.remove(id);
        let (mut state, mut file) = held.map_or((State::default(), None), |held| (held.state, held.file));
        let mut told = None;
        let answer = 'events: loop {
            let next = step(self.bugs, &LIMITS, state, event);
            state = next.state;
            event = Event::EffectsPerformed;
            for effect in next.effects {
                if let Effect::Reply(answer) = effect {
                    // A bug may answer first and perform then.
                    told.get_or_insert(answer);
                    continue;
                }
                let performed = self.perform(id, &state, &effect, &mut file);
                if let Err(failure) = self.forgive(performed, &mut file) {
                    event = Event::EffectFailed(failure);
                    break;
                }
            }
            if let Some(answer) = told.take() {
                break 'events answer;
            }
        };
        if !state.is_running() {
            file = None;
        }
        self.databases.insert(id.clone(), Held { state, file });
        answer
    }

    fn fails(&mut self, operation: Operation) -> Performed {
        match self.next.take_if(|next| next.operation == operation) {
            Some(Armed { operation, kind }) => Err(Failure { operation, kind }),
            None => Ok(()),
        }
    }

    fn perform(
        &mut self,
        id: &DatabaseId,
        state: &State<Text, D>,
        effect: &Effect<Text, Vec<u8>>,
        file: &mut Option<File>,
    ) -> Performed {
        let partial = self.path(&partial_name(id));
        match effect {
            Effect::Create => self.create(&partial, file),
            Effect::Write { offset, data } => self.write(id, *offset, data, file),
            Effect::Sync => {
                self.fails(Operation::Sync)?;
                let synced = file.as_ref().map_or(Ok(()), File::sync_all);
                synced.map_err(|error| failure(Operation::Sync, &error))
            }
            Effect::Publish(_) => {
                self.fails(Operation::Publish)?;
                let snapshot = self.path(&snapshot_name(id));
                if self.bugs.has(Bug::OldSnapshotRemovedFirst) {
                    let _gone = fs::remove_file(&snapshot);
                }
                self.same_file(&partial, file.as_ref())?;
                fs::rename(&partial, &snapshot).map_err(|error| failure(Operation::Publish, &error))
            }
            Effect::SyncDirectory => {
                self.fails(Operation::SyncDirectory)?;
                let synced = File::open(self.path("")).and_then(|directory| directory.sync_all());
                synced.map_err(|error| failure(Operation::SyncDirectory, &error))
            }
            Effect::Remove => self.remove(id, state, &partial),
            Effect::Report(_) | Effect::Reply(_) => Ok(()),
        }
    }

    fn same_file(&self, partial: &Path, file: Option<&File>) -> Performed {
        use std::os::unix::fs::MetadataExt;
        let ours = file.and_then(|file| file.metadata().ok()).map(|found| found.ino());
        let named = fs::symlink_metadata(partial).ok().map(|found| found.ino());
        // Where a bug mixes up files, the name is all there is.
        if ours == named || !self.bugs.is_none() {
            return Ok(());
        }
        let (operation, kind) = (Operation::Publish, FailureKind::Other);
        Err(Failure { operation, kind })
    }

    fn create(&mut self, partial: &Path, file: &mut Option<File>) -> Performed {
        self.fails(Operation::Create)?;
        let told = |error: &std::io::Error| failure(Operation::Create, error);
        let (operation, kind) = (Operation::Create, FailureKind::DirectoryInTheWay);
        let stands = fs::symlink_metadata(partial).ok();
        if stands.as_ref().is_some_and(fs::Metadata::is_dir)
            || (self.bugs.has(Bug::LeftoverBlocksCreate) && stands.is_some())
        {
            return Err(Failure { operation, kind });
        }
        if self.bugs.has(Bug::SweepAtStart) {
            for other in self.partials() {
                let _gone = fs::remove_file(other);
            }
        }
        // A pipe would be waited for without end.
        let opens = |found: fs::Metadata| found.is_file() || found.is_symlink();
        if self.bugs.has(Bug::LeftoverOpened) && stands.is_some_and(opens) {
            *file = Some(
                OpenOptions::new()
                    .write(true)
                    .open(partial)
                    .map_err(|error| told(&error))?,
            );
            return Ok(());
        }
        match fs::remove_file(partial) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(told(&error)),
            Ok(()) | Err(_) => {}
        }
        let created = OpenOptions::new().read(true).write(true).create_new(true).open(partial);
        *file = Some(created.map_err(|error| told(&error))?);
        Ok(())
    }

    fn write(&mut self, id: &DatabaseId, offset: u64, data: &[u8], file: &mut Option<File>) -> Performed {
        self.fails(Operation::Write)?;
        let other = self
            .databases
            .iter()
            .find(|(other, held)| *other != id && held.file.is_some());
        let target = match other {
            Some((_, held)) if self.bugs.has(Bug::WrittenIntoAnother) => held.file.as_ref(),
            Some(_) | None => file.as_ref(),
        };
        let half = if self.bugs.has(Bug::ShortWriteTaken) && data.len() > 1 {
            data.len() / 2
        } else {
            data.len()
        };
        let written = target.map_or(Ok(()), |target| target.write_all_at(&data[..half], offset));
        written.map_err(|error| failure(Operation::Write, &error))
    }

    fn remove(&mut self, id: &DatabaseId, state: &State<Text, D>, partial: &Path) -> Performed {
        self.fails(Operation::Remove)?;
        let aborts = matches!(state, State::AwaitingRemoval(phase) if phase.ending == Ending::Aborted);
        if aborts && self.bugs.has(Bug::AbortRemovesSnapshot) {
            let _gone = fs::remove_file(self.path(&snapshot_name(id)));
        }
        if aborts && self.bugs.has(Bug::AbortEndsAnother) {
            for other in self.partials() {
                let _gone = fs::remove_file(other);
            }
        }
        if aborts && self.bugs.has(Bug::AbortKeepsPartial) {
            return Ok(());
        }
        match fs::remove_file(partial) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failure(Operation::Remove, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn forgive(&self, performed: Performed, file: &mut Option<File>) -> Performed {
        match performed {
            Err(Failure { operation, .. }) => match operation {
                Operation::Sync if self.bugs.has(Bug::SyncFailureIgnored) => Ok(()),
                Operation::SyncDirectory if self.bugs.has(Bug::DirectorySyncFailureIgnored) => Ok(()),
                Operation::Write if self.bugs.has(Bug::WriteFailureIgnored) => Ok(()),
                Operation::Sync if self.bugs.has(Bug::SyncRetried) => {
                    let _synced = file.as_ref().map(File::sync_all);
                    Ok(())
                }
                Operation::Create
                | Operation::Write
                | Operation::Sync
                | Operation::Publish
                | Operation::SyncDirectory
                | Operation::Remove
                | Operation::Panic => performed,
            },
            Ok(()) => Ok(()),
        }
    }

    fn entries(&self, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let valid = |name: &String| name.strip_suffix(suffix).is_some_and(|id| DatabaseId::new(id).is_ok());
        names.filter(valid).map(|name| self.path(&name)).collect()
    }

    fn partials(&self) -> Vec<PathBuf> {
        self.entries(".partial")
    }

    /// Sweeps, and counts the orphans that stay.
    fn recover(&mut self) -> u64 {
        let mut left = 0;
        if !self.bugs.has(Bug::RecoveryKeepsOrphans) {
            for partial in self.partials() {
                let Ok(found) = fs::symlink_metadata(&partial) else {
                    continue;
                };
                if found.is_file() || found.is_symlink() {
                    let _gone = fs::remove_file(&partial);
                } else if found.is_dir() {
                    left += 1;
                }
            }
        }
        if self.bugs.has(Bug::RecoveryDeletesSnapshot) {
            for snapshot in self.entries(".snapshot") {
                let _gone = fs::remove_file(snapshot);
            }
        }
        left
    }

    fn lock(&mut self, receive: &Path) -> std::io::Result<()> {
        let directory = File::open(receive)?;
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        self.lock = Some(Lock(directory));
        Ok(())
    }
}

/// A locked directory.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Not left to the close: a child that another thread starts holds a copy of the descriptor, and with
        // it the lock, until it becomes another program.
        let _unlocked = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

fn failure(operation: Operation, error: &std::io::Error) -> Failure {
    let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let kind = if full { FailureKind::Full } else { FailureKind::Other };
    Failure { operation, kind }
}

fn refused(operation: &str) -> Reply {
    Reply::Failed {
        operation: operation.to_owned(),
        kind: "other".to_owned(),
    }
}

fn reply(answer: Answer<Text>, id: &str) -> Reply {
    match answer {
        Answer::Pending { bytes_done } => Reply::Pending {
            bytes_done: Some(bytes_done),
        },
        Answer::Committed { snapshot_lsn } => Reply::Committed {
            snapshot_lsn: Some(snapshot_lsn),
            path: Some(format!("recv_snapshots/{id}.snapshot")),
        },
        Answer::Rejected {
            rejection,
            resume_offset,
            ..
        } => rejected(&rejection, resume_offset),
        Answer::Failed { failure, .. } => Reply::Failed {
            operation: failure.operation.name().to_owned(),
            kind: kind_word(failure.kind).to_owned(),
        },
        Answer::Aborted => Reply::Aborted,
        // Not of this protocol: the bug's own word for a refusal.
        Answer::NothingRan | Answer::OutOfTurn => refused("remove"),
    }
}

fn rejected(rejection: &snapshot_receiver::protocol::Rejection, resume: u64) -> Reply {
    let values = rejection.expected_and_actual();
    Reply::Rejected {
        reason: Some(rejection.reason().to_owned()),
        expected: values.map(|(expected, _)| expected),
        actual: values.map(|(_, actual)| actual),
        resume_offset: Some(resume),
    }
}

impl<D: Digest> Receiver for Seeded<D> {
    fn about(&self) -> About {
        let features = ["abort", "multi", "restart", "stale", "lock"];
        About {
            name: "seeded".to_owned(),
            version: "0".to_owned(),
            language: "rust".to_owned(),
            features: features.map(str::to_owned).to_vec(),
            chunk_bytes_max: Some(LIMITS.chunk_bytes_max),
            snapshot_bytes_max: Some(LIMITS.snapshot_bytes_max),
            transfers_max: Some(TRANSFERS_MAX),
        }
    }

    fn open(&mut self, data_dir: &Path) -> Reply {
        self.close();
        let receive = data_dir.join("recv_snapshots");
        for path in [data_dir, &receive] {
            let made = match fs::symlink_metadata(path) {
                Ok(found) if found.is_dir() => Ok(()),
                Ok(_) => return refused("open"),
                Err(_) => fs::create_dir(path),
            };
            if made.is_err() {
                return refused("open");
            }
        }
        if self.lock(&receive).is_err() {
            return refused("lock");
        }
        self.receive = Some(receive);
        let left = self.recover();
        if left > 0 && self.bugs.has(Bug::RecoveryStopsAtOrphan) {
            (self.receive, self.lock) = (None, None);
            return refused("open");
        }
        Reply::Opened {
            orphans_left: Some(left),
        }
    }

    fn chunk(&mut self, envelope: &Envelope) -> Reply {
        let chunk = match as_sent(envelope).into_chunk() {
            Ok(chunk) => chunk,
            Err(rejection) => return rejected(&rejection, 0),
        };
        let id = chunk.identity.database.clone();
        let running = self.databases.values().filter(|held| held.state.is_running()).count() as u64;
        let state = self.databases.entry(id.clone()).or_insert_with(|| Held {
            state: State::default(),
            file: None,
        });
        let full = running >= TRANSFERS_MAX && needs_place(&LIMITS, &state.state, &chunk, OlderStart::Refused);
        let transfers_max = TRANSFERS_MAX;
        let vacancy = if full {
            Vacancy::Exhausted { transfers_max }
        } else {
            Vacancy::Free
        };
        let older_start = OlderStart::Refused;
        let event = Event::ChunkArrived {
            chunk,
            vacancy,
            older_start,
        };
        let answer = self.drive(&id, event);
        reply(answer, id.as_str())
    }

    fn abort(&mut self, database: Option<&str>) -> Reply {
        let ids: Vec<DatabaseId> = match database.map(DatabaseId::new) {
            Some(Ok(id)) => vec![id],
            Some(Err(error)) => {
                let rejection = snapshot_receiver::protocol::Rejection::InvalidDatabaseId(error);
                return rejected(&rejection, 0);
            }
            None => self.databases.keys().cloned().collect(),
        };
        let mut told = Reply::Aborted;
        for id in ids {
            let answer = self.drive(&id, Event::AbortRequested);
            if answer != Answer::Aborted {
                told = reply(answer, id.as_str());
            }
        }
        told
    }

    fn close(&mut self) -> Reply {
        if self.receive.is_some() {
            // What cannot be removed stays for the next opening.
            let _left = self.abort(None);
        }
        (self.receive, self.lock) = (None, None);
        self.databases.clear();
        Reply::Closed
    }

    fn fail_next(&mut self, operation: &str, kind: &str) -> bool {
        self.next = Armed::named(operation, kind);
        self.next.is_some()
    }

    fn expire(&mut self) -> Option<Reply> {
        let ids: Vec<DatabaseId> = self.databases.keys().cloned().collect();
        for id in ids {
            self.drive(&id, Event::IdleExpired);
        }
        Some(Reply::Aborted)
    }
}
