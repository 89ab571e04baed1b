//! shuttle: interleavings drawn at random, from a fixed seed, or chosen by bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shuttle::scheduler::{RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, Runner};

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

/// Runs the body once, under the interleaving that the bytes choose: each says which of the threads that
/// can run has the next turn. After the last byte they take turns, so that none starves.
pub fn choose(turns: &[u8], body: fn()) {
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    config.failure_persistence = FailurePersistence::None;
    let scheduler = Chosen {
        turns: turns.to_vec().into_iter(),
        is_over: false,
    };
    Runner::new(scheduler, config).run(body);
}

struct Chosen {
    turns: std::vec::IntoIter<u8>,
    is_over: bool,
}

impl Scheduler for Chosen {
    fn new_execution(&mut self) -> Option<Schedule> {
        let is_over = std::mem::replace(&mut self.is_over, true);
        (!is_over).then(|| Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, _: bool) -> Option<TaskId> {
        // The order in which shuttle lists them is nobody's promise.
        let mut ids: Vec<TaskId> = runnable.iter().map(|task| task.id()).collect();
        ids.sort_unstable();
        let next = match self.turns.next() {
            Some(turn) => ids.get(usize::from(turn) % ids.len()).copied(),
            None => {
                let later = ids.iter().find(|id| current.is_none_or(|current| **id > current));
                later.or(ids.first()).copied()
            }
        };
        crate::turns::tell(|| match next {
            Some(next) => format!("thread {} goes on", usize::from(next)),
            None => "no thread can go on".to_owned(),
        });
        next
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}
