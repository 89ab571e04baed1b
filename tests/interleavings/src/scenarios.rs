//! What the threads do, and what must come of it.
//!
//! Guarantees: each scenario is a body for a checker of interleavings; after each, every file and every
//! answer fits some order of the calls (SR-CON-001), no two storage operations of a database meet
//! (SR-ABT-004, SR-PUB-004), and no thread is left waiting. Refuses to know: which checker runs it, and
//! which variant of the shell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as Plain};
use std::time::Duration;

use snapshot_receiver_model::harness::memory::Files;
use snapshot_receiver_model::harness::sequential::{Call, Calls, Told};
use snapshot_receiver_model::harness::{self, Answer, Sent};

use super::engine::{Condvar, Mutex, explore, spawn};
use super::executor::{
    ChunkOutcome, Directory, Found, Options, ReceiveError, Receiver, Storage, StorageError,
};
use super::protocol::{DatabaseId, Envelope, FailureKind, Limits, Memory, Progress, State, Verified};

/// The bodies.
pub const SCENARIOS: &[(&str, fn())] = &[
    ("two_copies_of_a_chunk", two_copies_of_a_chunk),
    ("a_start_beside_the_final_chunk", a_start_beside_the_final_chunk),
    ("an_abort_beside_a_chunk", an_abort_beside_a_chunk),
    ("an_abort_and_a_start_beside_a_chunk", an_abort_and_a_start_beside_a_chunk),
    ("two_starts", two_starts),
    ("an_abort_beside_a_start", an_abort_beside_a_start),
    ("a_failing_write_beside_a_start", a_failing_write_beside_a_start),
    ("starts_for_the_last_place", starts_for_the_last_place),
    ("chunk_abort_and_question", chunk_abort_and_question),
    ("an_abort_of_all_beside_two_databases", an_abort_of_all_beside_two_databases),
    ("a_close_beside_a_chunk", a_close_beside_a_chunk),
    ("an_expiry_beside_a_chunk", an_expiry_beside_a_chunk),
    ("a_callback_that_asks_the_receiver", a_callback_that_asks_the_receiver),
    ("a_callback_that_panics", a_callback_that_panics),
    ("reports_of_two_calls", reports_of_two_calls),
];

/// The most preemptions that loom explores of a scenario, where all of them would take too long.
#[must_use]
pub fn preemptions_max(scenario: &str) -> Option<usize> {
    Some(match scenario {
        "an_abort_beside_a_stream" | "a_stream_with_a_gap" | "a_slow_database_beside_another" => 2,
        "a_dropped_stream" | "a_stream" => 3,
        "an_abort_of_all_beside_two_databases" => 1,
        "chunk_abort_and_question" | "a_callback_that_panics" | "two_tasks" | "two_calls_in_order" => 2,
        "an_answered_chunk_is_there" | "a_dropped_call" | "a_report_between_two_calls" => 2,
        "an_abort_and_a_start_beside_a_chunk" | "starts_for_the_last_place" | "reports_of_two_calls" => 3,
        _ => return None,
    })
}

/// What the threads of one exploration were answered, in all interleavings.
static OUTCOMES: Plain<BTreeSet<String>> = Plain::new(BTreeSet::new());

/// One exploration at a time: the outcomes are of one.
static EXPLORING: Plain<()> = Plain::new(());

pub fn note_outcome(outcome: impl Into<String>) {
    OUTCOMES.lock().expect("no panic while it is locked").insert(outcome.into());
}

/// Explores one of the bodies.
pub fn explored(scenario: &str, body: fn()) -> crate::Explored {
    let _alone = EXPLORING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    OUTCOMES.lock().expect("no panic while it is locked").clear();
    let executions = explore(preemptions_max(scenario), body);
    let outcomes = OUTCOMES.lock().expect("no panic while it is locked").len();
    crate::Explored { executions, outcomes }
}

// ---------------------------------------------------------------------------------------- a disk

/// Files in memory, whose operations tell when two of one database meet.
#[derive(Clone, Debug)]
pub struct Disk(pub Arc<DiskInner>);

