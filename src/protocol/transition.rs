//! The state machine a second time: which phase may follow which, and what may not change.
//!
//! Guarantees: written from the clauses, not from `step`, so that the two can disagree; every
//! harness asserts it after every step. Refuses to know: effects, limits, payloads.

use super::event::Event;
use super::id::{Symbol, Text};
use super::state::{Commit, Memory, Standing, State};

/// What an event is to the state machine, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A chunk at offset 0.
    Start,
    /// A chunk at another offset.
    Continuation,
    /// [`Event::AbortRequested`].
    Abort,
    /// [`Event::IdleExpired`].
    Expiry,
    /// [`Event::EffectsPerformed`].
    Performed,
    /// [`Event::EffectFailed`].
    Failed,
}

impl Cause {
    /// The cause that `event` is.
    pub fn of<T, B>(event: &Event<T, B>) -> Self {
        match event {
            Event::ChunkArrived { chunk, .. } if chunk.offset == 0 => Self::Start,
            Event::ChunkArrived { .. } => Self::Continuation,
            Event::AbortRequested => Self::Abort,
            Event::IdleExpired => Self::Expiry,
            Event::EffectsPerformed => Self::Performed,
            Event::EffectFailed(_) => Self::Failed,
        }
    }
}

/// Why one state may not follow another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidTransition<T = Text> {
    /// SR-CON-001: no event of that kind leads from the one phase, as it is, to the other.
    #[error("{cause:?} does not lead from {from} to {to} with these values")]
    Phase {
        /// The phase before.
        from: &'static str,
        /// What happened.
        cause: Cause,
        /// The phase after.
        to: &'static str,
    },
    /// SR-IDN-004: what later starts are measured against changed without a commit, or is not what
    /// was committed.
    #[error("{cause:?} changed the latest commit from {from:?} to {to:?}")]
    LatestCommit {
        /// The latest commit before.
        from: Option<Commit<T>>,
        /// What happened.
        cause: Cause,
        /// The latest commit after.
        to: Option<Commit<T>>,
    },
}

/// Checks that `to` may follow `from` on `cause`. To stay as it was is always valid.
///
/// # Errors
/// What may not be: the phase first, then the latest commit.
pub fn valid_transition<T: Symbol, D: Eq>(
    from: &State<T, D>,
    cause: Cause,
    to: &State<T, D>,
) -> Result<(), InvalidTransition<T>> {
    if from == to {
        return Ok(());
    }
    if !valid_phases(from, cause, to) {
        let (from, to) = (phase_name(from), phase_name(to));
        return Err(InvalidTransition::Phase { from, cause, to });
    }
    if !latest_commit_is_kept(from, cause, to) {
        let (from, to) = (from.latest().cloned(), to.latest().cloned());
        return Err(InvalidTransition::LatestCommit { from, cause, to });
    }
    Ok(())
}

fn phase_name<T, D>(state: &State<T, D>) -> &'static str {
    match state {
        State::AwaitingStart(_) => "AwaitingStart",
        State::AwaitingChunk(_) => "AwaitingChunk",
        State::AwaitingPublication(_) => "AwaitingPublication",
        State::AwaitingRemoval(_) => "AwaitingRemoval",
    }
}

