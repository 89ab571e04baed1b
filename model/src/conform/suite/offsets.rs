//! SR-OFF.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Writer, open, source};
use crate::conform::scenario::{Data, Scenario, Step, pattern};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    starts(&mut to);
    without_a_transfer(&mut to);
    wrong_offsets(&mut to);
    contents(&mut to);
    answers(&mut to);
    to.all
}

fn starts(to: &mut Writer) {
    let (one, two) = (source(5, "abcdef"), source(6, "uvwxyz12"));
    to.put(
        "SR-OFF-001/again",
        "a start while its own transfer runs begins again",
        [open(), one.start(4), one.start(2), one.part(2, 2), one.rest(4)],
    );
    to.put(
        "SR-OFF-001/shorter",
        "what was received before is gone, also where less comes now",
        [open(), one.start(5), one.start(1), one.rest(1)],
    );
    to.put(
        "SR-OFF-001/newer",
        "a newer snapshot's start takes the place of the transfer that runs",
        [open(), one.start(4), two.start(2), two.rest(2)],
    );
    to.put(
        "SR-OFF-001/other-content",
        "another snapshot of the same LSN does too",
        [
            open(),
            one.start(4),
            source(5, "12345").start(2),
            source(5, "12345").rest(2),
        ],
    );
    to.put(
        "SR-OFF-001/empty",
        "an empty chunk at 0 is a start too",
        [open(), one.start(4), one.at(0, "", false), one.part(0, 3), one.rest(3)],
    );
    to.put(
        "SR-OFF-001/old-source",
        "the source of the transfer that was replaced is refused",
        [open(), one.start(3), two.start(2), one.rest(3), two.rest(2)],
    );
    to.put(
        "SR-OFF-001/whole-at-once",
        "a whole snapshot in one chunk replaces a transfer that runs",
        [open(), one.start(3), two.whole(), one.rest(3)],
    );
    to.put(
        "SR-OFF-001/after-a-commit",
        "after a commit a start begins another attempt; the snapshot stays until it is replaced",
        [open(), one.whole(), one.start(2), one.part(2, 2), one.rest(4)],
    );
    to.put(
        "SR-OFF-001/after-a-commit-in-chunks",
        "also a start of the very snapshot that was committed",
        [open(), one.start(3), one.rest(3), one.start(3), one.rest(3)],
    );
}

fn without_a_transfer(to: &mut Writer) {
    let one = source(5, "abcdef");
    to.put(
        "SR-OFF-002/first",
        "a continuation where nothing ever ran is rejected",
        [open(), one.part(3, 3), one.rest(3), one.at(6, "", true)],
    );
    to.put(
        "SR-OFF-002/a-start-but-for-32-bits",
        "an offset of 2^32 is no start",
        [open(), one.at(1 << 32, "abc", false), one.start(3), one.rest(3)],
    );
    to.put(
        "SR-OFF-002/after-a-commit",
        "a continuation after the commit is rejected, but for an exact repetition of the last chunk",
        [
            open(),
            one.start(3),
            one.rest(3),
            one.part(1, 2),
            one.at(3, "def", false),
        ],
    );
    to.put(
        "SR-OFF-002/after-another-end",
        "nor is a chunk that ends where the last one ended a repetition",
        [open(), one.start(3), one.rest(3), one.rest(4), one.at(6, "", true)],
    );
    to.put(
        "SR-OFF-002/almost-a-repetition",
        "a chunk after the commit that differs from the last one in its length or its cluster is none",
        [
            open(),
            one.start(3),
            one.rest(3),
            one.at(3, "de", true),
            one.clone().in_cluster("stage").rest(3),
        ],
    );
    to.put(
        "SR-OFF-002/after-a-verdict",
        "after a length mismatch the transfer is gone",
        [open(), one.start(3), one.at(3, "", true), one.rest(3)],
    );
    to.put(
        "SR-OFF-002/after-a-checksum-verdict",
        "after a CRC mismatch the transfer is gone",
        [open(), one.start(3), one.at(3, "xyz", true), one.rest(3)],
    );
    to.put(
        "SR-OFF-002/after-an-abort",
        "after an abort the transfer is gone",
        [open(), one.start(3), ABORT_ALL, one.rest(3)],
    );
    to.put(
        "SR-OFF-002/after-a-restart",
        "after a restart the transfer is gone",
        [open(), one.start(3), Step::Kill, open(), one.rest(3), one.part(3, 1)],
    );
    to.put(
        "SR-OFF-002/after-one-chunk",
        "after a snapshot of a single chunk nothing continues",
        [open(), one.whole(), one.rest(3), one.at(6, "", true)],
    );
}

