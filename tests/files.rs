//! The receiver on real files: openings, hostile names and places, recovery.
//!
//! Guarantees: what is told and what stands on the disk afterwards. Refuses to know: what is bounded;
//! `bounds.rs` has it.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use snapshot_receiver::executor::{FileSystem, FoundKind};
use snapshot_receiver::protocol::{FailureKind, Operation};
use snapshot_receiver::{OpenError, Options, ReceiveError, Receiver, Rejection};
use snapshot_receiver_model::harness::memory::{Call, Fault, Faults, Hook, Hooked};
use support::{Source, names, open, partial, rejection, snapshot};
use tempfile::tempdir;

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
}

fn refusal(data_dir: &Path) -> OpenError {
    Receiver::open(data_dir, Options::default()).expect_err("the opening is refused")
}

fn failed_operation<T: std::fmt::Debug>(told: Result<T, ReceiveError>) -> (Operation, FailureKind) {
    match told {
        Err(ReceiveError::Storage { operation, source, .. }) => (operation, source.kind),
        other => panic!("not a storage failure: {other:?}"),
    }
}

// --- Opening ----------------------------------------------------------------------------------

#[test]
fn an_opening_creates_two_directories_and_none_above() {
    let dir = tempdir().expect("a directory");
    let data_dir = dir.path().join("data");
    drop(open(&data_dir));
    assert!(data_dir.join("recv_snapshots").is_dir());
    let missing = dir.path().join("missing").join("data");
    let error = refusal(&missing);
    assert_eq!(error.operation(), "open");
    assert!(error.to_string().contains("its parent does not exist"), "{error}");
    assert!(!dir.path().join("missing").exists());
}

#[test]
fn a_data_directory_that_is_a_file_is_refused_and_left() {
    let dir = tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "kept").expect("written");
    let error = refusal(&file);
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    assert_eq!(fs::read(&file).expect("read"), b"kept");
}

#[test]
fn a_read_only_data_directory_is_refused() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root may write a read-only directory; run as an ordinary user to check this");
        return;
    }
    let dir = tempdir().expect("a directory");
    let data_dir = dir.path().join("data");
    drop(open(&data_dir));
    let receive = data_dir.join("recv_snapshots");
    fs::set_permissions(&receive, fs::Permissions::from_mode(0o555)).expect("made read-only");
    let error = refusal(&data_dir);
    fs::set_permissions(&receive, fs::Permissions::from_mode(0o755)).expect("made writable");
    assert!(error.to_string().contains("Permission denied"), "{error}");
    drop(open(&data_dir));
}

#[test]
fn a_link_in_the_place_of_the_receive_directory_is_refused() {
    let dir = tempdir().expect("a directory");
    let elsewhere = tempdir().expect("another");
    symlink(elsewhere.path(), dir.path().join("recv_snapshots")).expect("planted");
    let error = refusal(dir.path());
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).expect("listed").count(), 0);
}

#[test]
fn a_second_receiver_is_refused_while_the_first_lives() {
    let dir = tempdir().expect("a directory");
    let first = open(dir.path());
    first
        .handle_chunk(Source::new("db", 1, "abc").chunk(0, 2, false))
        .expect("taken");
    let error = refusal(dir.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert_eq!(error.operation(), "lock");
    assert_eq!(names(dir.path()), ["db.partial"], "the second touched nothing");
    drop(first);
    drop(open(dir.path()));
}

/// Set in a child process of [`a_second_process_is_refused`]: the directory to try.
const TRY_TO_OPEN: &str = "SNAPSHOT_RECEIVER_TEST_TRY_TO_OPEN";

#[test]
fn a_second_process_is_refused() {
    if let Some(data_dir) = std::env::var_os(TRY_TO_OPEN) {
        let error = refusal(Path::new(&data_dir));
        println!("refused with {}", error.operation());
        return;
    }
    let dir = tempdir().expect("a directory");
    let _first = open(dir.path());
    let this_test = std::env::current_exe().expect("this test's program");
    let child = Command::new(this_test)
        .args(["--exact", "a_second_process_is_refused", "--nocapture"])
        .env(TRY_TO_OPEN, dir.path())
        .stdout(Stdio::piped())
        .output()
        .expect("the child runs");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && said.contains("refused with lock"), "{said}");
}

#[test]
fn closing_ends_transfers_frees_the_directory_and_refuses_what_comes_later() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    receiver.close().expect("closed");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert!(matches!(
        receiver.handle_chunk(source.rest(3)),
        Err(ReceiveError::Closed)
    ));
    receiver.close().expect("closing again does nothing");
    receiver.abort().expect("nothing runs");
    open(dir.path())
        .handle_chunk(source.whole())
        .expect("the directory is free");
}

