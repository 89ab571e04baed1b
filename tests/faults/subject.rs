//! The receiver under test: the shipped one over the seam, and the bugs that sit at its entrances.
//!
//! Guarantees: without a bug, a plain `Receiver` on the shipped files. Refuses to know: what is
//! checked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use snapshot_receiver::executor::{FileSystem, RECEIVE_DIRECTORY};
use snapshot_receiver::{ChunkOutcome, DatabaseId, Envelope, OpenError, Options, ReceiveError, Receiver};

use crate::flaw::Flaw;
use crate::log::{Entry, Log};
use crate::place::say;
use crate::seam::{Files, Seam};

/// A clause found broken, and how.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) clause: &'static str,
    pub(crate) what: String,
}

/// Says that a clause is broken unless the condition holds.
pub(crate) fn holds(condition: bool, clause: &'static str, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if condition {
        Ok(())
    } else {
        let what = what();
        Err(Violation { clause, what })
    }
}

/// What a check found: the number of cases that it tried.
pub(crate) type Checked = Result<usize, Violation>;

/// Runs a check on the shipped receiver.
pub(crate) fn passes(check: fn(Option<Flaw>) -> Checked, what: &str) {
    let cases = check(None).unwrap_or_else(|violation| panic!("{}: {}", violation.clause, violation.what));
    say(&format!("{what}: {cases} cases"));
}

/// An open receiver.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) receiver: Receiver<Seam>,
    pub(crate) log: Log,
    flaw: Option<Flaw>,
    data_dir: PathBuf,
}

impl Subject {
    pub(crate) fn open(flaw: Option<Flaw>, data_dir: &Path, log: &Log, options: Options) -> Result<Self, OpenError> {
        if flaw == Some(Flaw::SweptBeforeLock) {
            sweep(data_dir);
        }
        if flaw == Some(Flaw::LockFileFollowed) {
            // As lock files are often made: whatever stands there is opened.
            let _locked = File::create(data_dir.join(RECEIVE_DIRECTORY).join(".lock"));
        }
        let files = match (FileSystem::open(data_dir), flaw) {
            (Ok(files), _) => Files::Shipped(files),
            (Err(OpenError::InUse { .. }), Some(Flaw::LockSkipped))
            | (Err(OpenError::Directory { .. }), Some(Flaw::ReceiveLinkFollowed)) => Files::ByPath,
            (Err(error), _) => return Err(error),
        };
        let options = match flaw {
            Some(Flaw::PlacesUnbounded) => options.transfers_max(usize::MAX),
            _ => options,
        };
        log.set_opening(true);
        let storage = Seam::new(files, data_dir, flaw, log.clone());
        let receiver = Receiver::with_storage(storage, data_dir, options);
        log.set_opening(false);
        let receiver = receiver?;
        if !log.is_killed() {
            log.note(Entry::Opened);
        }
        Ok(Self {
            receiver,
            log: log.clone(),
            flaw,
            data_dir: data_dir.to_owned(),
        })
    }

    /// Opens with no time limit on transfers and no thread for it.
    pub(crate) fn plain(flaw: Option<Flaw>, data_dir: &Path) -> Result<Self, OpenError> {
        Self::open(flaw, data_dir, &Log::default(), Options::default().idle_timeout(None))
    }

    pub(crate) fn handle_chunk(&self, mut envelope: Envelope<Vec<u8>>) -> Result<ChunkOutcome, ReceiveError> {
        match self.flaw {
            Some(Flaw::IdMadeValid) => {
                let id = &envelope.source_database_id;
                let made: String = id.chars().filter(char::is_ascii_alphanumeric).take(200).collect();
                if DatabaseId::new(id.as_ref()).is_err() && !made.is_empty() {
                    envelope.source_database_id = made.into();
                }
            }
            Some(Flaw::IdJoinedIntoPath) if DatabaseId::new(envelope.source_database_id.as_ref()).is_err() => {
                let name = format!("{}.partial", envelope.source_database_id);
                let _opened = fs::write(self.data_dir.join(RECEIVE_DIRECTORY).join(name), &envelope.data);
            }
            _ => {}
        }
        self.receiver.handle_chunk(envelope)
    }

    /// Whether no bug is seeded.
    pub(crate) fn is_shipped(&self) -> bool {
        self.flaw.is_none()
    }

    pub(crate) fn expire_all(&self) -> usize {
        match self.flaw {
            Some(Flaw::ExpiryIgnored) => 0,
            _ => self.receiver.expire_idle(Duration::ZERO),
        }
    }
}

fn sweep(data_dir: &Path) {
    for entry in fs::read_dir(data_dir.join(RECEIVE_DIRECTORY))
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().ends_with(".partial") {
            let _swept = fs::remove_file(entry.path());
        }
    }
}
