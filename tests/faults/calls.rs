//! The executor against the model, call by call: what the shipped receiver does is what `step` asked for.
//!
//! Guarantees: in each run of `runs`, each event's calls are its effects in their order, and the reply comes
//! after the last; adjacent writes are taken as one. Refuses to know: what `step` should ask for, and which
//! runs there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use snapshot_receiver::executor::Directory;
use snapshot_receiver::protocol::{Event, Limits, OlderStart, Reply, Text};
use snapshot_receiver::{ChunkOutcome, DatabaseId, Envelope, Options, ReceiveError};

use crate::flaw::Flaw;
use crate::log::{Call, Entry, Injected, Log, Outcome};
use crate::place::{memory_directory, number_from, say};
use crate::runs::{self, Kind};
use crate::shadow::{Done, Shadow, Told, calls};
use crate::subject::{Subject, Violation, holds};

/// Overrides how many runs are drawn.
const RUNS: &str = "CALL_RUNS";

/// A receiver, and the pure function beside it.
pub(crate) struct Beside<'a> {
    flaw: Option<Flaw>,
    data_dir: PathBuf,
    pub(crate) log: Log,
    options: Options,
    subject: Option<Subject>,
    shadow: Shadow,
    /// Hears of each commit, before anything else is done.
    heard: Hearing<'a>,
    /// All that was logged.
    pub(crate) entries: Vec<Entry>,
}

/// Hears what happens between the calls, a line each.
pub(crate) type Hearing<'a> = &'a mut dyn FnMut(&str);

fn differs(what: String) -> Violation {
    // The order of effects is what publication rests on.
    let clause = "SR-PUB-001";
    Violation { clause, what }
}

impl<'a> Beside<'a> {
    pub(crate) fn new(
        flaw: Option<Flaw>,
        data_dir: &Path,
        (limits, places): (Limits, usize),
        heard: Hearing<'a>,
    ) -> Self {
        let mut options = Options::default().idle_timeout(None).transfers_max(places);
        options.limits = limits;
        Self {
            flaw,
            data_dir: data_dir.to_owned(),
            log: Log::default(),
            options,
            subject: None,
            shadow: Shadow::new(limits, places),
            heard,
            entries: Vec::new(),
        }
    }

    /// What was done since the last time.
    fn done(&mut self) -> Done {
        let entries = self.log.take();
        let done = calls(&entries);
        self.entries.extend(entries);
        done
    }

    fn nothing_more(&self, done: &Done, after: &str) -> Result<(), Violation> {
        if done.is_empty() {
            return Ok(());
        }
        Err(differs(format!("after {after}, nobody asked for {done:?}")))
    }

    /// Somebody else does something to the directory.
    pub(crate) fn outsider(&mut self, does: impl FnOnce()) {
        (self.heard)("outsider");
        does();
        (self.heard)("receiver");
    }

    /// Goes to another data directory; nothing is open.
    pub(crate) fn move_to(&mut self, data_dir: PathBuf) {
        self.data_dir = data_dir;
    }

    /// A listing, a removal of each orphan, three syncs; the first failure of another kind ends it.
    pub(crate) fn open(&mut self) -> Result<(), Violation> {
        self.shadow.forget();
        let opened = Subject::open(self.flaw, &self.data_dir, &self.log, self.options.clone());
        let done = self.done();
        let mut removed = BTreeSet::new();
        let syncs = [Directory::Receive, Directory::Data, Directory::Parent];
        let mut syncs = syncs.into_iter();
        for (number, (call, outcome)) in done.iter().enumerate() {
            let is_due = match call {
                Call::List => number == 0,
                Call::Remove(database) => {
                    if *outcome != Outcome::Done {
                        self.shadow.owe(database.clone());
                    }
                    removed.insert(database.clone()) && syncs.len() == 3
                }
                Call::SyncDirectory(directory) => syncs.next() == Some(*directory),
                Call::Create(_)
                | Call::Write { .. }
                | Call::Sync(_)
                | Call::Publish(_)
                | Call::UnlinkSnapshot(_)
                | Call::SyncSnapshot(_) => false,
            };
            holds(is_due, "SR-PUB-005", || {
                format!("call {number} of an opening: {done:?}")
            })?;
        }
        let last = done.back().map(|(_, outcome)| *outcome);
        let is_whole = syncs.len() == 0 && last == Some(Outcome::Done);
        // It is refused by its files before the first call, or by a call that failed.
        let is_refused = opened.is_err() && last != Some(Outcome::Done);
        holds(is_refused || self.log.is_killed() || is_whole, "SR-PUB-005", || {
            format!("an opening gave {:?} after {done:?}", opened.as_ref().map(drop))
        })?;
        self.subject = opened.ok();
        if self.subject.is_none() {
            self.shadow.forget();
        }
        Ok(())
    }

    /// The receiver ends: as an abort of each database, in any order, unless it is killed.
    pub(crate) fn end(&mut self) -> Result<(), Violation> {
        let is_killed = self.log.is_killed();
        self.subject = None;
        let mut done = self.done();
        if !is_killed {
            self.each(&mut done, "a closing", |_, _| Some(Event::AbortRequested))?;
        }
        self.shadow.forget();
        Ok(())
    }

