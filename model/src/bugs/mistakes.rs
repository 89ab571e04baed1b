//! How each seeded bug is made: mistakes in what `step` is told, what it answers, what is performed
//! and what an opening does.
//!
//! Guarantees: around the shipped code, never in it. Refuses to know: which rule catches what.

use std::sync::Arc;

use snapshot_receiver::executor::{
    Directory, Found, OrphanLeft, RecoveryError, Storage, StorageError, recover as shipped_recover,
};
use snapshot_receiver::protocol::{
    AwaitingStart, Chunk, DatabaseId, Digest, Effect, Effects, Ending, Event, Failure, FailureKind, Limits, Memory,
    OlderStart, Operation, Progress, Rejection, Reply, Standing, State, Step, Symbol, Vacancy, Verified,
    step as shipped_step,
};

use super::{Bug, Bugs};
use crate::disk::{Disk, Durability, Handle};
use crate::system::{DATABASES_MAX, Payload};

type Performed = Result<(), (Operation, StorageError)>;

/// What the bugs have to know of an event after it was taken.
enum Told<T, B> {
    Chunk(Chunk<T, B>),
    Abort,
    Expiry,
    Performed,
    Failed(Failure),
}

impl<T: Symbol, B: Clone> From<&Event<T, B>> for Told<T, B> {
    fn from(event: &Event<T, B>) -> Self {
        match event {
            Event::ChunkArrived { chunk, .. } => Self::Chunk(chunk.clone()),
            Event::AbortRequested => Self::Abort,
            Event::IdleExpired => Self::Expiry,
            Event::EffectsPerformed => Self::Performed,
            Event::EffectFailed(failure) => Self::Failed(*failure),
        }
    }
}

/// The shipped `step`, with the bugs around it.
pub fn step<T: Symbol, B: AsRef<[u8]> + Clone, D: Digest>(
    bugs: Bugs,
    limits: &Limits,
    state: State<T, D>,
    event: Event<T, B>,
) -> Step<T, B, D> {
    if bugs.is_none() {
        return shipped_step(limits, state, event);
    }
    let told = Told::from(&event);
    let before = state.clone();
    let mut limits = *limits;
    if bugs.has(Bug::LimitsIgnored) {
        (limits.chunk_bytes_max, limits.snapshot_bytes_max) = (u64::MAX, u64::MAX);
    }
    let state = mistaken_state(bugs, state, &told);
    let event = mistaken_event(bugs, &state, event);
    let step = shipped_step(&limits, state, event);
    let step = mistaken_end(bugs, &before, &told, step);
    let step = mistaken_order(bugs, step);
    mistaken_state_after(bugs, &limits, &before, &told, step)
}

/// What the bugs have forgotten or mixed up before the event.
fn mistaken_state<T: Symbol, B: AsRef<[u8]> + Clone, D: Digest>(
    bugs: Bugs,
    mut state: State<T, D>,
    told: &Told<T, B>,
) -> State<T, D> {
    let (State::AwaitingChunk(phase), Told::Chunk(chunk)) = (&mut state, told) else {
        return state;
    };
    let is_continuation = chunk.offset > 0;
    if bugs.has(Bug::OverlapRewritten) && is_continuation && chunk.offset < phase.received_bytes {
        phase.received_bytes = chunk.offset;
        phase.reported_bytes = phase.reported_bytes.min(chunk.offset);
    }
    if bugs.has(Bug::LaterHeaderOverrides) && is_continuation {
        phase.identity = chunk.identity.clone();
    }
    let end = chunk.offset.saturating_add(chunk.length());
    let is_next = is_continuation && chunk.offset == phase.received_bytes && chunk.identity == phase.identity;
    if bugs.has(Bug::OverrunAccepted) && is_next && end > phase.identity.total_bytes {
        phase.identity.total_bytes = end;
    }
    if bugs.has(Bug::DoneAcceptedEarly) && is_next && chunk.done && end < phase.identity.total_bytes {
        phase.identity.total_bytes = end;
        phase.identity.total_crc32c = phase.digest.clone().append(chunk.data().as_ref()).value();
    }
    state
}

