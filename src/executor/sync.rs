//! The one place that names synchronisation primitives.
//!
//! Guarantees: every lock, counter and condition of the shell comes from here, so that a
//! checker of interleavings has a single module to replace. Refuses to know: what is locked.

pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

/// Locks, whether or not a panic was unwinding while the lock was held: what it protects is
/// consistent between statements, because each state is built whole (SR-CON-003).
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
