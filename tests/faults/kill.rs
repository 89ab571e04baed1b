//! Kill: a receiver process fed over a socket, killed by SIGKILL while it works, started again on the same
//! directory, over and over.
//!
//! Guarantees: nothing acknowledged is lost, what is visible is whole, no partial outlives the next
//! opening, and the process that follows needs no more memory and no more descriptors. The source sends
//! without waiting for answers, and never ends its last transfer, so that the kill falls into work; some
//! fall into the opening. The process receives by threads or by tasks. Refuses to know: power loss; the kernel
//! keeps what a killed process wrote.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use bytes::Bytes;
use snapshot_receiver::executor::FileSystem;
use snapshot_receiver::{ChunkOutcome, Envelope, Options, ReceiveError, SnapshotReceiver, wire};
use tokio::runtime::Builder;

use crate::child::{command, is_part};
use crate::flaw::Flaw;
use crate::log::Log;
use crate::place::{draws, memory_directory, number_from, resident_bytes, say};
use crate::seam::{Files, Seam};
use crate::subject::{Checked, Subject, Violation, holds};
use crate::support::{Source, names, snapshot};

/// Overrides how often the receiver is killed.
const KILLS: &str = "KILLS";
const DATA_DIR: &str = "FAULTS_TEST_DATA_DIR";
/// Which face a process has.
const FACE: &str = "FAULTS_TEST_FACE";
const TEST: &str = "kill::a_receiver_killed_at_any_moment_loses_nothing_acknowledged_and_shows_nothing_torn";
const PART: &str = "a receiver to be killed";

/// A wedged process fails the test rather than hanging it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a process may need more than the one before it.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

const DATABASES: [&str; 2] = ["left", "right"];
const CHUNK: usize = 4096;

/// The content of a snapshot: told from every other.
fn content(database: &str, lsn: u64) -> Vec<u8> {
    let length = usize::try_from(lsn * 7919 % 30_000).expect("small");
    let tag = format!("{database} at {lsn}: ");
    tag.bytes().cycle().take(tag.len() + length).collect()
}

/// The LSN that a content says it is of.
fn tagged(database: &str, content: &[u8]) -> Option<u64> {
    let text = content.strip_prefix(format!("{database} at ").as_bytes())?;
    let digits = text.split(|byte| *byte == b':').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Chunks of a transfer that never ends, behind all others: whenever the kill falls, a transfer runs. They
/// are more than what the kernel is asked to write back at once.
const ENDLESS_CHUNKS: usize = 160;
const ENDLESS_CHUNK: usize = 64 << 10;

// --- The receiver's process -------------------------------------------------------------------

/// By which face a process receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Threads,
    /// By the receiver's own workers.
    Tasks,
}

impl Face {
    const fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Tasks => "tasks",
        }
    }
}

type Answer = Result<ChunkOutcome, ReceiveError>;

/// Opens a receiver of that face; what it answers to an envelope.
fn receiver(flaw: Option<Flaw>, data_dir: &Path, face: Face) -> Box<dyn FnMut(Envelope<Vec<u8>>) -> Answer> {
    let options = Options::default().idle_timeout(None);
    match face {
        Face::Threads => {
            let subject = Subject::open(flaw, data_dir, &Log::silent(), options).expect("opens");
            Box::new(move |envelope| subject.handle_chunk(envelope))
        }
        Face::Tasks => {
            let files = FileSystem::open(data_dir).expect("opens");
            let seam = Seam::new(Files::Shipped(files), data_dir, flaw, Log::silent());
            let receiver = SnapshotReceiver::with_storage(seam, data_dir, options).expect("opens");
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            Box::new(move |envelope| runtime.block_on(receiver.handle_chunk(envelope)))
        }
    }
}

