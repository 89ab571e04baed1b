//! The fuzz targets on stable: every seed and regression, random inputs, and planted bugs.
//!
//! Guarantees: the same functions as the fuzzer's own binaries; the same inputs in every run. Refuses
//! to know: what a target does, and how long a campaign takes.
//!
//! What the planted bugs gave is written for `cargo gate bugs` to `target/gate-layers`: `fuzz.json`, and
//! `decoder.json` for the clauses that wait for a decoder's bug.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use snapshot_receiver_model::bugs::{Bug, Bugs};
use snapshot_receiver_model::fuzzing::engine::{Random, campaign, inputs};
use snapshot_receiver_model::fuzzing::planted::{PLANTED, layer_reports};
use snapshot_receiver_model::fuzzing::record::Recorded;
use snapshot_receiver_model::fuzzing::{Rig, TARGETS, Target, Watch};
use snapshot_receiver_model::harness::{MemoryBed, Seen, run_subject};
use snapshot_receiver_model::trace::HEADING;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[path = "support/face.rs"]
mod face;
use face::AsyncFace;

#[global_allocator]
static COUNTED: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Random inputs of each target, and mutations of its seeds: within a minute in all, for the ones on
/// real files too.
fn executions(target: &Target) -> u64 {
    match target.name {
        "executor_faults" | "paths" => 500,
        "trace" => 2_000,
        _ => 10_000,
    }
}

/// Executions within which each planted bug is found from the seeds: the short version of
/// `cargo gate fuzz planted`, for which a minute is allowed.
const PLANTED_EXECUTIONS: u64 = 40_000;

fn directory(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(kind)
        .join(target)
}

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    inputs(&directory("seeds", target.name)).expect("seeds")
}

fn bytes(inputs: Vec<(PathBuf, Vec<u8>)>) -> Vec<Vec<u8>> {
    inputs.into_iter().map(|(_, input)| input).collect()
}

/// One test at a time: what is counted is the whole process's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocated() -> usize {
    COUNTED.stats().bytes_allocated
}

#[test]
fn the_decoder_allocates_no_more_than_a_frame_is_long() {
    let _alone = alone();
    let target = Target::named("decode_envelope").expect("a target");
    let rig = Rig::default().counting(allocated);
    let found = campaign(
        target,
        &rig,
        &bytes(seeds(target)),
        executions(target),
        &mut Random::of(3),
    );
    // Whatever else allocates at times does not do so three times at the same moment.
    let holds = |input: &[u8]| (0..3).any(|_| target.find(&rig, input, &mut Watch::default()).is_ok());
    if let Some(found) = found.filter(|found| !holds(&found.input)) {
        panic!("{}: {:?}", found.what, found.input);
    }
}

#[test]
fn every_seed_and_regression_holds_and_the_seeds_reach_everything() {
    let _alone = alone();
    for target in TARGETS {
        let mut watch = Watch::everything();
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (path, input) in &seeds {
            target
                .find(&Rig::default(), input, &mut watch)
                .unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        }
        let seen = watch.seen.unwrap_or_default();
        let missing: Vec<_> = target.reaches.iter().filter(|name| !seen.contains(**name)).collect();
        assert!(
            missing.is_empty(),
            "the seeds of {} no longer reach {missing:?}",
            target.name
        );
        let regressions = directory("regressions", target.name);
        for (path, input) in inputs(&regressions).expect("regressions") {
            assert!(
                path.with_extension("md").is_file(),
                "{}: no note of its cause",
                path.display()
            );
            target
                .find(&Rig::default(), &input, &mut Watch::default())
                .unwrap_or_else(|what| panic!("{}: {what}", path.display()));
        }
    }
}

#[test]
fn every_seed_of_the_executor_holds_through_the_async_face_too() {
    let target = Target::named("executor_faults").expect("a target");
    for (path, input) in seeds(target) {
        let words = input.as_chunks().0;
        run_subject::<_, AsyncFace<_>>(MemoryBed::default(), Bugs::none(), words, &mut Seen::new())
            .unwrap_or_else(|failure| panic!("{}: {failure}", path.display()));
    }
}

