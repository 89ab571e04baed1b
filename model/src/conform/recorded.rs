//! Trace validation: would the reference have answered as a receiver in production did?
//!
//! A recorded conversation is the kit's wire protocol in a file: a request a line, its reply on the
//! next, from an opening on, in the order in which the calls of each database were answered. Lines that
//! are empty or begin with `#` are left out.
//!
//! ```text
//! {"seq":1,"op":"open","data_dir":"/var/lib/mirror"}
//! {"seq":1,"reply":"opened"}
//! {"seq":2,"op":"chunk","envelope":{"source_cluster_id":"prod-us","source_database_id":"db_01",
//!   "snapshot_lsn":42,"total_bytes":6,"total_crc32c":2349464923,"offset":0,"data_bytes":3,
//!   "data_crc32c":3194219389,"done":false}}                                       (on one line)
//! {"seq":2,"reply":"pending","bytes_done":3}
//! ```
//!
//! `data_bytes` and `data_crc32c` may stand in place of `data`, so that a record holds no payload: bytes
//! of that length and checksum are made up, and no answer tells them from the true ones. A reply
//! `failed` is taken as a fact of the disk; what must follow from it is judged. A transfer that the
//! receiver ended because nobody continued it is recorded as `{"op":"expire","database_id":"db_01"}`,
//! answered `aborted`. An `open` is a restart.
//!
//! Guarantees: the oracle of the conformance kit, without the files; nothing recorded is no pass.
//! Refuses to know: how a conversation was recorded.

use serde_json::{Value, json};

use super::blame::{Case, Verdict, judge};
use super::calls::Armed;
use super::oracle::{Alternative, Oracle};
use super::scenario::{DATA, Data, Envelope, Step, number};
use super::talk::{About, Reply, request};
use super::tree::{Node, Tree};

/// Longest payload that is made up.
const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

/// What a recorded conversation shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated {
    /// Requests and replies that the reference explains.
    pub exchanges: usize,
    /// The first that it does not.
    pub difference: Option<Differs>,
    /// SHOULD clauses that were not kept, with the line.
    pub complaints: Vec<(usize, &'static str, String)>,
}

/// A reply that the reference would not have given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The reply's line, from 1.
    pub line: usize,
    /// What was asked.
    pub asked: String,
    /// Every answer that would be right.
    pub expected: Vec<String>,
    /// What was answered.
    pub actual: String,
    /// The clauses that it breaks.
    pub clauses: Vec<&'static str>,
}

/// Why a text is no recorded conversation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordedError {
    /// A line is not what it has to be.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// There is no request in it.
    #[error("nothing is recorded")]
    Empty,
}

/// Whether a text looks like a recorded conversation: its first line is a JSON object.
#[must_use]
pub fn is_recorded(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| line.starts_with('{'))
}

/// Asks the reference what it would have answered.
///
/// # Errors
/// [`RecordedError`] names the line.
///
/// ```
/// use snapshot_receiver_model::conform::recorded::validate;
///
/// let conversation = r#"
/// {"seq":1,"op":"open","data_dir":"/var/lib/mirror"}
/// {"seq":1,"reply":"opened"}
/// {"seq":2,"op":"chunk","envelope":{"source_cluster_id":"prod","source_database_id":"db","snapshot_lsn":42,"total_bytes":6,"total_crc32c":1,"offset":3,"data":"ZGVm","done":true}}
/// {"seq":2,"reply":"pending","bytes_done":6}
/// "#;
/// let difference = validate(conversation)?.difference.expect("no transfer runs");
/// assert_eq!(difference.clauses, ["SR-OFF-002"]);
/// # Ok::<(), snapshot_receiver_model::conform::recorded::RecordedError>(())
/// ```
pub fn validate(text: &str) -> Result<Validated, RecordedError> {
    let numbered = (1..).zip(text.lines().map(str::trim));
    let mut lines = numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut listener = Listener::new(&super::reference::about());
    let mut seen = Validated {
        exchanges: 0,
        difference: None,
        complaints: Vec::new(),
    };
    while let Some((line, asked)) = lines.next() {
        let request = object(line, asked)?;
        let Some((reply_line, told)) = lines.next() else {
            let what = "this request has no reply".to_owned();
            return Err(RecordedError::Line { line, what });
        };
        let reply = object(reply_line, told)?;
        if request["seq"] != reply["seq"] {
            let what = format!("the reply's seq is {}, the request's {}", reply["seq"], request["seq"]);
            return Err(RecordedError::Line { line: reply_line, what });
        }
        match listener.hear(line, reply_line, &request, &reply)? {
            Heard::Explained(complaints) => {
                let told = complaints.into_iter().map(|(clause, what)| (reply_line, clause, what));
                seen.complaints.extend(told);
            }
            Heard::Differs(differs) => {
                seen.difference = Some(*differs);
                return Ok(seen);
            }
        }
        seen.exchanges += 1;
    }
    if seen.exchanges == 0 {
        return Err(RecordedError::Empty);
    }
    Ok(seen)
}

