//! Seeded bugs: small wrappers around the shipped `step`, each of which the properties must
//! catch by the clause it breaks.
//!
//! Guarantees: without a bug, the wrapper is the shipped function and nothing else. Refuses to
//! know: how a bug is caught.

use snapshot_receiver::executor::{
    Directory, Found, OrphanLeft, RecoveryError, Storage, StorageError, recover as shipped_recover,
};
use snapshot_receiver::protocol::{
    AwaitingStart, Crc32c, DatabaseId, Digest, Effect, Effects, Ending, Event, FailureKind, Limits, Memory, OlderStart,
    Operation, Reply, State, Step, Vacancy, Verified, step as shipped_step,
};

use crate::check::{Running, check};
use crate::disk::{Disk, Durability, Handle};
use crate::exploration::Exploration;
use crate::system::{Payload, systems};

/// A bug between the receiver and the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A chunk at a wrong offset is taken as if it came at the next one.
    GapAccepted,
    /// A chunk of another snapshot is taken as if it were the transfer's.
    IdentityNotCompared,
    /// A start may always be older.
    StaleAccepted,
    /// There is always a place.
    PlacesUnbounded,
    /// The partial is not synced before the rename.
    SyncSkipped,
    /// The rename comes before the sync.
    PublishBeforeSync,
    /// The directory is not synced after the rename.
    DirectorySyncSkipped,
    /// The reply comes before the effects.
    ReplyBeforeEffects,
    /// An abort removes nothing.
    AbortKeepsPartial,
    /// A failed operation is taken for a successful one.
    FailureIgnored,
    /// A failed removal is forgotten.
    OwedRemovalForgotten,
    /// A repeated final chunk is refused.
    RepeatRefused,
    /// A start keeps the old offset.
    RestartKeepsOffset,
    /// A refusal ends the transfer.
    RefusalEndsTransfer,
    /// Reports start again from 0 with every chunk.
    ReportCounterReset,
    /// Nothing ever commits: the last chunk is taken as pending.
    NeverDone,
    /// An abort takes the snapshot with it.
    AbortRemovesSnapshot,
    /// The old snapshot is unlinked before the new one is renamed into its place.
    OldSnapshotRemovedFirst,
    /// What stands under the partial's name is opened as it is.
    LeftoverOpened,
    /// A failed write counts as done.
    WriteFailureIgnored,
    /// A failed sync counts as done.
    SyncFailureIgnored,
    /// A failed sync is tried again, and then believed.
    SyncRetried,
    /// A failed directory sync counts as done.
    DirectorySyncFailureIgnored,
    /// An opening does not sync the receive directory.
    RecoverySkipsReceiveSync,
    /// An opening does not sync the data directory.
    RecoverySkipsDataSync,
    /// An opening does not sync the data directory's parent.
    RecoverySkipsParentSync,
    /// An opening finds no orphan.
    RecoveryKeepsOrphans,
    /// An orphan that cannot be removed refuses the opening.
    RecoveryStopsAtOrphan,
}

