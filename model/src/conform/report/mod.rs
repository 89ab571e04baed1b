//! Results for people and for programs.
//!
//! Guarantees: every report says the same; a run that did not pass never looks green. Refuses to
//! know: how results come about.

mod files;

pub use files::{junit, markdown, page};

use std::fmt::Write;

use serde_json::{Value, json};

use super::results::{ClauseResult, ClauseVerdict, Failure, Results, RunVerdict};
use super::scenario::Step;

/// The report as JSON.
#[must_use]
pub fn json(results: &Results) -> String {
    let clause = |clause: &ClauseResult| {
        json!({
            "id": clause.id,
            "level": clause.level.word(),
            "verdict": clause.verdict.word(),
            "scenario": clause.failure.as_ref().map(|failure| failure.found_by.clone()).or(clause.failed.first().cloned()),
            "message": clause.message,
            "scenarios_passed": clause.passed,
            "scenarios_failed": clause.failed,
            "known": clause.known,
            "shrunk": clause.failure.as_ref().map(shrunk),
        })
    };
    let broken = results.broken.iter().map(|broken| {
        json!({
            "scenario": broken.scenario,
            "step": broken.at,
            "message": broken.what,
            "transcript": broken.transcript,
        })
    });
    let about = &results.about;
    let value = json!({
        "verdict": results.verdict().word(),
        "receiver": { "name": about.name, "version": about.version, "language": about.language },
        "profile": results.profile,
        "scenarios_run": results.scenarios_run,
        "seconds": results.seconds,
        "clauses": results.listed().map(clause).collect::<Vec<_>>(),
        "clauses_not_asked_for": results.unlisted(),
        "scenarios_passed_over": results.passed_over.len(),
        "seed": results.seed,
        "strict": results.strict,
        "broken": broken.collect::<Vec<_>>(),
        "baseline": results.baseline,
        "skipped": results.skipped,
    });
    format!("{value:#}\n")
}

fn shrunk(failure: &Failure) -> Value {
    json!({
        "scenario": serde_json::to_value(&failure.scenario).unwrap_or(Value::Null),
        "at": failure.at,
        "transcript": failure.transcript,
        "expected": failure.expected,
        "actual": failure.actual,
        "what": failure.what,
        "before": failure.before,
        "after": failure.after,
        "command": failure.command,
    })
}

/// The report for a terminal.
#[must_use]
pub fn terminal(results: &Results) -> String {
    let mut text = String::new();
    let about = &results.about;
    if !about.name.is_empty() {
        put(
            &mut text,
            format_args!("receiver  {} {} ({})\n", about.name, about.version, about.language),
        );
        put(&mut text, format_args!("features  {}\n", about.features.join(" ")));
    }
    // Where the adapter broke before the first scenario, nothing is known of any clause.
    let is_known = results.scenarios_run > 0 || results.broken.is_empty();
    for clause in results.listed().filter(|_| is_known) {
        let shown = match clause.verdict {
            ClauseVerdict::Fail if clause.known.is_some() => "known",
            ClauseVerdict::Fail => "FAIL",
            ClauseVerdict::NotVisible => "not visible here",
            ClauseVerdict::Pass | ClauseVerdict::Unsupported => clause.verdict.word(),
        };
        let scenarios = match (clause.passed, clause.failed.len()) {
            (0, 0) => String::new(),
            (passed, 0) => counted(passed, "scenario"),
            (passed, failed) => format!("{failed} of {}", counted(passed + failed, "scenario")),
        };
        let message = clause.known.as_ref().unwrap_or(&clause.message);
        let line = format!(
            "{} {:<6} {shown:<16} {scenarios:<20} {message}",
            clause.id,
            clause.level.word()
        );
        put(&mut text, format_args!("{}\n", line.trim_end()));
    }
    if let Some(line) = unlisted_line(results).filter(|_| is_known) {
        put(&mut text, format_args!("{line}\n"));
    }
    for clause in results.listed() {
        if let (ClauseVerdict::Fail, Some(failure), None) = (clause.verdict, &clause.failure, &clause.known) {
            put(&mut text, format_args!("\n{}", failed(clause, failure)));
        }
    }
    for broken in &results.broken {
        put(
            &mut text,
            format_args!(
                "\nBROKEN at step {} of {}: {}\n",
                broken.at, broken.scenario, broken.what
            ),
        );
        for line in &broken.transcript {
            put(&mut text, format_args!("  {line}\n"));
        }
    }
    for line in &results.skipped {
        put(&mut text, format_args!("SKIPPED: {line}\n"));
    }
    for line in &results.baseline {
        put(&mut text, format_args!("BASELINE: {line}\n"));
    }
    put(&mut text, format_args!("\n{}\n", last_line(results)));
    text
}

