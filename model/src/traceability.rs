//! From a clause to its code, rules, tests and seeded bugs.
//!
//! Guarantees: derived from the clauses, the rules and the bugs; nothing is listed a second time.
//! Refuses to know: whether a test passes; the tests say that.

use std::fmt::Write;

use snapshot_receiver::protocol::Crc32c;

use crate::bugs::claims;
use crate::clauses::{CLAUSES, Clause};
use crate::properties::rules;

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

impl Trace {
    /// Whether nothing checks it.
    #[must_use]
    pub fn is_unchecked(&self) -> bool {
        self.rules.is_empty() && self.clause.tests.is_empty()
    }
}

/// Every clause with what checks it.
#[must_use]
pub fn traces() -> Vec<Trace> {
    let rules = rules::<Crc32c>();
    let bugs = claims();
    let of = |clause: &'static Clause| Trace {
        rules: rules
            .iter()
            .map(|rule| rule.name)
            .filter(|name| name.starts_with(clause.id))
            .collect(),
        bugs: bugs
            .iter()
            .filter(|(_, id)| *id == clause.id)
            .map(|(name, _)| name.clone())
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
        if trace.is_unchecked() {
            put(&mut text, format_args!("    UNCHECKED\n"));
        }
    }
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = text.write_fmt(arguments);
}
