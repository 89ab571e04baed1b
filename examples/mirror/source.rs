//! The source's side: it sends chunks and follows the replies.
//!
//! Guarantees: success is a commit that the receiver replied; each setback (a broken link, a
//! rejection) is told in a line, and after [`SETBACKS_MAX`] of them with no new bytes acknowledged
//! the source gives up. Refuses to know: what the receiver keeps. Where to go on is what it says.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use indicatif::HumanCount;
use snapshot_receiver::protocol::Identity;
use snapshot_receiver::{Envelope, wire};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::codec::Encoder;

use crate::display::Display;
use crate::link::{Advice, Link, NotAReply, REPLY_BYTES_MAX, Reply, Space, frame_bytes_max};
use crate::snapshot::{Snapshot, SnapshotError};

/// Chunks sent and not yet answered: enough that reading, sending and writing overlap.
const WINDOW: usize = 4;

/// Setbacks in a row, with no byte acknowledged that was not acknowledged before.
const SETBACKS_MAX: u32 = 5;

/// Before the second setback in a row is answered; doubles with each.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// For one frame to go out, or one reply to come in: the last reply waits for all bytes to become
/// durable.
const SILENCE_MAX: Duration = Duration::from_secs(5 * 60);

/// What is to go wrong on the way.
pub(crate) struct Faults {
    pub(crate) drop_after: Option<u64>,
    pub(crate) corrupt_byte: Option<u64>,
}

/// What the receiver committed.
pub(crate) struct Sent {
    /// As the receiver names it.
    pub(crate) path: String,
}

