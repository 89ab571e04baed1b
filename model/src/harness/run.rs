//! Takes actions one by one and compares.
//!
//! Guarantees: after every action, the answer, the reports, the files of every database and the
//! protocol's invariants are compared; at the end, faults stop and every database commits
//! (SR-LIV-001). Refuses to know: how actions are drawn.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use snapshot_receiver::executor::{FileSystem, Storage, partial_name, snapshot_path};
use snapshot_receiver::protocol::{DatabaseId, Memory, OlderStart, Operation, Progress, State, invariants};
use snapshot_receiver::{OpenError, Receiver};

use super::action::{Action, Numbers, Word};
use super::lying::Lying;
use super::memory::{Faults, Faulty, Files, Memory as MemoryFiles};
use super::oracle::Oracle;
use super::subject::{Aborted, Sequential, Subject, Told};
use super::{Answer, CHUNK_BYTES_MAX, LIMITS, Sent};
use crate::bugs::Bugs;

/// What a receiver is tried on.
pub trait Bed {
    /// Its storage.
    type Storage: Storage<Partial: Send> + Clone + Send + 'static;

    /// The storage, as a process that starts finds it.
    ///
    /// # Errors
    /// It cannot be opened.
    fn storage(&self) -> Result<Self::Storage, OpenError>;

    /// What is in a database's files.
    ///
    /// # Errors
    /// They cannot be read.
    fn files(&self, database: &DatabaseId) -> io::Result<Files>;

    /// Names beside the files of known databases, which nothing may create.
    ///
    /// # Errors
    /// They cannot be listed.
    fn foreign(&self, known: &BTreeSet<String>) -> io::Result<Vec<PathBuf>>;
}

/// Files in memory.
#[derive(Debug, Default)]
pub struct MemoryBed(MemoryFiles);

impl Bed for MemoryBed {
    type Storage = MemoryFiles;

    fn storage(&self) -> Result<MemoryFiles, OpenError> {
        Ok(self.0.clone())
    }

    fn files(&self, database: &DatabaseId) -> io::Result<Files> {
        Ok(self.0.files(database))
    }

    fn foreign(&self, _: &BTreeSet<String>) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

/// Real files below a directory of the caller's.
#[derive(Debug)]
pub struct FileBed(PathBuf);

impl FileBed {
    /// On `data_dir`, which should be empty.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self(data_dir.into())
    }
}

impl Bed for FileBed {
    type Storage = FileSystem;

    fn storage(&self) -> Result<FileSystem, OpenError> {
        FileSystem::open(&self.0)
    }

    fn files(&self, database: &DatabaseId) -> io::Result<Files> {
        let snapshot = snapshot_path(&self.0, database);
        Ok(Files {
            partial: read(&snapshot.with_file_name(partial_name(database)))?,
            snapshot: read(&snapshot)?,
        })
    }

