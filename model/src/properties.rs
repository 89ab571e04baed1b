//! What must hold in every state, and what must be reached for that to mean anything.
//!
//! Guarantees: each property names the clause it states; beside each stands a witness that its
//! interesting case was reached, or the property is vacuous and the gate fails. Refuses to know:
//! how states come about.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use snapshot_receiver::protocol::{
    AwaitingChunk, AwaitingStart, Digest, Event, Memory, Rejection, Reply, State, invariants,
};
use stateright::Property;

use crate::disk::{Disk, Durability, File, Files};
use crate::exploration::Exploration;
use crate::system::{LIMITS, SNAPSHOTS_MAX, Snapshot};
use crate::world::{Breach, Database, Snapshots, Wear, World};

/// Something that an exploration should reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Witness {
    /// A chunk was taken and its transfer goes on.
    Pending,
    /// A snapshot was committed.
    Committed,
    /// A chunk at a wrong offset was refused.
    OffsetRefused,
    /// A chunk of another snapshot was refused.
    IdentityRefused,
    /// An older snapshot was refused.
    StaleRefused,
    /// A start was refused because all places were taken.
    PlaceRefused,
    /// A finished snapshot had the wrong checksum.
    CrcVerdict,
    /// A snapshot was finished too early.
    LengthVerdict,
    /// An abort ended a running transfer.
    RunningAborted,
    /// An abort came after a commit.
    CommittedAborted,
    /// A storage operation failed, and that was answered.
    FailureAnswered,
    /// A partial could not be removed.
    RemovalOwed,
    /// A repeated final chunk was answered `Committed` again.
    RepeatAnswered,
    /// Progress was reported.
    ProgressReported,
    /// A process was killed with something not yet durable.
    Killed,
    /// A power loss took away something that was visible.
    PowerLost,
    /// A power loss came after a commit was answered.
    CommittedCrashed,
    /// An opening removed an orphan.
    OrphanSwept,
    /// An opening could not remove an orphan.
    OrphanOwed,
}

impl Witness {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Pending,
        Self::Committed,
        Self::OffsetRefused,
        Self::IdentityRefused,
        Self::StaleRefused,
        Self::PlaceRefused,
        Self::CrcVerdict,
        Self::LengthVerdict,
        Self::RunningAborted,
        Self::CommittedAborted,
        Self::FailureAnswered,
        Self::RemovalOwed,
        Self::RepeatAnswered,
        Self::ProgressReported,
        Self::Killed,
        Self::PowerLost,
        Self::CommittedCrashed,
        Self::OrphanSwept,
        Self::OrphanOwed,
    ];
}

/// What an exploration reached: counted where it happens, because a state does not show how it
/// came about.
#[derive(Debug, Default)]
pub struct Witnesses(AtomicU32);

impl Witnesses {
    /// Notes that it was reached.
    pub fn reach(&self, witness: Witness) {
        let bit = 1 << witness as u32;
        // Most calls find it noted: a read is cheaper than a write that all threads wait for.
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether it was reached.
    pub fn reached(&self, witness: Witness) -> bool {
        self.reached_bit(witness as u32)
    }

    fn reached_bit(&self, witness: u32) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << witness) != 0
    }

    /// Notes what an answer witnesses.
    pub fn note_reply(&self, reply: &Reply<u8>) {
        match reply {
            Reply::Pending { .. } => self.reach(Witness::Pending),
            Reply::Committed { .. } => self.reach(Witness::Committed),
            Reply::Rejected {
                rejection,
                removal_failed,
                ..
            } => {
                if removal_failed.is_some() {
                    self.reach(Witness::RemovalOwed);
                }
                self.note_rejection(rejection);
            }
            Reply::Failed { removal_failed, .. } => {
                if removal_failed.is_some() {
                    self.reach(Witness::RemovalOwed);
                }
                self.reach(Witness::FailureAnswered);
            }
            Reply::Aborted | Reply::NothingRan | Reply::OutOfTurn => {}
        }
    }

    fn note_rejection(&self, rejection: &Rejection<u8>) {
        match rejection {
            Rejection::OffsetMismatch { .. } => self.reach(Witness::OffsetRefused),
            Rejection::IdentityMismatch(_) => self.reach(Witness::IdentityRefused),
            Rejection::StaleSnapshot { .. } => self.reach(Witness::StaleRefused),
            Rejection::TooManyTransfers { .. } => self.reach(Witness::PlaceRefused),
            Rejection::CrcMismatch { .. } => self.reach(Witness::CrcVerdict),
            Rejection::LengthMismatch { .. } => self.reach(Witness::LengthVerdict),
            // Not to be had from honest sources in these systems; unit tests reach them.
            Rejection::InvalidDatabaseId(_)
            | Rejection::InvalidClusterId(_)
            | Rejection::ChunkTooLarge { .. }
            | Rejection::SnapshotTooLarge { .. }
            | Rejection::LengthOverrun { .. } => {}
        }
    }

    /// Notes what a crash that leaves `left` witnesses; the first choice is a killed process.
    pub fn note_crash<D: Digest>(&self, world: &World<D>, left: &Disk, choice: u16) {
        if choice == 0 {
            let is_durable = |files: &Files| files.snapshot().is_none() || files.snapshot_is_durable();
            if !world.disk.databases.iter().all(is_durable) {
                self.reach(Witness::Killed);
            }
            return;
        }
        if *left != world.disk {
            self.reach(Witness::PowerLost);
        }
        if world.databases.iter().any(|database| database.acknowledged.is_some()) {
            self.reach(Witness::CommittedCrashed);
        }
    }

    /// Notes what an abort in this state witnesses.
    pub fn note_abort<D: Digest>(&self, world: &World<D>, database: u8) {
        let database = &world.databases[usize::from(database)];
        match database.state {
            State::AwaitingChunk(_) => self.reach(Witness::RunningAborted),
            State::AwaitingStart(_) if database.acknowledged.is_some() => self.reach(Witness::CommittedAborted),
            State::AwaitingStart(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => {}
        }
    }
}

