//! `gate conform`: the conformance kit.
//!
//! Guarantees: the exit codes of the kit's documentation; nothing run is never a pass. Refuses to
//! know: how a receiver is judged.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use snapshot_receiver_model::clauses::CLAUSES;
use snapshot_receiver_model::conform::campaign::{Plan, campaign, scratch_place};
use snapshot_receiver_model::conform::process::{Adapter, Process, TIME_LIMIT};
use snapshot_receiver_model::conform::report;
use snapshot_receiver_model::conform::results::{Results, hidden};
use snapshot_receiver_model::conform::scenario::Scenario;
use snapshot_receiver_model::conform::suite::suite;
use snapshot_receiver_model::conform::talk::About;

use super::{COULD_NOT_CHECK, PASS, USAGE, usage};

/// Hold a receiver, in any language, against this one.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ConformOptions {
    #[command(subcommand)]
    command: Option<ConformCommand>,
    /// The adapter: a command for `sh`, as in "python3 adapter.py".
    #[arg(long, value_name = "COMMAND", required = true)]
    cmd: Option<String>,
    /// How much is run.
    #[arg(long, value_enum, default_value = "quick")]
    profile: ConformProfile,
    /// Run the scenarios of this clause only; may be given more than once.
    #[arg(long, value_name = "ID")]
    clause: Vec<String>,
    /// Run this scenario only: its name, or a JSON file that a failing run wrote; may be given more
    /// than once.
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Vec<String>,
    /// Seconds that a reply may take.
    #[arg(long, value_name = "SECONDS", default_value_t = TIME_LIMIT.as_secs_f64(), value_parser = parse_seconds)]
    time_limit: f64,
    /// SHOULD clauses count as MUST clauses do.
    #[arg(long)]
    strict: bool,
    /// Make scratch directories here; by default in /dev/shm, or else in the temporary directory.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Write the scenarios of failures into this directory.
    #[arg(long, value_name = "DIR", default_value = "target/gate-conform")]
    failures: PathBuf,
    /// Write the results as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConformCommand {
    /// Every clause with its scenarios.
    List,
    /// What a clause says, and what its scenarios do.
    Explain {
        /// The clause: `SR-OFF-003`.
        #[arg(value_name = "ID")]
        clause: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConformProfile {
    /// Every scenario written by hand.
    Quick,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    if (0.01..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("0.01 to 3600 seconds, not {seconds}"))
    }
}

/// Limits at which every scenario exists, for lists.
fn usual() -> About {
    About {
        chunk_bytes_max: Some(16 << 20),
        snapshot_bytes_max: Some(16 << 40),
        transfers_max: Some(64),
        ..About::default()
    }
}

pub(super) fn conform(options: &ConformOptions) -> io::Result<u8> {
    match &options.command {
        Some(ConformCommand::List) => list(),
        Some(ConformCommand::Explain { clause }) => explain(clause),
        None => test(options),
    }
}

fn test(options: &ConformOptions) -> io::Result<u8> {
    let Some(command) = &options.cmd else {
        return usage("conform needs --cmd");
    };
    if command.trim().is_empty() {
        return usage("--cmd is empty");
    }
    if let Some(unknown) = options
        .clause
        .iter()
        .find(|id| CLAUSES.iter().all(|clause| clause.id != **id))
    {
        return usage(&format!(
            "there is no clause {unknown:?}; `gate conform list` lists them"
        ));
    }
    let named = match named_scenarios(&options.scenario) {
        Ok(named) => named,
        Err(message) => return usage(&message),
    };
    let place = options.scratch.clone().unwrap_or_else(scratch_place);
    let scratch = match tempfile::Builder::new().prefix("conform-").tempdir_in(&place) {
        Ok(scratch) => scratch,
        Err(error) => {
            eprintln!("gate: {}: {error}", place.display());
            return Ok(COULD_NOT_CHECK);
        }
    };
    let mut adapter = Adapter::new(command.as_str());
    adapter.time_limit = Duration::from_secs_f64(options.time_limit);
    let mut door = Process::new(adapter);
    let plan = Plan {
        profile: "quick".to_owned(),
        seed: 0,
        scratch: scratch.path().to_owned(),
        shrinking: Duration::from_secs(20),
        strict: options.strict,
        command: String::new(),
        clauses: options.clause.clone(),
    };
    let chosen = |about: &About| choose(options, &named, about);
    let mut results = campaign(&mut door, &plan, chosen)?;
    drop(door);
    write_failures(options, &mut results)?;
    let written = options.json.as_ref().map(|path| (path, report::json(&results)));
    for (path, text) in written {
        let named = |error| io::Error::other(format!("{}: {error}", path.display()));
        std::fs::write(path, text).map_err(named)?;
    }
    print!("{}", report::terminal(&results));
    Ok(results.verdict().exit_code())
}

