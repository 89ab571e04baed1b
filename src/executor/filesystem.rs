//! Real files.
//!
//! Guarantees: every name is looked up relative to a directory held open since the opening, and
//! never followed when it is a symbolic link (SR-SEC-001, SR-SEC-002); the directory is locked
//! while any handle lives (SR-REC-002, SR-REC-004). Refuses to know: transfers and phases.
//!
//! The lock is `flock(2)` on the receive directory itself: there is no lock file that could be
//! planted, followed or deleted. Files are created with mode 0600, directories with 0700, as a
//! database's own files are.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use rustix::fs::{
    Access, Advice, AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, accessat, fadvise, flock, fstat,
    fsync, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::error::OpenError;
use super::names::{RECEIVE_DIRECTORY, database_of_partial, partial_name, snapshot_name};
use super::storage::{Directory, Found, FoundKind, Storage, StorageError};
use crate::protocol::{DatabaseId, FailureKind, Verified};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// A locked receive directory. Clones share it; the lock ends with the last of them.
#[derive(Clone, Debug)]
pub struct FileSystem {
    directories: Arc<Directories>,
}

#[derive(Debug)]
struct Directories {
    parent: OwnedFd,
    data: OwnedFd,
    /// Carries the lock.
    receive: OwnedFd,
    receive_path: PathBuf,
    receive_stat: Stat,
}

impl Drop for Directories {
    fn drop(&mut self) {
        // Not left to the close: a child process between fork and exec holds a copy of the
        // descriptor, and with it the lock. Where it fails, the close still comes.
        let _unlocked = flock(&self.receive, FlockOperation::Unlock);
    }
}

impl FileSystem {
    /// Creates `data_dir` and its `recv_snapshots` where they are missing (nothing above them),
    /// opens and locks them.
    ///
    /// # Errors
    /// [`OpenError::Directory`], [`OpenError::InUse`], [`OpenError::Lock`].
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let data_path = absolute(data_dir).map_err(|error| refused(data_dir, error))?;
        let parent_path = data_path.join("..");
        let receive_path = data_path.join(RECEIVE_DIRECTORY);

        create_directory(CWD, &data_path).map_err(|error| refused(&data_path, error))?;
        let data = openat(CWD, &data_path, DIRECTORY, Mode::empty()).map_err(|error| refused(&data_path, error))?;
        // `..` of the open directory is its true parent, whatever links led to it.
        let parent = openat(&data, "..", DIRECTORY, Mode::empty()).map_err(|error| refused(&parent_path, error))?;

        create_directory(&data, RECEIVE_DIRECTORY.as_ref()).map_err(|error| refused(&receive_path, error))?;
        let receive = open_receive_directory(&data).map_err(|error| refused(&receive_path, error))?;
        // Tell a read-only directory now, not at the first chunk. Where the system cannot say it for
        // the effective user, the first create will.
        match accessat(&receive, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) | Err(Errno::NOSYS) => {}
            Err(error) => return Err(refused(&receive_path, error)),
        }

        match flock(&receive, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(OpenError::InUse { path: receive_path }),
            Err(error) => {
                return Err(OpenError::Lock {
                    path: receive_path,
                    source: error.into(),
                });
            }
        }
        let receive_stat = fstat(&receive).map_err(|error| refused(&receive_path, error))?;
        Ok(Self {
            directories: Arc::new(Directories {
                parent,
                data,
                receive,
                receive_path,
                receive_stat,
            }),
        })
    }

    fn unlink(&self, name: &str) -> Result<(), StorageError> {
        let directory = &self.directories.receive;
        let error = match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => error,
        };
        // Ask what stands there: a read-only file system refuses before it looks, and systems
        // differ in how they refuse a directory.
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(StorageError {
                kind: FailureKind::DirectoryInTheWay,
                source: Some(error.into()),
            }),
            Ok(_) | Err(_) => Err(io::Error::from(error).into()),
        }
    }

    /// SR-SEC-004: the path must still lead to the directory held open.
    fn check_directory(&self) -> Result<(), StorageError> {
        let held = &self.directories;
        let found = statat(CWD, &held.receive_path, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
        if same_inode(&found, &held.receive_stat) {
            Ok(())
        } else {
            Err(io::Error::other("the receive directory was replaced while it was in use").into())
        }
    }
}

