//! Concurrent calls against the oracle: is there an order, one call after the other, that gives
//! these answers (SR-CON-001)?
//!
//! Guarantees: a history is accepted exactly if its calls can be put into an order that keeps what
//! really came before what, and in which the oracle gives every answer that was given
//! (linearizability: Herlihy and Wing, TOPLAS 1990; decided by stateright's tester). Refuses to know:
//! how the calls were interleaved, and by whom.
//!
//! To check a shell of your own, note each call here: [`Calls::begin`] before it, [`Calls::end`] with
//! its answer after it, and at the end a [`Call::Look`] with what lies in the directory.
//!
//! ```
//! use snapshot_receiver_model::harness::memory::Files;
//! use snapshot_receiver_model::harness::sequential::{Call, Calls, Told};
//!
//! let calls = Calls::default();
//! calls.begin(1, Call::Abort("db".into()));
//! calls.end(1, Told::Aborted);
//! calls.note(0, Call::Look("db".into()), Told::Seen { bytes_done: None, files: Files::default() });
//! let in_order = calls.check()?;
//! assert_eq!(in_order.len(), 2);
//! # Ok::<(), snapshot_receiver_model::harness::sequential::NoOrder>(())
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::memory::Files;
use super::oracle::Oracle;
use super::{Answer, Sent};

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A chunk was handed over.
    Chunk(Sent),
    /// A database's transfer was to be ended: by an abort, or because it was idle.
    Abort(String),
    /// Somebody asked how far a database's transfer is.
    Progress(String),
    /// Somebody asked that, and looked at its files.
    Look(String),
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// To a chunk.
    Answer(Answer),
    /// To an abort.
    Aborted,
    /// To a question: the bytes of the running transfer, if one runs.
    Progress(Option<u64>),
    /// To a look.
    Seen {
        /// The bytes of the running transfer, if one runs.
        bytes_done: Option<u64>,
        /// What lies under the database's names.
        files: Files,
    },
    /// That the receiver is closed: the call had no effect.
    Closed,
}

impl SequentialSpec for Oracle {
    type Op = Call;
    type Ret = Told;

    fn invoke(&mut self, call: &Call) -> Told {
        match call {
            Call::Chunk(sent) => Told::Answer(self.chunk(sent, false)),
            Call::Abort(database) => {
                self.databases.entry(database.clone()).or_default().end_attempt();
                Told::Aborted
            }
            Call::Progress(database) => Told::Progress(self.bytes_done(database)),
            Call::Look(database) => {
                let expected = self.databases.get(database).cloned().unwrap_or_default();
                Told::Seen {
                    bytes_done: self.bytes_done(database),
                    files: Files {
                        partial: expected.running.map(|(_, bytes)| bytes),
                        snapshot: expected.snapshot,
                    },
                }
            }
        }
    }

    fn is_valid_step(&mut self, call: &Call, told: &Told) -> bool {
        let before = self.clone();
        let expected = self.invoke(call);
        match (call, told) {
            (Call::Chunk(_) | Call::Abort(_) | Call::Progress(_) | Call::Look(_), Told::Closed) => {
                *self = before;
                true
            }
            // An operation failed: one of an admitted chunk. What was committed before is untouched.
            (Call::Chunk(sent), Told::Answer(Answer::Failed)) => {
                let was_admitted = matches!(
                    expected,
                    Told::Answer(Answer::Pending(_) | Answer::Committed(_))
                        | Told::Answer(Answer::Rejected {
                            reason: "crc_mismatch" | "length_mismatch",
                            ..
                        })
                );
                *self = before;
                let database = self.databases.entry(sent.database.clone()).or_default();
                database.end_attempt();
                database.forget_repeat_if(sent.offset == 0);
                was_admitted
            }
            (Call::Chunk(_) | Call::Abort(_) | Call::Progress(_) | Call::Look(_), _) => expected == *told,
        }
    }
}

impl Oracle {
    fn bytes_done(&self, database: &str) -> Option<u64> {
        let (_, bytes) = self.databases.get(database)?.running.as_ref()?;
        Some(bytes.len() as u64)
    }
}

/// The calls of one run, by number of the thread that made them.
#[derive(Debug)]
pub struct Calls {
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    tester: LinearizabilityTester<u8, Oracle>,
    lines: Vec<String>,
    answers: Vec<(u8, Told)>,
}

/// There is no such order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no order of these calls gives these answers (SR-CON-001):\n{calls}")]
pub struct NoOrder {
    /// The calls and answers as they came, a line each.
    pub calls: String,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            noted: Mutex::new(Noted {
                tester: LinearizabilityTester::new(Oracle::default()),
                lines: Vec::new(),
                answers: Vec::new(),
            }),
        }
    }
}

impl Calls {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread is about to make a call. A call that gets no answer (its future was dropped, its
    /// thread panicked) is left as it is, and its thread's number not used again: it may have taken
    /// effect at any time since, or not at all (SR-CON-002).
    ///
    /// # Panics
    /// Where the thread has a call without an answer.
    pub fn begin(&self, thread: u8, call: Call) {
        let mut noted = self.noted();
        noted.lines.push(format!("thread {thread} calls {call:?}"));
        let begun = noted.tester.on_invoke(thread, call).map(drop);
        assert!(begun.is_ok(), "thread {thread} has a call without an answer");
    }

    /// The thread's call was answered.
    ///
    /// # Panics
    /// Where it has none.
    pub fn end(&self, thread: u8, told: Told) {
        let mut noted = self.noted();
        noted.lines.push(format!("thread {thread} is told {told:?}"));
        noted.answers.push((thread, told.clone()));
        let ended = noted.tester.on_return(thread, told).map(drop);
        assert!(ended.is_ok(), "thread {thread} has no call");
    }

    /// A call and its answer.
    pub fn note(&self, thread: u8, call: Call, told: Told) {
        self.begin(thread, call);
        self.end(thread, told);
    }

    /// What each thread was told, by thread and in its order.
    #[must_use]
    pub fn answers(&self) -> Vec<(u8, Told)> {
        let mut answers = self.noted().answers.clone();
        answers.sort_by_key(|(thread, _)| *thread);
        answers
    }

    /// Looks for an order; the answers in it.
    ///
    /// # Errors
    /// [`NoOrder`].
    pub fn check(&self) -> Result<Vec<(Call, Told)>, NoOrder> {
        let noted = self.noted();
        noted.tester.serialized_history().ok_or_else(|| NoOrder {
            calls: noted.lines.join("\n"),
        })
    }
}
