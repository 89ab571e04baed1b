//! Power loss, enumerated: every state that the model's disk says one may leave after each call of a
//! real run, rebuilt on a real directory, with a real receiver opened on it.
//!
//! Guarantees: runs of up to six calls of data, from a fresh place and beside an old snapshot, on both
//! kinds of file system, with a killed process and with a failing call at every position, all of them;
//! a power loss in the opening after one, and a second loss after it, too; longer runs are drawn.
//! Refuses to know: which states those are; the model's disk says that.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use snapshot_receiver::{ChunkOutcome, Options};
use snapshot_receiver_model::disk::Persistence;
use snapshot_receiver_model::system::DATABASES_MAX;
use tempfile::TempDir;

use crate::disk::{BYTES, CrashDisk, DATABASES, Moment, Owed, database};
use crate::flaw::Flaw;
use crate::log::{Cause, Entry, Extent, Injected, Log};
use crate::place::{draws, memory_directory, number_from, say};
use crate::subject::{Checked, Subject, Violation, holds};
use crate::support::{Source, partial, snapshot};

/// Overrides how many states are tried, at least.
const STATES: &str = "POWER_LOSS_STATES";

/// What stands there before some runs.
const OLD: &[u8] = b"OLD!";

/// One thing that a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A source sends `[from, to)` of the database's snapshot of that length and number.
    Chunk {
        database: usize,
        snapshot: u8,
        length: usize,
        from: usize,
        to: usize,
        done: bool,
        spoilt: bool,
    },
    Abort(usize),
    /// The process is killed, and a new one opens.
    Restart,
}

/// What happens to one of the calls of a run.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    None,
    Killed { after: usize },
    Fails { after: usize, extent: Extent },
}

/// A run: where it begins, what is done, what goes wrong.
#[derive(Clone, Debug)]
struct Run {
    beside_old: bool,
    steps: Vec<Step>,
    mishap: Mishap,
}

/// The content of a snapshot: told from any other, and from what a power loss leaves.
fn content(number: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| b'a' + (number * 5 + u8::try_from(index).expect("short")) % 26)
        .collect()
}

/// A transfer in that many calls of a byte each; the last says `done`, or an empty one after it.
fn transfer(database: usize, snapshot: u8, calls: usize, empty_end: bool) -> Vec<Step> {
    let chunk = |from, to, done| Step::Chunk {
        database,
        snapshot,
        length: calls,
        from,
        to,
        done,
        spoilt: false,
    };
    let mut steps: Vec<Step> = (0..calls)
        .map(|from| chunk(from, from + 1, from + 1 == calls && !empty_end))
        .collect();
    if empty_end || calls == 0 {
        steps.push(chunk(calls, calls, true));
    }
    steps
}

/// What there is to do, without mishap: every shape of a transfer of up to six calls of data.
fn shapes() -> Vec<Vec<Step>> {
    let mut shapes = Vec::new();
    for calls in 0..=6 {
        for empty_end in [false, true] {
            let whole = transfer(0, 1, calls, empty_end);
            shapes.push(whole.clone());
            // Cut off by an abort, a start of another snapshot, or a restart, and then another one.
            for cut in 1..whole.len() {
                let begun = &whole[..cut];
                let next = transfer(0, 2, 2, false);
                shapes.push([begun, &[Step::Abort(0)], &next].concat());
                shapes.push([begun, &next].concat());
                shapes.push([begun, &[Step::Restart], &next].concat());
            }
            let mut spoilt = whole.clone();
            if let Some(Step::Chunk { spoilt, .. }) = spoilt.last_mut() {
                *spoilt = true;
            }
            shapes.push([spoilt, transfer(0, 2, 1, false)].concat());
            // One after the other, and beside each other.
            shapes.push([whole.clone(), transfer(0, 2, 3, false)].concat());
            shapes.push(interleaved(&whole, &transfer(1, 3, 2, false)));
        }
    }
    shapes
}

fn interleaved(first: &[Step], second: &[Step]) -> Vec<Step> {
    let mut steps = Vec::new();
    for index in 0..first.len().max(second.len()) {
        steps.extend(first.get(index));
        steps.extend(second.get(index));
    }
    steps
}

