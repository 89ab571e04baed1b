//! The fuzz target `interleave` on stable: its seeds, random interleavings, and the three races of the
//! classic hand-over, which bytes have to find.
//!
//! Guarantees: the same inputs in every run. Refuses to know: loom, which explores every interleaving;
//! `tests/loom.rs` has it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use snapshot_receiver_interleavings::bugs::{BUGS, Bug};
use snapshot_receiver_interleavings::{choose, crash, scenarios};
use snapshot_receiver_model::fuzzing::engine::{Random, inputs};

/// One at a time: what a scenario notes is of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Turns that are chosen; after them threads take turns.
const TURNS_MAX: usize = 96;

/// Interleavings drawn of the shipped shell.
const DRAWN: usize = 2_000;

/// Interleavings within which each race is found.
const PLANTED_DRAWN: usize = 20_000;

fn directory(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz")
        .join(kind)
        .join("interleave")
}

fn seeds(kind: &str) -> Vec<Vec<u8>> {
    let inputs = inputs(&directory(kind)).expect("a directory of inputs");
    inputs.into_iter().map(|(_, input)| input).collect()
}

/// A scenario, and turns in runs of one thread: most races need few switches at the right places, and a
/// coin tossed for each turn hardly ever lets a thread go far (Burckhardt et al., ASPLOS 2010).
fn draw(random: &mut Random) -> Vec<u8> {
    let length = 1 + random.below(TURNS_MAX);
    let longest_run = 1 + random.below(48);
    let mut input = vec![random.byte()];
    while input.len() <= length {
        let run = 1 + random.below(longest_run);
        input.extend(std::iter::repeat_n(random.byte(), run));
    }
    input
}

#[test]
fn every_seed_and_random_interleavings_of_the_shipped_shell_hold() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seeds = seeds("seeds");
    let mut seen = BTreeSet::new();
    for input in seeds.iter().chain(&self::seeds("regressions")) {
        seen.insert(choose("shipped", input).expect("the shipped shell"));
    }
    let all: BTreeSet<&str> = scenarios().into_iter().map(|(name, _)| name).collect();
    assert_eq!(seen, all, "a seed for each scenario");
    for (path, _) in inputs(&directory("regressions")).expect("a directory of inputs") {
        let note = path.with_extension("md");
        assert!(note.is_file(), "{}: no note of its cause", path.display());
    }
    let mut random = Random::of(7);
    for _ in 0..DRAWN {
        let _scenario = choose("shipped", &draw(&mut random));
    }
}

#[test]
fn each_race_of_the_hand_over_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Each race panics: that is the finding.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let races: Vec<&Bug> = BUGS.iter().filter(|bug| bug.incident.is_some()).collect();
    let found: Vec<Option<String>> = races.iter().map(|bug| found(bug)).collect();
    std::panic::set_hook(hook);
    write_results(&races, &found);
    let missed: Vec<_> = races.iter().zip(&found).filter(|(_, found)| found.is_none()).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    let incidents: Vec<_> = races.iter().filter_map(|bug| bug.incident).collect();
    assert_eq!(incidents, ["A9", "A10", "A11"]);
}

#[test]
fn a_crash_becomes_a_small_regression_with_a_trace_that_breaks_the_same_again() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let bug = BUGS.iter().find(|bug| bug.incident.is_some()).expect("a race");
    let breaks = |input: &Vec<u8>| crash::run(bug.id, input).is_some_and(|(_, what)| what.is_some());
    let mut random = Random::of(1);
    let mut drawn = seeds("seeds")
        .into_iter()
        .chain(std::iter::repeat_with(|| draw(&mut random)));
    let input = drawn.find(breaks).expect("without end");
    let recorded = crash::record(bug.id, &input).expect("it breaks");
    assert!(recorded.trace.input.len() <= input.len());
    assert!(
        recorded.lines.iter().any(|line| line.starts_with("thread ")),
        "{:?}",
        recorded.lines
    );
    assert!(
        recorded.lines.iter().any(|line| line.contains(" of database a")),
        "{:?}",
        recorded.lines
    );
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("regressions");
    let path = crash::keep_crash(&recorded, &directory, "a-race", "Planted.").expect("it is kept");
    assert_eq!(
        fs::read(path.with_extension("")).expect("the input"),
        recorded.trace.input
    );
    assert!(
        fs::read_to_string(path.with_extension("md"))
            .expect("a note")
            .contains("Planted.")
    );
    let trace = crash::read_trace(&path).expect("it is read");
    assert_eq!(trace, recorded.trace);
    let (_, again) = crash::run(bug.id, &trace.input).expect("a variant");
    assert!(again.is_some_and(|what| what.contains(bug.says)));
    // The shipped shell has no such crash.
    assert!(crash::record("shipped", &trace.input).is_none());
}

fn found(bug: &Bug) -> Option<String> {
    let mut random = Random::of(1);
    let mut corpus = seeds("seeds").into_iter();
    for number in 1..=PLANTED_DRAWN {
        let input = corpus.next().unwrap_or_else(|| draw(&mut random));
        let Err(payload) = catch_unwind(|| choose(bug.id, &input)) else {
            continue;
        };
        let says = payload.downcast_ref::<String>().cloned().unwrap_or_default();
        if says.contains(bug.says) {
            return Some(format!("fuzz target interleave, after {number} executions"));
        }
    }
    None
}

/// For the matrix of `cargo gate bugs`.
fn write_results(races: &[&Bug], found: &[Option<String>]) {
    let bug = |(bug, by): (&&Bug, &Option<String>)| {
        json!({
            "id": bug.id,
            "about": bug.about,
            "clauses": bug.clauses,
            "incident": bug.incident,
            "caught_by": by.iter().collect::<Vec<_>>(),
        })
    };
    let bugs: Vec<_> = races.iter().zip(found).map(bug).collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/gate-layers");
    fs::create_dir_all(&directory).expect("a directory for the results");
    fs::write(
        directory.join("fuzz-interleave.json"),
        format!("{:#}\n", json!({ "bugs": bugs })),
    )
    .expect("written");
}