    fn foreign(&self, known: &BTreeSet<String>) -> io::Result<Vec<PathBuf>> {
        let mut foreign = Vec::new();
        for entry in fs::read_dir(self.0.join("recv_snapshots"))? {
            let entry = entry?;
            if !known.contains(&*entry.file_name().to_string_lossy()) {
                foreign.push(entry.path());
            }
        }
        Ok(foreign)
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the receiver and the oracle part.
#[derive(Debug, thiserror::Error)]
#[error("step {step}, {action:?}: {what}")]
pub struct Failure {
    /// The action's number, from 0.
    pub step: usize,
    /// The action.
    pub action: Option<Action>,
    /// What was expected, and what came.
    pub what: String,
}

/// What a run has seen: names of answers, rejections and failed operations. A generator gone
/// stale shows in the union over many runs.
pub type Seen = BTreeSet<String>;

type Reports = Arc<Mutex<Vec<(String, Progress)>>>;

/// A bed's storage, with faults and with the bugs that lie about them.
pub type Rigged<B> = Lying<Faulty<<B as Bed>::Storage>>;

/// Who watches a run.
pub trait Observer {
    /// Something was seen: an answer, a rejection, a failed operation.
    fn see(&mut self, name: &str);
    /// An action was taken, and a chunk answered.
    fn tell(&mut self, action: &Action, answer: Option<&Answer>);
}

impl Observer for Seen {
    fn see(&mut self, name: &str) {
        self.insert(name.to_owned());
    }

    fn tell(&mut self, _: &Action, _: Option<&Answer>) {}
}

struct Trial<'a, B: Bed, R> {
    bed: B,
    bugs: Bugs,
    faults: Faults,
    receiver: Option<R>,
    oracle: Oracle,
    numbers: Numbers,
    reports: Reports,
    observer: &'a mut dyn Observer,
}

/// Runs the actions that the words stand for on the shipped receiver.
///
/// # Errors
/// The first difference between receiver and oracle.
pub fn run<B: Bed>(bed: B, words: &[Word]) -> Result<Seen, Box<Failure>> {
    let mut seen = Seen::new();
    run_receiver(bed, Bugs::none(), words, &mut seen)?;
    Ok(seen)
}

/// The same, with bugs seeded into its storage.
///
/// # Errors
/// As [`run`].
pub fn run_receiver<B: Bed>(
    bed: B,
    bugs: Bugs,
    words: &[Word],
    observer: &mut dyn Observer,
) -> Result<(), Box<Failure>> {
    run_subject::<B, Receiver<Rigged<B>>>(bed, bugs, words, observer)
}

/// Runs the actions on the protocol alone, with bugs seeded around its `step`.
///
/// # Errors
/// As [`run`].
pub fn run_protocol<B: Bed>(
    bed: B,
    bugs: Bugs,
    words: &[Word],
    observer: &mut dyn Observer,
) -> Result<(), Box<Failure>> {
    run_subject::<B, Sequential<Rigged<B>>>(bed, bugs, words, observer)
}

/// Runs the actions on a receiver of the caller's.
///
/// # Errors
/// As [`run`].
pub fn run_subject<B: Bed, R: Subject<Rigged<B>>>(
    bed: B,
    bugs: Bugs,
    words: &[Word],
    observer: &mut dyn Observer,
) -> Result<(), Box<Failure>> {
    let mut trial = Trial::<B, R> {
        bed,
        bugs,
        faults: Faults::default(),
        receiver: None,
        oracle: Oracle::default(),
        numbers: Numbers::default(),
        reports: Reports::default(),
        observer,
    };
    let fail = |step: usize, action: Option<&Action>, what: String| {
        let action = action.cloned();
        Box::new(Failure { step, action, what })
    };
    trial.reopen().map_err(|what| fail(0, None, what))?;
    for (step, word) in words.iter().enumerate() {
        let action = Action::from_word(*word, &trial.oracle, &mut trial.numbers);
        trial.take(&action).map_err(|what| fail(step, Some(&action), what))?;
    }
    trial.heal().map_err(|what| fail(words.len(), None, what))
}

const HEALING: &str = "all is well that ends";

/// The chunks of a snapshot newer than any other.
fn newest(database: &str) -> Vec<Sent> {
    let step = CHUNK_BYTES_MAX;
    (0..HEALING.len())
        .step_by(step)
        .map(|offset| Sent {
            cluster: "eu".to_owned(),
            database: database.to_owned(),
            lsn: u64::MAX,
            total: HEALING.len() as u64,
            crc: crc32c::crc32c(HEALING.as_bytes()),
            offset: offset as u64,
            data: HEALING.as_bytes()[offset..HEALING.len().min(offset + step)].to_vec(),
            done: offset + step >= HEALING.len(),
        })
        .collect()
}

fn expect<T: PartialEq + Debug>(what: &str, expected: &T, actual: &T) -> Result<(), String> {
    if expected == actual {
        Ok(())
    } else {
        Err(format!("{what}: expected {expected:?}, got {actual:?}"))
    }
}

impl<B: Bed, R: Subject<Rigged<B>>> Trial<'_, B, R> {
    fn receiver(&mut self) -> Result<&mut R, String> {
        self.receiver.as_mut().ok_or_else(|| "no receiver is open".to_owned())
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.receiver = None;
        let reports = Arc::clone(&self.reports);
        let on_report = move |database: &DatabaseId, progress| {
            let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
            reports.push((database.to_string(), progress));
        };
        let storage = self.bed.storage().map_err(|error| error.to_string())?;
        let storage = Lying::new(Faulty::new(storage, self.faults.clone()), self.bugs);
        self.receiver = Some(R::open(storage, self.bugs, Box::new(on_report))?);
        self.oracle
            .databases
            .values_mut()
            .for_each(|database| database.restart());
        Ok(())
    }

    fn take(&mut self, action: &Action) -> Result<(), String> {
        if !matches!(action, Action::Chunk { .. }) {
            self.observer.tell(action, None);
        }
        if let Action::Arm(fault) = action {
            self.faults.arm(*fault);
            return Ok(());
        }
        match action {
            Action::Chunk { sent, older_allowed } => self.chunk(action, sent, *older_allowed)?,
            Action::Abort(database) => self.abort(database)?,
            Action::AbortAll => self.abort_all()?,
            Action::ExpireAll => {
                self.receiver()?.expire_all();
                self.end_all();
            }
            Action::Reopen { close } => {
                if *close {
                    // What it could not remove, the opening below removes.
                    let _told = self.receiver()?.close();
                    expect("closed twice", &true, &self.receiver()?.close())?;
                }
                self.receiver = None;
                self.faults.disarm();
                self.reopen()?;
            }
            Action::Arm(_) => {}
        }
        self.faults.disarm();
        self.compare()
    }

    fn end_all(&mut self) {
        self.oracle
            .databases
            .values_mut()
            .for_each(|database| database.end_attempt());
    }

