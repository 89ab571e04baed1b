//! Failing calls: every call of an opening and of a transfer made to fail once, at every position, with
//! every error, by the fault-injecting storage.
//!
//! Guarantees: the answer names the operation and keeps what the operating system said, a full disk
//! told apart; the transfer is gone, its partial too, no descriptor stays, and a start from 0 commits;
//! a failed sync is never tried again and never followed by `Committed`; a failed removal is told
//! beside the cause. Refuses to know: how a kernel fails; `kernel_failures` and
//! `failing_system_calls` have that.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use rustix::io::Errno;
use snapshot_receiver::executor::{RecoveryError, StorageError};
use snapshot_receiver::protocol::{FailureKind, Operation};
use snapshot_receiver::{ChunkOutcome, DatabaseId, OpenError, Options, ReceiveError, Rejection};

use crate::flaw::Flaw;
use crate::log::{Call, Cause, Entry, Extent, Injected, Log, Outcome};
use crate::place::{descriptors_below, memory_directory};
use crate::subject::{Checked, Subject, Violation, holds, passes};
use crate::support::{Source, names, partial, snapshot};

pub(crate) const CAUSES: [Cause; 11] = [
    Cause::Errno(Errno::NOSPC),
    Cause::Errno(Errno::DQUOT),
    Cause::Errno(Errno::IO),
    Cause::Errno(Errno::INTR),
    Cause::Errno(Errno::ACCESS),
    Cause::Errno(Errno::PERM),
    Cause::Errno(Errno::ROFS),
    Cause::Errno(Errno::NAMETOOLONG),
    Cause::Errno(Errno::MFILE),
    Cause::Errno(Errno::FBIG),
    Cause::ShortWrite,
];

/// What of a failing call may have been done: all of a write only where its early write-back failed.
pub(crate) fn extents(is_write: bool) -> &'static [Extent] {
    if is_write {
        &[Extent::Nothing, Extent::Part, Extent::Whole]
    } else {
        &[Extent::Nothing, Extent::Part]
    }
}

const ID: &str = "db";

fn source() -> Source {
    Source::new(ID, 1, "abcdefghi")
}

/// Sends three chunks, until one is refused.
fn send(subject: &Subject, source: &Source) -> Result<ChunkOutcome, ReceiveError> {
    subject.handle_chunk(source.chunk(0, 3, false))?;
    subject.handle_chunk(source.chunk(3, 6, false))?;
    subject.handle_chunk(source.rest(6))
}

fn refused(error: &OpenError) -> Violation {
    Violation {
        clause: "SR-REC-003",
        what: format!("the opening is refused: {error}"),
    }
}

fn open(flaw: Option<Flaw>, data_dir: &Path, log: &Log) -> Result<Subject, OpenError> {
    Subject::open(flaw, data_dir, log, Options::default().idle_timeout(None))
}

/// Whether the error is what was injected.
pub(crate) fn is_told(error: &StorageError, cause: Cause) -> bool {
    let full = matches!(cause, Cause::Errno(Errno::NOSPC | Errno::DQUOT));
    let expected = if full { FailureKind::Full } else { FailureKind::Other };
    let said = error.source.as_ref();
    error.kind == expected
        && match cause {
            Cause::Errno(errno) => said.and_then(std::io::Error::raw_os_error) == Some(errno.raw_os_error()),
            Cause::ShortWrite => said.map(std::io::Error::kind) == Some(ErrorKind::WriteZero),
            Cause::DirectoryInTheWay => false,
        }
}

/// The clause that is broken where a failure of this call is not told.
pub(crate) fn clause_of(call: &str, Injected { cause, extent }: Injected) -> &'static str {
    match (call, cause) {
        // An error of an early write-back is final, as one of a sync is.
        ("write", _) if extent == Extent::Whole => "SR-ERR-002",
        ("write", Cause::ShortWrite) => "SR-ERR-003",
        ("sync", _) => "SR-ERR-002",
        ("sync_directory", _) => "SR-ERR-004",
        _ => "SR-ERR-001",
    }
}

