//! Which clause a wrong answer to an opening breaks.
//!
//! Guarantees: what became of the directory that was closed for this one is not blamed on the opening.
//! Refuses to know: as `blame`.

use super::Case;
use crate::conform::scenario::{DATA, Step};
use crate::conform::talk::Reply;
use crate::conform::tree::Node;

/// An opening was refused, as it had to be, and told as another operation.
pub(super) fn refused_otherwise(case: &Case<'_>, operation: &str) -> Option<&'static str> {
    match (case.step, operation) {
        // It swept before it had the lock.
        (Step::SecondOpen, "remove") => Some("SR-REC-001"),
        (Step::SecondOpen, _) => Some("SR-REC-002"),
        // That is what became of the directory that was closed for this one.
        (Step::Open { .. }, "remove") => Some("SR-REC-004"),
        (Step::Open { .. }, _) => Some("SR-PUB-005"),
        _ => None,
    }
}

/// The directory that the step opens.
fn opened_directory<'a>(case: &Case<'a>) -> &'a str {
    match case.step {
        Step::Open { data_dir } => data_dir,
        _ => DATA,
    }
}

/// Whether a path is a partial's in this data directory.
fn is_partial_of(data_dir: &str, path: &str) -> bool {
    let name = path
        .strip_prefix(data_dir)
        .and_then(|rest| rest.strip_prefix("/recv_snapshots/"));
    name.is_some_and(|name| name.ends_with(".partial"))
}

/// Nothing had to refuse this opening.
pub(super) fn refused_wrongly(case: &Case<'_>) -> Vec<&'static str> {
    let data_dir = opened_directory(case);
    let is_stuck = |node: &Node| matches!(node, Node::Directory | Node::Special);
    let partials = || case.before.nodes.iter().filter(|(path, _)| path.ends_with(".partial"));
    let here = || partials().filter(|(path, _)| is_partial_of(data_dir, path));
    let operation = match case.reply {
        Some(Reply::Failed { operation, .. }) => operation.as_str(),
        _ => "",
    };
    if operation == "lock" {
        // Nobody has it open: what was closed, or killed, still holds its lock.
        vec!["SR-REC-004", "SR-REC-002"]
    } else if here().any(|(_, node)| is_stuck(node)) {
        vec!["SR-REC-003"]
    } else if partials().any(|(_, node)| is_stuck(node)) || operation == "remove" && here().next().is_none() {
        // What could not be removed stands where another directory was closed for this one, in this
        // scenario or in one before it.
        vec!["SR-REC-004"]
    } else if case.before.at(data_dir).is_none() {
        vec!["SR-PUB-005"]
    } else {
        vec!["SR-REC-001"]
    }
}

/// It had to be refused: a level above is missing, or something else stands in a directory's place.
pub(super) fn not_refused(case: &Case<'_>) -> &'static str {
    if case.before.at(opened_directory(case)).is_none() {
        "SR-PUB-005"
    } else {
        "SR-SEC-002"
    }
}

/// Whether a path is of an orphan's name in the directory that is opened.
pub(super) fn is_orphan(case: &Case<'_>, path: &str) -> bool {
    is_partial_of(opened_directory(case), path)
}