fn valid_phases<T: Symbol, D: Eq>(from: &State<T, D>, cause: Cause, to: &State<T, D>) -> bool {
    use State::{AwaitingChunk, AwaitingPublication, AwaitingRemoval, AwaitingStart};
    match (from, cause) {
        // SR-OFF-001, SR-LEN-001, SR-CRC-002: a start opens an attempt, which one chunk may end.
        (AwaitingStart(before), Cause::Start) => match to {
            AwaitingStart(_) => false,
            AwaitingChunk(_) | AwaitingPublication(_) => true,
            AwaitingRemoval(after) => (before.memory == Memory::RemovalOwed) == (after.standing == Standing::Ours),
        },
        // SR-OFF-002, SR-IDN-003: nothing but a start changes an idle database.
        (AwaitingStart(_), Cause::Continuation | Cause::Expiry | Cause::Performed | Cause::Failed) => false,
        // SR-ABT-003: only an owed removal gives an abort something to do.
        (AwaitingStart(before), Cause::Abort) => {
            before.memory == Memory::RemovalOwed && matches!(to, AwaitingRemoval(_))
        }
        // SR-OFF-001: a start replaces the transfer, of whatever identity, within the database.
        (AwaitingChunk(before), Cause::Start) => match to {
            AwaitingStart(_) => false,
            AwaitingChunk(after) => before.identity.database == after.identity.database,
            AwaitingPublication(_) => true,
            AwaitingRemoval(after) => after.standing == Standing::Ours,
        },
        // SR-OFF-003, SR-OFF-004, SR-IDN-001: bytes are only added, to the same snapshot.
        (AwaitingChunk(before), Cause::Continuation) => match to {
            AwaitingStart(_) => false,
            AwaitingChunk(after) => {
                before.identity == after.identity
                    && before.received_bytes < after.received_bytes
                    && before.reported_bytes <= after.reported_bytes
                    // SR-PRG-001: a report counts anew from where it was made.
                    && [before.reported_bytes, after.received_bytes].contains(&after.reported_bytes)
            }
            AwaitingPublication(after) => {
                after.final_chunk.identity == before.identity && after.final_chunk.offset == before.received_bytes
            }
            AwaitingRemoval(after) => after.standing == Standing::Ours,
        },
        // SR-ABT-001, SR-CON-006, SR-ERR-005: what a transfer leaves is its own, and owed until it is gone.
        (AwaitingChunk(_), Cause::Abort | Cause::Expiry) => {
            matches!(to, AwaitingRemoval(after) if after.standing == Standing::Ours)
        }
        (AwaitingChunk(_), Cause::Performed) => false,
        // SR-ERR-001: the attempt ends, whichever call failed.
        (AwaitingChunk(_) | AwaitingPublication(_), Cause::Failed) => match to {
            AwaitingStart(after) => after.memory == Memory::Nothing,
            AwaitingRemoval(_) => true,
            AwaitingChunk(_) | AwaitingPublication(_) => false,
        },
        // SR-PUB-001: only performed effects commit, and they commit what was verified.
        (AwaitingPublication(before), Cause::Performed) => match to {
            AwaitingStart(after) => match &after.memory {
                Memory::Nothing => before.final_chunk.offset == 0,
                Memory::CommittedBy(final_chunk) => *final_chunk == before.final_chunk,
                Memory::RemovalOwed => false,
            },
            AwaitingChunk(_) | AwaitingPublication(_) | AwaitingRemoval(_) => false,
        },
        // SR-ERR-005: a removal that failed stays owed.
        (AwaitingRemoval(_), Cause::Performed) => {
            matches!(to, AwaitingStart(after) if after.memory == Memory::Nothing)
        }
        (AwaitingRemoval(before), Cause::Failed) => match (to, before.standing) {
            (AwaitingStart(after), Standing::Ours) => after.memory == Memory::RemovalOwed,
            (AwaitingStart(after), Standing::NotOurs) => after.memory == Memory::Nothing,
            (AwaitingChunk(_) | AwaitingPublication(_) | AwaitingRemoval(_), _) => false,
        },
        // One event is finished before the next.
        (
            AwaitingPublication(_) | AwaitingRemoval(_),
            Cause::Start | Cause::Continuation | Cause::Abort | Cause::Expiry,
        ) => false,
    }
}

/// SR-IDN-004: the latest commit changes by a commit and by nothing else.
fn latest_commit_is_kept<T: Symbol, D>(from: &State<T, D>, cause: Cause, to: &State<T, D>) -> bool {
    match (from, cause) {
        (State::AwaitingPublication(phase), Cause::Performed) => to.latest().is_some_and(|latest| {
            let identity = &phase.final_chunk.identity;
            latest.cluster == identity.cluster && latest.snapshot_lsn == identity.snapshot_lsn
        }),
        (
            State::AwaitingStart(_)
            | State::AwaitingChunk(_)
            | State::AwaitingPublication(_)
            | State::AwaitingRemoval(_),
            Cause::Start | Cause::Continuation | Cause::Abort | Cause::Expiry | Cause::Performed | Cause::Failed,
        ) => from.latest() == to.latest(),
    }
}
