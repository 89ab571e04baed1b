//! Kills at every boundary between two steps, and by timing inside steps.
//!
//! Guarantees: each scenario ends with a source that sends from 0 and commits. Refuses to know: what
//! a kill leaves; the oracle says what it may.

use super::export::open;
use super::scenario::{Data, Envelope, Origin, Scenario, Step};

const BYTES: &[u8] = b"the bytes of a snapshot";
/// Microseconds from the sending of a chunk to the kill: from before it is read to after the answer.
const INSIDE: [u64; 5] = [0, 100, 300, 1000, 3000];
/// Larger chunks than this are not sent again and again.
const CHUNK_BYTES_MAX: u64 = 1 << 16;

fn sent(lsn: u64, from: usize, to: usize) -> Step {
    Step::Chunk {
        envelope: Envelope {
            source_cluster_id: "prod".to_owned(),
            source_database_id: "db".to_owned(),
            snapshot_lsn: lsn,
            total_bytes: BYTES.len() as u64,
            total_crc32c: crc32c::crc32c(BYTES),
            offset: from as u64,
            data: Data::Bytes(BYTES[from..to].to_vec()),
            done: to == BYTES.len(),
        },
    }
}

fn scenario(name: String, clause: &str, about: String, steps: Vec<Step>) -> Scenario {
    Scenario {
        name,
        clause: clause.to_owned(),
        about,
        origin: Origin::Combined,
        beyond: None,
        steps,
    }
}

fn healed(mut steps: Vec<Step>) -> Vec<Step> {
    steps.extend([sent(9, 0, 9), sent(9, 9, BYTES.len())]);
    steps
}

/// A snapshot, and a newer one over it: a kill at every boundary, and inside every chunk.
#[must_use]
pub fn restarts() -> Vec<Scenario> {
    let steps = [
        sent(5, 0, BYTES.len()),
        sent(6, 0, 7),
        sent(6, 7, 15),
        sent(6, 15, 15),
        sent(6, 15, BYTES.len()),
    ];
    let mut all = Vec::new();
    for at in 0..=steps.len() {
        let (before, after) = steps.split_at(at);
        let restart = [Step::Kill, open()];
        let taken = [&[open()], before, &restart, after].concat();
        all.push(scenario(
            format!("restart/before-step-{}", at + 1),
            "SR-REC-001",
            format!(
                "a kill and an opening before step {} of a snapshot and a newer one",
                at + 1
            ),
            healed(taken),
        ));
    }
    for (at, step) in steps.iter().enumerate() {
        let Step::Chunk { envelope } = step else { continue };
        for after_micros in INSIDE {
            let envelope = envelope.clone();
            let inside = [Step::KillDuring { envelope, after_micros }, open()];
            let taken = [&[open()], &steps[..at], &inside].concat();
            all.push(scenario(
                format!("restart/inside-step-{}-after-{after_micros}-us", at + 1),
                "SR-PUB-002",
                format!("a kill inside step {} of a snapshot and a newer one", at + 1),
                healed(taken),
            ));
        }
    }
    all
}

/// Each of these scenarios with a kill and an opening at each boundary after its first opening.
#[must_use]
pub fn restarted(scenarios: &[Scenario]) -> Vec<Scenario> {
    let mut all = Vec::new();
    for of in scenarios.iter().filter(|scenario| scenario.beyond.is_none()) {
        let Some(opened) = of.steps.iter().position(|step| *step == open()) else {
            continue;
        };
        if !of.steps.iter().all(bears_a_restart) {
            continue;
        }
        for at in opened + 1..=of.steps.len() {
            let (before, after) = of.steps.split_at(at);
            let steps = [before, &[Step::Kill, open()], after].concat();
            // What asks for nothing but an opening may be about one that is refused: nobody can heal then.
            let sends = steps.iter().any(|step| matches!(step, Step::Chunk { .. }));
            let steps = if sends { healed(steps) } else { steps };
            all.push(scenario(
                format!("restarted/{}/{at}", of.name),
                &of.clause,
                format!("{}; with a kill and an opening after step {at}", of.about),
                steps,
            ));
        }
    }
    all
}

/// Limits end with the process; a second opening, or a directory of another name, is about something else.
fn bears_a_restart(step: &Step) -> bool {
    match step {
        Step::Open { .. } => *step == open(),
        Step::Chunk { envelope } => envelope.data.length() <= CHUNK_BYTES_MAX,
        Step::Abort { .. } | Step::Malformed { .. } | Step::Place { .. } | Step::TakeAway { .. } => true,
        Step::SecondOpen
        | Step::Close
        | Step::Kill
        | Step::KillDuring { .. }
        | Step::FileSizeLimit { .. }
        | Step::SmallDisk { .. }
        | Step::FailNext { .. }
        | Step::Expire
        | Step::Repeat { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::suite;
    use super::*;

    /// Found by `--profile standard` over a right receiver: one that may refuse the opening was asked for chunks.
    #[test]
    fn what_only_opens_is_restarted_and_asked_for_nothing_more() {
        let sends = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::Chunk { .. }));
        let written = suite(&super::super::talk::About::default());
        let only_opens: Vec<Scenario> = written.into_iter().filter(|of| !sends(&of.steps)).collect();
        let restarted = restarted(&only_opens);
        assert!(restarted.iter().any(|of| of.name.contains("receive-directory-link")));
        assert!(restarted.iter().all(|of| !sends(&of.steps)));
    }
}
