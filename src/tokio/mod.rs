//! The async face: the executor's receiver for tasks of a tokio runtime.
//!
//! Guarantees: one thread hop per call, to the runtime's blocking pool; calls of one database
//! keep their order and hold no thread while they wait; a dropped future does not interrupt what
//! has begun (SR-CON-002). Refuses to know: what is decided and how it is stored.

mod watches;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::tokio::sync::{Mutex, Semaphore, watch};
use ::tokio::task::{JoinError, spawn_blocking};

use crate::executor::{
    AbortError, ChunkOutcome, FileSystem, Lease, OpenError, Options, OrphanLeft, ReceiveError, Receiver, Storage,
    check_ids,
};
use crate::protocol::{DatabaseId, Envelope, OlderStart, Operation, Progress, Rejection, State};

use watches::Watches;

/// A database's turn: fair, so that calls keep their order, and waited for without a thread.
type Turn = Arc<Mutex<()>>;

/// Receives snapshots into one data directory, from tasks. Clones share it.
///
/// Works on a multi-thread and on a current-thread runtime. See [`Receiver`] for what each call
/// guarantees. Each call is one hop to the blocking pool: chunks of 64 KiB and more are worth it.
///
/// Dropping the last clone ends running transfers where it is dropped, with blocking calls; prefer
/// [`close`](Self::close).
///
/// ```
/// use bytes::Bytes;
/// use snapshot_receiver::{ChunkOutcome, Envelope, Options, SnapshotReceiver};
///
/// # let dir = tempfile::tempdir()?;
/// # let data_dir = dir.path();
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let receiver = SnapshotReceiver::open(data_dir, Options::default()).await?;
/// let outcome = receiver
///     .handle_chunk(Envelope {
///         source_cluster_id: "prod-us".into(),
///         source_database_id: "db_01".into(),
///         snapshot_lsn: 42,
///         total_bytes: 11,
///         total_crc32c: 0xc994_65aa,
///         offset: 0,
///         data: Bytes::from_static(b"hello"),
///         done: false,
///     })
///     .await?;
/// assert_eq!(outcome, ChunkOutcome::Pending { bytes_done: 5 });
/// receiver.abort().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SnapshotReceiver<S = FileSystem>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
{
    inner: Arc<Inner<S>>,
}

#[derive(Debug)]
struct Inner<S: Storage + Clone> {
    receiver: Receiver<S, Turn>,
    /// Storage operations at once (SR-CON-004).
    workers: Arc<Semaphore>,
    watches: Arc<Watches>,
}

impl<S> Clone for SnapshotReceiver<S>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
{
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl SnapshotReceiver {
    /// Opens `data_dir`, as [`Receiver::open`] does, on the blocking pool.
    ///
    /// # Errors
    /// As [`Receiver::open`].
    pub async fn open(data_dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let data_dir = data_dir.as_ref().to_owned();
        let opening = spawn_blocking(move || Self::with_storage(FileSystem::open(&data_dir)?, &data_dir, options));
        opening
            .await
            .unwrap_or_else(|error| Err(OpenError::Thread(io::Error::other(error))))
    }
}

impl<S> SnapshotReceiver<S>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
{
    /// Opens a receiver over any storage, as [`Receiver::with_storage`] does; blocks meanwhile.
    ///
    /// # Errors
    /// As [`Receiver::with_storage`].
    pub fn with_storage(storage: S, data_dir: impl AsRef<Path>, mut options: Options) -> Result<Self, OpenError> {
        let workers = Arc::new(Semaphore::new(options.workers_max.clamp(1, Semaphore::MAX_PERMITS)));
        let watches = Arc::new(Watches::default());
        options.on_progress = Some(watches.before(options.on_progress.take()));
        Ok(Self {
            inner: Arc::new(Inner {
                receiver: Receiver::with_attachments(storage, data_dir.as_ref(), options)?,
                workers,
                watches,
            }),
        })
    }

    /// Takes one chunk to its outcome. The payload is moved, not copied.
    ///
    /// Dropping the future before the chunk's turn leaves nothing behind; after that the chunk
    /// takes effect whole, or its attempt ends (SR-CON-002).
    ///
    /// # Errors
    /// As [`Receiver::handle_chunk`]; [`ReceiveError::Cancelled`] where the runtime shuts down.
    pub async fn handle_chunk<B>(&self, envelope: Envelope<B>) -> Result<ChunkOutcome, ReceiveError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        self.handle_chunk_with(envelope, OlderStart::Refused).await
    }