/// One rule: a property of every state, and the witness without which it says nothing.
pub struct Rule<D: Digest> {
    /// The clause, and what it says of a state.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: fn(&Exploration<D>, &World<D>) -> bool,
    /// What must be reached in some system, or the rule is vacuous.
    pub witness: Witness,
}

impl<D: Digest> std::fmt::Debug for Rule<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("witness", &self.witness)
            .finish_non_exhaustive()
    }
}

/// Every rule, in the order of SPEC.md.
#[must_use]
pub fn rules<D: Digest>() -> Vec<Rule<D>> {
    let rule = |name, witness, holds| Rule { name, holds, witness };
    vec![
        rule(
            "SR-ADM-004 a refused envelope changes nothing",
            Witness::OffsetRefused,
            |_, world| !world.breaches.contains(Breach::RefusedYetChanged),
        ),
        rule(
            "SR-OFF-003 only the next expected offset is admitted",
            Witness::OffsetRefused,
            |_, world| !world.breaches.contains(Breach::WrongOffsetAdmitted),
        ),
        rule(
            "SR-OFF-004 the partial is exactly the bytes received",
            Witness::Pending,
            |exploration, world| {
                !world.breaches.contains(Breach::PendingNotTrue)
                    && running_partials(exploration, world, length_is_received)
            },
        ),
        rule(
            "SR-OFF-005 an answer names what it stands for",
            Witness::Committed,
            |_, world| !world.breaches.contains(Breach::CommittedNotPublished),
        ),
        rule(
            "SR-IDN-001 only the transfer's snapshot is continued",
            Witness::IdentityRefused,
            |_, world| !world.breaches.contains(Breach::WrongIdentityAdmitted),
        ),
        rule(
            "SR-IDN-002 a database's files are its own",
            Witness::Committed,
            |exploration, world| {
                each_published(exploration, world, |number, _, snapshot| {
                    snapshot.identity.database.number() == number
                })
            },
        ),
        rule(
            "SR-IDN-003 a repeated final chunk is answered again",
            Witness::RepeatAnswered,
            |_, world| !world.breaches.contains(Breach::RepeatNotAnswered),
        ),
        rule(
            "SR-IDN-004 an older start is refused",
            Witness::StaleRefused,
            |_, world| !world.breaches.contains(Breach::StaleAdmitted),
        ),
        rule(
            "SR-LEN-001 a snapshot has its declared length",
            Witness::LengthVerdict,
            |exploration, world| {
                each_published(exploration, world, |_, file, snapshot| {
                    file.bytes.len() == snapshot.bytes.len()
                })
            },
        ),
        rule(
            "SR-CRC-001 the checksum is the partial's",
            Witness::Pending,
            |exploration, world| running_partials(exploration, world, checksum_is_of_bytes),
        ),
        rule(
            "SR-CRC-002 a snapshot is what its source sent",
            Witness::CrcVerdict,
            |exploration, world| {
                each_published(exploration, world, |_, file, snapshot| {
                    file.bytes.len() != snapshot.bytes.len() || file.bytes.as_slice() == snapshot.bytes
                })
            },
        ),
        rule(
            "SR-PUB-001 committed means synced, renamed, directory synced",
            Witness::Committed,
            |_, world| !world.breaches.contains(Breach::CommittedNotDurable),
        ),
        rule(
            "SR-PUB-002 the snapshot's name is absent or holds one whole snapshot",
            Witness::PowerLost,
            |exploration, world| {
                each_published(exploration, world, |_, file, snapshot| {
                    file.bytes.as_slice() == snapshot.bytes
                })
            },
        ),
        rule(
            "SR-PUB-003 what was committed stays",
            Witness::CommittedCrashed,
            |_, world| {
                numbered(world).all(|(number, database)| {
                    let standing = world.disk.files(number).snapshot().and_then(|file| file.published_as);
                    let allowed = |number| database.acknowledged == Some(number) || database.begun.contains(number);
                    database.acknowledged.is_none() || standing.is_some_and(allowed)
                })
            },
        ),
        rule(
            "SR-PUB-005 what is visible after an opening is durable",
            Witness::Killed,
            |_, world| !world.breaches.contains(Breach::OpenedNotDurable),
        ),
        rule(
            "SR-ABT-001 aborted means that the partial is gone",
            Witness::RunningAborted,
            |_, world| !world.breaches.contains(Breach::AbortedNotRemoved),
        ),
        rule(
            "SR-ABT-002 nothing takes a snapshot away",
            Witness::CommittedAborted,
            |_, world| !world.breaches.contains(Breach::SnapshotVanished),
        ),
        rule(
            "SR-ERR-001 a failed operation ends the attempt",
            Witness::FailureAnswered,
            |_, world| !world.breaches.contains(Breach::CarriedOnAfterFailure),
        ),
        rule(
            "SR-ERR-002 a file whose sync failed is not published",
            Witness::FailureAnswered,
            |exploration, world| each_published(exploration, world, |_, file, _| file.durability != Durability::Lost),
        ),
        rule(
            "SR-ERR-005 a partial without a transfer is owed",
            Witness::RemovalOwed,
            |_, world| {
                !world.is_open
                    || numbered(world).all(|(number, database)| no_forgotten_partial(world, number, database))
            },
        ),
        rule(
            "SR-CON-001 each step is one of the state machine",
            Witness::Pending,
            |_, world| {
                !world.breaches.contains(Breach::InvalidTransition) && !world.breaches.contains(Breach::OutOfTurn)
            },
        ),
        rule("SR-CON-003 no step panics", Witness::Pending, |_, world| {
            !world.breaches.contains(Breach::Panicked)
        }),
        rule(
            "SR-CON-005 places are bounded",
            Witness::PlaceRefused,
            |exploration, world| {
                let running = world.databases.iter().filter(|database| database.state.is_running());
                running.count() <= exploration.system.transfers_max
            },
        ),
        rule(
            "SR-REC-001 an opening leaves no orphan that it could remove",
            Witness::OrphanSwept,
            |_, world| !world.breaches.contains(Breach::OrphanLeft),
        ),
        rule(
            "SR-REC-003 an orphan that stays does not stop the opening",
            Witness::OrphanOwed,
            |_, world| !world.breaches.contains(Breach::OpeningStopped),
        ),
        rule(
            "SR-PRG-001 reports keep step with the bytes",
            Witness::ProgressReported,
            |_, world| {
                let mut states = world.databases.iter().map(|database| &database.state);
                states.all(|state| invariants(&LIMITS, state).is_ok())
            },
        ),
        rule(
            "SR-LIV-001 a well-behaved source commits",
            Witness::FailureAnswered,
            heals,
        ),
    ]
}

