//! The async face: the executor's receiver for tasks of a tokio runtime.
//!
//! Guarantees: one thread hop per call, to a worker of the receiver; calls of one database keep
//! their order and hold no thread while they wait; a dropped future does not interrupt what has
//! begun (SR-CON-002); the payload bytes that wait are bounded (SR-CON-005). Refuses to know: what
//! is decided and how it is stored.

mod joined;
mod pipeline;
mod watches;

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ::tokio::runtime::Handle;
use ::tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use ::tokio::task::{JoinError, spawn_blocking, yield_now};

use crate::executor::{
    AbortError, Awaited, Call, ChunkOutcome, FileSystem, Lane, Lease, OnProgress, OpenError, Options, OrphanLeft,
    Panicked, ReceiveError, Receiver, Storage, Subject, Workers, check_ids,
};
use crate::protocol::{DatabaseId, Envelope, OlderStart, Operation, Progress, Rejection, State};

pub use pipeline::StreamError;
use watches::Watches;

/// How long a task asks again and again whether its call is through, letting other tasks run in
/// between, before it sleeps. As long as waking a sleeping thread takes: a small chunk is written
/// sooner, and in the worst case the wait costs twice what it had to (Karlin et al., SODA 1990).
const ASKING: Duration = Duration::from_micros(80);

/// What a call in the queue takes of the queue's bytes besides its payload, in bytes.
const CALL_BYTES: usize = 512;

/// Permits are taken 32 bits at a time.
const QUEUE_BYTES_LIMIT: usize = u32::MAX as usize >> 1;

/// What the async face keeps with each database.
#[derive(Debug, Default)]
struct Turns {
    lane: Arc<Lane>,
    /// A permit for each byte that may wait in the lane.
    room: OnceLock<Arc<Semaphore>>,
}

/// A database's slot in use, with the room that the call takes in its queue.
struct Turn<S: Storage + Clone> {
    lease: Lease<S, Turns>,
    _room: Option<OwnedSemaphorePermit>,
}

/// A call that a worker has, or will have.
type Submitted<S, F, R> = Awaited<Turn<S>, F, Result<R, ReceiveError>>;

impl<S> Subject for Turn<S>
where
    S: Storage + Clone + Send,
    S::Partial: Send,
{
    fn has_reports(&self) -> bool {
        self.lease.has_reports()
    }

    fn deliver_reports(&self) {
        self.lease.deliver_reports();
    }
}

