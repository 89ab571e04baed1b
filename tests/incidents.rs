//! The sixteen defects of the design that this project starts from (A1 to A16), each as something that
//! cannot happen.
//!
//! The design is `MirrorBootstrapReceiver` of the public crate `nodedb-cluster` 0.2.1; its defects
//! were found by running it. Concurrent ones are tested here as outcomes.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::protocol::{FailureKind, IdentityMismatch, Operation};
use snapshot_receiver::{ChunkOutcome, Envelope, OlderStart, Options, ReceiveError, Receiver, Rejection};
use snapshot_receiver_model::harness::memory::{Call, Faults, Hooked};
use support::{Source, fault, faulty, names, open, partial, rejection, snapshot};
use tempfile::tempdir;

#[test]
fn a1_done_with_too_few_bytes_is_a_length_mismatch() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let mut source = Source::new("db_01", 1, "abcdef");
    source.crc = crc32c::crc32c(b"abc");
    let told = rejection(receiver.handle_chunk(source.chunk(0, 3, true)));
    let expected = Rejection::LengthMismatch {
        total_bytes: 6,
        received_bytes: 3,
    };
    assert_eq!(told, (expected, 0));
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn a2_more_bytes_than_declared_are_refused_before_a_byte_is_written() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 4, false)).expect("taken");
    let mut long = source.chunk(4, 6, false);
    long.data.push(b'!');
    let told = rejection(receiver.handle_chunk(long));
    assert_eq!(told, (Rejection::LengthOverrun { total_bytes: 6, end: 7 }, 4));
    assert_eq!(fs::read(partial(dir.path(), "db_01")).expect("the partial"), b"abcd");
    assert!(receiver.handle_chunk(source.rest(4)).is_ok());
}

#[test]
fn a3_a_continuation_of_another_snapshot_is_refused_field_by_field() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 7, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    type Spoil = fn(&mut Envelope<Vec<u8>>);
    let spoils: [(Spoil, &str); 4] = [
        (|envelope| envelope.source_cluster_id = "other".into(), "Cluster"),
        (|envelope| envelope.snapshot_lsn = 8, "SnapshotLsn"),
        (|envelope| envelope.total_bytes = 9, "TotalBytes"),
        (|envelope| envelope.total_crc32c ^= 1, "TotalCrc32c"),
    ];
    for (spoil, field) in spoils {
        let mut envelope = source.rest(3);
        spoil(&mut envelope);
        let (told, resume) = rejection(receiver.handle_chunk(envelope));
        let Rejection::IdentityMismatch(mismatch) = told else {
            panic!("{told:?}");
        };
        let named = match mismatch {
            IdentityMismatch::Database { .. } => "Database",
            IdentityMismatch::Cluster { .. } => "Cluster",
            IdentityMismatch::SnapshotLsn { .. } => "SnapshotLsn",
            IdentityMismatch::TotalBytes { .. } => "TotalBytes",
            IdentityMismatch::TotalCrc32c { .. } => "TotalCrc32c",
        };
        assert_eq!((named, resume), (field, 0));
    }
    assert!(receiver.handle_chunk(source.rest(3)).is_ok(), "the transfer goes on");
}

#[test]
fn a4_interleaved_databases_commit_their_own_bytes() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let (a, b) = (Source::new("a", 1, "aaaaaa"), Source::new("b", 1, "bbbb"));
    receiver.handle_chunk(a.chunk(0, 3, false)).expect("taken");
    receiver.handle_chunk(b.chunk(0, 2, false)).expect("taken");
    receiver.handle_chunk(a.rest(3)).expect("taken");
    receiver.handle_chunk(b.rest(2)).expect("taken");
    assert_eq!(fs::read(snapshot(dir.path(), "a")).expect("published"), b"aaaaaa");
    assert_eq!(fs::read(snapshot(dir.path(), "b")).expect("published"), b"bbbb");
    assert_eq!(names(dir.path()), ["a.snapshot", "b.snapshot"]);
}

