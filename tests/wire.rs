//! Envelopes as bytes: round trips, and inputs that are none.
#![cfg(feature = "serde")]

use bytes::Bytes;
use proptest::prelude::{any, proptest};
use snapshot_receiver::Envelope;
use snapshot_receiver::wire::{decode, encode};

fn envelope(ids: (&str, &str), numbers: (u64, u64, u32, u64), data: Vec<u8>, done: bool) -> Envelope<Bytes> {
    Envelope {
        source_cluster_id: ids.0.into(),
        source_database_id: ids.1.into(),
        snapshot_lsn: numbers.0,
        total_bytes: numbers.1,
        total_crc32c: numbers.2,
        offset: numbers.3,
        data: data.into(),
        done,
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        cluster in ".*",
        database in ".*",
        numbers in any::<(u64, u64, u32, u64)>(),
        data in any::<Vec<u8>>(),
        done in any::<bool>(),
    ) {
        let sent = envelope((&cluster, &database), numbers, data, done);
        assert_eq!(decode(&encode(&sent)), Ok(sent));
    }

    #[test]
    fn no_bytes_panic_the_decoder(frame in any::<Vec<u8>>()) {
        let frame = Bytes::from(frame);
        if let Ok(decoded) = decode(&frame) {
            let held = decoded.source_cluster_id.len() + decoded.source_database_id.len() + decoded.data.len();
            assert!(held <= frame.len(), "no more than the frame is long");
        }
    }
}

#[test]
fn a_header_cut_short_is_no_envelope() {
    let sent = envelope(
        ("eu", "db"),
        (u64::MAX, u64::MAX, u32::MAX, u64::MAX),
        b"abc".to_vec(),
        true,
    );
    let frame = encode(&sent);
    for length in 0..frame.len() - 3 {
        assert!(
            decode(&frame.slice(..length)).is_err(),
            "{length} of {} bytes",
            frame.len()
        );
    }
}

#[test]
fn a_declared_number_allocates_nothing() {
    // A cluster id of 2^63 bytes, of which one is there.
    let frame = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, b'x'];
    assert!(decode(&Bytes::copy_from_slice(&frame)).is_err());
}

#[test]
fn the_payload_is_a_slice_of_the_frame() {
    let frame = encode(&envelope(("eu", "db"), (1, 3, 7, 0), b"abc".to_vec(), true));
    let decoded = decode(&frame).expect("an envelope");
    assert_eq!(decoded.data.as_ptr(), frame[frame.len() - 3..].as_ptr());
}
