//! Where tests put their files, how long they run, and what they draw.
//!
//! Guarantees: the same number gives the same draws; a count from the environment is told when it is
//! none. Refuses to know: what is tested.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// A directory in memory where there is one, so that a sync costs nothing.
pub(crate) fn memory_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary directory")
}

/// The count that an environment variable asks for, or the default.
pub(crate) fn number_from(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number"))
    })
}

/// Draws numbers below a bound, always the same ones for a seed (splitmix64, Steele and others 2014).
pub(crate) fn draws(seed: usize) -> impl FnMut(usize) -> usize {
    let mut state = seed as u64;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below.max(1) as u64).expect("below a usize")
    }
}

/// Says a figure, past the capture of a passing test's output.
pub(crate) fn say(line: &str) {
    // A closed output is nobody's loss.
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Says why a test, or a part of one, could not run here; once in a process, past any capture.
pub(crate) fn skipped(what: &str, why: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("SKIPPED: {what}: {why}");
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(line.clone()) {
        drop(writeln!(std::io::stderr(), "{line}"));
    }
}

/// Every path below a directory with its kind and content, links not followed.
pub(crate) fn listing(directory: &Path) -> Vec<(String, String)> {
    use std::os::unix::fs::FileTypeExt;
    let mut listed = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&path) else {
            continue;
        };
        for entry in entries {
            let entry = entry.expect("an entry");
            let path = entry.path();
            let kind = entry.file_type().expect("its kind");
            let what = if kind.is_symlink() {
                format!("link to {:?}", std::fs::read_link(&path).expect("a link"))
            } else if kind.is_file() {
                format!("file of {:?}", std::fs::read(&path).map_err(|error| error.kind()))
            } else if kind.is_dir() {
                pending.push(path.clone());
                "directory".to_owned()
            } else if kind.is_fifo() {
                "pipe".to_owned()
            } else {
                "device or socket".to_owned()
            };
            listed.push((path.to_string_lossy().into_owned(), what));
        }
    }
    listed.sort();
    listed
}

/// Descriptors of this process that lead below a directory.
pub(crate) fn descriptors_below(directory: &Path) -> usize {
    let directory = directory.canonicalize().expect("it exists");
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    open.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .filter(|path| path.starts_with(&directory))
        .count()
}

/// What this process has in memory.
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a size");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}
