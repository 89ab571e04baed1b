//! What came of a whole run, as plain data.
//!
//! Guarantees: everything that a report shows is here; a clause passes only where a scenario of it
//! ran to its end and none broke it. Refuses to know: how a report looks.

use crate::clauses::{CLAUSES, Level};

use super::scenario::Scenario;
use super::talk::About;

/// The verdict on one clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClauseVerdict {
    /// A scenario ran to its end, and none broke it.
    Pass,
    /// A scenario broke it.
    Fail,
    /// It needs a feature or a limit that is not named.
    Unsupported,
    /// This door cannot see it.
    NotVisible,
}

impl ClauseVerdict {
    /// As reports have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unsupported => "unsupported",
            Self::NotVisible => "not_visible",
        }
    }
}

/// The verdict on the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunVerdict {
    /// At least one clause passed and no MUST clause failed.
    Pass,
    /// A MUST clause failed; a SHOULD clause where the run is strict; or the baseline is out of date.
    Fail,
    /// The adapter or the kit broke.
    Broken,
    /// Nothing was shown.
    NothingRan,
}

impl RunVerdict {
    /// As reports have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Broken => "broken",
            Self::NothingRan => "nothing_ran",
        }
    }

    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::NothingRan => 4,
            Self::Fail => 100,
            Self::Broken => 101,
        }
    }
}

/// One clause.
#[derive(Clone, Debug)]
pub struct ClauseResult {
    /// `SR-OFF-003`.
    pub id: &'static str,
    /// MUST or SHOULD.
    pub level: Level,
    /// What it says.
    pub text: &'static str,
    /// The verdict.
    pub verdict: ClauseVerdict,
    /// Whether it was asked for: by its name, or as the clause of a scenario that was chosen.
    pub asked: bool,
    /// Scenarios that ran to their end without breaking it.
    pub passed: usize,
    /// Scenarios that broke it, by name.
    pub failed: Vec<String>,
    /// Why it is not passed, in a line; or what to know beside a pass.
    pub message: String,
    /// The failure that is shown.
    pub failure: Option<Failure>,
    /// Why a failure of it is known and borne, from the baseline.
    pub known: Option<String>,
}

impl ClauseResult {
    /// Whether a report lists it: a failure is never left out.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.asked || matches!(self.verdict, ClauseVerdict::Pass | ClauseVerdict::Fail)
    }
}

/// A failure, with all that a reader needs to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The scenario that found it.
    pub found_by: String,
    /// What that shows.
    pub about: String,
    /// The shortest scenario that still fails so.
    pub scenario: Scenario,
    /// At which of its steps.
    pub at: usize,
    /// Each step with its answer.
    pub transcript: Vec<String>,
    /// What is wrong, a line each.
    pub what: Vec<String>,
    /// What had to be answered.
    pub expected: String,
    /// What was.
    pub actual: String,
    /// What stood where before the last step.
    pub before: Vec<String>,
    /// And after it.
    pub after: Vec<String>,
    /// One command that repeats it.
    pub command: String,
}

/// A broken adapter.
#[derive(Clone, Debug)]
pub struct BrokenResult {
    /// The scenario; `hello` where it did not come so far.
    pub scenario: String,
    /// At which step.
    pub at: usize,
    /// What happened, with the captured output.
    pub what: String,
    /// Each step with its answer.
    pub transcript: Vec<String>,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Results {
    /// The receiver.
    pub about: About,
    /// `quick`, `standard`, `exhaustive`.
    pub profile: String,
    /// Scenarios that ran.
    pub scenarios_run: usize,
    /// Those beside them that are unsupported or not visible here, each with why.
    pub passed_over: Vec<String>,
    /// Wall time.
    pub seconds: f64,
    /// The seed of what was drawn at random.
    pub seed: u64,
    /// Whether SHOULD clauses count.
    pub strict: bool,
    /// All clauses, in order.
    pub clauses: Vec<ClauseResult>,
    /// How the adapter, or the kit, broke.
    pub broken: Vec<BrokenResult>,
    /// What is out of date in the baseline.
    pub baseline: Vec<String>,
    /// What could not be done here, and why.
    pub skipped: Vec<String>,
}

impl Results {
    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> RunVerdict {
        let counts = |clause: &&ClauseResult| clause.level == Level::Must || self.strict;
        let fails = |clause: &ClauseResult| clause.verdict == ClauseVerdict::Fail && clause.known.is_none();
        let is_any = |verdict| self.clauses.iter().any(|clause| clause.verdict == verdict);
        if !self.broken.is_empty() {
            RunVerdict::Broken
        } else if self.clauses.iter().filter(counts).any(fails) || !self.baseline.is_empty() {
            RunVerdict::Fail
        } else if is_any(ClauseVerdict::Pass) {
            RunVerdict::Pass
        } else {
            RunVerdict::NothingRan
        }
    }

    /// One clause.
    #[must_use]
    pub fn clause(&self, id: &str) -> Option<&ClauseResult> {
        self.clauses.iter().find(|clause| clause.id == id)
    }

    /// The clauses that a report lists: those asked for, and whatever else was seen to pass or fail.
    pub fn listed(&self) -> impl Iterator<Item = &ClauseResult> {
        self.clauses.iter().filter(|clause| clause.is_listed())
    }

    /// How many others there are: where only a part was asked for, they had no scenario.
    #[must_use]
    pub fn unlisted(&self) -> usize {
        self.clauses.len() - self.listed().count()
    }

    /// How many of the listed clauses have this verdict.
    #[must_use]
    pub fn count(&self, verdict: ClauseVerdict) -> usize {
        self.listed().filter(|clause| clause.verdict == verdict).count()
    }
}

/// Every clause, with nothing known of it yet.
#[must_use]
pub fn blank() -> Vec<ClauseResult> {
    let blank = |clause: &'static crate::clauses::Clause| ClauseResult {
        id: clause.id,
        level: clause.level,
        text: clause.text,
        verdict: ClauseVerdict::NotVisible,
        asked: true,
        passed: 0,
        failed: Vec::new(),
        message: hidden(clause.id).to_owned(),
        failure: None,
        known: None,
    };
    CLAUSES.iter().map(blank).collect()
}

/// Of a clause that can be seen, and was not.
pub const NO_SCENARIO: &str = "no scenario of it was run";

/// Why a clause cannot be seen through a door, where no scenario shows it.
#[must_use]
pub fn hidden(clause: &str) -> &'static str {
    match clause {
        "SR-CRC-004" => "a compiler shows it, not a run",
        "SR-PUB-001" => "the order of system calls is seen with --audit-syscalls only",
        "SR-ERR-002" | "SR-ERR-004" => "no sync can be made to fail from outside a process",
        "SR-CON-001" | "SR-CON-002" | "SR-CON-004" => "requests come one after the other here",
        "SR-CON-003" => "no panic can be caused from outside",
        "SR-CON-006" => "no time passes here",
        "SR-PRG-001" | "SR-PRG-002" | "SR-PRG-003" => "reports are calls inside the receiver's process",
        _ => NO_SCENARIO,
    }
}
