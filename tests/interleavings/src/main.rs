//! Runs one scenario on one variant of the shell.
//!
//! ```text
//! cargo run --release -p snapshot-receiver-interleavings                                # what there is
//! cargo run --release -p snapshot-receiver-interleavings -- loom shipped two_starts
//! cargo run --release -p snapshot-receiver-interleavings -- loom lost_wake_up two_tasks
//! cargo run --release -p snapshot-receiver-interleavings -- shuttle crowd tasks 1000 42     # seed 42
//! cargo run --release -p snapshot-receiver-interleavings -- shuttle replay tasks SCHEDULE
//! ```
//!
//! Exit codes: 0 no interleaving breaks a rule, 2 there is no such thing, anything else (a panic, a
//! deadlock that the checker reports) one does.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use snapshot_receiver_interleavings::bugs::BUGS;
use snapshot_receiver_interleavings::{replay_crowd, run, run_crowd, scenarios};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["shuttle", "crowd", crowd, schedules, seed] = arguments[..] {
        let (Ok(schedules), Ok(seed)) = (schedules.parse(), seed.parse()) else {
            return usage();
        };
        return match run_crowd(crowd, seed, schedules) {
            Some(run) => {
                println!("{run} schedules");
                ExitCode::SUCCESS
            }
            None => usage(),
        };
    }
    if let ["shuttle", "replay", crowd, schedule] = arguments[..] {
        return replay_crowd(crowd, schedule).map_or_else(usage, |()| ExitCode::SUCCESS);
    }
    let [engine, variant, scenario] = arguments[..] else {
        return usage();
    };
    match run(engine, variant, scenario) {
        Some(explored) => {
            println!("{} interleavings, {} outcomes", explored.executions, explored.outcomes);
            ExitCode::SUCCESS
        }
        None => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: interleavings (loom | shuttle) VARIANT SCENARIO\n       \
         interleavings shuttle crowd (threads | tasks) SCHEDULES SEED\n       \
         interleavings shuttle replay (threads | tasks) SCHEDULE\n\nscenarios:"
    );
    for (name, preemptions_max) in scenarios() {
        match preemptions_max {
            Some(bound) => eprintln!("  {name} (loom: at most {bound} preemptions)"),
            None => eprintln!("  {name}"),
        }
    }
    eprintln!("\nvariants:\n  shipped");
    for bug in BUGS {
        eprintln!("  {}: {} (found by {})", bug.id, bug.about, bug.scenario);
    }
    ExitCode::from(2)
}
