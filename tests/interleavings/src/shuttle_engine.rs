//! shuttle: interleavings drawn at random, from a fixed seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

pub use shuttle::future::block_on;
pub use shuttle::sync::{Condvar, Mutex};
pub use shuttle::thread::{JoinHandle, spawn};

/// The seed of every run: a failure comes again.
const SEED: u64 = 0x5eed;

/// Interleavings drawn for each scenario.
const SCHEDULES: usize = 2_000;

/// Runs the body under as many interleavings as are drawn; their number.
pub fn explore(_: Option<usize>, body: fn()) -> u64 {
    draw(SEED, SCHEDULES, body)
}

/// Runs the body under `schedules` interleavings.
pub fn draw(seed: u64, schedules: usize, body: fn()) -> u64 {
    let executions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let scheduler = RandomScheduler::new_from_seed(seed, schedules);
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    Runner::new(scheduler, config).run(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        body();
    });
    executions.load(Ordering::Relaxed)
}
