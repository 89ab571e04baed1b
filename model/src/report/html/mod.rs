//! Results as one page for a browser, and for paper.
//!
//! Guarantees: one file that needs no other, no network and no script; every text is escaped where
//! it is put in; what failed is said in words, not in colour alone; where nothing ran, the page says
//! so. Refuses to know: how results come about, and where the page is shown.

mod drawings;
mod tables;

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::results::{Results, SystemVerdict, Tone, Verdict};
use super::text::grouped;

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let word = results.verdict.word();
    // What went wrong is what the page was opened for.
    let is_broken = results.systems.iter().any(|system| system.counterexample.is_some());
    let body = html! {
        (header(results))
        main {
            @if is_broken { (drawings::counterexamples(results)) }
            (tables::systems(&results.systems))
            (drawings::growth(&results.systems))
            (tables::bugs(&results.bugs))
            (tables::clauses(&results.clauses))
            @if !is_broken { (drawings::counterexamples(results)) }
        }
    };
    document(&format!("Gate: {word}"), &body)
}

/// What every report for a browser is put into.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn header(results: &Results) -> Markup {
    let states = results.systems.iter().map(|system| system.unique_states).sum();
    let (class, meaning) = match results.verdict {
        Verdict::Pass => ("good", "Everything held, and was able to fail."),
        Verdict::Fail => (
            "bad",
            "A rule was broken, a bug survived, or something was not checked.",
        ),
        Verdict::NothingRan => ("bad", "Nothing was run: this page proves nothing."),
        Verdict::CouldNotCheck => ("bad", "The check itself could not be done: this page proves nothing."),
    };
    let broken: BTreeSet<&String> = results
        .systems
        .iter()
        .flat_map(|system| system.verdict.broken_rules())
        .collect();
    let failed_systems = results.systems.iter().filter(|system| !system.verdict.passed()).count();
    let survived = results.bugs.iter().filter(|bug| !bug.is_caught).count();
    let with_tone = |wanted: Tone| {
        let clauses = results.clauses.iter();
        clauses.filter(|clause| clause.status.tone() == wanted).count()
    };
    let (unverified, pending) = (with_tone(Tone::Bad), with_tone(Tone::Neutral));
    let systems = results.systems.iter();
    let simulated = systems
        .filter(|system| system.verdict == SystemVerdict::Simulated)
        .count();
    html! {
        header {
            h1 { "Gate: " span class={ "verdict " (class) } { (results.verdict.word()) } }
            p { (meaning) }
            @if !broken.is_empty() {
                ul { @for rule in &broken { li { strong { (rule) } } } }
            }
            @if simulated > 0 {
                p { (simulated) " systems were simulated, not exhausted: that nothing broke in them proves nothing." }
            }
            dl class="figures" {
                (figure("profile", if results.profile.is_empty() { "none" } else { &results.profile }, ""))
                (figure("seconds", &format!("{:.1}", results.seconds), ""))
                (figure("unique states", &grouped(states), ""))
                (figure("systems", &results.systems.len().to_string(), &format!("{failed_systems} failed")))
                (figure("seeded bugs", &results.bugs.len().to_string(), &format!("{survived} not caught")))
                (figure(
                    "clauses",
                    &results.clauses.len().to_string(),
                    &format!("{unverified} not verified, {pending} pending"),
                ))
            }
            nav {
                a href="#systems" { "Systems" } " "
                a href="#growth" { "Growth" } " "
                a href="#bugs" { "Seeded bugs" } " "
                a href="#clauses" { "Clauses" } " "
                a href="#counterexamples" { "Counterexamples" }
            }
        }
    }
}

fn figure(name: &str, value: &str, detail: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd { (value) @if !detail.is_empty() { " " small { (detail) } } }
        }
    }
}

