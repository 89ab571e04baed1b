//! The gate itself: its verdicts, its counts, its reports, and that it can fail.

use std::fs;
use std::process::{Command, Output};

use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::hunt::{defects, hunt_all, smallest_system};
use snapshot_receiver_model::bugs::{Bug, Bugs, claims};
use snapshot_receiver_model::check::{Blindness, Outcome, Running, check, count_again, simulate};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::fuzzing::record::Recorded;
use snapshot_receiver_model::layers::Layer;
use snapshot_receiver_model::lies;
use snapshot_receiver_model::properties::{rules, states};
use snapshot_receiver_model::replay::{ReplayError, replay};
use snapshot_receiver_model::search::{Limit, nearest};
use snapshot_receiver_model::system::{Profile, System, small_systems, systems};
use snapshot_receiver_model::trace::{HEADING, Trace, TraceError, action, line};
use snapshot_receiver_model::traceability::{Standing, traces};
use snapshot_receiver_model::witnesses::{Witness, expected};
use snapshot_receiver_model::world::Action;
use stateright::Model;

/// The largest configuration that is explored here; `cargo gate` explores the others.
const STATES_MAX: usize = 60_000;

fn system(label: &str) -> System {
    let found = systems::<Crc32c>(Profile::Full)
        .into_iter()
        .find(|system| system.label() == label);
    found.unwrap_or_else(|| panic!("no system {label}"))
}

fn checked(system: System) -> Outcome<Crc32c> {
    check(Exploration::<Crc32c>::of(system), &Running::default())
}

fn gate(arguments: &[&str]) -> Output {
    let run = Command::new(env!("CARGO_BIN_EXE_gate")).args(arguments).output();
    run.expect("the gate runs")
}

fn said(output: &Output) -> String {
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{error}")
}

#[test]
fn the_smaller_configurations_have_their_pinned_counts_by_both_engines_and_reach_what_they_are_for() {
    let mut explored = 0;
    for system in systems::<Crc32c>(Profile::Quick) {
        if system.pinned_states.is_none_or(|states| states > STATES_MAX) {
            continue;
        }
        let label = system.label();
        let mut outcome = checked(system);
        count_again(&mut outcome);
        let counted: usize = outcome.growth.iter().sum();
        assert_eq!(counted, outcome.unique_states, "{label}: the engines differ");
        assert!(
            outcome.passed(),
            "{label}: {:?} {:?}",
            outcome.violated,
            outcome.unreached()
        );
        explored += 1;
    }
    assert!(explored >= 5, "only {explored} configurations are small enough");
}

#[test]
fn every_exhaustive_configuration_is_pinned_and_labels_are_unique() {
    let all = systems::<Crc32c>(Profile::Full);
    let mut labels: Vec<String> = all.iter().map(System::label).collect();
    labels.sort();
    labels.dedup();
    assert_eq!(labels.len(), all.len());
    for system in all {
        assert!(
            system.pinned_states.is_some_and(|states| states > 1),
            "{}",
            system.label()
        );
    }
}

#[test]
fn every_rule_has_a_witness_that_some_quick_configuration_must_reach() {
    let all = systems::<Crc32c>(Profile::Quick);
    let reached: Vec<Witness> = all.iter().flat_map(expected).collect();
    for rule in rules::<Crc32c>() {
        assert!(reached.contains(&rule.witness), "{} says nothing", rule.name);
    }
    for witness in Witness::ALL {
        assert!(reached.contains(witness), "{witness:?} is reached nowhere");
    }
}

#[test]
fn every_seeded_bug_is_caught_by_a_rule_of_a_clause_that_it_breaks() {
    let results = hunt_all(Blindness::default(), |_| {});
    assert_eq!(results.len(), claims().len());
    let survived: Vec<&str> = results
        .iter()
        .filter(|bug| !bug.is_caught)
        .map(|bug| bug.id.as_str())
        .collect();
    assert!(survived.is_empty(), "{survived:?}");
}

/// Each of these clauses is stated by one rule: take it away, and its bug gets through.
#[test]
fn a_bug_survives_a_checker_that_does_not_see_its_rule() {
    for bug in [
        Bug::RecoveryStopsAtOrphan,
        Bug::EmptyNeverCompletes,
        Bug::AbortOfNothingFails,
    ] {
        let related = |rule: &str| bug.clauses().iter().any(|clause| states(rule, clause));
        let search = |rule: Option<&'static str>| {
            let blindness = Blindness {
                rule,
                ..Blindness::default()
            };
            let mut exploration = Exploration::<Crc32c>::with(smallest_system(), bug.into(), blindness);
            exploration.goes_on = true;
            nearest(&exploration, Limit::NONE, related)
        };
        let (found, _) = search(None);
        let found = found.unwrap_or_else(|| panic!("{} is not caught", bug.name()));
        let rule = found.violated.iter().copied().find(|rule| related(rule));
        let (unseen, searched) = search(rule);
        assert!(unseen.is_none() && searched.is_complete, "{}", bug.name());
    }
}

