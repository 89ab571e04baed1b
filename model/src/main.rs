//! The gate: checks every system of the model, shows what it found, and says so with its exit
//! code.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use snapshot_receiver::protocol::Crc32c;
use snapshot_receiver_model::bugs::{Bug, claims, verdicts};
use snapshot_receiver_model::check::{Outcome, Running, check};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::properties::rules;
use snapshot_receiver_model::report;
use snapshot_receiver_model::report_files::Run;
use snapshot_receiver_model::system::{System, systems};
use snapshot_receiver_model::traceability;

/// Every rule held, or every bug was caught.
const PASS: u8 = 0;
/// Nothing was checked.
const NOTHING_RAN: u8 = 4;
/// A rule is broken, a bug survived, a rule is vacuous, or a count is not the pinned one.
const FAILED: u8 = 100;
/// The check itself could not be done.
const COULD_NOT_CHECK: u8 = 101;

/// Checks the snapshot receiver exhaustively, within the bounds of each system.
///
/// Exit codes: 0 pass, 2 usage, 4 nothing ran, 100 a property failed or a bug survived, 101 could
/// not check.
#[derive(Debug, Parser)]
#[command(name = "gate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Explore every reachable state of each system (the default).
    Check(Options),
    /// Seed each bug in turn: the rule of the clause that it breaks must catch it.
    Bugs(Files),
    /// Every clause, with the rules, tests and seeded bugs behind it.
    Spec {
        /// The prose and the table of SPEC.md, between their marks.
        #[arg(long)]
        markdown: bool,
    },
    /// List the systems, the rules and the seeded bugs.
    List,
}

#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Check this system only; may be given more than once.
    #[arg(long, value_name = "NAME")]
    system: Vec<String>,
    /// Systems to check at once.
    #[arg(long, value_name = "N", default_value_t = default_threads())]
    threads: usize,
    /// Seed this bug, to see its counterexample.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    #[command(flatten)]
    files: Files,
}

#[derive(Clone, Debug, clap::Args)]
struct Files {
    /// Write the results as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a summary in Markdown to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Files {
    fn write(&self, run: &Run<'_, Crc32c>) -> io::Result<()> {
        let write = |path: &Option<PathBuf>, text: String| match path {
            None => Ok(()),
            Some(path) => {
                let named = |error| io::Error::other(format!("{}: {error}", path.display()));
                fs::write(path, text).map_err(named)
            }
        };
        write(&self.json, run.json())?;
        write(&self.markdown, run.markdown())
    }
}

fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        None => run_check(&arguments.options),
        Some(Command::Check(options)) => run_check(&options),
        Some(Command::Bugs(files)) => run_bugs(&files),
        Some(Command::Spec { markdown }) => spec(markdown),
        Some(Command::List) => list(),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // A closed pipe, or a report that cannot be written: nobody reads the verdict, so it is none.
        Err(error) => {
            eprintln!("gate: cannot write: {error}");
            ExitCode::from(COULD_NOT_CHECK)
        }
    }
}

fn run_check(options: &Options) -> io::Result<u8> {
    let all = systems::<Crc32c>();
    let unknown = options
        .system
        .iter()
        .find(|name| all.iter().all(|system| system.name != **name));
    if let Some(name) = unknown {
        let names: Vec<&str> = all.iter().map(|system| system.name).collect();
        return usage(&format!("no system {name:?}; there are {}", names.join(", ")));
    }
    let bug = match options.bug.as_deref().map(|name| (name, Bug::named(name))) {
        None => None,
        Some((_, Some(bug))) => Some(bug),
        Some((name, None)) => return usage(&format!("no bug {name:?}; `gate list` lists them")),
    };
    let wanted = |system: &System| options.system.is_empty() || options.system.iter().any(|name| system.name == name);
    let selected: Vec<System> = all.into_iter().filter(wanted).collect();
    if selected.is_empty() {
        return Ok(NOTHING_RAN);
    }
    let started = Instant::now();
    let Some(outcomes) = explore(&selected, bug, options.threads.max(1)) else {
        eprintln!("gate: the checker itself panicked");
        return Ok(COULD_NOT_CHECK);
    };
    let seconds = started.elapsed().as_secs_f64();
    let (outcomes, bugs) = (outcomes.as_slice(), [].as_slice());
    let run = Run {
        outcomes,
        bugs,
        seconds,
    };
    options.files.write(&run)?;
    tell(outcomes, bug)
}

fn usage(message: &str) -> io::Result<u8> {
    eprintln!("gate: {message}");
    Ok(2)
}

