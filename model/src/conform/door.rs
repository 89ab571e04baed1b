//! What every way to a receiver has in common.
//!
//! Guarantees: one interface for the runner, whether the receiver is a process or a value. Refuses
//! to know: scenarios and clauses.

use std::path::Path;
use std::time::Duration;

use super::scenario::Envelope;
use super::talk::{About, Reply};

/// One thing to do with a receiver.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Open, in a new process where none runs.
    Open(&'a Path),
    /// A second receiver opens the same directory; it is gone when this returns.
    SecondOpen(&'a Path),
    /// A chunk.
    Chunk(&'a Envelope),
    /// An abort of one database, or of all.
    Abort(Option<&'a str>),
    /// Close; a process exits.
    Close,
    /// End without warning.
    Kill,
    /// A chunk, and an end without warning that long after it was sent.
    KillDuring(&'a Envelope, Duration),
    /// A line that is no valid request; `{seq}` in it is to be filled in.
    Line(&'a str),
    /// No file may grow past this.
    FileSizeLimit(Option<u64>),
    /// The next call of this operation fails, with this kind.
    FailNext(&'a str, &'a str),
    /// Idle transfers are ended.
    Expire,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// A reply.
    Reply(Reply),
    /// It was done, and there is nothing to answer.
    Done,
    /// It was ended; a reply may have come before.
    Killed(Option<Reply>),
    /// This door has no such thing, and why.
    NotHere(String),
}

/// How an adapter broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breakage {
    /// It cannot be started.
    #[error("it cannot be started: {0}")]
    Start(String),
    /// Its answer to `hello` is none.
    #[error("its answer to hello cannot be used: {0}")]
    Hello(String),
    /// It printed something that is no reply.
    #[error("it printed nonsense ({why}): {line}")]
    Nonsense {
        /// Why it is none.
        why: String,
        /// The line, shortened.
        line: String,
    },
    /// It answered another request.
    #[error("it answered with seq {actual}, not {expected}: {line}")]
    WrongSeq {
        /// The request's.
        expected: u64,
        /// The reply's.
        actual: String,
        /// The line, shortened.
        line: String,
    },
    /// It printed too much.
    #[error("it printed too much: {0}")]
    TooMuch(String),
    /// It wrote too much to standard error.
    #[error("it filled standard error: {bytes} bytes during one request")]
    StandardError {
        /// How much.
        bytes: u64,
    },
    /// It did not answer.
    #[error("it did not answer within {0:.1?}; --time-limit gives it longer")]
    Silence(Duration),
    /// It died.
    #[error("it died: {0}")]
    Died(String),
    /// It did not exit as it should.
    #[error("after close it {0}")]
    Exit(String),
    /// It answered `errored` to a valid request.
    #[error("it answered errored to a valid request: {0}")]
    Errored(String),
    /// The kit could not do its part.
    #[error("the kit itself could not go on: {0}")]
    Kit(String),
}

/// How an adapter broke, and what it had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// How.
    pub what: Breakage,
    /// What was asked.
    pub request: String,
    /// The end of its standard error.
    pub standard_error: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.request.is_empty() {
            write!(f, "\n  asked: {}", self.request)?;
        }
        if self.standard_error.trim().is_empty() {
            write!(f, "\n  its standard error is empty")
        } else {
            write!(f, "\n  its standard error ends with:")?;
            for line in self.standard_error.trim_end().lines() {
                write!(f, "\n    | {line}")?;
            }
            Ok(())
        }
    }
}

/// A way to a receiver.
pub trait Door {
    /// Starts a receiver that has nothing open, in place of the one before, and asks who it is.
    ///
    /// # Errors
    /// It broke.
    fn start(&mut self) -> Result<About, Box<Broken>>;

    /// Does one thing.
    ///
    /// # Errors
    /// It broke; the next thing to do is [`start`](Self::start).
    fn take(&mut self, request: Request<'_>) -> Result<Response, Box<Broken>>;

    /// Whether a receiver runs.
    fn is_running(&self) -> bool;
}
