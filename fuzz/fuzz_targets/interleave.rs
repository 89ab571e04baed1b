//! See `snapshot_receiver_interleavings::choose`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use snapshot_receiver_interleavings::must_hold;

fuzz_target!(|input: &[u8]| must_hold(input));
