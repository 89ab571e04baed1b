//! Seeded bugs: one table, with what each breaks and which incident it retells.
//!
//! Guarantees: without a bug, nothing here changes anything. Refuses to know: how a bug is made
//! (`mistakes`), and how it is caught (`hunt`).

pub mod hunt;
pub mod mistakes;

pub use mistakes::NoDigest;

macro_rules! bugs {
    ($($name:ident [$($clause:literal)+] [$($incident:literal)*] $about:literal,)+) => {
        /// A bug between the receiver and the world.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Bug {
            $(#[doc = $about] $name,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// What it does, in a phrase.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)+ }
            }

            /// The clauses that it breaks; a rule of one of them has to catch it.
            #[must_use]
            pub const fn clauses(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($clause),+],)+ }
            }

            /// The incidents that it retells; INCIDENTS in SPEC.md has their sources.
            #[must_use]
            pub const fn incidents(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($incident),*],)+ }
            }

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

bugs! {
    // Admission.
    LimitsIgnored ["SR-ADM-002"] [] "Chunks and snapshots may have any size.",
    OverrunAccepted ["SR-ADM-003"] ["A2" "B13"] "Bytes past the declared total are taken, and the total with them.",
    StartOverrunAccepted ["SR-ADM-003"] [] "A start may carry more bytes than it declares.",
    RefusalEndsTransfer ["SR-ADM-004"] [] "A refusal ends the transfer.",
    ResumeOffsetWrong ["SR-ADM-005"] [] "Every rejection sends the source back to 0.",
    // Offsets.
    RestartKeepsOffset ["SR-OFF-001" "SR-OFF-004"] [] "A start keeps the old offset.",
    RestartIgnored ["SR-OFF-001"] ["B17"] "A start is refused while a transfer runs.",
    LateChunkReopens ["SR-OFF-002"] ["B18"] "A late chunk opens a transfer again.",
    GapAccepted ["SR-OFF-003"] ["B9"] "A chunk after a gap is taken as if it came at the next offset.",
    DuplicateCountedTwice ["SR-OFF-003"] ["A9"] "A chunk that came already counts again.",
    OverlapRewritten ["SR-OFF-003"] [] "A chunk before the next offset is written again, and the offset goes back.",
    DuplicateFedTwice ["SR-CRC-001" "SR-ADM-004" "SR-OFF-003"] [] "A chunk that came already is refused, but its bytes are in the checksum.",
    CommitNamesAnother ["SR-OFF-005"] [] "`Committed` names the LSN of the commit before.",
    ReplyBeforeEffects ["SR-OFF-004"] [] "The reply comes before the effects.",
    LeftoverOpened ["SR-SEC-002"] [] "What stands under the partial's name is opened as it is.",
    ShortWriteTaken ["SR-ERR-003" "SR-OFF-004"] ["B3"] "A short write counts as whole.",
    WriteFailureIgnored ["SR-ERR-001" "SR-OFF-004"] ["B26"] "A failed write counts as done.",
    // Identity.
    IdentityNotCompared ["SR-IDN-001"] ["A3"] "A chunk of another snapshot is taken as if it were the transfer's.",
    ClusterNotCompared ["SR-IDN-001"] [] "The cluster of a continuation is not compared.",
    LsnNotCompared ["SR-IDN-001"] [] "The LSN of a continuation is not compared.",
    TotalNotCompared ["SR-IDN-001"] [] "The total of a continuation is not compared.",
    DeclaredCrcNotCompared ["SR-IDN-001"] [] "The declared checksum of a continuation is not compared.",
    LaterHeaderOverrides ["SR-IDN-001"] [] "The header of a continuation overrides the first.",
    WrittenIntoAnother ["SR-IDN-002"] ["A4"] "A chunk is written into the partial of the database that started last.",
    AbortEndsAnother ["SR-IDN-002"] [] "An abort takes another database's partial with it.",
    SweepAtStart ["SR-IDN-002"] ["B23" "B28"] "Each start sweeps orphans, and takes a live partial for one.",
    RepeatRefused ["SR-IDN-003"] ["A7" "B5" "B7"] "A repeated final chunk is refused.",
    RepeatTakenByLsn ["SR-OFF-002" "SR-IDN-003"] [] "A late final chunk of another snapshot is answered `Committed` if it has the LSN of the last.",
    StaleAccepted ["SR-IDN-004"] ["A6" "B8"] "A start may always be older.",
    // Length and checksum.
    DoneAcceptedEarly ["SR-LEN-001"] ["A1" "B22"] "`done` ends a snapshot however few bytes came.",
    ShortnessNotTold ["SR-LEN-001"] [] "`done` with too few bytes is judged by its checksum alone.",
    CrcRestartedPerChunk ["SR-CRC-001"] ["B2"] "The checksum begins again with every chunk.",
    DigestLeaks ["SR-CRC-001"] ["B19"] "A start keeps the old checksum.",
    EmptyNeverCompletes ["SR-CRC-003"] [] "A snapshot of no bytes stays pending.",
    // Publication.
    SyncSkipped ["SR-PUB-002"] ["A14" "B10"] "The partial is not synced before the rename.",
    SyncBeforeLastWrite ["SR-PUB-002"] [] "The partial is synced before its last write.",
    PublishBeforeSync ["SR-PUB-002"] [] "The rename comes before the sync.",
    DirectorySyncSkipped ["SR-PUB-001"] ["A14" "B11" "B25" "B27"] "The directory is not synced after the rename.",
    DirectorySyncBeforePublish ["SR-PUB-001"] [] "The directory is synced before the rename.",
    CommittedBeforeDirectorySync ["SR-PUB-001"] [] "`Committed` is answered before the directory is synced.",
    OldSnapshotRemovedFirst ["SR-PUB-003"] [] "The old snapshot is unlinked before the new one is durable.",
    RestartKeepsFile ["SR-PUB-004"] ["B6"] "A start while a transfer runs goes on in its file.",
    // Abort.
    AbortKeepsPartial ["SR-ABT-001"] ["B21"] "An abort removes nothing.",
    AbortKeepsTransfer ["SR-ABT-001"] ["B16"] "An abort is answered, and the transfer keeps its place.",
    AbortHidesFailure ["SR-ABT-001" "SR-ERR-005"] ["B12"] "An abort whose removal fails is answered `Aborted`.",
    AbortRemovesSnapshot ["SR-ABT-002"] [] "An abort takes the snapshot with it.",
    AbortOfNothingFails ["SR-ABT-003"] [] "An abort where nothing runs is refused.",
    // Failures.
    FailureIgnored ["SR-ERR-001"] ["B1"] "A failed operation is taken for a successful one.",
    FailureWedges ["SR-ERR-001"] ["A12"] "A failed operation is answered, and the attempt stays without its file.",
    SyncFailureIgnored ["SR-ERR-002"] ["B24"] "A failed sync counts as done.",
    SyncRetried ["SR-ERR-002"] [] "A failed sync is tried again, and then believed.",
    DirectorySyncFailureIgnored ["SR-ERR-004" "SR-PUB-001"] [] "A failed directory sync counts as done.",
    FailedPublishLeavesPartial ["SR-ERR-005"] ["A16"] "A failed rename forgets the transfer and leaves its partial.",
    OwedRemovalForgotten ["SR-ERR-005"] [] "A failed removal is forgotten.",
    RestartDisownsPartial ["SR-ERR-005" "SR-ABT-001"] [] "A failed removal is forgotten where a start's only chunk got a verdict.",
    RemovalHidesCause ["SR-ERR-005"] [] "A failed removal takes the place of the first cause.",
    // The state machine and its bounds.
    CommitForgotten ["SR-CON-001"] [] "A commit is not remembered.",
    PanicsOnStale ["SR-CON-003"] ["A13"] "An older start panics.",
    PlacesUnbounded ["SR-CON-005"] [] "There is always a place.",
    ExpiryIgnored ["SR-CON-006"] [] "An idle transfer goes on.",
    // Recovery.
    RecoverySkipsReceiveSync ["SR-PUB-005"] [] "An opening does not sync the receive directory.",
    RecoverySkipsDataSync ["SR-PUB-005"] [] "An opening does not sync the data directory.",
    RecoverySkipsParentSync ["SR-PUB-005"] [] "An opening does not sync the data directory's parent.",
    RecoveryKeepsOrphans ["SR-REC-001"] ["A15" "B14"] "An opening finds no orphan.",
    RecoveryDeletesSnapshot ["SR-REC-001" "SR-ABT-002"] [] "An opening sweeps the snapshots too.",
    OrphanForgotten ["SR-REC-001" "SR-ERR-005"] [] "An orphan that could not be removed is not owed.",
    RecoveryStopsAtOrphan ["SR-REC-003"] ["B4"] "An orphan that cannot be removed refuses the opening.",
    // Progress.
    ReportCounterReset ["SR-PRG-001"] [] "Reports start again from 0 with every chunk.",
    ReportCountRounded ["SR-PRG-001"] [] "After a report the count goes on from the last whole step, not from the bytes reported.",
    RestartKeepsReports ["SR-PRG-001"] [] "A start keeps the count of the old attempt's reports.",
    ReportsRunAhead ["SR-PRG-001"] [] "The total is reported when the first bytes are in.",
    FollowingEarly ["SR-PRG-002"] [] "`Following` is reported when all bytes are in, before the commit.",
    FollowingTwice ["SR-PRG-002"] [] "`Following` is reported twice.",
    FollowingMissing ["SR-PRG-002"] [] "`Following` is not reported.",
    // Liveness.
    NeverDone ["SR-LIV-001"] [] "The last chunk is taken as pending.",
    LeftoverBlocksCreate ["SR-LIV-001"] ["B15"] "A leftover under the partial's name fails every start.",
}