/// What the bugs tell `step` instead of what happened.
fn mistaken_event<T: Symbol, B: AsRef<[u8]> + Clone, D: Digest>(
    bugs: Bugs,
    state: &State<T, D>,
    event: Event<T, B>,
) -> Event<T, B> {
    let Event::ChunkArrived {
        mut chunk,
        mut vacancy,
        mut older_start,
    } = event
    else {
        return event;
    };
    if bugs.has(Bug::NeverDone) || (bugs.has(Bug::EmptyNeverCompletes) && chunk.identity.total_bytes == 0) {
        chunk.done = false;
    }
    let length = chunk.length();
    if bugs.has(Bug::StartOverrunAccepted) && chunk.offset == 0 {
        chunk.identity.total_bytes = chunk.identity.total_bytes.max(length);
    }
    if bugs.has(Bug::StaleAccepted) {
        older_start = OlderStart::Allowed;
    }
    if bugs.has(Bug::PlacesUnbounded) {
        vacancy = Vacancy::Free;
    }
    match state {
        State::AwaitingChunk(phase) if chunk.offset > 0 => {
            let gap = bugs.has(Bug::GapAccepted) && chunk.offset > phase.received_bytes;
            let twice = bugs.has(Bug::DuplicateCountedTwice) && chunk.offset < phase.received_bytes;
            if gap || twice {
                chunk.offset = phase.received_bytes;
            }
            let (ours, theirs) = (&phase.identity, &mut chunk.identity);
            let all = bugs.has(Bug::IdentityNotCompared);
            // What the two mistaken totals above made of the transfer's identity.
            let total = bugs.has(Bug::OverrunAccepted) || bugs.has(Bug::DoneAcceptedEarly);
            if all || bugs.has(Bug::ClusterNotCompared) {
                theirs.cluster = ours.cluster.clone();
            }
            if all || bugs.has(Bug::LsnNotCompared) {
                theirs.snapshot_lsn = ours.snapshot_lsn;
            }
            if all || total || bugs.has(Bug::TotalNotCompared) {
                theirs.total_bytes = ours.total_bytes;
            }
            if all || total || bugs.has(Bug::DeclaredCrcNotCompared) {
                theirs.total_crc32c = ours.total_crc32c;
            }
        }
        State::AwaitingStart(phase) if chunk.offset > 0 => {
            if bugs.has(Bug::RepeatRefused) {
                chunk.done = false;
            }
            if let (true, Memory::CommittedBy(last)) = (bugs.has(Bug::RepeatTakenByLsn), &phase.memory)
                && chunk.identity.snapshot_lsn == last.identity.snapshot_lsn
            {
                chunk.identity = last.identity.clone();
            }
            if bugs.has(Bug::LateChunkReopens) && phase.memory == Memory::Nothing {
                chunk.offset = 0;
            }
        }
        State::AwaitingStart(_)
        | State::AwaitingChunk(_)
        | State::AwaitingPublication(_)
        | State::AwaitingRemoval(_) => {}
    }
    Event::ChunkArrived {
        chunk,
        vacancy,
        older_start,
    }
}

/// Attempts that the bugs end wrongly, or do not end.
fn mistaken_end<T: Symbol, B: AsRef<[u8]> + Clone, D: Digest>(
    bugs: Bugs,
    before: &State<T, D>,
    told: &Told<T, B>,
    mut step: Step<T, B, D>,
) -> Step<T, B, D> {
    let answer = |reply| Effects::from_iter([Effect::Reply(reply)]);
    let stays = |reply| Step {
        state: before.clone(),
        effects: answer(reply),
    };
    match (before, told) {
        (State::AwaitingChunk(phase), Told::Failed(failure)) => {
            let bytes_done = phase.received_bytes;
            if bugs.has(Bug::FailureIgnored) {
                return stays(Reply::Pending { bytes_done });
            }
            if bugs.has(Bug::FailureWedges) {
                let (failure, removal_failed) = (*failure, None);
                return stays(Reply::Failed {
                    failure,
                    removal_failed,
                });
            }
        }
        (State::AwaitingPublication(phase), Told::Failed(failure)) if bugs.has(Bug::FailedPublishLeavesPartial) => {
            let (latest, memory) = (phase.latest.clone(), Memory::Nothing);
            let (failure, removal_failed) = (*failure, None);
            step.state = State::AwaitingStart(AwaitingStart { latest, memory });
            step.effects = answer(Reply::Failed {
                failure,
                removal_failed,
            });
        }
        (State::AwaitingRemoval(phase), Told::Failed(failure)) => {
            if bugs.has(Bug::RemovalHidesCause) {
                let (failure, removal_failed) = (*failure, Some(failure.kind));
                step.effects = answer(Reply::Failed {
                    failure,
                    removal_failed,
                });
            }
            if bugs.has(Bug::AbortHidesFailure) && phase.ending == Ending::Aborted {
                step.effects = answer(Reply::Aborted);
            }
        }
        (State::AwaitingChunk(_), Told::Abort) if bugs.has(Bug::AbortKeepsTransfer) => return stays(Reply::Aborted),
        (State::AwaitingChunk(_), Told::Expiry) if bugs.has(Bug::ExpiryIgnored) => return stays(Reply::NothingRan),
        (State::AwaitingStart(phase), Told::Abort)
            if bugs.has(Bug::AbortOfNothingFails) && phase.memory != Memory::RemovalOwed =>
        {
            return stays(Reply::NothingRan);
        }
        (State::AwaitingChunk(phase), Told::Chunk(chunk)) if chunk.offset == 0 && bugs.has(Bug::RestartIgnored) => {
            let (expected, actual) = (phase.received_bytes, 0);
            return stays(Reply::Rejected {
                rejection: Rejection::OffsetMismatch { expected, actual },
                resume_offset: 0,
                removal_failed: None,
            });
        }
        (_, Told::Chunk(chunk)) if bugs.has(Bug::ShortnessNotTold) => {
            let (declared, computed) = (chunk.identity.total_crc32c, 0);
            if let State::AwaitingRemoval(phase) = &mut step.state
                && let Ending::Rejected(verdict @ Rejection::LengthMismatch { .. }) = &mut phase.ending
            {
                *verdict = Rejection::CrcMismatch { declared, computed };
            }
        }
        (_, Told::Chunk(_) | Told::Abort | Told::Expiry | Told::Performed | Told::Failed(_)) => {}
    }
    step
}

