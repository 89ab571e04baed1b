//! The executor against the model, call by call: what the shipped receiver does is what `step` asked for.
//!
//! Guarantees: runs drawn by the harness (with failing calls, aborts, expiries, restarts) and walks of the
//! model's worlds (with its kills and failing openings), each event's calls in the order of its effects,
//! the reply after the last; and the same runs once more as the kernel sees them, by strace. Adjacent
//! writes are taken as one; hints to write back early are set aside. Refuses to know: what `step` should
//! ask for.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::io::Errno;
use snapshot_receiver::executor::Directory;
use snapshot_receiver::protocol::{Crc32c, Event, OlderStart, Reply, Text};
use snapshot_receiver::{ChunkOutcome, DatabaseId, Envelope, Options, ReceiveError};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::harness::action::Numbers;
use snapshot_receiver_model::harness::oracle::Oracle;
use snapshot_receiver_model::harness::{Action, LIMITS, TRANSFERS_MAX, Word};
use snapshot_receiver_model::system::{self, Profile, systems};
use snapshot_receiver_model::{disk, search, world};

use crate::flaw::Flaw;
use crate::log::{Call, Cause, Entry, Extent, Injected, Log, Outcome};
use crate::place::{draws, memory_directory, number_from};
use crate::shadow::{Done, Shadow, Told, calls};
use crate::subject::{Checked, Subject, Violation, holds};

/// Overrides how many runs are drawn.
const RUNS: &str = "CALL_RUNS";

/// A receiver, and the pure function beside it.
pub(crate) struct Beside<'a> {
    flaw: Option<Flaw>,
    data_dir: &'a Path,
    log: Log,
    options: Options,
    subject: Option<Subject>,
    shadow: Shadow,
    /// All that was logged.
    pub(crate) entries: Vec<Entry>,
}

fn differs(what: String) -> Violation {
    // The order of effects is what publication rests on.
    let clause = "SR-PUB-001";
    Violation { clause, what }
}

