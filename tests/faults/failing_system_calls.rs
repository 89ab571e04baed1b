//! Each system call of an opening, a removal, and a transfer made to fail, by `strace`.
//!
//! Guarantees: every call from the opening to the commit, at every position, with every error: the failure is
//! told as its operation with its error, or the call is one that may fail; a failed sync or early write-back is
//! final, in the file that follows too; nothing is left over, and the next start commits. The transfer is long
//! enough for an early write-back. Refuses to know: the errors that a kernel gives by itself;
//! `kernel_failures` has those.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use snapshot_receiver::ReceiveError;
use snapshot_receiver::protocol::FailureKind;

use crate::child::{answer, is_part, verdict};
use crate::flaw::Flaw;
use crate::place::{descriptors_below, memory_directory, say};
use crate::strace::{Seen, is_possible, parse, traced};
use crate::subject::{Checked, Subject, Violation, holds};
use crate::support::{Source, names, partial, snapshot};

const TEST: &str = "failing_system_calls::any_system_call_may_fail_and_the_next_start_commits";
const PART: &str = "system calls that fail";
const DATA_DIR: &str = "FAULTS_TEST_DATA_DIR";

/// The errors that calls are made to fail with.
const ERRORS: [(&str, Errno); 9] = [
    ("ENOSPC", Errno::NOSPC),
    ("EDQUOT", Errno::DQUOT),
    ("EIO", Errno::IO),
    ("EINTR", Errno::INTR),
    ("EACCES", Errno::ACCESS),
    ("EPERM", Errno::PERM),
    ("EROFS", Errno::ROFS),
    ("ENAMETOOLONG", Errno::NAMETOOLONG),
    ("EMFILE", Errno::MFILE),
];

/// With these a kernel says that it does not take a hint: the sync will do it all.
const NO_HINTS: [(&str, Errno); 3] = [
    ("ENOSYS", Errno::NOSYS),
    ("EINVAL", Errno::INVAL),
    ("EOPNOTSUPP", Errno::OPNOTSUPP),
];

/// Three of them are more than what the kernel is asked to write back at once.
const CHUNK: usize = 3 << 20;

// --- In the child -----------------------------------------------------------------------------

/// Says what was told, for the parent to judge.
fn tell(what: &str) {
    println!("\ntold: {what}");
}

fn tell_failure(failed: &ReceiveError) -> Result<(), Violation> {
    let ReceiveError::Storage {
        operation,
        source,
        removal_failed,
    } = failed
    else {
        return holds(false, "SR-ERR-001", || format!("{failed:?}"));
    };
    let errno = source.source.as_ref().and_then(std::io::Error::raw_os_error);
    let (errno, full) = (errno.unwrap_or(0), source.kind == FailureKind::Full);
    tell(&format!("{operation} {errno} {full}"));
    holds(removal_failed.is_none(), "SR-ERR-001", || format!("{removal_failed:?}"))
}

/// An opening that finds an orphan, an abort, and a transfer: one call fails. Then the transfer again.
fn one_call_fails(flaw: Option<Flaw>) -> Checked {
    let data_dir = PathBuf::from(std::env::var_os(DATA_DIR).expect("given by the parent"));
    let open = || Subject::plain(flaw, &data_dir);
    let subject = match open() {
        Ok(subject) => subject,
        Err(error) => {
            tell(&format!("open refused: {error}"));
            open().map_err(|error| Violation {
                clause: "SR-REC-003",
                what: format!("a second opening: {error}"),
            })?
        }
    };
    for left in subject.receiver.orphans_left() {
        let errno = left.error.source.as_ref().and_then(std::io::Error::raw_os_error);
        tell(&format!("orphan {}", errno.unwrap_or(0)));
    }
    let descriptors = descriptors_below(&data_dir);
    let bytes: Vec<u8> = (0..251u8).cycle().take(3 * CHUNK).collect();
    let source = Source::new("db", 1, bytes);
    abort_one(&subject, &source)?;
    let send = || {
        subject.handle_chunk(source.chunk(0, CHUNK, false))?;
        subject.handle_chunk(source.chunk(CHUNK, 2 * CHUNK, false))?;
        subject.handle_chunk(source.rest(2 * CHUNK))
    };
    match send() {
        Ok(_) => tell("committed"),
        Err(failed) => tell_failure(&failed)?,
    }
    let left = names(&data_dir).contains(&"db.partial".to_owned());
    holds(!left, "SR-ERR-001", || "the partial is left".to_owned())?;
    let visible = fs::read(snapshot(&data_dir, "db")).ok();
    let is_whole = visible.is_none_or(|visible| visible == source.bytes);
    holds(is_whole, "SR-PUB-002", || "a torn snapshot is visible".to_owned())?;
    holds(descriptors_below(&data_dir) == descriptors, "SR-CON-005", || {
        "a descriptor is left".to_owned()
    })?;
    let again = send();
    let found = fs::read(snapshot(&data_dir, "db")).ok();
    let is_there = again.is_ok() && found.as_ref() == Some(&source.bytes);
    holds(is_there, "SR-ERR-001", || {
        format!("then: {again:?}, {:?} bytes", found.map(|found| found.len()))
    })?;
    Ok(1)
}

