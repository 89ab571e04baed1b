//! `gate check`: every configuration of every system, some at once.
//!
//! Guarantees: a bug is planted in every run, and a run that does not report it is none. Refuses to
//! know: how a report looks.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::hunt::hunt_all;
use snapshot_receiver_model::bugs::{Bug, Bugs};
use snapshot_receiver_model::check::{Blindness, Outcome, Running, check as check_one, count_again, simulate};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::lies::canary;
use snapshot_receiver_model::properties::rules;
use snapshot_receiver_model::report::results::{Results, SystemResult, SystemVerdict, Verdict};
use snapshot_receiver_model::report::terminal::{counterexample, grouped, table};
use snapshot_receiver_model::report::{collect, terminal};
use snapshot_receiver_model::system::{System, systems};
use snapshot_receiver_model::trace::Trace;

use super::{COULD_NOT_CHECK, CheckOptions, NOTHING_RAN, completed, exit_code, usage};

/// What to check, and how.
struct Plan {
    systems: Vec<System>,
    bugs: Bugs,
    simulation: Duration,
    seed: u64,
    count_again: bool,
}

pub(super) fn check(options: &CheckOptions) -> io::Result<u8> {
    let plan = match planned(options) {
        Ok(plan) => plan,
        Err(told) => return told,
    };
    if plan.systems.is_empty() {
        eprintln!("gate: nothing to check: the part has no system");
        return Ok(NOTHING_RAN);
    }
    if plan.systems.iter().any(|system| system.pinned_states.is_none()) {
        println!("simulation seed: {}", plan.seed);
    }
    let Some(layers) = options.layers.read() else {
        return Ok(COULD_NOT_CHECK);
    };
    let started = Instant::now();
    let planted = canary();
    let Some(outcomes) = explore(&plan, options.threads.max(1)) else {
        eprintln!("gate: the checker itself panicked");
        return Ok(COULD_NOT_CHECK);
    };
    let mut results = Results {
        profile: options.profile.name().to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        systems: outcomes
            .iter()
            .map(|outcome| collect::system(outcome, plan.bugs))
            .collect(),
        bugs: if options.seeded_bugs {
            hunt_all(Blindness::default(), |bug| println!("{}", terminal::bug(bug)))
        } else {
            Vec::new()
        },
        clauses: collect::clauses(&layers),
        ..Results::default()
    }
    .judged();
    // A run that reports a broken rule is not blind, whatever became of the planted bug: the
    // receiver may be too broken to show it.
    let planted = planted.filter(|_| results.verdict == Verdict::Pass);
    if planted.is_some() {
        results.verdict = Verdict::CouldNotCheck;
    }
    options.files.write(&results)?;
    tell(&results)?;
    write_traces(&outcomes, plan.bugs, &options.traces)?;
    if let Some(blind) = planted {
        eprintln!("gate: {blind}");
    }
    let is_incomplete = options.layers.complete && options.layers.tell(&layers);
    Ok(completed(exit_code(results.verdict), is_incomplete))
}

/// What the options ask for, or what is wrong with them.
fn planned(options: &CheckOptions) -> Result<Plan, io::Result<u8>> {
    let all = systems::<Crc32c>(options.profile);
    let is_named = |system: &System, name: &str| system.name == name || system.label() == name;
    let unknown = |name: &&String| !all.iter().any(|system| is_named(system, name));
    if let Some(name) = options.system.iter().find(unknown) {
        let mut names: Vec<&str> = all.iter().map(|system| system.name).collect();
        names.dedup();
        return Err(usage(&format!("no system {name:?}; there are {}", names.join(", "))));
    }
    let bugs = match options.bug.as_deref().map(|name| (name, Bug::named(name))) {
        None => Bugs::none(),
        Some((_, Some(bug))) => bug.into(),
        Some((name, None)) => return Err(usage(&format!("no bug {name:?}; `gate list` lists them"))),
    };
    let chosen =
        |system: &System| options.system.is_empty() || options.system.iter().any(|name| is_named(system, name));
    let in_shard = |index: usize| options.shard.is_none_or(|shard| index % shard.count == shard.index - 1);
    let selected = all.into_iter().filter(chosen).enumerate();
    Ok(Plan {
        systems: selected
            .filter(|(index, _)| in_shard(*index))
            .map(|(_, system)| system)
            .collect(),
        bugs,
        simulation: Duration::from_secs(options.simulate),
        seed: options.seed.unwrap_or_else(random_seed),
        count_again: options.count_again || options.files.html.is_some(),
    })
}

fn random_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| u64::from(time.subsec_nanos()) ^ time.as_secs())
}

