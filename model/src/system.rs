//! The bounded worlds that are explored.
//!
//! Guarantees: every bound of a world is a number in its `System`; the table of all systems is
//! `systems()`. Refuses to know: how a world is explored.

use arrayvec::ArrayVec;
use snapshot_receiver::protocol::{Chunk, ClusterId, DatabaseId, Digest, Identity, Limits};

use crate::disk::Persistence;
use crate::properties::Witness;

/// Databases in a world, at most.
pub const DATABASES_MAX: usize = 2;
/// Snapshots in a world, at most.
pub const SNAPSHOTS_MAX: usize = 3;
/// Bytes of a snapshot, at most.
pub const SNAPSHOT_BYTES_MAX: usize = 4;
/// Bytes of a chunk, at most.
pub const CHUNK_BYTES_MAX: usize = 2;

/// The limits of every modelled receiver: small enough that each is met.
pub const LIMITS: Limits = Limits {
    chunk_bytes_max: CHUNK_BYTES_MAX as u64,
    snapshot_bytes_max: SNAPSHOT_BYTES_MAX as u64,
    report_bytes: 2,
};

/// A chunk's bytes.
pub type Payload = ArrayVec<u8, CHUNK_BYTES_MAX>;

/// One snapshot and the chunks that its source sends, in order.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who it is.
    pub identity: Identity<u8>,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its chunks.
    pub chunks: Vec<Chunk<u8, Payload>>,
}

/// Which chunks a network may damage on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Corruption {
    /// None.
    Never,
    /// Any chunk that carries bytes may come with one bit flipped, or cut short by a byte.
    Possible,
}

/// A bounded world.
#[derive(Clone, Debug)]
pub struct System {
    /// What `--system` takes.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// What sources send.
    pub snapshots: Vec<Snapshot>,
    /// Places for running transfers.
    pub transfers_max: usize,
    /// See [`Corruption`].
    pub corruption: Corruption,
    /// What the disk's file system promises.
    pub persistence: Persistence,
    /// Storage operations that may fail, in all.
    pub failures_max: u8,
    /// Times that the power, or the process, may go, in all; at any moment, in an opening too.
    pub crashes_max: u8,
    /// What an exploration has to reach, or its rules say nothing.
    pub reaches: &'static [Witness],
    /// Unique states when this was written; another number has to be explained.
    pub pinned_states: usize,
}

/// A snapshot before it is cut into chunks.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Cluster number.
    pub cluster: u8,
    /// Database number.
    pub database: u8,
    /// Log sequence number.
    pub snapshot_lsn: u64,
    /// Content.
    pub bytes: &'static [u8],
    /// Lengths of the chunks; the last says `done`.
    pub chunks: &'static [usize],
}

impl Plan {
    /// Cuts the snapshot into its chunks.
    #[must_use]
    pub fn cut<D: Digest>(self) -> Snapshot {
        assert_eq!(
            self.bytes.len(),
            self.chunks.iter().sum::<usize>(),
            "the chunks are the whole snapshot"
        );
        let identity = Identity {
            cluster: ClusterId::<u8>::numbered(self.cluster),
            database: DatabaseId::<u8>::numbered(self.database),
            snapshot_lsn: self.snapshot_lsn,
            total_bytes: self.bytes.len() as u64,
            total_crc32c: D::default().append(self.bytes).value(),
        };
        let mut chunks = Vec::new();
        let mut offset = 0;
        for (index, length) in self.chunks.iter().enumerate() {
            let data = self.bytes[offset..offset + length].iter().copied().collect();
            chunks.push(Chunk {
                identity: identity.clone(),
                offset: offset as u64,
                data,
                done: index + 1 == self.chunks.len(),
            });
            offset += length;
        }
        Snapshot {
            identity,
            bytes: self.bytes.to_vec(),
            chunks,
        }
    }
}

impl System {
    fn new<D: Digest>(name: &'static str, about: &'static str, plans: &[Plan]) -> Self {
        assert!(
            plans.len() <= SNAPSHOTS_MAX,
            "a world has at most {SNAPSHOTS_MAX} snapshots"
        );
        Self {
            name,
            about,
            snapshots: plans.iter().map(|plan| plan.cut::<D>()).collect(),
            transfers_max: DATABASES_MAX,
            corruption: Corruption::Never,
            persistence: Persistence::Weak,
            failures_max: 0,
            crashes_max: 0,
            reaches: &[],
            pinned_states: 0,
        }
    }

    fn corrupting(self) -> Self {
        let corruption = Corruption::Possible;
        Self { corruption, ..self }
    }

    fn failing(self, failures_max: u8) -> Self {
        Self { failures_max, ..self }
    }

    fn pinned(self, pinned_states: usize, reaches: &'static [Witness]) -> Self {
        Self {
            reaches,
            pinned_states,
            ..self
        }
    }

    fn crashing(self, crashes_max: u8, persistence: Persistence) -> Self {
        Self {
            crashes_max,
            persistence,
            ..self
        }
    }

    fn with_places(self, transfers_max: usize) -> Self {
        Self { transfers_max, ..self }
    }

    /// The databases that snapshots are sent for.
    pub fn databases(&self) -> impl Iterator<Item = DatabaseId<u8>> + '_ {
        let sent_for = |number: &u8| {
            self.snapshots
                .iter()
                .any(|snapshot| snapshot.identity.database.number() == *number)
        };
        (0u8..2).filter(sent_for).map(DatabaseId::<u8>::numbered)
    }
}

