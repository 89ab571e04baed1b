//! Small promises of the protocol that no run shows by itself, each found by a mutant that survived
//! all else.
//!
//! Guarantees: `needs_place` and `valid_transition` say no more than they should. Refuses to know:
//! the executor.

use snapshot_receiver::protocol::{
    AwaitingChunk, AwaitingPublication, AwaitingStart, Cause, Chunk, ClusterId, Commit, Crc32c, DatabaseId, Digest,
    Event, FinalChunk, Identity, Limits, Memory, OlderStart, State, Vacancy, needs_place, valid_transition,
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

/// Mutant: `<=` for `<` between the bytes received before and after.
#[test]
fn a_continuation_without_bytes_changes_nothing() {
    let (before, after) = (awaiting_chunk(2, 0), awaiting_chunk(2, 2));
    let (before, after) = (State::AwaitingChunk(before), State::AwaitingChunk(after));
    assert!(!valid_transition(&before, Cause::Continuation, &after));
    assert!(valid_transition(&before, Cause::Continuation, &before));
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
    let valid = |after| valid_transition(&before, Cause::Continuation, &after);
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
        valid_transition(&before, Cause::Performed, &after)
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