pub(crate) struct Source {
    snapshot: Snapshot,
    identity: Identity,
    address: SocketAddr,
    chunk_bytes: u64,
    faults: Faults,
    display: Display,
    /// Where the receiver said to go on.
    resume_offset: u64,
    /// The largest offset that was ever acknowledged.
    furthest_offset: u64,
    setbacks: u32,
    /// Payload sent so far, repeated bytes included.
    sent_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("refused for good: {why}")]
    Refused { why: String },
    #[error("the receiver's storage failed: {why}{}", advice_on(*.space))]
    Storage { space: Space, why: String },
    #[error("the receiver does not follow the protocol: {0}")]
    Reply(#[from] NotAReply),
    #[error("the receiver does not follow the protocol: {reply} in answer to bytes {begin} to {end}")]
    UnexpectedReply { reply: &'static str, begin: u64, end: u64 },
    #[error("gave up after {SETBACKS_MAX} retries without progress: {last}")]
    GaveUp { last: String },
    /// Worth a new connection.
    #[error(transparent)]
    Link(#[from] BrokenLink),
}

fn advice_on(space: Space) -> &'static str {
    match space {
        Space::Full => "; free some space there, then send it again",
        Space::NotTheCause => "",
    }
}

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenLink {
    #[error("link broken ({0})")]
    Io(#[from] io::Error),
    #[error("link broken (closed by the receiver)")]
    Closed,
    #[error("link broken (silent for {} minutes)", SILENCE_MAX.as_secs() / 60)]
    Silent,
    #[error("cannot connect ({0})")]
    Connect(#[source] io::Error),
    #[error("link broken after {} bytes", HumanCount(*.after_bytes))]
    OnPurpose { after_bytes: u64 },
}

/// A chunk that is on its way.
struct InFlight {
    begin: u64,
    end: u64,
    done: bool,
}

/// What a reply asks of the source.
enum Next {
    SendOn,
    /// Send nothing until everything in flight is answered, then go on at the resume offset.
    Rewind,
    Finish(Sent),
}

impl Source {
    pub(crate) fn new(
        snapshot: Snapshot,
        identity: Identity,
        address: SocketAddr,
        chunk_bytes: u64,
        faults: Faults,
        display: &Display,
    ) -> Self {
        Self {
            snapshot,
            identity,
            address,
            chunk_bytes,
            faults,
            display: display.clone(),
            resume_offset: 0,
            furthest_offset: 0,
            setbacks: 0,
            sent_bytes: 0,
        }
    }

    /// Sends the snapshot until it is committed.
    pub(crate) async fn send(&mut self) -> Result<Sent, SendError> {
        let address = self.address;
        let refused = |source| SendError::Connect { address, source };
        let mut link = self.connect().await.map_err(refused)?;
        loop {
            match self.converse(link).await {
                Err(SendError::Link(broken)) => link = self.reconnect(broken).await?,
                ended => return ended,
            }
        }
    }

    async fn connect(&self) -> io::Result<Link> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Link::new(stream, REPLY_BYTES_MAX, frame_bytes_max(self.chunk_bytes)))
    }

    async fn reconnect(&mut self, mut broken: BrokenLink) -> Result<Link, SendError> {
        loop {
            let wait = self.setback(&broken)?;
            let offset = HumanCount(self.resume_offset);
            self.say(format_args!("{broken}; reconnecting at offset {offset}"));
            sleep(wait).await;
            match self.connect().await {
                Ok(link) => return Ok(link),
                Err(error) => broken = BrokenLink::Connect(error),
            }
        }
    }

    /// Counts a setback and says how long to wait before the next try.
    fn setback(&mut self, what: &dyn fmt::Display) -> Result<Duration, SendError> {
        if self.setbacks == SETBACKS_MAX {
            return Err(SendError::GaveUp { last: what.to_string() });
        }
        self.setbacks += 1;
        Ok(match self.setbacks {
            1 => Duration::ZERO,
            more => RETRY_WAIT * (1 << (more - 2)),
        })
    }

    /// One connection, from the resume offset to the commit.
    async fn converse(&mut self, mut link: Link) -> Result<Sent, SendError> {
        let mut in_flight = VecDeque::new();
        let mut rewinding = false;
        let mut next_offset = Some(self.resume_offset);
        loop {
            while let Some(offset) = next_offset
                && in_flight.len() < self.window(offset)
            {
                let chunk = match self.send_chunk(&mut link, offset).await {
                    Err(SendError::Link(broken)) => {
                        self.follow_what_came(link, in_flight).await?;
                        return Err(broken.into());
                    }
                    sent => sent?,
                };
                next_offset = (!chunk.done).then_some(chunk.end);
                in_flight.push_back(chunk);
            }
            let Some(chunk) = in_flight.pop_front() else {
                rewinding = false;
                next_offset = Some(self.resume_offset);
                continue;
            };
            match self.follow(&chunk, receive_reply(&mut link).await?, rewinding).await? {
                Next::SendOn => {}
                Next::Rewind => {
                    rewinding = true;
                    next_offset = None;
                }
                Next::Finish(sent) => return Ok(sent),
            }
        }
    }

    /// Replies may have come before the link broke. Without them, a link that breaks whenever a window
    /// is on its way would never get any further.
    async fn follow_what_came(&mut self, mut link: Link, in_flight: VecDeque<InFlight>) -> Result<(), SendError> {
        for chunk in in_flight {
            match timeout(RETRY_WAIT, receive_reply(&mut link)).await {
                Ok(Ok(reply)) => self.follow(&chunk, reply, false).await?,
                Ok(Err(SendError::Link(_))) | Err(_) => break,
                Ok(Err(error)) => return Err(error),
            };
        }
        Ok(())
    }

    /// How many chunks may be in flight with the one at `offset`: with the one that breaks the link
    /// no other, so that it shows what was acknowledged before.
    fn window(&self, offset: u64) -> usize {
        let length = self.chunk_bytes.min(self.identity.total_bytes - offset);
        match self.faults.drop_after {
            Some(bytes) if self.sent_bytes + length >= bytes => 1,
            Some(_) | None => WINDOW,
        }
    }

    async fn send_chunk(&mut self, link: &mut Link, offset: u64) -> Result<InFlight, SendError> {
        let data = self.snapshot.read(offset, self.chunk_bytes).await?;
        let length = data.len() as u64;
        let end = offset + length;
        let done = end == self.identity.total_bytes;
        let mut envelope = Envelope {
            source_cluster_id: self.identity.cluster.as_str().into(),
            source_database_id: self.identity.database.as_str().into(),
            snapshot_lsn: self.identity.snapshot_lsn,
            total_bytes: self.identity.total_bytes,
            total_crc32c: self.identity.total_crc32c,
            offset,
            data,
            done,
        };
        self.corrupt_if_due(&mut envelope);
        let frame = wire::encode(&envelope);
        self.break_if_due(link, &frame, length).await?;
        match timeout(SILENCE_MAX, link.outgoing.send(frame)).await {
            Ok(sent) => sent.map_err(BrokenLink::Io)?,
            Err(_elapsed) => return Err(BrokenLink::Silent.into()),
        }
        self.sent_bytes += length;
        Ok(InFlight {
            begin: offset,
            end,
            done,
        })
    }

    async fn follow(&mut self, chunk: &InFlight, reply: Reply, rewinding: bool) -> Result<Next, SendError> {
        match reply {
            Reply::Pending { bytes_done } if !chunk.done && bytes_done == chunk.end => {
                self.resume_at(bytes_done);
                Ok(Next::SendOn)
            }
            Reply::Committed { snapshot_lsn, path } if chunk.done && snapshot_lsn == self.identity.snapshot_lsn => {
                Ok(Next::Finish(Sent { path }))
            }
            Reply::Rejected {
                advice,
                resume_offset,
                why,
            } if resume_offset <= self.identity.total_bytes => {
                self.resume_at(resume_offset);
                // The chunks behind a rejected one are rejected with it: that is one setback.
                if !rewinding {
                    self.rejected(advice, &why).await?;
                }
                Ok(Next::Rewind)
            }
            Reply::Failed { space, why } => Err(SendError::Storage { space, why }),
            Reply::Pending { .. } => Err(chunk.unexpected("pending")),
            Reply::Committed { .. } => Err(chunk.unexpected("committed")),
            Reply::Rejected { .. } => Err(chunk.unexpected("rejected")),
        }
    }

    /// What lies before `offset` has arrived; if it never had before, that is progress.
    fn resume_at(&mut self, offset: u64) {
        self.resume_offset = offset;
        if offset > self.furthest_offset {
            self.furthest_offset = offset;
            self.setbacks = 0;
        }
        self.display.show("sending", offset, self.identity.total_bytes);
    }

    async fn rejected(&mut self, advice: Advice, why: &str) -> Result<(), SendError> {
        if advice == Advice::Stop {
            return Err(SendError::Refused { why: why.to_owned() });
        }
        let wait = self.setback(&format_args!("rejected: {why}"))?;
        match self.resume_offset {
            0 => self.say(format_args!("rejected: {why}; starting again at offset 0")),
            offset => self.say(format_args!(
                "rejected: {why}; going on at offset {}",
                HumanCount(offset)
            )),
        }
        match advice {
            Advice::GoOn | Advice::Stop => {}
            Advice::Wait => sleep(wait.max(RETRY_WAIT)).await,
            Advice::StartAgain => {
                self.faults.corrupt_byte = None;
                // Either the bytes were damaged on the way, or they are other bytes by now.
                if self.snapshot.checksum(&self.display).await? != self.identity.total_crc32c {
                    return Err(self.snapshot.changed().into());
                }
            }
        }
        Ok(())
    }

    /// `--corrupt-byte`.
    fn corrupt_if_due(&self, envelope: &mut Envelope<Vec<u8>>) {
        let Some(offset) = self.faults.corrupt_byte else {
            return;
        };
        let index = offset
            .checked_sub(envelope.offset)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(byte) = index.and_then(|index| envelope.data.get_mut(index)) {
            *byte ^= 1;
            self.say(format_args!(
                "flipped a bit of the byte at offset {} on the way",
                HumanCount(offset)
            ));
        }
    }

    /// `--drop-after`: sends the part of the frame that still gets through, then breaks the link.
    async fn break_if_due(&mut self, link: &mut Link, frame: &Bytes, length: u64) -> Result<(), BrokenLink> {
        let sent_bytes = self.sent_bytes + length;
        let Some(after_bytes) = self.faults.drop_after.take_if(|bytes| sent_bytes >= *bytes) else {
            return Ok(());
        };
        let mut bytes = BytesMut::new();
        link.outgoing.encoder_mut().encode(frame.clone(), &mut bytes)?;
        // The payload is the end of the frame.
        let lost = usize::try_from(sent_bytes - after_bytes).unwrap_or(usize::MAX);
        bytes.truncate(bytes.len().saturating_sub(lost));
        link.outgoing.get_mut().write_all(&bytes).await?;
        self.sent_bytes = after_bytes;
        Err(BrokenLink::OnPurpose { after_bytes })
    }

    fn say(&self, line: fmt::Arguments<'_>) {
        self.display.say(format_args!("source: {line}"));
    }
}

impl InFlight {
    fn unexpected(&self, reply: &'static str) -> SendError {
        SendError::UnexpectedReply {
            reply,
            begin: self.begin,
            end: self.end,
        }
    }
}

async fn receive_reply(link: &mut Link) -> Result<Reply, SendError> {
    match timeout(SILENCE_MAX, link.incoming.next()).await {
        Ok(Some(Ok(frame))) => Ok(Reply::decode(&frame)?),
        Ok(Some(Err(error))) => Err(BrokenLink::Io(error).into()),
        Ok(None) => Err(BrokenLink::Closed.into()),
        Err(_elapsed) => Err(BrokenLink::Silent.into()),
    }
}
