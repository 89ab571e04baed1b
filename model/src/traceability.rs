//! From a clause to its code, rules, tests and seeded bugs.
//!
//! Guarantees: derived from the clauses, the rules and the bugs; nothing is listed a second time.
//! Refuses to know: whether a test passes; the tests say that.

use std::fmt::Write;

use snapshot_receiver::protocol::Crc32c;

use crate::bugs::claims;
use crate::bugs::layers::LAYERS;
use crate::clauses::{CLAUSES, Clause};
use crate::properties::{rules, states};

/// What checks one clause.
#[derive(Debug)]
pub struct Trace {
    /// The clause.
    pub clause: &'static Clause,
    /// The rules of the model that state it.
    pub rules: Vec<&'static str>,
    /// The seeded bugs that break it.
    pub bugs: Vec<String>,
}

/// Where a clause stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A check states it, and a seeded bug that breaks it is caught.
    Verified,
    /// A check that the compiler makes: code that breaks it does not build, and a control does.
    Compiled,
    /// Checked, but no bug is seeded yet: only that layer can.
    Pending(&'static str),
    /// Nothing shows that a check of it can fail.
    Unverified,
}

impl Trace {
    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.is_unchecked() {
            return Standing::Unverified;
        }
        match (self.bugs.is_empty(), layer(self.clause.id)) {
            (false, _) => Standing::Verified,
            (true, Some("compiler")) => Standing::Compiled,
            (true, Some(layer)) => Standing::Pending(layer),
            (true, None) => Standing::Unverified,
        }
    }

    /// The same as reports have it.
    #[must_use]
    pub fn status(&self) -> String {
        match self.standing() {
            Standing::Verified => "verified".to_owned(),
            Standing::Compiled => "verified by the compiler".to_owned(),
            Standing::Pending(layer) => format!("pending: {layer}"),
            Standing::Unverified => "unverified".to_owned(),
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
        "SR-SEC-003" => Some("decoder"),
        "SR-CRC-004" => Some("compiler"),
        // The model takes one event of a database at a time.
        "SR-ABT-004" | "SR-CON-002" | "SR-CON-004" | "SR-REC-004" | "SR-PRG-003" => Some("shell"),
        // Ids of the model are numbers; it has no lock and no paths.
        "SR-ADM-001" | "SR-REC-002" | "SR-SEC-001" | "SR-SEC-004" => Some("real files"),
        _ => None,
    }
}

/// Every clause with what checks it.
#[must_use]
pub fn traces() -> Vec<Trace> {
    let rules = rules::<Crc32c>();
    let mut bugs = claims();
    bugs.extend(LAYERS.iter().flat_map(|layer| layer.claims));
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
            // A bug that two layers seed has one name.
            .fold(Vec::new(), |mut names, name| {
                if !names.contains(&name) {
                    names.push(name);
                }
                names
            }),
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
pub fn listing() -> String {
    let mut text = String::new();
    for trace in traces() {
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
        put(&mut text, format_args!("    {}\n", trace.status()));
    }
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = text.write_fmt(arguments);
}
