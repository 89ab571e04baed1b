//! Ways in which a checker lies, each planted in this one: the gate must notice every one.
//!
//! Guarantees: a lie counts as noticed only where the gate's own verdict turns red. Refuses to
//! know: the receiver.
//!
//! The last of the eight lies that the project watches for, a schedule body that returns early, is
//! told beside the schedule checks of the shell, whose results are read (`layers`).

use snapshot_receiver::protocol::Crc32c;

use crate::bugs::hunt::smallest_system;
use crate::bugs::{Bug, Bugs};
use crate::check::{Blindness, Running, check};
use crate::exploration::Exploration;
use crate::properties::states;
use crate::replay::replay;
use crate::search::{Limit, nearest};
use crate::system::{Profile, System, systems};
use crate::trace::{HEADING, Trace};

/// One lie, and how the gate noticed it.
#[derive(Clone, Debug)]
pub struct Lie {
    /// What the checker was made to do.
    pub about: &'static str,
    /// What noticed it; `None` where nothing did.
    pub noticed: Option<String>,
}

/// Tells every lie to the gate.
#[must_use]
pub fn lies() -> Vec<Lie> {
    let system = smallest_exhausted();
    let blind = |about, blindness: Blindness| Lie {
        about,
        noticed: notice(&system, blindness),
    };
    let default = Blindness::default();
    vec![
        blind(
            "a crash that loses nothing",
            Blindness {
                loses_nothing: true,
                ..default
            },
        ),
        blind(
            "a network that never duplicates",
            Blindness {
                never_duplicates: true,
                ..default
            },
        ),
        blind(
            "a sync that always works",
            Blindness {
                syncs_never_fail: true,
                ..default
            },
        ),
        property_replaced_by_true(),
        blind(
            "a boundary that is always false",
            Blindness {
                sees_no_state: true,
                ..default
            },
        ),
        blind(
            "a limited run reported as complete",
            Blindness {
                stops_after: Some(1000),
                ..default
            },
        ),
        empty_trace(),
    ]
}

fn smallest_exhausted() -> System {
    // The quick profile is not empty; its smallest configuration makes the lies quick to tell.
    let mut all = systems::<Crc32c>(Profile::Quick);
    all.sort_by_key(|system| system.pinned_states);
    let reaching = all.into_iter().find(|system| {
        let in_chunks = system.snapshots.iter().all(|snapshot| snapshot.chunks.len() > 1);
        in_chunks && system.crashes_max > 0 && system.failures_max > 0
    });
    reaching.unwrap_or_else(smallest_system)
}

/// The verdict of an ordinary check of the receiver as it is, by a checker that lies.
fn notice(system: &System, blindness: Blindness) -> Option<String> {
    let exploration = Exploration::<Crc32c>::with(system.clone(), Bugs::none(), blindness);
    let outcome = check(exploration, &Running::default());
    if !outcome.unreached().is_empty() {
        return Some(format!("never reached {:?}", outcome.unreached()));
    }
    let pinned = outcome.system.pinned_states.unwrap_or_default();
    (!outcome.passed()).then(|| format!("{} states, pinned {pinned}", outcome.unique_states))
}

/// A rule that says nothing any more lets a bug through that only it catches.
fn property_replaced_by_true() -> Lie {
    let bug = Bug::DirectorySyncSkipped;
    let related = |rule: &str| bug.clauses().iter().any(|clause| states(rule, clause));
    let search = |rule| {
        let blindness = Blindness {
            rule,
            ..Blindness::default()
        };
        let mut exploration = Exploration::<Crc32c>::with(smallest_system(), bug.into(), blindness);
        exploration.goes_on = true;
        nearest(&exploration, Limit::NONE, related)
    };
    let (seen, _) = search(None);
    let rule = seen.and_then(|found| found.violated.into_iter().find(|rule| related(rule)));
    let (unseen, searched) = search(rule);
    let survives = rule.is_some() && unseen.is_none() && searched.is_complete;
    Lie {
        about: "a property replaced by `true`",
        noticed: survives.then(|| format!("the seeded bug {} survives", bug.name())),
    }
}

fn empty_trace() -> Lie {
    let text = format!("{HEADING}\nsystem {}\n", smallest_system().label());
    let noticed = match Trace::parse(&text) {
        Err(error) => Some(error.to_string()),
        Ok(trace) => replay(&trace, |_, _, _, _| {}).err().map(|error| error.to_string()),
    };
    Lie {
        about: "an empty trace replayed as success",
        noticed,
    }
}

/// Plants a bug that must be reported, in the way that every run checks: `None` where it was, else
/// what is wrong.
#[must_use]
pub fn canary() -> Option<String> {
    let bug = Bug::DirectorySyncSkipped;
    let exploration = Exploration::<Crc32c>::with_bugs(smallest_system(), bug.into());
    let outcome = check(exploration, &Running::default());
    let caught = outcome
        .violated
        .iter()
        .any(|rule| bug.clauses().iter().any(|clause| states(rule, clause)));
    (!caught).then(|| format!("the planted bug {} was not reported: the checker is blind", bug.name()))
}
