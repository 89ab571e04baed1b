//! The thread-safe receiver: transfers by database, each under one lock.
//!
//! Guarantees: one event of a database is taken to its reply before the next begins, so
//! concurrent calls behave as calls one after the other (SR-CON-001); different databases do not
//! wait for each other (SR-IDN-002). Refuses to know: any runtime; what is decided.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{AbortError, OpenError, ReceiveError, Told};
use super::expiry::Expiry;
use super::filesystem::FileSystem;
use super::names::snapshot_path;
use super::options::Options;
use super::panics::caught;
use super::progress::Reports;
use super::recovery::{OrphanLeft, recover};
use super::registry::{Bounds, Closing, Holding, Registry};
use super::storage::Storage;
use super::sync::{Arc, Mutex, TryLockError, lock};
use super::transfer::{Answer, Transfer};
use crate::protocol::{
    Chunk, DatabaseId, Envelope, Event, Failure, OlderStart, Rejection, Reply, State, Text, Vacancy, needs_place,
};

/// What an admitted chunk led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkOutcome {
    /// The bytes up to `bytes_done` are in the partial; that is the next expected offset.
    Pending {
        /// Bytes received in this attempt.
        bytes_done: u64,
    },
    /// The snapshot is complete, verified and durable.
    Committed {
        /// Its log sequence number.
        snapshot_lsn: u64,
        /// Its file: `data_dir` as given, `recv_snapshots`, `<database id>.snapshot`.
        snapshot_path: PathBuf,
    },
}

/// Receives snapshots into one data directory. Share it by reference or in an `Arc`.
///
/// ```
/// use snapshot_receiver::{ChunkOutcome, Envelope, Options, Receiver};
///
/// # let dir = tempfile::tempdir()?;
/// # let data_dir = dir.path();
/// let receiver = Receiver::open(data_dir, Options::default())?;
/// let outcome = receiver.handle_chunk(Envelope {
///     source_cluster_id: "prod-us".into(),
///     source_database_id: "db_01".into(),
///     snapshot_lsn: 42,
///     total_bytes: 5,
///     total_crc32c: 0x9a71_bb4c,
///     offset: 0,
///     data: b"hello",
///     done: true,
/// })?;
/// let ChunkOutcome::Committed { snapshot_path, .. } = outcome else {
///     panic!("one chunk was the whole snapshot");
/// };
/// assert_eq!(std::fs::read(snapshot_path)?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropping it ends running transfers as an abort does and frees the directory, once the last
/// call has ended (SR-REC-004); [`close`](Self::close) waits for that. A progress callback that owns
/// the receiver keeps it alive: give it a `Weak`.
///
/// `A` is what the async face keeps with each database.
#[derive(Debug)]
pub struct Receiver<S = FileSystem, A = ()>
where
    S: Storage + Clone,
{
    // Declared first, so that the expiry thread has ended before the last handle goes.
    _expiry: Option<Expiry>,
    shared: Arc<Shared<S, A>>,
}

/// All that calls in flight share.
#[derive(Debug)]
pub(crate) struct Shared<S: Storage + Clone, A> {
    registry: Registry<S, Slot<S::Partial, A>>,
    options: Options,
    data_dir: PathBuf,
    orphans_left: Vec<OrphanLeft>,
}

/// One database's place in the registry.
#[derive(Debug)]
struct Slot<P, A> {
    held: Mutex<Held<P>>,
    reports: Reports,
    attachment: A,
}

#[derive(Debug)]
struct Held<P> {
    transfer: Transfer<P>,
    /// When the running transfer last admitted a chunk.
    touched: Option<Instant>,
}

impl<P, A: Default> Default for Slot<P, A> {
    fn default() -> Self {
        Self::from(State::default())
    }
}

impl<P, A: Default> From<State> for Slot<P, A> {
    fn from(state: State) -> Self {
        Self {
            held: Mutex::new(Held {
                transfer: Transfer::from(state),
                touched: None,
            }),
            reports: Reports::default(),
            attachment: A::default(),
        }
    }
}

