//! The shipped shell under interleavings drawn at random, for crowds that are too large for every one.
//!
//! `SHUTTLE_SCHEDULES=10000 cargo test -p snapshot-receiver-interleavings --test shuttle` runs as many, as CI
//! does; on two cores they take less than a minute. A failure prints its schedule, which `interleavings
//! shuttle replay` runs again.

use snapshot_receiver_interleavings::{run, run_crowd};

/// Of any run without a seed of its own: a failure comes again.
const SEED: u64 = 0x5eed_2026;

/// Of both crowds together.
const SCHEDULES: usize = 3_000;

fn schedules() -> usize {
    std::env::var("SHUTTLE_SCHEDULES").map_or(SCHEDULES, |number| number.parse().expect("a number of schedules"))
}

/// Those of a crowd; a schedule of tasks takes twice the time of one of threads.
fn run_part(crowd: &str, tenths: usize) {
    let schedules = (schedules() * tenths).div_ceil(10);
    assert_eq!(run_crowd(crowd, SEED, schedules), Some(schedules as u64));
    println!("{crowd}: {schedules} schedules");
}

#[test]
fn eight_threads_and_two_hundred_calls_are_some_order_of_them() {
    run_part("threads", 7);
}

#[test]
fn eight_tasks_and_two_hundred_calls_are_some_order_of_them() {
    run_part("tasks", 3);
}

#[test]
fn the_scenarios_of_a_stream_hold_at_random_without_a_bound_on_preemptions() {
    for scenario in [
        "a_stream",
        "a_stream_with_a_gap",
        "an_abort_beside_a_stream",
        "a_dropped_stream",
        "an_abort_of_all_beside_two_databases",
    ] {
        let explored = run("shuttle", "shipped", scenario).expect("it is listed");
        explored.is_an_exploration().expect(scenario);
    }
}
