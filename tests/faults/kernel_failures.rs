//! Failing calls of a real kernel: a full tmpfs, no inodes, a read-only file system and directory, limits
//! on file size and descriptors.
//!
//! Guarantees: as `failing_calls`, with the errors that the kernel gives, short writes included. Refuses
//! to know: nothing is skipped without a line that says so and why.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};
use snapshot_receiver::protocol::{FailureKind, Operation};
use snapshot_receiver::{OpenError, ReceiveError};

use crate::child::{answer, command, is_part, verdict};
use crate::flaw::Flaw;
use crate::place::{descriptors_below, memory_directory, skipped};
use crate::subject::{Checked, Subject, Violation, holds, passes};
use crate::support::{Source, names, partial, snapshot};

/// Where a child receives.
const DATA_DIR: &str = "FAULTS_TEST_DATA_DIR";

fn data_dir() -> PathBuf {
    std::env::var_os(DATA_DIR).expect("given by the parent").into()
}

fn opened(flaw: Option<Flaw>, data_dir: &Path) -> Result<Subject, Violation> {
    Subject::plain(flaw, data_dir).map_err(|error| Violation {
        clause: "SR-LIV-001",
        what: format!("the opening is refused: {error}"),
    })
}

/// The failure told is this one, and nothing is left of the transfer.
fn failed_with<T: std::fmt::Debug>(
    told: &Result<T, ReceiveError>,
    data_dir: &Path,
    operation: Operation,
    kind: FailureKind,
    errno: Errno,
) -> Result<(), Violation> {
    let is_told = matches!(
        told,
        Err(ReceiveError::Storage { operation: of, source, removal_failed: None })
            if *of == operation
                && source.kind == kind
                && source.source.as_ref().and_then(std::io::Error::raw_os_error) == Some(errno.raw_os_error())
    );
    holds(is_told, "SR-ERR-001", || {
        format!("{operation}, {kind} and {errno} are due, and {told:?} was told")
    })?;
    let left: Vec<String> = names(data_dir)
        .into_iter()
        .filter(|name| name.ends_with(".partial"))
        .collect();
    holds(left.is_empty(), "SR-ERR-001", || format!("{left:?} is left"))?;
    let open = partials_open(data_dir);
    holds(open == 0, "SR-CON-005", || format!("{open} partials are open"))
}

/// Descriptors that lead below the receive directory: unlinked files keep their path.
fn partials_open(data_dir: &Path) -> usize {
    let receive = data_dir.join("recv_snapshots");
    descriptors_below(&receive).saturating_sub(1)
}

/// Sends a snapshot in chunks of that length, until one is refused; the last answer.
fn send(subject: &Subject, source: &Source, chunk: usize) -> Result<(), ReceiveError> {
    for from in (0..source.bytes.len()).step_by(chunk) {
        let to = source.bytes.len().min(from + chunk);
        subject.handle_chunk(source.chunk(from, to, to == source.bytes.len()))?;
    }
    Ok(())
}

fn commits(subject: &Subject, data_dir: &Path) -> Result<(), Violation> {
    let source = Source::new("db", 1, "abcdefghi");
    let told = send(subject, &source, 3);
    let found = fs::read(snapshot(data_dir, "db")).ok();
    holds(told.is_ok() && found == Some(source.bytes), "SR-ERR-001", || {
        format!("with room again: {told:?}, {found:?}")
    })
}

// --- A small file system ----------------------------------------------------------------------

/// What mounts a small tmpfs in a mount namespace of its own, and runs what follows there.
fn unshared(options: &str) -> Vec<String> {
    let flags = if geteuid().is_root() { "-m" } else { "-Urm" };
    let script = format!("mount -t tmpfs -o {options} none \"${DATA_DIR}\" && exec \"$@\"");
    ["unshare", flags, "sh", "-c", &script, "sh"]
        .map(str::to_owned)
        .to_vec()
}

/// Whether a tmpfs can be mounted here; said aloud where not.
pub(crate) fn can_mount(what: &str) -> bool {
    let place = memory_directory();
    let wrapper = unshared("size=256k");
    let tried = Command::new(&wrapper[0])
        .args(&wrapper[1..])
        .arg("true")
        .env(DATA_DIR, place.path())
        .output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skipped(
        what,
        &format!("no tmpfs can be mounted here, by root or in a user namespace: {why}"),
    );
    false
}

