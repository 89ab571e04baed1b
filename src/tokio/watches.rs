//! Progress as values that tasks can watch.
//!
//! Guarantees: a value is kept for a database only while somebody watches it. Refuses to know:
//! transfers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::tokio::sync::watch;

use crate::executor::OnProgress;
use crate::protocol::{DatabaseId, Progress};

type Value = watch::Sender<Option<Progress>>;

#[derive(Debug, Default)]
pub(super) struct Watches {
    values: Mutex<HashMap<DatabaseId, Value>>,
}

impl Watches {
    /// A callback that updates the watched values and then calls `next`.
    pub(super) fn before(self: &Arc<Self>, next: Option<OnProgress>) -> OnProgress {
        let watches = Arc::clone(self);
        Arc::new(move |database, progress| {
            watches.update(database, progress);
            if let Some(next) = &next {
                next(database, progress);
            }
        })
    }

    pub(super) fn subscribe(&self, database: DatabaseId) -> watch::Receiver<Option<Progress>> {
        let mut values = self.values();
        values.retain(|_, value| value.receiver_count() > 0);
        let value = values.entry(database).or_insert_with(|| Value::new(None));
        value.subscribe()
    }

    /// Nothing more will be reported: watchers are told so.
    pub(super) fn end(&self) {
        self.values().clear();
    }

    fn update(&self, database: &DatabaseId, progress: Progress) {
        if let Some(value) = self.values().get(database) {
            value.send_replace(Some(progress));
        }
    }

    fn values(&self) -> MutexGuard<'_, HashMap<DatabaseId, Value>> {
        // The map is whole between statements.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
