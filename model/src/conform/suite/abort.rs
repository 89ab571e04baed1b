//! SR-ABT.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{ABORT_ALL, Writer, abort, open, source};
use crate::conform::scenario::Scenario;

#[expect(clippy::too_many_lines, reason = "a list")]
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    let (one, two) = (source(5, "abcdef").of("one"), source(6, "uvwxyz").of("two"));
    to.put(
        "SR-ABT-001/one",
        "once aborted is answered the partial is gone and the attempt has ended",
        [open(), one.start(3), abort("one"), one.rest(3)],
    );
    to.put(
        "SR-ABT-001/all",
        "an abort of all ends every transfer",
        [open(), one.start(3), two.start(3), ABORT_ALL, one.rest(3), two.rest(3)],
    );
    to.put(
        "SR-ABT-001/nothing-else",
        "an abort of one ends no other",
        [open(), one.start(3), two.start(3), abort("one"), two.rest(3)],
    );
    to.put(
        "SR-ABT-001/names-that-begin-alike",
        "nor one whose id begins or ends with the same letters",
        [
            open(),
            one.clone().of("one.partial").start(3),
            one.clone().of("someone").start(3),
            one.start(3),
            abort("one"),
            one.clone().of("one.partial").rest(3),
            one.clone().of("someone").rest(3),
        ],
    );
    to.put(
        "SR-ABT-001/an-empty-transfer",
        "also where no byte came yet",
        [open(), one.at(0, "", false), abort("one"), one.at(0, "", false)],
    );
    for (name, id) in [
        ("traversal", "../one"),
        ("empty", ""),
        ("hidden", ".one"),
        ("slash", "one/"),
    ] {
        to.put(
            &format!("SR-ABT-001/id-{name}"),
            "an abort of an id that is not valid is rejected",
            [open(), one.start(3), abort(id), one.rest(3)],
        );
    }
    to.put(
        "SR-ABT-001/a-start-works-after-it",
        "a start works after it",
        [open(), one.start(3), abort("one"), one.start(2), one.rest(2)],
    );
    to.put(
        "SR-ABT-002/the-snapshot-stays",
        "an abort never removes a snapshot",
        [open(), one.whole(), abort("one"), one.start(3), abort("one"), ABORT_ALL],
    );
    to.put(
        "SR-ABT-002/of-another",
        "nor one of another database",
        [open(), one.whole(), two.start(3), ABORT_ALL],
    );
    to.put(
        "SR-ABT-003/nothing-runs",
        "an abort succeeds where nothing runs",
        [open(), abort("one"), ABORT_ALL, abort("one")],
    );
    to.put(
        "SR-ABT-003/twice",
        "and twice",
        [
            open(),
            one.start(3),
            abort("one"),
            abort("one"),
            ABORT_ALL,
            one.start(1),
        ],
    );
    to.put(
        "SR-ABT-003/after-a-verdict",
        "and after a verdict",
        [open(), one.start(3), one.at(3, "", true), abort("one"), ABORT_ALL],
    );
    to.put(
        "SR-ABT-003/after-a-commit",
        "and after a commit",
        [open(), one.start(3), one.rest(3), abort("one"), ABORT_ALL],
    );
    to.put(
        "SR-ABT-004/the-old-source",
        "a chunk of an attempt that was aborted is not written into the next one's file",
        [
            open(),
            one.start(3),
            abort("one"),
            source(6, "123456").of("one").start(3),
            one.rest(3),
        ],
    );
    to.put(
        "SR-ABT-004/the-same-source",
        "the next attempt of the same source has its own bytes alone",
        [open(), one.start(5), abort("one"), one.start(1), one.rest(1)],
    );
    to.all
}