/// Opens a receiver, says where it listens, and answers each frame with a line, in order.
fn serve() {
    let data_dir: PathBuf = std::env::var_os(DATA_DIR).expect("given by the parent").into();
    let is_tasks = std::env::var(FACE).is_ok_and(|face| face == Face::Tasks.name());
    let face = if is_tasks { Face::Tasks } else { Face::Threads };
    let mut handle = receiver(crate::child::flaw(), &data_dir, face);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    println!("\nlistening {}", listener.local_addr().expect("bound").port());
    let (stream, _) = listener.accept().expect("the source");
    let mut from = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut to = stream;
    while let Some(frame) = next_frame(&mut from) {
        let line = if frame.is_empty() {
            let descriptors = fs::read_dir("/proc/self/fd").expect("Linux").count();
            format!("needs {descriptors} {}", resident_bytes())
        } else {
            answer_to(&mut handle, &frame)
        };
        if to.write_all(format!("{line}\n").as_bytes()).is_err() {
            break;
        }
    }
}

fn answer_to(handle: &mut impl FnMut(Envelope<Vec<u8>>) -> Answer, frame: &Bytes) -> String {
    let envelope = wire::decode(frame).expect("an envelope");
    let database = envelope.source_database_id.to_string();
    let answer = handle(Envelope {
        source_cluster_id: envelope.source_cluster_id,
        source_database_id: envelope.source_database_id,
        snapshot_lsn: envelope.snapshot_lsn,
        total_bytes: envelope.total_bytes,
        total_crc32c: envelope.total_crc32c,
        offset: envelope.offset,
        data: envelope.data.to_vec(),
        done: envelope.done,
    });
    match answer {
        Ok(ChunkOutcome::Committed { snapshot_lsn, .. }) => format!("committed {database} {snapshot_lsn}"),
        Ok(ChunkOutcome::Pending { bytes_done }) => format!("pending {database} {bytes_done}"),
        Err(ReceiveError::Rejected { rejection, .. }) => format!("rejected {database} {rejection}"),
        Err(error) => format!("failed {database} {error}"),
    }
}

fn next_frame(from: &mut impl Read) -> Option<Bytes> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
    from.read_exact(&mut frame).ok()?;
    Some(frame.into())
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("short").to_be_bytes();
    [&length, frame].concat()
}

// --- The source's side ------------------------------------------------------------------------

/// A whole line, or nothing: what a kill cut off is no answer.
fn next_line(from: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    line.strip_suffix('\n').map(str::to_owned)
}

/// A running receiver; killed when it goes.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _killed = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Process {
    fn spawn(flaw: Option<Flaw>, data_dir: &Path, face: Face) -> Self {
        let mut child = command(&[], TEST, PART, flaw);
        let child = child
            .env(DATA_DIR, data_dir)
            .env(FACE, face.name())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Self(child.spawn().expect("the receiver starts"))
    }

    fn start(flaw: Option<Flaw>, data_dir: &Path, face: Face) -> (Self, TcpStream) {
        let mut process = Self::spawn(flaw, data_dir, face);
        let said = BufReader::new(process.0.stdout.take().expect("piped"));
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening ")?.parse().ok());
        let port: u16 = port.expect("it says where it listens");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        (process, stream)
    }
}

/// What is known of one database: the last snapshot acknowledged, and the last whose end was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: Option<u64>,
    sent: u64,
}

