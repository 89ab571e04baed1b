//! Many threads, too many for every interleaving: drawn at random.
//!
//! Guarantees: eight threads make two hundred calls at random in each run; after each round of eight,
//! some order of them explains every answer, every file and what is remembered (SR-CON-001). Refuses to
//! know: anything but what the other scenarios know.

use std::sync::{Arc, Mutex as Plain};

use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::Barrier;
use snapshot_receiver_model::harness::oracle::Oracle;
use snapshot_receiver_model::harness::sequential::{Call, Calls, Told};
use snapshot_receiver_model::harness::Sent;

use super::engine::{block_on, spawn};
use super::executor::Receiver;
use super::protocol::State;
use super::scenarios::{A, B, C, DATABASES, Disk, NEWER_A, bytes_done, envelope, id, options, seen, told};
use super::tokio::SnapshotReceiver;

const THREADS: u8 = 8;
const ROUNDS: usize = 25;

/// What a thread does next.
#[derive(Clone, Debug)]
enum Move {
    Chunk(Sent),
    Abort(&'static str),
    Progress(&'static str),
}

fn drawn() -> Move {
    let mut draw = thread_rng();
    let source = [A, A, NEWER_A, B, C][draw.gen_range(0..5)];
    match draw.gen_range(0..10) {
        0 => Move::Abort(source.database),
        1 => Move::Progress(source.database),
        2..=4 => Move::Chunk(source.chunk(0, [2, source.bytes.len()][draw.gen_range(0..2)])),
        5..=7 => Move::Chunk(source.chunk(2, [3, source.bytes.len()][draw.gen_range(0..2)])),
        _ => Move::Chunk(source.chunk(3, source.bytes.len())),
    }
}

/// A receiver that takes moves.
trait Taker: Send + Sync + 'static {
    fn open(disk: Disk) -> Self;
    fn take(&self, next: &Move) -> Told;
    fn state(&self, database: &str) -> State;
}

impl Taker for Receiver<Disk> {
    fn open(disk: Disk) -> Self {
        Self::with_storage(disk, "/", options()).expect("opens")
    }

    fn take(&self, next: &Move) -> Told {
        match next {
            Move::Chunk(sent) => told(self.handle_chunk(envelope(sent))),
            Move::Abort(database) => self.abort_database(database).map(|()| Told::Aborted).expect("aborted"),
            Move::Progress(database) => Told::Progress(bytes_done(&Taker::state(self, database))),
        }
    }

    fn state(&self, database: &str) -> State {
        Receiver::state(self, &id(database)).expect("open")
    }
}

impl Taker for SnapshotReceiver<Disk> {
    fn open(disk: Disk) -> Self {
        Self::with_storage(disk, "/", options().workers_max(2).queue_bytes_max(1200)).expect("opens")
    }

    fn take(&self, next: &Move) -> Told {
        match next {
            Move::Chunk(sent) => told(block_on(self.handle_chunk(envelope(sent)))),
            Move::Abort(database) => block_on(self.abort_database(database)).map(|()| Told::Aborted).expect("aborted"),
            Move::Progress(database) => Told::Progress(bytes_done(&Taker::state(self, database))),
        }
    }

    fn state(&self, database: &str) -> State {
        block_on(SnapshotReceiver::state(self, &id(database))).expect("open")
    }
}

/// Threads that call the receiver.
pub fn threads() {
    crowd::<Receiver<Disk>>();
}

/// Threads whose tasks call the async face.
pub fn tasks() {
    crowd::<SnapshotReceiver<Disk>>();
}

fn crowd<R: Taker>() {
    let disk = Disk::new();
    let receiver = Arc::new(R::open(disk.clone()));
    let round = Arc::new(Plain::new(Arc::new(Calls::default())));
    let barrier = Arc::new(Barrier::new(usize::from(THREADS) + 1));
    let threads: Vec<_> = (1..=THREADS)
        .map(|me| {
            let (receiver, round, barrier) = (Arc::clone(&receiver), Arc::clone(&round), Arc::clone(&barrier));
            spawn(move || {
                for _ in 0..ROUNDS {
                    barrier.wait();
                    let calls = Arc::clone(&round.lock().expect("no panic while it is locked"));
                    let next = drawn();
                    calls.begin(me, match &next {
                        Move::Chunk(sent) => Call::Chunk(sent.clone()),
                        Move::Abort(database) => Call::Abort((*database).into()),
                        Move::Progress(database) => Call::Progress((*database).into()),
                    });
                    calls.end(me, receiver.take(&next));
                    barrier.wait();
                }
            })
        })
        .collect();
    let mut oracle = Oracle::default();
    for _ in 0..ROUNDS {
        let calls = Arc::new(Calls::on(oracle.clone()));
        *round.lock().expect("no panic while it is locked") = Arc::clone(&calls);
        barrier.wait();
        barrier.wait();
        for database in DATABASES {
            let seen = seen(&receiver.state(database), disk.files(database));
            calls.note(0, Call::Look(database.into()), seen);
        }
        // What is seen at rest is all that the oracle remembers, so one order is as good as another.
        oracle = calls.check().unwrap_or_else(|error| panic!("{error}")).oracle;
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
}