/// Every call of a transfer fails once: at every position, with every error, without effect and with; of a
/// database's first transfer, and of one after a commit, which is remembered.
pub(crate) fn check_transfer(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for cause in CAUSES {
        // Create, three writes, sync, rename, sync of the directory.
        for after in 0..7 {
            for extent in extents((1..4).contains(&after)).iter().copied() {
                for is_first in [true, false] {
                    let dir = memory_directory();
                    let case = format!("call {after} fails with {cause:?}, {extent:?} done");
                    let told = |violation: Violation| Violation {
                        what: format!("{case}: {}", violation.what),
                        ..violation
                    };
                    let injected = Injected { cause, extent };
                    one_call_fails(flaw, dir.path(), (after, injected), is_first).map_err(told)?;
                    cases += 1;
                }
            }
        }
    }
    Ok(cases)
}

fn one_call_fails(
    flaw: Option<Flaw>,
    data_dir: &Path,
    (after, injected): (usize, Injected),
    is_first: bool,
) -> Result<(), Violation> {
    let log = Log::default();
    let subject = open(flaw, data_dir, &log).map_err(|error| refused(&error))?;
    let descriptors = descriptors_below(data_dir);
    if !is_first {
        let told = send(&subject, &source());
        holds(told.is_ok(), "SR-LIV-001", || format!("{told:?}"))?;
    }
    log.take();
    log.arm(after, injected);
    let told = send(&subject, &source());
    let fired = log.disarm();
    let name = fired.first().copied().unwrap_or("no call at all");
    let clause = clause_of(name, injected);
    let Err(ReceiveError::Storage {
        operation,
        source: error,
        removal_failed: None,
    }) = &told
    else {
        return holds(false, clause, || format!("{name} failed, and the answer was {told:?}"));
    };
    holds(operation.name() == name, "SR-ERR-001", || {
        format!("{name} failed, and {operation} was told")
    })?;
    holds(is_told(error, injected.cause), "SR-ERR-001", || {
        format!("{error:?} was told")
    })?;
    let no_call_twice = log.take();
    holds(is_final(&no_call_twice), "SR-ERR-002", || {
        format!("something was done again: {no_call_twice:?}")
    })?;
    all_gone(&subject, data_dir, descriptors)?;
    let visible = fs::read(snapshot(data_dir, ID)).ok();
    let is_whole = visible.as_ref() == Some(&source().bytes);
    let may_be = match name {
        "publish" | "sync_directory" => is_whole || is_first && visible.is_none(),
        _ if is_first => visible.is_none(),
        _ => is_whole,
    };
    holds(may_be, "SR-PUB-002", || format!("{visible:?} is visible"))?;
    starts_again(&subject, data_dir)?;
    holds(descriptors_below(data_dir) == descriptors, "SR-CON-005", || {
        "a descriptor was leaked".to_owned()
    })
}

/// After a failed call nothing follows but the removal: no sync again, no rename.
pub(crate) fn is_final(log: &[Entry]) -> bool {
    let failed = log
        .iter()
        .position(|entry| matches!(entry, Entry::Call(_, Outcome::Failed { .. })));
    let after = failed.map_or(&[][..], |at| &log[at + 1..]);
    after
        .iter()
        .all(|entry| matches!(entry, Entry::Call(Call::Remove(_), _)))
}

