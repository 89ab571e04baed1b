//! The executor: performs the protocol's effects on storage, and shares transfers among threads.
//!
//! Guarantees: no decision is made here. Refuses to know: any runtime, and the model.
//!
//! | file | what it holds |
//! |---|---|
//! | `storage` | what is needed of a disk |
//! | `filesystem` | real files |
//! | `perform` | one effect, one storage operation |
//! | `transfer` | state and open file together; the loop from an event to its reply |
//! | `recovery` | what an opening does |
//! | `registry`, `receiver` | transfers by database, shared among threads |
//! | `workers`, `call` | threads for callers that must not block, and their calls |
//! | `expiry`, `progress` | idle transfers; reports |
//! | `options`, `error`, `names` | what is set, what is told, what files are called |
//! | `sync`, `panics` | what locks and threads are; panics, caught |

#[cfg(feature = "tokio")]
mod call;
mod error;
mod expiry;
mod filesystem;
mod names;
mod options;
mod panics;
mod perform;
mod progress;
mod receiver;
mod recovery;
mod registry;
mod storage;
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "only the async face has workers"))]
mod sync;
mod transfer;
#[cfg(feature = "tokio")]
mod workers;

#[cfg(feature = "tokio")]
pub(crate) use call::{Awaited, Call, Panicked, Subject};
pub use error::{AbortError, OpenError, ReceiveError};
pub use filesystem::FileSystem;
pub use names::{RECEIVE_DIRECTORY, partial_name, snapshot_name, snapshot_path};
pub use options::Options;
pub use perform::{Performed, perform};
pub use progress::OnProgress;
pub use receiver::{ChunkOutcome, Receiver};
#[cfg(feature = "tokio")]
pub(crate) use receiver::{Lease, check_ids};
pub use recovery::{OrphanLeft, RecoveryError, recover};
pub use storage::{Directory, Found, FoundKind, Storage, StorageError};
pub use transfer::{Answer, Transfer};
#[cfg(feature = "tokio")]
pub(crate) use workers::{Lane, Workers};
