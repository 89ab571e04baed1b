//! A counterexample as lanes: who did what to whom, step by step.
//!
//! Guarantees: each step has the state before it, in words; a fault is marked. Refuses to know:
//! how a diagram is drawn.

use snapshot_receiver::protocol::{Digest, Effect, Reply, State};

use super::results::{Diagram, DiagramStep, Lane};
use crate::disk::{Damage, Durability, File};
use crate::exploration::Exploration;
use crate::healing::why_stuck;
use crate::properties::states;
use crate::search::Counterexample;
use crate::world::{Action, Database, Wear, World};

/// Draws a counterexample in lanes.
#[must_use]
pub fn diagram<D: Digest>(exploration: &Exploration<D>, found: &Counterexample<D>) -> Diagram {
    let system = &exploration.system;
    let bugs: Vec<&str> = exploration.bugs.iter().map(crate::bugs::Bug::name).collect();
    let seeded = if bugs.is_empty() {
        String::new()
    } else {
        format!(", with the seeded bug {}", bugs.join(" and "))
    };
    let legend = system.snapshots.iter().enumerate().map(|(number, snapshot)| {
        let identity = &snapshot.identity;
        format!(
            "snapshot {number}: cluster {}, database {}, LSN {}, {}",
            identity.cluster,
            identity.database,
            identity.snapshot_lsn,
            quoted(&snapshot.bytes)
        )
    });
    let steps = found.steps.iter().filter_map(|(world, action)| {
        let action = (*action)?;
        Some(step(exploration, world, action))
    });
    let is_stuck = found.violated.iter().any(|rule| states(rule, "SR-LIV-001"));
    let end = found.steps.last().map(|(world, _)| {
        let mut lines = state_lines(exploration, world);
        if is_stuck {
            lines.extend(why_stuck(exploration, world));
        }
        lines
    });
    Diagram {
        title: format!("{}: {}{seeded}", system.label(), system.about),
        broken: found.violated.iter().map(|rule| (*rule).to_owned()).collect(),
        legend: legend.collect(),
        steps: steps.collect(),
        end: end.unwrap_or_default(),
    }
}

fn step<D: Digest>(exploration: &Exploration<D>, world: &World<D>, action: Action) -> DiagramStep {
    let (from, to, is_fault) = lanes(action);
    DiagramStep {
        from,
        to,
        label: describe(exploration, world, action),
        is_fault,
        before: state_lines(exploration, world),
        reply: exploration.reply_to(world, action).map(|reply| say(&reply)),
    }
}

fn lanes(action: Action) -> (Lane, Lane, bool) {
    match action {
        Action::Send { .. } => (Lane::Source, Lane::Network, false),
        Action::Deliver { wear, .. } => {
            let damaged = match wear {
                Wear::Intact => false,
                Wear::Flipped | Wear::Cut | Wear::Longer | Wear::HugeTotal | Wear::FarOffset => true,
            };
            (Lane::Network, Lane::Receiver, damaged)
        }
        Action::Abort { .. } | Action::Expire { .. } => (Lane::Receiver, Lane::Receiver, false),
        Action::Perform { .. } => (Lane::Receiver, Lane::Disk, false),
        Action::Fail { .. } => (Lane::Receiver, Lane::Disk, true),
        Action::Open => (Lane::Receiver, Lane::Disk, false),
        Action::OpenFailing { .. } => (Lane::Receiver, Lane::Disk, true),
        Action::Crash { .. } | Action::CrashOpening { .. } => (Lane::Disk, Lane::Disk, true),
    }
}

/// Every database's state, a line each.
#[must_use]
pub fn state_lines<D: Digest>(exploration: &Exploration<D>, world: &World<D>) -> Vec<String> {
    let mut lines = Vec::new();
    if !world.is_open {
        lines.push("no receiver is open".to_owned());
    }
    for id in exploration.system.databases() {
        let index = usize::from(id.number());
        let files = &world.disk.databases[index];
        lines.push(format!(
            "database {index}: {}; partial {}, snapshot {}",
            phase(&world.databases[index]),
            content(files.partial.as_ref()),
            content(files.snapshot())
        ));
    }
    lines
}