#[test]
fn a5_no_database_id_leads_out_of_the_receive_directory() {
    let outer = tempdir().expect("a directory");
    let data_dir = outer.path().join("data");
    let receiver = open(&data_dir);
    let (long, limit) = ("x".repeat(300), "y".repeat(201));
    let evil = [
        "../../evil",
        "",
        long.as_str(),
        limit.as_str(),
        "a/b",
        ".hidden",
        ".",
        "..",
        "nul\0",
        "/abs",
        "a b",
        "\u{e9}",
    ];
    for id in evil {
        let told = rejection(receiver.handle_chunk(Source::new(id, 1, "abc").whole()));
        assert!(matches!(told, (Rejection::InvalidDatabaseId(_), 0)), "{id:?}: {told:?}");
        assert!(matches!(
            receiver.abort_database(id),
            Err(ReceiveError::Rejected {
                rejection: Rejection::InvalidDatabaseId(_),
                ..
            })
        ));
    }
    for cluster in ["".to_owned(), "c".repeat(201)] {
        let source = Source::new("db", 1, "abc").of_cluster(&cluster);
        let told = rejection(receiver.handle_chunk(source.whole()));
        assert!(matches!(told, (Rejection::InvalidClusterId(_), 0)), "{told:?}");
    }
    assert_eq!(names(&data_dir), Vec::<String>::new());
    assert_eq!(fs::read_dir(outer.path()).expect("listed").count(), 1);
    let longest = "z".repeat(200);
    receiver
        .handle_chunk(Source::new(&longest, 1, "abc").whole())
        .expect("200 bytes are allowed");
}

#[test]
fn a6_an_older_snapshot_does_not_replace_a_newer_one_unless_the_caller_says_so() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let (new, old) = (Source::new("db_01", 42, "new"), Source::new("db_01", 7, "old"));
    receiver.handle_chunk(new.whole()).expect("committed");
    let told = rejection(receiver.handle_chunk(old.whole()));
    assert_eq!(told, (Rejection::StaleSnapshot { newest: 42, actual: 7 }, 0));
    assert_eq!(fs::read(snapshot(dir.path(), "db_01")).expect("published"), b"new");
    receiver
        .handle_chunk(new.chunk(0, 1, false))
        .expect("an equal LSN starts");
    let told = rejection(receiver.handle_chunk(old.whole()));
    assert_eq!(told, (Rejection::StaleSnapshot { newest: 42, actual: 7 }, 0));
    receiver.abort().expect("aborted");
    let other = old.clone().of_cluster("other");
    receiver
        .handle_chunk(other.chunk(0, 1, false))
        .expect("LSNs of different clusters do not compare");
    receiver.abort().expect("aborted");
    receiver
        .handle_chunk_with(old.whole(), OlderStart::Allowed)
        .expect("lifted for one start");
    assert_eq!(fs::read(snapshot(dir.path(), "db_01")).expect("published"), b"old");
    drop(receiver);
    let receiver = open(dir.path());
    receiver
        .handle_chunk(Source::new("db_01", 1, "x").whole())
        .expect("a restart forgets");
}

#[test]
fn a7_a_final_chunk_sent_again_is_answered_committed_again() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 42, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    let committed = receiver.handle_chunk(source.rest(3)).expect("committed");
    fs::write(snapshot(dir.path(), "db_01"), "untouched").expect("marked");
    receiver
        .abort_database("db_01")
        .expect("an abort does not end this answer");
    assert_eq!(receiver.handle_chunk(source.rest(3)).expect("again"), committed);
    assert_eq!(fs::read(snapshot(dir.path(), "db_01")).expect("read"), b"untouched");
    // Only the very same chunk.
    let told = rejection(receiver.handle_chunk(source.rest(4)));
    assert_eq!(told.0, Rejection::OffsetMismatch { expected: 0, actual: 4 });
    receiver.handle_chunk(source.chunk(0, 1, false)).expect("a start");
    let told = rejection(receiver.handle_chunk(source.rest(3)));
    assert_eq!(told, (Rejection::OffsetMismatch { expected: 1, actual: 3 }, 1));
}

#[test]
fn a8_a_link_under_the_partials_name_is_replaced_and_not_followed() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").expect("written");
    symlink(&victim, partial(dir.path(), "db_01")).expect("planted");
    let source = Source::new("db_01", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    assert!(
        fs::symlink_metadata(partial(dir.path(), "db_01"))
            .expect("there")
            .is_file()
    );
    receiver.handle_chunk(source.rest(3)).expect("committed");
    assert_eq!(fs::read(&victim).expect("read"), b"precious");
}