/// Receives snapshots into one data directory, from tasks. Clones share it.
///
/// Works on a multi-thread and on a current-thread runtime. See [`Receiver`] for what each call
/// guarantees. Storage is touched by the receiver's own threads, at most [`Options::workers_max`].
/// A source that has many chunks ready is received fastest by [`receive`](Self::receive).
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
    receiver: Receiver<S, Turns>,
    /// Storage operations at once (SR-CON-004).
    workers: Workers,
    watches: Arc<Watches>,
    queue_bytes_max: usize,
    /// Reports go to code that is not ours.
    may_block: bool,
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
        let workers = Workers::start(options.workers_max).map_err(OpenError::Thread)?;
        let watches = Arc::new(Watches::default());
        let may_block = options.on_progress.is_some();
        options.on_progress = Some(watches.before(options.on_progress.take().map(in_runtime)));
        let queue_bytes_max = options.queue_bytes_max.clamp(1, QUEUE_BYTES_LIMIT);
        Ok(Self {
            inner: Arc::new(Inner {
                receiver: Receiver::with_attachments(storage, data_dir.as_ref(), options)?,
                workers,
                watches,
                queue_bytes_max,
                may_block,
            }),
        })
    }

    /// Takes one chunk to its outcome. The payload is moved, not copied.
    ///
    /// Dropping the future before the chunk's turn leaves nothing behind; after that the chunk
    /// takes effect whole, or its attempt ends (SR-CON-002).
    ///
    /// # Errors
    /// As [`Receiver::handle_chunk`].
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
        let turn = self
            .turn_for(&chunk.identity.database, chunk.data().as_ref().len())
            .await?;
        let call = self.submit(turn, move |lease| lease.handle_chunk(chunk, older_start));
        outcome_of(call).await
    }

    /// The database's slot, once there is room in its queue for as many bytes.
    async fn turn_for(&self, database: &DatabaseId, bytes: usize) -> Result<Turn<S>, ReceiveError> {
        let lease = self.inner.receiver.lease(database)?;
        let bytes_max = self.inner.queue_bytes_max;
        let room = lease
            .attachment()
            .room
            .get_or_init(|| Arc::new(Semaphore::new(bytes_max)));
        let wanted = bytes.saturating_add(CALL_BYTES).min(bytes_max);
        // At most QUEUE_BYTES_LIMIT, so it fits. The semaphore is never closed.
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let room = match Arc::clone(room).try_acquire_many_owned(wanted) {
            Ok(room) => room,
            // Once it is full, half of it is waited for: a waiter that is woken for each job slows
            // down the worker, who has to wake it.
            Err(_full) => {
                let half = u32::try_from(bytes_max / 2).unwrap_or(u32::MAX);
                let room = Arc::clone(room).acquire_many_owned(wanted.max(half)).await;
                let mut room = room.map_err(|_closed| ReceiveError::Closed)?;
                drop(room.split(room.num_permits() - wanted as usize));
                room
            }
        };
        Ok(Turn {
            lease,
            _room: Some(room),
        })
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
        outcome_of(self.submit(Turn { lease, _room: None }, Lease::abort)).await
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
        outcome_of(self.submit(Turn { lease, _room: None }, |lease| Ok(lease.state()))).await
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

    /// Puts a call into its database's queue, for a worker.
    fn submit<R: Send + 'static>(
        &self,
        turn: Turn<S>,
        work: impl FnOnce(&Lease<S, Turns>) -> Result<R, ReceiveError> + Send + 'static,
    ) -> Submitted<S, impl FnOnce(&Turn<S>) -> Result<R, ReceiveError> + Send, R> {
        let lane = Arc::clone(&turn.lease.attachment().lane);
        let may_block = self.inner.may_block;
        let (call, awaited) = Call::new(turn, move |turn: &Turn<S>| {
            let result = work(&turn.lease);
            if !may_block {
                turn.lease.deliver_reports();
            }
            result
        });
        self.inner.workers.submit(&lane, call);
        awaited
    }
}

/// The call's result. Asked for often at first: see [`ASKING`].
async fn outcome_of<S, F, R>(call: Submitted<S, F, R>) -> Result<R, ReceiveError>
where
    S: Storage + Clone + Send,
    S::Partial: Send,
    F: FnOnce(&Turn<S>) -> Result<R, ReceiveError> + Send,
    R: Send,
{
    let asked_until = Instant::now() + ASKING;
    while !call.is_done() && Instant::now() < asked_until {
        yield_now().await;
    }
    call.await.unwrap_or_else(|error| Err(panicked(error)))
}

/// A progress callback may use the runtime that the receiver was opened on, as the task that called
/// may: workers are no threads of it.
fn in_runtime(callback: OnProgress) -> OnProgress {
    match Handle::try_current() {
        Ok(runtime) => Arc::new(move |database, progress| {
            let _entered = runtime.enter();
            callback(database, progress);
        }),
        Err(_) => callback,
    }
}

fn lost(error: JoinError) -> ReceiveError {
    if error.is_cancelled() {
        return ReceiveError::Cancelled;
    }
    panicked((Operation::Panic, io::Error::other(error).into()))
}

fn panicked((operation, source): Panicked) -> ReceiveError {
    ReceiveError::Storage {
        operation,
        source,
        removal_failed: None,
    }
}