fn phase<D>(database: &Database<D>) -> String {
    let mut text = match &database.state {
        State::AwaitingStart(phase) => match &phase.memory {
            snapshot_receiver::protocol::Memory::Nothing => "awaits a start".to_owned(),
            snapshot_receiver::protocol::Memory::RemovalOwed => "awaits a start, a removal is owed".to_owned(),
            snapshot_receiver::protocol::Memory::CommittedBy(chunk) => {
                format!("awaits a start, or the final chunk at {} again", chunk.offset)
            }
        },
        State::AwaitingChunk(phase) => format!(
            "awaits a chunk at {} of LSN {}",
            phase.received_bytes, phase.identity.snapshot_lsn
        ),
        State::AwaitingPublication(phase) => {
            format!(
                "awaits the publication of LSN {}",
                phase.final_chunk.identity.snapshot_lsn
            )
        }
        State::AwaitingRemoval(_) => "awaits the removal of its partial".to_owned(),
    };
    if let Some(latest) = database.state.latest() {
        let (cluster, lsn) = (latest.cluster.number(), latest.snapshot_lsn);
        text.push_str(&format!(", latest commit LSN {lsn} of cluster {cluster}"));
    }
    if !database.effects.is_empty() {
        let names: Vec<&str> = database.effects.iter().map(effect_name).collect();
        text.push_str(&format!(", to do: {}", names.join(", ")));
    }
    text
}

fn effect_name<T, B>(effect: &Effect<T, B>) -> &'static str {
    match effect {
        Effect::Create => "create",
        Effect::Write { .. } => "write",
        Effect::Sync => "sync",
        Effect::Publish(_) => "publish",
        Effect::SyncDirectory => "sync the directory",
        Effect::Remove => "remove",
        Effect::Report(_) => "report",
        Effect::Reply(_) => "reply",
    }
}

pub(crate) fn say(reply: &Reply<u8>) -> String {
    match reply {
        Reply::Pending { bytes_done } => format!("Pending, {bytes_done} bytes"),
        Reply::Committed { snapshot_lsn } => format!("Committed, LSN {snapshot_lsn}"),
        Reply::Rejected { rejection, .. } => format!("Rejected: {rejection}"),
        Reply::Failed { failure, .. } => format!("Failed: {failure}"),
        Reply::Aborted => "Aborted".to_owned(),
        Reply::NothingRan => "nothing ran".to_owned(),
        Reply::OutOfTurn => "out of turn".to_owned(),
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

fn content(file: Option<&File>) -> String {
    file.map_or_else(
        || "absent".to_owned(),
        |file| {
            let durable = match file.durability {
                Durability::Unsynced => "not synced",
                Durability::Synced => "synced",
                Durability::Lost => "a sync failed",
            };
            format!("{} ({durable})", quoted(&file.bytes))
        },
    )
}

fn extent(damage: Damage) -> &'static str {
    match damage {
        Damage::Nothing => "without effect",
        Damage::Done => "though it took effect",
    }
}

/// One action in words.
#[must_use]
pub fn describe<D: Digest>(exploration: &Exploration<D>, world: &World<D>, action: Action) -> String {
    let next = |database: u8| {
        let effect = world.database(database).effects.first();
        effect.map_or("nothing", effect_name)
    };
    match action {
        Action::Send { snapshot } => {
            let chunk = world.sent[usize::from(snapshot)];
            format!("sends chunk {chunk} of snapshot {snapshot}")
        }
        Action::Deliver { snapshot, chunk, wear } => {
            let arrived = exploration.chunk(snapshot, chunk, wear);
            let wear = match wear {
                Wear::Intact => "",
                Wear::Flipped => ", a bit flipped on the way",
                Wear::Cut => ", cut short on the way",
                Wear::Longer => ", a byte too many",
                Wear::HugeTotal => ", its total the largest number",
                Wear::FarOffset => ", its offset the largest number",
            };
            let done = if arrived.done { ", done" } else { "" };
            let (bytes, offset) = (quoted(arrived.data()), arrived.offset);
            format!("delivers chunk {chunk} of snapshot {snapshot}: {bytes} at {offset}{done}{wear}")
        }
        Action::Abort { database } => format!("abort of database {database}"),
        Action::Expire { database } => format!("database {database} was idle for too long"),
        Action::Open => "opens".to_owned(),
        Action::OpenFailing { after, damage } => {
            format!("opens; its operation {} FAILS {}", after + 1, extent(damage))
        }
        Action::Crash { left: 0 } => "the process is KILLED".to_owned(),
        Action::Crash { left } => format!("the power is LOST, leaving state {left} of those possible"),
        Action::CrashOpening { after, left } => {
            let how = if left == 0 { "KILLED" } else { "cut off by a POWER LOSS" };
            format!("an opening is {how} after {after} operations (state {left})")
        }
        Action::Perform { database } => format!("{} of database {database}", next(database)),
        Action::Fail { database, damage, kind } => {
            format!(
                "{} of database {database} FAILS {} ({kind})",
                next(database),
                extent(damage)
            )
        }
    }
}
