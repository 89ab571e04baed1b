//! What an exploration has to reach for its rules to mean anything.
//!
//! Guarantees: each witness is noted where its case happens, because a state does not show how it
//! came about; what a system must reach is worked out from its bounds and its list. Refuses to
//! know: rules.

use std::sync::atomic::{AtomicU64, Ordering};

use snapshot_receiver::protocol::{Digest, Operation, Rejection, Reply, State};
use stateright::Property;

use crate::disk::{Disk, Files};
use crate::exploration::Exploration;
use crate::system::System;
use crate::world::World;

macro_rules! witnesses {
    ($($(#[doc = $about:literal])+ $name:ident,)+) => {
        /// Something that an exploration should reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Witness {
            $($(#[doc = $about])+ $name,)+
        }

        impl Witness {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The case in words.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($about),+),)+
                }
            }
        }

        /// All witnesses as `sometimes`.
        pub(crate) fn sometimes<D: Digest>() -> Vec<Property<Exploration<D>>> {
            vec![$(Property::sometimes(
                stringify!($name),
                |exploration: &Exploration<D>, _| exploration.witnesses.reached(Witness::$name),
            ),)+]
        }
    };
}

witnesses! {
    /// A chunk was taken and its transfer goes on.
    Pending,
    /// A snapshot was committed.
    Committed,
    /// A newer snapshot took the place of a committed one.
    Replaced,
    /// A chunk came a second time.
    Duplicated,
    /// A chunk came before one that was sent earlier.
    Reordered,
    /// A chunk's bytes were damaged on the way.
    Damaged,
    /// A start came while a transfer ran.
    Restarted,
    /// A chunk at a wrong offset was refused.
    OffsetRefused,
    /// A chunk came where no transfer ran.
    LateRefused,
    /// A chunk of another snapshot was refused.
    IdentityRefused,
    /// An older snapshot was refused.
    StaleRefused,
    /// A start was refused because all places were taken.
    PlaceRefused,
    /// A snapshot or a chunk above its limit was refused.
    LimitRefused,
    /// A chunk that goes past its total was refused.
    OverrunRefused,
    /// A finished snapshot had the wrong checksum.
    CrcVerdict,
    /// A snapshot was finished too early.
    LengthVerdict,
    /// A snapshot of no bytes was finished.
    EmptyFinished,
    /// An abort ended a running transfer.
    RunningAborted,
    /// An abort found nothing to end.
    IdleAborted,
    /// An abort came after a commit.
    CommittedAborted,
    /// A transfer was idle for too long.
    Expired,
    /// A storage operation failed, and that was answered.
    FailureAnswered,
    /// A write failed.
    WriteFailed,
    /// A sync of the partial failed.
    SyncFailed,
    /// A sync of the directory failed.
    DirectorySyncFailed,
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
    /// A crash came in the middle of an opening.
    OpeningCrashed,
    /// An opening removed an orphan.
    OrphanSwept,
    /// An opening could not remove an orphan.
    OrphanOwed,
}

/// What every system reaches, whatever its bounds.
const ALWAYS: &[Witness] = &[
    Witness::Committed,
    Witness::IdleAborted,
    Witness::CommittedAborted,
    Witness::ProgressReported,
];

/// What a system reaches where a snapshot has more than one chunk.
const RUNNING: &[Witness] = &[
    Witness::Pending,
    Witness::Duplicated,
    Witness::Restarted,
    Witness::RunningAborted,
    Witness::Expired,
    Witness::OffsetRefused,
    Witness::LateRefused,
    Witness::RepeatAnswered,
];

/// What a system must reach, or its rules say nothing.
#[must_use]
pub fn expected(system: &System) -> Vec<Witness> {
    let mut expected = ALWAYS.to_vec();
    expected.extend(system.reaches);
    if system.snapshots.iter().any(|snapshot| snapshot.chunks.len() > 1) {
        expected.extend(RUNNING);
    }
    if system.failures_max > 0 {
        expected.extend([
            Witness::FailureAnswered,
            Witness::WriteFailed,
            Witness::SyncFailed,
            Witness::DirectorySyncFailed,
            Witness::RemovalOwed,
        ]);
    }
    if system.crashes_max > 0 {
        expected.extend([
            Witness::Killed,
            Witness::PowerLost,
            Witness::CommittedCrashed,
            Witness::OpeningCrashed,
            Witness::OrphanSwept,
        ]);
    }
    if system.crashes_max > 0 && system.failures_max > 0 {
        expected.push(Witness::OrphanOwed);
    }
    expected.sort_unstable();
    expected.dedup();
    expected
}

/// What an exploration reached.
#[derive(Debug, Default)]
pub struct Witnesses(AtomicU64);

impl Witnesses {
    /// Notes that it was reached.
    pub fn reach(&self, witness: Witness) {
        let bit = 1 << witness as u32;
        // Most calls find it noted: a read is cheaper than a write that all threads wait for.
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Forgets what was reached: for who asks of single runs.
    pub fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Whether it was reached.
    pub fn reached(&self, witness: Witness) -> bool {
        self.0.load(Ordering::Relaxed) & (1 << witness as u32) != 0
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
            Rejection::ChunkTooLarge { .. } | Rejection::SnapshotTooLarge { .. } => self.reach(Witness::LimitRefused),
            Rejection::LengthOverrun { .. } => self.reach(Witness::OverrunRefused),
            // The ids of a model are numbers: all are valid. Unit tests reach these.
            Rejection::InvalidDatabaseId(_) | Rejection::InvalidClusterId(_) => {}
        }
    }

    /// Notes which operation failed.
    pub fn note_failure(&self, operation: Operation) {
        match operation {
            Operation::Write => self.reach(Witness::WriteFailed),
            Operation::Sync => self.reach(Witness::SyncFailed),
            Operation::SyncDirectory => self.reach(Witness::DirectorySyncFailed),
            Operation::Create | Operation::Publish | Operation::Remove | Operation::Panic => {}
        }
    }

    /// Notes what a crash that leaves `left` witnesses; the first choice is a killed process.
    pub fn note_crash<D: Digest>(&self, world: &World<D>, left: &Disk, choice: u64) {
        if choice == 0 {
            let is_durable = |files: &Files| files.snapshot().is_none() || files.snapshot_is_durable();
            if !world.disk.databases.iter().all(|files| is_durable(files)) {
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
        let database = world.database(database);
        match database.state {
            State::AwaitingChunk(_) => self.reach(Witness::RunningAborted),
            State::AwaitingStart(_) => {
                self.reach(Witness::IdleAborted);
                if database.acknowledged.is_some() {
                    self.reach(Witness::CommittedAborted);
                }
            }
            State::AwaitingPublication(_) | State::AwaitingRemoval(_) => {}
        }
    }
}