// --- Recovery ---------------------------------------------------------------------------------

#[test]
fn an_opening_removes_its_orphans_and_nothing_else() {
    let dir = tempdir().expect("a directory");
    drop(open(dir.path()));
    let receive = dir.path().join("recv_snapshots");
    let victim = dir.path().join("victim");
    fs::write(&victim, "kept").expect("written");
    fs::write(receive.join("a.partial"), "orphan").expect("planted");
    symlink(&victim, receive.join("b.partial")).expect("planted");
    symlink("nowhere", receive.join("c.partial")).expect("planted");
    let kept = [
        "a.snapshot",
        "x.partial.bak",
        ".partial",
        "..partial",
        "sp ace.partial",
        "PARTIAL",
        "d.partial~",
    ];
    for name in kept {
        fs::write(receive.join(name), "kept").expect("planted");
    }
    let too_long = format!("{}.partial", "l".repeat(201));
    fs::write(receive.join(&too_long), "kept").expect("planted");
    fs::write(receive.join(std::ffi::OsStr::from_bytes(b"\xff.partial")), "kept").expect("planted");
    fs::create_dir(receive.join("e.partial")).expect("planted");
    fifo(&receive.join("f.partial"));

    let receiver = open(dir.path());
    let left: BTreeSet<String> = names(dir.path()).into_iter().collect();
    let mut expected: BTreeSet<String> = kept.map(str::to_owned).into();
    expected.extend([
        too_long,
        "\u{fffd}.partial".to_owned(),
        "e.partial".to_owned(),
        "f.partial".to_owned(),
    ]);
    assert_eq!(left, expected);
    assert_eq!(fs::read(&victim).expect("read"), b"kept");
    let reported: Vec<(&str, FoundKind)> = receiver
        .orphans_left()
        .iter()
        .map(|orphan| (orphan.found.database.as_str(), orphan.found.kind))
        .collect();
    assert_eq!(reported, [("e", FoundKind::Directory)]);
    receiver
        .abort()
        .expect("a directory is nobody's partial: nothing is owed");
    // What is left stands in the way of nothing but a start under a directory's name.
    receiver
        .handle_chunk(Source::new("f", 1, "abc").whole())
        .expect("a pipe is replaced");
}

#[test]
fn an_orphan_that_cannot_be_removed_is_reported_and_owed() {
    let dir = tempdir().expect("a directory");
    drop(open(dir.path()));
    for database in ["a", "b", "c"] {
        fs::write(partial(dir.path(), database), "orphan").expect("planted");
    }
    let faults = Faults::default();
    faults.arm(Fault {
        after: 1,
        kind: FailureKind::Other,
        takes_effect: false,
    });
    let hook = {
        let faults = faults.clone();
        // Listings and directory syncs succeed; only removals are counted.
        move |call: Call<'_>| {
            if call == Call::Remove {
                faults.before(call)
            } else {
                None
            }
        }
    };
    let storage = Hooked::new(FileSystem::open(dir.path()).expect("opens"), hook);
    let receiver = Receiver::with_storage(storage, dir.path(), Options::default()).expect("opens");
    assert_eq!(names(dir.path()).len(), 1, "the others are gone");
    assert_eq!(receiver.orphans_left().len(), 1);
    receiver.abort().expect("an abort of all tries again");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

// --- Hostile places ---------------------------------------------------------------------------

#[test]
fn a_directory_under_a_partials_name_is_a_failed_create_and_owes_nothing() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, "abcdef");
    fs::create_dir(partial(dir.path(), "db")).expect("planted");
    fs::write(partial(dir.path(), "db").join("kept"), "kept").expect("planted");
    let failed = failed_operation(receiver.handle_chunk(source.chunk(0, 3, false)));
    assert_eq!(failed, (Operation::Create, FailureKind::DirectoryInTheWay));
    receiver.abort_database("db").expect("nothing runs, nothing is owed");
    assert!(partial(dir.path(), "db").join("kept").exists());
    fs::remove_dir_all(partial(dir.path(), "db")).expect("moved away");
    receiver.handle_chunk(source.whole()).expect("a start works at once");
}

