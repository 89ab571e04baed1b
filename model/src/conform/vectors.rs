//! The scenarios as static files, for those who want no runner: each step with every right answer
//! and what stands in the data directory after it.
//!
//! Guarantees: made by the same oracle that judges a receiver; a manifest has the hash of each file,
//! so that a changed vector is noticed. Refuses to know: receivers.
//!
//! Where a step has several right answers, the steps after it go on from the first: a receiver that
//! gave another is done with that scenario.
//!
//! Steps that only a runner can take (size limits, small file systems, single failing calls, kills
//! inside a step) are left out with their scenarios; so are scenarios of very many steps.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blame::envelope;
use super::oracle::{Alternative, Expected, Oracle};
use super::results::hidden;
use super::scenario::{Scenario, Step, Thing};
use super::talk::About;
use super::tree::{Node, Tree};
use crate::clauses::CLAUSES;

/// What a file of vectors looks like.
pub const SCHEMA: &str = include_str!("schema.json");

/// Scenarios of more steps are for a runner.
const STEPS_MAX: usize = 100;

/// The limits that the vectors are made for.
#[must_use]
pub fn about() -> About {
    let features = ["abort", "multi", "restart", "stale", "lock"];
    About {
        features: features.map(str::to_owned).to_vec(),
        chunk_bytes_max: Some(1 << 17),
        snapshot_bytes_max: Some(1 << 40),
        transfers_max: Some(3),
        ..About::default()
    }
}

/// The files: a name and a text each, the manifest last.
#[must_use]
pub fn files(scenarios: &[Scenario]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for clause in CLAUSES {
        let of_clause = scenarios.iter().filter(|scenario| scenario.clause == clause.id);
        let vectors: Vec<Value> = of_clause.filter_map(vector).collect();
        // Who follows the vectors sees no more than a door does.
        if vectors.is_empty() || hidden(clause.id) != hidden("") {
            continue;
        }
        let about = about();
        let head = json!({
            "version": 1,
            "clause": clause.id,
            "level": clause.level.word(),
            "text": clause.text,
            "limits": {
                "chunk_bytes_max": about.chunk_bytes_max,
                "snapshot_bytes_max": about.snapshot_bytes_max,
                "transfers_max": about.transfers_max,
            },
        });
        // A scenario a line: readable, and a changed one is one changed line.
        let head = head.to_string();
        let lines: Vec<String> = vectors.iter().map(Value::to_string).collect();
        let (head, lines) = (head.trim_end_matches('}'), lines.join(",\n"));
        files.push((
            format!("{}.json", clause.id),
            format!("{head},\"scenarios\":[\n{lines}\n]}}\n"),
        ));
    }
    files.push(("schema.json".to_owned(), SCHEMA.to_owned()));
    let hashes: BTreeMap<&str, String> = files.iter().map(|(name, text)| (name.as_str(), hash(text))).collect();
    let manifest = json!({ "version": 1, "hash": "sha256", "files": hashes });
    files.push(("manifest.json".to_owned(), format!("{manifest:#}\n")));
    files
}

