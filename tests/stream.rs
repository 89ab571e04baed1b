//! A whole transfer from a stream: as chunk by chunk, only faster.

mod support;

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::tokio::StreamError;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, Progress, Rejection, SnapshotReceiver};
use snapshot_receiver_model::harness::memory::{Call, Hooked};
use support::{Arrival, Source, gate, names, pending, rejection, snapshot};
use tempfile::tempdir;
use tokio::runtime::Builder;

fn block_on<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index * 31 % 251).expect("below 251"))
        .collect()
}

fn chunks(source: &Source, length: usize) -> Vec<Envelope<Vec<u8>>> {
    let total = source.bytes.len();
    let starts = (0..total).step_by(length);
    starts
        .map(|from| source.chunk(from, total.min(from + length), from + length >= total))
        .collect()
}

fn all(chunks: Vec<Envelope<Vec<u8>>>) -> impl futures_util::Stream<Item = Result<Envelope<Vec<u8>>, Infallible>> {
    stream::iter(chunks.into_iter().map(Ok))
}

/// A receiver, and what it reports.
async fn reporting(data_dir: &std::path::Path) -> (SnapshotReceiver, Arc<Mutex<Vec<Progress>>>) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&reports);
    let options = Options::default()
        .report_bytes(100_000)
        .on_progress(move |_, progress| noted.lock().expect("no panic").push(progress));
    (SnapshotReceiver::open(data_dir, options).await.expect("opens"), reports)
}

#[test]
fn files_and_reports_are_those_of_the_chunks_one_by_one() {
    for length in [1_000, 4_096, 7_777, 40_000, 99_999, 100_000, 300_000] {
        let source = Source::new("db", 1, bytes(700_001));
        let (one_by_one, streamed) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
        block_on(async {
            let (receiver, expected) = reporting(one_by_one.path()).await;
            for chunk in chunks(&source, length) {
                receiver.handle_chunk(chunk).await.expect("taken");
            }
            let (receiver, reports) = reporting(streamed.path()).await;
            let outcome = receiver.receive(all(chunks(&source, length))).await.expect("received");
            assert!(
                matches!(outcome, ChunkOutcome::Committed { snapshot_lsn: 1, .. }),
                "{outcome:?}"
            );
            assert_eq!(
                *reports.lock().expect("no panic"),
                *expected.lock().expect("no panic"),
                "chunks of {length}"
            );
        });
        let held = fs::read(snapshot(streamed.path(), "db")).expect("published");
        assert!(held == bytes(700_001), "chunks of {length}");
    }
}

#[test]
fn a_stream_goes_on_where_another_ended_and_reports_where_it_would_have() {
    block_on(async {
        let dir = tempdir().expect("a directory");
        let (receiver, reports) = reporting(dir.path()).await;
        let source = Source::new("db", 1, bytes(400_000));
        let mut first = chunks(&source, 3_000);
        let second = first.split_off(50);
        assert_eq!(receiver.receive(all(first)).await.expect("taken"), pending(150_000));
        receiver.receive(all(second)).await.expect("committed");
        let done: Vec<_> = reports.lock().expect("no panic").clone();
        let report = |bytes_done| Progress::Bootstrapping {
            bytes_done,
            bytes_total: 400_000,
        };
        assert_eq!(
            done,
            [report(102_000), report(204_000), report(306_000), Progress::Following]
        );
    });
}

fn rejected(error: StreamError<Infallible>) -> (Rejection, u64) {
    let StreamError::Receive(told) = error else {
        panic!("{error}");
    };
    rejection(Err(told))
}

#[test]
fn a_chunk_that_is_not_taken_ends_the_reading_and_changes_nothing() {
    block_on(async {
        let dir = tempdir().expect("a directory");
        let receiver = SnapshotReceiver::open(dir.path(), Options::default())
            .await
            .expect("opens");
        let source = Source::new("db", 1, bytes(10_000));
        let mut sent = chunks(&source, 1_000);
        sent.remove(4);
        let error = receiver.receive(all(sent)).await.expect_err("a chunk is missing");
        let (rejection, resume_offset) = rejected(error);
        assert_eq!(
            rejection,
            Rejection::OffsetMismatch {
                expected: 4_000,
                actual: 5_000
            }
        );
        assert_eq!(resume_offset, 4_000);
        let rest = chunks(&source, 1_000).split_off(4);
        receiver.receive(all(rest)).await.expect("goes on from there");
        assert_eq!(fs::read(snapshot(dir.path(), "db")).expect("published"), bytes(10_000));
    });
}