/// Effects that the bugs leave out, add or put in a wrong order.
fn mistaken_order<T: Symbol, B: AsRef<[u8]> + Clone, D: Digest>(bugs: Bugs, mut step: Step<T, B, D>) -> Step<T, B, D> {
    let effects = &mut step.effects;
    if bugs.has(Bug::SyncSkipped) {
        effects.retain(|effect| !matches!(effect, Effect::Sync));
    }
    if bugs.has(Bug::DirectorySyncSkipped) {
        effects.retain(|effect| !matches!(effect, Effect::SyncDirectory));
    }
    let position = |effects: &Effects<T, B>, wanted: fn(&Effect<T, B>) -> bool| effects.iter().position(wanted);
    let sync = position(effects, |effect| matches!(effect, Effect::Sync));
    if bugs.has(Bug::PublishBeforeSync)
        && let Some(sync) = sync
    {
        effects.swap(sync, sync + 1);
    }
    if bugs.has(Bug::SyncBeforeLastWrite)
        && let (Some(sync), Some(write)) = (sync, position(effects, |effect| matches!(effect, Effect::Write { .. })))
    {
        effects.swap(sync, write);
    }
    let directory = position(effects, |effect| matches!(effect, Effect::SyncDirectory));
    if bugs.has(Bug::DirectorySyncBeforePublish)
        && let (Some(directory), Some(publish)) = (
            directory,
            position(effects, |effect| matches!(effect, Effect::Publish(_))),
        )
    {
        effects.swap(directory, publish);
    }
    if bugs.has(Bug::CommittedBeforeDirectorySync) {
        effects.retain(|effect| !matches!(effect, Effect::SyncDirectory));
        let follows = |effect: &Effect<T, B>| matches!(effect, Effect::Report(Progress::Following));
        if effects.iter().any(follows) {
            effects.push(Effect::SyncDirectory);
        }
    }
    if bugs.has(Bug::ReplyBeforeEffects) {
        effects.rotate_right(1);
    }
    let following = position(effects, |effect| matches!(effect, Effect::Report(Progress::Following)));
    if let Some(following) = following {
        if bugs.has(Bug::FollowingTwice) {
            effects.insert(following, Effect::Report(Progress::Following));
        }
        if bugs.has(Bug::FollowingMissing) {
            effects.remove(following);
        }
    }
    for effect in effects.iter_mut() {
        if let Effect::Reply(Reply::Rejected { resume_offset, .. }) = effect
            && bugs.has(Bug::ResumeOffsetWrong)
        {
            *resume_offset = 0;
        }
        if let Effect::Reply(Reply::Committed { snapshot_lsn }) = effect
            && bugs.has(Bug::CommitNamesAnother)
        {
            *snapshot_lsn -= 1;
        }
    }
    step
}