/// A chunk's request without its payload, for whoever records.
#[must_use]
pub fn chunk_line(seq: u64, envelope: &Envelope) -> String {
    let mut fields = super::talk::chunk(envelope);
    if let Some(fields) = fields["envelope"].as_object_mut() {
        fields.remove("data");
        fields.insert("data_bytes".to_owned(), envelope.data.length().into());
        fields.insert("data_crc32c".to_owned(), crc32c::crc32c(&envelope.data.bytes()).into());
    }
    request(seq, "chunk", fields)
}

/// A reply's line, for whoever records.
#[must_use]
pub fn reply_line(seq: u64, reply: &Reply) -> String {
    let mut fields = reply.value();
    fields.insert("seq".to_owned(), seq.into());
    Value::Object(fields).to_string()
}

enum Heard {
    Explained(Vec<(&'static str, String)>),
    Differs(Box<Differs>),
}

struct Listener {
    oracle: Oracle,
}

impl Listener {
    fn new(about: &About) -> Self {
        let mut tree = Tree::default();
        // Where a receiver was opened, there was something to open it in.
        if let Some((around, _)) = DATA.rsplit_once('/') {
            tree.put(around, Node::Directory);
        }
        let mut oracle = Oracle::new(about, tree);
        oracle.keeps_bytes = false;
        Self { oracle }
    }

    fn hear(&mut self, line: usize, reply_line: usize, request: &Value, reply: &Value) -> Result<Heard, RecordedError> {
        let wrong = |line: usize| move |what: String| RecordedError::Line { line, what };
        let Some(op) = request["op"].as_str() else {
            return Err(wrong(line)("it has no text `op`".to_owned()));
        };
        if op == "hello" {
            let about = About::read(reply).map_err(wrong(reply_line))?;
            *self = Self::new(&about);
            return Ok(Heard::Explained(Vec::new()));
        }
        let told = Reply::read(reply).map_err(wrong(reply_line))?;
        if matches!(told, Reply::Errored { .. } | Reply::Unsupported { .. }) {
            // It changed nothing, and says nothing of what is asked here.
            return Ok(Heard::Explained(Vec::new()));
        }
        let step = step(op, request).map_err(wrong(line))?;
        if let (Step::Open { .. }, Reply::Failed { .. }) = (&step, &told) {
            self.oracle = self.closed();
            return Ok(Heard::Explained(Vec::new()));
        }
        self.oracle.armed = failing(&told);
        let alternatives = self.alternatives(&step);
        let known = match super::blame::envelope(&step) {
            Some(envelope) => self.oracle.known(&envelope.source_database_id),
            None => Default::default(),
        };
        let mut first = None;
        for alternative in &alternatives {
            let case = Case {
                step: &step,
                known: &known,
                alternatives: std::slice::from_ref(alternative),
                reply: Some(&told),
                before: &self.oracle.tree,
                after: &alternative.tree,
            };
            match judge(&case) {
                Verdict::Right(_, complaints) => {
                    self.oracle.follow(alternative.clone());
                    if let Step::Open { .. } = step {
                        self.oracle.data_dir = Some(DATA.to_owned());
                    } else if step == Step::Close {
                        self.oracle.data_dir = None;
                    }
                    return Ok(Heard::Explained(complaints));
                }
                Verdict::Wrong(difference) => first = first.or(Some(difference)),
            }
        }
        Ok(Heard::Differs(Box::new(Differs {
            line: reply_line,
            asked: step.to_string(),
            expected: alternatives.iter().map(|right| right.expected.to_string()).collect(),
            actual: told.to_string(),
            clauses: first.map(|difference| difference.clauses).unwrap_or_default(),
        })))
    }

    fn alternatives(&self, step: &Step) -> Vec<Alternative> {
        let oracle = &self.oracle;
        match step {
            Step::Open { data_dir } => oracle.opening(data_dir),
            Step::Chunk { envelope } => {
                let mut all = oracle.chunk(envelope);
                if oracle.armed.is_some() {
                    // Where the failing call is none of this chunk's, the answer is as ever.
                    let mut sound = oracle.clone();
                    sound.armed = None;
                    all.extend(sound.chunk(envelope));
                }
                all
            }
            Step::Abort { database: Some(id) } => oracle.abort(id),
            Step::Abort { database: None } => oracle.abort_all(),
            Step::Close => oracle.close(),
            // `step` makes no other.
            Step::SecondOpen
            | Step::Kill
            | Step::KillDuring { .. }
            | Step::Malformed { .. }
            | Step::Place { .. }
            | Step::TakeAway { .. }
            | Step::FileSizeLimit { .. }
            | Step::SmallDisk { .. }
            | Step::FailNext { .. }
            | Step::Expire
            | Step::Repeat { .. } => Vec::new(),
        }
    }

    /// As after the end of a process.
    fn closed(&self) -> Oracle {
        let mut oracle = self.oracle.clone();
        if let Some(after) = oracle.close().into_iter().next() {
            oracle.follow(after);
        }
        oracle
    }
}

fn object(line: usize, text: &str) -> Result<Value, RecordedError> {
    let wrong = |what: String| RecordedError::Line { line, what };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(wrong("no JSON object".to_owned()))
    }
}

fn step(op: &str, request: &Value) -> Result<Step, String> {
    let database = |key: &str| match &request[key] {
        Value::Null => Ok(None),
        Value::String(id) => Ok(Some(id.clone())),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("`{key}` is no text: {other}"))
        }
    };
    Ok(match op {
        "open" => Step::Open {
            data_dir: DATA.to_owned(),
        },
        "chunk" => Step::Chunk {
            envelope: envelope(&request["envelope"])?,
        },
        "abort" | "expire" => Step::Abort {
            database: database("database_id")?,
        },
        "close" => Step::Close,
        other => return Err(format!("`op` is {other:?}, which is no request of the protocol")),
    })
}

