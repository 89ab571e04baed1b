//! The runs that are taken call by call, and where they come from.
//!
//! Guarantees: runs that the harness draws (with failing calls, aborts, expiries, restarts); walks of every
//! world of the quick profile (with its kills and failing openings); every trace that the model exports, which
//! are the shortest ways to its seeded bugs, the traces kept as seeds, and the edges of its table; every
//! conformance vector; transfers long enough for an early write-back. A vector or a trace that cannot be
//! taken is an error, not left out. Refuses to know: what is to be seen in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde_json::Value;
use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::protocol::{Chunk, Crc32c, FailureKind, Limits, OlderStart};
use snapshot_receiver::{ChunkOutcome, Envelope, ReceiveError};
use snapshot_receiver_model::bugs::{Bug, hunt};
use snapshot_receiver_model::conform::scenario::{DATA, Scenario, Step};
use snapshot_receiver_model::conform::tree::{self, Node, Tree};
use snapshot_receiver_model::conform::{export, vectors};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::fuzzing::record::Recorded;
use snapshot_receiver_model::harness::action::Numbers;
use snapshot_receiver_model::harness::oracle::Oracle;
use snapshot_receiver_model::harness::{Action, LIMITS, TRANSFERS_MAX, Word};
use snapshot_receiver_model::system::{self, Beginning, OLD_SNAPSHOT, Profile, System, systems};
use snapshot_receiver_model::{disk, search, world};

use crate::calls::{Beside, Hearing};
use crate::flaw::Flaw;
use crate::log::{Cause, Entry, Extent, Injected};
use crate::place::draws;
use crate::subject::Violation;
use crate::support::{Source, partial, snapshot};

/// Where a run comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Drawn,
    Walk,
    SeededBug,
    TraceFile,
    Edge,
    Vector,
    Long,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Drawn,
        Self::Walk,
        Self::SeededBug,
        Self::TraceFile,
        Self::Edge,
        Self::Vector,
        Self::Long,
    ];

    const fn plural(self) -> &'static str {
        match self {
            Self::Drawn => "drawn runs",
            Self::Walk => "walks of worlds",
            Self::SeededBug => "ways to seeded bugs",
            Self::TraceFile => "trace files",
            Self::Edge => "edges of the table",
            Self::Vector => "conformance vectors",
            Self::Long => "long transfers",
        }
    }
}

/// The counts, in words.
pub(crate) fn told(counts: &BTreeMap<Kind, usize>) -> String {
    let told = counts.iter().map(|(kind, count)| format!("{count} {}", kind.plural()));
    told.collect::<Vec<_>>().join(", ")
}

/// A run, by its name.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) name: String,
    kind: Kind,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Words(Vec<Word>),
    World(System, Vec<world::Action>),
    Scenario(Scenario),
    /// So many chunks of so many bytes, once again after the first of them, so that the count of what is
    /// written back begins anew.
    Long {
        chunk: usize,
        chunks: usize,
    },
}

/// All runs, so many of them drawn.
pub(crate) fn all(drawn: usize) -> impl Iterator<Item = Run> {
    let drawn = (0..drawn).map(|run| Run {
        name: format!("drawn run {run}"),
        kind: Kind::Drawn,
        way: Way::Words(words(run, 60)),
    });
    let files = std::iter::once_with(trace_files).flatten();
    let scenarios = std::iter::once_with(scenarios).flatten();
    // Last, because each has to be found.
    let ways = Bug::ALL.iter().map(|bug| {
        let trace =
            hunt::counterexample(*bug).unwrap_or_else(|| panic!("{} survives: there is no way to it", bug.name()));
        let system = trace.find_system::<Crc32c>().expect("a system of the model");
        Run {
            name: format!("the way to {}", bug.name()),
            kind: Kind::SeededBug,
            way: Way::World(system, trace.actions),
        }
    });
    drawn
        .chain(walks())
        .chain(files)
        .chain(scenarios)
        .chain(long())
        .chain(ways)
}

fn words(run: usize, length: usize) -> Vec<Word> {
    let mut draw = draws(run);
    let mut byte = || u8::try_from(draw(256)).expect("a byte");
    (0..length).map(|_| [byte(), byte(), byte(), byte()]).collect()
}

/// Eight walks of each world of the quick profile.
fn walks() -> impl Iterator<Item = Run> {
    let systems = systems::<Crc32c>(Profile::Quick).into_iter();
    let eight = systems.flat_map(|system| std::iter::repeat_n(system, 8));
    eight.enumerate().map(|(walk, system)| {
        let exploration = Exploration::<Crc32c>::of(system.clone());
        Run {
            name: format!("walk {walk} of {}", system.label()),
            kind: Kind::Walk,
            way: Way::World(system, search::stroll(&exploration, 60, draws(walk))),
        }
    })
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The traces kept as seeds, as far as they are traces of a world and not files that are refused.
fn trace_files() -> Vec<Run> {
    let entries = fs::read_dir(project("fuzz/seeds/trace")).expect("the traces");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let runs = paths.iter().filter_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        let Ok(Recorded::World(trace)) = Recorded::parse(&text) else {
            return None;
        };
        let system = trace.find_system::<Crc32c>().ok()?;
        Some(Run {
            name: format!("the trace {}", path.display()),
            kind: Kind::TraceFile,
            way: Way::World(system, trace.actions),
        })
    });
    runs.collect()
}

