//! Runs the checker over one system.
//!
//! Guarantees: a verdict is given only on the whole reachable space: no bound on states, depth or
//! time is set, because the checker would report a bounded run as done. Breadth first on one
//! thread, so that the depth is exact; several systems run beside each other instead. A
//! counterexample is a shortest one. Refuses to know: how results are shown.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use snapshot_receiver::protocol::Digest;
use stateright::{Checker, HasDiscoveries, Model};

use crate::exploration::Exploration;
use crate::properties::{Witness, rules};
use crate::system::System;
use crate::world::{Action, World};

/// Figures of a run that is under way, for a progress line.
#[derive(Debug, Default)]
pub struct Running {
    /// Unique states so far, of all systems.
    pub unique_states: AtomicUsize,
    /// Systems that are through.
    pub systems_done: AtomicUsize,
}

/// What checking one system gave.
#[derive(Debug)]
pub struct Outcome<D: Digest> {
    /// The system.
    pub system: System,
    /// States that differ.
    pub unique_states: usize,
    /// States generated, repeated ones included.
    pub generated_states: usize,
    /// Steps to the farthest state.
    pub max_depth: usize,
    /// Wall time.
    pub seconds: f64,
    /// The rules broken, in the order of the rules.
    pub violated: Vec<&'static str>,
    /// What was reached.
    pub witnesses: Vec<Witness>,
    /// The shortest way to a broken rule.
    pub counterexample: Option<Counterexample<D>>,
}

/// A way from the initial state to a broken rule.
#[derive(Debug)]
pub struct Counterexample<D> {
    /// The rules broken in its last state.
    pub violated: Vec<&'static str>,
    /// Each state, and the action that was taken there.
    pub steps: Vec<(World<D>, Option<Action>)>,
}

impl<D> Counterexample<D> {
    /// Number of actions.
    #[must_use]
    pub fn length(&self) -> usize {
        self.steps.len() - 1
    }
}

impl<D: Digest> Outcome<D> {
    /// Whether every rule held, every expected witness was reached, and the number of states is
    /// the pinned one.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violated.is_empty() && self.unreached().is_empty() && !self.count_differs()
    }

    /// Witnesses that the system exists to reach, and did not.
    #[must_use]
    pub fn unreached(&self) -> Vec<Witness> {
        let expected = self.system.reaches.iter().copied();
        expected.filter(|witness| !self.witnesses.contains(witness)).collect()
    }

    /// Whether the number of states is not the pinned one: the model, or the receiver, is not
    /// what it was when the number was written down.
    #[must_use]
    pub fn count_differs(&self) -> bool {
        self.violated.is_empty() && self.unique_states != self.system.pinned_states
    }
}

/// Explores every reachable state of the system, or stops at the first broken rule.
///
/// # Panics
/// Where the checker itself panics; a panic of the receiver is a broken rule.
pub fn check<D>(exploration: Exploration<D>, running: &Running) -> Outcome<D>
where
    D: Digest + Send + Sync + 'static,
{
    let system = exploration.system.clone();
    let started = Instant::now();
    let checker = exploration
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs();
    let mut counted = 0;
    while !checker.is_done() {
        thread::sleep(Duration::from_millis(5));
        let states = checker.unique_state_count();
        running.unique_states.fetch_add(states - counted, Ordering::Relaxed);
        counted = states;
    }
    let checker = checker.join();
    running
        .unique_states
        .fetch_add(checker.unique_state_count() - counted, Ordering::Relaxed);
    running.systems_done.fetch_add(1, Ordering::Relaxed);

    let discoveries = checker.discoveries();
    let broken = rules::<D>()
        .into_iter()
        .filter(|rule| discoveries.contains_key(rule.name));
    let violated: Vec<&'static str> = broken.map(|rule| rule.name).collect();
    let model = checker.model();
    let counterexample = if violated.is_empty() { None } else { shortest(model) };
    Outcome {
        unique_states: checker.unique_state_count(),
        generated_states: checker.state_count(),
        max_depth: checker.max_depth(),
        seconds: started.elapsed().as_secs_f64(),
        violated,
        witnesses: Witness::ALL
            .into_iter()
            .filter(|witness| model.witnesses.reached(*witness))
            .collect(),
        counterexample,
        system,
    }
}

/// A state, and the state and action that led to it.
type Visited<D> = (World<D>, Option<(usize, Action)>);

/// Searches breadth first for the nearest state that breaks a rule. The checker's own path is not
/// always a shortest one: within a block of states it keeps the last that it finds.
fn shortest<D: Digest>(model: &Exploration<D>) -> Option<Counterexample<D>> {
    let mut states: Vec<Visited<D>> = Vec::new();
    let mut known = HashSet::new();
    for world in model.init_states() {
        known.insert(world.clone());
        states.push((world, None));
    }
    let mut actions = Vec::new();
    let mut index = 0;
    while index < states.len() {
        let violated = broken_in(model, &states[index].0);
        if !violated.is_empty() {
            let steps = trace_back(&states, index);
            return Some(Counterexample { violated, steps });
        }
        let world = states[index].0.clone();
        model.actions(&world, &mut actions);
        for action in actions.drain(..) {
            if let Some(next) = model.next_state(&world, action)
                && known.insert(next.clone())
            {
                states.push((next, Some((index, action))));
            }
        }
        index += 1;
    }
    None
}

fn trace_back<D: Digest>(states: &[Visited<D>], last: usize) -> Vec<(World<D>, Option<Action>)> {
    let mut steps = vec![(states[last].0.clone(), None)];
    let mut came = states[last].1;
    while let Some((index, action)) = came {
        steps.push((states[index].0.clone(), Some(action)));
        came = states[index].1;
    }
    steps.reverse();
    steps
}

fn broken_in<D: Digest>(model: &Exploration<D>, world: &World<D>) -> Vec<&'static str> {
    let broken = rules::<D>().into_iter().filter(|rule| !(rule.holds)(model, world));
    broken.map(|rule| rule.name).collect()
}
