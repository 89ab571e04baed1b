//! `step_sequence`: words as calls of the protocol, with every rule of safety judged after every
//! step.
//!
//! A word is a call or a fault, relative to what the receiver expects next. Chunks are the model's,
//! of a fixed catalogue of snapshots with honest checksums; what a word spoils of them (offset,
//! payload, header, `done`) comes after that, so that the checksum is no wall.
//!
//! Guarantees: the model's own world and rules, without crashes and healing (those are `world`'s); at
//! the end every call has come to rest. Refuses to know: how a step is taken, and what the rules say.

use snapshot_receiver::protocol::{
    Chunk, Crc32c, Effect, Event, Failure, FailureKind, Identity, IdentityMismatch, Memory, OlderStart, Operation,
    Rejection, Reply, Standing, State, Vacancy,
};
use stateright::Model;

use super::{Rig, Target, Watch};
use crate::bugs::{Bugs, mistakes};
use crate::check::Blindness;
use crate::disk::{Damage, Persistence};
use crate::exploration::Exploration;
use crate::model::Bystanders;
use crate::properties::LIVENESS;
use crate::spoilt::is_refused;
use crate::system::{Beginning, CHUNK_BYTES_MAX, Corruption, DATABASES_MAX, LIMITS, Payload, Plan, Snapshot, System};
use crate::witnesses::Witness;
use crate::world::World;

/// See the head of this file.
pub(super) const TARGET: Target = Target {
    name: "step_sequence",
    about: "words as calls of the protocol, every rule of safety after every step",
    word_bytes: 4,
    input_bytes_max: 64 * 4,
    reaches: &[
        "state AwaitingStart",
        "state AwaitingChunk",
        "state AwaitingPublication",
        "state AwaitingRemoval",
        "memory Nothing",
        "memory CommittedBy",
        "memory RemovalOwed",
        "effect Create",
        "effect Write",
        "effect Sync",
        "effect Publish",
        "effect SyncDirectory",
        "effect Remove",
        "effect Report",
        "effect Reply",
        "reply Pending",
        "reply Committed",
        "reply Failed",
        "reply Aborted",
        "reply NothingRan",
        "reply OutOfTurn",
        "chunk_too_large",
        "crc_mismatch",
        "identity_mismatch",
        "length_mismatch",
        "length_overrun",
        "offset_mismatch",
        "snapshot_too_large",
        "stale_snapshot",
        "too_many_transfers",
        "older start allowed",
        "abort out of turn",
        "expiry out of turn",
        "start out of turn",
        "continuation out of turn",
        "performed out of turn",
        "failure out of turn",
        "misrouted",
        "another cluster",
        "another LSN",
        "another total",
        "another checksum",
        "offset_mismatch in a transfer",
        "owed removal tried again",
        "hashed ahead",
        "refused from AwaitingStart",
        "refused after a commit",
        "refused with a removal owed",
        "refused from AwaitingChunk",
        "refused from AwaitingPublication",
        "refused from AwaitingRemoval",
        "refused from AwaitingRemoval of nothing of ours",
        "a start publishes where another ran",
        "panic",
    ],
    run,
};

/// The catalogue: all of an identity's fields differ somewhere, and one snapshot has no bytes.
const PLANS: [Plan; 7] = {
    const BASE: Plan = Plan {
        cluster: 1,
        database: 0,
        snapshot_lsn: 5,
        bytes: b"abcd",
        chunks: &[2, 2],
    };
    [
        BASE,
        Plan { bytes: b"abce", ..BASE },
        Plan {
            snapshot_lsn: 6,
            bytes: b"wxyz",
            ..BASE
        },
        Plan {
            cluster: 2,
            snapshot_lsn: 1,
            bytes: b"mno",
            chunks: &[2, 1],
            ..BASE
        },
        Plan {
            bytes: b"",
            chunks: &[0],
            ..BASE
        },
        Plan {
            database: 1,
            snapshot_lsn: 9,
            bytes: b"stuv",
            ..BASE
        },
        Plan {
            database: 1,
            snapshot_lsn: 3,
            bytes: b"q",
            chunks: &[1],
            ..BASE
        },
    ]
};

/// Operations that may fail in a run: as many as the modelled disk can remember the names of.
const FAILURES_MAX: u8 = 3;

/// Calls that a receiver may need to come to rest.
const FINISH_MAX: usize = 16;

