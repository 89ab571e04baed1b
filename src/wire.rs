//! Envelopes as bytes.
//!
//! A frame is a header and the payload: the header in the format of the `postcard` crate
//! (<https://postcard.jamesmunns.com/wire-format>), the payload the rest of the frame as it is.
//! Where a frame ends is the transport's business; see the example `mirror`.
//!
//! Guarantees: no input panics the decoder, and it allocates no more than the frame is long
//! (SR-SEC-003); the payload is a slice of the frame, not a copy. Refuses to know: which ids and
//! numbers are acceptable.

use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::protocol::{Envelope, ID_BYTES_MAX};

/// The longest header of an envelope with valid ids, in bytes: two ids with two bytes of length
/// each, three numbers of 10 bytes, one of 5, a flag. A transport's longest frame is this and its
/// longest chunk.
pub const HEADER_BYTES_MAX: usize = 2 * (2 + ID_BYTES_MAX) + 3 * 10 + 5 + 1;

/// All of an envelope but its payload; the strings are borrowed from the frame.
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    source_cluster_id: &'a str,
    source_database_id: &'a str,
    snapshot_lsn: u64,
    total_bytes: u64,
    total_crc32c: u32,
    offset: u64,
    done: bool,
}

/// A frame that is no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an envelope: {0}")]
pub struct DecodeError(postcard::Error);

/// Encodes an envelope into one frame.
#[must_use]
pub fn encode<B: AsRef<[u8]>>(envelope: &Envelope<B>) -> Bytes {
    let header = Header {
        source_cluster_id: &envelope.source_cluster_id,
        source_database_id: &envelope.source_database_id,
        snapshot_lsn: envelope.snapshot_lsn,
        total_bytes: envelope.total_bytes,
        total_crc32c: envelope.total_crc32c,
        offset: envelope.offset,
        done: envelope.done,
    };
    let header: Vec<u8> =
        postcard::to_allocvec(&header).expect("strings and numbers of known length, into a vector that grows");
    let payload = envelope.data.as_ref();
    let mut frame = BytesMut::with_capacity(header.len() + payload.len());
    frame.put_slice(&header);
    frame.put_slice(payload);
    frame.freeze()
}

/// Decodes a frame.
///
/// ```
/// use bytes::Bytes;
/// use snapshot_receiver::{Envelope, wire};
/// let envelope = Envelope {
///     source_cluster_id: "prod-us".into(),
///     source_database_id: "db_01".into(),
///     snapshot_lsn: 42,
///     total_bytes: 3,
///     total_crc32c: 0x364b_3fb7,
///     offset: 0,
///     data: Bytes::from_static(b"abc"),
///     done: true,
/// };
/// assert_eq!(wire::decode(&wire::encode(&envelope))?, envelope);
/// # Ok::<(), wire::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`]: the header is cut short, a string is not UTF-8, or a number does not fit.
pub fn decode(frame: &Bytes) -> Result<Envelope<Bytes>, DecodeError> {
    let (header, payload): (Header<'_>, &[u8]) = postcard::take_from_bytes(frame).map_err(DecodeError)?;
    Ok(Envelope {
        source_cluster_id: header.source_cluster_id.into(),
        source_database_id: header.source_database_id.into(),
        snapshot_lsn: header.snapshot_lsn,
        total_bytes: header.total_bytes,
        total_crc32c: header.total_crc32c,
        offset: header.offset,
        data: frame.slice_ref(payload),
        done: header.done,
    })
}
