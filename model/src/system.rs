//! The bounded worlds that are explored: each system in each of its configurations.
//!
//! Guarantees: every bound of a world is a number in its `System`; the one table of bounds is
//! `FAMILIES`. Losses, copies, reorderings, delays, damaged chunks, aborts and expiries have no
//! bound: they may come in every state. Refuses to know: how a world is explored.

use arrayvec::ArrayVec;
use snapshot_receiver::protocol::{Chunk, ClusterId, DatabaseId, Digest, Identity, Limits};

use crate::disk::{HISTORY_MAX, Persistence};
use crate::witnesses::Witness;

/// Databases in a world, at most.
pub const DATABASES_MAX: usize = 3;
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

/// A chunk's bytes: room for one more than a receiver takes.
pub type Payload = ArrayVec<u8, { CHUNK_BYTES_MAX + 1 }>;

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
    Payload,
    /// Besides, any chunk may come with a byte too many, or with a total or an offset that is the
    /// largest number there is.
    Header,
}

/// What stands on the disk when the first receiver opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beginning {
    /// Nothing.
    Fresh,
    /// A snapshot of the first database, which an earlier receiver committed, and an orphan partial
    /// of it, which a crash left.
    Old,
}

/// How much is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Profile {
    /// On each push: every world but `five`, in about a minute on two idle cores.
    Quick,
    /// Each night: one more crash and one more failing operation; its budget is a quarter of an hour.
    Full,
    /// Larger bounds, and simulation of worlds too large to exhaust, for a given time.
    Deep,
}

impl Profile {
    /// As reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Deep => "deep",
        }
    }
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
    /// What stands on the disk at first.
    pub beginning: Beginning,
    /// Storage operations that may fail, in all.
    pub failures_max: u8,
    /// Times that the power, or the process, may go, in all; at any moment, in an opening too.
    pub crashes_max: u8,
    /// What an exploration has to reach besides what its bounds say (`witnesses::expected`).
    pub reaches: &'static [Witness],
    /// Unique states when this was written; another number has to be explained. `None` where the
    /// configuration is not explored whole.
    pub pinned_states: Option<usize>,
}

/// The number under which rules know the snapshot that stood there at first.
pub const OLD_SNAPSHOT: u8 = 7;

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
            let done = index + 1 == self.chunks.len();
            chunks.push(Chunk::new(identity.clone(), offset as u64, data, done));
            offset += length;
        }
        Snapshot {
            identity,
            bytes: self.bytes.to_vec(),
            chunks,
        }
    }
}

/// One system, and the bounds of each of its configurations.
struct Family {
    name: &'static str,
    about: &'static str,
    plans: &'static [Plan],
    transfers_max: usize,
    corruption: Corruption,
    reaches: &'static [Witness],
    bounds: &'static [Bounds],
}

/// One configuration.
struct Bounds {
    profile: Profile,
    persistence: Persistence,
    beginning: Beginning,
    crashes_max: u8,
    failures_max: u8,
    pinned_states: Option<usize>,
}

const fn bounds(
    profile: Profile,
    persistence: Persistence,
    beginning: Beginning,
    crashes_max: u8,
    failures_max: u8,
    pinned_states: usize,
) -> Bounds {
    Bounds {
        profile,
        persistence,
        beginning,
        crashes_max,
        failures_max,
        pinned_states: if pinned_states == 0 { None } else { Some(pinned_states) },
    }
}

use Beginning::{Fresh, Old};
use Persistence::{Ordered, Weak};
use Profile::{Deep, Full, Quick};

const BASE: Plan = Plan {
    cluster: 1,
    database: 0,
    snapshot_lsn: 5,
    bytes: b"abcd",
    chunks: &[2, 2],
};