/// Every vector that the manifest has, and the edges of the model's table that no vector can take.
fn scenarios() -> Vec<Run> {
    let read = |name: &str| -> String {
        let path = project("tests/vectors/v1").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let parsed = |name: &str, text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
    };
    let manifest = parsed("the manifest", &read("manifest.json"));
    let files = manifest["files"].as_object().expect("the files").keys();
    let mut runs = Vec::new();
    for name in files.filter(|name| *name != "schema.json") {
        // A scenario a line, between what is said of the clause and the end.
        let text = read(name);
        let lines = text.lines().skip(1).filter(|line| *line != "]}");
        for vector in lines.map(|line| parsed(name, line.trim_end_matches(','))) {
            let scenario = of_vector(&vector).unwrap_or_else(|error| panic!("{name}: {error}: {vector}"));
            runs.push(Run {
                name: format!("the vector {}", scenario.name),
                kind: Kind::Vector,
                way: Way::Scenario(scenario),
            });
        }
    }
    let known: BTreeSet<String> = runs.iter().map(|run| run.name.clone()).collect();
    let mut edges = export::edges();
    edges.retain(|edge| !known.contains(&format!("the vector {}", edge.name)));
    runs.extend(edges.into_iter().map(|edge| Run {
        name: edge.name.clone(),
        kind: Kind::Edge,
        way: Way::Scenario(edge),
    }));
    runs
}

fn of_vector(vector: &Value) -> Result<Scenario, serde_json::Error> {
    let mut scenario = vector.clone();
    let steps = vector["steps"].as_array().into_iter().flatten();
    scenario["steps"] = steps.map(|step| step["step"].clone()).collect();
    scenario["clause"] = Value::from("");
    scenario["origin"] = Value::from("written");
    serde_json::from_value(scenario)
}

/// On both sides of the bytes after which the kernel is asked to write back, in small and in large steps.
fn long() -> impl Iterator<Item = Run> {
    let shapes = [(1 << 20, 20), (3 << 20, 7), (9 << 20, 2), ((8 << 20) - 1, 3)];
    shapes.into_iter().map(|(chunk, chunks)| Run {
        name: format!("{chunks} chunks of {chunk} bytes"),
        kind: Kind::Long,
        way: Way::Long { chunk, chunks },
    })
}

impl Run {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes the run below a directory; all that was logged.
    pub(crate) fn take(&self, flaw: Option<Flaw>, scratch: &Path, heard: Hearing<'_>) -> Result<Vec<Entry>, Violation> {
        let data_dir = scratch.join(DATA);
        heard("outsider");
        fs::create_dir_all(data_dir.parent().expect("it has one")).expect("made");
        heard("receiver");
        let new = |limits, heard| Beside::new(flaw, &data_dir, limits, heard);
        match &self.way {
            Way::Words(words) => drawn(new((LIMITS, TRANSFERS_MAX), heard), words),
            Way::World(system, actions) => {
                let places = system.transfers_max;
                through_world(new((system::LIMITS, places), heard), &data_dir, system, actions)
            }
            Way::Scenario(scenario) => {
                let about = vectors::about();
                let limits = Limits {
                    chunk_bytes_max: about.chunk_bytes_max.expect("declared"),
                    snapshot_bytes_max: about.snapshot_bytes_max.expect("declared"),
                    ..Limits::default()
                };
                let places = usize::try_from(about.transfers_max.expect("declared")).expect("few");
                along(new((limits, places), heard), scratch, scenario)
            }
            Way::Long { chunk, chunks } => long_transfer(new((Limits::default(), 1), heard), *chunk, *chunks),
        }
    }

    /// The data directories that the run may open, below its directory.
    pub(crate) fn data_dirs(&self) -> Vec<String> {
        let mut dirs = vec![DATA.to_owned()];
        if let Way::Scenario(scenario) = &self.way {
            for step in &scenario.steps {
                if let Step::Open { data_dir } = step {
                    dirs.push(data_dir.clone());
                }
            }
        }
        dirs.sort();
        dirs.dedup();
        dirs
    }

    pub(crate) fn is_long(&self) -> bool {
        self.kind == Kind::Long
    }
}

