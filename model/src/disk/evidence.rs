//! Evidence for whoever drives a storage by hand.
//!
//! Guarantees: it comes from a step, as all evidence does; there is no other way. Refuses to know: which
//! storage it is for.

use snapshot_receiver::protocol::{
    Chunk, ClusterId, Crc32c, DatabaseId, Effect, Event, Identity, Limits, OlderStart, State, Vacancy, Verified, step,
};

/// The evidence that a snapshot of these bytes was verified, with LSN 0.
///
/// # Panics
/// If a step does not publish a right snapshot of one chunk: it is broken.
#[must_use]
pub fn evidence(database: DatabaseId<u8>, bytes: &'static [u8]) -> Verified<u8> {
    let identity = Identity {
        cluster: ClusterId::<u8>::numbered(0),
        database,
        snapshot_lsn: 0,
        total_bytes: bytes.len() as u64,
        total_crc32c: crc32c::crc32c(bytes),
    };
    let event = Event::ChunkArrived {
        chunk: Chunk::new(identity, 0, bytes, true),
        vacancy: Vacancy::Free,
        older_start: OlderStart::Refused,
    };
    let state: State<u8, Crc32c> = State::default();
    let effects = step(&Limits::default(), state, event).effects;
    let evidence = effects.into_iter().find_map(|effect| match effect {
        Effect::Publish(verified) => Some(verified),
        Effect::Create
        | Effect::Write { .. }
        | Effect::Sync
        | Effect::SyncDirectory
        | Effect::Remove
        | Effect::Report(_)
        | Effect::Reply(_) => None,
    });
    evidence.expect("a right snapshot of one chunk is published at once")
}
