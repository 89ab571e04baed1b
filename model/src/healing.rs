//! Liveness as a property of every state: from here, faults stop and a well-behaved source commits.
//!
//! Guarantees: SR-LIV-001 is judged in every state, by running the receiver on from it; what was
//! healed once is remembered. Refuses to know: fairness; nothing is assumed of how often something
//! happens, because the number of steps is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use snapshot_receiver::protocol::{Digest, Event, Rejection, Reply};

use crate::disk::Files;
use crate::exploration::Exploration;
use crate::search::fingerprint;
use crate::system::SNAPSHOTS_MAX;
use crate::world::{Database, Snapshots, Wear, World};

/// Steps within which healing must commit: outstanding effects, then each chunk with its effects.
const HEAL_STEPS_MAX: usize = 64;

/// From here faults stop, idle transfers expire, and one source after the other sends all its
/// chunks in order: each whose start is admissible commits, and at least one is.
pub(crate) fn heals<D: Digest>(exploration: &Exploration<D>, world: &World<D>) -> bool {
    // A state with a broken rule is told as that.
    !world.breaches.is_empty()
        || exploration.system.databases().all(|database| {
            let alone = alone(world, database.number());
            exploration
                .healed
                .remember(&alone, |alone| database_heals(exploration, alone, database.number()))
        })
}

/// What healing one database reads: that database. The others' transfers have expired, so they
/// hold no place; nothing else of theirs can matter (SR-IDN-002). What was sent and what may still
/// fail does not matter either: everything is sent, nothing fails.
fn alone<D: Digest>(world: &World<D>, number: u8) -> World<D> {
    let mut alone = World {
        sent: [0; SNAPSHOTS_MAX],
        failures_left: 0,
        crashes_left: 0,
        ..world.clone()
    };
    for (other, database) in (0u8..).zip(&mut alone.databases) {
        if other != number {
            *database = Database::default();
            *alone.disk.files_mut(other) = Files::default();
        } else {
            (database.acknowledged, database.begun) = (None, Snapshots::default());
        }
    }
    alone
}

fn database_heals<D: Digest>(exploration: &Exploration<D>, world: &World<D>, number: u8) -> bool {
    let mut calm = world.clone();
    if !calm.is_open {
        exploration.open(&mut calm, None);
    }
    if !calm.is_open || !finish(exploration, &mut calm, number) {
        return false;
    }
    exploration.take(&mut calm, number, Event::IdleExpired);
    if !finish(exploration, &mut calm, number) {
        return false;
    }
    let mut committed = 0;
    for (snapshot, sent) in (0u8..).zip(&exploration.system.snapshots) {
        if sent.identity.database.number() != number {
            continue;
        }
        match send_all(exploration, &calm, snapshot) {
            Healing::Committed => committed += 1,
            Healing::Stale => {}
            Healing::Stuck => return false,
        }
    }
    committed > 0
}

/// What has been healed already.
#[derive(Debug, Default)]
pub struct Healed(Mutex<HashMap<u64, bool>>);

impl Healed {
    /// Forgets it all: for who asks of single states of ever other worlds.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Heals, or says what came of it the last time. By fingerprint, as the checker tells states
    /// apart.
    fn remember<D: Digest>(&self, world: &World<D>, heal: impl FnOnce(&World<D>) -> bool) -> bool {
        let key = fingerprint(world);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        known.unwrap_or_else(|| {
            let healed = heal(world);
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key, healed);
            healed
        })
    }
}

enum Healing {
    Committed,
    Stale,
    Stuck,
}

fn send_all<D: Digest>(exploration: &Exploration<D>, world: &World<D>, snapshot: u8) -> Healing {
    let mut world = world.clone();
    let sent = exploration.snapshot(snapshot);
    let number = sent.identity.database.number();
    let chunks = sent.chunks.len();
    for (chunk, _) in (0u8..).zip(0..chunks) {
        let told = exploration.deliver(&mut world, snapshot, chunk, Wear::Intact);
        match told {
            Some(Reply::Rejected {
                rejection: Rejection::StaleSnapshot { .. },
                ..
            }) if chunk == 0 => {
                return Healing::Stale;
            }
            Some(
                Reply::Rejected { .. } | Reply::Failed { .. } | Reply::Aborted | Reply::NothingRan | Reply::OutOfTurn,
            ) => {
                return Healing::Stuck;
            }
            Some(Reply::Pending { .. } | Reply::Committed { .. }) | None => {}
        }
        if !finish(exploration, &mut world, number) {
            return Healing::Stuck;
        }
    }
    if world.databases[usize::from(number)].acknowledged == Some(snapshot) {
        Healing::Committed
    } else {
        Healing::Stuck
    }
}

/// Performs what is outstanding; says whether that ends. A rule broken on the way is not liveness'
/// business: the exploration itself comes to that state.
fn finish<D: Digest>(exploration: &Exploration<D>, world: &mut World<D>, number: u8) -> bool {
    for _ in 0..HEAL_STEPS_MAX {
        if world.databases[usize::from(number)].is_at_rest() {
            return true;
        }
        exploration.perform_next(world, number, None);
    }
    false
}
