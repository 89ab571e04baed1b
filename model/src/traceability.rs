//! From a clause to its code, rules, tests and seeded bugs.
//!
//! Guarantees: derived from the clauses, the rules, the bugs and the results of other layers; nothing
//! is listed a second time. Refuses to know: whether a test passes; the tests say that.

use std::fmt::Write;

use snapshot_receiver::protocol::Crc32c;

use crate::bugs::claims;
use crate::clauses::{CLAUSES, Clause};
use crate::layers::{DECODER, FILES, Layers, SHELL};
use crate::properties::{rules, states};
pub use crate::report::results::Standing;

/// What checks one clause.
#[derive(Debug)]
pub struct Trace {
    /// The clause.
    pub clause: &'static Clause,
    /// The rules of the model that state it.
    pub rules: Vec<&'static str>,
    /// The bugs seeded in the model that break it.
    pub bugs: Vec<String>,
    /// The bugs seeded in other layers that break it, as far as there are results.
    pub elsewhere: Vec<Elsewhere>,
}

/// A bug that another layer seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its name.
    pub bug: String,
    /// The layer.
    pub layer: String,
    /// Whether it was caught there.
    pub is_caught: bool,
}

impl Trace {
    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.is_unchecked() {
            return Standing::Unverified;
        }
        if let Some(survived) = self.elsewhere.iter().find(|bug| !bug.is_caught) {
            return Standing::Survived(survived.layer.clone());
        }
        match (self.bugs.is_empty(), self.elsewhere.first(), layer(self.clause.id)) {
            (false, _, _) => Standing::Verified,
            (true, Some(bug), _) => Standing::VerifiedBy(format!("layer {}", bug.layer)),
            (true, None, Some("compiler")) => Standing::VerifiedBy("the compiler".to_owned()),
            (true, None, Some(layer)) => Standing::Pending(layer.to_owned()),
            (true, None, None) => Standing::Unverified,
        }
    }

    /// Whether nothing checks it.
    #[must_use]
    pub fn is_unchecked(&self) -> bool {
        self.rules.is_empty() && self.clause.tests.is_empty()
    }
}

/// The layer that alone can seed a bug against a clause, where the model cannot express it.
fn layer(clause: &str) -> Option<&'static str> {
    match clause {
        "SR-SEC-003" => Some(DECODER.name),
        "SR-CRC-004" => Some("compiler"),
        // The model takes one event of a database at a time.
        "SR-ABT-004" | "SR-CON-002" | "SR-CON-004" | "SR-REC-004" | "SR-PRG-003" => Some(SHELL.name),
        // Ids of the model are numbers; it has no lock and no paths.
        "SR-ADM-001" | "SR-REC-002" | "SR-SEC-001" | "SR-SEC-004" => Some(FILES.name),
        _ => None,
    }
}

/// Every clause with what checks it, as far as the model knows.
#[must_use]
pub fn traces() -> Vec<Trace> {
    traces_with(&Layers::default())
}

/// Every clause with what checks it, here and in the layers that have results.
#[must_use]
pub fn traces_with(layers: &Layers) -> Vec<Trace> {
    let rules = rules::<Crc32c>();
    let bugs = claims();
    let of = |clause: &'static Clause| Trace {
        rules: rules
            .iter()
            .map(|rule| rule.name)
            .filter(|name| states(name, clause.id))
            .collect(),
        bugs: bugs
            .iter()
            .filter(|claim| claim.clauses.contains(&clause.id))
            .map(|claim| claim.name.to_owned())
            .collect(),
        elsewhere: layers
            .bugs()
            .filter(|(_, bug)| bug.clauses.iter().any(|id| id == clause.id))
            .map(|(layer, bug)| Elsewhere {
                bug: bug.id.clone(),
                layer: layer.to_owned(),
                is_caught: bug.is_caught,
            })
            .collect(),
        clause,
    };
    CLAUSES.iter().map(of).collect()
}

/// The clauses in prose, for SPEC.md.
#[must_use]
pub fn prose() -> String {
    let mut text = String::new();
    for clause in CLAUSES {
        put(
            &mut text,
            format_args!("- **{}** {}. {}\n", clause.id, clause.level.word(), clause.text),
        );
    }
    text
}

/// The clauses' table, for SPEC.md.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| clause | kept by | model rule | tests | seeded bugs |\n|---|---|---|---|---|\n");
    for trace in traces() {
        let listed = |items: &[&str]| {
            items
                .iter()
                .map(|item| format!("`{item}`"))
                .collect::<Vec<_>>()
                .join("<br>")
        };
        let rule = if trace.rules.is_empty() { "" } else { "yes" };
        let clause = trace.clause;
        let bugs = trace.bugs.join(", ");
        put(
            &mut text,
            format_args!(
                "| {} | {} | {rule} | {} | {bugs} |\n",
                clause.id,
                listed(clause.code),
                listed(clause.tests)
            ),
        );
    }
    text
}

/// The clauses with all that checks them, for a terminal.
#[must_use]
pub fn listing(traces: &[Trace]) -> String {
    let mut text = String::new();
    for trace in traces {
        let clause = trace.clause;
        put(
            &mut text,
            format_args!("{} {}  {}\n", clause.id, clause.level.word(), clause.text),
        );
        for rule in &trace.rules {
            put(&mut text, format_args!("    rule  {rule}\n"));
        }
        for test in clause.tests {
            put(&mut text, format_args!("    test  {test}\n"));
        }
        for bug in &trace.bugs {
            put(&mut text, format_args!("    bug   {bug}\n"));
        }
        for Elsewhere { bug, layer, is_caught } in &trace.elsewhere {
            let survived = if *is_caught { "" } else { " SURVIVED" };
            put(&mut text, format_args!("    bug   {bug} (layer {layer}){survived}\n"));
        }
        put(&mut text, format_args!("    {}\n", trace.standing()));
    }
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = text.write_fmt(arguments);
}
