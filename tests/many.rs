//! Many transfers at once: what they cost in descriptors, threads and memory is bounded, each gets
//! its turn, and those that run go on where nothing more can be opened.

mod support;

use std::convert::Infallible;
use std::fs::{self, File};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::{ChunkOutcome, Options, ReceiveError, Rejection, SnapshotReceiver};
use snapshot_receiver_model::harness::memory::{Call, Hooked, Memory};
use support::{Source, gate, names, pending, rejection, snapshot};
use tempfile::tempdir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;

const TRANSFERS: usize = 1_000;
const DESCRIPTORS: u64 = 1_024;
const WORKERS: usize = 8;
const RUNTIME_THREADS: usize = 2;
/// Chunks of 4 KiB, and a last one that is shorter.
const SNAPSHOT_BYTES: usize = 7 * 4096 + 5;
/// What 1,000 running transfers may add to the process, in KiB: their slots, queues, watched values
/// and tasks, and the chunks on their way. Seen: 36 MiB, of which 28 are what the tasks have to send.
const MEMORY_KIB_MAX: u64 = 64 << 10;

/// Descriptors are counted for the whole process, and so is their limit: one such test at a time.
static DESCRIPTORS_ARE_COUNTED: Mutex<()> = Mutex::new(());

/// The process may open `descriptors` until this is dropped.
struct Limited {
    before: Rlimit,
    _alone: MutexGuard<'static, ()>,
}

fn limited_to(descriptors: u64) -> Limited {
    let alone = DESCRIPTORS_ARE_COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: Some(descriptors),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, limit).expect("lowered");
    Limited { before, _alone: alone }
}

impl Drop for Limited {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.before).expect("raised to what it was");
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .build()
        .expect("a runtime")
}

/// A number of the process, as Linux shows it.
fn of_process(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux shows it");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    let number = line.split_whitespace().nth(1).expect("its number");
    number.parse().expect("a number")
}

fn source(number: usize) -> Source {
    let bytes: Vec<u8> = (0..SNAPSHOT_BYTES)
        .map(|index| u8::try_from((index * 31 + number) % 251).expect("below 251"))
        .collect();
    Source::new(&format!("db_{number:04}"), 7, bytes)
}

fn chunks(source: &Source) -> Vec<snapshot_receiver::Envelope<Vec<u8>>> {
    let total = source.bytes.len();
    let starts = (0..total).step_by(4096);
    starts
        .map(|from| source.chunk(from, total.min(from + 4096), from + 4096 >= total))
        .collect()
}

/// What the process holds at a moment.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: u64,
    memory_kib: u64,
}

fn held() -> Held {
    Held {
        descriptors: fs::read_dir("/proc/self/fd").expect("Linux shows them").count(),
        threads: of_process("Threads:"),
        memory_kib: of_process("VmRSS:"),
    }
}

/// Sends the first half of the snapshot, waits for the others, sends the rest: by even numbers chunk
/// by chunk, by odd ones as a stream.
async fn send(receiver: SnapshotReceiver, number: usize, all_run: Arc<Barrier>, counted: Arc<Barrier>) -> ChunkOutcome {
    let mut first = chunks(&source(number));
    let rest = first.split_off(4);
    let mut outcome = send_part(&receiver, number, first).await;
    assert_eq!(outcome, pending(4 * 4096));
    all_run.wait().await;
    counted.wait().await;
    outcome = send_part(&receiver, number, rest).await;
    outcome
}

async fn send_part(
    receiver: &SnapshotReceiver,
    number: usize,
    chunks: Vec<snapshot_receiver::Envelope<Vec<u8>>>,
) -> ChunkOutcome {
    if number.is_multiple_of(2) {
        let mut outcome = pending(0);
        for chunk in chunks {
            outcome = receiver.handle_chunk(chunk).await.expect("taken");
        }
        outcome
    } else {
        let chunks = stream::iter(chunks.into_iter().map(Ok::<_, Infallible>));
        receiver.receive(chunks).await.expect("taken")
    }
}

