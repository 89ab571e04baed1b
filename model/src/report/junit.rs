//! Results as JUnit XML, for whatever shows test results of a CI job.
//!
//! Guarantees: a run that did not pass has at least one failure or error, a run of nothing too, so
//! that an empty file never looks green; a counterexample stands under the rule that it breaks.
//! Refuses to know: when and where it ran, and what a rule means.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::results::{
    BugResult, ClauseResult, Diagram, PropertyResult, PropertyVerdict, Results, SystemResult, SystemVerdict, Tone,
    Verdict,
};
use super::text;

/// The report: a suite for the run as a whole, one for each configuration of a system, one for the
/// seeded bugs and one for the clauses.
#[must_use]
pub fn junit(results: &Results) -> String {
    let mut report = Report::new("gate");
    report.set_time(duration(results.seconds));
    report.add_test_suite(whole(results));
    report.add_test_suites(results.systems.iter().map(system));
    report.add_test_suite(suite(
        "seeded bugs",
        results.bugs.iter().map(|bug| bug.seconds).sum(),
        results.bugs.iter().map(bug),
    ));
    report.add_test_suite(suite("clauses", 0.0, results.clauses.iter().map(clause)));
    // Writing to memory does not fail; were it to, the file must not be read as a pass.
    report
        .to_string()
        .unwrap_or_else(|error| format!("the report could not be written: {error}\n"))
}

fn suite(name: &str, seconds: f64, cases: impl Iterator<Item = TestCase>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.set_time(duration(seconds));
    suite.add_test_cases(cases.map(|mut case| {
        case.set_classname(name);
        case
    }));
    suite
}

fn whole(results: &Results) -> TestSuite {
    let status = match results.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => failure(Verdict::Fail.word(), "the other suites say what failed".to_owned()),
        Verdict::NothingRan => error(
            Verdict::NothingRan.word(),
            "nothing was run, and nothing is proved".to_owned(),
        ),
        Verdict::CouldNotCheck => error(
            Verdict::CouldNotCheck.word(),
            "the check itself could not be done".to_owned(),
        ),
    };
    let case = TestCase::new(format!("verdict of profile {:?}", results.profile), status);
    suite("gate", results.seconds, std::iter::once(case))
}

fn system(system: &SystemResult) -> TestSuite {
    let properties = system.properties.iter().map(|property| {
        let mut case = TestCase::new(property.id.as_str(), property_status(system, property));
        case.extra.insert("kind".into(), property.kind.word().into());
        case
    });
    let mut counted = TestCase::new("state count and witnesses", system_status(system));
    counted.set_time(duration(system.seconds));
    counted.set_system_out(format!(
        "{}\n{}\n{} unique states, {} generated, depth {}",
        system.about, system.verdict, system.unique_states, system.generated_states, system.max_depth
    ));
    suite(&system.name, system.seconds, properties.chain(std::iter::once(counted)))
}

/// What neither holds nor is broken is skipped: a witness that the configuration is not there to
/// reach, and a rule that a simulation did not break.
fn property_status(system: &SystemResult, property: &PropertyResult) -> TestCaseStatus {
    match (property.tone(), property.verdict) {
        (Tone::Good, _) => TestCaseStatus::success(),
        (Tone::Neutral, PropertyVerdict::NotBroken) => skipped("not broken in a simulation, which proves nothing"),
        (Tone::Neutral, _) => skipped("not reached, and this configuration is not there to reach it"),
        (Tone::Bad, PropertyVerdict::Violated) => failure(
            property.verdict.word(),
            told(&system.verdict.to_string(), system.counterexample.as_ref()),
        ),
        (Tone::Bad, _) => failure(property.verdict.word(), system.verdict.to_string()),
    }
}

fn system_status(system: &SystemResult) -> TestCaseStatus {
    let verdict = system.verdict.to_string();
    match system.verdict.tone() {
        Tone::Good => TestCaseStatus::success(),
        Tone::Neutral => skipped(&verdict),
        Tone::Bad => {
            // Once is enough: a violated property carries the counterexample already.
            let is_told = matches!(system.verdict, SystemVerdict::Violated(_)) && !system.properties.is_empty();
            let counterexample = system.counterexample.as_ref().filter(|_| !is_told);
            failure(&verdict, told(&verdict, counterexample))
        }
    }
}

