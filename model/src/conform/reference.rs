//! The project's own receiver behind the Rust door, and its outcomes as replies of the protocol.
//!
//! Guarantees: translates, and decides nothing. Refuses to know: scenarios and clauses.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use snapshot_receiver::executor::{ChunkOutcome, FileSystem, OpenError, Options, ReceiveError, Receiver as Shipped};
use snapshot_receiver::protocol::{CHUNK_BYTES_MAX, FailureKind, SNAPSHOT_BYTES_MAX};

use super::calls::Armed;
use super::oracle::as_sent;
use super::rust::Receiver;
use super::scenario::Envelope;
use super::talk::{About, Reply};
use crate::harness::memory::{Call, Fault, Hook, Hooked};

/// The call that is to fail next, if one is.
#[derive(Clone, Debug, Default)]
struct Next(Arc<Mutex<Option<Armed>>>);

impl Hook for Next {
    fn before(&self, call: Call<'_>) -> Option<Fault> {
        let operation = call.operation()?;
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Armed { kind, .. } = next.take_if(|next| next.operation == operation)?;
        Some(Fault {
            after: 0,
            kind,
            takes_effect: false,
        })
    }
}

/// The shipped receiver.
#[derive(Debug, Default)]
pub struct Reference {
    open: Option<Shipped<Hooked<FileSystem, Next>>>,
    next: Next,
}

impl Reference {
    fn receiver(&self) -> Result<&Shipped<Hooked<FileSystem, Next>>, Reply> {
        self.open.as_ref().ok_or_else(|| Reply::Errored {
            message: "nothing is open".to_owned(),
        })
    }
}

/// What the shipped receiver says about itself.
#[must_use]
pub fn about() -> About {
    let features = ["abort", "multi", "restart", "stale", "lock"];
    About {
        name: "snapshot-receiver".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        language: "rust".to_owned(),
        features: features.map(str::to_owned).to_vec(),
        chunk_bytes_max: Some(CHUNK_BYTES_MAX),
        snapshot_bytes_max: Some(SNAPSHOT_BYTES_MAX),
        transfers_max: Options::default().transfers_max.try_into().ok(),
    }
}

/// An outcome of the shipped receiver as a reply.
#[must_use]
pub fn reply(outcome: Result<ChunkOutcome, ReceiveError>, database: &str) -> Reply {
    match outcome {
        Ok(ChunkOutcome::Pending { bytes_done }) => Reply::Pending {
            bytes_done: Some(bytes_done),
        },
        Ok(ChunkOutcome::Committed { snapshot_lsn, .. }) => Reply::Committed {
            snapshot_lsn: Some(snapshot_lsn),
            path: Some(format!("recv_snapshots/{database}.snapshot")),
        },
        Err(error) => refusal(&error),
    }
}

/// An error of the shipped receiver as a reply.
#[must_use]
pub fn refusal(error: &ReceiveError) -> Reply {
    match error {
        ReceiveError::Rejected {
            rejection,
            resume_offset,
            ..
        } => {
            let values = rejection.expected_and_actual();
            Reply::Rejected {
                reason: Some(rejection.reason().to_owned()),
                expected: values.map(|(expected, _)| expected),
                actual: values.map(|(_, actual)| actual),
                resume_offset: Some(*resume_offset),
            }
        }
        ReceiveError::Storage { operation, source, .. } => Reply::Failed {
            operation: operation.name().to_owned(),
            kind: match source.kind {
                FailureKind::Full => "full".to_owned(),
                FailureKind::DirectoryInTheWay | FailureKind::Other => format!("other: {source}"),
            },
        },
        ReceiveError::Closed | ReceiveError::Cancelled | _ => Reply::Errored {
            message: error.to_string(),
        },
    }
}

/// A failed opening as a reply.
#[must_use]
pub fn not_opened(error: &OpenError) -> Reply {
    Reply::Failed {
        operation: error.operation().to_owned(),
        kind: format!("other: {error}"),
    }
}

impl Receiver for Reference {
    fn about(&self) -> About {
        about()
    }

    fn open(&mut self, data_dir: &Path) -> Reply {
        self.close();
        let opened = FileSystem::open(data_dir).and_then(|files| {
            let options = Options::default().idle_timeout(None);
            Shipped::with_storage(Hooked::new(files, self.next.clone()), data_dir, options)
        });
        match opened {
            Ok(receiver) => {
                let orphans_left = receiver.orphans_left().len().try_into().ok();
                self.open = Some(receiver);
                Reply::Opened { orphans_left }
            }
            Err(error) => not_opened(&error),
        }
    }

    fn chunk(&mut self, envelope: &Envelope) -> Reply {
        match self.receiver() {
            Ok(receiver) => reply(receiver.handle_chunk(as_sent(envelope)), &envelope.source_database_id),
            Err(reply) => reply,
        }
    }

    fn abort(&mut self, database: Option<&str>) -> Reply {
        let receiver = match self.receiver() {
            Ok(receiver) => receiver,
            Err(reply) => return reply,
        };
        let aborted = match database {
            Some(id) => receiver.abort_database(id).err().map(|error| refusal(&error)),
            None => receiver.abort().err().map(|_| Reply::Failed {
                operation: "remove".to_owned(),
                kind: "other".to_owned(),
            }),
        };
        aborted.unwrap_or(Reply::Aborted)
    }

    fn close(&mut self) -> Reply {
        if let Some(receiver) = self.open.take() {
            // A partial that cannot be removed stays for the next opening.
            let _left = receiver.close();
        }
        Reply::Closed
    }

    fn fail_next(&mut self, operation: &str, kind: &str) -> bool {
        let armed = Armed::named(operation, kind);
        *self.next.0.lock().unwrap_or_else(PoisonError::into_inner) = armed;
        armed.is_some()
    }

    fn expire(&mut self) -> Option<Reply> {
        let _ended = self.open.as_ref()?.expire_idle(Duration::ZERO);
        Some(Reply::Aborted)
    }
}
