//! States that must not be, made of one that may: what `invariants` and `valid_transition` have to
//! refuse wherever they are asked.
//!
//! Guarantees: a case says in words which promise it breaks, and is made only where it breaks it for
//! sure. Refuses to know: how the state came about, and how the two checks work.

use snapshot_receiver::protocol::{
    AwaitingChunk, AwaitingPublication, AwaitingRemoval, AwaitingStart, BrokenInvariant, Cause, ClusterId, Commit,
    Crc32c, DatabaseId, Digest, Ending, FinalChunk, Identity, Limits, Memory, Standing, State, invariants,
    valid_transition,
};

/// Asks for every state that must not be, and for every leap that may not be taken from here.
///
/// # Errors
/// What was let through, or told as something else.
pub fn is_refused(limits: &Limits, state: &State<u8>) -> Result<(), String> {
    for (spoilt, expected) in spoilt(limits, state) {
        let told = invariants(limits, &spoilt);
        if told != Err(expected) {
            return Err(format!("{spoilt:?}: expected {expected:?}, told {told:?}"));
        }
    }
    for (why, cause, to) in leaps(state) {
        if valid_transition(state, cause, &to).is_ok() {
            return Err(format!("{why}: {cause:?} may lead from {state:?} to {to:?}"));
        }
    }
    Ok(())
}

/// The state with one value as it must not be, and what `invariants` has to say of it.
fn spoilt(limits: &Limits, state: &State<u8>) -> Vec<(State<u8>, BrokenInvariant)> {
    match state {
        State::AwaitingStart(phase) => match &phase.memory {
            Memory::Nothing | Memory::RemovalOwed => Vec::new(),
            Memory::CommittedBy(final_chunk) => {
                let with = |latest, final_chunk| {
                    let memory = Memory::CommittedBy(final_chunk);
                    State::AwaitingStart(AwaitingStart { latest, memory })
                };
                let longer = longer(final_chunk);
                let at_start = FinalChunk {
                    offset: 0,
                    length: final_chunk.identity.total_bytes,
                    ..final_chunk.clone()
                };
                let not_of_latest = BrokenInvariant::FinalChunkNotOfLatest;
                let Identity {
                    cluster, snapshot_lsn, ..
                } = final_chunk.identity.clone();
                let another_lsn = Commit {
                    cluster,
                    ..another_commit()
                };
                let another_cluster = Commit {
                    snapshot_lsn,
                    ..another_commit()
                };
                vec![
                    (with(None, final_chunk.clone()), not_of_latest),
                    (with(Some(another_lsn), final_chunk.clone()), not_of_latest),
                    (with(Some(another_cluster), final_chunk.clone()), not_of_latest),
                    (with(phase.latest.clone(), at_start), not_of_latest),
                    (with(phase.latest.clone(), longer.clone()), not_at_end(&longer)),
                ]
            }
        },
        State::AwaitingChunk(phase) => spoilt_transfer(limits, phase),
        State::AwaitingPublication(phase) => {
            let (latest, final_chunk) = (phase.latest.clone(), longer(&phase.final_chunk));
            let broken = not_at_end(&final_chunk);
            vec![(
                State::AwaitingPublication(AwaitingPublication { latest, final_chunk }),
                broken,
            )]
        }
        State::AwaitingRemoval(_) => Vec::new(),
    }
}

fn longer(final_chunk: &FinalChunk<u8>) -> FinalChunk<u8> {
    FinalChunk {
        length: final_chunk.length + 1,
        ..final_chunk.clone()
    }
}

fn not_at_end(final_chunk: &FinalChunk<u8>) -> BrokenInvariant {
    BrokenInvariant::FinalChunkNotAtEnd {
        end: final_chunk.offset + final_chunk.length,
        total_bytes: final_chunk.identity.total_bytes,
    }
}