fn numbered<D>(world: &World<D>) -> impl Iterator<Item = (u8, &Database<D>)> {
    (0u8..).zip(&world.databases)
}

/// Holds of every running transfer at rest and its partial; one without a partial breaks it.
fn running_partials<D: Digest>(
    _: &Exploration<D>,
    world: &World<D>,
    holds: fn(&AwaitingChunk<u8, D>, &File) -> bool,
) -> bool {
    numbered(world).all(|(number, database)| match &database.state {
        State::AwaitingChunk(phase) if database.is_at_rest() => {
            let partial = &world.disk.files(number).partial;
            partial.as_ref().is_some_and(|file| holds(phase, file))
        }
        State::AwaitingStart(_)
        | State::AwaitingChunk(_)
        | State::AwaitingPublication(_)
        | State::AwaitingRemoval(_) => true,
    })
}

fn length_is_received<D>(phase: &AwaitingChunk<u8, D>, file: &File) -> bool {
    file.bytes.len() as u64 == phase.received_bytes
}

fn checksum_is_of_bytes<D: Digest>(phase: &AwaitingChunk<u8, D>, file: &File) -> bool {
    D::default().append(&file.bytes) == phase.digest
}

/// Holds of every file under a snapshot's name and the snapshot it was published as; a file that
/// nothing published breaks it.
fn each_published<D: Digest>(
    exploration: &Exploration<D>,
    world: &World<D>,
    holds: fn(u8, &File, &Snapshot) -> bool,
) -> bool {
    numbered(world).all(|(number, _)| {
        let files = world.disk.files(number);
        match files.snapshot().map(|file| (file, file.published_as)) {
            None => true,
            Some((_, None)) => false,
            Some((file, Some(published))) => holds(number, file, exploration.snapshot(published)),
        }
    })
}

