//! The receiver's side: frames to chunks, outcomes to replies.
//!
//! Guarantees: each envelope gets one reply, in order; what is no envelope closes its connection
//! and nothing else. Refuses to know: what is decided; that is the library's business.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use indicatif::HumanCount;
use snapshot_receiver::protocol::Text;
use snapshot_receiver::{
    AbortError, ChunkOutcome, Envelope, OpenError, Options, ReceiveError, Rejection, SnapshotReceiver, wire,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::display::Display;
use crate::link::{Advice, Link, REPLY_BYTES_MAX, Reply, Space, frame_bytes_max};

/// Each may hold a frame of the longest chunk: 64 of 16 MiB are 1 GiB.
const CONNECTIONS_MAX: usize = 64;

/// As long as the library waits for the next chunk of a transfer by default.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// After a connection could not be accepted, so that an exhausted limit is no busy loop.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// A listener and the receiver behind it.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// All that connections share.
struct Shared {
    receiver: Mutex<SnapshotReceiver>,
    data_dir: PathBuf,
    options: Options,
    restart_at: Mutex<Option<u64>>,
    commits: UnboundedSender<Commit>,
    display: Display,
}

/// A commit that was replied.
pub(crate) struct Commit {
    database: Text,
    snapshot_lsn: u64,
    path: PathBuf,
    /// Nothing speaks against it that the reply was read. If it was not, the source comes back.
    pub(crate) is_heard: bool,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "committed {} at LSN {}: {path}", self.database, self.snapshot_lsn)?;
        f.write_str(if self.is_heard { "" } else { " (the reply was lost)" })
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Close(#[from] AbortError),
}

/// Why a connection ends before its source closes it.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("link broken ({0})")]
    Io(#[from] io::Error),
    #[error("{0}; closed the connection")]
    Decode(#[from] wire::DecodeError),
    #[error("nothing came for {} minutes; closed the connection", IDLE_MAX.as_secs() / 60)]
    Idle,
    /// There is nothing true to reply, so the source has to connect again.
    #[error("{0}; closed the connection")]
    Receive(ReceiveError),
    #[error("restarted after {} bytes had arrived; what it had of them is gone", HumanCount(*.after_bytes))]
    Restarted { after_bytes: u64 },
    #[error("cannot restart: {0}")]
    Restart(#[from] OpenError),
}

impl Server {
    /// Opens the receiver first: a directory in use is told before anybody connects.
    pub(crate) async fn open(
        data_dir: &Path,
        options: Options,
        listen: SocketAddr,
        restart_at: Option<u64>,
        commits: UnboundedSender<Commit>,
        display: &Display,
    ) -> Result<Self, ServerError> {
        let receiver = open_receiver(data_dir, &options, display).await?;
        let refused = |source| ServerError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        Ok(Self {
            address: listener.local_addr().map_err(refused)?,
            listener,
            shared: Arc::new(Shared {
                receiver: Mutex::new(receiver),
                data_dir: data_dir.to_owned(),
                options,
                restart_at: Mutex::new(restart_at),
                commits,
                display: display.clone(),
            }),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped, which also ends the connections.
    pub(crate) async fn serve(&self) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(Arc::clone(&self.shared).serve_connection(stream, peer));
                    }
                    Err(error) => {
                        self.shared.display.say(format_args!("receiver: cannot accept a connection: {error}"));
                        sleep(ACCEPT_WAIT).await;
                    }
                },
                Some(_ended) = connections.join_next() => {}
            }
        }
    }

    /// Ends running transfers, removes their partials and frees the directory.
    pub(crate) async fn close(&self) -> Result<(), ServerError> {
        Ok(self.shared.receiver().close().await?)
    }
}

async fn open_receiver(data_dir: &Path, options: &Options, display: &Display) -> Result<SnapshotReceiver, OpenError> {
    let receiver = SnapshotReceiver::open(data_dir, options.clone()).await?;
    for orphan in receiver.orphans_left() {
        let (database, error) = (&orphan.found.database, &orphan.error);
        display.say(format_args!(
            "receiver: an orphan partial of {database} is left: {error}"
        ));
    }
    Ok(receiver)
}

impl Shared {
    async fn serve_connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let mut unheard = None;
        let ended = self.converse(stream, &mut unheard).await;
        self.announce(unheard, ended.is_ok());
        if let Err(error) = ended {
            self.display.say(format_args!("receiver: {peer}: {error}"));
        }
    }

    /// Replies to each envelope, until the source closes the connection.
    async fn converse(&self, stream: TcpStream, unheard: &mut Option<Commit>) -> Result<(), ConnectionError> {
        // A reply is small, and the source waits for it.
        stream.set_nodelay(true)?;
        let chunk_bytes_max = self.options.limits.chunk_bytes_max;
        let mut link = Link::new(stream, frame_bytes_max(chunk_bytes_max), REPLY_BYTES_MAX);
        loop {
            let next = timeout(IDLE_MAX, link.incoming.next()).await;
            let Some(frame) = next.map_err(|_elapsed| ConnectionError::Idle)? else {
                // A source that closes before it has read the reply leaves an error behind.
                return link.take_error()?.map_or(Ok(()), |error| Err(error.into()));
            };
            let envelope = wire::decode(&frame?.freeze())?;
            self.announce(unheard.take(), true);
            self.restart_if_due(&envelope).await?;
            let (reply, commit) = self.take(envelope).await?;
            *unheard = commit;
            link.outgoing.send(Bytes::from(reply.encode())).await?;
        }
    }

    fn announce(&self, commit: Option<Commit>, is_heard: bool) {
        if let Some(commit) = commit {
            // Nobody listens where nobody wants to know.
            self.commits.send(Commit { is_heard, ..commit }).unwrap_or_default();
        }
    }

    async fn take(&self, envelope: Envelope<Bytes>) -> Result<(Reply, Option<Commit>), ConnectionError> {
        let database = Text::clone(&envelope.source_database_id);
        let receiver = self.receiver();
        match receiver.handle_chunk(envelope).await {
            Ok(ChunkOutcome::Pending { bytes_done }) => Ok((Reply::Pending { bytes_done }, None)),
            Ok(ChunkOutcome::Committed {
                snapshot_lsn,
                snapshot_path: path,
            }) => {
                let reply = Reply::Committed {
                    snapshot_lsn,
                    path: path.display().to_string(),
                };
                let commit = Commit {
                    database,
                    snapshot_lsn,
                    path,
                    is_heard: false,
                };
                Ok((reply, Some(commit)))
            }
            Err(error) => Ok((self.refusal(error)?, None)),
        }
    }

    fn refusal(&self, error: ReceiveError) -> Result<Reply, ConnectionError> {
        match error {
            ReceiveError::Rejected {
                rejection,
                resume_offset,
                removal_failed,
            } => {
                if let Some(error) = removal_failed {
                    self.display
                        .say(format_args!("receiver: a partial could not be removed: {error}"));
                }
                Ok(Reply::Rejected {
                    advice: advice(&rejection),
                    resume_offset,
                    why: rejection.to_string(),
                })
            }
            error @ ReceiveError::Storage { .. } => Ok(Reply::Failed {
                space: if error.is_storage_full() {
                    Space::Full
                } else {
                    Space::NotTheCause
                },
                why: error.to_string(),
            }),
            error @ (ReceiveError::Closed | ReceiveError::Cancelled | _) => Err(ConnectionError::Receive(error)),
        }
    }

    /// `--restart-at`: closes the receiver and opens another, once, and ends the connection as a
    /// restarted process would.
    async fn restart_if_due(&self, envelope: &Envelope<Bytes>) -> Result<(), ConnectionError> {
        let after_bytes = envelope.offset.saturating_add(envelope.data.len() as u64);
        let due = lock(&self.restart_at).take_if(|restart_at| after_bytes >= *restart_at);
        if due.is_none() {
            return Ok(());
        }
        let receiver = self.receiver();
        if !envelope.done {
            // Its bytes arrived, and are lost with the partial: what was replied nobody hears.
            let _unheard = receiver.handle_chunk(envelope.clone()).await;
        }
        if let Err(error) = receiver.close().await {
            self.display.say(format_args!("receiver: {error}"));
        }
        let reopened = open_receiver(&self.data_dir, &self.options, &self.display).await?;
        *lock(&self.receiver) = reopened;
        Err(ConnectionError::Restarted { after_bytes })
    }

    fn receiver(&self) -> SnapshotReceiver {
        lock(&self.receiver).clone()
    }
}

/// What is locked here is only ever replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn advice(rejection: &Rejection) -> Advice {
    match rejection {
        Rejection::OffsetMismatch { .. } | Rejection::IdentityMismatch(_) => Advice::GoOn,
        Rejection::LengthMismatch { .. } | Rejection::CrcMismatch { .. } => Advice::StartAgain,
        Rejection::TooManyTransfers { .. } => Advice::Wait,
        Rejection::InvalidDatabaseId(_)
        | Rejection::InvalidClusterId(_)
        | Rejection::ChunkTooLarge { .. }
        | Rejection::SnapshotTooLarge { .. }
        | Rejection::LengthOverrun { .. }
        | Rejection::StaleSnapshot { .. } => Advice::Stop,
    }
}
