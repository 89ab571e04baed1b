//! Liveness as a property of every state: from here, faults stop and a well-behaved source commits.
//!
//! Guarantees: SR-LIV-001 is judged in every state, by running the receiver on from it; what was
//! healed once is remembered. Refuses to know: fairness; nothing is assumed of how often something
//! happens, because the number of steps is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use snapshot_receiver::protocol::{Digest, Effects, Event, Rejection, Reply, State};

use crate::disk::{Disk, Files, Handle, Persistence};
use crate::exploration::Exploration;
use crate::report::diagram::{describe, say};
use crate::search::fingerprint;
use crate::system::{Payload, SNAPSHOTS_MAX};
use crate::world::{Action, Breaches, Database, Wear, World};

/// Steps within which healing must commit: outstanding effects, then each chunk with its effects.
const HEAL_STEPS_MAX: usize = 64;

/// From here faults stop, idle transfers expire, and one source after the other sends all its
/// chunks in order: each whose start is admissible commits, and at least one is.
pub(crate) fn heals<D: Digest>(exploration: &Exploration<D>, world: &World<D>) -> bool {
    // A state with a broken rule is told as that.
    !world.breaches.is_empty()
        || exploration.system.databases().all(|database| {
            let alone = Alone::of(world, database.number());
            exploration.healed.remember(&alone, |alone| {
                let world = alone.world(exploration.system.persistence);
                database_heals(exploration, world, database.number(), &mut Story::default())
            })
        })
}

/// What healing one database reads: that database and its files. The others' transfers have expired,
/// so they hold no place; nothing else of theirs can matter (SR-IDN-002). What was sent, what was
/// committed and what may still fail does not matter either: everything is sent, nothing fails.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Alone<'a, D> {
    number: u8,
    is_open: bool,
    state: &'a State<u8, D>,
    partial: Option<Handle>,
    effects: &'a Effects<u8, Payload>,
    has_failed: bool,
    files: &'a Files,
    receive_is_durable: bool,
    data_is_durable: bool,
}

impl<'a, D: Digest> Alone<'a, D> {
    fn of(world: &'a World<D>, number: u8) -> Self {
        let database = world.database(number);
        Self {
            number,
            is_open: world.is_open,
            state: &database.state,
            partial: database.partial,
            effects: &database.effects,
            has_failed: database.has_failed,
            files: world.disk.files(number),
            receive_is_durable: world.disk.receive_is_durable,
            data_is_durable: world.disk.data_is_durable,
        }
    }

    /// A world with nothing else in it: healing cannot read what is not here.
    fn world(&self, persistence: Persistence) -> World<D> {
        let mut alone = World {
            sent: [0; SNAPSHOTS_MAX],
            databases: Default::default(),
            disk: Disk::new(persistence),
            is_open: self.is_open,
            crashes_left: 0,
            failures_left: 0,
            breaches: Breaches::default(),
        };
        *alone.database_mut(self.number) = Database {
            state: self.state.clone(),
            partial: self.partial,
            effects: self.effects.clone(),
            has_failed: self.has_failed,
            ..Database::default()
        };
        *alone.disk.files_mut(self.number) = self.files.clone();
        alone.disk.receive_is_durable = self.receive_is_durable;
        alone.disk.data_is_durable = self.data_is_durable;
        alone
    }
}

/// What happens while a database heals, in words; nothing is kept where nobody reads it.
#[derive(Debug, Default)]
struct Story(Option<Vec<String>>);

impl Story {
    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(line());
        }
    }
}

/// Why a state does not heal, in words: all that a well-behaved source gets to see from there.
pub(crate) fn why_stuck<D: Digest>(exploration: &Exploration<D>, world: &World<D>) -> Vec<String> {
    let mut lines = Vec::new();
    for database in exploration.system.databases() {
        let alone = Alone::of(world, database.number()).world(exploration.system.persistence);
        let mut story = Story(Some(Vec::new()));
        if !database_heals(exploration, alone, database.number(), &mut story) {
            let number = database.number();
            lines.push(format!(
                "from here, with nothing failing any more, database {number} gets stuck:"
            ));
            lines.extend(story.0.into_iter().flatten());
        }
    }
    lines
}

fn database_heals<D: Digest>(exploration: &Exploration<D>, mut calm: World<D>, number: u8, story: &mut Story) -> bool {
    if !calm.is_open {
        story.tell(|| "opens".to_owned());
        exploration.open(&mut calm, None);
    }
    if !calm.is_open || !finish(exploration, &mut calm, number, story) {
        return false;
    }
    exploration.take(&mut calm, number, Event::IdleExpired);
    if !finish(exploration, &mut calm, number, story) {
        return false;
    }
    let mut committed = 0;
    for (snapshot, sent) in (0u8..).zip(&exploration.system.snapshots) {
        if sent.identity.database.number() != number {
            continue;
        }
        match send_all(exploration, &calm, snapshot, story) {
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
    fn remember<D: Digest>(&self, alone: &Alone<'_, D>, heal: impl FnOnce(&Alone<'_, D>) -> bool) -> bool {
        let key = fingerprint(alone);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        known.unwrap_or_else(|| {
            let healed = heal(alone);
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

fn send_all<D: Digest>(exploration: &Exploration<D>, world: &World<D>, snapshot: u8, story: &mut Story) -> Healing {
    let mut world = world.clone();
    let sent = exploration.snapshot(snapshot);
    let number = sent.identity.database.number();
    let chunks = sent.chunks.len();
    for (chunk, _) in (0u8..).zip(0..chunks) {
        let wear = Wear::Intact;
        story.tell(|| describe(exploration, &world, Action::Deliver { snapshot, chunk, wear }));
        let told = exploration.deliver(&mut world, snapshot, chunk, wear);
        tell_reply(story, told.as_ref());
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
        if !finish(exploration, &mut world, number, story) {
            return Healing::Stuck;
        }
    }
    if world.database(number).acknowledged == Some(snapshot) {
        Healing::Committed
    } else {
        story.tell(|| format!("snapshot {snapshot} is sent, and does not stand there committed"));
        Healing::Stuck
    }
}

/// Performs what is outstanding; says whether that ends. A rule broken on the way is not liveness'
/// business: the exploration itself comes to that state.
fn finish<D: Digest>(exploration: &Exploration<D>, world: &mut World<D>, number: u8, story: &mut Story) -> bool {
    for _ in 0..HEAL_STEPS_MAX {
        if world.database(number).is_at_rest() {
            return true;
        }
        story.tell(|| describe(exploration, world, Action::Perform { database: number }));
        let told = exploration.perform_next(world, number, None);
        tell_reply(story, told.as_ref());
    }
    false
}

fn tell_reply(story: &mut Story, told: Option<&Reply<u8>>) {
    if let Some(reply) = told {
        story.tell(|| format!("answered: {}", say(reply)));
    }
}
