//! Whether an answer is one of the right ones, and which clause it breaks if not.
//!
//! Guarantees: a difference names at least one clause, the one that the answer breaks by itself
//! before those that history suggests; SHOULD clauses are complaints, not differences. Refuses to
//! know: how a scenario is run.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "which clause a difference breaks: a few cases, then one general rule"
)]

mod opening;

use super::oracle::{Alternative, Ended, Expected, Facts, Known};
use super::scenario::{Envelope, RECEIVE, Step};
use super::talk::Reply;
use super::tree::{Mismatch, Node, Tree};

/// A clause, and what is wrong with it.
pub type Complaint = (&'static str, String);

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The step, with nothing left to fill in.
    pub step: &'a Step,
    /// What was known of its database.
    pub known: &'a Known,
    /// Every right answer.
    pub alternatives: &'a [Alternative],
    /// What was answered; `None` where the receiver was ended before.
    pub reply: Option<&'a Reply>,
    /// What stood where before.
    pub before: &'a Tree,
    /// What stands where now.
    pub after: &'a Tree,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The clauses that it breaks, the likeliest first.
    pub clauses: Vec<&'static str>,
    /// What is wrong.
    pub what: Vec<String>,
    /// What had to be answered.
    pub expected: String,
    /// What was.
    pub actual: String,
}

/// The verdict on one step.
#[derive(Debug)]
pub enum Verdict {
    /// One of the right answers: its number, and which SHOULD clauses it does not keep.
    Right(usize, Vec<Complaint>),
    /// None of them.
    Wrong(Difference),
}

/// Judges one step.
#[must_use]
pub fn judge(case: &Case<'_>) -> Verdict {
    let mut best: Option<(usize, Vec<Complaint>)> = None;
    for (index, alternative) in case.alternatives.iter().enumerate() {
        let Some((wrong, complaints)) = compare(case, alternative) else {
            continue;
        };
        if wrong.is_empty() {
            return Verdict::Right(index, complaints);
        }
        // That a fault had no effect explains an answer only where everything else is right.
        if alternative.void.is_some() {
            continue;
        }
        if best.as_ref().is_none_or(|(_, known)| wrong.len() < known.len()) {
            best = Some((index, wrong));
        }
    }
    let actual = case.reply.map_or("nothing".to_owned(), ToString::to_string);
    let (index, wrong) = best.unwrap_or_else(|| {
        let primary = &case.alternatives[0];
        let what = format!("expected {}, not {actual}", primary.expected);
        let clauses = by_word(case, &primary.expected);
        (0, clauses.into_iter().map(|clause| (clause, what.clone())).collect())
    });
    let mut clauses: Vec<&'static str> = Vec::new();
    let mut what: Vec<String> = Vec::new();
    for (clause, message) in wrong {
        if !clauses.contains(&clause) {
            clauses.push(clause);
        }
        if !what.contains(&message) {
            what.push(message);
        }
    }
    Verdict::Wrong(Difference {
        clauses,
        what,
        expected: case.alternatives[index].expected.to_string(),
        actual,
    })
}