/// A transfer that is begun and aborted: its removal is one that removes something.
fn abort_one(subject: &Subject, source: &Source) -> Result<(), Violation> {
    if let Err(failed) = subject.handle_chunk(source.chunk(0, 1, false)) {
        return tell_failure(&failed);
    }
    match subject.receiver.abort_database("db") {
        Ok(()) => Ok(()),
        Err(failed) => tell_failure(&failed),
    }
}

// --- The parent's side ------------------------------------------------------------------------

/// Runs the child with strace's arguments; the trace of its calls below the data directory, and what was
/// told.
fn traced_with(flaw: Option<Flaw>, inject: &[String]) -> Result<(Vec<Seen>, String), Violation> {
    let place = memory_directory();
    let data_dir = place.path().join("data");
    let receive = data_dir.join("recv_snapshots");
    fs::create_dir_all(&receive).expect("made");
    fs::write(partial(&data_dir, "orphan"), "orphan").expect("planted");
    let mut arguments = Vec::new();
    for path in [&receive, &partial(&data_dir, "db"), &data_dir, &place.path().to_owned()] {
        arguments.extend(["-P".to_owned(), path.to_str().expect("plain").to_owned()]);
    }
    arguments.extend(inject.iter().cloned());
    let (output, trace) = traced(&arguments, (TEST, PART), (DATA_DIR, &data_dir), flaw);
    let seen = parse(&trace);
    verdict(&output).map_err(|violation| Violation {
        what: format!("{inject:?}: {}\n{seen:#?}", violation.what),
        ..violation
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = said.lines().filter_map(|line| line.strip_prefix("told: "));
    Ok((seen, told.collect::<Vec<_>>().join("; ")))
}

/// What has to be told where the call with that number fails with this error; of some, either is right.
fn due(seen: &[Seen], at: usize, errno: Errno) -> &'static [&'static str] {
    const FINE: &[&str] = &["committed"];
    let call = &seen[at];
    let place = call.place().unwrap_or_default();
    let is_partial = place.to_string_lossy().contains("db.partial");
    // It ends with the sync of the third directory.
    let is_opening = seen[..at].iter().filter(|seen| seen.name == "fsync").count() < 3;
    match call.name.as_str() {
        // An interrupted write, or listing, is tried again.
        "pwrite64" | "getdents64" if errno == Errno::INTR => FINE,
        "pwrite64" => &["write"],
        "fadvise64" if NO_HINTS.iter().any(|(_, none)| *none == errno) => FINE,
        "fadvise64" => &["write"],
        "unlinkat" if is_opening && place.to_string_lossy().contains("orphan") => &["orphan"],
        // Before a create nothing stands there: asked, it says so.
        "unlinkat" => match seen[..at].iter().filter(|seen| seen.name == "unlinkat").count() {
            2 => &["remove"],
            _ => FINE,
        },
        "openat" if call.arguments.contains("O_CREAT") => &["create"],
        "fsync" if is_partial => &["sync"],
        "fsync" if is_opening => &["open refused"],
        "fsync" => &["sync_directory"],
        "renameat" | "renameat2" => &["publish"],
        "fstat" if is_partial => &["publish"],
        "newfstatat" | "statx" if is_partial => &["publish"],
        // Of the receive directory: before a create and before a rename.
        "newfstatat" | "statx" if !is_opening => &["create", "publish"],
        "mkdirat" | "flock" | "faccessat2" | "faccessat" => &["open refused"],
        "openat" | "fstat" | "newfstatat" | "statx" | "getdents64" if is_opening => &["open refused"],
        _ => &[],
    }
}

/// Every call, by its name and number, with every error; of a seeded bug, with one. Where `strace` runs.
pub(crate) fn check(flaw: Option<Flaw>) -> Checked {
    let (clean, told) = traced_with(flaw, &[])?;
    holds(told == "committed", "SR-LIV-001", || {
        format!("without a failure: {told}")
    })?;
    // Up to the first commit and its directory's sync: what follows is the same once more.
    let first = clean.iter().position(|seen| seen.name.starts_with("rename"));
    let first = first.map_or(clean.len(), |at| clean.len().min(at + 2));
    let mut cases = Vec::new();
    let mut counted: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for seen in &clean[..first] {
        let number = counted.entry(seen.name.as_str()).or_default();
        *number += 1;
        let hints = NO_HINTS.iter().filter(|_| seen.name == "fadvise64");
        let errors = ERRORS.iter().chain(hints);
        let errors = errors.filter(|(_, errno)| flaw.is_none() || *errno == Errno::IO);
        cases.extend(errors.map(|error| (seen.name.clone(), *number, *error)));
    }
    let next = AtomicUsize::new(0);
    let fired = Mutex::new(BTreeSet::new());
    let work = || -> Result<(), Violation> {
        while let Some((name, number, (word, errno))) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let inject = ["-e".to_owned(), format!("inject={name}:error={word}:when={number}")];
            let (seen, told) = traced_with(flaw, &inject)?;
            judge(&seen, &told, *errno).map_err(|violation| Violation {
                what: format!("{inject:?}: {}\n{seen:#?}", violation.what),
                ..violation
            })?;
            fired.lock().expect("fired").insert(format!("{name} {number}"));
        }
        Ok(())
    };
    let found = std::thread::scope(|scope| {
        let workers = [0; 2].map(|_| scope.spawn(work));
        workers.map(|worker| worker.join().expect("a worker ends"))
    });
    found.into_iter().collect::<Result<Vec<()>, Violation>>()?;
    let fired = fired.into_inner().expect("fired");
    let names: BTreeSet<&str> = fired.iter().filter_map(|fired| fired.split(' ').next()).collect();
    for name in ["unlinkat", "openat", "pwrite64", "fadvise64", "fsync"] {
        assert!(names.contains(name), "no {name} failed");
    }
    say(&format!(
        "{PART}: {} cases at {} calls: {fired:?}",
        cases.len(),
        fired.len()
    ));
    Ok(cases.len())
}

