//! What the receiver does, seen by whoever embeds it: the behaviours to keep of the design it replaces, and
//! errors that are told beside each other. What that design did wrong is in `incidents.rs`.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use snapshot_receiver::protocol::{FailureKind, Operation};
use snapshot_receiver::{ChunkOutcome, Progress, ReceiveError, Receiver, Rejection};
use snapshot_receiver_model::harness::memory::Faults;
use support::{Source, fault, faulty, names, noting, open, partial, pending, rejection, snapshot};
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