#[test]
fn an_abort_whose_partial_was_replaced_by_a_directory_says_so_until_it_is_gone() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    fs::remove_file(partial(dir.path(), "db")).expect("removed by a stranger");
    fs::create_dir(partial(dir.path(), "db")).expect("planted");
    for _ in 0..2 {
        let failed = failed_operation(receiver.abort_database("db"));
        assert_eq!(failed, (Operation::Remove, FailureKind::DirectoryInTheWay));
    }
    let told = rejection(receiver.handle_chunk(source.rest(3)));
    assert_eq!(
        told.0,
        Rejection::OffsetMismatch { expected: 0, actual: 3 },
        "the attempt has ended"
    );
    fs::remove_dir(partial(dir.path(), "db")).expect("moved away");
    receiver.abort_database("db").expect("nothing stands there any more");
}

#[test]
fn a_one_chunk_snapshot_with_a_wrong_crc_leaves_nothing_under_the_name_and_owes_nothing() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let mut source = Source::new("db", 1, "abc");
    source.crc ^= 1;
    fs::write(partial(dir.path(), "db"), "foreign").expect("planted");
    let told = rejection(receiver.handle_chunk(source.whole()));
    assert!(matches!(told.0, Rejection::CrcMismatch { .. }));
    assert_eq!(names(dir.path()), Vec::<String>::new());
    fs::create_dir(partial(dir.path(), "db")).expect("planted");
    let told = receiver.handle_chunk(source.whole());
    assert!(matches!(
        told,
        Err(ReceiveError::Rejected {
            removal_failed: Some(_),
            ..
        })
    ));
    receiver.abort_database("db").expect("a directory is nobody's partial");
}

#[test]
fn whatever_file_stands_under_a_partials_name_is_replaced() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let linked = dir.path().join("linked");
    fs::write(&linked, "kept").expect("written");
    fs::write(partial(dir.path(), "file"), "a longer leftover than the snapshot").expect("planted");
    fs::hard_link(&linked, partial(dir.path(), "hard")).expect("planted");
    symlink("nowhere", partial(dir.path(), "dangling")).expect("planted");
    fifo(&partial(dir.path(), "pipe"));
    for database in ["file", "hard", "dangling", "pipe"] {
        let source = Source::new(database, 1, "abcdef");
        receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
        let kind = fs::symlink_metadata(partial(dir.path(), database))
            .expect("there")
            .file_type();
        assert!(kind.is_file() && !kind.is_fifo());
        receiver.handle_chunk(source.rest(3)).expect("committed");
        assert_eq!(fs::read(snapshot(dir.path(), database)).expect("published"), b"abcdef");
    }
    assert_eq!(fs::read(&linked).expect("read"), b"kept");
}

#[test]
fn a_link_in_a_snapshots_place_is_replaced_and_a_directory_is_a_failed_publish() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let victim = dir.path().join("victim");
    fs::write(&victim, "kept").expect("written");
    symlink(&victim, snapshot(dir.path(), "link")).expect("planted");
    receiver
        .handle_chunk(Source::new("link", 1, "abc").whole())
        .expect("committed");
    assert_eq!(fs::read(&victim).expect("read"), b"kept");
    assert!(
        fs::symlink_metadata(snapshot(dir.path(), "link"))
            .expect("there")
            .is_file()
    );

    fs::create_dir(snapshot(dir.path(), "dir")).expect("planted");
    let failed = failed_operation(receiver.handle_chunk(Source::new("dir", 1, "abc").whole()));
    assert_eq!(failed, (Operation::Publish, FailureKind::Other));
    assert!(!partial(dir.path(), "dir").exists());
}

#[test]
fn another_file_in_the_partials_place_is_not_published() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    fs::remove_file(partial(dir.path(), "db")).expect("removed by a stranger");
    fs::write(partial(dir.path(), "db"), "abcdef").expect("replaced by a stranger");
    let failed = failed_operation(receiver.handle_chunk(source.rest(3)));
    assert_eq!(failed.0, Operation::Publish);
    assert!(!snapshot(dir.path(), "db").exists());
}

#[test]
fn a_replaced_receive_directory_fails_the_create_and_the_publish() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, "abcdef");
    receiver.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    fs::rename(dir.path().join("recv_snapshots"), dir.path().join("moved")).expect("moved by a stranger");
    fs::create_dir(dir.path().join("recv_snapshots")).expect("replaced by a stranger");
    assert_eq!(
        failed_operation(receiver.handle_chunk(source.rest(3))).0,
        Operation::Publish
    );
    assert_eq!(
        failed_operation(receiver.handle_chunk(source.whole())).0,
        Operation::Create
    );
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert_eq!(fs::read_dir(dir.path().join("moved")).expect("listed").count(), 0);
}
