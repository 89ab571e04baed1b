//! Many tasks on real files for a while: transfers that are sent chunk by chunk and as streams, by two
//! sources of each database, with aborts, starts in the middle, chunks twice and dropped futures.
//!
//! `SOAK_TRANSFERS=10000 cargo test --release --test soak` runs a longer campaign.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use futures_util::stream;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, ReceiveError, SnapshotReceiver};
use tempfile::tempdir;
use tokio::runtime::Builder;

const TASKS: u64 = 16;
const DATABASES: u64 = 8;

/// Attempts of each task.
fn transfers() -> u64 {
    std::env::var("SOAK_TRANSFERS").map_or(1000, |number| number.parse().expect("a number of transfers"))
}

/// A snapshot whose bytes say which one it is.
#[derive(Clone)]
struct Source {
    database: String,
    lsn: u64,
    bytes: Arc<[u8]>,
}

impl Source {
    fn new(database: String, lsn: u64, length: usize) -> Self {
        let mut bytes = lsn.to_le_bytes().to_vec();
        let mut next = lsn;
        while bytes.len() < length {
            next = next
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.extend(next.to_le_bytes());
        }
        let bytes = bytes.into();
        Self { database, lsn, bytes }
    }

    /// What was sent under this LSN, found again from a file.
    fn of(database: &str, held: &[u8]) -> Self {
        let lsn = held
            .first_chunk()
            .map(|lsn| u64::from_le_bytes(*lsn))
            .expect("a snapshot says its LSN");
        Self::new(database.to_owned(), lsn, held.len())
    }

    fn chunk(&self, from: usize, to: usize) -> Envelope<Vec<u8>> {
        Envelope {
            source_cluster_id: "eu".into(),
            source_database_id: self.database.as_str().into(),
            snapshot_lsn: self.lsn,
            total_bytes: self.bytes.len() as u64,
            total_crc32c: crc32c::crc32c(&self.bytes),
            offset: from as u64,
            data: self.bytes[from..to].to_vec(),
            done: to == self.bytes.len(),
        }
    }

    fn chunks(&self, length: usize) -> Vec<Envelope<Vec<u8>>> {
        let starts = (0..self.bytes.len()).step_by(length);
        starts
            .map(|from| self.chunk(from, self.bytes.len().min(from + length)))
            .collect()
    }
}

/// Polls a call a few times and drops it, wherever it is.
async fn poll_and_drop(call: impl Future, polls: u64) {
    let mut call = pin!(call);
    for _ in 0..polls {
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

struct Task {
    receiver: SnapshotReceiver,
    data_dir: Arc<Path>,
    database: String,
    drawn: u64,
    lsns: Arc<AtomicU64>,
    commits: u64,
}

impl Task {
    fn below(&mut self, bound: u64) -> u64 {
        // Steele and Vigna's splitmix64.
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.drawn ^ (self.drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    async fn run(mut self) -> u64 {
        for _ in 0..transfers() {
            let lsn = self.lsns.fetch_add(1, Ordering::Relaxed);
            let length = 8 * (1 + self.below(6_000)) as usize;
            let source = Source::new(self.database.clone(), lsn, length);
            let chunk_bytes = 1 + self.below(16_000) as usize;
            if self.below(2) == 0 {
                let chunks = source.chunks(chunk_bytes).into_iter().map(Ok::<_, Infallible>);
                let (receiver, is_dropped) = (self.receiver.clone(), self.draw_rarely());
                let receive = receiver.receive(stream::iter(chunks));
                if is_dropped {
                    poll_and_drop(receive, self.polls()).await;
                } else if let Ok(outcome) = receive.await {
                    self.told(&outcome);
                }
            } else {
                self.send_one_by_one(&source, chunk_bytes).await;
            }
        }
        self.commits
    }

    fn polls(&mut self) -> u64 {
        self.below(6)
    }

    fn draw_rarely(&mut self) -> bool {
        self.below(8) == 0
    }

    async fn send_one_by_one(&mut self, source: &Source, chunk_bytes: usize) {
        for chunk in source.chunks(chunk_bytes) {
            if self.draw_rarely() {
                let (receiver, polls) = (self.receiver.clone(), self.polls());
                poll_and_drop(receiver.handle_chunk(chunk.clone()), polls).await;
            }
            if self.draw_rarely() && self.draw_rarely() {
                self.receiver.abort_database(&self.database).await.expect("aborted");
            }
            match self.receiver.handle_chunk(chunk).await {
                Ok(outcome) => self.told(&outcome),
                // The other source started again, or an abort came, or a dropped call took effect.
                Err(ReceiveError::Rejected { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What is committed is what its source sent, byte for byte: this one, or a later one by now.
    fn told(&mut self, outcome: &ChunkOutcome) {
        if let ChunkOutcome::Committed {
            snapshot_lsn,
            snapshot_path,
        } = outcome
        {
            self.commits += 1;
            let held = fs::read(snapshot_path).expect("committed is there");
            let sent = Source::of(&self.database, &held);
            assert!(sent.lsn >= *snapshot_lsn, "an older snapshot is there");
            assert_eq!(held, *sent.bytes, "torn");
            assert!(snapshot_path.starts_with(&*self.data_dir));
        }
    }
}

#[test]
fn every_commit_of_many_tasks_is_what_its_source_sent() {
    let dir = tempdir().expect("a directory");
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .expect("a runtime");
    let (commits, names) = runtime.block_on(async {
        let options = Options::default().workers_max(4).queue_bytes_max(64 << 10);
        let receiver = SnapshotReceiver::open(dir.path(), options).await.expect("opens");
        let data_dir: Arc<Path> = dir.path().into();
        let lsns = Arc::new(AtomicU64::new(1));
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                let task = Task {
                    receiver: receiver.clone(),
                    data_dir: Arc::clone(&data_dir),
                    database: format!("db_{}", number % DATABASES),
                    drawn: number,
                    lsns: Arc::clone(&lsns),
                    commits: 0,
                };
                tokio::spawn(task.run())
            })
            .collect();
        let mut commits = 0;
        for task in tasks {
            commits += task.await.expect("no panic");
        }
        receiver.close().await.expect("closed");
        let names = fs::read_dir(dir.path().join("recv_snapshots")).expect("it is there");
        (
            commits,
            names.map(|entry| entry.expect("read").file_name()).collect::<Vec<_>>(),
        )
    });
    println!("{commits} commits of {} attempts", TASKS * transfers());
    assert!(commits > TASKS, "nearly nothing was committed: the test says nothing");
    assert!(
        names.iter().all(|name| name.to_string_lossy().ends_with(".snapshot")),
        "partials are left: {names:?}"
    );
}