#[derive(Debug)]
pub struct DiskInner {
    names: Plain<BTreeMap<String, Inode>>,
    /// By database: held during an operation. The checker may switch threads while it is.
    busy: BTreeMap<&'static str, Mutex<()>>,
    /// Fails the next write.
    fails: Plain<bool>,
    /// A write of database `a` waits until the other one says so.
    pub is_slow: Plain<bool>,
    pub goes_on: (Mutex<bool>, Condvar),
}

type Inode = Arc<Plain<Vec<u8>>>;

#[derive(Debug)]
pub struct Partial {
    database: String,
    inode: Inode,
}

pub const DATABASES: [&str; 3] = ["a", "b", "c"];

impl Disk {
    pub fn new() -> Self {
        Self(Arc::new(DiskInner {
            names: Plain::default(),
            busy: DATABASES.map(|database| (database, Mutex::new(()))).into(),
            fails: Plain::default(),
            is_slow: Plain::default(),
            goes_on: (Mutex::new(false), Condvar::new()),
        }))
    }

    fn during<R>(
        &self,
        name: &str,
        database: &str,
        operation: impl FnOnce(&mut BTreeMap<String, Inode>) -> R,
    ) -> R {
        crate::turns::tell(|| format!("    {name} of database {database}"));
        let alone = self.0.busy[database].try_lock();
        assert!(alone.is_ok(), "two storage operations of database {database} meet (SR-ABT-004)");
        let done = operation(&mut self.0.names.lock().expect("no panic while it is locked"));
        drop(alone);
        done
    }

    pub fn files(&self, database: &str) -> Files {
        let names = self.0.names.lock().expect("no panic while it is locked");
        let read = |kind: &str| {
            let inode = names.get(&format!("{database}.{kind}"))?;
            Some(inode.lock().expect("no panic while it is locked").clone())
        };
        Files {
            partial: read("partial"),
            snapshot: read("snapshot"),
        }
    }
}

impl Storage for Disk {
    type Partial = Partial;

    fn create(&mut self, database: &DatabaseId) -> Result<Partial, StorageError> {
        let database = database.as_str().to_owned();
        self.during("create", &database.clone(), |names| {
            let inode = Inode::default();
            names.insert(format!("{database}.partial"), Arc::clone(&inode));
            Ok(Partial { database, inode })
        })
    }

    fn write_at(&mut self, partial: &mut Partial, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        if partial.database == "a" && *self.0.is_slow.lock().expect("no panic while it is locked") {
            let (goes_on, changed) = &self.0.goes_on;
            let mut goes_on = goes_on.lock().expect("no panic under the lock");
            while !*goes_on {
                goes_on = changed.wait(goes_on).expect("no panic under the lock");
            }
        }
        self.during("write", &partial.database.clone(), |_| {
            if std::mem::take(&mut *self.0.fails.lock().expect("no panic while it is locked")) {
                return Err(FailureKind::Full.into());
            }
            let mut bytes = partial.inode.lock().expect("no panic while it is locked");
            let (start, end) = (offset as usize, offset as usize + data.len());
            let length = bytes.len().max(end);
            bytes.resize(length, 0);
            bytes[start..end].copy_from_slice(data);
            Ok(())
        })
    }

    fn sync(&mut self, partial: &mut Partial) -> Result<(), StorageError> {
        self.during("sync", &partial.database.clone(), |_| Ok(()))
    }

    fn publish(&mut self, partial: Partial, _: &Verified) -> Result<(), StorageError> {
        let database = &partial.database;
        self.during("publish", database, |names| {
            // A plain rename: whatever has the name is published.
            let inode = names.remove(&format!("{database}.partial")).ok_or(FailureKind::Other)?;
            names.insert(format!("{database}.snapshot"), inode);
            Ok(())
        })
    }

    fn sync_directory(&mut self, _: Directory) -> Result<(), StorageError> {
        Ok(())
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.during("remove", database.as_str(), |names| {
            names.remove(&format!("{database}.partial"));
            Ok(())
        })
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        Ok(Vec::new())
    }
}

// ---------------------------------------------------------------------------- sources and callers

