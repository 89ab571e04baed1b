//! Threads that take calls off the hands of their callers.
//!
//! Guarantees: a lane's jobs run one at a time, in the order in which they were submitted; lanes
//! take turns; no more threads work than were asked for, and they are started when there is work;
//! every job that was submitted is run. Refuses to know: what a job is, and any runtime.
//!
//! Lock order: none of the locks is held while another is taken.

use std::collections::VecDeque;
use std::fmt;
use std::io;

use super::panics::caught;
use super::sync::{Arc, Condvar, Mutex, MutexGuard, Patience, lock, start_thread, wait};

/// Jobs that one lane may run while others wait: enough to be worth a turn, few enough that a busy
/// lane holds a thread only briefly.
const JOBS_PER_TURN: usize = 8;

/// Something that a worker takes care of, once.
pub(crate) trait Job: Send + Sync {
    /// The part that must not meet another job of the lane.
    fn run(&self) -> Rest;

    /// The rest, while the lane goes on: foreign code that may wait for the lane's other jobs.
    fn finish(&self);
}

/// Whether a job has a second part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Nothing,
    ToFinish,
}

/// A queue of jobs that must not overtake each other, such as the calls for one database.
#[derive(Default)]
pub(crate) struct Lane {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Arc<dyn Job>>,
    /// A worker has the lane, or it waits among the ready ones for a worker.
    is_scheduled: bool,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

/// The handle; once it is dropped, the threads end when what was submitted is done.
#[derive(Debug)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ready: Mutex<Ready>,
    /// A lane has become ready, or no more will.
    changed: Condvar,
    threads_max: usize,
}

#[derive(Debug, Default)]
struct Ready {
    lanes: VecDeque<Arc<Lane>>,
    /// Threads that work or wait for work; one that finishes a job is not among them.
    threads: usize,
    /// Of those, the ones that look for work at this moment: no sleeping one need be woken for it.
    looking: usize,
    /// Of those, the ones that sleep.
    asleep: usize,
    /// Of those, the ones that were called and are not up yet: not to be called once more.
    called: usize,
    is_closed: bool,
}

impl Ready {
    /// Whether a thread that looked for work goes to sleep: a lane that came meanwhile wakes nobody.
    fn lets_sleep(&self, look_again: bool) -> bool {
        !look_again && self.lanes.is_empty() && !self.is_closed
    }
}

impl Workers {
    /// At most `threads_max` threads, at least one: the first is started here, so that work that
    /// was submitted is done whatever comes.
    pub(crate) fn start(threads_max: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            ready: Mutex::new(Ready {
                threads: 1,
                ..Ready::default()
            }),
            changed: Condvar::new(),
            threads_max,
        });
        shared.start_thread()?;
        Ok(Self { shared })
    }

    /// Puts a job behind those that the lane has.
    pub(crate) fn submit(&self, lane: &Arc<Lane>, job: Arc<dyn Job>) {
        let was_scheduled = {
            let mut queue = lock(&lane.queue);
            queue.jobs.push_back(job);
            std::mem::replace(&mut queue.is_scheduled, true)
        };
        if !was_scheduled {
            self.shared.schedule(Arc::clone(lane));
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.ready).is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Makes a scheduled lane ready.
    fn schedule(self: &Arc<Self>, lane: Arc<Lane>) {
        let mut ready = lock(&self.ready);
        ready.lanes.push_back(lane);
        self.see_to_it(ready);
    }

    /// Sees to it that somebody takes the lanes that are ready: a thread that looks anyway, else one
    /// that sleeps, else a new one; and where all of them work, the next that is through.
    fn see_to_it(self: &Arc<Self>, mut ready: MutexGuard<'_, Ready>) {
        if ready.lanes.len() <= ready.looking + ready.called {
            return;
        }
        if ready.asleep > ready.called {
            ready.called += 1;
            drop(ready);
            self.changed.notify_one();
        } else if ready.threads < self.threads_max.max(1) {
            ready.threads += 1;
            drop(ready);
            if let Err(error) = self.start_thread() {
                lock(&self.ready).threads -= 1;
                tracing::warn!(%error, "no further worker could be started");
            }
        }
    }

    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        start_thread("snapshot-worker", move || shared.work())
    }

    fn work(self: &Arc<Self>) {
        while let Some(lane) = self.next_lane() {
            match lane.run() {
                Turn::NothingLeft => {}
                Turn::MoreToDo => self.schedule(lane),
                Turn::ToFinish(job) => {
                    self.leave(lane);
                    let _done = caught(|| job.finish());
                    let _dropped = caught(|| drop(job));
                    if !self.come_back() {
                        return;
                    }
                }
            }
        }
    }

    /// The lane whose turn it is; waits for one. `None` once there will be no more.
    fn next_lane(&self) -> Option<Arc<Lane>> {
        let patience = Patience::new();
        let mut ready = lock(&self.ready);
        loop {
            if let Some(lane) = ready.lanes.pop_front() {
                return Some(lane);
            }
            if ready.is_closed {
                ready.threads -= 1;
                return None;
            }
            ready.looking += 1;
            drop(ready);
            let look_again = patience.look_again();
            ready = lock(&self.ready);
            ready.looking -= 1;
            if ready.lets_sleep(look_again) {
                ready.asleep += 1;
                while ready.called == 0 && !ready.is_closed {
                    ready = wait(&self.changed, ready);
                }
                ready.asleep -= 1;
                ready.called = ready.called.saturating_sub(1);
            }
        }
    }

    /// The thread is about to run foreign code: the others do its work meanwhile, and `lane`'s.
    fn leave(self: &Arc<Self>, lane: Arc<Lane>) {
        let has_more = lane.has_more();
        let mut ready = lock(&self.ready);
        ready.threads -= 1;
        ready.lanes.extend(has_more.then_some(lane));
        self.see_to_it(ready);
    }

    /// Whether the thread is still needed after its foreign code.
    fn come_back(&self) -> bool {
        let mut ready = lock(&self.ready);
        let is_needed = ready.threads < self.threads_max.max(1);
        ready.threads += usize::from(is_needed);
        is_needed
    }
}

/// How a lane's turn ended.
enum Turn {
    NothingLeft,
    MoreToDo,
    /// A job has a second part; the lane may have more to do.
    ToFinish(Arc<dyn Job>),
}

impl Lane {
    /// Runs what is queued, up to the length of a turn.
    fn run(&self) -> Turn {
        for _ in 0..JOBS_PER_TURN {
            let Some(job) = self.next_job() else {
                return Turn::NothingLeft;
            };
            // A job catches what its own work does; a thread must survive the rest, too.
            match caught(|| job.run()) {
                Ok(Rest::ToFinish) => return Turn::ToFinish(job),
                Ok(Rest::Nothing) | Err(_) => {
                    let _dropped = caught(|| drop(job));
                }
            }
        }
        Turn::MoreToDo
    }

    /// Whether the turn has to go on; see [`next_job`](Self::next_job).
    fn has_more(&self) -> bool {
        let mut queue = lock(&self.queue);
        queue.is_scheduled = !queue.jobs.is_empty();
        queue.is_scheduled
    }

    /// The next job, or the end of the turn: decided under one lock, so that a submission either
    /// comes before it and is seen, or finds the lane not scheduled.
    fn next_job(&self) -> Option<Arc<dyn Job>> {
        let mut queue = lock(&self.queue);
        let next = queue.jobs.pop_front();
        queue.is_scheduled = next.is_some();
        next
    }
}

#[cfg(test)]
#[path = "workers_tests.rs"]
mod workers_tests;
