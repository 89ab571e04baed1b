//! Scenarios by chance, by combination and by enumeration.
//!
//! Guarantees: the same seed gives the same scenarios; the actions are the harness's own, drawn from
//! the same words as in the property tests; nothing is drawn where the clauses leave the answer
//! open. Refuses to know: what must be answered.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is drawn next depends on a few kinds of steps; all others are taken as they are"
)]

use std::collections::BTreeSet;

use super::oracle::{Expected, Oracle};
use super::scenario::{DATA, Data, Envelope, Origin, Scenario, Step};
use super::talk::About;
use super::tree::Tree;
use crate::harness::action::{Action, Numbers};
use crate::harness::oracle::Oracle as Plain;
use crate::harness::{Sent, Word};

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// So many random scenarios.
#[must_use]
pub fn random(about: &About, seed: u64, count: usize) -> Vec<Scenario> {
    let mut random = Random(seed);
    let one = |number| {
        let mut word = || {
            let [a, b, c, d, ..] = random.draw().to_le_bytes();
            [a, b, c, d]
        };
        let words: Vec<Word> = (0..16).map(|_| word()).collect();
        from_words(about, &words, format!("random/{seed}/{number}"), Origin::Random)
    };
    (0..count).map(one).collect()
}

/// The scenario that the harness's words stand for.
#[must_use]
pub fn from_words(about: &About, words: &[Word], name: String, origin: Origin) -> Scenario {
    let mut drawn = Drawn::new(about);
    for word in words {
        let action = Action::from_word(*word, &drawn.plain, &mut drawn.numbers);
        drawn.take(action);
    }
    Scenario {
        name,
        clause: "SR-LIV-001".to_owned(),
        about: "what the harness draws, and a source that commits at the end".to_owned(),
        origin,
        beyond: None,
        steps: drawn.healed(),
    }
}

struct Drawn<'a> {
    about: &'a About,
    plain: Plain,
    numbers: Numbers,
    oracle: Oracle,
    steps: Vec<Step>,
    /// The database of the latest commit: others may be forgotten (SR-CON-005).
    committed: Option<String>,
}

impl<'a> Drawn<'a> {
    fn new(about: &'a About) -> Self {
        let mut oracle = Oracle::new(about, Tree::default());
        oracle.data_dir = Some(DATA.to_owned());
        Self {
            about,
            plain: Plain::default(),
            numbers: Numbers::default(),
            oracle,
            steps: vec![open()],
            committed: None,
        }
    }

    fn take(&mut self, action: Action) {
        match action {
            Action::Chunk { sent, .. } => self.chunk(&sent),
            Action::Abort(id) if self.about.has("abort") => {
                self.follow_abort(&id);
                self.steps.push(Step::Abort { database: Some(id) });
            }
            Action::AbortAll if self.about.has("abort") => {
                let after = self.oracle.abort_all().swap_remove(0);
                self.oracle.follow(after);
                self.plain
                    .databases
                    .values_mut()
                    .for_each(crate::harness::oracle::Expected::end_attempt);
                self.steps.push(Step::Abort { database: None });
            }
            Action::Reopen { close } if self.about.has("restart") => {
                let after = self.oracle.close().swap_remove(0);
                self.oracle.follow(after);
                self.plain
                    .databases
                    .values_mut()
                    .for_each(crate::harness::oracle::Expected::restart);
                self.committed = None;
                self.steps.push(if close { Step::Close } else { Step::Kill });
                self.steps.push(open());
            }
            // Faults of single calls and the passing of time are for the other engines.
            Action::Abort(_) | Action::AbortAll | Action::Reopen { .. } | Action::ExpireAll | Action::Arm(_) => {}
        }
    }

    fn follow_abort(&mut self, id: &str) {
        if let Some(after) = self.oracle.abort(id).into_iter().next() {
            self.oracle.follow(after);
        }
        if let Some(known) = self.plain.databases.get_mut(id) {
            known.end_attempt();
        }
    }

    fn chunk(&mut self, sent: &Sent) {
        let envelope = envelope(sent);
        let Some(after) = self.oracle.chunk(&envelope).into_iter().next() else {
            return;
        };
        if self.is_open(&envelope, &after.expected) {
            return;
        }
        self.numbers.note(sent);
        self.plain.chunk(sent, false);
        if let Expected::Committed { .. } = after.expected {
            self.committed = Some(sent.database.clone());
        }
        self.oracle.follow(after);
        self.steps.push(Step::Chunk { envelope });
    }

