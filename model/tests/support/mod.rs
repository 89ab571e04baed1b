//! What the tests of the conformance kit share: where things are, and a run over a process.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use snapshot_receiver_model::conform::campaign::{Plan, campaign, scratch_place};
use snapshot_receiver_model::conform::process::{Adapter, Process};
use snapshot_receiver_model::conform::profile;
use snapshot_receiver_model::conform::report;
use snapshot_receiver_model::conform::results::{Results, RunVerdict};
use snapshot_receiver_model::conform::scenario::Scenario;
use snapshot_receiver_model::conform::talk::About;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A Python interpreter itself, not a script that looks for one: adapters are started often. Where there is
/// none, that is told.
pub(crate) fn python() -> Option<String> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let found = output.ok().filter(|output| output.status.success());
    let found = found.and_then(|output| String::from_utf8(output.stdout).ok());
    let found = found
        .map(|found| found.trim().to_owned())
        .filter(|found| !found.is_empty());
    if found.is_none() {
        skipped("there is no python3 here");
    }
    found
}

/// Tells what is not run, also where what tests print is captured.
pub(crate) fn skipped(why: &str) {
    // Where standard error is closed, nobody reads it.
    let _told = writeln!(io::stderr(), "SKIPPED: {why}");
}

/// A run as the tests of the kit make it.
pub(crate) fn plan(scratch: &Path, strict: bool) -> Plan {
    Plan {
        profile: "test".to_owned(),
        seed: 7,
        scratch: scratch.to_owned(),
        shrinking: Duration::from_secs(10),
        strict,
        command: String::new(),
        clauses: Vec::new(),
        scenarios_chosen: false,
    }
}

pub(crate) fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::Builder::new().prefix("conform-").tempdir_in(scratch_place());
    scratch.expect("a scratch directory")
}

pub(crate) fn run(command: &str, time_limit: Duration, choose: impl FnOnce(&About) -> Vec<Scenario>) -> Results {
    let scratch = scratch();
    let mut adapter = Adapter::new(command);
    adapter.time_limit = time_limit;
    let plan = plan(scratch.path(), false);
    let results = campaign(&mut Process::new(adapter), &plan, choose).expect("a scratch directory");
    println!("{command}: {:.1} s", results.seconds);
    results
}

pub(crate) fn quick(about: &About) -> Vec<Scenario> {
    profile::quick(about)
}

pub(crate) fn passes(command: &str) -> Results {
    let results = run(command, Duration::from_secs(30), quick);
    assert_eq!(results.verdict(), RunVerdict::Pass, "{}", report::terminal(&results));
    results
}