/// Runs this part of this test in a process behind a wrapper.
fn behind(wrapper: &[String], (test, part): (&str, &str), flaw: Option<Flaw>) -> Checked {
    let place = memory_directory();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let mut child = command(&wrapper, test, part, flaw);
    let output = child.env(DATA_DIR, place.path()).output().expect("the child runs");
    verdict(&output)
}

const FULL: &str = "kernel_failures::a_full_file_system_is_told_apart_and_works_again_when_there_is_room";

fn full_disk(flaw: Option<Flaw>) -> Checked {
    let data_dir = data_dir();
    let subject = opened(flaw, &data_dir)?;
    let large = Source::new("large", 1, vec![7; 1 << 20]);
    // In the middle of a chunk, and at the first byte of a page; the removal gives the room back.
    for chunk in [100_000, 4096] {
        let told = send(&subject, &large, chunk);
        failed_with(&told, &data_dir, Operation::Write, FailureKind::Full, Errno::NOSPC)?;
        commits(&subject, &data_dir)?;
    }
    // Somebody else has all of it.
    let ballast = data_dir.join("ballast");
    let full = fs::write(&ballast, vec![7; 1 << 20]).expect_err("there is no room for it");
    holds(
        full.raw_os_error() == Some(Errno::NOSPC.raw_os_error()),
        "SR-ERR-001",
        || full.to_string(),
    )?;
    for _ in 0..3 {
        let told = send(&subject, &large, 4096);
        failed_with(&told, &data_dir, Operation::Write, FailureKind::Full, Errno::NOSPC)?;
    }
    fs::remove_file(&ballast).expect("removed");
    commits(&subject, &data_dir)?;
    Ok(6)
}

const FULL_PART: &str = "a full file system";

/// Where a tmpfs can be mounted.
pub(crate) fn check_full(flaw: Option<Flaw>) -> Checked {
    behind(&unshared("size=256k"), (FULL, FULL_PART), flaw)
}

#[test]
fn a_full_file_system_is_told_apart_and_works_again_when_there_is_room() {
    if is_part(FULL_PART) {
        return answer(full_disk);
    }
    if can_mount(FULL_PART) {
        passes(check_full, FULL_PART);
    }
}

const INODES: &str = "kernel_failures::no_inode_and_a_read_only_file_system_are_failed_creates";

fn no_inodes_and_read_only(flaw: Option<Flaw>) -> Checked {
    let data_dir = data_dir();
    let subject = opened(flaw, &data_dir)?;
    let mut fillers = Vec::new();
    for number in 0..100 {
        let path = data_dir.join(format!("filler{number}"));
        match File::create(&path) {
            Ok(_) => fillers.push(path),
            Err(_) => break,
        }
    }
    let source = Source::new("db", 1, "abc");
    let told = subject.handle_chunk(source.whole());
    failed_with(&told, &data_dir, Operation::Create, FailureKind::Full, Errno::NOSPC)?;
    fillers.iter().for_each(|path| fs::remove_file(path).expect("removed"));
    commits(&subject, &data_dir)?;

    // The mount alone: in a user namespace the options of its file system, the owner's id among them, cannot be
    // given again.
    let remount = |how: &str| {
        let mounted = Command::new("mount")
            .args(["-o", how])
            .arg(&data_dir)
            .status()
            .expect("mount");
        assert!(mounted.success(), "{how}");
    };
    remount("remount,bind,ro");
    let told = subject.handle_chunk(source.whole());
    failed_with(&told, &data_dir, Operation::Create, FailureKind::Other, Errno::ROFS)?;
    let aborted = subject.receiver.abort_database("db");
    holds(aborted.is_ok(), "SR-ABT-003", || format!("{aborted:?}"))?;
    drop(subject);
    let refused = Subject::plain(flaw, &data_dir);
    holds(
        matches!(refused, Err(OpenError::Directory { .. })),
        "SR-REC-003",
        || format!("{refused:?}"),
    )?;
    remount("remount,bind,rw");
    commits(&opened(flaw, &data_dir)?, &data_dir)?;
    Ok(3)
}

