//! SR-LEN and SR-CRC.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Writer, open, source};
use crate::conform::scenario::{Scenario, pattern};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    lengths(&mut to);
    running_checksums(&mut to);
    wrong_checksums(&mut to);
    to.put(
        "SR-CRC-003/at-once",
        "a snapshot of no bytes commits",
        [open(), source(5, "").whole()],
    );
    to.put(
        "SR-CRC-003/in-two",
        "also where the start and the end come apart",
        [open(), source(5, "").start(0), source(5, "").whole()],
    );
    to.put(
        "SR-CRC-003/in-place-of-another",
        "also in place of an older snapshot",
        [open(), source(4, "old").whole(), source(5, "").whole()],
    );
    to.put(
        "SR-CRC-003/after-a-transfer",
        "also where a transfer with bytes ran before",
        [open(), source(5, "abc").start(2), source(5, "").whole()],
    );
    to.all
}

fn lengths(to: &mut Writer) {
    let one = source(5, "abcdef");
    let short = crc32c::crc32c(b"abc");
    to.put(
        "SR-LEN-001/done-early",
        "done with fewer bytes than declared ends the attempt and removes the partial",
        [
            open(),
            one.start(3),
            one.at(3, "d", true),
            one.part(4, 1),
            one.start(3),
            one.rest(3),
        ],
    );
    to.put(
        "SR-LEN-001/done-early-with-the-checksum-of-the-part",
        "even where the checksum is of what came",
        [
            open(),
            one.clone().declaring(short).start(2),
            one.clone().declaring(short).at(2, "c", true),
        ],
    );
    to.put(
        "SR-LEN-001/done-at-once",
        "at offset 0 too: the start is admitted first",
        [open(), one.clone().declaring(short).at(0, "abc", true), one.start(2)],
    );
    to.put(
        "SR-LEN-001/empty-done",
        "an empty done before the end",
        [open(), one.start(3), one.at(3, "", true)],
    );
    to.put(
        "SR-LEN-001/empty-done-at-once",
        "an empty done at 0",
        [open(), one.at(0, "", true), one.clone().declaring(0).at(0, "", true)],
    );
    to.put(
        "SR-LEN-001/ends-what-ran-before",
        "a start that ends so has ended what ran before",
        [open(), one.start(3), one.at(0, "ab", true), one.rest(3)],
    );
    to.put(
        "SR-LEN-001/total-past-32-bits",
        "totals have 64 bits: 3 bytes are fewer than 2^32 + 3",
        [
            open(),
            one.clone().declaring(short).of_total((1 << 32) + 3).at(0, "abc", true),
        ],
    );
    to.put(
        "SR-LEN-001/the-snapshot-stays",
        "the snapshot that was there stays",
        [open(), source(4, "old").whole(), one.start(3), one.at(3, "", true)],
    );
    to.put(
        "SR-LEN-001/a-byte-missing",
        "one byte missing is too few",
        [open(), one.start(5), one.at(5, "", true)],
    );
}

