//! The kit can fail: receivers that are broken on purpose, each caught by the clause that it breaks.
//!
//! Guarantees: `conformance/TEETH.md` and `TEETH-PYTHON.md` are what was found; the result file for
//! `cargo gate bugs`. Refuses to know: right receivers; `conform.rs` has them.

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::{Bug, Bugs, NO_DIGEST, NoDigest};
use snapshot_receiver_model::conform::audit::{Audited, audit};
use snapshot_receiver_model::conform::campaign::scratch_place;
use snapshot_receiver_model::conform::report;
use snapshot_receiver_model::conform::results::{ClauseVerdict, Results, RunVerdict};
use snapshot_receiver_model::conform::rust::{Receiver, check};
use snapshot_receiver_model::conform::seeded::Seeded;
use snapshot_receiver_model::conform::suite::suite;
use snapshot_receiver_model::conform::talk::About;
use snapshot_receiver_model::layers;
use snapshot_receiver_model::report::results::BugResult;

use support::{python, root, run, skipped};

/// The seeded bugs that this door cannot show, and why.
const HIDDEN: &[(Bug, &str)] = &[
    (Bug::ShortnessNotTold, "the word of a verdict is free"),
    (
        Bug::ReplyBeforeEffects,
        "a call returns when its effects are done, in whatever order",
    ),
    (Bug::SyncSkipped, "seen by power loss or by system calls"),
    (Bug::SyncBeforeLastWrite, "seen by power loss or by system calls"),
    (Bug::PublishBeforeSync, "seen by power loss or by system calls"),
    (Bug::DirectorySyncBeforePublish, "seen by power loss or by system calls"),
    (
        Bug::CommittedBeforeDirectorySync,
        "seen by power loss or by system calls",
    ),
    (Bug::OldSnapshotRemovedFirst, "seen by power loss"),
    (Bug::RecoverySkipsReceiveSync, "seen by power loss or by system calls"),
    (Bug::RecoverySkipsDataSync, "seen by power loss or by system calls"),
    (Bug::RecoverySkipsParentSync, "seen by power loss or by system calls"),
    (Bug::SyncRetried, "seen where a second sync is counted"),
    (
        Bug::OrphanForgotten,
        "what is owed shows only where a removal fails again",
    ),
    (
        Bug::RemovalHidesCause,
        "where a failing call meets a verdict, either answer is right",
    ),
    (Bug::CommitForgotten, "a forgotten commit is exempt"),
    (Bug::ReportCounterReset, "reports are not visible here"),
    (Bug::ReportCountRounded, "reports are not visible here"),
    (Bug::RestartKeepsReports, "reports are not visible here"),
    (Bug::ReportsRunAhead, "reports are not visible here"),
    (Bug::FollowingEarly, "reports are not visible here"),
    (Bug::FollowingTwice, "reports are not visible here"),
    (Bug::FollowingMissing, "reports are not visible here"),
];

/// What is seen of these here is another clause that they break as well.
const SEEN_AS: [(Bug, &str); 2] = [
    (Bug::FailedPublishLeavesPartial, "SR-ERR-001"),
    (Bug::LeftoverBlocksCreate, "SR-SEC-002"),
];

struct Tooth {
    name: String,
    clauses: Vec<String>,
    caught_by: Option<(String, String, usize)>,
}

/// What the clauses that it breaks say of a receiver.
fn bite(name: &str, clauses: &[&str], results: &Results) -> Tooth {
    let broken = clauses.iter().filter_map(|id| results.clause(id));
    let fails =
        |clause: &&snapshot_receiver_model::conform::results::ClauseResult| clause.verdict == ClauseVerdict::Fail;
    let caught_by = broken.clone().find(fails).map(|clause| {
        let failure = clause.failure.as_ref();
        let found_by = failure.map(|failure| failure.found_by.clone());
        let found_by = found_by.or(clause.failed.first().cloned()).unwrap_or_default();
        (
            clause.id.to_owned(),
            found_by,
            failure.map_or(0, |failure| failure.scenario.steps.len()),
        )
    });
    Tooth {
        name: name.to_owned(),
        clauses: clauses.iter().map(|id| (*id).to_owned()).collect(),
        caught_by,
    }
}