#[test]
fn a_thousand_transfers_run_under_the_usual_limit_of_descriptors_with_few_threads_and_little_memory() {
    let _limited = limited_to(DESCRIPTORS);
    let dir = tempdir().expect("a directory");
    let before = held();
    runtime().block_on(async {
        let options = Options::default().transfers_max(TRANSFERS).workers_max(WORKERS);
        let receiver = SnapshotReceiver::open(dir.path(), options).await.expect("opens");
        let barrier = || Arc::new(Barrier::new(TRANSFERS + 1));
        let (all_run, counted) = (barrier(), barrier());
        let tasks: Vec<_> = (0..TRANSFERS)
            .map(|number| {
                let (all_run, counted) = (Arc::clone(&all_run), Arc::clone(&counted));
                tokio::spawn(send(receiver.clone(), number, all_run, counted))
            })
            .collect();
        all_run.wait().await;
        let now = held();
        println!("{TRANSFERS} transfers run: {now:?}, before them {before:?}");
        assert_eq!(names(dir.path()).len(), TRANSFERS, "a partial each");
        let more = Source::new("one_more", 1, "x");
        assert_eq!(
            rejection(receiver.handle_chunk(more.whole()).await),
            (
                Rejection::TooManyTransfers {
                    transfers_max: TRANSFERS as u64
                },
                0
            )
        );
        let descriptors = now.descriptors - before.descriptors;
        assert!(descriptors <= TRANSFERS + 8, "{descriptors} descriptors");
        // The workers, the runtime's threads, one of its pool that opened the receiver, one that
        // looks for idle transfers, and one of the next test, which may have come to wait meanwhile.
        let threads = now.threads - before.threads;
        let threads_max = WORKERS + RUNTIME_THREADS + 3;
        assert!(threads <= threads_max as u64, "{threads} threads");
        let memory_kib = now.memory_kib.saturating_sub(before.memory_kib);
        assert!(memory_kib < MEMORY_KIB_MAX, "{memory_kib} KiB");
        counted.wait().await;
        for (number, task) in tasks.into_iter().enumerate() {
            let told = task.await.expect("no panic");
            assert!(
                matches!(told, ChunkOutcome::Committed { snapshot_lsn: 7, .. }),
                "{told:?}"
            );
            let source = source(number);
            let path = snapshot(dir.path(), &source.database);
            assert!(
                fs::read(path).expect("published") == source.bytes,
                "{} differs",
                source.database
            );
        }
        receiver.close().await.expect("closed");
    });
}

/// Opens descriptors until the system refuses one.
fn take_every_descriptor(of: &Path) -> Vec<File> {
    let mut taken = Vec::new();
    while let Ok(file) = File::open(of) {
        taken.push(file);
    }
    taken
}

#[test]
fn a_running_transfer_commits_where_no_descriptor_is_left_and_a_start_says_so() {
    let _limited = limited_to(256);
    let dir = tempdir().expect("a directory");
    runtime().block_on(async {
        let receiver = SnapshotReceiver::open(dir.path(), Options::default())
            .await
            .expect("opens");
        let source = source(1);
        let mut chunks = chunks(&source).into_iter();
        receiver
            .handle_chunk(chunks.next().expect("eight"))
            .await
            .expect("taken");

        let taken = take_every_descriptor(dir.path());
        let mut outcome = pending(0);
        for chunk in chunks {
            outcome = receiver
                .handle_chunk(chunk)
                .await
                .expect("taken without a descriptor more");
        }
        assert!(matches!(outcome, ChunkOutcome::Committed { .. }), "{outcome:?}");
        // The one that the commit gave back.
        let last = take_every_descriptor(dir.path());
        let refused = receiver.handle_chunk(Source::new("other", 1, "x").whole()).await;
        assert!(
            matches!(&refused, Err(ReceiveError::Storage { source, removal_failed: None, .. })
                if source.source.as_ref().and_then(std::io::Error::raw_os_error) == Some(24)),
            "EMFILE is told: {refused:?}"
        );
        drop((taken, last));
        let again = receiver.handle_chunk(Source::new("other", 1, "x").whole()).await;
        assert!(matches!(again, Ok(ChunkOutcome::Committed { .. })), "{again:?}");
        assert_eq!(
            fs::read(snapshot(dir.path(), &source.database)).expect("published"),
            source.bytes
        );
        receiver.close().await.expect("closed");
    });
}