impl Receiver<FileSystem> {
    /// Opens `data_dir`: creates it and its `recv_snapshots` where they are missing, locks it,
    /// removes orphan partials and makes what is visible durable (SR-PUB-005, SR-REC-001,
    /// SR-REC-002).
    ///
    /// # Errors
    /// [`OpenError`] says what stands in the way. An orphan that cannot be removed does not; see
    /// [`orphans_left`](Self::orphans_left).
    pub fn open(data_dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let data_dir = data_dir.as_ref();
        Self::with_storage(FileSystem::open(data_dir)?, data_dir, options)
    }
}

impl<S> Receiver<S>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
{
    /// Opens a receiver over any storage; `data_dir` is only told in answers. The storage is this
    /// receiver's alone: a clone kept elsewhere can harm running transfers, and keeps a lock that
    /// it carries.
    ///
    /// # Errors
    /// [`OpenError::Recovery`], [`OpenError::Thread`].
    pub fn with_storage(storage: S, data_dir: impl Into<PathBuf>, options: Options) -> Result<Self, OpenError> {
        Self::with_attachments(storage, data_dir, options)
    }
}

impl<S, A> Receiver<S, A>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
    A: Default + Send + Sync + 'static,
{
    pub(crate) fn with_attachments(
        mut storage: S,
        data_dir: impl Into<PathBuf>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let orphans_left = recover(&mut storage)?;
        let bounds = Bounds {
            transfers_max: options.transfers_max,
            remembered_commits_max: options.remembered_commits_max,
        };
        let registry = Registry::new(storage, bounds);
        for orphan in &orphans_left {
            tracing::warn!(database = %orphan.found.database, error = %orphan.error, "an orphan partial is left");
            if orphan.is_partial() {
                let holding = Holding {
                    owes_removal: true,
                    ..Holding::default()
                };
                let slot = Slot::from(State::with_removal_owed());
                registry.insert(orphan.found.database.clone(), slot, holding);
            }
        }
        let shared = Arc::new(Shared {
            registry,
            options,
            data_dir: data_dir.into(),
            orphans_left,
        });
        let expiry = match shared.options.idle_timeout {
            Some(timeout) => Some(Expiry::start(&shared, timeout).map_err(OpenError::Thread)?),
            None => None,
        };
        Ok(Self {
            _expiry: expiry,
            shared,
        })
    }

    /// Takes one chunk to its outcome: what it reports is true, and durable where it says so.
    ///
    /// The payload is looked at more than once: until the call returns it has to show the same
    /// bytes each time (a mapping of a file that changes does not).
    ///
    /// # Errors
    /// [`ReceiveError::Rejected`] (the source's fault), [`ReceiveError::Storage`] (the attempt
    /// has ended; start again), [`ReceiveError::Closed`].
    pub fn handle_chunk<B: AsRef<[u8]>>(&self, envelope: Envelope<B>) -> Result<ChunkOutcome, ReceiveError> {
        self.handle_chunk_with(envelope, OlderStart::Refused)
    }

    /// As [`handle_chunk`](Self::handle_chunk); with [`OlderStart::Allowed`], a start may be
    /// older than what it replaces: the rule is lifted for this one start (SR-IDN-004).
    ///
    /// # Errors
    /// As [`handle_chunk`](Self::handle_chunk).
    pub fn handle_chunk_with<B: AsRef<[u8]>>(
        &self,
        envelope: Envelope<B>,
        older_start: OlderStart,
    ) -> Result<ChunkOutcome, ReceiveError> {
        let chunk = check_ids(envelope)?;
        let lease = self.lease(&chunk.identity.database)?;
        let outcome = lease.handle_chunk(chunk, older_start);
        lease.deliver_reports();
        outcome
    }

    /// Ends every running transfer and tries every owed removal again (SR-ABT-001). Snapshots are
    /// never touched (SR-ABT-002).
    ///
    /// # Errors
    /// [`AbortError`]: all transfers have ended, but some partial could not be removed. Beside a
    /// closing, it waits for that; a closed receiver has nothing to abort.
    pub fn abort(&self) -> Result<(), AbortError> {
        let mut failures = Vec::new();
        for database in self.to_abort() {
            match self.lease(&database).and_then(|lease| lease.abort()) {
                Ok(()) => {}
                // The closing aborts them: done when it is through.
                Err(ReceiveError::Closed) => return self.close(),
                Err(error) => failures.push((database, error)),
            }
        }
        AbortError::unless_empty(failures)
    }

    /// Ends the database's running transfer, or tries its owed removal again (SR-ABT-001). Where
    /// neither is, it succeeds (SR-ABT-003).
    ///
    /// # Errors
    /// [`ReceiveError::Rejected`] for an id that is not valid; [`ReceiveError::Storage`] where
    /// the transfer has ended but its partial could not be removed; [`ReceiveError::Closed`].
    pub fn abort_database(&self, database_id: &str) -> Result<(), ReceiveError> {
        let database = DatabaseId::new(database_id).map_err(Rejection::InvalidDatabaseId)?;
        self.lease(&database)?.abort()
    }

    /// Ends the transfers that admitted no chunk for `timeout`, as an abort would (SR-CON-006),
    /// and returns how many. The receiver does so by itself where
    /// [`Options::idle_timeout`] is set.
    pub fn expire_idle(&self, timeout: Duration) -> usize {
        expire_idle(&self.shared, timeout).expired
    }

    /// The orphan partials that the opening could not remove (SR-REC-003).
    pub fn orphans_left(&self) -> &[OrphanLeft] {
        &self.shared.orphans_left
    }

    /// A copy of what the protocol knows of a database, for monitoring and for checks.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn state(&self, database: &DatabaseId) -> Result<State, ReceiveError> {
        Ok(self.lease(database)?.state())
    }

    /// Waits for the calls in flight, ends running transfers as an abort does, and frees the
    /// directory (SR-REC-004). Later calls are answered [`ReceiveError::Closed`]; closing again
    /// does nothing.
    ///
    /// # Errors
    /// [`AbortError`], as [`abort`](Self::abort).
    pub fn close(&self) -> Result<(), AbortError> {
        self.shared.close()
    }

    pub(crate) fn lease(&self, database: &DatabaseId) -> Result<Lease<S, A>, ReceiveError> {
        lease(&self.shared, database).ok_or(ReceiveError::Closed)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn limits(&self) -> &crate::protocol::Limits {
        &self.shared.options.limits
    }

    pub(crate) fn to_abort(&self) -> Vec<DatabaseId> {
        self.shared.registry.to_abort()
    }
}

