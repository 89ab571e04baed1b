//! A connection as frames, and replies as text.
//!
//! A frame is its length in 4 bytes, big-endian, and then that many bytes. One way they are
//! envelopes (`snapshot_receiver::wire`), the other way replies: one for each envelope, in order.
//!
//! Guarantees: no frame longer than the given maximum is accepted or sent; a reply that does not
//! parse is an error, not a guess. Refuses to know: what either side does about a reply.

use std::fmt;
use std::io;

use snapshot_receiver::protocol::ID_BYTES_MAX;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

/// All of an envelope but its payload: two ids with lengths of 2 bytes, three 64-bit numbers of up
/// to 10 bytes, a 32-bit one of up to 5, and a byte for `done`.
const HEADER_BYTES_MAX: usize = 2 * (2 + ID_BYTES_MAX) + 3 * 10 + 5 + 1;

/// The longest reply; a path is at most 4 KiB on common systems.
pub(crate) const REPLY_BYTES_MAX: usize = 16 << 10;

/// The longest frame that carries a chunk of this length.
pub(crate) fn frame_bytes_max(chunk_bytes: u64) -> usize {
    usize::try_from(chunk_bytes).map_or(usize::MAX, |bytes| bytes.saturating_add(HEADER_BYTES_MAX))
}

/// A connection, of either side.
pub(crate) struct Link {
    pub(crate) incoming: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    pub(crate) outgoing: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
}

impl Link {
    pub(crate) fn new(stream: TcpStream, incoming_bytes_max: usize, outgoing_bytes_max: usize) -> Self {
        let codec = |bytes_max| LengthDelimitedCodec::builder().max_frame_length(bytes_max).new_codec();
        let (read, write) = stream.into_split();
        Self {
            incoming: FramedRead::new(read, codec(incoming_bytes_max)),
            outgoing: FramedWrite::new(write, codec(outgoing_bytes_max)),
        }
    }

    /// What went wrong with what was sent last, as far as that is known by now.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.incoming.get_ref().as_ref().take_error()
    }
}

/// What the receiver says to a chunk. As text, with the fields in this order and single spaces
/// between them: `pending 1048576`, `committed 42 /path`, `rejected go-on 0 why`, `failed full why`.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The bytes up to `bytes_done` are in the partial.
    Pending { bytes_done: u64 },
    /// The snapshot is complete, verified and durable.
    Committed { snapshot_lsn: u64, path: String },
    /// The chunk was not taken, or the snapshot not believed.
    Rejected {
        advice: Advice,
        resume_offset: u64,
        why: String,
    },
    /// Storage is at fault; the attempt has ended.
    Failed { space: Space, why: String },
}

/// What a source can do about a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Go on at the resume offset.
    GoOn,
    /// The same, in a while.
    Wait,
    /// Start again: the bytes that arrived are not the ones declared.
    StartAgain,
    /// The same again would be rejected again.
    Stop,
}

/// Whether freeing space would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Full,
    NotTheCause,
}

/// A frame that is no reply.
#[derive(Debug, thiserror::Error)]
#[error("not a reply: {0:?}")]
pub(crate) struct NotAReply(String);

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Pending { bytes_done } => format!("pending {bytes_done}"),
            Self::Committed { snapshot_lsn, path } => format!("committed {snapshot_lsn} {path}"),
            Self::Rejected {
                advice,
                resume_offset,
                why,
            } => format!("rejected {advice} {resume_offset} {why}"),
            Self::Failed { space, why } => format!("failed {space} {why}"),
        }
        .into_bytes()
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, NotAReply> {
        // Replies are shown on a terminal: the other side must not be able to steer that.
        let text = String::from_utf8_lossy(frame).replace(char::is_control, "\u{fffd}");
        Self::parse(&text).ok_or_else(|| NotAReply(text.chars().take(80).collect()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once(' ')?;
        match word {
            "pending" => Some(Self::Pending {
                bytes_done: rest.parse().ok()?,
            }),
            "committed" => {
                let (snapshot_lsn, path) = rest.split_once(' ')?;
                Some(Self::Committed {
                    snapshot_lsn: snapshot_lsn.parse().ok()?,
                    path: path.to_owned(),
                })
            }
            "rejected" => {
                let (advice, rest) = rest.split_once(' ')?;
                let (resume_offset, why) = rest.split_once(' ')?;
                Some(Self::Rejected {
                    advice: Advice::ALL.into_iter().find(|known| known.name() == advice)?,
                    resume_offset: resume_offset.parse().ok()?,
                    why: why.to_owned(),
                })
            }
            "failed" => {
                let (space, why) = rest.split_once(' ')?;
                Some(Self::Failed {
                    space: Space::ALL.into_iter().find(|known| known.name() == space)?,
                    why: why.to_owned(),
                })
            }
            _ => None,
        }
    }
}

impl Advice {
    const ALL: [Self; 4] = [Self::GoOn, Self::Wait, Self::StartAgain, Self::Stop];

    fn name(self) -> &'static str {
        match self {
            Self::GoOn => "go-on",
            Self::Wait => "wait",
            Self::StartAgain => "start-again",
            Self::Stop => "stop",
        }
    }
}

impl Space {
    const ALL: [Self; 2] = [Self::Full, Self::NotTheCause];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::NotTheCause => "other",
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