/// What every run begins with.
#[derive(Debug)]
pub(super) struct Bench {
    exploration: Exploration<Crc32c>,
    opened: World,
}

impl Bench {
    fn new(bugs: Bugs) -> Self {
        let system = System {
            name: "step_sequence",
            about: TARGET.about,
            snapshots: PLANS.iter().map(|plan| plan.cut::<Crc32c>()).collect(),
            transfers_max: 1,
            corruption: Corruption::Header,
            persistence: Persistence::Weak,
            beginning: Beginning::Fresh,
            failures_max: FAILURES_MAX,
            crashes_max: 0,
            reaches: &[],
            pinned_states: None,
        };
        // Liveness runs a receiver on from a state, which costs ten times the rest: `world` judges it.
        let blindness = Blindness {
            rule: Some(LIVENESS),
            ..Blindness::default()
        };
        let exploration = Exploration::with(system, bugs, blindness);
        let mut opened = exploration.init_states().swap_remove(0);
        exploration.open(&mut opened, None);
        Self { exploration, opened }
    }
}

fn run(rig: &Rig, input: &[u8], watch: &mut Watch) -> Result<(), String> {
    let bench = rig.steps.get_or_init(|| Bench::new(rig.bugs));
    if watch.wants() {
        bench.exploration.witnesses.forget();
    }
    let mut sequence = Sequence {
        exploration: &bench.exploration,
        world: bench.opened.clone(),
        last_done: [const { None }; DATABASES_MAX],
        fault: None,
        watch,
    };
    for word in input.as_chunks().0 {
        sequence.take(*word)?;
    }
    sequence.end()
}

/// One field as no source of that snapshot sends it.
fn spoil_identity(identity: &mut Identity<u8>, other: &Snapshot, which: u8, bit: u8) {
    match which % 4 {
        0 => identity.snapshot_lsn ^= 1,
        1 => identity.total_bytes ^= 1,
        2 => identity.total_crc32c ^= 1 << (bit % 32),
        _ => identity.cluster = other.identity.cluster.clone(),
    }
}

struct Sequence<'a> {
    exploration: &'a Exploration<Crc32c>,
    world: World,
    /// The last chunk that said `done`, to be sent again.
    last_done: [Option<Chunk<u8, Payload>>; DATABASES_MAX],
    /// Operations of the next call that succeed before one fails, and how it fails.
    fault: Option<(u8, Damage, FailureKind)>,
    watch: &'a mut Watch,
}