/// SHA-256, in hexadecimal digits.
#[must_use]
pub fn hash(content: impl AsRef<[u8]>) -> String {
    use sha2::Digest;
    let bytes = sha2::Sha256::digest(content.as_ref());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A scenario with what must come of each step; `None` where only a runner can take it.
fn vector(scenario: &Scenario) -> Option<Value> {
    if scenario.unrolled().len() > STEPS_MAX {
        return None;
    }
    let mut tree = Tree::default();
    tree.put("bystander", Node::file("bystander: not to be touched"));
    tree.put("around/bystander", Node::file("around/bystander: not to be touched"));
    let mut oracle = Oracle::new(&about(), tree);
    let mut steps = Vec::new();
    for (_, n, step) in scenario.unrolled() {
        let mut step = step.clone();
        if let Step::Chunk { envelope } = &mut step {
            *envelope = envelope.filled(n, "{scratch}");
        }
        let alternatives = taken(&mut oracle, &step)?;
        let accepted: Vec<Value> = alternatives
            .iter()
            .filter(|right| right.void.is_none())
            .map(accepted)
            .collect();
        if let Some(first) = alternatives.into_iter().next() {
            oracle.follow(first);
        }
        if let Step::Open { data_dir } = &step {
            let opened = accepted.iter().any(|right| right["reply"]["reply"] == "opened");
            oracle.data_dir = opened.then(|| data_dir.clone());
        } else if matches!(step, Step::Close | Step::Kill) {
            oracle.data_dir = None;
        }
        steps.push(json!({ "step": serde_json::to_value(&step).ok()?, "accepted": accepted }));
    }
    Some(json!({ "name": scenario.name, "about": scenario.about, "steps": steps }))
}

fn taken(oracle: &mut Oracle, step: &Step) -> Option<Vec<Alternative>> {
    Some(match step {
        Step::Open { data_dir } => oracle.opening(data_dir),
        Step::SecondOpen => oracle.second_open(),
        Step::Chunk { .. } => oracle.chunk(envelope(step)?),
        Step::Abort { database: None } => oracle.abort_all(),
        Step::Abort { database: Some(id) } => oracle.abort(id),
        Step::Close => oracle.close(),
        Step::Kill => oracle.kill(),
        Step::Malformed { .. } => oracle.malformed(),
        Step::Place { path, what } => {
            oracle.outsider(path);
            let node = match what {
                Thing::File(text) => Node::file(text.as_bytes()),
                Thing::Link(target) => Node::Link(target.clone()),
                Thing::HardLink(target) => oracle.tree.at(target)?.clone(),
                Thing::Directory => Node::Directory,
                Thing::Pipe => Node::Special,
            };
            oracle.tree.put(path, node);
            Vec::new()
        }
        Step::TakeAway { path } => {
            oracle.outsider(path);
            oracle.tree.take_away(path);
            Vec::new()
        }
        Step::KillDuring { .. }
        | Step::FileSizeLimit { .. }
        | Step::SmallDisk { .. }
        | Step::FailNext { .. }
        | Step::Expire
        | Step::Repeat { .. } => return None,
    })
}

fn accepted(right: &Alternative) -> Value {
    let files: BTreeMap<&String, Value> = right
        .tree
        .nodes
        .iter()
        .filter(|(path, node)| **node != Node::Directory && !right.open.contains(*path) && !is_bystander(path, node))
        .map(|(path, node)| (path, stands(node)))
        .collect();
    json!({
        "reply": reply(&right.expected),
        "files": files,
        "not_compared": right.open,
        "should": right.complaint.map(|(clause, message)| format!("{clause}: {message}")),
    })
}

/// Longest content that is written out.
const CONTENT_BYTES_MAX: usize = 512;

/// What stands there, exactly: content, or length and hash where it is long.
fn stands(node: &Node) -> Value {
    use base64::Engine;
    match node {
        Node::File(bytes) if bytes.len() <= CONTENT_BYTES_MAX => {
            json!({ "file": base64::engine::general_purpose::STANDARD.encode(bytes.as_slice()) })
        }
        Node::File(bytes) => json!({ "bytes": bytes.len(), "sha256": hash(bytes.as_slice()) }),
        Node::Huge(bytes) => json!({ "bytes": bytes }),
        Node::Link(target) => json!({ "link": target }),
        Node::Directory => json!({ "directory": true }),
        Node::Special => json!({ "special": true }),
    }
}

/// A file that stands around every data directory, and is as it was.
fn is_bystander(path: &str, node: &Node) -> bool {
    path.ends_with("bystander") && *node == Node::file(format!("{path}: not to be touched"))
}

fn reply(expected: &Expected) -> Value {
    match expected {
        Expected::Opened => json!({ "reply": "opened" }),
        Expected::Pending(bytes) => json!({ "reply": "pending", "bytes_done": super::scenario::number::write(*bytes) }),
        Expected::Committed { lsn, path } => {
            json!({ "reply": "committed", "snapshot_lsn": super::scenario::number::write(*lsn), "path": path })
        }
        Expected::Rejected { reason, values, resume } => json!({
            "reply": "rejected",
            "reason": reason,
            "expected": values.map(|(expected, _)| super::scenario::number::write(expected)),
            "actual": values.map(|(_, actual)| super::scenario::number::write(actual)),
            "resume_offset": super::scenario::number::write(*resume),
        }),
        Expected::Failed { operations, kind } => json!({ "reply": "failed", "operations": operations, "kind": kind }),
        Expected::Aborted => json!({ "reply": "aborted" }),
        Expected::Closed => json!({ "reply": "closed" }),
        Expected::Errored => json!({ "reply": "errored" }),
        Expected::Nothing => Value::Null,
    }
}
