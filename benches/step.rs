//! What one `protocol::step` costs beside the checksum that it has to compute anyway.
//!
//! ```text
//! cargo bench --bench step                    # all of it, below a minute
//! cargo bench --bench step -- step_chunk      # one of divan's benchmarks, and the table
//! ```
//!
//! First divan measures the pieces and counts heap allocations: a benchmark without a line
//! `alloc:` allocated nothing. Then a table sets a step against the bare `crc32c_append` of the
//! same bytes, in batches taken in turn (A B A B ...), because on a shared machine only a ratio
//! within one moment says anything. The aims: within 5 % at 64 KiB, and no allocation.
//!
//! What the figures do not say: the payload is the same memory each time, so it comes from the
//! processor's caches, as bytes fresh from a socket do and bytes of an hour ago do not. Neither
//! locks nor files are in here; see `receive` for those. Only the step that a transfer takes
//! over and over is measured, not that of a start, a final chunk or a rejection.

mod support;

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use snapshot_receiver::Envelope;
use snapshot_receiver::protocol::{AwaitingChunk, Chunk, Event, Limits, OlderStart, State, Step, Text, Vacancy, step};

use support::{KIB, MIB, Sample, is_measuring, pseudo_random, size_name};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 4] = [0, 4 * KIB, 64 * KIB, MIB];
/// The size that the aim is stated for, and how much more than the checksum a step may take.
const AIM_SIZE: usize = 64 * KIB;
const AIM_RATIO: f64 = 1.05;

/// Many, because a noisy machine spoils some; the first of the pair changes from one to the next.
const ROUNDS: usize = 301;
/// Long beside the clock's resolution, short beside a time slice of the scheduler.
const BATCH_TIME: Duration = Duration::from_millis(1);
/// The inputs of a batch are made before it is timed. So many at most, so that they stay in the
/// second-level cache: a caller's own chunk would have been made a moment ago, too.
const BATCH_MAX: usize = 1024;

/// Set for the children that count allocations: they shall not start children of their own.
const COUNTING: &str = "STEP_BENCH_COUNTING";

fn main() -> Result<(), Box<dyn Error>> {
    divan::main();
    if is_measuring() && std::env::var_os(COUNTING).is_none() {
        print_table()?;
    }
    Ok(())
}

/// A running transfer that has room for as many chunks as anybody can measure.
struct Transfer {
    limits: Limits,
    state: State,
    chunk: Chunk<Text, Bytes>,
}

impl Transfer {
    /// Opens a transfer by a first chunk of one byte, and prepares a continuation of `bytes`.
    fn open(bytes: usize) -> Self {
        let limits = Limits::default();
        let mut chunk = Envelope {
            source_cluster_id: "prod-us".into(),
            source_database_id: "db_01".into(),
            snapshot_lsn: 42,
            total_bytes: limits.snapshot_bytes_max,
            total_crc32c: 0,
            offset: 0,
            data: Bytes::from_static(b"x"),
            done: false,
        }
        .into_chunk()
        .expect("both ids are valid");
        let opened = step(&limits, State::default(), arrived(chunk.clone()));
        chunk.offset = 1;
        *chunk.data_mut() = pseudo_random(bytes);
        let transfer = Self {
            limits,
            state: opened.state,
            chunk,
        };
        // A rejection would be measured just as well, and say nothing.
        let taken = step(
            &transfer.limits,
            transfer.state.clone(),
            arrived(transfer.chunk.clone()),
        );
        let received_bytes = match &taken.state {
            State::AwaitingChunk(AwaitingChunk { received_bytes, .. }) => Some(*received_bytes),
            State::AwaitingStart(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => None,
        };
        assert_eq!(received_bytes, transfer.chunk.end(), "the continuation is admitted");
        transfer
    }
}

fn arrived(chunk: Chunk<Text, Bytes>) -> Event<Text, Bytes> {
    Event::ChunkArrived {
        chunk,
        vacancy: Vacancy::Free,
        older_start: OlderStart::Refused,
    }
}

#[divan::bench(args = SIZES)]
fn crc_alone(bencher: Bencher<'_, '_>, bytes: usize) {
    let data = pseudo_random(bytes);
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| crc32c::crc32c_append(black_box(1), black_box(&data)));
}

/// The other well-kept crate with CRC32C in hardware: why it is not the one that is used.
#[divan::bench(args = SIZES)]
fn crc_by_crc_fast(bencher: Bencher<'_, '_>, bytes: usize) {
    let data = pseudo_random(bytes);
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, black_box(&data)));
}

#[divan::bench(args = SIZES)]
fn step_chunk(bencher: Bencher<'_, '_>, bytes: usize) {
    let transfer = Transfer::open(bytes);
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| (transfer.state.clone(), arrived(transfer.chunk.clone())))
        .bench_local_values(|(state, event)| step(&transfer.limits, state, event));
}

/// A step that does allocate: shows that an allocation would be seen.
#[divan::bench(args = [0])]
fn control_allocates(bencher: Bencher<'_, '_>, bytes: usize) {
    let transfer = Transfer::open(bytes);
    bencher
        .with_inputs(|| (transfer.state.clone(), arrived(transfer.chunk.clone())))
        .bench_local_values(|(state, event)| Box::new(step(&transfer.limits, state, event)));
}

/// One line of the table; what a round measured is compared within the round.
struct Line {
    bytes: usize,
    crc_ns: Sample,
    step_ns: Sample,
    more_ns: Sample,
    ratio: Sample,
}