/// `None` where the answer is of another kind; else what is wrong, and what should be better.
fn compare(case: &Case<'_>, alternative: &Alternative) -> Option<(Vec<Complaint>, Vec<Complaint>)> {
    let (mut wrong, mut complaints) = (Vec::new(), Vec::new());
    let Some(reply) = case.reply else {
        // Ended before an answer: only the files count.
        wrong.extend(by_files(case, alternative));
        return Some((wrong, complaints));
    };
    match (&alternative.expected, reply) {
        (Expected::Opened, Reply::Opened { orphans_left }) => {
            let stuck = |(path, node): (&String, &Node)| opening::is_orphan(case, path) && *node == Node::Directory;
            if *orphans_left == Some(0) && alternative.tree.nodes.iter().any(stuck) {
                wrong.push((
                    "SR-REC-003",
                    "a directory of an orphan's name was not counted".to_owned(),
                ));
            }
        }
        (Expected::Pending(bytes), Reply::Pending { bytes_done }) => {
            if *bytes_done != Some(*bytes) {
                wrong.extend(by_bytes_done(case, *bytes, *bytes_done));
            }
        }
        (
            Expected::Committed { lsn, path },
            Reply::Committed {
                snapshot_lsn,
                path: told,
            },
        ) => {
            if *snapshot_lsn != Some(*lsn) {
                wrong.push(("SR-OFF-005", format!("committed must carry LSN {lsn}")));
            }
            let told = told.as_deref().unwrap_or_default();
            if told.strip_prefix("./").unwrap_or(told) != path {
                wrong.push((
                    "SR-OFF-005",
                    format!("`path` of committed must be {path:?}, relative to the data directory, not {told:?}"),
                ));
            }
            wrong.extend(by_inode(case));
        }
        (Expected::Rejected { reason, values, resume }, reply @ Reply::Rejected { .. }) => {
            complaints.extend(by_reason(reason, *values, *resume, reply));
        }
        (Expected::Failed { operations, kind }, Reply::Failed { operation, kind: told }) => {
            if !operations.is_empty() && !operations.contains(&operation.as_str()) {
                // An opening that fails with another word is still refused.
                let clause = opening::refused_otherwise(case, operation).unwrap_or("SR-ERR-001");
                wrong.push((
                    clause,
                    format!("the operation is {}, not {operation:?}", operations.join(" or ")),
                ));
            }
            let told = told.split(':').next().unwrap_or_default().trim();
            if kind.is_some_and(|kind| kind != told) {
                let kind = kind.unwrap_or_default();
                wrong.push(("SR-ERR-001", format!("the kind is {kind}, not {told:?}")));
            }
        }
        (Expected::Aborted, Reply::Aborted)
        | (Expected::Closed, Reply::Closed)
        | (Expected::Errored, Reply::Errored { .. }) => {}
        (Expected::Nothing, _) => return None,
        _ => return None,
    }
    wrong.extend(by_files(case, alternative));
    if let Some((clause, message)) = alternative.complaint {
        complaints.push((clause, message.to_owned()));
    }
    Some((wrong, complaints))
}

fn by_bytes_done(case: &Case<'_>, bytes: u64, told: Option<u64>) -> Vec<Complaint> {
    let told = told.map_or("nothing".to_owned(), |told| told.to_string());
    let message = format!("pending must carry the next expected offset {bytes}, not {told}");
    let restarts = case.known.state.is_running() && envelope(case.step).is_some_and(|chunk| chunk.offset == 0);
    let clause = if restarts { "SR-OFF-001" } else { "SR-OFF-005" };
    vec![(clause, message)]
}

/// The bytes that were verified are the bytes that are published: the same inode.
fn by_inode(case: &Case<'_>) -> Option<Complaint> {
    let chunk = envelope(case.step)?;
    let name = |suffix: &str| format!("{RECEIVE}/{}.{suffix}", chunk.source_database_id);
    let continues = case.known.state.is_running() && case.known.ours && chunk.offset > 0;
    let before = case.before.inodes.get(&name("partial")).filter(|_| continues)?;
    let after = case.after.inodes.get(&name("snapshot"))?;
    (before != after).then(|| {
        (
            "SR-PUB-004",
            format!("the snapshot is another file (inode {after}) than the partial was (inode {before})"),
        )
    })
}

fn by_reason(reason: &str, values: Option<(u64, u64)>, resume: u64, reply: &Reply) -> Vec<Complaint> {
    let Reply::Rejected {
        reason: told,
        expected,
        actual,
        resume_offset,
    } = reply
    else {
        return Vec::new();
    };
    let mut complaints = Vec::new();
    let shown = |value: &Option<u64>| value.map_or("nothing".to_owned(), |value| value.to_string());
    if told.as_deref() != Some(reason) {
        let told = told.as_deref().unwrap_or("nothing");
        complaints.push(("SR-ADM-005", format!("the reason is {reason}, not {told}")));
    } else if let Some((first, second)) = values
        && (*expected, *actual) != (Some(first), Some(second))
    {
        let (expected, actual) = (shown(expected), shown(actual));
        complaints.push((
            "SR-ADM-005",
            format!("{reason} names expected {first} and actual {second}, not {expected} and {actual}"),
        ));
    }
    if *resume_offset != Some(resume) {
        let told = shown(resume_offset);
        complaints.push((
            "SR-ADM-005",
            format!("the source can go on at {resume}, not at {told} (resume_offset)"),
        ));
    }
    complaints
}

