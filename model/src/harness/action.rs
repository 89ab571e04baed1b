//! Random actions: four bytes each, meaning something relative to what the receiver is doing.
//!
//! Guarantees: every word is an action; honest checksums come first and are then spoilt, so that
//! the checksum is no wall; smaller bytes are simpler actions, so that shrinking helps. Refuses
//! to know: who draws the bytes (proptest, a fuzzer, a file).

use std::fmt;

use snapshot_receiver::protocol::{FailureKind, ID_BYTES_MAX};

use super::memory::Fault;
use super::oracle::Oracle;
use super::{CHUNK_BYTES_MAX, SNAPSHOT_BYTES_MAX, Sent};

/// Four bytes of input.
pub type Word = [u8; 4];

/// What is done to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An envelope arrives.
    Chunk {
        /// The envelope.
        sent: Sent,
        /// Whether the caller lifts the rule against older starts.
        older_allowed: bool,
    },
    /// One database's transfer is aborted.
    Abort(String),
    /// All transfers are aborted.
    AbortAll,
    /// Idle transfers are ended, all of them.
    ExpireAll,
    /// The receiver is closed, or dropped, and opened again.
    Reopen {
        /// Whether it is closed first.
        close: bool,
    },
    /// An operation of the next action fails.
    Arm(Fault),
}

const DATABASES: [&str; 3] = ["db_0", "db_1", "db.2"];
const CLUSTERS: [&str; 2] = ["eu", "us-\u{e9}"];
const TOTALS: [u8; 6] = [6, 0, 1, 9, 16, 40];

/// The snapshot of that number: content from number and offset, checksum honest.
fn snapshot(database: &str, number: u8) -> (Sent, Vec<u8>) {
    let total = TOTALS[usize::from(number) % TOTALS.len()];
    let bytes: Vec<u8> = (0..total)
        .map(|offset| offset.wrapping_mul(7).wrapping_add(number))
        .collect();
    let sent = Sent {
        cluster: CLUSTERS[usize::from(number / 64) % 2].to_owned(),
        database: database.to_owned(),
        lsn: u64::from(number / 8 % 4),
        total: u64::from(total),
        crc: crc32c::crc32c(&bytes),
        offset: 0,
        data: Vec::new(),
        done: false,
    };
    (sent, bytes)
}

impl Action {
    /// The action that a word stands for, with the oracle's knowledge of what runs.
    #[must_use]
    pub fn from_word([kind, which, a, b]: Word, oracle: &Oracle, numbers: &mut Numbers) -> Self {
        let database = DATABASES[usize::from(which) % DATABASES.len()];
        let length = usize::from(b & 7);
        let chunk = |sent| Self::Chunk {
            sent,
            older_allowed: false,
        };
        let running = oracle.databases.get(database).and_then(|known| known.running.as_ref());
        match kind % 24 {
            0..=5 => chunk(next(database, oracle, numbers, length + 1)),
            6..=9 => {
                numbers.set(database, a);
                chunk(part(snapshot(database, a), 0, length))
            }
            10 => {
                numbers.set(database, a);
                Self::Chunk {
                    sent: part(snapshot(database, a), 0, length),
                    older_allowed: true,
                }
            }
            11 => {
                let mut sent = next(database, oracle, numbers, length + 1);
                sent.offset = sent.offset.wrapping_add(u64::from(a % 5)).wrapping_sub(2);
                chunk(sent)
            }
            12 => chunk(spoil_header(next(database, oracle, numbers, length), a)),
            13 => {
                let mut sent = next(database, oracle, numbers, length + 1);
                if let Some(byte) = sent.data.get_mut(usize::from(a) % (length + 1)) {
                    *byte ^= 1 << (a % 8);
                }
                chunk(sent)
            }
            14 => {
                let mut sent = next(database, oracle, numbers, length);
                sent.done = a % 2 == 0;
                chunk(sent)
            }
            15 => chunk(match numbers.last(database) {
                // Late, and of another snapshot: it must not be taken for the repeated one.
                Some(last) if a & 0x80 != 0 => spoil_header(last, a),
                Some(last) => last,
                None => next(database, oracle, numbers, length),
            }),
            16 => chunk(spoil_ids(next(database, oracle, numbers, length), a)),
            17 => chunk(extreme(next(database, oracle, numbers, length), a)),
            18 => Self::Abort(if a % 8 == 7 { "../evil" } else { database }.to_owned()),
            19 => match (a % 3, running) {
                (0, _) => Self::AbortAll,
                (1, Some(_)) => Self::Abort(database.to_owned()),
                _ => Self::ExpireAll,
            },
            20 => Self::Reopen { close: a % 2 == 0 },
            _ => Self::Arm(Fault {
                after: a % 6,
                kind: if b % 2 == 0 {
                    FailureKind::Other
                } else {
                    FailureKind::Full
                },
                takes_effect: b & 2 == 2,
            }),
        }
    }
}

