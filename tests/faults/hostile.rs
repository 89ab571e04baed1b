//! Hostile places: things planted where the receiver's files go, or put there while a transfer runs, and a
//! second receiver.
//!
//! Guarantees: a full listing with contents, taken before and after, differs in the names of the
//! envelope's own database and in nothing else; whatever is planted is replaced, or refused, never
//! opened, followed or truncated. Refuses to know: names; `names` has them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use snapshot_receiver::protocol::{FailureKind, Operation};
use snapshot_receiver::{OpenError, ReceiveError};
use tempfile::TempDir;

use crate::flaw::Flaw;
use crate::place::{listing, memory_directory, skipped};
use crate::subject::{Checked, Subject, Violation, holds, passes};
use crate::support::{Source, partial, snapshot};

/// A data directory with things beside it that nobody may touch.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = memory_directory();
        fs::create_dir_all(directory.path().join("data/recv_snapshots")).expect("made");
        fs::write(directory.path().join("victim"), "kept").expect("written");
        fs::write(directory.path().join("data/beside"), "kept").expect("written");
        fs::create_dir(directory.path().join("elsewhere")).expect("made");
        fs::write(directory.path().join("elsewhere/db.partial"), "kept").expect("written");
        Self { directory }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn open(&self, flaw: Option<Flaw>) -> Result<Subject, Violation> {
        Subject::plain(flaw, &self.data_dir()).map_err(|error| Violation {
            clause: "SR-LIV-001",
            what: format!("the opening is refused: {error}"),
        })
    }

    /// All that is there, but for what has one of these names in the receive directory.
    pub(crate) fn listing(&self, but: &[String]) -> Vec<(String, String)> {
        let receive = self.data_dir().join("recv_snapshots");
        let own: Vec<String> = but
            .iter()
            .map(|name| receive.join(name).to_string_lossy().into_owned())
            .collect();
        let mut listed = listing(self.directory.path());
        listed.retain(|(path, _)| !own.contains(path));
        listed
    }
}

/// The names that a database's files have.
pub(crate) fn own_names(id: &str) -> [String; 2] {
    [format!("{id}.partial"), format!("{id}.snapshot")]
}

fn differences(before: &[(String, String)], after: &[(String, String)]) -> Vec<(String, String)> {
    let only = |one: &[(String, String)], other: &[(String, String)]| -> Vec<(String, String)> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    [only(before, after), only(after, before)].concat()
}

/// Nothing but the names given has changed.
pub(crate) fn untouched(place: &Place, before: &[(String, String)], but: &[String]) -> Result<(), Violation> {
    let changed = differences(before, &place.listing(but));
    let receive = place.data_dir().join("recv_snapshots");
    let is_outside = changed.iter().any(|(path, _)| !Path::new(path).starts_with(&receive));
    let clause = if is_outside { "SR-SEC-001" } else { "SR-ADM-001" };
    holds(changed.is_empty(), clause, || format!("{changed:?} changed"))
}

// --- Places -----------------------------------------------------------------------------------

/// What is planted under a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    File,
    HardLink,
    Link,
    DanglingLink,
    LinkToDirectory,
    Socket,
    Pipe,
    Device,
    Directory,
}

/// A receiver that opens pipes would hang on one: they come last.
const PLANTED: [Planted; 9] = [
    Planted::File,
    Planted::HardLink,
    Planted::Link,
    Planted::DanglingLink,
    Planted::LinkToDirectory,
    Planted::Directory,
    Planted::Socket,
    Planted::Pipe,
    Planted::Device,
];

/// Plants it; `false` where this user may not.
fn plant(place: &Place, planted: Planted, path: &Path) -> bool {
    let node = |kind, device| mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device);
    match planted {
        Planted::File => fs::write(path, "a leftover that is longer than any snapshot").expect("planted"),
        Planted::HardLink => fs::hard_link(place.at("victim"), path).expect("planted"),
        Planted::Link => symlink(place.at("victim"), path).expect("planted"),
        Planted::DanglingLink => symlink(place.at("made-through-a-link"), path).expect("planted"),
        Planted::LinkToDirectory => symlink(place.at("elsewhere"), path).expect("planted"),
        Planted::Socket => drop(UnixListener::bind(path).expect("planted")),
        Planted::Pipe => node(FileType::Fifo, 0).expect("planted"),
        Planted::Directory => {
            fs::create_dir(path).expect("planted");
            fs::write(path.join("kept"), "kept").expect("planted");
        }
        Planted::Device => {
            if node(FileType::CharacterDevice, makedev(1, 3)).is_err() {
                skipped("a device in the place of a file", "only root may make one");
                return false;
            }
        }
    }
    true
}