/// The transfer has ended, with its partial and its descriptor.
fn all_gone(subject: &Subject, data_dir: &Path, descriptors: usize) -> Result<(), Violation> {
    let database = DatabaseId::new(ID).expect("valid");
    let is_running = subject.receiver.state(&database).is_ok_and(|state| state.is_running());
    holds(!is_running, "SR-ERR-001", || "the transfer goes on".to_owned())?;
    holds(!partial(data_dir, ID).exists(), "SR-ERR-001", || {
        "the partial is left, and nobody says so".to_owned()
    })?;
    holds(descriptors_below(data_dir) == descriptors, "SR-CON-005", || {
        "a descriptor is left open".to_owned()
    })?;
    let late = subject.handle_chunk(source().chunk(3, 6, false));
    let is_refused = matches!(
        late,
        Err(ReceiveError::Rejected {
            rejection: Rejection::OffsetMismatch { expected: 0, actual: 3 },
            resume_offset: 0,
            ..
        })
    );
    holds(is_refused, "SR-OFF-002", || {
        format!("a continuation was answered {late:?}")
    })
}

/// Calls succeed again: offset 0 works at once, in a new file.
fn starts_again(subject: &Subject, data_dir: &Path) -> Result<(), Violation> {
    subject.log.take();
    let told = send(subject, &source());
    let found = fs::read(snapshot(data_dir, ID)).ok();
    let is_there = matches!(told, Ok(ChunkOutcome::Committed { .. })) && found == Some(source().bytes);
    holds(is_there, "SR-ERR-001", || {
        format!("then {told:?}, and {found:?} is there")
    })?;
    let log = subject.log.take();
    let created = log
        .first()
        .map(|entry| matches!(entry, Entry::Call(Call::Create(_), _)));
    holds(created == Some(true), "SR-ERR-002", || {
        format!("the next attempt goes on in the old file: {log:?}")
    })?;
    holds(names(data_dir) == [format!("{ID}.snapshot")], "SR-ERR-001", || {
        format!("{:?} is left", names(data_dir))
    })
}

/// A call fails, and so does the removal that follows: the first cause stays the answer, the removal is
/// told beside it and tried again at the next start or abort.
pub(crate) fn check_removal(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for cause in CAUSES {
        for after in 0..6 {
            for by_abort in [false, true] {
                let dir = memory_directory();
                removal_fails_too(flaw, dir.path(), after, cause, by_abort).map_err(|violation| Violation {
                    what: format!("call {after} and the removal fail with {cause:?}: {}", violation.what),
                    ..violation
                })?;
                cases += 1;
            }
        }
        for is_verdict in [false, true] {
            let dir = memory_directory();
            end_without_removal(flaw, dir.path(), cause, is_verdict)?;
            cases += 1;
        }
    }
    Ok(cases)
}

fn removal_fails_too(
    flaw: Option<Flaw>,
    data_dir: &Path,
    after: usize,
    cause: Cause,
    by_abort: bool,
) -> Result<(), Violation> {
    let log = Log::default();
    let subject = open(flaw, data_dir, &log).map_err(|error| refused(&error))?;
    let extent = Extent::Nothing;
    let first = Cause::Errno(Errno::IO);
    let injected = Injected { cause: first, extent };
    log.arm(after, injected);
    log.arm(after + 1, Injected { cause, extent });
    let told = send(&subject, &source());
    let fired = log.disarm();
    let Err(ReceiveError::Storage {
        operation,
        source: error,
        removal_failed: Some(removal),
    }) = &told
    else {
        return holds(false, "SR-ERR-005", || {
            format!("{fired:?} failed, and the answer was {told:?}")
        });
    };
    let named = fired.first().is_some_and(|name| operation.name() == *name);
    holds(
        named && is_told(error, first) && is_told(removal, cause),
        "SR-ERR-005",
        || format!("{fired:?} failed, and {told:?} was told"),
    )?;
    if by_abort {
        let aborted = subject.receiver.abort_database(ID);
        holds(aborted.is_ok() && !partial(data_dir, ID).exists(), "SR-ERR-005", || {
            format!("an abort that tries the removal again was answered {aborted:?}")
        })?;
    }
    starts_again(&subject, data_dir)
}