/// What a target's seeds have to reach and do not, where `change` is made to each.
fn not_reached(target: &Target, change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<&'static str> {
    let mut watch = Watch::everything();
    for (_, input) in seeds(target) {
        // Whether it holds is another test's question.
        let _held = target.find(&Rig::default(), &change(&input), &mut watch);
    }
    let seen = watch.seen.unwrap_or_default();
    let missing = target.reaches.iter().filter(|name| !seen.contains(**name));
    missing.copied().collect()
}

/// A generator that reads its bytes otherwise than when the seeds were made: each as the next number.
#[test]
fn seeds_that_a_generator_no_longer_understands_are_noticed() {
    let _alone = alone();
    for target in TARGETS {
        assert_eq!(
            not_reached(target, <[u8]>::to_vec),
            Vec::<&str>::new(),
            "{}",
            target.name
        );
        let shifted = |input: &[u8]| input.iter().map(|byte| byte.wrapping_add(1)).collect();
        assert!(!not_reached(target, shifted).is_empty(), "{}", target.name);
        // And each thing to be reached is reached by the seeds, not by running nothing.
        let nothing = not_reached(target, |_| Vec::new());
        assert!(
            nothing.len() + 2 >= target.reaches.len(),
            "{}: {nothing:?}",
            target.name
        );
    }
}

/// Of the bugs that the model seeds, those that the seeds show without a single mutation; what is missing
/// needs a longer way. Fewer would be a loss.
const FOUND_BY_SEEDS_MIN: usize = 40;

#[test]
fn the_seeds_alone_find_many_of_the_bugs_that_the_model_seeds() {
    let _alone = alone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let found = ["step_sequence", "differential", "world"].into_iter().any(|name| {
            let (target, rig) = (Target::named(name).expect("a target"), Rig::with_bugs((*bug).into()));
            let breaks = |input: &Vec<u8>| target.find(&rig, input, &mut Watch::default()).is_err();
            // Each of them, not the first: what a broken receiver runs through is seen too.
            bytes(seeds(target)).iter().filter(|input| breaks(input)).count() > 0
        });
        if !found {
            missed.push(bug.name());
        }
    }
    std::panic::set_hook(hook);
    let found = Bug::ALL.len() - missed.len();
    println!("{found} of {} bugs; not by the seeds alone: {missed:?}", Bug::ALL.len());
    assert!(found >= FOUND_BY_SEEDS_MIN, "{found} of {}: {missed:?}", Bug::ALL.len());
}

#[test]
fn directories_and_binaries_are_named_like_the_targets() {
    let _alone = alone();
    let mut expected: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    // Its body needs the shell's source: `tests/interleavings` has it, and its own test.
    expected.insert("interleave".to_owned());
    let names = |directory: &str, suffix: &str| -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(directory);
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("fuzz/{directory}: {error}"));
        let name =
            |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string().expect("UTF-8");
        entries
            .map(name)
            .filter_map(|name| name.strip_suffix(suffix).map(str::to_owned))
            .collect()
    };
    assert_eq!(names("seeds", ""), expected);
    assert_eq!(names("regressions", ""), expected);
    assert_eq!(names("fuzz_targets", ".rs"), expected);
    assert_eq!(names("options", ".options"), expected);
    for name in &expected {
        let body = fs::read_to_string(directory("fuzz_targets", &format!("{name}.rs"))).expect("a target");
        assert!(body.lines().count() <= 12, "{name} is more than a dozen lines");
    }
    // A fuzzer that draws longer inputs than are read wastes its time; shorter ones, its reach.
    for target in TARGETS {
        let options = fs::read_to_string(directory("options", &format!("{}.options", target.name))).expect("options");
        let line = format!("max_len = {}", target.input_bytes_max);
        assert!(
            options.lines().any(|known| known == line),
            "{}: not {line}",
            target.name
        );
    }
}