impl Sequence<'_> {
    fn take(&mut self, [kind, which, a, b]: [u8; 4]) -> Result<(), String> {
        let database = which & 1;
        match kind % 21 {
            // Many states are made for it: one word in eight of its kind, the others are a chunk.
            20 if a & 7 == 0 => {
                let state = &self.world.databases[usize::from(database)].state;
                self.watch
                    .tell(|| format!("database {database}: what may not follow {state:?} is refused"));
                self.watch.see(match state {
                    State::AwaitingStart(phase) => match &phase.memory {
                        Memory::Nothing => "refused from AwaitingStart",
                        Memory::CommittedBy(_) => "refused after a commit",
                        Memory::RemovalOwed => "refused with a removal owed",
                    },
                    State::AwaitingChunk(_) => "refused from AwaitingChunk",
                    State::AwaitingPublication(_) => "refused from AwaitingPublication",
                    State::AwaitingRemoval(phase) => match phase.standing {
                        Standing::Ours => "refused from AwaitingRemoval",
                        Standing::NotOurs => "refused from AwaitingRemoval of nothing of ours",
                    },
                });
                is_refused(&LIMITS, state)
            }
            18 => {
                let damage = if b & 1 == 0 { Damage::Nothing } else { Damage::Done };
                let kind = if b & 2 == 0 {
                    FailureKind::Other
                } else {
                    FailureKind::Full
                };
                self.fault = Some((a % 6, damage, kind));
                self.watch
                    .tell(|| format!("of the next call, operation {} fails ({kind}, {damage:?})", a % 6));
                Ok(())
            }
            19 => self.out_of_turn(database, a),
            16 => self.call(database, which, Event::AbortRequested),
            17 => self.call(database, which, Event::IdleExpired),
            kind => {
                let chunk = self.chunk(kind, database, which, a, b);
                let older_start = OlderStart::Refused;
                let vacancy = Vacancy::Free; // The world knows; `arrive` fills it in.
                let database = chunk.identity.database.number();
                if chunk.done {
                    self.last_done[usize::from(database)] = Some(chunk.clone());
                }
                self.call(
                    database,
                    which,
                    Event::ChunkArrived {
                        chunk,
                        vacancy,
                        older_start,
                    },
                )
            }
        }
    }

    /// The chunk that a word stands for, spoilt as it says.
    fn chunk(&self, kind: u8, database: u8, which: u8, a: u8, b: u8) -> Chunk<u8, Payload> {
        let number = a % 7;
        let other = &self.exploration.system.snapshots[usize::from(number)];
        let running = match &self.world.databases[usize::from(database)].state {
            State::AwaitingChunk(phase) => Some(phase),
            State::AwaitingStart(_) | State::AwaitingPublication(_) | State::AwaitingRemoval(_) => None,
        };
        let own = running.and_then(|phase| {
            let mut snapshots = self.exploration.system.snapshots.iter();
            snapshots.find(|snapshot| snapshot.identity == phase.identity)
        });
        let (snapshot, offset) = match (own, running) {
            (Some(own), Some(phase)) if !(5..=7).contains(&kind) => (own, phase.received_bytes),
            _ => (other, 0),
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(snapshot.bytes.len());
        let end = snapshot.bytes.len().min(start + usize::from(b % 3));
        let data: Payload = snapshot.bytes[start..end].iter().copied().collect();
        let (length, done) = (data.len(), end == snapshot.bytes.len());
        let mut chunk = Chunk::new(snapshot.identity.clone(), offset, data, done);
        match kind {
            8 => chunk.offset = chunk.offset.wrapping_add(u64::from(a % 5)).wrapping_sub(2),
            9 => {
                let bytes = other.bytes.iter().copied().cycle().skip(usize::from(b >> 4));
                *chunk.data_mut() = bytes.take(length).collect();
            }
            10 => chunk
                .data_mut()
                .iter_mut()
                .zip([a, b])
                .for_each(|(byte, raw)| *byte = raw),
            11 if offset > 0 => chunk.identity = other.identity.clone(),
            12 if offset > 0 => spoil_identity(&mut chunk.identity, other, a, b),
            13 => match a % 5 {
                0 => chunk.offset = u64::MAX,
                1 => chunk.offset = u64::MAX - 1,
                2 => chunk.identity.total_bytes = u64::MAX,
                3 => chunk.identity.total_bytes = LIMITS.snapshot_bytes_max + 1,
                _ => chunk
                    .data_mut()
                    .extend([b'+'; CHUNK_BYTES_MAX + 1].into_iter().skip(length)),
            },
            14 if a & 1 == 0 => chunk.done = !chunk.done,
            // A byte too many: past the total at the end of a snapshot.
            14 => chunk.data_mut().push(b'+'),
            15 => {
                if let Some(last) = &self.last_done[usize::from(database)] {
                    chunk = last.clone();
                }
                // Late, and of another snapshot: it must not be taken for the repeated one.
                if b & 0x80 != 0 && chunk.offset > 0 {
                    spoil_identity(&mut chunk.identity, other, a, b);
                }
            }
            _ => {}
        }
        if which & 0x80 != 0 && chunk.offset > 0 {
            chunk.done = !chunk.done;
        }
        // With its checksum computed ahead, as the async face does.
        if which & 0x20 != 0 { chunk.hashed() } else { chunk }
    }

    /// One call, taken at rest. With a bit of `which` set its effects stay outstanding, with another all
    /// but one.
    fn call(&mut self, database: u8, which: u8, event: Event<u8, Payload>) -> Result<(), String> {
        self.finish(database)?;
        self.watch.tell(|| format!("database {database}: {event:?}"));
        if let (Event::AbortRequested, State::AwaitingStart(phase)) =
            (&event, &self.world.databases[usize::from(database)].state)
            && phase.memory == Memory::RemovalOwed
        {
            self.watch.see("owed removal tried again");
        }
        if matches!(&event, Event::ChunkArrived { chunk, .. } if chunk.payload_crc32c().is_some()) {
            self.watch.see("hashed ahead");
        }
        let bystander = Bystanders::before(&self.world, Some(database));
        let takes_over = matches!(&event, Event::ChunkArrived { chunk, .. } if chunk.offset == 0)
            && self.world.databases[usize::from(database)].state.is_running();
        let told = match event {
            Event::ChunkArrived { chunk, .. } => self.exploration.arrive(&mut self.world, chunk),
            Event::AbortRequested | Event::IdleExpired | Event::EffectsPerformed | Event::EffectFailed(_) => {
                self.exploration.take(&mut self.world, database, event)
            }
        };
        let state = &self.world.databases[usize::from(database)].state;
        if takes_over && matches!(state, State::AwaitingPublication(_)) {
            self.watch.see("a start publishes where another ran");
        }
        self.judge(&bystander, database, told)?;
        if which & 0x10 != 0 {
            return Ok(());
        }
        if which & 0x40 != 0 {
            return self.perform(database);
        }
        self.finish(database)
    }

    /// Performs what is outstanding, or fails it, until the database is at rest.
    fn finish(&mut self, database: u8) -> Result<(), String> {
        for _ in 0..FINISH_MAX {
            if self.world.databases[usize::from(database)].is_at_rest() {
                return Ok(());
            }
            self.perform(database)?;
        }
        Err(format!("database {database} does not come to rest"))
    }

    fn perform(&mut self, database: u8) -> Result<(), String> {
        if self.world.databases[usize::from(database)].is_at_rest() {
            return Ok(());
        }
        let failing = match &mut self.fault {
            Some((0, damage, kind)) if self.world.failures_left > 0 => Some((*damage, *kind)),
            Some((after, ..)) => {
                *after = after.saturating_sub(1);
                None
            }
            None => None,
        };
        if failing.is_some() {
            self.fault = None;
        }
        let bystander = Bystanders::before(&self.world, Some(database));
        let told = self.exploration.perform_next(&mut self.world, database, failing);
        self.judge(&bystander, database, told)
    }

    fn judge(&mut self, bystander: &Bystanders<Crc32c>, database: u8, told: Option<Reply<u8>>) -> Result<(), String> {
        bystander.judge(&mut self.world);
        if self.watch.wants() {
            self.note(database, told);
        }
        if self.exploration.all_hold(&self.world) {
            return Ok(());
        }
        Err(format!(
            "broken: {}",
            self.exploration.broken_in(&self.world).join("; ")
        ))
    }

    fn note(&mut self, number: u8, told: Option<Reply<u8>>) {
        let database = &self.world.databases[usize::from(number)];
        self.watch.see(match &database.state {
            State::AwaitingStart(_) => "state AwaitingStart",
            State::AwaitingChunk(_) => "state AwaitingChunk",
            State::AwaitingPublication(_) => "state AwaitingPublication",
            State::AwaitingRemoval(_) => "state AwaitingRemoval",
        });
        if let State::AwaitingStart(phase) = &database.state {
            self.watch.see(match &phase.memory {
                Memory::Nothing => "memory Nothing",
                Memory::CommittedBy(_) => "memory CommittedBy",
                Memory::RemovalOwed => "memory RemovalOwed",
            });
        }
        for effect in &database.effects {
            self.watch.see(match effect {
                Effect::Create => "effect Create",
                Effect::Write { .. } => "effect Write",
                Effect::Sync => "effect Sync",
                Effect::Publish(_) => "effect Publish",
                Effect::SyncDirectory => "effect SyncDirectory",
                Effect::Remove => "effect Remove",
                Effect::Report(_) => "effect Report",
                Effect::Reply(_) => "effect Reply",
            });
        }
        // A report leaves no trace in a state; the reports due are a witness of the run.
        if self.exploration.witnesses.reached(Witness::ProgressReported) {
            self.watch.see("effect Report");
        }
        let Some(told) = told else { return };
        self.watch.see("effect Reply");
        self.watch.tell(|| format!("  answered: {told:?}"));
        if let Reply::Rejected { rejection, .. } = &told {
            self.note_rejection(rejection);
        }
        self.watch.see(match &told {
            Reply::Pending { .. } => "reply Pending",
            Reply::Committed { .. } => "reply Committed",
            Reply::Rejected { rejection, .. } => rejection.reason(),
            Reply::Failed { .. } => "reply Failed",
            Reply::Aborted => "reply Aborted",
            Reply::NothingRan => "reply NothingRan",
            Reply::OutOfTurn => "reply OutOfTurn",
        });
    }

    fn note_rejection(&mut self, rejection: &Rejection<u8>) {
        match rejection {
            Rejection::IdentityMismatch(IdentityMismatch::Cluster { .. }) => self.watch.see("another cluster"),
            Rejection::IdentityMismatch(IdentityMismatch::SnapshotLsn { .. }) => self.watch.see("another LSN"),
            Rejection::IdentityMismatch(IdentityMismatch::TotalBytes { .. }) => self.watch.see("another total"),
            Rejection::IdentityMismatch(IdentityMismatch::TotalCrc32c { .. }) => self.watch.see("another checksum"),
            Rejection::OffsetMismatch { expected, .. } if *expected > 0 => {
                self.watch.see("offset_mismatch in a transfer");
            }
            // Each is named by its reason.
            Rejection::IdentityMismatch(IdentityMismatch::Database { .. })
            | Rejection::OffsetMismatch { .. }
            | Rejection::InvalidDatabaseId(_)
            | Rejection::InvalidClusterId(_)
            | Rejection::ChunkTooLarge { .. }
            | Rejection::SnapshotTooLarge { .. }
            | Rejection::LengthOverrun { .. }
            | Rejection::StaleSnapshot { .. }
            | Rejection::TooManyTransfers { .. }
            | Rejection::LengthMismatch { .. }
            | Rejection::CrcMismatch { .. } => {}
        }
    }

    /// What nobody brings now, or here: the state stays as it is, and that is said. Or a start that may
    /// be older, which the world's sources never send: it is not refused as stale.
    fn out_of_turn(&mut self, database: u8, which: u8) -> Result<(), String> {
        let state = self.world.databases[usize::from(database)].state.clone();
        let snapshots = &self.exploration.system.snapshots;
        let (own, others) = if database == 0 { (3, 5) } else { (6, 0) };
        let is_outstanding = matches!(state, State::AwaitingPublication(_) | State::AwaitingRemoval(_));
        let arrived = |snapshot: usize, offset: u64| {
            let mut chunk = snapshots[snapshot].chunks[0].clone();
            chunk.offset = offset;
            Event::ChunkArrived {
                chunk,
                vacancy: Vacancy::Free,
                older_start: OlderStart::Allowed,
            }
        };
        let failure = Failure {
            operation: Operation::Panic,
            kind: FailureKind::Other,
        };
        let (name, event) = match (which % 7, &state) {
            (0, _) if is_outstanding => ("abort out of turn", Event::AbortRequested),
            (1, _) if is_outstanding => ("expiry out of turn", Event::IdleExpired),
            (2, _) if is_outstanding => ("start out of turn", arrived(own, 0)),
            (3, _) if is_outstanding => ("continuation out of turn", arrived(own, 1)),
            (4, _) if !is_outstanding => ("performed out of turn", Event::EffectsPerformed),
            (5, State::AwaitingStart(_)) => ("failure out of turn", Event::EffectFailed(failure)),
            (6, State::AwaitingChunk(phase)) if phase.received_bytes > 0 => {
                ("misrouted", arrived(others, phase.received_bytes))
            }
            _ if is_outstanding => return Ok(()),
            _ => ("older start allowed", arrived(own, 0)),
        };
        self.watch.see(name);
        if let Event::EffectFailed(failure) = &event {
            self.watch.see(failure.operation.name());
        }
        self.watch.tell(|| format!("database {database}: {name}: {event:?}"));
        let step = mistakes::step(self.exploration.bugs, &LIMITS, state.clone(), event);
        let Some(Effect::Reply(reply)) = step.effects.last() else {
            // Only what may run asks for operations.
            return if name == "older start allowed" {
                Ok(())
            } else {
                Err(format!("{name}: {:?}", step.effects))
            };
        };
        self.watch.tell(|| format!("  answered: {reply:?}"));
        let is_right = match (name, reply) {
            ("older start allowed", Reply::Rejected { rejection, .. }) => rejection.is_verdict(),
            ("older start allowed", _) => return Ok(()),
            ("failure out of turn", reply) => matches!(reply, Reply::Failed { failure: told, .. } if *told == failure),
            ("misrouted", reply) => matches!(reply, Reply::Rejected { rejection, .. } if !rejection.is_verdict()),
            (_, reply) => {
                self.watch.see("reply OutOfTurn");
                *reply == Reply::OutOfTurn
            }
        };
        if is_right && step.state == state && step.effects.len() == 1 {
            Ok(())
        } else {
            Err(format!("{name}: told {reply:?}, and the state is {:?}", step.state))
        }
    }

    fn end(mut self) -> Result<(), String> {
        self.fault = None;
        self.finish(0)?;
        self.finish(1)
    }
}
