//! Scenarios from traces of the model's worlds: every seeded bug's shortest counterexample, and what
//! fuzzers found.
//!
//! Guarantees: the same chunks, aborts, expiries, restarts and failing calls in the same order. What
//! a door cannot do is done as far as it goes: a crash is a kill, at rest or inside the call that was
//! in flight; a failing opening is left out. Refuses to know: what must be answered.
//!
//! `counterexamples.txt` has the traces, one after the other as [`Trace`] writes them. A
//! test holds them against the bugs: each still breaks its rule, and no bug is without one.

use std::path::{Path, PathBuf};
use std::{fs, io};

use snapshot_receiver::protocol::{Chunk, Crc32c, Effect, FailureKind};
use stateright::Model;

use super::calls::kind_word;
use super::random::from_words;
use super::scenario::{Data, Envelope, Limit, Origin, Scenario, Step, Thing, in_receive};
use super::talk::About;
use crate::bugs::Bug;
use crate::exploration::Exploration;
use crate::system::{Beginning, Payload, System};
use crate::trace::{HEADING, Trace, TraceError};
use crate::world::{Action, World};

/// The traces, as they are kept.
pub const COUNTEREXAMPLES: &str = include_str!("counterexamples.txt");

/// How long after a chunk was sent the process is killed, where a crash fell into it.
const KILL_MICROS: u64 = 300;

/// Every trace of a text that has one after the other.
///
/// # Errors
/// One is no trace.
pub fn traces(text: &str) -> Result<Vec<Trace>, TraceError> {
    let parts = text.split(HEADING).skip(1);
    parts.map(|part| Trace::parse(&format!("{HEADING}{part}"))).collect()
}

/// Each seeded bug's shortest counterexample.
#[must_use]
pub fn counterexamples() -> Vec<Scenario> {
    let traces = traces(COUNTEREXAMPLES).unwrap_or_default();
    traces.iter().filter_map(counterexample).collect()
}

fn counterexample(trace: &Trace) -> Option<Scenario> {
    let bug: Bug = trace.bugs.iter().next()?;
    let mut scenario = from_trace(trace)?;
    scenario.name = format!("bug/{}", bug.name());
    (*bug.clauses().first()?).clone_into(&mut scenario.clause);
    scenario.about = format!("the shortest way to the seeded bug: {}", bug.about());
    scenario.origin = Origin::Counterexample;
    Some(scenario)
}

/// What fuzzers started from and what they found: inputs of the harness's words, and traces of
/// worlds, below `fuzz/seeds` and `fuzz/regressions` of this checkout.
///
/// # Errors
/// They are there and cannot be read.
pub fn of_fuzzers(about: &About) -> io::Result<Vec<Scenario>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut all = Vec::new();
    for (kept, targets) in [
        ("seeds", ["differential"].as_slice()),
        ("regressions", &["differential", "executor_faults"]),
    ] {
        for target in targets {
            for path in files(&fuzz.join(kept).join(target))? {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if name == "README.md" || name.ends_with(".md") || name.ends_with(".trace") {
                    continue;
                }
                let words = fs::read(&path)?;
                let name = format!("fuzz/{target}/{name}");
                let mut scenario = from_words(about, words.as_chunks().0, name, Origin::Regression);
                "what a fuzzer reached, and a source that commits at the end".clone_into(&mut scenario.about);
                all.push(scenario);
            }
        }
    }
    let regressions = fuzz.join("regressions");
    for target in files(&regressions)? {
        for path in files(&target)? {
            if path.extension().is_some_and(|extension| extension == "trace") {
                // Traces of other targets' inputs are words, and read above.
                let trace = Trace::parse(&fs::read_to_string(&path)?).ok();
                let mut found = trace.as_ref().and_then(from_trace);
                if let Some(scenario) = &mut found {
                    let name = path.strip_prefix(&regressions).unwrap_or(&path).display();
                    scenario.name = format!("fuzz/{name}");
                }
                all.extend(found);
            }
        }
    }
    Ok(all)
}

/// What is in a directory, in the order of names; nothing where there is none.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(directory)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The scenario of one trace; `None` where it does not fit its system, or nothing is left of it.
#[must_use]
pub fn from_trace(trace: &Trace) -> Option<Scenario> {
    let exploration = Exploration::<Crc32c>::with_bugs(trace.find_system::<Crc32c>().ok()?, trace.bugs);
    let mut world = exploration.init_states().pop()?;
    let mut told = Told::beginning(&exploration.system);
    for action in &trace.actions {
        let next = exploration.next_state(&world, *action)?;
        told.take(&exploration, &world, *action, next.is_open);
        world = next;
    }
    let steps = told.healed(&exploration);
    Some(Scenario {
        name: format!("trace/{}", trace.system),
        clause: "SR-LIV-001".to_owned(),
        about: format!("a way through the world {}", trace.system),
        origin: Origin::Regression,
        beyond: beyond(&steps),
        steps,
    })
}

/// Steps so far, and which of them is in flight for each database.
#[derive(Debug, Default)]
struct Told {
    steps: Vec<Step>,
    in_flight: Vec<(u8, usize)>,
}

impl Told {
    fn beginning(system: &System) -> Self {
        let mut told = Self::default();
        if system.beginning == Beginning::Old {
            for (name, text) in [("db0.snapshot", "old"), ("db0.partial", "?")] {
                let (path, what) = (in_receive(name), Thing::File(text.to_owned()));
                told.steps.push(Step::Place { path, what });
            }
        }
        told
    }