/// Something stands under the partial's name at a start, at a restart, or under the snapshot's.
pub(crate) fn check_places(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for planted in PLANTED {
        for restarts in [false, true] {
            let what = |violation: Violation| Violation {
                what: format!("{planted:?} under the partial's name: {}", violation.what),
                ..violation
            };
            cases += usize::from(partial_is_taken(flaw, planted, restarts).map_err(what)?);
        }
        let what = |violation: Violation| Violation {
            what: format!("{planted:?} under the snapshot's name: {}", violation.what),
            ..violation
        };
        cases += usize::from(snapshot_is_taken(flaw, planted).map_err(what)?);
    }
    Ok(cases)
}

/// SR-SEC-002, whatever else is said of it.
fn not_followed(violation: Violation) -> Violation {
    let clause = "SR-SEC-002";
    Violation { clause, ..violation }
}

fn partial_is_taken(flaw: Option<Flaw>, planted: Planted, restarts: bool) -> Result<bool, Violation> {
    let place = Place::new();
    let data_dir = place.data_dir();
    let subject = place.open(flaw)?;
    let source = Source::new("db", 1, "abcdef");
    if restarts {
        let begun = subject.handle_chunk(source.chunk(0, 2, false));
        holds(begun.is_ok(), "SR-LIV-001", || format!("{begun:?}"))?;
        fs::remove_file(partial(&data_dir, "db")).expect("removed by a stranger");
    }
    if !plant(&place, planted, &partial(&data_dir, "db")) {
        return Ok(false);
    }
    let mut own = own_names("db").to_vec();
    if planted == Planted::Directory {
        own.clear();
    }
    let before = place.listing(&own);
    let told = subject.handle_chunk(source.chunk(0, 3, false));
    if planted == Planted::Directory {
        let refused = matches!(
            &told,
            Err(ReceiveError::Storage { operation: Operation::Create, source, .. })
                if source.kind == FailureKind::DirectoryInTheWay
        );
        holds(refused, "SR-SEC-002", || format!("{told:?}"))?;
        return untouched(&place, &before, &own).map(|()| true).map_err(not_followed);
    }
    untouched(&place, &before, &own).map_err(not_followed)?;
    let is_file = fs::symlink_metadata(partial(&data_dir, "db")).is_ok_and(|found| found.is_file());
    holds(told.is_ok() && is_file, "SR-SEC-002", || {
        format!("the start was answered {told:?}; a file: {is_file}")
    })?;
    let told = subject.handle_chunk(source.rest(3));
    let found = fs::read(snapshot(&data_dir, "db")).ok();
    holds(
        told.is_ok() && found.as_ref() == Some(&source.bytes),
        "SR-SEC-002",
        || format!("the end was answered {told:?}, and {found:?} is published"),
    )?;
    untouched(&place, &before, &own).map(|()| true).map_err(not_followed)
}

fn snapshot_is_taken(flaw: Option<Flaw>, planted: Planted) -> Result<bool, Violation> {
    let place = Place::new();
    let data_dir = place.data_dir();
    let subject = place.open(flaw)?;
    let path = snapshot(&data_dir, "db");
    if !plant(&place, planted, &path) {
        return Ok(false);
    }
    let own = if planted == Planted::Directory {
        vec!["db.partial".to_owned()]
    } else {
        own_names("db").to_vec()
    };
    let before = place.listing(&own);
    let source = Source::new("db", 1, "abcdef");
    let told = subject.handle_chunk(source.whole());
    untouched(&place, &before, &own).map_err(not_followed)?;
    holds(!partial(&data_dir, "db").exists(), "SR-ERR-001", || {
        "the partial is left".to_owned()
    })?;
    if planted == Planted::Directory {
        let refused = matches!(
            &told,
            Err(ReceiveError::Storage {
                operation: Operation::Publish,
                ..
            })
        );
        holds(refused, "SR-ERR-001", || format!("{told:?}"))?;
        return Ok(true);
    }
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    holds(
        told.is_ok() && is_file && fs::read(&path).ok() == Some(source.bytes),
        "SR-SEC-002",
        || format!("{told:?}; a file: {is_file}"),
    )?;
    Ok(true)
}