/// A snapshot of a database.
#[derive(Clone, Copy)]
pub struct Source {
    pub database: &'static str,
    pub lsn: u64,
    pub bytes: &'static [u8],
}

impl Source {
    pub fn chunk(self, from: usize, to: usize) -> Sent {
        Sent {
            cluster: "eu".into(),
            database: self.database.into(),
            lsn: self.lsn,
            total: self.bytes.len() as u64,
            crc: crc32c::crc32c(self.bytes),
            offset: from as u64,
            data: self.bytes[from..to].to_vec(),
            done: to == self.bytes.len(),
        }
    }
}

pub const A: Source = Source { database: "a", lsn: 1, bytes: b"abcdef" };
pub const NEWER_A: Source = Source { database: "a", lsn: 2, bytes: b"ABCDEF" };
pub const B: Source = Source { database: "b", lsn: 1, bytes: b"bcde" };
pub const C: Source = Source { database: "c", lsn: 1, bytes: b"cdef" };

/// The harness's limits and options, as this variant's types.
pub fn options() -> Options {
    let limits = Limits {
        chunk_bytes_max: harness::LIMITS.chunk_bytes_max,
        snapshot_bytes_max: harness::LIMITS.snapshot_bytes_max,
        report_bytes: harness::LIMITS.report_bytes,
    };
    let mut options = Options::default().transfers_max(harness::TRANSFERS_MAX).idle_timeout(None);
    options.limits = limits;
    options
}

pub fn envelope(sent: &Sent) -> Envelope<Vec<u8>> {
    Envelope {
        source_cluster_id: sent.cluster.as_str().into(),
        source_database_id: sent.database.as_str().into(),
        snapshot_lsn: sent.lsn,
        total_bytes: sent.total,
        total_crc32c: sent.crc,
        offset: sent.offset,
        data: sent.data.clone(),
        done: sent.done,
    }
}

pub fn id(database: &str) -> DatabaseId {
    DatabaseId::new(database).expect("a valid id")
}

pub fn told(outcome: Result<ChunkOutcome, ReceiveError>) -> Told {
    Told::Answer(match outcome {
        Ok(ChunkOutcome::Pending { bytes_done }) => Answer::Pending(bytes_done),
        Ok(ChunkOutcome::Committed { snapshot_lsn, .. }) => Answer::Committed(snapshot_lsn),
        Err(ReceiveError::Rejected { rejection, resume_offset, .. }) => Answer::Rejected {
            reason: rejection.reason(),
            values: rejection.expected_and_actual(),
            resume: resume_offset,
        },
        Err(ReceiveError::Storage { .. }) => Answer::Failed,
        Err(ReceiveError::Closed | ReceiveError::Cancelled) => return Told::Closed,
    })
}

pub fn bytes_done(state: &State) -> Option<u64> {
    match state {
        State::AwaitingChunk(phase) => Some(phase.received_bytes),
        State::AwaitingStart(_) => None,
        // Both last only while one call is worked on.
        State::AwaitingPublication(_) | State::AwaitingRemoval(_) => panic!("a state between two steps was seen"),
    }
}

/// What is seen of a database at rest.
pub fn seen(state: &State, files: Files) -> Told {
    let is_repeated = match state {
        State::AwaitingStart(phase) => matches!(phase.memory, Memory::CommittedBy(_)),
        State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => false,
    };
    Told::Seen {
        bytes_done: bytes_done(state),
        latest_lsn: state.latest().map(|commit| commit.snapshot_lsn),
        is_repeated,
        files,
    }
}

/// What a scenario's threads share.
pub struct Bed<R> {
    pub receiver: R,
    pub disk: Disk,
    pub calls: Calls,
}

impl<R> Bed<R> {
    /// Everything has come to rest: the files of each database, and the order of the calls.
    pub fn check(&self, state: impl Fn(&str) -> State) {
        for database in DATABASES {
            let seen = seen(&state(database), self.disk.files(database));
            self.calls.note(0, Call::Look(database.into()), seen);
        }
        match self.calls.check() {
            Ok(_) => note_outcome(format!("{:?}", self.calls.answers())),
            Err(error) => panic!("{error}"),
        }
    }
}

