//! What a run of the gate gave, as plain data.
//!
//! Guarantees: everything that a report shows is here, and every report shows the same. Refuses
//! to know: worlds, digests and how a report looks.

use std::fmt;

use super::text::grouped;

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
    /// What exploring it showed.
    pub verdict: SystemVerdict,
    /// Every rule and every witness.
    pub properties: Vec<PropertyResult>,
    /// Unique states at each depth from 0; empty where that was not measured.
    pub growth: Vec<usize>,
    /// The way to a broken rule.
    pub counterexample: Option<Diagram>,
}

/// How something reads: the same in every report, whatever its colours are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Shown to be right.
    Good,
    /// Neither: nothing wrong was seen, and nothing was proved.
    Neutral,
    /// Wrong.
    Bad,
}

/// What exploring one configuration showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SystemVerdict {
    /// Every rule, in every reachable state.
    Holds,
    /// Walked at random for some time: nothing broke, which proves nothing.
    Simulated,
    /// These rules are broken.
    Violated(Vec<String>),
    /// These witnesses, which the configuration is there to reach, were not reached.
    Vacuous(Vec<String>),
    /// The number of states is not the pinned one.
    CountChanged {
        /// The pinned one.
        pinned: usize,
    },
    /// The project's own search counted other states than the checker.
    EnginesDiffer {
        /// How many it counted.
        counted: usize,
    },
    /// It was not explored.
    #[default]
    NotRun,
}

impl SystemVerdict {
    /// The rules that are broken.
    #[must_use]
    pub fn broken_rules(&self) -> &[String] {
        match self {
            Self::Violated(rules) => rules,
            Self::Holds
            | Self::Simulated
            | Self::Vacuous(_)
            | Self::CountChanged { .. }
            | Self::EnginesDiffer { .. }
            | Self::NotRun => &[],
        }
    }

    /// How it reads.
    #[must_use]
    pub const fn tone(&self) -> Tone {
        match self {
            Self::Holds => Tone::Good,
            Self::Simulated => Tone::Neutral,
            Self::Violated(_)
            | Self::Vacuous(_)
            | Self::CountChanged { .. }
            | Self::EnginesDiffer { .. }
            | Self::NotRun => Tone::Bad,
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.tone() != Tone::Bad
    }
}

impl fmt::Display for SystemVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::Simulated => f.write_str("SIMULATED: nothing broke, nothing is proved"),
            Self::Violated(rules) => write!(f, "VIOLATED {}", rules.join("; ")),
            Self::Vacuous(witnesses) => write!(f, "VACUOUS: never reached {}", witnesses.join(", ")),
            Self::CountChanged { pinned } => write!(f, "COUNT CHANGED: pinned {}", grouped(*pinned)),
            Self::EnginesDiffer { counted } => {
                write!(f, "ENGINES DIFFER: the second count is {}", grouped(*counted))
            }
            Self::NotRun => f.write_str("not run"),
        }
    }
}

/// One property of a system.
#[derive(Clone, Debug)]
pub struct PropertyResult {
    /// The rule, beginning with its clauses, or the witness.
    pub id: String,
    /// What it asks for.
    pub kind: PropertyKind,
    /// Whether it was found.
    pub verdict: PropertyVerdict,
}

/// What a property asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyKind {
    /// A rule of every state.
    Always,
    /// A witness: a case to be reached.
    Sometimes {
        /// Whether the configuration is there to reach it.
        is_required: bool,
    },
}

impl PropertyKind {
    /// As reports have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Sometimes { .. } => "sometimes",
        }
    }
}

/// What came of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyVerdict {
    /// In every reachable state.
    Holds,
    /// In every state that a simulation came to.
    NotBroken,
    /// In some state it does not.
    Violated,
    /// In some state.
    Reached,
    /// In no state.
    Unreached,
}

impl PropertyVerdict {
    /// As reports have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::NotBroken => "not broken",
            Self::Violated => "violated",
            Self::Reached => "reached",
            Self::Unreached => "unreached",
        }
    }
}

impl PropertyResult {
    /// How it reads.
    #[must_use]
    pub const fn tone(&self) -> Tone {
        match (self.verdict, self.kind) {
            (PropertyVerdict::Holds | PropertyVerdict::Reached, _) => Tone::Good,
            (PropertyVerdict::NotBroken, _)
            | (PropertyVerdict::Unreached, PropertyKind::Sometimes { is_required: false }) => Tone::Neutral,
            (PropertyVerdict::Violated, _)
            | (PropertyVerdict::Unreached, PropertyKind::Always | PropertyKind::Sometimes { is_required: true }) => {
                Tone::Bad
            }
        }
    }
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
    /// For each layer that runs it (`model`, and those of `layers`), whether it was caught.
    pub layers: Vec<(String, bool)>,
    /// Whether it was caught by a check of a clause that it breaks.
    pub is_caught: bool,
    /// The way to it.
    pub counterexample: Option<Diagram>,
}

/// Every layer that runs a bug, in the order in which they come.
pub(super) fn layers(bugs: &[BugResult]) -> Vec<&str> {
    let mut layers = Vec::new();
    for (layer, _) in bugs.iter().flat_map(|bug| &bug.layers) {
        if !layers.contains(&layer.as_str()) {
            layers.push(layer.as_str());
        }
    }
    layers
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
    /// Where it stands.
    pub status: Standing,
}

/// Where a clause stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// A rule or a test states it, and a bug seeded in the model that breaks it is caught.
    Verified,
    /// The same in another layer; or by the compiler: code that breaks it does not build, and a
    /// control does.
    VerifiedBy(String),
    /// Checked, but only that layer can seed a bug, and there are no results of it.
    Pending(String),
    /// That layer seeds a bug that breaks it, and nothing catches it.
    Survived(String),
    /// A rule of it was broken in this run.
    Broken,
    /// Nothing shows that a check of it can fail.
    #[default]
    Unverified,
}

impl Standing {
    /// How it reads.
    #[must_use]
    pub const fn tone(&self) -> Tone {
        match self {
            Self::Verified | Self::VerifiedBy(_) => Tone::Good,
            Self::Pending(_) => Tone::Neutral,
            Self::Survived(_) | Self::Broken | Self::Unverified => Tone::Bad,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified => f.write_str("verified"),
            Self::VerifiedBy(what) => write!(f, "verified by {what}"),
            Self::Pending(layer) => write!(f, "pending: {layer}"),
            Self::Survived(layer) => write!(f, "SURVIVED in {layer}"),
            Self::Broken => f.write_str("BROKEN in this run"),
            Self::Unverified => f.write_str("unverified"),
        }
    }
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

#[cfg(test)]
impl DiagramStep {
    /// A step with nothing to it.
    pub(crate) fn plain(from: Lane, to: Lane, label: &str) -> Self {
        Self {
            from,
            to,
            label: label.to_owned(),
            is_fault: false,
            before: Vec::new(),
            reply: None,
        }
    }
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
