//! The steps of the world, taken by the receiver's own code.
//!
//! Guarantees: the receiver's own `step` and `perform` decide and act; effects are performed one
//! at a time, so that the other databases' events, a failing operation, a killed process and a power
//! loss fall between any two. Refuses to know: which steps can be taken where (`model`), openings
//! and crashes (`openings`), and threads (one event of a database is finished before its next, as
//! the executor's lock has it).

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use snapshot_receiver::executor::{Performed, Storage, StorageError, perform};
use snapshot_receiver::protocol::{
    Cause, Chunk, Crc32c, DatabaseId, Digest, Effect, Effects, Event, Failure, FailureKind, Identity,
    InvalidTransition, OlderStart, Operation, Progress, Reply, State, Vacancy, valid_transition,
};

use crate::bugs::{Bugs, mistakes};
use crate::check::Blindness;
use crate::disk::{Damage, Failing, Handle, Then};
use crate::healing::Healed;
use crate::openings::Crashes;
use crate::properties::{self, Rule};
use crate::system::{LIMITS, OLD_SNAPSHOT, Payload, Snapshot, System};
use crate::witnesses::{Witness, Witnesses};
use crate::world::{Action, Breach, Database, Wear, World};

/// A system, the bug seeded into it if any, and what was reached while exploring it.
#[derive(Debug)]
pub struct Exploration<D: Digest = Crc32c> {
    /// The bounds.
    pub system: System,
    /// The bugs seeded between the receiver and the world.
    pub bugs: Bugs,
    /// What the checker is made blind to, to show that this is noticed.
    pub blindness: Blindness,
    /// Whether states that break a rule are explored on from: where a bug's own rule is looked for
    /// behind another that it breaks first.
    pub goes_on: bool,
    /// Whether the checker is told each rule and witness by itself, as its browser shows them. All
    /// in one is a third faster: it looks every property up by name in every state.
    pub one_by_one: bool,
    /// The rules that are seen.
    rules: Vec<Rule<D>>,
    /// What stands there at first, where something does.
    old: Snapshot,
    /// What was reached.
    pub witnesses: Witnesses,
    /// What was healed already.
    pub healed: Healed,
    /// What crashes leave of disks.
    pub(crate) crashes: Mutex<Crashes>,
    /// The receiver's digest: the shipped one, but where a weak one is the seeded bug.
    digest: PhantomData<fn() -> D>,
}

impl<D: Digest> Exploration<D> {
    /// An exploration of the receiver as it is.
    #[must_use]
    pub fn of(system: System) -> Self {
        Self::with(system, Bugs::none(), Blindness::default())
    }

    /// An exploration with seeded bugs.
    #[must_use]
    pub fn with_bugs(system: System, bugs: Bugs) -> Self {
        Self::with(system, bugs, Blindness::default())
    }

    /// An exploration with seeded bugs by a checker that does not see everything.
    #[must_use]
    pub fn with(system: System, bugs: Bugs, blindness: Blindness) -> Self {
        Self {
            system,
            bugs,
            blindness,
            goes_on: false,
            one_by_one: false,
            rules: properties::seen(blindness.rule),
            old: System::old_snapshot::<D>(),
            witnesses: Witnesses::default(),
            healed: Healed::default(),
            crashes: Mutex::default(),
            digest: PhantomData,
        }
    }