fn writes_at(place: usize) -> impl Fn(&Call<'_>) -> bool + Clone {
    move |call| matches!(call, Call::Write { offset, .. } if *offset == place as u64)
}

/// Lets a stream be received until a call has come to the gate.
async fn until(receive: &mut (impl Future + Unpin), arrival: Arrival) {
    let arrived = tokio::task::spawn_blocking(move || arrival.recv());
    match select(receive, arrived).await {
        Either::Left(_) => panic!("it is through, and nothing came to the gate"),
        Either::Right((arrived, _)) => arrived.expect("no panic").expect("a call at the gate"),
    }
}

/// Found in review: the worker went on with what stood in the queue behind a rejection.
#[test]
fn chunks_behind_one_that_is_not_taken_have_no_effect_although_they_were_read() {
    // Small ones are joined, large ones are not.
    for length in [1_000, 100_000] {
        block_on(async {
            let dir = tempdir().expect("a directory");
            let (hook, arrival, open_gate) = gate(writes_at(length));
            let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
            let receiver = SnapshotReceiver::with_storage(storage, dir.path(), Options::default()).expect("opens");
            let source = Source::new("db", 1, bytes(5 * length));
            let chunk = |number: usize| source.chunk(number * length, (number + 1) * length, number == 4);
            // The fourth before the third, which would be taken after the rejection.
            let sent = vec![chunk(0), chunk(1), chunk(3), chunk(2), chunk(4)];
            let mut receive = Box::pin(receiver.receive(all(sent)));
            until(&mut receive, arrival).await;
            for _ in 0..100 {
                let polled = receive.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "the second chunk is at the gate");
                tokio::task::yield_now().await;
            }
            open_gate.send(()).expect("it waits");
            let error = receive.await.expect_err("one is missing");
            let (expected, actual) = (2 * length as u64, 3 * length as u64);
            assert_eq!(
                rejected(error),
                (Rejection::OffsetMismatch { expected, actual }, expected)
            );
            let rest = vec![chunk(2), chunk(3), chunk(4)];
            let outcome = receiver
                .receive(all(rest))
                .await
                .expect("goes on from where it was told to");
            assert!(matches!(outcome, ChunkOutcome::Committed { .. }), "{outcome:?}");
        });
    }
}

#[test]
fn chunks_past_the_total_are_refused_although_those_before_them_were_joined() {
    block_on(async {
        let dir = tempdir().expect("a directory");
        let receiver = SnapshotReceiver::open(dir.path(), Options::default())
            .await
            .expect("opens");
        let source = Source::new("db", 1, bytes(2_500));
        let mut sent = chunks(&source, 1_000);
        sent[2].data.extend(b"more");
        let error = receiver.receive(all(sent)).await.expect_err("too long");
        let (rejection, resume_offset) = rejected(error);
        assert_eq!(
            rejection,
            Rejection::LengthOverrun {
                total_bytes: 2_500,
                end: 2_504
            }
        );
        assert_eq!(resume_offset, 2_000);
    });
}

#[test]
fn what_came_before_a_stream_failed_is_taken() {
    block_on(async {
        let dir = tempdir().expect("a directory");
        let receiver = SnapshotReceiver::open(dir.path(), Options::default())
            .await
            .expect("opens");
        let source = Source::new("db", 1, bytes(5_000));
        let arrived = chunks(&source, 1_000).into_iter().take(3).map(Ok);
        let failing = stream::iter(arrived).chain(stream::iter([Err("the link broke")]));
        let error = receiver.receive(failing).await.expect_err("it failed");
        assert!(matches!(error, StreamError::Source("the link broke")), "{error}");
        let rest = chunks(&source, 1_000).split_off(3);
        receiver.receive(all(rest)).await.expect("goes on from there");
        let nothing = receiver.receive(all(Vec::new())).await.expect_err("there was nothing");
        assert!(matches!(nothing, StreamError::Empty), "{nothing}");
    });
}

#[test]
fn a_wrong_checksum_is_told_and_leaves_nothing() {
    block_on(async {
        let dir = tempdir().expect("a directory");
        let receiver = SnapshotReceiver::open(dir.path(), Options::default())
            .await
            .expect("opens");
        for length in [1_000, 100_000] {
            let mut sent = chunks(&Source::new("db", 1, bytes(300_000)), length);
            sent[1].data[7] ^= 1;
            let error = receiver.receive(all(sent)).await.expect_err("a bit was flipped");
            assert!(
                error.to_string().contains("checksum") || error.to_string().contains("CRC"),
                "{error}"
            );
            assert_eq!(names(dir.path()), Vec::<String>::new());
        }
    });
}

