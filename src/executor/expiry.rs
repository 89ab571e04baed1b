//! The thread that ends idle transfers.
//!
//! Guarantees: it holds no receiver alive, and has ended before the last handle is gone
//! (SR-CON-006, SR-REC-004). Refuses to know: what ending a transfer takes.

use std::io;
use std::thread::{Builder, JoinHandle, current};
use std::time::Duration;

use super::receiver::{Shared, expire_idle};
use super::storage::Storage;
use super::sync::{Arc, Condvar, Mutex, PoisonError, lock};

/// Between two looks, at least: a timeout of 0 must not keep a processor busy.
const WAIT_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Expiry {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits; says whether to stop.
    fn wait(&self, time: Duration) -> bool {
        let asked = lock(&self.asked);
        let waited = self.changed.wait_timeout_while(asked, time, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Expiry {
    pub(super) fn start<S, A>(shared: &Arc<Shared<S, A>>, timeout: Duration) -> io::Result<Self>
    where
        S: Storage + Clone + Send + 'static,
        S::Partial: Send,
        A: Default + Send + Sync + 'static,
    {
        let stop = Arc::new(Stop::default());
        let shared = Arc::downgrade(shared);
        let asked = Arc::clone(&stop);
        let run = move || {
            let mut wait = timeout;
            while !asked.wait(wait) {
                let Some(shared) = shared.upgrade() else { return };
                wait = expire_idle(&shared, timeout).next_in.max(WAIT_MIN);
            }
        };
        let thread = Builder::new().name("snapshot-expiry".to_owned()).spawn(run)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        *lock(&self.stop.asked) = true;
        self.stop.changed.notify_all();
        // The storage's own code could drop the receiver on this very thread.
        if let Some(thread) = self
            .thread
            .take()
            .filter(|thread| thread.thread().id() != current().id())
        {
            // The thread catches every panic of a step; one outside has nothing to tell us.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
impl Expiry {
    /// Says whether the thread has ended and the expiry is dropped.
    pub(super) fn is_gone(&self) -> impl Fn() -> bool + use<> {
        let stop = Arc::downgrade(&self.stop);
        move || stop.strong_count() == 0
    }
}