/// Checks the systems, some at once; `None` where the checker panicked.
fn explore(selected: &[System], bug: Option<Bug>, threads: usize) -> Option<Vec<Outcome<Crc32c>>> {
    let running = Running::default();
    let next = AtomicUsize::new(0);
    let finished = AtomicBool::new(false);
    let outcomes = Mutex::new(Vec::new());
    let all_ended = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(selected.len()))
            .map(|_| {
                scope.spawn(|| {
                    while let Some(system) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = check(Exploration::<Crc32c>::with_bug(system.clone(), bug), &running);
                        if let Ok(mut outcomes) = outcomes.lock() {
                            outcomes.push(outcome);
                        }
                    }
                })
            })
            .collect();
        let progress = scope.spawn(|| show_progress(&running, selected.len(), &finished));
        // Joins them all, whatever the first one says.
        let ended: Vec<bool> = workers.into_iter().map(|worker| worker.join().is_ok()).collect();
        finished.store(true, Ordering::Relaxed);
        progress.join().is_ok() && ended.iter().all(|ended| *ended)
    });
    let mut outcomes = outcomes.into_inner().ok().filter(|_| all_ended)?;
    let position = |outcome: &Outcome<Crc32c>| selected.iter().position(|system| system.name == outcome.system.name);
    outcomes.sort_by_key(position);
    (outcomes.len() == selected.len()).then_some(outcomes)
}

/// A line on a terminal, nothing elsewhere.
fn show_progress(running: &Running, systems: usize, finished: &AtomicBool) {
    if !io::stderr().is_terminal() {
        return;
    }
    let style =
        ProgressStyle::with_template("{spinner} {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new_spinner().with_style(style);
    while !finished.load(Ordering::Relaxed) {
        let states = running.unique_states.load(Ordering::Relaxed);
        let done = running.systems_done.load(Ordering::Relaxed);
        let rate = states as f64 / bar.elapsed().as_secs_f64().max(0.001);
        bar.set_message(format!(
            "{done} of {systems} systems, {} states, {rate:.0} states/s",
            report::grouped(states)
        ));
        bar.tick();
        thread::sleep(Duration::from_millis(100));
    }
    bar.finish_and_clear();
}

fn tell(outcomes: &[Outcome<Crc32c>], bug: Option<Bug>) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    write!(out, "{}", report::table(outcomes))?;
    for outcome in outcomes {
        if let Some(found) = &outcome.counterexample {
            write!(out, "\n{}", report::counterexample(&outcome.system, bug, found))?;
        }
    }
    let rules = rules::<Crc32c>().len();
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    if failed == 0 {
        writeln!(
            out,
            "\npass: {rules} rules hold in every reachable state of {} systems",
            outcomes.len()
        )?;
        return Ok(PASS);
    }
    writeln!(out, "\nFAIL: {failed} of {} systems", outcomes.len())?;
    Ok(FAILED)
}

fn run_bugs(files: &Files) -> io::Result<u8> {
    let started = Instant::now();
    let verdicts = verdicts();
    let run = Run {
        outcomes: &[],
        bugs: &verdicts,
        seconds: started.elapsed().as_secs_f64(),
    };
    files.write(&run)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<28} {:<11} {:<9} {:>5}  caught by",
        "bug", "breaks", "system", "steps"
    )?;
    for verdict in &verdicts {
        writeln!(out, "{}", report::bug(verdict))?;
    }
    let survived = verdicts.iter().filter(|verdict| !verdict.is_caught()).count();
    if survived > 0 {
        writeln!(
            out,
            "\nFAIL: {survived} bugs were not caught by a rule of the clause that they break"
        )?;
        return Ok(FAILED);
    }
    writeln!(
        out,
        "\npass: every seeded bug is caught by a rule of the clause that it breaks"
    )?;
    Ok(PASS)
}

fn spec(markdown: bool) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    if markdown {
        write!(out, "{}\n{}", traceability::prose(), traceability::table())?;
        return Ok(PASS);
    }
    write!(out, "{}", traceability::listing())?;
    let traces = traceability::traces();
    let unchecked = traces.iter().filter(|trace| trace.is_unchecked()).count();
    let without_bug = traces.iter().filter(|trace| trace.bugs.is_empty()).count();
    writeln!(
        out,
        "\n{} clauses; {unchecked} unchecked; {without_bug} without a seeded bug yet",
        traces.len()
    )?;
    Ok(if unchecked == 0 { PASS } else { FAILED })
}

fn list() -> io::Result<u8> {
    let mut out = io::stdout().lock();
    for system in systems::<Crc32c>() {
        writeln!(out, "system {:<10} {}", system.name, system.about)?;
    }
    for rule in rules::<Crc32c>() {
        writeln!(out, "rule   {}", rule.name)?;
    }
    for (bug, clause) in claims() {
        writeln!(out, "bug    {bug} (breaks {clause})")?;
    }
    Ok(PASS)
}
