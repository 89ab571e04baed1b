//! The storage that the tests put under the receiver: the shipped files, with a log of every call,
//! failures on demand, and room for one seeded bug.
//!
//! Guarantees: without a bug every operation is passed on as it is, once. Refuses to know: what a
//! test makes of it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use snapshot_receiver::DatabaseId;
use snapshot_receiver::executor::{
    Directory, FileSystem, Found, FoundKind, RECEIVE_DIRECTORY, Storage, StorageError, partial_name, snapshot_path,
};
use snapshot_receiver::protocol::{FailureKind, Verified};

use crate::flaw::Flaw;
use crate::log::{Call, Log};

/// Files behind a log, a plan of failures, and perhaps a bug.
#[derive(Clone, Debug)]
pub(crate) struct Seam {
    files: Files,
    data_dir: PathBuf,
    flaw: Option<Flaw>,
    log: Log,
    postponed: Arc<Mutex<Option<(Held, Verified)>>>,
}

/// Where the calls go.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// The shipped files.
    Shipped(FileSystem),
    /// Files by their paths, without a lock, as a careless receiver has them.
    ByPath,
}

/// An open partial.
#[derive(Debug)]
pub(crate) struct Held {
    file: Handle,
    database: DatabaseId,
    /// Of the bug that syncs too early.
    delayed: Option<(u64, Vec<u8>)>,
}

#[derive(Debug)]
enum Handle {
    Shipped(<FileSystem as Storage>::Partial),
    ByPath(File),
}