impl AbortError {
    pub(crate) fn unless_empty(failures: Vec<(DatabaseId, ReceiveError)>) -> Result<(), Self> {
        if failures.is_empty() {
            Ok(())
        } else {
            Err(Self { failures })
        }
    }
}

/// A database's slot, kept in the registry for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lease<S: Storage + Clone, A> {
    shared: Arc<Shared<S, A>>,
    slot: Arc<Slot<S::Partial, A>>,
    database: DatabaseId,
}

fn lease<S: Storage + Clone, A: Default>(shared: &Arc<Shared<S, A>>, database: &DatabaseId) -> Option<Lease<S, A>> {
    Some(Lease {
        slot: shared.registry.lease(database)?,
        shared: Arc::clone(shared),
        database: database.clone(),
    })
}

impl<S: Storage + Clone, A> Drop for Lease<S, A> {
    fn drop(&mut self) {
        self.shared.registry.release(&self.database);
    }
}

/// A storage in use: the closing waits for its end.
struct Call<'a, S: Storage + Clone, A> {
    shared: &'a Shared<S, A>,
    storage: Option<S>,
}

impl<S: Storage + Clone, A> Drop for Call<'_, S, A> {
    fn drop(&mut self) {
        let storage = self.storage.take();
        // The last copy closes descriptors; whatever its code does, the closing must hear of the end.
        let _dropped = caught(|| drop(storage));
        self.shared.registry.end_call();
    }
}

