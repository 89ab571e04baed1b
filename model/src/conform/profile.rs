//! Which scenarios a profile has.
//!
//! Guarantees: each profile has those of the smaller one; names are unique. Refuses to know: doors.

use super::export::edges;
use super::random::{enumerated, pairs, random};
use super::restarts::{restarted, restarts};
use super::scenario::Scenario;
use super::suite::suite;
use super::talk::About;
use super::worlds::{counterexamples, of_fuzzers};

/// Written by hand, exported from the model, kept from fuzzers; and a kill at every step.
#[must_use]
pub fn quick(about: &About) -> Vec<Scenario> {
    // A checkout without the fuzzers' files tests without them.
    let of_fuzzers = of_fuzzers(about).unwrap_or_default();
    [suite(about), edges(), counterexamples(), of_fuzzers, restarts()].concat()
}

/// And every pair of chunk size, order, fault and restart, so many random ones, and the written ones
/// with a kill at each boundary.
#[must_use]
pub fn standard(about: &About, seed: u64, count: usize) -> Vec<Scenario> {
    let killed = restarted(&suite(about));
    [quick(about), pairs(), killed, random(about, seed, count)].concat()
}

/// And every sequence of a small alphabet, to that depth.
#[must_use]
pub fn exhaustive(about: &About, seed: u64, count: usize, depth: usize) -> Vec<Scenario> {
    [standard(about, seed, count), enumerated(depth)].concat()
}

/// Those that can be asked for by name, whatever the profile.
#[must_use]
pub fn named(about: &About) -> Vec<Scenario> {
    standard(about, 0, 0)
}
