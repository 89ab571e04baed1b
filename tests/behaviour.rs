//! What the receiver does, seen by whoever embeds it: the behaviours to keep of the design it
//! replaces, and that design's sixteen defects (A1 to A16), each as something that cannot happen.
//!
//! The design is `MirrorBootstrapReceiver` of the public crate `nodedb-cluster` 0.2.1; its defects
//! were found by running it. Concurrent ones are tested here as outcomes.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::protocol::{FailureKind, IdentityMismatch, Operation};
use snapshot_receiver::{ChunkOutcome, Envelope, OlderStart, Options, Progress, ReceiveError, Receiver, Rejection};
use snapshot_receiver_model::harness::memory::{Call, Fault, Faults, Faulty, Hooked};
use support::{Source, names, noting, open, partial, pending, rejection, snapshot};
use tempfile::tempdir;

// --- Behaviours to keep ---------------------------------------------------------------------

#[test]
fn two_chunks_commit_and_report_following() {
    let dir = tempdir().expect("a directory");
    let (options, reports) = noting();
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let source = Source::new("db_01", 42, "hello world");
    assert_eq!(
        receiver.handle_chunk(source.chunk(0, 5, false)).expect("taken"),
        pending(5)
    );
    let committed = receiver.handle_chunk(source.rest(5)).expect("taken");
    let snapshot_path = snapshot(dir.path(), "db_01");
    assert_eq!(fs::read(&snapshot_path).expect("published"), b"hello world");
    let snapshot_lsn = 42;
    assert_eq!(
        committed,
        ChunkOutcome::Committed {
            snapshot_lsn,
            snapshot_path
        }
    );
    assert_eq!(*reports.lock().expect("reports"), [Progress::Following]);
    assert_eq!(names(dir.path()), ["db_01.snapshot"]);
}

#[test]
fn a_wrong_crc_is_told_with_both_values_and_removes_the_partial() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let mut source = Source::new("db_01", 42, "abcdef");
    let computed = source.crc;
    source.crc = 0xdead_beef;
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    let told = rejection(receiver.handle_chunk(source.rest(3)));
    let declared = 0xdead_beef;
    assert_eq!(told, (Rejection::CrcMismatch { declared, computed }, 0));
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn an_empty_snapshot_with_crc_0_commits() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 1, "");
    assert_eq!(source.crc, 0);
    let told = receiver.handle_chunk(source.whole()).expect("taken");
    assert!(matches!(told, ChunkOutcome::Committed { snapshot_lsn: 1, .. }));
    assert_eq!(fs::read(snapshot(dir.path(), "db_01")).expect("published"), b"");
    let mut wrong = source.whole();
    (wrong.total_crc32c, wrong.snapshot_lsn) = (1, 2);
    let (told, _) = rejection(receiver.handle_chunk(wrong));
    assert_eq!(
        told,
        Rejection::CrcMismatch {
            declared: 1,
            computed: 0
        }
    );
}

#[test]
fn progress_is_reported_at_every_mebibyte_and_never_runs_backwards() {
    const MIB: usize = 1 << 20;
    let dir = tempdir().expect("a directory");
    let (options, reports) = noting();
    let receiver = Receiver::open(dir.path(), options).expect("opens");
    let source = Source::new("db_01", 1, vec![7; 3 * MIB + 10]);
    let steps = [0, MIB / 2, MIB - 1, MIB, 3 * MIB, 3 * MIB + 5, 3 * MIB + 10];
    for step in steps.windows(2) {
        receiver
            .handle_chunk(source.chunk(step[0], step[1], false))
            .expect("taken");
    }
    receiver.handle_chunk(source.rest(3 * MIB + 10)).expect("taken");
    let report = |bytes_done| Progress::Bootstrapping {
        bytes_done,
        bytes_total: 3 * MIB as u64 + 10,
    };
    // At 1 MiB exactly; then one report for two MiB that came in one chunk.
    let expected = [report(MIB as u64), report(3 * MIB as u64), Progress::Following];
    assert_eq!(*reports.lock().expect("reports"), expected);
}

#[test]
fn a_wrong_offset_is_judged_before_an_overrun() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    let mut far = source.chunk(4, 6, false);
    far.offset = 5;
    let told = rejection(receiver.handle_chunk(far));
    assert_eq!(told, (Rejection::OffsetMismatch { expected: 3, actual: 5 }, 3));
    assert!(
        receiver.handle_chunk(source.rest(3)).is_ok(),
        "the next right chunk is taken"
    );
}

#[test]
fn all_bytes_without_done_stay_pending_and_an_empty_done_ends_it() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 1, "abcdef");
    assert_eq!(
        receiver.handle_chunk(source.chunk(0, 6, false)).expect("taken"),
        pending(6)
    );
    assert_eq!(
        receiver.handle_chunk(source.chunk(6, 6, false)).expect("taken"),
        pending(6)
    );
    let told = receiver.handle_chunk(source.rest(6)).expect("taken");
    assert!(matches!(told, ChunkOutcome::Committed { .. }));
}

