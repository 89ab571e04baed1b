//! From what was checked to what is reported.
//!
//! Guarantees: a run passes only where something ran and all of it passed. Refuses to know: how a
//! report looks.

use snapshot_receiver::protocol::Digest;

use super::diagram::diagram;
use super::results::{
    ClauseResult, PropertyKind, PropertyResult, PropertyVerdict, Results, Standing, SystemResult, SystemVerdict,
    Verdict,
};
use crate::bugs::Bugs;
use crate::check::{Blindness, Outcome};
use crate::exploration::Exploration;
use crate::layers::Layers;
use crate::properties::rules;
use crate::traceability::traces_with;
use crate::witnesses::{Witness, expected};

/// What checking one configuration gave, as data.
#[must_use]
pub fn system<D: Digest>(outcome: &Outcome<D>, bugs: Bugs) -> SystemResult {
    let always = rules::<D>().into_iter().map(|rule| PropertyResult {
        id: rule.name.to_owned(),
        kind: PropertyKind::Always,
        verdict: match (outcome.violated.contains(&rule.name), outcome.is_exhaustive) {
            (true, _) => PropertyVerdict::Violated,
            (false, true) => PropertyVerdict::Holds,
            (false, false) => PropertyVerdict::NotBroken,
        },
    });
    // A run that stopped at a broken rule did not get to what it was there for.
    let required = if outcome.is_exhaustive && outcome.violated.is_empty() {
        expected(&outcome.system)
    } else {
        Vec::new()
    };
    let sometimes = Witness::ALL.iter().map(|witness| PropertyResult {
        id: format!("{witness:?}"),
        kind: PropertyKind::Sometimes {
            is_required: required.contains(witness),
        },
        verdict: if outcome.witnesses.contains(witness) {
            PropertyVerdict::Reached
        } else {
            PropertyVerdict::Unreached
        },
    });
    let exploration = Exploration::<D>::with(outcome.system.clone(), bugs, Blindness::default());
    SystemResult {
        name: outcome.system.label(),
        about: outcome.system.about.to_owned(),
        unique_states: outcome.unique_states,
        generated_states: outcome.generated_states,
        max_depth: outcome.max_depth,
        seconds: outcome.seconds,
        verdict: verdict(outcome),
        properties: always.chain(sometimes).collect(),
        growth: outcome.growth.clone(),
        counterexample: outcome
            .counterexample
            .as_ref()
            .map(|found| diagram(&exploration, found)),
    }
}

fn verdict<D: Digest>(outcome: &Outcome<D>) -> SystemVerdict {
    let unreached = outcome.unreached();
    if !outcome.violated.is_empty() {
        let violated = outcome.violated.iter().map(|rule| (*rule).to_owned());
        SystemVerdict::Violated(violated.collect())
    } else if !unreached.is_empty() {
        SystemVerdict::Vacuous(unreached.iter().map(|witness| format!("{witness:?}")).collect())
    } else if let (true, Some(pinned)) = (outcome.count_differs(), outcome.system.pinned_states) {
        SystemVerdict::CountChanged { pinned }
    } else if outcome.engines_differ() {
        let counted = outcome.growth.iter().sum();
        SystemVerdict::EnginesDiffer { counted }
    } else if outcome.is_exhaustive {
        SystemVerdict::Holds
    } else {
        SystemVerdict::Simulated
    }
}

/// Every clause with what checks it.
#[must_use]
pub fn clauses(layers: &Layers) -> Vec<ClauseResult> {
    let clause = |trace: crate::traceability::Trace| ClauseResult {
        id: trace.clause.id.to_owned(),
        level: trace.clause.level.word().to_owned(),
        text: trace.clause.text.to_owned(),
        checks: trace
            .rules
            .iter()
            .chain(trace.clause.tests)
            .map(|check| (*check).to_owned())
            .collect(),
        status: trace.standing(),
        bugs: trace
            .bugs
            .into_iter()
            .chain(trace.elsewhere.into_iter().map(|elsewhere| elsewhere.bug))
            .collect(),
    };
    traces_with(layers).into_iter().map(clause).collect()
}

impl Results {
    /// The verdict of all that ran. A clause whose rule this run broke is not called verified.
    #[must_use]
    pub fn judged(mut self) -> Self {
        for system in &self.systems {
            let SystemVerdict::Violated(rules) = &system.verdict else {
                continue;
            };
            for clause in &mut self.clauses {
                // A rule's name begins with its clauses.
                if rules.iter().any(|rule| rule.split(' ').any(|word| word == clause.id)) {
                    clause.status = Standing::Broken;
                }
            }
        }
        let passed =
            self.systems.iter().all(|system| system.verdict.passed()) && self.bugs.iter().all(|bug| bug.is_caught);
        self.verdict = match (self.systems.is_empty() && self.bugs.is_empty(), passed) {
            (true, _) => Verdict::NothingRan,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Fail,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page said that SR-PUB-001 was verified, above the way in which that very run had broken it.
    #[test]
    fn a_clause_whose_rule_is_broken_in_a_run_is_not_called_verified_in_its_report() {
        let rule = "SR-OFF-004 SR-ERR-003 the partial is exactly the bytes received";
        let clause = |id: &str| ClauseResult {
            id: id.to_owned(),
            status: Standing::Verified,
            ..ClauseResult::default()
        };
        let judged = Results {
            systems: vec![SystemResult {
                verdict: SystemVerdict::Violated(vec![rule.to_owned()]),
                ..SystemResult::default()
            }],
            clauses: ["SR-OFF-004", "SR-ERR-003", "SR-OFF-003"].map(clause).into(),
            ..Results::default()
        }
        .judged();
        let told: Vec<&Standing> = judged.clauses.iter().map(|clause| &clause.status).collect();
        assert_eq!(told, [&Standing::Broken, &Standing::Broken, &Standing::Verified]);
        assert_eq!(judged.verdict, Verdict::Fail);
    }
}