#[test]
fn a_stream_dropped_after_any_number_of_polls_leaves_the_receiver_usable() {
    block_on(async {
        for polls in 0..40 {
            let dir = tempdir().expect("a directory");
            let options = Options::default().queue_bytes_max(4_000).workers_max(1);
            let receiver = SnapshotReceiver::open(dir.path(), options).await.expect("opens");
            let source = Source::new("db", 1, bytes(20_000));
            {
                let mut receive = pin!(receiver.receive(all(chunks(&source, 1_500))));
                for _ in 0..polls {
                    if receive
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()))
                        .is_ready()
                    {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            receiver.receive(all(chunks(&source, 7_000))).await.expect("committed");
            assert_eq!(fs::read(snapshot(dir.path(), "db")).expect("published"), bytes(20_000));
            assert_eq!(names(dir.path()), ["db.snapshot"]);
        }
    });
}

/// Found in review: a stream without a transfer was read until its queue was full, so that what all
/// streams hold was bounded by nothing but their number (SR-CON-005).
#[test]
fn a_stream_is_not_read_past_its_first_chunk_before_that_is_taken() {
    block_on(async {
        let dir = tempdir().expect("a directory");
        let options = Options::default().transfers_max(1);
        let receiver = SnapshotReceiver::open(dir.path(), options).await.expect("opens");
        let running = Source::new("running", 1, bytes(2_000));
        receiver
            .handle_chunk(running.chunk(0, 1_000, false))
            .await
            .expect("taken");
        for length in [1_000, 100_000] {
            let read = Arc::new(AtomicUsize::new(0));
            let reading = Arc::clone(&read);
            let sent = chunks(&Source::new("db", 1, bytes(1_000_000)), length);
            let counted = all(sent).inspect(move |_| {
                reading.fetch_add(1, Ordering::Relaxed);
            });
            let error = receiver.receive(counted).await.expect_err("there is no place");
            let (told, _) = rejected(error);
            assert!(matches!(told, Rejection::TooManyTransfers { .. }), "{told}");
            assert_eq!(read.load(Ordering::Relaxed), 1, "chunks of {length}");
        }
    });
}

/// Bytes that are counted while they live.
struct Counted {
    bytes: Vec<u8>,
    live: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[test]
fn no_more_is_held_than_the_queue_and_one_chunk_and_the_stream_is_read_no_further() {
    const QUEUE: usize = 400_000;
    for length in [1_000, 50_000, 90_000] {
        block_on(async {
            let dir = tempdir().expect("a directory");
            let (hook, arrival, open_gate) = gate(writes_at(length));
            let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
            let options = Options::default().queue_bytes_max(QUEUE);
            let receiver = SnapshotReceiver::with_storage(storage, dir.path(), options).expect("opens");
            let source = Source::new("db", 1, bytes(2_000_000));
            let (live, read) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (counting, reading) = (Arc::clone(&live), Arc::clone(&read));
            let counted = all(chunks(&source, length)).map(move |chunk| {
                let chunk = chunk.expect("no error");
                counting.fetch_add(chunk.data.len(), Ordering::Relaxed);
                reading.fetch_add(chunk.data.len(), Ordering::Relaxed);
                let data = Counted {
                    bytes: chunk.data,
                    live: Arc::clone(&counting),
                };
                Ok::<_, Infallible>(Envelope {
                    source_cluster_id: chunk.source_cluster_id,
                    source_database_id: chunk.source_database_id,
                    snapshot_lsn: chunk.snapshot_lsn,
                    total_bytes: chunk.total_bytes,
                    total_crc32c: chunk.total_crc32c,
                    offset: chunk.offset,
                    data,
                    done: chunk.done,
                })
            });
            let mut receive = Box::pin(receiver.receive(counted));
            until(&mut receive, arrival).await;
            // The storage is stuck: the stream is read until the queue is full.
            for _ in 0..1_000 {
                let polled = receive.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending(), "the storage is stuck");
                tokio::task::yield_now().await;
            }
            assert!(
                read.load(Ordering::Relaxed) - length <= QUEUE + length,
                "read {read:?}, of which the first is written, chunks of {length}"
            );
            assert!(
                live.load(Ordering::Relaxed) <= QUEUE + length,
                "held {live:?}, chunks of {length}"
            );
            open_gate.send(()).expect("it waits");
            receive.await.expect("committed");
            assert_eq!(live.load(Ordering::Relaxed), 0, "payloads are let go");
        });
    }
}
