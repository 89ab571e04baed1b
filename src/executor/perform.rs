//! The effect interpreter: one match, no decision.
//!
//! Guarantees: each effect is exactly one storage operation, or is handed back to the caller.
//! Refuses to know: why an effect was asked for, and what follows from its failure. The model
//! runs this code, one effect at a time.

use std::io;

use super::storage::{Directory, Storage, StorageError};
use crate::protocol::{DatabaseId, Effect, Operation, Progress, Reply, Symbol};

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed<T> {
    /// The storage did it.
    Stored,
    /// A report to queue.
    Report(Progress),
    /// The answer: the event is finished.
    Reply(Reply<T>),
}

/// Performs one effect on the database's partial.
///
/// # Errors
/// The operation that failed, and how.
pub fn perform<T: Symbol, B: AsRef<[u8]>, S: Storage<T>>(
    effect: Effect<T, B>,
    storage: &mut S,
    database: &DatabaseId<T>,
    partial: &mut Option<S::Partial>,
) -> Result<Performed<T>, (Operation, StorageError)> {
    let (operation, outcome) = match effect {
        Effect::Create => {
            *partial = None;
            let created = storage.create(database).map(|new| *partial = Some(new));
            (Operation::Create, created)
        }
        Effect::Write { offset, data } => {
            let written = open(partial).and_then(|partial| storage.write_at(partial, offset, data.as_ref()));
            (Operation::Write, written)
        }
        Effect::Sync => (Operation::Sync, open(partial).and_then(|partial| storage.sync(partial))),
        Effect::Publish(verified) => {
            let published = partial
                .take()
                .ok_or_else(no_partial)
                .and_then(|partial| storage.publish(partial, &verified));
            (Operation::Publish, published)
        }
        Effect::SyncDirectory => (Operation::SyncDirectory, storage.sync_directory(Directory::Receive)),
        Effect::Remove => {
            *partial = None;
            (Operation::Remove, storage.remove(database))
        }
        Effect::Report(progress) => return Ok(Performed::Report(progress)),
        Effect::Reply(reply) => return Ok(Performed::Reply(reply)),
    };
    match outcome {
        Ok(()) => Ok(Performed::Stored),
        Err(error) => Err((operation, error)),
    }
}

fn open<P>(partial: &mut Option<P>) -> Result<&mut P, StorageError> {
    partial.as_mut().ok_or_else(no_partial)
}

/// `step` never asks for it: it creates before it writes, and publishes once.
fn no_partial() -> StorageError {
    io::Error::other("no partial is open").into()
}