type Sync = Bed<Receiver<Disk>>;

impl Sync {
    fn new(options: Options) -> Arc<Self> {
        let disk = Disk::new();
        let receiver = Receiver::with_storage(disk.clone(), "/", options).expect("opens");
        Arc::new(Self { receiver, disk, calls: Calls::default() })
    }

    fn chunk(&self, thread: u8, sent: Sent) {
        self.calls.begin(thread, Call::Chunk(sent.clone()));
        self.calls.end(thread, told(self.receiver.handle_chunk(envelope(&sent))));
    }

    fn abort(&self, thread: u8, database: &str) {
        self.calls.begin(thread, Call::Abort(database.into()));
        let aborted = self.receiver.abort_database(database);
        assert!(aborted.is_ok(), "{aborted:?}");
        self.calls.end(thread, Told::Aborted);
    }

    fn progress(&self, thread: u8, database: &str) {
        self.calls.begin(thread, Call::Progress(database.into()));
        let state = self.receiver.state(&id(database)).expect("open");
        self.calls.end(thread, Told::Progress(bytes_done(&state)));
    }

    fn finish(&self) {
        self.check(|database| self.receiver.state(&id(database)).expect("open"));
    }
}

/// A thread beside the main one; each is given the bed and its number.
fn beside(bed: &Arc<Sync>, first: fn(&Sync, u8), second: fn(&Sync, u8)) {
    both(bed, first, second);
    bed.finish();
}

fn both(bed: &Arc<Sync>, first: fn(&Sync, u8), second: fn(&Sync, u8)) {
    let shared = Arc::clone(bed);
    let thread = spawn(move || first(&shared, 1));
    second(bed, 2);
    thread.join().expect("no panic");
}

// ------------------------------------------------------------------------------------ the threads

pub fn two_copies_of_a_chunk() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(2, 4)), |bed, me| bed.chunk(me, A.chunk(2, 4)));
}

pub fn a_start_beside_the_final_chunk() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(2, 6)), |bed, me| bed.chunk(me, NEWER_A.chunk(0, 2)));
}

pub fn an_abort_beside_a_chunk() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(2, 4)), |bed, me| bed.abort(me, "a"));
}

pub fn an_abort_and_a_start_beside_a_chunk() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    beside(
        &bed,
        |bed, me| bed.chunk(me, A.chunk(2, 4)),
        |bed, me| {
            bed.abort(me, "a");
            bed.chunk(me, NEWER_A.chunk(0, 6));
        },
    );
}

pub fn two_starts() {
    let bed = Sync::new(options());
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(0, 2)), |bed, me| bed.chunk(me, A.chunk(0, 4)));
}

/// The abort finds nothing to end, and must not take the entry with it that the start uses.
pub fn an_abort_beside_a_start() {
    let bed = Sync::new(options());
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(0, 2)), |bed, me| bed.abort(me, "a"));
}

pub fn a_failing_write_beside_a_start() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    *bed.disk.0.fails.lock().expect("no panic while it is locked") = true;
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(2, 4)), |bed, me| bed.chunk(me, NEWER_A.chunk(0, 3)));
}

/// One place is left: both may have it if the first gives it back by ending at once.
pub fn starts_for_the_last_place() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    beside(&bed, |bed, me| bed.chunk(me, B.chunk(0, 4)), |bed, me| bed.chunk(me, C.chunk(0, 2)));
}

pub fn chunk_abort_and_question() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    let shared = Arc::clone(&bed);
    let asking = spawn(move || shared.progress(3, "a"));
    both(&bed, |bed, me| bed.chunk(me, A.chunk(2, 6)), |bed, me| bed.abort(me, "a"));
    asking.join().expect("no panic");
    bed.finish();
}

/// An abort of all is an abort of each (SR-ABT-001): of those that ran when it was called.
pub fn an_abort_of_all_beside_two_databases() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    bed.chunk(0, B.chunk(0, 2));
    beside(
        &bed,
        |bed, me| bed.chunk(me, A.chunk(2, 6)),
        |bed, _| {
            // One call of two effects: as two calls that begin together.
            bed.calls.begin(2, Call::Abort("a".into()));
            bed.calls.begin(3, Call::Abort("b".into()));
            bed.receiver.abort().expect("aborted");
            bed.calls.end(2, Told::Aborted);
            bed.calls.end(3, Told::Aborted);
        },
    );
}