#[test]
fn a9_two_copies_of_a_chunk_at_once_count_once() {
    for _ in 0..50 {
        let dir = tempdir().expect("a directory");
        let receiver = open(dir.path());
        let source = Source::new("db_01", 1, "abcdef");
        receiver.handle_chunk(source.chunk(0, 2, false)).expect("taken");
        let barrier = Barrier::new(2);
        let told: Vec<_> = thread::scope(|scope| {
            let send = || {
                barrier.wait();
                receiver.handle_chunk(source.chunk(2, 4, false))
            };
            let calls = [scope.spawn(send), scope.spawn(send)];
            calls.map(|call| call.join().expect("no panic")).into()
        });
        let taken = told
            .iter()
            .filter(|told| matches!(told, Ok(ChunkOutcome::Pending { bytes_done: 4 })));
        assert_eq!(taken.count(), 1, "{told:?}");
        receiver.handle_chunk(source.rest(4)).expect("committed");
        assert_eq!(fs::read(snapshot(dir.path(), "db_01")).expect("published"), b"abcdef");
    }
}

#[test]
fn a10_a_start_beside_a_final_chunk_never_empties_what_is_committed() {
    for _ in 0..50 {
        let dir = tempdir().expect("a directory");
        let receiver = open(dir.path());
        let source = Source::new("db_01", 1, "abcdef");
        receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
        let barrier = Barrier::new(2);
        let committed = thread::scope(|scope| {
            let finish = scope.spawn(|| {
                barrier.wait();
                receiver.handle_chunk(source.rest(3))
            });
            scope.spawn(|| {
                barrier.wait();
                receiver.handle_chunk(source.chunk(0, 0, false))
            });
            finish.join().expect("no panic").is_ok()
        });
        let published = fs::read(snapshot(dir.path(), "db_01")).ok();
        assert_eq!(published.is_some(), committed, "one of the two wins whole");
        assert!(published.is_none_or(|bytes| bytes == source.bytes));
    }
}

#[test]
fn a11_no_write_of_an_aborted_attempt_lands_in_a_later_one() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let (x, y) = (Source::new("db_01", 1, [b'x'; 64]), Source::new("db_01", 1, [b'y'; 64]));
    thread::scope(|scope| {
        for source in [&x, &y] {
            scope.spawn(|| {
                for _ in 0..200 {
                    for from in (0..64).step_by(16) {
                        let _told = receiver.handle_chunk(source.chunk(from, from + 16, from == 48));
                    }
                    receiver.abort().expect("aborted");
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..2_000 {
                if let Ok(bytes) = fs::read(snapshot(dir.path(), "db_01")) {
                    assert!(
                        bytes == x.bytes || bytes == y.bytes,
                        "bytes of two attempts in one file"
                    );
                }
            }
        });
    });
}

/// A receiver over real files whose next operations fail as told.

#[test]
fn a12_a_failed_write_ends_the_attempt_and_a_start_works_at_once() {
    let dir = tempdir().expect("a directory");
    let faults = Faults::default();
    let receiver = faulty(dir.path(), &faults);
    let source = Source::new("db_01", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    faults.arm(fault(0, FailureKind::Full));
    let error = receiver.handle_chunk(source.rest(3)).expect_err("the disk is full");
    assert!(error.is_storage_full() && !error.is_source_fault(), "{error}");
    assert!(matches!(
        error,
        ReceiveError::Storage {
            operation: Operation::Write,
            removal_failed: None,
            ..
        }
    ));
    assert_eq!(names(dir.path()), Vec::<String>::new());
    let told = rejection(receiver.handle_chunk(source.rest(3)));
    assert_eq!(told, (Rejection::OffsetMismatch { expected: 0, actual: 3 }, 0));
    receiver.handle_chunk(source.whole()).expect("a start works at once");
}

/// A payload whose own code panics when it is looked at.
struct Hostile;

impl AsRef<[u8]> for Hostile {
    fn as_ref(&self) -> &[u8] {
        panic!("hostile payload")
    }
}

#[test]
fn a13_a_panic_ends_its_attempt_with_an_error_and_a_start_works() {
    let dir = tempdir().expect("a directory");
    let hook = |call: Call<'_>| {
        assert!(!matches!(call, Call::Write { data: b"panic", .. }), "told to");
        None
    };
    let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
    let receiver = Receiver::with_storage(storage, dir.path(), Options::default()).expect("opens");
    let source = Source::new("db_01", 1, "panicabc");
    let panicked = |told: Result<ChunkOutcome, ReceiveError>| {
        matches!(
            told,
            Err(ReceiveError::Storage {
                operation: Operation::Panic,
                ..
            })
        )
    };
    assert!(
        panicked(receiver.handle_chunk(source.chunk(0, 5, false))),
        "a panic in a write"
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
    receiver.abort_database("db_01").expect("an abort works after a panic");

    receiver.handle_chunk(source.chunk(0, 3, false)).expect("a start works");
    let envelope = source.rest(3);
    let hostile = Envelope {
        source_cluster_id: envelope.source_cluster_id,
        source_database_id: envelope.source_database_id,
        snapshot_lsn: envelope.snapshot_lsn,
        total_bytes: envelope.total_bytes,
        total_crc32c: envelope.total_crc32c,
        offset: envelope.offset,
        data: Hostile,
        done: true,
    };
    assert!(panicked(receiver.handle_chunk(hostile)), "a panic in a payload");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    receiver.handle_chunk(source.whole()).expect("a start works");
}

/// What a hostile panic carries: dropping it panics again.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("and again");
        }
    }
}