/// Bytes of seeds and regressions in the repository, at most.
const COMMITTED_BYTES_MAX: usize = 2 << 20;

#[test]
fn what_is_committed_stays_small() {
    let _alone = alone();
    let bytes = |kind: &str, target: &str| -> usize {
        let files = inputs(&directory(kind, target)).expect("a directory");
        files.iter().map(|(_, input)| input.len()).sum()
    };
    let names = TARGETS.iter().map(|target| target.name).chain(["interleave"]);
    let all: usize = names
        .map(|name| bytes("seeds", name) + bytes("regressions", name))
        .sum();
    assert!(all <= COMMITTED_BYTES_MAX, "{all} bytes");
}

#[test]
fn random_inputs_hold() {
    let _alone = alone();
    for target in TARGETS {
        let corpus = bytes(seeds(target));
        let found = campaign(target, &Rig::default(), &corpus, executions(target), &mut Random::of(7));
        if let Some(found) = found {
            panic!("{}: {}: {:?}", target.name, found.what, found.input);
        }
    }
}

#[test]
fn every_planted_bug_is_found_from_the_seeds() {
    let _alone = alone();
    // A planted bug may panic: that is a finding, and is told as one.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found: Vec<_> = PLANTED
        .iter()
        .map(|planted| {
            let target = Target::named(planted.target).expect("a target");
            let rig = Rig::with(planted).counting(allocated);
            let found = campaign(
                target,
                &rig,
                &bytes(seeds(target)),
                PLANTED_EXECUTIONS,
                &mut Random::of(1),
            );
            let by = found.map(|found| {
                let (executions, what) = (found.executions, found.what);
                format!(
                    "tests/fuzz.rs, target {}, after {executions} executions: {what}",
                    target.name
                )
            });
            (planted, by)
        })
        .collect();
    std::panic::set_hook(hook);
    let layers = Path::new("target/gate-layers");
    fs::create_dir_all(layers).expect("a directory for the result");
    for (name, report) in layer_reports(&found) {
        fs::write(layers.join(name), report).expect("the result is written");
    }
    let missed = found.iter().filter(|(_, by)| by.is_none());
    let missed: Vec<_> = missed
        .map(|(planted, _)| (planted.target, planted.claim().name))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    for target in TARGETS {
        let count = PLANTED.iter().filter(|planted| planted.target == target.name).count();
        assert!(count >= 2, "{} has fewer than two planted bugs", target.name);
    }
}

#[test]
fn a_crash_is_recorded_as_a_trace_that_breaks_the_same_again() {
    let _alone = alone();
    let planted = |target: &str| {
        PLANTED
            .iter()
            .find(|planted| planted.target == target)
            .expect("a planted bug")
    };
    for name in ["step_sequence", "world"] {
        let (target, planted) = (Target::named(name).expect("a target"), planted(name));
        let rig = Rig::with(planted);
        let found = campaign(
            target,
            &rig,
            &bytes(seeds(target)),
            PLANTED_EXECUTIONS,
            &mut Random::of(1),
        );
        let found = found.expect("the planted bug is found");
        let (recorded, lines) = Recorded::of(target, &rig, Some(planted.claim().name), &found.input);
        assert!(!lines.is_empty());
        assert_eq!(Recorded::parse(&recorded.text()).as_ref(), Ok(&recorded));
        let again = match &recorded {
            Recorded::Input(trace) => trace.replay().expect("it can be taken again").1,
            Recorded::World(trace) => {
                let replayed = snapshot_receiver_model::replay::replay(trace, |_, _, _, _| {});
                Some(format!(
                    "broken: {}",
                    replayed.expect("it can be taken again").violated.join("; ")
                ))
            }
        };
        let again = again.expect("it breaks again");
        assert!(again.contains(&found.what), "{again} is not {}", found.what);
    }
    let cut = format!("{HEADING}\ntarget world\n");
    assert!(Recorded::parse(&cut).is_err(), "replaying nothing proves nothing");
}
