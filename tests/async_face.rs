//! The async face: many tasks, both kinds of runtime, dropped futures, watched progress.

mod support;

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use snapshot_receiver::executor::{FileSystem, Storage};
use snapshot_receiver::{ChunkOutcome, Envelope, Options, Progress, ReceiveError, Rejection, SnapshotReceiver};
use snapshot_receiver_model::harness::memory::{Call, Hooked};
use support::{Source, gate, names, pending, rejection, snapshot};
use tempfile::tempdir;
use tokio::runtime::{Builder, Handle, Runtime};

/// Each test runs on both kinds of runtime.
fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let build = |mut builder: Builder| -> Runtime { builder.enable_all().build().expect("a runtime") };
    build(Builder::new_current_thread()).block_on(test());
    build(Builder::new_multi_thread()).block_on(test());
}

async fn open(data_dir: &std::path::Path) -> SnapshotReceiver {
    SnapshotReceiver::open(data_dir, Options::default())
        .await
        .expect("opens")
}

#[test]
fn a_transfer_commits_and_its_progress_can_be_watched() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let mut options = Options::default();
        options.limits.report_bytes = 2;
        let receiver = SnapshotReceiver::open(dir.path(), options).await.expect("opens");
        let mut watched = receiver.progress("db").expect("a valid id");
        assert_eq!(*watched.borrow(), None);
        assert!(receiver.progress("../db").is_err());
        let source = Source::new("db", 42, "abcdef");
        assert_eq!(
            receiver.handle_chunk(source.chunk(0, 3, false)).await.expect("taken"),
            pending(3)
        );
        let report = Progress::Bootstrapping {
            bytes_done: 3,
            bytes_total: 6,
        };
        assert_eq!(*watched.borrow(), Some(report));
        let committed = receiver.handle_chunk(source.rest(3)).await.expect("committed");
        let snapshot_path = snapshot(dir.path(), "db");
        assert_eq!(fs::read(&snapshot_path).expect("published"), b"abcdef");
        let snapshot_lsn = 42;
        assert_eq!(
            committed,
            ChunkOutcome::Committed {
                snapshot_lsn,
                snapshot_path
            }
        );
        assert_eq!(*watched.borrow_and_update(), Some(Progress::Following));
        receiver.close().await.expect("closed");
        assert!(watched.changed().await.is_err(), "a close ends the watching");
    });
}

#[test]
fn many_tasks_share_it_and_each_database_commits_its_own_bytes() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let receiver = Arc::new(open(dir.path()).await);
        let tasks: Vec<_> = (0..32u8)
            .map(|number| {
                let receiver = Arc::clone(&receiver);
                tokio::spawn(async move {
                    let source = Source::new(&format!("db_{number}"), 1, vec![number; 100]);
                    for from in (0..100).step_by(10) {
                        let chunk = source.chunk(from, from + 10, from == 90);
                        receiver.handle_chunk(chunk).await.expect("taken");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        for number in 0..32u8 {
            let held = fs::read(snapshot(dir.path(), &format!("db_{number}"))).expect("published");
            assert_eq!(held, vec![number; 100]);
        }
    });
}

#[test]
fn calls_of_one_database_keep_their_order() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let receiver = open(dir.path()).await;
        let source = Source::new("db", 1, vec![7; 64]);
        // Polled in order, once each, before any of them is through.
        let calls = (0..64).map(|from| receiver.handle_chunk(source.chunk(from, from + 1, from == 63)));
        let told = futures_util::future::join_all(calls).await;
        assert!(told.iter().all(Result::is_ok), "{told:?}");
    });
}

#[test]
fn aborts_end_one_transfer_or_all() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let receiver = open(dir.path()).await;
        let sources = ["a", "b", "c"].map(|database| Source::new(database, 1, "abcdef"));
        for source in &sources {
            receiver.handle_chunk(source.chunk(0, 3, false)).await.expect("taken");
        }
        receiver.abort_database("a").await.expect("aborted");
        assert_eq!(names(dir.path()), ["b.partial", "c.partial"]);
        receiver.abort().await.expect("aborted");
        assert_eq!(names(dir.path()), Vec::<String>::new());
        receiver.abort().await.expect("idempotent");
        let told = rejection(receiver.handle_chunk(sources[1].rest(3)).await);
        assert_eq!(told.0, Rejection::OffsetMismatch { expected: 0, actual: 3 });
        assert!(receiver.abort_database("a/b").await.is_err());
    });
}

