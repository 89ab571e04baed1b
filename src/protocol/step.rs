//! The transition function: every decision of the receiver.
//!
//! Guarantees: total, deterministic, no half-updated state (each arm builds the next one whole);
//! an envelope that is not admitted leaves the state as it was (SR-ADM-004). Refuses to know:
//! how effects are performed, and whether anybody else calls at the same time: the executor
//! finishes one event before it brings the next.
//!
//! Read it beside the table in SPEC.md: the arms stand in the table's order.

use super::digest::{Digest, Verified};
use super::effect::{Effect, Effects, Progress, Reply};
use super::envelope::{Chunk, Identity};
use super::event::{Event, Failure, OlderStart, Vacancy};
use super::id::Symbol;
use super::limits::Limits;
use super::rejection::{IdentityMismatch, Rejection};
use super::state::{
    AwaitingChunk, AwaitingPublication, AwaitingRemoval, AwaitingStart, Commit, Ending, FinalChunk, Memory, Standing,
    State, Step,
};

/// Takes one event in and says what follows from it.
///
/// ```
/// use snapshot_receiver::protocol::{step, Effect, Envelope, Event, Limits, OlderStart, Reply, State, Vacancy};
///
/// let envelope = Envelope {
///     source_cluster_id: "prod-us".into(),
///     source_database_id: "db_01".into(),
///     snapshot_lsn: 42,
///     total_bytes: 6,
///     total_crc32c: 0x8c0b_db85,
///     offset: 0,
///     data: *b"hel",
///     done: false,
/// };
/// let event = Event::ChunkArrived {
///     chunk: envelope.into_chunk()?,
///     vacancy: Vacancy::Free,
///     older_start: OlderStart::Refused,
/// };
/// let state: State = State::default();
/// let next = step(&Limits::default(), state, event);
/// assert_eq!(next.effects.as_slice(), [
///     Effect::Create,
///     Effect::Write { offset: 0, data: *b"hel" },
///     Effect::Reply(Reply::Pending { bytes_done: 3 }),
/// ]);
/// # Ok::<(), snapshot_receiver::protocol::Rejection>(())
/// ```
pub fn step<T: Symbol, B: AsRef<[u8]>, D: Digest>(
    limits: &Limits,
    state: State<T, D>,
    event: Event<T, B>,
) -> Step<T, B, D> {
    match event {
        Event::ChunkArrived {
            chunk,
            vacancy,
            older_start,
        } => chunk_arrived(limits, state, chunk, vacancy, older_start),
        Event::AbortRequested => abort_requested(state),
        Event::IdleExpired => idle_expired(state),
        Event::EffectsPerformed => effects_performed(state),
        Event::EffectFailed(failure) => effect_failed(state, failure),
    }
}

/// Whether `chunk` would start a transfer where none runs, so that the shell has to find a place
/// for it before the step (SR-CON-005).
pub fn needs_place<T: Symbol, B: AsRef<[u8]>, D: Digest>(
    limits: &Limits,
    state: &State<T, D>,
    chunk: &Chunk<T, B>,
    older_start: OlderStart,
) -> bool {
    match state {
        State::AwaitingStart(phase) => {
            judge_where_none_runs(limits, phase, chunk, Vacancy::Free, older_start) == Ok(FirstAdmission::Start)
        }
        State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => false,
    }
}

/// What an admitted envelope is where no transfer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstAdmission {
    Start,
    RepeatedFinalChunk,
}

/// What an admitted envelope is where a transfer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextAdmission {
    Start,
    Continuation,
}

/// The order of judgement: only the first broken rule is reported.
fn judge_where_none_runs<T: Symbol, B: AsRef<[u8]>>(
    limits: &Limits,
    phase: &AwaitingStart<T>,
    chunk: &Chunk<T, B>,
    vacancy: Vacancy,
    older_start: OlderStart,
) -> Result<FirstAdmission, Rejection<T>> {
    judge_length(limits, chunk)?;
    if chunk.offset > 0 {
        return match &phase.memory {
            Memory::CommittedBy(final_chunk) if is_repeated(final_chunk, chunk) => {
                Ok(FirstAdmission::RepeatedFinalChunk)
            }
            Memory::CommittedBy(_) | Memory::Nothing | Memory::RemovalOwed => Err(Rejection::OffsetMismatch {
                expected: 0,
                actual: chunk.offset,
            }),
        };
    }
    let comparable = |commit: &&Commit<T>| commit.cluster == chunk.identity.cluster;
    let newest = phase.latest.as_ref().filter(comparable);
    judge_start(limits, newest.map(|commit| commit.snapshot_lsn), chunk, older_start)?;
    match vacancy {
        Vacancy::Exhausted { transfers_max } => Err(Rejection::TooManyTransfers { transfers_max }),
        Vacancy::Free => Ok(FirstAdmission::Start),
    }
}