/// The clauses behind an answer of a wrong kind.
fn by_word(case: &Case<'_>, expected: &Expected) -> Vec<&'static str> {
    let (facts, reply) = (&case.known.facts, case.reply);
    let chunk = envelope(case.step);
    let fails = matches!(reply, Some(Reply::Failed { .. })) && !matches!(expected, Expected::Failed { .. });
    if fails && facts.attempts > ATTEMPTS_MANY {
        return vec!["SR-CON-005"];
    }
    match expected {
        Expected::Pending(_) => match reply {
            Some(Reply::Rejected { reason, .. }) => refused_wrongly(case, reason.as_deref().unwrap_or_default()),
            // What was committed before is answered; its start was none.
            Some(Reply::Committed { .. }) if facts.ended == Ended::Committed && is_part_of_a_start(chunk) => {
                vec!["SR-OFF-001"]
            }
            Some(Reply::Committed { .. }) => vec!["SR-OFF-005"],
            _ if facts.planted => vec!["SR-SEC-002"],
            _ => vec!["SR-ERR-001"],
        },
        Expected::Committed { .. } => {
            let empty = chunk.is_some_and(|chunk| chunk.total_bytes == 0);
            let repeats = chunk.is_some_and(|chunk| chunk.offset > 0) && !case.known.state.is_running();
            match reply {
                _ if repeats => vec!["SR-IDN-003"],
                Some(Reply::Pending { .. }) if empty => vec!["SR-CRC-003"],
                Some(Reply::Pending { .. }) => vec!["SR-OFF-005", "SR-LIV-001"],
                Some(Reply::Rejected { .. }) if empty => vec!["SR-CRC-003"],
                // All bytes are there, and an empty last chunk says so.
                Some(Reply::Rejected { .. })
                    if chunk.is_some_and(|chunk| chunk.data.length() == 0) && history(facts).is_none() =>
                {
                    vec!["SR-OFF-005"]
                }
                Some(Reply::Rejected { reason, .. }) => refused_wrongly(case, reason.as_deref().unwrap_or_default()),
                _ if facts.planted => vec!["SR-SEC-002"],
                // No call had to fail: to this source it is one that never commits.
                _ => vec!["SR-ERR-001", "SR-LIV-001"],
            }
        }
        Expected::Rejected { reason, .. } => taken_wrongly(case, reason),
        Expected::Failed { .. } => not_failed(case, chunk),
        Expected::Aborted => match case.step {
            Step::Expire => vec!["SR-CON-006"],
            _ if case.known.state.is_running() => vec!["SR-ABT-001"],
            // What was owed is tried again.
            _ if case.known.owes() => vec!["SR-ERR-005", "SR-ABT-003"],
            _ => vec!["SR-ABT-003"],
        },
        Expected::Opened => opening::refused_wrongly(case),
        Expected::Closed => vec!["SR-REC-004"],
        Expected::Errored => vec!["SR-SEC-003"],
        Expected::Nothing => vec!["SR-PUB-002"],
    }
}

/// More than any scenario has but those that look for what ended attempts keep: then it has run out.
const ATTEMPTS_MANY: u64 = 512;

fn is_part_of_a_start(chunk: Option<&Envelope>) -> bool {
    chunk.is_some_and(|chunk| chunk.offset == 0 && chunk.data.length() < chunk.total_bytes)
}

/// A right envelope was refused.
fn refused_wrongly(case: &Case<'_>, reason: &str) -> Vec<&'static str> {
    let facts = &case.known.facts;
    let is_start = envelope(case.step).is_some_and(|chunk| chunk.offset == 0);
    let by_reason = match reason {
        "stale_snapshot" => Some("SR-IDN-004"),
        "too_many_transfers" => Some("SR-CON-005"),
        "chunk_too_large" | "snapshot_too_large" => Some("SR-ADM-002"),
        "length_overrun" => Some("SR-ADM-003"),
        "invalid_database_id" | "invalid_cluster_id" => Some("SR-ADM-001"),
        "crc_mismatch" => Some("SR-CRC-001"),
        "length_mismatch" => Some("SR-LEN-001"),
        "identity_mismatch" if !is_start => Some("SR-IDN-001"),
        _ => None,
    };
    let by_history = history(facts);
    let mut clauses: Vec<&'static str> = by_history.into_iter().chain(by_reason).collect();
    let begins_anew = is_start && !case.known.state.is_running();
    if begins_anew {
        // What ended has not: it is still in the way of a start.
        clauses.extend(ended_by(facts.ended));
    }
    if !clauses.is_empty() {
        if begins_anew && by_reason.is_none() {
            clauses.push("SR-LIV-001");
        }
        return clauses;
    }
    clauses.push(if !is_start {
        "SR-OFF-004"
    } else if case.known.state.is_running() {
        "SR-OFF-001"
    } else {
        "SR-LIV-001"
    });
    clauses
}

/// What came in between, and should have changed nothing.
fn history(facts: &Facts) -> Option<&'static str> {
    if facts.malformed {
        Some("SR-SEC-003")
    } else if facts.refused {
        Some("SR-ADM-004")
    } else if facts.others {
        Some("SR-IDN-002")
    } else {
        None
    }
}

/// The clause that says that, and how, the last attempt ended.
const fn ended_by(ended: Ended) -> Option<&'static str> {
    match ended {
        Ended::Never | Ended::Committed => None,
        Ended::Length => Some("SR-LEN-001"),
        Ended::Checksum => Some("SR-CRC-002"),
        Ended::Failed => Some("SR-ERR-001"),
        Ended::Aborted => Some("SR-ABT-001"),
        Ended::Restarted => Some("SR-REC-001"),
    }
}