fn no_forgotten_partial<D>(world: &World<D>, number: u8, database: &Database<D>) -> bool {
    let stands = world.disk.files(number).partial.is_some();
    match &database.state {
        State::AwaitingStart(AwaitingStart { memory, .. }) if database.is_at_rest() => {
            !stands || *memory == Memory::RemovalOwed
        }
        State::AwaitingStart(_)
        | State::AwaitingChunk(_)
        | State::AwaitingPublication(_)
        | State::AwaitingRemoval(_) => true,
    }
}

/// Steps within which healing must commit: outstanding effects, then each chunk with its effects.
const HEAL_STEPS_MAX: usize = 64;

/// From here faults stop, idle transfers expire, and one source after the other sends all its
/// chunks in order: each whose start is admissible commits, and at least one is.
fn heals<D: Digest>(exploration: &Exploration<D>, world: &World<D>) -> bool {
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

fn fingerprint(world: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
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

fn reached<const WITNESS: u32, D: Digest>(exploration: &Exploration<D>, _: &World<D>) -> bool {
    exploration.witnesses.reached_bit(WITNESS)
}

/// All rules as `always`, all witnesses as `sometimes`.
#[must_use]
pub fn properties<D: Digest>() -> Vec<Property<Exploration<D>>> {
    let always = rules().into_iter().map(|rule| Property::always(rule.name, rule.holds));
    let sometimes = [
        Property::sometimes("Pending", reached::<{ Witness::Pending as u32 }, D>),
        Property::sometimes("Committed", reached::<{ Witness::Committed as u32 }, D>),
        Property::sometimes("OffsetRefused", reached::<{ Witness::OffsetRefused as u32 }, D>),
        Property::sometimes("IdentityRefused", reached::<{ Witness::IdentityRefused as u32 }, D>),
        Property::sometimes("StaleRefused", reached::<{ Witness::StaleRefused as u32 }, D>),
        Property::sometimes("PlaceRefused", reached::<{ Witness::PlaceRefused as u32 }, D>),
        Property::sometimes("CrcVerdict", reached::<{ Witness::CrcVerdict as u32 }, D>),
        Property::sometimes("LengthVerdict", reached::<{ Witness::LengthVerdict as u32 }, D>),
        Property::sometimes("RunningAborted", reached::<{ Witness::RunningAborted as u32 }, D>),
        Property::sometimes("CommittedAborted", reached::<{ Witness::CommittedAborted as u32 }, D>),
        Property::sometimes("FailureAnswered", reached::<{ Witness::FailureAnswered as u32 }, D>),
        Property::sometimes("RemovalOwed", reached::<{ Witness::RemovalOwed as u32 }, D>),
        Property::sometimes("RepeatAnswered", reached::<{ Witness::RepeatAnswered as u32 }, D>),
        Property::sometimes("ProgressReported", reached::<{ Witness::ProgressReported as u32 }, D>),
        Property::sometimes("Killed", reached::<{ Witness::Killed as u32 }, D>),
        Property::sometimes("PowerLost", reached::<{ Witness::PowerLost as u32 }, D>),
        Property::sometimes("CommittedCrashed", reached::<{ Witness::CommittedCrashed as u32 }, D>),
        Property::sometimes("OrphanSwept", reached::<{ Witness::OrphanSwept as u32 }, D>),
        Property::sometimes("OrphanOwed", reached::<{ Witness::OrphanOwed as u32 }, D>),
    ];
    always.chain(sometimes).collect()
}
