//! Runs the checker over one configuration of a system.
//!
//! Guarantees: `check` gives a verdict only on the whole reachable space: no bound on states, depth
//! or time is set, because the checker would report a bounded run as done; `simulate` says that it
//! is none. Breadth first on one thread, so that the depth is exact; several configurations run
//! beside each other instead. A counterexample is a shortest one. Refuses to know: how results are
//! shown.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use snapshot_receiver::protocol::Digest;
use stateright::{Checker, HasDiscoveries, Model, UniformChooser};

use crate::exploration::Exploration;
use crate::search::{Counterexample, Limit, follow, nearest};
use crate::system::System;
use crate::witnesses::{Witness, expected};

/// What a checker is made blind to: ways in which checkers lie, each of which must be noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blindness {
    /// A crash leaves the disk as it was.
    pub loses_nothing: bool,
    /// The network delivers only what was sent last.
    pub never_duplicates: bool,
    /// No sync fails.
    pub syncs_never_fail: bool,
    /// This rule is taken as true.
    pub rule: Option<&'static str>,
    /// No state is within the boundary.
    pub sees_no_state: bool,
    /// The run stops after so many states, and says that it is complete.
    pub stops_after: Option<usize>,
}

/// Figures of a run that is under way, for a progress line.
#[derive(Debug, Default)]
pub struct Running {
    /// Unique states so far, of all configurations.
    pub unique_states: AtomicUsize,
    /// Configurations that are through.
    pub systems_done: AtomicUsize,
}

/// What checking one configuration gave.
#[derive(Debug)]
pub struct Outcome<D: Digest> {
    /// The system, in one configuration.
    pub system: System,
    /// Whether every reachable state was visited; a simulation never says so.
    pub is_exhaustive: bool,
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
    /// Unique states at each depth, where the project's own search counted them.
    pub growth: Vec<usize>,
    /// The shortest way to a broken rule.
    pub counterexample: Option<Counterexample<D>>,
}

impl<D: Digest> Outcome<D> {
    /// Whether every rule held, every expected witness was reached, and the number of states is
    /// the pinned one, by both engines where both counted.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violated.is_empty() && self.unreached().is_empty() && !self.count_differs() && !self.engines_differ()
    }

    /// Witnesses that the system exists to reach, and did not.
    #[must_use]
    pub fn unreached(&self) -> Vec<Witness> {
        if !self.is_exhaustive {
            return Vec::new();
        }
        let mut expected = expected(&self.system);
        expected.retain(|witness| !self.witnesses.contains(witness));
        expected
    }

    /// Whether the number of states is not the pinned one: the model, or the receiver, is not
    /// what it was when the number was written down.
    #[must_use]
    pub fn count_differs(&self) -> bool {
        let pinned = self.system.pinned_states;
        self.violated.is_empty() && pinned.is_some_and(|pinned| pinned != self.unique_states)
    }

    /// Whether the project's own search counted other states than the checker.
    #[must_use]
    pub fn engines_differ(&self) -> bool {
        !self.growth.is_empty() && self.violated.is_empty() && self.growth.iter().sum::<usize>() != self.unique_states
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
    let started = Instant::now();
    let stops_after = exploration.blindness.stops_after;
    let mut builder = exploration
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures);
    if let Some(states) = stops_after.and_then(NonZeroUsize::new) {
        builder = builder.target_state_count(states.get());
    }
    let checker = builder.spawn_bfs();
    watch(&checker, running);
    outcome(checker.join(), started, true)
}

/// The same model, walked at random for some time: for worlds that are too large to exhaust.
///
/// # Panics
/// As [`check`].
pub fn simulate<D>(exploration: Exploration<D>, time: Duration, seed: u64, running: &Running) -> Outcome<D>
where
    D: Digest + Send + Sync + 'static,
{
    let started = Instant::now();
    let builder = exploration
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(time);
    let checker = builder.spawn_simulation(seed, UniformChooser);
    watch(&checker, running);
    outcome(checker.join(), started, false)
}

/// Counts the states of an outcome a second time, by depth, with the project's own search.
pub fn count_again<D: Digest>(outcome: &mut Outcome<D>) {
    let again = Exploration::<D>::of(outcome.system.clone());
    let (_, searched) = nearest(&again, Limit::NONE, |_| true);
    outcome.growth = searched.growth;
}

fn watch<D, C>(checker: &C, running: &Running)
where
    D: Digest,
    C: Checker<Exploration<D>>,
{
    let mut counted = 0;
    while !checker.is_done() {
        thread::sleep(Duration::from_millis(5));
        let states = checker.unique_state_count();
        running.unique_states.fetch_add(states - counted, Ordering::Relaxed);
        counted = states;
    }
    let states = checker.unique_state_count();
    running.unique_states.fetch_add(states - counted, Ordering::Relaxed);
    running.systems_done.fetch_add(1, Ordering::Relaxed);
}

fn outcome<D, C>(checker: C, started: Instant, is_exhaustive: bool) -> Outcome<D>
where
    D: Digest,
    C: Checker<Exploration<D>>,
{
    let model = checker.model();
    // The checker knows that some rule is broken; the search says which, on a shortest way.
    let counterexample = checker.discoveries().into_values().next().map(|path| {
        let found = if is_exhaustive {
            nearest(model, Limit::NONE, |_| true).0
        } else {
            None
        };
        found.unwrap_or_else(|| follow(model, &path.into_actions()))
    });
    let violated = match &counterexample {
        None => Vec::new(),
        Some(found) if found.violated.is_empty() => vec!["a broken rule that does not show again"],
        Some(found) => found.violated.clone(),
    };
    Outcome {
        is_exhaustive,
        unique_states: checker.unique_state_count(),
        generated_states: checker.state_count(),
        max_depth: checker.max_depth(),
        seconds: started.elapsed().as_secs_f64(),
        violated,
        witnesses: Witness::ALL
            .iter()
            .copied()
            .filter(|witness| model.witnesses.reached(*witness))
            .collect(),
        growth: Vec::new(),
        counterexample,
        system: model.system.clone(),
    }
}