/// Bytes after which the kernel is asked to write them back: long enough for large requests to the
/// disk, short enough that little is left for the sync at the end.
const WRITE_BACK_BYTES: u64 = 8 << 20;

/// An open partial.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    /// Up to here the kernel was asked to write back.
    written_back: u64,
}

impl PartialFile {
    /// Asks the kernel to begin writing back what was written, so that the sync at the end finds
    /// little to do. Linux starts it for `POSIX_FADV_DONTNEED` and waits for nothing
    /// (`mm/fadvise.c`); what is on its way stays cached.
    ///
    /// No new state of the disk comes of it: the kernel may write anything back at any time, and the
    /// model's disk lets it. A page that cannot be written is told by the sync, as ever (SR-ERR-002).
    fn begin_write_back(&mut self, end: u64) -> io::Result<()> {
        let Some(bytes) = NonZero::new(end.saturating_sub(self.written_back)) else {
            return Ok(());
        };
        if bytes.get() < WRITE_BACK_BYTES {
            return Ok(());
        }
        let start = std::mem::replace(&mut self.written_back, end);
        match fadvise(&self.file, start, Some(bytes), Advice::DontNeed) {
            // Where it cannot be asked for, the sync does it all.
            Ok(()) | Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Storage for FileSystem {
    type Partial = PartialFile;

    fn create(&mut self, database: &DatabaseId) -> Result<PartialFile, StorageError> {
        self.check_directory()?;
        let name = partial_name(database);
        self.unlink(&name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.directories.receive, name.as_str(), flags, FILE_MODE).map_err(io::Error::from)?;
        Ok(PartialFile {
            file: File::from(file),
            written_back: 0,
        })
    }

    fn write_at(&mut self, partial: &mut PartialFile, offset: u64, data: &[u8]) -> Result<(), StorageError> {
        write_fully(&partial.file, data, offset)?;
        Ok(partial.begin_write_back(offset.saturating_add(data.len() as u64))?)
    }

    fn sync(&mut self, partial: &mut PartialFile) -> Result<(), StorageError> {
        // Once, whatever it says: std would try again after an interruption (SR-ERR-002).
        Ok(fsync(&partial.file).map_err(io::Error::from)?)
    }

    fn publish(&mut self, partial: PartialFile, verified: &Verified) -> Result<(), StorageError> {
        self.check_directory()?;
        let directory = &self.directories.receive;
        let name = partial_name(verified.database());
        let held = fstat(&partial.file).map_err(io::Error::from)?;
        let found = statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
        if !same_inode(&held, &found) {
            return Err(io::Error::other("another file stands in the partial's place").into());
        }
        let snapshot = snapshot_name(verified.database());
        Ok(renameat(directory, name.as_str(), directory, snapshot.as_str()).map_err(io::Error::from)?)
    }

    fn sync_directory(&mut self, directory: Directory) -> Result<(), StorageError> {
        let descriptor = match directory {
            Directory::Receive => &self.directories.receive,
            Directory::Data => &self.directories.data,
            Directory::Parent => &self.directories.parent,
        };
        Ok(fsync(descriptor).map_err(io::Error::from)?)
    }

    fn remove(&mut self, database: &DatabaseId) -> Result<(), StorageError> {
        self.unlink(&partial_name(database))
    }

    fn list(&mut self) -> Result<Vec<Found>, StorageError> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.directories.receive).map_err(io::Error::from)? {
            let entry = entry.map_err(io::Error::from)?;
            if let Some(database) = database_of_partial(entry.file_name().to_bytes()) {
                let kind = self.kind_of(entry.file_name(), entry.file_type())?;
                found.push(Found { database, kind });
            }
        }
        Ok(found)
    }
}

impl FileSystem {
    fn kind_of(&self, name: &CStr, listed: FileType) -> Result<FoundKind, StorageError> {
        let file_type = match listed {
            // Some file systems do not say it in the listing.
            FileType::Unknown => {
                let stat = statat(&self.directories.receive, name, AtFlags::SYMLINK_NOFOLLOW);
                FileType::from_raw_mode(stat.map_err(io::Error::from)?.st_mode)
            }
            FileType::RegularFile
            | FileType::Symlink
            | FileType::Directory
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice => listed,
        };
        Ok(match file_type {
            FileType::RegularFile => FoundKind::File,
            FileType::Symlink => FoundKind::SymbolicLink,
            FileType::Directory => FoundKind::Directory,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => FoundKind::Special,
        })
    }
}

fn create_directory(at: impl AsFd, path: &Path) -> io::Result<()> {
    match mkdirat(at, path, DIRECTORY_MODE) {
        // What stands there is judged by the open that follows.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "its parent does not exist, and is not created",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Continues short and interrupted writes; a write of 0 bytes is an error (SR-ERR-003). Generic so
/// that a test can be the file.
fn write_fully(file: &impl FileExt, data: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(data, offset)
}

fn same_inode(a: &Stat, b: &Stat) -> bool {
    a.st_dev == b.st_dev && a.st_ino == b.st_ino
}

/// Never through a link: whoever plants one would choose where snapshots go (SR-SEC-002).
fn open_receive_directory(data: &OwnedFd) -> io::Result<OwnedFd> {
    openat(data, RECEIVE_DIRECTORY, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| {
        let stat = statat(data, RECEIVE_DIRECTORY, AtFlags::SYMLINK_NOFOLLOW);
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Symlink) => io::Error::other("it is a symbolic link, which is not followed"),
            Ok(_) | Err(_) => error.into(),
        }
    })
}

fn refused(path: &Path, error: impl Into<io::Error>) -> OpenError {
    OpenError::Directory {
        path: path.to_owned(),
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Takes two bytes at a time, is interrupted before each, and takes none past a mark.
    struct Stubborn {
        bytes: RefCell<Vec<u8>>,
        interrupted: RefCell<bool>,
        stuck_at: usize,
    }

    impl FileExt for Stubborn {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
            if self.interrupted.replace_with(|was| !*was) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let mut bytes = self.bytes.borrow_mut();
            assert_eq!(
                bytes.len() as u64,
                offset,
                "each write goes on where the last one ended"
            );
            let taken = data.len().min(2).min(self.stuck_at - bytes.len());
            bytes.extend(&data[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn short_and_interrupted_writes_are_continued_and_a_stuck_one_is_told() {
        let file = |stuck_at| Stubborn {
            bytes: RefCell::default(),
            interrupted: RefCell::new(true),
            stuck_at,
        };
        let patient = file(usize::MAX);
        write_fully(&patient, b"abcdefg", 0).expect("written");
        assert_eq!(*patient.bytes.borrow(), b"abcdefg");
        let stuck = file(5);
        let error = write_fully(&stuck, b"abcdefg", 0).expect_err("two bytes are missing");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    /// Mutant: whatever cannot be removed is taken for a directory.
    #[test]
    fn a_file_that_cannot_be_removed_is_not_taken_for_a_directory() {
        use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

        let dir = tempfile::tempdir().expect("a directory");
        let mut storage = FileSystem::open(dir.path()).expect("opens");
        let database = DatabaseId::new("db").expect("valid");
        drop(storage.create(&database).expect("created"));
        // Immutable: even the superuser may not remove what is in it.
        let directory = File::open(dir.path().join(RECEIVE_DIRECTORY)).expect("there");
        let Ok(flags) = ioctl_getflags(&directory) else {
            eprintln!("SKIPPED: this file system has no flags; a file that cannot be removed is not tried");
            return;
        };
        if ioctl_setflags(&directory, flags | IFlags::IMMUTABLE).is_err() {
            eprintln!("SKIPPED: nothing can be made immutable here; a file that cannot be removed is not tried");
            return;
        }
        let told = storage.remove(&database);
        ioctl_setflags(&directory, flags).expect("as before");
        assert_eq!(told.expect_err("refused").kind, FailureKind::Other);
        storage.remove(&database).expect("removed");
    }
}
