//! What is asked of a receiver and what it answers: as values, and as lines of the wire protocol.
//!
//! Guarantees: a reply that lacks what it should carry is kept as such, for the oracle to judge; a
//! line that is no reply at all is told as such. Refuses to know: processes and clauses.

use serde_json::{Map, Value, json};

use super::scenario::{Envelope, number, shortened};

/// The version of the wire protocol.
pub const PROTOCOL: u64 = 1;

/// What a receiver says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its language.
    pub language: String,
    /// What it can do beyond receiving.
    pub features: Vec<String>,
    /// `chunk_bytes_max`, if declared.
    pub chunk_bytes_max: Option<u64>,
    /// `snapshot_bytes_max`, if declared.
    pub snapshot_bytes_max: Option<u64>,
    /// `transfers_max`, if declared.
    pub transfers_max: Option<u64>,
}

impl About {
    /// Whether it names this feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// Reads the answer to `hello`.
    ///
    /// # Errors
    /// What is missing or wrong in it.
    pub fn read(line: &Value) -> Result<Self, String> {
        let text = |key: &str| {
            let value = line[key].as_str().map(str::to_owned);
            value.ok_or_else(|| format!("the answer to hello has no text `{key}`"))
        };
        let limits = &line["limits"];
        let limit = |key: &str| {
            let value = &limits[key];
            match number::read(value) {
                None if !value.is_null() => Err(format!("the limit `{key}` is no unsigned number: {value}")),
                declared => Ok(declared),
            }
        };
        let features = &line["features"];
        if !features.is_null() && !features.is_array() {
            return Err("`features` is no list".to_owned());
        }
        let named = features.as_array().into_iter().flatten();
        let features = named
            .map(|item| item.as_str().map(str::to_owned).ok_or("a feature is no text"))
            .collect::<Result<_, _>>()?;
        if !limits.is_null() && !limits.is_object() {
            return Err("`limits` is no object".to_owned());
        }
        Ok(Self {
            name: text("name")?,
            version: text("version")?,
            language: text("language")?,
            features,
            chunk_bytes_max: limit("chunk_bytes_max")?,
            snapshot_bytes_max: limit("snapshot_bytes_max")?,
            transfers_max: limit("transfers_max")?,
        })
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `open`.
    Opened {
        /// Orphans that could not be removed, if told.
        orphans_left: Option<u64>,
    },
    /// The next expected offset.
    Pending {
        /// If told.
        bytes_done: Option<u64>,
    },
    /// The snapshot is complete, verified and durable.
    Committed {
        /// If told.
        snapshot_lsn: Option<u64>,
        /// Relative to the data directory; if told.
        path: Option<String>,
    },
    /// Not admitted, or a verdict.
    Rejected {
        /// If told.
        reason: Option<String>,
        /// If told.
        expected: Option<u64>,
        /// If told.
        actual: Option<u64>,
        /// If told.
        resume_offset: Option<u64>,
    },
    /// A storage operation failed.
    Failed {
        /// Empty where not told.
        operation: String,
        /// Empty where not told.
        kind: String,
    },
    /// To `abort`.
    Aborted,
    /// To `close`.
    Closed,
    /// This receiver cannot do it.
    Unsupported {
        /// Why.
        why: String,
    },
    /// The adapter broke, or did not understand.
    Errored {
        /// What it says.
        message: String,
    },
}

impl Reply {
    /// The wire protocol's word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Pending { .. } => "pending",
            Self::Committed { .. } => "committed",
            Self::Rejected { .. } => "rejected",
            Self::Failed { .. } => "failed",
            Self::Aborted => "aborted",
            Self::Closed => "closed",
            Self::Unsupported { .. } => "unsupported",
            Self::Errored { .. } => "errored",
        }
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// The value's `reply` is none of the words.
    pub fn read(line: &Value) -> Result<Self, String> {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| number::read(&line[key]);
        let Some(word) = line["reply"].as_str() else {
            return Err("it has no text `reply`".to_owned());
        };
        Ok(match word {
            "opened" => Self::Opened {
                orphans_left: number("orphans_left"),
            },
            "pending" => Self::Pending {
                bytes_done: number("bytes_done"),
            },
            "committed" => Self::Committed {
                snapshot_lsn: number("snapshot_lsn"),
                path: line["path"].as_str().map(str::to_owned),
            },
            "rejected" => Self::Rejected {
                reason: line["reason"].as_str().map(str::to_owned),
                expected: number("expected"),
                actual: number("actual"),
                resume_offset: number("resume_offset"),
            },
            "failed" => Self::Failed {
                operation: text("operation"),
                kind: text("kind"),
            },
            "aborted" => Self::Aborted,
            "closed" => Self::Closed,
            "unsupported" => Self::Unsupported { why: text("why") },
            "errored" => Self::Errored {
                message: text("message"),
            },
            other => {
                return Err(format!(
                    "`reply` is {}, which is no word of the protocol",
                    shortened(other)
                ));
            }
        })
    }

