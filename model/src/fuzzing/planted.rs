//! The bugs that each fuzz target must find from its seeds: a target that misses one is blind.
//!
//! Guarantees: one table; a bug of the model's table keeps its name and claims there. Refuses to
//! know: how long it takes to find one (`engine`, `gate fuzz planted`).

use std::collections::BTreeMap;

use serde_json::json;

use crate::bugs::{Bug, Bugs, Claim};

/// A bug that only a fuzz target can seed: in the decoder, in what is done with names, in the
/// parser of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// A frame that is no envelope panics the decoder.
    FramePanics,
    /// The decoder allocates what a frame declares, not what it holds.
    DeclaredLengthAllocated,
    /// The decoder keeps 32 bits of an offset.
    OffsetNarrowed,
    /// A database id becomes part of a path before it is checked.
    IdJoinedIntoPath,
    /// A symbolic link in the partial's place is followed and truncated.
    LinkFollowed,
    /// The sweep takes every `.partial`, whoever made it.
    ForeignSwept,
    /// A trace's line that is not understood is passed over.
    TraceLineSkipped,
    /// A trace without actions is replayed, and that is a success.
    EmptyTraceTaken,
    /// A trace's number that is too large panics.
    TraceNumberPanics,
    /// A field of a scenario that is not understood is passed over.
    ScenarioFieldPassedOver,
    /// A scenario's large numbers are kept in floating point.
    ScenarioNumberRounded,
}

impl Own {
    const fn claim(self) -> Claim {
        let (name, about, clauses, incidents): (_, _, &'static [&'static str], &'static [&'static str]) = match self {
            Self::FramePanics => (
                "FramePanics",
                "A frame that is no envelope panics the decoder.",
                &["SR-SEC-003"],
                &[],
            ),
            Self::DeclaredLengthAllocated => (
                "DeclaredLengthAllocated",
                "The decoder allocates what a frame declares.",
                &["SR-SEC-003"],
                &[],
            ),
            Self::OffsetNarrowed => (
                "OffsetNarrowed",
                "The decoder keeps 32 bits of an offset.",
                &["SR-ADM-003", "SR-OFF-003"],
                &[],
            ),
            Self::IdJoinedIntoPath => (
                "IdJoinedIntoPath",
                "A database id becomes part of a path before it is checked.",
                &["SR-ADM-001", "SR-SEC-001"],
                &["A5", "B20"],
            ),
            Self::LinkFollowed => (
                "LinkFollowed",
                "A symbolic link in the partial's place is followed and truncated.",
                &["SR-SEC-001", "SR-SEC-002"],
                &["A8"],
            ),
            Self::ForeignSwept => (
                "ForeignSwept",
                "The sweep takes every `.partial`, whoever made it.",
                &["SR-REC-001"],
                &[],
            ),
            Self::TraceLineSkipped => ("TraceLineSkipped", "A trace's line is passed over.", &[], &[]),
            Self::EmptyTraceTaken => ("EmptyTraceTaken", "An empty trace is a success.", &[], &[]),
            Self::TraceNumberPanics => ("TraceNumberPanics", "A large number in a trace panics.", &[], &[]),
            Self::ScenarioFieldPassedOver => (
                "ScenarioFieldPassedOver",
                "A field of a scenario is passed over.",
                &[],
                &[],
            ),
            Self::ScenarioNumberRounded => (
                "ScenarioNumberRounded",
                "A scenario's large number is rounded.",
                &[],
                &[],
            ),
        };
        Claim {
            name,
            about,
            clauses,
            incidents,
        }
    }
}

/// Where a planted bug comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// The model's table.
    Model(Bug),
    /// A target's own.
    Own(Own),
}

/// A bug planted in a target.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// The target that must find it.
    pub target: &'static str,
    /// The bug.
    pub seed: Seed,
}

impl Planted {
    /// What is claimed of it.
    #[must_use]
    pub fn claim(&self) -> Claim {
        match self.seed {
            Seed::Model(bug) => bug.into(),
            Seed::Own(own) => own.claim(),
        }
    }

    /// Whether a finding is of this bug: where rules are named, one of a clause that it breaks is
    /// among them. An oracle names no rules: what differs from it is a finding.
    #[must_use]
    pub fn explains(&self, what: &str) -> bool {
        let clauses = self.claim().clauses;
        !what.starts_with("broken: ") || clauses.iter().any(|clause| what.contains(clause))
    }

    /// As a set of the model's bugs.
    #[must_use]
    pub fn bugs(&self) -> Bugs {
        match self.seed {
            Seed::Model(bug) => bug.into(),
            Seed::Own(_) => Bugs::none(),
        }
    }

    /// As a bug of a target's own.
    #[must_use]
    pub fn own(&self) -> Option<Own> {
        match self.seed {
            Seed::Model(_) => None,
            Seed::Own(own) => Some(own),
        }
    }
}

const fn model(target: &'static str, bug: Bug) -> Planted {
    let seed = Seed::Model(bug);
    Planted { target, seed }
}

const fn own(target: &'static str, own: Own) -> Planted {
    let seed = Seed::Own(own);
    Planted { target, seed }
}