/// Once the closing is through, nobody holds the storage, and no partial is left (SR-REC-004).
pub fn a_close_beside_a_chunk() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    let shared = Arc::clone(&bed);
    let thread = spawn(move || shared.chunk(1, A.chunk(2, 4)));
    bed.calls.begin(2, Call::Abort("a".into()));
    bed.receiver.close().expect("closed");
    bed.calls.end(2, Told::Aborted);
    assert_eq!(Arc::strong_count(&bed.disk.0), 1, "the storage is still held (SR-REC-004)");
    assert_eq!(bed.disk.files("a").partial, None, "a partial is left (SR-REC-004)");
    thread.join().expect("no panic");
    assert!(matches!(bed.receiver.handle_chunk(envelope(&A.chunk(0, 2))), Err(ReceiveError::Closed)));
    bed.check(|_| State::default());
}

pub fn an_expiry_beside_a_chunk() {
    let bed = Sync::new(options());
    bed.chunk(0, A.chunk(0, 2));
    beside(
        &bed,
        |bed, me| bed.chunk(me, A.chunk(2, 4)),
        |bed, me| {
            bed.calls.begin(me, Call::Abort("a".into()));
            // Where it found the transfer at work, it left it alone: then the call did nothing.
            if bed.receiver.expire_idle(Duration::ZERO) == 1 {
                bed.calls.end(me, Told::Aborted);
            } else {
                bed.calls.end(me, Told::Closed);
            }
        },
    );
}

/// A bed whose callback is given it.
fn with_callback(callback: fn(&Sync, &DatabaseId, Progress)) -> Arc<Sync> {
    Arc::new_cyclic(|bed: &std::sync::Weak<Sync>| {
        let weak = bed.clone();
        let options = options().on_progress(move |database, progress| {
            if let Some(bed) = weak.upgrade() {
                callback(&bed, database, progress);
            }
        });
        let disk = Disk::new();
        let receiver = Receiver::with_storage(disk.clone(), "/", options).expect("opens");
        Bed { receiver, disk, calls: Calls::default() }
    })
}

/// No lock is held: neither its own database's nor another's (SR-PRG-003).
pub fn a_callback_that_asks_the_receiver() {
    let bed = with_callback(|bed, database, _| {
        let _state = bed.receiver.state(database).expect("open");
    });
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(0, 4)), |bed, me| bed.abort(me, "a"));
}

pub fn a_callback_that_panics() {
    let bed = with_callback(|_, _, _| std::panic::resume_unwind(Box::new("the callback's own")));
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(0, 4)), |bed, me| bed.chunk(me, A.chunk(0, 6)));
}

/// One at a time, and in the order of the commits (SR-PRG-003).
pub fn reports_of_two_calls() {
    static SEEN: Plain<Vec<Progress>> = Plain::new(Vec::new());
    SEEN.lock().expect("no panic while it is locked").clear();
    let bed = with_callback(|bed, _, progress| {
        let alone = bed.disk.0.busy["c"].try_lock();
        assert!(alone.is_ok(), "two reports are delivered at once (SR-PRG-003)");
        SEEN.lock().expect("no panic while it is locked").push(progress);
        drop(alone);
    });
    bed.chunk(0, A.chunk(0, 2));
    beside(&bed, |bed, me| bed.chunk(me, A.chunk(2, 6)), |bed, me| bed.chunk(me, NEWER_A.chunk(0, 4)));
    let seen = SEEN.lock().expect("no panic while it is locked").clone();
    let started = Progress::Bootstrapping { bytes_done: 4, bytes_total: 6 };
    // The start of the newer snapshot is admitted in every order; the rest of the older one before it.
    let orders = [vec![started.clone()], vec![Progress::Following, started]];
    assert!(orders.contains(&seen), "reports out of order (SR-PRG-003): {seen:?}");
}