/// Checks the configurations, some at once; `None` where the checker panicked.
fn explore(plan: &Plan, threads: usize) -> Option<Vec<Outcome<Crc32c>>> {
    let running = Running::default();
    let finished = AtomicBool::new(false);
    let outcomes = Mutex::new(Vec::new());
    // The largest first, so that the threads end together.
    let mut order: Vec<usize> = (0..plan.systems.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(plan.systems[*index].pinned_states));
    let next = AtomicUsize::new(0);
    let all_ended = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(order.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = explore_one(plan, &plan.systems[*index], &running);
                        if let Ok(mut outcomes) = outcomes.lock() {
                            outcomes.push((*index, outcome));
                        }
                    }
                })
            })
            .collect();
        let progress = scope.spawn(|| show_progress(&running, plan, &finished));
        // Joins them all, whatever the first one says.
        let ended: Vec<bool> = workers.into_iter().map(|worker| worker.join().is_ok()).collect();
        finished.store(true, Ordering::Relaxed);
        progress.join().is_ok() && ended.iter().all(|ended| *ended)
    });
    let mut outcomes = outcomes.into_inner().ok().filter(|_| all_ended)?;
    outcomes.sort_by_key(|(index, _)| *index);
    (outcomes.len() == plan.systems.len()).then(|| outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn explore_one(plan: &Plan, system: &System, running: &Running) -> Outcome<Crc32c> {
    let exploration = Exploration::<Crc32c>::with_bugs(system.clone(), plan.bugs);
    if system.pinned_states.is_none() {
        return simulate(exploration, plan.simulation, plan.seed, running);
    }
    let mut outcome = check_one(exploration, running);
    if plan.count_again && outcome.violated.is_empty() && plan.bugs.is_none() {
        count_again(&mut outcome);
    }
    outcome
}

/// A line on a terminal, nothing elsewhere; without colour, so that `NO_COLOR` has nothing to do.
fn show_progress(running: &Running, plan: &Plan, finished: &AtomicBool) {
    if !io::stderr().is_terminal() {
        return;
    }
    let pinned: usize = plan.systems.iter().filter_map(|system| system.pinned_states).sum();
    let style = ProgressStyle::with_template("{elapsed} [{bar:30}] {percent:>3}% {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(pinned as u64).with_style(style.progress_chars("=> "));
    while !finished.load(Ordering::Relaxed) {
        let states = running.unique_states.load(Ordering::Relaxed);
        let done = running.systems_done.load(Ordering::Relaxed);
        let rate = terminal::rate(states, bar.elapsed().as_secs_f64());
        bar.set_position(states as u64);
        bar.set_message(format!(
            "{done} of {} configurations, {} states, {}/s",
            plan.systems.len(),
            grouped(states),
            grouped(rate)
        ));
        thread::sleep(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}

fn tell(results: &Results) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{}", table(&results.systems))?;
    for diagram in results
        .systems
        .iter()
        .filter_map(|system| system.counterexample.as_ref())
    {
        write!(out, "\n{}", counterexample(diagram))?;
    }
    let (rules, configurations) = (rules::<Crc32c>().len(), results.systems.len());
    let states: usize = results.systems.iter().map(|system| system.unique_states).sum();
    let rate = grouped(terminal::rate(states, results.seconds));
    let figures = format!(
        "{} states in {:.1} s, {rate} states/s",
        grouped(states),
        results.seconds
    );
    let failed = results.systems.iter().filter(|system| !system.verdict.passed()).count();
    match results.verdict {
        Verdict::Pass if results.systems.iter().any(is_simulation) => {
            let simulated = results.systems.iter().filter(|system| is_simulation(system)).count();
            let exhausted = configurations - simulated;
            writeln!(
                out,
                "\npass: {rules} rules hold in every reachable state of {exhausted} configurations; \
                 {simulated} were SIMULATED, which proves nothing; {figures}"
            )
        }
        Verdict::Pass => writeln!(
            out,
            "\npass: {rules} rules hold in every reachable state of {configurations} configurations; {figures}"
        ),
        Verdict::Fail => {
            let survived = results.bugs.iter().filter(|bug| !bug.is_caught).count();
            let bugs = if survived == 0 {
                String::new()
            } else {
                format!(", {survived} seeded bugs survived")
            };
            writeln!(
                out,
                "\nFAIL: {failed} of {configurations} configurations{bugs}; {figures}"
            )
        }
        Verdict::NothingRan | Verdict::CouldNotCheck => writeln!(out, "\n{}", results.verdict.word()),
    }
}

fn is_simulation(system: &SystemResult) -> bool {
    system.verdict == SystemVerdict::Simulated
}

fn write_traces(outcomes: &[Outcome<Crc32c>], bugs: Bugs, directory: &Path) -> io::Result<()> {
    for outcome in outcomes {
        let Some(found) = &outcome.counterexample else {
            continue;
        };
        let trace = Trace {
            system: outcome.system.label(),
            bugs,
            broken: found.violated.iter().map(|rule| (*rule).to_owned()).collect(),
            actions: found.actions(),
        };
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}.trace", trace.system.replace('/', "-")));
        fs::write(&path, trace.text())?;
        println!(
            "written to {0}; take it again with: cargo gate replay {0}",
            path.display()
        );
    }
    Ok(())
}
