//! The world that the checker explores: what a state is, and what can happen in it.
//!
//! The network keeps what was sent for ever: any chunk sent may arrive now, again, or never, so
//! loss, duplication, reordering and any delay are all in it, without a bound. Sources send
//! their chunks in order, each for the first time when it pleases.
//!
//! Guarantees: derived `Hash` and `Eq`. States share the databases and files in which they do not
//! differ, so that a step costs what it changes, however many databases there are. Refuses to know:
//! how a step is taken.

use std::sync::Arc;

use snapshot_receiver::protocol::{Crc32c, Effects, FailureKind, State};

use crate::disk::{Damage, Disk, Handle};
use crate::system::{DATABASES_MAX, Payload, SNAPSHOTS_MAX};

/// One state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World<D = Crc32c> {
    /// How many of its chunks each source has sent.
    pub sent: [u8; SNAPSHOTS_MAX],
    /// By database number; shared with other states.
    pub databases: [Arc<Database<D>>; DATABASES_MAX],
    /// The files.
    pub disk: Disk,
    /// Whether a receiver is open; what `databases` knows of it is forgotten with it.
    pub is_open: bool,
    /// Crashes that may still be.
    pub crashes_left: u8,
    /// Operations that may still fail.
    pub failures_left: u8,
    /// Rules that a single step broke: a state cannot show it, so they are noted.
    pub breaches: Breaches,
}

impl<D> World<D> {
    /// The database of that number.
    pub fn database(&self, number: u8) -> &Database<D> {
        &self.databases[usize::from(number)]
    }
}

impl<D: Clone> World<D> {
    /// The same, to be changed in this state alone.
    pub fn database_mut(&mut self, number: u8) -> &mut Database<D> {
        Arc::make_mut(&mut self.databases[usize::from(number)])
    }
}

/// The receiver's side of one database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Database<D> {
    /// What the protocol knows.
    pub state: State<u8, D>,
    /// The open partial.
    pub partial: Option<Handle>,
    /// Effects still to be performed, in order.
    pub effects: Effects<u8, Payload>,
    /// Whether an operation of the call in flight failed.
    pub has_failed: bool,
    /// The snapshot last answered `Committed`, by number. A crash does not undo it.
    pub acknowledged: Option<u8>,
    /// The snapshots, by number, whose rename was begun since: they may stand in its place.
    pub begun: Snapshots,
}

/// A set of snapshots, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Snapshots(u8);

impl Snapshots {
    pub(crate) fn add(&mut self, number: u8) {
        self.0 |= 1 << number;
    }

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }
}

impl<D> Default for Database<D> {
    fn default() -> Self {
        Self {
            state: State::default(),
            partial: None,
            effects: Effects::new(),
            has_failed: false,
            acknowledged: None,
            begun: Snapshots::default(),
        }
    }
}

impl<D> Database<D> {
    /// Whether no call is in flight.
    pub fn is_at_rest(&self) -> bool {
        self.effects.is_empty()
    }
}

/// The rules broken by the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Breaches(u64);

