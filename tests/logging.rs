//! What an operator finds in the log.
//!
//! Guarantees: every call that fails leaves one event, at the level of whoever has to act: a
//! refusal is the source's and only for debugging, a failure of the storage is a warning.
//! Refuses to know: formats and collectors.

mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use support::{Source, open, partial};
use tempfile::tempdir;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps each event's level and fields.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<(Level, String)>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("a string");
    }
}

impl Subscriber for Noted {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let noted = (*event.metadata().level(), fields.0);
        self.0.lock().expect("not poisoned").push(noted);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Mutant: nothing is logged of a call that failed.
#[test]
fn a_refusal_is_logged_for_debugging_and_a_failure_of_the_storage_as_a_warning() {
    let dir = tempdir().expect("a directory");
    let receiver = open(dir.path());
    let source = Source::new("db", 1, b"abcdef");
    let noted = Noted::default();
    with_default(noted.clone(), || {
        receiver.handle_chunk(source.rest(3)).expect_err("a late chunk");
        std::fs::create_dir(partial(dir.path(), "db")).expect("made");
        receiver
            .handle_chunk(source.chunk(0, 3, false))
            .expect_err("a directory is in the way");
    });
    let noted = noted.0.lock().expect("not poisoned");
    let levels: Vec<Level> = noted.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [Level::DEBUG, Level::WARN], "{noted:?}");
    assert!(
        noted.iter().all(|(_, fields)| fields.contains("database=db ")),
        "{noted:?}"
    );
}
