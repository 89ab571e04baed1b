//! Runs one scenario on one variant of the shell.
//!
//! ```text
//! cargo run --release -p snapshot-receiver-interleavings                                # what there is
//! cargo run --release -p snapshot-receiver-interleavings -- loom shipped two_starts
//! cargo run --release -p snapshot-receiver-interleavings -- loom lost_wake_up two_tasks
//! cargo run --release -p snapshot-receiver-interleavings -- shuttle crowd tasks 1000 42     # seed 42
//! cargo run --release -p snapshot-receiver-interleavings -- shuttle replay tasks SCHEDULE
//! cargo run --release -p snapshot-receiver-interleavings -- fuzz crash INPUT VARIANT NAME CAUSE REGRESSIONS
//! cargo run --release -p snapshot-receiver-interleavings -- fuzz replay TRACE
//! ```
//!
//! Exit codes: 0 no interleaving breaks a rule, 2 there is no such thing, anything else (a panic, a
//! deadlock that the checker reports) one does; `fuzz`, which is the gate's, has the gate's.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use snapshot_receiver_interleavings::bugs::BUGS;
use snapshot_receiver_interleavings::crash;
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
    match arguments[..] {
        ["fuzz", "crash", input, variant, name, cause, regressions] => {
            return fuzz_crash(Path::new(input), variant, name, cause, Path::new(regressions));
        }
        ["fuzz", "replay", trace] => return fuzz_replay(Path::new(trace)),
        _ => {}
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

/// A rule is broken, and: it could not be checked. As the gate's.
const FAILED: u8 = 100;
const COULD_NOT_CHECK: u8 = 101;

fn fuzz_crash(input: &Path, variant: &str, name: &str, cause: &str, regressions: &Path) -> ExitCode {
    let bytes = match std::fs::read(input) {
        Ok(bytes) => bytes,
        Err(error) => return told(input, &error),
    };
    let Some(crash) = crash::record(variant, &bytes) else {
        println!("interleave: the input breaks nothing here");
        return ExitCode::from(COULD_NOT_CHECK);
    };
    println!("{} bytes, made {}:", bytes.len(), crash.trace.input.len());
    crash.lines.iter().for_each(|line| println!("    {line}"));
    println!("ends with: {}", crash.trace.broken.join(" "));
    match crash::keep_crash(&crash, regressions, name, cause) {
        Ok(trace) => {
            println!(
                "kept as {}, with its cause beside it",
                trace.with_extension("").display()
            );
            println!("take it again with: cargo gate replay {}", trace.display());
            ExitCode::from(FAILED)
        }
        Err(error) => told(regressions, &error),
    }
}

fn fuzz_replay(path: &Path) -> ExitCode {
    let trace = match crash::read_trace(path) {
        Ok(trace) => trace,
        Err(error) => return told(path, &error),
    };
    let variant = trace.bug.as_deref().unwrap_or("shipped");
    let Some((lines, broken)) = crash::run(variant, &trace.input) else {
        eprintln!("interleave has no planted bug {variant:?}");
        return ExitCode::from(2);
    };
    lines.iter().for_each(|line| println!("    {line}"));
    match broken {
        Some(what) => {
            println!("broken: {what}");
            ExitCode::from(FAILED)
        }
        None => {
            println!("nothing is broken at the end of the input");
            ExitCode::SUCCESS
        }
    }
}

fn told(path: &Path, error: &std::io::Error) -> ExitCode {
    eprintln!("{}: {error}", path.display());
    ExitCode::from(2)
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: interleavings (loom | shuttle) VARIANT SCENARIO\n       \
         interleavings shuttle crowd (threads | tasks) SCHEDULES SEED\n       \
         interleavings shuttle replay (threads | tasks) SCHEDULE\n       \
         interleavings fuzz crash INPUT VARIANT NAME CAUSE REGRESSIONS\n       \
         interleavings fuzz replay TRACE\n\nscenarios:"
    );
    for (name, preemptions_max) in scenarios() {
        match preemptions_max {
            Some(1) => eprintln!("  {name} (loom: at most 1 preemption)"),
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