/// Every planted bug, by target.
pub const PLANTED: &[Planted] = &[
    own("decode_envelope", Own::FramePanics),
    own("decode_envelope", Own::DeclaredLengthAllocated),
    own("decode_envelope", Own::OffsetNarrowed),
    model("step_sequence", Bug::DuplicateFedTwice),
    model("step_sequence", Bug::DigestLeaks),
    model("step_sequence", Bug::LaterHeaderOverrides),
    model("step_sequence", Bug::RefusalEndsTransfer),
    model("step_sequence", Bug::RemovalHidesCause),
    model("step_sequence", Bug::PanicsOnStale),
    model("step_sequence", Bug::RepeatTakenByLsn),
    model("differential", Bug::GapAccepted),
    model("differential", Bug::OverrunAccepted),
    model("differential", Bug::DoneAcceptedEarly),
    model("differential", Bug::RepeatRefused),
    model("differential", Bug::RepeatTakenByLsn),
    model("differential", Bug::StaleAccepted),
    model("differential", Bug::ResumeOffsetWrong),
    model("world", Bug::SyncSkipped),
    model("world", Bug::CommittedBeforeDirectorySync),
    model("world", Bug::SyncRetried),
    model("world", Bug::OrphanForgotten),
    model("world", Bug::RecoverySkipsDataSync),
    model("executor_faults", Bug::SyncFailureIgnored),
    model("executor_faults", Bug::DirectorySyncFailureIgnored),
    model("executor_faults", Bug::WriteFailureIgnored),
    model("executor_faults", Bug::ShortWriteTaken),
    model("executor_faults", Bug::AbortHidesFailure),
    own("paths", Own::IdJoinedIntoPath),
    own("paths", Own::LinkFollowed),
    own("paths", Own::ForeignSwept),
    own("trace", Own::TraceLineSkipped),
    own("trace", Own::EmptyTraceTaken),
    own("trace", Own::TraceNumberPanics),
    own("trace", Own::ScenarioFieldPassedOver),
    own("trace", Own::ScenarioNumberRounded),
];

/// A target's planted bug of that name.
#[must_use]
pub fn named(target: &str, name: &str) -> Option<&'static Planted> {
    let mut of_target = PLANTED.iter().filter(|planted| planted.target == target);
    of_target.find(|planted| planted.claim().name == name)
}

/// The clauses for which only a decoder's checks can seed a bug: `gate spec` waits for that layer.
const DECODER: [&str; 2] = ["SR-ADM-001", "SR-SEC-003"];

/// What is claimed of the planted bugs, each once; a bug of a checker breaks no clause, and is a lie.
#[must_use]
pub fn claims() -> Vec<Claim> {
    let mut claims: Vec<Claim> = PLANTED.iter().map(Planted::claim).collect();
    claims.retain(|claim| !claim.clauses.is_empty());
    claims.sort_by_key(|claim| claim.name);
    claims.dedup_by_key(|claim| claim.name);
    claims
}

/// Those of them that only a decoder can have.
#[must_use]
pub fn decoder_claims() -> Vec<Claim> {
    let mut claims = claims();
    claims.retain(is_of_decoder);
    claims
}

fn is_of_decoder(claim: &Claim) -> bool {
    claim.clauses.iter().any(|clause| DECODER.contains(clause))
}

/// Which planted bugs were found, and by what, as the layers' results for `gate bugs`, by file name. A
/// bug that two targets have is found where each found it; one that breaks no clause, because it is one
/// of a checker, is a lie.
#[must_use]
pub fn layer_reports(found: &[(&Planted, Option<String>)]) -> [(&'static str, String); 2] {
    let mut by_name: BTreeMap<&str, (Claim, Vec<String>, bool)> = BTreeMap::new();
    for (planted, by) in found {
        let claim = planted.claim();
        let entry = by_name.entry(claim.name).or_insert((claim, Vec::new(), true));
        entry.1.extend(by.clone());
        entry.2 &= by.is_some();
    }
    let bug = |(claim, by, all): &(Claim, Vec<String>, bool)| {
        json!({
            "id": claim.name,
            "about": claim.about,
            "clauses": claim.clauses,
            "incident": claim.incidents.first(),
            "caught_by": if *all { by.clone() } else { Vec::new() },
        })
    };
    let lie = |(claim, by, all): &(Claim, Vec<String>, bool)| json!({ "id": claim.about, "caught": all, "by": by.join("; ") });
    let (lies, bugs): (Vec<_>, Vec<_>) = by_name.values().partition(|(claim, ..)| claim.clauses.is_empty());
    let of_decoder = bugs.iter().filter(|(claim, ..)| is_of_decoder(claim));
    let decoder: Vec<_> = of_decoder.map(|entry| bug(entry)).collect();
    let (lies, bugs): (Vec<_>, Vec<_>) = (lies.into_iter().map(lie).collect(), bugs.into_iter().map(bug).collect());
    [
        ("fuzz.json", format!("{:#}\n", json!({ "bugs": bugs, "lies": lies }))),
        ("decoder.json", format!("{:#}\n", json!({ "bugs": decoder }))),
    ]
}