/// A word, in the colour of how it reads.
fn mark(tone: Tone, word: &str) -> Markup {
    let class = match tone {
        Tone::Good => "good",
        Tone::Neutral => "none",
        Tone::Bad => "bad",
    };
    html! { span class={ "word " (class) } { (word) } }
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::super::results::layers;
    use super::super::results::{
        BugResult, ClauseResult, Diagram, DiagramStep, Lane, PropertyKind, PropertyResult, PropertyVerdict,
        SystemResult,
    };
    use super::tables::bug_row;
    use super::*;

    fn caught(id: &str, layers: &[(&str, bool)]) -> BugResult {
        BugResult {
            id: id.to_owned(),
            layers: layers
                .iter()
                .map(|(layer, is_caught)| ((*layer).to_owned(), *is_caught))
                .collect(),
            is_caught: true,
            ..BugResult::default()
        }
    }

    fn way(label: &str) -> Diagram {
        Diagram {
            steps: vec![DiagramStep {
                is_fault: true,
                ..DiagramStep::plain(Lane::Disk, Lane::Disk, label)
            }],
            ..Diagram::default()
        }
    }

    #[test]
    fn an_empty_run_renders_and_says_that_nothing_ran() {
        let text = page(&Results::default());
        for part in [
            "nothing ran",
            "Nothing was run: this page proves nothing",
            "No system was run",
            "No seeded bug was hunted",
            "not measured",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.ends_with("</html>"));
    }

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let text = page(&Results::default());
        for part in ["<script", "http:", "https:", "src=", "url(", "@import", "<link"] {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn every_text_is_escaped() {
        let evil = "<b onclick=\"x\">&";
        let some = || Some(way(evil));
        let results = Results {
            profile: evil.to_owned(),
            systems: vec![SystemResult {
                name: evil.to_owned(),
                about: evil.to_owned(),
                verdict: SystemVerdict::Violated(vec![evil.to_owned()]),
                properties: vec![PropertyResult {
                    id: evil.to_owned(),
                    kind: PropertyKind::Always,
                    verdict: PropertyVerdict::Violated,
                }],
                growth: vec![1],
                counterexample: some(),
                ..SystemResult::default()
            }],
            bugs: vec![BugResult {
                counterexample: some(),
                ..caught(evil, &[(evil, true)])
            }],
            clauses: vec![ClauseResult {
                text: format!("{evil} `{evil}`"),
                ..ClauseResult::default()
            }],
            ..Results::default()
        };
        let text = page(&results);
        assert!(!text.contains("<b "), "{text}");
        assert!(text.contains("<code>&lt;b onclick=&quot;x&quot;&gt;&amp;</code>"));
    }

    #[test]
    fn the_matrix_has_every_layer_and_a_blank_where_a_layer_does_not_run_a_bug() {
        let bugs = [caught("One", &[("model", true)]), caught("Two", &[("files", false)])];
        assert_eq!(layers(&bugs), ["model", "files"]);
        let text = bug_row(1, &bugs[1], &layers(&bugs)).into_string();
        assert!(text.contains(r#"data-label="model"></td>"#), "{text}");
        assert!(text.contains(r#"<span class="word bad">survived</span>"#), "{text}");
    }

    #[test]
    fn a_survived_bug_looks_bad() {
        let survived = BugResult::default();
        let text = bug_row(0, &survived, &[]).into_string();
        assert!(text.contains(r#"<span class="word bad">SURVIVED</span>"#), "{text}");
    }

    #[test]
    fn what_is_broken_stands_beside_the_verdict_once() {
        let broken = || SystemResult {
            verdict: SystemVerdict::Violated(vec!["SR-OFF-003 a rule".to_owned()]),
            ..SystemResult::default()
        };
        let text = page(&Results {
            systems: vec![broken(), broken()],
            ..Results::default()
        });
        let (header, _) = text.split_once("</header>").expect("a header");
        assert_eq!(header.matches("SR-OFF-003 a rule").count(), 1, "{header}");
    }

    #[test]
    fn a_simulation_looks_neither_good_nor_bad_and_is_counted() {
        let text = page(&Results {
            verdict: Verdict::Pass,
            systems: vec![SystemResult {
                verdict: SystemVerdict::Simulated,
                ..SystemResult::default()
            }],
            ..Results::default()
        });
        assert!(text.contains(r#"<span class="word none">SIMULATED"#), "{text}");
        assert!(text.contains("1 systems were simulated, not exhausted"), "{text}");
    }

    #[test]
    fn counterexamples_come_first_where_a_system_broke_and_last_where_only_bugs_did() {
        let order = |results: &Results| {
            let text = page(results);
            let at = |id: &str| text.find(&format!("<section id=\"{id}\"")).expect("a section");
            assert_eq!(text.matches("id=\"counterexamples\"").count(), 1);
            at("counterexamples") < at("systems")
        };
        let broken = SystemResult {
            counterexample: Some(way("sync")),
            ..SystemResult::default()
        };
        let bug = BugResult {
            counterexample: Some(way("sync")),
            ..caught("One", &[])
        };
        let (systems, bugs) = (vec![broken], vec![bug]);
        assert!(order(&Results {
            systems,
            ..Results::default()
        }));
        assert!(!order(&Results {
            bugs,
            ..Results::default()
        }));
    }

    #[test]
    fn a_counterexample_of_a_bug_is_folded_and_its_row_leads_to_it() {
        let bug = BugResult {
            counterexample: Some(way("sync")),
            ..caught("One", &[])
        };
        let text = page(&Results {
            bugs: vec![bug],
            ..Results::default()
        });
        assert!(text.contains(r##"href="#bug-0""##) && text.contains(r#"<div id="bug-0">"#));
        assert!(text.contains(r#"<details class="way">"#) && text.contains("1. FAULT: sync"));
    }
}