fn envelope(value: &Value) -> Result<Envelope, String> {
    let mut value = value.clone();
    let Some(fields) = value.as_object_mut() else {
        return Err("`envelope` is no object".to_owned());
    };
    let made_up = match (fields.remove("data_bytes"), fields.remove("data_crc32c")) {
        (None, None) => None,
        (bytes, crc) => {
            let bytes = bytes
                .as_ref()
                .and_then(number::read)
                .filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX);
            let bytes = bytes.ok_or(format!("`data_bytes` is no number up to {PAYLOAD_BYTES_MAX}"))?;
            let crc = crc
                .as_ref()
                .and_then(number::read)
                .and_then(|crc| u32::try_from(crc).ok());
            Some(payload(bytes, crc.ok_or("`data_crc32c` is no number of 32 bits")?)?)
        }
    };
    if made_up.is_some() {
        if fields.contains_key("data") {
            return Err("both `data` and `data_bytes`".to_owned());
        }
        fields.insert("data".to_owned(), json!(""));
    }
    let mut envelope: Envelope = serde_json::from_value(value).map_err(|error| format!("the envelope: {error}"))?;
    if let Some(bytes) = made_up {
        envelope.data = Data::Bytes(bytes);
    }
    Ok(envelope)
}

/// The reflected generator of CRC32C.
const GENERATOR: u32 = 0x82f6_3b78;