fn wrong_offsets(to: &mut Writer) {
    let one = source(5, "abcdefgh");
    let wrong = [
        ("gap", one.part(4, 2)),
        ("gap-to-the-end", one.at(8, "", true)),
        ("gap-done", one.at(6, "gh", true)),
        ("duplicate", one.part(1, 2)),
        ("overlap", one.part(2, 3)),
        ("overlap-done", one.at(2, "cdefgh", true)),
        ("empty-before", one.at(2, "", false)),
        ("empty-after", one.at(4, "", false)),
        ("far", one.at(u64::MAX, "", false)),
        ("past-32-bits", one.at((1 << 32) + 3, "def", true)),
        ("a-start-but-for-32-bits", one.at(1 << 32, "", false)),
    ];
    for (name, step) in wrong {
        to.put(
            &format!("SR-OFF-003/{name}"),
            "an offset that is not the next expected one is rejected, and the right chunk is taken",
            [open(), one.start(3), step, one.rest(3)],
        );
    }
    to.put(
        "SR-OFF-003/the-same-chunk-twice",
        "a continuation that comes twice counts once",
        [open(), one.start(2), one.part(2, 2), one.part(2, 2), one.rest(4)],
    );
    to.put(
        "SR-OFF-003/equal-content",
        "even where the content would fit at either place",
        [
            open(),
            source(5, "aaaa").start(2),
            source(5, "aaaa").part(1, 1),
            source(5, "aaaa").part(3, 1),
            source(5, "aaaa").rest(2),
        ],
    );
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn contents(to: &mut Writer) {
    let one = source(5, "abcdef");
    to.put(
        "SR-OFF-004/byte-by-byte",
        "each chunk is where it belongs when pending is answered",
        [
            open(),
            one.start(1),
            one.part(1, 1),
            one.part(2, 1),
            one.part(3, 1),
            one.part(4, 1),
            one.rest(5),
        ],
    );
    to.put(
        "SR-OFF-004/nothing-preallocated",
        "the partial is as long as what was received, however much was declared",
        [open(), source(5, pattern(0, 65536)).start(1)],
    );
    to.put(
        "SR-OFF-004/empty-chunks",
        "an empty chunk advances nothing",
        [
            open(),
            one.start(3),
            one.at(3, "", false),
            one.at(3, "", false),
            one.rest(3),
        ],
    );
    to.put(
        "SR-OFF-004/empty-start",
        "after an empty start the partial is there, and empty",
        [open(), one.at(0, "", false), one.whole()],
    );
    to.put(
        "SR-OFF-004/all-bytes",
        "every value of a byte, zeros and line ends among them, is kept",
        [
            open(),
            source(5, (0..=255).collect::<Vec<u8>>()).start(200),
            source(5, (0..=255).collect::<Vec<u8>>()).rest(200),
        ],
    );
    let lines = source(5, "a\r\nb\n\rc\u{1a}\r\n");
    to.put(
        "SR-OFF-004/line-ends",
        "bytes are no text: line ends are not changed",
        [open(), lines.start(3), lines.rest(3)],
    );
    to.put(
        "SR-OFF-004/zeros",
        "zeros are bytes like others: no hole takes their place in the length",
        [open(), source(5, [0; 64]).start(60), source(5, [0; 64]).rest(60)],
    );
    let large = source(5, pattern(0, 100_000));
    let part = |from: u64, length: u64, done: bool| {
        let mut envelope = large.envelope(from, "", done);
        envelope.data = Data::Pattern { from, length };
        Step::Chunk { envelope }
    };
    to.put(
        "SR-OFF-004/larger-chunks",
        "larger chunks of uneven sizes",
        [
            open(),
            part(0, 4096, false),
            part(4096, 65_537, false),
            part(69_633, 1, false),
            part(69_634, 30_366, true),
        ],
    );
}

fn answers(to: &mut Writer) {
    let one = source(5, "abcdef");
    to.put(
        "SR-OFF-005/all-bytes-stay-pending",
        "all bytes without done stays pending; an empty done at the end commits",
        [open(), one.start(3), one.part(3, 3), one.at(6, "", true)],
    );
    to.put(
        "SR-OFF-005/all-at-once-stay-pending",
        "so does a first chunk that has all",
        [open(), one.start(6), one.at(6, "", false), one.at(6, "", true)],
    );
    to.put(
        "SR-OFF-005/nothing-stays-pending",
        "so does a snapshot of no bytes, until done",
        [open(), source(5, "").at(0, "", false), source(5, "").whole()],
    );
    to.put(
        "SR-OFF-005/done-with-the-last-byte",
        "done with the last byte commits",
        [open(), one.start(5), one.rest(5)],
    );
    to.put(
        "SR-OFF-005/one-chunk",
        "a whole snapshot in one chunk commits",
        [open(), one.whole()],
    );
    for lsn in [0, 1, (1 << 53) + 1, u64::MAX] {
        let source = source(lsn, "abcdef");
        to.put(
            &format!("SR-OFF-005/lsn-{lsn}"),
            "committed carries the LSN, whatever it is",
            [open(), source.start(3), source.rest(3)],
        );
    }
    to.put(
        "SR-OFF-005/the-own-path",
        "committed carries this database's path, not that of another that committed",
        [
            open(),
            one.clone().of("first").whole(),
            one.clone().of("second").whole(),
            one.clone().of("first").whole(),
        ],
    );
    to.put(
        "SR-OFF-005/after-a-refusal",
        "the bytes of a refused chunk are not counted",
        [
            open(),
            one.start(3),
            one.at(4, "ef", false),
            one.part(3, 1),
            one.at(3, "d", false),
            one.at(4, "", false),
        ],
    );
    to.put(
        "SR-OFF-005/the-own-lsn",
        "committed carries this snapshot's LSN, not the one before",
        [
            open(),
            one.start(3),
            one.rest(3),
            source(9, "uvw").start(1),
            source(9, "uvw").rest(1),
        ],
    );
}
