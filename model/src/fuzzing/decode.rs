//! `decode_envelope`: bytes as a frame.
//!
//! Guarantees: what is decoded encodes and decodes to itself; no part of a header is one; an envelope
//! made of the bytes comes back as it was; what the decoder allocates is bounded by the frame's
//! length, where somebody counts (SR-SEC-003). Refuses to know: the format.

use std::sync::Arc;

use bytes::Bytes;
use snapshot_receiver::Envelope;
use snapshot_receiver::protocol::{
    Crc32c, Digest, Event, ID_BYTES_MAX, Limits, OlderStart, State, Vacancy, invariants, step, valid_transition,
};
use snapshot_receiver::wire::{DecodeError, decode, encode};

use super::planted::Own;
use super::{Rig, Target, Watch};

/// See the head of this file.
pub(super) const TARGET: Target = Target {
    name: "decode_envelope",
    about: "bytes as a frame: round trips, bounded allocation, no panic",
    word_bytes: 1,
    input_bytes_max: 1024,
    reaches: &[
        "decoded",
        "refused",
        "empty payload",
        "payload",
        "done",
        "not done",
        "valid ids",
        "invalid_cluster_id",
        "invalid_database_id",
        "overlong number",
    ],
    run,
};

/// What a decoder may allocate besides the two ids: their counts of owners.
const OVERHEAD_BYTES: usize = 64;

/// The decoder, with a planted bug around it.
fn decode_with(own: Option<Own>, frame: &Bytes) -> Result<Envelope<Bytes>, DecodeError> {
    if own == Some(Own::DeclaredLengthAllocated) {
        let declared = frame
            .iter()
            .take(3)
            .rfold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        drop(std::hint::black_box(Vec::<u8>::with_capacity(declared)));
    }
    let mut decoded = decode(frame);
    match &mut decoded {
        Err(error) if own == Some(Own::FramePanics) => panic!("{error}"),
        Ok(envelope) if own == Some(Own::OffsetNarrowed) => envelope.offset &= u64::from(u32::MAX),
        Ok(_) | Err(_) => {}
    }
    decoded
}

fn run(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    let frame = Bytes::copy_from_slice(input);
    let before = (rig.allocated)();
    let decoded = decode_with(rig.own, &frame);
    let allocated = (rig.allocated)() - before;
    if allocated > frame.len() + OVERHEAD_BYTES {
        return Err(format!(
            "a frame of {} bytes made the decoder allocate {allocated}",
            frame.len()
        ));
    }
    comes_back(rig, &made_of(input))?;
    combines(input)?;
    let envelope = match decoded {
        Ok(envelope) => envelope,
        Err(error) => {
            watch.see("refused");
            watch.tell(|| format!("{} bytes: {error}", frame.len()));
            return Ok(());
        }
    };
    watch.see("decoded");
    watch.see(if envelope.data.is_empty() {
        "empty payload"
    } else {
        "payload"
    });
    watch.see(if envelope.done { "done" } else { "not done" });
    watch.tell(|| format!("{envelope:?}"));
    if envelope.data[..] != frame[frame.len() - envelope.data.len()..] {
        return Err("the payload is not the rest of the frame".to_owned());
    }
    let header = frame.len() - envelope.data.len();
    if encode(&envelope).len() < frame.len() {
        watch.see("overlong number");
    }
    let whole = (0..header).find(|length| decode_with(None, &frame.slice(..*length)).is_ok());
    if let Some(length) = whole {
        return Err(format!("{length} of the header's {header} bytes are an envelope too"));
    }
    comes_back(rig, &envelope)?;
    takes_a_step(envelope, watch)
}

/// An envelope whose numbers, ids and payload are the input's bytes as they come.
fn made_of(input: &[u8]) -> Envelope<Bytes> {
    let byte = |index: usize| input.get(index).copied().unwrap_or_default();
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| byte(at + index)));
    let text = |from: usize, to: usize| -> Arc<str> {
        let bytes = input.get(from..to.min(input.len())).unwrap_or_default();
        String::from_utf8_lossy(bytes).into()
    };
    Envelope {
        source_cluster_id: text(30, 40),
        source_database_id: text(40, 60),
        snapshot_lsn: number(0),
        total_bytes: number(8),
        total_crc32c: u32::from_le_bytes(std::array::from_fn(|index| byte(16 + index))),
        offset: number(20),
        data: Bytes::copy_from_slice(input.get(60..).unwrap_or_default()),
        done: byte(28) & 1 == 1,
    }
}

fn comes_back(rig: &Rig, envelope: &Envelope<Bytes>) -> Result<(), String> {
    let again = decode_with(rig.own, &encode(envelope));
    if again.as_ref() == Ok(envelope) {
        Ok(())
    } else {
        Err(format!("{envelope:?} came back as {again:?}"))
    }
}

