//! The one place that names synchronisation primitives and threads.
//!
//! Guarantees: every lock, condition and thread at which calls meet comes from here, so that a checker
//! of interleavings has a single module to replace (`tests/interleavings` does). What one stream keeps
//! to itself, its spare buffers and its flag, orders nothing and does not. Refuses to know: what is
//! locked, and what runs.

use std::hint;
use std::io;
use std::sync::LazyLock;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

/// How long an idle worker goes on looking for work before it sleeps: as long as waking a sleeping
/// thread takes (some 10 to 80 microseconds). Whoever was answered sends the next chunk within these,
/// and in the worst case the wait costs twice what it had to (Karlin et al., SODA 1990).
const LOOKING: Duration = Duration::from_micros(80);

/// An idle worker's patience.
pub(super) struct Patience {
    /// `None` where there is a single processor: looking would keep the submitter from running.
    until: Option<Instant>,
}

impl Patience {
    pub(super) fn new() -> Self {
        static PROCESSORS: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, usize::from));
        let is_shared = *PROCESSORS > 1;
        Self {
            until: is_shared.then(|| Instant::now() + LOOKING),
        }
    }

    /// Lets a moment pass, unless the patience is over.
    pub(super) fn look_again(&self) -> bool {
        let is_left = self.until.is_some_and(|until| Instant::now() < until);
        if is_left {
            hint::spin_loop();
        }
        is_left
    }
}

/// Starts a thread that nobody joins.
pub(super) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map(drop)
}

/// Locks, whether or not a panic was unwinding while the lock was held: what it protects is
/// consistent between statements, because each state is built whole (SR-CON-003).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the condition; see [`lock`] about panics.
pub(super) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
