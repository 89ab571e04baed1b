//! What the clauses say of a single step: what a state alone cannot show.
//!
//! Guarantees: the rules of admission and of answers are stated here a second time, from the
//! clauses, and share no code with `step`. Refuses to know: how a step is taken, and which rule of
//! `properties` reports a breach.

use std::sync::Arc;

use snapshot_receiver::protocol::{
    Cause, Chunk, Digest, Effect, Effects, Ending, FinalChunk, Memory, Progress, Rejection, Reply, State,
};

use crate::exploration::Exploration;
use crate::system::{LIMITS, Payload};
use crate::witnesses::Witness;
use crate::world::{Breach, Snapshots, World};

type Told<'a> = Option<&'a Reply<u8>>;

impl<D: Digest> Exploration<D> {
    /// What the rules of admission say about the step that a chunk led to.
    pub(crate) fn judge_admission(
        &self,
        world: &World<D>,
        before: &State<u8, D>,
        chunk: &Chunk<u8, Payload>,
        place_is_free: bool,
        told: Told<'_>,
    ) -> Option<Breach> {
        let after = &world.database(chunk.identity.database.number()).state;
        self.judge_limits(before, chunk, after)
            .or_else(|| {
                if chunk.offset == 0 {
                    self.judge_start(before, chunk, after, place_is_free, told)
                } else {
                    self.judge_continuation(before, chunk, after, told)
                }
            })
            .or_else(|| judge_resume_offset(before, chunk, told))
            .or_else(|| judge_length(before, chunk, after))
    }

    fn judge_limits(&self, before: &State<u8, D>, chunk: &Chunk<u8, Payload>, after: &State<u8, D>) -> Option<Breach> {
        if before == after {
            return None;
        }
        let length = chunk.data().len() as u64;
        let is_start = chunk.offset == 0;
        let total_bytes = chunk.identity.total_bytes;
        if length > LIMITS.chunk_bytes_max || (is_start && total_bytes > LIMITS.snapshot_bytes_max) {
            return Some(Breach::LimitIgnored);
        }
        let end = chunk.offset.checked_add(length);
        end.is_none_or(|end| end > total_bytes)
            .then_some(Breach::OverrunAdmitted)
    }

    fn judge_start(
        &self,
        before: &State<u8, D>,
        chunk: &Chunk<u8, Payload>,
        after: &State<u8, D>,
        place_is_free: bool,
        told: Told<'_>,
    ) -> Option<Breach> {
        let lsn = chunk.identity.snapshot_lsn;
        let (is_running, is_older) = match before {
            State::AwaitingStart(phase) => {
                let latest = phase.latest.as_ref();
                let latest = latest.filter(|commit| commit.cluster == chunk.identity.cluster);
                (false, latest.is_some_and(|commit| lsn < commit.snapshot_lsn))
            }
            State::AwaitingChunk(phase) => {
                self.witnesses.reach(Witness::Restarted);
                (true, lsn < phase.identity.snapshot_lsn)
            }
            State::AwaitingPublication(_) | State::AwaitingRemoval(_) => return None,
        };
        let refused = matches!(told, Some(Reply::Rejected { rejection, .. }) if !rejection.is_verdict());
        if is_older {
            return (before != after).then_some(Breach::StaleAdmitted);
        }
        let length = chunk.data().len() as u64;
        let total_bytes = chunk.identity.total_bytes;
        let keeps_limits = total_bytes <= LIMITS.snapshot_bytes_max && length <= LIMITS.chunk_bytes_max;
        let is_admissible = keeps_limits && length <= total_bytes && (is_running || place_is_free);
        if refused {
            return is_admissible.then_some(Breach::StartRefused);
        }
        let is_empty_snapshot = total_bytes == 0 && chunk.identity.total_crc32c == 0;
        if is_empty_snapshot && chunk.done {
            self.witnesses.reach(Witness::EmptyFinished);
            let completes = matches!(after, State::AwaitingPublication(_));
            return (!completes).then_some(Breach::EmptyNotComplete);
        }
        let anew = match after {
            State::AwaitingChunk(phase) => phase.identity == chunk.identity && phase.received_bytes == length,
            State::AwaitingPublication(phase) => phase.final_chunk.identity == chunk.identity,
            State::AwaitingRemoval(_) => chunk.done,
            State::AwaitingStart(_) => false,
        };
        (!anew).then_some(Breach::StartNotAnew)
    }

