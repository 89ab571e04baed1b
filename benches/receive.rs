//! How fast a whole snapshot is received, beside a plain loop that writes and checksums the same
//! bytes into a file of the same file system.
//!
//! ```text
//! cargo bench --bench receive                             # in memory and on disk, some minutes
//! cargo bench --bench receive -- --quick                  # some seconds, for orientation only
//! cargo bench --bench receive -- --dir /data --rounds 9   # your own disk
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
//! system waking threads. `handle_chunk` hops to a thread that is still awake, where it can.

mod support;

use std::convert::Infallible;
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use futures_util::stream;
use snapshot_receiver::protocol::Text;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, ReceiveError, Receiver, SnapshotReceiver};
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

use support::{KIB, MIB, Sample, is_measuring, pseudo_random, size_name};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CHUNKS: [usize; 6] = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
/// From here on a transfer is long enough only with more bytes.
const LARGE_CHUNK: usize = 64 * KIB;
/// For the median of a time that the scheduler makes vary.
const HOPS: usize = 2000;
/// How far apart the quartiles of the rounds may be, as a ratio.
const NOISE: f64 = 1.5;
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
    for (kind, runtime) in [
        (Kind::AsyncCurrentThread, current_thread()?),
        (Kind::AsyncMultiThread, multi_thread()?),
    ] {
        println!(
            "{}: an empty hop to the blocking pool takes {:.1} us",
            kind.name(),
            hop(&runtime)?
        );
    }
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
            results.push(measure(&arguments, &directory, &snapshot)?);
        }
        print_tables(&results);
        all.push((directory, file_system, results));
    }
    if let Some(path) = &arguments.json {
        fs::write(path, json(&all))?;
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

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Naive,
    Sync,
    AsyncCurrentThread,
    AsyncMultiThread,
    Stream,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Plain,
        Self::Naive,
        Self::Sync,
        Self::AsyncCurrentThread,
        Self::AsyncMultiThread,
        Self::Stream,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain loop",
            Self::Naive => "naive",
            Self::Sync => "sync",
            Self::AsyncCurrentThread => "async, 1 thread",
            Self::AsyncMultiThread => "async, threads",
            Self::Stream => "stream",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Naive => "naive",
            Self::Sync => "sync",
            Self::AsyncCurrentThread => "async_current_thread",
            Self::AsyncMultiThread => "async_multi_thread",
            Self::Stream => "stream",
        }
    }
}

fn current_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().build()
}

fn multi_thread() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).build()
}

/// What is received. Clones share the bytes.
#[derive(Clone, Debug)]
struct Snapshot {
    payload: Bytes,
    crc32c: u32,
    chunk_bytes: usize,
    cluster: Text,
    database: Text,
}

impl Snapshot {
    fn new(payload: Bytes, chunk_bytes: usize) -> Self {
        Self {
            crc32c: crc32c::crc32c(&payload),
            payload,
            chunk_bytes,
            cluster: "prod-us".into(),
            database: "db_01".into(),
        }
    }

    /// Every chunk that carries bytes; none is copied.
    fn chunks(&self) -> impl Iterator<Item = Envelope<Bytes>> {
        let offsets = (0..self.payload.len()).step_by(self.chunk_bytes);
        offsets.map(|offset| {
            let end = self.payload.len().min(offset + self.chunk_bytes);
            self.envelope(offset, self.payload.slice(offset..end), false)
        })
    }

    /// The chunk that carries none and ends the snapshot.
    fn last_chunk(&self) -> Envelope<Bytes> {
        self.envelope(self.payload.len(), Bytes::new(), true)
    }

    fn envelope(&self, offset: usize, data: Bytes, done: bool) -> Envelope<Bytes> {
        Envelope {
            source_cluster_id: Text::clone(&self.cluster),
            source_database_id: Text::clone(&self.database),
            snapshot_lsn: 42,
            total_bytes: self.payload.len() as u64,
            total_crc32c: self.crc32c,
            offset: offset as u64,
            data,
            done,
        }
    }
}

/// How long the phases of one transfer took.
#[derive(Clone, Copy, Debug)]
struct Times {
    data: Duration,
    end: Duration,
}

impl Times {
    fn whole(self) -> Duration {
        self.data + self.end
    }
}

