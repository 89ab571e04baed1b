//! The checker's view of the world: where it begins, what can happen in a state, and what comes of it.
//!
//! Guarantees: whatever may happen is offered in every state in which it may; what one step shows and
//! no state does is noted. Refuses to know: how the receiver takes a step.

use std::sync::Arc;

use snapshot_receiver::protocol::{Chunk, Digest, Effect, Event, FailureKind, State};
use stateright::{Model, Property};

use crate::disk::{Damage, Disk, File, Files};
use crate::exploration::Exploration;
use crate::properties;
use crate::report::diagram::{describe, state_lines};
use crate::system::{Beginning, Corruption, DATABASES_MAX, OLD_SNAPSHOT, Payload, SNAPSHOTS_MAX, Snapshot, System};
use crate::trace;
use crate::witnesses::Witness;
use crate::world::{Action, Breach, Breaches, Database, Wear, World};

impl<D: Digest> Exploration<D> {
    fn arrivals(&self, world: &World<D>, number: u8, snapshot: &Snapshot, actions: &mut Vec<Action>) {
        let database = world.database(snapshot.identity.database.number());
        let came_already = |offset: u64| match &database.state {
            State::AwaitingChunk(phase) => phase.identity == snapshot.identity && offset < phase.received_bytes,
            State::AwaitingStart(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => false,
        };
        for chunk in 0..world.sent[usize::from(number)] {
            let sent = &snapshot.chunks[usize::from(chunk)];
            if self.blindness.never_duplicates && came_already(sent.offset) {
                continue;
            }
            let snapshot = number;
            let wears = wears(self.system.corruption, sent).iter().copied();
            actions.extend(wears.map(|wear| Action::Deliver { snapshot, chunk, wear }));
        }
    }
}

impl<D: Digest> Model for Exploration<D> {
    type State = World<D>;
    type Action = Action;

    fn init_states(&self) -> Vec<World<D>> {
        let mut world = World {
            sent: [0; SNAPSHOTS_MAX],
            databases: Default::default(),
            disk: Disk::new(self.system.persistence),
            is_open: false,
            crashes_left: self.system.crashes_max,
            failures_left: self.system.failures_max,
            breaches: Breaches::default(),
        };
        match self.system.beginning {
            Beginning::Fresh => {}
            Beginning::Old => {
                world.disk.put_old(0, &self.snapshot(OLD_SNAPSHOT).bytes, OLD_SNAPSHOT);
                world.database_mut(0).acknowledged = Some(OLD_SNAPSHOT);
            }
        }
        vec![world]
    }

    fn within_boundary(&self, _: &World<D>) -> bool {
        !self.blindness.sees_no_state
    }

    fn actions(&self, world: &World<D>, actions: &mut Vec<Action>) {
        if !world.breaches.is_empty() && !self.goes_on {
            return;
        }
        for (number, snapshot) in (0u8..).zip(&self.system.snapshots) {
            let sent = world.sent[usize::from(number)];
            if usize::from(sent) < snapshot.chunks.len() {
                actions.push(Action::Send { snapshot: number });
            }
            let database = snapshot.identity.database.number();
            if world.is_open && world.database(database).is_at_rest() {
                self.arrivals(world, number, snapshot, actions);
            }
        }
        if !world.is_open {
            self.openings(world, actions);
            return;
        }
        if world.crashes_left > 0 {
            let left = self.count_crashes(&world.disk);
            actions.extend((0..left).map(|left| Action::Crash { left }));
        }
        for id in self.system.databases() {
            let database = id.number();
            let known = world.database(database);
            if known.is_at_rest() {
                actions.push(Action::Abort { database });
                actions.push(Action::Expire { database });
                continue;
            }
            actions.push(Action::Perform { database });
            let syncs = matches!(known.effects.first(), Some(Effect::Sync | Effect::SyncDirectory));
            if world.failures_left > 0 && !(syncs && self.blindness.syncs_never_fail) {
                let other = FailureKind::Other;
                actions.extend([Damage::Nothing, Damage::Done].map(|damage| Action::Fail {
                    database,
                    damage,
                    kind: other,
                }));
            }
        }
    }