#[test]
fn a_call_dropped_after_any_number_of_polls_leaves_the_receiver_usable() {
    on_both(|| async {
        for polls in 0..6 {
            let dir = tempdir().expect("a directory");
            let receiver = open(dir.path()).await;
            let source = Source::new("db", 1, "abcdef");
            receiver.handle_chunk(source.chunk(0, 2, false)).await.expect("taken");
            {
                let mut call = pin!(receiver.handle_chunk(source.chunk(2, 4, false)));
                for _ in 0..polls {
                    let mut context = Context::from_waker(Waker::noop());
                    if call.as_mut().poll(&mut context).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            // It took effect whole or not at all, and the next call says which.
            let told = match receiver.handle_chunk(source.rest(4)).await {
                Err(ReceiveError::Rejected {
                    rejection,
                    resume_offset,
                    ..
                }) => {
                    assert_eq!(rejection, Rejection::OffsetMismatch { expected: 2, actual: 4 });
                    assert_eq!(resume_offset, 2);
                    receiver.handle_chunk(source.rest(2)).await
                }
                told => told,
            };
            assert!(matches!(told, Ok(ChunkOutcome::Committed { .. })), "{told:?}");
            assert_eq!(fs::read(snapshot(dir.path(), "db")).expect("published"), b"abcdef");
        }
    });
}

#[test]
fn closing_waits_for_what_has_begun_and_for_no_future_that_nobody_polls() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let (hook, arrival, open_gate) = gate(|call| *call == Call::Create);
        let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
        let receiver = SnapshotReceiver::with_storage(storage, dir.path(), Options::default()).expect("opens");
        let source = Source::new("db", 1, "abcdef");
        let mut first = Box::pin(receiver.handle_chunk(source.chunk(0, 2, false)));
        let mut second = Box::pin(receiver.handle_chunk(source.chunk(2, 4, false)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            first.as_mut().poll(&mut context).is_pending(),
            "begun, and held at the gate"
        );
        arrival.recv().expect("on a worker");
        assert!(second.as_mut().poll(&mut context).is_pending(), "waits for its turn");
        let (closed, ()) = tokio::join!(receiver.close(), async {
            open_gate.send(()).expect("somebody waits");
        });
        closed.expect("closed");
        assert_eq!(names(dir.path()), Vec::<String>::new());
        assert_eq!(first.await.expect("it had begun"), pending(2));
        // It was in the queue: its turn came before the closing, or never.
        match second.await {
            Ok(outcome) => assert_eq!(outcome, pending(4)),
            Err(error) => assert!(matches!(error, ReceiveError::Closed), "{error}"),
        }
        drop(open(dir.path()).await);
    });
}

#[test]
fn a_slow_database_delays_no_other_while_a_worker_is_free() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let (hook, arrival, open_gate) = gate(|call| matches!(call, Call::Write { data: b"slow", .. }));
        let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
        let options = Options::default().workers_max(2);
        let receiver = SnapshotReceiver::with_storage(storage, dir.path(), options).expect("opens");
        let slow = Source::new("slow", 1, "slow");
        // Many calls for the slow database: those that wait for their turn hold no worker.
        let waiting: Vec<_> = (0..8)
            .map(|_| tokio::spawn(send(receiver.clone(), slow.whole())))
            .collect();
        tokio::task::yield_now().await;
        arrival.recv().expect("one of them is at the gate");
        for number in 0..4 {
            let source = Source::new(&format!("quick_{number}"), 1, "quick");
            receiver
                .handle_chunk(source.whole())
                .await
                .expect("committed while the other waits");
        }
        for _ in 0..8 {
            open_gate.send(()).expect("somebody waits");
        }
        for call in waiting {
            call.await.expect("no panic").expect("committed");
        }
    });
}

