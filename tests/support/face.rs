//! The async face, as the harness calls a receiver.
//!
//! Guarantees: chunks go by turns as a call each and as a stream of one; everything else is asked of the
//! face's own functions. Refuses to know: what is compared, and what the words say.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use snapshot_receiver::executor::Storage;
use snapshot_receiver::protocol::{DatabaseId, Envelope, OlderStart, State};
use snapshot_receiver::tokio::StreamError;
use snapshot_receiver::{ReceiveError, SnapshotReceiver};
use snapshot_receiver_model::bugs::Bugs;
use snapshot_receiver_model::harness::subject::{Aborted, OnReport, Subject, Told, options};
use tokio::runtime::{Builder, Runtime};

/// See the head of this file.
pub(crate) struct AsyncFace<S>
where
    S: Storage<Partial: Send> + Clone + Send + 'static,
{
    runtime: Runtime,
    receiver: SnapshotReceiver<S>,
    chunks: usize,
}

impl<S> Subject<S> for AsyncFace<S>
where
    S: Storage<Partial: Send> + Clone + Send + 'static,
{
    fn open(storage: S, _: Bugs, on_report: OnReport) -> Result<Self, String> {
        let runtime = Builder::new_current_thread()
            .build()
            .map_err(|error| error.to_string())?;
        let receiver =
            SnapshotReceiver::with_storage(storage, "", options(on_report)).map_err(|error| error.to_string())?;
        Ok(Self {
            runtime,
            receiver,
            chunks: 0,
        })
    }

    fn chunk(&mut self, envelope: Envelope<Vec<u8>>, older: OlderStart) -> Told {
        self.chunks += 1;
        // A stream cannot lift the rule against older starts.
        let is_call = older == OlderStart::Allowed || self.chunks.is_multiple_of(2);
        let told = self.runtime.block_on(async {
            if is_call {
                return self.receiver.handle_chunk_with(envelope, older).await;
            }
            let one = stream::iter([Ok::<_, Infallible>(envelope)]);
            self.receiver.receive(one).await.map_err(|error| match error {
                StreamError::Receive(error) => error,
                StreamError::Source(never) => match never {},
                // The stream is not empty; the list may grow.
                StreamError::Empty | _ => ReceiveError::Closed,
            })
        });
        Told::of(told)
    }

    fn abort_database(&mut self, id: &str) -> Aborted {
        Aborted::of(self.runtime.block_on(self.receiver.abort_database(id)))
    }

    fn abort(&mut self) -> usize {
        let told = self.runtime.block_on(self.receiver.abort());
        told.err().map_or(0, |error| error.failures.len())
    }

    fn expire_all(&mut self) {
        // What could not be removed is owed, and compared.
        let _ended = self.runtime.block_on(self.receiver.expire_idle(Duration::ZERO));
    }

    fn close(&mut self) -> bool {
        self.runtime.block_on(self.receiver.close()).is_ok()
    }

    fn state(&self, database: &DatabaseId) -> Result<State, String> {
        let state = self.runtime.block_on(self.receiver.state(database));
        state.map_err(|error| error.to_string())
    }
}