#[test]
fn the_starting_design_breaks_what_its_incidents_say() {
    let found: Vec<String> = defects(Bugs::starting_design(), 30_000)
        .into_iter()
        .map(|defect| defect.rule)
        .collect();
    // A1, A2, A3, A4, A6, A7, A12, A14, A15, A16.
    for clause in [
        "SR-LEN-001",
        "SR-ADM-003",
        "SR-IDN-001",
        "SR-IDN-002",
        "SR-IDN-004",
        "SR-IDN-003",
        "SR-ERR-001",
        "SR-PUB-001",
        "SR-REC-001",
        "SR-ERR-005",
    ] {
        assert!(found.iter().any(|rule| rule.starts_with(clause)), "{clause}: {found:?}");
    }
}

#[test]
fn every_lie_of_a_checker_is_noticed_and_the_canary_is_reported() {
    for lie in lies::lies() {
        assert!(lie.noticed.is_some(), "{} is not noticed", lie.about);
    }
    assert_eq!(lies::canary(), None);
}

#[test]
fn a_counterexample_is_a_shortest_one_and_the_same_each_time() {
    let run = || {
        let exploration = Exploration::<Crc32c>::with_bugs(system("one/weak/fresh/2+2"), Bug::GapAccepted.into());
        let outcome = check(exploration, &Running::default());
        outcome.counterexample.expect("the bug is found").actions()
    };
    let (first, second) = (run(), run());
    // A receiver opens; two chunks are sent; the first arrives cut short and creates the file; the
    // second then leaves a gap: no shorter way.
    assert_eq!(first.len(), 6, "{first:?}");
    assert_eq!(first, second);
}

#[test]
fn a_wrong_count_and_an_unreached_witness_are_failures() {
    let mut miscounted = system("empty/weak/fresh/2+2");
    miscounted.pinned_states = miscounted.pinned_states.map(|states| states + 1);
    let outcome = checked(miscounted);
    assert!(outcome.violated.is_empty() && !outcome.passed());
    let mut vacuous = system("empty/weak/fresh/2+2");
    vacuous.reaches = &[Witness::PlaceRefused];
    let outcome = checked(vacuous);
    assert!(outcome.violated.is_empty() && !outcome.passed());
}

#[test]
fn a_search_that_met_its_limit_says_that_it_is_not_complete() {
    let exploration = Exploration::<Crc32c>::of(smallest_system());
    let limit = Limit {
        states: 100,
        ..Limit::NONE
    };
    assert!(!nearest(&exploration, limit, |_| true).1.is_complete);
    assert!(nearest(&exploration, Limit::NONE, |_| true).1.is_complete);
}

#[test]
fn a_simulation_is_never_reported_as_exhaustive() {
    let mut all = systems::<Crc32c>(Profile::Deep);
    all.retain(|system| system.pinned_states.is_none());
    let large = Exploration::<Crc32c>::of(all.swap_remove(0));
    let outcome = simulate(large, std::time::Duration::from_millis(300), 7, &Running::default());
    assert!(!outcome.is_exhaustive && outcome.violated.is_empty() && outcome.unique_states > 0);
}

#[test]
fn a_trace_is_read_back_as_it_was_written_with_every_action_there_is() {
    let mut seen = Vec::new();
    for system in small_systems::<Crc32c>() {
        let exploration = Exploration::<Crc32c>::of(system);
        let mut world = exploration.init_states().swap_remove(0);
        let mut possible: Vec<Action> = Vec::new();
        for step in 0..200 {
            possible.clear();
            exploration.actions(&world, &mut possible);
            for one in &possible {
                assert_eq!(action(&line(*one)), Some(*one), "{}", line(*one));
            }
            let Some(chosen) = possible.get(step * 7 % possible.len().max(1)) else {
                break;
            };
            seen.extend(line(*chosen).split(' ').next().map(str::to_owned));
            world = exploration.next_state(&world, *chosen).expect("it is possible");
        }
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 8, "{seen:?}");
    let trace = Trace {
        system: "one/weak/fresh/2+2".to_owned(),
        bugs: Bugs::of(&[Bug::GapAccepted, Bug::SyncSkipped]),
        broken: vec!["SR-OFF-003 only".to_owned()],
        actions: vec![Action::Open, Action::Send { snapshot: 0 }],
    };
    assert_eq!(Trace::parse(&trace.text()), Ok(trace));
}

