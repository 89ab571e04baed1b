//! `world`: bytes choose what happens next in a modelled world: a call, a delivery, a crash and what
//! it leaves, a failing operation.
//!
//! The first byte chooses the world, among all that the gate has. Each step then takes three bytes:
//! which kind of action, and which of those that are possible.
//!
//! Guarantees: the gate's own worlds, steps and rules, so a finding is a trace that `gate replay`
//! takes; every state heals at the end. Refuses to know: the rules.

use snapshot_receiver::protocol::Crc32c;
use stateright::Model;

use super::{Rig, Target, Watch};
use crate::bugs::Bugs;
use crate::check::Blindness;
use crate::exploration::Exploration;
use crate::healing::heals;
use crate::properties::LIVENESS;
use crate::system::{Profile, small_systems, systems};
use crate::trace::{Trace, line};
use crate::witnesses::Witness;
use crate::world::Action;

/// See the head of this file.
pub(super) const TARGET: Target = Target {
    name: "world",
    about: "bytes choose the next call, delivery, crash or failing operation of a modelled world; every rule, then healing",
    word_bytes: STEP_BYTES,
    input_bytes_max: 1 + 100 * STEP_BYTES,
    reaches: &[
        "send",
        "deliver",
        "abort",
        "expire",
        "perform",
        "open",
        "open-failing",
        "crash",
        "crash-opening",
        "fail",
        "Committed",
        "Replaced",
        "PowerLost",
        "CommittedCrashed",
        "OpeningCrashed",
        "OrphanSwept",
        "OrphanOwed",
        "RemovalOwed",
        "RepeatAnswered",
        "SyncFailed",
        "DirectorySyncFailed",
        "CrcVerdict",
        "PlaceRefused",
        "StaleRefused",
    ],
    run,
};

const STEP_BYTES: usize = 3;

/// Every world, explored once by each run that chooses it.
#[derive(Debug)]
pub(super) struct Bench(Vec<Exploration<Crc32c>>);

impl Bench {
    fn new(bugs: Bugs) -> Self {
        let blindness = Blindness {
            rule: Some(LIVENESS),
            ..Blindness::default()
        };
        let all = systems::<Crc32c>(Profile::Deep)
            .into_iter()
            .chain(small_systems::<Crc32c>());
        Self(all.map(|system| Exploration::with(system, bugs, blindness)).collect())
    }
}

/// The kinds of action, as a byte chooses among those that are possible.
fn kind(action: &Action) -> &'static str {
    match action {
        Action::Send { .. } => "send",
        Action::Deliver { .. } => "deliver",
        Action::Abort { .. } => "abort",
        Action::Expire { .. } => "expire",
        Action::Perform { .. } => "perform",
        Action::Open => "open",
        Action::OpenFailing { .. } => "open-failing",
        Action::Crash { .. } => "crash",
        Action::CrashOpening { .. } => "crash-opening",
        Action::Fail { .. } => "fail",
    }
}

/// What a byte chooses: what goes on is likelier than what goes wrong.
const KINDS: [&str; 16] = [
    "perform",
    "deliver",
    "send",
    "open",
    "perform",
    "deliver",
    "send",
    "open",
    "perform",
    "deliver",
    "abort",
    "expire",
    "fail",
    "crash",
    "open-failing",
    "crash-opening",
];

/// The possible action that three bytes choose: of the first kind, from theirs on, that is possible.
fn choose(possible: &[Action], [wanted, high, low]: [u8; STEP_BYTES]) -> Option<Action> {
    let from = usize::from(wanted) % KINDS.len();
    let kinds = (from..from + KINDS.len()).map(|index| KINDS[index % KINDS.len()]);
    let of_kind = |wanted: &'static str| possible.iter().filter(move |action| kind(action) == wanted);
    let number = usize::from(u16::from_be_bytes([high, low]));
    kinds.map(of_kind).find_map(|mut found| {
        let count = found.clone().count();
        if count == 0 {
            None
        } else {
            found.nth(number % count).copied()
        }
    })
}

fn run(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    let Some((first, steps)) = input.split_first() else {
        return Ok(());
    };
    let bench = rig.worlds.get_or_init(|| Bench::new(rig.bugs));
    let exploration = &bench.0[usize::from(*first) % bench.0.len()];
    watch.tell(|| format!("system {}", exploration.system.label()));
    if watch.wants() {
        exploration.witnesses.forget();
    }
    let mut world = exploration.init_states().swap_remove(0);
    let mut possible = Vec::new();
    for step in steps.as_chunks().0 {
        possible.clear();
        exploration.actions(&world, &mut possible);
        let Some(action) = choose(&possible, *step) else {
            break;
        };
        watch.see(kind(&action));
        watch.tell(|| line(action));
        if let Some(next) = exploration.next_state(&world, action) {
            world = next;
        }
        if !exploration.all_hold(&world) {
            return Err(format!("broken: {}", exploration.broken_in(&world).join("; ")));
        }
    }
    if watch.wants() {
        let reached = Witness::ALL
            .iter()
            .filter(|witness| exploration.witnesses.reached(**witness));
        reached.for_each(|witness| watch.see(format!("{witness:?}")));
    }
    exploration.healed.forget();
    if heals(exploration, &world) {
        Ok(())
    } else {
        Err(format!("broken: {LIVENESS}"))
    }
}

/// An input as the gate's own trace: each line but the first is an action.
pub(super) fn as_trace(rig: &Rig, lines: &[String], broken: &str) -> Option<Trace> {
    let (system, actions) = lines.split_first()?;
    let rules = broken.strip_prefix("broken: ")?;
    Some(Trace {
        system: system.strip_prefix("system ")?.to_owned(),
        bugs: rig.bugs,
        broken: rules.split("; ").map(str::to_owned).collect(),
        actions: actions.iter().filter_map(|line| crate::trace::action(line)).collect(),
    })
}
