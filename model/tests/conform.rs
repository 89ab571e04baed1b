//! The conformance kit finds no fault with correct receivers.
//!
//! Guarantees: the shipped adapters and right receivers of other makes pass, adapters that misbehave are
//! told as such and leave nothing behind, exit codes and reports are as documented. Refuses to know: how
//! a scenario is judged; broken receivers, which `teeth.rs` has. What needs Python or a C compiler is
//! skipped, and said so, where there is none.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::Bug;
use snapshot_receiver_model::bugs::hunt::counterexample;
use snapshot_receiver_model::clauses::CLAUSES;
use snapshot_receiver_model::conform::campaign::campaign;
use snapshot_receiver_model::conform::random::{enumerated, pairs, random};
use snapshot_receiver_model::conform::reference::{Reference, about};
use snapshot_receiver_model::conform::report;
use snapshot_receiver_model::conform::results::{ClauseVerdict, RunVerdict};
use snapshot_receiver_model::conform::rust::{Receiver, check, check_scenario};
use snapshot_receiver_model::conform::scenario::Scenario;
use snapshot_receiver_model::conform::seeded::Seeded;
use snapshot_receiver_model::conform::suite::suite;
use snapshot_receiver_model::conform::talk::About;
use snapshot_receiver_model::conform::{profile, worlds};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::properties::states;
use snapshot_receiver_model::search::follow;

use support::{passes, plan, python, quick, root, run, scratch, skipped};

#[test]
fn the_plain_receiver_in_python_passes_every_clause_that_can_be_seen() {
    let Some(python) = python() else { return };
    let adapter = root().join("conformance/adapters/adapter.py");
    let results = passes(&format!("{python} {}", adapter.display()));
    assert_eq!(results.count(ClauseVerdict::Fail), 0, "{}", report::terminal(&results));
    assert!(
        results.count(ClauseVerdict::Pass) >= 39,
        "{}",
        report::terminal(&results)
    );
    let source = std::fs::read_to_string(root().join("conformance/adapters/receiver.py")).expect("the receiver");
    assert!(source.lines().count() <= 250, "plain means short");
}

#[test]
fn a_receiver_that_does_as_little_as_it_may_breaks_no_clause_that_must_be_kept() {
    let Some(python) = python() else { return };
    let results = passes(&format!(
        "{python} {}",
        root().join("conformance/others/minimal.py").display()
    ));
    assert!(
        results.count(ClauseVerdict::Unsupported) >= 5,
        "{}",
        report::terminal(&results)
    );
}

#[test]
fn the_plain_receiver_in_c_passes() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("receiver");
    let built = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(root().join("conformance/adapters/receiver.c"))
        .status();
    match built {
        Ok(status) => assert!(status.success(), "it does not build"),
        Err(error) => {
            skipped(&format!("there is no C compiler here: {error}"));
            return;
        }
    }
    let results = passes(&program.to_string_lossy());
    assert_eq!(results.count(ClauseVerdict::Fail), 0, "{}", report::terminal(&results));
}

fn reference() -> Box<dyn Receiver> {
    Box::new(Reference::default())
}

#[test]
fn the_shipped_receiver_passes_through_the_rust_door() {
    let results = check(&reference, &[]);
    println!("{}", report::last_line(&results));
    assert_eq!(results.verdict(), RunVerdict::Pass, "{}", report::terminal(&results));
    assert_eq!(results.count(ClauseVerdict::Fail), 0, "{}", report::terminal(&results));
}

#[test]
fn the_shipped_receiver_follows_what_is_drawn_combined_and_enumerated() {
    let scratch = scratch();
    let plan = plan(scratch.path(), true);
    let choose = |about: &About| [pairs(), random(about, 7, 500), enumerated(2)].concat();
    let mut door = snapshot_receiver_model::conform::rust::InProcess::new(&reference);
    let results = campaign(&mut door, &plan, choose).expect("a scratch directory");
    assert_eq!(results.verdict(), RunVerdict::Pass, "{}", report::terminal(&results));
    let seen = results.scenarios_run;
    assert!(seen > 200, "only {seen} scenarios could be run in this process");
}

