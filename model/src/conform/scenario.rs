//! The scenario language: a list of steps, readable and editable as JSON.
//!
//! Guarantees: what is written is read back the same; numbers above 2^53 are decimal strings, as in
//! the wire protocol. Refuses to know: what a step must be answered; that is the oracle's.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The data directory of a scenario, below its scratch directory.
pub const DATA: &str = "around/data";
/// The receive directory of a scenario, below its scratch directory.
pub const RECEIVE: &str = "around/data/recv_snapshots";

/// The path of a name in the receive directory, below the scratch directory.
#[must_use]
pub fn in_receive(name: &str) -> String {
    format!("{RECEIVE}/{name}")
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name, unique in the suite: `SR-OFF-003/gap`.
    pub name: String,
    /// The clause that it is about.
    pub clause: String,
    /// What it shows, in a phrase.
    pub about: String,
    /// Where it comes from.
    pub origin: Origin,
    /// A declared limit that it goes beyond, if it does; every other scenario stays within all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Limit>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Where a scenario comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Written for its clause.
    Written,
    /// From the model: an edge of the table.
    Model,
    /// From the model: a seeded bug's counterexample. Who passes it has not shown its clause, for it may be
    /// one that no door can see.
    Counterexample,
    /// A combination of sizes, orders, faults and restarts.
    Combined,
    /// Drawn at random.
    Random,
    /// All sequences of a small alphabet.
    Enumerated,
    /// What a fuzzer once found.
    Regression,
    /// Another one, made shorter.
    Shrunk,
}

/// A limit that an adapter may declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// `chunk_bytes_max`
    ChunkBytes,
    /// `snapshot_bytes_max`
    SnapshotBytes,
    /// `transfers_max`
    Transfers,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// `open`, in a new process where none runs.
    Open {
        /// The data directory, below the scratch directory.
        #[serde(default = "data", skip_serializing_if = "is_data")]
        data_dir: String,
    },
    /// A second process opens the same directory and must be refused.
    SecondOpen,
    /// A chunk.
    Chunk {
        /// The envelope.
        envelope: Envelope,
    },
    /// An abort of one database, or of all.
    Abort {
        /// Which; all where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        database: Option<String>,
    },
    /// `close`; the process exits.
    Close,
    /// SIGKILL.
    Kill,
    /// A chunk, and SIGKILL that long after it was sent.
    KillDuring {
        /// The envelope.
        envelope: Envelope,
        /// Microseconds.
        after_micros: u64,
    },
    /// A line that is no valid request. `{seq}` in it is the next sequence number.
    Malformed {
        /// The line.
        line: String,
    },
    /// An outsider puts something under a name.
    Place {
        /// Where, below the scratch directory.
        path: String,
        /// What.
        what: Thing,
    },
    /// An outsider takes away what stands under a name.
    TakeAway {
        /// Where, below the scratch directory.
        path: String,
    },
    /// From now on no file of the receiver may grow past this; `None` lifts it.
    FileSizeLimit {
        /// Bytes.
        bytes: Option<u64>,
    },
    /// Before the opening: the data directory is a file system of its own, of this size.
    SmallDisk {
        /// Bytes.
        bytes: u64,
    },
    /// The next call of this operation fails (Rust door only).
    FailNext {
        /// Its name: `sync`.
        operation: String,
        /// `full` or `other`.
        kind: String,
    },
    /// Idle transfers are ended (Rust door only).
    Expire,
    /// The steps inside, that many times; `{n}` in a database id counts from 0.
    Repeat {
        /// How often.
        times: u64,
        /// What.
        steps: Vec<Step>,
    },
}

impl Step {
    /// Whether only a process can be asked it: a value is neither killed, nor sent lines, nor limited
    /// without its test. Through the Rust door such a scenario is skipped.
    #[must_use]
    pub fn needs_process(&self) -> bool {
        match self {
            Self::Kill | Self::KillDuring { .. } | Self::Malformed { .. } | Self::FileSizeLimit { .. } => true,
            Self::Repeat { steps, .. } => steps.iter().any(Self::needs_process),
            Self::Open { .. }
            | Self::SecondOpen
            | Self::Chunk { .. }
            | Self::Abort { .. }
            | Self::Close
            | Self::Place { .. }
            | Self::TakeAway { .. }
            | Self::SmallDisk { .. }
            | Self::FailNext { .. }
            | Self::Expire => false,
        }
    }
}

fn data() -> String {
    DATA.to_owned()
}

fn is_data(path: &String) -> bool {
    path == DATA
}

/// What an outsider puts under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thing {
    /// A file.
    File(String),
    /// A symbolic link; the target is relative to the link, or begins with `{scratch}`.
    Link(String),
    /// Another name of a file that is there, below the scratch directory.
    HardLink(String),
    /// A directory.
    Directory,
    /// A pipe.
    Pipe,
}

/// A chunk as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Source cluster id.
    pub source_cluster_id: String,
    /// Source database id.
    pub source_database_id: String,
    /// Snapshot LSN.
    #[serde(with = "number")]
    pub snapshot_lsn: u64,
    /// Total bytes.
    #[serde(with = "number")]
    pub total_bytes: u64,
    /// Declared CRC32C.
    pub total_crc32c: u32,
    /// Offset.
    #[serde(with = "number")]
    pub offset: u64,
    /// Payload.
    pub data: Data,
    /// Whether it ends the snapshot.
    pub done: bool,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Data {
    /// These bytes; base64 in JSON.
    Bytes(#[serde(with = "base64_text")] Vec<u8>),
    /// Byte `i` is `(7 i + i / 256) mod 256`, for `from <= i < from + length`.
    Pattern {
        /// The first index.
        from: u64,
        /// How many bytes.
        length: u64,
    },
}

/// Content that tells its offset: no two places within 64 KiB look alike for long.
#[must_use]
pub fn pattern(from: u64, length: u64) -> Vec<u8> {
    (from..from + length)
        .map(|i| (i.wrapping_mul(7).wrapping_add(i / 256) & 0xff) as u8)
        .collect()
}

impl Data {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Pattern { from, length } => Cow::Owned(pattern(*from, *length)),
        }
    }

    /// How many.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Pattern { length, .. } => *length,
        }
    }
}

