//! Rounds of transfers, and what they come to: tables, and a file of every measurement.
//!
//! Guarantees: a ratio is of two medians of the same rounds; one that is noise is marked. Refuses to
//! know: who receives, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Outcome;
use crate::receivers::{Kind, Snapshot, Times, dd, run};
use crate::support::{MIB, Sample, size_name};

/// How far apart the quartiles of the rounds may be, as a ratio.
const NOISE: f64 = 1.5;
/// `dd` of less is mostly the start of a process.
const DD_BYTES_MIN: usize = 64 * MIB;

/// What was measured on one file system.
#[derive(Debug)]
pub(crate) struct OfDirectory {
    pub(crate) directory: PathBuf,
    pub(crate) file_system: String,
    pub(crate) results: Vec<Measured>,
}

/// All transfers of one chunk size on one file system.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) chunk_bytes: usize,
    total_bytes: usize,
    /// Per round, in the order of [`Kind::ALL`].
    rounds: Vec<[Times; Kind::ALL.len()]>,
    /// Per round, where there is the program and the transfer is long enough.
    dd: Vec<Duration>,
}

pub(crate) fn measure(rounds: u32, directory: &Path, snapshot: &Snapshot) -> Outcome<Measured> {
    let kinds = Kind::ALL.len();
    let nothing = Times {
        data: Duration::ZERO,
        end: Duration::ZERO,
    };
    let mut measured = Measured {
        chunk_bytes: snapshot.chunk_bytes,
        total_bytes: snapshot.payload.len(),
        rounds: Vec::new(),
        dd: Vec::new(),
    };
    for round in 0..rounds as usize {
        let mut times = [nothing; Kind::ALL.len()];
        // Each begins a round in turn, and every other round runs backwards: what one leaves
        // behind must not always meet the same next.
        for place in 0..kinds {
            let place = if round.is_multiple_of(2) {
                place
            } else {
                kinds - 1 - place
            };
            let index = (place + round / 2) % kinds;
            times[index] = run(Kind::ALL[index], directory, snapshot)?;
        }
        measured.rounds.push(times);
        if measured.total_bytes >= DD_BYTES_MIN {
            measured.dd.extend(dd(directory, measured.total_bytes)?);
        }
    }
    Ok(measured)
}

/// What of a transfer a table is about.
pub(crate) type Phase = fn(Times) -> Duration;

impl Measured {
    /// MB (1,000,000 bytes) per second.
    pub(crate) fn throughput(&self, kind: Kind, phase: Phase) -> Sample {
        let megabytes = self.total_bytes as f64 / 1e6;
        let rounds = self.rounds.iter();
        rounds
            .map(|times| megabytes / phase(times[kind as usize]).as_secs_f64())
            .collect()
    }

    /// The median throughput as a part of the plain loop's. Of medians, not a median of ratios: a round
    /// that a busy host spoils for one of the two would spoil its ratio, too, and then more than half
    /// may be spoilt.
    pub(crate) fn ratio(&self, kind: Kind, phase: Phase) -> f64 {
        self.throughput(kind, phase).median() / self.throughput(Kind::Plain, phase).median()
    }

    /// Milliseconds of the end.
    fn end(&self, kind: Kind) -> Sample {
        let rounds = self.rounds.iter();
        rounds
            .map(|times| times[kind as usize].end.as_secs_f64() * 1e3)
            .collect()
    }
}

