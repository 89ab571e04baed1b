//! From what was checked to what is reported.
//!
//! Guarantees: a run passes only where something ran and all of it passed. Refuses to know: how a
//! report looks.

use std::path::Path;
use std::{fs, io};

use serde_json::Value;
use snapshot_receiver::protocol::Digest;

use super::diagram::diagram;
use super::results::{BugResult, ClauseResult, PropertyResult, Results, SystemResult, Verdict};
use super::terminal::grouped;
use crate::bugs::Bugs;
use crate::check::{Blindness, Outcome};
use crate::exploration::Exploration;
use crate::properties::rules;
use crate::traceability::traces;
use crate::witnesses::Witness;

/// What checking one configuration gave, as data.
#[must_use]
pub fn system<D: Digest>(outcome: &Outcome<D>, bugs: Bugs) -> SystemResult {
    let always = rules::<D>().into_iter().map(|rule| PropertyResult {
        id: rule.name.to_owned(),
        kind: "always",
        verdict: if outcome.violated.contains(&rule.name) {
            "violated"
        } else {
            "holds"
        },
    });
    let sometimes = Witness::ALL.iter().map(|witness| PropertyResult {
        id: format!("{witness:?}"),
        kind: "sometimes",
        verdict: if outcome.witnesses.contains(witness) {
            "reached"
        } else {
            "unreached"
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
        passed: outcome.passed(),
        verdict: verdict(outcome),
        properties: always.chain(sometimes).collect(),
        growth: outcome.growth.clone(),
        counterexample: outcome
            .counterexample
            .as_ref()
            .map(|found| diagram(&exploration, found)),
    }
}

fn verdict<D: Digest>(outcome: &Outcome<D>) -> String {
    if !outcome.violated.is_empty() {
        return format!("VIOLATED {}", outcome.violated.join("; "));
    }
    if !outcome.unreached().is_empty() {
        return format!("VACUOUS: never reached {:?}", outcome.unreached());
    }
    if let (true, Some(pinned)) = (outcome.count_differs(), outcome.system.pinned_states) {
        return format!("COUNT CHANGED: pinned {}", grouped(pinned));
    }
    if outcome.engines_differ() {
        let counted = outcome.growth.iter().sum();
        return format!("ENGINES DIFFER: the second count is {}", grouped(counted));
    }
    if outcome.is_exhaustive {
        "holds".to_owned()
    } else {
        "not broken in this simulation (not exhaustive)".to_owned()
    }
}

/// Every clause with what checks it.
#[must_use]
pub fn clauses() -> Vec<ClauseResult> {
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
        status: trace.status(),
        bugs: trace.bugs,
    };
    traces().into_iter().map(clause).collect()
}

impl Results {
    /// The verdict of all that ran.
    #[must_use]
    pub fn judged(mut self) -> Self {
        let passed = self.systems.iter().all(|system| system.passed) && self.bugs.iter().all(|bug| bug.is_caught);
        self.verdict = match (self.systems.is_empty() && self.bugs.is_empty(), passed) {
            (true, _) => Verdict::NothingRan,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Fail,
        };
        self
    }
}

/// Reads what other layers' tests wrote of the bugs that they seed: each file of the directory has
/// the `bugs[]` of a report, and its name is the layer's. A bug known here gets a column, another
/// one a row.
///
/// # Errors
/// A file that is no such report: a broken result is not taken for none.
pub fn add_layers(bugs: &mut Vec<BugResult>, directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    for path in paths {
        let wrong = |what: &str| io::Error::other(format!("{}: {what}", path.display()));
        let layer = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let layer = layer.ok_or_else(|| wrong("no name"))?;
        let report: Value =
            serde_json::from_str(&fs::read_to_string(&path)?).map_err(|error| wrong(&error.to_string()))?;
        let listed = report["bugs"].as_array().ok_or_else(|| wrong("it has no bugs[]"))?;
        for bug in listed {
            let texts = |key: &str| -> Vec<String> {
                let items = bug[key].as_array().into_iter().flatten();
                items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
            };
            let id = bug["id"].as_str().ok_or_else(|| wrong("a bug has no id"))?;
            let caught_by = texts("caught_by");
            let cell = (layer.clone(), !caught_by.is_empty());
            if let Some(known) = bugs.iter_mut().find(|known| known.id == id) {
                known.layers.push(cell);
                known.is_caught &= !caught_by.is_empty();
                known.caught_by.extend(caught_by);
                continue;
            }
            bugs.push(BugResult {
                id: id.to_owned(),
                about: bug["about"].as_str().unwrap_or_default().to_owned(),
                seconds: bug["seconds"].as_f64().unwrap_or_default(),
                clauses: texts("clauses"),
                incidents: bug["incident"].as_str().map(str::to_owned).into_iter().collect(),
                is_caught: !caught_by.is_empty(),
                caught_by,
                layers: vec![cell],
                ..BugResult::default()
            });
        }
    }
    Ok(())
}