#[test]
fn one_worker_takes_the_databases_in_turn_however_much_one_of_them_has_in_its_queue() {
    const DATABASES: u8 = 10;
    const CHUNKS: usize = 64;
    /// As in `executor/workers.rs`.
    const JOBS_PER_TURN: usize = 8;
    let (gated, arrival, open_gate) = gate(|call| matches!(call, Call::Write { data: b"first", .. }));
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&order);
    let hook = move |call: Call<'_>| {
        // Each database's bytes are its number.
        if let Call::Write { data: [number], .. } = call {
            noted.lock().expect("no panic").push(*number);
        }
        gated(call)
    };
    let storage = Hooked::new(Memory::default(), hook);
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let options = Options::default().workers_max(1);
        let receiver = SnapshotReceiver::with_storage(storage, "memory", options).expect("opens");
        let first = receiver.handle_chunk(Source::new("first", 1, "first").whole());
        let mut first = Box::pin(first);
        let mut no_context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut no_context).is_pending());
        arrival.recv().expect("the only worker is held at the gate");

        // Everything that the first one has is in the queue before the second has anything.
        let mut calls = Vec::new();
        for number in 0..DATABASES {
            let source = Source::new(&format!("db_{number}"), 1, [number; CHUNKS]);
            for from in 0..CHUNKS {
                let chunk = source.chunk(from, from + 1, from + 1 == CHUNKS);
                let mut call = Box::pin(receiver.handle_chunk(chunk));
                assert!(matches!(call.as_mut().poll(&mut no_context), Poll::Pending));
                calls.push(call);
            }
        }
        open_gate.send(()).expect("the worker waits");
        first.await.expect("committed");
        for call in calls {
            pin!(call).await.expect("taken");
        }
    });
    let order = order.lock().expect("no panic");
    assert_eq!(order.len(), usize::from(DATABASES) * CHUNKS);
    for (turn, round) in order.chunks(usize::from(DATABASES) * JOBS_PER_TURN).enumerate() {
        for number in 0..DATABASES {
            let got = round.iter().filter(|written| **written == number).count();
            assert_eq!(got, JOBS_PER_TURN, "database {number} in round {turn}: {round:?}");
        }
    }
}

#[test]
fn as_many_others_commit_while_one_is_slow_as_there_are_others() {
    let _alone = DESCRIPTORS_ARE_COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempdir().expect("a directory");
    let (hook, arrival, open_gate) = gate(|call| matches!(call, Call::Write { data: b"slow", .. }));
    let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
    runtime().block_on(async {
        let options = Options::default().transfers_max(TRANSFERS).workers_max(2);
        let receiver = SnapshotReceiver::with_storage(storage, dir.path(), options).expect("opens");
        let slow = tokio::spawn({
            let receiver = receiver.clone();
            async move { receiver.handle_chunk(Source::new("slow", 1, "slow").whole()).await }
        });
        arrival.recv().expect("it is at the gate");
        let others: Vec<_> = (1..TRANSFERS)
            .map(|number| {
                let receiver = receiver.clone();
                let source = Source::new(&format!("db_{number}"), 1, "quick");
                tokio::spawn(async move { receiver.handle_chunk(source.whole()).await })
            })
            .collect();
        for other in others {
            let told = other.await.expect("no panic");
            assert!(matches!(told, Ok(ChunkOutcome::Committed { .. })), "{told:?}");
        }
        assert!(!slow.is_finished());
        open_gate.send(()).expect("it waits");
        slow.await.expect("no panic").expect("committed at last");
    });
}
