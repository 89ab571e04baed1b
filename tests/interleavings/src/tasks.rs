//! What tasks do, and what must come of it: calls that are awaited, dropped, or come from a stream.
//!
//! Guarantees and refusals: as the scenarios of threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use snapshot_receiver_model::harness::sequential::{Call, Calls, Told};
use snapshot_receiver_model::harness::{Answer, Sent};

use super::engine::{block_on, spawn};
use super::executor::{ChunkOutcome, Options, ReceiveError};
use super::protocol::{Envelope, State};
use super::scenarios::{A, B, Bed, Disk, NEWER_A, Source, envelope, id, note_outcome, options, told};
use super::tokio::{SnapshotReceiver, StreamError};

/// The bodies.
pub const SCENARIOS: &[(&str, fn())] = &[
    ("two_tasks", two_tasks),
    ("two_calls_in_order", two_calls_in_order),
    ("an_answered_chunk_is_there", an_answered_chunk_is_there),
    ("a_slow_database_beside_another", a_slow_database_beside_another),
    ("a_dropped_call", a_dropped_call),
    ("a_stream", a_stream),
    ("an_abort_beside_a_stream", an_abort_beside_a_stream),
    ("a_dropped_stream", a_dropped_stream),
    ("a_stream_with_a_gap", a_stream_with_a_gap),
    ("a_report_between_two_calls", a_report_between_two_calls),
];

type Async = Bed<SnapshotReceiver<Disk>>;

impl Async {
    fn new(options: Options) -> Arc<Self> {
        let disk = Disk::new();
        let receiver = SnapshotReceiver::with_storage(disk.clone(), "/", options).expect("opens");
        Arc::new(Self { receiver, disk, calls: Calls::default() })
    }

    async fn chunk(&self, thread: u8, sent: Sent) {
        self.calls.begin(thread, Call::Chunk(sent.clone()));
        let outcome = self.receiver.handle_chunk(envelope(&sent)).await;
        self.calls.end(thread, told(outcome));
    }

    async fn abort(&self, thread: u8, database: &str) {
        self.calls.begin(thread, Call::Abort(database.into()));
        let aborted = self.receiver.abort_database(database).await;
        assert!(aborted.is_ok(), "{aborted:?}");
        self.calls.end(thread, Told::Aborted);
    }

    fn finish(&self) {
        let state = block_on(self.receiver.state(&id("a"))).expect("open");
        // No scenario of tasks that is finished so has another database.
        self.check(|database| if database == "a" { state.clone() } else { State::default() });
    }
}

pub fn two_tasks() {
    let bed = Async::new(options().workers_max(1));
    let shared = Arc::clone(&bed);
    let thread = spawn(move || block_on(shared.chunk(1, A.chunk(0, 2))));
    block_on(bed.chunk(2, A.chunk(0, 4)));
    thread.join().expect("no panic");
    bed.finish();
}

/// Calls of one task that are polled in an order take effect in that order, with two workers as well.
pub fn two_calls_in_order() {
    let bed = Async::new(options().workers_max(2));
    block_on(async {
        let (first, second) = (A.chunk(0, 2), A.chunk(2, 4));
        let first = pin!(bed.receiver.handle_chunk(envelope(&first)));
        let second = pin!(bed.receiver.handle_chunk(envelope(&second)));
        let (first, second) = futures_util::future::join(first, second).await;
        assert_eq!(told(first), Told::Answer(Answer::Pending(2)));
        assert_eq!(told(second), Told::Answer(Answer::Pending(4)));
    });
    note_outcome("in order");
}

/// The worker that delivers a report leaves its lane to another: the next call does not wait for ever.
pub fn a_report_between_two_calls() {
    let mut options = options().workers_max(1).on_progress(|_, _| {});
    options.limits.report_bytes = 1;
    let bed = Async::new(options);
    block_on(async {
        let (first, second) = (A.chunk(0, 2), A.chunk(2, 4));
        let first = pin!(bed.receiver.handle_chunk(envelope(&first)));
        let second = pin!(bed.receiver.handle_chunk(envelope(&second)));
        let (first, second) = futures_util::future::join(first, second).await;
        assert_eq!([told(first), told(second)], [2, 4].map(|bytes| Told::Answer(Answer::Pending(bytes))));
    });
    note_outcome("both");
}

/// Nothing is answered before it is true.
pub fn an_answered_chunk_is_there() {
    let bed = Async::new(options().workers_max(1));
    block_on(bed.chunk(1, A.chunk(0, 2)));
    assert_eq!(bed.disk.files("a").partial.as_deref(), Some(b"ab".as_slice()), "answered before it was written");
    bed.finish();
}