impl<S: Storage + Clone, A> Lease<S, A> {
    #[cfg_attr(
        not(feature = "tokio"),
        allow(dead_code, reason = "only the async face keeps something")
    )]
    pub(crate) fn attachment(&self) -> &A {
        &self.slot.attachment
    }

    pub(crate) fn handle_chunk<B: AsRef<[u8]>>(
        &self,
        chunk: Chunk<Text, B>,
        older_start: OlderStart,
    ) -> Result<ChunkOutcome, ReceiveError> {
        let told = self.take(|lease, state| {
            let limits = &lease.shared.options.limits;
            let vacancy = if needs_place(limits, state, &chunk, older_start) {
                lease.shared.registry.take_place(&lease.database)
            } else {
                Vacancy::Free
            };
            Event::ChunkArrived {
                chunk,
                vacancy,
                older_start,
            }
        })?;
        match told {
            Told::Pending { bytes_done } => Ok(ChunkOutcome::Pending { bytes_done }),
            Told::Committed { snapshot_lsn } => Ok(ChunkOutcome::Committed {
                snapshot_lsn,
                snapshot_path: snapshot_path(&self.shared.data_dir, &self.database),
            }),
            // `step` answers a chunk with neither an abort nor nothing.
            Told::Aborted => Err(ReceiveError::Closed),
        }
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.slot.held).transfer.state.clone()
    }

    pub(crate) fn abort(&self) -> Result<(), ReceiveError> {
        self.take(|_, _| Event::<Text, [u8; 0]>::AbortRequested).map(|_| ())
    }

    /// Takes one event to its reply under the slot's lock. Reports stay queued.
    fn take<B: AsRef<[u8]>>(&self, event: impl FnOnce(&Self, &State) -> Event<Text, B>) -> Result<Told, ReceiveError> {
        let mut call = self.begin_call()?;
        let answer = {
            let mut held = lock(&self.slot.held);
            // A payload's own code may panic when it is looked at (SR-CON-003).
            match caught(|| event(self, &held.transfer.state)) {
                Ok(event) => self.drive(&mut call, &mut held, event),
                Err((operation, error)) => {
                    let kind = error.kind;
                    let failed = Event::<Text, B>::EffectFailed(Failure { operation, kind });
                    let answer = self.drive(&mut call, &mut held, failed);
                    let cause = Some(error);
                    Answer { cause, ..answer }
                }
            }
        };
        drop(call);
        answer
            .into_result()
            .inspect_err(|error| log_error(&self.database, error))
    }

    fn begin_call(&self) -> Result<Call<'_, S, A>, ReceiveError> {
        let storage = self.shared.registry.begin_call().ok_or(ReceiveError::Closed)?;
        Ok(Call {
            shared: &self.shared,
            storage: Some(storage),
        })
    }

    fn drive<B: AsRef<[u8]>>(
        &self,
        call: &mut Call<'_, S, A>,
        held: &mut Held<S::Partial>,
        event: Event<Text, B>,
    ) -> Answer {
        let Some(storage) = &mut call.storage else {
            unreachable!("a call has its storage until it is dropped");
        };
        let limits = &self.shared.options.limits;
        let reports = self.shared.options.on_progress.is_some().then_some(&self.slot.reports);
        let answer = held
            .transfer
            .drive(limits, storage, &self.database, event, &mut |progress| {
                if let Some(reports) = reports {
                    reports.push(progress);
                }
            });
        let committed = match answer.reply {
            Reply::Pending { .. } => {
                held.touched = Some(Instant::now());
                false
            }
            Reply::Committed { .. } => true,
            Reply::Rejected { .. } | Reply::Failed { .. } | Reply::Aborted | Reply::NothingRan | Reply::OutOfTurn => {
                false
            }
        };
        let holding = Holding {
            running: held.transfer.state.is_running(),
            owes_removal: held.transfer.owes_removal(),
            remembers_commit: held.transfer.remembers_commit(),
        };
        self.shared.registry.settle(&self.database, holding, committed);
        answer
    }

    /// Delivers the reports queued by calls that have ended; called with nothing locked and no
    /// turn held, because the callback may call the receiver (SR-PRG-003).
    pub(crate) fn deliver_reports(&self) {
        if let Some(on_progress) = &self.shared.options.on_progress {
            self.slot.reports.deliver(&self.database, on_progress);
        }
    }

    /// Whether a report waits for the callback.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "only the async face asks"))]
    pub(crate) fn has_reports(&self) -> bool {
        self.shared.options.on_progress.is_some() && self.slot.reports.has_any()
    }

    /// Ends the transfer if it is idle; says when to look again if it is not.
    fn expire(&self, timeout: Duration) -> Expired {
        let Ok(mut call) = self.begin_call() else {
            return Expired::NothingRuns;
        };
        let mut held = match self.slot.held.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            // A transfer that is being worked on is not idle.
            Err(TryLockError::WouldBlock) => return Expired::LookAgainIn(timeout),
        };
        let idle_for = held.touched.map_or(Duration::ZERO, |touched| touched.elapsed());
        if !held.transfer.state.is_running() {
            Expired::NothingRuns
        } else if idle_for < timeout {
            Expired::LookAgainIn(timeout - idle_for)
        } else {
            let answer = self.drive(&mut call, &mut held, Event::<Text, [u8; 0]>::IdleExpired);
            tracing::warn!(database = %self.database, ?idle_for, reply = ?answer.reply, "an idle transfer was ended");
            Expired::Ended
        }
    }
}