#[test]
fn no_inode_and_a_read_only_file_system_are_failed_creates() {
    const PART: &str = "no inode, a read-only file system";
    if is_part(PART) {
        return answer(no_inodes_and_read_only);
    }
    if can_mount(PART) {
        passes(
            |flaw| behind(&unshared("size=256k,nr_inodes=12"), (INODES, PART), flaw),
            PART,
        );
    }
}

// --- Limits of the process --------------------------------------------------------------------

const LIMITS: &str = "kernel_failures::limits_on_file_size_and_descriptors_are_failures_like_others";

fn process_limits(flaw: Option<Flaw>) -> Checked {
    let data_dir = data_dir();
    let subject = opened(flaw, &data_dir)?;
    let limit = getrlimit(Resource::Fsize).current.expect("it is limited");
    let limit = usize::try_from(limit).expect("small");
    // The chunk that crosses the limit is first written short, then refused; a whole one is refused.
    for chunk in [limit - 1000, limit] {
        let told = send(&subject, &Source::new("large", 1, vec![7; 3 * limit]), chunk);
        failed_with(&told, &data_dir, Operation::Write, FailureKind::Other, Errno::FBIG)?;
    }
    commits(&subject, &data_dir)?;
    let exact = Source::new("exact", 1, vec![7; limit]);
    let told = send(&subject, &exact, 1000);
    holds(told.is_ok(), "SR-ERR-001", || format!("up to the limit: {told:?}"))?;

    let mut held = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        held.push(file);
    }
    let told = subject.handle_chunk(Source::new("db", 2, "abc").whole());
    let is_told = matches!(
        &told,
        Err(ReceiveError::Storage { operation: Operation::Create, source, .. }) if source.kind == FailureKind::Other
    );
    drop(held);
    holds(is_told, "SR-ERR-001", || {
        format!("no descriptor is left, and {told:?} was told")
    })?;
    let left = names(&data_dir);
    holds(!left.contains(&"db.partial".to_owned()), "SR-ERR-001", || {
        format!("{left:?}")
    })?;
    let told = subject.handle_chunk(Source::new("db", 2, "abc").whole());
    holds(told.is_ok(), "SR-ERR-001", || format!("{told:?}"))?;
    Ok(4)
}

const LIMITS_PART: &str = "limits of the process";

/// Below limits of the shell that starts the process.
pub(crate) fn check_limits(flaw: Option<Flaw>) -> Checked {
    // An ignored signal stays ignored in the program that follows.
    let script = "trap '' XFSZ; ulimit -f 8; ulimit -n 64; exec \"$@\"";
    let wrapper = ["sh", "-c", script, "sh"].map(str::to_owned);
    behind(&wrapper, (LIMITS, LIMITS_PART), flaw)
}

#[test]
fn limits_on_file_size_and_descriptors_are_failures_like_others() {
    if is_part(LIMITS_PART) {
        return answer(process_limits);
    }
    passes(check_limits, LIMITS_PART);
}

#[test]
fn a_directory_that_became_read_only_fails_the_removal_and_the_create() {
    if geteuid().is_root() {
        skipped(
            "a read-only directory",
            "root may write it; an ordinary user checks this",
        );
        return;
    }
    let place = memory_directory();
    let data_dir = place.path();
    let subject = Subject::plain(None, data_dir).expect("opens");
    let source = Source::new("db", 1, "abcdef");
    subject.handle_chunk(source.chunk(0, 3, false)).expect("taken");
    let receive = data_dir.join("recv_snapshots");
    let mode = |mode| fs::set_permissions(&receive, fs::Permissions::from_mode(mode)).expect("changed");
    mode(0o555);
    for _ in 0..2 {
        let told = subject.receiver.abort_database("db");
        let is_told = matches!(
            &told,
            Err(ReceiveError::Storage {
                operation: Operation::Remove,
                ..
            })
        );
        assert!(
            is_told && partial(data_dir, "db").exists(),
            "an owed removal says so: {told:?}"
        );
    }
    let told = subject.handle_chunk(source.whole());
    let is_told = matches!(
        &told,
        Err(ReceiveError::Storage {
            operation: Operation::Create,
            removal_failed: Some(_),
            ..
        })
    );
    assert!(is_told, "{told:?}");
    mode(0o755);
    subject.receiver.abort_database("db").expect("the owed removal");
    assert_eq!(names(data_dir), Vec::<String>::new());
    subject.handle_chunk(source.whole()).expect("a start works at once");
}