/// Something else stands in the place of the receive directory when a receiver opens.
pub(crate) fn check_receive_directory(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for planted in PLANTED {
        if matches!(planted, Planted::Directory | Planted::HardLink) {
            continue;
        }
        let place = Place::new();
        let receive = place.data_dir().join("recv_snapshots");
        fs::remove_dir(&receive).expect("it was empty");
        if !plant(&place, planted, &receive) {
            continue;
        }
        let before = place.listing(&[]);
        let opened = Subject::plain(flaw, &place.data_dir());
        let refused = matches!(opened, Err(OpenError::Directory { .. }));
        holds(refused, "SR-SEC-002", || {
            format!("{planted:?} in the receive directory's place: {opened:?}")
        })?;
        drop(opened);
        untouched(&place, &before, &[]).map_err(not_followed)?;
        cases += 1;
    }
    Ok(cases)
}

// --- Replaced while a transfer runs -----------------------------------------------------------

/// What a stranger does to the directory while a transfer runs.
#[derive(Clone, Copy, Debug)]
enum Swap {
    /// Moves it away, and leaves nothing.
    Gone,
    /// Removes it with all that is in it.
    Removed,
    /// Puts a new directory there.
    Directory,
    /// Puts a link to another directory there.
    Link,
    /// Moves the data directory away and makes a new one.
    DataDirectory,
}

fn swap(place: &Place, swap: Swap) {
    let receive = place.data_dir().join("recv_snapshots");
    match swap {
        Swap::Gone => fs::rename(&receive, place.at("moved")).expect("moved"),
        Swap::Removed => fs::remove_dir_all(&receive).expect("removed"),
        Swap::Directory => {
            fs::rename(&receive, place.at("moved")).expect("moved");
            fs::create_dir(&receive).expect("replaced");
        }
        Swap::Link => {
            fs::rename(&receive, place.at("moved")).expect("moved");
            symlink(place.at("elsewhere"), &receive).expect("replaced");
        }
        Swap::DataDirectory => {
            fs::rename(place.data_dir(), place.at("moved")).expect("moved");
            fs::create_dir_all(&receive).expect("replaced");
        }
    }
}

/// The directory, or the partial, is another one than the receiver holds open (SR-SEC-004).
pub(crate) fn check_replaced(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for what in [
        Swap::Gone,
        Swap::Removed,
        Swap::Directory,
        Swap::Link,
        Swap::DataDirectory,
    ] {
        for starts in [false, true] {
            directory_is_replaced(flaw, what, starts).map_err(|violation| Violation {
                clause: "SR-SEC-004",
                what: format!("{what:?}: {}", violation.what),
            })?;
            cases += 1;
        }
    }
    for planted in PLANTED {
        cases += usize::from(partial_is_replaced(flaw, planted).map_err(|violation| Violation {
            clause: "SR-SEC-004",
            what: format!("{planted:?}: {}", violation.what),
        })?);
    }
    Ok(cases)
}

fn directory_is_replaced(flaw: Option<Flaw>, what: Swap, starts: bool) -> Result<(), Violation> {
    let place = Place::new();
    let subject = place.open(flaw)?;
    let source = Source::new("db", 1, "abcdef");
    let begun = subject.handle_chunk(source.chunk(0, 3, false));
    holds(begun.is_ok(), "SR-LIV-001", || format!("{begun:?}"))?;
    swap(&place, what);
    let moved = |path: &str| path.contains("/moved");
    let standing = |place: &Place| -> Vec<(String, String)> {
        let mut listed = place.listing(&[]);
        listed.retain(|(path, _)| !moved(path));
        listed
    };
    let before = standing(&place);
    let (told, expected) = if starts {
        (subject.handle_chunk(source.chunk(0, 3, false)), Operation::Create)
    } else {
        (subject.handle_chunk(source.rest(3)), Operation::Publish)
    };
    let failed = matches!(&told, Err(ReceiveError::Storage { operation, .. }) if *operation == expected);
    holds(failed, "SR-SEC-004", || {
        format!("a failed {expected} is due, and {told:?} was told")
    })?;
    let changed = differences(&before, &standing(&place));
    holds(changed.is_empty(), "SR-SEC-004", || format!("{changed:?} changed"))?;
    // What the receiver holds open is its own: its partial is gone from there.
    let left = listing(&place.at("moved"));
    let left: Vec<_> = left.iter().filter(|(path, _)| path.ends_with("db.partial")).collect();
    holds(left.is_empty(), "SR-ERR-001", || format!("{left:?} is left"))
}

