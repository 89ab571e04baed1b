//! What the harness drives: the shipped receiver, or its protocol alone with bugs seeded around it.
//!
//! Guarantees: both take the same calls and are told apart by nothing that the harness compares.
//! Refuses to know: the oracle.

use std::collections::BTreeMap;
use std::time::Duration;

use snapshot_receiver::executor::{Performed, Storage, perform, recover};
use snapshot_receiver::protocol::{
    DatabaseId, Effects, Envelope, Event, Failure, OlderStart, Operation, Progress, Reply, State, Text, Vacancy,
};
use snapshot_receiver::{ChunkOutcome, Options, ReceiveError, Receiver};

use super::{Answer, LIMITS, TRANSFERS_MAX};
use crate::bugs::{Bugs, mistakes};

/// Takes each progress report.
pub type OnReport = Box<dyn Fn(&DatabaseId, Progress) + Send + Sync>;

/// What a call was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The answer.
    pub answer: Answer,
    /// The operation that failed first, where one did.
    pub cause: Option<Operation>,
    /// Whether the partial could not be removed either.
    pub removal_failed: bool,
}

/// What an abort was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aborted {
    /// The transfer has ended.
    Done,
    /// The id is not valid: the reason's name.
    Rejected(&'static str),
    /// The partial could not be removed.
    Failed,
}

impl Told {
    /// What a shipped receiver answered to a chunk.
    #[must_use]
    pub fn of(told: Result<ChunkOutcome, ReceiveError>) -> Self {
        let (cause, removal_failed) = match &told {
            Err(ReceiveError::Storage {
                operation,
                removal_failed,
                ..
            }) => (Some(*operation), removal_failed.is_some()),
            Ok(_) | Err(_) => (None, false),
        };
        let answer = match told {
            Ok(ChunkOutcome::Pending { bytes_done }) => Answer::Pending(bytes_done),
            Ok(ChunkOutcome::Committed { snapshot_lsn, .. }) => Answer::Committed(snapshot_lsn),
            Err(ReceiveError::Rejected {
                rejection,
                resume_offset,
                ..
            }) => Answer::Rejected {
                reason: rejection.reason(),
                values: rejection.expected_and_actual(),
                resume: resume_offset,
            },
            Err(_) => Answer::Failed,
        };
        Self {
            answer,
            cause,
            removal_failed,
        }
    }
}

impl Aborted {
    /// What a shipped receiver answered to an abort.
    #[must_use]
    pub fn of(told: Result<(), ReceiveError>) -> Self {
        match told {
            Ok(()) => Self::Done,
            Err(ReceiveError::Rejected { rejection, .. }) => Self::Rejected(rejection.reason()),
            Err(_) => Self::Failed,
        }
    }
}

/// A receiver, as the harness calls it.
pub trait Subject<S>: Sized {
    /// Opens it on a storage.
    ///
    /// # Errors
    /// It refuses to open, and why.
    fn open(storage: S, bugs: Bugs, on_report: OnReport) -> Result<Self, String>;
    /// A chunk arrives.
    fn chunk(&mut self, envelope: Envelope<Vec<u8>>, older: OlderStart) -> Told;
    /// One database's transfer is aborted.
    fn abort_database(&mut self, id: &str) -> Aborted;
    /// All transfers are aborted; returns how many of the aborts failed.
    fn abort(&mut self) -> usize;
    /// All transfers have been idle for too long.
    fn expire_all(&mut self);
    /// Closes it; says whether every partial was removed.
    fn close(&mut self) -> bool;
    /// What the protocol knows of a database.
    ///
    /// # Errors
    /// It does not say.
    fn state(&self, database: &DatabaseId) -> Result<State, String>;
}

/// The options of every receiver that the harness drives.
#[must_use]
pub fn options(on_report: OnReport) -> Options {
    let mut options = Options::default()
        .transfers_max(TRANSFERS_MAX)
        .idle_timeout(None)
        .on_progress(on_report);
    options.limits = LIMITS;
    options
}

/// The shipped receiver. Bugs are seeded below it, in its storage.
impl<S> Subject<S> for Receiver<S>
where
    S: Storage<Partial: Send> + Clone + Send + 'static,
{
    fn open(storage: S, _: Bugs, on_report: OnReport) -> Result<Self, String> {
        Self::with_storage(storage, "", options(on_report)).map_err(|error| error.to_string())
    }

    fn chunk(&mut self, envelope: Envelope<Vec<u8>>, older: OlderStart) -> Told {
        Told::of(self.handle_chunk_with(envelope, older))
    }

    fn abort_database(&mut self, id: &str) -> Aborted {
        Aborted::of(Self::abort_database(self, id))
    }

    fn abort(&mut self) -> usize {
        Self::abort(self).err().map_or(0, |error| error.failures.len())
    }

    fn expire_all(&mut self) {
        self.expire_idle(Duration::ZERO);
    }

    fn close(&mut self) -> bool {
        Self::close(self).is_ok()
    }

    fn state(&self, database: &DatabaseId) -> Result<State, String> {
        Self::state(self, database).map_err(|error| error.to_string())
    }
}

/// The protocol alone, one call after the other: the shipped `step`, effect interpreter and
/// recovery, with bugs seeded around `step`.
pub struct Sequential<S: Storage> {
    storage: S,
    bugs: Bugs,
    on_report: OnReport,
    transfers: BTreeMap<DatabaseId, Transfer<S::Partial>>,
}

struct Transfer<P> {
    state: State,
    partial: Option<P>,
}