impl Bug {
    /// All of them, each with the clause that it breaks.
    pub const ALL: [(Self, &'static str); 28] = [
        (Self::GapAccepted, "SR-OFF-003"),
        (Self::IdentityNotCompared, "SR-IDN-001"),
        (Self::StaleAccepted, "SR-IDN-004"),
        (Self::PlacesUnbounded, "SR-CON-005"),
        (Self::SyncSkipped, "SR-PUB-002"),
        (Self::PublishBeforeSync, "SR-PUB-002"),
        (Self::DirectorySyncSkipped, "SR-PUB-001"),
        (Self::ReplyBeforeEffects, "SR-OFF-004"),
        (Self::AbortKeepsPartial, "SR-ABT-001"),
        (Self::FailureIgnored, "SR-ERR-001"),
        (Self::OwedRemovalForgotten, "SR-ERR-005"),
        (Self::RepeatRefused, "SR-IDN-003"),
        (Self::RestartKeepsOffset, "SR-OFF-004"),
        (Self::RefusalEndsTransfer, "SR-ADM-004"),
        (Self::ReportCounterReset, "SR-PRG-001"),
        (Self::NeverDone, "SR-LIV-001"),
        (Self::AbortRemovesSnapshot, "SR-ABT-002"),
        (Self::OldSnapshotRemovedFirst, "SR-PUB-003"),
        (Self::LeftoverOpened, "SR-OFF-004"),
        (Self::WriteFailureIgnored, "SR-OFF-004"),
        (Self::SyncFailureIgnored, "SR-ERR-002"),
        (Self::SyncRetried, "SR-ERR-002"),
        (Self::DirectorySyncFailureIgnored, "SR-PUB-001"),
        (Self::RecoverySkipsReceiveSync, "SR-PUB-005"),
        (Self::RecoverySkipsDataSync, "SR-PUB-005"),
        (Self::RecoverySkipsParentSync, "SR-PUB-005"),
        (Self::RecoveryKeepsOrphans, "SR-REC-001"),
        (Self::RecoveryStopsAtOrphan, "SR-REC-003"),
    ];
}

impl Bug {
    /// The bug of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut bugs = Self::ALL.into_iter().map(|(bug, _)| bug);
        bugs.find(|bug| format!("{bug:?}") == name)
    }
}

/// Every seeded bug's name, and the clause that it breaks.
#[must_use]
pub fn claims() -> Vec<(String, &'static str)> {
    let wrappers = Bug::ALL.into_iter().map(|(bug, clause)| (format!("{bug:?}"), clause));
    wrappers.chain([("NoDigest".to_owned(), "SR-CRC-002")]).collect()
}

/// What became of one seeded bug.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub bug: String,
    /// The clause that it breaks.
    pub clause: &'static str,
    /// The system that shows it, where one does.
    pub caught: Option<Caught>,
}

/// Where a bug was caught.
#[derive(Debug)]
pub struct Caught {
    /// The system's name.
    pub system: &'static str,
    /// Steps of the shortest counterexample.
    pub steps: usize,
    /// The rules broken at its end.
    pub rules: Vec<&'static str>,
}

impl Verdict {
    /// Whether a rule of the clause that the bug breaks caught it.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        let caught = self.caught.as_ref();
        caught.is_some_and(|caught| caught.rules.iter().any(|rule| rule.starts_with(self.clause)))
    }
}

/// Seeds every bug in turn, into one system after the other until a rule of its clause catches
/// it.
#[must_use]
pub fn verdicts() -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Bug::ALL
        .into_iter()
        .map(|(bug, clause)| seed::<Crc32c>(format!("{bug:?}"), Some(bug), clause))
        .collect();
    verdicts.push(seed::<NoDigest>("NoDigest".to_owned(), None, "SR-CRC-002"));
    verdicts
}

fn seed<D: Digest + Send + Sync + 'static>(name: String, bug: Option<Bug>, clause: &'static str) -> Verdict {
    let mut verdict = Verdict {
        bug: name,
        clause,
        caught: None,
    };
    for system in systems::<D>() {
        let outcome = check(Exploration::<D>::with_bug(system, bug), &Running::default());
        if let Some(found) = outcome.counterexample {
            verdict.caught = Some(Caught {
                system: outcome.system.name,
                steps: found.length(),
                rules: found.violated,
            });
        }
        if verdict.is_caught() {
            break;
        }
    }
    verdict
}

/// The shipped `step`, with the bug around it.
pub fn step<D: Digest>(
    bug: Option<Bug>,
    limits: &Limits,
    state: State<u8, D>,
    event: Event<u8, Payload>,
) -> Step<u8, Payload, D> {
    match bug {
        None => shipped_step(limits, state, event),
        Some(bug) => {
            let before = state.clone();
            let failed = matches!(event, Event::EffectFailed(_));
            let event = mistaken_event(bug, &before, event);
            let step = shipped_step(limits, state, event);
            mistaken_step(bug, &before, failed, step)
        }
    }
}

