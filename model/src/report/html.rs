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
                    &format!("{} unverified, {} pending", with_status(Status::Unverified), with_status(Status::Pending)),
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
                figure { @for drawing in drawings.into_iter().flatten() { (drawing) } }
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
        if clause.status == "verified" {
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

/// Colours are variables, so that a dark screen changes only those; paper is always light.
const STYLE: &str = r#"
:root{--page:#fff;--ink:#1b1f24;--muted:#5a6470;--line:#d5dae0;--soft:#f4f6f8;--link:#0b5cad;
--good:#0f6b33;--good-soft:#e2f4e8;--bad:#b3141f;--bad-soft:#fde7e8;--arrow:#2a4f7c;
--s0:#1f6fb4;--s1:#c4521a;--s2:#2a8a3e;--s3:#b02a8f;--s4:#7a5cc4;--s5:#8a6d00;--s6:#00808a;--s7:#6b7480}
@media screen and (prefers-color-scheme:dark){:root{--page:#14181d;--ink:#e4e8ec;--muted:#9aa5b1;--line:#363e48;
--soft:#1d232a;--link:#7db8f5;--good:#7fdc9e;--good-soft:#153422;--bad:#ff8f8f;--bad-soft:#45191c;--arrow:#a9c8ee;
--s0:#6cb2f0;--s1:#f39a63;--s2:#74d187;--s3:#ee85d3;--s4:#b9a3f5;--s5:#dcbc45;--s6:#4fd0da;--s7:#b3bcc7}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:16px 20px 48px;background:var(--page);color:var(--ink);
font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{margin:8px 0;font-size:28px}h2{margin:40px 0 10px;font-size:21px}h3{margin:28px 0 8px;font-size:17px}
a{color:var(--link)}nav{display:flex;flex-wrap:wrap;gap:4px 18px}
.verdict,.word{border-radius:4px;padding:1px 7px;font-weight:600}
.verdict{text-transform:uppercase}.word{font-size:13px;-webkit-box-decoration-break:clone;box-decoration-break:clone}
.good{color:var(--good);background:var(--good-soft)}.bad{color:var(--bad);background:var(--bad-soft)}
.none{color:var(--muted);background:var(--soft)}
.figures{display:flex;flex-wrap:wrap;gap:10px;margin:14px 0}
.figures div{padding:8px 14px;border:1px solid var(--line);border-radius:6px;background:var(--soft)}
dt{color:var(--muted);font-size:12px}dd{margin:0;font-size:19px;font-weight:600}
small,.about,.note{color:var(--muted);font-size:13px;font-weight:400}
table{width:100%;border-collapse:collapse;font-size:14px}
th{padding:6px 8px;border-bottom:2px solid var(--line);color:var(--muted);font-size:12px;text-align:left;vertical-align:bottom}
td{padding:7px 8px;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.layer{text-align:center;white-space:nowrap}.id{white-space:nowrap}
details ul,figcaption ul{margin:4px 0;padding-left:18px;font-size:13px;overflow-wrap:anywhere}
summary{cursor:pointer;font-size:13px;color:var(--link)}code{font:.92em ui-monospace,"DejaVu Sans Mono",monospace}
.way{border-top:1px solid var(--line);padding:6px 0}.way summary{font-size:15px}
figure{margin:12px 0 28px}figcaption{margin-bottom:8px}
svg{display:block;width:100%;height:auto;font-family:inherit}.narrow{display:none}
svg.sequence.wide{max-width:800px}svg.growth.wide{max-width:820px}
.life{stroke:var(--line);stroke-width:1.2;stroke-dasharray:3 3}.head{fill:var(--soft);stroke:var(--muted)}
.lane{font-size:12px;font-weight:600;text-anchor:middle;fill:var(--ink)}
.state{font:9.5px ui-monospace,"DejaVu Sans Mono",monospace;fill:var(--muted)}
.label{font-size:12px;text-anchor:middle;fill:var(--ink)}
.label,.state,.mark{paint-order:stroke;stroke:var(--page);stroke-width:3px;stroke-linejoin:round}
.arrow{fill:none;stroke:var(--arrow);stroke-width:1.6}.point{fill:var(--arrow)}
.arrow.reply{stroke:var(--muted);stroke-dasharray:5 4}.point.reply{fill:var(--muted)}
.label.reply{fill:var(--muted);font-style:italic}
.arrow.fault,.arrow.cross{stroke:var(--bad)}.arrow.cross{stroke-width:2.4}.band{fill:var(--bad-soft)}
.label.fault{fill:var(--bad);font-weight:600;stroke:var(--bad-soft)}
.broken{fill:var(--bad-soft);stroke:var(--bad);stroke-width:1.5}
.label.verdict{text-anchor:start;text-transform:none;fill:var(--bad);stroke:none}
.grid{stroke:var(--line);stroke-width:.7}.tick,.axis{font-size:11px;fill:var(--muted)}
.series{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.mark{font-size:11px;font-weight:700;fill:var(--ink)}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1);stroke-dasharray:7 4}.s2{stroke:var(--s2);stroke-dasharray:2 4}
.s3{stroke:var(--s3);stroke-dasharray:9 4 2 4}.s4{stroke:var(--s4)}.s5{stroke:var(--s5);stroke-dasharray:7 4}
.s6{stroke:var(--s6);stroke-dasharray:2 4}.s7{stroke:var(--s7);stroke-dasharray:9 4 2 4}
.peak{fill:var(--page);stroke-width:2;stroke-dasharray:none}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;list-style:none;padding:0;font-size:13px}
.swatch{display:inline-block;width:28px;height:8px;margin-right:6px}
@media screen and (max-width:700px){body{padding:10px 12px 32px}.wide{display:none}.narrow{display:block}
thead{display:none}table,tbody,tr,td{display:block}
tr{padding:8px 0;border-bottom:1px solid var(--line)}td,td.number,td.layer{padding:2px 0;border:0;text-align:left;white-space:normal}
td:empty{display:none}td[data-label]::before{content:attr(data-label) ": ";color:var(--muted);font-size:12px}}
@media print{body{max-width:none;padding:0;font-size:11px}table{font-size:10px}nav{display:none}
tr,figcaption,.figures div{break-inside:avoid}h2,h3,figcaption{break-after:avoid}
svg.sequence{max-height:240mm;break-inside:avoid}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"#;

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
        assert!(Status::of(&ClauseResult::default()) == Status::Unverified);
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