impl<P> Default for Transfer<P> {
    fn default() -> Self {
        let (state, partial) = (State::default(), None);
        Self { state, partial }
    }
}

impl<S: Storage> std::fmt::Debug for Sequential<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sequential")
            .field("bugs", &self.bugs)
            .finish_non_exhaustive()
    }
}

/// Steps that one event takes at most: itself, a failure of its effects, a failed removal. A seeded
/// bug that asks for more is told as a failure.
const STEPS_MAX: usize = 3;

impl<S: Storage> Sequential<S> {
    fn drive(&mut self, database: &DatabaseId, mut event: Event<Text, Vec<u8>>) -> Told {
        let (mut cause, mut removal_failed) = (None, false);
        for _ in 0..STEPS_MAX {
            let transfer = self.transfers.entry(database.clone()).or_default();
            let state = std::mem::take(&mut transfer.state);
            let step = mistakes::step(self.bugs, &LIMITS, state, event);
            transfer.state = step.state;
            let removes = matches!(transfer.state, State::AwaitingRemoval(_));
            match self.perform_all(database, step.effects) {
                Ok(Some(reply)) => {
                    let answer = answer(reply);
                    return Told {
                        answer,
                        cause,
                        removal_failed,
                    };
                }
                Ok(None) => event = Event::EffectsPerformed,
                Err(failure) => {
                    if removes && cause.is_some() {
                        removal_failed = true;
                    } else {
                        cause = Some(failure.operation);
                    }
                    event = Event::EffectFailed(failure);
                }
            }
        }
        Told {
            answer: Answer::Failed,
            cause,
            removal_failed,
        }
    }

    fn perform_all(
        &mut self,
        database: &DatabaseId,
        effects: Effects<Text, Vec<u8>>,
    ) -> Result<Option<Reply<Text>>, Failure> {
        let transfer = self.transfers.entry(database.clone()).or_default();
        for effect in effects {
            match perform(effect, &mut self.storage, database, &mut transfer.partial) {
                Ok(Performed::Stored) => {}
                Ok(Performed::Report(progress)) => (self.on_report)(database, progress),
                Ok(Performed::Reply(reply)) => return Ok(Some(reply)),
                Err((operation, error)) => {
                    let kind = error.kind;
                    return Err(Failure { operation, kind });
                }
            }
        }
        Ok(None)
    }

    fn known(&self) -> Vec<DatabaseId> {
        self.transfers.keys().cloned().collect()
    }
}

impl<S: Storage> Subject<S> for Sequential<S> {
    fn open(mut storage: S, bugs: Bugs, on_report: OnReport) -> Result<Self, String> {
        let left = recover(&mut storage).map_err(|error| error.to_string())?;
        let owed = |orphan: snapshot_receiver::executor::OrphanLeft| {
            let state = State::with_removal_owed();
            (orphan.found.database, Transfer { state, partial: None })
        };
        Ok(Self {
            storage,
            bugs,
            on_report,
            transfers: left.into_iter().map(owed).collect(),
        })
    }

    fn chunk(&mut self, envelope: Envelope<Vec<u8>>, older_start: OlderStart) -> Told {
        let chunk = match envelope.into_chunk() {
            Ok(chunk) => chunk,
            Err(rejection) => {
                let answer = Answer::rejected(rejection.reason(), rejection.expected_and_actual(), 0);
                let (cause, removal_failed) = (None, false);
                return Told {
                    answer,
                    cause,
                    removal_failed,
                };
            }
        };
        let running = self.transfers.values().filter(|transfer| transfer.state.is_running());
        let vacancy = if running.count() < TRANSFERS_MAX {
            Vacancy::Free
        } else {
            let transfers_max = TRANSFERS_MAX as u64;
            Vacancy::Exhausted { transfers_max }
        };
        let database = chunk.identity.database.clone();
        let event = Event::ChunkArrived {
            chunk,
            vacancy,
            older_start,
        };
        self.drive(&database, event)
    }

    fn abort_database(&mut self, id: &str) -> Aborted {
        let Ok(database) = DatabaseId::new(id) else {
            return Aborted::Rejected("invalid_database_id");
        };
        match self.drive(&database, Event::AbortRequested) {
            Told { cause: None, .. } => Aborted::Done,
            Told { cause: Some(_), .. } => Aborted::Failed,
        }
    }

    fn abort(&mut self) -> usize {
        let known = self.known();
        let told = |database: &DatabaseId| self.drive(database, Event::AbortRequested);
        known.iter().map(told).filter(|told| told.cause.is_some()).count()
    }

    fn expire_all(&mut self) {
        for database in self.known() {
            // Nobody waits for the answer.
            let _told = self.drive(&database, Event::IdleExpired);
        }
    }

    fn close(&mut self) -> bool {
        let failures = Subject::abort(self);
        // What is owed is the next opening's.
        self.transfers.clear();
        failures == 0
    }

    fn state(&self, database: &DatabaseId) -> Result<State, String> {
        let known = self.transfers.get(database);
        Ok(known.map(|transfer| transfer.state.clone()).unwrap_or_default())
    }
}

fn answer(reply: Reply<Text>) -> Answer {
    match reply {
        Reply::Pending { bytes_done } => Answer::Pending(bytes_done),
        Reply::Committed { snapshot_lsn } => Answer::Committed(snapshot_lsn),
        Reply::Rejected {
            rejection,
            resume_offset,
            ..
        } => Answer::rejected(rejection.reason(), rejection.expected_and_actual(), resume_offset),
        Reply::Failed { .. } | Reply::Aborted | Reply::NothingRan | Reply::OutOfTurn => Answer::Failed,
    }
}