impl Seam {
    pub(crate) fn new(files: Files, data_dir: &Path, flaw: Option<Flaw>, log: Log) -> Self {
        Self {
            files,
            data_dir: data_dir.to_owned(),
            flaw,
            log,
            postponed: Arc::default(),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn partial(&self, database: &DatabaseId) -> PathBuf {
        self.data_dir.join(RECEIVE_DIRECTORY).join(partial_name(database))
    }

    fn snapshot(&self, database: &DatabaseId) -> PathBuf {
        snapshot_path(&self.data_dir, database)
    }

    /// A call that a bug makes in its own way.
    fn made<R>(&self, call: Call, run: impl FnOnce() -> io::Result<R>) -> Result<R, StorageError> {
        self.log.make(call, |_| Ok(run()?))
    }

    fn created(
        &self,
        database: &DatabaseId,
        open: impl FnOnce(&Path) -> io::Result<File>,
    ) -> Result<Held, StorageError> {
        let path = self.partial(database);
        let file = self.made(Call::Create(database.clone()), || open(&path))?;
        Ok(Held::of(Handle::ByPath(file), database))
    }

    // --- The calls as they are ----------------------------------------------------------------

    fn create_whole(&mut self, database: &DatabaseId) -> Result<Held, StorageError> {
        match &mut self.files {
            Files::Shipped(files) => {
                let file = self
                    .log
                    .make(Call::Create(database.clone()), |_| files.create(database))?;
                Ok(Held::of(Handle::Shipped(file), database))
            }
            Files::ByPath => self.created(database, |path| File::create(path)),
        }
    }

    fn write_whole(&mut self, partial: &mut Held, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        let call = Call::Write {
            database: partial.database.clone(),
            offset,
            data: data.to_vec(),
        };
        self.log.clone().make(call, |whole| {
            let length = if whole { data.len() } else { data.len().div_ceil(2) };
            let data = &data[..length];
            match (&mut self.files, &mut partial.file) {
                (Files::Shipped(files), Handle::Shipped(file)) => files.write_at(file, offset, data),
                (_, Handle::ByPath(file)) => Ok(file.write_all_at(data, offset)?),
                (Files::ByPath, Handle::Shipped(_)) => Err(another_kind()),
            }
        })
    }

    fn sync_whole(&mut self, partial: &mut Held) -> Result<(), StorageError> {
        let call = Call::Sync(partial.database.clone());
        self.log
            .clone()
            .make(call, |_| match (&mut self.files, &mut partial.file) {
                (Files::Shipped(files), Handle::Shipped(file)) => files.sync(file),
                (_, Handle::ByPath(file)) => Ok(file.sync_all()?),
                (Files::ByPath, Handle::Shipped(_)) => Err(another_kind()),
            })
    }

    fn publish_whole(&mut self, partial: Held, verified: &Verified) -> Result<(), StorageError> {
        let call = Call::Publish(partial.database.clone());
        let (from, to) = (self.partial(&partial.database), self.snapshot(&partial.database));
        self.log.clone().make(call, |_| match (&mut self.files, partial.file) {
            (Files::Shipped(files), Handle::Shipped(file)) => files.publish(file, verified),
            (_, Handle::ByPath(_)) => Ok(fs::rename(from, to)?),
            (Files::ByPath, Handle::Shipped(_)) => Err(another_kind()),
        })
    }

    fn sync_directory_whole(&mut self, directory: Directory) -> Result<(), StorageError> {
        self.log
            .clone()
            .make(Call::SyncDirectory(directory), |_| match &mut self.files {
                Files::Shipped(files) => files.sync_directory(directory),
                Files::ByPath => Ok(()),
            })
    }

    fn remove_whole(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        let path = self.partial(database);
        let call = Call::Remove(database.clone());
        self.log.clone().make(call, |_| match &mut self.files {
            Files::Shipped(files) => files.remove(database),
            Files::ByPath => Ok(unless_absent(fs::remove_file(path))?),
        })
    }

    fn list_whole(&mut self) -> Result<Vec<Found>, StorageError> {
        self.log.clone().make(Call::List, |_| match &mut self.files {
            Files::Shipped(files) => files.list(),
            Files::ByPath => Ok(Vec::new()),
        })
    }

    // --- What some bugs do --------------------------------------------------------------------

    fn flush(&mut self, partial: &mut Held) -> Result<(), StorageError> {
        match partial.delayed.take() {
            None => Ok(()),
            Some((offset, data)) => self.write_whole(partial, offset, &data),
        }
    }

    /// Of the bug that renames when it has time.
    fn catch_up(&mut self) {
        let postponed = self.postponed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((partial, verified)) = postponed {
            let _late = self.publish_whole(partial, &verified);
        }
    }

    /// Unlinks what a name of the receive directory says, as no opening should.
    fn sweep(&self, is_swept: impl Fn(&str) -> bool) {
        let entries = fs::read_dir(self.data_dir.join(RECEIVE_DIRECTORY));
        for entry in entries.into_iter().flatten().flatten() {
            if is_swept(&entry.file_name().to_string_lossy()) {
                let _swept = fs::remove_file(entry.path());
            }
        }
    }

    fn told(&self, error: StorageError) -> StorageError {
        if self.has(Flaw::FullDiskNotToldApart) && error.kind == FailureKind::Full {
            let kind = FailureKind::Other;
            return StorageError { kind, ..error };
        }
        error
    }
}

impl Held {
    fn of(file: Handle, database: &DatabaseId) -> Self {
        let database = database.clone();
        let delayed = None;
        Self {
            file,
            database,
            delayed,
        }
    }
}

/// A receiver's files are all of one kind, or a bug's.
fn another_kind() -> StorageError {
    io::Error::other("a handle of another kind of files").into()
}

fn unless_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

impl Storage for Seam {
    type Partial = Held;

    fn create(&mut self, database: &DatabaseId) -> Result<Held, StorageError> {
        self.catch_up();
        match self.flaw {
            Some(Flaw::LinkFollowed) => self.created(database, |path| File::create(path)),
            Some(Flaw::LeftoverOpened) => self.created(database, |path| {
                OpenOptions::new().write(true).create(true).truncate(false).open(path)
            }),
            Some(Flaw::DirectoryNotCompared) => self.created(database, |path| {
                unless_absent(fs::remove_file(path))?;
                File::create_new(path)
            }),
            Some(Flaw::DescriptorKept) => {
                let created = self.create_whole(database)?;
                self.log
                    .keep_file(File::open(self.partial(database)).map_err(StorageError::from)?);
                Ok(created)
            }
            _ => self.create_whole(database),
        }
        .map_err(|error| self.told(error))
    }

    fn write_at(&mut self, partial: &mut Held, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        match self.flaw {
            Some(Flaw::SyncBeforeLastWrite) => {
                self.flush(partial)?;
                partial.delayed = Some((offset, data.to_vec()));
                Ok(())
            }
            Some(Flaw::WriteFailureIgnored) => {
                let _lost = self.write_whole(partial, offset, data);
                Ok(())
            }
            Some(Flaw::ShortWriteTaken) => self.write_whole(partial, offset, data).or_else(|error| {
                let said = error.source.as_ref().map(io::Error::kind);
                if said == Some(io::ErrorKind::WriteZero) {
                    Ok(())
                } else {
                    Err(error)
                }
            }),
            Some(Flaw::WriteBackFailureIgnored) => self.write_whole(partial, offset, data).or_else(|error| {
                let found = fs::metadata(self.partial(&partial.database));
                let all_is_there = found.is_ok_and(|found| found.len() == offset + data.len() as u64);
                if all_is_there { Ok(()) } else { Err(error) }
            }),
            Some(Flaw::PayloadKept) => {
                self.log.keep_bytes(data);
                self.write_whole(partial, offset, data)
            }
            Some(Flaw::TransferBuffered) => {
                let delayed = partial.delayed.get_or_insert_with(|| (offset, Vec::new()));
                delayed.1.extend(data);
                self.write_whole(partial, offset, data)
            }
            _ => self.write_whole(partial, offset, data),
        }
        .map_err(|error| self.told(error))
    }

    fn sync(&mut self, partial: &mut Held) -> Result<(), StorageError> {
        match self.flaw {
            Some(Flaw::SyncSkipped | Flaw::PublishBeforeSync) => Ok(()),
            // Below the log: whoever asks the storage is told that it was done.
            Some(Flaw::FlushForSync) => self.made(Call::Sync(partial.database.clone()), || Ok(())),
            Some(Flaw::SyncBeforeLastWrite) => {
                self.sync_whole(partial)?;
                self.flush(partial)
            }
            Some(Flaw::SyncRetried) => self.sync_whole(partial).or_else(|_| self.sync_whole(partial)),
            Some(Flaw::SyncFailureIgnored) => {
                let _lost = self.sync_whole(partial);
                Ok(())
            }
            _ => self.sync_whole(partial),
        }
        .map_err(|error| self.told(error))
    }

    fn publish(&mut self, mut partial: Held, verified: &Verified) -> Result<(), StorageError> {
        let database = partial.database.clone();
        let (from, to) = (self.partial(&database), self.snapshot(&database));
        match self.flaw {
            Some(Flaw::PublishBeforeSync) => {
                self.publish_whole(partial, verified)?;
                self.made(Call::SyncSnapshot(database), || File::open(&to)?.sync_all())
            }
            Some(Flaw::DirectorySyncBeforePublish) => {
                self.sync_directory_whole(Directory::Receive)?;
                self.publish_whole(partial, verified)
            }
            Some(Flaw::OldSnapshotRemovedFirst) => {
                self.made(Call::UnlinkSnapshot(database), || unless_absent(fs::remove_file(&to)))?;
                self.publish_whole(partial, verified)
            }
            Some(Flaw::PublishPostponed) => {
                partial.delayed = None;
                *self.postponed.lock().unwrap_or_else(PoisonError::into_inner) = Some((partial, verified.clone()));
                Ok(())
            }
            Some(Flaw::InodeNotCompared) => self.made(Call::Publish(database), || fs::rename(&from, &to)),
            Some(Flaw::PublishedThroughLink) => self.made(Call::Publish(database), || {
                fs::write(&to, fs::read(&from)?)?;
                fs::remove_file(&from)
            }),
            _ => self.publish_whole(partial, verified),
        }
        .map_err(|error| self.told(error))
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        let skipped = matches!(
            (self.flaw, directory, self.log.is_opening()),
            (
                Some(Flaw::DirectorySyncSkipped | Flaw::DirectorySyncBeforePublish),
                Directory::Receive,
                false
            ) | (Some(Flaw::RecoverySkipsReceiveSync), Directory::Receive, true)
                | (Some(Flaw::RecoverySkipsDataSync), Directory::Data, true)
                | (Some(Flaw::RecoverySkipsParentSync), Directory::Parent, true)
        );
        if skipped {
            return Ok(());
        }
        match self.flaw {
            Some(Flaw::DirectorySyncFailureIgnored) => {
                let _lost = self.sync_directory_whole(directory);
                Ok(())
            }
            Some(Flaw::DirectorySyncRetried) => self
                .sync_directory_whole(directory)
                .or_else(|_| self.sync_directory_whole(directory)),
            _ => self.sync_directory_whole(directory),
        }
        .map_err(|error| self.told(error))
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.catch_up();
        match self.flaw {
            Some(Flaw::RemovalSkipped) if !self.log.is_opening() => Ok(()),
            Some(Flaw::RemovalFailureIgnored) => {
                let _lost = self.remove_whole(database);
                Ok(())
            }
            _ => self.remove_whole(database),
        }
        .map_err(|error| self.told(error))
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        self.catch_up();
        match self.flaw {
            Some(Flaw::RecoverySweepsForeign) => self.sweep(|name| name.contains("partial")),
            Some(Flaw::RecoveryDeletesSnapshot) => self.sweep(|name| name.ends_with(".snapshot")),
            _ => {}
        }
        let found = self.list_whole()?;
        match self.flaw {
            Some(Flaw::RecoveryKeepsOrphans) => Ok(Vec::new()),
            Some(Flaw::RecoveryStopsAtOrphan) if found.iter().any(|one| one.kind == FoundKind::Directory) => {
                Err(FailureKind::DirectoryInTheWay.into())
            }
            _ => Ok(found),
        }
    }
}
