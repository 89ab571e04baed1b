//! SR-ADM, and the bound on transfers.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{Source, Writer, open, receive, source};
use crate::conform::process::FILES_OPEN_MAX;
use crate::conform::run::{CHUNK_SENT_MAX, TRANSFERS_STARTED_MAX};
use crate::conform::scenario::{Data, Limit, Scenario, Step, Thing};
use crate::conform::talk::About;

pub(super) fn scenarios(about: &About) -> Vec<Scenario> {
    let mut to = Writer::new();
    ids(&mut to);
    limits(&mut to, about);
    overruns(&mut to);
    refusals(&mut to);
    reasons(&mut to);
    transfers(&mut to, about);
    descriptors(&mut to);
    to.all
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn ids(to: &mut Writer) {
    let long = "d".repeat(201);
    let evil = [
        ("empty", ""),
        ("dot", "."),
        ("dot-dot", ".."),
        ("hidden", ".hidden"),
        ("slash", "a/b"),
        ("backslash", "a\\b"),
        ("space", "a b"),
        ("leading-space", " a"),
        ("trailing-newline", "db\n"),
        ("nul", "db\0x"),
        ("colon", "a:b"),
        ("letter-beyond-ascii", "d\u{e9}"),
        ("digit-beyond-ascii", "d\u{663}"),
        ("wide-letter", "\u{ff41}b"),
        ("at-sign", "a@b"),
        ("too-long", &long),
    ];
    for (name, id) in evil {
        let source = source(5, "abc").of(id);
        to.put(
            &format!("SR-ADM-001/database-id-{name}"),
            "a database id that is not valid is rejected, and no file is made",
            [open(), source.start(1), source.whole()],
        );
    }
    let longest = "z".repeat(200);
    let valid = [
        ("shortest", "x"),
        ("longest", &longest),
        ("all-kinds", "AZ.az_09-"),
        ("leading-dash", "-rf"),
        ("leading-underscore", "_"),
        ("trailing-dot", "a."),
        ("dots-inside", "a..b"),
        ("like-a-partial", "db.partial"),
        ("like-a-snapshot", "db.snapshot"),
        ("digits", "0"),
    ];
    for (name, id) in valid {
        let source = source(5, "abcdef").of(id);
        to.put(
            &format!("SR-ADM-001/valid-database-id-{name}"),
            "a valid database id is accepted, and names its files",
            [open(), source.start(3), source.rest(3)],
        );
    }
    let (too_long, too_many_bytes) = ("c".repeat(201), "\u{e9}".repeat(101));
    for (name, id) in [
        ("empty", ""),
        ("too-long", &too_long),
        ("too-many-bytes", &too_many_bytes),
    ] {
        let source = source(5, "abc").in_cluster(id);
        to.put(
            &format!("SR-ADM-001/cluster-id-{name}"),
            "a cluster id that is not 1 to 200 bytes is rejected",
            [open(), source.start(1), source.whole()],
        );
    }
    let (longest, most_bytes) = ("c".repeat(200), "\u{e9}".repeat(100));
    for (name, id) in [
        ("longest", longest.as_str()),
        ("most-bytes", &most_bytes),
        ("any-text", "../ \u{1f980}\n"),
    ] {
        let source = source(5, "abc").in_cluster(id);
        to.put(
            &format!("SR-ADM-001/valid-cluster-id-{name}"),
            "a cluster id is any 1 to 200 bytes of UTF-8",
            [open(), source.start(1), source.rest(1)],
        );
    }
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn limits(to: &mut Writer, about: &About) {
    let most = about.snapshot_bytes_max;
    let most_or_none = most.unwrap_or(1);
    if most_or_none < u64::MAX {
        let over = source(5, "ab").of_total(most_or_none + 1);
        to.limited(
            Some(Limit::SnapshotBytes),
            "SR-ADM-002/total-above-limit",
            "a start that declares more than snapshot_bytes_max is rejected",
            [open(), over.start(2)],
        );
        let small = source(5, "abcd");
        to.limited(
            Some(Limit::SnapshotBytes),
            "SR-ADM-002/total-above-limit-while-running",
            "and the transfer that runs goes on",
            [open(), small.start(2), over.start(2), small.rest(2)],
        );
        to.limited(
            Some(Limit::SnapshotBytes),
            "SR-ADM-004/after-total-above-limit",
            "a start that declares too much changes nothing: the right chunk after it commits",
            [open(), small.start(2), over.start(2), small.rest(2)],
        );
        let huge = source(5, "ab").of_total(u64::MAX);
        to.limited(
            Some(Limit::SnapshotBytes),
            "SR-ADM-002/total-of-all-ones",
            "the largest total of all is rejected",
            [open(), huge.start(2)],
        );
    }
    if most.is_some_and(|most| most > 2) {
        let at = source(5, "ab").of_total(most_or_none);
        to.limited(
            Some(Limit::SnapshotBytes),
            "SR-ADM-002/total-at-limit",
            "a start that declares exactly snapshot_bytes_max is admitted, and nothing is allocated for it",
            [open(), at.start(2)],
        );
    }
    let longest = about.chunk_bytes_max.unwrap_or(1);
    let fits = about.snapshot_bytes_max.is_none_or(|most| longest < most);
    if longest < CHUNK_SENT_MAX && fits {
        let total = longest + 1;
        let over = patterned(total, 0, total, true);
        let small = source(5, "abcd").of("other");
        to.limited(
            Some(Limit::ChunkBytes),
            "SR-ADM-002/chunk-above-limit",
            "a chunk longer than chunk_bytes_max is rejected",
            [open(), over],
        );
        to.limited(
            Some(Limit::ChunkBytes),
            "SR-ADM-002/chunk-at-limit",
            "a chunk of exactly chunk_bytes_max is admitted",
            [open(), patterned(total, 0, longest, false)],
        );
        if longest > 4 {
            to.limited(
                Some(Limit::ChunkBytes),
                "SR-ADM-004/after-chunk-above-limit",
                "a chunk that is too long changes nothing: the right one after it commits",
                [open(), small.start(2), too_long(&small, total), small.rest(2)],
            );
            to.limited(
                Some(Limit::ChunkBytes),
                "SR-ADM-002/continuation-above-limit",
                "a continuation longer than chunk_bytes_max is rejected, and the right one is taken",
                [open(), small.start(2), too_long(&small, total), small.rest(2)],
            );
            to.limited(
                Some(Limit::ChunkBytes),
                "SR-ADM-005/resume-offset-of-a-long-chunk",
                "the source of a chunk that is too long is told where its transfer goes on",
                [open(), small.start(2), too_long(&small, total)],
            );
        }
        let room = small.clone().of_total(longest.saturating_add(8));
        if longest > 4 && about.snapshot_bytes_max.is_none_or(|most| room.total <= most) {
            to.limited(
                Some(Limit::ChunkBytes),
                "SR-ADM-002/continuation-above-limit-within-its-total",
                "also where the total has room for it",
                [open(), room.start(2), too_long(&room, total), room.part(2, 2)],
            );
        }
    }
}

/// A chunk of patterned content, its total's checksum declared rightly.
fn patterned(total: u64, from: u64, length: u64, done: bool) -> Step {
    let crc = crc32c::crc32c(&crate::conform::scenario::pattern(0, total));
    let mut envelope = source(5, "").of_total(total).declaring(crc).envelope(from, "", done);
    envelope.data = Data::Pattern { from, length };
    Step::Chunk { envelope }
}

/// A continuation of that many bytes.
fn too_long(source: &Source, length: u64) -> Step {
    let mut envelope = source.envelope(2, "", false);
    envelope.data = Data::Pattern { from: 0, length };
    Step::Chunk { envelope }
}

fn overruns(to: &mut Writer) {
    let source = source(5, "abcdef");
    to.put(
        "SR-ADM-003/at-start",
        "a start longer than its total is rejected, and no file is made",
        [open(), source.at(0, "abcdefg", false)],
    );
    to.put(
        "SR-ADM-003/at-start-done",
        "a whole snapshot and a byte more is rejected",
        [open(), source.at(0, "abcdefg", true)],
    );
    let honest = crc32c::crc32c(b"abcdefg");
    to.put(
        "SR-ADM-003/with-the-long-checksum",
        "even where the checksum is of all the bytes sent",
        [
            open(),
            source.clone().declaring(honest).start(3),
            source.clone().declaring(honest).at(3, "defg", true),
        ],
    );
    to.put(
        "SR-ADM-003/continuation",
        "a continuation past the total is rejected before a byte is written, and the right one is taken",
        [open(), source.start(3), source.at(3, "defg", false), source.rest(3)],
    );
    to.put(
        "SR-ADM-003/past-a-complete-one",
        "all bytes are there, and one more comes",
        [
            open(),
            source.start(6),
            source.at(6, "g", false),
            source.at(6, "g", true),
            source.at(6, "", true),
        ],
    );
    to.put(
        "SR-ADM-003/of-none",
        "a snapshot of no bytes takes none",
        [open(), super::source(5, "").at(0, "a", false)],
    );
    to.put(
        "SR-ADM-003/running-on-start",
        "a start past its total is rejected, and the transfer that runs goes on",
        [open(), source.start(3), source.at(0, "abcdefg", true), source.rest(3)],
    );
}

fn refusals(to: &mut Writer) {
    let one = source(5, "abcdef");
    let wrong = [
        ("gap", one.at(4, "ef", true)),
        ("duplicate", one.at(0, "abcdefgh", false)),
        ("overlap", one.at(2, "cdef", true)),
        ("another-cluster", one.clone().in_cluster("other").rest(3)),
        ("another-lsn", Source { lsn: 6, ..one.clone() }.rest(3)),
        ("another-total", one.clone().of_total(7).at(3, "defg", true)),
        ("another-checksum", one.clone().declaring(1).rest(3)),
        ("overrun", one.at(3, "defg", true)),
        ("database-id", one.clone().of("../db").rest(3)),
        ("cluster-id", one.clone().in_cluster("").rest(3)),
        ("the-last-offset", one.at(u64::MAX, "d", false)),
        ("the-largest-signed-offset", one.at(1 << 63, "d", false)),
        ("offset-3-past-32-bits", one.at((1 << 32) + 3, "def", true)),
    ];
    for (name, refused) in wrong {
        to.put(
            &format!("SR-ADM-004/after-{name}"),
            "a refused envelope changes nothing: the right one after it commits",
            [open(), one.start(3), refused, one.rest(3)],
        );
    }
    to.put(
        "SR-ADM-004/where-nothing-runs",
        "a refused continuation leaves no file, and the start after it is the first",
        [open(), one.part(3, 2), one.rest(3), one.start(3), one.rest(3)],
    );
    let other = source(5, "uvwxyz").of("other");
    to.put(
        "SR-ADM-004/another-transfer",
        "a refused envelope leaves the transfer of another database alone",
        [
            open(),
            other.start(3),
            one.at(3, "def", true),
            one.at(0, "abcdefg", false),
            other.rest(3),
        ],
    );
    to.put(
        "SR-ADM-004/older-start",
        "a refused older start leaves the running transfer",
        [open(), one.start(3), source(4, "uvw").start(2), one.rest(3)],
    );
    to.put(
        "SR-ADM-004/after-a-commit",
        "a refused start leaves the snapshot, and what is known of it",
        [
            open(),
            one.start(3),
            one.rest(3),
            one.at(0, "abcdefgh", false),
            one.at(2, "c", false),
        ],
    );
    to.put(
        "SR-ADM-004/a-file-that-stands-there",
        "a refused start removes nothing that has the partial's name",
        [
            open(),
            super::place(&receive("db.partial"), Thing::File("somebody's".to_owned())),
            one.at(0, "abcdefgh", false),
            one.at(3, "def", true),
        ],
    );
}

fn reasons(to: &mut Writer) {
    let one = source(5, "abcdef");
    let order = [
        (
            "database-id-before-cluster-id",
            one.clone().of("").in_cluster("").start(3),
        ),
        (
            "no-transfer-before-overrun",
            one.clone().of("none").at(3, "defghi", false),
        ),
        ("offset-before-overrun", one.at(5, "fg", false)),
        (
            "identity-before-offset",
            one.clone().in_cluster("other").at(4, "ef", true),
        ),
        ("identity-before-overrun", one.clone().declaring(1).at(3, "defg", true)),
        ("overrun-before-stale", source(4, "ab").at(0, "abc", false)),
    ];
    for (name, step) in order {
        to.put(
            &format!("SR-ADM-005/{name}"),
            "only the first broken rule is reported, with its values and where the source can go on",
            [open(), one.start(3), step],
        );
    }
    resume_offsets(to, &one);
    let check = source(5, "123456789");
    to.put(
        "SR-ADM-005/checksums-are-unsigned",
        "checksums are told as they are, their highest bit set or not",
        [
            open(),
            check.clone().declaring(u32::MAX).whole(),
            check.declaring(1).whole(),
        ],
    );
    to.put(
        "SR-ADM-005/verdicts",
        "verdicts name both sides, and send the source back to 0",
        [
            open(),
            one.start(3),
            one.at(3, "d", true),
            one.start(3),
            one.at(3, "xyz", true),
        ],
    );
}

fn resume_offsets(to: &mut Writer, one: &Source) {
    to.put(
        "SR-ADM-005/resume-offset",
        "a source of the running transfer is told where to go on, any other 0",
        [
            open(),
            one.start(3),
            one.at(1, "bc", false),
            one.clone().in_cluster("other").at(3, "d", false),
            one.at(0, "abcdefg", false),
        ],
    );
    let other = source(7, "uvwxyz").of("other");
    to.put(
        "SR-ADM-005/resume-offset-beside-another",
        "each is told where its own transfer goes on",
        [
            open(),
            one.start(3),
            other.start(5),
            one.at(1, "bc", false),
            other.at(1, "vw", false),
            one.at(3, "defg", false),
        ],
    );
    to.put(
        "SR-ADM-005/older-start",
        "an older start is sent back to 0, wherever the newer transfer is",
        [open(), one.start(3), source(4, "older").start(2)],
    );
}

/// However an attempt ends, its file is closed: more attempts than a process may have files open.
fn descriptors(to: &mut Writer) {
    let one = source(5, "abcd");
    let ways = [
        ("a-restart", vec![one.start(1)]),
        ("a-commit", vec![one.whole()]),
        ("a-verdict", vec![one.at(0, "a", true)]),
        ("an-abort", vec![one.start(1), super::abort("db")]),
    ];
    for (name, steps) in ways {
        let times = u64::from(FILES_OPEN_MAX);
        to.put(
            &format!("SR-CON-005/{name}-closes-its-file"),
            "open files are bounded: an attempt that ended has none",
            [open(), Step::Repeat { times, steps }, one.whole()],
        );
    }
}

fn transfers(to: &mut Writer, about: &About) {
    let most = about.transfers_max.unwrap_or(1);
    if most > TRANSFERS_STARTED_MAX {
        return;
    }
    let numbered = source(5, "abcd").of("db-{n}");
    let fill = || Step::Repeat {
        times: most,
        steps: vec![numbered.start(1)],
    };
    let more = source(5, "xyz").of("more");
    to.limited(
        Some(Limit::Transfers),
        "SR-CON-005/one-too-many",
        "past transfers_max a start is refused, and the others go on",
        [open(), fill(), more.start(1), numbered.clone().of("db-0").rest(1)],
    );
    to.limited(
        Some(Limit::Transfers),
        "SR-CON-005/one-refused-where-nothing-else-is-wrong",
        "a whole snapshot in one chunk is a transfer like any other",
        [open(), fill(), more.whole()],
    );
    if most > 0 {
        to.limited(
            Some(Limit::Transfers),
            "SR-CON-005/a-restart-is-never-one-too-many",
            "a start for a database that has a transfer takes its place",
            [open(), fill(), numbered.clone().of("db-0").start(2)],
        );
        to.limited(
            Some(Limit::Transfers),
            "SR-CON-005/a-commit-frees-a-place",
            "a commit frees a place",
            [open(), fill(), numbered.clone().of("db-0").rest(1), more.start(1)],
        );
        to.limited(
            Some(Limit::Transfers),
            "SR-CON-005/a-verdict-frees-a-place",
            "a verdict frees a place",
            [
                open(),
                fill(),
                numbered.clone().of("db-0").at(1, "", true),
                more.start(1),
            ],
        );
        to.limited(
            Some(Limit::Transfers),
            "SR-CON-005/an-abort-frees-a-place",
            "an abort frees a place",
            [open(), fill(), super::abort("db-0"), more.start(1)],
        );
        let failing = source(5, "abcd").of("failing");
        let failures = Step::Repeat {
            times: most,
            steps: vec![failing.start(1)],
        };
        to.limited(
            Some(Limit::Transfers),
            "SR-CON-005/a-failure-frees-a-place",
            "an attempt whose create failed holds no place",
            [
                open(),
                super::place(&receive("failing.partial"), Thing::Directory),
                failures,
                more.start(1),
            ],
        );
    }
}
