//! The gate itself: its verdicts, its counts, and that it can fail.

use std::process::{Command, Output};

use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::{Bug, verdicts};
use snapshot_receiver_model::check::{Running, check};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::properties::{Witness, rules};
use snapshot_receiver_model::report;
use snapshot_receiver_model::system::{System, systems};

fn system(name: &str) -> System {
    let found = systems::<Crc32c>().into_iter().find(|system| system.name == name);
    found.unwrap_or_else(|| panic!("no system {name}"))
}

fn gate(arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_gate")).args(arguments).output();
    run.expect("the gate runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_system_has_its_pinned_number_of_states_and_reaches_what_it_is_for() {
    for system in systems::<Crc32c>() {
        let outcome = check(Exploration::<Crc32c>::of(system), &Running::default());
        assert!(outcome.passed(), "{}", report::table(&[outcome]));
    }
}

#[test]
fn every_rule_has_a_witness_that_some_system_reaches() {
    let reached: Vec<Witness> = systems::<Crc32c>()
        .iter()
        .flat_map(|system| system.reaches.iter().copied())
        .collect();
    for rule in rules::<Crc32c>() {
        assert!(reached.contains(&rule.witness), "{} says nothing", rule.name);
    }
    for witness in Witness::ALL {
        assert!(reached.contains(&witness), "{witness:?} is reached nowhere");
    }
}

#[test]
fn every_seeded_bug_is_caught_by_a_rule_of_the_clause_that_it_breaks() {
    for verdict in verdicts() {
        assert!(verdict.is_caught(), "{}", report::bug(&verdict));
    }
}

#[test]
fn a_counterexample_is_a_shortest_one_and_the_same_each_time() {
    let run = || {
        let outcome = check(
            Exploration::<Crc32c>::with_bug(system("one"), Some(Bug::GapAccepted)),
            &Running::default(),
        );
        outcome.counterexample.expect("the bug is found")
    };
    let (first, second) = (run(), run());
    // A receiver opens; two chunks are sent; the first arrives cut short and creates the file; the
    // second then leaves a gap: no shorter way.
    assert_eq!(
        first.length(),
        6,
        "{}",
        report::counterexample(&system("one"), Some(Bug::GapAccepted), &first)
    );
    assert_eq!(first.steps, second.steps);
}

#[test]
fn a_wrong_count_and_an_unreached_witness_are_failures() {
    let mut miscounted = system("empty");
    miscounted.pinned_states += 1;
    let outcome = check(Exploration::<Crc32c>::of(miscounted), &Running::default());
    assert!(outcome.violated.is_empty() && !outcome.passed());
    let mut vacuous = system("empty");
    vacuous.reaches = &[Witness::PlaceRefused];
    let outcome = check(Exploration::<Crc32c>::of(vacuous), &Running::default());
    assert!(outcome.violated.is_empty() && !outcome.passed());
}

#[test]
fn the_gate_passes_with_0_and_prints_a_table() {
    let output = gate(&["--system", "empty", "--system", "one"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("unique states") && text.contains("holds"), "{text}");
}

#[test]
fn the_gate_fails_with_100_and_prints_the_shortest_way_to_the_broken_rule() {
    let output = gate(&["--system", "one", "--bug", "GapAccepted"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(100), "{text}");
    assert!(text.contains("broken: SR-OFF-003"), "{text}");
    assert!(
        text.contains("6 steps") && text.contains("network    delivers"),
        "{text}"
    );
}

#[test]
fn the_gate_tells_a_wrong_use_with_2() {
    for arguments in [
        ["--system", "none"],
        ["--bug", "none"],
        ["--threads", "x"],
        ["nonsense", ""],
    ] {
        assert_eq!(gate(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_gate_lists_every_clause() {
    let output = gate(&["spec"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("51 clauses; 0 unchecked"), "{}", said(&output));
}

#[test]
fn the_reports_say_what_the_terminal_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let (json, markdown) = (dir.path().join("gate.json"), dir.path().join("gate.md"));
    let files = [
        "--json",
        &json.to_string_lossy(),
        "--markdown",
        &markdown.to_string_lossy(),
    ];
    let run = |arguments: &[&str]| {
        let code = gate(&[arguments, files.as_slice()].concat()).status.code();
        let report = std::fs::read_to_string(&json).expect("the report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        (code, report, std::fs::read_to_string(&markdown).expect("the summary"))
    };
    let (code, report, summary) = run(&["--system", "empty"]);
    assert_eq!((code, &report["verdict"]), (Some(0), &"pass".into()));
    assert_eq!(report["systems"][0]["unique_states"], system("empty").pinned_states);
    assert_eq!(report["clauses"].as_array().map(Vec::len), Some(51));
    assert!(summary.contains("| empty |"), "{summary}");

    let (code, report, summary) = run(&["--system", "empty", "--bug", "SyncSkipped"]);
    assert_eq!((code, &report["verdict"]), (Some(100), &"fail".into()));
    let properties = report["systems"][0]["properties"].as_array().expect("properties");
    let violated = properties.iter().filter(|property| property["verdict"] == "violated");
    assert!(violated.count() > 0 && summary.contains("VIOLATED SR-"), "{summary}");

    let nowhere = gate(&["--system", "empty", "--json", "/nonexistent/gate.json"]);
    assert_eq!(
        nowhere.status.code(),
        Some(101),
        "a report that cannot be written is no pass"
    );
}
