//! Random actions against the shipped receiver, beside an oracle that keeps every byte.
//!
//! Guarantees: arbitrary chunkings, three interleaved databases, aborts, restarts, hostile
//! envelopes and failing operations; every answer, report and file is compared after every
//! action. Refuses to know: how an action is made of bytes; that is the harness's.
//!
//! `PROPTEST_CASES=100000 cargo test --test properties` runs a longer campaign.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{TestCaseError, TestRunner};
use snapshot_receiver_model::bugs::Bugs;
use snapshot_receiver_model::harness::{
    ANSWERS, Bed, Failure, FileBed, MemoryBed, Rigged, Seen, Word, run, run_subject,
};

#[path = "support/face.rs"]
mod face;
use face::AsyncFace;

/// Cases by default; the environment can only raise them.
fn config(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        asked.cases.max(cases)
    } else {
        cases
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..asked
    }
}

/// What runs the actions that words stand for on a bed.
type Run<B> = fn(B, &[Word]) -> Result<Seen, Box<Failure>>;

/// Runs random actions on fresh beds, and returns what they have seen in all.
fn campaign<B: Bed>(cases: u32, bed: impl Fn() -> B, run: Run<B>) -> BTreeSet<String> {
    let seen = Mutex::new(BTreeSet::new());
    let words = vec(any::<Word>(), 0..60);
    let outcome = TestRunner::new(config(cases)).run(&words, |words| {
        let new = run(bed(), &words).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
        seen.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn files_in_memory_follow_the_oracle_through_everything() {
    let expected: BTreeSet<&str> = ANSWERS.into();
    let seen = campaign(4_000, MemoryBed::default, run);
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, expected, "a generator gone stale reaches less");
}

fn run_async<B: Bed>(bed: B, words: &[Word]) -> Result<Seen, Box<Failure>> {
    let mut seen = Seen::new();
    run_subject::<B, AsyncFace<Rigged<B>>>(bed, Bugs::none(), words, &mut seen)?;
    Ok(seen)
}

#[test]
fn the_async_face_follows_the_oracle_through_everything() {
    let expected: BTreeSet<&str> = ANSWERS.into();
    let seen = campaign(1_000, MemoryBed::default, run_async);
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, expected, "a generator gone stale reaches less");
}

#[test]
fn real_files_follow_the_oracle_through_everything() {
    let base = if std::path::Path::new("/dev/shm").is_dir() {
        "/dev/shm".into()
    } else {
        std::env::temp_dir()
    };
    let dir = tempfile::tempdir_in(base).expect("a temporary directory");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let seen = campaign(
        300,
        || {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            FileBed::new(dir.path().join(number.to_string()))
        },
        run,
    );
    assert!(
        seen.contains("committed") && seen.contains("failed publish"),
        "{seen:?}"
    );
}
