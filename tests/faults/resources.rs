//! Bounds: sources that send a million chunks of a byte, a million that are refused, from ten thousand
//! databases, that declare the largest total there is, or open transfers and go silent.
//!
//! Guarantees: memory, measured in a process of its own, does not grow with what is sent; descriptors
//! and transfers are as many as the options say; what nobody continues is ended, and its place is free.
//! Refuses to know: how long anything takes.

use std::fs;
use std::path::Path;

use snapshot_receiver::{ChunkOutcome, Envelope, Options, ReceiveError, Rejection};

use crate::child::{answer, command, is_part, verdict};
use crate::flaw::Flaw;
use crate::log::Log;
use crate::place::{descriptors_below, memory_directory, resident_bytes, say};
use crate::subject::{Checked, Subject, Violation, holds};
use crate::support::{Source, names, partial};

const TEST: &str = "resources::whatever_is_sent_memory_descriptors_and_transfers_stay_bounded";
const PART: &str = "resources";

/// Chunks of the long phases; a seeded bug shows sooner.
fn many(subject: &Subject) -> u64 {
    if subject.is_shipped() { 1_000_000 } else { 10_000 }
}

/// What the process may grow by in a phase: far less than what any of them would leave behind.
const GROWTH_BYTES_MAX: u64 = 12 << 20;

/// One chunk of a snapshot that is never whole.
fn chunk(database: &str, offset: u64, data: Vec<u8>) -> Envelope<Vec<u8>> {
    Envelope {
        source_cluster_id: "eu".into(),
        source_database_id: database.into(),
        snapshot_lsn: 1,
        total_bytes: 1 << 40,
        total_crc32c: 0,
        offset,
        data,
        done: false,
    }
}

type Phase = fn(&Subject, &Path) -> Checked;

const PHASES: [(&str, Phase); 6] = [
    ("warm up", commits_of_many_databases),
    ("a million chunks of a byte", chunks_of_a_byte),
    ("a million refused chunks", refused_chunks),
    ("256 MiB in chunks of 64 KiB", many_bytes),
    ("ten thousand databases", commits_of_many_databases),
    ("transfers that nobody continues", silent_transfers),
];

fn check_here(flaw: Option<Flaw>) -> Checked {
    let directory = memory_directory();
    let data_dir = directory.path();
    let options = Options::default().idle_timeout(None);
    let subject = Subject::open(flaw, data_dir, &Log::silent(), options).map_err(|error| Violation {
        clause: "SR-LIV-001",
        what: error.to_string(),
    })?;
    let descriptors = descriptors_below(data_dir);
    let mut cases = 0;
    for (number, (name, phase)) in PHASES.into_iter().enumerate() {
        let before = resident_bytes();
        cases += phase(&subject, data_dir)?;
        // While its transfers run: what is let go at their end is memory too.
        let grown = resident_bytes().saturating_sub(before);
        let _aborted = subject.receiver.abort();
        let grown = grown.max(resident_bytes().saturating_sub(before));
        println!("{name}: grown by {} KiB", grown >> 10);
        // The first phase fills what is kept for ever: the latest commits of so many databases.
        holds(number == 0 || grown < GROWTH_BYTES_MAX, "SR-CON-005", || {
            format!("{name}: the process grew by {} KiB", grown >> 10)
        })?;
        let open = descriptors_below(data_dir);
        holds(open == descriptors, "SR-CON-005", || {
            format!("{name}: {open} descriptors are open, {descriptors} at first")
        })?;
    }
    largest_total(data_dir)?;
    Ok(cases + 1)
}

fn told<T: std::fmt::Debug>(what: &T) -> String {
    format!("{what:?} was told")
}

fn chunks_of_a_byte(subject: &Subject, data_dir: &Path) -> Checked {
    let many = many(subject);
    for offset in 0..many {
        let answer = subject.handle_chunk(chunk("slow", offset, vec![7]));
        let expected = ChunkOutcome::Pending { bytes_done: offset + 1 };
        holds(
            answer.as_ref().is_ok_and(|answer| *answer == expected),
            "SR-OFF-005",
            || told(&answer),
        )?;
    }
    let length = fs::metadata(partial(data_dir, "slow"))
        .map(|partial| partial.len())
        .ok();
    holds(length == Some(many), "SR-OFF-004", || told(&length))?;
    Ok(usize::try_from(many).expect("a count"))
}

/// Refused for another reason each: an invalid id, a wrong offset, no transfer, a chunk past its total.
fn refused_chunks(subject: &Subject, data_dir: &Path) -> Checked {
    let begun = subject.handle_chunk(chunk("busy", 0, vec![7]));
    holds(begun.is_ok(), "SR-LIV-001", || told(&begun))?;
    let many = many(subject);
    for number in 0..many {
        let refused = match number % 4 {
            0 => chunk(&format!("../{number}"), 0, vec![7]),
            1 => chunk("busy", number + 2, vec![7]),
            2 => chunk(&format!("unknown{number}"), 9, vec![7]),
            _ => chunk("busy", 1 << 40, vec![7]),
        };
        let answer = subject.handle_chunk(refused);
        holds(
            matches!(answer, Err(ReceiveError::Rejected { .. })),
            "SR-ADM-004",
            || told(&answer),
        )?;
    }
    holds(
        names(data_dir).contains(&"busy.partial".to_owned()),
        "SR-ADM-004",
        || told(&names(data_dir)),
    )?;
    Ok(usize::try_from(many).expect("a count"))
}