    fn judge_continuation(
        &self,
        before: &State<u8, D>,
        chunk: &Chunk<u8, Payload>,
        after: &State<u8, D>,
        told: Told<'_>,
    ) -> Option<Breach> {
        let changed = before != after;
        match before {
            State::AwaitingStart(phase) => match &phase.memory {
                Memory::CommittedBy(last) if repeats(last, chunk) => {
                    self.witnesses.reach(Witness::RepeatAnswered);
                    let answered = matches!(told, Some(Reply::Committed { .. }));
                    (changed || !answered).then_some(Breach::RepeatNotAnswered)
                }
                Memory::CommittedBy(_) | Memory::Nothing | Memory::RemovalOwed => {
                    self.witnesses.reach(Witness::LateRefused);
                    // Not a repetition, then, whatever it has in common with the chunk that committed.
                    let refused = matches!(told, Some(Reply::Rejected { .. }));
                    (changed || !refused).then_some(Breach::LateChunkAdmitted)
                }
            },
            State::AwaitingChunk(phase) => {
                if changed && chunk.identity != phase.identity {
                    Some(Breach::WrongIdentityAdmitted)
                } else {
                    (changed && chunk.offset != phase.received_bytes).then_some(Breach::WrongOffsetAdmitted)
                }
            }
            State::AwaitingPublication(_) | State::AwaitingRemoval(_) => None,
        }
    }

    /// What the clauses say of a step and the effects that it asks for, whatever the event.
    pub(crate) fn judge_step(
        before: &State<u8, D>,
        cause: Cause,
        after: &State<u8, D>,
        effects: &Effects<u8, Payload>,
    ) -> Option<Breach> {
        let follows = |effect: &&Effect<u8, Payload>| matches!(effect, Effect::Report(Progress::Following));
        let commits = matches!((before, cause), (State::AwaitingPublication(_), Cause::Performed));
        if effects.iter().filter(follows).count() != usize::from(commits) {
            return Some(Breach::FollowingOutOfStep);
        }
        if !counts_from_its_report(before, cause, after, effects) {
            return Some(Breach::ReportOutOfStep);
        }
        let answer = effects.iter().find_map(|effect| match effect {
            Effect::Reply(reply) => Some(reply),
            Effect::Create
            | Effect::Write { .. }
            | Effect::Sync
            | Effect::Publish(_)
            | Effect::SyncDirectory
            | Effect::Remove
            | Effect::Report(_) => None,
        });
        match (before, cause) {
            (State::AwaitingStart(phase), Cause::Abort) if phase.memory != Memory::RemovalOwed => {
                (answer != Some(&Reply::Aborted)).then_some(Breach::IdleAbortNotAnswered)
            }
            (State::AwaitingChunk(_), Cause::Expiry) => {
                matches!(after, State::AwaitingChunk(_)).then_some(Breach::ExpiryIgnored)
            }
            (State::AwaitingRemoval(phase), Cause::Failed) => {
                (!names_first_cause(&phase.ending, answer)).then_some(Breach::CauseHidden)
            }
            (
                State::AwaitingStart(_)
                | State::AwaitingChunk(_)
                | State::AwaitingPublication(_)
                | State::AwaitingRemoval(_),
                Cause::Start | Cause::Continuation | Cause::Abort | Cause::Expiry | Cause::Performed | Cause::Failed,
            ) => None,
        }
    }

    /// Whether an answer is true at the moment it is given.
    pub(crate) fn judge_reply(&self, world: &mut World<D>, number: u8, reply: &Reply<u8>) -> Option<Breach> {
        self.witnesses.note_reply(reply);
        let files = world.disk.files(number);
        let database = Arc::make_mut(&mut world.databases[usize::from(number)]);
        match reply {
            Reply::Pending { bytes_done } => {
                let held = files.partial.as_ref().map(|file| file.bytes.len() as u64);
                (held != Some(*bytes_done)).then_some(Breach::PendingNotTrue)
            }
            Reply::Committed { snapshot_lsn } => {
                let published = files.snapshot().and_then(|file| file.published_as);
                let is_durable = files.snapshot_is_durable();
                let lsn = published.map(|snapshot| self.snapshot(snapshot).identity.snapshot_lsn);
                if database.acknowledged.is_some() && database.acknowledged != published {
                    self.witnesses.reach(Witness::Replaced);
                }
                database.acknowledged = published;
                database.begun = Snapshots::default();
                if database.has_failed {
                    Some(Breach::CommittedAfterFailure)
                } else if !is_durable {
                    Some(Breach::CommittedNotDurable)
                } else if lsn != Some(*snapshot_lsn) {
                    Some(Breach::CommittedNotPublished)
                } else {
                    None
                }
            }
            Reply::Aborted => {
                let goes_on = files.partial.is_some() || database.state.is_running();
                goes_on.then_some(Breach::AbortedNotRemoved)
            }
            Reply::Rejected { .. } | Reply::Failed { .. } | Reply::NothingRan => None,
            Reply::OutOfTurn => Some(Breach::OutOfTurn),
        }
    }
}

