//! Results for programs.
//!
//! Guarantees: the same results as on the terminal; the keys are stable. Refuses to know: where
//! the text goes.
//!
//! Keys: `format` (1; another number where an old reader would misread it), `verdict` (`pass`, `fail`, `nothing ran`, `could not check`), `profile`, `seconds`;
//! `systems[]` of `name`, `unique_states`, `generated_states`, `max_depth`, `seconds` and
//! `properties[]` of `id`, `kind` (`always` or `sometimes`) and `verdict` (`holds`, `violated`,
//! `reached`, `unreached`; `not broken` for a rule in a simulation); `bugs[]` of `id`, `clauses[]`, `incident` (a text or null, several joined
//! by a space), `caught_by[]` and `steps`; `clauses[]` of `id`, `level`, `checks[]` and `bugs[]`.
//! Beyond these: a system's `passed`, its `verdict` in words and its `growth[]`; a bug's `system`,
//! `about` and `layers`; a clause's `status`.

use serde_json::{Map, Value, json};

use super::results::{BugResult, ClauseResult, Results, SystemResult};

/// The version of the keys.
const FORMAT: u32 = 1;

/// The JSON report.
#[must_use]
pub fn json(results: &Results) -> String {
    let value = json!({
        "format": FORMAT,
        "verdict": results.verdict.word(),
        "profile": results.profile,
        "seconds": results.seconds,
        "systems": results.systems.iter().map(system).collect::<Vec<_>>(),
        "bugs": results.bugs.iter().map(bug).collect::<Vec<_>>(),
        "clauses": results.clauses.iter().map(clause).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn system(system: &SystemResult) -> Value {
    let properties = system
        .properties
        .iter()
        .map(|property| json!({ "id": property.id, "kind": property.kind.word(), "verdict": property.verdict.word() }));
    json!({
        "name": system.name,
        "unique_states": system.unique_states,
        "generated_states": system.generated_states,
        "max_depth": system.max_depth,
        "seconds": system.seconds,
        "passed": system.verdict.passed(),
        "verdict": system.verdict.to_string(),
        "growth": system.growth,
        "properties": properties.collect::<Vec<_>>(),
    })
}

pub(crate) fn bug(bug: &BugResult) -> Value {
    let incident = if bug.incidents.is_empty() {
        Value::Null
    } else {
        Value::String(bug.incidents.join(" "))
    };
    let layers: Map<String, Value> = bug
        .layers
        .iter()
        .map(|(layer, caught)| (layer.clone(), Value::Bool(*caught)))
        .collect();
    json!({
        "id": bug.id,
        "about": bug.about,
        "clauses": bug.clauses,
        "incident": incident,
        "caught_by": bug.caught_by,
        "steps": bug.steps,
        "system": bug.system,
        "layers": layers,
    })
}

fn clause(clause: &ClauseResult) -> Value {
    json!({
        "id": clause.id,
        "level": clause.level,
        "checks": clause.checks,
        "bugs": clause.bugs,
        "status": clause.status.to_string(),
    })
}