#[test]
fn a_chunk_that_waits_for_a_worker_keeps_its_transfer_from_being_idle() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let (hook, arrival, open_gate) = gate(|call| matches!(call, Call::Write { data: b"slow", .. }));
        let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
        let options = Options::default().workers_max(1);
        let receiver = SnapshotReceiver::with_storage(storage, dir.path(), options).expect("opens");
        let (slow, source) = (Source::new("slow", 1, "slow"), Source::new("db", 1, "abcdef"));
        receiver.handle_chunk(source.chunk(0, 3, false)).await.expect("taken");
        let first = tokio::spawn(send(receiver.clone(), slow.whole()));
        tokio::task::yield_now().await;
        arrival.recv().expect("it has the only worker");
        let mut queued = Box::pin(receiver.handle_chunk(source.rest(3)));
        assert!(
            queued
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(receiver.expire_idle(Duration::ZERO).await.expect("looked"), 0);
        open_gate.send(()).expect("it waits");
        queued.await.expect("committed");
        first.await.expect("no panic").expect("committed");
    });
}

#[test]
fn calls_are_worked_on_though_the_runtime_has_shut_down() {
    let dir = tempdir().expect("a directory");
    let runtime = Builder::new_multi_thread().build().expect("a runtime");
    let receiver = runtime.block_on(open(dir.path()));
    let source = Source::new("db", 1, "abcdef");
    runtime
        .block_on(receiver.handle_chunk(source.chunk(0, 3, false)))
        .expect("taken");
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    assert_eq!(
        handle
            .block_on(receiver.handle_chunk(source.chunk(3, 4, false)))
            .expect("taken"),
        pending(4)
    );
    handle.block_on(receiver.abort()).expect("aborted");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    let cancelled = handle.block_on(receiver.expire_idle(Duration::ZERO));
    assert!(matches!(cancelled, Err(ReceiveError::Cancelled)), "{cancelled:?}");
    handle.block_on(receiver.close()).expect("closing works all the same");
    Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(open(dir.path()));
}

async fn send<S>(receiver: SnapshotReceiver<S>, envelope: Envelope<Vec<u8>>) -> Result<ChunkOutcome, ReceiveError>
where
    S: Storage<Partial: Send> + Clone + Send + Sync + 'static,
{
    receiver.handle_chunk(envelope).await
}

#[test]
fn the_callback_may_block_on_the_receiver() {
    let dir = tempdir().expect("a directory");
    let runtime = Builder::new_multi_thread().build().expect("a runtime");
    let slot: Arc<OnceLock<SnapshotReceiver>> = Arc::default();
    let inner = Arc::clone(&slot);
    let mut options = Options::default().on_progress(move |database, progress| {
        if progress != Progress::Following {
            let receiver = inner.get().expect("opened");
            Handle::current()
                .block_on(receiver.abort_database(database.as_str()))
                .expect("aborted");
        }
    });
    options.limits.report_bytes = 1;
    runtime.block_on(async {
        let receiver = SnapshotReceiver::open(dir.path(), options).await.expect("opens");
        slot.set(receiver.clone()).expect("set once");
        let source = Source::new("db", 1, "abcdef");
        assert_eq!(
            receiver.handle_chunk(source.chunk(0, 3, false)).await.expect("taken"),
            pending(3)
        );
        assert_eq!(names(dir.path()), Vec::<String>::new());
    });
}

#[test]
fn a_payload_is_moved_and_let_go() {
    on_both(|| async {
        let dir = tempdir().expect("a directory");
        let receiver = open(dir.path()).await;
        let data = Bytes::from(vec![b'x'; 4096]);
        let envelope = Envelope {
            source_cluster_id: "eu".into(),
            source_database_id: "db".into(),
            snapshot_lsn: 1,
            total_bytes: 4096,
            total_crc32c: crc32c::crc32c(&data),
            offset: 0,
            data: data.clone(),
            done: true,
        };
        receiver.handle_chunk(envelope).await.expect("committed");
        assert!(data.is_unique(), "the receiver kept a copy");
    });
}
