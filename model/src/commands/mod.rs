//! The gate's command line.
//!
//! Guarantees: the same exit codes from every subcommand; nothing run is never a pass. Refuses to
//! know: how anything is checked.

mod checking;
mod conform;
mod fuzz;
mod others;

use std::io;
use std::path::PathBuf;
use std::thread;

use clap::{Parser, Subcommand};
use snapshot_receiver_model::conform::{report as conform_report, results as conform_results};
use snapshot_receiver_model::layers::Layers;
use snapshot_receiver_model::layers::results::{DIRECTORY, project};
use snapshot_receiver_model::report::results::{Results, Verdict};
use snapshot_receiver_model::report::{html, json, junit, terminal};
use snapshot_receiver_model::system::Profile;

/// Every rule held, or every bug was caught.
pub(crate) const PASS: u8 = 0;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// Nothing was checked.
pub(crate) const NOTHING_RAN: u8 = 4;
/// A rule is broken, a bug survived, a rule is vacuous, or a count is not the pinned one.
pub(crate) const FAILED: u8 = 100;
/// The check itself could not be done.
pub(crate) const COULD_NOT_CHECK: u8 = 101;

/// Checks the snapshot receiver exhaustively, within the bounds of each system.
///
/// Exit codes, the same for every subcommand: 0 pass, 2 usage, 4 nothing ran, 100 a rule is broken
/// or a bug survived, 101 could not check.
#[derive(Debug, Parser)]
#[command(name = "gate", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: CheckOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Explore every reachable state of each system (the default).
    Check(CheckOptions),
    /// Seed each bug in turn: a rule of a clause that it breaks must catch it.
    Bugs(BugOptions),
    /// Every clause, with the rules, tests and seeded bugs behind it; one without fails.
    Spec {
        /// The prose and the table of SPEC.md, between their marks.
        #[arg(long)]
        markdown: bool,
        #[command(flatten)]
        layers: LayerOptions,
    },
    /// Plant every way in which a checker lies: each must be noticed.
    Lies {
        #[command(flatten)]
        layers: LayerOptions,
    },
    /// Take a counterexample again, step by step, on the world and on real files; or ask whether the
    /// reference would have answered as a recorded conversation says (JSON lines of the kit's protocol).
    Replay {
        /// A trace that a failing run wrote, or a recorded conversation.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print it as a Mermaid sequence diagram instead.
        #[arg(long)]
        mermaid: bool,
    },
    /// Walk through a system's states in a browser (stateright's Explorer).
    Explore {
        /// The system.
        #[arg(long, value_name = "NAME", default_value = "one")]
        system: String,
        /// Seed this bug.
        #[arg(long, value_name = "NAME")]
        bug: Option<String>,
        /// The port on loopback; 0 takes a free one.
        #[arg(long, value_name = "PORT", default_value_t = 3000)]
        port: u16,
    },
    /// Hold any receiver, in any language, against this one.
    Conform(Box<conform::ConformOptions>),
    /// Fuzz targets: planted bugs, seeds, and from a crash to a regression.
    Fuzz {
        #[command(subcommand)]
        command: fuzz::FuzzCommand,
    },
    /// List the systems, the rules, the witnesses and the seeded bugs.
    List,
}

#[derive(Clone, Debug, clap::Args)]
struct CheckOptions {
    /// How much is explored.
    #[arg(long, value_enum, default_value = "quick")]
    profile: Profile,
    /// Check this system only, in all its configurations; may be given more than once. A whole
    /// label (`one/weak/fresh/2+2`) takes one configuration.
    #[arg(long, value_name = "NAME")]
    system: Vec<String>,
    /// Check the I-th of N parts, counted from 1; the parts together are the whole run.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<Shard>,
    /// Configurations to check at once.
    #[arg(long, value_name = "N", default_value_t = default_threads())]
    threads: usize,
    /// Seed this bug, to see its counterexample.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Hunt every seeded bug too, for one report of both.
    #[arg(long)]
    seeded_bugs: bool,
    /// Count all states a second time, by depth, with the project's own search: the numbers must
    /// agree. It takes as long again; `--html` draws the growth from it.
    #[arg(long)]
    count_again: bool,
    /// Seconds of simulation for each configuration that is too large to exhaust (deep).
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    simulate: u64,
    /// The simulation's seed; a random one is chosen and printed where none is given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write counterexamples as traces for `gate replay` into this directory.
    #[arg(long, value_name = "DIR", default_value = "target/gate-traces")]
    traces: PathBuf,
    #[command(flatten)]
    layers: LayerOptions,
    #[command(flatten)]
    files: Files,
}