impl Envelope {
    /// With `{n}` and `{scratch}` in the database id filled in.
    #[must_use]
    pub fn filled(&self, n: u64, scratch: &str) -> Self {
        let mut filled = self.clone();
        filled.source_database_id = fill(&self.source_database_id, n, scratch);
        filled
    }
}

/// A text with `{n}` and `{scratch}` filled in.
#[must_use]
pub fn fill(text: &str, n: u64, scratch: &str) -> String {
    if text.contains('{') {
        text.replace("{n}", &n.to_string()).replace("{scratch}", scratch)
    } else {
        text.to_owned()
    }
}

impl Scenario {
    /// The steps with repetitions unrolled; each with its number in `steps`, from 1, and `{n}`.
    #[must_use]
    pub fn unrolled(&self) -> Vec<(usize, u64, &Step)> {
        let mut all = Vec::new();
        for (number, step) in (1..).zip(&self.steps) {
            unroll(number, 0, step, &mut all);
        }
        all
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // A scenario has only texts, numbers and lists: writing it to memory does not fail.
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("\"{error}\""))
    }
}

fn unroll<'a>(number: usize, n: u64, step: &'a Step, all: &mut Vec<(usize, u64, &'a Step)>) {
    if let Step::Repeat { times, steps } = step {
        for n in 0..*times {
            for step in steps {
                unroll(number, n, step, all);
            }
        }
    } else {
        all.push((number, n, step));
    }
}

/// Numbers as the wire protocol has them.
pub mod number {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use serde_json::Value;

    /// The largest number that every JSON reader keeps exactly.
    pub const EXACT_MAX: u64 = 1 << 53;

    /// A number, or a decimal string where it is above 2^53.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        if *number > EXACT_MAX {
            to.serialize_str(&number.to_string())
        } else {
            to.serialize_u64(*number)
        }
    }

    /// Either of both.
    ///
    /// # Errors
    /// What is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let value = Value::deserialize(from)?;
        read(&value).ok_or_else(|| D::Error::custom(format!("{value} is no unsigned 64-bit number")))
    }

    /// The number that a value says, as a number or as a decimal string.
    #[must_use]
    pub fn read(value: &Value) -> Option<u64> {
        match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As a JSON value.
    #[must_use]
    pub fn write(number: u64) -> Value {
        if number > EXACT_MAX {
            Value::String(number.to_string())
        } else {
            Value::from(number)
        }
    }
}

mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { data_dir } if data_dir == DATA => write!(f, "open"),
            Self::Open { data_dir } => write!(f, "open {data_dir}"),
            Self::SecondOpen => write!(f, "a second process opens the same directory"),
            Self::Chunk { envelope } => write!(f, "chunk {envelope}"),
            Self::Abort { database: None } => write!(f, "abort"),
            Self::Abort { database: Some(id) } => write!(f, "abort {}", shortened(id)),
            Self::Close => write!(f, "close"),
            Self::Kill => write!(f, "SIGKILL"),
            Self::KillDuring { envelope, after_micros } => {
                write!(f, "chunk {envelope}, SIGKILL {after_micros} us after it was sent")
            }
            Self::Malformed { line } => write!(f, "the line {}", shortened(line)),
            Self::Place { path, what } => write!(f, "an outsider puts {what} at {path}"),
            Self::TakeAway { path } => write!(f, "an outsider takes away {path}"),
            Self::FileSizeLimit { bytes: Some(bytes) } => write!(f, "no file may grow past {bytes} bytes"),
            Self::FileSizeLimit { bytes: None } => write!(f, "files may grow again"),
            Self::SmallDisk { bytes } => write!(f, "the data directory is a file system of {bytes} bytes"),
            Self::FailNext { operation, kind } => write!(f, "the next {operation} fails ({kind})"),
            Self::Expire => write!(f, "idle transfers expire"),
            Self::Repeat { times, steps } => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                write!(f, "{times} times: {}", steps.join("; "))
            }
        }
    }
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(text) => write!(f, "a file {text:?}"),
            Self::Link(target) => write!(f, "a symbolic link to {target}"),
            Self::HardLink(target) => write!(f, "a hard link to {target}"),
            Self::Directory => write!(f, "a directory"),
            Self::Pipe => write!(f, "a pipe"),
        }
    }
}

impl std::fmt::Display for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} of {} LSN {} total {} CRC {:#010x}: {} at {}{}",
            shortened(&self.source_database_id),
            shortened(&self.source_cluster_id),
            self.snapshot_lsn,
            self.total_bytes,
            self.total_crc32c,
            shown(&self.data.bytes()),
            self.offset,
            if self.done { ", done" } else { "" }
        )
    }
}

/// A text, cut where it is long.
#[must_use]
pub fn shortened(text: &str) -> String {
    if text.chars().count() > 60 {
        let start: String = text.chars().take(40).collect();
        format!("{start:?}... ({} bytes)", text.len())
    } else {
        format!("{text:?}")
    }
}

/// Bytes for people: as text where they are one, else their length and checksum.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let printable = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    if printable && bytes.len() <= 48 {
        format!("{:?}", String::from_utf8_lossy(bytes))
    } else {
        format!("{} bytes (CRC {:#010x})", bytes.len(), crc32c::crc32c(bytes))
    }
}