/// What the bug does before an effect, or in its place (`true`: the effect then counts as
/// performed).
pub fn performs_instead<D>(
    bug: Option<Bug>,
    state: &State<u8, D>,
    effect: &Effect<u8, Payload>,
    disk: &mut Disk,
    number: u8,
    partial: &mut Option<Handle>,
) -> bool {
    let files = disk.files_mut(number);
    match (bug, state, effect) {
        (Some(Bug::AbortKeepsPartial), State::AwaitingRemoval(phase), Effect::Remove) => {
            phase.ending == Ending::Aborted
        }
        (Some(Bug::AbortRemovesSnapshot), State::AwaitingRemoval(phase), Effect::Remove) => {
            if phase.ending == Ending::Aborted {
                files.lose_snapshot();
            }
            false
        }
        // A sync of the open file after its rename: its bytes become durable, too late.
        (Some(Bug::PublishBeforeSync), _, Effect::Sync) => {
            if let Some(file) = files.snapshot_mut() {
                file.durability = Durability::Synced;
            }
            true
        }
        (Some(Bug::OldSnapshotRemovedFirst), _, Effect::Publish(_)) => {
            files.lose_snapshot();
            false
        }
        // Opened as it is, without unlinking or truncation.
        (Some(Bug::LeftoverOpened), _, Effect::Create) if files.partial.is_some() => {
            *partial = Some(Handle::of(number));
            true
        }
        (_, _, _) => false,
    }
}

/// What the bug makes of an operation's outcome.
///
/// # Errors
/// As without a bug, where there is none.
pub fn forgive(
    bug: Option<Bug>,
    disk: &mut Disk,
    number: u8,
    performed: Result<(), (Operation, StorageError)>,
) -> Result<(), (Operation, StorageError)> {
    match (bug, performed) {
        (Some(Bug::SyncFailureIgnored), Err((Operation::Sync, _)))
        | (Some(Bug::DirectorySyncFailureIgnored), Err((Operation::SyncDirectory, _)))
        | (Some(Bug::WriteFailureIgnored), Err((Operation::Write, _))) => Ok(()),
        (Some(Bug::SyncRetried), Err((Operation::Sync, _))) => disk
            .sync(&mut Handle::of(number))
            .map_err(|error| (Operation::Sync, error)),
        (_, performed) => performed,
    }
}

/// The shipped recovery, on a storage that makes the bug's mistake.
///
/// # Errors
/// As the shipped recovery.
pub fn recover<S: Storage<u8>>(bug: Option<Bug>, storage: &mut S) -> Result<Vec<OrphanLeft<u8>>, RecoveryError> {
    let left = shipped_recover(&mut Mistaken { bug, storage })?;
    if bug == Some(Bug::RecoveryStopsAtOrphan) && !left.is_empty() {
        return Err(RecoveryError::List(FailureKind::Other.into()));
    }
    Ok(left)
}

/// A storage that leaves out what a recovery needs.
struct Mistaken<'a, S> {
    bug: Option<Bug>,
    storage: &'a mut S,
}

impl<S: Storage<u8>> Storage<u8> for Mistaken<'_, S> {
    type Partial = S::Partial;

    fn create(&mut self, database: &DatabaseId<u8>) -> Result<S::Partial, StorageError> {
        self.storage.create(database)
    }

    fn write_at(&mut self, partial: &mut S::Partial, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        self.storage.write_at(partial, offset, data)
    }

    fn sync(&mut self, partial: &mut S::Partial) -> Result<(), StorageError> {
        self.storage.sync(partial)
    }

    fn publish(&mut self, partial: S::Partial, verified: &Verified<u8>) -> Result<(), StorageError> {
        self.storage.publish(partial, verified)
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        match (self.bug, directory) {
            (Some(Bug::RecoverySkipsReceiveSync), Directory::Receive)
            | (Some(Bug::RecoverySkipsDataSync), Directory::Data)
            | (Some(Bug::RecoverySkipsParentSync), Directory::Parent) => Ok(()),
            (_, directory) => self.storage.sync_directory(directory),
        }
    }

    fn remove(&mut self, database: &DatabaseId<u8>) -> Result<(), StorageError> {
        self.storage.remove(database)
    }

    fn list(&mut self) -> Result<Vec<Found<u8>>, StorageError> {
        match self.bug {
            Some(Bug::RecoveryKeepsOrphans) => Ok(Vec::new()),
            Some(_) | None => self.storage.list(),
        }
    }
}