/// The same order; a start takes the place of the transfer that runs, and needs none.
fn judge_where_one_runs<T: Symbol, B: AsRef<[u8]>, D>(
    limits: &Limits,
    phase: &AwaitingChunk<T, D>,
    chunk: &Chunk<T, B>,
    older_start: OlderStart,
) -> Result<NextAdmission, Rejection<T>> {
    judge_length(limits, chunk)?;
    if chunk.offset == 0 {
        judge_start(limits, Some(phase.identity.snapshot_lsn), chunk, older_start)?;
        return Ok(NextAdmission::Start);
    }
    same_identity(&phase.identity, &chunk.identity).map_err(Rejection::IdentityMismatch)?;
    if chunk.offset != phase.received_bytes {
        return Err(Rejection::OffsetMismatch {
            expected: phase.received_bytes,
            actual: chunk.offset,
        });
    }
    judge_end(&phase.identity, chunk)?;
    Ok(NextAdmission::Continuation)
}

fn judge_length<T: Symbol, B: AsRef<[u8]>>(limits: &Limits, chunk: &Chunk<T, B>) -> Result<(), Rejection<T>> {
    if chunk.length() > limits.chunk_bytes_max {
        return Err(Rejection::ChunkTooLarge {
            limit: limits.chunk_bytes_max,
            actual: chunk.length(),
        });
    }
    Ok(())
}

/// `newest` is the LSN that a start is measured against, where there is one.
fn judge_start<T: Symbol, B: AsRef<[u8]>>(
    limits: &Limits,
    newest: Option<u64>,
    chunk: &Chunk<T, B>,
    older_start: OlderStart,
) -> Result<(), Rejection<T>> {
    let identity = &chunk.identity;
    if identity.total_bytes > limits.snapshot_bytes_max {
        return Err(Rejection::SnapshotTooLarge {
            limit: limits.snapshot_bytes_max,
            actual: identity.total_bytes,
        });
    }
    judge_end(identity, chunk)?;
    match (older_start, newest) {
        (OlderStart::Refused, Some(newest)) if identity.snapshot_lsn < newest => Err(Rejection::StaleSnapshot {
            newest,
            actual: identity.snapshot_lsn,
        }),
        (OlderStart::Refused | OlderStart::Allowed, Some(_) | None) => Ok(()),
    }
}

fn judge_end<T: Symbol, B: AsRef<[u8]>>(identity: &Identity<T>, chunk: &Chunk<T, B>) -> Result<(), Rejection<T>> {
    match chunk.end() {
        Some(end) if end <= identity.total_bytes => Ok(()),
        end => Err(Rejection::LengthOverrun {
            total_bytes: identity.total_bytes,
            end: end.unwrap_or(u64::MAX),
        }),
    }
}

fn is_repeated<T: Symbol, B: AsRef<[u8]>>(final_chunk: &FinalChunk<T>, chunk: &Chunk<T, B>) -> bool {
    chunk.done
        && chunk.offset == final_chunk.offset
        && chunk.length() == final_chunk.length
        && chunk.identity == final_chunk.identity
}

fn same_identity<T: Symbol>(expected: &Identity<T>, actual: &Identity<T>) -> Result<(), IdentityMismatch<T>> {
    if actual.database != expected.database {
        return Err(IdentityMismatch::Database {
            expected: expected.database.clone(),
            actual: actual.database.clone(),
        });
    }
    if actual.cluster != expected.cluster {
        return Err(IdentityMismatch::Cluster {
            expected: expected.cluster.clone(),
            actual: actual.cluster.clone(),
        });
    }
    if actual.snapshot_lsn != expected.snapshot_lsn {
        return Err(IdentityMismatch::SnapshotLsn {
            expected: expected.snapshot_lsn,
            actual: actual.snapshot_lsn,
        });
    }
    if actual.total_bytes != expected.total_bytes {
        return Err(IdentityMismatch::TotalBytes {
            expected: expected.total_bytes,
            actual: actual.total_bytes,
        });
    }
    if actual.total_crc32c != expected.total_crc32c {
        return Err(IdentityMismatch::TotalCrc32c {
            expected: expected.total_crc32c,
            actual: actual.total_crc32c,
        });
    }
    Ok(())
}