    /// Whether a right receiver may answer this in more ways than the oracle takes, or need not
    /// take it at all.
    fn is_open(&self, envelope: &Envelope, expected: &Expected) -> bool {
        let known = self.oracle.known(&envelope.source_database_id);
        let running = match &known.state {
            snapshot_receiver::protocol::State::AwaitingChunk(phase) => Some(&phase.identity),
            _ => None,
        };
        let forgotten = self.committed.as_ref() != Some(&envelope.source_database_id);
        let beyond = envelope.total_bytes > 1 << 20;
        match expected {
            Expected::Rejected { reason, .. } => match *reason {
                "stale_snapshot" => !self.about.has("stale") || (running.is_none() && forgotten),
                "chunk_too_large" | "snapshot_too_large" | "too_many_transfers" => true,
                _ => beyond && self.about.snapshot_bytes_max.is_none(),
            },
            _ => {
                let repeats =
                    matches!(expected, Expected::Committed { .. }) && envelope.offset > 0 && running.is_none();
                if repeats && forgotten {
                    return true;
                }
                let other = |(id, _): (&String, _)| *id != envelope.source_database_id;
                let is_second = self.oracle.databases.iter().any(other);
                (beyond && self.about.snapshot_bytes_max.is_none()) || (is_second && !self.about.has("multi"))
            }
        }
    }

    /// With a source that sends from 0, in order, at the end.
    fn healed(mut self) -> Vec<Step> {
        let ids: BTreeSet<String> = self.oracle.databases.keys().cloned().collect();
        for id in ids {
            let bytes = b"healed";
            let part = |offset: usize, length: usize, done| Step::Chunk {
                envelope: Envelope {
                    source_cluster_id: "eu".to_owned(),
                    source_database_id: id.clone(),
                    snapshot_lsn: 99,
                    total_bytes: bytes.len() as u64,
                    total_crc32c: crc32c::crc32c(bytes),
                    offset: offset as u64,
                    data: Data::Bytes(bytes[offset..offset + length].to_vec()),
                    done,
                },
            };
            self.steps.extend([part(0, 4, false), part(4, 2, true)]);
        }
        self.steps
    }
}

fn open() -> Step {
    Step::Open {
        data_dir: DATA.to_owned(),
    }
}

fn envelope(sent: &Sent) -> Envelope {
    Envelope {
        source_cluster_id: sent.cluster.clone(),
        source_database_id: sent.database.clone(),
        snapshot_lsn: sent.lsn,
        total_bytes: sent.total,
        total_crc32c: sent.crc,
        offset: sent.offset,
        data: Data::Bytes(sent.data.clone()),
        done: sent.done,
    }
}

const CONTENT: &[u8] = b"the content of a snapshot";

fn part(lsn: u64, offset: usize, length: usize, done: bool) -> Step {
    let end = (offset + length).min(CONTENT.len());
    Step::Chunk {
        envelope: Envelope {
            source_cluster_id: "prod".to_owned(),
            source_database_id: "db".to_owned(),
            snapshot_lsn: lsn,
            total_bytes: CONTENT.len() as u64,
            total_crc32c: crc32c::crc32c(CONTENT),
            offset: offset as u64,
            data: Data::Bytes(CONTENT[offset.min(end)..end].to_vec()),
            done,
        },
    }
}

const SIZES: [usize; 5] = [1, 4, 7, 24, 25];
const ORDERS: [&str; 5] = ["in-order", "each-twice", "gap-first", "from-0-again", "empty-chunks"];
const FAULTS: [&str; 6] = ["none", "damage", "early-done", "overrun", "other-header", "abort"];
const RESTARTS: [&str; 4] = ["none", "kill-in-the-middle", "close-in-the-middle", "kill-at-the-end"];

/// Combinations of chunk size, order, fault and restart: every pair of values occurs.
#[must_use]
pub fn pairs() -> Vec<Scenario> {
    let counts = [SIZES.len(), ORDERS.len(), FAULTS.len(), RESTARTS.len()];
    let mut missing: BTreeSet<(usize, usize, usize, usize)> = BTreeSet::new();
    for a in 0..4 {
        for b in a + 1..4 {
            for x in 0..counts[a] {
                missing.extend((0..counts[b]).map(|y| (a, x, b, y)));
            }
        }
    }
    let all = (0..counts.iter().product::<usize>()).map(|mut number| {
        counts.map(|count| {
            let value = number % count;
            number /= count;
            value
        })
    });
    let all: Vec<[usize; 4]> = all.collect();
    let covers = |row: &[usize; 4], (a, x, b, y): &(usize, usize, usize, usize)| row[*a] == *x && row[*b] == *y;
    let mut scenarios = Vec::new();
    while !missing.is_empty() {
        let gain = |row: &&[usize; 4]| missing.iter().filter(|pair| covers(row, pair)).count();
        let Some(best) = all.iter().max_by_key(gain) else { break };
        missing.retain(|pair| !covers(best, pair));
        scenarios.push(combined(*best));
    }
    scenarios
}

