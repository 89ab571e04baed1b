//! A trace taken again, step by step: on the world, and beside it on the real file system.
//!
//! Guarantees: after every step the real directory shows what the modelled disk shows, and the
//! receiver answered the same, or the difference is told with both sides. Refuses to know: seeded
//! bugs on real files; they live in the model, so such a trace is taken on the world alone.

use std::path::{Path, PathBuf};
use std::{fs, io};

use snapshot_receiver::executor::{Directory, FileSystem, Found, Performed, Storage, StorageError, perform, recover};
use snapshot_receiver::protocol::{
    Chunk, ClusterId, Crc32c, DatabaseId, Effects, Event, Failure, FailureKind, Identity, InvalidId, OlderStart, Reply,
    State, Text, Verified, step,
};
use stateright::Model;

use crate::disk::Damage;
use crate::exploration::{Exploration, Told, take_told, vacancy};
use crate::search::follow;
use crate::system::{DATABASES_MAX, LIMITS, Payload};
use crate::trace::{Trace, TraceError, line};
use crate::world::{Action, World};

/// What a replay gave.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The rules broken at the end.
    pub violated: Vec<&'static str>,
    /// Whether the real file system was taken along.
    pub on_real_files: bool,
    /// Steps taken.
    pub steps: usize,
}

