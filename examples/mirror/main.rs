//! Mirrors a file: a source sends it in chunks over TCP, a `SnapshotReceiver` verifies it and
//! publishes it.
//!
//! ```text
//! cargo run --release --example mirror -- FILE DATA_DIR
//! ```
//!
//! What a broken link, a flipped bit and a restart of the receiver do:
//!
//! ```text
//! ... -- FILE DATA_DIR --drop-after 3000000
//! ... -- FILE DATA_DIR --corrupt-byte 1234567
//! ... -- FILE DATA_DIR --restart-at 3000000
//! ```
//!
//! In two processes; the receiver prints its address as its first line:
//!
//! ```text
//! ... -- receive DATA_DIR --once
//! ... -- send FILE 127.0.0.1:PORT
//! ```
//!
//! Kill the receiver with SIGKILL in the middle and start it again on the same address: the partial
//! it left behind is removed, and the source starts again.
//!
//! | file | what it holds |
//! |---|---|
//! | `main` | which sides run, and what is printed in the end |
//! | `cli` | the command line |
//! | `source` | the conversation as a source has it: it follows the replies |
//! | `snapshot` | the file: its checksum, its chunks, and whether it stays the same |
//! | `receiver` | frames to chunks, outcomes to replies, a task for each connection |
//! | `link` | frames, and replies as text |
//! | `display` | the progress bar, and lines that do not tear it |
//!
//! Guarantees: success is only what the receiver committed, so complete, verified and durable; what
//! was committed is what the file held when its checksum was taken; each side holds a few chunks in
//! memory and never the file. Refuses to know: who the other side is (nothing is authenticated or
//! encrypted: keep it on a network that you trust), and what a snapshot contains.
//!
//! Exit codes: 0 committed, 2 usage, 1 anything else.

mod cli;
mod display;
mod link;
mod receiver;
mod snapshot;
mod source;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::HumanCount;
use snapshot_receiver::protocol::Identity;
use snapshot_receiver::{Options, Progress};
use tokio::signal::ctrl_c;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use cli::{Cli, Command, MirrorArgs, ReceiveArgs, SendArgs, SourceArgs};
use display::Display;
use receiver::{Commit, Server, ServerError};
use snapshot::{Snapshot, SnapshotError};
use source::{Faults, SendError, Sent, Source};

#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error("{0}\n\nFor more information, try '--help'.")]
    Usage(String),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("cannot write to stdout: {0}")]
    Output(#[source] io::Error),
    #[error("cannot wait for ctrl-c: {0}")]
    Signal(#[source] io::Error),
    #[error("interrupted before a commit")]
    Interrupted,
}

impl MirrorError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Snapshot(_)
            | Self::Send(_)
            | Self::Server(_)
            | Self::Output(_)
            | Self::Signal(_)
            | Self::Interrupted => ExitCode::FAILURE,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let display = Display::new();
    let result = match cli.command {
        Some(Command::Receive(args)) => receive(args, &display).await,
        Some(Command::Send(args)) => send(args, &display).await,
        None => mirror(cli.mirror, &display).await,
    };
    display.clear();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            display.say(format_args!("error: {error}"));
            error.exit_code()
        }
    }
}

/// Both sides in one process, with a real connection between them.
async fn mirror(args: MirrorArgs, display: &Display) -> Result<(), MirrorError> {
    let (Some(file), Some(data_dir)) = (args.file, args.data_dir) else {
        return Err(MirrorError::Usage("FILE and DATA_DIR are missing".to_owned()));
    };
    let snapshot = Snapshot::open(&file).await?;
    check_faults(&args.source, args.restart_at, snapshot.total_bytes())?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (commits, _untold) = mpsc::unbounded_channel();
    let options = Options::default();
    let server = Server::open(&data_dir, options, loopback, args.restart_at, commits, display).await?;
    let address = server.address();
    let result = tokio::select! {
        result = send_snapshot(snapshot, &file, address, args.source, display) => result,
        never = server.serve() => match never {},
        signal = ctrl_c() => Err(signal.map_or_else(MirrorError::Signal, |()| MirrorError::Interrupted)),
    };
    let closed = server.close().await;
    print_summary(&result?, display).map_err(MirrorError::Output)?;
    Ok(closed?)
}

