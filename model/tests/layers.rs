//! What other layers leave of the bugs that they seed, as the gate reads it.
//!
//! Guarantees: results that are missing, stale or broken never count. Refuses to know: how a layer
//! gets its results.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use snapshot_receiver_model::layers::results::{project, write};
use snapshot_receiver_model::layers::{LAYERS, LayerLie, Layers};
use snapshot_receiver_model::report::results::{BugResult, Standing};
use snapshot_receiver_model::traceability::traces_with;

fn bug(id: &str, clause: &str, caught_by: &[&str]) -> BugResult {
    BugResult {
        id: id.to_owned(),
        about: "What it does.".to_owned(),
        clauses: vec![clause.to_owned()],
        incidents: vec!["A9".to_owned(), "B1".to_owned()],
        caught_by: caught_by.iter().map(|test| (*test).to_owned()).collect(),
        ..BugResult::default()
    }
}

fn lie(is_noticed: bool) -> LayerLie {
    LayerLie {
        id: "a loom body that returns early".to_owned(),
        is_noticed,
        by: "the number of executions".to_owned(),
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn read(directory: &Path) -> Layers {
    Layers::read(directory, None).expect("reports")
}

fn standing(layers: &Layers, clause: &str) -> Standing {
    let trace = traces_with(layers).into_iter().find(|trace| trace.clause.id == clause);
    trace.expect("the clause").standing()
}

fn gate(arguments: &[&str], layers: &Path) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_gate"))
        .args(arguments)
        .arg("--layers")
        .arg(layers)
        .output();
    let Output { status, stdout, stderr } = run.expect("the gate runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    (status.code(), text)
}

#[test]
fn results_of_every_layer_are_read_as_they_were_written() {
    let dir = directory();
    for layer in LAYERS.iter().map(|layer| layer.name) {
        write(
            dir.path(),
            layer,
            &[bug(layer, "SR-CON-001", &["a test"])],
            &[lie(true)],
        )
        .expect("written");
    }
    let layers = read(dir.path());
    assert_eq!(layers.notices(), Vec::<String>::new());
    assert_eq!(layers.bugs().count(), LAYERS.len());
    for (layer, bug) in layers.bugs() {
        assert_eq!((bug.id.as_str(), bug.is_caught), (layer, true));
        assert_eq!(bug.incidents, ["A9", "B1"]);
        assert_eq!(bug.layers, [(layer.to_owned(), true)]);
    }
    assert!(
        layers
            .lies()
            .all(|(_, told)| *told == lie(true) && told.is_of_schedules())
    );
}

#[test]
fn a_dash_in_a_files_name_stands_for_the_space_in_the_layers() {
    let dir = directory();
    write(dir.path(), "real-files", &[bug("One", "SR-REC-002", &["a test"])], &[]).expect("written");
    let layers = read(dir.path());
    assert_eq!(
        standing(&layers, "SR-REC-002"),
        Standing::VerifiedBy("layer real files".to_owned())
    );
    write(dir.path(), "real files", &[bug("One", "SR-REC-002", &["a test"])], &[]).expect("written");
    let twice = Layers::read(dir.path(), None).expect_err("which of the two counts?");
    assert!(twice.to_string().contains("a second file"), "{twice}");
}

#[test]
fn a_bug_that_the_model_knows_gets_a_cell_and_another_a_row() {
    let dir = directory();
    let bugs = [
        bug("Known", "SR-ABT-003", &[]),
        bug("LockReleasedEarly", "SR-CON-001", &["a test"]),
    ];
    write(dir.path(), "shell", &bugs, &[]).expect("written");
    let mut listed = vec![BugResult {
        layers: vec![("model".to_owned(), true)],
        is_caught: true,
        ..bug("Known", "SR-ABT-003", &["a rule"])
    }];
    read(dir.path()).add_to(&mut listed);
    assert_eq!(
        listed[0].layers,
        [("model".to_owned(), true), ("shell".to_owned(), false)]
    );
    assert!(!listed[0].is_caught, "what survives in one layer has survived");
    assert_eq!(listed[1].id, "LockReleasedEarly");
}

#[test]
fn a_pending_clause_is_resolved_by_a_caught_bug_and_by_nothing_else() {
    let clause = "SR-CON-002";
    assert_eq!(
        standing(&Layers::default(), clause),
        Standing::Pending("shell".to_owned())
    );
    let dir = directory();
    write(dir.path(), "shell", &[bug("One", "SR-CON-004", &["a test"])], &[]).expect("written");
    assert_eq!(
        standing(&read(dir.path()), clause),
        Standing::Pending("shell".to_owned())
    );
    write(dir.path(), "shell", &[bug("One", clause, &["a test"])], &[]).expect("written");
    assert_eq!(
        standing(&read(dir.path()), clause),
        Standing::VerifiedBy("layer shell".to_owned())
    );
    write(dir.path(), "shell", &[bug("One", clause, &[])], &[]).expect("written");
    assert_eq!(
        standing(&read(dir.path()), clause),
        Standing::Survived("shell".to_owned())
    );
}

#[test]
fn a_missing_layer_is_told_and_fails_a_run_that_has_to_be_complete() {
    let dir = directory();
    let (code, text) = gate(&["spec"], dir.path());
    assert_eq!(code, Some(0), "{text}");
    for layer in LAYERS {
        let notice = format!(
            "no results of layer {} in {}; run `{}`",
            layer.name,
            dir.path().display(),
            layer.command
        );
        assert!(text.contains(&notice), "{notice} in {text}");
    }
    assert!(text.contains("10 pending"), "{text}");
    assert_eq!(gate(&["spec", "--complete"], dir.path()).0, Some(101));
}

/// A project with one source in a directory.
fn project_with(source: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = directory();
    let source = dir.path().join(source);
    fs::create_dir_all(source.parent().expect("it has one")).expect("made");
    fs::write(&source, "").expect("a source");
    (dir, source)
}

/// Of all layers, those whose results are stale once the source is changed after them.
fn stale_after_a_change_of(source: &str) -> Vec<&'static str> {
    let (dir, source) = project_with(source);
    let results = dir.path().join("target/gate-layers");
    for layer in LAYERS {
        write(
            &results,
            layer.name,
            &[bug(layer.name, "SR-CON-002", &["a test"])],
            &[lie(true)],
        )
        .expect("written");
    }
    let fresh = Layers::read(&results, Some(dir.path())).expect("read");
    assert_eq!((fresh.bugs().count(), fresh.notices()), (LAYERS.len(), Vec::new()));
    let touched = File::options().write(true).open(&source).expect("the source");
    touched
        .set_modified(SystemTime::now() + Duration::from_secs(3600))
        .expect("a time");
    let layers = Layers::read(&results, Some(dir.path())).expect("read");
    let notices = layers.notices();
    let is_stale = |name: &str| {
        let told = notices.iter().any(|notice| {
            notice.contains(&format!("layer {name} in {}", results.display())) && notice.contains("stale")
        });
        let counted = layers.bugs().any(|(layer, _)| layer == name) || layers.lies().any(|(layer, _)| layer == name);
        assert_ne!(told, counted, "{name}: {notices:?}");
        told
    };
    LAYERS
        .iter()
        .map(|layer| layer.name)
        .filter(|name| is_stale(name))
        .collect()
}

#[test]
fn stale_results_are_told_and_count_for_nothing() {
    let all: Vec<&str> = LAYERS.iter().map(|layer| layer.name).collect();
    assert_eq!(stale_after_a_change_of("src/executor/filesystem.rs"), all);
    assert_eq!(stale_after_a_change_of("Cargo.lock"), all);
    assert_eq!(stale_after_a_change_of("tests/faults/matrix.rs"), ["real files"]);
    assert_eq!(
        stale_after_a_change_of("fuzz/fuzz_targets/world.rs"),
        ["fuzz", "decoder"]
    );
    assert_eq!(
        stale_after_a_change_of("fuzz/seeds/trace/commit"),
        ["real files", "fuzz", "decoder"]
    );
    assert_eq!(
        stale_after_a_change_of("conformance/adapters/receiver.py"),
        ["conformance"]
    );
    assert_eq!(
        stale_after_a_change_of("tests/interleavings/src/lib.rs"),
        ["shell", "fuzz interleave"]
    );
    // What a run of the tests leaves.
    assert_eq!(
        stale_after_a_change_of("conformance/adapters/__pycache__/receiver.pyc"),
        Vec::<&str>::new()
    );
}

#[test]
fn a_layer_that_nobody_knows_goes_stale_with_any_source() {
    let (dir, source) = project_with("conformance/adapters/receiver.py");
    let results = dir.path().join("target/gate-layers");
    write(&results, "another", &[bug("One", "SR-CON-002", &["a test"])], &[]).expect("written");
    assert_eq!(
        Layers::read(&results, Some(dir.path())).expect("read").bugs().count(),
        1
    );
    let touched = File::options().write(true).open(source).expect("the source");
    touched
        .set_modified(SystemTime::now() + Duration::from_secs(3600))
        .expect("a time");
    assert_eq!(
        Layers::read(&results, Some(dir.path())).expect("read").bugs().count(),
        0
    );
}

#[test]
fn every_source_of_a_layer_is_there_and_every_layers_bugs_have_clauses() {
    for layer in LAYERS {
        for source in layer.sources {
            assert!(project().join(source).exists(), "{source} of layer {}", layer.name);
        }
        for claim in layer.claims.map_or(Vec::new(), |claims| claims()) {
            assert!(!claim.clauses.is_empty(), "{} of layer {}", claim.name, layer.name);
        }
    }
}

#[test]
fn a_bug_that_survives_in_a_layer_fails_the_clauses() {
    let dir = directory();
    write(dir.path(), "shell", &[bug("One", "SR-CON-002", &[])], &[]).expect("written");
    let (code, text) = gate(&["spec"], dir.path());
    assert_eq!(code, Some(100), "{text}");
    assert!(text.contains("One (layer shell) SURVIVED"), "{text}");
}

#[test]
fn the_lie_of_the_schedules_is_pending_until_a_layer_tells_it_and_fails_where_it_is_not_noticed() {
    let dir = directory();
    let (code, text) = gate(&["lies"], dir.path());
    assert!(
        code == Some(0) && text.contains("pending: no layer's lies[] has it"),
        "{text}"
    );
    assert_eq!(gate(&["lies", "--complete"], dir.path()).0, Some(101));
    write(dir.path(), "shell", &[], &[lie(true)]).expect("written");
    let (code, text) = gate(&["lies", "--complete"], dir.path());
    assert!(code == Some(0) && text.contains("each of 8 lies"), "{text}");
    write(dir.path(), "shell", &[], &[lie(false)]).expect("written");
    let (code, text) = gate(&["lies"], dir.path());
    assert!(code == Some(100) && text.contains("NOT NOTICED"), "{text}");
}

#[test]
fn a_file_that_is_no_report_is_an_error_that_names_it() {
    for (text, told) in [
        ("", "EOF"),
        ("{}", "nothing was run"),
        (r#"{"bugs": []}"#, "nothing was run"),
        (r#"{"bugs": 1}"#, "bugs is no list"),
        (r#"{"bugs": [{"clauses": [], "caught_by": []}]}"#, "no id"),
        (
            r#"{"bugs": [{"id": "One", "clauses": ["SR-CON-001"]}]}"#,
            "caught_by is no list",
        ),
        (
            r#"{"bugs": [{"id": "One", "clauses": [], "caught_by": []}]}"#,
            "breaks no clause",
        ),
        (
            r#"{"bugs": [{"id": "One", "clauses": ["SR-CON-999"], "caught_by": []}]}"#,
            "no clause SR-CON-999",
        ),
        (
            r#"{"bugs": [{"id": "One", "clauses": ["SR-CON-001"], "caught_by": [1]}]}"#,
            "no text",
        ),
        (
            r#"{"lies": [{"id": "One", "caught": "yes"}]}"#,
            "neither true nor false",
        ),
    ] {
        let dir = directory();
        fs::write(dir.path().join("shell.json"), text).expect("a file");
        let error = Layers::read(dir.path(), None).expect_err(text).to_string();
        assert!(error.contains("shell.json") && error.contains(told), "{error}");
        let (code, said) = gate(&["spec"], dir.path());
        assert_eq!(code, Some(101), "{said}");
    }
}
