//! Concurrent calls against the oracle: is there an order, one call after the other, that gives
//! these answers (SR-CON-001)?
//!
//! Guarantees: a history is accepted exactly if its calls can be put into an order that keeps what
//! really came before what, and in which the oracle gives every answer that was given
//! (linearizability: Herlihy and Wing, TOPLAS 1990; searched as Wing and Gong do, JPDC 1993, with Lowe's
//! memory of what was tried, 2017). Refuses to know: how the calls were interleaved, and by whom.
//!
//! stateright has such a tester, too; it tries threads in the order of their numbers and remembers
//! nothing, and took twenty times as long for eight calls at once.
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
//! calls.note(0, Call::Look("db".into()), Told::Seen {
//!     bytes_done: None,
//!     latest_lsn: None,
//!     is_repeated: false,
//!     files: Files::default(),
//! });
//! let explained = calls.check()?;
//! assert_eq!(explained.order.len(), 2);
//! # Ok::<(), snapshot_receiver_model::harness::sequential::NoOrder>(())
//! ```

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
        /// The LSN of the latest commit, while it is remembered.
        latest_lsn: Option<u64>,
        /// Whether its final chunk would be answered again (SR-IDN-003).
        is_repeated: bool,
        /// What lies under the database's names.
        files: Files,
    },
    /// That the receiver is closed: the call had no effect.
    Closed,
}

impl Oracle {
    /// Whether the call may be answered so where the oracle stands; it follows if it may.
    fn allows(&mut self, call: &Call, told: &Told) -> bool {
        if *told == Told::Closed {
            return true;
        }
        let allowed = match (call, told) {
            (Call::Chunk(sent), Told::Answer(Answer::Failed)) => self.fails(sent),
            (Call::Chunk(sent), _) => *told == Told::Answer(self.chunk(sent, false)),
            (Call::Abort(database), _) => {
                self.databases.entry(database.clone()).or_default().end_attempt();
                *told == Told::Aborted
            }
            (Call::Progress(database), _) => *told == Told::Progress(self.bytes_done(database)),
            (Call::Look(database), _) => *told == self.look(database),
        };
        // Reports are delivered outside the order of the calls (SR-PRG-003).
        for database in self.databases.values_mut() {
            database.reports.clear();
        }
        allowed
    }

    /// The call takes effect, and nobody is told.
    fn follows(&mut self, call: &Call) {
        match call {
            Call::Chunk(sent) => drop(self.chunk(sent, false)),
            Call::Abort(database) => self.databases.entry(database.clone()).or_default().end_attempt(),
            Call::Progress(_) | Call::Look(_) => {}
        }
    }

    /// An operation failed: one of an admitted chunk. What was committed before is untouched.
    fn fails(&mut self, sent: &Sent) -> bool {
        let was_admitted = match self.clone().chunk(sent, false) {
            Answer::Pending(_) | Answer::Committed(_) => true,
            // Its removal may have failed.
            Answer::Rejected { reason, .. } => matches!(reason, "crc_mismatch" | "length_mismatch"),
            Answer::Failed => false,
        };
        let database = self.databases.entry(sent.database.clone()).or_default();
        database.end_attempt();
        database.forget_repeat_if(sent.offset == 0);
        was_admitted
    }

    fn look(&self, database: &str) -> Told {
        let expected = self.databases.get(database).cloned().unwrap_or_default();
        Told::Seen {
            bytes_done: self.bytes_done(database),
            latest_lsn: expected.latest.map(|(_, lsn)| lsn),
            is_repeated: expected.running.is_none() && expected.repeat.is_some(),
            files: Files {
                partial: expected.running.map(|(_, bytes)| bytes),
                snapshot: expected.snapshot,
            },
        }
    }

    fn bytes_done(&self, database: &str) -> Option<u64> {
        let (_, bytes) = self.databases.get(database)?.running.as_ref()?;
        Some(bytes.len() as u64)
    }
}

/// The calls of one run, by number of the thread that made them.
#[derive(Debug, Default)]
pub struct Calls {
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    oracle: Oracle,
    calls: Vec<Noting>,
    /// Beginnings and ends so far.
    now: usize,
}

#[derive(Clone, Debug)]
struct Noting {
    thread: u8,
    call: Call,
    begun: usize,
    /// When, and with what; never, where nobody was there to be told.
    ended: Option<(usize, Told)>,
}

/// An order of the calls that explains their answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Numbers of the calls, by their beginning, from 0. One that was not answered may be missing.
    pub order: Vec<usize>,
    /// Where the oracle stands after them.
    pub oracle: Oracle,
}

/// There is no such order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no order of these calls gives these answers (SR-CON-001):\n{calls}")]
pub struct NoOrder {
    /// The calls and answers as they came, a line each.
    pub calls: String,
}

/// Calls that one run may have: as many as a mask has bits.
const CALLS_MAX: usize = 64;

