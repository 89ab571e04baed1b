//! Scenarios from files: read, and held to bounds.
//!
//! Guarantees: whatever the text, what is read runs in bounded time and memory and does something, nothing
//! in it was passed over, and an outsider's hand in it reaches nothing outside the scratch directory, not
//! through a link either. Refuses to know: what must be answered.

use std::collections::BTreeSet;

use serde_json::Value;

use super::calls::{Armed, KINDS};
use super::run::CHUNK_SENT_MAX;
use super::scenario::{DATA, Data, Scenario, Step, Thing};

/// Most steps, repetitions unrolled.
pub const STEPS_MAX: u64 = 100_000;
/// Most bytes of all payloads together.
pub const PAYLOADS_BYTES_MAX: u64 = 16 * CHUNK_SENT_MAX;
/// Most repetitions one inside the other.
const NESTED_MAX: usize = 8;
/// Longest wait before a kill.
const KILL_MICROS_MAX: u64 = 10_000_000;
/// Largest small disk.
const SMALL_DISK_BYTES_MAX: u64 = 1 << 30;

/// Why a text is no scenario that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// It is not JSON, or not the JSON of a scenario.
    #[error("no scenario: {0}")]
    Json(String),
    /// Something that would be passed over.
    #[error("{0} is not understood")]
    Unknown(String),
    /// It has no steps.
    #[error("the scenario has no steps")]
    Empty,
    /// It has more steps, larger payloads or longer waits than anybody runs.
    #[error("{what}: {actual}, and at most {most} are run")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much.
        actual: u64,
        /// The bound.
        most: u64,
    },
    /// A path that leads out of the scratch directory.
    #[error("{0:?} is no path below the scratch directory")]
    Path(String),
}

/// Reads a scenario.
///
/// # Errors
/// [`ScenarioError`].
pub fn read(text: &str) -> Result<Scenario, ScenarioError> {
    let not_json = |error: serde_json::Error| ScenarioError::Json(error.to_string());
    let scenario: Scenario = serde_json::from_str(text).map_err(not_json)?;
    let given: Value = serde_json::from_str(text).map_err(not_json)?;
    let understood = serde_json::to_value(&scenario).map_err(not_json)?;
    if let Some(path) = passed_over(&given, &understood) {
        return Err(ScenarioError::Unknown(path));
    }
    if !does_something(&scenario.steps) {
        return Err(ScenarioError::Empty);
    }
    let mut size = Size::default();
    size.add(&scenario.steps, 1, 0)?;
    let mut links = BTreeSet::new();
    scenario.steps.iter().try_for_each(|step| places(step, &mut links))?;
    Ok(scenario)
}

fn does_something(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::Repeat { times, steps } => *times > 0 && does_something(steps),
        Step::Open { .. }
        | Step::SecondOpen
        | Step::Chunk { .. }
        | Step::Abort { .. }
        | Step::Close
        | Step::Kill
        | Step::KillDuring { .. }
        | Step::Malformed { .. }
        | Step::Place { .. }
        | Step::TakeAway { .. }
        | Step::FileSizeLimit { .. }
        | Step::SmallDisk { .. }
        | Step::FailNext { .. }
        | Step::Expire => true,
    })
}

/// The path of a field that reading passed over, if there is one.
fn passed_over(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => given.iter().find_map(|(key, value)| {
            // What stands for a default is not written again.
            let is_default = match key.as_str() {
                "data_dir" => value == DATA,
                "database" | "beyond" => value.is_null(),
                _ => false,
            };
            match understood.get(key) {
                None if is_default => None,
                None => Some(key.clone()),
                Some(known) => passed_over(value, known).map(|path| format!("{key}.{path}")),
            }
        }),
        (Value::Array(given), Value::Array(understood)) => (0..)
            .zip(given.iter().zip(understood))
            .find_map(|(index, (value, known))| passed_over(value, known).map(|path| format!("{index}.{path}"))),
        _ => None,
    }
}

