//! The bugs seeded against the real files: what each does is in `seam` (between the receiver and its
//! files) and in `subject` (at the receiver's entrances).
//!
//! Guarantees: one variant per claim of the model's table of this layer, by the same name. Refuses to
//! know: which clauses they break (the model's table says that), and how they are caught.

/// A bug of the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    // Order and durability.
    SyncSkipped,
    FlushForSync,
    SyncBeforeLastWrite,
    PublishBeforeSync,
    DirectorySyncSkipped,
    DirectorySyncBeforePublish,
    OldSnapshotRemovedFirst,
    PublishPostponed,
    RecoverySkipsReceiveSync,
    RecoverySkipsDataSync,
    RecoverySkipsParentSync,
    // Failing calls.
    WriteFailureIgnored,
    ShortWriteTaken,
    WriteBackFailureIgnored,
    SyncFailureIgnored,
    SyncRetried,
    DirectorySyncFailureIgnored,
    DirectorySyncRetried,
    RemovalSkipped,
    RemovalFailureIgnored,
    FullDiskNotToldApart,
    // Names and places.
    LinkFollowed,
    LeftoverOpened,
    PublishedThroughLink,
    InodeNotCompared,
    DirectoryNotCompared,
    ReceiveLinkFollowed,
    LockSkipped,
    LockFileFollowed,
    SweptBeforeLock,
    IdJoinedIntoPath,
    IdMadeValid,
    // Recovery.
    RecoveryKeepsOrphans,
    RecoverySweepsForeign,
    RecoveryDeletesSnapshot,
    RecoveryStopsAtOrphan,
    // Bounds.
    DescriptorKept,
    PayloadKept,
    TransferBuffered,
    PlacesUnbounded,
    ExpiryIgnored,
}

impl Flaw {
    pub(crate) const ALL: [Self; 41] = [
        Self::SyncSkipped,
        Self::FlushForSync,
        Self::SyncBeforeLastWrite,
        Self::PublishBeforeSync,
        Self::DirectorySyncSkipped,
        Self::DirectorySyncBeforePublish,
        Self::OldSnapshotRemovedFirst,
        Self::PublishPostponed,
        Self::RecoverySkipsReceiveSync,
        Self::RecoverySkipsDataSync,
        Self::RecoverySkipsParentSync,
        Self::WriteFailureIgnored,
        Self::ShortWriteTaken,
        Self::WriteBackFailureIgnored,
        Self::SyncFailureIgnored,
        Self::SyncRetried,
        Self::DirectorySyncFailureIgnored,
        Self::DirectorySyncRetried,
        Self::RemovalSkipped,
        Self::RemovalFailureIgnored,
        Self::FullDiskNotToldApart,
        Self::LinkFollowed,
        Self::LeftoverOpened,
        Self::PublishedThroughLink,
        Self::InodeNotCompared,
        Self::DirectoryNotCompared,
        Self::ReceiveLinkFollowed,
        Self::LockSkipped,
        Self::LockFileFollowed,
        Self::SweptBeforeLock,
        Self::IdJoinedIntoPath,
        Self::IdMadeValid,
        Self::RecoveryKeepsOrphans,
        Self::RecoverySweepsForeign,
        Self::RecoveryDeletesSnapshot,
        Self::RecoveryStopsAtOrphan,
        Self::DescriptorKept,
        Self::PayloadKept,
        Self::TransferBuffered,
        Self::PlacesUnbounded,
        Self::ExpiryIgnored,
    ];

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }
}
