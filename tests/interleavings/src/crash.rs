//! From an input that breaks `interleave` to its regression, and back: what `cargo gate fuzz crash` and
//! `cargo gate replay` ask of this package for that target.
//!
//! Guarantees: what is kept breaks as the crash did, and is as small as taking bytes away makes it; a
//! trace is the model crate's, so both read it. Refuses to know: what a scenario does.

use std::panic::{catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::{fs, io};

use snapshot_receiver_model::fuzzing::engine::minimise;
use snapshot_receiver_model::fuzzing::record::{InputTrace, keep};

use crate::{choose, turns};

/// An input that breaks a rule.
#[derive(Clone, Debug)]
pub struct Crash {
    /// As a trace.
    pub trace: InputTrace,
    /// What happens, a line a turn or an operation.
    pub lines: Vec<String>,
}

/// Runs an input: what happens, and what breaks. `None` where there is no such variant.
#[must_use]
pub fn run(variant: &str, input: &[u8]) -> Option<(Vec<String>, Option<String>)> {
    // The panic is the finding, and is told as one.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let (ran, mut lines) = turns::listen(|| catch_unwind(|| choose(variant, input)));
    set_hook(hook);
    match ran {
        Ok(scenario) => {
            lines.insert(0, format!("scenario {}", scenario?));
            Some((lines, None))
        }
        Err(payload) => {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some((lines, Some(text.unwrap_or_default())))
        }
    }
}

/// What is the same in two findings: the words before what differs from run to run.
fn kind(what: &str) -> &str {
    what.split([':', '\n']).next().unwrap_or_default()
}

/// An input made small that breaks the same. `None` where it breaks nothing.
#[must_use]
pub fn record(variant: &str, input: &[u8]) -> Option<Crash> {
    let (_, first) = run(variant, input)?;
    let first = first?;
    // One byte stays, which names the scenario: a trace without any is none.
    let breaks = |input: &[u8]| {
        let ran = if input.is_empty() { None } else { run(variant, input) };
        ran.and_then(|(_, what)| what)
            .is_some_and(|what| kind(&what) == kind(&first))
    };
    let input = minimise(1, input, breaks);
    let (lines, what) = run(variant, &input)?;
    Some(Crash {
        trace: InputTrace {
            target: InputTrace::INTERLEAVE.to_owned(),
            bug: (variant != "shipped").then(|| variant.to_owned()),
            broken: what.into_iter().map(|what| what.replace('\n', " ")).collect(),
            input,
        },
        lines,
    })
}

/// Keeps a crash as a regression: the input, its trace, a note of its cause. Its trace's path.
///
/// # Errors
/// A file cannot be read or written.
pub fn keep_crash(crash: &Crash, directory: &Path, name: &str, cause: &str) -> io::Result<PathBuf> {
    let text = crash.trace.text_with(&crash.lines);
    let found_as = crash.trace.broken.join(" ");
    keep(
        &directory.join(InputTrace::INTERLEAVE),
        name,
        &crash.trace.input,
        &text,
        cause,
        &found_as,
    )
}

/// Reads a trace of this target.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_trace(path: &Path) -> io::Result<InputTrace> {
    use snapshot_receiver_model::fuzzing::record::Recorded;
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    match Recorded::parse(&fs::read_to_string(path)?).map_err(|error| wrong(error.to_string()))? {
        Recorded::Input(trace) if trace.target == InputTrace::INTERLEAVE => Ok(trace),
        Recorded::Input(_) | Recorded::World(_) => Err(wrong("it is of another target".to_owned())),
    }
}