#[test]
fn the_partial_is_exactly_the_bytes_received() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db_01", 1, "abcdef");
    for (from, to) in [(0, 0), (0, 2), (2, 5)] {
        receiver.handle_chunk(source.chunk(from, to, false)).expect("taken");
        let held = fs::read(partial(dir.path(), "db_01")).expect("the partial");
        assert_eq!(held, &source.bytes[..to]);
    }
}

#[test]
fn a_restart_at_offset_0_discards_what_was_received() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let old = Source::new("db_01", 1, "old bytes");
    let new = Source::new("db_01", 2, "new");
    receiver.handle_chunk(old.chunk(0, 4, false)).expect("taken");
    // Held open, so that its inode cannot be used again.
    let held = fs::File::open(partial(dir.path(), "db_01")).expect("the partial");
    let before = held.metadata().expect("its inode").ino();
    let started = receiver.handle_chunk(new.chunk(0, 0, false)).expect("an empty start");
    assert_eq!(started, pending(0));
    let after = fs::metadata(partial(dir.path(), "db_01")).expect("the partial");
    assert_eq!(after.len(), 0);
    assert_ne!(after.ino(), before, "always a newly created inode");
    receiver.handle_chunk(new.rest(0)).expect("taken");
    assert_eq!(fs::read(snapshot(dir.path(), "db_01")).expect("published"), b"new");
}

// --- A1 to A16 ------------------------------------------------------------------------------

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
fn faulty(data_dir: &std::path::Path, faults: &Faults) -> Receiver<Faulty<FileSystem>> {
    let storage = Faulty::new(FileSystem::open(data_dir).expect("opens"), faults.clone());
    Receiver::with_storage(storage, data_dir, Options::default()).expect("opens")
}

fn fault(after: u8, kind: FailureKind) -> Fault {
    Fault {
        after,
        kind,
        takes_effect: false,
    }
}

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

// --- Errors that are told beside each other ---------------------------------------------------

#[test]
fn a_failed_removal_is_told_beside_the_first_cause_and_stays_owed() {
    let dir = tempdir().expect("a directory");
    let faults = Faults::default();
    let receiver = faulty(dir.path(), &faults);
    let source = Source::new("db_01", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    faults.arm(fault(0, FailureKind::Full));
    faults.arm(fault(0, FailureKind::Other));
    let error = receiver
        .handle_chunk(source.rest(3))
        .expect_err("write and removal fail");
    let told = error.to_string();
    assert!(told.starts_with("write failed: no space is left"), "{told}");
    assert!(told.contains("the partial could not be removed"), "{told}");
    assert_eq!(names(dir.path()), ["db_01.partial"]);

    faults.arm(fault(0, FailureKind::Other));
    let aborted = receiver
        .abort_database("db_01")
        .expect_err("the owed removal fails again");
    assert!(aborted.to_string().starts_with("remove failed"), "{aborted}");
    faults.arm(fault(0, FailureKind::Other));
    assert_eq!(receiver.abort().expect_err("and again").failures.len(), 1);
    receiver.abort().expect("and then works");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    receiver.abort().expect("nothing is owed any more");
}

#[test]
fn a_verdict_stands_although_the_removal_fails() {
    let dir = tempdir().expect("a directory");
    let faults = Faults::default();
    let receiver = faulty(dir.path(), &faults);
    let mut source = Source::new("db_01", 1, "abcdef");
    source.crc ^= 1;
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    faults.arm(fault(0, FailureKind::Other));
    let told = receiver.handle_chunk(source.rest(3));
    assert!(matches!(
        told,
        Err(ReceiveError::Rejected {
            rejection: Rejection::CrcMismatch { .. },
            removal_failed: Some(_),
            ..
        })
    ));
    drop(receiver);
    assert_eq!(names(dir.path()), Vec::<String>::new(), "closing tries again");
}

#[test]
fn a_failed_sync_is_final() {
    for after in [2, 4] {
        let dir = tempdir().expect("a directory");
        let faults = Faults::default();
        let receiver = faulty(dir.path(), &faults);
        let source = Source::new("db_01", 1, "abcdef");
        faults.arm(fault(after, FailureKind::Other));
        let error = receiver.handle_chunk(source.whole()).expect_err("a sync fails");
        let ReceiveError::Storage { operation, .. } = error else {
            panic!("{error}");
        };
        let expected = if after == 2 {
            Operation::Sync
        } else {
            Operation::SyncDirectory
        };
        assert_eq!(operation, expected);
        assert_eq!(faults.disarm(), [expected], "tried once");
        // Visible or not, what stands under the name is whole.
        let visible = fs::read(snapshot(dir.path(), "db_01")).ok();
        assert!(visible.is_none_or(|bytes| bytes == b"abcdef"));
        receiver
            .handle_chunk(source.whole())
            .expect("a new attempt, in a new file");
    }
}
