//! SR-ERR, as far as files can make calls fail.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Writer, abort, file, open, place, receive, source, take_away};
use crate::conform::scenario::{Scenario, Step, Thing, pattern};

const SIZE_LIMIT: u64 = 8192;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    names_in_the_way(&mut to);
    sizes(&mut to);
    removals(&mut to);
    single_calls(&mut to);
    to.all
}

fn names_in_the_way(to: &mut Writer) {
    let one = source(5, "abcdef");
    let directory = || place(&receive("db.partial"), Thing::Directory);
    to.put(
        "SR-ERR-001/create",
        "a failed create is told as such, and a start works once the cause is gone",
        [
            open(),
            directory(),
            one.start(3),
            take_away(&receive("db.partial")),
            one.start(3),
            one.rest(3),
        ],
    );
    to.put(
        "SR-ERR-001/create-ends-the-attempt",
        "nothing of an attempt whose create failed is left: an older start is admitted",
        [
            open(),
            directory(),
            one.start(3),
            one.rest(3),
            take_away(&receive("db.partial")),
            source(4, "older").start(2),
            source(4, "older").rest(2),
        ],
    );
    let snapshot = || place(&receive("db.snapshot"), Thing::Directory);
    to.put(
        "SR-ERR-001/publish",
        "a failed rename is told as such, ends the attempt and removes the partial",
        [open(), snapshot(), one.start(3), one.rest(3), one.rest(3)],
    );
    to.put(
        "SR-ERR-001/publish-then-again",
        "a start works once the cause is gone",
        [
            open(),
            snapshot(),
            one.whole(),
            take_away(&receive("db.snapshot")),
            one.start(3),
            one.rest(3),
        ],
    );
    to.put(
        "SR-ERR-001/abort-after-a-failure",
        "an abort works after a failure",
        [open(), snapshot(), one.whole(), ABORT_ALL, abort("db")],
    );
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn sizes(to: &mut Writer) {
    let limit = |bytes| Step::FileSizeLimit { bytes };
    let large = source(5, pattern(0, 20_000));
    to.put(
        "SR-ERR-001/write",
        "a failed write is told as such, ends the attempt and removes the partial; then a start works",
        [
            open(),
            large.start(8192),
            limit(Some(SIZE_LIMIT)),
            large.part(8192, 100),
            large.part(8192, 100),
            limit(None),
            large.start(10_000),
            large.rest(10_000),
        ],
    );
    to.put(
        "SR-ERR-003/short-write",
        "a write that the system takes a part of is completed or told",
        [
            open(),
            limit(Some(SIZE_LIMIT)),
            large.start(5_000),
            large.part(5_000, 5_000),
        ],
    );
    to.put(
        "SR-ERR-003/short-first-write",
        "also in the first chunk",
        [
            open(),
            limit(Some(SIZE_LIMIT)),
            large.start(10_000),
            large.part(10_000, 1),
        ],
    );
    to.put(
        "SR-ERR-003/short-last-write",
        "also in the last: nothing is published",
        [
            open(),
            source(4, "old").whole(),
            large.start(5_000),
            limit(Some(SIZE_LIMIT)),
            large.rest(5_000),
            limit(None),
            large.whole(),
        ],
    );
    to.put(
        "SR-ERR-001/full-disk",
        "a full disk is told apart, and a start works that fits",
        [
            Step::SmallDisk { bytes: 256 << 10 },
            open(),
            source(5, pattern(0, 300 << 10)).start(300 << 10),
            source(5, "fits").start(2),
            source(5, "fits").rest(2),
        ],
    );
    to.put(
        "SR-ERR-003/full-disk-in-the-middle",
        "a disk that is full in the middle of a chunk fails it whole",
        [
            Step::SmallDisk { bytes: 256 << 10 },
            open(),
            source(5, pattern(0, 400 << 10)).start(64 << 10),
            source(5, pattern(0, 400 << 10)).part(64 << 10, 300 << 10),
            source(5, pattern(0, 400 << 10)).part(364 << 10, 1 << 10),
        ],
    );
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn removals(to: &mut Writer) {
    let one = source(5, "abcdef");
    let replace = || {
        [
            take_away(&receive("db.partial")),
            place(&receive("db.partial"), Thing::Directory),
        ]
    };
    let [away, directory] = replace();
    to.put(
        "SR-ERR-005/an-abort-says-so",
        "an abort whose removal fails says so, and the attempt has ended",
        [open(), one.start(3), away, directory, abort("db"), one.rest(3)],
    );
    let [away, directory] = replace();
    to.put(
        "SR-ERR-005/and-works-later",
        "once the cause is gone, an abort works, and a start",
        [
            open(),
            one.start(3),
            away,
            directory,
            abort("db"),
            take_away(&receive("db.partial")),
            abort("db"),
            one.whole(),
        ],
    );
    let [away, directory] = replace();
    to.put(
        "SR-ERR-005/stays-owed",
        "what could not be removed stays owed: the next abort says so too, of one database and of all",
        [
            open(),
            one.start(3),
            away,
            directory,
            abort("db"),
            abort("db"),
            ABORT_ALL,
            take_away(&receive("db.partial")),
            abort("db"),
        ],
    );
    let [away, directory] = replace();
    to.put(
        "SR-ERR-005/the-verdict-stands",
        "a failed removal does not hide the verdict",
        [open(), one.start(3), away, directory, one.at(3, "", true), one.rest(3)],
    );
    // Whichever a receiver begins with, one of the two comes after one that stays.
    let (first, second) = (one.clone().of("a"), one.clone().of("b"));
    for (name, stays) in [
        ("SR-ABT-001/of-all-where-the-first-stays", "a.partial"),
        ("SR-ABT-001/of-all-where-the-last-stays", "b.partial"),
    ] {
        to.put(
            name,
            "an abort of all ends those behind one whose removal fails",
            [
                open(),
                first.start(3),
                second.start(2),
                take_away(&receive(stays)),
                place(&receive(stays), Thing::Directory),
                ABORT_ALL,
                first.rest(3),
                second.rest(2),
            ],
        );
    }
    let [away, directory] = replace();
    to.put(
        "SR-ERR-005/a-start-that-is-a-verdict",
        "what a start's only chunk could not remove of the attempt before stays owed",
        [
            open(),
            one.start(3),
            away,
            directory,
            one.at(0, "abc", true),
            abort("db"),
            take_away(&receive("db.partial")),
            abort("db"),
            one.whole(),
        ],
    );
    to.put(
        "SR-ERR-001/the-partial-is-gone-already",
        "that the partial is gone is no failed removal",
        [
            open(),
            one.start(3),
            take_away(&receive("db.partial")),
            abort("db"),
            one.start(3),
            one.rest(3),
        ],
    );
    to.put(
        "SR-SEC-004/another-file",
        "another file in the partial's place is a failed publish",
        [
            open(),
            one.start(3),
            take_away(&receive("db.partial")),
            place(&receive("db.partial"), file("abc")),
            one.rest(3),
        ],
    );
}

/// Calls that only a receiver in this process can be told to fail.
#[expect(clippy::too_many_lines, reason = "a list")]
fn single_calls(to: &mut Writer) {
    let one = source(5, "abcdef");
    let fail = |operation: &str, kind: &str| Step::FailNext {
        operation: operation.to_owned(),
        kind: kind.to_owned(),
    };
    for (operation, kind) in [("create", "other"), ("create", "full")] {
        to.put(
            &format!("SR-ERR-001/single-{operation}-{kind}"),
            "a failed create ends the attempt",
            [open(), fail(operation, kind), one.start(3), one.rest(3), one.whole()],
        );
    }
    for (operation, kind) in [("write", "full"), ("write", "other")] {
        to.put(
            &format!("SR-ERR-001/single-{operation}-{kind}"),
            "a failed write ends the attempt",
            [
                open(),
                one.start(3),
                fail(operation, kind),
                one.part(3, 1),
                one.rest(4),
                one.whole(),
            ],
        );
    }
    to.put(
        "SR-ERR-002/single-sync",
        "a failed sync is final for its attempt",
        [
            open(),
            source(4, "old").whole(),
            one.start(3),
            fail("sync", "other"),
            one.rest(3),
            one.rest(3),
            one.whole(),
        ],
    );
    to.put(
        "SR-ERR-001/single-publish",
        "a failed rename ends the attempt and removes its partial",
        [
            open(),
            one.start(3),
            fail("publish", "other"),
            one.rest(3),
            one.rest(3),
            one.whole(),
        ],
    );
    to.put(
        "SR-ERR-004/single-sync-directory",
        "a failed directory sync after the rename is not committed, though the snapshot is there, whole",
        [
            open(),
            source(4, "old").whole(),
            one.start(3),
            fail("sync_directory", "other"),
            one.rest(3),
            one.rest(3),
            one.whole(),
        ],
    );
    to.put(
        "SR-ERR-005/single-remove",
        "a failed removal is told by an abort, stays owed, and is tried again",
        [
            open(),
            one.start(3),
            fail("remove", "other"),
            abort("db"),
            abort("db"),
            one.whole(),
        ],
    );
    to.put(
        "SR-ERR-005/single-remove-after-a-verdict",
        "a failed removal does not hide the verdict",
        [
            open(),
            one.start(3),
            fail("remove", "other"),
            one.at(3, "", true),
            abort("db"),
            one.whole(),
        ],
    );
    to.put(
        "SR-ERR-005/single-remove-at-a-start-that-is-a-verdict",
        "what a start's only chunk could not remove of the attempt before stays owed",
        [
            open(),
            one.start(3),
            fail("remove", "other"),
            one.at(0, "abc", true),
            abort("db"),
            one.whole(),
        ],
    );
    to.put(
        "SR-CON-006/expiry",
        "an idle transfer is ended as by an abort",
        [open(), one.start(3), Step::Expire, one.rest(3), one.whole()],
    );
}
