//! Runs one scenario on one variant of the shell.
//!
//! ```text
//! cargo run --release -p snapshot-receiver-interleavings                                # what there is
//! cargo run --release -p snapshot-receiver-interleavings -- loom shipped two_starts
//! cargo run --release -p snapshot-receiver-interleavings -- loom lost_wake_up two_tasks
//! ```
//!
//! Exit codes: 0 no interleaving breaks a rule, 2 there is no such thing, anything else (a panic, a
//! deadlock that the checker reports) one does.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use snapshot_receiver_interleavings::{bugs::BUGS, run, scenarios};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, variant, scenario] = arguments.as_slice() else {
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
    eprintln!("usage: interleavings (loom | shuttle) VARIANT SCENARIO\n\nscenarios:");
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
