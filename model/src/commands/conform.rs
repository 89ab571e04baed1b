//! `gate conform`: the conformance kit.
//!
//! Guarantees: the exit codes of the kit's documentation; nothing run is never a pass. Refuses to
//! know: how a receiver is judged.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use snapshot_receiver_model::clauses::CLAUSES;
use snapshot_receiver_model::conform::audit::{Audited, audit};
use snapshot_receiver_model::conform::baseline::{self, Known};
use snapshot_receiver_model::conform::campaign::{Plan, campaign, scratch_place};
use snapshot_receiver_model::conform::door::Broken;
use snapshot_receiver_model::conform::process::{Adapter, Process, TIME_LIMIT};
use snapshot_receiver_model::conform::profile;
use snapshot_receiver_model::conform::reading;
use snapshot_receiver_model::conform::report;
use snapshot_receiver_model::conform::results::{BrokenResult, ClauseVerdict, Results, hidden};
use snapshot_receiver_model::conform::scenario::Scenario;
use snapshot_receiver_model::conform::suite::suite;
use snapshot_receiver_model::conform::talk::About;

use super::{COULD_NOT_CHECK, Files, PASS, USAGE, usage};

/// Hold a receiver, in any language, against this one.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
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
    /// Steps of the longest sequences of profile `exhaustive`.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=6))]
    depth: u8,
    /// The seed of the random scenarios; a random one is chosen and printed where none is given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many random scenarios profile `standard` runs.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    random: usize,
    /// Look at the order of system calls too, with `strace`.
    #[arg(long)]
    audit_syscalls: bool,
    /// Known failures: a clause and a reason a line. One that passes is an error.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
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
    /// Every scenario written by hand or exported from the model.
    Quick,
    /// And combinations of chunk size, order, fault and restart, and random scenarios.
    Standard,
    /// And all sequences of twelve steps, to a depth.
    Exhaustive,
}

impl ConformProfile {
    const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Exhaustive => "exhaustive",
        }
    }
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
    let known = match options.baseline.as_deref().map(read_baseline).transpose() {
        Ok(known) => known.unwrap_or_default(),
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
        profile: options.profile.name().to_owned(),
        seed: options.seed.unwrap_or_else(some_seed),
        scratch: scratch.path().to_owned(),
        shrinking: Duration::from_secs(20),
        strict: options.strict,
        command: String::new(),
        clauses: options.clause.clone(),
        scenarios_chosen: !named.is_empty(),
    };
    let chosen = |about: &About| choose(options, &named, plan.seed, about);
    let mut results = campaign(&mut door, &plan, chosen)?;
    drop(door);
    if options.audit_syscalls && results.broken.is_empty() {
        let time_limit = Duration::from_secs_f64(options.time_limit);
        add_audit(&mut results, audit(command, time_limit, scratch.path()));
    }
    baseline::apply(&known, &mut results);
    write_failures(options, &mut results)?;
    options.files.write_conformance(&results)?;
    print!("{}", report::terminal(&results));
    if options.profile != ConformProfile::Quick {
        println!("again: --seed {}", results.seed);
    }
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
            let is_known = profile::named(&usual()).iter().any(|scenario| scenario.name == *asked);
            return if is_known {
                Ok(Named::Name(asked.clone()))
            } else {
                Err(format!(
                    "{asked:?} is neither a scenario's name nor a file that can be read"
                ))
            };
        };
        let scenario = reading::read(&text).map_err(|error| format!("{asked}: {error}"))?;
        Ok(Named::Read(Box::new(scenario)))
    };
    asked.iter().map(read).collect()
}

fn read_baseline(path: &Path) -> Result<Vec<Known>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let known = baseline::read(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    match known
        .iter()
        .find(|known| CLAUSES.iter().all(|clause| clause.id != known.clause))
    {
        Some(unknown) => Err(format!("{}: there is no clause {:?}", path.display(), unknown.clause)),
        None => Ok(known),
    }
}

/// Of the clock: different from run to run, and printed.
fn some_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |since| since.as_secs() ^ (u64::from(since.subsec_nanos()) << 20))
}

/// What was seen of the order of system calls.
fn add_audit(results: &mut Results, audited: Result<Audited, Box<Broken>>) {
    let wrong = match audited {
        Ok(Audited::Seen(wrong)) => wrong,
        Ok(Audited::NotVisible(why)) => {
            results.skipped.push(format!("the order of system calls: {why}"));
            return;
        }
        Err(broken) => {
            results.broken.push(BrokenResult {
                scenario: "the audit of system calls".to_owned(),
                at: 0,
                what: broken.to_string(),
                transcript: Vec::new(),
            });
            return;
        }
    };
    for clause in &mut results.clauses {
        let told: Vec<&str> = wrong
            .iter()
            .filter(|(id, _)| *id == clause.id)
            .map(|(_, told)| told.as_str())
            .collect();
        if !told.is_empty() {
            clause.verdict = ClauseVerdict::Fail;
            clause.message = told.join("; ");
            clause.failed.push("the order of system calls".to_owned());
        } else if clause.id == "SR-PUB-001" && clause.verdict == ClauseVerdict::NotVisible {
            clause.verdict = ClauseVerdict::Pass;
            clause.passed += 1;
            clause.message = String::new();
        }
    }
}

fn choose(options: &ConformOptions, named: &[Named], seed: u64, about: &About) -> Vec<Scenario> {
    let mut all = match options.profile {
        ConformProfile::Quick => profile::quick(about),
        ConformProfile::Standard => profile::standard(about, seed, options.random),
        ConformProfile::Exhaustive => profile::exhaustive(about, seed, options.random, usize::from(options.depth)),
    };
    if !named.is_empty() {
        let known = [all, profile::named(about)].concat();
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