#[test]
fn a_report_of_a_part_lists_what_was_asked_for_and_counts_the_rest() {
    type Make<'a> = &'a dyn Fn() -> Box<dyn Receiver>;
    let broken = || -> Box<dyn Receiver> { Box::new(Seeded::<Crc32c>::new(Bug::GapAccepted.into())) };
    let makes: [(Make<'_>, &str); 2] = [
        (
            &reference,
            "pass: 1 clause passes, 0 fail, 0 unsupported, 0 not visible here; 1 scenario in ",
        ),
        (
            &broken,
            "FAIL: 0 clauses pass, 1 fails, 0 unsupported, 0 not visible here; 1 scenario in ",
        ),
    ];
    let named = |about: &About| {
        let mut all = suite(about);
        all.retain(|scenario| scenario.name == "SR-OFF-003/gap");
        all
    };
    let listed = |text: &str| CLAUSES.iter().filter(|clause| text.contains(clause.id)).count();
    let others = format!(
        "{} other clauses were not asked for, and had no scenario in this run",
        CLAUSES.len() - 1
    );
    for (make, last_line) in makes {
        for (clauses, scenarios_chosen) in [(vec!["SR-OFF-003".to_owned()], false), (Vec::new(), true)] {
            let scratch = scratch();
            let mut plan = plan(scratch.path(), false);
            (plan.clauses, plan.scenarios_chosen) = (clauses, scenarios_chosen);
            let mut door = snapshot_receiver_model::conform::rust::InProcess::new(make);
            let results = campaign(&mut door, &plan, named).expect("a scratch directory");
            assert!(
                report::last_line(&results).starts_with(last_line),
                "{}",
                report::last_line(&results)
            );
            for text in [
                report::terminal(&results),
                report::markdown(&results),
                report::page(&results),
            ] {
                assert_eq!(listed(&text), 1, "{text}");
                assert_eq!(text.matches(&others).count(), 1, "{text}");
            }
            for text in [report::json(&results), report::junit(&results)] {
                assert_eq!(listed(&text), 1, "{text}");
            }
        }
    }
    let whole = check(&reference, &[]);
    for text in [report::terminal(&whole), report::markdown(&whole), report::page(&whole)] {
        assert_eq!(listed(&text), CLAUSES.len(), "{text}");
        assert!(!text.contains("not asked for"), "{text}");
    }
}

/// Right receivers that have nothing in common but the requirements: an interpreter, a file.
const OTHERS: [(&str, &str); 3] = [
    ("python3", "forgetful.py"),
    ("perl", "written_through.pl"),
    ("node", "without_lock.mjs"),
];

#[test]
fn right_receivers_of_other_makes_break_no_clause_that_must_be_kept() {
    for (interpreter, file) in OTHERS {
        let own = if interpreter == "python3" {
            python()
        } else {
            Some(interpreter.to_owned())
        };
        let is_there = Command::new(interpreter).arg("--version").output().is_ok();
        let Some(interpreter) = own.filter(|_| is_there) else {
            skipped(&format!("there is no {interpreter} here"));
            continue;
        };
        let adapter = root().join("conformance/others").join(file);
        passes(&format!("{interpreter} {}", adapter.display()));
    }
}

/// The plain receiver, changed to use what the clauses leave free.
#[test]
fn right_receivers_that_use_every_freedom_break_no_clause_that_must_be_kept() {
    let Some(python) = python() else { return };
    let varied = root().join("conformance/others/varied.py");
    for name in ["OtherAnswers", "OtherFiles"] {
        let results = passes(&format!("{python} {} {name}", varied.display()));
        assert_eq!(
            results.count(ClauseVerdict::Unsupported),
            0,
            "{}",
            report::terminal(&results)
        );
    }
}

/// What a closing could not remove was blamed on the opening of another directory: on SR-PUB-005.
#[test]
fn an_opening_that_tells_a_failed_removal_is_blamed_on_what_removed() {
    let Some(python) = python() else { return };
    let broken = root().join("conformance/broken/broken.py");
    let of_openings = |about: &About| {
        let clauses = ["SR-REC-001", "SR-REC-002", "SR-REC-004", "SR-ERR-005", "SR-PUB-005"];
        let mut all = suite(about);
        all.retain(|scenario| clauses.contains(&scenario.clause.as_str()));
        all
    };
    let cases: [(&str, &[&str]); 3] = [
        ("OpeningTellsClosing", &["SR-REC-004"]),
        // Its process ends after the wrong answer: the scenario behind it was told as broken.
        ("ClosingTellsRemoval", &["SR-REC-004"]),
        // A directory of an orphan's name stops its own opening, too.
        ("SecondTellsRemoval", &["SR-REC-001", "SR-REC-003"]),
    ];
    for (name, clauses) in cases {
        let command = format!("{python} {} {name}", broken.display());
        let results = run(&command, Duration::from_secs(30), of_openings);
        let failed = results
            .clauses
            .iter()
            .filter(|clause| clause.verdict == ClauseVerdict::Fail);
        let failed: Vec<&str> = failed.map(|clause| clause.id).collect();
        assert_eq!(failed, clauses, "{name}: {}", report::terminal(&results));
        assert_eq!(
            results.verdict(),
            RunVerdict::Fail,
            "{name}: {}",
            report::terminal(&results)
        );
    }
}

/// The children that bad adapters started, as far as they carry this process's mark.
fn left_behind() -> Vec<String> {
    let mark = format!("SNAPSHOT_RECEIVER_CONFORM={}-", std::process::id());
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let text = |path: PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let processes = entries.filter_map(|entry| Some(entry.ok()?.path()));
    processes
        .filter(|process| text(process.join("environ")).contains(&mark))
        .map(|process| text(process.join("cmdline")))
        .filter(|command| command.starts_with("sleep\x001000"))
        .collect()
}

fn gate(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gate"))
        .arg("conform")
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("the gate");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().expect("an exit code"),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn the_gate_ends_with_the_documented_codes_and_leaves_nothing() {
    let Some(python) = python() else { return };
    let scratch = tempfile::tempdir().expect("a directory");
    let made = tempfile::tempdir().expect("a directory");
    let (place, failures) = (scratch.path().display().to_string(), made.path().display().to_string());
    let right = format!("{python} conformance/adapters/adapter.py");
    let gap = format!("{python} conformance/broken/broken.py GapAccepted");
    let zero = format!("{python} conformance/broken/broken.py CrcZeroUnchecked");
    let minimal = format!("{python} conformance/others/minimal.py");
    let nonsense = format!("{python} conformance/broken/bad.py nonsense 3");
    let baseline = made.path().join("baseline");
    std::fs::write(&baseline, "# known\nSR-CRC-002 to be mended next week\n").expect("a file");
    let baseline = baseline.display().to_string();
    let (off, crc) = (["--clause", "SR-OFF-003"], ["--clause", "SR-CRC-002"]);
    let known = ["--baseline", &baseline];
    let cases: [(i32, &str, Vec<&str>); 10] = [
        (0, &right, off.to_vec()),
        (2, &right, vec!["--clause", "SR-OFF-999"]),
        (2, "", vec![]),
        (2, &right, vec!["--baseline", "/nonexistent"]),
        (4, &minimal, vec!["--clause", "SR-ABT-001"]),
        (100, &gap, off.to_vec()),
        (100, &zero, [off, crc].concat()),
        (0, &zero, [off, crc, known].concat()),
        (100, &right, [crc, known].concat()),
        (101, &nonsense, off.to_vec()),
    ];
    for (code, command, more) in cases {
        let common = ["--cmd", command, "--scratch", &place, "--failures", &failures];
        let (actual, text) = gate(&[common.as_slice(), &more].concat());
        assert_eq!(actual, code, "{command} {more:?}: {text}");
        let left = std::fs::read_dir(scratch.path())
            .expect("the scratch directory")
            .count();
        assert_eq!(left, 0, "{command} {more:?} leaves scratch directories");
    }
}

#[test]
fn the_json_report_has_the_documented_keys_and_a_failure_all_that_is_needed_to_see_it_again() {
    let Some(python) = python() else { return };
    let made = tempfile::tempdir().expect("a directory");
    let (json, failures) = (made.path().join("report.json"), made.path().display().to_string());
    let command = format!("{python} conformance/broken/broken.py GapAccepted");
    let (code, text) = gate(&[
        "--cmd",
        &command,
        "--clause",
        "SR-OFF-003",
        "--failures",
        &failures,
        "--json",
        &json.display().to_string(),
    ]);
    assert_eq!(code, 100, "{text}");
    for part in [
        "expected: ",
        "actual: ",
        "before:",
        "after:",
        "again: ",
        "as a Rust test:",
        "#[test]",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).expect("the report")).expect("JSON");
    assert_eq!(report["verdict"], "fail");
    for key in ["name", "version", "language"] {
        assert!(report["receiver"][key].is_string(), "receiver.{key}");
    }
    assert_eq!(report["profile"], "quick");
    assert!(report["scenarios_run"].is_u64() && report["seconds"].is_f64());
    let clauses = report["clauses"].as_array().expect("a list");
    let off = clauses
        .iter()
        .find(|clause| clause["id"] == "SR-OFF-003")
        .expect("the clause");
    assert_eq!((&off["level"], &off["verdict"]), (&"MUST".into(), &"fail".into()));
    assert!(
        off["scenario"]
            .as_str()
            .is_some_and(|name| name.starts_with("SR-OFF-003/"))
    );
    assert!(off["message"].as_str().is_some_and(|message| !message.is_empty()));
    // The command that repeats it, and the test to paste: it fails where the mistake is, and passes elsewhere.
    let again = made.path().join("SR-OFF-003.json").display().to_string();
    let (code, text) = gate(&["--cmd", &command, "--scenario", &again, "--failures", &failures]);
    assert_eq!(code, 100, "{text}");
    let scenario = std::fs::read_to_string(&again).expect("the scenario");
    let broken = || -> Box<dyn Receiver> { Box::new(Seeded::<Crc32c>::new(Bug::GapAccepted.into())) };
    check_scenario(&reference, &scenario);
    let fails = std::panic::catch_unwind(|| check_scenario(&broken, &scenario)).is_err();
    assert!(fails, "the pasted test does not fail");
}

#[test]
fn an_adapter_that_misbehaves_is_told_as_broken_and_leaves_no_process() {
    let Some(python) = python() else { return };
    let bad = root().join("conformance/broken/bad.py");
    let cases = [
        ("nonsense", "nonsense"),
        ("not-an-object", "nonsense"),
        ("half-a-line", "nonsense"),
        ("no-utf8", "nonsense"),
        ("unknown-word", "no word of the protocol"),
        ("wrong-seq", "seq 999999"),
        ("no-seq", "seq null"),
        ("silence", "did not answer"),
        ("death", "exit code 3"),
        ("signal", "signal 11"),
        ("closed-output", "closed its standard output"),
        ("flood", "too much"),
        ("flood-of-lines", "seq null"),
        ("standard-error", "standard error"),
        ("exception", "ZeroDivisionError"),
        ("errored", "errored"),
        ("children-and-death", "exit code 3"),
        ("children-and-silence", "did not answer"),
    ];
    for (how, word) in cases {
        let command = format!("{python} {} {how} 3", bad.display());
        let few = |about: &About| suite(about).into_iter().take(1).collect();
        let results = run(&command, Duration::from_secs(2), few);
        assert_eq!(
            results.verdict(),
            RunVerdict::Broken,
            "{how}: {}",
            report::terminal(&results)
        );
        assert_eq!(results.verdict().exit_code(), 101);
        let told = &results.broken[0];
        assert!(told.what.contains(word), "{how}: {}", told.what);
        assert_eq!(told.at, 2, "{how}: at which step");
        assert!(!told.transcript.is_empty(), "{how}: what came before");
        assert_eq!(left_behind(), Vec::<String>::new(), "{how}");
    }
    let none = run("/nonexistent/adapter", Duration::from_secs(2), quick);
    assert_eq!(none.verdict(), RunVerdict::Broken, "{}", report::terminal(&none));
}

/// `model/src/conform/counterexamples.txt` has one of each seeded bug. To hunt them anew after a change of the
/// model: `WRITE_COUNTEREXAMPLES=1` before the test.
#[test]
fn every_seeded_bug_has_a_counterexample_that_still_breaks_its_rule() {
    let path = root().join("model/src/conform/counterexamples.txt");
    if std::env::var_os("WRITE_COUNTEREXAMPLES").is_some() {
        let found = Bug::ALL.iter().filter_map(|bug| counterexample(*bug));
        let text: Vec<String> = found.map(|trace| trace.text()).collect();
        std::fs::write(&path, text.join("\n")).expect("the counterexamples");
    }
    let text = std::fs::read_to_string(&path).expect("the counterexamples");
    let traces = worlds::traces(&text).expect("traces");
    for bug in Bug::ALL {
        let trace = traces.iter().find(|trace| trace.bugs.has(*bug));
        let trace = trace.unwrap_or_else(|| panic!("{}: no counterexample", bug.name()));
        let system = trace.find_system::<Crc32c>().expect("a system");
        let mut exploration = Exploration::<Crc32c>::with_bugs(system, trace.bugs);
        exploration.goes_on = true;
        let violated = follow(&exploration, &trace.actions).violated;
        let is_own = |rule: &&&str| bug.clauses().iter().any(|clause| states(rule, clause));
        assert!(
            violated.iter().any(|rule| is_own(&rule)),
            "{}: {violated:?}",
            bug.name()
        );
        assert!(worlds::from_trace(trace).is_some(), "{}: no scenario", bug.name());
    }
    assert_eq!(traces.len(), Bug::ALL.len());
}

#[test]
fn a_scenario_is_read_back_as_it_was_written() {
    for scenario in profile::standard(&about(), 3, 20) {
        let read: Scenario = serde_json::from_str(&scenario.json()).expect("it is JSON");
        assert_eq!(read, scenario);
    }
}

#[test]
fn names_are_unique_and_clauses_exist() {
    let all = profile::exhaustive(&about(), 3, 20, 2);
    let names: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(names.len(), all.len());
    for scenario in &all {
        assert!(
            CLAUSES.iter().any(|clause| clause.id == scenario.clause),
            "{}",
            scenario.name
        );
    }
}

/// `tests/vectors/v1` is what the oracle says today. To write it anew after a change on purpose:
/// `WRITE_VECTORS=1 cargo test -p snapshot-receiver-model --test conform vectors`.
#[test]
fn the_static_vectors_are_what_the_oracle_says() {
    use snapshot_receiver_model::conform::vectors;
    let directory = root().join("tests/vectors/v1");
    let files = vectors::files(&profile::quick(&vectors::about()));
    assert!(files.len() > 20, "{} files", files.len());
    if std::env::var_os("WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(&directory).expect("a directory");
        for (name, text) in &files {
            std::fs::write(directory.join(name), text).expect("a file");
        }
    }
    for (name, text) in &files {
        let written = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(written == *text, "tests/vectors/v1/{name} is not what the oracle says");
    }
}

/// The test that a failing report prints, as somebody pastes it: `support/pasted.txt` is word for word what is
/// printed. To write it anew after a change on purpose: `WRITE_PASTED=1` before the test.
mod pasted {
    use super::{Bug, Crc32c, Receiver, Seeded, check, report, root};

    fn make() -> super::Reference {
        super::Reference::default()
    }

    include!("support/pasted.txt");

    #[test]
    fn what_a_report_prints_is_what_is_compiled_here() {
        let broken = || -> Box<dyn Receiver> { Box::new(Seeded::<Crc32c>::new(Bug::GapAccepted.into())) };
        let results = check(&broken, &["SR-OFF-003"]);
        let clause = results.clause("SR-OFF-003").expect("the clause");
        let failure = clause.failure.as_ref().expect("a failure");
        let printed = report::rust_test(failure);
        if std::env::var_os("WRITE_PASTED").is_some() {
            std::fs::write(root().join("model/tests/support/pasted.txt"), &printed).expect("a file");
        }
        assert_eq!(printed, include_str!("support/pasted.txt"));
        let lines: Vec<String> = printed.lines().map(|line| format!("    {line}\n")).collect();
        assert!(
            report::failed(clause, failure).ends_with(&lines.concat()),
            "it stands in the report"
        );
    }
}

mod every_clause {
    //! One named test per clause, as others get them for their receivers.
    snapshot_receiver_model::conformance_tests!(|| Box::new(
        snapshot_receiver_model::conform::reference::Reference::default()
    ));

    #[test]
    fn the_list_of_tests_is_the_list_of_clauses() {
        let here = include_str!("../src/conform/rust.rs");
        for clause in snapshot_receiver_model::clauses::CLAUSES {
            let test = format!("{} \"{}\"", clause.id.to_lowercase().replace('-', "_"), clause.id);
            assert!(here.contains(&test), "no test {test}");
        }
    }
}
