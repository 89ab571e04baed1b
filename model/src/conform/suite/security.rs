//! SR-SEC.
//!
//! Guarantees: as `suite`. Refuses to know: as `suite`.

use super::{Writer, abort, file, open, place, receive, source};
use crate::conform::scenario::{DATA, RECEIVE, Scenario, Step, Thing};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut to = Writer::new();
    paths(&mut to);
    strangers(&mut to);
    malformed(&mut to);
    to.all
}

fn paths(to: &mut Writer) {
    let ways = [
        ("up", "../evil"),
        ("up-twice", "../../evil"),
        ("up-thrice", "../../../evil"),
        ("through-itself", "../recv_snapshots/evil"),
        ("absolute", "{scratch}/evil"),
        ("down", "sub/evil"),
        ("here", "./evil"),
    ];
    for (name, id) in ways {
        let one = source(5, "abcdef").of(id);
        to.put(
            &format!("SR-SEC-001/{name}"),
            "no id leads out of the receive directory",
            [open(), one.start(3), one.rest(3), one.whole()],
        );
    }
    let one = source(5, "abcdef");
    to.put(
        "SR-SEC-001/its-two-names-alone",
        "a transfer, its commit and the next one touch nothing but the database's two names",
        [
            open(),
            one.start(3),
            one.part(3, 1),
            one.rest(4),
            one.start(2),
            abort("db"),
        ],
    );
    to.put(
        "SR-SEC-001/abort",
        "nor does the id of an abort",
        [
            place(&format!("{DATA}/victim.partial"), file("not to be touched")),
            open(),
            abort("../victim"),
            abort("../../around/data/victim"),
        ],
    );
}

fn strangers(to: &mut Writer) {
    let one = source(5, "abcdef");
    let receives = || [one.start(3), one.rest(3)];
    let things = [
        ("link", Thing::Link("{scratch}/bystander".to_owned())),
        ("relative-link", Thing::Link("../../bystander".to_owned())),
        ("dangling-link", Thing::Link("{scratch}/evil".to_owned())),
        ("hard-link", Thing::HardLink("around/bystander".to_owned())),
        ("longer-file", file("something longer than what comes")),
        ("pipe", Thing::Pipe),
    ];
    for (name, thing) in things {
        to.put(
            &format!("SR-SEC-002/partial-{name}"),
            "what stands under the partial's name is unlinked at a start, never opened, followed or truncated",
            [open(), place(&receive("db.partial"), thing)]
                .into_iter()
                .chain(receives()),
        );
    }
    to.put(
        "SR-SEC-002/partial-directory",
        "a directory there is a failed create, and nothing in it is touched",
        [
            open(),
            place(&receive("db.partial/inside"), file("somebody's")),
            one.start(3),
            one.whole(),
        ],
    );
    let links = [
        ("link", Thing::Link("{scratch}/bystander".to_owned())),
        ("dangling-link", Thing::Link("{scratch}/evil".to_owned())),
        ("hard-link", Thing::HardLink("around/bystander".to_owned())),
    ];
    for (name, thing) in links {
        to.put(
            &format!("SR-SEC-002/snapshot-{name}"),
            "a rename replaces a link in the snapshot's place and never writes through it",
            [open(), place(&receive("db.snapshot"), thing)]
                .into_iter()
                .chain(receives()),
        );
    }
    to.put(
        "SR-SEC-002/receive-directory-link",
        "a link in the place of the receive directory refuses the opening",
        [
            place("around/elsewhere", Thing::Directory),
            place("around/elsewhere/a.partial", file("not to be touched")),
            place(RECEIVE, Thing::Link("{scratch}/around/elsewhere".to_owned())),
            open(),
        ],
    );
}

fn malformed(to: &mut Writer) {
    let one = source(5, "abcdef");
    let good = |field: &str, value: &str| {
        let mut fields = vec![
            ("source_cluster_id", "\"prod\"".to_owned()),
            ("source_database_id", "\"db\"".to_owned()),
            ("snapshot_lsn", "5".to_owned()),
            ("total_bytes", "6".to_owned()),
            ("total_crc32c", one.crc.to_string()),
            ("offset", "3".to_owned()),
            ("data", "\"ZGVm\"".to_owned()),
            ("done", "true".to_owned()),
        ];
        fields.retain_mut(|(name, written)| {
            if *name == field {
                value.clone_into(written);
            }
            *name != field || !value.is_empty()
        });
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!(
            "{{\"seq\":{{seq}},\"op\":\"chunk\",\"envelope\":{{{}}}}}",
            fields.join(",")
        )
    };
    let lines = [
        ("not-json", "this is no JSON".to_owned()),
        (
            "half-a-request",
            "{\"seq\":{seq},\"op\":\"chunk\",\"envelope\":{".to_owned(),
        ),
        ("no-operation", "{\"seq\":{seq}}".to_owned()),
        ("unknown-operation", "{\"seq\":{seq},\"op\":\"destroy\"}".to_owned()),
        ("no-envelope", "{\"seq\":{seq},\"op\":\"chunk\"}".to_owned()),
        ("no-database-id", good("source_database_id", "")),
        ("no-cluster-id", good("source_cluster_id", "")),
        ("no-lsn", good("snapshot_lsn", "")),
        ("no-total", good("total_bytes", "")),
        ("no-checksum", good("total_crc32c", "")),
        ("no-offset", good("offset", "")),
        ("no-data", good("data", "")),
        ("no-done", good("done", "")),
        (
            "checksum-of-33-bits",
            good("total_crc32c", &(u64::from(one.crc) + (1 << 32)).to_string()),
        ),
        ("offset-of-65-bits", good("offset", "\"18446744073709551619\"")),
        ("lsn-of-65-bits", good("snapshot_lsn", "\"18446744073709551621\"")),
        ("total-of-65-bits", good("total_bytes", "\"18446744073709551622\"")),
        ("negative-offset", good("offset", "-3")),
        ("negative-lsn", good("snapshot_lsn", "-5")),
        ("negative-total", good("total_bytes", "-6")),
        ("negative-checksum", good("total_crc32c", "-1")),
    ];
    for (name, line) in lines {
        to.put(
            &format!("SR-SEC-003/{name}"),
            "a request that is none is answered errored and changes nothing; the receiver lives on",
            [open(), one.start(3), Step::Malformed { line }, one.rest(3)],
        );
    }
}
