//! loom: every interleaving, or every one with at most so many preemptions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use loom::future::block_on;
pub use loom::sync::{Condvar, Mutex};
pub use loom::thread::{JoinHandle, spawn};

/// Runs the body under every interleaving; how many there were.
pub fn explore(preemptions_max: Option<usize>, body: fn()) -> u64 {
    let executions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let mut model = loom::model::Builder::new();
    // Past any of these loom would stop and call it a success: none of them, whatever the environment
    // says. A body with more branches than this is a panic.
    model.max_branches = 100_000;
    model.max_permutations = None;
    model.max_duration = None;
    model.preemption_bound = preemptions_max;
    model.checkpoint_file = None;
    model.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    executions.load(Ordering::Relaxed)
}
