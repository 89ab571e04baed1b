//! Results for people: a terminal, and the summary of a CI job.
//!
//! Guarantees: what is shown is what was measured; an unreached witness and a changed count are
//! shown as failures, not left out. Refuses to know: how results come about.

use std::fmt::Write;

use super::results::{BugResult, Diagram, Lane, Results, SystemResult};
pub use super::text::grouped;

/// The systems' table.
#[must_use]
pub fn table(systems: &[SystemResult]) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "{:<26} {:>13} {:>13} {:>6} {:>8} {:>9}  verdict",
            "system", "unique states", "generated", "depth", "seconds", "states/s"
        ),
    );
    for system in systems {
        line(
            &mut text,
            format_args!(
                "{:<26} {:>13} {:>13} {:>6} {:>8.2} {:>9}  {}",
                system.name,
                grouped(system.unique_states),
                grouped(system.generated_states),
                system.max_depth,
                system.seconds,
                grouped(rate(system.unique_states, system.seconds)),
                system.verdict
            ),
        );
    }
    text
}

/// States per second; 0 where no time was measured.
#[must_use]
pub fn rate(states: usize, seconds: f64) -> usize {
    if seconds <= 0.0 {
        return 0;
    }
    let millis = std::time::Duration::from_secs_f64(seconds).as_millis().max(1);
    usize::try_from(states as u128 * 1000 / millis).unwrap_or(usize::MAX)
}

/// The heading of the table of seeded bugs.
pub const BUGS_HEADING: &str =
    "bug                          breaks                 incident  steps  system                    caught by";

/// One line of the table of seeded bugs.
#[must_use]
pub fn bug(bug: &BugResult) -> String {
    let (clauses, incidents) = (bug.clauses.join(" "), bug.incidents.join(" "));
    let steps = bug.steps.map(|steps| steps.to_string()).unwrap_or_default();
    let system = bug.system.as_deref().unwrap_or_default();
    let caught_by = if bug.is_caught {
        bug.caught_by.first().map_or("", String::as_str)
    } else {
        "SURVIVED"
    };
    format!(
        "{:<28} {clauses:<22} {incidents:<9} {steps:>5}  {system:<24}  {caught_by}",
        bug.id
    )
}

/// A summary in Markdown.
#[must_use]
pub fn markdown(results: &Results) -> String {
    let mut text = format!("## Gate ({}): {}\n\n", results.profile, results.verdict.word());
    if !results.systems.is_empty() {
        text.push_str("| system | unique states | depth | seconds | verdict |\n|---|---:|---:|---:|---|\n");
    }
    for system in &results.systems {
        let states = grouped(system.unique_states);
        line(
            &mut text,
            format_args!(
                "| {} | {states} | {} | {:.2} | {} |",
                system.name, system.max_depth, system.seconds, system.verdict
            ),
        );
    }
    if !results.bugs.is_empty() {
        text.push_str("\n| seeded bug | breaks | incident | steps | caught by |\n|---|---|---|---:|---|\n");
    }
    for bug in &results.bugs {
        let steps = bug.steps.map(|steps| steps.to_string()).unwrap_or_default();
        let caught_by = if bug.is_caught {
            bug.caught_by.join("; ")
        } else {
            "**SURVIVED**".to_owned()
        };
        line(
            &mut text,
            format_args!(
                "| {} | {} | {} | {steps} | {caught_by} |",
                bug.id,
                bug.clauses.join(" "),
                bug.incidents.join(" ")
            ),
        );
    }
    let diagrams = results
        .systems
        .iter()
        .filter_map(|system| system.counterexample.as_ref());
    for diagram in diagrams {
        line(
            &mut text,
            format_args!("\n```mermaid\n{}```", super::mermaid::sequence_diagram(diagram)),
        );
    }
    text
}

/// A counterexample, step by step, in lanes.
#[must_use]
pub fn counterexample(diagram: &Diagram) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("{}", diagram.title));
    for snapshot in &diagram.legend {
        line(&mut text, format_args!("  {snapshot}"));
    }
    for rule in &diagram.broken {
        line(&mut text, format_args!("broken: {rule}"));
    }
    line(
        &mut text,
        format_args!("the shortest way there, {} steps:", diagram.steps.len()),
    );
    let mut heading = String::from("     ");
    for lane in Lane::ALL {
        let _written = write!(heading, "  {:<10}", lane.name());
    }
    line(&mut text, format_args!("{}", heading.trim_end()));
    for (number, step) in diagram.steps.iter().enumerate() {
        for state in &step.before {
            line(&mut text, format_args!("       {state}"));
        }
        let arrow = arrow(step.from, step.to, step.is_fault);
        line(&mut text, format_args!("{:>4}.  {arrow}  {}", number + 1, step.label));
        if let Some(reply) = &step.reply {
            line(&mut text, format_args!("       answered: {reply}"));
        }
    }
    for state in &diagram.end {
        line(&mut text, format_args!("       {state}"));
    }
    text
}

/// The lanes as columns of 12, with an arrow from one to the other.
fn arrow(from: Lane, to: Lane, is_fault: bool) -> String {
    const WIDTH: usize = 12;
    let place = |lane: Lane| Lane::ALL.iter().position(|other| *other == lane).unwrap_or_default() * WIDTH;
    let (start, end) = (place(from).min(place(to)), place(from).max(place(to)));
    let (line, tip) = if is_fault { ('~', 'X') } else { ('-', '>') };
    let mut cells: Vec<char> = " ".repeat(WIDTH * (Lane::ALL.len() - 1) + 1).chars().collect();
    for lane in Lane::ALL {
        cells[place(lane)] = '|';
    }
    if start == end {
        cells[start] = if is_fault { 'X' } else { '*' };
    } else {
        cells[start + 1..end].fill(line);
        cells[end - 1] = tip;
    }
    cells.into_iter().collect()
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = writeln!(text, "{arguments}");
}
