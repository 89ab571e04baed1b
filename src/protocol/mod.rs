//! The protocol: a pure transition function, `step(limits, state, event) -> (state, effects)`.
//!
//! Guarantees: no I/O, clock, thread, path, random number or log; its own code is `no_std`
//! with `alloc` (the checksum's crate, `crc32c`, links std). Refuses to know: the executor, the async face, the model.
//!
//! | file | what it holds |
//! |---|---|
//! | `step` | every decision |
//! | `state` | the phases, and the invariants of each |
//! | `transition` | the state machine a second time, to hold `step` against |
//! | `event`, `effect`, `rejection` | what comes in, what goes out, why not |
//! | `envelope`, `id`, `limits` | what a source sends, and what of it is acceptable |
//! | `digest` | the checksum, and the evidence that a snapshot passed it |

mod combine;
mod digest;
mod effect;
mod envelope;
mod event;
mod id;
mod limits;
mod rejection;
mod state;
mod step;
mod transition;

pub use digest::{Crc32c, Digest, Verified};
pub use effect::{EFFECTS_MAX, Effect, Effects, Progress, Reply};
pub use envelope::{Chunk, Envelope, Identity};
pub use event::{Event, Failure, FailureKind, OlderStart, Operation, Vacancy};
pub use id::{ClusterId, DatabaseId, ID_BYTES_MAX, InvalidId, Symbol, Text};
pub use limits::{CHUNK_BYTES_MAX, Limits, PROGRESS_REPORT_CHUNK_BYTES, SNAPSHOT_BYTES_MAX};
pub use rejection::{IdentityMismatch, Rejection};
pub use state::{
    AwaitingChunk, AwaitingPublication, AwaitingRemoval, AwaitingStart, BrokenInvariant, Commit, Ending, FinalChunk,
    Memory, Standing, State, Step, invariants,
};
pub use step::{needs_place, step};
pub use transition::{Cause, InvalidTransition, valid_transition};
