//! Recovery at scale: an opening among a hundred thousand files.
//!
//! Guarantees: one listing, one removal for each orphan, three syncs, whatever else is there; every
//! other file is the same inode with the same times as before. Refuses to know: file systems on which a
//! listing is slow.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use snapshot_receiver::Options;

use crate::flaw::Flaw;
use crate::log::{Call, Entry, Log};
use crate::place::{memory_directory, number_from, say};
use crate::subject::{Checked, Subject, Violation, holds};
use crate::support::Source;

/// Overrides how many files there are.
const FILES: &str = "RECOVERY_FILES";

/// Far above what an opening takes, far below what one takes that looks at each file for each other.
const SECONDS_MAX: Duration = Duration::from_secs(30);

fn name(number: usize) -> String {
    match number % 10 {
        0..=2 => format!("database-{number}.partial"),
        3..=5 => format!("database-{number}.snapshot"),
        6 => format!("database-{number}.partial.bak"),
        7 => format!(".database-{number}.partial"),
        8 => format!("data base {number}.partial"),
        _ => format!("notes-{number}.txt"),
    }
}

fn is_orphan(number: usize) -> bool {
    number % 10 <= 2
}

/// Each name with what would change if anybody touched it.
fn seen(receive: &Path) -> BTreeMap<String, (u64, i64, i64, u64)> {
    let entries = fs::read_dir(receive).expect("listed").flatten();
    entries
        .map(|entry| {
            let found = entry.metadata().expect("there");
            let stamp = (found.ino(), found.mtime_nsec(), found.ctime_nsec(), found.len());
            (entry.file_name().to_string_lossy().into_owned(), stamp)
        })
        .collect()
}

pub(crate) fn check(flaw: Option<Flaw>, files: usize) -> Checked {
    let directory = memory_directory();
    let data_dir = directory.path();
    let receive = data_dir.join("recv_snapshots");
    fs::DirBuilder::new().mode(0o700).create(&receive).expect("made");
    for number in 0..files {
        fs::write(receive.join(name(number)), "content").expect("planted");
    }
    fs::create_dir(receive.join("directory.partial")).expect("planted");
    mknodat(CWD, receive.join("pipe.partial"), FileType::Fifo, Mode::RUSR, 0).expect("planted");
    let mut expected = seen(&receive);
    let orphans = (0..files).filter(|number| is_orphan(*number));
    let removed = orphans
        .filter(|number| expected.remove(&name(*number)).is_some())
        .count();

    let log = Log::default();
    let began = Instant::now();
    let subject = Subject::open(flaw, data_dir, &log, Options::default().idle_timeout(None));
    let took = began.elapsed();
    let subject = subject.map_err(|error| Violation {
        clause: "SR-REC-003",
        what: format!("the opening is refused: {error}"),
    })?;
    let found = seen(&receive);
    let touched: Vec<_> = expected
        .iter()
        .filter(|(name, stamp)| found.get(*name) != Some(stamp))
        .take(3)
        .collect();
    holds(touched.is_empty(), "SR-REC-001", || {
        format!("{touched:?} and others were touched")
    })?;
    holds(found.len() == expected.len(), "SR-REC-001", || {
        format!("{} names are left, {} expected", found.len(), expected.len())
    })?;
    let reported = subject.receiver.orphans_left().len();
    holds(reported == 1, "SR-REC-003", || {
        format!("{reported} orphans are reported, not the directory alone")
    })?;
    let calls = log.take();
    let count = |wanted: fn(&Call) -> bool| {
        let of = |entry: &&Entry| matches!(entry, Entry::Call(call, _) if wanted(call));
        calls.iter().filter(of).count()
    };
    let counted = [
        count(|call| matches!(call, Call::List)),
        count(|call| matches!(call, Call::Remove(_))),
        count(|call| matches!(call, Call::SyncDirectory(_))),
    ];
    holds(counted == [1, removed, 3], "SR-REC-001", || {
        format!("listings, removals, syncs: {counted:?}")
    })?;
    holds(took < SECONDS_MAX, "SR-REC-001", || {
        format!("the opening took {took:?}")
    })?;
    let told = subject.handle_chunk(Source::new("next", 1, "abc").whole());
    holds(told.is_ok(), "SR-LIV-001", || format!("{told:?}"))?;
    if flaw.is_none() {
        say(&format!(
            "recovery among {files} files: {removed} orphans swept in {took:?}"
        ));
    }
    Ok(files)
}

#[test]
fn an_opening_among_a_hundred_thousand_files_touches_its_orphans_alone() {
    let files = number_from(FILES, 100_000);
    check(None, files).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
}