    fn chunk(&mut self, action: &Action, sent: &Sent, older_allowed: bool) -> Result<(), String> {
        self.numbers.note(sent);
        let before = self.oracle.clone();
        let expected = self.oracle.chunk(sent, older_allowed);
        let older = if older_allowed {
            OlderStart::Allowed
        } else {
            OlderStart::Refused
        };
        let told = self.receiver()?.chunk(sent.envelope(), older);
        let answer = told.answer.clone();
        let fired = self.faults.disarm();
        self.observer.tell(action, Some(&answer));
        self.observer.see(answer.name());
        for operation in &fired {
            self.observer.see(&format!("failed {operation}"));
        }
        if answer == expected && !matches!(expected, Answer::Pending(_) | Answer::Committed(_)) {
            // A verdict stands, whether or not its removal failed.
            return Ok(());
        }
        if fired.is_empty() {
            return expect("answer", &expected, &answer);
        }
        // SR-ERR-001: a failed call is answered as such, and ends the attempt; where a verdict
        // was due as well, either answer is right.
        expect("answer to a failed operation", &Answer::Failed, &answer)?;
        Self::check_cause(&told, &fired)?;
        self.roll_back(before, sent)
    }

    fn check_cause(told: &Told, fired: &[Operation]) -> Result<(), String> {
        let first = fired.first().copied();
        expect("the operation that failed first", &first, &told.cause)?;
        expect(
            "a failed removal beside it",
            &fired[1..].contains(&Operation::Remove),
            &told.removal_failed,
        )
    }

    /// The attempt is over; its snapshot is visible where the rename took place (SR-ERR-004).
    fn roll_back(&mut self, before: Oracle, sent: &Sent) -> Result<(), String> {
        let Some(after) = self.oracle.databases.remove(&sent.database) else {
            return Err("a failed operation for no database".to_owned());
        };
        let id = DatabaseId::new(sent.database.as_str()).map_err(|error| error.to_string())?;
        let found = self.bed.files(&id).map_err(|error| error.to_string())?.snapshot;
        self.oracle = before;
        let database = self.oracle.databases.entry(sent.database.clone()).or_default();
        database.end_attempt();
        database.forget_repeat_if(sent.offset == 0);
        if found == after.snapshot {
            database.snapshot = after.snapshot;
        }
        Ok(())
    }

    fn abort(&mut self, id: &str) -> Result<(), String> {
        let aborted = self.receiver()?.abort_database(id);
        let fired = self.faults.disarm();
        let Ok(database) = DatabaseId::new(id) else {
            return expect(
                "an abort of no valid id",
                &Aborted::Rejected("invalid_database_id"),
                &aborted,
            );
        };
        if let Some(known) = self.oracle.databases.get_mut(database.as_str()) {
            known.end_attempt();
        }
        self.observer.see("aborted");
        let expected = if fired.is_empty() {
            Aborted::Done
        } else {
            Aborted::Failed
        };
        expect("abort", &expected, &aborted)
    }

    fn abort_all(&mut self) -> Result<(), String> {
        let failures = self.receiver()?.abort();
        let fired = self.faults.disarm();
        self.end_all();
        expect("failed aborts", &fired.len(), &failures)
    }

    /// Faults stop, idle transfers expire, and the source of a new snapshot sends from 0: it
    /// commits, for every database.
    fn heal(&mut self) -> Result<(), String> {
        self.take(&Action::ExpireAll)?;
        let databases: Vec<String> = self.oracle.databases.keys().cloned().collect();
        for database in databases {
            for sent in newest(&database) {
                let (sent, older_allowed) = (sent, false);
                self.take(&Action::Chunk { sent, older_allowed })?;
            }
            let committed = self.oracle.databases[&database].snapshot.as_deref();
            expect("healed", &Some(HEALING.as_bytes()), &committed)?;
        }
        Ok(())
    }

    /// Reports, files and invariants of every database.
    fn compare(&mut self) -> Result<(), String> {
        let mut told = self.reports.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
        let mut known = BTreeSet::new();
        let receiver = self.receiver.as_ref().ok_or("no receiver is open")?;
        for (id, expected) in &mut self.oracle.databases {
            let database = DatabaseId::new(id.as_str()).map_err(|error| error.to_string())?;
            let mine = told
                .extract_if(.., |(told, _)| told == id)
                .map(|(_, progress)| match progress {
                    Progress::Bootstrapping { bytes_done, .. } => Some(bytes_done),
                    Progress::Following => None,
                });
            expect("reports", &std::mem::take(&mut expected.reports), &mine.collect())?;
            let state = receiver.state(&database).map_err(|error| error.to_string())?;
            invariants(&LIMITS, &state).map_err(|error| error.to_string())?;
            let files = self.bed.files(&database).map_err(|error| error.to_string())?;
            let partial = expected.running.as_ref().map(|(_, bytes)| bytes.clone());
            // An owed removal is a partial that may still be there (SR-ERR-005).
            if !owes_removal(&state) {
                expect("partial", &partial, &files.partial)?;
            }
            expect("snapshot", &expected.snapshot, &files.snapshot)?;
            known.extend([format!("{id}.partial"), format!("{id}.snapshot")]);
        }
        expect("reports of nobody", &Vec::new(), &told)?;
        let foreign = self.bed.foreign(&known).map_err(|error| error.to_string())?;
        expect("foreign files", &Vec::new(), &foreign)
    }
}

fn owes_removal(state: &State) -> bool {
    match state {
        State::AwaitingStart(phase) => phase.memory == Memory::RemovalOwed,
        State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => false,
    }
}
