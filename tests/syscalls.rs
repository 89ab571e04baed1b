//! What the shipped receiver asks of the kernel, seen by `strace`: a commit is durable only if the
//! calls are really made, in order, on the right descriptors.
//!
//! Guarantees: sync of the partial, rename, sync of the directory, in this order; the partial is
//! created exclusively and not through a link; an opening asks whether it may write and syncs three
//! directories; a long snapshot is written back in large pieces. Refuses to know: what the kernel
//! does with it. Skipped, and said so, where `strace` is not installed or may
//! not trace.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Source, open};
use tempfile::tempdir;

/// Set in the traced child: where to receive.
const RECEIVE_INTO: &str = "SNAPSHOT_RECEIVER_TEST_RECEIVE_INTO";

/// The traced child receives one snapshot in chunks of a length.
fn receive_into(data_dir: &Path, bytes: &[u8], chunk_bytes: usize) {
    let receiver = open(data_dir);
    let source = Source::new("db", 1, bytes);
    for from in (0..bytes.len()).step_by(chunk_bytes) {
        let to = bytes.len().min(from + chunk_bytes);
        let chunk = source.chunk(from, to, to == bytes.len());
        receiver.handle_chunk(chunk).expect("taken");
    }
}

/// The calls of interest that a test makes, one a line, descriptors with their paths; `None`, and
/// said so, where nothing can be traced.
fn trace(test: &str, calls: &str, data_dir: &Path, to: &Path) -> Option<Vec<String>> {
    let this_test = std::env::current_exe().expect("this test's program");
    let status = Command::new("strace")
        .args(["-f", "-qq", "-y", "-e", calls, "-o"])
        .arg(to)
        .arg(this_test)
        .args(["--exact", test, "--nocapture"])
        .env(RECEIVE_INTO, data_dir)
        .output();
    if !status.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: strace is not installed here, or may not trace; {test} is not checked");
        return None;
    }
    let text = std::fs::read_to_string(to).ok()?;
    let parent = data_dir.parent().expect("a temporary directory");
    let is_ours = |line: &&str| line.contains(&*parent.to_string_lossy());
    Some(text.lines().filter(is_ours).map(str::to_owned).collect())
}

/// The place of the first call that has all the words, after `from`.
fn find(calls: &[String], from: usize, words: &[&str]) -> usize {
    let matches = |line: &String| words.iter().all(|word| line.contains(word));
    let found = calls[from..].iter().position(matches);
    from + found.unwrap_or_else(|| panic!("no {words:?} after call {from} in {calls:#?}"))
}

#[test]
fn a_commit_is_synced_renamed_and_synced_again_in_the_kernel() {
    if let Some(data_dir) = std::env::var_os(RECEIVE_INTO) {
        receive_into(Path::new(&data_dir), b"abcdef", 3);
        return;
    }
    let dir = tempdir().expect("a directory");
    let data_dir = dir.path().join("data");
    let test = "a_commit_is_synced_renamed_and_synced_again_in_the_kernel";
    let calls = "trace=mkdirat,openat,fsync,fdatasync,pwrite64,rename,renameat,renameat2,unlinkat,flock,faccessat2";
    let Some(calls) = trace(test, calls, &data_dir, &dir.path().join("trace")) else {
        return;
    };
    let path = |name: &str| format!("<{}>", data_dir.join(name).display());
    let (receive, partial) = (&path("recv_snapshots"), &path("recv_snapshots/db.partial"));
    let (data, parent) = (
        &format!("<{}>", data_dir.display()),
        &format!("<{}>", dir.path().display()),
    );
    let mut at = 0;
    let expected: [&[&str]; 14] = [
        &["mkdirat(", "0700", "= 0"],
        &["mkdirat(", data, "recv_snapshots", "0700", "= 0"],
        &["faccessat2(", receive, "W_OK|X_OK", "AT_EACCESS"],
        &["flock(", receive, "LOCK_EX|LOCK_NB", "= 0"],
        &["fsync(", receive, "= 0"],
        &["fsync(", data, "= 0"],
        &["fsync(", parent, "= 0"],
        &[
            "openat(",
            receive,
            "db.partial",
            "O_CREAT|O_EXCL",
            "O_NOFOLLOW",
            "O_CLOEXEC",
            "0600",
        ],
        &["pwrite64(", partial, "abc", "3, 0) = 3"],
        &["pwrite64(", partial, "def", "3, 3) = 3"],
        &["fsync(", partial, "= 0"],
        &["rename", "db.partial", "db.snapshot", "= 0"],
        &["fsync(", receive, "= 0"],
        // Let go explicitly: a child between fork and exec holds a copy of the descriptor.
        &["flock(", receive, "LOCK_UN", "= 0"],
    ];
    for words in expected {
        at = find(&calls, at, words) + 1;
    }
    let synced = calls
        .iter()
        .filter(|call| call.contains("fsync(") && call.contains(partial))
        .count();
    assert_eq!(synced, 1, "a sync of the file is never tried again: {calls:#?}");
}

/// Mutants: the kernel is never asked to write back, or for each chunk, or only past more bytes.
#[test]
fn a_long_snapshot_is_written_back_in_pieces_of_eight_mebibytes() {
    const MEBIBYTE: usize = 1 << 20;
    if let Some(data_dir) = std::env::var_os(RECEIVE_INTO) {
        receive_into(Path::new(&data_dir), &vec![7; 17 * MEBIBYTE], MEBIBYTE);
        return;
    }
    let dir = tempdir().expect("a directory");
    let data_dir = dir.path().join("data");
    let test = "a_long_snapshot_is_written_back_in_pieces_of_eight_mebibytes";
    let Some(calls) = trace(test, "trace=fadvise64", &data_dir, &dir.path().join("trace")) else {
        return;
    };
    let expected = [
        "0, 8388608, POSIX_FADV_DONTNEED",
        "8388608, 8388608, POSIX_FADV_DONTNEED",
    ];
    assert_eq!(calls.len(), expected.len(), "{calls:#?}");
    for (call, words) in calls.iter().zip(expected) {
        assert!(call.contains(words), "{calls:#?}");
    }
}
