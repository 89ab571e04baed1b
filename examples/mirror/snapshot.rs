//! The file that is sent.
//!
//! Guarantees: it is read a piece at a time; a length or time of modification that is no longer the
//! one at the opening is an error, never a short or padded chunk. Refuses to know: where a piece
//! goes.
//!
//! That the content is still the same is proved by the checksum alone, and the receiver checks that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use crate::display::Display;

/// Bytes read at a time for the checksum.
const PIECE_BYTES: u64 = 1 << 20;

/// A regular file of known length, held open: a rename over its path does not change what is sent.
#[derive(Clone)]
pub(crate) struct Snapshot {
    file: Arc<File>,
    path: PathBuf,
    total_bytes: u64,
    modified: SystemTime,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("cannot read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", .path.display())]
    NotAFile { path: PathBuf },
    #[error("{} changed while it was being sent; send it again", .path.display())]
    Changed { path: PathBuf },
}

impl Snapshot {
    pub(crate) async fn open(path: &Path) -> Result<Self, SnapshotError> {
        let owned = path.to_owned();
        blocking(path, move || Self::open_now(owned)).await
    }

    fn open_now(path: PathBuf) -> Result<Self, SnapshotError> {
        match open_regular(&path) {
            Ok(Some((file, total_bytes, modified))) => Ok(Self {
                file: Arc::new(file),
                path,
                total_bytes,
                modified,
            }),
            Ok(None) => Err(SnapshotError::NotAFile { path }),
            Err(source) => Err(SnapshotError::Read { path, source }),
        }
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// CRC32C of the whole file, a piece at a time.
    pub(crate) async fn checksum(&self, display: &Display) -> Result<u32, SnapshotError> {
        let mut checksum = 0;
        let mut offset = 0;
        while offset < self.total_bytes {
            let piece = self.read(offset, PIECE_BYTES).await?;
            checksum = crc32c::crc32c_append(checksum, &piece);
            offset += piece.len() as u64;
            display.show("checksum", offset, self.total_bytes);
        }
        Ok(checksum)
    }

    /// The bytes from `offset`, `bytes_max` or as many as there are.
    pub(crate) async fn read(&self, offset: u64, bytes_max: u64) -> Result<Vec<u8>, SnapshotError> {
        let snapshot = self.clone();
        blocking(&self.path, move || snapshot.read_now(offset, bytes_max)).await
    }

    fn read_now(&self, offset: u64, bytes_max: u64) -> Result<Vec<u8>, SnapshotError> {
        let length = self.total_bytes.saturating_sub(offset).min(bytes_max);
        let mut piece = vec![0; usize::try_from(length).expect("a piece or a chunk is at most 16 MiB")];
        match self.file.read_exact_at(&mut piece, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.changed()),
            Err(error) => return Err(self.unreadable(error)),
        }
        // With the last byte in hand: a file that grew shows only here.
        if offset + length == self.total_bytes && !self.is_as_opened().map_err(|error| self.unreadable(error))? {
            return Err(self.changed());
        }
        Ok(piece)
    }

    fn is_as_opened(&self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        Ok(metadata.len() == self.total_bytes && metadata.modified()? == self.modified)
    }

    pub(crate) fn changed(&self) -> SnapshotError {
        SnapshotError::Changed {
            path: self.path.clone(),
        }
    }

    fn unreadable(&self, source: io::Error) -> SnapshotError {
        SnapshotError::Read {
            path: self.path.clone(),
            source,
        }
    }
}

/// `None` for anything but a regular file.
fn open_regular(path: &Path) -> io::Result<Option<(File, u64, SystemTime)>> {
    // Asked before the opening, which would wait for a pipe's writer.
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).open(path)?;
    let metadata = file.metadata()?;
    let (total_bytes, modified) = (metadata.len(), metadata.modified()?);
    Ok(Some((file, total_bytes, modified)))
}

/// File operations block: they belong on the runtime's blocking pool.
async fn blocking<R, W>(path: &Path, work: W) -> Result<R, SnapshotError>
where
    R: Send + 'static,
    W: FnOnce() -> Result<R, SnapshotError> + Send + 'static,
{
    let lost = |error| SnapshotError::Read {
        path: path.to_owned(),
        source: io::Error::other(error),
    };
    spawn_blocking(work).await.unwrap_or_else(|error| Err(lost(error)))
}
