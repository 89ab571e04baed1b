//! One call on its way through the workers: submitted by a task, run by a worker, awaited or
//! abandoned.
//!
//! Guarantees: the work runs once, whole, or never; a call abandoned before its turn never runs,
//! one abandoned later runs to its end (SR-CON-002); the result is there once the reports that came
//! with it are delivered. Refuses to know: what the work is, and any runtime: a `Waker` is all that
//! it needs of one.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::panics::caught;
use super::storage::StorageError;
use super::sync::{Arc, Mutex, lock};
use super::workers::{Job, Rest};
use crate::protocol::Operation;

/// What the work is done on, and what has to be delivered after it.
pub(crate) trait Subject: Send {
    fn has_reports(&self) -> bool;
    fn deliver_reports(&self);
}

/// The error of a call whose own code panicked.
pub(crate) type Panicked = (Operation, StorageError);

/// The worker's half of a call.
pub(crate) struct Call<L, F, R> {
    progress: Mutex<Progress<L, F, R>>,
}

struct Progress<L, F, R> {
    stage: Stage<L, F, R>,
    /// Nobody waits for the result any more.
    is_abandoned: bool,
    waker: Option<Waker>,
}

enum Stage<L, F, R> {
    Submitted { subject: L, work: F },
    Running,
    Reporting { subject: L, result: Result<R, Panicked> },
    Done(Result<R, Panicked>),
    Over,
}

/// The caller's half: the result, once it is there. Dropping it abandons the call.
pub(crate) struct Awaited<L, F, R>
where
    L: Subject,
    F: FnOnce(&L) -> R + Send,
    R: Send,
{
    call: Arc<Call<L, F, R>>,
}

impl<L, F, R> Call<L, F, R>
where
    L: Subject,
    F: FnOnce(&L) -> R + Send,
    R: Send,
{
    pub(crate) fn new(subject: L, work: F) -> (Arc<Self>, Awaited<L, F, R>) {
        let call = Arc::new(Self {
            progress: Mutex::new(Progress {
                stage: Stage::Submitted { subject, work },
                is_abandoned: false,
                waker: None,
            }),
        });
        let awaited = Awaited {
            call: Arc::clone(&call),
        };
        (call, awaited)
    }

    /// What the call keeps in use is let go before its result is there.
    fn complete(&self, subject: L, result: Result<R, Panicked>) {
        let _dropped = caught(|| drop(subject));
        let mut progress = lock(&self.progress);
        // What is not awaited is dropped here, after the lock.
        let _abandoned = if progress.is_abandoned {
            progress.stage = Stage::Over;
            Some(result)
        } else {
            progress.stage = Stage::Done(result);
            None
        };
        let waker = progress.waker.take();
        drop(progress);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<L, F, R> Job for Call<L, F, R>
where
    L: Subject,
    F: FnOnce(&L) -> R + Send,
    R: Send,
{
    fn run(&self) -> Rest {
        let submitted = {
            let mut progress = lock(&self.progress);
            match std::mem::replace(&mut progress.stage, Stage::Running) {
                Stage::Submitted { subject, work } => Some((subject, work)),
                // Abandoned before its turn; a job is run once, so nothing else is possible.
                stage @ (Stage::Running | Stage::Reporting { .. } | Stage::Done(_) | Stage::Over) => {
                    progress.stage = stage;
                    None
                }
            }
        };
        let Some((subject, work)) = submitted else {
            return Rest::Nothing;
        };
        let result = caught(|| work(&subject));
        if subject.has_reports() {
            lock(&self.progress).stage = Stage::Reporting { subject, result };
            Rest::ToFinish
        } else {
            self.complete(subject, result);
            Rest::Nothing
        }
    }

    fn finish(&self) {
        let stage = std::mem::replace(&mut lock(&self.progress).stage, Stage::Running);
        if let Stage::Reporting { subject, result } = stage {
            subject.deliver_reports();
            self.complete(subject, result);
        }
    }
}

impl<L, F, R> Awaited<L, F, R>
where
    L: Subject,
    F: FnOnce(&L) -> R + Send,
    R: Send,
{
    /// Whether the result is there.
    pub(crate) fn is_done(&self) -> bool {
        matches!(lock(&self.call.progress).stage, Stage::Done(_))
    }
}

impl<L, F, R> Future for Awaited<L, F, R>
where
    L: Subject,
    F: FnOnce(&L) -> R + Send,
    R: Send,
{
    type Output = Result<R, Panicked>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut progress = lock(&self.call.progress);
        match std::mem::replace(&mut progress.stage, Stage::Over) {
            Stage::Done(result) => Poll::Ready(result),
            stage @ (Stage::Submitted { .. } | Stage::Running | Stage::Reporting { .. } | Stage::Over) => {
                progress.stage = stage;
                match &mut progress.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    waker @ None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl<L, F, R> Drop for Awaited<L, F, R>
where
    L: Subject,
    F: FnOnce(&L) -> R + Send,
    R: Send,
{
    fn drop(&mut self) {
        let mut progress = lock(&self.call.progress);
        progress.is_abandoned = true;
        let given_up = match std::mem::replace(&mut progress.stage, Stage::Over) {
            given_up @ (Stage::Submitted { .. } | Stage::Done(_) | Stage::Over) => Some(given_up),
            under_way @ (Stage::Running | Stage::Reporting { .. }) => {
                progress.stage = under_way;
                None
            }
        };
        // What it held may run foreign code as it goes: not under the lock.
        drop(progress);
        let _dropped = caught(|| drop(given_up));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    /// Has reports or not, and counts what is delivered.
    #[derive(Clone, Default)]
    struct Subjected {
        has_reports: bool,
        deliveries: Arc<AtomicU32>,
    }

    impl Subject for Subjected {
        fn has_reports(&self) -> bool {
            self.has_reports
        }
        fn deliver_reports(&self) {
            self.deliveries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Mutant: dropping the caller's half does nothing.
    #[test]
    fn a_call_abandoned_before_its_turn_never_runs() {
        let has_run = Arc::new(AtomicBool::new(false));
        let note = Arc::clone(&has_run);
        let (call, awaited) = Call::new(Subjected::default(), move |_: &Subjected| {
            note.store(true, Ordering::Relaxed);
        });
        drop(awaited);
        assert_eq!(call.run(), Rest::Nothing);
        assert!(!has_run.load(Ordering::Relaxed));
        assert_eq!(Arc::strong_count(&has_run), 1, "what it held is let go at once");
    }

    /// Mutants: a result is always there, or never.
    #[test]
    fn a_call_is_done_once_its_result_is_there_and_its_reports_are_delivered() {
        for has_reports in [false, true] {
            let subject = Subjected {
                has_reports,
                ..Subjected::default()
            };
            let deliveries = Arc::clone(&subject.deliveries);
            let (call, awaited) = Call::new(subject, |_: &Subjected| 7);
            assert!(!awaited.is_done());
            if has_reports {
                assert_eq!(call.run(), Rest::ToFinish);
                assert!(!awaited.is_done(), "its reports come first");
                call.finish();
            } else {
                assert_eq!(call.run(), Rest::Nothing);
            }
            assert!(awaited.is_done());
            assert_eq!(deliveries.load(Ordering::Relaxed), u32::from(has_reports));
            let mut context = Context::from_waker(Waker::noop());
            let polled = Pin::new(&mut { awaited }).poll(&mut context);
            assert!(matches!(polled, Poll::Ready(Ok(7))));
        }
    }
}
