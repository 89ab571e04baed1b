//! The same runs as in `calls`, as the kernel sees them: what the storage was asked for is what was done.
//!
//! Guarantees: creation, writes with their lengths and places, syncs, renames, removals and answers, in
//! one order, run by run; a difference is shown with both sides. Adjacent writes are taken as one. An early
//! write-back is in no line, but may only be of bytes that were written and are not synced yet, and the long
//! transfers have to ask for some. Refuses to know: what should be asked for; `calls` has that.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use snapshot_receiver::executor::Directory;

use crate::child::{answer, is_part, verdict};
use crate::flaw::Flaw;
use crate::log::{Call, Entry, Extent, Outcome};
use crate::place::{memory_directory, number_from, say};
use crate::runs::{self, Run};
use crate::strace::{Seen, is_possible, parse, traced};
use crate::subject::{Checked, holds};

const RUNS: &str = "KERNEL_RUNS";
const DATA_DIR: &str = "FAULTS_TEST_DATA_DIR";

// --- From the log to lines --------------------------------------------------------------------

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
        let (call, extent) = match entry {
            Entry::Call(call, Outcome::Done) => (call, Extent::Whole),
            Entry::Call(call, Outcome::Failed { extent, .. }) => (call, *extent),
            Entry::Committed(database, _) => {
                push(&mut lines, format!("committed {database}"));
                continue;
            }
            Entry::Sending(..) | Entry::Opened => continue,
        };
        let part = |length: usize| match extent {
            Extent::Nothing => 0,
            Extent::Part => length.div_ceil(2),
            Extent::Whole => length,
        };
        if extent == Extent::Nothing {
            continue;
        }
        let line = match call {
            Call::Create(database) => format!("create {database}"),
            Call::Write { database, offset, data } => {
                format!("write {database} {offset} {}", offset + part(data.len()) as u64)
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

// --- From the trace to the same lines ---------------------------------------------------------

/// The data directories of a run, and what is being read of its trace.
struct Reader {
    dirs: Vec<PathBuf>,
    lines: Vec<String>,
    /// An unlink is the first half of a create, or a removal.
    unlinked: Option<String>,
    /// How far each partial was written since it was created or synced.
    written: BTreeMap<String, u64>,
    /// Early write-backs asked for.
    write_backs: usize,
    is_outsider: bool,
}

/// What a path of a trace is to a run.
enum Role {
    Receive,
    Data,
    Parent,
    /// Something in the receive directory, by the database's id where it has one.
    Within(String),
    Elsewhere,
}

impl Reader {
    fn role(&self, path: &Path) -> Role {
        for dir in &self.dirs {
            let receive = dir.join("recv_snapshots");
            if path == receive {
                return Role::Receive;
            }
            if let Ok(name) = path.strip_prefix(&receive) {
                let name = name.to_string_lossy();
                let name = name.trim_end_matches(" (deleted)");
                let id = name.strip_suffix(".partial").or_else(|| name.strip_suffix(".snapshot"));
                return Role::Within(id.unwrap_or(name).to_owned());
            }
        }
        if self.dirs.iter().any(|dir| path == dir) {
            return Role::Data;
        }
        if self.dirs.iter().any(|dir| dir.parent() == Some(path)) {
            return Role::Parent;
        }
        Role::Elsewhere
    }

    fn push(&mut self, line: String) {
        if let Some(removed) = self.unlinked.take() {
            push(&mut self.lines, format!("remove {removed}"));
        }
        push(&mut self.lines, line);
    }

    fn heard(&mut self, line: &str) {
        match line {
            "outsider" => self.is_outsider = true,
            "receiver" => self.is_outsider = false,
            _ => self.push(line.to_owned()),
        }
    }

    /// Takes one call.
    fn take(&mut self, seen: &Seen) {
        let Some(path) = seen.place() else { return };
        if seen.name == "write" && path.file_name().is_some_and(|name| name == "answers") {
            return self.heard(seen.quoted()[0].trim_end_matches("\\n"));
        }
        if self.is_outsider {
            return;
        }
        match (seen.name.as_str(), self.role(&path)) {
            // The parent of `recv_snapshots` and what is above it is looked up, made once, and no more.
            ("openat" | "open", _) if !seen.arguments.contains("O_CREAT") => {}
            ("mkdirat" | "mkdir", Role::Data | Role::Receive) => {}
            // Looked at: nothing changes by it.
            ("fstat" | "newfstatat" | "statx" | "faccessat" | "faccessat2" | "flock", _) => {}
            (_, Role::Elsewhere) => {}
            ("unlinkat", Role::Within(database)) => {
                if seen.is_done() || seen.failed_with("ENOENT") {
                    let earlier = self.unlinked.replace(database);
                    if let Some(earlier) = earlier {
                        push(&mut self.lines, format!("remove {earlier}"));
                    }
                }
            }
            // A call that failed did nothing, and the log has it as one that did nothing.
            _ if !seen.is_done() => {}
            ("openat", Role::Within(database)) if seen.arguments.contains("O_CREAT|O_EXCL") => {
                if self.unlinked.take().is_none_or(|unlinked| unlinked != database) {
                    self.push(format!("the name of {database} was not unlinked before"));
                }
                self.written.insert(database.clone(), 0);
                self.push(format!("create {database}"));
            }
            ("pwrite64", Role::Within(database)) => {
                let offset = seen.numbers().last().copied().unwrap_or(u64::MAX);
                let end = offset.saturating_add(seen.result.parse().unwrap_or(0));
                self.written.insert(database.clone(), end);
                self.push(format!("write {database} {offset} {end}"));
            }
            ("fadvise64" | "sync_file_range" | "fdatasync", Role::Within(database)) => self.write_back(seen, &database),
            ("fsync", Role::Receive) => self.push("sync recv_snapshots".to_owned()),
            ("fsync", Role::Data) => self.push("sync data".to_owned()),
            ("fsync", Role::Parent) => self.push("sync parent".to_owned()),
            ("fsync", Role::Within(database)) => {
                self.written.remove(&database);
                self.push(format!("sync {database}"));
            }
            ("renameat" | "renameat2", Role::Within(database)) => self.push(format!("publish {database}")),
            ("getdents64", Role::Receive) => self.push("list".to_owned()),
            (name, _) => self.push(format!("{name} {}", seen.arguments)),
        }
    }

    /// Sets an early write-back aside, if it is one: of a partial, of what is written and not synced yet.
    fn write_back(&mut self, seen: &Seen, database: &str) {
        let Some(written) = self.written.get(database) else {
            return self.push(format!("{} of {database}, which is synced", seen.name));
        };
        let end = match seen.name.as_str() {
            "fdatasync" => 0,
            _ => {
                let words = seen.arguments.split(", ").skip(1).take(2);
                words.filter_map(|word| word.parse::<u64>().ok()).sum()
            }
        };
        if end > *written {
            return self.push(format!("{} of {database} up to {end} of {written}", seen.name));
        }
        self.write_backs += 1;
    }
}

/// What the kernel did below the data directories of a run, answers in between; and how many early
/// write-backs were asked for.
fn kernel(trace: &[Seen], dirs: Vec<PathBuf>) -> (Vec<String>, usize) {
    let mut reader = Reader {
        dirs,
        lines: Vec::new(),
        unlinked: None,
        written: BTreeMap::new(),
        write_backs: 0,
        is_outsider: false,
    };
    trace.iter().for_each(|seen| reader.take(seen));
    if let Some(removed) = reader.unlinked.take() {
        push(&mut reader.lines, format!("remove {removed}"));
    }
    (reader.lines, reader.write_backs)
}

// --- The same runs ----------------------------------------------------------------------------

const TEST: &str = "kernel_calls::the_kernel_is_asked_for_what_the_storage_was_asked_for";
const PART: &str = "the kernel's view of the runs";

/// All runs; of a seeded bug, a few that are drawn.
fn all(flaw: Option<Flaw>) -> impl Iterator<Item = (usize, Run)> {
    let most = if flaw.is_some() { 20 } else { usize::MAX };
    runs::all(number_from(RUNS, 500).min(most)).take(most).enumerate()
}

/// In the child: the runs, each in a directory of its own, with the log of each in it.
fn runs_here(flaw: Option<Flaw>) -> Checked {
    let place = PathBuf::from(std::env::var_os(DATA_DIR).expect("given by the parent"));
    let mut taken = 0;
    for (number, run) in all(flaw) {
        let scratch = place.join(format!("run{number}"));
        fs::create_dir(&scratch).expect("made");
        let path = scratch.join("answers");
        let mut answers = OpenOptions::new().create(true).append(true).open(path).expect("made");
        let mut heard = |line: &str| answers.write_all(format!("{line}\n").as_bytes()).expect("noted");
        let entries = run.take(flaw, &scratch, &mut heard)?;
        fs::write(scratch.join("log"), logged(&entries).join("\n")).expect("written");
        fs::write(scratch.join("dirs"), run.data_dirs().join("\n")).expect("written");
        let about = format!("{}\n{}", run.is_long(), run.name);
        fs::write(scratch.join("about"), about).expect("written");
        // The long ones take room.
        heard("outsider");
        let _content = fs::remove_dir_all(scratch.join("around"));
        taken += 1;
    }
    Ok(taken)
}

/// Where `strace` runs.
pub(crate) fn check(flaw: Option<Flaw>) -> Checked {
    let place = memory_directory();
    let fast = ["--seccomp-bpf".to_owned()];
    let (output, trace) = traced(&fast, (TEST, PART), (DATA_DIR, place.path()), flaw);
    let runs = verdict(&output)?;
    // By run: the name of its directory is in each path.
    let mut by_run: Vec<Vec<Seen>> = vec![Vec::new(); runs];
    for one in parse(&trace) {
        let words = one.arguments.split(|letter: char| !letter.is_ascii_alphanumeric());
        let mut numbers = words.filter_map(|word| word.strip_prefix("run")?.parse::<usize>().ok());
        if let Some(run) = numbers.next().filter(|run| *run < runs) {
            by_run[run].push(one);
        }
    }
    let (mut calls, mut write_backs) = (0, 0);
    for (run, seen) in by_run.iter().enumerate() {
        let scratch = place.path().join(format!("run{run}"));
        let read = |name: &str| fs::read_to_string(scratch.join(name)).expect("the child left it");
        let (log, dirs, about) = (read("log"), read("dirs"), read("about"));
        let (is_long, name) = about.split_once('\n').expect("two lines");
        let asked: Vec<&str> = log.lines().collect();
        let (done, early) = kernel(seen, dirs.lines().map(|dir| scratch.join(dir)).collect());
        holds(asked == done, "SR-PUB-001", || {
            format!("{name}: asked for, and done in the kernel:\n{}", beside(&asked, &done))
        })?;
        assert_eq!(early > 0, is_long == "true", "{name}: {early} early write-backs");
        calls += done.len();
        write_backs += early;
    }
    assert!(calls > runs * 5, "only {calls} calls of {runs} runs");
    if flaw.is_none() {
        say(&format!(
            "in the kernel: {calls} calls of {runs} runs are what was asked for; {write_backs} early write-backs"
        ));
    }
    Ok(calls)
}

#[test]
fn the_kernel_is_asked_for_what_the_storage_was_asked_for() {
    if is_part(PART) {
        return answer(runs_here);
    }
    if is_possible(PART) {
        check(None).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    }
}

fn beside(asked: &[&str], done: &[String]) -> String {
    let lines = (0..asked.len().max(done.len())).map(|line| {
        let left = asked.get(line).unwrap_or(&"");
        let right = done.get(line).map_or("", String::as_str);
        format!("{} {left:<36} {right}", if *left == right { " " } else { "*" })
    });
    lines.collect::<Vec<_>>().join("\n")
}