impl Calls {
    /// Calls on a receiver that stands where the oracle does.
    #[must_use]
    pub fn on(oracle: Oracle) -> Self {
        let noted = Noted {
            oracle,
            ..Noted::default()
        };
        Self {
            noted: Mutex::new(noted),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread is about to make a call. A call that gets no answer (its future was dropped, its
    /// thread panicked) is left as it is, and its thread's number not used again: it may have taken
    /// effect at any time since, or not at all (SR-CON-002).
    ///
    /// # Panics
    /// Where the thread has a call without an answer, or after 64 calls.
    pub fn begin(&self, thread: u8, call: Call) {
        let mut noted = self.noted();
        let waits = noted
            .calls
            .iter()
            .any(|noting| noting.thread == thread && noting.ended.is_none());
        assert!(!waits, "thread {thread} has a call without an answer");
        assert!(noted.calls.len() < CALLS_MAX, "a run has at most {CALLS_MAX} calls");
        let begun = noted.tick();
        noted.calls.push(Noting {
            thread,
            call,
            begun,
            ended: None,
        });
    }

    /// The thread's call was answered.
    ///
    /// # Panics
    /// Where it has none.
    pub fn end(&self, thread: u8, told: Told) {
        let mut noted = self.noted();
        let now = noted.tick();
        let waiting = noted
            .calls
            .iter_mut()
            .find(|noting| noting.thread == thread && noting.ended.is_none());
        let Some(waiting) = waiting else {
            panic!("thread {thread} has no call");
        };
        waiting.ended = Some((now, told));
    }

    /// A call and its answer.
    pub fn note(&self, thread: u8, call: Call, told: Told) {
        self.begin(thread, call);
        self.end(thread, told);
    }

    /// What each thread was told, by thread and in its order.
    #[must_use]
    pub fn answers(&self) -> Vec<(u8, Told)> {
        let noted = self.noted();
        let answered = noted.calls.iter().filter_map(|noting| {
            let (_, told) = noting.ended.as_ref()?;
            Some((noting.thread, told.clone()))
        });
        let mut answers: Vec<_> = answered.collect();
        answers.sort_by_key(|(thread, _)| *thread);
        answers
    }

    /// Looks for an order.
    ///
    /// # Errors
    /// [`NoOrder`].
    pub fn check(&self) -> Result<Explained, NoOrder> {
        let noted = self.noted();
        let mut search = Search {
            calls: &noted.calls,
            tried: HashSet::new(),
            order: Vec::new(),
        };
        match search.explain(0, &noted.oracle) {
            Some(oracle) => Ok(Explained {
                order: search.order,
                oracle,
            }),
            None => Err(NoOrder { calls: noted.lines() }),
        }
    }
}

impl Noted {
    fn tick(&mut self) -> usize {
        self.now += 1;
        self.now
    }

    fn lines(&self) -> String {
        let begun = self.calls.iter().map(|noting| {
            let line = format!("thread {} calls {:?}", noting.thread, noting.call);
            (noting.begun, line)
        });
        let ended = self.calls.iter().filter_map(|noting| {
            let (ended, told) = noting.ended.as_ref()?;
            Some((*ended, format!("thread {} is told {told:?}", noting.thread)))
        });
        let mut lines: Vec<_> = begun.chain(ended).collect();
        lines.sort();
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        lines.join("\n")
    }
}

struct Search<'a> {
    calls: &'a [Noting],
    /// Which calls were taken, and where the oracle stood, in vain.
    tried: HashSet<(u64, Oracle)>,
    order: Vec<usize>,
}

impl Search<'_> {
    /// Takes the calls that are not in `taken` one by one; where the oracle stands at the end.
    fn explain(&mut self, taken: u64, oracle: &Oracle) -> Option<Oracle> {
        let is_left = |index: &usize| taken & (1 << index) == 0;
        let left = || (0..self.calls.len()).filter(is_left);
        // Whatever began after another was answered comes after it.
        let ends = left().filter_map(|index| self.calls[index].ended.as_ref());
        let Some(first_end) = ends.map(|(ended, _)| *ended).min() else {
            return Some(oracle.clone());
        };
        if !self.tried.insert((taken, oracle.clone())) {
            return None;
        }
        let mut next: Vec<usize> = left().filter(|index| self.calls[*index].begun < first_end).collect();
        // Most often the order in which they were answered is one.
        next.sort_by_key(|index| {
            self.calls[*index]
                .ended
                .as_ref()
                .map_or(usize::MAX, |(ended, _)| *ended)
        });
        for index in next {
            let mut oracle = oracle.clone();
            let noting = &self.calls[index];
            let is_allowed = match &noting.ended {
                Some((_, told)) => oracle.allows(&noting.call, told),
                None => {
                    oracle.follows(&noting.call);
                    true
                }
            };
            if is_allowed {
                self.order.push(index);
                if let Some(oracle) = self.explain(taken | (1 << index), &oracle) {
                    return Some(oracle);
                }
                self.order.pop();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(lsn: u64) -> Call {
        Call::Chunk(Sent {
            cluster: "eu".into(),
            database: "db".into(),
            lsn,
            total: 4,
            crc: 0,
            offset: 0,
            data: b"ab".to_vec(),
            done: false,
        })
    }

    fn running(bytes_done: Option<u64>) -> Told {
        Told::Progress(bytes_done)
    }

    #[test]
    fn an_answer_that_fits_one_order_of_overlapping_calls_is_explained() {
        let calls = Calls::default();
        calls.begin(1, start(1));
        calls.begin(2, Call::Abort("db".into()));
        calls.end(1, Told::Answer(Answer::Pending(2)));
        calls.end(2, Told::Aborted);
        calls.note(0, Call::Progress("db".into()), running(Some(2)));
        assert_eq!(calls.check().expect("the abort came first").order, [1, 0, 2]);
    }

    #[test]
    fn what_came_before_stays_before() {
        let calls = Calls::default();
        calls.note(1, start(1), Told::Answer(Answer::Pending(2)));
        calls.note(2, Call::Abort("db".into()), Told::Aborted);
        calls.note(0, Call::Progress("db".into()), running(Some(2)));
        let error = calls.check().expect_err("the abort came last").to_string();
        assert!(error.contains("SR-CON-001") && error.lines().count() == 7, "{error}");
    }

    #[test]
    fn a_call_that_nobody_was_told_of_may_or_may_not_have_taken_effect() {
        for seen in [None, Some(2)] {
            let calls = Calls::default();
            calls.begin(1, start(1));
            calls.note(0, Call::Progress("db".into()), running(seen));
            calls.check().expect("either is right");
        }
    }
}
