//! See `snapshot_receiver_model::fuzzing`.
#![no_main]
use libfuzzer_sys::fuzz_target;
use snapshot_receiver_model::fuzzing::must_hold;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

fuzz_target!(|input: &[u8]| must_hold("decode_envelope", || COUNTED.stats().bytes_allocated, input));
