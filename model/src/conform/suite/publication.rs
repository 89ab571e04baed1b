//! SR-PUB and SR-LIV.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Writer, open, open_at, source};
use crate::conform::scenario::{Scenario, Step, pattern};

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    let (old, new) = (source(5, "the old one"), source(6, "the new one, longer"));
    to.put(
        "SR-PUB-002/whole-or-nothing",
        "the snapshot's name is absent until all is there",
        [
            open(),
            new.start(3),
            new.part(3, 3),
            new.part(6, 13),
            new.at(19, "", true),
        ],
    );
    to.put(
        "SR-PUB-002/the-old-one-until-then",
        "the old snapshot stays whole until the new one takes its place",
        [open(), old.whole(), new.start(3), new.part(3, 10), new.rest(13)],
    );
    to.put(
        "SR-PUB-002/a-shorter-one",
        "a shorter one leaves nothing of the longer one before",
        [open(), new.whole(), source(7, "x").whole()],
    );
    to.put(
        "SR-PUB-003/kill",
        "a kill after committed loses nothing",
        [open(), old.start(3), old.rest(3), Step::Kill, open()],
    );
    to.put(
        "SR-PUB-003/kill-while-the-next-comes",
        "a kill while the next one comes leaves the one before",
        [
            open(),
            old.whole(),
            new.start(3),
            Step::Kill,
            open(),
            new.start(2),
            new.rest(2),
        ],
    );
    to.put(
        "SR-PUB-003/close",
        "nor does a closing",
        [open(), old.whole(), new.start(3), Step::Close, open()],
    );
    to.put(
        "SR-PUB-004/same-file",
        "the partial that was verified is the file that is published",
        [open(), new.start(3), new.part(3, 3), new.rest(6)],
    );
    to.put(
        "SR-PUB-004/of-the-last-attempt",
        "what is published is of the last attempt alone",
        [
            open(),
            source(6, "longer than the next").start(15),
            new.start(2),
            new.rest(2),
        ],
    );
    to.put(
        "SR-PUB-005/two-directories-at-most",
        "an opening makes the data directory and the receive directory, and nothing else",
        [open(), Step::Close, open()],
    );
    to.put(
        "SR-PUB-005/a-missing-level",
        "a missing level above the data directory refuses the opening, and nothing is made",
        [open_at("around/missing/data")],
    );
    to.put(
        "SR-PUB-005/two-missing-levels",
        "two missing levels too",
        [open_at("nowhere/at/all/data"), open(), new.whole()],
    );
    to.put(
        "SR-PUB-005/another-directory",
        "another directory can be opened in its place; the transfer that ran is ended",
        [
            open(),
            new.start(3),
            open_at("around/more"),
            new.whole(),
            open_at("around/third"),
        ],
    );
    kills(&mut to);
    healing(&mut to);
    to.all
}

/// A kill inside a step, by timing.
fn kills(to: &mut Writer) {
    let old = source(5, "the old one");
    let new = source(6, pattern(0, 40_000));
    for after_micros in [0, 200, 1000, 4000] {
        let during = |from: usize, done: bool| Step::KillDuring {
            envelope: new.envelope(from as u64, &new.bytes[from..], done),
            after_micros,
        };
        to.put(
            &format!("SR-PUB-002/kill-in-the-final-chunk-after-{after_micros}-us"),
            "a kill inside the final chunk leaves the old snapshot or the whole new one",
            [
                open(),
                old.whole(),
                new.start(20_000),
                during(20_000, true),
                open(),
                new.start(10),
                new.rest(10),
            ],
        );
    }
}

fn healing(to: &mut Writer) {
    let one = source(5, "abcdef");
    let heal = || [one.start(2), one.part(2, 2), one.rest(4)];
    let troubles: [(&str, Vec<Step>); 7] = [
        ("nothing", vec![]),
        ("a-running-transfer", vec![source(3, "xyz").start(2)]),
        ("a-complete-but-unfinished-one", vec![source(3, "xyz").start(3)]),
        (
            "a-verdict",
            vec![source(3, "xyz").start(2), source(3, "xyz").at(2, "", true)],
        ),
        ("an-abort", vec![source(3, "xyz").start(2), ABORT_ALL]),
        (
            "a-refusal",
            vec![source(3, "xyz").part(1, 1), source(3, "xyz").at(0, "wxyz", true)],
        ),
        ("a-commit", vec![source(3, "xyz").start(2), source(3, "xyz").rest(2)]),
    ];
    for (name, steps) in troubles {
        to.put(
            &format!("SR-LIV-001/after-{name}"),
            "a source that sends from 0, in order, commits",
            [open()].into_iter().chain(steps).chain(heal()),
        );
    }
    let restarts = [("kill", Step::Kill), ("close", Step::Close)];
    for (name, step) in restarts {
        to.put(
            &format!("SR-LIV-001/after-a-{name}"),
            "a source that sends from 0 commits after a restart",
            [open(), one.start(3), step, open()].into_iter().chain(heal()),
        );
    }
}