fn partial_is_replaced(flaw: Option<Flaw>, planted: Planted) -> Result<bool, Violation> {
    let place = Place::new();
    let data_dir = place.data_dir();
    let subject = place.open(flaw)?;
    let source = Source::new("db", 1, "abcdef");
    let begun = subject.handle_chunk(source.chunk(0, 3, false));
    holds(begun.is_ok(), "SR-LIV-001", || format!("{begun:?}"))?;
    fs::remove_file(partial(&data_dir, "db")).expect("removed by a stranger");
    if !plant(&place, planted, &partial(&data_dir, "db")) {
        return Ok(false);
    }
    let before = place.listing(&["db.partial".to_owned()]);
    let told = subject.handle_chunk(source.rest(3));
    let failed = matches!(
        &told,
        Err(ReceiveError::Storage {
            operation: Operation::Publish,
            ..
        })
    );
    holds(failed, "SR-SEC-004", || {
        format!("a failed publish is due, and {told:?} was told")
    })?;
    untouched(&place, &before, &["db.partial".to_owned()]).map_err(|violation| Violation {
        clause: "SR-SEC-004",
        ..violation
    })?;
    Ok(true)
}

// --- The lock ---------------------------------------------------------------------------------

/// A second receiver is refused while the first lives, by whatever path, and touches nothing.
pub(crate) fn check_lock(flaw: Option<Flaw>) -> Checked {
    let place = Place::new();
    let data_dir = place.data_dir();
    let first = place.open(flaw)?;
    let source = Source::new("db", 1, "abcdef");
    let begun = first.handle_chunk(source.chunk(0, 3, false));
    holds(begun.is_ok(), "SR-LIV-001", || format!("{begun:?}"))?;
    symlink(&data_dir, place.at("another-way")).expect("made");
    fs::write(data_dir.join("recv_snapshots/orphan.partial"), "planted").expect("planted");
    let before = place.listing(&[]);
    let paths = [
        data_dir.clone(),
        place.at("another-way"),
        data_dir.join("recv_snapshots/.."),
    ];
    for path in &paths {
        let second = Subject::plain(flaw, path);
        let refused = matches!(&second, Err(error @ OpenError::InUse { .. }) if error.operation() == "lock");
        holds(refused, "SR-REC-002", || format!("by {}: {second:?}", path.display()))?;
        drop(second);
        let changed = differences(&before, &place.listing(&[]));
        holds(changed.is_empty(), "SR-REC-001", || {
            format!("a refused opening changed {changed:?}")
        })?;
    }
    let told = first.handle_chunk(source.rest(3));
    holds(told.is_ok(), "SR-REC-002", || format!("{told:?}"))?;
    drop(first);
    place.open(flaw)?;
    Ok(paths.len())
}

/// The lock is on the receive directory itself: whatever stands under the name that a lock would have is
/// neither taken for one nor touched.
pub(crate) fn check_lock_names(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for planted in PLANTED {
        for name in ["lock", ".lock", "LOCK", ".recv_snapshots.lock", "recv_snapshots.lock"] {
            let place = Place::new();
            let data_dir = place.data_dir();
            for directory in [data_dir.clone(), data_dir.join("recv_snapshots")] {
                cases += usize::from(plant(&place, planted, &directory.join(name)));
            }
            let before = place.listing(&own_names("db"));
            let what = |violation: Violation| Violation {
                what: format!("{planted:?} as {name}: {}", violation.what),
                ..not_followed(violation)
            };
            let subject = place.open(flaw).map_err(what)?;
            untouched(&place, &before, &own_names("db")).map_err(what)?;
            let told = subject.handle_chunk(Source::new("db", 1, "abcdef").whole());
            holds(told.is_ok(), "SR-SEC-002", || {
                format!("{planted:?} as {name}: {told:?}")
            })?;
            drop(subject);
            untouched(&place, &before, &own_names("db")).map_err(what)?;
        }
    }
    Ok(cases)
}

#[test]
fn whatever_stands_under_the_name_of_a_lock_is_nobodys_lock_and_left_alone() {
    passes(check_lock_names, "things planted under the names of locks");
}

#[test]
fn whatever_stands_in_a_files_place_is_replaced_or_refused_and_never_followed() {
    passes(check_places, "things planted in a file's place");
}

#[test]
fn whatever_stands_in_the_receive_directorys_place_refuses_the_opening() {
    passes(
        check_receive_directory,
        "things planted in the receive directory's place",
    );
}

#[test]
fn a_directory_or_partial_that_was_replaced_is_a_failed_operation_and_left_alone() {
    passes(check_replaced, "replaced while a transfer runs");
}

#[test]
fn a_second_receiver_is_refused_by_any_path_and_touches_nothing() {
    passes(check_lock, "a second receiver");
}