fn chunk_arrived<T: Symbol, B: AsRef<[u8]>, D: Digest>(
    limits: &Limits,
    state: State<T, D>,
    chunk: Chunk<T, B>,
    vacancy: Vacancy,
    older_start: OlderStart,
) -> Step<T, B, D> {
    match state {
        State::AwaitingStart(phase) => match judge_where_none_runs(limits, &phase, &chunk, vacancy, older_start) {
            Ok(FirstAdmission::Start) => {
                let standing = match phase.memory {
                    Memory::RemovalOwed => Standing::Ours,
                    Memory::Nothing | Memory::CommittedBy(_) => Standing::NotOurs,
                };
                start(limits, phase.latest, standing, chunk)
            }
            Ok(FirstAdmission::RepeatedFinalChunk) => {
                let snapshot_lsn = chunk.identity.snapshot_lsn;
                reply(State::AwaitingStart(phase), Reply::Committed { snapshot_lsn })
            }
            Err(rejection) => refuse(State::AwaitingStart(phase), rejection, 0),
        },
        State::AwaitingChunk(phase) => match judge_where_one_runs(limits, &phase, &chunk, older_start) {
            Ok(NextAdmission::Start) => start(limits, phase.latest, Standing::Ours, chunk),
            Ok(NextAdmission::Continuation) => receive(limits, phase, Standing::Ours, Effects::new(), chunk),
            Err(rejection) => {
                // Where a source of this snapshot can go on (SR-ADM-005).
                let is_its_source = phase.identity == chunk.identity;
                let resume_offset = if is_its_source { phase.received_bytes } else { 0 };
                refuse(State::AwaitingChunk(phase), rejection, resume_offset)
            }
        },
        State::AwaitingPublication(_) | State::AwaitingRemoval(_) => reply(state, Reply::OutOfTurn),
    }
}

fn refuse<T: Symbol, B, D>(state: State<T, D>, rejection: Rejection<T>, resume_offset: u64) -> Step<T, B, D> {
    reply(
        state,
        Reply::Rejected {
            rejection,
            resume_offset,
            removal_failed: None,
        },
    )
}

fn start<T: Symbol, B: AsRef<[u8]>, D: Digest>(
    limits: &Limits,
    latest: Option<Commit<T>>,
    standing: Standing,
    chunk: Chunk<T, B>,
) -> Step<T, B, D> {
    let phase = AwaitingChunk {
        latest,
        identity: chunk.identity.clone(),
        received_bytes: 0,
        reported_bytes: 0,
        digest: D::default(),
    };
    let mut effects = Effects::new();
    effects.push(Effect::Create);
    receive(limits, phase, standing, effects, chunk)
}

/// The admitted chunk's bytes count; then, if it says `done`, length and checksum are judged.
fn receive<T: Symbol, B: AsRef<[u8]>, D: Digest>(
    limits: &Limits,
    phase: AwaitingChunk<T, D>,
    standing: Standing,
    mut effects: Effects<T, B>,
    chunk: Chunk<T, B>,
) -> Step<T, B, D> {
    let (offset, length, done) = (chunk.offset, chunk.length(), chunk.done);
    let received_bytes = phase.received_bytes + length;
    let digest = match chunk.payload_crc32c() {
        Some(crc32c) => phase.digest.append_hashed(chunk.data().as_ref(), crc32c),
        None => phase.digest.append(chunk.data().as_ref()),
    };
    if length > 0 {
        effects.push(Effect::Write {
            offset,
            data: chunk.into_data(),
        });
    }
    if !done {
        let next = AwaitingChunk {
            received_bytes,
            digest,
            ..phase
        };
        return pending(limits, next, effects);
    }
    match Verified::check(&phase.identity, received_bytes, &digest) {
        Ok(verified) => {
            effects.push(Effect::Sync);
            effects.push(Effect::Publish(verified));
            effects.push(Effect::SyncDirectory);
            let final_chunk = FinalChunk {
                identity: phase.identity,
                offset,
                length,
            };
            let latest = phase.latest;
            Step {
                state: State::AwaitingPublication(AwaitingPublication { latest, final_chunk }),
                effects,
            }
        }
        // What the chunk carried need not reach the disk any more.
        Err(verdict) => remove(phase.latest, Ending::Rejected(verdict), standing),
    }
}

fn pending<T: Symbol, B, D: Digest>(
    limits: &Limits,
    mut phase: AwaitingChunk<T, D>,
    mut effects: Effects<T, B>,
) -> Step<T, B, D> {
    let bytes_done = phase.received_bytes;
    if bytes_done - phase.reported_bytes >= limits.report_bytes.max(1) {
        phase.reported_bytes = bytes_done;
        effects.push(Effect::Report(Progress::Bootstrapping {
            bytes_done,
            bytes_total: phase.identity.total_bytes,
        }));
    }
    effects.push(Effect::Reply(Reply::Pending { bytes_done }));
    Step {
        state: State::AwaitingChunk(phase),
        effects,
    }
}

