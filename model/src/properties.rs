//! What must hold in every state.
//!
//! Guarantees: each rule names the clauses it states, and each is stated once; beside each stands
//! the witness that its interesting case was reached, or the rule is vacuous and the gate fails.
//! Refuses to know: how states come about.

use std::sync::Arc;

use snapshot_receiver::protocol::{AwaitingChunk, AwaitingStart, Digest, Memory, State, invariants};
use stateright::Property;

use crate::disk::{Durability, File};
use crate::exploration::Exploration;
use crate::healing::heals;
use crate::system::{LIMITS, Snapshot};
use crate::witnesses::{self, Witness};
use crate::world::{Breach, Database, World};

/// One rule: a property of every state, and the witness without which it says nothing.
pub struct Rule<D: Digest> {
    /// The clauses, and what they say of a state: `SR-OFF-004 SR-ERR-003 the partial is ...`.
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

impl<D: Digest> Rule<D> {
    /// Whether it states that clause.
    #[must_use]
    pub fn states(&self, clause: &str) -> bool {
        states(self.name, clause)
    }
}

/// Whether the rule of that name states that clause.
#[must_use]
pub fn states(rule: &str, clause: &str) -> bool {
    let mut clauses = rule.split(' ').take_while(|word| word.starts_with("SR-"));
    clauses.any(|stated| stated == clause)
}

/// The rule of liveness: the one that runs the receiver on from a state, and costs accordingly.
pub const LIVENESS: &str = "SR-LIV-001 a well-behaved source commits";

/// Every rule, in the order of SPEC.md.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a list, in the order of SPEC.md")]
pub fn rules<D: Digest>() -> Vec<Rule<D>> {
    let rule = |name, witness, holds| Rule { name, holds, witness };
    vec![
        rule(
            "SR-ADM-002 nothing above its limit is admitted",
            Witness::LimitRefused,
            |_, world| !world.breaches.contains(Breach::LimitIgnored),
        ),
        rule(
            "SR-ADM-003 nothing past the total is admitted",
            Witness::OverrunRefused,
            |_, world| !world.breaches.contains(Breach::OverrunAdmitted),
        ),
        rule(
            "SR-ADM-004 a refused envelope changes nothing",
            Witness::OffsetRefused,
            |_, world| !world.breaches.contains(Breach::RefusedYetChanged),
        ),
        rule(
            "SR-ADM-005 a rejection says where the source can go on",
            Witness::OffsetRefused,
            |_, world| !world.breaches.contains(Breach::WrongResumeOffset),
        ),
        rule("SR-OFF-001 a start begins anew", Witness::Restarted, |_, world| {
            !world.breaches.contains(Breach::StartNotAnew) && !world.breaches.contains(Breach::StartRefused)
        }),
        rule(
            "SR-OFF-002 nothing but a start begins a transfer",
            Witness::LateRefused,
            |_, world| !world.breaches.contains(Breach::LateChunkAdmitted),
        ),
        rule(
            "SR-OFF-003 only the next expected offset is admitted",
            Witness::OffsetRefused,
            |_, world| !world.breaches.contains(Breach::WrongOffsetAdmitted),
        ),
        rule(
            "SR-OFF-004 SR-ERR-003 the partial is exactly the bytes received",
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
            "SR-IDN-002 a database's transfer and files are its own",
            Witness::Committed,
            |exploration, world| {
                !world.breaches.contains(Breach::OtherDatabaseTouched)
                    && each_published(exploration, world, |number, _, snapshot| {
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
            "SR-IDN-004 an older start is refused, and only a commit changes what it is measured against",
            Witness::StaleRefused,
            |_, world| {
                !world.breaches.contains(Breach::StaleAdmitted) && !world.breaches.contains(Breach::LatestCommitChanged)
            },
        ),
        rule(
            "SR-LEN-001 a snapshot has its declared length, and too few bytes are told as that",
            Witness::LengthVerdict,
            |exploration, world| {
                !world.breaches.contains(Breach::ShortnessNotTold)
                    && each_published(exploration, world, |_, file, snapshot| {
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
            "SR-CRC-003 a snapshot of no bytes is complete",
            Witness::EmptyFinished,
            |_, world| !world.breaches.contains(Breach::EmptyNotComplete),
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
            "SR-PUB-004 what an attempt publishes is the file that it created",
            Witness::Restarted,
            |_, world| !world.breaches.contains(Breach::OtherAttemptPublished),
        ),
        rule(
            "SR-PUB-005 what is visible after an opening is durable",
            Witness::Killed,
            |_, world| !world.breaches.contains(Breach::OpenedNotDurable),
        ),
        rule(
            "SR-ABT-001 aborted means that the transfer has ended and the partial is gone",
            Witness::RunningAborted,
            |_, world| !world.breaches.contains(Breach::AbortedNotRemoved),
        ),
        rule(
            "SR-ABT-002 SR-REC-001 nothing takes a snapshot away",
            Witness::CommittedAborted,
            |_, world| !world.breaches.contains(Breach::SnapshotVanished),
        ),
        rule(
            "SR-ABT-003 an abort with nothing to end succeeds",
            Witness::IdleAborted,
            |_, world| !world.breaches.contains(Breach::IdleAbortNotAnswered),
        ),
        rule(
            "SR-ERR-001 a failed operation ends the attempt",
            Witness::FailureAnswered,
            |_, world| !world.breaches.contains(Breach::CarriedOnAfterFailure),
        ),
        rule(
            "SR-ERR-002 a file whose sync failed is not published",
            Witness::SyncFailed,
            |exploration, world| each_published(exploration, world, |_, file, _| file.durability != Durability::Lost),
        ),
        rule(
            "SR-ERR-004 SR-ERR-002 a call in which an operation failed is not answered Committed",
            Witness::DirectorySyncFailed,
            |_, world| !world.breaches.contains(Breach::CommittedAfterFailure),
        ),
        rule(
            "SR-ERR-005 the first cause stays the answer",
            Witness::RemovalOwed,
            |_, world| !world.breaches.contains(Breach::CauseHidden),
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
        rule("SR-CON-006 an idle transfer ends", Witness::Expired, |_, world| {
            !world.breaches.contains(Breach::ExpiryIgnored)
        }),
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
                let in_step = states.all(|state| invariants(&LIMITS, state).is_ok());
                in_step && !world.breaches.contains(Breach::ReportOutOfStep)
            },
        ),
        rule(
            "SR-PRG-002 following is reported once per commit, when it is durable",
            Witness::Committed,
            |_, world| !world.breaches.contains(Breach::FollowingOutOfStep),
        ),
        rule("SR-SEC-002 a partial is a new file", Witness::Restarted, |_, world| {
            !world.breaches.contains(Breach::OldFileOpened)
        }),
        rule(LIVENESS, Witness::FailureAnswered, heals),
    ]
}

pub(crate) fn numbered<D>(world: &World<D>) -> impl Iterator<Item = (u8, &Database<D>)> {
    (0u8..).zip(world.databases.iter().map(Arc::as_ref))
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

/// Every rule, but for one that a blind checker does not see.
#[must_use]
pub fn seen<D: Digest>(unseen: Option<&str>) -> Vec<Rule<D>> {
    let mut seen = rules();
    seen.retain(|rule| unseen != Some(rule.name));
    seen
}

/// All rules that are seen as `always`, all witnesses as `sometimes`.
#[must_use]
pub fn one_by_one<D: Digest>(unseen: Option<&str>) -> Vec<Property<Exploration<D>>> {
    let always = seen(unseen)
        .into_iter()
        .map(|rule| Property::always(rule.name, rule.holds));
    always.chain(witnesses::sometimes()).collect()
}