fn bug(bug: &BugResult) -> TestCase {
    let status = if bug.is_caught {
        TestCaseStatus::success()
    } else if bug.caught_by.is_empty() {
        failure("SURVIVED", told("nothing caught it", bug.counterexample.as_ref()))
    } else {
        let by = format!(
            "caught only by checks of clauses that it does not break: {}",
            bug.caught_by.join("; ")
        );
        failure("UNRELATED", told(&by, bug.counterexample.as_ref()))
    };
    let mut case = TestCase::new(bug.id.as_str(), status);
    case.set_time(duration(bug.seconds));
    let layers = bug.layers.iter().map(|(layer, is_caught)| {
        let word = if *is_caught { "caught" } else { "survived" };
        format!("{layer}: {word}")
    });
    let steps = bug.steps.map(|steps| format!("steps: {steps}"));
    let lines = [
        Some(bug.about.clone()),
        listed("breaks", &bug.clauses),
        listed("incidents", &bug.incidents),
        bug.system.as_ref().map(|system| format!("system: {system}")),
        listed("caught by", &bug.caught_by),
        steps,
    ];
    let lines: Vec<String> = lines.into_iter().flatten().chain(layers).collect();
    case.set_system_out(lines.join("\n"));
    case
}

fn clause(clause: &ClauseResult) -> TestCase {
    let word = clause.status.to_string();
    let status = match clause.status.tone() {
        Tone::Good => TestCaseStatus::success(),
        Tone::Neutral => skipped(&word),
        Tone::Bad => failure(&word, clause.text.clone()),
    };
    let mut case = TestCase::new(clause.id.as_str(), status);
    let heading = Some(format!("{} {}", clause.level, clause.text));
    let lines = [
        heading,
        listed("checked by", &clause.checks),
        listed("broken by", &clause.bugs),
    ];
    case.set_system_out(lines.into_iter().flatten().collect::<Vec<_>>().join("\n"));
    case
}

fn listed(heading: &str, items: &[String]) -> Option<String> {
    (!items.is_empty()).then(|| format!("{heading}: {}", items.join("; ")))
}

/// The verdict, and below it the way there.
fn told(verdict: &str, counterexample: Option<&Diagram>) -> String {
    let lines = std::iter::once(verdict.to_owned()).chain(counterexample.into_iter().flat_map(diagram_lines));
    lines.collect::<Vec<_>>().join("\n")
}

fn diagram_lines(diagram: &Diagram) -> Vec<String> {
    let mut lines = vec![String::new(), diagram.title.clone()];
    lines.extend(diagram.legend.iter().map(|line| format!("  {line}")));
    for (index, step) in diagram.steps.iter().enumerate() {
        lines.extend(step.before.iter().map(|line| format!("       {line}")));
        let way = if step.from == step.to {
            step.from.name().to_owned()
        } else {
            format!("{} -> {}", step.from.name(), step.to.name())
        };
        lines.push(format!("  {way}: {}", text::step(index + 1, step)));
        lines.extend(text::reply(step).map(|reply| format!("       {reply}")));
    }
    lines.extend(diagram.end.iter().map(|line| format!("       {line}")));
    lines.extend(text::broken(&diagram.broken));
    lines
}

fn failure(message: &str, text: String) -> TestCaseStatus {
    non_success(NonSuccessKind::Failure, message, text)
}

fn error(message: &str, text: String) -> TestCaseStatus {
    non_success(NonSuccessKind::Error, message, text)
}