/// Whether a step's places stay below the scratch directory; `links` lead elsewhere so far.
fn places(step: &Step, links: &mut BTreeSet<String>) -> Result<(), ScenarioError> {
    match step {
        Step::Open { data_dir: path } | Step::TakeAway { path } => resolved(path, "", links).map(|_| ()),
        Step::Place { path, what } => {
            let path = resolved(path, "", links)?;
            match what {
                Thing::Link(target) => {
                    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                    match target.strip_prefix("{scratch}/") {
                        Some(target) => resolved(target, "", links)?,
                        None => resolved(target, parent, links)?,
                    };
                    links.insert(path);
                }
                Thing::HardLink(target) => {
                    // Another name of a link is a link.
                    if links.contains(&resolved(target, "", links)?) {
                        links.insert(path);
                    }
                }
                Thing::File(_) | Thing::Directory | Thing::Pipe => {}
            }
            Ok(())
        }
        Step::Repeat { steps, .. } => {
            // The second time, what is planted last is there from the beginning.
            plant(steps, links);
            steps.iter().try_for_each(|step| places(step, links))
        }
        Step::SecondOpen
        | Step::Chunk { .. }
        | Step::Abort { .. }
        | Step::Close
        | Step::Kill
        | Step::KillDuring { .. }
        | Step::Malformed { .. }
        | Step::FileSizeLimit { .. }
        | Step::SmallDisk { .. }
        | Step::FailNext { .. }
        | Step::Expire => Ok(()),
    }
}

/// The links that steps plant; what is wrong with them is told by `places`.
fn plant(steps: &[Step], links: &mut BTreeSet<String>) {
    for step in steps {
        if let Step::Repeat { steps, .. } = step {
            plant(steps, links);
        }
        if let Step::Place {
            path,
            what: Thing::Link(_) | Thing::HardLink(_),
        } = step
        {
            links.extend(resolved(path, "", &BTreeSet::new()));
        }
    }
}

/// A path from a directory, with its `..` taken back: below the scratch directory, and not through a link.
fn resolved(path: &str, from: &str, links: &BTreeSet<String>) -> Result<String, ScenarioError> {
    let outside = || ScenarioError::Path(path.to_owned());
    if path.starts_with('/') || path.contains('\0') {
        return Err(outside());
    }
    let mut parts: Vec<&str> = from.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        if links.contains(&parts.join("/")) {
            return Err(outside());
        }
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(outside());
    }
    Ok(parts.join("/"))
}

#[derive(Debug, Default)]
struct Size {
    steps: u64,
    bytes: u64,
}

impl Size {
    fn add(&mut self, steps: &[Step], times: u64, depth: usize) -> Result<(), ScenarioError> {
        at_most("nested repetitions", depth as u64, NESTED_MAX as u64)?;
        for step in steps {
            match step {
                Step::Repeat { times: more, steps } => self.add(steps, times.saturating_mul(*more), depth + 1)?,
                Step::Chunk { envelope } => self.payload(&envelope.data, times)?,
                Step::KillDuring { envelope, after_micros } => {
                    at_most("microseconds before a kill", *after_micros, KILL_MICROS_MAX)?;
                    self.payload(&envelope.data, times)?;
                }
                Step::Open { data_dir } => below(data_dir)?,
                Step::Place { path, what } => {
                    below(path)?;
                    if let Thing::HardLink(target) = what {
                        below(target)?;
                    }
                }
                Step::TakeAway { path } => below(path)?,
                Step::SmallDisk { bytes } => at_most("bytes of a small disk", *bytes, SMALL_DISK_BYTES_MAX)?,
                Step::SecondOpen
                | Step::Abort { .. }
                | Step::Close
                | Step::Kill
                | Step::Malformed { .. }
                | Step::FileSizeLimit { .. }
                | Step::Expire => {}
                Step::FailNext { operation, kind } => fails(operation, kind)?,
            }
            self.steps = self.steps.saturating_add(times.max(1));
            at_most("steps", self.steps, STEPS_MAX)?;
        }
        Ok(())
    }

    fn payload(&mut self, data: &Data, times: u64) -> Result<(), ScenarioError> {
        if let Data::Pattern { from, length } = data {
            at_most("the end of a pattern", from.saturating_add(*length), u64::MAX - 1)?;
        }
        self.bytes = self.bytes.saturating_add(data.length().saturating_mul(times.max(1)));
        at_most("bytes of payloads", self.bytes, PAYLOADS_BYTES_MAX)
    }
}

/// A call that nobody makes would not fail.
fn fails(operation: &str, kind: &str) -> Result<(), ScenarioError> {
    if Armed::named(operation, kind).is_none() {
        return Err(ScenarioError::Unknown(format!("the operation {operation:?}")));
    }
    if !KINDS.contains(&kind) {
        return Err(ScenarioError::Unknown(format!("the kind {kind:?}")));
    }
    Ok(())
}

