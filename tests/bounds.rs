//! What is bounded, and who may wait for whom: extreme numbers, transfers, remembered commits, idle
//! time, reports.
//!
//! Guarantees: what is told. Refuses to know: timing; idle transfers are ended by asking for it.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use snapshot_receiver::executor::{FileSystem, Storage};
use snapshot_receiver::{DatabaseId, Options, Progress, ReceiveError, Receiver, Rejection};
use snapshot_receiver_model::harness::memory::{Call, Hooked};
use support::{Arrival, Source, gate, names, open, partial, pending, rejection};
use tempfile::tempdir;

#[test]
fn extreme_numbers_are_refused_in_the_order_of_judgement() {
    let dir = tempdir().expect("a directory");
    let options = Options::default().chunk_bytes_max(4).snapshot_bytes_max(6);
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let source = Source::new("db", 1, "abcdef");
    let mut start = source.chunk(0, 4, false);
    start.total_bytes = u64::MAX;
    let told = rejection(receiver.handle_chunk(start));
    assert_eq!(
        told.0,
        Rejection::SnapshotTooLarge {
            limit: 6,
            actual: u64::MAX
        }
    );
    let told = rejection(receiver.handle_chunk(source.whole()));
    assert_eq!(told.0, Rejection::ChunkTooLarge { limit: 4, actual: 6 });
    let mut short = source.chunk(0, 4, false);
    short.total_bytes = 3;
    let told = rejection(receiver.handle_chunk(short));
    assert_eq!(told.0, Rejection::LengthOverrun { total_bytes: 3, end: 4 });
    let mut far = source.rest(3);
    far.offset = u64::MAX;
    let told = rejection(receiver.handle_chunk(far.clone()));
    assert_eq!(
        told.0,
        Rejection::OffsetMismatch {
            expected: 0,
            actual: u64::MAX
        }
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());

    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    let told = rejection(receiver.handle_chunk(far));
    assert_eq!(
        told,
        (
            Rejection::OffsetMismatch {
                expected: 3,
                actual: u64::MAX
            },
            3
        )
    );
    // An oversized chunk of the running transfer: it can go on where it was.
    let mut oversized = source.chunk(0, 5, false);
    oversized.offset = 3;
    let told = rejection(receiver.handle_chunk(oversized));
    assert_eq!(told, (Rejection::ChunkTooLarge { limit: 4, actual: 5 }, 3));
    receiver.handle_chunk(source.rest(3)).expect("committed");
}

#[test]
fn transfers_are_bounded_and_a_restart_is_never_one_too_many() {
    let dir = tempdir().expect("a directory");
    let receiver = Receiver::open(dir.path(), Options::default().transfers_max(2)).expect("opens");
    let sources = ["a", "b", "c"].map(|database| Source::new(database, 1, "abcdef"));
    for source in &sources[..2] {
        receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    }
    let told = rejection(receiver.handle_chunk(sources[2].whole()));
    assert_eq!(told, (Rejection::TooManyTransfers { transfers_max: 2 }, 0));
    receiver
        .handle_chunk(sources[0].chunk(0, 1, false))
        .expect("a start takes its own place");
    receiver
        .handle_chunk(sources[1].rest(3))
        .expect("committed, and its place is free");
    receiver.handle_chunk(sources[2].chunk(0, 3, false)).expect("taken");
    receiver.abort_database("a").expect("aborted, and its place is free");
    receiver.handle_chunk(sources[1].chunk(0, 3, false)).expect("taken");
}

#[test]
fn remembered_commits_are_bounded_and_the_longest_past_is_forgotten_first() {
    let dir = tempdir().expect("a directory");
    let options = Options::default().remembered_commits_max(2);
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    for database in ["a", "b", "c"] {
        receiver
            .handle_chunk(Source::new(database, 9, "abc").whole())
            .expect("committed");
    }
    for database in ["b", "c"] {
        let told = rejection(receiver.handle_chunk(Source::new(database, 1, "abc").whole()));
        assert_eq!(told.0, Rejection::StaleSnapshot { newest: 9, actual: 1 }, "{database}");
    }
    receiver
        .handle_chunk(Source::new("a", 1, "abc").whole())
        .expect("forgotten");
}

