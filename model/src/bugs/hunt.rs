//! The hunt for seeded bugs: each on the smallest system that shows it.
//!
//! Guarantees: a bug counts as caught only where a rule of a clause that it breaks is broken, in a
//! reachable state, on a shortest way; one not caught in its time and states has survived. No hunt
//! looks further than its control does. Refuses to know: how a bug is made.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use snapshot_receiver::protocol::{Crc32c, Digest};

use super::{Bug, Bugs, Claim, NO_DIGEST, NoDigest};
use crate::check::Blindness;
use crate::exploration::Exploration;
use crate::properties::states;
use crate::report::diagram::diagram;
use crate::report::results::{BugResult, Diagram};
use crate::search::{Counterexample, Limit, follow, nearest, walk};
use crate::system::{System, small_systems};
use crate::trace::Trace;
use crate::world::Action;

/// Time for one bug on all systems.
pub const SECONDS_MAX: u64 = 20;

/// States of one system in the first round: most bugs show within these in some system.
const FIRST_ROUND_STATES: usize = 20_000;

/// States of one system in the last round, and in the control: no hunt looks where the control does not.
const LAST_ROUND_STATES: usize = 60_000;

/// Hunts one seeded bug with a checker that may be blind to something.
#[must_use]
pub fn hunt(bug: Bug, blindness: Blindness) -> BugResult {
    hunt_claimed::<Crc32c>(bug.into(), bug.into(), blindness)
}

/// Hunts every seeded bug; tells each as soon as it is known.
pub fn hunt_all(blindness: Blindness, mut told: impl FnMut(&BugResult)) -> Vec<BugResult> {
    let mut results = Vec::new();
    for bug in Bug::ALL {
        let result = hunt(*bug, blindness);
        told(&result);
        results.push(result);
    }
    let result = hunt_claimed::<NoDigest>(NO_DIGEST, Bugs::none(), blindness);
    told(&result);
    results.push(result);
    results
}

fn hunt_claimed<D: Digest>(claim: Claim, bugs: Bugs, blindness: Blindness) -> BugResult {
    let started = Instant::now();
    let mut result = BugResult {
        id: claim.name.to_owned(),
        about: claim.about.to_owned(),
        clauses: claim.clauses.iter().map(|clause| (*clause).to_owned()).collect(),
        incidents: claim.incidents.iter().map(|incident| (*incident).to_owned()).collect(),
        layers: vec![("model".to_owned(), false)],
        ..BugResult::default()
    };
    if let Some((exploration, found)) = shortest::<D>(claim, bugs, blindness) {
        let mut rules: Vec<String> = found.violated.iter().map(|rule| (*rule).to_owned()).collect();
        // The rules of its own clauses first.
        rules.sort_by_key(|rule| !is_related(claim, rule));
        result.caught_by = rules;
        result.is_caught = true;
        result.layers = vec![("model".to_owned(), true)];
        result.steps = Some(found.length());
        result.system = Some(exploration.system.label());
        result.counterexample = Some(diagram(&exploration, &found));
    }
    result.seconds = started.elapsed().as_secs_f64();
    result
}

fn is_related(claim: Claim, rule: &str) -> bool {
    claim.clauses.iter().any(|clause| states(rule, clause))
}

/// A shortest way to a state that breaks a rule of the claim, in the first small system that has one.
fn shortest<D: Digest>(claim: Claim, bugs: Bugs, blindness: Blindness) -> Option<(Exploration<D>, Counterexample<D>)> {
    let started = Instant::now();
    for states_max in [FIRST_ROUND_STATES, LAST_ROUND_STATES] {
        for system in small_systems::<D>() {
            let time = Duration::from_secs(SECONDS_MAX).saturating_sub(started.elapsed());
            let limit = Limit {
                states: states_max,
                time,
            };
            let mut exploration = Exploration::<D>::with(system, bugs, blindness);
            exploration.goes_on = true;
            if let (Some(found), _) = nearest(&exploration, limit, |rule| is_related(claim, rule)) {
                return Some((exploration, found));
            }
        }
    }
    None
}

/// The shortest way to a rule of a clause that the bug breaks, on the smallest system that shows it, as the
/// gate writes it; `None` where the bug survives.
#[must_use]
pub fn counterexample(bug: Bug) -> Option<Trace> {
    let (exploration, found) = shortest::<Crc32c>(bug.into(), bug.into(), Blindness::default())?;
    // Where the first state is wrong, so is the next: a trace has at least one step.
    let mut actions = found.actions();
    if actions.is_empty() {
        actions.push(Action::Open);
    }
    Some(Trace {
        system: exploration.system.label(),
        bugs: bug.into(),
        broken: found.violated.iter().map(|rule| (*rule).to_owned()).collect(),
        actions,
    })
}

/// One defect of a design, found by the checker itself.
#[derive(Clone, Debug)]
pub struct Defect {
    /// The rule that it breaks.
    pub rule: String,
    /// Steps of the shortest way to it.
    pub steps: usize,
    /// The system that shows it.
    pub system: String,
    /// The way to it.
    pub counterexample: Diagram,
}

/// The control of a hunt: what the receiver breaks by itself, in the systems in which seeded bugs are looked
/// for. Where there is anything, a caught bug shows nothing: its rule may be one of these.
#[must_use]
pub fn control() -> Vec<Defect> {
    defects(Bugs::none(), LAST_ROUND_STATES)
}

/// Every rule that a design breaks, with the shortest way to it: the checker is told nothing of
/// what is wrong. In each of the small systems, to the given number of states.
#[must_use]
pub fn defects(design: Bugs, states_max: usize) -> Vec<Defect> {
    let mut found: BTreeMap<&'static str, Defect> = BTreeMap::new();
    for system in small_systems::<Crc32c>() {
        let mut exploration = Exploration::<Crc32c>::with_bugs(system, design);
        exploration.goes_on = true;
        let limit = Limit {
            states: states_max,
            time: Duration::from_secs(SECONDS_MAX),
        };
        walk(&exploration, limit, |violated, actions| {
            for rule in violated {
                let known = found.get(rule).map(|defect| defect.steps);
                let actions = actions();
                if known.is_none_or(|steps| actions.len() < steps) {
                    let defect = Defect {
                        rule: (*rule).to_owned(),
                        steps: actions.len(),
                        system: exploration.system.label(),
                        counterexample: diagram(&exploration, &follow(&exploration, &actions)),
                    };
                    found.insert(rule, defect);
                }
            }
            ControlFlow::Continue(())
        });
    }
    let mut defects: Vec<Defect> = found.into_values().collect();
    defects.sort_by_key(|defect| defect.steps);
    defects
}

/// A system in which that bug shows quickly: what a canary is planted in.
#[must_use]
pub fn smallest_system() -> System {
    // The table is not empty, and its first entry is the smallest.
    small_systems::<Crc32c>().swap_remove(0)
}