fn seeded(bug: Bug) -> Tooth {
    let make = || -> Box<dyn Receiver> { Box::new(Seeded::<Crc32c>::new(bug.into())) };
    let seen_as = SEEN_AS
        .iter()
        .filter(|(other, _)| *other == bug)
        .map(|(_, clause)| *clause);
    let clauses: Vec<&str> = bug.clauses().iter().copied().chain(seen_as).collect();
    let tooth = bite(bug.name(), &clauses, &check(&make, &clauses));
    if tooth.caught_by.is_some() {
        return tooth;
    }
    // A scenario of another clause may show it.
    bite(bug.name(), &clauses, &check(&make, &[]))
}

#[test]
fn without_a_bug_the_seeded_receiver_passes() {
    let results = check(&|| Box::new(Seeded::<Crc32c>::new(Bugs::none())), &[]);
    assert_eq!(results.count(ClauseVerdict::Fail), 0, "{}", report::terminal(&results));
    assert_eq!(results.verdict(), RunVerdict::Pass, "{}", report::terminal(&results));
}

#[test]
fn every_seeded_bug_that_a_door_can_show_is_caught_by_a_clause_that_it_breaks() {
    std::panic::set_hook(Box::new(|_| {}));
    let hidden: BTreeSet<&str> = HIDDEN.iter().map(|(bug, _)| bug.name()).collect();
    let visible = Bug::ALL.iter().filter(|bug| !hidden.contains(bug.name()));
    let mut teeth: Vec<Tooth> = visible.map(|bug| seeded(*bug)).collect();
    let blind = check(&|| Box::new(Seeded::<NoDigest>::new(Bugs::none())), NO_DIGEST.clauses);
    teeth.push(bite(NO_DIGEST.name, NO_DIGEST.clauses, &blind));
    drop(std::panic::take_hook());
    let survived: Vec<&str> = teeth
        .iter()
        .filter(|tooth| tooth.caught_by.is_none())
        .map(|tooth| tooth.name.as_str())
        .collect();
    assert!(
        survived.is_empty(),
        "not caught by a clause that they break: {survived:?}"
    );
    assert!(teeth.len() >= 30, "{} broken receivers", teeth.len());
    write_layer(&teeth);
    matrix(&teeth);
    let long = teeth
        .iter()
        .filter(|tooth| tooth.caught_by.as_ref().is_some_and(|(_, _, steps)| *steps > 8));
    let long: Vec<&str> = long.map(|tooth| tooth.name.as_str()).collect();
    assert!(long.is_empty(), "a counterexample has more than 8 steps: {long:?}");
}

#[test]
fn the_starting_design_fails_the_clauses_that_it_is_known_to_break() {
    let results = check(&|| Box::new(Seeded::<Crc32c>::new(Bugs::starting_design())), &[]);
    let failed: BTreeSet<&str> = results
        .clauses
        .iter()
        .filter(|clause| clause.verdict == ClauseVerdict::Fail)
        .map(|clause| clause.id)
        .collect();
    // A1, A2, A3, A4, A6, A7, A12 and A15 of SPEC.md's incidents.
    for id in [
        "SR-LEN-001",
        "SR-ADM-003",
        "SR-IDN-001",
        "SR-IDN-002",
        "SR-IDN-004",
        "SR-IDN-003",
        "SR-ERR-001",
        "SR-REC-001",
    ] {
        assert!(failed.contains(id), "{id} is not among {failed:?}");
    }
    println!("the starting design fails {failed:?}");
}