fn abort_requested<T: Symbol, B, D>(state: State<T, D>) -> Step<T, B, D> {
    match state {
        State::AwaitingStart(phase) => match phase.memory {
            Memory::RemovalOwed => remove(phase.latest, Ending::Aborted, Standing::Ours),
            Memory::Nothing | Memory::CommittedBy(_) => reply(State::AwaitingStart(phase), Reply::Aborted),
        },
        State::AwaitingChunk(phase) => remove(phase.latest, Ending::Aborted, Standing::Ours),
        state @ (State::AwaitingPublication(_) | State::AwaitingRemoval(_)) => reply(state, Reply::OutOfTurn),
    }
}

/// As an abort, but an owed removal is not tried again: that is for starts, aborts and openings.
fn idle_expired<T: Symbol, B, D>(state: State<T, D>) -> Step<T, B, D> {
    match state {
        state @ State::AwaitingStart(_) => reply(state, Reply::NothingRan),
        state @ (State::AwaitingChunk(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_)) => {
            abort_requested(state)
        }
    }
}

fn effects_performed<T: Symbol, B, D>(state: State<T, D>) -> Step<T, B, D> {
    match state {
        state @ (State::AwaitingStart(_) | State::AwaitingChunk(_)) => reply(state, Reply::OutOfTurn),
        State::AwaitingPublication(phase) => committed(phase.final_chunk),
        State::AwaitingRemoval(phase) => ended(phase.latest, phase.ending),
    }
}

fn effect_failed<T: Symbol, B, D>(state: State<T, D>, failure: Failure) -> Step<T, B, D> {
    match state {
        state @ State::AwaitingStart(_) => reply(
            state,
            Reply::Failed {
                failure,
                removal_failed: None,
            },
        ),
        State::AwaitingChunk(AwaitingChunk { latest, .. })
        | State::AwaitingPublication(AwaitingPublication { latest, .. }) => {
            if failure.leaves_no_partial() {
                ended(latest, Ending::Failed(failure))
            } else {
                remove(latest, Ending::Failed(failure), Standing::Ours)
            }
        }
        State::AwaitingRemoval(phase) => {
            let latest = phase.latest;
            let memory = match phase.standing {
                Standing::Ours => Memory::RemovalOwed,
                Standing::NotOurs => Memory::Nothing,
            };
            reply(
                State::AwaitingStart(AwaitingStart { latest, memory }),
                phase.ending.into_reply(Some(failure)),
            )
        }
    }
}

fn committed<T: Symbol, B, D>(final_chunk: FinalChunk<T>) -> Step<T, B, D> {
    let snapshot_lsn = final_chunk.identity.snapshot_lsn;
    let latest = Some(Commit {
        cluster: final_chunk.identity.cluster.clone(),
        snapshot_lsn,
    });
    // A final chunk at offset 0 that comes again is a start like any other.
    let memory = if final_chunk.offset == 0 {
        Memory::Nothing
    } else {
        Memory::CommittedBy(final_chunk)
    };
    let mut effects = Effects::new();
    effects.push(Effect::Report(Progress::Following));
    effects.push(Effect::Reply(Reply::Committed { snapshot_lsn }));
    Step {
        state: State::AwaitingStart(AwaitingStart { latest, memory }),
        effects,
    }
}

/// Ends an attempt whose partial has to go first.
fn remove<T: Symbol, B, D>(latest: Option<Commit<T>>, ending: Ending<T>, standing: Standing) -> Step<T, B, D> {
    let mut effects = Effects::new();
    effects.push(Effect::Remove);
    Step {
        state: State::AwaitingRemoval(AwaitingRemoval {
            latest,
            ending,
            standing,
        }),
        effects,
    }
}

/// Ends an attempt that left no partial.
fn ended<T: Symbol, B, D>(latest: Option<Commit<T>>, ending: Ending<T>) -> Step<T, B, D> {
    let memory = Memory::Nothing;
    reply(
        State::AwaitingStart(AwaitingStart { latest, memory }),
        ending.into_reply(None),
    )
}

fn reply<T, B, D>(state: State<T, D>, reply: Reply<T>) -> Step<T, B, D> {
    let mut effects = Effects::new();
    effects.push(Effect::Reply(reply));
    Step { state, effects }
}