#[test]
fn a_running_transfer_does_not_push_a_remembered_commit_out() {
    let dir = tempdir().expect("a directory");
    let options = Options::default().remembered_commits_max(1);
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let (a, b) = (Source::new("a", 9, "abc"), Source::new("b", 9, "abc"));
    receiver.handle_chunk(a.whole()).expect("committed");
    receiver.handle_chunk(a.chunk(0, 1, false)).expect("runs again");
    receiver.handle_chunk(b.whole()).expect("committed");
    let told = rejection(receiver.handle_chunk(Source::new("b", 1, "abc").whole()));
    assert_eq!(told.0, Rejection::StaleSnapshot { newest: 9, actual: 1 });
}

/// Real files, of which one kind of call waits at a gate.
fn gated(
    data_dir: &Path,
    waits: fn(&Call<'_>) -> bool,
    options: Options,
) -> (
    Receiver<impl Storage<Partial: Send> + Clone + Send + use<>>,
    Arrival,
    mpsc::Sender<()>,
) {
    let (hook, arrival, open_gate) = gate(waits);
    let storage = Hooked::new(FileSystem::open(data_dir).expect("opens"), hook);
    let receiver = Receiver::with_storage(storage, data_dir, options).expect("opens");
    (receiver, arrival, open_gate)
}

#[test]
fn a_start_beside_one_that_begins_and_ends_at_once_fits_an_order_of_the_two() {
    let dir = tempdir().expect("a directory");
    let options = Options::default().transfers_max(1);
    let (receiver, arrival, open_gate) = gated(dir.path(), |call| *call == Call::Sync, options);
    std::thread::scope(|scope| {
        let quick = scope.spawn(|| receiver.handle_chunk(Source::new("quick", 1, "abc").whole()));
        arrival.recv().expect("it holds the only place");
        let other = scope.spawn(|| receiver.handle_chunk(Source::new("other", 1, "abc").chunk(0, 1, false)));
        open_gate.send(()).expect("it waits");
        quick.join().expect("no panic").expect("committed");
        // Quick before other: its place is free. Other before quick: quick would be refused.
        assert_eq!(other.join().expect("no panic").expect("taken"), pending(1));
    });
}

#[test]
fn an_abort_beside_a_closing_returns_when_the_transfer_has_ended() {
    let dir = tempdir().expect("a directory");
    let (receiver, arrival, open_gate) = gated(dir.path(), |call| *call == Call::Sync, Options::default());
    receiver
        .handle_chunk(Source::new("running", 1, "abc").chunk(0, 1, false))
        .expect("taken");
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| receiver.handle_chunk(Source::new("slow", 1, "abc").whole()));
        arrival.recv().expect("a call is in flight");
        let closing = scope.spawn(|| receiver.close());
        while !matches!(receiver.abort_database("nobody"), Err(ReceiveError::Closed)) {
            std::thread::yield_now();
        }
        let aborting = scope.spawn(|| {
            receiver.abort().expect("aborted");
            assert!(
                !partial(dir.path(), "running").exists(),
                "aborted means that the partial is gone"
            );
        });
        open_gate.send(()).expect("it waits");
        slow.join().expect("no panic").expect("committed");
        closing.join().expect("no panic").expect("closed");
        aborting.join().expect("no panic");
    });
}

#[test]
fn an_idle_transfer_is_ended_and_a_busy_one_is_not() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    assert_eq!(receiver.expire_idle(Duration::from_secs(3600)), 0);
    assert_eq!(
        receiver.handle_chunk(source.chunk(3, 4, false)).expect("it goes on"),
        pending(4)
    );
    assert_eq!(receiver.expire_idle(Duration::ZERO), 1);
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert_eq!(receiver.expire_idle(Duration::ZERO), 0);
    let told = rejection(receiver.handle_chunk(source.rest(4)));
    assert_eq!(told, (Rejection::OffsetMismatch { expected: 0, actual: 4 }, 0));
}

