//! The page's tables: systems, seeded bugs, clauses.
//!
//! Guarantees: a row for everything that ran; nothing that failed is left out. Refuses to know: the
//! rest of the page.

use maud::{Markup, html};

use super::super::results::{BugResult, ClauseResult, PropertyKind, PropertyResult, SystemResult, Tone, layers};
use super::super::terminal::rate;
use super::super::text::grouped;
use super::mark;

pub(super) fn systems(systems: &[SystemResult]) -> Markup {
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
                            th class="number" title="unique states a second" { "States/s" } th { "Verdict" }
                        }
                    }
                    tbody { @for system in systems { (system_row(system)) } }
                }
            }
        }
    }
}

fn system_row(system: &SystemResult) -> Markup {
    let rate = if system.seconds > 0.0 {
        grouped(rate(system.unique_states, system.seconds))
    } else {
        String::new()
    };
    let rules = system.properties.iter();
    let rules = rules.filter(|property| property.kind == PropertyKind::Always).count();
    let witnesses = system.properties.len() - rules;
    html! {
        tr {
            td class="wide-cell" {
                strong { (system.name) }
                div class="about" { (system.about) }
                @if !system.properties.is_empty() {
                    details {
                        summary { (rules) " rules, " (witnesses) " witnesses" }
                        ul { @for property in &system.properties { (property_item(property)) } }
                    }
                }
            }
            td class="number" data-label="unique" { (grouped(system.unique_states)) }
            td class="number" data-label="generated" { (grouped(system.generated_states)) }
            td class="number" data-label="depth" { (system.max_depth) }
            td class="number" data-label="seconds" { (format_args!("{:.2}", system.seconds)) }
            td class="number" data-label="states/s" { (rate) }
            td data-label="verdict" { (mark(system.verdict.tone(), &system.verdict.to_string())) }
        }
    }
}

fn property_item(property: &PropertyResult) -> Markup {
    let word = mark(property.tone(), property.verdict.word());
    html! { li { (property.kind.word()) " " (property.id) ": " (word) } }
}

pub(super) fn bugs(bugs: &[BugResult]) -> Markup {
    let layers = layers(bugs);
    html! {
        section id="bugs" {
            h2 { "Seeded bugs" }
            @if bugs.is_empty() {
                p { "No seeded bug was hunted." }
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

pub(super) fn bug_row(index: usize, bug: &BugResult, layers: &[&str]) -> Markup {
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
                        (caught(*is_caught, "survived"))
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
            (caught(bug.is_caught, "SURVIVED"))
        } @else {
            @if !bug.is_caught { (mark(Tone::Bad, "UNRELATED")) " " }
            (bug.caught_by.join("; "))
            @if let Some(system) = &bug.system { span class="about" { " in " (system) } }
        }
    }
}

fn caught(is_caught: bool, otherwise: &str) -> Markup {
    if is_caught {
        mark(Tone::Good, "caught")
    } else {
        mark(Tone::Bad, otherwise)
    }
}

pub(super) fn clauses(clauses: &[ClauseResult]) -> Markup {
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
            td data-label="status" { (mark(clause.status.tone(), &clause.status.to_string())) }
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