/// A frame, and which snapshot of which database it ends.
type Frame = (Vec<u8>, Option<(&'static str, u64)>);

struct Feeding {
    known: BTreeMap<&'static str, Known>,
    next_lsn: u64,
}

impl Feeding {
    /// Frames of one snapshot for each database, chunk by chunk in turn.
    fn frames(&mut self) -> Vec<Frame> {
        self.next_lsn += 1;
        let lsn = self.next_lsn;
        let sources = DATABASES.map(|database| (database, Source::new(database, lsn, content(database, lsn))));
        let longest = sources.iter().map(|(_, source)| source.bytes.len()).max().unwrap_or(0);
        let mut frames = Vec::new();
        for from in (0..longest).step_by(CHUNK) {
            for (database, source) in &sources {
                let length = source.bytes.len();
                if from < length {
                    let to = length.min(from + CHUNK);
                    let frame = wire::encode(&source.chunk(from, to, to == length));
                    frames.push((framed(&frame), (to == length).then_some((*database, lsn))));
                }
            }
        }
        frames
    }

    /// Frames of the transfer that never ends.
    fn endless(&mut self) -> Vec<Frame> {
        self.next_lsn += 1;
        let database = DATABASES[usize::try_from(self.next_lsn % 2).expect("0 or 1")];
        let chunk = Source::new(database, self.next_lsn, vec![7; ENDLESS_CHUNK]).whole();
        let frames = (0..ENDLESS_CHUNKS).map(|number| Envelope {
            offset: (number * ENDLESS_CHUNK) as u64,
            total_bytes: (ENDLESS_CHUNKS * ENDLESS_CHUNK + 1) as u64,
            done: false,
            ..chunk.clone()
        });
        frames.map(|frame| (framed(&wire::encode(&frame)), None)).collect()
    }

    /// Takes an answer.
    fn hear(&mut self, line: &str) -> Result<(), Violation> {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("committed"), Some(database), Some(lsn)) => {
                let database = DATABASES
                    .into_iter()
                    .find(|known| *known == database)
                    .expect("a known one");
                self.known.entry(database).or_default().acknowledged = lsn.parse().ok();
                Ok(())
            }
            (Some("pending"), ..) => Ok(()),
            _ => holds(false, "SR-LIV-001", || {
                format!("a source in order was answered {line:?}")
            }),
        }
    }

    /// What stands on the disk, with no receiver or one just opened.
    fn judge(&self, data_dir: &Path) -> Result<(), Violation> {
        for (database, known) in &self.known {
            let found = fs::read(snapshot(data_dir, database)).ok();
            let Some(found) = found else {
                holds(known.acknowledged.is_none(), "SR-PUB-003", || {
                    format!("{database}: nothing, {known:?}")
                })?;
                continue;
            };
            let lsn = tagged(database, &found).filter(|lsn| (1..=known.sent).contains(lsn));
            let lsn = lsn.filter(|lsn| content(database, *lsn) == found);
            holds(lsn.is_some(), "SR-PUB-002", || {
                format!("{database}: {} bytes that are no snapshot, {known:?}", found.len())
            })?;
            holds(lsn >= known.acknowledged, "SR-PUB-003", || {
                format!("{database}: LSN {lsn:?}, {known:?}")
            })?;
        }
        Ok(())
    }
}

/// A short life of a receiver: killed while it starts and opens, or a little later.
fn short_life(flaw: Option<Flaw>, data_dir: &Path, feeding: &Feeding, micros: u64) -> Result<(), Violation> {
    let process = Process::spawn(flaw, data_dir, Face::Threads);
    std::thread::sleep(Duration::from_micros(micros));
    drop(process);
    feeding.judge(data_dir)
}

/// One life of a receiver: fed without waiting, killed after so many answers.
fn life(
    flaw: Option<Flaw>,
    data_dir: &Path,
    feeding: &mut Feeding,
    (face, answers): (Face, usize),
) -> Result<(), Violation> {
    let (mut process, stream) = Process::start(flaw, data_dir, face);
    let left: Vec<String> = names(data_dir)
        .into_iter()
        .filter(|name| name.ends_with(".partial"))
        .collect();
    holds(left.is_empty(), "SR-REC-001", || {
        format!("after an opening {left:?} is left")
    })?;
    feeding.judge(data_dir)?;
    let mut frames = Vec::new();
    while frames.len() <= answers + 16 {
        frames.extend(feeding.frames());
    }
    frames.extend(feeding.endless());
    for (database, lsn) in frames.iter().filter_map(|(_, ends)| *ends) {
        feeding.known.entry(database).or_default().sent = lsn;
    }
    let mut to = stream.try_clone().expect("a second handle");
    let mut from = BufReader::new(stream);
    std::thread::scope(|scope| -> Result<(), Violation> {
        scope.spawn(move || {
            for (frame, _) in frames {
                if to.write_all(&frame).is_err() {
                    break;
                }
            }
        });
        for _ in 0..answers {
            let line = next_line(&mut from).ok_or_else(|| Violation {
                clause: "SR-LIV-001",
                what: "the receiver fell silent".to_owned(),
            })?;
            feeding.hear(&line)?;
        }
        process.0.kill().expect("killed");
        process.0.wait().expect("gone");
        // What it had answered before is acknowledged too.
        std::iter::from_fn(|| next_line(&mut from)).try_for_each(|line| feeding.hear(&line))
    })?;
    feeding.judge(data_dir)
}