#[test]
fn a13_a_panic_that_panics_again_when_it_is_dropped_ends_its_attempt_too() {
    let dir = tempdir().expect("a directory");
    let hook = |call: Call<'_>| {
        if matches!(call, Call::Write { data: b"def", .. }) {
            panic_any(Bomb);
        }
        None
    };
    let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
    let receiver = Receiver::with_storage(storage, dir.path(), Options::default()).expect("opens");
    let source = Source::new("db_01", 1, "abcdefghi");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    assert!(receiver.handle_chunk(source.chunk(3, 6, false)).is_err());
    let told = rejection(receiver.handle_chunk(source.rest(6)));
    assert_eq!(told, (Rejection::OffsetMismatch { expected: 0, actual: 6 }, 0));
    assert_eq!(names(dir.path()), Vec::<String>::new());
    receiver.handle_chunk(source.chunk(0, 2, false)).expect("a start works");
}

#[test]
fn a13_a_panic_in_the_callback_costs_that_report_and_nothing_else() {
    let dir = tempdir().expect("a directory");
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    let options = Options::default().on_progress(move |_, _| match counter.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("callback"),
        1 => panic_any(Bomb),
        _ => {}
    });
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let source = Source::new("db_01", 1, "abcdef");
    for calls in 1..=3 {
        receiver.handle_chunk(source.whole()).expect("committed");
        assert_eq!(counted.load(Ordering::SeqCst), calls, "later reports are delivered");
    }
}

#[test]
fn a14_everything_is_synced_in_order_before_committed_is_answered() {
    let dir = tempdir().expect("a directory");
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    let hook = move |call: Call<'_>| {
        noted.lock().expect("calls").push(match call {
            Call::SyncDirectory(directory) => format!("sync {directory:?}"),
            Call::Write { offset, data } => format!("write {} at {offset}", data.len()),
            Call::Create | Call::Sync | Call::Publish | Call::Remove | Call::List => format!("{call:?}").to_lowercase(),
        });
        None
    };
    let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
    let receiver = Receiver::with_storage(storage, dir.path(), Options::default()).expect("opens");
    let source = Source::new("db_01", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    receiver.handle_chunk(source.rest(3)).expect("committed");
    let expected = [
        "list",
        "sync Receive",
        "sync Data",
        "sync Parent",
        "create",
        "write 3 at 0",
        "write 3 at 3",
        "sync",
        "publish",
        "sync Receive",
    ];
    assert_eq!(*calls.lock().expect("calls"), expected);
}

#[test]
fn a15_an_orphan_partial_is_gone_after_an_opening() {
    let dir = tempdir().expect("a directory");
    drop(open(dir.path()));
    fs::write(partial(dir.path(), "db_01"), "orphan").expect("planted");
    fs::write(snapshot(dir.path(), "db_02"), "kept").expect("planted");
    let receiver = open(dir.path());
    assert_eq!(names(dir.path()), ["db_02.snapshot"]);
    assert!(receiver.orphans_left().is_empty());
}

#[test]
fn a16_a_failed_rename_ends_the_attempt_and_leaves_no_partial() {
    let dir = tempdir().expect("a directory");
    let faults = Faults::default();
    let receiver = faulty(dir.path(), &faults);
    let source = Source::new("db_01", 1, "abcdef");
    // create, write, sync, and then the rename.
    faults.arm(fault(3, FailureKind::Other));
    let error = receiver.handle_chunk(source.whole()).expect_err("the rename fails");
    let publish = Operation::Publish;
    assert!(
        matches!(&error, ReceiveError::Storage { operation, .. } if *operation == publish),
        "{error}"
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
    receiver.handle_chunk(source.whole()).expect("a start works");
}
