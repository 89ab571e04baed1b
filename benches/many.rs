//! What a transfer costs while many others run: 1, 10, 100 and 1,000 databases on one receiver.
//!
//! ```text
//! cargo bench --bench many                        # in memory and on disk, about a minute
//! cargo bench --bench many -- --quick             # some seconds, for orientation only
//! cargo bench --bench many -- --dir /data         # your own disk
//! ```
//!
//! As many tasks as there are databases send a snapshot each, chunk by chunk, on one runtime; all have
//! begun before any goes on. The table has, as medians of the rounds: the time of the whole divided by
//! the number of transfers, the throughput of all together, and what the process held more, for each
//! transfer, while all of them ran: memory, descriptors, and threads in all.
//!
//! What the figures do not say: the payload is one piece of memory that all share, as if it came from
//! a socket's buffer that is used again; a real source adds its own. On a disk, every transfer syncs its
//! own file and its own rename.

mod support;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, SnapshotReceiver};
use tokio::runtime::Builder;
use tokio::sync::Barrier;

use support::{KIB, MIB, Sample, is_measuring, pseudo_random, size_name};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const NUMBERS: [usize; 4] = [1, 10, 100, 1000];
const CHUNK_BYTES: usize = 64 * KIB;
const SNAPSHOT_BYTES: usize = MIB;

/// Cost of a transfer over the number of transfers at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure on this directory's file system; may be given again [default: /dev/shm and the target
    /// directory]
    #[arg(long)]
    dir: Vec<PathBuf>,
    /// Times that each number is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// 1 round, at most 100 transfers
    #[arg(long)]
    quick: bool,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Outcome<()> {
    let payload = pseudo_random(SNAPSHOT_BYTES);
    let on_disk = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    if !is_measuring() {
        run(&on_disk, &payload, 2)?;
        return Ok(());
    }
    let arguments = Arguments::parse();
    let directories = if arguments.dir.is_empty() {
        vec![PathBuf::from("/dev/shm"), on_disk]
    } else {
        arguments.dir.clone()
    };
    let numbers = if arguments.quick { &NUMBERS[..3] } else { &NUMBERS };
    for directory in directories {
        println!(
            "\n{}, snapshots of {} in chunks of {}",
            directory.display(),
            size_name(SNAPSHOT_BYTES),
            size_name(CHUNK_BYTES)
        );
        println!("   at once    ms each      MB/s   KiB each  descriptors each   threads");
        for &number in numbers {
            let rounds = if arguments.quick { 1 } else { arguments.rounds };
            let measured: Outcome<Vec<Measured>> = (0..rounds).map(|_| run(&directory, &payload, number)).collect();
            print_line(number, &measured?);
        }
    }
    Ok(())
}

/// One round.
#[derive(Clone, Copy, Debug)]
struct Measured {
    took: Duration,
    more: Held,
}

/// What the process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory_kib: f64,
    descriptors: f64,
    threads: f64,
}

fn print_line(number: usize, measured: &[Measured]) {
    let each = number as f64;
    let median = |of: fn(&Measured) -> f64| measured.iter().map(of).collect::<Sample>().median();
    let seconds = median(|measured| measured.took.as_secs_f64());
    println!(
        "  {number:>8}  {:>9.2}  {:>8.0}  {:>9.1}  {:>16.2}  {:>8}",
        seconds * 1e3 / each,
        each * SNAPSHOT_BYTES as f64 / 1e6 / seconds,
        median(|measured| measured.more.memory_kib) / each,
        median(|measured| measured.more.descriptors) / each,
        median(|measured| measured.more.threads),
    );
}

fn run(parent: &Path, payload: &Bytes, number: usize) -> Outcome<Measured> {
    let directory = tempfile::Builder::new().prefix("many-bench-").tempdir_in(parent)?;
    let before = held()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).build()?;
    let measured = runtime.block_on(async {
        let options = Options::default().transfers_max(number);
        let receiver = SnapshotReceiver::open(directory.path(), options).await?;
        let barrier = || Arc::new(Barrier::new(number + 1));
        let (all_run, seen) = (barrier(), barrier());
        let crc32c = crc32c::crc32c(payload);
        let started = Instant::now();
        let tasks: Vec<_> = (0..number)
            .map(|database| {
                let (receiver, payload) = (receiver.clone(), payload.clone());
                let (all_run, seen) = (Arc::clone(&all_run), Arc::clone(&seen));
                tokio::spawn(send(receiver, database, payload, crc32c, all_run, seen))
            })
            .collect();
        all_run.wait().await;
        let paused = Instant::now();
        let now = held()?;
        let paused = paused.elapsed();
        seen.wait().await;
        for task in tasks {
            task.await??;
        }
        let took = started.elapsed() - paused;
        receiver.close().await?;
        let more = Held {
            memory_kib: now.memory_kib - before.memory_kib,
            descriptors: now.descriptors - before.descriptors,
            threads: now.threads - before.threads,
        };
        Outcome::Ok(Measured { took, more })
    })?;
    directory.close()?;
    Ok(measured)
}

async fn send(
    receiver: SnapshotReceiver,
    database: usize,
    payload: Bytes,
    crc32c: u32,
    all_run: Arc<Barrier>,
    seen: Arc<Barrier>,
) -> Outcome<()> {
    let mut last = None;
    for offset in (0..payload.len()).step_by(CHUNK_BYTES) {
        let end = payload.len().min(offset + CHUNK_BYTES);
        let envelope = Envelope {
            source_cluster_id: "prod-us".into(),
            source_database_id: format!("db_{database:04}").into(),
            snapshot_lsn: 42,
            total_bytes: payload.len() as u64,
            total_crc32c: crc32c,
            offset: offset as u64,
            data: payload.slice(offset..end),
            done: end == payload.len(),
        };
        last = Some(receiver.handle_chunk(envelope).await?);
        if offset == 0 {
            all_run.wait().await;
            seen.wait().await;
        }
    }
    match last {
        Some(ChunkOutcome::Committed { .. }) => Ok(()),
        // A fast refusal must not pass for a fast receive.
        other => Err(format!("not committed: {other:?}").into()),
    }
}

/// As Linux shows it.
fn held() -> Outcome<Held> {
    let status = fs::read_to_string("/proc/self/status")?;
    let number = |field: &str| -> Outcome<f64> {
        let line = status.lines().find(|line| line.starts_with(field));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.ok_or("not shown by this system")?.parse()?)
    };
    Ok(Held {
        memory_kib: number("VmRSS:")?,
        descriptors: fs::read_dir("/proc/self/fd")?.count() as f64,
        threads: number("Threads:")?,
    })
}