/// Every system of the gate, its declared checksums honest for the receiver's digest.
#[must_use]
pub fn systems<D: Digest>() -> Vec<System> {
    use Witness::{
        Committed, CommittedAborted, CommittedCrashed, CrcVerdict, FailureAnswered, IdentityRefused, Killed,
        LengthVerdict, OffsetRefused, OrphanOwed, OrphanSwept, Pending, PlaceRefused, PowerLost, ProgressReported,
        RemovalOwed, RepeatAnswered, RunningAborted, StaleRefused,
    };
    let base = Plan {
        cluster: 1,
        database: 0,
        snapshot_lsn: 5,
        bytes: b"abcd",
        chunks: &[2, 2],
    };
    vec![
        System::new::<D>(
            "one",
            "one snapshot of four chunks, one of them empty; damage on the way, two failing operations",
            &[Plan {
                bytes: b"abcd",
                chunks: &[1, 1, 2, 0],
                ..base
            }],
        )
        .corrupting()
        .crashing(2, Persistence::Weak)
        .failing(2)
        .pinned(
            54_403,
            &[
                Pending,
                Committed,
                OffsetRefused,
                CrcVerdict,
                RunningAborted,
                CommittedAborted,
                FailureAnswered,
                RemovalOwed,
                RepeatAnswered,
                ProgressReported,
                Killed,
                PowerLost,
                CommittedCrashed,
                OrphanSwept,
                OrphanOwed,
            ],
        ),
        System::new::<D>(
            "empty",
            "the empty snapshot, and one that a single chunk carries",
            &[
                Plan {
                    bytes: b"",
                    chunks: &[0],
                    ..base
                },
                Plan {
                    bytes: b"x",
                    chunks: &[1],
                    snapshot_lsn: 6,
                    ..base
                },
            ],
        )
        .corrupting()
        .crashing(2, Persistence::Ordered)
        .failing(3)
        .pinned(
            29_754,
            &[
                Committed,
                StaleRefused,
                CrcVerdict,
                LengthVerdict,
                CommittedAborted,
                FailureAnswered,
                RemovalOwed,
                ProgressReported,
                Killed,
                PowerLost,
                CommittedCrashed,
                OrphanSwept,
                OrphanOwed,
            ],
        ),
        System::new::<D>(
            "newer",
            "a snapshot, a newer one of the same source, and one of another source",
            &[
                base,
                Plan {
                    bytes: b"wxyz",
                    snapshot_lsn: 6,
                    ..base
                },
                Plan {
                    bytes: b"mnop",
                    cluster: 2,
                    snapshot_lsn: 1,
                    ..base
                },
            ],
        )
        .crashing(1, Persistence::Weak)
        .failing(2)
        .pinned(
            259_695,
            &[
                Pending,
                Committed,
                OffsetRefused,
                IdentityRefused,
                StaleRefused,
                RunningAborted,
                CommittedAborted,
                FailureAnswered,
                RemovalOwed,
                RepeatAnswered,
                ProgressReported,
                Killed,
                PowerLost,
                CommittedCrashed,
                OrphanSwept,
                OrphanOwed,
            ],
        ),
        System::new::<D>(
            "identity",
            "snapshots that differ in one field of their identity: checksum, total, cluster",
            &[
                base,
                Plan { bytes: b"abce", ..base },
                Plan {
                    bytes: b"abc",
                    chunks: &[2, 1],
                    cluster: 2,
                    ..base
                },
            ],
        )
        .crashing(1, Persistence::Ordered)
        .failing(1)
        .pinned(
            50_056,
            &[
                Pending,
                Committed,
                OffsetRefused,
                IdentityRefused,
                RunningAborted,
                CommittedAborted,
                FailureAnswered,
                RemovalOwed,
                RepeatAnswered,
                ProgressReported,
                Killed,
                PowerLost,
                CommittedCrashed,
                OrphanSwept,
                OrphanOwed,
            ],
        ),
        System::new::<D>(
            "places",
            "two databases and a place for one transfer",
            &[
                base,
                Plan {
                    bytes: b"wx",
                    database: 1,
                    chunks: &[1, 1],
                    ..base
                },
            ],
        )
        .with_places(1)
        .crashing(1, Persistence::Weak)
        .failing(2)
        .pinned(
            473_065,
            &[
                Pending,
                Committed,
                OffsetRefused,
                PlaceRefused,
                RunningAborted,
                CommittedAborted,
                FailureAnswered,
                RemovalOwed,
                RepeatAnswered,
                ProgressReported,
                Killed,
                PowerLost,
                CommittedCrashed,
                OrphanSwept,
                OrphanOwed,
            ],
        ),
        System::new::<D>(
            "two",
            "two databases, interleaved effect by effect, and a crash of both",
            &[
                base,
                Plan {
                    bytes: b"wxyz",
                    database: 1,
                    snapshot_lsn: 9,
                    ..base
                },
            ],
        )
        .crashing(1, Persistence::Ordered)
        .failing(1)
        .pinned(
            199_857,
            &[
                Pending,
                Committed,
                OffsetRefused,
                RunningAborted,
                CommittedAborted,
                FailureAnswered,
                RemovalOwed,
                RepeatAnswered,
                ProgressReported,
                Killed,
                PowerLost,
                CommittedCrashed,
                OrphanSwept,
                OrphanOwed,
            ],
        ),
    ]
}
