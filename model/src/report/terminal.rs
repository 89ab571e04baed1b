//! Results for people.
//!
//! Guarantees: what is shown is what was measured; an unreached witness and a changed count are
//! shown as failures, not left out. Refuses to know: how results come about.

use std::fmt::Write;

use snapshot_receiver::protocol::{Digest, Effect, State};

use crate::bugs::{Bug, Verdict};
use crate::check::{Counterexample, Outcome};
use crate::disk::{Durability, File};
use crate::exploration::Exploration;
use crate::system::System;
use crate::world::{Action, Database, Wear, World};

/// The systems' table.
#[must_use]
pub fn table<D: Digest>(outcomes: &[Outcome<D>]) -> String {
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "{:<10} {:>13} {:>13} {:>6} {:>8}  verdict",
            "system", "unique states", "generated", "depth", "seconds"
        ),
    );
    for outcome in outcomes {
        line(
            &mut text,
            format_args!(
                "{:<10} {:>13} {:>13} {:>6} {:>8.2}  {}",
                outcome.system.name,
                grouped(outcome.unique_states),
                grouped(outcome.generated_states),
                outcome.max_depth,
                outcome.seconds,
                verdict(outcome)
            ),
        );
    }
    text
}

/// One system's verdict in words.
#[must_use]
pub fn verdict<D: Digest>(outcome: &Outcome<D>) -> String {
    if !outcome.violated.is_empty() {
        return format!("VIOLATED {}", outcome.violated.join("; "));
    }
    if !outcome.unreached().is_empty() {
        return format!("VACUOUS: never reached {:?}", outcome.unreached());
    }
    if outcome.count_differs() {
        return format!("COUNT CHANGED: pinned {}", grouped(outcome.system.pinned_states));
    }
    "holds".to_owned()
}

/// One line of the table of seeded bugs.
#[must_use]
pub fn bug(verdict: &Verdict) -> String {
    let Verdict { bug, clause, caught } = verdict;
    match caught {
        None => format!("{bug:<28} {clause:<11} SURVIVED"),
        Some(caught) => {
            let unrelated = if verdict.is_caught() { "" } else { "UNRELATED: " };
            let rules = caught.rules.join("; ");
            format!(
                "{bug:<28} {clause:<11} {:<9} {:>5}  {unrelated}{rules}",
                caught.system, caught.steps
            )
        }
    }
}

/// A number with its thousands apart.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A counterexample, step by step.
#[must_use]
pub fn counterexample<D: Digest>(system: &System, bug: Option<Bug>, found: &Counterexample<D>) -> String {
    let exploration = Exploration::<D>::with_bug(system.clone(), bug);
    let mut text = String::new();
    line(&mut text, format_args!("system {}: {}", system.name, system.about));
    for (number, snapshot) in system.snapshots.iter().enumerate() {
        let identity = &snapshot.identity;
        line(
            &mut text,
            format_args!(
                "  snapshot {number}: cluster {:?}, database {}, LSN {}, {:?}",
                identity.cluster,
                identity.database.number(),
                identity.snapshot_lsn,
                String::from_utf8_lossy(&snapshot.bytes)
            ),
        );
    }
    for name in &found.violated {
        line(&mut text, format_args!("broken: {name}"));
    }
    line(
        &mut text,
        format_args!("the shortest way there, {} steps:", found.length()),
    );
    for (number, (world, action)) in found.steps.iter().enumerate() {
        if !world.is_open {
            line(&mut text, format_args!("       no receiver is open"));
        }
        for id in system.databases() {
            let index = usize::from(id.number());
            let files = &world.disk.databases[index];
            line(
                &mut text,
                format_args!(
                    "       database {index}: {}; partial {}, snapshot {}",
                    phase(&world.databases[index]),
                    content(files.partial.as_ref()),
                    content(files.snapshot())
                ),
            );
        }
        if let Some(action) = action {
            line(
                &mut text,
                format_args!("{:>4}.  {}", number + 1, describe(&exploration, world, *action)),
            );
        }
    }
    text
}

fn phase<D>(database: &Database<D>) -> String {
    let mut text = match &database.state {
        State::AwaitingStart(phase) => format!("awaits a start ({:?})", phase.memory),
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
        State::AwaitingRemoval(phase) => format!("awaits the removal ({:?})", phase.ending),
    };
    if !database.effects.is_empty() {
        let names: Vec<&str> = database.effects.iter().map(effect_name).collect();
        // Writing to a string does not fail.
        let _written = write!(text, ", to do: {}", names.join(", "));
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

fn content(file: Option<&File>) -> String {
    file.map_or_else(
        || "absent".to_owned(),
        |file| {
            let durable = match file.durability {
                Durability::Unsynced => "not synced",
                Durability::Synced => "synced",
                Durability::Lost => "a sync failed",
            };
            format!("{:?} ({durable})", String::from_utf8_lossy(&file.bytes))
        },
    )
}

fn describe<D: Digest>(exploration: &Exploration<D>, world: &World<D>, action: Action) -> String {
    let next = |database: u8| {
        let effect = world.databases[usize::from(database)].effects.first();
        effect.map_or("nothing", effect_name)
    };
    match action {
        Action::Send { snapshot } => {
            let chunk = world.sent[usize::from(snapshot)];
            format!("source     sends chunk {chunk} of snapshot {snapshot}")
        }
        Action::Deliver { snapshot, chunk, wear } => {
            let arrived = exploration.chunk(snapshot, chunk, wear);
            let wear = match wear {
                Wear::Intact => "",
                Wear::Flipped => ", a bit flipped on the way",
                Wear::Cut => ", cut short on the way",
            };
            let done = if arrived.done { ", done" } else { "" };
            let bytes = String::from_utf8_lossy(&arrived.data).into_owned();
            let offset = arrived.offset;
            format!("network    delivers chunk {chunk} of snapshot {snapshot}: {bytes:?} at {offset}{done}{wear}")
        }
        Action::Abort { database } => format!("operator   aborts database {database}"),
        Action::Expire { database } => format!("clock      database {database} was idle for too long"),
        Action::Open => "receiver   opens".to_owned(),
        Action::OpenFailing { after, damage } => {
            format!("receiver   opens; its operation {} FAILS (done: {damage:?})", after + 1)
        }
        Action::Crash { left: 0 } => "receiver   is KILLED".to_owned(),
        Action::Crash { left } => format!("power      is LOST, leaving state {left} of those possible"),
        Action::CrashOpening { after, left } => {
            let how = if left == 0 { "is KILLED" } else { "loses its POWER" };
            format!("receiver   {how} after {after} operations of its opening (state {left})")
        }
        Action::Perform { database } => format!("disk       {} of database {database}", next(database)),
        Action::Fail { database, damage, kind } => {
            format!(
                "disk       {} of database {database} FAILS ({kind}; done: {damage:?})",
                next(database)
            )
        }
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _written = writeln!(text, "{arguments}");
}
