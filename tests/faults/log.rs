//! What was asked of the files, call by call, and which of the calls are to fail.
//!
//! Guarantees: every call that reaches the files is noted in order with what came of it, answers in
//! between; a call to fail does so once, with the error and the extent asked for; after a kill
//! nothing has an effect any more. Refuses to know: files, and why a call is made.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use snapshot_receiver::DatabaseId;
use snapshot_receiver::executor::{Directory, StorageError};
use snapshot_receiver::protocol::FailureKind;

/// One call, as plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create(DatabaseId),
    Write {
        database: DatabaseId,
        offset: u64,
        data: Vec<u8>,
    },
    Sync(DatabaseId),
    Publish(DatabaseId),
    SyncDirectory(Directory),
    Remove(DatabaseId),
    List,
    /// A snapshot is unlinked, as no receiver should.
    UnlinkSnapshot(DatabaseId),
    /// A file is synced that is published already, as no receiver should.
    SyncSnapshot(DatabaseId),
}

impl Call {
    /// The operation's name, as failures tell it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Write { .. } => "write",
            Self::Sync(_) | Self::SyncSnapshot(_) => "sync",
            Self::Publish(_) => "publish",
            Self::SyncDirectory(_) => "sync_directory",
            Self::Remove(_) | Self::UnlinkSnapshot(_) => "remove",
            Self::List => "list",
        }
    }
}

/// How much of a failing call takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Nothing,
    /// Half of a write; of anything else, all.
    Part,
    /// All, of a write too: what failed is the early write-back after it.
    Whole,
}

/// What the caller of a failing call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Errno(Errno),
    /// A write that ends early and goes no further.
    ShortWrite,
    /// A directory stands under the name.
    DirectoryInTheWay,
}

impl Cause {
    fn error(self) -> StorageError {
        match self {
            Self::Errno(errno) => io::Error::from(errno).into(),
            Self::ShortWrite => io::Error::from(io::ErrorKind::WriteZero).into(),
            Self::DirectoryInTheWay => FailureKind::DirectoryInTheWay.into(),
        }
    }
}

/// A failure to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) cause: Cause,
    pub(crate) extent: Extent,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed { extent: Extent, kind: FailureKind },
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Call(Call, Outcome),
    /// What the database's source sends from here on, whole.
    Sending(DatabaseId, Vec<u8>),
    /// `Committed` was answered.
    Committed(DatabaseId, Vec<u8>),
    /// An opening returned.
    Opened,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    /// Calls since the arming.
    calls: usize,
    failing: BTreeMap<usize, Injected>,
    fired: Vec<&'static str>,
    /// Calls after which the process is gone.
    killed_after: Option<usize>,
    is_opening: bool,
    is_silent: bool,
    kept_files: Vec<File>,
    kept_bytes: Vec<u8>,
}

/// Shared by a test and the storage that it looks into.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Inner>>);

impl Log {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that keeps nothing of what it sees, for long runs.
    pub(crate) fn silent() -> Self {
        let log = Self::default();
        log.inner().is_silent = true;
        log
    }

    pub(crate) fn note(&self, entry: Entry) {
        let mut inner = self.inner();
        if !inner.is_silent {
            inner.entries.push(entry);
        }
    }

    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.inner().entries)
    }

    /// The call with that number, counted from now, fails.
    pub(crate) fn arm(&self, after: usize, injected: Injected) {
        let mut inner = self.inner();
        inner.calls = 0;
        inner.failing.insert(after, injected);
    }

    /// Lets everything succeed again; the calls that failed since.
    pub(crate) fn disarm(&self) -> Vec<&'static str> {
        let mut inner = self.inner();
        inner.failing.clear();
        std::mem::take(&mut inner.fired)
    }

    /// After that many further calls, none has an effect any more.
    pub(crate) fn kill_after(&self, calls: usize) {
        let mut inner = self.inner();
        inner.calls = 0;
        inner.killed_after = Some(calls);
    }

    /// Whether the process is gone.
    pub(crate) fn is_killed(&self) -> bool {
        let inner = self.inner();
        inner.killed_after.is_some_and(|calls| inner.calls >= calls)
    }

    /// A new process.
    pub(crate) fn revive(&self) {
        self.inner().killed_after = None;
    }

    pub(crate) fn set_opening(&self, is_opening: bool) {
        self.inner().is_opening = is_opening;
    }

    pub(crate) fn is_opening(&self) -> bool {
        self.inner().is_opening
    }

    pub(crate) fn keep_file(&self, file: File) {
        self.inner().kept_files.push(file);
    }

    pub(crate) fn keep_bytes(&self, bytes: &[u8]) {
        self.inner().kept_bytes.extend(bytes);
    }

    /// Makes a call, unless it is to fail or nobody is there any more; `run` is told whether to do
    /// it whole.
    pub(crate) fn make<R>(
        &self,
        call: Call,
        run: impl FnOnce(bool) -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        let injected = {
            let mut inner = self.inner();
            if inner.killed_after.is_some_and(|calls| inner.calls >= calls) {
                return Err(io::Error::other("the process is gone").into());
            }
            let number = inner.calls;
            inner.calls += 1;
            let injected = inner.failing.remove(&number);
            if injected.is_some() {
                inner.fired.push(call.name());
            }
            injected
        };
        if let Some(Injected { cause, extent }) = injected {
            match extent {
                Extent::Nothing => {}
                Extent::Part => drop(run(false)?),
                Extent::Whole => drop(run(true)?),
            }
            let error = cause.error();
            let kind = error.kind;
            self.note(Entry::Call(call, Outcome::Failed { extent, kind }));
            return Err(error);
        }
        let done = run(true);
        let outcome = match &done {
            Ok(_) => Outcome::Done,
            Err(error) => Outcome::Failed {
                extent: Extent::Nothing,
                kind: error.kind,
            },
        };
        self.note(Entry::Call(call, outcome));
        done
    }
}