    /// As the wire protocol has it, without the `seq`.
    #[must_use]
    pub fn value(&self) -> Map<String, Value> {
        let optional = |number: &Option<u64>| number.map_or(Value::Null, number::write);
        let mut map = Map::new();
        map.insert("reply".to_owned(), self.word().into());
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                map.insert(key.to_owned(), value);
            }
        };
        match self {
            Self::Opened { orphans_left } => put("orphans_left", optional(orphans_left)),
            Self::Pending { bytes_done } => put("bytes_done", optional(bytes_done)),
            Self::Committed { snapshot_lsn, path } => {
                put("snapshot_lsn", optional(snapshot_lsn));
                put("path", path.clone().map_or(Value::Null, Value::from));
            }
            Self::Rejected {
                reason,
                expected,
                actual,
                resume_offset,
            } => {
                put("reason", reason.clone().map_or(Value::Null, Value::from));
                put("expected", optional(expected));
                put("actual", optional(actual));
                put("resume_offset", optional(resume_offset));
            }
            Self::Failed { operation, kind } => {
                put("operation", operation.clone().into());
                put("kind", kind.clone().into());
            }
            Self::Aborted | Self::Closed => {}
            Self::Unsupported { why } => put("why", why.clone().into()),
            Self::Errored { message } => put("message", message.clone().into()),
        }
        map
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |value: &Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        match self {
            Self::Opened { orphans_left: None } => write!(f, "opened"),
            Self::Opened {
                orphans_left: Some(left),
            } => write!(f, "opened, {left} orphans left"),
            Self::Pending { bytes_done } => write!(f, "pending {}", told(bytes_done)),
            Self::Committed { snapshot_lsn, path } => write!(
                f,
                "committed LSN {} at {}",
                told(snapshot_lsn),
                path.as_deref().unwrap_or("-")
            ),
            Self::Rejected {
                reason,
                expected,
                actual,
                resume_offset,
            } => {
                write!(f, "rejected {}", reason.as_deref().unwrap_or("-"))?;
                if expected.is_some() || actual.is_some() {
                    write!(f, ", expected {}, actual {}", told(expected), told(actual))?;
                }
                write!(f, ", resume at {}", told(resume_offset))
            }
            Self::Failed { operation, kind } => write!(f, "failed {operation} ({kind})"),
            Self::Aborted => write!(f, "aborted"),
            Self::Closed => write!(f, "closed"),
            Self::Unsupported { why } => write!(f, "unsupported: {}", shortened(why)),
            Self::Errored { message } => write!(f, "errored: {}", shortened(message)),
        }
    }
}

/// The line of a request.
#[must_use]
pub fn request(seq: u64, op: &str, fields: Value) -> String {
    let mut map = Map::new();
    map.insert("seq".to_owned(), seq.into());
    map.insert("op".to_owned(), op.into());
    if let Value::Object(fields) = fields {
        map.extend(fields);
    }
    Value::Object(map).to_string()
}

/// The fields of a `chunk`.
#[must_use]
pub fn chunk(envelope: &Envelope) -> Value {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(envelope.data.bytes());
    json!({ "envelope": {
        "source_cluster_id": envelope.source_cluster_id,
        "source_database_id": envelope.source_database_id,
        "snapshot_lsn": number::write(envelope.snapshot_lsn),
        "total_bytes": number::write(envelope.total_bytes),
        "total_crc32c": envelope.total_crc32c,
        "offset": number::write(envelope.offset),
        "data": data,
        "done": envelope.done,
    }})
}