impl Bug {
    /// The bug of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

/// The digest that finds every snapshot right, as the table of bugs has it.
pub const NO_DIGEST: Claim = Claim {
    name: "NoDigest",
    about: "Every checksum is found right.",
    clauses: &["SR-CRC-002"],
    incidents: &[],
};

/// What is claimed of a seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The clauses that it breaks.
    pub clauses: &'static [&'static str],
    /// The incidents that it retells.
    pub incidents: &'static [&'static str],
}

impl From<Bug> for Claim {
    fn from(bug: Bug) -> Self {
        Self {
            name: bug.name(),
            about: bug.about(),
            clauses: bug.clauses(),
            incidents: bug.incidents(),
        }
    }
}

/// What is claimed of every seeded bug.
#[must_use]
pub fn claims() -> Vec<Claim> {
    Bug::ALL.iter().copied().map(Claim::from).chain([NO_DIGEST]).collect()
}

/// A set of bugs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bugs(u128);

impl Bugs {
    /// The receiver as it is.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// These bugs together.
    #[must_use]
    pub const fn of(bugs: &[Bug]) -> Self {
        let (mut set, mut index) = (0, 0);
        while index < bugs.len() {
            set |= 1 << bugs[index] as u32;
            index += 1;
        }
        Self(set)
    }

    /// The design that this project starts from (INCIDENTS A), in the vocabulary of this one: its
    /// rules of admission, the order of its effects, and what it does after a failure.
    #[must_use]
    pub const fn starting_design() -> Self {
        Self::of(&[
            Bug::DoneAcceptedEarly,
            Bug::OverrunAccepted,
            Bug::IdentityNotCompared,
            Bug::WrittenIntoAnother,
            Bug::StaleAccepted,
            Bug::RepeatRefused,
            Bug::FailureWedges,
            Bug::SyncSkipped,
            Bug::DirectorySyncSkipped,
            Bug::RecoveryKeepsOrphans,
            Bug::RecoverySkipsReceiveSync,
            Bug::RecoverySkipsDataSync,
            Bug::RecoverySkipsParentSync,
            Bug::FailedPublishLeavesPartial,
        ])
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn has(self, bug: Bug) -> bool {
        self.0 & (1 << bug as u32) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The bugs of the set.
    pub fn iter(self) -> impl Iterator<Item = Bug> {
        Bug::ALL.iter().copied().filter(move |bug| self.has(*bug))
    }
}

impl From<Bug> for Bugs {
    fn from(bug: Bug) -> Self {
        Self::of(&[bug])
    }
}
