//! `gate fuzz`: what belongs to a fuzzing campaign and is no fuzzer: seeds, planted bugs, and the way
//! from a crash to a regression.
//!
//! Guarantees: as `commands`; an input that breaks nothing is told as that. Refuses to know: what a
//! target does.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use snapshot_receiver_model::fuzzing::engine::{Random, are_alike, campaign, distil, draw_words, inputs, minimise};
use snapshot_receiver_model::fuzzing::planted::{PLANTED, Planted, layer_reports, named};
use snapshot_receiver_model::fuzzing::record::{InputTrace, Recorded, keep};
use snapshot_receiver_model::fuzzing::{PLANT, Rig, TARGETS, Target, Watch};

use super::{COULD_NOT_CHECK, FAILED, NOTHING_RAN, PASS, usage};

/// Mutations that the small engine runs at once, between two looks at the clock.
const BATCH: u64 = 2_000;

/// What `gate fuzz` is asked to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum FuzzCommand {
    /// The targets and the bugs planted in each.
    List,
    /// Run targets with the small engine, from their seeds, on stable.
    Run {
        /// The targets; all where none is given.
        targets: Vec<String>,
        /// Seconds for each target.
        #[arg(long, value_name = "SECONDS", default_value_t = 10)]
        seconds: u64,
        /// The first random number; the same inputs are drawn again from the same.
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// How many executions a second each target makes, of inputs that are drawn beforehand.
    Rate {
        /// The targets; all where none is given.
        targets: Vec<String>,
        /// Words of an input, on average.
        #[arg(long, value_name = "N", default_value_t = 8)]
        words: usize,
    },
    /// Plant each bug in its target, which has to find it from its seeds.
    Planted {
        /// The targets; all where none is given.
        targets: Vec<String>,
        /// Seconds for each bug.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        seconds: u64,
        /// Use the fuzz targets' own binaries in this directory, as `cargo fuzz build` made them; the
        /// small engine otherwise.
        #[arg(long, value_name = "DIR")]
        binaries: Option<PathBuf>,
        /// Where the result for `gate bugs` goes.
        #[arg(long, value_name = "DIR", default_value = "target/gate-layers")]
        layers: PathBuf,
    },
    /// From a crashing input to its fix: print it, make it small, and keep it as a regression and as a
    /// trace.
    Crash {
        /// The target.
        target: String,
        /// The input that crashed it.
        input: PathBuf,
        /// The regression's name.
        #[arg(long, value_name = "NAME", default_value = "unnamed")]
        name: String,
        /// What was wrong, for the note beside it.
        #[arg(long, value_name = "TEXT", default_value = "not known yet")]
        cause: String,
        /// The planted bug, if the crash is of one.
        #[arg(long, value_name = "NAME")]
        bug: Option<String>,
        /// Where regressions are kept, a directory for each target.
        #[arg(long, value_name = "DIR", default_value = "fuzz/regressions")]
        regressions: PathBuf,
    },
    /// Work out each target's seeds again, after a change to its generator.
    Seeds {
        /// Where they go, a directory for each target.
        #[arg(long, value_name = "DIR", default_value = "fuzz/seeds")]
        directory: PathBuf,
    },
}

pub(super) fn run(command: &FuzzCommand) -> io::Result<u8> {
    match command {
        FuzzCommand::List => list(),
        FuzzCommand::Run { targets, seconds, seed } => with_targets(targets, |chosen| run_all(chosen, *seconds, *seed)),
        FuzzCommand::Rate { targets, words } => with_targets(targets, |chosen| Ok(rate(chosen, *words))),
        FuzzCommand::Planted {
            targets,
            seconds,
            binaries,
            layers,
        } => with_targets(targets, |chosen| planted(chosen, *seconds, binaries.as_deref(), layers)),
        FuzzCommand::Crash {
            target,
            input,
            name,
            cause,
            bug,
            regressions,
        } => crash(target, input, name, cause, bug.as_deref(), regressions),
        FuzzCommand::Seeds { directory } => seeds(directory),
    }
}

fn with_targets(names: &[String], run: impl FnOnce(&[&Target]) -> io::Result<u8>) -> io::Result<u8> {
    let mut chosen = Vec::new();
    for name in names {
        match Target::named(name) {
            Some(target) => chosen.push(target),
            None => return usage(&format!("no target {name:?}; `gate fuzz list` lists them")),
        }
    }
    if names.is_empty() {
        chosen.extend(TARGETS);
    }
    run(&chosen)
}

fn list() -> io::Result<u8> {
    let mut out = io::stdout().lock();
    for target in TARGETS {
        writeln!(out, "{:<16} {}", target.name, target.about)?;
        for planted in PLANTED.iter().filter(|planted| planted.target == target.name) {
            let claim = planted.claim();
            let breaks = match claim.clauses {
                [] => "of a parser".to_owned(),
                clauses => format!("breaks {}", clauses.join(" ")),
            };
            writeln!(out, "    {:<28} {breaks:<31} {}", claim.name, claim.about)?;
        }
    }
    writeln!(
        out,
        "{:<16} bytes choose which thread of the shell goes on (`tests/interleavings`; fuzz/races.sh plants A9 to A11)",
        InputTrace::INTERLEAVE
    )?;
    Ok(PASS)
}

