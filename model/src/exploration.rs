//! The steps of the world, and the checker's view of it.
//!
//! Guarantees: the receiver's own `step` and `perform` decide and act; effects are performed one
//! at a time, so that the other database's events, a failing operation, a killed process and a power
//! loss fall between any two; the receiver's own recovery opens it again. Refuses to know: threads
//! (one event of a database is finished before its next, as the executor's lock has it).

use std::borrow::Cow;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use snapshot_receiver::executor::{Performed, Storage, StorageError, perform};
use snapshot_receiver::protocol::{
    Cause, Chunk, Crc32c, DatabaseId, Digest, Effect, Event, Failure, FailureKind, Identity, OlderStart, Operation,
    Progress, Reply, State, Vacancy, valid_transition,
};
use stateright::{Model, Property};

use crate::bugs::{Bugs, mistakes};
use crate::check::Blindness;
use crate::disk::{Content, Damage, Disk, Failing, File, Handle, Then};
use crate::healing::Healed;
use crate::properties::{self, Rule};
use crate::report::diagram::{describe, state_lines};
use crate::system::{
    Beginning, Corruption, DATABASES_MAX, LIMITS, OLD_SNAPSHOT, Payload, SNAPSHOTS_MAX, Snapshot, System,
};
use crate::trace;
use crate::witnesses::{Witness, Witnesses};

