//! loom's locks and threads in place of the standard library's. `Arc` is the standard one: what it
//! counts is not what is checked, and loom's has neither weak references nor trait objects.

use std::io;

pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::{Arc, PoisonError, TryLockError};

/// An idle worker looks once more before it sleeps.
pub(super) struct Patience;

impl Patience {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn look_again(&self) -> bool {
        false
    }
}

pub(super) fn start_thread(_: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    loom::thread::spawn(run);
    Ok(())
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