/// What a process needs, after so many snapshots: descriptors and memory.
fn needs(data_dir: &Path, feeding: &mut Feeding, snapshots: usize) -> Result<(u64, u64), Violation> {
    let (_process, mut stream) = Process::start(None, data_dir, Face::Threads);
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle"))
        .lines()
        .map_while(Result::ok);
    let mut next = || lines.next().unwrap_or_default();
    for _ in 0..snapshots {
        for (frame, ends) in feeding.frames() {
            stream.write_all(&frame).expect("sent");
            if let Some((database, lsn)) = ends {
                feeding.known.entry(database).or_default().sent = lsn;
            }
            feeding.hear(&next())?;
        }
    }
    stream.write_all(&framed(&[])).expect("sent");
    let line = next();
    let numbers: Vec<u64> = line.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [descriptors, bytes] => Ok((*descriptors, *bytes)),
        _ => holds(false, "SR-LIV-001", || format!("asked for its needs: {line:?}")).map(|()| (0, 0)),
    }
}

pub(crate) fn check(flaw: Option<Flaw>, kills: usize) -> Checked {
    let directory = memory_directory();
    let data_dir = directory.path();
    let known = DATABASES.map(|database| (database, Known::default()));
    let mut feeding = Feeding {
        known: known.into(),
        next_lsn: 0,
    };
    let first = if flaw.is_none() {
        Some(needs(data_dir, &mut feeding, 10)?)
    } else {
        None
    };
    let mut draw = draws(kills);
    for kill in 0..kills {
        let answers = draw(40);
        let face = if draw(2) == 0 { Face::Threads } else { Face::Tasks };
        if draw(5) == 0 {
            let micros = draw(20_000) as u64;
            short_life(flaw, data_dir, &feeding, micros)?;
            continue;
        }
        life(flaw, data_dir, &mut feeding, (face, answers)).map_err(|violation| Violation {
            what: format!("kill {kill}, after {answers} answers: {}", violation.what),
            ..violation
        })?;
    }
    if let Some((descriptors, bytes)) = first {
        let last = needs(data_dir, &mut feeding, 300)?;
        say(&format!(
            "needs of the first and the last process (descriptors, bytes): {:?} {last:?}",
            (descriptors, bytes)
        ));
        holds(last.0 == descriptors, "SR-CON-005", || {
            format!("{descriptors} descriptors, then {}", last.0)
        })?;
        holds(last.1 < bytes + GROWTH_BYTES_MAX, "SR-CON-005", || {
            format!("{bytes} bytes, then {}", last.1)
        })?;
    }
    feeding.judge(data_dir)?;
    let committed: Vec<_> = feeding.known.values().filter_map(|known| known.acknowledged).collect();
    holds(committed.len() == DATABASES.len(), "SR-LIV-001", || {
        format!("{:?}", feeding.known)
    })?;
    Ok(kills)
}

#[test]
fn a_receiver_killed_at_any_moment_loses_nothing_acknowledged_and_shows_nothing_torn() {
    if is_part(PART) {
        return serve();
    }
    let kills = number_from(KILLS, 100);
    let killed = check(None, kills).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    say(&format!("kill: {killed} times"));
}