/// What the bugs remember wrongly of what happened.
fn mistaken_state_after<T: Symbol, B: AsRef<[u8]> + Clone, D: Digest>(
    bugs: Bugs,
    limits: &Limits,
    before: &State<T, D>,
    told: &Told<T, B>,
    mut step: Step<T, B, D>,
) -> Step<T, B, D> {
    let refused = match step.effects.first() {
        Some(Effect::Reply(Reply::Rejected { rejection, .. })) => Some(rejection.clone()),
        Some(_) | None => None,
    };
    if bugs.has(Bug::PanicsOnStale) && matches!(refused, Some(Rejection::StaleSnapshot { .. })) {
        // As a panic, without its message: it is expected.
        std::panic::resume_unwind(Box::new("an older start"));
    }
    match (before, told, &mut step.state) {
        (State::AwaitingChunk(old), Told::Chunk(chunk), State::AwaitingChunk(new)) => {
            let is_restart = refused.is_none() && chunk.offset == 0;
            if is_restart {
                if bugs.has(Bug::RestartKeepsOffset) {
                    new.received_bytes = new.received_bytes.max(old.received_bytes);
                }
                if bugs.has(Bug::RestartKeepsReports) {
                    new.reported_bytes = old.reported_bytes;
                }
                if bugs.has(Bug::DigestLeaks) {
                    new.digest = old.digest.clone().append(chunk.data().as_ref());
                }
            } else if refused.is_none() && bugs.has(Bug::CrcRestartedPerChunk) {
                new.digest = D::default().append(chunk.data().as_ref());
            }
            let repeated = refused.is_some() && chunk.offset > 0 && chunk.offset < old.received_bytes;
            if repeated && chunk.identity == old.identity && bugs.has(Bug::DuplicateFedTwice) {
                new.digest = new.digest.clone().append(chunk.data().as_ref());
            }
            if refused.is_some() && bugs.has(Bug::RefusalEndsTransfer) {
                let (latest, memory) = (old.latest.clone(), Memory::Nothing);
                step.state = State::AwaitingStart(AwaitingStart { latest, memory });
            }
        }
        (State::AwaitingChunk(_), Told::Chunk(chunk), State::AwaitingRemoval(after))
            if chunk.offset == 0 && bugs.has(Bug::RestartDisownsPartial) =>
        {
            after.standing = Standing::NotOurs;
        }
        (State::AwaitingPublication(phase), Told::Performed, State::AwaitingStart(after))
            if bugs.has(Bug::CommitForgotten) =>
        {
            after.latest.clone_from(&phase.latest);
            after.memory = Memory::Nothing;
        }
        (_, _, State::AwaitingStart(phase))
            if bugs.has(Bug::OwedRemovalForgotten) && phase.memory == Memory::RemovalOwed =>
        {
            phase.memory = Memory::Nothing;
        }
        (_, _, _) => {}
    }
    if let State::AwaitingChunk(phase) = &mut step.state {
        if bugs.has(Bug::ReportCounterReset) {
            phase.reported_bytes = 0;
        }
        if bugs.has(Bug::ReportCountRounded) {
            phase.reported_bytes -= phase.reported_bytes % limits.report_bytes.max(1);
        }
        if bugs.has(Bug::ReportsRunAhead) {
            phase.reported_bytes = phase.identity.total_bytes;
        }
        let all_in = phase.received_bytes == phase.identity.total_bytes;
        if all_in && refused.is_none() && bugs.has(Bug::FollowingEarly) {
            step.effects.insert(0, Effect::Report(Progress::Following));
        }
    }
    let restarts = matches!((before, told), (State::AwaitingChunk(_), Told::Chunk(chunk)) if chunk.offset == 0);
    if restarts && bugs.has(Bug::RestartKeepsFile) {
        step.effects.retain(|effect| !matches!(effect, Effect::Create));
    }
    step
}