/// `conformance/TEETH.md` is what this test found. To write it anew: `WRITE_TEETH=1` before the test.
fn matrix(teeth: &[Tooth]) {
    let mut text = "# What the kit catches\n\nMade by `model/tests/teeth.rs`: the model's seeded bugs behind the Rust door, \
                    each with the clause that it breaks and the\nscenario that showed it; then those that this door cannot \
                    show, and why. `python3 conformance/broken/broken.py` lists those in\nPython.\n\n\
                    | seeded bug | breaks | caught by | scenario |\n|---|---|---|---|\n"
        .to_owned();
    for tooth in teeth {
        let (id, by) = tooth
            .caught_by
            .as_ref()
            .map_or(("", ""), |(id, by, _)| (id.as_str(), by.as_str()));
        text.push_str(&format!(
            "| {} | {} | {id} | `{by}` |\n",
            tooth.name,
            tooth.clauses.join(" ")
        ));
    }
    text.push_str("\n| not shown by this door | breaks | why |\n|---|---|---|\n");
    for (bug, why) in HIDDEN {
        text.push_str(&format!("| {} | {} | {why} |\n", bug.name(), bug.clauses().join(" ")));
    }
    let path = root().join("conformance/TEETH.md");
    if std::env::var_os("WRITE_TEETH").is_some() {
        std::fs::write(&path, &text).expect("the matrix");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "conformance/TEETH.md is not what was found:\n{text}");
}

/// For `gate bugs`: what this layer caught, of both doors. A mistake that stands behind both is caught
/// where both show it.
fn write_layer(teeth: &[Tooth]) {
    static CAUGHT: Mutex<Vec<BugResult>> = Mutex::new(Vec::new());
    let mut caught = CAUGHT.lock().unwrap_or_else(PoisonError::into_inner);
    for tooth in teeth {
        let by: Vec<String> = tooth.caught_by.iter().map(|(id, by, _)| format!("{id} {by}")).collect();
        match caught.iter_mut().find(|known| known.id == tooth.name) {
            Some(known) if known.caught_by.is_empty() || by.is_empty() => known.caught_by.clear(),
            Some(_) => {}
            None => caught.push(BugResult {
                id: tooth.name.clone(),
                clauses: tooth.clauses.clone(),
                caught_by: by,
                steps: tooth.caught_by.as_ref().map(|(_, _, steps)| *steps),
                ..BugResult::default()
            }),
        }
    }
    let directory = root().join("target/gate-layers");
    layers::write(&directory, "conformance", &caught, &[]).expect("a layer's file");
}

/// A handful of the broken receivers in Python, through the process door; all of them with `BROKEN=all`,
/// others with `BROKEN=NamesFolded,NarrowOffset`.
const IN_PYTHON: [&str; 17] = [
    "NamesFolded",
    "NarrowOffset",
    "ChecksumEnds",
    "LettersBeyondAscii",
    "NumbersWrapped",
    "NoLock",
    "IdsNotChecked",
    "StrangerPublished",
    "ShortWriteTaken",
    "FullNotToldApart",
    "GapAccepted",
    "RepeatOfAnotherCluster",
    "EmptyUnchecked",
    "OverrunWrites",
    "RestartEndsOthers",
    "LargestCommitCounts",
    "OldSnapshotRemovedBeforeRename",
];

/// What `strace` shows of it, where that is needed to catch it; the error says what is missing here.
fn in_system_calls(command: &str, clause: &str) -> Result<Option<(String, String, usize)>, String> {
    if !["SR-PUB-001", "SR-PUB-002", "SR-PUB-005"].contains(&clause) {
        return Ok(None);
    }
    let scratch = tempfile::tempdir_in(scratch_place()).map_err(|error| error.to_string())?;
    match audit(command, Duration::from_secs(30), scratch.path()) {
        Ok(Audited::Seen(wrong)) => {
            let found = wrong.iter().any(|(id, _)| *id == clause);
            Ok(found.then(|| (clause.to_owned(), "the order of system calls".to_owned(), 0)))
        }
        Ok(Audited::NotVisible(why)) => Err(why),
        Err(broken) => Err(broken.to_string()),
    }
}