/// The table of bounds: crashes, failing operations, and the number of states pinned.
const FAMILIES: &[Family] = &[
    Family {
        name: "empty",
        about: "the empty snapshot, and one that a single chunk carries; damage on the way",
        plans: &[
            Plan {
                bytes: b"",
                chunks: &[0],
                ..BASE
            },
            Plan {
                bytes: b"x",
                chunks: &[1],
                snapshot_lsn: 6,
                ..BASE
            },
        ],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Header,
        reaches: &[
            Witness::LimitRefused,
            Witness::OverrunRefused,
            Witness::StaleRefused,
            Witness::CrcVerdict,
            Witness::LengthVerdict,
            Witness::EmptyFinished,
            Witness::Damaged,
            Witness::Replaced,
        ],
        bounds: &[
            bounds(Quick, Ordered, Fresh, 2, 3, 31_764),
            bounds(Quick, Weak, Fresh, 2, 2, 19_825),
            bounds(Quick, Weak, Old, 2, 2, 20_051),
            bounds(Full, Ordered, Old, 3, 3, 50_116),
            bounds(Full, Weak, Fresh, 3, 3, 82_220),
        ],
    },
    Family {
        name: "hostile",
        about: "headers and chunks beyond every limit, and a snapshot that differs in its LSN alone",
        plans: &[
            Plan {
                chunks: &[2, 1, 1],
                ..BASE
            },
            Plan {
                snapshot_lsn: 6,
                ..BASE
            },
        ],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Header,
        reaches: &[
            Witness::LimitRefused,
            Witness::OverrunRefused,
            Witness::IdentityRefused,
            Witness::StaleRefused,
            Witness::CrcVerdict,
            Witness::LengthVerdict,
            Witness::Damaged,
        ],
        bounds: &[
            bounds(Quick, Ordered, Fresh, 0, 1, 11_120),
            bounds(Quick, Weak, Old, 2, 2, 296_581),
            bounds(Full, Weak, Fresh, 3, 3, 939_123),
            bounds(Full, Ordered, Old, 3, 3, 620_464),
        ],
    },
    Family {
        name: "one",
        about: "one snapshot of four chunks, one of them empty; damage on the way",
        plans: &[Plan {
            chunks: &[1, 1, 2, 0],
            ..BASE
        }],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Payload,
        reaches: &[Witness::Reordered, Witness::Damaged, Witness::CrcVerdict],
        bounds: &[
            bounds(Quick, Weak, Fresh, 2, 2, 59_764),
            bounds(Quick, Ordered, Fresh, 2, 2, 54_678),
            bounds(Quick, Ordered, Old, 2, 2, 55_693),
            bounds(Full, Weak, Old, 3, 3, 159_669),
            bounds(Full, Ordered, Fresh, 3, 3, 129_222),
        ],
    },
    Family {
        name: "five",
        about: "one snapshot of five chunks, the first and the last of them empty; damage on the way",
        plans: &[Plan {
            chunks: &[0, 1, 2, 1, 0],
            ..BASE
        }],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Header,
        reaches: &[Witness::Reordered, Witness::Damaged, Witness::CrcVerdict],
        bounds: &[
            bounds(Full, Weak, Fresh, 3, 3, 269_364),
            bounds(Full, Ordered, Old, 3, 3, 226_687),
        ],
    },
    Family {
        name: "identity",
        about: "snapshots that differ in one field of their identity: checksum, cluster",
        plans: &[BASE, Plan { bytes: b"abce", ..BASE }, Plan { cluster: 2, ..BASE }],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Never,
        reaches: &[Witness::IdentityRefused],
        bounds: &[
            bounds(Quick, Ordered, Fresh, 1, 1, 50_410),
            bounds(Quick, Weak, Old, 1, 1, 57_487),
            bounds(Full, Weak, Fresh, 3, 3, 1_788_932),
            bounds(Full, Ordered, Old, 3, 3, 947_137),
        ],
    },
    Family {
        name: "newer",
        about: "a snapshot, a newer one of the same source, and one of another source",
        plans: &[
            BASE,
            Plan {
                bytes: b"wxyz",
                snapshot_lsn: 6,
                ..BASE
            },
            Plan {
                bytes: b"mnop",
                cluster: 2,
                snapshot_lsn: 1,
                ..BASE
            },
        ],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Never,
        reaches: &[Witness::Replaced, Witness::IdentityRefused, Witness::StaleRefused],
        bounds: &[
            bounds(Quick, Weak, Fresh, 2, 2, 597_750),
            bounds(Quick, Ordered, Old, 2, 2, 444_425),
            bounds(Full, Ordered, Fresh, 3, 3, 1_440_502),
            bounds(Full, Weak, Old, 3, 3, 2_556_600),
        ],
    },
    Family {
        name: "places",
        about: "two databases and a place for one transfer",
        plans: &[
            BASE,
            Plan {
                bytes: b"wx",
                database: 1,
                chunks: &[1, 1],
                ..BASE
            },
        ],
        transfers_max: 1,
        corruption: Corruption::Never,
        reaches: &[Witness::PlaceRefused],
        bounds: &[
            bounds(Quick, Weak, Fresh, 2, 2, 1_053_391),
            bounds(Quick, Ordered, Old, 2, 2, 905_600),
            bounds(Full, Ordered, Fresh, 3, 3, 3_911_881),
            bounds(Full, Weak, Old, 3, 3, 5_130_297),
        ],
    },
    Family {
        name: "two",
        about: "two databases, interleaved effect by effect, and a crash of both",
        plans: &[
            BASE,
            Plan {
                bytes: b"wxyz",
                database: 1,
                snapshot_lsn: 9,
                ..BASE
            },
        ],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Never,
        reaches: &[Witness::CommittedAborted],
        bounds: &[
            bounds(Quick, Ordered, Old, 2, 2, 1_637_772),
            bounds(Quick, Weak, Fresh, 2, 2, 1_877_255),
            bounds(Full, Ordered, Fresh, 3, 3, 6_402_121),
            bounds(Full, Weak, Old, 3, 3, 8_233_753),
        ],
    },
    Family {
        name: "three",
        about: "three databases, two places, and a crash of all",
        plans: &[
            Plan {
                bytes: b"ab",
                chunks: &[1, 1],
                ..BASE
            },
            Plan {
                bytes: b"wx",
                database: 1,
                snapshot_lsn: 9,
                chunks: &[1, 1],
                ..BASE
            },
            Plan {
                bytes: b"y",
                database: 2,
                snapshot_lsn: 2,
                chunks: &[1],
                ..BASE
            },
        ],
        transfers_max: 2,
        corruption: Corruption::Never,
        reaches: &[Witness::PlaceRefused],
        bounds: &[
            bounds(Quick, Weak, Fresh, 0, 1, 797_779),
            bounds(Full, Ordered, Old, 1, 1, 8_406_400),
            bounds(Full, Weak, Fresh, 1, 1, 9_120_078),
        ],
    },
    Family {
        name: "mixed",
        about: "a snapshot whose chunks end between two reports, and a newer one of a single chunk; damage on the way",
        plans: &[
            Plan {
                chunks: &[1, 2, 1, 0],
                ..BASE
            },
            Plan {
                bytes: b"x",
                chunks: &[1],
                snapshot_lsn: 6,
                ..BASE
            },
        ],
        transfers_max: DATABASES_MAX,
        corruption: Corruption::Payload,
        reaches: &[
            Witness::Damaged,
            Witness::CrcVerdict,
            Witness::Replaced,
            Witness::StaleRefused,
        ],
        bounds: &[
            bounds(Quick, Weak, Fresh, 2, 2, 393_803),
            bounds(Full, Ordered, Old, 3, 3, 845_476),
        ],
    },
    Family {
        name: "large",
        about: "two databases with two snapshots each and everything that goes wrong at once: simulated, not exhausted",
        plans: &[
            Plan {
                chunks: &[1, 1, 2, 0],
                ..BASE
            },
            Plan {
                bytes: b"wxyz",
                chunks: &[1, 1, 1, 1],
                snapshot_lsn: 6,
                ..BASE
            },
            Plan {
                bytes: b"mnop",
                database: 1,
                chunks: &[2, 1, 1],
                ..BASE
            },
        ],
        transfers_max: 1,
        corruption: Corruption::Header,
        reaches: &[],
        bounds: &[bounds(Deep, Weak, Fresh, 6, 3, 0), bounds(Deep, Ordered, Old, 6, 3, 0)],
    },
];

