//! See `snapshot_receiver_model::fuzzing`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use snapshot_receiver_model::fuzzing::{must_hold, nobody_counts};

fuzz_target!(|input: &[u8]| must_hold("differential", nobody_counts, input));