    /// The rules broken in a state, in their order.
    pub fn broken_in(&self, world: &World<D>) -> Vec<&'static str> {
        let broken = self.rules.iter().filter(|rule| !(rule.holds)(self, world));
        broken.map(|rule| rule.name).collect()
    }

    /// Whether every rule holds in a state.
    pub fn all_hold(&self, world: &World<D>) -> bool {
        self.rules.iter().all(|rule| (rule.holds)(self, world))
    }

    /// The snapshot of that number.
    #[must_use]
    pub fn snapshot(&self, number: u8) -> &Snapshot {
        if number == OLD_SNAPSHOT {
            &self.old
        } else {
            &self.system.snapshots[usize::from(number)]
        }
    }

    /// A chunk as it arrives.
    #[must_use]
    pub fn chunk(&self, snapshot: u8, chunk: u8, wear: Wear) -> Chunk<u8, Payload> {
        let mut chunk = self.snapshot(snapshot).chunks[usize::from(chunk)].clone();
        match wear {
            Wear::Intact => {}
            Wear::Flipped => chunk.data_mut()[0] ^= 1,
            Wear::Cut => drop(chunk.data_mut().pop()),
            Wear::Longer => chunk.data_mut().push(b'+'),
            Wear::HugeTotal => chunk.identity.total_bytes = u64::MAX,
            Wear::FarOffset => chunk.offset = u64::MAX,
        }
        chunk
    }

    /// A snapshot's chunk arrives at a database at rest.
    pub fn deliver(&self, world: &mut World<D>, snapshot: u8, chunk: u8, wear: Wear) -> Option<Reply<u8>> {
        self.arrive(world, self.chunk(snapshot, chunk, wear))
    }

    /// Any chunk arrives at a database at rest.
    pub fn arrive(&self, world: &mut World<D>, arrived: Chunk<u8, Payload>) -> Option<Reply<u8>> {
        let number = arrived.identity.database.number();
        let running = world.databases.iter().filter(|database| database.state.is_running());
        let vacancy = vacancy(running.count(), self.system.transfers_max);
        let place_is_free = vacancy == Vacancy::Free;
        let before = world.database(number).state.clone();
        let event = Event::ChunkArrived {
            chunk: arrived.clone(),
            vacancy,
            older_start: OlderStart::Refused,
        };
        if arrived.offset == 0
            && let Some(file) = &mut world.disk.files_mut(number).partial
        {
            file.is_left_over = true;
        }
        let told = self.take(world, number, event);
        let breach = self.judge_admission(world, &before, &arrived, place_is_free, told.as_ref());
        note(world, breach);
        if breach.is_none()
            && world.database(number).is_at_rest()
            && let Some(file) = &mut world.disk.files_mut(number).partial
        {
            // Refused: the attempt goes on.
            file.is_left_over = false;
        }
        told
    }

    /// Takes one event of a database: a step, with its answers told at once and its storage
    /// effects outstanding.
    pub fn take(&self, world: &mut World<D>, number: u8, event: Event<u8, Payload>) -> Option<Reply<u8>> {
        let limits = &LIMITS;
        let before = world.database(number).state.clone();
        let cause = Cause::of(&event);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            mistakes::step(self.bugs, limits, before.clone(), event)
        }));
        let Ok(step) = stepped else {
            world.breaches.note(Breach::Panicked);
            return None;
        };
        match valid_transition(&before, cause, &step.state) {
            Ok(()) => {}
            Err(InvalidTransition::Phase { .. }) => world.breaches.note(Breach::InvalidTransition),
            Err(InvalidTransition::LatestCommit { .. }) => world.breaches.note(Breach::LatestCommitChanged),
        }
        let refused = step.effects.first().is_some_and(
            |effect| matches!(effect, Effect::Reply(Reply::Rejected { rejection, .. }) if !rejection.is_verdict()),
        );
        if refused && (step.state != before || step.effects.len() != 1) {
            world.breaches.note(Breach::RefusedYetChanged);
        }
        note(world, Self::judge_step(&before, cause, &step.state, &step.effects));
        let database = world.database_mut(number);
        database.state = step.state;
        database.effects = step.effects;
        let told = self.tell(world, number);
        let database = world.database_mut(number);
        if database.is_at_rest() {
            database.has_failed = false;
        }
        told
    }

    /// Performs, or fails, the next outstanding effect, and feeds back what came of it.
    pub fn perform_next(
        &self,
        world: &mut World<D>,
        number: u8,
        failing: Option<(Damage, FailureKind)>,
    ) -> Option<Reply<u8>> {
        let performed = self.perform_one(world, number, failing);
        if let Err((operation, _)) = &performed {
            self.witnesses.note_failure(*operation);
            world.database_mut(number).has_failed = true;
        }
        let performed = mistakes::forgive(self.bugs, &mut world.disk, number, performed);
        match performed {
            Ok(()) if world.database(number).effects.is_empty() => self.take(world, number, Event::EffectsPerformed),
            Ok(()) => self.tell(world, number),
            Err((operation, error)) => {
                world.database_mut(number).effects.clear();
                let kind = error.kind;
                let failure = Failure { operation, kind };
                let told = self.take(world, number, Event::EffectFailed(failure));
                let went_on = match world.database(number).state {
                    State::AwaitingChunk(_) | State::AwaitingPublication(_) => Some(Breach::CarriedOnAfterFailure),
                    State::AwaitingStart(_) | State::AwaitingRemoval(_) => None,
                };
                note(world, went_on);
                told
            }
        }
    }

    /// What the receiver answers to an action.
    pub fn reply_to(&self, world: &World<D>, action: Action) -> Option<Reply<u8>> {
        let mut world = world.clone();
        match action {
            Action::Deliver { snapshot, chunk, wear } => self.deliver(&mut world, snapshot, chunk, wear),
            Action::Abort { database } => self.take(&mut world, database, Event::AbortRequested),
            Action::Expire { database } => self.take(&mut world, database, Event::IdleExpired),
            Action::Perform { database } => self.perform_next(&mut world, database, None),
            Action::Fail { database, damage, kind } => self.perform_next(&mut world, database, Some((damage, kind))),
            Action::Send { .. }
            | Action::Open
            | Action::OpenFailing { .. }
            | Action::Crash { .. }
            | Action::CrashOpening { .. } => None,
        }
    }

    fn perform_one(
        &self,
        world: &mut World<D>,
        number: u8,
        failing: Option<(Damage, FailureKind)>,
    ) -> Result<(), (Operation, StorageError)> {
        let (disk, database) = (
            &mut world.disk,
            Arc::make_mut(&mut world.databases[usize::from(number)]),
        );
        let (publishes, creates) = match database.effects.first() {
            Some(Effect::Publish(verified)) => (self.number_of(verified.identity()), false),
            Some(Effect::Create) => (None, true),
            Some(_) | None => (None, false),
        };
        let left_over = disk
            .files(number)
            .partial
            .as_ref()
            .is_some_and(|file| file.is_left_over);
        let instead = match database.effects.first() {
            Some(effect) if failing.is_none() => {
                let partial = &mut database.partial;
                mistakes::performs_instead(self.bugs, &database.state, effect, disk, number, partial)
            }
            Some(_) | None => None,
        };
        let performed = match (failing, instead) {
            (None, Some(performed)) => {
                database.effects.remove(0);
                performed
            }
            (None, None) => perform_on(disk, number, database),
            (Some((damage, kind)), _) => {
                world.failures_left -= 1;
                let (after, then) = (0, Then::Works);
                let mut disk = Failing {
                    disk,
                    after,
                    damage,
                    then,
                    kind,
                };
                perform_on(&mut disk, number, database)
            }
        };
        let mut breach = None;
        if let Some(published) = publishes
            && !matches!(failing, Some((Damage::Nothing, _)))
        {
            database.begun.add(published);
            if let Some(file) = disk.files_mut(number).snapshot_mut() {
                file.published_as = Some(published);
                file.is_left_over = false;
            }
            breach = left_over.then_some(Breach::OtherAttemptPublished);
        }
        let stays_left_over = disk
            .files(number)
            .partial
            .as_ref()
            .is_some_and(|file| file.is_left_over);
        if creates && performed.is_ok() && stays_left_over {
            breach = Some(Breach::OldFileOpened);
        }
        note(world, breach);
        performed
    }

    fn number_of(&self, identity: &Identity<u8>) -> Option<u8> {
        let mut numbered = (0u8..).zip(&self.system.snapshots);
        numbered
            .find(|(_, snapshot)| snapshot.identity == *identity)
            .map(|(number, _)| number)
    }

    /// Hands on reports and the reply that stand at the front of the effects.
    fn tell(&self, world: &mut World<D>, number: u8) -> Option<Reply<u8>> {
        // Asked first: to look is cheaper than to make a database one's own.
        while world.database(number).effects.first().is_some_and(is_told) {
            match take_told(&mut world.database_mut(number).effects)? {
                Told::Report(progress) => {
                    self.witnesses.reach(Witness::ProgressReported);
                    let early = progress == Progress::Following && !world.disk.files(number).snapshot_is_durable();
                    note(world, early.then_some(Breach::FollowingOutOfStep));
                }
                Told::Reply(reply) => {
                    let breach = self.judge_reply(world, number, &reply);
                    note(world, breach);
                    return Some(reply);
                }
            }
        }
        None
    }
}

