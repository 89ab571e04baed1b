//! What several test files need: envelopes, and what stands on the disk.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::protocol::FailureKind;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, Progress, ReceiveError, Receiver, Rejection};
use snapshot_receiver_model::harness::memory::{Call, Fault, Faults, Faulty};

/// A snapshot to send.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) cluster: String,
    pub(crate) database: String,
    pub(crate) lsn: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) crc: u32,
}

impl Source {
    pub(crate) fn new(database: &str, lsn: u64, bytes: impl AsRef<[u8]>) -> Self {
        Self {
            cluster: "prod-us".to_owned(),
            database: database.to_owned(),
            lsn,
            bytes: bytes.as_ref().to_vec(),
            crc: crc32c::crc32c(bytes.as_ref()),
        }
    }

    pub(crate) fn of_cluster(self, cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            ..self
        }
    }

    /// The chunk `[from, to)`.
    pub(crate) fn chunk(&self, from: usize, to: usize, done: bool) -> Envelope<Vec<u8>> {
        Envelope {
            source_cluster_id: self.cluster.as_str().into(),
            source_database_id: self.database.as_str().into(),
            snapshot_lsn: self.lsn,
            total_bytes: self.bytes.len() as u64,
            total_crc32c: self.crc,
            offset: from as u64,
            data: self.bytes[from..to].to_vec(),
            done,
        }
    }

    /// The whole snapshot in one chunk.
    pub(crate) fn whole(&self) -> Envelope<Vec<u8>> {
        self.chunk(0, self.bytes.len(), true)
    }

    /// The chunk from `from` to the end.
    pub(crate) fn rest(&self, from: usize) -> Envelope<Vec<u8>> {
        self.chunk(from, self.bytes.len(), true)
    }
}

pub(crate) fn partial(data_dir: &Path, database: &str) -> PathBuf {
    data_dir.join("recv_snapshots").join(format!("{database}.partial"))
}

pub(crate) fn snapshot(data_dir: &Path, database: &str) -> PathBuf {
    data_dir.join("recv_snapshots").join(format!("{database}.snapshot"))
}

/// Names in the receive directory, sorted.
pub(crate) fn names(data_dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data_dir.join("recv_snapshots")).expect("the receive directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub(crate) type Reports = Arc<Mutex<Vec<Progress>>>;

/// Options that note every report.
pub(crate) fn noting() -> (Options, Reports) {
    let reports = Reports::default();
    let noted = Arc::clone(&reports);
    let options = Options::default().on_progress(move |_, progress| noted.lock().expect("reports").push(progress));
    (options, reports)
}

pub(crate) fn open(data_dir: &Path) -> Receiver {
    Receiver::open(data_dir, Options::default()).expect("the receiver opens")
}

/// The rejection, and where the source can go on.
pub(crate) fn rejection(told: Result<ChunkOutcome, ReceiveError>) -> (Rejection, u64) {
    match told {
        Err(ReceiveError::Rejected {
            rejection,
            resume_offset,
            removal_failed: None,
        }) => (rejection, resume_offset),
        other => panic!("not a plain rejection: {other:?}"),
    }
}

pub(crate) fn pending(bytes_done: u64) -> ChunkOutcome {
    ChunkOutcome::Pending { bytes_done }
}

/// Says that a call has come to a gate.
pub(crate) struct Arrival(mpsc::Receiver<()>);

impl Arrival {
    /// Waits for it; fails, rather than hanging, where it never comes.
    pub(crate) fn recv(&self) -> Result<(), mpsc::RecvTimeoutError> {
        self.0.recv_timeout(Duration::from_secs(60))
    }
}

/// A hook at which one kind of call waits, after saying that it has come; what says so; what lets
/// one go on.
pub(crate) fn gate(
    waits: impl Fn(&Call<'_>) -> bool + Clone + Send + Sync,
) -> (
    impl Fn(Call<'_>) -> Option<Fault> + Clone + Send + Sync,
    Arrival,
    mpsc::Sender<()>,
) {
    let (open_gate, gate) = mpsc::channel();
    let (arrived, arrival) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let hook = move |call: Call<'_>| {
        if waits(&call) {
            // Nobody may be interested in this one.
            let _told = arrived.send(());
            gate.lock().expect("gate").recv().expect("opened");
        }
        None
    };
    (hook, Arrival(arrival), open_gate)
}

/// Real files whose operations fail as `faults` says.
pub(crate) fn faulty(data_dir: &Path, faults: &Faults) -> Receiver<Faulty<FileSystem>> {
    let storage = Faulty::new(FileSystem::open(data_dir).expect("opens"), faults.clone());
    Receiver::with_storage(storage, data_dir, Options::default()).expect("opens")
}

/// A fault that comes once.
pub(crate) fn fault(after: u8, kind: FailureKind) -> Fault {
    Fault {
        after,
        kind,
        takes_effect: false,
    }
}