/// What the bugs do before an effect, or in its place (then with what came of it).
pub fn performs_instead<D>(
    bugs: Bugs,
    state: &State<u8, D>,
    effect: &Effect<u8, Payload>,
    disk: &mut Disk,
    number: u8,
    partial: &mut Option<Handle>,
) -> Option<Performed> {
    if bugs.is_none() {
        return None;
    }
    let stands = |other: &u8| *other != number && disk.files(*other).partial.is_some();
    let others: Vec<u8> = (0u8..).take(DATABASES_MAX).filter(stands).collect();
    let files = disk.files_mut(number);
    let aborts = matches!(state, State::AwaitingRemoval(phase) if phase.ending == Ending::Aborted);
    match effect {
        Effect::Remove if aborts => {
            if bugs.has(Bug::AbortRemovesSnapshot) {
                files.lose_snapshot();
            }
            if bugs.has(Bug::AbortEndsAnother) {
                others.iter().for_each(|other| disk.files_mut(*other).partial = None);
            }
            bugs.has(Bug::AbortKeepsPartial).then_some(Ok(()))
        }
        // A sync of the open file after its rename: its bytes become durable, too late.
        Effect::Sync if bugs.has(Bug::PublishBeforeSync) => {
            if let Some(file) = files.snapshot_mut() {
                file.durability = Durability::Synced;
            }
            Some(Ok(()))
        }
        Effect::Publish(_) => {
            if bugs.has(Bug::OldSnapshotRemovedFirst) {
                files.lose_snapshot();
            }
            None
        }
        Effect::Create => {
            let stands = files.partial.is_some();
            if bugs.has(Bug::SweepAtStart) {
                others.iter().for_each(|other| disk.files_mut(*other).partial = None);
            }
            if bugs.has(Bug::LeftoverBlocksCreate) && stands {
                // As if it were somebody's: nothing is removed.
                return Some(Err((Operation::Create, FailureKind::DirectoryInTheWay.into())));
            }
            if bugs.has(Bug::LeftoverOpened) && stands {
                *partial = Some(Handle::of(number));
                return Some(Ok(()));
            }
            None
        }
        Effect::Write { offset, data } => {
            if let Some(other) = others.first().filter(|_| bugs.has(Bug::WrittenIntoAnother)) {
                let written = disk.write_at(&mut Handle::of(*other), *offset, data);
                return Some(written.map_err(|error| (Operation::Write, error)));
            }
            let half = data.len() / 2;
            if bugs.has(Bug::ShortWriteTaken) && half > 0 {
                let written = disk.write_at(&mut Handle::of(number), *offset, &data[..half]);
                return Some(written.map_err(|error| (Operation::Write, error)));
            }
            None
        }
        Effect::Remove | Effect::Sync | Effect::SyncDirectory | Effect::Report(_) | Effect::Reply(_) => None,
    }
}

/// What the bugs make of an operation's outcome.
///
/// # Errors
/// As without a bug, where there is none.
pub fn forgive(bugs: Bugs, disk: &mut Disk, number: u8, performed: Performed) -> Performed {
    match performed {
        Err((Operation::Sync, _)) if bugs.has(Bug::SyncFailureIgnored) => Ok(()),
        Err((Operation::SyncDirectory, _)) if bugs.has(Bug::DirectorySyncFailureIgnored) => Ok(()),
        Err((Operation::Write, _)) if bugs.has(Bug::WriteFailureIgnored) => Ok(()),
        Err((Operation::Sync, _)) if bugs.has(Bug::SyncRetried) => disk
            .sync(&mut Handle::of(number))
            .map_err(|error| (Operation::Sync, error)),
        Ok(()) | Err(_) => performed,
    }
}

/// The shipped recovery, on a storage that makes the bugs' mistakes.
///
/// # Errors
/// As the shipped recovery.
pub fn recover<S: Storage<u8>>(bugs: Bugs, storage: &mut S) -> Result<Vec<OrphanLeft<u8>>, RecoveryError> {
    let left = shipped_recover(&mut Mistaken { bugs, storage })?;
    if bugs.has(Bug::RecoveryStopsAtOrphan) && !left.is_empty() {
        return Err(RecoveryError::List(FailureKind::Other.into()));
    }
    if bugs.has(Bug::OrphanForgotten) {
        return Ok(Vec::new());
    }
    Ok(left)
}

/// What the bugs do to the files once an opening has swept.
pub fn after_opening(bugs: Bugs, disk: &mut Disk) {
    if bugs.has(Bug::RecoveryDeletesSnapshot) {
        for files in &mut disk.databases {
            if files.snapshot().is_some() {
                Arc::make_mut(files).lose_snapshot();
            }
        }
    }
}

/// A storage that leaves out what a recovery needs.
struct Mistaken<'a, S> {
    bugs: Bugs,
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
        let skipped = match directory {
            Directory::Receive => Bug::RecoverySkipsReceiveSync,
            Directory::Data => Bug::RecoverySkipsDataSync,
            Directory::Parent => Bug::RecoverySkipsParentSync,
        };
        if self.bugs.has(skipped) {
            return Ok(());
        }
        self.storage.sync_directory(directory)
    }

    fn remove(&mut self, database: &DatabaseId<u8>) -> Result<(), StorageError> {
        self.storage.remove(database)
    }

    fn list(&mut self) -> Result<Vec<Found<u8>>, StorageError> {
        if self.bugs.has(Bug::RecoveryKeepsOrphans) {
            return Ok(Vec::new());
        }
        self.storage.list()
    }
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