/// What is told to somebody, and stored nowhere.
pub(crate) enum Told<T> {
    /// To whoever watches.
    Report(Progress),
    /// To the caller.
    Reply(Reply<T>),
}

fn is_told<T, B>(effect: &Effect<T, B>) -> bool {
    match effect {
        Effect::Create
        | Effect::Write { .. }
        | Effect::Sync
        | Effect::Publish(_)
        | Effect::SyncDirectory
        | Effect::Remove => false,
        Effect::Report(_) | Effect::Reply(_) => true,
    }
}

/// Takes a report or a reply off the front; nothing where a storage effect stands there.
pub(crate) fn take_told<T: Clone, B>(effects: &mut Effects<T, B>) -> Option<Told<T>> {
    let told = match effects.first()? {
        Effect::Create
        | Effect::Write { .. }
        | Effect::Sync
        | Effect::Publish(_)
        | Effect::SyncDirectory
        | Effect::Remove => return None,
        Effect::Report(progress) => Told::Report(*progress),
        Effect::Reply(reply) => Told::Reply(reply.clone()),
    };
    effects.remove(0);
    Some(told)
}

/// Whether there is a place for one more transfer.
pub(crate) fn vacancy(running: usize, transfers_max: usize) -> Vacancy {
    if running < transfers_max {
        Vacancy::Free
    } else {
        let transfers_max = transfers_max as u64;
        Vacancy::Exhausted { transfers_max }
    }
}

pub(crate) fn note<D>(world: &mut World<D>, breach: Option<Breach>) {
    if let Some(breach) = breach {
        world.breaches.note(breach);
    }
}

/// Takes the first effect off and performs it.
fn perform_on<D: Digest, S: Storage<u8, Partial = Handle>>(
    storage: &mut S,
    number: u8,
    database: &mut Database<D>,
) -> Result<(), (Operation, StorageError)> {
    let effect = database.effects.remove(0);
    let id = DatabaseId::<u8>::numbered(number);
    match perform(effect, storage, &id, &mut database.partial)? {
        Performed::Stored | Performed::Report(_) | Performed::Reply(_) => Ok(()),
    }
}
