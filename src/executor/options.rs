//! What a receiver can be told when it is opened.
//!
//! Guarantees: every bound has a default and a reason. Refuses to know: how the bounds are kept.

use std::fmt;
use std::time::Duration;

use super::progress::OnProgress;
use super::sync::Arc;
use crate::protocol::{DatabaseId, Limits, Progress};

/// How a receiver is set up. Start from `Options::default()`.
///
/// ```
/// use std::time::Duration;
/// use snapshot_receiver::Options;
///
/// let options = Options::default()
///     .snapshot_bytes_max(1 << 40)
///     .idle_timeout(Some(Duration::from_secs(60)))
///     .on_progress(|database, progress| println!("{database}: {progress:?}"));
/// assert_eq!(options.limits.snapshot_bytes_max, 1 << 40);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// What a chunk and a snapshot may be. Defaults: chunks of 16 MiB, snapshots of 16 TiB, a
    /// report each MiB.
    pub limits: Limits,
    /// Transfers that may run at once, one open file each (SR-CON-005). Default 64.
    pub transfers_max: usize,
    /// Databases with no transfer running whose latest commit is remembered, for SR-IDN-003 and
    /// SR-IDN-004; the longest past is forgotten first (SR-CON-005). Default 1,024.
    pub remembered_commits_max: usize,
    /// How long a transfer may go without an admitted chunk before it is ended (SR-CON-006);
    /// `None` waits for ever. Default 15 minutes: longer than a source's retries, short enough
    /// that a source that went away does not hold a place for a day.
    pub idle_timeout: Option<Duration>,
    /// Threads of the async face, each for one storage operation at a time (SR-CON-004); started
    /// when there is work for them. Default 16.
    pub workers_max: usize,
    /// Payload bytes that may wait for a worker, for each database (SR-CON-005); past it, a call
    /// waits to get into the queue, and a stream is not read on. A longer chunk waits until the queue
    /// is empty. Default 4 MiB.
    pub queue_bytes_max: usize,
    /// See [`Options::on_progress`].
    pub(crate) on_progress: Option<OnProgress>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            transfers_max: 64,
            remembered_commits_max: 1024,
            idle_timeout: Some(Duration::from_secs(15 * 60)),
            workers_max: 16,
            queue_bytes_max: 4 << 20,
            on_progress: None,
        }
    }
}

impl Options {
    /// Longest payload of one chunk, in bytes.
    #[must_use]
    pub fn chunk_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.chunk_bytes_max = bytes;
        self
    }

    /// Longest snapshot a start may declare, in bytes.
    #[must_use]
    pub fn snapshot_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.snapshot_bytes_max = bytes;
        self
    }

    /// Bytes that arrive between two progress reports, at least.
    #[must_use]
    pub fn report_bytes(mut self, bytes: u64) -> Self {
        self.limits.report_bytes = bytes;
        self
    }

    /// See [`Options::transfers_max`].
    #[must_use]
    pub fn transfers_max(mut self, transfers: usize) -> Self {
        self.transfers_max = transfers;
        self
    }

    /// See [`Options::remembered_commits_max`].
    #[must_use]
    pub fn remembered_commits_max(mut self, commits: usize) -> Self {
        self.remembered_commits_max = commits;
        self
    }

    /// See [`Options::idle_timeout`].
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// See [`Options::workers_max`].
    #[must_use]
    pub fn workers_max(mut self, workers: usize) -> Self {
        self.workers_max = workers;
        self
    }

    /// See [`Options::queue_bytes_max`].
    #[must_use]
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// Is called with each report. For one database calls come in order and one at a time; no
    /// lock is held, so it may call the receiver (SR-PRG-003). It runs on the thread that
    /// finished the chunk: keep it short.
    #[must_use]
    pub fn on_progress(mut self, callback: impl Fn(&DatabaseId, Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(callback));
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("limits", &self.limits)
            .field("transfers_max", &self.transfers_max)
            .field("remembered_commits_max", &self.remembered_commits_max)
            .field("idle_timeout", &self.idle_timeout)
            .field("workers_max", &self.workers_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("on_progress", &self.on_progress.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutants: a setter that starts over from the defaults; a `Debug` that prints nothing.
    #[test]
    fn every_option_stays_as_it_was_set() {
        let options = Options::default()
            .chunk_bytes_max(1)
            .snapshot_bytes_max(2)
            .report_bytes(3)
            .transfers_max(4)
            .remembered_commits_max(5)
            .idle_timeout(None)
            .workers_max(6)
            .queue_bytes_max(7)
            .on_progress(|_, _| {})
            .chunk_bytes_max(1);
        let shown = "Options { limits: Limits { chunk_bytes_max: 1, snapshot_bytes_max: 2, report_bytes: 3 }, \
                     transfers_max: 4, remembered_commits_max: 5, idle_timeout: None, workers_max: 6, \
                     queue_bytes_max: 7, on_progress: true }";
        assert_eq!(format!("{options:?}"), shown);
    }
}
