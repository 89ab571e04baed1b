//! `trace`, where the text is one of the conformance kit's: a scenario, or an adapter's reply.
//!
//! Guarantees: no text panics the readers; of a scenario that is read nothing was passed over and no
//! number changed, told from the JSON itself; it is written and read back the same, and a short one runs
//! on the shipped receiver and real files as the kit's oracle says. A reply comes back as it was. Refuses
//! to know: what a step must be answered.

use serde_json::{Map, Value};
use tempfile::tempdir_in;

use super::planted::Own;
use super::{Rig, Watch};
use crate::conform::door::Door;
use crate::conform::reading::{ScenarioError, read};
use crate::conform::reference::Reference;
use crate::conform::run::{Outcome, Scratch, run as run_scenario};
use crate::conform::rust::InProcess;
use crate::conform::scenario::{DATA, Data, Envelope, Origin, Scenario, Step};
use crate::conform::talk::{About, Reply};

/// Steps of a scenario that is run, and bytes of a payload in it: real files take their time.
const STEPS_MAX: usize = 12;
const PAYLOAD_BYTES_MAX: u64 = 1 << 16;

/// Whether a text is for the kit.
pub(super) fn is_for_the_kit(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

pub(super) fn check(rig: &Rig, text: &str, watch: &mut Watch) -> Result<(), String> {
    let given: Value = match serde_json::from_str(text) {
        Ok(given) => given,
        Err(error) => {
            watch.see("no JSON");
            return match read(text) {
                Err(_) => Ok(()),
                Ok(scenario) => Err(format!("{scenario:?} was read of no JSON: {error}")),
            };
        }
    };
    if given.get("steps").is_some() {
        check_scenario(rig, text, &given, watch)
    } else if given.get("reply").is_some() {
        check_reply(&given, watch)
    } else {
        watch.see(if About::read(&given).is_ok() {
            "an adapter"
        } else {
            "no adapter"
        });
        Ok(())
    }
}

/// The reader, with a planted bug around it.
fn read_with(own: Option<Own>, text: &str) -> Result<Scenario, ScenarioError> {
    let mut scenario = match (own, read(text)) {
        (Some(Own::ScenarioFieldPassedOver), Err(ScenarioError::Unknown(field))) => {
            serde_json::from_str(text).map_err(|_| ScenarioError::Unknown(field))
        }
        (_, read) => read,
    };
    if let (Some(Own::ScenarioNumberRounded), Ok(scenario)) = (own, &mut scenario) {
        for step in &mut scenario.steps {
            if let Step::Chunk { envelope } = step {
                // As a reader of JSON has it that keeps numbers in 64 bits of floating point.
                envelope.snapshot_lsn = rounded(envelope.snapshot_lsn);
            }
        }
    }
    scenario
}

fn rounded(number: u64) -> u64 {
    let lost = u64::BITS - number.leading_zeros().min(u64::BITS - 53) - 53;
    number >> lost << lost
}

fn check_scenario(rig: &Rig, text: &str, given: &Value, watch: &mut Watch) -> Result<(), String> {
    let scenario = match read_with(rig.own, text) {
        Ok(scenario) => scenario,
        Err(error) => {
            watch.tell(|| error.to_string());
            watch.see(match error {
                ScenarioError::Json(_) => "no scenario",
                ScenarioError::Unknown(_) => "a field not understood",
                ScenarioError::Path(_) => "a place outside",
                ScenarioError::TooMuch { .. } => "a number without bound",
                ScenarioError::Empty => "no steps",
            });
            return Ok(());
        }
    };
    watch.see("a scenario");
    let written = scenario.json();
    let value: Value = serde_json::from_str(&written).map_err(|error| format!("{written}: {error}"))?;
    if plain(given) != plain(&value) {
        return Err(format!("{given} was read as {value}"));
    }
    if read(&written).as_ref() != Ok(&scenario) {
        return Err(format!("{scenario:?} is written as {written}"));
    }
    if scenario.steps.iter().any(|step| matches!(step, Step::Repeat { .. })) {
        watch.see("a scenario of repetitions");
    }
    for step in &scenario.steps {
        watch.tell(|| step.to_string());
    }
    if is_short(&scenario) {
        take(rig, &scenario, watch)
    } else {
        Ok(())
    }
}

/// A value as it is meant: what stands for a default left out, the protocol's 64-bit numbers as digits.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_default = |key: &str, value: &Value| match key {
                "data_dir" => value == DATA,
                "database" | "beyond" => value.is_null(),
                _ => false,
            };
            let kept = fields.iter().filter(|(key, value)| !is_default(key, value));
            let meant = kept.map(|(key, value)| {
                let is_number = ["snapshot_lsn", "total_bytes", "offset"].contains(&key.as_str());
                match value {
                    Value::Number(number) if is_number => (key.clone(), Value::String(number.to_string())),
                    Value::String(digits) if is_number => {
                        let digits = digits.trim_start_matches('0');
                        let digits = if digits.is_empty() { "0" } else { digits };
                        (key.clone(), Value::String(digits.to_owned()))
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => (key.clone(), plain(value)),
                }
            });
            Value::Object(meant.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether it is run: a receiver is open at every step, nobody else touches its directory, no opening is
/// to fail, and it is over soon.
fn is_short(scenario: &Scenario) -> bool {
    let steps = scenario.steps.as_slice();
    let is_plain = |step: &Step| match step {
        Step::Open { data_dir } => data_dir == DATA,
        Step::Chunk { envelope } => envelope.data.length() <= PAYLOAD_BYTES_MAX,
        Step::SecondOpen | Step::Abort { .. } | Step::FailNext { .. } | Step::Expire | Step::Kill => true,
        Step::Close
        | Step::KillDuring { .. }
        | Step::Malformed { .. }
        | Step::Place { .. }
        | Step::TakeAway { .. }
        | Step::FileSizeLimit { .. }
        | Step::SmallDisk { .. }
        | Step::Repeat { .. } => false,
    };
    let fails = steps.iter().any(|step| matches!(step, Step::FailNext { .. }));
    let opens = steps.iter().filter(|step| matches!(step, Step::Open { .. })).count();
    (opens == 1 || !fails)
        && steps.len() <= STEPS_MAX
        && matches!(steps.first(), Some(Step::Open { .. }))
        && steps.iter().all(is_plain)
}

fn take(rig: &Rig, scenario: &Scenario, watch: &mut Watch) -> Result<(), String> {
    let directory = tempdir_in(&rig.scratch).map_err(|error| format!("no directory to work in: {error}"))?;
    let mut scratch = Scratch::new(directory.path().join("scratch")).map_err(|error| error.to_string())?;
    let mut door = InProcess::new(&|| Box::new(Reference::default()));
    let about = door.start().map_err(|broken| broken.to_string())?;
    match run_scenario(&mut door, &about, scenario, &mut scratch) {
        Outcome::Right(complaints) if complaints.is_empty() => {
            watch.see("a scenario taken");
            Ok(())
        }
        Outcome::NotVisible(_) | Outcome::Unsupported(_) => {
            watch.see("a scenario not visible");
            Ok(())
        }
        Outcome::Right(complaints) => Err(format!("the shipped receiver should do better: {complaints:?}")),
        Outcome::Wrong(wrong) => Err(format!(
            "the shipped receiver is wrong at step {}: {:?}",
            wrong.at, wrong.difference
        )),
        Outcome::Broken(broke) => Err(format!("the kit broke at step {}: {}", broke.at, broke.broken)),
    }
}

fn check_reply(given: &Value, watch: &mut Watch) -> Result<(), String> {
    let Ok(reply) = Reply::read(given) else {
        watch.see("no reply");
        return Ok(());
    };
    watch.see("a reply");
    watch.tell(|| reply.to_string());
    let again = Reply::read(&Value::Object(reply.value()));
    if again.as_ref() == Ok(&reply) {
        Ok(())
    } else {
        Err(format!("{reply:?} came back as {again:?}"))
    }
}

/// Texts to begin with: the format is not found by chance.
#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let scenario = |steps: Vec<Step>| Scenario {
        name: "n".to_owned(),
        clause: "SR-OFF-003".to_owned(),
        about: "a".to_owned(),
        origin: Origin::Regression,
        beyond: None,
        steps,
    };
    // Compact: `Scenario::json` is for people.
    let text = |steps| serde_json::to_vec(&scenario(steps)).unwrap_or_default();
    let open = || Step::Open {
        data_dir: DATA.to_owned(),
    };
    let chunk = |offset: u64, data: Data, done| Step::Chunk {
        envelope: Envelope {
            source_cluster_id: "eu".to_owned(),
            source_database_id: "db_0".to_owned(),
            snapshot_lsn: u64::MAX,
            total_bytes: 4,
            total_crc32c: crc32c::crc32c(b"abcd"),
            offset,
            data,
            done,
        },
    };
    let first = || chunk(0, Data::Bytes(b"ab".to_vec()), false);
    let rest = || chunk(2, Data::Bytes(b"cd".to_vec()), true);
    let failing = || Step::FailNext {
        operation: "sync".to_owned(),
        kind: "full".to_owned(),
    };
    let with = |steps: &str| {
        let text = String::from_utf8(text(Vec::new())).unwrap_or_default();
        text.replace("[]", &format!("[{steps}]")).into_bytes()
    };
    let repeated = Step::Repeat {
        times: 2,
        steps: vec![first(), Step::Abort { database: None }],
    };
    let pattern = chunk(0, Data::Pattern { from: 0, length: 3 }, false);
    vec![
        (
            "scenario-commit",
            text(vec![open(), first(), Step::SecondOpen, rest(), rest()]),
        ),
        (
            "scenario-failing",
            text(vec![open(), failing(), first(), rest(), first(), Step::Expire]),
        ),
        ("scenario-killed", text(vec![open(), pattern, Step::Kill, open()])),
        ("scenario-repeated", text(vec![open(), repeated])),
        ("scenario-field-unknown", with(r#"{"step":"abort","databse":"db_0"}"#)),
        ("scenario-outside", with(r#"{"step":"take_away","path":"a/../../b"}"#)),
        (
            "scenario-unbounded",
            with(r#"{"step":"repeat","times":100001,"steps":[{"step":"kill"}]}"#),
        ),
        ("scenario-no-steps", with("")),
        ("scenario-no-such-step", with(r#"{"step":"destroy"}"#)),
        ("no-json", b"{\"name\":".to_vec()),
        (
            "reply-rejected",
            br#"{"seq":2,"reply":"rejected","reason":"offset_mismatch","expected":"9007199254740993","actual":5}"#
                .to_vec(),
        ),
        ("reply-unknown", br#"{"seq":2,"reply":"destroyed"}"#.to_vec()),
        (
            "adapter",
            br#"{"name":"r","version":"1","language":"c","features":["abort"],"limits":{"transfers_max":2}}"#.to_vec(),
        ),
        ("adapter-wrong", br#"{"name":"r","features":"abort"}"#.to_vec()),
    ]
}