/// Does a run on a real directory, and returns its log.
fn record(flaw: Option<Flaw>, data_dir: &Path, run: &Run) -> Vec<Entry> {
    let log = Log::default();
    if run.beside_old {
        fs::create_dir_all(data_dir.join("recv_snapshots")).expect("made");
        fs::write(snapshot(data_dir, DATABASES[0]), OLD).expect("planted");
        fs::write(partial(data_dir, DATABASES[0]), "?").expect("planted");
    }
    match run.mishap {
        Mishap::None => {}
        Mishap::Killed { after } => log.kill_after(after),
        Mishap::Fails { after, extent } => {
            let cause = Cause::Errno(Errno::IO);
            log.arm(after, Injected { cause, extent });
        }
    }
    let mut subject = open(flaw, data_dir, &log);
    for step in &run.steps {
        match step {
            Step::Restart => {
                log.kill_after(0);
                subject = None;
            }
            Step::Abort(number) => {
                if let Some(subject) = &subject {
                    let _told = subject.receiver.abort_database(DATABASES[*number]);
                }
            }
            Step::Chunk {
                database: number,
                snapshot,
                length,
                from,
                to,
                done,
                spoilt,
            } => {
                let mut source = Source::new(DATABASES[*number], u64::from(*snapshot), content(*snapshot, *length));
                source.crc ^= u32::from(*spoilt);
                if let Some(subject) = &subject {
                    send(subject, *number, &source, source.chunk(*from, *to, *done));
                }
            }
        }
        if log.is_killed() || subject.is_none() {
            drop(subject);
            log.revive();
            subject = open(flaw, data_dir, &log);
        }
    }
    // The power goes while it runs: the end of the process is no part of the log.
    let entries = log.take();
    log.kill_after(0);
    drop(subject);
    entries
}

/// `None` where a call of the opening failed: it is tried again at the next step.
fn open(flaw: Option<Flaw>, data_dir: &Path, log: &Log) -> Option<Subject> {
    Subject::open(flaw, data_dir, log, Options::default().idle_timeout(None)).ok()
}

fn send(subject: &Subject, number: usize, source: &Source, envelope: snapshot_receiver::Envelope<Vec<u8>>) {
    let log = &subject.log;
    log.note(Entry::Sending(database(number), source.bytes.clone()));
    let told = subject.handle_chunk(envelope);
    if let Ok(ChunkOutcome::Committed { .. }) = told
        && !log.is_killed()
    {
        log.note(Entry::Committed(database(number), source.bytes.clone()));
    }
}

/// A directory that states are rebuilt in, and what has been tried there.
#[derive(Debug)]
struct Trial<'a> {
    directory: TempDir,
    flaw: Option<Flaw>,
    /// States of all runs: the opening of each is cut short once as well.
    known: &'a Mutex<BTreeSet<Rebuilt>>,
    /// States of the run at hand: none is tried twice in it.
    of_run: BTreeSet<Rebuilt>,
    tried: usize,
    second_losses: usize,
}

/// What a name leads to.
type Bytes = Option<Vec<u8>>;

/// A state as it is rebuilt: what each name leads to, and what has to survive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rebuilt {
    directory_is_there: bool,
    names: [(Bytes, Bytes); DATABASES_MAX],
    owed: [Owed; 2],
}