    fn next_state(&self, last: &World<D>, action: Action) -> Option<World<D>> {
        let mut world = last.clone();
        match action {
            Action::Send { snapshot } => world.sent[usize::from(snapshot)] += 1,
            Action::Deliver { snapshot, chunk, wear } => {
                self.note_arrival(last, snapshot, chunk, wear);
                self.deliver(&mut world, snapshot, chunk, wear);
            }
            Action::Abort { database } => {
                self.witnesses.note_abort(last, database);
                self.take(&mut world, database, Event::AbortRequested);
            }
            Action::Expire { database } => {
                if last.database(database).state.is_running() {
                    self.witnesses.reach(Witness::Expired);
                }
                self.take(&mut world, database, Event::IdleExpired);
            }
            Action::Perform { database } => {
                self.perform_next(&mut world, database, None);
            }
            Action::Open => self.open(&mut world, None),
            Action::OpenFailing { after, damage } => self.open(&mut world, Some((after, damage))),
            Action::Crash { left } => self.crash(&mut world, &last.disk, left),
            Action::CrashOpening { after, left } => {
                self.witnesses.reach(Witness::OpeningCrashed);
                let disk = self.opening_cut_short(&last.disk, after);
                self.crash(&mut world, &disk, left);
            }
            Action::Fail { database, damage, kind } => {
                self.perform_next(&mut world, database, Some((damage, kind)));
            }
        }
        let crashed = matches!(action, Action::Crash { .. } | Action::CrashOpening { .. });
        if !crashed {
            judge_bystanders(
                &last.databases,
                &last.disk.databases,
                acts_on(&self.system, action),
                &mut world,
            );
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        if self.one_by_one {
            properties::one_by_one(self.blindness.rule)
        } else {
            vec![Property::always("every rule", Self::all_hold)]
        }
    }

    fn format_action(&self, action: &Action) -> String {
        trace::line(*action)
    }

    fn format_step(&self, last: &World<D>, action: Action) -> Option<String> {
        let next = self.next_state(last, action)?;
        let mut lines = vec![describe(self, last, action)];
        lines.extend(self.reply_to(last, action).map(|reply| format!("answered: {reply:?}")));
        lines.extend(state_lines(self, &next));
        lines.push(format!(
            "crashes left {}, failures left {}",
            next.crashes_left, next.failures_left
        ));
        Some(lines.join("\n"))
    }
}

fn wears(corruption: Corruption, chunk: &Chunk<u8, Payload>) -> &'static [Wear] {
    const ALL: &[Wear] = &[
        Wear::Intact,
        Wear::Longer,
        Wear::HugeTotal,
        Wear::FarOffset,
        Wear::Flipped,
        Wear::Cut,
    ];
    match corruption {
        Corruption::Never => &ALL[..1],
        Corruption::Payload if chunk.data().is_empty() => &ALL[..1],
        Corruption::Payload => &[Wear::Intact, Wear::Flipped, Wear::Cut],
        Corruption::Header if chunk.data().is_empty() => &ALL[..4],
        Corruption::Header => ALL,
    }
}

/// The database whose call an action belongs to.
fn acts_on(system: &System, action: Action) -> Option<u8> {
    match action {
        Action::Deliver { snapshot, .. } => {
            let snapshot = &system.snapshots[usize::from(snapshot)];
            Some(snapshot.identity.database.number())
        }
        Action::Abort { database }
        | Action::Expire { database }
        | Action::Perform { database }
        | Action::Fail { database, .. } => Some(database),
        Action::Send { .. }
        | Action::Open
        | Action::OpenFailing { .. }
        | Action::Crash { .. }
        | Action::CrashOpening { .. } => None,
    }
}

type Databases<D> = [Arc<Database<D>>; DATABASES_MAX];
type Directory = [Arc<Files>; DATABASES_MAX];

/// What a step that is no crash may not change, kept for who changes the world in place.
pub(crate) struct Bystanders<D> {
    databases: Databases<D>,
    directory: Directory,
    acted_on: Option<u8>,
}

impl<D: Digest> Bystanders<D> {
    /// Before a step, which is a call for that database, if for one.
    pub(crate) fn before(world: &World<D>, acted_on: Option<u8>) -> Self {
        Self {
            databases: world.databases.clone(),
            directory: world.disk.databases.clone(),
            acted_on,
        }
    }

    /// Notes what the step broke.
    pub(crate) fn judge(&self, after: &mut World<D>) {
        judge_bystanders(&self.databases, &self.directory, self.acted_on, after);
    }
}

/// Snapshots must not vanish, and a call for one database leaves the others' transfers, and the bytes
/// under their names, as they are.
fn judge_bystanders<D: Digest>(
    databases: &Databases<D>,
    directory: &Directory,
    acted_on: Option<u8>,
    after: &mut World<D>,
) {
    let mut files = directory.iter().zip(&after.disk.databases);
    if files.any(|(before, after)| before.snapshot().is_some() && after.snapshot().is_none()) {
        after.breaches.note(Breach::SnapshotVanished);
    }
    let Some(number) = acted_on else { return };
    let mut others = (0..databases.len()).filter(|place| *place != usize::from(number));
    let is_touched = others.any(|place| {
        // What a step leaves alone is shared by both states: compared without being read.
        let (files, files_after) = (&directory[place], &after.disk.databases[place]);
        databases[place] != after.databases[place]
            || !(Arc::ptr_eq(files, files_after) || shows_the_same(files, files_after))
    });
    if is_touched {
        after.breaches.note(Breach::OtherDatabaseTouched);
    }
}

fn shows_the_same(files: &Files, others: &Files) -> bool {
    let same = |one: Option<&File>, other: Option<&File>| one.map(|file| &file.bytes) == other.map(|file| &file.bytes);
    same(files.partial.as_ref(), others.partial.as_ref()) && same(files.snapshot(), others.snapshot())
}

impl<D: Digest> Exploration<D> {
    fn note_arrival(&self, world: &World<D>, snapshot: u8, chunk: u8, wear: Wear) {
        match wear {
            Wear::Intact => {}
            Wear::Flipped | Wear::Cut | Wear::Longer | Wear::HugeTotal | Wear::FarOffset => {
                self.witnesses.reach(Witness::Damaged);
            }
        }
        let arrived = &self.snapshot(snapshot).chunks[usize::from(chunk)];
        let State::AwaitingChunk(phase) = &world.database(arrived.identity.database.number()).state else {
            return;
        };
        if phase.identity == arrived.identity && arrived.offset < phase.received_bytes && !arrived.data().is_empty() {
            self.witnesses.reach(Witness::Duplicated);
        }
        if phase.identity == arrived.identity && arrived.offset > phase.received_bytes {
            self.witnesses.reach(Witness::Reordered);
        }
    }
}
