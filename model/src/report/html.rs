//! Results as one page for a browser, and for paper.
//!
//! Guarantees: one file that needs no other, no network and no script; every text is escaped where
//! it is put in; what failed is said in words, not in colour alone; where nothing ran, the page says
//! so. Refuses to know: how results come about, and where the page is shown.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::results::{BugResult, ClauseResult, Diagram, PropertyResult, Results, SystemResult, Verdict};
use super::svg::{self, Width};

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let word = results.verdict.word();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Gate: " (word) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(results))
                main {
                    (systems(&results.systems))
                    (growth(&results.systems))
                    (bugs(&results.bugs))
                    (clauses(&results.clauses))
                    (counterexamples(results))
                }
            }
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
    let failed_systems = results.systems.iter().filter(|system| !system.passed).count();
    let survived = results.bugs.iter().filter(|bug| !bug.is_caught).count();
    let with_status = |wanted: Status| {
        let clauses = results.clauses.iter();
        clauses.filter(|clause| Status::of(clause) == wanted).count()
    };
    let (unverified, pending) = (with_status(Status::Unverified), with_status(Status::Pending));
    html! {
        header {
            h1 { "Gate: " span class={ "verdict " (class) } { (results.verdict.word()) } }
            p { (meaning) }
            dl class="figures" {
                (figure("profile", if results.profile.is_empty() { "none" } else { &results.profile }, ""))
                (figure("seconds", &format!("{:.1}", results.seconds), ""))
                (figure("unique states", &grouped(states), ""))
                (figure("systems", &results.systems.len().to_string(), &format!("{failed_systems} failed")))
                (figure("seeded bugs", &results.bugs.len().to_string(), &format!("{survived} not caught")))
                (figure(
                    "clauses",
                    &results.clauses.len().to_string(),
                    &format!("{unverified} unverified, {pending} pending"),
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

fn systems(systems: &[SystemResult]) -> Markup {
    html! {
        section id="systems" {
            h2 { "Systems" }
            @if systems.is_empty() {
                p { "No system was run." }
            } @else {
                table {
                    thead {
                        tr {
                            th { "System" } th class="number" { "Unique" } th class="number" { "Generated" }
                            th class="number" { "Depth" } th class="number" { "Seconds" }
                            th class="number" title="generated states a second" { "States/s" } th { "Verdict" }
                        }
                    }
                    tbody { @for system in systems { (system_row(system)) } }
                }
                p class="note" { "States/s: generated states, repeated ones included." }
            }
        }
    }
}

fn system_row(system: &SystemResult) -> Markup {
    let rate = if system.seconds > 0.0 {
        grouped_digits(&format!("{:.0}", system.generated_states as f64 / system.seconds))
    } else {
        String::new()
    };
    let count = |kind| {
        system
            .properties
            .iter()
            .filter(|property| property.kind == kind)
            .count()
    };
    html! {
        tr {
            td class="wide-cell" {
                strong { (system.name) }
                div class="about" { (system.about) }
                @if !system.properties.is_empty() {
                    details {
                        summary { (count("always")) " rules, " (count("sometimes")) " witnesses" }
                        ul { @for property in &system.properties { (property_item(property)) } }
                    }
                }
            }
            td class="number" data-label="unique" { (grouped(system.unique_states)) }
            td class="number" data-label="generated" { (grouped(system.generated_states)) }
            td class="number" data-label="depth" { (system.max_depth) }
            td class="number" data-label="seconds" { (format_args!("{:.2}", system.seconds)) }
            td class="number" data-label="states/s" { (rate) }
            td data-label="verdict" { (mark(system.passed, &system.verdict)) }
        }
    }
}

fn property_item(property: &PropertyResult) -> Markup {
    let class = match property.verdict {
        "holds" | "reached" => "good",
        "unreached" => "none",
        // Words, not an enum of ours: what is not known here must not look well.
        _ => "bad",
    };
    html! { li { (property.kind) " " (property.id) ": " span class={ "word " (class) } { (property.verdict) } } }
}

fn growth(systems: &[SystemResult]) -> Markup {
    let drawings = [Width::Wide, Width::Narrow].map(|width| svg::growth(systems, width));
    html! {
        section id="growth" {
            h2 { "Growth of the state spaces" }
            @if drawings.iter().all(Option::is_none) {
                p { "The states at each depth were not measured in this run." }
            } @else {
                figure {
                    @for drawing in drawings.into_iter().flatten() { (drawing) }
                    ol class="legend" {
                        @for (number, system) in svg::grown(systems) {
                            @let (depth, count) = svg::peak(&system.growth);
                            li {
                                (svg::swatch(number)) (number + 1) " " (system.name)
                                ": at most " (grouped(count)) " at depth " (depth)
                            }
                        }
                    }
                }
            }
        }
    }
}

fn bugs(bugs: &[BugResult]) -> Markup {
    let layers = layers(bugs);
    html! {
        section id="bugs" {
            h2 { "Seeded bugs" }
            @if bugs.is_empty() {
                p { "No bug was seeded." }
            } @else {
                p class="note" { "A blank: that layer does not run that bug." }
                table {
                    thead {
                        tr {
                            th { "Bug" } th { "Incidents" } th { "Breaks" }
                            @for layer in &layers { th class="layer" { (layer) } }
                            th class="number" { "Steps" } th { "Caught by" }
                        }
                    }
                    tbody { @for (index, bug) in bugs.iter().enumerate() { (bug_row(index, bug, &layers)) } }
                }
            }
        }
    }
}

/// Every layer that runs a bug, in the order in which they come.
fn layers(bugs: &[BugResult]) -> Vec<&str> {
    let mut layers = Vec::new();
    for (layer, _) in bugs.iter().flat_map(|bug| &bug.layers) {
        if !layers.contains(&layer.as_str()) {
            layers.push(layer.as_str());
        }
    }
    layers
}

fn bug_row(index: usize, bug: &BugResult, layers: &[&str]) -> Markup {
    let in_layer = |wanted: &str| bug.layers.iter().find(|(layer, _)| layer == wanted);
    html! {
        tr {
            td class="wide-cell" {
                @if bug.counterexample.is_some() {
                    a href={ "#bug-" (index) } { strong { (bug.id) } }
                } @else {
                    strong { (bug.id) }
                }
                div class="about" { (bug.about) }
            }
            td data-label="incidents" { (bug.incidents.join(" ")) }
            td data-label="breaks" { @for clause in &bug.clauses { span class="id" { (clause) } " " } }
            @for layer in layers {
                td class="layer" data-label=(layer) {
                    @if let Some((_, is_caught)) = in_layer(layer) {
                        (mark(*is_caught, if *is_caught { "caught" } else { "survived" }))
                    }
                }
            }
            td class="number" data-label="steps" { @if let Some(steps) = bug.steps { (steps) } }
            td data-label="caught by" { (caught_by(bug)) }
        }
    }
}

fn caught_by(bug: &BugResult) -> Markup {
    html! {
        @if bug.caught_by.is_empty() {
            (mark(bug.is_caught, if bug.is_caught { "caught" } else { "SURVIVED" }))
        } @else {
            @if !bug.is_caught { (mark(false, "UNRELATED")) " " }
            (bug.caught_by.join("; "))
            @if let Some(system) = &bug.system { span class="about" { " in " (system) } }
        }
    }
}

/// What is known of a clause.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Verified,
    Pending,
    Unverified,
}

impl Status {
    /// A word that is not known here is no verification.
    fn of(clause: &ClauseResult) -> Self {
        if clause.status == "verified" || clause.status.starts_with("verified by ") {
            Self::Verified
        } else if clause.status.starts_with("pending") {
            Self::Pending
        } else {
            Self::Unverified
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Verified => "good",
            Self::Pending => "none",
            Self::Unverified => "bad",
        }
    }
}

fn clauses(clauses: &[ClauseResult]) -> Markup {
    html! {
        section id="clauses" {
            h2 { "Clauses" }
            @if clauses.is_empty() {
                p { "No clause was looked at." }
            } @else {
                table {
                    thead {
                        tr { th { "Clause" } th { "Level" } th { "What it says" } th { "Bugs" } th { "Status" } }
                    }
                    tbody { @for clause in clauses { (clause_row(clause)) } }
                }
            }
        }
    }
}

fn clause_row(clause: &ClauseResult) -> Markup {
    html! {
        tr {
            td { strong class="id" { (clause.id) } }
            td data-label="level" { (clause.level) }
            td class="wide-cell" {
                (with_code(&clause.text))
                @if clause.checks.is_empty() {
                    div class="about" { "nothing checks it" }
                } @else {
                    details {
                        summary { "checked by " (clause.checks.len()) }
                        ul { @for check in &clause.checks { li { (check) } } }
                    }
                }
            }
            td data-label="bugs" { (clause.bugs.join(", ")) }
            td data-label="status" { span class={ "word " (Status::of(clause).class()) } { (clause.status) } }
        }
    }
}

/// Text whose backticks mean code, as in the specification.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn counterexamples(results: &Results) -> Markup {
    let of_systems = results.systems.iter();
    let mut of_systems = of_systems
        .filter_map(|system| system.counterexample.as_ref())
        .peekable();
    let of_bugs = results.bugs.iter().enumerate();
    let mut of_bugs = of_bugs
        .filter_map(|(index, bug)| Some((index, bug, bug.counterexample.as_ref()?)))
        .peekable();
    html! {
        section id="counterexamples" {
            h2 { "Counterexamples" }
            @if of_systems.peek().is_none() && of_bugs.peek().is_none() {
                p { "There is none." }
            }
            @for diagram in of_systems { (counterexample(diagram)) }
            @if of_bugs.peek().is_some() {
                h3 { "Of seeded bugs" }
                @for (index, bug, diagram) in of_bugs {
                    details class="way" {
                        summary { strong { (bug.id) } " " span class="about" { (diagram.steps.len()) " steps" } }
                        div id={ "bug-" (index) } { (counterexample(diagram)) }
                    }
                }
            }
        }
    }
}

fn counterexample(diagram: &Diagram) -> Markup {
    html! {
        figure {
            figcaption {
                strong { (diagram.title) }
                @if !diagram.legend.is_empty() {
                    ul { @for line in &diagram.legend { li { (line) } } }
                }
            }
            @for width in [Width::Wide, Width::Narrow] { (svg::sequence(diagram, width)) }
        }
    }
}

/// A word that is good or bad to read.
fn mark(is_good: bool, word: &str) -> Markup {
    html! { span class={ "word " (if is_good { "good" } else { "bad" }) } { (word) } }
}

/// A number with its thousands apart.
fn grouped(number: usize) -> String {
    grouped_digits(&number.to_string())
}

fn grouped_digits(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::super::results::{DiagramStep, Lane};
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
                from: Lane::Disk,
                to: Lane::Disk,
                label: label.to_owned(),
                is_fault: true,
                before: Vec::new(),
                reply: None,
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
            "No bug was seeded",
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
                verdict: evil.to_owned(),
                properties: vec![PropertyResult {
                    id: evil.to_owned(),
                    kind: "always",
                    verdict: "holds",
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
    fn a_survived_bug_and_an_unknown_status_look_bad() {
        let survived = BugResult::default();
        let text = bug_row(0, &survived, &[]).into_string();
        assert!(text.contains(r#"<span class="word bad">SURVIVED</span>"#), "{text}");
        let status = |status: &str| {
            let status = status.to_owned();
            Status::of(&ClauseResult {
                status,
                ..ClauseResult::default()
            })
        };
        assert!(status("") == Status::Unverified && status("verifiedly") == Status::Unverified);
        assert!(status("verified by the compiler") == Status::Verified);
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

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            ["0", "999", "1000", "1234567"].map(grouped_digits),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