const fn at_most(what: &'static str, actual: u64, most: u64) -> Result<(), ScenarioError> {
    if actual > most {
        return Err(ScenarioError::TooMuch { what, actual, most });
    }
    Ok(())
}

fn below(path: &str) -> Result<(), ScenarioError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if path.split('/').all(plain) {
        Ok(())
    } else {
        Err(ScenarioError::Path(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(step: &str) -> Result<Scenario, ScenarioError> {
        read(&format!(
            r#"{{"name":"n","clause":"c","about":"a","origin":"written","steps":[{step}]}}"#
        ))
    }

    #[test]
    fn what_nobody_could_run_is_refused() {
        assert!(with(r#"{"step":"open"}"#).is_ok());
        assert_eq!(with(""), Err(ScenarioError::Empty));
        let pattern = |from: &str, length: &str| {
            format!(
                r#"{{"step":"chunk","envelope":{{"source_cluster_id":"c","source_database_id":"d","snapshot_lsn":1,"total_bytes":1,"total_crc32c":0,"offset":0,"data":{{"from":{from},"length":{length}}},"done":true}}}}"#
            )
        };
        assert!(with(&pattern("0", "5")).is_ok());
        let many = r#"{"step":"repeat","times":1000000,"steps":[{"step":"repeat","times":1000000,"steps":[{"step":"kill"}]}]}"#;
        for step in [
            &pattern("0", "18446744073709551615"),
            &pattern("18446744073709551615", "9"),
            many,
        ] {
            assert!(matches!(with(step), Err(ScenarioError::TooMuch { .. })), "{step}");
        }
        for path in ["../evil", "/etc/evil", "around/../../evil", "", "around//x"] {
            let step = format!(r#"{{"step":"place","path":"{path}","what":"directory"}}"#);
            assert_eq!(with(&step), Err(ScenarioError::Path(path.to_owned())));
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let unknown = |path: &str| Err(ScenarioError::Unknown(path.to_owned()));
        let mistyped = with(r#"{"step":"open"},{"step":"abort","databse":"db_0"}"#);
        assert_eq!(mistyped, unknown("steps.1.databse"));
        assert_eq!(with(r#"{"step":"kill","databse":"db_0"}"#), unknown("steps.0.databse"));
        let failing = |operation: &str| {
            let step = format!(r#"{{"step":"fail_next","operation":"{operation}","kind":"full"}}"#);
            with(&step)
        };
        assert_eq!(failing("fsync"), unknown("the operation \"fsync\""));
        assert!(failing("sync").is_ok());
        assert!(with(r#"{"step":"abort","database":null},{"step":"open","data_dir":"around/data"}"#).is_ok());
    }

    #[test]
    fn no_place_is_outside_the_scratch_directory() {
        let outside = |steps: &str| {
            let read = with(steps);
            assert!(matches!(read, Err(ScenarioError::Path(_))), "{steps}: {read:?}");
        };
        outside(r#"{"step":"open","data_dir":"/tmp/x"}"#);
        outside(r#"{"step":"open","data_dir":"a/../../x"}"#);
        outside(r#"{"step":"take_away","path":"../x"}"#);
        outside(r#"{"step":"take_away","path":"a/.."}"#);
        outside(r#"{"step":"place","path":"a","what":{"hard_link":"../../etc/passwd"}}"#);
        outside(r#"{"step":"place","path":"a","what":{"link":"/etc"}}"#);
        outside(r#"{"step":"place","path":"a/b","what":{"link":"../../x"}}"#);
        // Through a link, where it leads is not what is written.
        let link = r#"{"step":"place","path":"a","what":{"link":"{scratch}/b"}}"#;
        outside(&format!(r#"{link},{{"step":"take_away","path":"a/../../x"}}"#));
        outside(&format!(r#"{link},{{"step":"take_away","path":"./a/x"}}"#));
        assert!(with(&format!(r#"{link},{{"step":"take_away","path":"a"}}"#)).is_ok());
        outside(&format!(
            r#"{link},{{"step":"place","path":"c","what":{{"hard_link":"a"}}}},{{"step":"take_away","path":"c/x"}}"#
        ));
        // The second time, the link is there first.
        outside(&format!(
            r#"{{"step":"repeat","times":2,"steps":[{{"step":"take_away","path":"a/x"}},{link}]}}"#
        ));
    }
}