/// Receives one snapshot into a fresh directory below `parent`.
fn run(kind: Kind, parent: &Path, snapshot: &Snapshot) -> Outcome<Times> {
    let directory = tempfile::Builder::new().prefix("receive-bench-").tempdir_in(parent)?;
    // A virtual machine may give memory that lies free back to its host, and whoever fills it
    // next waits for the host, up to ten times as long. This makes it rarer, not impossible.
    drop(black_box(vec![1_u8; snapshot.payload.len()]));
    let times = match kind {
        Kind::Plain => receive_plain(directory.path(), snapshot)?,
        Kind::Sync => receive_sync(directory.path(), snapshot)?,
        Kind::Naive => spawned(
            &current_thread()?,
            receive_naive(directory.path().to_owned(), snapshot.clone()),
        )?,
        Kind::AsyncCurrentThread => spawned(
            &current_thread()?,
            receive_async(directory.path().to_owned(), snapshot.clone()),
        )?,
        Kind::AsyncMultiThread => spawned(
            &multi_thread()?,
            receive_async(directory.path().to_owned(), snapshot.clone()),
        )?,
        Kind::Stream => spawned(
            &current_thread()?,
            receive_stream(directory.path().to_owned(), snapshot.clone()),
        )?,
    };
    directory.close()?;
    // Else the next one would pay for this removal.
    File::open(parent)?.sync_all()?;
    Ok(times)
}

fn receive_plain(directory: &Path, snapshot: &Snapshot) -> Outcome<Times> {
    let (partial, published) = (directory.join("partial"), directory.join("published"));
    let started = Instant::now();
    let mut file = File::create_new(&partial)?;
    let mut crc32c = 0;
    for chunk in snapshot.payload.chunks(snapshot.chunk_bytes) {
        file.write_all(chunk)?;
        crc32c = crc32c::crc32c_append(crc32c, chunk);
    }
    let data = started.elapsed();

    let started = Instant::now();
    if crc32c != snapshot.crc32c {
        return Err("the plain loop's checksum differs".into());
    }
    file.sync_all()?;
    fs::rename(&partial, &published)?;
    File::open(directory)?.sync_all()?;
    let end = started.elapsed();
    Ok(Times { data, end })
}

fn receive_sync(directory: &Path, snapshot: &Snapshot) -> Outcome<Times> {
    let receiver = Receiver::open(directory, Options::default())?;
    let started = Instant::now();
    for chunk in snapshot.chunks() {
        receiver.handle_chunk(chunk)?;
    }
    let data = started.elapsed();

    let started = Instant::now();
    let outcome = receiver.handle_chunk(snapshot.last_chunk());
    let end = started.elapsed();
    committed(outcome)?;
    receiver.close()?;
    Ok(Times { data, end })
}

/// Spawned, because a server's tasks run on the workers and not on the main thread.
fn spawned(runtime: &Runtime, receive: impl Future<Output = Outcome<Times>> + Send + 'static) -> Outcome<Times> {
    runtime.block_on(runtime.spawn(receive))?
}

/// What is written first: each operation is handed to the blocking pool, with a payload of its own.
async fn receive_naive(directory: PathBuf, snapshot: Snapshot) -> Outcome<Times> {
    let (partial, published) = (directory.join("partial"), directory.join("published"));
    let started = Instant::now();
    let mut file = File::create_new(&partial)?;
    let mut crc32c = 0;
    for chunk in snapshot.payload.chunks(snapshot.chunk_bytes) {
        let path = directory.clone();
        spawn_blocking(move || fs::create_dir_all(path)).await??;
        let data = chunk.to_vec();
        crc32c = crc32c::crc32c_append(crc32c, &data);
        file = spawn_blocking(move || file.write_all(&data).map(|()| file)).await??;
    }
    let data = started.elapsed();

    let started = Instant::now();
    if crc32c != snapshot.crc32c {
        return Err("the naive design's checksum differs".into());
    }
    spawn_blocking(move || file.sync_all()).await??;
    spawn_blocking(move || fs::rename(&partial, &published)).await??;
    spawn_blocking(move || File::open(directory)?.sync_all()).await??;
    let end = started.elapsed();
    Ok(Times { data, end })
}

async fn receive_stream(directory: PathBuf, snapshot: Snapshot) -> Outcome<Times> {
    let receiver = SnapshotReceiver::open(directory, Options::default()).await?;
    let started = Instant::now();
    let chunks = stream::iter(snapshot.chunks().map(Ok::<_, Infallible>));
    receiver.receive(chunks).await?;
    let data = started.elapsed();

    let started = Instant::now();
    let outcome = receiver.handle_chunk(snapshot.last_chunk()).await;
    let end = started.elapsed();
    committed(outcome)?;
    receiver.close().await?;
    Ok(Times { data, end })
}

