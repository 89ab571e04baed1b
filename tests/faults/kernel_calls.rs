//! The same runs as in `calls`, as the kernel sees them: what the storage was asked for is what was done.
//!
//! Guarantees: creation, writes with their lengths and places, syncs, renames, removals and answers, in
//! one order, run by run; a difference is shown with both sides. Adjacent writes are taken as one; early
//! write-back (`fadvise64`, `sync_file_range`, `fdatasync` before the final sync) is set aside. Refuses to
//! know: what should be asked for; `calls` has that.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use snapshot_receiver::ReceiveError;
use snapshot_receiver::executor::Directory;
use snapshot_receiver::protocol::FailureKind;

use crate::calls::{drawn_run, words};
use crate::child::{answer, is_part, verdict};
use crate::flaw::Flaw;
use crate::log::{Call, Entry, Extent, Outcome};
use crate::place::{descriptors_below, memory_directory, number_from};
use crate::strace::{Seen, is_possible, parse, traced};
use crate::subject::{Checked, Subject, Violation, holds};
use crate::support::{Source, names, snapshot};

const RUNS: &str = "KERNEL_RUNS";
const DATA_DIR: &str = "FAULTS_TEST_DATA_DIR";

fn data_dir() -> PathBuf {
    std::env::var_os(DATA_DIR).expect("given by the parent").into()
}

// --- From the log and from the trace to the same lines ----------------------------------------