#[test]
fn the_receiver_ends_idle_transfers_by_itself() {
    let dir = tempdir().expect("a directory");
    let options = Options::default().idle_timeout(Some(Duration::from_millis(1)));
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    receiver
        .handle_chunk(Source::new("db", 1, "abcdef").chunk(0, 3, false))
        .expect("taken");
    // Ends when it has happened, however long that takes: nothing else removes the partial.
    while partial(dir.path(), "db").exists() {
        std::thread::yield_now();
    }
    let database = DatabaseId::new("db").expect("valid");
    assert!(!receiver.state(&database).expect("open").is_running());
}

#[test]
fn an_idle_timeout_of_nothing_ends_and_does_not_spin_up_a_failure() {
    let dir = tempdir().expect("a directory");
    let options = Options::default().idle_timeout(Some(Duration::ZERO));
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    receiver
        .handle_chunk(Source::new("db", 1, "abc").whole())
        .expect("one call is never idle");
}

// --- Progress ---------------------------------------------------------------------------------

#[test]
fn the_callback_may_call_the_receiver_and_reports_stay_in_order() {
    let dir = tempdir().expect("a directory");
    let slot: Arc<OnceLock<Receiver>> = Arc::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inner, noted) = (Arc::clone(&slot), Arc::clone(&seen));
    let source = Source::new("db", 1, "abcdef");
    let within = source.clone();
    let mut options = Options::default().on_progress(move |_, progress| {
        noted.lock().expect("reports").push(progress);
        let receiver = inner.get().expect("opened");
        match progress {
            Progress::Bootstrapping { bytes_done: 2, .. } => {
                receiver.handle_chunk(within.chunk(2, 4, false)).expect("taken");
            }
            Progress::Bootstrapping { .. } => receiver.abort().expect("aborted"),
            Progress::Following => {}
        }
    });
    options.limits.report_bytes = 2;
    slot.set(Receiver::open(dir.path(), options).expect("opens"))
        .expect("set once");
    let receiver = slot.get().expect("opened");
    receiver.handle_chunk(source.chunk(0, 2, false)).expect("taken");
    let report = |bytes_done| Progress::Bootstrapping {
        bytes_done,
        bytes_total: 6,
    };
    assert_eq!(*seen.lock().expect("reports"), [report(2), report(4)]);
    assert_eq!(
        names(dir.path()),
        Vec::<String>::new(),
        "aborted from within the callback"
    );
}

#[test]
fn reports_of_a_database_are_delivered_one_at_a_time_and_in_order() {
    let dir = tempdir().expect("a directory");
    let (seen, busy) = (Arc::new(Mutex::new(Vec::new())), AtomicBool::new(false));
    let noted = Arc::clone(&seen);
    let mut options = Options::default().on_progress(move |_, progress| {
        assert!(!busy.swap(true, Ordering::SeqCst), "two at a time");
        std::thread::yield_now();
        if let Progress::Bootstrapping { bytes_done, .. } = progress {
            noted.lock().expect("reports").push(bytes_done);
        }
        busy.store(false, Ordering::SeqCst);
    });
    options.limits.report_bytes = 1;
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let source = Source::new("db", 1, [7; 400]);
    receiver.handle_chunk(source.chunk(0, 1, false)).expect("taken");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Each thread sends every chunk; one of them is taken each time.
                for from in 1..399 {
                    while let Err(ReceiveError::Rejected { resume_offset, .. }) =
                        receiver.handle_chunk(source.chunk(from, from + 1, false))
                        && resume_offset < from as u64
                    {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    // Whoever delivers may be a moment behind the last call; nothing else is to come.
    while seen.lock().expect("reports").len() < 399 {
        std::thread::yield_now();
    }
    let seen = seen.lock().expect("reports");
    assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
}