fn spoilt_transfer(limits: &Limits, phase: &AwaitingChunk<u8, Crc32c>) -> Vec<(State<u8>, BrokenInvariant)> {
    let (limit, total_bytes) = (limits.snapshot_bytes_max, phase.identity.total_bytes);
    let with = |change: &dyn Fn(&mut AwaitingChunk<u8, Crc32c>)| {
        let mut phase = phase.clone();
        change(&mut phase);
        phase
    };
    let out_of_step = |phase: &AwaitingChunk<u8, Crc32c>| BrokenInvariant::ReportOutOfStep {
        reported_bytes: phase.reported_bytes,
        received_bytes: phase.received_bytes,
    };
    let huge = with(&|phase| phase.identity.total_bytes = limit + 1);
    let past_total = with(&|phase| phase.received_bytes = total_bytes + 1);
    let of_the_future = with(&|phase| phase.reported_bytes = phase.received_bytes + 1);
    let of_nothing = with(&|phase| {
        (phase.received_bytes, phase.reported_bytes) = (0, 0);
        phase.digest = Crc32c::default().append(b"x");
    });
    let overdue = with(&|phase| phase.received_bytes = phase.reported_bytes + limits.report_bytes);
    let mut broken = vec![
        (
            huge,
            BrokenInvariant::TotalAboveLimit {
                total_bytes: limit + 1,
                limit,
            },
        ),
        (
            past_total,
            BrokenInvariant::ReceivedAboveTotal {
                received_bytes: total_bytes + 1,
                total_bytes,
            },
        ),
        (of_the_future.clone(), out_of_step(&of_the_future)),
        (
            of_nothing.clone(),
            BrokenInvariant::DigestOfNothing {
                value: of_nothing.digest.value(),
            },
        ),
    ];
    if overdue.received_bytes <= total_bytes {
        broken.push((overdue.clone(), out_of_step(&overdue)));
    }
    let broken = broken.into_iter();
    broken.map(|(phase, why)| (State::AwaitingChunk(phase), why)).collect()
}

/// States that may not follow, whatever their values are worth by themselves.
fn leaps(state: &State<u8>) -> Vec<(&'static str, Cause, State<u8>)> {
    match state {
        State::AwaitingStart(phase) => from_start(phase),
        State::AwaitingChunk(phase) => from_chunk(phase),
        State::AwaitingPublication(phase) => from_publication(phase),
        State::AwaitingRemoval(phase) => from_removal(phase),
    }
}

type Latest = Option<Commit<u8>>;

fn another_commit() -> Commit<u8> {
    Commit {
        cluster: ClusterId::<u8>::numbered(u8::MAX),
        snapshot_lsn: u64::MAX,
    }
}

fn another_snapshot(database: u8) -> Identity<u8> {
    let Commit { cluster, snapshot_lsn } = another_commit();
    Identity {
        cluster,
        database: DatabaseId::<u8>::numbered(database),
        snapshot_lsn,
        total_bytes: 1,
        total_crc32c: 0,
    }
}

fn idle(latest: &Latest, memory: Memory<u8>) -> State<u8> {
    let latest = latest.clone();
    State::AwaitingStart(AwaitingStart { latest, memory })
}

fn receiving(latest: &Latest, identity: Identity<u8>) -> State<u8> {
    State::AwaitingChunk(AwaitingChunk {
        latest: latest.clone(),
        identity,
        received_bytes: 0,
        reported_bytes: 0,
        digest: Crc32c::default(),
    })
}

fn publishing(latest: &Latest, final_chunk: FinalChunk<u8>) -> State<u8> {
    let latest = latest.clone();
    State::AwaitingPublication(AwaitingPublication { latest, final_chunk })
}

fn removing(latest: &Latest, standing: Standing) -> State<u8> {
    State::AwaitingRemoval(AwaitingRemoval {
        latest: latest.clone(),
        ending: Ending::Aborted,
        standing,
    })
}

