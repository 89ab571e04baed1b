//! The shipped shell under interleavings drawn at random, for crowds that are too large for every one.
//!
//! `SHUTTLE_SCHEDULES=100000 cargo test -p snapshot-receiver-interleavings --test shuttle` runs a longer
//! campaign. A failure prints its schedule, which `interleavings shuttle replay` runs again.

use snapshot_receiver_interleavings::{run, run_crowd};

/// Of any run without a seed of its own: a failure comes again.
const SEED: u64 = 0x5eed_2026;

/// Of each crowd.
const SCHEDULES: usize = 1_500;

fn schedules() -> usize {
    std::env::var("SHUTTLE_SCHEDULES").map_or(SCHEDULES, |number| number.parse().expect("a number of schedules"))
}

#[test]
fn eight_threads_and_two_hundred_calls_are_some_order_of_them() {
    assert_eq!(run_crowd("threads", SEED, schedules()), Some(schedules() as u64));
}

#[test]
fn eight_tasks_and_two_hundred_calls_are_some_order_of_them() {
    assert_eq!(run_crowd("tasks", SEED, schedules()), Some(schedules() as u64));
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