/// The seeds and the regressions of a target.
fn corpus(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut corpus = Vec::new();
    for kind in ["seeds", "regressions"] {
        let directory = Path::new("fuzz").join(kind).join(target.name);
        if kind == "seeds" || directory.is_dir() {
            corpus.extend(inputs(&directory)?.into_iter().map(|(_, input)| input));
        }
    }
    Ok(corpus)
}

fn run_all(targets: &[&Target], seconds: u64, seed: u64) -> io::Result<u8> {
    let mut failed = false;
    println!("target            executions        rate");
    for target in targets {
        let corpus = corpus(target)?;
        let (rig, mut random) = (Rig::default(), Random::of(seed));
        let (started, mut executions) = (Instant::now(), 0);
        let found = loop {
            if let Some(found) = campaign(target, &rig, &corpus, BATCH, &mut random) {
                break Some(found);
            }
            executions += BATCH;
            if started.elapsed() >= Duration::from_secs(seconds) {
                break None;
            }
        };
        // A rate for people: what it loses of precision does not matter.
        let rate = u128::from(executions) * 1000 / started.elapsed().as_millis().max(1);
        println!("{:<16} {executions:>11} {rate:>9}/s", target.name);
        if let Some(found) = found {
            failed = true;
            let path = env::temp_dir().join(format!("{}-crash", target.name));
            fs::write(&path, &found.input)?;
            println!("FOUND: {}", found.what);
            println!("next: cargo gate fuzz crash {} {}", target.name, path.display());
        }
    }
    Ok(if failed { FAILED } else { PASS })
}

/// Inputs drawn before the clock starts.
const DRAWN: usize = 4_096;

/// Rounds over them, of which the fastest counts: the others were disturbed.
const ROUNDS: u32 = 5;

fn rate(targets: &[&Target], words: usize) -> u8 {
    println!("target            words/input   executions/s");
    for target in targets {
        let (rig, mut random, mut watch) = (Rig::default(), Random::of(1), Watch::default());
        let words = words * if target.word_bytes == 1 { 32 } else { 1 };
        let inputs: Vec<_> = (0..DRAWN).map(|_| draw_words(target, &mut random, words)).collect();
        let drawn: usize = inputs.iter().map(Vec::len).sum();
        let round = || {
            let started = Instant::now();
            let held = inputs
                .iter()
                .filter(|input| target.run(&rig, input, &mut watch).is_ok())
                .count();
            (held, started.elapsed())
        };
        let rounds: Vec<_> = std::iter::repeat_with(round).take(ROUNDS as usize).collect();
        let fastest = rounds.iter().map(|(_, time)| *time).min().unwrap_or_default();
        let rate = DRAWN as u128 * 1_000_000 / fastest.as_micros().max(1);
        let tenths = 10 * drawn / target.word_bytes / DRAWN;
        let found = rounds.iter().any(|(held, _)| *held < DRAWN);
        let note = if found {
            "  BROKEN: `gate fuzz run` says what"
        } else {
            ""
        };
        println!(
            "{:<16} {:>11}.{} {rate:>14}{note}",
            target.name,
            tenths / 10,
            tenths % 10
        );
    }
    PASS
}

fn planted(targets: &[&Target], seconds: u64, binaries: Option<&Path>, layers: &Path) -> io::Result<u8> {
    // A planted bug may panic: that is a finding, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let mut found = Vec::new();
    for target in targets {
        for planted in PLANTED.iter().filter(|planted| planted.target == target.name) {
            let started = Instant::now();
            let by = match binaries {
                None => by_small_engine(target, planted, Duration::from_secs(seconds))?,
                Some(directory) => by_fuzzer(target, planted, seconds, directory)?,
            };
            let told = by.as_deref().unwrap_or("NOT FOUND");
            let elapsed = started.elapsed().as_secs_f64();
            println!(
                "{:<16} {:<28} {elapsed:>6.1} s  {told}",
                target.name,
                planted.claim().name
            );
            found.push((planted, by));
        }
    }
    if found.is_empty() {
        return Ok(NOTHING_RAN);
    }
    fs::create_dir_all(layers)?;
    for (name, report) in layer_reports(&found) {
        fs::write(layers.join(name), report)?;
    }
    let missed = found.iter().filter(|(_, by)| by.is_none()).count();
    if missed == 0 {
        println!("\npass: each of {} planted bugs is found from the seeds", found.len());
        Ok(PASS)
    } else {
        println!("\nFAIL: {missed} of {} planted bugs were not found", found.len());
        Ok(FAILED)
    }
}

fn by_small_engine(target: &Target, planted: &'static Planted, time: Duration) -> io::Result<Option<String>> {
    let corpus = corpus(target)?;
    let (rig, mut random) = (Rig::with(planted), Random::of(1));
    let (started, mut executions) = (Instant::now(), 0);
    while started.elapsed() < time {
        if let Some(found) = campaign(target, &rig, &corpus, BATCH, &mut random) {
            let executions = executions + found.executions;
            return Ok(Some(format!(
                "fuzz target {}, after {executions} executions: {}",
                target.name, found.what
            )));
        }
        executions += BATCH;
    }
    Ok(None)
}