fn non_success(kind: NonSuccessKind, message: &str, text: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_description(text);
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

/// Zero for what is no length of time.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::results::{DiagramStep, Lane, PropertyKind, Standing};
    use super::*;

    fn way() -> Diagram {
        Diagram {
            title: "tiny".to_owned(),
            broken: vec!["SR-OFF-003 order".to_owned()],
            legend: vec!["snapshot 0: \"ab\"".to_owned()],
            steps: vec![
                DiagramStep {
                    from: Lane::Network,
                    to: Lane::Receiver,
                    label: "delivers <chunk> & more".to_owned(),
                    is_fault: false,
                    before: vec!["database 0: awaits".to_owned()],
                    reply: Some("Pending".to_owned()),
                },
                DiagramStep {
                    from: Lane::Disk,
                    to: Lane::Disk,
                    label: "sync fails".to_owned(),
                    is_fault: true,
                    before: Vec::new(),
                    reply: None,
                },
            ],
            end: vec!["database 0: lost".to_owned()],
        }
    }

    fn property(id: &str, kind: PropertyKind, verdict: PropertyVerdict) -> PropertyResult {
        let id = id.to_owned();
        PropertyResult { id, kind, verdict }
    }

    const REQUIRED: PropertyKind = PropertyKind::Sometimes { is_required: true };
    const OTHER: PropertyKind = PropertyKind::Sometimes { is_required: false };

    fn of_system(system: SystemResult) -> Report {
        parsed(&Results {
            verdict: Verdict::Pass,
            systems: vec![system],
            ..Results::default()
        })
    }

    /// Read back by a parser: what is asserted on is what a reader of the file sees.
    fn parsed(results: &Results) -> Report {
        Report::deserialize_from_str(&junit(results)).expect("the report is well-formed")
    }

    fn suite_named<'a>(report: &'a Report, name: &str) -> &'a TestSuite {
        report
            .test_suites
            .iter()
            .find(|suite| suite.name == *name)
            .expect("the suite is there")
    }

    #[test]
    fn an_empty_run_is_an_error_that_says_that_nothing_ran() {
        let results = Results::default();
        assert_eq!(parsed(&results).errors, 1);
        assert!(junit(&results).contains("nothing was run, and nothing is proved"));
    }

    #[test]
    fn a_passing_run_has_no_failure() {
        let report = of_system(SystemResult {
            name: "one".to_owned(),
            verdict: SystemVerdict::Holds,
            properties: vec![
                property("rule", PropertyKind::Always, PropertyVerdict::Holds),
                property("Done", REQUIRED, PropertyVerdict::Reached),
            ],
            ..SystemResult::default()
        });
        assert_eq!((report.failures, report.errors, report.tests), (0, 0, 4));
        assert_eq!(suite_named(&report, "one").tests, 3);
    }

    #[test]
    fn a_violated_rule_carries_every_step_and_marks_the_fault() {
        let report = of_system(SystemResult {
            name: "one".to_owned(),
            verdict: SystemVerdict::Violated(vec!["SR-OFF-003 order".to_owned()]),
            properties: vec![property(
                "SR-OFF-003 order",
                PropertyKind::Always,
                PropertyVerdict::Violated,
            )],
            counterexample: Some(way()),
            ..SystemResult::default()
        });
        assert_eq!(report.failures, 2, "the rule, and the system");
        let text = report.to_string().expect("written");
        for part in [
            "  network -&gt; receiver: 1. delivers &lt;chunk&gt; &amp; more",
            "reply: Pending",
            "  disk: 2. FAULT: sync fails",
            "broken: SR-OFF-003 order",
        ] {
            assert_eq!(text.matches(part).count(), 1, "{part} in {text}");
        }
    }

    #[test]
    fn an_unreached_witness_fails_only_where_it_makes_the_system_vacuous() {
        let report = of_system(SystemResult {
            name: "one".to_owned(),
            verdict: SystemVerdict::Vacuous(vec!["CrcVerdict".to_owned()]),
            properties: vec![
                property("CrcVerdict", REQUIRED, PropertyVerdict::Unreached),
                property("Crc", OTHER, PropertyVerdict::Unreached),
            ],
            ..SystemResult::default()
        });
        assert_eq!((report.failures, report.skipped), (2, 1));
    }

    #[test]
    fn a_simulation_is_skipped_not_passed() {
        let report = of_system(SystemResult {
            name: "large".to_owned(),
            verdict: SystemVerdict::Simulated,
            properties: vec![property("rule", PropertyKind::Always, PropertyVerdict::NotBroken)],
            ..SystemResult::default()
        });
        assert_eq!((report.failures, report.errors, report.skipped), (0, 0, 2));
    }

    #[test]
    fn a_survived_bug_is_a_failure() {
        let caught = BugResult {
            id: "Caught".to_owned(),
            caught_by: vec!["rule".to_owned()],
            is_caught: true,
            ..BugResult::default()
        };
        let survived = BugResult {
            id: "Survived".to_owned(),
            ..BugResult::default()
        };
        let unrelated = BugResult {
            id: "Unrelated".to_owned(),
            is_caught: false,
            ..caught.clone()
        };
        let results = Results {
            bugs: vec![caught, survived, unrelated],
            ..Results::default()
        };
        assert_eq!(suite_named(&parsed(&results), "seeded bugs").failures, 2);
        assert!(junit(&results).contains(r#"<failure message="SURVIVED">"#));
    }

    #[test]
    fn a_pending_clause_is_skipped_and_an_unverified_one_fails() {
        let clause = |status: Standing| ClauseResult {
            status,
            ..ClauseResult::default()
        };
        let clauses = vec![
            clause(Standing::Verified),
            clause(Standing::VerifiedBy("the compiler".to_owned())),
            clause(Standing::Pending("fuzz".to_owned())),
            clause(Standing::Survived("shell".to_owned())),
            clause(Standing::Unverified),
        ];
        let report = parsed(&Results {
            clauses,
            ..Results::default()
        });
        let suite = suite_named(&report, "clauses");
        assert_eq!((suite.tests, suite.skipped, suite.failures), (5, 1, 2));
    }

    #[test]
    fn what_xml_cannot_take_is_escaped_or_left_out() {
        let id = "<a> & \"b\" \u{1} \u{1b}[31mred";
        let results = Results {
            bugs: vec![BugResult {
                id: id.to_owned(),
                ..BugResult::default()
            }],
            ..Results::default()
        };
        let report = parsed(&results);
        let case = &suite_named(&report, "seeded bugs").test_cases[0];
        assert_eq!(case.name.as_str(), "<a> & \"b\"  red");
    }
}