/// Why a trace could not be replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is no trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// An action is not possible where the trace has it.
    #[error("step {number} ({action}) is not possible there")]
    NotPossible {
        /// Counted from 1.
        number: usize,
        /// The action's line.
        action: String,
    },
    /// The real file system differs from the world.
    #[error("step {number} ({action}): {what}: the world has {world}, the real files {real}")]
    Differs {
        /// Counted from 1.
        number: usize,
        /// The action's line.
        action: String,
        /// What differs.
        what: String,
        /// On the world.
        world: String,
        /// On the real files.
        real: String,
    },
    /// The directory for the real files cannot be used.
    #[error("the real files: {0}")]
    Files(#[from] io::Error),
    /// The model's ids are not the receiver's.
    #[error("the real files: {0}")]
    Id(#[from] InvalidId),
}

/// Takes a trace again; `told` is given each step's number, the world before it, and the action.
///
/// # Errors
/// [`ReplayError`]: it cannot be taken, or the real files differ.
pub fn replay(
    trace: &Trace,
    mut told: impl FnMut(usize, &Exploration<Crc32c>, &World<Crc32c>, Action),
) -> Result<Replayed, ReplayError> {
    let exploration = Exploration::<Crc32c>::with_bugs(trace.find_system::<Crc32c>()?, trace.bugs);
    let on_real_files = trace.bugs.is_none();
    let directory = tempfile::tempdir()?;
    let mut world = exploration.init_states().swap_remove(0);
    let mut real = RealFiles::new(directory.path().join("data"));
    if on_real_files {
        real.show(&world)?;
    }
    let mut possible = Vec::new();
    for (number, action) in (1..).zip(&trace.actions) {
        possible.clear();
        exploration.actions(&world, &mut possible);
        let next = possible
            .contains(action)
            .then(|| exploration.next_state(&world, *action));
        let Some(next) = next.flatten() else {
            let action = line(*action);
            return Err(ReplayError::NotPossible { number, action });
        };
        told(number, &exploration, &world, *action);
        if on_real_files {
            let answer = exploration.reply_to(&world, *action).map(|reply| summary(&reply));
            let real_answer = real.act(&exploration, *action, &next)?.map(|reply| summary(&reply));
            let differs = |what: &str, world: String, real: String| ReplayError::Differs {
                number,
                action: line(*action),
                what: what.to_owned(),
                world,
                real,
            };
            if answer != real_answer {
                return Err(differs("the answer", format!("{answer:?}"), format!("{real_answer:?}")));
            }
            let (expected, found) = (visible(&next), real.visible()?);
            if expected != found {
                return Err(differs("the directory", format!("{expected:?}"), format!("{found:?}")));
            }
        }
        world = next;
    }
    Ok(Replayed {
        violated: follow(&exploration, &trace.actions).violated,
        on_real_files,
        steps: trace.actions.len(),
    })
}

/// Each name of the receive directory that leads to a file, and the file's bytes.
type Visible = Vec<(String, Vec<u8>)>;

fn visible(world: &World<Crc32c>) -> Visible {
    let mut visible = Vec::new();
    for (number, files) in world.disk.databases.iter().enumerate() {
        let named = [("partial", files.partial.as_ref()), ("snapshot", files.snapshot())];
        for (suffix, file) in named {
            visible.extend(file.map(|file| (format!("db{number}.{suffix}"), file.bytes.to_vec())));
        }
    }
    visible
}

fn summary<T: std::fmt::Debug>(reply: &Reply<T>) -> String {
    match reply {
        Reply::Rejected {
            rejection,
            resume_offset,
            removal_failed,
        } => {
            let rejection = format!("{rejection:?}");
            let kind: String = rejection
                .chars()
                .take_while(|letter| letter.is_alphanumeric())
                .collect();
            format!("Rejected({kind}), resume at {resume_offset}, removal failed: {removal_failed:?}")
        }
        Reply::Pending { .. }
        | Reply::Committed { .. }
        | Reply::Failed { .. }
        | Reply::Aborted
        | Reply::NothingRan
        | Reply::OutOfTurn => format!("{reply:?}"),
    }
}

#[derive(Debug)]
struct RealDatabase {
    state: State,
    partial: Option<<FileSystem as Storage>::Partial>,
    effects: Effects<Text, Payload>,
}

impl Default for RealDatabase {
    fn default() -> Self {
        Self {
            state: State::default(),
            partial: None,
            effects: Effects::new(),
        }
    }
}

/// The shipped `step`, interpreter, recovery and files, one effect at a time.
#[derive(Debug)]
struct RealFiles {
    data: PathBuf,
    storage: Option<FileSystem>,
    databases: [RealDatabase; DATABASES_MAX],
}

impl RealFiles {
    fn new(data: PathBuf) -> Self {
        Self {
            data,
            storage: None,
            databases: Default::default(),
        }
    }

    fn receive_directory(&self) -> PathBuf {
        self.data.join("recv_snapshots")
    }

    /// Makes the directory what the modelled disk shows, as a power loss left it.
    fn show(&self, world: &World<Crc32c>) -> io::Result<()> {
        let directory = self.receive_directory();
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        for (name, bytes) in visible(world) {
            fs::write(directory.join(name), bytes)?;
        }
        Ok(())
    }

    fn visible(&self) -> io::Result<Visible> {
        let mut visible = Vec::new();
        for number in 0..DATABASES_MAX {
            for suffix in ["partial", "snapshot"] {
                let name = format!("db{number}.{suffix}");
                visible.extend(read(&self.receive_directory().join(&name))?.map(|bytes| (name, bytes)));
            }
        }
        Ok(visible)
    }

    fn act(
        &mut self,
        exploration: &Exploration<Crc32c>,
        action: Action,
        after: &World<Crc32c>,
    ) -> Result<Option<Reply<Text>>, ReplayError> {
        match action {
            Action::Send { .. } => Ok(None),
            Action::Deliver { snapshot, chunk, wear } => {
                let chunk = named(exploration.chunk(snapshot, chunk, wear))?;
                let running = self.databases.iter().filter(|database| database.state.is_running());
                let vacancy = vacancy(running.count(), exploration.system.transfers_max);
                let number = exploration.snapshot(snapshot).identity.database.number();
                let older_start = OlderStart::Refused;
                Ok(self.take(
                    number,
                    Event::ChunkArrived {
                        chunk,
                        vacancy,
                        older_start,
                    },
                ))
            }
            Action::Abort { database } => Ok(self.take(database, Event::AbortRequested)),
            Action::Expire { database } => Ok(self.take(database, Event::IdleExpired)),
            Action::Perform { database } => self.perform(database, None),
            Action::Fail { database, damage, kind } => self.perform(database, Some((damage, kind))),
            Action::Open => self.open(u8::MAX, Damage::Nothing).map(|()| None),
            Action::OpenFailing { after, damage } => self.open(after, damage).map(|()| None),
            Action::Crash { .. } | Action::CrashOpening { .. } => {
                (self.storage, self.databases) = (None, Default::default());
                self.show(after)?;
                Ok(None)
            }
        }
    }

    fn take(&mut self, number: u8, event: Event<Text, Payload>) -> Option<Reply<Text>> {
        let database = &mut self.databases[usize::from(number)];
        let step = step(&LIMITS, database.state.clone(), event);
        (database.state, database.effects) = (step.state, step.effects);
        self.tell(number)
    }

    fn tell(&mut self, number: u8) -> Option<Reply<Text>> {
        let effects = &mut self.databases[usize::from(number)].effects;
        while let Some(told) = take_told(effects) {
            match told {
                Told::Report(_) => {}
                Told::Reply(reply) => return Some(reply),
            }
        }
        None
    }

    fn perform(
        &mut self,
        number: u8,
        failing: Option<(Damage, FailureKind)>,
    ) -> Result<Option<Reply<Text>>, ReplayError> {
        let id = id(number)?;
        let database = &mut self.databases[usize::from(number)];
        let Some(storage) = self.storage.as_mut() else {
            return Err(io::Error::other("no receiver is open").into());
        };
        let effect = database.effects.remove(0);
        let performed = match failing {
            None => perform(effect, storage, &id, &mut database.partial),
            Some((damage, kind)) => {
                let mut storage = FailingOnce {
                    storage,
                    after: 0,
                    damage,
                    kind,
                };
                perform(effect, &mut storage, &id, &mut database.partial)
            }
        };
        Ok(match performed {
            Ok(Performed::Stored | Performed::Report(_) | Performed::Reply(_)) if database.effects.is_empty() => {
                self.take(number, Event::EffectsPerformed)
            }
            Ok(_) => self.tell(number),
            Err((operation, error)) => {
                database.effects.clear();
                let kind = error.kind;
                self.take(number, Event::EffectFailed(Failure { operation, kind }))
            }
        })
    }

    fn open(&mut self, after: u8, damage: Damage) -> Result<(), ReplayError> {
        let mut storage = FileSystem::open(&self.data).map_err(io::Error::other)?;
        let mut failing = FailingOnce {
            storage: &mut storage,
            after,
            damage,
            kind: FailureKind::Other,
        };
        let Ok(left) = recover(&mut failing) else {
            return Ok(());
        };
        for orphan in left {
            for number in 0..DATABASES_MAX {
                if orphan.found.database.as_str() == format!("db{number}") {
                    self.databases[number].state = State::with_removal_owed();
                }
            }
        }
        self.storage = Some(storage);
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn id(number: u8) -> Result<DatabaseId, InvalidId> {
    DatabaseId::new(format!("db{number}"))
}

/// The model's chunk, with names in place of numbers.
fn named(chunk: Chunk<u8, Payload>) -> Result<Chunk<Text, Payload>, InvalidId> {
    let identity = Identity {
        cluster: ClusterId::new(format!("cluster{}", chunk.identity.cluster))?,
        database: id(chunk.identity.database.number())?,
        snapshot_lsn: chunk.identity.snapshot_lsn,
        total_bytes: chunk.identity.total_bytes,
        total_crc32c: chunk.identity.total_crc32c,
    };
    let (offset, done) = (chunk.offset, chunk.done);
    Ok(Chunk::new(identity, offset, chunk.into_data(), done))
}

/// The real files, but for one operation that fails after so many.
struct FailingOnce<'a> {
    storage: &'a mut FileSystem,
    after: u8,
    damage: Damage,
    kind: FailureKind,
}

impl FailingOnce<'_> {
    /// Whether the operation at hand is the one to fail.
    fn fails(&mut self) -> bool {
        let fails = self.after == 0;
        self.after = self.after.checked_sub(1).unwrap_or(u8::MAX);
        fails
    }

    fn attempt<R>(
        &mut self,
        operation: impl FnOnce(&mut FileSystem) -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        let (fails, takes_effect) = (self.fails(), self.damage == Damage::Done);
        if fails && !takes_effect {
            return Err(self.kind.into());
        }
        let done = operation(self.storage)?;
        if fails { Err(self.kind.into()) } else { Ok(done) }
    }
}

impl Storage for FailingOnce<'_> {
    type Partial = <FileSystem as Storage>::Partial;

    fn create(&mut self, database: &DatabaseId) -> Result<Self::Partial, StorageError> {
        self.attempt(|storage| storage.create(database))
    }

    fn write_at(&mut self, partial: &mut Self::Partial, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let half = if self.after == 0 {
            data.len().div_ceil(2)
        } else {
            data.len()
        };
        self.attempt(|storage| storage.write_at(partial, offset, &data[..half]))
    }

    fn sync(&mut self, partial: &mut Self::Partial) -> Result<(), StorageError> {
        self.attempt(|storage| storage.sync(partial))
    }

    fn publish(&mut self, partial: Self::Partial, verified: &Verified) -> Result<(), StorageError> {
        self.attempt(|storage| storage.publish(partial, verified))
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        self.attempt(|storage| storage.sync_directory(directory))
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.attempt(|storage| storage.remove(database))
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        self.attempt(Storage::list)
    }
}