    /// As [`handle_chunk`](Self::handle_chunk); with [`OlderStart::Allowed`], a start may be
    /// older than what it replaces (SR-IDN-004).
    ///
    /// # Errors
    /// As [`handle_chunk`](Self::handle_chunk).
    pub async fn handle_chunk_with<B>(
        &self,
        envelope: Envelope<B>,
        older_start: OlderStart,
    ) -> Result<ChunkOutcome, ReceiveError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        let chunk = check_ids(envelope)?;
        let lease = self.inner.receiver.lease(&chunk.identity.database)?;
        self.in_turn(lease, move |lease| lease.handle_chunk(chunk, older_start))
            .await
    }

    /// Ends every running transfer, as [`Receiver::abort`] does.
    ///
    /// # Errors
    /// As [`Receiver::abort`].
    pub async fn abort(&self) -> Result<(), AbortError> {
        let mut failures = Vec::new();
        for database in self.inner.receiver.to_abort() {
            match self.abort_one(&database).await {
                Ok(()) => {}
                // The closing aborts them: done when it is through.
                Err(ReceiveError::Closed) => return self.close().await,
                Err(error) => failures.push((database, error)),
            }
        }
        AbortError::unless_empty(failures)
    }

    /// Ends one database's transfer, as [`Receiver::abort_database`] does.
    ///
    /// # Errors
    /// As [`Receiver::abort_database`].
    pub async fn abort_database(&self, database_id: &str) -> Result<(), ReceiveError> {
        let database = DatabaseId::new(database_id).map_err(Rejection::InvalidDatabaseId)?;
        self.abort_one(&database).await
    }

    async fn abort_one(&self, database: &DatabaseId) -> Result<(), ReceiveError> {
        let lease = self.inner.receiver.lease(database)?;
        self.in_turn(lease, Lease::abort).await
    }

    /// Ends idle transfers, as [`Receiver::expire_idle`] does.
    ///
    /// # Errors
    /// [`ReceiveError::Cancelled`] where the runtime shuts down.
    pub async fn expire_idle(&self, timeout: Duration) -> Result<usize, ReceiveError> {
        let inner = Arc::clone(&self.inner);
        let expiring = spawn_blocking(move || inner.receiver.expire_idle(timeout));
        expiring.await.map_err(lost)
    }

    /// A value that holds the last report since the first watcher subscribed; `None` until there is
    /// one, also where a transfer runs already. An abort is no report and leaves the value as it is;
    /// a close ends the watching (`changed` returns an error).
    ///
    /// # Errors
    /// [`Rejection::InvalidDatabaseId`].
    pub fn progress(&self, database_id: &str) -> Result<watch::Receiver<Option<Progress>>, Rejection> {
        let database = DatabaseId::new(database_id).map_err(Rejection::InvalidDatabaseId)?;
        Ok(self.inner.watches.subscribe(database))
    }

    /// The orphan partials that the opening could not remove (SR-REC-003).
    #[must_use]
    pub fn orphans_left(&self) -> &[OrphanLeft] {
        self.inner.receiver.orphans_left()
    }

    /// A copy of what the protocol knows of a database. Waits for a call that is being worked on.
    ///
    /// # Errors
    /// As [`Receiver::state`].
    pub async fn state(&self, database: &DatabaseId) -> Result<State, ReceiveError> {
        let lease = self.inner.receiver.lease(database)?;
        self.in_turn(lease, |lease| Ok(lease.state())).await
    }

    /// Waits for the calls in flight, ends running transfers and frees the directory, as
    /// [`Receiver::close`] does.
    ///
    /// # Errors
    /// As [`Receiver::close`].
    pub async fn close(&self) -> Result<(), AbortError> {
        let inner = Arc::clone(&self.inner);
        let closing = spawn_blocking(move || inner.receiver.close());
        // Where the runtime shuts down, it is done here: blocking, but done.
        let closed = closing.await.unwrap_or_else(|_lost| self.inner.receiver.close());
        self.inner.watches.end();
        closed
    }

    /// Waits for the database's turn, then for a worker, then does the work in one hop.
    async fn in_turn<R: Send + 'static>(
        &self,
        lease: Lease<S, Turn>,
        work: impl FnOnce(&Lease<S, Turn>) -> Result<R, ReceiveError> + Send + 'static,
    ) -> Result<R, ReceiveError> {
        let turn = Arc::clone(lease.attachment()).lock_owned().await;
        let worker = Arc::clone(&self.inner.workers).acquire_owned().await;
        let worker = worker.map_err(|_closed| ReceiveError::Closed)?;
        let task = spawn_blocking(move || {
            let result = work(&lease);
            drop((turn, worker));
            lease.deliver_reports();
            result
        });
        task.await.unwrap_or_else(|error| Err(lost(error)))
    }
}

fn lost(error: JoinError) -> ReceiveError {
    if error.is_cancelled() {
        return ReceiveError::Cancelled;
    }
    ReceiveError::Storage {
        operation: Operation::Panic,
        source: io::Error::other(error).into(),
        removal_failed: None,
    }
}
