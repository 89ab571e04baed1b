//! What a run of the gate gave, as plain data.
//!
//! Guarantees: everything that a report shows is here, and every report shows the same. Refuses
//! to know: worlds, digests and how a report looks.

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Which bounds: `quick`, `full`, `deep`.
    pub profile: String,
    /// Wall time.
    pub seconds: f64,
    /// What the whole run proves, or why it proves nothing.
    pub verdict: Verdict,
    /// One entry for each configuration of each system.
    pub systems: Vec<SystemResult>,
    /// The seeded bugs.
    pub bugs: Vec<BugResult>,
    /// The clauses.
    pub clauses: Vec<ClauseResult>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Everything held, and was able to fail.
    Pass,
    /// A property failed, a bug survived, or a property was vacuous.
    Fail,
    /// Nothing was run.
    #[default]
    NothingRan,
    /// The check itself could not be done.
    CouldNotCheck,
}

impl Verdict {
    /// As reports have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NothingRan => "nothing ran",
            Self::CouldNotCheck => "could not check",
        }
    }
}

/// One configuration of one system.
#[derive(Clone, Debug, Default)]
pub struct SystemResult {
    /// The system and the configuration, as in `newer/weak/old`.
    pub name: String,
    /// What the system is for.
    pub about: String,
    /// States that differ.
    pub unique_states: usize,
    /// States generated, repeated ones included.
    pub generated_states: usize,
    /// Steps to the farthest state.
    pub max_depth: usize,
    /// Wall time.
    pub seconds: f64,
    /// Whether it passed.
    pub passed: bool,
    /// The verdict in words: `holds`, `VIOLATED ...`, `VACUOUS ...`, `COUNT CHANGED ...`.
    pub verdict: String,
    /// Every rule and every witness.
    pub properties: Vec<PropertyResult>,
    /// Unique states at each depth from 0; empty where that was not measured.
    pub growth: Vec<usize>,
    /// The way to a broken rule.
    pub counterexample: Option<Diagram>,
}

/// One property of a system.
#[derive(Clone, Debug)]
pub struct PropertyResult {
    /// The rule, beginning with its clauses, or the witness.
    pub id: String,
    /// `always` or `sometimes`.
    pub kind: &'static str,
    /// `holds`, `violated`, `reached` or `unreached`.
    pub verdict: &'static str,
}

/// One seeded bug.
#[derive(Clone, Debug, Default)]
pub struct BugResult {
    /// Its name.
    pub id: String,
    /// What it does, in a phrase.
    pub about: String,
    /// The clauses that it breaks.
    pub clauses: Vec<String>,
    /// The incidents that it retells: `A1`, `B24`.
    pub incidents: Vec<String>,
    /// The system that showed it.
    pub system: Option<String>,
    /// The rules, or tests, that caught it.
    pub caught_by: Vec<String>,
    /// Steps of the shortest counterexample.
    pub steps: Option<usize>,
    /// Seconds until it was caught.
    pub seconds: f64,
    /// For each layer that runs it (`model`, `shell`, `files`, `fuzz`), whether it was caught.
    pub layers: Vec<(String, bool)>,
    /// Whether it was caught by a check of a clause that it breaks.
    pub is_caught: bool,
    /// The way to it.
    pub counterexample: Option<Diagram>,
}

/// One clause.
#[derive(Clone, Debug, Default)]
pub struct ClauseResult {
    /// `SR-OFF-003`.
    pub id: String,
    /// `MUST` or `SHOULD`.
    pub level: String,
    /// What it says.
    pub text: String,
    /// The rules and tests that check it.
    pub checks: Vec<String>,
    /// The seeded bugs that break it.
    pub bugs: Vec<String>,
    /// `verified`, `unverified`, or `pending` with the layer that it waits for.
    pub status: String,
}

/// A way from the initial state to a broken rule, to be drawn in lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagram {
    /// The system and the bug, if one was seeded.
    pub title: String,
    /// The rules broken at the end.
    pub broken: Vec<String>,
    /// What each snapshot is, a line each.
    pub legend: Vec<String>,
    /// The steps in order.
    pub steps: Vec<DiagramStep>,
    /// The state after the last step, a line for each database.
    pub end: Vec<String>,
}

/// One step of a diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagramStep {
    /// Where it comes from.
    pub from: Lane,
    /// Where it goes; the same lane for what happens inside it.
    pub to: Lane,
    /// What happens.
    pub label: String,
    /// Whether it is a fault: a failing operation, a crash, damage on the way.
    pub is_fault: bool,
    /// The state before it, a line for each database.
    pub before: Vec<String>,
    /// What the receiver answered in this step.
    pub reply: Option<String>,
}

/// The lanes of a diagram, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A source cluster.
    Source,
    /// The network between them; it keeps what was sent.
    Network,
    /// The receiver.
    Receiver,
    /// The disk under it.
    Disk,
}

impl Lane {
    /// All, from left to right.
    pub const ALL: [Self; 4] = [Self::Source, Self::Network, Self::Receiver, Self::Disk];

    /// Its heading.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Network => "network",
            Self::Receiver => "receiver",
            Self::Disk => "disk",
        }
    }
}