/// Puts a write to the end of the one before it where they touch.
fn push(lines: &mut Vec<String>, line: String) {
    let parts = |line: &str| -> Option<(String, u64, u64)> {
        let mut words = line.strip_prefix("write ")?.split(' ');
        let name = words.next()?.to_owned();
        Some((name, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    let before = lines.last().and_then(|last| parts(last));
    if let (Some((name, start, end)), Some((next, from, to))) = (before, parts(&line))
        && name == next
        && end == from
    {
        lines.pop();
        return lines.push(format!("write {name} {start} {to}"));
    }
    // A listing is read in as many calls as it takes.
    if line != "list" || lines.last().is_none_or(|last| last != "list") {
        lines.push(line);
    }
}

/// What the log says that the kernel was asked for.
fn logged(entries: &[Entry]) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in entries {
        let (call, whole) = match entry {
            Entry::Call(call, Outcome::Done) => (call, true),
            Entry::Call(call, Outcome::Failed(Extent::Part)) => (call, false),
            Entry::Committed(database, _) => {
                push(&mut lines, format!("committed {database}"));
                continue;
            }
            Entry::Call(_, Outcome::Failed(Extent::Nothing)) | Entry::Sending(..) | Entry::Opened => continue,
        };
        let line = match call {
            Call::Create(database) => format!("create {database}"),
            Call::Write { database, offset, data } => {
                let length = if whole { data.len() } else { data.len().div_ceil(2) } as u64;
                format!("write {database} {offset} {}", offset + length)
            }
            Call::Sync(database) => format!("sync {database}"),
            Call::Publish(database) => format!("publish {database}"),
            Call::SyncDirectory(Directory::Receive) => "sync recv_snapshots".to_owned(),
            Call::SyncDirectory(Directory::Data) => "sync data".to_owned(),
            Call::SyncDirectory(Directory::Parent) => "sync parent".to_owned(),
            Call::Remove(database) => format!("remove {database}"),
            Call::List => "list".to_owned(),
            Call::UnlinkSnapshot(_) | Call::SyncSnapshot(_) => "no receiver does that".to_owned(),
        };
        push(&mut lines, line);
    }
    lines
}

/// What the kernel did below a data directory, answers in between.
fn kernel(trace: &[Seen], data_dir: &Path) -> Vec<String> {
    let receive = data_dir.join("recv_snapshots");
    let (receive, data) = (receive.to_str().expect("plain"), data_dir.to_str().expect("plain"));
    let parent = data_dir.parent().and_then(Path::to_str).expect("plain");
    let database = |name: &str| {
        let name = name
            .trim_end_matches(" (deleted)")
            .trim_start_matches(receive)
            .trim_start_matches('/');
        let id = name.strip_suffix(".partial").or_else(|| name.strip_suffix(".snapshot"));
        id.unwrap_or(name).to_owned()
    };
    let mut lines = Vec::new();
    // An unlink is the first half of a create, or a removal.
    let mut unlinked: Option<String> = None;
    for seen in trace {
        let Some(path) = seen.path() else { continue };
        let is_within = path.starts_with(receive);
        let line = match seen.name.as_str() {
            "unlinkat" if is_within => {
                if let Some(earlier) = unlinked.replace(database(seen.quoted()[0])) {
                    push(&mut lines, format!("remove {earlier}"));
                }
                continue;
            }
            "openat" if is_within && seen.arguments.contains("O_CREAT|O_EXCL") => {
                let created = database(seen.quoted()[0]);
                if unlinked.take().is_some_and(|unlinked| unlinked != created) {
                    push(&mut lines, "another name was unlinked before the create".to_owned());
                }
                push(&mut lines, format!("create {created}"));
                continue;
            }
            "pwrite64" if is_within => {
                let (numbers, written) = (seen.numbers(), seen.result.parse::<u64>().unwrap_or(0));
                let offset = numbers.last().copied().unwrap_or(u64::MAX);
                format!("write {} {offset} {}", database(path), offset + written)
            }
            "fsync" if path == receive => "sync recv_snapshots".to_owned(),
            "fsync" if path == data => "sync data".to_owned(),
            "fsync" if path == parent => "sync parent".to_owned(),
            "fsync" if is_within => format!("sync {}", database(path)),
            "renameat" | "renameat2" if is_within => format!("publish {}", database(seen.quoted()[0])),
            "getdents64" if path == receive => "list".to_owned(),
            "write" if path == format!("{data}.answers") => seen.quoted()[0].trim_end_matches("\\n").to_owned(),
            // Looked at, or hinted: nothing changes by it.
            "fstat" | "newfstatat" | "statx" | "fadvise64" | "sync_file_range" | "fdatasync" => continue,
            _ if is_within && !matches!(seen.name.as_str(), "openat") => format!("{} {}", seen.name, seen.arguments),
            _ => continue,
        };
        if let Some(removed) = unlinked.take() {
            push(&mut lines, format!("remove {removed}"));
        }
        push(&mut lines, line);
    }
    lines.extend(unlinked.map(|removed| format!("remove {removed}")));
    lines
}

// --- The same runs ----------------------------------------------------------------------------

const TEST: &str = "kernel_calls::the_kernel_is_asked_for_what_the_storage_was_asked_for";
const PART: &str = "the kernel's view of the runs";

/// In the child: the runs, each in a directory of its own, with the log of each beside it.
fn runs_here(_: Option<Flaw>) -> Checked {
    let runs = number_from(RUNS, 500);
    for run in 0..runs {
        let data_dir = data_dir().join(format!("run{run}"));
        let path = data_dir.with_extension("answers");
        let mut answers = OpenOptions::new().create(true).append(true).open(path).expect("made");
        let mut note = |database: &str| {
            answers
                .write_all(format!("committed {database}\n").as_bytes())
                .expect("noted")
        };
        let entries = drawn_run(None, &data_dir, &words(run, 40), &mut note)?;
        let lines = logged(&entries).join("\n");
        fs::write(data_dir.with_extension("log"), lines).expect("written");
    }
    Ok(runs)
}

#[test]
fn the_kernel_is_asked_for_what_the_storage_was_asked_for() {
    if is_part(PART) {
        return answer(runs_here);
    }
    if !is_possible(PART) {
        return;
    }
    let place = memory_directory();
    let fast = ["--seccomp-bpf".to_owned()];
    let (output, trace) = traced(&fast, TEST, PART, (DATA_DIR, place.path()));
    let runs = verdict(&output).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    let seen = parse(&trace);
    let mut calls = 0;
    // By run: the name of its directory is in each path.
    let mut by_run: Vec<Vec<Seen>> = vec![Vec::new(); runs];
    for one in seen {
        let words = one.arguments.split(|letter: char| !letter.is_ascii_alphanumeric());
        let mut numbers = words.filter_map(|word| word.strip_prefix("run")?.parse::<usize>().ok());
        // The parent of all runs has no number in its path.
        if let Some(run) = numbers.next().filter(|run| *run < runs) {
            by_run[run].push(one);
        }
    }
    for (run, seen) in by_run.iter().enumerate() {
        let data_dir = place.path().join(format!("run{run}"));
        let asked = fs::read_to_string(data_dir.with_extension("log")).expect("the log");
        // All runs have one parent: whose opening synced it, its path does not say.
        let asked: Vec<&str> = asked.lines().filter(|line| *line != "sync parent").collect();
        let done = kernel(seen, &data_dir);
        if asked != done {
            let sides = (0..asked.len().max(done.len()))
                .map(|line| {
                    let (left, right) = (
                        asked.get(line).unwrap_or(&""),
                        done.get(line).map_or("", String::as_str),
                    );
                    format!("{} {left:<36} {right}", if *left == right { " " } else { "*" })
                })
                .collect::<Vec<_>>();
            panic!("run {run}: asked for, and done in the kernel:\n{}", sides.join("\n"));
        }
        calls += done.len();
    }
    assert!(calls > runs * 10, "only {calls} calls of {runs} runs");
    println!("in the kernel: {calls} calls of {runs} runs are what was asked for");
}

// --- Each call of a transfer made to fail -----------------------------------------------------

const FAILING: &str = "kernel_calls::any_system_call_of_a_transfer_may_fail_and_the_next_start_commits";
const FAILING_PART: &str = "system calls that fail";

/// The errors that calls are made to fail with.
const ERRORS: [(&str, Errno); 8] = [
    ("ENOSPC", Errno::NOSPC),
    ("EDQUOT", Errno::DQUOT),
    ("EIO", Errno::IO),
    ("EINTR", Errno::INTR),
    ("EACCES", Errno::ACCESS),
    ("EROFS", Errno::ROFS),
    ("ENAMETOOLONG", Errno::NAMETOOLONG),
    ("EMFILE", Errno::MFILE),
];

/// In the child: an opening and a transfer, of which one call fails; then the same again.
fn one_call_fails(flaw: Option<Flaw>) -> Checked {
    let data_dir = data_dir();
    let open = || Subject::plain(flaw, &data_dir);
    let subject = match open() {
        Ok(subject) => subject,
        Err(error) => {
            println!("\ntold: open refused: {error}");
            open().map_err(|error| Violation {
                clause: "SR-REC-003",
                what: format!("a second opening: {error}"),
            })?
        }
    };
    let descriptors = descriptors_below(&data_dir);
    let source = Source::new("db", 1, "abcdefghi");
    let send = || {
        subject.handle_chunk(source.chunk(0, 3, false))?;
        subject.handle_chunk(source.chunk(3, 6, false))?;
        subject.handle_chunk(source.rest(6))
    };
    match send() {
        Ok(_) => println!("\ntold: committed"),
        Err(ReceiveError::Storage {
            operation,
            source: error,
            removal_failed,
        }) => {
            let full = error.kind == FailureKind::Full;
            let errno = error
                .source
                .as_ref()
                .and_then(std::io::Error::raw_os_error)
                .unwrap_or(0);
            println!("\ntold: {operation} {errno} {full}");
            let left = names(&data_dir).contains(&"db.partial".to_owned());
            holds(!left && removal_failed.is_none(), "SR-ERR-001", || {
                format!("left: {left}, {removal_failed:?}")
            })?;
        }
        Err(other) => holds(false, "SR-ERR-001", || format!("{other:?}"))?,
    }
    let visible = fs::read(snapshot(&data_dir, "db")).ok();
    let is_whole = visible.is_none_or(|visible| visible == source.bytes);
    holds(is_whole, "SR-PUB-002", || "a torn snapshot is visible".to_owned())?;
    holds(descriptors_below(&data_dir) == descriptors, "SR-CON-005", || {
        "a descriptor is left".to_owned()
    })?;
    let again = send();
    let found = fs::read(snapshot(&data_dir, "db")).ok();
    holds(
        again.is_ok() && found == Some(source.bytes.clone()),
        "SR-ERR-001",
        || format!("then: {again:?}, {found:?}"),
    )?;
    Ok(1)
}

/// Runs the child with strace's arguments; the trace of its calls below the receive directory, and what
/// it was told.
fn failing(inject: &[String]) -> Result<(Vec<Seen>, String), Violation> {
    let place = memory_directory();
    let data_dir = place.path().join("data");
    let receive = data_dir.join("recv_snapshots");
    let mut arguments = Vec::new();
    for path in [receive.clone(), receive.join("db.partial"), data_dir.clone()] {
        arguments.extend(["-P".to_owned(), path.to_str().expect("plain").to_owned()]);
    }
    arguments.extend(inject.iter().cloned());
    let (output, trace) = traced(&arguments, FAILING, FAILING_PART, (DATA_DIR, &data_dir));
    let checked = verdict(&output);
    let seen = parse(&trace);
    checked.map_err(|violation| Violation {
        what: format!("{inject:?}: {}\n{seen:#?}", violation.what),
        ..violation
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = said.lines().filter_map(|line| line.strip_prefix("told: "));
    Ok((seen, told.collect::<Vec<_>>().join("; ")))
}

/// What has to be told where this call fails with this error.
fn due(call: &Seen, errno: Errno) -> &'static [&'static str] {
    let path = call.path().unwrap_or_default();
    let is_partial = path.contains("db.partial");
    match call.name.as_str() {
        // The standard library looks at the file before a listing, and tries an interrupted call again.
        "pwrite64" if errno == Errno::INTR => &["committed"],
        "pwrite64" => &["write"],
        // Nothing stands there: asked, it says so.
        "unlinkat" => &["committed"],
        "openat" if call.arguments.contains("O_CREAT") => &["create"],
        "fsync" if is_partial => &["sync"],
        "fsync" => &["sync_directory", "open refused"],
        "renameat" | "renameat2" => &["publish"],
        "fstat" if is_partial => &["publish"],
        "newfstatat" | "statx" if call.arguments.contains("db.partial") => &["publish"],
        "newfstatat" | "statx" => &["create", "publish", "open refused"],
        // A hint that cannot be taken is no failure, and its error one of the write.
        "fadvise64" | "sync_file_range" => &["committed", "write"],
        _ => &["open refused", "committed"],
    }
}

/// Every call, by its name and number, with every error.
pub(crate) fn check_failing() -> Checked {
    let (clean, told) = failing(&[])?;
    holds(told == "committed", "SR-LIV-001", || {
        format!("without a failure: {told}")
    })?;
    // Up to the first commit: what follows is the same once more.
    let first = clean.iter().position(|seen| seen.name.starts_with("rename"));
    let first = first.map_or(clean.len(), |at| clean.len().min(at + 2));
    let mut targets = Vec::new();
    let mut counted: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for seen in &clean[..first] {
        let number = counted.entry(seen.name.as_str()).or_default();
        *number += 1;
        targets.push((seen.name.clone(), *number));
    }
    let cases: Vec<_> = targets
        .iter()
        .flat_map(|target| ERRORS.map(|error| (target.clone(), error)))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || -> Result<BTreeSet<String>, Violation> {
        let mut fired = BTreeSet::new();
        while let Some(((name, number), (word, errno))) =
            cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            let inject = ["-e".to_owned(), format!("inject={name}:error={word}:when={number}")];
            let (seen, told) = failing(&inject)?;
            judge(&seen, &told, *errno).map_err(|violation| Violation {
                what: format!("{inject:?}: {}\n{seen:#?}", violation.what),
                ..violation
            })?;
            fired.insert(format!("{name} {number}"));
        }
        Ok(fired)
    };
    let found = std::thread::scope(|scope| {
        let workers = [0; 2].map(|_| scope.spawn(work));
        workers.map(|worker| worker.join().expect("a worker ends"))
    });
    let mut fired = BTreeSet::new();
    for found in found {
        fired.extend(found?);
    }
    println!("calls that failed: {fired:?}");
    Ok(cases.len())
}

/// The failed call is told as its operation, with its error; a failed sync is not followed by another of
/// that file, nor by its rename.
fn judge(seen: &[Seen], told: &str, errno: Errno) -> Result<(), Violation> {
    let at = seen.iter().position(Seen::is_injected);
    let Some(at) = at else {
        return holds(false, "SR-ERR-001", || format!("no call failed, and {told} was told"));
    };
    let failed = &seen[at];
    let due = due(failed, errno);
    let is_due = due
        .iter()
        .any(|due| told.starts_with(due) || told == format!("{due}; committed"));
    holds(is_due, "SR-ERR-001", || {
        format!("{failed:?} failed, {due:?} is due, and {told:?} was told")
    })?;
    let is_full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
    let is_storage = told.split_whitespace().count() == 3 && !told.contains("refused");
    let expected = format!("{} {is_full}", errno.raw_os_error());
    holds(!is_storage || told.ends_with(&expected), "SR-ERR-001", || {
        format!("{expected} is due, and {told:?} was told")
    })?;
    if failed.name == "fsync" && !told.contains("refused") {
        let next = seen[at + 1..]
            .iter()
            .find(|seen| matches!(seen.name.as_str(), "fsync" | "renameat" | "unlinkat"));
        let is_final = next.is_none_or(|next| next.name == "unlinkat");
        holds(is_final, "SR-ERR-002", || {
            format!("after the failed sync comes {next:?}")
        })?;
    }
    Ok(())
}

#[test]
fn any_system_call_of_a_transfer_may_fail_and_the_next_start_commits() {
    if is_part(FAILING_PART) {
        return answer(one_call_fails);
    }
    if !is_possible(FAILING_PART) {
        return;
    }
    let cases = check_failing().unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    println!("{FAILING_PART}: {cases} cases");
}