    /// One event for each database, in any order.
    fn each(
        &mut self,
        done: &mut Done,
        what: &str,
        event: impl Fn(&Shadow, &DatabaseId) -> Option<Told>,
    ) -> Result<(), Violation> {
        for database in self.shadow.databases() {
            let is_of = |call: &Call| matches!(call, Call::Remove(of) if *of == database);
            let (mut of, others): (Done, Done) = std::mem::take(done).into_iter().partition(|(call, _)| is_of(call));
            *done = others;
            if let Some(event) = event(&self.shadow, &database) {
                self.explain(&database, event, &mut of, what)?;
            }
            self.nothing_more(&of, what)?;
        }
        self.nothing_more(done, what)
    }

    fn explain(
        &mut self,
        database: &DatabaseId,
        event: Told,
        done: &mut Done,
        what: &str,
    ) -> Result<Option<Reply<Text>>, Violation> {
        let all = done.clone();
        let told = self.shadow.take(database, event, done, self.log.is_killed());
        told.map_err(|difference| differs(format!("{what}: {difference}\ndone: {all:?}")))
    }

    pub(crate) fn chunk(
        &mut self,
        envelope: Envelope<Vec<u8>>,
        older_start: OlderStart,
    ) -> Result<Option<Result<ChunkOutcome, ReceiveError>>, Violation> {
        let Some(subject) = &self.subject else { return Ok(None) };
        let what = about(&envelope);
        let told = subject.receiver.handle_chunk_with(envelope.clone(), older_start);
        if let (Ok(ChunkOutcome::Committed { .. }), Ok(database)) =
            (&told, DatabaseId::new(envelope.source_database_id.as_ref()))
        {
            (self.heard)(&format!("committed {database}"));
            self.log.note(Entry::Committed(database, Vec::new()));
        }
        let mut done = self.done();
        if let Ok(chunk) = envelope.into_chunk() {
            let database = chunk.identity.database.clone();
            let vacancy = self.shadow.vacancy();
            let event = Event::ChunkArrived {
                chunk,
                vacancy,
                older_start,
            };
            let reply = self.explain(&database, event, &mut done, &what)?;
            let is_same = match &reply {
                None => told.is_err(),
                Some(Reply::Committed { .. }) => matches!(told, Ok(ChunkOutcome::Committed { .. })),
                Some(Reply::Pending { .. }) => matches!(told, Ok(ChunkOutcome::Pending { .. })),
                Some(Reply::Rejected { .. }) => matches!(told, Err(ReceiveError::Rejected { .. })),
                Some(Reply::Failed { .. }) => matches!(told, Err(ReceiveError::Storage { .. })),
                Some(Reply::Aborted | Reply::NothingRan | Reply::OutOfTurn) => false,
            };
            if !is_same {
                return Err(differs(format!(
                    "{what}: step replies {reply:?}, and {told:?} was told"
                )));
            }
        }
        self.nothing_more(&done, &what)?;
        Ok(Some(told))
    }

    pub(crate) fn abort(&mut self, id: &str) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        let _told = subject.receiver.abort_database(id);
        let mut done = self.done();
        if let Ok(database) = DatabaseId::new(id) {
            self.explain(&database, Event::AbortRequested, &mut done, "an abort")?;
        }
        self.nothing_more(&done, "an abort")
    }

    pub(crate) fn abort_all(&mut self) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        let _told = subject.receiver.abort();
        let mut done = self.done();
        self.each(&mut done, "an abort of all", |_, _| Some(Event::AbortRequested))
    }

    pub(crate) fn expire_all(&mut self) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        subject.expire_all();
        let mut done = self.done();
        let event = |shadow: &Shadow, database: &DatabaseId| shadow.is_running(database).then_some(Event::IdleExpired);
        self.each(&mut done, "an expiry of all", event)
    }

    pub(crate) fn arm(&self, after: usize, injected: Injected) {
        self.log.arm(after, injected);
    }
}

/// An envelope without its payload, which may be long.
fn about(envelope: &Envelope<Vec<u8>>) -> String {
    format!(
        "{} bytes at {} of {} of {}, LSN {}, CRC {:#x}{}, {:?} from {:?}",
        envelope.data.len(),
        envelope.offset,
        envelope.total_bytes,
        envelope.source_database_id,
        envelope.snapshot_lsn,
        envelope.total_crc32c,
        if envelope.done { ", done" } else { "" },
        &envelope.data[..envelope.data.len().min(24)],
        envelope.source_cluster_id,
    )
}

/// All runs there are, as many of them drawn; those of each kind.
pub(crate) fn check(flaw: Option<Flaw>, drawn: usize) -> Result<BTreeMap<Kind, usize>, Violation> {
    let directory = memory_directory();
    let mut counts = BTreeMap::new();
    for (number, run) in runs::all(drawn).enumerate() {
        let scratch = directory.path().join(format!("run{number}"));
        run.take(flaw, &scratch, &mut |_| {}).map_err(|violation| Violation {
            what: format!("{}: {}", run.name, violation.what),
            ..violation
        })?;
        std::fs::remove_dir_all(&scratch).expect("removed");
        *counts.entry(run.kind()).or_default() += 1;
    }
    Ok(counts)
}

#[test]
fn the_executor_does_what_step_asks_for_call_by_call() {
    let drawn = number_from(RUNS, 500);
    let counts = check(None, drawn).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    assert_eq!(counts.len(), Kind::ALL.len(), "no run of some kind: {counts:?}");
    say(&format!("call by call: {}", runs::told(&counts)));
}
