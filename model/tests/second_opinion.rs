//! Two models of the protocol, written apart, in numbers: the abstract states that both can tell.
//!
//! Guarantees: without crashes, failures and damage, this model reaches exactly the abstract states
//! that the Promela model lists in `second_opinion/`. Refuses to know: how that list came about
//! (`second_opinion/run.sh` makes it anew).

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use snapshot_receiver::protocol::{Crc32c, Memory, State};
use snapshot_receiver_model::exploration::Exploration;
use snapshot_receiver_model::system::{Corruption, Profile, System, systems};
use snapshot_receiver_model::world::World;
use stateright::Model;

/// The newer of two snapshots has this LSN; the older one less by one.
const NEWER_LSN: u64 = 6;

/// The first snapshots of the system `newer`, each in two chunks of two bytes, and no fault.
fn faultless(snapshots: usize) -> System {
    let mut all = systems::<Crc32c>(Profile::Quick);
    all.retain(|system| system.name == "newer");
    let mut system = all.swap_remove(0);
    system.snapshots.truncate(snapshots);
    (system.crashes_max, system.failures_max, system.corruption) = (0, 0, Corruption::Never);
    system
}

fn reached(system: System, line: fn(&World) -> Option<String>) -> BTreeSet<String> {
    let exploration = Exploration::<Crc32c>::of(system);
    let mut pending = exploration.init_states();
    let mut known: HashSet<World> = pending.iter().cloned().collect();
    let mut lines = BTreeSet::new();
    let mut actions = Vec::new();
    while let Some(world) = pending.pop() {
        lines.extend(line(&world));
        exploration.actions(&world, &mut actions);
        for action in actions.drain(..) {
            let next = exploration.next_state(&world, action).expect("it is possible");
            if known.insert(next.clone()) {
                pending.push(next);
            }
        }
    }
    lines
}

fn listed(name: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("second_opinion").join(name);
    let text = std::fs::read_to_string(path).expect("the list");
    text.lines().map(str::to_owned).collect()
}

/// The partial's visible length, whether the snapshot is visible, and whether it is durable.
fn files(world: &World) -> (String, &'static str, &'static str) {
    let files = world.disk.files(0);
    let partial = files.partial.as_ref();
    let partial = partial.map_or_else(|| "absent".to_owned(), |file| file.bytes.len().to_string());
    let snapshot = if files.snapshot().is_some() { "whole" } else { "absent" };
    let durable = if files.snapshot_is_durable() { "yes" } else { "no" };
    (partial, snapshot, durable)
}

fn at_rest(world: &World) -> Option<String> {
    let database = &world.databases[0];
    let (phase, received) = match &database.state {
        State::AwaitingStart(_) => ("start", 0),
        State::AwaitingChunk(phase) => ("chunk", phase.received_bytes),
        State::AwaitingPublication(_) | State::AwaitingRemoval(_) => return None,
    };
    let (partial, snapshot, durable) = files(world);
    let line = format!("phase={phase} received={received} partial={partial} snapshot={snapshot} durable={durable}");
    database.is_at_rest().then_some(line)
}

fn every_moment(world: &World) -> Option<String> {
    let (partial, snapshot, durable) = files(world);
    Some(format!("partial={partial} snapshot={snapshot} durable={durable}"))
}

fn at_rest_with_a_newer_one(world: &World) -> Option<String> {
    let database = &world.databases[0];
    let order = |lsn: u64| lsn + 2 - NEWER_LSN;
    let (phase, lsn, received, repeat) = match &database.state {
        State::AwaitingStart(phase) => match &phase.memory {
            Memory::CommittedBy(last) => ("start", 0, 0, order(last.identity.snapshot_lsn)),
            Memory::Nothing | Memory::RemovalOwed => ("start", 0, 0, 0),
        },
        State::AwaitingChunk(phase) => {
            let lsn = order(phase.identity.snapshot_lsn);
            ("chunk", lsn, phase.received_bytes, 0)
        }
        State::AwaitingPublication(_) | State::AwaitingRemoval(_) => return None,
    };
    let (partial, _, durable) = files(world);
    let visible = world.disk.files(0).snapshot().and_then(|file| file.published_as);
    let snapshot = visible.map_or(0, |number| number + 1);
    let latest = database.state.latest().map_or(0, |commit| order(commit.snapshot_lsn));
    let line = format!(
        "phase={phase} lsn={lsn} received={received} partial={partial} snapshot={snapshot} durable={durable} \
         latest={latest} repeat={repeat}"
    );
    database.is_at_rest().then_some(line)
}

#[test]
fn both_models_reach_the_same_abstract_states_at_rest() {
    assert_eq!(reached(faultless(1), at_rest), listed("abstract_states.txt"));
}

#[test]
fn both_models_reach_the_same_abstract_states_at_every_moment() {
    assert_eq!(
        reached(faultless(1), every_moment),
        listed("abstract_states_moments.txt")
    );
}

#[test]
fn both_models_reach_the_same_abstract_states_with_a_newer_snapshot() {
    assert_eq!(
        reached(faultless(2), at_rest_with_a_newer_one),
        listed("abstract_states_newer.txt")
    );
}