/// Takes the harness's actions that the words stand for.
fn drawn(mut beside: Beside<'_>, words: &[Word]) -> Result<Vec<Entry>, Violation> {
    let (mut oracle, mut numbers) = (Oracle::default(), Numbers::default());
    beside.open()?;
    for word in words {
        let action = Action::from_word(*word, &oracle, &mut numbers);
        match &action {
            Action::Arm(fault) => {
                let extent = if fault.takes_effect {
                    Extent::Part
                } else {
                    Extent::Nothing
                };
                let cause = Cause::Errno(Errno::IO);
                beside.arm(usize::from(fault.after), Injected { cause, extent });
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

/// Takes the actions of a world as events of a whole receiver: a call in flight is cut short where the way
/// kills the process, and fails where the way lets an operation fail.
fn through_world(
    mut beside: Beside<'_>,
    data_dir: &Path,
    system: &System,
    actions: &[world::Action],
) -> Result<Vec<Entry>, Violation> {
    use world::Action;
    let exploration = Exploration::<Crc32c>::of(system.clone());
    if system.beginning == Beginning::Old {
        beside.outsider(|| {
            fs::create_dir_all(data_dir.join("recv_snapshots")).expect("made");
            fs::write(snapshot(data_dir, "db0"), &exploration.snapshot(OLD_SNAPSHOT).bytes).expect("planted");
            fs::write(partial(data_dir, "db0"), "?").expect("planted");
        });
    }
    for (number, action) in actions.iter().enumerate() {
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
                beside.arm(usize::from(after), injected(damage, FailureKind::Other));
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
    Ok(beside.entries)
}

fn injected(damage: disk::Damage, kind: FailureKind) -> Injected {
    let extent = match damage {
        disk::Damage::Nothing => Extent::Nothing,
        disk::Damage::Done => Extent::Part,
    };
    let cause = match kind {
        FailureKind::Full => Cause::Errno(Errno::NOSPC),
        FailureKind::DirectoryInTheWay => Cause::DirectoryInTheWay,
        FailureKind::Other => Cause::Errno(Errno::IO),
    };
    Injected { cause, extent }
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
                database: of,
                damage,
                kind,
            } if of == database => {
                return beside.arm(done, injected(damage, kind));
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

fn envelope(chunk: Chunk<u8, system::Payload>) -> Envelope<Vec<u8>> {
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

/// Takes a scenario's steps; the answers are the conformance kit's to judge.
fn along(mut beside: Beside<'_>, scratch: &Path, scenario: &Scenario) -> Result<Vec<Entry>, Violation> {
    let mut tree = Tree::default();
    let root = scratch.to_string_lossy();
    beside.outsider(|| {
        for path in ["bystander", "around/bystander"] {
            fs::write(scratch.join(path), format!("{path}: not to be touched")).expect("written");
            tree.put(path, Node::file(format!("{path}: not to be touched")));
        }
    });
    for (_, n, step) in scenario.unrolled() {
        match step {
            Step::Open { data_dir } => {
                beside.end()?;
                beside.move_to(scratch.join(data_dir));
                beside.open()?;
            }
            Step::SecondOpen => drop(FileSystem::open(&scratch.join(DATA)).expect_err("it is in use")),
            Step::Chunk { envelope } => {
                let sent = envelope.filled(n, &root);
                let _told: Option<Result<ChunkOutcome, ReceiveError>> = beside.chunk(
                    Envelope {
                        source_cluster_id: sent.source_cluster_id.into(),
                        source_database_id: sent.source_database_id.into(),
                        snapshot_lsn: sent.snapshot_lsn,
                        total_bytes: sent.total_bytes,
                        total_crc32c: sent.total_crc32c,
                        offset: sent.offset,
                        data: sent.data.bytes().into_owned(),
                        done: sent.done,
                    },
                    OlderStart::Refused,
                )?;
            }
            Step::Abort { database: None } => beside.abort_all()?,
            Step::Abort { database: Some(id) } => beside.abort(id)?,
            Step::Close => beside.end()?,
            Step::Kill => {
                beside.log.kill_after(0);
                beside.end()?;
                beside.log.revive();
            }
            Step::Expire => beside.expire_all()?,
            // No envelope comes of it.
            Step::Malformed { .. } => {}
            Step::Place { path, what } => {
                beside.outsider(|| tree::place(scratch, &mut tree, path, what).expect("placed"));
            }
            Step::TakeAway { path } => {
                beside.outsider(|| tree::take_away(scratch, &mut tree, path).expect("taken away"));
            }
            Step::KillDuring { .. }
            | Step::FileSizeLimit { .. }
            | Step::SmallDisk { .. }
            | Step::FailNext { .. }
            | Step::Repeat { .. } => panic!("{}: {step} is no step of a vector", scenario.name),
        }
    }
    beside.end()?;
    Ok(beside.entries)
}

fn long_transfer(mut beside: Beside<'_>, chunk: usize, chunks: usize) -> Result<Vec<Entry>, Violation> {
    let bytes: Vec<u8> = (0..251u8).cycle().take(chunk * chunks).collect();
    let source = Source::new("long", 1, bytes);
    beside.open()?;
    for number in [0].into_iter().chain(0..chunks) {
        let (from, to) = (number * chunk, (number + 1) * chunk);
        let told = beside.chunk(source.chunk(from, to, to == source.bytes.len()), OlderStart::Refused)?;
        assert!(matches!(told, Some(Ok(_))), "{told:?}");
    }
    beside.end()?;
    Ok(beside.entries)
}