/// An abort, or a verdict, whose removal fails.
fn end_without_removal(flaw: Option<Flaw>, data_dir: &Path, cause: Cause, is_verdict: bool) -> Result<(), Violation> {
    let log = Log::default();
    let subject = open(flaw, data_dir, &log).map_err(|error| refused(&error))?;
    let mut wrong = source();
    wrong.crc ^= 1;
    let begun = subject.handle_chunk(wrong.chunk(0, 3, false));
    holds(begun.is_ok(), "SR-LIV-001", || format!("{begun:?}"))?;
    let extent = Extent::Nothing;
    // A verdict writes the last chunk no more.
    log.arm(0, Injected { cause, extent });
    let is_told = if is_verdict {
        let told = subject.handle_chunk(wrong.rest(3));
        matches!(
            &told,
            Err(ReceiveError::Rejected {
                rejection: Rejection::CrcMismatch { .. },
                removal_failed: Some(removal),
                ..
            }) if is_told(removal, cause)
        )
    } else {
        matches!(
            subject.receiver.abort_database(ID),
            Err(ReceiveError::Storage { operation: Operation::Remove, source, .. }) if is_told(&source, cause)
        )
    };
    let fired = log.disarm();
    holds(is_told, "SR-ERR-005", || {
        format!("{fired:?} failed with {cause:?}, and nobody says so")
    })?;
    starts_again(&subject, data_dir)
}

/// Every call of an opening fails once: a removal is reported, anything else refuses it, and the next
/// opening works.
pub(crate) fn check_opening(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for cause in CAUSES {
        for after in 0..6 {
            let dir = memory_directory();
            opening_fails(flaw, dir.path(), after, cause)?;
            cases += 1;
        }
    }
    Ok(cases)
}

fn opening_fails(flaw: Option<Flaw>, data_dir: &Path, after: usize, cause: Cause) -> Result<(), Violation> {
    fs::create_dir(data_dir.join("recv_snapshots")).expect("made");
    for orphan in ["a", "b"] {
        fs::write(partial(data_dir, orphan), "orphan").expect("planted");
    }
    fs::write(snapshot(data_dir, "a"), "kept").expect("planted");
    let log = Log::default();
    let extent = Extent::Nothing;
    log.arm(after, Injected { cause, extent });
    let opened = open(flaw, data_dir, &log);
    let fired = log.disarm();
    let told = || format!("{fired:?} failed with {cause:?}, and the opening gave {opened:?}");
    match fired.as_slice() {
        ["list"] => {
            let refused =
                matches!(&opened, Err(OpenError::Recovery(RecoveryError::List(error))) if is_told(error, cause));
            holds(refused, "SR-REC-003", told)?;
        }
        ["remove"] => {
            let reported = opened.as_ref().is_ok_and(|subject| {
                let left = subject.receiver.orphans_left();
                left.len() == 1 && is_told(&left[0].error, cause) && names(data_dir).len() == 2
            });
            holds(reported, "SR-REC-003", told)?;
        }
        ["sync_directory"] => {
            let refused =
                matches!(&opened, Err(OpenError::Recovery(RecoveryError::Sync { error, .. })) if is_told(error, cause));
            holds(refused, "SR-PUB-005", told)?;
        }
        _ => holds(false, "SR-REC-001", told)?,
    }
    drop(opened);
    let again = open(flaw, data_dir, &log).map_err(|error| refused(&error))?;
    holds(names(data_dir) == ["a.snapshot"], "SR-REC-001", || {
        format!("{:?}", names(data_dir))
    })?;
    drop(again);
    holds(descriptors_below(data_dir) == 0, "SR-CON-005", || {
        "a descriptor is left".to_owned()
    })
}

#[test]
fn any_call_of_a_transfer_may_fail_and_the_next_start_commits() {
    passes(check_transfer, "one failing call of a transfer");
}

#[test]
fn a_failed_removal_is_told_beside_the_cause_and_tried_again() {
    passes(check_removal, "a failing removal");
}

#[test]
fn any_call_of_an_opening_may_fail_and_the_next_opening_works() {
    passes(check_opening, "one failing call of an opening");
}
