//! Small promises of the protocol that no run shows by itself, each found by a mutant that survived
//! all else, or all but a long run of the gate.
//!
//! Guarantees: `needs_place` and `valid_transition` say no more than they should; limits are the
//! last value that passes. Refuses to know: the executor.

use snapshot_receiver::protocol::{
    AwaitingChunk, AwaitingPublication, AwaitingRemoval, AwaitingStart, Cause, Chunk, ClusterId, Commit, Crc32c,
    DatabaseId, Digest, Effect, Ending, Event, FinalChunk, Identity, Limits, Memory, OlderStart, Rejection, Standing,
    State, Vacancy, invariants, needs_place, step, valid_transition,
};

fn identity() -> Identity<u8> {
    Identity {
        cluster: ClusterId::<u8>::numbered(1),
        database: DatabaseId::<u8>::numbered(0),
        snapshot_lsn: 5,
        total_bytes: 4,
        total_crc32c: Crc32c::default().append(b"abcd").value(),
    }
}

fn chunk(offset: u64, data: &'static [u8]) -> Chunk<u8, &'static [u8]> {
    Chunk::new(identity(), offset, data, false)
}

fn awaiting_chunk(received_bytes: u64, reported_bytes: u64) -> AwaitingChunk<u8, Crc32c> {
    AwaitingChunk {
        latest: None,
        identity: identity(),
        received_bytes,
        reported_bytes,
        digest: Crc32c::default().append(b"ab"),
    }
}

/// Mutants: `needs_place` always true; `||` for `&&` in it.
#[test]
fn only_a_start_that_would_be_admitted_where_nothing_runs_needs_a_place() {
    let limits = Limits::default();
    let needs =
        |state: &State<u8>, chunk: &Chunk<u8, &'static [u8]>| needs_place(&limits, state, chunk, OlderStart::Refused);
    let (idle, running) = (State::default(), State::AwaitingChunk(awaiting_chunk(2, 2)));
    assert!(needs(&idle, &chunk(0, b"ab")));
    assert!(!needs(&idle, &chunk(2, b"cd")), "a late chunk is refused without one");
    assert!(!needs(&idle, &chunk(0, b"abcde")), "an overrun is refused without one");
    assert!(
        !needs(&running, &chunk(0, b"ab")),
        "a start takes its own transfer's place"
    );
    assert!(!needs(&running, &chunk(2, b"cd")));
}

/// Mutant: every chunk's cause is a start.
#[test]
fn a_chunk_at_another_offset_than_0_is_no_start() {
    let arrived = |offset| {
        Cause::of(&Event::ChunkArrived {
            chunk: chunk(offset, b"cd"),
            vacancy: Vacancy::Free,
            older_start: OlderStart::Refused,
        })
    };
    assert_eq!((arrived(0), arrived(2)), (Cause::Start, Cause::Continuation));
}

#[test]
fn an_invalid_transition_names_both_sides() {
    let awaiting_start = |latest| {
        State::AwaitingStart(AwaitingStart {
            latest,
            memory: Memory::Nothing,
        })
    };
    let commit = |cluster| Commit {
        cluster: ClusterId::<u8>::numbered(cluster),
        snapshot_lsn: 5,
    };
    let mut begun = awaiting_chunk(2, 0);
    begun.latest = Some(commit(1));
    let begun: State<u8> = State::AwaitingChunk(begun);
    let told = |from, cause, to| valid_transition(&from, cause, &to).map_err(|invalid| invalid.to_string());

    assert_eq!(
        told(begun.clone(), Cause::Abort, awaiting_start(Some(commit(1)))),
        Err("Abort does not lead from AwaitingChunk to AwaitingStart with these values".to_owned())
    );
    assert_eq!(
        told(awaiting_start(Some(commit(1))), Cause::Start, begun.clone()),
        Ok(())
    );
    assert_eq!(
        told(awaiting_start(Some(commit(2))), Cause::Start, begun),
        Err(format!(
            "Start changed the latest commit from {:?} to {:?}",
            Some(commit(2)),
            Some(commit(1))
        )),
        "the same LSN of another cluster is another commit"
    );
}

/// Mutant: `<=` for `<` between the bytes received before and after.
#[test]
fn a_continuation_without_bytes_changes_nothing() {
    let (before, after) = (awaiting_chunk(2, 0), awaiting_chunk(2, 2));
    let (before, after) = (State::AwaitingChunk(before), State::AwaitingChunk(after));
    assert!(valid_transition(&before, Cause::Continuation, &after).is_err());
    assert_eq!(valid_transition(&before, Cause::Continuation, &before), Ok(()));
}

/// Mutant: `||` for `&&` between the snapshot and the offset of what is published.
#[test]
fn a_publication_is_of_the_transfers_snapshot_and_ends_at_its_offset() {
    let before = State::AwaitingChunk(awaiting_chunk(2, 2));
    let publication = |identity, offset| {
        let length = 2;
        let final_chunk = FinalChunk {
            identity,
            offset,
            length,
        };
        let latest = None;
        State::AwaitingPublication(AwaitingPublication { latest, final_chunk })
    };
    let other = Identity {
        snapshot_lsn: 6,
        ..identity()
    };
    let valid = |after| valid_transition(&before, Cause::Continuation, &after).is_ok();
    assert!(valid(publication(identity(), 2)));
    assert!(!valid(publication(other, 2)), "another snapshot");
    assert!(!valid(publication(identity(), 1)), "another offset");
}

/// Mutant: `||` for `&&` between the cluster and the LSN of the commit that is remembered.
#[test]
fn a_commit_is_remembered_with_its_own_cluster_and_lsn() {
    let final_chunk = FinalChunk {
        identity: identity(),
        offset: 2,
        length: 2,
    };
    let before = State::AwaitingPublication(AwaitingPublication {
        latest: None,
        final_chunk: final_chunk.clone(),
    });
    let valid = |cluster, snapshot_lsn| {
        let cluster = ClusterId::<u8>::numbered(cluster);
        let latest = Some(Commit { cluster, snapshot_lsn });
        let memory = Memory::CommittedBy(final_chunk.clone());
        let after: State<u8> = State::AwaitingStart(AwaitingStart { latest, memory });
        valid_transition(&before, Cause::Performed, &after).is_ok()
    };
    assert!(valid(1, 5) && !valid(2, 5) && !valid(1, 6));
}

/// Mutant: a cluster id that reads as an empty text.
#[test]
fn an_id_reads_as_it_was_written() {
    let cluster = ClusterId::new("prod-us").expect("a valid id");
    let database = DatabaseId::new("db_01").expect("a valid id");
    assert_eq!((cluster.as_str(), database.as_str()), ("prod-us", "db_01"));
    assert_eq!(format!("{cluster} {database}"), "prod-us db_01");
}

/// Mutants: the number of every database is 0, or 1.
#[test]
fn a_numbered_database_tells_its_number() {
    let told = [0, 1, 7].map(|number| DatabaseId::<u8>::numbered(number).number());
    assert_eq!(told, [0, 1, 7]);
}

/// Mutants: every rejection is a verdict, or none is.
#[test]
fn only_what_ends_an_attempt_is_a_verdict() {
    let (total_bytes, received_bytes, declared, computed) = (4, 3, 1, 2);
    let (expected, actual) = (0, 3);
    let verdicts = [
        Rejection::<u8>::LengthMismatch {
            total_bytes,
            received_bytes,
        },
        Rejection::CrcMismatch { declared, computed },
    ];
    assert!(verdicts.iter().all(Rejection::is_verdict));
    let others = [
        Rejection::<u8>::OffsetMismatch { expected, actual },
        Rejection::LengthOverrun { total_bytes, end: 5 },
    ];
    assert!(!others.iter().any(Rejection::is_verdict));
}

/// Mutant: `>=` for `>` between a snapshot's length and its limit.
#[test]
fn a_snapshot_as_long_as_the_limit_is_admitted_and_a_longer_one_is_not() {
    let needs = |snapshot_bytes_max| {
        let limits = Limits {
            snapshot_bytes_max,
            ..Limits::default()
        };
        let idle: State<u8> = State::default();
        needs_place(&limits, &idle, &chunk(0, b"ab"), OlderStart::Refused)
    };
    assert!(needs(4) && !needs(3));
}

/// Mutant: a database whose removal is owed starts as one never seen.
#[test]
fn an_owed_removal_is_tried_by_an_abort() {
    let owed: State<u8> = State::with_removal_owed();
    let after = step(&Limits::default(), owed, Event::<u8, &'static [u8]>::AbortRequested);
    assert_eq!(after.effects.as_slice(), [Effect::Remove]);
}

/// Mutant: `!=` for `==` where a commit by one chunk leaves nothing to repeat.
#[test]
fn a_commit_leaves_nothing_to_repeat_exactly_where_one_chunk_was_the_whole() {
    let committed = |offset| {
        let final_chunk = FinalChunk {
            identity: identity(),
            offset,
            length: 4 - offset,
        };
        let latest = None;
        let before: State<u8> = State::AwaitingPublication(AwaitingPublication { latest, final_chunk });
        let (cluster, snapshot_lsn) = (ClusterId::<u8>::numbered(1), 5);
        let after = State::AwaitingStart(AwaitingStart {
            latest: Some(Commit { cluster, snapshot_lsn }),
            memory: Memory::Nothing,
        });
        valid_transition(&before, Cause::Performed, &after).is_ok()
    };
    assert!(committed(0) && !committed(2));
}

/// Mutant: `!=` for `==` where what could not be removed is not ours.
#[test]
fn a_removal_that_failed_is_owed_exactly_where_the_partial_is_ours() {
    let failed = |standing, memory| {
        let (latest, ending) = (None, Ending::Aborted);
        let before: State<u8> = State::AwaitingRemoval(AwaitingRemoval {
            latest: latest.clone(),
            ending,
            standing,
        });
        let after = State::AwaitingStart(AwaitingStart { latest, memory });
        valid_transition(&before, Cause::Failed, &after).is_ok()
    };
    assert!(failed(Standing::Ours, Memory::RemovalOwed) && !failed(Standing::Ours, Memory::Nothing));
    assert!(failed(Standing::NotOurs, Memory::Nothing) && !failed(Standing::NotOurs, Memory::RemovalOwed));
}

/// Mutants: `>=` for `>` in the invariants of a running transfer.
#[test]
fn a_transfer_of_the_longest_snapshot_may_hold_all_of_its_bytes() {
    let limits = Limits {
        snapshot_bytes_max: 4,
        report_bytes: 4,
        ..Limits::default()
    };
    assert_eq!(invariants(&limits, &State::AwaitingChunk(awaiting_chunk(4, 1))), Ok(()));
    assert!(invariants(&limits, &State::AwaitingChunk(awaiting_chunk(5, 5))).is_err());
}

/// Mutant: a checksum computed ahead is forgotten, so that nothing is gained by it.
#[test]
fn a_checksum_computed_ahead_is_kept_until_the_bytes_may_change() {
    let mut chunk = chunk(0, b"abc");
    assert_eq!(chunk.payload_crc32c(), None);
    chunk = chunk.hashed();
    assert_eq!(chunk.payload_crc32c(), Some(crc32c::crc32c(b"abc")));
    *chunk.data_mut() = b"abd";
    assert_eq!(chunk.payload_crc32c(), None);
}

/// Mutants: `>>` for `<<` in each default.
#[test]
fn limits_are_by_default_what_their_documentation_says() {
    let limits = Limits::default();
    assert_eq!(limits.chunk_bytes_max, 16 * 1024 * 1024);
    assert_eq!(limits.snapshot_bytes_max, 16 * 1024 * 1024 * 1024 * 1024);
    assert_eq!(limits.report_bytes, 1024 * 1024);
}