/// One transfer, whose file is emptied now and then, so that the test needs no room for it.
fn many_bytes(subject: &Subject, data_dir: &Path) -> Checked {
    const LENGTH: usize = 64 << 10;
    for number in 0..4096 {
        let answer = subject.handle_chunk(chunk("large", number * LENGTH as u64, vec![7; LENGTH]));
        holds(answer.is_ok(), "SR-LIV-001", || told(&answer))?;
        if number % 256 == 255 {
            let file = fs::OpenOptions::new().write(true).open(partial(data_dir, "large"));
            let emptied = file.and_then(|file| file.set_len(0));
            holds(emptied.is_ok(), "SR-OFF-004", || told(&emptied))?;
        }
    }
    Ok(4096)
}

fn databases(subject: &Subject) -> usize {
    if subject.is_shipped() { 10_000 } else { 2_000 }
}

fn commits_of_many_databases(subject: &Subject, data_dir: &Path) -> Checked {
    for number in 0..databases(subject) {
        let name = format!("database-{number}");
        let answer = subject.handle_chunk(Source::new(&name, 1, "abc").whole());
        holds(answer.is_ok(), "SR-LIV-001", || told(&answer))?;
    }
    let count = names(data_dir).len();
    holds(count >= databases(subject), "SR-IDN-002", || format!("{count} names"))?;
    Ok(databases(subject))
}

/// More transfers are opened than there are places; then everybody is silent.
fn silent_transfers(subject: &Subject, data_dir: &Path) -> Checked {
    let places = Options::default().transfers_max;
    let before = descriptors_below(data_dir);
    for number in 0..10_000 {
        let answer = subject.handle_chunk(chunk(&format!("silent-{number}"), 0, vec![7]));
        let is_one_too_many = matches!(
            &answer,
            Err(ReceiveError::Rejected { rejection: Rejection::TooManyTransfers { transfers_max }, .. })
                if *transfers_max == places as u64
        );
        holds(is_one_too_many == (number >= places), "SR-CON-005", || {
            format!("start {number} of {places} places: {}", told(&answer))
        })?;
    }
    let open = descriptors_below(data_dir) - before;
    holds(open == places, "SR-CON-005", || {
        format!("{open} descriptors for {places} places")
    })?;
    let ended = subject.expire_all();
    holds(ended == places, "SR-CON-006", || {
        format!("{ended} of {places} silent transfers were ended")
    })?;
    let left = names(data_dir).iter().filter(|name| name.ends_with(".partial")).count();
    holds(left == 0, "SR-CON-006", || format!("{left} partials are left"))?;
    let answer = subject.handle_chunk(Source::new("late", 1, "abc").whole());
    holds(answer.is_ok(), "SR-CON-006", || told(&answer))?;
    Ok(10_000)
}

/// A total of `u64::MAX` is refused, and where the caller allows it, nothing is reserved for it.
fn largest_total(data_dir: &Path) -> Checked {
    for is_allowed in [false, true] {
        let options = Options::default().idle_timeout(None);
        let options = if is_allowed {
            options.snapshot_bytes_max(u64::MAX)
        } else {
            options
        };
        let directory = data_dir.join(format!("allowed-{is_allowed}"));
        let subject = Subject::open(None, &directory, &Log::silent(), options).map_err(|error| Violation {
            clause: "SR-LIV-001",
            what: error.to_string(),
        })?;
        let before = resident_bytes();
        let mut start = chunk("db", 0, vec![7]);
        start.total_bytes = u64::MAX;
        let answer = subject.handle_chunk(start);
        if is_allowed {
            let length = fs::metadata(partial(&directory, "db"))
                .map(|partial| partial.len())
                .ok();
            holds(answer.is_ok() && length == Some(1), "SR-SEC-003", || {
                told(&(answer, length))
            })?;
        } else {
            let is_refused = matches!(
                &answer,
                Err(ReceiveError::Rejected {
                    rejection: Rejection::SnapshotTooLarge { actual: u64::MAX, .. },
                    ..
                })
            );
            holds(is_refused, "SR-ADM-002", || told(&answer))?;
        }
        let grown = resident_bytes().saturating_sub(before);
        holds(grown < GROWTH_BYTES_MAX, "SR-SEC-003", || {
            format!("grown by {grown} bytes")
        })?;
    }
    Ok(2)
}

/// The phases in a process of their own, whose memory nobody else uses.
pub(crate) fn check(flaw: Option<Flaw>) -> Checked {
    let output = command(&[], TEST, PART, flaw).output().expect("the child runs");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if line.contains("grown by") && flaw.is_none() {
            say(line);
        }
    }
    verdict(&output)
}

#[test]
fn whatever_is_sent_memory_descriptors_and_transfers_stay_bounded() {
    if is_part(PART) {
        return answer(check_here);
    }
    let cases = check(None).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    say(&format!("bounds: {cases} calls"));
}