pub(crate) fn print_tables(results: &[Measured]) {
    let phases: [(&str, Phase); 2] = [
        ("data (written and checksummed)", |times| times.data),
        ("data + end (also synced, renamed, directory synced)", Times::whole),
    ];
    for (title, phase) in phases {
        println!("\n  {title}: MB/s (min - max), part of plain's");
        print_line("chunk", Kind::ALL.map(|kind| kind.name().to_owned()));
        for measured in results {
            let samples = Kind::ALL.map(|kind| measured.throughput(kind, phase));
            let plain = samples[Kind::Plain as usize].clone();
            let cells = samples.map(|sample| {
                let (median, min, max) = (sample.median(), sample.quantile(0, 1), sample.quantile(1, 1));
                let ratio = median / plain.median();
                let doubt = if is_noise(&sample) || is_noise(&plain) { "?" } else { "" };
                format!("{median:>5.0} ({min:>4.0} - {max:>4.0}) {ratio:>4.2}{doubt}")
            });
            print_line(&size_name(measured.chunk_bytes), cells);
        }
    }
    println!("\n  ?: the rounds, or plain's, differ too much among themselves: noise, not to be quoted");
    println!("\n  end alone: milliseconds (min - max)");
    print_line("chunk", Kind::ALL.map(|kind| kind.name().to_owned()));
    for measured in results {
        let cells = Kind::ALL.map(|kind| {
            let sample = measured.end(kind);
            let (median, min, max) = (sample.median(), sample.quantile(0, 1), sample.quantile(1, 1));
            format!("{median:>5.1} ({min:>4.1} - {max:>5.1})")
        });
        print_line(&size_name(measured.chunk_bytes), cells);
    }
    if results.iter().any(|measured| !measured.dd.is_empty()) {
        println!("\n  a whole transfer, `Committed` included, beside dd");
        print_dd(results);
    }
}

/// The whole transfer beside a program that everybody knows.
fn print_dd(results: &[Measured]) {
    for measured in results.iter().filter(|measured| !measured.dd.is_empty()) {
        let milliseconds = |durations: Vec<Duration>| -> Sample {
            let durations = durations.into_iter();
            durations.map(|duration| duration.as_secs_f64() * 1e3).collect()
        };
        let dd = milliseconds(measured.dd.clone()).median();
        let whole = |kind: Kind| {
            let times = measured.rounds.iter().map(|times| times[kind as usize].whole());
            let median = milliseconds(times.collect()).median();
            format!("{}: {median:.0} ms, {:.2} of it", kind.name(), median / dd)
        };
        println!(
            "  {:>6}: dd bs=1M conv=fsync of {}: {dd:.0} ms; {}; {}",
            size_name(measured.chunk_bytes),
            size_name(measured.total_bytes),
            whole(Kind::Stream),
            whole(Kind::AsyncCurrentThread),
        );
    }
}

/// Whether the rounds differ too much for their median to say anything. Judged by the middle
/// half: the extremes of many rounds are far apart on any machine.
fn is_noise(sample: &Sample) -> bool {
    sample.quantile(3, 4) > NOISE * sample.quantile(1, 4)
}

/// A cell per kind, in their order.
fn print_line(size: &str, cells: [String; Kind::ALL.len()]) {
    let cells = cells.map(|cell| format!("  {cell:<25}")).concat();
    println!("  {size:>6}{}", cells.trim_end());
}

/// Every measurement, in nanoseconds: whoever reads it makes their own medians.
pub(crate) fn as_json(all: &[OfDirectory]) -> Value {
    let mut objects = Vec::new();
    for of_directory in all {
        for measured in &of_directory.results {
            for kind in Kind::ALL {
                let of_phase = |phase: Phase| -> Vec<u64> {
                    let times = measured.rounds.iter().map(|times| phase(times[kind as usize]));
                    times.map(nanoseconds).collect()
                };
                objects.push(json!({
                    "directory": of_directory.directory.to_string_lossy(),
                    "file_system": of_directory.file_system,
                    "receiver": kind.key(),
                    "chunk_bytes": measured.chunk_bytes,
                    "total_bytes": measured.total_bytes,
                    "data_ns": of_phase(|times| times.data),
                    "end_ns": of_phase(|times| times.end),
                    "dd_ns": measured.dd.iter().copied().map(nanoseconds).collect::<Vec<_>>(),
                }));
            }
        }
    }
    Value::Array(objects)
}

/// In five centuries it will not fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