async fn receive_async(directory: PathBuf, snapshot: Snapshot) -> Outcome<Times> {
    let receiver = SnapshotReceiver::open(directory, Options::default()).await?;
    let started = Instant::now();
    for chunk in snapshot.chunks() {
        receiver.handle_chunk(chunk).await?;
    }
    let data = started.elapsed();

    let started = Instant::now();
    let outcome = receiver.handle_chunk(snapshot.last_chunk()).await;
    let end = started.elapsed();
    committed(outcome)?;
    receiver.close().await?;
    Ok(Times { data, end })
}

/// A fast refusal must not pass for a fast receive.
fn committed(outcome: Result<ChunkOutcome, ReceiveError>) -> Outcome<()> {
    match outcome? {
        ChunkOutcome::Committed { .. } => Ok(()),
        ChunkOutcome::Pending { bytes_done } => Err(format!("still pending at {bytes_done} bytes").into()),
    }
}

/// All transfers of one chunk size on one file system.
#[derive(Debug)]
struct Measured {
    chunk_bytes: usize,
    total_bytes: usize,
    /// Per round, in the order of [`Kind::ALL`].
    rounds: Vec<[Times; Kind::ALL.len()]>,
}

fn measure(arguments: &Arguments, directory: &Path, snapshot: &Snapshot) -> Outcome<Measured> {
    let kinds = Kind::ALL.len();
    let nothing = Times {
        data: Duration::ZERO,
        end: Duration::ZERO,
    };
    let mut rounds = Vec::new();
    for round in 0..arguments.rounds() as usize {
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
        rounds.push(times);
    }
    Ok(Measured {
        chunk_bytes: snapshot.chunk_bytes,
        total_bytes: snapshot.payload.len(),
        rounds,
    })
}

/// What of a transfer a table is about.
type Phase = fn(Times) -> Duration;

impl Measured {
    /// MB (1,000,000 bytes) per second.
    fn throughput(&self, kind: Kind, phase: Phase) -> Sample {
        let megabytes = self.total_bytes as f64 / 1e6;
        let rounds = self.rounds.iter();
        rounds
            .map(|times| megabytes / phase(times[kind as usize]).as_secs_f64())
            .collect()
    }

    /// Milliseconds of the end.
    fn end(&self, kind: Kind) -> Sample {
        let rounds = self.rounds.iter();
        rounds
            .map(|times| times[kind as usize].end.as_secs_f64() * 1e3)
            .collect()
    }
}

fn print_tables(results: &[Measured]) {
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
                // Of medians, not a median of ratios: a round that a busy host spoils for one of
                // the two would spoil its ratio, too, and then more than half may be spoilt.
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

/// Microseconds of a hop to the runtime's blocking pool and back that does nothing: what every
/// chunk of the async face takes at least, and nothing of ours.
fn hop(runtime: &Runtime) -> Outcome<f64> {
    let hops = runtime.spawn(async {
        let mut times = Vec::new();
        for _ in 0..HOPS {
            let started = Instant::now();
            spawn_blocking(|| ()).await?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(Sample::from_iter(times).median())
    });
    runtime.block_on(hops)?
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

/// Every measurement, in nanoseconds: whoever reads it makes their own medians.
fn json(all: &[(PathBuf, String, Vec<Measured>)]) -> String {
    let mut objects = Vec::new();
    for (directory, file_system, results) in all {
        let directory = quoted(&directory.to_string_lossy());
        let file_system = quoted(file_system);
        for measured in results {
            for kind in Kind::ALL {
                let of_phase = |phase: Phase| {
                    let rounds = measured.rounds.iter();
                    let times: Vec<String> = rounds
                        .map(|times| phase(times[kind as usize]).as_nanos().to_string())
                        .collect();
                    times.join(",")
                };
                objects.push(format!(
                    r#"{{"directory":{directory},"file_system":{file_system},"receiver":"{}","chunk_bytes":{},"total_bytes":{},"data_ns":[{}],"end_ns":[{}]}}"#,
                    kind.key(),
                    measured.chunk_bytes,
                    measured.total_bytes,
                    of_phase(|times| times.data),
                    of_phase(|times| times.end),
                ));
            }
        }
    }
    format!("[\n{}\n]\n", objects.join(",\n"))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
