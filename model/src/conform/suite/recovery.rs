//! SR-REC.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Writer, file, open, open_at, place, receive, source, take_away};
use crate::conform::scenario::{DATA, Scenario, Step, Thing};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    orphans(&mut to);
    locks(&mut to);
    closings(&mut to);
    to.all
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn orphans(to: &mut Writer) {
    let one = source(5, "abcdef");
    to.put(
        "SR-REC-001/after-a-kill",
        "an orphan partial is gone after the next opening, and its transfer with it",
        [open(), one.start(3), Step::Kill, open(), one.start(2), one.rest(2)],
    );
    to.put(
        "SR-REC-001/at-every-opening",
        "however often the directory was opened before",
        [
            open(),
            one.start(3),
            Step::Kill,
            open(),
            one.start(3),
            Step::Kill,
            open(),
            one.start(3),
            Step::Kill,
            open(),
        ],
    );
    to.put(
        "SR-REC-001/beside-a-snapshot",
        "an orphan is none the less one for being newer than the snapshot beside it",
        [open(), one.whole(), one.start(3), Step::Kill, open()],
    );
    to.put(
        "SR-REC-001/not-before-the-lock",
        "a receiver that is refused the lock has tried to remove nothing",
        [
            open(),
            one.start(3),
            place(&receive("other.partial"), Thing::Directory),
            Step::SecondOpen,
            one.rest(3),
        ],
    );
    to.put(
        "SR-REC-001/of-any-name",
        "every partial of a valid id is removed",
        [
            place(&receive("a.partial"), file("left over")),
            place(&receive("-.partial"), file("")),
            place(&receive("x.snapshot.partial"), file("left over")),
            place(&receive("a.partial.partial"), file("left over")),
            open(),
        ],
    );
    to.put(
        "SR-REC-001/a-link",
        "a symbolic link of such a name is removed, and not what it leads to",
        [
            place(&receive("a.partial"), Thing::Link("{scratch}/bystander".to_owned())),
            place(&receive("b.partial"), Thing::Link("nowhere".to_owned())),
            open(),
        ],
    );
    to.put(
        "SR-REC-001/nothing-else",
        "nothing else is removed: not a snapshot, not a file of another name, not one elsewhere",
        [
            place(&receive("a.snapshot"), file("a snapshot")),
            place(&receive("a b.partial"), file("no valid id")),
            place(&receive("a.partial.bak"), file("another suffix")),
            place(&receive("partial"), file("no id")),
            place(&receive("a.PARTIAL"), file("another case")),
            place(&format!("{DATA}/a.partial"), file("another directory")),
            place(&receive("directory/a.partial"), file("below another")),
            open(),
        ],
    );
    to.put(
        "SR-REC-001/too-long-a-name",
        "nor one whose id is too long",
        [
            place(&receive(&format!("{}.partial", "d".repeat(201))), file("too long")),
            open(),
        ],
    );
    to.put(
        "SR-REC-001/a-pipe",
        "a special file of such a name is left",
        [place(&receive("p.partial"), Thing::Pipe), open(), one.whole()],
    );
    to.put(
        "SR-REC-001/the-snapshot-of-before",
        "a snapshot of before stays, and is replaced by the next",
        [
            place(&receive("db.snapshot"), file("of before")),
            open(),
            one.start(3),
            one.rest(3),
        ],
    );
    to.put(
        "SR-REC-003/a-directory",
        "a directory of an orphan's name stops neither the others' removal nor the opening",
        [
            place(&receive("a.partial"), file("left over")),
            place(&receive("b.partial/inside"), file("somebody's")),
            place(&receive("c.partial"), file("left over")),
            open(),
            one.whole(),
        ],
    );
    to.put(
        "SR-REC-003/an-empty-directory",
        "also an empty one",
        [place(&receive("b.partial"), Thing::Directory), open(), one.whole()],
    );
}

fn locks(to: &mut Writer) {
    let one = source(5, "abcdef");
    to.put(
        "SR-REC-002/while-the-first-lives",
        "a second receiver is refused, and the first one's transfer goes on",
        [open(), one.start(3), Step::SecondOpen, one.rest(3)],
    );
    to.put(
        "SR-REC-002/at-once",
        "also before anything was received, and more than once",
        [open(), Step::SecondOpen, Step::SecondOpen, one.whole()],
    );
    to.put(
        "SR-REC-002/after-a-commit",
        "a commit, a verdict and an abort leave the first one its directory",
        [
            open(),
            one.whole(),
            Step::SecondOpen,
            one.at(0, "abc", true),
            ABORT_ALL,
            Step::SecondOpen,
            one.whole(),
        ],
    );
    to.put(
        "SR-REC-002/after-a-kill",
        "after a kill the directory is free again",
        [open(), one.start(3), Step::Kill, open(), Step::SecondOpen, one.whole()],
    );
}

fn closings(to: &mut Writer) {
    let one = source(5, "abcdef");
    to.put(
        "SR-REC-004/close",
        "a closing ends running transfers as an abort does",
        [open(), one.start(3), Step::Close],
    );
    to.put(
        "SR-REC-004/close-frees-the-directory",
        "after it the directory can be opened again",
        [open(), one.start(3), Step::Close, open(), one.rest(3), one.whole()],
    );
    to.put(
        "SR-REC-004/close-with-nothing-running",
        "a closing where nothing runs changes nothing",
        [open(), one.whole(), Step::Close, open()],
    );
    to.put(
        "SR-REC-004/another-directory",
        "opening another directory closes the one before: its transfers end, and it is free",
        [open(), one.start(3), open_at("around/more"), one.start(1), open()],
    );
    let stuck = || {
        [
            take_away(&receive("db.partial")),
            place(&receive("db.partial"), Thing::Directory),
        ]
    };
    let [away, directory] = stuck();
    to.put(
        "SR-REC-004/what-it-could-not-remove",
        "that a partial there could not be removed keeps no other directory from being opened",
        [
            open(),
            one.start(3),
            away,
            directory,
            open_at("around/more"),
            one.whole(),
        ],
    );
    let [away, directory] = stuck();
    to.put(
        "SR-REC-004/what-it-could-not-remove-is-not-the-answer",
        "nor is it the answer to an opening that is refused",
        [
            open(),
            one.start(3),
            away,
            directory,
            open_at("around/missing/data"),
            open(),
        ],
    );
    let [away, directory] = stuck();
    to.put(
        "SR-REC-004/close-with-a-failing-removal",
        "a closing whose removal fails is a closing, and frees the directory",
        [open(), one.start(3), away, directory, Step::Close, open(), one.whole()],
    );
}