enum Expired {
    Ended,
    NothingRuns,
    LookAgainIn(Duration),
}

/// What a round of expiry did, and how long until the next transfer can be due.
#[derive(Debug)]
pub(super) struct ExpiryRound {
    pub(super) expired: usize,
    pub(super) next_in: Duration,
}

pub(super) fn expire_idle<S: Storage + Clone, A: Default>(
    shared: &Arc<Shared<S, A>>,
    timeout: Duration,
) -> ExpiryRound {
    let mut round = ExpiryRound {
        expired: 0,
        next_in: timeout,
    };
    for database in shared.registry.quiet() {
        let Some(lease) = lease(shared, &database) else {
            break;
        };
        match lease.expire(timeout) {
            Expired::Ended => round.expired += 1,
            Expired::NothingRuns => {}
            Expired::LookAgainIn(wait) => round.next_in = round.next_in.min(wait),
        }
    }
    round
}

impl<S: Storage + Clone, A> Shared<S, A> {
    /// See [`Receiver::close`].
    fn close(&self) -> Result<(), AbortError> {
        let Some(Closing { storage, slots }) = self.registry.close() else {
            return Ok(());
        };
        let mut call = Call {
            shared: self,
            storage: Some(storage),
        };
        let mut failures = Vec::new();
        for (database, slot) in slots {
            let mut held = lock(&slot.held);
            if let Some(storage) = &mut call.storage {
                let event = Event::<Text, [u8; 0]>::AbortRequested;
                let limits = &self.options.limits;
                let answer = held.transfer.drive(limits, storage, &database, event, &mut |_| {});
                if let Err(error) = answer.into_result() {
                    log_error(&database, &error);
                    failures.push((database, error));
                }
            }
        }
        drop(call);
        AbortError::unless_empty(failures)
    }
}

impl<S: Storage + Clone, A> Drop for Shared<S, A> {
    fn drop(&mut self) {
        // Nobody is left to tell; what failed is logged, and the next opening sweeps it.
        let _told = self.close();
    }
}

fn log_error(database: &DatabaseId, error: &ReceiveError) {
    match error {
        ReceiveError::Rejected { .. } | ReceiveError::Closed | ReceiveError::Cancelled => {
            tracing::debug!(%database, %error, "refused")
        }
        ReceiveError::Storage { .. } => tracing::warn!(%database, %error, "the attempt has ended"),
    }
}

/// Checks an envelope's ids, before there is a transfer to ask.
pub(crate) fn check_ids<B>(envelope: Envelope<B>) -> Result<Chunk<Text, B>, ReceiveError> {
    envelope.into_chunk().map_err(|rejection| {
        tracing::debug!(%rejection, "refused");
        rejection.into()
    })
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod receiver_tests;
