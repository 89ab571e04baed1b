//! The page's drawings: how state spaces grow, and the ways to broken rules.
//!
//! Guarantees: each drawing comes with its words. Refuses to know: how it is drawn.

use maud::{Markup, html};

use super::super::results::{Diagram, Results, SystemResult};
use super::super::svg::{self, Width};
use super::super::text::grouped;

pub(super) fn growth(systems: &[SystemResult]) -> Markup {
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

pub(super) fn counterexamples(results: &Results) -> Markup {
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
