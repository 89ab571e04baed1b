//! Seeded bugs: small wrappers around the shipped `step`, each of which the properties must
//! catch by the clause it breaks.
//!
//! Guarantees: without a bug, the wrapper is the shipped function and nothing else. Refuses to
//! know: how a bug is caught.

use snapshot_receiver::protocol::{
    AwaitingStart, Crc32c, Digest, Effect, Effects, Ending, Event, Limits, Memory, OlderStart, Reply, State, Step,
    Vacancy, step as shipped_step,
};

use crate::check::{Running, check};
use crate::disk::Files;
use crate::system::{Payload, systems};
use crate::world::Exploration;

/// A bug between the receiver and the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A chunk at a wrong offset is taken as if it came at the next one.
    GapAccepted,
    /// A chunk of another snapshot is taken as if it were the transfer's.
    IdentityNotCompared,
    /// A start may always be older.
    StaleAccepted,
    /// There is always a place.
    PlacesUnbounded,
    /// The partial is not synced before the rename.
    SyncSkipped,
    /// The rename comes before the sync.
    PublishBeforeSync,
    /// The directory is not synced after the rename.
    DirectorySyncSkipped,
    /// The reply comes before the effects.
    ReplyBeforeEffects,
    /// An abort removes nothing.
    AbortKeepsPartial,
    /// A failed operation is taken for a successful one.
    FailureIgnored,
    /// A failed removal is forgotten.
    OwedRemovalForgotten,
    /// A repeated final chunk is refused.
    RepeatRefused,
    /// A start keeps the old offset.
    RestartKeepsOffset,
    /// A refusal ends the transfer.
    RefusalEndsTransfer,
    /// Reports start again from 0 with every chunk.
    ReportCounterReset,
    /// Nothing ever commits: the last chunk is taken as pending.
    NeverDone,
}

impl Bug {
    /// All of them, each with the clause that it breaks.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::GapAccepted, "SR-OFF-003"),
        (Self::IdentityNotCompared, "SR-IDN-001"),
        (Self::StaleAccepted, "SR-IDN-004"),
        (Self::PlacesUnbounded, "SR-CON-005"),
        (Self::SyncSkipped, "SR-PUB-002"),
        (Self::PublishBeforeSync, "SR-PUB-002"),
        (Self::DirectorySyncSkipped, "SR-PUB-001"),
        (Self::ReplyBeforeEffects, "SR-OFF-004"),
        (Self::AbortKeepsPartial, "SR-ABT-001"),
        (Self::FailureIgnored, "SR-ERR-001"),
        (Self::OwedRemovalForgotten, "SR-ERR-005"),
        (Self::RepeatRefused, "SR-IDN-003"),
        (Self::RestartKeepsOffset, "SR-OFF-004"),
        (Self::RefusalEndsTransfer, "SR-ADM-004"),
        (Self::ReportCounterReset, "SR-PRG-001"),
        (Self::NeverDone, "SR-LIV-001"),
    ];
}

impl Bug {
    /// The bug of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut bugs = Self::ALL.into_iter().map(|(bug, _)| bug);
        bugs.find(|bug| format!("{bug:?}") == name)
    }
}

/// Every seeded bug's name, and the clause that it breaks.
#[must_use]
pub fn claims() -> Vec<(String, &'static str)> {
    let wrappers = Bug::ALL.into_iter().map(|(bug, clause)| (format!("{bug:?}"), clause));
    wrappers.chain([("NoDigest".to_owned(), "SR-CRC-002")]).collect()
}

/// What became of one seeded bug.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub bug: String,
    /// The clause that it breaks.
    pub clause: &'static str,
    /// The system that shows it, where one does.
    pub caught: Option<Caught>,
}

/// Where a bug was caught.
#[derive(Debug)]
pub struct Caught {
    /// The system's name.
    pub system: &'static str,
    /// Steps of the shortest counterexample.
    pub steps: usize,
    /// The rules broken at its end.
    pub rules: Vec<&'static str>,
}

impl Verdict {
    /// Whether a rule of the clause that the bug breaks caught it.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        let caught = self.caught.as_ref();
        caught.is_some_and(|caught| caught.rules.iter().any(|rule| rule.starts_with(self.clause)))
    }
}

/// Seeds every bug in turn, into one system after the other until a rule of its clause catches
/// it.
#[must_use]
pub fn verdicts() -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Bug::ALL
        .into_iter()
        .map(|(bug, clause)| seed::<Crc32c>(format!("{bug:?}"), Some(bug), clause))
        .collect();
    verdicts.push(seed::<NoDigest>("NoDigest".to_owned(), None, "SR-CRC-002"));
    verdicts
}

fn seed<D: Digest + Send + Sync + 'static>(name: String, bug: Option<Bug>, clause: &'static str) -> Verdict {
    let mut verdict = Verdict {
        bug: name,
        clause,
        caught: None,
    };
    for system in systems::<D>() {
        let outcome = check(Exploration::<D>::with_bug(system, bug), &Running::default());
        if let Some(found) = outcome.counterexample {
            verdict.caught = Some(Caught {
                system: outcome.system.name,
                steps: found.length(),
                rules: found.violated,
            });
        }
        if verdict.is_caught() {
            break;
        }
    }
    verdict
}

