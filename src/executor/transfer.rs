//! One database's transfer: its state and its open file, which travel together, and the loop
//! that takes one event to its reply.
//!
//! Guarantees: whoever holds a `Transfer` has both, so no attempt's file can meet another
//! attempt's state (SR-ABT-004, SR-PUB-004); a panic ends the attempt and leaves a usable
//! transfer (SR-CON-003). Refuses to know: who else calls, and who holds the lock.

use super::panics::caught;
use super::perform::{Performed, perform};
use super::storage::{Storage, StorageError};
use crate::protocol::{
    AwaitingStart, Crc32c, DatabaseId, Digest, Effects, Event, Failure, FailureKind, Limits, Memory, Operation,
    Progress, Reply, State, Step, Symbol, Text, step,
};

/// The most steps that one event takes: the event, a failure of its effects, a failure of the
/// removal that follows.
const STEPS_MAX: usize = 3;

/// The state of a transfer and its open partial.
#[derive(Debug)]
pub struct Transfer<P, T = Text, D = Crc32c> {
    /// What the protocol knows.
    pub state: State<T, D>,
    /// The open partial, while a transfer runs.
    pub partial: Option<P>,
}

impl<P, T, D> Default for Transfer<P, T, D> {
    fn default() -> Self {
        Self::from(State::default())
    }
}

impl<P, T, D> From<State<T, D>> for Transfer<P, T, D> {
    fn from(state: State<T, D>) -> Self {
        Self { state, partial: None }
    }
}

/// A reply, and what the operating system said where something failed.
#[derive(Debug)]
pub struct Answer<T = Text> {
    /// The protocol's answer.
    pub reply: Reply<T>,
    /// What failed first, where the reply is `Failed`.
    pub cause: Option<StorageError>,
    /// Why the partial could not be removed, where that failed too (SR-ERR-005).
    pub removal: Option<StorageError>,
}

impl<P, T: Symbol, D: Digest> Transfer<P, T, D> {
    /// Takes one event to its reply: step, perform, and, where an effect failed or no reply
    /// came, step again. Three steps are the most that an event takes.
    ///
    /// `report` is called for each progress report, in order, before the reply is returned.
    pub fn drive<B: AsRef<[u8]>, S: Storage<T, Partial = P>>(
        &mut self,
        limits: &Limits,
        storage: &mut S,
        database: &DatabaseId<T>,
        event: Event<T, B>,
        report: &mut dyn FnMut(Progress),
    ) -> Answer<T> {
        let (mut cause, mut removal) = (None, None);
        let mut event = event;
        for _ in 0..STEPS_MAX {
            let outcome = self
                .take_step(limits, event)
                .and_then(|effects| self.perform_all(effects, storage, database, report));
            event = match outcome {
                Ok(Some(reply)) => return Answer { reply, cause, removal },
                Ok(None) => Event::EffectsPerformed,
                Err((operation, error)) => {
                    let kind = error.kind;
                    match self.state {
                        State::AwaitingRemoval(_) => removal = Some(error),
                        State::AwaitingStart(_) | State::AwaitingChunk(_) | State::AwaitingPublication(_) => {
                            cause = Some(error);
                        }
                    }
                    Event::EffectFailed(Failure { operation, kind })
                }
            };
        }
        self.give_up(cause, removal)
    }

    /// Only a `step` that panics on every event gets here: rather than asking it for ever, the
    /// attempt ends and its partial stays owed.
    fn give_up(&mut self, cause: Option<StorageError>, removal: Option<StorageError>) -> Answer<T> {
        *self = Self::from(State::with_removal_owed());
        let reply = Reply::Failed {
            failure: Failure {
                operation: Operation::Panic,
                kind: FailureKind::Other,
            },
            removal_failed: Some(FailureKind::Other),
        };
        Answer { reply, cause, removal }
    }

    fn take_step<B: AsRef<[u8]>>(
        &mut self,
        limits: &Limits,
        event: Event<T, B>,
    ) -> Result<Effects<T, B>, (Operation, StorageError)> {
        // `step` takes the state by value; the copy is for the case that it panics, which only a
        // payload's own code can make it do.
        let state = self.state.clone();
        let Step { state, effects } = caught(|| step(limits, state, event))?;
        self.state = state;
        Ok(effects)
    }

    fn perform_all<B: AsRef<[u8]>, S: Storage<T, Partial = P>>(
        &mut self,
        effects: Effects<T, B>,
        storage: &mut S,
        database: &DatabaseId<T>,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Option<Reply<T>>, (Operation, StorageError)> {
        let partial = &mut self.partial;
        // After a panic the attempt ends, and with it everything that the closure holds.
        let performed = caught(|| {
            for effect in effects {
                match perform(effect, storage, database, partial)? {
                    Performed::Stored => {}
                    Performed::Report(progress) => report(progress),
                    Performed::Reply(reply) => return Ok(Some(reply)),
                }
            }
            Ok(None)
        });
        performed.and_then(|reply| reply)
    }

    /// Whether the latest commit is remembered (SR-IDN-004, SR-CON-005).
    pub(super) fn remembers_commit(&self) -> bool {
        self.state.latest().is_some()
    }

    /// Whether a removal is owed (SR-ERR-005).
    pub(super) fn owes_removal(&self) -> bool {
        matches!(
            self.state,
            State::AwaitingStart(AwaitingStart {
                memory: Memory::RemovalOwed,
                ..
            })
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ClusterId, Commit};

    /// Mutant: a commit is always remembered, so that no database is ever forgotten (SR-CON-005).
    #[test]
    fn only_a_database_with_a_commit_remembers_one() {
        let with = |latest| {
            let memory = Memory::Nothing;
            Transfer::<()>::from(State::AwaitingStart(AwaitingStart { latest, memory }))
        };
        let cluster = ClusterId::new("eu").expect("valid");
        let snapshot_lsn = 1;
        assert!(!with(None).remembers_commit());
        assert!(with(Some(Commit { cluster, snapshot_lsn })).remembers_commit());
    }
}
