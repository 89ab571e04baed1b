#![cfg_attr(not(feature = "std"), no_std)]
//! Receives a database snapshot from another cluster in chunks, verifies it, and publishes it
//! atomically and durably.
//!
//! One pure function decides everything; a thin executor does what it says; the model checker,
//! the property tests and the harness run that same function.
//!
//! ```text
//!             envelope / abort / effect failed
//!                          |
//!    source  -->  [ protocol: step(limits, state, event) -> (state, effects) ]     pure
//!                          |
//!                  effects, in order
//!                          |
//!             [ executor: perform(effect, storage) ]                 one match, no decision
//!               /                              \
//!    FileSystem: real files            any other Storage, such as the model's disk
//! ```
//!
//! | module | feature | what it is |
//! |---|---|---|
//! | [`protocol`] | | the transition function, its states, events, effects; `no_std` with `alloc` (the checksum it depends on, `crc32c`, links std) |
#![cfg_attr(
    feature = "std",
    doc = "| [`executor`] | `std` | real files, the thread-safe [`Receiver`] |"
)]
#![cfg_attr(
    feature = "tokio",
    doc = "| [`tokio`] | `tokio` (default) | the async face, [`SnapshotReceiver`] |"
)]
#![cfg_attr(feature = "serde", doc = "| [`wire`] | `serde` | envelopes as bytes |")]
//!
//! Start at
#![cfg_attr(feature = "tokio", doc = "[`SnapshotReceiver`] in async code, at")]
#![cfg_attr(feature = "std", doc = "[`Receiver`] in threads, and at")]
//! [`protocol::step`] to embed the protocol alone. What is guaranteed, clause by clause, is in
//! `SPEC.md`; the ids `SR-...` in these docs are its clauses.

extern crate alloc;

#[cfg(feature = "std")]
pub mod executor;
pub mod protocol;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "serde")]
pub mod wire;

#[cfg(feature = "tokio")]
pub use crate::tokio::{SnapshotReceiver, StreamError};
#[cfg(feature = "std")]
pub use executor::{AbortError, ChunkOutcome, OpenError, Options, ReceiveError, Receiver};
pub use protocol::{DatabaseId, Envelope, OlderStart, Progress, Rejection};

/// The README's code compiles.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