/// A wrong envelope was taken.
fn taken_wrongly(case: &Case<'_>, reason: &str) -> Vec<&'static str> {
    let known = case.known;
    let clause = match reason {
        "invalid_database_id" if matches!(case.step, Step::Abort { .. }) => "SR-ABT-001",
        "invalid_database_id" | "invalid_cluster_id" => "SR-ADM-001",
        "chunk_too_large" | "snapshot_too_large" => "SR-ADM-002",
        "length_overrun" => "SR-ADM-003",
        "stale_snapshot" => "SR-IDN-004",
        "too_many_transfers" => "SR-CON-005",
        "identity_mismatch" => "SR-IDN-001",
        "length_mismatch" => "SR-LEN-001",
        "crc_mismatch" => "SR-CRC-002",
        _ if known.state.is_running() => "SR-OFF-003",
        _ => {
            let repeated = matches!(case.reply, Some(Reply::Committed { .. }));
            let why = ended_by(known.facts.ended).filter(|_| !repeated);
            let repeat = repeated.then_some("SR-IDN-003");
            return ["SR-OFF-002"].into_iter().chain(why).chain(repeat).collect();
        }
    };
    let mut clauses = vec![clause];
    clauses.extend(
        by_files(case, &case.alternatives[0])
            .into_iter()
            .map(|(clause, _)| clause),
    );
    clauses.retain(|other| *other == clause || *other == "SR-SEC-001");
    clauses.dedup();
    clauses
}

/// A failing call was not told.
fn not_failed(case: &Case<'_>, chunk: Option<&Envelope>) -> Vec<&'static str> {
    match case.step {
        Step::SecondOpen => return vec!["SR-REC-002"],
        Step::Open { .. } => return vec![opening::not_refused(case)],
        Step::Abort { .. } => return vec!["SR-ABT-001", "SR-ERR-005"],
        _ => {}
    }
    let Some(chunk) = chunk else { return vec!["SR-ERR-001"] };
    let operations = match &case.alternatives[0].expected {
        Expected::Failed { operations, .. } => *operations,
        _ => &[],
    };
    let length = |suffix: &str| match case
        .after
        .at(&format!("{RECEIVE}/{}.{suffix}", chunk.source_database_id))
    {
        Some(Node::File(bytes)) => bytes.len() as u64,
        _ => 0,
    };
    // What was committed has been the partial.
    let committed = matches!(case.reply, Some(Reply::Committed { .. }));
    let took = length(if committed { "snapshot" } else { "partial" });
    if operations.contains(&"create") {
        vec!["SR-SEC-002", "SR-ERR-001"]
    } else if operations.contains(&"sync") {
        vec!["SR-ERR-002"]
    } else if operations.contains(&"sync_directory") {
        vec!["SR-ERR-004", "SR-PUB-001"]
    } else if operations.contains(&"write") && took > chunk.offset {
        vec!["SR-ERR-003", "SR-ERR-001"]
    } else {
        vec!["SR-ERR-001"]
    }
}

/// The clauses behind files that are not as they must be.
fn by_files(case: &Case<'_>, alternative: &Alternative) -> Vec<Complaint> {
    let mismatches = alternative.tree.mismatches(case.after, &alternative.open);
    let mut all = Vec::new();
    for mismatch in &mismatches {
        for clause in by_place(case, &alternative.expected, mismatch) {
            all.push((clause, mismatch.to_string()));
        }
    }
    all
}

fn by_place(case: &Case<'_>, expected: &Expected, mismatch: &Mismatch) -> Vec<&'static str> {
    let opens = matches!(case.step, Step::Open { .. } | Step::SecondOpen);
    if let Step::Open { data_dir } = case.step
        && !mismatch.path.starts_with(data_dir.as_str())
        && mismatch.path.ends_with(".partial")
    {
        // Of the directory that was open before.
        return vec!["SR-REC-004"];
    }
    let Some((_, name)) = mismatch.path.split_once("/recv_snapshots/") else {
        let created = mismatch.expected.is_none();
        return match case.step {
            Step::Open { .. } if created => vec!["SR-PUB-005"],
            Step::Open { .. } => vec!["SR-REC-001"],
            _ if case.known.facts.planted && !created => vec!["SR-SEC-002"],
            _ => vec!["SR-SEC-001"],
        };
    };
    if opens {
        let second = matches!(case.step, Step::SecondOpen);
        return vec![if second { "SR-REC-002" } else { "SR-REC-001" }];
    }
    let (id, is_partial) = match (name.strip_suffix(".partial"), name.strip_suffix(".snapshot")) {
        (Some(id), _) => (id, true),
        (None, Some(id)) => (id, false),
        (None, None) => ("", false),
    };
    let own = match case.step {
        Step::Chunk { envelope } | Step::KillDuring { envelope, .. } => envelope.source_database_id == id,
        Step::Abort { database } => database.as_ref().is_none_or(|database| database == id),
        _ => true,
    };
    if id.is_empty() {
        return match expected {
            Expected::Rejected { reason, .. } if reason.starts_with("invalid") => vec!["SR-ADM-001"],
            _ => vec!["SR-SEC-001"],
        };
    }
    match (own, is_partial) {
        (true, true) => by_partial(case, expected),
        (true, false) => by_snapshot(case, expected),
        (false, true) if matches!(case.step, Step::Abort { .. }) => vec!["SR-ABT-001", "SR-IDN-002"],
        (false, _) if is_refusal(expected) => vec!["SR-ADM-004", "SR-IDN-002"],
        (false, _) => vec!["SR-IDN-002"],
    }
}

/// Whether the envelope had to be refused, and so to change nothing at all.
fn is_refusal(expected: &Expected) -> bool {
    let verdicts = ["length_mismatch", "crc_mismatch"];
    matches!(expected, Expected::Rejected { reason, .. } if !verdicts.contains(reason))
}

/// The database's partial is not as it must be.
fn by_partial(case: &Case<'_>, expected: &Expected) -> Vec<&'static str> {
    let facts = &case.known.facts;
    let is_start = envelope(case.step).is_some_and(|chunk| chunk.offset == 0);
    match (case.step, expected) {
        (Step::Close, _) => vec!["SR-REC-004"],
        (Step::Expire, _) => vec!["SR-CON-006"],
        (Step::Malformed { .. }, _) => vec!["SR-SEC-003"],
        (_, Expected::Aborted) => vec!["SR-ABT-001"],
        (_, Expected::Pending(_)) if is_start && facts.planted => vec!["SR-SEC-002"],
        (_, Expected::Pending(_)) if is_start && case.known.state.is_running() => {
            let mut clauses = vec!["SR-OFF-001", "SR-OFF-004"];
            clauses.extend(keeps_the_old_end(case).then_some("SR-PUB-004"));
            clauses
        }
        (_, Expected::Pending(_)) => vec!["SR-OFF-004"],
        (_, Expected::Rejected { reason, .. }) => match *reason {
            "length_mismatch" => vec!["SR-LEN-001"],
            "crc_mismatch" => vec!["SR-CRC-002"],
            "length_overrun" => vec!["SR-ADM-003", "SR-ADM-004"],
            "invalid_database_id" | "invalid_cluster_id" => vec!["SR-ADM-001", "SR-ADM-004"],
            _ => vec!["SR-ADM-004"],
        },
        (_, Expected::Failed { .. }) if matches!(case.step, Step::Abort { .. }) => vec!["SR-ABT-001"],
        (_, Expected::Failed { .. }) => vec!["SR-ERR-001"],
        (_, Expected::Committed { .. }) if !case.known.state.is_running() && !is_start => vec!["SR-IDN-003"],
        (_, Expected::Committed { .. }) => vec!["SR-PUB-004"],
        (_, Expected::Opened | Expected::Closed | Expected::Errored | Expected::Nothing) => vec!["SR-OFF-004"],
    }
}

/// Whether the start's partial ends with what the attempt before it wrote: it goes on in its file.
fn keeps_the_old_end(case: &Case<'_>) -> bool {
    let Some(sent) = envelope(case.step) else { return false };
    let partial = format!("{RECEIVE}/{}.partial", sent.source_database_id);
    let (Some(Node::File(before)), Some(Node::File(after))) = (case.before.at(&partial), case.after.at(&partial))
    else {
        return false;
    };
    let from = usize::try_from(sent.data.length()).unwrap_or(usize::MAX);
    before.len() > from && before.get(from..) == after.get(from..)
}

/// The database's snapshot is not as it must be.
fn by_snapshot(case: &Case<'_>, expected: &Expected) -> Vec<&'static str> {
    let is_start = envelope(case.step).is_some_and(|chunk| chunk.offset == 0);
    match (case.step, expected) {
        (Step::Close | Step::Kill, _) => vec!["SR-PUB-003"],
        (Step::KillDuring { .. }, _) => vec!["SR-PUB-002", "SR-PUB-003"],
        (Step::Malformed { .. }, _) => vec!["SR-SEC-003"],
        (Step::Abort { .. }, _) => vec!["SR-ABT-002"],
        (_, Expected::Committed { .. }) if !case.known.state.is_running() && !is_start => vec!["SR-IDN-003"],
        (_, Expected::Committed { .. }) if envelope(case.step).is_some_and(|chunk| chunk.total_bytes == 0) => {
            vec!["SR-CRC-003", "SR-PUB-002"]
        }
        (_, Expected::Committed { .. }) => vec!["SR-PUB-002", "SR-PUB-004"],
        (_, Expected::Rejected { reason, .. }) => match *reason {
            "length_mismatch" => vec!["SR-LEN-001", "SR-PUB-002"],
            "crc_mismatch" => vec!["SR-CRC-002", "SR-PUB-002"],
            _ => vec!["SR-ADM-004", "SR-PUB-002"],
        },
        (_, Expected::Failed { .. }) => vec!["SR-PUB-002", "SR-ERR-001"],
        _ => vec!["SR-PUB-002"],
    }
}

/// The step's envelope.
#[must_use]
pub const fn envelope(step: &Step) -> Option<&Envelope> {
    match step {
        Step::Chunk { envelope } | Step::KillDuring { envelope, .. } => Some(envelope),
        _ => None,
    }
}