fn from_start(before: &AwaitingStart<u8>) -> Vec<(&'static str, Cause, State<u8>)> {
    let (latest, other) = (&before.latest, &Some(another_commit()));
    let identity = another_snapshot(0);
    let (wrong_memory, wrong_standing) = if before.memory == Memory::RemovalOwed {
        (Memory::Nothing, Standing::NotOurs)
    } else {
        (Memory::RemovalOwed, Standing::Ours)
    };
    let changed = || idle(latest, wrong_memory.clone());
    let begun = || receiving(latest, identity.clone());
    let mut leaps = vec![
        ("a start begins nothing", Cause::Start, changed()),
        (
            "a verdict errs in whose file it is",
            Cause::Start,
            removing(latest, wrong_standing),
        ),
        (
            "a start changes the latest commit",
            Cause::Start,
            receiving(other, identity.clone()),
        ),
        ("a late chunk begins a transfer", Cause::Continuation, begun()),
        (
            "an abort forgets what is owed, or owes something",
            Cause::Abort,
            changed(),
        ),
        ("an expiry where nothing runs", Cause::Expiry, changed()),
        ("effects of nobody begin a transfer", Cause::Performed, begun()),
        ("a failure of nobody", Cause::Failed, changed()),
    ];
    if before.memory != Memory::RemovalOwed {
        let removal = removing(latest, Standing::Ours);
        leaps.push(("an abort removes what is not owed", Cause::Abort, removal));
    }
    leaps
}

fn from_chunk(before: &AwaitingChunk<u8, Crc32c>) -> Vec<(&'static str, Cause, State<u8>)> {
    let (latest, other) = (&before.latest, &Some(another_commit()));
    let vanished = || idle(latest, Memory::Nothing);
    let of_another_database = another_snapshot(before.identity.database.number().wrapping_add(1));
    let more = || with_a_byte(before, |_| ());
    let disowned = || removing(latest, Standing::NotOurs);
    let mut leaps = vec![
        ("a transfer vanishes at a start", Cause::Start, vanished()),
        ("a transfer vanishes at its next chunk", Cause::Continuation, vanished()),
        ("an abort removes nothing", Cause::Abort, vanished()),
        ("an expiry removes nothing", Cause::Expiry, vanished()),
        (
            "a start of another database",
            Cause::Start,
            receiving(latest, of_another_database),
        ),
        (
            "an abort publishes",
            Cause::Abort,
            publishing(latest, last_byte(before)),
        ),
        (
            "an abort changes the latest commit",
            Cause::Abort,
            removing(other, Standing::Ours),
        ),
        ("a verdict on a start disowns the partial", Cause::Start, disowned()),
        ("a verdict disowns the partial", Cause::Continuation, disowned()),
        ("an abort disowns the partial", Cause::Abort, disowned()),
        ("an expiry disowns the partial", Cause::Expiry, disowned()),
        ("effects of nobody bring bytes", Cause::Performed, more()),
        ("a failed transfer goes on", Cause::Failed, more()),
        (
            "a removal is owed that was not tried",
            Cause::Failed,
            idle(latest, Memory::RemovalOwed),
        ),
    ];
    let continued = continued_wrongly(before).into_iter();
    leaps.extend(continued.map(|(why, to)| (why, Cause::Continuation, to)));
    leaps
}

/// The transfer with one byte more, and with what `change` makes of it.
fn with_a_byte(before: &AwaitingChunk<u8, Crc32c>, change: impl FnOnce(&mut AwaitingChunk<u8, Crc32c>)) -> State<u8> {
    let mut after = before.clone();
    after.received_bytes += 1;
    change(&mut after);
    State::AwaitingChunk(after)
}

fn last_byte(before: &AwaitingChunk<u8, Crc32c>) -> FinalChunk<u8> {
    FinalChunk {
        identity: before.identity.clone(),
        offset: before.received_bytes,
        length: 1,
    }
}

