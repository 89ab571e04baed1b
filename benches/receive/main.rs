//! How fast a whole snapshot is received, beside a plain loop that writes and checksums the same
//! bytes into a file of the same file system.
//!
//! ```text
//! cargo bench --bench receive                             # in memory and on disk, some minutes
//! cargo bench --bench receive -- --quick                  # some seconds, for orientation only
//! cargo bench --bench receive -- --dir /data --rounds 9   # your own disk
//! cargo bench --bench receive -- --svg throughput.svg     # and a picture of it
//! cargo bench --bench receive -- --help
//! ```
//!
//! They receive in turn, round by round: the plain loop; a naive async design (a copy of each payload
//! and a hop to the blocking pool for each operation); `Receiver`; `SnapshotReceiver` chunk by chunk on
//! a current-thread and on a multi-thread runtime, and from a stream on a current-thread runtime.
//! Medians of the rounds are compared, and the slowest and the fastest round shown; a ratio with a `?`
//! is noise. Two phases are timed apart:
//!
//! - *data*: every byte written and checksummed. The plain loop does nothing else.
//! - *end*: an empty chunk with `done`, answered by `Committed`. The plain loop syncs the file,
//!   renames it and syncs the directory, once each, which is the least that is as durable.
//!
//! What the figures do not say: one transfer at a time, on a machine that does nothing else; no
//! network, no decoding. *data* fills the page cache: on a disk it measures memory and whatever
//! the kernel writes back meanwhile, and only *data + end* measures the disk. A ratio is of this
//! machine: a faster disk or a slower processor moves it. The payload is ready in memory; a
//! source that sends over a network waits a round trip per chunk, or keeps several in flight.
//!
//! What a hop to the blocking pool and back takes is measured alone, too: it is mostly the operating
//! system waking threads. `handle_chunk` hops to a thread that is still awake, where it can. And `dd`
//! writes as many bytes and syncs them: what *data + end* would be without checks, names and chunks.

mod measured;
mod picture;
mod receivers;
#[path = "../support/mod.rs"]
mod support;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use measured::{OfDirectory, as_json, measure, print_tables};
use receivers::{Kind, Snapshot, current_thread, hop, run};
use support::{KIB, MIB, is_measuring, pseudo_random};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CHUNKS: [usize; 6] = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
/// From here on a transfer is long enough only with more bytes.
const LARGE_CHUNK: usize = 64 * KIB;
/// Set to measure on another file system than the two default ones.
const DIRECTORY_VARIABLE: &str = "RECEIVE_BENCH_DIR";

/// Throughput of a receive beside a plain loop.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure on this directory's file system; may be given again [default: $RECEIVE_BENCH_DIR,
    /// else /dev/shm and the target directory]
    #[arg(long)]
    dir: Vec<PathBuf>,
    /// Bytes of a transfer [default: 256 MiB, 64 MiB in chunks of 4 KiB]
    #[arg(long)]
    bytes: Option<usize>,
    /// Only chunks of this many KiB; may be given again
    #[arg(long)]
    chunk_kib: Vec<usize>,
    /// Transfers of each kind
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Also write every measurement to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also draw the throughput over the chunk size into this file
    #[arg(long)]
    svg: Option<PathBuf>,
    /// 3 rounds of 16 MiB
    #[arg(long, conflicts_with_all = ["bytes", "rounds"])]
    quick: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn rounds(&self) -> u32 {
        if self.quick { 3 } else { self.rounds }
    }

    fn bytes(&self, chunk_bytes: usize) -> usize {
        match self.bytes {
            Some(bytes) => bytes,
            None if self.quick => 16 * MIB,
            None if chunk_bytes < LARGE_CHUNK => 64 * MIB,
            None => 256 * MIB,
        }
    }

    fn chunks(&self) -> Vec<usize> {
        if self.chunk_kib.is_empty() {
            CHUNKS.to_vec()
        } else {
            self.chunk_kib.iter().map(|kib| kib * KIB).collect()
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        if !self.dir.is_empty() {
            return self.dir.clone();
        }
        if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
            return vec![directory.into()];
        }
        let in_memory = Path::new("/dev/shm");
        let writable = tempfile::tempdir_in(in_memory).is_ok();
        let in_memory = writable.then(|| in_memory.to_owned());
        in_memory.into_iter().chain([on_disk()]).collect()
    }
}

/// Cargo's own directory for such files, or the system's if it is gone.
fn on_disk() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    if target.is_dir() { target } else { std::env::temp_dir() }
}

fn main() -> Outcome<()> {
    if !is_measuring() {
        return rehearse();
    }
    let arguments = Arguments::parse();
    let chunks = arguments.chunks();
    let largest = chunks.iter().map(|chunk_bytes| arguments.bytes(*chunk_bytes)).max();
    let payload = pseudo_random(largest.unwrap_or_default());
    println!(
        "an empty hop to the blocking pool takes {:.1} us on a current-thread runtime",
        hop(&current_thread()?)?
    );
    let mut all = Vec::new();
    for directory in arguments.directories() {
        let file_system = file_system_of(&directory);
        println!(
            "\n{} ({file_system}), {} rounds",
            directory.display(),
            arguments.rounds()
        );
        let mut results = Vec::new();
        for &chunk_bytes in &chunks {
            let snapshot = Snapshot::new(payload.slice(..arguments.bytes(chunk_bytes)), chunk_bytes);
            results.push(measure(arguments.rounds(), &directory, &snapshot)?);
        }
        print_tables(&results);
        all.push(OfDirectory {
            directory,
            file_system,
            results,
        });
    }
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", as_json(&all)))?;
    }
    if let Some(path) = &arguments.svg {
        picture::draw(&all, path)?;
    }
    Ok(())
}

/// One small transfer of each kind, to see that this still works.
fn rehearse() -> Outcome<()> {
    let snapshot = Snapshot::new(pseudo_random(64 * KIB), 4 * KIB);
    for kind in Kind::ALL {
        run(kind, &on_disk(), &snapshot)?;
    }
    Ok(())
}

/// The type of the file system that `directory` is on, where the system has `/proc`.
fn file_system_of(directory: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let mut found = (0, "unknown file system");
    for line in mounts.lines() {
        let mut fields = line.split_whitespace().skip(1);
        if let (Some(mount), Some(kind)) = (fields.next(), fields.next()) {
            // The deepest mount point counts, and of equals the one mounted last.
            if directory.starts_with(mount) && mount.len() >= found.0 {
                found = (mount.len(), kind);
            }
        }
    }
    found.1.to_owned()
}