/// Bytes of that length and checksum. Zeros, but for the last four: those the register is run
/// backwards for. Fewer than four bytes are looked for.
fn payload(length: u64, crc: u32) -> Result<Vec<u8>, String> {
    let length = usize::try_from(length).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; length];
    let Some(head) = length.checked_sub(4) else {
        let mut all = (0..1u32 << (8 * length)).map(|number| number.to_le_bytes());
        let found = all.find(|number| crc32c::crc32c(&number[..length]) == crc);
        let found = found.ok_or(format!("no {length} bytes have the checksum {crc}"))?;
        return Ok(found[..length].to_vec());
    };
    let before = !crc32c::crc32c(&bytes[..head]);
    let mut register = !crc;
    for _ in 0..32 {
        register = if register >> 31 == 1 {
            (register ^ GENERATOR) << 1 | 1
        } else {
            register << 1
        };
    }
    bytes[head..].copy_from_slice(&(register ^ before).to_le_bytes());
    Ok(bytes)
}

/// The call that a reply says has failed.
fn failing(reply: &Reply) -> Option<Armed> {
    let Reply::Failed { operation, kind } = reply else {
        return None;
    };
    Armed::named(operation, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_has_the_length_and_the_checksum() {
        for bytes in [b"".as_slice(), b"a", b"ab", b"abc", b"abcd", b"123456789", &[7; 10_000]] {
            let crc = crc32c::crc32c(bytes);
            let made_up = payload(bytes.len() as u64, crc).expect("some bytes");
            assert_eq!((made_up.len(), crc32c::crc32c(&made_up)), (bytes.len(), crc));
        }
        assert!(payload(1, 1).is_err(), "no byte has that checksum");
    }

    fn conversation(lines: &[(&str, &str)]) -> String {
        let numbered = (1..).zip(lines);
        let pairs =
            numbered.map(|(seq, (asked, told))| format!("{{\"seq\":{seq},{asked}}}\n{{\"seq\":{seq},{told}}}\n"));
        pairs.collect()
    }

    fn chunk(offset: u64, bytes: &[u8], done: bool) -> String {
        let envelope = Envelope {
            source_cluster_id: "prod".to_owned(),
            source_database_id: "db".to_owned(),
            snapshot_lsn: 42,
            total_bytes: 8,
            total_crc32c: crc32c::crc32c(b"abcdefgh"),
            offset,
            data: Data::Bytes(bytes.to_vec()),
            done,
        };
        let line = chunk_line(1, &envelope);
        let value: Value = serde_json::from_str(&line).expect("JSON");
        format!("\"op\":\"chunk\",\"envelope\":{}", value["envelope"])
    }

    #[test]
    fn a_right_conversation_is_explained_and_a_wrong_answer_is_told() {
        let (first, last) = (chunk(0, b"abcd", false), chunk(4, b"efgh", true));
        let open = ("\"op\":\"open\",\"data_dir\":\"/d\"", "\"reply\":\"opened\"");
        let pending = "\"reply\":\"pending\",\"bytes_done\":4";
        let committed = "\"reply\":\"committed\",\"snapshot_lsn\":42,\"path\":\"recv_snapshots/db.snapshot\"";
        let failed = "\"reply\":\"failed\",\"operation\":\"sync\",\"kind\":\"other: EIO\"";
        let right = [
            open,
            (&first, pending),
            (&last, failed),
            (&first, pending),
            (&last, committed),
            (&last, committed),
        ];
        let seen = validate(&conversation(&right)).expect("a conversation");
        assert_eq!((seen.exchanges, seen.difference), (6, None));
        let wrong = [open, (&first, pending), (&last, failed), (&last, committed)];
        let seen = validate(&conversation(&wrong)).expect("a conversation");
        let difference = seen.difference.expect("nothing runs after a failed sync");
        assert_eq!((difference.line, difference.clauses[0]), (8, "SR-OFF-002"));
    }

    #[test]
    fn what_is_no_conversation_is_told_by_line() {
        assert_eq!(validate("# nothing\n\n"), Err(RecordedError::Empty));
        for bad in [
            "{",
            "{\"seq\":1,\"op\":\"open\"}",
            "{\"seq\":1,\"op\":\"open\"}\n{\"seq\":2,\"reply\":\"opened\"}",
        ] {
            assert!(matches!(validate(bad), Err(RecordedError::Line { .. })), "{bad}");
        }
    }
}