fn continued_wrongly(before: &AwaitingChunk<u8, Crc32c>) -> Vec<(&'static str, State<u8>)> {
    let same_bytes = with_a_byte(before, |after| {
        after.received_bytes = before.received_bytes;
        after.digest = after.digest.append(b"x");
    });
    let another_cluster = with_a_byte(before, |after| {
        let cluster = after.identity.cluster.number().wrapping_add(1);
        after.identity.cluster = ClusterId::<u8>::numbered(cluster);
    });
    let elsewhere = FinalChunk {
        offset: before.received_bytes + 1,
        ..last_byte(before)
    };
    let of_another = FinalChunk {
        identity: another_snapshot(before.identity.database.number()),
        ..last_byte(before)
    };
    let mut wrong = vec![
        ("another cluster goes on", another_cluster),
        ("bytes change that came before", same_bytes),
        ("a chunk elsewhere ends it", publishing(&before.latest, elsewhere)),
        ("another snapshot ends it", publishing(&before.latest, of_another)),
    ];
    if before.received_bytes > before.reported_bytes {
        let between = with_a_byte(before, |after| after.reported_bytes = before.received_bytes);
        wrong.push(("a report of where no chunk ended", between));
    }
    if before.reported_bytes > 0 {
        let taken_back = with_a_byte(before, |after| after.reported_bytes -= 1);
        wrong.push(("a report is taken back", taken_back));
    }
    wrong
}

fn from_publication(before: &AwaitingPublication<u8>) -> Vec<(&'static str, Cause, State<u8>)> {
    let (latest, final_chunk) = (&before.latest, &before.final_chunk);
    let Identity {
        cluster, snapshot_lsn, ..
    } = final_chunk.identity.clone();
    let committed = &Some(Commit { cluster, snapshot_lsn });
    let other = &Some(another_commit());
    let memory = if final_chunk.offset == 0 {
        Memory::Nothing
    } else {
        Memory::CommittedBy(final_chunk.clone())
    };
    let removal = || removing(latest, Standing::Ours);
    let goes_on = receiving(latest, final_chunk.identity.clone());
    let something_else = Memory::CommittedBy(longer(final_chunk));
    let mut leaps = vec![
        (
            "a commit owes a removal",
            Cause::Performed,
            idle(committed, Memory::RemovalOwed),
        ),
        (
            "a commit is repeated by another chunk",
            Cause::Performed,
            idle(committed, something_else),
        ),
        (
            "another commit is remembered",
            Cause::Performed,
            idle(other, memory.clone()),
        ),
        ("what is published is removed", Cause::Performed, removal()),
        (
            "a failure commits",
            Cause::Failed,
            idle(latest, Memory::CommittedBy(final_chunk.clone())),
        ),
        (
            "a failure owes what was not tried",
            Cause::Failed,
            idle(latest, Memory::RemovalOwed),
        ),
        (
            "a failure changes the latest commit",
            Cause::Failed,
            removing(other, Standing::Ours),
        ),
        ("a failed attempt goes on", Cause::Failed, goes_on),
    ];
    if latest != committed {
        leaps.push(("a commit is not remembered", Cause::Performed, idle(latest, memory)));
    }
    leaps.extend(too_early(&removal()));
    leaps
}

/// One event is finished before the next.
fn too_early(to: &State<u8>) -> [(&'static str, Cause, State<u8>); 4] {
    [
        ("a start before the last event is through", Cause::Start),
        ("a chunk before the last event is through", Cause::Continuation),
        ("an abort before the last event is through", Cause::Abort),
        ("an expiry before the last event is through", Cause::Expiry),
    ]
    .map(|(why, cause)| (why, cause, to.clone()))
}

fn from_removal(before: &AwaitingRemoval<u8>) -> Vec<(&'static str, Cause, State<u8>)> {
    let (latest, other) = (&before.latest, &Some(another_commit()));
    let (wrong, another_standing) = match before.standing {
        Standing::Ours => (Memory::Nothing, Standing::NotOurs),
        Standing::NotOurs => (Memory::RemovalOwed, Standing::Ours),
    };
    let mut leaps = vec![
        (
            "a removal that worked stays owed",
            Cause::Performed,
            idle(latest, Memory::RemovalOwed),
        ),
        (
            "a removal errs in whose file it was",
            Cause::Failed,
            idle(latest, wrong),
        ),
        (
            "a removal is tried in a loop",
            Cause::Failed,
            removing(latest, another_standing),
        ),
        (
            "a removal changes the latest commit",
            Cause::Performed,
            idle(other, Memory::Nothing),
        ),
        (
            "an ended attempt begins again",
            Cause::Performed,
            receiving(latest, another_snapshot(0)),
        ),
    ];
    leaps.extend(too_early(&idle(latest, Memory::Nothing)));
    leaps
}
