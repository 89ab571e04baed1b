//! SR-IDN.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Source, Writer, abort, open, open_at, place, receive, source, take_away};
use crate::conform::scenario::{Scenario, Step, Thing};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    other_headers(&mut to);
    replaced(&mut to);
    other_databases(&mut to);
    repetitions(&mut to);
    older_ones(&mut to);
    to.all
}

fn other_headers(to: &mut Writer) {
    let one = source(5, "abcdef");
    let others = [
        ("cluster", one.clone().in_cluster("stage")),
        ("cluster-case", one.clone().in_cluster("Prod")),
        ("cluster-prefix", one.clone().in_cluster("pro")),
        ("newer-lsn", Source { lsn: 6, ..one.clone() }),
        ("older-lsn", Source { lsn: 4, ..one.clone() }),
        (
            "lsn-past-32-bits",
            Source {
                lsn: (1 << 32) + 5,
                ..one.clone()
            },
        ),
        ("larger-total", one.clone().of_total(7)),
        ("total-past-16-bits", one.clone().of_total(65536 + 6)),
        ("total-past-32-bits", one.clone().of_total((1 << 32) + 6)),
        ("smaller-total", one.clone().of_total(5)),
        ("checksum", one.clone().declaring(one.crc ^ 1)),
        ("checksum-high-bit", one.clone().declaring(one.crc ^ (1 << 31))),
    ];
    for (name, other) in others {
        to.put(
            &format!("SR-IDN-001/{name}"),
            "a continuation of another snapshot is rejected, and the right one is taken",
            [
                open(),
                one.start(3),
                other.at(3, "d", false),
                one.part(3, 1),
                one.rest(4),
            ],
        );
        to.put(
            &format!("SR-IDN-001/{name}-done"),
            "so is one that would end it",
            [open(), one.start(3), other.at(3, "de", true), one.rest(3)],
        );
    }
}

/// A source whose transfer was replaced has none any more.
fn replaced(to: &mut Writer) {
    let one = source(5, "abcdef");
    let other = source(9, "uvwxyz").in_cluster("other");
    to.put(
        "SR-IDN-001/of-what-another-cluster-replaced",
        "a continuation of a transfer that another cluster's start replaced is rejected",
        [open(), one.start(3), other.start(3), one.part(3, 1), other.rest(3)],
    );
}

/// Ids that a careless folding, clean-up or shortening makes one file or one state of. Those that differ
/// in case alone are left out where the file system does not tell them apart (`run::share_a_name`).
fn names_that_could_be_one(to: &mut Writer) {
    let long = "z".repeat(199);
    let alike = [
        ("but-for-case", "db", "Db"),
        ("but-for-case-beyond-the-first-letter", "db_o1", "dB_o1"),
        ("but-for-punctuation", "d_b", "d.b"),
        ("but-for-a-dash", "d_b", "d-b"),
        ("but-for-a-trailing-dot", "db", "db."),
        ("but-for-leading-zeros", "7", "007"),
        (
            "but-for-the-last-of-200-letters",
            &format!("{long}a"),
            &format!("{long}b"),
        ),
    ];
    for (name, first, second) in alike {
        let (one, two) = (source(5, "abcdef").of(first), source(9, "uvwxyz12").of(second));
        to.put(
            &format!("SR-IDN-002/equal-{name}"),
            "ids that differ in anything are two databases, each with its own transfer and files",
            [open(), one.start(3), two.start(2), one.rest(3), two.rest(2)],
        );
        to.put(
            &format!("SR-ABT-001/of-one-equal-{name}"),
            "an abort of one leaves the other's transfer",
            [open(), one.start(3), two.start(2), abort(first), two.rest(2)],
        );
    }
}