fn combined([size, order, fault, restart]: [usize; 4]) -> Scenario {
    let (size, order, fault, restart) = (SIZES[size], ORDERS[order], FAULTS[fault], RESTARTS[restart]);
    let mut steps = vec![open()];
    let middle = CONTENT.len() / 2 / size * size;
    let mut at = 0;
    let chunk = |at: usize| part(5, at, size, at + size >= CONTENT.len());
    while at < CONTENT.len() {
        match order {
            "gap-first" => steps.push(part(5, at + size, 1, false)),
            "empty-chunks" if at > 0 => steps.push(part(5, at, 0, false)),
            "from-0-again" if at == middle && at > 0 => {
                steps.extend((0..at).step_by(size).map(chunk));
            }
            _ => {}
        }
        if at == middle {
            steps.extend(spoilt(fault, at, size));
            match restart {
                "kill-in-the-middle" => steps.extend([Step::Kill, open()]),
                "close-in-the-middle" => steps.extend([Step::Close, open()]),
                _ => {}
            }
        }
        steps.push(chunk(at));
        if order == "each-twice" && at > 0 {
            steps.push(chunk(at));
        }
        at += size;
    }
    if restart == "kill-at-the-end" {
        steps.extend([Step::Kill, open()]);
    }
    steps.extend([part(6, 0, 20, false), part(6, 20, 5, true)]);
    Scenario {
        name: format!("pair/{size}/{order}/{fault}/{restart}"),
        clause: "SR-LIV-001".to_owned(),
        about: format!("chunks of {size}, {order}, fault {fault}, restart {restart}; then a source that commits"),
        origin: Origin::Combined,
        beyond: None,
        steps,
    }
}

fn spoilt(fault: &str, at: usize, size: usize) -> Vec<Step> {
    let change = |change: fn(&mut Envelope)| match part(5, at, size, true) {
        Step::Chunk { mut envelope } => {
            change(&mut envelope);
            vec![Step::Chunk { envelope }]
        }
        other => vec![other],
    };
    match fault {
        "damage" => change(|sent| {
            sent.data = Data::Bytes(vec![b'?'; CONTENT.len() - usize::try_from(sent.offset).unwrap_or(0)])
        }),
        "early-done" => change(|sent| sent.data = Data::Bytes(Vec::new())),
        "overrun" => change(|sent| sent.data = Data::Bytes(vec![b'x'; 26])),
        "other-header" => change(|sent| sent.snapshot_lsn += 1),
        "abort" => vec![Step::Abort { database: None }],
        _ => Vec::new(),
    }
}

/// All sequences of a small alphabet, to that depth.
#[must_use]
pub fn enumerated(depth: usize) -> Vec<Scenario> {
    let alphabet: [Vec<Step>; 12] = [
        vec![part(5, 0, 10, false)],
        vec![part(5, 10, 15, true)],
        vec![part(5, 10, 5, false)],
        vec![part(5, 15, 10, true)],
        vec![part(5, 0, 25, true)],
        vec![part(6, 0, 10, false)],
        vec![part(6, 10, 15, true)],
        vec![part(4, 0, 25, true)],
        vec![part(5, 10, 0, true)],
        vec![Step::Abort { database: None }],
        vec![Step::Kill, open()],
        vec![Step::Close, open()],
    ];
    let mut all = Vec::new();
    for length in 1..=depth {
        let count = alphabet.len().pow(u32::try_from(length).unwrap_or(u32::MAX));
        for number in 0..count {
            let mut rest = number;
            let mut steps = vec![open()];
            for _ in 0..length {
                steps.extend(alphabet[rest % alphabet.len()].iter().cloned());
                rest /= alphabet.len();
            }
            all.push(Scenario {
                name: format!("all/{length}/{number}"),
                clause: "SR-LIV-001".to_owned(),
                about: format!("sequence {number} of {length} steps"),
                origin: Origin::Enumerated,
                beyond: None,
                steps,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::reference::about;

    /// A receiver may keep the latest commit alone (SR-CON-005): one that did was told as refusing repetitions.
    #[test]
    fn nothing_is_drawn_that_a_forgotten_commit_would_answer() {
        let mut repetitions = 0;
        for scenario in random(&about(), 1, 2_000) {
            let mut oracle = Oracle::new(&about(), Tree::default());
            oracle.data_dir = Some(DATA.to_owned());
            let mut latest = None;
            for step in &scenario.steps {
                let after = match step {
                    Step::Chunk { envelope } => {
                        let was_running = oracle.known(&envelope.source_database_id).state.is_running();
                        let after = oracle.chunk(envelope).swap_remove(0);
                        let id = Some(envelope.source_database_id.clone());
                        if matches!(after.expected, Expected::Committed { .. }) {
                            let repeats = envelope.offset > 0 && !was_running;
                            assert!(!repeats || latest == id, "{}: {step}", scenario.name);
                            repetitions += usize::from(repeats);
                            latest = id;
                        }
                        after
                    }
                    Step::Abort { database: Some(id) } => oracle.abort(id).swap_remove(0),
                    Step::Abort { database: None } => oracle.abort_all().swap_remove(0),
                    Step::Close | Step::Kill => {
                        latest = None;
                        oracle.close().swap_remove(0)
                    }
                    _ => continue,
                };
                oracle.follow(after);
            }
        }
        assert!(repetitions > 10, "only {repetitions} repetitions were drawn");
    }
}