/// Bytes from which a checksum computed ahead is combined, not computed again.
const COMBINED_BYTES_MIN: usize = 8 * 1024;

/// A digest of another kind, which knows nothing of a CRC32C computed ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Sum(u32);

impl Digest for Sum {
    fn append(self, bytes: &[u8]) -> Self {
        Self(
            bytes
                .iter()
                .fold(self.0, |sum, byte| sum.wrapping_add(u32::from(*byte))),
        )
    }

    fn value(&self) -> u32 {
        self.0
    }
}

/// The checksum of bytes that were hashed ahead is that of the bytes.
fn combines(input: &[u8]) -> Result<(), String> {
    let Some((first, rest)) = input.split_first() else {
        return Ok(());
    };
    let length = COMBINED_BYTES_MIN + usize::from(*first);
    // Copied whole: byte by byte it would be all that the target does.
    let mut bytes = vec![*first; length];
    bytes[..rest.len()].copy_from_slice(rest);
    let begun = Crc32c::default().append(rest);
    let crc32c = crc32c::crc32c(&bytes);
    let combined = begun.append_hashed(&bytes, crc32c);
    if Sum(0).append_hashed(&bytes, crc32c) != Sum(0).append(&bytes) {
        return Err("a digest of another kind did not look at the bytes".to_owned());
    }
    if combined == begun.append(&bytes) {
        Ok(())
    } else {
        Err(format!("{length} bytes after {}: {combined:?}", rest.len()))
    }
}

/// Whatever was decoded, the protocol takes it.
fn takes_a_step(envelope: Envelope<Bytes>, watch: &mut Watch) -> Result<(), String> {
    let sent = (envelope.source_cluster_id.clone(), envelope.source_database_id.clone());
    let chunk = match envelope.into_chunk() {
        Ok(chunk) => chunk,
        Err(rejection) => {
            watch.see(rejection.reason());
            return if rejection.is_verdict() {
                Err(format!("{rejection} ends an attempt"))
            } else {
                Ok(())
            };
        }
    };
    watch.see("valid ids");
    let identity = &chunk.identity;
    if (identity.cluster.as_str(), identity.database.as_str()) != (&*sent.0, &*sent.1) {
        return Err(format!("{sent:?} became {identity:?}"));
    }
    let event = Event::ChunkArrived {
        chunk,
        vacancy: Vacancy::Free,
        older_start: OlderStart::Refused,
    };
    let cause = snapshot_receiver::protocol::Cause::of(&event);
    let before = State::<_, Crc32c>::default();
    let limits = Limits::default();
    let after = step(&limits, before.clone(), event).state;
    invariants(&limits, &after).map_err(|broken| broken.to_string())?;
    valid_transition(&before, cause, &after).map_err(|invalid| invalid.to_string())
}

/// Frames to begin with: the format is not found by chance.
pub(super) fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let envelope = Envelope {
        source_cluster_id: "eu".into(),
        source_database_id: "db_01".into(),
        snapshot_lsn: 42,
        total_bytes: 6,
        total_crc32c: 0x8c0b_db85,
        offset: 0,
        data: b"hel".to_vec(),
        done: false,
    };
    let framed = |envelope: &Envelope<Vec<u8>>| encode(envelope).to_vec();
    let largest = Envelope {
        snapshot_lsn: u64::MAX,
        total_bytes: u64::MAX,
        total_crc32c: u32::MAX,
        offset: u64::MAX,
        data: Vec::new(),
        done: true,
        ..envelope.clone()
    };
    let hostile = Envelope {
        source_database_id: "../../evil".into(),
        ..envelope.clone()
    };
    let long_database = Envelope {
        source_database_id: "d".repeat(ID_BYTES_MAX + 1).into(),
        ..envelope.clone()
    };
    let no_cluster = Envelope {
        source_cluster_id: "".into(),
        ..envelope.clone()
    };
    let mut cut_short = framed(&envelope);
    cut_short.truncate(5);
    // 2^63 bytes of cluster id, of which one is there; and a length of 2 in two bytes.
    let mut declared_length = [0x80; 9].to_vec();
    declared_length.extend([0x01, b'x']);
    let mut overlong_number = framed(&envelope);
    overlong_number.splice(..1, [0x82, 0x00]);
    vec![
        ("first-chunk", framed(&envelope)),
        ("largest-numbers", framed(&largest)),
        ("hostile-database-id", framed(&hostile)),
        ("long-database-id", framed(&long_database)),
        ("no-cluster-id", framed(&no_cluster)),
        ("cut-short", cut_short),
        ("declared-length", declared_length),
        ("overlong-number", overlong_number),
        ("empty", Vec::new()),
    ]
}