/// A scenario asked for by its name, or by a file.
enum Named {
    Name(String),
    Read(Box<Scenario>),
}

fn named_scenarios(asked: &[String]) -> Result<Vec<Named>, String> {
    let read = |asked: &String| {
        let Ok(text) = std::fs::read_to_string(asked) else {
            let is_known = suite(&usual()).iter().any(|scenario| scenario.name == *asked);
            return if is_known {
                Ok(Named::Name(asked.clone()))
            } else {
                Err(format!(
                    "{asked:?} is neither a scenario's name nor a file that can be read"
                ))
            };
        };
        let scenario = serde_json::from_str(&text).map_err(|error| format!("{asked}: {error}"))?;
        Ok(Named::Read(Box::new(scenario)))
    };
    asked.iter().map(read).collect()
}

fn choose(options: &ConformOptions, named: &[Named], about: &About) -> Vec<Scenario> {
    let mut all = suite(about);
    if !named.is_empty() {
        let known = all;
        let of = |asked: &Named| match asked {
            Named::Name(name) => known.iter().find(|scenario| scenario.name == *name).cloned(),
            Named::Read(scenario) => Some(scenario.as_ref().clone()),
        };
        return named.iter().filter_map(of).collect();
    }
    if !options.clause.is_empty() {
        all.retain(|scenario| options.clause.contains(&scenario.clause));
    }
    all
}

/// The scenarios of failures, as files, and the command that repeats each.
fn write_failures(options: &ConformOptions, results: &mut Results) -> io::Result<()> {
    let command = options.cmd.as_deref().unwrap_or_default().replace('\'', "'\\''");
    for clause in &mut results.clauses {
        let Some(failure) = &mut clause.failure else { continue };
        std::fs::create_dir_all(&options.failures)?;
        let path = options.failures.join(format!("{}.json", clause.id));
        std::fs::write(&path, failure.scenario.json())?;
        failure.command = format!("cargo gate conform --cmd '{command}' --scenario {}", path.display());
    }
    Ok(())
}

fn list() -> io::Result<u8> {
    let all = suite(&usual());
    let mut out = io::stdout().lock();
    for clause in CLAUSES {
        writeln!(out, "{} {}  {}", clause.id, clause.level.word(), clause.text)?;
        let mut of_clause = all.iter().filter(|scenario| scenario.clause == clause.id).peekable();
        if of_clause.peek().is_none() {
            writeln!(out, "    (none: {})", hidden(clause.id))?;
        }
        for scenario in of_clause {
            writeln!(out, "    {:<56} {}", scenario.name, scenario.about)?;
        }
    }
    writeln!(out, "\n{} scenarios", all.len())?;
    Ok(PASS)
}

fn explain(id: &str) -> io::Result<u8> {
    let Some(clause) = CLAUSES.iter().find(|clause| clause.id.eq_ignore_ascii_case(id)) else {
        eprintln!("gate: there is no clause {id:?}; `gate conform list` lists them");
        return Ok(USAGE);
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{} {}\n{}", clause.id, clause.level.word(), clause.text)?;
    let all = suite(&usual());
    let mut of_clause = all.iter().filter(|scenario| scenario.clause == clause.id).peekable();
    if of_clause.peek().is_none() {
        writeln!(out, "\nNo scenario of its own: {}.", hidden(clause.id))?;
    }
    for scenario in of_clause {
        writeln!(out, "\n{}: {}", scenario.name, scenario.about)?;
        for (number, step) in (1..).zip(&scenario.steps) {
            writeln!(out, "{number:>4}. {step}")?;
        }
    }
    Ok(PASS)
}