/// SR-LEN-001: `done` with too few bytes is a length mismatch, whatever their checksum is.
fn judge_length<D: Digest>(before: &State<u8, D>, chunk: &Chunk<u8, Payload>, after: &State<u8, D>) -> Option<Breach> {
    let end = chunk.offset.checked_add(chunk.data().len() as u64)?;
    let total_bytes = chunk.identity.total_bytes;
    if before == after || !chunk.done || end >= total_bytes {
        return None;
    }
    let expected = Ending::Rejected(Rejection::LengthMismatch {
        total_bytes,
        received_bytes: end,
    });
    let is_told = matches!(after, State::AwaitingRemoval(phase) if phase.ending == expected);
    (!is_told).then_some(Breach::ShortnessNotTold)
}

/// SR-ADM-005: the next expected offset of the source's own running transfer, else 0.
fn judge_resume_offset<D: Digest>(before: &State<u8, D>, chunk: &Chunk<u8, Payload>, told: Told<'_>) -> Option<Breach> {
    let Some(Reply::Rejected {
        rejection,
        resume_offset,
        ..
    }) = told
    else {
        return None;
    };
    if rejection.is_verdict() {
        return None;
    }
    let received = match before {
        State::AwaitingChunk(phase) => phase.received_bytes,
        State::AwaitingStart(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => 0,
    };
    let own = matches!(before, State::AwaitingChunk(phase) if phase.identity == chunk.identity);
    let right = if own { received } else { 0 };
    let both_sides = match rejection {
        Rejection::OffsetMismatch { expected, actual } => *expected == received && *actual == chunk.offset,
        Rejection::InvalidDatabaseId(_)
        | Rejection::InvalidClusterId(_)
        | Rejection::ChunkTooLarge { .. }
        | Rejection::SnapshotTooLarge { .. }
        | Rejection::LengthOverrun { .. }
        | Rejection::StaleSnapshot { .. }
        | Rejection::TooManyTransfers { .. }
        | Rejection::IdentityMismatch(_)
        | Rejection::LengthMismatch { .. }
        | Rejection::CrcMismatch { .. } => true,
    };
    (*resume_offset != right || !both_sides).then_some(Breach::WrongResumeOffset)
}

fn names_first_cause(ending: &Ending<u8>, answer: Told<'_>) -> bool {
    match (ending, answer) {
        (Ending::Aborted, Some(Reply::Failed { .. })) => true,
        (
            Ending::Rejected(first),
            Some(Reply::Rejected {
                rejection,
                removal_failed,
                ..
            }),
        ) => rejection == first && removal_failed.is_some(),
        (
            Ending::Failed(first),
            Some(Reply::Failed {
                failure,
                removal_failed,
            }),
        ) => failure == first && removal_failed.is_some(),
        (Ending::Aborted | Ending::Rejected(_) | Ending::Failed(_), _) => false,
    }
}

fn repeats(last: &FinalChunk<u8>, chunk: &Chunk<u8, Payload>) -> bool {
    let arrived = FinalChunk {
        identity: chunk.identity.clone(),
        offset: chunk.offset,
        length: chunk.data().len() as u64,
    };
    chunk.done && arrived == *last
}

/// SR-PRG-001: the bytes that count as reported are those of the latest report of the attempt.
fn counts_from_its_report<D: Digest>(
    before: &State<u8, D>,
    cause: Cause,
    after: &State<u8, D>,
    effects: &Effects<u8, Payload>,
) -> bool {
    let State::AwaitingChunk(phase) = after else {
        return true;
    };
    let reported = effects.iter().find_map(|effect| match effect {
        Effect::Report(Progress::Bootstrapping { bytes_done, .. }) => Some(*bytes_done),
        Effect::Create
        | Effect::Write { .. }
        | Effect::Sync
        | Effect::Publish(_)
        | Effect::SyncDirectory
        | Effect::Remove
        | Effect::Report(Progress::Following)
        | Effect::Reply(_) => None,
    });
    let earlier = match (before, cause) {
        // A refused start changes nothing.
        (State::AwaitingChunk(before), Cause::Start) if before == phase => before.reported_bytes,
        (State::AwaitingChunk(before), Cause::Continuation) => before.reported_bytes,
        (_, _) => 0,
    };
    phase.reported_bytes == reported.unwrap_or(earlier)
}
