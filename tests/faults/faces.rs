//! Failing calls through the async faces: chunk by chunk and as a stream, by the receiver's own workers, which
//! join small chunks into larger writes and compute checksums ahead.
//!
//! Guarantees: whatever call fails, at whatever position, with whatever error: it is told, nothing follows it
//! but the removal, nothing is left, and the next transfer commits; without a failure the calls are those of a
//! transfer, in order, before `Committed`. Refuses to know: in what pieces the faces write.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use futures_util::stream;
use snapshot_receiver::executor::{Directory, FileSystem};
use snapshot_receiver::tokio::StreamError;
use snapshot_receiver::{ChunkOutcome, Options, ReceiveError, SnapshotReceiver};
use tokio::runtime::{Builder, Runtime};

use crate::failing_calls::{CAUSES, clause_of, extents, is_final, is_told};
use crate::flaw::Flaw;
use crate::log::{Call, Entry, Injected, Log, Outcome};
use crate::place::{descriptors_below, memory_directory};
use crate::seam::{Files, Seam};
use crate::subject::{Checked, Violation, holds, passes};
use crate::support::{Source, names, snapshot};

/// How the chunks are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Chunks,
    Stream,
}

/// A receiver for tasks, on a runtime of one thread: its workers are threads of its own.
struct Tasks {
    runtime: Runtime,
    receiver: SnapshotReceiver<Seam>,
    log: Log,
    source: Source,
}

impl Tasks {
    fn open(flaw: Option<Flaw>, data_dir: &Path) -> Self {
        let log = Log::default();
        let files = FileSystem::open(data_dir).expect("opens");
        let seam = Seam::new(Files::Shipped(files), data_dir, flaw, log.clone());
        let options = Options::default().idle_timeout(None);
        Self {
            runtime: Builder::new_current_thread().build().expect("a runtime"),
            receiver: SnapshotReceiver::with_storage(seam, data_dir, options).expect("opens"),
            log,
            source: Source::new("db", 1, "abcdefghijkl"),
        }
    }

    fn send(&self, face: Face) -> Result<ChunkOutcome, ReceiveError> {
        let length = self.source.bytes.len();
        let chunks = (0..length)
            .step_by(3)
            .map(|from| self.source.chunk(from, from + 3, from + 3 == length));
        self.runtime.block_on(async {
            match face {
                Face::Chunks => {
                    let mut told = Err(ReceiveError::Closed);
                    for chunk in chunks {
                        told = self.receiver.handle_chunk(chunk).await;
                        if told.is_err() {
                            break;
                        }
                    }
                    told
                }
                Face::Stream => {
                    let chunks = stream::iter(chunks.map(Ok::<_, Infallible>));
                    match self.receiver.receive(chunks).await {
                        Ok(outcome) => Ok(outcome),
                        Err(StreamError::Receive(error)) => Err(error),
                        Err(error) => panic!("the stream is neither empty nor broken: {error}"),
                    }
                }
            }
        })
    }
}

/// Every call fails, up to the last that there is.
pub(crate) fn check(flaw: Option<Flaw>) -> Checked {
    let mut cases = 0;
    for face in [Face::Chunks, Face::Stream] {
        let dir = memory_directory();
        let calls = undisturbed(&Tasks::open(flaw, dir.path()), face)?;
        for (after, call) in calls.iter().enumerate() {
            for cause in CAUSES {
                for extent in extents(matches!(call, Call::Write { .. })).iter().copied() {
                    let dir = memory_directory();
                    let injected = Injected { cause, extent };
                    let tasks = Tasks::open(flaw, dir.path());
                    one_call_fails(&tasks, dir.path(), face, after, injected).map_err(|violation| Violation {
                        what: format!("{face:?}, call {after}, {injected:?}: {}", violation.what),
                        ..violation
                    })?;
                    cases += 1;
                }
            }
        }
    }
    Ok(cases)
}

/// A create, writes one behind the other, a sync, a rename, a sync of the directory; then the answer.
fn undisturbed(tasks: &Tasks, face: Face) -> Result<Vec<Call>, Violation> {
    tasks.log.take();
    let told = tasks.send(face);
    holds(matches!(told, Ok(ChunkOutcome::Committed { .. })), "SR-LIV-001", || {
        format!("{face:?}: {told:?}")
    })?;
    let log = tasks.log.take();
    let mut calls: Vec<Call> = Vec::new();
    for entry in log {
        if let Entry::Call(call, outcome) = entry {
            holds(outcome == Outcome::Done, "SR-ERR-001", || format!("{call:?} failed"))?;
            calls.push(call);
        }
    }
    let mut written: Vec<u8> = Vec::new();
    let mut order = String::new();
    for call in &calls {
        match call {
            Call::Write { offset, data, .. } if *offset == written.len() as u64 => {
                written.extend(data);
                order += if order.ends_with('w') { "" } else { "w" };
            }
            Call::Create(_) => order.push('c'),
            Call::Sync(_) => order.push('s'),
            Call::Publish(_) => order.push('p'),
            Call::SyncDirectory(Directory::Receive) => order.push('d'),
            Call::Write { .. }
            | Call::SyncDirectory(Directory::Data | Directory::Parent)
            | Call::Remove(_)
            | Call::List
            | Call::UnlinkSnapshot(_)
            | Call::SyncSnapshot(_) => order.push('?'),
        }
    }
    let is_whole = order == "cwspd" && written == tasks.source.bytes;
    holds(is_whole, "SR-PUB-001", || format!("{face:?}: {calls:?}"))?;
    Ok(calls)
}

fn one_call_fails(
    tasks: &Tasks,
    data_dir: &Path,
    face: Face,
    after: usize,
    injected: Injected,
) -> Result<(), Violation> {
    let descriptors = descriptors_below(data_dir);
    tasks.log.take();
    tasks.log.arm(after, injected);
    let told = tasks.send(face);
    let fired = tasks.log.disarm();
    let name = fired.first().copied().unwrap_or("no call at all");
    let is_right = matches!(
        &told,
        Err(ReceiveError::Storage { operation, source, removal_failed: None })
            if operation.name() == name && is_told(source, injected.cause)
    );
    holds(is_right, clause_of(name, injected), || {
        format!("{name} failed, and the answer was {told:?}")
    })?;
    let log = tasks.log.take();
    holds(is_final(&log), "SR-ERR-002", || {
        format!("something was done again: {log:?}")
    })?;
    let left: Vec<String> = names(data_dir);
    let left: Vec<&String> = left.iter().filter(|name| name.ends_with(".partial")).collect();
    holds(left.is_empty(), "SR-ERR-001", || format!("{left:?} is left"))?;
    let visible = fs::read(snapshot(data_dir, "db")).ok();
    let may_be = visible.is_none() || (name == "publish" || name == "sync_directory");
    holds(may_be, "SR-PUB-002", || format!("{visible:?} is visible"))?;
    let again = tasks.send(face);
    let found = fs::read(snapshot(data_dir, "db")).ok();
    let is_there = matches!(again, Ok(ChunkOutcome::Committed { .. })) && found.as_ref() == Some(&tasks.source.bytes);
    holds(is_there, "SR-ERR-001", || {
        format!("then {again:?}, and {found:?} is there")
    })?;
    holds(descriptors_below(data_dir) == descriptors, "SR-CON-005", || {
        "a descriptor is left".to_owned()
    })
}

#[test]
fn any_call_may_fail_under_the_receivers_own_workers() {
    passes(check, "one failing call of a transfer by tasks");
}
