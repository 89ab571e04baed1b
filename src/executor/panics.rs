//! Panics, caught.
//!
//! Guarantees: whatever code of a payload, a storage, a callback or a subscriber does, what runs
//! here ends here, even where dropping what it panicked with panics again (SR-CON-003). Refuses to
//! know: what follows from it.

use std::any::Any;
use std::io;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::storage::StorageError;
use crate::protocol::{FailureKind, Operation};

/// Runs it; a panic comes back as a failure.
///
/// Unwind-safe by what callers do: after a failure they replace what the closure may have left
/// half-done.
pub(super) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, (Operation, StorageError)> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let source = io::Error::other(format!("panicked: {}", message(payload)));
        let kind = FailureKind::Other;
        let source = Some(source);
        (Operation::Panic, StorageError { kind, source })
    })
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let text = match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => payload
            .downcast_ref::<&str>()
            .map_or("no message".to_owned(), |text| (*text).to_owned()),
    };
    // Dropping it is foreign code as well.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        forget(again);
    }
    text
}