fn mistaken_event<D>(bug: Bug, state: &State<u8, D>, event: Event<u8, Payload>) -> Event<u8, Payload> {
    let Event::ChunkArrived {
        mut chunk,
        mut vacancy,
        mut older_start,
    } = event
    else {
        return event;
    };
    match (bug, state) {
        (Bug::GapAccepted, State::AwaitingChunk(phase)) if chunk.offset > 0 => chunk.offset = phase.received_bytes,
        (Bug::IdentityNotCompared, State::AwaitingChunk(phase)) if chunk.offset > 0 => {
            chunk.identity = phase.identity.clone();
        }
        (Bug::RepeatRefused, State::AwaitingStart(_)) if chunk.offset > 0 => chunk.done = false,
        (Bug::NeverDone, _) => chunk.done = false,
        (Bug::StaleAccepted, _) => older_start = OlderStart::Allowed,
        (Bug::PlacesUnbounded, _) => vacancy = Vacancy::Free,
        (_, _) => {}
    }
    Event::ChunkArrived {
        chunk,
        vacancy,
        older_start,
    }
}

fn mistaken_step<D: Digest>(
    bug: Bug,
    before: &State<u8, D>,
    failed: bool,
    mut step: Step<u8, Payload, D>,
) -> Step<u8, Payload, D> {
    match (bug, before, &mut step.state) {
        (Bug::SyncSkipped, _, _) => step.effects.retain(|effect| !matches!(effect, Effect::Sync)),
        (Bug::DirectorySyncSkipped, _, _) => step.effects.retain(|effect| !matches!(effect, Effect::SyncDirectory)),
        (Bug::PublishBeforeSync, _, _) => {
            if let Some(sync) = step.effects.iter().position(|effect| matches!(effect, Effect::Sync)) {
                step.effects.swap(sync, sync + 1);
            }
        }
        (Bug::ReplyBeforeEffects, _, _) => step.effects.rotate_right(1),
        (Bug::FailureIgnored, State::AwaitingChunk(phase), _) if failed => {
            let bytes_done = phase.received_bytes;
            step.state = before.clone();
            step.effects = Effects::from_iter([Effect::Reply(Reply::Pending { bytes_done })]);
        }
        (Bug::OwedRemovalForgotten, _, State::AwaitingStart(phase)) if phase.memory == Memory::RemovalOwed => {
            phase.memory = Memory::Nothing;
        }
        (Bug::RestartKeepsOffset, State::AwaitingChunk(old), State::AwaitingChunk(new)) => {
            new.received_bytes = new.received_bytes.max(old.received_bytes);
        }
        (Bug::RefusalEndsTransfer, State::AwaitingChunk(old), State::AwaitingChunk(_)) => {
            if matches!(step.effects.first(), Some(Effect::Reply(Reply::Rejected { .. }))) {
                let (latest, memory) = (old.latest.clone(), Memory::Nothing);
                step.state = State::AwaitingStart(AwaitingStart { latest, memory });
            }
        }
        (Bug::ReportCounterReset, _, State::AwaitingChunk(phase)) => phase.reported_bytes = 0,
        (_, _, _) => {}
    }
    step
}

/// A checksum that finds every snapshot right (breaks SR-CRC-002).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoDigest;

impl Digest for NoDigest {
    fn append(self, _: &[u8]) -> Self {
        self
    }

    fn value(&self) -> u32 {
        0
    }
}
