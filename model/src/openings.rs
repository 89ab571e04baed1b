//! Openings and crashes: what begins a receiver, and what ends one without asking.
//!
//! Guarantees: the shipped recovery opens; a crash leaves what the disk's contract allows, in an
//! opening too. Refuses to know: transfers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use ahash::RandomState;
use snapshot_receiver::protocol::{Digest, FailureKind, State};

use crate::bugs::mistakes;
use crate::disk::{AfterCrash, Damage, Disk, Failing, Files, Then};
use crate::exploration::{Exploration, note};
use crate::witnesses::Witness;
use crate::world::{Action, Breach, Database, World};

/// What crashes leave of disks, so that it is not worked out again.
#[derive(Debug, Default)]
pub(crate) struct Crashes {
    /// Of the disk last asked about.
    last: Option<(Disk, AfterCrash)>,
    /// Of each database's files: of them there are few.
    each: HashMap<Files, Arc<[Arc<Files>]>, RandomState>,
}

impl<D: Digest> Exploration<D> {
    /// Opens a receiver: the shipped recovery, on a disk of which an operation may fail.
    pub fn open(&self, world: &mut World<D>, failing: Option<(u8, Damage)>) {
        let orphans = orphans(&world.disk);
        let recovered = match failing {
            None => mistakes::recover(self.bugs, &mut world.disk),
            Some((after, damage)) => {
                world.failures_left -= 1;
                let (kind, then) = (FailureKind::Other, Then::Works);
                let disk = &mut world.disk;
                let mut disk = Failing {
                    disk,
                    after,
                    damage,
                    then,
                    kind,
                };
                mistakes::recover(self.bugs, &mut disk)
            }
        };
        mistakes::after_opening(self.bugs, &mut world.disk);
        let Ok(left) = recovered else {
            // A listing or a directory sync that failed is a reason to refuse; a removal is none.
            let removal_failed = failing.is_none_or(|(after, _)| (1..=orphans).contains(&after));
            note(world, removal_failed.then_some(Breach::OpeningStopped));
            return;
        };
        if usize::from(orphans) > left.len() {
            self.witnesses.reach(Witness::OrphanSwept);
        }
        world.is_open = true;
        for orphan in left {
            let database = world.database_mut(orphan.found.database.number());
            database.state = State::with_removal_owed();
            self.witnesses.reach(Witness::OrphanOwed);
        }
        let mut breaches = [None; 2];
        let disk = &world.disk;
        let mut all = (0u8..).zip(&world.databases);
        if all.any(|(number, database)| {
            disk.files(number).partial.is_some() && database.state != State::with_removal_owed()
        }) {
            breaches[0] = Some(Breach::OrphanLeft);
        }
        let is_durable = |files: &Files| files.snapshot().is_none() || files.snapshot_is_durable();
        if !(disk.receive_is_durable && disk.data_is_durable && disk.databases.iter().all(|files| is_durable(files))) {
            breaches[1] = Some(Breach::OpenedNotDurable);
        }
        breaches.into_iter().for_each(|breach| note(world, breach));
    }

    /// The disk after that many operations of an opening.
    pub(crate) fn opening_cut_short(&self, disk: &Disk, after: u8) -> Disk {
        let mut disk = disk.clone();
        let mut failing = Failing {
            disk: &mut disk,
            after,
            damage: Damage::Nothing,
            then: Then::Stops,
            kind: FailureKind::Other,
        };
        // Cut off: whatever it returns, nobody is there to be told.
        let _cut = mistakes::recover(self.bugs, &mut failing);
        disk
    }

    /// What crashes leave of a disk: the checker asks for each in turn.
    fn read_crashes<R>(&self, disk: &Disk, read: impl FnOnce(&AfterCrash) -> R) -> R {
        let mut known = self.crashes.lock().unwrap_or_else(PoisonError::into_inner);
        let Crashes { last, each } = &mut *known;
        match last {
            Some((known, left)) if known == disk => read(left),
            Some(_) | None => {
                let left = disk.after_crash_of(|files| match each.get(files) {
                    Some(left) => Arc::clone(left),
                    None => {
                        let left = files.after_crash(self.system.persistence);
                        each.insert(files.clone(), Arc::clone(&left));
                        left
                    }
                });
                let answer = read(&left);
                *last = Some((disk.clone(), left));
                answer
            }
        }
    }

    /// The number of states that crashes leave of a disk.
    pub(crate) fn count_crashes(&self, disk: &Disk) -> u64 {
        self.read_crashes(disk, AfterCrash::count)
    }

    /// The process's memory goes; the disk is what the crash left.
    pub(crate) fn crash(&self, world: &mut World<D>, disk: &Disk, left: u64) {
        let left = if self.blindness.loses_nothing { 0 } else { left };
        if let Some(disk) = self.read_crashes(disk, |crashes| crashes.get(left)) {
            self.witnesses.note_crash(world, &disk, left);
            world.disk = disk;
        }
        world.crashes_left -= 1;
        world.is_open = false;
        for database in &mut world.databases {
            let forgotten = Database {
                acknowledged: database.acknowledged,
                begun: database.begun,
                ..Database::default()
            };
            if **database != forgotten {
                *database = Arc::new(forgotten);
            }
        }
    }

    /// What may happen while no receiver is open.
    pub(crate) fn openings(&self, world: &World<D>, actions: &mut Vec<Action>) {
        actions.push(Action::Open);
        // A listing, a removal of each orphan, three syncs of directories.
        let operations = 4 + orphans(&world.disk);
        for after in 0..operations {
            if world.failures_left > 0 {
                let damages = [Damage::Nothing, Damage::Done];
                actions.extend(damages.map(|damage| Action::OpenFailing { after, damage }));
            }
            if world.crashes_left > 0 {
                let left = self.count_crashes(&self.opening_cut_short(&world.disk, after));
                actions.extend((0..left).map(|left| Action::CrashOpening { after, left }));
            }
        }
    }
}

fn orphans(disk: &Disk) -> u8 {
    disk.databases
        .iter()
        .map(|files| u8::from(files.partial.is_some()))
        .sum()
}