/// With a worker free, a database does not wait for another (SR-CON-004). Found that a worker which was
/// called and not up yet was called again, in place of another.
pub fn a_slow_database_beside_another() {
    let bed = Async::new(options().workers_max(2));
    *bed.disk.0.is_slow.lock().expect("no panic while it is locked") = true;
    block_on(async {
        let (slow, quick) = (envelope(&A.chunk(0, 2)), envelope(&B.chunk(0, 2)));
        let quick = async {
            let outcome = bed.receiver.handle_chunk(quick).await;
            let (goes_on, changed) = &bed.disk.0.goes_on;
            *goes_on.lock().expect("no panic under the lock") = true;
            changed.notify_all();
            outcome
        };
        let (slow, quick) = futures_util::future::join(bed.receiver.handle_chunk(slow), quick).await;
        assert_eq!([told(slow), told(quick)], [2, 2].map(|bytes| Told::Answer(Answer::Pending(bytes))));
    });
    note_outcome("both");
}

/// A call that is polled once and dropped: whole, or not at all (SR-CON-002). There is room for one
/// call in the queue.
pub fn a_dropped_call() {
    let bed = Async::new(options().workers_max(1).queue_bytes_max(600));
    block_on(bed.chunk(1, A.chunk(0, 2)));
    bed.calls.begin(2, Call::Chunk(A.chunk(2, 4)));
    {
        let mut call = pin!(bed.receiver.handle_chunk(envelope(&A.chunk(2, 4))));
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = call.as_mut().poll(&mut context) {
            bed.calls.end(2, told(outcome));
        }
    }
    block_on(bed.chunk(3, A.chunk(4, 6)));
    bed.finish();
}

/// A stream is one call after the other.
fn stream(chunks: &[Sent]) -> impl futures_core::Stream<Item = Result<Envelope<Vec<u8>>, ()>> {
    let chunks: Vec<_> = chunks.iter().map(|sent| Ok(envelope(sent))).collect();
    futures_util::stream::iter(chunks)
}

pub fn a_stream() {
    let bed = Async::new(options().workers_max(1));
    let chunks = [A.chunk(0, 4), A.chunk(4, 5), A.chunk(5, 6)];
    let outcome = block_on(bed.receiver.receive(stream(&chunks)));
    assert!(matches!(outcome, Ok(ChunkOutcome::Committed { snapshot_lsn: 1, .. })), "{outcome:?}");
    assert_eq!(bed.disk.files("a").snapshot.as_deref(), Some(A.bytes));
    note_outcome("committed");
}

/// A chunk behind one that is refused is not taken, although it was in the queue already: the source
/// goes on from where the refusal says.
pub fn a_stream_with_a_gap() {
    let bed = Async::new(options().workers_max(1));
    let chunks = [A.chunk(0, 2), A.chunk(3, 5), A.chunk(2, 4)];
    let told = block_on(bed.receiver.receive(stream(&chunks)));
    let state = block_on(bed.receiver.state(&id("a"))).expect("open");
    let State::AwaitingChunk(phase) = state else {
        panic!("the transfer runs: {state:?}");
    };
    assert_eq!(phase.received_bytes, 2, "taken behind a refusal");
    assert!(
        matches!(told, Err(StreamError::Receive(ReceiveError::Rejected { resume_offset: 2, .. }))),
        "{told:?}"
    );
    note_outcome("refused");
}

pub fn an_abort_beside_a_stream() {
    let bed = Async::new(options().workers_max(1));
    let shared = Arc::clone(&bed);
    let thread = spawn(move || block_on(shared.receiver.abort_database("a")).expect("aborted"));
    let chunks = [A.chunk(0, 4), A.chunk(4, 6)];
    let outcome = block_on(bed.receiver.receive(stream(&chunks)));
    thread.join().expect("no panic");
    let files = bed.disk.files("a");
    // One of the two wins whole (SR-ABT-002).
    match outcome {
        Ok(ChunkOutcome::Committed { .. }) => assert_eq!(files.snapshot.as_deref(), Some(A.bytes)),
        other => {
            assert!(other.is_err(), "{other:?}");
            assert_eq!(files.snapshot, None);
        }
    }
    assert_eq!(files.partial, None, "a partial is left");
    note_outcome(format!("{:?}", files.snapshot));
}

/// A stream that is dropped after one poll: what it leaves, another takes over.
pub fn a_dropped_stream() {
    let bed = Async::new(options().workers_max(1));
    {
        let chunks = [A.chunk(0, 4), A.chunk(4, 6)];
        let mut receive = pin!(bed.receiver.receive(stream(&chunks)));
        let _polled = receive.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    let again = [NEWER_A.chunk(0, 4), NEWER_A.chunk(4, 6)];
    let outcome = block_on(bed.receiver.receive(stream(&again)));
    assert!(matches!(outcome, Ok(ChunkOutcome::Committed { snapshot_lsn: 2, .. })), "{outcome:?}");
    let files = bed.disk.files("a");
    assert_eq!(files.snapshot.as_deref(), Some(NEWER_A.bytes));
    assert_eq!(files.partial, None);
    note_outcome("committed");
}