impl<'a> Beside<'a> {
    fn new(flaw: Option<Flaw>, data_dir: &'a Path, limits: snapshot_receiver::protocol::Limits, places: usize) -> Self {
        let mut options = Options::default().idle_timeout(None).transfers_max(places);
        options.limits = limits;
        Self {
            flaw,
            data_dir,
            log: Log::default(),
            options,
            subject: None,
            shadow: Shadow::new(limits, places),
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

    /// A listing, a removal of each orphan, three syncs; the first failure of another kind ends it.
    fn open(&mut self) -> Result<(), Violation> {
        self.shadow.forget();
        let opened = Subject::open(self.flaw, self.data_dir, &self.log, self.options.clone());
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
        let is_whole = syncs.len() == 0 && done.back().is_some_and(|(_, outcome)| *outcome == Outcome::Done);
        holds(
            opened.is_err() || self.log.is_killed() || is_whole,
            "SR-PUB-005",
            || format!("an opening returned after {done:?}"),
        )?;
        self.subject = opened.ok();
        if self.subject.is_none() {
            self.shadow.forget();
        }
        Ok(())
    }

    /// The receiver ends: as an abort of each database, in any order, unless it is killed.
    fn end(&mut self) -> Result<(), Violation> {
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

    fn chunk(
        &mut self,
        envelope: Envelope<Vec<u8>>,
        older_start: OlderStart,
    ) -> Result<Option<Result<ChunkOutcome, ReceiveError>>, Violation> {
        let Some(subject) = &self.subject else { return Ok(None) };
        let what = format!("{envelope:?}");
        let told = subject.receiver.handle_chunk_with(envelope.clone(), older_start);
        if let (Ok(ChunkOutcome::Committed { .. }), Ok(database)) =
            (&told, DatabaseId::new(envelope.source_database_id.as_ref()))
        {
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

    fn abort(&mut self, id: &str) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        let _told = subject.receiver.abort_database(id);
        let mut done = self.done();
        if let Ok(database) = DatabaseId::new(id) {
            self.explain(&database, Event::AbortRequested, &mut done, "an abort")?;
        }
        self.nothing_more(&done, "an abort")
    }

    fn abort_all(&mut self) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        let _told = subject.receiver.abort();
        let mut done = self.done();
        self.each(&mut done, "an abort of all", |_, _| Some(Event::AbortRequested))
    }

    fn expire_all(&mut self) -> Result<(), Violation> {
        let Some(subject) = &self.subject else { return Ok(()) };
        subject.expire_all();
        let mut done = self.done();
        let event = |shadow: &Shadow, database: &DatabaseId| shadow.is_running(database).then_some(Event::IdleExpired);
        self.each(&mut done, "an expiry of all", event)
    }

    fn arm(&self, after: usize, takes_effect: bool) {
        let extent = if takes_effect { Extent::Part } else { Extent::Nothing };
        let cause = Cause::Errno(Errno::IO);
        self.log.arm(after, Injected { cause, extent });
    }
}

/// Runs the harness's actions that the words stand for; all that was logged.
///
/// `answered` is called with the database when `Committed` was answered, before anything else is done.
pub(crate) fn drawn_run(
    flaw: Option<Flaw>,
    data_dir: &Path,
    words: &[Word],
    answered: &mut dyn FnMut(&str),
) -> Result<Vec<Entry>, Violation> {
    let mut beside = Beside::new(flaw, data_dir, LIMITS, TRANSFERS_MAX);
    let (mut oracle, mut numbers) = (Oracle::default(), Numbers::default());
    beside.open()?;
    for word in words {
        let action = Action::from_word(*word, &oracle, &mut numbers);
        match &action {
            Action::Arm(fault) => {
                beside.arm(usize::from(fault.after), fault.takes_effect);
                continue;
            }
            Action::Chunk { sent, older_allowed } => {
                numbers.note(sent);
                let older = if *older_allowed {
                    OlderStart::Allowed
                } else {
                    OlderStart::Refused
                };
                oracle.chunk(sent, *older_allowed);
                let told = beside.chunk(sent.envelope(), older)?;
                if let Some(Ok(ChunkOutcome::Committed { .. })) = told {
                    answered(&sent.database);
                }
                if let (Some(Err(ReceiveError::Storage { .. })), Some(known)) =
                    (told, oracle.databases.get_mut(&sent.database))
                {
                    known.end_attempt();
                }
            }
            Action::Abort(id) => {
                beside.abort(id)?;
                if let Some(known) = oracle.databases.get_mut(id) {
                    known.end_attempt();
                }
            }
            Action::AbortAll => {
                beside.abort_all()?;
                oracle.databases.values_mut().for_each(|known| known.end_attempt());
            }
            Action::ExpireAll => {
                beside.expire_all()?;
                oracle.databases.values_mut().for_each(|known| known.end_attempt());
            }
            Action::Reopen { .. } => {
                beside.end()?;
                beside.log.disarm();
                beside.open()?;
                oracle.databases.values_mut().for_each(|known| known.restart());
            }
        }
        beside.log.disarm();
    }
    beside.end()?;
    Ok(beside.entries)
}

pub(crate) fn words(run: usize, length: usize) -> Vec<Word> {
    let mut draw = draws(run);
    let mut byte = || u8::try_from(draw(256)).expect("a byte");
    (0..length).map(|_| [byte(), byte(), byte(), byte()]).collect()
}

/// Walks of every world of the quick profile, as events of a whole receiver: a call in flight is cut
/// short where the walk kills the process, and fails where the walk lets an operation fail.
fn walk(flaw: Option<Flaw>, data_dir: &Path, system: system::System, seed: usize) -> Result<usize, Violation> {
    let exploration = Exploration::<Crc32c>::of(system);
    let places = exploration.system.transfers_max;
    let actions = search::stroll(&exploration, 60, draws(seed));
    let mut beside = Beside::new(flaw, data_dir, system::LIMITS, places);
    for (number, action) in actions.iter().enumerate() {
        use world::Action;
        let rest = &actions[number + 1..];
        match *action {
            Action::Send { .. } | Action::Perform { .. } | Action::Fail { .. } => continue,
            Action::Deliver { snapshot, chunk, wear } => {
                let database = exploration.snapshot(snapshot).identity.database.number();
                plan(&beside, database, rest);
                beside.chunk(envelope(exploration.chunk(snapshot, chunk, wear)), OlderStart::Refused)?;
            }
            Action::Abort { database } => {
                plan(&beside, database, rest);
                beside.abort(&format!("db{database}"))?;
            }
            // The only transfers that an expiry of all ends are those that run.
            Action::Expire { .. } => beside.expire_all()?,
            Action::Open => {
                beside.end()?;
                beside.open()?;
            }
            Action::OpenFailing { after, damage } => {
                beside.end()?;
                beside.arm(usize::from(after), damage == disk::Damage::Done);
                beside.open()?;
            }
            Action::CrashOpening { after, .. } => {
                beside.log.kill_after(usize::from(after));
                beside.open()?;
            }
            Action::Crash { .. } => beside.log.kill_after(0),
        }
        beside.log.disarm();
        if beside.log.is_killed() {
            beside.end()?;
            beside.log.revive();
        }
    }
    beside.end()?;
    Ok(actions.len())
}

/// What becomes of the call that begins here: how many of its operations are done before one fails, or
/// before the process is killed.
fn plan(beside: &Beside<'_>, database: u8, rest: &[world::Action]) {
    use world::Action;
    let mut done = 0;
    for action in rest {
        match *action {
            Action::Perform { database: of } if of == database => done += 1,
            Action::Fail {
                database: of, damage, ..
            } if of == database => {
                return beside.arm(done, damage == disk::Damage::Done);
            }
            Action::Crash { .. } => return beside.log.kill_after(done),
            Action::Deliver { .. } | Action::Abort { .. } | Action::Expire { .. } if done > 0 => return,
            Action::Deliver { .. }
            | Action::Abort { .. }
            | Action::Expire { .. }
            | Action::Perform { .. }
            | Action::Fail { .. }
            | Action::Send { .. }
            | Action::Open
            | Action::OpenFailing { .. }
            | Action::CrashOpening { .. } => {}
        }
    }
}

fn envelope(chunk: snapshot_receiver::protocol::Chunk<u8, system::Payload>) -> Envelope<Vec<u8>> {
    Envelope {
        source_cluster_id: format!("cluster{}", chunk.identity.cluster).into(),
        source_database_id: format!("db{}", chunk.identity.database).into(),
        snapshot_lsn: chunk.identity.snapshot_lsn,
        total_bytes: chunk.identity.total_bytes,
        total_crc32c: chunk.identity.total_crc32c,
        offset: chunk.offset,
        done: chunk.done,
        data: chunk.data().to_vec(),
    }
}

/// So many drawn runs, and eight walks of each world.
pub(crate) fn check(flaw: Option<Flaw>, runs: usize) -> Checked {
    let directory = memory_directory();
    for run in 0..runs {
        let data_dir = directory.path().join(format!("run{run}"));
        drawn_run(flaw, &data_dir, &words(run, 60), &mut |_| {}).map_err(|violation| Violation {
            what: format!("run {run}: {}", violation.what),
            ..violation
        })?;
    }
    let mut walks = 0;
    for system in systems::<Crc32c>(Profile::Quick) {
        for _ in 0..8 {
            let data_dir = directory.path().join(format!("walk{walks}"));
            let label = system.label();
            walk(flaw, &data_dir, system.clone(), walks).map_err(|violation| Violation {
                what: format!("walk {walks} of {label}: {}", violation.what),
                ..violation
            })?;
            walks += 1;
        }
    }
    Ok(runs + walks)
}

#[test]
fn the_executor_does_what_step_asks_for_call_by_call() {
    let runs = number_from(RUNS, 500);
    let checked = check(None, runs).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    println!("call by call: {checked} runs and walks");
}