impl Family {
    fn system<D: Digest>(&self, bounds: &Bounds) -> System {
        assert!(
            self.plans.len() <= SNAPSHOTS_MAX,
            "a world has at most {SNAPSHOTS_MAX} snapshots"
        );
        assert!(
            usize::from(bounds.failures_max) + 2 <= HISTORY_MAX,
            "the disk remembers {HISTORY_MAX} pending names"
        );
        System {
            name: self.name,
            about: self.about,
            snapshots: self.plans.iter().map(|plan| plan.cut::<D>()).collect(),
            transfers_max: self.transfers_max,
            corruption: self.corruption,
            persistence: bounds.persistence,
            beginning: bounds.beginning,
            failures_max: bounds.failures_max,
            crashes_max: bounds.crashes_max,
            reaches: self.reaches,
            pinned_states: bounds.pinned_states,
        }
    }
}

impl System {
    /// The system and its configuration, as in `newer/weak/old/2+1`: crashes and failing operations.
    #[must_use]
    pub fn label(&self) -> String {
        let persistence = match self.persistence {
            Ordered => "ordered",
            Weak => "weak",
        };
        let beginning = match self.beginning {
            Fresh => "fresh",
            Old => "old",
        };
        let (crashes, failures) = (self.crashes_max, self.failures_max);
        format!("{}/{persistence}/{beginning}/{crashes}+{failures}", self.name)
    }

