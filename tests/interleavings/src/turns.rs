//! What happens in one interleaving, a line a turn or an operation, where somebody listens.
//!
//! Guarantees: costs a look at a flag where nobody does. Refuses to know: which checker gives the turns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static IS_LISTENING: AtomicBool = AtomicBool::new(false);
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<String>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One more line; the same one again is counted once.
pub(crate) fn tell(line: impl FnOnce() -> String) {
    if IS_LISTENING.load(Ordering::Relaxed) {
        let (line, mut lines) = (line(), lines());
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
}

/// What `body` does, with what is told meanwhile.
pub(crate) fn listen<R>(body: impl FnOnce() -> R) -> (R, Vec<String>) {
    lines().clear();
    IS_LISTENING.store(true, Ordering::Relaxed);
    let done = body();
    IS_LISTENING.store(false, Ordering::Relaxed);
    (done, std::mem::take(&mut *lines()))
}