impl<'a> Trial<'a> {
    fn new(flaw: Option<Flaw>, known: &'a Mutex<BTreeSet<Rebuilt>>) -> Self {
        Self {
            directory: memory_directory(),
            flaw,
            known,
            of_run: BTreeSet::new(),
            tried: 0,
            second_losses: 0,
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Does the run, and tries what a power loss leaves after each of its calls.
    fn run(&mut self, run: &Run) -> Result<(), Violation> {
        let recorded = self.directory.path().join("run");
        let log = record(self.flaw, &recorded, run);
        fs::remove_dir_all(&recorded).expect("removed");
        self.of_run.clear();
        for persistence in [Persistence::Ordered, Persistence::Weak] {
            let first = Moment::first(persistence, run.beside_old.then_some(OLD));
            self.losses(first, &log, persistence, true)
                .map_err(|violation| Violation {
                    what: format!("{}\n{persistence:?}, {run:?}", violation.what),
                    ..violation
                })?;
        }
        Ok(())
    }

    /// Tries every state that a power loss leaves, before the first call and after each.
    fn losses(
        &mut self,
        mut moment: Moment,
        log: &[Entry],
        persistence: Persistence,
        is_first: bool,
    ) -> Result<(), Violation> {
        self.loss(&moment, persistence, is_first)?;
        for entry in log {
            moment.take(entry);
            match entry {
                Entry::Sending(..) => {}
                Entry::Call(..) | Entry::Committed(..) | Entry::Opened => self.loss(&moment, persistence, is_first)?,
            }
        }
        Ok(())
    }

    fn loss(&mut self, moment: &Moment, persistence: Persistence, is_first: bool) -> Result<(), Violation> {
        let left = moment.disk.after_crash();
        let nothing = CrashDisk::new(persistence);
        for (place, disk) in left.iter().enumerate() {
            let rebuilt = Rebuilt {
                // A killed process leaves the directories where they are.
                directory_is_there: place == 0 || disk != nothing,
                names: disk.databases.each_ref().map(|files| {
                    let bytes = |file: Option<&_>| file.map(bytes_of);
                    (bytes(files.partial.as_ref()), bytes(files.snapshot()))
                }),
                owed: moment.owed.clone(),
            };
            if !self.of_run.insert(rebuilt.clone()) {
                continue;
            }
            let is_new = is_first && self.known.lock().expect("known").insert(rebuilt.clone());
            let log = self.attempt(&rebuilt)?;
            if is_new {
                // The power goes again, in the opening that follows.
                self.second_losses += 1;
                self.losses(Moment::new(disk.clone(), moment.owed.clone()), &log, persistence, false)?;
            }
        }
        Ok(())
    }

    /// Rebuilds a state, opens a receiver on it, and judges; the log of the opening.
    fn attempt(&mut self, state: &Rebuilt) -> Result<Vec<Entry>, Violation> {
        self.tried += 1;
        let data_dir = self.data_dir();
        rebuild(&data_dir, state, self.tried.is_multiple_of(2));
        let told = |what: String| format!("{what} in {state:?}");
        let log = Log::default();
        let subject = Subject::open(self.flaw, &data_dir, &log, Options::default().idle_timeout(None));
        let subject = subject.map_err(|error| Violation {
            clause: "SR-REC-003",
            what: told(format!("the opening is refused: {error}")),
        })?;
        let opening = log.take();
        for (name, owed) in DATABASES.iter().zip(&state.owed) {
            let found = fs::read(snapshot(&data_dir, name)).ok();
            judge(found.as_ref(), owed).map_err(|violation| Violation {
                what: told(format!("{name}: {}", violation.what)),
                ..violation
            })?;
            holds(!partial(&data_dir, name).exists(), "SR-REC-001", || {
                told(format!("the orphan of {name} is left"))
            })?;
        }
        holds(subject.receiver.orphans_left().is_empty(), "SR-REC-003", || {
            told("an orphan is reported".to_owned())
        })?;
        let next = Source::new(DATABASES[self.tried % 2], 9, "the next");
        let committed = subject.handle_chunk(next.whole());
        let found = fs::read(snapshot(&data_dir, &next.database)).ok();
        let is_there = committed.is_ok() && found.as_ref() == Some(&next.bytes);
        // Unless the bug at hand is in the transfer itself: that is another check's.
        holds(is_there || self.flaw.is_some(), "SR-LIV-001", || {
            told(format!("the next transfer ended with {committed:?}, and {found:?}"))
        })?;
        log.kill_after(0);
        Ok(opening)
    }
}

fn bytes_of(file: &snapshot_receiver_model::disk::File<BYTES>) -> Vec<u8> {
    file.bytes.to_vec()
}

/// Is the visible snapshot one that may be there?
fn judge(found: Option<&Vec<u8>>, owed: &Owed) -> Result<(), Violation> {
    let told = || format!("{found:?} is visible, and {owed:?}");
    let lost = if owed.was_found { "SR-PUB-005" } else { "SR-PUB-003" };
    match found {
        None => holds(owed.acknowledged.is_none(), lost, told),
        Some(found) => {
            let is_older = owed.older.contains(found);
            let may_be = owed.acknowledged.as_ref() == Some(found) || owed.begun.contains(found);
            holds(may_be || is_older, "SR-PUB-002", told)?;
            holds(may_be, lost, told)
        }
    }
}

/// Makes the directory what the state says.
fn rebuild(data_dir: &Path, state: &Rebuilt, keeps_data_dir: bool) {
    let receive = data_dir.join("recv_snapshots");
    let put = |path: PathBuf, bytes: Option<&Vec<u8>>| match bytes {
        Some(bytes) => fs::write(path, bytes).expect("written"),
        None => drop(fs::remove_file(path)),
    };
    if state.directory_is_there {
        fs::create_dir_all(&receive).expect("made");
        for (name, (partial_bytes, snapshot_bytes)) in DATABASES.iter().zip(&state.names) {
            put(partial(data_dir, name), partial_bytes.as_ref());
            put(snapshot(data_dir, name), snapshot_bytes.as_ref());
        }
    } else {
        let gone = if keeps_data_dir { receive.as_path() } else { data_dir };
        drop(fs::remove_dir_all(gone));
    }
}

/// Draws a run of up to [`BYTES`] bytes in chunks of any length, of both databases.
fn drawn(draw: &mut impl FnMut(usize) -> usize) -> Run {
    let mut steps = Vec::new();
    for snapshot in 0..1 + draw(3) {
        let (database, length) = (draw(2), draw(BYTES + 1));
        let cut = if draw(3) == 0 { draw(length + 1) } else { length };
        let mut from = 0;
        while from <= cut {
            let to = (from + draw(4)).min(length);
            let done = to == length && draw(4) > 0;
            steps.push(Step::Chunk {
                database,
                snapshot: u8::try_from(snapshot).expect("few"),
                length,
                from,
                to,
                done,
                spoilt: draw(8) == 0,
            });
            if done || steps.len() > 24 {
                break;
            }
            from = to;
        }
        match draw(6) {
            0 => steps.push(Step::Abort(database)),
            1 => steps.push(Step::Restart),
            _ => {}
        }
    }
    let after = draw(30);
    let fails = |extent| Mishap::Fails { after, extent };
    let mishap = match draw(5) {
        0 => Mishap::None,
        1 => Mishap::Killed { after },
        2 => fails(Extent::Nothing),
        3 => fails(Extent::Part),
        _ => fails(Extent::Whole),
    };
    Run {
        beside_old: draw(2) == 0,
        steps,
        mishap,
    }
}

/// Every shape without mishap and, for one transfer of up to six calls, a killed process and a failing
/// call at every position.
fn runs() -> Vec<Run> {
    let mut runs = Vec::new();
    for beside_old in [false, true] {
        for steps in shapes() {
            let mishap = Mishap::None;
            runs.push(Run {
                beside_old,
                steps,
                mishap,
            });
        }
        for calls in 0..=6 {
            let steps = [transfer(0, 1, calls, false), transfer(0, 2, 1, false)].concat();
            // A listing, a removal, three syncs, and the transfer: create, writes, sync, rename, sync.
            for after in 0..5 + calls + 4 {
                let fails = |extent| Mishap::Fails { after, extent };
                let mishaps = [
                    Mishap::Killed { after },
                    fails(Extent::Nothing),
                    fails(Extent::Part),
                    fails(Extent::Whole),
                ];
                for mishap in mishaps {
                    let steps = steps.clone();
                    runs.push(Run {
                        beside_old,
                        steps,
                        mishap,
                    });
                }
            }
        }
    }
    runs
}

/// What has been tried in all.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    pub(crate) states: AtomicUsize,
    pub(crate) runs: AtomicUsize,
    pub(crate) second_losses: AtomicUsize,
}

/// Tries all runs that are enumerated, and drawn ones until so many states were tried.
pub(crate) fn check(flaw: Option<Flaw>, states: usize, tried: &Tried) -> Checked {
    let enumerated = runs();
    let next = AtomicUsize::new(0);
    let known = Mutex::default();
    let work = || -> Result<(), Violation> {
        let mut trial = Trial::new(flaw, &known);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let run = match enumerated.get(number) {
                Some(run) => run.clone(),
                None if tried.states.load(Ordering::Relaxed) >= states => break,
                None => drawn(&mut draws(number)),
            };
            let before = (trial.tried, trial.second_losses);
            trial.run(&run)?;
            tried.runs.fetch_add(1, Ordering::Relaxed);
            tried.states.fetch_add(trial.tried - before.0, Ordering::Relaxed);
            tried
                .second_losses
                .fetch_add(trial.second_losses - before.1, Ordering::Relaxed);
        }
        Ok(())
    };
    let outcome = std::thread::scope(|scope| {
        let workers = [0; 2].map(|_| scope.spawn(work));
        workers.map(|worker| worker.join().expect("a worker ends"))
    });
    outcome.into_iter().collect::<Result<Vec<()>, Violation>>()?;
    Ok(tried.states.load(Ordering::Relaxed))
}

#[test]
fn whatever_a_power_loss_leaves_nothing_acknowledged_is_lost_and_nothing_visible_is_torn() {
    let tried = Tried::default();
    let states = number_from(STATES, 20_000);
    check(None, states, &tried).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    say(&format!(
        "power loss: {:?} states tried after {:?} runs; the openings of {:?} that differ were cut short by a second loss",
        tried.states, tried.runs, tried.second_losses
    ));
    assert!(tried.states.into_inner() >= states);
}
