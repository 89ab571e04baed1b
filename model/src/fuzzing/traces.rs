//! `trace`: the parsers of what is replayed, and replay. A text that begins with `{` is one of the
//! conformance kit's, and `kit`'s business.
//!
//! Guarantees: no text panics the parser; what it takes has actions, as many as the text has lines of
//! them, and is written and read back the same; a short trace is replayed on the world and on real
//! files, which agree, and no rule breaks where no bug is seeded. Refuses to know: the format.

use super::planted::Own;
use super::record::Recorded;
use super::{Rig, Target, Watch, kit};
use crate::replay::{ReplayError, replay};
use crate::trace::{Trace, TraceError};

/// See the head of this file.
pub(super) const TARGET: Target = Target {
    name: "trace",
    about: "text as a trace, a scenario or a reply: parsed, written, read back, and replayed on the world and real files",
    word_bytes: 1,
    input_bytes_max: 2048,
    reaches: &[
        "no text",
        "another heading",
        "a line not understood",
        "no actions",
        "a world's trace",
        "a target's input",
        "replayed",
        "not possible",
        "no such system",
        "no JSON",
        "no scenario",
        "a field not understood",
        "a place outside",
        "a number without bound",
        "no steps",
        "a scenario",
        "a scenario of repetitions",
        "a scenario taken",
        "a scenario not visible",
        "a reply",
        "no reply",
        "an adapter",
        "no adapter",
    ],
    run,
};

/// Actions of a trace that is replayed: real files take their time.
const ACTIONS_MAX: usize = 12;

/// The parser, with a planted bug around it.
fn parse_with(own: Option<Own>, text: &str) -> Result<Recorded, TraceError> {
    let mut parsed = Recorded::parse(text);
    match (own, &parsed) {
        (Some(Own::TraceLineSkipped), Err(TraceError::Line { line, .. })) => {
            let understood: String = text
                .split_inclusive('\n')
                .filter(|other| other.trim_end() != line)
                .collect();
            parsed = Recorded::parse(&understood);
        }
        (Some(Own::EmptyTraceTaken), Err(TraceError::Empty)) => {
            parsed = Ok(Recorded::World(Trace {
                system: String::new(),
                bugs: crate::bugs::Bugs::none(),
                broken: Vec::new(),
                actions: Vec::new(),
            }));
        }
        (Some(Own::TraceNumberPanics), Err(TraceError::Line { line, .. })) => {
            let numbers = line.split(' ').filter(|word| word.len() > 4);
            let too_large = numbers
                .clone()
                .any(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            assert!(!too_large, "a number too large");
        }
        (_, Ok(_) | Err(_)) => {}
    }
    parsed
}

fn run(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    let Ok(text) = str::from_utf8(input) else {
        watch.see("no text");
        return Ok(());
    };
    if kit::is_for_the_kit(text) {
        return kit::check(rig, text, watch);
    }
    let recorded = match parse_with(rig.own, text) {
        Ok(recorded) => recorded,
        Err(error) => {
            watch.tell(|| error.to_string());
            watch.see(match error {
                TraceError::Heading { .. } => "another heading",
                TraceError::Line { .. } => "a line not understood",
                TraceError::Empty => "no actions",
                TraceError::System(_) => "no such system",
            });
            return Ok(());
        }
    };
    if Recorded::parse(&recorded.text()).as_ref() != Ok(&recorded) {
        return Err(format!("{recorded:?} is written as {:?}", recorded.text()));
    }
    match recorded {
        Recorded::Input(trace) => {
            watch.see("a target's input");
            watch.tell(|| trace.text());
            Ok(())
        }
        Recorded::World(trace) => {
            watch.see("a world's trace");
            watch.tell(|| trace.text());
            check_world(text, &trace, watch)
        }
    }
}

fn check_world(text: &str, trace: &Trace, watch: &mut Watch) -> Result<(), String> {
    let is_fact = |line: &&str| {
        let word = line.split(' ').next().unwrap_or_default();
        line.is_empty() || ["#", "system", "bug", "broken"].contains(&word)
    };
    let lines = text.lines().map(str::trim_end).skip(1);
    let lines = lines.filter(|line| !is_fact(line)).count();
    if lines != trace.actions.len() || lines == 0 {
        return Err(format!(
            "{lines} lines of actions were taken for {}",
            trace.actions.len()
        ));
    }
    if lines > ACTIONS_MAX {
        return Ok(());
    }
    match replay(trace, |_, _, _, _| {}) {
        Ok(replayed) => {
            watch.see("replayed");
            if trace.bugs.is_none() && !replayed.violated.is_empty() {
                return Err(format!("broken: {}", replayed.violated.join("; ")));
            }
            Ok(())
        }
        Err(ReplayError::Trace(_)) => {
            watch.see("no such system");
            Ok(())
        }
        Err(ReplayError::NotPossible { .. }) => {
            watch.see("not possible");
            Ok(())
        }
        Err(error @ (ReplayError::Differs { .. } | ReplayError::Files(_) | ReplayError::Id(_))) => {
            Err(error.to_string())
        }
    }
}

/// Texts to begin with: the format is not found by chance.
pub(super) fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let world = |system: &str, lines: &str| format!("{}\nsystem {system}\n{lines}", crate::trace::HEADING).into_bytes();
    let two = "one/weak/fresh/2+2";
    let mut examples = vec![
        (
            "commit",
            world(
                "empty/weak/fresh/2+2",
                "send 0\nopen\ndeliver 0 0 intact\nperform 0\nperform 0\nperform 0\nperform 0\n",
            ),
        ),
        (
            "crash-and-orphan",
            world(
                two,
                "# as after a power loss\nopen\nsend 0\ndeliver 0 0 intact\nperform 0\ncrash 1\nopen\n",
            ),
        ),
        (
            "failing-operations",
            world(
                two,
                "open-failing 0 done\nopen\nsend 0\ndeliver 0 0 flipped\nfail 0 done other\nabort 0\nexpire 0\n",
            ),
        ),
        ("crash-in-an-opening", world(two, "crash-opening 2 0\nopen\n")),
        ("not-possible", world(two, "perform 0\n")),
        ("too-large-a-number", world(two, "crash 65536\nopen\n")),
        (
            "seeded-bug",
            world(two, "bug GapAccepted\nbroken SR-OFF-003 only the next\nopen\n"),
        ),
        ("no-such-system", world("nowhere", "open\n")),
        ("no-actions", world(two, "")),
        ("another-heading", b"# snapshot-receiver trace 2\nopen\n".to_vec()),
        ("no-text", vec![b'#', 0xff, 0xfe]),
        (
            "a-targets-input",
            format!(
                "{}\ntarget step_sequence\nbug DigestLeaks\ninput 05000001\n",
                crate::trace::HEADING
            )
            .into_bytes(),
        ),
    ];
    examples.extend(kit::examples());
    examples
}
