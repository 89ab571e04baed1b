//! A whole transfer from a stream.
//!
//! Guarantees: the chunks take effect as if each had been handed over after the one before was
//! answered; while one is written, the next are received and hashed; the stream is read no faster
//! than the storage takes it, and at most the queue's bytes and one chunk are held. Refuses to know:
//! where the stream comes from, and what is decided.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use ::tokio::task::yield_now;
use futures_core::Stream;

use super::joined::{Joiner, Piece};
use super::{SnapshotReceiver, Submitted, Turn, panicked};
use crate::executor::{ChunkOutcome, ReceiveError, Storage, check_ids};
use crate::protocol::{Chunk, Envelope, OlderStart, State, Text};

/// Bytes that are worth one write: long enough that the system call does not count, short enough to
/// be in the processor's cache when they are written.
const JOINED_BYTES_MAX: usize = 256 << 10;

/// A payload up to this length is hashed at one go, in some 50 microseconds; a longer one lets other
/// tasks run in between.
const HASHED_BYTES_MAX: usize = 1 << 20;

/// Why a stream did not lead to an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// The stream itself failed. What it had brought before has been taken: the transfer can go on
    /// from where it stands.
    #[error("the stream failed: {0}")]
    Source(E),
    /// A chunk was not taken, and the stream not read any further.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The stream ended before it brought anything.
    #[error("the stream ended before its first chunk")]
    Empty,
}

impl<S> SnapshotReceiver<S>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
{
    /// Takes the chunks of one transfer from a stream, until the one that says `done`, the end of the
    /// stream, or a failure; returns the last chunk's outcome.
    ///
    /// As [`handle_chunk`](Self::handle_chunk) for each in turn, but faster: after the first, it does not
    /// wait for an answer before it takes the next chunk from the stream, computes the checksum of one
    /// while the one before is written, and joins small chunks into larger writes. At most
    /// [`Options::queue_bytes_max`](crate::Options) and one chunk are held, and of a stream whose first
    /// chunk is not taken that chunk alone; then the stream is not polled, which is what slows a source
    /// down.
    ///
    /// Dropping the future ends the reading. A chunk that a worker has begun takes effect whole, or
    /// ends its attempt; those behind it have no effect (SR-CON-002).
    ///
    /// # Errors
    /// [`StreamError`]. After [`StreamError::Source`], and after a rejection that is no verdict, the
    /// transfer is still running: a new stream may go on with it from its next expected offset, or
    /// start again from 0.
    ///
    /// ```
    /// use futures_util::stream;
    /// use snapshot_receiver::{ChunkOutcome, Envelope, Options, SnapshotReceiver};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let data_dir = dir.path();
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let receiver = SnapshotReceiver::open(data_dir, Options::default()).await?;
    /// let chunk = |offset, data: &'static [u8], done| {
    ///     Ok::<_, std::io::Error>(Envelope {
    ///         source_cluster_id: "prod-us".into(),
    ///         source_database_id: "db_01".into(),
    ///         snapshot_lsn: 42,
    ///         total_bytes: 11,
    ///         total_crc32c: 0xc994_65aa,
    ///         offset,
    ///         data,
    ///         done,
    ///     })
    /// };
    /// let from_a_socket = stream::iter([chunk(0, b"hello ", false), chunk(6, b"world", true)]);
    /// let outcome = receiver.receive(from_a_socket).await?;
    /// assert!(matches!(outcome, ChunkOutcome::Committed { snapshot_lsn: 42, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn receive<B, E>(
        &self,
        stream: impl Stream<Item = Result<Envelope<B>, E>>,
    ) -> Result<ChunkOutcome, StreamError<E>>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        let mut stream = pin!(stream);
        let Some(first) = next(stream.as_mut()).await else {
            return Err(StreamError::Empty);
        };
        let first = check_ids(first.map_err(StreamError::Source)?)?;
        let unreported_bytes = self.unreported_bytes(&first).await?;
        let bytes_max = JOINED_BYTES_MAX.min(self.inner.queue_bytes_max / 4);
        let joiner = Joiner::new(self.inner.receiver.limits(), bytes_max, unreported_bytes);
        // Set by the first chunk that is not taken: those in the queue behind it would not have been
        // read. Jobs of a lane run one at a time and in order, so it needs no order of its own.
        let is_over = Arc::new(AtomicBool::new(false));
        let submit = |turn: Turn<S>, chunk: Chunk<Text, Piece<B>>| {
            let is_over = Arc::clone(&is_over);
            self.submit(turn, move |lease| {
                if is_over.load(Ordering::Relaxed) {
                    // Nobody sees it: the one before is answered first, and ends the reading.
                    return Err(ReceiveError::Cancelled);
                }
                let outcome = lease.handle_chunk(chunk, OlderStart::Refused);
                if outcome.is_err() {
                    is_over.store(true, Ordering::Relaxed);
                }
                outcome
            })
        };
        let mut pipeline = Pipeline {
            receiver: self,
            joiner,
            room: None,
            submit,
            under_way: VecDeque::new(),
            latest: None,
            payloads: PhantomData,
        };
        let mut is_last = pipeline.take(first).await?;
        // A stream whose transfer does not run is not read on: so the bound on transfers bounds what all
        // streams hold, and a start that is refused costs its source one chunk.
        pipeline.answer_all().await?;
        let mut failed = None;
        while !is_last {
            match pipeline.event(stream.as_mut()).await {
                Event::Arrived(Ok(envelope)) => is_last = pipeline.take(check_ids(envelope)?).await?,
                Event::Arrived(Err(error)) => {
                    failed = Some(error);
                    break;
                }
                Event::Ended => break,
                Event::Idle => pipeline.submit_joined(),
                Event::Answered(answer) => pipeline.note(answer)?,
            }
        }
        pipeline.answer_all().await?;
        match (failed, pipeline.latest) {
            (Some(error), _) => Err(StreamError::Source(error)),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(StreamError::Empty),
        }
    }

    /// Where the transfer that `chunk` would continue stands between two reports.
    async fn unreported_bytes<B>(&self, chunk: &Chunk<Text, B>) -> Result<u64, ReceiveError> {
        if chunk.offset == 0 {
            return Ok(0);
        }
        Ok(match self.state(&chunk.identity.database).await? {
            State::AwaitingChunk(phase) => phase.received_bytes.saturating_sub(phase.reported_bytes),
            State::AwaitingStart(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => 0,
        })
    }
}

