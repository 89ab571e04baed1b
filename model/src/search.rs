//! The project's own breadth-first search: shortest counterexamples, and a second count.
//!
//! The checker's own path is not always a shortest one: within a block of states it keeps the last
//! that it finds. And two engines that count the same states are worth more than one.
//!
//! Guarantees: states are visited in the order of their depth, always the same; a search that met
//! its limit says so. Refuses to know: what is looked for.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ahash::RandomState;
use snapshot_receiver::protocol::Digest;
use stateright::Model;

use crate::exploration::Exploration;
use crate::world::{Action, World};

/// Where a search stops unfinished.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Unique states.
    pub states: usize,
    /// Wall time.
    pub time: Duration,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self {
        states: usize::MAX,
        time: Duration::MAX,
    };
}

/// What a search gave.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// Unique states at each depth from 0.
    pub growth: Vec<usize>,
    /// Whether every reachable state was visited.
    pub is_complete: bool,
}

impl Searched {
    /// Unique states in all.
    #[must_use]
    pub fn unique_states(&self) -> usize {
        self.growth.iter().sum()
    }
}

/// A way from the initial state to a broken rule.
#[derive(Clone, Debug)]
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

    /// The actions, in order.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        self.steps.iter().filter_map(|(_, action)| *action).collect()
    }
}

/// How each state was reached: by which action from which other.
struct Parents(Vec<(usize, Option<Action>)>);

impl Parents {
    fn actions_to(&self, mut index: usize) -> Vec<Action> {
        let mut actions = Vec::new();
        while let (parent, Some(action)) = self.0[index] {
            actions.push(action);
            index = parent;
        }
        actions.reverse();
        actions
    }
}

/// Visits every reachable state; `broken` is told of each that breaks rules, and of the actions
/// that lead there.
pub fn walk<D: Digest>(
    model: &Exploration<D>,
    limit: Limit,
    mut broken: impl FnMut(&[&'static str], &dyn Fn() -> Vec<Action>) -> ControlFlow<()>,
) -> Searched {
    let started = Instant::now();
    let mut searched = Searched::default();
    let mut parents = Parents(Vec::new());
    // Fingerprints are random enough as they are; a fast hasher will do.
    let mut known = HashSet::with_hasher(RandomState::with_seeds(5, 6, 7, 8));
    let mut level: Vec<(usize, World<D>)> = Vec::new();
    for world in model.init_states() {
        if model.within_boundary(&world) && known.insert(fingerprint(&world)) {
            level.push((parents.0.len(), world));
            parents.0.push((0, None));
        }
    }
    let mut actions = Vec::new();
    while !level.is_empty() {
        searched.growth.push(level.len());
        let mut next_level = Vec::new();
        for (index, world) in level {
            let violated = model.broken_in(&world);
            if !violated.is_empty() && broken(&violated, &|| parents.actions_to(index)).is_break() {
                return searched;
            }
            if parents.0.len() > limit.states || (index % 1024 == 0 && started.elapsed() > limit.time) {
                return searched;
            }
            model.actions(&world, &mut actions);
            for action in actions.drain(..) {
                if let Some(next) = model.next_state(&world, action)
                    && model.within_boundary(&next)
                    && known.insert(fingerprint(&next))
                {
                    next_level.push((parents.0.len(), next));
                    parents.0.push((index, Some(action)));
                }
            }
        }
        level = next_level;
    }
    searched.is_complete = true;
    searched
}

/// The nearest state that breaks a rule that is `wanted`, and the search for it.
pub fn nearest<D: Digest>(
    model: &Exploration<D>,
    limit: Limit,
    wanted: impl Fn(&str) -> bool,
) -> (Option<Counterexample<D>>, Searched) {
    let mut found = None;
    let searched = walk(model, limit, |violated, actions| {
        if !violated.iter().any(|rule| wanted(rule)) {
            return ControlFlow::Continue(());
        }
        found = Some(actions());
        ControlFlow::Break(())
    });
    (found.map(|actions| follow(model, &actions)), searched)
}

/// The states along these actions, as far as they can be taken.
pub fn follow<D: Digest>(model: &Exploration<D>, actions: &[Action]) -> Counterexample<D> {
    let mut steps = Vec::new();
    let mut world = model.init_states().swap_remove(0);
    for action in actions {
        let Some(next) = model.next_state(&world, *action) else {
            break;
        };
        steps.push((std::mem::replace(&mut world, next), Some(*action)));
    }
    let violated = model.broken_in(&world);
    steps.push((world, None));
    Counterexample { violated, steps }
}

/// A state's fingerprint of 64 bits, the same in every run.
pub(crate) fn fingerprint(state: &impl Hash) -> u64 {
    RandomState::with_seeds(1, 2, 3, 4).hash_one(state)
}

/// A way of so many steps from the first state: each step is drawn from those that are possible.
pub fn stroll<D: Digest>(
    exploration: &Exploration<D>,
    steps: usize,
    mut draw: impl FnMut(usize) -> usize,
) -> Vec<Action> {
    let mut world = exploration.init_states().swap_remove(0);
    let (mut actions, mut possible) = (Vec::new(), Vec::new());
    while actions.len() < steps {
        possible.clear();
        exploration.actions(&world, &mut possible);
        let chosen = possible.get(draw(possible.len())).copied();
        let next = chosen.and_then(|chosen| Some((chosen, exploration.next_state(&world, chosen)?)));
        let Some((chosen, next)) = next else { break };
        actions.push(chosen);
        world = next;
    }
    actions
}