fn print_table() -> Result<(), Box<dyn Error>> {
    let lines = SIZES.map(measure);
    let allocates = allocations_seen("step_chunk")?;
    let control = allocations_seen("control_allocates")?;
    let allocations = match (control, allocates) {
        (false, _) => "unknown",
        (true, false) => "0",
        (true, true) => "some",
    };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nA step beside its checksum: medians of {ROUNDS} rounds in turn\n"
    )?;
    writeln!(
        out,
        "   chunk  bare CRC ns    step ns  more ns  step/CRC  middle half    allocations"
    )?;
    for line in &lines {
        // The checksum of nothing takes next to no time: its multiple says nothing.
        let ratios = if line.bytes == 0 {
            format!("{:>8}  {:^13}", "-", "-")
        } else {
            let (low, high) = (line.ratio.quantile(1, 4), line.ratio.quantile(3, 4));
            format!("{:>8.3}  {low:.3} - {high:.3}", line.ratio.median())
        };
        writeln!(
            out,
            "{:>8} {:>12.1} {:>10.1} {:>8.1}  {ratios}  {allocations:>11}",
            size_name(line.bytes),
            line.crc_ns.median(),
            line.step_ns.median(),
            line.more_ns.median(),
        )?;
    }
    writeln!(out)?;
    for line in lines.iter().filter(|line| line.bytes == AIM_SIZE) {
        let (size, ratio) = (size_name(line.bytes), line.ratio.median());
        let verdict = if ratio <= AIM_RATIO { "aim met" } else { "aim missed" };
        writeln!(
            out,
            "{verdict}: a step of {size} takes {ratio:.3} times its checksum, at most {AIM_RATIO} is the aim"
        )?;
    }
    match (control, allocates) {
        (false, _) => writeln!(
            out,
            "not judged: allocations (the control, which allocates, shows none)"
        )?,
        (true, false) => writeln!(out, "aim met: no step allocates")?,
        (true, true) => writeln!(out, "aim missed: a step allocates; see `alloc:` above")?,
    }
    Ok(())
}

/// Times both in turn.
fn measure(bytes: usize) -> Line {
    let transfer = Transfer::open(bytes);
    let batch = batch_length(&transfer);
    // The first round warms caches and predictors, and does not count.
    let rounds: Vec<(f64, f64)> = (0..=ROUNDS)
        .map(|round| {
            // Who comes first changes, so that neither always finds the other's caches.
            let (crc, steps) = if round.is_multiple_of(2) {
                let crc = time_crc(&transfer, batch);
                (crc, time_steps(&transfer, batch))
            } else {
                let steps = time_steps(&transfer, batch);
                (time_crc(&transfer, batch), steps)
            };
            (nanoseconds_each(crc, batch), nanoseconds_each(steps, batch))
        })
        .skip(1)
        .collect();
    Line {
        bytes,
        crc_ns: rounds.iter().map(|(crc, _)| *crc).collect(),
        step_ns: rounds.iter().map(|(_, step)| *step).collect(),
        more_ns: rounds.iter().map(|(crc, step)| step - crc).collect(),
        ratio: rounds.iter().map(|(crc, step)| step / crc).collect(),
    }
}

fn nanoseconds_each(time: Duration, batch: usize) -> f64 {
    // A batch has at most `BATCH_MAX` elements, which an f64 holds exactly.
    time.as_secs_f64() * 1e9 / batch as f64
}

/// How many steps take about [`BATCH_TIME`].
fn batch_length(transfer: &Transfer) -> usize {
    let mut batch = 1;
    while batch < BATCH_MAX && time_steps(transfer, batch) < BATCH_TIME {
        batch *= 2;
    }
    batch
}

fn time_crc(transfer: &Transfer, batch: usize) -> Duration {
    let data = transfer.chunk.data();
    let started = Instant::now();
    let mut crc = 1;
    for _ in 0..batch {
        // Each needs the one before, as a transfer's chunks do.
        crc = crc32c::crc32c_append(crc, black_box(data));
    }
    black_box(crc);
    started.elapsed()
}

/// A transfer's chunks, one after the other; what each step returned is dropped in its time.
fn time_steps(transfer: &Transfer, batch: usize) -> Duration {
    let mut chunk = transfer.chunk.clone();
    let mut events = Vec::with_capacity(batch);
    for _ in 0..batch {
        events.push(arrived(chunk.clone()));
        chunk.offset += chunk.length();
    }
    let mut state = transfer.state.clone();
    // Drained, so that freeing the memory of the inputs is not in the time.
    let started = Instant::now();
    for event in events.drain(..) {
        let next: Step<_, _, _> = step(&transfer.limits, state, black_box(event));
        black_box(&next.effects);
        state = next.state;
    }
    black_box(&state);
    started.elapsed()
}

/// Whether divan sees the benchmark allocate. Divan tells that to its output and to nobody else,
/// and a counter of our own would need `unsafe`: so a child runs that benchmark, and its output
/// is searched.
fn allocations_seen(benchmark: &str) -> Result<bool, Box<dyn Error>> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--bench", "--color=never", "--sample-count=10", benchmark])
        .env(COUNTING, "1")
        .output()?;
    let output = String::from_utf8(child.stdout)?;
    if !child.status.success() || !output.contains(benchmark) {
        return Err(format!("the count of {benchmark} failed ({}): {output}", child.status).into());
    }
    Ok(output.contains("alloc:") || output.contains("grow:"))
}