/// Found by hand: the trace of a crash by an input of no bytes was told to have nothing in it.
#[test]
fn an_input_of_no_bytes_is_recorded_and_read_again() {
    let text = format!("{HEADING}\ntarget decode_envelope\ninput\n");
    let recorded = Recorded::parse(&text).expect("an input of no bytes");
    assert_eq!(recorded.text(), text);
    for wrong in [
        "input\ninput\n",
        "input\ninput 00\n",
        "input 00\ninput\n",
        "input 0\n",
        "",
    ] {
        let text = format!("{HEADING}\ntarget decode_envelope\n{wrong}");
        assert!(Recorded::parse(&text).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_text_that_is_no_trace_is_told_with_its_line() {
    let wrong = |text: &str| Trace::parse(text).expect_err("no trace");
    assert!(matches!(wrong("nonsense"), TraceError::Heading { .. }));
    assert_eq!(wrong(&format!("{HEADING}\nsystem one\n")), TraceError::Empty);
    for line in [
        "fly 1",
        "send",
        "send 999",
        "deliver 0 0 backwards",
        "bug None",
        " send 0",
    ] {
        let error = wrong(&format!("{HEADING}\nopen\n{line}\n"));
        assert!(matches!(error, TraceError::Line { number: 3, .. }), "{line}: {error}");
    }
}

/// Every system's walks, on the world and on real files beside it: the same answers, the same
/// directory.
#[test]
fn walks_of_the_model_give_the_same_answers_and_files_on_the_real_file_system() {
    let mut steps = 0;
    for (number, system) in systems::<Crc32c>(Profile::Quick).into_iter().enumerate() {
        for walk in 0..8 {
            let exploration = Exploration::<Crc32c>::of(system.clone());
            let mut world = exploration.init_states().swap_remove(0);
            let (mut actions, mut possible) = (Vec::new(), Vec::new());
            let mut draw: u64 = 0x9e37_79b9 * (walk * 31 + number as u64 + 1);
            for _ in 0..60 {
                possible.clear();
                exploration.actions(&world, &mut possible);
                draw = draw
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let place = usize::try_from(draw >> 33).expect("31 bits") % possible.len();
                let chosen: Action = possible[place];
                world = exploration.next_state(&world, chosen).expect("it is possible");
                actions.push(chosen);
            }
            steps += actions.len();
            let trace = Trace {
                system: system.label(),
                bugs: Bugs::none(),
                broken: Vec::new(),
                actions,
            };
            let replayed = replay(&trace, |_, _, _, _| {}).unwrap_or_else(|error| panic!("{error}\n{}", trace.text()));
            assert!(replayed.on_real_files && replayed.violated.is_empty());
        }
    }
    assert!(steps > 5_000, "{steps}");
}

#[test]
fn a_trace_of_another_receiver_is_refused_where_it_is_not_possible() {
    let trace = Trace {
        system: "one/weak/fresh/2+2".to_owned(),
        bugs: Bugs::none(),
        broken: Vec::new(),
        actions: vec![Action::Open, Action::Perform { database: 0 }],
    };
    let error = replay(&trace, |_, _, _, _| {}).expect_err("nothing is outstanding");
    assert!(matches!(error, ReplayError::NotPossible { number: 2, .. }), "{error}");
}

#[test]
fn no_clause_is_unverified_and_what_is_pending_names_a_layer_that_there_is() {
    for trace in traces() {
        match trace.standing() {
            Standing::Verified | Standing::VerifiedBy(_) => {}
            Standing::Pending(layer) => assert!(Layer::named(layer.as_str()).is_some(), "{}", trace.clause.id),
            Standing::Survived(_) | Standing::Broken | Standing::Unverified => panic!("{}", trace.clause.id),
        }
    }
}

#[test]
fn the_gate_passes_with_0_and_prints_a_table() {
    let output = gate(&["--system", "empty"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("unique states") && text.contains("holds"), "{text}");
}

#[test]
fn the_gate_fails_with_100_and_its_trace_breaks_the_same_rule_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let traces = dir.path().to_string_lossy().into_owned();
    let label = "one/weak/fresh/2+2";
    let output = gate(&["--system", label, "--bug", "GapAccepted", "--traces", &traces]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(100), "{text}");
    assert!(
        text.contains("broken: SR-OFF-003") && text.contains("6 steps"),
        "{text}"
    );
    let trace = dir
        .path()
        .join("one-weak-fresh-2+2.trace")
        .to_string_lossy()
        .into_owned();
    let again = gate(&["replay", &trace]);
    assert_eq!(again.status.code(), Some(100), "{}", said(&again));
    assert!(said(&again).contains("broken: SR-OFF-003"), "{}", said(&again));
    let drawn = gate(&["replay", "--mermaid", &trace]);
    assert!(said(&drawn).starts_with("sequenceDiagram"), "{}", said(&drawn));
}

#[test]
fn a_counterexample_to_liveness_says_how_a_well_behaved_source_gets_stuck() {
    let dir = tempfile::tempdir().expect("a directory");
    let traces = dir.path().to_string_lossy().into_owned();
    let label = "empty/weak/fresh/2+2";
    let output = gate(&["--system", label, "--bug", "NeverDone", "--traces", &traces]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(100), "{text}");
    for part in [
        "broken: SR-LIV-001",
        "from here, with nothing failing any more, database 0 gets stuck:",
        "delivers chunk 0 of snapshot 0",
        "answered: Pending, 0 bytes",
        "snapshot 0 is sent, and does not stand there committed",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn the_shards_together_are_the_whole_run() {
    let labels = |arguments: &[&str]| -> Vec<String> {
        let text = said(&gate(arguments));
        let lines = text.lines().filter(|line| line.starts_with("empty/"));
        lines
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    };
    let mut parts = labels(&["--system", "empty", "--shard", "1/2"]);
    parts.extend(labels(&["--system", "empty", "--shard", "2/2"]));
    parts.sort();
    let mut whole = labels(&["--system", "empty"]);
    whole.sort();
    assert!(!whole.is_empty());
    assert_eq!(parts, whole);
}

#[test]
fn the_gate_tells_a_wrong_use_with_2_and_nothing_run_with_4() {
    for arguments in [
        ["--system", "none"],
        ["--bug", "none"],
        ["--threads", "x"],
        ["--shard", "3/2"],
        ["--profile", "slow"],
        ["replay", "/nonexistent"],
        ["nonsense", ""],
    ] {
        assert_eq!(gate(&arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(gate(&["--system", "hostile", "--shard", "9/9"]).status.code(), Some(4));
    let dir = tempfile::tempdir().expect("a directory");
    let empty = dir.path().join("empty.trace");
    fs::write(&empty, format!("{HEADING}\nsystem one/weak/fresh/2+2\n")).expect("a file");
    assert_eq!(gate(&["replay", &empty.to_string_lossy()]).status.code(), Some(4));
}

#[test]
fn the_gate_lists_every_clause_and_none_is_unverified() {
    let output = gate(&["spec"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("51 clauses:") && said(&output).contains(" 0 unverified"));
}

#[test]
fn the_reports_say_what_the_terminal_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let names = ["gate.json", "gate.md", "gate.xml", "gate.html"].map(path);
    let options = ["--json", "--markdown", "--junit", "--html"];
    let traces = path("traces");
    let mut files: Vec<&str> = options
        .iter()
        .zip(&names)
        .flat_map(|(option, name)| [*option, name])
        .collect();
    files.extend(["--traces", &traces]);
    let run = |arguments: &[&str]| {
        let code = gate(&[arguments, files.as_slice()].concat()).status.code();
        let texts = names
            .each_ref()
            .map(|name| fs::read_to_string(name).expect("the report"));
        let report: serde_json::Value = serde_json::from_str(&texts[0]).expect("JSON");
        (code, report, texts)
    };
    let label = "empty/weak/fresh/2+2";
    let (code, report, [_, markdown, junit, html]) = run(&["--system", label]);
    assert_eq!((code, &report["verdict"]), (Some(0), &"pass".into()));
    let pinned = system(label).pinned_states.expect("it is pinned");
    assert_eq!(report["systems"][0]["unique_states"], pinned);
    let growth = report["systems"][0]["growth"].as_array().expect("the growth");
    assert_eq!(
        growth.iter().filter_map(serde_json::Value::as_u64).sum::<u64>(),
        pinned as u64
    );
    assert_eq!(report["clauses"].as_array().map(Vec::len), Some(51));
    for text in [&markdown, &junit, &html] {
        assert!(text.contains(label));
    }
    assert!(html.contains("<svg"), "the growth is drawn");

    let (code, report, [_, markdown, junit, html]) = run(&["--system", label, "--bug", "SyncSkipped"]);
    assert_eq!((code, &report["verdict"]), (Some(100), &"fail".into()));
    let properties = report["systems"][0]["properties"].as_array().expect("properties");
    assert!(properties.iter().any(|property| property["verdict"] == "violated"));
    assert!(markdown.contains("sequenceDiagram") && junit.contains("<failure") && html.contains("SR-PUB-00"));

    let nowhere = gate(&["--system", label, "--json", "/nonexistent/gate.json"]);
    assert_eq!(
        nowhere.status.code(),
        Some(101),
        "a report that cannot be written is no pass"
    );
}
