//! The same results for a CI job and for a browser.
//!
//! Guarantees: as `report`; every text is escaped where it is put in. Refuses to know: as `report`.

use std::time::Duration;

use maud::html;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{failed, last_line, unlisted_line};
use crate::conform::results::{ClauseResult, ClauseVerdict, Results, RunVerdict};
use crate::report::html::document;

/// The report as JUnit XML: a case for the run, and one for each clause.
#[must_use]
pub fn junit(results: &Results) -> String {
    let mut report = Report::new("conform");
    let seconds = Duration::try_from_secs_f64(results.seconds).unwrap_or_default();
    report.set_time(seconds);
    let mut suite = TestSuite::new(format!("conform {}", results.about.name));
    suite.set_time(seconds);
    suite.add_test_case(TestCase::new(
        format!("verdict of profile {:?}", results.profile),
        verdict(results),
    ));
    suite.add_test_cases(results.listed().map(|clause| case(clause, results.strict)));
    report.add_test_suite(suite);
    // Writing to memory does not fail; were it to, the file must not be read as a pass.
    report
        .to_string()
        .unwrap_or_else(|error| format!("the report could not be written: {error}\n"))
}

fn verdict(results: &Results) -> TestCaseStatus {
    let told: Vec<String> = results.broken.iter().map(|broken| broken.what.clone()).collect();
    let (kind, told) = match results.verdict() {
        RunVerdict::Pass => return TestCaseStatus::success(),
        RunVerdict::Fail => (NonSuccessKind::Failure, results.baseline.join("\n")),
        RunVerdict::Broken => (NonSuccessKind::Error, told.join("\n")),
        RunVerdict::NothingRan => (NonSuccessKind::Error, "nothing was shown".to_owned()),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(last_line(results)).set_description(printable(&told));
    status
}

fn case(clause: &ClauseResult, strict: bool) -> TestCase {
    let bears = clause.known.is_some() || (clause.level == crate::clauses::Level::Should && !strict);
    let status = match clause.verdict {
        ClauseVerdict::Pass => TestCaseStatus::success(),
        ClauseVerdict::Fail if !bears => {
            let told = clause
                .failure
                .as_ref()
                .map_or(clause.message.clone(), |failure| failed(clause, failure));
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_message(printable(&clause.message))
                .set_description(printable(&told));
            status
        }
        ClauseVerdict::Fail | ClauseVerdict::Unsupported | ClauseVerdict::NotVisible => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!("{}: {}", clause.verdict.word(), printable(&clause.message)));
            status
        }
    };
    let mut case = TestCase::new(clause.id, status);
    case.set_classname("conform");
    case.set_system_out(format!("{} {}", clause.level.word(), clause.text));
    case
}

/// XML has no place for control characters.
fn printable(text: &str) -> String {
    let shown = |char: char| {
        if char.is_control() && char != '\n' {
            '\u{fffd}'
        } else {
            char
        }
    };
    text.chars().map(shown).collect()
}

/// A summary in Markdown.
#[must_use]
pub fn markdown(results: &Results) -> String {
    let about = &results.about;
    let mut text = format!(
        "## Conformance of {} {} ({})\n\n{}\n\n| clause | level | verdict | scenarios | |\n|---|---|---|---:|---|\n",
        about.name,
        about.version,
        about.language,
        last_line(results)
    );
    for clause in results.listed() {
        let verdict = match clause.verdict {
            ClauseVerdict::Fail if clause.known.is_none() => "**FAIL**",
            ClauseVerdict::Fail => "known failure",
            ClauseVerdict::Pass | ClauseVerdict::Unsupported | ClauseVerdict::NotVisible => clause.verdict.word(),
        };
        let message = clause
            .known
            .as_ref()
            .unwrap_or(&clause.message)
            .replace('|', "\\|")
            .replace('\n', " ");
        let (id, level, count) = (clause.id, clause.level.word(), clause.passed + clause.failed.len());
        text.push_str(&format!("| {id} | {level} | {verdict} | {count} | {message} |\n"));
    }
    if let Some(line) = unlisted_line(results) {
        text.push_str(&format!("\n{line}\n"));
    }
    for clause in results.listed() {
        if let Some(failure) = &clause.failure {
            text.push_str(&format!("\n```text\n{}```\n", failed(clause, failure)));
        }
    }
    for broken in &results.broken {
        text.push_str(&format!(
            "\n```text\nBROKEN at step {} of {}: {}\n```\n",
            broken.at, broken.scenario, broken.what
        ));
    }
    text
}

/// One self-contained page.
#[must_use]
pub fn page(results: &Results) -> String {
    let about = &results.about;
    let word = results.verdict().word();
    let body = html! {
        header {
            h1 { "Conformance of " (about.name) ": " (word) }
            p { (about.version) ", " (about.language) ". " (last_line(results)) }
        }
        main {
            table {
                thead { tr { th { "Clause" } th { "Level" } th { "Verdict" } th class="number" { "Scenarios" } th { "" } } }
                tbody { @for clause in results.listed() {
                    tr {
                        td title=(clause.text) { (clause.id) }
                        td { (clause.level.word()) }
                        td { (clause.verdict.word()) }
                        td class="number" { (clause.passed + clause.failed.len()) }
                        td { (clause.known.as_ref().unwrap_or(&clause.message)) }
                    }
                } }
            }
            @if let Some(line) = unlisted_line(results) { p { (line) } }
            @for clause in results.listed() {
                @if let Some(failure) = &clause.failure {
                    section { h2 { (clause.id) } pre { (failed(clause, failure)) } }
                }
            }
            @for broken in &results.broken {
                section {
                    h2 { "Broken at step " (broken.at) " of " (broken.scenario) }
                    pre { (broken.what) "\n" (broken.transcript.join("\n")) }
                }
            }
        }
    };
    document(&format!("Conformance: {word}"), &body)
}