async fn send(args: SendArgs, display: &Display) -> Result<(), MirrorError> {
    let snapshot = Snapshot::open(&args.file).await?;
    check_faults(&args.source, None, snapshot.total_bytes())?;
    let summary = send_snapshot(snapshot, &args.file, args.address, args.source, display).await?;
    print_summary(&summary, display).map_err(MirrorError::Output)
}

async fn receive(args: ReceiveArgs, display: &Display) -> Result<(), MirrorError> {
    let (commits, mut committed) = mpsc::unbounded_channel();
    let bar = display.clone();
    let options = Options::default().on_progress(move |database, progress| match progress {
        Progress::Bootstrapping {
            bytes_done,
            bytes_total,
        } => bar.show(database.as_str(), bytes_done, bytes_total),
        Progress::Following => bar.clear(),
    });
    let server = Server::open(&args.data_dir, options, args.listen, None, commits, display).await?;
    let address = server.address();
    display.print(address).map_err(MirrorError::Output)?;
    if !address.ip().is_loopback() {
        display.say("receiver: whoever reaches this address can replace snapshots: nothing is authenticated");
    }
    let mut any = false;
    let result = tokio::select! {
        result = announce(&mut committed, args.once, &mut any, display) => result.map_err(MirrorError::Output),
        never = server.serve() => match never {},
        signal = ctrl_c() => match signal {
            Ok(()) if any => Ok(()),
            Ok(()) => Err(MirrorError::Interrupted),
            Err(error) => Err(MirrorError::Signal(error)),
        },
    };
    let closed = server.close().await;
    result?;
    Ok(closed?)
}

/// Prints each commit; returns after the first if that is all that is wanted.
async fn announce(
    commits: &mut UnboundedReceiver<Commit>,
    once: bool,
    any: &mut bool,
    display: &Display,
) -> io::Result<()> {
    while let Some(commit) = commits.recv().await {
        *any = true;
        display.print(&commit)?;
        // Where the reply was lost, the source comes back for it.
        if once && commit.is_heard {
            break;
        }
    }
    Ok(())
}

struct Summary {
    sent: Sent,
    total_bytes: u64,
    total_crc32c: u32,
    time: Duration,
}

async fn send_snapshot(
    snapshot: Snapshot,
    path: &Path,
    address: SocketAddr,
    args: SourceArgs,
    display: &Display,
) -> Result<Summary, MirrorError> {
    let total_bytes = snapshot.total_bytes();
    let total_crc32c = snapshot.checksum(display).await?;
    let identity = Identity {
        database: args.database_or_default(path),
        cluster: args.cluster,
        snapshot_lsn: args.lsn,
        total_bytes,
        total_crc32c,
    };
    let faults = Faults {
        drop_after: args.drop_after,
        corrupt_byte: args.corrupt_byte,
    };
    let begun = Instant::now();
    let mut source = Source::new(snapshot, identity, address, args.chunk_bytes, faults, display);
    let sent = source.send().await?;
    Ok(Summary {
        sent,
        total_bytes,
        total_crc32c,
        time: begun.elapsed(),
    })
}

/// A fault beyond the file would never happen, and show nothing.
fn check_faults(source: &SourceArgs, restart_at: Option<u64>, total_bytes: u64) -> Result<(), MirrorError> {
    let check = |flag: &str, asked: Option<u64>, end: u64| match asked {
        Some(asked) if asked >= end => Err(MirrorError::Usage(format!(
            "{flag} {} is beyond the file, which has {} bytes",
            HumanCount(asked),
            HumanCount(total_bytes),
        ))),
        Some(_) | None => Ok(()),
    };
    check("--drop-after", source.drop_after, total_bytes.saturating_add(1))?;
    check("--restart-at", restart_at, total_bytes.saturating_add(1))?;
    // One less: there has to be a byte at this offset.
    check("--corrupt-byte", source.corrupt_byte, total_bytes)
}

fn print_summary(summary: &Summary, display: &Display) -> io::Result<()> {
    display.clear();
    let seconds = summary.time.as_secs_f64();
    let megabytes = summary.total_bytes as f64 / 1e6;
    display.print(format_args!(
        "path        {}\n\
         bytes       {}\n\
         crc32c      {:08x}\n\
         throughput  {:.1} MB/s ({seconds:.3} s)",
        summary.sent.path,
        HumanCount(summary.total_bytes),
        summary.total_crc32c,
        megabytes / seconds.max(f64::MIN_POSITIVE),
    ))
}