/// Which snapshot each database is being sent, and the last chunk sent: a source's memory.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    current: [u8; DATABASES.len()],
    last: [Option<Sent>; DATABASES.len()],
}

impl Numbers {
    fn index(database: &str) -> usize {
        DATABASES
            .iter()
            .position(|known| *known == database)
            .unwrap_or_default()
    }

    fn set(&mut self, database: &str, number: u8) {
        self.current[Self::index(database)] = number;
    }

    fn last(&self, database: &str) -> Option<Sent> {
        self.last[Self::index(database)].clone()
    }

    /// Remembers a final chunk, to send it again.
    pub fn note(&mut self, sent: &Sent) {
        if sent.done && DATABASES.contains(&sent.database.as_str()) {
            self.last[Self::index(&sent.database)] = Some(sent.clone());
        }
    }
}

/// The chunk that the source of the running transfer sends next, or a start where none runs.
fn next(database: &str, oracle: &Oracle, numbers: &Numbers, length: usize) -> Sent {
    let number = numbers.current[Numbers::index(database)];
    let running = oracle.databases.get(database).and_then(|known| known.running.as_ref());
    let offset = running.map_or(0, |(_, bytes)| bytes.len());
    part(snapshot(database, number), offset, length)
}

fn part((header, bytes): (Sent, Vec<u8>), offset: usize, length: usize) -> Sent {
    let start = offset.min(bytes.len());
    let end = (start + length).min(bytes.len());
    Sent {
        offset: offset as u64,
        data: bytes[start..end].to_vec(),
        done: end == bytes.len(),
        ..header
    }
}

fn spoil_header(mut sent: Sent, which: u8) -> Sent {
    match which % 4 {
        0 => sent.cluster.push('x'),
        1 => sent.lsn ^= 1,
        2 => sent.total ^= 1,
        _ => sent.crc ^= 1,
    }
    sent
}

fn spoil_ids(mut sent: Sent, which: u8) -> Sent {
    let evil = ["", ".hidden", "../../evil", "a/b", "nul\0", "\u{ff41}b", "a b", "/abs"];
    match which % 12 {
        8 => sent.database = "d".repeat(ID_BYTES_MAX + 1),
        9 => sent.cluster = String::new(),
        10 => sent.cluster = "c".repeat(ID_BYTES_MAX + 1),
        11 => (sent.database, sent.cluster) = (String::new(), String::new()),
        id => sent.database = evil[usize::from(id)].to_owned(),
    }
    sent
}

fn extreme(mut sent: Sent, which: u8) -> Sent {
    match which % 6 {
        0 => sent.offset = u64::MAX,
        1 => sent.offset = u64::MAX - 1,
        2 => (sent.offset, sent.total) = (0, u64::MAX),
        3 => (sent.offset, sent.total) = (0, SNAPSHOT_BYTES_MAX + 1),
        4 => sent.data = vec![b'x'; CHUNK_BYTES_MAX + 1],
        _ => sent.data.extend([0; CHUNK_BYTES_MAX]),
    }
    sent
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk { sent, older_allowed } => {
                let done = if sent.done { ", done" } else { "" };
                let older = if *older_allowed { ", older allowed" } else { "" };
                write!(
                    f,
                    "chunk of {:?} from {:?}, LSN {}, total {}, CRC {:#010x}: \"{}\" at {}{done}{older}",
                    sent.database,
                    sent.cluster,
                    sent.lsn,
                    sent.total,
                    sent.crc,
                    sent.data.escape_ascii(),
                    sent.offset,
                )
            }
            Self::Abort(database) => write!(f, "abort of {database:?}"),
            Self::AbortAll => f.write_str("abort of all"),
            Self::ExpireAll => f.write_str("all transfers idle for too long"),
            Self::Reopen { close: true } => f.write_str("closed and opened again"),
            Self::Reopen { close: false } => f.write_str("dropped and opened again"),
            Self::Arm(fault) => {
                let effect = if fault.takes_effect {
                    ", though it takes effect"
                } else {
                    ""
                };
                write!(
                    f,
                    "of the next call, operation {} fails ({}){effect}",
                    fault.after, fault.kind
                )
            }
        }
    }
}