fn other_databases(to: &mut Writer) {
    let (one, two) = (source(5, "abcdef").of("one"), source(9, "123456789").of("two"));
    to.put(
        "SR-IDN-002/interleaved",
        "interleaved, each commits its own bytes",
        [
            open(),
            one.start(2),
            two.start(4),
            one.part(2, 2),
            two.part(4, 4),
            one.rest(4),
            two.rest(8),
        ],
    );
    to.put(
        "SR-IDN-002/a-start-beside",
        "a start of another database leaves this one's transfer",
        [open(), one.start(3), two.start(3), one.rest(3)],
    );
    to.put(
        "SR-IDN-002/a-start-again-beside",
        "a start in place of another database's running transfer leaves this one's",
        [
            open(),
            one.start(3),
            two.start(3),
            two.start(4),
            one.rest(3),
            two.rest(4),
        ],
    );
    to.put(
        "SR-IDN-002/a-commit-beside",
        "a commit of another database leaves this one's transfer",
        [open(), one.start(3), two.whole(), one.rest(3)],
    );
    to.put(
        "SR-IDN-002/a-verdict-beside",
        "a verdict on another database leaves this one's transfer",
        [open(), one.start(3), two.start(3), two.at(3, "", true), one.rest(3)],
    );
    to.put(
        "SR-IDN-002/an-abort-beside",
        "an abort of another database leaves this one's transfer",
        [open(), one.start(3), two.start(3), abort("two"), one.rest(3)],
    );
    to.put(
        "SR-IDN-002/names-that-begin-alike",
        "databases whose names begin alike are two",
        [
            open(),
            source(5, "abcdef").of("db").start(3),
            source(5, "uvw").of("db.partial").whole(),
            source(5, "xyz").of("db-").start(1),
            source(5, "abcdef").of("db").rest(3),
            source(5, "xyz").of("db-").rest(1),
        ],
    );
    names_that_could_be_one(to);
    to.put(
        "SR-IDN-002/an-older-lsn-beside",
        "LSNs of different databases are not compared",
        [open(), two.whole(), one.start(3), one.rest(3)],
    );
    to.put(
        "SR-IDN-002/a-continuation-of-the-other",
        "a transfer of one database does not make continuations of another right",
        [open(), one.start(3), source(5, "abcdef").of("two").rest(3), one.rest(3)],
    );
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn repetitions(to: &mut Writer) {
    let (one, two) = (source(5, "abcdef"), source(6, "uvwxyz"));
    to.put(
        "SR-IDN-003/once-more",
        "a final chunk sent again after its commit is answered committed again, and touches nothing",
        [open(), one.start(3), one.rest(3), one.rest(3), one.rest(3)],
    );
    to.put(
        "SR-IDN-003/empty-final-chunk",
        "an empty final chunk too",
        [open(), one.start(6), one.at(6, "", true), one.at(6, "", true)],
    );
    to.put(
        "SR-IDN-003/after-an-abort",
        "an abort does not end that",
        [open(), one.start(3), one.rest(3), ABORT_ALL, one.rest(3)],
    );
    to.put(
        "SR-IDN-003/after-a-refusal",
        "nor does a refused start",
        [
            open(),
            one.start(3),
            one.rest(3),
            one.at(0, "abcdefgh", false),
            one.rest(3),
        ],
    );
    to.put(
        "SR-IDN-003/until-a-start",
        "a start ends it",
        [
            open(),
            one.start(3),
            one.rest(3),
            two.start(2),
            one.rest(3),
            two.rest(2),
        ],
    );
    to.put(
        "SR-IDN-003/until-a-start-that-is-aborted",
        "also where that attempt came to nothing",
        [open(), one.start(3), one.rest(3), one.start(2), ABORT_ALL, one.rest(3)],
    );
    to.put(
        "SR-IDN-003/until-a-start-that-fails",
        "also where its create failed",
        [
            open(),
            one.start(3),
            one.rest(3),
            place(&receive("db.partial"), Thing::Directory),
            one.start(3),
            take_away(&receive("db.partial")),
            one.rest(3),
        ],
    );
    to.put(
        "SR-IDN-003/until-another-commit",
        "after the next commit the one before is not answered",
        [
            open(),
            one.start(3),
            one.rest(3),
            two.start(2),
            two.rest(2),
            one.rest(3),
            two.rest(2),
        ],
    );
    to.put(
        "SR-IDN-003/another-identity",
        "a chunk that differs in any field is no repetition",
        [
            open(),
            one.start(3),
            one.rest(3),
            one.clone().in_cluster("stage").rest(3),
            Source { lsn: 6, ..one.clone() }.rest(3),
            one.clone().of_total(7).at(3, "def", true),
            one.clone().declaring(7).rest(3),
        ],
    );
    to.put(
        "SR-IDN-003/another-length",
        "nor is one of another length, another offset or without done",
        [
            open(),
            one.start(3),
            one.rest(3),
            one.at(3, "de", true),
            one.at(4, "ef", true),
            one.at(3, "def", false),
        ],
    );
    to.put(
        "SR-OFF-002/in-another-directory",
        "a transfer of one directory is not continued in another",
        [open(), one.start(3), open_at("around/more"), one.rest(3)],
    );
    to.put(
        "SR-IDN-003/after-a-restart",
        "a restart ends it",
        [open(), one.start(3), one.rest(3), Step::Kill, open(), one.rest(3)],
    );
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn older_ones(to: &mut Writer) {
    let (old, new) = (source(7, "old"), source(42, "newest"));
    to.put(
        "SR-IDN-004/older-than-the-commit",
        "a start older than the latest commit is rejected, and the snapshot stays",
        [open(), new.whole(), old.start(2), old.whole()],
    );
    to.put(
        "SR-IDN-004/older-than-a-commit-in-chunks",
        "also where that came in chunks",
        [open(), new.start(3), new.rest(3), old.whole()],
    );
    to.put(
        "SR-IDN-004/older-than-the-transfer",
        "a start older than the running transfer is rejected, and that goes on",
        [open(), new.start(3), old.start(1), old.whole(), new.rest(3)],
    );
    to.put(
        "SR-IDN-004/the-second-commit-counts",
        "a newer commit takes the place of the one before as the measure",
        [
            open(),
            old.whole(),
            new.whole(),
            source(41, "between").whole(),
            source(42, "equal").whole(),
        ],
    );
    to.put(
        "SR-IDN-004/zero-is-older",
        "0 is an LSN like any other",
        [open(), source(0, "a").whole(), old.whole(), source(0, "b").whole()],
    );
    to.put(
        "SR-IDN-004/a-verdict-does-not-forget-the-commit",
        "an attempt that ended in a verdict leaves the latest commit the measure",
        [
            open(),
            new.whole(),
            new.at(0, "new", true),
            old.whole(),
            new.clone().declaring(1).whole(),
            old.whole(),
        ],
    );
    to.put(
        "SR-IDN-004/a-failure-does-not-forget-the-commit",
        "so does one that failed",
        [
            open(),
            new.whole(),
            place(&receive("db.partial"), Thing::Directory),
            new.start(3),
            take_away(&receive("db.partial")),
            old.whole(),
        ],
    );
    to.put(
        "SR-IDN-004/one-less",
        "one less is older",
        [open(), source(1 << 40, "a").whole(), source((1 << 40) - 1, "b").whole()],
    );
    to.put(
        "SR-IDN-004/as-text-it-would-be-newer",
        "LSNs are numbers: 9 is older than 10",
        [open(), source(10, "a").whole(), source(9, "b").whole()],
    );
    to.put(
        "SR-IDN-004/past-32-bits",
        "LSNs have 64 bits: 7 is older than 2^32 + 5",
        [open(), source((1 << 32) + 5, "a").whole(), source(7, "b").whole()],
    );
    to.put(
        "SR-IDN-004/unsigned",
        "the largest LSN is no negative number",
        [open(), source(u64::MAX, "a").whole(), source(5, "b").whole()],
    );
    to.put(
        "SR-IDN-004/beyond-exact-doubles",
        "2^53 is older than 2^53 + 1",
        [open(), source((1 << 53) + 1, "a").whole(), source(1 << 53, "b").whole()],
    );
    to.put(
        "SR-IDN-004/equal",
        "an equal LSN is admitted",
        [
            open(),
            new.whole(),
            source(42, "again!").start(2),
            source(42, "again!").rest(2),
        ],
    );
    to.put(
        "SR-IDN-004/equal-while-running",
        "while a transfer runs, too",
        [
            open(),
            new.start(2),
            source(42, "again!").start(2),
            source(42, "again!").rest(2),
        ],
    );
    to.put(
        "SR-IDN-004/of-another-cluster",
        "a commit of another cluster is no measure",
        [
            open(),
            new.whole(),
            old.clone().in_cluster("stage").start(1),
            old.clone().in_cluster("stage").rest(1),
        ],
    );
    to.put(
        "SR-IDN-004/the-latest-counts",
        "the latest commit is the measure, not the largest: another cluster's took its place",
        [
            open(),
            new.whole(),
            source(3, "x").in_cluster("stage").whole(),
            old.start(1),
            old.rest(1),
        ],
    );
    let stage = |lsn, bytes: &str| source(lsn, bytes).in_cluster("stage");
    to.put(
        "SR-IDN-004/the-latest-counts-of-its-own-cluster",
        "a commit of before, larger and of another cluster, does not make this cluster's latest larger",
        [
            open(),
            new.whole(),
            stage(3, "x").whole(),
            stage(5, "uvw").start(1),
            stage(5, "uvw").rest(1),
        ],
    );
    to.put(
        "SR-IDN-004/of-another-database",
        "a commit of another database is no measure",
        [open(), new.clone().of("other").whole(), old.start(1), old.rest(1)],
    );
    to.put(
        "SR-IDN-004/an-abort-ends-the-transfer",
        "an abort ends the running transfer, and with it that measure",
        [open(), new.start(3), ABORT_ALL, old.start(1), old.rest(1)],
    );
    to.put(
        "SR-IDN-004/an-abort-does-not-forget-the-commit",
        "but not the latest commit",
        [
            open(),
            new.whole(),
            source(50, "more").start(1),
            ABORT_ALL,
            old.whole(),
            source(45, "x").whole(),
        ],
    );
    to.put(
        "SR-IDN-004/a-verdict-commits-nothing",
        "a transfer that ended in a verdict is no measure",
        [open(), new.start(3), new.at(3, "", true), old.start(1), old.rest(1)],
    );
    to.put(
        "SR-IDN-004/a-restart-forgets",
        "a restart forgets the latest commit",
        [open(), new.whole(), Step::Kill, open(), old.start(1), old.rest(1)],
    );
    to.put(
        "SR-IDN-004/another-directory-knows-nothing",
        "what one directory's receiver committed is no measure for another's",
        [open(), new.whole(), open_at("around/more"), old.start(1), old.rest(1)],
    );
    to.put(
        "SR-IDN-004/a-restart-forgets-the-transfer",
        "and the running transfer",
        [open(), new.start(3), Step::Kill, open(), old.start(1), old.rest(1)],
    );
}