/// The verdict in a line.
#[must_use]
pub fn last_line(results: &Results) -> String {
    let count = |verdict| results.count(verdict);
    let (pass, fail) = (count(ClauseVerdict::Pass), count(ClauseVerdict::Fail));
    let figures = format!(
        "{} {}, {fail} {}, {} unsupported, {} not visible here; {} in {:.1} s ({})",
        counted(pass, "clause"),
        if pass == 1 { "passes" } else { "pass" },
        if fail == 1 { "fails" } else { "fail" },
        count(ClauseVerdict::Unsupported),
        count(ClauseVerdict::NotVisible),
        counted(results.scenarios_run, "scenario"),
        results.seconds,
        results.profile,
    );
    let verdict = match results.verdict() {
        RunVerdict::Pass => "pass",
        RunVerdict::Fail => "FAIL",
        RunVerdict::Broken => "BROKEN",
        RunVerdict::NothingRan if results.scenarios_run > 0 => "NO CLAUSE PASSED",
        RunVerdict::NothingRan => "NOTHING RAN",
    };
    format!("{verdict}: {figures}")
}

/// What is said of the clauses that are not listed, if there are any.
fn unlisted_line(results: &Results) -> Option<String> {
    let others = results.unlisted();
    (others > 0).then(|| {
        let verb = if others == 1 { "was" } else { "were" };
        format!(
            "{} {verb} not asked for, and had no scenario in this run",
            counted(others, "other clause")
        )
    })
}

/// `1 step`, `2 steps`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A failure, told whole.
#[must_use]
pub fn failed(clause: &ClauseResult, failure: &Failure) -> String {
    let mut text = String::new();
    put(
        &mut text,
        format_args!("FAIL {} ({}): {}\n", clause.id, clause.level.word(), clause.text),
    );
    put(
        &mut text,
        format_args!("  found by {}: {}\n", failure.found_by, failure.about),
    );
    put(
        &mut text,
        format_args!(
            "  the shortest scenario found, {}:\n",
            counted(failure.scenario.steps.len(), "step")
        ),
    );
    for line in &failure.transcript {
        put(&mut text, format_args!("  {line}\n"));
    }
    if !failure.expected.is_empty() {
        put(
            &mut text,
            format_args!("  expected: {}\n  actual:   {}\n", failure.expected, failure.actual),
        );
    }
    for line in &failure.what {
        put(&mut text, format_args!("  - {line}\n"));
    }
    for (heading, lines) in [("before", &failure.before), ("after", &failure.after)] {
        let below = lines.iter().filter(|line| !line.contains("bystander: \""));
        let lines: Vec<&String> = below.collect();
        if !lines.is_empty() {
            put(&mut text, format_args!("  {heading}:\n"));
        }
        for line in lines {
            put(&mut text, format_args!("    {line}\n"));
        }
    }
    if !failure.command.is_empty() {
        put(&mut text, format_args!("  again: {}\n", failure.command));
    }
    let heading = if failure.scenario.steps.iter().any(Step::needs_process) {
        "as a Rust test, which is skipped, as a step of it needs a process"
    } else {
        "as a Rust test"
    };
    put(&mut text, format_args!("  {heading}:\n"));
    for line in rust_test(failure).lines() {
        put(&mut text, format_args!("    {line}\n"));
    }
    text
}

/// A test to paste: it runs the scenario on what `make` makes.
#[must_use]
pub fn rust_test(failure: &Failure) -> String {
    let name: String = failure
        .found_by
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() {
                char.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let compact = serde_json::to_string(&failure.scenario).unwrap_or_default();
    format!(
        "#[test]\nfn {name}() {{\n    let scenario = r###\"{compact}\"###;\n    \
         snapshot_receiver_model::conform::rust::check_scenario(&|| Box::new(make()), scenario);\n}}\n"
    )
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = text.write_fmt(arguments);
}
