//! Scenarios from files: read, and held to bounds.
//!
//! Guarantees: whatever the text, what is read runs in bounded time and memory, and an outsider's
//! hand in it reaches nothing outside the scratch directory. Refuses to know: what must be answered.

use super::run::CHUNK_SENT_MAX;
use super::scenario::{Data, Scenario, Step, Thing};

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
    let scenario: Scenario = serde_json::from_str(text).map_err(|error| ScenarioError::Json(error.to_string()))?;
    if scenario.steps.is_empty() {
        return Err(ScenarioError::Empty);
    }
    let mut size = Size::default();
    size.add(&scenario.steps, 1, 0)?;
    Ok(scenario)
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
                | Step::FailNext { .. }
                | Step::Expire => {}
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
}