    fn take(&mut self, exploration: &Exploration<Crc32c>, world: &World<Crc32c>, action: Action, is_open: bool) {
        match action {
            // What a source sends shows when it arrives.
            Action::Send { .. } | Action::Perform { .. } => {}
            // An opening cannot be made to fail here; one in which a removal failed has opened all the same.
            Action::OpenFailing { .. } if !is_open => {}
            Action::OpenFailing { .. } => self.steps.push(super::export::open()),
            Action::Deliver { snapshot, chunk, wear } => {
                let envelope = envelope(exploration.chunk(snapshot, chunk, wear));
                let database = exploration.snapshot(snapshot).identity.database.number();
                self.call(database, Step::Chunk { envelope });
            }
            Action::Abort { database } => {
                let id = Some(format!("db{database}"));
                self.call(database, Step::Abort { database: id });
            }
            Action::Expire { database } => self.call(database, Step::Expire),
            Action::Open => self.steps.push(super::export::open()),
            Action::Crash { .. } if world.is_open => self.crash(world),
            Action::Crash { .. } => {}
            Action::CrashOpening { .. } => self.steps.extend([super::export::open(), Step::Kill]),
            Action::Fail { database, kind, .. } => self.fail(world, database, kind),
        }
    }

    fn call(&mut self, database: u8, step: Step) {
        self.in_flight.retain(|(other, _)| *other != database);
        self.in_flight.push((database, self.steps.len()));
        self.steps.push(step);
    }

    /// The call that is in flight is to meet a failing operation: that is said before it.
    fn fail(&mut self, world: &World<Crc32c>, database: u8, kind: FailureKind) {
        let effect = world.database(database).effects.first();
        let operation = effect.and_then(operation);
        let call = self.in_flight.iter().find(|(other, _)| *other == database);
        if let (Some(operation), Some((_, at))) = (operation, call.copied()) {
            let (operation, kind) = (operation.to_owned(), kind_word(kind).to_owned());
            self.steps.insert(at, Step::FailNext { operation, kind });
            for (_, place) in &mut self.in_flight {
                *place += usize::from(*place >= at);
            }
        }
    }

    fn crash(&mut self, world: &World<Crc32c>) {
        let last = self.steps.len().checked_sub(1);
        let is_inside = |(database, at): &&(u8, usize)| Some(*at) == last && !world.database(*database).is_at_rest();
        let inside = self.in_flight.iter().find(is_inside).map(|(_, at)| *at);
        match inside.map(|at| self.steps[at].clone()) {
            Some(Step::Chunk { envelope }) => {
                self.steps.pop();
                let after_micros = KILL_MICROS;
                self.steps.push(Step::KillDuring { envelope, after_micros });
            }
            Some(_) | None => self.steps.push(Step::Kill),
        }
        self.in_flight.clear();
    }

    /// With a source that sends from 0 at the end, to the database of the first snapshot.
    fn healed(mut self, exploration: &Exploration<Crc32c>) -> Vec<Step> {
        let decides = |step: &&Step| matches!(step, Step::Open { .. } | Step::Kill | Step::KillDuring { .. });
        let is_open = matches!(self.steps.iter().rev().find(decides), Some(Step::Open { .. }));
        if !is_open {
            self.steps.push(super::export::open());
        }
        let Some(first) = exploration.system.snapshots.first() else {
            return self.steps;
        };
        let bytes = b"healed";
        for (from, to) in [(0, 4), (4, bytes.len())] {
            let envelope = Envelope {
                source_cluster_id: format!("cluster{}", first.identity.cluster),
                source_database_id: format!("db{}", first.identity.database.number()),
                snapshot_lsn: 99,
                total_bytes: bytes.len() as u64,
                total_crc32c: crc32c::crc32c(bytes),
                offset: from as u64,
                data: Data::Bytes(bytes[from..to].to_vec()),
                done: to == bytes.len(),
            };
            self.steps.push(Step::Chunk { envelope });
        }
        self.steps
    }
}

const fn operation<T, B>(effect: &Effect<T, B>) -> Option<&'static str> {
    match effect {
        Effect::Create => Some("create"),
        Effect::Write { .. } => Some("write"),
        Effect::Sync => Some("sync"),
        Effect::Publish(_) => Some("publish"),
        Effect::SyncDirectory => Some("sync_directory"),
        Effect::Remove => Some("remove"),
        Effect::Report(_) | Effect::Reply(_) => None,
    }
}

/// The model's chunk, with names in place of numbers.
fn envelope(chunk: Chunk<u8, Payload>) -> Envelope {
    Envelope {
        source_cluster_id: format!("cluster{}", chunk.identity.cluster),
        source_database_id: format!("db{}", chunk.identity.database.number()),
        snapshot_lsn: chunk.identity.snapshot_lsn,
        total_bytes: chunk.identity.total_bytes,
        total_crc32c: chunk.identity.total_crc32c,
        offset: chunk.offset,
        data: Data::Bytes(chunk.data().to_vec()),
        done: chunk.done,
    }
}

/// The largest total there is goes beyond whatever is declared.
fn beyond(steps: &[Step]) -> Option<Limit> {
    let sent = steps.iter().filter_map(super::blame::envelope);
    let mut starts = sent.filter(|sent| sent.offset == 0);
    starts
        .any(|sent| sent.total_bytes == u64::MAX)
        .then_some(Limit::SnapshotBytes)
}
