//! The shipped shell under every interleaving that loom can find, and the mistakes that it must find.
//!
//! Where a scenario's preemptions are bounded (`cargo run -p snapshot-receiver-interleavings` lists the
//! bounds), "every interleaving" means every one with at most so many.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use snapshot_receiver_interleavings::bugs::{BUGS, Bug};
use snapshot_receiver_interleavings::handover::RACES;
use snapshot_receiver_interleavings::{run, run_nothing, scenarios};

/// Runs a scenario in a process of its own: a failure may abort it. What it says when it fails.
fn failure(variant: &str, scenario: &str) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_interleavings"))
        .args(["loom", variant, scenario])
        .output()
        .expect("it starts");
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(2), "there is no such scenario: {says}");
    (!output.status.success()).then_some(says)
}

#[test]
fn each_race_of_the_classic_hand_over_is_found() {
    for race in RACES {
        let says = failure("handover", race.incident);
        let says = says.unwrap_or_else(|| panic!("{} was not found", race.incident));
        assert!(
            says.contains(race.says),
            "{} was not found, but this: {says}",
            race.incident
        );
    }
}

#[test]
fn every_interleaving_is_some_order_of_the_calls_and_each_mistake_is_found() {
    for (scenario, preemptions_max) in scenarios() {
        explore_shipped(scenario, preemptions_max);
    }
    // The control has passed: the same scenarios on the shell as it is.
    let results: Vec<_> = BUGS.iter().map(|bug| (bug, is_found(bug))).collect();
    write_results(&results, run_nothing().is_an_exploration().is_err());
    let survived = results.iter().filter(|(_, is_found)| !is_found);
    let survived: Vec<&str> = survived.map(|(bug, _)| bug.id).collect();
    assert!(survived.is_empty(), "not found: {survived:?}");
}

fn explore_shipped(scenario: &str, preemptions_max: Option<usize>) {
    let explored = run("loom", "shipped", scenario).expect("it is listed");
    let bound = preemptions_max.map_or(String::new(), |bound| format!(", at most {bound} preemptions"));
    let (executions, outcomes) = (explored.executions, explored.outcomes);
    println!("{scenario}: {executions} interleavings{bound}, {outcomes} outcomes");
    explored.is_an_exploration().expect(scenario);
    // Threads that really meet get different answers.
    let is_alone = [
        "two_calls_in_order",
        "an_answered_chunk_is_there",
        "a_slow_database_beside_another",
        "a_stream",
        "a_stream_with_a_gap",
        "a_report_between_two_calls",
        "a_dropped_stream",
    ];
    assert_eq!(outcomes == 1, is_alone.contains(&scenario), "{scenario}: {explored:?}");
}

fn is_found(bug: &Bug) -> bool {
    failure(bug.id, bug.scenario).is_some_and(|says| says.contains(bug.says))
}

#[test]
fn a_body_that_returns_early_is_no_exploration() {
    let explored = run_nothing();
    assert_eq!(explored.executions, 1);
    explored.is_an_exploration().expect_err("it explored nothing");
}

/// For the matrix of `cargo gate bugs`, the clauses of `cargo gate spec`, and `cargo gate lies`.
fn write_results(results: &[(&Bug, bool)], lie_is_caught: bool) {
    let test = "tests/interleavings: loom";
    let caught_by = |bug: &Bug, is_found: bool| is_found.then(|| format!("{test}: {}", bug.scenario));
    let bugs: Vec<_> = results
        .iter()
        .map(|(bug, is_found)| {
            json!({
                "id": bug.id,
                "about": bug.about,
                "clauses": bug.clauses,
                "incident": bug.incident,
                "caught_by": caught_by(bug, *is_found).into_iter().collect::<Vec<_>>(),
                "steps": null,
            })
        })
        .collect();
    let lies = json!([{
        "id": "a loom body that returns early",
        "caught": lie_is_caught,
        "by": "Explored::is_an_exploration",
    }]);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/gate-layers");
    fs::create_dir_all(&directory).expect("a directory for the results");
    let report = json!({ "bugs": bugs, "lies": lies });
    fs::write(directory.join("shell.json"), format!("{report:#}\n")).expect("written");
}

#[test]
fn the_readme_counts_the_scenarios_and_the_mistakes() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(readme).expect("the readme");
    let words: Vec<&str> = readme.split_whitespace().collect();
    let readme = words.join(" ");
    let scenarios = scenarios();
    let bounds: Vec<usize> = scenarios
        .iter()
        .filter_map(|(_, preemptions_max)| *preemptions_max)
        .collect();
    let (least, most) = (bounds.iter().min().expect("one"), bounds.iter().max().expect("one"));
    for figure in [
        format!("loom explores {} small scenarios", scenarios.len()),
        format!("{} of them with at most {least} to {most} preemptions", bounds.len()),
        format!("which explores {} scenarios", scenarios.len()),
        format!("{} mistakes in the shell", BUGS.len()),
    ] {
        assert!(readme.contains(&figure), "README.md does not say {figure:?}");
    }
}
