//! Delivery of progress reports.
//!
//! Guarantees: the reports of one database reach the callback in order, one at a time, with no
//! lock held (SR-PRG-003); a panic in it costs that report and nothing else (SR-CON-003); nobody
//! waits for a slow callback, so that it may wait for the receiver. Refuses to know: when a report
//! is due.

use std::collections::VecDeque;

use super::panics::caught;
use super::sync::{Arc, Mutex, lock};
use crate::protocol::{DatabaseId, Progress};

/// Called with each report of each database. It may call the receiver.
pub type OnProgress = Arc<dyn Fn(&DatabaseId, Progress) + Send + Sync>;

/// Reports of one database that may wait for a slow callback; past it, a newer `Bootstrapping`
/// report takes the place of the one before it (SR-CON-005).
const REPORTS_MAX: usize = 1024;

/// The reports of one database that the callback has not seen yet.
#[derive(Debug, Default)]
pub(super) struct Reports {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Progress>,
    /// A thread is delivering. Another that comes meanwhile leaves its reports to it, so that
    /// order holds without a lock over the callback.
    is_delivered: bool,
}

impl Reports {
    /// Queues a report; called while the transfer is locked, so in the order of its steps.
    pub(super) fn push(&self, progress: Progress) {
        let waiting = &mut lock(&self.queue).waiting;
        let is_full = waiting.len() >= REPORTS_MAX;
        match (waiting.back_mut(), progress) {
            (Some(last @ Progress::Bootstrapping { .. }), Progress::Bootstrapping { .. }) if is_full => {
                *last = progress
            }
            (Some(_) | None, Progress::Bootstrapping { .. } | Progress::Following) => waiting.push_back(progress),
        }
    }

    /// Whether a report waits.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "only the async face asks"))]
    pub(super) fn has_any(&self) -> bool {
        !lock(&self.queue).waiting.is_empty()
    }

    /// Delivers what waits, unless another thread is at it; called with nothing locked.
    pub(super) fn deliver(&self, database: &DatabaseId, on_progress: &OnProgress) {
        {
            let mut queue = lock(&self.queue);
            if queue.is_delivered || queue.waiting.is_empty() {
                return;
            }
            queue.is_delivered = true;
        }
        while let Some(progress) = self.next() {
            if caught(|| on_progress(database, progress)).is_err() {
                // A subscriber is foreign code too.
                let _logged = caught(|| {
                    tracing::error!(%database, ?progress, "the progress callback panicked; its report is lost");
                });
            }
        }
    }

    /// The next report, or the end of the delivery: decided under one lock, so that no report is
    /// left behind.
    fn next(&self) -> Option<Progress> {
        let mut queue = lock(&self.queue);
        let next = queue.waiting.pop_front();
        queue.is_delivered = next.is_some();
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_that_wait_are_bounded_and_the_newest_is_kept() {
        let (reports, total) = (Reports::default(), 2 * REPORTS_MAX as u64);
        let report = |bytes_done| Progress::Bootstrapping {
            bytes_done,
            bytes_total: total,
        };
        for bytes_done in 1..=total {
            reports.push(report(bytes_done));
        }
        reports.push(Progress::Following);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let callback: OnProgress = Arc::new(move |_, progress| lock(&noted).push(progress));
        reports.deliver(&DatabaseId::new("db").expect("valid"), &callback);
        let seen = lock(&seen);
        assert_eq!(seen.len(), REPORTS_MAX + 1);
        assert_eq!(seen[REPORTS_MAX - 1..], [report(total), Progress::Following]);
    }

    /// Mutant: a report always waits, so that every call has a second part.
    #[test]
    fn a_report_waits_until_it_is_delivered() {
        let reports = Reports::default();
        assert!(!reports.has_any());
        reports.push(Progress::Following);
        assert!(reports.has_any());
        let callback: OnProgress = Arc::new(|_, _| {});
        reports.deliver(&DatabaseId::new("db").expect("valid"), &callback);
        assert!(!reports.has_any());
    }
}