impl Breaches {
    pub(crate) fn note(&mut self, breach: Breach) {
        self.0 |= 1 << breach as u64;
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(self, breach: Breach) -> bool {
        self.0 & (1 << breach as u64) != 0
    }
}

/// A rule broken by one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Breach {
    /// `valid_transition` does not know the step's phases.
    InvalidTransition,
    /// SR-IDN-004: something else than a commit changed the latest commit.
    LatestCommitChanged,
    /// SR-ADM-004: an envelope that was not admitted changed something.
    RefusedYetChanged,
    /// SR-OFF-004: `Pending` was answered, but the partial is not what it says.
    PendingNotTrue,
    /// SR-OFF-003: a chunk was admitted at another offset than the next expected one.
    WrongOffsetAdmitted,
    /// SR-IDN-001: a chunk of another snapshot was admitted.
    WrongIdentityAdmitted,
    /// SR-PUB-001: `Committed` was answered, but the snapshot is not durable under its name.
    CommittedNotDurable,
    /// SR-OFF-005: `Committed` names another snapshot than the one published.
    CommittedNotPublished,
    /// SR-IDN-003: a repeated final chunk was not answered `Committed`.
    RepeatNotAnswered,
    /// SR-ABT-001: `Aborted` was answered, but the partial is there.
    AbortedNotRemoved,
    /// SR-IDN-004: a start older than what it is measured against was admitted.
    StaleAdmitted,
    /// SR-ERR-001: an operation failed, and the attempt went on.
    CarriedOnAfterFailure,
    /// SR-ABT-002, SR-REC-001: a snapshot vanished, and no crash took it.
    SnapshotVanished,
    /// SR-PUB-005: a receiver opened on what a power loss could still take away.
    OpenedNotDurable,
    /// SR-REC-001: a receiver opened and left an orphan that it could have removed.
    OrphanLeft,
    /// SR-REC-003: no call failed but a removal, and the opening was refused.
    OpeningStopped,
    /// SR-CON-003: `step` panicked.
    Panicked,
    /// The executor's promise to finish one event before the next was broken.
    OutOfTurn,
    /// SR-ADM-002: a snapshot or a chunk above its limit was admitted.
    LimitIgnored,
    /// SR-ADM-003: a chunk that goes past its total was admitted.
    OverrunAdmitted,
    /// SR-ADM-005: a rejection sends the source to a wrong offset.
    WrongResumeOffset,
    /// SR-OFF-001: a start was admitted and did not begin anew.
    StartNotAnew,
    /// SR-OFF-001: a start that breaks no rule was refused.
    StartRefused,
    /// SR-OFF-002: a chunk was admitted where no transfer runs.
    LateChunkAdmitted,
    /// SR-CRC-003: an empty snapshot was not taken as complete.
    EmptyNotComplete,
    /// SR-PUB-004: the file published is not the one that the attempt created.
    OtherAttemptPublished,
    /// SR-SEC-002: a file that was there was opened in place of a new one.
    OldFileOpened,
    /// SR-ABT-003: an abort with nothing to end was not answered `Aborted`.
    IdleAbortNotAnswered,
    /// SR-CON-006: an expiry left a transfer running.
    ExpiryIgnored,
    /// SR-ERR-004, SR-ERR-002: a call in which an operation failed was answered `Committed`.
    CommittedAfterFailure,
    /// SR-ERR-005: a removal that failed took the place of the first cause.
    CauseHidden,
    /// SR-PRG-002: `Following` was reported without a durable commit, or a commit without it.
    FollowingOutOfStep,
    /// SR-PRG-001: the count to the next report does not begin where the last one was made.
    ReportOutOfStep,
    /// SR-IDN-002: an event of one database changed another's transfer or files.
    OtherDatabaseTouched,
    /// SR-LEN-001: too few bytes were not judged as that.
    ShortnessNotTold,
}

/// What the network does to a chunk's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wear {
    /// Nothing.
    Intact,
    /// The lowest bit of the first byte is flipped.
    Flipped,
    /// The last byte is cut off.
    Cut,
    /// A byte is added: past the total in a last chunk, past the limit in a longest one.
    Longer,
    /// The header's total is the largest number there is.
    HugeTotal,
    /// The header's offset is the largest number there is, so that the chunk's end is none.
    FarOffset,
}

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A source sends its next chunk.
    Send {
        /// The snapshot's number.
        snapshot: u8,
    },
    /// A chunk that was sent arrives.
    Deliver {
        /// The snapshot's number.
        snapshot: u8,
        /// The chunk's number.
        chunk: u8,
        /// What happened to it on the way.
        wear: Wear,
    },
    /// Somebody aborts a database's transfer.
    Abort {
        /// The database's number.
        database: u8,
    },
    /// A database's transfer was idle for too long.
    Expire {
        /// The database's number.
        database: u8,
    },
    /// The next outstanding effect of a database succeeds.
    Perform {
        /// The database's number.
        database: u8,
    },
    /// A receiver opens: the recovery runs.
    Open,
    /// A receiver opens, and one of the operations of its recovery fails.
    OpenFailing {
        /// Operations that succeed first.
        after: u8,
        /// How much of it took effect.
        damage: Damage,
    },
    /// The process is killed, or the power goes.
    Crash {
        /// Which of the states that it may leave; 0 is the killed process.
        left: u64,
    },
    /// The same in the middle of an opening.
    CrashOpening {
        /// Operations of the recovery that were done.
        after: u8,
        /// Which of the states that it may leave.
        left: u64,
    },
    /// The next outstanding effect of a database fails.
    Fail {
        /// The database's number.
        database: u8,
        /// How much of it took effect.
        damage: Damage,
        /// What the receiver is told.
        kind: FailureKind,
    },
}