    /// The databases that snapshots are sent for.
    pub fn databases(&self) -> impl Iterator<Item = DatabaseId<u8>> + '_ {
        let sent_for = |number: &u8| {
            self.snapshots
                .iter()
                .any(|snapshot| snapshot.identity.database.number() == *number)
        };
        let numbers = (0u8..).take(DATABASES_MAX);
        numbers.filter(sent_for).map(DatabaseId::<u8>::numbered)
    }

    /// The snapshot that stood there at first.
    #[must_use]
    pub fn old_snapshot<D: Digest>() -> Snapshot {
        Plan {
            bytes: b"old",
            chunks: &[2, 1],
            snapshot_lsn: 1,
            ..BASE
        }
        .cut::<D>()
    }
}

/// The systems of a profile, their declared checksums honest for the receiver's digest: those of
/// the profile itself and of the smaller ones.
#[must_use]
pub fn systems<D: Digest>(profile: Profile) -> Vec<System> {
    let of = |family: &'static Family| {
        let wanted = family.bounds.iter().filter(move |bounds| bounds.profile <= profile);
        wanted.map(move |bounds| family.system::<D>(bounds))
    };
    FAMILIES.iter().flat_map(of).collect()
}

/// Every system once with the smallest bounds at which everything can still go wrong: where seeded
/// bugs are hunted.
#[must_use]
pub fn small_systems<D: Digest>() -> Vec<System> {
    let small = |family: &'static Family| {
        let of = move |persistence, beginning| {
            let bounds = bounds(Quick, persistence, beginning, 1, 1, 0);
            family.system::<D>(&bounds)
        };
        [of(Weak, Fresh), of(Ordered, Old)]
    };
    let exhausted = FAMILIES.iter().filter(|family| !family.reaches.is_empty());
    exhausted.flat_map(small).collect()
}
