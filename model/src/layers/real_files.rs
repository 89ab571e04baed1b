//! Bugs of the executor on real files: what is claimed of each.
//!
//! Guarantees: `tests/faults` seeds every bug of this table and no other, and fails where one is not caught
//! through a clause listed here; those that the model has too have its names. Refuses to know: how a bug is
//! made, and how it is caught; `tests/faults` has both.

use crate::bugs::Claim;

macro_rules! claims {
    ($($name:literal [$($clause:literal)+] [$($incident:literal)*] $about:literal,)+) => {
        &[$(Claim {
            name: $name,
            about: $about,
            clauses: &[$($clause),+],
            incidents: &[$($incident),*],
        }),+]
    };
}

/// All of them.
pub const REAL_FILES: &[Claim] = claims! {
    // Order and durability.
    "SyncSkipped" ["SR-PUB-002"] ["A14" "B10"] "The partial is not synced before the rename.",
    "FlushForSync" ["SR-PUB-001"] ["B10"] "A flush of the handle stands for the sync: the kernel is asked for nothing.",
    "SyncBeforeLastWrite" ["SR-PUB-002"] [] "The partial is synced before its last write.",
    "PublishBeforeSync" ["SR-PUB-002"] [] "The rename comes before the sync.",
    "DirectorySyncSkipped" ["SR-PUB-001" "SR-PUB-003"] ["A14" "B11" "B25" "B27"] "The directory is not synced after the rename.",
    "DirectorySyncBeforePublish" ["SR-PUB-001" "SR-PUB-003"] [] "The directory is synced before the rename.",
    "OldSnapshotRemovedFirst" ["SR-PUB-003"] [] "The old snapshot is unlinked before the new one is durable.",
    "PublishPostponed" ["SR-PUB-001" "SR-PUB-003"] [] "`Committed` is answered, and the rename is done at the next call.",
    "RecoverySkipsReceiveSync" ["SR-PUB-005"] [] "An opening does not sync the receive directory.",
    "RecoverySkipsDataSync" ["SR-PUB-005" "SR-PUB-003"] [] "An opening does not sync the data directory.",
    "RecoverySkipsParentSync" ["SR-PUB-005" "SR-PUB-003"] [] "An opening does not sync the data directory's parent.",
    // Failing calls.
    "WriteFailureIgnored" ["SR-ERR-001"] ["B26"] "A failed write counts as done.",
    "ShortWriteTaken" ["SR-ERR-003"] ["B3"] "A short write counts as whole.",
    "WriteBackFailureIgnored" ["SR-ERR-002"] [] "An error of an early write-back counts as nothing, since the bytes are in the file.",
    "SyncFailureIgnored" ["SR-ERR-002"] ["B24"] "A failed sync counts as done.",
    "SyncRetried" ["SR-ERR-002"] [] "A failed sync is tried again, and then believed.",
    "DirectorySyncFailureIgnored" ["SR-ERR-004"] [] "A failed directory sync counts as done.",
    "DirectorySyncRetried" ["SR-ERR-002" "SR-ERR-004"] [] "A failed directory sync is tried again, and then believed.",
    "RemovalSkipped" ["SR-ERR-001" "SR-ABT-001"] ["B21"] "A transfer ends, and its partial stays.",
    "RemovalFailureIgnored" ["SR-ERR-005"] ["B12"] "A failed removal counts as done.",
    "FullDiskNotToldApart" ["SR-ERR-001"] [] "A full disk is told as any other failure.",
    // Names and places.
    "LinkFollowed" ["SR-SEC-002"] ["A8"] "A partial is created through a link that stands under its name.",
    "LeftoverOpened" ["SR-SEC-002"] [] "What stands under the partial's name is opened as it is.",
    "PublishedThroughLink" ["SR-SEC-002"] [] "The snapshot is copied into whatever stands under its name.",
    "InodeNotCompared" ["SR-SEC-004"] [] "Whatever stands under the partial's name is published.",
    "DirectoryNotCompared" ["SR-SEC-004"] [] "A partial is created wherever the receive directory's path leads now.",
    "ReceiveLinkFollowed" ["SR-SEC-002"] [] "A link in the place of the receive directory is followed.",
    "LockSkipped" ["SR-REC-002"] [] "A second receiver opens beside the first.",
    "LockFileFollowed" ["SR-SEC-002"] [] "A lock file is opened whatever stands under its name, and through a link.",
    "SweptBeforeLock" ["SR-REC-001"] ["B23" "B28"] "An opening sweeps before it has the lock, and takes a live partial.",
    "IdJoinedIntoPath" ["SR-SEC-001" "SR-ADM-001"] ["A5"] "A database id is joined into a path before it is checked.",
    "IdMadeValid" ["SR-ADM-001"] [] "A database id that is not valid is stripped of what is not, and taken.",
    // Recovery.
    "RecoveryKeepsOrphans" ["SR-REC-001"] ["A15" "B14"] "An opening finds no orphan.",
    "RecoverySweepsForeign" ["SR-REC-001"] [] "An opening sweeps every name with `partial` in it.",
    "RecoveryDeletesSnapshot" ["SR-REC-001"] [] "An opening sweeps the snapshots too.",
    "RecoveryStopsAtOrphan" ["SR-REC-003"] ["B4"] "An orphan that cannot be removed refuses the opening.",
    // Bounds.
    "DescriptorKept" ["SR-CON-005"] [] "Every partial's descriptor is kept open.",
    "PayloadKept" ["SR-CON-005"] [] "Every chunk's bytes are kept in memory.",
    "TransferBuffered" ["SR-CON-005"] [] "The bytes of a transfer are kept in memory while it runs.",
    "PlacesUnbounded" ["SR-CON-005"] [] "There is always a place.",
    "ExpiryIgnored" ["SR-CON-006"] [] "An idle transfer goes on.",
};