fn running_checksums(to: &mut Writer) {
    let one = source(5, "123456789");
    to.put(
        "SR-CRC-001/check-value",
        "the checksum of 123456789 is 0xe3069283: CRC-32C, not CRC-32",
        [open(), one.clone().declaring(0xe306_9283).whole()],
    );
    to.put(
        "SR-CRC-001/over-all-chunks",
        "it runs over all chunks",
        [open(), one.start(1), one.part(1, 3), one.part(4, 4), one.rest(8)],
    );
    to.put(
        "SR-CRC-001/a-start-begins-anew",
        "a start begins it anew",
        [open(), one.start(4), one.start(2), one.rest(2)],
    );
    to.put(
        "SR-CRC-001/after-an-abort",
        "so does a start after an abort",
        [open(), one.start(4), ABORT_ALL, one.start(2), one.rest(2)],
    );
    to.put(
        "SR-CRC-001/after-a-verdict",
        "and after a verdict",
        [open(), one.start(4), one.at(4, "x", true), one.start(2), one.rest(2)],
    );
    to.put(
        "SR-CRC-001/after-a-commit",
        "and after a commit",
        [
            open(),
            one.start(4),
            one.rest(4),
            source(6, "abc").start(1),
            source(6, "abc").rest(1),
        ],
    );
    to.put(
        "SR-CRC-001/not-over-refused-bytes",
        "refused bytes are not in it",
        [
            open(),
            one.start(4),
            one.part(0, 0),
            one.start(4),
            one.part(2, 2),
            one.rest(4),
        ],
    );
    let large = source(5, pattern(0, 20_000));
    to.put(
        "SR-CRC-001/larger",
        "it is right over larger chunks",
        [open(), large.start(9_999), large.part(9_999, 1), large.rest(10_000)],
    );
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn wrong_checksums(to: &mut Writer) {
    let one = source(5, "123456789");
    let wrong = [
        ("one-bit", one.crc ^ 1),
        ("highest-bit", one.crc ^ (1 << 31)),
        ("bit-7", one.crc ^ (1 << 7)),
        ("bit-8", one.crc ^ (1 << 8)),
        ("bit-15", one.crc ^ (1 << 15)),
        ("bit-16", one.crc ^ (1 << 16)),
        ("bit-23", one.crc ^ (1 << 23)),
        ("bit-24", one.crc ^ (1 << 24)),
        ("complement", !one.crc),
        ("bytes-swapped", one.crc.swap_bytes()),
        ("zero", 0),
        ("all-ones", u32::MAX),
        ("of-the-last-chunk", crc32c::crc32c(b"6789")),
        ("of-the-first-chunk", crc32c::crc32c(b"12345")),
        // The check value of CRC-32 (ISO 3309).
        ("crc-32", 0xcbf4_3926),
    ];
    for (name, declared) in wrong {
        let wrong = one.clone().declaring(declared);
        to.put(
            &format!("SR-CRC-002/declared-{name}"),
            "a wrong checksum ends the attempt, removes the partial and publishes nothing",
            [open(), wrong.start(5), wrong.rest(5)],
        );
    }
    to.put(
        "SR-CRC-002/at-once",
        "also where all comes in one chunk",
        [open(), one.clone().declaring(1).whole(), one.rest(4)],
    );
    to.put(
        "SR-CRC-002/a-second-time",
        "also where it was found wrong before",
        [
            open(),
            one.clone().declaring(1).whole(),
            one.clone().declaring(1).whole(),
            one.clone().declaring(2).start(3),
            one.clone().declaring(2).rest(3),
        ],
    );
    to.put(
        "SR-CRC-002/ends-what-ran-before",
        "a start that ends so has ended what ran before",
        [open(), one.start(5), one.clone().declaring(1).whole(), one.rest(5)],
    );
    to.put(
        "SR-CRC-002/damage-at-the-start",
        "a changed byte in the first chunk is found",
        [open(), one.at(0, "x2345", false), one.rest(5), one.whole()],
    );
    to.put(
        "SR-CRC-002/damage-in-the-middle",
        "or in one in the middle",
        [open(), one.start(3), one.at(3, "4x6", false), one.rest(6)],
    );
    to.put(
        "SR-CRC-002/damage-at-the-end",
        "or in the last",
        [open(), one.start(5), one.at(5, "678x", true), one.start(5), one.rest(5)],
    );
    to.put(
        "SR-CRC-002/found-at-an-empty-end",
        "or found by an empty last chunk",
        [open(), one.at(0, "12345678x", false), one.at(9, "", true)],
    );
    to.put(
        "SR-CRC-002/the-snapshot-stays",
        "the snapshot that was there stays",
        [open(), source(4, "old").whole(), one.start(5), one.at(5, "xxxx", true)],
    );
    to.put(
        "SR-CRC-002/of-nothing",
        "a snapshot of no bytes has the checksum 0 and no other",
        [open(), source(5, "").declaring(1).whole()],
    );
    to.put(
        "SR-CRC-002/order-counts",
        "the same bytes in another order are other bytes",
        [open(), one.at(0, "21345", false), one.rest(5)],
    );
}