use crate::world::{Action, Breach, Breaches, Database, Wear, World};

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
    /// What crashes leave of the disk last asked about: the checker asks for each in turn.
    pub(crate) after_crash: Mutex<Option<(Disk, Vec<Disk>)>>,
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
            after_crash: Mutex::default(),
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

    fn vacancy(&self, world: &World<D>) -> Vacancy {
        let running = world.databases.iter().filter(|database| database.state.is_running());
        if running.count() < self.system.transfers_max {
            Vacancy::Free
        } else {
            Vacancy::Exhausted {
                transfers_max: self.system.transfers_max as u64,
            }
        }
    }

    /// A snapshot's chunk arrives at a database at rest.
    pub fn deliver(&self, world: &mut World<D>, snapshot: u8, chunk: u8, wear: Wear) -> Option<Reply<u8>> {
        self.arrive(world, self.chunk(snapshot, chunk, wear))
    }

    /// Any chunk arrives at a database at rest.
    pub fn arrive(&self, world: &mut World<D>, arrived: Chunk<u8, Payload>) -> Option<Reply<u8>> {
        let number = arrived.identity.database.number();
        let vacancy = self.vacancy(world);
        let place_is_free = vacancy == Vacancy::Free;
        let before = world.databases[usize::from(number)].state.clone();
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
            && world.databases[usize::from(number)].is_at_rest()
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
        let before = world.databases[usize::from(number)].state.clone();
        let cause = Cause::of(&event);
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            mistakes::step(self.bugs, limits, before.clone(), event)
        }));
        let Ok(step) = stepped else {
            world.breaches.note(Breach::Panicked);
            return None;
        };
        if !valid_transition(&before, cause, &step.state) {
            world.breaches.note(Breach::InvalidTransition);
        }
        let refused = step.effects.first().is_some_and(
            |effect| matches!(effect, Effect::Reply(Reply::Rejected { rejection, .. }) if !rejection.is_verdict()),
        );
        if refused && (step.state != before || step.effects.len() != 1) {
            world.breaches.note(Breach::RefusedYetChanged);
        }
        note(world, Self::judge_step(&before, cause, &step.state, &step.effects));
        let database = &mut world.databases[usize::from(number)];
        database.state = step.state;
        database.effects = step.effects;
        let told = self.tell(world, number);
        let database = &mut world.databases[usize::from(number)];
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
            world.databases[usize::from(number)].has_failed = true;
        }
        let performed = mistakes::forgive(self.bugs, &mut world.disk, number, performed);
        match performed {
            Ok(()) if world.databases[usize::from(number)].effects.is_empty() => {
                self.take(world, number, Event::EffectsPerformed)
            }
            Ok(()) => self.tell(world, number),
            Err((operation, error)) => {
                world.databases[usize::from(number)].effects.clear();
                let kind = error.kind;
                let failure = Failure { operation, kind };
                let told = self.take(world, number, Event::EffectFailed(failure));
                let went_on = match world.databases[usize::from(number)].state {
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
        let (disk, database) = (&mut world.disk, &mut world.databases[usize::from(number)]);
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
        loop {
            let database = &mut world.databases[usize::from(number)];
            match database.effects.first()? {
                Effect::Create
                | Effect::Write { .. }
                | Effect::Sync
                | Effect::Publish(_)
                | Effect::SyncDirectory
                | Effect::Remove => return None,
                Effect::Report(progress) => {
                    let follows = *progress == Progress::Following;
                    self.witnesses.reach(Witness::ProgressReported);
                    database.effects.remove(0);
                    let early = follows && !world.disk.files(number).snapshot_is_durable();
                    note(world, early.then_some(Breach::FollowingOutOfStep));
                }
                Effect::Reply(reply) => {
                    let reply = reply.clone();
                    database.effects.remove(0);
                    let breach = self.judge_reply(world, number, &reply);
                    note(world, breach);
                    return Some(reply);
                }
            }
        }
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

impl<D: Digest> Exploration<D> {
    fn arrivals(&self, world: &World<D>, number: u8, snapshot: &Snapshot, actions: &mut Vec<Action>) {
        let database = &world.databases[usize::from(snapshot.identity.database.number())];
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
            databases: [Database::default(), Database::default()],
            disk: Disk::new(self.system.persistence),
            is_open: false,
            crashes_left: self.system.crashes_max,
            failures_left: self.system.failures_max,
            breaches: Breaches::default(),
        };
        match self.system.beginning {
            Beginning::Fresh => {}
            Beginning::Old => {
                world.disk.put_old(0, &self.old.bytes, OLD_SNAPSHOT);
                world.databases[0].acknowledged = Some(OLD_SNAPSHOT);
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
            if world.is_open && world.databases[usize::from(database)].is_at_rest() {
                self.arrivals(world, number, snapshot, actions);
            }
        }
        if !world.is_open {
            self.openings(world, actions);
            return;
        }
        if world.crashes_left > 0 {
            let left = self.crashes(&world.disk);
            actions.extend((0..left).map(|left| Action::Crash { left }));
        }
        for id in self.system.databases() {
            let database = id.number();
            let known = &world.databases[usize::from(database)];
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
                if last.databases[usize::from(database)].state.is_running() {
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
            Bystander::before(last, acts_on(&self.system, action)).judge(&mut world);
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

/// The bytes under one database's two names.
type Visible = (Option<Content>, Option<Content>);

fn visible<D>(world: &World<D>, number: u8) -> Visible {
    let bytes = |file: Option<&File>| file.map(|file| file.bytes.clone());
    let files = world.disk.files(number);
    (bytes(files.partial.as_ref()), bytes(files.snapshot()))
}

/// What a step that is no crash may not change: snapshots must not vanish, and a call for one database
/// leaves the other's transfer, and the bytes under its names, as they are.
pub(crate) struct Bystander<'a, D: Clone> {
    had_snapshot: [bool; DATABASES_MAX],
    other: Option<(u8, Cow<'a, Database<D>>, Visible)>,
}

impl<'a, D: Digest> Bystander<'a, D> {
    /// Before a step, which is a call for that database, if for one.
    pub(crate) fn before(world: &'a World<D>, acted_on: Option<u8>) -> Self {
        let other = acted_on.map(|number| 1 - number);
        Self {
            had_snapshot: world.disk.databases.each_ref().map(|files| files.snapshot().is_some()),
            other: other.map(|other| {
                let database = &world.databases[usize::from(other)];
                (other, Cow::Borrowed(database), visible(world, other))
            }),
        }
    }

    /// The same, for who changes the world in place.
    pub(crate) fn into_owned(self) -> Bystander<'static, D> {
        let own = |(number, database, visible): (u8, Cow<'a, Database<D>>, Visible)| {
            (number, Cow::Owned(database.into_owned()), visible)
        };
        Bystander {
            had_snapshot: self.had_snapshot,
            other: self.other.map(own),
        }
    }

    /// Notes what the step broke.
    pub(crate) fn judge(&self, after: &mut World<D>) {
        let has_snapshot = after.disk.databases.each_ref().map(|files| files.snapshot().is_some());
        if self
            .had_snapshot
            .iter()
            .zip(has_snapshot)
            .any(|(had, has)| *had && !has)
        {
            after.breaches.note(Breach::SnapshotVanished);
        }
        if let Some((other, database, stood)) = &self.other
            && (**database != after.databases[usize::from(*other)] || *stood != visible(after, *other))
        {
            after.breaches.note(Breach::OtherDatabaseTouched);
        }
    }
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
        let State::AwaitingChunk(phase) = &world.databases[usize::from(arrived.identity.database.number())].state
        else {
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