/// The failed call is told as its operation, with its error; a failed sync or write-back is not followed by
/// another of that file, nor by its rename, and what comes next is a new file.
fn judge(seen: &[Seen], told: &str, errno: Errno) -> Result<(), Violation> {
    let Some(at) = seen.iter().position(Seen::is_injected) else {
        return holds(false, "SR-ERR-001", || format!("no call failed, and {told} was told"));
    };
    let failed = &seen[at];
    let due = due(seen, at, errno);
    let is_full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
    let failure = told.split("; ").find(|told| *told != "committed");
    let is_due = due.iter().any(|due| match (*due, failure) {
        ("committed", failure) => failure.is_none(),
        ("open refused", failure) => failure.is_some_and(|told| told.starts_with(due)),
        ("orphan", failure) => failure == Some(&format!("orphan {}", errno.raw_os_error())),
        (due, failure) => failure == Some(&format!("{due} {} {is_full}", errno.raw_os_error())),
    });
    let clause = match (due, failed.name.as_str()) {
        (["sync"], _) | (_, "fadvise64") => "SR-ERR-002",
        (["sync_directory"], _) => "SR-ERR-004",
        _ => "SR-ERR-001",
    };
    holds(is_due, clause, || {
        format!("{failed:?} failed, {due:?} is due, and {told:?} was told")
    })?;
    let is_of_transfer = due == ["sync"] || due == ["sync_directory"] || due == ["write"];
    if is_of_transfer {
        holds(is_final(&seen[at + 1..]), "SR-ERR-002", || {
            format!("what comes after the failed {} is not its end", failed.name)
        })?;
    }
    Ok(())
}

/// The name is unlinked before anything else is done to the file or its name; then a new file is made.
fn is_final(after: &[Seen]) -> bool {
    let harmless = ["fstat", "newfstatat", "statx", "getdents64"];
    let is_creation = |seen: &Seen| seen.name == "openat" && seen.arguments.contains("O_CREAT|O_EXCL");
    let mut does = after
        .iter()
        .filter(|seen| !harmless.contains(&seen.name.as_str()))
        .filter(|seen| seen.name != "openat" || seen.arguments.contains("O_CREAT"));
    let unlinked = does.next().is_some_and(|seen| seen.name == "unlinkat");
    // The removal, and the one before a create.
    unlinked && does.find(|seen| seen.name != "unlinkat").is_some_and(is_creation)
}

#[test]
fn any_system_call_may_fail_and_the_next_start_commits() {
    if is_part(PART) {
        return answer(one_call_fails);
    }
    if is_possible(PART) {
        check(None).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    }
}