fn in_python(python: &str, name: &str, clause: &str) -> Option<Tooth> {
    let broken = root().join("conformance/broken/broken.py");
    let command = format!("{python} {} {name}", broken.display());
    let of_clause = |about: &About| {
        let mut all = suite(about);
        all.retain(|scenario| scenario.clause == clause);
        all
    };
    let results = run(&command, Duration::from_secs(30), of_clause);
    let no_mount = results.skipped.iter().any(|line| line.contains("no small file system"));
    if name == "FullNotToldApart" && no_mount {
        skipped(&format!("{name}: no small file system can be mounted here"));
        return None;
    }
    let mut tooth = bite(name, &[clause], &results);
    if tooth.caught_by.is_none() {
        match in_system_calls(&command, clause) {
            Ok(caught_by) => tooth.caught_by = caught_by,
            Err(why) => {
                skipped(&format!("{name}: {why}"));
                return None;
            }
        }
    }
    Some(tooth)
}

/// `conformance/TEETH-PYTHON.md` is what this test found. To write it anew: `BROKEN=all WRITE_TEETH=1`
/// before the test; with names in place of `all`, the lines of the others stay.
#[test]
fn broken_receivers_in_python_are_caught_by_the_clause_that_they_break() {
    let Some(python) = python() else { return };
    let broken = root().join("conformance/broken/broken.py");
    let listed = Command::new(&python).arg(&broken).output().expect("the list").stdout;
    let listed = String::from_utf8(listed).expect("text");
    let wanted = std::env::var("BROKEN").ok();
    let is_wanted = |name: &str| match wanted.as_deref() {
        None => IN_PYTHON.contains(&name),
        Some("all") => true,
        Some(names) => names.split(',').any(|wanted| wanted == name),
    };
    let writes = wanted.is_some() && std::env::var_os("WRITE_TEETH").is_some();
    let path = root().join("conformance/TEETH-PYTHON.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let (mut teeth, mut rows) = (Vec::new(), Vec::new());
    for line in listed.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, clause, about] = fields[..] else {
            panic!("{line:?}")
        };
        if !is_wanted(name) {
            let row = format!("| {name} | {about} | {clause} | {clause} |");
            let known = written.lines().find(|line| line.starts_with(&row));
            assert!(known.is_some() || writes, "TEETH-PYTHON.md does not have {row:?}");
            rows.extend(known.map(str::to_owned));
            continue;
        }
        let Some(tooth) = in_python(&python, name, clause) else {
            continue;
        };
        let (id, by) = tooth
            .caught_by
            .as_ref()
            .map_or(("-", "-"), |(id, by, _)| (id.as_str(), by.as_str()));
        rows.push(format!("| {name} | {about} | {clause} | {id} | `{by}` |"));
        teeth.push(tooth);
    }
    if writes {
        let head = "# What the kit catches, in Python\n\nMade by `model/tests/teeth.rs`: the plain receiver with one \
                    mistake each (`conformance/broken/broken.py`), through the\nprocess door.\n\n\
                    | broken receiver | mistake | breaks | caught by | scenario |\n|---|---|---|---|---|\n";
        std::fs::write(&path, format!("{head}{}\n", rows.join("\n"))).expect("the matrix");
    }
    let survived: Vec<&str> = teeth
        .iter()
        .filter(|tooth| tooth.caught_by.is_none())
        .map(|tooth| tooth.name.as_str())
        .collect();
    assert!(survived.is_empty(), "not caught: {survived:?}");
    let long = teeth
        .iter()
        .filter(|tooth| tooth.caught_by.as_ref().is_some_and(|(_, _, steps)| *steps > 8));
    let long: Vec<&str> = long.map(|tooth| tooth.name.as_str()).collect();
    assert!(long.is_empty(), "a counterexample has more than 8 steps: {long:?}");
    write_layer(&teeth);
}
