//! Delivery of progress reports.
//!
//! Guarantees: the reports of one database reach the callback in order, one at a time, with no
//! lock held (SR-PRG-003); a panic in it costs that report and nothing else (SR-CON-003).
//! Refuses to know: when a report is due.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{ThreadId, current};

use super::sync::{Arc, Condvar, Mutex, PoisonError, lock};
use crate::protocol::{DatabaseId, Progress};

/// Called with each report of each database. It may call the receiver.
pub type OnProgress = Arc<dyn Fn(&DatabaseId, Progress) + Send + Sync>;

/// Reports of one database that may wait for a slow callback; past it, callers wait
/// (SR-CON-005).
const REPORTS_MAX: usize = 1024;

/// The reports of one database that the callback has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Reports {
    queue: Mutex<Queue>,
    taken: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Progress>,
    /// The thread that is delivering. Another that comes meanwhile leaves its reports to it, so
    /// that order holds without a lock over the callback.
    deliverer: Option<ThreadId>,
}

impl Reports {
    /// Queues a report; called while the transfer is locked, so in the order of its steps.
    pub(super) fn push(&self, progress: Progress) {
        lock(&self.queue).waiting.push_back(progress);
    }

    /// Delivers what waits, unless another thread is at it; called with nothing locked.
    pub(super) fn deliver(&self, database: &DatabaseId, on_progress: &OnProgress) {
        let mut queue = lock(&self.queue);
        while let Some(deliverer) = queue.deliverer {
            if queue.waiting.len() < REPORTS_MAX || deliverer == current().id() {
                return;
            }
            queue = self.taken.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.deliverer = Some(current().id());
        while let Some(progress) = queue.waiting.pop_front() {
            drop(queue);
            self.taken.notify_all();
            // Unwind-safe: nothing of ours is borrowed but the id.
            let delivered = catch_unwind(AssertUnwindSafe(|| on_progress(database, progress)));
            if delivered.is_err() {
                tracing::error!(%database, ?progress, "the progress callback panicked; its report is lost");
            }
            queue = lock(&self.queue);
        }
        queue.deliverer = None;
        drop(queue);
        self.taken.notify_all();
    }
}