/// What libFuzzer ends with where the target panicked, and where nothing was found.
const FUZZER_CRASHED: i32 = 77;

fn by_fuzzer(target: &Target, planted: &Planted, seconds: u64, directory: &Path) -> io::Result<Option<String>> {
    let work = tempfile::tempdir()?;
    let name = planted.claim().name;
    let corpus = work.path().join("corpus");
    fs::create_dir(&corpus)?;
    let output = Command::new(directory.join(target.name))
        .env(PLANT, name)
        .arg(&corpus)
        .arg(Path::new("fuzz/seeds").join(target.name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.input_bytes_max))
        .arg(format!("-error_exitcode={FUZZER_CRASHED}"))
        .arg(format!("-artifact_prefix={}/", work.path().display()))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let after = |mark: &str| said.lines().find(|line| line.contains(mark)).map(str::to_owned);
    match output.status.code() {
        Some(0) => Ok(None),
        // The planted bug has to be what was found: a target that dies at once finds nothing.
        _ if fs::read_dir(work.path())?
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("crash-")) =>
        {
            let what = after(&format!("{}: ", target.name)).or_else(|| after("panicked"));
            Ok(Some(format!(
                "fuzz target {} (libFuzzer): {}",
                target.name,
                what.unwrap_or_default()
            )))
        }
        status => Err(io::Error::other(format!(
            "{}: ended with {status:?}: {said}",
            target.name
        ))),
    }
}

fn crash(target: &str, input: &Path, name: &str, cause: &str, bug: Option<&str>, regressions: &Path) -> io::Result<u8> {
    if target == InputTrace::INTERLEAVE {
        let variant = bug.unwrap_or("shipped").as_ref();
        let arguments = [
            "crash".as_ref(),
            input,
            variant,
            name.as_ref(),
            cause.as_ref(),
            regressions,
        ];
        return interleavings(&arguments);
    }
    let Some(known) = Target::named(target) else {
        return usage(&format!("no target {target:?}; `gate fuzz list` lists them"));
    };
    let rig = || match bug.map(|bug| named(target, bug)) {
        None => Ok(Rig::default()),
        Some(Some(planted)) => Ok(Rig::with(planted)),
        Some(None) => usage(&format!("{target} has no planted bug {bug:?}")).and(Err(io::ErrorKind::NotFound.into())),
    };
    let rig: Rig = rig()?;
    let bytes = fs::read(input)?;
    std::panic::set_hook(Box::new(|_| {}));
    let Err(what) = known.find(&rig, &bytes, &mut Watch::default()) else {
        println!("{target}: the input breaks nothing here");
        return Ok(COULD_NOT_CHECK);
    };
    let breaks = |bytes: &[u8]| {
        let broken = known.find(&rig, bytes, &mut Watch::default());
        broken.is_err_and(|other| are_alike(&what, &other))
    };
    let small = minimise(known.word_bytes, &bytes, breaks);
    let (recorded, lines) = Recorded::of(known, &rig, bug, &small);
    println!("{target}: {what}");
    println!("{} bytes, made {}:", bytes.len(), small.len());
    for line in &lines {
        println!("    {line}");
    }
    let small_what = known.find(&rig, &small, &mut Watch::default()).err();
    println!("ends with: {}", small_what.unwrap_or_default());
    let text = match &recorded {
        Recorded::World(trace) => trace.text(),
        Recorded::Input(trace) => trace.text_with(&lines),
    };
    let trace = keep(&regressions.join(target), name, &small, &text, cause, &what)?;
    println!(
        "kept as {}, with its cause beside it",
        trace.with_extension("").display()
    );
    println!("take it again with: cargo gate replay {}", trace.display());
    Ok(FAILED)
}

/// What concerns `interleave`, by the package that has its body.
pub(super) fn interleavings(arguments: &[&Path]) -> io::Result<u8> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "snapshot-receiver-interleavings",
            "--",
            "fuzz",
        ])
        .args(arguments)
        .status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(COULD_NOT_CHECK))
}

fn seeds(directory: &Path) -> io::Result<u8> {
    let mut complete = true;
    for target in TARGETS {
        let seeds = distil(target, &mut Random::of(1));
        let own = directory.join(target.name);
        if own.is_dir() {
            fs::remove_dir_all(&own)?;
        }
        fs::create_dir_all(&own)?;
        let mut watch = Watch::everything();
        for (name, input) in &seeds {
            fs::write(own.join(name), input)?;
            if let Err(what) = target.find(&Rig::default(), input, &mut watch) {
                println!("{}: {name}: {what}", target.name);
                complete = false;
            }
        }
        let seen = watch.seen.unwrap_or_default();
        let missing: Vec<_> = target.reaches.iter().filter(|name| !seen.contains(**name)).collect();
        println!("{:<16} {} seeds; not reached: {missing:?}", target.name, seeds.len());
        complete &= missing.is_empty();
    }
    Ok(if complete { PASS } else { FAILED })
}
