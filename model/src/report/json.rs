//! Results for programs and for the summary of a CI job.
//!
//! Guarantees: the same results as on the terminal; the keys of the JSON are stable. Refuses to
//! know: where the files go.
//!
//! The JSON has `verdict` (`pass` or `fail`), `profile`, `seconds`, `systems[]` with `name`,
//! `unique_states`, `generated_states`, `max_depth`, `seconds` and `properties[]` of `id`, `kind`
//! (`always` or `sometimes`) and `verdict` (`holds`, `violated`, `reached`, `unreached`); `bugs[]` with
//! `id`, `clauses[]`, `incident`, `caught_by[]` and `steps`; `clauses[]` with `id`, `level`, `checks[]`
//! and `bugs[]`.

use std::fmt::Write;

use serde_json::{Value, json};
use snapshot_receiver::protocol::Digest;

use crate::bugs;
use crate::check::Outcome;
use crate::properties::{Witness, rules};
use crate::report;
use crate::traceability::traces;

/// What a run of the gate gave.
#[derive(Debug)]
pub struct Run<'a, D: Digest> {
    /// The systems checked.
    pub outcomes: &'a [Outcome<D>],
    /// The bugs seeded.
    pub bugs: &'a [bugs::Verdict],
    /// Wall time of all.
    pub seconds: f64,
}

impl<D: Digest> Run<'_, D> {
    /// Whether everything held, and every bug was caught.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(Outcome::passed) && self.bugs.iter().all(bugs::Verdict::is_caught)
    }

    fn word(&self) -> &'static str {
        if self.passed() { "pass" } else { "fail" }
    }

    /// The JSON report.
    #[must_use]
    pub fn json(&self) -> String {
        let value = json!({
            "verdict": self.word(),
            "profile": "quick",
            "seconds": self.seconds,
            "systems": self.outcomes.iter().map(system).collect::<Vec<_>>(),
            "bugs": self.bugs.iter().map(bug).collect::<Vec<_>>(),
            "clauses": clauses(),
        });
        format!("{value:#}\n")
    }

    /// A summary in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("## Gate: {}\n\n", self.word());
        if !self.outcomes.is_empty() {
            text.push_str("| system | unique states | depth | seconds | verdict |\n|---|---:|---:|---:|---|\n");
        }
        for outcome in self.outcomes {
            let states = report::grouped(outcome.unique_states);
            let (name, depth, seconds) = (outcome.system.name, outcome.max_depth, outcome.seconds);
            let verdict = report::verdict(outcome);
            // Writing to a string does not fail.
            let _written = writeln!(text, "| {name} | {states} | {depth} | {seconds:.2} | {verdict} |");
        }
        if !self.bugs.is_empty() {
            text.push_str("\n| seeded bug | breaks | steps | caught by |\n|---|---|---:|---|\n");
        }
        for verdict in self.bugs {
            let (steps, rules) = match &verdict.caught {
                Some(caught) => (caught.steps.to_string(), caught.rules.join("; ")),
                None => (String::new(), "SURVIVED".to_owned()),
            };
            let _written = writeln!(text, "| {} | {} | {steps} | {rules} |", verdict.bug, verdict.clause);
        }
        text
    }
}

fn system<D: Digest>(outcome: &Outcome<D>) -> Value {
    let always = rules::<D>().into_iter().map(|rule| {
        let violated = outcome.violated.contains(&rule.name);
        let verdict = if violated { "violated" } else { "holds" };
        json!({ "id": rule.name, "kind": "always", "verdict": verdict })
    });
    let sometimes = Witness::ALL.into_iter().map(|witness| {
        let reached = outcome.witnesses.contains(&witness);
        let verdict = if reached { "reached" } else { "unreached" };
        json!({ "id": format!("{witness:?}"), "kind": "sometimes", "verdict": verdict })
    });
    json!({
        "name": outcome.system.name,
        "unique_states": outcome.unique_states,
        "generated_states": outcome.generated_states,
        "max_depth": outcome.max_depth,
        "seconds": outcome.seconds,
        "properties": always.chain(sometimes).collect::<Vec<_>>(),
    })
}

fn bug(verdict: &bugs::Verdict) -> Value {
    let caught = verdict.caught.as_ref();
    json!({
        "id": verdict.bug,
        "clauses": [verdict.clause],
        "incident": Value::Null,
        "caught_by": caught.map_or(Vec::new(), |caught| caught.rules.clone()),
        "steps": caught.map(|caught| caught.steps),
    })
}

fn clauses() -> Vec<Value> {
    let clause = |trace: crate::traceability::Trace| {
        let checks = trace
            .rules
            .iter()
            .chain(trace.clause.tests)
            .copied()
            .collect::<Vec<_>>();
        json!({
            "id": trace.clause.id,
            "level": trace.clause.level.word(),
            "checks": checks,
            "bugs": trace.bugs,
        })
    };
    traces().into_iter().map(clause).collect()
}
