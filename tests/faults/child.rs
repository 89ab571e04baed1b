//! Parts of a test in a process of their own: for limits, mounts, tracers and measured memory.
//!
//! Guarantees: a child that ends without its verdict is a failure, with all that it said. Refuses to
//! know: what is checked.

use std::process::{Command, Output};

use crate::flaw::Flaw;
use crate::subject::{Checked, Violation};

/// Set in a child: which part it is.
const PART: &str = "FAULTS_TEST_PART";
/// Set in a child: the seeded bug.
const FLAW: &str = "FAULTS_TEST_FLAW";

const CASES: &str = "verdict: cases ";
const BROKEN: &str = "verdict: broken ";

/// Whether this process is that part.
pub(crate) fn is_part(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|is| is == part)
}

/// The bug seeded in this process.
pub(crate) fn flaw() -> Option<Flaw> {
    let named = std::env::var(FLAW).ok()?;
    Flaw::ALL.into_iter().find(|flaw| flaw.name() == named)
}

/// Does the check in this process, and says what came of it.
pub(crate) fn answer(check: impl FnOnce(Option<Flaw>) -> Checked) {
    match check(flaw()) {
        Ok(cases) => println!("\n{CASES}{cases}"),
        Err(Violation { clause, what }) => println!("\n{BROKEN}{clause} {}", what.replace('\n', " ")),
    }
}

/// The command that runs one test of this binary as that part, behind a wrapper such as `unshare`.
pub(crate) fn command(wrapper: &[&str], test: &str, part: &str, flaw: Option<Flaw>) -> Command {
    let this_test = std::env::current_exe().expect("this test's program");
    let mut command = match wrapper.split_first() {
        None => Command::new(&this_test),
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this_test);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(PART, part);
    if let Some(flaw) = flaw {
        command.env(FLAW, flaw.name());
    }
    command
}

/// What the child found. Clauses are known by the table, so that a violation names one of them.
pub(crate) fn verdict(output: &Output) -> Checked {
    let said = String::from_utf8_lossy(&output.stdout);
    let found = |mark: &str| said.lines().find_map(|line| line.strip_prefix(mark));
    if let Some(broken) = found(BROKEN) {
        let (clause, what) = broken.split_once(' ').unwrap_or((broken, ""));
        let known = snapshot_receiver_model::clauses::CLAUSES.iter();
        let clause = known.map(|known| known.id).find(|id| *id == clause).unwrap_or("?");
        let what = what.to_owned();
        return Err(Violation { clause, what });
    }
    let cases = found(CASES).and_then(|cases| cases.trim().parse().ok());
    cases.ok_or_else(|| Violation {
        clause: "?",
        what: format!("no verdict: {said}{}", String::from_utf8_lossy(&output.stderr)),
    })
}
