//! Who receives, and how: each of them takes one whole snapshot into a fresh directory.
//!
//! Guarantees: what was timed was committed; the phases are those that `main.rs` describes. Refuses
//! to know: rounds, medians, tables.

use std::convert::Infallible;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use snapshot_receiver::protocol::Text;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, ReceiveError, Receiver, SnapshotReceiver};
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

use crate::Outcome;
use crate::support::{MIB, Sample};

/// For the median of a time that the scheduler makes vary.
const HOPS: usize = 2000;

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Naive,
    Sync,
    AsyncCurrentThread,
    AsyncMultiThread,
    Stream,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Plain,
        Self::Naive,
        Self::Sync,
        Self::AsyncCurrentThread,
        Self::AsyncMultiThread,
        Self::Stream,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain loop",
            Self::Naive => "naive",
            Self::Sync => "sync",
            Self::AsyncCurrentThread => "async, 1 thread",
            Self::AsyncMultiThread => "async, threads",
            Self::Stream => "stream",
        }
    }

    pub(crate) fn key(self) -> &'static str {
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

pub(crate) fn current_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().build()
}

fn multi_thread() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).build()
}

/// What is received. Clones share the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) payload: Bytes,
    crc32c: u32,
    pub(crate) chunk_bytes: usize,
    cluster: Text,
    database: Text,
}

impl Snapshot {
    pub(crate) fn new(payload: Bytes, chunk_bytes: usize) -> Self {
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
pub(crate) struct Times {
    pub(crate) data: Duration,
    pub(crate) end: Duration,
}

impl Times {
    pub(crate) fn whole(self) -> Duration {
        self.data + self.end
    }
}

/// Receives one snapshot into a fresh directory below `parent`.
pub(crate) fn run(kind: Kind, parent: &Path, snapshot: &Snapshot) -> Outcome<Times> {
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
    ended(receiver, &snapshot, started.elapsed()).await
}

async fn receive_async(directory: PathBuf, snapshot: Snapshot) -> Outcome<Times> {
    let receiver = SnapshotReceiver::open(directory, Options::default()).await?;
    let started = Instant::now();
    for chunk in snapshot.chunks() {
        receiver.handle_chunk(chunk).await?;
    }
    ended(receiver, &snapshot, started.elapsed()).await
}

/// The last chunk, after the others took so long.
async fn ended(receiver: SnapshotReceiver, snapshot: &Snapshot, data: Duration) -> Outcome<Times> {
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

/// How long `dd` takes to write as many bytes to the same file system and to sync them; `None` where
/// there is no such program.
pub(crate) fn dd(parent: &Path, bytes: usize) -> Outcome<Option<Duration>> {
    let directory = tempfile::Builder::new().prefix("receive-bench-").tempdir_in(parent)?;
    let mut command = Command::new("dd");
    command
        .args(["if=/dev/zero", "bs=1M", "conv=fsync"])
        .arg(format!("of={}", directory.path().join("file").display()))
        .arg(format!("count={}", bytes.div_ceil(MIB)))
        .stderr(Stdio::null());
    let started = Instant::now();
    let took = match command.status() {
        Ok(status) if status.success() => Some(started.elapsed()),
        Ok(status) => return Err(format!("dd: {status}").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    directory.close()?;
    File::open(parent)?.sync_all()?;
    Ok(took)
}

/// Microseconds of a hop to the runtime's blocking pool and back that does nothing: what the naive
/// design pays for every operation.
pub(crate) fn hop(runtime: &Runtime) -> Outcome<f64> {
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
