//! The shortest scenario that still fails in the same way.
//!
//! Guarantees: what is returned was run and failed, by the same clause. Refuses to know: how a
//! scenario is run, and how long that may take.

use super::scenario::{Data, Scenario, Step};

/// Leaves out steps, and makes what is left simpler, for as long as `fails` says so.
#[must_use]
pub fn shrink(scenario: &Scenario, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut best = scenario.clone();
    loop {
        let Some(next) = candidates(&best).into_iter().find(|candidate| fails(candidate)) else {
            return best;
        };
        best = next;
    }
}

/// The scenarios that are simpler by one change, the simplest first.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let with = |steps: Vec<Step>| Scenario {
        steps,
        ..scenario.clone()
    };
    let mut all = Vec::new();
    let count = scenario.steps.len();
    // Whole runs of steps first: long scenarios shrink fast that way.
    let mut width = count / 2;
    while width > 0 {
        for from in (0..=count - width).step_by(width) {
            let mut steps = scenario.steps.clone();
            steps.drain(from..from + width);
            if steps.iter().any(|step| matches!(step, Step::Open { .. })) {
                all.push(with(steps));
            }
        }
        width /= 2;
    }
    for index in 0..count {
        for step in simpler(&scenario.steps[index]) {
            let mut steps = scenario.steps.clone();
            steps[index] = step;
            all.push(with(steps));
        }
    }
    all
}

fn simpler(step: &Step) -> Vec<Step> {
    if let Step::Repeat { times, steps } = step
        && *times > 1
    {
        let fewer = [1, times / 2, times - 1];
        let fewer = fewer.into_iter().filter(|fewer| fewer < times);
        let repeated = |times| Step::Repeat {
            times,
            steps: steps.clone(),
        };
        return fewer.map(repeated).collect();
    }
    if let Step::Chunk { envelope } = step
        && !envelope.done
        && envelope.data.length() > 1
        && envelope.offset > 0
    {
        let mut shorter = envelope.clone();
        let bytes = envelope.data.bytes();
        shorter.data = Data::Bytes(bytes[..1].to_vec());
        return vec![Step::Chunk { envelope: shorter }];
    }
    Vec::new()
}
