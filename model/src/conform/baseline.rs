//! Known failures, each with a reason: a file that lets a receiver be tested before it is done.
//!
//! Guarantees: an entry without a reason is an error, and so is one whose clause passes or does
//! not exist: a baseline never hides more than it says. Refuses to know: how clauses are tested.

use super::results::{ClauseVerdict, Results};

/// One line of the file: a clause, and why its failure is borne.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The clause.
    pub clause: String,
    /// Why.
    pub reason: String,
}

/// Reads a baseline: `SR-IDN-003 the reason`, one a line; empty lines and lines after `#` are
/// left out.
///
/// # Errors
/// A line without a reason.
pub fn read(text: &str) -> Result<Vec<Known>, String> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let entries = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let entry = |(number, line): (usize, &str)| match line.split_once(char::is_whitespace) {
        Some((clause, reason)) if !reason.trim().is_empty() => Ok(Known {
            clause: clause.to_owned(),
            reason: reason.trim().to_owned(),
        }),
        Some(_) | None => Err(format!("line {number}: {line:?} has no reason")),
    };
    entries.map(entry).collect()
}

/// Marks the known failures, and says what is out of date.
pub fn apply(known: &[Known], results: &mut Results) {
    for Known { clause: id, reason } in known {
        let Some(clause) = results.clauses.iter_mut().find(|clause| clause.id == id) else {
            results.baseline.push(format!("{id} is no clause"));
            continue;
        };
        if !clause.is_listed() {
            results.baseline.push(format!("{id} is no clause that was tested"));
            continue;
        }
        match clause.verdict {
            ClauseVerdict::Fail => clause.known = Some(reason.clone()),
            ClauseVerdict::Pass => results.baseline.push(format!(
                "{id} is known to fail ({reason}), and passes: take it off the list"
            )),
            ClauseVerdict::Unsupported | ClauseVerdict::NotVisible => {}
        }
    }
}