/// What the pipeline waits for.
enum Event<B, E> {
    Arrived(Result<Envelope<B>, E>),
    Ended,
    Answered(Result<ChunkOutcome, ReceiveError>),
    /// The stream has nothing at the moment, and the storage little.
    Idle,
}

struct Pipeline<'a, S, F, B, Submit>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
    F: FnOnce(&Turn<S>) -> Result<ChunkOutcome, ReceiveError> + Send,
{
    receiver: &'a SnapshotReceiver<S>,
    joiner: Joiner,
    /// Of the chunk that is being joined: taken before its first byte is copied.
    room: Option<Turn<S>>,
    submit: Submit,
    /// In the order of the stream.
    under_way: VecDeque<Submitted<S, F, ChunkOutcome>>,
    latest: Option<ChunkOutcome>,
    payloads: PhantomData<fn(B)>,
}

impl<S, F, B, Submit> Pipeline<'_, S, F, B, Submit>
where
    S: Storage + Clone + Send + 'static,
    S::Partial: Send,
    F: FnOnce(&Turn<S>) -> Result<ChunkOutcome, ReceiveError> + Send,
    B: AsRef<[u8]> + Send + 'static,
    Submit: Fn(Turn<S>, Chunk<Text, Piece<B>>) -> Submitted<S, F, ChunkOutcome>,
{
    /// Whether it was the last.
    async fn take(&mut self, chunk: Chunk<Text, B>) -> Result<bool, ReceiveError> {
        let is_last = chunk.done;
        if !self.joiner.takes(&chunk) {
            self.submit_joined();
        }
        if self.joiner.takes(&chunk) {
            if self.joiner.is_empty() {
                let bytes = self.joiner.bytes_max();
                self.room = Some(self.receiver.turn_for(&chunk.identity.database, bytes).await?);
            }
            self.joiner.join(&chunk);
            if self.joiner.is_complete() {
                self.submit_joined();
            }
        } else {
            self.joiner.count(&chunk);
            let bytes = chunk.data().as_ref().len();
            let chunk = hashed(chunk).await;
            let turn = self.receiver.turn_for(&chunk.identity.database, bytes).await?;
            self.under_way.push_back((self.submit)(turn, chunk));
        }
        while self.under_way.front().is_some_and(|call| call.is_done()) {
            self.answer().await?;
        }
        Ok(is_last)
    }

    fn submit_joined(&mut self) {
        if let (Some(turn), Some(chunk)) = (self.room.take(), self.joiner.take()) {
            self.under_way.push_back((self.submit)(turn, chunk.hashed()));
        }
    }

    /// The next thing to happen. Answers that are there are noted with each chunk that arrives.
    async fn event<E>(&mut self, mut stream: Pin<&mut impl Stream<Item = Result<Envelope<B>, E>>>) -> Event<B, E> {
        poll_fn(|context| {
            match stream.as_mut().poll_next(context) {
                Poll::Ready(Some(item)) => Poll::Ready(Event::Arrived(item)),
                Poll::Ready(None) => Poll::Ready(Event::Ended),
                // Else one is being written and one is ready after it: time to join more.
                Poll::Pending if self.under_way.len() < 2 && !self.joiner.is_empty() => Poll::Ready(Event::Idle),
                // Only now: a worker should not have to wake a task that has chunks to take.
                Poll::Pending => self.poll_answer(context).map(Event::Answered),
            }
        })
        .await
    }

    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<ChunkOutcome, ReceiveError>> {
        let Some(call) = self.under_way.front_mut() else {
            return Poll::Pending;
        };
        Pin::new(call).poll(context).map(|answer| {
            self.under_way.pop_front();
            answer.unwrap_or_else(|error| Err(panicked(error)))
        })
    }

    /// Waits for the oldest call.
    async fn answer(&mut self) -> Result<(), ReceiveError> {
        let answer = poll_fn(|context| self.poll_answer(context)).await;
        self.note(answer)
    }

    fn note(&mut self, answer: Result<ChunkOutcome, ReceiveError>) -> Result<(), ReceiveError> {
        self.latest = Some(answer?);
        Ok(())
    }

    /// Waits until nothing is under way.
    async fn answer_all(&mut self) -> Result<(), ReceiveError> {
        self.submit_joined();
        while !self.under_way.is_empty() {
            self.answer().await?;
        }
        Ok(())
    }
}

async fn next<T>(mut stream: Pin<&mut impl Stream<Item = T>>) -> Option<T> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// The chunk with its payload's checksum.
async fn hashed<B: AsRef<[u8]>>(chunk: Chunk<Text, B>) -> Chunk<Text, Piece<B>> {
    let mut crc32c = 0;
    for (index, slice) in chunk.data().as_ref().chunks(HASHED_BYTES_MAX).enumerate() {
        if index > 0 {
            yield_now().await;
        }
        crc32c = crc32c::crc32c_append(crc32c, slice);
    }
    chunk.with_payload_crc32c(crc32c).map_data(Piece::Whole)
}