/// The shipped `step`, with the bug around it.
pub fn step<D: Digest>(
    bug: Option<Bug>,
    limits: &Limits,
    state: State<u8, D>,
    event: Event<u8, Payload>,
) -> Step<u8, Payload, D> {
    match bug {
        None => shipped_step(limits, state, event),
        Some(bug) => {
            let before = state.clone();
            let failed = matches!(event, Event::EffectFailed(_));
            let event = mistaken_event(bug, &before, event);
            let step = shipped_step(limits, state, event);
            mistaken_step(bug, &before, failed, step)
        }
    }
}

/// What the bug does in place of an effect, if anything; the effect then counts as performed.
pub fn performs_instead<D>(
    bug: Option<Bug>,
    state: &State<u8, D>,
    effect: &Effect<u8, Payload>,
    files: &mut Files,
) -> bool {
    match (bug, state, effect) {
        (Some(Bug::AbortKeepsPartial), State::AwaitingRemoval(phase), Effect::Remove) => {
            phase.ending == Ending::Aborted
        }
        // A sync of the open file after its rename: its bytes become durable, too late.
        (Some(Bug::PublishBeforeSync), _, Effect::Sync) => {
            if let Some(file) = &mut files.snapshot {
                file.bytes_are_durable = true;
            }
            true
        }
        (_, _, _) => false,
    }
}

fn mistaken_event<D>(bug: Bug, state: &State<u8, D>, event: Event<u8, Payload>) -> Event<u8, Payload> {
    let Event::ChunkArrived {
        mut chunk,
        mut vacancy,
        mut older_start,
    } = event
    else {
        return event;
    };
    match (bug, state) {
        (Bug::GapAccepted, State::AwaitingChunk(phase)) if chunk.offset > 0 => chunk.offset = phase.received_bytes,
        (Bug::IdentityNotCompared, State::AwaitingChunk(phase)) if chunk.offset > 0 => {
            chunk.identity = phase.identity.clone();
        }
        (Bug::RepeatRefused, State::AwaitingStart(_)) if chunk.offset > 0 => chunk.done = false,
        (Bug::NeverDone, _) => chunk.done = false,
        (Bug::StaleAccepted, _) => older_start = OlderStart::Allowed,
        (Bug::PlacesUnbounded, _) => vacancy = Vacancy::Free,
        (_, _) => {}
    }
    Event::ChunkArrived {
        chunk,
        vacancy,
        older_start,
    }
}

fn mistaken_step<D: Digest>(
    bug: Bug,
    before: &State<u8, D>,
    failed: bool,
    mut step: Step<u8, Payload, D>,
) -> Step<u8, Payload, D> {
    match (bug, before, &mut step.state) {
        (Bug::SyncSkipped, _, _) => step.effects.retain(|effect| !matches!(effect, Effect::Sync)),
        (Bug::DirectorySyncSkipped, _, _) => step.effects.retain(|effect| !matches!(effect, Effect::SyncDirectory)),
        (Bug::PublishBeforeSync, _, _) => {
            if let Some(sync) = step.effects.iter().position(|effect| matches!(effect, Effect::Sync)) {
                step.effects.swap(sync, sync + 1);
            }
        }
        (Bug::ReplyBeforeEffects, _, _) => step.effects.rotate_right(1),
        (Bug::FailureIgnored, State::AwaitingChunk(phase), _) if failed => {
            let bytes_done = phase.received_bytes;
            step.state = before.clone();
            step.effects = Effects::from_iter([Effect::Reply(Reply::Pending { bytes_done })]);
        }
        (Bug::OwedRemovalForgotten, _, State::AwaitingStart(phase)) if phase.memory == Memory::RemovalOwed => {
            phase.memory = Memory::Nothing;
        }
        (Bug::RestartKeepsOffset, State::AwaitingChunk(old), State::AwaitingChunk(new)) => {
            new.received_bytes = new.received_bytes.max(old.received_bytes);
        }
        (Bug::RefusalEndsTransfer, State::AwaitingChunk(old), State::AwaitingChunk(_)) => {
            if matches!(step.effects.first(), Some(Effect::Reply(Reply::Rejected { .. }))) {
                let (latest, memory) = (old.latest.clone(), Memory::Nothing);
                step.state = State::AwaitingStart(AwaitingStart { latest, memory });
            }
        }
        (Bug::ReportCounterReset, _, State::AwaitingChunk(phase)) => phase.reported_bytes = 0,
        (_, _, _) => {}
    }
    step
}

/// A checksum that finds every snapshot right (breaks SR-CRC-002).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoDigest;

impl Digest for NoDigest {
    fn append(self, _: &[u8]) -> Self {
        self
    }

    fn value(&self) -> u32 {
        0
    }
}