#[derive(Clone, Debug, clap::Args)]
struct BugOptions {
    /// Hunt this bug only; may be given more than once.
    #[arg(long, value_name = "NAME")]
    bug: Vec<String>,
    /// Draw the matrix of clauses and layers into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    layers: LayerOptions,
    #[command(flatten)]
    files: Files,
}

#[derive(Clone, Debug, clap::Args)]
struct LayerOptions {
    /// Where other layers' tests leave their results, a JSON file each.
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    layers: PathBuf,
    /// Fail (101) where a layer has no results, or stale ones: without it they are only told.
    #[arg(long)]
    complete: bool,
}

impl LayerOptions {
    /// What there is; told on the spot where it cannot be read.
    fn read(&self) -> Option<Layers> {
        let read = Layers::read(&self.layers, Some(&project()));
        read.inspect_err(|error| eprintln!("gate: {error}")).ok()
    }

    /// Tells what is missing or stale; says whether that fails the command.
    fn tell(&self, layers: &Layers) -> bool {
        let notices = layers.notices();
        for notice in &notices {
            println!("{notice}");
        }
        self.complete && !notices.is_empty()
    }
}

#[derive(Clone, Debug, clap::Args)]
struct Files {
    /// Write the results as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a summary in Markdown to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write one self-contained page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Files {
    fn write_conformance(&self, results: &conform_results::Results) -> io::Result<()> {
        write(&self.json, conform_report::json, results)?;
        write(&self.junit, conform_report::junit, results)?;
        write(&self.markdown, conform_report::markdown, results)?;
        write(&self.html, conform_report::page, results)
    }

    fn write(&self, results: &Results) -> io::Result<()> {
        write(&self.json, json::json, results)?;
        write(&self.junit, junit::junit, results)?;
        write(&self.markdown, terminal::markdown, results)?;
        write(&self.html, html::page, results)
    }
}

/// Writes the results to a file, where one was asked for.
fn write<R>(path: &Option<PathBuf>, render: fn(&R) -> String, results: &R) -> io::Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    let named = |error| io::Error::other(format!("{}: {error}", path.display()));
    std::fs::write(path, render(results)).map_err(named)
}

/// The I-th of N parts, from 1.
#[derive(Clone, Copy, Debug)]
struct Shard {
    index: usize,
    count: usize,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let (index, count) = text.split_once('/').ok_or("expected I/N, as in 1/4")?;
    let parse = |number: &str| number.parse::<usize>().map_err(|error| format!("{number:?}: {error}"));
    let (index, count) = (parse(index)?, parse(count)?);
    if (1..=count).contains(&index) {
        Ok(Shard { index, count })
    } else {
        Err(format!("the part is 1 to {count}, not {index}"))
    }
}

fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a command line.
pub(crate) fn run(arguments: Arguments) -> io::Result<u8> {
    match arguments.command {
        None => checking::check(&arguments.options),
        Some(Command::Check(options)) => checking::check(&options),
        Some(Command::Bugs(options)) => others::bugs(&options),
        Some(Command::Spec { markdown, layers }) => others::spec(markdown, &layers),
        Some(Command::Lies { layers }) => others::lies(&layers),
        Some(Command::Replay { file, mermaid }) => others::replay(&file, mermaid),
        Some(Command::Explore { system, bug, port }) => others::explore(&system, bug.as_deref(), port),
        Some(Command::Conform(options)) => conform::conform(&options),
        Some(Command::Fuzz { command }) => fuzz::run(&command),
        Some(Command::List) => others::list(),
    }
}

fn usage(message: &str) -> io::Result<u8> {
    eprintln!("gate: {message}");
    Ok(USAGE)
}

/// A pass without the results that it was asked to have is none.
fn completed(code: u8, is_incomplete: bool) -> u8 {
    if code == PASS && is_incomplete {
        println!("COULD NOT CHECK all of it (--complete): results are missing or stale, as told above");
        COULD_NOT_CHECK
    } else {
        code
    }
}

fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => PASS,
        Verdict::Fail => FAILED,
        Verdict::NothingRan => NOTHING_RAN,
        Verdict::CouldNotCheck => COULD_NOT_CHECK,
    }
}
