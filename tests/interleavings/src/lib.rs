//! Every interleaving of the shipped shell's threads.
//!
//! Guarantees: what runs here is the library's own source, with the checker's locks and threads in
//! place of the standard ones (`build.rs`), as it is and with each seeded mistake; after each
//! interleaving some order of the calls, one after the other, explains every answer and every file
//! (SR-CON-001). Refuses to know: what is decided; the oracle of the model crate knows it.

#![forbid(unsafe_code)]

extern crate alloc;

use std::panic::catch_unwind;
use std::sync::Once;

pub mod bugs;
pub mod crash;
pub mod handover;
mod turns;

/// What was explored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored {
    /// Interleavings.
    pub executions: u64,
    /// The different answers that the threads got, all in all.
    pub outcomes: usize,
}

impl Explored {
    /// Whether anything was interleaved at all: a body that returns before its threads have met, or an
    /// engine that stops at once, explores one execution and finds nothing wrong.
    ///
    /// # Errors
    /// What is missing.
    pub fn is_an_exploration(&self) -> Result<(), String> {
        if self.executions > 1 {
            Ok(())
        } else {
            Err(format!("{} interleavings are no exploration", self.executions))
        }
    }
}

/// The library's source, once for each checker and each mistake.
#[allow(
    warnings,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "linted where it is written"
)]
mod variants {
    include!(concat!(env!("OUT_DIR"), "/variants.rs"));
}

/// Runs a scenario on a variant: `loom` or `shuttle`, and `shipped` or the id of a mistake. `None` where
/// there is no such variant or scenario.
///
/// # Panics
/// Where an interleaving breaks a rule.
#[must_use]
pub fn run(engine: &str, variant: &str, scenario: &str) -> Option<Explored> {
    if (engine, variant) == ("loom", "handover") {
        let race = handover::RACES.iter().find(|race| race.incident == scenario)?;
        let executions = variants::loom_shipped::engine::explore(None, race.body);
        return Some(Explored {
            executions,
            outcomes: 0,
        });
    }
    let name = format!("{engine}_{variant}");
    let (_, run) = variants::VARIANTS.iter().find(|(known, _)| *known == name)?;
    run(scenario)
}

/// Runs a crowd of `threads` or `tasks` under as many interleavings as are asked for, drawn from a seed;
/// their number. `None` where there is no such crowd.
///
/// # Panics
/// Where one of them breaks a rule: with a schedule that [`replay_crowd`] takes.
#[must_use]
pub fn run_crowd(crowd: &str, seed: u64, schedules: usize) -> Option<u64> {
    let body = crowd_body(crowd)?;
    Some(variants::shuttle_shipped::engine::draw(seed, schedules, body))
}

/// Runs a crowd under a schedule that a failure has printed. `None` where there is no such crowd.
///
/// # Panics
/// Where it breaks a rule.
#[must_use]
pub fn replay_crowd(crowd: &str, schedule: &str) -> Option<()> {
    let body = crowd_body(crowd)?;
    shuttle::replay(body, schedule);
    Some(())
}

fn crowd_body(crowd: &str) -> Option<fn()> {
    use variants::shuttle_shipped::crowd;
    match crowd {
        "threads" => Some(crowd::threads),
        "tasks" => Some(crowd::tasks),
        _ => None,
    }
}

/// What a body that does nothing is worth: the control of [`Explored::is_an_exploration`].
#[must_use]
pub fn run_nothing() -> Explored {
    variants::loom_shipped::scenarios::explored("nothing", || ())
}

/// The scenarios, with the most preemptions that loom explores, where that is bounded.
#[must_use]
pub fn scenarios() -> Vec<(&'static str, Option<usize>)> {
    use variants::loom_shipped::{scenarios, tasks};
    let preemptions_max = scenarios::preemptions_max;
    let all = scenarios::SCENARIOS.iter().chain(tasks::SCENARIOS);
    all.map(|(name, _)| (*name, preemptions_max(name))).collect()
}

/// The environment variable that plants a mistake in the fuzz target `interleave`, by its id.
pub const PLANT: &str = "SNAPSHOT_FUZZ_BUG";

/// The fuzz target `interleave`: the first byte chooses the scenario, each further one which thread has
/// the next turn in it; on the shell as it is, or with one of the mistakes that retell an incident. The
/// scenario's name; `None` where there is no such variant.
///
/// # Panics
/// Where that interleaving breaks a rule.
#[must_use]
pub fn choose(variant: &str, input: &[u8]) -> Option<&'static str> {
    let (_, chooser) = variants::CHOOSERS.iter().find(|(known, _)| *known == variant)?;
    let (scenario, turns) = input.split_first().unwrap_or((&0, &[]));
    Some(chooser(usize::from(*scenario), turns))
}

/// A fuzzer's body: the same, with the mistake that the environment plants. A broken rule aborts the
/// process; a panic that the receiver catches is none, so the hook with which libFuzzer aborts at every
/// panic is taken away first.
pub fn must_hold(input: &[u8]) {
    static UNHOOKED: Once = Once::new();
    UNHOOKED.call_once(|| drop(std::panic::take_hook()));
    let planted = std::env::var(PLANT).unwrap_or_else(|_| "shipped".to_owned());
    match catch_unwind(|| choose(&planted, input)) {
        Ok(Some(_)) => {}
        Ok(None) => {
            eprintln!("interleave has no planted bug {planted:?}");
            std::process::exit(2);
        }
        Err(_) => std::process::abort(),
    }
}
